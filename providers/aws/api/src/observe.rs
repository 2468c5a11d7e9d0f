//! observe: what exists for a unit, from memory where it is complete.

use crate::Aws;
use crate::cache::{UnitState, key};
use crate::convert;
use crate::error::Failure;
use crate::inventory::{Inventory, Owned};
use crate::lock;
use crate::read::filter;
use crate::region::Region;
use aws_sdk_ec2::types::{Filter, SecurityGroup as FoundGroup};
use portico_aws::name;
use portico_aws::observed::{BackendGroup, Certificate, Observed, TargetGroup};
use portico_aws::stack::{BackendGroups, Stack};
use portico_providers::{Presence, ProviderError, TagSet, TargetSetId, mark};
use std::collections::{BTreeMap, BTreeSet};

impl Aws {
    /// What exists for a stack's unit, and what else the stack refers to. With `fresh`, nothing that is remembered of the unit is believed.
    pub(crate) async fn observe_unit(&self, stack: &Stack, fresh: bool) -> Result<Observed, ProviderError> {
        let region = self.in_region(stack.region.as_deref());
        let state = region.read_unit(stack, fresh).await?;
        self.shared.target_sets.learn(&region, stack, &state.observed, fresh);
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
        let import_lost = remembered.as_ref().is_some_and(|state| state.import_lost);
        let mut number = remembered.as_ref().map_or(0, |state| state.inventory);
        let mut sought = Sought::new(stack, remembered.as_ref());
        // What a listing shows is enough for a first look.
        let mut listing = None;
        let uncertain = remembered.as_ref().is_some_and(|state| state.certificates_unread.is_some());
        let mut certificates_unread = None;
        if fresh || remembered.is_none() || (uncertain && !stack.certificates.is_empty()) {
            let inventory = self.inventory(&stack.cluster).await?;
            certificates_unread.clone_from(&inventory.certificates_unread);
            // What was not there when it was last looked for may have come to be since: nobody knows when a call takes effect whose outcome is unclear.
            let gone = remembered.as_ref().filter(|_| number >= inventory.number).map(|state| &state.observed);
            sought.extend(inventory.owned(&stack.unit), gone);
            number = inventory.number;
            listing = (remembered.is_none() && !fresh && inventory.is_believed()).then_some(inventory);
        }
        let listing = listing.as_deref();
        let mut state = remembered.filter(|state| !fresh && !state.stale).unwrap_or_default();
        state.stale = false;
        state.inventory = number;
        if listing.is_some() || fresh || uncertain {
            state.certificates_unread = certificates_unread;
        }
        state.observed.certificates_unread = state.certificates_unread.is_some();
        for name in sought.load_balancers {
            if state.observed.load_balancers.get(&name).is_some_and(|there| !there.is_unknown()) {
                continue;
            }
            let there = match listing {
                None => self.load_balancer(&name).await?,
                Some(listing) => match listing.load_balancer(&name) {
                    Some(head) => {
                        let wanted = stack.load_balancer.as_ref().filter(|wanted| wanted.name == name).map(|wanted| &wanted.attributes);
                        Some(self.complete(head.clone(), wanted).await?)
                    }
                    None => None,
                },
            };
            state.observed.load_balancers.insert(name, there.map_or(Presence::Absent, Presence::Present));
        }
        if import_lost {
            let found = self.marked_certificates(stack).await?;
            state.observed.certificates.extend(found.into_iter().map(|(arn, there)| (arn, Presence::Present(there))));
            state.import_lost = false;
        }
        sought.certificates.retain(|arn, _| state.observed.certificates.get(arn).is_none_or(Presence::is_unknown));
        for (arn, tags) in sought.certificates {
            let there = match tags.filter(|_| listing.is_some()) {
                Some(tags) => Presence::Present(Certificate { tags }),
                None => self.certificate(&arn).await?,
            };
            state.observed.certificates.insert(arn, there);
        }
        sought.target_groups.retain(|name| state.observed.target_groups.get(name).is_none_or(Presence::is_unknown));
        let groups = match listing {
            None => self.target_groups(&sought.target_groups).await?,
            Some(listing) => self.listed_groups(stack, &sought.target_groups, listing).await?,
        };
        state.observed.target_groups.extend(groups);
        if state.observed.security_group.is_unknown() {
            state.observed.security_group = match listing {
                None => self.own_group(stack).await?,
                Some(listing) => listing.owned(&stack.unit).security_group.map_or(Presence::Absent, Presence::Present),
            };
        }
        let wanted = stack.backend_access.as_ref().map(|access| access.groups.clone());
        if state.observed.backend_groups.is_unknown() || (wanted.is_some() && state.backend != wanted) {
            let own = state.observed.security_group.present().map(|group| group.id.clone());
            state.observed.backend_groups = Presence::Present(self.backend_groups(wanted.as_ref(), own.as_deref(), listing).await?);
            state.backend = wanted;
        }
        lock(&self.units).insert(key(stack), state.clone());
        Ok(state)
    }

