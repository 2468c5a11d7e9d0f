//! The HTTP endpoint: one address for all services and the admin API.

use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin;
use crate::control::Control;
use crate::error::ApiError;
use crate::fault::Loss;
use crate::service::{Protocol, Service};
use crate::wire::rest::Request;
use crate::wire::{Record, cbor, json, query, signature, xml};

/// The largest request body: above the largest file that a trust store takes (AWS: 50 MB).
const BODY_LIMIT: usize = 64 * 1024 * 1024;
/// How long a body may take.
const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// A response of the endpoint.
pub type Reply = Response<Full<Bytes>>;

/// Why a connection is closed without a response.
#[derive(Debug, thiserror::Error)]
#[error("the answer is lost on purpose")]
struct Lost;

/// Accepts connections until the token is cancelled.
pub async fn serve(listener: TcpListener, control: Arc<Control>, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: wait a little rather than spin.
                tracing::warn!(target: "portico_cloud", %error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // Small answers go out at once.
        let _ = stream.set_nodelay(true);
        let (control, stop) = (control.clone(), stop.clone());
        tasks.spawn(async move {
            let ending = stop.clone();
            let service = service_fn(move |request| {
                let (control, ending) = (control.clone(), ending.clone());
                async move { answer(&control, request, &ending).await }
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            tokio::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(target: "portico_cloud", %error, "a connection ended early");
            }
        });
    }
}

async fn answer(control: &Control, request: http::Request<Incoming>, ending: &CancellationToken) -> Result<Reply, Lost> {
    let (head, body) = request.into_parts();
    let collected = tokio::time::timeout(BODY_PATIENCE, Limited::new(body, BODY_LIMIT).collect()).await;
    let body = match collected {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) | Err(_) => {
            return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "text/plain", "the request body is too large or too slow\n".into()));
        }
    };
    let signed = signature::service(&head.headers, head.uri.query());
    let rest =
        Service::ALL.into_iter().find(|service| service.protocol() == Protocol::Rest && signed.as_deref() == Some(service.signing_name()));
    if let Some(service) = rest {
        return rest_call(control, service, &Request::new(&head, body), ending).await;
    }
    if let Some((service, operation)) = rpc(&head) {
        return rpc_call(control, service, operation, &body, signed.is_some(), ending).await;
    }
    let body = String::from_utf8_lossy(&body);
    if head.uri.path() == "/_cloud" || head.uri.path().starts_with("/_cloud/") {
        return Ok(admin::answer(control, &head.method, head.uri.path(), head.uri.query().unwrap_or_default(), &body).await);
    }
    call(control, &head, signed, &body, ending).await
}

/// A call of a REST service.
async fn rest_call(control: &Control, service: Service, request: &Request<'_>, ending: &CancellationToken) -> Result<Reply, Lost> {
    let (operation, input) = match service.route(request) {
        Ok(found) => found,
        Err(error) => return Ok(service.rest_reply("", &control.request_id(), request.path, Err(&error))),
    };
    let outcome = control.call(service, operation, input).await;
    if let Some(loss) = outcome.loss {
        return lose(loss, ending).await;
    }
    Ok(service.rest_reply(operation, &outcome.request_id, request.path, outcome.answer.as_ref()))
}

/// The service and operation of a call in Smithy's RPC v2 protocol: `POST /service/NAME/operation/OPERATION` with CBOR.
fn rpc(head: &http::request::Parts) -> Option<(Service, &str)> {
    let protocol = head.headers.get("smithy-protocol").filter(|value| *value == "rpc-v2-cbor");
    let (name, operation) = head.uri.path().strip_prefix("/service/")?.split_once("/operation/").filter(|_| protocol.is_some())?;
    Some((Service::ALL.into_iter().find(|service| service.target() == Some(name))?, operation))
}

async fn rpc_call(
    control: &Control,
    service: Service,
    operation: &str,
    body: &[u8],
    signed: bool,
    ending: &CancellationToken,
) -> Result<Reply, Lost> {
    let input = if signed { cbor::parse(body) } else { Err(unsigned()) };
    let (answer, request_id) = match input {
        Err(error) => (Err(error), control.request_id()),
        Ok(input) => {
            let outcome = control.call(service, operation, input).await;
            if let Some(loss) = outcome.loss {
                return lose(loss, ending).await;
            }
            (outcome.answer, outcome.request_id)
        }
    };
    let (status, bytes) = match &answer {
        Ok(record) => (StatusCode::OK, cbor::answer(record)),
        Err(error) => (StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST), cbor::error(error)),
    };
    let mut reply = Response::new(Full::new(Bytes::from(bytes)));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/cbor"));
    headers.insert("smithy-protocol", HeaderValue::from_static("rpc-v2-cbor"));
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        headers.insert("x-amzn-requestid", value);
    }
    Ok(reply)
}

