//! One condition of a status.

use portico_crds::condition::{
    GatewayClassCondition, GatewayClassReason, GatewayCondition, GatewayReason, ListenerCondition, ListenerReason, ListenerSetCondition,
    ListenerSetReason, PolicyCondition, PolicyReason, RouteCondition, RouteReason,
};
use serde::Serialize;

/// A condition's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody knows yet.
    Unknown,
}

impl Truth {
    /// As it is written in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// A condition as Portico wants it; generation and times are added where it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// Its type, one of [`portico_crds::condition`].
    pub r#type: &'static str,
    /// Whether it holds.
    pub status: Truth,
    /// Its reason, one of [`portico_crds::condition`].
    pub reason: &'static str,
    /// For a person: what, why, and what to do about it.
    pub message: String,
    /// It says no more than that work is under way, and gives way to whatever was found out about the same generation before.
    #[serde(skip)]
    pub tentative: bool,
}

/// A type of conditions, with the reasons that it may have.
pub(crate) trait ConditionType: Copy {
    type Reason: Copy;
    const TYPES: &'static [&'static str];
    fn word(self) -> &'static str;
    fn reason(reason: Self::Reason) -> &'static str;
}

macro_rules! condition_type {
    ($($type:ident: $reason:ident [$($word:ident),+],)+) => {$(
        impl ConditionType for $type {
            type Reason = $reason;
            const TYPES: &'static [&'static str] = &[$($type::$word.as_str()),+];

            fn word(self) -> &'static str {
                self.as_str()
            }

            fn reason(reason: $reason) -> &'static str {
                reason.as_str()
            }
        }
    )+};
}

condition_type! {
    GatewayClassCondition: GatewayClassReason [Accepted, SupportedVersion],
    GatewayCondition: GatewayReason [Accepted, Programmed, ResolvedRefs, InsecureFrontendValidationMode],
    ListenerCondition: ListenerReason [Accepted, Programmed, ResolvedRefs, Conflicted, OverlappingTLSConfig],
    ListenerSetCondition: ListenerSetReason [Accepted, Programmed],
    RouteCondition: RouteReason [Accepted, ResolvedRefs, PartiallyInvalid],
    PolicyCondition: PolicyReason [Accepted, ResolvedRefs],
}

/// The longest message, in characters: metav1.Condition allows 32768, and a person reads far less.
const LONGEST: usize = 4096;

impl Condition {
    pub(crate) fn new<T: ConditionType>(r#type: T, status: Truth, reason: T::Reason, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.chars().count() > LONGEST {
            message = message.chars().take(LONGEST - 1).chain(['…']).collect();
        }
        Self { r#type: r#type.word(), status, reason: T::reason(reason), message, tentative: false }
    }

    pub(crate) fn yes<T: ConditionType>(r#type: T, reason: T::Reason, message: impl Into<String>) -> Self {
        Self::new(r#type, Truth::True, reason, message)
    }

    pub(crate) fn no<T: ConditionType>(r#type: T, reason: T::Reason, message: impl Into<String>) -> Self {
        Self::new(r#type, Truth::False, reason, message)
    }

    pub(crate) fn pending<T: ConditionType>(r#type: T, reason: T::Reason, message: impl Into<String>) -> Self {
        Self { tentative: true, ..Self::new(r#type, Truth::Unknown, reason, message) }
    }
}

/// Several messages as one.
pub(crate) fn join(messages: impl IntoIterator<Item = String>) -> String {
    let mut found: Vec<String> = Vec::new();
    for message in messages {
        if !found.contains(&message) {
            found.push(message);
        }
    }
    // A sentence in the middle needs no full stop.
    let last = found.len().saturating_sub(1);
    let found: Vec<_> =
        found.iter().enumerate().map(|(at, message)| if at < last { message.trim_end_matches('.') } else { message }).collect();
    found.join("; ")
}
