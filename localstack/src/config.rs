//! What a cloud is like: where it listens, its account, its default network, its quotas and its times.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

mod quotas;

pub use crate::dataplane::config::PortFallback;
pub use quotas::Quotas;

/// Settings of one [`crate::Cloud`]. [`CloudConfig::default`] is a fresh account in `us-east-1` with an EKS-like network.
#[derive(Clone, Debug)]
pub struct CloudConfig {
    /// Where the AWS API and the admin API listen; port 0 takes a free port.
    pub listen: SocketAddr,
    /// The region's name, as it appears in ARNs, zones and DNS names.
    pub region: String,
    /// The account's number (12 digits).
    pub account: String,
    /// Where load balancers listen.
    pub addresses: AddressPool,
    /// What to do if a listener's port cannot be bound.
    pub port_fallback: PortFallback,
    /// How long things take.
    pub times: Times,
    /// The account's limits.
    pub quotas: Quotas,
    /// How many calls of ELBv2 per second are answered. `None`: any number.
    pub rates: Option<Rates>,
    /// The CIDRs of the default VPC; the first one is its primary CIDR, which holds the zones' own subnets.
    pub vpc_cidrs: Vec<IpNet>,
    /// The zones' letters: `a` of `us-east-1` is `us-east-1a`.
    pub zones: Vec<char>,
    /// The pod networks: each is a subnet of the VPC behind one node's network interface.
    pub pod_networks: Vec<PodNetwork>,
    /// The cluster's name in the tag `kubernetes.io/cluster/<name>` of subnets and of the nodes' security group.
    pub cluster: String,
    /// Whether the nodes' security group lets load balancers in from the start. A real cluster's does not.
    pub open_nodes: bool,
    /// What happens if an IP address is registered again while its deregistration runs.
    pub reregistration: Reregistration,
    /// How strict ACM and ELBv2 are with certificates.
    pub certificates: CertificateCheck,
    /// Seed of every generated id, so that two runs give the same ones. `None`: random.
    pub seed: Option<u64>,
    /// Where the state is kept over restarts; see [`crate::snapshot`]. `None`: nowhere.
    pub state_file: Option<PathBuf>,
    /// How many calls the log keeps.
    pub log_capacity: usize,
}

impl Default for CloudConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            region: "us-east-1".into(),
            account: "000000000000".into(),
            addresses: AddressPool::default(),
            port_fallback: PortFallback::default(),
            times: Times::default(),
            quotas: Quotas::default(),
            rates: None,
            vpc_cidrs: vec![cidr([10, 0, 0, 0], 16), cidr([198, 18, 0, 0], 15), cidr([127, 0, 0, 0], 8)],
            zones: vec!['a', 'b', 'c'],
            pod_networks: vec![
                PodNetwork { cidr: cidr([198, 19, 0, 0], 16), zone: 'a', node: "node-a".into() },
                PodNetwork { cidr: cidr([127, 0, 0, 0], 8), zone: 'a', node: "node-a".into() },
            ],
            cluster: "portico".into(),
            open_nodes: false,
            reregistration: Reregistration::default(),
            certificates: CertificateCheck::default(),
            seed: None,
            state_file: None,
            log_capacity: 10_000,
        }
    }
}

/// A CIDR that is right by construction (`IpNet` refuses only prefixes above 32 bits).
fn cidr(address: [u8; 4], prefix: u8) -> IpNet {
    IpNet::new(IpAddr::from(address), prefix).unwrap_or_else(|_| IpNet::from(IpAddr::from(address)))
}

/// A range of pod addresses and where it is: its subnet's zone and the node whose network interface holds the addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodNetwork {
    /// The addresses. Must lie in one of the VPC's CIDRs; becomes a subnet of its own.
    pub cidr: IpNet,
    /// The zone's letter.
    pub zone: char,
    /// The node's name; pod networks of one node share its network interface's security groups.
    pub node: String,
}

/// Where load balancers listen: each takes an address of this range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressPool {
    /// The range. Its first and last addresses of every /24 are left out.
    pub cidr: IpNet,
}

impl Default for AddressPool {
    /// `127.1.0.0/16`: bindable by anyone on Linux.
    fn default() -> Self {
        Self { cidr: cidr([127, 1, 0, 0], 16) }
    }
}

