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

    /// The name as RFC 2253 writes it: the most specific attribute first, special characters escaped.
    pub fn rfc2253(&self) -> String {
        self.0.iter().rev().map(|(name, value)| format!("{name}={}", escaped(value))).collect::<Vec<_>>().join(",")
    }
}

/// RFC 2253, 2.4.
fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut out = String::new();
    for (at, letter) in value.chars().enumerate() {
        let special = ",+\"\\<>;".contains(letter) || at == 0 && "# ".contains(letter) || at == last && letter == ' ';
        if special {
            out.push('\\');
        }
        out.push(letter);
    }
    out
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_2253_begins_with_the_most_specific_attribute() {
        let name = |pairs: &[(&str, &str)]| DistinguishedName(pairs.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect());
        let rows = [
            (name(&[("C", "US"), ("O", "mTLS"), ("CN", "a.example")]), "CN=a.example,O=mTLS,C=US"),
            (name(&[("O", "Sue, Grabbit and Runn")]), "O=Sue\\, Grabbit and Runn"),
            (name(&[("CN", "#a+b ")]), "CN=\\#a\\+b\\ "),
        ];
        for (name, expected) in rows {
            assert_eq!(name.rfc2253(), expected);
        }
    }
}
