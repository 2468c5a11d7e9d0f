//! BackendTLSPolicies: which of them concern a Gateway, and whether they hold. Whether they can be honoured is the provider's to say.

use super::authority::{self, Problem};
use crate::World;
use crate::report::{Fault, PolicyReport, join};
use crate::world::object::{Service, Stored};
use crate::world::policy::{PolicySpec, PolicyTarget};
use portico_crds::condition::PolicyReason as Reason;
use portico_crds::{Kind, NamespacedName};
use portico_providers::{Authorities, BackendTlsPolicy};
use std::collections::{BTreeMap, BTreeSet};

/// What comes of a policy by itself.
pub(super) struct Judgement {
    /// What counts, or why it does not.
    pub accepted: Result<BackendTlsPolicy, Fault<Reason>>,
    /// References that do not resolve.
    unresolved: Option<Fault<Reason>>,
    /// Targets that an older policy has.
    lost: Vec<String>,
}

/// The policies for Services to which routes and listeners of a Gateway refer: those that hold, ordered, and the reports on all of them.
pub(super) fn all(world: &World, gateway: &NamespacedName) -> (Vec<BackendTlsPolicy>, BTreeMap<NamespacedName, PolicyReport>) {
    let of_routes = world.routes_of(gateway).into_keys().flat_map(|route| world.policies_of_route(route));
    let of_holders = world.holders_of(gateway).flat_map(|holder| world.policies_of_holder(&holder).collect::<Vec<_>>());
    let keys: BTreeSet<_> = of_routes.chain(of_holders).collect();
    let (mut policies, mut reports) = (Vec::new(), BTreeMap::new());
    for key in keys {
        let (Some(policy), Some(judged)) = (world.policies.get(key), judge(world, key)) else { continue };
        let rejected = judged.accepted.as_ref().err().cloned();
        policies.extend(judged.accepted);
        let (unresolved, notes) = (judged.unresolved, judged.lost);
        reports.insert(
            key.clone(),
            PolicyReport { generation: policy.meta.generation, gateway: gateway.clone(), rejected, unresolved, notes },
        );
    }
    (policies, reports)
}

/// Looks at a policy; `None` where there is none.
pub(super) fn judge(world: &World, key: &NamespacedName) -> Option<Judgement> {
    let policy = world.policies.get(key)?;
    let spec = policy.spec.as_ref()?;
    let (bundles, faults) =
        authority::resolve(world, Kind::BackendTlsPolicy, &key.namespace, "spec.validation.caCertificateRefs", &spec.authorities);
    let unresolved = faults.first().map(|first| {
        let reason = match first.reason {
            Problem::Kind => Reason::InvalidKind,
            Problem::Reference | Problem::NotPermitted => Reason::InvalidCACertificateRef,
        };
        Fault::new(reason, join(faults.iter().map(|fault| fault.message.clone())))
    });
    let (missing, lost) = targets(world, policy);
    let accepted = match (missing, &lost, &spec.validation) {
        (Some(message), _, _) => Err(Fault::new(Reason::TargetNotFound, message)),
        (None, Lost::All(messages), _) => Err(Fault::new(Reason::Conflicted, join(messages.iter().cloned()))),
        (None, _, Err(message)) => Err(Fault::new(Reason::Invalid, message.clone())),
        (None, _, Ok(validation)) => match &unresolved {
            Some(fault) if bundles.is_empty() => Err(Fault::new(
                Reason::NoValidCACertificate,
                format!("{}; until one of them can be used, requests for the policy's targets are answered with an error", fault.message),
            )),
            _ => Ok(BackendTlsPolicy {
                key: key.clone(),
                hostname: validation.hostname.clone(),
                subject_alt_names: validation.subject_alt_names.clone(),
                authorities: if spec.authorities.is_empty() { Authorities::System } else { Authorities::Bundles(bundles) },
                options: validation.options.clone(),
            }),
        },
    };
    let lost = if let Lost::Some(messages) = lost { messages } else { Vec::new() };
    Some(Judgement { accepted, unresolved, lost })
}

/// Which targets of a policy another policy has.
enum Lost {
    All(Vec<String>),
    Some(Vec<String>),
}

/// Why a policy has no effect for want of targets, and which of them an older policy has. One target that is there is enough for it to take effect.
fn targets(world: &World, policy: &Stored<PolicySpec>) -> (Option<String>, Lost) {
    let (mut missing, mut lost, mut won) = (None, Vec::new(), false);
    for target in policy.targets() {
        if let Some(message) = absent(world, target) {
            missing.get_or_insert(message);
            continue;
        }
        match world.policy_of_target(&target.service, target.port.as_deref()).filter(|winner| **winner != policy.meta.key) {
            None => won = true,
            Some(winner) => lost.push(format!(
                "spec.targetRefs[{}]: BackendTLSPolicy {winner} is for the same target and comes first (policies go by age, then by name); remove one of them",
                target.index
            )),
        }
    }
    match (won, lost.is_empty()) {
        (false, true) => (missing, Lost::Some(lost)),
        (false, false) => (None, Lost::All(lost)),
        (true, _) => (None, Lost::Some(lost)),
    }
}

/// What is wrong with a target that is not there.
fn absent(world: &World, target: &PolicyTarget) -> Option<String> {
    let PolicyTarget { index, service, port } = target;
    let Some(Service { ports, .. }) = world.services.get(service) else {
        return Some(format!("spec.targetRefs[{index}].name: Service {service} does not exist; create it, or correct the name"));
    };
    let name = port.as_ref().filter(|name| ports.iter().all(|port| port.name != **name))?;
    let names = ports.iter().map(|port| port.name.as_str()).filter(|name| !name.is_empty()).collect::<Vec<_>>().join(", ");
    let names = if names.is_empty() { "none that has a name".to_owned() } else { names };
    Some(format!(
        "spec.targetRefs[{index}].sectionName: Service {service} has no port named {name}, but {names}; correct the name, or leave it out for all ports"
    ))
}
