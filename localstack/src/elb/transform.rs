//! Transforms of rules: rewrites of the host header and of the URL.

use serde::{Deserialize, Serialize};

use super::{condition, validation};
use crate::error::{Answer, ApiError};
use crate::wire::{Input, Record};

/// What a transform rewrites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransformKind {
    /// `host-header-rewrite`.
    HostHeader,
    /// `url-rewrite`: the path and query.
    Url,
}

impl TransformKind {
    fn name(self) -> &'static str {
        match self {
            Self::HostHeader => "host-header-rewrite",
            Self::Url => "url-rewrite",
        }
    }

    fn config(self) -> &'static str {
        match self {
            Self::HostHeader => "HostHeaderRewriteConfig",
            Self::Url => "UrlRewriteConfig",
        }
    }
}

/// A transform with its only rewrite (AWS allows lists, but refuses more than one).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transform {
    /// What it rewrites.
    pub kind: TransformKind,
    /// What to look for.
    pub regex: String,
    /// What to put there.
    pub replace: String,
}

impl Transform {
    /// As describing calls show it.
    pub fn record(&self) -> Record {
        let rewrite = Record::new().with("Regex", &self.regex).with("Replace", &self.replace);
        Record::new().with("Type", self.kind.name()).with(self.kind.config(), Record::new().list("Rewrites", [rewrite]))
    }
}

/// Reads and checks `Transforms`; `None` if absent or empty.
pub fn read(input: &Input) -> Answer<Option<Vec<Transform>>> {
    let items = input.items("Transforms");
    if items.is_empty() {
        return Ok(None);
    }
    let mut transforms: Vec<Transform> = Vec::new();
    for item in items {
        let name = item.required("Type")?;
        validation::one_of(name, "transforms.1.member.type", &["host-header-rewrite", "url-rewrite"])?;
        let (kind, other) = if name == TransformKind::Url.name() {
            (TransformKind::Url, TransformKind::HostHeader)
        } else {
            (TransformKind::HostHeader, TransformKind::Url)
        };
        if item.child(other.config()).is_some() {
            return Err(ApiError::validation(format!("You cannot specify '{}' for transforms of type '{name}'", other.config())));
        }
        let config = item.child(kind.config()).ok_or_else(|| {
            ApiError::validation(format!("For transforms of type '{name}', you must specify the following fields: '{}'", kind.config()))
        })?;
        let rewrites = config.items("Rewrites");
        let [rewrite] = rewrites.as_slice() else {
            return Err(ApiError::validation(format!("A transform of type '{name}' must have exactly '1' rewrite")));
        };
        let (regex, replace) = (rewrite.required("Regex")?.to_string(), rewrite.text("Replace").unwrap_or_default().to_string());
        for (field, text) in [("Regex", &regex), ("Replace", &replace)] {
            if text.chars().count() > 1024 {
                return Err(ApiError::validation(format!("The '{field}' value is too long; the limit is '1024'")));
            }
        }
        condition::regex(&regex)?;
        if transforms.iter().any(|earlier| earlier.kind == kind) {
            return Err(ApiError::validation(format!("A rule can only have one transform of type '{name}'")));
        }
        transforms.push(Transform { kind, regex, replace });
    }
    Ok(Some(transforms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::query;

    #[test]
    fn transforms_are_checked_as_on_aws() {
        let url =
            "T.1.Type=url-rewrite&T.1.UrlRewriteConfig.Rewrites.member.1.Regex=%5E/a&T.1.UrlRewriteConfig.Rewrites.member.1.Replace=/b";
        let rows = [
            (url.to_string(), true),
            (format!("{url}&T.1.UrlRewriteConfig.Rewrites.member.2.Regex=x&T.1.UrlRewriteConfig.Rewrites.member.2.Replace=y"), false),
            (format!("{url}&{}", url.replace("T.1.", "T.2.")), false),
            ("T.1.Type=url-rewrite".into(), false),
            ("T.1.Type=query-rewrite".into(), false),
            (url.replace("%5E/a", "(%3F!x)"), false),
            (url.replace("%5E/a", &"a".repeat(1025)), false),
            (url.replace("UrlRewriteConfig", "HostHeaderRewriteConfig"), false),
        ];
        for (text, fine) in rows {
            assert_eq!(read(&query::parse(&text.replace("T.", "Transforms.member."))).is_ok(), fine, "{text}");
        }
    }
}
