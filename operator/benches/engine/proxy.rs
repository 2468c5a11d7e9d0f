//! A proxy that acknowledges what it is told, and runs nothing of it: what is sent to it over loopback is what a proxy would get.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use futures::channel::mpsc::{self, UnboundedSender};
use futures::stream::StreamExt;
use http::Request;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;

const METHOD: &str = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const ENDPOINTS: &str = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
/// What is asked for by the wildcard. Endpoints are asked for by name, as Envoy does.
const WILDCARD: [&str; 4] = [
    CLUSTER,
    "type.googleapis.com/envoy.config.listener.v3.Listener",
    "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
    "type.googleapis.com/envoy.config.route.v3.VirtualHost",
];
/// Bytes before a gRPC message: whether it is compressed, and its length.
const HEAD: usize = 5;

/// What was received.
#[derive(Debug, Default)]
pub struct Received {
    /// Bytes of gRPC messages.
    pub bytes: AtomicU64,
    /// Responses.
    pub responses: AtomicU64,
    /// Resources in them.
    pub resources: AtomicU64,
}

/// Connects, asks for everything and acknowledges it from then on.
pub async fn connect(at: SocketAddr, fleet: &str) -> anyhow::Result<Arc<Received>> {
    let socket = TcpStream::connect(at).await.context("cannot connect to the operator")?;
    socket.set_nodelay(true)?;
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    let (out, requests) = mpsc::unbounded::<Bytes>();
    let body = StreamBody::new(requests.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes))));
    let request = Request::post(format!("http://{at}{METHOD}")).header("content-type", "application/grpc").header("te", "trailers");
    for type_url in WILDCARD {
        let node = Node {
            id: "bench-proxy".to_owned(),
            cluster: fleet.to_owned(),
            user_agent_name: "envoy".to_owned(),
            // From 1.40 on a proxy is told of virtual hosts by themselves.
            build_version: Some(BuildVersion { version: Some(SemanticVersion { major: 1, minor: 40 }) }),
        };
        say(
            &out,
            DeltaRequest { node: Some(node), type_url: type_url.to_owned(), subscribe: vec!["*".to_owned()], ..DeltaRequest::default() },
        );
    }
    let response = sender.send_request(request.body(body)?).await?;
    anyhow::ensure!(response.status().is_success(), "the operator answers {}", response.status());
    let received = Arc::<Received>::default();
    let counted = received.clone();
    tokio::spawn(async move {
        if let Err(error) = listen(response.into_body(), &out, &counted).await {
            eprintln!("the stream ends: {error:#}");
        }
        // The connection goes with its last sender.
        drop(sender);
    });
    Ok(received)
}

fn say(out: &UnboundedSender<Bytes>, request: DeltaRequest) {
    let mut message = vec![0; HEAD];
    let length = u32::try_from(request.encoded_len()).unwrap_or(u32::MAX).to_be_bytes();
    message.splice(1..HEAD, length);
    message.extend(request.encode_to_vec());
    // Nobody listens any more at the end.
    let _ = out.unbounded_send(message.into());
}

async fn listen(mut body: Incoming, out: &UnboundedSender<Bytes>, received: &Received) -> anyhow::Result<()> {
    let mut known = BTreeSet::new();
    let mut buffer: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        buffer.extend_from_slice(&data);
        while let Some((message, whole)) = message(&buffer) {
            let response = DeltaResponse::decode(message).context("a response")?;
            received.bytes.fetch_add(whole as u64, Ordering::Relaxed);
            received.resources.fetch_add(response.resources.len() as u64, Ordering::Relaxed);
            received.responses.fetch_add(1, Ordering::Relaxed);
            buffer.drain(..whole);
            let new = if response.type_url == CLUSTER { news(&mut known, &response) } else { Vec::new() };
            say(out, DeltaRequest { type_url: response.type_url, nonce: response.nonce, ..DeltaRequest::default() });
            if !new.is_empty() {
                say(out, DeltaRequest { type_url: ENDPOINTS.to_owned(), subscribe: new, ..DeltaRequest::default() });
            }
        }
    }
    Ok(())
}

/// The first whole message in what has come, and how much that is with its head.
fn message(buffer: &[u8]) -> Option<(&[u8], usize)> {
    let length: [u8; 4] = buffer.get(1..HEAD)?.try_into().ok()?;
    let whole = HEAD + usize::try_from(u32::from_be_bytes(length)).ok()?;
    Some((buffer.get(HEAD..whole)?, whole))
}

/// Clusters that were not there before.
fn news(known: &mut BTreeSet<String>, response: &DeltaResponse) -> Vec<String> {
    for name in &response.removed {
        known.remove(name);
    }
    response.resources.iter().filter(|it| known.insert(it.name.clone())).map(|it| it.name.clone()).collect()
}

// The messages of `envoy.service.discovery.v3`, as far as such a proxy needs them.

#[derive(Clone, PartialEq, prost::Message)]
struct DeltaRequest {
    #[prost(message, optional, tag = "1")]
    node: Option<Node>,
    #[prost(string, tag = "2")]
    type_url: String,
    #[prost(string, repeated, tag = "3")]
    subscribe: Vec<String>,
    #[prost(string, tag = "6")]
    nonce: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Node {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    cluster: String,
    #[prost(string, tag = "6")]
    user_agent_name: String,
    #[prost(message, optional, tag = "8")]
    build_version: Option<BuildVersion>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct BuildVersion {
    #[prost(message, optional, tag = "1")]
    version: Option<SemanticVersion>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SemanticVersion {
    #[prost(uint32, tag = "1")]
    major: u32,
    #[prost(uint32, tag = "2")]
    minor: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct DeltaResponse {
    #[prost(message, repeated, tag = "2")]
    resources: Vec<Named>,
    #[prost(string, tag = "4")]
    type_url: String,
    #[prost(string, repeated, tag = "6")]
    removed: Vec<String>,
    #[prost(string, tag = "5")]
    nonce: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Named {
    #[prost(string, tag = "3")]
    name: String,
}
