//! Security groups.

use super::Compiler;
use crate::limit;
use crate::name;
use crate::stack::{BackendAccess, BackendGroups, IngressRule, Listener, SecurityGroup};
use portico_crds::v1alpha1::{BackendSecurityGroupSource, SecurityGroupSource};
use portico_providers::{ResourceId, mark};
use std::collections::BTreeSet;

/// How many ports' rules a security group has room for.
pub(super) struct PortRoom {
    /// Ports.
    pub ports: usize,
    /// Inbound rules that each port needs, of the address family that needs more (AWS counts IPv4 and IPv6 apart).
    pub rules_per_port: usize,
    /// Inbound rules that the group may have.
    pub rules: usize,
}

impl Compiler<'_> {
    /// Who may reach the listeners; nothing where the profile brings groups.
    fn sources(&self) -> Option<Vec<String>> {
        let SecurityGroupSource::Managed { source_ranges, .. } = &self.settings.security_groups else { return None };
        let everybody = || {
            let ipv6 = self.ip_address_type.has_ipv6().then_some("::/0");
            ["0.0.0.0/0"].into_iter().chain(ipv6).map(str::to_owned).collect()
        };
        Some(source_ranges.clone().unwrap_or_else(everybody))
    }

    /// For how many ports the load balancer's own group has room; nothing where the profile brings groups.
    pub(super) fn port_room(&self) -> Option<PortRoom> {
        let SecurityGroupSource::Managed { rule_quota, .. } = &self.settings.security_groups else { return None };
        let sources: BTreeSet<String> = self.sources()?.into_iter().collect();
        let ipv6 = sources.iter().filter(|source| source.contains(':')).count();
        let rules_per_port = ipv6.max(sources.len() - ipv6).max(1);
        let rules = rule_quota.unwrap_or(limit::INBOUND_RULES_PER_SECURITY_GROUP) as usize;
        Some(PortRoom { ports: rules / rules_per_port, rules_per_port, rules })
    }

    /// The load balancer's own group and its way to the pods; nothing where the profile brings groups, whose rules are their owner's business.
    pub(super) fn security_groups(&self, listeners: &[Listener]) -> (Option<SecurityGroup>, Option<BackendAccess>) {
        let Some(sources) = self.sources() else { return (None, None) };
        let mut ingress: Vec<_> = listeners
            .iter()
            .flat_map(|listener| sources.iter().map(|source| IngressRule { port: listener.port, source: source.clone() }))
            .collect();
        ingress.sort();
        ingress.dedup();
        let unit = mark::value(&self.plan.unit.to_string());
        let group = SecurityGroup {
            id: ResourceId("security-group".into()),
            name: name::security_group(self.cluster, &self.plan.unit),
            description: description("Load balancer of", &unit),
            ingress,
            tags: self.tags.clone(),
        };
        let access = self.settings.manage_backend_rules.then(|| BackendAccess {
            id: ResourceId("backend-access".into()),
            groups: match &self.settings.backend_security_groups {
                BackendSecurityGroupSource::Ids(ids) => BackendGroups::Ids(ids.clone()),
                BackendSecurityGroupSource::Tags(tags) => BackendGroups::Tags(tags.clone()),
                BackendSecurityGroupSource::ClusterTag => BackendGroups::Discover { cluster_name: self.settings.cluster_name.clone() },
            },
            description: description("Portico: from the load balancer of", &unit),
        });
        (Some(group), access)
    }
}

/// AWS: at most 255 characters of `a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*`.
fn description(what: &str, unit: &str) -> String {
    let text = format!("{what} {unit}");
    text.chars().map(|c| if c.is_ascii_alphanumeric() || ". _-:/".contains(c) { c } else { '_' }).take(255).collect()
}
