//! The embedded cloud: AWS load balancing endpoints with state, faults and a data plane. Shares no code with the providers.
//!
//! [`Cloud::start`] opens one HTTP endpoint that speaks AWS's own wire protocols (ELBv2, EC2, ACM, STS, S3, WAFv2, Shield, Service Quotas, Route 53 and the Resource
//! Groups Tagging API), so that the AWS SDKs and boto3 use it with nothing but `AWS_ENDPOINT_URL`, and an admin API under `/_cloud/`.
//! What the control plane holds is served: every load balancer gets addresses of its own and really answers.
//!
//! The flow of one call: [`endpoint`] reads the request, [`wire`] decodes it, [`elb`], [`ec2`], [`acm`], [`sts`], [`s3`] or [`tagging`] changes the
//! [`state`] under one lock, [`projection`] turns the state into the [`dataplane`]'s configuration, and [`log`] keeps a record.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub mod acm;
pub mod admin;
pub mod clock;
pub mod config;
pub mod control;
pub mod dataplane;
pub mod dns;
pub mod ec2;
pub mod elb;
pub mod endpoint;
pub mod error;
pub mod fault;
pub mod glob;
pub mod id;
pub mod integrity;
pub mod inventory;
pub mod log;
pub mod operation;
pub mod page;
pub mod projection;
pub mod reachability;
pub mod route53;
pub mod s3;
pub mod service;
pub mod service_quotas;
pub mod settings;
pub mod shield;
pub mod snapshot;
pub mod state;
pub mod sts;
pub mod tag;
pub mod tagging;
pub mod throttle;
pub mod waf_regional;
pub mod wafv2;
pub mod wire;
pub mod x509;

pub use config::{AddressPool, CertificateCheck, CloudConfig, PodNetwork, PortFallback, Quotas, Rate, Rates, Reregistration, Times};
pub use error::CloudError;
pub use settings::Settings;

/// A running cloud. Several can run in one process: there is no global state. Dropping it ends it without waiting; see
/// [`Cloud::shutdown`].
#[derive(Debug)]
pub struct Cloud {
    address: SocketAddr,
    control: Arc<control::Control>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Where a load balancer listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadBalancerAddress {
    /// Its ARN.
    pub arn: String,
    /// Its DNS name.
    pub dns_name: String,
    /// Its address; of a network load balancer, that in its first zone.
    pub address: IpAddr,
    /// For every listener's port: the port that is really bound (another one if it stands in), or why none is. Of a network load balancer,
    /// whose addresses may differ in that, the first one's; the data plane's [`dataplane::BoundListener`] has all.
    pub ports: BTreeMap<u16, Result<u16, String>>,
}

impl Cloud {
    /// Starts a cloud, with a fresh account or as its state file has it, and begins to serve.
    ///
    /// # Errors
    /// If the address cannot be bound, the configuration contradicts itself, or the state file cannot be used.
    pub async fn start(config: CloudConfig) -> Result<Self, CloudError> {
        let listen = config.listen;
        let bound = TcpListener::bind(listen).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = bound.map_err(|source| CloudError::Listen { address: listen, source })?;
        // Some answers hold URLs of this endpoint.
        let control = Arc::new(control::Control::new(CloudConfig { listen: address, ..config })?);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(endpoint::serve(listener, control.clone(), stop.clone(), tasks.clone()));
        tasks.spawn(control.clone().follow(stop.clone()));
        tasks.spawn(control.clone().keep(stop.clone()));
        tasks.spawn(control.clone().deliver(stop.clone()));
        tracing::info!(target: "portico_cloud", "the cloud listens at http://{address}");
        Ok(Self { address, control, stop, tasks })
    }

    /// The URL for `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where the API listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the load balancer with this DNS name listens; `None` if there is none.
    pub fn load_balancer(&self, dns_name: &str) -> Option<LoadBalancerAddress> {
        let wanted = dns_name.trim_end_matches('.');
        self.load_balancers().into_iter().find(|balancer| balancer.dns_name.eq_ignore_ascii_case(wanted))
    }

    /// Where all load balancers listen.
    pub fn load_balancers(&self) -> Vec<LoadBalancerAddress> {
        let mut ports: BTreeMap<String, BTreeMap<u16, Result<u16, String>>> = BTreeMap::new();
        for bound in self.control.plane().bound() {
            let port = bound.bound.map(|address| address.port());
            ports.entry(bound.load_balancer.to_string()).or_default().entry(bound.port).or_insert(port);
        }
        self.control.with_state(|state| {
            let row = |balancer: &elb::load_balancer::LoadBalancer| {
                Some(LoadBalancerAddress {
                    arn: balancer.arn.clone(),
                    dns_name: balancer.dns_name.clone(),
                    address: balancer.address()?,
                    ports: ports.remove(&balancer.arn).unwrap_or_default(),
                })
            };
            state.elb.load_balancers.values().filter_map(row).collect()
        })
    }

    /// Counts of calls since the start or the last reset.
    pub fn calls(&self) -> log::Counts {
        self.control.with_log(|log| log.counts().clone())
    }

    /// Ends everything: the API, the load balancers, all tasks. Idle connections end at once, calls in flight within a few seconds.
    /// Then the load balancers' logs are delivered, and the state file, if there is one, is written for the last time.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(std::time::Duration::from_secs(5), self.tasks.wait()).await.is_err() {
            tracing::warn!(target: "portico_cloud", "calls were still in flight at the end");
        }
        self.control.deliver_logs().await;
        // Calls that were carried out since the last time are in the file, too.
        self.control.save().await;
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
