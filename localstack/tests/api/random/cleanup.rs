//! Deletes everything that was made, as anybody would, and brings the account's own network back to what it was.

use std::collections::BTreeMap;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use portico_cloud::service::Service;
use serde_json::{Value, json};

use super::super::harness::Api;
use crate::dataplane::harness::soon;

/// Calls until it succeeds: what depends on something may go a moment later.
async fn surely(api: &mut Api, service: Service, operation: &str, call: &str) {
    let mut last = None;
    for _ in 0..200 {
        match api.send(service, operation, call).await {
            Some(reply) if (200..300).contains(&reply.status) => return,
            other => last = other,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{operation} {call} does not succeed: {last:?}");
}

fn list<'a>(state: &'a Value, kind: &str) -> impl Iterator<Item = &'a Value> {
    let found = &state[kind];
    found.as_array().unwrap_or_else(|| panic!("the state has no list of {kind}: {found}")).iter()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{value} has no {key}"))
}

/// Deletes what is there and was not at the start.
pub async fn clear(api: &mut Api, start: &Value) {
    let state = api.admin("GET", "state", "").await;
    load_balancing(api, &state).await;
    protection(api, &state).await;
    for arn in state["acme"]["endpoints"].as_object().into_iter().flat_map(|endpoints| endpoints.keys()) {
        surely(api, Service::Acm, "DeleteAcmeEndpoint", &json!({ "AcmeEndpointArn": arn }).to_string()).await;
    }
    let days = json!({ "ExpiryEvents": { "DaysBeforeExpiry": 45 }, "IdempotencyToken": format!("c{}", rand::random::<u64>()) });
    surely(api, Service::Acm, "PutAccountConfiguration", &days.to_string()).await;
    for one in list(&state, "certificates") {
        surely(api, Service::Acm, "DeleteCertificate", &json!({ "CertificateArn": one["arn"] }).to_string()).await;
    }
    // Nothing is delivered into them any more.
    api.admin("POST", "logs", "").await;
    for bucket in list(&state, "buckets") {
        empty(api, text(bucket, "name")).await;
    }
    for zone in list(&state, "hosted_zones") {
        hosted_zone(api, zone).await;
    }
    instances(api, start).await;
    // Network interfaces of load balancers and instances remain a while.
    let count = |state: &Value| ["network_interfaces", "instances"].map(|kind| state[kind].as_array().map(Vec::len));
    let gone = async {
        while count(&api.admin("GET", "state", "").await) != count(start) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon(gone).await;
    network(api, start).await;
}

async fn load_balancing(api: &mut Api, state: &Value) {
    // Those of type `network` first: the others may be their targets.
    for kind in ["network", "application"] {
        for balancer in list(state, "load_balancers").filter(|balancer| text(balancer, "kind") == kind) {
            let arn = text(balancer, "arn");
            let off = "Attributes.member.1.Key=deletion_protection.enabled&Attributes.member.1.Value=false";
            surely(api, Service::Elb, "ModifyLoadBalancerAttributes", &format!("LoadBalancerArn={arn}&{off}")).await;
            surely(api, Service::Elb, "DeleteLoadBalancer", &format!("LoadBalancerArn={arn}")).await;
        }
        for group in list(state, "target_groups").filter(|group| (text(group, "target_type") == "alb") == (kind == "network")) {
            surely(api, Service::Elb, "DeleteTargetGroup", &format!("TargetGroupArn={}", text(group, "arn"))).await;
        }
    }
    for store in list(state, "trust_stores") {
        surely(api, Service::Elb, "DeleteTrustStore", &format!("TrustStoreArn={}", text(store, "arn"))).await;
    }
}

async fn protection(api: &mut Api, state: &Value) {
    for acl in list(state, "web_acls") {
        let named = json!({ "Name": acl["name"], "Id": acl["id"], "LockToken": acl["lock_token"], "Scope": "REGIONAL" });
        surely(api, Service::Wafv2, "DeleteWebACL", &named.to_string()).await;
    }
    for id in state["shield"]["protections"].as_object().unwrap().keys() {
        surely(api, Service::Shield, "DeleteProtection", &json!({ "ProtectionId": id }).to_string()).await;
    }
}

/// Deletes all versions of all objects of a bucket, and the bucket.
async fn empty(api: &mut Api, bucket: &str) {
    for _ in 0..100 {
        let listed = api.call(Service::S3, "ListObjectVersions", &format!("GET /{bucket}?versions&encoding-type=url\n")).await;
        let rows = listed.split("<Key>").skip(1).filter_map(|row| {
            let version = row.split_once("<VersionId>")?.1.split('<').next()?;
            Some(format!("{}?versionId={version}", row.split('<').next()?))
        });
        for row in rows.collect::<Vec<_>>() {
            surely(api, Service::S3, "DeleteObject", &format!("DELETE /{bucket}/{row}\n")).await;
        }
        if !listed.contains("<IsTruncated>true") {
            break;
        }
    }
    surely(api, Service::S3, "DeleteBucket", &format!("DELETE /{bucket}\n")).await;
}

/// Deletes the record sets of a zone but its own, and the zone.
async fn hosted_zone(api: &mut Api, zone: &Value) {
    let id = text(zone, "id");
    let mut changes = String::new();
    for (name, sets) in zone["records"].as_object().unwrap() {
        for (kind, set) in
            sets.as_object().unwrap().iter().filter(|(kind, _)| name != text(zone, "name") || !["NS", "SOA"].contains(&kind.as_str()))
        {
            let values = set["values"]
                .as_array()
                .unwrap()
                .iter()
                .map(|value| format!("<ResourceRecord><Value>{}</Value></ResourceRecord>", value.as_str().unwrap()));
            let held = match (&set["alias"], &set["ttl"]) {
                (Value::Null, ttl) => format!("<TTL>{ttl}</TTL><ResourceRecords>{}</ResourceRecords>", values.collect::<String>()),
                (alias, _) => format!(
                    "<AliasTarget><HostedZoneId>{}</HostedZoneId><DNSName>{}</DNSName><EvaluateTargetHealth>{}</EvaluateTargetHealth></AliasTarget>",
                    text(alias, "zone"),
                    text(alias, "name"),
                    alias["evaluates_health"]
                ),
            };
            changes += &format!(
                "<Change><Action>DELETE</Action><ResourceRecordSet><Name>{name}</Name><Type>{kind}</Type>{held}</ResourceRecordSet></Change>"
            );
        }
    }
    if !changes.is_empty() {
        let batch = format!(
            "<ChangeResourceRecordSetsRequest><ChangeBatch><Changes>{changes}</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
        );
        surely(api, Service::Route53, "ChangeResourceRecordSets", &format!("POST /2013-04-01/hostedzone/{id}/rrset\n{batch}")).await;
    }
    surely(api, Service::Route53, "DeleteHostedZone", &format!("DELETE /2013-04-01/hostedzone/{id}\n")).await;
}

/// Whether a resource with this id was there at the start.
fn was_there(start: &Value, kind: &str, id: &str) -> bool {
    list(start, kind).any(|one| text(one, "id") == id)
}

/// Ends instances that were not there, deletes interfaces that nothing uses, and takes away addresses that others were given.
async fn instances(api: &mut Api, start: &Value) {
    let state = api.admin("GET", "state", "").await;
    for instance in list(&state, "instances").filter(|one| one["terminated"].is_null() && !was_there(start, "instances", text(one, "id"))) {
        surely(api, Service::Ec2, "TerminateInstances", &format!("InstanceId.1={}", text(instance, "id"))).await;
    }
    for interface in list(&state, "network_interfaces") {
        let id = text(interface, "id");
        if interface["attachment"] == json!("Detached") {
            surely(api, Service::Ec2, "DeleteNetworkInterface", &format!("NetworkInterfaceId={id}")).await;
        } else if was_there(start, "network_interfaces", id) {
            for address in interface["secondary"].as_array().into_iter().flatten() {
                let call = format!("NetworkInterfaceId={id}&PrivateIpAddress.1={}", address.as_str().unwrap());
                surely(api, Service::Ec2, "UnassignPrivateIpAddresses", &call).await;
            }
        }
    }
}

async fn network(api: &mut Api, start: &Value) {
    let state = api.admin("GET", "state", "").await;
    for address in list(&state, "addresses") {
        if let Some(association) = address["association"].as_str() {
            surely(api, Service::Ec2, "DisassociateAddress", &format!("AssociationId={association}")).await;
        }
        surely(api, Service::Ec2, "ReleaseAddress", &format!("AllocationId={}", text(address, "id"))).await;
    }
    for interface in list(start, "network_interfaces") {
        let groups = interface["groups"]
            .as_array()
            .unwrap()
            .iter()
            .zip(1..)
            .map(|(id, at)| format!("&SecurityGroupId.{at}={}", id.as_str().unwrap()));
        let call = format!("NetworkInterfaceId={}{}", text(interface, "id"), groups.collect::<String>());
        surely(api, Service::Ec2, "ModifyNetworkInterfaceAttribute", &call).await;
    }
    for group in list(&state, "security_groups") {
        rules(api, start, group).await;
    }
    for list in list(&state, "prefix_lists") {
        surely(api, Service::Ec2, "DeleteManagedPrefixList", &format!("PrefixListId={}", text(list, "id"))).await;
    }
    ipam(api, &state).await;
    for (kind, operation) in [("subnets", "DisassociateSubnetCidrBlock"), ("vpcs", "DisassociateVpcCidrBlock")] {
        for id in list(&state, kind).filter_map(|one| one["ipv6"]["id"].as_str()) {
            surely(api, Service::Ec2, operation, &format!("AssociationId={id}")).await;
        }
    }
    let made = |kind: &str| -> Vec<String> {
        let ids = list(&state, kind).map(|one| text(one, "id").to_owned());
        ids.filter(|id| !was_there(start, kind, id)).collect()
    };
    let vpcs = made("vpcs");
    for group in list(&state, "security_groups")
        .filter(|group| text(group, "name") != "default" && !was_there(start, "security_groups", text(group, "id")))
    {
        surely(api, Service::Ec2, "DeleteSecurityGroup", &format!("GroupId={}", text(group, "id"))).await;
    }
    for id in made("subnets") {
        surely(api, Service::Ec2, "DeleteSubnet", &format!("SubnetId={id}")).await;
    }
    for id in vpcs {
        surely(api, Service::Ec2, "DeleteVpc", &format!("VpcId={id}")).await;
    }
    for kind in ["vpcs", "subnets", "route_tables", "internet_gateways", "security_groups", "network_interfaces", "instances"] {
        for one in list(start, kind) {
            tags(api, one, list(&state, kind).find(|now| now["id"] == one["id"])).await;
        }
    }
}

/// Deletes pools, those within others first, with their CIDRs, and what they are in.
async fn ipam(api: &mut Api, state: &Value) {
    let mut pools: Vec<&Value> = list(state, "ipam_pools").collect();
    pools.sort_by_key(|pool| std::cmp::Reverse(pool["depth"].as_u64()));
    for pool in pools {
        let id = text(pool, "id");
        for cidr in list(pool, "cidrs").filter_map(|cidr| cidr["cidr"].as_str()) {
            surely(api, Service::Ec2, "DeprovisionIpamPoolCidr", &format!("IpamPoolId={id}&Cidr={cidr}")).await;
        }
        surely(api, Service::Ec2, "DeleteIpamPool", &format!("IpamPoolId={id}")).await;
    }
    for ipam in list(state, "ipams") {
        surely(api, Service::Ec2, "DeleteIpam", &format!("IpamId={}", text(ipam, "id"))).await;
    }
}

/// Takes away the rules that a group did not have, and puts back those that it had.
async fn rules(api: &mut Api, start: &Value, group: &Value) {
    let id = text(group, "id");
    let content = |rule: &Value| json!([rule["permission"], rule["description"], rule["tags"]]).to_string();
    let before = list(start, "security_groups").find(|before| text(before, "id") == id).map(|before| before["rules"].as_object().unwrap());
    let mut missing: BTreeMap<String, &Value> = before.into_iter().flatten().map(|(_, rule)| (content(rule), rule)).collect();
    for (rule, now) in group["rules"].as_object().unwrap() {
        if missing.remove(&content(now)).is_none() {
            let side = if now["permission"]["egress"] == json!(true) { "Egress" } else { "Ingress" };
            let call = format!("GroupId={id}&SecurityGroupRuleId.1={rule}");
            surely(api, Service::Ec2, &format!("RevokeSecurityGroup{side}"), &call).await;
        }
    }
    for rule in missing.values() {
        let permission = &rule["permission"];
        let side = if permission["egress"] == json!(true) { "Egress" } else { "Ingress" };
        let mut call = format!("GroupId={id}&IpPermissions.1.IpProtocol={}", text(permission, "protocol"));
        if let Some([from, to]) = permission["ports"].as_array().map(Vec::as_slice) {
            call += &format!("&IpPermissions.1.FromPort={from}&IpPermissions.1.ToPort={to}");
        }
        let (peers, named) = match permission["peer"].as_object().unwrap().iter().next().unwrap() {
            (kind, cidr) if kind == "Cidr" => ("IpRanges", format!("CidrIp={}", cidr.as_str().unwrap())),
            (_, group) => ("Groups", format!("GroupId={}", group.as_str().unwrap())),
        };
        call += &format!("&IpPermissions.1.{peers}.1.{named}");
        if let Some(description) = rule["description"].as_str() {
            call += &format!("&IpPermissions.1.{peers}.1.Description={}", utf8_percent_encode(description, NON_ALPHANUMERIC));
        }
        surely(api, Service::Ec2, &format!("AuthorizeSecurityGroup{side}"), &call).await;
    }
}

/// Gives a resource the tags that it had.
async fn tags(api: &mut Api, before: &Value, now: Option<&Value>) {
    let id = text(before, "id");
    if now.is_some_and(|now| now["tags"] == before["tags"]) {
        return;
    }
    surely(api, Service::Ec2, "DeleteTags", &format!("ResourceId.1={id}")).await;
    let had = before["tags"].as_object().into_iter().flatten();
    for (key, value) in had {
        let [key, value] = [key.as_str(), value.as_str().unwrap()].map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string());
        surely(api, Service::Ec2, "CreateTags", &format!("ResourceId.1={id}&Tag.1.Key={key}&Tag.1.Value={value}")).await;
    }
}
