//! The CRDs in the tree are those that the types generate.

use expect_test::expect_file;
use portico_crds::{manifest, v1alpha1};

/// Run with `UPDATE_EXPECT=1` to write the file anew.
#[test]
fn the_yaml_in_the_tree_is_up_to_date() {
    expect_file!["../yaml/loadbalancerprofiles.yaml"].assert_eq(&portico_crds::crd_yaml().unwrap());
}

/// What the API server demands of a structural schema with CEL rules, as far as it can be seen without one: the real one is asked in the lab.
#[test]
fn every_list_map_and_text_under_a_rule_is_bounded() {
    for crd in manifest::read("crds", &portico_crds::crd_yaml().unwrap()).unwrap() {
        let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap();
        unbounded("spec", schema);
    }
}

fn unbounded(path: &str, schema: &serde_json::Value) {
    let has = |field: &str| schema.get(field).is_some();
    match schema.get("type").and_then(serde_json::Value::as_str) {
        Some("array") => assert!(has("maxItems"), "{path} has no maxItems"),
        Some("string") => assert!(has("maxLength") || has("enum"), "{path} has no maxLength"),
        Some("integer") => assert!(has("minimum") && has("maximum"), "{path} has no bounds"),
        Some("object") if has("additionalProperties") => assert!(has("maxProperties"), "{path} has no maxProperties"),
        _ => {}
    }
    for (name, schema) in schema.get("properties").and_then(serde_json::Value::as_object).into_iter().flatten() {
        assert!(schema.get("description").is_some(), "{path}.{name} has no description");
        unbounded(&format!("{path}.{name}"), schema);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(schema) = schema.get(inner) {
            unbounded(&format!("{path}.{inner}"), schema);
        }
    }
}

#[test]
fn the_definition_can_be_lived_with() {
    let [crd] = v1alpha1::crds().try_into().unwrap();
    let names = crd.spec.names;
    assert_eq!(
        (crd.spec.scope.as_str(), names.short_names, names.categories),
        ("Namespaced", Some(vec!["lbp".into()]), Some(vec!["portico".into()]))
    );
    let version = crd.spec.versions.first().unwrap();
    assert!(version.subresources.as_ref().is_some_and(|it| it.status.is_some()));
    assert!(version.additional_printer_columns.as_ref().is_some_and(|it| it.iter().any(|column| column.name == "Accepted")));
}
