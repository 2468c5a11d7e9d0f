//! One request and its response: what the access log says about it.

use std::{fmt, net::SocketAddr, sync::Arc, time::Instant};

use http::Method;

use super::{
    client::ClientConnection,
    config::{LoadBalancerId, RuleId, TargetGroupId},
};

/// Target of the access log's events.
pub(super) const ACCESS: &str = "portico_cloud::access";

/// AWS's log code for a client that closed before it got its response.
const CLIENT_CLOSED: u16 = 460;

/// One request and its response. Dropping it ends it, and writes the access log if anyone listens.
#[derive(Debug)]
pub(super) struct Exchange {
    client: Arc<ClientConnection>,
    record: Option<Record>,
    /// An upgraded connection is no place for further requests.
    tunnel: bool,
}

#[derive(Debug)]
struct Record {
    started: Instant,
    load_balancer: LoadBalancerId,
    method: Method,
    url: String,
    host: String,
    rule: Option<RuleId>,
    target_group: Option<TargetGroupId>,
    target: Option<SocketAddr>,
    /// 460 until there is a response.
    status: u16,
    bytes: u64,
    note: Option<String>,
}

impl Exchange {
    /// Starts with a request's head.
    pub(super) fn new(
        client: &Arc<ClientConnection>,
        load_balancer: &LoadBalancerId,
        request: &http::request::Parts,
        host: &str,
    ) -> Box<Self> {
        client.begin_request();
        let record = tracing::enabled!(target: ACCESS, tracing::Level::INFO).then(|| Record {
            started: Instant::now(),
            load_balancer: load_balancer.clone(),
            method: request.method.clone(),
            url: request.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            host: host.to_owned(),
            rule: None,
            target_group: None,
            target: None,
            status: CLIENT_CLOSED,
            bytes: 0,
            note: None,
        });
        Box::new(Self { client: Arc::clone(client), record, tunnel: false })
    }

    /// The client's connection.
    pub(super) fn client(&self) -> &Arc<ClientConnection> {
        &self.client
    }

    /// The rule that decided.
    pub(super) fn decided_by(&mut self, rule: &RuleId) {
        if let Some(record) = &mut self.record {
            record.rule = Some(rule.clone());
        }
    }

    /// Where the request goes.
    pub(super) fn forwarded_to(&mut self, group: &TargetGroupId, target: Option<SocketAddr>) {
        if let Some(record) = &mut self.record {
            record.target_group = Some(group.clone());
            record.target = target;
        }
    }

    /// The response's status.
    pub(super) fn answered(&mut self, status: u16) {
        if let Some(record) = &mut self.record {
            record.status = status;
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

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.tunnel {
            self.client.end_request();
        }
        let Some(record) = &self.record else { return };
        tracing::info!(
            target: ACCESS,
            load_balancer = %record.load_balancer,
            rule = record.rule.as_ref().map(tracing::field::display),
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

struct Via(Option<SocketAddr>);

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(target) => write!(f, " from {target}"),
            None => Ok(()),
        }
    }
}
