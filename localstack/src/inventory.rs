//! What there is, without what differs from run to run: two clouds that were brought to the same state have equal inventories.
//!
//! Ids and ARNs become names (`lb/web`, `lb/web:80`, `lb/web:80/100`, `tg/api`, `sg/nodes`), generated addresses, DNS names and moments are
//! left out, and everything stands in the order of its names.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::ec2::network_interface::Attachment;
use crate::state::State;

/// Members whose values are made up by the cloud.
const GENERATED: &[&str] = &[
    "created",
    "active_at",
    "provided",
    "dns_name",
    "listens_at",
    "revision",
    "released",
    "modified",
    "decreases",
    "lock_token",
    "caller_reference",
    "id",
    "arn",
    "owner",
];

/// The inventory of a state.
pub fn of(state: &State) -> Value {
    let names = names(state);
    let balancers = state.elb.load_balancers.values();
    let balancers = balancers.map(|balancer| (names.get(&balancer.arn).cloned().unwrap_or_default(), tidied(json!(balancer), &names)));
    let groups =
        state.elb.target_groups.values().map(|group| (names.get(&group.arn).cloned().unwrap_or_default(), tidied(json!(group), &names)));
    let stores =
        state.elb.trust_stores.values().map(|store| (names.get(&store.arn).cloned().unwrap_or_default(), tidied(json!(store), &names)));
    let buckets = state.s3.buckets.values().filter(|bucket| !bucket.managed);
    let buckets = buckets.map(|bucket| {
        let mut value = tidied(json!(bucket), &names);
        // Names and contents of logs are made up of ids and moments.
        if let Some(objects) = value.get_mut("objects").and_then(Value::as_object_mut) {
            objects.retain(|key, _| !key.contains("AWSLogs/"));
        }
        (bucket.name.clone(), value)
    });
    let acls = state.wafv2.web_acls.values().map(|acl| (acl.name.clone(), tidied(json!(acl), &names)));
    let associations = tidied(json!(state.wafv2.associations), &names);
    let lists = state.ec2.prefix_lists.values().map(|list| (list.name.clone(), tidied(json!(list), &names)));
    let pools = state.ec2.ipam_pools.values();
    let pools = pools.map(|pool| (names.get(&pool.id).cloned().unwrap_or_default(), tidied(json!(pool), &names)));
    let protections = state.shield.protections.values().map(|protection| (protection.name.clone(), tidied(json!(protection), &names)));
    // Names of zones are not unique.
    let mut zones: Map<String, Value> = Map::new();
    for zone in state.route53.zones.values() {
        let kind = if zone.vpc.is_some() { "private" } else { "public" };
        let all = zones.entry(format!("{} {kind}", zone.name)).or_insert_with(|| json!([]));
        all.as_array_mut().into_iter().for_each(|all| all.push(tidied(json!(zone), &names)));
    }
    zones.values_mut().filter_map(Value::as_array_mut).for_each(|all| all.sort_by_key(Value::to_string));
    let certificates = state.acm.certificates.values();
    let certificates = certificates.map(|one| (names.get(&one.arn).cloned().unwrap_or_default(), tidied(json!(one), &names)));
    let security = state.ec2.security_groups.values().map(|group| {
        let mut value = tidied(json!(group), &names);
        let mut rules: Vec<Value> = group.rules.values().map(|rule| tidied(json!(rule), &names)).collect();
        rules.sort_by_key(Value::to_string);
        if let Some(members) = value.as_object_mut() {
            members.insert("rules".into(), Value::Array(rules));
        }
        (names.get(&group.id).cloned().unwrap_or_default(), value)
    });
    let guarded = state.ec2.network_interfaces.values().filter(|interface| matches!(interface.attachment, Attachment::Instance { .. }));
    let guarded = guarded.map(|interface| (format!("{} {}", interface.zone, interface.address), tidied(json!(interface.groups), &names)));
    json!({
        "load_balancers": balancers.collect::<Map<_, _>>(),
        "target_groups": groups.collect::<Map<_, _>>(),
        "trust_stores": stores.collect::<Map<_, _>>(),
        "buckets": buckets.collect::<Map<_, _>>(),
        "web_acls": acls.collect::<Map<_, _>>(),
        "web_acl_associations": associations,
        "shield_subscription": state.shield.subscribed.is_some(),
        "protections": protections.collect::<Map<_, _>>(),
        "hosted_zones": zones,
        "ipam_pools": pools.collect::<Map<_, _>>(),
        "prefix_lists": lists.collect::<Map<_, _>>(),
        "certificates": certificates.collect::<Map<_, _>>(),
        "security_groups": security.collect::<Map<_, _>>(),
        "security_groups_of_nodes": guarded.collect::<Map<_, _>>(),
    })
}

