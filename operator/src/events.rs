//! Kubernetes Events: what a person wants to be told of a load balancer, on the Gateway or the route concerned.
//!
//! [`EventWitness`] hears of everything that passes do and tells little of it: that a load balancer serves, was changed, repaired or deleted, what of
//! a route is refused, and a failure that needs somebody or that lasts. [`recorder`] counts what is the same and keeps the rate low.

mod recorder;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use portico_crds::{Kind, NamespacedName};
use portico_providers::{
    Action, ListenerParent, LoadBalancerState, ProviderError, Refusal, RefusalCause, RejectedTarget, RouteKind, RuleId, Subject, UnitId,
};
use serde_json::Value;

use crate::keeper::SharedWorld;
use crate::news::News;
use crate::objects::is_programmed;
use crate::witness::{LogWitness, Step, Witness};
pub use recorder::{Note, Recorder, Severity};

/// How long a failure that passes by itself (throttling, a server error) may last before anyone is told.
const PATIENCE: Duration = Duration::from_secs(60);

/// Places of refused rules that one event lists.
const LISTED: usize = 5;

/// Tells the log everything and Kubernetes what matters.
pub struct EventWitness {
    log: LogWitness,
    world: SharedWorld,
    recorder: Recorder,
    sweep: Duration,
    units: Mutex<BTreeMap<UnitId, Memory>>,
}

/// What is remembered of a unit between two pieces of news.
#[derive(Debug, Default)]
struct Memory {
    /// Changes made since the last pass that ended well: created, changed, deleted.
    made: [usize; 3],
    /// Whether they repair what was changed from outside.
    drift: bool,
    /// The refusals of the last compile.
    refused: Option<Vec<Refusal>>,
    /// Since when passes fail.
    failing: Option<Instant>,
    /// Whether anyone was told of that.
    told: bool,
}

impl EventWitness {
    /// A witness that reads objects from the world. `sweep` is the interval of the sweep, zero where there is none.
    pub fn new(world: SharedWorld, recorder: Recorder, sweep: Duration) -> Self {
        Self { log: LogWitness, world, recorder, sweep, units: Mutex::default() }
    }

