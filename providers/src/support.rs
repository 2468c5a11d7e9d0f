//! How far a provider goes with each feature of the Gateway API.

use crate::Feature;

/// How far a feature goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Served as the Gateway API means it, and claimed.
    Native,
    /// Served, but not claimed, for the reason given.
    Served(&'static str),
    /// Refused, with what to use instead.
    Refused(&'static str),
}

/// The features of a provider's table that it claims, in the table's order.
pub fn claimed(features: &[(Feature, Support)]) -> Vec<Feature> {
    features.iter().filter(|(_, support)| *support == Support::Native).map(|(feature, _)| *feature).collect()
}
