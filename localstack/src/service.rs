//! The services that this cloud has, and how each is spoken to.

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
    pub const ALL: [Self; 4] = [Self::Elb, Self::Ec2, Self::Sts, Self::Tagging];

    /// The name in the SigV4 credential scope.
    pub fn signing_name(self) -> &'static str {
        match self {
            Self::Elb => "elasticloadbalancing",
            Self::Ec2 => "ec2",
            Self::Sts => "sts",
            Self::Tagging => "tagging",
        }
    }

    /// The API version that query calls carry.
    pub fn version(self) -> &'static str {
        match self {
            Self::Elb => "2015-12-01",
            Self::Ec2 => "2016-11-15",
            Self::Sts => "2011-06-15",
            Self::Tagging => "2017-01-26",
        }
    }

    /// How answers are written.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Elb => Protocol::Xml(Dialect::Query { namespace: elb::NAMESPACE }),
            Self::Ec2 => Protocol::Xml(Dialect::Ec2),
            Self::Sts => Protocol::Xml(Dialect::Query { namespace: sts::NAMESPACE }),
            Self::Tagging => Protocol::Json,
        }
    }

    /// The operation with this name, or why there is none.
    pub fn operation(self, name: &str) -> Answer<Operation> {
        let found = match self {
            Self::Elb => elb::operation(name),
            Self::Ec2 => ec2::operation(name),
            Self::Sts => sts::operation(name),
            Self::Tagging => tagging::operation(name),
        };
        found.ok_or_else(|| self.unknown(name))
    }

    fn unknown(self, name: &str) -> ApiError {
        if self == Self::Elb && elb::MISSING.contains(&name) {
            return ApiError::new("InvalidAction", format!("The operation {name} is not served by this cloud yet"));
        }
        let version = self.version();
        match self {
            Self::Tagging => ApiError::new("UnknownOperationException", format!("The operation {name} is not known")),
            _ => ApiError::new("InvalidAction", format!("The action {name} is not valid for this web service, version {version}")),
        }
    }

    /// Carries an operation out.
    pub fn run(self, operation: Operation, state: &mut State, input: &Input) -> Answer<Record> {
        match self {
            Self::Ec2 => ec2::run(operation, state, input),
            Self::Elb | Self::Sts | Self::Tagging => (operation.run)(state, input),
        }
    }
}
