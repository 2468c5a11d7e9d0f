//! Listeners.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::action::{self, Action};
use super::certificate::{ListenerTls, TlsParameters};
use super::dualstack;
use super::kind::LoadBalancerKind;
use super::load_balancer::LoadBalancer;
use super::rule::Rule;
use super::target_group::TargetGroup;
use super::{Event, arn, protocol as protocols, tagging, validation};
use crate::clock;
use crate::error::{Answer, ApiError};
use crate::page;
use crate::state::State;
use crate::tag::Tags;
use crate::wire::{Input, Record};

/// A listener of a load balancer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Listener {
    /// Its ARN.
    pub arn: String,
    /// `HTTP` or `HTTPS`; of a network load balancer `TCP`, `UDP`, `TLS`, `TCP_UDP`, `QUIC` or `TCP_QUIC`.
    pub protocol: String,
    /// Certificates and security policy of an HTTPS or TLS listener.
    pub tls: Option<ListenerTls>,
    /// Its port, unique in its load balancer.
    pub port: u16,
    /// What happens to requests that no rule matches.
    pub default_actions: Vec<Action>,
    /// The ARN of the default rule.
    pub default_rule: String,
    /// The tags of the default rule.
    pub default_rule_tags: Tags,
    /// Its rules by ARN, the default one excluded.
    pub rules: BTreeMap<String, Rule>,
    /// Attributes that were set.
    pub attributes: BTreeMap<String, String>,
    /// Its tags.
    pub tags: Tags,
}

impl Listener {
    fn record(&self) -> Record {
        let record = Record::new()
            .with("ListenerArn", &self.arn)
            .with("LoadBalancerArn", arn::load_balancer_of(&self.arn))
            .with("Port", self.port)
            .with("Protocol", &self.protocol);
        let record = match &self.tls {
            None => record,
            Some(tls) => {
                let record = record
                    .list("Certificates", [Record::new().with("CertificateArn", &tls.default_certificate)])
                    .with("SslPolicy", &tls.policy);
                let mutual = (self.protocol == "HTTPS").then(|| tls.mutual.record());
                let record = record.maybe("MutualAuthentication", mutual);
                match &tls.alpn {
                    Some(alpn) => record.list("AlpnPolicy", [alpn]),
                    None => record,
                }
            }
        };
        record.list("DefaultActions", action::records(&self.default_actions))
    }
}

fn read_port(input: &Input) -> Answer<Option<u16>> {
    let Some(port) = input.parse::<i64>("Port")? else { return Ok(None) };
    validation::within(port, "port", 1, 65535)?;
    Ok(u16::try_from(port).ok())
}

fn duplicate(balancer: &LoadBalancer) -> ApiError {
    ApiError::new("DuplicateListener", format!("A listener already exists on this port for this load balancer '{}'", balancer.arn))
}

