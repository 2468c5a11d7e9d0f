//! Virtual hosts: which rules count for which name.

use super::Compiler;
use super::authorization::{Authorizations, Scope};
use super::hostname::ByHostname;
use super::issue::Issue;
use super::listener_field;
use super::matching;
use super::route::Place;
use crate::name;
use crate::stack::TypedConfig;
use crate::stack::route::{DirectResponseAction, Route, RouteConfiguration, VirtualHost};
use portico_providers::{Filter, Hostname, PlanListener, PlanPort, Residue};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// What becomes of requests for a name that belongs to another listener than the one whose connection they came by.
const MISDIRECTED: u32 = 421;

impl Compiler<'_> {
    /// The routes for the requests of one connection manager: of all listeners of a port, or with `own` of the one whose certificate the client was shown. Returns the
    /// authorization filters that these routes need.
    ///
    /// A request belongs to the listener with the most specific hostname that covers its own, and to no other. Envoy chooses one virtual host for a request, the most specific
    /// again, so that each has all rules that count for its name, in order.
    pub(super) fn routes(&mut self, port: &PlanPort, https: bool, own: Option<&PlanListener>) -> (String, Authorizations) {
        let authorizations = RefCell::<Authorizations>::default();
        let mut hosts: BTreeMap<String, VirtualHost> = BTreeMap::new();
        for listener in &port.listeners {
            let rules = ByHostname::of(listener);
            let names = listener.rules.iter().map(|rule| rule.hostname.as_ref().or(listener.hostname.as_ref()));
            let mut seen = BTreeSet::new();
            for hostname in names.chain([listener.hostname.as_ref()]).filter(|name| seen.insert(*name)) {
                let domain = name::domain(hostname);
                // Listeners are ordered by specificity: the first whose hostname covers the name is the one that it belongs to.
                let belongs = port.listeners.iter().find(|other| covers(other.hostname.as_ref(), hostname));
                if hosts.contains_key(domain) || belongs.is_none_or(|other| other.hostname != listener.hostname) {
                    continue;
                }
                let place = Place { port: port.port, https, hostname, authorizations: &authorizations };
                let host = if own.is_some_and(|own| own.hostname != listener.hostname) {
                    misdirected()
                } else {
                    self.virtual_host(listener, &rules, &place)
                };
                hosts.insert(domain.to_owned(), host);
            }
        }
        if let Some(own) = own {
            // Of another listener's names, its own says everything.
            let others: Vec<&PlanListener> = port.listeners.iter().filter(|other| other.hostname != own.hostname).collect();
            hosts
                .retain(|domain, host| !is_misdirected(host) || others.iter().any(|other| name::domain(other.hostname.as_ref()) == domain));
        }
        let authorizations = authorizations.into_inner();
        if authorizations.change_routes() {
            // Requests for names that are nobody's must not be asked about either.
            hosts.entry(name::domain(None).to_owned()).or_default();
            hosts.values_mut().for_each(|host| ask_no_more_than_routes_say(host, &authorizations));
        }
        let name = name::routes(&self.plan.unit, port.port, own.and_then(|own| own.hostname.as_ref()));
        // One name each, which is also the virtual host's own: no two ever claim one name, whichever of them a proxy is told of first.
        let hosts =
            hosts.into_iter().map(|(domain, host)| VirtualHost { name: name::virtual_host(&name, &domain), domains: vec![domain], ..host });
        let configuration = RouteConfiguration {
            name: name.clone(),
            virtual_hosts: hosts.collect(),
            vhds: None,
            // Gateway API: the port of a Host header plays no part.
            ignore_port_in_host_matching: true,
        };
        self.route_configurations.insert(name.clone(), configuration);
        (name, authorizations)
    }

    fn virtual_host(&mut self, listener: &PlanListener, rules: &ByHostname<'_>, place: &Place<'_>) -> VirtualHost {
        let mut host = VirtualHost::default();
        match self.listener_filters(listener, place) {
            Ok(filters) => host.typed_per_filter_config = filters,
            Err(()) => {
                host.routes.push(answer(500));
                return host;
            }
        }
        for rule in rules.covering(place.hostname) {
            let routes = self.rule(rule, place);
            host.routes.extend(routes);
        }
        if !host.typed_per_filter_config.is_empty() {
            // Filters know their configuration by the route that was found: what none takes is asked about as well.
            host.routes.push(answer(404));
        }
        host
    }

    /// The listener's own filters: an authorization, for all of its requests.
    fn listener_filters(&mut self, listener: &PlanListener, place: &Place<'_>) -> Result<BTreeMap<String, TypedConfig>, ()> {
        let mut filters = BTreeMap::new();
        for (index, filter) in listener.filters.iter().enumerate() {
            let at = listener_field(&listener.owner, &format!("filters.requests[{index}]"));
            match filter {
                Filter::ExternalAuth(filter) => {
                    let Some((name, config)) = self.authorization(filter, Scope::Listener(index), place) else { return Err(()) };
                    filters.insert(name, config);
                }
                other => {
                    let detail = format!("Portico applies no {} to a whole listener of Envoy", other.kind());
                    let issue = Issue::unsupported(at, detail, "Put the filter on the routes.");
                    self.refuse_listener(listener, issue, Residue::Answer500);
                    return Err(());
                }
            }
        }
        Ok(filters)
    }
}

/// Whether every name that `narrow` stands for is one of `wide`'s; no hostname stands for all names.
pub(super) fn covers(wide: Option<&Hostname>, narrow: Option<&Hostname>) -> bool {
    match (wide, narrow) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => wide.covers(narrow),
    }
}

fn answer(status: u32) -> Route {
    Route { r#match: Some(matching::any()), direct_response: Some(DirectResponseAction { status }), ..Route::default() }
}

fn misdirected() -> VirtualHost {
    VirtualHost { routes: vec![answer(MISDIRECTED)], ..VirtualHost::default() }
}

/// Keeps the authorization filters of routes from asking where no route of a virtual host wants it.
fn ask_no_more_than_routes_say(host: &mut VirtualHost, authorizations: &Authorizations) {
    if host.typed_per_filter_config.is_empty() {
        host.routes.push(answer(404));
    }
    host.typed_per_filter_config.extend(authorizations.off());
}

fn is_misdirected(host: &VirtualHost) -> bool {
    let status = |route: &Route| route.direct_response.as_ref().is_some_and(|answer| answer.status == MISDIRECTED);
    host.routes.iter().any(status)
}
