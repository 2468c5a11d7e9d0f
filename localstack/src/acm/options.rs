//! Options of certificates, and UpdateCertificateOptions.

use super::certificate::{Certificate, Origin};
use super::issuance::Migration;
use super::{invalid, validation};
use crate::elb::validation::one_of;
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::wire::{Input, Record};

/// `Options` as a caller gives them.
#[derive(Debug, Default)]
pub struct Options {
    /// Whether the key can be exported.
    pub export: Option<bool>,
    /// How control of the names is to be proven.
    pub validation: Option<String>,
    /// Whether the option that is always on now was given.
    transparency: bool,
}

impl Options {
    /// Reads `Options`; `None` if they are absent.
    pub fn read(input: &Input) -> Answer<Option<Self>> {
        let Some(options) = input.child("Options") else { return Ok(None) };
        let value = |member: &str, path: &str| match options.text(member) {
            None => Ok(None),
            Some(value) => one_of(value, path, &["ENABLED", "DISABLED"]).map(|()| Some(value == "ENABLED")),
        };
        let transparency = value("CertificateTransparencyLoggingPreference", "options.certificateTransparencyLoggingPreference")?;
        // API reference, CertificateOptions: "Certificate transparency logging opt-out is no longer available."
        if transparency == Some(false) {
            return Err(invalid(
                "CertificateTransparencyLoggingPreference: certificate transparency logging opt-out is no longer available",
            ));
        }
        let export = value("Export", "options.export")?;
        Ok(Some(Self { export, validation: method(options, "options.validationMethod")?, transparency: transparency.is_some() }))
    }
}

/// `ValidationMethod`.
pub fn method(input: &Input, path: &str) -> Answer<Option<String>> {
    let Some(method) = input.text("ValidationMethod").filter(|text| !text.is_empty()) else { return Ok(None) };
    one_of(method, path, &["EMAIL", "DNS", "HTTP"])?;
    Ok(Some(method.to_string()))
}

impl Certificate {
    /// `Options` as ACM answers them.
    pub(super) fn options(&self) -> Record {
        let issued = self.origin == Origin::AmazonIssued;
        let transparency = if issued { "ENABLED" } else { "DISABLED" };
        Record::new()
            .with("CertificateTransparencyLoggingPreference", transparency)
            .maybe("Export", issued.then(|| self.export_option()))
            .maybe("ValidationMethod", self.validation.as_ref())
    }

    /// `ExportOption`.
    pub fn export_option(&self) -> &'static str {
        if self.issuance.export { "ENABLED" } else { "DISABLED" }
    }
}

/// UpdateCertificateOptions: from mails to DNS (user guide, "Updating a certificate's validation method"). The other options are as they were when the certificate was
/// requested.
pub fn update(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("CertificateArn")?.to_string();
    let options = Options::read(input)?.ok_or_else(|| crate::wire::input::missing("Options"))?;
    input.done()?;
    if !options.transparency && options.export.is_none() && options.validation.is_none() {
        return Err(invalid("Options must have a member: there is nothing to update"));
    }
    let now = state.now;
    let certificate = state.acm.certificate(&arn)?;
    let refused = |code: &'static str, why: &str| Err(ApiError::new(code, format!("The certificate {arn} {why}")));
    if certificate.origin == Origin::Imported {
        return refused("InvalidStateException", "was imported: the UpdateCertificateOptions command is not permitted for it");
    }
    // API reference, CertificateOptions: "You cannot update the value of Export after the certificate is created."
    if options.export.is_some_and(|export| export != certificate.issuance.export) {
        return refused("ValidationException", "was requested with another value of Export, which cannot be updated");
    }
    let Some(wanted) = options.validation else { return Ok(Record::new()) };
    let status = certificate.status(now);
    if status != "ISSUED" {
        return refused("InvalidStateException", &format!("is {status}; the validation method of issued ones can be updated"));
    }
    if certificate.issuance.migration.is_some_and(|migration| migration.is_pending(now)) {
        return refused("ConflictException", "is being updated already");
    }
    if (certificate.validation.as_deref(), wanted.as_str()) != (Some("EMAIL"), "DNS") {
        return refused("ValidationException", "can have its ValidationMethod updated from EMAIL to DNS only");
    }
    state.acm.certificate_mut(&arn)?.issuance.migration = Some(Migration { requested: now, completed: None });
    validation::look(state);
    Ok(Record::new())
}
