//! Certificates in ACM, and which of them a listener serves.

use super::changes::Changes;
use super::{all_tags, describe, load_balancer, missing, unknown};
use crate::observed::{self, Observed};
use crate::operation::Operation;
use crate::stack::{CertificateId, Listener, Stack};
use portico_providers::{Action, Presence, ProviderError, ResourceId, mark};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The stack with listeners whose certificates ACM could not be asked for as they are: they keep what they serve. One that is not there yet begins with what it has
/// otherwise, or is not made.
pub(super) fn settled<'a>(stack: &'a Stack, existing: Option<&observed::LoadBalancer>, observed: &Observed) -> Cow<'a, Stack> {
    let open = |id: &CertificateId| matches!(id, CertificateId::Unresolved(_));
    if !stack.listeners.iter().flat_map(named_by).any(open) {
        return Cow::Borrowed(stack);
    }
    let there = existing.and_then(|balancer| balancer.listeners.present());
    let settle = |mut listener: Listener| {
        let Some(tls) = listener.tls.as_mut().filter(|tls| open(&tls.default_certificate) || tls.certificates.iter().any(open)) else {
            return Some(listener);
        };
        tls.certificates.retain(|id| !open(id));
        if let Some(served) = there.and_then(|there| there.get(&listener.port)?.tls.as_ref()) {
            if open(&tls.default_certificate) {
                tls.default_certificate = CertificateId::Arn(served.default_certificate.clone());
                tls.certificates.retain(|id| arn_of(stack, observed, id) != Some(served.default_certificate.as_str()));
            }
            let others = served.certificates.iter().chain([&served.default_certificate]).map(|arn| CertificateId::Arn(arn.clone()));
            let default = tls.default_certificate.clone();
            tls.certificates.extend(others.filter(|id| *id != default));
        } else if open(&tls.default_certificate) {
            tls.default_certificate = (!tls.certificates.is_empty()).then(|| tls.certificates.remove(0))?;
        }
        Some(listener)
    };
    let listeners = stack.listeners.iter().cloned().filter_map(settle).collect();
    Cow::Owned(Stack { listeners, ..stack.clone() })
}

/// Imports certificates, and imports those anew of which the Secret holds another by now.
pub(super) fn ensure(stack: &Stack, observed: &Observed, changes: &mut Changes) -> Result<(), ProviderError> {
    if !stack.certificates.is_empty() && observed.certificates.values().any(Presence::is_unknown) {
        return Err(unknown("the certificates in ACM"));
    }
    for wanted in &stack.certificates {
        let mut marks = stack.marks(&wanted.id);
        marks.insert(mark::CERTIFICATE.to_owned(), wanted.sha256.clone());
        let tags = all_tags(marks, &wanted.tags);
        let Some((arn, there)) = imported(stack, observed, &wanted.id) else {
            let operation = Operation::ImportCertificate {
                certificate: wanted.id.clone(),
                secret: wanted.secret.clone(),
                sha256: wanted.sha256.clone(),
                tags,
            };
            changes.push(Action::Create, &wanted.id, &[], operation, "not there yet", &wanted.sources);
            continue;
        };
        if there.tags.get(mark::CERTIFICATE) != Some(&wanted.sha256) {
            let operation =
                Operation::ReimportCertificate { arn: arn.to_owned(), secret: wanted.secret.clone(), sha256: wanted.sha256.clone() };
            changes.push(Action::Update, &wanted.id, &[], operation, "the Secret holds another certificate", &wanted.sources);
        }
        // The mark of what was imported comes after it: a run that ends in between imports once more.
        let tags = missing(&tags, &there.tags);
        if !tags.is_empty() {
            let reason = describe(&tags, &there.tags);
            let operation = Operation::TagCertificate { arn: arn.to_owned(), tags };
            changes.push(Action::Update, &wanted.id, &[], operation, reason, &wanted.sources);
        }
    }
    Ok(())
}

/// A certificate of the stack as it is there: of several the first, the others go.
fn imported<'a>(stack: &Stack, observed: &'a Observed, id: &ResourceId) -> Option<(&'a str, &'a observed::Certificate)> {
    let value = mark::value(&id.0);
    let present = observed.certificates.iter().filter_map(|(arn, there)| Some((arn.as_str(), there.present()?)));
    present.into_iter().find(|(_, there)| stack.owns(&there.tags) && there.tags.get(mark::RESOURCE) == Some(&value))
}

/// The ARN of a certificate, if it is there.
fn arn_of<'a>(stack: &Stack, observed: &'a Observed, id: &'a CertificateId) -> Option<&'a str> {
    match id {
        CertificateId::Imported(id) => imported(stack, observed, id).map(|(arn, _)| arn),
        CertificateId::Arn(arn) => Some(arn),
        CertificateId::Discovered(_) | CertificateId::Unresolved(_) => None,
    }
}

