//! Conditions of rules: their fields, values and limits.

use ipnet::IpNet;
use regex::bytes::RegexBuilder;
use serde::{Deserialize, Serialize};

use super::kind::LoadBalancerKind;
use super::validation;
use crate::config::Quotas;
use crate::error::{Answer, ApiError};
use crate::wire::{Input, Output, Record};

/// What a condition looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Field {
    /// `host-header`.
    HostHeader,
    /// `path-pattern`.
    PathPattern,
    /// `http-header`.
    HttpHeader,
    /// `http-request-method`.
    HttpRequestMethod,
    /// `query-string`.
    QueryString,
    /// `source-ip`.
    SourceIp,
}

impl Field {
    const ALL: [Self; 6] =
        [Self::PathPattern, Self::HostHeader, Self::HttpHeader, Self::HttpRequestMethod, Self::QueryString, Self::SourceIp];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::HostHeader => "host-header",
            Self::PathPattern => "path-pattern",
            Self::HttpHeader => "http-header",
            Self::HttpRequestMethod => "http-request-method",
            Self::QueryString => "query-string",
            Self::SourceIp => "source-ip",
        }
    }

    fn config(self) -> &'static str {
        match self {
            Self::HostHeader => "HostHeaderConfig",
            Self::PathPattern => "PathPatternConfig",
            Self::HttpHeader => "HttpHeaderConfig",
            Self::HttpRequestMethod => "HttpRequestMethodConfig",
            Self::QueryString => "QueryStringConfig",
            Self::SourceIp => "SourceIpConfig",
        }
    }

    fn takes_regex(self) -> bool {
        matches!(self, Self::HostHeader | Self::PathPattern | Self::HttpHeader)
    }
}

/// A condition. Exactly one of `values`, `regex_values`, `query` and `address_type` is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// What it looks at.
    pub field: Field,
    /// The header's name, for `http-header`.
    pub header: Option<String>,
    /// Values with wildcards.
    pub values: Vec<String>,
    /// Regular expressions.
    pub regex_values: Vec<String>,
    /// Keys and values, for `query-string`.
    pub query: Vec<(Option<String>, String)>,
    /// `IpAddressType`, for `source-ip` of network load balancers: `ipv4` or `ipv6`.
    #[serde(default)]
    pub address_type: Option<String>,
}

impl Condition {
    fn count(&self) -> usize {
        self.values.len() + self.regex_values.len() + self.query.len() + usize::from(self.address_type.is_some())
    }

    /// How many wildcards its values have.
    fn wildcards(&self) -> usize {
        if matches!(self.field, Field::HttpRequestMethod | Field::SourceIp) {
            return 0;
        }
        let query = self.query.iter().flat_map(|(key, value)| key.iter().chain([value]));
        self.values.iter().chain(query).map(|text| wildcards(text)).sum()
    }

    /// As describing calls show it: with `Values` (or `RegexValues`) and the field's own configuration for host and path.
    pub fn record(&self) -> Record {
        let record = Record::new().with("Field", self.field.name());
        let mut config = Record::new();
        if let Some(header) = &self.header {
            config = config.with("HttpHeaderName", header);
        }
        if self.field == Field::QueryString {
            let pairs = self.query.iter().map(|(key, value)| Record::new().maybe("Key", key.as_ref()).with("Value", value));
            return record.with(self.field.config(), config.list("Values", pairs));
        }
        if let Some(address_type) = &self.address_type {
            return record.with(self.field.config(), Record::new().with("IpAddressType", address_type));
        }
        let both = matches!(self.field, Field::HostHeader | Field::PathPattern);
        let (name, values) = if self.regex_values.is_empty() { ("Values", &self.values) } else { ("RegexValues", &self.regex_values) };
        let record = if both { record.list(name, values) } else { record };
        record.with(self.field.config(), Output::from(config.list(name, values)))
    }
}

fn wildcards(text: &str) -> usize {
    let mut escaped = false;
    text.chars()
        .filter(|letter| {
            let wild = !escaped && matches!(letter, '*' | '?');
            escaped = !escaped && *letter == '\\';
            wild
        })
        .count()
}