/// Names of all that has an id.
fn names(state: &State) -> HashMap<String, String> {
    let mut names = HashMap::new();
    for balancer in state.elb.load_balancers.values() {
        let name = format!("lb/{}", balancer.name);
        for listener in balancer.listeners.values() {
            let name = format!("{name}:{}", listener.port);
            names.extend(listener.rules.values().map(|rule| (rule.arn.clone(), format!("{name}/{}", rule.priority))));
            names.insert(listener.default_rule.clone(), format!("{name}/default"));
            names.insert(listener.arn.clone(), name);
        }
        // As aliases of record sets spell it.
        for prefix in ["", "dualstack."] {
            names.insert(format!("{prefix}{}.", balancer.dns_name.to_ascii_lowercase()), format!("{prefix}{name}"));
        }
        names.insert(balancer.arn.clone(), name);
    }
    names.extend(state.elb.target_groups.values().map(|group| (group.arn.clone(), format!("tg/{}", group.name))));
    names.extend(state.elb.trust_stores.values().map(|store| (store.arn.clone(), format!("ts/{}", store.name))));
    names.extend(state.wafv2.web_acls.values().map(|acl| (acl.arn.clone(), format!("acl/{}", acl.name))));
    names.extend(state.ec2.prefix_lists.values().map(|list| (list.id.clone(), format!("pl/{}", list.name))));
    names.extend(state.ec2.addresses.values().map(|address| (address.id.clone(), format!("eip/{}", address.public))));
    for ipam in state.ec2.ipams.values() {
        names.insert(ipam.id.clone(), "ipam".into());
        names.insert(ipam.public_scope.clone(), "ipam/public".into());
        names.insert(ipam.private_scope.clone(), "ipam/private".into());
    }
    names.extend(state.ec2.ipam_pools.values().map(|pool| {
        let cidrs: Vec<String> = pool.provisioned().map(|cidr| cidr.to_string()).collect();
        (pool.id.clone(), format!("pool/{}", cidrs.join(" ")))
    }));
    names.extend(state.acm.certificates.values().map(|certificate| {
        let serial = certificate.material.as_ref().map(|material| material.facts.serial.as_str());
        (certificate.arn.clone(), format!("certificate/{} {}", certificate.domain, serial.unwrap_or("pending")))
    }));
    names.extend(state.ec2.security_groups.values().map(|group| (group.id.clone(), format!("sg/{}", group.name))));
    names.extend(state.ec2.subnets.values().map(|subnet| (subnet.id.clone(), format!("subnet/{}", subnet.cidr))));
    names.extend(
        state
            .ec2
            .vpcs
            .values()
            .map(|vpc| (vpc.id.clone(), format!("vpc/{}", vpc.cidrs.first().map(ToString::to_string).unwrap_or_default()))),
    );
    names
}

/// A value with names for ids and without what is generated. The end of a deregistration becomes the fact that it runs.
fn tidied(value: Value, names: &HashMap<String, String>) -> Value {
    // Targets that are load balancers are named with their port.
    let ported = |text: &str| text.rsplit_once(':').and_then(|(id, port)| Some(format!("{}:{port}", names.get(id)?)));
    let name = |text: String| names.get(&text).cloned().or_else(|| ported(&text)).unwrap_or(text);
    match value {
        Value::String(text) => Value::String(name(text)),
        Value::Array(items) => Value::Array(items.into_iter().map(|item| tidied(item, names)).collect()),
        Value::Object(members) => {
            let kept = members.into_iter().filter(|(key, _)| !GENERATED.contains(&key.as_str()));
            let renamed = kept.map(|(key, value)| match key.as_str() {
                "draining" => (key, Value::Bool(!value.is_null())),
                _ => (name(key), tidied(value, names)),
            });
            Value::Object(renamed.collect())
        }
        other => other,
    }
}