fn unsigned() -> ApiError {
    ApiError::with_status("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
}

/// The answer never comes, or the connection is closed.
async fn lose(loss: Loss, ending: &CancellationToken) -> Result<Reply, Lost> {
    if loss.held {
        // Dropped when the caller hangs up.
        ending.cancelled().await;
    }
    Err(Lost)
}

/// A call of the AWS API.
async fn call(
    control: &Control,
    head: &http::request::Parts,
    signed: Option<String>,
    body: &str,
    ending: &CancellationToken,
) -> Result<Reply, Lost> {
    // POST carries the parameters in its body, GET in its query.
    let form = if head.method == Method::GET || body.is_empty() { head.uri.query().unwrap_or_default() } else { body };
    let json = head.headers.contains_key("x-amz-target");
    let refuse = |service: Service, error: &ApiError| Ok(write(service, "", &control.request_id(), Err(error)));
    let (service, operation) = match identify(signed.as_deref(), &head.headers, form) {
        Ok(found) => found,
        Err(error) => return refuse(if json { Service::Tagging } else { Service::Elb }, &error),
    };
    if signed.is_none() {
        return refuse(service, &unsigned());
    }
    let input = match service.protocol() {
        Protocol::Json => json::parse(body),
        Protocol::Xml(_) | Protocol::Rest => Ok(query::parse(form)),
    };
    let input = match input {
        Ok(input) => input,
        Err(error) => return refuse(service, &error),
    };
    let outcome = control.call(service, &operation, input).await;
    if let Some(loss) = outcome.loss {
        return lose(loss, ending).await;
    }
    Ok(write(service, &operation, &outcome.request_id, outcome.answer.as_ref()))
}

/// The service and operation of a call: by the credential scope, else by target header, version and action.
fn identify(signed: Option<&str>, headers: &HeaderMap, form: &str) -> Result<(Service, String), ApiError> {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    if let Some((prefix, operation)) = target.and_then(|target| target.split_once('.')) {
        if let Some(service) = Service::ALL.into_iter().find(|service| service.target() == Some(prefix)) {
            return Ok((service, operation.to_string()));
        }
        return Err(ApiError::new("UnknownOperationException", format!("The service '{prefix}' is not served by this cloud")));
    }
    let action = query::parameter(form, "Action").filter(|action| !action.is_empty());
    let version = query::parameter(form, "Version").unwrap_or_default();
    let by_version = || Service::ALL.into_iter().find(|service| service.version() == version);
    let by_action = || {
        let action = action.as_deref().unwrap_or_default();
        [Service::Elb, Service::Ec2, Service::Sts].into_iter().find(|service| service.operation(action).is_ok())
    };
    let service = match signed {
        Some(name) => Service::ALL
            .into_iter()
            .find(|service| service.signing_name() == name)
            .ok_or_else(|| ApiError::with_status("InvalidAction", format!("The service '{name}' is not served by this cloud"), 400))?,
        None => by_version().or_else(by_action).unwrap_or(Service::Elb),
    };
    match action {
        Some(action) => Ok((service, action)),
        None => Err(ApiError::new("MissingAction", "The request must contain the parameter Action")),
    }
}

fn write(service: Service, operation: &str, request_id: &str, answer: Result<&Record, &ApiError>) -> Reply {
    let status = answer.err().map_or(StatusCode::OK, |error| StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST));
    let (kind, text) = match (service.protocol(), answer) {
        (Protocol::Xml(dialect), Ok(record)) => ("text/xml", xml::answer(dialect, operation, request_id, record)),
        (Protocol::Xml(dialect), Err(error)) => ("text/xml", xml::error(dialect, request_id, error)),
        (Protocol::Rest, answer) => return service.rest_reply(operation, request_id, "/", answer),
        (Protocol::Json, Ok(record)) => ("application/x-amz-json-1.1", json::answer(record)),
        (Protocol::Json, Err(error)) => ("application/x-amz-json-1.1", json::error(error)),
    };
    let mut reply = plain(status, kind, text);
    if let Ok(value) = HeaderValue::from_str(request_id) {
        reply.headers_mut().insert(HeaderName::from_static("x-amzn-requestid"), value);
    }
    if let (Protocol::Json, Err(error)) = (service.protocol(), answer)
        && let Ok(value) = HeaderValue::from_str(&error.code)
    {
        reply.headers_mut().insert(HeaderName::from_static("x-amzn-errortype"), value);
    }
    reply
}

/// A response with a status, content type and text.
pub fn plain(status: StatusCode, kind: &'static str, text: String) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(text)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}

#[cfg(test)]
mod tests;
