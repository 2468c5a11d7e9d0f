//! Errors of AWS, told apart by their codes in this one place.

use crate::fence::Fallen;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use portico_providers::ProviderError;
use std::error::Error;

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The call.
    pub operation: &'static str,
    /// AWS's code on the wire; empty where no answer came.
    pub code: String,
    /// AWS's words.
    pub message: String,
    /// Status of the answer, if there was one.
    pub status: Option<u16>,
}

/// What a failed call means for what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Too many calls: slow down.
    Throttled,
    /// Nobody knows whether it was carried out.
    Unclear,
    /// Something is not visible yet, or not free yet: worth another try at once.
    Soon,
    /// What it is about is not there.
    NotFound,
    /// What it would make is there already.
    Duplicate,
    /// Credentials or permissions.
    Denied,
    /// A quota.
    Limit,
    /// The request is wrong and stays wrong.
    Invalid,
    /// It was not made: this process does not hold the lease.
    Fenced,
}

/// Stands for AWS's code where a call was not made because the lease is not held.
const FENCED: &str = "Fenced";

impl Failure {
    /// A call that was not made because the lease is not held.
    pub fn fenced(operation: &'static str) -> Self {
        Self { operation, code: FENCED.into(), message: Fallen.to_string(), status: None }
    }

    /// Reads an SDK error.
    pub fn of<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        match &error {
            _ if is_fenced(&error) => Self::fenced(operation),
            SdkError::ServiceError(context) => Self {
                operation,
                code: context.err().code().unwrap_or_default().to_owned(),
                message: context.err().message().unwrap_or("no message").to_owned(),
                status: Some(context.raw().status().as_u16()),
            },
            SdkError::ConstructionFailure(_) => {
                Self { operation, code: "ConstructionFailure".into(), message: DisplayErrorContext(&error).to_string(), status: None }
            }
            _ => Self { operation, code: String::new(), message: DisplayErrorContext(&error).to_string(), status: None },
        }
    }

    /// As the failure of a deletion that has to wait.
    pub fn busy(self) -> ProviderError {
        ProviderError::Busy { operation: self.operation.to_owned(), message: format!("{}: {}", self.code, self.message) }
    }

    /// What it means.
    pub fn class(&self) -> Class {
        let code = self.code.trim_end_matches("Exception");
        match code {
            "" => Class::Unclear,
            FENCED => Class::Fenced,
            "Throttling"
            | "ThrottledException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "TooManyRequests"
            | "SlowDown"
            | "PriorRequestNotComplete"
            | "BandwidthLimitExceeded" => Class::Throttled,
            "HealthUnavailable" | "InternalFailure" | "InternalError" | "ServiceUnavailable" | "Unavailable" | "RequestTimeout" => {
                Class::Unclear
            }
            "ResourceInUse" | "RequestInProgress" | "DependencyViolation" | "TrustStoreNotReady" => Class::Soon,
            "AccessDenied"
            | "UnauthorizedOperation"
            | "AuthFailure"
            | "ExpiredToken"
            | "InvalidClientTokenId"
            | "SignatureDoesNotMatch"
            | "OptInRequired"
            | "MissingAuthenticationToken"
            | "RequestExpired"
            | "UnrecognizedClient"
            | "IncompleteSignature"
            | "ConstructionFailure" => Class::Denied,
            _ if code.ends_with("NotFound") => Class::NotFound,
            _ if code.starts_with("Duplicate") || code.ends_with(".Duplicate") => Class::Duplicate,
            _ if code.starts_with("TooMany") || code.ends_with("LimitExceeded") || code == "InsufficientCapacity" => Class::Limit,
            _ if self.status.is_some_and(|status| status >= 500) => Class::Unclear,
            _ if self.status == Some(429) => Class::Throttled,
            _ => Class::Invalid,
        }
    }
}

impl From<Failure> for ProviderError {
    fn from(failure: Failure) -> Self {
        let class = failure.class();
        let operation = failure.operation.to_owned();
        let message = if failure.code.is_empty() { failure.message.clone() } else { format!("{}: {}", failure.code, failure.message) };
        match class {
            Class::Throttled => Self::Throttled { operation, message },
            Class::Unclear | Class::Soon | Class::NotFound => Self::Transient { operation, message },
            Class::Denied => Self::Denied { operation, message },
            Class::Limit => Self::Limit { operation, message },
            Class::Duplicate => Self::Foreign { resource: format!("what {operation} was to make"), message },
            Class::Fenced => Self::NotLeader,
            Class::Invalid => Self::Invalid { operation, code: failure.code, message: failure.message },
        }
    }
}

/// Whether the fence kept a call from being sent: it stands among the error's causes.
fn is_fenced(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<Fallen>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Names the call that failed.
pub(crate) trait Named<T> {
    /// The answer, or the failure of `operation`.
    fn named(self, operation: &'static str) -> Result<T, Failure>;
}

impl<T, E> Named<T> for Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    fn named(self, operation: &'static str) -> Result<T, Failure> {
        self.map_err(|error| Failure::of(operation, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart() {
        for (code, status, class, name) in [
            ("Throttling", Some(400), Class::Throttled, "throttled"),
            ("ThrottlingException", Some(400), Class::Throttled, "throttled"),
            ("RequestLimitExceeded", Some(503), Class::Throttled, "throttled"),
            ("PriorRequestNotComplete", Some(429), Class::Throttled, "throttled"),
            ("", None, Class::Unclear, "transient"),
            ("InternalFailure", Some(500), Class::Unclear, "transient"),
            ("SomethingNew", Some(502), Class::Unclear, "transient"),
            ("ResourceInUse", Some(400), Class::Soon, "transient"),
            ("DependencyViolation", Some(400), Class::Soon, "transient"),
            ("ListenerNotFound", Some(400), Class::NotFound, "transient"),
            ("InvalidGroup.NotFound", Some(400), Class::NotFound, "transient"),
            ("InvalidPermission.Duplicate", Some(400), Class::Duplicate, "foreign"),
            ("DuplicateTargetGroupName", Some(400), Class::Duplicate, "foreign"),
            ("AccessDenied", Some(403), Class::Denied, "denied"),
            ("UnauthorizedOperation", Some(403), Class::Denied, "denied"),
            ("ExpiredTokenException", Some(403), Class::Denied, "denied"),
            ("TooManyRules", Some(400), Class::Limit, "limit"),
            ("RulesPerSecurityGroupLimitExceeded", Some(400), Class::Limit, "limit"),
            ("ValidationError", Some(400), Class::Invalid, "invalid"),
            ("OperationNotPermitted", Some(400), Class::Invalid, "invalid"),
            ("PriorityInUse", Some(400), Class::Invalid, "invalid"),
        ] {
            let failure = Failure { operation: "CreateRule", code: code.into(), message: "m".into(), status };
            assert_eq!(failure.class(), class, "{code}");
            assert_eq!(ProviderError::from(failure).class(), name, "{code}");
        }
    }
}
