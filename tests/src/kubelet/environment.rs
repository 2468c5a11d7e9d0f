//! A container's environment: values, references to fields, resources, Secrets and ConfigMaps, and `$(NAME)` expansion.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVarSource, Pod, ResourceFieldSelector};

use super::references::Lookup;

/// What a pod's fields are read with, beyond the pod itself.
#[derive(Debug, Clone, Copy)]
pub struct PodFacts<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Its address.
    pub pod_ip: &'a str,
    /// The node's address.
    pub host_ip: &'a str,
}

/// Why a value cannot be had (yet). The message is what a user reads on the pod.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unresolved(pub String);

/// The container's environment on top of `base` (the image's and the lab's own), in the order of definition.
pub fn resolve(
    container: &Container,
    facts: PodFacts<'_>,
    lookup: &impl Lookup,
    base: &[(String, String)],
) -> Result<Vec<(String, String)>, Unresolved> {
    let mut env: Vec<(String, String)> = Vec::new();
    for (name, value) in base {
        set(&mut env, name, value.clone());
    }
    let namespace = facts.pod.metadata.namespace.as_deref().unwrap_or_default();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let (data, kind, name, optional) = if let Some(reference) = &source.config_map_ref {
            (lookup.config_map(namespace, &reference.name), "configmap", &reference.name, reference.optional)
        } else if let Some(reference) = &source.secret_ref {
            (lookup.secret(namespace, &reference.name), "secret", &reference.name, reference.optional)
        } else {
            continue;
        };
        match data {
            Some(data) => {
                for (key, value) in data {
                    set(&mut env, &format!("{prefix}{key}"), String::from_utf8_lossy(&value).into_owned());
                }
            }
            None if optional == Some(true) => {}
            None => return Err(Unresolved(format!("{kind} \"{name}\" not found"))),
        }
    }
    for variable in container.env.iter().flatten() {
        let value = match (&variable.value, &variable.value_from) {
            (_, Some(source)) => from_source(source, container, facts, lookup)?,
            (Some(value), None) => Some(expand(value, &env)),
            (None, None) => Some(String::new()),
        };
        if let Some(value) = value {
            set(&mut env, &variable.name, value);
        }
    }
    Ok(env)
}

fn set(env: &mut Vec<(String, String)>, name: &str, value: String) {
    match env.iter_mut().find(|(known, _)| known == name) {
        Some(entry) => entry.1 = value,
        None => env.push((name.to_owned(), value)),
    }
}

fn from_source(
    source: &EnvVarSource,
    container: &Container,
    facts: PodFacts<'_>,
    lookup: &impl Lookup,
) -> Result<Option<String>, Unresolved> {
    let namespace = facts.pod.metadata.namespace.as_deref().unwrap_or_default();
    if let Some(field) = &source.field_ref {
        return self::field(facts, &field.field_path).map(Some);
    }
    if let Some(resource) = &source.resource_field_ref {
        return self::resource(container, resource).map(Some);
    }
    let (data, kind, name, key, optional) = if let Some(selector) = &source.secret_key_ref {
        (lookup.secret(namespace, &selector.name), "secret", &selector.name, &selector.key, selector.optional)
    } else if let Some(selector) = &source.config_map_key_ref {
        (lookup.config_map(namespace, &selector.name), "configmap", &selector.name, &selector.key, selector.optional)
    } else {
        return Err(Unresolved("this source of an environment variable is not supported by the lab's kubelet".to_owned()));
    };
    match data.as_ref().map(|data| data.get(key)) {
        Some(Some(value)) => Ok(Some(String::from_utf8_lossy(value).into_owned())),
        _ if optional == Some(true) => Ok(None),
        Some(None) => Err(Unresolved(format!("couldn't find key {key} in {kind} {namespace}/{name}"))),
        None => Err(Unresolved(format!("{kind} \"{name}\" not found"))),
    }
}

