//! Tests of the normal forms: what is written, with the API's defaults.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::{GATEWAY_GROUP, ObjectRef, decode, gateway};

fn normal<K: Normal + serde::de::DeserializeOwned>(spec: Value) -> K::Spec {
    let decoded = decode::<K>(&json!({ "metadata": { "name": "x", "namespace": "apps" }, "spec": spec }));
    assert!(decoded.is_whole(), "{:?}", decoded.defects);
    decoded.normal().unwrap()
}

fn backend(index: usize, name: &str, port: Option<u16>, weight: u32) -> BackendRef {
    let (group, kind, name) = (String::new(), "Service".to_owned(), name.to_owned());
    BackendRef { index, group, kind, namespace: None, name, port, weight, filters: vec![], incomplete: false }
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.to_owned(), value: value.to_owned() }
}

/// Every filter of HTTPRoute, as it stands in a rule and in a backend, and what it is.
fn filters() -> (Value, Vec<RouteFilter>) {
    let modifier = HeaderModifier { set: vec![header("a", "1")], add: vec![header("b", "2")], remove: vec!["c".into()] };
    let written = json!({ "set": [{ "name": "a", "value": "1" }], "add": [{ "name": "b", "value": "2" }], "remove": ["c"] });
    let raw = json!([
        { "type": "RequestHeaderModifier", "requestHeaderModifier": written },
        { "type": "ResponseHeaderModifier", "responseHeaderModifier": written },
        { "type": "RequestMirror", "requestMirror": { "backendRef": { "name": "m", "port": 80 }, "fraction": { "numerator": 3 } } },
        { "type": "RequestMirror", "requestMirror": { "backendRef": { "name": "m", "port": 80 }, "percent": 42 } },
        { "type": "RequestMirror", "requestMirror": { "backendRef": { "name": "m", "port": 80 } } },
        { "type": "RequestRedirect", "requestRedirect": { "scheme": "https", "path": { "type": "ReplaceFullPath", "replaceFullPath": "/" } } },
        { "type": "RequestRedirect", "requestRedirect": { "hostname": "h", "port": 8443, "statusCode": 308 } },
        { "type": "URLRewrite", "urlRewrite": { "hostname": "h", "path": { "type": "ReplacePrefixMatch", "replacePrefixMatch": "/p" } } },
        { "type": "CORS", "cors": { "allowOrigins": ["https://a"], "allowMethods": ["GET"], "allowCredentials": true } },
        { "type": "ExternalAuth", "externalAuth": {
            "protocol": "HTTP", "backendRef": { "name": "auth", "port": 90 }, "forwardBody": { "maxSize": 9 },
            "http": { "path": "/check", "allowedHeaders": ["x"], "allowedResponseHeaders": ["y"] },
        } },
        { "type": "ExtensionRef", "extensionRef": { "group": "g", "kind": "k", "name": "n" } },
        { "type": "URLRewrite" },
    ]);
    let mirror = |numerator, denominator| {
        RouteFilter::RequestMirror(RequestMirror { backend: backend(0, "m", Some(80), 1), numerator, denominator })
    };
    let redirect = |scheme: Option<&str>, hostname: Option<&str>, path, port, status_code| {
        let (scheme, hostname) = (scheme.map(str::to_owned), hostname.map(str::to_owned));
        RouteFilter::RequestRedirect(RequestRedirect { scheme, hostname, path, port, status_code })
    };
    let expected = vec![
        RouteFilter::RequestHeaderModifier(modifier.clone()),
        RouteFilter::ResponseHeaderModifier(modifier),
        mirror(3, 100),
        mirror(42, 100),
        mirror(1, 1),
        redirect(Some("https"), None, Some(PathModifier::ReplaceFullPath("/".into())), None, 302),
        redirect(None, Some("h"), None, Some(8443), 308),
        RouteFilter::UrlRewrite(UrlRewrite { hostname: Some("h".into()), path: Some(PathModifier::ReplacePrefixMatch("/p".into())) }),
        RouteFilter::Cors(Cors {
            allow_origins: vec!["https://a".into()],
            allow_methods: vec!["GET".into()],
            allow_headers: vec![],
            expose_headers: vec![],
            allow_credentials: true,
            max_age: Duration::from_secs(5),
        }),
        RouteFilter::ExternalAuth(ExternalAuth {
            backend: backend(0, "auth", Some(90), 1),
            protocol: ExternalAuthProtocol::Http { path: Some("/check".into()), allowed_response_headers: vec!["y".into()] },
            allowed_headers: vec!["x".into()],
            forward_body: Some(9),
        }),
        RouteFilter::ExtensionRef(ObjectRef { group: "g".into(), kind: "k".into(), namespace: None, name: "n".into() }),
        RouteFilter::Unknown { r#type: "URLRewrite".into() },
    ];
    (raw, expected)
}

#[test]
fn an_http_route_with_everything() {
    let (raw, expected) = filters();
    let spec = normal::<gateway::HttpRoute>(json!({
        "parentRefs": [{ "name": "g" }, { "group": "", "kind": "Service", "namespace": "n", "name": "s", "sectionName": "l", "port": 80 }],
        "hostnames": ["a.example"],
        "rules": [
            {
                "name": "first",
                "matches": [{
                    "path": { "type": "RegularExpression", "value": "^/x" },
                    "method": "POST",
                    "headers": [{ "name": "X", "value": "1" }, { "name": "x", "value": "2" }, { "name": "y", "type": "RegularExpression", "value": "z" }],
                    "queryParams": [{ "name": "q", "value": "1" }, { "name": "q", "value": "2" }, { "name": "Q", "value": "3" }],
                }],
                "filters": raw,
                "backendRefs": [{ "name": "a", "port": 80, "filters": raw }, { "name": "b", "weight": 0 }],
                "timeouts": { "request": "10s", "backendRequest": "0s" },
                "retry": { "codes": [500, 503] },
                "sessionPersistence": { "type": "Header", "sessionName": "s", "absoluteTimeout": "1h", "cookieConfig": { "lifetimeType": "Permanent" } },
            },
            {},
        ],
    }));
    assert_eq!(spec.defects, []);
    assert_eq!(spec.hostnames, ["a.example"]);
    let parent = |group: &str, kind: &str, namespace: Option<&str>, name: &str, section: Option<&str>, port| ParentRef {
        group: group.into(),
        kind: kind.into(),
        namespace: namespace.map(Into::into),
        name: name.into(),
        section_name: section.map(Into::into),
        port,
    };
    assert_eq!(
        spec.parent_refs,
        [parent(GATEWAY_GROUP, "Gateway", None, "g", None, None), parent("", "Service", Some("n"), "s", Some("l"), Some(80))]
    );
    let exact = |text: &str| StringMatch::Exact(text.to_owned());
    let query = |name: &str, value: &str| QueryParamMatch { name: name.to_owned(), value: exact(value) };
    let first = RouteRule {
        index: 0,
        name: Some("first".into()),
        matches: RouteMatches::Http(vec![HttpRouteMatch {
            index: 0,
            path: PathMatch::Regex("^/x".into()),
            headers: vec![
                HeaderMatch { name: "X".into(), value: exact("1") },
                HeaderMatch { name: "y".into(), value: StringMatch::Regex("z".into()) },
            ],
            query_params: vec![query("q", "1"), query("Q", "3")],
            method: Some("POST".into()),
        }]),
        filters: expected.clone(),
        backend_refs: vec![BackendRef { filters: expected, ..backend(0, "a", Some(80), 1) }, backend(1, "b", None, 0)],
        timeouts: Timeouts { request: Some(Duration::from_secs(10)), backend_request: Some(Duration::ZERO) },
        retry: Some(Retry { codes: vec![500, 503], attempts: 1, backoff: None }),
        session_persistence: Some(SessionPersistence {
            session_name: Some("s".into()),
            r#type: SessionPersistenceType::Header,
            absolute_timeout: Some(Duration::from_secs(3600)),
            idle_timeout: None,
            cookie_lifetime: CookieLifetime::Permanent,
            cookie_path: None,
        }),
        incomplete: false,
        lost_weight: 0,
    };
    let second = RouteRule { index: 1, matches: RouteMatches::Http(vec![HttpRouteMatch::default()]), ..RouteRule::default() };
    assert_eq!(spec.rules, [first, second]);
}

#[test]
fn the_other_routes() {
    let grpc = normal::<gateway::GrpcRoute>(json!({ "rules": [
        { "matches": [{ "method": { "service": "a.B", "method": "C" }, "headers": [{ "name": "h", "value": "v" }] }] },
        { "filters": [{ "type": "RequestMirror", "requestMirror": { "backendRef": { "name": "m" } } }], "backendRefs": [{ "name": "b", "port": 90 }] },
        { "matches": [{ "method": { "service": "", "method": "D" } }] },
    ] }));
    let exact = |text: &str| StringMatch::Exact(text.to_owned());
    let matches: Vec<_> = grpc.rules.iter().map(|it| it.matches.clone()).collect();
    let method = GrpcMethodMatch { service: Some(exact("a.B")), method: Some(exact("C")) };
    let first = GrpcRouteMatch { index: 0, method: Some(method), headers: vec![HeaderMatch { name: "h".into(), value: exact("v") }] };
    let any_service = GrpcMethodMatch { service: None, method: Some(exact("D")) };
    let third = GrpcRouteMatch { method: Some(any_service), ..GrpcRouteMatch::default() };
    let expected = [first, GrpcRouteMatch::default(), third].map(|it| RouteMatches::Grpc(vec![it]));
    assert_eq!(matches, expected);
    assert_eq!(grpc.rules[1].filters.iter().map(RouteFilter::r#type).collect::<Vec<_>>(), ["RequestMirror"]);

    let l4 = json!({ "parentRefs": [{ "name": "g", "port": 53 }], "rules": [{ "name": "r", "backendRefs": [{ "name": "b", "port": 90, "weight": 2 }] }] });
    let mut tls = l4.clone();
    tls["hostnames"] = json!(["a.example"]);
    let (tls, tcp, udp) = (normal::<gateway::TlsRoute>(tls), normal::<gateway::TcpRoute>(l4.clone()), normal::<gateway::UdpRoute>(l4));
    assert_eq!((tls.hostnames.as_slice(), &tcp), (["a.example".to_owned()].as_slice(), &udp));
    assert_eq!((&tls.parent_refs, &tls.rules), (&tcp.parent_refs, &tcp.rules));
    let rule = RouteRule { name: Some("r".into()), backend_refs: vec![backend(0, "b", Some(90), 2)], ..RouteRule::default() };
    assert_eq!(tcp.rules, [rule]);
}

#[test]
fn a_gateway_with_everything() {
    let ca = json!([{ "group": "", "kind": "ConfigMap", "name": "ca", "namespace": "trust" }]);
    let spec = normal::<gateway::Gateway>(json!({
        "gatewayClassName": "c",
        "addresses": [{ "value": "192.0.2.1" }, { "type": "Hostname" }],
        "allowedListeners": { "namespaces": { "from": "Selector", "selector": { "matchLabels": { "a": "b" } } } },
        "infrastructure": { "labels": { "l": "1" }, "annotations": { "a": "2" }, "parametersRef": { "group": "portico.dev", "kind": "LoadBalancerProfile", "name": "p" } },
        "tls": {
            "backend": { "clientCertificateRef": { "name": "client" } },
            "frontend": {
                "default": { "validation": { "caCertificateRefs": ca, "mode": "AllowInsecureFallback" } },
                "perPort": [{ "port": 8443, "tls": {} }],
            },
        },
        "listeners": [
            { "name": "http", "port": 80, "protocol": "HTTP", "hostname": "" },
            {
                "name": "https", "port": 443, "protocol": "HTTPS", "hostname": "*.example",
                "tls": { "certificateRefs": [{ "name": "cert", "namespace": "certs" }], "options": { "o": "p" } },
                "allowedRoutes": { "kinds": [{ "kind": "HTTPRoute" }], "namespaces": { "from": "All" } },
            },
            { "name": "tls", "port": 8443, "protocol": "TLS", "tls": { "mode": "Passthrough" }, "allowedRoutes": { "namespaces": { "from": "Selector" } } },
        ],
    }));
    let secret = |name: &str, namespace: Option<&str>| SecretRef {
        group: String::new(),
        kind: "Secret".into(),
        namespace: namespace.map(Into::into),
        name: name.into(),
    };
    assert_eq!(
        spec.addresses.iter().map(|it| (it.r#type.as_str(), it.value.as_deref())).collect::<Vec<_>>(),
        [("IPAddress", Some("192.0.2.1")), ("Hostname", None)]
    );
    let labels = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    assert!(
        spec.allowed_listeners.from.allows("own", "other", &labels("a", "b"))
            && !spec.allowed_listeners.from.allows("own", "own", &labels("a", "c"))
    );
    assert_eq!(spec.parameters_ref.as_ref().and_then(|it| it.namespace.as_deref()), Some("apps"));
    assert_eq!((spec.labels.len(), spec.annotations.len(), spec.backend_client_certificate.clone()), (1, 1, Some(secret("client", None))));
    assert!(spec.client_validation_on(443).is_some_and(|it| it.insecure_fallback && it.ca_certificates.len() == 1));
    assert!(spec.client_validation_on(8443).is_none());
    let [http, https, tls] = spec.listeners.as_slice() else { panic!("{spec:?}") };
    assert_eq!((http.hostname.as_deref(), http.tls.as_ref(), &http.allowed_routes), (None, None, &AllowedRoutes::default()));
    assert_eq!((https.hostname.as_deref(), https.allowed_routes.kinds[0].known()), (Some("*.example"), Some(crate::Kind::HttpRoute)));
    let settings = https.tls.as_ref().unwrap();
    assert_eq!(
        (settings.mode, settings.certificate_refs.as_slice(), settings.options.len()),
        (TlsMode::Terminate, [secret("cert", Some("certs"))].as_slice(), 1)
    );
    assert_eq!(tls.tls.as_ref().map(|it| it.mode), Some(TlsMode::Passthrough));
    assert_eq!(tls.allowed_routes.from, FromNamespaces::None, "a selector that is not there selects nothing");
}

/// What the generated types do not have is read from the raw object.
#[test]
fn fields_that_are_newer_than_the_types() {
    let completed = |session: Value| {
        let raw = json!({ "metadata": { "name": "x" }, "spec": { "rules": [{}, { "sessionPersistence": session }] } });
        let mut spec = decode::<gateway::HttpRoute>(&raw).normal().unwrap();
        spec.complete(&raw);
        spec
    };
    let spec = completed(
        json!({ "type": "Cookie", "absoluteTimeout": "1h", "cookie": { "name": "c", "path": "/p", "lifetimeType": "Permanent" } }),
    );
    let expected = SessionPersistence {
        session_name: Some("c".into()),
        r#type: SessionPersistenceType::Cookie,
        absolute_timeout: Some(Duration::from_secs(3600)),
        idle_timeout: None,
        cookie_lifetime: CookieLifetime::Permanent,
        cookie_path: Some("/p".into()),
    };
    assert_eq!((spec.rules[1].session_persistence.as_ref(), spec.defects.as_slice()), (Some(&expected), [].as_slice()));
    let header = completed(json!({ "type": "Header", "header": { "name": "h" }, "cookie": { "name": "c" } }));
    assert_eq!(header.rules[1].session_persistence.as_ref().unwrap().session_name.as_deref(), Some("h"));
    let older = completed(json!({ "sessionName": "s" }));
    assert_eq!(older.rules[1].session_persistence.as_ref().unwrap().session_name.as_deref(), Some("s"));
    for (session, path) in [
        (json!({ "cookie": { "lifetimeType": "Eternal" } }), "spec.rules[1].sessionPersistence.cookie.lifetimeType"),
        (json!({ "cookie": { "name": 3 } }), "spec.rules[1].sessionPersistence.cookie.name"),
        (json!({ "cookie": "c" }), "spec.rules[1].sessionPersistence.cookie"),
        (json!({ "type": "Header", "header": ["h"] }), "spec.rules[1].sessionPersistence.header"),
    ] {
        let spec = completed(session);
        assert_eq!((spec.defects[0].path.as_str(), spec.rules[0].incomplete, spec.rules[1].incomplete), (path, false, true));
    }
}

#[test]
fn filters_of_listeners() {
    let completed = |filters: Value| {
        let listeners = json!([{ "name": "a", "port": "none", "protocol": "HTTP" }, { "name": "b", "port": 80, "protocol": "HTTP", "filters": filters }]);
        let raw = json!({ "metadata": { "name": "x", "namespace": "n" }, "spec": { "gatewayClassName": "c", "listeners": listeners } });
        let decoded = decode::<gateway::Gateway>(&raw);
        let mut spec = decoded.normal().unwrap();
        spec.complete(&raw);
        spec.listeners.remove(0).filters
    };
    let auth = json!({ "type": "ExternalAuth", "externalAuth": { "protocol": "GRPC", "backendRef": { "name": "auth", "port": 90 } } });
    let expected = ExternalAuth {
        backend: backend(0, "auth", Some(90), 1),
        protocol: ExternalAuthProtocol::Grpc,
        allowed_headers: vec![],
        forward_body: None,
    };
    assert_eq!(completed(json!({ "requests": [auth] })), Ok(vec![RouteFilter::ExternalAuth(expected)]));
    for nothing in [Value::Null, json!({}), json!({ "requests": [] })] {
        assert_eq!(completed(nothing), Ok(vec![]));
    }
    for (filters, path) in [
        (json!({ "requests": "all" }), "spec.listeners[1].filters"),
        (json!({ "requests": [auth, { "type": "CORS", "cors": {} }] }), "spec.listeners[1].filters.requests[1].type"),
        (json!({ "requests": [{ "type": "ExternalAuth" }] }), "spec.listeners[1].filters.requests[0]"),
        (
            json!({ "requests": [{ "type": "ExternalAuth", "externalAuth": { "protocol": "GRPC", "backendRef": { "name": "auth", "port": 0 } } }] }),
            "spec.listeners[1].filters.requests[0].externalAuth.backendRef.port",
        ),
        (
            json!({ "requests": [{ "type": "ExternalAuth", "externalAuth": { "protocol": "SMTP", "backendRef": { "name": "auth" } } }] }),
            "spec.listeners[1].filters.requests[0].externalAuth.protocol",
        ),
    ] {
        assert_eq!(completed(filters.clone()).map_err(|defect| defect.path), Err(path.to_owned()), "{filters}");
    }
}
