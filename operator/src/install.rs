//! `portico manifests`: what installs Portico in a cluster: our CustomResourceDefinitions, the least rights of `portico run`, its Deployment.

use std::collections::BTreeSet;

use anyhow::Context;
use portico_crds::{Kind, manifest};
use serde_json::{Value, json};

use crate::cli::{ManifestPart, ManifestsArguments};
use crate::watch::WATCHED;

/// Name of everything that we install, the Lease included.
const NAME: &str = "portico";

/// Port of `/healthz`, `/readyz` and `/metrics`.
const PORT: u16 = 9402;

/// Port at which Envoy proxies get their configuration.
const XDS_PORT: u16 = 18000;

/// The API group of Events.
const EVENTS_GROUP: &str = "events.k8s.io";

/// Runs the command.
pub fn run(arguments: &ManifestsArguments) -> anyhow::Result<()> {
    let all = [ManifestPart::Crds, ManifestPart::Rbac, ManifestPart::Deployment];
    let parts: BTreeSet<ManifestPart> = if arguments.only.is_empty() { all.into() } else { arguments.only.iter().copied().collect() };
    let mut objects = Vec::new();
    for part in parts {
        match part {
            ManifestPart::Crds => {
                let text = portico_crds::crd_yaml().context("the definitions cannot be printed")?;
                objects.extend(manifest::read("the definitions", &text)?);
            }
            ManifestPart::Rbac => objects.extend(permissions(&arguments.namespace, arguments.aws_role.as_deref())),
            ManifestPart::Deployment => {
                let image = arguments.image.as_deref().context(
                    "which image runs? Name one with --image, or print the rest with --only crds --only rbac. \
                     docs/install.md says how to build one",
                )?;
                objects.extend(deployment(arguments, image));
            }
        }
    }
    crate::output::print(&manifest::write(&objects).context("the manifests cannot be printed")?)
}

/// Namespace, ServiceAccount, roles and bindings. The rules follow from the kinds that are watched and the kinds whose status is written.
pub fn permissions(namespace: &str, aws_role: Option<&str>) -> Vec<Value> {
    let metadata = |namespace: Option<&str>| match namespace {
        Some(namespace) => json!({"name": NAME, "namespace": namespace, "labels": labels()}),
        None => json!({"name": NAME, "labels": labels()}),
    };
    let mut account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata(Some(namespace))});
    if let (Some(role), Some(map)) = (aws_role, account.get_mut("metadata").and_then(Value::as_object_mut)) {
        map.insert("annotations".to_owned(), json!({"eks.amazonaws.com/role-arn": role}));
    }
    let subject = json!([{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}]);
    let bound = |kind: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": NAME});
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
            // Replicas tell one another how far their Envoy proxies are, and plans what these were told. No rule can be limited to names that begin in some way.
            {"apiGroups": [""], "resources": [Kind::ConfigMap.plural()], "verbs": ["create", "patch", "delete"]},
        ]}),
        json!({"apiVersion": api_version, "kind": "RoleBinding", "metadata": metadata(Some(namespace)),
            "roleRef": bound("Role"), "subjects": subject}),
    ]
}

fn labels() -> Value {
    json!({"app.kubernetes.io/name": NAME})
}

/// Two replicas, of which one leads, and a disruption budget that leaves one.
fn deployment(arguments: &ManifestsArguments, image: &str) -> Vec<Value> {
    let metadata = json!({"name": NAME, "namespace": arguments.namespace, "labels": labels()});
    let mut environment = vec![json!({"name": "PORTICO_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}})];
    environment.extend(arguments.aws_region.iter().map(|region| json!({"name": "AWS_REGION", "value": region})));
    let probe = |path: &str, period: u32| json!({"httpGet": {"path": path, "port": "health"}, "periodSeconds": period});
    let container = json!({
        "name": NAME,
        "image": image,
        "args": ["run", format!("--xds-listen=0.0.0.0:{XDS_PORT}")],
        "env": environment,
        "ports": [{"name": "health", "containerPort": PORT}, {"name": "xds", "containerPort": XDS_PORT}],
        "livenessProbe": probe("/healthz", 20),
        "readinessProbe": probe("/readyz", 5),
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
        },
    });
    let spread = json!([{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels()}}]);
    let pod = json!({
        "metadata": {
            "labels": labels(),
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": PORT.to_string(), "prometheus.io/path": "/metrics"},
        },
        "spec": {
            "serviceAccountName": NAME,
            "priorityClassName": "system-cluster-critical",
            // Work under way gets 20 s, statuses 5 s; the Lease is given back at the end.
            "terminationGracePeriodSeconds": 40,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "topologySpreadConstraints": spread,
            "containers": [container],
        },
    });
    vec![
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {"replicas": 2, "selector": {"matchLabels": labels()}, "template": pod}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {
            "selector": labels(), "ports": [{"name": "xds", "port": XDS_PORT, "targetPort": "xds", "appProtocol": "kubernetes.io/h2c"}],
        }}),
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata,
            "spec": {"minAvailable": 1, "selector": {"matchLabels": labels()}}}),
    ]
}

/// Kinds whose `status` we write.
pub const REPORTED: [Kind; 9] = [
    Kind::GatewayClass,
    Kind::Gateway,
    Kind::ListenerSet,
    Kind::HttpRoute,
    Kind::GrpcRoute,
    Kind::TlsRoute,
    Kind::TcpRoute,
    Kind::UdpRoute,
    Kind::BackendTlsPolicy,
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
    // Proxies of a Gateway that identify themselves by a token do so by that of its ServiceAccount, in its namespace.
    rules.push(
        json!({"apiGroups": [Kind::ServiceAccount.group()], "resources": [Kind::ServiceAccount.plural()], "verbs": ["create", "patch"]}),
    );
    rules.push(json!({"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}));
    // Events are told about objects in every namespace; one that happens again is counted on.
    rules.push(json!({"apiGroups": [EVENTS_GROUP], "resources": ["events"], "verbs": ["create", "patch"]}));
    rules
}
