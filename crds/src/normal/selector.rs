//! Label selectors.

use std::collections::BTreeMap;

use gateway_api as api;
use serde::{Deserialize, Serialize};

use crate::kubernetes;

/// A label selector. An empty one matches everything, as in Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Selector {
    /// Labels that must be present with exactly these values.
    pub labels: BTreeMap<String, String>,
    /// Further requirements; all must hold.
    pub requirements: Vec<Requirement>,
}

/// One entry of `matchExpressions`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`; anything else matches nothing.
    pub operator: String,
    /// Values for `In` and `NotIn`.
    pub values: Vec<String>,
}

impl Selector {
    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value)) && self.requirements.iter().all(|it| it.matches(labels))
    }

    /// The first requirement that Kubernetes would refuse (an unknown operator, or values that the operator cannot have), in words.
    pub fn problem(&self) -> Option<String> {
        self.requirements.iter().find_map(|Requirement { key, operator, values }| match (operator.as_str(), values.is_empty()) {
            ("In" | "NotIn", false) | ("Exists" | "DoesNotExist", true) => None,
            ("In" | "NotIn", true) => {
                Some(format!("operator {operator} on label {key} needs values; name some, or use Exists or DoesNotExist"))
            }
            ("Exists" | "DoesNotExist", false) => {
                Some(format!("operator {operator} on label {key} takes no values; remove them, or use In or NotIn"))
            }
            _ => Some(format!("operator {operator:?} on label {key} is unknown; use In, NotIn, Exists or DoesNotExist")),
        })
    }
}

impl Requirement {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator.as_str() {
            "In" => value.is_some_and(|value| self.values.contains(value)),
            "NotIn" => value.is_none_or(|value| !self.values.contains(value)),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    }
}

macro_rules! selector {
    ($($from:ty),+ $(,)?) => {$(
        impl From<&$from> for Selector {
            fn from(from: &$from) -> Self {
                Self {
                    labels: from.match_labels.clone().unwrap_or_default(),
                    requirements: from
                        .match_expressions
                        .iter()
                        .flatten()
                        .map(|it| Requirement { key: it.key.clone(), operator: it.operator.clone(), values: it.values.clone().unwrap_or_default() })
                        .collect(),
                }
            }
        }
    )+};
}

selector!(
    kubernetes::LabelSelector,
    api::gateways::GatewayAllowedListenersNamespacesSelector,
    api::gateways::GatewayListenersAllowedRoutesNamespacesSelector,
    api::listenersets::ListenerSetListenersAllowedRoutesNamespacesSelector,
);

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn requirement(operator: &str, values: &[&str]) -> Selector {
        Selector {
            labels: BTreeMap::new(),
            requirements: vec![Requirement {
                key: "team".into(),
                operator: operator.into(),
                values: values.iter().map(|&value| value.into()).collect(),
            }],
        }
    }

    #[test]
    fn an_empty_selector_matches_everything() {
        assert!(Selector::default().matches(&labels(&[])));
        assert!(Selector::default().matches(&labels(&[("a", "b")])));
    }

    #[test]
    fn labels_and_requirements_must_all_hold() {
        let blue = labels(&[("team", "blue"), ("env", "test")]);
        let none = labels(&[("env", "test")]);
        assert!(Selector { labels: labels(&[("env", "test")]), requirements: vec![] }.matches(&blue));
        assert!(!Selector { labels: labels(&[("env", "live")]), requirements: vec![] }.matches(&blue));
        for (selector, with, without) in [
            (requirement("In", &["blue", "red"]), true, false),
            (requirement("In", &["red"]), false, false),
            (requirement("NotIn", &["blue"]), false, true),
            (requirement("NotIn", &["red"]), true, true),
            (requirement("Exists", &[]), true, false),
            (requirement("DoesNotExist", &[]), false, true),
            (requirement("Gt", &["1"]), false, false),
        ] {
            assert_eq!((selector.matches(&blue), selector.matches(&none)), (with, without), "{selector:?}");
        }
    }

    #[test]
    fn problems_are_named() {
        assert_eq!(requirement("In", &["a"]).problem(), None);
        assert!(requirement("In", &[]).problem().is_some());
        assert!(requirement("Exists", &["a"]).problem().is_some());
        assert!(requirement("Gt", &["1"]).problem().is_some());
    }
}
