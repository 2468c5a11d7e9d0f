//! Operations: what is done to what a fleet is told.

use crate::observed::ResourceKey;
use portico_crds::v1alpha1::envoy::Identification;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One step, in the words of Envoy's API. All steps of one pass reach the proxies together, in the order that keeps traffic flowing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// Tells the fleet of a resource, or of its new content.
    Publish(ResourceKey),
    /// Takes a resource back.
    Withdraw(ResourceKey),
    /// Asks the fleet's proxies for another proof of who they are.
    Identify(Identification),
}

impl Operation {
    /// The word for telling a fleet of a resource.
    pub const PUBLISH: &'static str = "publish";

    /// What is done, in a word.
    pub fn call(&self) -> &'static str {
        match self {
            Self::Publish(_) => Self::PUBLISH,
            Self::Withdraw(_) => "withdraw",
            Self::Identify(_) => "identify",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish(key) => write!(f, "publish {key}"),
            Self::Withdraw(key) => write!(f, "withdraw {key}"),
            Self::Identify(Identification::Node) => f.write_str("believe what proxies say of themselves"),
            Self::Identify(Identification::Certificate) => f.write_str("ask proxies for a certificate"),
            Self::Identify(Identification::ServiceAccountToken) => f.write_str("ask proxies for the token of a ServiceAccount"),
        }
    }
}
