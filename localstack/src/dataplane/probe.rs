//! Health checks that really probe.

use std::{future::Future, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use tokio::{
    io::AsyncWriteExt,
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{either::Either, sync::CancellationToken};

use super::{
    Shared,
    config::{HealthCheck, HealthCheckLog, Matcher, ProtocolVersion, Reachability, TargetProtocol, Timing},
    dial::dial,
    health::{HealthTracker, ProbeOutcome},
    log::{HealthCheckEntry, HealthCheckOutcome},
    network::proxy_protocol_of_checks,
    target::TargetState,
    tls,
};

/// A compressed interval is not shorter than this.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(200);
/// A compressed timeout on a real connection is not shorter than this (or than the configured one): a busy machine is not a dead target.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(1);

/// What to probe and how.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ProbeTarget {
    pub(super) address: SocketAddr,
    pub(super) version: ProtocolVersion,
    pub(super) reachability: Reachability,
    pub(super) check: HealthCheck,
}

/// Probes a target until cancelled, or until it is gone. A changed description is probed at once.
pub(super) async fn watch_target(
    state: Arc<TargetState>,
    generation: u64,
    mut targets: watch::Receiver<ProbeTarget>,
    shared: Arc<Shared>,
    cancel: CancellationToken,
) {
    let mut tracker = HealthTracker::new();
    loop {
        let target = targets.borrow_and_update().clone();
        let started = Instant::now();
        let outcome = tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            changed = targets.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            outcome = probe(&target, &shared) => outcome,
        };
        let (outcome, code) = outcome;
        if let Some(log) = &target.check.log {
            write_log(log, &target, &outcome, code, started.elapsed(), &shared);
        }
        let draining = compressed(target.check.unhealthy_draining, &shared.timing);
        let health = tracker.record(&outcome, &target.check, draining);
        state.publish_probed(generation, health);
        state.prune_pool();
        tokio::select! {
            () = cancel.cancelled() => return,
            changed = targets.changed() => if changed.is_err() { return },
            () = sleep_until(started + compressed(target.check.interval, &shared.timing)) => {}
        }
    }
}

fn compressed(time: Duration, timing: &Timing) -> Duration {
    time.mul_f64(timing.health_check_scale).max(SHORTEST_INTERVAL.min(time))
}

/// Logs a health check.
fn write_log(log: &HealthCheckLog, target: &ProbeTarget, outcome: &ProbeOutcome, code: Option<u32>, latency: Duration, shared: &Shared) {
    let entry = HealthCheckEntry {
        kind: match (target.version, target.check.protocol) {
            (ProtocolVersion::Grpc, _) => "grpc",
            (ProtocolVersion::Http2, _) => "h2",
            (ProtocolVersion::Http1, TargetProtocol::Https) => "https",
            (ProtocolVersion::Http1, _) => "http",
        },
        time: jiff::SignedDuration::try_from(latency).map_or(Timestamp::now(), |latency| Timestamp::now() - latency),
        latency,
        target: target.address,
        target_group: &log.target_group,
        code,
        outcome: match outcome {
            ProbeOutcome::Success => HealthCheckOutcome::Pass,
            ProbeOutcome::Code(_) if target.version == ProtocolVersion::Grpc => HealthCheckOutcome::Fail("GRPCUnexpectedStatus"),
            ProbeOutcome::Code(500..) => HealthCheckOutcome::Fail("TargetError"),
            ProbeOutcome::Code(_) => HealthCheckOutcome::Fail("ResponseCodeMismatch"),
            ProbeOutcome::Timeout => HealthCheckOutcome::Fail("TimedOut"),
            ProbeOutcome::Failed => HealthCheckOutcome::Fail("ConnectionReset"),
        },
        load_balancer: &log.stream.load_balancer,
        node: log.node,
    };
    shared.logs.write(&log.stream, log.node, &entry);
}

/// A probe, with the code of the target's answer.
async fn probe(target: &ProbeTarget, shared: &Shared) -> (ProbeOutcome, Option<u32>) {
    let compressed = target.check.timeout.mul_f64(shared.timing.health_check_scale);
    if target.reachability == Reachability::Blocked {
        sleep(compressed.max(Duration::from_millis(10))).await;
        return (ProbeOutcome::Timeout, None);
    }
    let limit = compressed.max(SHORTEST_TIMEOUT.min(target.check.timeout));
    match timeout(limit, exchange(target, shared.reach(target.address))).await {
        Ok(Some(_)) if target.check.protocol == TargetProtocol::Tcp => (ProbeOutcome::Success, None),
        Ok(Some(code)) if accepts(&target.check.matcher, code) => (ProbeOutcome::Success, Some(code)),
        Ok(Some(code)) => (ProbeOutcome::Code(code), Some(code)),
        Ok(None) => (ProbeOutcome::Failed, None),
        Err(_) => (ProbeOutcome::Timeout, None),
    }
}

type ProbeBody = UnsyncBoxBody<Bytes, std::convert::Infallible>;

