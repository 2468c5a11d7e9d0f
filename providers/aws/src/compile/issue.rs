//! What is wrong with a field, before it is known what becomes of the traffic.

use std::borrow::Cow;

use portico_providers::{Refusal, RefusalCause, Residue, Subject};

/// A field that an ALB cannot honour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Issue {
    /// Path from the object's root: `spec.rules[2].timeouts.request`.
    pub field: String,
    /// Why.
    pub cause: RefusalCause,
    /// What to use instead.
    pub remedy: String,
}

/// A limit that is exceeded.
pub(super) struct Quota {
    /// What is limited.
    pub limit: &'static str,
    /// What has the limit.
    pub holder: Cow<'static, str>,
    /// How many are needed.
    pub need: usize,
    /// How many are allowed.
    pub have: usize,
}

/// A sentence without its full stop: refusals go on after it.
fn sentence(detail: impl Into<String>) -> String {
    detail.into().trim_end_matches('.').to_owned()
}

impl Issue {
    pub fn unsupported(field: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { field: field.into(), cause: RefusalCause::Unsupported { detail: sentence(detail) }, remedy: remedy.into() }
    }

    pub fn invalid(field: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { field: field.into(), cause: RefusalCause::Invalid { detail: sentence(detail) }, remedy: remedy.into() }
    }

    pub fn quota(field: impl Into<String>, quota: Quota, remedy: impl Into<String>) -> Self {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let Quota { limit, holder, need, have } = quota;
        Self {
            field: field.into(),
            cause: RefusalCause::Quota { limit: limit.into(), holder: holder.into_owned(), need: count(need), have: count(have) },
            remedy: remedy.into(),
        }
    }

    pub fn refuse(self, subject: Subject, residue: Residue) -> Refusal {
        Refusal { subject, field: self.field, cause: self.cause, residue, remedy: self.remedy }
    }
}
