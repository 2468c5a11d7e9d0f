//! What the world keeps of a BackendTLSPolicy.

use super::object::{Meta, Stored};
use portico_crds::{Kind, NamespacedName, ObjectRef};
use portico_providers::{Hostname, SubjectAltName};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A BackendTLSPolicy. Whatever else of it cannot be read, its targets must not be served as if there were no policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolicySpec {
    pub targets: Vec<PolicyTarget>,
    /// `validation.caCertificateRefs`, in its own namespace.
    pub authorities: Vec<ObjectRef>,
    /// Everything else, or what is wrong with it: path and remedy.
    pub validation: Result<Validation, String>,
}

/// A Service, or one of its ports, in the policy's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PolicyTarget {
    /// The author's index in `spec.targetRefs`.
    pub index: usize,
    pub service: NamespacedName,
    /// Name of the port; absent for all.
    pub port: Option<String>,
}

/// How certificates are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Validation {
    pub hostname: Hostname,
    pub subject_alt_names: Vec<SubjectAltName>,
    pub options: BTreeMap<String, String>,
}

/// Reads the raw form: one value that cannot be read must not hide the rest.
pub(crate) fn policy(raw: Arc<Value>) -> Stored<PolicySpec> {
    let meta = Meta::of(&raw);
    let targets = list(&raw, "/spec/targetRefs").enumerate();
    let target = |(index, target): (usize, &Value)| {
        let text = |field: &str| target.get(field).and_then(Value::as_str);
        let is_service = Kind::of(text("group")?, text("kind")?) == Some(Kind::Service);
        let service = NamespacedName::new(meta.key.namespace.as_str(), text("name")?);
        let port = text("sectionName").filter(|name| !name.is_empty()).map(str::to_owned);
        is_service.then_some(PolicyTarget { index, service, port })
    };
    let targets = targets.filter_map(target).collect();
    let reference = |reference: &Value| {
        let text = |field: &str| reference.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        ObjectRef { group: text("group"), kind: text("kind"), namespace: None, name: text("name") }
    };
    let authorities = list(&raw, "/spec/validation/caCertificateRefs").map(reference).collect::<Vec<_>>();
    let validation = validation(&raw, !authorities.is_empty());
    Stored { meta, raw, spec: Some(PolicySpec { targets, authorities, validation }), defects: Vec::new() }
}

fn list<'a>(raw: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    raw.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// The API server checks most of this; manifests that never saw one may say anything.
fn validation(raw: &Value, has_authorities: bool) -> Result<Validation, String> {
    const PATH: &str = "spec.validation";
    let text = |field: &str| raw.pointer(&format!("/spec/validation/{field}")).filter(|it| !it.is_null());
    match (text("wellKnownCACertificates").map(|it| it.as_str().unwrap_or("(no text)")).filter(|it| !it.is_empty()), has_authorities) {
        (Some("System"), false) | (None, true) => {}
        (Some(_), true) => {
            return Err(format!("{PATH}: caCertificateRefs and wellKnownCACertificates cannot stand together; keep one of them"));
        }
        (None, false) => {
            return Err(format!(
                "{PATH}: it names no certificate authority; refer to one under caCertificateRefs, or set wellKnownCACertificates to System"
            ));
        }
        (Some(other), false) => {
            return Err(format!(
                "{PATH}.wellKnownCACertificates: {other} is not known here; use System, or refer to certificates under caCertificateRefs"
            ));
        }
    }
    let hostname = text("hostname").and_then(Value::as_str).unwrap_or_default();
    let hostname = Hostname::new(hostname).map_err(|error| format!("{PATH}.hostname: {error}"))?;
    if hostname.is_wildcard() {
        return Err(format!("{PATH}.hostname: {hostname} has a wildcard, which no server name may have; name one host"));
    }
    let name = |(index, it): (usize, &Value)| {
        let path = format!("{PATH}.subjectAltNames[{index}]");
        let value = |field: &str| it.get(field).and_then(Value::as_str).unwrap_or_default();
        match value("type") {
            "Hostname" => {
                Hostname::new(value("hostname")).map(SubjectAltName::Hostname).map_err(|error| format!("{path}.hostname: {error}"))
            }
            "URI" if value("uri").contains(':') => Ok(SubjectAltName::Uri(value("uri").to_owned())),
            "URI" => Err(format!(
                "{path}.uri: {:?} is not a URI; write one with its scheme, such as spiffe://cluster.example/ns/a",
                value("uri")
            )),
            other => Err(format!("{path}.type: {other:?} is not known here; use Hostname or URI")),
        }
    };
    let subject_alt_names = list(raw, "/spec/validation/subjectAltNames").enumerate().map(name).collect::<Result<_, _>>()?;
    let options = raw.pointer("/spec/options").and_then(Value::as_object).into_iter().flatten();
    let options = options.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
    Ok(Validation { hostname, subject_alt_names, options })
}

impl Stored<PolicySpec> {
    /// What it is for.
    pub fn targets(&self) -> impl Iterator<Item = &PolicyTarget> {
        self.spec.iter().flat_map(|spec| &spec.targets)
    }
}
