//! Secrets and ConfigMaps that pods refer to: held by one watch each, with a signal at every change.
//!
//! The lab's kubelet sees all of them, as the administrator of a small cluster; a real one may only see those of its pods.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube_client::{Api, Client, Resource};
use kube_runtime::reflector::{ObjectRef, Store, store};
use kube_runtime::{WatchStreamExt, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The entries of a Secret or ConfigMap.
pub type Data = BTreeMap<String, Vec<u8>>;

/// Finds Secrets and ConfigMaps.
pub trait Lookup {
    /// A Secret's entries, if it exists.
    fn secret(&self, namespace: &str, name: &str) -> Option<Data>;
    /// A ConfigMap's entries, if it exists.
    fn config_map(&self, namespace: &str, name: &str) -> Option<Data>;
}

/// All Secrets and ConfigMaps of the cluster.
#[derive(Clone)]
pub struct References {
    secrets: Store<Secret>,
    config_maps: Store<ConfigMap>,
    changes: watch::Receiver<u64>,
}

impl References {
    /// Starts the two watches; they end with the token.
    pub fn start(client: &Client, shutdown: &CancellationToken) -> Self {
        let (changed, changes) = watch::channel(0);
        let secrets = follow(Api::all(client.clone()), changed.clone(), shutdown.clone());
        let config_maps = follow(Api::all(client.clone()), changed, shutdown.clone());
        Self { secrets, config_maps, changes }
    }

    /// A receiver that is woken by every change of a Secret or a ConfigMap.
    pub fn changes(&self) -> watch::Receiver<u64> {
        let mut changes = self.changes.clone();
        changes.mark_unchanged();
        changes
    }
}

fn follow<K>(api: Api<K>, changed: watch::Sender<u64>, shutdown: CancellationToken) -> Store<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Default + Eq + Hash + Clone,
{
    let (store, writer) = store();
    tokio::spawn(async move {
        let stream = watcher(api, watcher::Config::default())
            .default_backoff()
            .modify(|object| object.meta_mut().managed_fields = None)
            .reflect(writer);
        let mut stream = std::pin::pin!(stream.take_until(shutdown.cancelled_owned()));
        while let Some(event) = stream.next().await {
            match event {
                Ok(_) => changed.send_modify(|version| *version += 1),
                Err(error) => tracing::debug!(%error, "watching what pods refer to"),
            }
        }
    });
    store
}

impl Lookup for References {
    fn secret(&self, namespace: &str, name: &str) -> Option<Data> {
        let secret = self.secrets.get(&ObjectRef::new(name).within(namespace))?;
        let entries = secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
        Some(entries.collect())
    }

    fn config_map(&self, namespace: &str, name: &str) -> Option<Data> {
        let map = self.config_maps.get(&ObjectRef::new(name).within(namespace))?;
        let text = map.data.iter().flatten().map(|(key, value)| (key.clone(), value.clone().into_bytes()));
        let binary = map.binary_data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone()));
        Some(text.chain(binary).collect())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A lookup that knows what it is told.
    #[derive(Default)]
    pub struct Fixed {
        secrets: BTreeMap<(String, String), Data>,
        config_maps: BTreeMap<(String, String), Data>,
    }

    fn data(entries: &[(&str, &str)]) -> Data {
        entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    }

    impl Fixed {
        pub fn secret(mut self, namespace: &str, name: &str, entries: &[(&str, &str)]) -> Self {
            self.secrets.insert((namespace.to_owned(), name.to_owned()), data(entries));
            self
        }

        pub fn config_map(mut self, namespace: &str, name: &str, entries: &[(&str, &str)]) -> Self {
            self.config_maps.insert((namespace.to_owned(), name.to_owned()), data(entries));
            self
        }
    }

    impl Lookup for Fixed {
        fn secret(&self, namespace: &str, name: &str) -> Option<Data> {
            self.secrets.get(&(namespace.to_owned(), name.to_owned())).cloned()
        }

        fn config_map(&self, namespace: &str, name: &str) -> Option<Data> {
            self.config_maps.get(&(namespace.to_owned(), name.to_owned())).cloned()
        }
    }
}
