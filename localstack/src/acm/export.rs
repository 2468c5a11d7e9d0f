//! ExportCertificate.

use super::certificate::Origin;
use super::{import, invalid};
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::wire::{Input, Record};
use crate::x509::encrypted_key;

/// AWS: length of a passphrase.
const PASSPHRASE: std::ops::RangeInclusive<usize> = 4..=128;

/// `Passphrase`. (API reference: "you can use any ASCII character except #, $, or %".)
fn passphrase(input: &Input) -> Answer<Vec<u8>> {
    let phrase = import::blob(input, "Passphrase")?.ok_or_else(|| crate::wire::input::missing("Passphrase"))?;
    if !PASSPHRASE.contains(&phrase.len()) {
        let (low, high) = PASSPHRASE.into_inner();
        return Err(invalid(format!(
            "1 validation error detected: Value at 'passphrase' failed to satisfy constraint: Member must have length between {low} and {high}"
        )));
    }
    if !phrase.is_ascii() || phrase.iter().any(|letter| b"#$%".contains(letter)) {
        return Err(invalid("The passphrase can have any ASCII character except #, $, or %"));
    }
    Ok(phrase)
}

/// ExportCertificate: the certificate, its chain, and its key under the passphrase.
pub fn export(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("CertificateArn")?.to_string();
    let passphrase = passphrase(input)?;
    input.done()?;
    let now = state.now;
    let certificate = state.acm.certificate(&arn)?;
    // Of public certificates those that were requested so, of private ones all, which this cloud does not have.
    if certificate.origin == Origin::Imported || !certificate.issuance.export {
        return Err(invalid(format!(
            "Certificate ARN: {arn} is not a private certificate, nor a public one whose option Export is ENABLED"
        )));
    }
    if certificate.issuance.revocation.is_some() {
        return Err(invalid(format!("The certificate {arn} is REVOKED and cannot be exported")));
    }
    let Some(material) = &certificate.material else { return Err(super::in_progress(&arn)) };
    let failed = || ApiError::with_status("InternalFailure", "The private key could not be encrypted", 500);
    let key = encrypted_key::pem(&material.key, &passphrase).ok_or_else(failed)?;
    let answer =
        Record::new().with("Certificate", &material.body).maybe("CertificateChain", material.chain.as_ref()).with("PrivateKey", key);
    state.acm.certificate_mut(&arn)?.issuance.exported = Some(now);
    Ok(answer)
}
