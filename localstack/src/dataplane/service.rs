//! One request from its head to its response: checks, rule, transforms, action.

use std::{convert::Infallible, sync::Arc};

use http::{HeaderValue, Method, Request, Response, Version, header, request, uri::PathAndQuery};
use hyper::body::Incoming;
use jiff::Timestamp;

use super::{
    Shared, authentication,
    body::ResponseBody,
    client::ClientConnection,
    condition::{RequestView, host_for_matching, resolve_dot_segments, split_port},
    config::Action,
    exchange::Exchange,
    head::{HEADER_LINE_LIMIT, HEADERS_LIMIT, REQUEST_LINE_LIMIT, Verdict, classify, verdict},
    headers::{asks_for_websocket, canonical, field_sizes, http_date, remove_invalid_fields, too_many_forwarded_addresses},
    page::{self, ErrorPage},
    proxy::{Forwarded, forward},
    redirect::{RedirectSource, location},
    routing::{ListenerTable, RoutingTable},
    transform::Transforms,
};

/// Serves a request of a client. Never fails: what goes wrong becomes a page.
pub(super) async fn serve(
    shared: Arc<Shared>,
    client: Arc<ClientConnection>,
    table: Arc<RoutingTable>,
    listener: Arc<ListenerTable>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    let (head, body) = request.into_parts();
    let classification = client.with_head(|bytes| {
        // What is left of an earlier body is no head, nor is a request that came together with the one before it.
        let known = bytes.starts_with(head.method.as_str().as_bytes());
        if known { classify(bytes) } else { None }
    });
    let verdict = verdict(classification, listener.load_balancer.attributes.desync_mitigation);
    let host = effective_host(&head);
    let mut exchange = Some(Exchange::new(&client, &listener, &head, host.as_deref().unwrap_or_default(), classification));
    client.set_idle_timeout(shared.compress(listener.load_balancer.attributes.idle_timeout));
    let outcome = match check(&head, host, verdict) {
        Ok(host) => respond(&shared, &table, &listener, &mut exchange, head, body, &host).await,
        Err(page) => Err(page),
    };
    let mut response = outcome.unwrap_or_else(ErrorPage::response);
    finish(&mut response, &listener, verdict);
    if let Some(mut exchange) = exchange {
        exchange.answered(response.status().as_u16(), response.headers());
        response = response.map(|body| body.ending(exchange));
    }
    Ok(response)
}

/// The host that the client asks for: of the request line if that names one, else of the first Host header.
fn effective_host(head: &request::Parts) -> Option<String> {
    let host = match head.uri.authority() {
        Some(authority) => authority.as_str(),
        None => head.headers.get(header::HOST)?.to_str().ok()?,
    };
    Some(host.to_owned())
}

/// The checks before any rule.
fn check(head: &request::Parts, host: Option<String>, verdict: Verdict) -> Result<String, ErrorPage> {
    if verdict == Verdict::Refuse || head.method == Method::CONNECT {
        return Err(ErrorPage::BadRequest);
    }
    if head.method == Method::TRACE {
        return Err(ErrorPage::MethodNotAllowed);
    }
    let url = head.uri.path_and_query().map_or(0, |url| url.as_str().len());
    let authority = head.uri.authority().map_or(0, |authority| authority.as_str().len());
    if head.method.as_str().len() + url + authority + "  HTTP/1.1\r\n".len() > REQUEST_LINE_LIMIT {
        return Err(ErrorPage::UriTooLong);
    }
    let mut total = 0;
    for size in field_sizes(&head.headers) {
        total += size;
        if size > HEADER_LINE_LIMIT || total > HEADERS_LIMIT {
            return Err(ErrorPage::BadRequest);
        }
    }
    let codings = head.headers.get_all(header::TRANSFER_ENCODING);
    if codings.iter().any(|coding| !coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")) {
        return Err(ErrorPage::NotImplemented);
    }
    if too_many_forwarded_addresses(&head.headers) {
        return Err(ErrorPage::TooManyForwardedAddresses);
    }
    match host {
        Some(host) => Ok(host),
        // HTTP/1.0 may leave the Host header out.
        None if head.version == Version::HTTP_10 && !head.headers.contains_key(header::HOST) => Ok(String::new()),
        None => Err(ErrorPage::BadRequest),
    }
}

