//! What compile knows of the account besides the plan: its limits, certificates in ACM, security policies.

use crate::observed::Limits;
use crate::ssl_policy;
use portico_crds::tls_option::SSL_POLICY;
use portico_crds::v1alpha1::EffectiveProfile;
use portico_providers::{CertificateReference, Hostname, Plan};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is known of an account in one region.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Limits; AWS's defaults where nobody looked.
    pub limits: Limits,
    /// Certificates in ACM; absent where nobody looked.
    pub certificates: Option<Certificates>,
    /// Security policies beyond [`ssl_policy::KNOWN`].
    pub ssl_policies: Arc<BTreeSet<String>>,
}

impl From<Limits> for Account {
    fn from(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }
}

impl Account {
    /// Whether a load balancer can have a security policy.
    pub fn has_ssl_policy(&self, name: &str) -> bool {
        ssl_policy::KNOWN.contains(&name) || self.ssl_policies.contains(name)
    }
}

/// Certificates in ACM, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    /// As they were last listed.
    pub held: Arc<HeldCertificates>,
    /// Why they cannot be listed now: what is not among `held` may be there all the same.
    pub unread: Option<Unread>,
}

/// Why something is not known that AWS was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unread {
    /// What went wrong: a sentence.
    pub detail: String,
    /// What to do about it: a sentence.
    pub remedy: String,
}

/// Certificates that ACM holds, by ARN.
pub type HeldCertificates = BTreeMap<String, HeldCertificate>;

/// A certificate that ACM holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldCertificate {
    /// ACM's word for where it stands: `ISSUED`, `EXPIRED`, `PENDING_VALIDATION` …
    pub status: String,
    /// DNS names that it is for.
    #[serde(default)]
    pub names: Vec<String>,
    /// End of validity: RFC 3339, UTC, whole seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// Whether anything serves it.
    #[serde(default)]
    pub in_use: bool,
    /// Whether it was imported, and not issued by Amazon.
    #[serde(default)]
    pub imported: bool,
    /// Whether it carries marks of Portico: it then lives as long as the Gateway that it was imported for.
    #[serde(default)]
    pub imported_by_portico: bool,
    /// ACM's word for the algorithm of its key: `RSA_2048`, `EC_prime256v1` …
    #[serde(default)]
    pub key_algorithm: String,
    /// Whether there are more names than `names` (a listing tells the first hundred).
    #[serde(default)]
    pub more_names: bool,
    /// Why its further names, or whether Portico imported it, are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<Unread>,
}

impl HeldCertificate {
    /// Whether listeners can have it.
    pub fn is_issued(&self) -> bool {
        self.status == "ISSUED"
    }

    /// Whether it expired. AWS leaves it on listeners that have it.
    pub fn is_expired(&self) -> bool {
        self.status == "EXPIRED"
    }

    /// Whether its key is of an elliptic curve, and not RSA.
    pub fn is_elliptic(&self) -> bool {
        self.key_algorithm.starts_with("EC")
    }

    /// Whether clients take it for a hostname.
    pub fn is_for(&self, hostname: &Hostname) -> bool {
        self.names.iter().any(|name| hostname.is_named_by(name))
    }
}

/// The certificates that a listener with this hostname gets: issued ones before those that expired while they were served, of these the ones with the very name before
/// those with a wildcard; of these one with an RSA key and one with an elliptic curve, each the one that is valid longest, then the first ARN. The one with RSA comes
/// first: it is for clients that name no host, and those are old. A wildcard is never served beside the very name, since the load balancer would choose between them.
pub fn for_hostname<'a>(certificates: &'a HeldCertificates, hostname: &Hostname) -> Vec<(&'a str, &'a HeldCertificate)> {
    let fit = certificates
        .iter()
        .filter(|(_, it)| !it.imported_by_portico && it.is_for(hostname) && (it.is_issued() || (it.is_expired() && it.in_use)));
    let exact = |it: &HeldCertificate| it.names.iter().any(|name| name.eq_ignore_ascii_case(hostname.as_str()));
    let fit: Vec<_> = fit.collect();
    let tier = |it: &HeldCertificate| (!it.is_issued(), !exact(it));
    let Some(best) = fit.iter().map(|(_, it)| tier(it)).min() else { return Vec::new() };
    let of_keys = |elliptic: bool| {
        let alike = fit.iter().filter(|(_, it)| tier(it) == best && it.is_elliptic() == elliptic);
        alike.min_by_key(|(arn, it)| (Reverse(it.not_after.clone()), (*arn).clone()))
    };
    [of_keys(false), of_keys(true)].into_iter().flatten().map(|(arn, it)| (arn.as_str(), *it)).collect()
}

