//! Generated identifiers: resource ids, ARN tails, request ids.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Makes identifiers; with a seed, the same ones in every run.
#[derive(Clone, Debug)]
pub struct Ids {
    random: StdRng,
}

impl Ids {
    /// A generator; without a seed it is random.
    pub fn new(seed: Option<u64>) -> Self {
        Self { random: seed.map_or_else(StdRng::from_os_rng, StdRng::seed_from_u64) }
    }

    /// So many hexadecimal digits.
    pub fn hex(&mut self, digits: usize) -> String {
        (0..digits).filter_map(|_| char::from_digit(self.random.random_range(0..16), 16)).collect()
    }

    /// So many digits and small letters.
    pub fn letters(&mut self, count: usize) -> String {
        (0..count).filter_map(|_| char::from_digit(self.random.random_range(0..36), 36)).collect()
    }

    /// So many decimal digits, the first not zero.
    pub fn digits(&mut self, digits: usize) -> String {
        (0..digits).filter_map(|place| char::from_digit(self.random.random_range(u32::from(place == 0)..10), 10)).collect()
    }

    /// An EC2 id such as `sg-0123456789abcdef0` (17 digits, the first one 0).
    pub fn ec2(&mut self, prefix: &str) -> String {
        format!("{prefix}-0{}", self.hex(16))
    }

    /// A UUID-shaped request id.
    pub fn request(&mut self) -> String {
        format!("{}-{}-{}-{}-{}", self.hex(8), self.hex(4), self.hex(4), self.hex(4), self.hex(12))
    }
}
