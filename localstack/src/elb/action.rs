//! Actions of rules and listeners: read, check, show.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::authentication::Authentication;
use super::redirect::Redirect;
use super::{protocol, validation};
use crate::config::Quotas;
use crate::error::{Answer, ApiError};
use crate::wire::{Input, Record};

/// An action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// What it does.
    pub kind: ActionKind,
    /// Its order: the one that serves the request has the highest.
    pub order: Option<u32>,
}

/// What an action does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActionKind {
    /// Sends requests to target groups.
    Forward(Forward),
    /// Answers with a redirect.
    Redirect(Redirect),
    /// Answers with a fixed response.
    FixedResponse(FixedResponse),
    /// Asks who the client is.
    Authenticate(Authentication),
}

/// `ForwardConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// ARNs and weights (AWS: 1–5 groups, weights 0–999).
    pub groups: Vec<(String, u32)>,
    /// Whether a client stays with its target group, and for how many seconds.
    pub stickiness: (bool, Option<u32>),
}

/// `FixedResponseConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedResponse {
    /// 2xx, 4xx or 5xx.
    pub status: u16,
    /// The Content-Type.
    pub content_type: String,
    /// The body (AWS: at most 1024 characters).
    pub body: String,
}

impl Action {
    /// The ARNs of the target groups that it names.
    pub fn target_groups(&self) -> Vec<&String> {
        match &self.kind {
            ActionKind::Forward(forward) => forward.groups.iter().map(|(arn, _)| arn).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether it keeps clients with their target group.
    pub fn is_sticky(&self) -> bool {
        matches!(&self.kind, ActionKind::Forward(forward) if forward.stickiness.0)
    }

    /// The action as describing calls show it: a forward in both forms, unset members with their defaults.
    pub fn record(&self) -> Record {
        let record = match &self.kind {
            ActionKind::Forward(forward) => {
                let single = match forward.groups.as_slice() {
                    [(arn, _)] => Some(arn),
                    _ => None,
                };
                let groups = forward.groups.iter().map(|(arn, weight)| Record::new().with("TargetGroupArn", arn).with("Weight", *weight));
                let (enabled, seconds) = forward.stickiness;
                let stickiness = Record::new().with("Enabled", enabled).maybe("DurationSeconds", seconds);
                Record::new()
                    .with("Type", "forward")
                    .maybe("TargetGroupArn", single)
                    .with("ForwardConfig", Record::new().list("TargetGroups", groups).with("TargetGroupStickinessConfig", stickiness))
            }
            ActionKind::Redirect(redirect) => Record::new().with("Type", "redirect").with("RedirectConfig", redirect.record()),
            ActionKind::Authenticate(authentication) => {
                let (kind, name, config) = authentication.record();
                Record::new().with("Type", kind).with(name, config)
            }
            ActionKind::FixedResponse(fixed) => Record::new().with("Type", "fixed-response").with(
                "FixedResponseConfig",
                Record::new()
                    .maybe("MessageBody", Some(&fixed.body).filter(|body| !body.is_empty()))
                    .with("StatusCode", fixed.status.to_string())
                    .with("ContentType", &fixed.content_type),
            ),
        };
        record.maybe("Order", self.order)
    }
}

/// The ARNs of the target groups that actions name.
pub fn target_groups(actions: &[Action]) -> BTreeSet<String> {
    actions.iter().flat_map(Action::target_groups).cloned().collect()
}

/// Actions as a list of records.
pub fn records(actions: &[Action]) -> Vec<Record> {
    actions.iter().map(Action::record).collect()
}

const TYPES: &[&str] = &["forward", "authenticate-oidc", "authenticate-cognito", "redirect", "fixed-response", "jwt-validation"];
const CONFIGS: &[(&str, &str)] = &[
    ("forward", "ForwardConfig"),
    ("redirect", "RedirectConfig"),
    ("fixed-response", "FixedResponseConfig"),
    ("authenticate-oidc", "AuthenticateOidcConfig"),
    ("authenticate-cognito", "AuthenticateCognitoConfig"),
    ("jwt-validation", "JwtValidationConfig"),
];

/// Reads a list of actions for a listener of this protocol and port; `None` if the list is absent or empty.
pub fn read(input: &Input, name: &str, listener: (&str, u16), quotas: &Quotas) -> Answer<Option<Vec<Action>>> {
    let items = input.items(name);
    if items.is_empty() {
        return Ok(None);
    }
    let mut actions = Vec::new();
    for item in &items {
        actions.push(one(item, listener, quotas)?);
    }
    in_order(&mut actions)?;
    Ok(Some(actions))
}

/// AWS: exactly one action serves the request. It is performed last, and at most one that asks who the client is precedes it.
fn in_order(actions: &mut [Action]) -> Answer<()> {
    if actions.iter().any(|action| action.order.is_none()) {
        if actions.len() > 1 && actions.iter().any(|action| action.order.is_some()) {
            return Err(ApiError::validation("You must specify the order of either all actions or none"));
        }
        for (at, action) in actions.iter_mut().enumerate() {
            action.order = u32::try_from(at + 1).ok();
        }
    }
    actions.sort_by_key(|action| action.order);
    if actions.windows(2).any(|pair| matches!(pair, [a, b] if a.order == b.order)) {
        return Err(ApiError::validation("Two actions of a rule cannot have the same order"));
    }
    let authenticates = |action: &&Action| matches!(action.kind, ActionKind::Authenticate(_));
    let asking = actions.iter().filter(authenticates).count();
    if actions.len() != asking + 1 || actions.last().as_ref().is_some_and(authenticates) {
        return Err(ApiError::new(
            "InvalidLoadBalancerAction",
            "You must specify exactly one action of type 'forward', 'redirect' or 'fixed-response', and it must be the last one",
        ));
    }
    if asking > 1 {
        return Err(ApiError::new(
            "InvalidLoadBalancerAction",
            "You can specify only one action of type 'authenticate-oidc', 'authenticate-cognito' or 'jwt-validation'",
        ));
    }
    Ok(())
}

/// Settles where the secrets of sign-ins come from, for actions that replace these: one that was not given must be there already.
pub fn settle_secrets(actions: &mut [Action], replaced: &[Action]) -> Answer<()> {
    let known = replaced.iter().any(|action| matches!(action.kind, ActionKind::Authenticate(Authentication::Oidc(_))));
    for action in actions {
        if let ActionKind::Authenticate(authentication) = &mut action.kind
            && authentication.wants_existing_secret()
        {
            if !known {
                return Err(ApiError::validation(
                    "'UseExistingClientSecret' needs an action of type 'authenticate-oidc' that is there already",
                ));
            }
            if let Authentication::Oidc(oidc) = authentication {
                oidc.existing_secret = false;
            }
        }
    }
    Ok(())
}

fn one(item: &Input, listener: (&str, u16), quotas: &Quotas) -> Answer<Action> {
    let kind = item.required("Type")?;
    validation::one_of(kind, "actions.1.member.type", TYPES)?;
    let order: Option<u32> = item.parse("Order")?;
    if let Some(order) = order {
        validation::within(order.into(), "actions.1.member.order", 1, 50_000)?;
    }
    let arn = item.text("TargetGroupArn").filter(|arn| !arn.is_empty());
    if kind != "forward" && arn.is_some() {
        return Err(ApiError::validation(format!("For actions of type '{kind}', you cannot specify the field 'TargetGroupArn'")));
    }
    for (other, config) in CONFIGS.iter().filter(|(other, _)| *other != kind) {
        if item.child(config).is_some() {
            return Err(ApiError::validation(format!("You cannot specify '{config}' (of type '{other}') for actions of type '{kind}'")));
        }
    }
    let needed = |config: &'static str| {
        item.child(config)
            .ok_or_else(|| ApiError::validation(format!("For actions of type '{kind}', you must specify the following fields: '{config}'")))
    };
    let network = protocol::is_network(listener.0);
    if network && kind != "forward" {
        return Err(ApiError::new(
            "InvalidLoadBalancerAction",
            format!("Actions of type '{kind}' are not supported on {} listeners; only actions of type 'forward' are", listener.0),
        ));
    }
    let kind = match kind {
        "forward" => {
            let limit = if network { quotas.target_groups_per_network_action } else { quotas.target_groups_per_action };
            let forward = forward(arn, item.child("ForwardConfig"), limit)?;
            if protocol::is_quic(listener.0) && forward.groups.len() > 1 {
                return Err(ApiError::new(
                    "InvalidLoadBalancerAction",
                    format!("{} listeners can forward to one target group only", listener.0),
                ));
            }
            ActionKind::Forward(forward)
        }
        "redirect" => ActionKind::Redirect(Redirect::read(needed("RedirectConfig")?, listener)?),
        "fixed-response" => ActionKind::FixedResponse(fixed_response(needed("FixedResponseConfig")?)?),
        other if listener.0 != "HTTPS" => {
            return Err(ApiError::new(
                "InvalidLoadBalancerAction",
                format!("Actions of type '{other}' are supported only on HTTPS listeners"),
            ));
        }
        other => {
            let config = CONFIGS.iter().find(|(known, _)| *known == other).map_or("", |(_, config)| config);
            ActionKind::Authenticate(Authentication::read(other, needed(config)?)?)
        }
    };
    Ok(Action { kind, order })
}

fn forward(arn: Option<&str>, config: Option<&Input>, limit: usize) -> Answer<Forward> {
    let mut groups: Vec<(String, u32)> = Vec::new();
    let mut stickiness = (false, None);
    if let Some(config) = config {
        for item in config.items("TargetGroups") {
            let weight: i64 = item.parse("Weight")?.unwrap_or(1);
            validation::within(weight, "actions.1.member.forwardConfig.targetGroups.1.member.weight", 0, 999)?;
            groups.push((item.required("TargetGroupArn")?.to_string(), u32::try_from(weight).unwrap_or_default()));
        }
        if let Some(sticky) = config.child("TargetGroupStickinessConfig") {
            let enabled = sticky.flag("Enabled")?.unwrap_or(false);
            let seconds: Option<u32> = sticky.parse("DurationSeconds")?;
            match seconds {
                Some(seconds) => validation::within(seconds.into(), "targetGroupStickinessConfig.durationSeconds", 1, 604_800)?,
                None if enabled => {
                    return Err(ApiError::validation("You must specify 'DurationSeconds' if target group stickiness is enabled"));
                }
                None => {}
            }
            stickiness = (enabled, seconds);
        }
    }
    match (arn, groups.as_slice()) {
        (None, []) => {
            return Err(ApiError::validation(
                "For actions of type 'forward', you must specify at least one of the following fields: 'TargetGroupArn', 'ForwardConfig'",
            ));
        }
        (Some(arn), []) => groups.push((arn.to_string(), 1)),
        (Some(arn), [(only, _)]) if only == arn => {}
        (Some(_), _) => {
            return Err(ApiError::validation(
                "You cannot specify both a target group ARN and multiple target groups, or different ones, in a forward action",
            ));
        }
        (None, _) => {}
    }
    if groups.len() > limit {
        return Err(ApiError::new("TooManyTargetGroups", format!("An action can forward to at most '{limit}' target groups")));
    }
    for (at, (arn, _)) in groups.iter().enumerate() {
        if groups.iter().take(at).any(|(other, _)| other == arn) {
            return Err(ApiError::validation(format!("Target group '{arn}' was provided multiple times in one action")));
        }
    }
    // With one target group AWS returns its weight as 1, unless it is 0.
    if let [(_, weight)] = groups.as_mut_slice() {
        *weight = (*weight).min(1);
    }
    Ok(Forward { groups, stickiness })
}

const CONTENT_TYPES: &[&str] = &["text/plain", "text/css", "text/html", "application/javascript", "application/json"];

fn fixed_response(config: &Input) -> Answer<FixedResponse> {
    let code = config.required("StatusCode")?;
    let status = code.parse::<u16>().ok().filter(|status| matches!(status / 100, 2 | 4 | 5) && code.len() == 3);
    let status = status.ok_or_else(|| {
        ApiError::validation(format!(
            "1 validation error detected: Value '{code}' at 'statusCode' failed to satisfy constraint: Member must satisfy regular expression pattern: ^(2|4|5)\\d\\d$"
        ))
    })?;
    let content_type = config.text("ContentType").filter(|text| !text.is_empty()).unwrap_or("text/plain").to_string();
    if !CONTENT_TYPES.contains(&content_type.as_str()) {
        return Err(ApiError::new("InvalidLoadBalancerAction", format!("The ContentType must be one of:'{}'", CONTENT_TYPES.join("', '"))));
    }
    let body = config.text("MessageBody").unwrap_or_default().to_string();
    if body.chars().count() > 1024 {
        return Err(ApiError::validation("The 'MessageBody' value is too long; the limit is '1024'"));
    }
    Ok(FixedResponse { status, content_type, body })
}
