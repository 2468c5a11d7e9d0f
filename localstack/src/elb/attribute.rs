//! Attributes of load balancers, listeners and target groups: keys, defaults, values.

use std::collections::BTreeMap;

use super::kind::LoadBalancerKind;
use super::listener::Listener;
use super::load_balancer::LoadBalancer;
use super::target_group::TargetGroup;
use super::{network_attribute, protocol, target_attribute};
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::wire::{Input, Record};

/// What values an attribute takes.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// `true` or `false`.
    Flag,
    /// A whole number within bounds.
    Number(u32, u32),
    /// 0 or a whole number within bounds.
    ZeroOr(u32, u32),
    /// `off` or a whole number within bounds.
    OffOr(u32, u32),
    /// One of these.
    OneOf(&'static [&'static str]),
    /// Any text up to so many characters.
    Text(usize),
    /// The name of an HTTP header: AWS takes up to 40 characters.
    HeaderName,
}

impl Values {
    fn accepts(self, value: &str) -> bool {
        let within = |low: u32, high: u32| value.parse::<u32>().is_ok_and(|number| (low..=high).contains(&number));
        match self {
            Self::Flag => ["true", "false"].contains(&value),
            Self::Number(low, high) => within(low, high),
            Self::ZeroOr(low, high) => value == "0" || within(low, high),
            Self::OffOr(low, high) => value == "off" || within(low, high),
            Self::OneOf(allowed) => allowed.contains(&value),
            Self::HeaderName => {
                (1..=40).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            }
            Self::Text(limit) => value.chars().count() <= limit && value.chars().all(|c| !c.is_control()),
        }
    }

    fn words(self) -> String {
        match self {
            Self::Flag => "'true' or 'false'".into(),
            Self::Number(low, high) => format!("between '{low}' and '{high}' inclusive"),
            Self::ZeroOr(low, high) => format!("'0', or between '{low}' and '{high}' inclusive"),
            Self::OffOr(low, high) => format!("'off', or between '{low}' and '{high}' inclusive"),
            Self::OneOf(allowed) => format!("one of '{}'", allowed.join("', '")),
            Self::HeaderName => "a header name of at most '40' letters, digits, hyphens and underscores".into(),
            Self::Text(limit) => format!("at most '{limit}' characters"),
        }
    }
}

/// Key, default and values of an attribute.
pub type Attribute = (&'static str, &'static str, Values);

