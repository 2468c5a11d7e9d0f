//! Service Quotas (version 2019-06-24): the account's limits by their codes, as far as this cloud has them. A requested increase is granted at once.

use serde_json::Number;

use crate::config::Quotas;
use crate::error::{Answer, ApiError};
use crate::operation::{Kind, Operation};
use crate::page;
use crate::state::State;
use crate::wire::{Input, Record};

/// The prefix of `X-Amz-Target`.
pub const TARGET: &str = "ServiceQuotasV20190624";

/// A quota of Service Quotas.
#[derive(Debug)]
struct Quota {
    service: &'static str,
    code: &'static str,
    name: &'static str,
    /// Whether an increase can be requested.
    adjustable: bool,
    /// The name under which this cloud keeps it.
    kept: &'static str,
}

/// The quotas that this cloud keeps and whose codes are published. Codes of adjustable quotas of ELB, VPC and IPAM stand in the links of AWS's own pages ("Quotas for your
/// Application Load Balancers", "Quotas for your Network Load Balancers", "Amazon VPC quotas", "Quotas for your IPAM"); the others in lists that people made from the API's answers, each in two
/// or more. Left out for want of a published code: web ACLs (WAFv2) and
/// listeners that verify clients.
const QUOTAS: &[Quota] = &[
    adjustable("elasticloadbalancing", "L-53DA6B97", "Application Load Balancers per Region", "application-load-balancers"),
    adjustable("elasticloadbalancing", "L-69A177A2", "Network Load Balancers per Region", "network-load-balancers"),
    adjustable("elasticloadbalancing", "L-B22855CB", "Target Groups per Region", "target-groups"),
    adjustable("elasticloadbalancing", "L-B6DF7632", "Listeners per Application Load Balancer", "listeners-per-application-load-balancer"),
    fixed("elasticloadbalancing", "L-57A373D6", "Listeners per Network Load Balancer", "listeners-per-network-load-balancer"),
    adjustable("elasticloadbalancing", "L-7EED9B64", "Rules per Application Load Balancer", "rules-per-application-load-balancer"),
    fixed("elasticloadbalancing", "L-EBC0C08B", "Condition Values per Rule", "condition-values-per-alb-rule"),
    fixed("elasticloadbalancing", "L-A012D4E8", "Condition Wildcards per Rule", "condition-wildcards-per-alb-rule"),
    adjustable(
        "elasticloadbalancing",
        "L-9365A611",
        "Certificates per Application Load Balancer",
        "certificates-per-application-load-balancer",
    ),
    adjustable("elasticloadbalancing", "L-52964454", "Certificates per Network Load Balancer", "certificates-per-network-load-balancer"),
    fixed(
        "elasticloadbalancing",
        "L-822D1B1B",
        "Target Groups per Application Load Balancer",
        "target-groups-per-application-load-balancer",
    ),
    fixed(
        "elasticloadbalancing",
        "L-057ECE54",
        "Target Groups per Action per Application Load Balancer",
        "target-groups-per-action-on-application-load-balancer",
    ),
    fixed(
        "elasticloadbalancing",
        "L-AFDDADBF",
        "Target Groups per Action per Network Load Balancer",
        "target-groups-per-action-on-network-load-balancer",
    ),
    adjustable("elasticloadbalancing", "L-7E6692B2", "Targets per Application Load Balancer", "targets-per-application-load-balancer"),
    fixed(
        "elasticloadbalancing",
        "L-4E7B68E9",
        "Number of times a target can be registered per Application Load Balancer",
        "target-id-registrations-per-application-load-balancer",
    ),
    adjustable("elasticloadbalancing", "L-EEF1AD04", "Targets per Network Load Balancer", "targets-per-network-load-balancer"),
    adjustable(
        "elasticloadbalancing",
        "L-B211E961",
        "Targets per Availability Zone per Network Load Balancer",
        "targets-per-availability-zone-per-network-load-balancer",
    ),
    adjustable("elasticloadbalancing", "L-A0D0B863", "Targets per Target Group per Region", "targets-per-target-group"),
    adjustable("elasticloadbalancing", "L-23568085", "Network Load Balancer ENIs per VPC", "network-load-balancer-enis-per-vpc"),
    adjustable("elasticloadbalancing", "L-A8F7060B", "Trust stores per account", "trust-stores"),
    adjustable("elasticloadbalancing", "L-43FE5A42", "CA certificates per trust store", "trust-store-certificates-per-trust-store"),
    adjustable("elasticloadbalancing", "L-332EE142", "Revocation lists per trust store", "trust-store-revocation-lists-per-trust-store"),
    adjustable(
        "elasticloadbalancing",
        "L-37E1617B",
        "Revocation entries per trust store",
        "trust-store-revocation-entries-per-trust-store",
    ),
    adjustable("acm", "L-F141DD1D", "ACM certificates", "acm-certificates"),
    adjustable("acm", "L-DA1D8B98", "ACM certificates created in last 365 days", "acm-certificates-created-in-last-365-days"),
    adjustable("vpc", "L-0EA8095F", "Inbound or outbound rules per security group", "rules-per-security-group"),
    adjustable("vpc", "L-2AFB9258", "Security groups per network interface", "security-groups-per-network-interface"),
    adjustable("vpc", "L-E79EC296", "VPC security groups per Region", "security-groups-per-region"),
    adjustable("ec2", "L-0263D0A3", "EC2-VPC Elastic IPs", "elastic-ip-addresses"),
    fixed("ec2-ipam", "L-F8B4A9E6", "IPAMs per Region", "ipams"),
    adjustable("ec2-ipam", "L-7319AFC3", "Pools per scope", "ipam-pools-per-scope"),
    adjustable("ec2-ipam", "L-047C0565", "Pool depth", "ipam-pool-depth"),
    adjustable("ec2-ipam", "L-0BC051D6", "CIDRs per pool", "ipam-cidrs-per-pool"),
];

