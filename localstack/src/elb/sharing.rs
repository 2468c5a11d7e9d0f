//! Operations about what other accounts share, which is nothing.

use super::arn;
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
