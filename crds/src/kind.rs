//! The kinds that Portico reads or writes.

use std::fmt;

use kube::core::{ApiResource, GroupVersionKind};

use crate::{GATEWAY_GROUP, PORTICO_GROUP};

/// A kind that Portico knows, with the version in which it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `GatewayClass`, cluster-scoped.
    GatewayClass,
    /// `Gateway`.
    Gateway,
    /// `ListenerSet`.
    ListenerSet,
    /// `HTTPRoute`.
    HttpRoute,
    /// `GRPCRoute`.
    GrpcRoute,
    /// `TLSRoute`.
    TlsRoute,
    /// `TCPRoute`.
    TcpRoute,
    /// `UDPRoute`.
    UdpRoute,
    /// `ReferenceGrant`.
    ReferenceGrant,
    /// `BackendTLSPolicy`.
    BackendTlsPolicy,
    /// `LoadBalancerProfile`, ours.
    LoadBalancerProfile,
    /// `Namespace`, cluster-scoped.
    Namespace,
    /// `Service`.
    Service,
    /// `EndpointSlice`.
    EndpointSlice,
    /// `Secret`.
    Secret,
    /// `ConfigMap`.
    ConfigMap,
    /// `ClusterTrustBundle`, cluster-scoped; in beta, which most clusters do not serve.
    ClusterTrustBundle,
    /// `ServiceAccount`.
    ServiceAccount,
    /// `Node`, cluster-scoped.
    Node,
    /// `Lease`.
    Lease,
    /// `CustomResourceDefinition`, cluster-scoped: read to learn which kinds and which bundle version are installed.
    CustomResourceDefinition,
}

impl Kind {
    /// Every kind, in the order of the enum.
    pub const ALL: [Self; 21] = [
        Self::GatewayClass,
        Self::Gateway,
        Self::ListenerSet,
        Self::HttpRoute,
        Self::GrpcRoute,
        Self::TlsRoute,
        Self::TcpRoute,
        Self::UdpRoute,
        Self::ReferenceGrant,
        Self::BackendTlsPolicy,
        Self::LoadBalancerProfile,
        Self::Namespace,
        Self::Service,
        Self::EndpointSlice,
        Self::Secret,
        Self::ConfigMap,
        Self::ClusterTrustBundle,
        Self::ServiceAccount,
        Self::Node,
        Self::Lease,
        Self::CustomResourceDefinition,
    ];

    /// The kinds of routes.
    pub const ROUTES: [Self; 5] = [Self::HttpRoute, Self::GrpcRoute, Self::TlsRoute, Self::TcpRoute, Self::UdpRoute];

