//! Load balancers in another region than the operator's own: made there, deleted there, and moved.

use portico_cloud::{Cloud, CloudConfig};
use portico_crds::Kind;

use crate::harness::{Bench, cloud, parse, scenario, wire};

const ELSEWHERE: &str = "eu-west-1";

/// The profile of the class `alb`, with that region.
fn profile(region: &str) -> String {
    format!(
        "apiVersion: portico.dev/v1alpha1
kind: LoadBalancerProfile
metadata: {{name: alb, namespace: platform}}
spec:
  aws: {{region: {region}}}
"
    )
}

/// How many load balancers, target groups and security groups there are.
async fn owned(cloud: &Cloud) -> [usize; 3] {
    let state = wire::state(cloud).await;
    ["load_balancers", "target_groups", "security_groups"].map(|kind| state[kind].as_array().unwrap().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_has_in_another_region_goes_with_it_and_what_it_left_behind_goes_too() {
    let mut bench = Bench::start().await;
    let there = Cloud::start(CloudConfig { region: ELSEWHERE.into(), ..cloud() }).await.unwrap();
    bench.fuse.lead(ELSEWHERE, there.address());
    let (empty_here, empty_there) = (owned(&bench.cloud).await, owned(&there).await);
    let gateway = || parse(&scenario::gateway("edge"));
    let region = async |bench: &Bench, region: &str| {
        bench.put(parse(&profile(region)));
        bench.settle().await;
    };

    bench.apply(&scenario::created()).await;
    bench.delete(&[(Kind::Gateway, "shop/inner")]).await;
    let served_here = owned(&bench.cloud).await;
    assert!(served_here > empty_here);
    assert_eq!(owned(&there).await, empty_there);

    // Moved: the new place serves before the old one is given up, which the sweep sees to.
    region(&bench, ELSEWHERE).await;
    assert!(owned(&there).await > empty_there);
    assert_eq!(owned(&bench.cloud).await, served_here);
    bench.kill().await;
    bench.launch().await;
    bench.look_afresh("shop/edge");
    bench.settle().await;
    assert!(owned(&there).await > empty_there);
    assert_eq!(owned(&bench.cloud).await, empty_here, "what was left behind");

    // Deleted while no operator runs: the next one has not worked in that region yet.
    bench.kill().await;
    bench.remove(&[(Kind::Gateway, "shop/edge")]);
    bench.launch().await;
    bench.settle().await;
    assert_eq!(owned(&there).await, empty_there, "a deletion");
    assert!(bench.cluster.read(Kind::Gateway, &"shop/edge".parse().unwrap()).is_none());

    // Gone without a trace: what exists there is an orphan.
    bench.put(gateway());
    bench.settle().await;
    assert!(owned(&there).await > empty_there);
    bench.kill().await;
    bench.remove_by_force(Kind::Gateway, "shop/edge");
    bench.launch().await;
    bench.settle().await;
    assert_eq!(owned(&there).await, empty_there, "an orphan");
    bench.end().await;
}
