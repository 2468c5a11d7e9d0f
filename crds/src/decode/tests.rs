//! Tests of tolerant decoding.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    gateway::{Gateway, GrpcRoute, HttpRoute, ListenerSet, ReferenceGrant, TlsRoute},
    kubernetes::{Secret, Service},
    normal::{RouteFilter, RouteMatches},
};

fn http_route(spec: Value) -> Value {
    json!({ "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": { "name": "web", "namespace": "apps" }, "spec": spec })
}

fn path(value: &str) -> Value {
    json!({ "path": { "type": "PathPrefix", "value": value } })
}

/// The only defect, as path and scope.
fn only<K>(decoded: &Decoded<K>) -> (&str, CutScope) {
    match decoded.defects.as_slice() {
        [defect] => (&defect.path, defect.cut),
        defects => panic!("{defects:?}"),
    }
}

#[test]
fn a_whole_object_has_no_defects_and_unknown_fields_do_not_matter() {
    let decoded = decode::<HttpRoute>(&http_route(json!({ "newField": { "a": 1 }, "rules": [{ "newer": [], "matches": [path("/")] }] })));
    assert!(decoded.object.is_some() && decoded.is_whole());
}

#[test]
fn an_unknown_filter_is_cut_and_its_rule_is_incomplete() {
    let decoded = decode::<HttpRoute>(&http_route(json!({ "rules": [
        { "matches": [path("/a")], "backendRefs": [{ "name": "a" }] },
        {
            "matches": [path("/b")],
            "filters": [
                { "type": "RequestHeaderModifier", "requestHeaderModifier": { "remove": ["x"] } },
                { "type": "Teleport", "teleport": {} },
            ],
            "backendRefs": [{ "name": "b" }],
        },
    ] })));
    assert_eq!(only(&decoded), ("spec.rules[1].filters[1].type", CutScope::Filter));
    let defect = decoded.defects.first().unwrap();
    assert_eq!(defect.value, "\"Teleport\"");
    assert!(defect.message.contains("unknown variant `Teleport`"), "{}", defect.message);
    let spec = decoded.normal().unwrap();
    let [first, second] = spec.rules.as_slice() else { panic!("{spec:?}") };
    assert!(!first.incomplete);
    assert!(second.incomplete, "it must not serve without its filter");
    assert!(matches!(second.filters.as_slice(), [RouteFilter::RequestHeaderModifier(_)]));
    assert_eq!(spec.defects_under("spec.rules[1]").count(), 1);
    assert_eq!(spec.defects_under("spec.rules[0]").count(), 0);
}

