//! What an ALB does with a request, by AWS's words.

use super::request::{Answer, Request, found, shares};
use portico_aws::Stack;
use portico_aws::stack::{Condition, Patterns, Rule, RuleAction, Transform};
use portico_providers::Compiled;
use regex::Regex;

/// The answer of the first rule, by rank, whose conditions all hold; else the default action's.
pub fn answer(compiled: &Compiled<Stack>, request: &Request) -> Answer {
    let listener = &compiled.stack.listeners[0];
    let rule = listener.rules.iter().find(|rule| rule.conditions.iter().all(|condition| holds(condition, request)));
    let (action, transforms) = rule.map_or((&listener.default_action, &[][..]), |rule| (&rule.action, rule.transforms.as_slice()));
    let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
    let (mut host, mut url) = (request.host.clone(), format!("{}{query}", request.path));
    for transform in transforms {
        let (target, regex, replace) = match transform {
            Transform::HostHeaderRewrite { regex, replace } => (&mut host, regex, replace),
            Transform::UrlRewrite { regex, replace } => (&mut url, regex, replace),
            Transform::Foreign(text) => panic!("{text}"),
        };
        *target = Regex::new(regex).unwrap().replace(target, replace.as_str()).into_owned();
        assert!(!target.is_empty() && (target.starts_with('/') || !replace.starts_with('/')), "500: {target}");
    }
    match action {
        RuleAction::FixedResponse(response) => Answer::Status(response.status_code),
        RuleAction::Redirect(to) => {
            let (path, query) = url.split_once('?').unwrap_or((&url, ""));
            let host = host.split(':').next().unwrap().to_lowercase();
            let fill = |text: &str| {
                text.replace("#{protocol}", "http")
                    .replace("#{host}", &host)
                    .replace("#{port}", "80")
                    .replace("#{path}", path.strip_prefix('/').unwrap())
                    .replace("#{query}", query)
            };
            let (protocol, changed) = (fill(&to.protocol).to_lowercase(), [&to.protocol, &to.host, &to.port, &to.path, &to.query]);
            let kept = ["#{protocol}", "#{host}", "#{port}", "/#{path}", "#{query}"];
            let literal = |part: &String, kept: &str| {
                part == kept || (kept == "#{port}" && part == "80") || (kept == "#{protocol}" && part == "HTTP")
            };
            assert!(!changed.iter().zip(kept).all(|(part, kept)| literal(part, kept)), "AWS refuses a redirect to itself: {to:?}");
            Answer::Redirect(to.status_code, protocol, fill(&to.host), fill(&to.port).parse().unwrap(), fill(&to.path), fill(&to.query))
        }
        RuleAction::Forward(forward) => {
            let name = |group: &portico_providers::TargetSetId| {
                compiled.bindings.iter().find(|binding| binding.sink == *group).map(|b| format!("{}:{}", b.source.service, b.source.port))
            };
            let targets = &forward.target_groups;
            assert!((1..=5).contains(&targets.len()) && targets.iter().all(|target| target.weight <= 999));
            let shares = shares(
                targets.iter().map(|target| (name(&target.target_group).unwrap_or_else(|| "invalid".into()), u64::from(target.weight))),
            );
            Answer::Forward { shares, host, url }
        }
        RuleAction::Foreign(text) => panic!("{text}"),
    }
}

/// Whether AWS takes a rule: at least one condition, at most one of a kind but for headers and queries, five values and five wildcards, 128 characters each.
pub fn allowed(rule: &Rule) -> bool {
    let patterns = |condition: &Condition| match condition {
        Condition::HostHeader(patterns) | Condition::PathPattern(patterns) | Condition::HttpHeader { patterns, .. } => {
            Some(patterns.clone())
        }
        _ => None,
    };
    let kinds = |kind: fn(&Condition) -> bool| rule.conditions.iter().filter(|condition| kind(condition)).count();
    let all: Vec<Patterns> = rule.conditions.iter().filter_map(patterns).collect();
    let plain = all.iter().filter_map(|patterns| if let Patterns::Values(values) = patterns { Some(values) } else { None }).flatten();
    let texts = all.iter().flat_map(|patterns| match patterns {
        Patterns::Values(values) | Patterns::RegexValues(values) => values,
    });
    (1..=5).contains(&rule.conditions.iter().map(Condition::value_count).sum::<usize>())
        && rule.conditions.iter().all(|condition| condition.value_count() > 0)
        && rule.conditions.is_sorted()
        && kinds(|condition| matches!(condition, Condition::HostHeader(_))) <= 1
        && kinds(|condition| matches!(condition, Condition::PathPattern(_))) <= 1
        && kinds(|condition| matches!(condition, Condition::HttpRequestMethod(_))) <= 1
        && plain.flat_map(|value| value.matches(['*', '?'])).count() <= 5
        && texts.into_iter().all(|text| text.len() <= 128)
}

/// Whether a condition holds for a request.
pub fn holds(condition: &Condition, request: &Request) -> bool {
    match condition {
        // A plain value is compared without the listener's own port.
        Condition::HostHeader(patterns) => {
            let host = request.host.to_lowercase();
            any(patterns, &host, true) || any(patterns, host.strip_suffix(":80").unwrap_or(&host), true)
        }
        Condition::PathPattern(patterns) => any(patterns, &request.path, false),
        Condition::HttpHeader { name, patterns } => {
            request.headers.iter().any(|(found, value)| found == name && any(patterns, value, true))
        }
        Condition::HttpRequestMethod(methods) => methods.contains(&request.method),
        Condition::QueryString(pairs) => request.query.split('&').filter_map(|pair| pair.split_once('=')).any(|(key, value)| {
            pairs.iter().any(|pair| pair.key.as_deref().is_none_or(|wanted| glob(wanted, key, true)) && glob(&pair.value, value, true))
        }),
        Condition::SourceIp(_) | Condition::Foreign(_) => panic!("{condition}"),
    }
}

fn any(patterns: &Patterns, text: &str, caseless: bool) -> bool {
    match patterns {
        Patterns::Values(values) => values.iter().any(|value| glob(value, text, caseless)),
        // AWS does not say whether it anchors: a search is the weaker reading.
        Patterns::RegexValues(values) => values.iter().any(|value| found(value, false, text)),
    }
}

/// `*` stands for any text, `?` for one character, and a backslash takes that away.
fn glob(pattern: &str, text: &str, caseless: bool) -> bool {
    let mut expression = String::from("^");
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        match c {
            '*' => expression.push_str(".*"),
            '?' => expression.push('.'),
            '\\' => expression.push_str(&regex::escape(&characters.next().unwrap().to_string())),
            other => expression.push_str(&regex::escape(&other.to_string())),
        }
    }
    expression.push('$');
    found(&expression, caseless, text)
}
