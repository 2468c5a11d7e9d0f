//! The lab's name server: names of load balancers, of the API server and of Services, and nothing else.
//!
//! Load balancers' names are asked of the embedded cloud at each query, so a name is there as soon as its load balancer is.
//! A Service's name gives the addresses of its ready endpoints, as a headless Service's does: the lab has no kube-proxy, and
//! a cluster IP would lead nowhere. Nothing is forwarded: every other name does not exist, at once.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube_client::api::ListParams;
use kube_client::{Api, Client};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio_util::sync::CancellationToken;

mod cloud;

/// Largest answer over UDP for a client that announces nothing else (RFC 1035: 512), and the largest that is sent at all.
const UDP_SMALLEST: u16 = 512;
const UDP_LARGEST: u16 = 1232;
/// How long a TCP client may take for its next question.
const TCP_IDLE: Duration = Duration::from_secs(10);
/// How long the cloud or the API server may take to answer.
const LOOKUP_LIMIT: Duration = Duration::from_secs(2);

/// What the name server is told at its start.
#[derive(Clone)]
pub struct DnsConfig {
    /// Address and port, for UDP and TCP.
    pub listen: SocketAddr,
    /// Names with fixed addresses, such as `kubernetes.default.svc.cluster.local`.
    pub records: BTreeMap<String, Vec<IpAddr>>,
    /// Base URL of the embedded cloud's endpoint, such as `http://198.18.0.2:4566`; without one, the cloud's names do not exist.
    pub cloud: Option<String>,
    /// Ends of the names that the cloud is asked for, such as `.amazonaws.com`.
    pub cloud_suffixes: Vec<String>,
    /// The API server's client, for `<service>.<namespace>.svc.cluster.local`.
    pub services: Option<Client>,
    /// How long an answer may be kept, in seconds.
    pub ttl: u32,
}

/// Why the name server could not start.
#[derive(Debug, thiserror::Error)]
#[error("the name server cannot listen on {listen}: {cause}")]
pub struct DnsError {
    listen: SocketAddr,
    cause: std::io::Error,
}

/// What is known of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    /// It exists and has these addresses, of either family.
    Addresses(Vec<IpAddr>),
    /// It does not exist.
    Nothing,
    /// The one who would know cannot be asked.
    Unknown,
}

/// Serves until shutdown.
pub async fn serve(config: DnsConfig, shutdown: CancellationToken) -> Result<(), DnsError> {
    let failed = |cause| DnsError { listen: config.listen, cause };
    let tcp = TcpListener::bind(config.listen).await.map_err(failed)?;
    // The same port for both, also where the system chose it.
    let udp = UdpSocket::bind(tcp.local_addr().map_err(failed)?).await.map_err(failed)?;
    let config = Arc::new(config);
    tokio::select! {
        () = serve_udp(&config, Arc::new(udp)) => {}
        () = serve_tcp(&config, tcp) => {}
        () = shutdown.cancelled() => {}
    }
    Ok(())
}

async fn serve_udp(config: &Arc<DnsConfig>, socket: Arc<UdpSocket>) {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let (length, client) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                // An earlier answer met a closed port, most likely.
                tracing::debug!(%error, "receiving a question");
                tokio::time::sleep(Duration::from_millis(1)).await;
                continue;
            }
        };
        let question = buffer.get(..length).unwrap_or_default().to_vec();
        let (config, socket) = (Arc::clone(config), Arc::clone(&socket));
        tokio::spawn(async move {
            if let Some(answer) = respond(&config, &question, true).await
                && let Err(error) = socket.send_to(&answer, client).await
            {
                tracing::debug!(%error, %client, "answering");
            }
        });
    }
}

