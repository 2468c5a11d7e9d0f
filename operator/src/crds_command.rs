//! `portico crds`: our CustomResourceDefinitions, and the least permissions of `portico run`.

use anyhow::Context;
use portico_crds::{Kind, manifest};
use serde_json::{Value, json};

use crate::cli::CrdsArguments;
use crate::watch::WATCHED;

/// Runs the command.
pub fn run(arguments: &CrdsArguments) -> anyhow::Result<()> {
    let text = if arguments.rbac {
        manifest::write(&permissions(&arguments.namespace)).context("the permissions cannot be printed")?
    } else {
        portico_crds::crd_yaml().context("the definitions cannot be printed")?
    };
    crate::output::print(&text)
}

/// Name of the ServiceAccount, the roles and the bindings.
const NAME: &str = "portico";

/// Namespace, ServiceAccount, roles and bindings. The rules follow from the kinds that are watched and the kinds whose status is written.
pub fn permissions(namespace: &str) -> Vec<Value> {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME, "namespace": namespace}});
    let subject = json!([{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}]);
    let bound = |kind: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": NAME});
    let metadata = |namespace: Option<&str>| match namespace {
        Some(namespace) => json!({"name": NAME, "namespace": namespace}),
        None => json!({"name": NAME}),
    };
    let api_version = "rbac.authorization.k8s.io/v1";
    let lease = Kind::Lease;
    vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        account,
        json!({"apiVersion": api_version, "kind": "ClusterRole", "metadata": metadata(None), "rules": cluster_rules()}),
        json!({"apiVersion": api_version, "kind": "ClusterRoleBinding", "metadata": metadata(None),
            "roleRef": bound("ClusterRole"), "subjects": subject}),
        json!({"apiVersion": api_version, "kind": "Role", "metadata": metadata(Some(namespace)), "rules": [
            {"apiGroups": [lease.group()], "resources": [lease.plural()], "verbs": ["create"]},
            {"apiGroups": [lease.group()], "resources": [lease.plural()], "resourceNames": [NAME], "verbs": ["get", "update"]},
        ]}),
        json!({"apiVersion": api_version, "kind": "RoleBinding", "metadata": metadata(Some(namespace)),
            "roleRef": bound("Role"), "subjects": subject}),
    ]
}

/// Kinds whose `status` we write.
pub const REPORTED: [Kind; 8] = [
    Kind::GatewayClass,
    Kind::Gateway,
    Kind::ListenerSet,
    Kind::HttpRoute,
    Kind::GrpcRoute,
    Kind::TlsRoute,
    Kind::TcpRoute,
    Kind::UdpRoute,
];

/// Kinds whose finalizers we write.
pub const FINALIZED: [Kind; 2] = [Kind::GatewayClass, Kind::Gateway];

fn cluster_rules() -> Vec<Value> {
    let mut rules = Vec::new();
    let mut groups: Vec<&str> = WATCHED.iter().map(|kind| kind.group()).collect();
    groups.sort_unstable();
    groups.dedup();
    for group in groups {
        let of = |kinds: &[Kind]| -> Vec<String> {
            kinds.iter().filter(|kind| kind.group() == group).map(|kind| kind.plural().to_owned()).collect()
        };
        rules.push(json!({"apiGroups": [group], "resources": of(&WATCHED), "verbs": ["get", "list", "watch"]}));
        let statuses: Vec<String> = of(&REPORTED).iter().map(|plural| format!("{plural}/status")).collect();
        if !statuses.is_empty() {
            rules.push(json!({"apiGroups": [group], "resources": statuses, "verbs": ["patch"]}));
        }
        let finalized = of(&FINALIZED);
        if !finalized.is_empty() {
            rules.push(json!({"apiGroups": [group], "resources": finalized, "verbs": ["patch"]}));
        }
    }
    rules
}
