//! `portico plan`: what would change, through the same world, translate, compile, observe and diff as `run`. Nothing is ever changed.

pub mod document;
mod fleets;
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
use portico_envoy::source::Compilation;
use portico_envoy_xds::Envoy;
use portico_providers::{ClusterId, Plan, Provider, ProviderError, UnitId};
use portico_translate::{UnitState, choose_addresses, known_settings, settings, translate};

use crate::cli::{ObservedSource, PlanArguments, PlanFormat};
use crate::clouds::{Clouds, Observed, Operation, Stack};
use crate::keeper::SharedWorld;
use document::{PlanDocument, Problem, Situation, UnitDocument};
pub use fleets::Fleets;
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
    let fleets = if cloud.is_some() { objects.fleets(&world, &cluster) } else { Fleets::default() };
    let mut document = make_against(&world, &cluster, units, problems, cloud.as_ref(), &fleets).await;
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
    problems: BTreeSet<Problem>,
    cloud: Option<&Clouds>,
) -> PlanDocument {
    make_against(world, cluster, units, problems, cloud, &Fleets::default()).await
}

/// The same, with what is known of what fleets of Envoy proxies are told.
pub async fn make_against(
    world: &SharedWorld,
    cluster: &ClusterId,
    units: Vec<UnitId>,
    mut problems: BTreeSet<Problem>,
    cloud: Option<&Clouds>,
    fleets: &Fleets,
) -> PlanDocument {
    let mut documents = Vec::new();
    let reserved = Mutex::default();
    let planner = Planner { world, cluster, cloud, fleets, reserved: &reserved };
    let mut planned = stream::iter(units).map(|unit| planner.one(unit)).buffered(CONCURRENCY);
    while let Some((document, found)) = planned.next().await {
        documents.push(document);
        problems.extend(found);
    }
    PlanDocument::new(documents, problems)
}

/// What plans of single load balancers are made with.
#[derive(Clone, Copy)]
struct Planner<'a> {
    world: &'a SharedWorld,
    cluster: &'a ClusterId,
    cloud: Option<&'a Clouds>,
    fleets: &'a Fleets,
    /// The addresses that others would get.
    reserved: &'a Mutex<BTreeMap<IpAddr, UnitId>>,
}

impl Planner<'_> {
    async fn one(self, unit: UnitId) -> (UnitDocument, BTreeSet<Problem>) {
        let situation = match self.world.read().unit_state(&unit) {
            UnitState::Live => Situation::Served,
            UnitState::Held => Situation::Held,
            UnitState::Deleting => Situation::Deleting,
            UnitState::Absent => Situation::Orphaned,
        };
        let mut document = UnitDocument::new(&unit, situation);
        let translation = translate(&self.world.read(), &unit);
        let problems = translation.as_ref().map(|it| problems::of_report(&it.report)).unwrap_or_default();
        let mut plan = match translation.map(|it| it.plan) {
            Some(None) => {
                document.situation = Situation::Held;
                None
            }
            Some(plan) => plan,
            None => None,
        };
        if let Some(Err(error)) = plan.as_mut().map(|plan| assign(self.world, plan, self.reserved)) {
            document.error = Some(error.to_string());
        } else if document.situation != Situation::Held
            && let Err(error) = self.compare(&mut document, &unit, plan.as_ref()).await
        {
            document.error = Some(error.to_string());
        }
        (document, problems)
    }

    /// Compile, observe, diff; without a plan everything of the unit goes.
    async fn compare(self, document: &mut UnitDocument, unit: &UnitId, plan: Option<&Plan>) -> Result<(), ProviderError> {
        let Some(cloud) = self.cloud else {
            return plan.map_or(Ok(()), |plan| compare_with_nothing(document, self.cluster, plan));
        };
        let mut stacks = match plan {
            Some(plan) => {
                cloud.prepare(plan, true).await?;
                let compiled = cloud.compile(self.cluster, plan);
                document.refuse(&compiled.refusals);
                let left_behind = cloud.left_behind(&compiled.stack).await;
                std::iter::once(compiled.stack).chain(left_behind).collect()
            }
            None => {
                let settings = settings(&self.world.read(), unit);
                cloud.empty_stacks(self.cluster, unit, settings.as_ref())
            }
        };
        // The fleet that it was on before.
        if let Some(fleet) = self.fleets.fleet_of(unit)
            && !stacks.iter().any(|stack| matches!(stack, Stack::Envoy(stack) if stack.fleet == fleet))
        {
            stacks.push(Stack::Envoy(portico_envoy::Stack::empty(self.cluster, unit, fleet)));
        }
        for stack in stacks {
            let observed = match &stack {
                Stack::Envoy(stack) => self.fleets.observed(stack).map(Observed::Envoy),
                Stack::Aws(_) => None,
            };
            let observed = match observed {
                Some(observed) => observed,
                None => cloud.observe(&stack, true).await?,
            };
            match (&stack, &observed) {
                (Stack::Envoy(stack), Observed::Envoy(observed)) => {
                    let now = plan.map(|plan| Compilation { plan, stack });
                    publish(document, stack, observed, now, self.fleets.compilation(unit, &stack.fleet));
                    document.note = self.fleets.note(unit).map(str::to_owned);
                }
                _ => document.change(&cloud.diff(&stack, &observed)?, call),
            }
        }
        Ok(())
    }
}

/// What a fleet would be told, and where it comes from.
fn publish(
    document: &mut UnitDocument,
    stack: &portico_envoy::Stack,
    observed: &portico_envoy::Observed,
    now: Option<Compilation<'_>>,
    before: Option<Compilation<'_>>,
) {
    let mut changes = portico_envoy::diff(stack, observed);
    portico_envoy::source::attribute(&mut changes, now, before);
    document.change(&changes, portico_envoy::Operation::call);
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
            let now = Compilation { plan, stack: &compiled.stack };
            publish(document, now.stack, &portico_envoy::Observed::default(), Some(now), None);
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
