//! The load balancer, and what a Gateway asks of it as a whole.

use super::Compiler;
use super::issue::{Issue, Quota};
use crate::limit;
use crate::stack::{IpAddressType, LoadBalancer, Scheme, SecurityGroups, SubnetSelection};
use portico_crds::PORTICO_GROUP;
use portico_crds::v1alpha1::{self as profile, SecurityGroupSource, SubnetSource};
use portico_providers::{AddressKind, Residue, ResourceId, Subject, TagSet};
use std::collections::BTreeMap;

impl From<profile::aws::Scheme> for Scheme {
    fn from(scheme: profile::aws::Scheme) -> Self {
        match scheme {
            profile::aws::Scheme::InternetFacing => Self::InternetFacing,
            profile::aws::Scheme::Internal => Self::Internal,
        }
    }
}

impl From<profile::aws::IpAddressType> for IpAddressType {
    fn from(kind: profile::aws::IpAddressType) -> Self {
        match kind {
            profile::aws::IpAddressType::Ipv4 => Self::Ipv4,
            profile::aws::IpAddressType::Dualstack => Self::Dualstack,
            profile::aws::IpAddressType::DualstackWithoutPublicIpv4 => Self::DualstackWithoutPublicIpv4,
        }
    }
}

/// Why something cannot be a tag. AWS: letters, digits, spaces and `+ - = . _ : / @`, and `aws:` is AWS's own.
fn tag_fault(key: &str, value: &str) -> Option<String> {
    let fits = |text: &str| text.chars().all(|c| c.is_alphanumeric() || c == ' ' || "+-=._:/@".contains(c));
    if key.strip_prefix(PORTICO_GROUP).is_some_and(|rest| rest.starts_with('/')) {
        return Some(format!("Tags that start with {PORTICO_GROUP}/ mark what Portico owns."));
    }
    if key.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("aws:")) {
        return Some("Tags that start with aws: belong to AWS.".to_owned());
    }
    if key.is_empty() || key.chars().count() > limit::TAG_KEY_LENGTH || value.chars().count() > limit::TAG_VALUE_LENGTH {
        let (keys, values) = (limit::TAG_KEY_LENGTH, limit::TAG_VALUE_LENGTH);
        return Some(format!("AWS: a tag's key has 1 to {keys} characters, its value at most {values}."));
    }
    (!fits(key) || !fits(value)).then(|| "AWS: a tag has letters, digits, spaces and + - = . _ : / @ only.".to_owned())
}

