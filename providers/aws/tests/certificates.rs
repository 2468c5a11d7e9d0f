//! HTTPS listeners and their certificates: what the diff does, case by case.

use crate::cloud::Cloud;
use crate::diff::{calls, reach, stack};
use crate::plans::{cluster, unit};
use portico_aws::stack::CertificateId;
use portico_aws::{Operation, Stack};
use portico_providers::Hostname;

/// A Secret's certificate: its name and what it holds.
fn certificate(secret: &str, sha256: &str, key: &str) -> String {
    format!("{{ reference: {{ secret: infra/{secret} }}, sha256: '{sha256}', keyType: {key} }}")
}

/// A port with a listener for each certificate, the last of which is the widest and gives the default one.
fn https(certificates: &[(&str, &str, &str)]) -> Stack {
    let last = certificates.last().unwrap();
    let mut yaml = format!(
        "ports:\n  - port: 443\n    protocol: HTTPS\n    defaultCertificate: {}\n    listeners:\n",
        certificate(last.0, last.1, last.2)
    );
    for (name, sha256, key) in certificates {
        let certificate = certificate(name, sha256, key);
        yaml += &format!(
            "      - {{ name: {name}, hostname: {name}.example.com, tls: {{ mode: Terminate, certificates: [{certificate}] }} }}\n"
        );
    }
    stack(&yaml)
}

const RSA: &str = "RSA-2048";

#[test]
fn a_certificate_is_imported_before_its_listener_and_goes_after_it() {
    let mut cloud = Cloud::new();
    let changes = reach(&mut cloud, &https(&[("a", "01", RSA), ("b", "02", RSA)]));
    let expected = ["ImportCertificate", "ImportCertificate", "CreateListener", "AddListenerCertificates"];
    assert_eq!(calls(&changes)[5..9], expected);
    // The listener waits for the load balancer and its default certificate alone; the other is added by a call that waits for it.
    let operation = |wanted: &str| changes.iter().position(|change| change.operation.call() == wanted).unwrap();
    let (first, listener) = (operation("ImportCertificate"), operation("CreateListener"));
    assert!(!changes[listener].after.contains(&first) && changes[listener].after.contains(&(first + 1)), "{changes:?}");
    assert_eq!(changes[operation("AddListenerCertificates")].after, [first, listener]);
    let changes = reach(&mut cloud, &Stack::empty(&cluster(), &unit()));
    assert_eq!(calls(&changes).last_chunk(), Some(&["DeleteSecurityGroup", "DeleteCertificate", "DeleteCertificate"]));
    assert!(cloud.certificates.is_empty());
}

#[test]
fn a_renewed_certificate_is_imported_in_place_and_nothing_else_changes() {
    let mut cloud = Cloud::new();
    reach(&mut cloud, &https(&[("a", "01", RSA)]));
    let changes = reach(&mut cloud, &https(&[("a", "02", RSA)]));
    assert_eq!(calls(&changes), ["ImportCertificate", "AddTagsToCertificate"]);
    assert!(matches!(changes[0].operation, Operation::ReimportCertificate { .. }));
    // A run that ends between the two imports again.
    assert_eq!(changes[1].after, [0]);
}

#[test]
fn another_type_of_key_is_another_certificate() {
    let mut cloud = Cloud::new();
    reach(&mut cloud, &https(&[("a", "01", RSA)]));
    let changes = reach(&mut cloud, &https(&[("a", "02", "ECDSA-P256")]));
    assert_eq!(calls(&changes), ["ImportCertificate", "ModifyListener", "DeleteCertificate"]);
    assert_eq!(changes[2].after, [1]);
}

