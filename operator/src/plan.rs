//! `portico plan`: what a folder of manifests would make, through the same world, translate, compile and diff as `run`.

pub mod document;
mod problems;

use std::collections::BTreeSet;

use anyhow::Context;
use portico_aws::{Observed, Operation, Stack};
use portico_aws_api::Aws;
use portico_providers::{Change, ClusterId, Provider, ProviderError};
use portico_translate::translate;
use tracing::debug;

use crate::cli::{ObservedSource, OutputFormat, PlanArguments};
use crate::keeper::{Keeper, SharedWorld};
use crate::manifests::Manifests;
use crate::watch::{Seen, Sighting};
use document::{PlanDocument, UnitDocument};

/// Runs the command.
pub async fn run(arguments: PlanArguments) -> anyhow::Result<()> {
    let manifests = Manifests::load(&arguments.paths)?;
    let world = world_of(&manifests);
    let cluster = ClusterId(arguments.cluster_id.clone());
    let cloud = match arguments.observed {
        ObservedSource::None => None,
        ObservedSource::Cloud => Some(Aws::connect((&arguments.aws).into()).await.context("AWS cannot be used")?),
    };
    let document = make(&manifests, &world, &cluster, async |stack: &Stack| changes(cloud.as_ref(), stack).await).await;
    let text = match arguments.output {
        OutputFormat::Text => document.text(),
        OutputFormat::Json => serde_json::to_string_pretty(&document).context("the plan cannot be printed as JSON")? + "\n",
    };
    crate::output::print(&text)?;
    if document.summary.errors > 0 {
        anyhow::bail!("{} cannot be planned", crate::output::count(document.summary.errors, "load balancer"));
    }
    Ok(())
}

/// A world that holds the manifests.
pub fn world_of(manifests: &Manifests) -> SharedWorld {
    let world = SharedWorld::default();
    let mut keeper = Keeper::new(world.clone(), BTreeSet::new());
    let impact = keeper.take(manifests.objects.iter().map(|(kind, object)| Sighting { kind: *kind, seen: Seen::Applied(object.clone()) }));
    debug!(units = impact.units.len(), "manifests taken in");
    world
}

async fn changes(cloud: Option<&Aws>, stack: &Stack) -> Result<Vec<Change<Operation>>, ProviderError> {
    match cloud {
        None => portico_aws::diff(stack, &Observed::assumed(stack)),
        Some(cloud) => cloud.diff(stack, &cloud.observe(stack, true).await?),
    }
}

/// The document: every unit of the world, with the changes that `changes` finds.
pub async fn make<O: std::fmt::Display>(
    manifests: &Manifests,
    world: &SharedWorld,
    cluster: &ClusterId,
    changes: impl AsyncFn(&Stack) -> Result<Vec<Change<O>>, ProviderError>,
) -> PlanDocument {
    let mut problems = problems::of_manifests(manifests);
    problems.extend(problems::of_classes(&world.read()));
    let units: Vec<_> = world.read().units().collect();
    let mut documents = Vec::new();
    for unit in units {
        let Some(translation) = translate(&world.read(), &unit) else { continue };
        problems.extend(problems::of_report(&translation.report));
        let Some(plan) = translation.plan else {
            let mut document = UnitDocument::new::<O>(&unit, &[], &[]);
            document.error = Some("its Gateway is not accepted; the problems below say why".to_owned());
            documents.push(document);
            continue;
        };
        let compiled = portico_aws::compile(cluster, &plan);
        documents.push(match changes(&compiled.stack).await {
            Ok(changes) => UnitDocument::new(&unit, &changes, &compiled.refusals),
            Err(error) => {
                let mut document = UnitDocument::new::<O>(&unit, &[], &compiled.refusals);
                document.error = Some(error.to_string());
                document
            }
        });
    }
    PlanDocument::new(documents, problems)
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
