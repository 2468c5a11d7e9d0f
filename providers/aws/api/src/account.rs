//! What compile needs to know of the account besides its limits: certificates in ACM and security policies. One listing serves all units of a region.

use crate::budget::Kind;
use crate::error::{Class, Failure};
use crate::lock;
use crate::region::Region;
use aws_sdk_acm::types::{CertificateSummary, CertificateType};
use aws_sdk_elasticloadbalancingv2::types::LoadBalancerTypeEnum;
use aws_smithy_types::date_time::Format;
use portico_aws::Account;
use portico_aws::account::{Certificates, HeldCertificate, HeldCertificates, Unread, Wanted};
use portico_aws::stack::mark_of;
use portico_crds::tls_option::CERTIFICATE_ARN;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// For how long a listing of certificates is believed that lacks something.
const INCOMPLETE: Duration = Duration::from_secs(5);
/// Pause before certificates that cannot be read are asked for again.
const UNREAD: Duration = Duration::from_secs(30);
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
    /// Why certificates cannot be listed, since when.
    unlisted: Option<(Instant, Failure)>,
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

impl Listing {
    /// With what is known of who imported what.
    fn with_marks(mut self, marked: &BTreeMap<String, bool>) -> Self {
        let wrong = |(arn, it): &(&String, &HeldCertificate)| marked.get(*arn).is_some_and(|own| *own != it.imported_by_portico);
        let wrong: Vec<String> = self.certificates.iter().filter(wrong).map(|(arn, _)| arn.clone()).collect();
        if !wrong.is_empty() {
            let certificates = Arc::make_mut(&mut self.certificates);
            for arn in wrong {
                certificates.entry(arn).and_modify(|it| it.imported_by_portico = !it.imported_by_portico);
            }
        }
        self
    }
}

impl AccountMemory {
    /// Certificates are listed again before they are believed.
    pub fn doubt_certificates(&self) {
        if let Some(listing) = &mut lock(&self.known).certificates {
            listing.doubted = true;
        }
    }

    /// Takes up a certificate that Portico imported just now.
    pub fn learn_import(&self, arn: &str) {
        let mut known = lock(&self.known);
        known.marked.insert(arn.to_owned(), true);
        if let Some(listing) = &mut known.certificates {
            let certificate =
                HeldCertificate { status: "ISSUED".to_owned(), imported: true, imported_by_portico: true, ..HeldCertificate::default() };
            Arc::make_mut(&mut listing.certificates).insert(arn.to_owned(), certificate);
        }
    }

    /// Takes up that a certificate is gone.
    pub fn forget_certificate(&self, arn: &str) {
        if let Some(listing) = &mut lock(&self.known).certificates {
            Arc::make_mut(&mut listing.certificates).remove(arn);
        }
    }

    /// Takes up who imported a certificate.
    pub fn learn_mark(&self, arn: &str, own: bool) {
        lock(&self.known).marked.insert(arn.to_owned(), own);
    }
}

impl Region {
    /// What is known of the account.
    pub fn account(&self) -> Account {
        let known = lock(&self.account.known);
        let held = known.certificates.as_ref().map(|listing| listing.certificates.clone());
        let unread = known.unlisted.as_ref().map(|(_, failure)| unread(failure));
        let certificates = (held.is_some() || unread.is_some()).then(|| Certificates { held: held.unwrap_or_default(), unread });
        let ssl_policies = known.ssl_policies.as_ref().map(|(_, all)| all.clone()).unwrap_or_default();
        Account { limits: self.limits(), certificates, ssl_policies }
    }

    /// Reads what is wanted, unless it is remembered. A listing of certificates is believed until the next round of the sweep begins, so that all units share it; where it lacks
    /// something that is wanted, it is believed for a moment, and not at all with `fresh`. Certificates that cannot be read are a value of the account, which harms only who
    /// asks for them: given back is when to ask again.
    pub async fn read_account(&self, wanted: &Wanted<'_>, fresh: bool) -> Result<Option<Duration>, Failure> {
        let again = if wanted.wants_certificates() { self.read_certificates(wanted, fresh).await? } else { None };
        if !wanted.ssl_policies.is_empty() {
            self.read_ssl_policies().await?;
        }
        Ok(again)
    }

    async fn read_certificates(&self, wanted: &Wanted<'_>, fresh: bool) -> Result<Option<Duration>, Failure> {
        let _one = self.account.reading.lock().await;
        let begun = Instant::now();
        let is_enough = |listing: &Listing| wanted.is_met_by(&listing.certificates) || (!fresh && listing.read.elapsed() < INCOMPLETE);
        let Some(listing) = self.listed(is_enough, fresh).await? else { return Ok(Some(UNREAD)) };
        let certificates = self.completed(listing.certificates.clone(), wanted).await?;
        let unread = certificates.values().any(|it| it.unread.is_some());
        // What is missing may be there by now, and nobody tells of it.
        let outdated = listing.read < begun && !wanted.is_met_by(&certificates);
        let mut known = lock(&self.account.known);
        let failed = known.unlisted.is_some();
        known.certificates = Some(Listing { certificates, ..listing });
        Ok(if unread || failed { Some(UNREAD) } else { outdated.then_some(INCOMPLETE) })
    }

