//! The objects of the Gateway API that decide how a request is answered, as the API server returns them.
//!
//! Written from the types' own comments (Gateway API v1.7.0, `apis/v1`), with nothing in common with the operator's types.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Group of the Gateway API.
pub const GROUP: &str = "gateway.networking.k8s.io";

/// Everything that the answer to a request depends on.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// The Gateways.
    pub gateways: Vec<Gateway>,
    /// The HTTPRoutes.
    pub routes: Vec<HttpRoute>,
    /// The ReferenceGrants.
    pub grants: Vec<ReferenceGrant>,
    /// The Namespaces.
    pub namespaces: Vec<Namespace>,
    /// The Services.
    pub services: Vec<Service>,
    /// Whether proxies serve the Gateways. They can do what is not seen in answers to the judge's requests (mirrors, cross-origin rules, time limits that are
    /// never reached), which must be refused otherwise; and they may pass on the path in which what needs no encoding is decoded.
    pub by_proxies: bool,
}

impl Cluster {
    /// Sorts objects by their kind; other kinds decide nothing.
    pub fn from_objects(objects: &[Value]) -> Result<Self> {
        let mut cluster = Self::default();
        for object in objects {
            match object.get("kind").and_then(Value::as_str).unwrap_or_default() {
                "Gateway" => cluster.gateways.push(read(object)?),
                "HTTPRoute" => cluster.routes.push(read(object)?),
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
pub struct GatewaySpec {
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

/// From which namespaces routes may attach.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RouteNamespaces {
    /// `All`, `Same` (the default), `Selector` or `None`.
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

/// An HTTPRoute.
#[derive(Debug, Clone, Deserialize)]
pub struct HttpRoute {
    /// Name, namespace and age.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: RouteSpec,
}

/// What a route wants.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteSpec {
    /// What it attaches to.
    #[serde(default)]
    pub parent_refs: Vec<ParentRef>,
    /// Its hostnames.
    #[serde(default)]
    pub hostnames: Vec<String>,
    /// Its rules.
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// A reference to a Gateway, or to one of its listeners.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Group; the Gateway API's if absent.
    pub group: Option<String>,
    /// Kind; `Gateway` if absent.
    pub kind: Option<String>,
    /// Namespace; the route's if absent.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Name of the listener.
    pub section_name: Option<String>,
    /// Port of the listener.
    pub port: Option<u16>,
}

/// A rule of a route.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// Any of them.
    pub matches: Vec<Match>,
    /// What is done with the request.
    pub filters: Vec<Filter>,
    /// Who gets it.
    pub backend_refs: Vec<BackendRef>,
    /// How long it may take.
    pub timeouts: Option<Value>,
    /// When it is tried again.
    pub retry: Option<Value>,
    /// Whether sessions stay with one backend.
    pub session_persistence: Option<Value>,
}

/// Conditions on a request, all of which must hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Match {
    /// On its path; the prefix `/` if absent.
    pub path: Option<PathMatch>,
    /// On its headers.
    pub headers: Vec<ValueMatch>,
    /// On its query parameters.
    pub query_params: Vec<ValueMatch>,
    /// On its method.
    pub method: Option<String>,
}

/// A condition on the path.
#[derive(Debug, Clone, Deserialize)]
pub struct PathMatch {
    /// `Exact`, `PathPrefix` (the default) or `RegularExpression`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// What to compare with.
    pub value: Option<String>,
}

/// A condition on a header or a query parameter.
#[derive(Debug, Clone, Deserialize)]
pub struct ValueMatch {
    /// `Exact` (the default) or `RegularExpression`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The header or parameter.
    pub name: String,
    /// What to compare with.
    pub value: String,
}

/// A filter. Of mirrors and cross-origin rules nothing is seen in the answers to the judge's requests.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// Which one it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// Settings of `RequestRedirect`.
    pub request_redirect: Option<Redirect>,
    /// Settings of `URLRewrite`.
    pub url_rewrite: Option<Rewrite>,
    /// Settings of `RequestHeaderModifier`.
    pub request_header_modifier: Option<HeaderModifier>,
    /// Settings of `ResponseHeaderModifier`.
    pub response_header_modifier: Option<HeaderModifier>,
}

/// How headers are changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HeaderModifier {
    /// Headers that get this value, and no other.
    pub set: Vec<Header>,
    /// Headers that get this value besides those that they have.
    pub add: Vec<Header>,
    /// Headers that go.
    pub remove: Vec<String>,
}

/// A header.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A redirect.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Redirect {
    /// The scheme; the request's if absent.
    pub scheme: Option<String>,
    /// The hostname; the request's if absent.
    pub hostname: Option<String>,
    /// The path; the request's if absent.
    pub path: Option<PathModifier>,
    /// The port.
    pub port: Option<u16>,
    /// The status code; 302 if absent.
    pub status_code: Option<u16>,
}

/// A rewrite.
#[derive(Debug, Clone, Deserialize)]
pub struct Rewrite {
    /// The hostname that the backend sees.
    pub hostname: Option<String>,
    /// The path that the backend sees.
    pub path: Option<PathModifier>,
}

/// How a path is changed; exactly one of them is there.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathModifier {
    /// What replaces the whole path.
    pub replace_full_path: Option<String>,
    /// What replaces the prefix that matched.
    pub replace_prefix_match: Option<String>,
}

/// A backend of a rule.
#[derive(Debug, Clone, Deserialize)]
pub struct BackendRef {
    /// Group; the core group if absent.
    pub group: Option<String>,
    /// Kind; `Service` if absent.
    pub kind: Option<String>,
    /// Namespace; the route's if absent.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
    /// Port.
    pub port: Option<u16>,
    /// Its share; 1 if absent.
    pub weight: Option<u64>,
    /// What is done with the requests that it gets.
    #[serde(default)]
    pub filters: Vec<Filter>,
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
