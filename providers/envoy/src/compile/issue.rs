//! What is wrong with a field, before it is known what becomes of the traffic.

use portico_providers::{Refusal, RefusalCause, Residue, Subject};

/// A field that Envoy cannot honour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Issue {
    field: String,
    cause: RefusalCause,
    remedy: String,
}

impl Issue {
    /// Envoy, or Portico's use of it, has no such thing. `detail` is a sentence without its full stop.
    pub fn unsupported(field: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { field: field.into(), cause: RefusalCause::Unsupported { detail: detail.into() }, remedy: remedy.into() }
    }

    /// The value itself makes no sense.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { field: field.into(), cause: RefusalCause::Invalid { detail: detail.into() }, remedy: remedy.into() }
    }

    pub fn refuse(self, subject: Subject, residue: Residue) -> Refusal {
        Refusal { subject, field: self.field, cause: self.cause, residue, remedy: self.remedy }
    }
}
