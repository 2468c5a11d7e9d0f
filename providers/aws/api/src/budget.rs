//! The budget of calls: token buckets per region and kind of call, shared by all load balancers, so that a thousand of them that start at once do not throttle
//! one another.
//!
//! AWS has such buckets itself, but tells neither their size nor their filling for most kinds, and shares them with everything else in the account. So the rate is
//! found out, as TCP finds out a network's: it begins low and doubles while calls wait and none is throttled; a throttled call halves it, and from then on it
//! only grows by a little every second.

use crate::lock;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Kinds of calls that AWS counts apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// ELB Describe calls.
    ElbRead,
    /// ELB calls that change something, registrations excepted.
    ElbChange,
    /// RegisterTargets and DeregisterTargets.
    ElbTargets,
    /// EC2 Describe calls.
    Ec2Read,
    /// EC2 calls that change something.
    Ec2Change,
    /// ACM calls that change nothing.
    AcmRead,
    /// ACM calls that change something.
    AcmChange,
}

impl Kind {
    /// One word for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ElbRead => "elb-read",
            Self::ElbChange => "elb-change",
            Self::ElbTargets => "elb-targets",
            Self::Ec2Read => "ec2-read",
            Self::Ec2Change => "ec2-change",
            Self::AcmRead => "acm-read",
            Self::AcmChange => "acm-change",
        }
    }

    /// Calls at once, and calls per second, to begin with. AWS documents 40 and 10 for ELB's Describe calls; the others are what other controllers keep to.
    fn begin(self) -> (f64, f64) {
        match self {
            Self::ElbRead => (40.0, 10.0),
            Self::ElbChange => (20.0, 5.0),
            Self::ElbTargets => (20.0, 4.0),
            Self::Ec2Read => (50.0, 20.0),
            Self::Ec2Change => (20.0, 5.0),
            // AWS: 8 to 10 calls a second of most kinds, 1 of ImportCertificate.
            Self::AcmRead => (10.0, 8.0),
            Self::AcmChange => (5.0, 1.0),
        }
    }
}

/// Calls per second that a bucket never falls below.
const FLOOR: f64 = 0.5;
/// Calls per second that a bucket never rises above.
const CEILING: f64 = 500.0;
/// How often the rate changes at most: what was under way when a call was throttled says nothing new.
const STEP: Duration = Duration::from_secs(1);
/// Calls per second by which the rate grows with each step after a call was throttled.
const GROWTH: f64 = 1.0;

/// One kind's bucket. No clock of its own.
#[derive(Debug)]
struct Bucket {
    burst: f64,
    rate: f64,
    /// Fewer than none while calls wait for theirs.
    tokens: f64,
    filled: Instant,
    /// When the rate was last changed.
    stepped: Instant,
    /// Whether a call was ever throttled.
    throttled: bool,
}

impl Bucket {
    fn new(kind: Kind, now: Instant) -> Self {
        let (burst, rate) = kind.begin();
        Self { burst, rate, tokens: burst, filled: now, stepped: now, throttled: false }
    }

    /// Takes a token; the call may be made after the pause.
    fn take(&mut self, now: Instant) -> Duration {
        self.fill(now);
        self.tokens -= 1.0;
        if self.tokens >= 0.0 {
            return Duration::ZERO;
        }
        if now.saturating_duration_since(self.stepped) >= STEP {
            let faster = if self.throttled { self.rate + GROWTH } else { self.rate * 2.0 };
            self.rate = faster.min(CEILING);
            self.stepped = now;
        }
        Duration::from_secs_f64(-self.tokens / self.rate)
    }

    /// AWS said that there were too many calls.
    fn slow_down(&mut self, now: Instant) {
        self.fill(now);
        self.tokens = self.tokens.min(0.0);
        if !self.throttled || now.saturating_duration_since(self.stepped) >= STEP {
            self.rate = (self.rate / 2.0).max(FLOOR);
            self.stepped = now;
        }
        self.throttled = true;
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.rate).min(self.burst);
        self.filled = now;
    }
}

/// The buckets of a region.
#[derive(Debug)]
pub(crate) struct Budget {
    buckets: [(Kind, Mutex<Bucket>); 7],
}