/// CreateListener. With the settings of an existing one it answers with that one.
pub fn create(state: &mut State, input: &Input) -> Answer<Record> {
    let balancer_arn = input.required("LoadBalancerArn")?.to_string();
    let protocol = input.text("Protocol").unwrap_or_default().to_string();
    let port = read_port(input)?;
    let tags = tagging::read(input)?;
    if protocol.is_empty() || port.is_none() {
        let what = if protocol.is_empty() { "protocol" } else { "port" };
        return Err(ApiError::validation(format!("A listener {what} must be specified")));
    }
    let port = port.unwrap_or_default();
    let balancer = state.elb.load_balancer(&balancer_arn)?;
    protocols::check_listener(balancer.kind, &protocol)?;
    let tls = TlsParameters::read(input, &protocol)?;
    let actions = action::read(input, "DefaultActions", (&protocol, port), &state.config.quotas)?;
    let mut actions = actions.ok_or_else(|| ApiError::validation("A listener must have at least one default action"))?;
    action::settle_secrets(&mut actions, &[])?;
    input.done()?;
    let tls = tls.apply(state, &protocol, None)?;
    if let Some(existing) = balancer.listeners.values().find(|other| other.port == port) {
        let same_tls = match (&existing.tls, &tls) {
            (Some(existing), Some(wanted)) => {
                existing.policy == wanted.policy
                    && existing.default_certificate == wanted.default_certificate
                    && existing.mutual == wanted.mutual
                    && existing.alpn == wanted.alpn
            }
            (existing, wanted) => existing.is_none() && wanted.is_none(),
        };
        if existing.protocol == protocol && same_tls && existing.default_actions == actions && existing.tags == tags {
            return Ok(Record::new().list("Listeners", [existing.record()]));
        }
        return Err(duplicate(balancer));
    }
    let limit = match balancer.kind {
        LoadBalancerKind::Application => state.config.quotas.listeners_per_load_balancer,
        LoadBalancerKind::Network => state.config.quotas.listeners_per_network_load_balancer,
    };
    if balancer.listeners.len() >= limit {
        return Err(ApiError::new(
            "TooManyListeners",
            format!("The maximum number of listeners per load balancer has been reached: [{limit}]"),
        ));
    }
    check_neighbours(balancer, &protocol, None)?;
    if let Some(tls) = &tls {
        tls.mutual.check(state, balancer, None)?;
    }
    state.check_actions(&balancer_arn, &protocol, &actions, &[])?;
    let arn = arn::child(&balancer_arn, arn::Kind::Listener, &state.ids.hex(16));
    let listener = Listener {
        default_rule: arn::child(&arn, arn::Kind::Rule, &state.ids.hex(16)),
        arn: arn.clone(),
        protocol,
        tls,
        port,
        default_actions: actions,
        default_rule_tags: Tags::new(),
        rules: BTreeMap::new(),
        attributes: BTreeMap::new(),
        tags,
    };
    let record = listener.record();
    let found_at = clock::after(state.now, state.config.times.listener_lag);
    if found_at > state.now {
        state.elb.unfound.insert(arn.clone());
        state.elb.events.insert((found_at, Event::Found(arn.clone())));
    }
    state.elb.load_balancer_mut(&balancer_arn)?.listeners.insert(arn, listener);
    state.reindex(&balancer_arn);
    Ok(Record::new().list("Listeners", [record]))
}

/// What a network load balancer's listeners must leave to one another (network user guide, "Create a listener"): QUIC tolerates no other QUIC,
/// no UDP and no security groups; and capacity can be reserved only without TLS listeners.
fn check_neighbours(balancer: &LoadBalancer, protocol: &str, replaced: Option<&str>) -> Answer<()> {
    dualstack::check_listener(balancer, protocol)?;
    let fault = |message: &str| Err(ApiError::new("InvalidConfigurationRequest", message));
    let others = || balancer.listeners.values().filter(|other| replaced != Some(other.arn.as_str()));
    if protocols::is_quic(protocol) {
        if !balancer.security_groups.is_empty() {
            return fault("QUIC and TCP_QUIC listeners are not allowed on load balancers with associated security groups");
        }
        if others().any(|other| protocols::is_quic(&other.protocol)) {
            return fault("Only one QUIC or TCP_QUIC listener is allowed on a load balancer");
        }
        if others().any(|other| protocols::has_datagrams(&other.protocol)) {
            return fault("QUIC and TCP_QUIC listeners are not allowed on load balancers with UDP or TCP_UDP listeners");
        }
    } else if protocols::has_datagrams(protocol) && others().any(|other| protocols::is_quic(&other.protocol)) {
        return fault("UDP and TCP_UDP listeners are not allowed on load balancers with QUIC or TCP_QUIC listeners");
    }
    if protocol == "TLS" && balancer.capacity.units.is_some() {
        return fault("TLS listeners are not supported on load balancers with a capacity reservation");
    }
    Ok(())
}

