//! The parameters of a call as a tree, however they came over the wire.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::str::FromStr;

use hyper::body::Bytes;

use crate::error::{Answer, ApiError};

/// One node of the parameters: a text, or named children (a structure, or a list whose children are numbered).
///
/// Reading a node marks it, so that [`Input::done`] can refuse parameters that the operation does not know: a misspelt parameter
/// must not be ignored silently.
#[derive(Debug, Default)]
pub struct Input {
    name: String,
    text: Option<String>,
    bytes: Option<Bytes>,
    children: BTreeMap<String, Input>,
    seen: Cell<bool>,
}

impl Input {
    /// An empty structure.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty structure with the given name.
    pub fn named(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// A node with the given name that holds a text.
    pub fn leaf(name: &str, text: &str) -> Self {
        Self { name: name.into(), text: Some(text.into()), ..Self::default() }
    }

    /// A node with the given name that holds bytes, which no log shows.
    pub fn blob(name: &str, bytes: Bytes) -> Self {
        Self { name: name.into(), bytes: Some(bytes), ..Self::default() }
    }

    /// A node with the given name that holds a list.
    pub fn sequence(name: &str, items: Vec<Input>) -> Self {
        let children = items.into_iter().enumerate().map(|(index, item)| ((index + 1).to_string(), item)).collect();
        Self { name: name.into(), children, ..Self::default() }
    }

    /// Puts a text at a path such as `["Tags", "member", "1", "Key"]`.
    pub fn insert(&mut self, path: &[&str], text: &str) {
        match path.split_first() {
            None => self.text = Some(text.into()),
            Some((head, rest)) => {
                let name = if self.name.is_empty() { (*head).to_string() } else { format!("{}.{head}", self.name) };
                self.children.entry((*head).to_string()).or_insert_with(|| Self { name, ..Self::default() }).insert(rest, text);
            }
        }
    }

    /// Puts a ready node in place.
    pub fn put(&mut self, key: &str, node: Input) {
        self.children.insert(key.into(), node);
    }

    /// The node's path as the caller wrote it.
    pub fn path(&self) -> &str {
        &self.name
    }

    /// The child structure with this name, if given.
    pub fn child(&self, name: &str) -> Option<&Input> {
        let child = self.children.get(name)?;
        child.seen.set(true);
        Some(child)
    }

    /// The child's text; `None` if the child is absent. An empty text stays an empty text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.child(name).and_then(|child| child.text.as_deref())
    }

    /// The child's bytes, if it holds any.
    pub fn bytes(&self, name: &str) -> Option<&Bytes> {
        self.child(name).and_then(|child| child.bytes.as_ref())
    }

    /// The child's text, or the error that AWS gives for a missing required member.
    pub fn required(&self, name: &str) -> Answer<&str> {
        self.text(name).filter(|text| !text.is_empty()).ok_or_else(|| missing(name))
    }

