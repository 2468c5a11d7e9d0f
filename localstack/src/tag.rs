//! Tags: what all services agree on about them.

use std::collections::BTreeMap;

use crate::wire::{Input, Output, Record};

/// Tags of a resource, by key.
pub type Tags = BTreeMap<String, String>;

/// The tags as `Key`/`Value` records (ELBv2, tagging API).
pub fn upper(tags: &Tags) -> Output {
    Output::List(tags.iter().map(|(key, value)| Record::new().with("Key", key).with("Value", value).into()).collect())
}

/// The tags as `key`/`value` records (EC2).
pub fn lower(tags: &Tags) -> Output {
    Output::List(tags.iter().map(|(key, value)| Record::new().with("key", key).with("value", value).into()).collect())
}

/// Why tags cannot be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagFault {
    /// A key or value is not as AWS wants it; in words.
    Invalid(String),
    /// A key stands twice.
    Duplicate(String),
}

/// Reads `Tags` of `Key`/`Value` (ELBv2, ACM).
pub fn read(input: &Input) -> Result<Tags, TagFault> {
    read_as(input, "Tags")
}

/// Reads tags in a member of another name.
pub fn read_as(input: &Input, member: &str) -> Result<Tags, TagFault> {
    let mut tags = Tags::new();
    for item in input.items(member) {
        let [key, value] = ["Key", "Value"].map(|name| item.text(name).unwrap_or_default().to_string());
        if let Some(fault) = key_fault(&key).or_else(|| value_fault(&value)) {
            return Err(TagFault::Invalid(fault));
        }
        if tags.insert(key.clone(), value).is_some() {
            return Err(TagFault::Duplicate(key));
        }
    }
    Ok(tags)
}

/// Whether a key is as AWS wants it: 1–128 characters, not `aws:…`. Letters, digits, spaces and `+ - = . _ : / @`.
pub fn key_fault(key: &str) -> Option<String> {
    if key.is_empty() || key.chars().count() > 128 {
        return Some(format!("Tag keys must be between 1 and 128 characters in length: '{key}'"));
    }
    if key.to_ascii_lowercase().starts_with("aws:") {
        return Some("Tag keys starting with 'aws:' are reserved for system use".into());
    }
    characters_fault("key", key)
}

/// Whether a value is as AWS wants it: at most 256 characters of the same kinds as in keys.
pub fn value_fault(value: &str) -> Option<String> {
    if value.chars().count() > 256 {
        return Some("Tag values must be at most 256 characters in length".into());
    }
    characters_fault("value", value)
}

fn characters_fault(what: &str, text: &str) -> Option<String> {
    let fine = |c: char| c.is_alphanumeric() || c.is_whitespace() || "+-=._:/@".contains(c);
    (!text.chars().all(fine)).then(|| format!("The tag {what} '{text}' contains characters that are not allowed"))
}
