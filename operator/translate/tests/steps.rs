//! What happens in the universe.

use crate::universe::{SLOTS, Step};
use proptest::prelude::*;

/// A few things that happen.
pub fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = (0..SLOTS, any::<u32>(), prop::bool::weighted(0.15)).prop_map(|(slot, variant, delete)| Step { slot, variant, delete });
    prop::collection::vec(step, 1..most)
}
