//! The data plane over real sockets: load balancers on addresses of 127.0.0.0/8, small servers as targets.

mod access;
mod documented;
mod failure;
pub mod harness;
mod health;
mod listener;
mod message;
mod mutual_tls;
mod network;
mod routing;
mod swap;
mod tls;
