//! The contract of every cloud, for Envoy.

use crate::store::Progress as ProxyProgress;
use crate::{Envoy, Observed, Operation, Stack, lock, publish};
use async_trait::async_trait;
use portico_crds::v1alpha1::EffectiveProfile;
use portico_providers::{
    AddressKind, Change, ClusterId, Compiled, Feature, Gathering, Leadership, LoadBalancerAddress, LoadBalancerState, Outcome, Plan,
    Progress, Provider, ProviderError, ServiceTargets, TargetHealth, TargetSetId, TargetState, TargetsReport, UnitId,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Proxies answer within milliseconds: a pass waits this long for them, rather than to say for a moment that the Gateway is not programmed.
const ANSWERS: Duration = Duration::from_secs(1);
/// Proxies are told of endpoints in one message whenever they have answered the last one: what waits is only for slices of a Service that change in the same moment.
const GATHERED: Duration = Duration::from_millis(10);
/// When to look again, in case nobody tells. Proxies' answers wake a unit by themselves, and fleets without a proxy must not keep all their Gateways busy.
const LOOK_AGAIN: Duration = Duration::from_secs(300);

#[async_trait]
impl Provider for Envoy {
    type Stack = Stack;
    type Observed = Observed;
    type Operation = Operation;

    fn name(&self, _stack: &Stack) -> &'static str {
        "envoy"
    }

    fn supported_features(&self, settings: &EffectiveProfile) -> Vec<Feature> {
        match settings {
            EffectiveProfile::Envoy(_) => portico_envoy::supported::claimed(),
            EffectiveProfile::Aws(_) => Vec::new(),
        }
    }

    fn is_served_by_every_replica(&self, _stack: &Stack) -> bool {
        true
    }

    fn on_news(&self, tell: Arc<dyn Fn(&UnitId) + Send + Sync>) {
        if self.shared.tell.set(tell).is_err() {
            tracing::warn!("somebody is told of news already, and stays the one");
        }
    }

    fn is_complete(&self) {
        self.begin_to_wait();
        self.shared.complete.cancel();
    }

    fn leave_alone(&self, unit: &UnitId, alone: bool) {
        self.shared.store.leave_alone(unit, alone);
    }

    fn leads(&self) {
        self.begin_to_wait();
    }

    fn compile(&self, cluster: &ClusterId, plan: &Plan) -> Compiled<Stack> {
        portico_envoy::compile(cluster, plan)
    }

    fn empty_stacks(&self, cluster: &ClusterId, unit: &UnitId, settings: Option<&EffectiveProfile>) -> Vec<Stack> {
        let mut fleets: BTreeSet<String> = self.shared.store.fleets_of(unit).into_iter().collect();
        if let Some(EffectiveProfile::Envoy(settings)) = settings {
            fleets.insert(settings.fleet.clone());
        }
        fleets.iter().map(|fleet| Stack::empty(cluster, unit, fleet)).collect()
    }

    async fn left_behind(&self, stack: &Stack) -> Vec<Stack> {
        let fleets = self.shared.store.fleets_of(&stack.unit).into_iter().filter(|fleet| *fleet != stack.fleet);
        fleets.map(|fleet| Stack::empty(&stack.cluster, &stack.unit, &fleet)).collect()
    }

    async fn observe(&self, stack: &Stack, _fresh: bool) -> Result<Observed, ProviderError> {
        Ok(self.shared.store.observed(&stack.fleet, &stack.unit))
    }

    fn diff(&self, stack: &Stack, observed: &Observed) -> Result<Vec<Change<Operation>>, ProviderError> {
        Ok(portico_envoy::diff(stack, observed))
    }

    /// Publishes all changes at once: each proxy is told of them in an order that keeps traffic flowing. Asks nobody whether it leads: every replica tells its own proxies.
    async fn execute(
        &self,
        stack: &Stack,
        changes: Vec<Change<Operation>>,
        _leadership: &Arc<dyn Leadership>,
        progress: &dyn Progress<Operation>,
    ) -> Result<(), ProviderError> {
        if changes.is_empty() {
            return Ok(());
        }
        for change in &changes {
            progress.begin(change);
        }
        let result = match publish::publication(stack, &changes, self.shared.secrets.get()).await {
            Ok(publication) => {
                let _looking = self.look(&stack.unit);
                self.shared.store.publish(&stack.fleet, &stack.unit, publication);
                self.tell_news();
                Ok(())
            }
            Err(error) => Err(error),
        };
        for change in &changes {
            progress.end(change, result.as_ref().err());
        }
        result
    }

    async fn outcome(&self, stack: &Stack) -> Result<Outcome, ProviderError> {
        let addresses =
            stack.addresses.iter().map(|address| LoadBalancerAddress { kind: AddressKind::IpAddress, value: address.to_string() });
        let looking = self.look(&stack.unit);
        let mut changed = self.shared.progress.subscribe();
        let answered = async {
            loop {
                let progress = self.progress(&stack.fleet, &stack.unit);
                if progress.version.is_none() || progress.waiting == 0 || !progress.refusals.is_empty() {
                    return progress;
                }
                if changed.changed().await.is_err() {
                    return progress;
                }
            }
        };
        let progress = match tokio::time::timeout(ANSWERS, answered).await {
            Ok(progress) => progress,
            Err(_) => self.progress(&stack.fleet, &stack.unit),
        };
        drop(looking);
        let state = self.state(stack, &progress);
        // Nobody else was told of what came after the last look.
        if self.state(stack, &self.progress(&stack.fleet, &stack.unit)) != state {
            self.wake(&stack.unit);
        }
        let state = self.patient(stack, state, Instant::now());
        let addresses = if progress.version.is_some() { addresses.collect() } else { Vec::new() };
        Ok(Outcome { state, addresses })
    }

    /// Sets the endpoints of a cluster, on whatever fleet it is, also before the cluster is there. Never waits.
    async fn sync_targets(&self, targets: &ServiceTargets, _leadership: &Arc<dyn Leadership>) -> Result<TargetsReport, ProviderError> {
        let change = self.shared.store.set_endpoints(&targets.binding.sink, targets.in_use());
        self.tell_news();
        Ok(TargetsReport { registered: change.added, deregistered: change.removed, held: change.held, ..TargetsReport::default() })
    }

    fn gathering(&self, _set: &TargetSetId) -> Gathering {
        Gathering { losses: GATHERED, gains: GATHERED }
    }

    /// Proxies keep to themselves how they find endpoints: what is known is that they were told of them.
    async fn target_health(&self, set: &TargetSetId) -> Result<Vec<TargetHealth>, ProviderError> {
        let addresses = self.shared.store.endpoints(set);
        let addresses = addresses.ok_or_else(|| ProviderError::NotReady { message: format!("nothing is known of {set}") })?;
        let reason = Some("Envoy proxies do not report it".to_owned());
        Ok(addresses
            .into_iter()
            .map(|(address, port)| TargetHealth { address, port, state: TargetState::Unavailable, reason: reason.clone() })
            .collect())
    }

    async fn owned_units(&self, _cluster: &ClusterId, _settings: &[EffectiveProfile]) -> Result<Vec<UnitId>, ProviderError> {
        self.shared.store.forget_endpoints();
        Ok(self.shared.store.units().into_iter().collect())
    }
}

