//! One request and its response: what the program's own log and the load balancer's access log say about it.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use http::{HeaderMap, Method, Version, header};
use jiff::Timestamp;

use super::{
    Shared,
    client::{ClientConnection, Marks},
    config::{Action, ListenerProtocol, LogStream, TargetGroupId},
    head::Classification,
    headers::{field_sizes, trace_id},
    log::AccessEntry,
    page::ErrorPage,
    routing::{CompiledRule, ListenerTable},
    tls::TlsSession,
};

/// Target of the program's own events about requests.
pub(super) const ACCESS: &str = "portico_cloud::access";

/// AWS's log code for a client that closed before it got its response.
const CLIENT_CLOSED: u16 = 460;

/// One request and its response. Dropping it ends it, and logs it if anyone listens.
#[derive(Debug)]
pub(super) struct Exchange {
    client: Arc<ClientConnection>,
    record: Option<Box<Record>>,
    /// An upgraded connection is no place for further requests.
    tunnel: bool,
}

#[derive(Debug)]
struct Record {
    started: Instant,
    listener: Arc<ListenerTable>,
    method: Method,
    url: String,
    host: String,
    rule: Option<Arc<CompiledRule>>,
    target_group: Option<TargetGroupId>,
    target: Option<SocketAddr>,
    /// 460 until there is a response.
    status: u16,
    /// Of the response's body.
    bytes: u64,
    note: Option<String>,
    /// What only the access log wants to know.
    details: Option<Details>,
}

#[derive(Debug)]
struct Details {
    stream: Arc<LogStream>,
    created: Timestamp,
    version: Version,
    grpc: bool,
    user_agent: Option<String>,
    /// What the client sent as X-Amzn-Trace-Id, until the target is sent another one.
    trace_id: Option<String>,
    classification: Option<Classification>,
    marks: Marks,
    /// HTTP/2: of the request's head, and then of its body, too.
    received: Arc<AtomicU64>,
    /// HTTP/2: of the response's head.
    head_sent: u64,
    sent_to_target: Option<Instant>,
    target_answered: Option<(Instant, u16)>,
    answered: Option<(Instant, Timestamp)>,
    actions: Vec<&'static str>,
    redirect: Option<String>,
    error: Option<&'static str>,
    transformed_host: Option<String>,
    transformed_uri: Option<String>,
    transform_status: Option<&'static str>,
}

impl Details {
    fn new(
        stream: &Arc<LogStream>,
        client: &ClientConnection,
        head: &http::request::Parts,
        classification: Option<Classification>,
    ) -> Self {
        let text = |name: &str| head.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let url = head.uri.path_and_query().map_or(0, |url| url.as_str().len());
        let line = head.method.as_str().len() + url + "  HTTP/1.1\r\n".len();
        let size = u64::try_from(line + field_sizes(&head.headers).sum::<usize>() + "\r\n".len()).unwrap_or(u64::MAX);
        Self {
            stream: Arc::clone(stream),
            created: Timestamp::now(),
            version: head.version,
            grpc: head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")),
            user_agent: text(header::USER_AGENT.as_str()),
            trace_id: text("x-amzn-trace-id"),
            classification,
            marks: client.marks(),
            received: Arc::new(AtomicU64::new(size)),
            head_sent: 0,
            sent_to_target: None,
            target_answered: None,
            answered: None,
            actions: Vec::new(),
            redirect: None,
            error: None,
            transformed_host: None,
            transformed_uri: None,
            transform_status: None,
        }
    }
}

impl Exchange {
    /// Starts with a request's head.
    pub(super) fn new(
        client: &Arc<ClientConnection>,
        listener: &Arc<ListenerTable>,
        head: &http::request::Parts,
        host: &str,
        classification: Option<Classification>,
    ) -> Box<Self> {
        client.begin_request();
        let stream = listener.load_balancer.attributes.logs.access.as_ref();
        let wanted = stream.is_some() || tracing::enabled!(target: ACCESS, tracing::Level::INFO);
        let record = wanted.then(|| {
            Box::new(Record {
                started: Instant::now(),
                listener: Arc::clone(listener),
                method: head.method.clone(),
                url: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
                host: host.to_owned(),
                rule: None,
                target_group: None,
                target: None,
                status: CLIENT_CLOSED,
                bytes: 0,
                note: None,
                details: stream.map(|stream| Details::new(stream, client, head, classification)),
            })
        });
        Box::new(Self { client: Arc::clone(client), record, tunnel: false })
    }

    /// The client's connection.
    pub(super) fn client(&self) -> &Arc<ClientConnection> {
        &self.client
    }

    fn details(&mut self) -> Option<&mut Details> {
        self.record.as_mut()?.details.as_mut()
    }

    /// The rule that decided.
    pub(super) fn decided_by(&mut self, rule: &Arc<CompiledRule>) {
        if let Some(record) = &mut self.record {
            record.rule = Some(Arc::clone(rule));
        }
    }

