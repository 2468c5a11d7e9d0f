//! The end-to-end tests: what a platform engineer would try, against the lab that they run in.
//!
//! They talk to the cluster through the real kubectl, to the load balancers through the real curl and to the cloud through
//! boto3 and its admin API. One after the other, because they count the cloud's calls; each in a namespace of its own,
//! whose share of the cloud is gone before the next one starts.

mod addresses;
mod answers;
mod authorities;
pub mod bench;
mod cost;
mod deletion;
mod experimental;
mod filters;
mod fleet;
mod gateway;
mod https;
mod identity;
mod leadership;
mod lifecycle;
mod listeners;
mod load;
pub mod manifest;
mod outage;
mod pods;
mod process;
mod protocols;
mod routing;
mod switch;
mod targets;

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::progress::{self, human, verdict};
use crate::session::Session;
use bench::{Bench, Case};

/// Names the folder that takes the details of failed tests.
pub const DETAILS_VARIABLE: &str = "LAB_LOGS";

/// Arguments of `lab e2e`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Only tests whose name contains this.
    filter: Option<String>,
    /// Also what takes longer than CI may: ten thousand random requests.
    #[arg(long)]
    full: bool,
    /// Only list the tests.
    #[arg(long)]
    list: bool,
}

/// What a test needs besides the control plane and pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Nothing.
    Pods,
    /// Our operator and the embedded cloud.
    Operator,
    /// Our operator and the fleet of Envoy proxies.
    Fleet,
    /// The same, with the Gateway API's CRDs of the experimental channel.
    Experimental,
}

type Outcome<'a> = Pin<Box<dyn Future<Output = Result<String>> + 'a>>;

/// One test. What it returns is shown beside its name; mostly nothing.
struct Test {
    name: &'static str,
    needs: Needs,
    body: for<'a> fn(&'a Case) -> Outcome<'a>,
}

macro_rules! tests {
    ($($needs:ident $module:ident :: $name:ident),* $(,)?) => {
        &[$(Test {
            name: concat!(stringify!($module), "::", stringify!($name)),
            needs: Needs::$needs,
            body: |case| Box::pin($module::$name(case)),
        }),*]
    };
}

const TESTS: &[Test] = tests![
    Pods pods::run_with_an_identity_and_logs,
    Pods pods::mount_secrets_and_config_maps,
    Pods pods::are_ready_when_their_probe_says_so,
    Pods pods::of_an_unknown_image_say_so,
    Pods pods::reach_the_api_server,
    Pods pods::are_endpoints_of_their_service,
    Pods protocols::of_the_suite_s_pods_are_spoken,
    Pods lifecycle::runs_init_containers_and_sidecars_in_order,
    Pods lifecycle::restarts_what_fails,
    Pods lifecycle::drains_before_it_ends,
    Pods lifecycle::completes_a_job,
    Operator gateway::becomes_a_load_balancer_that_serves,
    Operator gateway::answers_soon_after_apply,
    Operator https::serves_a_renewed_certificate_without_a_failed_request,
    Operator https::redirects_to_a_certificate_that_acm_issued,
    Operator routing::follows_paths_hostnames_and_headers,
    Operator routing::splits_by_weight,
    Operator routing::rewrites_prefixes,
    Operator routing::answers_500_for_a_missing_backend,
    Operator targets::follow_a_scale_up_in_one_call,
    Operator targets::follow_a_scale_down,
    Operator targets::time_out_without_the_security_group_rule,
    Operator switch::of_a_backend_loses_no_request,
    Operator switch::of_a_path_loses_no_request,
    Operator switch::of_a_rollout_loses_no_request,
    Operator switch::of_a_rollout_without_the_operator_loses_no_request,
    Operator cost::of_a_label_on_a_route_is_nothing,
    Operator outage::of_the_api_server_stops_no_traffic,
    Operator outage::of_a_custom_resource_definition_keeps_the_load_balancer,
    Operator outage::of_the_operator_at_any_time_is_made_good,
    Operator leadership::passes_on_and_costs_nothing,
    Operator deletion::empties_the_cloud_but_for_what_is_not_ours,
    Operator answers::are_those_that_the_gateway_api_means,
    Fleet answers::of_envoy_are_those_that_the_gateway_api_means,
    Fleet filters::of_one_backend_are_no_other_s,
    Fleet filters::of_both_kinds_of_routes_share_a_hostname,
    Fleet fleet::serves_the_first_request,
    Fleet fleet::follows_a_changed_route,
    Fleet fleet::loses_no_request_in_trouble,
    Fleet fleet::of_proxies_that_are_replaced_loses_no_request,
    Fleet fleet::keeps_what_it_has_over_a_restart,
    Fleet fleet::keeps_what_it_has_while_its_class_is_rejected,
    Fleet addresses::of_ipv6_are_served,
    Fleet identity::is_proven_by_certificate_or_token,
    Fleet authorities::of_the_proxy_s_host_are_those_of_its_store,
    Fleet fleet::shows_what_a_proxy_of_a_follower_refuses,
    Fleet fleet::is_left_only_once_the_gateway_is_served_elsewhere,
    Fleet listeners::without_a_certificate_cost_no_other_anything,
    Experimental experimental::permission_is_asked_for,
    Experimental experimental::sessions_stay_where_they_began,
    Experimental experimental::bundles_say_whom_to_trust,
];

