//! Names of objects.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Kind;

/// Namespace and name of an object. Displayed and serialised as `namespace/name`; a cluster-scoped object has an empty namespace and is
/// written as its name alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamespacedName {
    /// Namespace; empty for a cluster-scoped object.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl NamespacedName {
    /// A name in a namespace.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The name of an object, from its metadata; absent parts become empty.
    pub fn of(metadata: &crate::kubernetes::ObjectMeta) -> Self {
        Self::new(metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// A text that is not `namespace/name` or `name`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form namespace/name")]
pub struct NotAName(String);

impl FromStr for NamespacedName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let (namespace, name) = text.split_once('/').unwrap_or(("", text));
        if name.is_empty() || name.contains('/') || (namespace.is_empty() && text.contains('/')) {
            return Err(NotAName(text.to_owned()));
        }
        Ok(Self::new(namespace, name))
    }
}

impl Serialize for NamespacedName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NamespacedName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A reference to an object of any kind, known to Portico or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// API group; empty for the core group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Kind, as in `kind:`.
    pub kind: String,
    /// Namespace, where the reference names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl ObjectRef {
    /// A reference to an object of a kind that Portico knows.
    pub fn new(kind: Kind, name: &NamespacedName) -> Self {
        Self {
            group: kind.group().to_owned(),
            kind: kind.name().to_owned(),
            namespace: (!name.namespace.is_empty()).then(|| name.namespace.clone()),
            name: name.name.clone(),
        }
    }

    /// The kind, if Portico knows it.
    pub fn known_kind(&self) -> Option<Kind> {
        Kind::of(&self.group, &self.kind)
    }

    /// Namespace and name; `default_namespace` (that of the referring object) stands in where the reference names none.
    pub fn resolve(&self, default_namespace: &str) -> NamespacedName {
        NamespacedName::new(self.namespace.as_deref().unwrap_or(default_namespace), self.name.as_str())
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_and_read_alike() {
        for text in ["apps/web", "cluster-wide"] {
            let name: NamespacedName = text.parse().unwrap();
            assert_eq!(name.to_string(), text);
            assert_eq!(serde_json::to_string(&name).unwrap(), format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<NamespacedName>(&format!("\"{text}\"")).unwrap(), name);
        }
        for text in ["", "/", "a/", "/b", "a/b/c"] {
            assert!(text.parse::<NamespacedName>().is_err(), "{text:?}");
        }
    }
}
