//! The control plane's state as the data plane's configuration.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::dataplane::config::{
    self as plane, Algorithm, Changes, ClientAuthentication, ClientCertificateHeaders, ClientCertificates, DataPlaneConfig,
    DesyncMitigation, FlowOptions, ForwardedFor, ListenerAttributes, ListenerProtocol, LoadBalancerAttributes, Matcher, Patterns,
    ProtocolVersion, QueryPattern, Reachability, Rewrite, ServerCertificate, TargetGroupId, TargetId, TargetProtocol, TargetStickiness,
    Tls, Transport, WeightedTargetGroup,
};
use crate::ec2::ReachChanges;
use crate::elb::Dirty;
use crate::elb::action::{self, Action, ActionKind};
use crate::elb::attribute;
use crate::elb::condition::{Condition, Field};
use crate::elb::listener::Listener;
use crate::elb::load_balancer::LoadBalancer;
use crate::elb::mutual::Mutual;
use crate::elb::protocol;
use crate::elb::ssl_policy;
use crate::elb::target::TargetKey;
use crate::elb::target_group::TargetGroup;
use crate::elb::transform::{Transform, TransformKind};
use crate::reachability::{Interfaces, Network};
use crate::state::State;

mod authentication;
mod network;

use network::is_network;

/// The data plane's name of a target group.
pub fn target_group_id(arn: &str) -> TargetGroupId {
    arn.into()
}

/// The data plane's name of a target.
pub fn target_id(key: &TargetKey) -> TargetId {
    format!("{}:{}", key.id, key.port).into()
}

/// All that is to be served now.
pub fn project(state: &State) -> DataPlaneConfig {
    let mut projector = Projector::default();
    projector.note_fronts(state, state.elb.target_groups.keys());
    let interfaces = Interfaces::of(&state.ec2);
    let network = Network::new(&state.ec2, &interfaces);
    let active = || state.elb.load_balancers.values().filter(|balancer| balancer.active_at <= state.now);
    DataPlaneConfig {
        revision: state.revision,
        load_balancers: active()
            .filter(|balancer| !is_network(balancer))
            .map(|balancer| Arc::new(projector.load_balancer(state, &network, balancer)))
            .collect(),
        network_load_balancers: active()
            .filter(|balancer| is_network(balancer))
            .map(|balancer| Arc::new(projector.network_load_balancer(state, &network, balancer)))
            .collect(),
        target_groups: state
            .elb
            .target_groups
            .values()
            .map(|group| (target_group_id(&group.arn), Arc::new(any_target_group(state, &network, group))))
            .collect(),
    }
}

/// Projects again and again, and only what may have changed, so that a change costs as much as it changes.
#[derive(Debug, Default)]
pub struct Projector {
    started: bool,
    /// Load balancers that let members of a security group in.
    by_members: BTreeSet<String>,
    /// Target groups with targets that are not on instances.
    foreign: BTreeSet<String>,
    /// Target groups whose target is an application load balancer, with that.
    fronts: BTreeMap<String, String>,
    interfaces: Interfaces,
    /// The revision of ACM that was seen last.
    acm: u64,
    certificates: HashMap<String, (u64, Arc<ServerCertificate>)>,
}