/// Attributes of application load balancers (aws-elbv2 "Load balancer attributes").
pub const LOAD_BALANCER: &[Attribute] = &[
    ("access_logs.s3.bucket", "", Values::Text(255)),
    ("access_logs.s3.enabled", "false", Values::Flag),
    ("access_logs.s3.prefix", "", Values::Text(512)),
    ("client_keep_alive.seconds", "3600", Values::Number(60, 604_800)),
    ("connection_logs.s3.bucket", "", Values::Text(255)),
    ("connection_logs.s3.enabled", "false", Values::Flag),
    ("connection_logs.s3.prefix", "", Values::Text(512)),
    ("deletion_protection.enabled", "false", Values::Flag),
    ("health_check_logs.s3.bucket", "", Values::Text(255)),
    ("health_check_logs.s3.enabled", "false", Values::Flag),
    ("health_check_logs.s3.prefix", "", Values::Text(512)),
    ("idle_timeout.timeout_seconds", "60", Values::Number(1, 4000)),
    ("ipv6.deny_all_igw_traffic", "false", Values::Flag),
    ("load_balancing.cross_zone.enabled", "true", Values::OneOf(&["true"])),
    ("routing.http.desync_mitigation_mode", "defensive", Values::OneOf(&["monitor", "defensive", "strictest"])),
    ("routing.http.drop_invalid_header_fields.enabled", "false", Values::Flag),
    ("routing.http.preserve_host_header.enabled", "false", Values::Flag),
    ("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "false", Values::Flag),
    ("routing.http.xff_client_port.enabled", "false", Values::Flag),
    ("routing.http.xff_header_processing.mode", "append", Values::OneOf(&["append", "preserve", "remove"])),
    ("routing.http2.enabled", "true", Values::Flag),
    ("waf.fail_open.enabled", "false", Values::Flag),
    ("zonal_shift.config.enabled", "false", Values::Flag),
];

/// Attributes that only HTTPS listeners have: the names of headers that tell targets about TLS.
pub const TLS_LISTENER: &[Attribute] = &[
    ("routing.http.request.x_amzn_mtls_clientcert.header_name", "X-Amzn-Mtls-Clientcert", Values::HeaderName),
    ("routing.http.request.x_amzn_mtls_clientcert_issuer.header_name", "X-Amzn-Mtls-Clientcert-Issuer", Values::HeaderName),
    ("routing.http.request.x_amzn_mtls_clientcert_leaf.header_name", "X-Amzn-Mtls-Clientcert-Leaf", Values::HeaderName),
    ("routing.http.request.x_amzn_mtls_clientcert_serial_number.header_name", "X-Amzn-Mtls-Clientcert-Serial-Number", Values::HeaderName),
    ("routing.http.request.x_amzn_mtls_clientcert_subject.header_name", "X-Amzn-Mtls-Clientcert-Subject", Values::HeaderName),
    ("routing.http.request.x_amzn_mtls_clientcert_validity.header_name", "X-Amzn-Mtls-Clientcert-Validity", Values::HeaderName),
    ("routing.http.request.x_amzn_tls_cipher_suite.header_name", "X-Amzn-Tls-Cipher-Suite", Values::HeaderName),
    ("routing.http.request.x_amzn_tls_version.header_name", "X-Amzn-Tls-Version", Values::HeaderName),
];

/// Attributes of listeners of any protocol.
pub const LISTENER: &[Attribute] = &[
    ("routing.http.response.access_control_allow_credentials.header_value", "", Values::OneOf(&["", "true"])),
    ("routing.http.response.access_control_allow_headers.header_value", "", Values::Text(1024)),
    ("routing.http.response.access_control_allow_methods.header_value", "", Values::Text(1024)),
    ("routing.http.response.access_control_allow_origin.header_value", "", Values::Text(1024)),
    ("routing.http.response.access_control_expose_headers.header_value", "", Values::Text(1024)),
    ("routing.http.response.access_control_max_age.header_value", "", Values::Text(10)),
    ("routing.http.response.content_security_policy.header_value", "", Values::Text(1024)),
    ("routing.http.response.server.enabled", "true", Values::Flag),
    ("routing.http.response.strict_transport_security.header_value", "", Values::Text(1024)),
    ("routing.http.response.x_content_type_options.header_value", "", Values::OneOf(&["", "nosniff"])),
    ("routing.http.response.x_frame_options.header_value", "", Values::Text(1024)),
];

/// Attributes of target groups behind application load balancers.
pub const TARGET_GROUP: &[Attribute] = &[
    ("deregistration_delay.timeout_seconds", "300", Values::Number(0, 3600)),
    ("load_balancing.algorithm.anomaly_mitigation", "off", Values::OneOf(&["on", "off"])),
    ("load_balancing.algorithm.type", "round_robin", Values::OneOf(&["round_robin", "least_outstanding_requests", "weighted_random"])),
    (
        "load_balancing.cross_zone.enabled",
        "use_load_balancer_configuration",
        Values::OneOf(&["true", "false", "use_load_balancer_configuration"]),
    ),
    ("slow_start.duration_seconds", "0", Values::ZeroOr(30, 900)),
    ("stickiness.app_cookie.cookie_name", "", Values::Text(255)),
    ("stickiness.app_cookie.duration_seconds", "86400", Values::Number(1, 604_800)),
    ("stickiness.enabled", "false", Values::Flag),
    ("stickiness.lb_cookie.duration_seconds", "86400", Values::Number(1, 604_800)),
    ("stickiness.type", "lb_cookie", Values::OneOf(&["lb_cookie", "app_cookie"])),
    ("target_group_health.dns_failover.minimum_healthy_targets.count", "1", Values::OffOr(1, 1000)),
    ("target_group_health.dns_failover.minimum_healthy_targets.percentage", "off", Values::OffOr(1, 100)),
    ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count", "1", Values::Number(1, 1000)),
    ("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage", "off", Values::OffOr(1, 100)),
];

/// The value that is set, or the default.
pub fn value(table: &[Attribute], set: &BTreeMap<String, String>, key: &str) -> String {
    let default = || table.iter().find(|(name, _, _)| *name == key).map(|(_, default, _)| (*default).to_string());
    set.get(key).cloned().or_else(default).unwrap_or_default()
}

fn record(table: &[Attribute], set: &BTreeMap<String, String>) -> Record {
    let all = table.iter().map(|(key, _, _)| Record::new().with("Key", *key).with("Value", value(table, set, key)));
    Record::new().list("Attributes", all)
}

/// Reads and checks `Attributes` against a table.
fn read(input: &Input, what: &str, table: &[Attribute]) -> Answer<BTreeMap<String, String>> {
    let mut changes = BTreeMap::new();
    let items = input.items("Attributes");
    if items.is_empty() {
        return Err(ApiError::validation(format!("You must specify at least one {what} attribute")));
    }
    // AWS: at most 20 attributes per call.
    if items.len() > 20 {
        return Err(ApiError::validation("You cannot specify more than '20' attributes at a time"));
    }
    for item in items {
        let key = item.text("Key").unwrap_or_default();
        let value = item.text("Value").unwrap_or_default();
        let known = table.iter().find(|(name, _, _)| *name == key);
        let (_, _, values) = known.ok_or_else(|| {
            let mut letters = what.chars();
            let what: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
            ApiError::validation(format!("{what} attribute key '{key}' is not recognized"))
        })?;
        if !values.accepts(value) {
            return Err(ApiError::validation(format!("The value '{value}' of the attribute '{key}' must be {}", values.words())));
        }
        if changes.insert(key.to_string(), value.to_string()).is_some() {
            return Err(ApiError::validation(format!("Attribute key '{key}' was provided multiple times")));
        }
    }
    input.done()?;
    Ok(changes)
}

/// DescribeLoadBalancerAttributes.
pub fn describe_load_balancer(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("LoadBalancerArn")?;
    input.done()?;
    let table = load_balancer_table(state.elb.load_balancer(arn)?);
    Ok(record(table, &load_balancer_attributes(state, arn)?))
}

/// The attributes that a load balancer can have.
pub fn load_balancer_table(balancer: &LoadBalancer) -> &'static [Attribute] {
    match balancer.kind {
        LoadBalancerKind::Application => LOAD_BALANCER,
        LoadBalancerKind::Network => network_attribute::LOAD_BALANCER,
    }
}

