//! One call for each operation.

use super::effect::Effect;
use crate::cache::UnitState;
use crate::certificates::is_marked;
use crate::convert;
use crate::error::Failure;
use crate::region::Region;
use aws_sdk_ec2::types::{ResourceType, TagSpecification};
use aws_sdk_elasticloadbalancingv2::types as sdk;
use portico_aws::Operation;
use portico_aws::observed::{Listener, ListenerTls, PortRange, SecurityGroup};
use portico_aws::stack::{CertificateId, HealthCheck, ListenerProtocol, ListenerTls as WantedTls, RuleAction, Scheme, TargetFamily};
use portico_providers::{Presence, ProviderError, TagSet, TargetSetId};
use std::collections::{BTreeMap, BTreeSet};

/// Why a call did not succeed.
pub(super) enum Stopped {
    /// AWS, or the way there, failed.
    Failed(Failure),
    /// Something that the call refers to is not remembered: it was not made.
    Missing(ProviderError),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

fn missing(what: impl std::fmt::Display) -> Stopped {
    Stopped::Missing(ProviderError::NotReady { message: format!("{what} does not exist yet") })
}

/// A listener as remembered.
pub(super) fn listener<'a>(state: &'a UnitState, load_balancer: &str, port: u16) -> Option<&'a Listener> {
    state.observed.load_balancers.get(load_balancer)?.present()?.listeners.present()?.get(&port)
}

fn load_balancer_arn(state: &UnitState, name: &str) -> Result<String, Stopped> {
    let there = state.observed.load_balancers.get(name).and_then(Presence::present);
    there.map(|there| there.arn.clone()).ok_or_else(|| missing(format_args!("load balancer {name}")))
}

fn listener_arn(state: &UnitState, load_balancer: &str, port: u16) -> Result<String, Stopped> {
    listener(state, load_balancer, port).map(|there| there.arn.clone()).ok_or_else(|| missing(format_args!("the listener on port {port}")))
}

fn target_group_arn(state: &UnitState, name: &TargetSetId) -> Option<String> {
    state.observed.target_groups.get(name).and_then(Presence::present).map(|there| there.arn.clone())
}

fn known_group(state: &UnitState, name: &TargetSetId) -> Result<String, Stopped> {
    target_group_arn(state, name).ok_or_else(|| missing(format_args!("target group {name}")))
}

fn own_group(state: &UnitState) -> Result<String, Stopped> {
    state.observed.security_group.present().map(|group| group.id.clone()).ok_or_else(|| missing("the load balancer's security group"))
}

fn groups(state: &UnitState, ids: &[String]) -> Result<Vec<String>, Stopped> {
    if ids.is_empty() { Ok(vec![own_group(state)?]) } else { Ok(ids.to_vec()) }
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
        CertificateId::Imported(id) => {
            let there = state.observed.certificates.iter();
            let mut marked = there.filter(|(_, there)| there.present().is_some_and(|there| is_marked(&there.tags, &id.0)));
            marked.next().map(|(arn, _)| arn.clone()).ok_or_else(|| missing(format_args!("{id}")))
        }
    }
}

fn number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn matcher(check: &HealthCheck) -> sdk::Matcher {
    sdk::Matcher::builder().http_code(&check.matcher).build()
}

fn no_answer(operation: &'static str) -> Failure {
    Failure { operation, code: String::new(), message: "the answer does not say what was made".into(), status: None }
}

impl Region {
    /// Makes the call once.
    pub(super) async fn call(&self, operation: &Operation, state: &UnitState) -> Result<Effect, Stopped> {
        match operation {
            Operation::CreateSecurityGroup { .. }
            | Operation::AuthorizeIngress { .. }
            | Operation::RevokeIngress { .. }
            | Operation::AuthorizeBackend { .. }
            | Operation::RevokeBackend { .. }
            | Operation::TagSecurityGroup { .. }
            | Operation::DeleteSecurityGroup { .. } => self.call_ec2(operation, state).await,
            Operation::CreateTargetGroup { .. }
            | Operation::ModifyTargetGroup { .. }
            | Operation::ModifyTargetGroupAttributes { .. }
            | Operation::TagTargetGroup { .. }
            | Operation::DeleteTargetGroup { .. } => self.call_target_group(operation, state).await,
            Operation::CreateListener { .. }
            | Operation::ModifyListener { .. }
            | Operation::DeleteListener { .. }
            | Operation::CreateRule { .. }
            | Operation::ModifyRule { .. }
            | Operation::SetRulePriorities { .. }
            | Operation::DeleteRule { .. } => self.call_listener(operation, state).await,
            Operation::ImportCertificate { .. }
            | Operation::ReimportCertificate { .. }
            | Operation::TagCertificate { .. }
            | Operation::DeleteCertificate { .. } => self.call_certificate(operation).await,
            Operation::AddListenerCertificate { .. } | Operation::RemoveListenerCertificate { .. } => {
                self.call_listener_certificate(operation, state).await
            }
            _ => self.call_load_balancer(operation, state).await,
        }
    }

