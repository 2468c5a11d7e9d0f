//! The unit of work: one load balancer.

use portico_crds::NamespacedName;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One load balancer: normally one Gateway with its ListenerSets, or several Gateways that share one.
///
/// Units run concurrently, one pass at a time each. The id is stable for the life of the load balancer and is part of every ownership mark.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum UnitId {
    /// A Gateway that has its load balancer to itself.
    Gateway(NamespacedName),
    /// Gateways of one class that share a load balancer under a group name.
    Sharing {
        /// Name of the GatewayClass that allows the sharing.
        class: String,
        /// Name of the sharing group.
        group: String,
    },
}

impl UnitId {
    /// The Gateway that this unit consists of, unless it is shared.
    pub fn gateway(&self) -> Option<&NamespacedName> {
        match self {
            Self::Gateway(key) => Some(key),
            Self::Sharing { .. } => None,
        }
    }
}

/// `gateway/NAMESPACE/NAME` or `sharing/CLASS/GROUP`: what ownership marks, logs and metrics show.
impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway(key) => write!(f, "gateway/{}/{}", key.namespace, key.name),
            Self::Sharing { class, group } => write!(f, "sharing/{class}/{group}"),
        }
    }
}