    /// Target groups as a listing shows them. Those that it does not show are absent.
    async fn listed_groups(
        &self,
        stack: &Stack,
        names: &BTreeSet<TargetSetId>,
        listing: &Inventory,
    ) -> Result<BTreeMap<TargetSetId, Presence<TargetGroup>>, Failure> {
        let mut groups = BTreeMap::new();
        for name in names {
            let there = match listing.target_group(name) {
                Some(head) => {
                    let wanted = stack.target_group(name).map(|wanted| &wanted.attributes);
                    Presence::Present(self.complete_group(head.clone(), wanted).await?)
                }
                None => Presence::Absent,
            };
            groups.insert(name.clone(), there);
        }
        Ok(groups)
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
    async fn backend_groups(
        &self,
        selection: Option<&BackendGroups>,
        own: Option<&str>,
        listing: Option<&Inventory>,
    ) -> Result<Vec<BackendGroup>, Failure> {
        let mut found = match (selection, listing) {
            (None, _) => Vec::new(),
            (Some(selection), Some(_)) => self.shared_selection(selection).await?,
            (Some(selection), None) => self.security_groups(filters(selection)).await?,
        };
        match (own, listing) {
            (None, _) => {}
            (Some(own), Some(listing)) => found.extend(listing.admitting.iter().filter(|group| convert::admits(group, own)).cloned()),
            (Some(own), None) => found.extend(self.security_groups(vec![filter("ip-permission.group-id", [own])]).await?),
        }
        let groups = found.iter().filter_map(|group| convert::backend_group(group, own)).map(|group| (group.id.clone(), group));
        Ok(groups.collect::<BTreeMap<_, _>>().into_values().filter(|group| Some(group.id.as_str()) != own).collect())
    }

    /// Groups that are selected, from memory if it is young: load balancers of one class select the same.
    async fn shared_selection(&self, selection: &BackendGroups) -> Result<Vec<FoundGroup>, Failure> {
        let mut memory = self.selected_groups.lock().await;
        let memory = memory.entry(selection.clone()).or_insert_with(Self::no_groups);
        if let Some(groups) = memory.get() {
            return Ok(groups);
        }
        let groups = self.security_groups(filters(selection)).await?;
        memory.set(groups.clone());
        Ok(groups)
    }
}

/// Filters that let the groups of a selection pass.
fn filters(selection: &BackendGroups) -> Vec<Filter> {
    match selection {
        BackendGroups::Ids(ids) => vec![filter("group-id", ids.iter().map(String::as_str))],
        BackendGroups::Tags(tags) => {
            let one = |(key, value): (&String, &String)| {
                if value == "*" { filter("tag-key", [key.as_str()]) } else { filter(&format!("tag:{key}"), [value.as_str()]) }
            };
            tags.iter().map(one).collect()
        }
        BackendGroups::Discover { cluster_name: Some(name) } => vec![filter("tag-key", [format!("kubernetes.io/cluster/{name}").as_str()])],
        BackendGroups::Discover { cluster_name: None } => vec![filter("tag-key", ["kubernetes.io/cluster/*"])],
    }
}

/// What is looked for.
struct Sought {
    load_balancers: BTreeSet<String>,
    target_groups: BTreeSet<TargetSetId>,
    /// By ARN, with their tags where a listing told them.
    certificates: BTreeMap<String, Option<TagSet>>,
}

impl Sought {
    /// What a stack names, and what is remembered: a name is worth looking for, even where the rest is not believed.
    fn new(stack: &Stack, remembered: Option<&UnitState>) -> Self {
        let mut sought = Self {
            load_balancers: BTreeSet::new(),
            target_groups: stack.target_groups.iter().map(|group| group.name.clone()).collect(),
            certificates: BTreeMap::new(),
        };
        match &stack.load_balancer {
            Some(balancer) => drop(sought.load_balancers.insert(balancer.name.clone())),
            None => sought.load_balancers.extend(name::load_balancers(&stack.cluster, &stack.unit)),
        }
        if let Some(UnitState { observed, .. }) = remembered {
            sought.load_balancers.extend(known(&observed.load_balancers));
            sought.target_groups.extend(known(&observed.target_groups));
            sought.certificates.extend(known(&observed.certificates).map(|arn| (arn, None)));
        }
        sought
    }

    /// What carries the unit's marks, whether or not a name leads to it; but for what is known to be gone.
    fn extend(&mut self, owned: Owned, gone: Option<&Observed>) {
        self.load_balancers.extend(owned.load_balancers.into_iter().filter(|it| !is_gone(gone.map(|gone| &gone.load_balancers), it)));
        self.target_groups.extend(owned.target_groups.into_iter().filter(|it| !is_gone(gone.map(|gone| &gone.target_groups), it)));
        let certificates = owned.certificates.into_iter().map(|(arn, tags)| (arn, Some(tags)));
        self.certificates.extend(certificates.filter(|(arn, _)| !is_gone(gone.map(|gone| &gone.certificates), arn)));
    }
}

fn known<K: Clone, T>(things: &BTreeMap<K, Presence<T>>) -> impl Iterator<Item = K> {
    things.iter().filter(|(_, there)| !there.is_absent()).map(|(key, _)| key.clone())
}

fn is_gone<K: Ord, T>(things: Option<&BTreeMap<K, Presence<T>>>, key: &K) -> bool {
    things.and_then(|things| things.get(key)).is_some_and(Presence::is_absent)
}
