//! Choice of subnets: one per zone, stable while what was chosen still fits.

use crate::limit;
use crate::observed::Subnet;
use crate::stack::{LoadBalancer, Scheme, SubnetSelection};
use portico_providers::{ProviderError, TagSet};
use std::collections::{BTreeMap, BTreeSet};

/// Prefix of the tag by which installers say whose a resource is.
pub(super) const CLUSTER_TAG: &str = "kubernetes.io/cluster/";

/// Subnets for a load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub vpc: String,
    /// Sorted.
    pub ids: Vec<String>,
}

/// Chooses a load balancer's subnets. `current` are those that it has; `vpc` is the VPC that the operator was told to work in.
///
/// # Errors
/// [`ProviderError::Settings`] where AWS would refuse every choice; the message names each candidate with the reason that speaks against it.
pub(super) fn choose(wanted: &LoadBalancer, current: &[String], subnets: &[Subnet], vpc: Option<&str>) -> Result<Choice, ProviderError> {
    match &wanted.subnets {
        SubnetSelection::Ids(ids) => by_id(ids, subnets),
        SubnetSelection::Tags(tags) => {
            let wants = |subnet: &Subnet| match tags.iter().find(|(key, value)| !has_tag(&subnet.tags, key, value)) {
                Some((key, value)) => Err(format!("has no tag {key}={value}")),
                None => Ok(()),
            };
            discover(wants, None, current, subnets, vpc, "spec.aws.subnets.discover.tags")
        }
        SubnetSelection::Discover { cluster_name } => {
            let wants = |subnet: &Subnet| role(subnet, wanted.scheme, cluster_name.as_deref());
            discover(wants, cluster_name.as_deref(), current, subnets, vpc, "spec.aws.subnets")
        }
    }
}

/// Whether tags hold a key with a value; `*` stands for any value.
pub(super) fn has_tag(tags: &TagSet, key: &str, value: &str) -> bool {
    tags.get(key).is_some_and(|found| value == "*" || found == value)
}

fn role(subnet: &Subnet, scheme: Scheme, cluster_name: Option<&str>) -> Result<(), String> {
    let role = scheme.subnet_role();
    match subnet.tags.get(role).map(String::as_str) {
        Some("1" | "") => {}
        Some(other) => return Err(format!("{role} is {other:?}, and not \"1\" or empty")),
        None => return Err(format!("has no tag {role}")),
    }
    let clusters: Vec<_> = subnet.tags.keys().filter_map(|key| key.strip_prefix(CLUSTER_TAG)).collect();
    match cluster_name {
        Some(name) if !clusters.is_empty() && !clusters.contains(&name) => Err(format!("belongs to the cluster {}", clusters.join(", "))),
        _ => Ok(()),
    }
}

fn by_id(ids: &[String], subnets: &[Subnet]) -> Result<Choice, ProviderError> {
    let field = "spec.aws.subnets.ids";
    let mut found = Vec::new();
    for id in ids.iter().collect::<BTreeSet<_>>() {
        match subnets.iter().find(|subnet| subnet.id == *id) {
            Some(subnet) => found.push(subnet),
            None => {
                return Err(settings(format!(
                    "{field} names {id}, which does not exist in this region; correct the id, or spec.aws.region"
                )));
            }
        }
    }
    let mut zones = BTreeMap::new();
    for subnet in &found {
        if let Some(other) = zones.insert(subnet.zone.as_str(), subnet.id.as_str()) {
            return Err(settings(format!(
                "{field}: {other} and {} are both in {}; an ALB takes one subnet per zone: leave one of them out",
                subnet.id, subnet.zone
            )));
        }
        if found.first().is_some_and(|first| first.vpc != subnet.vpc) {
            return Err(settings(format!("{field}: the subnets are in different VPCs; name those of one")));
        }
    }
    if zones.len() < limit::ZONES_PER_LOAD_BALANCER {
        return Err(settings(format!(
            "{field} covers {} zone(s); an ALB needs {}: name subnets of more zones",
            zones.len(),
            limit::ZONES_PER_LOAD_BALANCER
        )));
    }
    let vpc = found.first().map(|subnet| subnet.vpc.clone()).unwrap_or_default();
    Ok(Choice { vpc, ids: found.iter().map(|subnet| subnet.id.clone()).collect() })
}

