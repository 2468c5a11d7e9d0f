//! Conditions, transforms and actions.

use aws_sdk_elasticloadbalancingv2::types as sdk;
use portico_aws::stack::{Condition, FixedResponse, Forward, ForwardTarget, Patterns, QueryPattern, Redirect, RuleAction, Transform};
use portico_providers::TargetSetId;

/// A condition as the API takes it.
pub(crate) fn condition(condition: &Condition) -> sdk::RuleCondition {
    let builder = sdk::RuleCondition::builder();
    let split = |patterns: &Patterns| match patterns {
        Patterns::Values(values) => (Some(values.clone()), None),
        Patterns::RegexValues(values) => (None, Some(values.clone())),
    };
    match condition {
        Condition::HostHeader(patterns) => {
            let (values, regex) = split(patterns);
            let config = sdk::HostHeaderConditionConfig::builder().set_values(values).set_regex_values(regex).build();
            builder.field("host-header").host_header_config(config).build()
        }
        Condition::PathPattern(patterns) => {
            let (values, regex) = split(patterns);
            let config = sdk::PathPatternConditionConfig::builder().set_values(values).set_regex_values(regex).build();
            builder.field("path-pattern").path_pattern_config(config).build()
        }
        Condition::HttpHeader { name, patterns } => {
            let (values, regex) = split(patterns);
            let config =
                sdk::HttpHeaderConditionConfig::builder().http_header_name(name).set_values(values).set_regex_values(regex).build();
            builder.field("http-header").http_header_config(config).build()
        }
        Condition::HttpRequestMethod(values) => {
            let config = sdk::HttpRequestMethodConditionConfig::builder().set_values(Some(values.clone())).build();
            builder.field("http-request-method").http_request_method_config(config).build()
        }
        Condition::QueryString(values) => {
            let pairs =
                values.iter().map(|q| sdk::QueryStringKeyValuePair::builder().set_key(q.key.clone()).value(&q.value).build()).collect();
            builder
                .field("query-string")
                .query_string_config(sdk::QueryStringConditionConfig::builder().set_values(Some(pairs)).build())
                .build()
        }
        Condition::SourceIp(values) => {
            let config = sdk::SourceIpConditionConfig::builder().set_values(Some(values.clone())).build();
            builder.field("source-ip").source_ip_config(config).build()
        }
        // Never written: the stack holds none.
        Condition::Foreign(text) => builder.field(text).build(),
    }
}

/// A condition as the stack writes it. AWS shows values of hosts and paths twice, in the condition and in its config.
pub(crate) fn read_condition(condition: &sdk::RuleCondition) -> Condition {
    let patterns = |values: &[String], regex: &[String]| {
        let (values, regex) = match (values, regex) {
            ([], []) => (condition.values(), condition.regex_values()),
            given => given,
        };
        if regex.is_empty() { Patterns::Values(ordered(values)) } else { Patterns::RegexValues(ordered(regex)) }
    };
    match condition.field().unwrap_or_default() {
        "host-header" => {
            let config = condition.host_header_config();
            Condition::HostHeader(patterns(
                config.map(|c| c.values()).unwrap_or_default(),
                config.map(|c| c.regex_values()).unwrap_or_default(),
            ))
        }
        "path-pattern" => {
            let config = condition.path_pattern_config();
            Condition::PathPattern(patterns(
                config.map(|c| c.values()).unwrap_or_default(),
                config.map(|c| c.regex_values()).unwrap_or_default(),
            ))
        }
        "http-header" => {
            let config = condition.http_header_config();
            Condition::HttpHeader {
                name: config.and_then(|c| c.http_header_name()).unwrap_or_default().to_ascii_lowercase(),
                patterns: patterns(config.map(|c| c.values()).unwrap_or_default(), config.map(|c| c.regex_values()).unwrap_or_default()),
            }
        }
        "http-request-method" => {
            Condition::HttpRequestMethod(condition.http_request_method_config().map(|c| ordered(c.values())).unwrap_or_default())
        }
        "query-string" => {
            let pairs = condition.query_string_config().map(|c| c.values()).unwrap_or_default();
            Condition::QueryString(
                pairs
                    .iter()
                    .map(|q| QueryPattern { key: q.key().map(str::to_owned), value: q.value().unwrap_or_default().to_owned() })
                    .collect(),
            )
        }
        "source-ip" => Condition::SourceIp(condition.source_ip_config().map(|c| c.values().to_vec()).unwrap_or_default()),
        other => Condition::Foreign(other.to_owned()),
    }
}

/// Alternatives in the stack's order: theirs has no meaning.
fn ordered(values: &[String]) -> Vec<String> {
    let mut values = values.to_vec();
    values.sort();
    values
}

