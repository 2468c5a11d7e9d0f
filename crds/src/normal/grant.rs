//! Permissions to refer across namespaces.

use crate::gateway;

/// A ReferenceGrant: objects of one of `from` may refer to one of `to` in the grant's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// Namespace of the grant and of what it opens.
    pub namespace: String,
    /// Who may refer.
    pub from: Vec<GrantFrom>,
    /// To what.
    pub to: Vec<GrantTo>,
}

/// Who may refer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantFrom {
    /// Group of the referring object.
    pub group: String,
    /// Kind of the referring object.
    pub kind: String,
    /// Namespace of the referring object.
    pub namespace: String,
}

/// To what may be referred.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantTo {
    /// Group; empty is the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Name; absent is every object of the kind in the grant's namespace.
    pub name: Option<String>,
}

impl Grant {
    /// Whether the grant lets an object of `from` refer to the object of this group, kind, namespace and name.
    pub fn permits(&self, from: &GrantFrom, group: &str, kind: &str, namespace: &str, name: &str) -> bool {
        self.namespace == namespace
            && self.from.contains(from)
            && self.to.iter().any(|to| to.group == group && to.kind == kind && to.name.as_deref().is_none_or(|only| only == name))
    }
}

impl From<&gateway::ReferenceGrant> for Grant {
    fn from(grant: &gateway::ReferenceGrant) -> Self {
        Self {
            namespace: grant.metadata.namespace.clone().unwrap_or_default(),
            from: grant
                .spec
                .from
                .iter()
                .map(|it| GrantFrom { group: it.group.clone(), kind: it.kind.clone(), namespace: it.namespace.clone() })
                .collect(),
            to: grant
                .spec
                .to
                .iter()
                .map(|it| GrantTo { group: it.group.clone(), kind: it.kind.clone(), name: super::given(it.name.as_ref()) })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lists_must_match() {
        let from = GrantFrom { group: crate::GATEWAY_GROUP.into(), kind: "HTTPRoute".into(), namespace: "apps".into() };
        let to = |name: Option<&str>| GrantTo { group: String::new(), kind: "Service".into(), name: name.map(str::to_owned) };
        let grant = Grant { namespace: "data".into(), from: vec![from.clone()], to: vec![to(Some("db")), to(Some("cache"))] };
        assert!(grant.permits(&from, "", "Service", "data", "db"));
        assert!(!grant.permits(&from, "", "Service", "data", "other"));
        assert!(!grant.permits(&from, "", "Service", "elsewhere", "db"));
        assert!(!grant.permits(&from, "", "Secret", "data", "db"));
        assert!(!grant.permits(&GrantFrom { namespace: "others".into(), ..from.clone() }, "", "Service", "data", "db"));
        assert!(!grant.permits(&GrantFrom { kind: "TCPRoute".into(), ..from.clone() }, "", "Service", "data", "db"));
        assert!(Grant { to: vec![to(None)], ..grant }.permits(&from, "", "Service", "data", "anything"));
    }
}
