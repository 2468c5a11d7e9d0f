//! What a search asks for.

use jiff::Timestamp;

use crate::acm::certificate::Certificate;
use crate::acm::listing::{KEY_ORIGINS, STATUSES};
use crate::acm::{check_arn, invalid, key_algorithm, only};
use crate::elb::validation::one_of;
use crate::error::{Answer, ApiError};
use crate::state::State;
use crate::wire::Input;

/// AWS: statements that one can join.
const JOINED: std::ops::RangeInclusive<usize> = 1..=15;
/// AWS: length of a text to compare with.
const TEXT_LIMIT: usize = 256;
/// AWS: length of the id of an ACME account.
const ACCOUNT_ID: usize = 36;
const SWITCH: &[&str] = &["ENABLED", "DISABLED"];

/// A filter statement.
#[derive(Debug)]
pub enum Statement {
    /// All must hold.
    And(Vec<Statement>),
    /// One must hold.
    Or(Vec<Statement>),
    /// It must not hold.
    Not(Box<Statement>),
    /// A filter must.
    Filter(Filter),
}

/// A single filter.
#[derive(Debug)]
pub enum Filter {
    Arn(String),
    CommonName(Comparison),
    DnsName(Comparison),
    ExtendedKeyUsage(String),
    KeyUsage(String),
    KeyAlgorithm(String),
    SerialNumber(String),
    NotAfter(Range),
    NotBefore(Range),
    Status(String),
    RenewalStatus(String),
    Type(String),
    InUse(bool),
    Exported(bool),
    ExportOption(String),
    ManagedBy(String),
    ValidationMethod(String),
    KeyOrigin(String),
    /// By ACME's endpoint or account, from which no certificate of this cloud comes.
    Acme,
}

/// A text to compare with, in small letters.
#[derive(Debug)]
pub struct Comparison {
    value: String,
    contains: bool,
}

/// A range of moments, with both ends.
#[derive(Debug)]
pub struct Range {
    start: Option<Timestamp>,
    end: Option<Timestamp>,
}

impl Comparison {
    fn read(input: &Input) -> Answer<Self> {
        let value = input.required("Value")?.to_ascii_lowercase();
        let operator = input.required("ComparisonOperator")?;
        one_of(operator, "comparisonOperator", &["CONTAINS", "EQUALS"])?;
        if value.chars().count() > TEXT_LIMIT {
            return Err(invalid(format!(
                "1 validation error detected: Value at 'value' failed to satisfy constraint: Member must have length less than or equal to {TEXT_LIMIT}"
            )));
        }
        Ok(Self { value, contains: operator == "CONTAINS" })
    }

    fn holds(&self, text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        if self.contains { text.contains(&self.value) } else { text == self.value }
    }
}

impl Range {
    fn read(input: &Input) -> Answer<Self> {
        let moment = |member: &str| -> Answer<Option<Timestamp>> {
            let Some(text) = input.text(member) else { return Ok(None) };
            // Seconds since 1970, perhaps with a fraction.
            let seconds: f64 = text.parse().map_err(|_| ApiError::validation(format!("'{text}' is not a valid value for '{member}'")))?;
            let within = (-1e11..1e11).contains(&seconds);
            let moment =
                within.then_some((seconds * 1000.0) as i64).and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok());
            moment.map(Some).ok_or_else(|| ApiError::validation(format!("'{text}' is not a valid value for '{member}'")))
        };
        Ok(Self { start: moment("Start")?, end: moment("End")? })
    }

    fn holds(&self, at: Option<Timestamp>) -> bool {
        at.is_some_and(|at| self.start.is_none_or(|start| start <= at) && self.end.is_none_or(|end| at <= end))
    }
}

/// A value of an enumeration.
fn word(input: &Input, member: &str, allowed: &[&str]) -> Answer<String> {
    let value = input.own_text().unwrap_or_default();
    one_of(value, member, allowed)?;
    Ok(value.to_string())
}

fn flag(parent: &Input, member: &str) -> Answer<bool> {
    parent.flag(member)?.ok_or_else(|| crate::wire::input::missing(member))
}

