//! Single hosts and paths, as compile writes them into conditions and as they are read back.

use crate::pattern::{escape, unescape};
use crate::stack::Patterns;

/// What may follow a hostname: any port.
const ANY_PORT: &str = "(:[0-9]+)?$";
/// What a wildcard stands for: labels, but no port.
const LABELS: &str = "[^:]+";
/// What follows a prefix: nothing, or further elements.
const OR_BELOW: &str = "(/.*)?$";
/// What follows a path that is not meant itself: further elements.
const BELOW: &str = "/.*$";

/// A host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HostValue {
    /// This name, with any port.
    Exact(String),
    /// Names that end in this, with any port: `.example.com`.
    Wildcard(String),
    /// A plain value: this name, or with `*.` in front names that end in the rest, with no port but the listener's own.
    Plain(String),
    /// An expression that is not of this form.
    Regex(String),
}

impl HostValue {
    /// The hosts that values stand for.
    pub fn read(patterns: &Patterns) -> Vec<Self> {
        match patterns {
            Patterns::Values(values) => values.iter().cloned().map(Self::Plain).collect(),
            Patterns::RegexValues(values) => {
                values.iter().flat_map(|value| Self::read_regex(value).unwrap_or_else(|| vec![Self::Regex(value.clone())])).collect()
            }
        }
    }

    fn read_regex(regex: &str) -> Option<Vec<Self>> {
        let body = regex.strip_prefix('^')?.strip_suffix(ANY_PORT)?;
        let one = |text: &str| match text.strip_prefix(LABELS) {
            Some(suffix) => unescape(suffix).map(Self::Wildcard),
            None => unescape(text).map(Self::Exact),
        };
        alternatives(body).map(one).collect()
    }

    /// The expression within its anchors; nothing for what is no such expression.
    fn body(&self) -> Option<String> {
        match self {
            Self::Exact(name) => Some(escape(name)),
            Self::Wildcard(suffix) => Some(format!("{LABELS}{}", escape(suffix))),
            Self::Plain(_) | Self::Regex(_) => None,
        }
    }

    /// An expression for each host, or several in one; nothing where one of them is no expression.
    pub fn write(hosts: &[Self], joined: bool) -> Option<Patterns> {
        if let Some(values) = hosts.iter().map(|host| if let Self::Plain(value) = host { Some(value.clone()) } else { None }).collect() {
            return Some(Patterns::Values(values));
        }
        let bodies: Vec<String> = hosts.iter().filter_map(Self::body).collect();
        let mut values: Vec<String> = super::form::anchored(&bodies, ANY_PORT, joined)?;
        for host in hosts {
            match host {
                Self::Regex(text) => values.push(text.clone()),
                Self::Plain(_) => return None,
                Self::Exact(_) | Self::Wildcard(_) => {}
            }
        }
        Some(Patterns::RegexValues(values))
    }

    /// Whether this matches whatever the other matches.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Wildcard(suffix), Self::Exact(name)) => name.len() > suffix.len() && name.ends_with(suffix.as_str()),
            (Self::Wildcard(suffix), Self::Wildcard(longer)) => longer.ends_with(suffix.as_str()),
            (a, b) => a == b,
        }
    }

    /// Whether some host may match both.
    pub fn meets(&self, other: &Self) -> bool {
        match (self.with_any_port(), other.with_any_port()) {
            (Some(a), Some(b)) => a.covers(&b) || b.covers(&a),
            _ => true,
        }
    }

    /// At least what this matches, as a name or the end of names.
    fn with_any_port(&self) -> Option<Self> {
        match self {
            Self::Plain(value) => match value.strip_prefix('*') {
                Some(suffix) => Some(Self::Wildcard(suffix.to_owned())),
                None => Some(Self::Exact(value.clone())),
            }
            .filter(|_| !value.trim_start_matches('*').contains(['*', '?'])),
            Self::Regex(_) => None,
            named => Some(named.clone()),
        }
    }

    /// As people write it.
    pub fn shown(&self) -> String {
        match self {
            Self::Exact(name) | Self::Plain(name) => name.clone(),
            Self::Wildcard(suffix) => format!("*{suffix}"),
            Self::Regex(text) => format!("~ {text}"),
        }
    }
}

/// A path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PathValue {
    /// Every path.
    Any,
    /// This one.
    Exact(String),
    /// This one and what is below it.
    Prefix(String),
    /// What is below it, but not itself.
    Below(String),
    /// An expression that is not of this form.
    Regex(String),
    /// A plain value with wildcards that is not of this form.
    Glob(String),
}