/// An error if a call names an attribute that only the other type of load balancer has.
fn check_known_elsewhere(input: &Input, what: &str, table: &[Attribute], others: &[&[Attribute]], kind: LoadBalancerKind) -> Answer<()> {
    let has = |table: &[Attribute], key: &str| table.iter().any(|(name, _, _)| *name == key);
    let items = input.items("Attributes");
    let foreign = |key: &&str| !has(table, key) && others.iter().any(|other| has(other, key));
    match items.iter().filter_map(|item| item.text("Key")).find(foreign) {
        None => Ok(()),
        Some(key) => Err(ApiError::new(
            "InvalidConfigurationRequest",
            format!("{what} attribute key '{key}' is not supported on load balancers with type '{}'", kind.word()),
        )),
    }
}

/// What is set, with the one default that depends on the scheme.
fn load_balancer_attributes(state: &State, arn: &str) -> Answer<BTreeMap<String, String>> {
    let balancer = state.elb.load_balancer(arn)?;
    let mut set = balancer.attributes.clone();
    if balancer.scheme == "internal" {
        set.entry("ipv6.deny_all_igw_traffic".into()).or_insert_with(|| "true".into());
    }
    Ok(set)
}

/// ModifyLoadBalancerAttributes.
pub fn modify_load_balancer(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("LoadBalancerArn")?.to_string();
    let balancer = state.elb.load_balancer(&arn)?;
    let table = load_balancer_table(balancer);
    check_known_elsewhere(input, "Load balancer", table, &[LOAD_BALANCER, network_attribute::LOAD_BALANCER], balancer.kind)?;
    let changes = read(input, "load balancer", table)?;
    let secondary = |set: &BTreeMap<String, String>| value(table, set, "secondary_ips.auto_assigned.per_subnet").parse::<u8>().unwrap_or(0);
    let before = balancer.attributes.clone();
    let mut merged = before.clone();
    merged.extend(changes);
    if secondary(&merged) < secondary(&before) {
        return Err(ApiError::new(
            "InvalidConfigurationRequest",
            "The value of 'secondary_ips.auto_assigned.per_subnet' cannot be decreased",
        ));
    }
    state.open_logs(&before, &merged)?;
    state.elb.load_balancer_mut(&arn)?.attributes = merged;
    // Cross-zone load balancing is an attribute of the load balancer that decides how its target groups are served.
    state.elb.placed_anew(&arn);
    Ok(record(table, &load_balancer_attributes(state, &arn)?))
}

