//! Certificates of HTTPS and TLS listeners.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::kind::LoadBalancerKind;
use super::listener::Listener;
use super::load_balancer::LoadBalancer;
use super::mutual::Mutual;
use super::{protocol as protocols, ssl_policy, validation};
use crate::acm::key_algorithm;
use crate::clock;
use crate::config::CertificateCheck;
use crate::error::{Answer, ApiError};
use crate::page;
use crate::state::State;
use crate::wire::{Input, Record};
use crate::x509;

/// What an HTTPS or TLS listener has that an HTTP or TCP listener has not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerTls {
    /// The name of its security policy.
    pub policy: String,
    /// The ARN of its default certificate.
    pub default_certificate: String,
    /// The ARNs of the other certificates in its list, chosen by SNI. The default one may be among them.
    pub certificates: BTreeSet<String>,
    /// Whether and how clients show certificates.
    pub mutual: Mutual,
    /// The ALPN policy of a TLS listener, if one was set.
    pub alpn: Option<String>,
}

/// ALPN policies of TLS listeners (network user guide, "ALPN policies").
pub const ALPN_POLICIES: &[&str] = &["HTTP1Only", "HTTP2Only", "HTTP2Optional", "HTTP2Preferred", "None"];

impl ListenerTls {
    /// All of its certificates.
    pub fn all(&self) -> impl Iterator<Item = &String> {
        [&self.default_certificate].into_iter().chain(&self.certificates)
    }
}

/// The parameters of CreateListener and ModifyListener that concern TLS.
#[derive(Debug)]
pub struct TlsParameters {
    policy: Option<String>,
    certificate: Option<String>,
    mutual: Option<Mutual>,
    alpn: Option<String>,
}

impl TlsParameters {
    /// Reads and checks them for a listener of this protocol.
    pub fn read(input: &Input, protocol: &str) -> Answer<Self> {
        let policy = input.text("SslPolicy").filter(|policy| !policy.is_empty()).map(str::to_string);
        let certificates = read_certificates(input)?;
        let alpn = read_alpn(input.strings("AlpnPolicy"), protocol)?;
        let mutual = Mutual::read(input)?;
        if protocol != "HTTPS" && mutual.as_ref().is_some_and(|mutual| *mutual != Mutual::Off) {
            return Err(ApiError::validation("Mutual authentication can be specified for HTTPS listeners only"));
        }
        if !protocols::has_certificates(protocol) {
            if policy.is_some() {
                return Err(ApiError::validation(format!("An SSL policy cannot be specified for {protocol} listeners")));
            }
            if !certificates.is_empty() {
                return Err(ApiError::validation(format!("A certificate cannot be specified for {protocol} listeners")));
            }
            return Ok(Self { policy: None, certificate: None, mutual: None, alpn });
        }
        if let Some(policy) = &policy {
            ssl_policy::find(policy)?;
        }
        // AWS: exactly the default certificate; AddListenerCertificates takes the others.
        if certificates.len() > 1 {
            return Err(ApiError::new(
                "TooManyCertificates",
                "You can specify only one certificate, the default certificate of the listener",
            ));
        }
        Ok(Self { policy, certificate: certificates.into_iter().next(), mutual, alpn })
    }

    /// What the listener will have; `None` without TLS.
    pub fn apply(self, state: &State, protocol: &str, before: Option<&ListenerTls>) -> Answer<Option<ListenerTls>> {
        if !protocols::has_certificates(protocol) {
            return Ok(None);
        }
        if let Some(arn) = &self.certificate {
            state.check_certificate(arn)?;
        }
        let default_certificate = self
            .certificate
            .or_else(|| before.map(|tls| tls.default_certificate.clone()))
            .ok_or_else(|| ApiError::validation(format!("A certificate must be specified for {protocol} listeners")))?;
        let policy = self.policy.or_else(|| before.map(|tls| tls.policy.clone())).unwrap_or_else(|| ssl_policy::DEFAULT.into());
        let certificates = before.map(|tls| tls.certificates.clone()).unwrap_or_default();
        let mutual = self.mutual.or_else(|| before.map(|tls| tls.mutual.clone())).unwrap_or_default();
        let alpn = self.alpn.or_else(|| before.and_then(|tls| tls.alpn.clone()));
        Ok(Some(ListenerTls { policy, default_certificate, certificates, mutual, alpn }))
    }
}

/// The one ALPN policy that a TLS listener may name.
fn read_alpn(policies: Vec<String>, protocol: &str) -> Answer<Option<String>> {
    if protocol != "TLS" && !policies.is_empty() {
        return Err(ApiError::validation("An ALPN policy can be specified for TLS listeners only"));
    }
    if policies.len() > 1 {
        return Err(ApiError::validation("You can specify only one ALPN policy"));
    }
    match policies.into_iter().next() {
        Some(policy) if !ALPN_POLICIES.contains(&policy.as_str()) => {
            Err(ApiError::new("ALPNPolicyNotFound", format!("ALPN policy '{policy}' not found")))
        }
        policy => Ok(policy),
    }
}

fn read_certificates(input: &Input) -> Answer<Vec<String>> {
    let mut arns = Vec::new();
    for item in input.items("Certificates") {
        if item.text("IsDefault").is_some_and(|text| !text.is_empty()) {
            return Err(ApiError::validation("You cannot specify 'IsDefault' for a certificate"));
        }
        arns.push(item.required("CertificateArn")?.to_string());
    }
    Ok(arns)
}

