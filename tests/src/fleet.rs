//! The fleet: real Envoy proxies that take their configuration from the operator. They are processes of their own outside the pods' network, in the
//! lab's namespace, where every address of [`netns::FLEET_CIDR`] is local: whoever is told to listen on one simply does. Proxies share the listening
//! addresses (`SO_REUSEPORT`), as proxies on several hosts share an anycast address.

mod admin;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::daemon::{Daemon, Ends};
use crate::netns::{FLEET_CIDR, STATE_DIR};
use crate::operator;

pub use admin::Admin;

/// The GatewayClass whose Gateways the fleet serves, of the lab's manifests.
pub const CLASS: &str = "portico-envoy";
/// The fleet's name, of the class's profile.
const NAME: &str = "lab";
/// An address that the fleet does not own. (TEST-NET-3, RFC 5737.)
pub const UNUSABLE_ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// How many proxies there are.
const SIZE: u16 = 2;
/// Where the lab's operator serves xDS.
pub const OPERATOR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 18000);
/// Where a further replica serves it; the fleet's proxies know both.
pub const REPLICA: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 18001);
/// The port of the first proxy's admin interface, on 127.0.0.1.
const FIRST_ADMIN_PORT: u16 = 9911;
/// Seconds that clients have to leave a listener that goes.
const DRAIN_SECONDS: u16 = 5;
/// How long a proxy may take until its admin interface answers.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a proxy may take to end when it is told to.
const GRACE: Duration = Duration::from_secs(5);

/// What it takes to start a proxy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Programs {
    /// Envoy.
    pub envoy: PathBuf,
    /// `portico`, which prints the bootstrap.
    pub portico: PathBuf,
}

/// A proxy of the fleet, by its place.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Its name: `node.id`, the process, the log.
    pub name: String,
    /// Its admin interface.
    pub admin: Admin,
    fleet: String,
    servers: Vec<SocketAddr>,
    /// Further arguments of the bootstrap.
    more: Vec<String>,
}

impl Proxy {
    /// The proxy with that number, which asks these operators.
    fn new(number: u16, servers: &[SocketAddr]) -> Self {
        let admin = Admin::new(SocketAddr::from(([127, 0, 0, 1], FIRST_ADMIN_PORT + number)));
        Self { name: format!("envoy-{number}"), admin, fleet: NAME.to_owned(), servers: servers.to_vec(), more: Vec::new() }
    }

    /// One beside the lab's own, which asks one operator only.
    pub fn beside(server: SocketAddr) -> Self {
        Self::new(SIZE, &[server])
    }

    /// One of several that a lab without a fleet starts by itself; they are told apart by their numbers.
    pub fn alone(number: u16, server: SocketAddr) -> Self {
        Self::new(number, &[server])
    }

    /// One of another fleet, with further arguments of the bootstrap; several are told apart by their numbers, which begin with 1.
    pub fn of(fleet: &str, number: u16, server: SocketAddr, more: &[&str]) -> Self {
        let more = more.iter().map(|&argument| argument.to_owned()).collect();
        Self { fleet: fleet.to_owned(), more, ..Self::new(SIZE + number, &[server]) }
    }

    /// The command that runs it: it needs nothing but the bootstrap that `portico envoy bootstrap` prints.
    pub async fn command(&self, programs: &Programs) -> Result<Command> {
        let servers: Vec<String> = self.servers.iter().map(SocketAddr::to_string).collect();
        let admin = self.admin.address().to_string();
        let mut arguments = vec!["envoy", "bootstrap", "--fleet", &self.fleet, "--node-id", &self.name, "--admin", &admin];
        arguments.extend(servers.iter().flat_map(|server| ["--server", server.as_str()]));
        arguments.extend(self.more.iter().map(String::as_str));
        let file = Path::new(STATE_DIR).join(format!("{}.yaml", self.name));
        let text = operator::print(&programs.portico, &arguments).await?;
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        let mut command = Command::new(&programs.envoy);
        command.arg("-c").arg(file).args(["--concurrency", "1", "--use-dynamic-base-id", "--log-level", "info"]);
        command.args(["--drain-time-s", &DRAIN_SECONDS.to_string()]);
        Ok(command)
    }

    /// Starts it as a process that is watched, and waits until its admin interface answers.
    pub async fn start(&self, programs: &Programs, logs: &Path, ends: &Ends) -> Result<Daemon> {
        let daemon = Daemon::spawn(&self.name, self.command(programs).await?, logs, ends)?;
        let deadline = tokio::time::Instant::now() + READY_WITHIN;
        while tokio::time::Instant::now() < deadline {
            daemon.alive()?;
            if self.admin.answers().await {
                return Ok(daemon);
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let tail = daemon.tail();
        daemon.stop(Duration::from_secs(1)).await;
        bail!("the admin interface of {} does not answer after {READY_WITHIN:?}; its log ends with\n{tail}", self.name)
    }
}

/// An address that the fleet owns and that no Gateway is given by itself soon: the last of its block.
pub fn usable_address() -> Result<Ipv4Addr> {
    let (network, prefix) = FLEET_CIDR.split_once('/').context("the fleet's block")?;
    let (network, prefix): (Ipv4Addr, u32) = (network.parse().context("the fleet's block")?, prefix.parse().context("the fleet's block")?);
    // The very last one would be the broadcast address of a network.
    Ok(Ipv4Addr::from_bits(network.to_bits() | ((1 << (32 - prefix)) - 2)))
}

/// The lab's proxies.
pub fn proxies() -> Vec<Proxy> {
    (0..SIZE).map(|number| Proxy::new(number, &[OPERATOR, REPLICA])).collect()
}

/// The running fleet.
pub struct Fleet(Vec<Daemon>);

impl Fleet {
    /// Starts all proxies.
    pub async fn start(programs: &Programs, logs: &Path, ends: &Ends) -> Result<Self> {
        keep_connections_of_ending_listeners();
        let proxies = proxies();
        let started = proxies.iter().map(|proxy| proxy.start(programs, logs, ends));
        futures::future::try_join_all(started).await.map(Self)
    }

    /// Ends them; nobody sends requests any more.
    pub async fn stop(self) {
        futures::future::join_all(self.0.into_iter().map(|proxy| proxy.stop(GRACE))).await;
    }
}

/// Of several processes on one address, what one has not yet accepted goes to another when the first one ends, instead of being reset. A fleet on
/// several hosts has this by its network, which sends nothing more to a proxy that drains.
fn keep_connections_of_ending_listeners() {
    if let Err(error) = std::fs::write("/proc/sys/net/ipv4/tcp_migrate_req", "1") {
        tracing::warn!(%error, "connections that a proxy has not accepted are lost when it ends");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifests_name_the_fleet_and_its_addresses() {
        let text = std::fs::read_to_string(crate::assets::crate_dir().join("manifests/envoy.yaml")).unwrap();
        for part in [format!("name: {CLASS}\n"), format!("fleet: {NAME}\n"), format!("- {FLEET_CIDR}\n")] {
            assert!(text.contains(&part), "{part}");
        }
        assert_eq!(usable_address().unwrap(), Ipv4Addr::new(198, 18, 207, 254));
    }
}