async fn respond(
    shared: &Arc<Shared>,
    table: &RoutingTable,
    listener: &ListenerTable,
    exchange: &mut Option<Box<Exchange>>,
    mut head: request::Parts,
    body: Incoming,
    host: &str,
) -> Result<Response<ResponseBody>, ErrorPage> {
    let Some(log) = exchange.as_deref_mut() else { return Err(ErrorPage::InternalServerError) };
    if listener.load_balancer.attributes.drop_invalid_header_fields {
        remove_invalid_fields(&mut head.headers);
    }
    if listener.load_balancer.attributes.web_acl {
        log.asks_web_acl();
    }
    if listener.load_balancer.attributes.blocked {
        log.note("blocked by the web ACL");
        return Err(ErrorPage::Forbidden);
    }
    let visible_port = log.client().local_port();
    let url = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let rule = listener.select(&RequestView {
        method: head.method.as_str(),
        host: host_for_matching(host, [listener.port, visible_port]),
        path: resolve_dot_segments(url.path()),
        query: url.query(),
        headers: &head.headers,
        peer: canonical(log.client().peer().ip()),
    });
    rule.count();
    log.decided_by(rule);
    let (rewritten_host, url) = transform(&rule.transforms, host, url, log)?;
    if let Action::Authenticate(authenticate) = rule.action() {
        let asked = authentication::answer(&shared.keys, &authenticate.demand, &head, host, shared.random.bits()).await;
        match asked {
            Ok(None) => {}
            Ok(Some(response)) => {
                log.acts(rule.action());
                return Ok(response);
            }
            Err(page) => {
                log.note(format_args!("not authenticated: {}", page.status().1));
                log.failed(authentication::error_reason(&authenticate.demand, &head));
                return Err(page);
            }
        }
    }
    log.acts(rule.action().served_by());
    match rule.action().served_by() {
        Action::Authenticate(_) => Err(ErrorPage::InternalServerError),
        Action::FixedResponse(action) => Ok(page::fixed(action)),
        Action::Redirect(action) => {
            let source = RedirectSource {
                protocol: listener.protocol.scheme(),
                host: split_port(rewritten_host.as_deref().unwrap_or(host)).0,
                port: visible_port,
                path: url.path(),
                query: url.query().unwrap_or_default(),
            };
            let location = location(action, &source);
            log.redirects_to(&location);
            Ok(page::redirect(action.status, location))
        }
        Action::Forward(action) => {
            let upgrade = asks_for_websocket(&head.headers).then(|| head.extensions.remove()).flatten();
            let request = Forwarded { listener, action, head, body, upgrade, url, host, rewritten_host };
            forward(shared, table, exchange, request).await
        }
    }
}

/// Host and URL after a rule's transforms; the host if it was rewritten.
fn transform(
    transforms: &Transforms,
    host: &str,
    url: PathAndQuery,
    log: &mut Exchange,
) -> Result<(Option<String>, PathAndQuery), ErrorPage> {
    if transforms.is_empty() {
        return Ok((None, url));
    }
    let mut failed = |code| {
        log.transformed(None, None, code);
        // The result of a rewrite is not a valid host or URL.
        ErrorPage::InternalServerError
    };
    let new_host = transforms.host(host).map_err(|_| failed("TransformInvalidHostHeader"))?;
    let new_url = transforms.url(&url).map_err(|_| failed("TransformInvalidPath"))?;
    let changed_host = new_host.as_deref().filter(|new| *new != host);
    log.transformed(changed_host, new_url.as_ref().filter(|new| **new != url).map(PathAndQuery::as_str), "TransformSuccess");
    Ok((new_host, new_url.unwrap_or(url)))
}

/// What every response of the listener gets.
fn finish(response: &mut Response<ResponseBody>, listener: &ListenerTable, verdict: Verdict) {
    let headers = response.headers_mut();
    if !listener.server_header {
        headers.remove(header::SERVER);
    }
    for (name, value) in &listener.response_headers {
        headers.insert(name, value.clone());
    }
    if !headers.contains_key(header::DATE)
        && let Ok(date) = HeaderValue::try_from(http_date(Timestamp::now()))
    {
        headers.insert(header::DATE, date);
    }
    if verdict == Verdict::AllowThenClose {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}
