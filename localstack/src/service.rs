//! The services that this cloud has, and how each is spoken to.

use http::{HeaderValue, StatusCode};

use crate::acm;
use crate::ec2;
use crate::elb;
use crate::endpoint::{self, Reply};
use crate::error::{Answer, ApiError};
use crate::operation::Operation;
use crate::route53;
use crate::s3;
use crate::service_quotas;
use crate::shield;
use crate::state::State;
use crate::sts;
use crate::tagging;
use crate::waf_regional;
use crate::wafv2;
use crate::wire::xml::Dialect;
use crate::wire::{Input, Record, rest, xml};

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
    /// S3.
    S3,
    /// WAFv2.
    Wafv2,
    /// WAF Regional.
    WafRegional,
    /// Shield.
    Shield,
    /// Service Quotas.
    ServiceQuotas,
    /// Route 53.
    Route53,
}

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Query parameters in, XML out.
    Xml(Dialect),
    /// JSON 1.1.
    Json,
    /// Methods and paths in, headers and XML out.
    Rest,
}

impl Service {
    /// All services.
    pub const ALL: [Self; 11] = [
        Self::Elb,
        Self::Ec2,
        Self::Sts,
        Self::Tagging,
        Self::Acm,
        Self::S3,
        Self::Wafv2,
        Self::WafRegional,
        Self::Shield,
        Self::ServiceQuotas,
        Self::Route53,
    ];

    /// The name in the SigV4 credential scope.
    pub fn signing_name(self) -> &'static str {
        match self {
            Self::Elb => "elasticloadbalancing",
            Self::Ec2 => "ec2",
            Self::Sts => "sts",
            Self::Tagging => "tagging",
            Self::Acm => "acm",
            Self::S3 => "s3",
            Self::Wafv2 => "wafv2",
            Self::WafRegional => "waf-regional",
            Self::Shield => "shield",
            Self::ServiceQuotas => "servicequotas",
            Self::Route53 => "route53",
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
            Self::S3 => "2006-03-01",
            Self::Wafv2 => "2019-07-29",
            Self::WafRegional => "2016-11-28",
            Self::Shield => "2016-06-02",
            Self::ServiceQuotas => "2019-06-24",
            Self::Route53 => "2013-04-01",
        }
    }

    /// The prefix of `X-Amz-Target` in JSON calls; `None` for services that are called with query parameters.
    pub fn target(self) -> Option<&'static str> {
        match self {
            Self::Tagging => Some(tagging::TARGET),
            Self::Acm => Some(acm::TARGET),
            Self::Wafv2 => Some(wafv2::TARGET),
            Self::WafRegional => Some(waf_regional::TARGET),
            Self::Shield => Some(shield::TARGET),
            Self::ServiceQuotas => Some(service_quotas::TARGET),
            Self::Elb | Self::Ec2 | Self::Sts | Self::S3 | Self::Route53 => None,
        }
    }

    /// How answers are written.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Elb => Protocol::Xml(Dialect::Query { namespace: elb::NAMESPACE }),
            Self::Ec2 => Protocol::Xml(Dialect::Ec2),
            Self::Sts => Protocol::Xml(Dialect::Query { namespace: sts::NAMESPACE }),
            Self::Tagging | Self::Acm | Self::Wafv2 | Self::WafRegional | Self::Shield | Self::ServiceQuotas => Protocol::Json,
            Self::S3 | Self::Route53 => Protocol::Rest,
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
            Self::S3 => s3::operation(name),
            Self::Wafv2 => wafv2::operation(name),
            Self::WafRegional => waf_regional::operation(name),
            Self::Shield => shield::operation(name),
            Self::ServiceQuotas => service_quotas::operation(name),
            Self::Route53 => route53::operation(name),
        };
        found.ok_or_else(|| self.unknown(name))
    }

    fn unknown(self, name: &str) -> ApiError {
        let code = if self.target().is_some() { "UnknownOperationException" } else { "InvalidAction" };
        let version = self.version();
        if self.target().is_some() {
            return ApiError::new(code, format!("The operation {name} is not known"));
        }
        ApiError::new(code, format!("The action {name} is not valid for this web service, version {version}"))
    }

    /// Carries an operation out.
    pub fn run(self, operation: Operation, state: &mut State, input: &Input) -> Answer<Record> {
        match self {
            Self::Ec2 => ec2::run(operation, state, input),
            Self::Acm => acm::run(operation, state, input),
            Self::S3 => s3::run(operation, state, input),
            Self::Wafv2 => wafv2::run(operation, state, input),
            Self::WafRegional => waf_regional::run(operation, state, input),
            Self::Shield => shield::run(operation, state, input),
            Self::ServiceQuotas => service_quotas::run(operation, state, input),
            Self::Route53 => route53::run(operation, state, input),
            Self::Elb | Self::Sts | Self::Tagging => (operation.run)(state, input),
        }
    }

    /// The operation of a REST service that a request asks for.
    pub fn route(self, request: &rest::Request<'_>) -> Answer<(&'static str, Input)> {
        match self {
            Self::S3 => s3::route::route(request),
            Self::Route53 => route53::route::route(request),
            other => Err(other.unknown(request.path)),
        }
    }

    /// The answer of a REST service to a request with this path.
    pub fn rest_reply(self, operation: &str, request_id: &str, path: &str, answer: Result<&Record, &ApiError>) -> Reply {
        let mut reply = match (self, answer) {
            (Self::Route53, Ok(record)) => rest::answer(&route53::layout(operation), record),
            (Self::Route53, Err(error)) => {
                let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
                let dialect = Dialect::Query { namespace: route53::NAMESPACE };
                endpoint::plain(status, "text/xml", xml::error(dialect, request_id, error))
            }
            (_, Ok(record)) => rest::answer(&s3::layout(operation), record),
            (_, Err(error)) => rest::error(request_id, path, error),
        };
        if let Ok(value) = HeaderValue::from_str(request_id) {
            let name = if self == Self::S3 { "x-amz-request-id" } else { "x-amzn-requestid" };
            reply.headers_mut().insert(name, value);
        }
        reply
    }
}
