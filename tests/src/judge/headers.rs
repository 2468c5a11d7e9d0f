//! What becomes of headers: HTTPHeaderFilter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::api::HeaderModifier;

/// Headers by their names in lower case, as far as they are known; and names of headers that must not be there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    known: BTreeMap<String, Vec<String>>,
    gone: BTreeSet<String>,
}

impl Headers {
    /// The headers of a message, each once.
    pub fn of(headers: &[(String, String)]) -> Self {
        let known = headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), values(value))).collect();
        Self { known, gone: BTreeSet::new() }
    }

    /// Applies a filter: it names a header in one of its lists only.
    pub fn change(&mut self, modifier: &HeaderModifier) {
        for header in &modifier.set {
            let name = self.back(&header.name);
            self.known.insert(name, values(&header.value));
        }
        for header in &modifier.add {
            let name = self.back(&header.name);
            self.known.entry(name).or_default().extend(values(&header.value));
        }
        for name in &modifier.remove {
            let name = name.to_ascii_lowercase();
            self.known.remove(&name);
            self.gone.insert(name);
        }
    }

    /// The name in lower case, which may be there from now on.
    fn back(&mut self, name: &str) -> String {
        let name = name.to_ascii_lowercase();
        self.gone.remove(&name);
        name
    }

    /// Whether a message has what is known, and nothing of what must be gone. Several values may stand on lines of their own or on one.
    pub fn fit(&self, received: &BTreeMap<String, String>) -> bool {
        let has = |(name, wanted): (&String, &Vec<String>)| received.get(name).is_some_and(|found| values(found) == *wanted);
        self.known.iter().all(has) && !self.gone.iter().any(|name| received.contains_key(name))
    }
}

impl fmt::Display for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known.iter().map(|(name, values)| format!("{name}: {}", values.join(", ")));
        let gone = self.gone.iter().map(|name| format!("no {name}"));
        write!(f, "[{}]", known.chain(gone).collect::<Vec<_>>().join("; "))
    }
}

fn values(text: &str) -> Vec<String> {
    text.split(',').map(|value| value.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changed(before: &[(&str, &str)], filters: &[serde_json::Value]) -> Headers {
        let mut headers = Headers::of(&before.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>());
        for filter in filters {
            headers.change(&serde_json::from_value(filter.clone()).unwrap());
        }
        headers
    }

    fn received(headers: &[(&str, &str)]) -> BTreeMap<String, String> {
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn set_add_and_remove_are_told_apart() {
        let filter = json!({"set": [{"name": "X-A", "value": "2"}], "add": [{"name": "x-b", "value": "3"}], "remove": ["X-C"]});
        let headers = changed(&[("x-a", "1"), ("X-B", "1"), ("x-c", "1"), ("x-d", "1")], &[filter]);
        assert!(headers.fit(&received(&[("x-a", "2"), ("x-b", "1, 3"), ("x-d", "1"), ("other", "")])));
        for wrong in [
            received(&[("x-a", "1, 2"), ("x-b", "1, 3"), ("x-d", "1")]),
            received(&[("x-a", "2"), ("x-b", "3"), ("x-d", "1")]),
            received(&[("x-a", "2"), ("x-b", "1,3"), ("x-c", "1"), ("x-d", "1")]),
            received(&[("x-a", "2"), ("x-b", "1,3")]),
        ] {
            assert!(!headers.fit(&wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_later_filter_brings_back_what_an_earlier_one_removed() {
        let headers = changed(&[("x-a", "1")], &[json!({"remove": ["x-a"]}), json!({"add": [{"name": "x-a", "value": "2"}]})]);
        assert!(headers.fit(&received(&[("x-a", "2")])) && !headers.fit(&received(&[("x-a", "1, 2")])));
    }
}
