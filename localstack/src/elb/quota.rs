//! DescribeAccountLimits.

use super::validation;
use crate::config::Quotas;
use crate::error::Answer;
use crate::page;
use crate::state::State;
use crate::wire::{Input, Record};

/// Limits of gateway load balancers, which this cloud does not have: AWS's defaults.
const OTHERS: &[(&str, usize)] = &[("gateway-load-balancers", 100), ("gateway-load-balancers-per-vpc", 100), ("geneve-target-groups", 100)];

/// The limits under the names that AWS gives them; those of other services are not ELBv2's, and those of
/// trust stores are not told.
fn limits(quotas: &Quotas) -> Vec<(&'static str, usize)> {
    let foreign = ["acm-", "elastic-ip", "ipam", "s3-", "trust-store", "wafv2-"];
    let own = quotas.entries().filter(|(name, _)| !name.contains("security-group") && !foreign.iter().any(|of| name.starts_with(of)));
    let mut limits: Vec<_> = own.chain(OTHERS.iter().copied()).collect();
    limits.sort_unstable();
    limits
}

/// DescribeAccountLimits.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let (marker, size) = validation::paging(input)?;
    input.done()?;
    let (shown, next) = page::page(limits(&state.config.quotas), |(name, _)| (*name).to_string(), marker.as_deref(), size)?;
    let records = shown.into_iter().map(|(name, max)| Record::new().with("Name", name).with("Max", max.to_string()));
    Ok(Record::new().list("Limits", records).maybe("NextMarker", next))
}
