//! Servers, clients and configurations for the tests.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use portico_cloud::dataplane::{
    DataPlane,
    config::{
        Action, Algorithm, Condition, DataPlaneConfig, DataPlaneOptions, DefaultRule, FixedResponse, FlowOptions, Forward, HealthCheck,
        IngressRule, Listener, ListenerAttributes, ListenerProtocol, LoadBalancer, LoadBalancerAttributes, NetworkLoadBalancer, Patterns,
        ProtocolVersion, Reachability, Rule, Target, TargetGroup, TargetGroupId, TargetProtocol, Timing, WeightedTargetGroup,
    },
    health::HealthState,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

/// No wait of a test takes longer.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The port of listeners: every test has addresses of its own.
pub const PORT: u16 = 18080;

/// An address that no other test of this process uses, and hardly one of another process.
pub fn address() -> IpAddr {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let process = std::process::id();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    IpAddr::V4(Ipv4Addr::new(
        127,
        64 + u8::try_from((process >> 8) % 64).unwrap(),
        (process % 256) as u8,
        u8::try_from(number % 250 + 2).unwrap(),
    ))
}

/// Awaits something that must not take for ever.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("this takes too long")
}

/// A server that tells what it saw: its name, the request line and the headers, line by line, then the body. Paths decide what it does:
/// `/health` answers with the settable status, `/slow/MS` answers late, `/status/N` with that status, `/cookie` sets the cookie SESSION.
pub struct Backend {
    pub address: SocketAddr,
    pub health: Arc<AtomicU16>,
    pub connections: Arc<AtomicUsize>,
    /// Requests at work.
    pub busy: watch::Receiver<usize>,
    server: JoinHandle<()>,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Backend {
    pub async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let health = Arc::new(AtomicU16::new(200));
        let connections = Arc::new(AtomicUsize::new(0));
        let (busy, watched) = watch::channel(0);
        let (status, count) = (Arc::clone(&health), Arc::clone(&connections));
        let server = tokio::spawn(async move {
            // Ends with the server: dropping the set ends its tasks.
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (status, busy) = (Arc::clone(&status), busy.clone());
                let service = service_fn(move |request| answer(name, request, Arc::clone(&status), busy.clone()));
                tasks.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, health, connections, busy: watched, server }
    }
}

async fn answer(
    name: &'static str,
    request: Request<Incoming>,
    health: Arc<AtomicU16>,
    busy: watch::Sender<usize>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    if path == "/health" {
        let mut response = Response::new(Full::default());
        *response.status_mut() = health.load(Ordering::SeqCst).try_into().unwrap();
        return Ok(response);
    }
    busy.send_modify(|busy| *busy += 1);
    let body = body.collect().await?.to_bytes();
    if let Some(time) = path.strip_prefix("/slow/") {
        tokio::time::sleep(Duration::from_millis(time.parse().unwrap())).await;
    }
    let mut text = format!("{name}\n{} {}\n", head.method, head.uri);
    for (key, value) in &head.headers {
        text.push_str(&format!("{key}: {}\n", value.to_str().unwrap()));
    }
    text.push('\n');
    let mut answer = text.into_bytes();
    answer.extend_from_slice(&body);
    let mut response = Response::new(Full::new(answer.into()));
    if let Some(status) = path.strip_prefix("/status/") {
        *response.status_mut() = status.parse::<u16>().unwrap().try_into().unwrap();
    }
    if path == "/cookie" {
        response.headers_mut().append("set-cookie", "SESSION=1; Path=/".parse().unwrap());
    }
    response.headers_mut().insert("server", "backend".parse().unwrap());
    busy.send_modify(|busy| *busy -= 1);
    Ok(response)
}

/// A server that sends fixed bytes on each connection once a whole request head came, and closes it.
pub async fn raw_backend(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                read_head(&mut stream).await;
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    address
}

/// The bytes up to the empty line, or to the end.
pub async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// A response as its bytes say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Status line and headers as they came.
    pub head: String,
    pub body: String,
}

