//! Tests of the crate as others see it.

mod goldens;
mod properties;
mod world;
