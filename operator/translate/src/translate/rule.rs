//! The rules of a route: everything about them that does not depend on the listener.

use super::backend::{self, Referrer, Traffic};
use super::filter::{self, Filters};
use super::{defect, matches};
use crate::World;
use crate::report::{Drop, Fault};
use portico_crds::condition::RouteReason;
use portico_crds::normal::{self, CookieLifetime, RouteRule, RouteSpec, SessionPersistenceType};
use portico_providers::{
    Backend, Filter, InvalidReason, PlanRule, Retry, RouteId, RuleId, SessionPersistence, SessionPersistenceKind, Timeouts, WeightedBackend,
};
use std::collections::BTreeSet;
use std::fmt::Arguments;

/// A route, resolved.
#[derive(Default)]
pub(super) struct Rules {
    /// One for each match of each rule, without hostname and rank.
    pub rules: Vec<PlanRule>,
    /// The rules and matches that can be served as far as translation knows.
    pub serving: BTreeSet<(u32, u32)>,
    /// What cannot.
    pub dropped: Vec<Drop>,
    /// References that lead nowhere.
    pub unresolved: Vec<Fault<RouteReason>>,
    /// What else its author should know.
    pub notes: Vec<String>,
}

impl Rules {
    /// Takes up why a backend gets nothing.
    fn blame(&mut self, (reason, message): (InvalidReason, String)) {
        let reason = match reason {
            InvalidReason::BackendNotFound => RouteReason::BackendNotFound,
            InvalidReason::RefNotPermitted => RouteReason::RefNotPermitted,
            InvalidReason::InvalidKind => RouteReason::InvalidKind,
            InvalidReason::UnsupportedProtocol => RouteReason::UnsupportedProtocol,
            InvalidReason::UnsupportedValue => RouteReason::UnsupportedValue,
            InvalidReason::InvalidBackendTlsPolicy => {
                self.notes.push(message);
                return;
            }
        };
        self.unresolved.push(Fault::new(reason, message));
    }
}

/// Resolves the rules of a route, which sends `traffic` to its backends.
pub(super) fn resolve(world: &World, id: &RouteId, traffic: Traffic, spec: &RouteSpec) -> Rules {
    let mut found = Rules { dropped: defect::drops(spec), ..Rules::default() };
    for rule in &spec.rules {
        one(world, id, traffic, spec, rule, &mut found);
    }
    found
}

fn one(world: &World, id: &RouteId, traffic: Traffic, spec: &RouteSpec, rule: &RouteRule, found: &mut Rules) {
    // Texts of paths are made where there is something to say.
    let path = format_args!("spec.rules[{}]", rule.index);
    let number = narrow(rule.index);
    let referrer = Referrer::route(id, traffic);
    let Filters { mut filters, unresolved, unreadable } = filter::convert(world, &referrer, format_args!("{path}.filters"), &rule.filters);
    unresolved.into_iter().for_each(|fault| found.blame(fault));
    let mut broken = rule.incomplete || !unreadable.is_empty();
    found.dropped.extend(unreadable.into_iter().map(|message| Drop {
        reason: RouteReason::UnsupportedValue,
        rule: Some(number),
        field: None,
        message,
    }));
    filters.extend(defect::filters(spec, rule));
    if let Some(message) = filter::incompatible(path, &rule.filters) {
        filters.push(Filter::Unknown { kind: "filters".to_owned(), message: message.clone() });
        found.dropped.push(Drop { reason: RouteReason::IncompatibleFilters, rule: Some(number), field: None, message });
        broken = true;
    }
    let mut backends = defect::backends(spec, rule);
    for reference in &rule.backend_refs {
        backends.push(weighted(world, &referrer, spec, path, reference, found));
    }
    backends.sort_by_key(|backend| backend.index);

    let matches = matches::convert(&rule.matches);
    // The last one gets what all the others get copies of; most rules have one.
    let parts = std::iter::repeat_n((filters, backends), matches.len());
    for ((index, matches), (filters, backends)) in matches.into_iter().zip(parts) {
        let match_index = narrow(index);
        if !broken {
            found.serving.insert((number, match_index));
        }
        found.rules.push(PlanRule {
            id: RuleId { route: id.clone(), rule: number, match_index },
            rank: 0,
            created: None,
            name: rule.name.clone(),
            hostname: None,
            matches,
            filters,
            backends,
            timeouts: Timeouts { request: rule.timeouts.request, backend_request: rule.timeouts.backend_request },
            retry: rule.retry.as_ref().map(|it| Retry { codes: it.codes.clone(), attempts: it.attempts, backoff: it.backoff }),
            session_persistence: rule.session_persistence.as_ref().map(session),
        });
    }
}

fn weighted(
    world: &World,
    referrer: &Referrer<'_>,
    spec: &RouteSpec,
    path: Arguments<'_>,
    reference: &normal::BackendRef,
    found: &mut Rules,
) -> WeightedBackend {
    let path = format_args!("{path}.backendRefs[{}]", reference.index);
    let mut target = backend::resolve(world, referrer, path, reference);
    if let Backend::Invalid { reason, message } = &target {
        found.blame((*reason, message.clone()));
    }
    let Filters { filters, unresolved, unreadable } = filter::convert(world, referrer, format_args!("{path}.filters"), &reference.filters);
    unresolved.into_iter().for_each(|fault| found.blame(fault));
    let incompatible = filter::incompatible(path, &reference.filters);
    let faults: Vec<_> = unreadable.into_iter().chain(incompatible).collect();
    found.dropped.extend(faults.iter().map(|message| Drop {
        reason: RouteReason::UnsupportedValue,
        rule: None,
        field: None,
        message: message.clone(),
    }));
    if reference.incomplete || !faults.is_empty() {
        // Its requests must not pass without the filter.
        let path = path.to_string();
        let cut = spec.defects_under(&path).map(defect::message).chain(faults).next();
        target = Backend::Invalid { reason: InvalidReason::UnsupportedValue, message: cut.unwrap_or(path) };
    }
    WeightedBackend { index: narrow(reference.index), weight: reference.weight, backend: target, filters }
}

/// An index as the plan has it. Gateway API: at most 16 rules, 64 matches, 16 backends.
fn narrow(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn session(from: &normal::SessionPersistence) -> SessionPersistence {
    SessionPersistence {
        session_name: from.session_name.clone(),
        kind: match (from.r#type, from.cookie_lifetime) {
            (SessionPersistenceType::Header, _) => SessionPersistenceKind::Header,
            (SessionPersistenceType::Cookie, CookieLifetime::Session) => SessionPersistenceKind::SessionCookie,
            (SessionPersistenceType::Cookie, CookieLifetime::Permanent) => SessionPersistenceKind::PermanentCookie,
        },
        cookie_path: from.cookie_path.clone(),
        absolute_timeout: from.absolute_timeout,
        idle_timeout: from.idle_timeout,
    }
}
