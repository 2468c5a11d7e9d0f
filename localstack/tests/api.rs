//! The API over real sockets: restarts, and calls at random.

mod harness;
mod network;
mod random;
mod restart;
