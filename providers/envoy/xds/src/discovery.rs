//! The messages of the aggregated discovery service, as far as Portico reads and writes them: `envoy.service.discovery.v3`.

use prost::bytes::Bytes;
use std::collections::BTreeMap;

/// `envoy.service.discovery.v3.DiscoveryRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DiscoveryRequest {
    /// What was accepted last.
    #[prost(string, tag = "1")]
    pub version_info: String,
    /// Who asks; in the first request of a stream.
    #[prost(message, optional, tag = "2")]
    pub node: Option<Node>,
    /// What is asked for.
    #[prost(string, repeated, tag = "3")]
    pub resource_names: Vec<String>,
    /// The kind.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// The response that this answers.
    #[prost(string, tag = "5")]
    pub response_nonce: String,
    /// Why the response was refused.
    #[prost(message, optional, tag = "6")]
    pub error_detail: Option<RpcStatus>,
}

/// `envoy.service.discovery.v3.DiscoveryResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DiscoveryResponse {
    /// Version of all resources together.
    #[prost(string, tag = "1")]
    pub version_info: String,
    /// The resources.
    #[prost(message, repeated, tag = "2")]
    pub resources: Vec<Any>,
    /// The kind.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// Names this response.
    #[prost(string, tag = "5")]
    pub nonce: String,
}

/// `envoy.service.discovery.v3.DeltaDiscoveryRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeltaDiscoveryRequest {
    /// Who asks; in the first request of a stream.
    #[prost(message, optional, tag = "1")]
    pub node: Option<Node>,
    /// The kind.
    #[prost(string, tag = "2")]
    pub type_url: String,
    /// What is asked for besides.
    #[prost(string, repeated, tag = "3")]
    pub resource_names_subscribe: Vec<String>,
    /// What is asked for no more.
    #[prost(string, repeated, tag = "4")]
    pub resource_names_unsubscribe: Vec<String>,
    /// What is there already; in the first request of a kind.
    #[prost(btree_map = "string, string", tag = "5")]
    pub initial_resource_versions: BTreeMap<String, String>,
    /// The response that this answers.
    #[prost(string, tag = "6")]
    pub response_nonce: String,
    /// Why the response was refused.
    #[prost(message, optional, tag = "7")]
    pub error_detail: Option<RpcStatus>,
}

/// `envoy.service.discovery.v3.DeltaDiscoveryResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeltaDiscoveryResponse {
    /// Not used by anybody.
    #[prost(string, tag = "1")]
    pub system_version_info: String,
    /// What is new or has changed.
    #[prost(message, repeated, tag = "2")]
    pub resources: Vec<DeltaResource>,
    /// The kind.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// What is gone.
    #[prost(string, repeated, tag = "6")]
    pub removed_resources: Vec<String>,
    /// Names this response.
    #[prost(string, tag = "5")]
    pub nonce: String,
}

/// `envoy.service.discovery.v3.Resource`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeltaResource {
    /// Its name.
    #[prost(string, tag = "3")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "1")]
    pub version: String,
    /// Its content.
    #[prost(message, optional, tag = "2")]
    pub resource: Option<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Any {
    /// The message's type.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// The message.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// `envoy.config.core.v3.Node`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Node {
    /// The proxy.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Its fleet.
    #[prost(string, tag = "2")]
    pub cluster: String,
    /// The program: `envoy`.
    #[prost(string, tag = "6")]
    pub user_agent_name: String,
    /// The program's version.
    #[prost(message, optional, tag = "8")]
    pub user_agent_build_version: Option<BuildVersion>,
}

/// `envoy.config.core.v3.BuildVersion`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct BuildVersion {
    /// In numbers.
    #[prost(message, optional, tag = "1")]
    pub version: Option<SemanticVersion>,
}

/// `envoy.type.v3.SemanticVersion`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SemanticVersion {
    /// 1 in 1.40.0.
    #[prost(uint32, tag = "1")]
    pub major_number: u32,
    /// 40 in 1.40.0.
    #[prost(uint32, tag = "2")]
    pub minor_number: u32,
    /// 0 in 1.40.0.
    #[prost(uint32, tag = "3")]
    pub patch: u32,
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RpcStatus {
    /// gRPC's code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// What is wrong.
    #[prost(string, tag = "2")]
    pub message: String,
}
