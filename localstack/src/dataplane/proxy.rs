//! Forwarding: from a forward action to a target and back.

use std::sync::Arc;

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header, request,
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;

use super::{
    Shared,
    body::{RequestBody, ResponseBody},
    client::IdleTimer,
    client_certificate,
    config::{Forward, ProtocolVersion, TargetGroup, TargetId, TargetProtocol, TargetStickiness},
    connection::{ConnectError, Lease, Sender},
    exchange::Exchange,
    headers::{field_sizes, outgoing_host, remove_hop_by_hop, set_cookie, set_forwarded, set_tls, set_trace_id, sets_cookie},
    page::ErrorPage,
    routing::{ListenerTable, RoutingTable},
    stickiness::{self, CookieNames},
    target::pick_group,
};

/// AWS: size of all response header lines.
const RESPONSE_HEADERS_LIMIT: usize = 32 * 1024;

/// A request that a rule forwards.
pub(super) struct Forwarded<'a> {
    pub(super) listener: &'a ListenerTable,
    pub(super) action: &'a Forward,
    pub(super) head: request::Parts,
    pub(super) body: Incoming,
    /// The client asks for an upgrade to WebSocket.
    pub(super) upgrade: Option<OnUpgrade>,
    /// Path and query after the rule's transforms.
    pub(super) url: PathAndQuery,
    /// The Host header that the client sent.
    pub(super) host: &'a str,
    /// What a transform made of it.
    pub(super) rewritten_host: Option<String>,
}

/// Forwards a request. The exchange moves on to a tunnel if the connection becomes one.
pub(super) async fn forward(
    shared: &Arc<Shared>,
    table: &RoutingTable,
    exchange: &mut Option<Box<Exchange>>,
    request: Forwarded<'_>,
) -> Result<Response<ResponseBody>, ErrorPage> {
    let Some(log) = exchange.as_deref_mut() else { return Err(ErrorPage::InternalServerError) };
    let now = Timestamp::now();
    let id = pick_group(request.action, &request.head.headers, now, &shared.random).ok_or(ErrorPage::ServiceUnavailable)?;
    log.forwarded_to(id, None);
    let group = table.target_groups.get(id).ok_or(ErrorPage::ServiceUnavailable)?;
    if !speaks(&request.head, group.config.version) {
        return Err(ErrorPage::IncompatibleVersion);
    }
    let target = group.pick(&request.head.headers, now, &shared.random).ok_or(ErrorPage::ServiceUnavailable)?;
    log.forwarded_to(id, Some(target.state.address));

    let client = Arc::clone(log.client());
    let mut lease = Lease::new(&group.config, target, shared, client.idle_timeout());
    let connection = lease.connection(target.reachability).await.map_err(|error| connect_page(error, log))?;
    let action = request.action;
    let (outgoing, upgrade) = prepare(shared, log, &group.config, request, now);
    log.sent_to_target(outgoing.headers());
    let mut idle = IdleTimer::new(client);
    let mut response = match send(connection, outgoing, &mut idle).await {
        Ok(response) => response,
        Err(Failure::NotSent(outgoing)) => match lease.replacement().await {
            Some(Ok(connection)) => send(connection, *outgoing, &mut idle).await.map_err(|failure| failure.page(log))?,
            Some(Err(error)) => return Err(connect_page(error, log)),
            None => return Err(Failure::NotSent(outgoing).page(log)),
        },
        Err(failure) => return Err(failure.page(log)),
    };
    log.target_answered(response.status().as_u16());
    if field_sizes(response.headers()).sum::<usize>() > RESPONSE_HEADERS_LIMIT {
        log.note("response headers too large");
        return Err(ErrorPage::BadGateway);
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let (Some(upgrade), Some(exchange)) = (upgrade, exchange.take()) else {
            return Err(ErrorPage::BadGateway);
        };
        let target_side = hyper::upgrade::on(&mut response);
        let response = response.map(|_| ResponseBody::own(""));
        tunnel(shared, upgrade, target_side, lease, exchange);
        return Ok(with_cookies(response, action, &group.config, id.as_str(), &target.state.id, now));
    }
    remove_hop_by_hop(response.headers_mut());
    let response = response.map(|body| ResponseBody::target(body, idle, lease));
    Ok(with_cookies(response, action, &group.config, id.as_str(), &target.state.id, now))
}