impl Projector {
    /// What is to be served otherwise than after the last call.
    pub fn changes(&mut self, state: &mut State) -> Changes {
        let dirty = std::mem::take(&mut state.elb.dirty);
        let reach = std::mem::take(&mut state.ec2.reach);
        let state = &*state;
        self.certificates.retain(|arn, _| state.acm.certificates.contains_key(arn));
        let whole = reach.all || !std::mem::replace(&mut self.started, true);
        let (balancers, groups) = if whole {
            self.by_members.clear();
            self.foreign.clear();
            self.fronts.clear();
            (state.elb.load_balancers.keys().cloned().collect(), state.elb.target_groups.keys().cloned().collect())
        } else {
            self.affected(state, dirty, &reach)
        };
        self.acm = state.acm.changes;
        self.note_fronts(state, groups.iter());
        if whole || reach.interfaces {
            self.interfaces = Interfaces::of(&state.ec2);
        }
        let interfaces = std::mem::take(&mut self.interfaces);
        let network = Network::new(&state.ec2, &interfaces);
        let mut changes = Changes { revision: state.revision, whole, ..Changes::default() };
        for arn in balancers {
            let balancer = state.elb.load_balancers.get(&arn).filter(|balancer| balancer.active_at <= state.now);
            let id: plane::LoadBalancerId = arn.as_str().into();
            match balancer {
                Some(balancer) if is_network(balancer) => {
                    let made = Arc::new(self.network_load_balancer(state, &network, balancer));
                    changes.network_load_balancers.push((id, Some(made)));
                }
                Some(balancer) => changes.load_balancers.push((id, Some(Arc::new(self.load_balancer(state, &network, balancer))))),
                None if arn.contains(":loadbalancer/net/") => changes.network_load_balancers.push((id, None)),
                None => changes.load_balancers.push((id, None)),
            }
            note(&mut self.by_members, arn, balancer.is_some_and(|balancer| network.depends_on_members(balancer)));
        }
        for arn in groups {
            let group = state.elb.target_groups.get(&arn);
            let made = group.map(|group| Arc::new(any_target_group(state, &network, group)));
            changes.target_groups.push((target_group_id(&arn), made));
            let foreign = group.is_some_and(|group| {
                group.targets.values().any(|target| !target.address.is_some_and(|address| network.is_instances(address)))
            });
            note(&mut self.foreign, arn, foreign);
        }
        self.interfaces = interfaces;
        changes
    }

    /// The load balancers and target groups that may have to be served otherwise.
    fn affected(&self, state: &State, dirty: Dirty, reach: &ReachChanges) -> (BTreeSet<String>, BTreeSet<String>) {
        let (mut balancers, mut groups) = (dirty.load_balancers, dirty.target_groups);
        let all = || state.elb.load_balancers.values();
        if !reach.groups.is_empty() {
            let has = |balancer: &&LoadBalancer| balancer.security_groups.iter().any(|id| reach.groups.contains(id));
            for balancer in all().filter(has) {
                balancers.insert(balancer.arn.clone());
                groups.extend(balancer.target_groups.iter().cloned());
            }
        }
        if reach.interfaces {
            balancers.extend(self.by_members.iter().cloned());
            balancers.extend(self.fronts.values().cloned());
        }
        // As it was, and as it will be.
        balancers.extend(groups.iter().filter_map(|group| self.fronts.get(group)).cloned());
        balancers.extend(groups.iter().filter_map(|group| network::front(state, group)).cloned());
        if reach.interfaces || !reach.groups.is_empty() {
            groups.extend(self.foreign.iter().cloned());
        }
        if state.acm.changes != self.acm {
            let renewed = |arn: &String| state.acm.certificates.get(arn).is_some_and(|certificate| certificate.revision > self.acm);
            let has = |balancer: &&LoadBalancer| {
                let mut tls = balancer.listeners.values().filter_map(|listener| listener.tls.as_ref());
                tls.any(|tls| tls.all().any(renewed))
            };
            balancers.extend(all().filter(has).map(|balancer| balancer.arn.clone()));
        }
        (balancers, groups)
    }

    fn load_balancer(&mut self, state: &State, network: &Network<'_>, balancer: &LoadBalancer) -> plane::LoadBalancer {
        let value = |key: &str| attribute::value(attribute::LOAD_BALANCER, &balancer.attributes, key);
        let is = |key: &str| value(key) == "true";
        let seconds = |key: &str| Duration::from_secs(value(key).parse().unwrap_or_default());
        plane::LoadBalancer {
            id: balancer.arn.as_str().into(),
            address: balancer.address().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            zones: balancer.zones(&state.ec2),
            attributes: LoadBalancerAttributes {
                idle_timeout: seconds("idle_timeout.timeout_seconds"),
                client_keep_alive: seconds("client_keep_alive.seconds"),
                preserve_host_header: is("routing.http.preserve_host_header.enabled"),
                forwarded_for: match value("routing.http.xff_header_processing.mode").as_str() {
                    "preserve" => ForwardedFor::Preserve,
                    "remove" => ForwardedFor::Remove,
                    _ => ForwardedFor::Append,
                },
                forwarded_for_client_port: is("routing.http.xff_client_port.enabled"),
                drop_invalid_header_fields: is("routing.http.drop_invalid_header_fields.enabled"),
                desync_mitigation: match value("routing.http.desync_mitigation_mode").as_str() {
                    "monitor" => DesyncMitigation::Monitor,
                    "strictest" => DesyncMitigation::Strictest,
                    _ => DesyncMitigation::Defensive,
                },
                http2: is("routing.http2.enabled"),
                web_acl: state.wafv2.of(&balancer.arn).is_some(),
                blocked: state.wafv2.of(&balancer.arn).is_some_and(|acl| acl.blocks),
                logs: balancer.log_options(),
            },
            ingress: self.ingress(state, network, balancer),
            listeners: balancer.listeners.values().map(|one| listener(one, self.tls(state, balancer, one))).collect(),
        }
    }

