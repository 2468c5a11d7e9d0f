//! `load-balancer-troubleshooting.html`: the statuses that the load balancer generates, and "Desync mitigation mode" of
//! `edit-load-balancer-attributes.html`.

use std::net::SocketAddr;

use portico_cloud::dataplane::config::{DesyncMitigation, Reachability};
use tokio::net::TcpListener;

use super::super::harness::{PORT, raw_backend};
use super::{LoadBalancerAttributes, Table, forward, group, request};

/// A request as bytes, the status.
fn requests() -> Vec<(String, u16)> {
    let long = "a".repeat(17_000);
    let addresses = |count: usize| vec!["192.0.2.1"; count].join(", ");
    vec![
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n".into(), 200),
        // 400: "a malformed request", "the request line exceeds 16K, a single header exceeds 16K, or all headers exceed 64K".
        ("rubbish\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n".into(), 400),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nX-Long: {long}\r\n\r\n"), 400),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: h\r\n{}\r\n",
                (0..7).map(|n| format!("X-{n}: {}\r\n", "a".repeat(10_000))).collect::<String>()
            ),
            400,
        ),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nX-Long: {}\r\n\r\n", "a".repeat(10_000)), 200),
        // 405: "a TRACE request".
        ("TRACE / HTTP/1.1\r\nHost: h\r\n\r\n".into(), 405),
        // 414: "the request URL or query string parameters are too large".
        (format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n"), 414),
        (format!("GET /?{long} HTTP/1.1\r\nHost: h\r\n\r\n"), 414),
        // 463: "an X-Forwarded-For request header with too many IP addresses. The upper limit is 30."
        (format!("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {}\r\n\r\n", addresses(30)), 200),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {}\r\n\r\n", addresses(31)), 463),
        // 501: "a Transfer-Encoding header with an unsupported value: supported are chunked and identity".
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n".into(), 501),
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".into(), 200),
        // 505: "an unexpected HTTP version request".
        ("GET / HTTP/3.0\r\nHost: h\r\n\r\n".into(), 505),
    ]
}

#[tokio::test]
async fn of_requests() {
    let mut table = Table::new(PORT).await;
    for (bytes, status) in requests() {
        let reply = table.ask(&bytes).await;
        assert_eq!(reply.status, status, "{}", bytes.chars().take(80).collect::<String>());
        if status != 200 {
            assert_eq!(reply.header("server"), Some("awselb/2.0"), "{reply:?}");
        }
    }
    table.end(15).await;
}

/// What a target does, the status.
#[tokio::test]
async fn of_targets() {
    let mut table = Table::new(PORT).await;
    let refused: SocketAddr = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let large: &'static str =
        Box::leak(format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n", "a".repeat(33_000)).into_boxed_str());
    let rows: [(&str, Option<SocketAddr>, u16); 6] = [
        // 502: TCP RST or FIN while connecting or before the answer, a malformed response, response headers above 32K.
        ("refuses", Some(refused), 502),
        ("closes", Some(raw_backend(b"").await), 502),
        ("is malformed", Some(raw_backend(b"HTTP/1.1 banana\r\n\r\n").await), 502),
        ("has large headers", Some(raw_backend(large.as_bytes()).await), 502),
        // 503: "The target groups for the load balancer have no registered targets".
        ("is not there", None, 503),
        ("answers", Some(table.backend.address), 200),
    ];
    for (what, target, status) in rows {
        let targets: Vec<SocketAddr> = target.into_iter().collect();
        let mut made = group("t", &targets);
        // Every target gets requests.
        made.health_check.enabled = false;
        table.world.groups = vec![made];
        table.rule(vec![], vec![], forward(&[("t", 1)])).await;
        assert_eq!(table.ask(&request("GET h/")).await.status, status, "a target that {what}");
    }
    // 504: "The load balancer failed to establish a connection to the target before the connection timeout expired".
    table.world.groups[0].targets[0].reachability = Reachability::Blocked;
    table.world.apply().await;
    assert_eq!(table.ask(&request("GET h/")).await.status, 504);
    table.end(7).await;
}

/// A request and its status in the modes monitor, defensive and strictest.
const DESYNC: &[(&str, [u16; 3])] = &[
    // Compliant.
    ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", [200, 200, 200]),
    ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab", [200, 200, 200]),
    // Acceptable: allowed but in strictest mode.
    ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", [200, 200, 400]),
    // Ambiguous: allowed, and the connection closed, but in strictest mode.
    ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab", [200, 200, 400]),
    ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab", [200, 200, 400]),
    // Severe: refused but in monitor mode (and where no HTTP parser could make sense of it).
    ("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab", [400, 400, 400]),
];

#[tokio::test]
async fn of_desync_mitigation() {
    let mut table = Table::new(PORT).await;
    for (bytes, statuses) in DESYNC {
        for (mode, status) in
            [DesyncMitigation::Monitor, DesyncMitigation::Defensive, DesyncMitigation::Strictest].into_iter().zip(statuses)
        {
            table.attributes(LoadBalancerAttributes { desync_mitigation: mode, ..LoadBalancerAttributes::default() }).await;
            assert_eq!(table.ask(bytes).await.status, *status, "{mode:?}: {bytes:?}");
        }
    }
    table.end(18).await;
}
