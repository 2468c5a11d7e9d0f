//! One stream of one proxy: from its requests to its responses.

use crate::discovery::{Any, DeltaDiscoveryRequest, DeltaDiscoveryResponse, DeltaResource, DiscoveryRequest, DiscoveryResponse, Node};
use crate::identity::{Credentials, TokenReviewer, identify};
use crate::metrics::{Counters, Event};
use crate::resource::Resource;
use crate::routes::Hosts;
use crate::store::{Store, StreamId};
use crate::stream::{Mode, Request, Response, Stream};
use futures::stream::{BoxStream, StreamExt, unfold};
use portico_crds::v1alpha1::envoy::Identification;
use portico_envoy::observed::{ResourceKind, Version};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

/// Responses that may wait for a proxy that does not read. Beyond that nothing is computed for it either.
const WAITING_RESPONSES: usize = 4;
/// How long routes wait for a proxy to have the endpoints and secrets of new clusters.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a proxy's fleet is looked for that no Gateway has yet.
const LOOK_FOR_FLEET: Duration = Duration::from_millis(100);
/// How long a proxy may keep silent at the beginning.
const FIRST_REQUEST: Duration = Duration::from_secs(30);

/// What all streams share.
#[derive(Clone)]
pub(crate) struct Ads {
    pub store: Arc<Store>,
    pub counters: Arc<Counters>,
    pub reviewer: Arc<OnceLock<Arc<dyn TokenReviewer>>>,
    /// Cancelled when everything that the cluster holds has been published once.
    pub complete: CancellationToken,
    pub stop: CancellationToken,
    /// Called with nothing held, when the progress of units may have changed.
    pub news: Arc<dyn Fn() + Send + Sync>,
}

/// A form of the protocol: its messages.
trait Protocol: Send + 'static {
    type Request: Send + 'static;
    type Response: Send + 'static;
    const MODE: Mode;
    /// Type URL and node of a request.
    fn head(request: &Self::Request) -> (&str, Option<&Node>);
    fn request(request: Self::Request) -> Request;
    fn response(response: &Response) -> Self::Response;
}

struct Delta;
struct World;

impl Protocol for Delta {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;
    const MODE: Mode = Mode::Delta;

    fn head(request: &DeltaDiscoveryRequest) -> (&str, Option<&Node>) {
        (&request.type_url, request.node.as_ref())
    }

    fn request(request: DeltaDiscoveryRequest) -> Request {
        Request {
            subscribe: request.resource_names_subscribe,
            unsubscribe: request.resource_names_unsubscribe,
            initial_versions: request.initial_resource_versions.into_iter().map(|(name, version)| (name, Version(version))).collect(),
            nonce: request.response_nonce,
            error: request.error_detail.map(|status| status.message),
        }
    }

    fn response(response: &Response) -> DeltaDiscoveryResponse {
        let resource = |resource: &Arc<Resource>| DeltaResource {
            name: resource.key.name.clone(),
            version: resource.version.to_string(),
            resource: Some(any(resource)),
        };
        DeltaDiscoveryResponse {
            system_version_info: String::new(),
            resources: response.resources.iter().map(resource).collect(),
            type_url: response.kind.type_url().to_owned(),
            removed_resources: response.removed.clone(),
            nonce: response.nonce.clone(),
        }
    }
}

impl Protocol for World {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;
    const MODE: Mode = Mode::StateOfTheWorld;

    fn head(request: &DiscoveryRequest) -> (&str, Option<&Node>) {
        (&request.type_url, request.node.as_ref())
    }

    fn request(request: DiscoveryRequest) -> Request {
        Request {
            subscribe: request.resource_names,
            nonce: request.response_nonce,
            error: request.error_detail.map(|status| status.message),
            ..Request::default()
        }
    }

    fn response(response: &Response) -> DiscoveryResponse {
        let versions = response.resources.iter().map(|resource| (resource.key.clone(), resource.version.clone()));
        DiscoveryResponse {
            version_info: Version::of_all(&versions.collect()).to_string(),
            resources: response.resources.iter().map(any).collect(),
            type_url: response.kind.type_url().to_owned(),
            nonce: response.nonce.clone(),
        }
    }
}