    fn tls(&mut self, state: &State, balancer: &LoadBalancer, listener: &Listener) -> Option<Tls> {
        let tls = listener.tls.as_ref()?;
        let policy = ssl_policy::find(&tls.policy).ok()?;
        let told =
            attribute::value(attribute::LOAD_BALANCER, &balancer.attributes, "routing.http.x_amzn_tls_version_and_cipher_suite.enabled");
        let name = |key: &str| attribute::value(attribute::TLS_LISTENER, &listener.attributes, key);
        let header = |of: &str| name(&format!("routing.http.request.x_amzn_mtls_clientcert{of}.header_name"));
        let authentication = match &tls.mutual {
            Mutual::Off => None,
            Mutual::Passthrough => Some(ClientAuthentication::Passthrough),
            Mutual::Verify { trust_store, ignore_expiry, advertise } => Some(ClientAuthentication::Verify {
                trust: state.elb.trust_stores.get(trust_store)?.material.clone(),
                ignore_expiry: *ignore_expiry,
                advertise: *advertise,
            }),
        };
        let clients = authentication.map(|authentication| ClientCertificates {
            authentication,
            headers: ClientCertificateHeaders {
                chain: header(""),
                issuer: header("_issuer"),
                leaf: header("_leaf"),
                serial_number: header("_serial_number"),
                subject: header("_subject"),
                validity: header("_validity"),
            },
        });
        let headers = (told == "true").then(|| {
            (name("routing.http.request.x_amzn_tls_version.header_name"), name("routing.http.request.x_amzn_tls_cipher_suite.header_name"))
        });
        Some(Tls {
            default: self.certificate(state, &tls.default_certificate)?,
            others: tls.certificates.iter().filter_map(|arn| self.certificate(state, arn)).collect(),
            tls12: policy.has_version(2),
            tls13: policy.has_version(3),
            ciphers: policy.ciphers().collect(),
            headers,
            clients,
        })
    }

    fn certificate(&mut self, state: &State, arn: &str) -> Option<Arc<ServerCertificate>> {
        let certificate = state.acm.certificates.get(arn)?;
        if let Some((_, made)) = self.certificates.get(arn).filter(|(revision, _)| *revision == certificate.revision) {
            return Some(made.clone());
        }
        let material = certificate.material.as_ref()?;
        let made = Arc::new(ServerCertificate {
            id: arn.into(),
            facts: material.facts.clone(),
            chain: material.certificates.clone(),
            key: material.key.clone(),
        });
        self.certificates.insert(arn.to_string(), (certificate.revision, made.clone()));
        Some(made)
    }
}

fn note(set: &mut BTreeSet<String>, arn: String, holds: bool) {
    if holds {
        set.insert(arn);
    } else {
        set.remove(&arn);
    }
}

