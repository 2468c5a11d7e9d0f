//! Routes of every kind.

use std::{ops::RangeInclusive, time::Duration};

use gateway_api::{experimental as api, tlsroutes as tls};

use serde_json::Value;

use super::{
    BackendRef, GrpcRouteMatch, HttpRouteMatch, Normal, NormalSpec, ParentRef, RouteFilter, SessionPersistence,
    backend::ToBackend,
    filter::{ToFilter, to_filters},
    matches::{grpc_matches, http_matches},
    parse_duration,
    session::{self, session_persistence},
};
use crate::{CutIndexes, CutScope, Defect, gateway};

/// The spec of a route of any kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteSpec {
    /// What the route attaches to.
    pub parent_refs: Vec<ParentRef>,
    /// Hostnames as written; empty for kinds that have none, and where the listeners' hostnames count.
    pub hostnames: Vec<String>,
    /// Rules in their author's order.
    pub rules: Vec<RouteRule>,
    /// Everything that was cut out, with the author's indexes.
    pub defects: Vec<Defect>,
}

/// A rule of a route of any kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteRule {
    /// The author's index in `spec.rules`.
    pub index: usize,
    /// Name, unique within the route.
    pub name: Option<String>,
    /// What the rule matches.
    pub matches: RouteMatches,
    /// Filters in their author's order.
    pub filters: Vec<RouteFilter>,
    /// Backends; those that were cut out are missing here and counted in `lost_weight`.
    pub backend_refs: Vec<BackendRef>,
    /// Timeouts.
    pub timeouts: Timeouts,
    /// Retries; absent means that nothing is retried by the route's wish.
    pub retry: Option<Retry>,
    /// Stickiness.
    pub session_persistence: Option<SessionPersistence>,
    /// A filter or a field of the rule was cut out: what the rule matches must be answered with 500, never served without it.
    pub incomplete: bool,
    /// The weights of the backends that were cut out: that share of the traffic must be answered with 500.
    pub lost_weight: u32,
}

/// What a rule matches; a request needs one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RouteMatches {
    /// Of an HTTPRoute; never empty.
    Http(Vec<HttpRouteMatch>),
    /// Of a GRPCRoute; never empty.
    Grpc(Vec<GrpcRouteMatch>),
    /// All traffic of the listener (TLSRoute: of its hostnames).
    #[default]
    Any,
}

/// Timeouts of a rule. [`Duration::ZERO`] switches a timeout off; absent leaves it to the implementation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// For the whole request, retries included.
    pub request: Option<Duration>,
    /// For each attempt at a backend.
    pub backend_request: Option<Duration>,
}

/// Retries of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Status codes (400 to 599) that are retried.
    pub codes: Vec<u16>,
    /// Attempts on top of the first; 1 by default, 0 switches retries off.
    pub attempts: u32,
    /// Base interval between attempts.
    pub backoff: Option<Duration>,
}

impl RouteSpec {
    /// The defects at or below a path with the author's indexes, such as `spec.rules[2]`.
    pub fn defects_under<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Defect> {
        self.defects.iter().filter(move |defect| defect.is_under(path))
    }
}

impl NormalSpec for RouteSpec {
    fn defects(&self) -> &[Defect] {
        &self.defects
    }

    fn adopt(&mut self, defects: &[Defect], indexes: &CutIndexes) {
        for defect in &mut self.defects {
            defect.path = indexes.author_path(&defect.path);
        }
        self.defects.extend_from_slice(defects);
        for rule in &mut self.rules {
            rule.index = indexes.author_index("spec.rules", rule.index);
            let path = format!("spec.rules[{}]", rule.index);
            let matches = format!("{path}.matches");
            match &mut rule.matches {
                RouteMatches::Http(list) => list.iter_mut().for_each(|it| it.index = indexes.author_index(&matches, it.index)),
                RouteMatches::Grpc(list) => list.iter_mut().for_each(|it| it.index = indexes.author_index(&matches, it.index)),
                RouteMatches::Any => {}
            }
            let backends = format!("{path}.backendRefs");
            for backend in &mut rule.backend_refs {
                backend.index = indexes.author_index(&backends, backend.index);
                let path = format!("{backends}[{}]", backend.index);
                backend.incomplete = self.defects.iter().any(|it| it.cut != CutScope::BackendRef && it.is_under(&path));
            }
            let own = self.defects.iter().filter(|it| it.is_under(&path));
            let (in_backends, of_rule): (Vec<_>, Vec<_>) = own.partition(|it| it.cut == CutScope::BackendRef || it.is_under(&backends));
            rule.incomplete = of_rule.iter().any(|it| matches!(it.cut, CutScope::Filter | CutScope::Field))
                || in_backends.iter().any(|it| it.cut == CutScope::Field);
            rule.lost_weight = in_backends.iter().filter_map(|it| it.weight).fold(0, u32::saturating_add);
        }
    }

