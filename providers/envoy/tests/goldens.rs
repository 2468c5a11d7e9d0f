//! Golden pairs: a plan (`NAME.in.yaml`) and what compile makes of it (`NAME.out.yaml`). `UPDATE_EXPECT=1` rewrites the latter; a review reads the difference.

use crate::plans;
use portico_envoy::Stack;
use portico_providers::Compiled;
use serde_json::{Value, json};

#[test]
fn plans_compile_to_their_goldens() {
    let folder = format!("{}/tests/goldens", env!("CARGO_MANIFEST_DIR"));
    let mut inputs: Vec<_> = glob::glob(&format!("{folder}/*.in.yaml")).unwrap().map(Result::unwrap).collect();
    inputs.sort();
    assert!(inputs.len() >= 40, "{} goldens", inputs.len());
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    for input in inputs {
        let yaml = std::fs::read_to_string(&input).unwrap();
        let compiled = portico_envoy::compile(&plans::cluster(), &plans::plan(&yaml));
        let again: Stack = serde_json::from_value(serde_json::to_value(&compiled.stack).unwrap()).unwrap();
        assert_eq!(again, compiled.stack, "{}: the stack does not survive serialisation", input.display());
        let text = serde_saphyr::to_string(&shown(&compiled, yaml.starts_with("# Whole"))).unwrap();
        let output = input.with_file_name(input.file_name().unwrap().to_str().unwrap().replace(".in.yaml", ".out.yaml"));
        if update {
            std::fs::write(&output, &text).unwrap();
        } else if std::fs::read_to_string(&output).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", output.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a golden shows: what is not as in every stack, or all of it if its first comment says `Whole`.
fn shown(compiled: &Compiled<Stack>, whole: bool) -> Value {
    let mut stack = serde_json::to_value(&compiled.stack).unwrap();
    if whole {
        return json!({ "stack": stack, "refusals": compiled.refusals, "bindings": compiled.bindings });
    }
    let stack = stack.as_object_mut().unwrap();
    for key in ["cluster", "unit", "fleet", "identification", "addresses"] {
        stack.remove(key);
    }
    strip(stack);
    let refusals: Vec<_> =
        compiled.refusals.iter().map(|refusal| json!({ "subject": refusal.subject, "says": refusal.to_string() })).collect();
    let mut shown = json!({ "stack": stack });
    if !refusals.is_empty() {
        shown["refusals"] = refusals.into();
    }
    shown
}

/// Leaves out what is the same in every stack: sources of configuration, limits, the connection manager's manners.
fn strip(object: &mut serde_json::Map<String, Value>) {
    for key in [
        "sds_config",
        "config_source",
        "eds_cluster_config",
        "circuit_breakers",
        "common_lb_config",
        "connect_timeout",
        "per_connection_buffer_limit_bytes",
        "lb_policy",
        "ignore_health_on_host_removal",
        "traffic_direction",
        "http2_protocol_options",
        "common_http_protocol_options",
        "request_headers_timeout",
        "drain_timeout",
        "internal_address_config",
        "normalize_path",
        "upgrade_configs",
        "use_remote_address",
        "preserve_external_request_id",
        "server_header_transformation",
        "ignore_port_in_host_matching",
        "transport_socket_connect_timeout",
    ] {
        let own = match key {
            // Whether HTTP/2 is spoken to a backend is no manner.
            "http2_protocol_options" => !object.contains_key("rds"),
            "drain_timeout" => object.get(key).is_some_and(|it| it != "5s"),
            _ => false,
        };
        if !own {
            object.remove(key);
        }
    }
    if let Some(Value::Array(filters)) = object.get_mut("http_filters") {
        filters.retain(|filter| filter["disabled"] == true);
        if filters.is_empty() {
            object.remove("http_filters");
        }
    }
    for value in object.values_mut() {
        match value {
            Value::Object(inner) => strip(inner),
            Value::Array(list) => list.iter_mut().filter_map(Value::as_object_mut).for_each(strip),
            _ => {}
        }
    }
}
