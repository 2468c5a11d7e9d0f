//! The objects of the Gateway API that decide how a request is answered, as the API server returns them.
//!
//! Written from the types' own comments (Gateway API v1.7.0, `apis/v1`), with nothing in common with the operator's types.

mod route;

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use route::{
    BackendRef, CallMatch, Cors, Filter, HeaderModifier, Kind, Match, Mirror, ParentRef, PathMatch, PathModifier, Redirect, Route, Rule,
    Timeouts, ValueMatch,
};

/// Group of the Gateway API.
pub const GROUP: &str = "gateway.networking.k8s.io";

/// Everything that the answer to a request depends on.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// The Gateways.
    pub gateways: Vec<Gateway>,
    /// The ListenerSets.
    pub sets: Vec<ListenerSet>,
    /// The HTTPRoutes and the GRPCRoutes.
    pub routes: Vec<Route>,
    /// The ReferenceGrants.
    pub grants: Vec<ReferenceGrant>,
    /// The Namespaces.
    pub namespaces: Vec<Namespace>,
    /// The Services.
    pub services: Vec<Service>,
    /// Whether proxies serve the Gateways. They can do what must be refused otherwise (changes of headers, mirrors, cross-origin rules, time limits, retries); and they may
    /// pass on the path in which what needs no encoding is decoded.
    pub by_proxies: bool,
}

impl Cluster {
    /// Sorts objects by their kind; other kinds decide nothing.
    pub fn from_objects(objects: &[Value]) -> Result<Self> {
        let mut cluster = Self::default();
        for object in objects {
            match object.get("kind").and_then(Value::as_str).unwrap_or_default() {
                "Gateway" => cluster.gateways.push(read(object)?),
                "ListenerSet" => cluster.sets.push(read(object)?),
                "HTTPRoute" | "GRPCRoute" => cluster.routes.push(read(object)?),
                "ReferenceGrant" => cluster.grants.push(read(object)?),
                "Namespace" => cluster.namespaces.push(read(object)?),
                "Service" => cluster.services.push(read(object)?),
                _ => {}
            }
        }
        Ok(cluster)
    }

    /// The labels of a namespace.
    pub fn labels(&self, namespace: &str) -> Option<&BTreeMap<String, String>> {
        self.namespaces.iter().find(|it| it.metadata.name == namespace).map(|it| &it.metadata.labels)
    }

    /// A Service.
    pub fn service(&self, namespace: &str, name: &str) -> Option<&Service> {
        self.services.iter().find(|it| it.metadata.name == name && it.metadata.namespace == namespace)
    }
}

fn read<T: DeserializeOwned>(object: &Value) -> Result<T> {
    T::deserialize(object).with_context(|| format!("cannot read {object}"))
}

/// What every object has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// Its namespace; empty for a Namespace.
    pub namespace: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When it was made: RFC 3339 in UTC with seconds, which sorts as text.
    pub creation_timestamp: String,
}

impl Metadata {
    /// `NAMESPACE/NAME`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// A Gateway.
#[derive(Debug, Clone, Deserialize)]
pub struct Gateway {
    /// Name and namespace.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: GatewaySpec,
}

/// What a Gateway wants.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewaySpec {
    /// Its listeners.
    pub listeners: Vec<Listener>,
    /// Which ListenerSets may add to them.
    #[serde(default)]
    pub allowed_listeners: AllowedListeners,
}

/// Which ListenerSets may attach to a Gateway.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct AllowedListeners {
    /// From which namespaces; none if absent.
    pub namespaces: RouteNamespaces,
}

/// A ListenerSet.
#[derive(Debug, Clone, Deserialize)]
pub struct ListenerSet {
    /// Name, namespace and age.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: ListenerSetSpec,
}

/// What a ListenerSet wants.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerSetSpec {
    /// The Gateway that it adds to.
    pub parent_ref: ParentRef,
    /// Its listeners.
    pub listeners: Vec<Listener>,
}

/// A listener.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// Its port.
    pub port: u16,
    /// Its protocol.
    pub protocol: String,
    /// Its hostname.
    pub hostname: Option<String>,
    /// Which routes may attach.
    #[serde(default)]
    pub allowed_routes: AllowedRoutes,
}

/// Which routes may attach to a listener.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct AllowedRoutes {
    /// From which namespaces.
    pub namespaces: RouteNamespaces,
    /// Of which kinds; all that suit the protocol if empty.
    pub kinds: Vec<RouteKind>,
}

/// From which namespaces something may attach.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RouteNamespaces {
    /// `All`, `Same`, `Selector` or `None`; what is meant if it is absent depends on what attaches.
    pub from: Option<String>,
    /// Which namespaces `Selector` means.
    pub selector: Selector,
}

/// A label selector: all of it must hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// Labels with their values.
    pub match_labels: BTreeMap<String, String>,
    /// Further requirements.
    pub match_expressions: Vec<Requirement>,
}

/// One requirement of a label selector.
#[derive(Debug, Clone, Deserialize)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: String,
    /// For the first two.
    #[serde(default)]
    pub values: Vec<String>,
}

/// A kind of routes.
#[derive(Debug, Clone, Deserialize)]
pub struct RouteKind {
    /// Its group; the Gateway API's if absent.
    pub group: Option<String>,
    /// Its name.
    pub kind: String,
}

/// A ReferenceGrant.
#[derive(Debug, Clone, Deserialize)]
pub struct ReferenceGrant {
    /// Its namespace is the one that it opens.
    pub metadata: Metadata,
    /// Who may refer to what.
    pub spec: GrantSpec,
}

/// Who may refer to what.
#[derive(Debug, Clone, Deserialize)]
pub struct GrantSpec {
    /// Who.
    pub from: Vec<GrantFrom>,
    /// To what.
    pub to: Vec<GrantTo>,
}

/// Who may refer.
#[derive(Debug, Clone, Deserialize)]
pub struct GrantFrom {
    /// Group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
}

/// What may be referred to.
#[derive(Debug, Clone, Deserialize)]
pub struct GrantTo {
    /// Group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name; any if absent.
    pub name: Option<String>,
}

/// A Namespace.
#[derive(Debug, Clone, Deserialize)]
pub struct Namespace {
    /// Name and labels.
    pub metadata: Metadata,
}

/// A Service.
#[derive(Debug, Clone, Deserialize)]
pub struct Service {
    /// Name and namespace.
    pub metadata: Metadata,
    /// Its ports.
    #[serde(default)]
    pub spec: ServiceSpec,
}

/// What a Service offers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ServiceSpec {
    /// Its ports.
    pub ports: Vec<ServicePort>,
}

/// A port of a Service.
#[derive(Debug, Clone, Deserialize)]
pub struct ServicePort {
    /// Its number.
    pub port: u16,
}