    fn units(&self) -> MutexGuard<'_, BTreeMap<UnitId, Memory>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, kind: Kind, key: &NamespacedName, severity: Severity, reason: &'static str, action: &'static str, note: String) {
        let regarding = self.world.read().raw(kind, key).map(|object| recorder::regarding(kind, object));
        if let Some(regarding) = regarding {
            self.recorder.record(Note { regarding, severity, reason, action, note });
        }
    }

    fn tell_gateway(&self, unit: &UnitId, severity: Severity, reason: &'static str, action: &'static str, note: String) {
        if let Some(key) = unit.gateway() {
            self.tell(Kind::Gateway, key, severity, reason, action, note);
        }
    }

    fn passed(&self, unit: &UnitId, state: &LoadBalancerState, address: Option<&str>) {
        let (made, drift, failing, told) = {
            let mut units = self.units();
            let memory = units.entry(unit.clone()).or_default();
            let drift = std::mem::take(&mut memory.drift);
            (std::mem::take(&mut memory.made), drift, memory.failing.take(), std::mem::take(&mut memory.told))
        };
        let changed = made.iter().any(|number| *number > 0);
        let [created, updated, deleted] = made;
        let counts = format!("{created} created, {updated} changed, {deleted} deleted");
        let before = unit.gateway().is_some_and(|key| self.is_programmed(key));
        let place = address.map(|address| format!(" at {address}")).unwrap_or_default();
        match state {
            LoadBalancerState::Active if !before => {
                let with = if changed { format!(" ({counts})") } else { String::new() };
                self.tell_gateway(unit, Severity::Normal, "Programmed", "Program", format!("The load balancer serves{place}{with}"));
            }
            LoadBalancerState::Active if drift && changed => {
                let note = format!("The load balancer was changed from outside; it is as it should be again ({counts})");
                self.tell_gateway(unit, Severity::Warning, "DriftRepaired", "Repair", note);
            }
            LoadBalancerState::Active if changed => {
                self.tell_gateway(
                    unit,
                    Severity::Normal,
                    "Updated",
                    "Update",
                    format!("The load balancer was brought up to date ({counts})"),
                );
            }
            LoadBalancerState::Provisioning { message, .. } if changed => {
                self.tell_gateway(unit, Severity::Normal, "Created", "Create", format!("{message} ({counts})"));
            }
            LoadBalancerState::Failed(words) => {
                self.tell_gateway(unit, Severity::Warning, "LoadBalancerFailed", "Create", words.clone());
            }
            _ => {}
        }
        if let Some(since) = failing.filter(|_| told) {
            let minutes = since.elapsed().as_secs().div_ceil(60);
            self.tell_gateway(unit, Severity::Normal, "Recovered", "Update", format!("Works again after {minutes} min"));
        }
    }

    /// Whether the Gateway's status says that it is programmed.
    fn is_programmed(&self, key: &NamespacedName) -> bool {
        self.world.read().raw(Kind::Gateway, key).is_some_and(|gateway| is_programmed(gateway))
    }

    fn failed(&self, unit: &UnitId, error: &str, class: &'static str, again: bool) {
        let begun = {
            let mut units = self.units();
            let memory = units.entry(unit.clone()).or_default();
            let begun = *memory.failing.get_or_insert_with(Instant::now);
            if passes_by_itself(class) && begun.elapsed() < PATIENCE {
                return;
            }
            memory.told = true;
            begun
        };
        let lasting = begun.elapsed().as_secs() / 60;
        let lasting = if lasting > 0 { " It has failed for minutes." } else { "" };
        let note = format!("{}.{lasting} {}", error.trim_end_matches('.'), self.outlook(again));
        self.tell_gateway(unit, Severity::Warning, reason(class), "Update", note);
    }

    /// When it is tried again.
    fn outlook(&self, again: bool) -> String {
        match (again, self.sweep.is_zero()) {
            (true, _) => "It is tried again with growing pauses of at most 2 min".to_owned(),
            (false, false) => {
                format!("Trying again alone does not help: it is tried when an object changes, and by the sweep every {:?}", self.sweep)
            }
            (false, true) => "Trying again alone does not help: it is tried when an object changes".to_owned(),
        }
    }

    /// Tells what is refused now and was not before; after a start, what the objects' statuses do not say yet.
    fn refused(&self, unit: &UnitId, refusals: &[Refusal]) {
        let before = {
            let mut units = self.units();
            let memory = units.entry(unit.clone()).or_default();
            if memory.refused.as_deref() == Some(refusals) {
                return;
            }
            memory.refused.replace(refusals.to_vec())
        };
        let mut routes: BTreeMap<(Kind, NamespacedName, String, &'static str), Vec<&RuleId>> = BTreeMap::new();
        for refusal in refusals {
            if before.as_ref().is_some_and(|before| before.contains(refusal)) {
                continue;
            }
            let reason = if matches!(refusal.cause, RefusalCause::Quota { .. }) { "QuotaExceeded" } else { "Refused" };
            let (kind, key) = match &refusal.subject {
                Subject::Rule(rule) => match route_kind(rule.route.kind) {
                    Some(kind) => (kind, &rule.route.key),
                    None => continue,
                },
                Subject::Listener(owner) => match owner.parent {
                    ListenerParent::Gateway => (Kind::Gateway, &owner.key),
                    ListenerParent::ListenerSet => (Kind::ListenerSet, &owner.key),
                },
                Subject::Gateway(key) => (Kind::Gateway, key),
                Subject::BackendTlsPolicy(key) => (Kind::BackendTlsPolicy, key),
            };
            if before.is_none() && self.says_already(kind, key, refusal) {
                continue;
            }
            match &refusal.subject {
                Subject::Rule(rule) => routes.entry((kind, key.clone(), refusal.why(), reason)).or_default().push(rule),
                _ => self.tell(kind, key, Severity::Warning, reason, "Translate", refusal.to_string()),
            }
        }
        for ((kind, key, why, reason), rules) in routes {
            let more = if rules.len() > LISTED { format!(" and {} more", rules.len() - LISTED) } else { String::new() };
            let places: Vec<_> =
                rules.iter().take(LISTED).map(|rule| format!("rules[{}].matches[{}]", rule.rule, rule.match_index)).collect();
            self.tell(kind, &key, Severity::Warning, reason, "Translate", format!("{}{more}: {why}", places.join(", ")));
        }
    }

    /// Tells of an address that the cloud does not take, on the routes whose requests its pod misses.
    fn rejected(&self, service: &NamespacedName, target: Option<&str>, rejected: &RejectedTarget) {
        let RejectedTarget { address, port, reason } = rejected;
        let target = target.map(|target| format!(" ({target})")).unwrap_or_default();
        let note = format!(
            "Address {address}, port {port}{target} of Service {service} gets no requests, the others do. The cloud does not take it: {reason}. It is offered again \
             every 5 min: see that it is an address of the load balancer's VPC, and how many targets a target group may have"
        );
        let routes: Vec<_> = self.world.read().routes_of_service(service).take(LISTED).cloned().collect();
        for route in routes {
            if let Some(kind) = route_kind(route.kind) {
                self.tell(kind, &route.key, Severity::Warning, "TargetRejected", "Register", note.clone());
            }
        }
    }

    /// Whether a condition of the object's status tells of a refusal.
    fn says_already(&self, kind: Kind, key: &NamespacedName, refusal: &Refusal) -> bool {
        let world = self.world.read();
        let Some(status) = world.raw(kind, key).and_then(|object| object.get("status")) else { return false };
        let entries = ["parents", "ancestors", "listeners"].into_iter().filter_map(|list| status.get(list)?.as_array()).flatten();
        let holders = std::iter::once(status).chain(entries);
        let why = refusal.why();
        // Without its full stop, which it loses where another one follows.
        let tells = |message: &str| message.contains(&refusal.field) && message.contains(why.trim_end_matches('.'));
        let mut conditions = holders.filter_map(|holder| holder.get("conditions").and_then(Value::as_array)).flatten();
        conditions.any(|condition| condition.get("message").and_then(Value::as_str).is_some_and(tells))
    }
}

