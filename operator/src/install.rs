//! `portico manifests`: what installs Portico in a cluster: our CustomResourceDefinitions, the least rights of `portico run`, its Deployment.

use std::collections::BTreeSet;
use std::iter;

use anyhow::Context;
use portico_crds::{Kind, manifest};
use serde_json::{Value, json};

use crate::cli::{ManifestPart, ManifestsArguments, XdsManifestsArguments};
use crate::watch::WATCHED;

/// Name of everything that we install, the Lease included.
const NAME: &str = "portico";

/// Port of `/healthz`, `/readyz` and `/metrics`.
const PORT: u16 = 9402;

/// Port at which Envoy proxies get their configuration.
const XDS_PORT: u16 = 18000;

/// Where the Secrets of `--xds-tls-secret` and `--xds-client-ca-secret` are mounted.
const XDS_TLS: &str = "/var/run/portico/xds-tls";
const XDS_CLIENT_CA: &str = "/var/run/portico/xds-client-ca";

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

/// A Secret that the Deployment mounts: of its keys only those that are needed.
struct SecretMount<'a> {
    name: &'static str,
    path: &'static str,
    secret: &'a str,
    keys: &'static [&'static str],
}

impl SecretMount<'_> {
    fn volume(&self) -> Value {
        let items: Vec<Value> = self.keys.iter().map(|key| json!({"key": key, "path": key})).collect();
        json!({"name": self.name, "secret": {"secretName": self.secret, "items": items}})
    }

    fn mount(&self) -> Value {
        json!({"name": self.name, "mountPath": self.path, "readOnly": true})
    }
}

/// How proxies are served: by which flags of `portico run`, and by which Secrets. By none if they are not.
fn xds(arguments: &XdsManifestsArguments) -> (Vec<String>, Vec<SecretMount<'_>>) {
    let (mut flags, mut mounts) = (Vec::new(), Vec::new());
    if arguments.xds_tls_secret.is_some() || arguments.xds_clear_text {
        flags.push(format!("--xds-listen=0.0.0.0:{XDS_PORT}"));
    }
    if let Some(secret) = &arguments.xds_tls_secret {
        flags.extend([format!("--xds-certificate={XDS_TLS}/tls.crt"), format!("--xds-key={XDS_TLS}/tls.key")]);
        mounts.push(SecretMount { name: "xds-tls", path: XDS_TLS, secret, keys: &["tls.crt", "tls.key"] });
    }
    if let Some(secret) = &arguments.xds_client_ca_secret {
        flags.push(format!("--xds-client-ca={XDS_CLIENT_CA}/ca.crt"));
        mounts.push(SecretMount { name: "xds-client-ca", path: XDS_CLIENT_CA, secret, keys: &["ca.crt"] });
    }
    (flags, mounts)
}

/// Two replicas, of which one leads, and a disruption budget that leaves one.
fn deployment(arguments: &ManifestsArguments, image: &str) -> Vec<Value> {
    let metadata = json!({"name": NAME, "namespace": arguments.namespace, "labels": labels()});
    let mut environment = vec![json!({"name": "PORTICO_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}})];
    environment.extend(arguments.aws_region.iter().map(|region| json!({"name": "AWS_REGION", "value": region})));
    let probe = |path: &str, period: u32| json!({"httpGet": {"path": path, "port": "health"}, "periodSeconds": period});
    let (flags, mounts) = xds(&arguments.xds);
    let serves_proxies = !flags.is_empty();
    let mut ports = vec![json!({"name": "health", "containerPort": PORT})];
    ports.extend(serves_proxies.then(|| json!({"name": "xds", "containerPort": XDS_PORT})));
    let container = json!({
        "name": NAME,
        "image": image,
        "args": iter::once("run".to_owned()).chain(flags).collect::<Vec<_>>(),
        "env": environment,
        "ports": ports,
        "volumeMounts": mounts.iter().map(SecretMount::mount).collect::<Vec<_>>(),
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
            "volumes": mounts.iter().map(SecretMount::volume).collect::<Vec<_>>(),
        },
    });
    let mut objects = vec![json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
        "spec": {"replicas": 2, "selector": {"matchLabels": labels()}, "template": pod}})];
    if serves_proxies {
        objects.push(json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {
            "selector": labels(), "ports": [{"name": "xds", "port": XDS_PORT, "targetPort": "xds"}],
        }}));
    }
    objects.push(json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": metadata,
        "spec": {"minAvailable": 1, "selector": {"matchLabels": labels()}}}));
    objects
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
