//! Random calls in random order.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use proptest::sample::select;
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};

use super::{FIXED, Fixture, text, times};
use crate::config::Times;
use crate::dataplane::config::{Changes, DataPlaneConfig, LoadBalancer, LoadBalancerId, TargetGroup, TargetGroupId};
use crate::projection;
use crate::service::Service;

/// Addresses of a pod, of nobody, and of the load balancers' own interfaces.
fn address(n: u8) -> String {
    ["198.19.0.7", "10.0.0.4", "10.0.0.99", "10.0.16.5"][usize::from(n)].to_string()
}

/// A call of the random test, as numbers that are turned into names of things that may or may not exist.
fn step() -> impl Strategy<Value = (u8, u8, u8)> {
    (0_u8..22, 0_u8..4, 0_u8..4)
}

/// Ten thousand calls, about; a hundred thousand in the full test (`PORTICO_TEST_FULL`).
fn cases() -> u32 {
    let calls = if std::env::var_os("PORTICO_TEST_FULL").is_some() { 100_000 } else { 10_000 };
    // A case makes 1 to 79 calls.
    calls / 40
}

/// Certificates with their keys, as ImportCertificate takes them.
static PAIRS: LazyLock<[String; 4]> = LazyLock::new(|| {
    let pair = |name: &str, rsa: bool| {
        let key = if rsa { KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048) } else { KeyPair::generate() }.unwrap();
        let mut params = CertificateParams::new(vec![name.to_string()]).unwrap();
        params.not_before = rcgen::date_time_ymd(1969, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        let [certificate, key] = [certificate.pem(), key.serialize_pem()].map(|pem| STANDARD.encode(pem));
        format!(r#""Certificate": "{certificate}", "PrivateKey": "{key}""#)
    };
    [pair("a.example", false), pair("b.example", false), pair("c.example", true), pair("default", false)]
});

/// Operations with all their ARN parameters and others, for calls that are mostly wrong.
const OPERATIONS: &[&str] = &[
    "CreateRule",
    "ModifyRule",
    "DeleteRule",
    "DescribeRules",
    "CreateListener",
    "ModifyListener",
    "DeleteListener",
    "DescribeListeners",
    "SetSecurityGroups",
    "SetIpAddressType",
    "ModifyTargetGroup",
    "DescribeTargetHealth",
    "AddTags",
    "RemoveTags",
    "DescribeTags",
    "ModifyLoadBalancerAttributes",
    "ModifyTargetGroupAttributes",
    "ModifyListenerAttributes",
    "AddListenerCertificates",
    "DescribeListenerCertificates",
    "DescribeTargetGroups",
    "DescribeLoadBalancers",
    "DescribeAccountLimits",
    "DescribeSSLPolicies",
];
const PARAMETERS: &[&str] = &[
    "LoadBalancerArn=B",
    "ListenerArn=L",
    "RuleArn=R",
    "TargetGroupArn=G",
    "Port=0",
    "Port=443",
    "Protocol=HTTPS",
    "Protocol=TCP",
    "Priority=0",
    "Priority=3",
    "ResourceArns.member.1=R",
    "ResourceArns.member.2=G",
    "Tags.member.1.Key=k",
    "Tags.member.1.Value=v",
    "TagKeys.member.1=k",
    "Attributes.member.1.Key=idle_timeout.timeout_seconds",
    "Attributes.member.1.Value=61",
    "Attributes.member.1.Key=stickiness.enabled",
    "Attributes.member.1.Value=true",
    "SecurityGroups.member.1=sg-0",
    "IpAddressType=dualstack",
    "Names.member.1=b0",
    "PageSize=1",
    "Conditions.member.1.Field=path-pattern",
    "Conditions.member.1.Values.member.1=/a*?",
    "Conditions.member.1.Field=host-header",
    "Actions.member.1.Type=forward",
    "Actions.member.1.TargetGroupArn=G",
    "DefaultActions.member.1.Type=forward",
    "DefaultActions.member.1.TargetGroupArn=G",
    "DefaultActions.member.1.Type=redirect",
    "Certificates.member.1.CertificateArn=C",
    "HealthCheckIntervalSeconds=7",
    "HealthCheckPath=%00",
    "Marker=zz",
    "ResetTransforms=maybe",
    "Unknown=1",
    "SslPolicy=x",
];

/// What is served, change by change.
#[derive(Debug, Default, PartialEq)]
struct Served {
    load_balancers: BTreeMap<LoadBalancerId, Arc<LoadBalancer>>,
    target_groups: BTreeMap<TargetGroupId, Arc<TargetGroup>>,
}

fn update<K: Ord, V>(map: &mut BTreeMap<K, V>, whole: bool, changes: Vec<(K, Option<V>)>) {
    if whole {
        map.clear();
    }
    for (key, value) in changes {
        match value {
            Some(value) => drop(map.insert(key, value)),
            None => drop(map.remove(&key)),
        }
    }
}

impl Served {
    fn of(config: DataPlaneConfig) -> Self {
        let mut served = Self::default();
        served.change(config.into());
        served
    }

    fn change(&mut self, changes: Changes) {
        update(&mut self.load_balancers, changes.whole, changes.load_balancers);
        update(&mut self.target_groups, changes.whole, changes.target_groups);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Whatever is called in whatever order: every call succeeds or fails cleanly, and the state holds together after each.
    #[test]
    fn the_state_holds_together(steps in proptest::collection::vec(step(), 1..80), wrong in proptest::collection::vec(select(PARAMETERS), 0..6)) {
        let mut fixture = Fixture::new(times(Times { network_interface_lag: Duration::from_secs(3), ..Times::default() }));
        let (mut balancers, mut listeners, mut rules, mut groups, mut certificates) = (vec![], vec![], vec![], vec![], vec![]);
        let mut projector = projection::Projector::default();
        let mut served = Served::default();
        let pick = |list: &[String], n: u8| list.get(usize::from(n) % list.len().max(1)).cloned().unwrap_or_else(|| "none".into());
        for (kind, a, b) in steps {
            let (balancer, listener) = (pick(&balancers, a), pick(&listeners, a));
            let (rule, group, certificate) = (pick(&rules, a), pick(&groups, b), pick(&certificates, b));
            match kind {
                0 => {
                    let subnets = fixture.subnets("ab");
                    let call = format!("Name=b{a}&Subnets.member.1={}&Subnets.member.2={}", subnets[0], subnets[1]);
                    balancers.extend(fixture.elb("CreateLoadBalancer", &call).ok().map(|answer| text(&answer, &["LoadBalancers", "LoadBalancerArn"])));
                }
                1 if balancer != "none" => {
                    let port = 80 + u16::from(b);
                    let call = format!("LoadBalancerArn={balancer}&Protocol=HTTP&Port={port}&{FIXED}");
                    listeners.extend(fixture.elb("CreateListener", &call).ok().map(|answer| text(&answer, &["Listeners", "ListenerArn"])));
                }
                2 => groups.push(fixture.target_group(&format!("g{a}"))),
                3 | 4 => rules.extend(fixture.forward(&listener, u32::from(b) + 1, &group).ok()),
                5 => drop(fixture.elb("DeleteRule", &format!("RuleArn={rule}"))),
                6 => drop(fixture.elb("DeleteListener", &format!("ListenerArn={listener}"))),
                7 => drop(fixture.elb("DeleteTargetGroup", &format!("TargetGroupArn={group}"))),
                8 => drop(fixture.elb("DeleteLoadBalancer", &format!("LoadBalancerArn={balancer}"))),
                9 => drop(fixture.elb("RegisterTargets", &format!("TargetGroupArn={group}&Targets.member.1.Id={}", address(a)))),
                10 => drop(fixture.elb("DeregisterTargets", &format!("TargetGroupArn={group}&Targets.member.1.Id={}", address(a)))),
                11 => {
                    let subnets = fixture.subnets(["ab", "bc", "ac", "abc"][usize::from(b)]);
                    let subnets: Vec<String> = subnets.iter().enumerate().map(|(n, id)| format!("Subnets.member.{}={id}", n + 1)).collect();
                    drop(fixture.elb("SetSubnets", &format!("LoadBalancerArn={balancer}&{}", subnets.join("&"))));
                }
                12 => {
                    let other = pick(&rules, b);
                    let call = format!(
                        "RulePriorities.member.1.RuleArn={rule}&RulePriorities.member.1.Priority={}\
                         &RulePriorities.member.2.RuleArn={other}&RulePriorities.member.2.Priority={}", b + 1, a + 1
                    );
                    drop(fixture.elb("SetRulePriorities", &call));
                }
                13 => {
                    let (nodes, port) = (fixture.group("nodes"), 8080 + u16::from(b));
                    let own = fixture.group("default");
                    let call = format!(
                        "GroupId={nodes}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort={port}\
                         &IpPermissions.1.ToPort={port}&IpPermissions.1.Groups.1.GroupId={own}"
                    );
                    let operation = if a < 3 { "AuthorizeSecurityGroupIngress" } else { "RevokeSecurityGroupIngress" };
                    drop(fixture.call(Service::Ec2, operation, &call));
                }
                14 => {
                    let again = if b == 0 { format!(r#", "CertificateArn": "{certificate}""#) } else { String::new() };
                    let imported = fixture.acm("ImportCertificate", &format!("{{{}{again}}}", PAIRS[usize::from(a)]));
                    certificates.extend(imported.ok().map(|answer| text(&answer, &["CertificateArn"])));
                }
                15 => drop(fixture.acm("DeleteCertificate", &format!(r#"{{"CertificateArn": "{certificate}"}}"#))),
                16 if balancer != "none" => {
                    let call = format!(
                        "LoadBalancerArn={balancer}&Protocol=HTTPS&Port={}&Certificates.member.1.CertificateArn={certificate}&{FIXED}",
                        443 + u16::from(b)
                    );
                    listeners.extend(fixture.elb("CreateListener", &call).ok().map(|answer| text(&answer, &["Listeners", "ListenerArn"])));
                }
                17 => {
                    let operation = if a < 3 { "AddListenerCertificates" } else { "RemoveListenerCertificates" };
                    drop(fixture.elb(operation, &format!("ListenerArn={listener}&Certificates.member.1.CertificateArn={certificate}")));
                }
                18 => {
                    let protocol = ["HTTP", "HTTPS"][usize::from(a % 2)];
                    let more = if a > 1 { format!("&Certificates.member.1.CertificateArn={certificate}") } else { String::new() };
                    drop(fixture.elb("ModifyListener", &format!("ListenerArn={listener}&Protocol={protocol}&Port={}{more}", 80 + u16::from(b))));
                }
                19 | 20 => {
                    let operation = OPERATIONS[(usize::from(a) * 7 + usize::from(b) * 5 + wrong.len()) % OPERATIONS.len()];
                    let name = |parameter: &&str| {
                        let (key, value) = parameter.split_once('=').unwrap();
                        let value = match value {
                            "B" => &balancer,
                            "L" => &listener,
                            "R" => &rule,
                            "G" => &group,
                            "C" => &certificate,
                            other => other,
                        };
                        format!("{key}={value}")
                    };
                    drop(fixture.elb(operation, &wrong.iter().map(name).collect::<Vec<_>>().join("&")));
                }
                _ => fixture.wait(Duration::from_secs(a.into())),
            }
            // What is projected step by step is what is projected at once.
            served.change(projector.changes(&mut fixture.state));
            prop_assert_eq!(&served, &Served::of(projection::project(&fixture.state)));
        }
    }
}
