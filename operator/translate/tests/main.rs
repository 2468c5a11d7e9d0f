//! Tests of the crate as others see it.

mod endpoints;
mod goldens;
mod properties;
mod report;
mod world;