impl Filter {
    fn read(input: &Input) -> Answer<Self> {
        let path = "filter";
        let (member, inner) = only(input, path, &["CertificateArn", "X509AttributeFilter", "AcmCertificateMetadataFilter"])?;
        match member {
            "X509AttributeFilter" => Self::of_x509(inner),
            "AcmCertificateMetadataFilter" => Self::of_metadata(inner),
            _ => {
                let arn = inner.own_text().unwrap_or_default();
                check_arn(arn).map_err(|error| invalid(format!("certificateArn: {}", error.message)))?;
                Ok(Self::Arn(arn.to_string()))
            }
        }
    }

    fn of_x509(input: &Input) -> Answer<Self> {
        let members =
            &["Subject", "SubjectAlternativeName", "ExtendedKeyUsage", "KeyUsage", "KeyAlgorithm", "SerialNumber", "NotAfter", "NotBefore"];
        let (member, inner) = only(input, "x509AttributeFilter", members)?;
        Ok(match member {
            "Subject" => Self::CommonName(Comparison::read(only(inner, "subject", &["CommonName"])?.1)?),
            "SubjectAlternativeName" => Self::DnsName(Comparison::read(only(inner, "subjectAlternativeName", &["DnsName"])?.1)?),
            "ExtendedKeyUsage" => Self::ExtendedKeyUsage(word(inner, "extendedKeyUsage", key_algorithm::EXTENDED_KEY_USAGES)?),
            "KeyUsage" => Self::KeyUsage(word(inner, "keyUsage", &key_algorithm::key_usages())?),
            "KeyAlgorithm" => Self::KeyAlgorithm(word(inner, "keyAlgorithm", key_algorithm::NAMES)?),
            "NotAfter" => Self::NotAfter(Range::read(inner)?),
            "NotBefore" => Self::NotBefore(Range::read(inner)?),
            _ => Self::SerialNumber(serial_number(inner.own_text().unwrap_or_default())?),
        })
    }

    fn of_metadata(input: &Input) -> Answer<Self> {
        let members = &[
            "Status",
            "RenewalStatus",
            "Type",
            "InUse",
            "Exported",
            "ExportOption",
            "ManagedBy",
            "ValidationMethod",
            "CertificateKeyPairOrigin",
            "AcmeEndpointArn",
            "AcmeAccountId",
        ];
        let (member, inner) = only(input, "acmCertificateMetadataFilter", members)?;
        Ok(match member {
            "Status" => Self::Status(word(inner, "status", STATUSES)?),
            "RenewalStatus" => {
                let statuses = &["PENDING_AUTO_RENEWAL", "PENDING_VALIDATION", "SUCCESS", "FAILED"];
                Self::RenewalStatus(word(inner, "renewalStatus", statuses)?)
            }
            "Type" => Self::Type(word(inner, "type", &["IMPORTED", "AMAZON_ISSUED", "PRIVATE"])?),
            "InUse" => Self::InUse(flag(input, "InUse")?),
            "Exported" => Self::Exported(flag(input, "Exported")?),
            "ExportOption" => Self::ExportOption(word(inner, "exportOption", SWITCH)?),
            "ManagedBy" => Self::ManagedBy(word(inner, "managedBy", &["CLOUDFRONT"])?),
            "ValidationMethod" => Self::ValidationMethod(word(inner, "validationMethod", &["EMAIL", "DNS", "HTTP"])?),
            "CertificateKeyPairOrigin" => Self::KeyOrigin(word(inner, "certificateKeyPairOrigin", KEY_ORIGINS)?),
            "AcmeEndpointArn"
                if !inner.own_text().is_some_and(|arn| arn.starts_with("arn:aws:acm:") && arn.contains(":acme-endpoint/")) =>
            {
                return Err(invalid("acmeEndpointArn is not the ARN of an ACME endpoint"));
            }
            "AcmeAccountId" if inner.own_text().map(str::len) != Some(ACCOUNT_ID) => {
                return Err(invalid(format!("acmeAccountId must have {ACCOUNT_ID} characters")));
            }
            _ => Self::Acme,
        })
    }

