//! Resources as they go over the wire.

use portico_envoy::observed::{ResourceKey, Version};
use portico_providers::UnitId;
use prost::bytes::Bytes;
use std::fmt;

/// One resource in one version.
#[derive(Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its name and kind.
    pub key: ResourceKey,
    /// Hash of its content.
    pub version: Version,
    /// The unit that it serves.
    pub unit: UnitId,
    /// The encoded message. May hold a private key.
    pub body: Bytes,
    /// What a proxy must have besides before it can use this one: endpoints and secrets, of clusters.
    pub needs: Vec<ResourceKey>,
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource").field("key", &self.key).field("version", &self.version).finish_non_exhaustive()
    }
}
