//! TCP connections: from a client's first byte to the last.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::{
    io::{AsyncWriteExt, copy_bidirectional},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::{either::Either, sync::CancellationToken};

use super::super::{
    Shared,
    config::{TargetProtocol, Transport},
    dial::dial,
    headers::canonical,
    health::HealthState,
    log::FlowEntry,
    tls::{self, Accepted, Refused, TlsSession},
};
use super::{
    ACCESS,
    choice::{self, Choice},
    proxy_protocol,
    relay::{Activity, Resettable, Watched},
    table::{NetworkListenerTable, NetworkRuleTable},
};

/// Serves a client's connection. It is reset, and not closed, whenever its end is not one that client or target chose.
pub(super) async fn serve(
    shared: Arc<Shared>,
    listener: Arc<NetworkListenerTable>,
    stream: TcpStream,
    client: SocketAddr,
    stop: CancellationToken,
) {
    let client = SocketAddr::new(canonical(client.ip()), client.port());
    if !listener.admits(Transport::Tcp, client.ip()) {
        // A security group drops packets, which a program above TCP cannot do: it resets the connection instead, without a byte.
        return stream.reset();
    }
    let (started, created) = (Instant::now(), Timestamp::now());
    let Some(rule) = listener.select(client.ip()) else { return stream.reset() };
    rule.count();
    let _ = stream.set_nodelay(true);
    let mut seen = Seen::default();
    let outcome = tokio::select! {
        outcome = forward(&shared, &listener, rule, stream, client, &stop, &mut seen) => outcome,
        () = shared.hard_stop.cancelled() => return,
    };
    if let Some(stream) = listener.tls.as_ref().and(listener.logs().access.as_ref()) {
        let entry = seen.entry(&listener, client, created, started.elapsed());
        shared.logs.write(stream, listener.node.address, &entry);
    }
    if tracing::enabled!(target: ACCESS, tracing::Level::INFO) {
        let Outcome { target, note } = outcome;
        let via = target.map(|target| format!(" to {target}")).unwrap_or_default();
        tracing::info!(
            target: ACCESS,
            load_balancer = %listener.load_balancer,
            rule = %rule.id,
            "{} {:?} port {}{via}: {note}, {} B to the target, {} B to the client, {} ms",
            client.ip(),
            listener.protocol,
            listener.port,
            seen.received,
            seen.sent,
            started.elapsed().as_millis(),
        );
    }
}

/// How a connection ended.
struct Outcome {
    target: Option<SocketAddr>,
    note: String,
}

impl Outcome {
    fn new(target: Option<SocketAddr>, note: impl Into<String>) -> Self {
        Self { target, note: note.into() }
    }
}

/// What was seen of a connection for the access log.
#[derive(Default)]
struct Seen {
    session: Option<TlsSession>,
    refused: Option<Box<Refused>>,
    /// Negotiated with the client and with the target.
    protocols: (Option<&'static str>, Option<&'static str>),
    /// Bytes from the client and to it.
    received: u64,
    sent: u64,
}

impl Seen {
    fn entry<'a>(&'a self, listener: &'a NetworkListenerTable, client: SocketAddr, created: Timestamp, time: Duration) -> FlowEntry<'a> {
        let session = self.session.as_ref();
        let hello = session.map(|session| &session.hello).or(self.refused.as_ref().and_then(|refused| refused.hello.as_ref()));
        let negotiates = !listener.alpn.is_empty();
        FlowEntry {
            time: Timestamp::now(),
            load_balancer: &listener.logs().load_balancer,
            listener: listener.id.log_name(),
            client,
            destination: SocketAddr::new(listener.node.address, listener.port),
            connection_time: time,
            handshake_time: session.map(|session| session.handshake),
            received_bytes: self.received,
            sent_bytes: self.sent,
            alert: self.refused.as_ref().and_then(|refused| refused.alert),
            certificate: hello.map(|hello| hello.certificate.as_str()),
            tls: session.map(|session| (session.cipher, session.version)),
            key_exchange: session.and_then(|session| session.key_exchange),
            domain: hello.and_then(|hello| hello.server_name.as_deref()),
            client_protocol: self.protocols.0,
            target_protocol: self.protocols.1,
            offered: hello.and_then(|hello| hello.protocols.as_deref()).filter(|_| negotiates),
            created,
        }
    }
}

