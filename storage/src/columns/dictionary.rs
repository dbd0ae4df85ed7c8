//! Dictionaries of columns: every value once, in the order in which they came, and a key for each.
//!
//! Most cells are what the cell before was: files are sorted, a shop sells at one rate. So that one is looked at first. Small
//! numbers, codes and rates, have a place of their own.

/// The numbers that have a place of their own.
const SMALL: usize = 256;
/// Places of a table that has few values.
const PLACES_MIN: usize = 64;

/// Numbers.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    values: Vec<i64>,
    last: Option<(i64, u32)>,
    /// Keys plus one of the numbers below [`SMALL`]; 0 is none. Empty before the first of them.
    small: Vec<u32>,
    /// The others with their keys plus one; 0 is a place without a number. Twice as many places as there are values, or
    /// more: a number is sought from the one that its bits say on.
    places: Vec<(i64, u32)>,
}

impl Numbers {
    /// The key of a number.
    #[inline]
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

impl Place {
    #[inline]
    fn holds(self, page: &[u8], text: &str) -> bool {
        let start = index(self.start);
        index(self.len) == text.len()
            && page.get(start..start.saturating_add(text.len())) == Some(text.as_bytes())
    }
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
        if self.last.page != page || !self.last.holds(&self.page, text) {
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

    /// The place of a text as it was before this page saw it; one is made for a new one.
    fn seek(&mut self, text: &str, page: u32) -> Place {
        if self.places.len() <= index(self.count).saturating_mul(2) {
            self.grow();
        }
        let [a, b, c, d, ..] = self.hasher.hash_one(text.as_bytes()).to_le_bytes();
        let hash = u32::from_le_bytes([a, b, c, d]);
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
            bytes.extend_from_slice(text.as_bytes());
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

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The length of a text before it.
pub(crate) fn len_of(text: &str) -> [u8; 4] {
    u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes()
}