    async fn call_ec2(&self, operation: &Operation, state: &UnitState) -> Result<Effect, Stopped> {
        let name = operation.call();
        match operation {
            Operation::CreateSecurityGroup { name: group, description, vpc, tags } => {
                let specification =
                    TagSpecification::builder().resource_type(ResourceType::SecurityGroup).set_tags(Some(convert::ec2_tags(tags))).build();
                let call = self
                    .ec2
                    .create_security_group()
                    .group_name(group)
                    .description(description)
                    .vpc_id(vpc)
                    .tag_specifications(specification);
                let answer = self.change_ec2(name, call.send()).await?;
                let id = answer.group_id().ok_or_else(|| no_answer(name))?.to_owned();
                return Ok(Effect::SecurityGroup(Box::new(SecurityGroup {
                    id,
                    vpc: vpc.clone(),
                    ingress: Vec::new(),
                    tags: tags.clone(),
                })));
            }
            Operation::AuthorizeIngress { rules } => {
                let call = self
                    .ec2
                    .authorize_security_group_ingress()
                    .group_id(own_group(state)?)
                    .set_ip_permissions(Some(convert::permissions(rules)));
                self.change_ec2(name, call.send()).await?;
            }
            Operation::RevokeIngress { rules } => {
                let call = self
                    .ec2
                    .revoke_security_group_ingress()
                    .group_id(own_group(state)?)
                    .set_ip_permissions(Some(convert::permissions(rules)));
                self.change_ec2(name, call.send()).await?;
            }
            Operation::AuthorizeBackend { group, description } => {
                let permission = convert::permission_from(&own_group(state)?, &PortRange::backend_access(), Some(description));
                self.change_ec2(name, self.ec2.authorize_security_group_ingress().group_id(group).ip_permissions(permission).send())
                    .await?;
            }
            Operation::RevokeBackend { group, ranges } => {
                let own = own_group(state)?;
                let permissions = ranges.iter().map(|range| convert::permission_from(&own, range, None)).collect();
                self.change_ec2(
                    name,
                    self.ec2.revoke_security_group_ingress().group_id(group).set_ip_permissions(Some(permissions)).send(),
                )
                .await?;
            }
            Operation::TagSecurityGroup { tags } => {
                self.change_ec2(name, self.ec2.create_tags().resources(own_group(state)?).set_tags(Some(convert::ec2_tags(tags))).send())
                    .await?;
            }
            Operation::DeleteSecurityGroup { id } => {
                drop(self.change_ec2(name, self.ec2.delete_security_group().group_id(id).send()).await?)
            }
            _ => {}
        }
        Ok(Effect::Done)
    }

    async fn call_target_group(&self, operation: &Operation, state: &UnitState) -> Result<Effect, Stopped> {
        let name = operation.call();
        match operation {
            Operation::CreateTargetGroup { target_group: group, vpc, tags } => {
                let check = &group.health_check;
                let family = match group.family {
                    TargetFamily::Ipv4 => sdk::TargetGroupIpAddressTypeEnum::Ipv4,
                    TargetFamily::Ipv6 => sdk::TargetGroupIpAddressTypeEnum::Ipv6,
                };
                let call = self
                    .elb
                    .create_target_group()
                    .name(&group.name.0)
                    .target_type(sdk::TargetTypeEnum::Ip)
                    .protocol(convert::protocol(group.protocol))
                    .protocol_version(group.version.as_str())
                    .port(i32::from(group.port))
                    .ip_address_type(family)
                    .vpc_id(vpc)
                    .health_check_protocol(convert::protocol(check.protocol))
                    .health_check_port(convert::health_check_port(check))
                    .health_check_path(&check.path)
                    .health_check_interval_seconds(number(check.interval_seconds))
                    .health_check_timeout_seconds(number(check.timeout_seconds))
                    .healthy_threshold_count(number(check.healthy_threshold))
                    .unhealthy_threshold_count(number(check.unhealthy_threshold))
                    .matcher(matcher(check))
                    .set_tags(Some(convert::elb_tags(tags)));
                let answer = self.change_elb(name, call.send()).await?;
                let made = answer.target_groups().first().and_then(|made| convert::target_group(made, tags.clone()));
                let (_, made) = made.ok_or_else(|| no_answer(name))?;
                return Ok(Effect::TargetGroup(Box::new(made)));
            }
            Operation::ModifyTargetGroup { target_group, health_check: check } => {
                let call = self
                    .elb
                    .modify_target_group()
                    .target_group_arn(known_group(state, target_group)?)
                    .health_check_protocol(convert::protocol(check.protocol))
                    .health_check_port(convert::health_check_port(check))
                    .health_check_path(&check.path)
                    .health_check_interval_seconds(number(check.interval_seconds))
                    .health_check_timeout_seconds(number(check.timeout_seconds))
                    .healthy_threshold_count(number(check.healthy_threshold))
                    .unhealthy_threshold_count(number(check.unhealthy_threshold))
                    .matcher(matcher(check));
                self.change_elb(name, call.send()).await?;
            }
            Operation::ModifyTargetGroupAttributes { target_group, attributes } => {
                let attributes =
                    attributes.iter().map(|(key, value)| sdk::TargetGroupAttribute::builder().key(key).value(value).build()).collect();
                let call = self.elb.modify_target_group_attributes().target_group_arn(known_group(state, target_group)?);
                self.change_elb(name, call.set_attributes(Some(attributes)).send()).await?;
            }
            Operation::TagTargetGroup { target_group, tags } => {
                self.change_elb(
                    name,
                    self.elb.add_tags().resource_arns(known_group(state, target_group)?).set_tags(Some(convert::elb_tags(tags))).send(),
                )
                .await?;
            }
            Operation::DeleteTargetGroup { target_group } => {
                self.change_elb(name, self.elb.delete_target_group().target_group_arn(known_group(state, target_group)?).send()).await?;
            }
            _ => {}
        }
        Ok(Effect::Done)
    }

