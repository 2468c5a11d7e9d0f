//! Forwarding: backends with their weights and filters.

use super::Compiler;
use super::filter::{Gathered, millionths};
use super::header::Headers;
use super::issue::Issue;
use super::route::{Place, dress, failed, forwarded, is_grpc, redirected};
use super::rule_field;
use super::session::{self, Pin};
use crate::name;
use crate::stack::route::{ClusterNotFoundResponseCode, ClusterWeight, Route, RouteAction, RouteMatch, WeightedCluster};
use portico_providers::{Backend, Filter, PlanRule, Residue, WeightedBackend};

impl Compiler<'_> {
    /// The routes of a rule that is not redirected.
    pub(super) fn forward(&mut self, rule: &PlanRule, place: &Place<'_>, matches: &RouteMatch, gathered: &Gathered) -> Vec<Route> {
        // Backends without a share are known to the fleet as well, so that they can be given one at once.
        for backend in rule.backends.iter().filter(|backend| backend.weight == 0) {
            self.target(backend);
        }
        let shares: Vec<&WeightedBackend> = rule.backends.iter().filter(|backend| backend.weight > 0).collect();
        match shares.as_slice() {
            [] => vec![dress(failed(rule, matches.clone()), gathered)],
            [backend] => self.share(rule, place, matches.clone(), gathered, backend),
            shares if rule.session_persistence.is_some() || shares.iter().any(|backend| backend.filters.iter().any(needs_a_route)) => {
                self.split(rule, place, matches, gathered, shares)
            }
            shares => self.weighted(rule, matches.clone(), gathered, shares),
        }
    }

    /// The routes for one backend, with its filters after the rule's.
    fn share(
        &mut self,
        rule: &PlanRule,
        place: &Place<'_>,
        matches: RouteMatch,
        gathered: &Gathered,
        backend: &WeightedBackend,
    ) -> Vec<Route> {
        let mut gathered = gathered.clone();
        let at = rule_field(rule, &format!("backendRefs[{}]", backend.index));
        if let Err(issue) = self.gather(rule, place, &backend.filters, &at, &mut gathered) {
            self.refuse_rule(rule, issue, Residue::Answer500);
            return vec![failed(rule, matches)];
        }
        // The filters of a backend are for requests that it gets: an invalid one redirects none.
        if gathered.denied || !matches!(backend.backend, Backend::Service(_)) {
            return vec![dress(failed(rule, matches), &gathered)];
        }
        if !gathered.redirects.is_empty() {
            return redirected(rule, &matches, &gathered);
        }
        let cluster = self.target(backend);
        let action = RouteAction { cluster: Some(cluster), ..self.action(rule, &gathered) };
        let mut route = dress(forwarded(rule, matches, action), &gathered);
        for issue in session::apply(rule, &mut route) {
            self.refuse_rule(rule, issue, Residue::Served);
        }
        vec![route]
    }

    /// One route for several backends, which at most change headers.
    fn weighted(&mut self, rule: &PlanRule, matches: RouteMatch, gathered: &Gathered, shares: &[&WeightedBackend]) -> Vec<Route> {
        let headers_differ = shares.iter().any(|backend| !backend.filters.is_empty());
        let mut clusters = Vec::new();
        for backend in shares {
            let mut cluster = ClusterWeight { name: self.target(backend), weight: Some(backend.weight), ..ClusterWeight::default() };
            if headers_differ {
                // Envoy lets the headers of the route follow those of the cluster: all stand at the cluster, the backend's last.
                match backend_headers(rule, backend, gathered) {
                    Ok((request, response)) => {
                        (cluster.request_headers_to_add, cluster.request_headers_to_remove) = (request.add, request.remove);
                        (cluster.response_headers_to_add, cluster.response_headers_to_remove) = (response.add, response.remove);
                    }
                    Err(issue) => {
                        self.refuse_rule(rule, issue, Residue::Answer500);
                        name::INVALID.clone_into(&mut cluster.name);
                    }
                }
            }
            clusters.push(cluster);
        }
        if clusters.iter().all(|cluster| cluster.name == name::INVALID) {
            return vec![dress(failed(rule, matches), gathered)];
        }
        let not_found = if !is_grpc(rule) && clusters.iter().any(|cluster| cluster.name == name::INVALID) {
            ClusterNotFoundResponseCode::InternalServerError
        } else {
            ClusterNotFoundResponseCode::ServiceUnavailable
        };
        let action = RouteAction {
            weighted_clusters: Some(WeightedCluster { clusters }),
            cluster_not_found_response_code: not_found.into(),
            ..self.action(rule, gathered)
        };
        let mut dressing = gathered.clone();
        if headers_differ {
            (dressing.request, dressing.response) = (Headers::default(), Headers::default());
        }
        vec![dress(forwarded(rule, matches, action), &dressing)]
    }

    /// A route for each of several backends that change more than headers, or that keep sessions: each takes its share of the requests that those before it left. Envoy draws one number for a
    /// request, whatever the number of routes that ask for a share, so that shares are those up to and with the backend's own.
    fn split(
        &mut self,
        rule: &PlanRule,
        place: &Place<'_>,
        matches: &RouteMatch,
        gathered: &Gathered,
        shares: &[&WeightedBackend],
    ) -> Vec<Route> {
        let pin = Pin::of(rule).unwrap_or_else(|issue| {
            self.refuse_rule(rule, issue, Residue::Served);
            None
        });
        let total: u64 = shares.iter().map(|backend| u64::from(backend.weight)).sum();
        let (mut pinned, mut routes) = (Vec::new(), Vec::new());
        let mut taken = 0;
        for backend in shares {
            taken += u64::from(backend.weight);
            let mut share = matches.clone();
            if taken < total {
                share.runtime_fraction = Some(millionths(taken, total));
            }
            let mut share = self.share(rule, place, share, gathered, backend);
            if let Some(pin) = &pin {
                let cluster = self.target(backend);
                share.iter_mut().filter(|route| route.route.is_some()).for_each(|route| pin.begin(&cluster, route));
                if cluster != name::INVALID {
                    let mut matches = matches.clone();
                    matches.headers.push(pin.brought(&cluster));
                    pinned.extend(self.share(rule, place, matches, gathered, backend));
                }
            }
            routes.extend(share);
        }
        pinned.append(&mut routes);
        pinned
    }

    /// Where a backend's requests go; a cluster that does not exist for a reference that leads nowhere.
    pub(super) fn target(&mut self, backend: &WeightedBackend) -> String {
        match &backend.backend {
            Backend::Service(service) => self.cluster(service),
            Backend::Tier { .. } | Backend::Invalid { .. } => name::INVALID.to_owned(),
        }
    }
}

/// Whether a filter of one backend among several is more than a change of headers.
fn needs_a_route(filter: &Filter) -> bool {
    !matches!(filter, Filter::RequestHeaderModifier(_) | Filter::ResponseHeaderModifier(_))
}

fn backend_headers(rule: &PlanRule, backend: &WeightedBackend, gathered: &Gathered) -> Result<(Headers, Headers), Issue> {
    let (mut request, mut response) = (gathered.request.clone(), gathered.response.clone());
    for (index, filter) in backend.filters.iter().enumerate() {
        let field = rule_field(rule, &format!("backendRefs[{}].filters[{index}]", backend.index));
        match filter {
            Filter::RequestHeaderModifier(modifier) => request.follow(modifier, &format!("{field}.requestHeaderModifier"))?,
            Filter::ResponseHeaderModifier(modifier) => response.follow(modifier, &format!("{field}.responseHeaderModifier"))?,
            _ => {}
        }
    }
    Ok((request, response))
}
