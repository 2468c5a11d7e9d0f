//! Virtual hosts, told by themselves (VHDS).
//!
//! Envoy asks for all of them once, whatever route configurations it has or will have, and hands each to the route configuration whose name it begins with. One for which
//! it has none is lost, although it acknowledges it. So those of a route configuration follow the route configuration, each time that it is told.

use super::{Response, Stream, View};
use crate::resource::Resource;
use portico_envoy::observed::{ResourceKey, ResourceKind};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Route configurations of which virtual hosts are on their way at one time.
const IN_FLIGHT: usize = 64;

impl Stream {
    /// The first question for virtual hosts.
    pub(super) fn ask_for_hosts(&mut self, view: &impl View) {
        let routes = self.kind(ResourceKind::RouteConfiguration);
        let told: Vec<String> = routes.held.iter().filter(|(_, held)| held.resource.is_some()).map(|(name, _)| name.clone()).collect();
        for name in told {
            self.tell_hosts_again(&name, view);
        }
        self.kind_mut(ResourceKind::VirtualHost).dirty.extend(view.names(ResourceKind::VirtualHost));
    }

    /// A route configuration that is told takes its virtual hosts anew.
    pub(super) fn tell_hosts_again(&mut self, routes: &str, view: &impl View) {
        if !self.kind(ResourceKind::VirtualHost).asked {
            return;
        }
        self.look_at_hosts(routes);
        let names = view.hosts(routes);
        let state = self.kind_mut(ResourceKind::VirtualHost);
        state.forced.extend(names.iter().cloned());
        state.dirty.extend(names);
    }

    /// What the proxy has of a route configuration may not be what it should have.
    pub(super) fn look_at_hosts(&mut self, routes: &str) {
        let prefix = format!("{routes}/");
        let state = self.kind_mut(ResourceKind::VirtualHost);
        let held = state.held.range(prefix.clone()..).map(|(name, _)| name).take_while(|name| name.starts_with(&prefix));
        state.dirty.extend(held.cloned());
    }

    /// What there is to tell of the virtual hosts of one route configuration: all of it at once, so that it never serves with some, and nothing of others, since Envoy takes or
    /// refuses what is for one route configuration as a whole, but not a response. Route configurations do not wait for one another.
    pub(super) fn tell_hosts(&mut self, view: &impl View) -> Option<Response> {
        let state = self.kind(ResourceKind::VirtualHost);
        if !state.wildcard || !self.kind(ResourceKind::RouteConfiguration).asked {
            let never = |name: &&String| !state.held.contains_key(*name) && view.get(&host(name)).is_none();
            let gone = state.dirty.iter().filter(never).map(|name| (host(name), None)).collect();
            self.settle(gone);
            return None;
        }
        if state.outstanding.len() >= IN_FLIGHT {
            return None;
        }
        let busy: BTreeSet<ResourceKey> = state.outstanding.iter().filter_map(|it| host(it.names().next()?).routes()).collect();
        let mut from = String::new();
        while let Some(routes) = self.kind(ResourceKind::VirtualHost).dirty.range(from..).next().and_then(|name| host(name).routes()) {
            if !busy.contains(&routes)
                && let Some((resources, removed)) = self.news_of(&routes, view)
            {
                return Some(self.send(ResourceKind::VirtualHost, resources, removed, view));
            }
            // The first name that does not begin with that of these routes and a slash.
            from = format!("{}0", routes.name);
        }
        None
    }

    /// What of a route configuration's virtual hosts is news to the proxy, and what went.
    fn news_of(&mut self, routes: &ResourceKey, view: &impl View) -> Option<(Vec<Arc<Resource>>, Vec<String>)> {
        let (state, told) = (self.kind(ResourceKind::VirtualHost), self.kind(ResourceKind::RouteConfiguration));
        let (asked, has) = (told.wants(&routes.name), told.held.contains_key(&routes.name));
        let stays = view.get(routes).is_some();
        let prefix = format!("{}/", routes.name);
        let (mut news, mut removed, mut settled, mut lost) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for name in state.dirty.range(prefix.clone()..).take_while(|name| name.starts_with(&prefix)) {
            let (key, held) = (host(name), state.held.contains_key(name));
            match view.get(&key) {
                None if view.leaves_alone(name) => {}
                Some(resource) if asked && has && state.is_news(&resource) => news.push(resource),
                Some(resource) if asked && has => settled.push((key, Some(resource.version.clone()))),
                // Nothing is left that would need it: the proxy may forget that it was told.
                _ if !asked && held => removed.push(name.clone()),
                // It follows its route configuration.
                Some(_) => lost.push(name.clone()),
                // All of the route configuration goes, once the connections have ended that it serves.
                None if asked && !stays => lost.push(name.clone()),
                None if held => removed.push(name.clone()),
                None => settled.push((key, None)),
            }
        }
        let resources = state.together(news);
        for name in lost {
            self.kind_mut(ResourceKind::VirtualHost).dirty.remove(&name);
        }
        self.settle(settled);
        (!resources.is_empty() || !removed.is_empty()).then_some((resources, removed))
    }
}

fn host(name: &str) -> ResourceKey {
    ResourceKey { kind: ResourceKind::VirtualHost, name: name.to_owned() }
}
