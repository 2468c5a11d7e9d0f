//! Distinguished names.

use serde::Serialize;

use super::der::{Element, dotted, tag};

/// A subject or an issuer: attributes by their short names, in the order of the certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DistinguishedName(pub Vec<(String, String)>);

impl DistinguishedName {
    pub(super) fn read(name: Element<'_>) -> Option<Self> {
        let mut attributes = Vec::new();
        for set in name.inside().all() {
            for attribute in set.inside().all() {
                let mut fields = attribute.inside();
                let oid = dotted(fields.expect(tag::OBJECT_IDENTIFIER)?.content);
                let value = String::from_utf8_lossy(fields.any()?.content).into_owned();
                attributes.push((short_name(&oid).map_or(oid, str::to_string), value));
            }
        }
        Some(Self(attributes))
    }

    fn get(&self, short: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| name == short).map(|(_, value)| value.as_str())
    }

    /// The most specific common name.
    pub fn common_name(&self) -> Option<&str> {
        self.get("CN")
    }

    /// The organization.
    pub fn organization(&self) -> Option<&str> {
        self.get("O")
    }
}

impl std::fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{name}={value}")?;
        }
        Ok(())
    }
}

/// RFC 4514 and RFC 4519.
fn short_name(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "2.5.4.3" => "CN",
        "2.5.4.5" => "SERIALNUMBER",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.25" => "DC",
        _ => return None,
    })
}
