//! The inventory: what carries a cluster's marks in a region, by unit.
//!
//! One bulk listing finds what no name leads to, leftovers of a process that was killed; and it spares a process that just started most of a look at each load balancer.

use crate::convert;
use crate::error::{Class, Failure};
use crate::read::filter;
use crate::region::Region;
use aws_sdk_ec2::types::SecurityGroup as FoundGroup;
use portico_aws::Stack;
use portico_aws::name::PREFIX;
use portico_aws::observed::{LoadBalancer, SecurityGroup, TargetGroup};
use portico_crds::NamespacedName;
use portico_providers::{ClusterId, TagSet, TargetSetId, UnitId, mark};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// For how long a process that just started may take what a listing shows for what there is. A load balancer that it has not looked at yet was not changed by it either,
/// so that only somebody else's hands can make this wrong: the sweep finds what they did. AWS shows a thousand load balancers in this time, however it throttles.
const BELIEVED: Duration = Duration::from_secs(900);
/// For how long an inventory is kept that lacks the certificates.
const INCOMPLETE: Duration = Duration::from_secs(30);
/// AWS: values of one filter.
const FILTER_VALUES: usize = 200;

/// What one cluster owns in a region, by unit as marks write it, and what else has a name that could be ours.
#[derive(Debug)]
pub(crate) struct Inventory {
    /// Counts the inventories of this process.
    pub number: u64,
    taken: Instant,
    /// Why it does not show certificates: they could not be listed.
    pub certificates_unread: Option<Failure>,
    units: BTreeMap<String, Owned>,
    /// Load balancers by name, without attributes and listeners.
    load_balancers: BTreeMap<String, LoadBalancer>,
    /// Target groups, without attributes.
    target_groups: BTreeMap<TargetSetId, TargetGroup>,
    /// Groups that let one of the cluster's in.
    pub admitting: Vec<FoundGroup>,
}

/// What one unit owns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owned {
    pub load_balancers: BTreeSet<String>,
    pub target_groups: BTreeSet<TargetSetId>,
    /// Imported certificates by ARN.
    pub certificates: BTreeMap<String, TagSet>,
    /// Its security group: of several the first.
    pub security_group: Option<SecurityGroup>,
}

/// Inventories of a region, by cluster.
#[derive(Debug, Default)]
pub(crate) struct Inventories {
    number: u64,
    last: BTreeMap<ClusterId, Arc<Inventory>>,
    /// Those from which nobody asked yet who owns something.
    unasked: BTreeSet<ClusterId>,
}

impl Region {
    /// The inventory, which is made when it is first needed.
    pub async fn inventory(&self, cluster: &ClusterId) -> Result<Arc<Inventory>, Failure> {
        let mut inventories = self.inventories.lock().await;
        if let Some(inventory) = inventories.last.get(cluster)
            && (inventory.certificates_unread.is_none() || inventory.taken.elapsed() < INCOMPLETE)
        {
            return Ok(inventory.clone());
        }
        self.renew(&mut inventories, cluster).await
    }

    /// All units that own something, from an inventory that nobody asked this before.
    pub async fn owned_units(&self, cluster: &ClusterId) -> Result<BTreeSet<UnitId>, Failure> {
        let mut inventories = self.inventories.lock().await;
        let last = inventories.last.get(cluster).filter(|last| inventories.unasked.contains(cluster) && last.is_believed()).cloned();
        let inventory = match last {
            Some(last) => last,
            None => self.renew(&mut inventories, cluster).await?,
        };
        inventories.unasked.remove(cluster);
        let mut units = BTreeSet::new();
        for text in inventory.units.keys() {
            match parse(text) {
                Some(unit) => drop(units.insert(unit)),
                None => tracing::warn!(unit = text, "the mark of a unit cannot be read back: what carries it is left alone"),
            }
        }
        Ok(units)
    }

    /// Whether a unit owns something, as the newest inventory shows it.
    pub async fn is_owner(&self, cluster: &ClusterId, unit: &UnitId) -> bool {
        let inventories = self.inventories.lock().await;
        inventories.last.get(cluster).is_some_and(|last| last.units.contains_key(&mark::value(&unit.to_string())))
    }

    /// The stack of a unit that is to own nothing here.
    pub fn empty_stack(&self, cluster: &ClusterId, unit: &UnitId) -> Stack {
        Stack { region: Some(self.name.clone()), ..Stack::empty(cluster, unit) }
    }

    async fn renew(&self, inventories: &mut Inventories, cluster: &ClusterId) -> Result<Arc<Inventory>, Failure> {
        let inventory = Arc::new(self.take_inventory(cluster, inventories.number + 1).await?);
        inventories.number = inventory.number;
        inventories.last.insert(cluster.clone(), inventory.clone());
        inventories.unasked.insert(cluster.clone());
        Ok(inventory)
    }