    /// The kind of this group and kind name, if Portico knows it. The core group is empty.
    pub fn of(group: &str, name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.group() == group && kind.name() == name)
    }

    /// The kind of an object by its `apiVersion` (the version is not compared) and `kind`.
    pub fn of_api_version(api_version: &str, name: &str) -> Option<Self> {
        Self::of(api_version.split_once('/').map_or("", |(group, _)| group), name)
    }

    /// The API group; empty for the core group.
    pub const fn group(self) -> &'static str {
        match self {
            Self::GatewayClass
            | Self::Gateway
            | Self::ListenerSet
            | Self::HttpRoute
            | Self::GrpcRoute
            | Self::TlsRoute
            | Self::TcpRoute
            | Self::UdpRoute
            | Self::ReferenceGrant
            | Self::BackendTlsPolicy => GATEWAY_GROUP,
            Self::LoadBalancerProfile => PORTICO_GROUP,
            Self::Namespace | Self::Service | Self::Secret | Self::ConfigMap | Self::ServiceAccount | Self::Node => "",
            Self::EndpointSlice => "discovery.k8s.io",
            Self::ClusterTrustBundle => "certificates.k8s.io",
            Self::Lease => "coordination.k8s.io",
            Self::CustomResourceDefinition => "apiextensions.k8s.io",
        }
    }

    /// The version in which Portico reads the kind. Every one of Gateway API is served as `v1` by the standard channel since v1.6.
    pub const fn version(self) -> &'static str {
        match self {
            Self::LoadBalancerProfile => "v1alpha1",
            // Since Kubernetes v1.33; there is no v1 yet (v1.37).
            Self::ClusterTrustBundle => "v1beta1",
            _ => "v1",
        }
    }

    /// `group/version`, or the version alone in the core group: what stands in `apiVersion:`.
    pub fn api_version(self) -> String {
        if self.group().is_empty() { self.version().to_owned() } else { format!("{}/{}", self.group(), self.version()) }
    }

    /// The kind's name, as in `kind:`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::GatewayClass => "GatewayClass",
            Self::Gateway => "Gateway",
            Self::ListenerSet => "ListenerSet",
            Self::HttpRoute => "HTTPRoute",
            Self::GrpcRoute => "GRPCRoute",
            Self::TlsRoute => "TLSRoute",
            Self::TcpRoute => "TCPRoute",
            Self::UdpRoute => "UDPRoute",
            Self::ReferenceGrant => "ReferenceGrant",
            Self::BackendTlsPolicy => "BackendTLSPolicy",
            Self::LoadBalancerProfile => "LoadBalancerProfile",
            Self::Namespace => "Namespace",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
            Self::ClusterTrustBundle => "ClusterTrustBundle",
            Self::ServiceAccount => "ServiceAccount",
            Self::Node => "Node",
            Self::Lease => "Lease",
            Self::CustomResourceDefinition => "CustomResourceDefinition",
        }
    }

    /// The plural, as in URLs.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::GatewayClass => "gatewayclasses",
            Self::Gateway => "gateways",
            Self::ListenerSet => "listenersets",
            Self::HttpRoute => "httproutes",
            Self::GrpcRoute => "grpcroutes",
            Self::TlsRoute => "tlsroutes",
            Self::TcpRoute => "tcproutes",
            Self::UdpRoute => "udproutes",
            Self::ReferenceGrant => "referencegrants",
            Self::BackendTlsPolicy => "backendtlspolicies",
            Self::LoadBalancerProfile => "loadbalancerprofiles",
            Self::Namespace => "namespaces",
            Self::Service => "services",
            Self::EndpointSlice => "endpointslices",
            Self::Secret => "secrets",
            Self::ConfigMap => "configmaps",
            Self::ClusterTrustBundle => "clustertrustbundles",
            Self::ServiceAccount => "serviceaccounts",
            Self::Node => "nodes",
            Self::Lease => "leases",
            Self::CustomResourceDefinition => "customresourcedefinitions",
        }
    }

    /// Whether objects of the kind live in a namespace.
    pub const fn namespaced(self) -> bool {
        !matches!(self, Self::GatewayClass | Self::Namespace | Self::Node | Self::ClusterTrustBundle | Self::CustomResourceDefinition)
    }

    /// Whether the kind is one of [`Kind::ROUTES`].
    pub const fn is_route(self) -> bool {
        matches!(self, Self::HttpRoute | Self::GrpcRoute | Self::TlsRoute | Self::TcpRoute | Self::UdpRoute)
    }

    /// What a dynamic client needs to read and write the kind.
    pub fn api_resource(self) -> ApiResource {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(self.group(), self.version(), self.name()), self.plural())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use kube::Resource;

    use super::*;
    use crate::{gateway, kubernetes, v1alpha1};

    fn same<K: Resource<DynamicType = ()>>(kind: Kind) {
        assert_eq!(
            (kind.group(), kind.version(), kind.name(), kind.plural()),
            (&*K::group(&()), &*K::version(&()), &*K::kind(&()), &*K::plural(&()))
        );
    }

    #[test]
    fn the_table_agrees_with_the_types() {
        same::<gateway::GatewayClass>(Kind::GatewayClass);
        same::<gateway::Gateway>(Kind::Gateway);
        same::<gateway::ListenerSet>(Kind::ListenerSet);
        same::<gateway::HttpRoute>(Kind::HttpRoute);
        same::<gateway::GrpcRoute>(Kind::GrpcRoute);
        same::<gateway::TlsRoute>(Kind::TlsRoute);
        same::<gateway::TcpRoute>(Kind::TcpRoute);
        same::<gateway::UdpRoute>(Kind::UdpRoute);
        same::<gateway::ReferenceGrant>(Kind::ReferenceGrant);
        same::<gateway::BackendTlsPolicy>(Kind::BackendTlsPolicy);
        same::<v1alpha1::LoadBalancerProfile>(Kind::LoadBalancerProfile);
        same::<kubernetes::Namespace>(Kind::Namespace);
        same::<kubernetes::Service>(Kind::Service);
        same::<kubernetes::EndpointSlice>(Kind::EndpointSlice);
        same::<kubernetes::Secret>(Kind::Secret);
        same::<kubernetes::ConfigMap>(Kind::ConfigMap);
        same::<kubernetes::ClusterTrustBundle>(Kind::ClusterTrustBundle);
        same::<kubernetes::ServiceAccount>(Kind::ServiceAccount);
        same::<kubernetes::Node>(Kind::Node);
        same::<kubernetes::Lease>(Kind::Lease);
        same::<kubernetes::CustomResourceDefinition>(Kind::CustomResourceDefinition);
    }

    #[test]
    fn kinds_are_found_by_group_and_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of(kind.group(), kind.name()), Some(kind));
            assert_eq!(Kind::of_api_version(&kind.api_version(), kind.name()), Some(kind));
            assert_eq!(kind.is_route(), Kind::ROUTES.contains(&kind));
        }
        assert_eq!(Kind::of("", "Gateway"), None);
        assert_eq!(Kind::of("networking.istio.io", "Gateway"), None);
    }
}
