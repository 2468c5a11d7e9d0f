//! What answers have named, of which calls name some.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use rand::rngs::StdRng;
use rand::seq::{IndexedMutRandom, IndexedRandom};
use regex::Regex;
use serde_json::Value;

use super::super::harness::Api;
use crate::dataplane::harness::Reply;

/// How many names of a kind are remembered.
const MOST: usize = 12;

/// Kinds of names, by what tells them apart. The families of target groups are told by the names that templates give them.
const KINDS: &[(&str, &str)] = &[
    (":loadbalancer/app/", "lb"),
    (":loadbalancer/net/", "nlb"),
    (":listener/app/", "listener"),
    (":listener/net/", "tcp_listener"),
    (":listener-rule/", "rule"),
    (":targetgroup/http", "tg"),
    (":targetgroup/tcp", "tcp_tg"),
    (":targetgroup/udp", "udp_tg"),
    (":targetgroup/alb", "alb_tg"),
    (":targetgroup/quic", "quic_tg"),
    (":truststore/", "ts"),
    (":certificate/", "cert"),
    ("/acme-domain-validation/", "acme_domain"),
    ("/acme-external-account-binding/", "acme_binding"),
    (":acme-endpoint/", "acme"),
    (":regional/webacl/", "acl"),
    ("/hostedzone/", "zone"),
    ("/change/", "change"),
    ("vpc-cidr-assoc-", "vpc_block"),
    ("subnet-cidr-assoc-", "subnet_block"),
    (":ipam-", "other"),
    ("ipam-pool-", "pool"),
    ("ipam-scope-", "scope"),
];

/// Kinds of ARNs that tags can have.
const TAGGED: &[&str] = &["lb", "nlb", "listener", "rule", "tg", "tcp_tg", "ts", "cert", "acl", "acme", "acme_binding"];

/// Names by kind.
#[derive(Clone, Debug, Default)]
pub struct Known {
    names: BTreeMap<&'static str, Vec<String>>,
    /// Ids of the account's own network, which was there before.
    original: BTreeSet<String>,
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

static NAMES: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"arn:aws:[a-z0-9-]+:[a-z0-9-]*:[0-9]*:[^<"\s]+|/hostedzone/Z[0-9A-F]{19}|/change/C[0-9A-F]{20}|\b(?:vpc-cidr-assoc|subnet-cidr-assoc|ipam-pool|ipam-scope|ipam|sgr|sg|subnet|vpc|eni|rtb|igw|i|eipalloc|eipassoc|pl)-0[0-9a-f]{16}\b"#,
    )
});
/// A VPC's IPv6 block, without the digits that tell apart those of its subnets.
static BLOCK: LazyLock<Regex> = LazyLock::new(|| pattern(r"<ipv6CidrBlock>([0-9a-f:]+)00::/56<"));
static SCOPE: LazyLock<Regex> = LazyLock::new(|| pattern(r"<(public|private)DefaultScopeId>([^<]*)<"));
static CIDR: LazyLock<Regex> = LazyLock::new(|| pattern(r"<cidr>([^<]*)</cidr>"));
static MARKER: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?:NextMarker>|nextToken>|"NextMarker":"|"NextToken":"|"PaginationToken":")([^<"]+)"#));
static RULE: LazyLock<Regex> = LazyLock::new(|| pattern(r"<RuleArn>([^<]*)</RuleArn>|<Priority>([0-9]+)</Priority>"));
static LIST: LazyLock<Regex> = LazyLock::new(|| pattern(r"<prefixListId>([^<]*)</prefixListId>|<version>([0-9]+)</version>"));
static SECONDARY: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"<networkInterfaceId>([^<]*)</networkInterfaceId>|<privateIpAddress>([^<]*)</privateIpAddress>\s*<primary>false</primary>")
});
static OBJECT: LazyLock<Regex> = LazyLock::new(|| pattern(r"<Key>([^<&%]*)</Key>|<VersionId>([^<]*)</VersionId>"));

