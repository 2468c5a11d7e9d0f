//! Listening sockets: opening, accepting, closing gracefully.

use std::{
    collections::HashSet,
    future::Future,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::FutureExt;
use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::JoinHandle,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Shared,
    client::{ClientConnection, ClientStream, Ends, new_trace_id},
    config::{ListenerProtocol, LogOptions, PortFallback},
    connection::HEADER_LINES,
    headers::canonical,
    log::ConnectionEntry,
    routing::{ListenerTable, SocketKey},
    service::serve,
    tls::{self, Accepted, Refused},
};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// Candidates for a stand-in port.
const STAND_INS: u16 = 100;
/// AWS: requests at once on an HTTP/2 connection.
const CONCURRENT_STREAMS: u32 = 128;

/// The socket of a listener.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) protocol: ListenerProtocol,
    /// Where it listens, or why it does not.
    pub(super) bound: Result<SocketAddr, String>,
    stop: CancellationToken,
    accepting: Option<JoinHandle<()>>,
}

impl Socket {
    /// Opens the socket of a listener and accepts connections. `reserved` are the ports of all listeners at the address, none of which may become
    /// a stand-in for another.
    pub(super) fn open(shared: &Arc<Shared>, listener: &Arc<ListenerTable>, fallback: PortFallback, reserved: &HashSet<u16>) -> Self {
        let key = (listener.load_balancer.address, listener.port);
        let stop = shared.hard_stop.child_token();
        let failed = |reason: String| Self { protocol: listener.protocol.clone(), bound: Err(reason), stop: stop.clone(), accepting: None };
        let bound = bind(key, fallback, reserved, listen).and_then(|socket| Ok((socket.local_addr()?, socket)));
        match bound {
            Ok((address, socket)) => {
                let accepting = accept(Arc::clone(shared), key, socket, address, Arc::clone(listener), stop.clone());
                Self { protocol: listener.protocol.clone(), bound: Ok(address), accepting: Some(shared.tracker.spawn(accepting)), stop }
            }
            Err(error) => failed(format!("{}:{} cannot be bound: {error}", key.0, key.1)),
        }
    }

    /// Stops accepting and lets its connections finish the requests that they have. When it returns, the port is free.
    pub(super) async fn close(mut self) {
        self.stop.cancel();
        if let Some(accepting) = self.accepting.take() {
            // It ends by itself; that it panicked would be no reason to go on listening.
            let _ = accepting.await;
        }
    }
}

/// Opens a socket at its port, or at one that stands in for it.
pub(super) fn bind<S>(
    (address, port): SocketKey,
    fallback: PortFallback,
    reserved: &HashSet<u16>,
    open: impl Fn(SocketAddr) -> io::Result<S>,
) -> io::Result<S> {
    let error = match open(SocketAddr::new(address, port)) {
        Ok(socket) => return Ok(socket),
        Err(error) => error,
    };
    let PortFallback::StandIn { offset } = fallback else { return Err(error) };
    if !matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::AddrInUse) {
        return Err(error);
    }
    // High ports have no room above them: theirs are found lower.
    let first = port.checked_add(offset).unwrap_or(port - offset.min(port));
    (first..first.saturating_add(STAND_INS))
        .filter(|candidate| !reserved.contains(candidate))
        .find_map(|candidate| open(SocketAddr::new(address, candidate)).ok())
        .ok_or(error)
}

/// A TCP socket that listens.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn accept(
    shared: Arc<Shared>,
    key: SocketKey,
    socket: TcpListener,
    local: SocketAddr,
    listener: Arc<ListenerTable>,
    stop: CancellationToken,
) {
    // The table of the latest request, for requests that arrive when the listener has just been removed.
    let latest = Arc::new(Mutex::new(listener));
    let start = |stream: TcpStream, peer: SocketAddr| {
        let connection = connection(Arc::clone(&shared), key, stream, peer, local, Arc::clone(&latest), stop.clone());
        shared.tracker.spawn(connection);
    };
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = socket.accept() => match accepted {
                Ok((stream, peer)) => start(stream, peer),
                Err(error) => {
                    // Out of file descriptors, most likely: it passes when connections end.
                    tracing::warn!(%error, %local, "cannot accept a connection");
                    sleep(Duration::from_millis(20)).await;
                }
            },
        }
    }
    // Who connected before the end is served.
    for _ in 0..BACKLOG {
        match socket.accept().now_or_never() {
            Some(Ok((stream, peer))) => start(stream, peer),
            _ => break,
        }
    }
}

