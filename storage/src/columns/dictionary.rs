//! Dictionaries of columns: every value once, in the order in which they came, and a key for each.
//!
//! Most cells are what the cell before was: files are sorted, a shop sells at one rate. So that one is looked at first. Small
//! numbers, codes and rates, have a place of their own.

/// The numbers that have a place of their own.
const SMALL: usize = 256;
/// Places of a table that has few values.
const PLACES_MIN: usize = 64;

/// Numbers that are sought together.
const NUMBERS_TOGETHER: usize = 64;

/// Numbers.
///
/// They wait until there are [`NUMBERS_TOGETHER`] of them, and are sought together, as [`Texts`] are.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    waiting: Vec<i64>,
    values: Vec<i64>,
    last: Option<(i64, u32)>,
    /// Keys plus one of the numbers below [`SMALL`]; 0 is none. Empty before the first of them.
    small: Vec<u32>,
    /// The others with their keys plus one; 0 is a place without a number. Twice as many places as there are values, or
    /// more: a number is sought from the one that its bits say on.
    places: Vec<(i64, u32)>,
}

impl Numbers {
    /// Takes a number in; whether enough of them wait.
    #[inline]
    pub(crate) fn push(&mut self, number: i64) -> bool {
        self.waiting.push(number);
        self.waiting.len() >= NUMBERS_TOGETHER
    }

    /// The keys of the numbers that wait, behind `keys`; the least and the largest of them.
    pub(crate) fn settle(&mut self, keys: &mut Vec<u32>) -> Option<(i64, i64)> {
        let mut waiting = std::mem::take(&mut self.waiting);
        let mut bounds = None;
        for together in waiting.chunks(NUMBERS_TOGETHER) {
            let mask = self.places.len().saturating_sub(1);
            let mut seen = [(0_i64, 0_u32); NUMBERS_TOGETHER];
            for (seen, number) in seen.iter_mut().zip(together) {
                // A small one is not there.
                *seen = self.places.get(index(scattered(*number)) & mask).copied().unwrap_or_default();
            }
            keys.extend(together.iter().zip(seen).map(|(number, (there, key))| match key.checked_sub(1) {
                Some(key) if there == *number => key,
                _ => self.key(*number),
            }));
            let (least, most) = bounds.unwrap_or((i64::MAX, i64::MIN));
            bounds = Some(
                together
                    .iter()
                    .fold((least, most), |(least, most), number| (least.min(*number), most.max(*number))),
            );
        }
        waiting.clear();
        self.waiting = waiting;
        bounds
    }

    /// The key of a number.
    fn key(&mut self, number: i64) -> u32 {
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
                let key = self.add(number);
                if let Some(place) = self.small.get_mut(at) {
                    *place = key.saturating_add(1);
                }
                key
            }
        }
    }

    fn table_key(&mut self, number: i64) -> u32 {
        if self.places.len() <= self.values.len().saturating_mul(2) {
            let len = self.places.len().saturating_mul(2).max(PLACES_MIN);
            let old = std::mem::replace(&mut self.places, vec![(0, 0); len]);
            for (number, key) in old.into_iter().filter(|(_, key)| *key > 0) {
                if let Some(place) = place_of(&mut self.places, scattered(number), |(_, key)| *key == 0) {
                    *place = (number, key);
                }
            }
        }
        let found = |(there, key): &(i64, u32)| *key == 0 || *there == number;
        let Some(place) = place_of(&mut self.places, scattered(number), found) else { return 0 };
        if place.1 == 0 {
            *place = (number, count_of(&self.values).saturating_add(1));
            self.values.push(number);
        }
        place.1.saturating_sub(1)
    }

    fn add(&mut self, number: i64) -> u32 {
        let key = count_of(&self.values);
        self.values.push(number);
        key
    }

    /// The numbers, by their keys.
    pub(crate) fn values(&self) -> &[i64] {
        &self.values
    }
}

/// How many there are; a dictionary is full long before its keys are.
fn count_of(values: &[i64]) -> u32 {
    u32::try_from(values.len()).unwrap_or(u32::MAX)
}

/// The first place from this one on that is the right one; of as many places as a power of two.
fn place_of<T>(places: &mut [T], from: u32, right: impl Fn(&T) -> bool) -> Option<&mut T> {
    let mask = places.len().checked_sub(1)?;
    let mut at = index(from) & mask;
    while places.get(at).is_some_and(|place| !right(place)) {
        at = at.wrapping_add(1) & mask;
    }
    places.get_mut(at)
}

/// Bits of a number that say where it lies in a table: both halves of a product of all of them.
fn scattered(number: i64) -> u32 {
    let product = u128::from(number.cast_unsigned()).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let folded = product ^ (product >> 64);
    let [a, b, c, d, ..] = (folded >> 16).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Texts, as the page of the dictionary has them: the length of each before it.
///
/// They wait until there are [`TOGETHER`] of them, and are sought together: where one lies has mostly left the cache, and what
/// does not depend on one another is fetched at once.
#[derive(Debug)]
pub(crate) struct Texts {
    page: Vec<u8>,
    count: u32,
    hasher: ahash::RandomState,
    /// Twice as many places as there are texts, or more: a text is sought from the one that its hash says on. All that is
    /// asked of a text on its way in lies in its place.
    places: Vec<Place>,
    waiting: Waiting,
}

/// Texts that wait for their keys.
#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    lens: Vec<usize>,
    /// Their hashes, and what lies where these lead to.
    hashes: Vec<u32>,
    places: Vec<Place>,
}

