//! Random rules and random requests, held against an evaluator that does the obvious and shares nothing with the compiled table.

use std::{net::IpAddr, sync::Arc};

use http::{HeaderMap, HeaderName};
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;
use crate::dataplane::{
    condition::{host_for_matching, resolve_dot_segments},
    config::{Condition, DefaultRule, FixedResponse, LoadBalancerAttributes, Patterns, QueryPattern},
};

#[derive(Clone, Debug)]
struct Sample {
    method: &'static str,
    host: String,
    path: String,
    query: Option<String>,
    headers: Vec<(&'static str, String)>,
    peer: IpAddr,
}

/// A glob by definition: the first token against every possible beginning of the text.
fn glob_matches(pattern: &[char], text: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['*', rest @ ..] => (0..=text.len()).any(|taken| glob_matches(rest, &text[taken..])),
        ['?', rest @ ..] => !text.is_empty() && glob_matches(rest, &text[1..]),
        [wanted, rest @ ..] => text.first() == Some(wanted) && glob_matches(rest, &text[1..]),
    }
}

fn glob(pattern: &str, text: &str, ignore_case: bool) -> bool {
    let chars = |text: &str| if ignore_case { text.to_lowercase() } else { text.to_owned() }.chars().collect::<Vec<_>>();
    glob_matches(&chars(pattern), &chars(text))
}

/// The regular expressions that the generator makes are words, anchored or not.
fn word_regex(regex: &str, text: &str) -> bool {
    match (regex.strip_prefix('^'), regex.strip_suffix('$')) {
        (Some(word), Some(_)) => text == word.trim_end_matches('$'),
        (Some(word), None) => text.starts_with(word),
        (None, Some(word)) => text.ends_with(word),
        (None, None) => text.contains(regex),
    }
}

fn patterns_match(patterns: &Patterns, text: &str, ignore_case: bool) -> bool {
    match patterns {
        Patterns::Globs(globs) => globs.iter().any(|pattern| glob(pattern, text, ignore_case)),
        Patterns::Regexes(regexes) => regexes.iter().any(|regex| word_regex(regex, text)),
    }
}

fn condition_holds(condition: &Condition, sample: &Sample) -> bool {
    match condition {
        Condition::HostHeader(patterns) => patterns_match(patterns, &sample.host.to_lowercase(), true),
        Condition::PathPattern(patterns) => patterns_match(patterns, &sample.path, false),
        Condition::HttpHeader { name, values } => {
            sample.headers.iter().any(|(sent, value)| sent.eq_ignore_ascii_case(name) && patterns_match(values, value, true))
        }
        Condition::HttpRequestMethod(methods) => methods.iter().any(|method| method == sample.method),
        Condition::QueryString(wanted) => {
            let pairs = sample.query.iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty());
            let pairs: Vec<_> = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
            wanted.iter().any(|wanted| {
                pairs.iter().any(|(key, value)| {
                    wanted.key.as_ref().is_none_or(|pattern| glob(pattern, key, true)) && glob(&wanted.value, value, true)
                })
            })
        }
        Condition::SourceIp(networks) => networks.iter().any(|network| network.contains(&sample.peer)),
    }
}

fn expected(rules: &[Rule], sample: &Sample) -> RuleId {
    let matching = rules.iter().filter(|rule| rule.conditions.iter().all(|condition| condition_holds(condition, sample)));
    matching.min_by_key(|rule| rule.priority).map_or(RuleId::from("default"), |rule| rule.id.clone())
}

/// Few letters, so that patterns and texts meet.
fn text() -> impl Strategy<Value = String> {
    "[abA]{0,3}"
}

fn pattern() -> impl Strategy<Value = String> {
    "[abA*?]{0,4}"
}

