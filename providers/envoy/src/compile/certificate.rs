//! Certificates and authorities: secrets by name, and the TLS of listeners.

use super::issue::Issue;
use super::{Compiler, listener_field};
use crate::stack::core::{ConfigSource, TransportSocket};
use crate::stack::tls::{
    CertificateValidationContext, CombinedCertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig,
    TrustChainVerification,
};
use crate::stack::{SecretMaterial, SecretSource};
use portico_providers::{CaBundle, CaBundleSource, Certificate, CertificateReference, PlanListener, PlanPort, Residue};

impl Compiler<'_> {
    /// TLS of a listener that ends it; nothing, with a refusal, where it has no certificate that Envoy can be given.
    pub(super) fn downstream_tls(&mut self, port: &PlanPort, listener: &PlanListener, alpn: &[&str]) -> Option<TransportSocket> {
        let tls = listener.tls.as_ref()?;
        for key in tls.options.keys() {
            let field = listener_field(&listener.owner, &format!("tls.options[{key}]"));
            let issue = Issue::unsupported(field, "the option has no meaning for Envoy, and no effect", "Remove it.");
            self.refuse_listener(listener, issue, Residue::Served);
        }
        let mut common =
            CommonTlsContext { alpn_protocols: alpn.iter().map(|it| (*it).to_owned()).collect(), ..CommonTlsContext::default() };
        for certificate in &tls.certificates {
            if let Some(secret) = self.certificate(certificate) {
                common.tls_certificate_sds_secret_configs.push(secret);
            } else {
                let field = listener_field(&listener.owner, "tls.certificateRefs");
                let detail = "Envoy is given certificates that are in the cluster, and knows no cloud's";
                let issue = Issue::unsupported(field, detail, "Use a Secret of type kubernetes.io/tls.");
                self.refuse_listener(listener, issue, Residue::NoTraffic);
            }
        }
        if common.tls_certificate_sds_secret_configs.is_empty() {
            return None;
        }
        let mut required = None;
        if let Some(validation) = &port.client_validation {
            let authorities = self.authorities(&validation.ca_bundles);
            if validation.allow_insecure_fallback {
                // A certificate is asked for, and whatever comes is let through.
                let context = CertificateValidationContext {
                    trust_chain_verification: TrustChainVerification::AcceptUntrusted.into(),
                    ..CertificateValidationContext::default()
                };
                common.combined_validation_context = Some(CombinedCertificateValidationContext {
                    default_validation_context: Some(context),
                    validation_context_sds_secret_config: Some(authorities),
                });
            } else {
                common.validation_context_sds_secret_config = Some(authorities);
                required = Some(true);
            }
        }
        let context = DownstreamTlsContext { common_tls_context: Some(common), require_client_certificate: required };
        Some(TransportSocket { name: "envoy.transport_sockets.tls".into(), typed_config: Some(context.into()) })
    }

    /// The secret that a certificate is; nothing for one that only a cloud has.
    pub(super) fn certificate(&mut self, certificate: &Certificate) -> Option<SdsSecretConfig> {
        let CertificateReference::Secret(secret) = &certificate.reference else { return None };
        let name = format!("{}/certificate/{secret}", self.plan.unit);
        let material = SecretMaterial::TlsCertificate { secret: secret.clone(), sha256: certificate.sha256.clone() };
        Some(self.secret(name, material))
    }

    /// The secret that some authorities are.
    pub(super) fn authorities(&mut self, bundles: &[CaBundle]) -> SdsSecretConfig {
        let names: Vec<String> = bundles
            .iter()
            .map(|bundle| match &bundle.source {
                CaBundleSource::ConfigMap(key) => key.to_string(),
                CaBundleSource::ClusterTrustBundle(name) => format!("bundle:{name}"),
            })
            .collect();
        let name = format!("{}/authorities/{}", self.plan.unit, names.join("+"));
        self.secret(name, SecretMaterial::ValidationContext { bundles: bundles.to_vec() })
    }

    fn secret(&mut self, name: String, material: SecretMaterial) -> SdsSecretConfig {
        self.secrets.insert(name.clone(), SecretSource { name: name.clone(), material });
        SdsSecretConfig { name, sds_config: Some(ConfigSource::aggregated()) }
    }
}