impl PathValue {
    /// The paths that values stand for.
    pub fn read(patterns: &Patterns) -> Vec<Self> {
        match patterns {
            Patterns::Values(values) => {
                let is_there = |path: &str| values.iter().any(|value| value == path);
                let one = |value: &String| {
                    let stem = value.strip_suffix("/*");
                    if stem.unwrap_or(value).contains(['*', '?', '\\']) {
                        return Some(Self::Glob(value.clone()));
                    }
                    match stem {
                        Some("") => Some(Self::Any),
                        Some(stem) if is_there(stem) => Some(Self::Prefix(stem.to_owned())),
                        Some(stem) => Some(Self::Below(stem.to_owned())),
                        None if is_there(&format!("{value}/*")) => None,
                        None => Some(Self::Exact(value.clone())),
                    }
                };
                values.iter().filter_map(one).collect()
            }
            Patterns::RegexValues(values) => {
                values.iter().flat_map(|value| Self::read_regex(value).unwrap_or_else(|| vec![Self::Regex(value.clone())])).collect()
            }
        }
    }

    fn read_regex(regex: &str) -> Option<Vec<Self>> {
        let body = regex.strip_prefix('^')?;
        let all = |body: &str, kind: fn(String) -> Self| alternatives(body).map(|text| unescape(text).map(kind)).collect();
        if let Some(body) = body.strip_suffix(OR_BELOW) {
            return all(body, Self::Prefix);
        }
        if let Some(body) = body.strip_suffix(BELOW) {
            return all(body, Self::Below);
        }
        all(body.strip_suffix('$')?, Self::Exact)
    }

    /// As plain values, sorted; nothing where one of them is none.
    pub fn write_plain(paths: &[Self]) -> Option<Patterns> {
        let mut values = Vec::new();
        for path in paths {
            match path {
                Self::Any => values.push("/*".to_owned()),
                Self::Exact(path) if crate::pattern::is_plain_path(path) => values.push(path.clone()),
                Self::Prefix(path) if crate::pattern::is_plain_path(path) => values.extend([path.clone(), format!("{path}/*")]),
                Self::Below(path) if crate::pattern::is_plain_path(path) => values.push(format!("{path}/*")),
                Self::Glob(glob) => values.push(glob.clone()),
                _ => return None,
            }
        }
        values.sort();
        Some(Patterns::Values(values))
    }

    /// An expression for each path, or several in one; nothing where one of them is no expression.
    pub fn write(paths: &[Self], joined: bool) -> Option<Patterns> {
        let (mut prefixes, mut below, mut exact, mut regex) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for path in paths {
            match path {
                Self::Prefix(text) => prefixes.push(printable(text)?),
                Self::Below(text) => below.push(printable(text)?),
                Self::Exact(text) => exact.push(printable(text)?),
                Self::Regex(text) => regex.push(text.clone()),
                Self::Any | Self::Glob(_) => return None,
            }
        }
        for (bodies, end) in [(prefixes, OR_BELOW), (below, BELOW), (exact, "$")] {
            regex.extend(super::form::anchored(&bodies, end, joined)?);
        }
        regex.sort();
        Some(Patterns::RegexValues(regex))
    }

    /// Whether this matches whatever the other matches.
    pub fn covers(&self, other: &Self) -> bool {
        let below = |path: &str, stem: &str| path.strip_prefix(stem).is_some_and(|rest| rest.starts_with('/'));
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Prefix(stem), Self::Exact(path) | Self::Prefix(path) | Self::Below(path)) => path == stem || below(path, stem),
            (Self::Below(stem), Self::Exact(path) | Self::Prefix(path)) => below(path, stem),
            (Self::Below(stem), Self::Below(path)) => path == stem || below(path, stem),
            (a, b) => a == b,
        }
    }

    /// Whether some path may match both.
    pub fn meets(&self, other: &Self) -> bool {
        let opaque = |path: &Self| matches!(path, Self::Regex(_) | Self::Glob(_));
        opaque(self) || opaque(other) || self.covers(other) || other.covers(self)
    }
}

fn printable(text: &str) -> Option<String> {
    crate::pattern::is_printable(text).then(|| escape(text))
}

