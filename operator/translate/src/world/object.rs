//! What the world keeps of each object: the part that can matter.

use portico_crds::gateway::{
    Gateway, GatewayClass, GrpcRoute, HttpRoute, ListenerSet, ParentReference, ReferenceGrant, TcpRoute, TlsRoute, UdpRoute,
};
use portico_crds::normal::{GatewaySpec, Grant, ListenerSetSpec, Normal, NormalSpec, ParentRef, RouteSpec};
use portico_crds::v1alpha1::{LoadBalancerProfile, LoadBalancerProfileSpec};
use portico_crds::{Defect, Kind, NamespacedName, ObjectRef, decode, metadata};
use portico_providers::{AddressFamily, RouteKind};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// The metadata that can matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meta {
    pub key: NamespacedName,
    pub uid: String,
    /// `metadata.generation`; 0 in manifests that no API server has seen.
    pub generation: i64,
    /// `metadata.creationTimestamp` as written: RFC 3339 in UTC with seconds, so that the order of texts is that of time.
    pub created: Option<String>,
    pub deleting: bool,
    pub finalizers: BTreeSet<String>,
}

impl Meta {
    pub fn of(raw: &Value) -> Self {
        let text = |field| metadata(raw, field).and_then(Value::as_str);
        let finalizers = metadata(raw, "finalizers").and_then(Value::as_array);
        Self {
            key: NamespacedName::new(text("namespace").unwrap_or_default(), text("name").unwrap_or_default()),
            uid: text("uid").unwrap_or_default().to_owned(),
            generation: metadata(raw, "generation").and_then(Value::as_i64).unwrap_or_default(),
            created: text("creationTimestamp").map(str::to_owned),
            deleting: text("deletionTimestamp").is_some(),
            finalizers: finalizers.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
        }
    }
}

/// An object whose raw form is needed later, for its status.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored<S> {
    pub raw: Arc<Value>,
    pub meta: Meta,
    /// `None` where nothing of it can be read.
    pub spec: Option<S>,
    /// Everything that was cut out of the spec, with the author's indexes.
    pub defects: Vec<Defect>,
}

impl<S> Stored<S> {
    /// Whether a new raw form means the same: labels, annotations, managedFields, resourceVersion and status mean nothing.
    pub fn means_the_same(&self, raw: &Value) -> bool {
        self.raw.get("spec") == raw.get("spec") && self.meta == Meta::of(raw)
    }

    /// What keeps the object from being read at all, for its author.
    pub fn unreadable(&self) -> String {
        self.defects.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }
}

fn read<K>(raw: Arc<Value>) -> Stored<K::Spec>
where
    K: DeserializeOwned + Normal,
{
    let decoded = decode::<K>(&raw);
    let mut spec = decoded.normal();
    if let Some(spec) = &mut spec {
        spec.complete(&raw);
    }
    let mut defects = spec.as_ref().map_or_else(|| decoded.defects.clone(), |spec| spec.defects().to_vec());
    defects.retain(|defect| !defect.is_under("status"));
    Stored { meta: Meta::of(&raw), raw, spec, defects }
}

pub(crate) type StoredGateway = Stored<GatewaySpec>;

pub(crate) fn gateway(raw: Arc<Value>) -> StoredGateway {
    read::<Gateway>(raw)
}

impl StoredGateway {
    /// `spec.gatewayClassName`, also of a Gateway that cannot be read otherwise.
    pub fn class(&self) -> &str {
        self.raw.pointer("/spec/gatewayClassName").and_then(Value::as_str).unwrap_or_default()
    }
}

/// The IP addresses in a Gateway's status.
pub(crate) fn addresses(raw: &Value) -> BTreeSet<IpAddr> {
    let list = raw.pointer("/status/addresses").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|it| it.get("value")?.as_str()?.parse().ok()).collect()
}

pub(crate) fn listener_set(raw: Arc<Value>) -> Stored<ListenerSetSpec> {
    read::<ListenerSet>(raw)
}

/// The Gateway that a ListenerSet names, also one that cannot be read otherwise.
pub(crate) fn parent_of_set(set: &Stored<ListenerSetSpec>) -> Option<NamespacedName> {
    let readable = || readable_parent(set.raw.pointer("/spec/parentRef")?);
    let parent = set.spec.as_ref().map(|spec| spec.parent.clone()).or_else(readable)?;
    (parent.known_kind() == Some(Kind::Gateway)).then(|| parent.resolve(&set.meta.key.namespace))
}

/// A route of any kind, with its parents even where the rest of it cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredRoute {
    pub stored: Stored<RouteSpec>,
    pub parents: Vec<ParentRef>,
}

pub(crate) fn route(kind: RouteKind, raw: Arc<Value>) -> StoredRoute {
    let stored = match kind {
        RouteKind::Http => read::<HttpRoute>(raw),
        RouteKind::Grpc => read::<GrpcRoute>(raw),
        RouteKind::Tls => read::<TlsRoute>(raw),
        RouteKind::Tcp => read::<TcpRoute>(raw),
        RouteKind::Udp => read::<UdpRoute>(raw),
    };
    let parents = stored.spec.as_ref().map_or_else(|| readable_parents(&stored.raw), |spec| spec.parent_refs.clone());
    StoredRoute { stored, parents }
}

/// The parent references of a route that cannot be read as a whole, so that it can be reported to them.
fn readable_parents(raw: &Value) -> Vec<ParentRef> {
    let list = raw.pointer("/spec/parentRefs").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(readable_parent).collect()
}