fn any(resource: &Arc<Resource>) -> Any {
    Any { type_url: resource.key.kind.type_url().to_owned(), value: resource.body.clone() }
}

/// The method `DeltaAggregatedResources`.
pub(crate) struct DeltaService {
    pub ads: Ads,
    pub credentials: Arc<Credentials>,
}

/// The method `StreamAggregatedResources`.
pub(crate) struct WorldService {
    pub ads: Ads,
    pub credentials: Arc<Credentials>,
}

type Answers<T> = BoxStream<'static, Result<T, Status>>;
type Opened<T> = Pin<Box<dyn Future<Output = Result<tonic::Response<Answers<T>>, Status>> + Send>>;

impl tonic::server::StreamingService<DeltaDiscoveryRequest> for DeltaService {
    type Response = DeltaDiscoveryResponse;
    type ResponseStream = Answers<DeltaDiscoveryResponse>;
    type Future = Opened<DeltaDiscoveryResponse>;

    fn call(&mut self, request: tonic::Request<Streaming<DeltaDiscoveryRequest>>) -> Self::Future {
        open::<Delta>(self.ads.clone(), self.credentials.clone(), request)
    }
}

impl tonic::server::StreamingService<DiscoveryRequest> for WorldService {
    type Response = DiscoveryResponse;
    type ResponseStream = Answers<DiscoveryResponse>;
    type Future = Opened<DiscoveryResponse>;

    fn call(&mut self, request: tonic::Request<Streaming<DiscoveryRequest>>) -> Self::Future {
        open::<World>(self.ads.clone(), self.credentials.clone(), request)
    }
}

fn open<P: Protocol>(ads: Ads, credentials: Arc<Credentials>, request: tonic::Request<Streaming<P::Request>>) -> Opened<P::Response> {
    let token = request.metadata().get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer ").map(str::to_owned));
    let (sender, receiver) = mpsc::channel(WAITING_RESPONSES);
    tokio::spawn(async move {
        if let Err(status) = run::<P>(&ads, &credentials, token, request.into_inner(), &sender).await {
            tracing::info!(status = %status.message(), code = ?status.code(), "a proxy's stream ends");
            drop(sender.send(Err(status)).await);
        }
    });
    let answers = unfold(receiver, async |mut receiver| receiver.recv().await.map(|answer| (answer, receiver))).boxed();
    Box::pin(async move { Ok(tonic::Response::new(answers)) })
}

/// A stream that is connected to its fleet, until this is dropped.
struct Connected<'a> {
    ads: &'a Ads,
    fleet: String,
    /// How its proxy proved who it is.
    identification: Identification,
    id: StreamId,
    notify: Arc<Notify>,
}

impl Drop for Connected<'_> {
    fn drop(&mut self) {
        self.ads.store.disconnect(&self.fleet, self.id);
        self.ads.counters.disconnected(&self.fleet);
        (self.ads.news)();
    }
}

type Sender<P> = mpsc::Sender<Result<<P as Protocol>::Response, Status>>;

async fn run<P: Protocol>(
    ads: &Ads,
    credentials: &Credentials,
    token: Option<String>,
    mut requests: Streaming<P::Request>,
    sender: &Sender<P>,
) -> Result<(), Status> {
    let first = tokio::time::timeout(FIRST_REQUEST, requests.message()).await;
    let Some(first) = first.map_err(|_| Status::deadline_exceeded("no request came"))?? else { return Ok(()) };
    let Some(node) = P::head(&first).1.cloned() else { return Err(Status::invalid_argument("the first request must name the node")) };
    if node.cluster.is_empty() {
        return Err(Status::invalid_argument("node.cluster must name the fleet"));
    }
    // Nobody may be told that something is gone which this replica has not got to yet.
    tokio::select! {
        () = ads.complete.cancelled() => {}
        () = ads.stop.cancelled() => return Err(Status::unavailable("this replica is stopping")),
    }
    let Some(identification) = known(ads, &node.cluster, sender).await? else { return Ok(()) };
    let identified = identify(&node.cluster, identification, credentials, token.as_deref(), ads.reviewer.get()).await;
    if let Err(status) = &identified {
        ads.store.turn_away(&node.cluster, status.message());
        (ads.news)();
    }
    let unit = identified?;
    let hosts = Hosts::of(P::MODE, &node);
    let (id, notify) = ads.store.connect(&node.cluster, unit, hosts);
    ads.counters.connected(&node.cluster);
    let connected = Connected { ads, fleet: node.cluster.clone(), identification, id, notify };
    (ads.news)();
    tracing::info!(node = node.id, fleet = node.cluster, mode = ?P::MODE, virtual_hosts = ?hosts, "a proxy is connected");
    converse::<P>(&connected, first, requests, sender).await
}