#[test]
fn certificates_come_and_go_on_a_listener_that_stays() {
    let mut cloud = Cloud::new();
    reach(&mut cloud, &https(&[("a", "01", RSA), ("b", "02", RSA)]));
    let changes = reach(&mut cloud, &https(&[("c", "03", RSA), ("b", "02", RSA)]));
    let certificates: Vec<_> = calls(&changes).into_iter().filter(|call| call.contains("Certificate")).collect();
    let expected = ["ImportCertificate", "AddListenerCertificates", "RemoveListenerCertificates", "DeleteCertificate"];
    assert_eq!(certificates, expected);
    // What was the default certificate goes on being served while another takes its place.
    let changes = reach(&mut cloud, &https(&[("b", "02", RSA), ("c", "03", RSA)]));
    let certificates: Vec<_> = calls(&changes).into_iter().filter(|call| !call.contains("Rule")).collect();
    assert_eq!(certificates, ["AddListenerCertificates", "ModifyListener"]);
}

#[test]
fn an_import_that_was_made_twice_is_cleaned_up() {
    let mut cloud = Cloud::new();
    let stack = https(&[("a", "01", RSA)]);
    reach(&mut cloud, &stack);
    let twin = cloud.certificates.values().next().unwrap().clone();
    cloud.certificates.insert("arn:certificate/999".into(), twin);
    assert_eq!(calls(&reach(&mut cloud, &stack)), ["DeleteCertificate"]);
    assert!(!cloud.certificates.contains_key("arn:certificate/999"));
}

#[test]
fn a_listener_that_turns_to_http_lets_its_certificate_go() {
    let mut cloud = Cloud::new();
    reach(&mut cloud, &https(&[("a", "01", RSA)]));
    let changes = reach(&mut cloud, &stack("ports: [{ port: 443, listeners: [{}] }]"));
    assert_eq!(calls(&changes), ["ModifyListener", "DeleteCertificate"]);
}

/// A port with a listener for each certificate id, as the stack names them; the first is the default one.
fn serving(ids: &[CertificateId]) -> Stack {
    let mut stack = https(&[("a", "01", RSA)]);
    let tls = stack.listeners[0].tls.as_mut().unwrap();
    tls.default_certificate = ids[0].clone();
    tls.certificates = ids[1..].to_vec();
    stack.certificates.clear();
    stack
}

#[test]
fn what_acm_could_not_be_asked_for_leaves_a_listener_as_it_is() {
    let arn = |name: &str| CertificateId::Arn(format!("arn:aws:acm:us-east-1:000000000000:certificate/{name}"));
    let open = || CertificateId::Unresolved(Hostname::new("open.example.com").unwrap());
    let mut cloud = Cloud::new();
    reach(&mut cloud, &serving(&[arn("one"), arn("two"), arn("three")]));
    assert_eq!(calls(&reach(&mut cloud, &serving(&[open(), arn("two")]))), [""; 0]);
    assert_eq!(calls(&reach(&mut cloud, &serving(&[arn("one"), open()]))), [""; 0]);
    // Another default takes nothing from those for whom the default was.
    assert_eq!(calls(&reach(&mut cloud, &serving(&[arn("four"), open()]))), ["AddListenerCertificates", "ModifyListener"]);
    let tidy = calls(&reach(&mut cloud, &serving(&[arn("four")]))).len();
    assert_eq!(tidy, 3);

    // One that is not there begins with what it has otherwise, and is not made without.
    let mut cloud = Cloud::new();
    let made = calls(&reach(&mut cloud, &serving(&[open()])));
    assert!(!made.iter().any(|call| call.contains("Listener") || call.contains("CreateRule")), "{made:?}");
    assert_eq!(calls(&reach(&mut cloud, &serving(&[open(), arn("two")]))), ["CreateListener"]);
}

#[test]
fn imports_that_cannot_be_listed_are_not_taken_off_a_listener() {
    let mut cloud = Cloud::new();
    reach(&mut cloud, &https(&[("a", "01", RSA), ("b", "02", RSA)]));
    let stack = https(&[("a", "01", RSA), ("b", "02", RSA)]);
    let mut observed = cloud.observe(&stack);
    observed.certificates.clear();
    observed.certificates_unread = true;
    let made = calls(&portico_aws::diff(&stack, &observed).unwrap());
    assert!(!made.iter().any(|call| call.starts_with("Remove") || call.starts_with("Delete")), "{made:?}");
}
