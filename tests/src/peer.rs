//! `lab peer`: AWS Load Balancer Controller, unmodified, against the embedded cloud.
//!
//! The cloud has to be good enough for a program that was written for AWS and knows nothing of it: it has to converge, serve, go quiet and clean up. What single
//! changes cost it is shown beside.

mod manifest;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::daemon::Daemon;
use crate::e2e::bench::{Bench, Case, condition, values};
use crate::netns::STATE_DIR;
use crate::progress::{human, verdict};
use crate::session::Session;
use crate::{client, cloud};

/// Names the program, which is built before there is a lab.
const CONTROLLER_VARIABLE: &str = "LAB_PEER";
/// Names the folder of its custom resource definitions.
const DEFINITIONS_VARIABLE: &str = "LAB_PEER_CRDS";
/// Its name for the cluster: the tag `kubernetes.io/cluster/NAME` of the cloud's security group for pods.
const CLUSTER: &str = "portico";
/// Where its health is.
const HEALTH: &str = "127.0.0.1:9461";
/// How long nothing may happen until it counts as quiet.
const QUIET: Duration = Duration::from_secs(5);

/// What [`run`] is told of the program and its definitions.
pub fn environment((program, definitions): (PathBuf, PathBuf)) -> Vec<(&'static str, PathBuf)> {
    vec![(CONTROLLER_VARIABLE, program), (DEFINITIONS_VARIABLE, definitions)]
}

/// Runs it in the lab that we are in, which must have no operator; the exit code is 1 if a step failed.
pub fn run() -> Result<u8> {
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(run_all(Session::current()?))
}

async fn run_all(session: Session) -> Result<u8> {
    ensure!(!session.operator, "another controller works in this lab: use `cargo lab peer`, or a lab with `--operator none`");
    let (ends, _ended) = tokio::sync::mpsc::unbounded_channel();
    let bench = Bench::new(session, false)?;
    let case = bench.case("peer").await?;
    let before = cloud::holdings(&case.cloud_state().await?);
    let controller = start(&case, &ends).await?;
    let (mut passed, mut failed) = (0, 0);
    // One builds on the other: after a failure the others say nothing.
    for step in [Step::Converges, Step::IsQuiet, Step::Label, Step::Scale, Step::CleansUp] {
        let began = Instant::now();
        controller.alive()?;
        let outcome = step.run(&case, &before).await;
        let took = human(began.elapsed());
        match outcome {
            Ok(remark) => {
                passed += 1;
                verdict(true, &format!("{}: {remark} ({took})", step.name()));
            }
            Err(error) => {
                failed += 1;
                verdict(false, &format!("{}: {error:#} ({took})\n{}", step.name(), controller.tail()));
                break;
            }
        }
    }
    controller.stop(Duration::from_secs(15)).await;
    anstream::println!("{passed} passed, {failed} failed");
    Ok(u8::from(failed > 0))
}

/// Starts the controller and waits until it is ready.
async fn start(case: &Case<'_>, ends: &crate::daemon::Ends) -> Result<Daemon> {
    let program = std::env::var_os(CONTROLLER_VARIABLE).map(PathBuf::from).context("use `cargo lab peer`: it builds the controller")?;
    let definitions = std::env::var_os(DEFINITIONS_VARIABLE).map(PathBuf::from).context("the controller's definitions are not named")?;
    for folder in ["bases", "gateway/gateway-crds.yaml"] {
        let path = definitions.join(folder).display().to_string();
        case.kubectl(&["apply", "--server-side", "-f", &path]).await?;
    }
    let certificates = webhook_certificate()?;
    let state = case.cloud_state().await?;
    let vpc = state.pointer("/vpcs/0/id").and_then(Value::as_str).context("the cloud has no VPC")?;
    let session = &case.bench.session;
    let kubeconfig = session.env.get("KUBECONFIG").context("the lab has no kubeconfig")?;
    let mut command = Command::new(program);
    command
        .args([format!("--cluster-name={CLUSTER}"), format!("--aws-vpc-id={vpc}"), format!("--aws-region={}", cloud::REGION)])
        .args([format!("--webhook-cert-dir={}", certificates.display()), format!("--health-probe-bind-addr={HEALTH}")])
        .args([
            "--webhook-cert-file=tls.crt",
            "--webhook-key-file=tls.key",
            "--webhook-bind-port=9462",
            "--metrics-bind-addr=127.0.0.1:9463",
        ])
        .arg(format!("--kubeconfig={kubeconfig}"))
        // Of the Gateway API's kinds for layer 4 it asks for versions that v1.7.0 does not serve any more.
        .args(["--default-target-type=ip", "--enable-leader-election=false", "--feature-gates=NLBGatewayAPI=false"])
        .envs(&session.env)
        .envs(cloud::environment(case.bench.cloud()?));
    let daemon = Daemon::spawn("peer", command, &session.logs, ends)?;
    case.until("the controller is ready", async || {
        daemon.alive()?;
        Ok(client::get(&format!("http://{HEALTH}/readyz")).await?.status.is_success().then_some(()))
    })
    .await?;
    Ok(daemon)
}

