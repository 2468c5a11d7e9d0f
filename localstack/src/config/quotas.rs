//! The account's limits.

use serde::Serialize;

/// Limits of the account and region. Sources: AWS "Quotas for your Application Load Balancers", "Quotas for your Network Load Balancers" and, for EC2, "Amazon VPC quotas".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Quotas {
    /// AWS: 50 application load balancers per region, adjustable.
    pub load_balancers: usize,
    /// AWS: 50 listeners per application load balancer, adjustable.
    pub listeners_per_load_balancer: usize,
    /// AWS: 100 rules per application load balancer over all listeners, default rules excluded, adjustable.
    pub rules_per_load_balancer: usize,
    /// AWS: 3000 target groups per region, adjustable.
    pub target_groups: usize,
    /// AWS: 100 distinct target groups per application load balancer, fixed.
    pub target_groups_per_load_balancer: usize,
    /// AWS: 5 target groups per action, fixed.
    pub target_groups_per_action: usize,
    /// AWS: 1000 targets per target group, adjustable.
    pub targets_per_target_group: usize,
    /// AWS: 1000 targets per application load balancer, adjustable.
    pub targets_per_load_balancer: usize,
    /// AWS: 1000 registrations of one target id per application load balancer, fixed.
    pub registrations_per_target: usize,
    /// AWS: 25 certificates per application load balancer, default certificates excluded, adjustable.
    pub certificates_per_load_balancer: usize,
    /// AWS: 50 network load balancers per region, adjustable.
    pub network_load_balancers: usize,
    /// AWS: 50 listeners per network load balancer, fixed.
    pub listeners_per_network_load_balancer: usize,
    /// AWS: 5 target groups per action of a network load balancer, fixed.
    pub target_groups_per_network_action: usize,
    /// AWS: 25 certificates per network load balancer, default certificates excluded, adjustable.
    pub certificates_per_network_load_balancer: usize,
    /// AWS: 3000 targets per network load balancer, adjustable. While cross-zone load balancing is on it is
    /// [`Self::targets_per_zone_per_network_load_balancer`].
    pub targets_per_network_load_balancer: usize,
    /// AWS: 500 targets per zone of a network load balancer, adjustable.
    pub targets_per_zone_per_network_load_balancer: usize,
    /// AWS: 1200 network interfaces of network load balancers per VPC, adjustable.
    pub network_load_balancer_interfaces_per_vpc: usize,
    /// AWS: 2500 certificates in ACM per region, adjustable.
    pub certificates: usize,
    /// AWS: 5000 certificates imported or requested in 365 days, adjustable.
    pub certificate_imports_per_year: usize,
    /// AWS: 100 web ACLs in WAFv2 per region, adjustable.
    pub web_acls: usize,
    /// AWS: 5 elastic IP addresses per region, adjustable.
    pub elastic_ip_addresses: usize,
    /// AWS: 1 IPAM per region, fixed ("Quotas for your IPAM").
    pub ipams: usize,
    /// AWS: 50 pools per scope of an IPAM, adjustable.
    pub ipam_pools_per_scope: usize,
    /// AWS: pools within pools, 10 deep, adjustable.
    pub ipam_pool_depth: usize,
    /// AWS: 50 CIDRs per pool of an IPAM, adjustable.
    pub ipam_cidrs_per_pool: usize,
    /// AWS: 2 contiguous blocks of Amazon's public IPv4 addresses, adjustable by its support.
    pub ipam_contiguous_blocks: usize,
    /// AWS: 10000 general purpose buckets per account, adjustable.
    pub buckets: usize,
    /// AWS: 20 trust stores per region, adjustable.
    pub trust_stores: usize,
    /// AWS: 2 listeners that verify clients per application load balancer, fixed.
    pub verifying_listeners_per_load_balancer: usize,
    /// AWS: 25 certificates of authorities per trust store, adjustable.
    pub certificates_per_trust_store: usize,
    /// AWS: 30 revocation lists per trust store, adjustable.
    pub revocation_lists_per_trust_store: usize,
    /// AWS: 500,000 revoked certificates per trust store, adjustable.
    pub revocation_entries_per_trust_store: usize,
    /// AWS: 5 condition values per rule, fixed.
    pub condition_values_per_rule: usize,
    /// AWS: 6 wildcards per rule, fixed.
    pub condition_wildcards_per_rule: usize,
    /// AWS: 5 security groups per load balancer or network interface.
    pub security_groups_per_interface: usize,
    /// AWS: 2500 security groups per region, adjustable.
    pub security_groups: usize,
    /// AWS: 60 inbound and 60 outbound rules per security group, adjustable.
    pub rules_per_security_group: usize,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            load_balancers: 50,
            listeners_per_load_balancer: 50,
            rules_per_load_balancer: 100,
            target_groups: 3000,
            target_groups_per_load_balancer: 100,
            target_groups_per_action: 5,
            targets_per_target_group: 1000,
            targets_per_load_balancer: 1000,
            registrations_per_target: 1000,
            certificates_per_load_balancer: 25,
            network_load_balancers: 50,
            listeners_per_network_load_balancer: 50,
            target_groups_per_network_action: 5,
            certificates_per_network_load_balancer: 25,
            targets_per_network_load_balancer: 3000,
            targets_per_zone_per_network_load_balancer: 500,
            network_load_balancer_interfaces_per_vpc: 1200,
            certificates: 2500,
            certificate_imports_per_year: 5000,
            web_acls: 100,
            elastic_ip_addresses: 5,
            ipams: 1,
            ipam_pools_per_scope: 50,
            ipam_pool_depth: 10,
            ipam_cidrs_per_pool: 50,
            ipam_contiguous_blocks: 2,
            buckets: 10_000,
            trust_stores: 20,
            verifying_listeners_per_load_balancer: 2,
            certificates_per_trust_store: 25,
            revocation_lists_per_trust_store: 30,
            revocation_entries_per_trust_store: 500_000,
            condition_values_per_rule: 5,
            condition_wildcards_per_rule: 6,
            security_groups_per_interface: 5,
            security_groups: 2500,
            rules_per_security_group: 60,
        }
    }
}

