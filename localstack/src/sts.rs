//! STS: GetCallerIdentity.

use crate::error::Answer;
use crate::operation::{Kind, Operation};
use crate::state::State;
use crate::wire::{Input, Record};

/// The XML namespace of answers.
pub const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The operation with this name.
pub fn operation(name: &str) -> Option<Operation> {
    (name == "GetCallerIdentity").then(|| Operation::new(Kind::Read, caller_identity))
}

fn caller_identity(state: &mut State, input: &Input) -> Answer<Record> {
    input.done()?;
    let account = &state.config.account;
    Ok(Record::new()
        .with("Arn", format!("arn:aws:iam::{account}:user/portico"))
        .with("UserId", "AIDAPORTICOPORTICO000")
        .with("Account", account))
}