/// Texts that are sought together.
const TOGETHER: usize = 64;
/// Bytes of them, about.
const TOGETHER_BYTES: usize = 8 << 10;

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

impl Place {
    #[inline]
    fn holds(self, page: &[u8], text: &[u8]) -> bool {
        let start = index(self.start);
        index(self.len) == text.len() && page.get(start..start.saturating_add(text.len())) == Some(text)
    }
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            page: Vec::new(),
            count: 0,
            hasher: ahash::RandomState::with_seeds(1, 2, 3, 4),
            places: Vec::new(),
            waiting: Waiting::default(),
        }
    }
}

impl Texts {
    /// Takes a text in; whether enough of them wait.
    #[inline]
    pub(crate) fn push(&mut self, text: &str) -> bool {
        let Waiting { bytes, lens, .. } = &mut self.waiting;
        bytes.extend_from_slice(text.as_bytes());
        lens.push(text.len());
        lens.len() >= TOGETHER || bytes.len() >= TOGETHER_BYTES
    }

    /// The keys of the texts that wait, behind `keys`. Calls `fresh` with each that is new to the page of data with this number.
    pub(crate) fn settle(&mut self, page: u32, keys: &mut Vec<u32>, mut fresh: impl FnMut(&[u8])) {
        let page = page.saturating_add(1);
        let mut waiting = std::mem::take(&mut self.waiting);
        if self.places.is_empty() && !waiting.lens.is_empty() {
            self.grow();
        }
        let mask = self.places.len().saturating_sub(1);
        let mut before: &[u8] = &[];
        for text in texts(&waiting.bytes, &waiting.lens) {
            let hash = match waiting.hashes.last() {
                Some(hash) if text == before => *hash,
                _ => {
                    let [a, b, c, d, ..] = self.hasher.hash_one(text).to_le_bytes();
                    u32::from_le_bytes([a, b, c, d])
                }
            };
            waiting.hashes.push(hash);
            before = text;
        }
        let place = |hash: &u32| self.places.get(index(*hash) & mask).copied().unwrap_or_default();
        waiting.places.extend(waiting.hashes.iter().map(place));
        let found = waiting.hashes.iter().zip(&waiting.places);
        for (text, (hash, place)) in texts(&waiting.bytes, &waiting.lens).zip(found) {
            // What was seen there may be older than the text before this one.
            let known = place.hash == *hash && place.page == page && place.holds(&self.page, text);
            let seen = if known { *place } else { self.seek(text, *hash, page) };
            if seen.page != page {
                fresh(text);
            }
            keys.push(seen.key.saturating_sub(1));
        }
        waiting.bytes.clear();
        waiting.lens.clear();
        waiting.hashes.clear();
        waiting.places.clear();
        self.waiting = waiting;
    }

    /// The place of a text as it was before this page saw it; one is made for a new one.
    fn seek(&mut self, text: &[u8], hash: u32, page: u32) -> Place {
        if self.places.len() <= index(self.count).saturating_mul(2) {
            self.grow();
        }
        let Self { page: bytes, count, places, .. } = self;
        let found = |place: &Place| place.key == 0 || (place.hash == hash && place.holds(bytes, text));
        let Some(place) = place_of(places, hash, found) else { return Place::default() };
        let mut seen = *place;
        if seen.key == 0 {
            *count = count.saturating_add(1);
            let len = len_of(text);
            bytes.extend_from_slice(&len);
            // A dictionary is full long before its places are.
            let start = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            bytes.extend_from_slice(text);
            seen = Place { hash, start, len: u32::from_le_bytes(len), key: *count, page: 0 };
        }
        *place = Place { page, ..seen };
        seen
    }

    fn grow(&mut self) {
        let len = self.places.len().saturating_mul(2).max(PLACES_MIN);
        let old = std::mem::replace(&mut self.places, vec![Place::default(); len]);
        for place in old.into_iter().filter(|place| place.key > 0) {
            if let Some(free) = place_of(&mut self.places, place.hash, |it| it.key == 0) {
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

/// Texts one behind another.
fn texts<'b>(mut bytes: &'b [u8], lens: &[usize]) -> impl Iterator<Item = &'b [u8]> {
    lens.iter().map(move |len| {
        let (text, rest) = bytes.split_at_checked(*len).unwrap_or_default();
        bytes = rest;
        text
    })
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The length of a text before it.
pub(crate) fn len_of(text: &[u8]) -> [u8; 4] {
    u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Numbers that wait together, some of them new, some small, some there before.
    #[test]
    fn a_number_has_the_key_of_its_first() {
        let (mut numbers, mut keys) = (Numbers::default(), Vec::new());
        let mut model: HashMap<i64, u32> = HashMap::new();
        let (mut asked, mut bounds, mut told) = (Vec::new(), (i64::MAX, i64::MIN), (i64::MAX, i64::MIN));
        let mut seed = 7_u64;
        for at in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let which = seed >> 40 & 0xFFF;
            let number = if which < 400 { which } else { which.wrapping_mul(0x9E37_79B9_7F4A_7C15) };
            let number = number.cast_signed();
            let next = u32::try_from(model.len()).unwrap_or(u32::MAX);
            asked.push(*model.entry(number).or_insert(next));
            bounds = (bounds.0.min(number), bounds.1.max(number));
            if numbers.push(number) || at == 19_999 {
                let (least, most) = numbers.settle(&mut keys).unwrap_or(told);
                told = (told.0.min(least), told.1.max(most));
            }
        }
        assert_eq!((keys, told, numbers.values().len()), (asked, bounds, model.len()));
    }
}
