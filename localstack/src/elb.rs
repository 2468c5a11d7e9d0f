//! ELBv2 (`elasticloadbalancing`, version 2015-12-01): application and network load balancers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::AddressPool;
use crate::error::{Answer, ApiError};
use crate::operation::{Kind, Operation};

pub mod action;
pub mod arn;
pub mod attribute;
pub mod authentication;
pub mod capacity;
pub mod certificate;
pub mod condition;
pub mod dualstack;
pub mod health_check;
pub mod ip_pool;
pub mod kind;
pub mod listener;
pub mod load_balancer;
pub mod log_bucket;
pub mod mutual;
pub mod network_attribute;
pub mod node;
pub mod placement;
pub mod protocol;
pub mod quic_server;
pub mod quota;
pub mod redirect;
pub mod revocation;
pub mod rule;
pub mod rule_priority;
pub mod sharing;
pub mod ssl_policy;
pub mod tagging;
pub mod target;
pub mod target_attribute;
pub mod target_group;
pub mod target_health;
pub mod transform;
pub mod trust_store;
pub mod usage;
pub mod validation;

use kind::LoadBalancerKind;
use listener::Listener;
use load_balancer::LoadBalancer;
use rule::Rule;
use target::TargetKey;
use target_group::TargetGroup;
use trust_store::TrustStore;

/// The XML namespace of answers.
pub const NAMESPACE: &str = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/";

/// Something that time alone will do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Event {
    /// A load balancer becomes active.
    Active(String),
    /// A target's deregistration delay ends.
    Drained(String, TargetKey),
    /// A listener is found by further calls.
    Found(String),
}

/// The state of ELBv2. Maps are keyed by ARN; listeners and rules live in their load balancers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Elb {
    /// Load balancers with their listeners and rules.
    pub load_balancers: BTreeMap<String, LoadBalancer>,
    /// Target groups with their targets.
    pub target_groups: BTreeMap<String, TargetGroup>,
    /// Trust stores.
    pub trust_stores: BTreeMap<String, TrustStore>,
    /// What time will do, in order.
    pub events: BTreeSet<(Timestamp, Event)>,
    /// Listeners that were just created, and that further calls do not find yet, by ARN.
    #[serde(default)]
    pub unfound: BTreeSet<String>,
    /// Where load balancers listen.
    pub addresses: Addresses,
    /// What may have changed since the data plane was last brought in step.
    #[serde(skip)]
    pub dirty: Dirty,
}

/// What may have changed, come or gone, by ARN.
#[derive(Clone, Debug, Default)]
pub struct Dirty {
    /// Load balancers.
    pub load_balancers: BTreeSet<String>,
    /// Target groups.
    pub target_groups: BTreeSet<String>,
    /// Rules by listener, of application load balancers of which nothing else may have changed.
    pub rules: BTreeMap<String, BTreeSet<String>>,
}

impl Elb {
    /// No load balancers yet.
    pub fn new(pool: AddressPool) -> Self {
        let addresses = Addresses { cidr: pool.cidr, next: 0, used: BTreeSet::new() };
        Self {
            load_balancers: BTreeMap::new(),
            target_groups: BTreeMap::new(),
            trust_stores: BTreeMap::new(),
            events: BTreeSet::new(),
            unfound: BTreeSet::new(),
            addresses,
            dirty: Dirty::default(),
        }
    }

    /// Does what was due. Returns whether anything changed.
    pub fn expire(&mut self, now: Timestamp) -> bool {
        let mut changed = false;
        while self.events.first().is_some_and(|(at, _)| *at <= now) {
            match self.events.pop_first() {
                Some((_, Event::Drained(group, key))) => {
                    if let Ok(group) = self.target_group_mut(&group) {
                        group.finish_draining(&key, now);
                    }
                }
                Some((_, Event::Found(arn))) => drop(self.unfound.remove(&arn)),
                Some((_, Event::Active(arn))) => drop(self.dirty.load_balancers.insert(arn)),
                None => {}
            }
            changed = true;
        }
        changed
    }

    /// The next moment at which something will happen by itself.
    pub fn next_event(&self) -> Option<Timestamp> {
        self.events.first().map(|(at, _)| *at)
    }

    /// The load balancer with this ARN.
    pub fn load_balancer(&self, arn: &str) -> Answer<&LoadBalancer> {
        arn::check(arn, arn::Kind::LoadBalancer)?;
        self.load_balancers.get(arn).ok_or_else(|| ApiError::new("LoadBalancerNotFound", format!("Load balancer '{arn}' not found")))
    }

