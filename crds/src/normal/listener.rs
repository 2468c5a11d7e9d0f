//! Listeners of Gateways and ListenerSets.

use std::collections::BTreeMap;

use gateway_api::{gateways as gw, listenersets as set};

use serde_json::Value;

use super::{Normal, NormalSpec, ParentRef, RouteFilter, SecretRef, Selector, filter::listener_filters, given, port};
use crate::{CutIndexes, CutScope, Defect, GATEWAY_GROUP, Kind, ObjectRef, gateway};

/// The spec of a Gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewaySpec {
    /// Name of the GatewayClass.
    pub class: String,
    /// Listeners in their author's order.
    pub listeners: Vec<Listener>,
    /// Which ListenerSets may attach; none by default.
    pub allowed_listeners: AllowedListeners,
    /// Addresses that the author asks for.
    pub addresses: Vec<GatewayAddress>,
    /// Labels for everything that is made for the Gateway.
    pub labels: BTreeMap<String, String>,
    /// Annotations for everything that is made for the Gateway.
    pub annotations: BTreeMap<String, String>,
    /// Settings of this Gateway, in its own namespace.
    pub parameters_ref: Option<ObjectRef>,
    /// Certificate that the load balancer shows to backends that ask for one.
    pub backend_client_certificate: Option<SecretRef>,
    /// How certificates of clients are checked on HTTPS listeners; absent asks for none.
    pub client_validation: Option<CertificateValidation>,
    /// The same by port, where it differs: `None` asks for no certificate on that port.
    pub client_validation_by_port: BTreeMap<u16, Option<CertificateValidation>>,
    /// Everything that was cut out, with the author's indexes.
    pub defects: Vec<Defect>,
}

impl GatewaySpec {
    /// How certificates of clients are checked on a port.
    pub fn client_validation_on(&self, port: u16) -> Option<&CertificateValidation> {
        self.client_validation_by_port.get(&port).unwrap_or(&self.client_validation).as_ref()
    }
}

/// The spec of a ListenerSet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSetSpec {
    /// The Gateway that the listeners are for.
    pub parent: ParentRef,
    /// Listeners in their author's order.
    pub listeners: Vec<Listener>,
    /// Everything that was cut out, with the author's indexes.
    pub defects: Vec<Defect>,
}

/// A listener of a Gateway or ListenerSet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The author's index in `spec.listeners`.
    pub index: usize,
    /// Name, unique within its object.
    pub name: String,
    /// Hostname; absent matches all.
    pub hostname: Option<String>,
    /// Port.
    pub port: u16,
    /// `HTTP`, `HTTPS`, `TLS`, `TCP`, `UDP`, or a protocol that Gateway API does not know.
    pub protocol: String,
    /// TLS settings.
    pub tls: Option<ListenerTls>,
    /// Which routes may attach.
    pub allowed_routes: AllowedRoutes,
    /// `filters.requests` (experimental), applied before a route is chosen: ExternalAuth and ExtensionRef. Where one of them cannot be read, what is wrong with it: a
    /// listener must not serve without it.
    pub filters: Result<Vec<RouteFilter>, Defect>,
}

/// TLS settings of a listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerTls {
    /// Where TLS ends.
    pub mode: TlsMode,
    /// Certificates for TLS that ends here.
    pub certificate_refs: Vec<SecretRef>,
    /// Implementation-specific options by domain-prefixed name.
    pub options: BTreeMap<String, String>,
}

/// Where TLS ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsMode {
    /// At the load balancer.
    #[default]
    Terminate,
    /// At the backend.
    Passthrough,
}

/// From which namespaces something may attach.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FromNamespaces {
    /// From all.
    All,
    /// From the listener's own.
    Same,
    /// From those whose labels the selector matches.
    Selector(Selector),
    /// From none.
    None,
}

impl FromNamespaces {
    /// Whether an object in `namespace`, which has these labels, may attach to one in `own`.
    pub fn allows(&self, own: &str, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::All => true,
            Self::Same => own == namespace,
            Self::Selector(selector) => selector.matches(labels),
            Self::None => false,
        }
    }
}

/// Which routes may attach to a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedRoutes {
    /// From which namespaces; from its own by default.
    pub from: FromNamespaces,
    /// Of which kinds; empty means those that the listener's protocol implies.
    pub kinds: Vec<RouteKind>,
}

