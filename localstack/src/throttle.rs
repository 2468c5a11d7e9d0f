//! Request rates: token buckets by class of operation, as ELBv2 has them per account and region.

use jiff::Timestamp;

use crate::config::{Rate, Rates};
use crate::error::ApiError;
use crate::operation::Kind;
use crate::service::Service;

/// The account's buckets.
#[derive(Debug)]
pub struct Throttle {
    buckets: Option<Buckets>,
}

#[derive(Debug)]
struct Buckets {
    reads: Bucket,
    mutations: Bucket,
    registrations: Bucket,
    all: Bucket,
}

#[derive(Debug)]
struct Bucket {
    rate: Rate,
    tokens: f64,
    filled: Timestamp,
}

impl Bucket {
    fn new(rate: Rate, now: Timestamp) -> Self {
        Self { rate, tokens: rate.burst, filled: now }
    }

    fn fill(&mut self, now: Timestamp) {
        let seconds = now.duration_since(self.filled).as_secs_f64().max(0.0);
        self.tokens = (self.tokens + seconds * self.rate.refill).min(self.rate.burst);
        self.filled = now;
    }
}

impl Throttle {
    /// Full buckets, or none.
    pub fn new(rates: Option<Rates>, now: Timestamp) -> Self {
        let buckets = rates.map(|rates| Buckets {
            reads: Bucket::new(rates.reads, now),
            mutations: Bucket::new(rates.mutations, now),
            registrations: Bucket::new(rates.registrations, now),
            all: Bucket::new(rates.all, now),
        });
        Self { buckets }
    }

    /// Takes a token of the operation's bucket and one of the common bucket, or refuses the call and takes none.
    pub fn admit(&mut self, service: Service, operation: &str, kind: Kind, now: Timestamp) -> Result<(), ApiError> {
        let Some(buckets) = self.buckets.as_mut().filter(|_| service == Service::Elb) else { return Ok(()) };
        let class = match (operation, kind) {
            ("RegisterTargets" | "DeregisterTargets", _) => &mut buckets.registrations,
            (_, Kind::Read) => &mut buckets.reads,
            (_, Kind::Write) => &mut buckets.mutations,
        };
        class.fill(now);
        buckets.all.fill(now);
        if class.tokens < 1.0 || buckets.all.tokens < 1.0 {
            return Err(ApiError::new("Throttling", "Rate exceeded"));
        }
        class.tokens -= 1.0;
        buckets.all.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    #[test]
    fn buckets_empty_and_fill_by_class() {
        let start = Timestamp::UNIX_EPOCH;
        let mut throttle = Throttle::new(Some(Rates::default()), start);
        let mut admitted = |operation: &str, kind, millis| {
            let now = clock::after(start, Duration::from_millis(millis));
            (0..100).filter(|_| throttle.admit(Service::Elb, operation, kind, now).is_ok()).count()
        };
        let rows = [
            ("CreateRule", Kind::Write, 0, 20),
            ("RegisterTargets", Kind::Write, 0, 20),
            ("DescribeRules", Kind::Read, 0, 40),
            // All 80 tokens of the common bucket are gone, too.
            ("DescribeRules", Kind::Read, 500, 5),
            ("CreateRule", Kind::Write, 1000, 3),
            ("CreateRule", Kind::Write, 1100, 0),
        ];
        for (operation, kind, millis, expected) in rows {
            assert_eq!(admitted(operation, kind, millis), expected, "{operation} at {millis} ms");
        }
    }

    #[test]
    fn without_rates_and_for_other_services_nothing_is_throttled() {
        let now = Timestamp::UNIX_EPOCH;
        let mut none = Throttle::new(None, now);
        let mut tight = Throttle::new(Some(Rates::default()), now);
        for _ in 0..200 {
            assert!(none.admit(Service::Elb, "CreateRule", Kind::Write, now).is_ok());
            assert!(tight.admit(Service::Ec2, "DescribeVpcs", Kind::Read, now).is_ok());
        }
    }
}
