//! Conditions as the sets of requests that they hold for: whether two may hold for one request, whether one holds wherever another does, and what holds where one of
//! two does.

mod form;
mod value;

pub(crate) use value::{HostValue, PathValue};

use crate::stack::{Condition, Patterns};

/// What a rule's conditions hold for: all that is named here must hold. Values of one kind are alternatives; without any of a kind it does not matter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Matcher {
    hosts: Option<Vec<HostValue>>,
    paths: Option<Vec<PathValue>>,
    methods: Option<Vec<String>>,
    /// Anchored expressions by the header's name.
    headers: Vec<(String, Vec<String>)>,
    /// Conditions of other kinds.
    other: Vec<Condition>,
}

/// What two matchers may differ in to become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dimension {
    /// Paths.
    Path,
    /// Methods.
    Method,
    /// Values of one header.
    Header,
    /// Hosts.
    Host,
}

impl Dimension {
    /// In the order in which they are tried: paths are what the matches of one rule differ in most often.
    pub const ALL: [Self; 4] = [Self::Path, Self::Method, Self::Header, Self::Host];
}

impl Matcher {
    /// What conditions hold for.
    pub fn read(conditions: &[Condition]) -> Self {
        let mut matcher = Self { hosts: None, paths: None, methods: None, headers: Vec::new(), other: Vec::new() };
        for condition in conditions {
            match condition {
                Condition::HostHeader(patterns) if matcher.hosts.is_none() => matcher.hosts = Some(ordered(HostValue::read(patterns))),
                Condition::PathPattern(patterns) if matcher.paths.is_none() => {
                    matcher.paths = Some(ordered(PathValue::read(patterns))).filter(|paths| !paths.contains(&PathValue::Any));
                }
                Condition::HttpRequestMethod(values) if matcher.methods.is_none() => matcher.methods = Some(ordered(values.clone())),
                Condition::HttpHeader { name, patterns: Patterns::RegexValues(values) } => {
                    matcher.headers.push((name.clone(), ordered(values.clone())));
                }
                other => matcher.other.push(other.clone()),
            }
        }
        matcher.headers.sort();
        matcher.other.sort();
        matcher
    }

    /// Whether some request may meet both. A request may have several headers and query parameters of one name, so that these never exclude one another.
    pub fn meets(&self, other: &Self) -> bool {
        let all = |a: Option<bool>| a.unwrap_or(true);
        all(both(&self.hosts, &other.hosts, |a, b| any_pair(a, b, HostValue::meets)))
            && all(both(&self.paths, &other.paths, |a, b| any_pair(a, b, PathValue::meets)))
            && all(both(&self.methods, &other.methods, |a, b| any_pair(a, b, String::eq)))
    }

    /// Whether this surely holds wherever the other does.
    pub fn covers(&self, other: &Self) -> bool {
        covers(&self.hosts, &other.hosts, HostValue::covers)
            && covers(&self.paths, &other.paths, PathValue::covers)
            && covers(&self.methods, &other.methods, String::eq)
            && self.headers.iter().all(|(name, values)| {
                other.headers.iter().any(|(other, theirs)| other == name && theirs.iter().all(|value| values.contains(value)))
            })
            && self.other.iter().all(|condition| other.other.contains(condition))
    }

    /// This without what it says of a dimension: what must be equal in two that are to become one along it.
    pub fn without(&self, dimension: Dimension) -> Self {
        let mut rest = self.clone();
        match dimension {
            Dimension::Path => rest.paths = None,
            Dimension::Method => rest.methods = None,
            Dimension::Host => rest.hosts = None,
            // The names stay.
            Dimension::Header => rest.headers.iter_mut().for_each(|(_, values)| values.clear()),
        }
        rest
    }

    /// What holds where this or the other does, if they differ in nothing but this dimension.
    pub fn joined(&self, other: &Self, dimension: Dimension) -> Option<Self> {
        if self.without(dimension) != other.without(dimension) {
            return None;
        }
        let mut union = self.clone();
        match dimension {
            Dimension::Path => union.paths = joined(&self.paths, &other.paths, PathValue::covers),
            Dimension::Method => union.methods = joined(&self.methods, &other.methods, String::eq),
            Dimension::Host => union.hosts = joined(&self.hosts, &other.hosts, HostValue::covers),
            Dimension::Header => {
                let mut different = 0;
                for ((_, values), (_, theirs)) in union.headers.iter_mut().zip(&other.headers).filter(|(a, b)| a != b) {
                    values.extend(theirs.iter().cloned());
                    *values = ordered(std::mem::take(values));
                    different += 1;
                }
                if different > 1 {
                    return None;
                }
            }
        }
        Some(union)
    }

    /// The hosts, for people.
    pub fn shown_hosts(patterns: &Patterns) -> String {
        HostValue::read(patterns).iter().map(HostValue::shown).collect::<Vec<_>>().join("|")
    }
}

fn ordered<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort();
    values.dedup();
    values
}

fn both<T>(a: &Option<Vec<T>>, b: &Option<Vec<T>>, test: impl Fn(&[T], &[T]) -> bool) -> Option<bool> {
    Some(test(a.as_deref()?, b.as_deref()?))
}

