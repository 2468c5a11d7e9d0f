//! Binds pods to the lab's one node: the small part of a scheduler that a lab needs.
//!
//! Honoured: `schedulerName`, scheduling gates, `nodeSelector`, required node affinity, cordons and taints. There is no
//! accounting of resources.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Binding, Node, NodeSelectorRequirement, NodeSelectorTerm, ObjectReference, Pod, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube_client::Api;
use kube_client::api::{Patch, PatchParams, PostParams};
use kube_runtime::watcher::Event;
use kube_runtime::{WatchStreamExt, watcher};

use super::Context;

/// Binds every pod that wants to run here, until shutdown. A pod that does not fit is looked at again when the node changes.
pub async fn bind_pods(context: Arc<Context>) {
    let name = &context.config.node_name;
    let unbound = watcher::Config::default().fields("spec.nodeName=,status.phase!=Succeeded,status.phase!=Failed");
    let pods = watcher(Api::<Pod>::all(context.client.clone()), unbound).default_backoff();
    let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let nodes = watcher(Api::<Node>::all(context.client.clone()), only).default_backoff();
    let (mut pods, mut nodes) = (std::pin::pin!(pods), std::pin::pin!(nodes));
    let mut waiting: HashMap<String, Pod> = HashMap::new();
    let mut node: Option<Node> = None;
    loop {
        tokio::select! {
            event = pods.next() => match event {
                Some(Ok(Event::Apply(pod) | Event::InitApply(pod))) => {
                    let uid = pod.metadata.uid.clone().unwrap_or_default();
                    match &node {
                        Some(node) => {
                            if let Some(pod) = consider(&context, node, pod, waiting.get(&uid)).await {
                                waiting.insert(uid, pod);
                            } else {
                                waiting.remove(&uid);
                            }
                        }
                        None => drop(waiting.insert(uid, pod)),
                    }
                }
                Some(Ok(Event::Delete(pod))) => drop(waiting.remove(pod.metadata.uid.as_deref().unwrap_or_default())),
                Some(Ok(Event::Init)) => waiting.clear(),
                Some(Ok(Event::InitDone)) => {}
                Some(Err(error)) => tracing::debug!(%error, "watching unbound pods"),
                None => return,
            },
            event = nodes.next() => match event {
                Some(Ok(Event::Apply(found) | Event::InitApply(found))) => {
                    let same = node.as_ref().is_some_and(|node| node.spec == found.spec && node.metadata.labels == found.metadata.labels);
                    if !same {
                        for (uid, pod) in std::mem::take(&mut waiting) {
                            if let Some(pod) = consider(&context, &found, pod, None).await {
                                waiting.insert(uid, pod);
                            }
                        }
                    }
                    node = Some(found);
                }
                Some(Ok(Event::Delete(_))) => node = None,
                Some(Ok(_)) => {}
                Some(Err(error)) => tracing::debug!(%error, "watching the node"),
                None => return,
            },
            () = context.shutdown.cancelled() => return,
        }
    }
}

/// Binds the pod, or returns it where it has to wait.
async fn consider(context: &Arc<Context>, node: &Node, pod: Pod, former: Option<&Pod>) -> Option<Pod> {
    let spec = pod.spec.as_ref()?;
    let gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
    let ours = spec.scheduler_name.as_deref().is_none_or(|name| name == "default-scheduler");
    if gated || !ours || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    if let Err(reason) = fits(&pod, node) {
        if former.is_none() {
            let message = format!("0/1 nodes are available: {reason}");
            context.warn(&pod, "FailedScheduling", "Scheduling", &message);
            note_unschedulable(context, &pod, &message).await;
        }
        return Some(pod);
    }
    match bind(context, &pod).await {
        Ok(()) => None,
        // Bound by somebody else, or gone.
        Err(kube_client::Error::Api(error)) if error.code == 409 || error.code == 404 => None,
        Err(error) => {
            context.warn(&pod, "FailedBinding", "Binding", &error.to_string());
            Some(pod)
        }
    }
}

async fn bind(context: &Arc<Context>, pod: &Pod) -> Result<(), kube_client::Error> {
    let (name, namespace) = (pod.metadata.name.clone().unwrap_or_default(), pod.metadata.namespace.clone().unwrap_or_default());
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
    let target = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Node".to_owned()),
        name: Some(context.config.node_name.clone()),
        ..ObjectReference::default()
    };
    let metadata = ObjectMeta { name: Some(name.clone()), uid: pod.metadata.uid.clone(), ..ObjectMeta::default() };
    let binding = Binding { metadata, target };
    let _: serde_json::Value = pods.create_subresource("binding", &name, &PostParams::default(), &binding).await?;
    let message = format!("Successfully assigned {namespace}/{name} to {}", context.config.node_name);
    context.note(pod, "Scheduled", "Binding", &message);
    Ok(())
}