impl Reply {
    /// A header's value, the name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.into_iter().find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value.trim()))
    }

    /// The cookies that it sets, as a Cookie header sends them back.
    pub fn cookies(&self) -> String {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        let cookies = fields.filter(|(key, _)| key.eq_ignore_ascii_case("set-cookie"));
        cookies.filter_map(|(_, value)| value.trim().split(';').next()).collect::<Vec<_>>().join("; ")
    }

    /// The name of the backend that answered.
    pub fn from(&self) -> &str {
        self.body.lines().next().unwrap_or_default()
    }

    /// Whether the body, in which backends repeat what they saw, has this line.
    #[track_caller]
    pub fn assert_line(&self, line: &str) {
        assert!(self.body.lines().any(|found| found == line), "no line {line:?} in {self:#?}");
    }
}

/// A client's connection.
pub struct Client<S = TcpStream> {
    pub stream: S,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self { stream: soon(TcpStream::connect(address)).await.unwrap() }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// HTTP over a stream that is there already.
    pub fn over(stream: S) -> Self {
        Self { stream }
    }

    /// Sends bytes and reads the response.
    pub async fn send(&mut self, request: &str) -> Reply {
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.reply(request.starts_with("HEAD ")).await.expect("a whole response")
    }

    /// `GET path` at a host, on a connection that stays open.
    pub async fn get(&mut self, host: &str, path: &str) -> Reply {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
    }

    /// Reads a response; None if the connection ends before one is complete.
    pub async fn reply(&mut self, without_body: bool) -> Option<Reply> {
        let head = soon(read_head(&mut self.stream)).await;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let mut reply = Reply { status, head, body: String::new() };
        if without_body || [101, 204].contains(&status) {
            return Some(reply);
        }
        let mut body = Vec::new();
        if let Some(length) = reply.header("content-length") {
            body.resize(length.parse().unwrap(), 0);
            soon(self.stream.read_exact(&mut body)).await.ok()?;
        } else if reply.header("transfer-encoding") == Some("chunked") {
            loop {
                let mut size = String::new();
                while !size.ends_with("\r\n") {
                    size.push(soon(self.stream.read_u8()).await.ok()?.into());
                }
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                let mut chunk = vec![0; size + 2];
                soon(self.stream.read_exact(&mut chunk)).await.ok()?;
                if size == 0 {
                    break;
                }
                body.extend_from_slice(&chunk[..size]);
            }
        } else {
            soon(self.stream.read_to_end(&mut body)).await.ok()?;
        }
        reply.body = String::from_utf8(body).unwrap();
        Some(reply)
    }

    /// Whether the server has closed the connection without another byte.
    pub async fn is_closed(&mut self) -> bool {
        !matches!(soon(self.stream.read(&mut [0; 1])).await, Ok(1))
    }
}

/// One `GET` on a connection of its own.
pub async fn get(address: SocketAddr, host: &str, path: &str) -> Reply {
    Client::connect(address).await.get(host, path).await
}

pub fn forward(groups: &[(&str, u32)]) -> Action {
    let target_groups = groups.iter().map(|(id, weight)| WeightedTargetGroup { target_group: (*id).into(), weight: *weight }).collect();
    Action::Forward(Forward { target_groups, stickiness: None })
}

pub fn fixed(body: &str) -> Action {
    Action::FixedResponse(FixedResponse { status: 200, content_type: "text/plain".into(), body: body.into() })
}

pub fn rule(priority: u32, conditions: Vec<Condition>, action: Action) -> Rule {
    Rule { id: format!("rule-{priority}").into(), priority, conditions, transforms: Vec::new(), action }
}

pub fn path(values: &[&str]) -> Condition {
    Condition::PathPattern(Patterns::Globs(values.iter().map(|value| (*value).to_owned()).collect()))
}

pub fn host(values: &[&str]) -> Condition {
    Condition::HostHeader(Patterns::Globs(values.iter().map(|value| (*value).to_owned()).collect()))
}

pub fn listener(port: u16, rules: Vec<Rule>, default: Action) -> Listener {
    Listener {
        id: format!("listener-{port}").into(),
        port,
        protocol: ListenerProtocol::Http,
        tls: None,
        attributes: ListenerAttributes::default(),
        rules: rules.into_iter().map(Arc::new).collect(),
        default_rule: DefaultRule { id: format!("default-{port}").into(), action: default },
    }
}

