//! Connections to targets: opening, pooling and lending them.

use std::{
    future::Future,
    io,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    net::TcpStream,
    time::{Instant, sleep, timeout},
};
use tokio_util::either::Either;

use super::{
    Shared,
    body::RequestBody,
    config::{ProtocolVersion, Reachability, TargetGroup, TargetProtocol},
    target::{GroupTarget, TargetState},
    tls,
};

/// Idle connections kept per target.
const POOL_LIMIT: usize = 128;
/// How long a lent connection may take to become ready for its next request after a response ended.
const RETURN_TIMEOUT: Duration = Duration::from_secs(5);
/// Header lines that the parser accepts; their size is limited separately.
pub(super) const HEADER_LINES: usize = 512;

/// What sends requests on a connection.
#[derive(Debug)]
pub(super) enum Sender {
    /// One request at a time.
    Http1(http1::SendRequest<RequestBody>),
    /// Requests overlap; clones share the connection.
    Http2(http2::SendRequest<RequestBody>),
}

impl Sender {
    fn is_ready(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready(),
            Self::Http2(sender) => sender.is_ready(),
        }
    }

    fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Self::Http1(sender) => sender.ready().await,
            Self::Http2(sender) => sender.ready().await,
        }
    }

    /// Sends a request; an error gives it back if it was not sent.
    pub(super) async fn try_send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match self {
            Self::Http1(sender) => sender.try_send_request(request).await,
            Self::Http2(sender) => sender.try_send_request(request).await,
        }
    }
}

/// Idle connections to a target, shared by all clients.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Connections>);

#[derive(Debug, Default)]
struct Connections {
    idle: Vec<Idle>,
    /// Takes none back any more.
    closed: bool,
}

#[derive(Debug)]
struct Idle {
    sender: Sender,
    until: Instant,
}

impl Pool {
    /// The connection that was used last, if one still lives.
    fn take(&self) -> Option<Sender> {
        let mut connections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while let Some(connection) = connections.idle.pop() {
            if connection.sender.is_ready() && now < connection.until {
                if let Sender::Http2(sender) = &connection.sender {
                    // It stays for others.
                    let shared = Sender::Http2(sender.clone());
                    connections.idle.push(connection);
                    return Some(shared);
                }
                return Some(connection.sender);
            }
        }
        None
    }

    fn put(&self, sender: Sender, idle_timeout: Duration) {
        let mut connections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !connections.closed && connections.idle.len() < POOL_LIMIT {
            connections.idle.push(Idle { sender, until: Instant::now() + idle_timeout });
        }
    }

    /// Drops connections that cannot be used any more.
    pub(super) fn prune(&self) {
        let now = Instant::now();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).idle.retain(|idle| !idle.sender.is_closed() && now < idle.until);
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).idle.clear();
    }

    /// Closes the idle connections now and the lent ones when they come back.
    pub(super) fn close(&self) {
        let mut connections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        connections.closed = true;
        connections.idle.clear();
    }
}

/// Why there is no connection to a target.
#[derive(Debug)]
pub(super) enum ConnectError {
    /// No answer within the connect timeout: packets are lost.
    TimedOut,
    /// Refused, reset or unreachable.
    Failed(io::Error),
}

/// A request's hold on a target: counts as outstanding until dropped, then gives its connection back to the pool.
#[derive(Debug)]
pub(super) struct Lease {
    target: Arc<TargetState>,
    protocol: TargetProtocol,
    version: ProtocolVersion,
    sender: Option<Sender>,
    shared: Arc<Shared>,
    idle_timeout: Duration,
    /// Whether the connection served a request before.
    reused: bool,
}

impl Lease {
    /// Counts a request in flight to a target, without a connection yet.
    pub(super) fn new(group: &TargetGroup, target: &GroupTarget, shared: &Arc<Shared>, idle_timeout: Duration) -> Self {
        target.state.outstanding.fetch_add(1, Ordering::Relaxed);
        Self {
            target: Arc::clone(&target.state),
            protocol: group.protocol,
            version: group.version,
            sender: None,
            shared: Arc::clone(shared),
            idle_timeout,
            reused: false,
        }
    }