/// Whether rules of this type of load balancer can have these conditions. AWS: those of a network load balancer tell IPv4 from IPv6 sources, and nothing
/// else (API reference, SourceIpConditionConfig).
pub fn check_kind(conditions: &[Condition], kind: LoadBalancerKind) -> Answer<()> {
    let fits = |condition: &&Condition| condition.address_type.is_some() == (kind == LoadBalancerKind::Network);
    match conditions.iter().find(|condition| !fits(condition)) {
        None => Ok(()),
        Some(condition) if condition.address_type.is_some() => Err(ApiError::validation(format!(
            "You cannot provide 'IpAddressType' for a condition of type 'source-ip' on load balancers of type '{}'",
            kind.word()
        ))),
        Some(condition) => Err(ApiError::validation(format!(
            "Rules of load balancers of type 'network' can have a condition of type 'source-ip' with 'IpAddressType' only, and not one of type '{}'",
            condition.field.name()
        ))),
    }
}

/// Reads and checks `Conditions`; `None` if absent or empty.
pub fn read(input: &Input, quotas: &Quotas) -> Answer<Option<Vec<Condition>>> {
    let items = input.items("Conditions");
    if items.is_empty() {
        return Ok(None);
    }
    let mut conditions = Vec::new();
    for item in items {
        conditions.push(one(item)?);
    }
    for (at, condition) in conditions.iter().enumerate() {
        let repeatable = matches!(condition.field, Field::HttpHeader | Field::QueryString);
        if !repeatable && conditions.iter().take(at).any(|earlier: &Condition| earlier.field == condition.field) {
            return Err(ApiError::validation(format!("A rule can only have one '{}' condition", condition.field.name())));
        }
    }
    if conditions.iter().map(Condition::count).sum::<usize>() > quotas.condition_values_per_rule {
        return Err(ApiError::validation(format!("A rule can only have '{}' condition values", quotas.condition_values_per_rule)));
    }
    if conditions.iter().map(Condition::wildcards).sum::<usize>() > quotas.condition_wildcards_per_rule {
        return Err(ApiError::validation(format!("A rule can only have '{}' condition wildcards", quotas.condition_wildcards_per_rule)));
    }
    Ok(Some(conditions))
}

fn one(item: &Input) -> Answer<Condition> {
    let name = item.text("Field").unwrap_or_default();
    let field = Field::ALL.into_iter().find(|field| field.name() == name).ok_or_else(|| {
        let names: Vec<&str> = Field::ALL.into_iter().map(Field::name).collect();
        ApiError::validation(format!("Condition field '{name}' must be one of '[{}]'", names.join(",")))
    })?;
    let plain = (item.strings("Values"), item.strings("RegexValues"));
    let mut condition =
        Condition { field, header: None, values: Vec::new(), regex_values: Vec::new(), query: Vec::new(), address_type: None };
    for other in Field::ALL.into_iter().filter(|other| *other != field) {
        if item.child(other.config()).is_some() {
            return Err(ApiError::validation(format!("You cannot provide '{}' for a condition of type '{name}'", other.config())));
        }
    }
    match item.child(field.config()) {
        Some(config) => {
            if !plain.0.is_empty() || !plain.1.is_empty() {
                let which = if plain.0.is_empty() { "RegexValues" } else { "Values" };
                return Err(ApiError::validation(format!(
                    "You cannot provide both {which} and '{}' for a condition of type '{name}'",
                    field.config()
                )));
            }
            if field == Field::HttpHeader {
                condition.header = Some(header_name(config)?);
            }
            if field == Field::SourceIp {
                condition.address_type = config.text("IpAddressType").filter(|text| !text.is_empty()).map(str::to_string);
            }
            if field == Field::QueryString {
                for pair in config.items("Values") {
                    let key = pair.text("Key").map(str::to_string).filter(|key| !key.is_empty());
                    condition.query.push((key, pair.text("Value").unwrap_or_default().to_string()));
                }
            } else {
                condition.values = config.strings("Values");
                if field.takes_regex() {
                    condition.regex_values = config.strings("RegexValues");
                }
            }
        }
        None => {
            if !matches!(field, Field::HostHeader | Field::PathPattern) {
                return Err(ApiError::validation(format!("You must provide '{}' for a condition of type '{name}'", field.config())));
            }
            // The old form without a configuration takes one value only.
            if plain.0.len() > 1 {
                return Err(ApiError::validation(format!("The '{name}' field contains too many values; the limit is '1'")));
            }
            (condition.values, condition.regex_values) = plain;
        }
    }
    check(&condition)?;
    Ok(condition)
}