#[test]
fn a_filter_of_a_backend_harms_only_that_backend() {
    let decoded = decode::<HttpRoute>(&http_route(json!({ "rules": [{ "backendRefs": [
        { "name": "a" },
        { "name": "b", "filters": [{ "type": "Teleport" }] },
    ] }] })));
    assert_eq!(only(&decoded), ("spec.rules[0].backendRefs[1].filters[0].type", CutScope::Filter));
    let spec = decoded.normal().unwrap();
    let rule = spec.rules.first().unwrap();
    assert!(!rule.incomplete);
    assert_eq!(rule.backend_refs.iter().map(|it| it.incomplete).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn a_backend_that_is_cut_keeps_its_share() {
    let decoded = decode::<HttpRoute>(&http_route(json!({ "rules": [{ "backendRefs": [
        { "name": 5, "weight": 30 },
        { "name": "b", "weight": 70 },
        { "name": "c", "port": 70000, "weight": 7 },
        { "name": "d", "weight": "many" },
    ] }] })));
    let spec = decoded.normal().unwrap();
    let rule = spec.rules.first().unwrap();
    assert_eq!(rule.backend_refs.iter().map(|it| (it.name.as_str(), it.index, it.weight)).collect::<Vec<_>>(), [("b", 1, 70)]);
    assert_eq!(rule.lost_weight, 30 + 7 + 1);
    assert!(!rule.incomplete);
    let mut paths: Vec<_> = spec.defects.iter().map(|it| it.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["spec.rules[0].backendRefs[0].name", "spec.rules[0].backendRefs[2].port", "spec.rules[0].backendRefs[3].weight"]);
}

#[test]
fn a_match_is_cut_whole_and_the_last_one_takes_its_rule_along() {
    let decoded = decode::<HttpRoute>(&http_route(json!({ "rules": [
        { "matches": [path("/a"), { "path": { "value": "/b" }, "headers": [{ "name": "x", "value": 3 }] }, path("/c")] },
        { "matches": [{ "method": "BREW" }] },
        { "matches": "all" },
        { "name": "last", "matches": [path("/d")] },
    ] })));
    let cuts: Vec<_> = decoded.defects.iter().map(|it| (it.path.as_str(), it.cut)).collect();
    assert_eq!(
        cuts,
        [
            ("spec.rules[0].matches[1].headers[0].value", CutScope::Match),
            ("spec.rules[1].matches[0].method", CutScope::Rule),
            ("spec.rules[2].matches", CutScope::Rule),
        ]
    );
    let spec = decoded.normal().unwrap();
    assert_eq!(spec.rules.iter().map(|it| it.index).collect::<Vec<_>>(), [0, 3]);
    assert_eq!(decoded.indexes.author_index("spec.rules", 1), 3);
    assert_eq!(decoded.indexes.cut("spec.rules"), [1, 2]);
    let RouteMatches::Http(matches) = &spec.rules.first().unwrap().matches else { panic!() };
    assert_eq!(matches.iter().map(|it| it.index).collect::<Vec<_>>(), [0, 2]);
    assert!(spec.rules.iter().all(|it| !it.incomplete));
}

#[test]
fn other_fields_of_a_rule_make_it_incomplete_and_keep_its_matches() {
    for broken in [
        json!({ "matches": [path("/a")], "timeouts": { "request": 10 } }),
        json!({ "matches": [path("/a")], "timeouts": { "request": "10 seconds" } }),
        json!({ "matches": [path("/a")], "timeouts": { "backendRequest": "1d" } }),
        json!({ "matches": [path("/a")], "retry": { "attempts": -1 } }),
        json!({ "matches": [path("/a")], "retry": { "backoff": "soon" } }),
        json!({ "matches": [path("/a")], "sessionPersistence": { "type": "Memory" } }),
        json!({ "matches": [path("/a")], "filters": "none" }),
        json!({ "matches": [path("/a")], "backendRefs": {} }),
        json!({ "matches": [path("/a")], "filters": [{ "type": "RequestRedirect", "requestRedirect": { "statusCode": 200 } }] }),
        json!({ "matches": [path("/a")], "filters": [{ "type": "RequestMirror", "requestMirror": { "backendRef": { "name": "m", "port": 0 } } }] }),
    ] {
        let decoded =
            decode::<HttpRoute>(&http_route(json!({ "rules": [{ "matches": "bad" }, broken.clone(), { "matches": [path("/b")] }] })));
        let spec = decoded.normal().unwrap();
        let [rule, other] = spec.rules.as_slice() else { panic!("{spec:?}") };
        assert!(rule.incomplete && rule.index == 1 && rule.lost_weight == 0, "{broken}: {rule:?}");
        assert!(!other.incomplete && other.index == 2);
        assert_eq!(spec.defects_under("spec.rules[1]").count(), 1, "{broken}: {:?}", spec.defects);
        assert_eq!(spec.defects.len(), 2);
    }
}

#[test]
fn hostnames_never_become_all_hostnames() {
    let some = decode::<HttpRoute>(&http_route(json!({ "hostnames": ["a.example", 5, "b.example"] })));
    assert_eq!(only(&some), ("spec.hostnames[1]", CutScope::Field));
    assert_eq!(some.normal().unwrap().hostnames, ["a.example", "b.example"]);
    let last = decode::<HttpRoute>(&http_route(json!({ "hostnames": [5] })));
    assert_eq!(only(&last), ("spec.hostnames[0]", CutScope::Object));
    assert!(last.object.is_none());
    let several = decode::<HttpRoute>(&http_route(json!({ "hostnames": [5, 6] })));
    assert!(several.object.is_none() && several.defects.len() == 2);
}

#[test]
fn parents_listeners_grants_and_statuses_are_cut_alone() {
    let route = decode::<TlsRoute>(&json!({ "metadata": {}, "spec": {
        "hostnames": ["a.example"], "parentRefs": [{ "name": "a" }, {}, { "name": "b", "port": 0 }, { "name": "c" }], "rules": [],
    }, "status": { "parents": 7 } }));
    let spec = route.normal().unwrap();
    assert_eq!(spec.parent_refs.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    let mut cuts: Vec<_> = spec.defects.iter().map(|it| (it.path.as_str(), it.cut)).collect();
    cuts.sort_unstable();
    assert_eq!(
        cuts,
        [
            ("spec.parentRefs[1]", CutScope::ParentRef),
            ("spec.parentRefs[2].port", CutScope::ParentRef),
            ("status.parents", CutScope::Field)
        ]
    );

    let listeners = json!([
        { "name": "a", "port": 80, "protocol": "HTTP" },
        { "name": "b", "port": "443", "protocol": "HTTPS" },
        { "name": "c", "port": 8080, "protocol": "HTTP", "allowedRoutes": { "namespaces": { "from": "Friends" } } },
        { "name": "d", "port": 70000, "protocol": "HTTP" },
        { "name": "e", "port": 81, "protocol": "HTTP" },
    ]);
    let gateway = decode::<Gateway>(&json!({ "metadata": {}, "spec": { "gatewayClassName": "c", "listeners": listeners } }));
    let set = decode::<ListenerSet>(&json!({ "metadata": {}, "spec": { "parentRef": { "name": "g" }, "listeners": listeners } }));
    let (gateway, set) = (gateway.normal().unwrap(), set.normal().unwrap());
    assert_eq!(gateway.listeners, set.listeners);
    assert_eq!(gateway.listeners.iter().map(|it| (it.index, it.port)).collect::<Vec<_>>(), [(0, 80), (4, 81)]);
    let mut paths: Vec<_> = gateway.defects.iter().map(|it| it.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["spec.listeners[1].port", "spec.listeners[2].allowedRoutes.namespaces.from", "spec.listeners[3].port"]);

    let grant = decode::<ReferenceGrant>(&json!({ "metadata": {}, "spec": {
        "from": [{ "group": "g", "kind": "k", "namespace": "n" }], "to": [{ "group": "", "kind": "Secret", "name": 5 }],
    } }));
    assert_eq!(only(&grant), ("spec.to[0].name", CutScope::Field));
    assert!(grant.object.unwrap().spec.to.is_empty(), "a grant must never become wider");
}

#[test]
fn what_cannot_be_cut_takes_the_object_along() {
    for (raw, at) in [
        (json!({ "metadata": {}, "spec": { "listeners": [], "gatewayClassName": 5 } }), "spec.gatewayClassName"),
        (json!({ "metadata": { "name": [] }, "spec": { "listeners": [], "gatewayClassName": "c" } }), "metadata.name"),
        (json!({ "metadata": {}, "spec": { "gatewayClassName": "c", "listeners": 0 } }), "spec.listeners"),
        (
            json!({ "metadata": {}, "spec": { "gatewayClassName": "c", "listeners": [], "tls": { "frontend": { "default": 1 } } } }),
            "spec.tls.frontend.default",
        ),
        (json!([]), ""),
        (json!(null), ""),
    ] {
        let decoded = decode::<Gateway>(&raw);
        assert!(decoded.object.is_none());
        assert_eq!(only(&decoded), (at, CutScope::Object), "{raw}");
    }
    assert!(decode::<Service>(&json!({ "metadata": {}, "spec": { "ports": [{ "port": "http" }] } })).object.is_none());
}

#[test]
fn secrets_do_not_leak_into_defects() {
    let decoded = decode::<Secret>(&json!({ "kind": "Secret", "metadata": {}, "data": { "tls.key": "not base64: s3cr3t" } }));
    assert!(decoded.object.is_none());
    assert!(!format!("{:?}", decoded.defects).contains("s3cr3t"), "{:?}", decoded.defects);
}

#[test]
fn long_values_are_shortened_between_characters() {
    let decoded = decode::<HttpRoute>(&http_route(json!({ "hostnames": [{ "é": "é".repeat(200) }] })));
    assert_eq!(decoded.defects.first().unwrap().value.chars().count(), SHORT);
}

#[test]
fn paths_are_rewritten_to_the_authors_indexes() {
    let mut indexes = CutIndexes::default();
    indexes.record("spec.rules".into(), 1);
    indexes.record("spec.rules".into(), 1);
    indexes.record("spec.rules[3].filters".into(), 0);
    assert_eq!(indexes.cut("spec.rules"), [1, 2]);
    assert_eq!(indexes.author_path("spec.rules[1].filters[0].type"), "spec.rules[3].filters[1].type");
    assert_eq!(indexes.author_path("spec.rules[0].filters[0]"), "spec.rules[0].filters[0]");
    assert_eq!(indexes.author_path("spec.odd[x"), "spec.odd[x");
}

#[test]
fn a_grpc_route_is_cut_alike() {
    let decoded = decode::<GrpcRoute>(&json!({ "metadata": {}, "spec": { "rules": [
        { "matches": [{ "method": { "service": "a.B", "type": "Fuzzy" } }, { "method": { "service": "a.C" } }] },
    ] } }));
    assert_eq!(only(&decoded), ("spec.rules[0].matches[0].method.type", CutScope::Match));
}

/// A value that no field of a route can have at once: neither text, number, flag, list nor null; and an object only where one with any
/// fields is refused, which is nowhere that a scalar or list stands.
fn broken() -> Value {
    json!({ "broken": true })
}

fn any_match() -> impl Strategy<Value = Value> {
    (prop::option::of("/[a-z]{1,8}"), prop::option::of(Just("GET")), prop::collection::vec("[a-z]{1,5}", 0..3)).prop_map(
        |(path, method, headers)| {
            let headers: Vec<_> = headers.iter().map(|name| json!({ "name": name, "value": "v", "type": "Exact" })).collect();
            let mut it = json!({ "headers": headers });
            if let Some(path) = path {
                it["path"] = json!({ "type": "Exact", "value": path });
            }
            if let Some(method) = method {
                it["method"] = json!(method);
            }
            it
        },
    )
}

fn any_filter() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(
            json!({ "type": "RequestHeaderModifier", "requestHeaderModifier": { "set": [{ "name": "a", "value": "b" }], "remove": ["c"] } })
        ),
        Just(json!({ "type": "RequestRedirect", "requestRedirect": { "scheme": "https", "statusCode": 301, "port": 8443 } })),
        Just(json!({ "type": "URLRewrite", "urlRewrite": { "path": { "type": "ReplacePrefixMatch", "replacePrefixMatch": "/x" } } })),
        Just(json!({ "type": "RequestMirror", "requestMirror": { "backendRef": { "name": "m", "port": 80 }, "percent": 10 } })),
        Just(json!({ "type": "CORS", "cors": { "allowOrigins": ["*"], "allowCredentials": false, "maxAge": 9 } })),
    ]
}

fn any_backend() -> impl Strategy<Value = Value> {
    ("[a-z]{1,6}", 1..65_536, 0..100, prop::collection::vec(any_filter(), 0..2))
        .prop_map(|(name, port, weight, filters)| json!({ "name": name, "port": port, "weight": weight, "filters": filters }))
}

fn any_rule() -> impl Strategy<Value = Value> {
    (
        prop::collection::vec(any_match(), 1..4),
        prop::collection::vec(any_filter(), 0..3),
        prop::collection::vec(any_backend(), 0..4),
        prop::option::of("[1-9]s"),
    )
        .prop_map(|(matches, filters, backends, timeout)| {
            let mut rule = json!({ "matches": matches, "filters": filters, "backendRefs": backends });
            if let Some(timeout) = timeout {
                rule["timeouts"] = json!({ "request": timeout });
                rule["retry"] = json!({ "codes": [500, 503], "attempts": 2, "backoff": "100ms" });
            }
            rule
        })
}

fn any_route() -> impl Strategy<Value = Value> {
    (prop::collection::vec(any_rule(), 1..5), prop::collection::vec("[a-z]{1,6}\\.example", 0..4), 1..4usize).prop_map(
        |(rules, hostnames, parents)| {
            let parents: Vec<_> = (0..parents).map(|it| json!({ "name": format!("gateway-{it}"), "port": 80 })).collect();
            http_route(json!({ "parentRefs": parents, "hostnames": hostnames, "rules": rules }))
        },
    )
}

/// Pointers to every text, number, flag and list below `spec`.
fn places(value: &Value, pointer: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| places(value, &format!("{pointer}/{key}"), found)),
        Value::Array(entries) => {
            found.push(pointer.to_owned());
            entries.iter().enumerate().for_each(|(index, value)| places(value, &format!("{pointer}/{index}"), found));
        }
        _ => found.push(pointer.to_owned()),
    }
}