fn any_pair<T>(a: &[T], b: &[T], test: impl Fn(&T, &T) -> bool) -> bool {
    a.iter().any(|a| b.iter().any(|b| test(a, b)))
}

fn covers<T>(a: &Option<Vec<T>>, b: &Option<Vec<T>>, covers: impl Fn(&T, &T) -> bool) -> bool {
    match (a, b) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(a), Some(b)) => b.iter().all(|b| a.iter().any(|a| covers(a, b))),
    }
}

/// All values, but for those that another one covers.
fn joined<T: Clone + Ord>(a: &Option<Vec<T>>, b: &Option<Vec<T>>, covers: impl Fn(&T, &T) -> bool) -> Option<Vec<T>> {
    let all = ordered(a.as_ref()?.iter().chain(b.as_ref()?).cloned().collect());
    Some(all.iter().filter(|value| !all.iter().any(|other| other != *value && covers(other, value))).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> Condition {
        Condition::HostHeader(Patterns::RegexValues(vec![format!("^{text}(:[0-9]+)?$")]))
    }

    fn path(values: &[&str]) -> Condition {
        Condition::PathPattern(Patterns::Values(values.iter().map(|value| (*value).to_owned()).collect()))
    }

    fn header(value: &str) -> Condition {
        Condition::HttpHeader { name: "x".into(), patterns: Patterns::RegexValues(vec![value.into()]) }
    }

    fn method(method: &str) -> Condition {
        Condition::HttpRequestMethod(vec![method.into()])
    }

    #[test]
    fn only_what_certainly_excludes_one_another_is_disjoint() {
        for (a, b, expected) in [
            (host(r"a\.example\.com"), host(r"b\.example\.com"), false),
            (host(r"a\.example\.com"), host(r"[^:]+\.example\.com"), true),
            (host(r"a\.example\.com"), host(r"[^:]+\.example\.org"), false),
            (path(&["/a", "/a/*"]), path(&["/b", "/b/*"]), false),
            (path(&["/a", "/a/*"]), path(&["/ab", "/ab/*"]), false),
            (path(&["/a", "/a/*"]), path(&["/a/b", "/a/b/*"]), true),
            (path(&["/a", "/a/*"]), path(&["/*"]), true),
            (path(&["/a*"]), path(&["/b"]), true),
            (path(&["/a"]), host(r"a\.example\.com"), true),
            (header("^1$"), header("^2$"), true),
            (method("GET"), method("PUT"), false),
        ] {
            let one = |condition: &Condition| Matcher::read(std::slice::from_ref(condition));
            assert_eq!(one(&a).meets(&one(&b)), expected, "{a} and {b}");
            assert_eq!(one(&b).meets(&one(&a)), expected, "{b} and {a}");
        }
    }

    #[test]
    fn more_conditions_hold_for_less() {
        let wide = Matcher::read(&[path(&["/a", "/a/*"])]);
        let narrow = Matcher::read(&[path(&["/a"]), header("^1$"), method("GET")]);
        assert!(wide.covers(&narrow) && !narrow.covers(&wide) && Matcher::read(&[]).covers(&wide));
        assert!(Matcher::read(&[path(&["/*"])]).covers(&wide));
    }

    #[test]
    fn two_become_one_along_one_dimension_only() {
        let a = Matcher::read(&[path(&["/a"]), method("GET")]);
        let along = |b: &[Condition], dimension| a.joined(&Matcher::read(b), dimension).and_then(|joined| joined.write());
        assert_eq!(along(&[path(&["/b"]), method("GET")], Dimension::Path), Some(vec![path(&["/a", "/b"]), method("GET")]));
        assert_eq!(along(&[path(&["/b"]), method("PUT")], Dimension::Path), None);
        assert_eq!(along(&[path(&["/b"])], Dimension::Path), None);
        assert_eq!(along(&[path(&["/a", "/a/*"]), method("GET")], Dimension::Path), Some(vec![path(&["/a", "/a/*"]), method("GET")]));
        // Any method is one of them, too.
        assert_eq!(along(&[path(&["/a"])], Dimension::Method), Some(vec![path(&["/a"])]));
        assert_eq!(
            Matcher::read(&[path(&["/a"])]).joined(&Matcher::read(&[]), Dimension::Path).unwrap().write(),
            Some(vec![path(&["/*"])])
        );
    }

    #[test]
    fn values_are_plain_while_they_fit_and_share_expressions_when_nothing_else_does() {
        let prefixes = |count: usize| -> Matcher {
            let values = (0..count).flat_map(|n| [format!("/p{n}"), format!("/p{n}/*")]).collect();
            Matcher::read(&[host(r"a\.example\.com"), Condition::PathPattern(Patterns::Values(values))])
        };
        let shape = |count: usize| {
            let conditions = prefixes(count).write()?;
            conditions
                .iter()
                .find_map(|condition| if let Condition::PathPattern(patterns) = condition { Some(patterns.clone()) } else { None })
        };
        assert!(matches!(shape(2), Some(Patterns::Values(values)) if values.len() == 4));
        assert!(matches!(shape(4), Some(Patterns::RegexValues(values)) if values.len() == 4));
        assert_eq!(shape(5), Some(Patterns::RegexValues(vec!["^(/p0|/p1|/p2|/p3|/p4)(/.*)?$".into()])));
        assert_eq!(shape(200), None);
    }
}
