//! Calls about listeners, their certificates and their rules.

use super::super::effect::Effect;
use super::{Stopped, listener, load_balancer_arn, misplaced, missing, no_answer, number, target_group_arn};
use crate::budget::Kind;
use crate::cache::UnitState;
use crate::certificates::is_marked;
use crate::convert;
use crate::region::Region;
use aws_sdk_elasticloadbalancingv2::types as sdk;
use portico_aws::Operation;
use portico_aws::observed::{Listener, ListenerTls};
use portico_aws::stack::{CertificateId, ListenerProtocol, ListenerTls as WantedTls, RuleAction};
use portico_providers::Presence;
use std::collections::{BTreeMap, BTreeSet};

fn listener_arn(state: &UnitState, load_balancer: &str, port: u16) -> Result<String, Stopped> {
    listener(state, load_balancer, port).map(|there| there.arn.clone()).ok_or_else(|| missing(format_args!("the listener on port {port}")))
}

fn action(state: &UnitState, action: &RuleAction) -> Result<sdk::Action, Stopped> {
    convert::action(action, |name| target_group_arn(state, name)).map_err(|name| missing(format_args!("target group {name}")))
}

fn protocol(protocol: &ListenerProtocol) -> sdk::ProtocolEnum {
    match protocol {
        ListenerProtocol::Http => sdk::ProtocolEnum::Http,
        ListenerProtocol::Https => sdk::ProtocolEnum::Https,
    }
}

fn certificate(arn: &str) -> sdk::Certificate {
    sdk::Certificate::builder().certificate_arn(arn).build()
}

/// The ARN of a certificate as remembered: of several with the same mark the first.
fn certificate_arn(state: &UnitState, id: &CertificateId) -> Result<String, Stopped> {
    match id {
        CertificateId::Arn(arn) => Ok(arn.clone()),
        CertificateId::Discovered(hostname) | CertificateId::Unresolved(hostname) => {
            Err(missing(format_args!("a certificate of ACM for {hostname}")))
        }
        CertificateId::Imported(id) => {
            let there = state.observed.certificates.iter();
            let mut marked = there.filter(|(_, there)| there.present().is_some_and(|there| is_marked(&there.tags, &id.0)));
            marked.next().map(|(arn, _)| arn.clone()).ok_or_else(|| missing(format_args!("{id}")))
        }
    }
}

