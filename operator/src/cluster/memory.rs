//! A cluster in memory: the objects of a folder, or of a test.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use portico_crds::{Kind, NamespacedName};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Cluster, ClusterError, key_of, resource_version};
use crate::watch::{Seen, Sighting, WATCHED};

/// A cluster in memory. Every write is told like a watch event, as an API server does.
pub struct MemoryCluster {
    state: Mutex<State>,
}

/// A deletion that is under way.
#[derive(Debug)]
pub struct Deletion {
    place: (Kind, NamespacedName),
    held: bool,
}

struct State {
    objects: BTreeMap<(Kind, NamespacedName), Value>,
    version: u64,
    status_writes: u64,
    out: mpsc::UnboundedSender<Sighting>,
    told: u64,
}

impl State {
    fn tell(&mut self, kind: Kind, seen: Seen) {
        self.told += 1;
        // Nobody need listen.
        let _ = self.out.send(Sighting { kind, seen });
    }
}

impl MemoryCluster {
    /// An empty cluster; `out` hears of every change.
    pub fn new(out: mpsc::UnboundedSender<Sighting>) -> Self {
        Self { state: Mutex::new(State { objects: BTreeMap::new(), version: 0, status_writes: 0, out, told: 0 }) }
    }

    /// From now on `out` hears of every change, after a list of every kind as it is now; whoever heard before does not any more.
    pub fn watch(&self, out: mpsc::UnboundedSender<Sighting>) {
        let mut state = self.state();
        (state.out, state.told) = (out, 0);
        let objects: Vec<_> = state.objects.iter().map(|((kind, _), object)| (*kind, object.clone())).collect();
        for kind in WATCHED {
            state.tell(kind, Seen::ListBegins);
            for (_, object) in objects.iter().filter(|(of, _)| *of == kind) {
                state.tell(kind, Seen::Listed(object.clone()));
            }
            state.tell(kind, Seen::ListEnds);
        }
    }

    /// How many sightings were told to the one who hears now.
    pub fn told(&self) -> u64 {
        self.state().told
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes or replaces an object as `kubectl apply` would: its generation grows if its `spec` differs, its status stays.
    pub fn apply(&self, kind: Kind, mut object: Value) {
        let mut state = self.state();
        let place = (kind, key_of(&object));
        let old = state.objects.get(&place);
        let generation = old.and_then(|o| o.pointer("/metadata/generation")).and_then(Value::as_i64).unwrap_or(0);
        let same_spec = old.is_some_and(|old| old.get("spec") == object.get("spec"));
        let generation = if same_spec { generation } else { generation + 1 };
        let kept = old
            .map(|old| (old.get("status").cloned(), old.pointer("/metadata/finalizers").cloned(), old.pointer("/metadata/uid").cloned()));
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("generation".into(), json!(generation));
            let uid = || json!(uuid::Uuid::new_v4().to_string());
            match &kept {
                Some((_, finalizers, old_uid)) => {
                    if let Some(finalizers) = finalizers {
                        metadata.insert("finalizers".into(), finalizers.clone());
                    }
                    metadata.insert("uid".into(), old_uid.clone().unwrap_or_else(uid));
                }
                None => {
                    metadata.entry("uid").or_insert_with(uid);
                }
            }
        }
        if let (Some(map), Some((Some(status), ..))) = (object.as_object_mut(), kept) {
            map.insert("status".into(), status);
        }
        self.store(&mut state, place, object);
    }

    /// Deletes an object as `kubectl delete` would: at once, or by setting deletionTimestamp where finalizers hold it.
    pub fn delete(&self, kind: Kind, key: &NamespacedName) {
        let deletion = self.begin_delete(kind, key);
        self.end_delete(deletion);
    }

    /// The first half of a deletion, which looks for finalizers. As in kube-apiserver, those that come between the two halves hold nothing up
    /// (kubernetes/kubernetes#77988).
    pub fn begin_delete(&self, kind: Kind, key: &NamespacedName) -> Deletion {
        let place = (kind, key.clone());
        let held = self.state().objects.get(&place).is_some_and(|object| !super::finalizers_of(object).is_empty());
        Deletion { place, held }
    }