    /// The child's text as a number or another type with a textual form.
    pub fn parse<T: FromStr>(&self, name: &str) -> Answer<Option<T>> {
        match self.text(name) {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| malformed(name, text)),
        }
    }

    /// The child as a boolean.
    pub fn flag(&self, name: &str) -> Answer<Option<bool>> {
        match self.text(name) {
            None | Some("") => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(text) => Err(malformed(name, text)),
        }
    }

    /// The child's list of structures; `None` if absent, an empty vector for an empty list (`Name=` in the query protocol).
    pub fn list(&self, name: &str) -> Option<Vec<&Input>> {
        let child = self.child(name)?;
        let numbered = match child.children.get("member") {
            Some(members) => {
                members.seen.set(true);
                &members.children
            }
            None => &child.children,
        };
        let mut items: Vec<(usize, &Input)> = numbered.iter().filter_map(|(key, node)| Some((key.parse().ok()?, node))).collect();
        items.sort_by_key(|(index, _)| *index);
        Some(
            items
                .into_iter()
                .map(|(_, node)| {
                    node.seen.set(true);
                    node
                })
                .collect(),
        )
    }

    /// The child's list of structures, empty if absent.
    pub fn items(&self, name: &str) -> Vec<&Input> {
        self.list(name).unwrap_or_default()
    }

    /// The child's list of texts; `None` if absent.
    pub fn texts(&self, name: &str) -> Option<Vec<String>> {
        self.list(name).map(|items| items.into_iter().map(|item| item.text.clone().unwrap_or_default()).collect())
    }

    /// The child's list of texts, empty if absent.
    pub fn strings(&self, name: &str) -> Vec<String> {
        self.texts(name).unwrap_or_default()
    }

    /// The child's list of texts, or the error for a missing or empty required list.
    pub fn required_strings(&self, name: &str) -> Answer<Vec<String>> {
        self.texts(name).filter(|texts| !texts.is_empty()).ok_or_else(|| missing(name))
    }

    /// The node's own text.
    pub fn own_text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// The names and texts of a structure that is used as a map.
    pub fn entries(&self) -> Vec<(String, String)> {
        self.children
            .iter()
            .map(|(key, node)| {
                node.seen.set(true);
                (key.clone(), node.text.clone().unwrap_or_default())
            })
            .collect()
    }

    /// The path of a parameter that nobody read, if there is one.
    fn unread(&self) -> Option<&str> {
        self.children.values().find_map(|child| {
            let container = child.text.is_none() && child.bytes.is_none() && !child.children.is_empty();
            if child.seen.get() || container { child.unread() } else { Some(child.path()) }
        })
    }

    /// Ends the reading: an error if a parameter is left that the operation did not ask for.
    pub fn done(&self) -> Answer<()> {
        match self.unread() {
            None => Ok(()),
            Some(path) => Err(ApiError::unknown_parameter(path)),
        }
    }

    /// Every leaf with its path, for the log.
    pub fn leaves(&self) -> Vec<(String, String)> {
        let mut out = Vec::new();
        self.collect("", &mut out);
        out
    }

    fn collect(&self, prefix: &str, out: &mut Vec<(String, String)>) {
        if let Some(text) = &self.text {
            out.push((prefix.to_string(), text.clone()));
        }
        for (key, child) in &self.children {
            let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            child.collect(&path, out);
        }
    }
}

/// AWS's message for a missing required member.
pub fn missing(name: &str) -> ApiError {
    ApiError::validation(format!(
        "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be null",
        lower_camel(name)
    ))
}

fn malformed(name: &str, text: &str) -> ApiError {
    ApiError::validation(format!("'{text}' is not a valid value for '{name}'"))
}

/// `LoadBalancerArn` → `loadBalancerArn`, as AWS's validation messages write members.
fn lower_camel(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_lowercase().to_string() + letters.as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::wire::query;

    #[test]
    fn lists_follow_their_numbers_and_know_empty_from_absent() {
        let input = query::parse("Subnets.member.10=c&Subnets.member.2=b&Subnets.member.1=a&Names=");
        assert_eq!(input.strings("Subnets"), ["a", "b", "c"]);
        assert_eq!(input.texts("Names"), Some(vec![]));
        assert_eq!(input.texts("Other"), None);
    }

    #[test]
    fn a_parameter_that_nobody_reads_is_refused_by_its_path() {
        let input = query::parse("Tags.member.1.Key=a&Tags.member.1.Colour=red");
        for tag in input.items("Tags") {
            tag.text("Key");
        }
        assert_eq!(input.done().unwrap_err().message, "Unknown parameter: 'Tags.member.1.Colour'");
    }

    #[test]
    fn wrong_numbers_and_booleans_are_errors() {
        let input = query::parse("Port=http&Enabled=maybe&Empty=");
        assert!(input.parse::<u16>("Port").is_err());
        assert!(input.flag("Enabled").is_err());
        assert_eq!(input.parse::<u16>("Empty").unwrap(), None);
    }
}
