//! What of manifests is changed so that Envoy proxies on this machine can serve them: addresses, ports, how proxies prove who they are.

use std::collections::{BTreeMap, BTreeSet};

use portico_crds::{Kind, NamespacedName};
use serde_json::{Value, json};

use super::block::{Block, Transport};
use crate::cluster::key_of;
use crate::manifests::Manifests;

/// What was changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Staged {
    /// In sentences.
    pub notes: Vec<String>,
    /// For which port another stands in: the other, and the one.
    pub stand_ins: BTreeMap<u16, u16>,
}

/// Whether any profile is for a fleet of Envoy proxies.
pub fn has_fleets(manifests: &Manifests) -> bool {
    manifests.objects.iter().any(|(kind, object)| is_fleet(*kind, object))
}

/// Whether any Gateway may be for something else than a fleet.
pub fn has_others(manifests: &Manifests) -> bool {
    let cast = Cast::of(manifests);
    manifests.keys(Kind::GatewayClass).any(|class| !cast.classes.contains(&class.name))
}

fn is_fleet(kind: Kind, object: &Value) -> bool {
    kind == Kind::LoadBalancerProfile && object.pointer("/spec/envoy").is_some_and(Value::is_object)
}

/// The objects that fleets serve.
#[derive(Debug, Default)]
struct Cast {
    classes: BTreeSet<String>,
    gateways: BTreeSet<NamespacedName>,
    listener_sets: BTreeSet<NamespacedName>,
}

fn text<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer).and_then(Value::as_str)
}

/// The object that a reference names, in the namespace of the one that refers where it names none.
fn target(reference: &Value, from: &NamespacedName) -> Option<NamespacedName> {
    let namespace = text(reference, "/namespace").unwrap_or(&from.namespace);
    Some(NamespacedName::new(namespace, text(reference, "/name")?))
}

impl Cast {
    fn of(manifests: &Manifests) -> Self {
        let of_kind = |kind: Kind| manifests.objects.iter().filter(move |(it, _)| *it == kind).map(|(_, object)| (key_of(object), object));
        let fleets: BTreeSet<NamespacedName> =
            of_kind(Kind::LoadBalancerProfile).filter(|(_, it)| is_fleet(Kind::LoadBalancerProfile, it)).map(|(key, _)| key).collect();
        let is_of_fleet = |key: &NamespacedName, class: &Value| {
            class.pointer("/spec/parametersRef").and_then(|it| target(it, key)).is_some_and(|it| fleets.contains(&it))
        };
        let classes: BTreeSet<String> =
            of_kind(Kind::GatewayClass).filter(|(key, class)| is_of_fleet(key, class)).map(|(key, _)| key.name).collect();
        let of_class = |gateway: &Value| text(gateway, "/spec/gatewayClassName").is_some_and(|class| classes.contains(class));
        let gateways: BTreeSet<NamespacedName> =
            of_kind(Kind::Gateway).filter(|(_, gateway)| of_class(gateway)).map(|(key, _)| key).collect();
        let of_gateway = |key: &NamespacedName, set: &Value| {
            set.pointer("/spec/parentRef").and_then(|it| target(it, key)).is_some_and(|it| gateways.contains(&it))
        };
        let listener_sets = of_kind(Kind::ListenerSet).filter(|(key, set)| of_gateway(key, set)).map(|(key, _)| key).collect();
        Self { classes, gateways, listener_sets }
    }

    fn holds(&self, kind: Kind, key: &NamespacedName) -> bool {
        match kind {
            Kind::Gateway => self.gateways.contains(key),
            Kind::ListenerSet => self.listener_sets.contains(key),
            _ => false,
        }
    }
}

/// Changes manifests so that proxies on this machine can serve them.
///
/// # Errors
/// If a port can be had nowhere.
pub fn stage(manifests: &mut Manifests, block: &Block) -> anyhow::Result<Staged> {
    let cast = Cast::of(manifests);
    let mut staged = Staged::default();
    let ports = ports(manifests, &cast);
    let reserved: BTreeSet<u16> = ports.iter().map(|(port, _)| *port).collect();
    let mut instead: BTreeMap<u16, u16> = BTreeMap::new();
    for (port, transport) in ports {
        let taken: BTreeSet<u16> = reserved.union(&instead.values().copied().collect()).copied().collect();
        let bound = block.port(port, transport, &taken)?;
        if bound != port {
            instead.insert(port, bound);
        }
    }
    staged.notes.push(format!("each Gateway gets an address of {}", block.range()));
    for (port, bound) in &instead {
        staged.notes.push(format!("port {bound} stands in for {port}, which cannot be bound here"));
    }
    for (kind, object) in &mut manifests.objects {
        let key = key_of(object);
        if is_fleet(*kind, object) {
            stage_profile(&key, object, block, &mut staged.notes);
        } else if cast.holds(*kind, &key) {
            stage_listeners(*kind, &key, object, &instead, &mut staged.notes);
        } else if Kind::ROUTES.contains(kind) {
            stage_parents(&key, object, &cast, &instead);
        }
    }
    staged.stand_ins = instead.into_iter().map(|(port, bound)| (bound, port)).collect();
    Ok(staged)
}

