//! The contract of every cloud, for AWS.

use crate::cache::key;
use crate::{Aws, Observed, Operation, Stack, lock};
use async_trait::async_trait;
use portico_aws::account::Wanted;
use portico_aws::observed::State;
use portico_crds::v1alpha1::EffectiveProfile;
use portico_providers::{
    AddressKind, Change, ClusterId, Compiled, Feature, Leadership, LoadBalancerAddress, LoadBalancerState, Outcome, Plan, Presence,
    Progress, Provider, ProviderError, ServiceTargets, TargetHealth, TargetSetId, TargetsReport, UnitId,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// AWS takes some minutes to build a load balancer.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

#[async_trait]
impl Provider for Aws {
    type Stack = Stack;
    type Observed = Observed;
    type Operation = Operation;

    fn name(&self, _stack: &Stack) -> &'static str {
        "aws"
    }

    fn supported_features(&self, _settings: &EffectiveProfile) -> Vec<Feature> {
        portico_aws::supported::claimed()
    }

    async fn prepare(&self, plan: &Plan, fresh: bool) -> Result<Option<Duration>, ProviderError> {
        self.check_region(&plan.profile)?;
        let region = self.region_by(&plan.profile);
        region.read_limits().await?;
        Ok(region.read_account(&Wanted::by(plan), fresh).await?)
    }

    fn compile(&self, cluster: &ClusterId, plan: &Plan) -> Compiled<Stack> {
        portico_aws::compile_within(cluster, plan, &self.region_by(&plan.profile).account())
    }

    fn empty_stacks(&self, cluster: &ClusterId, unit: &UnitId, settings: Option<&EffectiveProfile>) -> Vec<Stack> {
        if let Some(settings @ EffectiveProfile::Aws(_)) = settings {
            self.region_by(settings);
        }
        self.regions().iter().map(|region| region.empty_stack(cluster, unit)).collect()
    }

    async fn left_behind(&self, stack: &Stack) -> Vec<Stack> {
        let here = self.in_region(stack.region.as_deref());
        let mut elsewhere = Vec::new();
        for region in self.regions().into_iter().filter(|region| region.name != here.name) {
            if region.is_owner(&stack.cluster, &stack.unit).await {
                elsewhere.push(region.empty_stack(&stack.cluster, &stack.unit));
            }
        }
        elsewhere
    }

    async fn observe(&self, stack: &Stack, fresh: bool) -> Result<Observed, ProviderError> {
        self.observe_unit(stack, fresh).await
    }

    fn diff(&self, stack: &Stack, observed: &Observed) -> Result<Vec<Change<Operation>>, ProviderError> {
        portico_aws::diff(stack, observed)
    }

    async fn execute(
        &self,
        stack: &Stack,
        changes: Vec<Change<Operation>>,
        leadership: &Arc<dyn Leadership>,
        progress: &dyn Progress<Operation>,
    ) -> Result<(), ProviderError> {
        self.execute_changes(stack, changes, leadership, progress).await
    }

    async fn outcome(&self, stack: &Stack) -> Result<Outcome, ProviderError> {
        let absent = Outcome { state: LoadBalancerState::Absent, addresses: Vec::new() };
        let Some(wanted) = &stack.load_balancer else { return Ok(absent) };
        let region = self.in_region(stack.region.as_deref());
        let key = key(stack);
        let remembered =
            lock(&region.units).get(&key).and_then(|state| state.observed.load_balancers.get(&wanted.name)?.present().cloned());
        let Some(mut there) = remembered else { return Ok(absent) };
        if there.state == State::Provisioning {
            // The one thing that changes without us.
            let Some(now) = region.load_balancer_state(&wanted.name).await? else { return Ok(absent) };
            there.state = now;
            if let Some(state) = lock(&region.units).get_mut(&key)
                && let Some(Presence::Present(balancer)) = state.observed.load_balancers.get_mut(&wanted.name)
            {
                balancer.state = there.state.clone();
            }
        }
        let state = match there.state {
            State::Provisioning => {
                LoadBalancerState::Provisioning { look_again: LOOK_AGAIN, message: "The cloud is building the load balancer".to_owned() }
            }
            State::Active => LoadBalancerState::Active,
            State::Failed(reason) => {
                LoadBalancerState::Failed(format!("The cloud gave up: {reason}; correct what it names, and make the Gateway anew"))
            }
        };
        let addresses = vec![LoadBalancerAddress { kind: AddressKind::Hostname, value: there.dns_name }];
        Ok(Outcome { state, addresses })
    }

    async fn sync_targets(&self, targets: &ServiceTargets, leadership: &Arc<dyn Leadership>) -> Result<TargetsReport, ProviderError> {
        self.sync(targets, leadership).await
    }

    async fn target_health(&self, set: &TargetSetId) -> Result<Vec<TargetHealth>, ProviderError> {
        self.health(set).await
    }

    async fn owned_units(&self, cluster: &ClusterId, settings: &[EffectiveProfile]) -> Result<Vec<UnitId>, ProviderError> {
        for settings in settings.iter().filter(|settings| matches!(settings, EffectiveProfile::Aws(_))) {
            if self.check_region(settings).is_ok() {
                self.region_by(settings);
            }
        }
        let mut units = BTreeSet::new();
        for region in self.regions() {
            // A new round: certificates are looked at again, too.
            region.account.doubt_certificates();
            units.extend(region.owned_units(cluster).await?);
        }
        Ok(units.into_iter().collect())
    }
}
