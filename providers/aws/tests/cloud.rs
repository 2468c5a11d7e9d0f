//! A little model of the cloud: what each operation does to what exists, with AWS's rules about order. It shares no code with the diff.

use portico_aws::observed::{
    BackendGroup, Certificate, LOAD_BALANCER_DEFAULTS, Listener, ListenerTls, LoadBalancer, Observed, PortRange, Rule, SecurityGroup,
    State, Subnet, TARGET_GROUP_DEFAULTS, TargetGroup,
};
use portico_aws::operation::Operation;
use portico_aws::stack::{CertificateId, RuleAction};
use portico_providers::{Presence, TagSet, TargetSetId};
use std::collections::BTreeMap;

/// The account: one VPC with subnets in two zones, and the nodes' security group.
#[derive(Clone)]
pub struct Cloud {
    /// Load balancers by name.
    pub balancers: BTreeMap<String, LoadBalancer>,
    /// The unit's security group.
    pub own: Option<SecurityGroup>,
    /// The nodes' security group.
    pub nodes: BackendGroup,
    /// Target groups by name.
    pub groups: BTreeMap<TargetSetId, TargetGroup>,
    /// Imported certificates by ARN.
    pub certificates: BTreeMap<String, Certificate>,
    serial: u32,
    /// Most rules of one load balancer.
    pub rules: u32,
}

impl Cloud {
    /// An account with nothing of ours in it.
    pub fn new() -> Self {
        let tags = TagSet::from([("kubernetes.io/cluster/prod".into(), "owned".into())]);
        let nodes = BackendGroup { id: "sg-nodes".into(), vpc: "vpc-1".into(), tags, admits_us: Vec::new() };
        Self { balancers: BTreeMap::new(), own: None, nodes, groups: BTreeMap::new(), certificates: BTreeMap::new(), serial: 0, rules: 100 }
    }

    /// What observe would show for a stack: what it names is proven absent or present, and so is what exists besides.
    pub fn observe(&self, stack: &portico_aws::Stack) -> Observed {
        let mut observed = Observed::default();
        observed.limits.rules_per_load_balancer = self.rules;
        observed.load_balancers = self.balancers.iter().map(|(name, b)| (name.clone(), Presence::Present(b.clone()))).collect();
        if let Some(wanted) = &stack.load_balancer {
            observed.load_balancers.entry(wanted.name.clone()).or_insert(Presence::Absent);
        }
        observed.target_groups = self.groups.iter().map(|(name, g)| (name.clone(), Presence::Present(g.clone()))).collect();
        for (name, group) in &mut observed.target_groups {
            let Presence::Present(group) = group else { continue };
            group.load_balancers = self.balancers.values().filter(|b| Self::balancer_uses(b, name)).map(|b| b.arn.clone()).collect();
        }
        for group in &stack.target_groups {
            observed.target_groups.entry(group.name.clone()).or_insert(Presence::Absent);
        }
        observed.certificates = self.certificates.iter().map(|(arn, c)| (arn.clone(), Presence::Present(c.clone()))).collect();
        observed.security_group = self.own.clone().map_or(Presence::Absent, Presence::Present);
        observed.backend_groups = Presence::Present(vec![self.nodes.clone()]);
        let role = |name: &str| TagSet::from([(format!("kubernetes.io/role/{name}"), "1".to_owned())]);
        let subnet =
            |id: &str, zone: &str, tags| Subnet { id: id.into(), vpc: "vpc-1".into(), zone: zone.into(), free_addresses: 100, tags };
        observed.subnets = Presence::Present(vec![
            subnet("subnet-a", "a", role("elb")),
            subnet("subnet-b", "b", role("elb")),
            subnet("subnet-c", "a", role("internal-elb")),
            subnet("subnet-d", "b", role("internal-elb")),
        ]);
        observed
    }

    fn serial(&mut self) -> u32 {
        self.serial += 1;
        self.serial
    }

