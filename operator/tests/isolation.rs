//! One bad route among fifty harms nobody, says what is wrong with it, and serves what is right about it.

use std::ops::Range;

use portico_crds::Kind;
use serde_json::{Value, json};

use crate::harness::scenario::{class, gateway, pods, prefix, service};
use crate::harness::{Bench, parse};

/// A bad route: its rules (the second one is good, where there is one), and the path of the field that its status names.
struct Bad {
    name: &'static str,
    spec: Value,
    field: &'static str,
    /// Whether its good rule serves.
    good: bool,
}

fn bad() -> Vec<Bad> {
    let to = |name: &str| json!([{"name": name, "port": 80}]);
    let good = json!({"matches": [{"path": {"type": "PathPrefix", "value": "/good"}}], "backendRefs": to("web")});
    let spec = |rule: Value| json!({"parentRefs": [{"name": "edge"}], "hostnames": ["bad.example.com"], "rules": [rule, good]});
    let ill = json!([{"path": {"type": "PathPrefix", "value": "/ill"}}]);
    vec![
        Bad {
            name: "an unsupported filter",
            spec: spec(
                json!({"matches": ill, "backendRefs": to("web"), "filters": [{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "web", "port": 80}}}]}),
            ),
            field: "rules[0].filters[0]",
            good: true,
        },
        Bad {
            name: "a missing Service",
            spec: spec(json!({"matches": ill, "backendRefs": to("gone")})),
            field: "rules[0].backendRefs[0]",
            good: true,
        },
        Bad {
            name: "an unknown type of filter",
            spec: spec(json!({"matches": ill, "backendRefs": to("web"), "filters": [{"type": "Teleport"}]})),
            field: "rules[0].filters[0].type",
            good: true,
        },
        Bad {
            name: "an unknown type of match",
            spec: spec(json!({"matches": [{"path": {"type": "Fuzzy", "value": "/ill"}}], "backendRefs": to("web")})),
            field: "rules[0].matches[0].path.type",
            good: true,
        },
        Bad { name: "a rule that is no object", spec: spec(json!("web")), field: "rules[0]", good: true },
        Bad {
            name: "rules that are no list",
            spec: json!({"parentRefs": [{"name": "edge"}], "hostnames": ["bad.example.com"], "rules": {"a": 1}}),
            field: "rules",
            good: false,
        },
        Bad { name: "a spec that is no object", spec: json!(7), field: "", good: false },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_route_of_fifty_harms_only_itself() {
    let bench = Bench::start().await;
    let good = |range: Range<u8>, tag: &str, service: &str| {
        range.map(|n| prefix(&format!("r{n}"), "edge", &format!("/{tag}{n}/x"), service)).collect::<String>()
    };
    let base = [class(), gateway("edge"), service("web", 80), pods("web", &[1]), service("api", 80), pods("api", &[2])].concat();

    // Deployed together with all the bad ones, the good ones serve.
    let object = |name: &str, spec: Value| {
        let metadata = json!({"name": name, "namespace": "shop"});
        (Kind::HttpRoute, json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": metadata, "spec": spec}))
    };
    let mut all = parse(&[base, good(0..49, "p", "web")].concat());
    all.extend(bad().into_iter().enumerate().map(|(n, bad)| object(&format!("bad{n}"), bad.spec)));
    bench.change(all, &[]).await;
    for n in 0..49 {
        assert_eq!(bench.request("shop.example.com", &format!("/p{n}/x")).await.0, 200, "/p{n}/x, deployed with bad ones");
    }
    let together = bench.dump().await;
    let names: Vec<_> = (0..bad().len()).map(|n| format!("shop/bad{n}")).collect();
    bench.delete(&names.iter().map(|name| (Kind::HttpRoute, name.as_str())).collect::<Vec<_>>()).await;
    let alone = bench.dump().await;
    check_others(&together, &alone, "all of them");

    for bad in bad() {
        // The others are as if it were not there, and go on changing.
        bench.change(vec![object("bad", bad.spec)], &[]).await;
        check_others(&bench.dump().await, &alone, bad.name);
        for (tag, service, pod) in [("q", "api", "127.77.0.2"), ("p", "web", "127.77.0.1")] {
            bench.change(parse(&good(3..6, tag, service)), &[]).await;
            for (n, wanted) in [(3, pod), (5, pod), (48, "127.77.0.1")] {
                let path = if n == 48 { "/p48/x".to_owned() } else { format!("/{tag}{n}/x") };
                let (status, echo) = bench.request("shop.example.com", &path).await;
                assert_eq!((status, &echo["pod"]), (200, &json!(wanted)), "{}: {path}", bad.name);
            }
        }
        check_others(&bench.dump().await, &alone, bad.name);

        let route = bench.cluster.read(Kind::HttpRoute, &"shop/bad".parse().unwrap()).unwrap();
        let conditions = route.pointer("/status/parents/0/conditions").cloned().unwrap_or_default();
        let says = conditions.as_array().into_iter().flatten().any(|condition| {
            let is_bad = (condition["type"] == "PartiallyInvalid") == (condition["status"] == "True");
            is_bad && condition["message"].as_str().unwrap().contains(bad.field)
        });
        // A route that names no Gateway is nobody's to report on.
        assert!(says || bad.field.is_empty(), "{}: no condition names {}: {conditions:#}", bad.name, bad.field);
        if bad.good {
            let (status, echo) = bench.request("bad.example.com", "/good/x").await;
            assert_eq!((status, &echo["pod"]), (200, &json!("127.77.0.1")), "{}: its good rule", bad.name);
            let (status, echo) = bench.request("bad.example.com", "/ill/x").await;
            assert!(status >= 400, "{}: its bad rule answers {status} {echo}", bad.name);
        }
        bench.delete(&[(Kind::HttpRoute, "shop/bad")]).await;
        assert_eq!(bench.dump().await["cloud"], alone["cloud"], "{}: it left something behind", bad.name);
    }
    bench.end().await;
}

/// Every other route's status is what it was when they were alone, but for its generation.
fn check_others(now: &Value, alone: &Value, bad: &str) {
    let conditions = |dump: &Value, pointer: &str| {
        let all = dump["cluster"].pointer(pointer).and_then(Value::as_array).cloned().unwrap_or_default();
        all.into_iter().map(|condition| (condition["type"].clone(), condition["status"].clone())).collect::<Vec<_>>()
    };
    let routes = (0..49).map(|n| format!("/HTTPRoute shop~1r{n}/status/parents/0/conditions"));
    for pointer in routes.chain(["/Gateway shop~1edge/status/conditions".to_owned()]) {
        assert!(conditions(alone, &pointer).len() > 1, "{pointer}: {}", alone["cluster"]);
        assert_eq!(conditions(now, &pointer), conditions(alone, &pointer), "{bad}: {pointer}");
    }
}
