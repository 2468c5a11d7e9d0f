//! observe: what exists for a unit, from memory where it is complete.

use crate::Aws;
use crate::cache::{UnitState, key};
use crate::convert;
use crate::error::Failure;
use crate::lock;
use crate::read::filter;
use crate::region::Region;
use portico_aws::name;
use portico_aws::observed::{BackendGroup, Observed};
use portico_aws::stack::{BackendGroups, Stack};
use portico_providers::{Presence, ProviderError, mark};
use std::collections::{BTreeMap, BTreeSet};

impl Aws {
    /// What exists for a stack's unit, and what else the stack refers to. With `fresh`, nothing that is remembered of the unit is believed.
    pub(crate) async fn observe_unit(&self, stack: &Stack, fresh: bool) -> Result<Observed, ProviderError> {
        let region = self.in_region(stack.region.as_deref());
        let state = region.read_unit(stack, fresh).await?;
        self.shared.target_sets.learn(&region, &state.observed, fresh);
        let mut observed = state.observed;
        observed.vpc = region.vpc.clone();
        if stack.load_balancer.is_some() {
            observed.subnets = Presence::Present(region.subnets().await?);
            region.read_limits().await?;
            observed.limits = region.limits();
        }
        Ok(observed)
    }
}

impl Region {
    async fn read_unit(&self, stack: &Stack, fresh: bool) -> Result<UnitState, ProviderError> {
        let remembered = lock(&self.units).get(&key(stack)).cloned();
        // A name that is remembered is worth looking for, even where the rest is not believed.
        let mut balancers: BTreeSet<String> = BTreeSet::new();
        let mut groups: BTreeSet<_> = stack.target_groups.iter().map(|group| group.name.clone()).collect();
        let mut certificates: BTreeSet<String> = BTreeSet::new();
        let import_lost = remembered.as_ref().is_some_and(|state| state.import_lost);
        if let Some(state) = &remembered {
            certificates.extend(state.observed.certificates.iter().filter(|(_, c)| !c.is_absent()).map(|(arn, _)| arn.clone()));
            balancers.extend(state.observed.load_balancers.iter().filter(|(_, b)| !b.is_absent()).map(|(name, _)| name.clone()));
            groups.extend(state.observed.target_groups.iter().filter(|(_, g)| !g.is_absent()).map(|(name, _)| name.clone()));
        }
        if fresh || remembered.is_none() {
            // What carries the unit's marks, whether or not a name leads to it; but for what is known to be gone since the inventory was taken.
            let owned = self.owned(&stack.cluster, &stack.unit).await?;
            if let Some(denied) = owned.certificates_denied.filter(|_| !stack.certificates.is_empty()) {
                return Err(denied.into());
            }
            let before = remembered.as_ref().map(|state| &state.observed);
            certificates.extend(
                owned.certificates.into_iter().filter(|arn| before.and_then(|o| o.certificates.get(arn)).is_none_or(|c| !c.is_absent())),
            );
            balancers.extend(
                owned
                    .load_balancers
                    .into_iter()
                    .filter(|name| before.and_then(|o| o.load_balancers.get(name)).is_none_or(|b| !b.is_absent())),
            );
            groups.extend(
                owned
                    .target_groups
                    .into_iter()
                    .filter(|name| before.and_then(|o| o.target_groups.get(name)).is_none_or(|g| !g.is_absent())),
            );
        }
        match &stack.load_balancer {
            Some(balancer) => drop(balancers.insert(balancer.name.clone())),
            None => balancers.extend(name::load_balancers(&stack.cluster, &stack.unit)),
        }
        let mut state = remembered.filter(|state| !fresh && !state.stale).unwrap_or_default();
        state.stale = false;
        for name in balancers {
            if state.observed.load_balancers.get(&name).is_some_and(|there| !there.is_unknown()) {
                continue;
            }
            let there = self.load_balancer(&name).await?.map_or(Presence::Absent, Presence::Present);
            state.observed.load_balancers.insert(name, there);
        }
        if import_lost {
            let found = self.marked_certificates(stack).await?;
            state.observed.certificates.extend(found.into_iter().map(|(arn, there)| (arn, Presence::Present(there))));
            state.import_lost = false;
        }
        certificates.retain(|arn| state.observed.certificates.get(arn).is_none_or(Presence::is_unknown));
        for arn in certificates {
            let there = self.certificate(&arn).await?;
            state.observed.certificates.insert(arn, there);
        }
        groups.retain(|name| state.observed.target_groups.get(name).is_none_or(Presence::is_unknown));
        state.observed.target_groups.extend(self.target_groups(&groups).await?);
        if state.observed.security_group.is_unknown() {
            state.observed.security_group = self.own_group(stack).await?;
        }
        let wanted = stack.backend_access.as_ref().map(|access| access.groups.clone());
        if state.observed.backend_groups.is_unknown() || (wanted.is_some() && state.backend != wanted) {
            let own = state.observed.security_group.present().map(|group| group.id.clone());
            state.observed.backend_groups = Presence::Present(self.backend_groups(wanted.as_ref(), own.as_deref()).await?);
            state.backend = wanted;
        }
        lock(&self.units).insert(key(stack), state.clone());
        Ok(state)
    }

    /// The unit's own security group, by its marks.
    pub(crate) async fn own_group(&self, stack: &Stack) -> Result<Presence<portico_aws::observed::SecurityGroup>, Failure> {
        let (cluster, unit) = key(stack);
        let filters =
            vec![filter(&format!("tag:{}", mark::CLUSTER), [cluster.as_str()]), filter(&format!("tag:{}", mark::UNIT), [unit.as_str()])];
        let mut found: Vec<_> = self
            .security_groups(filters)
            .await?
            .iter()
            .filter_map(convert::security_group)
            .filter(|group| stack.owns(&group.tags))
            .collect();
        found.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(found.into_iter().next().map_or(Presence::Absent, Presence::Present))
    }

    /// Groups of nodes and pods: those that are selected, and those that let our group in.
    async fn backend_groups(&self, selection: Option<&BackendGroups>, own: Option<&str>) -> Result<Vec<BackendGroup>, Failure> {
        let filters = match selection {
            None => None,
            Some(BackendGroups::Ids(ids)) => Some(vec![filter("group-id", ids.iter().map(String::as_str))]),
            Some(BackendGroups::Tags(tags)) => Some(
                tags.iter()
                    .map(
                        |(key, value)| {
                            if value == "*" { filter("tag-key", [key.as_str()]) } else { filter(&format!("tag:{key}"), [value.as_str()]) }
                        },
                    )
                    .collect(),
            ),
            Some(BackendGroups::Discover { cluster_name: Some(name) }) => {
                Some(vec![filter("tag-key", [format!("kubernetes.io/cluster/{name}").as_str()])])
            }
            Some(BackendGroups::Discover { cluster_name: None }) => Some(vec![filter("tag-key", ["kubernetes.io/cluster/*"])]),
        };
        let mut groups = BTreeMap::new();
        let by_source = own.map(|id| vec![filter("ip-permission.group-id", [id])]);
        for filters in filters.into_iter().chain(by_source) {
            let found = self.security_groups(filters).await?;
            groups.extend(found.iter().filter_map(|group| convert::backend_group(group, own)).map(|group| (group.id.clone(), group)));
        }
        Ok(groups.into_values().filter(|group| Some(group.id.as_str()) != own).collect())
    }
}