/// Expands `$(NAME)` by what is defined so far; `$$` is an escaped dollar sign, an unknown name stays as it is written.
pub fn expand(text: &str, env: &[(String, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, tail) = rest.split_at(at);
        out.push_str(before);
        if let Some(after) = tail.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = tail.strip_prefix("$(").and_then(|inner| inner.split_once(')')) {
            match env.iter().find(|(known, _)| known == name) {
                Some((_, value)) => out.push_str(value),
                None => out.push_str(&format!("$({name})")),
            }
            rest = after;
        } else {
            out.push('$');
            rest = tail.get(1..).unwrap_or_default();
        }
    }
    out.push_str(rest);
    out
}

/// The value at a field path of the downward API.
pub fn field(facts: PodFacts<'_>, path: &str) -> Result<String, Unresolved> {
    let metadata = &facts.pod.metadata;
    let spec = facts.pod.spec.as_ref();
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let map = match map {
            "metadata.labels" => metadata.labels.as_ref(),
            "metadata.annotations" => metadata.annotations.as_ref(),
            _ => return Err(Unresolved(format!("unsupported fieldPath: {path}"))),
        };
        return Ok(text(map.and_then(|map| map.get(key))));
    }
    Ok(match path {
        "metadata.name" => text(metadata.name.as_ref()),
        "metadata.namespace" => text(metadata.namespace.as_ref()),
        "metadata.uid" => text(metadata.uid.as_ref()),
        "metadata.labels" => format_map(metadata.labels.as_ref()),
        "metadata.annotations" => format_map(metadata.annotations.as_ref()),
        "spec.nodeName" => text(spec.and_then(|spec| spec.node_name.as_ref())),
        "spec.serviceAccountName" => text(spec.and_then(|spec| spec.service_account_name.as_ref())),
        "status.hostIP" | "status.hostIPs" => facts.host_ip.to_owned(),
        "status.podIP" | "status.podIPs" => facts.pod_ip.to_owned(),
        _ => return Err(Unresolved(format!("unsupported fieldPath: {path}"))),
    })
}

/// Labels and annotations as the downward API writes them into a file.
fn format_map(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}")).collect();
    lines.join("\n")
}

/// A container's request or limit, divided and rounded up as the downward API does; a missing one is the node's capacity.
pub fn resource(container: &Container, selector: &ResourceFieldSelector) -> Result<String, Unresolved> {
    let unsupported = || Unresolved(format!("unsupported resource: {}", selector.resource));
    let (kind, name) = selector.resource.split_once('.').ok_or_else(unsupported)?;
    let resources = container.resources.as_ref();
    let quantities = match kind {
        "limits" => resources.and_then(|resources| resources.limits.as_ref()),
        "requests" => resources.and_then(|resources| resources.requests.as_ref()),
        _ => return Err(unsupported()),
    };
    let amount = match (quantities.and_then(|quantities| quantities.get(name)), name) {
        (Some(quantity), _) => milli(&quantity.0).ok_or_else(unsupported)?,
        (None, "cpu") if kind == "limits" => i128::from(super::node::CAPACITY_CPUS) * 1000,
        (None, "memory") if kind == "limits" => i128::from(super::node::CAPACITY_MEMORY_MIB) * 1024 * 1024 * 1000,
        (None, _) => 0,
    };
    let divisor = selector.divisor.as_ref().and_then(|divisor| milli(&divisor.0)).filter(|divisor| *divisor > 0).unwrap_or(1000);
    Ok((amount.saturating_add(divisor - 1) / divisor).to_string())
}

