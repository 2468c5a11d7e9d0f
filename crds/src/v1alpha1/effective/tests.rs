//! Tests of merging profiles.

use serde_json::json;

use super::*;
use crate::v1alpha1::aws::Scheme;

fn spec(value: Value) -> LoadBalancerProfileSpec {
    serde_json::from_value(value).unwrap()
}

fn aws(class: Value, gateway: Value) -> Result<AwsSettings, MergeError> {
    merge(&spec(class), Some(&spec(gateway))).map(|profile| match profile {
        EffectiveProfile::Aws(settings) => settings,
        EffectiveProfile::Envoy(_) => panic!("an Envoy fleet"),
    })
}

#[test]
fn no_profile_is_the_default() {
    assert_eq!(merge(&LoadBalancerProfileSpec::default(), None), Ok(EffectiveProfile::default()));
    assert_eq!(merge(&spec(json!({ "aws": {} })), None), Ok(EffectiveProfile::default()));
    assert!(merge(&spec(json!({})), None).is_err_and(|error| error.blames_class()));
}

#[test]
fn a_gateway_overrides_what_the_class_lists_and_nothing_else() {
    let class = json!({
        "overridable": ["scheme", "tags", "attributes", "targetGroup"],
        "aws": {
            "subnets": { "discover": { "tags": { "tier": "edge" } } },
            "tags": { "team": "platform", "cost": "1" },
            "attributes": { "idleTimeoutSeconds": 30, "http2": false },
            "targetGroup": { "healthCheck": { "path": "/healthz", "intervalSeconds": 10 } },
        },
    });
    let settings = aws(
        class.clone(),
        json!({ "aws": {
            "scheme": "internal",
            "tags": { "cost": "2", "app": "web" },
            "attributes": { "idleTimeoutSeconds": 90 },
            "targetGroup": { "healthCheck": { "intervalSeconds": 20 } },
        } }),
    )
    .unwrap();
    assert_eq!(settings.scheme, Scheme::Internal);
    assert_eq!(serde_json::to_value(&settings.tags).unwrap(), json!({ "team": "platform", "cost": "2", "app": "web" }));
    assert_eq!((settings.attributes.idle_timeout_seconds, settings.attributes.http2), (90, false));
    assert_eq!((settings.target_group.health_check.path.as_str(), settings.target_group.health_check.interval_seconds), ("/healthz", 20));
    assert_eq!(settings.subnets, SubnetSource::Tags([("tier".to_owned(), "edge".to_owned())].into()));

    let refused = aws(class.clone(), json!({ "aws": { "subnets": { "ids": ["subnet-0123456789abcdef0"] } } }));
    assert_eq!(refused, Err(MergeError::NotOverridable { field: "spec.aws.subnets".into() }));
    let refused = aws(class.clone(), json!({ "aws": { "region": "eu-central-1" } }));
    assert_eq!(refused, Err(MergeError::NotOverridable { field: "spec.aws.region".into() }));
    let repeated = aws(class.clone(), json!({ "aws": { "subnets": { "discover": { "tags": { "tier": "edge" } } } } }));
    assert!(repeated.is_ok(), "{repeated:?}");
    let own = aws(class, json!({ "overridable": ["scheme"], "aws": {} }));
    assert!(own.is_err_and(|error| !error.blames_class()));
}

#[test]
fn the_security_policy_is_the_classs_unless_a_gateway_may_choose() {
    let policy = |name: &str| json!({ "aws": { "tls": { "sslPolicy": name } } });
    let mut class = policy("ELBSecurityPolicy-TLS13-1-2-2021-06");
    let refused = aws(class.clone(), policy("ELBSecurityPolicy-2016-08"));
    assert_eq!(refused, Err(MergeError::NotOverridable { field: "spec.aws.tls".into() }));
    class["overridable"] = json!(["tls"]);
    let settings = aws(class.clone(), policy("ELBSecurityPolicy-2016-08")).unwrap();
    assert_eq!(settings.ssl_policy.as_deref(), Some("ELBSecurityPolicy-2016-08"));
    let settings = aws(class, json!({ "aws": {} })).unwrap();
    assert_eq!(settings.ssl_policy.as_deref(), Some("ELBSecurityPolicy-TLS13-1-2-2021-06"));
}

#[test]
fn without_a_list_attributes_and_tags_cannot_be_touched_either() {
    for gateway in [json!({ "attributes": { "http2": true } }), json!({ "tags": { "a": "b" } }), json!({ "loadBalancer": "application" })] {
        let merged = aws(json!({ "aws": { "attributes": { "http2": false } } }), json!({ "aws": gateway }));
        assert!(matches!(merged, Err(MergeError::NotOverridable { .. })), "{merged:?}");
    }
}

#[test]
fn contradictions_are_named() {
    let subnets = json!({ "aws": { "subnets": { "ids": ["subnet-01234567"], "discover": { "tags": { "a": "b" } } } } });
    assert!(merge(&spec(subnets), None).is_err_and(|error| error.to_string().contains("spec.aws.subnets")));
    let class = json!({ "overridable": ["targetGroup"], "aws": {} });
    let slow = json!({ "aws": { "targetGroup": { "healthCheck": { "timeoutSeconds": 15 } } } });
    assert!(aws(class, slow).is_err_and(|error| !error.blames_class() && error.to_string().contains("timeoutSeconds (15)")));
}

#[test]
fn a_profile_is_for_one_branch_and_a_gateway_keeps_to_its_classs() {
    let class = json!({ "overridable": ["accessLog", "drainSeconds"], "envoy": { "drainSeconds": 60, "fleet": "edge", "addresses": ["198.51.100.0/24"] } });
    let gateway = |value| merge(&spec(class.clone()), Some(&spec(value)));
    let Ok(EffectiveProfile::Envoy(settings)) = gateway(json!({ "envoy": { "accessLog": { "path": "/dev/stdout" }, "drainSeconds": 30 } }))
    else {
        panic!("no Envoy fleet")
    };
    assert_eq!((settings.fleet.as_str(), settings.access_log.map(|log| log.path).as_deref()), ("edge", Some("/dev/stdout")));
    assert_eq!(settings.drain_seconds, 30);
    assert!(settings.addresses[0].contains("198.51.100.9".parse().unwrap()));
    assert_eq!(gateway(json!({ "envoy": { "fleet": "mine" } })), Err(MergeError::NotOverridable { field: "spec.envoy.fleet".into() }));
    assert!(gateway(json!({ "aws": {} })).is_err_and(|error| !error.blames_class() && error.to_string().contains("spec.envoy")));
    assert!(merge(&spec(json!({ "aws": {}, "envoy": {} })), None).is_err_and(|error| error.blames_class()));
    let wrong = merge(&spec(json!({ "envoy": { "addresses": ["198.51.100.1", "everywhere"] } })), None);
    assert!(wrong.is_err_and(|error| error.blames_class() && error.to_string().contains("spec.envoy.addresses[1]")));
}
