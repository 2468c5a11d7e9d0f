//! Stack: the resources that serve one unit, in Envoy's words.

pub mod cluster;
pub mod core;
pub mod http;
pub mod listener;
pub mod matcher;
mod message;
pub mod route;
mod secret;
pub mod tls;
mod typed;

pub use cluster::Cluster;
pub use listener::Listener;
pub use route::{RouteConfiguration, VirtualHost};
pub use secret::{SecretMaterial, SecretSource};
pub use typed::TypedConfig;

use crate::observed::{ResourceKey, ResourceKind, Version};
use portico_crds::v1alpha1::envoy::Identification;
use portico_providers::{ClusterId, UnitId};
use prost::Message;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Everything that a fleet is told for one unit, but for endpoints (which follow the bindings) and the bytes of secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stack {
    /// The Kubernetes cluster.
    pub cluster: ClusterId,
    /// The unit.
    pub unit: UnitId,
    /// `node.cluster` of the proxies that serve it.
    pub fleet: String,
    /// How those proxies prove who they are.
    pub identification: Identification,
    /// The addresses of the Gateway; nothing is published without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpAddr>,
    /// What the proxies listen on, ordered by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<Listener>,
    /// The routes of HTTP listeners, ordered by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub route_configurations: Vec<RouteConfiguration>,
    /// Where requests go, ordered by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<Cluster>,
    /// The secrets that listeners and clusters name, ordered by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretSource>,
}

impl Stack {
    /// The stack of a unit that publishes nothing.
    pub fn empty(cluster: &ClusterId, unit: &UnitId, fleet: &str) -> Self {
        Self {
            cluster: cluster.clone(),
            unit: unit.clone(),
            fleet: fleet.to_owned(),
            identification: Identification::default(),
            addresses: Vec::new(),
            listeners: Vec::new(),
            route_configurations: Vec::new(),
            clusters: Vec::new(),
            secrets: Vec::new(),
        }
    }

    /// The version of each resource: a hash of its content.
    pub fn versions(&self) -> BTreeMap<ResourceKey, Version> {
        let key = |kind, name: &str| ResourceKey { kind, name: name.to_owned() };
        let listeners = self.listeners.iter().map(|it| (key(ResourceKind::Listener, &it.name), Version::of(&it.encode_to_vec())));
        let routes = self.route_configurations.iter().map(|it| (key(ResourceKind::RouteConfiguration, &it.name), it.version()));
        let hosts = self.route_configurations.iter().flat_map(|routes| &routes.virtual_hosts);
        let hosts = hosts.map(|it| (key(ResourceKind::VirtualHost, &it.name), Version::of(&it.encode_to_vec())));
        let clusters = self.clusters.iter().map(|it| (key(ResourceKind::Cluster, &it.name), Version::of(&it.encode_to_vec())));
        let secrets = self.secrets.iter().map(|it| (key(ResourceKind::Secret, &it.name), it.version()));
        listeners.chain(routes).chain(hosts).chain(clusters).chain(secrets).collect()
    }
}
