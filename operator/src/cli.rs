//! The command line. Its help is the first documentation that most people read.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use portico_crds::NamespacedName;

use crate::bootstrap::BootstrapArguments;
use crate::log::LogFormat;

/// Portico turns Gateway API objects into cloud load balancers.
///
/// It watches Gateways and routes, and keeps an AWS Application Load Balancer for each Gateway of its classes, or has a fleet of Envoy
/// proxies serve it. `portico demo` shows it all on this machine, without a cluster and without a cloud account.
#[derive(Debug, Parser)]
#[command(
    name = "portico",
    bin_name = "portico",
    version,
    propagate_version = true,
    after_help = "Exit codes: 0 all went well; 1 the command failed, and said why on standard error; 2 the command line is wrong \
                  (1 with --detailed-exitcode, where 2 means that there are changes); 130 interrupted."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How log lines look [default: human on a terminal and in `demo`, `plan`, `cloud`; json otherwise].
    #[arg(long, global = true, value_enum, env = "PORTICO_LOG_FORMAT", help_heading = "Logs")]
    pub log_format: Option<LogFormat>,
    /// What is logged: a level (error, warn, info, debug, trace) or directives such as `info,portico=debug`
    /// [default: info for `run` and `cloud`, warn otherwise].
    #[arg(long, global = true, value_name = "FILTER", env = "PORTICO_LOG", help_heading = "Logs")]
    pub log: Option<String>,
}

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the operator against a cluster until SIGTERM or Ctrl-C.
    Run(RunArguments),
    /// Show what would change in the cloud, and what it cannot have, for a cluster or for manifests. Changes nothing.
    Plan(PlanArguments),
    /// Serve a folder of manifests on this machine, from an embedded cloud or a local Envoy: no cluster, no account, no root.
    #[cfg(feature = "embedded-cloud")]
    Demo(DemoArguments),
    /// Run a program that ends with its parent, for `demo`.
    #[cfg(feature = "embedded-cloud")]
    #[command(hide = true)]
    Tied(crate::demo::tied::TiedArguments),
    /// Run the embedded cloud alone: AWS load balancing endpoints with a data plane, for any AWS client.
    #[cfg(feature = "embedded-cloud")]
    Cloud(CloudArguments),
    /// Print what installs Portico in a cluster, as YAML for `kubectl apply --server-side -f -`: definitions, rights, Deployment.
    Manifests(ManifestsArguments),
    /// Set up Envoy proxies of a fleet.
    #[command(subcommand)]
    Envoy(EnvoyCommand),
}

/// The sub-commands of `portico envoy`.
#[derive(Debug, Subcommand)]
pub enum EnvoyCommand {
    /// Print what a proxy of a fleet is started with: its name, how it reaches the operator and proves who it is, its limits.
    Bootstrap(Box<BootstrapArguments>),
}

/// How to reach AWS.
#[derive(Args, Clone, Debug, Default)]
pub struct AwsArguments {
    /// Region of the load balancers [default: as the AWS SDK finds it: AWS_REGION, the profile, the instance].
    #[arg(long, value_name = "REGION", env = "AWS_REGION", help_heading = "AWS")]
    pub aws_region: Option<String>,
    /// Where the AWS API is, if not at AWS: an emulator, or `portico cloud`.
    #[arg(long, value_name = "URL", env = "AWS_ENDPOINT_URL", help_heading = "AWS")]
    pub aws_endpoint_url: Option<String>,
    /// VPC of the cluster [default: the VPC of the subnets that a profile names, or the only one in which tagged subnets are found].
    #[arg(long, value_name = "ID", env = "PORTICO_AWS_VPC", help_heading = "AWS")]
    pub aws_vpc: Option<String>,
}

/// Which cluster.
#[derive(Args, Clone, Debug, Default)]
pub struct ClusterArguments {
    /// Kubeconfig file [default: KUBECONFIG, then ~/.kube/config, then the Pod's service account].
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current one].
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    pub context: Option<String>,
    /// Identity of the cluster in every name and mark in the cloud; never change it [default: the UID of the namespace kube-system].
    #[arg(long, value_name = "ID", env = "PORTICO_CLUSTER_ID", help_heading = "Cluster")]
    pub cluster_id: Option<String>,
}

/// Arguments of `portico run`.
#[derive(Args, Debug)]
pub struct RunArguments {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArguments,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9402", env = "PORTICO_LISTEN")]
    pub listen: SocketAddr,
    /// How many load balancers are worked on at the same time.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
    /// How long the sweep takes to look at every load balancer once, to find what was changed from outside. 0 switches it off.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub sweep_interval: Duration,
    /// Run without a Lease. Only for a single replica that never overlaps with another.
    #[arg(long, help_heading = "Leader election")]
    pub no_leader_election: bool,
    /// Namespace of the Lease [default: the namespace of the context or of the Pod].
    #[arg(long, value_name = "NAME", env = "PORTICO_NAMESPACE", help_heading = "Leader election")]
    pub lease_namespace: Option<String>,
    /// Name of the Lease.
    #[arg(long, value_name = "NAME", default_value = "portico", help_heading = "Leader election")]
    pub lease_name: String,
    /// How to reach AWS.
    #[command(flatten)]
    pub aws: AwsArguments,
    /// How Envoy proxies reach this replica.
    #[command(flatten)]
    pub xds: XdsArguments,
}

