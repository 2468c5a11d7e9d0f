//! Parameters that several of IPAM's operations read.

use crate::error::{Answer, ApiError};
use crate::wire::Input;

/// A text, if it is given and not empty.
pub fn optional(input: &Input, name: &str) -> Option<String> {
    input.text(name).filter(|text| !text.is_empty()).map(str::to_string)
}

/// `ClientToken` (AWS: at most 64 characters).
pub fn token(input: &Input) -> Answer<Option<String>> {
    match optional(input, "ClientToken") {
        Some(token) if token.len() > 64 => Err(ApiError::parameter_value("The ClientToken can have at most 64 characters")),
        token => Ok(token),
    }
}

/// A value of an enumeration, if it is given.
pub fn one_of(input: &Input, name: &str, allowed: &[&str]) -> Answer<Option<String>> {
    match optional(input, name) {
        Some(value) if !allowed.contains(&value.as_str()) => Err(ApiError::parameter_value(format!(
            "Value ({value}) for parameter {name} is invalid. Expected one of {}",
            allowed.join(", ")
        ))),
        value => Ok(value),
    }
}

/// The length of a netmask of an IPv4 CIDR, if it is given.
pub fn netmask(input: &Input, name: &str) -> Answer<Option<u8>> {
    match input.parse::<u8>(name)? {
        Some(length) if length > 32 => Err(ApiError::parameter_value(format!("{name} must be between 0 and 32 for IPv4"))),
        length => Ok(length),
    }
}

/// Parameters that do not go together.
pub fn combination(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterCombination", message)
}
