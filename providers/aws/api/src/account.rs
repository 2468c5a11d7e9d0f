//! What compile needs to know of the account besides its limits: certificates in ACM and security policies. One listing serves all units of a region.

use crate::budget::Kind;
use crate::error::{Class, Failure};
use crate::lock;
use crate::region::Region;
use aws_sdk_acm::types::{CertificateSummary, CertificateType};
use aws_sdk_elasticloadbalancingv2::types::LoadBalancerTypeEnum;
use aws_smithy_types::date_time::Format;
use portico_aws::Account;
use portico_aws::account::{HeldCertificate, HeldCertificates, Wanted};
use portico_aws::stack::mark_of;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// For how long a listing of certificates is believed that lacks something.
const INCOMPLETE: Duration = Duration::from_secs(5);
/// For how long the list of security policies is believed.
const POLICIES: Duration = Duration::from_secs(3600);
/// Pages of security policies that are read; AWS has less than a hundred policies.
const PAGES: usize = 10;

/// What is remembered of an account.
#[derive(Debug, Default)]
pub(crate) struct AccountMemory {
    known: Mutex<Known>,
    /// One reading at a time: whoever waits for it takes its outcome.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    certificates: Option<Listing>,
    /// Whether an imported certificate carries marks of Portico, by ARN: it has them from its import on.
    marked: BTreeMap<String, bool>,
    ssl_policies: Option<(Instant, Arc<BTreeSet<String>>)>,
}

/// The certificates of an account, as they were listed.
#[derive(Clone, Debug)]
struct Listing {
    read: Instant,
    /// Whether they must be listed again before they are believed. Whoever compiles in between goes by what was there.
    doubted: bool,
    certificates: Arc<HeldCertificates>,
}

impl AccountMemory {
    /// Certificates are listed again before they are believed.
    pub fn doubt_certificates(&self) {
        if let Some(listing) = &mut lock(&self.known).certificates {
            listing.doubted = true;
        }
    }
}

impl Region {
    /// What is known of the account.
    pub fn account(&self) -> Account {
        let known = lock(&self.account.known);
        Account {
            limits: self.limits(),
            certificates: known.certificates.as_ref().map(|listing| listing.certificates.clone()),
            ssl_policies: known.ssl_policies.as_ref().map(|(_, all)| all.clone()).unwrap_or_default(),
        }
    }

    /// Reads what is wanted, unless it is remembered. A listing of certificates is believed until the next round of the sweep begins, so that all units share it; where it lacks
    /// something that is wanted, it is believed for a moment, and not at all with `fresh`.
    pub async fn read_account(&self, wanted: &Wanted<'_>, fresh: bool) -> Result<(), Failure> {
        if wanted.wants_certificates() {
            self.read_certificates(wanted, fresh).await?;
        }
        if !wanted.ssl_policies.is_empty() {
            self.read_ssl_policies().await?;
        }
        Ok(())
    }

    async fn read_certificates(&self, wanted: &Wanted<'_>, fresh: bool) -> Result<(), Failure> {
        let _one = self.account.reading.lock().await;
        let remembered = lock(&self.account.known).certificates.clone();
        let listing = match remembered {
            Some(listing) if is_believed(&listing, wanted, fresh) => listing,
            remembered => match (self.held_certificates().await, remembered) {
                (Ok(certificates), _) => Listing { read: Instant::now(), doubted: false, certificates: Arc::new(certificates) },
                (Err(failure), Some(listing)) if wanted.is_met_by(&listing.certificates) => {
                    let error = failure.message;
                    tracing::warn!(region = self.name, error, "certificates cannot be listed: those that were there count");
                    listing
                }
                (Err(failure), _) => return Err(failure),
            },
        };
        let listing = self.tell_own(listing, wanted).await?;
        lock(&self.account.known).certificates = Some(listing);
        Ok(())
    }

