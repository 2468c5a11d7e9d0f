//! Routes: what a rule of an HTTPRoute or a GRPCRoute becomes.

use super::Compiler;
use super::authorization::Authorizations;
use super::cors;
use super::filter::Gathered;
use super::matching;
use super::redirect;
use crate::name;
use crate::stack::route::{DirectResponseAction, Route, RouteAction, RouteMatch};
use portico_providers::{Hostname, PlanRule, Residue, RuleMatch};

/// Where a route stands.
pub(super) struct Place<'a> {
    /// The port that requests came to.
    pub port: u16,
    /// Whether they came by TLS.
    pub https: bool,
    /// The name that they are for: that of the virtual host.
    pub hostname: Option<&'a Hostname>,
    /// The authorization filters that the connection manager needs.
    pub authorizations: &'a std::cell::RefCell<Authorizations>,
}

impl Compiler<'_> {
    /// The routes of a rule for one virtual host, in order.
    pub(super) fn rule(&mut self, rule: &PlanRule, place: &Place<'_>) -> Vec<Route> {
        let matches = match matching::compile(rule) {
            Ok(matches) => matches,
            Err(issue) => {
                self.refuse_rule(rule, issue, Residue::FallsThrough);
                return Vec::new();
            }
        };
        let mut gathered = Gathered::default();
        let at = format!("spec.rules[{}]", rule.id.rule);
        if let Err(issue) = self.gather(rule, place, &rule.filters, &at, &mut gathered) {
            self.refuse_rule(rule, issue, Residue::Answer500);
            return vec![failed(rule, matches)];
        }
        if gathered.denied {
            return vec![dress(failed(rule, matches), &gathered)];
        }
        let mut routes = if gathered.redirects.is_empty() {
            self.forward(rule, place, &matches, &gathered)
        } else {
            redirected(rule, &matches, &gathered)
        };
        if gathered.cors.is_some()
            && let Some(preflight) = redirect::preflight(&matches)
            && let Some(first) = routes.first().filter(|route| route.route.is_some())
        {
            // The CORS filter answers before the route's action would, but only where that leads to a cluster.
            routes.insert(0, Route { r#match: Some(preflight), ..first.clone() });
        }
        routes
    }
}

/// Routes that answer with redirects.
pub(super) fn redirected(rule: &PlanRule, matches: &RouteMatch, gathered: &Gathered) -> Vec<Route> {
    let route = |(headers, action): &(Vec<_>, _)| {
        let route = Route { redirect: Some(Clone::clone(action)), ..named(rule, redirect::narrowed(matches, headers.clone())) };
        dress(route, gathered)
    };
    gathered.redirects.iter().map(route).collect()
}

/// A route that does nothing yet.
pub(super) fn named(rule: &PlanRule, matches: RouteMatch) -> Route {
    Route { name: name::route(rule), r#match: Some(matches), ..Route::default() }
}

/// A route whose requests fail: by 500, and calls by UNAVAILABLE, which Envoy makes of 503 (Gateway API: HTTPRouteRule.BackendRefs, GRPCRouteRule.BackendRefs).
pub(super) fn failed(rule: &PlanRule, matches: RouteMatch) -> Route {
    let status = if is_grpc(rule) { 503 } else { 500 };
    Route { direct_response: Some(DirectResponseAction { status }), ..named(rule, matches) }
}

/// Whether a rule is for gRPC calls.
pub(super) fn is_grpc(rule: &PlanRule) -> bool {
    matches!(rule.matches, RuleMatch::Grpc(_))
}

/// A route that sends requests on.
pub(super) fn forwarded(rule: &PlanRule, matches: RouteMatch, action: RouteAction) -> Route {
    Route { route: Some(action), ..named(rule, matches) }
}

/// Gives a route the headers and the configurations of HTTP filters that were gathered.
pub(super) fn dress(mut route: Route, gathered: &Gathered) -> Route {
    route.request_headers_to_add.clone_from(&gathered.request.add);
    route.request_headers_to_remove.clone_from(&gathered.request.remove);
    route.response_headers_to_add.clone_from(&gathered.response.add);
    route.response_headers_to_remove.clone_from(&gathered.response.remove);
    route.typed_per_filter_config.extend(gathered.per_filter.clone());
    if let Some(policy) = &gathered.cors {
        route.typed_per_filter_config.insert(cors::FILTER.to_owned(), policy.clone().into());
    }
    route
}
