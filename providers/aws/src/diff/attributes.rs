//! Attributes and tags of load balancers and target groups, whose mark must never vouch for attributes that are not there.

use super::changes::Changes;
use super::{describe, missing};
use crate::attributes;
use crate::operation::Operation;
use portico_providers::{Action, ChangeId, ResourceId, Source, TagSet};
use std::collections::BTreeMap;

/// A load balancer or target group, as wanted and as it is.
pub(super) struct Resource<'a> {
    pub id: &'a ResourceId,
    pub sources: &'a [Source],
    pub attributes: [&'a BTreeMap<String, String>; 2],
    pub tags: [&'a TagSet; 2],
    /// Changes that must be done before its tags are those that are wanted.
    pub tags_after: Vec<ChangeId>,
    /// Whether it is used, so that its mark counts.
    pub in_use: bool,
}

impl Resource<'_> {
    /// Takes the mark back, sets attributes, and then tags: as far as there is something to do.
    pub fn ensure(&self, set: impl Fn(BTreeMap<String, String>) -> Operation, tag: impl Fn(TagSet) -> Operation, changes: &mut Changes) {
        let [wanted, there] = self.attributes;
        let differing = missing(wanted, there);
        let mut tagged = self.tags[1].clone();
        let mut push = |pairs: BTreeMap<String, String>, there: &BTreeMap<String, String>, make: &dyn Fn(_) -> Operation, after| {
            if pairs.is_empty() {
                return None;
            }
            let reason = describe(&pairs, there);
            changes.push(Action::Update, self.id, &[self.id], make(pairs), reason, self.sources);
            changes.after(after);
            changes.last()
        };
        let mut before = None;
        if !differing.is_empty() {
            let taken_back = attributes::taken_back(wanted, &tagged, self.in_use).unwrap_or_default();
            before = push(taken_back.clone(), &tagged, &tag, None);
            tagged.extend(taken_back);
        }
        let before = push(differing, there, &set, before);
        if push(missing(self.tags[0], &tagged), &tagged, &tag, before).is_some() {
            changes.after(self.tags_after.iter().copied());
        }
    }
}
