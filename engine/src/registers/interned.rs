//! Values that many registers share, each kept once, under the number of its appearance. Pure.
//!
//! Bound: so many as the owner says; what is more has no number.

use core::hash::Hash;

use ahash::RandomState;
use hashbrown::HashTable;

use super::slab::Slab;

/// The values.
#[derive(Clone, Debug)]
pub(super) struct Interned<T> {
    entries: Slab<T>,
    table: HashTable<u32>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self { entries: Slab::default(), table: HashTable::new() }
    }
}

impl<T: Hash + Eq> Interned<T> {
    pub(super) fn find<Q: Hash + Eq + ?Sized>(&self, value: &Q, hasher: &RandomState) -> Option<u32>
    where
        T: core::borrow::Borrow<Q>,
    {
        let same = |at: &u32| self.entries.get(*at).is_some_and(|it| it.borrow() == value);
        self.table.find(hasher.hash_one(value), same).copied()
    }

    /// Its number; `None` when there are `most` others.
    pub(super) fn put(&mut self, value: T, most: usize, hasher: &RandomState) -> Option<u32> {
        if let Some(at) = self.find(&value, hasher) {
            return Some(at);
        }
        if self.entries.len() >= most {
            return None;
        }
        let hash = hasher.hash_one(&value);
        let at = self.entries.push(value)?;
        let entries = &self.entries;
        self.table.insert_unique(hash, at, |it| entries.get(*it).map_or(0, |it| hasher.hash_one(it)));
        Some(at)
    }

    pub(super) fn get(&self, at: u32) -> Option<&T> {
        self.entries.get(at)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}
