//! Network load balancers: TCP, UDP and TLS.
//!
//! The way of a flow: a `socket` takes it at one zone's node, the security groups of the `table`'s listener judge its client, `choice` finds a target
//! group by weight and a target by hash, and `flow` (TCP, TLS) or `datagram` (UDP) passes what comes both ways until an end that client and target
//! choose, or one that they do not.

use super::exchange::ACCESS;

mod choice;
mod datagram;
mod flow;
mod proxy_protocol;
mod relay;
mod socket;
mod table;

pub(super) use proxy_protocol::local as proxy_protocol_of_checks;
pub(super) use socket::NetworkSockets;
pub(super) use table::{NetworkKey, NetworkListenerTable, NetworkTable};
