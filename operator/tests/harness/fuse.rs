//! A fuse between an operator and the cloud: counts calls, and at the n-th one cuts the line, before the call or after it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::wire;

/// What becomes of the call at which the fuse blows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It takes effect, and its answer never comes.
    AnswerLost,
    /// It never reaches the cloud.
    CallLost,
}

/// When to cut the line.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Counted from 1, from the moment when the fuse is armed.
    pub nth: u64,
    /// Whether only calls that change something count.
    pub mutations: bool,
    pub fate: Fate,
}

/// The fuse.
pub struct Fuse {
    address: SocketAddr,
    line: Arc<Line>,
    _stop: DropGuard,
}

struct Line {
    cloud: SocketAddr,
    /// Clouds of other regions, by the region's name.
    elsewhere: Mutex<BTreeMap<String, SocketAddr>>,
    state: Mutex<State>,
    blown: watch::Sender<bool>,
    flying: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    cut: Option<Cut>,
    seen: u64,
    /// The call at which it blew.
    at: String,
}

enum Way {
    Through,
    Last,
    Nowhere,
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a call goes: its credential scope, `KEY/DATE/REGION/SERVICE/aws4_request`, names the region.
    fn cloud_of(&self, head: &Parts) -> SocketAddr {
        let scope = head.headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok()?.split("Credential=").nth(1)?.split(',').next());
        let region = scope.and_then(|scope| scope.split('/').nth(2)).unwrap_or_default();
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner).get(region).copied().unwrap_or(self.cloud)
    }

    fn way(&self, action: &str) -> Way {
        if *self.blown.borrow() {
            return Way::Nowhere;
        }
        let mut state = self.state();
        let Some(cut) = state.cut else { return Way::Through };
        if cut.mutations && (action.starts_with("Describe") || action.starts_with("List")) {
            return Way::Through;
        }
        state.seen += 1;
        if state.seen < cut.nth {
            return Way::Through;
        }
        state.at = action.to_owned();
        state.cut = None;
        match cut.fate {
            Fate::AnswerLost => Way::Last,
            Fate::CallLost => {
                self.blown.send_replace(true);
                Way::Nowhere
            }
        }
    }

    async fn carry(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, String> {
        let _flight = Flight::new(&self.flying);
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        let text = String::from_utf8_lossy(&body);
        // The query protocol names the action in the body, ACM's JSON in a header.
        let target = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok()?.rsplit('.').next());
        let action = text.split('&').find_map(|pair| pair.strip_prefix("Action=")).or(target).unwrap_or("?").to_owned();
        let way = self.way(&action);
        if matches!(way, Way::Nowhere) {
            std::future::pending::<()>().await;
        }
        let cloud = self.cloud_of(&head);
        let request = Request::from_parts(head, Full::new(body));
        let answer = wire::exchange(cloud, request).await;
        if matches!(way, Way::Last) {
            self.blown.send_replace(true);
        }
        // Nobody hears answers over a cut line.
        if *self.blown.borrow() {
            std::future::pending::<()>().await;
        }
        let answer = answer?;
        let mut response = Response::new(Full::new(answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

/// A call between its arrival and its end.
struct Flight(watch::Sender<usize>);

impl Flight {
    fn new(flying: &watch::Sender<usize>) -> Self {
        flying.send_modify(|count| *count += 1);
        Self(flying.clone())
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Fuse {
    pub async fn start(cloud: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (blown, flying) = (watch::Sender::new(false), watch::Sender::new(0));
        let line = Arc::new(Line { cloud, elsewhere: Mutex::default(), state: Mutex::default(), blown, flying });
        let stop = CancellationToken::new();
        let (stopped, carrier) = (stop.clone(), line.clone());
        tokio::spawn(async move {
            loop {
                let accepted = tokio::select! { () = stopped.cancelled() => return, accepted = listener.accept() => accepted };
                let Ok((stream, _)) = accepted else { continue };
                let (line, stopped) = (carrier.clone(), stopped.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| line.clone().carry(request));
                    let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    tokio::select! { () = stopped.cancelled() => {}, _ = serving => {} }
                });
            }
        });
        Self { address, line, _stop: stop.drop_guard() }
    }

    /// Calls to another region go to another cloud from now on.
    pub fn lead(&self, region: &str, cloud: SocketAddr) {
        self.line.elsewhere.lock().unwrap_or_else(PoisonError::into_inner).insert(region.to_owned(), cloud);
    }

    /// What an operator takes for the cloud.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Arms it; counting starts now.
    pub fn arm(&self, cut: Cut) {
        *self.line.state() = State { cut: Some(cut), ..State::default() };
    }

    /// Waits until it blows; returns the call at which it did.
    pub async fn blown(&self) -> String {
        self.line.blown.subscribe().wait_for(|blown| *blown).await.unwrap();
        self.line.state().at.clone()
    }

    /// Mends the line, once nobody's calls are under way any more.
    pub async fn mend(&self) {
        let landed = async { self.line.flying.subscribe().wait_for(|count| *count == 0).await.map(drop) };
        tokio::time::timeout(super::LIMIT, landed).await.expect("calls of a dead operator hang").unwrap();
        *self.line.state() = State::default();
        self.line.blown.send_replace(false);
    }
}
