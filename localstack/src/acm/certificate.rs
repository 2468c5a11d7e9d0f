//! A certificate in ACM.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};

use super::issuance::Issuance;
use super::{issuance, key_algorithm};
use crate::state::State;
use crate::tag::Tags;
use crate::wire::Record;
use crate::x509::{Facts, SecretKey};

/// Where a certificate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// ImportCertificate.
    Imported,
    /// RequestCertificate: its key leaves ACM only by ExportCertificate, and only if it was requested so.
    AmazonIssued,
}

/// A certificate.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Certificate {
    /// Its ARN.
    pub arn: String,
    /// Where it comes from.
    pub origin: Origin,
    /// The name that stands for it: its common name, else its first DNS name.
    pub domain: String,
    /// The names that were asked for (requested certificates only).
    pub requested_names: Vec<String>,
    /// How control of the names is to be proven: `DNS`, `EMAIL` or `HTTP` (requested certificates only).
    pub validation: Option<String>,
    /// The key algorithm that was asked for, as ACM names it (requested certificates only).
    pub requested_key: Option<String>,
    /// What was imported or issued; `None` while the validation is pending.
    #[serde(skip_deserializing)]
    pub material: Option<Material>,
    /// When it was requested or first imported.
    pub created: Timestamp,
    /// When it was imported last, or issued.
    pub provided: Option<Timestamp>,
    /// For how long it still counts as used after its last listener has gone.
    pub released: Option<Timestamp>,
    /// What became of it after its request.
    #[serde(default)]
    pub issuance: Issuance,
    /// Its tags.
    pub tags: Tags,
    /// Changes whenever something of it may have changed.
    pub revision: u64,
}

/// What a certificate consists of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Material {
    /// What it says.
    pub facts: Facts,
    /// The certificate as it was given, in PEM.
    #[serde(skip)]
    pub body: String,
    /// The chain as it was given, in PEM.
    #[serde(skip)]
    pub chain: Option<String>,
    /// The certificate and its chain, in DER.
    #[serde(skip)]
    pub certificates: Vec<CertificateDer<'static>>,
    /// The private key.
    #[serde(skip)]
    pub key: SecretKey,
}

