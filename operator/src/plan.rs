//! `portico plan`: what would change, through the same world, translate, compile, observe and diff as `run`. Nothing is ever changed.

pub mod document;
mod problems;
mod source;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail};
use futures::{StreamExt, stream};
use portico_aws_api::Aws;
use portico_crds::NamespacedName;
use portico_crds::v1alpha1::EffectiveProfile;
use portico_envoy_xds::Envoy;
use portico_providers::{ClusterId, Plan, Provider, ProviderError, UnitId};
use portico_translate::{UnitState, choose_addresses, known_settings, settings, translate};

use crate::cli::{ObservedSource, PlanArguments, PlanFormat};
use crate::clouds::{Clouds, Operation};
use crate::keeper::SharedWorld;
use document::{PlanDocument, Problem, Situation, UnitDocument};
pub use source::Objects;

/// The exit code of `--detailed-exitcode` where there are changes, as Terraform has it.
const CHANGES: u8 = 2;

/// How many load balancers are looked at in the cloud at the same time.
const CONCURRENCY: usize = 8;

/// Runs the command.
pub async fn run(arguments: PlanArguments) -> anyhow::Result<ExitCode> {
    if arguments.output == PlanFormat::JsonSchema {
        crate::output::print(&(document::schema()? + "\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let objects = Objects::read(&arguments).await?;
    let observed = arguments.observed.unwrap_or(if objects.of_cluster { ObservedSource::Cloud } else { ObservedSource::None });
    let cluster = match (&objects.cluster_id, observed) {
        (Some(id), _) => ClusterId(id.clone()),
        (None, ObservedSource::None) => ClusterId("from-files".to_owned()),
        (None, ObservedSource::Cloud) => bail!(
            "which load balancers of the account are this cluster's cannot be said without its id: give it with --cluster-id, or lay \
             the files over the cluster's objects with --overlay"
        ),
    };
    let cloud = match observed {
        ObservedSource::None => None,
        ObservedSource::Cloud => Some(Clouds::new(Aws::connect((&arguments.aws).into()).await, Envoy::new())),
    };
    let world = objects.world();
    let chosen = Chosen { gateways: arguments.gateways.iter().cloned().collect() };
    let unknown: Vec<String> =
        chosen.gateways.iter().filter(|key| world.read().unit_state(&gateway(key)) == UnitState::Absent).map(ToString::to_string).collect();
    if !unknown.is_empty() {
        bail!("{} is no Gateway of a class with the controller name {}", unknown.join(", "), portico_crds::CONTROLLER_NAME);
    }
    let mut units: Vec<UnitId> = world.read().units().collect();
    if let Some(cloud) = cloud.as_ref().filter(|_| objects.of_cluster) {
        let settings = known_settings(&world.read());
        let owned = cloud.owned_units(&cluster, &settings).await.context("the cloud cannot list what belongs to this cluster")?;
        let known: BTreeSet<UnitId> = units.iter().cloned().collect();
        units.extend(owned.into_iter().filter(|unit| !known.contains(unit)));
    }
    units.retain(|unit| chosen.holds(unit));
    let problems = if chosen.all() { objects.problems(&world) } else { BTreeSet::new() };
    let mut document = make(&world, &cluster, units, problems, cloud.as_ref()).await;
    document.source = objects.describe(&cluster, observed == ObservedSource::Cloud);

    let text = match arguments.output {
        PlanFormat::Json => serde_json::to_string_pretty(&document).context("the plan cannot be printed as JSON")? + "\n",
        PlanFormat::Text | PlanFormat::JsonSchema => document.text(crate::output::width()),
    };
    crate::output::print(&text)?;
    verdict(&document, &arguments)
}

/// The exit code, or what is wrong.
fn verdict(document: &PlanDocument, arguments: &PlanArguments) -> anyhow::Result<ExitCode> {
    let summary = &document.summary;
    if summary.errors > 0 {
        bail!("{} cannot be planned", crate::output::count(summary.errors, "load balancer"));
    }
    if arguments.strict && summary.refusals + summary.problems > 0 {
        bail!("the plan has {} (--strict)", summary.complaints());
    }
    let changes = summary.create + summary.update + summary.delete > 0;
    Ok(if changes && arguments.detailed_exitcode { ExitCode::from(CHANGES) } else { ExitCode::SUCCESS })
}

fn gateway(key: &NamespacedName) -> UnitId {
    UnitId::Gateway(key.clone())
}

/// The Gateways that were asked for; all where none is named.
struct Chosen {
    gateways: BTreeSet<NamespacedName>,
}

impl Chosen {
    fn all(&self) -> bool {
        self.gateways.is_empty()
    }

    fn holds(&self, unit: &UnitId) -> bool {
        self.all() || unit.gateway().is_some_and(|key| self.gateways.contains(key))
    }
}

/// The document of these units, against what the cloud holds, or an empty account of AWS's default limits. `problems` are what was found
/// wrong before.
pub async fn make(
    world: &SharedWorld,
    cluster: &ClusterId,
    units: Vec<UnitId>,
    mut problems: BTreeSet<Problem>,
    cloud: Option<&Clouds>,
) -> PlanDocument {
    let mut documents = Vec::new();
    let reserved = Mutex::default();
    let mut planned = stream::iter(units).map(|unit| one(world, cluster, unit, cloud, &reserved)).buffered(CONCURRENCY);
    while let Some((document, found)) = planned.next().await {
        documents.push(document);
        problems.extend(found);
    }
    PlanDocument::new(documents, problems)
}

async fn one(
    world: &SharedWorld,
    cluster: &ClusterId,
    unit: UnitId,
    cloud: Option<&Clouds>,
    reserved: &Mutex<BTreeMap<IpAddr, UnitId>>,
) -> (UnitDocument, BTreeSet<Problem>) {
    let situation = match world.read().unit_state(&unit) {
        UnitState::Live => Situation::Served,
        UnitState::Held => Situation::Held,
        UnitState::Deleting => Situation::Deleting,
        UnitState::Absent => Situation::Orphaned,
    };
    let mut document = UnitDocument::new(&unit, situation);
    let translation = translate(&world.read(), &unit);
    let problems = translation.as_ref().map(|it| problems::of_report(&it.report)).unwrap_or_default();
    let mut plan = match translation.map(|it| it.plan) {
        Some(None) => {
            document.situation = Situation::Held;
            None
        }
        Some(plan) => plan,
        None => None,
    };
    if let Some(Err(error)) = plan.as_mut().map(|plan| assign(world, plan, reserved)) {
        document.error = Some(error.to_string());
    } else if document.situation != Situation::Held
        && let Err(error) = compare(&mut document, world, cluster, &unit, plan.as_ref(), cloud).await
    {
        document.error = Some(error.to_string());
    }
    (document, problems)
}

/// Compile, observe, diff; without a plan everything of the unit goes.
async fn compare(
    document: &mut UnitDocument,
    world: &SharedWorld,
    cluster: &ClusterId,
    unit: &UnitId,
    plan: Option<&Plan>,
    cloud: Option<&Clouds>,
) -> Result<(), ProviderError> {
    let Some(cloud) = cloud else {
        return plan.map_or(Ok(()), |plan| compare_with_nothing(document, cluster, plan));
    };
    let stacks = match plan {
        Some(plan) => {
            cloud.prepare(plan, true).await?;
            let compiled = cloud.compile(cluster, plan);
            document.refuse(&compiled.refusals);
            let left_behind = cloud.left_behind(&compiled.stack).await;
            std::iter::once(compiled.stack).chain(left_behind).collect()
        }
        None => {
            let settings = settings(&world.read(), unit);
            cloud.empty_stacks(cluster, unit, settings.as_ref())
        }
    };
    for stack in stacks {
        let observed = cloud.observe(&stack, true).await?;
        document.change(&cloud.diff(&stack, &observed)?, call);
    }
    Ok(())
}

/// Compile and diff against an empty account, or proxies that know nothing.
fn compare_with_nothing(document: &mut UnitDocument, cluster: &ClusterId, plan: &Plan) -> Result<(), ProviderError> {
    match &plan.profile {
        EffectiveProfile::Aws(_) => {
            let compiled = portico_aws::compile(cluster, plan);
            document.refuse(&compiled.refusals);
            let observed = portico_aws::Observed::assumed(&compiled.stack);
            document.change(&portico_aws::diff(&compiled.stack, &observed)?, portico_aws::Operation::call);
        }
        EffectiveProfile::Envoy(_) => {
            let compiled = portico_envoy::compile(cluster, plan);
            document.refuse(&compiled.refusals);
            document.change(&portico_envoy::diff(&compiled.stack, &portico_envoy::Observed::default()), portico_envoy::Operation::call);
        }
    }
    Ok(())
}

/// What a call is named in its provider's API.
fn call(operation: &Operation) -> &'static str {
    match operation {
        Operation::Aws(operation) => operation.call(),
        Operation::Envoy(operation) => operation.call(),
    }
}

/// Gives a plan the addresses that its Gateway would get, were it applied now; `reserved` are those that others would get.
fn assign(world: &SharedWorld, plan: &mut Plan, reserved: &Mutex<BTreeMap<IpAddr, UnitId>>) -> Result<(), ProviderError> {
    let mut reserved = reserved.lock().unwrap_or_else(PoisonError::into_inner);
    let chosen = choose_addresses(&world.read(), plan, &reserved, None)?;
    if chosen.is_empty() {
        return Ok(());
    }
    reserved.extend(chosen.iter().map(|address| (*address, plan.unit.clone())));
    if let Some(gateway) = plan.gateways.first_mut() {
        gateway.assigned = chosen;
    }
    Ok(())
}

impl From<&crate::cli::AwsArguments> for portico_aws_api::AwsOptions {
    fn from(arguments: &crate::cli::AwsArguments) -> Self {
        Self {
            region: arguments.aws_region.clone(),
            endpoint: arguments.aws_endpoint_url.clone(),
            vpc: arguments.aws_vpc.clone(),
            ..Self::default()
        }
    }
}