/// Pairs of what the first and the second group of a pattern find, wherever one stands before or behind the other.
fn pairs(pattern: &Regex, text: &str) -> Vec<(String, String)> {
    let (mut first, mut second, mut found) = (None, None, Vec::new());
    for captures in pattern.captures_iter(text) {
        if let Some(value) = captures.get(1) {
            first = Some(value.as_str().to_owned());
        }
        if let Some(value) = captures.get(2) {
            second = Some(value.as_str().to_owned());
        }
        if first.is_some() && second.is_some() {
            found.extend(first.take().zip(second.take()));
        }
    }
    found
}

impl Known {
    /// The account's own network.
    pub async fn network(api: &mut Api) -> Self {
        let state = api.admin("GET", "state", "").await;
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let of_role = |role: &str| -> Vec<String> {
            let subnets = state["subnets"].as_array().unwrap().iter().filter(|subnet| subnet["tags"].get(role).is_some());
            subnets.map(|subnet| text(subnet, "id")).collect()
        };
        let own = vec![text(&state["vpcs"][0], "id")];
        let kinds = ["vpcs", "subnets", "security_groups", "instances"];
        let original = kinds.iter().flat_map(|kind| state[kind].as_array().unwrap()).map(|one| text(one, "id")).collect();
        let names = BTreeMap::from([
            ("public", of_role("kubernetes.io/role/elb")),
            ("private", of_role("kubernetes.io/role/internal-elb")),
            ("own", own),
        ]);
        Self { names, original }
    }

    /// Takes up what an answer names.
    pub fn learn(&mut self, operation: &str, call: &str, reply: &Reply, random: &mut StdRng) {
        let answer = &reply.body;
        for found in NAMES.find_iter(answer).take(40) {
            let name = found.as_str();
            let kind = match name.rsplit_once('-') {
                Some((prefix, _)) if !name.contains([':', '/']) && !prefix.contains('-') => {
                    ["sgr", "sg", "subnet", "vpc", "eni", "rtb", "igw", "i", "eipalloc", "eipassoc", "pl", "ipam"]
                        .into_iter()
                        .find(|kind| *kind == prefix)
                }
                _ => KINDS.iter().find_map(|(part, kind)| name.contains(part).then_some(*kind)),
            };
            let name = name.trim_start_matches("/hostedzone/").trim_start_matches("/change/");
            self.add(kind.unwrap_or("other"), name.to_owned(), random);
        }
        for block in BLOCK.captures_iter(answer) {
            self.add("block", block[1].to_owned(), random);
        }
        for scope in SCOPE.captures_iter(answer) {
            let kind = if &scope[1] == "public" { "public_scope" } else { "private_scope" };
            self.add(kind, scope[2].to_owned(), random);
        }
        if let Some(marker) = MARKER.captures(answer) {
            self.add("marker", marker[1].to_owned(), random);
        }
        match operation {
            "DescribeRules" => {
                if let [(first, second), (third, fourth), ..] = pairs(&RULE, answer).as_slice() {
                    let row = |at: usize, rule: &str, priority: &str| {
                        format!("RulePriorities.member.{at}.RuleArn={rule}&RulePriorities.member.{at}.Priority={priority}")
                    };
                    self.add("swap", format!("{}&{}", row(1, first, fourth), row(2, third, second)), random);
                }
            }
            "DescribeManagedPrefixLists" => {
                for (list, version) in pairs(&LIST, answer) {
                    self.add("list_version", format!("PrefixListId={list}&CurrentVersion={version}"), random);
                }
            }
            "GetIpamPoolCidrs" => {
                let pool = call.split('&').find(|parameter| parameter.starts_with("IpamPoolId=")).unwrap_or_default();
                for cidr in CIDR.captures_iter(answer) {
                    self.add("pool_cidr", format!("{pool}&Cidr={}", &cidr[1]), random);
                }
            }
            "CreateNetworkInterface" | "DescribeNetworkInterfaces" => {
                for (interface, address) in pairs(&SECONDARY, answer) {
                    self.add("secondary", format!("NetworkInterfaceId={interface}&PrivateIpAddress.1={address}"), random);
                }
            }
            "ListObjectVersions" => {
                let bucket = call.split(['/', '?']).nth(1).unwrap_or_default();
                for (key, version) in pairs(&OBJECT, answer) {
                    self.add("object_version", format!("{bucket}/{key}?versionId={version}"), random);
                }
            }
            _ => {}
        }
        if let Ok(value) = serde_json::from_str::<Value>(answer) {
            self.learn_from_json(&value, random);
        }
    }

