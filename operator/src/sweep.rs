//! The sweep: looks at every load balancer in turn, cloud included, to find what was changed from outside; and for load balancers that nobody
//! asks for any more.

use std::time::Duration;

use portico_providers::Provider;
use portico_translate::{UnitState, known_settings};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::operator::Operator;

/// Sweeps until `stop`: every unit once per `interval`, evenly spread, so that the budget of calls is too. Orphans are looked for at the start and
/// once per round.
pub async fn run<P: Provider>(operator: Operator<P>, interval: Duration, stop: CancellationToken) {
    orphans(&operator).await;
    if interval.is_zero() {
        return;
    }
    loop {
        let units = operator.units();
        // A pause even where there are no units.
        let pause = interval / u32::try_from(units.len().max(1)).unwrap_or(u32::MAX);
        debug!(units = units.len(), "a round of the sweep begins");
        if units.is_empty() && paused(pause, &stop).await {
            return;
        }
        for unit in units {
            if paused(pause, &stop).await {
                return;
            }
            // A round takes its time: what is gone by now is for the list of orphans.
            if operator.world().read().unit_state(&unit) != UnitState::Absent {
                operator.look_afresh(unit);
            }
        }
        orphans(&operator).await;
    }
}

/// Waits; says whether to stop.
async fn paused(pause: Duration, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => true,
        () = tokio::time::sleep(pause) => false,
    }
}

/// Queues the units that the cloud knows and Kubernetes does not. Each is checked against the API server before anything is deleted.
async fn orphans<P: Provider>(operator: &Operator<P>) {
    let engine = operator.engine();
    let settings = known_settings(&operator.world().read());
    match engine.provider().owned_units(engine.cluster(), &settings).await {
        Ok(owned) => {
            let unknown: Vec<_> = {
                let world = operator.world().read();
                owned.into_iter().filter(|unit| world.unit_state(unit) == UnitState::Absent).collect()
            };
            for unit in unknown {
                operator.look_afresh(unit);
            }
        }
        Err(error) => warn!(%error, "the cloud cannot list what is ours; the next round of the sweep tries again"),
    }
}
