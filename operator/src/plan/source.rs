//! What a plan is made of: manifests, a cluster's objects, or manifests laid over a cluster's objects.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use kube_client::Client;
use portico_crds::{Kind, NamespacedName};
use portico_envoy_xds::Acknowledgement;
use portico_providers::ClusterId;
use serde_json::{Value, json};

use super::document::{PlanSource, Problem};
use super::fleets::Fleets;
use super::problems;
use crate::cli::PlanArguments;
use crate::cluster::key_of;
use crate::keeper::{Keeper, SharedWorld};
use crate::manifests::Manifests;
use crate::snapshot::Snapshot;
use crate::watch::{Seen, Sighting};

/// The objects of a plan.
#[derive(Debug, Default)]
pub struct Objects {
    /// All of them.
    objects: BTreeMap<(Kind, NamespacedName), Value>,
    /// Which of them stand in files.
    in_files: BTreeSet<(Kind, NamespacedName)>,
    /// Namespaces that files use and nobody makes.
    missing_namespaces: Vec<String>,
    /// What stood in the cluster in the place of files' objects.
    replaced: BTreeMap<(Kind, NamespacedName), Option<Value>>,
    /// What replicas say of their proxies; nothing where no cluster was asked.
    said: Option<Result<Vec<Vec<Acknowledgement>>, String>>,
    /// Kinds that could not be read.
    unreadable: Vec<(Kind, String)>,
    /// Whether the cluster's objects are among them.
    pub of_cluster: bool,
    /// The cluster's id, where it is known.
    pub cluster_id: Option<String>,
}

impl Objects {
    /// Reads what the arguments name.
    pub async fn read(arguments: &PlanArguments) -> anyhow::Result<Self> {
        let files = if arguments.paths.is_empty() { None } else { Some(Manifests::load(&arguments.paths)?) };
        let told = arguments.cluster.cluster_id.clone();
        match files {
            Some(files) if !arguments.overlay => Ok(Self { cluster_id: told, ..Self::of_files(files) }),
            files => {
                let config = crate::kubernetes::config(&arguments.cluster).await?;
                let client = Client::try_from(config).context("the Kubernetes client cannot be set up")?;
                let snapshot = Snapshot::read(&client).await?;
                let cluster_id = told.or_else(|| snapshot.cluster_id());
                cluster_id.as_ref().context("the cluster has no namespace kube-system to tell its id: give it with --cluster-id")?;
                let said = Some(crate::fleet::told::read(&client).await);
                let mut objects = Self { cluster_id, said, ..Self::of_snapshot(snapshot) };
                if let Some(files) = files {
                    objects.overlay(files);
                }
                Ok(objects)
            }
        }
    }

    /// The objects of files alone.
    pub fn of_files(files: Manifests) -> Self {
        let objects: BTreeMap<_, _> = files.objects.into_iter().map(|(kind, object)| ((kind, key_of(&object)), object)).collect();
        Self { in_files: objects.keys().cloned().collect(), objects, ..Self::default() }
    }

    fn of_snapshot(snapshot: Snapshot) -> Self {
        let objects = snapshot.objects.into_iter().map(|(kind, object)| ((kind, key_of(&object)), object)).collect();
        Self { objects, unreadable: snapshot.unreadable, of_cluster: true, ..Self::default() }
    }

    /// Lays files over the cluster's objects, as `kubectl apply` would.
    fn overlay(&mut self, files: Manifests) {
        for (kind, object) in files.objects {
            let place = (kind, key_of(&object));
            let there = self.objects.get(&place);
            if kind == Kind::Namespace && files.assumed.contains(&place.1.name) {
                if there.is_none() {
                    self.missing_namespaces.push(place.1.name.clone());
                    self.lay(place, object);
                }
                continue;
            }
            let object = match there {
                Some(there) => applied(kind, there, object),
                None => object,
            };
            self.in_files.insert(place.clone());
            self.lay(place, object);
        }
    }

    fn lay(&mut self, place: (Kind, NamespacedName), object: Value) {
        let before = self.objects.insert(place.clone(), object);
        self.replaced.insert(place, before);
    }

    /// A world that holds them.
    pub fn world(&self) -> SharedWorld {
        world(self.objects.iter())
    }

    /// What fleets of Envoy proxies are told, by the cluster's objects without the files. `world` holds all objects.
    pub fn fleets(&self, world: &SharedWorld, cluster: &ClusterId) -> Fleets {
        let said = match &self.said {
            Some(said) => said.as_deref().map_err(String::as_str),
            None => Err("What fleets are told only the cluster knows, and it was not asked: use --overlay"),
        };
        if self.said.is_none() || self.replaced.is_empty() {
            return Fleets::of(world, cluster, said);
        }
        Fleets::of(&self.world_before(), cluster, said)
    }

    /// A world that holds the cluster's objects without the files.
    fn world_before(&self) -> SharedWorld {
        let kept = self.objects.iter().filter(|(place, _)| !self.replaced.contains_key(*place));
        let replaced = self.replaced.iter().filter_map(|(place, object)| Some((place, object.as_ref()?)));
        world(kept.chain(replaced))
    }

    /// What is wrong with them that no load balancer's report tells.
    pub fn problems(&self, world: &SharedWorld) -> BTreeSet<Problem> {
        let place = if self.of_cluster { "neither in the cluster nor among these files" } else { "not among these files" };
        let files = self.in_files.iter().filter_map(|place| Some((place.0, self.objects.get(place)?)));
        let mut found = problems::of_references(files, |kind, key| self.objects.contains_key(&(kind, key.clone())), place);
        found.extend(problems::of_classes(&world.read()));
        found.extend(self.missing_namespaces.iter().map(|name| Problem {
            object: format!("Namespace {name}"),
            condition: "missing".to_owned(),
            message: "it is neither in the cluster nor among these files, so that its objects cannot be applied".to_owned(),
        }));
        found.extend(self.unreadable.iter().map(|(kind, why)| Problem {
            object: format!("{kind} objects"),
            condition: "not read".to_owned(),
            message: format!("references to them look unresolved in this plan: {why}"),
        }));
        found
    }