    async fn call_load_balancer(&self, operation: &Operation, state: &UnitState) -> Result<Effect, Stopped> {
        let name = operation.call();
        match operation {
            Operation::CreateLoadBalancer { name: balancer, scheme, ip_address_type, subnets, security_groups, tags } => {
                let scheme = match scheme {
                    Scheme::InternetFacing => sdk::LoadBalancerSchemeEnum::InternetFacing,
                    Scheme::Internal => sdk::LoadBalancerSchemeEnum::Internal,
                };
                let call = self
                    .elb
                    .create_load_balancer()
                    .name(balancer)
                    .r#type(sdk::LoadBalancerTypeEnum::Application)
                    .scheme(scheme)
                    .ip_address_type(sdk::IpAddressType::from(ip_address_type.as_str()))
                    .set_subnets(Some(subnets.clone()))
                    .set_security_groups(Some(groups(state, security_groups)?))
                    .set_tags(Some(convert::elb_tags(tags)));
                let answer = self.change_elb(name, call.send()).await?;
                let made = answer.load_balancers().first().and_then(|made| convert::load_balancer(made, tags.clone()));
                let mut made = made.ok_or_else(|| no_answer(name))?;
                made.listeners = Presence::Present(BTreeMap::new());
                return Ok(Effect::LoadBalancer(Box::new(made)));
            }
            Operation::ModifyLoadBalancerAttributes { load_balancer, attributes } => {
                let attributes =
                    attributes.iter().map(|(key, value)| sdk::LoadBalancerAttribute::builder().key(key).value(value).build()).collect();
                let call = self.elb.modify_load_balancer_attributes().load_balancer_arn(load_balancer_arn(state, load_balancer)?);
                self.change_elb(name, call.set_attributes(Some(attributes)).send()).await?;
            }
            Operation::SetIpAddressType { load_balancer, ip_address_type } => {
                let call = self.elb.set_ip_address_type().load_balancer_arn(load_balancer_arn(state, load_balancer)?);
                self.change_elb(name, call.ip_address_type(sdk::IpAddressType::from(ip_address_type.as_str())).send()).await?;
            }
            Operation::SetSubnets { load_balancer, subnets } => {
                let call = self.elb.set_subnets().load_balancer_arn(load_balancer_arn(state, load_balancer)?);
                self.change_elb(name, call.set_subnets(Some(subnets.clone())).send()).await?;
            }
            Operation::SetSecurityGroups { load_balancer, security_groups } => {
                let call = self.elb.set_security_groups().load_balancer_arn(load_balancer_arn(state, load_balancer)?);
                self.change_elb(name, call.set_security_groups(Some(groups(state, security_groups)?)).send()).await?;
            }
            Operation::TagLoadBalancer { load_balancer, tags } => {
                let call = self.elb.add_tags().resource_arns(load_balancer_arn(state, load_balancer)?);
                self.change_elb(name, call.set_tags(Some(convert::elb_tags(tags))).send()).await?;
            }
            Operation::DeleteLoadBalancer { load_balancer } => {
                self.change_elb(name, self.elb.delete_load_balancer().load_balancer_arn(load_balancer_arn(state, load_balancer)?).send())
                    .await?;
            }
            _ => {}
        }
        Ok(Effect::Done)
    }

