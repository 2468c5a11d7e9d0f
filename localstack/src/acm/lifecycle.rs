//! RenewCertificate and RevokeCertificate: what can be done with a certificate that was exported.

use super::certificate::Origin;
use super::issuance::{Renewal, Revocation};
use super::{invalid, issue, validation};
use crate::elb::validation::one_of;
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::wire::{Input, Record};

/// Why a certificate was revoked, as callers say it.
const REASONS: &[&str] = &[
    "UNSPECIFIED",
    "KEY_COMPROMISE",
    "CA_COMPROMISE",
    "AFFILIATION_CHANGED",
    "SUPERCEDED",
    "SUPERSEDED",
    "CESSATION_OF_OPERATION",
    "CERTIFICATE_HOLD",
    "REMOVE_FROM_CRL",
    "PRIVILEGE_WITHDRAWN",
    "A_A_COMPROMISE",
];

/// RenewCertificate: at once if control of the names is still proven; names whose DNS is elsewhere count as proven, and mails have to be answered anew. (User guide,
/// "Force certificate renewal": only certificates that were exported, since they were issued or last renewed.)
pub fn renew(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("CertificateArn")?.to_string();
    input.done()?;
    let now = state.now;
    let certificate = state.acm.certificate(&arn)?;
    let renews = certificate.issuance.renewal.is_some_and(|renewal| renewal.status(now) == "PENDING_VALIDATION");
    let status = certificate.status(now);
    if renews || status == "PENDING_VALIDATION" {
        return Err(ApiError::new("RequestInProgressException", format!("The certificate {arn} is being issued or renewed")));
    }
    if certificate.origin != Origin::AmazonIssued || status != "ISSUED" {
        return Err(invalid(format!("The certificate {arn} is not eligible for renewal: it was imported, or is {status}")));
    }
    if !certificate.is_exported_now() {
        return Err(invalid(format!("The certificate {arn} must have at least one relation of type EXPORT: export it before")));
    }
    let proven = certificate.requested_names.iter().all(|name| validation::is_proven(state, name) != Some(false));
    if certificate.validation.as_deref() != Some("EMAIL") && proven {
        return issue::proceed(state, &arn).map(|()| Record::new());
    }
    let issuance = &mut state.acm.certificate_mut(&arn)?.issuance;
    issuance.renewal = Some(Renewal { pending: true, updated: now });
    issuance.mailed = Some(now);
    Ok(Record::new())
}

/// RevokeCertificate, for ever. (User guide, "Revoke a public certificate": only certificates that were exported; API reference: not while a resource uses it.)
pub fn revoke(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("CertificateArn")?.to_string();
    let reason = input.required("RevocationReason")?.to_string();
    input.done()?;
    one_of(&reason, "revocationReason", REASONS)?;
    let now = state.now;
    let certificate = state.acm.certificate(&arn)?;
    let status = certificate.status(now);
    if certificate.issuance.exported.is_none() {
        return Err(invalid(format!("The certificate {arn} has never been exported; only exported ones can be revoked")));
    }
    if status != "ISSUED" {
        return Err(invalid(format!("The certificate {arn} is {status}; only issued ones can be revoked")));
    }
    if certificate.is_used(state) {
        return Err(super::in_use(state, &arn));
    }
    state.acm.certificate_mut(&arn)?.issuance.revocation = Some(Revocation { at: now, reason });
    Ok(Record::new().with("CertificateArn", arn))
}
