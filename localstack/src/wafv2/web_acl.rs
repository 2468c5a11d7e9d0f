//! Web ACLs.

use serde::{Deserialize, Serialize};

use super::{Wafv2, invalid, nonexistent, tagging};
use crate::error::{Answer, ApiError};
use crate::page;
use crate::state::State;
use crate::tag::Tags;
use crate::wire::{Input, Record};

/// A web ACL.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WebAcl {
    /// Its ARN.
    pub arn: String,
    /// Its id.
    pub id: String,
    /// Its name, unique in the account's region.
    pub name: String,
    /// Its description.
    pub description: Option<String>,
    /// Whether requests are blocked.
    pub blocks: bool,
    /// What is measured of it.
    pub visibility: Visibility,
    /// What the next change must name.
    pub lock_token: String,
    /// Its tags.
    pub tags: Tags,
}

/// `VisibilityConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visibility {
    /// Whether requests are sampled.
    pub sampled: bool,
    /// Whether CloudWatch gets metrics.
    pub metrics: bool,
    /// The metric's name.
    pub name: String,
}

impl WebAcl {
    /// The web ACL as it is shown.
    pub fn record(&self) -> Record {
        let action = Record::new().with(if self.blocks { "Block" } else { "Allow" }, Record::new());
        let visibility = Record::new()
            .with("SampledRequestsEnabled", self.visibility.sampled)
            .with("CloudWatchMetricsEnabled", self.visibility.metrics)
            .with("MetricName", &self.visibility.name);
        Record::new()
            .with("Name", &self.name)
            .with("Id", &self.id)
            .with("ARN", &self.arn)
            .with("DefaultAction", action)
            .maybe("Description", self.description.as_ref())
            .list("Rules", Vec::<Record>::new())
            .with("VisibilityConfig", visibility)
            .with("Capacity", 0_i64)
            .with("ManagedByFirewallManager", false)
            .with("LabelNamespace", format!("awswaf:{}:webacl:{}:", self.arn.split(':').nth(4).unwrap_or_default(), self.name))
    }

    fn summary(&self) -> Record {
        Record::new()
            .with("Name", &self.name)
            .with("Id", &self.id)
            .maybe("Description", self.description.as_ref())
            .with("LockToken", &self.lock_token)
            .with("ARN", &self.arn)
    }
}

fn name(input: &Input, member: &str) -> Answer<String> {
    let name = input.required(member)?;
    let fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.len() > 128 || !name.chars().all(fine) {
        return Err(invalid(format!(
            "Error reason: The parameter contains formatting that is not valid., field: {member}, parameter: {name}"
        )));
    }
    Ok(name.to_string())
}

/// `REGIONAL`: CloudFront, whose web ACLs are CLOUDFRONT, is no part of this cloud.
fn scope(input: &Input) -> Answer<()> {
    match input.required("Scope")? {
        "REGIONAL" => Ok(()),
        "CLOUDFRONT" => Err(invalid("The Scope CLOUDFRONT is not served by this cloud; use REGIONAL")),
        other => Err(invalid(format!("Error reason: The scope is not valid., field: SCOPE_VALUE, parameter: {other}"))),
    }
}

fn default_action(input: &Input) -> Answer<bool> {
    let action = input.child("DefaultAction").ok_or_else(|| invalid("DefaultAction must not be null"))?;
    for kind in ["Allow", "Block"] {
        if let Some((custom, _)) = action.child(kind).and_then(|action| action.entries().into_iter().next()) {
            return Err(invalid(format!("DefaultAction.{kind}.{custom} is not served by this cloud")));
        }
    }
    match (action.child("Allow"), action.child("Block")) {
        (Some(_), None) => Ok(false),
        (None, Some(_)) => Ok(true),
        _ => Err(invalid(
            "Error reason: You have used none or multiple values for a field that requires exactly one value., field: DEFAULT_ACTION",
        )),
    }
}

fn visibility(input: &Input) -> Answer<Visibility> {
    let config = input.child("VisibilityConfig").ok_or_else(|| invalid("VisibilityConfig must not be null"))?;
    let flag = |member: &'static str| config.flag(member)?.ok_or_else(|| crate::wire::input::missing(member));
    Ok(Visibility {
        sampled: flag("SampledRequestsEnabled")?,
        metrics: flag("CloudWatchMetricsEnabled")?,
        name: name(config, "MetricName")?,
    })
}

fn description(input: &Input) -> Answer<Option<String>> {
    let text = input.text("Description").filter(|text| !text.is_empty()).map(str::to_string);
    if text.as_ref().is_some_and(|text| text.chars().count() > 256) {
        return Err(invalid("The Description can have at most 256 characters"));
    }
    Ok(text)
}

/// Rules are what no data plane here evaluates; an empty list of them is as good as none.
fn no_rules(input: &Input) -> Answer<()> {
    if input.items("Rules").is_empty() {
        Ok(())
    } else {
        Err(invalid("Rules is not served by this cloud: a web ACL has a default action only"))
    }
}

