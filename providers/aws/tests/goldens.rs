//! Golden pairs: a plan (`NAME.in.yaml`) and what compile makes of it (`NAME.out.yaml`). `UPDATE_EXPECT=1` rewrites the latter; a review reads the difference.

use crate::plans;
use portico_aws::stack::Stack;
use portico_providers::Compiled;
use serde_json::{Value, json};

#[test]
fn plans_compile_to_their_goldens() {
    let folder = format!("{}/tests/goldens", env!("CARGO_MANIFEST_DIR"));
    let mut inputs: Vec<_> = glob::glob(&format!("{folder}/*.in.yaml")).unwrap().map(Result::unwrap).collect();
    inputs.sort();
    assert!(inputs.len() >= 70, "{} goldens", inputs.len());
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    for input in inputs {
        let yaml = std::fs::read_to_string(&input).unwrap();
        let plan = plans::plan(&yaml);
        let compiled = portico_aws::compile_within(&plans::cluster(), &plan, &plans::account(&yaml));
        let again: Stack = serde_json::from_value(serde_json::to_value(&compiled.stack).unwrap()).unwrap();
        assert_eq!(again, compiled.stack, "{}: the stack does not survive serialisation", input.display());
        let text = serde_saphyr::to_string(&shown(compiled, yaml.starts_with("# Whole"))).unwrap();
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
fn shown(compiled: Compiled<Stack>, whole: bool) -> Value {
    let default = portico_aws::compile(&plans::cluster(), &plans::plan("ports: []"));
    let mut stack = serde_json::to_value(&compiled.stack).unwrap();
    let usual = serde_json::to_value(&default.stack).unwrap();
    if whole {
        return json!({ "stack": stack, "refusals": compiled.refusals, "bindings": compiled.bindings });
    }
    for key in ["cluster", "unit", "backendAccess", "loadBalancer", "securityGroup"] {
        strip(&mut stack, &usual, key);
    }
    for group in stack.get_mut("targetGroups").and_then(Value::as_array_mut).into_iter().flatten() {
        let group = group.as_object_mut().unwrap();
        group.remove("healthCheck");
        group.remove("attributes");
    }
    let refusals: Vec<_> =
        compiled.refusals.iter().map(|refusal| json!({ "subject": refusal.subject, "says": refusal.to_string() })).collect();
    json!({ "stack": stack, "refusals": refusals, "bindings": compiled.bindings })
}

/// Leaves out what is as usual.
fn strip(stack: &mut Value, usual: &Value, key: &str) {
    if stack.get(key) == usual.get(key) {
        stack.as_object_mut().unwrap().remove(key);
        return;
    }
    let Some(usual) = usual.get(key).and_then(Value::as_object) else { return };
    if let Some(fields) = stack.get_mut(key).and_then(Value::as_object_mut) {
        fields.retain(|name, value| usual.get(name) != Some(value));
    }
}