/// Runs the tests in the lab that we are in; the exit code is 1 if any failed.
pub fn run(options: &Options) -> Result<u8> {
    let chosen = |test: &&Test| options.filter.as_ref().is_none_or(|filter| test.name.contains(filter.as_str()));
    let mut tests: Vec<&Test> = TESTS.iter().filter(chosen).collect();
    if options.filter.is_none() && !options.list {
        let session = Session::current()?;
        if session.fleet.is_none() {
            tests.retain(|test| ![Needs::Fleet, Needs::Experimental].contains(&test.needs));
            progress::note("this lab has no fleet: its tests are left out");
        }
        if !session.experimental {
            // `lab test --full` has a lab for them.
            tests.retain(|test| test.needs != Needs::Experimental);
        }
    }
    if options.list {
        tests.iter().for_each(|test| anstream::println!("{}", test.name));
        return Ok(0);
    }
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(run_all(&tests, options.full))
}

async fn run_all(tests: &[&Test], full: bool) -> Result<u8> {
    let session = Session::current()?;
    let details = std::env::var_os(DETAILS_VARIABLE).map_or_else(|| session.logs.clone(), PathBuf::from);
    let bench = Bench::new(session, full)?;
    let (mut passed, mut failed) = (0, 0);
    for test in tests {
        let lacks = match test.needs {
            Needs::Operator | Needs::Fleet | Needs::Experimental if !bench.session.operator => Some("operator"),
            Needs::Fleet | Needs::Experimental if bench.session.fleet.is_none() => Some("fleet (`--fleet`)"),
            Needs::Experimental if !bench.session.experimental => Some("CRDs of the experimental channel (`--experimental`)"),
            _ => None,
        };
        if let Some(lacks) = lacks {
            failed += 1;
            verdict(false, &format!("{}: this lab has no {lacks}", test.name));
            continue;
        }
        let began = Instant::now();
        match one(&bench, test, &details).await {
            Ok(remark) => {
                passed += 1;
                let remark = if remark.is_empty() { remark } else { format!(": {remark}") };
                verdict(true, &format!("{}{remark} ({})", test.name, human(began.elapsed())));
            }
            Err(error) => {
                failed += 1;
                verdict(false, &format!("{} ({}): {error:#}", test.name, human(began.elapsed())));
            }
        }
    }
    anstream::println!("{passed} passed, {failed} failed");
    Ok(u8::from(failed > 0))
}

/// Runs one test in a fresh namespace and takes the namespace away, whatever came of it.
async fn one(bench: &Bench, test: &Test, details: &std::path::Path) -> Result<String> {
    let case = bench.case(test.name).await?;
    let outcome = (test.body)(&case).await;
    if outcome.is_err() {
        let file = details.join(format!("e2e-{}.txt", test.name.replace("::", "-")));
        std::fs::write(&file, case.describe().await).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let cleared = case.clear().await.context("afterwards");
    let remark = outcome?;
    cleared?;
    Ok(remark)
}
