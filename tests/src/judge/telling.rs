//! Whether what is refused is told where its author looks for it: in the conditions of the route, with the field's path.

use serde_json::Value;

use super::bench::CONTROLLER;
use super::evaluator::RuleName;

/// Why an author would not find out that a field of a rule is refused on a Gateway (`NAMESPACE/NAME`); none if it is told.
pub fn untold(objects: &[Value], gateway: &str, rule: &RuleName, field: &str) -> Option<String> {
    let Some(route) = objects.iter().find(|it| text(it, "/kind") == rule.kind.name() && key(it, "/metadata", "") == rule.route) else {
        return Some("its route is not there".to_owned());
    };
    if !field.starts_with(&format!("spec.rules[{}]", rule.rule)) || !exists(route, field) {
        return Some(format!("the route's author has written nothing at {field}"));
    }
    let own = text(route, "/metadata/namespace");
    let parents = route.pointer("/status/parents").and_then(Value::as_array).into_iter().flatten();
    // A ListenerSet's Gateway is the one that it adds to.
    let leads_to = |parent: String, kind: &str| {
        let set = objects.iter().find(|it| kind == "ListenerSet" && text(it, "/kind") == kind && key(it, "/metadata", "") == parent);
        set.map_or(parent, |set| key(set, "/spec/parentRef", text(set, "/metadata/namespace")))
    };
    let of_gateway = |it: &&Value| leads_to(key(it, "/parentRef", own), text(it, "/parentRef/kind")) == gateway;
    let ours = parents.filter(|it| text(it, "/controllerName") == CONTROLLER).filter(of_gateway);
    let conditions: Vec<&Value> = ours.filter_map(|it| it.get("conditions")?.as_array()).flatten().collect();
    let told = conditions.iter().any(|it| {
        // What is refused is a part of the route, or all of it.
        let bad = [("PartiallyInvalid", "True"), ("Accepted", "False")].contains(&(text(it, "/type"), text(it, "/status")));
        bad && text(it, "/message").contains(field)
    });
    let shown = || conditions.iter().map(|it| format!("{}={}: {}", text(it, "/type"), text(it, "/status"), text(it, "/message")));
    (!told).then(|| format!("no condition names {field}; they are {:?}", shown().collect::<Vec<_>>()))
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// `NAMESPACE/NAME` of what has a name and maybe a namespace there.
fn key(value: &Value, place: &str, namespace: &str) -> String {
    let found = text(value, &format!("{place}/namespace"));
    format!("{}/{}", if found.is_empty() { namespace } else { found }, text(value, &format!("{place}/name")))
}

/// Whether an object has something at a path such as `spec.rules[0].matches[1].path`.
fn exists(object: &Value, path: &str) -> bool {
    let pointer = format!("/{}", path.replace("].", "/").replace(['.', '['], "/").replace(']', ""));
    object.pointer(&pointer).is_some_and(|found| !found.is_null())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::api::Kind;
    use super::*;

    fn route(type_: &str, status: &str, message: &str) -> Value {
        json!({"kind": "HTTPRoute", "metadata": {"name": "r", "namespace": "app"},
            "spec": {"rules": [{"matches": [{"path": {"value": "/"}}]}, {"filters": [{"type": "CORS"}]}]},
            "status": {"parents": [{"parentRef": {"name": "edge"}, "controllerName": CONTROLLER,
                "conditions": [{"type": type_, "status": status, "message": message}]}]}})
    }

    fn told(object: &Value, gateway: &str, rule: usize, field: &str) -> bool {
        untold(std::slice::from_ref(object), gateway, &RuleName { kind: Kind::Http, route: "app/r".into(), rule, index: 0 }, field)
            .is_none()
    }

    #[test]
    fn a_refusal_is_told_by_a_bad_condition_of_its_own_parent_that_names_the_field() {
        let good = route("PartiallyInvalid", "True", "Dropped Rule: spec.rules[1].filters[0]: an ALB has no CORS");
        assert!(told(&good, "app/edge", 1, "spec.rules[1].filters[0]"));
        assert!(!told(&good, "app/other", 1, "spec.rules[1].filters[0]"), "another Gateway");
        assert!(!told(&good, "app/edge", 0, "spec.rules[1].filters[0]"), "another rule");
        assert!(!told(&good, "app/edge", 1, "spec.rules[1].filters[1]"), "nothing there");
        assert!(told(&route("Accepted", "False", "spec.rules[0].matches[0].path: no"), "app/edge", 0, "spec.rules[0].matches[0].path"));
        assert!(!told(&route("Accepted", "True", "spec.rules[0].matches[0].path: no"), "app/edge", 0, "spec.rules[0].matches[0].path"));
        assert!(!told(&route("Accepted", "False", "no"), "app/edge", 0, "spec.rules[0].matches[0].path"));
    }
}