    /// The load balancer with this ARN, to change it.
    pub fn load_balancer_mut(&mut self, arn: &str) -> Answer<&mut LoadBalancer> {
        self.load_balancer(arn)?;
        self.dirty.load_balancers.insert(arn.to_string());
        let balancer = self.load_balancers.get_mut(arn);
        balancer.ok_or_else(|| ApiError::new("LoadBalancerNotFound", format!("Load balancer '{arn}' not found")))
    }

    /// Notes that a load balancer may reach other targets than before.
    fn placed_anew(&mut self, arn: &str) {
        if let Some(balancer) = self.load_balancers.get(arn) {
            self.dirty.target_groups.extend(balancer.target_groups.iter().cloned());
        }
    }

    /// The listener with this ARN, with its load balancer.
    pub fn listener(&self, arn: &str) -> Answer<(&LoadBalancer, &Listener)> {
        arn::check(arn, arn::Kind::Listener)?;
        let seen = Some(arn).filter(|arn| !self.unfound.contains(*arn));
        seen.and_then(|arn| self.load_balancers.get(&arn::load_balancer_of(arn)))
            .and_then(|owner| Some((owner, owner.listeners.get(arn)?)))
            .ok_or_else(|| listener_not_found(arn))
    }

    /// The listener with this ARN, to change it.
    pub fn listener_mut(&mut self, arn: &str) -> Answer<&mut Listener> {
        self.listener(arn)?;
        self.load_balancer_mut(&arn::load_balancer_of(arn))?.listeners.get_mut(arn).ok_or_else(|| listener_not_found(arn))
    }

    /// The rules of the listener with this ARN, to change those with the given ARNs, and no others.
    pub fn rules_mut(&mut self, listener: &str, changed: impl IntoIterator<Item = String>) -> Answer<&mut BTreeMap<String, Rule>> {
        let owner = self.listener(listener)?.0;
        if owner.kind == LoadBalancerKind::Network {
            self.dirty.load_balancers.insert(owner.arn.clone());
        }
        self.dirty.rules.entry(listener.to_string()).or_default().extend(changed);
        let owner = self.load_balancers.get_mut(&arn::load_balancer_of(listener));
        let found = owner.and_then(|owner| owner.listeners.get_mut(listener));
        found.map(|found| &mut found.rules).ok_or_else(|| listener_not_found(listener))
    }

    /// The rule with this ARN, with its listener and load balancer. `None` for the rule if it is the listener's default rule.
    pub fn rule(&self, arn: &str) -> Answer<(&LoadBalancer, &Listener, Option<&Rule>)> {
        arn::check(arn, arn::Kind::Rule)?;
        let missing = || ApiError::new("RuleNotFound", "One or more rules not found".to_string());
        let listener_arn = arn::listener_of(arn);
        let (owner, listener) = self.listener(&listener_arn).map_err(|_| missing())?;
        match listener.rules.get(arn) {
            Some(rule) => Ok((owner, listener, Some(rule))),
            None if listener.default_rule == arn => Ok((owner, listener, None)),
            None => Err(missing()),
        }
    }

    /// The target group with this ARN.
    pub fn target_group(&self, arn: &str) -> Answer<&TargetGroup> {
        arn::check(arn, arn::Kind::TargetGroup)?;
        self.target_groups.get(arn).ok_or_else(target_group_not_found)
    }

    /// The target group with this ARN, to change it.
    pub fn target_group_mut(&mut self, arn: &str) -> Answer<&mut TargetGroup> {
        arn::check(arn, arn::Kind::TargetGroup)?;
        self.dirty.target_groups.insert(arn.to_string());
        self.target_groups.get_mut(arn).ok_or_else(target_group_not_found)
    }
}

fn listener_not_found(arn: &str) -> ApiError {
    ApiError::new("ListenerNotFound", format!("Listener '{arn}' not found"))
}

/// The error for a target group that does not exist.
pub fn target_group_not_found() -> ApiError {
    ApiError::new("TargetGroupNotFound", "One or more target groups not found")
}

/// Hands out the addresses of load balancers, in turn, so that an address is not reused at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Addresses {
    cidr: IpNet,
    next: u32,
    used: BTreeSet<IpAddr>,
}

impl Addresses {
    /// Takes a free address; `None` if there is none.
    pub fn take(&mut self) -> Option<IpAddr> {
        let IpNet::V4(cidr) = self.cidr else { return None };
        let size = 1_u64 << (32 - u32::from(cidr.prefix_len()));
        for _ in 0..size {
            let offset = u64::from(self.next) % size;
            self.next = self.next.wrapping_add(1);
            let address = Ipv4Addr::from(u32::from(cidr.network()).wrapping_add(u32::try_from(offset).unwrap_or_default()));
            let last = address.octets()[3];
            if last != 0 && last != 255 && self.used.insert(IpAddr::V4(address)) {
                return Some(IpAddr::V4(address));
            }
        }
        None
    }

