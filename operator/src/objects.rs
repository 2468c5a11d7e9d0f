//! The newest known form of objects that we write: what the world saw, or what our own last write returned, whichever is newer. So a write
//! need not wait until the watch has shown the one before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use portico_crds::condition::GatewayCondition;
use portico_crds::{Kind, NamespacedName, metadata};
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

    /// Whether what was seen last is what our own last write returned, which then need not be kept any longer: of thousands of objects each would be there twice.
    pub fn is_our_write(&self, kind: Kind, key: &NamespacedName) -> bool {
        let Some(seen) = self.world.read().raw(kind, key).cloned() else { return false };
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (kind, key.clone());
        let is_ours = written.get(&place).is_some_and(|ours| resource_version(&seen) == resource_version(ours));
        if is_ours {
            written.remove(&place);
        }
        is_ours
    }

    /// The newest known form.
    pub fn newest(&self, kind: Kind, key: &NamespacedName) -> Option<Arc<Value>> {
        let seen = self.world.read().raw(kind, key).cloned();
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.is_empty() {
            return seen;
        }
        let place = (kind, key.clone());
        match (seen, written.get(&place)) {
            (Some(seen), Some(ours)) if is_newer(ours, &seen) => Some(ours.clone()),
            (seen, _) => {
                written.remove(&place);
                seen
            }
        }
    }

    /// Keeps what a write returned, unless the watch or the answer to a later write was here first.
    fn note(&self, kind: Kind, key: &NamespacedName, object: &Arc<Value>) {
        if self.world.read().raw(kind, key).is_some_and(|seen| !is_newer(object, seen)) {
            return;
        }
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (kind, key.clone());
        if written.get(&place).is_none_or(|before| !is_newer(before, object)) {
            written.insert(place, object.clone());
        }
    }

    /// Writes what `decide` makes of the newest form, and again of a fresh one if someone else wrote first. `Ok(false)` where there was nothing to
    /// write, or the object is gone.
    pub async fn write(
        &self,
        kind: Kind,
        key: &NamespacedName,
        decide: impl Fn(&Value) -> Option<Write> + Send + Sync,
    ) -> Result<bool, ClusterError> {
        Ok(self.bring(kind, key, decide).await?.is_some_and(|brought| brought.written))
    }

    /// The same; returns the object as it was shown last, nothing if it is gone.
    pub(crate) async fn bring(
        &self,
        kind: Kind,
        key: &NamespacedName,
        decide: impl Fn(&Value) -> Option<Write> + Send + Sync,
    ) -> Result<Option<Brought>, ClusterError> {
        let Some(mut object) = self.newest(kind, key) else { return Ok(None) };
        let uid = uid(&object).cloned();
        for _ in 0..ATTEMPTS {
            let answer = match decide(&object) {
                None => return Ok(Some(Brought { object, written: false })),
                Some(Write::Status(status)) => self.cluster.write_status(kind, &object, status).await,
                Some(Write::Finalizers(finalizers)) => self.cluster.write_finalizers(kind, &object, finalizers).await,
            };
            match answer {
                Ok(object) => {
                    let object = Arc::new(object);
                    self.note(kind, key, &object);
                    return Ok(Some(Brought { object, written: true }));
                }
                Err(ClusterError::Gone) => {
                    // What our earlier writes returned is no longer so.
                    self.written.lock().unwrap_or_else(PoisonError::into_inner).remove(&(kind, key.clone()));
                    return Ok(None);
                }
                Err(ClusterError::Conflict) => match self.cluster.get(kind, key).await? {
                    // Another object of that name: what we have to say is not about it.
                    Some(fresh) if self::uid(&fresh) == uid.as_ref() => object = Arc::new(fresh),
                    _ => return Ok(None),
                },
                Err(error) => return Err(error),
            }
        }
        Err(ClusterError::Conflict)
    }

    /// Adds or takes away a finalizer. Everybody else's stay, in their order.
    pub async fn set_finalizer(&self, kind: Kind, key: &NamespacedName, finalizer: &str, wanted: bool) -> Result<bool, ClusterError> {
        self.write(kind, key, |object| set(object, finalizer, wanted)).await
    }

    /// Puts a finalizer on the object with this uid, unless it is there. [`ClusterError::Gone`] if the API server does not show it there: the object is gone, is
    /// being deleted, or is another of that name.
    pub async fn hold(&self, kind: Kind, key: &NamespacedName, uid: Option<&Value>, finalizer: &str) -> Result<(), ClusterError> {
        let is_meant = |object: &Value| self::uid(object) == uid && !is_going(object);
        let brought = self.bring(kind, key, |object| is_meant(object).then(|| set(object, finalizer, true))?).await?;
        let is_held = |object: &Value| is_meant(object) && has(object, finalizer);
        brought.filter(|brought| is_held(&brought.object)).map(drop).ok_or(ClusterError::Gone)
    }
}

/// What a write came to.
#[derive(Debug)]
pub(crate) struct Brought {
    /// The object as it was shown last.
    pub object: Arc<Value>,
    /// Whether there was anything to write.
    pub written: bool,
}

/// The finalizers of an object with or without one of them, if that changes anything.
fn set(object: &Value, finalizer: &str, wanted: bool) -> Option<Write> {
    if has(object, finalizer) == wanted {
        return None;
    }
    let mut finalizers = finalizers_of(object);
    if wanted {
        // An object that is being deleted takes no new finalizers.
        (!is_going(object)).then(|| finalizers.push(finalizer.to_owned()))?;
    } else {
        finalizers.retain(|it| it != finalizer);
    }
    Some(Write::Finalizers(finalizers))
}

