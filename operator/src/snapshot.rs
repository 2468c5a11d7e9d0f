//! A cluster read once: the objects that `run` watches, by paged lists. For commands that look and end.

use anyhow::{Context, bail};
use kube_client::api::ListParams;
use kube_client::{Api, Client, Error};
use portico_crds::Kind;
use portico_crds::kubernetes::DynamicObject;
use serde_json::Value;
use tracing::debug;

use crate::cluster::key_of;
use crate::watch::{Discovery, WATCHED, object_of, selector};

/// Objects per page of a list: what the API server's own clients ask for.
const PAGE: u32 = 500;

/// How often a list begins again whose continuation expired (HTTP 410).
const RESTARTS: usize = 3;

/// Kinds without which a plan still says something: whoever lacks the right to read them sees which references cannot be judged.
const DISPENSABLE: [Kind; 4] = [Kind::Secret, Kind::ConfigMap, Kind::ClusterTrustBundle, Kind::CustomResourceDefinition];

/// A cluster's objects.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Objects of all kinds that are installed, pruned as watches prune them.
    pub objects: Vec<(Kind, Value)>,
    /// Kinds that may not be read, with the API server's words.
    pub unreadable: Vec<(Kind, String)>,
}

impl Snapshot {
    /// Reads everything.
    ///
    /// # Errors
    /// Where the API server cannot be reached, the Gateway API is not installed, or a kind that matters may not be read.
    pub async fn read(client: &Client) -> anyhow::Result<Self> {
        let installed = Discovery::new(client.clone()).look().await.context("the API server cannot be asked for its kinds")?;
        let missing: Vec<_> = installed.missing().into_iter().map(Kind::name).collect();
        if !missing.is_empty() {
            bail!("the cluster lacks the Gateway API's {}: install its CRDs, or plan from files with -f", missing.join(", "));
        }
        let mut snapshot = Self::default();
        for kind in WATCHED.into_iter().filter(|kind| installed.0.contains(kind)) {
            match list(client, kind).await {
                Ok(objects) => {
                    debug!(%kind, objects = objects.len(), "listed");
                    snapshot.objects.extend(objects.into_iter().map(|object| (kind, object)));
                }
                Err(Error::Api(status)) if status.code == 403 && DISPENSABLE.contains(&kind) => {
                    snapshot.unreadable.push((kind, status.message.clone()));
                }
                Err(Error::Api(status)) if status.code == 403 => {
                    bail!("{kind} objects may not be listed: {}. `portico manifests --only rbac` prints the rights needed", status.message)
                }
                Err(error) => return Err(anyhow::Error::new(error).context(format!("{kind} objects cannot be listed"))),
            }
        }
        Ok(snapshot)
    }

    /// The cluster's id, as `run` has it: the UID of the namespace `kube-system`.
    pub fn cluster_id(&self) -> Option<String> {
        let system = self.objects.iter().find(|(kind, object)| *kind == Kind::Namespace && key_of(object).name == "kube-system");
        system.and_then(|(_, object)| object.pointer("/metadata/uid")).and_then(Value::as_str).map(str::to_owned)
    }
}

async fn list(client: &Client, kind: Kind) -> Result<Vec<Value>, Error> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind.api_resource());
    let mut first = ListParams::default().limit(PAGE);
    if let Some(fields) = selector(kind) {
        first = first.fields(fields);
    }
    let mut restarts = 0;
    let mut objects = Vec::new();
    let mut parameters = first.clone();
    loop {
        let page = match api.list(&parameters).await {
            Ok(page) => page,
            Err(Error::Api(status)) if status.code == 410 && restarts < RESTARTS => {
                restarts += 1;
                objects.clear();
                parameters = first.clone();
                continue;
            }
            Err(error) => return Err(error),
        };
        objects.extend(page.items.into_iter().map(|object| object_of(kind, object)));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = first.clone().continue_token(&token),
            None => return Ok(objects),
        }
    }
}
