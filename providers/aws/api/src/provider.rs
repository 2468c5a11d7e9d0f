//! The contract.

use crate::{Aws, Observed, Operation, Stack};
use async_trait::async_trait;
use portico_providers::{
    Change, ClusterId, Compiled, Feature, Leadership, Outcome, Plan, Progress, Provider, ProviderError, ServiceTargets, TargetHealth, TargetSetId, TargetsReport,
    UnitId,
};

fn unready<T>() -> Result<T, ProviderError> {
    Err(ProviderError::NotReady { message: "being written".into() })
}

#[async_trait]
impl Provider for Aws {
    type Stack = Stack;
    type Observed = Observed;
    type Operation = Operation;
    fn name(&self) -> &'static str {
        "aws"
    }
    fn supported_features(&self) -> Vec<Feature> {
        portico_aws::supported::claimed()
    }
    fn compile(&self, cluster: &ClusterId, plan: &Plan) -> Compiled<Stack> {
        portico_aws::compile(cluster, plan)
    }
    fn empty_stack(&self, cluster: &ClusterId, unit: &UnitId, _settings: Option<&Plan>) -> Stack {
        Stack::empty(cluster, unit)
    }
    async fn observe(&self, _stack: &Stack, _fresh: bool) -> Result<Observed, ProviderError> {
        unready()
    }
    fn diff(&self, stack: &Stack, observed: &Observed) -> Result<Vec<Change<Operation>>, ProviderError> {
        portico_aws::diff(stack, observed)
    }
    async fn execute(&self, _stack: &Stack, _changes: Vec<Change<Operation>>, _leadership: &dyn Leadership, _progress: &dyn Progress<Operation>) -> Result<(), ProviderError> {
        unready()
    }
    async fn outcome(&self, _stack: &Stack) -> Result<Outcome, ProviderError> {
        unready()
    }
    async fn sync_targets(&self, _targets: &ServiceTargets, _leadership: &dyn Leadership) -> Result<TargetsReport, ProviderError> {
        unready()
    }
    async fn target_health(&self, _set: &TargetSetId) -> Result<Vec<TargetHealth>, ProviderError> {
        unready()
    }
    async fn owned_units(&self, _cluster: &ClusterId) -> Result<Vec<UnitId>, ProviderError> {
        unready()
    }
}
