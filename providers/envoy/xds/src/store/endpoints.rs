//! The endpoints of clusters, as they come from the target loop.

use crate::resource::Resource;
use portico_envoy::observed::{ResourceKey, ResourceKind, Version};
use portico_envoy::stack::cluster::{ClusterLoadAssignment, LbEndpoint, LocalityLbEndpoints, UpstreamEndpoint};
use portico_envoy::stack::core::{Address, SocketAddress};
use portico_providers::UnitId;
use prost::Message;
use prost::bytes::Bytes;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

/// What a change of endpoints did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointChange {
    /// Addresses that came.
    pub added: usize,
    /// Addresses that went.
    pub removed: usize,
    /// Addresses that there are now.
    pub held: usize,
}

/// The endpoints of one cluster.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    /// Whether some fleet has had the cluster.
    pub used: bool,
    addresses: Option<BTreeSet<(IpAddr, u16)>>,
    key: Option<ResourceKey>,
    body: Bytes,
}

impl Endpoints {
    /// Sets them; nothing if they are the same.
    pub fn set(&mut self, cluster: &str, addresses: BTreeSet<(IpAddr, u16)>) -> Option<EndpointChange> {
        let before = self.addresses.as_ref();
        if before == Some(&addresses) {
            return None;
        }
        let none = BTreeSet::new();
        let before = before.unwrap_or(&none);
        let change = EndpointChange {
            added: addresses.difference(before).count(),
            removed: before.difference(&addresses).count(),
            held: addresses.len(),
        };
        self.body = assignment(cluster, &addresses).encode_to_vec().into();
        self.key = Some(ResourceKey { kind: ResourceKind::ClusterLoadAssignment, name: cluster.to_owned() });
        self.addresses = Some(addresses);
        Some(change)
    }

    pub fn addresses(&self) -> BTreeSet<(IpAddr, u16)> {
        self.addresses.clone().unwrap_or_default()
    }

    pub fn len(&self) -> usize {
        self.addresses.as_ref().map(BTreeSet::len).unwrap_or_default()
    }

    /// As a resource of a unit.
    pub fn resource(&self, unit: &UnitId) -> Arc<Resource> {
        let key = self.key.clone().unwrap_or(ResourceKey { kind: ResourceKind::ClusterLoadAssignment, name: String::new() });
        Arc::new(Resource { key, version: Version::of(&self.body), unit: unit.clone(), body: self.body.clone(), needs: Vec::new() })
    }
}

fn assignment(cluster: &str, addresses: &BTreeSet<(IpAddr, u16)>) -> ClusterLoadAssignment {
    let endpoint = |(address, port): &(IpAddr, u16)| {
        let socket_address = SocketAddress { address: address.to_string(), port_value: Some(u32::from(*port)), ..SocketAddress::default() };
        LbEndpoint { endpoint: Some(UpstreamEndpoint { address: Some(Address { socket_address: Some(socket_address) }) }) }
    };
    let locality = LocalityLbEndpoints { lb_endpoints: addresses.iter().map(endpoint).collect() };
    ClusterLoadAssignment { cluster_name: cluster.to_owned(), endpoints: if addresses.is_empty() { Vec::new() } else { vec![locality] } }
}
