//! Target groups: one per Service port, however many rules forward to it.

use super::Compiler;
use super::issue::Issue;
use crate::name;
use crate::stack::{HealthCheck, TargetFamily, TargetGroup, TargetProtocol, TargetVersion};
use portico_crds::v1alpha1::aws::{Algorithm, HealthCheckProtocol};
use portico_crds::{Kind, ObjectRef};
use portico_providers::{AddressFamily, AppProtocol, Binding, Residue, ResourceId, ServiceBackend, Source, Subject, TargetSetId};
use std::collections::BTreeMap;

/// What to do about certificates that nobody checks.
const UNCHECKED: &str = "For TLS to the backend without the check, delete the policy and give the Service's port appProtocol https.";

impl Compiler<'_> {
    /// Refuses policies for TLS to backends: to ignore what they ask for would send requests in clear text, or to whoever stands in the backend's place.
    pub(super) fn refuse_backend_tls_policies(&mut self) {
        for policy in &self.plan.backend_tls_policies {
            let detail = "An ALB does not check the certificates of backends, so that rules with these backends are answered 500.";
            let issue = Issue::unsupported("spec.validation", detail, UNCHECKED);
            self.refusals.insert(issue.refuse(Subject::BackendTlsPolicy(policy.key.clone()), Residue::NoTraffic));
        }
    }

    /// The target group of a Service's port. `field` is the path of the reference to it.
    pub(super) fn target_group(&mut self, source: &ServiceBackend, field: &str) -> Result<TargetSetId, Issue> {
        if let Some(policy) = &source.tls_policy {
            let detail =
                format!("BackendTLSPolicy {policy} asks to check the certificate of Service {}, which an ALB does not.", source.service);
            return Err(Issue::unsupported(field, detail, UNCHECKED));
        }
        let protocol = protocol(&source.protocol, field)?;
        let family =
            if source.families.is_empty() || source.families.contains(&AddressFamily::V4) { AddressFamily::V4 } else { AddressFamily::V6 };
        if family == AddressFamily::V6 && !self.ip_address_type.has_ipv6() {
            let detail =
                format!("Service {} has IPv6 addresses only, which an ALB reaches only if it is dual-stack itself.", source.service);
            return Err(Issue::unsupported(field, detail, "Set spec.aws.ipAddressType of the LoadBalancerProfile to dualstack."));
        }
        let mut id = format!("target-group/{}:{}", source.service, source.port);
        if protocol == TargetProtocol::Https {
            id.push_str("/https");
        }
        if family == AddressFamily::V6 {
            id.push_str("/ipv6");
        }
        let mut group = self.plain_group(ResourceId(id), protocol, source.port, family.into());
        group.sources = vec![Source::Object(ObjectRef::new(Kind::Service, &source.service))];
        group.name = name::target_group(self.cluster, &self.load_balancer, source, &group);
        let name = group.name.clone();
        self.bindings.entry(name.clone()).or_insert_with(|| Binding { source: source.clone(), family, sink: name.clone() });
        self.target_groups.entry(name.clone()).or_insert(group);
        Ok(name)
    }

    /// The target group that never has a target. An ALB answers 503 for its share; the Gateway API asks for 500, which an ALB cannot answer for a share.
    pub(super) fn unavailable(&mut self) -> TargetSetId {
        let name = name::unavailable(self.cluster, &self.load_balancer);
        let mut group = self.plain_group(ResourceId("target-group/unavailable".into()), TargetProtocol::Http, 80, TargetFamily::Ipv4);
        group.name = name.clone();
        self.target_groups.entry(name.clone()).or_insert(group);
        name
    }

    fn plain_group(&self, id: ResourceId, protocol: TargetProtocol, port: u16, family: TargetFamily) -> TargetGroup {
        let settings = &self.settings.target_group;
        let check = &settings.health_check;
        let algorithm = match settings.algorithm {
            Algorithm::RoundRobin => "round_robin",
            Algorithm::LeastOutstandingRequests => "least_outstanding_requests",
            Algorithm::WeightedRandom => "weighted_random",
        };
        TargetGroup {
            id,
            name: TargetSetId(String::new()),
            protocol,
            version: TargetVersion::Http1,
            port,
            family,
            health_check: HealthCheck {
                protocol: match check.protocol {
                    None => protocol,
                    Some(HealthCheckProtocol::Http) => TargetProtocol::Http,
                    Some(HealthCheckProtocol::Https) => TargetProtocol::Https,
                },
                port: check.port,
                path: check.path.clone(),
                matcher: check.matcher.clone(),
                interval_seconds: check.interval_seconds,
                timeout_seconds: check.timeout_seconds,
                healthy_threshold: check.healthy_threshold,
                unhealthy_threshold: check.unhealthy_threshold,
            },
            attributes: BTreeMap::from([
                ("deregistration_delay.timeout_seconds".into(), settings.deregistration_delay_seconds.to_string()),
                ("load_balancing.algorithm.type".into(), algorithm.into()),
            ]),
            tags: self.tags.clone(),
            sources: Vec::new(),
        }
    }
}

fn protocol(protocol: &AppProtocol, field: &str) -> Result<TargetProtocol, Issue> {
    match protocol {
        AppProtocol::Http | AppProtocol::WebSocket => Ok(TargetProtocol::Http),
        AppProtocol::Https | AppProtocol::WebSocketSecure => Ok(TargetProtocol::Https),
        AppProtocol::H2c | AppProtocol::H2 => {
            let detail = "An ALB speaks HTTP/2 to targets only for clients that speak HTTP/2, which needs an HTTPS listener.";
            Err(Issue::unsupported(field, detail, "Let the Service's port speak HTTP/1.1 (remove its appProtocol)."))
        }
        AppProtocol::Tcp | AppProtocol::Udp => Err(Issue::unsupported(
            field,
            "An ALB speaks HTTP and HTTPS to targets, and no other protocol.",
            "Remove the appProtocol of the Service's port.",
        )),
    }
}