impl Default for AllowedRoutes {
    fn default() -> Self {
        Self { from: FromNamespaces::Same, kinds: Vec::new() }
    }
}

/// Group and kind of a route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKind {
    /// Group; `gateway.networking.k8s.io` by default.
    pub group: String,
    /// Kind.
    pub kind: String,
}

impl RouteKind {
    /// The kind, if it is a route that Portico knows.
    pub fn known(&self) -> Option<Kind> {
        Kind::of(&self.group, &self.kind).filter(|kind| kind.is_route())
    }
}

/// Which ListenerSets may attach to a Gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedListeners {
    /// From which namespaces; from none by default.
    pub from: FromNamespaces,
}

impl Default for AllowedListeners {
    fn default() -> Self {
        Self { from: FromNamespaces::None }
    }
}

/// An address that a Gateway asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GatewayAddress {
    /// `IPAddress` (the default), `Hostname`, `NamedAddress` or a domain-prefixed type.
    pub r#type: String,
    /// The address; absent asks for any of the type.
    pub value: Option<String>,
}

/// How certificates of clients are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateValidation {
    /// Certificate authorities: ConfigMaps with the key `ca.crt`, or implementation-specific kinds.
    pub ca_certificates: Vec<ObjectRef>,
    /// Whether clients without a valid certificate pass (`AllowInsecureFallback`).
    pub insecure_fallback: bool,
}

macro_rules! allowed_routes {
    ($from:expr, $type:path) => {
        $from.as_ref().map_or_else(AllowedRoutes::default, |routes| {
            use $type as From;
            let selector = routes.namespaces.as_ref().and_then(|it| it.selector.as_ref()).map(Selector::from);
            AllowedRoutes {
                from: match routes.namespaces.as_ref().and_then(|it| it.from.as_ref()) {
                    Some(From::All) => FromNamespaces::All,
                    // Without a selector nothing is selected; an empty one would be everything.
                    Some(From::Selector) => selector.map_or(FromNamespaces::None, FromNamespaces::Selector),
                    None | Some(From::Same) => FromNamespaces::Same,
                },
                kinds: routes
                    .kinds
                    .iter()
                    .flatten()
                    .map(|it| RouteKind { group: it.group.clone().unwrap_or_else(|| GATEWAY_GROUP.to_owned()), kind: it.kind.clone() })
                    .collect(),
            }
        })
    };
}

macro_rules! listeners {
    ($listeners:expr, $defects:expr, $from:path, $mode:path) => {{
        let mut found = Vec::new();
        for (index, it) in $listeners.iter().enumerate() {
            use $mode as Mode;
            let Some(valid) = port(it.port) else {
                $defects.push(bad_port(format!("spec.listeners[{index}].port"), it.port));
                continue;
            };
            found.push(Listener {
                index,
                name: it.name.clone(),
                hostname: given(it.hostname.as_ref()),
                port: valid,
                protocol: it.protocol.clone(),
                tls: it.tls.as_ref().map(|tls| ListenerTls {
                    mode: match tls.mode {
                        None | Some(Mode::Terminate) => TlsMode::Terminate,
                        Some(Mode::Passthrough) => TlsMode::Passthrough,
                    },
                    certificate_refs: tls.certificate_refs.iter().flatten().map(SecretRef::from).collect(),
                    options: tls.options.clone().unwrap_or_default(),
                }),
                allowed_routes: allowed_routes!(it.allowed_routes, $from),
                filters: Ok(Vec::new()),
            });
        }
        found
    }};
}

fn bad_port(path: String, value: i32) -> Defect {
    let message = format!("{value} is not a port (1 to 65535)");
    Defect { path, value: value.to_string(), message, cut: CutScope::Listener, weight: None }
}

macro_rules! validation {
    ($from:expr, $mode:ident) => {
        $from.as_ref().map(|it| CertificateValidation {
            ca_certificates: it
                .ca_certificate_refs
                .iter()
                .map(|it| ObjectRef {
                    group: it.group.clone(),
                    kind: it.kind.clone(),
                    namespace: it.namespace.clone(),
                    name: it.name.clone(),
                })
                .collect(),
            insecure_fallback: matches!(it.mode, Some(gw::$mode::AllowInsecureFallback)),
        })
    };
}