fn listener(listener: &Listener, tls: Option<Tls>) -> plane::Listener {
    let value = |key: &str| attribute::value(attribute::LISTENER, &listener.attributes, key);
    let headers = attribute::LISTENER.iter().filter_map(|(key, _, _)| {
        let name = key.strip_prefix("routing.http.response.")?.strip_suffix(".header_value")?;
        let text = Some(value(key)).filter(|text| !text.is_empty())?;
        Some((name.replace('_', "-"), text))
    });
    plane::Listener {
        id: listener.arn.as_str().into(),
        port: listener.port,
        protocol: if listener.protocol == "HTTPS" { ListenerProtocol::Https } else { ListenerProtocol::Http },
        tls,
        attributes: ListenerAttributes {
            server_header: value("routing.http.response.server.enabled") == "true",
            response_headers: headers.collect(),
        },
        rules: listener
            .rules
            .values()
            .map(|rule| plane::Rule {
                id: rule.arn.as_str().into(),
                priority: rule.priority,
                conditions: rule.conditions.iter().map(condition).collect(),
                transforms: rule.transforms.iter().map(transform).collect(),
                action: actions(&rule.actions),
            })
            .collect(),
        default_rule: plane::DefaultRule { id: listener.default_rule.as_str().into(), action: actions(&listener.default_actions) },
    }
}

/// What a listener without a default action would do; the API does not let one be.
fn no_action() -> plane::Action {
    plane::Action::FixedResponse(plane::FixedResponse { status: 503, content_type: "text/plain".into(), body: String::new() })
}

/// An action that serves the request, behind one that asks who the client is.
fn actions(actions: &[Action]) -> plane::Action {
    let then = actions.last().map_or_else(no_action, action);
    let demand = actions.iter().find_map(|action| match &action.kind {
        ActionKind::Authenticate(authentication) => Some(authentication::demand(authentication)),
        _ => None,
    });
    match demand {
        None => then,
        Some(demand) => plane::Action::Authenticate(plane::Authenticate { demand, then: Box::new(then) }),
    }
}

fn action(action: &Action) -> plane::Action {
    match &action.kind {
        // The last action is none of these: the API does not let it be.
        ActionKind::Authenticate(_) => no_action(),
        ActionKind::Forward(wanted) => plane::Action::Forward(forward(wanted)),
        ActionKind::Redirect(redirect) => plane::Action::Redirect(plane::Redirect {
            status: redirect.status,
            protocol: redirect.protocol.clone(),
            host: redirect.host.clone(),
            port: redirect.port.clone(),
            path: redirect.path.clone(),
            query: redirect.query.clone(),
        }),
        ActionKind::FixedResponse(fixed) => plane::Action::FixedResponse(plane::FixedResponse {
            status: fixed.status,
            content_type: fixed.content_type.clone(),
            body: fixed.body.clone(),
        }),
    }
}

fn forward(forward: &action::Forward) -> plane::Forward {
    let (sticky, seconds) = forward.stickiness;
    let weighted = |(arn, weight): &(String, u32)| WeightedTargetGroup { target_group: target_group_id(arn), weight: *weight };
    plane::Forward {
        target_groups: forward.groups.iter().map(weighted).collect(),
        stickiness: seconds.filter(|_| sticky).map(|seconds| Duration::from_secs(seconds.into())),
    }
}

fn condition(condition: &Condition) -> plane::Condition {
    let patterns = || {
        if condition.regex_values.is_empty() {
            Patterns::Globs(condition.values.clone())
        } else {
            Patterns::Regexes(condition.regex_values.clone())
        }
    };
    match condition.field {
        Field::HostHeader => plane::Condition::HostHeader(patterns()),
        Field::PathPattern => plane::Condition::PathPattern(patterns()),
        Field::HttpHeader => plane::Condition::HttpHeader { name: condition.header.clone().unwrap_or_default(), values: patterns() },
        Field::HttpRequestMethod => plane::Condition::HttpRequestMethod(condition.values.clone()),
        Field::QueryString => plane::Condition::QueryString(
            condition.query.iter().map(|(key, value)| QueryPattern { key: key.clone(), value: value.clone() }).collect(),
        ),
        Field::SourceIp => plane::Condition::SourceIp(condition.values.iter().filter_map(|text| text.parse().ok()).collect()),
    }
}

fn transform(transform: &Transform) -> plane::Transform {
    let rewrite = Rewrite { regex: transform.regex.clone(), replace: transform.replace.clone() };
    match transform.kind {
        TransformKind::HostHeader => plane::Transform::HostHeaderRewrite(rewrite),
        TransformKind::Url => plane::Transform::UrlRewrite(rewrite),
    }
}