    async fn call_listener(&self, operation: &Operation, state: &UnitState) -> Result<Effect, Stopped> {
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
                let answer = self.change_elb(name, call.send()).await?;
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
                self.change_elb(name, call.protocol(protocol(speaks)).default_actions(action(state, default_action)?).send()).await?;
                if let Some(tls) = &mut tls {
                    // The others stay.
                    let before = listener(state, load_balancer, *port).and_then(|there| there.tls.clone());
                    tls.certificates = before.map(|before| before.certificates).unwrap_or_default();
                }
                return Ok(Effect::ListenerTls(tls));
            }
            Operation::DeleteListener { load_balancer, port } => {
                self.change_elb(name, self.elb.delete_listener().listener_arn(listener_arn(state, load_balancer, *port)?).send()).await?;
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
                let answer = self.change_elb(name, call.send()).await?;
                let arn = answer.rules().first().and_then(|made| made.rule_arn()).ok_or_else(|| no_answer(name))?;
                return Ok(Effect::Rule(arn.to_owned()));
            }
            Operation::ModifyRule { arn, transforms, action: wanted, .. } => {
                let call = self.elb.modify_rule().rule_arn(arn).actions(action(state, wanted)?);
                // AWS: an empty list leaves transforms as they are.
                let call = if transforms.is_empty() {
                    call.reset_transforms(true)
                } else {
                    call.set_transforms(Some(transforms.iter().map(convert::transform).collect()))
                };
                self.change_elb(name, call.send()).await?;
            }
            Operation::SetRulePriorities { priorities, .. } => {
                let pairs = priorities
                    .iter()
                    .map(|(arn, priority)| sdk::RulePriorityPair::builder().rule_arn(arn).priority(number(*priority)).build());
                self.change_elb(name, self.elb.set_rule_priorities().set_rule_priorities(Some(pairs.collect())).send()).await?;
            }
            Operation::DeleteRule { arn, .. } => drop(self.change_elb(name, self.elb.delete_rule().rule_arn(arn).send()).await?),
            _ => {}
        }
        Ok(Effect::Done)
    }

    /// Policy and default certificate of a listener, as the call takes them.
    fn tls(&self, wanted: Option<&WantedTls>, state: &UnitState) -> Result<Option<ListenerTls>, Stopped> {
        let Some(wanted) = wanted else { return Ok(None) };
        let default_certificate = certificate_arn(state, &wanted.default_certificate)?;
        Ok(Some(ListenerTls { policy: wanted.policy.clone(), default_certificate, certificates: BTreeSet::new() }))
    }

    async fn call_certificate(&self, operation: &Operation) -> Result<Effect, Stopped> {
        match operation {
            Operation::ImportCertificate { secret, sha256, tags, .. } => {
                let material = self.key_material(secret, sha256).await.map_err(Stopped::Missing)?;
                let arn = self.import(&material, None, tags).await?.ok_or_else(|| no_answer(operation.call()))?;
                return Ok(Effect::Certificate(arn, tags.clone()));
            }
            Operation::ReimportCertificate { arn, secret, sha256 } => {
                let material = self.key_material(secret, sha256).await.map_err(Stopped::Missing)?;
                self.import(&material, Some(arn), &TagSet::new()).await?;
            }
            Operation::TagCertificate { arn, tags } => self.tag_certificate(arn, tags).await?,
            Operation::DeleteCertificate { arn } => self.delete_certificate(arn).await?,
            _ => {}
        }
        Ok(Effect::Done)
    }

    async fn call_listener_certificate(&self, operation: &Operation, state: &UnitState) -> Result<Effect, Stopped> {
        let name = operation.call();
        match operation {
            Operation::AddListenerCertificate { load_balancer, port, certificate: id } => {
                let arn = certificate_arn(state, id)?;
                let call = self.elb.add_listener_certificates().listener_arn(listener_arn(state, load_balancer, *port)?);
                self.change_elb(name, call.certificates(certificate(&arn)).send()).await?;
                let mut tls = listener(state, load_balancer, *port).and_then(|there| there.tls.clone());
                if let Some(tls) = &mut tls {
                    tls.certificates.insert(arn);
                }
                return Ok(Effect::ListenerTls(tls));
            }
            Operation::RemoveListenerCertificate { load_balancer, port, arn } => {
                let call = self.elb.remove_listener_certificates().listener_arn(listener_arn(state, load_balancer, *port)?);
                self.change_elb(name, call.certificates(certificate(arn)).send()).await?;
            }
            _ => {}
        }
        Ok(Effect::Done)
    }
}
