//! Condition types and reasons are spelled as Gateway API's Go constants spell them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use portico_crds::condition::*;

use crate::module;

/// The string constants of `apis/v1`, by their Go type.
fn constants() -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in fs::read_dir(module::dir().join("apis/v1")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "go") {
            continue;
        }
        for line in fs::read_to_string(path).unwrap().lines() {
            if let [_, r#type, "=", value] = line.split_whitespace().collect::<Vec<_>>().as_slice()
                && let Some(value) = value.strip_prefix('"').and_then(|it| it.strip_suffix('"'))
            {
                found.entry((*r#type).to_owned()).or_default().insert(value.to_owned());
            }
        }
    }
    found
}

#[test]
fn every_word_is_a_constant_of_gateway_api() {
    let constants = constants();
    let mut checked = 0;
    let mut check = |go: &[&str], words: Vec<&str>, ours: &[&str]| {
        let theirs: BTreeSet<&str> = go.iter().filter_map(|it| constants.get(*it)).flatten().map(String::as_str).collect();
        for word in words {
            assert_ne!(theirs.contains(word), ours.contains(&word), "{word} in {go:?}");
            checked += 1;
        }
    };
    macro_rules! words {
        ($type:ident) => {
            $type::ALL.iter().map(|it| it.as_str()).collect()
        };
    }
    check(&["GatewayClassConditionType"], words!(GatewayClassCondition), &[]);
    check(&["GatewayClassConditionReason"], words!(GatewayClassReason), &[]);
    check(&["GatewayConditionType"], words!(GatewayCondition), &[]);
    check(&["GatewayConditionReason"], words!(GatewayReason), &[]);
    check(&["ListenerConditionType"], words!(ListenerCondition), &[]);
    // InvalidTLSConfig is a word of the implementer's guide; those of filters stand in GEP-5224.
    check(
        &["ListenerConditionReason", "ListenerEntryConditionReason"],
        words!(ListenerReason),
        &["InvalidTLSConfig", "InvalidListenerFilter", "InvalidListenerFilterRef"],
    );
    check(&["ListenerSetConditionType"], words!(ListenerSetCondition), &[]);
    // ParentNotProgrammed stands in the documentation of Programmed, without a constant.
    check(&["ListenerSetConditionReason"], words!(ListenerSetReason), &["ParentNotProgrammed"]);
    check(&["RouteConditionType"], words!(RouteCondition), &[]);
    check(&["RouteConditionReason"], words!(RouteReason), &[]);
    check(&["PolicyConditionType"], words!(PolicyCondition), &[]);
    check(&["PolicyConditionReason"], words!(PolicyReason), &[]);
    assert!(checked > 60, "{checked}");
}