async fn note_unschedulable(context: &Context, pod: &Pod, message: &str) {
    let Some(name) = pod.metadata.name.as_deref() else { return };
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default());
    let now = Time(jiff::Timestamp::now());
    let condition = serde_json::json!({
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message, "lastTransitionTime": now
    });
    let patch = Patch::Strategic(serde_json::json!({"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}}));
    if let Err(error) = pods.patch_status(name, &PatchParams::default(), &patch).await {
        tracing::debug!(%error, pod = name, "noting that the pod cannot be scheduled");
    }
}

/// Whether the pod may run on the node; if not, why.
fn fits(pod: &Pod, node: &Node) -> Result<(), String> {
    let spec = pod.spec.clone().unwrap_or_default();
    let labels = node.metadata.labels.clone().unwrap_or_default();
    let unmatched = "1 node(s) didn't match Pod's node affinity/selector.".to_owned();
    if !spec.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value)) {
        return Err(unmatched);
    }
    let required = spec
        .affinity
        .and_then(|affinity| affinity.node_affinity)
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution);
    if let Some(required) = required
        && !required.node_selector_terms.iter().any(|term| matches_term(term, &labels, node.metadata.name.as_deref().unwrap_or_default()))
    {
        return Err(unmatched);
    }
    let tolerations = spec.tolerations.unwrap_or_default();
    let node_spec = node.spec.clone().unwrap_or_default();
    if node_spec.unschedulable == Some(true) {
        return Err("1 node(s) were unschedulable.".to_owned());
    }
    for taint in node_spec.taints.unwrap_or_default() {
        // Those of the node lifecycle are about this very kubelet, which runs.
        let own = taint.key.starts_with("node.kubernetes.io/");
        let hard = taint.effect == "NoSchedule" || taint.effect == "NoExecute";
        if hard && !own && !tolerations.iter().any(|toleration| tolerates(toleration, &taint)) {
            let value = taint.value.unwrap_or_default();
            return Err(format!("1 node(s) had untolerated taint {{{}: {value}}}.", taint.key));
        }
    }
    Ok(())
}

fn matches_term(term: &NodeSelectorTerm, labels: &BTreeMap<String, String>, name: &str) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let by_name = BTreeMap::from([("metadata.name".to_owned(), name.to_owned())]);
    // Kubernetes: a term without requirements matches nothing.
    !(expressions.is_empty() && fields.is_empty())
        && expressions.iter().all(|requirement| meets(requirement, labels))
        && fields.iter().all(|requirement| meets(requirement, &by_name))
}

fn meets(requirement: &NodeSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&requirement.key);
    let values = requirement.values.as_deref().unwrap_or_default();
    let compare = |wanted: fn(i64, i64) -> bool| {
        let numbers = value.and_then(|value| value.parse().ok()).zip(values.first().and_then(|value| value.parse().ok()));
        numbers.is_some_and(|(value, bound)| wanted(value, bound))
    };
    match requirement.operator.as_str() {
        "In" => value.is_some_and(|value| values.contains(value)),
        "NotIn" => value.is_none_or(|value| !values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => compare(|value, bound| value > bound),
        "Lt" => compare(|value, bound| value < bound),
        _ => false,
    }
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().is_none_or(|effect| effect.is_empty() || effect == taint.effect);
    let key = toleration.key.as_deref().is_none_or(|key| key.is_empty() || key == taint.key);
    let value = toleration.operator.as_deref() == Some("Exists")
        || toleration.value.as_deref().unwrap_or("") == taint.value.as_deref().unwrap_or("");
    effect && key && value
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decide(pod: serde_json::Value, node: serde_json::Value) -> Result<(), String> {
        let pod = serde_json::from_value(json!({"spec": pod})).unwrap();
        let labels = json!({"zone": "a", "size": "7"});
        let node = serde_json::from_value(json!({"metadata": {"name": "n", "labels": labels}, "spec": node})).unwrap();
        fits(&pod, &node)
    }

    fn affinity(requirement: serde_json::Value) -> serde_json::Value {
        let terms = json!({"nodeSelectorTerms": [{"matchExpressions": [requirement]}]});
        json!({"containers": [], "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}})
    }

    #[test]
    fn selectors_and_affinity_are_honoured() {
        let ok = |pod| decide(pod, json!({})).is_ok();
        assert!(ok(json!({"containers": []})));
        assert!(ok(json!({"containers": [], "nodeSelector": {"zone": "a"}})));
        assert!(!ok(json!({"containers": [], "nodeSelector": {"zone": "b"}})));
        assert!(ok(affinity(json!({"key": "zone", "operator": "In", "values": ["a", "b"]}))));
        assert!(!ok(affinity(json!({"key": "zone", "operator": "NotIn", "values": ["a"]}))));
        assert!(ok(affinity(json!({"key": "size", "operator": "Gt", "values": ["6"]}))));
        assert!(!ok(affinity(json!({"key": "none", "operator": "Exists"}))));
    }

    #[test]
    fn cordons_and_taints_are_honoured() {
        let plain = json!({"containers": []});
        assert_eq!(decide(plain.clone(), json!({"unschedulable": true})), Err("1 node(s) were unschedulable.".to_owned()));
        let taint = json!({"taints": [{"key": "team", "value": "x", "effect": "NoSchedule"}]});
        assert!(decide(plain.clone(), taint.clone()).is_err());
        let tolerant = json!({"containers": [], "tolerations": [{"key": "team", "operator": "Exists"}]});
        assert!(decide(tolerant, taint).is_ok());
        assert!(decide(plain, json!({"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]})).is_ok());
    }
}