fn header_name(config: &Input) -> Answer<String> {
    let name = config.text("HttpHeaderName").unwrap_or_default();
    if name.len() > 40 {
        return Err(ApiError::validation("The 'HttpHeaderName' value is too long; the limit is '40'"));
    }
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(token) || name.eq_ignore_ascii_case("host") {
        return Err(ApiError::validation(format!("The header name '{name}' is not valid for a condition of type 'http-header'")));
    }
    Ok(name.to_string())
}

fn check(condition: &Condition) -> Answer<()> {
    let name = condition.field.name();
    if condition.count() == 0 {
        return Err(ApiError::validation("A condition value must be specified"));
    }
    if let Some(wanted) = &condition.address_type {
        validation::one_of(wanted, "conditions.1.member.sourceIpConfig.ipAddressType", &["ipv4", "ipv6"])?;
        if !condition.values.is_empty() {
            return Err(ApiError::validation(format!(
                "You cannot provide both Values and 'IpAddressType' for a condition of type '{name}'"
            )));
        }
    }
    if !condition.values.is_empty() && !condition.regex_values.is_empty() {
        return Err(ApiError::validation(format!("You cannot provide both Values and RegexValues for a condition of type '{name}'")));
    }
    let limit = if condition.field == Field::HttpRequestMethod { 40 } else { 128 };
    let query = condition.query.iter().flat_map(|(key, value)| key.iter().chain([value]));
    for value in condition.values.iter().chain(&condition.regex_values).chain(query) {
        if value.chars().count() > limit {
            return Err(ApiError::validation(format!("The '{name}' value is too long; the limit is '{limit}'")));
        }
        if value.is_empty() {
            return Err(ApiError::validation("A condition value cannot be empty"));
        }
    }
    for pattern in &condition.regex_values {
        regex(pattern)?;
    }
    let pairs = condition.query.iter().flat_map(|(key, value)| key.iter().chain([value]));
    match condition.values.iter().chain(pairs).find(|value| !is_valid(condition.field, value)) {
        Some(value) => Err(ApiError::validation(format!("The '{name}' value '{value}' contains characters that are not valid"))),
        None => Ok(()),
    }
}

/// Whether a regular expression is one that the linear-time engine takes (no look-around, back-references or Unicode classes).
pub fn regex(pattern: &str) -> Answer<()> {
    // In bytes: without Unicode, `.` could match invalid UTF-8, which the engine for texts refuses.
    let unicode_class = pattern.contains("\\p{") || pattern.contains("\\P{");
    if unicode_class || RegexBuilder::new(pattern).unicode(false).build().is_err() {
        return Err(ApiError::validation(format!("The regular expression '{pattern}' is not valid")));
    }
    Ok(())
}

