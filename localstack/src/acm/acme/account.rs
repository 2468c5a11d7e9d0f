//! Accounts that ACME clients have registered: none, since nothing listens at an endpoint's URL.

use super::arn;
use crate::acm::{invalid, paging};
use crate::error::{Answer, ApiError};
use crate::page;
use crate::state::State;
use crate::wire::{Input, Record};

/// ListAcmeAccounts.
pub fn list(state: &mut State, input: &Input) -> Answer<Record> {
    let endpoint = arn(input, "AcmeEndpointArn", None)?;
    let (token, size) = paging(input, "MaxResults", 100, 100)?;
    input.done()?;
    state.acm.acme.endpoint(&endpoint)?;
    let none: Vec<Record> = Vec::new();
    let (shown, _) = page::page(none, |_| String::new(), token.as_deref(), size).map_err(|_| invalid("The NextToken is not valid"))?;
    Ok(Record::new().list("AcmeAccounts", shown))
}

/// DescribeAcmeAccount and RevokeAcmeAccount, which do not come upon any.
pub fn absent(state: &mut State, input: &Input) -> Answer<Record> {
    let endpoint = arn(input, "AcmeEndpointArn", None)?;
    let url = input.required("AccountUrl")?;
    input.done()?;
    state.acm.acme.endpoint(&endpoint)?;
    Err(ApiError::new("ResourceNotFoundException", format!("The endpoint {endpoint} has no account {url}.")))
}