    /// The addresses that are taken.
    pub fn used(&self) -> &BTreeSet<IpAddr> {
        &self.used
    }

    /// Gives an address back.
    pub fn release(&mut self, address: IpAddr) {
        self.used.remove(&address);
    }
}

/// The operation with this name.
pub fn operation(name: &str) -> Option<Operation> {
    use Kind::{Read, Write};
    Some(match name {
        "CreateLoadBalancer" => Operation::new(Write, load_balancer::create),
        "DeleteLoadBalancer" => Operation::new(Write, load_balancer::delete),
        "DescribeLoadBalancers" => Operation::new(Read, load_balancer::describe),
        "DescribeLoadBalancerAttributes" => Operation::new(Read, attribute::describe_load_balancer),
        "ModifyLoadBalancerAttributes" => Operation::new(Write, attribute::modify_load_balancer),
        "SetSecurityGroups" => Operation::new(Write, placement::set_security_groups),
        "SetSubnets" => Operation::new(Write, placement::set_subnets),
        "SetIpAddressType" => Operation::new(Write, placement::set_ip_address_type),
        "CreateListener" => Operation::new(Write, listener::create),
        "ModifyListener" => Operation::new(Write, listener::modify),
        "DeleteListener" => Operation::new(Write, listener::delete),
        "DescribeListeners" => Operation::new(Read, listener::describe),
        "DescribeListenerAttributes" => Operation::new(Read, attribute::describe_listener),
        "ModifyListenerAttributes" => Operation::new(Write, attribute::modify_listener),
        "DescribeListenerCertificates" => Operation::new(Read, certificate::describe),
        "AddListenerCertificates" => Operation::new(Write, certificate::add),
        "RemoveListenerCertificates" => Operation::new(Write, certificate::remove),
        "CreateRule" => Operation::new(Write, rule::create),
        "ModifyRule" => Operation::new(Write, rule::modify),
        "DeleteRule" => Operation::new(Write, rule::delete),
        "DescribeRules" => Operation::new(Read, rule::describe),
        "SetRulePriorities" => Operation::new(Write, rule_priority::set),
        "CreateTargetGroup" => Operation::new(Write, target_group::create),
        "ModifyTargetGroup" => Operation::new(Write, target_group::modify),
        "DeleteTargetGroup" => Operation::new(Write, target_group::delete),
        "DescribeTargetGroups" => Operation::new(Read, target_group::describe),
        "DescribeTargetGroupAttributes" => Operation::new(Read, attribute::describe_target_group),
        "ModifyTargetGroupAttributes" => Operation::new(Write, attribute::modify_target_group),
        "RegisterTargets" => Operation::new(Write, target::register),
        "DeregisterTargets" => Operation::new(Write, target::deregister),
        "DescribeTargetHealth" => Operation::new(Read, target_health::describe),
        "AddTags" => Operation::new(Write, tagging::add),
        "RemoveTags" => Operation::new(Write, tagging::remove),
        "DescribeTags" => Operation::new(Read, tagging::describe),
        "DescribeAccountLimits" => Operation::new(Read, quota::describe),
        "DescribeCapacityReservation" => Operation::new(Read, capacity::describe),
        "ModifyCapacityReservation" => Operation::new(Write, capacity::modify),
        "ModifyIpPools" => Operation::new(Write, ip_pool::modify),
        "GetResourcePolicy" => Operation::new(Read, sharing::resource_policy),
        "CreateTrustStore" => Operation::new(Write, trust_store::create),
        "ModifyTrustStore" => Operation::new(Write, trust_store::modify),
        "DeleteTrustStore" => Operation::new(Write, trust_store::delete),
        "DescribeTrustStores" => Operation::new(Read, trust_store::describe),
        "GetTrustStoreCaCertificatesBundle" => Operation::new(Read, trust_store::bundle),
        "AddTrustStoreRevocations" => Operation::new(Write, revocation::add),
        "RemoveTrustStoreRevocations" => Operation::new(Write, revocation::remove),
        "DescribeTrustStoreRevocations" => Operation::new(Read, revocation::describe),
        "GetTrustStoreRevocationContent" => Operation::new(Read, revocation::content),
        "DescribeTrustStoreAssociations" => Operation::new(Read, revocation::associations),
        "DeleteSharedTrustStoreAssociation" => Operation::new(Write, revocation::delete_association),
        "DescribeSSLPolicies" => Operation::new(Read, ssl_policy::describe),
        _ => return None,
    })
}
