//! Tolerant decoding: one bad value harms only the smallest thing that it belongs to.
//!
//! The generated types are closed: a filter type that is newer than they are makes a whole HTTPRoute undecodable. [`decode()`] cuts the smallest
//! enclosing element out, records it as a [`Defect`] with the path that its author wrote, and decodes what is left.
//!
//! What is cut, and what whoever serves the rest must do about it:
//!
//! | the bad value lies in | cut | then |
//! |---|---|---|
//! | a match of a rule | the match, never a part of it (fewer conditions would match more) | its requests fall through to other rules |
//! | the last match of a rule, or `matches` itself | the rule (without matches it would match everything) | the same |
//! | a filter of a rule | the filter | the rule answers 500: [`RouteRule::incomplete`](crate::normal::RouteRule::incomplete) |
//! | a filter of a backend | the filter | the backend's share answers 500: [`BackendRef::incomplete`](crate::normal::BackendRef::incomplete) |
//! | a backend | the backend | its share answers 500: [`RouteRule::lost_weight`](crate::normal::RouteRule::lost_weight) |
//! | another field of a rule | the field | the rule answers 500: `incomplete` |
//! | a parentRef, a listener | the whole of it | the rest serves |
//! | a hostname | the hostname; if it is the last one, the object (without hostnames it would serve all) | the rest serves |
//! | an entry of a ReferenceGrant or of a policy's `targetRefs` | the entry | the rest counts |
//! | `status` | the status | nothing: it is not read from there |
//! | anything else | the object | the object is reported and does not serve |

use std::{collections::BTreeMap, fmt};

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use crate::normal::{Normal, NormalSpec};

/// The result of [`decode()`].
#[derive(Clone, Debug)]
pub struct Decoded<K> {
    /// The object without what was cut out; `None` if nothing of it could be kept.
    pub object: Option<K>,
    /// What was cut out, in the order of cutting. Paths have the author's indexes.
    pub defects: Vec<Defect>,
    /// Where the surviving elements stood before.
    pub indexes: CutIndexes,
}

/// Something that was cut out of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Defect {
    /// Path of the bad value with the indexes that its author wrote, such as `spec.rules[2].filters[0].type`; empty for the whole object.
    pub path: String,
    /// The bad value as JSON, shortened; `(secret)` in Secrets.
    pub value: String,
    /// What is wrong with it.
    pub message: String,
    /// What was cut out because of it.
    pub cut: CutScope,
    /// Of a backend of a rule that was cut out: the weight that it had, 1 if that cannot be read either.
    pub weight: Option<u32>,
}

