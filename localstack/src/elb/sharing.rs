//! Operations about what other accounts and IPAM own, of which this cloud has neither.

use super::arn;
use super::kind::LoadBalancerKind;
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::wire::{Input, Record};

/// GetResourcePolicy: policies are of shared trust stores, and none here is shared.
pub fn resource_policy(_: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("ResourceArn")?;
    input.done()?;
    match arn::kind(arn) {
        Some(_) => Err(ApiError::new("ResourceNotFound", format!("The resource '{arn}' has no policy"))),
        None => Err(ApiError::validation(format!("'{arn}' is not a valid resource ARN"))),
    }
}

/// ModifyIpPools: there is no IPAM pool to use; to use none is fine.
pub fn modify_ip_pools(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("LoadBalancerArn")?.to_string();
    let pool = input.child("IpamPools").and_then(|pools| pools.text("Ipv4IpamPoolId")).map(str::to_string);
    let removed = input.strings("RemoveIpamPools");
    input.done()?;
    let balancer = state.elb.load_balancer(&arn)?;
    balancer.kind.only(LoadBalancerKind::Application, "ModifyIpPools")?;
    if balancer.scheme != "internet-facing" {
        return Err(ApiError::new("InvalidConfigurationRequest", "IPAM pools can be used by internet-facing load balancers only"));
    }
    if let Some(pool) = pool {
        return Err(ApiError::new("InvalidConfigurationRequest", format!("The IPAM pool '{pool}' does not exist")));
    }
    for kind in &removed {
        super::validation::one_of(kind, "removeIpamPools", &["ipv4"])?;
    }
    if removed.is_empty() {
        return Err(ApiError::validation("You must specify either 'IpamPools' or 'RemoveIpamPools'"));
    }
    Ok(Record::new().with("IpamPools", Record::new()))
}
