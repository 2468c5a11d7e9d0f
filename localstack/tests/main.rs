//! Integration tests of the embedded cloud: real sockets on loopback, nothing else.

// clippy.toml allows these in test functions; here the helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api;
mod dataplane;
