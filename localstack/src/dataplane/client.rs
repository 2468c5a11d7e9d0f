//! A client's connection below HTTP: idle timeout, the load balancer's own pages for heads that the HTTP parser refuses, and what logs count.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{
    Shared,
    config::LogStream,
    exchange::log_unreadable,
    head::{refusal, severity},
    headers::http_date,
    log::AccessEntry,
    page::ErrorPage,
    routing::{ListenerTable, SocketKey},
    tls::TlsSession,
};

/// More of a request's head than this is not kept for looking at.
const HEAD_LIMIT: usize = 96 * 1024;

/// What happens on a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Between requests, or reading a request's head.
    Head = 0,
    /// A request is in flight.
    Request = 1,
    /// Upgraded: bytes pass both ways.
    Tunnel = 2,
}

/// A client's connection, as its requests see it.
#[derive(Debug)]
pub(super) struct ClientConnection {
    peer: SocketAddr,
    local_port: u16,
    /// What its TLS handshake led to.
    tls: Option<TlsSession>,
    /// HTTP/2: requests overlap, and their heads are no text.
    multiplexed: bool,
    /// Requests in flight.
    requests: AtomicUsize,
    phase: AtomicU8,
    opened: Instant,
    /// When bytes last moved, in milliseconds after `opened`.
    moved: AtomicU64,
    idle_timeout: AtomicU64,
    /// What was read since the latest request ended.
    head: Mutex<Vec<u8>>,
    shared: Arc<Shared>,
    /// The listener's.
    key: SocketKey,
    /// Bytes so far, after decryption and before encryption.
    received: AtomicU64,
    sent: AtomicU64,
    trace_id: OnceLock<String>,
    /// An entry of the access log whose response's last bytes are on their way.
    unsettled: Mutex<Option<Unsettled>>,
    is_unsettled: AtomicBool,
}

/// A new id of a connection in logs.
pub(super) fn new_trace_id(shared: &Shared) -> String {
    format!("TID_{:032x}", shared.log_random.bits())
}

/// How many bytes had moved on a connection when a request began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    received: u64,
    sent: u64,
}

#[derive(Debug)]
struct Unsettled {
    entry: Box<AccessEntry>,
    stream: Arc<LogStream>,
    marks: Marks,
}

/// Where a connection comes from and to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) peer: SocketAddr,
    /// The port that the client connected to: a stand-in port differs from the listener's.
    pub(super) local_port: u16,
    /// The listener's address and port.
    pub(super) key: SocketKey,
}

