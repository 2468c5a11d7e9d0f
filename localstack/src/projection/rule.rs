//! Rules with their conditions, transforms and actions as the data plane's configuration.

use std::time::Duration;

use super::{authentication, target_group_id};
use crate::dataplane::config::{self as plane, Patterns, QueryPattern, Rewrite, WeightedTargetGroup};
use crate::elb::action::{self, Action, ActionKind};
use crate::elb::condition::{Condition, Field};
use crate::elb::rule::Rule;
use crate::elb::transform::{Transform, TransformKind};

/// A rule that is not a listener's default one.
pub(super) fn rule(rule: &Rule) -> plane::Rule {
    plane::Rule {
        id: rule.arn.as_str().into(),
        priority: rule.priority,
        conditions: rule.conditions.iter().map(condition).collect(),
        transforms: rule.transforms.iter().map(transform).collect(),
        action: actions(&rule.actions),
    }
}

/// What a listener without a default action would do; the API does not let one be.
fn no_action() -> plane::Action {
    plane::Action::FixedResponse(plane::FixedResponse { status: 503, content_type: "text/plain".into(), body: String::new() })
}

/// An action that serves the request, behind one that asks who the client is.
pub(super) fn actions(actions: &[Action]) -> plane::Action {
    let then = actions.last().map_or_else(no_action, action);
    let demand = actions.iter().find_map(|action| match &action.kind {
        ActionKind::Authenticate(authentication) => Some(authentication::demand(authentication)),
        _ => None,
    });
    match demand {
        None => then,
        Some(demand) => plane::Action::Authenticate(plane::Authenticate { demand, then: Box::new(then) }),
    }
}

fn action(action: &Action) -> plane::Action {
    match &action.kind {
        // The last action is none of these: the API does not let it be.
        ActionKind::Authenticate(_) => no_action(),
        ActionKind::Forward(wanted) => plane::Action::Forward(forward(wanted)),
        ActionKind::Redirect(redirect) => plane::Action::Redirect(plane::Redirect {
            status: redirect.status,
            protocol: redirect.protocol.clone(),
            host: redirect.host.clone(),
            port: redirect.port.clone(),
            path: redirect.path.clone(),
            query: redirect.query.clone(),
        }),
        ActionKind::FixedResponse(fixed) => plane::Action::FixedResponse(plane::FixedResponse {
            status: fixed.status,
            content_type: fixed.content_type.clone(),
            body: fixed.body.clone(),
        }),
    }
}

pub(super) fn forward(forward: &action::Forward) -> plane::Forward {
    let (sticky, seconds) = forward.stickiness;
    let weighted = |(arn, weight): &(String, u32)| WeightedTargetGroup { target_group: target_group_id(arn), weight: *weight };
    plane::Forward {
        target_groups: forward.groups.iter().map(weighted).collect(),
        stickiness: seconds.filter(|_| sticky).map(|seconds| Duration::from_secs(seconds.into())),
    }
}

fn condition(condition: &Condition) -> plane::Condition {
    let patterns = || {
        if condition.regex_values.is_empty() {
            Patterns::Globs(condition.values.clone())
        } else {
            Patterns::Regexes(condition.regex_values.clone())
        }
    };
    match condition.field {
        Field::HostHeader => plane::Condition::HostHeader(patterns()),
        Field::PathPattern => plane::Condition::PathPattern(patterns()),
        Field::HttpHeader => plane::Condition::HttpHeader { name: condition.header.clone().unwrap_or_default(), values: patterns() },
        Field::HttpRequestMethod => plane::Condition::HttpRequestMethod(condition.values.clone()),
        Field::QueryString => plane::Condition::QueryString(
            condition.query.iter().map(|(key, value)| QueryPattern { key: key.clone(), value: value.clone() }).collect(),
        ),
        Field::SourceIp => plane::Condition::SourceIp(condition.values.iter().filter_map(|text| text.parse().ok()).collect()),
    }
}

fn transform(transform: &Transform) -> plane::Transform {
    let rewrite = Rewrite { regex: transform.regex.clone(), replace: transform.replace.clone() };
    match transform.kind {
        TransformKind::HostHeader => plane::Transform::HostHeaderRewrite(rewrite),
        TransformKind::Url => plane::Transform::UrlRewrite(rewrite),
    }
}