    fn complete(&mut self, raw: &Value) {
        for rule in &mut self.rules {
            let Some(session) = &mut rule.session_persistence else { continue };
            let Some(raw) = raw.pointer(&format!("/spec/rules/{}/sessionPersistence", rule.index)) else { continue };
            let before = self.defects.len();
            session::complete(session, raw, &format!("spec.rules[{}].sessionPersistence", rule.index), &mut self.defects);
            rule.incomplete |= self.defects.len() > before;
        }
    }
}

/// Converts parent references; a port out of range cuts its reference out.
fn parents<'a, P>(refs: Option<&'a [P]>, defects: &mut Vec<Defect>) -> Vec<ParentRef>
where
    ParentRef: TryFrom<&'a P, Error = i32>,
{
    let mut found = Vec::new();
    for (index, reference) in refs.unwrap_or_default().iter().enumerate() {
        match ParentRef::try_from(reference) {
            Ok(parent) => found.push(parent),
            Err(port) => defects.push(Defect {
                path: format!("spec.parentRefs[{index}].port"),
                value: port.to_string(),
                message: format!("{port} is not a port (1 to 65535)"),
                cut: CutScope::ParentRef,
                weight: None,
            }),
        }
    }
    found
}

fn backends<B: ToBackend>(refs: Option<&[B]>, rule: &str, defects: &mut Vec<Defect>) -> Vec<BackendRef> {
    let refs = refs.unwrap_or_default().iter().enumerate();
    refs.filter_map(|(index, it)| it.to_backend(index, &format!("{rule}.backendRefs[{index}]"), defects)).collect()
}

/// Reads a field with a duration; one that cannot be read is cut out, which makes its rule incomplete.
pub(super) fn duration(text: Option<&String>, path: String, defects: &mut Vec<Defect>) -> Option<Duration> {
    text.and_then(|text| match parse_duration(text) {
        Ok(duration) => Some(duration),
        Err(message) => {
            defects.push(Defect { path, value: crate::decode::short(text), message, cut: CutScope::Field, weight: None });
            None
        }
    })
}

fn retry(from: Option<&api::httproutes::HttpRouteRulesRetry>, path: &str, defects: &mut Vec<Defect>) -> Option<Retry> {
    let from = from?;
    let mut number = |value: i64, field: &str, what: &str, range: RangeInclusive<u16>| {
        let valid = u16::try_from(value).ok().filter(|it| range.contains(it));
        if valid.is_none() {
            let message = format!("{value} is not {what}");
            defects.push(Defect { path: format!("{path}.{field}"), value: value.to_string(), message, cut: CutScope::Field, weight: None });
        }
        valid
    };
    let codes = from.codes.iter().flatten().enumerate();
    let codes = codes
        .filter_map(|(index, code)| number(*code, &format!("codes[{index}]"), "a status code that can be retried (400 to 599)", 400..=599))
        .collect();
    let attempts = from.attempts.map_or(Some(1), |attempts| number(attempts, "attempts", "a number of attempts", 0..=u16::MAX))?;
    Some(Retry { codes, attempts: attempts.into(), backoff: duration(from.backoff.as_ref(), format!("{path}.backoff"), defects) })
}

/// A generated route, taken apart.
trait Parts {
    fn parts(&self, defects: &mut Vec<Defect>) -> (Vec<ParentRef>, Vec<String>, Vec<RouteRule>);
}

/// Numbers the rules and settles what their defects mean.
fn assemble(route: &impl Parts) -> RouteSpec {
    let mut defects = Vec::new();
    let (parent_refs, hostnames, mut rules) = route.parts(&mut defects);
    for (index, rule) in rules.iter_mut().enumerate() {
        rule.index = index;
    }
    let mut spec = RouteSpec { parent_refs, hostnames, rules, defects };
    spec.adopt(&[], &CutIndexes::default());
    spec
}

fn rules<R>(rules: &[R], defects: &mut Vec<Defect>, convert: impl Fn(&R, &str, &mut Vec<Defect>) -> RouteRule) -> Vec<RouteRule> {
    rules.iter().enumerate().map(|(index, rule)| convert(rule, &format!("spec.rules[{index}]"), defects)).collect()
}

