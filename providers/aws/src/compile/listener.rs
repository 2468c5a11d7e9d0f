//! Listeners: one per port, with the rules of all Gateway listeners on it, kept apart by hostname.

use super::Compiler;
use super::issue::{Issue, Quota};
use super::security_group::PortRoom;
use crate::limit;
use crate::pattern;
use crate::stack::{Condition, Listener, ListenerProtocol, ListenerTls, Patterns, Rule, RuleAction};
use portico_crds::{Kind, ObjectRef};
use portico_providers::{
    Ingress, ListenerOwner, ListenerParent, PlanListener, PlanPort, PortProtocol, Residue, ResourceId, Source, Subject,
};
use std::collections::BTreeSet;

impl Compiler<'_> {
    pub(super) fn listeners(&mut self) -> Vec<Listener> {
        let mut listeners = Vec::new();
        let have = self.limits.listeners_per_load_balancer as usize;
        let group = self.port_room();
        let full = |served: usize| group.as_ref().filter(|group| served >= group.ports);
        let mut certificates = self.limits.certificates_per_load_balancer as usize;
        for port in &self.plan.ports {
            let served = listeners.len();
            let refusal = match port.protocol {
                PortProtocol::Http | PortProtocol::Https if served < have && full(served).is_some() => {
                    full(served).map(|group| ("port", group_quota(group, self.plan.ports.len())))
                }
                PortProtocol::Http if served < have => {
                    listeners.push(self.listener(port, None));
                    None
                }
                PortProtocol::Https if served < have => match self.tls(port, &mut certificates) {
                    Ok(secured) => {
                        listeners.extend(secured.map(|(tls, port)| self.listener(&port, Some(tls))));
                        None
                    }
                    Err(refusal) => Some(refusal),
                },
                PortProtocol::Http | PortProtocol::Https => {
                    let quota = Quota { limit: "listeners", holder: "the ALB".into(), need: self.plan.ports.len(), have };
                    Some(("port", Issue::quota("", quota, "Use fewer ports, or ask AWS for a higher quota of listeners.")))
                }
                PortProtocol::Tls | PortProtocol::Tcp | PortProtocol::Udp => {
                    let detail = format!("An ALB does not serve {}; network load balancers are not built yet.", port.protocol);
                    Some(("protocol", Issue::unsupported("", detail, "Use an HTTP or HTTPS listener.")))
                }
            };
            let Some((name, issue)) = refusal else { continue };
            for listener in &port.listeners {
                let own = Some(&issue.field).filter(|field| !field.is_empty());
                let issue = Issue { field: own.cloned().unwrap_or_else(|| field(&listener.owner, name)), ..issue.clone() };
                self.refusals.insert(issue.refuse(Subject::Listener(listener.owner.clone()), Residue::NoTraffic));
            }
        }
        listeners
    }

    fn listener(&mut self, port: &PlanPort, tls: Option<ListenerTls>) -> Listener {
        let mut rules = Vec::new();
        for (index, listener) in port.listeners.iter().enumerate() {
            let issues = listener_issues(listener);
            if issues.is_empty() {
                for rule in &listener.rules {
                    self.rule(port.port, listener, rule, &mut rules);
                }
            }
            let refused = !issues.is_empty();
            for issue in issues {
                self.refusals.insert(issue.refuse(Subject::Listener(listener.owner.clone()), Residue::Answer500));
            }
            let following = port.listeners.get(index + 1..).unwrap_or_default();
            if refused {
                self.catch_all(port.port, listener, 500, &mut rules);
            } else if overlaps(listener, following) {
                self.catch_all(port.port, listener, 404, &mut rules);
            }
        }
        let sources: BTreeSet<_> = port.listeners.iter().map(|listener| source(&listener.owner)).collect();
        Listener {
            id: ResourceId(format!("listener/{}", port.port)),
            port: port.port,
            protocol: if tls.is_some() { ListenerProtocol::Https } else { ListenerProtocol::Http },
            tls,
            default_action: RuleAction::status(404),
            rules,
            sources: sources.into_iter().collect(),
        }
    }

    /// Ends a listener's rules, so that a request for its hostname never reaches the rules of a less specific listener on the port (Gateway API: listener isolation).
    fn catch_all(&mut self, port: u16, listener: &PlanListener, status: u16, rules: &mut Vec<Rule>) {
        let (name, condition) = match &listener.hostname {
            None => ("*".to_owned(), Some(Condition::PathPattern(Patterns::Values(vec!["/*".into()])))),
            Some(hostname) => (hostname.to_string(), pattern::hostname(hostname).map(Condition::HostHeader)),
        };
        let Some(condition) = condition else {
            let detail = format!("An ALB compares hostnames of at most {} characters.", limit::CONDITION_VALUE_LENGTH);
            let issue = Issue::unsupported(field(&listener.owner, "hostname"), detail, "Use a shorter hostname.");
            self.refusals.insert(issue.refuse(Subject::Listener(listener.owner.clone()), Residue::FallsThrough));
            return;
        };
        rules.push(Rule {
            id: ResourceId(format!("rule/{port}/isolation/{name}")),
            rank: 0,
            conditions: vec![condition],
            transforms: Vec::new(),
            action: RuleAction::status(status),
            sources: vec![source(&listener.owner)],
        });
    }
}

