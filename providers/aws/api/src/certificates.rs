//! ACM: what is imported, and importing.

use crate::budget::Kind;
use crate::convert;
use crate::error::{Class, Failure};
use crate::region::Region;
use aws_sdk_acm::types as sdk;
use aws_smithy_types::Blob;
use portico_aws::Stack;
use portico_aws::observed::Certificate;
use portico_crds::NamespacedName;
use portico_providers::{KeyMaterial, Presence, ProviderError, TagSet, mark};
use std::collections::{BTreeMap, BTreeSet};

/// Pages that a listing is followed for.
const PAGES: usize = 1000;
/// Certificates in a page: as many as ACM gives.
const PAGE: i32 = 1000;

impl Region {
    /// All certificates of the account, whatever their keys.
    pub async fn certificate_summaries(&self) -> Result<Vec<sdk::CertificateSummary>, Failure> {
        // ACM shows only certificates with RSA keys of 1024 and 2048 bits unless it is told which others.
        let keys = sdk::KeyAlgorithm::values().iter().map(|name| sdk::KeyAlgorithm::from(*name)).collect();
        let includes = sdk::Filters::builder().set_key_types(Some(keys)).build();
        let mut all = Vec::new();
        let mut token = None;
        for _ in 0..PAGES {
            let call = || self.acm.list_certificates().includes(includes.clone()).max_items(PAGE).set_next_token(token.clone()).send();
            let answer = self.read(Kind::AcmRead, "ListCertificates", call).await?;
            token = answer.next_token().map(str::to_owned);
            all.extend(answer.certificate_summary_list.unwrap_or_default());
            if token.is_none() {
                break;
            }
        }
        Ok(all)
    }

    /// Tags of a certificate; nothing if it is not there.
    pub async fn certificate_tags(&self, arn: &str) -> Result<Option<TagSet>, Failure> {
        let answer =
            self.read(Kind::AcmRead, "ListTagsForCertificate", || self.acm.list_tags_for_certificate().certificate_arn(arn).send()).await;
        match answer {
            Ok(answer) => {
                let pairs = answer.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().unwrap_or_default().to_owned()));
                Ok(Some(pairs.collect()))
            }
            Err(failure) if failure.class() == Class::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// A certificate as it stands.
    pub async fn certificate(&self, arn: &str) -> Result<Presence<Certificate>, Failure> {
        Ok(self.certificate_tags(arn).await?.map_or(Presence::Absent, |tags| Presence::Present(Certificate { tags })))
    }

    /// All certificates that carry a unit's marks now.
    pub async fn marked_certificates(&self, stack: &Stack) -> Result<BTreeMap<String, Certificate>, Failure> {
        let mut found = BTreeMap::new();
        for arn in self.imported_certificates(true).await? {
            if let Some(tags) = self.certificate_tags(&arn).await?.filter(|tags| stack.owns(tags)) {
                found.insert(arn, Certificate { tags });
            }
        }
        Ok(found)
    }

    /// ARNs of the certificates of a cluster, with their tags, by the listing that all share.
    pub async fn certificates_of(&self, cluster: &str) -> Result<Vec<(String, TagSet)>, Failure> {
        let mut found = Vec::new();
        for arn in self.imported_certificates(false).await? {
            let tags = self.certificate_tags(&arn).await?.unwrap_or_default();
            let owner = portico_aws::stack::mark_of(&tags).map(|(owner, _)| owner);
            self.account.learn_mark(&arn, owner.is_some());
            if owner.is_some_and(|owner| owner == cluster) {
                found.push((arn, tags));
            }
        }
        Ok(found)
    }

    /// What a Secret holds now, if that is what the plan says.
    pub async fn key_material(&self, secret: &NamespacedName, sha256: &str) -> Result<KeyMaterial, ProviderError> {
        let Some(source) = self.secrets.get() else {
            return Err(ProviderError::NotReady { message: format!("nothing here reads the private key of Secret {secret}") });
        };
        let material = source.tls(secret).await?;
        if material.sha256 != sha256 {
            // The watch tells of it any moment, and makes another plan.
            return Err(ProviderError::NotReady { message: format!("Secret {secret} holds another certificate by now") });
        }
        Ok(material)
    }

    /// ImportCertificate, as a new one with tags or in the place of another. Gives the ARN.
    pub async fn import(&self, material: &KeyMaterial, arn: Option<&str>, tags: &TagSet) -> Result<Option<String>, Failure> {
        let blob = |text: &str| Blob::new(text.as_bytes());
        let call = self
            .acm
            .import_certificate()
            .certificate(blob(&material.certificate))
            .private_key(blob(&material.key))
            .set_certificate_chain((!material.chain.is_empty()).then(|| blob(&material.chain)))
            .set_certificate_arn(arn.map(str::to_owned))
            // AWS: no tags on a re-import.
            .set_tags(arn.is_none().then(|| convert::acm_tags(tags)));
        let answer = self.change(Kind::AcmChange, "ImportCertificate", call.send()).await?;
        Ok(answer.certificate_arn().map(str::to_owned))
    }

    /// AddTagsToCertificate.
    pub async fn tag_certificate(&self, arn: &str, tags: &TagSet) -> Result<(), Failure> {
        let call = self.acm.add_tags_to_certificate().certificate_arn(arn).set_tags(Some(convert::acm_tags(tags)));
        self.change(Kind::AcmChange, "AddTagsToCertificate", call.send()).await.map(drop)
    }

    /// DeleteCertificate.
    pub async fn delete_certificate(&self, arn: &str) -> Result<(), Failure> {
        self.change(Kind::AcmChange, "DeleteCertificate", self.acm.delete_certificate().certificate_arn(arn).send()).await.map(drop)
    }

    /// ARNs of the certificates of a listener beyond its default one.
    pub async fn listener_certificates(&self, listener: &str) -> Result<BTreeSet<String>, Failure> {
        let mut arns = BTreeSet::new();
        let mut marker = None;
        for _ in 0..PAGES {
            let call = || self.elb.describe_listener_certificates().listener_arn(listener).set_marker(marker.clone()).send();
            let answer = self.read(Kind::ElbRead, "DescribeListenerCertificates", call).await?;
            let others = answer.certificates().iter().filter(|found| found.is_default() != Some(true));
            arns.extend(others.filter_map(|found| found.certificate_arn().map(str::to_owned)));
            marker = answer.next_marker().map(str::to_owned);
            if marker.is_none() {
                break;
            }
        }
        Ok(arns)
    }
}

/// The mark by which an import is found again whose answer was lost.
pub(crate) fn is_marked(tags: &TagSet, resource: &str) -> bool {
    tags.get(mark::RESOURCE).is_some_and(|value| *value == mark::value(resource))
}
