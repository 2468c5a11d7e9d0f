//! Tests of the whole crate: goldens at the seam, and what the diff promises.

mod cloud;
mod diff;
mod goldens;
mod plans;
mod properties;