    /// All certificates, from memory if that is enough. What was there counts where they cannot be listed; nothing if nothing was.
    async fn listed(&self, is_enough: impl Fn(&Listing) -> bool, fresh: bool) -> Result<Option<Listing>, Failure> {
        let (remembered, unlisted) = {
            let known = lock(&self.account.known);
            let remembered = known.certificates.clone().map(|listing| listing.with_marks(&known.marked));
            (remembered, known.unlisted.as_ref().is_some_and(|(since, _)| since.elapsed() < INCOMPLETE && !fresh))
        };
        match remembered {
            Some(listing) if !listing.doubted && is_enough(&listing) => return Ok(Some(listing)),
            remembered if unlisted => return Ok(remembered),
            _ => {}
        }
        let found = match self.certificate_summaries().await {
            Err(failure) if failure.class() == Class::Fenced => return Err(failure),
            found => found,
        };
        let mut known = lock(&self.account.known);
        match found {
            Ok(summaries) => {
                let certificates = summaries.iter().filter_map(|it| Some((it.certificate_arn()?.to_owned(), held(it)))).collect();
                let listing = Listing { read: Instant::now(), doubted: false, certificates: Arc::new(certificates) };
                known.unlisted = None;
                known.certificates = Some(listing.with_marks(&known.marked));
            }
            Err(failure) => {
                if known.unlisted.as_ref().is_none_or(|(_, before)| before.code != failure.code) {
                    let error = &failure.message;
                    tracing::warn!(
                        region = self.name,
                        error,
                        "certificates cannot be listed, which needs acm:ListCertificates: those that were there count"
                    );
                }
                known.unlisted = Some((Instant::now(), failure));
            }
        }
        Ok(known.certificates.clone())
    }

    /// ARNs of all imported certificates of the account: those of the listing that all share, or with `fresh` of one that is made now.
    pub async fn imported_certificates(&self, fresh: bool) -> Result<Vec<String>, Failure> {
        let _one = self.account.reading.lock().await;
        let listing = self.listed(|_| !fresh, true).await?;
        if let Some((_, failure)) = &lock(&self.account.known).unlisted {
            return Err(failure.clone());
        }
        let all = listing.iter().flat_map(|listing| listing.certificates.iter()).filter(|(_, it)| it.imported);
        Ok(all.map(|(arn, _)| arn.clone()).collect())
    }

    /// Finds out further names of the certificates that matter, and which of them Portico has imported. Where that fails, it is said of the certificate.
    async fn completed(&self, mut all: Arc<HeldCertificates>, wanted: &Wanted<'_>) -> Result<Arc<HeldCertificates>, Failure> {
        let matters: Vec<_> =
            all.iter().filter(|(arn, it)| wanted.concerns(arn, it) || (it.more_names && !wanted.hostnames.is_empty())).collect();
        let matters: Vec<_> = matters.into_iter().map(|(arn, it)| (arn.clone(), it.clone())).collect();
        for (arn, before) in matters {
            let mut it = HeldCertificate { unread: None, ..before.clone() };
            if it.more_names {
                match self.certificate_names(&arn).await {
                    Ok(names) => (it.names, it.more_names) = (names, false),
                    Err(failure) if failure.class() == Class::Fenced => return Err(failure),
                    Err(failure) => it.unread = Some(unread(&failure)),
                }
            }
            if it.imported && wanted.concerns(&arn, &it) {
                let marked = lock(&self.account.known).marked.get(&arn).copied();
                let marked = match marked {
                    Some(marked) => Ok(marked),
                    None => self.certificate_tags(&arn).await.map(|tags| mark_of(&tags.unwrap_or_default()).is_some()),
                };
                match marked {
                    Ok(own) => {
                        self.account.learn_mark(&arn, own);
                        it.imported_by_portico = own;
                    }
                    Err(failure) if failure.class() == Class::Fenced => return Err(failure),
                    Err(failure) => it.unread = Some(unread(&failure)),
                }
            }
            if it != before {
                Arc::make_mut(&mut all).insert(arn, it);
            }
        }
        Ok(all)
    }

    /// All names of a certificate; none if it is gone.
    async fn certificate_names(&self, arn: &str) -> Result<Vec<String>, Failure> {
        let call = || self.acm.describe_certificate().certificate_arn(arn).send();
        match self.read(Kind::AcmRead, "DescribeCertificate", call).await {
            Ok(answer) => Ok(answer.certificate().map(|it| it.subject_alternative_names().to_vec()).unwrap_or_default()),
            Err(failure) if failure.class() == Class::NotFound => Ok(Vec::new()),
            Err(failure) => Err(failure),
        }
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

/// A failure to read, for who asked for a certificate.
fn unread(failure: &Failure) -> Unread {
    let operation = failure.operation;
    let code = if failure.code.is_empty() { "no answer" } else { &failure.code };
    let remedy = match failure.class() {
        Class::Denied => format!("Allow acm:{operation} to the operator's role; it is tried again every {} seconds.", UNREAD.as_secs()),
        _ => format!("It is tried again every {} seconds.", UNREAD.as_secs()),
    };
    Unread {
        detail: format!("{operation}: {code}: {}", failure.message),
        remedy: format!("{remedy} Or name the certificate under {CERTIFICATE_ARN}."),
    }
}

fn held(summary: &CertificateSummary) -> HeldCertificate {
    let mut names = summary.subject_alternative_name_summaries().to_vec();
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
        key_algorithm: summary.key_algorithm().map(|key| key.as_str().to_owned()).unwrap_or_default(),
        more_names: summary.has_additional_subject_alternative_names() == Some(true),
        unread: None,
    }
}
