//! A relation that can be read both ways.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

/// Which sources refer to which targets. Targets need not exist: what refers to something missing must hear of its coming.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relation<S, T> {
    forward: BTreeMap<S, BTreeSet<T>>,
    backward: BTreeMap<T, BTreeSet<S>>,
}

impl<S, T> Default for Relation<S, T> {
    fn default() -> Self {
        Self { forward: BTreeMap::new(), backward: BTreeMap::new() }
    }
}

impl<S: Ord + Clone, T: Ord + Clone> Relation<S, T> {
    /// Replaces all targets of a source.
    pub fn set(&mut self, source: &S, targets: BTreeSet<T>) {
        for old in self.forward.remove(source).unwrap_or_default() {
            if let Some(sources) = self.backward.get_mut(&old) {
                sources.remove(source);
                if sources.is_empty() {
                    self.backward.remove(&old);
                }
            }
        }
        for target in &targets {
            self.backward.entry(target.clone()).or_default().insert(source.clone());
        }
        if !targets.is_empty() {
            self.forward.insert(source.clone(), targets);
        }
    }

    /// What a source refers to.
    pub fn targets<'a>(&'a self, source: &S) -> impl Iterator<Item = &'a T> + use<'a, S, T> {
        self.forward.get(source).into_iter().flatten()
    }

    /// What refers to a target.
    pub fn sources<'a, Q>(&'a self, target: &Q) -> impl Iterator<Item = &'a S> + use<'a, Q, S, T>
    where
        T: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.backward.get(target).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_agree_after_changes() {
        let mut relation = Relation::default();
        relation.set(&1, BTreeSet::from(["a", "b"]));
        relation.set(&2, BTreeSet::from(["b"]));
        assert_eq!(relation.sources(&"b").collect::<Vec<_>>(), [&1, &2]);
        relation.set(&1, BTreeSet::from(["c"]));
        assert_eq!(relation.sources(&"b").collect::<Vec<_>>(), [&2]);
        assert_eq!(relation.targets(&1).collect::<Vec<_>>(), [&"c"]);
        relation.set(&1, BTreeSet::new());
        relation.set(&2, BTreeSet::new());
        assert_eq!(relation, Relation::default());
    }
}
