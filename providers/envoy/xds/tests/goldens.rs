//! Every golden of the stack, taken by a real Envoy.

use crate::fleet::Replica;
use crate::keys::Keys;
use crate::plans;
use crate::proxy::{Form, Proxy};
use portico_crds::NamespacedName;
use portico_providers::{Plan, UnitId};
use std::net::IpAddr;
use std::sync::Arc;

/// The plans of all goldens, each for a unit of its own at addresses of its own.
pub fn goldens() -> Vec<Plan> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/goldens");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_str().unwrap().ends_with(".in.yaml"));
    paths.sort();
    let plan = |(index, path): (usize, &std::path::PathBuf)| {
        let mut plan = plans::plan(&std::fs::read_to_string(path).unwrap());
        let name = path.file_name().unwrap().to_str().unwrap().trim_end_matches(".in.yaml").to_owned();
        plan.unit = UnitId::Gateway(NamespacedName::new("goldens", name));
        for address in plan.gateways.iter_mut().flat_map(|gateway| &mut gateway.assigned) {
            let [.., high, low] = u32::try_from(index + 1).unwrap().to_be_bytes();
            *address = IpAddr::from([127, 91, high, low]);
        }
        for gateway in &mut plan.gateways {
            gateway.assigned.dedup();
        }
        plan
    };
    paths.iter().enumerate().map(plan).collect()
}

async fn all_are_taken(form: Form) {
    let replica = Replica::start("127.0.0.1:0", Arc::new(Keys::new(&["a.example.com"]))).await;
    let mut stacks = Vec::new();
    for plan in goldens() {
        // Any address of the host is another golden's, too.
        if !format!("{:?}", plan.profile).contains("AnyAddress") {
            stacks.push(replica.pass(&plan, &|_| vec!["127.0.0.1:9".parse().unwrap()]).await);
        }
    }
    portico_providers::Provider::is_complete(&replica.envoy);
    let proxy = Proxy::start(&[replica.at], form, "golden");
    for stack in stacks.iter().filter(|stack| !stack.versions().is_empty()) {
        replica.acknowledged(stack).await;
    }
    let _ = proxy.log();
    drop(proxy);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Envoy: PORTICO_ENVOY=PATH cargo test -p portico-envoy-xds -- --ignored"]
async fn envoy_takes_every_golden_by_delta() {
    all_are_taken(Form::Delta).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Envoy: PORTICO_ENVOY=PATH cargo test -p portico-envoy-xds -- --ignored"]
async fn envoy_takes_every_golden_by_state_of_the_world() {
    all_are_taken(Form::World).await;
}