/// ModifyListener: what is given replaces what is there.
pub fn modify(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("ListenerArn")?.to_string();
    let port = read_port(input)?;
    let protocol = input.text("Protocol").filter(|text| !text.is_empty()).map(str::to_string);
    let (balancer, listener) = state.elb.listener(&arn)?;
    let protocol = protocol.unwrap_or_else(|| listener.protocol.clone());
    protocols::check_listener(balancer.kind, &protocol)?;
    let tls = TlsParameters::read(input, &protocol)?;
    let new_port = port.unwrap_or(listener.port);
    let actions = action::read(input, "DefaultActions", (&protocol, new_port), &state.config.quotas)?;
    input.done()?;
    if balancer.listeners.values().any(|other| other.port == new_port && other.arn != arn) {
        return Err(duplicate(balancer));
    }
    check_neighbours(balancer, &protocol, Some(&arn))?;
    let mut actions = actions;
    if let Some(actions) = &mut actions {
        action::settle_secrets(actions, &listener.default_actions)?;
    }
    if actions.is_some() || protocol != listener.protocol {
        let wanted = actions.as_ref().unwrap_or(&listener.default_actions);
        state.check_actions(&balancer.arn, &protocol, wanted, &listener.default_actions)?;
    }
    // AWS: with the protocol HTTP or TCP, security policy and certificates go.
    let tls = tls.apply(state, &protocol, listener.tls.as_ref())?;
    if let Some(tls) = &tls {
        tls.mutual.check(state, balancer, Some(&arn))?;
    }
    let (balancer_arn, before) = (balancer.arn.clone(), listener.tls.clone());
    let listener = state.elb.listener_mut(&arn)?;
    listener.port = new_port;
    listener.protocol = protocol;
    listener.tls = tls;
    if let Some(actions) = actions {
        listener.default_actions = actions;
    }
    if !listener.protocol.starts_with("TCP") {
        listener.attributes.remove("tcp.idle_timeout.seconds");
    }
    let record = listener.record();
    state.reindex(&balancer_arn);
    // Health checks of network load balancers name the listener's port.
    state.elb.placed_anew(&balancer_arn);
    state.release_certificates(before.iter().flat_map(ListenerTls::all));
    Ok(Record::new().list("Listeners", [record]))
}

/// DeleteListener, with its rules.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("ListenerArn")?.to_string();
    input.done()?;
    let (balancer, listener) = state.elb.listener(&arn)?;
    let (balancer_arn, port) = (balancer.arn.clone(), listener.port);
    let fronted =
        |group: &&TargetGroup| group.target_type == "alb" && group.targets.keys().any(|key| key.id == balancer_arn && key.port == port);
    if let Some(group) = state.elb.target_groups.values().find(fronted) {
        return Err(ApiError::new(
            "ResourceInUse",
            format!("Listener '{arn}' is currently in use by target group '{}', of which its load balancer is a target", group.arn),
        ));
    }
    let gone = state.elb.load_balancer_mut(&balancer_arn)?.listeners.remove(&arn);
    state.reindex(&balancer_arn);
    state.release_certificates(gone.iter().filter_map(|listener| listener.tls.as_ref()).flat_map(ListenerTls::all));
    Ok(Record::new())
}

/// DescribeListeners, of a load balancer or by ARN.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let balancer = input.text("LoadBalancerArn").filter(|arn| !arn.is_empty());
    let arns = input.strings("ListenerArns");
    let (marker, size) = validation::paging(input)?;
    input.done()?;
    let mut chosen: Vec<&Listener> = match (balancer, arns.is_empty()) {
        (None, true) => return Err(ApiError::validation("You must specify either listener ARNs or a load balancer ARN")),
        (Some(_), false) => {
            return Err(ApiError::validation("Listener ARNs and a load balancer ARN cannot be specified at the same time"));
        }
        (Some(arn), true) => state.elb.load_balancer(arn)?.listeners.values().collect(),
        (None, false) => {
            validation::at_most_twenty(&arns, "listeners")?;
            let mut found = Vec::new();
            for arn in &arns {
                let missing = |error: ApiError| match error.code.as_ref() {
                    "ListenerNotFound" => ApiError::new("ListenerNotFound", "One or more listeners not found"),
                    _ => error,
                };
                found.push(state.elb.listener(arn).map_err(missing)?.1);
            }
            found
        }
    };
    chosen.sort_by(|a, b| a.arn.cmp(&b.arn));
    chosen.dedup_by(|a, b| a.arn == b.arn);
    let (shown, next) = page::page(chosen, |listener| listener.arn.clone(), marker.as_deref(), size)?;
    Ok(Record::new().list("Listeners", shown.into_iter().map(Listener::record)).maybe("NextMarker", next))
}