    fn holds(&self, one: &Certificate, state: &State) -> bool {
        let facts = one.material.as_ref().map(|material| &material.facts);
        match self {
            Self::Arn(arn) => one.arn == *arn,
            Self::CommonName(comparison) => comparison.holds(one.common_name()),
            Self::DnsName(comparison) => one.names().iter().any(|name| comparison.holds(name)),
            Self::ExtendedKeyUsage(wanted) if wanted == "NONE" => facts.is_some() && one.extended_key_usages().is_empty(),
            Self::ExtendedKeyUsage(wanted) => one.extended_key_usages().iter().any(|(name, _)| name == wanted),
            Self::KeyUsage(wanted) => one.key_usages().iter().any(|name| name == wanted),
            Self::KeyAlgorithm(wanted) => one.key_algorithm() == wanted,
            Self::SerialNumber(wanted) => facts.is_some_and(|facts| facts.serial == *wanted),
            Self::NotAfter(range) => range.holds(facts.map(|facts| facts.not_after)),
            Self::NotBefore(range) => range.holds(facts.map(|facts| facts.not_before)),
            Self::Status(wanted) => one.status(state.now) == wanted,
            Self::RenewalStatus(wanted) => one.renewal_status(state.now) == Some(wanted),
            Self::Type(wanted) => one.origin_name() == wanted,
            Self::InUse(wanted) => state.users_of_certificate(&one.arn).is_empty() != *wanted,
            Self::Exported(wanted) => one.issuance.exported.is_some() == *wanted,
            Self::ExportOption(wanted) => one.export_option() == wanted,
            Self::ManagedBy(wanted) => one.issuance.managed_by.as_ref() == Some(wanted),
            Self::ValidationMethod(wanted) => one.validation.as_ref() == Some(wanted),
            Self::KeyOrigin(wanted) => one.key_origin() == wanted,
            Self::Acme => false,
        }
    }
}

/// A serial number as the model's pattern has it: 2 to 20 pairs of hexadecimal digits.
fn serial_number(text: &str) -> Answer<String> {
    let pairs: Vec<&str> = text.split(':').collect();
    let pair = |pair: &&str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if (2..=20).contains(&pairs.len()) && pairs.iter().all(pair) {
        return Ok(text.to_string());
    }
    Err(invalid(format!(
        "1 validation error detected: Value '{text}' at 'serialNumber' failed to satisfy constraint: Member must satisfy regular expression pattern: [0-9a-f]{{2}}(:[0-9a-f]{{2}}){{1,19}}"
    )))
}

impl Statement {
    /// Reads a statement, whose depth the request's format bounds.
    pub fn read(input: &Input, path: &str) -> Answer<Self> {
        let (member, inner) = only(input, path, &["And", "Or", "Not", "Filter"])?;
        let joined = |name: &str| -> Answer<Vec<Self>> {
            let items = input.items(member);
            if !JOINED.contains(&items.len()) {
                let (low, high) = JOINED.into_inner();
                return Err(invalid(format!(
                    "1 validation error detected: Value at '{path}.{name}' failed to satisfy constraint: Member must have length between {low} and {high}"
                )));
            }
            items.into_iter().map(|item| Self::read(item, &format!("{path}.{name}"))).collect()
        };
        Ok(match member {
            "And" => Self::And(joined("and")?),
            "Or" => Self::Or(joined("or")?),
            "Not" => Self::Not(Box::new(Self::read(inner, &format!("{path}.not"))?)),
            _ => Self::Filter(Filter::read(inner)?),
        })
    }

    /// Whether it holds of a certificate.
    pub fn holds(&self, one: &Certificate, state: &State) -> bool {
        match self {
            Self::And(all) => all.iter().all(|statement| statement.holds(one, state)),
            Self::Or(any) => any.iter().any(|statement| statement.holds(one, state)),
            Self::Not(statement) => !statement.holds(one, state),
            Self::Filter(filter) => filter.holds(one, state),
        }
    }
}
