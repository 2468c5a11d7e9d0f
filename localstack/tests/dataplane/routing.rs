//! Which rule answers, and what it makes of the request.

use portico_cloud::dataplane::config::{Action, Condition, Forward, Redirect, Rewrite, TargetStickiness, Transform, WeightedTargetGroup};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::harness::{Backend, Client, World, fixed, forward, get, group, host, path, rule};

#[tokio::test]
async fn the_lowest_priority_number_wins_whatever_the_order() {
    let mut world = World::new();
    let rules = vec![
        rule(30, vec![path(&["/a*"])], fixed("thirty")),
        rule(10, vec![path(&["/a/exact"]), host(&["h.example"])], fixed("ten")),
        rule(20, vec![path(&["/a/*"])], fixed("twenty")),
    ];
    let at = world.serve(rules, fixed("default")).await;
    let mut client = Client::connect(at).await;
    for (host, path, expected) in [
        ("h.example", "/a/exact", "ten"),
        ("other.example", "/a/exact", "twenty"),
        ("h.example", "/a/x", "twenty"),
        ("h.example", "/abc", "thirty"),
        ("h.example", "/b", "default"),
    ] {
        let reply = client.get(host, path).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, expected), "{host}{path}");
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(reply.header("server"), Some("awselb/2.0"));
        assert!(reply.header("date").is_some());
    }
    let counters = world.plane.counters();
    let counted: BTreeMap<_, _> = counters.rules.iter().map(|(rule, count)| (rule.as_str(), *count)).collect();
    assert_eq!(counted, BTreeMap::from([("default-18080", 1), ("rule-10", 1), ("rule-20", 2), ("rule-30", 1)]));
    world.plane.shutdown().await;
}

