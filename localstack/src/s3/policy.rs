//! Bucket policies, and what they let load balancers write.

use hyper::body::Bytes;
use serde_json::Value;

use super::Bucket;
use crate::error::{Answer, ApiError};
use crate::glob;
use crate::state::State;
use crate::wire::{Input, Record};

/// AWS: a bucket policy has at most 20 KB.
const LIMIT: usize = 20 * 1024;

fn malformed(message: impl Into<String>) -> ApiError {
    ApiError::new("MalformedPolicy", message)
}

/// GetBucketPolicy.
pub fn get(state: &mut State, input: &Input) -> Answer<Record> {
    let name = input.required("Bucket")?;
    input.done()?;
    let policy = state.s3.bucket(name)?.policy.clone();
    let policy = policy.ok_or_else(|| ApiError::with_status("NoSuchBucketPolicy", "The bucket policy does not exist", 404))?;
    Ok(Record::new().with("ContentType", "application/json").with("Body", Bytes::from(policy)))
}

/// PutBucketPolicy.
pub fn put(state: &mut State, input: &Input) -> Answer<Record> {
    let name = input.required("Bucket")?.to_string();
    let policy = input.bytes("Body").map(|body| String::from_utf8_lossy(body).into_owned()).unwrap_or_default();
    input.flag("ConfirmRemoveSelfBucketAccess")?;
    input.done()?;
    let bucket = state.s3.bucket_mut(&name)?;
    check(&policy, bucket)?;
    bucket.policy = Some(policy);
    Ok(Record::new())
}

/// DeleteBucketPolicy. Succeeds if there is none.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let name = input.required("Bucket")?.to_string();
    input.done()?;
    state.s3.bucket_mut(&name)?.policy = None;
    Ok(Record::new())
}

/// One text or a list of them.
fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => items.iter().filter_map(|item| item.as_str().map(str::to_string)).collect(),
        _ => Vec::new(),
    }
}

fn statements(policy: &Value) -> Vec<Value> {
    match policy.get("Statement") {
        Some(Value::Array(items)) => items.clone(),
        Some(one @ Value::Object(_)) => vec![one.clone()],
        _ => Vec::new(),
    }
}

fn check(policy: &str, bucket: &Bucket) -> Answer<()> {
    if policy.len() > LIMIT {
        return Err(malformed("Policies must be at most 20 KB in size"));
    }
    let value: Value = serde_json::from_str(policy)
        .map_err(|_| malformed("Policies must be valid JSON and the first byte must be '{'"))
        .and_then(|value: Value| {
            if value.is_object() { Ok(value) } else { Err(malformed("Policies must be valid JSON and the first byte must be '{'")) }
        })?;
    let statements = statements(&value);
    if statements.is_empty() {
        return Err(malformed("Missing required field Statement"));
    }
    for statement in &statements {
        if !["Allow", "Deny"].contains(&statement.get("Effect").and_then(Value::as_str).unwrap_or_default()) {
            return Err(malformed("Invalid effect in policy"));
        }
        if statement.get("Principal").or(statement.get("NotPrincipal")).is_none() {
            return Err(malformed("Missing required field Principal"));
        }
        let actions = texts(statement.get("Action").or(statement.get("NotAction")));
        if actions.is_empty() {
            return Err(malformed("Missing required field Action"));
        }
        if actions.iter().any(|action| action != "*" && !action.to_ascii_lowercase().starts_with("s3:")) {
            return Err(malformed("Policy has invalid action"));
        }
        let resources = texts(statement.get("Resource").or(statement.get("NotResource")));
        if resources.is_empty() {
            return Err(malformed("Missing required field Resource"));
        }
        let own = format!("arn:aws:s3:::{}", bucket.name);
        let fits = |resource: &String| {
            resource == "*" || *resource == own || resource.strip_prefix(&own).is_some_and(|rest| rest.starts_with(['/', '*']))
        };
        if !resources.iter().all(fits) {
            return Err(malformed("Policy has invalid resource"));
        }
    }
    Ok(())
}

/// The accounts of Elastic Load Balancing that old policies name (AWS, "Enable access logs for your Application Load Balancer").
fn log_account(region: &str) -> Option<&'static str> {
    Some(match region {
        "us-east-1" => "127311923021",
        "us-east-2" => "033677994240",
        "us-west-1" => "027434742980",
        "us-west-2" => "797873946194",
        "eu-central-1" => "054676820928",
        "eu-west-1" => "156460612806",
        _ => return None,
    })
}

/// Whether a bucket's policy lets Elastic Load Balancing write an object. Conditions are not evaluated: a statement that has some applies.
pub fn lets_load_balancers_write(bucket: &Bucket, key: &str, region: &str) -> bool {
    let Some(policy) = bucket.policy.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok()) else { return false };
    let resource = format!("arn:aws:s3:::{}/{key}", bucket.name);
    let account = log_account(region);
    let is_elb = |principal: Option<&Value>| match principal {
        Some(Value::String(all)) => all == "*",
        Some(Value::Object(kinds)) => {
            let services = texts(kinds.get("Service"));
            let accounts = texts(kinds.get("AWS"));
            // The former for application load balancers, the latter for network load balancers.
            let known = ["logdelivery.elasticloadbalancing.amazonaws.com", "delivery.logs.amazonaws.com"];
            services.iter().any(|service| known.contains(&service.as_str()))
                || accounts.iter().any(|arn| {
                    arn == "*" || account.is_some_and(|account| arn == account || *arn == format!("arn:aws:iam::{account}:root"))
                })
        }
        _ => false,
    };
    let applies = |statement: &Value| {
        let action = |action: &String| glob::matches(&action.to_ascii_lowercase(), "s3:putobject");
        is_elb(statement.get("Principal"))
            && texts(statement.get("Action")).iter().any(action)
            && texts(statement.get("Resource")).iter().any(|pattern| glob::matches(pattern, &resource))
    };
    let all = statements(&policy);
    let has =
        |effect: &str| all.iter().any(|statement| statement.get("Effect").and_then(Value::as_str) == Some(effect) && applies(statement));
    has("Allow") && !has("Deny")
}
