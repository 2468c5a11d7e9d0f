//! Header fields on their way through the load balancer.

use std::{
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::{SignedDuration, Timestamp};

use super::{
    condition::split_port,
    config::{ForwardedFor, LoadBalancerAttributes},
    tls::TlsSession,
};
pub(super) use crate::clock::http_date;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_AMZN_TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// AWS: more addresses in X-Forwarded-For give 463.
const FORWARDED_FOR_LIMIT: usize = 30;
/// AWS: a longer X-Amzn-Trace-Id is made anew (about 7 KB).
const TRACE_ID_LIMIT: usize = 7 * 1024;

/// Headers that belong to one connection and are not passed on. Transfer-Encoding is set anew by the sender of each hop.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Removes the fields that belong to one connection, with those that Connection names.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Whether a request asks for an upgrade to WebSocket, the only one that the load balancer passes on.
pub(super) fn asks_for_websocket(headers: &HeaderMap) -> bool {
    has_token(headers, &header::CONNECTION, "upgrade") && has_token(headers, &header::UPGRADE, "websocket")
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// Removes headers whose names are not `[-A-Za-z0-9]+`.
pub(super) fn remove_invalid_fields(headers: &mut HeaderMap) {
    let invalid: Vec<HeaderName> =
        headers.keys().filter(|name| !name.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')).cloned().collect();
    for name in invalid {
        headers.remove(name);
    }
}

/// Whether X-Forwarded-For holds more addresses than AWS accepts.
pub(super) fn too_many_forwarded_addresses(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(X_FORWARDED_FOR);
    lines.iter().map(|line| 1 + line.as_bytes().iter().filter(|byte| **byte == b',').count()).sum::<usize>() > FORWARDED_FOR_LIMIT
}

/// Sets X-Forwarded-For, -Proto and -Port. The latter two overwrite what the client sent.
pub(super) fn set_forwarded(
    headers: &mut HeaderMap,
    attributes: &LoadBalancerAttributes,
    peer: SocketAddr,
    scheme: &'static str,
    port: u16,
) {
    match attributes.forwarded_for {
        ForwardedFor::Preserve => {}
        ForwardedFor::Remove => {
            headers.remove(X_FORWARDED_FOR);
        }
        ForwardedFor::Append => {
            let mut value = Vec::new();
            for line in headers.get_all(X_FORWARDED_FOR) {
                value.extend_from_slice(line.as_bytes());
                value.extend_from_slice(b", ");
            }
            value.extend_from_slice(client_text(peer, attributes.forwarded_for_client_port).as_bytes());
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.insert(X_FORWARDED_FOR, value);
            }
        }
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    headers.insert(X_FORWARDED_PORT, HeaderValue::from(port));
}

/// Tells the target the client's TLS version and cipher, under the names that the listener gives them. What a client sent under these names goes.
pub(super) fn set_tls(headers: &mut HeaderMap, names: Option<&(String, String)>, session: Option<&TlsSession>) {
    let Some(((version, cipher), session)) = names.zip(session) else { return };
    for (name, value) in [(version, session.version), (cipher, session.cipher)] {
        if let Ok(name) = name.parse::<HeaderName>() {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// The client's address; IPv6 in brackets when the port is shown.
fn client_text(peer: SocketAddr, with_port: bool) -> String {
    if with_port { SocketAddr::new(peer.ip().to_canonical(), peer.port()).to_string() } else { peer.ip().to_canonical().to_string() }
}

/// Sets X-Amzn-Trace-Id.
pub(super) fn set_trace_id(headers: &mut HeaderMap, now: Timestamp, random: u128) {
    let sent = headers.get(X_AMZN_TRACE_ID).and_then(|value| value.to_str().ok());
    if let Ok(value) = HeaderValue::try_from(next_trace_id(sent, now, random)) {
        headers.insert(X_AMZN_TRACE_ID, value);
    }
}

/// X-Amzn-Trace-Id behind the load balancer: a new Root if the client sent none, else a new Self in front; other fields stay.
pub(super) fn next_trace_id(sent: Option<&str>, now: Timestamp, random: u128) -> String {
    // 8 hex digits of time, 24 of randomness.
    let id = format!("1-{:08x}-{:024x}", now.as_second(), random & ((1 << 96) - 1));
    let sent = sent.filter(|value| value.len() <= TRACE_ID_LIMIT).unwrap_or_default();
    let has_root = trace_fields(sent).any(|(key, _)| key.eq_ignore_ascii_case("Root"));
    let mut value = format!("{}={id}", if has_root { "Self" } else { "Root" });
    for (key, field) in trace_fields(sent).filter(|(key, _)| !key.eq_ignore_ascii_case("Self")) {
        // Writing to a String cannot fail.
        let _ = write!(value, ";{key}={field}");
    }
    value
}

/// X-Amzn-Trace-Id as it stands.
pub(super) fn trace_id(headers: &HeaderMap) -> Option<String> {
    Some(String::from_utf8_lossy(headers.get(X_AMZN_TRACE_ID)?.as_bytes()).into_owned())
}

fn trace_fields(value: &str) -> impl Iterator<Item = (&str, &str)> {
    value.split(';').filter_map(|field| field.trim().split_once('='))
}

/// The Host header that targets see, if no transform rewrote it: unchanged if preserved; else without port on the scheme's default port, with the
/// listener's port on another.
pub(super) fn outgoing_host(host: &str, preserve: bool, listener_port: u16, default_port: u16) -> String {
    if preserve {
        return host.to_owned();
    }
    let (name, _) = split_port(host);
    if listener_port == default_port { name.to_owned() } else { format!("{name}:{listener_port}") }
}

/// `Set-Cookie` value of one of the load balancer's cookies: AWS fixes Expires at seven days and enforces the duration inside the value.
pub(super) fn set_cookie(name: &str, value: &str, now: Timestamp, cross_site: bool) -> Option<HeaderValue> {
    let expires = http_date(now.checked_add(SignedDuration::from_hours(7 * 24)).unwrap_or(now));
    let suffix = if cross_site { "; SameSite=None; Secure" } else { "" };
    HeaderValue::try_from(format!("{name}={value}; Expires={expires}; Path=/{suffix}")).ok()
}

/// The value of a cookie of the request.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// Whether a response sets a cookie.
pub(super) fn sets_cookie(headers: &HeaderMap, name: &str) -> bool {
    headers
        .get_all(header::SET_COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .any(|line| line.split_once('=').is_some_and(|(key, _)| key.trim() == name))
}

/// The size of the header fields as lines of an HTTP/1.1 message.
pub(super) fn field_sizes(headers: &HeaderMap) -> impl Iterator<Item = usize> {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len())
}

/// Whether an address may be an entry of the allowed sources; IPv4-mapped IPv6 peers count as IPv4.
pub(super) fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests;
