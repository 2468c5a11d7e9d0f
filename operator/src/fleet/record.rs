//! A record of what is said of units, kept in labelled ConfigMaps of the operator's namespace.

use std::time::Duration;

use kube_client::Client;
use kube_client::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use portico_crds::kubernetes::{ConfigMap, ResourceExt};
use portico_envoy_xds::Acknowledgement;
use serde_json::{Value, json};

use super::sheets::Sheets;
use crate::cluster::FIELD_MANAGER;

/// Where a ConfigMap says how far proxies are.
const PROXIES: &str = "proxies";

/// How long a call may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The ConfigMaps of one record: `NAME-0`, `NAME-1` and so on.
pub(super) struct Record {
    api: Api<ConfigMap>,
    name: String,
    label: (&'static str, String),
    sheets: Sheets,
}

impl Record {
    /// An empty record, whose ConfigMaps have a label of their own.
    pub fn new(client: Client, namespace: &str, name: String, label: (&'static str, String)) -> Self {
        Self { api: Api::namespaced(client, namespace), name, label, sheets: Sheets::default() }
    }

    /// The ConfigMaps of records.
    pub fn api(&self) -> &Api<ConfigMap> {
        &self.api
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Goes on with what was recorded under this name before. What has its label and is no sheet of it goes.
    ///
    /// # Errors
    /// In words, if it cannot be read.
    pub async fn resume(&mut self) -> Result<(), String> {
        let (label, value) = &self.label;
        let parameters = ListParams::default().labels(&format!("{label}={value}"));
        let listed = within(self.api.list(&parameters)).await?;
        let mut sheets = Vec::new();
        for object in listed {
            let number = object.name_any().strip_prefix(&format!("{}-", self.name)).and_then(|rest| rest.parse::<usize>().ok());
            match (number, acknowledgements(&object)) {
                (Some(number), Ok(said)) => sheets.push((number, said)),
                // It is of another version.
                _ => remove(&self.api, &object.name_any()).await?,
            }
        }
        self.sheets = Sheets::written_before(sheets);
        Ok(())
    }

    /// Records what is so now: writes the sheets that change, and deletes those on which nothing is left.
    ///
    /// # Errors
    /// In words, if a call fails; the rest is written by the next call.
    pub async fn say(&mut self, said: Vec<Acknowledgement>) -> Result<(), String> {
        self.sheets.take(said);
        while let Some((number, lines)) = self.sheets.unwritten() {
            let name = format!("{}-{number}", self.name);
            if lines.is_empty() {
                remove(&self.api, &name).await?;
            } else {
                let text = serde_json::to_string(&lines).map_err(|error| error.to_string())?;
                self.write(&name, &json!({ PROXIES: text })).await?;
            }
            self.sheets.is_written(number);
        }
        Ok(())
    }

    /// Somebody may have deleted ConfigMaps: all are written by the next call.
    pub fn doubt(&mut self) {
        self.sheets.doubt();
    }

    /// Writes a ConfigMap with the record's label.
    ///
    /// # Errors
    /// In words, if the call fails.
    pub async fn write(&self, name: &str, data: &Value) -> Result<(), String> {
        let (label, value) = &self.label;
        let object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "labels": {*label: value, "app.kubernetes.io/managed-by": "portico"}},
            "data": data,
        });
        let (parameters, patch) = (PatchParams::apply(FIELD_MANAGER).force(), Patch::Apply(&object));
        within(self.api.patch(name, &parameters, &patch)).await.map(drop)
    }
}

/// Deletes a ConfigMap, if it is there.
///
/// # Errors
/// In words, if the call fails.
pub(super) async fn remove(api: &Api<ConfigMap>, name: &str) -> Result<(), String> {
    let parameters = DeleteParams::default();
    let removed = async {
        match api.delete(name, &parameters).await {
            Err(kube_client::Error::Api(status)) if status.code == 404 => Ok(()),
            other => other.map(drop),
        }
    };
    within(removed).await
}

/// What a call comes to, if it does within its time.
pub(super) async fn within<T>(call: impl Future<Output = Result<T, kube_client::Error>>) -> Result<T, String> {
    match tokio::time::timeout(LIMIT, call).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("the API server does not answer".to_owned()),
    }
}

/// What a ConfigMap says of proxies.
pub(super) fn acknowledgements(object: &ConfigMap) -> Result<Vec<Acknowledgement>, serde_json::Error> {
    serde_json::from_str(field(object, PROXIES).unwrap_or("[]"))
}

/// A field of a ConfigMap.
pub(super) fn field<'a>(object: &'a ConfigMap, name: &str) -> Option<&'a str> {
    object.data.as_ref().and_then(|data| data.get(name)).map(String::as_str)
}