/// The attributes that a listener can have.
fn listener_table(listener: &Listener) -> Vec<Attribute> {
    match listener.protocol.as_str() {
        "TCP" | "TCP_UDP" | "TCP_QUIC" => return network_attribute::TCP_LISTENER.to_vec(),
        network if protocol::is_network(network) => return Vec::new(),
        _ => {}
    }
    let tls: &[Attribute] = if listener.tls.is_some() { TLS_LISTENER } else { &[] };
    tls.iter().chain(LISTENER).copied().collect()
}

/// DescribeListenerAttributes.
pub fn describe_listener(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("ListenerArn")?;
    input.done()?;
    let (_, listener) = state.elb.listener(arn)?;
    Ok(record(&listener_table(listener), &listener.attributes))
}

/// ModifyListenerAttributes.
pub fn modify_listener(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("ListenerArn")?.to_string();
    let (balancer, listener) = state.elb.listener(&arn)?;
    let table = listener_table(listener);
    let known: [&[Attribute]; 3] = [TLS_LISTENER, LISTENER, network_attribute::TCP_LISTENER];
    if balancer.kind == LoadBalancerKind::Network
        || input.items("Attributes").iter().any(|item| item.text("Key") == Some("tcp.idle_timeout.seconds"))
    {
        check_known_elsewhere(input, "Listener", &table, &known, balancer.kind)?;
    }
    let keys = input.items("Attributes");
    let unfit = keys
        .iter()
        .filter_map(|item| item.text("Key"))
        .find(|key| TLS_LISTENER.iter().any(|(name, _, _)| name == key) && !table.iter().any(|(name, _, _)| name == key));
    if let Some(tls) = unfit {
        return Err(ApiError::new("InvalidConfigurationRequest", format!("The attribute '{tls}' is supported only on HTTPS listeners")));
    }
    let changes = read(input, "listener", &table)?;
    let listener = state.elb.listener_mut(&arn)?;
    listener.attributes.extend(changes);
    Ok(record(&table, &listener.attributes))
}

/// The attributes that a target group can have.
pub fn target_group_table(group: &TargetGroup) -> Vec<Attribute> {
    if protocol::is_network(&group.protocol) {
        network_attribute::target_group(&group.protocol, &group.target_type)
    } else {
        TARGET_GROUP.to_vec()
    }
}

/// DescribeTargetGroupAttributes.
pub fn describe_target_group(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("TargetGroupArn")?;
    input.done()?;
    let group = state.elb.target_group(arn)?;
    Ok(record(&target_group_table(group), &group.attributes))
}

/// ModifyTargetGroupAttributes.
pub fn modify_target_group(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("TargetGroupArn")?.to_string();
    let group = state.elb.target_group(&arn)?;
    let table = target_group_table(group);
    let network = protocol::is_network(&group.protocol);
    let all = network_attribute::target_group("TCP", "ip");
    let keys = input.items("Attributes");
    let foreign = |key: &&str| {
        let has = |table: &[Attribute]| table.iter().any(|(name, _, _)| name == key);
        !has(&table) && (has(TARGET_GROUP) || has(&all))
    };
    if keys.iter().filter_map(|item| item.text("Key")).any(|key| foreign(&key)) {
        return Err(ApiError::new("InvalidConfigurationRequest", "The provided target group attribute is not supported"));
    }
    let changes = read(input, "target group", &table)?;
    if group.target_type == "alb" {
        return Err(ApiError::new(
            "InvalidConfigurationRequest",
            "The attributes of target groups with target type 'alb' cannot be modified",
        ));
    }
    let mut merged = group.attributes.clone();
    merged.extend(changes);
    if network {
        network_attribute::check(&table, &group.protocol, &merged)?;
    } else {
        target_attribute::check(&merged)?;
    }
    let group = state.elb.target_group_mut(&arn)?;
    group.attributes = merged;
    Ok(record(&table, &group.attributes))
}