/// How long things take. Defaults are near zero, so that tests need not wait; [`Times::realistic`] is closer to AWS.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// How long every call takes at least.
    pub latency: Duration,
    /// From CreateLoadBalancer to state `active` (AWS: 2–3 minutes).
    pub provisioning: Duration,
    /// From a change of listeners or rules to its effect on traffic (AWS: up to about 30 s).
    pub propagation: Duration,
    /// For how long DeleteTargetGroup answers ResourceInUse after its last use has gone (AWS: seconds).
    pub target_group_delete_lag: Duration,
    /// For how long a deleted load balancer's network interfaces remain (AWS: half a minute to minutes).
    pub network_interface_lag: Duration,
    /// For how long a terminated instance is still shown (AWS: about an hour).
    pub instance_lag: Duration,
    /// For how long DeleteCertificate answers ResourceInUseException after its last use has gone (AWS: minutes).
    pub certificate_delete_lag: Duration,
    /// For how long listeners do not find a certificate that was just imported (AWS: seconds).
    pub certificate_lag: Duration,
    /// From CreateTrustStore to status ACTIVE (AWS: seconds to minutes).
    pub trust_store_creation: Duration,
    /// For how long a listener that was just created is not found by its ARN (AWS: now and then a moment; its own controller tries again for that).
    pub listener_lag: Duration,
    /// How often logs of load balancers are delivered to their buckets, at full intervals of the clock (AWS: 5 minutes). At least 0.1 s.
    pub log_interval: Duration,
    /// Factor on health check intervals; 0 = as fast as useful.
    pub health_check_scale: f64,
    /// Factor on deregistration delays (AWS default: 300 s).
    pub deregistration_scale: f64,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            provisioning: Duration::ZERO,
            propagation: Duration::ZERO,
            target_group_delete_lag: Duration::ZERO,
            network_interface_lag: Duration::ZERO,
            instance_lag: Duration::from_secs(36),
            certificate_delete_lag: Duration::ZERO,
            certificate_lag: Duration::ZERO,
            listener_lag: Duration::ZERO,
            trust_store_creation: Duration::ZERO,
            log_interval: Duration::from_secs(3),
            health_check_scale: 0.0,
            deregistration_scale: 0.01,
        }
    }
}

impl Times {
    /// Times as one sees them on AWS.
    pub fn realistic() -> Self {
        Self {
            latency: Duration::from_millis(80),
            provisioning: Duration::from_secs(150),
            propagation: Duration::from_secs(5),
            target_group_delete_lag: Duration::from_secs(4),
            network_interface_lag: Duration::from_secs(40),
            instance_lag: Duration::from_secs(3600),
            certificate_delete_lag: Duration::from_secs(60),
            certificate_lag: Duration::from_secs(2),
            listener_lag: Duration::from_secs(1),
            trust_store_creation: Duration::from_secs(10),
            log_interval: Duration::from_secs(300),
            health_check_scale: 1.0,
            deregistration_scale: 1.0,
        }
    }

    /// The same times by a factor, 0 or more: 0.1 is a tenth.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        let scaled = |time: Duration| Duration::try_from_secs_f64(time.as_secs_f64() * factor).unwrap_or_default();
        Self {
            latency: scaled(self.latency),
            provisioning: scaled(self.provisioning),
            propagation: scaled(self.propagation),
            target_group_delete_lag: scaled(self.target_group_delete_lag),
            network_interface_lag: scaled(self.network_interface_lag),
            instance_lag: scaled(self.instance_lag),
            certificate_delete_lag: scaled(self.certificate_delete_lag),
            certificate_lag: scaled(self.certificate_lag),
            listener_lag: scaled(self.listener_lag),
            trust_store_creation: scaled(self.trust_store_creation),
            log_interval: scaled(self.log_interval),
            health_check_scale: self.health_check_scale * factor,
            deregistration_scale: self.deregistration_scale * factor,
        }
    }
}

/// What RegisterTargets does with an address whose deregistration delay still runs. AWS's user guide says that one must wait
/// for its end; what the API answers is not documented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reregistration {
    /// The whole call fails with InvalidTarget (the strictest reading).
    #[default]
    Reject,
    /// The call succeeds and the target keeps draining until it is gone.
    KeepDraining,
    /// The target is in service again.
    Accept,
}

/// How strict ACM and ELBv2 are with certificates. What ELB refuses of unusual ones is not documented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateCheck {
    /// Chains must hold, a certificate without a chain must be self-signed, and for a listener its names must be fully qualified.
    #[default]
    Strict,
    /// Whatever can be served is taken.
    Lenient,
}

/// A token bucket: so many calls at once, and so many more per second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// Tokens in the full bucket.
    pub burst: f64,
    /// Tokens that come back per second.
    pub refill: f64,
}

/// Token buckets of ELBv2 calls. AWS documents only that of Describe calls (40, 10 per second); [`Rates::default`] assumes the others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rates {
    /// Calls that change nothing.
    pub reads: Rate,
    /// Calls that change something, registrations excepted.
    pub mutations: Rate,
    /// RegisterTargets and DeregisterTargets.
    pub registrations: Rate,
    /// All calls together.
    pub all: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            reads: Rate { burst: 40.0, refill: 10.0 },
            mutations: Rate { burst: 20.0, refill: 3.0 },
            registrations: Rate { burst: 20.0, refill: 4.0 },
            all: Rate { burst: 80.0, refill: 20.0 },
        }
    }
}
