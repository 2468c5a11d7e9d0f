//! Timeouts and retries.

use super::Compiler;
use super::filter::Gathered;
use crate::stack::core::Duration;
use crate::stack::route::{PreviousHostsPredicate, RetryBackOff, RetryHostPredicate, RetryPolicy, RouteAction};
use portico_providers::{PlanRule, Retry};
use std::time;

impl Compiler<'_> {
    /// What is done to a rule's requests wherever they go: rewrites, mirrors, time limits, retries.
    pub(super) fn action(&self, rule: &PlanRule, gathered: &Gathered) -> RouteAction {
        // 0 switches a limit off.
        let limit = |limit: Option<time::Duration>| limit.filter(|limit| !limit.is_zero());
        let (request, attempt) = (limit(rule.timeouts.request), limit(rule.timeouts.backend_request));
        let retry = rule.retry.as_ref().filter(|retry| retry.attempts > 0);
        // Without retries there is one attempt, and the shorter limit is the one that counts.
        let whole = if retry.is_some() { request } else { request.into_iter().chain(attempt).min() };
        RouteAction {
            // Envoy's own default would be 15 seconds.
            timeout: Some(whole.unwrap_or_default().into()),
            retry_policy: retry.map(|retry| policy(retry, attempt)),
            request_mirror_policies: gathered.mirrors.clone(),
            ..gathered.rewrite.clone()
        }
    }
}

/// Connections that could not be made, and requests that a backend refused before it looked at them, are tried again whatever the codes (Gateway API). A request that was
/// under way when its connection broke may have been carried out, and is not; unless attempts have a limit of their own, which ends them in just that way.
fn policy(retry: &Retry, attempt: Option<time::Duration>) -> RetryPolicy {
    let mut retry_on = vec!["connect-failure", "refused-stream", "reset-before-request"];
    if !retry.codes.is_empty() {
        retry_on.push("retriable-status-codes");
    }
    if attempt.is_some() {
        retry_on.push("reset");
    }
    RetryPolicy {
        retry_on: retry_on.join(","),
        num_retries: Some(retry.attempts),
        per_try_timeout: attempt.map(Duration::from),
        // Another endpoint, if there is one.
        retry_host_predicate: vec![RetryHostPredicate {
            name: "envoy.retry_host_predicates.previous_hosts".into(),
            typed_config: Some(PreviousHostsPredicate {}.into()),
        }],
        host_selection_retry_max_attempts: 5,
        retriable_status_codes: retry.codes.iter().map(|code| u32::from(*code)).collect(),
        retry_back_off: retry.backoff.filter(|base| *base >= time::Duration::from_millis(1)).map(|base| RetryBackOff {
            base_interval: Some(base.into()),
            // The Gateway API leaves the strategy open: pauses by chance that grow up to ten times the base.
            max_interval: Some((base * 10).into()),
        }),
    }
}