pub fn load_balancer(address: IpAddr, listeners: Vec<Listener>) -> LoadBalancer {
    LoadBalancer {
        id: format!("lb-{address}").into(),
        address,
        zones: vec!["zone-a".into()],
        attributes: LoadBalancerAttributes::default(),
        ingress: vec![IngressRule { from_port: 0, to_port: u16::MAX, source: "127.0.0.0/8".parse().unwrap() }],
        listeners: listeners.into_iter().map(Arc::new).collect(),
    }
}

pub fn group(id: &str, targets: &[SocketAddr]) -> TargetGroup {
    TargetGroup {
        id: id.into(),
        protocol: TargetProtocol::Http,
        version: ProtocolVersion::Http1,
        health_check: HealthCheck { path: "/health".into(), healthy_threshold: 2, ..HealthCheck::default() },
        algorithm: Algorithm::RoundRobin,
        stickiness: None,
        cross_zone: true,
        minimum_healthy_count: 1,
        minimum_healthy_percentage: None,
        flows: FlowOptions::default(),
        slow_start: Duration::ZERO,
        targets: targets.iter().map(|address| target(*address)).collect(),
    }
}

pub fn target(address: SocketAddr) -> Target {
    Target {
        id: address.to_string().into(),
        address: address.ip(),
        port: address.port(),
        zone: Some("zone-a".into()),
        reachability: Reachability::Allowed,
        flow_reach: Arc::default(),
        check_reachability: Reachability::Allowed,
        draining: false,
    }
}

/// A data plane with the configuration that it serves, changed in place.
pub struct World {
    pub plane: DataPlane,
    pub load_balancers: Vec<LoadBalancer>,
    pub network: Vec<NetworkLoadBalancer>,
    pub groups: Vec<TargetGroup>,
    revision: u64,
}

impl World {
    /// Probes as often as is useful, connects for 100 ms, fixed seed.
    pub fn new() -> Self {
        let timing = Timing { health_check_scale: 0.0, connect_timeout: Duration::from_millis(100), ..Timing::default() };
        Self::with(DataPlaneOptions { timing, seed: Some(42), ..DataPlaneOptions::default() })
    }

    pub fn with(options: DataPlaneOptions) -> Self {
        Self { plane: DataPlane::new(options), load_balancers: Vec::new(), network: Vec::new(), groups: Vec::new(), revision: 0 }
    }

    /// One load balancer with one listener, in force; says where it listens.
    pub async fn serve(&mut self, rules: Vec<Rule>, default: Action) -> SocketAddr {
        let address = address();
        self.load_balancers.push(load_balancer(address, vec![listener(PORT, rules, default)]));
        self.apply().await;
        SocketAddr::new(address, PORT)
    }

    /// The first listener of the first load balancer, to change it before [`apply`](Self::apply).
    pub fn listener(&mut self) -> &mut Listener {
        Arc::make_mut(&mut self.load_balancers[0].listeners[0])
    }

    pub async fn apply(&mut self) {
        self.revision += 1;
        let groups: BTreeMap<TargetGroupId, Arc<TargetGroup>> =
            self.groups.iter().map(|group| (group.id.clone(), Arc::new(group.clone()))).collect();
        let config = DataPlaneConfig {
            revision: self.revision,
            load_balancers: self.load_balancers.iter().map(|balancer| Arc::new(balancer.clone())).collect(),
            network_load_balancers: self.network.iter().map(|balancer| Arc::new(balancer.clone())).collect(),
            target_groups: groups,
        };
        soon(self.plane.apply(config)).await;
    }

    /// Waits until a target has a state, and says its reason.
    pub async fn until(&self, group: &str, target: SocketAddr, state: HealthState) -> Option<&'static str> {
        let board = self.plane.health();
        let mut changes = board.changes();
        let wait = async {
            loop {
                let health = board.get(&group.into(), &target.to_string().into());
                if let Some(health) = health.filter(|health| health.state == state) {
                    return health.reason;
                }
                changes.changed().await.unwrap();
            }
        };
        let found = timeout(PATIENCE, wait).await;
        found.unwrap_or_else(|_| panic!("{target} does not become {state:?}: {:?}", board.get(&group.into(), &target.to_string().into())))
    }
}
