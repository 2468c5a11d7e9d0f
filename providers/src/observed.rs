//! What is known of a cloud object.

use serde::{Deserialize, Serialize};

/// Tells "not there" from "not known": only a proven absence or presence may lead to a change (DESIGN §3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Presence<T> {
    /// Nobody looked, or looking failed.
    #[default]
    Unknown,
    /// The cloud said that it is not there.
    Absent,
    /// The cloud showed it.
    Present(T),
}

impl<T> Presence<T> {
    /// The object, if it was shown.
    pub fn present(&self) -> Option<&T> {
        match self {
            Self::Present(value) => Some(value),
            _ => None,
        }
    }

    /// Whether the cloud said that it is not there.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }
}
