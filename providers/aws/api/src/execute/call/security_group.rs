//! Calls about the load balancer's security group, and about who lets it through.

use super::super::effect::Effect;
use super::{Stopped, misplaced, no_answer, own_group};
use crate::budget::Kind;
use crate::cache::UnitState;
use crate::convert;
use crate::region::Region;
use aws_sdk_ec2::types::{ResourceType, TagSpecification};
use portico_aws::Operation;
use portico_aws::observed::{PortRange, SecurityGroup};

impl Region {
    pub(super) async fn call_security_group(&self, operation: &Operation, state: &UnitState) -> Result<Effect, Stopped> {
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
                let answer = self.change(Kind::Ec2Change, name, call.send()).await?;
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
                self.change(Kind::Ec2Change, name, call.send()).await?;
            }
            Operation::RevokeIngress { rules } => {
                let call = self
                    .ec2
                    .revoke_security_group_ingress()
                    .group_id(own_group(state)?)
                    .set_ip_permissions(Some(convert::permissions(rules)));
                self.change(Kind::Ec2Change, name, call.send()).await?;
            }
            Operation::AuthorizeBackend { group, description } => {
                let permission = convert::permission_from(&own_group(state)?, &PortRange::backend_access(), Some(description));
                self.change(
                    Kind::Ec2Change,
                    name,
                    self.ec2.authorize_security_group_ingress().group_id(group).ip_permissions(permission).send(),
                )
                .await?;
            }
            Operation::RevokeBackend { group, ranges } => {
                let own = own_group(state)?;
                let permissions = ranges.iter().map(|range| convert::permission_from(&own, range, None)).collect();
                self.change(
                    Kind::Ec2Change,
                    name,
                    self.ec2.revoke_security_group_ingress().group_id(group).set_ip_permissions(Some(permissions)).send(),
                )
                .await?;
            }
            Operation::TagSecurityGroup { tags } => {
                self.change(
                    Kind::Ec2Change,
                    name,
                    self.ec2.create_tags().resources(own_group(state)?).set_tags(Some(convert::ec2_tags(tags))).send(),
                )
                .await?;
            }
            Operation::DeleteSecurityGroup { id } => {
                drop(self.change(Kind::Ec2Change, name, self.ec2.delete_security_group().group_id(id).send()).await?)
            }
            _ => return Err(misplaced(operation)),
        }
        Ok(Effect::Done)
    }
}
