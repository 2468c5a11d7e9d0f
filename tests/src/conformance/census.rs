//! Which Gateway had which load balancer during a run: each one of its own, at an address of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use futures::StreamExt;
use kube_client::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube_client::{Api, Client};
use kube_runtime::WatchStreamExt;
use kube_runtime::watcher::{self, Event, watcher};
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

/// Watches the Gateways of a class from its beginning to its end.
pub struct Census {
    seen: Arc<Mutex<Seen>>,
    _watch: AbortOnDropHandle<()>,
}

impl Census {
    /// Begins to watch.
    pub fn begin(client: Client, class: &str) -> Self {
        let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("gateway.networking.k8s.io", "v1", "Gateway"), "gateways");
        let gateways: Api<DynamicObject> = Api::all_with(client, &kind);
        let (seen, class) = (Arc::<Mutex<Seen>>::default(), class.to_owned());
        let watch = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                let mut events = watcher(gateways, watcher::Config::default()).default_backoff().boxed();
                while let Some(event) = events.next().await {
                    match event {
                        Ok(Event::Apply(gateway) | Event::InitApply(gateway)) => look(&seen, &class, &gateway).await,
                        Ok(Event::Delete(gateway)) => lock(&seen).gone(&uid(&gateway)),
                        Ok(Event::Init | Event::InitDone) => {}
                        Err(error) => tracing::warn!(%error, "watching Gateways"),
                    }
                }
            }
        });
        Self { seen, _watch: AbortOnDropHandle::new(watch) }
    }

    /// Ends the watch: what was seen.
    pub fn end(self) -> Seen {
        std::mem::take(&mut *lock(&self.seen))
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn uid(gateway: &DynamicObject) -> String {
    gateway.metadata.uid.clone().unwrap_or_default()
}

/// Takes note of a Gateway's addresses.
async fn look(seen: &Mutex<Seen>, class: &str, gateway: &DynamicObject) {
    if gateway.data.pointer("/spec/gatewayClassName").and_then(Value::as_str) != Some(class) {
        return;
    }
    lock(seen).exists(&uid(gateway), &title(gateway));
    if gateway.metadata.deletion_timestamp.is_some() {
        // From now on its address may be another's.
        return lock(seen).gone(&uid(gateway));
    }
    let addresses = gateway.data.pointer("/status/addresses").and_then(Value::as_array).cloned().unwrap_or_default();
    for name in addresses.iter().filter_map(|address| address.get("value")?.as_str()) {
        // A name that leads nowhere any more belongs to a Gateway that is being deleted: that event follows.
        let found = tokio::net::lookup_host((name, 80)).await.ok().into_iter().flatten().map(|address| address.ip()).collect();
        lock(seen).has(&uid(gateway), name, found);
    }
}

fn title(gateway: &DynamicObject) -> String {
    let metadata = &gateway.metadata;
    format!("{}/{}", metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

/// What was seen of Gateways.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// By UID: a Gateway's name, and the names of the load balancers that its status told.
    gateways: BTreeMap<String, (String, BTreeSet<String>)>,
    /// The Gateways that are not being deleted, by the addresses that these names led to.
    holders: BTreeMap<IpAddr, String>,
    /// What should not be.
    faults: Vec<String>,
}

impl Seen {
    fn exists(&mut self, uid: &str, title: &str) {
        self.gateways.entry(uid.to_owned()).or_insert_with(|| (title.to_owned(), BTreeSet::new()));
    }

    fn has(&mut self, uid: &str, name: &str, addresses: Vec<IpAddr>) {
        let Some((title, names)) = self.gateways.get_mut(uid) else { return };
        names.insert(name.to_owned());
        let title = title.clone();
        for address in addresses {
            let holder = self.holders.entry(address).or_insert_with(|| uid.to_owned());
            if holder != uid {
                let other = self.gateways.get(holder.as_str()).map_or("", |(title, _)| title.as_str());
                self.faults.push(format!("{title} was at {address} while {other} was"));
            }
        }
    }

    fn gone(&mut self, uid: &str) {
        self.holders.retain(|_, holder| holder != uid);
    }

    /// Whether each Gateway had an address that was nobody else's at the time; a sentence that says so, or what was otherwise.
    pub fn addresses(&self) -> (bool, String) {
        let named = self.gateways.values().filter(|(_, names)| !names.is_empty()).count();
        match self.faults.as_slice() {
            [] => (true, format!("{named} Gateways had an address each of their own")),
            faults => (false, format!("{named} Gateways had addresses: {}", faults.join("; "))),
        }
    }

    /// Whether so many load balancers that were made were those of the Gateways, one each; a sentence that says so, or what was otherwise. What was made for a
    /// Gateway that was deleted before its status had an address is told apart.
    pub fn verdict(&self, made: u64) -> (bool, String) {
        let (named, nameless): (Vec<_>, Vec<_>) = self.gateways.values().partition(|(_, names)| !names.is_empty());
        let early = i128::from(made) - named.len() as i128;
        let mut faults = self.faults.clone();
        let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
        for (title, names) in self.gateways.values() {
            if names.len() > 1 {
                faults.push(format!("{title} had {} load balancers", names.len()));
            }
            for name in names {
                if let Some(other) = owners.insert(name, title) {
                    faults.push(format!("{title} and {other} had the load balancer {name}"));
                }
            }
        }
        if !(0..=nameless.len() as i128).contains(&early) {
            faults.push(format!("{made} load balancers were made for them and {} without an address", nameless.len()));
        }
        let gone = if early > 0 { format!("; {early} more deleted before they had one") } else { String::new() };
        match faults.as_slice() {
            [] => (true, format!("{0} Gateways were {0} load balancers, each with an address of its own{gone}", named.len())),
            faults => (false, format!("{} Gateways had addresses: {}", named.len(), faults.join("; "))),
        }
    }
}

/// How many load balancers were made, by the cloud's count of calls.
pub fn made(calls: &Value) -> Result<u64> {
    const MAKE: &str = "elasticloadbalancing.CreateLoadBalancer";
    let count =
        |of: &str| calls.get(of).and_then(Value::as_object).map(|counts| counts.get(MAKE).and_then(Value::as_u64).unwrap_or_default());
    let (all, failed) = count("operations").zip(count("errors")).context("the cloud does not count its calls")?;
    Ok(all.saturating_sub(failed))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(last: u8) -> Vec<IpAddr> {
        vec![IpAddr::from([198, 18, 0, last])]
    }

    fn has(seen: &mut Seen, uid: &str, title: &str, name: &str, last: u8) {
        seen.exists(uid, title);
        seen.has(uid, name, at(last));
    }

    #[test]
    fn gateways_are_load_balancers_one_to_one() {
        let mut seen = Seen::default();
        has(&mut seen, "1", "a/one", "one.elb", 1);
        has(&mut seen, "1", "a/one", "one.elb", 1);
        has(&mut seen, "2", "a/two", "two.elb", 2);
        seen.gone("1");
        has(&mut seen, "3", "a/one", "three.elb", 1);
        let all = "3 Gateways were 3 load balancers, each with an address of its own";
        assert_eq!(seen.verdict(3), (true, all.to_owned()));
        assert_eq!(seen.addresses(), (true, "3 Gateways had an address each of their own".to_owned()));
        assert!(!seen.verdict(4).0);
        seen.exists("4", "a/brief");
        assert_eq!(seen.verdict(4), (true, format!("{all}; 1 more deleted before they had one")));
        assert!(!seen.verdict(2).0 && !seen.verdict(5).0);
    }

    #[test]
    fn what_is_shared_and_who_has_two_is_told() {
        let mut seen = Seen::default();
        has(&mut seen, "1", "a/one", "one.elb", 1);
        has(&mut seen, "2", "a/two", "one.elb", 1);
        has(&mut seen, "2", "a/two", "two.elb", 2);
        let (well, text) = seen.verdict(2);
        assert!(!well && !seen.addresses().0);
        for fault in
            ["a/two was at 198.18.0.1 while a/one was", "a/two had 2 load balancers", "a/two and a/one had the load balancer one.elb"]
        {
            assert!(text.contains(fault), "{text}");
        }
    }

    #[test]
    fn calls_that_failed_made_nothing() {
        let calls =
            json!({"operations": {"elasticloadbalancing.CreateLoadBalancer": 5}, "errors": {"elasticloadbalancing.CreateLoadBalancer": 2}});
        assert_eq!(made(&calls).unwrap(), 3);
        assert_eq!(made(&json!({"operations": {}, "errors": {}})).unwrap(), 0);
        assert!(made(&json!({})).is_err());
    }
}
