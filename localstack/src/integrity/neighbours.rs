//! Whether what the services beside ELBv2 hold fits together: EC2's addresses, prefix lists and groups, ACM, S3, WAFv2, Shield, Route 53.

use std::collections::BTreeSet;

use crate::state::State;

/// What is wrong.
pub fn violations(state: &State, found: &mut Vec<String>) {
    addresses(state, found);
    prefix_lists(state, found);
    security_groups(state, found);
    places(state, found);
    certificates(state, found);
    acme(state, found);
    buckets(state, found);
    protection(state, found);
    hosted_zones(state, found);
}

fn addresses(state: &State, found: &mut Vec<String>) {
    let (mut publics, mut interfaces) = (BTreeSet::new(), BTreeSet::new());
    for (id, address) in &state.ec2.addresses {
        let mut fault = |what: String| found.push(format!("{id}: {what}"));
        if *id != address.id || !publics.insert(address.public) {
            fault(format!("its id or its address {} is another's", address.public));
        }
        if address.interface.is_some() != address.association.is_some() {
            fault("it is associated with nothing, or without an association".into());
        }
        if let Some(interface) = &address.interface
            && (!state.ec2.network_interfaces.contains_key(interface) || !interfaces.insert(interface))
        {
            fault(format!("the interface {interface} does not exist, or has another address, too"));
        }
    }
}

fn prefix_lists(state: &State, found: &mut Vec<String>) {
    for (id, list) in &state.ec2.prefix_lists {
        let entries = list.versions.get(&list.version).map(|entries| entries.len());
        if *id != list.id
            || entries.is_none_or(|entries| entries > list.max_entries)
            || list.versions.keys().any(|version| *version > list.version)
        {
            found.push(format!("{id}: {entries:?} entries of at most {} in version {}", list.max_entries, list.version));
        }
    }
}

fn security_groups(state: &State, found: &mut Vec<String>) {
    let (mut names, mut rules) = (BTreeSet::new(), BTreeSet::new());
    for (id, group) in &state.ec2.security_groups {
        let mut fault = |what: &str| found.push(format!("{id}: {what}"));
        if *id != group.id || !names.insert((&group.vpc, &group.name)) {
            fault("its id or its name is another's");
        }
        if !state.ec2.vpcs.contains_key(&group.vpc) {
            fault("its VPC does not exist");
        }
        let mut permissions = BTreeSet::new();
        for (rule_id, rule) in &group.rules {
            if *rule_id != rule.id || rule.group != *id || !rules.insert(rule_id) || !permissions.insert(&rule.permission) {
                fault("it has a rule that is another group's, or one that it has already");
            }
        }
    }
}

/// Instances, interfaces that will go, route tables, gateways.
fn places(state: &State, found: &mut Vec<String>) {
    let ec2 = &state.ec2;
    let missing = |id: &&String| !ec2.network_interfaces.contains_key(*id);
    if let Some(id) = ec2.instances.values().flat_map(|instance| &instance.interfaces).find(missing) {
        found.push(format!("{id}: an instance has it, but it does not exist"));
    }
    let leaving: BTreeSet<_> = ec2.network_interfaces.values().filter_map(|one| Some((one.gone_at?, one.id.clone()))).collect();
    if leaving != ec2.leaving {
        found.push(format!("the interfaces that will go are {leaving:?}, but noted are {:?}", ec2.leaving));
    }
    for table in ec2.route_tables.values() {
        if !ec2.vpcs.contains_key(&table.vpc)
            || table.subnets.iter().any(|id| ec2.subnets.get(id).is_none_or(|subnet| subnet.vpc != table.vpc))
        {
            found.push(format!("{}: its VPC or one of its subnets does not exist", table.id));
        }
    }
    if let Some(gateway) = ec2.internet_gateways.values().find(|gateway| !ec2.vpcs.contains_key(&gateway.vpc)) {
        found.push(format!("{}: its VPC does not exist", gateway.id));
    }
}