    fn learn_from_json(&mut self, value: &Value, random: &mut StdRng) {
        let text = |key: &str| value[key].as_str().map(str::to_owned);
        if let (Some(name), Some(id), Some(token)) = (text("Name"), text("Id"), text("LockToken")) {
            self.add("locked", format!(r#""Name": "{name}", "Id": "{id}", "LockToken": "{token}""#), random);
        }
        if let Some(id) = text("ProtectionId").or_else(|| text("ProtectionArn").and(text("Id"))) {
            self.add("protection", id, random);
        }
        if let (Some(name), Some("CNAME"), Some(to)) = (text("Name"), text("Type").as_deref(), text("Value")) {
            let set = format!("<Name>{name}</Name><Type>CNAME</Type><TTL>60</TTL><ResourceRecords><ResourceRecord><Value>{to}</Value>");
            self.add("proof", set + "</ResourceRecord></ResourceRecords>", random);
        }
        if let (Some(arn), Some("ISSUED"), Some("ENABLED")) =
            (text("CertificateArn"), text("Status").as_deref(), text("ExportOption").as_deref())
        {
            let exported = value["Exported"] == true && value["RenewalEligibility"] == "ELIGIBLE";
            self.add(if exported { "exported" } else { "exportable" }, arn, random);
        }
        let by_mail = value["DomainValidationOptions"][0]["ValidationEmails"].is_array();
        if let (Some(arn), true) = (text("CertificateArn"), by_mail && value["Status"] == "PENDING_VALIDATION") {
            self.add("mailed", arn, random);
        }
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.learn_from_json(item, random)),
            Value::Object(members) => members.values().for_each(|member| self.learn_from_json(member, random)),
            _ => {}
        }
    }

    fn add(&mut self, kind: &'static str, name: String, random: &mut StdRng) {
        let list = self.names.entry(kind).or_default();
        if list.contains(&name) {
            return;
        }
        // What was named long ago makes room: some of it is gone.
        if list.len() < MOST { list.push(name) } else { *list.choose_mut(random).unwrap() = name }
    }

    /// Forgets what a call named that is gone.
    pub fn forget(&mut self, call: &str) {
        for (kind, list) in &mut self.names {
            if !["public", "private", "own"].contains(kind) {
                list.retain(|name| !call.contains(name.as_str()));
            }
        }
    }

    /// Some name of this kind, or one that does not exist.
    pub fn some(&self, kind: &str, random: &mut StdRng) -> String {
        let kind = if kind == "arn" { *TAGGED.choose(random).unwrap() } else { kind };
        self.names.get(kind).and_then(|list| list.choose(random)).cloned().unwrap_or_else(|| format!("{kind}-0000"))
    }

    /// A name of any kind.
    pub fn any(&self, random: &mut StdRng) -> String {
        let kinds: Vec<&&str> = self.names.keys().collect();
        self.some(kinds.choose(random).unwrap(), random)
    }

    /// Whether a call would take away what nothing brings back: the account's own network, to which the end is compared.
    pub fn is_irreparable(&self, operation: &str, call: &str) -> bool {
        ["DeleteSubnet", "DeleteVpc", "DeleteSecurityGroup", "TerminateInstances"].contains(&operation)
            && self.original.iter().any(|id| call.contains(id.as_str()))
    }
}