impl Compiler<'_> {
    pub(super) fn load_balancer(&self, scheme: Scheme) -> LoadBalancer {
        let subnets = match &self.settings.subnets {
            SubnetSource::Ids(ids) => SubnetSelection::Ids(ids.clone()),
            SubnetSource::Tags(tags) => SubnetSelection::Tags(tags.clone()),
            SubnetSource::RoleTags => SubnetSelection::Discover { cluster_name: self.settings.cluster_name.clone() },
        };
        let security_groups = match &self.settings.security_groups {
            SecurityGroupSource::Managed { .. } => SecurityGroups::Managed,
            SecurityGroupSource::Ids(ids) => SecurityGroups::Ids(ids.clone()),
        };
        LoadBalancer {
            id: ResourceId("load-balancer".into()),
            name: self.load_balancer.clone(),
            scheme,
            ip_address_type: self.ip_address_type,
            subnets,
            security_groups,
            attributes: self.attributes(),
            tags: self.tags.clone(),
        }
    }

    fn attributes(&self) -> BTreeMap<String, String> {
        let settings = &self.settings.attributes;
        let mut attributes: BTreeMap<_, _> = [
            ("idle_timeout.timeout_seconds", settings.idle_timeout_seconds.to_string()),
            ("client_keep_alive.seconds", settings.client_keep_alive_seconds.to_string()),
            ("deletion_protection.enabled", settings.deletion_protection.to_string()),
            ("routing.http2.enabled", settings.http2.to_string()),
            ("routing.http.drop_invalid_header_fields.enabled", settings.drop_invalid_header_fields.to_string()),
            ("routing.http.preserve_host_header.enabled", settings.preserve_host_header.to_string()),
            (
                "routing.http.xff_header_processing.mode",
                match settings.x_forwarded_for {
                    profile::aws::XForwardedFor::Append => "append",
                    profile::aws::XForwardedFor::Preserve => "preserve",
                    profile::aws::XForwardedFor::Remove => "remove",
                }
                .to_owned(),
            ),
            ("access_logs.s3.enabled", settings.access_logs.is_some().to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        if let Some(logs) = &settings.access_logs {
            attributes.insert("access_logs.s3.bucket".into(), logs.bucket.clone());
            attributes.insert("access_logs.s3.prefix".into(), logs.prefix.clone().unwrap_or_default());
        }
        attributes
    }

    /// Tags of the profile, and labels of `spec.infrastructure`, which win. What cannot be a tag, or would be one of ours, is refused.
    pub(super) fn user_tags(&mut self) -> TagSet {
        let mut tags = TagSet::new();
        for gateway in &self.plan.gateways {
            let of_profile = self.settings.tags.iter().map(|tag| ("LoadBalancerProfile spec.aws.tags", tag));
            let labels = gateway.infrastructure.labels.iter().map(|tag| ("spec.infrastructure.labels", tag));
            for (field, (key, value)) in of_profile.chain(labels) {
                match tag_fault(key, value) {
                    None => drop(tags.insert(key.clone(), value.clone())),
                    Some(detail) => {
                        let issue = Issue::invalid(format!("{field}[{key}]"), detail, "Use another key or value, or remove it.");
                        self.refusals.insert(issue.refuse(Subject::Gateway(gateway.key.clone()), Residue::NoTraffic));
                    }
                }
            }
        }
        const OURS: usize = 4;
        let room = limit::TAGS_PER_RESOURCE - OURS;
        if let Some(gateway) = self.plan.gateways.first().filter(|_| tags.len() > room) {
            let quota =
                Quota { limit: "tags", holder: "a resource in AWS".into(), need: tags.len() + OURS, have: limit::TAGS_PER_RESOURCE };
            let issue = Issue::quota("spec.infrastructure.labels", quota, "Use fewer tags and labels.");
            self.refusals.insert(issue.refuse(Subject::Gateway(gateway.key.clone()), Residue::NoTraffic));
            tags = tags.into_iter().take(room).collect();
        }
        tags
    }

    /// What a Gateway asks for that concerns no single listener.
    pub(super) fn refuse_gateway_fields(&mut self) {
        for gateway in &self.plan.gateways {
            let mut issues = Vec::new();
            for (index, address) in gateway.addresses.iter().enumerate() {
                let field = format!("spec.addresses[{index}]");
                let what = match &address.kind {
                    AddressKind::IpAddress => "An ALB's addresses are AWS's to choose and to change.",
                    AddressKind::Hostname => "An ALB's DNS name is AWS's to choose.",
                    AddressKind::Other(_) => "An ALB knows no such type of address.",
                };
                issues.push(Issue::unsupported(
                    field,
                    what,
                    "Remove the entry, and let a DNS record of your own point to the Gateway's address.",
                ));
            }
            if !gateway.infrastructure.annotations.is_empty() {
                let detail = "AWS resources have tags only; labels become tags.";
                issues.push(Issue::unsupported("spec.infrastructure.annotations", detail, "Use spec.infrastructure.labels."));
            }
            if gateway.client_certificate.is_some() {
                let field = "spec.tls.backend.clientCertificateRef";
                issues.push(Issue::unsupported(field, "An ALB shows no client certificate to backends.", "Remove the field."));
            }
            let subject = Subject::Gateway(gateway.key.clone());
            self.refusals.extend(issues.into_iter().map(|issue| issue.refuse(subject.clone(), Residue::NoTraffic)));
        }
    }
}
