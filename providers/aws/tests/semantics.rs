//! What compile produces answers any request as the plan says: an evaluator of plans against one of stacks, which share no code with compile or with one another.

mod plan_side;
pub mod request;
pub mod stack_side;

use crate::plans::{cluster, plan};
use portico_aws::compile_within;
use portico_aws::observed::Limits;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use request::{Answer, Request};
use serde_json::{Value, json};

const HOSTS: [&str; 4] = ["a.example.com", "b.example.com", "*.example.com", "c.org"];
const PATHS: [&str; 8] = ["/", "/a", "/a/b", "/ab", "/a.b", "/a*", "/b", "/a/b/c"];

fn some<T: Clone + std::fmt::Debug + 'static>(values: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(values)
}

fn path_match() -> impl Strategy<Value = Value> {
    prop_oneof![
        some(&PATHS).prop_map(|path| json!({ "prefix": path })),
        some(&PATHS).prop_map(|path| json!({ "exact": path })),
        some(&["/[ab]", "/a/.*", "/a(b|/b)?", ".*b"]).prop_map(|path| json!({ "regularExpression": path })),
    ]
}

fn headers() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        some(&["1", "One", "a.b", "a*"]).prop_map(|value| json!({ "exact": value })),
        some(&["[0-9]", "O.*"]).prop_map(|value| json!({ "regularExpression": value })),
    ];
    prop::collection::btree_map(some(&["x", "y", "z"]), value, 0..3)
        .prop_map(|headers| headers.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect::<Vec<_>>().into())
}

fn query() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(some(&["1", "2"]), some(&["7", "*"]), 0..2).prop_map(|parameters| {
        parameters.into_iter().map(|(name, value)| json!({ "name": name, "value": { "exact": value } })).collect::<Vec<_>>().into()
    })
}

fn path_modifier() -> impl Strategy<Value = Value> {
    prop_oneof![
        some(&["/", "/new", "/new/deep"]).prop_map(|path| json!({ "replaceFullPath": path })),
        some(&["", "/", "/new", "/new/", "/n.w"]).prop_map(|path| json!({ "replacePrefixMatch": path })),
    ]
}

/// An object without the fields that are null.
fn compact(mut value: Value) -> Value {
    value.as_object_mut().unwrap().retain(|_, field| !field.is_null());
    value
}

fn filter() -> impl Strategy<Value = Value> {
    let maybe = prop::option::of::<BoxedStrategy<Value>>;
    let rewrite = (maybe(Just(json!("inner.example.org")).boxed()), maybe(path_modifier().boxed()))
        .prop_map(|(hostname, path)| json!({ "urlRewrite": compact(json!({ "hostname": hostname, "path": path })) }));
    let redirect = (
        prop::option::of(some(&["http", "https"])),
        prop::option::of(some(&["other.org"])),
        prop::option::of(some(&[80_u16, 8443])),
        maybe(path_modifier().boxed()),
        some(&[301_u16, 302, 307]),
    )
        .prop_map(|(scheme, hostname, port, path, status)| {
            let redirect = json!({ "scheme": scheme, "hostname": hostname, "port": port, "path": path, "statusCode": status });
            json!({ "requestRedirect": compact(redirect) })
        });
    prop_oneof![3 => Just(Value::Null), 2 => rewrite, 2 => redirect, 1 => Just(json!({ "requestHeaderModifier": { "remove": ["x"] } }))]
}

fn backends() -> impl Strategy<Value = Value> {
    let backend = prop_oneof![5 => some(&["team-a/s1:80", "team-a/s2:80", "team-a/s3:80", "team-a/s3:81"]), 1 => Just("invalid")];
    let weight = prop_oneof![Just(0_u32), Just(1), 1..100_u32, Just(1_000_000)];
    prop::collection::vec((weight, backend), 0..4)
        .prop_map(|backends| backends.into_iter().map(|(weight, name)| json!(format!("{weight} x {name}"))).collect::<Vec<_>>().into())
}

fn rule() -> impl Strategy<Value = Value> {
    let hostname = prop::option::of(some(&["a.example.com", "b.example.com", "*.example.com", "c.org"]));
    let method = prop::option::of(some(&["GET", "POST"]));
    (hostname, path_match(), headers(), query(), method, filter(), backends(), prop::option::of(2000..2030_u16)).prop_map(
        |(hostname, path, headers, query, method, filter, backends, year)| {
            let redirects = filter.get("requestRedirect").is_some();
            compact(json!({
                "hostname": hostname,
                "created": year.map(|year| format!("{year}-01-01T00:00:00Z")),
                "http": compact(json!({ "path": path, "headers": headers, "queryParams": query, "method": method })),
                "filters": if filter.is_null() { json!([]) } else { json!([filter]) },
                "backends": if redirects { json!([]) } else { backends },
            }))
        },
    )
}

