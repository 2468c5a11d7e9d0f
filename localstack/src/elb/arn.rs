//! ARNs of ELBv2 resources.

use crate::config::CloudConfig;
use crate::error::{Answer, ApiError};

/// The kinds of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `loadbalancer/app/<name>/<id>`.
    LoadBalancer,
    /// `listener/app/<name>/<load balancer>/<id>`.
    Listener,
    /// `listener-rule/app/<name>/<load balancer>/<listener>/<id>`.
    Rule,
    /// `targetgroup/<name>/<id>`.
    TargetGroup,
    /// `truststore/<name>/<id>`.
    TrustStore,
}

impl Kind {
    fn segment(self) -> &'static str {
        match self {
            Self::LoadBalancer => "loadbalancer",
            Self::Listener => "listener",
            Self::Rule => "listener-rule",
            Self::TargetGroup => "targetgroup",
            Self::TrustStore => "truststore",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::LoadBalancer => "load balancer",
            Self::Listener => "listener",
            Self::Rule => "listener rule",
            Self::TargetGroup => "target group",
            Self::TrustStore => "trust store",
        }
    }

    /// How many parts follow the kind.
    fn parts(self) -> usize {
        match self {
            Self::LoadBalancer => 3,
            Self::Listener => 4,
            Self::Rule => 5,
            Self::TargetGroup | Self::TrustStore => 2,
        }
    }
}

/// What stands before the kind in every ARN of this account and region.
pub fn prefix(config: &CloudConfig) -> String {
    format!("arn:aws:elasticloadbalancing:{}:{}:", config.region, config.account)
}

/// What the ARN names; `None` if it is no ARN of ELBv2.
pub fn kind(arn: &str) -> Option<Kind> {
    let tail = arn.strip_prefix("arn:aws:elasticloadbalancing:")?.splitn(3, ':').nth(2)?;
    let (segment, rest) = tail.split_once('/')?;
    let all = [Kind::LoadBalancer, Kind::Listener, Kind::Rule, Kind::TargetGroup, Kind::TrustStore];
    let kind = all.into_iter().find(|kind| kind.segment() == segment)?;
    (rest.split('/').count() == kind.parts()).then_some(kind)
}

/// An error unless the ARN names this kind of resource.
pub fn check(arn: &str, wanted: Kind) -> Answer<()> {
    if kind(arn) == Some(wanted) { Ok(()) } else { Err(ApiError::validation(format!("'{arn}' is not a valid {} ARN", wanted.words()))) }
}

/// The listener of a rule.
pub fn listener_of(rule: &str) -> String {
    parent(rule).replacen(":listener-rule/", ":listener/", 1)
}

/// The load balancer of a listener.
pub fn load_balancer_of(listener: &str) -> String {
    parent(listener).replacen(":listener/", ":loadbalancer/", 1)
}

/// The ARN of something inside: a listener of a load balancer, a rule of a listener.
pub fn child(arn: &str, kind: Kind, id: &str) -> String {
    let outer = if kind == Kind::Rule { ":listener/" } else { ":loadbalancer/" };
    format!("{}/{id}", arn.replacen(outer, &format!(":{}/", kind.segment()), 1))
}

fn parent(arn: &str) -> &str {
    arn.rsplit_once('/').map_or(arn, |(parent, _)| parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_lead_to_their_parents() {
        let balancer = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/web/0123";
        let listener = child(balancer, Kind::Listener, "4567");
        let rule = child(&listener, Kind::Rule, "89ab");
        assert_eq!(rule, "arn:aws:elasticloadbalancing:us-east-1:000000000000:listener-rule/app/web/0123/4567/89ab");
        assert_eq!(listener_of(&rule), listener);
        assert_eq!(load_balancer_of(&listener), balancer);
        assert_eq!((kind(balancer), kind(&listener), kind(&rule)), (Some(Kind::LoadBalancer), Some(Kind::Listener), Some(Kind::Rule)));
    }

    #[test]
    fn other_texts_are_no_arns() {
        for text in ["", "web", "arn:aws:elasticloadbalancing:us-east-1:0:loadbalancer/web", "arn:aws:s3:::targetgroup/a/b"] {
            assert_eq!(kind(text), None, "{text}");
        }
    }
}
