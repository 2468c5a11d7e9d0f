//! Manifests with HTTPS listeners, whose certificates are the same throughout a run.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use serde_json::json;

use super::scenario::{class, pods, route, service};

/// Secrets by name, hostname and issue.
type Made = BTreeMap<(String, String, u32), String>;

/// A Secret with a certificate for a hostname. The same `issue` of a name has the same certificate whenever it is asked for.
pub fn secret(name: &str, hostname: &str, issue: u32) -> String {
    static MADE: OnceLock<Mutex<Made>> = OnceLock::new();
    let mut made = MADE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let of = (name.to_owned(), hostname.to_owned(), issue);
    made.entry(of).or_insert_with(|| new_secret(name, hostname)).clone()
}

/// A Secret with a new certificate for a hostname.
pub fn new_secret(name: &str, hostname: &str) -> String {
    let made = rcgen::generate_simple_self_signed([hostname.to_owned()]).unwrap();
    let data = json!({ "tls.crt": made.cert.pem(), "tls.key": made.signing_key.serialize_pem() });
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": { "name": name, "namespace": "shop" }, "stringData": data
    });
    format!("{secret}\n---\n")
}

/// The Gateway `shop/edge` with these listeners (flow style).
pub fn gateway(listeners: &[&str]) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge, namespace: shop}}
spec: {{gatewayClassName: alb, listeners: [{}]}}
---
",
        listeners.join(", ")
    )
}

const HTTP: &str = "{name: http, port: 80, protocol: HTTP}";

/// A listener that sends to HTTPS, two HTTPS listeners on one port and one on another, each with a certificate of its own.
pub fn created() -> String {
    [
        class(),
        secret("shop", "shop.example.com", 1),
        secret("news", "news.example.com", 1),
        secret("admin", "admin.example.com", 1),
        gateway(&[
            HTTP,
            "{name: shop, port: 443, protocol: HTTPS, hostname: shop.example.com, tls: {certificateRefs: [{name: shop}]}}",
            "{name: news, port: 443, protocol: HTTPS, hostname: news.example.com, tls: {certificateRefs: [{name: news}]}}",
            "{name: admin, port: 8443, protocol: HTTPS, hostname: admin.example.com, tls: {certificateRefs: [{name: admin}]}}",
        ]),
        service("web", 80),
        pods("web", &[1]),
        route(
            "secure",
            "{name: edge, sectionName: http}",
            "  rules: [{filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}]}]",
        ),
        route("web", "{name: edge, port: 443}, {name: edge, port: 8443}", "  rules: [{backendRefs: [{name: web, port: 80}]}]"),
    ]
    .concat()
}

/// The same, later: one certificate is renewed, one listener has a second certificate and another policy, one certificate has another default in its place, and a port is gone.
pub fn updated() -> String {
    [
        secret("shop", "shop.example.com", 2),
        secret("extra", "extra.example.com", 1),
        secret("more", "more.example.com", 1),
        gateway(&[
            HTTP,
            "{name: shop, port: 443, protocol: HTTPS, hostname: shop.example.com, tls: {certificateRefs: [{name: shop}, {name: extra}], \
             options: {portico.dev/ssl-policy: ELBSecurityPolicy-TLS13-1-3-2021-06}}}",
            "{name: more, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: more}]}}",
        ]),
    ]
    .concat()
}