    /// What is done with the request.
    pub(super) fn acts(&mut self, action: &Action) {
        let name = match action {
            Action::Forward(_) => "forward",
            Action::Redirect(_) => "redirect",
            Action::FixedResponse(_) => "fixed-response",
            Action::Authenticate(_) => "authenticate",
        };
        if let Some(details) = self.details() {
            details.actions.push(name);
        }
    }

    /// The web ACL was asked.
    pub(super) fn asks_web_acl(&mut self) {
        if let Some(details) = self.details() {
            details.actions.push("waf");
        }
    }

    /// Where a redirect leads to.
    pub(super) fn redirects_to(&mut self, location: &str) {
        if let Some(details) = self.details() {
            details.redirect = Some(location.to_owned());
        }
    }

    /// Why an action failed (AWS, "Error reason codes").
    pub(super) fn failed(&mut self, reason: Option<&'static str>) {
        if let Some(details) = self.details() {
            details.error = reason;
        }
    }

    /// What transforms made of the host and the URL, and how they went.
    pub(super) fn transformed(&mut self, host: Option<&str>, uri: Option<&str>, status: &'static str) {
        if let Some(details) = self.details() {
            details.transformed_host = host.map(str::to_owned);
            details.transformed_uri = uri.map(str::to_owned);
            details.transform_status = Some(status);
        }
    }

    /// Where the request goes.
    pub(super) fn forwarded_to(&mut self, group: &TargetGroupId, target: Option<SocketAddr>) {
        if let Some(record) = &mut self.record {
            record.target_group = Some(group.clone());
            record.target = target;
        }
    }

    /// The request goes to the target now, with these headers.
    pub(super) fn sent_to_target(&mut self, headers: &HeaderMap) {
        if let Some(details) = self.details() {
            details.sent_to_target = Some(Instant::now());
            details.trace_id = trace_id(headers);
        }
    }

    /// The target's response has begun.
    pub(super) fn target_answered(&mut self, status: u16) {
        if let Some(details) = self.details() {
            details.target_answered = Some((Instant::now(), status));
        }
    }

    /// The response's status and headers.
    pub(super) fn answered(&mut self, status: u16, headers: &HeaderMap) {
        if let Some(record) = &mut self.record {
            record.status = status;
        }
        if let Some(details) = self.details() {
            details.answered = Some((Instant::now(), Timestamp::now()));
            let size = "HTTP/1.1 200\r\n\r\n".len() + field_sizes(headers).sum::<usize>();
            details.head_sent = u64::try_from(size).unwrap_or(u64::MAX);
        }
    }

    /// Something to explain the status with.
    pub(super) fn note(&mut self, note: impl fmt::Display) {
        if let Some(record) = &mut self.record {
            record.note = Some(note.to_string());
        }
    }

    /// Bytes of the response's body.
    pub(super) fn sent(&mut self, bytes: usize) {
        if let Some(record) = &mut self.record {
            record.bytes += bytes as u64;
        }
    }

    /// Where the bytes of the request's body are counted, if they must be: HTTP/1 counts them on the connection.
    pub(super) fn body_counter(&mut self) -> Option<Arc<AtomicU64>> {
        let multiplexed = self.client.is_multiplexed();
        self.details().filter(|_| multiplexed).map(|details| Arc::clone(&details.received))
    }

    /// The body's end was reached.
    pub(super) fn completed(&mut self) {
        self.client.touch();
    }

    /// The connection is now a tunnel to the target.
    pub(super) fn becomes_tunnel(&mut self) {
        self.tunnel = true;
        self.client.become_tunnel();
    }
}

impl Record {
    /// The access log's entry, but for the bytes.
    fn entry(&self, details: &Details, client: &ClientConnection, tunnel: bool) -> AccessEntry {
        let now = Timestamp::now();
        let secure = self.listener.protocol == ListenerProtocol::Https;
        let kind = match (secure, details.version) {
            (false, _) if tunnel => "ws",
            (true, _) if tunnel => "wss",
            (true, Version::HTTP_2) if details.grpc => "grpcs",
            (true, Version::HTTP_2) => "h2",
            (true, _) => "https",
            (false, _) => "http",
        };
        let target_status = details.target_answered.map(|(_, status)| status);
        // AWS: -1 if there is no response of a target. Of a client that goes away first, it is known when the request was sent on.
        let dispatched = target_status.is_some() || self.status == CLIENT_CLOSED;
        let request_time = details.sent_to_target.filter(|_| dispatched).map(|sent| sent.duration_since(self.started));
        let target_time =
            details.target_answered.zip(details.sent_to_target).map(|((begun, _), sent)| begun.saturating_duration_since(sent));
        let response_time =
            details.answered.zip(details.target_answered).map(|((sent, _), (begun, _))| sent.saturating_duration_since(begun));
        AccessEntry {
            kind,
            time: details.answered.filter(|_| !tunnel).map_or(now, |(_, at)| at),
            target: self.target,
            request_time,
            target_time,
            response_time,
            status: self.status,
            target_status,
            request: request_line(&self.listener, Some((&self.method, &self.host, &self.url, details.version))),
            user_agent: details.user_agent.clone(),
            target_group: self.target_group.as_ref().map(ToString::to_string),
            trace_id: details.trace_id.clone(),
            rule_priority: self.rule.as_ref().map(|rule| rule.log_priority()),
            created: details.created,
            actions: details.actions.clone(),
            redirect: details.redirect.clone(),
            error: details.error,
            classification: details.classification.map(|(class, reason)| (class.as_str(), reason)),
            transformed_host: details.transformed_host.clone(),
            transformed_uri: details.transformed_uri.clone(),
            transform_status: details.transform_status,
            ..unreadable(client, &self.listener, now)
        }
    }
}