/// How Envoy proxies reach a replica.
#[derive(Args, Clone, Debug)]
pub struct XdsArguments {
    /// Where Envoy proxies get their configuration (ADS over gRPC), such as 0.0.0.0:18000 [default: nowhere].
    #[arg(long, value_name = "ADDRESS", env = "PORTICO_XDS_LISTEN", help_heading = "Envoy")]
    pub xds_listen: Option<SocketAddr>,
    /// Certificate chain for proxies, in PEM; read again when it changes [default: clear text].
    #[arg(long, value_name = "FILE", requires = "xds_key", env = "PORTICO_XDS_CERTIFICATE", help_heading = "Envoy")]
    pub xds_certificate: Option<PathBuf>,
    /// Its private key, in PEM.
    #[arg(long, value_name = "FILE", requires = "xds_certificate", env = "PORTICO_XDS_KEY", help_heading = "Envoy")]
    pub xds_key: Option<PathBuf>,
    /// Authorities of the certificates that proxies show, in PEM; read again when it changes: for fleets that are identified by certificates.
    #[arg(long, value_name = "FILE", requires = "xds_certificate", env = "PORTICO_XDS_CLIENT_CA", help_heading = "Envoy")]
    pub xds_client_ca: Option<PathBuf>,
}

/// Against what a plan is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ObservedSource {
    /// An account that holds nothing yet: no call is made, no credentials are needed.
    None,
    /// What the account holds now: reads it, with the credentials that the AWS SDK finds, and changes nothing.
    Cloud,
}

/// How a plan is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people.
    Text,
    /// One JSON document.
    Json,
    /// The JSON Schema of that document; nothing is planned.
    JsonSchema,
}

/// Arguments of `portico plan`.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  portico plan                                  the current cluster against its cloud: what `portico run` would do now
  portico plan -f manifests/                    manifests alone, offline, against an empty account
  portico plan -f manifests/ --overlay          what applying these manifests to the current cluster would change
  kustomize build . | portico plan -f - --overlay --detailed-exitcode --strict
                                                the same in a pull request: 0 no changes, 2 changes, 1 anything wrong

Exit codes: 0 planned; 1 something could not be planned, or with --strict is refused or wrong; with --detailed-exitcode 2 where there are changes.")]
pub struct PlanArguments {
    /// Folder (its .yaml, .yml and .json files, sub-folders too) or file of manifests, or - for standard input; may be given several
    /// times. Without it, the objects of the cluster are planned.
    #[arg(short = 'f', long = "filename", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Lay the files over the objects of the cluster: what would applying them change?
    #[arg(long, requires = "paths")]
    pub overlay: bool,
    /// Only this Gateway's load balancer; may be given several times.
    #[arg(long = "gateway", value_name = "NAMESPACE/NAME", value_parser = gateway)]
    pub gateways: Vec<NamespacedName>,
    /// Against what to compare [default: none for files alone, cloud otherwise].
    #[arg(long, value_enum)]
    pub observed: Option<ObservedSource>,
    /// How to print the plan.
    #[arg(short, long, value_enum, default_value_t = PlanFormat::Text)]
    pub output: PlanFormat,
    /// Exit with 2 where there are changes, with 0 only where there are none.
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// Exit with 1 where anything is refused or an object has a problem.
    #[arg(long)]
    pub strict: bool,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArguments,
    /// How to reach AWS.
    #[command(flatten)]
    pub aws: AwsArguments,
}

/// What serves the demo's example.
#[cfg(feature = "embedded-cloud")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DemoClass {
    /// Application Load Balancers of the embedded AWS.
    #[default]
    Aws,
    /// A local Envoy.
    Envoy,
}

/// Arguments of `portico demo`.
#[cfg(feature = "embedded-cloud")]
#[derive(Args, Debug)]
pub struct DemoArguments {
    /// Folder of manifests [default: the bundled example of two teams].
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// What serves the bundled example; manifests of your own say it by their profiles.
    #[arg(long, value_enum, value_name = "CLASS", default_value_t = DemoClass::Aws, conflicts_with = "dir")]
    pub class: DemoClass,
    /// The Envoy that serves Gateways of Envoy fleets [default: one that is installed: in PATH, in a Python environment, by func-e].
    #[arg(long, value_name = "PATH", env = "PORTICO_ENVOY")]
    pub envoy: Option<PathBuf>,
    /// Make the printed requests, show the answers and exit: 0 if all were answered as the routes say, 1 otherwise.
    #[arg(long)]
    pub once: bool,
    /// Where load balancers listen: each takes an address of this range, which must be this machine's.
    #[arg(long, value_name = "CIDR", default_value = "127.1.0.0/16")]
    pub addresses: String,
}