impl Default for Budget {
    fn default() -> Self {
        let now = Instant::now();
        let kinds = [Kind::ElbRead, Kind::ElbChange, Kind::ElbTargets, Kind::Ec2Read, Kind::Ec2Change, Kind::AcmRead, Kind::AcmChange];
        Self { buckets: kinds.map(|kind| (kind, Mutex::new(Bucket::new(kind, now)))) }
    }
}

impl Budget {
    fn with<T>(&self, kind: Kind, act: impl FnOnce(&mut Bucket) -> T) -> Option<T> {
        self.buckets.iter().find(|(found, _)| *found == kind).map(|(_, bucket)| act(&mut lock(bucket)))
    }

    /// Waits until a call of this kind may be made; says how long that took.
    pub async fn admit(&self, kind: Kind) -> Duration {
        let pause = self.with(kind, |bucket| bucket.take(Instant::now())).unwrap_or_default();
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        pause
    }

    /// A call of this kind was throttled.
    pub fn slow_down(&self, kind: Kind) {
        self.with(kind, |bucket| bucket.slow_down(Instant::now()));
    }

    /// Calls of this kind per second, as it stands.
    pub fn rate(&self, kind: Kind) -> f64 {
        self.with(kind, |bucket| bucket.rate).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Calls made in ten seconds by a crowd that always has more to make, each told `throttled` beyond `allowed` per second.
    fn crowd(bucket: &mut Bucket, start: Instant, allowed: u32) -> (u32, u32) {
        let (mut made, mut throttled) = (0, 0);
        for second in 0..10 {
            let mut now = start + second * SECOND;
            let end = now + SECOND;
            let mut count = 0;
            while now < end {
                now += bucket.take(now);
                count += 1;
                if count > allowed {
                    bucket.slow_down(now);
                    throttled += 1;
                }
                made += 1;
            }
        }
        (made, throttled)
    }

    #[test]
    fn a_burst_is_free_and_then_calls_are_spread() {
        let now = Instant::now();
        let mut bucket = Bucket::new(Kind::ElbRead, now);
        assert!((0..40).all(|_| bucket.take(now).is_zero()));
        assert_eq!(bucket.take(now), Duration::from_millis(100));
        assert_eq!(bucket.take(now), Duration::from_millis(200));
        // After a while of nothing the burst is there again, and no more.
        let later = now + 60 * SECOND;
        assert!((0..40).all(|_| bucket.take(later).is_zero()));
        assert!(!bucket.take(later).is_zero());
    }

    #[test]
    fn a_throttled_call_halves_the_rate_once_and_it_recovers_slowly() {
        let now = Instant::now();
        let mut bucket = Bucket::new(Kind::ElbRead, now);
        for _ in 0..20 {
            bucket.slow_down(now);
        }
        assert!((bucket.rate - 5.0).abs() < f64::EPSILON, "{}", bucket.rate);
        bucket.slow_down(now + SECOND);
        assert!((bucket.rate - 2.5).abs() < f64::EPSILON, "{}", bucket.rate);
        for second in 2..5 {
            // Nobody gains speed who does not need it.
            assert!(bucket.take(now + second * SECOND) < SECOND);
        }
        for second in 5..8 {
            for _ in 0..20 {
                bucket.take(now + second * SECOND);
            }
        }
        assert!(bucket.rate > 3.0 && bucket.rate < 8.0, "{}", bucket.rate);
        for second in 10..100 {
            bucket.slow_down(now + second * SECOND);
        }
        assert!((bucket.rate - FLOOR).abs() < f64::EPSILON);
    }

    #[test]
    fn the_rate_is_found_out() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Kind::ElbChange, start);
        let (made, throttled) = crowd(&mut bucket, start, 1_000_000);
        assert!(made > 500 && throttled == 0, "unlimited: {made} made, {throttled} throttled");
        let mut bucket = Bucket::new(Kind::ElbChange, start);
        crowd(&mut bucket, start, 10);
        let (made, throttled) = crowd(&mut bucket, start + 10 * SECOND, 10);
        assert!((40..=120).contains(&made) && throttled * 4 < made, "ten a second: {made} made, {throttled} throttled");
    }
}