/// Whether a request can go to a target group of this version (AWS: the protocol versions of target groups; else 464).
fn speaks(head: &request::Parts, version: ProtocolVersion) -> bool {
    let is_grpc = || head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    match (head.version == Version::HTTP_2, version) {
        (false, ProtocolVersion::Http1) | (true, ProtocolVersion::Http2) => true,
        (true, ProtocolVersion::Http1) => !is_grpc(),
        (true, ProtocolVersion::Grpc) => is_grpc() || head.method == Method::POST,
        (false, ProtocolVersion::Http2 | ProtocolVersion::Grpc) => false,
    }
}

/// HTTP/2 may split cookies into several fields, which HTTP/1.1 may not (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let all: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if all.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, joined);
    }
}

/// The URI of a request over HTTP/2, which holds the host.
fn absolute(protocol: TargetProtocol, host: &str, url: PathAndQuery) -> Option<Uri> {
    let scheme = if protocol == TargetProtocol::Https { Scheme::HTTPS } else { Scheme::HTTP };
    Uri::builder().scheme(scheme).authority(Authority::try_from(host).ok()?).path_and_query(url).build().ok()
}

/// Makes the request that the target sees.
fn prepare(
    shared: &Shared,
    log: &mut Exchange,
    group: &TargetGroup,
    request: Forwarded<'_>,
    now: Timestamp,
) -> (Request<RequestBody>, Option<OnUpgrade>) {
    let Forwarded { listener, action: _, mut head, body, upgrade, url, host, rewritten_host } = request;
    let attributes = &listener.load_balancer.attributes;
    let headers = &mut head.headers;
    remove_hop_by_hop(headers);
    // Answered by the load balancer itself when the target reads the body.
    headers.remove(header::EXPECT);
    if upgrade.is_some() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    let host = rewritten_host
        .unwrap_or_else(|| outgoing_host(host, attributes.preserve_host_header, listener.port, listener.protocol.default_port()));
    let multiplexed = group.version != ProtocolVersion::Http1;
    let absolute = multiplexed.then(|| absolute(group.protocol, &host, url.clone())).flatten();
    if absolute.is_some() {
        headers.remove(header::HOST);
    } else if let Ok(host) = HeaderValue::try_from(host) {
        headers.insert(header::HOST, host);
    }
    if multiplexed {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    } else {
        join_cookies(headers);
    }
    set_tls(headers, listener.tls.as_ref().and_then(|tls| tls.config.headers.as_ref()), log.client().tls());
    if let Some(clients) = listener.tls.as_ref().and_then(|tls| tls.config.clients.as_ref()) {
        client_certificate::set_headers(headers, &clients.headers, log.client().tls().and_then(|session| session.client.as_deref()));
    }
    set_forwarded(headers, attributes, log.client().peer(), listener.protocol.scheme(), listener.port);
    set_trace_id(headers, now, shared.random.bits());
    let mut outgoing = Request::new(RequestBody::new(body, Arc::clone(log.client()), log.body_counter()));
    *outgoing.method_mut() = head.method;
    *outgoing.uri_mut() = absolute.unwrap_or_else(|| Uri::from(url));
    if multiplexed {
        *outgoing.version_mut() = Version::HTTP_2;
    }
    *outgoing.headers_mut() = head.headers;
    // Holds the spelling of the header names, which is kept.
    *outgoing.extensions_mut() = head.extensions;
    (outgoing, upgrade)
}

/// Why there is no response.
enum Failure {
    /// The target had closed the connection before the request was sent.
    NotSent(Box<Request<RequestBody>>),
    /// Nothing moved for the idle timeout.
    TimedOut,
    /// The connection broke or brought something that is not HTTP.
    Broken(hyper::Error),
}

