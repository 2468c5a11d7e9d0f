//! What a unit should have, before anyone looks at the cloud.

use portico_providers::{ClusterId, Compiled, Plan, Provider, UnitId};
use portico_translate::{Report, World, translate};

/// What translate and compile make of a unit.
#[derive(Clone, Debug)]
pub struct Proposal<Stack> {
    /// The plan, and what it compiles to; `None` where nobody can say what to serve.
    pub compiled: Option<(Plan, Compiled<Stack>)>,
    /// What is to be said about the objects, refusals included.
    pub report: Report,
}

/// Translates and compiles a unit; `None` if it is not one to be served.
pub fn propose<P: Provider>(provider: &P, cluster: &ClusterId, world: &World, unit: &UnitId) -> Option<Proposal<P::Stack>> {
    let translation = translate(world, unit)?;
    let mut report = translation.report;
    let compiled = translation.plan.map(|plan| {
        let compiled = provider.compile(cluster, &plan);
        report.refuse(&compiled.refusals);
        (plan, compiled)
    });
    Some(Proposal { compiled, report })
}