fn certificates(state: &State, found: &mut Vec<String>) {
    let acm = &state.acm;
    let mut revisions = BTreeSet::new();
    for (arn, certificate) in &acm.certificates {
        if *arn != certificate.arn || certificate.revision > acm.changes || !revisions.insert(certificate.revision) {
            found.push(format!("{arn}: its ARN or its revision {} is wrong", certificate.revision));
        }
        if certificate.provided.is_some() != certificate.material.is_some() {
            found.push(format!("{arn}: it was issued and has nothing, or the other way round"));
        }
    }
}

fn acme(state: &State, found: &mut Vec<String>) {
    let acme = &state.acm.acme;
    let of = acme.domain_validations.iter().map(|(arn, one)| (arn, &one.endpoint));
    for (arn, endpoint) in of.chain(acme.bindings.iter().map(|(arn, one)| (arn, &one.endpoint))) {
        if !acme.endpoints.contains_key(endpoint) || !arn.starts_with(endpoint.as_str()) {
            found.push(format!("{arn}: its endpoint {endpoint} does not exist"));
        }
    }
    let exists =
        |arn: &String| acme.endpoints.contains_key(arn) || acme.domain_validations.contains_key(arn) || acme.bindings.contains_key(arn);
    if let Some((token, _)) = acme.tokens.iter().find(|(_, token)| !exists(&token.arn)) {
        found.push(format!("{token}: what was created with this token does not exist"));
    }
}

fn buckets(state: &State, found: &mut Vec<String>) {
    for (name, bucket) in &state.s3.buckets {
        for (key, versions) in &bucket.objects {
            let ids: BTreeSet<&String> = versions.iter().map(|version| &version.id).collect();
            if versions.is_empty() || ids.len() != versions.len() || bucket.versioning.is_none() && versions.len() > 1 {
                found.push(format!("{name}/{key}: it has the versions {ids:?}"));
            }
        }
        if *name != bucket.name {
            found.push(format!("{name}: its name is {}", bucket.name));
        }
    }
}

/// Web ACLs and protections.
fn protection(state: &State, found: &mut Vec<String>) {
    let (wafv2, shield) = (&state.wafv2, &state.shield);
    let mut names = BTreeSet::new();
    if let Some((arn, _)) = wafv2.web_acls.iter().find(|(arn, acl)| **arn != acl.arn || !names.insert(&acl.name)) {
        found.push(format!("{arn}: its ARN or its name is another's"));
    }
    for (resource, acl) in &wafv2.associations {
        if !state.elb.load_balancers.contains_key(resource) || !wafv2.web_acls.contains_key(acl) {
            found.push(format!("{acl}: it, or {resource}, which has it, does not exist"));
        }
    }
    let mut resources = BTreeSet::new();
    for (id, protection) in &shield.protections {
        // What it protects may have gone: a protection stays until it is deleted.
        if *id != protection.id || shield.subscribed.is_none() || !resources.insert(&protection.resource) {
            found.push(format!("{id}: {} has two protections, or nobody has subscribed to any", protection.resource));
        }
    }
}

fn hosted_zones(state: &State, found: &mut Vec<String>) {
    let mut references = BTreeSet::new();
    for (id, zone) in &state.route53.zones {
        let mut fault = |what: String| found.push(format!("{id}: {what}"));
        if *id != zone.id || !references.insert(&zone.caller_reference) {
            fault("its id or its caller reference is another's".into());
        }
        if ["NS", "SOA"].iter().any(|kind| zone.records.get(&zone.name).is_none_or(|sets| !sets.contains_key(*kind))) {
            fault("it has lost its own NS or SOA record".into());
        }
        for (name, sets) in &zone.records {
            let inside = *name == zone.name || name.ends_with(&format!(".{}", zone.name));
            let alone = !sets.contains_key("CNAME") || sets.len() == 1;
            let whole = sets.values().all(|set| set.alias.is_some() == set.values.is_empty() && set.alias.is_none() == set.ttl.is_some());
            if !inside || !alone || !whole || sets.is_empty() {
                fault(format!("the record sets of {name} are not in it, or do not go together"));
            }
        }
    }
}
