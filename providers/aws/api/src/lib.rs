//! AWS, the calls: observe, execute, targets; the only crate that names an AWS SDK type.
//!
//! [`Aws`] implements [`portico_providers::Provider`]. What to call is decided in [`portico_aws`]; here is how: reading and writing through a cache, telling
//! errors apart, and finding out what became of a call whose answer was lost.

mod account;
mod budget;
mod cache;
mod calls;
mod certificates;
mod convert;
mod error;
mod execute;
mod fence;
mod inventory;
mod metrics;
mod observe;
mod provider;
mod read;
mod region;
mod targets;

pub use portico_aws::{Observed, Operation, Stack, supported};

use metrics::Counters;
use portico_crds::v1alpha1::{AwsSettings, EffectiveProfile};
use portico_providers::{ProviderError, Secrets};
use prometheus_client::registry::Registry;
use region::{KeySource, Region};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use targets::TargetSets;

/// How to reach AWS. Credentials and endpoints come from where the AWS SDKs look for them (environment, profile, IRSA, EKS Pod Identity, IMDS).
#[derive(Clone, Debug, Default)]
pub struct AwsOptions {
    /// Region; absent for the environment's.
    pub region: Option<String>,
    /// Endpoint of all services, in the place of AWS's own; absent for `AWS_ENDPOINT_URL`, or else AWS.
    pub endpoint: Option<String>,
    /// VPC in which subnets are looked for; absent to take that of the subnets found.
    pub vpc: Option<String>,
    /// The endpoint is an emulator that takes any credentials: made-up ones are used, and none are looked for.
    pub emulated: bool,
}

/// Amazon Web Services. Cheap to clone; clones share their caches.
///
/// What it remembers is true as long as this process alone changes what carries its cluster's marks: connect when the lease is taken, not before.
#[derive(Clone)]
pub struct Aws {
    shared: Arc<Shared>,
}

struct Shared {
    config: aws_config::SdkConfig,
    vpc: Option<String>,
    regions: Mutex<BTreeMap<String, Arc<Region>>>,
    target_sets: TargetSets,
    counters: Arc<Counters>,
    secrets: KeySource,
}

impl std::fmt::Debug for Aws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aws").field("region", &self.shared.config.region()).finish_non_exhaustive()
    }
}

impl Aws {
    /// Finds region and credentials' source; calls nothing yet. Where nothing says which region to work in, that is said once somebody has work there.
    pub async fn connect(options: AwsOptions) -> Self {
        let mut loader = aws_config::defaults(aws_config::BehaviorVersion::latest());
        if let Some(region) = options.region {
            loader = loader.region(aws_config::Region::new(region));
        }
        if let Some(endpoint) = options.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if options.emulated {
            let made_up = aws_sdk_elasticloadbalancingv2::config::Credentials::new("portico", "portico", None, None, "emulator");
            loader = loader.credentials_provider(made_up);
        }
        let config = loader.load().await;
        let shared = Shared {
            config,
            vpc: options.vpc,
            regions: Mutex::default(),
            target_sets: TargetSets::default(),
            counters: Arc::default(),
            secrets: KeySource::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Whether a load balancer with these settings can be made at all.
    ///
    /// # Errors
    /// [`ProviderError::Settings`] if nothing says which region to work in.
    fn check_region(&self, settings: &EffectiveProfile) -> Result<(), ProviderError> {
        if self.shared.config.region().is_some() || matches!(settings, EffectiveProfile::Aws(AwsSettings { region: Some(_), .. })) {
            return Ok(());
        }
        let message = "no AWS region is set: use spec.aws.region of the LoadBalancerProfile, or --aws-region, AWS_REGION or a profile of \
                       ~/.aws/config for the operator";
        Err(ProviderError::Settings { message: message.to_owned() })
    }

    /// Says where private keys come from, once, before anything is executed: without it no certificate is imported.
    pub fn read_keys_from(&self, secrets: Arc<dyn Secrets>) {
        if self.shared.secrets.set(secrets).is_err() {
            tracing::warn!("the source of private keys was set before, and stays");
        }
    }

    /// The region that the operator runs with, where a profile names none.
    pub fn region(&self) -> &str {
        self.shared.config.region().map(AsRef::as_ref).unwrap_or_default()
    }

    /// Shows in a registry what is counted of calls to AWS: `cloud_calls`, `cloud_budget_waits`, `cloud_budget_wait_seconds`, `cloud_budget_rate`.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.shared.counters.register(registry);
    }

    /// Clients and caches of a region.
    fn in_region(&self, name: Option<&str>) -> Arc<Region> {
        let name = name.unwrap_or_else(|| self.region());
        let mut regions = lock(&self.shared.regions);
        let new = || {
            Arc::new(Region::new(
                &self.shared.config,
                name,
                self.shared.vpc.clone(),
                self.shared.counters.clone(),
                self.shared.secrets.clone(),
            ))
        };
        regions.entry(name.to_owned()).or_insert_with(new).clone()
    }

    /// Clients and caches of the region that settings name.
    fn region_by(&self, settings: &EffectiveProfile) -> Arc<Region> {
        match settings {
            EffectiveProfile::Aws(settings) => self.in_region(settings.region.as_deref()),
            EffectiveProfile::Envoy(_) => self.in_region(None),
        }
    }

    /// Regions that were used so far, at least the operator's own where it has one.
    fn regions(&self) -> Vec<Arc<Region>> {
        if self.shared.config.region().is_some() {
            self.in_region(None);
        }
        lock(&self.shared.regions).values().cloned().collect()
    }
}

/// A lock whose holder never panics while holding it; what a panic elsewhere left is still whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