/// A further match of a rule: how far behind the one before it precedence puts it, and what it has of its own. Most differ from the first in one thing only.
pub fn further_match() -> impl Strategy<Value = (usize, Value)> {
    let hostname = some(&["a.example.com", "b.example.com", "*.example.com", "c.org"]);
    let header = some(&["1", "One", "a.b"]).prop_map(|value| json!({ "headers": [{ "name": "x", "value": { "exact": value } }] }));
    let change = prop_oneof![
        4 => path_match().prop_map(|path| json!({ "http": { "path": path } })),
        2 => some(&["GET", "POST", "PUT"]).prop_map(|method| json!({ "http": { "method": method } })),
        2 => header.prop_map(|http| json!({ "http": http })),
        2 => hostname.prop_map(|hostname| json!({ "hostname": hostname })),
        1 => path_match().prop_map(|path| json!({ "hostname": "b.example.com", "http": { "path": path } })),
    ];
    (0..4_usize, change)
}

/// A rule with its first match, and its further matches.
pub type Matches = (Value, Vec<(usize, Value)>);

/// A rule with further matches, one behind the other.
pub fn rule_of_matches() -> impl Strategy<Value = Matches> {
    (rule(), prop_oneof![1 => Just(Vec::new()), 2 => prop::collection::vec(further_match(), 1..6)])
}

/// The matches of some rules in some order of precedence; `rule` and `match` say which they are.
pub fn spread(rules: Vec<Matches>, first: usize) -> Vec<Value> {
    let mut order: Vec<Value> = Vec::new();
    for (number, (rule, further)) in rules.into_iter().enumerate() {
        let id = |index: usize| json!({ "route": { "kind": "HTTPRoute", "key": "team-a/route" }, "rule": first + number, "match": index });
        let mut place = order.len();
        let mut base = rule;
        base["id"] = id(0);
        order.push(base.clone());
        for (index, (distance, change)) in further.into_iter().enumerate() {
            let mut one = base.clone();
            if let Some(hostname) = change.get("hostname") {
                one["hostname"] = hostname.clone();
            }
            for (field, value) in change.get("http").and_then(Value::as_object).into_iter().flatten() {
                one["http"][field] = value.clone();
            }
            one["id"] = id(index + 1);
            // Behind the last one, or before it.
            place = if index % 2 == 0 { (place + 1 + distance).min(order.len()) } else { place.saturating_sub(distance) };
            order.insert(place, one);
        }
    }
    order
}

/// Listeners of one port, the most specific hostname first, each with some rules whose hostnames it covers.
fn listeners() -> impl Strategy<Value = Value> {
    let rules = || prop::collection::vec(rule_of_matches(), 0..5);
    (prop::bool::ANY, prop::bool::ANY, [rules(), rules(), rules()]).prop_map(|(exact, wildcard, [first, second, third])| {
        let mut listeners = Vec::new();
        let mut number = 0;
        let mut add = |hostname: Option<&str>, rules: Vec<Matches>| {
            let count = rules.len();
            let mut rules = spread(rules, number);
            number += count;
            for rule in &mut rules {
                let fields = rule.as_object_mut().unwrap();
                let covered = match (hostname, fields.get("hostname").and_then(Value::as_str)) {
                    (None, own) => own.map(str::to_owned),
                    (Some("a.example.com"), _) => Some("a.example.com".to_owned()),
                    (Some(wide), Some(own)) if own.ends_with(".example.com") => Some(own.to_owned()).filter(|own| own != wide),
                    (Some(_), _) => None,
                };
                match covered {
                    Some(covered) => drop(fields.insert("hostname".into(), json!(covered))),
                    None => drop(fields.remove("hostname")),
                }
            }
            listeners.push(compact(json!({ "hostname": hostname, "rules": rules })));
        };
        if exact {
            add(Some("a.example.com"), first);
        }
        if wildcard {
            add(Some("*.example.com"), second);
        }
        add(None, third);
        json!({ "ports": [{ "listeners": listeners }] })
    })
}