impl Normal for gateway::Gateway {
    type Spec = GatewaySpec;

    fn normal(&self) -> GatewaySpec {
        use gw::GatewayAllowedListenersNamespacesFrom as From;
        let spec = &self.spec;
        let mut defects = Vec::new();
        let infrastructure = spec.infrastructure.as_ref();
        let namespaces = spec.allowed_listeners.as_ref().and_then(|it| it.namespaces.as_ref());
        let selector = namespaces.and_then(|it| it.selector.as_ref()).map(Selector::from);
        let frontend = spec.tls.as_ref().and_then(|tls| tls.frontend.as_ref());
        let mut by_port = BTreeMap::new();
        for (index, it) in frontend.and_then(|it| it.per_port.as_ref()).into_iter().flatten().enumerate() {
            match port(it.port) {
                Some(port) => drop(by_port.insert(port, validation!(it.tls.validation, GatewayTlsFrontendPerPortTlsValidationMode))),
                None => {
                    defects.push(Defect { cut: CutScope::Field, ..bad_port(format!("spec.tls.frontend.perPort[{index}].port"), it.port) })
                }
            }
        }
        GatewaySpec {
            class: spec.gateway_class_name.clone(),
            listeners: listeners!(spec.listeners, defects, gw::GatewayListenersAllowedRoutesNamespacesFrom, gw::GatewayListenersTlsMode),
            allowed_listeners: AllowedListeners {
                from: match namespaces.and_then(|it| it.from.as_ref()) {
                    Some(From::All) => FromNamespaces::All,
                    Some(From::Same) => FromNamespaces::Same,
                    Some(From::Selector) => selector.map_or(FromNamespaces::None, FromNamespaces::Selector),
                    None | Some(From::None) => FromNamespaces::None,
                },
            },
            addresses: spec
                .addresses
                .iter()
                .flatten()
                .map(|it| GatewayAddress {
                    r#type: it.r#type.clone().unwrap_or_else(|| "IPAddress".to_owned()),
                    value: given(it.value.as_ref()),
                })
                .collect(),
            labels: infrastructure.and_then(|it| it.labels.clone()).unwrap_or_default(),
            annotations: infrastructure.and_then(|it| it.annotations.clone()).unwrap_or_default(),
            parameters_ref: infrastructure.and_then(|it| it.parameters_ref.as_ref()).map(|it| ObjectRef {
                group: it.group.clone(),
                kind: it.kind.clone(),
                namespace: self.metadata.namespace.clone(),
                name: it.name.clone(),
            }),
            backend_client_certificate: spec
                .tls
                .as_ref()
                .and_then(|tls| tls.backend.as_ref())
                .and_then(|it| it.client_certificate_ref.as_ref())
                .map(SecretRef::from),
            client_validation: frontend.and_then(|it| validation!(it.default.validation, GatewayTlsFrontendDefaultValidationMode)),
            client_validation_by_port: by_port,
            defects,
        }
    }
}

impl Normal for gateway::ListenerSet {
    type Spec = ListenerSetSpec;

    fn normal(&self) -> ListenerSetSpec {
        let mut defects = Vec::new();
        let listeners = listeners!(
            self.spec.listeners,
            defects,
            set::ListenerSetListenersAllowedRoutesNamespacesFrom,
            set::ListenerSetListenersTlsMode
        );
        ListenerSetSpec { parent: ParentRef::from(&self.spec.parent_ref), listeners, defects }
    }
}

macro_rules! adopt {
    ($($from:ty),+) => {$(
        impl NormalSpec for $from {
            fn defects(&self) -> &[Defect] {
                &self.defects
            }

            fn adopt(&mut self, defects: &[Defect], indexes: &CutIndexes) {
                for defect in &mut self.defects {
                    defect.path = indexes.author_path(&defect.path);
                }
                self.defects.extend_from_slice(defects);
                for listener in &mut self.listeners {
                    listener.index = indexes.author_index("spec.listeners", listener.index);
                }
            }

            fn complete(&mut self, raw: &Value) {
                for listener in &mut self.listeners {
                    let filters = raw.pointer(&format!("/spec/listeners/{}/filters", listener.index));
                    listener.filters = listener_filters(filters, &format!("spec.listeners[{}].filters", listener.index));
                }
            }
        }
    )+};
}

adopt!(GatewaySpec, ListenerSetSpec);