/// Why it cannot be said which certificate a listener with this hostname gets: one that may be for it is not fully known.
pub fn unread_for<'a>(certificates: &'a HeldCertificates, hostname: &Hostname) -> Option<&'a Unread> {
    let mut unread = certificates.values().filter_map(|it| Some((it, it.unread.as_ref()?)));
    let none = || for_hostname(certificates, hostname).is_empty();
    unread.find(|(it, _)| it.is_for(hostname) || (it.more_names && none())).map(|(_, unread)| unread)
}

/// What a plan wants to know of the account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Certificates by ARN.
    pub arns: BTreeSet<&'a str>,
    /// Certificates by the hostname that they are for.
    pub hostnames: BTreeSet<&'a Hostname>,
    /// Security policies that are not among those that everybody knows.
    pub ssl_policies: BTreeSet<&'a str>,
}

impl<'a> Wanted<'a> {
    /// What a plan wants to know.
    pub fn by(plan: &'a Plan) -> Self {
        let mut wanted = Self::default();
        let EffectiveProfile::Aws(settings) = &plan.profile else { return wanted };
        let mut policies: BTreeSet<&str> = settings.ssl_policy.as_deref().into_iter().collect();
        for tls in plan.ports.iter().flat_map(|port| &port.listeners).filter_map(|listener| listener.tls.as_ref()) {
            policies.extend(tls.options.get(SSL_POLICY).map(String::as_str));
            for certificate in &tls.certificates {
                match &certificate.reference {
                    CertificateReference::Secret(_) => {}
                    CertificateReference::Cloud(arn) => drop(wanted.arns.insert(arn.as_str())),
                    CertificateReference::Discover(hostname) => drop(wanted.hostnames.insert(hostname)),
                }
            }
        }
        wanted.ssl_policies = policies.into_iter().filter(|name| !ssl_policy::KNOWN.contains(name)).collect();
        wanted
    }

    /// Whether it concerns a certificate.
    pub fn concerns(&self, arn: &str, certificate: &HeldCertificate) -> bool {
        self.arns.contains(arn) || self.hostnames.iter().any(|hostname| certificate.is_for(hostname))
    }

    /// Whether it asks for certificates at all.
    pub fn wants_certificates(&self) -> bool {
        !self.arns.is_empty() || !self.hostnames.is_empty()
    }