/// The ports that fleets listen on.
fn ports(manifests: &Manifests, cast: &Cast) -> BTreeSet<(u16, Transport)> {
    let objects = manifests.objects.iter().filter(|(kind, object)| cast.holds(*kind, &key_of(object)));
    let listeners = objects.filter_map(|(_, object)| object.pointer("/spec/listeners").and_then(Value::as_array)).flatten();
    let port = |listener: &Value| {
        let port = u16::try_from(listener.get("port")?.as_u64()?).ok()?;
        Some((port, if text(listener, "/protocol") == Some("UDP") { Transport::Udp } else { Transport::Tcp }))
    };
    listeners.filter_map(port).collect()
}

fn stage_profile(key: &NamespacedName, object: &mut Value, block: &Block, notes: &mut Vec<String>) {
    let Some(settings) = object.pointer_mut("/spec/envoy").and_then(Value::as_object_mut) else { return };
    settings.insert("addresses".to_owned(), json!([block.range()]));
    for (field, here) in [("identification", "node"), ("bind", "gatewayAddress")] {
        if let Some(there) = settings.get_mut(field).filter(|it| **it != json!(here)) {
            notes.push(format!(
                "spec.envoy.{field} of LoadBalancerProfile {key} is {here} in place of {}",
                there.as_str().unwrap_or_default()
            ));
            *there = json!(here);
        }
    }
}

fn stage_listeners(kind: Kind, key: &NamespacedName, object: &mut Value, instead: &BTreeMap<u16, u16>, notes: &mut Vec<String>) {
    let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else { return };
    for listener in spec.get_mut("listeners").and_then(Value::as_array_mut).into_iter().flatten() {
        replace_port(listener, instead);
    }
    let asked = spec.get("addresses").and_then(Value::as_array).is_some_and(|it| it.iter().any(|address| address.get("value").is_some()));
    if asked && spec.remove("addresses").is_some() {
        notes.push(format!("spec.addresses of {kind} {key} is left out"));
    }
}

fn stage_parents(key: &NamespacedName, route: &mut Value, cast: &Cast, instead: &BTreeMap<u16, u16>) {
    for parent in route.pointer_mut("/spec/parentRefs").and_then(Value::as_array_mut).into_iter().flatten() {
        let kind = if text(parent, "/kind") == Some(Kind::ListenerSet.name()) { Kind::ListenerSet } else { Kind::Gateway };
        if target(parent, key).is_some_and(|parent| cast.holds(kind, &parent)) {
            replace_port(parent, instead);
        }
    }
}

fn replace_port(object: &mut Value, instead: &BTreeMap<u16, u16>) {
    if let Some(port) = object.get_mut("port")
        && let Some(bound) = port.as_u64().and_then(|port| u16::try_from(port).ok()).and_then(|port| instead.get(&port))
    {
        *port = json!(bound);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECTS: &str = "
apiVersion: portico.dev/v1alpha1
kind: LoadBalancerProfile
metadata: {name: edge, namespace: a}
spec: {envoy: {addresses: [203.0.113.0/28], identification: certificate}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: edge}
spec: {controllerName: portico.dev/gateway-controller, parametersRef: {group: portico.dev, kind: LoadBalancerProfile, namespace: a, name: edge}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: alb}
spec: {controllerName: portico.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web, namespace: a}
spec:
  gatewayClassName: edge
  addresses: [{value: 203.0.113.4}]
  listeners: [{name: taken, port: 20081, protocol: HTTP}, {name: free, port: 20082, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: balancer, namespace: a}
spec: {gatewayClassName: alb, listeners: [{name: http, port: 20081, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: a}
spec: {parentRefs: [{name: web, port: 20081}, {name: balancer, port: 20081}, {name: web, port: 20082}]}
";

    #[test]
    fn what_this_machine_does_not_have_is_exchanged_and_named() {
        let block = Block::claim(crate::cloud::pool("127.76.0.0/24").unwrap()).unwrap();
        let _taken = std::net::TcpListener::bind((block.first, 20081)).unwrap();
        let mut manifests = Manifests::parse([("a.yaml", OBJECTS)]).unwrap();
        assert!(has_fleets(&manifests) && has_others(&manifests));
        let staged = stage(&mut manifests, &block).unwrap();
        assert_eq!(staged.stand_ins, BTreeMap::from([(28081, 20081)]));
        assert_eq!(
            staged.notes,
            [
                "each Gateway gets an address of 127.76.0.2-127.76.0.254",
                "port 28081 stands in for 20081, which cannot be bound here",
                "spec.envoy.identification of LoadBalancerProfile a/edge is node in place of certificate",
                "spec.addresses of Gateway a/web is left out",
            ]
        );
        let of = |kind: Kind, name: &str| {
            let found = manifests.objects.iter().find(|(it, object)| *it == kind && key_of(object).name == name);
            found.unwrap().1.get("spec").unwrap().clone()
        };
        assert_eq!(of(Kind::LoadBalancerProfile, "edge"), json!({"envoy": {"addresses": [block.range()], "identification": "node"}}));
        let ports = |spec: &Value, field: &str| -> Vec<u64> {
            spec.get(field).and_then(Value::as_array).unwrap().iter().filter_map(|it| it.get("port")?.as_u64()).collect()
        };
        let web = of(Kind::Gateway, "web");
        assert_eq!((ports(&web, "listeners"), web.get("addresses")), (vec![28081, 20082], None));
        assert_eq!(ports(&of(Kind::Gateway, "balancer"), "listeners"), [20081]);
        assert_eq!(ports(&of(Kind::HttpRoute, "web"), "parentRefs"), [28081, 20081, 20082]);
    }
}
