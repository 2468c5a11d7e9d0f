//! Refusals: what a provider cannot serve, said to the person who asked for it.

use crate::{ListenerOwner, RuleId};
use portico_crds::NamespacedName;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Names the exact rule and field that a backend cannot serve. It becomes a condition on that object, and costs nothing else: the route's
/// other rules, its Gateway and its neighbours are served as if it were not there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// What is refused.
    pub subject: Subject,
    /// Path of the field in the subject's object, with the indexes that its author wrote: `spec.rules[2].filters[0].requestMirror`.
    pub field: String,
    /// Why.
    pub cause: RefusalCause,
    /// What becomes of the traffic.
    pub residue: Residue,
    /// What to use instead: a sentence.
    pub remedy: String,
}

/// What a refusal is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Subject {
    /// One match of one rule of a route.
    Rule(RuleId),
    /// A whole listener.
    Listener(ListenerOwner),
    /// A field of a Gateway that concerns no single listener.
    Gateway(NamespacedName),
    /// A BackendTLSPolicy, by namespace and name.
    BackendTlsPolicy(NamespacedName),
}

/// Why something is refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RefusalCause {
    /// The backend has no such thing.
    Unsupported {
        /// What it lacks: a sentence.
        detail: String,
    },
    /// There is not enough room.
    Quota {
        /// What is limited: `rules`.
        limit: String,
        /// What has the limit: `the ALB`.
        holder: String,
        /// How many are needed.
        need: u32,
        /// How many there are.
        have: u32,
    },
    /// The value itself makes no sense to the backend.
    Invalid {
        /// What is wrong with it: a sentence.
        detail: String,
    },
}

impl fmt::Display for RefusalCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported { detail } | Self::Invalid { detail } => f.write_str(detail),
            Self::Quota { limit, holder, need, have } => write!(f, "needs {need} {limit}, {holder} allows {have}"),
        }
    }
}

/// What becomes of the traffic of something refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Residue {
    /// It is answered 500, never by another rule's backend.
    Answer500,
    /// Its match cannot be expressed either, so that it reaches whatever matches next. Said loudly.
    FallsThrough,
    /// There is no traffic: nothing listens, or the field shapes no requests.
    NoTraffic,
    /// It is served as if the field were not there.
    Served,
}

impl Refusal {
    /// Cause, consequence and remedy, without the field: what several refusals may have in common.
    pub fn why(&self) -> String {
        Why(self).to_string()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, Why(self))
    }
}

struct Why<'a>(&'a Refusal);

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.cause)?;
        match self.0.residue {
            Residue::Answer500 => f.write_str("; its requests are answered 500")?,
            Residue::FallsThrough => f.write_str("; its requests FALL THROUGH to the next rule that matches")?,
            Residue::NoTraffic | Residue::Served => {}
        }
        if !self.0.remedy.is_empty() {
            write!(f, ". {}", self.0.remedy)?;
        }
        Ok(())
    }
}
