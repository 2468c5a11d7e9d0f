//! What became of a call whose answer was lost: what it would have made, looked up by the mark, name, port or priority that it would have.

use super::effect::Effect;
use crate::cache::UnitState;
use crate::certificates::is_marked;
use crate::region::Region;
use portico_aws::{Operation, Stack};
use portico_providers::{Presence, ProviderError, mark};
use std::collections::BTreeSet;

impl Region {
    /// What a creation made, if it was carried out. Calls that are not creations make nothing, and may simply be repeated.
    ///
    /// # Errors
    /// [`ProviderError::Foreign`] if somebody else's resource has the name.
    pub(super) async fn find(&self, stack: &Stack, operation: &Operation, state: &UnitState) -> Result<Option<Effect>, ProviderError> {
        let foreign = |what: String| ProviderError::Foreign { resource: what, message: "it does not carry this unit's marks".into() };
        Ok(match operation {
            Operation::CreateLoadBalancer { name, .. } => match self.load_balancer(name).await? {
                Some(there) if stack.owns(&there.tags) => Some(Effect::LoadBalancer(Box::new(there))),
                Some(_) => return Err(foreign(format!("load balancer {name}"))),
                None => None,
            },
            Operation::CreateTargetGroup { target_group, .. } => {
                let name = &target_group.name;
                match self.target_groups(&BTreeSet::from([name.clone()])).await?.remove(name) {
                    Some(Presence::Present(there)) if stack.owns(&there.tags) => Some(Effect::TargetGroup(Box::new(there))),
                    Some(Presence::Present(_)) => return Err(foreign(format!("target group {name}"))),
                    _ => None,
                }
            }
            Operation::CreateSecurityGroup { .. } => match self.own_group(stack).await? {
                Presence::Present(there) => Some(Effect::SecurityGroup(Box::new(there))),
                _ => None,
            },
            Operation::ImportCertificate { certificate, sha256, .. } => {
                let found = self.marked_certificates(stack).await?;
                let made = found
                    .into_iter()
                    .find(|(_, there)| is_marked(&there.tags, &certificate.0) && there.tags.get(mark::CERTIFICATE) == Some(sha256));
                made.map(|(arn, there)| Effect::Certificate(arn, there.tags))
            }
            Operation::CreateListener { load_balancer, port, .. } => {
                let Some(there) = state.observed.load_balancers.get(load_balancer).and_then(Presence::present) else { return Ok(None) };
                match self.listener_heads(&there.arn).await?.remove(port) {
                    Some(mut listener) => {
                        listener.rules = Presence::Present(self.rules(&listener.arn).await?);
                        Some(Effect::Listener(Box::new(listener)))
                    }
                    None => None,
                }
            }
            Operation::CreateRule { load_balancer, port, priority, conditions, transforms, action } => {
                let Some(listener) = super::call::listener(state, load_balancer, *port) else { return Ok(None) };
                let mut wanted = transforms.clone();
                wanted.sort();
                let rules = self.rules(&listener.arn).await?;
                rules
                    .get(priority)
                    .filter(|rule| rule.conditions == *conditions && rule.transforms == wanted && rule.action == *action)
                    .map(|rule| Effect::Rule(rule.arn.clone()))
            }
            _ => None,
        })
    }
}