/// Arguments of `portico cloud`.
#[cfg(feature = "embedded-cloud")]
#[derive(Args, Debug)]
pub struct CloudArguments {
    /// Where the API listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4566")]
    pub listen: SocketAddr,
    /// Where load balancers listen: each takes an address of this range, which must be this machine's.
    #[arg(long, value_name = "CIDR", default_value = "127.1.0.0/16")]
    pub addresses: String,
    /// Name of the region.
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    pub region: String,
    /// Number of the account.
    #[arg(long, value_name = "NUMBER", default_value = "000000000000")]
    pub account: String,
    /// Name of the cluster in the tags of subnets and of the nodes' security group.
    #[arg(long, value_name = "NAME", default_value = "portico")]
    pub cluster: String,
    /// A pod network, `CIDR` or `CIDR=ZONE/NODE`; may be given several times [default: 198.19.0.0/16 and 127.0.0.0/8 in zone a].
    #[arg(long = "pods", value_name = "CIDR")]
    pub pod_networks: Vec<String>,
    /// Take about as long as AWS does to provision, to propagate and to delete; with a factor, such a part of it (0.1: a tenth).
    #[arg(long, value_name = "FACTOR", num_args = 0..=1, require_equals = true, default_missing_value = "1", value_parser = crate::cloud::factor)]
    pub realistic_times: Option<f64>,
    /// Time from CreateLoadBalancer to the state active.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub provisioning: Option<Duration>,
    /// Limits, times and rates, as `PUT /_cloud/settings` takes them, such as {"quotas":{"application-load-balancers":1000}}.
    #[arg(long, value_name = "JSON")]
    pub settings: Option<String>,
    /// Seed of every generated id and of every random choice, so that two runs give the same ones.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Keep the state in this file over restarts. It holds private keys; only its owner may read it.
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
}

/// A part of the manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum ManifestPart {
    /// Portico's own CustomResourceDefinitions.
    Crds,
    /// The namespace, the ServiceAccount, and the rights that `portico run` needs: no more than those.
    Rbac,
    /// Two replicas of `portico run`, with probes and a disruption budget.
    Deployment,
}

/// Arguments of `portico manifests`.
#[derive(Args, Debug)]
pub struct ManifestsArguments {
    /// Only these parts; may be given several times [default: all].
    #[arg(long, value_name = "PART", value_enum)]
    pub only: Vec<ManifestPart>,
    /// Namespace of everything that lives in one.
    #[arg(long, value_name = "NAME", default_value = "portico-system")]
    pub namespace: String,
    /// Image of the Deployment: one that has the `portico` binary as its entry point.
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// Role of the ServiceAccount, for IAM roles for service accounts. EKS Pod Identity needs none here.
    #[arg(long, value_name = "ARN")]
    pub aws_role: Option<String>,
    /// Region of the load balancers [default: that of the instance or Pod].
    #[arg(long, value_name = "REGION")]
    pub aws_region: Option<String>,
    /// How Envoy proxies reach the Deployment.
    #[command(flatten)]
    pub xds: XdsManifestsArguments,
}

/// How Envoy proxies reach the Deployment that `portico manifests` prints.
#[derive(Args, Clone, Debug, Default)]
pub struct XdsManifestsArguments {
    /// Serve Envoy proxies over TLS, with `tls.crt` and `tls.key` of this Secret in the same namespace [default: proxies are not served].
    #[arg(long, value_name = "SECRET", help_heading = "Envoy")]
    pub xds_tls_secret: Option<String>,
    /// Serve fleets that are identified by certificates: those of proxies are signed by `ca.crt` of this Secret. It may be the same one.
    #[arg(long, value_name = "SECRET", requires = "xds_tls_secret", help_heading = "Envoy")]
    pub xds_client_ca_secret: Option<String>,
    /// Serve Envoy proxies in clear text. Whoever reaches the port or listens on the way may get private keys of Gateways.
    #[arg(long, conflicts_with = "xds_tls_secret", help_heading = "Envoy")]
    pub xds_clear_text: bool,
}

/// Reads `NAMESPACE/NAME`.
fn gateway(text: &str) -> Result<NamespacedName, String> {
    let key = text.parse::<NamespacedName>().map_err(|error| error.to_string())?;
    if key.namespace.is_empty() { Err(format!("{text:?} is not NAMESPACE/NAME")) } else { Ok(key) }
}

/// Reads `300ms`, `30s`, `5m`, `1h` or `0`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration such as 300ms, 30s, 5m or 1h");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(duration("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for wrong in ["", "5", "m", "-1s", "1d", "1e9h", "1.2.3s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