const fn adjustable(service: &'static str, code: &'static str, name: &'static str, kept: &'static str) -> Quota {
    Quota { service, code, name, adjustable: true, kept }
}

const fn fixed(service: &'static str, code: &'static str, name: &'static str, kept: &'static str) -> Quota {
    Quota { service, code, name, adjustable: false, kept }
}

const SERVICES: &[(&str, &str)] = &[
    ("acm", "AWS Certificate Manager (ACM)"),
    ("ec2", "Amazon Elastic Compute Cloud (Amazon EC2)"),
    ("ec2-ipam", "IPAM"),
    ("elasticloadbalancing", "Elastic Load Balancing (ELB)"),
    ("vpc", "Amazon Virtual Private Cloud (Amazon VPC)"),
];

/// The operation with this name.
pub fn operation(name: &str) -> Option<Operation> {
    use Kind::{Read, Write};
    Some(match name {
        "ListServices" => Operation::new(Read, services),
        "ListServiceQuotas" => Operation::new(Read, list_applied),
        "ListAWSDefaultServiceQuotas" => Operation::new(Read, list_default),
        "GetServiceQuota" => Operation::new(Read, get_applied),
        "GetAWSDefaultServiceQuota" => Operation::new(Read, get_default),
        "RequestServiceQuotaIncrease" => Operation::new(Write, request),
        _ => return None,
    })
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("IllegalArgumentException", message)
}

fn no_such(message: impl Into<String>) -> ApiError {
    ApiError::new("NoSuchResourceException", message)
}

fn value(quotas: &Quotas, name: &str) -> usize {
    quotas.entries().find(|(known, _)| *known == name).map_or(0, |(_, value)| value)
}

fn service_name(code: &str) -> Answer<&'static str> {
    let found = SERVICES.iter().find(|(known, _)| *known == code).map(|(_, name)| *name);
    found.ok_or_else(|| no_such(format!("The request failed because the specified service does not exist: ServiceCode {code}")))
}

fn arn(state: &State, quota: &Quota) -> String {
    format!("arn:aws:servicequotas:{}:{}:{}/{}", state.config.region, state.config.account, quota.service, quota.code)
}

fn record(state: &State, quota: &Quota, quotas: &Quotas) -> Answer<Record> {
    Ok(Record::new()
        .with("ServiceCode", quota.service)
        .with("ServiceName", service_name(quota.service)?)
        .with("QuotaArn", arn(state, quota))
        .with("QuotaCode", quota.code)
        .with("QuotaName", quota.name)
        .with("Value", i64::try_from(value(quotas, quota.kept)).unwrap_or(i64::MAX))
        .with("Unit", "None")
        .with("Adjustable", quota.adjustable)
        .with("GlobalQuota", false)
        .with("QuotaAppliedAtLevel", "ACCOUNT"))
}

fn find(service: &str, code: &str) -> Answer<&'static Quota> {
    service_name(service)?;
    let found = QUOTAS.iter().find(|quota| quota.service == service && quota.code == code);
    found.ok_or_else(|| no_such(format!("The request failed because the specified quota does not exist: QuotaCode {code}")))
}

/// `NextToken` and `MaxResults` (AWS: 1 to 100).
fn paging(input: &Input) -> Answer<(Option<String>, usize)> {
    let size: i64 = input.parse("MaxResults")?.unwrap_or(100);
    let size = usize::try_from(size).ok().filter(|size| (1..=100).contains(size));
    Ok((input.text("NextToken").map(str::to_string), size.ok_or_else(|| invalid("MaxResults must be between 1 and 100"))?))
}

fn bad_token() -> ApiError {
    ApiError::new("InvalidPaginationTokenException", "Invalid input was provided: NextToken")
}

