//! Shield (version 2016-06-02): the subscription to Shield Advanced, and protections. They are kept; there are no attacks here to be protected from.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::elb::arn;
use crate::error::{Answer, ApiError};
use crate::operation::{Kind, Operation};
use crate::page;
use crate::state::State;
use crate::tag::{self, TagFault, Tags};
use crate::wire::{Input, Record};

/// The prefix of `X-Amz-Target`.
pub const TARGET: &str = "AWSShield_20160616";
/// AWS: a subscription is for a year.
const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);
/// AWS: protections per type of resource.
const PROTECTIONS: usize = 1000;

/// The state of Shield.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Shield {
    /// When the account subscribed to Shield Advanced.
    pub subscribed: Option<Timestamp>,
    /// Protections by id.
    pub protections: BTreeMap<String, Protection>,
}

/// A protection of a resource.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Protection {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it protects.
    pub resource: String,
    /// Its ARN.
    pub arn: String,
    /// Its tags.
    pub tags: Tags,
}

impl Protection {
    fn record(&self) -> Record {
        Record::new()
            .with("Id", &self.id)
            .with("Name", &self.name)
            .with("ResourceArn", &self.resource)
            .list("HealthCheckIds", Vec::<Record>::new())
            .with("ProtectionArn", &self.arn)
    }
}

/// The operation with this name.
pub fn operation(name: &str) -> Option<Operation> {
    use Kind::{Read, Write};
    Some(match name {
        "GetSubscriptionState" => Operation::new(Read, subscription_state),
        "CreateSubscription" => Operation::new(Write, subscribe),
        "DescribeSubscription" => Operation::new(Read, subscription),
        "CreateProtection" => Operation::new(Write, create),
        "DescribeProtection" => Operation::new(Read, describe),
        "ListProtections" => Operation::new(Read, list),
        "DeleteProtection" => Operation::new(Write, delete),
        _ => return None,
    })
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterException", message)
}

fn not_found(what: &str) -> ApiError {
    ApiError::new("ResourceNotFoundException", format!("The referenced {what} does not exist."))
}

fn needs_subscription(state: &State) -> Answer<Timestamp> {
    state.shield.subscribed.ok_or_else(|| not_found("subscription"))
}

/// GetSubscriptionState.
fn subscription_state(state: &mut State, input: &Input) -> Answer<Record> {
    input.done()?;
    Ok(Record::new().with("SubscriptionState", if state.shield.subscribed.is_some() { "ACTIVE" } else { "INACTIVE" }))
}

/// CreateSubscription.
fn subscribe(state: &mut State, input: &Input) -> Answer<Record> {
    input.done()?;
    if state.shield.subscribed.is_some() {
        return Err(ApiError::new("ResourceAlreadyExistsException", "The subscription already exists."));
    }
    state.shield.subscribed = Some(state.now);
    Ok(Record::new())
}

/// DescribeSubscription.
fn subscription(state: &mut State, input: &Input) -> Answer<Record> {
    input.done()?;
    let begin = needs_subscription(state)?;
    let limit = Record::new().with("Type", "APPLICATION_LOAD_BALANCER").with("Max", i64::try_from(PROTECTIONS).unwrap_or_default());
    let groups = Record::new()
        .with("MaxProtectionGroups", 100_i64)
        .with("PatternTypeLimits", Record::new().with("ArbitraryPatternLimits", Record::new().with("MaxMembers", 10_000_i64)));
    let limits = Record::new()
        .with("ProtectionLimits", Record::new().list("ProtectedResourceTypeLimits", [limit]))
        .with("ProtectionGroupLimits", groups);
    let record = Record::new()
        .with("StartTime", begin)
        .with("EndTime", begin.checked_add(YEAR).unwrap_or(begin))
        .with("TimeCommitmentInSeconds", YEAR.as_secs())
        .with("AutoRenew", "ENABLED")
        .with("ProactiveEngagementStatus", "DISABLED")
        .with("SubscriptionLimits", limits)
        .with("SubscriptionArn", format!("arn:aws:shield::{}:subscription", state.config.account));
    Ok(Record::new().with("Subscription", record))
}