pub fn request() -> impl Strategy<Value = Request> {
    let host = some(&["a.example.com", "A.Example.com", "b.example.com:8080", "x.y.example.com", "example.com", "c.org", "d.org"]);
    let path = prop_oneof![
        some(&PATHS).prop_map(str::to_owned),
        (some(&PATHS), some(&["/", "/b", "/x/y", "b", "//b", ".b"]))
            .prop_map(|(path, rest)| format!("{}{rest}", path.trim_end_matches('/'))),
    ]
    .prop_map(|path| if path.starts_with('/') { path } else { format!("/{path}") });
    let query = some(&["", "1=7", "2=*&1=7", "1=8", "x=1"]);
    let headers = prop::collection::btree_map(some(&["x", "y", "z"]), some(&["1", "One", "one", "a.b", "axb", "a*", ""]), 0..3);
    (host, path, query, some(&["GET", "POST", "PUT"]), headers).prop_map(|(host, path, query, method, headers)| Request {
        host: host.to_owned(),
        path,
        query: query.to_owned(),
        method: method.to_owned(),
        headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_stack_answers_as_the_plan_says(yaml in listeners(), requests in prop::collection::vec(request(), 40), room in prop_oneof![4 => Just(100_u32), 1 => 0..12_u32]) {
        let plan = plan(&yaml.to_string());
        let limits = Limits { rules_per_load_balancer: room, ..Limits::default() };
        let compiled = compile_within(&cluster(), &plan, &limits.into());
        prop_assert!(compiled.stack.rule_count() <= room as usize);
        // Without the rules that keep listeners apart requests go astray, and a refusal says so.
        let astray = compiled.refusals.iter().any(|refusal| matches!(refusal.subject, portico_providers::Subject::Listener(_)));
        for request in requests.iter().filter(|_| !astray) {
            let expected = plan_side::answer(&plan, &compiled.refusals, request);
            let found = stack_side::answer(&compiled, request);
            prop_assert!(expected.agrees(&found), "{request:?}\nplan says {expected:?}\nstack says {found:?}\n{:#?}", compiled.stack.listeners);
        }
    }
}

/// The plan with each match as a rule of its own, so that none are joined.
fn apart(mut yaml: Value) -> Value {
    let listeners = yaml["ports"][0]["listeners"].as_array_mut().unwrap().iter_mut();
    for (number, rule) in listeners.flat_map(|listener| listener["rules"].as_array_mut().unwrap()).enumerate() {
        rule["id"]["rule"] = json!(number);
        rule["id"]["match"] = json!(0);
    }
    yaml
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn joined_matches_answer_as_each_alone_would(yaml in listeners(), requests in prop::collection::vec(request(), 40)) {
        let plenty = Limits { rules_per_load_balancer: 1000, ..Limits::default() };
        let compiled = |yaml: &Value| compile_within(&cluster(), &plan(&yaml.to_string()), &plenty.into());
        let (joined, alone) = (compiled(&yaml), compiled(&apart(yaml.clone())));
        prop_assert!(joined.stack.rule_count() <= alone.stack.rule_count());
        for listener in &joined.stack.listeners {
            for rule in &listener.rules {
                prop_assert!(stack_side::allowed(rule), "AWS takes no such rule: {rule:?}");
            }
        }
        for request in &requests {
            let (found, expected) = (stack_side::answer(&joined, request), stack_side::answer(&alone, request));
            prop_assert!(expected.agrees(&found), "{request:?}\nalone {expected:?}\njoined {found:?}\n{:#?}\n{:#?}", joined.stack.listeners, alone.stack.listeners);
        }
        // Every match that would be served by a rule of its own is named by the rule that serves it.
        let named = |compiled: &portico_providers::Compiled<portico_aws::Stack>| -> usize {
            let rules = compiled.stack.listeners.iter().flat_map(|listener| &listener.rules);
            rules.flat_map(|rule| &rule.sources).collect::<std::collections::BTreeSet<_>>().len()
        };
        prop_assert_eq!(named(&joined), named(&alone));
    }
}

/// The matches that the generator makes do get joined: a fifth of the rules at least.
#[test]
fn random_rules_are_joined_often() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut joined, mut alone) = (0, 0);
    for _ in 0..200 {
        let yaml = listeners().new_tree(&mut runner).unwrap().current();
        let plenty = Limits { rules_per_load_balancer: 1000, ..Limits::default() };
        joined += compile_within(&cluster(), &plan(&yaml.to_string()), &plenty.into()).stack.rule_count();
        alone += compile_within(&cluster(), &plan(&apart(yaml).to_string()), &plenty.into()).stack.rule_count();
    }
    assert!(joined * 5 < alone * 4, "{alone} rules became {joined}");
}

/// The evaluators themselves tell answers apart.
#[test]
fn a_wrong_stack_is_found_out() {
    let yaml =
        "ports: [{ listeners: [{ rules: [{ http: { path: { prefix: /a } }, backends: [team-a/s1:80] }, { backends: [team-a/s2:80] }] }] }]";
    let plan = plan(yaml);
    let mut compiled = portico_aws::compile(&cluster(), &plan);
    let request = Request { host: HOSTS[0].into(), path: "/a/b".into(), query: String::new(), method: "GET".into(), headers: Vec::new() };
    let expected = plan_side::answer(&plan, &compiled.refusals, &request);
    assert!(matches!(&expected, Answer::Forward { .. }));
    assert!(expected.agrees(&stack_side::answer(&compiled, &request)));
    compiled.stack.listeners[0].rules.reverse();
    assert!(!expected.agrees(&stack_side::answer(&compiled, &request)));
}