/// The refusal of a port whose inbound rules have no room.
fn group_quota(room: &PortRoom, ports: usize) -> Issue {
    let quota = Quota {
        limit: "inbound rules of one address family",
        holder: "the ALB's security group".into(),
        need: ports * room.rules_per_port,
        have: room.rules,
    };
    let remedy = "Use fewer ports, or fewer source ranges in securityGroups.managed of the LoadBalancerProfile; say there with ruleQuota if AWS has raised the quota, \
                  or use security groups of your own (securityGroups.ids).";
    Issue::quota("", quota, remedy)
}

/// Whether a request for this listener's hostname could match a rule of a listener that comes after it.
fn overlaps(listener: &PlanListener, following: &[PlanListener]) -> bool {
    let Some(hostname) = &listener.hostname else { return false };
    following.iter().filter(|other| other.hostname.as_ref().is_none_or(|h| h.intersect(hostname).is_some())).any(|other| {
        other.rules.iter().any(|rule| rule.hostname.as_ref().or(other.hostname.as_ref()).is_none_or(|h| h.intersect(hostname).is_some()))
            || !listener_issues(other).is_empty()
    })
}

fn listener_issues(listener: &PlanListener) -> Vec<Issue> {
    let mut issues = Vec::new();
    for (index, filter) in listener.filters.iter().enumerate() {
        let detail = format!("An ALB applies no {} to a whole listener.", filter.kind());
        issues.push(Issue::unsupported(
            field(&listener.owner, &format!("filters.requests[{index}]")),
            detail,
            "Put the filter on the routes.",
        ));
    }
    if matches!(listener.ingress, Ingress::Behind { proxy_protocol: true, .. }) {
        issues.push(Issue::unsupported(
            field(&listener.owner, "port"),
            "An ALB does not read the PROXY protocol.",
            "Switch it off in front.",
        ));
    }
    issues
}

/// Path of a listener's field: Gateways and ListenerSets both hold theirs in `spec.listeners`, known by name.
pub(super) fn field(owner: &ListenerOwner, name: &str) -> String {
    format!("spec.listeners[{}].{name}", owner.section)
}

/// The object that a listener belongs to.
pub(super) fn source(owner: &ListenerOwner) -> Source {
    let kind = match owner.parent {
        ListenerParent::Gateway => Kind::Gateway,
        ListenerParent::ListenerSet => Kind::ListenerSet,
    };
    Source::Object(ObjectRef::new(kind, &owner.key))
}
