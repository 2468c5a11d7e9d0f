//! What became of a requested certificate after its request: export, revocation, renewal, and its way from mails to DNS.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::wire::Record;

/// How long ACM waits for a proof of control (API reference, CertificateDetail: "for 72 hours and then times out").
pub const PATIENCE: SignedDuration = SignedDuration::from_hours(72);

/// Whether ACM has waited for a proof of control in vain since a moment.
pub fn is_overdue(since: Timestamp, now: Timestamp) -> bool {
    now.duration_since(since) > PATIENCE
}

/// What became of a requested certificate; empty for an imported one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Issuance {
    /// Whether its key can be exported: the option `Export`, which never changes.
    pub export: bool,
    /// When it was exported last.
    pub exported: Option<Timestamp>,
    /// When and why it was revoked.
    pub revocation: Option<Revocation>,
    /// The last renewal.
    pub renewal: Option<Renewal>,
    /// The domains that validation mails go to, by the names that they are about; a name that is not here stands for itself.
    pub mail_domains: BTreeMap<String, String>,
    /// When validation mails were sent last.
    pub mailed: Option<Timestamp>,
    /// The last change of the validation method.
    pub migration: Option<Migration>,
    /// The service that manages it: `CLOUDFRONT`.
    pub managed_by: Option<String>,
}

/// That a certificate was revoked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// Why, as the caller said: `KEY_COMPROMISE`.
    pub reason: String,
}

/// A renewal.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Renewal {
    /// Whether control of the names has yet to be proven.
    pub pending: bool,
    /// When that changed last.
    pub updated: Timestamp,
}

impl Renewal {
    /// Its status as ACM names it.
    pub fn status(self, now: Timestamp) -> &'static str {
        match self.pending {
            true if is_overdue(self.updated, now) => "FAILED",
            true => "PENDING_VALIDATION",
            false => "SUCCESS",
        }
    }
}

/// A change of the validation method, which can be one from mails to DNS only.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Migration {
    /// When it was asked for.
    pub requested: Timestamp,
    /// When all names' records were found.
    pub completed: Option<Timestamp>,
}

impl Migration {
    /// Its status as ACM names it. (User guide, "Updating a certificate's validation method": the records must be there within 72 hours.)
    pub fn status(self, now: Timestamp) -> &'static str {
        match self.completed {
            Some(_) => "SUCCESS",
            None if is_overdue(self.requested, now) => "FAILED",
            None => "PENDING_DOMAIN_VALIDATION",
        }
    }

    /// Whether records are waited for.
    pub fn is_pending(self, now: Timestamp) -> bool {
        self.completed.is_none() && !is_overdue(self.requested, now)
    }

    /// `UpdateSummary` of DescribeCertificate.
    pub fn summary(self, now: Timestamp) -> Record {
        let failed = self.requested.checked_add(PATIENCE).ok().filter(|until| *until < now);
        Record::new()
            .with("Status", self.status(now))
            .with("Type", "DOMAIN_VALIDATION_METHOD")
            .with("DomainValidationMethodUpdateSummary", Record::new().with("From", "EMAIL").with("To", "DNS"))
            .with("RequestedAt", self.requested)
            .with("UpdatedAt", self.completed.or(failed).unwrap_or(self.requested))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_a_proof_fails_after_72_hours() {
        let begin: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        let after = |hours| begin + SignedDuration::from_hours(hours);
        let renewal = Renewal { pending: true, updated: begin };
        let migration = Migration { requested: begin, completed: None };
        let rows = [
            (0, "PENDING_VALIDATION", "PENDING_DOMAIN_VALIDATION", true),
            (72, "PENDING_VALIDATION", "PENDING_DOMAIN_VALIDATION", true),
            (73, "FAILED", "FAILED", false),
        ];
        for (hours, renews, migrates, pending) in rows {
            let now = after(hours);
            assert_eq!((renewal.status(now), migration.status(now), migration.is_pending(now)), (renews, migrates, pending), "{hours}");
        }
        let done = Migration { completed: Some(after(1)), ..migration };
        assert_eq!((done.status(after(100)), done.is_pending(after(2))), ("SUCCESS", false));
        assert_eq!(migration.summary(after(100)).member("UpdatedAt"), Some(&after(72).into()));
        assert_eq!(Renewal { pending: false, updated: begin }.status(after(100)), "SUCCESS");
    }
}
