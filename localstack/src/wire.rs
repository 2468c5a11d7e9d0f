//! AWS's wire protocols: reading parameters, writing answers.
//!
//! All protocols are decoded into one tree of parameters ([`Input`]) and all answers are one tree of values ([`Output`]), so that
//! operations are written once and know nothing of XML or JSON.

pub mod cbor;
pub mod input;
pub mod json;
pub mod output;
pub mod query;
pub mod rest;
pub mod signature;
pub mod xml;
pub mod xml_input;

pub use input::Input;
pub use output::{Output, Record};