/// A quota's name and where it stands.
type Entry = (&'static str, fn(&mut Quotas) -> &mut usize);

impl Quotas {
    /// The quotas by name: those of ELBv2 as DescribeAccountLimits calls them, the others after their names in Service Quotas.
    const ENTRIES: &'static [Entry] = &[
        ("acm-certificates", |quotas| &mut quotas.certificates),
        ("acm-certificates-created-in-last-365-days", |quotas| &mut quotas.certificate_imports_per_year),
        ("application-load-balancers", |quotas| &mut quotas.load_balancers),
        ("certificates-per-application-load-balancer", |quotas| &mut quotas.certificates_per_load_balancer),
        ("certificates-per-network-load-balancer", |quotas| &mut quotas.certificates_per_network_load_balancer),
        ("condition-values-per-alb-rule", |quotas| &mut quotas.condition_values_per_rule),
        ("condition-wildcards-per-alb-rule", |quotas| &mut quotas.condition_wildcards_per_rule),
        ("elastic-ip-addresses", |quotas| &mut quotas.elastic_ip_addresses),
        ("ipam-cidrs-per-pool", |quotas| &mut quotas.ipam_cidrs_per_pool),
        ("ipam-contiguous-ipv4-blocks", |quotas| &mut quotas.ipam_contiguous_blocks),
        ("ipam-pool-depth", |quotas| &mut quotas.ipam_pool_depth),
        ("ipam-pools-per-scope", |quotas| &mut quotas.ipam_pools_per_scope),
        ("ipams", |quotas| &mut quotas.ipams),
        ("listeners-per-application-load-balancer", |quotas| &mut quotas.listeners_per_load_balancer),
        ("listeners-per-network-load-balancer", |quotas| &mut quotas.listeners_per_network_load_balancer),
        ("network-load-balancer-enis-per-vpc", |quotas| &mut quotas.network_load_balancer_interfaces_per_vpc),
        ("network-load-balancers", |quotas| &mut quotas.network_load_balancers),
        ("rules-per-application-load-balancer", |quotas| &mut quotas.rules_per_load_balancer),
        ("rules-per-security-group", |quotas| &mut quotas.rules_per_security_group),
        ("security-groups-per-network-interface", |quotas| &mut quotas.security_groups_per_interface),
        ("security-groups-per-region", |quotas| &mut quotas.security_groups),
        ("s3-buckets", |quotas| &mut quotas.buckets),
        ("target-groups", |quotas| &mut quotas.target_groups),
        ("target-groups-per-action-on-application-load-balancer", |quotas| &mut quotas.target_groups_per_action),
        ("target-groups-per-action-on-network-load-balancer", |quotas| &mut quotas.target_groups_per_network_action),
        ("target-groups-per-application-load-balancer", |quotas| &mut quotas.target_groups_per_load_balancer),
        ("target-id-registrations-per-application-load-balancer", |quotas| &mut quotas.registrations_per_target),
        ("targets-per-application-load-balancer", |quotas| &mut quotas.targets_per_load_balancer),
        ("targets-per-availability-zone-per-network-load-balancer", |quotas| &mut quotas.targets_per_zone_per_network_load_balancer),
        ("targets-per-network-load-balancer", |quotas| &mut quotas.targets_per_network_load_balancer),
        ("targets-per-target-group", |quotas| &mut quotas.targets_per_target_group),
        ("trust-store-certificates-per-trust-store", |quotas| &mut quotas.certificates_per_trust_store),
        ("trust-store-revocation-entries-per-trust-store", |quotas| &mut quotas.revocation_entries_per_trust_store),
        ("trust-store-revocation-lists-per-trust-store", |quotas| &mut quotas.revocation_lists_per_trust_store),
        ("trust-store-verifying-listeners-per-application-load-balancer", |quotas| &mut quotas.verifying_listeners_per_load_balancer),
        ("trust-stores", |quotas| &mut quotas.trust_stores),
        ("wafv2-web-acls", |quotas| &mut quotas.web_acls),
    ];

    /// All quotas by name.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let mut copy = *self;
        Self::ENTRIES.iter().map(move |(name, at)| (*name, *at(&mut copy)))
    }

    /// Sets the quota with this name; false if there is none.
    pub fn set(&mut self, name: &str, value: usize) -> bool {
        let found = Self::ENTRIES.iter().find(|(known, _)| *known == name);
        if let Some((_, at)) = found {
            *at(self) = value;
        }
        found.is_some()
    }
}