    fn balancer(&mut self, name: &str) -> &mut LoadBalancer {
        self.balancers.get_mut(name).unwrap_or_else(|| panic!("LoadBalancerNotFound: {name}"))
    }

    fn listeners(&mut self, name: &str) -> &mut BTreeMap<u16, Listener> {
        let Presence::Present(listeners) = &mut self.balancer(name).listeners else { panic!() };
        listeners
    }

    fn rules(&mut self, name: &str, port: u16) -> &mut BTreeMap<u32, Rule> {
        let listener = self.listeners(name).get_mut(&port).unwrap_or_else(|| panic!("ListenerNotFound: {port}"));
        let Presence::Present(rules) = &mut listener.rules else { panic!() };
        rules
    }

    fn arn_of(&self, id: &CertificateId) -> String {
        match id {
            CertificateId::Arn(arn) => arn.clone(),
            CertificateId::Discovered(hostname) | CertificateId::Unresolved(hostname) => {
                panic!("nobody looked for a certificate for {hostname}")
            }
            CertificateId::Imported(id) => {
                let mut found = self.certificates.iter().filter(|(_, c)| c.tags["portico.dev/resource"] == id.0);
                found.next().unwrap_or_else(|| panic!("CertificateNotFound: {id}")).0.clone()
            }
        }
    }

    fn serves(&self, arn: &str) -> bool {
        let listeners = self.balancers.values().flat_map(|balancer| balancer.listeners.present().unwrap().values());
        listeners.filter_map(|listener| listener.tls.as_ref()).any(|tls| tls.refers_to(arn))
    }

    fn tls(&mut self, name: &str, port: u16) -> &mut ListenerTls {
        self.listeners(name).get_mut(&port).unwrap().tls.as_mut().expect("UnsupportedProtocol")
    }

    fn check_action(&self, action: &RuleAction) {
        for name in action.target_groups() {
            assert!(self.groups.contains_key(name), "TargetGroupNotFound: {name}");
        }
    }

    fn uses(&self, name: &TargetSetId) -> bool {
        self.balancers.values().any(|balancer| Self::balancer_uses(balancer, name))
    }

    fn balancer_uses(balancer: &LoadBalancer, name: &TargetSetId) -> bool {
        balancer.listeners.present().unwrap().values().any(|listener| {
            let rules = listener.rules.present().unwrap().values().map(|rule| &rule.action);
            rules.chain([&listener.default_action]).any(|action| action.target_groups().any(|group| group == name))
        })
    }

