//! Actions: what becomes of a rule's requests.

use super::Compiler;
use super::condition::PathShare;
use super::issue::{Issue, Quota};
use super::redirect::{self, Share};
use super::transform;
use crate::limit;
use crate::stack::{Forward, ForwardTarget, RuleAction, Transform};
use portico_providers::{Backend, Filter, Hostname, PlanRule, PortProtocol, TargetSetId, WeightedBackend};
use std::collections::BTreeMap;

impl Compiler<'_> {
    /// What becomes of a rule's requests: one share, or several whose paths do not overlap. Any field that cannot be honoured makes the whole rule an issue.
    pub(super) fn action(&mut self, rule: &PlanRule, hostname: Option<&Hostname>, listener_port: u16) -> Result<Vec<Share>, Vec<Issue>> {
        let base = format!("spec.rules[{}]", rule.id.rule);
        let mut issues = refuse_policies(rule, &base);
        let mut transforms = Vec::new();
        let mut redirect = None;
        for (field, filter) in filters(rule, &base, &mut issues) {
            match filter {
                Filter::UrlRewrite(rewrite) if transforms.is_empty() && redirect.is_none() => {
                    match transform::rewrite(rewrite, &rule.matches, &format!("{field}.urlRewrite")) {
                        Ok(found) => transforms = found,
                        Err(found) => issues.extend(found),
                    }
                }
                Filter::RequestRedirect(filter) if transforms.is_empty() && redirect.is_none() => {
                    redirect = Some((format!("{field}.requestRedirect"), filter));
                }
                Filter::UrlRewrite(_) | Filter::RequestRedirect(_) => {
                    issues.push(Issue::invalid(
                        field,
                        "Only one URLRewrite or RequestRedirect filter can be applied.",
                        "Remove the other.",
                    ));
                }
                other => issues.push(unsupported_filter(other, field)),
            }
        }
        if let Some((field, filter)) = redirect {
            if !rule.backends.is_empty() {
                issues.push(Issue::invalid(
                    format!("{base}.backendRefs"),
                    "A rule that redirects forwards nothing.",
                    "Remove the backends, or the redirect.",
                ));
            }
            let https = self.plan.ports.iter().any(|port| port.port == listener_port && port.protocol == PortProtocol::Https);
            match redirect::compile(filter, &rule.matches, hostname, listener_port, https, &field) {
                Ok(shares) if issues.is_empty() => return Ok(shares),
                Ok(_) => {}
                Err(found) => issues.extend(found),
            }
            return Err(issues);
        }
        let forward = self.forward(&rule.backends, &base);
        match forward {
            Ok(action) if issues.is_empty() => Ok(vec![Share { paths: PathShare::Whole, transforms: used(transforms, &action), action }]),
            Ok(_) => Err(issues),
            Err(found) => {
                issues.extend(found);
                Err(issues)
            }
        }
    }

    fn forward(&mut self, backends: &[WeightedBackend], base: &str) -> Result<RuleAction, Vec<Issue>> {
        let mut issues = Vec::new();
        let mut weights: BTreeMap<TargetSetId, u64> = BTreeMap::new();
        let valid = |backend: &Backend| !matches!(backend, Backend::Invalid { .. });
        // Gateway API: no backends, or none that takes requests, is answered 500.
        let alive = backends.iter().any(|b| b.weight > 0 && valid(&b.backend));
        for backend in backends.iter().filter(|_| alive) {
            let field = format!("{base}.backendRefs[{}]", backend.index);
            let group = match &backend.backend {
                Backend::Service(source) => self.target_group(source, &field),
                Backend::Tier { .. } => {
                    Err(Issue::unsupported(&field, "An ALB with a tier of proxies behind it is not built yet.", "Refer to a Service."))
                }
                Backend::Invalid { .. } if backend.weight == 0 => continue,
                Backend::Invalid { .. } => Ok(self.unavailable()),
            };
            match group {
                Ok(name) => *weights.entry(name).or_default() += u64::from(backend.weight),
                Err(issue) => issues.push(issue),
            }
        }
        if !issues.is_empty() {
            return Err(issues);
        }
        let wanted = weights.values().filter(|weight| **weight > 0).count();
        if wanted > limit::TARGET_GROUPS_PER_ACTION {
            let field = format!("{base}.backendRefs");
            let remedy = "Use at most five different backends in one rule.";
            let quota =
                Quota { limit: "target groups", holder: "an action of an ALB".into(), need: wanted, have: limit::TARGET_GROUPS_PER_ACTION };
            return Err(vec![Issue::quota(field, quota, remedy)]);
        }
        if wanted == 0 {
            return Ok(RuleAction::status(500));
        }
        // Backends of weight 0 stay in the action while there is room, so that they are checked and ready before they get a share.
        let mut spare = limit::TARGET_GROUPS_PER_ACTION - wanted;
        weights.retain(|_, weight| {
            let keep = *weight > 0 || spare > 0;
            spare -= usize::from(keep && *weight == 0);
            keep
        });
        if let [weight] = weights.values_mut().collect::<Vec<_>>().as_mut_slice() {
            // AWS: a single target group has the weight 1, whatever was asked for.
            **weight = 1;
        }
        let most = weights.values().copied().max().unwrap_or(1);
        let target_groups =
            weights.into_iter().map(|(target_group, weight)| ForwardTarget { target_group, weight: scale(weight, most) }).collect();
        Ok(RuleAction::Forward(Forward { target_groups }))
    }
}

