//! DescribeAccountLimits.

use super::validation;
use crate::config::Quotas;
use crate::error::Answer;
use crate::page;
use crate::state::State;
use crate::wire::{Input, Record};

/// The limits under the names that AWS gives them. Those of other load balancer types are AWS's defaults.
fn limits(quotas: &Quotas) -> Vec<(&'static str, usize)> {
    let mut limits = vec![
        ("application-load-balancers", quotas.load_balancers),
        ("certificates-per-application-load-balancer", quotas.certificates_per_load_balancer),
        ("certificates-per-network-load-balancer", 25),
        ("condition-values-per-alb-rule", quotas.condition_values_per_rule),
        ("condition-wildcards-per-alb-rule", quotas.condition_wildcards_per_rule),
        ("gateway-load-balancers", 100),
        ("gateway-load-balancers-per-vpc", 100),
        ("geneve-target-groups", 100),
        ("listeners-per-application-load-balancer", quotas.listeners_per_load_balancer),
        ("listeners-per-network-load-balancer", 50),
        ("network-load-balancer-enis-per-vpc", 1200),
        ("network-load-balancers", 50),
        ("rules-per-application-load-balancer", quotas.rules_per_load_balancer),
        ("target-groups", quotas.target_groups),
        ("target-groups-per-action-on-application-load-balancer", quotas.target_groups_per_action),
        ("target-groups-per-action-on-network-load-balancer", 1),
        ("target-groups-per-application-load-balancer", quotas.target_groups_per_load_balancer),
        ("target-id-registrations-per-application-load-balancer", quotas.registrations_per_target),
        ("targets-per-application-load-balancer", quotas.targets_per_load_balancer),
        ("targets-per-availability-zone-per-network-load-balancer", 500),
        ("targets-per-network-load-balancer", 3000),
        ("targets-per-target-group", quotas.targets_per_target_group),
    ];
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
