//! Which load balancer has which web ACL.

use super::{invalid, nonexistent};
use crate::elb::arn::{self, Kind};
use crate::error::Answer;
use crate::state::State;
use crate::wire::{Input, Record};

impl State {
    /// Whether a resource can have a web ACL: an application load balancer that exists.
    pub(crate) fn check_protected(&self, resource: &str) -> Answer<()> {
        if arn::kind(resource) != Some(Kind::LoadBalancer) || !resource.contains(":loadbalancer/app/") {
            return Err(invalid(format!(
                "Error reason: The ARN isn't valid. A valid ARN begins with arn: and includes other information separated by colons or slashes., field: RESOURCE_ARN, parameter: {resource}"
            )));
        }
        if self.elb.load_balancers.contains_key(resource) { Ok(()) } else { Err(nonexistent()) }
    }
}

/// AssociateWebACL: in the place of the one that the load balancer has.
pub fn associate(state: &mut State, input: &Input) -> Answer<Record> {
    let acl = input.required("WebACLArn")?.to_string();
    let resource = input.required("ResourceArn")?.to_string();
    input.done()?;
    if !acl.starts_with("arn:aws:wafv2:") {
        return Err(invalid(format!("Error reason: The ARN isn't valid., field: WEB_ACL_ARN, parameter: {acl}")));
    }
    state.check_protected(&resource)?;
    state.wafv2.web_acl(&acl)?;
    state.elb.dirty.load_balancers.insert(resource.clone());
    state.wafv2.associations.insert(resource, acl);
    Ok(Record::new())
}

/// DisassociateWebACL. Succeeds if the load balancer has none.
pub fn disassociate(state: &mut State, input: &Input) -> Answer<Record> {
    let resource = input.required("ResourceArn")?.to_string();
    input.done()?;
    state.check_protected(&resource)?;
    state.elb.dirty.load_balancers.insert(resource.clone());
    state.wafv2.associations.remove(&resource);
    Ok(Record::new())
}

/// GetWebACLForResource: nothing if it has none.
pub fn get(state: &mut State, input: &Input) -> Answer<Record> {
    let resource = input.required("ResourceArn")?.to_string();
    input.done()?;
    state.check_protected(&resource)?;
    Ok(Record::new().maybe("WebACL", state.wafv2.of(&resource).map(super::web_acl::WebAcl::record)))
}

/// ListResourcesForWebACL.
pub fn list(state: &mut State, input: &Input) -> Answer<Record> {
    let acl = input.required("WebACLArn")?;
    // AWS: load balancers, unless other resources are asked for.
    let kind = input.text("ResourceType").filter(|kind| !kind.is_empty()).unwrap_or("APPLICATION_LOAD_BALANCER");
    input.done()?;
    let kinds = [
        "APPLICATION_LOAD_BALANCER",
        "API_GATEWAY",
        "APPSYNC",
        "COGNITO_USER_POOL",
        "APP_RUNNER_SERVICE",
        "VERIFIED_ACCESS_INSTANCE",
        "AMPLIFY",
    ];
    if !kinds.contains(&kind) {
        return Err(invalid(format!("Error reason: The resource type is not valid., field: RESOURCE_TYPE, parameter: {kind}")));
    }
    state.wafv2.web_acl(acl)?;
    let balancers = kind == "APPLICATION_LOAD_BALANCER";
    let users = state.wafv2.associations.iter().filter(|(_, used)| balancers && *used == acl).map(|(user, _)| user);
    Ok(Record::new().list("ResourceArns", users))
}
