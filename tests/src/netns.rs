//! The lab's namespaces: network, mounts and processes of its own, without root.
//!
//! Inside, the whole of 198.18.0.0/16 is local, so that a load balancer simply listens on its address; pods have
//! 198.19.0.0/16 behind a bridge; there is no route out. (198.18.0.0/15 is set aside for benchmarks by RFC 2544.)

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::mount::{MsFlags, mount};

/// Where the lab's files are inside its namespaces: on a memory file system that ends with them.
pub const STATE_DIR: &str = "/run/portico-lab";
/// The lab's own addresses, above those that load balancers get.
pub const DNS_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 255, 53);
/// Where the embedded cloud's API listens.
pub const CLOUD_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 255, 10);
/// Where the node (the kubelet's API) is.
pub const NODE_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 254, 1);
/// The first address of [`SERVICE_CIDR`]: the `kubernetes` Service, where the API server itself listens.
pub const API_SERVER_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 240, 1);
/// Cluster addresses of Services. Nothing forwards them but the API server's own.
pub const SERVICE_CIDR: &str = "198.18.240.0/21";
/// Addresses of load balancers.
pub const LOAD_BALANCER_CIDR: &str = "198.18.0.0/17";
/// Addresses of the fleet of Envoy proxies, of the class's profile in the lab's manifests.
pub const FLEET_CIDR: &str = "198.18.192.0/20";
/// Addresses of pods.
pub const POD_CIDR: &str = "198.19.0.0/16";
/// The bridge that pods hang on.
pub const BRIDGE: &str = "lab0";

/// How this machine lets us make namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privilege {
    /// As root, directly.
    Root,
    /// In a user namespace, as anybody.
    UserNamespace,
}

impl Privilege {
    /// Finds out, by trying: root may be shut in a container that may not.
    pub fn detect() -> Result<Self> {
        let mut reasons = Vec::new();
        let candidates: &[Self] =
            if nix::unistd::geteuid().is_root() { &[Self::Root, Self::UserNamespace] } else { &[Self::UserNamespace] };
        for candidate in candidates {
            let output = candidate.unshare().args(["sh", "-ec", &probe()]).stdin(Stdio::null()).output();
            match output {
                Ok(output) if output.status.success() => return Ok(*candidate),
                Ok(output) => reasons.push(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
                Err(error) => reasons.push(format!("unshare: {error}")),
            }
        }
        bail!("this machine lets us make no namespaces ({}); `cargo lab doctor` says what mends it", reasons.join("; "))
    }

    /// `unshare` with the lab's namespaces, to be completed by a program. If it is killed, so is everything inside.
    pub fn unshare(self) -> Command {
        let mut command = Command::new("unshare");
        if self == Self::UserNamespace {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--net", "--mount", "--ipc", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc", "--"]);
        command
    }

    /// `nsenter` into the namespaces of a process, to be completed by a program.
    pub fn nsenter(self, pid: i32) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &pid.to_string()]);
        if self == Self::UserNamespace {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.args(["--net", "--mount", "--ipc", "--pid", "--"]);
        command
    }
}

/// What is tried in a namespace to see whether a lab would work there.
fn probe() -> String {
    format!("ip -batch - <<'END'\n{}END\nmount -t tmpfs tmpfs /run", links())
}

/// The lab's links and routes, as `ip -batch` reads them.
fn links() -> String {
    let bridge_address = "198.19.0.1/16";
    format!(
        "link set lo up\n\
         route add local 198.18.0.0/16 dev lo\n\
         link add {BRIDGE} type bridge\n\
         address add {bridge_address} dev {BRIDGE}\n\
         link set {BRIDGE} up\n"
    )
}

/// Furnishes the namespaces that we are in: links, a memory file system for the lab's files, its DNS server.
pub fn furnish() -> Result<()> {
    let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot run ip")?;
    ip.stdin.take().context("ip has no standard input")?.write_all(links().as_bytes()).context("cannot write to ip")?;
    let output = ip.wait_with_output().context("ip did not end")?;
    if !output.status.success() {
        bail!("cannot set the lab's links up: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    resolver_and_state()
}

/// Mounts the memory file system over /run and lets `/etc/resolv.conf` name the lab's DNS server.
fn resolver_and_state() -> Result<()> {
    const RESOLV_CONF: &str = "/etc/resolv.conf";
    // Where /etc/resolv.conf is a link (systemd-resolved), its target is looked up before /run is covered.
    let target = fs::canonicalize(RESOLV_CONF).unwrap_or_else(|_| RESOLV_CONF.into());
    mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("mode=0755"))
        .context("cannot mount a memory file system over /run")?;
    fs::create_dir_all(STATE_DIR).with_context(|| format!("cannot make {STATE_DIR}"))?;
    let text = format!("nameserver {DNS_ADDRESS}\noptions timeout:1 attempts:2\n");
    if target.starts_with("/run") {
        fs::create_dir_all(target.parent().unwrap_or(Path::new("/run"))).context("cannot make resolv.conf's folder")?;
        return fs::write(&target, text).with_context(|| format!("cannot write {}", target.display()));
    }
    let own = Path::new(STATE_DIR).join("resolv.conf");
    fs::write(&own, text).with_context(|| format!("cannot write {}", own.display()))?;
    mount(Some(&own), &target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .with_context(|| format!("cannot mount the lab's resolv.conf over {}", target.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_server_is_where_kubernetes_puts_its_service() {
        let (network, _) = SERVICE_CIDR.split_once('/').unwrap();
        let network: Ipv4Addr = network.parse().unwrap();
        assert_eq!(Ipv4Addr::from_bits(network.to_bits() + 1), API_SERVER_ADDRESS);
    }
}
