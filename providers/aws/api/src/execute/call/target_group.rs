//! Calls about target groups.

use super::super::effect::Effect;
use super::{Stopped, known_group, misplaced, no_answer, number};
use crate::budget::Kind;
use crate::cache::UnitState;
use crate::convert;
use crate::region::Region;
use aws_sdk_elasticloadbalancingv2::types as sdk;
use portico_aws::Operation;
use portico_aws::stack::{HealthCheck, TargetFamily};

fn matcher(check: &HealthCheck) -> sdk::Matcher {
    sdk::Matcher::builder().http_code(&check.matcher).build()
}

impl Region {
    pub(super) async fn call_target_group(&self, operation: &Operation, state: &UnitState) -> Result<Effect, Stopped> {
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
                let answer = self.change(Kind::ElbChange, name, call.send()).await?;
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
                self.change(Kind::ElbChange, name, call.send()).await?;
            }
            Operation::ModifyTargetGroupAttributes { target_group, attributes } => {
                let attributes =
                    attributes.iter().map(|(key, value)| sdk::TargetGroupAttribute::builder().key(key).value(value).build()).collect();
                let call = self.elb.modify_target_group_attributes().target_group_arn(known_group(state, target_group)?);
                self.change(Kind::ElbChange, name, call.set_attributes(Some(attributes)).send()).await?;
            }
            Operation::TagTargetGroup { target_group, tags } => {
                self.change(
                    Kind::ElbChange,
                    name,
                    self.elb.add_tags().resource_arns(known_group(state, target_group)?).set_tags(Some(convert::elb_tags(tags))).send(),
                )
                .await?;
            }
            Operation::DeleteTargetGroup { target_group } => {
                self.change(
                    Kind::ElbChange,
                    name,
                    self.elb.delete_target_group().target_group_arn(known_group(state, target_group)?).send(),
                )
                .await?;
            }
            _ => return Err(misplaced(operation)),
        }
        Ok(Effect::Done)
    }
}