/// The entry of a request that could not be read.
fn unreadable(client: &ClientConnection, listener: &ListenerTable, now: Timestamp) -> AccessEntry {
    let session = client.tls();
    AccessEntry {
        kind: listener.protocol.scheme(),
        time: now,
        load_balancer: listener.load_balancer.attributes.logs.load_balancer.clone(),
        client: client.peer(),
        target: None,
        request_time: None,
        target_time: None,
        response_time: None,
        status: CLIENT_CLOSED,
        target_status: None,
        // AWS: no request, no bytes of it.
        received_bytes: 0,
        sent_bytes: 0,
        request: request_line(listener, None),
        user_agent: None,
        tls: session.map(|session| (session.cipher, session.version)),
        target_group: None,
        trace_id: None,
        domain: session.and_then(TlsSession::domain).map(str::to_owned),
        certificate: session.map(|session| session.certificate().to_owned()),
        rule_priority: None,
        created: now,
        actions: Vec::new(),
        redirect: None,
        error: None,
        classification: None,
        connection: client.trace_id().to_owned(),
        transformed_host: None,
        transformed_uri: None,
        transform_status: None,
        node: listener.load_balancer.address,
    }
}

/// A request line as the access log shows it. Without a request: that of one that could not be read.
fn request_line(listener: &ListenerTable, request: Option<(&Method, &str, &str, Version)>) -> String {
    let (scheme, port) = (listener.protocol.scheme(), listener.port);
    let dns_name = &listener.load_balancer.attributes.logs.dns_name;
    let Some((method, host, url, version)) = request else { return format!("- {scheme}://{dns_name}:{port}- -") };
    let (name, _) = super::condition::split_port(host);
    format!("{method} {scheme}://{}:{port}{url} {}", if name.is_empty() { dns_name } else { name }, version_name(version))
}

fn version_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

/// Logs a request that could not be read, or that did not come in time, with the page that it gets.
pub(super) fn log_unreadable(client: &ClientConnection, page: ErrorPage, classification: Option<Classification>, sent: usize) {
    let Some(listener) = client.listener() else { return };
    let Some(stream) = &listener.load_balancer.attributes.logs.access else { return };
    let entry = AccessEntry {
        status: page.status().0,
        sent_bytes: u64::try_from(sent).unwrap_or(u64::MAX),
        classification: classification.map(|(class, reason)| (class.as_str(), reason)),
        ..unreadable(client, &listener, Timestamp::now())
    };
    client.shared().logs.write(stream, listener.load_balancer.address, &entry);
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if let Some(record) = &mut self.record
            && let Some(details) = record.details.take()
        {
            let mut entry = record.entry(&details, &self.client, self.tunnel);
            if entry.trace_id.is_none() || details.sent_to_target.is_none() {
                entry.trace_id = Some(own_trace_id(self.client.shared(), entry.trace_id, details.created));
            }
            if self.client.is_multiplexed() {
                entry.received_bytes = details.received.load(Ordering::Relaxed);
                entry.sent_bytes = details.head_sent + record.bytes;
            }
            self.client.log(entry, details.stream, details.marks, self.tunnel);
        }
        if !self.tunnel {
            self.client.end_request();
        }
        let Some(record) = self.record.as_ref().filter(|_| tracing::enabled!(target: ACCESS, tracing::Level::INFO)) else { return };
        tracing::info!(
            target: ACCESS,
            load_balancer = %record.listener.load_balancer.id,
            rule = record.rule.as_ref().map(|rule| tracing::field::display(rule.id())),
            target_group = record.target_group.as_ref().map(tracing::field::display),
            note = record.note,
            "{} {} {}{} {} {} B in {} ms{}",
            self.client.peer().ip(),
            record.method,
            record.host,
            record.url,
            record.status,
            record.bytes,
            record.started.elapsed().as_millis(),
            Via(record.target),
        );
    }
}

/// The trace id of a request that no target was sent: the one that a target would have been sent.
fn own_trace_id(shared: &Shared, sent: Option<String>, now: Timestamp) -> String {
    super::headers::next_trace_id(sent.as_deref(), now, shared.log_random.bits())
}

struct Via(Option<SocketAddr>);

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(target) => write!(f, " from {target}"),
            None => Ok(()),
        }
    }
}