    /// Lists the account's load balancers, target groups and the cluster's security groups, and reads the tags of those whose name could be ours.
    async fn take_inventory(&self, cluster: &ClusterId, number: u64) -> Result<Inventory, Failure> {
        let mut inventory = Inventory {
            number,
            taken: Instant::now(),
            certificates_unread: None,
            units: BTreeMap::new(),
            load_balancers: BTreeMap::new(),
            target_groups: BTreeMap::new(),
            admitting: Vec::new(),
        };
        let prefix = format!("{PREFIX}-");
        let found = self.load_balancers_named(&prefix).await?;
        let mut tags = self.tags_of_those_there(found.iter().filter_map(|found| found.load_balancer_arn())).await?;
        for found in found {
            let tags = tags.remove(found.load_balancer_arn().unwrap_or_default());
            let (Some(name), Some(there)) = (found.load_balancer_name(), tags.and_then(|tags| convert::load_balancer(&found, tags))) else {
                continue;
            };
            if let Some(owned) = inventory.of(cluster, &there.tags) {
                owned.load_balancers.insert(name.to_owned());
            }
            inventory.load_balancers.insert(name.to_owned(), there);
        }
        let found = self.target_groups_named(&prefix).await?;
        let mut tags = self.tags_of_those_there(found.iter().filter_map(|found| found.target_group_arn())).await?;
        for found in found {
            let tags = tags.remove(found.target_group_arn().unwrap_or_default());
            let Some((name, there)) = tags.and_then(|tags| convert::target_group(&found, tags)) else { continue };
            if let Some(owned) = inventory.of(cluster, &there.tags) {
                owned.target_groups.insert(name.clone());
            }
            inventory.target_groups.insert(name, there);
        }
        self.list_security_groups(cluster, &mut inventory).await?;
        match self.certificates_of(&mark::value(&cluster.0)).await {
            Ok(found) => {
                for (arn, tags) in found {
                    if let Some(owned) = inventory.of(cluster, &tags) {
                        owned.certificates.insert(arn, tags);
                    }
                }
            }
            Err(failure) if failure.class() == Class::Fenced => return Err(failure),
            // Who serves HTTP only need not permit it, nor wait for it.
            Err(failure) => {
                let error = &failure.message;
                tracing::warn!(
                    region = self.name,
                    error,
                    "certificates cannot be listed: to import them acm:ListCertificates and acm:ListTagsForCertificate are needed"
                );
                inventory.certificates_unread = Some(failure);
            }
        }
        Ok(inventory)
    }

    /// The cluster's security groups, and those that let one of them in.
    async fn list_security_groups(&self, cluster: &ClusterId, inventory: &mut Inventory) -> Result<(), Failure> {
        let ours = filter(&format!("tag:{}", mark::CLUSTER), [mark::value(&cluster.0).as_str()]);
        let mut ids = BTreeSet::new();
        for group in self.security_groups(vec![ours]).await?.iter().filter_map(convert::security_group) {
            let Some(owned) = inventory.of(cluster, &group.tags) else { continue };
            ids.insert(group.id.clone());
            if owned.security_group.as_ref().is_none_or(|first| group.id < first.id) {
                owned.security_group = Some(group);
            }
        }
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        for ids in ids.chunks(FILTER_VALUES) {
            let admitting = self.security_groups(vec![filter("ip-permission.group-id", ids.iter().copied())]).await?;
            inventory.admitting.extend(admitting);
        }
        Ok(())
    }
}

impl Inventory {
    fn of(&mut self, cluster: &ClusterId, tags: &TagSet) -> Option<&mut Owned> {
        let (owner, unit) = portico_aws::stack::mark_of(tags)?;
        (owner == mark::value(&cluster.0)).then(|| self.units.entry(unit.to_owned()).or_default())
    }

    /// What a unit owns.
    pub fn owned(&self, unit: &UnitId) -> Owned {
        self.units.get(&mark::value(&unit.to_string())).cloned().unwrap_or_default()
    }

    /// Whether what it shows may be taken for what there is, by who changed nothing since.
    pub fn is_believed(&self) -> bool {
        self.taken.elapsed() < BELIEVED
    }

    /// A load balancer, whosever it is, without attributes and listeners.
    pub fn load_balancer(&self, name: &str) -> Option<&LoadBalancer> {
        self.load_balancers.get(name)
    }

    /// A target group, whosever it is, without attributes.
    pub fn target_group(&self, name: &TargetSetId) -> Option<&TargetGroup> {
        self.target_groups.get(name)
    }
}

/// Reads a unit's mark back; nothing for one that was too long to be written whole.
fn parse(text: &str) -> Option<UnitId> {
    if mark::is_cut(text) {
        return None;
    }
    let mut parts = text.splitn(3, '/');
    match (parts.next()?, parts.next()?, parts.next()?) {
        ("gateway", namespace, name) => Some(UnitId::Gateway(NamespacedName::new(namespace, name))),
        ("sharing", class, group) => Some(UnitId::Sharing { class: class.to_owned(), group: group.to_owned() }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_units_are_read_back() {
        for unit in
            [UnitId::Gateway(NamespacedName::new("infra", "web")), UnitId::Sharing { class: "portico-alb".into(), group: "edge".into() }]
        {
            assert_eq!(parse(&mark::value(&unit.to_string())), Some(unit));
        }
        assert_eq!(parse(&mark::value(&format!("gateway/ns/{}", "x".repeat(300)))), None);
        assert_eq!(parse("something/else"), None);
    }
}