fn discover(
    wants: impl Fn(&Subnet) -> Result<(), String>,
    cluster_name: Option<&str>,
    current: &[String],
    subnets: &[Subnet],
    vpc: Option<&str>,
    field: &str,
) -> Result<Choice, ProviderError> {
    let mut reasons = Vec::new();
    let mut fit: Vec<&Subnet> = Vec::new();
    for subnet in subnets {
        let other_vpc = vpc.filter(|vpc| *vpc != subnet.vpc).map(|vpc| format!("is in {}, and not in {vpc}", subnet.vpc));
        let full = subnet.free_addresses < limit::FREE_ADDRESSES_PER_SUBNET && !current.contains(&subnet.id);
        let full = full.then(|| format!("has {} free addresses; an ALB needs {}", subnet.free_addresses, limit::FREE_ADDRESSES_PER_SUBNET));
        match other_vpc.map_or_else(|| wants(subnet), Err).and_then(|()| full.map_or(Ok(()), Err)) {
            Ok(()) => fit.push(subnet),
            Err(reason) => reasons.push(format!("{} in {}: {reason}", subnet.id, subnet.zone)),
        }
    }
    let current_vpc = subnets.iter().find(|subnet| current.contains(&subnet.id)).map(|subnet| subnet.vpc.as_str());
    let vpcs: BTreeSet<_> = fit.iter().map(|subnet| subnet.vpc.as_str()).collect();
    let chosen_vpc = match (current_vpc.filter(|vpc| vpcs.contains(vpc)), vpcs.len()) {
        (Some(vpc), _) => vpc,
        (None, 0 | 1) => vpcs.first().copied().unwrap_or_default(),
        (None, _) => {
            let vpcs: Vec<_> = vpcs.into_iter().collect();
            return Err(settings(format!(
                "{field} finds subnets in several VPCs ({}); tell the operator which one with --aws-vpc, or name the subnets",
                vpcs.join(", ")
            )));
        }
    };
    let tagged = |subnet: &Subnet| match cluster_name {
        Some(name) => subnet.tags.contains_key(&format!("{CLUSTER_TAG}{name}")),
        None => subnet.tags.keys().any(|key| key.starts_with(CLUSTER_TAG)),
    };
    // One per zone: the one in use, else one that is tagged for the cluster, else the first by id.
    let mut zones: BTreeMap<&str, &Subnet> = BTreeMap::new();
    let rank = |subnet: &Subnet| (!current.contains(&subnet.id), !tagged(subnet), subnet.id.clone());
    for subnet in fit.into_iter().filter(|subnet| subnet.vpc == chosen_vpc) {
        match zones.get(subnet.zone.as_str()) {
            Some(best) if rank(best) <= rank(subnet) => {}
            _ => drop(zones.insert(&subnet.zone, subnet)),
        }
    }
    if zones.len() < limit::ZONES_PER_LOAD_BALANCER {
        let what =
            if reasons.is_empty() { "there are no others".to_owned() } else { format!("the others do not fit: {}", reasons.join("; ")) };
        return Err(settings(format!(
            "{field} finds subnets in {} zone(s), and an ALB needs {}: tag more of them, or name them in spec.aws.subnets.ids; {what}",
            zones.len(),
            limit::ZONES_PER_LOAD_BALANCER
        )));
    }
    let mut ids: Vec<_> = zones.values().map(|subnet| subnet.id.clone()).collect();
    ids.sort();
    Ok(Choice { vpc: chosen_vpc.to_owned(), ids })
}

