//! SearchCertificates: certificates that a statement of filters chooses, in an order.

use jiff::Timestamp;

use super::certificate::Certificate;
use super::{invalid, paging};
use crate::elb::validation::one_of;
use crate::error::Answer;
use crate::page;
use crate::state::State;
use crate::wire::{Input, Record};

mod attributes;
mod filter;

use filter::Statement;

/// By what results can be sorted.
const SORTS: &[&str] = &[
    "CREATED_AT",
    "NOT_AFTER",
    "STATUS",
    "RENEWAL_STATUS",
    "EXPORTED",
    "IN_USE",
    "NOT_BEFORE",
    "KEY_ALGORITHM",
    "TYPE",
    "CERTIFICATE_ARN",
    "COMMON_NAME",
    "REVOKED_AT",
    "RENEWAL_ELIGIBILITY",
    "ISSUED_AT",
    "MANAGED_BY",
    "EXPORT_OPTION",
    "VALIDATION_METHOD",
    "IMPORTED_AT",
    "ACME_ENDPOINT_ARN",
    "ACME_ACCOUNT_ID",
    "CERTIFICATE_KEY_PAIR_ORIGIN",
];

/// A moment as a text that sorts as moments do.
fn moment(at: Timestamp) -> String {
    // Timestamps begin ten thousand years before 1970: none is below zero here.
    format!("{:020}", i128::from(at.as_microsecond()) + 1_000_000_000_000_000_000)
}

impl Certificate {
    /// `RenewalStatus`.
    fn renewal_status(&self, now: Timestamp) -> Option<&'static str> {
        self.issuance.renewal.map(|renewal| renewal.status(now))
    }

    fn common_name(&self) -> &str {
        self.material.as_ref().map_or(Some(self.domain.as_str()), |material| material.facts.subject.common_name()).unwrap_or_default()
    }

    /// What it is sorted by; nothing sorts before something.
    fn sort_value(&self, state: &State, by: &str) -> String {
        let facts = self.material.as_ref().map(|material| &material.facts);
        let issued = self.requested_key.is_some();
        let text = |text: &str| text.to_string();
        match by {
            "CREATED_AT" => Some(moment(self.created)),
            "NOT_AFTER" => facts.map(|facts| moment(facts.not_after)),
            "NOT_BEFORE" => facts.map(|facts| moment(facts.not_before)),
            "STATUS" => Some(text(self.status(state.now))),
            "RENEWAL_STATUS" => self.renewal_status(state.now).map(text),
            "EXPORTED" => Some(self.issuance.exported.is_some().to_string()),
            "IN_USE" => Some((!state.users_of_certificate(&self.arn).is_empty()).to_string()),
            "KEY_ALGORITHM" => Some(text(self.key_algorithm())),
            "TYPE" => Some(text(self.origin_name())),
            "COMMON_NAME" => Some(text(self.common_name())),
            "REVOKED_AT" => self.issuance.revocation.as_ref().map(|revocation| moment(revocation.at)),
            "RENEWAL_ELIGIBILITY" => Some(text(self.renewal_eligibility(state, !state.users_of_certificate(&self.arn).is_empty()))),
            "ISSUED_AT" => self.provided.filter(|_| issued).map(moment),
            "IMPORTED_AT" => self.provided.filter(|_| !issued).map(moment),
            "MANAGED_BY" => self.issuance.managed_by.clone(),
            "EXPORT_OPTION" => Some(text(self.export_option())),
            "VALIDATION_METHOD" => self.validation.clone(),
            "CERTIFICATE_KEY_PAIR_ORIGIN" => Some(text(self.key_origin())),
            // By ARN, which comes last in every order; nothing here was issued through ACME.
            _ => None,
        }
        .unwrap_or_default()
    }

    fn found(&self, state: &State) -> Record {
        let metadata =
            Record::new().maybe("RenewalStatus", self.renewal_status(state.now)).maybe("ValidationMethod", self.validation.as_ref());
        Record::new()
            .with("CertificateArn", &self.arn)
            .with("X509Attributes", attributes::record(self))
            .with("CertificateMetadata", Record::new().with("AcmCertificateMetadata", self.metadata(metadata, state)))
    }
}

/// SearchCertificates.
pub fn search(state: &mut State, input: &Input) -> Answer<Record> {
    let statement = input.child("FilterStatement").map(|statement| Statement::read(statement, "filterStatement")).transpose()?;
    let (token, size) = paging(input, "MaxResults", 100, 500)?;
    let [by, order] = ["SortBy", "SortOrder"].map(|member| input.text(member).filter(|text| !text.is_empty()));
    input.done()?;
    if let Some(by) = by {
        one_of(by, "sortBy", SORTS)?;
    }
    if let Some(order) = order {
        one_of(order, "sortOrder", &["ASCENDING", "DESCENDING"])?;
        if by.is_none() {
            return Err(invalid("SortOrder needs a SortBy"));
        }
    }
    let descending = order == Some("DESCENDING");
    // The end of a value sorts before all that could go on; in the other order every byte is its opposite.
    let key = |one: &&Certificate| {
        let value = by.map(|by| one.sort_value(state, by)).unwrap_or_default();
        let bytes = format!("{value}\0{}\0", one.arn).into_bytes();
        bytes.into_iter().map(|byte| format!("{:02x}", if descending { !byte } else { byte })).collect::<String>()
    };
    let all = state.acm.certificates.values();
    let mut found: Vec<(String, &Certificate)> =
        all.filter(|one| statement.as_ref().is_none_or(|statement| statement.holds(one, state))).map(|one| (key(&one), one)).collect();
    found.sort_by(|(first, _), (second, _)| first.cmp(second));
    let (shown, next) =
        page::page(found, |(key, _)| key.clone(), token.as_deref(), size).map_err(|_| invalid("The NextToken is not valid"))?;
    Ok(Record::new().list("Results", shown.into_iter().map(|(_, one)| one.found(state))).maybe("NextToken", next))
}
