//! The newest known form of objects that we write: what the world saw, or what our own last write returned, whichever is newer. So a write
//! need not wait until the watch has shown the one before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use portico_crds::{Kind, NamespacedName};
use serde_json::Value;

use crate::cluster::{Cluster, ClusterError, finalizers_of, resource_version};
use crate::keeper::SharedWorld;

/// Objects by kind and key.
pub struct Objects {
    world: SharedWorld,
    cluster: Arc<dyn Cluster>,
    written: Mutex<BTreeMap<(Kind, NamespacedName), Arc<Value>>>,
}

/// How often a write is tried again after someone else's.
const ATTEMPTS: usize = 5;

impl Objects {
    /// The objects of a world, which can be written through a cluster.
    pub fn new(world: SharedWorld, cluster: Arc<dyn Cluster>) -> Self {
        Self { world, cluster, written: Mutex::default() }
    }

    /// Where writes go.
    pub fn cluster(&self) -> &dyn Cluster {
        self.cluster.as_ref()
    }

    /// The world that shows what was seen.
    pub fn world(&self) -> &SharedWorld {
        &self.world
    }

    /// Whether what was seen last is what our own last write returned.
    pub fn is_our_write(&self, kind: Kind, key: &NamespacedName) -> bool {
        let seen = self.world.read().raw(kind, key).cloned();
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = written.get(&(kind, key.clone()));
        matches!((seen, ours), (Some(seen), Some(ours)) if resource_version(&seen) == resource_version(ours))
    }

    /// The newest known form.
    pub fn newest(&self, kind: Kind, key: &NamespacedName) -> Option<Arc<Value>> {
        let seen = self.world.read().raw(kind, key).cloned();
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (kind, key.clone());
        match (seen, written.get(&place)) {
            (Some(seen), Some(ours)) if is_newer(ours, &seen) => Some(ours.clone()),
            (seen, _) => {
                written.remove(&place);
                seen
            }
        }
    }

    fn note(&self, kind: Kind, key: &NamespacedName, object: Value) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert((kind, key.clone()), Arc::new(object));
    }

    /// Writes what `decide` makes of the newest form, and again of a fresh one if someone else wrote first. `Ok(false)` where there was nothing to
    /// write, or the object is gone.
    pub async fn write(
        &self,
        kind: Kind,
        key: &NamespacedName,
        decide: impl Fn(&Value) -> Option<Write> + Send + Sync,
    ) -> Result<bool, ClusterError> {
        let Some(mut object) = self.newest(kind, key) else { return Ok(false) };
        let uid = object.pointer("/metadata/uid").cloned();
        for _ in 0..ATTEMPTS {
            let written = match decide(&object) {
                None => return Ok(false),
                Some(Write::Status(status)) => self.cluster.write_status(kind, &object, status).await,
                Some(Write::Finalizers(finalizers)) => self.cluster.write_finalizers(kind, &object, finalizers).await,
            };
            match written {
                Ok(object) => {
                    self.note(kind, key, object);
                    return Ok(true);
                }
                Err(ClusterError::Gone) => return Ok(false),
                Err(ClusterError::Conflict) => match self.cluster.get(kind, key).await? {
                    // Another object of that name: what we have to say is not about it.
                    Some(fresh) if fresh.pointer("/metadata/uid").cloned() == uid => object = Arc::new(fresh),
                    _ => return Ok(false),
                },
                Err(error) => return Err(error),
            }
        }
        Err(ClusterError::Conflict)
    }

    /// Adds or takes away a finalizer. Everybody else's stay, in their order.
    pub async fn set_finalizer(&self, kind: Kind, key: &NamespacedName, finalizer: &str, wanted: bool) -> Result<bool, ClusterError> {
        self.write(kind, key, |object| {
            let mut finalizers = finalizers_of(object);
            if finalizers.iter().any(|it| it == finalizer) == wanted {
                return None;
            }
            if wanted {
                // An object that is being deleted takes no new finalizers.
                object.pointer("/metadata/deletionTimestamp").is_none().then(|| finalizers.push(finalizer.to_owned()))?;
            } else {
                finalizers.retain(|it| it != finalizer);
            }
            Some(Write::Finalizers(finalizers))
        })
        .await
    }

    /// Whether the newest form carries a finalizer.
    pub fn has_finalizer(&self, kind: Kind, key: &NamespacedName, finalizer: &str) -> bool {
        self.newest(kind, key).is_some_and(|object| finalizers_of(&object).iter().any(|it| it == finalizer))
    }
}

/// What to write of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Its whole status.
    Status(Value),
    /// All its finalizers.
    Finalizers(Vec<String>),
}

/// Whether one form is newer than another: resource versions are numbers that grow (Kubernetes: comparable within a kind since 1.35, and so
/// with every etcd before). Where they are none, what was seen counts.
fn is_newer(a: &Value, b: &Value) -> bool {
    let number = |object: &Value| resource_version(object).parse::<u128>();
    matches!((number(a), number(b)), (Ok(a), Ok(b)) if a > b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::MemoryCluster;
    use crate::keeper::Keeper;
    use serde_json::json;
    use std::collections::BTreeSet;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn writes_build_on_ones_own_and_give_way_to_others() {
        let (out, mut seen) = mpsc::unbounded_channel();
        let cluster = Arc::new(MemoryCluster::new(out));
        let world = SharedWorld::default();
        let mut keeper = Keeper::new(world.clone(), BTreeSet::new());
        let objects = Objects::new(world, cluster.clone());
        let key = NamespacedName::new("a", "g");
        cluster
            .apply(Kind::Gateway, json!({"metadata": {"name": "g", "namespace": "a"}, "spec": {"gatewayClassName": "c", "listeners": []}}));
        keeper.take(std::iter::from_fn(|| seen.try_recv().ok()));
        // Two writes without the watch in between: the second builds on the first.
        assert_eq!(objects.set_finalizer(Kind::Gateway, &key, "ours", true).await, Ok(true));
        assert_eq!(objects.set_finalizer(Kind::Gateway, &key, "ours", true).await, Ok(false));
        assert!(objects.has_finalizer(Kind::Gateway, &key, "ours"));
        // Someone else adds one behind our back: it stays.
        let theirs = cluster.read(Kind::Gateway, &key).unwrap();
        cluster.write_finalizers(Kind::Gateway, &theirs, vec!["theirs".into(), "ours".into()]).await.unwrap();
        assert_eq!(objects.set_finalizer(Kind::Gateway, &key, "ours", false).await, Ok(true));
        assert_eq!(finalizers_of(&cluster.read(Kind::Gateway, &key).unwrap()), ["theirs"]);
    }
}
