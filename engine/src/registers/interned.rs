//! Values that many registers share, each kept once, under a number, for as long as somebody has it. Pure.
//!
//! Bound: so many as the owner says, of those that somebody has; what is more has no number. So whether there is room follows from
//! what stands, and not from all that has ever stood, which a checkpoint does not know.

use core::hash::Hash;

use ahash::RandomState;
use hashbrown::HashTable;

use super::slab::Slab;

/// The values.
#[derive(Clone, Debug)]
pub(super) struct Interned<T> {
    entries: Slab<Entry<T>>,
    table: HashTable<u32>,
    /// Numbers that nobody has.
    free: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    value: T,
    /// Who has it.
    held: u32,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self { entries: Slab::default(), table: HashTable::new(), free: Vec::new() }
    }
}

impl<T: Hash + Eq> Interned<T> {
    pub(super) fn find<Q: Hash + Eq + ?Sized>(&self, value: &Q, hasher: &RandomState) -> Option<u32>
    where
        T: core::borrow::Borrow<Q>,
    {
        let same = |at: &u32| self.entries.get(*at).is_some_and(|it| it.value.borrow() == value);
        self.table.find(hasher.hash_one(value), same).copied()
    }

    /// Its number, for one more who has it; `None` when there are `most` others.
    pub(super) fn put(&mut self, value: T, most: usize, hasher: &RandomState) -> Option<u32> {
        if let Some(at) = self.find(&value, hasher) {
            let entry = self.entries.get_mut(at)?;
            entry.held = entry.held.saturating_add(1);
            return Some(at);
        }
        if self.len() >= most {
            return None;
        }
        let hash = hasher.hash_one(&value);
        let entry = Entry { value, held: 1 };
        let at = match self.free.pop() {
            Some(at) => {
                *self.entries.get_mut(at)? = entry;
                at
            }
            None => self.entries.push(entry)?,
        };
        let entries = &self.entries;
        self.table.insert_unique(hash, at, |it| entries.get(*it).map_or(0, |it| hasher.hash_one(&it.value)));
        Some(at)
    }

    /// One less has it.
    pub(super) fn leave(&mut self, at: u32, hasher: &RandomState) {
        let Some(entry) = self.entries.get_mut(at).filter(|it| it.held > 0) else { return };
        entry.held = entry.held.saturating_sub(1);
        if entry.held == 0 {
            let hash = hasher.hash_one(&entry.value);
            if let Ok(found) = self.table.find_entry(hash, |it| *it == at) {
                found.remove();
            }
            self.free.push(at);
        }
    }

    pub(super) fn get(&self, at: u32) -> Option<&T> {
        self.entries.get(at).map(|it| &it.value)
    }

    /// How many somebody has.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}