fn is_valid(field: Field, value: &str) -> bool {
    let only = |more: &str| value.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c));
    match field {
        // AWS: at least one dot, and only letters after the last one.
        Field::HostHeader => {
            only("-_.*?")
                && value.rsplit_once('.').is_some_and(|(_, last)| last.chars().all(|c| c.is_ascii_alphabetic() || "*?".contains(c)))
        }
        Field::PathPattern => only("_-.$/~\"'@:+&*?"),
        Field::HttpHeader => value.chars().all(|c| (' '..='~').contains(&c)),
        Field::HttpRequestMethod => value.chars().all(|c| c.is_ascii_uppercase() || "-_".contains(c)),
        Field::QueryString => only("_-.$/~\"'@:+&()!,;=*?\\"),
        Field::SourceIp => value.parse::<IpNet>().is_ok() && value != "255.255.255.255/32",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::query;

    fn refused(text: &str) -> Option<String> {
        let text = text.replace("C.", "Conditions.member.");
        read(&query::parse(&text), &Quotas::default()).err().map(|error| error.message)
    }

    #[test]
    fn conditions_are_checked_as_on_aws() {
        let host = |value: &str| format!("C.1.Field=host-header&C.1.HostHeaderConfig.Values.member.1={value}");
        let path = |value: &str| format!("C.1.Field=path-pattern&C.1.PathPatternConfig.Values.member.1={value}");
        let regex = |value: &str| format!("C.1.Field=path-pattern&C.1.PathPatternConfig.RegexValues.member.1={value}");
        let rows: Vec<(String, Option<&str>)> = vec![
            (host("www.example.com"), None),
            (host("*.example.com"), None),
            (host("example"), Some("not valid")),
            (host("example.c0m"), Some("not valid")),
            (host("a.example.com:80"), Some("not valid")),
            (host(&format!("{}.com", "a".repeat(128))), Some("too long; the limit is '128'")),
            (path("/img/*"), None),
            (path("/a%20b"), Some("not valid")),
            (path("/a%25"), Some("not valid")),
            (path("/a;b"), Some("not valid")),
            (regex("%5E/foo(/.*)%3F$"), None),
            (regex("(%3F=x)"), Some("is not valid")),
            (regex("(a)%5C1"), Some("is not valid")),
            (regex("%5Cp{L}"), Some("is not valid")),
            (regex("["), Some("is not valid")),
            ("C.1.Field=path-pattern&C.1.Values.member.1=/a".into(), None),
            ("C.1.Field=path-pattern&C.1.Values.member.1=/a&C.1.Values.member.2=/b".into(), Some("too many values; the limit is '1'")),
            ("C.1.Field=path-pattern".into(), Some("A condition value must be specified")),
            ("C.1.Field=colour&C.1.Values.member.1=/a".into(), Some("Condition field 'colour' must be one of '[path-pattern,host-header")),
            ("C.1.Field=source-ip&C.1.SourceIpConfig.Values.member.1=10.0.0.0/8".into(), None),
            ("C.1.Field=source-ip&C.1.SourceIpConfig.Values.member.1=10.0.0.1".into(), Some("not valid")),
            ("C.1.Field=source-ip&C.1.SourceIpConfig.Values.member.1=255.255.255.255/32".into(), Some("not valid")),
            ("C.1.Field=http-request-method&C.1.HttpRequestMethodConfig.Values.member.1=GET".into(), None),
            ("C.1.Field=http-request-method&C.1.HttpRequestMethodConfig.Values.member.1=get".into(), Some("not valid")),
            (
                "C.1.Field=http-header&C.1.HttpHeaderConfig.HttpHeaderName=Host&C.1.HttpHeaderConfig.Values.member.1=a".into(),
                Some("not valid"),
            ),
            ("C.1.Field=http-header&C.1.HttpHeaderConfig.HttpHeaderName=x-a&C.1.HttpHeaderConfig.Values.member.1=a".into(), None),
            ("C.1.Field=query-string&C.1.QueryStringConfig.Values.member.1.Value=a".into(), None),
            ("C.1.Field=query-string&C.1.Values.member.1=a".into(), Some("You must provide 'QueryStringConfig'")),
            (
                "C.1.Field=host-header&C.1.Values.member.1=a.b&C.1.HostHeaderConfig.Values.member.1=a.b".into(),
                Some("You cannot provide both Values and 'HostHeaderConfig' for a condition of type 'host-header'"),
            ),
            (format!("{}&{}", path("/a"), path("/b").replace("C.1.", "C.2.")), Some("A rule can only have one 'path-pattern'")),
        ];
        for (text, expected) in rows {
            let found = refused(&text);
            match expected {
                None => assert_eq!(found, None, "{text}"),
                Some(part) => assert!(found.as_deref().is_some_and(|message| message.contains(part)), "{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn values_and_wildcards_are_counted_over_all_conditions() {
        let values = |count: usize, value: &str| -> String {
            let items: Vec<String> = (1..=count).map(|n| format!("C.1.PathPatternConfig.Values.member.{n}={value}")).collect();
            format!("C.1.Field=path-pattern&{}", items.join("&"))
        };
        assert_eq!(refused(&values(5, "/a*")), None);
        assert_eq!(refused(&values(6, "/a")).as_deref(), Some("A rule can only have '5' condition values"));
        assert_eq!(refused(&values(2, "/*a*b*c")), None);
        assert_eq!(refused(&values(2, "/*a*b*c*")).as_deref(), Some("A rule can only have '6' condition wildcards"));
    }
}
