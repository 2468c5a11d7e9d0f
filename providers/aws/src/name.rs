//! Names of AWS resources: hashed by the scheme of [`stable_name`], so that they never change while what they name stays the same.

use crate::limit;
use crate::stack::{Scheme, TargetGroup};
use portico_providers::{ClusterId, ServiceBackend, TargetSetId, UnitId, stable_name};

/// How all names begin that Portico gives. Listings read tags only of resources whose name begins with it.
pub const PREFIX: &str = "portico";

/// Name of a unit's load balancer.
///
/// The scheme is part of it, since a load balancer cannot change it: a unit that changes its scheme gets a new load balancer beside the old.
pub fn load_balancer(cluster: &ClusterId, unit: &UnitId, scheme: Scheme) -> String {
    stable_name(PREFIX, &words(unit), &[&cluster.0, &unit.to_string(), "load-balancer", scheme.as_str()], limit::NAME_LENGTH)
}

/// All names that a unit's load balancer can have, whatever its settings are now.
pub fn load_balancers(cluster: &ClusterId, unit: &UnitId) -> [String; 2] {
    [load_balancer(cluster, unit, Scheme::InternetFacing), load_balancer(cluster, unit, Scheme::Internal)]
}

/// Name of the security group of a unit's load balancer.
pub fn security_group(cluster: &ClusterId, unit: &UnitId) -> String {
    stable_name(PREFIX, &words(unit), &[&cluster.0, &unit.to_string(), "security-group"], 64)
}

/// Name of the target group of a Service's port.
///
/// The hash covers everything that a target group cannot change (AWS: protocol, version, port, address family), and its load balancer, since a
/// target group serves only one: another value makes another group.
pub fn target_group(cluster: &ClusterId, load_balancer: &str, source: &ServiceBackend, group: &TargetGroup) -> TargetSetId {
    let service = source.service.to_string();
    let words = [source.service.namespace.as_str(), source.service.name.as_str()];
    // Protocol and version are written as the API writes them; the port name is not covered, since it only says where endpoints are found.
    let identity = [
        cluster.0.as_str(),
        load_balancer,
        "target-group",
        &service,
        &source.port.to_string(),
        group.protocol.as_str(),
        group.version.as_str(),
        group.family.as_str(),
    ];
    TargetSetId(stable_name(PREFIX, &words, &identity, limit::NAME_LENGTH))
}

/// Name of the target group without targets, which answers 503 for the share of invalid backends.
pub fn unavailable(cluster: &ClusterId, load_balancer: &str) -> TargetSetId {
    TargetSetId(stable_name(PREFIX, &["unavailable"], &[&cluster.0, load_balancer, "unavailable"], limit::NAME_LENGTH))
}

fn words(unit: &UnitId) -> [&str; 2] {
    match unit {
        UnitId::Gateway(key) => [&key.namespace, &key.name],
        UnitId::Sharing { class, group } => [class, group],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portico_crds::NamespacedName;

    /// AWS: at most 32 characters of `[A-Za-z0-9-]`, no hyphen at either end, not beginning with `internal-`.
    #[test]
    fn names_fit_aws_whatever_kubernetes_allows() {
        let cluster = ClusterId("0b0e4c0e-9a55-4bb3-8d5c-3a2a58a3c5a1".into());
        for (namespace, name) in [("internal", "web"), ("a", "b"), (&*"n".repeat(63), &*"x".repeat(253)), ("a.b", "c--d")] {
            let unit = UnitId::Gateway(NamespacedName::new(namespace, name));
            for name in load_balancers(&cluster, &unit) {
                assert!(name.len() <= 32 && !name.starts_with('-') && !name.ends_with('-') && !name.starts_with("internal-"), "{name}");
                assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{name}");
            }
        }
    }

    /// These names exist in users' clouds.
    #[test]
    fn names_never_change() {
        let cluster = ClusterId("cluster".into());
        let unit = UnitId::Gateway(NamespacedName::new("infra", "web"));
        let names = format!("{:?} {}", load_balancers(&cluster, &unit), security_group(&cluster, &unit));
        expect_test::expect![[r#"["portico-infra-web-jxef3bmyoh", "portico-infra-web-nzdqdnt7ii"] portico-infra-web-btwq4t5vo5"#]]
            .assert_eq(&names);
    }
}
