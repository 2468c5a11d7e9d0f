//! The table of defaults is that of the CRDs.

use std::collections::BTreeSet;

use portico_crds::defaulting::TABLE;

use crate::{module::standard_crds, schema::paths};

#[test]
fn the_table_is_that_of_the_crds() {
    let ours: BTreeSet<String> = TABLE
        .iter()
        .flat_map(|default| {
            let value: serde_json::Value = serde_json::from_str(default.value).unwrap();
            default.kinds.iter().map(move |kind| format!("{kind} {} = {value}", default.path))
        })
        .collect();
    let mut theirs = BTreeSet::new();
    for definition in &standard_crds() {
        paths(&definition.schema, "", &mut |path, schema| {
            if let Some(value) = schema.get("default").filter(|_| path.starts_with("spec.")) {
                theirs.insert(format!("{} {path} = {value}", definition.kind));
            }
        });
    }
    let missing: Vec<_> = theirs.difference(&ours).collect();
    let invented: Vec<_> = ours.difference(&theirs).collect();
    assert!(!theirs.is_empty() && missing.is_empty() && invented.is_empty(), "missing: {missing:#?}\ninvented: {invented:#?}");
}

#[test]
fn enclosing_fields_come_first() {
    for (index, default) in TABLE.iter().enumerate() {
        for later in TABLE.iter().skip(index + 1).filter(|later| later.kinds.iter().any(|kind| default.kinds.contains(kind))) {
            let rest = default.path.strip_prefix(later.path);
            assert!(rest.is_none_or(|rest| !rest.starts_with(['.', '['])), "{} must come before {}", later.path, default.path);
        }
    }
}
