//! GetAccountConfiguration and PutAccountConfiguration: from when on an account is told that its certificates expire.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{idempotency_token, is_remembered};
use crate::elb::validation::within;
use crate::error::Answer;
use crate::state::State;
use crate::wire::{Input, Record};

/// What is set for the whole account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Account {
    /// How many days before a certificate's end events about it begin.
    pub days_before_expiry: i64,
    /// When tokens of changes were given.
    pub tokens: BTreeMap<String, Timestamp>,
}

impl Default for Account {
    /// API reference, PutAccountConfiguration: "By default, accounts receive events starting 45 days before certificate expiration."
    fn default() -> Self {
        Self { days_before_expiry: 45, tokens: BTreeMap::new() }
    }
}

/// GetAccountConfiguration.
pub fn get(state: &mut State, input: &Input) -> Answer<Record> {
    input.done()?;
    let events = Record::new().with("DaysBeforeExpiry", state.acm.account.days_before_expiry);
    Ok(Record::new().with("ExpiryEvents", events))
}

/// PutAccountConfiguration. A token that was given within the last hour stands for that call, and nothing changes.
pub fn put(state: &mut State, input: &Input) -> Answer<Record> {
    let token = idempotency_token(input)?.ok_or_else(|| crate::wire::input::missing("IdempotencyToken"))?;
    let days: Option<i64> = match input.child("ExpiryEvents") {
        Some(events) => events.parse("DaysBeforeExpiry")?,
        None => None,
    };
    input.done()?;
    if let Some(days) = days {
        within(days, "expiryEvents.daysBeforeExpiry", 1, i32::MAX.into())?;
    }
    let (now, account) = (state.now, &mut state.acm.account);
    account.tokens.retain(|_, at| is_remembered(*at, now));
    if let Entry::Vacant(entry) = account.tokens.entry(token) {
        entry.insert(now);
        account.days_before_expiry = days.unwrap_or(account.days_before_expiry);
    }
    Ok(Record::new())
}