fn readable_parent(raw: &Value) -> Option<ParentRef> {
    ParentRef::try_from(&serde_json::from_value::<ParentReference>(raw.clone()).ok()?).ok()
}

/// What a GatewayClass says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClassSpec {
    pub controller: String,
    pub parameters: Option<ObjectRef>,
}

pub(crate) fn class(raw: Arc<Value>) -> Stored<ClassSpec> {
    let decoded = decode::<GatewayClass>(&raw);
    let spec = decoded.object.map(|class| ClassSpec {
        controller: class.spec.controller_name,
        parameters: class.spec.parameters_ref.map(|it| ObjectRef {
            group: it.group,
            kind: it.kind,
            namespace: it.namespace,
            name: it.name,
        }),
    });
    Stored { meta: Meta::of(&raw), raw, spec, defects: decoded.defects }
}

impl Stored<ClassSpec> {
    /// `spec.controllerName`, also of a class that cannot be read otherwise.
    pub fn controller(&self) -> &str {
        self.raw.pointer("/spec/controllerName").and_then(Value::as_str).unwrap_or_default()
    }
}

pub(crate) fn profile(raw: Arc<Value>) -> Stored<LoadBalancerProfileSpec> {
    let mut decoded = decode::<LoadBalancerProfile>(&raw);
    decoded.defects.retain(|defect| !defect.is_under("status"));
    Stored { meta: Meta::of(&raw), raw, spec: decoded.object.map(|profile| profile.spec), defects: decoded.defects }
}

pub(crate) fn grant(raw: &Value) -> Option<Grant> {
    decode::<ReferenceGrant>(raw).object.as_ref().map(Grant::from)
}

/// What the world keeps of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub external_name: bool,
    pub families: Vec<AddressFamily>,
    pub ports: Vec<ServicePort>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServicePort {
    pub name: String,
    pub port: u16,
    pub protocol: String,
    pub app_protocol: Option<String>,
}

pub(crate) fn service(raw: &Value) -> Service {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let list = |pointer: &str| raw.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    let mut families: Vec<_> = list("/spec/ipFamilies")
        .filter_map(|family| match family.as_str() {
            Some("IPv4") => Some(AddressFamily::V4),
            Some("IPv6") => Some(AddressFamily::V6),
            _ => None,
        })
        .collect();
    if families.is_empty() {
        families.push(AddressFamily::V4);
    }
    Service {
        external_name: raw.pointer("/spec/type").and_then(Value::as_str) == Some("ExternalName"),
        families,
        ports: list("/spec/ports")
            .filter_map(|port| {
                Some(ServicePort {
                    name: text(port, "name").unwrap_or_default(),
                    port: port.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok())?,
                    protocol: text(port, "protocol").unwrap_or_else(|| "TCP".to_owned()),
                    app_protocol: text(port, "appProtocol").filter(|it| !it.is_empty()),
                })
            })
            .collect(),
    }
}

/// What the world keeps of an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slice {
    /// The Service, by the label `kubernetes.io/service-name`.
    pub service: NamespacedName,
    pub family: AddressFamily,
    /// Ports by name; those without a number are left out.
    pub ports: BTreeMap<String, u16>,
    pub endpoints: Vec<SliceEndpoint>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SliceEndpoint {
    pub address: IpAddr,
    pub ready: bool,
    pub serving: bool,
    pub terminating: bool,
    pub node: Option<String>,
    pub zone: Option<String>,
    pub target_ref: Option<String>,
}

/// `None` for slices of no Service, and for addresses that are names.
pub(crate) fn slice(raw: &Value) -> Option<Slice> {
    let text = |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let list = |key: &str| raw.get(key).and_then(Value::as_array).into_iter().flatten();
    let family = match raw.get("addressType").and_then(Value::as_str) {
        Some("IPv4") => AddressFamily::V4,
        Some("IPv6") => AddressFamily::V6,
        _ => return None,
    };
    let namespace = text(raw, "/metadata/namespace").unwrap_or_default();
    let service = text(raw, "/metadata/labels/kubernetes.io~1service-name")?;
    let endpoint = |it: &Value| {
        let condition = |name: &str| it.get("conditions").and_then(|all| all.get(name)).and_then(Value::as_bool);
        // Kubernetes: an unknown `ready` counts as true, an unknown `serving` is as `ready`, and of the addresses, which are alike, consumers may
        // use the first only.
        let ready = condition("ready").unwrap_or(true);
        Some(SliceEndpoint {
            address: text(it, "/addresses/0")?.parse().ok()?,
            ready,
            serving: condition("serving").unwrap_or(ready),
            terminating: condition("terminating").unwrap_or(false),
            node: text(it, "/nodeName"),
            zone: text(it, "/zone"),
            target_ref: it.get("targetRef").map(|target| {
                let part = |key: &str| target.get(key).and_then(Value::as_str).unwrap_or_default();
                format!("{}/{}/{}", part("kind"), part("namespace"), part("name"))
            }),
        })
    };
    Some(Slice {
        service: NamespacedName::new(namespace, service),
        family,
        ports: list("ports")
            .filter_map(|it| {
                let port = it.get("port").and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok())?;
                Some((text(it, "/name").unwrap_or_default(), port))
            })
            .collect(),
        endpoints: list("endpoints").filter_map(endpoint).collect(),
    })
}

pub(crate) fn labels(raw: &Value) -> BTreeMap<String, String> {
    let labels = metadata(raw, "labels").and_then(Value::as_object).into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
