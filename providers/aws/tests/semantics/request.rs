//! A request, and what becomes of it.

use regex::{Regex, RegexBuilder};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

/// A request to port 80.
#[derive(Clone, Debug)]
pub struct Request {
    /// The Host header.
    pub host: String,
    /// The path, without the query.
    pub path: String,
    /// The query, without `?`.
    pub query: String,
    /// The method.
    pub method: String,
    /// Other headers, names in lower case.
    pub headers: Vec<(String, String)>,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A response without a backend.
    Status(u16),
    /// A redirect: status, scheme, host, port, path, query.
    Redirect(u16, String, String, u16, String, String),
    /// Sent on: shares by backend (`invalid` for those that lead nowhere), Host header, path with query.
    Forward {
        /// Shares, their sum 1.
        shares: BTreeMap<String, f64>,
        /// Host header.
        host: String,
        /// Path and query.
        url: String,
    },
}

impl Answer {
    /// Whether two answers are the same, but for what weights of 0–999 cannot express.
    pub fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Forward { shares: a, host: h1, url: u1 }, Self::Forward { shares: b, host: h2, url: u2 }) => {
                let near = |x: f64, y: f64| (x - y).abs() < 0.005 && (x > 0.0) == (y > 0.0);
                h1 == h2 && u1 == u2 && a.len() == b.len() && a.iter().all(|(name, x)| b.get(name).is_some_and(|y| near(*x, *y)))
            }
            (a, b) => a == b,
        }
    }
}

/// Shares whose sum is 1, without those that get nothing.
pub fn shares(weights: impl IntoIterator<Item = (String, u64)>) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for (name, weight) in weights {
        *sums.entry(name).or_default() += weight;
    }
    sums.retain(|_, weight| *weight > 0);
    let total: u64 = sums.values().sum();
    sums.into_iter().map(|(name, weight)| (name, weight as f64 / total as f64)).collect()
}

thread_local! {
    static KNOWN: RefCell<HashMap<(String, bool), Regex>> = RefCell::default();
}

/// Whether an expression is found in a text. Expressions are built once: there are few, and many requests.
pub fn found(expression: &str, caseless: bool, text: &str) -> bool {
    let build = || RegexBuilder::new(expression).case_insensitive(caseless).build().unwrap();
    KNOWN.with_borrow_mut(|known| known.entry((expression.to_owned(), caseless)).or_insert_with(build).is_match(text))
}
