//! WAFv2 (version 2019-07-29), as far as load balancers need it: web ACLs with a default action, and which load balancer has which.
//!
//! Rules of web ACLs are refused by name, because no data plane here evaluates them. The default action is carried out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Answer, ApiError};
use crate::operation::{Kind, Operation};
use crate::state::State;
use crate::tag::Tags;
use crate::wire::{Input, Record};

pub mod association;
pub mod tagging;
pub mod web_acl;

use web_acl::WebAcl;

/// The prefix of `X-Amz-Target`.
pub const TARGET: &str = "AWSWAF_20190729";

/// The state of WAFv2 in the account's region.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Wafv2 {
    /// Web ACLs by ARN.
    pub web_acls: BTreeMap<String, WebAcl>,
    /// The ARNs of web ACLs by those of load balancers.
    pub associations: BTreeMap<String, String>,
}

impl Wafv2 {
    /// The web ACL of a load balancer.
    pub fn of(&self, resource: &str) -> Option<&WebAcl> {
        self.web_acls.get(self.associations.get(resource)?)
    }

    /// The web ACL with this ARN.
    pub fn web_acl(&self, arn: &str) -> Answer<&WebAcl> {
        self.web_acls.get(arn).ok_or_else(nonexistent)
    }

    /// The tags of a web ACL, to change them.
    pub fn tags_mut(&mut self, arn: &str) -> Answer<&mut Tags> {
        self.web_acls.get_mut(arn).map(|acl| &mut acl.tags).ok_or_else(nonexistent)
    }
}

fn nonexistent() -> ApiError {
    ApiError::new("WAFNonexistentItemException", "AWS WAF couldn’t perform the operation because your resource doesn’t exist.")
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("WAFInvalidParameterException", message)
}

/// The operation with this name.
pub fn operation(name: &str) -> Option<Operation> {
    use Kind::{Read, Write};
    Some(match name {
        "CreateWebACL" => Operation::new(Write, web_acl::create),
        "GetWebACL" => Operation::new(Read, web_acl::get),
        "UpdateWebACL" => Operation::new(Write, web_acl::update),
        "DeleteWebACL" => Operation::new(Write, web_acl::delete),
        "ListWebACLs" => Operation::new(Read, web_acl::list),
        "AssociateWebACL" => Operation::new(Write, association::associate),
        "DisassociateWebACL" => Operation::new(Write, association::disassociate),
        "GetWebACLForResource" => Operation::new(Read, association::get),
        "ListResourcesForWebACL" => Operation::new(Read, association::list),
        "TagResource" => Operation::new(Write, tagging::add),
        "UntagResource" => Operation::new(Write, tagging::remove),
        "ListTagsForResource" => Operation::new(Read, tagging::list),
        _ => return None,
    })
}

/// Runs an operation: WAF spells the errors of parameters in its own way, and what nobody reads is what this cloud has not.
pub fn run(operation: Operation, state: &mut State, input: &Input) -> Answer<Record> {
    let unknown = |path: &str| invalid(format!("{path} is not served by this cloud"));
    (operation.run)(state, input).map_err(|error| error.respelled(unknown, invalid))
}
