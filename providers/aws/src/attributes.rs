//! The mark that vouches for attributes: it spares whoever starts a call for each load balancer and target group.
//!
//! A listing shows tags, and attributes only one resource after the other. The mark is a hash of the attributes that are wanted. It is true because
//! * a new resource carries it from the call that makes it and counts for nothing before it is in use, which follows once its attributes are set;
//! * where attributes change, it is taken back first, and given again when that is done: whoever is stopped in between leaves a resource that must be read.

use portico_providers::{TagSet, mark, stable_hash};
use std::collections::BTreeMap;

/// Stands in the place of the hash while attributes change.
const CHANGING: &str = "changing";

/// The mark of a resource that has these attributes, among others that are not ours.
pub fn mark(attributes: &BTreeMap<String, String>) -> TagSet {
    let parts: Vec<_> = attributes.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]).collect();
    TagSet::from([(mark::ATTRIBUTES.to_owned(), stable_hash(&parts, 26))])
}

/// Whether the tags of a resource say that it has these attributes. `in_use`: a load balancer has listeners, a target group has a load balancer.
pub fn are_vouched_for(attributes: &BTreeMap<String, String>, tags: &TagSet, in_use: bool) -> bool {
    in_use && mark(attributes).iter().all(|(key, value)| tags.get(key) == Some(value))
}

/// What to tag a resource with before its attributes change to these; nothing if its tags vouch for nothing, or for nothing else yet.
pub(crate) fn taken_back(attributes: &BTreeMap<String, String>, tags: &TagSet, in_use: bool) -> Option<TagSet> {
    let vouched = tags.get(mark::ATTRIBUTES).filter(|value| *value != CHANGING)?;
    let early = !in_use && mark(attributes).values().any(|value| value == vouched);
    (!early).then(|| TagSet::from([(mark::ATTRIBUTES.to_owned(), CHANGING.to_owned())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(seconds: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("idle_timeout.timeout_seconds".to_owned(), seconds.to_owned())])
    }

    #[test]
    fn a_mark_vouches_for_what_is_in_use_and_for_nothing_else() {
        let (wanted, tags) = (attributes("60"), mark(&attributes("60")));
        assert!(are_vouched_for(&wanted, &tags, true));
        assert!(!are_vouched_for(&wanted, &tags, false));
        assert!(!are_vouched_for(&attributes("61"), &tags, true));
        assert!(!are_vouched_for(&wanted, &TagSet::new(), true));
    }

    #[test]
    fn a_promise_is_taken_back_before_attributes_change() {
        let (wanted, tags) = (attributes("60"), mark(&attributes("60")));
        let changing = taken_back(&attributes("61"), &tags, true).unwrap();
        assert!(!are_vouched_for(&wanted, &changing, true) && !are_vouched_for(&attributes("61"), &changing, true));
        assert_eq!(taken_back(&attributes("61"), &changing, true), None, "once is enough");
        assert_eq!(taken_back(&wanted, &TagSet::new(), true), None, "nothing was promised");
        assert_eq!(taken_back(&wanted, &tags, false), None, "what is not in use yet gets what its mark says");
        assert!(taken_back(&attributes("61"), &tags, false).is_some());
        assert!(taken_back(&wanted, &tags, true).is_some(), "somebody else changed them");
    }
}
