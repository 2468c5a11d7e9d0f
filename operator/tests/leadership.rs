//! Without the lease nothing is changed, however much there is to do.

use std::time::Duration;

use portico::operator::Limits;
use portico_cloud::{CloudConfig, Times};

use crate::harness::process::Manner;
use crate::harness::{Bench, cloud, parse, scenario};
use crate::kill::{PLAIN, undisturbed};

/// The lease is lost in the midst of a creation. Calls that are under way end; no other begins.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_loses_its_lease_changes_nothing_more_and_its_successor_goes_on() {
    let ends = undisturbed(PLAIN).await;
    for start in [1, 9, 17, 25] {
        // Slow enough to be interrupted; one pass and one target set at a time, so that at most two calls are under way.
        let times = Times { latency: Duration::from_millis(10), ..Times::default() };
        let manner = Manner { limits: Limits { units: 1, targets: 1, statuses: 1 }, ..Manner::default() };
        let mut bench = Bench::with(CloudConfig { times, ..cloud() }, manner).await;
        bench.put(parse(&scenario::created()));
        while bench.cloud.calls().mutations < start {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bench.process().lease.drop_lease();
        let (then, writes) = (bench.cloud.calls().mutations, bench.cluster.status_writes());
        bench.settle().await;
        let more = bench.cloud.calls().mutations - then;
        assert!(more <= 2, "{more} mutations after the lease was lost at {start}");
        assert!(bench.cluster.status_writes() - writes <= 1, "statuses are written without the lease");
        assert_ne!(bench.dump().await, ends[0], "there was nothing left to do");

        bench.kill().await;
        bench.launch().await;
        bench.reaches(&ends[0], "the successor").await;
        bench.end().await;
    }
}