impl Defect {
    /// Whether the defect is at or below a path with the author's indexes.
    pub fn is_under(&self, path: &str) -> bool {
        self.path.strip_prefix(path).is_some_and(|rest| path.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// What was cut out because of a bad value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CutScope {
    /// One match of a rule.
    Match,
    /// One filter of a rule or of a backend.
    Filter,
    /// One backend of a rule.
    BackendRef,
    /// One parent reference.
    ParentRef,
    /// A whole rule.
    Rule,
    /// One listener.
    Listener,
    /// One field, or one entry of a list that is none of the above.
    Field,
    /// The whole object.
    Object,
}

/// Which entries of which lists were cut out. Lists are named by path with the author's indexes, such as `spec.rules` or `spec.rules[2].filters`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CutIndexes(BTreeMap<String, Vec<usize>>);

impl CutIndexes {
    /// The author's index of the entry that is now at `index`.
    pub fn author_index(&self, list: &str, index: usize) -> usize {
        self.cut(list).iter().fold(index, |index, cut| if *cut <= index { index + 1 } else { index })
    }

    /// The author's indexes of what was cut out of a list, ascending.
    pub fn cut(&self, list: &str) -> &[usize] {
        self.0.get(list).map_or(&[], Vec::as_slice)
    }

    /// Rewrites the indexes of a path in the decoded object to the author's.
    pub fn author_path(&self, path: &str) -> String {
        let mut found = String::with_capacity(path.len());
        let mut rest = path;
        while let Some((before, index, after)) = rest.split_once('[').and_then(|(before, rest)| {
            let (index, after) = rest.split_once(']')?;
            Some((before, index, after))
        }) {
            found.push_str(before);
            let index = index.parse().map_or_else(|_| index.to_owned(), |index| self.author_index(&found, index).to_string());
            found.push('[');
            found.push_str(&index);
            found.push(']');
            rest = after;
        }
        found.push_str(rest);
        found
    }

    /// Records the cut of the entry that is now at `index`, and returns its author's index.
    fn record(&mut self, list: String, index: usize) -> usize {
        let author = self.author_index(&list, index);
        let cuts = self.0.entry(list).or_default();
        let at = cuts.partition_point(|cut| *cut < author);
        cuts.insert(at, author);
        author
    }
}

impl<K> Decoded<K> {
    /// The defects at or below a path with the author's indexes, such as `spec.rules[2]`.
    pub fn defects_under<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Defect> {
        self.defects.iter().filter(move |defect| defect.is_under(path))
    }

    /// Whether nothing had to be cut out.
    pub fn is_whole(&self) -> bool {
        self.defects.is_empty()
    }
}

impl<K: Normal> Decoded<K> {
    /// The normal form of what is left, which knows of everything that was cut out and has the author's indexes.
    pub fn normal(&self) -> Option<K::Spec> {
        self.object.as_ref().map(|object| {
            let mut spec = object.normal();
            spec.adopt(&self.defects, &self.indexes);
            spec
        })
    }
}

/// Decodes an object, or as much of it as can be decoded.
pub fn decode<K: DeserializeOwned>(raw: &Value) -> Decoded<K> {
    let mut decoded = Decoded { object: None, defects: Vec::new(), indexes: CutIndexes::default() };
    let secret = raw.get("kind").and_then(Value::as_str) == Some("Secret");
    let mut error = match serde_path_to_error::deserialize::<_, K>(raw) {
        Ok(object) => {
            decoded.object = Some(object);
            return decoded;
        }
        Err(error) => error,
    };
    let mut rest = raw.clone();
    // Every cut takes at least one node away, so there are never more passes than nodes.
    for _ in 0..nodes(raw) {
        let path = Path::of(error.path());
        let value = path.value(&rest).unwrap_or(&Value::Null);
        let mut defect = Defect {
            path: decoded.indexes.author_path(&path.to_string()),
            value: if secret { "(secret)".to_owned() } else { short_json(value) },
            message: if secret { "a value of the wrong type".to_owned() } else { error.inner().to_string() },
            cut: CutScope::Object,
            weight: None,
        };
        let Some((scope, at)) = cut(&path, &rest) else {
            decoded.defects.push(defect);
            return decoded;
        };
        defect.cut = scope;
        if scope == CutScope::BackendRef {
            let weight = at.value(&rest).and_then(|it| it.get("weight")).and_then(Value::as_u64).and_then(|it| u32::try_from(it).ok());
            defect.weight = Some(weight.unwrap_or(1));
        }
        decoded.defects.push(defect);
        if !at.remove(&mut rest, &mut decoded.indexes) {
            return decoded;
        }
        match serde_path_to_error::deserialize::<_, K>(&rest) {
            Ok(object) => {
                decoded.object = Some(object);
                return decoded;
            }
            Err(next) => error = next,
        }
    }
    decoded
}

/// The smallest thing that can be cut out for a bad value at `path`; `None` is the whole object.
fn cut(path: &Path, object: &Value) -> Option<(CutScope, Path)> {
    use Step::{Index, Key};
    let up_to = |steps: usize| Path(path.0.iter().take(steps).cloned().collect());
    let only_one = |list: &Path| list.value(object).and_then(Value::as_array).is_none_or(|list| list.len() <= 1);
    let keys: Vec<Option<&str>> = path.0.iter().map(|step| if let Key(key) = step { Some(key.as_str()) } else { None }).collect();
    let index = |at: usize| matches!(path.0.get(at), Some(Index(_)));
    let key = |at: usize| keys.get(at).copied().flatten();
    match (key(0), key(1)) {
        (Some("status"), _) => Some((CutScope::Field, up_to(1))),
        (Some("spec"), Some("parentRefs")) if index(2) => Some((CutScope::ParentRef, up_to(3))),
        (Some("spec"), Some("listeners")) if index(2) => Some((CutScope::Listener, up_to(3))),
        (Some("spec"), Some("from" | "to" | "targetRefs")) if index(2) => Some((CutScope::Field, up_to(3))),
        (Some("spec"), Some("hostnames")) if index(2) => (!only_one(&up_to(2))).then(|| (CutScope::Field, up_to(3))),
        (Some("spec"), Some("rules")) if index(2) => Some(match key(3) {
            None => (CutScope::Rule, up_to(3)),
            Some("matches") if index(4) && !only_one(&up_to(4)) => (CutScope::Match, up_to(5)),
            Some("matches") => (CutScope::Rule, up_to(3)),
            Some("filters") if index(4) => (CutScope::Filter, up_to(5)),
            Some("backendRefs") if index(4) && key(5) == Some("filters") && index(6) => (CutScope::Filter, up_to(7)),
            Some("backendRefs") if index(4) => (CutScope::BackendRef, up_to(5)),
            Some(_) => (CutScope::Field, up_to(4)),
        }),
        _ => None,
    }
}

/// A step into a JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// A path into a JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Path(Vec<Step>);

impl Path {
    /// The steps up to the first that does not lead into the JSON value.
    fn of(path: &serde_path_to_error::Path) -> Self {
        let step = |segment: &Segment| match segment {
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Enum { .. } | Segment::Unknown => None,
        };
        Self(path.iter().map_while(step).collect())
    }

    fn value<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(root, |value, step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(*index),
        })
    }

    /// Removes what is at the path, and says whether there was something.
    fn remove(&self, root: &mut Value, indexes: &mut CutIndexes) -> bool {
        let Some((last, parents)) = self.0.split_last() else { return false };
        let parents = Self(parents.to_vec());
        let list = indexes.author_path(&parents.to_string());
        let parent = parents.0.iter().try_fold(root, |value, step| match step {
            Step::Key(key) => value.get_mut(key),
            Step::Index(index) => value.get_mut(*index),
        });
        match (parent, last) {
            (Some(Value::Object(map)), Step::Key(key)) => map.remove(key).is_some(),
            (Some(Value::Array(entries)), Step::Index(index)) if *index < entries.len() => {
                entries.remove(*index);
                indexes.record(list, *index);
                true
            }
            _ => false,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if at == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// How many values there are in a value.
fn nodes(value: &Value) -> usize {
    match value {
        Value::Array(entries) => 1 + entries.iter().map(nodes).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(nodes).sum::<usize>(),
        _ => 1,
    }
}

/// The longest text of a value in a defect, in characters: conditions hold several and are read by people.
const SHORT: usize = 60;

/// A text shortened for a message.
pub(crate) fn short(text: &str) -> String {
    if text.chars().count() <= SHORT { text.to_owned() } else { text.chars().take(SHORT - 1).chain(['…']).collect() }
}

fn short_json(value: &Value) -> String {
    short(&value.to_string())
}

#[cfg(test)]
mod tests;
