//! The services that this cloud has, and how each is spoken to.

use crate::acm;
use crate::ec2;
use crate::elb;
use crate::error::{Answer, ApiError};
use crate::operation::Operation;
use crate::state::State;
use crate::sts;
use crate::tagging;
use crate::wire::xml::Dialect;
use crate::wire::{Input, Record};

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// ELBv2.
    Elb,
    /// EC2.
    Ec2,
    /// STS.
    Sts,
    /// The Resource Groups Tagging API.
    Tagging,
    /// AWS Certificate Manager.
    Acm,
}

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Query parameters in, XML out.
    Xml(Dialect),
    /// JSON 1.1.
    Json,
}

impl Service {
    /// All services.
    pub const ALL: [Self; 5] = [Self::Elb, Self::Ec2, Self::Sts, Self::Tagging, Self::Acm];

    /// The name in the SigV4 credential scope.
    pub fn signing_name(self) -> &'static str {
        match self {
            Self::Elb => "elasticloadbalancing",
            Self::Ec2 => "ec2",
            Self::Sts => "sts",
            Self::Tagging => "tagging",
            Self::Acm => "acm",
        }
    }

    /// The API version that query calls carry.
    pub fn version(self) -> &'static str {
        match self {
            Self::Elb => "2015-12-01",
            Self::Ec2 => "2016-11-15",
            Self::Sts => "2011-06-15",
            Self::Tagging => "2017-01-26",
            Self::Acm => "2015-12-08",
        }
    }

    /// The prefix of `X-Amz-Target` in JSON calls; `None` for services that are called with query parameters.
    pub fn target(self) -> Option<&'static str> {
        match self {
            Self::Tagging => Some(tagging::TARGET),
            Self::Acm => Some(acm::TARGET),
            Self::Elb | Self::Ec2 | Self::Sts => None,
        }
    }

    /// How answers are written.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Elb => Protocol::Xml(Dialect::Query { namespace: elb::NAMESPACE }),
            Self::Ec2 => Protocol::Xml(Dialect::Ec2),
            Self::Sts => Protocol::Xml(Dialect::Query { namespace: sts::NAMESPACE }),
            Self::Tagging | Self::Acm => Protocol::Json,
        }
    }

    /// The operation with this name, or why there is none.
    pub fn operation(self, name: &str) -> Answer<Operation> {
        let found = match self {
            Self::Elb => elb::operation(name),
            Self::Ec2 => ec2::operation(name),
            Self::Sts => sts::operation(name),
            Self::Tagging => tagging::operation(name),
            Self::Acm => acm::operation(name),
        };
        found.ok_or_else(|| self.unknown(name))
    }

    fn unknown(self, name: &str) -> ApiError {
        let missing = match self {
            Self::Elb => elb::MISSING,
            Self::Acm => acm::MISSING,
            Self::Ec2 | Self::Sts | Self::Tagging => &[],
        };
        let code = if self.target().is_some() { "UnknownOperationException" } else { "InvalidAction" };
        if missing.contains(&name) {
            return ApiError::new(code, format!("The operation {name} is not served by this cloud yet"));
        }
        let version = self.version();
        match self {
            Self::Tagging | Self::Acm => ApiError::new("UnknownOperationException", format!("The operation {name} is not known")),
            _ => ApiError::new("InvalidAction", format!("The action {name} is not valid for this web service, version {version}")),
        }
    }

    /// Carries an operation out.
    pub fn run(self, operation: Operation, state: &mut State, input: &Input) -> Answer<Record> {
        match self {
            Self::Ec2 => ec2::run(operation, state, input),
            Self::Acm => acm::run(operation, state, input),
            Self::Elb | Self::Sts | Self::Tagging => (operation.run)(state, input),
        }
    }
}
