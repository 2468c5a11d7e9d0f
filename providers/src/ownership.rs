//! Ownership: marks by which a cloud object is known as ours, and names that never change.

use crate::UnitId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;

/// Identifies the Kubernetes cluster in every mark and name; by default the UID of the namespace `kube-system`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClusterId(pub String);

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names a resource within its unit's stack: `load-balancer`, `listener/80`, `target-group/team-a/web:80`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceId(pub String);

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Tags or labels of a cloud object.
pub type TagSet = BTreeMap<String, String>;

/// How a resource is known to be ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ownership {
    /// By tags on it.
    Tags(TagSet),
    /// By its name.
    Name(String),
    /// By its description.
    Description(String),
    /// By the resource that it is part of.
    Parent(ResourceId),
    /// It was there before and was handed to us, within a scope.
    Adopted {
        /// What of it is ours: `load-balancer`, `listener` or `priorities/1000-1999`.
        scope: String,
    },
}

/// Keys of the marks.
pub mod mark {
    use super::*;

    /// The cluster's id.
    pub const CLUSTER: &str = "portico.dev/cluster";
    /// The unit, as [`UnitId`] displays it.
    pub const UNIT: &str = "portico.dev/unit";
    /// The resource within the unit, as [`ResourceId`] displays it.
    pub const RESOURCE: &str = "portico.dev/resource";
    /// Vouches for a resource's attributes, which listings do not show.
    pub const ATTRIBUTES: &str = "portico.dev/attributes";

    /// SHA-256 of the certificate that was uploaded last; on certificates only.
    pub const CERTIFICATE: &str = "portico.dev/certificate-sha256";

    /// The marks of a resource: cluster, unit and resource.
    pub fn tags(cluster: &ClusterId, unit: &UnitId, resource: &ResourceId) -> TagSet {
        TagSet::from([
            (CLUSTER.to_owned(), value(&cluster.0)),
            (UNIT.to_owned(), value(&unit.to_string())),
            (RESOURCE.to_owned(), value(&resource.0)),
        ])
    }

    /// Stands before the hash of a mark that was too long; no name in Kubernetes contains it.
    const CUT: char = '@';

    /// Whether a mark was too long to be written whole, so that it cannot be read back.
    pub fn is_cut(value: &str) -> bool {
        value.contains(CUT)
    }

    /// A text as the value of a mark: as it is up to 255 characters, beyond that cut with a hash at the end, so that two long names never meet.
    ///
    /// AWS: a tag's value has at most 256 characters, of which ACM admits letters, digits, spaces and `_.:/=+-@`. A Kubernetes namespace and name have up to
    /// 63 and 253, and no `@`.
    pub fn value(text: &str) -> String {
        const LONGEST: usize = 255;
        if text.len() <= LONGEST && !is_cut(text) {
            return text.to_owned();
        }
        let hash = stable_hash(&[text], 16);
        let kept: String = text.chars().take(LONGEST - hash.len() - 1).collect();
        format!("{kept}{CUT}{hash}")
    }
}

/// The first `length` characters (at most 51) of a SHA-256 in base 32 (RFC 4648, lower case) over the parts, each prefixed with its length.
///
/// Version 1 of the naming scheme; tests hold it. To change it is to rename every cloud object of every user.
pub fn stable_hash(parts: &[&str], length: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    let bits: Vec<u8> = digest.finalize().iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    bits.chunks_exact(5)
        .take(length)
        .map(|five| five.iter().fold(0_usize, |value, bit| value << 1 | usize::from(*bit)))
        .filter_map(|value| ALPHABET.get(value).copied().map(char::from))
        .collect()
}

/// A name of at most `longest` characters for people to recognise and machines to rely on: `PREFIX-WORD-WORD-HASH`.
///
/// Words are cleaned to `[a-z0-9-]` and share what room there is, short ones whole; the hash over `identity` alone makes the name unique, so that two
/// names differ whenever their identities do.
pub fn stable_name(prefix: &str, words: &[&str], identity: &[&str], longest: usize) -> String {
    const HASH: usize = 10;
    let hash = stable_hash(identity, HASH);
    let cleaned: Vec<String> = words
        .iter()
        .map(|word| word.to_ascii_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect::<String>())
        .map(|word| word.trim_matches('-').to_owned())
        .filter(|word| !word.is_empty())
        .collect();
    let mut room = longest.saturating_sub(prefix.len() + 1 + HASH + cleaned.len());
    let mut by_length: Vec<(usize, usize)> = cleaned.iter().map(String::len).enumerate().collect();
    by_length.sort_by_key(|(_, length)| *length);
    let mut shares = vec![0; cleaned.len()];
    for (position, (index, length)) in by_length.iter().enumerate() {
        let share = (*length).min(room / (by_length.len() - position));
        room -= share;
        if let Some(slot) = shares.get_mut(*index) {
            *slot = share;
        }
    }
    let mut name = prefix.to_owned();
    for (word, share) in cleaned.iter().zip(shares) {
        let cut: String = word.chars().take(share).collect();
        let cut = cut.trim_end_matches('-');
        if !cut.is_empty() {
            name.push('-');
            name.push_str(cut);
        }
    }
    name.push('-');
    name.push_str(&hash);
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These names exist in users' clouds: a change of any of them is a rename.
    #[test]
    fn names_never_change() {
        assert_eq!(stable_name("portico", &["team-a", "web"], &["cluster", "gateway/team-a/web"], 32), "portico-team-a-web-5zwujvrr3d");
        let long = "a".repeat(253);
        let name = stable_name("portico", &["team-a", &long], &["cluster", &long], 32);
        assert!(name.len() <= 32, "{name}");
        assert_ne!(name, stable_name("portico", &["team-a", &long], &["cluster", &format!("{long}b")], 32));
    }

    #[test]
    fn hashes_tell_where_parts_end() {
        assert_ne!(stable_hash(&["ab", "c"], 12), stable_hash(&["a", "bc"], 12));
    }

    #[test]
    fn long_marks_stay_apart_and_fit() {
        let (a, b) = (format!("gateway/ns/{}a", "x".repeat(300)), format!("gateway/ns/{}b", "x".repeat(300)));
        assert!(mark::value(&a).len() <= 256);
        assert_ne!(mark::value(&a), mark::value(&b));
        assert!(mark::value(&a).chars().all(|c| c.is_ascii_alphanumeric() || "_.:/=+-@".contains(c)), "AWS refuses {}", mark::value(&a));
        assert_eq!(mark::value("gateway/ns/web"), "gateway/ns/web");
    }
}