/// `a` and `b` of `(a|b)`, else the whole text. No host and no path begins with a parenthesis.
fn alternatives(body: &str) -> impl Iterator<Item = &str> {
    let group = body.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let mut escaped = false;
    let separates = move |c: char| {
        let plain = !escaped;
        escaped = plain && c == '\\';
        plain && c == '|' && group.is_some()
    };
    group.unwrap_or(body).split(separates)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(values: &[&str], regex: bool) -> Vec<PathValue> {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        PathValue::read(&if regex { Patterns::RegexValues(values) } else { Patterns::Values(values) })
    }

    #[test]
    fn paths_are_read_as_they_were_written() {
        let all = [
            PathValue::Exact("/e|f)".into()),
            PathValue::Exact("/g".into()),
            PathValue::Prefix("/a.b".into()),
            PathValue::Prefix("/c".into()),
            PathValue::Below("/d".into()),
            PathValue::Regex("^(?:/v[0-9]|/x)$".into()),
        ];
        for joined in [false, true] {
            let mut read = PathValue::read(&PathValue::write(&all, joined).unwrap());
            read.sort();
            assert_eq!(read, all, "{joined}");
        }
        assert_eq!(PathValue::write(&all, true).unwrap().len(), 4);
        let plain = [PathValue::Prefix("/a".into()), PathValue::Below("/b".into()), PathValue::Exact("/c".into())];
        let mut read = PathValue::read(&PathValue::write_plain(&plain).unwrap());
        read.sort();
        assert_eq!(read, [PathValue::Exact("/c".into()), PathValue::Prefix("/a".into()), PathValue::Below("/b".into())]);
        assert_eq!(PathValue::write_plain(&all), None);
    }

    #[test]
    fn what_compile_never_writes_stays_opaque() {
        assert_eq!(paths(&["/a*", "/b/*/c"], false), [PathValue::Glob("/a*".into()), PathValue::Glob("/b/*/c".into())]);
        assert_eq!(paths(&["/*"], false), [PathValue::Any]);
        assert_eq!(paths(&["/a", "^/a.b$", "^(?:/a|/b)$"], true).iter().filter(|path| matches!(path, PathValue::Regex(_))).count(), 3);
        assert_eq!(HostValue::read(&Patterns::RegexValues(vec!["^a.*$".into()])), [HostValue::Regex("^a.*$".into())]);
    }

    #[test]
    fn hosts_are_read_as_they_were_written() {
        let hosts =
            [HostValue::Exact("a.example.com".into()), HostValue::Exact("b.org".into()), HostValue::Wildcard(".example.com".into())];
        for (joined, values) in [(false, 3), (true, 1)] {
            let written = HostValue::write(&hosts, joined).unwrap();
            assert_eq!((HostValue::read(&written), written.len()), (hosts.to_vec(), values));
        }
        assert_eq!(HostValue::write(&[HostValue::Plain("long".into()), hosts[0].clone()], false), None);
    }

    #[test]
    fn a_path_covers_what_is_below_it_by_elements() {
        let (exact, prefix, below) =
            (|p: &str| PathValue::Exact(p.into()), |p: &str| PathValue::Prefix(p.into()), |p: &str| PathValue::Below(p.into()));
        for (a, b, covers, meets) in [
            (prefix("/a"), exact("/a"), true, true),
            (prefix("/a"), exact("/a/b"), true, true),
            (prefix("/a"), exact("/ab"), false, false),
            (prefix("/a/b"), prefix("/a"), false, true),
            (below("/a"), prefix("/a"), false, true),
            (below("/a"), exact("/a"), false, false),
            (below("/a"), prefix("/a/b"), true, true),
            (exact("/a"), exact("/b"), false, false),
            (PathValue::Any, PathValue::Regex("x".into()), true, true),
            (PathValue::Regex("x".into()), exact("/a"), false, true),
        ] {
            assert_eq!((a.covers(&b), a.meets(&b), b.meets(&a)), (covers, meets, meets), "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_wildcard_covers_names_below_it_only() {
        let wildcard = HostValue::Wildcard(".example.com".into());
        for (other, covers, meets) in [
            (HostValue::Exact("a.b.example.com".into()), true, true),
            (HostValue::Exact("example.com".into()), false, false),
            (HostValue::Wildcard(".b.example.com".into()), true, true),
            (HostValue::Wildcard(".com".into()), false, true),
            (HostValue::Plain("a.example.com".into()), false, true),
            (HostValue::Plain("*.org".into()), false, false),
            (HostValue::Regex("^.*$".into()), false, true),
        ] {
            assert_eq!((wildcard.covers(&other), wildcard.meets(&other)), (covers, meets), "{other:?}");
        }
    }
}