    /// Whether all certificates that it asks for are among these, and can be served.
    pub fn is_met_by(&self, certificates: &HeldCertificates) -> bool {
        let issued = |hostname: &Hostname| for_hostname(certificates, hostname).first().is_some_and(|(_, it)| it.is_issued());
        self.arns.iter().all(|arn| certificates.get(*arn).is_some_and(HeldCertificate::is_issued))
            && self.hostnames.iter().all(|hostname| issued(hostname) && unread_for(certificates, hostname).is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(status: &str, names: &[&str], not_after: &str) -> HeldCertificate {
        HeldCertificate {
            status: status.into(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            not_after: Some(format!("{not_after}T00:00:00Z")),
            ..HeldCertificate::default()
        }
    }

    fn chosen(certificates: &[(&str, HeldCertificate)]) -> Option<String> {
        let all: HeldCertificates = certificates.iter().map(|(arn, it)| ((*arn).to_owned(), it.clone())).collect();
        let found = for_hostname(&all, &Hostname::new("shop.example.com").unwrap());
        (!found.is_empty()).then(|| found.iter().map(|(arn, _)| *arn).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn the_choice_is_exact_names_then_the_latest_end_then_the_first_arn() {
        let wide = ("b", held("ISSUED", &["*.example.com"], "2030-01-01"));
        let exact = ("c", held("ISSUED", &["x.org", "shop.example.com"], "2027-01-01"));
        let longer = ("d", held("ISSUED", &["SHOP.example.com"], "2028-01-01"));
        let twin = ("e", longer.1.clone());
        assert_eq!(chosen(std::slice::from_ref(&wide)), Some("b".into()));
        assert_eq!(chosen(&[wide.clone(), exact.clone()]), Some("c".into()));
        assert_eq!(chosen(&[wide.clone(), exact.clone(), longer.clone()]), Some("d".into()));
        assert_eq!(chosen(&[twin, longer, exact, wide]), Some("d".into()));
    }

    #[test]
    fn there_is_one_for_each_kind_of_key_and_never_a_wildcard_beside_the_very_name() {
        let of =
            |key: &str, names: &[&str], not_after: &str| HeldCertificate { key_algorithm: key.into(), ..held("ISSUED", names, not_after) };
        let curve = ("a", of("EC_prime256v1", &["shop.example.com"], "2027-01-01"));
        let rsa = ("b", of("RSA_2048", &["shop.example.com"], "2027-01-01"));
        let longer = ("c", of("RSA_4096", &["shop.example.com"], "2028-01-01"));
        let wide = ("d", of("EC_secp384r1", &["*.example.com"], "2030-01-01"));
        assert_eq!(chosen(&[curve.clone(), rsa.clone(), longer.clone(), wide.clone()]), Some("c a".into()));
        assert_eq!(chosen(&[rsa, wide.clone()]), Some("b".into()));
        assert_eq!(chosen(&[wide, ("e", of("RSA_2048", &["*.example.com"], "2026-01-01"))]), Some("e d".into()));
    }

    #[test]
    fn what_may_be_for_the_hostname_and_is_not_known_leaves_it_open() {
        let unread = Some(Unread { detail: "no".into(), remedy: "yes".into() });
        let shop = Hostname::new("shop.example.com").unwrap();
        let open = |all: &[(&str, HeldCertificate)]| {
            unread_for(&all.iter().map(|(arn, it)| ((*arn).to_owned(), it.clone())).collect(), &shop).is_some()
        };
        let exact = ("a", held("ISSUED", &["shop.example.com"], "2027-01-01"));
        let whose = ("b", HeldCertificate { unread: unread.clone(), ..exact.1.clone() });
        let long = ("c", HeldCertificate { unread, more_names: true, ..held("ISSUED", &["other.example.com"], "2027-01-01") });
        assert!(!open(std::slice::from_ref(&exact)));
        assert!(open(&[exact.clone(), whose]));
        assert!(open(std::slice::from_ref(&long)) && !open(&[exact, long]));
    }

    #[test]
    fn what_cannot_be_served_is_not_chosen() {
        assert_eq!(chosen(&[("a", held("PENDING_VALIDATION", &["shop.example.com"], "2030-01-01"))]), None);
        assert_eq!(chosen(&[("a", held("ISSUED", &["example.com", "*.shop.example.com"], "2030-01-01"))]), None);
        let portico = HeldCertificate { imported_by_portico: true, ..held("ISSUED", &["shop.example.com"], "2030-01-01") };
        assert_eq!(chosen(&[("a", portico)]), None);
        let expired = held("EXPIRED", &["shop.example.com"], "2025-01-01");
        assert_eq!(chosen(&[("a", expired.clone())]), None);
        // What is served stays until something takes its place.
        let served = HeldCertificate { in_use: true, ..expired };
        assert_eq!(chosen(&[("a", served.clone())]), Some("a".into()));
        assert_eq!(chosen(&[("a", served), ("b", held("ISSUED", &["*.example.com"], "2026-01-01"))]), Some("b".into()));
    }
}