    /// The target.
    pub(super) fn target(&self) -> &Arc<TargetState> {
        &self.target
    }

    /// A connection for one request: a pooled one, or a new one.
    pub(super) async fn connection(&mut self, reachability: Reachability) -> Result<&mut Sender, ConnectError> {
        if reachability == Reachability::Blocked {
            // Nothing gets through, on old connections neither.
            self.target.pool.clear();
            sleep(self.shared.timing.connect_timeout).await;
            return Err(ConnectError::TimedOut);
        }
        let pooled = self.target.pool.take();
        self.reused = pooled.is_some();
        let sender = match pooled {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        Ok(self.sender.insert(sender))
    }

    /// A new connection in place of one that its target had closed before the request was sent; None if the present one is new already.
    pub(super) async fn replacement(&mut self) -> Option<Result<&mut Sender, ConnectError>> {
        if !std::mem::take(&mut self.reused) {
            return None;
        }
        match self.connect().await {
            Ok(sender) => Some(Ok(self.sender.insert(sender))),
            Err(error) => Some(Err(error)),
        }
    }

    async fn connect(&self) -> Result<Sender, ConnectError> {
        let stream = match timeout(self.shared.timing.connect_timeout, TcpStream::connect(self.target.address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(ConnectError::Failed(error)),
            Err(_) => return Err(ConnectError::TimedOut),
        };
        // Small messages must not wait for acknowledgements; without the option they are only slower.
        let _ = stream.set_nodelay(true);
        let multiplexed = self.version != ProtocolVersion::Http1;
        let stream = match self.protocol {
            TargetProtocol::Http | TargetProtocol::Tcp => Either::Left(stream),
            TargetProtocol::Https | TargetProtocol::Tls => {
                match timeout(tls::HANDSHAKE_TIMEOUT, tls::connect(stream, multiplexed.then_some("h2"))).await {
                    Ok(Ok(stream)) => Either::Right(stream),
                    Ok(Err(error)) => return Err(ConnectError::Failed(error)),
                    // AWS: 502 and not 504.
                    Err(_) => return Err(ConnectError::Failed(io::Error::other("the TLS handshake took too long"))),
                }
            }
        };
        let failed = |error| ConnectError::Failed(io::Error::other(error));
        if multiplexed {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(failed)?;
            self.drive(connection);
            // A second sender keeps the connection for other requests.
            self.target.pool.put(Sender::Http2(sender.clone()), self.idle_timeout);
            return Ok(Sender::Http2(sender));
        }
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .title_case_headers(true)
            .max_headers(HEADER_LINES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        self.drive(connection.with_upgrades());
        Ok(Sender::Http1(sender))
    }

    /// Runs a connection until its end, or that of its target or of the data plane.
    fn drive(&self, connection: impl Future<Output: Send> + Send + 'static) {
        let (gone, stop) = (self.target.gone.clone(), self.shared.hard_stop.clone());
        self.shared.tracker.spawn(async move {
            tokio::select! {
                // Its errors reach the request in flight.
                _ = connection => {}
                () = gone.cancelled() => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.target.outstanding.fetch_sub(1, Ordering::Relaxed);
        let Some(mut sender) = self.sender.take() else { return };
        if sender.is_closed() || self.target.gone.is_cancelled() || matches!(sender, Sender::Http2(_)) {
            return;
        }
        if sender.is_ready() {
            self.target.pool.put(sender, self.idle_timeout);
            return;
        }
        // The end of the response is still to be read off the connection. Outside of a runtime there is nobody left to do it.
        if tokio::runtime::Handle::try_current().is_ok() {
            let (target, idle_timeout) = (Arc::clone(&self.target), self.idle_timeout);
            self.shared.tracker.spawn(async move {
                if let Ok(Ok(())) = timeout(RETURN_TIMEOUT, sender.ready()).await {
                    target.pool.put(sender, idle_timeout);
                }
            });
        }
    }
}