impl State {
    /// The ARNs of the load balancers whose listeners use a certificate.
    pub fn users_of_certificate(&self, arn: &str) -> Vec<&String> {
        let uses = |balancer: &&LoadBalancer| {
            let mut tls = balancer.listeners.values().filter_map(|listener| listener.tls.as_ref());
            tls.any(|tls| tls.all().any(|used| used == arn))
        };
        self.elb.load_balancers.values().filter(uses).map(|balancer| &balancer.arn).collect()
    }

    /// Notes until when certificates that a load balancer does not use any more count as used.
    pub fn release_certificates<'a>(&mut self, arns: impl IntoIterator<Item = &'a String>) {
        let until = clock::after(self.now, self.config.times.certificate_delete_lag);
        for arn in arns {
            if self.users_of_certificate(arn).is_empty()
                && let Some(certificate) = self.acm.certificates.get_mut(arn)
            {
                certificate.released = Some(until);
            }
        }
    }

    /// Whether a listener can have a certificate.
    fn check_certificate(&self, arn: &str) -> Answer<()> {
        let missing = || ApiError::new("CertificateNotFound", format!("Certificate '{arn}' not found"));
        let certificate = self.acm.certificates.get(arn).ok_or_else(missing)?;
        if clock::after(certificate.created, self.config.times.certificate_lag) > self.now {
            return Err(missing());
        }
        let unsupported = |why: &str| ApiError::new("UnsupportedCertificate", format!("The certificate '{arn}' {why}"));
        let Some(material) = &certificate.material else {
            return Err(unsupported(
                "must have a fully-qualified domain name, a supported signature, and a supported key size, and must be issued",
            ));
        };
        if certificate.issuance.revocation.is_some() {
            return Err(unsupported("is revoked"));
        }
        if key_algorithm::name(material.facts.key).is_none() {
            return Err(unsupported("must have a supported signature and a supported key size"));
        }
        let qualified = certificate.names().iter().any(|name| name.contains('.') && x509::is_dns_name(name));
        if self.config.certificates == CertificateCheck::Strict && !qualified {
            return Err(unsupported("must have a fully-qualified domain name, a supported signature, and a supported key size."));
        }
        Ok(())
    }
}

/// The only certificate of a call.
fn only(input: &Input) -> Answer<String> {
    let mut arns = read_certificates(input)?.into_iter();
    match (arns.next(), arns.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(ApiError::validation("You must specify one certificate")),
        (Some(_), Some(_)) => Err(ApiError::validation("You can specify only one certificate at a time")),
    }
}

fn tls_of<'a>(listener: &'a Listener, what: &str) -> Answer<&'a ListenerTls> {
    let message = || {
        format!("{what} are supported on HTTPS and TLS listeners only; listener '{}' has protocol '{}'", listener.arn, listener.protocol)
    };
    listener.tls.as_ref().ok_or_else(|| ApiError::new("UnsupportedProtocol", message()))
}

/// AddListenerCertificates: adds one certificate to the list. One that is there already does not matter.
pub fn add(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("ListenerArn")?.to_string();
    let certificate = only(input)?;
    input.done()?;
    let (balancer, listener) = state.elb.listener(&arn)?;
    let tls = tls_of(listener, "Certificates")?;
    state.check_certificate(&certificate)?;
    let all = balancer.listeners.values().filter_map(|listener| listener.tls.as_ref()).map(|tls| tls.certificates.len()).sum::<usize>();
    let limit = match balancer.kind {
        LoadBalancerKind::Application => state.config.quotas.certificates_per_load_balancer,
        LoadBalancerKind::Network => state.config.quotas.certificates_per_network_load_balancer,
    };
    if !tls.certificates.contains(&certificate) && all >= limit {
        return Err(ApiError::new(
            "TooManyCertificates",
            format!("The maximum number of certificates per load balancer has been reached: [{limit}]"),
        ));
    }
    if let Some(tls) = &mut state.elb.listener_mut(&arn)?.tls {
        tls.certificates.insert(certificate.clone());
    }
    Ok(Record::new().list("Certificates", [record(&certificate, false)]))
}

/// RemoveListenerCertificates: takes one certificate off the list. The default certificate stays.
pub fn remove(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("ListenerArn")?.to_string();
    let certificate = only(input)?;
    input.done()?;
    let tls = tls_of(state.elb.listener(&arn)?.1, "Certificates")?;
    if tls.default_certificate == certificate && !tls.certificates.contains(&certificate) {
        return Err(ApiError::new(
            "OperationNotPermitted",
            format!("The default certificate '{certificate}' of a listener cannot be removed"),
        ));
    }
    if let Some(tls) = &mut state.elb.listener_mut(&arn)?.tls {
        tls.certificates.remove(&certificate);
    }
    state.release_certificates([&certificate]);
    Ok(Record::new())
}

/// DescribeListenerCertificates: the default certificate, then the list.
pub fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = input.required("ListenerArn")?;
    let (marker, size) = validation::paging(input)?;
    input.done()?;
    let (_, listener) = state.elb.listener(arn)?;
    let all: Vec<(bool, String)> = match &listener.tls {
        None => vec![],
        Some(tls) => {
            tls.all().zip([true].into_iter().chain(std::iter::repeat(false))).map(|(arn, default)| (default, arn.clone())).collect()
        }
    };
    let key = |(default, arn): &(bool, String)| format!("{} {arn}", u8::from(!default));
    let (shown, next) = page::page(all, key, marker.as_deref(), size)?;
    Ok(Record::new().list("Certificates", shown.iter().map(|(default, arn)| record(arn, *default))).maybe("NextMarker", next))
}

fn record(arn: &str, default: bool) -> Record {
    Record::new().with("CertificateArn", arn).with("IsDefault", default)
}
