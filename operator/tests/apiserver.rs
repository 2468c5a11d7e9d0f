//! An API server small enough for tests: discovery, paged lists, watches, merge patches and what is posted, from memory. Processes talk to it
//! over HTTP as they do to a real one; the lab has the real one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures::stream;
use http::{Method, StatusCode};
use portico::cluster::key_of;
use portico::manifests::Manifests;
use portico_crds::{Kind, NamespacedName};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

pub struct ApiServer {
    cluster: Arc<Cluster>,
    folder: tempfile::TempDir,
    _serving: AbortOnDropHandle<()>,
}

struct Cluster {
    state: Mutex<Contents>,
    version: watch::Sender<u64>,
}

#[derive(Default)]
struct Contents {
    installed: BTreeSet<Kind>,
    forbidden: BTreeSet<Kind>,
    objects: BTreeMap<(Kind, NamespacedName), Value>,
    log: Vec<(u64, Kind, &'static str, Value)>,
    posted: Vec<Value>,
    requests: Vec<String>,
}

impl ApiServer {
    /// A cluster in which these kinds are installed.
    pub async fn start(installed: impl IntoIterator<Item = Kind>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Contents { installed: installed.into_iter().collect(), ..Contents::default() };
        let cluster = Arc::new(Cluster { state: Mutex::new(state), version: watch::Sender::new(1) });
        let router = axum::Router::new().fallback(answer).with_state(cluster.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let server = Self { cluster, folder: tempfile::tempdir().unwrap(), _serving: AbortOnDropHandle::new(serving) };
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "test", "user": {"token": "test"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "portico-system"}}]});
        std::fs::write(server.kubeconfig(), config.to_string()).unwrap();
        server.put(Kind::Namespace, json!({"metadata": {"name": "kube-system", "uid": "cluster-uid"}}));
        server
    }

    pub fn kubeconfig(&self) -> String {
        self.folder.path().join("kubeconfig").display().to_string()
    }

    fn state(&self) -> MutexGuard<'_, Contents> {
        self.cluster.state.lock().unwrap()
    }

    /// Installs a kind.
    pub fn install(&self, kind: Kind) {
        self.state().installed.insert(kind);
    }

    /// Lets nobody list a kind.
    pub fn forbid(&self, kind: Kind) {
        self.state().forbidden.insert(kind);
    }

    /// Makes or replaces an object.
    pub fn put(&self, kind: Kind, object: Value) {
        self.cluster.put(&mut self.cluster.state.lock().unwrap(), kind, object);
    }

    /// Makes or replaces the objects of manifests, with their status as it is.
    pub fn apply(&self, manifests: &str) {
        for (kind, mut object) in Manifests::parse([("test.yaml", manifests)]).unwrap().objects {
            let old = self.read(kind, &key_of(&object)).unwrap_or_default();
            for field in ["status", "metadata"] {
                let kept = old.get(field).cloned().unwrap_or_else(|| json!({}));
                let mut now = kept;
                merge(&mut now, object.get(field).unwrap_or(&json!({})));
                object[field] = now;
            }
            self.put(kind, object);
        }
    }

    pub fn read(&self, kind: Kind, key: &NamespacedName) -> Option<Value> {
        self.state().objects.get(&(kind, key.clone())).cloned()
    }

    /// `METHOD path?query` of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    /// Events that were posted, with what was patched since.
    pub fn events(&self) -> Vec<Value> {
        self.state().posted.clone()
    }
}

impl Cluster {
    fn put(&self, state: &mut Contents, kind: Kind, mut object: Value) -> Value {
        let version = *self.version.borrow() + 1;
        let key = key_of(&object);
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.insert("resourceVersion".into(), json!(version.to_string()));
        metadata.entry("uid").or_insert_with(|| json!(format!("uid-{}-{key}", kind.name())));
        object["apiVersion"] = json!(kind.api_version());
        object["kind"] = json!(kind.name());
        let old = state.objects.insert((kind, key), object.clone());
        let seen = if old.is_some() { "MODIFIED" } else { "ADDED" };
        state.log.push((version, kind, seen, object.clone()));
        self.version.send_replace(version);
        object
    }
}

