//! Who asks whom for permission, and what comes of the answers: requests through a real Envoy.

use crate::authorizer::Authorizer;
use crate::backend::Backend;
use crate::behaviour::{at, header, serve, target, who};
use crate::client::send;
use std::collections::BTreeMap;

const PLAN: &str = r#"
ports:
  - listeners:
      - name: www
        hostname: www.example.com
        rules:
          - http: { path: { prefix: /grpc } }
            filters: [{ externalAuth: { protocol: { grpc: { allowedHeaders: [] } }, backend: "team-a/first:9000", forwardBodyBytes: 0 } }]
            backends: [team-a/a:80]
          - http: { path: { prefix: /picked } }
            filters: [{ externalAuth: { protocol: { grpc: { allowedHeaders: [X-Seen] } }, backend: "team-a/first:9000", forwardBodyBytes: 4 } }]
            backends: [team-a/a:80]
          - http: { path: { prefix: /http } }
            filters: [{ externalAuth: { protocol: { http: { path: /check, allowedHeaders: [X-Seen], allowedResponseHeaders: [X-Backend] } }, backend: "team-a/auth:80", forwardBodyBytes: 0 } }]
            backends: [team-a/a:80]
          - http: { path: { prefix: /all } }
            filters: [{ externalAuth: { protocol: { http: { path: null, allowedHeaders: [], allowedResponseHeaders: [] } }, backend: "team-a/auth:80", forwardBodyBytes: 0 } }]
            backends: [team-a/a:80]
          - http: { path: { prefix: /nobody } }
            filters: [{ externalAuth: { protocol: { grpc: { allowedHeaders: [] } }, backend: "team-a/none:9000", forwardBodyBytes: 0 } }]
            backends: [team-a/a:80]
          - { http: { path: { prefix: /open } }, backends: [team-a/a:80] }
      - name: asked
        hostname: asked.example.com
        filters:
          - { externalAuth: { protocol: { grpc: { allowedHeaders: [] } }, backend: { service: { service: team-a/first, port: 9000, families: [IPv4] } }, forwardBodyBytes: 0 } }
          - { externalAuth: { protocol: { grpc: { allowedHeaders: [] } }, backend: { service: { service: team-a/second, port: 9000, families: [IPv4] } }, forwardBodyBytes: 0 } }
        rules:
          - hostname: asked.example.com
            http: { path: { prefix: /guarded }, headers: [{ name: x-tenant, value: { exact: gold } }] }
            filters: [{ externalAuth: { protocol: { http: { path: /deny, allowedHeaders: [], allowedResponseHeaders: [] } }, backend: "team-a/auth:80", forwardBodyBytes: 0 } }]
            backends: [team-a/a:80]
          - { hostname: asked.example.com, http: { path: { prefix: / }, headers: [{ name: x-tenant, value: { exact: gold } }] }, backends: [team-a/b:80] }
          - hostname: asked.example.com
            http: { path: { prefix: /cors } }
            filters: [{ cors: { allowOrigins: ["*"], allowCredentials: false, allowMethods: ["*"], allowHeaders: [], maxAgeSeconds: 5 } }]
            backends: [team-a/a:80]
          - { hostname: asked.example.com, backends: [team-a/a:80] }
      - name: turned
        hostname: turned.example.com
        filters:
          - { externalAuth: { protocol: { grpc: { allowedHeaders: [] } }, backend: { service: { service: team-a/second, port: 9000, families: [IPv4] } }, forwardBodyBytes: 0 } }
          - { externalAuth: { protocol: { grpc: { allowedHeaders: [] } }, backend: { service: { service: team-a/first, port: 9000, families: [IPv4] } }, forwardBodyBytes: 0 } }
        rules: [{ hostname: turned.example.com, backends: [team-a/a:80] }]
