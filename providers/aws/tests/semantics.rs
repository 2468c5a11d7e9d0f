//! What compile produces answers any request as the plan says: an evaluator of plans against one of stacks, which share no code with compile or with one another.

mod plan_side;
mod request;
mod stack_side;

use crate::plans::{cluster, plan};
use portico_aws::compile_within;
use portico_aws::observed::Limits;
use proptest::prelude::*;
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

/// Listeners of one port, the most specific hostname first, each with some rules whose hostnames it covers.
fn listeners() -> impl Strategy<Value = Value> {
    let rules = || prop::collection::vec(rule(), 0..5);
    (prop::bool::ANY, prop::bool::ANY, [rules(), rules(), rules()]).prop_map(|(exact, wildcard, [first, second, third])| {
        let mut listeners = Vec::new();
        let mut number = 0;
        let mut add = |hostname: Option<&str>, mut rules: Vec<Value>| {
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
                fields.insert("rule".into(), json!(number));
                number += 1;
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

fn request() -> impl Strategy<Value = Request> {
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
