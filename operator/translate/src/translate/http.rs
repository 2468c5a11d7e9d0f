//! The rules of a route: everything about them that does not depend on the listener.

use super::filter::{self, Filters};
use super::{backend, defect};
use crate::World;
use crate::report::{Drop, Fault};
use portico_crds::condition::RouteReason;
use portico_crds::normal::{self, CookieLifetime, RouteMatches, RouteRule, RouteSpec, SessionPersistenceType};
use portico_providers::{
    Backend, Filter, HeaderMatch, HttpMatch, InvalidReason, PathMatch, PlanRule, QueryParamMatch, Retry, RouteId, RuleId, RuleMatch,
    SessionPersistence, SessionPersistenceKind, StringMatch, Timeouts, WeightedBackend,
};
use std::collections::BTreeSet;

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
}

/// Resolves the rules of a route.
pub(super) fn resolve(world: &World, id: &RouteId, spec: &RouteSpec) -> Rules {
    let mut found = Rules { dropped: defect::drops(spec), ..Rules::default() };
    for rule in &spec.rules {
        one(world, id, spec, rule, &mut found);
    }
    found
}

fn one(world: &World, id: &RouteId, spec: &RouteSpec, rule: &RouteRule, found: &mut Rules) {
    let path = format!("spec.rules[{}]", rule.index);
    let number = narrow(rule.index);
    let Filters { mut filters, unresolved, unreadable } = filter::convert(world, id, &path, &rule.filters);
    found.unresolved.extend(unresolved.into_iter().map(fault));
    let mut broken = rule.incomplete || !unreadable.is_empty();
    found.dropped.extend(unreadable.into_iter().map(|message| Drop {
        reason: RouteReason::UnsupportedValue,
        rule: Some(number),
        field: None,
        message,
    }));
    filters.extend(defect::filters(spec, rule));
    if let Some(message) = filter::incompatible(&path, &rule.filters) {
        filters.push(Filter::Unknown { kind: "filters".to_owned(), message: message.clone() });
        found.dropped.push(Drop { reason: RouteReason::IncompatibleFilters, rule: Some(number), field: None, message });
        broken = true;
    }
    let mut backends = defect::backends(spec, rule);
    for reference in &rule.backend_refs {
        backends.push(weighted(world, id, spec, &path, reference, found));
    }
    backends.sort_by_key(|backend| backend.index);

    let RouteMatches::Http(matches) = &rule.matches else { return };
    for it in matches {
        let match_index = narrow(it.index);
        if !broken {
            found.serving.insert((number, match_index));
        }
        found.rules.push(PlanRule {
            id: RuleId { route: id.clone(), rule: number, match_index },
            rank: 0,
            created: None,
            name: rule.name.clone(),
            hostname: None,
            matches: RuleMatch::Http(http_match(it)),
            filters: filters.clone(),
            backends: backends.clone(),
            timeouts: Timeouts { request: rule.timeouts.request, backend_request: rule.timeouts.backend_request },
            retry: rule.retry.as_ref().map(|it| Retry { codes: it.codes.clone(), attempts: it.attempts, backoff: it.backoff }),
            session_persistence: rule.session_persistence.as_ref().map(session),
        });
    }
}

fn weighted(
    world: &World,
    id: &RouteId,
    spec: &RouteSpec,
    path: &str,
    reference: &normal::BackendRef,
    found: &mut Rules,
) -> WeightedBackend {
    let path = format!("{path}.backendRefs[{}]", reference.index);
    let mut target = backend::resolve(world, id, &path, reference);
    if let Backend::Invalid { reason, message } = &target {
        found.unresolved.push(fault((*reason, message.clone())));
    }
    let Filters { filters, unresolved, unreadable } = filter::convert(world, id, &path, &reference.filters);
    found.unresolved.extend(unresolved.into_iter().map(fault));
    let incompatible = filter::incompatible(&path, &reference.filters);
    let faults: Vec<_> = unreadable.into_iter().chain(incompatible).collect();
    found.dropped.extend(faults.iter().map(|message| Drop {
        reason: RouteReason::UnsupportedValue,
        rule: None,
        field: None,
        message: message.clone(),
    }));
    if reference.incomplete || !faults.is_empty() {
        // Its requests must not pass without the filter.
        let cut = spec.defects_under(&path).map(defect::message).chain(faults).next();
        target = Backend::Invalid { reason: InvalidReason::UnsupportedValue, message: cut.unwrap_or(path) };
    }
    WeightedBackend { index: narrow(reference.index), weight: reference.weight, backend: target, filters }
}

/// An index as the plan has it. Gateway API: at most 16 rules, 64 matches, 16 backends.
fn narrow(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn fault((reason, message): (InvalidReason, String)) -> Fault<RouteReason> {
    let reason = match reason {
        InvalidReason::BackendNotFound => RouteReason::BackendNotFound,
        InvalidReason::RefNotPermitted => RouteReason::RefNotPermitted,
        InvalidReason::InvalidKind => RouteReason::InvalidKind,
        InvalidReason::UnsupportedProtocol => RouteReason::UnsupportedProtocol,
        InvalidReason::UnsupportedValue => RouteReason::UnsupportedValue,
    };
    Fault::new(reason, message)
}

fn http_match(from: &normal::HttpRouteMatch) -> HttpMatch {
    HttpMatch {
        path: match &from.path {
            normal::PathMatch::Exact(path) => PathMatch::Exact(path.clone()),
            normal::PathMatch::Prefix(path) => PathMatch::Prefix(prefix(path)),
            normal::PathMatch::Regex(path) => PathMatch::RegularExpression(path.clone()),
        },
        headers: from.headers.iter().map(|it| HeaderMatch { name: it.name.to_ascii_lowercase(), value: string_match(&it.value) }).collect(),
        query_params: from
            .query_params
            .iter()
            .map(|it| QueryParamMatch { name: it.name.clone(), value: string_match(&it.value) })
            .collect(),
        method: from.method.clone(),
    }
}

/// A prefix without its trailing slash, which means nothing; `/` stays.
fn prefix(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() }
}

fn string_match(from: &normal::StringMatch) -> StringMatch {
    match from {
        normal::StringMatch::Exact(value) => StringMatch::Exact(value.clone()),
        normal::StringMatch::Regex(value) => StringMatch::RegularExpression(value.clone()),
    }
}

fn session(from: &normal::SessionPersistence) -> SessionPersistence {
    SessionPersistence {
        session_name: from.session_name.clone(),
        kind: match (from.r#type, from.cookie_lifetime) {
            (SessionPersistenceType::Header, _) => SessionPersistenceKind::Header,
            (SessionPersistenceType::Cookie, CookieLifetime::Session) => SessionPersistenceKind::SessionCookie,
            (SessionPersistenceType::Cookie, CookieLifetime::Permanent) => SessionPersistenceKind::PermanentCookie,
        },
        absolute_timeout: from.absolute_timeout,
        idle_timeout: from.idle_timeout,
    }
}
