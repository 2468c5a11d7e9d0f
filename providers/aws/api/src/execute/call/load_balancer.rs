//! Calls about the load balancer itself.

use super::super::effect::Effect;
use super::{Stopped, load_balancer_arn, misplaced, no_answer, own_group};
use crate::budget::Kind;
use crate::cache::UnitState;
use crate::convert;
use crate::region::Region;
use aws_sdk_elasticloadbalancingv2::types as sdk;
use portico_aws::Operation;
use portico_aws::stack::Scheme;
use portico_providers::Presence;
use std::collections::BTreeMap;

fn groups(state: &UnitState, ids: &[String]) -> Result<Vec<String>, Stopped> {
    if ids.is_empty() { Ok(vec![own_group(state)?]) } else { Ok(ids.to_vec()) }
}

impl Region {
    pub(super) async fn call_load_balancer(&self, operation: &Operation, state: &UnitState) -> Result<Effect, Stopped> {
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
                let answer = self.change(Kind::ElbChange, name, call.send()).await?;
                let made = answer.load_balancers().first().and_then(|made| convert::load_balancer(made, tags.clone()));
                let mut made = made.ok_or_else(|| no_answer(name))?;
                made.listeners = Presence::Present(BTreeMap::new());
                return Ok(Effect::LoadBalancer(Box::new(made)));
            }
            Operation::ModifyLoadBalancerAttributes { load_balancer, attributes } => {
                let attributes =
                    attributes.iter().map(|(key, value)| sdk::LoadBalancerAttribute::builder().key(key).value(value).build()).collect();
                let call = self.elb.modify_load_balancer_attributes().load_balancer_arn(load_balancer_arn(state, load_balancer)?);
                self.change(Kind::ElbChange, name, call.set_attributes(Some(attributes)).send()).await?;
            }
            Operation::SetIpAddressType { load_balancer, ip_address_type } => {
                let call = self.elb.set_ip_address_type().load_balancer_arn(load_balancer_arn(state, load_balancer)?);
                self.change(Kind::ElbChange, name, call.ip_address_type(sdk::IpAddressType::from(ip_address_type.as_str())).send()).await?;
            }
            Operation::SetSubnets { load_balancer, subnets } => {
                let call = self.elb.set_subnets().load_balancer_arn(load_balancer_arn(state, load_balancer)?);
                self.change(Kind::ElbChange, name, call.set_subnets(Some(subnets.clone())).send()).await?;
            }
            Operation::SetSecurityGroups { load_balancer, security_groups } => {
                let call = self.elb.set_security_groups().load_balancer_arn(load_balancer_arn(state, load_balancer)?);
                self.change(Kind::ElbChange, name, call.set_security_groups(Some(groups(state, security_groups)?)).send()).await?;
            }
            Operation::TagLoadBalancer { load_balancer, tags } => {
                let call = self.elb.add_tags().resource_arns(load_balancer_arn(state, load_balancer)?);
                self.change(Kind::ElbChange, name, call.set_tags(Some(convert::elb_tags(tags))).send()).await?;
            }
            Operation::DeleteLoadBalancer { load_balancer } => {
                self.change(
                    Kind::ElbChange,
                    name,
                    self.elb.delete_load_balancer().load_balancer_arn(load_balancer_arn(state, load_balancer)?).send(),
                )
                .await?;
            }
            _ => return Err(misplaced(operation)),
        }
        Ok(Effect::Done)
    }
}