/// CreateProtection, of a load balancer or an elastic IP address.
fn create(state: &mut State, input: &Input) -> Answer<Record> {
    let name = input.required("Name")?.to_string();
    let resource = input.required("ResourceArn")?.to_string();
    let tags = tag::read(input).map_err(|fault| match fault {
        TagFault::Invalid(message) => invalid(message),
        TagFault::Duplicate(key) => invalid(format!("The tag Key '{key}' was given more than once")),
    })?;
    input.done()?;
    needs_subscription(state)?;
    if name.chars().count() > 128 || !name.chars().all(|c| c.is_ascii_alphanumeric() || " _.-".contains(c)) {
        return Err(invalid(format!("The Name '{name}' can have at most 128 letters, digits, spaces and characters of '_.-'")));
    }
    if tags.len() > 200 {
        return Err(invalid("A resource can have at most 200 Tags"));
    }
    let known = match resource.strip_prefix("arn:aws:ec2:").and_then(|tail| tail.split_once(":eip-allocation/")) {
        Some((_, allocation)) => state.ec2.addresses.contains_key(allocation),
        None => arn::kind(&resource) == Some(arn::Kind::LoadBalancer) && state.elb.load_balancers.contains_key(&resource),
    };
    if !known {
        return Err(ApiError::new(
            "InvalidResourceException",
            format!("The resource '{resource}' is invalid. You might not have access to it, or it might not exist."),
        ));
    }
    if state.shield.protections.values().any(|other| other.resource == resource) {
        return Err(ApiError::new("ResourceAlreadyExistsException", "The referenced protection already exists."));
    }
    if state.shield.protections.len() >= PROTECTIONS {
        return Err(ApiError::new("LimitsExceededException", "The operation would exceed a limit: protections."));
    }
    let id = state.ids.request();
    let arn = format!("arn:aws:shield::{}:protection/{id}", state.config.account);
    state.shield.protections.insert(id.clone(), Protection { id: id.clone(), name, resource, arn, tags });
    Ok(Record::new().with("ProtectionId", id))
}

/// DescribeProtection, by its id or by what it protects.
fn describe(state: &mut State, input: &Input) -> Answer<Record> {
    let text = |name: &str| input.text(name).filter(|text| !text.is_empty());
    let (id, resource) = (text("ProtectionId"), text("ResourceArn"));
    input.done()?;
    let found = match (id, resource) {
        (Some(id), None) => state.shield.protections.get(id),
        (None, Some(resource)) => state.shield.protections.values().find(|protection| protection.resource == resource),
        _ => return Err(invalid("Specify either the ProtectionId or the ResourceArn, and not both")),
    };
    Ok(Record::new().with("Protection", found.ok_or_else(|| not_found("protection"))?.record()))
}

/// ListProtections.
fn list(state: &mut State, input: &Input) -> Answer<Record> {
    let token = input.text("NextToken").filter(|token| !token.is_empty()).map(str::to_string);
    let size: i64 = input.parse("MaxResults")?.unwrap_or(20);
    let filters = input.child("InclusionFilters");
    let of = |name: &str| filters.and_then(|filters| filters.texts(name));
    let (names, resources, kinds) = (of("ProtectionNames"), of("ResourceArns"), of("ResourceTypes"));
    input.done()?;
    let size =
        usize::try_from(size).ok().filter(|size| *size <= 10_000).ok_or_else(|| invalid("MaxResults must be between 0 and 10000"))?;
    let types = [
        "CLOUDFRONT_DISTRIBUTION",
        "ROUTE_53_HOSTED_ZONE",
        "ELASTIC_IP_ALLOCATION",
        "CLASSIC_LOAD_BALANCER",
        "APPLICATION_LOAD_BALANCER",
        "GLOBAL_ACCELERATOR",
    ];
    if let Some(wrong) = kinds.iter().flatten().find(|kind| !types.contains(&kind.as_str())) {
        return Err(invalid(format!("'{wrong}' is no value of ResourceTypes")));
    }
    needs_subscription(state)?;
    let kind = |protection: &Protection| match protection.resource.contains(":eip-allocation/") {
        true => "ELASTIC_IP_ALLOCATION".to_string(),
        false => "APPLICATION_LOAD_BALANCER".to_string(),
    };
    let fits = |list: &Option<Vec<String>>, value: &String| list.as_ref().is_none_or(|list| list.contains(value));
    let chosen: Vec<&Protection> = state
        .shield
        .protections
        .values()
        .filter(|one| fits(&names, &one.name) && fits(&resources, &one.resource) && fits(&kinds, &kind(one)))
        .collect();
    let (shown, next) = page::page(chosen, |one| one.id.clone(), token.as_deref(), size)
        .map_err(|_| ApiError::new("InvalidPaginationTokenException", "The NextToken is not valid"))?;
    Ok(Record::new().list("Protections", shown.into_iter().map(Protection::record)).maybe("NextToken", next))
}

/// DeleteProtection.
fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let id = input.required("ProtectionId")?.to_string();
    input.done()?;
    state.shield.protections.remove(&id).map(|_| Record::new()).ok_or_else(|| not_found("protection"))
}

/// Runs an operation: Shield spells the errors of parameters in its own way.
pub fn run(operation: Operation, state: &mut State, input: &Input) -> Answer<Record> {
    (operation.run)(state, input).map_err(|error| match error.code.as_ref() {
        "ValidationError" => invalid(error.message),
        _ => error,
    })
}
