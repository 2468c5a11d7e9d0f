//! compile: from a plan to a stack, and what an ALB cannot serve.

mod action;
mod certificate;
mod compaction;
mod condition;
mod issue;
mod listener;
mod load_balancer;

mod quota;
mod redirect;
mod rule;
mod security_group;
mod target_group;
mod tls_option;
mod transform;

use crate::account::Account;
use crate::name;
use crate::observed::Limits;
use crate::stack::{Certificate, IpAddressType, Listener, Scheme, Stack, TargetGroup};
use portico_crds::v1alpha1::{AwsSettings, EffectiveProfile};
use portico_providers::{Binding, ClusterId, Compiled, Plan, Refusal, ResourceId, TagSet, TargetSetId};
use std::collections::{BTreeMap, BTreeSet};

/// The stack that serves a plan in an account that nobody looked at: it has AWS's default limits, and any certificate that is asked for.
pub fn compile(cluster: &ClusterId, plan: &Plan) -> Compiled<Stack> {
    compile_within(cluster, plan, &Account::default())
}

/// The stack that serves a plan, what an ALB cannot serve of it, and which endpoints fill its target groups. Pure and total: equal arguments give equal
/// stacks.
pub fn compile_within(cluster: &ClusterId, plan: &Plan, account: &Account) -> Compiled<Stack> {
    let EffectiveProfile::Aws(settings) = &plan.profile else {
        // Another provider's: there is nothing of it here.
        return Compiled { stack: Stack::empty(cluster, &plan.unit), refusals: Vec::new(), bindings: Vec::new() };
    };
    let scheme = Scheme::from(settings.scheme);
    let mut compiler = Compiler {
        cluster,
        plan,
        settings,
        limits: &account.limits,
        account,
        load_balancer: name::load_balancer(cluster, &plan.unit, scheme),
        ip_address_type: settings.ip_address_type.into(),
        tags: TagSet::new(),
        target_groups: BTreeMap::new(),
        bindings: BTreeMap::new(),
        certificates: BTreeMap::new(),
        refusals: BTreeSet::new(),
    };
    compiler.tags = compiler.user_tags();
    compiler.refuse_gateway_fields();
    compiler.refuse_backend_tls_policies();
    let listeners = compiler.listeners();
    let listeners = compiler.fit(listeners);
    compiler.forget_unused(&listeners);
    let (security_group, backend_access) = compiler.security_groups(&listeners);
    let load_balancer = compiler.load_balancer(scheme);
    Compiled {
        stack: Stack {
            cluster: cluster.clone(),
            unit: plan.unit.clone(),
            region: settings.region.clone(),
            load_balancer: Some(load_balancer),
            security_group,
            backend_access,
            certificates: compiler.certificates.into_values().collect(),
            listeners,
            target_groups: compiler.target_groups.into_values().collect(),
        },
        refusals: compiler.refusals.into_iter().collect(),
        bindings: compiler.bindings.into_values().collect(),
    }
}

impl Compiler<'_> {
    /// Leaves out target groups that only refused rules would have used.
    fn forget_unused(&mut self, listeners: &[Listener]) {
        let used: BTreeSet<_> =
            listeners.iter().flat_map(|listener| &listener.rules).flat_map(|rule| rule.action.target_groups()).collect();
        self.target_groups.retain(|name, _| used.contains(name));
        self.bindings.retain(|name, _| used.contains(name));
    }
}

/// What the parts of compile share.
struct Compiler<'a> {
    cluster: &'a ClusterId,
    plan: &'a Plan,
    settings: &'a AwsSettings,
    limits: &'a Limits,
    account: &'a Account,
    /// Name of the load balancer.
    load_balancer: String,
    ip_address_type: IpAddressType,
    /// Tags that users ask for.
    tags: TagSet,
    target_groups: BTreeMap<TargetSetId, TargetGroup>,
    bindings: BTreeMap<TargetSetId, Binding>,
    /// Certificates that are imported.
    certificates: BTreeMap<ResourceId, Certificate>,
    refusals: BTreeSet<Refusal>,
}
