//! Sets of values within AWS's five values per rule: plain values where they fit, which read best in AWS's console, else expressions, else several in one expression.

use super::Matcher;
use super::value::{HostValue, PathValue};
use crate::limit;
use crate::stack::{Condition, Patterns};

/// How hosts or the values of headers are written.
const JOINED: [bool; 2] = [false, true];

/// How paths are written.
#[derive(Clone, Copy)]
enum PathForm {
    Plain,
    Regex { joined: bool },
}

const PATHS: [PathForm; 3] = [PathForm::Plain, PathForm::Regex { joined: false }, PathForm::Regex { joined: true }];

impl Matcher {
    /// The conditions that hold for exactly this, in canonical order, in the first form that fits; nothing if none does.
    pub fn write(&self) -> Option<Vec<Condition>> {
        let forms = JOINED
            .into_iter()
            .flat_map(|headers| JOINED.into_iter().flat_map(move |hosts| PATHS.into_iter().map(move |paths| (headers, hosts, paths))));
        forms.filter_map(|(headers, hosts, paths)| self.write_as(headers, hosts, paths)).find(|conditions| fits(conditions))
    }

    fn write_as(&self, join_headers: bool, join_hosts: bool, path_form: PathForm) -> Option<Vec<Condition>> {
        let mut conditions = self.other.clone();
        for (name, values) in &self.headers {
            let values = if join_headers { alternatives(values) } else { values.clone() };
            conditions.push(Condition::HttpHeader { name: name.clone(), patterns: Patterns::RegexValues(values) });
        }
        if let Some(hosts) = &self.hosts {
            conditions.push(Condition::HostHeader(HostValue::write(hosts, join_hosts)?));
        }
        if let Some(methods) = &self.methods {
            conditions.push(Condition::HttpRequestMethod(methods.clone()));
        }
        if let Some(paths) = &self.paths {
            conditions.push(Condition::PathPattern(match path_form {
                PathForm::Plain => PathValue::write_plain(paths)?,
                PathForm::Regex { joined } => PathValue::write(paths, joined)?,
            }));
        }
        if conditions.is_empty() {
            // AWS: a rule has at least one condition.
            conditions.push(Condition::PathPattern(PathValue::write_plain(&[PathValue::Any])?));
        }
        conditions.sort();
        Some(conditions)
    }
}

fn fits(conditions: &[Condition]) -> bool {
    let short = |patterns: &Patterns| match patterns {
        Patterns::Values(values) | Patterns::RegexValues(values) => values.iter().all(|value| value.len() <= limit::CONDITION_VALUE_LENGTH),
    };
    conditions.iter().map(Condition::value_count).sum::<usize>() <= limit::CONDITION_VALUES_PER_RULE
        && conditions.iter().all(|condition| match condition {
            Condition::HostHeader(patterns) | Condition::PathPattern(patterns) | Condition::HttpHeader { patterns, .. } => short(patterns),
            _ => true,
        })
}

/// `^BODY END` for each body, or `^(BODY|BODY)END` for as many at a time as an expression has room for. Nothing where one alone has too little.
pub(super) fn anchored(bodies: &[String], end: &str, joined: bool) -> Option<Vec<String>> {
    let expression = |group: &[&str]| match group {
        [one] => format!("^{one}{end}"),
        several => format!("^({}){end}", several.join("|")),
    };
    let mut groups: Vec<Vec<&str>> = Vec::new();
    for body in bodies {
        let room = groups.last_mut().filter(|_| joined).filter(|group| {
            let longer: Vec<&str> = group.iter().copied().chain([body.as_str()]).collect();
            expression(&longer).len() <= limit::CONDITION_VALUE_LENGTH
        });
        match room {
            Some(group) => group.push(body),
            None => groups.push(vec![body]),
        }
    }
    let values: Vec<String> = groups.iter().map(|group| expression(group)).collect();
    values.iter().all(|value| value.len() <= limit::CONDITION_VALUE_LENGTH).then_some(values)
}

/// Anchored expressions as few as there is room for: `^a$` and `^(?:b)$` as `^(?:a|(?:b))$`.
fn alternatives(values: &[String]) -> Vec<String> {
    let body = |value: &String| value.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')).map(str::to_owned);
    let Some(bodies) = values.iter().map(body).collect::<Option<Vec<_>>>() else { return values.to_vec() };
    let [_, _, ..] = bodies.as_slice() else { return values.to_vec() };
    let mut groups: Vec<String> = Vec::new();
    for body in bodies {
        match groups.last_mut() {
            Some(group) if group.len() + body.len() + "^(?:|)$".len() <= limit::CONDITION_VALUE_LENGTH => {
                group.push('|');
                group.push_str(&body);
            }
            _ => groups.push(body),
        }
    }
    groups.into_iter().map(|group| format!("^(?:{group})$")).collect()
}