impl Region {
    pub(super) async fn call_listener(&self, operation: &Operation, state: &UnitState) -> Result<Effect, Stopped> {
        let name = operation.call();
        match operation {
            Operation::CreateListener { load_balancer, port, protocol: speaks, tls, default_action, tags } => {
                let tls = self.tls(tls.as_ref(), state)?;
                let call = self
                    .elb
                    .create_listener()
                    .set_ssl_policy(tls.as_ref().map(|tls| tls.policy.clone()))
                    .set_certificates(tls.as_ref().map(|tls| vec![certificate(&tls.default_certificate)]))
                    .load_balancer_arn(load_balancer_arn(state, load_balancer)?)
                    .port(i32::from(*port))
                    .protocol(protocol(speaks))
                    .default_actions(action(state, default_action)?)
                    .set_tags(Some(convert::elb_tags(tags)));
                let answer = self.change(Kind::ElbChange, name, call.send()).await?;
                let arn = answer.listeners().first().and_then(|made| made.listener_arn()).ok_or_else(|| no_answer(name))?.to_owned();
                let rules = Presence::Present(BTreeMap::new());
                let made = Listener { arn, protocol: Some(speaks.clone()), tls, default_action: default_action.clone(), rules };
                return Ok(Effect::Listener(Box::new(made)));
            }
            Operation::ModifyListener { load_balancer, port, protocol: speaks, tls, default_action } => {
                let mut tls = self.tls(tls.as_ref(), state)?;
                let call = self.elb.modify_listener().listener_arn(listener_arn(state, load_balancer, *port)?);
                let call = call
                    .set_ssl_policy(tls.as_ref().map(|tls| tls.policy.clone()))
                    .set_certificates(tls.as_ref().map(|tls| vec![certificate(&tls.default_certificate)]));
                self.change(Kind::ElbChange, name, call.protocol(protocol(speaks)).default_actions(action(state, default_action)?).send())
                    .await?;
                if let Some(tls) = &mut tls {
                    // The others stay.
                    let before = listener(state, load_balancer, *port).and_then(|there| there.tls.clone());
                    tls.certificates = before.map(|before| before.certificates).unwrap_or_default();
                }
                return Ok(Effect::ListenerTls(tls));
            }
            Operation::TagListener { load_balancer, port, tags } => {
                let call = self.elb.add_tags().resource_arns(listener_arn(state, load_balancer, *port)?);
                self.change(Kind::ElbChange, name, call.set_tags(Some(convert::elb_tags(tags))).send()).await?;
            }
            Operation::DeleteListener { load_balancer, port } => {
                self.change(
                    Kind::ElbChange,
                    name,
                    self.elb.delete_listener().listener_arn(listener_arn(state, load_balancer, *port)?).send(),
                )
                .await?;
            }
            Operation::CreateRule { load_balancer, port, priority, conditions, transforms, action: wanted } => {
                let transforms: Vec<_> = transforms.iter().map(convert::transform).collect();
                let call = self
                    .elb
                    .create_rule()
                    .listener_arn(listener_arn(state, load_balancer, *port)?)
                    .priority(number(*priority))
                    .set_conditions(Some(conditions.iter().map(convert::condition).collect()))
                    .set_transforms((!transforms.is_empty()).then_some(transforms))
                    .actions(action(state, wanted)?);
                let answer = self.change(Kind::ElbChange, name, call.send()).await?;
                let arn = answer.rules().first().and_then(|made| made.rule_arn()).ok_or_else(|| no_answer(name))?;
                return Ok(Effect::Rule(arn.to_owned()));
            }
            Operation::ModifyRule { arn, conditions, transforms, action: wanted, .. } => {
                let conditions = conditions.as_ref().map(|conditions| conditions.iter().map(convert::condition).collect());
                let call = self.elb.modify_rule().rule_arn(arn).set_conditions(conditions).actions(action(state, wanted)?);
                // AWS: an empty list leaves transforms as they are.
                let call = if transforms.is_empty() {
                    call.reset_transforms(true)
                } else {
                    call.set_transforms(Some(transforms.iter().map(convert::transform).collect()))
                };
                self.change(Kind::ElbChange, name, call.send()).await?;
            }
            Operation::SetRulePriorities { priorities, .. } => {
                let pairs = priorities
                    .iter()
                    .map(|(arn, priority)| sdk::RulePriorityPair::builder().rule_arn(arn).priority(number(*priority)).build());
                self.change(Kind::ElbChange, name, self.elb.set_rule_priorities().set_rule_priorities(Some(pairs.collect())).send())
                    .await?;
            }
            Operation::DeleteRule { arn, .. } => {
                drop(self.change(Kind::ElbChange, name, self.elb.delete_rule().rule_arn(arn).send()).await?)
            }
            Operation::AddListenerCertificate { load_balancer, port, certificate: id } => {
                let arn = certificate_arn(state, id)?;
                let call = self.elb.add_listener_certificates().listener_arn(listener_arn(state, load_balancer, *port)?);
                self.change(Kind::ElbChange, name, call.certificates(certificate(&arn)).send()).await?;
                let mut tls = listener(state, load_balancer, *port).and_then(|there| there.tls.clone());
                if let Some(tls) = &mut tls {
                    tls.certificates.insert(arn);
                }
                return Ok(Effect::ListenerTls(tls));
            }
            Operation::RemoveListenerCertificate { load_balancer, port, arn } => {
                let call = self.elb.remove_listener_certificates().listener_arn(listener_arn(state, load_balancer, *port)?);
                self.change(Kind::ElbChange, name, call.certificates(certificate(arn)).send()).await?;
            }
            _ => return Err(misplaced(operation)),
        }
        Ok(Effect::Done)
    }

    /// Policy and default certificate of a listener, as the call takes them.
    fn tls(&self, wanted: Option<&WantedTls>, state: &UnitState) -> Result<Option<ListenerTls>, Stopped> {
        let Some(wanted) = wanted else { return Ok(None) };
        let default_certificate = certificate_arn(state, &wanted.default_certificate)?;
        Ok(Some(ListenerTls { policy: wanted.policy.clone(), default_certificate, certificates: BTreeSet::new() }))
    }
}
