//! Applies a plan to AWS, or to whatever `AWS_ENDPOINT_URL` points to: `apply PLAN.yaml [--delete] [--target ADDRESS:PORT]...`
//!
//! Prints each change as it is made, then what is left to do (nothing, unless something is wrong), and the load balancer's address. With `--target`, every target
//! group gets exactly these targets. For trying the provider without a cluster; it makes and deletes real resources.

use portico_aws_api::{Aws, AwsOptions, Operation, Stack};
use portico_providers::{Change, ClusterId, Endpoint, Leadership, Plan, Progress, Provider, ProviderError, ServiceTargets};
use std::collections::BTreeSet;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

struct Alone;

impl Leadership for Alone {
    fn is_leader(&self) -> bool {
        true
    }
}

struct Print;

impl Progress<Operation> for Print {
    fn begin(&self, change: &Change<Operation>) {
        println!("{:?} {}: {} ({})", change.action, change.resource, change.operation, change.reason);
    }

    fn end(&self, _: &Change<Operation>, error: Option<&ProviderError>) {
        if let Some(error) = error {
            println!("  failed: {error}");
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("usage: apply PLAN.yaml [--delete] [--target ADDRESS:PORT]...")?;
    let (mut delete, mut targets) = (false, Vec::<SocketAddr>::new());
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--delete" => delete = true,
            "--target" => targets.push(arguments.next().ok_or("--target needs ADDRESS:PORT")?.parse()?),
            other => return Err(format!("{other} is not known").into()),
        }
    }
    let plan: Plan = serde_saphyr::from_str(&std::fs::read_to_string(file)?)?;
    let cluster = ClusterId("apply-example".into());
    let alone: Arc<dyn Leadership> = Arc::new(Alone);
    let aws = Aws::connect(AwsOptions::default()).await;
    let compiled = aws.compile(&cluster, &plan);
    for refusal in &compiled.refusals {
        println!("refused: {refusal}");
    }
    let stack = if delete { Stack { region: compiled.stack.region, ..Stack::empty(&cluster, &plan.unit) } } else { compiled.stack };
    let observed = aws.observe(&stack, true).await?;
    let changes = aws.diff(&stack, &observed)?;
    println!("{} changes", changes.len());
    aws.execute(&stack, changes, &alone, &Print).await?;
    for fresh in [false, true] {
        let left = aws.diff(&stack, &aws.observe(&stack, fresh).await?)?;
        println!("{} changes left, {}", left.len(), if fresh { "read afresh" } else { "as remembered" });
        left.iter().for_each(|change| println!("  {change:?}"));
    }
    for binding in compiled.bindings.iter().filter(|_| !delete && !targets.is_empty()) {
        let endpoint = |target: &SocketAddr| Endpoint {
            address: target.ip(),
            port: target.port(),
            ready: true,
            serving: true,
            terminating: false,
            node: None,
            zone: None,
            target_ref: None,
        };
        let endpoints: BTreeSet<_> = targets.iter().map(endpoint).collect();
        let report = aws.sync_targets(&ServiceTargets { binding: binding.clone(), endpoints }, &alone).await?;
        println!("{}: {report:?}; {:?}", binding.sink, aws.target_health(&binding.sink).await?);
    }
    println!("{:?}", aws.outcome(&stack).await?);
    println!("units that own something: {:?}", aws.owned_units(&cluster, &[]).await?);
    Ok(())
}