fn settings(message: String) -> ProviderError {
    ProviderError::Settings { message }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::{IpAddressType, SecurityGroups};
    use portico_providers::ResourceId;

    fn subnet(id: &str, vpc: &str, zone: &str, free: u32, tags: &[(&str, &str)]) -> Subnet {
        let tags = tags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Subnet { id: id.into(), vpc: vpc.into(), zone: zone.into(), free_addresses: free, tags }
    }

    fn wanted(subnets: SubnetSelection) -> LoadBalancer {
        LoadBalancer {
            id: ResourceId("load-balancer".into()),
            name: "lb".into(),
            scheme: Scheme::InternetFacing,
            ip_address_type: IpAddressType::Ipv4,
            subnets,
            security_groups: SecurityGroups::Managed,
            attributes: BTreeMap::new(),
            tags: TagSet::new(),
        }
    }

    const ELB: (&str, &str) = ("kubernetes.io/role/elb", "1");

    fn discovered(cluster: Option<&str>, current: &[&str], subnets: &[Subnet]) -> Result<Vec<String>, String> {
        let current: Vec<_> = current.iter().map(|id| (*id).to_owned()).collect();
        let selection = SubnetSelection::Discover { cluster_name: cluster.map(str::to_owned) };
        choose(&wanted(selection), &current, subnets, None).map(|choice| choice.ids).map_err(|error| error.to_string())
    }

    #[test]
    fn one_subnet_per_zone_the_clusters_own_first_and_then_by_id() {
        let own = ("kubernetes.io/cluster/prod", "shared");
        let all = [
            subnet("subnet-c", "vpc-1", "a", 100, &[ELB]),
            subnet("subnet-a", "vpc-1", "a", 100, &[ELB]),
            subnet("subnet-d", "vpc-1", "b", 100, &[ELB, own]),
            subnet("subnet-b", "vpc-1", "b", 100, &[ELB]),
            subnet("subnet-e", "vpc-1", "c", 100, &[ELB, ("kubernetes.io/cluster/other", "owned")]),
        ];
        assert_eq!(discovered(Some("prod"), &[], &all), Ok(vec!["subnet-a".into(), "subnet-d".into()]));
        // What is in use stays, so that a new subnet moves no load balancer.
        assert_eq!(discovered(Some("prod"), &["subnet-c", "subnet-b"], &all), Ok(vec!["subnet-b".into(), "subnet-c".into()]));
    }

    #[test]
    fn a_full_subnet_is_not_chosen_but_kept() {
        let all = [
            subnet("subnet-a", "vpc-1", "a", 3, &[ELB]),
            subnet("subnet-b", "vpc-1", "b", 9, &[ELB]),
            subnet("subnet-c", "vpc-1", "c", 9, &[ELB]),
        ];
        assert_eq!(discovered(None, &[], &all), Ok(vec!["subnet-b".into(), "subnet-c".into()]));
        assert_eq!(discovered(None, &["subnet-a", "subnet-b"], &all), Ok(vec!["subnet-a".into(), "subnet-b".into(), "subnet-c".into()]));
    }

    #[test]
    fn errors_say_what_speaks_against_each_candidate() {
        let all = [
            subnet("subnet-a", "vpc-1", "a", 100, &[ELB]),
            subnet("subnet-b", "vpc-1", "b", 2, &[ELB]),
            subnet("subnet-c", "vpc-1", "c", 100, &[]),
        ];
        let error = discovered(None, &[], &all).unwrap_err();
        for part in ["1 zone(s)", "needs 2", "subnet-b in b: has 2 free addresses", "subnet-c in c: has no tag kubernetes.io/role/elb"] {
            assert!(error.contains(part), "{error}");
        }
        let two = [subnet("subnet-a", "vpc-1", "a", 100, &[ELB]), subnet("subnet-b", "vpc-2", "b", 100, &[ELB])];
        assert!(discovered(None, &[], &two).unwrap_err().contains("vpc-1, vpc-2"));
    }

    #[test]
    fn subnets_by_id_are_checked_before_aws_would() {
        let all =
            [subnet("subnet-a", "vpc-1", "a", 1, &[]), subnet("subnet-b", "vpc-1", "a", 1, &[]), subnet("subnet-c", "vpc-1", "c", 1, &[])];
        let by = |ids: &[&str]| choose(&wanted(SubnetSelection::Ids(ids.iter().map(|id| (*id).to_owned()).collect())), &[], &all, None);
        assert_eq!(by(&["subnet-c", "subnet-a"]), Ok(Choice { vpc: "vpc-1".into(), ids: vec!["subnet-a".into(), "subnet-c".into()] }));
        for (ids, reason) in
            [(vec!["subnet-a", "subnet-b"], "both in a"), (vec!["subnet-a"], "1 zone(s)"), (vec!["subnet-x", "subnet-a"], "does not exist")]
        {
            let error = by(&ids).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