    /// Makes a change, or panics as AWS would refuse it.
    pub fn apply(&mut self, operation: &Operation) {
        let own = self.own.as_ref().map(|group| group.id.clone());
        match operation.clone() {
            Operation::CreateSecurityGroup { vpc, tags, .. } => {
                assert!(self.own.is_none(), "InvalidGroup.Duplicate");
                let id = format!("sg-{}", self.serial());
                self.own = Some(SecurityGroup { id, vpc, ingress: Vec::new(), tags });
            }
            Operation::AuthorizeIngress { rules } => {
                let group = self.own.as_mut().unwrap();
                assert!(rules.iter().all(|rule| !group.ingress.contains(rule)), "InvalidPermission.Duplicate");
                group.ingress.extend(rules);
                group.ingress.sort();
                for ipv6 in [false, true] {
                    let count = group.ingress.iter().filter(|rule| rule.source.contains(':') == ipv6).count();
                    assert!(count <= 60, "RulesPerSecurityGroupLimitExceeded: {count}");
                }
            }
            Operation::RevokeIngress { rules } => self.own.as_mut().unwrap().ingress.retain(|rule| !rules.contains(rule)),
            Operation::AuthorizeBackend { group, .. } => {
                assert!(own.is_some() && group == self.nodes.id);
                self.nodes.admits_us.push(PortRange::backend_access());
            }
            Operation::RevokeBackend { group, ranges } => {
                assert_eq!(group, self.nodes.id);
                self.nodes.admits_us.retain(|range| !ranges.contains(range));
            }
            Operation::TagSecurityGroup { tags } => self.own.as_mut().unwrap().tags.extend(tags),
            Operation::DeleteSecurityGroup { id } => {
                assert_eq!(own, Some(id.clone()));
                assert!(
                    self.nodes.admits_us.is_empty() && self.balancers.values().all(|b| !b.security_groups.contains(&id)),
                    "DependencyViolation"
                );
                self.own = None;
            }
            Operation::CreateTargetGroup { target_group: group, vpc, tags } => {
                let attributes = TARGET_GROUP_DEFAULTS.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
                let made = TargetGroup {
                    arn: format!("arn:targetgroup/{}", self.serial()),
                    protocol: Some(group.protocol),
                    version: Some(group.version),
                    port: group.port,
                    family: group.family,
                    vpc,
                    health_check: Some(group.health_check.clone()),
                    attributes,
                    tags,
                    load_balancers: Vec::new(),
                };
                assert!(self.groups.insert(group.name.clone(), made).is_none(), "DuplicateTargetGroupName");
            }
            Operation::ModifyTargetGroup { target_group, health_check } => {
                self.groups.get_mut(&target_group).unwrap().health_check = Some(health_check)
            }
            Operation::ModifyTargetGroupAttributes { target_group, attributes } => {
                self.groups.get_mut(&target_group).unwrap().attributes.extend(attributes)
            }
            Operation::TagTargetGroup { target_group, tags } => self.groups.get_mut(&target_group).unwrap().tags.extend(tags),
            Operation::DeleteTargetGroup { target_group } => {
                assert!(!self.uses(&target_group), "ResourceInUse: {target_group}");
                assert!(self.groups.remove(&target_group).is_some());
            }
            Operation::CreateLoadBalancer { name, scheme, ip_address_type, subnets, security_groups, tags } => {
                let security_groups = if security_groups.is_empty() { vec![own.expect("InvalidSecurityGroup")] } else { security_groups };
                let made = LoadBalancer {
                    arn: format!("arn:loadbalancer/{}", self.serial()),
                    dns_name: format!("{name}.example"),
                    state: State::Active,
                    scheme,
                    ip_address_type,
                    vpc: "vpc-1".into(),
                    subnets,
                    security_groups,
                    attributes: LOAD_BALANCER_DEFAULTS.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
                    tags,
                    listeners: Presence::Present(BTreeMap::new()),
                };
                assert!(self.balancers.insert(name, made).is_none(), "DuplicateLoadBalancerName");
            }
            Operation::ModifyLoadBalancerAttributes { load_balancer, attributes } => {
                self.balancer(&load_balancer).attributes.extend(attributes)
            }
            Operation::SetIpAddressType { load_balancer, ip_address_type } => {
                self.balancer(&load_balancer).ip_address_type = ip_address_type
            }
            Operation::SetSubnets { load_balancer, subnets } => self.balancer(&load_balancer).subnets = subnets,
            Operation::SetSecurityGroups { load_balancer, security_groups } => {
                self.balancer(&load_balancer).security_groups =
                    if security_groups.is_empty() { vec![own.unwrap()] } else { security_groups };
            }
            Operation::TagListener { load_balancer, port, .. } => assert!(self.listeners(&load_balancer).contains_key(&port)),
            Operation::TagLoadBalancer { load_balancer, tags } => self.balancer(&load_balancer).tags.extend(tags),
            Operation::DeleteLoadBalancer { load_balancer } => assert!(self.balancers.remove(&load_balancer).is_some()),
            Operation::ImportCertificate { tags, .. } => {
                let arn = format!("arn:certificate/{:03}", self.serial());
                self.certificates.insert(arn, Certificate { tags });
            }
            Operation::ReimportCertificate { arn, .. } => assert!(self.certificates.contains_key(&arn), "ResourceNotFound"),
            Operation::TagCertificate { arn, tags } => self.certificates.get_mut(&arn).unwrap().tags.extend(tags),
            Operation::DeleteCertificate { arn } => {
                assert!(!self.serves(&arn), "ResourceInUse: {arn}");
                assert!(self.certificates.remove(&arn).is_some());
            }
            Operation::AddListenerCertificate { load_balancer, port, certificate } => {
                let arn = self.arn_of(&certificate);
                self.tls(&load_balancer, port).certificates.insert(arn);
            }
            Operation::RemoveListenerCertificate { load_balancer, port, arn } => {
                assert!(self.tls(&load_balancer, port).certificates.remove(&arn), "CertificateNotFound");
            }
            Operation::CreateListener { load_balancer, port, protocol, tls, default_action, .. } => {
                self.check_action(&default_action);
                let tls = tls.map(|tls| ListenerTls {
                    policy: tls.policy,
                    default_certificate: self.arn_of(&tls.default_certificate),
                    certificates: Default::default(),
                });
                assert_eq!(tls.is_some(), protocol.as_str() == "HTTPS");
                let arn = format!("arn:listener/{}", self.serial());
                let made = Listener { arn, protocol: Some(protocol), tls, default_action, rules: Presence::Present(BTreeMap::new()) };
                assert!(self.listeners(&load_balancer).insert(port, made).is_none(), "DuplicateListener");
            }
            Operation::ModifyListener { load_balancer, port, protocol, tls, default_action } => {
                self.check_action(&default_action);
                let default = tls.as_ref().map(|tls| self.arn_of(&tls.default_certificate));
                let listener = self.listeners(&load_balancer).get_mut(&port).unwrap();
                let certificates = listener.tls.take().map(|before| before.certificates).unwrap_or_default();
                listener.tls = tls.zip(default).map(|(tls, default_certificate)| ListenerTls {
                    policy: tls.policy,
                    default_certificate,
                    certificates,
                });
                listener.protocol = Some(protocol);
                listener.default_action = default_action;
            }
            Operation::DeleteListener { load_balancer, port } => assert!(self.listeners(&load_balancer).remove(&port).is_some()),
            Operation::CreateRule { load_balancer, port, priority, conditions, mut transforms, action } => {
                self.check_action(&action);
                assert!(!conditions.is_empty() && (1..=50_000).contains(&priority));
                let arn = format!("arn:rule/{}", self.serial());
                transforms.sort();
                let there = self.rules(&load_balancer, port).insert(priority, Rule { arn, conditions, transforms, action });
                assert!(there.is_none(), "PriorityInUse: {priority}");
                let count: usize = self.listeners(&load_balancer).values().map(|l| l.rules.present().unwrap().len()).sum();
                assert!(count <= self.rules as usize, "TooManyRules");
            }
            Operation::ModifyRule { load_balancer, port, arn, conditions, mut transforms, action } => {
                self.check_action(&action);
                transforms.sort();
                let rule = self.rules(&load_balancer, port).values_mut().find(|rule| rule.arn == arn).expect("RuleNotFound");
                rule.conditions = conditions.unwrap_or(std::mem::take(&mut rule.conditions));
                rule.transforms = transforms;
                rule.action = action;
            }
            Operation::SetRulePriorities { load_balancer, port, priorities } => {
                let rules = self.rules(&load_balancer, port);
                let count = rules.len();
                let old = std::mem::take(rules);
                rules.extend(old.into_iter().map(|(priority, rule)| (priorities.get(&rule.arn).copied().unwrap_or(priority), rule)));
                assert_eq!(rules.len(), count, "PriorityInUse");
            }
            Operation::DeleteRule { load_balancer, port, arn } => {
                let rules = self.rules(&load_balancer, port);
                let count = rules.len();
                rules.retain(|_, rule| rule.arn != arn);
                assert_eq!(rules.len() + 1, count, "RuleNotFound");
            }
        }
    }
}
