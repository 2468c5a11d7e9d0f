//! A map of many entries of which copies are cheap, also those that differ in a few entries.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
    sync::Arc,
};

/// More shards make a change cheaper and a copy dearer.
const SHARDS: usize = 64;

/// A map in shards, which copies share until one of them changes an entry.
#[derive(Clone, Debug)]
pub(super) struct Shards<K, V>(Vec<Arc<HashMap<K, V>>>);

impl<K, V> Default for Shards<K, V> {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Arc::default()).collect())
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Shards<K, V> {
    fn place(key: &K) -> usize {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        usize::try_from(hash % SHARDS as u64).unwrap_or_default()
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.0.get(Self::place(key))?.get(key)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        if let Some(shard) = self.0.get_mut(Self::place(&key)) {
            Arc::make_mut(shard).insert(key, value);
        }
    }

    pub(super) fn remove(&mut self, key: &K) {
        if let Some(shard) = self.0.get_mut(Self::place(key)).filter(|shard| shard.contains_key(key)) {
            Arc::make_mut(shard).remove(key);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().flat_map(|shard| shard.iter())
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_do_not_see_one_anothers_changes() {
        let mut first = Shards::default();
        for number in 0..1000 {
            first.insert(number, number);
        }
        let mut second = first.clone();
        second.remove(&7);
        second.insert(8, 0);
        second.remove(&5000);
        assert_eq!((first.get(&7), first.get(&8), first.iter().count()), (Some(&7), Some(&8), 1000));
        assert_eq!((second.get(&7), second.get(&8), second.values().count()), (None, Some(&0), 999));
    }
}
