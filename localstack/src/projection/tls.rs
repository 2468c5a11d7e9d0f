//! TLS of listeners as the data plane's configuration.

use std::sync::Arc;

use super::Projector;
use crate::dataplane::config::{ClientAuthentication, ClientCertificateHeaders, ClientCertificates, ServerCertificate, Tls};
use crate::elb::attribute;
use crate::elb::listener::Listener;
use crate::elb::load_balancer::LoadBalancer;
use crate::elb::mutual::Mutual;
use crate::elb::ssl_policy;
use crate::state::State;

impl Projector {
    pub(super) fn tls(&mut self, state: &State, balancer: &LoadBalancer, listener: &Listener) -> Option<Tls> {
        let tls = listener.tls.as_ref()?;
        let policy = ssl_policy::find(&tls.policy).ok()?;
        let told =
            attribute::value(attribute::LOAD_BALANCER, &balancer.attributes, "routing.http.x_amzn_tls_version_and_cipher_suite.enabled");
        let name = |key: &str| attribute::value(attribute::TLS_LISTENER, &listener.attributes, key);
        let header = |of: &str| name(&format!("routing.http.request.x_amzn_mtls_clientcert{of}.header_name"));
        let authentication = match &tls.mutual {
            Mutual::Off => None,
            Mutual::Passthrough => Some(ClientAuthentication::Passthrough),
            Mutual::Verify { trust_store, ignore_expiry, advertise } => Some(ClientAuthentication::Verify {
                trust: state.elb.trust_stores.get(trust_store)?.material.clone(),
                ignore_expiry: *ignore_expiry,
                advertise: *advertise,
            }),
        };
        let clients = authentication.map(|authentication| ClientCertificates {
            authentication,
            headers: ClientCertificateHeaders {
                chain: header(""),
                issuer: header("_issuer"),
                leaf: header("_leaf"),
                serial_number: header("_serial_number"),
                subject: header("_subject"),
                validity: header("_validity"),
            },
        });
        let headers = (told == "true").then(|| {
            (name("routing.http.request.x_amzn_tls_version.header_name"), name("routing.http.request.x_amzn_tls_cipher_suite.header_name"))
        });
        Some(Tls {
            default: self.certificate(state, &tls.default_certificate)?,
            others: tls.certificates.iter().filter_map(|arn| self.certificate(state, arn)).collect(),
            tls12: policy.has_version(2),
            tls13: policy.has_version(3),
            ciphers: policy.ciphers().collect(),
            headers,
            clients,
        })
    }

    fn certificate(&mut self, state: &State, arn: &str) -> Option<Arc<ServerCertificate>> {
        let certificate = state.acm.certificates.get(arn)?;
        if let Some((_, made)) = self.certificates.get(arn).filter(|(revision, _)| *revision == certificate.revision) {
            return Some(made.clone());
        }
        let material = certificate.material.as_ref()?;
        let made = Arc::new(ServerCertificate {
            id: arn.into(),
            facts: material.facts.clone(),
            chain: material.certificates.clone(),
            key: material.key.clone(),
        });
        self.certificates.insert(arn.to_string(), (certificate.revision, made.clone()));
        Some(made)
    }
}