    /// What the plan is made of, in words.
    pub fn describe(&self, cluster: &ClusterId, cloud: bool) -> PlanSource {
        let objects = match (self.of_cluster, self.in_files.is_empty()) {
            (true, true) => "cluster",
            (true, false) => "cluster and files",
            (false, _) => "files",
        };
        let observed = if cloud { "cloud" } else { "nothing" };
        PlanSource { objects: objects.to_owned(), observed: observed.to_owned(), cluster_id: cluster.0.clone() }
    }
}

fn world<'a>(objects: impl Iterator<Item = (&'a (Kind, NamespacedName), &'a Value)>) -> SharedWorld {
    let world = SharedWorld::default();
    let mut keeper = Keeper::new(world.clone(), BTreeSet::new());
    keeper.take(objects.map(|((kind, _), object)| Sighting { kind: *kind, seen: Seen::Applied(object.clone()) }));
    world
}

/// What a cluster's object becomes when a file is applied. What the API server and controllers own stays: metadata but for labels and
/// annotations, and the status. A Service keeps what the API server chose for it (addresses, families) where the file says nothing.
fn applied(kind: Kind, there: &Value, file: Value) -> Value {
    let mut object = file;
    let spec_before = there.get("spec");
    if kind == Kind::Service
        && let (Some(before), Some(spec)) = (spec_before, object.get_mut("spec"))
    {
        *spec = merged(before, spec);
    }
    let same = spec_before == object.get("spec");
    if let (Some(old), Some(metadata)) =
        (there.get("metadata").and_then(Value::as_object), object.get_mut("metadata").and_then(Value::as_object_mut))
    {
        for (name, value) in old {
            let of_file = matches!(name.as_str(), "labels" | "annotations");
            match metadata.get_mut(name) {
                Some(ours) if of_file => *ours = merged(value, ours),
                _ => drop(metadata.insert(name.clone(), value.clone())),
            }
        }
        let generation = old.get("generation").and_then(Value::as_i64).unwrap_or_default();
        metadata.insert("generation".to_owned(), json!(if same { generation } else { generation + 1 }));
    }
    if let (Some(status), Some(map)) = (there.get("status"), object.as_object_mut()) {
        map.insert("status".to_owned(), status.clone());
    }
    object
}

/// `new` over `old`: maps field by field, everything else whole; nothing is taken away.
fn merged(old: &Value, new: &Value) -> Value {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let mut all = old.clone();
            for (name, value) in new {
                let value = old.get(name).map_or_else(|| value.clone(), |before| merged(before, value));
                all.insert(name.clone(), value);
            }
            Value::Object(all)
        }
        _ => new.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifests(text: &str) -> Manifests {
        Manifests::parse([("test.yaml", text)]).unwrap()
    }

    fn read<'a>(objects: &'a Objects, kind: Kind, key: &str) -> &'a Value {
        objects.objects.get(&(kind, key.parse().unwrap())).unwrap()
    }

    #[test]
    fn files_over_a_cluster_keep_what_the_api_server_owns() {
        let service = json!({"metadata": {"name": "web", "namespace": "a", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z",
            "generation": 3, "labels": {"theirs": "1"}}, "spec": {"clusterIP": "10.0.0.1", "ipFamilies": ["IPv6"], "ports": [{"port": 80}]},
            "status": {"kept": true}});
        let namespace = json!({"metadata": {"name": "a", "labels": {"team": "x"}}});
        let snapshot =
            Snapshot { objects: vec![(Kind::Service, service.clone()), (Kind::Namespace, namespace.clone())], unreadable: Vec::new() };
        let mut objects = Objects::of_snapshot(snapshot);
        objects.overlay(manifests(
            "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: a, labels: {ours: '2'}}\nspec: {ports: [{port: 81}]}\n---\n\
             apiVersion: v1\nkind: ConfigMap\nmetadata: {name: new, namespace: b}\n",
        ));
        let now = read(&objects, Kind::Service, "a/web");
        assert_eq!(now.pointer("/spec/clusterIP"), Some(&json!("10.0.0.1")));
        assert_eq!(now.pointer("/spec/ipFamilies"), Some(&json!(["IPv6"])));
        assert_eq!(now.pointer("/spec/ports/0/port"), Some(&json!(81)));
        assert_eq!(now.pointer("/metadata/uid"), Some(&json!("u")));
        assert_eq!(now.pointer("/metadata/generation"), Some(&json!(4)));
        assert_eq!(now.pointer("/metadata/labels"), Some(&json!({"ours": "2", "theirs": "1"})));
        assert_eq!(now.get("status"), Some(&json!({"kept": true})));
        // The cluster's namespace stays as it is; one that nobody makes is a problem.
        assert_eq!(read(&objects, Kind::Namespace, "a"), &namespace);
        assert_eq!(objects.missing_namespaces, ["b"]);
    }

    #[test]
    fn a_spec_of_a_file_replaces_the_clusters() {
        let route = json!({"metadata": {"name": "r", "namespace": "a", "generation": 1}, "spec": {"hostnames": ["a"], "rules": []}});
        let now = applied(Kind::HttpRoute, &route, json!({"metadata": {"name": "r", "namespace": "a"}, "spec": {"rules": []}}));
        assert_eq!((now.pointer("/spec/hostnames"), now.pointer("/metadata/generation")), (None, Some(&json!(2))));
    }
}