/// A Kubernetes quantity in thousandths.
fn milli(quantity: &str) -> Option<i128> {
    let digits = quantity.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(quantity.len());
    let (number, suffix) = quantity.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let factor: i128 = match suffix {
        "m" => 1,
        "" => 1000,
        "k" => 1_000_000,
        "M" => 1_000_000_000,
        "G" => 1_000_000_000_000,
        "T" => 1_000_000_000_000_000,
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        "Ti" => 1000 << 40,
        _ => return None,
    };
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut amount = whole.checked_mul(factor)?;
    if !fraction.is_empty() {
        let scale = 10i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        amount = amount.checked_add(fraction.parse::<i128>().ok()?.checked_mul(factor)? / scale)?;
    }
    Some(amount)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::references::tests::Fixed;
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn names_expand_and_escapes_do_not() {
        let known = env(&[("A", "1"), ("B", "x y")]);
        for (text, expected) in [
            ("$(A)-$(B)", "1-x y"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$(NONE)", "$(NONE)"),
            ("$A ${A} $(A", "$A ${A} $(A"),
            ("cost: 5$", "cost: 5$"),
            ("", ""),
        ] {
            assert_eq!(expand(text, &known), expected, "{text}");
        }
    }

    #[test]
    fn every_source_resolves_in_order() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "web-1", "namespace": "shop", "uid": "u", "labels": {"app": "web"}},
            "spec": {"nodeName": "n", "serviceAccountName": "sa", "containers": []}
        }))
        .unwrap();
        let container: Container = serde_json::from_value(json!({
            "name": "c",
            "resources": {"limits": {"cpu": "1500m", "memory": "64Mi"}},
            "envFrom": [{"prefix": "P_", "configMapRef": {"name": "settings"}}, {"secretRef": {"name": "gone", "optional": true}}],
            "env": [
                {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                {"name": "MEMORY", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
                {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "login", "key": "password"}}},
                {"name": "MAYBE", "valueFrom": {"secretKeyRef": {"name": "login", "key": "none", "optional": true}}},
                {"name": "URL", "value": "http://$(IP)/$(APP)"},
                {"name": "HOME", "value": "/data"}
            ]
        }))
        .unwrap();
        let lookup =
            Fixed::default().config_map("shop", "settings", &[("mode", "fast")]).secret("shop", "login", &[("password", "s3cret")]);
        let facts = PodFacts { pod: &pod, pod_ip: "198.19.0.2", host_ip: "198.19.0.1" };
        let resolved = resolve(&container, facts, &lookup, &env(&[("HOME", "/"), ("PATH", "/bin")])).unwrap();
        let expected = env(&[
            ("HOME", "/data"),
            ("PATH", "/bin"),
            ("P_mode", "fast"),
            ("POD_NAME", "web-1"),
            ("APP", "web"),
            ("IP", "198.19.0.2"),
            ("CPUS", "2"),
            ("MEMORY", "64"),
            ("PASSWORD", "s3cret"),
            ("URL", "http://198.19.0.2/web"),
        ]);
        assert_eq!(resolved, expected);
    }

    #[test]
    fn what_is_missing_is_named() {
        let pod: Pod = serde_json::from_value(json!({"metadata": {"namespace": "shop"}, "spec": {"containers": []}})).unwrap();
        let facts = PodFacts { pod: &pod, pod_ip: "", host_ip: "" };
        for (source, expected) in [
            (json!({"secretKeyRef": {"name": "login", "key": "password"}}), "secret \"login\" not found"),
            (json!({"configMapKeyRef": {"name": "settings", "key": "b"}}), "couldn't find key b in configmap shop/settings"),
            (json!({"fieldRef": {"fieldPath": "status.phase"}}), "unsupported fieldPath: status.phase"),
        ] {
            let container = serde_json::from_value(json!({"name": "c", "env": [{"name": "X", "valueFrom": source}]})).unwrap();
            let lookup = Fixed::default().config_map("shop", "settings", &[("a", "1")]);
            assert_eq!(resolve(&container, facts, &lookup, &[]), Err(Unresolved(expected.to_owned())));
        }
    }

    #[test]
    fn quantities_are_read_exactly() {
        for (text, expected) in [("1", 1000), ("250m", 250), ("0.5", 500), ("1.5Gi", 1_610_612_736_000), ("2k", 2_000_000)] {
            assert_eq!(milli(text), Some(expected), "{text}");
        }
        assert_eq!(milli("many"), None);
    }
}
