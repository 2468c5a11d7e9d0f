//! Certificates of HTTPS ports: the default one, and others for SNI.

use super::Compiler;
use super::issue::{Issue, Quota};
use super::listener::{field, source};
use crate::stack::{Certificate, CertificateId, ListenerTls};
use portico_providers::{
    Certificate as PlanCertificate, CertificateReference, PlanListener, PlanPort, Residue, ResourceId, Subject, TlsMode,
};

/// TLS 1.2 and 1.3 with forward secrecy: what AWS recommends.
const POLICY: &str = "ELBSecurityPolicy-TLS13-1-2-2021-06";
/// The key of `tls.options` that names another policy of AWS.
const POLICY_OPTION: &str = "portico.dev/ssl-policy";

impl Compiler<'_> {
    /// TLS of an HTTPS port. `room` counts certificates beyond default ones that the load balancer may still have.
    ///
    /// # Errors
    /// Why nothing can listen on the port, with the name of the field.
    pub(super) fn tls(&mut self, port: &PlanPort, room: &mut usize) -> Result<ListenerTls, (&'static str, Issue)> {
        if port.client_validation.is_some() {
            let detail = "Portico's ALBs do not validate client certificates yet, and without that the port must not be served.";
            return Err(("tls", Issue::unsupported("", detail, "Remove spec.tls.frontend of the Gateway for this port.")));
        }
        if port.listeners.iter().any(|listener| listener.tls.as_ref().is_some_and(|tls| tls.mode == TlsMode::Passthrough)) {
            return Err(("tls.mode", Issue::unsupported("", "An ALB ends TLS itself.", "Use the mode Terminate.")));
        }
        let default = port.default_certificate.as_ref().and_then(|it| Some((it, identity(it)?)));
        let Some((certificate, default_certificate)) = default else {
            let detail = "An ALB needs a default certificate for each HTTPS port, and there is none.";
            return Err(("tls.certificateRefs", Issue::invalid("", detail, "Refer to a Secret of type kubernetes.io/tls.")));
        };
        self.import(certificate, &port.listeners);
        let mut certificates = Vec::new();
        for listener in &port.listeners {
            for (index, certificate) in listener.tls.iter().flat_map(|tls| &tls.certificates).enumerate() {
                let Some(id) = identity(certificate) else {
                    let detail = "Portico does not look for certificates in ACM by hostname yet.";
                    self.refuse_certificate(listener, index, |at| Issue::unsupported(at, detail, "Refer to a Secret."));
                    continue;
                };
                if id == default_certificate || certificates.contains(&id) {
                    continue;
                }
                if *room == 0 {
                    let have = self.limits.certificates_per_load_balancer as usize;
                    let quota = Quota { limit: "certificates beyond the default ones", holder: "the ALB", need: have + 1, have };
                    self.refuse_certificate(listener, index, |at| {
                        Issue::quota(
                            at,
                            quota,
                            "Use certificates for several hostnames, or ask AWS for a higher quota of certificates per ALB.",
                        )
                    });
                    continue;
                }
                *room -= 1;
                self.import(certificate, std::slice::from_ref(listener));
                certificates.push(id);
            }
        }
        certificates.sort();
        let chosen = port.listeners.iter().find_map(|listener| listener.tls.as_ref()?.options.get(POLICY_OPTION));
        let policy = chosen.map_or(POLICY, String::as_str).to_owned();
        Ok(ListenerTls { policy, default_certificate, certificates })
    }

    fn refuse_certificate(&mut self, listener: &PlanListener, index: usize, issue: impl FnOnce(String) -> Issue) {
        let issue = issue(field(&listener.owner, &format!("tls.certificateRefs[{index}]")));
        self.refusals.insert(issue.refuse(Subject::Listener(listener.owner.clone()), Residue::NoTraffic));
    }

    /// Notes that a certificate is to be imported, and for which listeners.
    fn import(&mut self, certificate: &PlanCertificate, users: &[PlanListener]) {
        let (CertificateReference::Secret(secret), Some(CertificateId::Imported(id))) = (&certificate.reference, identity(certificate))
        else {
            return;
        };
        let import = self.certificates.entry(id.clone()).or_insert_with(|| Certificate {
            id,
            secret: secret.clone(),
            sha256: certificate.sha256.clone(),
            tags: self.tags.clone(),
            sources: Vec::new(),
        });
        let uses = |listener: &&PlanListener| listener.tls.as_ref().is_some_and(|tls| tls.certificates.contains(certificate));
        import.sources.extend(users.iter().filter(uses).map(|listener| source(&listener.owner)));
        import.sources.sort();
        import.sources.dedup();
    }
}

/// How a listener names a certificate; nothing for one that would have to be looked for.
fn identity(certificate: &PlanCertificate) -> Option<CertificateId> {
    match &certificate.reference {
        CertificateReference::Secret(key) => {
            let key_type = certificate.key_type.as_deref().unwrap_or("unknown");
            Some(CertificateId::Imported(ResourceId(format!("certificate/{key}/{key_type}"))))
        }
        CertificateReference::Cloud(arn) => Some(CertificateId::Arn(arn.clone())),
        CertificateReference::Discover(_) => None,
    }
}