fn patterns(prefix: &'static str) -> impl Strategy<Value = Patterns> {
    prop_oneof![
        vec(pattern().prop_map(move |pattern| format!("{prefix}{pattern}")), 1..3).prop_map(Patterns::Globs),
        vec("\\^?[ab]{1,2}\\$?", 1..3).prop_map(Patterns::Regexes),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        patterns("").prop_map(Condition::HostHeader),
        patterns("/").prop_map(Condition::PathPattern),
        (select(vec!["x-a", "X-B"]), patterns("")).prop_map(|(name, values)| Condition::HttpHeader { name: name.to_owned(), values }),
        vec(select(vec!["GET", "HEAD", "POST"]), 1..3)
            .prop_map(|methods| Condition::HttpRequestMethod(methods.into_iter().map(str::to_owned).collect())),
        vec((option::of(pattern()), pattern()).prop_map(|(key, value)| QueryPattern { key, value }), 1..3).prop_map(Condition::QueryString),
        vec(select(vec!["10.0.0.0/8", "10.1.0.0/16", "192.0.2.1/32", "2001:db8::/32"]), 1..3)
            .prop_map(|networks| Condition::SourceIp(networks.into_iter().map(|network| network.parse().unwrap()).collect())),
    ]
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    vec((1_u32..1000, vec(condition(), 0..4)), 0..8).prop_map(|rules| {
        let mut taken = HashSet::new();
        let unique = rules.into_iter().filter(|(priority, _)| taken.insert(*priority));
        let action = Action::FixedResponse(FixedResponse { status: 200, content_type: "text/plain".into(), body: String::new() });
        unique
            .map(|(priority, conditions)| Rule {
                id: RuleId::from(format!("rule-{priority}")),
                priority,
                conditions,
                transforms: Vec::new(),
                action: action.clone(),
            })
            .collect()
    })
}

fn sample() -> impl Strategy<Value = Sample> {
    let query = option::of(vec(prop_oneof![text(), (text(), text()).prop_map(|(key, value)| format!("{key}={value}"))], 0..3));
    (
        select(vec!["GET", "HEAD", "POST", "PUT"]),
        text(),
        text().prop_map(|path| format!("/{path}")),
        query.prop_map(|pairs| pairs.map(|pairs| pairs.join("&"))),
        vec((select(vec!["X-A", "x-b"]), text()), 0..3),
        select(vec!["10.0.0.1", "10.1.2.3", "192.0.2.1", "2001:db8::1"]).prop_map(|peer| peer.parse().unwrap()),
    )
        .prop_map(|(method, host, path, query, headers, peer)| Sample { method, host, path, query, headers, peer })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_table_decides_as_the_rules_say(rules in rules(), samples in vec(sample(), 1..8)) {
        let action = Action::FixedResponse(FixedResponse { status: 404, content_type: "text/plain".into(), body: String::new() });
        let listener = Listener {
            id: ListenerId::from("listener"),
            port: 80,
            protocol: ListenerProtocol::Http,
            tls: None,
            attributes: Default::default(),
            rules: rules.iter().cloned().map(Arc::new).collect(),
            default_rule: DefaultRule { id: RuleId::from("default"), action },
        };
        let load_balancer = Arc::new(LoadBalancer {
            id: LoadBalancerId::from("lb"),
            address: IpAddr::from([127, 0, 0, 1]),
            zones: Vec::new(),
            attributes: LoadBalancerAttributes::default(),
            ingress: Vec::new(),
            listeners: vec![Arc::new(listener)],
        });
        let first = LoadBalancerTable::new(&load_balancer, None);
        // A table that takes its rules over from another decides the same.
        let second = LoadBalancerTable::new(&load_balancer, Some(&first));
        for sample in &samples {
            let mut headers = HeaderMap::new();
            for (name, value) in &sample.headers {
                headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
            }
            let view = RequestView {
                method: sample.method,
                host: host_for_matching(&sample.host, [80, 80]),
                path: resolve_dot_segments(&sample.path),
                query: sample.query.as_deref(),
                headers: &headers,
                peer: sample.peer,
            };
            let expected = expected(&rules, sample);
            prop_assert_eq!(first.listeners[0].select(&view).id(), &expected);
            prop_assert_eq!(second.listeners[0].select(&view).id(), &expected);
        }
    }
}
