//! Certificates of HTTPS ports: the default one, and others for SNI.

use super::Compiler;
use super::issue::{Issue, Quota};
use super::listener::{field, source};
use crate::account::{Certificates, HeldCertificate, Unread, for_hostname, unread_for};
use crate::stack::{Certificate, CertificateId, ListenerTls};
use portico_crds::tls_option::{CERTIFICATE_ARN, CERTIFICATE_DISCOVERY};
use portico_providers::{
    Certificate as PlanCertificate, CertificateReference, Hostname, PlanListener, PlanPort, Residue, ResourceId, Subject, TlsMode,
};

/// What a listener serves: certificates of the plan as the stack names them.
type Served<'p> = Vec<(&'p PlanCertificate, CertificateId)>;

impl Compiler<'_> {
    /// TLS of an HTTPS port, and the port without the listeners that have no certificate; nothing where none has, which is refused already. `room` counts certificates beyond
    /// default ones that the load balancer may still have.
    ///
    /// # Errors
    /// Why nothing can listen on the port, with the name of the listener's field unless the issue names another one.
    pub(super) fn tls(&mut self, port: &PlanPort, room: &mut usize) -> Result<Option<(ListenerTls, PlanPort)>, (&'static str, Issue)> {
        if let Some(validation) = &port.client_validation {
            let detail = format!(
                "to check clients' certificates an ALB needs a trust store, which Portico does not make yet, and port {} is not served without the check",
                port.port
            );
            let remedy = "Remove it for this port, and let backends tell clients apart.";
            return Err(("tls", Issue::unsupported(validation.field.as_str(), detail, remedy)));
        }
        if port.listeners.iter().any(|listener| listener.tls.as_ref().is_some_and(|tls| tls.mode == TlsMode::Passthrough)) {
            return Err(("tls.mode", Issue::unsupported("", "An ALB ends TLS itself.", "Use the mode Terminate.")));
        }
        if port.listeners.iter().all(|listener| listener.tls.as_ref().is_none_or(|tls| tls.certificates.is_empty())) {
            let detail = "An ALB needs a default certificate for each HTTPS port, and there is none.";
            return Err(("tls.certificateRefs", Issue::invalid("", detail, "Refer to a Secret of type kubernetes.io/tls.")));
        }
        let served: Vec<_> = port.listeners.iter().map(|listener| (listener, self.served_by(listener))).collect();
        let served: Vec<_> = served.into_iter().filter(|(_, certificates)| !certificates.is_empty()).collect();
        let mut all = served.iter().flat_map(|(_, certificates)| certificates);
        let default = all.find(|(certificate, _)| port.default_certificate.as_ref() == Some(certificate));
        // Where the widest listener's cannot be had, that of the next one is for clients without a matching name.
        let Some((certificate, default_certificate)) =
            default.or_else(|| served.last().and_then(|(_, certificates)| certificates.first())).cloned()
        else {
            return Ok(None);
        };
        self.import(certificate, &port.listeners);
        let mut certificates = Vec::new();
        for (listener, ids) in &served {
            // What a listener has besides another certificate is no loss to it.
            let mut residue = Residue::NoTraffic;
            for (index, (certificate, id)) in ids.iter().enumerate() {
                if *id == default_certificate || certificates.contains(id) {
                    residue = Residue::Served;
                    continue;
                }
                if *room == 0 {
                    let have = self.limits.certificates_per_load_balancer as usize;
                    let quota = Quota { limit: "certificates beyond the default ones", holder: "the ALB".into(), need: have + 1, have };
                    let remedy = "Use certificates for several hostnames, or ask AWS for a higher quota of certificates per ALB.";
                    let issue = Issue::quota(place(listener, index, certificate), quota, remedy);
                    self.refuse_field(listener, issue, residue);
                    continue;
                }
                residue = Residue::Served;
                *room -= 1;
                self.import(certificate, std::slice::from_ref(*listener));
                certificates.push(id.clone());
            }
        }
        certificates.sort();
        let listeners: Vec<_> = served.into_iter().map(|(listener, _)| listener.clone()).collect();
        let port = PlanPort { listeners, ..port.clone() };
        let policy = self.ssl_policy(&port);
        self.refuse_unknown_options(&port);
        Ok(Some((ListenerTls { policy, default_certificate, certificates }, port)))
    }

    /// The certificates of a listener that can be had; those that cannot are refused.
    fn served_by<'p>(&mut self, listener: &'p PlanListener) -> Served<'p> {
        let (mut served, mut issues) = (Served::new(), Vec::new());
        let account = self.account;
        let mut names = Vec::new();
        // Whether there may be names that are not known.
        let mut unnamed = false;
        for (index, certificate) in listener.tls.iter().flat_map(|tls| &tls.certificates).enumerate() {
            let at = place(listener, index, certificate);
            let known = account.certificates.as_ref();
            let (ids, issue) = match (&certificate.reference, known) {
                (CertificateReference::Secret(_), _) => {
                    names.extend(certificate.names.iter().cloned());
                    (imported(certificate).into_iter().collect(), None)
                }
                (CertificateReference::Cloud(arn), known) => named(at, arn, known),
                (CertificateReference::Discover(hostname), None) => (vec![CertificateId::Discovered(hostname.clone())], None),
                (CertificateReference::Discover(hostname), Some(known)) => discovered(at, hostname, known),
            };
            for id in ids {
                if let CertificateId::Arn(arn) = &id {
                    let held = known.and_then(|known| known.held.get(arn));
                    unnamed |= held.is_none_or(|it| it.more_names);
                    names.extend(held.into_iter().flat_map(|it| it.names.iter().cloned()));
                }
                served.push((certificate, id));
            }
            issues.extend(issue);
        }
        // Nobody knows whether it is served: it is as it was.
        let had = served.iter().any(|(_, id)| !matches!(id, CertificateId::Unresolved(_)));
        let residue = if had { Residue::Served } else { Residue::NoTraffic };
        for issue in issues {
            self.refuse_field(listener, issue, residue);
        }
        let by_arn = served.iter().any(|(_, id)| matches!(id, CertificateId::Arn(_)));
        if let Some(hostname) = &listener.hostname
            && by_arn
            && !unnamed
            && !names.iter().any(|name| hostname.is_named_by(name))
        {
            let detail = format!("No certificate is for hostname {hostname}, but for {}: clients will refuse it.", names.join(", "));
            let issue = Issue::invalid(field(&listener.owner, "tls"), detail, "Name a certificate for the hostname.");
            self.refuse_field(listener, issue, Residue::Served);
        }
        served
    }

    pub(super) fn refuse_field(&mut self, listener: &PlanListener, issue: Issue, residue: Residue) {
        self.refusals.insert(issue.refuse(Subject::Listener(listener.owner.clone()), residue));
    }

    /// Notes that a certificate is to be imported, and for which listeners.
    fn import(&mut self, certificate: &PlanCertificate, users: &[PlanListener]) {
        let (CertificateReference::Secret(secret), Some(CertificateId::Imported(id))) = (&certificate.reference, imported(certificate))
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

/// The field that asks for a listener's certificate.
fn place(listener: &PlanListener, index: usize, certificate: &PlanCertificate) -> String {
    let name = match certificate.reference {
        CertificateReference::Secret(_) => format!("tls.certificateRefs[{index}]"),
        CertificateReference::Cloud(_) => format!("tls.options[{CERTIFICATE_ARN}]"),
        CertificateReference::Discover(_) => format!("tls.options[{CERTIFICATE_DISCOVERY}]"),
    };
    field(&listener.owner, &name)
}

/// A certificate that is imported from a Secret.
fn imported(certificate: &PlanCertificate) -> Option<CertificateId> {
    let CertificateReference::Secret(key) = &certificate.reference else { return None };
    let key_type = certificate.key_type.as_deref().unwrap_or("unknown");
    Some(CertificateId::Imported(ResourceId(format!("certificate/{key}/{key_type}"))))
}

/// A certificate of ACM by its ARN, and what is wrong with it. Where ACM cannot be asked it is taken as it is written.
fn named(at: String, arn: &str, known: Option<&Certificates>) -> (Vec<CertificateId>, Option<Issue>) {
    let mut parts = arn.splitn(6, ':');
    let begins = (parts.next(), parts.nth(1)) == (Some("arn"), Some("acm"));
    if !begins || parts.nth(2).and_then(|rest| rest.strip_prefix("certificate/")).is_none_or(str::is_empty) {
        let detail = format!("{arn:?} is not the ARN of a certificate in ACM.");
        return (Vec::new(), Some(Issue::invalid(at, detail, "Write it like arn:aws:acm:REGION:ACCOUNT:certificate/ID.")));
    }
    let id = vec![CertificateId::Arn(arn.to_owned())];
    let Some(known) = known else { return (id, None) };
    let Some(it) = known.held.get(arn) else {
        if known.unread.is_some() {
            return (id, None);
        }
        let detail = format!("ACM has no certificate {arn} in the account and region of the load balancer.");
        return (Vec::new(), Some(Issue::invalid(at, detail, "Name one that is there, or request or import one.")));
    };
    if it.imported_by_portico && it.unread.is_none() {
        let detail = format!("{arn} was imported by Portico from a Secret, and goes with the Gateway that needs it.");
        return (Vec::new(), Some(Issue::invalid(at, detail, "Refer to the Secret under certificateRefs.")));
    }
    match it {
        it if it.is_issued() => (id, None),
        it if it.is_expired() && it.in_use => (id, Some(expired(at, arn, it))),
        it => {
            let remedy = "Finish its validation in ACM, or name a certificate that is issued.";
            (Vec::new(), Some(Issue::invalid(at, format!("Certificate {arn} is {} in ACM.", it.status), remedy)))
        }
    }
}

/// The certificates of ACM for a hostname, and what is wrong with them.
fn discovered(at: String, hostname: &Hostname, known: &Certificates) -> (Vec<CertificateId>, Option<Issue>) {
    let held = &known.held;
    let found = for_hostname(held, hostname);
    let unread = unread_for(held, hostname).or(known.unread.as_ref().filter(|_| found.is_empty()));
    if let Some(Unread { detail, remedy }) = unread {
        let detail = format!(
            "It cannot be found out which certificate ACM has for hostname {hostname} ({}); what is served stays, and nothing new is",
            detail.trim_end_matches('.')
        );
        return (vec![CertificateId::Unresolved(hostname.clone())], Some(Issue::invalid(at, detail, remedy)));
    }
    if let Some((arn, it)) = found.first() {
        let issue = it.is_expired().then(|| expired(at, arn, it));
        return (found.iter().map(|(arn, _)| CertificateId::Arn((*arn).to_owned())).collect(), issue);
    }
    let others: Vec<_> = held
        .iter()
        .filter(|(_, it)| !it.imported_by_portico && it.is_for(hostname))
        .map(|(arn, it)| format!("{arn} is {}", it.status))
        .collect();
    let others = if others.is_empty() { String::new() } else { format!(" ({})", others.join(", ")) };
    let detail = format!("ACM has no issued certificate for hostname {hostname} in the account and region of the load balancer{others}.");
    let remedy = format!("Request or import one, name one under {CERTIFICATE_ARN}, or refer to a Secret under certificateRefs.");
    (Vec::new(), Some(Issue::invalid(at, detail, remedy)))
}

fn expired(at: String, arn: &str, it: &HeldCertificate) -> Issue {
    let when = it.not_after.as_ref().map(|at| format!(" at {at}")).unwrap_or_default();
    let detail = format!("Certificate {arn} expired{when}; it goes on being served until another takes its place.");
    Issue::invalid(at, detail, "Renew it in ACM.")
}
