//! Random routes and requests: every answer is the one that the Gateway API means, or is refused as announced.

use anyhow::{Result, ensure};

use super::bench::Case;
use crate::judge::{Class, Options, judge};

/// How many requests fit CI, and to how many sets of routes.
const IN_CI: (usize, u32) = (2_000, 8);
/// The same where there is time.
const IN_FULL: (usize, u32) = (10_000, 40);
/// In CI every run makes the same requests, so that it fails for what was changed; elsewhere each makes others.
const SEED: u64 = 4;

/// The evaluator and the data plane of application load balancers agree.
pub async fn are_those_that_the_gateway_api_means(case: &Case<'_>) -> Result<String> {
    agree(case, Class::PorticoAlb).await
}

/// The evaluator and Envoy agree.
pub async fn of_envoy_are_those_that_the_gateway_api_means(case: &Case<'_>) -> Result<String> {
    agree(case, Class::PorticoEnvoy).await
}

async fn agree(case: &Case<'_>, class: Class) -> Result<String> {
    let full = case.bench.full;
    let (requests, rounds) = if full { IN_FULL } else { IN_CI };
    let options = Options { class, requests, rounds, seed: (!full).then_some(SEED) };
    let summary = judge(case.bench.session.clone(), &options).await?;
    ensure!(summary.is_good(), "{}", summary.text());
    Ok(summary.text())
}