async fn serve_tcp(config: &Arc<DnsConfig>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let config = Arc::clone(config);
                tokio::spawn(async move { converse(&config, stream).await });
            }
            Err(error) => {
                tracing::debug!(%error, "accepting a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Answers the questions of one TCP client; any irregularity ends the conversation.
async fn converse(config: &DnsConfig, mut stream: TcpStream) -> Option<()> {
    loop {
        let length = tokio::time::timeout(TCP_IDLE, stream.read_u16()).await.ok()?.ok()?;
        let mut question = vec![0; usize::from(length)];
        tokio::time::timeout(TCP_IDLE, stream.read_exact(&mut question)).await.ok()?.ok()?;
        let answer = respond(config, &question, false).await?;
        let mut framed = u16::try_from(answer.len()).ok()?.to_be_bytes().to_vec();
        framed.extend_from_slice(&answer);
        stream.write_all(&framed).await.ok()?;
    }
}

/// The answer to a packet; none to one that is no question.
async fn respond(config: &DnsConfig, packet: &[u8], datagram: bool) -> Option<Vec<u8>> {
    let question = match Message::from_vec(packet) {
        Ok(question) if question.metadata.message_type == MessageType::Query => question,
        // An answer is not to be answered, or two servers could talk for ever.
        Ok(_) => return None,
        Err(_) => {
            let id = u16::from_be_bytes([*packet.first()?, *packet.get(1)?]);
            let is_query = packet.len() >= 12 && packet.get(2).is_some_and(|flags| flags & 0x80 == 0);
            return if is_query { Message::error_msg(id, OpCode::Query, ResponseCode::FormErr).to_vec().ok() } else { None };
        }
    };
    let found = match question.queries.as_slice() {
        [query] if question.metadata.op_code == OpCode::Query && query.query_class == DNSClass::IN => Some(look_up(config, query).await),
        _ => None,
    };
    let answer = compose(&question, found.as_ref(), config.ttl);
    let bytes = answer.to_vec().ok()?;
    let limit = question.edns.as_ref().map_or(UDP_SMALLEST, |edns| edns.max_payload().clamp(UDP_SMALLEST, UDP_LARGEST));
    if datagram && bytes.len() > usize::from(limit) { answer.truncate().to_vec().ok() } else { Some(bytes) }
}

/// The message that says what was found; `None` stands for a question that this server does not understand.
fn compose(question: &Message, found: Option<&Found>, ttl: u32) -> Message {
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.authoritative = true;
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    // Programs that only believe servers which recurse must believe this one.
    answer.metadata.recursion_available = true;
    answer.add_queries(question.queries.iter().cloned());
    if question.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_LARGEST);
        answer.set_edns(edns);
    }
    let query = question.queries.first();
    answer.metadata.response_code = match found {
        None => ResponseCode::NotImp,
        Some(Found::Unknown) => ResponseCode::ServFail,
        Some(Found::Nothing) => ResponseCode::NXDomain,
        Some(Found::Addresses(addresses)) => {
            for (query, address) in addresses.iter().filter_map(|address| query.map(|query| (query, address))) {
                let data = match (address, query.query_type) {
                    (IpAddr::V4(v4), RecordType::A | RecordType::ANY) => RData::A((*v4).into()),
                    (IpAddr::V6(v6), RecordType::AAAA | RecordType::ANY) => RData::AAAA((*v6).into()),
                    _ => continue,
                };
                answer.add_answer(Record::from_rdata(query.name.clone(), ttl, data));
            }
            ResponseCode::NoError
        }
    };
    answer
}

async fn look_up(config: &DnsConfig, query: &Query) -> Found {
    let name = query.name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
    if let Some(addresses) = config.records.get(&name) {
        return Found::Addresses(addresses.clone());
    }
    let found = if let (Some(cloud), true) = (&config.cloud, config.cloud_suffixes.iter().any(|suffix| name.ends_with(suffix.as_str()))) {
        tokio::time::timeout(LOOKUP_LIMIT, cloud::addresses(cloud, &name)).await
    } else if let (Some(client), Some(service)) = (&config.services, ServiceName::parse(&name)) {
        tokio::time::timeout(LOOKUP_LIMIT, endpoints(client, &service)).await
    } else {
        return Found::Nothing;
    };
    match found {
        Ok(Ok(Some(addresses))) => Found::Addresses(addresses),
        Ok(Ok(None)) => Found::Nothing,
        Ok(Err(error)) => {
            tracing::debug!(name, error, "looking up");
            Found::Unknown
        }
        Err(_) => Found::Unknown,
    }
}

/// `[<host>.]<service>.<namespace>.svc.cluster.local`
#[derive(Debug, PartialEq, Eq)]
struct ServiceName<'a> {
    host: Option<&'a str>,
    service: &'a str,
    namespace: &'a str,
}

impl<'a> ServiceName<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let labels: Vec<&str> = name.strip_suffix(".svc.cluster.local")?.split('.').collect();
        match *labels.as_slice() {
            [service, namespace] => Some(Self { host: None, service, namespace }),
            [host, service, namespace] => Some(Self { host: Some(host), service, namespace }),
            _ => None,
        }
    }
}

/// The addresses of a Service's ready endpoints; none if there is no such Service, or it has no endpoints at all.
async fn endpoints(client: &Client, name: &ServiceName<'_>) -> Result<Option<Vec<IpAddr>>, String> {
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), name.namespace);
    let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={}", name.service));
    let slices = slices.list(&of_service).await.map_err(|error| error.to_string())?;
    if slices.items.is_empty() {
        return Ok(None);
    }
    let endpoints = slices.items.into_iter().flat_map(|slice| slice.endpoints.unwrap_or_default());
    let ready = endpoints.filter(|endpoint| {
        let is_ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) != Some(false);
        is_ready && (name.host.is_none() || endpoint.hostname.as_deref() == name.host)
    });
    let addresses: Vec<IpAddr> = ready.flat_map(|endpoint| endpoint.addresses).filter_map(|address| address.parse().ok()).collect();
    Ok((!addresses.is_empty() || name.host.is_none()).then_some(addresses))
}

#[cfg(test)]
mod tests;
