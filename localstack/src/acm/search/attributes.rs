//! `X509Attributes`: what a certificate says, as SearchCertificates tells it.

use crate::acm::certificate::Certificate;
use crate::wire::Record;
use crate::x509::GeneralName;
use crate::x509::name::DistinguishedName;

/// Attributes of a distinguished name that have a member of their own, by their short names, or their OIDs where they have none.
const MEMBERS: &[(&str, &str)] = &[
    ("CN", "CommonName"),
    ("C", "Country"),
    ("2.5.4.46", "DistinguishedNameQualifier"),
    ("2.5.4.44", "GenerationQualifier"),
    ("2.5.4.42", "GivenName"),
    ("2.5.4.43", "Initials"),
    ("L", "Locality"),
    ("O", "Organization"),
    ("OU", "OrganizationalUnit"),
    ("2.5.4.65", "Pseudonym"),
    ("SERIALNUMBER", "SerialNumber"),
    ("ST", "State"),
    ("2.5.4.4", "Surname"),
    ("2.5.4.12", "Title"),
];

/// A distinguished name. Of an attribute that stands more than once the most specific one counts.
fn distinguished_name(name: &DistinguishedName) -> Record {
    let values = |short: &str| name.0.iter().filter(|(known, _)| known == short).map(|(_, value)| value.clone()).collect::<Vec<_>>();
    let mut record = Record::new();
    for (short, member) in MEMBERS {
        record = record.maybe(member, values(short).pop());
    }
    let components = values("DC");
    if !components.is_empty() {
        record = record.list("DomainComponents", components);
    }
    let known = |name: &str| name == "DC" || MEMBERS.iter().any(|(short, _)| *short == name);
    let custom = name.0.iter().filter(|(name, _)| !known(name));
    let custom: Vec<Record> = custom.map(|(oid, value)| Record::new().with("ObjectIdentifier", oid).with("Value", value)).collect();
    if custom.is_empty() { record } else { record.list("CustomAttributes", custom) }
}

fn general_name(name: &GeneralName) -> Record {
    let record = Record::new();
    match name {
        GeneralName::Directory(name) => record.with("DirectoryName", distinguished_name(name)),
        GeneralName::Dns(name) => record.with("DnsName", name),
        GeneralName::Address(address) => record.with("IpAddress", address.to_string()),
        GeneralName::Other { oid, value } => record.with("OtherName", Record::new().with("ObjectIdentifier", oid).with("Value", value)),
        GeneralName::RegisteredId(oid) => record.with("RegisteredId", oid),
        GeneralName::Mail(mail) => record.with("Rfc822Name", mail),
        GeneralName::Uri(uri) => record.with("UniformResourceIdentifier", uri),
    }
}

/// What a certificate says; of one that has not been issued, what it is going to say.
pub fn record(certificate: &Certificate) -> Record {
    let names = certificate.requested_names.iter().map(|name| Record::new().with("DnsName", name));
    let Some(material) = &certificate.material else {
        return Record::new()
            .with("Subject", Record::new().with("CommonName", &certificate.domain))
            .list("SubjectAlternativeNames", names)
            .with("KeyAlgorithm", certificate.key_algorithm());
    };
    let facts = &material.facts;
    Record::new()
        .with("Issuer", distinguished_name(&facts.issuer))
        .with("Subject", distinguished_name(&facts.subject))
        .list("SubjectAlternativeNames", facts.alternative_names.iter().map(general_name))
        .list("ExtendedKeyUsages", certificate.extended_key_usages().into_iter().map(|(name, _)| name))
        .with("KeyAlgorithm", certificate.key_algorithm())
        .list("KeyUsages", certificate.key_usages())
        .with("SerialNumber", &facts.serial)
        .with("NotAfter", facts.not_after)
        .with("NotBefore", facts.not_before)
}
