//! A client's connection below HTTP: idle timeout, and the load balancer's own pages for heads that the HTTP parser refuses.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{head::refusal, headers::http_date, page::ErrorPage, tls::TlsSession};

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
    /// The port that the client connected to: a stand-in port differs from the listener's.
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
}

impl ClientConnection {
    pub(super) fn new(peer: SocketAddr, local_port: u16, idle_timeout: Duration, tls: Option<TlsSession>, multiplexed: bool) -> Arc<Self> {
        let connection = Self {
            peer,
            local_port,
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

    fn read(&self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.touch();
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
        Some(page.bytes(&http_date(Timestamp::now())))
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
                this.connection.touch();
                Poll::Ready(result)
            }
            Poll::Pending => {
                ready!(this.write_idle.poll_expired(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
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
