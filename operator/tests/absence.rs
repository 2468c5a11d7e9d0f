//! What is not to be seen is not therefore gone.

use portico::watch::Seen;
use portico_crds::Kind;

use crate::harness::{Bench, scenario};

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