/// A weight of the Gateway API (0–1,000,000, summed where a backend is named twice) as one of AWS (0–999): the same ratio, and never 0 where it was not.
fn scale(weight: u64, most: u64) -> u32 {
    let largest = u64::from(limit::LARGEST_WEIGHT);
    let scaled = if most <= largest || weight == 0 { weight } else { ((weight * largest + most / 2) / most).max(1) };
    u32::try_from(scaled).unwrap_or(limit::LARGEST_WEIGHT)
}

/// A response that the ALB makes itself needs no transforms.
fn used(transforms: Vec<Transform>, action: &RuleAction) -> Vec<Transform> {
    if matches!(action, RuleAction::Forward(_)) { transforms } else { Vec::new() }
}

/// The rule's filters with their paths, and those of its only backend. Filters of one backend among several cannot be honoured, since an ALB's transforms concern
/// the whole rule.
fn filters<'a>(rule: &'a PlanRule, base: &str, issues: &mut Vec<Issue>) -> Vec<(String, &'a Filter)> {
    let mut filters: Vec<_> = rule.filters.iter().enumerate().map(|(index, filter)| (format!("{base}.filters[{index}]"), filter)).collect();
    let alone = rule.backends.len() == 1;
    for backend in &rule.backends {
        for (index, filter) in backend.filters.iter().enumerate() {
            let field = format!("{base}.backendRefs[{}].filters[{index}]", backend.index);
            if alone {
                filters.push((field, filter));
            } else {
                let detail = "An ALB applies filters to all requests of a rule, not to those of one backend among several.";
                issues.push(Issue::unsupported(field, detail, "Put the filter on the rule, or split the rule."));
            }
        }
    }
    filters
}

fn unsupported_filter(filter: &Filter, field: String) -> Issue {
    let field_of = |name: &str| format!("{field}.{name}");
    match filter {
        Filter::RequestHeaderModifier(_) => {
            Issue::unsupported(field_of("requestHeaderModifier"), "An ALB does not change request headers.", "Let the backend do it.")
        }
        Filter::ResponseHeaderModifier(_) => Issue::unsupported(
            field_of("responseHeaderModifier"),
            "An ALB does not change the response headers of single rules.",
            "Let the backend do it.",
        ),
        Filter::RequestMirror(_) => Issue::unsupported(field_of("requestMirror"), "An ALB does not mirror requests.", "Remove the filter."),
        Filter::Cors(_) => {
            Issue::unsupported(field_of("cors"), "An ALB does not answer preflight requests of single rules.", "Let the backend do it.")
        }
        Filter::ExternalAuth(_) => {
            Issue::unsupported(field_of("externalAuth"), "An ALB does not ask other services for permission.", "Let the backend do it.")
        }
        Filter::ExtensionRef(reference) => {
            let detail = format!("{}.{} is no filter that Portico knows.", reference.kind, reference.group);
            Issue::unsupported(field_of("extensionRef"), detail, "Remove the filter.")
        }
        Filter::Unknown { kind, message } => {
            let what = if kind.is_empty() { "A filter".to_owned() } else { format!("A filter of type {kind}") };
            Issue::invalid(field, format!("{what} cannot be read: {message}."), "Correct the filter; it is never skipped.")
        }
        Filter::UrlRewrite(_) | Filter::RequestRedirect(_) => Issue::invalid(field, "The filter is given twice.", "Remove one."),
    }
}

/// Timeouts, retries and session persistence: an ALB has none per rule. What switches them off is what it does anyway.
fn refuse_policies(rule: &PlanRule, base: &str) -> Vec<Issue> {
    const IDLE: &str = "Set attributes.idleTimeoutSeconds of the LoadBalancerProfile, which holds for the whole load balancer.";
    let mut issues = Vec::new();
    for (name, limit) in [("request", rule.timeouts.request), ("backendRequest", rule.timeouts.backend_request)] {
        if limit.is_some_and(|limit| !limit.is_zero()) {
            issues.push(Issue::unsupported(format!("{base}.timeouts.{name}"), "An ALB has no timeouts for single rules.", IDLE));
        }
    }
    if rule.retry.as_ref().is_some_and(|retry| retry.attempts > 0) {
        issues.push(Issue::unsupported(format!("{base}.retry"), "An ALB does not repeat requests.", "Let clients repeat them."));
    }
    if rule.session_persistence.is_some() {
        let detail = "Sessions that stay with one target are not built yet for ALBs.";
        issues.push(Issue::unsupported(format!("{base}.sessionPersistence"), detail, "Remove the field."));
    }
    issues
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_keep_their_ratio_and_no_share_is_lost() {
        for (weights, expected) in [
            (vec![90, 10], vec![90, 10]),
            (vec![999, 1], vec![999, 1]),
            (vec![1_000_000, 1], vec![999, 1]),
            (vec![1_000_000, 500_000, 0], vec![999, 500, 0]),
            (vec![5_000_000, 1_000_000], vec![999, 200]),
        ] {
            let most = weights.iter().copied().max().unwrap();
            assert_eq!(weights.iter().map(|w| scale(*w, most)).collect::<Vec<_>>(), expected, "{weights:?}");
        }
    }
}
