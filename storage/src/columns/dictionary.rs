//! Dictionaries of columns: every value once, in the order in which they came, and a key for each.
//!
//! Most cells are what the cell before was: files are sorted, a shop sells at one rate. So that one is looked at first. Small
//! numbers, codes and rates, have a place of their own.

use hashbrown::HashTable;

/// The numbers that have a place of their own.
const SMALL: usize = 256;

/// Numbers.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    values: Vec<i64>,
    last: Option<(i64, u32)>,
    /// Keys plus one of the numbers below [`SMALL`]; 0 is none. Empty before the first of them.
    small: Vec<u32>,
    table: HashTable<u32>,
}

impl Numbers {
    /// The key of a number.
    pub(crate) fn key(&mut self, number: i64) -> u32 {
        if let Some((last, key)) = self.last
            && last == number
        {
            return key;
        }
        let key = match usize::try_from(number).ok().filter(|number| *number < SMALL) {
            Some(at) => self.small_key(number, at),
            None => self.table_key(number),
        };
        self.last = Some((number, key));
        key
    }

    fn small_key(&mut self, number: i64, at: usize) -> u32 {
        if self.small.is_empty() {
            self.small.resize(SMALL, 0);
        }
        match self.small.get(at).and_then(|key| key.checked_sub(1)) {
            Some(key) => key,
            None => {
                let key = add(&mut self.values, number);
                if let Some(place) = self.small.get_mut(at) {
                    *place = key.saturating_add(1);
                }
                key
            }
        }
    }

    fn table_key(&mut self, number: i64) -> u32 {
        let Self { values, table, .. } = self;
        let known = |key: &u32| at(values, *key) == Some(&number);
        if let Some(key) = table.find(scattered(number), known) {
            return *key;
        }
        let key = add(values, number);
        table.insert_unique(scattered(number), key, |key| {
            scattered(at(values, *key).copied().unwrap_or_default())
        });
        key
    }

    /// The numbers, by their keys.
    pub(crate) fn values(&self) -> &[i64] {
        &self.values
    }
}

/// Texts, as the page of the dictionary has them: the length of each before it.
#[derive(Debug)]
pub(crate) struct Texts {
    page: Vec<u8>,
    count: u32,
    last: Place,
    hasher: ahash::RandomState,
    /// Twice as many places as there are texts, or more: a text is sought from the one that its hash says on. All that is
    /// asked of a text on its way in lies in its place.
    places: Vec<Place>,
}

/// Where a text lies.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    hash: u32,
    start: u32,
    len: u32,
    /// Its key plus one; 0 is a place without a text.
    key: u32,
    /// The page of data that it was last seen in, plus one.
    page: u32,
}

impl Default for Texts {
    fn default() -> Self {
        let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
        Self { page: Vec::new(), count: 0, last: Place::default(), hasher, places: Vec::new() }
    }
}

impl Texts {
    /// The key of a text, and whether it is new to the page of data with this number.
    pub(crate) fn key(&mut self, text: &str, page: u32) -> (u32, bool) {
        let page = page.saturating_add(1);
        if self.last.page != page || !self.is_at(self.last, text) {
            let seen = self.seek(text, page);
            if seen.page == page {
                self.last = seen;
            } else {
                self.last = Place { page, ..seen };
                return (seen.key.saturating_sub(1), true);
            }
        }
        (self.last.key.saturating_sub(1), false)
    }

    fn is_at(&self, place: Place, text: &str) -> bool {
        let start = index(place.start);
        self.page.get(start..start.saturating_add(index(place.len))) == Some(text.as_bytes())
    }

    /// The place of a text as it was before this page saw it; one is made for a new one.
    fn seek(&mut self, text: &str, page: u32) -> Place {
        if self.places.len() <= index(self.count).saturating_mul(2) {
            self.grow();
        }
        let [a, b, c, d, ..] = self.hasher.hash_one(text.as_bytes()).to_le_bytes();
        let hash = u32::from_le_bytes([a, b, c, d]);
        let Some(mask) = self.places.len().checked_sub(1) else { return Place::default() };
        let mut at = index(hash) & mask;
        loop {
            let Some(&place) = self.places.get(at) else { return Place::default() };
            let fresh = place.key == 0;
            if fresh || (place.hash == hash && self.is_at(place, text)) {
                let seen = if fresh { self.add(text, hash) } else { place };
                if let Some(place) = self.places.get_mut(at) {
                    *place = Place { page, ..seen };
                }
                return seen;
            }
            at = at.wrapping_add(1) & mask;
        }
    }

    fn add(&mut self, text: &str, hash: u32) -> Place {
        let len = len_of(text);
        self.page.extend_from_slice(&len);
        // A dictionary is full long before its places are.
        let start = u32::try_from(self.page.len()).unwrap_or(u32::MAX);
        self.page.extend_from_slice(text.as_bytes());
        self.count = self.count.saturating_add(1);
        Place { hash, start, len: u32::from_le_bytes(len), key: self.count, page: 0 }
    }

    fn grow(&mut self) {
        let len = self.places.len().saturating_mul(2).max(64);
        let old = std::mem::replace(&mut self.places, vec![Place::default(); len]);
        let mask = len.saturating_sub(1);
        for place in old.into_iter().filter(|place| place.key > 0) {
            let mut at = index(place.hash) & mask;
            while self.places.get(at).is_some_and(|it| it.key > 0) {
                at = at.wrapping_add(1) & mask;
            }
            if let Some(free) = self.places.get_mut(at) {
                *free = place;
            }
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        index(self.count)
    }

    /// All of them, as a page has them.
    pub(crate) fn page(&self) -> &[u8] {
        &self.page
    }
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The length of a text before it.
pub(crate) fn len_of(text: &str) -> [u8; 4] {
    u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes()
}

fn at<T>(values: &[T], key: u32) -> Option<&T> {
    usize::try_from(key).ok().and_then(|key| values.get(key))
}

/// Puts a value in; a dictionary is full long before its keys are.
fn add<T>(values: &mut Vec<T>, value: T) -> u32 {
    let key = u32::try_from(values.len()).unwrap_or(u32::MAX);
    values.push(value);
    key
}

/// A number whose bits, the upper and the lower ones, say where it lies in a table.
fn scattered(number: i64) -> u64 {
    let spread = number.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15);
    spread ^ (spread >> 32)
}
