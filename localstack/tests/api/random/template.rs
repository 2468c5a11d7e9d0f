//! Calls that are right, with holes for what exists: a file a service, whose paragraphs are calls.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use portico_cloud::service::{Protocol, Service};
use regex::Regex;

/// A call with holes: `{lb}` is the ARN of some application load balancer, `{n}` a small number, and so on.
#[derive(Clone, Copy, Debug)]
pub struct Template {
    pub service: Service,
    pub operation: &'static str,
    pub call: &'static str,
}

/// The templates of a service, and the source that says which operations it has.
fn files(service: Service) -> (&'static str, &'static str) {
    match service {
        Service::Elb => (include_str!("templates/elasticloadbalancing.txt"), include_str!("../../../src/elb.rs")),
        Service::Ec2 => (include_str!("templates/ec2.txt"), include_str!("../../../src/ec2.rs")),
        Service::Sts => (include_str!("templates/sts.txt"), include_str!("../../../src/sts.rs")),
        Service::Tagging => (include_str!("templates/tagging.txt"), include_str!("../../../src/tagging.rs")),
        Service::Acm => (include_str!("templates/acm.txt"), include_str!("../../../src/acm.rs")),
        Service::S3 => (include_str!("templates/s3.txt"), include_str!("../../../src/s3.rs")),
        Service::Wafv2 => (include_str!("templates/wafv2.txt"), include_str!("../../../src/wafv2.rs")),
        Service::WafRegional => (include_str!("templates/waf-regional.txt"), include_str!("../../../src/waf_regional.rs")),
        Service::Shield => (include_str!("templates/shield.txt"), include_str!("../../../src/shield.rs")),
        Service::ServiceQuotas => (include_str!("templates/servicequotas.txt"), include_str!("../../../src/service_quotas.rs")),
        Service::Route53 => (include_str!("templates/route53.txt"), include_str!("../../../src/route53.rs")),
    }
}

/// All templates, in the form in which [`super::super::harness::Api::send`] takes calls.
pub static TEMPLATES: LazyLock<Vec<Template>> = LazyLock::new(|| {
    let mut found = Vec::new();
    for service in Service::ALL {
        for paragraph in files(service).0.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.starts_with('#')) {
            let (operation, call) = paragraph.split_once(char::is_whitespace).unwrap_or((paragraph, ""));
            let lines: Vec<&str> = call.lines().map(str::trim).collect();
            let call = match (service.protocol(), service.target()) {
                // The first line stands for itself: method, path, headers.
                (Protocol::Rest, _) => format!("{}\n{}", lines[0], lines[1..].join("")),
                (_, Some(_)) => lines.join(" "),
                _ => call.split_whitespace().collect::<Vec<_>>().join("&"),
            };
            found.push(Template { service, operation, call: call.leak() });
        }
    }
    found
});

/// Templates of which none ever succeeds: this cloud has nothing of what they ask for, and the account has subscribed to Shield Advanced from the start.
pub const REFUSED: &[(Service, &str)] = &[
    (Service::Acm, "DescribeAcmeAccount"),
    (Service::Acm, "RevokeAcmeAccount"),
    (Service::Ec2, "GetCoipPoolUsage"),
    (Service::Elb, "DeleteSharedTrustStoreAssociation"),
    (Service::Elb, "GetResourcePolicy"),
    (Service::Shield, "CreateSubscription"),
    (Service::WafRegional, "AssociateWebACL"),
    (Service::WafRegional, "GetWebACL"),
];

/// The operations that a service has, by its source: those that come later are called, too.
pub fn operations() -> Vec<(Service, String)> {
    let names = Regex::new(r#"((?:"[A-Za-z0-9]+"(?:\s*\|\s*)?)+)(?:\s*=>\s*|\)\.then\(\|\|\s*)Operation::new\("#).unwrap();
    let name = Regex::new(r#""([A-Za-z0-9]+)""#).unwrap();
    let mut found = Vec::new();
    for service in Service::ALL {
        let text = files(service).1;
        let arms: Vec<_> = names.captures_iter(text).collect();
        assert_eq!(
            arms.len(),
            text.matches("Operation::new(").count(),
            "{service:?}: there are operations that cannot be read from its source"
        );
        found
            .extend(arms.iter().flat_map(|arm| name.captures_iter(arm.get(1).unwrap().as_str())).map(|name| (service, name[1].to_owned())));
    }
    found
}

/// An operation that comes without a template would be called with nonsense only.
#[test]
fn every_operation_has_a_template() {
    let name = |service: Service, operation: &str| format!("{}.{operation}", service.signing_name());
    let operations: BTreeSet<String> = operations().iter().map(|(service, operation)| name(*service, operation)).collect();
    let templates: BTreeSet<String> = TEMPLATES.iter().map(|template| name(template.service, template.operation)).collect();
    assert!(operations.len() > 150, "{operations:?}");
    let without: Vec<&String> = operations.difference(&templates).collect();
    assert!(without.is_empty(), "write templates of {without:?} into localstack/tests/api/random/templates");
    let unknown: Vec<&String> = templates.difference(&operations).collect();
    assert!(unknown.is_empty(), "the cloud does not have {unknown:?}");
    for template in TEMPLATES.iter() {
        assert!(template.service.operation(template.operation).is_ok(), "{template:?}");
    }
}