#[tokio::test]
async fn methods_headers_queries_and_sources_route() {
    let mut world = World::new();
    let rules = vec![
        rule(1, vec![Condition::HttpRequestMethod(vec!["PUT".into()])], fixed("method")),
        rule(
            2,
            vec![Condition::HttpHeader {
                name: "Version".into(),
                values: portico_cloud::dataplane::config::Patterns::Regexes(vec!["^two$".into()]),
            }],
            fixed("header"),
        ),
        rule(
            3,
            vec![Condition::QueryString(vec![portico_cloud::dataplane::config::QueryPattern {
                key: Some("q".into()),
                value: "1*".into(),
            }])],
            fixed("query"),
        ),
        rule(4, vec![Condition::SourceIp(vec!["127.9.9.9/32".parse().unwrap()])], fixed("elsewhere")),
        rule(5, vec![Condition::SourceIp(vec!["127.0.0.0/8".parse().unwrap()]), path(&["/here"])], fixed("source")),
    ];
    let at = world.serve(rules, fixed("default")).await;
    let mut client = Client::connect(at).await;
    for (request, expected) in [
        ("PUT /here HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "method"),
        ("GET / HTTP/1.1\r\nHost: h\r\nVERSION: two\r\n\r\n", "header"),
        ("GET / HTTP/1.1\r\nHost: h\r\nVersion: Two\r\n\r\n", "default"),
        ("GET /?Q=12 HTTP/1.1\r\nHost: h\r\n\r\n", "query"),
        ("GET /here HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 127.9.9.9\r\n\r\n", "source"),
        ("GET http://h/here HTTP/1.1\r\nHost: other\r\n\r\n", "source"),
    ] {
        assert_eq!(client.send(request).await.body, expected, "{request}");
    }
    world.plane.shutdown().await;
}

/// Answers by backend.
async fn spread(at: SocketAddr, count: usize) -> BTreeMap<String, usize> {
    let mut client = Client::connect(at).await;
    let mut spread = BTreeMap::new();
    for _ in 0..count {
        *spread.entry(client.get("h", "/").await.from().to_owned()).or_default() += 1;
    }
    spread
}

#[tokio::test]
async fn weights_divide_the_requests() {
    let (a, b, c) = (Backend::start("a").await, Backend::start("b").await, Backend::start("c").await);
    let mut world = World::new();
    world.groups = vec![group("a", &[a.address]), group("b", &[b.address]), group("c", &[c.address])];
    let at = world.serve(vec![], forward(&[("a", 90), ("b", 10), ("c", 0)])).await;
    let spread = spread(at, 600).await;
    assert!((500..=580).contains(&spread["a"]) && !spread.contains_key("c"), "{spread:?}");
    assert_eq!(spread.values().sum::<usize>(), 600);
    let counted: BTreeMap<_, _> = world.plane.counters().target_groups.into_iter().map(|(id, count)| (id.to_string(), count)).collect();
    assert_eq!(counted["a"], spread["a"] as u64);
    assert_eq!(counted["c"], 0);
    world.plane.shutdown().await;
}

#[tokio::test]
async fn targets_see_the_rewritten_request() {
    let backend = Backend::start("a").await;
    let mut world = World::new();
    world.groups = vec![group("a", &[backend.address])];
    let mut prefix = rule(1, vec![path(&["/pre", "/pre/*"])], forward(&[("a", 1)]));
    prefix.transforms = vec![Transform::UrlRewrite(Rewrite { regex: "^/pre".into(), replace: "/backend".into() })];
    let mut full = rule(2, vec![path(&["/full/*"])], forward(&[("a", 1)]));
    full.transforms = vec![
        Transform::HostHeaderRewrite(Rewrite { regex: "^.*$".into(), replace: "one.example.org".into() }),
        Transform::UrlRewrite(Rewrite { regex: "^[^?]*".into(), replace: "/one".into() }),
    ];
    let mut broken = rule(3, vec![path(&["/broken"])], forward(&[("a", 1)]));
    broken.transforms = vec![Transform::UrlRewrite(Rewrite { regex: "^/".into(), replace: "no slash".into() })];
    let at = world.serve(vec![prefix, full, broken], forward(&[("a", 1)])).await;
    let mut client = Client::connect(at).await;

    let reply = client.get("h.example", "/pre/x?q=1").await;
    reply.assert_line("GET /backend/x?q=1");
    // Not on the default port 80: the listener's port is appended.
    reply.assert_line("host: h.example:18080");
    reply.assert_line("x-forwarded-for: 127.0.0.1");
    reply.assert_line("x-forwarded-proto: http");
    reply.assert_line("x-forwarded-port: 18080");
    assert!(reply.body.contains("x-amzn-trace-id: Root=1-"), "{}", reply.body);
    assert_eq!(reply.header("server"), Some("backend"));

    let reply = client.get("h.example", "/full/y?q=1").await;
    reply.assert_line("GET /one?q=1");
    reply.assert_line("host: one.example.org");
    assert_eq!(client.get("h.example", "/broken").await.status, 500);
    client.get("h.example", "/untouched/../x").await.assert_line("GET /untouched/../x");

    world.load_balancers[0].attributes.preserve_host_header = true;
    world.apply().await;
    client.get("H.example:1234", "/pre").await.assert_line("host: H.example:1234");
    world.plane.shutdown().await;
}

#[tokio::test]
async fn redirects_print_the_port() {
    let redirect = |host: &str, path: &str, query: &str| {
        Action::Redirect(Redirect {
            status: 302,
            protocol: "#{protocol}".into(),
            host: host.into(),
            port: "#{port}".into(),
            path: path.into(),
            query: query.into(),
        })
    };
    let mut world = World::new();
    let mut moved = rule(2, vec![path(&["/old/*"])], redirect("#{host}", "/new/#{path}", "#{query}"));
    moved.transforms = vec![Transform::UrlRewrite(Rewrite { regex: "^/old/([^?]*)".into(), replace: "/$1".into() })];
    let secure = Action::Redirect(Redirect {
        status: 301,
        protocol: "HTTPS".into(),
        host: "#{host}".into(),
        port: "443".into(),
        path: "/#{path}".into(),
        query: "#{query}".into(),
    });
    let rules = vec![rule(1, vec![path(&["/host"])], redirect("example.org", "/#{path}", "")), moved, rule(3, vec![path(&["/s"])], secure)];
    let at = world.serve(rules, fixed("default")).await;
    for (path, status, location) in [
        ("/host?q=1", 302, "http://example.org:18080/host"),
        ("/old/x/y?q=1", 302, "http://h.example:18080/new/x/y?q=1"),
        ("/s?q=1", 301, "https://h.example:443/s?q=1"),
    ] {
        let reply = get(at, "h.example:18080", path).await;
        assert_eq!((reply.status, reply.header("location")), (status, Some(location)));
        assert_eq!(reply.header("server"), Some("awselb/2.0"));
        assert!(reply.body.contains(&format!("<h1>{status} ")));
    }
    world.plane.shutdown().await;
}

#[tokio::test]
async fn the_host_condition_ignores_only_the_listeners_port() {
    let mut world = World::new();
    let at = world.serve(vec![rule(1, vec![host(&["very.example"])], fixed("matched"))], fixed("default")).await;
    for (host, expected) in [("very.example", "matched"), ("very.example:18080", "matched"), ("very.example:1234", "default")] {
        assert_eq!(get(at, host, "/").await.body, expected, "{host}");
    }
    world.plane.shutdown().await;
}

#[tokio::test]
async fn cookies_keep_a_client_with_its_group_and_target() {
    let backends = [Backend::start("a1").await, Backend::start("a2").await, Backend::start("b1").await, Backend::start("b2").await];
    let mut world = World::new();
    world.groups = vec![group("a", &[backends[0].address, backends[1].address]), group("b", &[backends[2].address, backends[3].address])];
    for group in &mut world.groups {
        group.stickiness = Some(TargetStickiness::LoadBalancerCookie { duration: Duration::from_secs(60) });
    }
    let action = Action::Forward(Forward {
        target_groups: ["a", "b"].map(|id| WeightedTargetGroup { target_group: id.into(), weight: 1 }).into(),
        stickiness: Some(Duration::from_secs(60)),
    });
    let at = world.serve(vec![], action).await;
    for group in &world.groups.clone() {
        for target in &group.targets {
            let at = SocketAddr::new(target.address, target.port);
            world.until(group.id.as_str(), at, portico_cloud::dataplane::health::HealthState::Healthy).await;
        }
    }
    let mut met = BTreeMap::<String, usize>::new();
    let mut client = Client::connect(at).await;
    for _ in 0..12 {
        let first = client.get("h", "/").await;
        let cookies = first.cookies();
        for name in ["AWSALB=", "AWSALBCORS=", "AWSALBTG=", "AWSALBTGCORS="] {
            assert!(cookies.contains(name), "{cookies}");
        }
        for _ in 0..6 {
            let again = client.send(&format!("GET / HTTP/1.1\r\nHost: h\r\nCookie: {cookies}\r\n\r\n")).await;
            assert_eq!(again.from(), first.from());
        }
        *met.entry(first.from().to_owned()).or_default() += 1;
    }
    assert!(met.len() >= 3, "without cookies the choice is free: {met:?}");

    // The application's own cookie.
    for group in &mut world.groups {
        group.stickiness = Some(TargetStickiness::ApplicationCookie { name: "SESSION".into(), duration: Duration::from_secs(60) });
    }
    world.listener().default_rule.action = forward(&[("a", 1)]);
    world.apply().await;
    assert_eq!(client.get("h", "/").await.cookies(), "");
    let first = client.get("h", "/cookie").await;
    assert!(first.cookies().contains("AWSALBAPP-0="), "{first:?}");
    for _ in 0..6 {
        let again = client.send(&format!("GET / HTTP/1.1\r\nHost: h\r\nCookie: {}\r\n\r\n", first.cookies())).await;
        assert_eq!(again.from(), first.from());
    }
    world.plane.shutdown().await;
}