    /// Finds out which of the certificates that matter Portico has imported.
    async fn tell_own(&self, mut listing: Listing, wanted: &Wanted<'_>) -> Result<Listing, Failure> {
        let unknown: Vec<String> = {
            let known = lock(&self.account.known);
            let matter = listing.certificates.iter().filter(|(arn, it)| it.imported && wanted.concerns(arn, it));
            matter.filter(|(arn, _)| !known.marked.contains_key(*arn)).map(|(arn, _)| arn.clone()).collect()
        };
        for arn in unknown {
            let tags = self.certificate_tags(&arn).await?.unwrap_or_default();
            lock(&self.account.known).marked.insert(arn, mark_of(&tags).is_some());
        }
        let known = lock(&self.account.known);
        let wrong = |(arn, it): &(&String, &HeldCertificate)| known.marked.get(*arn).is_some_and(|own| *own != it.imported_by_portico);
        let wrong: Vec<String> = listing.certificates.iter().filter(wrong).map(|(arn, _)| arn.clone()).collect();
        if !wrong.is_empty() {
            let certificates = Arc::make_mut(&mut listing.certificates);
            for arn in wrong {
                certificates.entry(arn).and_modify(|it| it.imported_by_portico = !it.imported_by_portico);
            }
        }
        Ok(listing)
    }

    /// All certificates in ACM.
    async fn held_certificates(&self) -> Result<HeldCertificates, Failure> {
        let mut all = HeldCertificates::new();
        for summary in self.certificate_summaries().await? {
            let Some(arn) = summary.certificate_arn() else { continue };
            let names = if summary.has_additional_subject_alternative_names() == Some(true) {
                // A listing tells the first hundred names (ACM).
                let answer =
                    self.read(Kind::AcmRead, "DescribeCertificate", || self.acm.describe_certificate().certificate_arn(arn).send()).await;
                match answer {
                    Ok(answer) => answer.certificate().map(|it| it.subject_alternative_names().to_vec()).unwrap_or_default(),
                    Err(failure) if failure.class() == Class::NotFound => continue,
                    Err(failure) => return Err(failure),
                }
            } else {
                summary.subject_alternative_name_summaries().to_vec()
            };
            all.insert(arn.to_owned(), held(&summary, names));
        }
        Ok(all)
    }

    async fn read_ssl_policies(&self) -> Result<(), Failure> {
        let _one = self.account.reading.lock().await;
        if lock(&self.account.known).ssl_policies.as_ref().is_some_and(|(read, _)| read.elapsed() < POLICIES) {
            return Ok(());
        }
        let mut all = BTreeSet::new();
        let mut marker = None;
        for _ in 0..PAGES {
            let call =
                || self.elb.describe_ssl_policies().load_balancer_type(LoadBalancerTypeEnum::Application).set_marker(marker.clone()).send();
            let answer = match self.read(Kind::ElbRead, "DescribeSSLPolicies", call).await {
                Ok(answer) => answer,
                Err(failure) if failure.class() == Class::Denied => {
                    let error = failure.message;
                    tracing::warn!(
                        region = self.name,
                        error,
                        "security policies cannot be listed, so that newer ones than Portico knows are refused: they need \
                         elasticloadbalancing:DescribeSSLPolicies"
                    );
                    break;
                }
                Err(failure) => return Err(failure),
            };
            all.extend(answer.ssl_policies().iter().filter_map(|policy| policy.name().map(str::to_owned)));
            marker = answer.next_marker().map(str::to_owned);
            if marker.is_none() {
                break;
            }
        }
        lock(&self.account.known).ssl_policies = Some((Instant::now(), Arc::new(all)));
        Ok(())
    }
}

/// Until the next round of the sweep begins; where something is missing, for a moment, and not at all by whoever looks afresh.
fn is_believed(listing: &Listing, wanted: &Wanted<'_>, fresh: bool) -> bool {
    !listing.doubted && (wanted.is_met_by(&listing.certificates) || (!fresh && listing.read.elapsed() < INCOMPLETE))
}

fn held(summary: &CertificateSummary, mut names: Vec<String>) -> HeldCertificate {
    if names.is_empty() {
        names.extend(summary.domain_name().map(str::to_owned));
    }
    let imported = summary.r#type().is_none_or(|kind| *kind == CertificateType::Imported);
    HeldCertificate {
        status: summary.status().map(|status| status.as_str().to_owned()).unwrap_or_default(),
        names,
        not_after: summary.not_after().and_then(|at| at.fmt(Format::DateTime).ok()),
        in_use: summary.in_use().unwrap_or_default(),
        imported,
        // Until its tags are known: nobody may come to depend on it.
        imported_by_portico: imported,
    }
}
