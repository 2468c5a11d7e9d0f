//! What a call is about: it decides who makes it, whose budget it takes from, and what its failure says of other calls.

use crate::budget::Kind;
use portico_aws::Operation;

/// The kind of resource that an operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    SecurityGroup,
    TargetGroup,
    LoadBalancer,
    /// A listener, its certificates or its rules.
    Listener,
    Certificate,
}

impl Subject {
    /// What this operation is about.
    pub fn of(operation: &Operation) -> Self {
        match operation {
            Operation::CreateSecurityGroup { .. }
            | Operation::AuthorizeIngress { .. }
            | Operation::RevokeIngress { .. }
            | Operation::AuthorizeBackend { .. }
            | Operation::RevokeBackend { .. }
            | Operation::TagSecurityGroup { .. }
            | Operation::DeleteSecurityGroup { .. } => Self::SecurityGroup,
            Operation::CreateTargetGroup { .. }
            | Operation::ModifyTargetGroup { .. }
            | Operation::ModifyTargetGroupAttributes { .. }
            | Operation::TagTargetGroup { .. }
            | Operation::DeleteTargetGroup { .. } => Self::TargetGroup,
            Operation::CreateLoadBalancer { .. }
            | Operation::ModifyLoadBalancerAttributes { .. }
            | Operation::SetIpAddressType { .. }
            | Operation::SetSubnets { .. }
            | Operation::SetSecurityGroups { .. }
            | Operation::TagLoadBalancer { .. }
            | Operation::DeleteLoadBalancer { .. } => Self::LoadBalancer,
            Operation::CreateListener { .. }
            | Operation::ModifyListener { .. }
            | Operation::TagListener { .. }
            | Operation::AddListenerCertificate { .. }
            | Operation::RemoveListenerCertificate { .. }
            | Operation::DeleteListener { .. }
            | Operation::CreateRule { .. }
            | Operation::ModifyRule { .. }
            | Operation::SetRulePriorities { .. }
            | Operation::DeleteRule { .. } => Self::Listener,
            Operation::ImportCertificate { .. }
            | Operation::ReimportCertificate { .. }
            | Operation::TagCertificate { .. }
            | Operation::DeleteCertificate { .. } => Self::Certificate,
        }
    }

    /// The budget that a call about it takes from.
    pub fn kind(self) -> Kind {
        match self {
            Self::SecurityGroup => Kind::Ec2Change,
            Self::TargetGroup | Self::LoadBalancer | Self::Listener => Kind::ElbChange,
            Self::Certificate => Kind::AcmChange,
        }
    }
}
