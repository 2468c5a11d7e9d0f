//! AWS, the calls: observe, execute, targets; the only crate that names an AWS SDK type.

mod provider;

pub use portico_aws::{Observed, Operation, Stack, supported};

/// How to reach AWS. Credentials and endpoints come from where the AWS SDKs look for them (environment, profile, IRSA, EKS Pod Identity, IMDS).
#[derive(Clone, Debug, Default)]
pub struct AwsOptions {
    /// Region; absent for the environment's.
    pub region: Option<String>,
    /// Endpoint of all services, in the place of AWS's own; absent for `AWS_ENDPOINT_URL` or AWS.
    pub endpoint: Option<String>,
    /// VPC in which subnets and security groups are looked for; absent to take that of the subnets found.
    pub vpc: Option<String>,
}

/// Amazon Web Services.
#[derive(Clone, Debug)]
pub struct Aws {
    _options: AwsOptions,
}

impl Aws {
    /// Finds region and credentials. Calls nothing.
    pub async fn connect(options: AwsOptions) -> Result<Self, portico_providers::ProviderError> {
        Ok(Self { _options: options })
    }
}