/// ListServices.
fn services(_: &mut State, input: &Input) -> Answer<Record> {
    let (token, size) = paging(input)?;
    input.done()?;
    let (shown, next) = page::page(SERVICES.to_vec(), |(code, _)| (*code).to_string(), token.as_deref(), size).map_err(|_| bad_token())?;
    let records = shown.into_iter().map(|(code, name)| Record::new().with("ServiceCode", code).with("ServiceName", name));
    Ok(Record::new().maybe("NextToken", next).list("Services", records))
}

fn list(state: &State, input: &Input, quotas: &Quotas) -> Answer<Record> {
    let service = input.required("ServiceCode")?;
    let (token, size) = paging(input)?;
    let code = input.text("QuotaCode").filter(|code| !code.is_empty());
    let level = input.text("QuotaAppliedAtLevel").filter(|level| !level.is_empty()).unwrap_or("ACCOUNT");
    input.done()?;
    service_name(service)?;
    if !["ACCOUNT", "RESOURCE", "ALL"].contains(&level) {
        return Err(invalid(format!("'{level}' is no value of QuotaAppliedAtLevel")));
    }
    let of = QUOTAS.iter().filter(|quota| quota.service == service && level != "RESOURCE" && code.is_none_or(|code| quota.code == code));
    let (shown, next) = page::page(of.collect(), |quota| quota.code.to_string(), token.as_deref(), size).map_err(|_| bad_token())?;
    let records = shown.into_iter().map(|quota| record(state, quota, quotas)).collect::<Answer<Vec<_>>>()?;
    Ok(Record::new().maybe("NextToken", next).list("Quotas", records))
}

/// ListServiceQuotas.
fn list_applied(state: &mut State, input: &Input) -> Answer<Record> {
    list(state, input, &state.config.quotas)
}

/// ListAWSDefaultServiceQuotas.
fn list_default(state: &mut State, input: &Input) -> Answer<Record> {
    list(state, input, &Quotas::default())
}

/// GetServiceQuota.
fn get_applied(state: &mut State, input: &Input) -> Answer<Record> {
    if let Some(context) = input.text("ContextId").filter(|context| !context.is_empty()) {
        return Err(no_such(format!("There is no quota of a single resource here: ContextId {context}")));
    }
    get(state, input, &state.config.quotas)
}

/// GetAWSDefaultServiceQuota.
fn get_default(state: &mut State, input: &Input) -> Answer<Record> {
    get(state, input, &Quotas::default())
}

fn get(state: &State, input: &Input, quotas: &Quotas) -> Answer<Record> {
    let quota = find(input.required("ServiceCode")?, input.required("QuotaCode")?)?;
    input.done()?;
    Ok(Record::new().with("Quota", record(state, quota, quotas)?))
}

/// RequestServiceQuotaIncrease: granted at once.
fn request(state: &mut State, input: &Input) -> Answer<Record> {
    let (service, code) = (input.required("ServiceCode")?.to_string(), input.required("QuotaCode")?.to_string());
    let desired: Number = input.required("DesiredValue")?.parse().map_err(|_| invalid("DesiredValue must be a number"))?;
    if let Some(context) = input.text("ContextId").filter(|context| !context.is_empty()) {
        return Err(no_such(format!("There is no quota of a single resource here: ContextId {context}")));
    }
    input.flag("SupportCaseAllowed")?;
    input.done()?;
    let quota = find(&service, &code)?;
    if !quota.adjustable {
        // AWS documents that such quotas cannot be increased, but not the error.
        return Err(invalid(format!("The quota {code} is not adjustable")));
    }
    let wanted = desired.as_f64().filter(|wanted| (0.0..=1e9).contains(wanted) && wanted.fract() == 0.0);
    let wanted = wanted.ok_or_else(|| invalid("DesiredValue must be a whole number up to 10^9"))?;
    if wanted <= value(&state.config.quotas, quota.kept) as f64 {
        return Err(invalid("You must provide a quota value greater than the current quota value: DesiredValue"));
    }
    // A whole number that was checked above.
    state.config.quotas.set(quota.kept, wanted as usize);
    let id = state.ids.hex(32);
    let record = Record::new()
        .with("Id", id)
        .with("ServiceCode", quota.service)
        .with("ServiceName", service_name(quota.service)?)
        .with("QuotaCode", quota.code)
        .with("QuotaName", quota.name)
        .with("DesiredValue", wanted as i64)
        .with("Status", "APPROVED")
        .with("Created", state.now)
        .with("LastUpdated", state.now)
        .with("QuotaArn", arn(state, quota))
        .with("GlobalQuota", false)
        .with("Unit", "None")
        .with("QuotaRequestedAtLevel", "ACCOUNT");
    Ok(Record::new().with("RequestedQuota", record))
}

/// Runs an operation: Service Quotas spells the errors of parameters in its own way.
pub fn run(operation: Operation, state: &mut State, input: &Input) -> Answer<Record> {
    (operation.run)(state, input).map_err(|error| match error.code.as_ref() {
        "ValidationError" => invalid(error.message),
        _ => error,
    })
}