impl Witness for EventWitness {
    fn changed(&self, step: &Step, error: Option<&ProviderError>) {
        self.log.changed(step, error);
        if error.is_none() {
            let mut units = self.units();
            let [created, updated, deleted] = &mut units.entry(step.unit.clone()).or_default().made;
            *match step.action {
                Action::Create => created,
                Action::Update => updated,
                Action::Delete => deleted,
            } += 1;
        }
    }

    fn told(&self, unit: &UnitId, news: &News<'_>) {
        match news {
            News::Refused(refusals) => self.refused(unit, refusals),
            News::Drifted => self.units().entry(unit.clone()).or_default().drift = true,
            News::Passed(outcome) => self.passed(unit, &outcome.state, outcome.addresses.first().map(|address| address.value.as_str())),
            News::Failed { error, class, again } => self.failed(unit, error, class, *again),
            News::Unready { service, seconds } => {
                let note = format!(
                    "No target of Service {service} became healthy within {seconds} s; traffic is moved to them nevertheless. Check the pods, and the health check \
                     of the LoadBalancerProfile (targetGroup.healthCheck)"
                );
                self.tell_gateway(unit, Severity::Warning, "TargetsNotReady", "Update", note);
            }
            News::Rejected { service, target, rejected } => self.rejected(service, *target, rejected),
            News::Removed => {
                let made = self.units().remove(unit).is_some_and(|memory| memory.made.iter().any(|number| *number > 0));
                if made {
                    let note = "The load balancer is deleted, with everything that belonged to it".to_owned();
                    self.tell_gateway(unit, Severity::Normal, "Deleted", "Delete", note);
                }
            }
        }
    }
}

fn route_kind(kind: RouteKind) -> Option<Kind> {
    Kind::ROUTES.into_iter().find(|it| it.name() == kind.as_str())
}

/// Whether failures of a class (see [`ProviderError::class`]) mostly pass without anybody doing anything.
fn passes_by_itself(class: &str) -> bool {
    matches!(class, "throttled" | "transient" | "busy" | "not-ready" | "kubernetes")
}

/// The event's reason for a class of errors (see [`ProviderError::class`]).
pub fn reason(class: &str) -> &'static str {
    match class {
        "throttled" => "Throttled",
        "transient" => "CloudUnavailable",
        "busy" => "StillInUse",
        "not-ready" => "NotReady",
        "denied" => "PermissionDenied",
        "limit" => "QuotaExceeded",
        "invalid" => "CallRefused",
        "foreign" => "NameTaken",
        "settings" => "InvalidSettings",
        "kubernetes" => "KubernetesUnavailable",
        _ => "Failed",
    }
}

#[cfg(test)]
mod tests;