async fn connection(
    shared: Arc<Shared>,
    key: SocketKey,
    stream: TcpStream,
    peer: SocketAddr,
    local: SocketAddr,
    latest: Arc<Mutex<Arc<ListenerTable>>>,
    stop: CancellationToken,
) {
    let current = {
        let shared = Arc::clone(&shared);
        move || {
            let table = shared.table();
            let mut latest = latest.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(listener) = table.listeners.get(&key) {
                *latest = Arc::clone(listener);
            }
            let listener = Arc::clone(&latest);
            (table, listener)
        }
    };
    let (_, listener) = current();
    if !may_connect(&listener, peer) {
        // A security group drops packets, which a program above TCP cannot do: it resets the connection instead, without a byte.
        let _ = stream.set_zero_linger();
        return;
    }
    let _ = stream.set_nodelay(true);
    let attributes = &listener.load_balancer.attributes;
    let idle_timeout = shared.compress(attributes.idle_timeout);
    let greatest_age = shared.compress(attributes.client_keep_alive);
    let end = End { hard_stop: shared.hard_stop.clone(), stop, greatest_age };
    let tracker = shared.tracker.clone();
    let logged = Logged { shared: Arc::clone(&shared), listener: Arc::clone(&listener) };
    let service = |client: &Arc<ClientConnection>| {
        let client = Arc::clone(client);
        service_fn(move |request| {
            let (table, listener) = current();
            serve(Arc::clone(&shared), Arc::clone(&client), table, listener, request)
        })
    };
    let ends = Ends { peer, local_port: local.port(), key };
    let Some(tls) = &listener.tls else {
        let client = ClientConnection::new(&logged.shared, ends, idle_timeout, None, false);
        logged.plain(&client);
        let stream = TokioIo::new(ClientStream::new(stream, Arc::clone(&client)));
        return end.follow(http1().serve_connection(stream, service(&client)).with_upgrades(), |served| served.graceful_shutdown()).await;
    };
    let accepted = tokio::select! {
        accepted = tls.accept(stream, logged.wanted()) => accepted,
        () = end.hard_stop.cancelled() => return,
    };
    let Accepted { stream, session } = match accepted {
        Ok(accepted) => accepted,
        Err(refused) => return logged.refused(ends, &refused),
    };
    let http2 = tls::is_http2(&stream);
    let client = ClientConnection::new(&logged.shared, ends, idle_timeout, Some(session), http2);
    logged.established(&client);
    let stream = TokioIo::new(ClientStream::new(stream, Arc::clone(&client)));
    if http2 {
        let served = http2::Builder::new(Tracked(tracker))
            .timer(TokioTimer::new())
            .auto_date_header(false)
            .max_concurrent_streams(CONCURRENT_STREAMS)
            .serve_connection(stream, service(&client));
        end.follow(served, |served| served.graceful_shutdown()).await;
    } else {
        end.follow(http1().serve_connection(stream, service(&client)).with_upgrades(), |served| served.graceful_shutdown()).await;
    }
}

/// The connection log of a listener.
struct Logged {
    shared: Arc<Shared>,
    listener: Arc<ListenerTable>,
}

impl Logged {
    fn options(&self) -> &LogOptions {
        &self.listener.load_balancer.attributes.logs
    }

    fn wanted(&self) -> bool {
        self.options().connections.is_some()
    }

    fn write(&self, client: SocketAddr, trace_id: &str, more: impl FnOnce(ConnectionEntry) -> ConnectionEntry) {
        let Some(stream) = &self.options().connections else { return };
        let node = self.listener.load_balancer.address;
        let entry = ConnectionEntry {
            time: Timestamp::now(),
            client,
            listener_port: self.listener.port,
            tls: None,
            handshake_time: None,
            client_certificate: None,
            status: None,
            connection: trace_id.to_owned(),
            key_exchange: None,
            load_balancer: self.options().load_balancer.clone(),
            node,
        };
        self.shared.logs.write(stream, node, &more(entry));
    }

    /// A connection without TLS.
    fn plain(&self, client: &ClientConnection) {
        if self.wanted() {
            self.write(client.peer(), client.trace_id(), |entry| entry);
        }
    }

    /// A connection with TLS.
    fn established(&self, client: &ClientConnection) {
        let Some(session) = client.tls().filter(|_| self.wanted()) else { return };
        self.write(client.peer(), client.trace_id(), |entry| ConnectionEntry {
            tls: Some((session.version, session.cipher)),
            handshake_time: Some(session.handshake),
            client_certificate: session.client_facts.clone(),
            status: Some("Success".into()),
            key_exchange: session.key_exchange,
            ..entry
        });
    }

    /// A handshake that failed.
    fn refused(&self, ends: Ends, refused: &Refused) {
        if !self.wanted() {
            return;
        }
        self.write(ends.peer, &new_trace_id(&self.shared), |entry| ConnectionEntry {
            tls: refused.hello.as_ref().and_then(|hello| hello.tls),
            client_certificate: refused.client.clone(),
            status: Some(format!("Failed:{}", refused.code)),
            ..entry
        });
    }
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // The stream below has the idle timeout.
        .header_read_timeout(None)
        .auto_date_header(false)
        .preserve_header_case(true)
        .title_case_headers(true)
        .max_headers(HEADER_LINES);
    builder
}

/// Runs the tasks of HTTP/2 connections where shutting down waits for them.
#[derive(Clone, Debug)]
struct Tracked(TaskTracker);

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Tracked {
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

/// What ends a connection.
struct End {
    /// Now.
    hard_stop: CancellationToken,
    /// When its requests are done: the listener is gone.
    stop: CancellationToken,
    /// Likewise: it is old.
    greatest_age: Duration,
}

impl End {
    /// Drives a connection to its end.
    async fn follow<C: Future>(self, connection: C, shut_down: impl Fn(Pin<&mut C>)) {
        let (mut connection, mut greatest_age) = (pin!(connection), pin!(sleep(self.greatest_age)));
        let mut closing = false;
        loop {
            tokio::select! {
                // Errors end the connection; the access log has what concerns a request.
                _ = connection.as_mut() => return,
                () = self.hard_stop.cancelled() => return,
                () = self.stop.cancelled(), if !closing => {}
                () = greatest_age.as_mut(), if !closing => {}
            }
            closing = true;
            shut_down(connection.as_mut());
        }
    }
}

/// Whether the load balancer's security groups let a peer connect to the listener.
fn may_connect(listener: &ListenerTable, peer: SocketAddr) -> bool {
    let address = canonical(peer.ip());
    listener
        .load_balancer
        .ingress
        .iter()
        .any(|rule| (rule.from_port..=rule.to_port).contains(&listener.port) && rule.source.contains(&address))
}
