//! The inventory: what carries a cluster's marks in a region, by unit. One bulk listing finds what no name leads to: leftovers of a process that was killed.

use crate::error::{Class, Failure};
use crate::read::filter;
use crate::region::Region;
use portico_aws::name::PREFIX;
use portico_crds::NamespacedName;
use portico_providers::{ClusterId, TagSet, TargetSetId, UnitId, mark};
use std::collections::{BTreeMap, BTreeSet};

/// What one cluster owns in a region, by unit as marks write it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inventory {
    /// Why certificates could not be listed, where the operator may not.
    certificates_denied: Option<Failure>,
    units: BTreeMap<String, Owned>,
}

/// What one unit owns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owned {
    pub load_balancers: BTreeSet<String>,
    pub target_groups: BTreeSet<TargetSetId>,
    /// ARNs of imported certificates.
    pub certificates: BTreeSet<String>,
    /// Why nothing is known of certificates, if that is so.
    pub certificates_denied: Option<Failure>,
    /// Whether it has a security group, which is found by its tags.
    pub security_group: bool,
}

impl Region {
    /// What a unit owns, from the inventory, which is made when it is first needed.
    pub async fn owned(&self, cluster: &ClusterId, unit: &UnitId) -> Result<Owned, Failure> {
        let mut inventories = self.inventories.lock().await;
        if !inventories.contains_key(cluster) {
            let inventory = self.take_inventory(cluster).await?;
            inventories.insert(cluster.clone(), inventory);
        }
        let Some(inventory) = inventories.get(cluster) else { return Ok(Owned::default()) };
        let owned = inventory.units.get(&mark::value(&unit.to_string())).cloned().unwrap_or_default();
        Ok(Owned { certificates_denied: inventory.certificates_denied.clone(), ..owned })
    }

    /// All units that own something, from a new inventory.
    pub async fn owned_units(&self, cluster: &ClusterId) -> Result<BTreeSet<UnitId>, Failure> {
        let mut inventories = self.inventories.lock().await;
        let inventory = self.take_inventory(cluster).await?;
        let mut units = BTreeSet::new();
        for text in inventory.units.keys() {
            match parse(text) {
                Some(unit) => drop(units.insert(unit)),
                None => tracing::warn!(unit = text, "the mark of a unit cannot be read back: what carries it is left alone"),
            }
        }
        inventories.insert(cluster.clone(), inventory);
        Ok(units)
    }

    /// Lists the account's load balancers, target groups and the cluster's security groups, and reads the tags of those whose name could be ours.
    async fn take_inventory(&self, cluster: &ClusterId) -> Result<Inventory, Failure> {
        let mut inventory = Inventory::default();
        let prefix = format!("{PREFIX}-");
        let names = self.load_balancer_names(&prefix).await?;
        let tags = self.tags(&names.values().cloned().collect::<Vec<_>>()).await?;
        for (name, arn) in names {
            if let Some(owned) = inventory.of(cluster, tags.get(&arn)) {
                owned.load_balancers.insert(name);
            }
        }
        let names = self.target_group_names(&prefix).await?;
        let tags = self.tags(&names.values().cloned().collect::<Vec<_>>()).await?;
        for (name, arn) in names {
            if let Some(owned) = inventory.of(cluster, tags.get(&arn)) {
                owned.target_groups.insert(TargetSetId(name));
            }
        }
        let ours = filter(&format!("tag:{}", mark::CLUSTER), [mark::value(&cluster.0).as_str()]);
        for group in self.security_groups(vec![ours]).await? {
            if let Some(owned) = inventory.of(cluster, Some(&crate::convert::read_ec2_tags(group.tags()))) {
                owned.security_group = true;
            }
        }
        match self.certificates_of(&mark::value(&cluster.0)).await {
            Ok(found) => {
                for (arn, (_, unit)) in found {
                    inventory.units.entry(unit).or_default().certificates.insert(arn);
                }
            }
            // Who serves HTTP only need not permit it.
            Err(failure) if failure.class() == Class::Denied => {
                let error = &failure.message;
                tracing::warn!(
                    region = self.name,
                    error,
                    "certificates cannot be listed: HTTPS listeners need acm:ListCertificates and acm:ListTagsForCertificate"
                );
                inventory.certificates_denied = Some(failure);
            }
            Err(failure) => return Err(failure),
        }
        Ok(inventory)
    }
}

impl Inventory {
    fn of(&mut self, cluster: &ClusterId, tags: Option<&TagSet>) -> Option<&mut Owned> {
        let (owner, unit) = portico_aws::stack::mark_of(tags?)?;
        (owner == mark::value(&cluster.0)).then(|| self.units.entry(unit.to_owned()).or_default())
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
