//! An account that nobody looked at: what a plan assumes that is made without credentials.

use crate::observed::{BackendGroup, Observed, Subnet};
use crate::stack::{BackendGroups, Stack, SubnetSelection};
use portico_providers::{Presence, TagSet};
use std::collections::BTreeMap;

/// The VPC of an assumed account.
const VPC: &str = "vpc-assumed";

impl Observed {
    /// What an account would show that holds nothing of the stack's unit, but everything that the stack refers to: subnets in two zones and a group of
    /// nodes, just as the stack selects them.
    pub fn assumed(stack: &Stack) -> Self {
        let balancer = stack.load_balancer.as_ref();
        Self {
            load_balancers: balancer.iter().map(|balancer| (balancer.name.clone(), Presence::Absent)).collect(),
            security_group: Presence::Absent,
            backend_groups: Presence::Present(stack.backend_access.iter().flat_map(|access| groups(&access.groups)).collect()),
            target_groups: stack.target_groups.iter().map(|group| (group.name.clone(), Presence::Absent)).collect(),
            certificates: BTreeMap::new(),
            certificates_unread: false,
            subnets: Presence::Present(
                balancer.map(|balancer| subnets(&balancer.subnets, balancer.scheme.subnet_role())).unwrap_or_default(),
            ),
            vpc: Some(VPC.to_owned()),
            limits: crate::observed::Limits::default(),
        }
    }
}

fn subnets(selection: &SubnetSelection, role: &str) -> Vec<Subnet> {
    let subnet = |number: usize, id: String, tags: TagSet| {
        let zone = char::from(b'a' + u8::try_from(number % 26).unwrap_or(0));
        Subnet { id, vpc: VPC.to_owned(), zone: format!("zone-{zone}"), free_addresses: 1000, tags }
    };
    match selection {
        SubnetSelection::Ids(ids) => ids.iter().enumerate().map(|(number, id)| subnet(number, id.clone(), TagSet::new())).collect(),
        SubnetSelection::Tags(tags) => (0..2).map(|number| subnet(number, format!("subnet-assumed-{number}"), any_value(tags))).collect(),
        SubnetSelection::Discover { cluster_name } => {
            let mut tags = TagSet::from([(role.to_owned(), "1".to_owned())]);
            tags.extend(cluster_name.iter().map(|name| (format!("kubernetes.io/cluster/{name}"), "owned".to_owned())));
            (0..2).map(|number| subnet(number, format!("subnet-assumed-{number}"), tags.clone())).collect()
        }
    }
}

fn groups(selection: &BackendGroups) -> Vec<BackendGroup> {
    let group = |id: &str, tags: TagSet| BackendGroup { id: id.to_owned(), vpc: VPC.to_owned(), tags, admits_us: Vec::new() };
    match selection {
        BackendGroups::Ids(ids) => ids.iter().map(|id| group(id, TagSet::new())).collect(),
        BackendGroups::Tags(tags) => vec![group("sg-assumed-nodes", any_value(tags))],
        BackendGroups::Discover { cluster_name } => {
            let cluster = cluster_name.as_deref().unwrap_or("assumed");
            vec![group("sg-assumed-nodes", TagSet::from([(format!("kubernetes.io/cluster/{cluster}"), "owned".to_owned())]))]
        }
    }
}

/// Tags that a selection finds: `*` stands for any value.
fn any_value(tags: &TagSet) -> TagSet {
    tags.iter().map(|(key, value)| (key.clone(), if value == "*" { "assumed".to_owned() } else { value.clone() })).collect()
}