    /// The second half of a deletion.
    pub fn end_delete(&self, deletion: Deletion) {
        let Deletion { place, held } = deletion;
        let mut state = self.state();
        let Some(mut object) = state.objects.get(&place).cloned() else { return };
        if !held || super::finalizers_of(&object).is_empty() {
            state.objects.remove(&place);
            state.tell(place.0, Seen::Deleted(object));
        } else if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("deletionTimestamp".into(), json!("2026-01-01T00:00:00Z"));
            self.store(&mut state, place, object);
        }
    }

    /// How many statuses were written.
    pub fn status_writes(&self) -> u64 {
        self.state().status_writes
    }

    /// Keys of all objects of a kind.
    pub fn keys(&self, kind: Kind) -> Vec<NamespacedName> {
        self.state().objects.keys().filter(|(k, _)| *k == kind).map(|(_, key)| key.clone()).collect()
    }

    /// The object as it is now.
    pub fn read(&self, kind: Kind, key: &NamespacedName) -> Option<Value> {
        self.state().objects.get(&(kind, key.clone())).cloned()
    }

    fn store(&self, state: &mut State, place: (Kind, NamespacedName), mut object: Value) -> Value {
        state.version += 1;
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".into(), json!(state.version.to_string()));
        }
        let kind = place.0;
        state.objects.insert(place, object.clone());
        state.tell(kind, Seen::Applied(object.clone()));
        object
    }

    fn current(state: &State, kind: Kind, object: &Value) -> Result<((Kind, NamespacedName), Value), ClusterError> {
        let place = (kind, key_of(object));
        let current = state.objects.get(&place).ok_or(ClusterError::Gone)?;
        if resource_version(current) == resource_version(object) { Ok((place, current.clone())) } else { Err(ClusterError::Conflict) }
    }
}

#[async_trait]
impl Cluster for MemoryCluster {
    async fn get(&self, kind: Kind, key: &NamespacedName) -> Result<Option<Value>, ClusterError> {
        Ok(self.read(kind, key))
    }

    async fn write_status(&self, kind: Kind, object: &Value, status: Value) -> Result<Value, ClusterError> {
        let mut state = self.state();
        let (place, mut current) = Self::current(&state, kind, object)?;
        if let Some(map) = current.as_object_mut() {
            map.insert("status".into(), status);
        }
        state.status_writes += 1;
        Ok(self.store(&mut state, place, current))
    }

    async fn apply(&self, kind: Kind, object: Value) -> Result<(), ClusterError> {
        Self::apply(self, kind, object);
        Ok(())
    }

    async fn write_finalizers(&self, kind: Kind, object: &Value, finalizers: Vec<String>) -> Result<Value, ClusterError> {
        let mut state = self.state();
        let (place, mut current) = Self::current(&state, kind, object)?;
        let dying = current.pointer("/metadata/deletionTimestamp").is_some();
        if let Some(metadata) = current.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("finalizers".into(), json!(finalizers));
        }
        if dying && finalizers.is_empty() {
            state.objects.remove(&place);
            state.tell(kind, Seen::Deleted(current.clone()));
            return Ok(current);
        }
        Ok(self.store(&mut state, place, current))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn writes_are_checked_and_told_like_an_api_servers() {
        let (out, mut seen) = mpsc::unbounded_channel();
        let cluster = MemoryCluster::new(out);
        let gateway = json!({"metadata": {"name": "g", "namespace": "a"}, "spec": {"x": 1}});
        cluster.apply(Kind::Gateway, gateway.clone());
        let key = NamespacedName::new("a", "g");
        let first = cluster.read(Kind::Gateway, &key).unwrap();
        let held = cluster.write_finalizers(Kind::Gateway, &first, vec!["f".into()]).await.unwrap();
        assert_eq!(cluster.write_status(Kind::Gateway, &first, json!({})).await, Err(ClusterError::Conflict));
        cluster.write_status(Kind::Gateway, &held, json!({"ok": true})).await.unwrap();
        cluster.apply(Kind::Gateway, gateway);
        let again = cluster.read(Kind::Gateway, &key).unwrap();
        assert_eq!((again.pointer("/metadata/generation"), again.pointer("/status/ok")), (Some(&json!(1)), Some(&json!(true))));
        cluster.delete(Kind::Gateway, &key);
        let dying = cluster.read(Kind::Gateway, &key).unwrap();
        assert!(dying.pointer("/metadata/deletionTimestamp").is_some());
        cluster.write_finalizers(Kind::Gateway, &dying, Vec::new()).await.unwrap();
        assert_eq!(cluster.read(Kind::Gateway, &key), None);
        let mut told = 0;
        while seen.try_recv().is_ok() {
            told += 1;
        }
        assert_eq!(told, 6);
    }
}
