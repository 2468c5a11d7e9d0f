//! Checks that several ELBv2 operations share.

use crate::error::{Answer, ApiError};
use crate::wire::Input;

/// A value that must be one of an enumeration's.
pub fn one_of(value: &str, member: &str, allowed: &[&str]) -> Answer<()> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(ApiError::validation(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must satisfy enum value set: [{}]",
        allowed.join(", ")
    )))
}

/// A number within bounds.
pub fn within(value: i64, member: &str, low: i64, high: i64) -> Answer<()> {
    let relation = if value < low {
        format!("greater than or equal to {low}")
    } else if value > high {
        format!("less than or equal to {high}")
    } else {
        return Ok(());
    };
    Err(ApiError::validation(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: Member must have value {relation}"
    )))
}

/// A name of a load balancer or target group: 1–32 letters, digits and hyphens, no hyphen at the ends.
pub fn name(what: &str, name: &str) -> Answer<()> {
    let fault = if name.chars().count() > 32 {
        "cannot be longer than '32' characters"
    } else if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        "can only contain characters that are alphanumeric characters or hyphens(-)"
    } else if name.starts_with('-') || name.ends_with('-') {
        "cannot begin or end with '-'"
    } else {
        return Ok(());
    };
    Err(ApiError::validation(format!("{what} name '{name}' {fault}")))
}

/// `Marker` and `PageSize` (1–400, default 400).
pub fn paging(input: &Input) -> Answer<(Option<String>, usize)> {
    let size: i64 = input.parse("PageSize")?.unwrap_or(400);
    within(size, "pageSize", 1, 400)?;
    Ok((input.text("Marker").map(str::to_string), usize::try_from(size).unwrap_or(400)))
}

/// AWS: at most 20 resources may be named in one describing call.
pub fn at_most_twenty(ids: &[String], what: &str) -> Answer<()> {
    if ids.len() > 20 {
        return Err(ApiError::validation(format!("You cannot describe more than '20' {what} at a time")));
    }
    Ok(())
}