impl Certificate {
    /// Its status at a moment.
    pub fn status(&self, now: Timestamp) -> &'static str {
        match &self.material {
            Some(_) if self.issuance.revocation.is_some() => "REVOKED",
            None if issuance::is_overdue(self.created, now) => "VALIDATION_TIMED_OUT",
            None => "PENDING_VALIDATION",
            Some(material) if material.facts.not_after < now => "EXPIRED",
            Some(_) => "ISSUED",
        }
    }

    /// The names that it is for.
    pub fn names(&self) -> Vec<String> {
        self.material.as_ref().map_or_else(|| self.requested_names.clone(), |material| material.facts.names())
    }

    /// Its key algorithm as ACM names it.
    pub fn key_algorithm(&self) -> &str {
        let served = self.material.as_ref().and_then(|material| key_algorithm::name(material.facts.key));
        served.or(self.requested_key.as_deref()).unwrap_or("RSA_2048")
    }

    pub(super) fn origin_name(&self) -> &'static str {
        match self.origin {
            Origin::Imported => "IMPORTED",
            Origin::AmazonIssued => "AMAZON_ISSUED",
        }
    }

    /// The names of its key usages.
    pub fn key_usages(&self) -> Vec<&'static str> {
        let Some(material) = &self.material else { return vec![] };
        match material.facts.key_usage {
            None => vec!["ANY"],
            Some(bits) => {
                key_algorithm::KEY_USAGES.iter().enumerate().filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, name)| *name).collect()
            }
        }
    }

    /// Its extended key usages: names with their OIDs.
    pub fn extended_key_usages(&self) -> Vec<(&'static str, &str)> {
        let oids = self.material.iter().flat_map(|material| &material.facts.extended_key_usage);
        oids.map(|oid| (key_algorithm::extended_key_usage(oid), oid.as_str())).collect()
    }

    /// Where its key comes from.
    pub(super) fn key_origin(&self) -> &'static str {
        match self.origin {
            Origin::Imported => "CUSTOMER_PROVIDED",
            Origin::AmazonIssued => "AWS_MANAGED",
        }
    }

    /// Whether a load balancer uses it, or did a moment ago.
    pub fn is_used(&self, state: &State) -> bool {
        !state.users_of_certificate(&self.arn).is_empty() || self.released.is_some_and(|until| until > state.now)
    }

    /// Whether it was exported since it was issued or last renewed.
    pub fn is_exported_now(&self) -> bool {
        self.issuance.exported.is_some_and(|exported| self.provided.is_some_and(|provided| exported >= provided))
    }

    /// Whether ACM renews it. (User guide, "Managed certificate renewal": if it is used, or exported since it was issued or last renewed, and has not expired.)
    pub(super) fn renewal_eligibility(&self, state: &State, used: bool) -> &'static str {
        let issued = self.origin == Origin::AmazonIssued && self.status(state.now) == "ISSUED";
        if issued && (used || self.is_exported_now()) { "ELIGIBLE" } else { "INELIGIBLE" }
    }

    /// DescribeCertificate's answer.
    pub(super) fn detail(&self, state: &State) -> Record {
        let facts = self.material.as_ref().map(|material| &material.facts);
        let issued = self.origin == Origin::AmazonIssued;
        // AWS answers with hyphens where requests have underscores.
        let algorithm = self.key_algorithm().replace('_', "-");
        let extended = self.extended_key_usages().into_iter().map(|(name, oid)| Record::new().with("Name", name).with("OID", oid));
        let Issuance { revocation, renewal, migration, managed_by, .. } = &self.issuance;
        let renewal = renewal.map(|renewal| {
            let status = renewal.status(state.now);
            let validations =
                self.validations(state, if status == "FAILED" || status == "SUCCESS" { status } else { "PENDING_VALIDATION" });
            Record::new().with("RenewalStatus", status).list("DomainValidationOptions", validations).with("UpdatedAt", renewal.updated)
        });
        let users = state.users_of_certificate(&self.arn);
        let eligibility = self.renewal_eligibility(state, !users.is_empty());
        let mut record =
            Record::new().with("CertificateArn", &self.arn).with("DomainName", &self.domain).list("SubjectAlternativeNames", self.names());
        if issued {
            record = record.list("DomainValidationOptions", self.validations(state, self.validation_status(state)));
        }
        record
            .maybe("ManagedBy", managed_by.as_ref())
            .maybe("Serial", facts.map(|facts| &facts.serial))
            .maybe("Subject", facts.map(|facts| facts.subject.to_string()))
            .maybe("Issuer", facts.map(|facts| facts.issuer.organization().or(facts.issuer.common_name()).unwrap_or_default()))
            .with("CreatedAt", self.created)
            .maybe("IssuedAt", self.provided.filter(|_| issued))
            .maybe("ImportedAt", self.provided.filter(|_| !issued))
            .with("Status", self.status(state.now))
            .maybe("RevokedAt", revocation.as_ref().map(|revocation| revocation.at))
            .maybe("RevocationReason", revocation.as_ref().map(|revocation| &revocation.reason))
            .maybe("NotBefore", facts.map(|facts| facts.not_before))
            .maybe("NotAfter", facts.map(|facts| facts.not_after))
            .with("KeyAlgorithm", algorithm)
            .maybe("SignatureAlgorithm", facts.map(|facts| key_algorithm::signature(&facts.signature_oid)))
            .list("InUseBy", users)
            .with("Type", self.origin_name())
            .list("KeyUsages", self.key_usages().into_iter().map(|name| Record::new().with("Name", name)))
            .list("ExtendedKeyUsages", extended)
            .maybe("RenewalSummary", renewal)
            .with("RenewalEligibility", eligibility)
            .with("Options", self.options())
            .maybe("UpdateSummary", migration.map(|migration| migration.summary(state.now)))
            .with("CertificateKeyPairOrigin", self.key_origin())
    }

    /// Adds what ACM knows of it beside what it says itself.
    pub(super) fn metadata(&self, record: Record, state: &State) -> Record {
        let issued = self.origin == Origin::AmazonIssued;
        let used = !state.users_of_certificate(&self.arn).is_empty();
        record
            .with("Status", self.status(state.now))
            .with("Type", self.origin_name())
            .maybe("ExportOption", issued.then(|| self.export_option()))
            .with("InUse", used)
            .maybe("Exported", issued.then_some(self.issuance.exported.is_some()))
            .with("RenewalEligibility", self.renewal_eligibility(state, used))
            .with("CreatedAt", self.created)
            .maybe("IssuedAt", self.provided.filter(|_| issued))
            .maybe("ImportedAt", self.provided.filter(|_| !issued))
            .maybe("RevokedAt", self.issuance.revocation.as_ref().map(|revocation| revocation.at))
            .maybe("ManagedBy", self.issuance.managed_by.as_ref())
            .with("CertificateKeyPairOrigin", self.key_origin())
    }

    /// Its row in ListCertificates' answer.
    pub(super) fn summary(&self, state: &State) -> Record {
        let facts = self.material.as_ref().map(|material| &material.facts);
        let names = self.names();
        // AWS: the first 100 names.
        let more = names.len() > 100;
        let record = Record::new()
            .with("CertificateArn", &self.arn)
            .with("DomainName", &self.domain)
            .list("SubjectAlternativeNameSummaries", names.into_iter().take(100))
            .with("HasAdditionalSubjectAlternativeNames", more)
            .with("KeyAlgorithm", self.key_algorithm().replace('_', "-"))
            .list("KeyUsages", self.key_usages())
            .list("ExtendedKeyUsages", self.extended_key_usages().into_iter().map(|(name, _)| name))
            .maybe("NotBefore", facts.map(|facts| facts.not_before))
            .maybe("NotAfter", facts.map(|facts| facts.not_after));
        self.metadata(record, state)
    }
}