impl Envoy {
    /// What a Gateway's load balancer is, by how far its proxies are.
    fn state(&self, stack: &Stack, progress: &ProxyProgress) -> LoadBalancerState {
        let fleet = &stack.fleet;
        let waiting = |message| LoadBalancerState::Provisioning { look_again: LOOK_AGAIN, message };
        if progress.version.is_none() {
            // A Gateway whose listeners have nothing to serve has all that it needs.
            if stack.addresses.is_empty() { LoadBalancerState::Absent } else { LoadBalancerState::Active }
        } else if !progress.refusals.is_empty() {
            let words = progress.refusals.join("; ");
            LoadBalancerState::Failed(format!("Proxies of the fleet {fleet} refuse it, and go on with what they had before: {words}"))
        } else if progress.acknowledged > 0 && progress.waiting == 0 {
            LoadBalancerState::Active
        } else if progress.proxies == 0 {
            waiting(format!("No proxy of the fleet {fleet} is connected; {}", self.how_to_connect(fleet, progress)))
        } else {
            waiting(format!("{} of {} proxies of the fleet {fleet} have yet to take it up", progress.waiting, progress.proxies))
        }
    }

    fn how_to_connect(&self, fleet: &str, progress: &ProxyProgress) -> String {
        if !self.shared.serves.load(Ordering::Relaxed) {
            return "this operator serves none: run it with --xds-listen (portico manifests --xds-tls-secret)".to_owned();
        }
        match &progress.turned_away {
            Some(reason) => format!("the last one that tried was turned away: {reason}"),
            None => format!("start one with what portico envoy bootstrap --fleet {fleet} prints"),
        }
    }

    /// What is said of a unit: while proxies may still be on their way, nothing of those that are not there.
    fn patient(&self, stack: &Stack, state: LoadBalancerState, now: Instant) -> LoadBalancerState {
        let (fleet, unit) = (&stack.fleet, &stack.unit);
        let mut patience = lock(&self.shared.patience);
        match state {
            LoadBalancerState::Provisioning { look_again, message } => match patience.left(fleet, unit, now) {
                Some(left) => LoadBalancerState::Unknown { look_again: look_again.min(left), message },
                None => LoadBalancerState::Provisioning { look_again, message },
            },
            known => {
                patience.hear(fleet, unit);
                known
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portico_crds::NamespacedName;

    #[test]
    fn of_proxies_that_may_be_on_their_way_nothing_is_said() {
        let envoy = Envoy::new();
        let unit = UnitId::Gateway(NamespacedName::new("infra", "web"));
        let stack = Stack::empty(&ClusterId("test".to_owned()), &unit, "edge");
        let begun = Instant::now();
        let at = |seconds: u64, progress: &ProxyProgress| {
            let said = envoy.patient(&stack, envoy.state(&stack, progress), begun + Duration::from_secs(seconds));
            match said {
                LoadBalancerState::Unknown { look_again, .. } => format!("unknown {}", (look_again + Duration::from_millis(500)).as_secs()),
                LoadBalancerState::Provisioning { message, .. } => message.chars().take(8).collect(),
                LoadBalancerState::Active => "active".to_owned(),
                other => format!("{other:?}"),
            }
        };
        let version = Some(portico_envoy::observed::Version("1".to_owned()));
        let none = ProxyProgress { version, ..ProxyProgress::default() };
        let behind = ProxyProgress { proxies: 1, waiting: 1, ..none.clone() };
        let there = ProxyProgress { proxies: 1, acknowledged: 1, ..none.clone() };
        assert_eq!([at(0, &none), at(25, &none), at(25, &behind)], ["unknown 30", "unknown 5", "unknown 5"]);
        // Nobody came.
        assert_eq!(at(31, &none), "No proxy");
        // Once all have it, it is known when they do not have what is new.
        assert_eq!([at(2, &there), at(3, &behind), at(3, &none)], ["active", "1 of 1 p", "No proxy"]);
        // Who leads from now on has to hear them first.
        envoy.leads();
        assert_eq!(at(0, &none), "unknown 30");
    }
}