fn filters<F: ToFilter>(from: Option<&[F]>, path: &str, defects: &mut Vec<Defect>) -> Vec<RouteFilter> {
    to_filters(from, path, defects)
}

impl Parts for gateway::HttpRoute {
    fn parts(&self, defects: &mut Vec<Defect>) -> (Vec<ParentRef>, Vec<String>, Vec<RouteRule>) {
        let spec = &self.spec;
        let rules = rules(spec.rules.as_deref().unwrap_or_default(), defects, |rule, path, defects| RouteRule {
            name: rule.name.clone(),
            matches: RouteMatches::Http(http_matches(rule.matches.as_deref())),
            filters: filters(rule.filters.as_deref(), path, defects),
            backend_refs: backends(rule.backend_refs.as_deref(), path, defects),
            timeouts: rule.timeouts.as_ref().map_or_else(Timeouts::default, |it| Timeouts {
                request: duration(it.request.as_ref(), format!("{path}.timeouts.request"), defects),
                backend_request: duration(it.backend_request.as_ref(), format!("{path}.timeouts.backendRequest"), defects),
            }),
            retry: retry(rule.retry.as_ref(), &format!("{path}.retry"), defects),
            session_persistence: session_persistence!(
                rule.session_persistence,
                path,
                defects,
                httproutes,
                HttpRouteRulesSessionPersistenceType,
                HttpRouteRulesSessionPersistenceCookieConfigLifetimeType
            ),
            ..RouteRule::default()
        });
        (parents(spec.parent_refs.as_deref(), defects), spec.hostnames.clone().unwrap_or_default(), rules)
    }
}

impl Parts for gateway::GrpcRoute {
    fn parts(&self, defects: &mut Vec<Defect>) -> (Vec<ParentRef>, Vec<String>, Vec<RouteRule>) {
        let spec = &self.spec;
        let rules = rules(spec.rules.as_deref().unwrap_or_default(), defects, |rule, path, defects| RouteRule {
            name: rule.name.clone(),
            matches: RouteMatches::Grpc(grpc_matches(rule.matches.as_deref())),
            filters: filters(rule.filters.as_deref(), path, defects),
            backend_refs: backends(rule.backend_refs.as_deref(), path, defects),
            session_persistence: session_persistence!(
                rule.session_persistence,
                path,
                defects,
                grpcroutes,
                GrpcRouteRulesSessionPersistenceType,
                GrpcRouteRulesSessionPersistenceCookieConfigLifetimeType
            ),
            ..RouteRule::default()
        });
        (parents(spec.parent_refs.as_deref(), defects), spec.hostnames.clone().unwrap_or_default(), rules)
    }
}

/// A rule that has nothing but backends.
fn plain_rule<B: ToBackend>(name: Option<&String>, refs: &[B], path: &str, defects: &mut Vec<Defect>) -> RouteRule {
    RouteRule { name: name.cloned(), backend_refs: backends(Some(refs), path, defects), ..RouteRule::default() }
}

impl Parts for tls::TlsRoute {
    fn parts(&self, defects: &mut Vec<Defect>) -> (Vec<ParentRef>, Vec<String>, Vec<RouteRule>) {
        let spec = &self.spec;
        let rules = rules(&spec.rules, defects, |rule, path, defects| plain_rule(rule.name.as_ref(), &rule.backend_refs, path, defects));
        (parents(spec.parent_refs.as_deref(), defects), spec.hostnames.clone(), rules)
    }
}

macro_rules! l4_route {
    ($($from:ty),+) => {$(
        impl Parts for $from {
            fn parts(&self, defects: &mut Vec<Defect>) -> (Vec<ParentRef>, Vec<String>, Vec<RouteRule>) {
                let spec = &self.spec;
                let rules =
                    rules(&spec.rules, defects, |rule, path, defects| plain_rule(rule.name.as_ref(), &rule.backend_refs, path, defects));
                (parents(spec.parent_refs.as_deref(), defects), Vec::new(), rules)
            }
        }
    )+};
}

l4_route!(gateway::TcpRoute, gateway::UdpRoute);

macro_rules! normal_route {
    ($($from:ty),+) => {$(
        impl Normal for $from {
            type Spec = RouteSpec;

            fn normal(&self) -> RouteSpec {
                assemble(self)
            }
        }
    )+};
}

normal_route!(gateway::HttpRoute, gateway::GrpcRoute, gateway::TlsRoute, gateway::TcpRoute, gateway::UdpRoute);
