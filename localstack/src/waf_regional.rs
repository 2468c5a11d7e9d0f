//! WAF Regional, the predecessor of WAFv2. AWS has ended it: there are no web ACLs of it, and none can be made. Who asks is told so.

use crate::error::{Answer, ApiError};
use crate::operation::{Kind, Operation};
use crate::state::State;
use crate::wire::{Input, Record};

/// The prefix of `X-Amz-Target`.
pub const TARGET: &str = "AWSWAF_Regional_20161128";

/// The operation with this name.
pub fn operation(name: &str) -> Option<Operation> {
    Some(match name {
        "GetWebACL" => Operation::new(Kind::Read, web_acl),
        "AssociateWebACL" => Operation::new(Kind::Write, associate),
        "DisassociateWebACL" => Operation::new(Kind::Write, nothing),
        "GetWebACLForResource" => Operation::new(Kind::Read, nothing),
        _ => return None,
    })
}

fn nonexistent(id: &str) -> ApiError {
    ApiError::new("WAFNonexistentItemException", format!("The referenced item does not exist: {id}"))
}

/// GetWebACL: there is none.
fn web_acl(_: &mut State, input: &Input) -> Answer<Record> {
    let id = input.required("WebACLId")?;
    input.done()?;
    Err(nonexistent(id))
}

/// AssociateWebACL: there is none to associate.
fn associate(state: &mut State, input: &Input) -> Answer<Record> {
    let (id, resource) = (input.required("WebACLId")?, input.required("ResourceArn")?.to_string());
    input.done()?;
    state.check_protected(&resource)?;
    Err(nonexistent(id))
}

/// GetWebACLForResource and DisassociateWebACL: the load balancer has none.
fn nothing(state: &mut State, input: &Input) -> Answer<Record> {
    let resource = input.required("ResourceArn")?.to_string();
    input.done()?;
    state.check_protected(&resource)?;
    Ok(Record::new())
}

/// Runs an operation: WAF spells the errors of parameters in its own way.
pub fn run(operation: Operation, state: &mut State, input: &Input) -> Answer<Record> {
    (operation.run)(state, input).map_err(|error| match error.code.as_ref() {
        "ValidationError" => ApiError::new("WAFInvalidParameterException", error.message),
        _ => error,
    })
}
