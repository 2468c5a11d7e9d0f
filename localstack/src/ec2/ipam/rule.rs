//! Allocation rules of pools: what of them may be allocated, and to whom.

use serde::{Deserialize, Serialize};

use super::super::required;
use super::request::combination;
use crate::error::{Answer, ApiError};
use crate::tag::{self, Tags};
use crate::wire::Input;

/// What of a pool may be allocated, and to whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllocationRules {
    /// The shortest netmask.
    pub min: Option<u8>,
    /// The longest netmask.
    pub max: Option<u8>,
    /// The netmask of allocations that name none.
    pub default: Option<u8>,
    /// The tags that resources must have.
    pub tags: Tags,
}

impl AllocationRules {
    /// Whether a resource with these tags may have an address.
    pub fn admit_address(&self, tags: &Tags) -> bool {
        self.min.is_none_or(|min| min <= 32)
            && self.max.is_none_or(|max| max >= 32)
            && self.tags.iter().all(|(key, value)| tags.get(key) == Some(value))
    }

    /// Whether they go together.
    pub fn check(&self) -> Answer<()> {
        let (min, max) = (self.min.unwrap_or(0), self.max.unwrap_or(32));
        // "The minimum netmask length must be less than the maximum netmask length."
        if self.min.is_some() && self.max.is_some() && min >= max {
            return Err(combination("AllocationMinNetmaskLength must be less than AllocationMaxNetmaskLength"));
        }
        if self.default.is_some_and(|default| !(min..=max).contains(&default)) {
            return Err(combination(
                "AllocationDefaultNetmaskLength must lie between AllocationMinNetmaskLength and AllocationMaxNetmaskLength",
            ));
        }
        Ok(())
    }
}

/// Tags as allocation rules name them.
pub fn tags(input: &Input, name: &str) -> Answer<Tags> {
    let mut tags = Tags::new();
    for item in input.items(name) {
        let (key, value) = (required(item, "Key")?.to_string(), item.text("Value").unwrap_or_default().to_string());
        if let Some(fault) = tag::key_fault(&key).or_else(|| tag::value_fault(&value)) {
            return Err(ApiError::parameter_value(fault));
        }
        tags.insert(key, value);
    }
    Ok(tags)
}
