//! What is not to be seen is not therefore gone.

use portico::watch::Seen;
use portico_crds::Kind;

use crate::harness::{Bench, parse, scenario};

#[tokio::test]
async fn empty_stores_and_broken_lists_delete_no_load_balancer() {
    let mut bench = Bench::start().await;
    bench.apply(&scenario::created()).await;
    let all = bench.dump().await["cloud"].clone();

    // A list that breaks off proves nothing.
    for kind in [Kind::Gateway, Kind::HttpRoute, Kind::Service, Kind::EndpointSlice, Kind::GatewayClass] {
        bench.process().see(kind, Seen::ListBegins);
    }
    bench.settle().await;
    assert_eq!(bench.dump().await["cloud"], all, "lists that broke off");

    // A list of Gateways that is empty, though the API server still has them: neither that nor the sweep's look deletes anything.
    bench.process().see(Kind::Gateway, Seen::ListBegins);
    bench.process().see(Kind::Gateway, Seen::ListEnds);
    bench.settle().await;
    bench.look("shop/edge").await;
    bench.look("shop/inner").await;
    assert_eq!(bench.dump().await["cloud"], all, "an empty list of Gateways");

    // The class is gone: nobody says any more how to serve, but what serves stays.
    bench.kill().await;
    bench.launch().await;
    bench.settle().await;
    assert_eq!(bench.dump().await["cloud"], all, "a restart");
    bench.process().see(Kind::GatewayClass, Seen::ListBegins);
    bench.process().see(Kind::GatewayClass, Seen::ListEnds);
    bench.settle().await;
    assert_eq!(bench.dump().await["cloud"], all, "an empty list of classes");
    bench.end().await;
}

/// The API server itself says that the Gateway is gone, and nothing held it: what the cloud still has of it is an orphan.
#[tokio::test]
async fn what_belongs_to_a_gateway_that_is_gone_is_deleted_at_the_next_start() {
    let mut bench = Bench::start().await;
    let untouched = bench.dump().await["cloud"].clone();
    bench.apply(&scenario::created()).await;
    bench.kill().await;
    // Somebody takes the finalizers away and deletes everything while no operator runs.
    let keys: Vec<_> = Kind::ALL.into_iter().flat_map(|kind| bench.cluster.keys(kind).into_iter().map(move |key| (kind, key))).collect();
    for (kind, key) in keys {
        let object = bench.cluster.read(kind, &key).unwrap();
        portico::cluster::Cluster::write_finalizers(bench.cluster.as_ref(), kind, &object, vec![]).await.unwrap();
        bench.cluster.delete(kind, &key);
    }
    bench.launch().await;
    bench.settle().await;
    assert_eq!(bench.dump().await["cloud"], untouched);
    bench.end().await;
}

/// A deletion that began before our finalizer came ends in the middle of a pass, or after it. Whatever was made goes at once: nobody sweeps here.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_for_a_gateway_whose_deletion_had_begun_goes_at_once() {
    let bench = Bench::start().await;
    let all = bench.apply(&scenario::created()).await.mutations.values().sum::<u64>();
    let gateways: Vec<_> = parse(&scenario::created()).into_iter().filter(|(kind, _)| *kind == Kind::Gateway).collect();
    bench.delete(&[(Kind::Gateway, "shop/edge"), (Kind::Gateway, "shop/inner")]).await;
    let end = bench.dump().await;
    for made in [0, 1, all / 4, all / 2, 3 * all / 4, all] {
        let before = bench.cloud.calls().operations;
        let deletions = bench.put_doomed(gateways.clone());
        bench.waits_for("so much", |bench| bench.calls_since(&before).mutations.values().sum::<u64>() >= made).await;
        for deletion in deletions {
            bench.cluster.end_delete(deletion);
        }
        bench.reaches(&end, &format!("a deletion that ended after {made} calls")).await;
    }
    bench.end().await;
}

/// Somebody takes our finalizer off. What was served goes at once; it is an orphan, once, and whoever looks again finds none.
#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_a_gateway_that_is_deleted_by_force_goes_at_once() {
    let mut bench = Bench::start().await;
    bench.apply(&scenario::created()).await;
    bench.delete(&[(Kind::Gateway, "shop/edge")]).await;
    bench.look("shop/edge").await;
    assert_eq!(bench.process().orphans(), 0, "a Gateway that went by the rules");
    bench.delete(&[(Kind::Gateway, "shop/inner")]).await;
    let end = bench.dump().await;

    // Whether this process made it or found it.
    for restarted in [false, true] {
        bench.put(parse(&scenario::created()).into_iter().filter(|(_, object)| object["metadata"]["name"] == "inner").collect());
        bench.settle().await;
        assert_eq!(bench.cloud.load_balancers().len(), 1);
        if restarted {
            bench.restart().await;
        }
        let before = bench.process().orphans();
        bench.remove_by_force(Kind::Gateway, "shop/inner");
        bench.reaches(&end, "a deletion by force").await;
        bench.look("shop/inner").await;
        assert_eq!(bench.process().orphans() - before, 1);
    }
    bench.end().await;
}