/// How proxies of a fleet prove who they are, as soon as some Gateway is served by it: a proxy that comes before waits, rather than to come again after ever longer pauses.
/// Nothing if it went meanwhile.
async fn known<T>(ads: &Ads, fleet: &str, sender: &mpsc::Sender<T>) -> Result<Option<Identification>, Status> {
    loop {
        if let Some(identification) = ads.store.identification(fleet) {
            return Ok(Some(identification));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_FOR_FLEET) => {}
            () = sender.closed() => return Ok(None),
            () = ads.stop.cancelled() => return Err(Status::unavailable("this replica is stopping")),
        }
    }
}

async fn converse<P: Protocol>(
    connected: &Connected<'_>,
    first: P::Request,
    mut requests: Streaming<P::Request>,
    sender: &Sender<P>,
) -> Result<(), Status> {
    let mut stream = Stream::new(P::MODE);
    let mut waiting_since: Option<Instant> = None;
    let mut next = Some(first);
    loop {
        if connected.ads.store.identification(&connected.fleet).is_some_and(|now| now != connected.identification) {
            return Err(Status::unauthenticated("the fleet's proxies prove in another way who they are from now on"));
        }
        let request = next.take().and_then(|request| read::<P>(connected, request));
        let responses = step(connected, &mut stream, request);
        (connected.ads.news)();
        for response in responses {
            let event = Event::Response { resources: response.resources.len(), bytes: response.size() };
            connected.ads.counters.count(&connected.fleet, response.kind, event);
            if sender.send(Ok(P::response(&response))).await.is_err() {
                return Ok(());
            }
        }
        waiting_since = if stream.is_waiting() { Some(waiting_since.unwrap_or_else(Instant::now)) } else { None };
        let patience = async {
            match waiting_since {
                Some(since) => tokio::time::sleep_until(since + PATIENCE).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            message = requests.message() => match message? {
                Some(request) => next = Some(request),
                None => return Ok(()),
            },
            () = connected.notify.notified() => {}
            () = patience => stream.lose_patience(),
            () = connected.ads.stop.cancelled() => return Err(Status::unavailable("this replica is stopping")),
        }
    }
}

/// A request of a kind that Portico tells; of others there is nothing.
fn read<P: Protocol>(connected: &Connected<'_>, request: P::Request) -> Option<(ResourceKind, Request)> {
    let kind = ResourceKind::by_type_url(P::head(&request).0)?;
    let request = P::request(request);
    if !request.nonce.is_empty() {
        let event = if let Some(message) = &request.error {
            tracing::warn!(fleet = connected.fleet, %kind, message, "a proxy refuses what it was told");
            Event::Refused
        } else {
            Event::Acknowledged
        };
        connected.ads.counters.count(&connected.fleet, kind, event);
    }
    Some((kind, request))
}

/// Takes a request, looks at what changed, and says what there is to tell now.
fn step(connected: &Connected<'_>, stream: &mut Stream, request: Option<(ResourceKind, Request)>) -> Vec<Response> {
    let look = |view: &crate::store::FleetView<'_>, changed: &[portico_envoy::observed::ResourceKey]| {
        for key in changed {
            stream.note(key);
        }
        if let Some((kind, request)) = &request {
            stream.receive(*kind, request, view);
        }
        let mut responses = Vec::new();
        while let Some(response) = stream.next(view) {
            responses.push(response);
        }
        (responses, stream.feedback())
    };
    connected.ads.store.attend(&connected.fleet, connected.id, look).unwrap_or_default()
}
