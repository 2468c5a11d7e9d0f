//! Message bodies on their way through the load balancer.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use http_body_util::Full;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};

use super::{
    client::{ClientConnection, IdleTimer},
    connection::Lease,
    exchange::Exchange,
};

/// A request's body on its way to a target. What passes keeps the client's connection from being idle.
#[derive(Debug)]
pub(super) struct RequestBody {
    incoming: Incoming,
    client: Arc<ClientConnection>,
    /// Where its bytes are counted.
    counter: Option<Arc<AtomicU64>>,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, client: Arc<ClientConnection>, counter: Option<Arc<AtomicU64>>) -> Self {
        Self { incoming, client, counter }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        self.client.touch();
        if let (Some(counter), Some(Ok(frame))) = (&self.counter, &frame) {
            counter.fetch_add(frame.data_ref().map_or(0, Bytes::len) as u64, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// A response's body on its way to the client. The exchange ends when it is dropped.
#[derive(Debug)]
pub(super) struct ResponseBody {
    source: Source,
    exchange: Option<Box<Exchange>>,
}

#[derive(Debug)]
enum Source {
    Own(Full<Bytes>),
    Target { incoming: Incoming, idle: IdleTimer, _lease: Box<Lease> },
}

impl ResponseBody {
    /// A body of the load balancer's own.
    pub(super) fn own(text: impl Into<Bytes>) -> Self {
        Self { source: Source::Own(Full::new(text.into())), exchange: None }
    }

    /// The body of a target's response, which holds the target's connection.
    pub(super) fn target(incoming: Incoming, idle: IdleTimer, lease: Lease) -> Self {
        Self { source: Source::Target { incoming, idle, _lease: Box::new(lease) }, exchange: None }
    }

    /// Ends the exchange together with the body.
    pub(super) fn ending(mut self, exchange: Box<Exchange>) -> Self {
        self.exchange = Some(exchange);
        self
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        let frame = match &mut this.source {
            Source::Own(full) => match ready!(Pin::new(full).poll_frame(cx)) {
                Some(Ok(frame)) => Some(Ok(frame)),
                Some(Err(never)) => match never {},
                None => None,
            },
            Source::Target { incoming, idle, .. } => match Pin::new(incoming).poll_frame(cx) {
                Poll::Ready(frame) => {
                    idle.touch();
                    frame.map(|frame| frame.map_err(io::Error::other))
                }
                Poll::Pending => {
                    ready!(idle.poll_expired(cx));
                    Some(Err(io::ErrorKind::TimedOut.into()))
                }
            },
        };
        if let Some(exchange) = &mut this.exchange {
            match &frame {
                Some(Ok(frame)) => exchange.sent(frame.data_ref().map_or(0, Bytes::len)),
                Some(Err(error)) => exchange.note(format!("response cut off: {error}")),
                None => exchange.completed(),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(full) => full.is_end_stream(),
            Source::Target { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(full) => full.size_hint(),
            Source::Target { incoming, .. } => incoming.size_hint(),
        }
    }
}