/// CreateWebACL.
pub fn create(state: &mut State, input: &Input) -> Answer<Record> {
    let name = name(input, "Name")?;
    scope(input)?;
    let (blocks, visibility, description) = (default_action(input)?, visibility(input)?, description(input)?);
    let tags = tagging::read(input)?;
    no_rules(input)?;
    input.done()?;
    if state.wafv2.web_acls.values().any(|other| other.name == name) {
        return Err(ApiError::new(
            "WAFDuplicateItemException",
            "AWS WAF couldn’t perform the operation because some resource in your request is a duplicate of an existing one.",
        ));
    }
    let limit = state.config.quotas.web_acls;
    if state.wafv2.web_acls.len() >= limit {
        return Err(ApiError::new(
            "WAFLimitsExceededException",
            "AWS WAF couldn’t perform the operation because you exceeded your resource limit.",
        ));
    }
    let (id, lock_token) = (state.ids.request(), state.ids.request());
    let arn = format!("arn:aws:wafv2:{}:{}:regional/webacl/{name}/{id}", state.config.region, state.config.account);
    let acl = WebAcl { arn: arn.clone(), id, name, description, blocks, visibility, lock_token, tags };
    let summary = acl.summary();
    state.wafv2.web_acls.insert(arn, acl);
    Ok(Record::new().with("Summary", summary))
}

/// The ARN of the web ACL that a call names by scope, name and id.
fn named(wafv2: &Wafv2, input: &Input) -> Answer<String> {
    let (name, id) = (input.required("Name")?, input.required("Id")?);
    scope(input)?;
    let found = wafv2.web_acls.values().find(|acl| acl.name == name && acl.id == id);
    found.map(|acl| acl.arn.clone()).ok_or_else(nonexistent)
}

/// The ARN of the web ACL that a change names, which must know its last change.
fn locked(wafv2: &Wafv2, input: &Input) -> Answer<String> {
    let token = input.required("LockToken")?;
    let arn = named(wafv2, input)?;
    if wafv2.web_acl(&arn)?.lock_token != token {
        return Err(ApiError::new(
            "WAFOptimisticLockException",
            "AWS WAF couldn’t save your changes because someone changed the resource after you started to edit it. Reapply your changes. (LockToken)",
        ));
    }
    Ok(arn)
}

/// GetWebACL.
pub fn get(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = match input.text("ARN").filter(|arn| !arn.is_empty()) {
        Some(arn) => {
            let given = ["Name", "Id", "Scope"].iter().find(|member| input.text(member).is_some_and(|text| !text.is_empty()));
            if let Some(member) = given {
                return Err(invalid(format!("You cannot specify both ARN and {member}")));
            }
            arn.to_string()
        }
        None => named(&state.wafv2, input)?,
    };
    input.done()?;
    let acl = state.wafv2.web_acl(&arn)?;
    Ok(Record::new().with("WebACL", acl.record()).with("LockToken", &acl.lock_token))
}

/// UpdateWebACL: everything that can be changed is replaced.
pub fn update(state: &mut State, input: &Input) -> Answer<Record> {
    let (blocks, visibility, description) = (default_action(input)?, visibility(input)?, description(input)?);
    no_rules(input)?;
    let arn = locked(&state.wafv2, input)?;
    input.done()?;
    let token = state.ids.request();
    if let Some(acl) = state.wafv2.web_acls.get_mut(&arn) {
        (acl.blocks, acl.visibility, acl.description, acl.lock_token) = (blocks, visibility, description, token.clone());
    }
    let users: Vec<String> = state.wafv2.associations.iter().filter(|(_, acl)| **acl == arn).map(|(user, _)| user.clone()).collect();
    state.elb.dirty.load_balancers.extend(users);
    Ok(Record::new().with("NextLockToken", token))
}

/// DeleteWebACL: refused while a load balancer has it.
pub fn delete(state: &mut State, input: &Input) -> Answer<Record> {
    let arn = locked(&state.wafv2, input)?;
    input.done()?;
    if state.wafv2.associations.values().any(|used| *used == arn) {
        return Err(ApiError::new(
            "WAFAssociatedItemException",
            "AWS WAF couldn’t perform the operation because your resource is being used by another resource or it’s associated with another resource.",
        ));
    }
    state.wafv2.web_acls.remove(&arn);
    Ok(Record::new())
}

/// `NextMarker` and `Limit` (AWS: 1 to 100).
pub(super) fn paging(input: &Input) -> Answer<(Option<String>, usize)> {
    let limit: i64 = input.parse("Limit")?.unwrap_or(100);
    let size = usize::try_from(limit).ok().filter(|size| (1..=100).contains(size));
    Ok((input.text("NextMarker").map(str::to_string), size.ok_or_else(|| invalid("Limit must be between 1 and 100"))?))
}

/// ListWebACLs.
pub fn list(state: &mut State, input: &Input) -> Answer<Record> {
    scope(input)?;
    let (marker, size) = paging(input)?;
    input.done()?;
    let all: Vec<&WebAcl> = state.wafv2.web_acls.values().collect();
    let (shown, next) =
        page::page(all, |acl| acl.arn.clone(), marker.as_deref(), size).map_err(|_| invalid("The NextMarker is not valid"))?;
    Ok(Record::new().maybe("NextMarker", next).list("WebACLs", shown.into_iter().map(WebAcl::summary)))
}
