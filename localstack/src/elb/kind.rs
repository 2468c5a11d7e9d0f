//! The types of load balancers, and what follows from the type: ARNs, DNS names, hosted zones.

use serde::{Deserialize, Serialize};

use crate::error::{Answer, ApiError};
use crate::id::Ids;

/// A type of load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadBalancerKind {
    /// Serves HTTP and HTTPS.
    Application,
    /// Serves TCP, UDP, TLS and QUIC; has a static address per zone.
    Network,
}

impl LoadBalancerKind {
    /// The type that a caller names.
    pub fn read(text: &str) -> Answer<Self> {
        super::validation::one_of(text, "type", &["application", "network", "gateway"])?;
        match text {
            "application" => Ok(Self::Application),
            "network" => Ok(Self::Network),
            other => Err(ApiError::new(
                "InvalidConfigurationRequest",
                format!("Load balancers of type '{other}' are not served by this cloud; types 'application' and 'network' are"),
            )),
        }
    }

    /// As `Type` spells it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Network => "network",
        }
    }

    /// As ARNs spell it.
    pub fn segment(self) -> &'static str {
        match self {
            Self::Application => "app",
            Self::Network => "net",
        }
    }

    /// The DNS name of a new load balancer, whose ARN ends with this id.
    pub fn dns_name(self, name: &str, id: &str, scheme: &str, region: &str, ids: &mut Ids) -> String {
        match self {
            Self::Application => {
                let prefix = if scheme == "internal" { "internal-" } else { "" };
                format!("{prefix}{name}-{}.{region}.elb.amazonaws.com", ids.digits(10))
            }
            Self::Network => format!("{name}-{id}.elb.{region}.amazonaws.com"),
        }
    }

    /// The hosted zone of DNS names (from AWS's list of endpoints; other regions get a made-up one).
    pub fn hosted_zone(self, region: &str) -> &'static str {
        match (self, region) {
            (Self::Application, "us-east-1") => "Z35SXDOTRQ7X7K",
            (Self::Application, "us-east-2") => "Z3AADJGX6KTTL2",
            (Self::Application, "us-west-1") => "Z368ELLRRE2KJ0",
            (Self::Application, "us-west-2") => "Z1H1FL5HABSF5",
            (Self::Application, "eu-west-1") => "Z32O12XQLNTSW2",
            (Self::Application, "eu-central-1") => "Z215JYRZR1TBD5",
            (Self::Network, "us-east-1") => "Z26RNL4JYFTOTI",
            (Self::Network, "us-east-2") => "ZLMOA37VPKANP",
            (Self::Network, "us-west-1") => "Z24FKFUX50B4VW",
            (Self::Network, "us-west-2") => "Z18D5FSROUN65G",
            (Self::Network, "eu-west-1") => "Z2IFOLAFXWLO4F",
            (Self::Network, "eu-central-1") => "Z3F0SRJ5LGBH90",
            _ => "Z00000000000000000000",
        }
    }

    /// An error unless a caller may do this to a load balancer of this type.
    pub fn only(self, wanted: Self, what: &str) -> Answer<()> {
        if self == wanted {
            return Ok(());
        }
        Err(ApiError::new("InvalidConfigurationRequest", format!("{what} is not supported for load balancers of type '{}'", self.word())))
    }
}