/// A transform as the API takes it.
pub(crate) fn transform(transform: &Transform) -> sdk::RuleTransform {
    let rewrite = |regex: &String, replace: &String| sdk::RewriteConfig::builder().regex(regex).replace(replace).build();
    let builder = sdk::RuleTransform::builder();
    match transform {
        Transform::HostHeaderRewrite { regex, replace } => builder
            .r#type(sdk::TransformTypeEnum::HostHeaderRewrite)
            .host_header_rewrite_config(sdk::HostHeaderRewriteConfig::builder().rewrites(rewrite(regex, replace)).build())
            .build(),
        Transform::UrlRewrite { regex, replace } => builder
            .r#type(sdk::TransformTypeEnum::UrlRewrite)
            .url_rewrite_config(sdk::UrlRewriteConfig::builder().rewrites(rewrite(regex, replace)).build())
            .build(),
        // Never written: the stack holds none.
        Transform::Foreign(_) => builder.build(),
    }
}

/// A transform as the stack writes it.
pub(crate) fn read_transform(transform: &sdk::RuleTransform) -> Transform {
    let host = transform.host_header_rewrite_config().map(|c| c.rewrites());
    let url = transform.url_rewrite_config().map(|c| c.rewrites());
    let parts =
        |rewrite: &sdk::RewriteConfig| (rewrite.regex().unwrap_or_default().to_owned(), rewrite.replace().unwrap_or_default().to_owned());
    match (host, url) {
        (Some([rewrite]), None) => {
            let (regex, replace) = parts(rewrite);
            Transform::HostHeaderRewrite { regex, replace }
        }
        (None, Some([rewrite])) => {
            let (regex, replace) = parts(rewrite);
            Transform::UrlRewrite { regex, replace }
        }
        _ => Transform::Foreign(format!("{transform:?}")),
    }
}

/// An action as the API takes it; `arn` finds target groups by name.
pub(crate) fn action(action: &RuleAction, arn: impl Fn(&TargetSetId) -> Option<String>) -> Result<sdk::Action, TargetSetId> {
    let builder = sdk::Action::builder();
    Ok(match action {
        RuleAction::Forward(forward) => {
            let mut config = sdk::ForwardActionConfig::builder();
            for target in &forward.target_groups {
                let arn = arn(&target.target_group).ok_or_else(|| target.target_group.clone())?;
                let weight = i32::try_from(target.weight).unwrap_or(i32::MAX);
                config = config.target_groups(sdk::TargetGroupTuple::builder().target_group_arn(arn).weight(weight).build());
            }
            builder.r#type(sdk::ActionTypeEnum::Forward).forward_config(config.build()).build()
        }
        RuleAction::Redirect(to) => {
            let status =
                if to.status_code == 301 { sdk::RedirectActionStatusCodeEnum::Http301 } else { sdk::RedirectActionStatusCodeEnum::Http302 };
            let config = sdk::RedirectActionConfig::builder()
                .protocol(&to.protocol)
                .host(&to.host)
                .port(&to.port)
                .path(&to.path)
                .query(&to.query)
                .status_code(status);
            builder.r#type(sdk::ActionTypeEnum::Redirect).redirect_config(config.build()).build()
        }
        RuleAction::FixedResponse(response) => {
            let mut config = sdk::FixedResponseActionConfig::builder()
                .status_code(response.status_code.to_string())
                .content_type(&response.content_type);
            if !response.message_body.is_empty() {
                config = config.message_body(&response.message_body);
            }
            builder.r#type(sdk::ActionTypeEnum::FixedResponse).fixed_response_config(config.build()).build()
        }
        // Never written: the stack holds none.
        RuleAction::Foreign(_) => builder.build(),
    })
}