fn merge(old: &mut Value, patch: &Value) {
    let (Some(map), Some(patch)) = (old.as_object_mut(), patch.as_object()) else {
        *old = patch.clone();
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            map.remove(name);
        } else {
            merge(map.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

fn failure(code: StatusCode, reason: &str) -> Response {
    let body =
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "message": reason, "code": code.as_u16()});
    (code, axum::Json(body)).into_response()
}

/// Group and version, namespace, plural, name and subresource of a path.
struct Place {
    api_version: String,
    namespace: String,
    plural: String,
    name: Option<String>,
    status: bool,
}

fn place(path: &str) -> Option<Place> {
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let api_version = match parts.remove(0) {
        "api" => parts.remove(0).to_owned(),
        "apis" => format!("{}/{}", parts.remove(0), parts.remove(0)),
        _ => return None,
    };
    let namespace = if parts.len() > 2 && parts[0] == "namespaces" {
        parts.remove(0);
        parts.remove(0).to_owned()
    } else {
        String::new()
    };
    let mut parts = parts.into_iter().map(str::to_owned);
    let plural = parts.next().unwrap_or_default();
    Some(Place { api_version, namespace, plural, name: parts.next(), status: parts.next().as_deref() == Some("status") })
}

async fn answer(State(cluster): State<Arc<Cluster>>, request: Request) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap_or_default();
    let query: BTreeMap<String, String> =
        uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')).map(|(a, b)| (a.into(), b.into())).collect();
    let Some(place) = place(uri.path()) else { return failure(StatusCode::NOT_FOUND, "no such path") };
    let mut state = cluster.state.lock().unwrap();
    state.requests.push(format!("{method} {uri}"));
    if place.plural == "events" {
        return event(&mut state, &method, &place, &body);
    }
    if place.plural.is_empty() {
        return resources(&state, &place.api_version);
    }
    let Some(kind) = state.installed.iter().copied().find(|kind| kind.api_version() == place.api_version && kind.plural() == place.plural)
    else {
        return failure(StatusCode::NOT_FOUND, "the server could not find the requested resource");
    };
    if state.forbidden.contains(&kind) {
        return failure(StatusCode::FORBIDDEN, "forbidden for the test");
    }
    match (&method, &place.name) {
        (&Method::GET, None) if query.contains_key("watch") => {
            let after = query.get("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or(0);
            drop(state);
            watched(cluster, kind, after)
        }
        (&Method::GET, None) => listed(&state, *cluster.version.borrow(), kind, &query),
        (_, Some(name)) => {
            let key = NamespacedName::new(&place.namespace, name.as_str());
            let Some(mut object) = state.objects.get(&(kind, key)).cloned() else { return failure(StatusCode::NOT_FOUND, "not found") };
            if method == Method::PATCH {
                let patch: Value = serde_json::from_slice(&body).unwrap();
                let expected = patch.pointer("/metadata/resourceVersion");
                if expected.is_some() && expected != object.pointer("/metadata/resourceVersion") {
                    return failure(StatusCode::CONFLICT, "Conflict");
                }
                let patch = if place.status { json!({"status": patch["status"]}) } else { patch };
                merge(&mut object, &patch);
                object = cluster.put(&mut state, kind, object);
            }
            axum::Json(object).into_response()
        }
        _ => failure(StatusCode::METHOD_NOT_ALLOWED, "not in this server"),
    }
}

fn resources(state: &Contents, api_version: &str) -> Response {
    let of: Vec<_> = state.installed.iter().filter(|kind| kind.api_version() == api_version).collect();
    if of.is_empty() {
        return failure(StatusCode::NOT_FOUND, "no such group");
    }
    let resources: Vec<_> = of
        .iter()
        .map(|kind| json!({"name": kind.plural(), "singularName": "", "namespaced": kind.namespaced(), "kind": kind.name(), "verbs": ["list", "watch"]}))
        .collect();
    axum::Json(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": resources})).into_response()
}

fn listed(state: &Contents, version: u64, kind: Kind, query: &BTreeMap<String, String>) -> Response {
    let limit = query.get("limit").and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
    let from = query.get("continue").and_then(|text| text.parse().ok()).unwrap_or(0);
    let all: Vec<_> = state.objects.iter().filter(|((k, _), _)| *k == kind).map(|(_, object)| object).collect();
    let page: Vec<_> = all.iter().skip(from).take(limit).collect();
    let next = from + page.len();
    let token = if next < all.len() { next.to_string() } else { String::new() };
    let metadata = json!({"resourceVersion": version.to_string(), "continue": token});
    axum::Json(json!({"kind": format!("{kind}List"), "apiVersion": kind.api_version(), "metadata": metadata, "items": page}))
        .into_response()
}

fn watched(cluster: Arc<Cluster>, kind: Kind, after: u64) -> Response {
    let versions = cluster.version.subscribe();
    let lines = stream::unfold((cluster, versions, after), move |(cluster, mut versions, mut cursor)| async move {
        loop {
            versions.borrow_and_update();
            let news: Vec<String> = {
                let state = cluster.state.lock().unwrap();
                let since = state.log.iter().filter(|(version, k, ..)| *k == kind && *version > cursor);
                since.map(|(_, _, seen, object)| json!({"type": seen, "object": object}).to_string() + "\n").collect()
            };
            cursor = cursor.max(*versions.borrow());
            if !news.is_empty() {
                return Some((Ok::<_, std::io::Error>(Bytes::from(news.concat())), (cluster, versions, cursor)));
            }
            versions.changed().await.ok()?;
        }
    });
    Body::from_stream(lines).into_response()
}

fn event(state: &mut Contents, method: &Method, place: &Place, body: &[u8]) -> Response {
    let event: Value = serde_json::from_slice(body).unwrap();
    if *method == Method::POST {
        state.posted.push(event.clone());
        return (StatusCode::CREATED, axum::Json(event)).into_response();
    }
    let named = state.posted.iter_mut().find(|posted| posted.pointer("/metadata/name").and_then(Value::as_str) == place.name.as_deref());
    let Some(posted) = named else { return failure(StatusCode::NOT_FOUND, "no such event") };
    merge(posted, &event);
    axum::Json(posted.clone()).into_response()
}
