//! Addresses of pods, and the links that carry them: one veth pair per pod between its namespace and the lab's bridge.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::rootfs::find_program;

/// An IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Any address of the network.
    pub address: Ipv4Addr,
    /// Prefix length, 0 to 30.
    pub prefix: u8,
}

impl Network {
    fn first(self) -> u32 {
        let host_bits = 32 - u32::from(self.prefix.min(30));
        (self.address.to_bits() >> host_bits) << host_bits
    }

    /// The address of the bridge, which is the pods' default gateway: the network's first.
    pub fn bridge_address(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first() + 1)
    }

    /// How many addresses pods can have.
    fn pods(self) -> u32 {
        // Less the network's own address, the bridge's and the broadcast address.
        (1u32 << (32 - u32::from(self.prefix.min(30)))) - 3
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}/{}", Ipv4Addr::from_bits(self.first()), self.prefix)
    }
}

/// Why a pod has no network.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Every address is taken.
    #[error("the pod network {0} has no free address")]
    Exhausted(Network),
    /// `ip` or `nsenter` could not be run.
    #[error("{program}: {cause}")]
    Program {
        /// The program.
        program: &'static str,
        /// Why.
        cause: std::io::Error,
    },
    /// `ip` refused.
    #[error("{program}: {message}")]
    Refused {
        /// The program.
        program: &'static str,
        /// What it said.
        message: String,
    },
}

#[derive(Debug, Default)]
struct Taken {
    offsets: BTreeSet<u32>,
    next: u32,
}

/// Hands out pod addresses. An address is used again only after the whole network was gone through, so that nobody who still
/// holds a gone pod's address talks to another pod by mistake.
#[derive(Debug, Clone)]
pub struct Addresses {
    network: Network,
    taken: Arc<Mutex<Taken>>,
}

/// An address that is a pod's until this is dropped.
#[derive(Debug)]
pub struct PodAddress {
    /// The address.
    pub address: Ipv4Addr,
    offset: u32,
    taken: Arc<Mutex<Taken>>,
}

impl Drop for PodAddress {
    fn drop(&mut self) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).offsets.remove(&self.offset);
    }
}

impl Addresses {
    /// All addresses of a network are free.
    pub fn new(network: Network) -> Self {
        Self { network, taken: Arc::default() }
    }

    /// Takes the next free address.
    pub fn take(&self) -> Result<PodAddress, NetworkError> {
        let pods = self.network.pods();
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let start = taken.next;
        let offset = (0..pods).map(|step| (start + step) % pods).find(|offset| !taken.offsets.contains(offset));
        let offset = offset.ok_or(NetworkError::Exhausted(self.network))?;
        taken.offsets.insert(offset);
        taken.next = (offset + 1) % pods;
        Ok(PodAddress { address: Ipv4Addr::from_bits(self.network.first() + 2 + offset), offset, taken: Arc::clone(&self.taken) })
    }
}

/// The name of the host's end of a pod's link. Interface names have at most 15 characters (Linux: IFNAMSIZ).
pub fn link_name(address: Ipv4Addr) -> String {
    format!("veth{:08x}", address.to_bits())
}

/// The hardware address of a pod's interface, made from its address: nobody's neighbour table is ever stale.
fn hardware_address(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("0a:58:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// Makes sure that the bridge exists, has its address and is up.
pub async fn ensure_bridge(bridge: &str, network: Network) -> Result<(), NetworkError> {
    let shown = Command::new(find_program("ip")).args(["-4", "-oneline", "address", "show", "dev", bridge]).output().await;
    let shown = shown.map_err(|cause| NetworkError::Program { program: "ip", cause })?;
    let address = format!("{}/{}", network.bridge_address(), network.prefix);
    let mut batch = String::new();
    if !shown.status.success() {
        batch.push_str(&format!("link add {bridge} type bridge\n"));
    }
    if !String::from_utf8_lossy(&shown.stdout).contains(&address) {
        batch.push_str(&format!("address add {address} dev {bridge}\n"));
    }
    batch.push_str(&format!("link set {bridge} up\n"));
    ip(None, &batch).await
}

/// Gives the network namespace of process `pid` its interface, address and default route.
pub async fn connect(pid: u32, address: Ipv4Addr, bridge: &str, network: Network) -> Result<(), NetworkError> {
    let link = link_name(address);
    let hardware = hardware_address(address);
    let outside = format!(
        "link add {link} type veth peer name eth0 address {hardware} netns {pid}\nlink set {link} master {bridge}\nlink set {link} up\n"
    );
    ip(None, &outside).await?;
    let gateway = network.bridge_address();
    let prefix = network.prefix;
    let inside = format!("link set lo up\naddress add {address}/{prefix} dev eth0\nlink set eth0 up\nroute add default via {gateway}\n");
    ip(Some(pid), &inside).await
}

/// Removes a pod's link; without one there is nothing to do.
pub async fn disconnect(address: Ipv4Addr) {
    if let Err(error) = ip(None, &format!("link delete {}\n", link_name(address))).await {
        tracing::debug!(%address, %error, "the pod's link was gone already");
    }
}

async fn ip(namespace_of: Option<u32>, batch: &str) -> Result<(), NetworkError> {
    let (program, mut command) = match namespace_of {
        None => ("ip", Command::new(find_program("ip"))),
        Some(pid) => {
            let mut command = Command::new(find_program("nsenter"));
            command.args(["--target", &pid.to_string(), "--net", "--"]).arg(find_program("ip"));
            ("nsenter", command)
        }
    };
    let failed = |cause| NetworkError::Program { program, cause };
    command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(batch.as_bytes()).await.map_err(failed)?;
    }
    let output = child.wait_with_output().await.map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(NetworkError::Refused { program, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Network = Network { address: Ipv4Addr::new(198, 19, 7, 5), prefix: 29 };

    #[test]
    fn the_bridge_has_the_first_address() {
        assert_eq!(SMALL.to_string(), "198.19.7.0/29");
        assert_eq!(SMALL.bridge_address(), Ipv4Addr::new(198, 19, 7, 1));
    }

    #[test]
    fn addresses_are_unique_rotate_and_run_out() {
        let addresses = Addresses::new(SMALL);
        let first = addresses.take().unwrap();
        assert_eq!(first.address, Ipv4Addr::new(198, 19, 7, 2));
        drop(first);
        let mut held: Vec<PodAddress> = (0..5).map(|_| addresses.take().unwrap()).collect();
        let numbers: Vec<u8> = held.iter().map(|held| held.address.octets()[3]).collect();
        assert_eq!(numbers, [3, 4, 5, 6, 2], "the address given back comes last; .0, .1 and .7 never");
        assert!(matches!(addresses.take(), Err(NetworkError::Exhausted(_))));
        held.remove(1);
        assert_eq!(addresses.take().unwrap().address, Ipv4Addr::new(198, 19, 7, 4));
    }

    #[test]
    fn a_link_name_fits_the_kernel() {
        assert_eq!(link_name(Ipv4Addr::new(198, 19, 0, 2)), "vethc6130002");
        assert_eq!(hardware_address(Ipv4Addr::new(198, 19, 0, 2)), "0a:58:c6:13:00:02");
    }
}
