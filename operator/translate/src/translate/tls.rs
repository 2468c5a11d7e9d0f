//! TLS of listeners: certificates, and what clients must show.

use super::authority;
use super::certificate::{self, Problem};
use super::listener::{Holder, Listener};
use crate::World;
use crate::report::{Fault, join};
use crate::world::kind_of_holder;
use portico_crds::Kind;
use portico_crds::condition::ListenerReason as Reason;
use portico_crds::normal::{self, TlsMode as Mode};
use portico_providers::{CertificateReference, ClientValidation};

/// TLS of an HTTPS listener, which ends here.
pub(super) fn https(found: &mut Listener<'_>, world: &World, holder: Holder<'_>, listener: &normal::Listener, path: &str) {
    client_validation(found, world, holder, listener.port);
    let Some(tls) = &listener.tls else {
        let message =
            format!("{path}.tls is missing: an HTTPS listener needs a certificate; refer to a Secret under certificateRefs there");
        found.report.unprogrammable = Some(Fault::new(Reason::InvalidTLSConfig, message));
        return;
    };
    if tls.mode == Mode::Passthrough {
        found.reject(
            Reason::UnsupportedValue,
            format!("{path}.tls.mode: TLS of an HTTPS listener ends at the load balancer; use Terminate"),
        );
        return;
    }
    terminate(found, world, holder, listener, tls, path);
}

/// TLS of a TLS listener, which ends here or goes on to the backends.
pub(super) fn tls(found: &mut Listener<'_>, world: &World, holder: Holder<'_>, listener: &normal::Listener, path: &str) {
    match &listener.tls {
        None => {
            let message = format!(
                "{path}.tls is missing: say there whether TLS ends at the load balancer (mode Terminate, with certificateRefs) or goes on to backends (mode Passthrough)"
            );
            found.report.unprogrammable = Some(Fault::new(Reason::InvalidTLSConfig, message));
        }
        Some(tls) if tls.mode == Mode::Passthrough => {
            if !tls.certificate_refs.is_empty() {
                let message =
                    format!("{path}.tls.certificateRefs: nothing is served with them, since TLS goes on to the backends; remove them");
                found.report.warnings.push(message);
            }
        }
        Some(tls) => terminate(found, world, holder, listener, tls, path),
    }
}

/// The certificates of a listener at which TLS ends.
fn terminate(
    found: &mut Listener<'_>,
    world: &World,
    holder: Holder<'_>,
    listener: &normal::Listener,
    tls: &normal::ListenerTls,
    path: &str,
) {
    let mut faults = Vec::new();
    for (index, reference) in tls.certificate_refs.iter().enumerate() {
        let path = format!("{path}.tls.certificateRefs[{index}]");
        match certificate::resolve(world, kind_of_holder(holder.parent), &holder.key.namespace, &path, reference) {
            Ok(certificate) => found.certificates.push(certificate),
            Err(fault) => faults.push(fault),
        }
    }
    let mut faults: Vec<_> = faults
        .into_iter()
        .map(|fault| {
            let reason = match fault.reason {
                Problem::Invalid => Reason::InvalidCertificateRef,
                Problem::NotPermitted => Reason::RefNotPermitted,
            };
            Fault::new(reason, fault.message)
        })
        .collect();
    let outdated = found.certificates.iter().filter_map(|certificate| {
        let index = tls.certificate_refs.iter().position(|it| certificate.reference == reference_to(&holder.key.namespace, it));
        certificate::out_of_date(world, &format!("{path}.tls.certificateRefs[{}]", index.unwrap_or_default()), certificate)
    });
    faults.extend(outdated.map(|message| Fault::new(Reason::InvalidCertificateRef, message)));
    let cloud = holder.capabilities.cloud_certificates;
    let (held, problems) = if cloud {
        certificate::of_options(&format!("{path}.tls.options"), &tls.options, found.hostname.as_ref())
    } else {
        (Vec::new(), Vec::new())
    };
    found.certificates.extend(held);
    faults.extend(problems.into_iter().map(|message| Fault::new(Reason::InvalidCertificateRef, message)));
    let asked = !faults.is_empty();
    // One condition has room for one reason: certificates come first, since without them nothing listens.
    faults.extend(found.report.unresolved.take());
    if let Some(first) = faults.first() {
        found.report.unresolved = Some(Fault::new(first.reason, join(faults.iter().map(|fault| fault.message.clone()))));
    }
    if let Some(warning) = found.hostname.as_ref().and_then(|hostname| certificate::for_another_name(&found.certificates, hostname)) {
        found.report.warnings.push(format!("{path}.tls.certificateRefs: {warning}"));
    }
    if found.certificates.is_empty() {
        let (reason, message) = match &found.report.unresolved {
            Some(fault) if asked => (Reason::Invalid, fault.message.clone()),
            _ => (Reason::InvalidTLSConfig, certificate::none_given(&format!("{path}.tls"), &listener.protocol, &tls.options, cloud)),
        };
        found.report.unprogrammable = Some(Fault::new(reason, message));
    }
}

fn reference_to(namespace: &str, reference: &normal::SecretRef) -> CertificateReference {
    CertificateReference::Secret(reference.resolve(namespace))
}

/// The certificates that clients must show on a port.
fn client_validation(found: &mut Listener<'_>, world: &World, holder: Holder<'_>, port: u16) {
    let Some(validation) = holder.gateway.client_validation_on(port) else { return };
    let path = if holder.gateway.client_validation_by_port.contains_key(&port) {
        format!("spec.tls.frontend.perPort[port {port}].tls.validation")
    } else {
        "spec.tls.frontend.default.validation".to_owned()
    };
    let list = format!("{path}.caCertificateRefs");
    let (ca_bundles, faults) = authority::resolve(world, Kind::Gateway, holder.gateway_namespace, &list, &validation.ca_certificates);
    if let Some(first) = faults.first() {
        let reason = match first.reason {
            authority::Problem::Kind => Reason::InvalidCACertificateKind,
            authority::Problem::Reference => Reason::InvalidCACertificateRef,
            authority::Problem::NotPermitted => Reason::RefNotPermitted,
        };
        found.unresolve(reason, faults.iter().map(|fault| fault.message.clone()));
    }
    if ca_bundles.is_empty() {
        let why = if faults.is_empty() {
            format!("{list} is empty: refer to the authorities of clients' certificates, or remove the validation")
        } else {
            join(faults.into_iter().map(|fault| fault.message))
        };
        found.reject(Reason::NoValidCACertificate, why);
    }
    found.client_validation = Some(ClientValidation { field: path, ca_bundles, allow_insecure_fallback: validation.insecure_fallback });
}