/// A certificate for its webhooks, which nobody calls here; it does not start without.
fn webhook_certificate() -> Result<PathBuf> {
    let folder = Path::new(STATE_DIR).join("peer");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let made = rcgen::generate_simple_self_signed(["webhook".to_owned()]).context("cannot make a certificate")?;
    for (name, text) in [("tls.crt", made.cert.pem()), ("tls.key", made.signing_key.serialize_pem())] {
        std::fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    Ok(folder)
}

/// What it has to do, in this order.
#[derive(Debug, Clone, Copy)]
enum Step {
    Converges,
    IsQuiet,
    Label,
    Scale,
    CleansUp,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Converges => "a Gateway, an Ingress and a Service of type LoadBalancer are served",
            Self::IsQuiet => "it goes quiet",
            Self::Label => "a label on a route",
            Self::Scale => "a scale-up is followed",
            Self::CleansUp => "it cleans up",
        }
    }

    async fn run(self, case: &Case<'_>, before: &[Value]) -> Result<String> {
        match self {
            Self::Converges => converges(case).await,
            Self::IsQuiet => {
                settles(case).await?;
                let waited = async || {
                    tokio::time::sleep(QUIET).await;
                    Ok(())
                };
                let calls = calls_of(case, waited).await?;
                ensure!(calls.mutations == 0, "{} in {QUIET:?}", calls.text());
                Ok(format!("{} in {QUIET:?}", calls.text()))
            }
            Self::Label => {
                let label = async || {
                    case.kubectl(&["label", "httproute", "store", "tried=yes"]).await?;
                    settles(case).await
                };
                Ok(calls_of(case, label).await?.text())
            }
            Self::Scale => {
                let scaled = async || {
                    case.kubectl(&["scale", "deployment/web", "--replicas=3"]).await?;
                    case.until("three targets", async || Ok((targets(&case.cloud_state().await?, "web") == 3).then_some(()))).await
                };
                Ok(calls_of(case, scaled).await?.text())
            }
            Self::CleansUp => {
                case.kubectl(&["delete", "ingresses,httproutes,gateways,services", "--all", "--timeout=60s"]).await?;
                case.until("the cloud holds what it held before", async || {
                    let now = cloud::holdings(&case.cloud_state().await?);
                    ensure!(now == before, "{}", cloud::difference(before, &now));
                    Ok(Some(()))
                })
                .await?;
                Ok("the cloud holds what it held before".to_owned())
            }
        }
    }
}

/// Applies the manifests; every request is answered as it has to be.
async fn converges(case: &Case<'_>) -> Result<String> {
    case.apply(&manifest::all()).await?;
    case.deployments_ready(&["web", "next"]).await?;
    let gateway = case
        .until("the Gateway is programmed", async || {
            let gateway = case.get(&["gateway", "edge"]).await?;
            let programmed = condition(gateway.pointer("/status/conditions"), "Programmed");
            ensure!(programmed.as_deref() == Some("True"), "Programmed is {programmed:?}");
            Ok(gateway.pointer("/status/addresses/0/value").and_then(Value::as_str).map(str::to_owned))
        })
        .await?;
    let address = async |kind: &str, name: &str| {
        let look = async || {
            let object = case.get(&[kind, name]).await?;
            Ok(object.pointer("/status/loadBalancer/ingress/0/hostname").and_then(Value::as_str).map(str::to_owned))
        };
        case.until(&format!("the {kind} {name} has an address"), look).await
    };
    let (ingress, flows) = (address("ingress", "shop").await?, address("service", "flows").await?);
    let asked = [
        (&gateway, "/", "", "web"),
        (&gateway, "/next/page", "", "next"),
        (&gateway, "/", "Version: two", "next"),
        (&ingress, "/", "", "web"),
        (&ingress, "/next", "", "next"),
        (&flows, "/", "", "web"),
    ];
    for (host, path, header, backend) in asked {
        case.until(&format!("{host}{path} is answered by {backend}"), async || {
            let url = format!("http://{host}{path}");
            let reply = case.curl(&["--header", if header.is_empty() { "Accept: */*" } else { header }, &url]).await?;
            let reply = reply.context("no answer")?;
            let by = reply.backend()?;
            ensure!(by == backend, "{by} answers");
            Ok(Some(()))
        })
        .await?;
    }
    let state = case.cloud_state().await?;
    let made = |kind: &str| values(&state, kind).len();
    Ok(format!("{} load balancers, {} target groups", made("/load_balancers"), made("/target_groups")))
}

/// Calls to the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Calls {
    reads: u64,
    mutations: u64,
}

impl Calls {
    fn text(self) -> String {
        format!("{} reads and {} mutations", self.reads, self.mutations)
    }
}

async fn calls(case: &Case<'_>) -> Result<Calls> {
    let counted = case.calls().await?;
    let number = |name: &str| counted.get(name).and_then(Value::as_u64).with_context(|| format!("the cloud does not count {name}"));
    Ok(Calls { reads: number("reads")?, mutations: number("mutations")? })
}

/// How many calls something takes.
async fn calls_of(case: &Case<'_>, action: impl AsyncFnOnce() -> Result<()>) -> Result<Calls> {
    let before = calls(case).await?;
    action().await?;
    let after = calls(case).await?;
    Ok(Calls { reads: after.reads - before.reads, mutations: after.mutations - before.mutations })
}

/// Waits until nothing has been called for a while.
async fn settles(case: &Case<'_>) -> Result<()> {
    let last = std::cell::Cell::new((calls(case).await?, Instant::now()));
    case.until("no calls any more", async || {
        let (now, (before, since)) = (calls(case).await?, last.get());
        if now != before {
            last.set((now, Instant::now()));
        }
        Ok((now == before && since.elapsed() >= QUIET).then_some(()))
    })
    .await
}

/// How many targets the fullest target group of a Service has, by the tag that the controller gives it.
fn targets(state: &Value, service: &str) -> usize {
    let groups = values(state, "/target_groups");
    let of_service = groups.iter().filter(|group| group.get("tags").is_some_and(|tags| tags.to_string().contains(service)));
    of_service.map(|group| values(group, "/targets").len()).max().unwrap_or_default()
}
