//! Server ids of QUIC targets, by which connections find their targets (RFC 9000 connection ids carry them).

use super::protocol;
use super::target::{TargetDescription, TargetKey};
use super::target_group::TargetGroup;
use crate::error::{Answer, ApiError};
use crate::state::State;

/// Whether targets may be registered with these server ids: targets of groups that carry QUIC need one, which stays while they are registered
/// and is nobody else's in the load balancer (AWS: unique at the listener level, and a load balancer has one QUIC listener); others have none.
pub fn check(state: &State, group: &TargetGroup, wanted: &[TargetDescription]) -> Answer<()> {
    let quic = protocol::is_quic(&group.protocol);
    let mut seen: Vec<(&str, &TargetKey)> = users(state, group).collect();
    for TargetDescription { key, quic_server, .. } in wanted {
        let id = match (quic, quic_server.as_deref()) {
            (false, None) => continue,
            (false, Some(_)) => return Err(misplaced()),
            (true, None) => {
                return Err(ApiError::validation(format!(
                    "A QUIC server ID must be specified for targets of {} target groups: '{}'",
                    group.protocol, key.id
                )));
            }
            (true, Some(id)) => id,
        };
        let hexadecimal = |digits: &str| digits.len() == 16 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !id.strip_prefix("0x").is_some_and(hexadecimal) {
            return Err(ApiError::validation(format!("The QUIC server ID '{id}' must be '0x' and 16 hexadecimal digits in lower case")));
        }
        if group.targets.get(key).and_then(|target| target.quic_server.as_deref()).is_some_and(|known| known != id) {
            return Err(ApiError::new(
                "InvalidTarget",
                format!("The QUIC server ID of the registered target '{}' cannot be modified", key.id),
            ));
        }
        if seen.iter().any(|(known, owner)| *known == id && *owner != key) {
            return Err(ApiError::new("InvalidTarget", format!("The QUIC server ID '{id}' is already in use")));
        }
        seen.push((id, key));
    }
    Ok(())
}

fn misplaced() -> ApiError {
    ApiError::validation("A QUIC server ID can be specified for targets of QUIC and TCP_QUIC target groups only")
}

/// Whether targets that are named with a server id have that one.
pub fn check_named(group: &TargetGroup, named: &[TargetDescription]) -> Answer<()> {
    for TargetDescription { key, quic_server, .. } in named {
        let Some(id) = quic_server else { continue };
        if !protocol::is_quic(&group.protocol) {
            return Err(misplaced());
        }
        if group.targets.get(key).is_some_and(|target| target.quic_server.as_ref() != Some(id)) {
            return Err(ApiError::new("InvalidTarget", format!("The target '{}' does not have the QUIC server ID '{id}'", key.id)));
        }
    }
    Ok(())
}

/// The server ids in use where the group is used, with their targets.
fn users<'a>(state: &'a State, group: &'a TargetGroup) -> impl Iterator<Item = (&'a str, &'a TargetKey)> {
    let neighbours =
        group.load_balancers.iter().filter_map(|arn| state.elb.load_balancers.get(arn)).flat_map(|balancer| &balancer.target_groups);
    let neighbours = neighbours.filter(|arn| **arn != group.arn).filter_map(|arn| state.elb.target_groups.get(arn));
    neighbours.chain([group]).flat_map(|group| &group.targets).filter_map(|(key, target)| Some((target.quic_server.as_deref()?, key)))
}
