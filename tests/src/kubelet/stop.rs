//! The order to end a pod or a container: by when, and whether its hooks still run. It can be made more urgent, never less.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// What is left to a container whose preStop hook used up the whole grace period (Kubernetes: 2 s).
const LEAST_GRACE: Duration = Duration::from_secs(2);

/// An order to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// When patience ends.
    pub deadline: Instant,
    /// Whether nothing but killing is wanted.
    pub at_once: bool,
}

impl Order {
    /// When patience ends, no earlier than `least`; none where there is none to begin with.
    fn patience(self, least: Instant) -> Option<Instant> {
        (!self.at_once).then(|| self.deadline.max(least))
    }
}

/// The order to stop, as the one who gives it and all who obey share it.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    order: Arc<watch::Sender<Option<Order>>>,
}

impl Stop {
    /// Orders a stop within `grace`; no grace kills at once.
    pub fn order(&self, grace: Duration) {
        self.give(Order { deadline: Instant::now() + grace, at_once: grace.is_zero() });
    }

    /// Gives an order, unless a more urgent one stands.
    pub fn give(&self, order: Order) {
        self.order.send_if_modified(|standing| match standing {
            Some(standing) if standing.at_once || (standing.deadline <= order.deadline && !order.at_once) => false,
            _ => {
                *standing = Some(order);
                true
            }
        });
    }

    /// The standing order.
    pub fn standing(&self) -> Option<Order> {
        *self.order.borrow()
    }

    /// Waits for an order.
    pub async fn ordered(&self) -> Order {
        let mut orders = self.order.subscribe();
        loop {
            if let Some(order) = *orders.borrow_and_update() {
                return order;
            }
            // The sender lives in `self`, so this never fails.
            let _ = orders.changed().await;
        }
    }

    /// Waits until patience has ended; an order that grows more urgent is heeded.
    pub async fn expired(&self) {
        self.expired_after(Instant::now()).await;
    }

    /// As [`Self::expired`], with what Kubernetes leaves a container after its preStop hook.
    pub async fn expired_after_hook(&self) {
        self.expired_after(Instant::now() + LEAST_GRACE).await;
    }

    async fn expired_after(&self, least: Instant) {
        let mut orders = self.order.subscribe();
        loop {
            let Some(order) = *orders.borrow_and_update() else {
                let _ = orders.changed().await;
                continue;
            };
            let Some(wake) = order.patience(least) else { return };
            tokio::select! {
                () = tokio::time::sleep_until(wake) => return,
                _ = orders.changed() => {}
            }
        }
    }

    /// Passes every order on to another, for ever.
    pub async fn forward(&self, to: &Self) {
        let mut orders = self.order.subscribe();
        loop {
            let order = *orders.borrow_and_update();
            if let Some(order) = order {
                to.give(order);
            }
            let _ = orders.changed().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_only_grows_more_urgent() {
        let (stop, start) = (Stop::default(), Instant::now());
        let within = |seconds| Order { deadline: start + Duration::from_secs(seconds), at_once: false };
        assert_eq!(stop.standing(), None);
        for (given, standing) in [(30, 30), (60, 30), (5, 5), (30, 5)] {
            stop.give(within(given));
            assert_eq!(stop.standing(), Some(within(standing)), "after an order within {given} s");
        }
        stop.order(Duration::ZERO);
        stop.give(within(0));
        assert!(stop.standing().is_some_and(|order| order.at_once));
    }

    #[test]
    fn a_kill_waits_for_nothing_and_a_hook_leaves_two_seconds() {
        let start = Instant::now();
        let order = |seconds, at_once| Order { deadline: start + Duration::from_secs(seconds), at_once };
        let after_hook = start + LEAST_GRACE;
        assert_eq!(order(30, false).patience(after_hook), Some(start + Duration::from_secs(30)));
        assert_eq!(order(1, false).patience(after_hook), Some(start + Duration::from_secs(2)));
        assert_eq!(order(30, true).patience(after_hook), None);
    }

    #[tokio::test]
    async fn who_waits_hears_an_order_and_its_haste() {
        let stop = Stop::default();
        let waiter = tokio::spawn({
            let stop = stop.clone();
            async move {
                stop.ordered().await;
                stop.expired_after_hook().await;
            }
        });
        stop.order(Duration::from_secs(3600));
        tokio::task::yield_now().await;
        stop.order(Duration::ZERO);
        waiter.await.unwrap();
    }
}
