//! AWS, pure: stack, compile and diff for Application Load Balancers; no SDK and no I/O.
//!
//! * [`compile()`]: what a plan needs in AWS ([`stack::Stack`]), and what an ALB cannot serve of it.
//! * [`account::Account`]: what compile knows of the account besides the plan.
//! * [`observed::Observed`]: what exists, in the same words.
//! * [`diff()`]: the calls ([`operation::Operation`]) that lead from one to the other.
//! * [`supported`]: which features of the Gateway API are served, and which are claimed.

pub mod account;
mod assumed;
pub mod attributes;
mod compile;
mod diff;
pub mod limit;
mod matcher;
pub mod name;
pub mod observed;
pub mod operation;
mod pattern;
pub mod ssl_policy;
pub mod stack;
pub mod supported;

pub use account::Account;
pub use compile::{compile, compile_within};
pub use diff::diff;
pub use observed::Observed;
pub use operation::Operation;
pub use stack::Stack;
