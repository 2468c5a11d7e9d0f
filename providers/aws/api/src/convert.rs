//! Between the SDK's types and the stack's. What AWS fills in by itself is written out here, once, so that the diff never sees it.

mod group;
mod resource;
mod rule;

pub(crate) use group::{admits, backend_group, permission_from, permissions, security_group, subnet};
pub(crate) use resource::{health_check_port, listener_protocol, load_balancer, protocol, target_group};
pub(crate) use rule::{action, condition, read_action, read_condition, read_transform, transform};

use aws_sdk_acm as acm;
use aws_sdk_ec2 as ec2;
use aws_sdk_elasticloadbalancingv2 as elb;
use portico_providers::TagSet;

/// Tags for ELB.
pub(crate) fn elb_tags(tags: &TagSet) -> Vec<elb::types::Tag> {
    tags.iter().map(|(key, value)| elb::types::Tag::builder().key(key).value(value).build()).collect()
}

/// Tags from ELB.
pub(crate) fn read_elb_tags(tags: &[elb::types::Tag]) -> TagSet {
    tags.iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))).collect()
}

/// Tags for ACM.
pub(crate) fn acm_tags(tags: &TagSet) -> Vec<acm::types::Tag> {
    // Only a tag without a key cannot be built.
    tags.iter().filter_map(|(key, value)| acm::types::Tag::builder().key(key).value(value).build().ok()).collect()
}

/// Tags for EC2.
pub(crate) fn ec2_tags(tags: &TagSet) -> Vec<ec2::types::Tag> {
    tags.iter().map(|(key, value)| ec2::types::Tag::builder().key(key).value(value).build()).collect()
}

/// Tags from EC2.
pub(crate) fn read_ec2_tags(tags: &[ec2::types::Tag]) -> TagSet {
    tags.iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()))).collect()
}