impl ClientConnection {
    pub(super) fn new(shared: &Arc<Shared>, ends: Ends, idle_timeout: Duration, tls: Option<TlsSession>, multiplexed: bool) -> Arc<Self> {
        let connection = Self {
            peer: ends.peer,
            local_port: ends.local_port,
            key: ends.key,
            shared: Arc::clone(shared),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            trace_id: OnceLock::new(),
            unsettled: Mutex::default(),
            is_unsettled: AtomicBool::new(false),
            tls,
            multiplexed,
            requests: AtomicUsize::new(0),
            phase: AtomicU8::new(Phase::Head as u8),
            opened: Instant::now(),
            moved: AtomicU64::new(0),
            idle_timeout: AtomicU64::new(0),
            head: Mutex::default(),
        };
        connection.set_idle_timeout(idle_timeout);
        Arc::new(connection)
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    pub(super) fn local_port(&self) -> u16 {
        self.local_port
    }

    /// What its TLS handshake led to; None without TLS.
    pub(super) fn tls(&self) -> Option<&TlsSession> {
        self.tls.as_ref()
    }

    /// Whether requests overlap.
    pub(super) fn is_multiplexed(&self) -> bool {
        self.multiplexed
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Its listener as it is now; None if that is gone.
    pub(super) fn listener(&self) -> Option<Arc<ListenerTable>> {
        self.shared.table().listeners.get(&self.key).map(Arc::clone)
    }

    /// The id that logs give it.
    pub(super) fn trace_id(&self) -> &str {
        self.trace_id.get_or_init(|| new_trace_id(&self.shared))
    }

    /// How many bytes had moved when the request began whose head was just read.
    pub(super) fn marks(&self) -> Marks {
        let head = self.with_head(|head| head.len() as u64);
        Marks { received: self.received.load(Ordering::Relaxed).saturating_sub(head), sent: self.sent.load(Ordering::Relaxed) }
    }

    /// Logs a request. On HTTP/1 its bytes are known when the response has been written.
    pub(super) fn log(&self, entry: AccessEntry, stream: Arc<LogStream>, marks: Marks, tunnel: bool) {
        if self.multiplexed {
            return self.shared.logs.write(&stream, self.key.0, &entry);
        }
        self.settle();
        *self.unsettled.lock().unwrap_or_else(PoisonError::into_inner) = Some(Unsettled { entry: Box::new(entry), stream, marks });
        self.is_unsettled.store(true, Ordering::Relaxed);
        if tunnel {
            self.settle();
        }
    }

    /// Writes an entry that waits for the bytes of its response, all of which have gone now.
    fn settle(&self) {
        if !self.is_unsettled.swap(false, Ordering::Relaxed) {
            return;
        }
        let waiting = self.unsettled.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Unsettled { mut entry, stream, marks }) = waiting else { return };
        entry.received_bytes = self.received.load(Ordering::Relaxed).saturating_sub(marks.received);
        entry.sent_bytes = self.sent.load(Ordering::Relaxed).saturating_sub(marks.sent);
        self.shared.logs.write(&stream, self.key.0, &*entry);
    }

    pub(super) fn set_idle_timeout(&self, timeout: Duration) {
        self.idle_timeout.store(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout.load(Ordering::Relaxed))
    }

    /// Bytes moved.
    pub(super) fn touch(&self) {
        self.moved.store(u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When the connection becomes idle for too long if nothing moves.
    fn deadline(&self) -> Instant {
        let moved = Duration::from_millis(self.moved.load(Ordering::Relaxed));
        self.opened.checked_add(moved.saturating_add(self.idle_timeout())).unwrap_or(self.opened + Duration::from_secs(1 << 30))
    }

    /// A request begins.
    pub(super) fn begin_request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.enter(Phase::Request);
    }

    /// A request ends; the next one may begin.
    pub(super) fn end_request(&self) {
        if self.requests.fetch_sub(1, Ordering::Relaxed) <= 1 {
            self.head.lock().unwrap_or_else(PoisonError::into_inner).clear();
            self.enter(Phase::Head);
        }
        self.touch();
    }

    /// The connection becomes a tunnel.
    pub(super) fn become_tunnel(&self) {
        self.enter(Phase::Tunnel);
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.touch();
    }

    fn in_phase(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }

    /// Runs `look` on the bytes of the current request's head (and what came with it), if they are known from their first byte on.
    pub(super) fn with_head<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        look(&self.head.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn wrote(&self, bytes: usize) {
        self.touch();
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn read(&self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.touch();
            self.received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            if !self.multiplexed && self.in_phase(Phase::Head) {
                let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
                let room = HEAD_LIMIT.saturating_sub(head.len()).min(bytes.len());
                head.extend_from_slice(bytes.get(..room).unwrap_or_default());
            }
        }
    }
}

/// Fires when nothing moved on a client's connection for its idle timeout.
#[derive(Debug)]
pub(super) struct IdleTimer {
    connection: Arc<ClientConnection>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl IdleTimer {
    pub(super) fn new(connection: Arc<ClientConnection>) -> Self {
        Self { connection, sleep: None }
    }

    /// Bytes moved.
    pub(super) fn touch(&self) {
        self.connection.touch();
    }

    /// Ready when nothing moved for too long.
    pub(super) fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let deadline = self.connection.deadline();
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            // Setting the timer on each movement would cost more than waking up early once per timeout.
            if sleep.deadline() > deadline || sleep.is_elapsed() {
                sleep.as_mut().reset(deadline);
            }
            ready!(sleep.as_mut().poll(cx));
        }
    }

    /// Waits until nothing moved for too long.
    pub(super) async fn expired(&mut self) {
        std::future::poll_fn(|cx| self.poll_expired(cx)).await;
    }
}

/// The client's stream, with TLS or without, under the HTTP server.
#[derive(Debug)]
pub(super) struct ClientStream<S> {
    stream: S,
    connection: Arc<ClientConnection>,
    read_idle: IdleTimer,
    write_idle: IdleTimer,
    /// A page that replaces what the HTTP server wanted to write, with the number of bytes that it gave.
    page: Option<(Vec<u8>, usize, usize)>,
}

impl<S> ClientStream<S> {
    pub(super) fn new(stream: S, connection: Arc<ClientConnection>) -> Self {
        let timer = || IdleTimer::new(Arc::clone(&connection));
        Self { stream, read_idle: timer(), write_idle: timer(), page: None, connection }
    }

    /// The page in place of the HTTP server's bare answer to a head that it could not read.
    fn replacement(&self, given: &[u8]) -> Option<Vec<u8>> {
        // The server writes such an answer only between requests, in one piece, and it alone has no Date.
        if !self.connection.in_phase(Phase::Head) || !is_bare_refusal(given) {
            return None;
        }
        let page = self.connection.with_head(refusal);
        tracing::info!(target: "portico_cloud::access", "{} sent a request that cannot be read: {}", self.connection.peer.ip(), page.status().0);
        let bytes = page.bytes(&http_date(Timestamp::now()));
        log_unreadable(&self.connection, page, self.connection.with_head(severity), bytes.len());
        Some(bytes)
    }
}

/// The stream may end before its last request does: nothing more will be written then.
impl Drop for ClientConnection {
    fn drop(&mut self) {
        self.settle();
    }
}

/// Whether bytes are what hyper answers by itself: a status line, `connection: close`, `content-length: 0` and nothing else.
fn is_bare_refusal(bytes: &[u8]) -> bool {
    let Some(rest) = ["400 Bad Request", "414 URI Too Long", "431 Request Header Fields Too Large"]
        .iter()
        .find_map(|status| bytes.strip_prefix(format!("HTTP/1.1 {status}\r\n").as_bytes()))
    else {
        return false;
    };
    let lines = rest.split(|byte| *byte == b'\n').filter(|line| line.len() > 1);
    lines.map(<[u8]>::to_ascii_lowercase).all(|line| line == b"connection: close\r" || line == b"content-length: 0\r")
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(cx, buffer) {
            this.connection.read(buffer.filled().get(before..).unwrap_or_default());
            return Poll::Ready(result);
        }
        if this.connection.in_phase(Phase::Request) {
            // The request has timers of its own.
            return Poll::Pending;
        }
        ready!(this.read_idle.poll_expired(cx));
        if this.connection.in_phase(Phase::Tunnel) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if this.connection.with_head(|head| !head.is_empty()) {
            // Part of a head came, and nothing since. One try: a client that does not even take the page gets none.
            let page = ErrorPage::RequestTimeout.bytes(&http_date(Timestamp::now()));
            log_unreadable(&this.connection, ErrorPage::RequestTimeout, None, page.len());
            let _ = Pin::new(&mut this.stream).poll_write(cx, &page);
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ClientStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.page.is_none() {
            this.page = this.replacement(bytes).map(|page| (page, 0, bytes.len()));
        }
        let result = match &mut this.page {
            Some((page, written, given)) => loop {
                let rest = page.get(*written..).unwrap_or_default();
                if rest.is_empty() {
                    let given = *given;
                    this.page = None;
                    break Poll::Ready(Ok(given));
                }
                match Pin::new(&mut this.stream).poll_write(cx, rest) {
                    Poll::Ready(Ok(count)) => *written += count.max(1),
                    other => break other,
                }
            },
            None => Pin::new(&mut this.stream).poll_write(cx, bytes),
        };
        match result {
            Poll::Ready(result) => {
                this.connection.wrote(result.as_ref().copied().unwrap_or_default());
                Poll::Ready(result)
            }
            Poll::Pending => {
                ready!(this.write_idle.poll_expired(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        self.connection.settle();
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_servers_bare_answer_is_replaced() {
        for (bytes, expected) in [
            ("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", true),
            ("HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", true),
            ("HTTP/1.1 400 Bad Request\r\nDate: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", false),
            ("HTTP/1.1 400 Bad Request\r\nContent-Length: 1\r\n\r\nx", false),
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", false),
            ("", false),
        ] {
            assert_eq!(is_bare_refusal(bytes.as_bytes()), expected, "{bytes}");
        }
    }
}