fn any_target_group(state: &State, network: &Network<'_>, group: &TargetGroup) -> plane::TargetGroup {
    if protocol::is_network(&group.protocol) {
        return network::target_group(state, network, group);
    }
    target_group(state, network, group)
}

fn target_group(state: &State, network: &Network<'_>, group: &TargetGroup) -> plane::TargetGroup {
    let is = |key: &str| group.attribute(key);
    let seconds = |key: &str| Duration::from_secs(is(key).parse().unwrap_or_default());
    let check = &group.health_check;
    let target_protocol = |name: &str| if name == "HTTPS" { TargetProtocol::Https } else { TargetProtocol::Http };
    let stickiness = (is("stickiness.enabled") == "true").then(|| {
        if is("stickiness.type") == "app_cookie" {
            TargetStickiness::ApplicationCookie {
                name: is("stickiness.app_cookie.cookie_name"),
                duration: seconds("stickiness.app_cookie.duration_seconds"),
            }
        } else {
            TargetStickiness::LoadBalancerCookie { duration: seconds("stickiness.lb_cookie.duration_seconds") }
        }
    });
    plane::TargetGroup {
        id: target_group_id(&group.arn),
        protocol: target_protocol(&group.protocol),
        version: match group.protocol_version.as_str() {
            "HTTP2" => ProtocolVersion::Http2,
            "GRPC" => ProtocolVersion::Grpc,
            _ => ProtocolVersion::Http1,
        },
        health_check: plane::HealthCheck {
            enabled: check.enabled,
            protocol: target_protocol(&check.protocol),
            port: check.port.parse().ok(),
            path: check.path.clone(),
            interval: Duration::from_secs(check.interval.into()),
            timeout: Duration::from_secs(check.timeout.into()),
            healthy_threshold: check.healthy_threshold,
            unhealthy_threshold: check.unhealthy_threshold,
            matcher: if check.grpc { Matcher::Grpc(check.matcher.clone()) } else { Matcher::Http(check.matcher.clone()) },
            log: balancer_of(state, group).and_then(|balancer| balancer.health_check_log(&group.name)),
            ..plane::HealthCheck::default()
        },
        flows: FlowOptions::default(),
        algorithm: match is("load_balancing.algorithm.type").as_str() {
            "least_outstanding_requests" => Algorithm::LeastOutstandingRequests,
            "weighted_random" => Algorithm::WeightedRandom,
            _ => Algorithm::RoundRobin,
        },
        stickiness,
        cross_zone: is("load_balancing.cross_zone.enabled") != "false",
        minimum_healthy_count: is("target_group_health.unhealthy_state_routing.minimum_healthy_targets.count").parse().unwrap_or(1),
        minimum_healthy_percentage: is("target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage").parse().ok(),
        slow_start: seconds("slow_start.duration_seconds"),
        targets: targets(state, network, group),
    }
}

/// The load balancer that uses a target group.
fn balancer_of<'a>(state: &'a State, group: &TargetGroup) -> Option<&'a LoadBalancer> {
    group.load_balancers.iter().find_map(|arn| state.elb.load_balancers.get(arn))
}

fn targets(state: &State, network: &Network<'_>, group: &TargetGroup) -> Vec<plane::Target> {
    let balancer = balancer_of(state, group);
    let check_port: Option<u16> = group.health_check.port.parse().ok();
    group
        .targets
        .iter()
        .filter_map(|(key, target)| {
            let (outside, address) = (target.zone == "all", target.address?);
            let reaches = |balancer, port| network.reaches(balancer, address, Transport::Tcp, port, outside);
            let judge = |port| balancer.map_or(Reachability::Allowed, |balancer| reaches(balancer, port));
            let reachability = judge(key.port);
            Some(plane::Target {
                id: target_id(key),
                address,
                port: key.port,
                zone: (!outside).then(|| target.zone.clone()),
                reachability,
                flow_reach: Arc::default(),
                check_reachability: check_port.map_or(reachability, judge),
                draining: target.draining.is_some(),
            })
        })
        .collect()
}
