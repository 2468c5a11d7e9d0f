//! compile: from a plan to a stack, and what Envoy cannot serve.

mod authorization;
mod certificate;
mod cluster;
mod connection_manager;
mod cors;
mod filter;
mod forward;
mod header;
mod hostname;
mod issue;
mod listener;
mod matching;
mod redirect;
mod rewrite;
mod route;
mod session;
mod stream;
mod timeout;
mod virtual_host;

use crate::stack::core::{DataSource, SubstitutionFormatString, TransportSocket};
use crate::stack::listener::{AccessLog, FileAccessLog};
use crate::stack::{Cluster, RouteConfiguration, SecretSource, Stack};
use issue::Issue;
use portico_crds::NamespacedName;
use portico_crds::v1alpha1::{EffectiveProfile, EnvoySettings};
use portico_providers::{
    BackendTlsPolicy, Binding, ClusterId, Compiled, ListenerOwner, Plan, PlanListener, PlanRule, Refusal, Residue, Subject, TargetSetId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The stack that serves a plan on a fleet, what Envoy cannot serve of it, and which endpoints fill its clusters. Pure and total: equal plans give equal stacks.
///
/// A Gateway without an address is told to nobody. Compilation goes on all the same: what is wrong with its routes is known before it has one.
pub fn compile(cluster: &ClusterId, plan: &Plan) -> Compiled<Stack> {
    let EffectiveProfile::Envoy(settings) = &plan.profile else {
        // Another provider's: there is nothing of it here.
        return Compiled { stack: Stack::empty(cluster, &plan.unit, ""), refusals: Vec::new(), bindings: Vec::new() };
    };
    let addresses: Vec<IpAddr> = plan.gateways.iter().flat_map(|gateway| gateway.assigned.iter().copied()).collect();
    let mut compiler = Compiler {
        plan,
        settings,
        addresses: &addresses,
        policies: plan.backend_tls_policies.iter().map(|policy| (&policy.key, policy)).collect(),
        clusters: BTreeMap::new(),
        bindings: BTreeMap::new(),
        secrets: BTreeMap::new(),
        route_configurations: BTreeMap::new(),
        refusals: BTreeSet::new(),
    };
    compiler.refuse_policy_options();
    compiler.refuse_routability();
    let listeners = compiler.listeners();
    let clusters: Vec<Cluster> = compiler.clusters.into_values().collect();
    // Proxies ask for what is referred to: another secret would never be acknowledged.
    let chains = listeners.iter().flat_map(|listener| &listener.filter_chains).filter_map(|chain| chain.transport_socket.as_ref());
    let sockets = chains.chain(clusters.iter().filter_map(|cluster| cluster.transport_socket.as_ref()));
    let used: BTreeSet<&str> = sockets.flat_map(TransportSocket::secret_names).collect();
    let secrets = compiler.secrets.into_values().filter(|secret| used.contains(secret.name.as_str())).collect();
    let mut stack = Stack {
        cluster: cluster.clone(),
        unit: plan.unit.clone(),
        fleet: settings.fleet.clone(),
        identification: settings.identification,
        addresses: addresses.clone(),
        listeners,
        route_configurations: compiler.route_configurations.into_values().collect(),
        clusters,
        secrets,
    };
    let mut bindings: Vec<Binding> = compiler.bindings.into_values().collect();
    if addresses.is_empty() {
        let identification = stack.identification;
        stack = Stack { identification, ..Stack::empty(cluster, &plan.unit, &settings.fleet) };
        bindings.clear();
    }
    Compiled { stack, refusals: compiler.refusals.into_iter().collect(), bindings }
}

/// What the parts of compile share.
struct Compiler<'a> {
    plan: &'a Plan,
    settings: &'a EnvoySettings,
    addresses: &'a [IpAddr],
    policies: BTreeMap<&'a NamespacedName, &'a BackendTlsPolicy>,
    clusters: BTreeMap<String, Cluster>,
    bindings: BTreeMap<TargetSetId, Binding>,
    secrets: BTreeMap<String, SecretSource>,
    route_configurations: BTreeMap<String, RouteConfiguration>,
    refusals: BTreeSet<Refusal>,
}

impl Compiler<'_> {
    fn refuse_rule(&mut self, rule: &PlanRule, issue: Issue, residue: Residue) {
        self.refusals.insert(issue.refuse(Subject::Rule(rule.id.clone()), residue));
    }

    fn refuse_listener(&mut self, listener: &PlanListener, issue: Issue, residue: Residue) {
        self.refusals.insert(issue.refuse(Subject::Listener(listener.owner.clone()), residue));
    }

    /// BackendTLSPolicy `options` are provider-specific, and there are none for Envoy.
    fn refuse_policy_options(&mut self) {
        for policy in &self.plan.backend_tls_policies {
            for key in policy.options.keys() {
                let issue = Issue::unsupported(format!("spec.options[{key}]"), "Portico has no such option for Envoy", "Remove it.");
                self.refusals.insert(issue.refuse(Subject::BackendTlsPolicy(policy.key.clone()), Residue::Served));
            }
        }
    }

    fn refuse_routability(&mut self) {
        let plan = self.plan;
        for gateway in &plan.gateways {
            for (index, _) in gateway.addresses.iter().enumerate().filter(|(_, address)| address.routability.is_some()) {
                let detail = "who reaches an address is for the fleet's network to say";
                let remedy = "Use a class whose profile has addresses that are reached from there.";
                let issue = Issue::unsupported(format!("spec.addresses[{index}].routability"), detail, remedy);
                self.refusals.insert(issue.refuse(Subject::Gateway(gateway.key.clone()), Residue::Served));
            }
        }
    }

    fn access_log(&self) -> Vec<AccessLog> {
        let log = self.settings.access_log.iter();
        log.map(|log| {
            let format = log.format.as_ref().map(|format| SubstitutionFormatString {
                // One entry a line, as Envoy's own default has it.
                text_format_source: Some(DataSource { inline_string: Some(line(format)), ..DataSource::default() }),
            });
            AccessLog {
                name: "envoy.access_loggers.file".into(),
                typed_config: Some(FileAccessLog { path: log.path.clone(), log_format: format }.into()),
            }
        })
        .collect()
    }
}

fn line(format: &str) -> String {
    if format.ends_with('\n') { format.to_owned() } else { format!("{format}\n") }
}

/// Path of a listener's field: Gateways and ListenerSets both hold theirs in `spec.listeners`, known by name.
fn listener_field(owner: &ListenerOwner, name: &str) -> String {
    format!("spec.listeners[{}].{name}", owner.section)
}

/// Path of a rule's field.
fn rule_field(rule: &PlanRule, name: &str) -> String {
    format!("spec.rules[{}].{name}", rule.id.rule)
}