fn has(object: &Value, finalizer: &str) -> bool {
    finalizers_of(object).iter().any(|it| it == finalizer)
}

fn is_going(object: &Value) -> bool {
    metadata(object, "deletionTimestamp").is_some()
}

/// Whether a Gateway's status says that it is programmed.
pub fn is_programmed(gateway: &Value) -> bool {
    let conditions = gateway.pointer("/status/conditions").and_then(Value::as_array);
    let is = |condition: &Value, field: &str, value: &str| condition.get(field).and_then(Value::as_str) == Some(value);
    conditions.is_some_and(|all| all.iter().any(|it| is(it, "type", GatewayCondition::Programmed.as_str()) && is(it, "status", "True")))
}

/// `metadata.uid` of a raw object, which no other object of its name has.
pub fn uid(object: &Value) -> Option<&Value> {
    metadata(object, "uid")
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
    use crate::watch::Sighting;
    use serde_json::json;
    use std::collections::BTreeSet;
    use tokio::sync::mpsc;

    fn gateway(name: &str) -> Value {
        json!({"metadata": {"name": name, "namespace": "a"}, "spec": {"gatewayClassName": "c", "listeners": []}})
    }

    /// A cluster, and who watches it.
    struct Bench {
        objects: Objects,
        cluster: Arc<MemoryCluster>,
        keeper: Keeper,
        seen: mpsc::UnboundedReceiver<Sighting>,
    }

    impl Bench {
        /// With a Gateway that the watch has shown.
        fn with(gateway: &Value) -> Self {
            let (out, mut seen) = mpsc::unbounded_channel();
            let cluster = Arc::new(MemoryCluster::new(out));
            let world = SharedWorld::default();
            let mut keeper = Keeper::new(world.clone(), BTreeSet::new());
            let objects = Objects::new(world, cluster.clone());
            cluster.apply(Kind::Gateway, gateway.clone());
            keeper.take(std::iter::from_fn(|| seen.try_recv().ok()));
            Self { objects, cluster, keeper, seen }
        }
    }

    #[tokio::test]
    async fn writes_build_on_ones_own_and_give_way_to_others() {
        let Bench { objects, cluster, .. } = Bench::with(&gateway("g"));
        let key = NamespacedName::new("a", "g");
        // Two writes without the watch in between: the second builds on the first.
        assert_eq!(objects.set_finalizer(Kind::Gateway, &key, "ours", true).await, Ok(true));
        assert_eq!(objects.set_finalizer(Kind::Gateway, &key, "ours", true).await, Ok(false));
        assert!(has(&objects.newest(Kind::Gateway, &key).unwrap(), "ours"));
        // Someone else adds one behind our back: it stays.
        let theirs = cluster.read(Kind::Gateway, &key).unwrap();
        cluster.write_finalizers(Kind::Gateway, &theirs, vec!["theirs".into(), "ours".into()]).await.unwrap();
        assert_eq!(objects.set_finalizer(Kind::Gateway, &key, "ours", false).await, Ok(true));
        assert_eq!(finalizers_of(&cluster.read(Kind::Gateway, &key).unwrap()), ["theirs"]);
    }

    #[tokio::test]
    async fn only_the_object_that_is_meant_is_held() {
        let Bench { objects, cluster, mut keeper, mut seen } = Bench::with(&gateway("g"));
        let key = NamespacedName::new("a", "g");
        let first = uid(&cluster.read(Kind::Gateway, &key).unwrap()).cloned();
        let hold = async |uid: &Option<Value>| objects.hold(Kind::Gateway, &key, uid.as_ref(), "ours").await;
        assert_eq!(hold(&Some(json!("another"))).await, Err(ClusterError::Gone));
        assert_eq!(finalizers_of(&cluster.read(Kind::Gateway, &key).unwrap()), [""; 0]);
        assert_eq!(hold(&first).await, Ok(()));
        assert_eq!(hold(&first).await, Ok(()));

        // It is being deleted: held still, but nothing more is to be made for it.
        cluster.delete(Kind::Gateway, &key);
        keeper.take(std::iter::from_fn(|| seen.try_recv().ok()));
        assert_eq!(hold(&first).await, Err(ClusterError::Gone));
        assert_eq!(objects.set_finalizer(Kind::Gateway, &key, "ours", false).await, Ok(true));
        // It is gone, which the watch has not shown yet; then there is another.
        assert_eq!(hold(&first).await, Err(ClusterError::Gone));
        cluster.apply(Kind::Gateway, gateway("g"));
        assert_eq!(hold(&first).await, Err(ClusterError::Gone));
        keeper.take(std::iter::from_fn(|| seen.try_recv().ok()));
        assert_eq!(hold(&first).await, Err(ClusterError::Gone));
        assert_eq!(finalizers_of(&cluster.read(Kind::Gateway, &key).unwrap()), [""; 0]);
        let second = uid(&cluster.read(Kind::Gateway, &key).unwrap()).cloned();
        assert_eq!(hold(&second).await, Ok(()));

        // A deletion that had begun by then: the API server held it up for nobody.
        cluster.apply(Kind::Gateway, gateway("late"));
        keeper.take(std::iter::from_fn(|| seen.try_recv().ok()));
        let late = NamespacedName::new("a", "late");
        let deletion = cluster.begin_delete(Kind::Gateway, &late);
        let third = uid(&cluster.read(Kind::Gateway, &late).unwrap()).cloned();
        assert_eq!(objects.hold(Kind::Gateway, &late, third.as_ref(), "ours").await, Ok(()));
        cluster.end_delete(deletion);
        assert_eq!(cluster.read(Kind::Gateway, &late), None);
    }
}