/// The resource that a listener's default certificate is. The others are added by calls of their own, so that one that cannot be had costs the listener nothing.
pub(super) fn needs(listener: &Listener) -> Vec<&ResourceId> {
    match &listener.tls {
        Some(tls) => {
            if let CertificateId::Imported(id) = &tls.default_certificate {
                vec![id]
            } else {
                Vec::new()
            }
        }
        None => Vec::new(),
    }
}

fn named_by(listener: &Listener) -> impl Iterator<Item = &CertificateId> {
    listener.tls.iter().flat_map(|tls| [&tls.default_certificate].into_iter().chain(&tls.certificates))
}

/// A listener of the stack that serves certificates, and what it serves.
pub(super) struct Serving<'a> {
    pub stack: &'a Stack,
    pub observed: &'a Observed,
    /// Name of the load balancer.
    pub load_balancer: &'a str,
    pub listener: &'a Listener,
    /// TLS as it is there.
    pub there: Option<&'a observed::ListenerTls>,
}

impl Serving<'_> {
    /// Whether policy or default certificate differ.
    pub fn differs(&self) -> bool {
        match (&self.listener.tls, self.there) {
            (None, there) => there.is_some(),
            (Some(_), None) => true,
            (Some(wanted), Some(there)) => {
                wanted.policy != there.policy
                    || arn_of(self.stack, self.observed, &wanted.default_certificate) != Some(there.default_certificate.as_str())
            }
        }
    }

    /// Adds certificates that are not served yet.
    pub fn add(&self, changes: &mut Changes) {
        let Self { listener, there, .. } = self;
        for wanted in listener.tls.iter().flat_map(|tls| &tls.certificates) {
            let arn = arn_of(self.stack, self.observed, wanted);
            if there.is_some_and(|there| arn.is_some_and(|arn| there.certificates.contains(arn))) {
                continue;
            }
            let mut needs = vec![&listener.id];
            if let CertificateId::Imported(id) = wanted {
                needs.push(id);
            }
            let operation = Operation::AddListenerCertificate {
                load_balancer: self.load_balancer.to_owned(),
                port: listener.port,
                certificate: wanted.clone(),
            };
            changes.push(Action::Update, &listener.id, &needs, operation, "not served yet", &listener.sources);
        }
    }

    /// Takes certificates off that are not to be served any more. AWS: never the default one.
    pub fn remove(&self, changes: &mut Changes) {
        let Self { listener, there, .. } = self;
        let wanted: Vec<_> = named_by(listener).filter_map(|id| arn_of(self.stack, self.observed, id)).collect();
        // Imports that cannot be told from others may be among them.
        let known = listener.tls.is_some() && !self.observed.certificates_unread;
        for arn in there.iter().flat_map(|there| &there.certificates).filter(|arn| known && !wanted.contains(&arn.as_str())) {
            let operation = Operation::RemoveListenerCertificate {
                load_balancer: self.load_balancer.to_owned(),
                port: listener.port,
                arn: arn.clone(),
            };
            changes.push(Action::Update, &listener.id, &[], operation, "no Gateway listener refers to it any more", &listener.sources);
        }
    }
}

/// Deletes this unit's certificates that the stack does not want, once no listener serves them that stays for now.
pub(super) fn delete_others(stack: &Stack, observed: &Observed, changes: &mut Changes) {
    let staying: Vec<_> = load_balancer::staying(stack, observed)
        .into_iter()
        .flat_map(|balancer| balancer.listeners.present().into_iter().flat_map(BTreeMap::values))
        .filter_map(|listener| listener.tls.as_ref())
        .collect();
    let kept: Vec<_> = stack.certificates.iter().filter_map(|wanted| imported(stack, observed, &wanted.id)).map(|(arn, _)| arn).collect();
    let releasing = changes.made(|operation| {
        matches!(
            operation,
            Operation::ModifyListener { .. }
                | Operation::RemoveListenerCertificate { .. }
                | Operation::DeleteListener { .. }
                | Operation::DeleteLoadBalancer { .. }
        )
    });
    for (arn, there) in &observed.certificates {
        let Presence::Present(there) = there else { continue };
        if !stack.owns(&there.tags) || kept.contains(&arn.as_str()) || staying.iter().any(|tls| tls.refers_to(arn)) {
            continue;
        }
        let id = there.tags.get(mark::RESOURCE).cloned().unwrap_or_else(|| format!("certificate/{arn}"));
        changes.delete(&ResourceId(id), Operation::DeleteCertificate { arn: arn.clone() }, "no listener refers to it any more");
        changes.after(releasing.iter().copied());
    }
}