/// The only action of a rule, as the stack writes it.
pub(crate) fn read_action(actions: &[sdk::Action]) -> RuleAction {
    let foreign = || {
        RuleAction::Foreign(actions.iter().map(|action| action.r#type().map_or("?", |kind| kind.as_str())).collect::<Vec<_>>().join(", "))
    };
    let [action] = actions else { return foreign() };
    match action.r#type() {
        Some(sdk::ActionTypeEnum::Forward) => read_forward(action).map_or_else(foreign, RuleAction::Forward),
        Some(sdk::ActionTypeEnum::Redirect) => {
            let Some(config) = action.redirect_config() else { return foreign() };
            let or = |part: Option<&str>, default: &str| part.unwrap_or(default).to_owned();
            RuleAction::Redirect(Redirect {
                protocol: or(config.protocol(), "#{protocol}"),
                host: or(config.host(), "#{host}"),
                port: or(config.port(), "#{port}"),
                path: or(config.path(), "/#{path}"),
                query: or(config.query(), "#{query}"),
                status_code: if config.status_code() == Some(&sdk::RedirectActionStatusCodeEnum::Http301) { 301 } else { 302 },
            })
        }
        Some(sdk::ActionTypeEnum::FixedResponse) => {
            let Some(config) = action.fixed_response_config() else { return foreign() };
            RuleAction::FixedResponse(FixedResponse {
                status_code: config.status_code().and_then(|code| code.parse().ok()).unwrap_or_default(),
                content_type: config.content_type().unwrap_or("text/plain").to_owned(),
                message_body: config.message_body().unwrap_or_default().to_owned(),
            })
        }
        _ => foreign(),
    }
}

/// AWS shows a single target group both in the action and in its config, and stickiness that is off.
fn read_forward(action: &sdk::Action) -> Option<Forward> {
    let config = action.forward_config();
    if config.and_then(|c| c.target_group_stickiness_config()).and_then(|s| s.enabled()).unwrap_or(false) {
        return None;
    }
    let target = |arn: &str, weight: Option<i32>| {
        Some(ForwardTarget { target_group: name(arn)?, weight: u32::try_from(weight.unwrap_or(1)).unwrap_or(1) })
    };
    let mut target_groups = match config.map(|c| c.target_groups()) {
        Some(groups) if !groups.is_empty() => {
            groups.iter().map(|g| target(g.target_group_arn()?, g.weight())).collect::<Option<Vec<_>>>()?
        }
        _ => vec![target(action.target_group_arn()?, Some(1))?],
    };
    target_groups.sort();
    Some(Forward { target_groups })
}

/// The name in a target group's ARN: `…:targetgroup/NAME/ID`.
fn name(arn: &str) -> Option<TargetSetId> {
    let (_, tail) = arn.split_once(":targetgroup/")?;
    tail.split('/').next().map(|name| TargetSetId(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arn(name: &TargetSetId) -> Option<String> {
        Some(format!("arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/{name}/0123456789abcdef"))
    }

    #[test]
    fn what_is_written_is_read_alike() {
        let conditions = [
            Condition::HostHeader(Patterns::RegexValues(vec!["^a$".into()])),
            Condition::PathPattern(Patterns::Values(vec!["/a".into(), "/a/*".into()])),
            Condition::HttpHeader { name: "x".into(), patterns: Patterns::RegexValues(vec!["^1$".into()]) },
            Condition::HttpRequestMethod(vec!["GET".into()]),
            Condition::QueryString(vec![QueryPattern { key: Some("1".into()), value: "2".into() }]),
            Condition::SourceIp(vec!["10.0.0.0/8".into()]),
        ];
        for wanted in conditions {
            assert_eq!(read_condition(&condition(&wanted)), wanted);
        }
        for wanted in [
            Transform::HostHeaderRewrite { regex: "^.*$".into(), replace: "a".into() },
            Transform::UrlRewrite { regex: "^/a".into(), replace: "/b".into() },
        ] {
            assert_eq!(read_transform(&transform(&wanted)), wanted);
        }
        let target = |name: &str, weight| ForwardTarget { target_group: TargetSetId(name.into()), weight };
        for wanted in [
            RuleAction::status(404),
            RuleAction::Forward(Forward { target_groups: vec![target("a", 90), target("b", 10)] }),
            RuleAction::Redirect(Redirect {
                protocol: "HTTPS".into(),
                host: "#{host}".into(),
                port: "443".into(),
                path: "/#{path}".into(),
                query: "#{query}".into(),
                status_code: 301,
            }),
        ] {
            assert_eq!(read_action(&[action(&wanted, arn).unwrap()]), wanted);
        }
    }

    #[test]
    fn what_aws_fills_in_is_no_difference() {
        let plain = sdk::RuleCondition::builder().field("path-pattern").values("/a").build();
        assert_eq!(read_condition(&plain), Condition::PathPattern(Patterns::Values(vec!["/a".into()])));
        let arn = arn(&TargetSetId("a".into())).unwrap();
        let both = sdk::Action::builder()
            .r#type(sdk::ActionTypeEnum::Forward)
            .target_group_arn(&arn)
            .order(1)
            .forward_config(
                sdk::ForwardActionConfig::builder()
                    .target_groups(sdk::TargetGroupTuple::builder().target_group_arn(&arn).weight(1).build())
                    .target_group_stickiness_config(sdk::TargetGroupStickinessConfig::builder().enabled(false).build())
                    .build(),
            )
            .build();
        let wanted = Forward { target_groups: vec![ForwardTarget { target_group: TargetSetId("a".into()), weight: 1 }] };
        assert_eq!(read_action(&[both]), RuleAction::Forward(wanted));
        let bare = sdk::Action::builder()
            .r#type(sdk::ActionTypeEnum::Redirect)
            .redirect_config(
                sdk::RedirectActionConfig::builder()
                    .port("443")
                    .protocol("HTTPS")
                    .status_code(sdk::RedirectActionStatusCodeEnum::Http302)
                    .build(),
            )
            .build();
        assert!(
            matches!(read_action(&[bare]), RuleAction::Redirect(to) if to.path == "/#{path}" && to.host == "#{host}" && to.query == "#{query}")
        );
    }

    #[test]
    fn what_portico_never_writes_is_foreign() {
        let login = sdk::Action::builder().r#type(sdk::ActionTypeEnum::AuthenticateOidc).build();
        assert_eq!(read_action(&[login]), RuleAction::Foreign("authenticate-oidc".into()));
    }
}