/// One request on a connection of its own; the HTTP status, for gRPC the gRPC status, for TCP 0 if there is a connection. None: no valid answer.
async fn exchange(target: &ProbeTarget, at: SocketAddr) -> Option<u32> {
    let mut stream = dial(at, [target.check.source.map(Some), Some(None)].into_iter().flatten()).await.ok()?;
    if target.check.proxy_protocol {
        stream.write_all(&proxy_protocol_of_checks()).await.ok()?;
    }
    let multiplexed = target.version != ProtocolVersion::Http1;
    let (scheme, stream) = match target.check.protocol {
        TargetProtocol::Tcp | TargetProtocol::Tls => return Some(0),
        TargetProtocol::Http => ("http", Either::Left(stream)),
        TargetProtocol::Https => ("https", Either::Right(tls::connect(stream, multiplexed.then_some("h2")).await.ok()?)),
    };
    let io = TokioIo::new(stream);
    match target.version {
        ProtocolVersion::Http1 => {
            let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, ProbeBody>(io).await.ok()?;
            let mut request = Request::get(&target.check.path).body(Empty::new().boxed_unsync()).ok()?;
            let headers = request.headers_mut();
            let host = target.check.host.clone().unwrap_or_else(|| target.address.to_string());
            headers.insert(header::HOST, HeaderValue::try_from(host).ok()?);
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            headers.insert(header::USER_AGENT, HeaderValue::from_static("ELB-HealthChecker/2.0"));
            let answer = async move { sender.send_request(request).await.ok() };
            Some(drive(answer, connection).await?.status().as_u16().into())
        }
        version => {
            let (mut sender, connection) = hyper::client::conn::http2::handshake::<_, _, ProbeBody>(TokioExecutor::new(), io).await.ok()?;
            let uri = format!("{scheme}://{}{}", target.address, target.check.path);
            let mut request = Request::get(uri).body(Empty::new().boxed_unsync()).ok()?;
            request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("ELB-HealthChecker/2.0"));
            if version == ProtocolVersion::Grpc {
                *request.method_mut() = Method::POST;
                // One empty message: not compressed, length 0.
                *request.body_mut() = Full::new(Bytes::from_static(&[0; 5])).boxed_unsync();
                request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                request.headers_mut().insert(header::TE, HeaderValue::from_static("trailers"));
            }
            let answer = async move {
                let response = sender.send_request(request).await.ok()?;
                match version {
                    ProtocolVersion::Grpc => grpc_status(response).await,
                    _ => Some(response.status().as_u16().into()),
                }
            };
            drive(answer, connection).await
        }
    }
}

/// Runs a connection for as long as its answer needs it.
async fn drive<T>(answer: impl Future<Output = Option<T>>, connection: impl Future) -> Option<T> {
    let (mut answer, connection) = (pin!(answer), pin!(connection));
    tokio::select! {
        biased;
        result = &mut answer => result,
        // The connection is over; what it delivered before is still there.
        _ = connection => answer.await,
    }
}

/// The gRPC status, from the header of an answer without body or from the trailers.
async fn grpc_status(response: http::Response<Incoming>) -> Option<u32> {
    let parse = |value: &HeaderValue| value.to_str().ok()?.parse().ok();
    if let Some(status) = response.headers().get("grpc-status") {
        return parse(status);
    }
    let body = response.into_body().collect().await.ok()?;
    parse(body.trailers()?.get("grpc-status")?)
}

/// Whether a code is in a list of codes and ranges.
fn accepts(matcher: &Matcher, code: u32) -> bool {
    let (Matcher::Http(codes) | Matcher::Grpc(codes)) = matcher;
    codes.split(',').any(|part| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        match (from.trim().parse::<u32>(), to.trim().parse::<u32>()) {
            (Ok(from), Ok(to)) => (from..=to).contains(&code),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_take_lists_and_ranges() {
        for (codes, code, expected) in [
            ("200", 200, true),
            ("200", 201, false),
            ("200,202", 202, true),
            ("200,202", 201, false),
            ("200-299", 299, true),
            ("200-299", 300, false),
            ("200-204,301,400-404", 403, true),
            ("200-204,301,400-404", 302, false),
            ("", 200, false),
        ] {
            assert_eq!(accepts(&Matcher::Http(codes.into()), code), expected, "{codes} on {code}");
        }
        assert!(accepts(&Matcher::Grpc("0-1,12".into()), 12));
    }

    #[test]
    fn intervals_are_compressed_to_a_floor() {
        let timing = |health_check_scale| Timing { health_check_scale, ..Timing::default() };
        let half_a_minute = Duration::from_secs(30);
        assert_eq!(compressed(half_a_minute, &timing(0.01)), Duration::from_millis(300));
        assert_eq!(compressed(half_a_minute, &timing(1.0)), half_a_minute);
        assert_eq!(compressed(half_a_minute, &timing(0.0)), SHORTEST_INTERVAL);
        assert_eq!(compressed(Duration::ZERO, &timing(1.0)), Duration::ZERO);
    }
}