impl Failure {
    fn page(self, log: &mut Exchange) -> ErrorPage {
        match self {
            Self::NotSent(_) => {
                log.note("the target closed the connection");
                ErrorPage::BadGateway
            }
            Self::TimedOut => {
                log.note("the target did not answer within the idle timeout");
                ErrorPage::GatewayTimeout
            }
            Self::Broken(error) => {
                log.note(format_args!("no valid response: {error}"));
                // The client did not send the body that it announced.
                if error.is_user() { ErrorPage::BadRequest } else { ErrorPage::BadGateway }
            }
        }
    }
}

async fn send(connection: &mut Sender, request: Request<RequestBody>, idle: &mut IdleTimer) -> Result<Response<Incoming>, Failure> {
    idle.touch();
    tokio::select! {
        sent = connection.try_send(request) => sent.map_err(|mut error| match error.take_message() {
            Some(request) => Failure::NotSent(Box::new(request)),
            None => Failure::Broken(error.into_error()),
        }),
        () = idle.expired() => Err(Failure::TimedOut),
    }
}

fn connect_page(error: ConnectError, log: &mut Exchange) -> ErrorPage {
    match error {
        ConnectError::TimedOut => {
            log.note("connecting to the target timed out");
            ErrorPage::GatewayTimeout
        }
        ConnectError::Failed(error) => {
            log.note(format_args!("connecting to the target failed: {error}"));
            ErrorPage::BadGateway
        }
    }
}

/// Passes bytes both ways until one side ends, nothing moves for the idle timeout, or the target is gone.
fn tunnel(shared: &Arc<Shared>, client: OnUpgrade, target: OnUpgrade, lease: Lease, mut exchange: Box<Exchange>) {
    exchange.answered(StatusCode::SWITCHING_PROTOCOLS.as_u16(), &HeaderMap::new());
    exchange.becomes_tunnel();
    let stop = shared.hard_stop.clone();
    shared.tracker.spawn(async move {
        let gone = lease.target().gone.clone();
        let copy = async {
            let (client, target) = futures::future::try_join(client, target).await.ok()?;
            // The client's side watches for idleness: all bytes pass it.
            tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(target)).await.ok()
        };
        tokio::select! {
            moved = copy => if let Some((_, to_client)) = moved {
                exchange.sent(usize::try_from(to_client).unwrap_or(usize::MAX));
            },
            () = gone.cancelled() => exchange.note("the target is gone"),
            () = stop.cancelled() => {}
        }
        drop((lease, exchange));
    });
}

/// Adds the cookies of target group and target stickiness.
fn with_cookies(
    mut response: Response<ResponseBody>,
    action: &Forward,
    group: &TargetGroup,
    group_id: &str,
    target: &TargetId,
    now: Timestamp,
) -> Response<ResponseBody> {
    let headers = response.headers_mut();
    if let Some(duration) = action.stickiness {
        append_cookie(headers, &stickiness::TARGET_GROUP, group_id, duration.as_secs(), now);
    }
    match &group.stickiness {
        Some(TargetStickiness::LoadBalancerCookie { duration }) => {
            append_cookie(headers, &stickiness::TARGET, target.as_str(), duration.as_secs(), now);
        }
        Some(TargetStickiness::ApplicationCookie { name, duration }) if sets_cookie(headers, name) => {
            append_cookie(headers, &stickiness::APPLICATION, target.as_str(), duration.as_secs(), now);
        }
        Some(TargetStickiness::ApplicationCookie { .. }) | None => {}
    }
    response
}

fn append_cookie(headers: &mut HeaderMap, names: &CookieNames, id: &str, seconds: u64, now: Timestamp) {
    let value = stickiness::value(id, seconds, now);
    let cookies = [set_cookie(names.name, &value, now, false), names.cross_site.and_then(|name| set_cookie(name, &value, now, true))];
    for cookie in cookies.into_iter().flatten() {
        headers.append(header::SET_COOKIE, cookie);
    }
}
