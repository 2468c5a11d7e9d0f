//! The Kubernetes types that Portico uses, under short names.

pub use k8s_openapi::{
    ByteString,
    api::{
        authentication::v1::{TokenReview, TokenReviewSpec},
        certificates::v1beta1::ClusterTrustBundle,
        coordination::v1::{Lease, LeaseSpec},
        core::v1::{
            ConfigMap, Namespace, Node, NodeAddress, NodeSpec, NodeStatus, ObjectReference, Secret, Service, ServiceAccount, ServicePort,
            ServiceSpec, ServiceStatus,
        },
        discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
        events::v1::Event,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    apimachinery::pkg::{
        apis::meta::v1::{Condition, LabelSelector, LabelSelectorRequirement, MicroTime, ObjectMeta, OwnerReference, Time},
        util::intstr::IntOrString,
    },
    jiff,
};
pub use kube::{
    Resource, ResourceExt,
    core::{ApiResource, DynamicObject, GroupVersionKind, Object, TypeMeta},
};