async fn forward(
    shared: &Arc<Shared>,
    listener: &NetworkListenerTable,
    rule: &NetworkRuleTable,
    stream: TcpStream,
    client: SocketAddr,
    stop: &CancellationToken,
    seen: &mut Seen,
) -> Outcome {
    let stream = match &listener.tls {
        None => Either::Left(stream),
        Some(table) => match table.accept(stream, false).await {
            Err(refused) => {
                seen.refused = Some(refused);
                return Outcome::new(None, "the TLS handshake failed");
            }
            Ok(Accepted { stream, session }) => {
                seen.protocols.0 = tls::negotiated(&stream);
                seen.session = Some(session);
                Either::Right(stream)
            }
        },
    };
    let Some(choice) = choice::choose(shared, &rule.forward, &listener.node.zone, client.ip()) else {
        stream.reset();
        return Outcome::new(None, "there is no target");
    };
    let address = choice.target.state.address;
    let mut upstream = match connect(shared, listener, &choice, client).await {
        Ok(upstream) => upstream,
        Err(error) => {
            stream.reset();
            return Outcome::new(Some(address), format!("connecting failed: {error}"));
        }
    };
    let _ = upstream.set_nodelay(true);
    if choice.group.config.flows.proxy_protocol {
        let asked = SocketAddr::new(listener.node.address, listener.port);
        if let Err(error) = upstream.write_all(&proxy_protocol::header(client, asked, Transport::Tcp)).await {
            stream.reset();
            return Outcome::new(Some(address), format!("sending the proxy protocol's header failed: {error}"));
        }
    }
    let upstream = if choice.group.config.protocol == TargetProtocol::Tls {
        match timeout(tls::HANDSHAKE_TIMEOUT, tls::connect(upstream, seen.protocols.0)).await {
            Ok(Ok(upstream)) => {
                seen.protocols.1 = tls::agreed(&upstream);
                Either::Right(upstream)
            }
            Ok(Err(error)) => {
                stream.reset();
                return Outcome::new(Some(address), format!("the TLS handshake with the target failed: {error}"));
            }
            Err(_) => {
                stream.reset();
                return Outcome::new(Some(address), "the TLS handshake with the target took too long");
            }
        }
    } else {
        Either::Left(upstream)
    };
    let activity = Activity::new();
    let (mut stream, mut upstream) = (Watched::new(stream, &activity), Watched::new(upstream, &activity));
    let trouble = tokio::select! {
        moved = copy_bidirectional(&mut stream, &mut upstream) => moved.err().map(|error| error.to_string()),
        () = activity.idle_for(shared.compress(listener.idle_timeout)) => Some("nothing moved within the idle timeout".into()),
        reason = trouble(shared, &choice) => Some(reason.into()),
        () = stop.cancelled() => Some("the listener is gone".into()),
    };
    (seen.received, seen.sent) = (stream.read, upstream.read);
    let Some(trouble) = trouble else { return Outcome::new(Some(address), "closed") };
    stream.stream.reset();
    upstream.stream.reset();
    Outcome::new(Some(address), format!("reset: {trouble}"))
}

/// Connects to a target from the address that it is to see.
async fn connect(shared: &Shared, listener: &NetworkListenerTable, choice: &Choice, client: SocketAddr) -> io::Result<TcpStream> {
    let limit = shared.timing.connect_timeout;
    if !reaches(choice, Transport::Tcp, client.ip()) {
        sleep(limit).await;
        return Err(io::ErrorKind::TimedOut.into());
    }
    let address = shared.reach(choice.target.state.address);
    let connected = timeout(limit, dial(address, sources(choice, listener.node.address, client.ip()))).await;
    connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Whether a client's packets arrive at a target. With its address preserved a client that is the target itself would talk to itself, which
/// never works (network user guide, "Connections time out for requests from a target to its load balancer"). Loopback addresses are everyone's
/// on this machine and say nothing.
pub(super) fn reaches(choice: &Choice, transport: Transport, client: IpAddr) -> bool {
    let target = choice.target.state.address.ip();
    let hairpin = choice.group.config.flows.preserve_client_ip && target == client && !client.is_loopback();
    !hairpin && choice.target.flow_reach.admits(transport, client)
}

/// The addresses from which to send, the right one first. A client's address can be preserved only if this machine has it; the node's does not
/// reach every place; the system's choice does.
pub(super) fn sources(choice: &Choice, node: IpAddr, client: IpAddr) -> impl Iterator<Item = Option<IpAddr>> {
    let preserved = choice.group.config.flows.preserve_client_ip.then_some(Some(client));
    preserved.into_iter().chain([Some(node), None])
}

/// Returns when the connection to a target must end, and why.
pub(super) async fn trouble(shared: &Shared, choice: &Choice) -> &'static str {
    let state = &choice.target.state;
    let (mut health, mut board) = (state.health(), shared.board.changes());
    loop {
        let now = *health.borrow_and_update();
        board.mark_unchanged();
        let group = shared.table().target_groups.get(&choice.group.config.id).map_or_else(|| Arc::clone(&choice.group), Arc::clone);
        let options = &group.config.flows;
        if state.gone.is_cancelled() {
            if options.terminate_deregistered {
                return "the target is deregistered";
            }
            // It goes on for as long as client and target want.
            return std::future::pending().await;
        }
        let ends = options.terminate_unhealthy || !options.unhealthy_draining.is_zero();
        let unhealthy = now == HealthState::Unhealthy;
        if unhealthy && ends && !choice::fails_open(&group, &choice.zone) {
            return "the target is unhealthy";
        }
        tokio::select! {
            changed = health.changed() => if changed.is_err() { return std::future::pending().await },
            // Others' health decides whether unhealthy targets are used.
            changed = board.changed(), if unhealthy => if changed.is_err() { return std::future::pending().await },
            () = state.gone.cancelled() => {}
        }
    }
}