/// `/spec/rules/0/name` as `spec.rules[0].name`.
fn dotted(pointer: &str) -> String {
    pointer.split('/').skip(1).fold(String::new(), |path, step| match step.parse::<usize>() {
        Ok(index) => format!("{path}[{index}]"),
        Err(_) if path.is_empty() => step.to_owned(),
        Err(_) => format!("{path}.{step}"),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    /// One broken value costs exactly what it belongs to, and the rest is what it would have been.
    #[test]
    fn one_broken_value_is_one_defect_and_the_rest_is_unchanged(route in any_route(), choice in any::<prop::sample::Index>()) {
        let whole = decode::<HttpRoute>(&route);
        prop_assert!(whole.is_whole(), "{:?}", whole.defects);
        let mut pointers = Vec::new();
        places(&route["spec"], "/spec", &mut pointers);
        let pointer = choice.get(&pointers);
        let mut bad = route.clone();
        *bad.pointer_mut(pointer).unwrap() = broken();

        let decoded = decode::<HttpRoute>(&bad);
        prop_assert_eq!(decoded.defects.len(), 1, "{}: {:?}", pointer, decoded.defects);
        let defect = &decoded.defects[0];
        prop_assert_eq!(&defect.path, &dotted(pointer));

        // What must be left, worked out on the raw object by the table in the module's documentation.
        let steps: Vec<&str> = pointer.split('/').skip(1).collect();
        let list_len = |depth: usize| route.pointer(&format!("/{}", steps[..depth].join("/"))).and_then(Value::as_array).map_or(0, Vec::len);
        let (scope, depth) = match steps.as_slice() {
            ["spec", "parentRefs", _, ..] => (CutScope::ParentRef, 3),
            ["spec", "hostnames", _] if list_len(2) > 1 => (CutScope::Field, 3),
            ["spec", "rules", _, "matches", _, ..] if list_len(4) > 1 => (CutScope::Match, 5),
            ["spec", "rules", _, "matches", ..] => (CutScope::Rule, 3),
            ["spec", "rules", _, "filters", _, ..] => (CutScope::Filter, 5),
            ["spec", "rules", _, "backendRefs", _, "filters", _, ..] => (CutScope::Filter, 7),
            ["spec", "rules", _, "backendRefs", _, ..] => (CutScope::BackendRef, 5),
            ["spec", "rules", _, _, ..] => (CutScope::Field, 4),
            _ => (CutScope::Object, 0),
        };
        prop_assert_eq!(defect.cut, scope);
        if scope == CutScope::Object {
            prop_assert!(decoded.object.is_none());
            return Ok(());
        }
        let mut rest = route.clone();
        let (last, parents) = steps[..depth].split_last().unwrap();
        match rest.pointer_mut(&format!("/{}", parents.join("/"))).unwrap() {
            Value::Array(entries) => drop(entries.remove(last.parse().unwrap())),
            Value::Object(map) => drop(map.remove(*last)),
            other => panic!("{other}"),
        }
        prop_assert_eq!(&decoded.object, &decode::<HttpRoute>(&rest).object);

        // The normal form has every surviving rule under its author's index, and marks exactly the one that was harmed.
        let spec = decoded.normal().unwrap();
        let before = whole.normal().unwrap();
        for rule in &spec.rules {
            let was = &before.rules[rule.index];
            let harmed = defect.is_under(&format!("spec.rules[{}]", rule.index));
            let in_rule = harmed && matches!((scope, depth), (CutScope::Filter, 5) | (CutScope::Field, 4));
            prop_assert_eq!(rule.incomplete, in_rule);
            prop_assert_eq!(rule.lost_weight > 0, harmed && scope == CutScope::BackendRef && defect.weight != Some(0));
            prop_assert_eq!(rule.backend_refs.iter().any(|it| it.incomplete), harmed && depth == 7);
            for backend in &rule.backend_refs {
                prop_assert_eq!(&was.backend_refs[backend.index].name, &backend.name);
            }
            if !harmed {
                prop_assert_eq!(rule, was);
            }
        }
        prop_assert_eq!(before.rules.len() - spec.rules.len(), usize::from(scope == CutScope::Rule));
    }

    /// Whatever it is, decoding ends and says what it did.
    #[test]
    fn nonsense_ends(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let odd = Value::from(bytes);
        for raw in [odd.clone(), http_route(odd.clone()), http_route(json!({ "rules": odd, "parentRefs": odd, "hostnames": odd }))] {
            let decoded = decode::<HttpRoute>(&raw);
            prop_assert!(decoded.object.is_some() != decoded.defects.iter().any(|it| it.cut == CutScope::Object));
        }
    }
}