"#;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Envoy: PORTICO_ENVOY=PATH cargo test -p portico-envoy-xds -- --ignored"]
async fn permission_is_asked_as_filters_say() {
    let (a, b, auth) = (Backend::start("a"), Backend::start("b"), Backend::start("auth"));
    let first = Authorizer::start("first", &[("x-tenant", "gold"), ("host", "evil.example.com"), (":method", "DELETE")]).await;
    let second = Authorizer::start("second", &[]).await;
    let endpoints = BTreeMap::from([
        ("team-a/a", vec![a.at]),
        ("team-a/b", vec![b.at]),
        ("team-a/auth", vec![auth.at]),
        ("team-a/first", vec![first.at]),
        ("team-a/second", vec![second.at]),
    ]);
    let here = "127.92.0.11";
    let served = serve(here, PLAN, &endpoints).await;
    let web = at(here, 80);
    let ask = |host: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        let method = if body.is_empty() { "GET" } else { "POST" };
        send(web, method, &format!("{host}.example.com"), path, headers, body).unwrap()
    };

    // gRPC: all headers or those that are listed, the body as far as it may go, and what the service says of the request is done to it.
    let answer = ask("www", "/grpc/x", &[("x-seen", "1"), ("cookie", "c")], "");
    assert_eq!((who(&answer), target(&answer)), ("a", "GET /grpc/x"));
    assert_eq!((header(&answer, "x-by"), header(&answer, "x-tenant")), (vec!["first"], vec!["gold"]));
    assert_eq!(header(&answer, "host"), ["www.example.com"]);
    let asked = first.last("/grpc/x").unwrap();
    assert_eq!((asked.headers.get("x-seen").map(String::as_str), asked.headers.contains_key("cookie")), (Some("1"), true));
    let answer = ask("www", "/grpc/deny", &[], "");
    assert_eq!((answer.status, answer.body.as_str(), a.seen("/grpc/deny")), (401, "denied by first", 0));
    let answer = ask("www", "/picked/x", &[("x-seen", "1"), ("cookie", "c")], "0123456789");
    assert_eq!((answer.status, header(&answer, "content-length")), (200, vec!["10"]));
    let asked = first.last("/picked/x").unwrap();
    assert_eq!((asked.headers.get("x-seen").map(String::as_str), asked.headers.contains_key("cookie")), (Some("1"), false));
    assert_eq!(asked.body, "0123");

    // HTTP: the path with its prefix, the headers that are listed besides those that always go, and of the answer those that are listed, or all that may be.
    let answer = ask("www", "/http/x", &[("x-seen", "1"), ("cookie", "c"), ("authorization", "me")], "body");
    assert_eq!((who(&answer), target(&answer), header(&answer, "x-backend")), ("a", "POST /http/x", vec!["auth"]));
    assert!(header(&answer, "server").is_empty(), "{}", answer.body);
    let head = auth.asked.lock().unwrap().last().cloned().unwrap();
    for (name, sent) in [
        ("POST /check/http/x HTTP/1.1", true),
        ("x-seen: 1", true),
        ("authorization: me", true),
        ("host: www.example.com", true),
        ("content-length: 0", true),
        ("cookie", false),
    ] {
        assert_eq!(head.contains(name), sent, "{name}: {head}");
    }
    assert_eq!((ask("www", "/http/deny", &[], "").status, a.seen("/http/deny")), (403, 0));
    let answer = ask("www", "/all/x", &[("x-backend", "the client's")], "");
    assert_eq!((answer.status, header(&answer, "x-backend"), header(&answer, "server")), (200, vec!["auth"], vec!["auth"]));
    assert_eq!((header(&answer, "host"), target(&answer)), (vec!["www.example.com"], "GET /all/x"));
    let answer = ask("www", "/all/x", &[], "four");
    assert_eq!((answer.status, header(&answer, "content-length")), (200, vec!["4"]));

    // Nobody to ask: nobody is let pass. Where nothing is asked, nobody is.
    assert_eq!((ask("www", "/nobody", &[], "").status, a.seen("/nobody")), (403, 0));
    let count = first.asked.lock().unwrap().len();
    assert_eq!((ask("www", "/open", &[], "").status, ask("www", "/else", &[], "").status), (200, 404));
    assert_eq!(first.asked.lock().unwrap().len(), count);

    // A listener asks before any route is chosen, in the order of its filters; what comes of it counts for the choice, but never the host.
    let answer = ask("asked", "/x", &[], "");
    assert_eq!((who(&answer), header(&answer, "x-by"), header(&answer, "host")), ("b", vec!["first second"], vec!["asked.example.com"]));
    let answer = ask("turned", "/x", &[], "");
    assert_eq!((who(&answer), header(&answer, "x-by"), header(&answer, "host")), ("a", vec!["second first"], vec!["turned.example.com"]));
    // The rule that is chosen then has a say, too, although another would have been chosen before.
    assert_eq!((ask("asked", "/guarded/x", &[], "").status, auth.seen("/deny/guarded/x"), a.seen("/guarded/x")), (403, 1, 0));
    assert_eq!(ask("asked", "/deny", &[], "").status, 401);
    // So has the listener over what its routes answer by themselves.
    let preflight = [("origin", "https://any.com"), ("access-control-request-method", "PUT")];
    let answer = send(web, "OPTIONS", "asked.example.com", "/cors/deny", &preflight, "").unwrap();
    assert_eq!((answer.status, answer.headers.get("access-control-allow-origin")), (401, None));
    drop(served.proxy);
    served.replica.stop().await;
}
