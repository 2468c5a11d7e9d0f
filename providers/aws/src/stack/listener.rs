//! Listeners.

use super::{CertificateId, Rule, RuleAction};
use portico_providers::{ResourceId, Source};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A listener of a load balancer: one per port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// `listener/PORT`.
    pub id: ResourceId,
    /// 1–65535.
    pub port: u16,
    /// Protocol.
    pub protocol: ListenerProtocol,
    /// Certificates and policy of an HTTPS listener; nothing for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
    /// What answers requests that no rule matches.
    pub default_action: RuleAction,
    /// Rules by rank.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// The Gateways and ListenerSets that ask for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<Source>,
}

/// What an HTTPS listener has beyond an HTTP listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerTls {
    /// Name of the security policy: TLS versions and ciphers.
    pub policy: String,
    /// For clients whose server name matches no certificate.
    pub default_certificate: CertificateId,
    /// The others, from which the ALB chooses by the client's server name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateId>,
}

/// Protocol of a listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ListenerProtocol {
    /// Clear-text HTTP/1.1.
    Http,
    /// HTTP over TLS.
    Https,
}

impl ListenerProtocol {
    /// As the API writes it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Http => "HTTP",
            Self::Https => "HTTPS",
        }
    }
}

impl fmt::Display for ListenerProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
