//! Certificates.

use portico_crds::NamespacedName;
use portico_providers::{Hostname, ResourceId, Source, TagSet};
use serde::{Deserialize, Serialize};

/// A certificate that is imported to ACM from a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// `certificate/NAMESPACE/NAME/KEYTYPE`: the type of the key is part of it, since a new import cannot change it (ACM).
    pub id: ResourceId,
    /// Where it comes from.
    pub secret: NamespacedName,
    /// SHA-256 of the leaf's DER, in hexadecimal: another one is imported in its place.
    pub sha256: String,
    /// Tags that users ask for; the marks come on top.
    #[serde(default, skip_serializing_if = "TagSet::is_empty")]
    pub tags: TagSet,
    /// The Gateways and ListenerSets that ask for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
}

/// How a listener names a certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CertificateId {
    /// One of the stack's.
    Imported(ResourceId),
    /// One that ACM holds for somebody else, by its ARN. Portico only refers to it.
    Arn(String),
    /// One that ACM holds for this hostname, in the stack of an account that nobody looked at.
    Discovered(Hostname),
    /// One that ACM holds for this hostname, where ACM could not be asked: what the listener serves stays.
    Unresolved(Hostname),
}
