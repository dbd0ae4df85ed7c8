//! Dictionaries of columns: every value once, in the order in which they came, and a key for each.
//!
//! Most cells are what the cell before was: files are sorted, a shop sells at one rate. So that one is looked at first. Small
//! numbers, codes and rates, have a place of their own.

use ofd_codec::Cp866;

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
/// A text in CP866 is sought by the bytes that the document has, and decoded once in the life of a dictionary: most come again
/// and again, and are half as long. As far as they are ASCII they are the same in both.
///
/// They wait until there are [`TOGETHER`] of them, and are sought together: where one lies has mostly left the cache, and what
/// does not depend on one another is fetched at once.
#[derive(Debug)]
pub(crate) struct Texts {
    page: Vec<u8>,
    count: u32,
    /// Bytes in CP866 of the texts that came so, but for ASCII, which is in the page.
    coded: Vec<u8>,
    hasher: ahash::RandomState,
    /// Twice as many places as are taken, or more: a text is sought from the one that its hash says on. All that is
    /// asked of a text on its way in lies in its place.
    places: Vec<Place>,
    taken: usize,
    /// Whether each text has a place for its UTF-8: since the first came so that is not ASCII.
    strings: bool,
    waiting: Waiting,
}

/// Texts that wait for their keys.
#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Where the last of them begins, and what it is.
    last: (usize, Option<Tag>),
    /// Of each what it is; `None` of one that is the one before it once more, and does not stand in `bytes`.
    tags: Vec<Option<Tag>>,
    /// Hashes of the others, and what lies where these lead to.
    hashes: Vec<u32>,
    places: Vec<Place>,
}

/// Texts that are sought together.
const TOGETHER: usize = 64;
/// Bytes of them, about.
const TOGETHER_BYTES: usize = 8 << 10;

/// What the bytes of a text are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tag {
    len: u32,
    /// CP866 that is not ASCII.
    coded: bool,
}

/// Where a text lies.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    hash: u32,
    /// Among the coded ones or in the page, as its tag says.
    start: u32,
    tag: Tag,
    /// Its key plus one; 0 is a place without a text.
    key: u32,
    /// Bytes of it in UTF-8.
    len: u32,
    /// The page of data that it was last seen in, plus one.
    page: u32,
}

impl Waiting {
    fn clear(&mut self) {
        self.bytes.clear();
        self.last = (0, None);
        self.tags.clear();
        self.hashes.clear();
        self.places.clear();
    }
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            page: Vec::new(),
            count: 0,
            coded: Vec::new(),
            hasher: ahash::RandomState::with_seeds(1, 2, 3, 4),
            places: Vec::new(),
            taken: 0,
            strings: false,
            waiting: Waiting::default(),
        }
    }
}

impl Texts {
    /// Takes a text in, which is UTF-8 or, `coded`, CP866 that is not ASCII; whether enough of them wait.
    #[inline]
    pub(crate) fn push(&mut self, text: &[u8], coded: bool) -> bool {
        let Waiting { bytes, last, tags, .. } = &mut self.waiting;
        let tag = Some(Tag { len: length(text), coded });
        if last.1 == tag && bytes.get(last.0..) == Some(text) {
            tags.push(None);
        } else {
            *last = (bytes.len(), tag);
            bytes.extend_from_slice(text);
            tags.push(tag);
        }
        tags.len() >= TOGETHER || bytes.len() >= TOGETHER_BYTES
    }

    /// Whether some wait.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.tags.is_empty()
    }

    /// The keys of the texts that wait, behind `keys`; how many bytes of UTF-8 they are. Calls `fresh` with each that is new
    /// to the page of data with this number, and with whether it is coded.
    pub(crate) fn settle(
        &mut self,
        page: u32,
        keys: &mut Vec<u32>,
        mut fresh: impl FnMut(&[u8], bool),
    ) -> usize {
        let page = page.saturating_add(1);
        let mut waiting = std::mem::take(&mut self.waiting);
        let Waiting { bytes, tags, hashes, places, .. } = &mut waiting;
        hashes.extend(texts(bytes, tags).map(|(text, _)| self.hash(text)));
        let mask = self.places.len().saturating_sub(1);
        let place = |hash: &u32| self.places.get(index(*hash) & mask).copied().unwrap_or_default();
        places.extend(hashes.iter().map(place));
        let (mut seen, mut len) = (Place::default(), 0_usize);
        {
            let mut sought = texts(bytes, tags).zip(hashes.iter().zip(&*places));
            for tag in &*tags {
                if let Some(((text, tag), (hash, place))) = tag.and_then(|_| sought.next()) {
                    // What was seen there may be older than the text before this one.
                    let known = place.hash == *hash && place.page == page && self.holds(place, text, tag);
                    seen = if known { *place } else { self.seek(text, tag, *hash, page) };
                    if seen.page != page {
                        fresh(text, tag.coded);
                    }
                }
                keys.push(seen.key.saturating_sub(1));
                len = len.saturating_add(index(seen.len));
            }
        }
        waiting.clear();
        self.waiting = waiting;
        len
    }

    fn hash(&self, text: &[u8]) -> u32 {
        let [a, b, c, d, ..] = self.hasher.hash_one(text).to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    #[inline]
    fn holds(&self, place: &Place, text: &[u8], tag: Tag) -> bool {
        let bytes = if tag.coded { &self.coded } else { &self.page };
        let start = index(place.start);
        place.tag == tag && bytes.get(start..start.saturating_add(text.len())) == Some(text)
    }

    /// The place of a text as it was before this page saw it; one is made for a new one.
    fn seek(&mut self, text: &[u8], tag: Tag, hash: u32, page: u32) -> Place {
        if let Some(at) = self.find(text, tag, hash)
            && let Some(place) = self.places.get_mut(at)
        {
            let seen = *place;
            place.page = page;
            return seen;
        }
        let seen = if tag.coded {
            let whole = Cp866(text).to_cow();
            let (key, len) = match self.strings {
                true => {
                    let whole = whole.as_bytes();
                    let tag = Tag { len: length(whole), coded: false };
                    let it = self.seek(whole, tag, self.hash(whole), page);
                    (it.key, it.len)
                }
                false => (self.add(whole.as_bytes()), length(whole.as_bytes())),
            };
            // A dictionary is full long before its places are.
            let start = length(&self.coded);
            self.coded.extend_from_slice(text);
            Place { hash, start, tag, key, len, page: 0 }
        } else {
            if !self.strings && !text.is_ascii() {
                self.strings = true;
                self.give_places_to_strings();
                return self.seek(text, tag, hash, page);
            }
            let key = self.add(text);
            let start = length(&self.page).saturating_sub(tag.len);
            Place { hash, start, tag, key, len: tag.len, page: 0 }
        };
        self.put(Place { page, ..seen });
        seen
    }

    /// Where a text lies.
    fn find(&self, text: &[u8], tag: Tag, hash: u32) -> Option<usize> {
        let mask = self.places.len().checked_sub(1)?;
        let mut at = index(hash) & mask;
        loop {
            let place = self.places.get(at).filter(|place| place.key > 0)?;
            if place.hash == hash && self.holds(place, text, tag) {
                return Some(at);
            }
            at = at.wrapping_add(1) & mask;
        }
    }

    /// Puts a text behind the others; its key plus one.
    fn add(&mut self, text: &[u8]) -> u32 {
        self.page.extend_from_slice(&len_of(text));
        self.page.extend_from_slice(text);
        self.count = self.count.saturating_add(1);
        self.count
    }

    /// Those that came in CP866 so far.
    fn give_places_to_strings(&mut self) {
        let (mut start, mut key) = (0_usize, 0_u32);
        while let Some(len) = self.page.get(start..).and_then(<[u8]>::first_chunk) {
            let len = u32::from_le_bytes(*len);
            start = start.saturating_add(4);
            key = key.saturating_add(1);
            let text = self.page.get(start..start.saturating_add(index(len))).unwrap_or_default();
            if !text.is_ascii() {
                let tag = Tag { len, coded: false };
                let (hash, at) = (self.hash(text), u32::try_from(start).unwrap_or(u32::MAX));
                self.put(Place { hash, start: at, tag, key, len, page: 0 });
            }
            start = start.saturating_add(index(len));
        }
    }

    /// Gives a place to what has none.
    fn put(&mut self, place: Place) {
        if self.places.len() <= self.taken.saturating_mul(2) {
            let len = self.places.len().saturating_mul(2).max(PLACES_MIN);
            let old = std::mem::replace(&mut self.places, vec![Place::default(); len]);
            for place in old.into_iter().filter(|place| place.key > 0) {
                if let Some(free) = place_of(&mut self.places, place.hash, |it| it.key == 0) {
                    *free = place;
                }
            }
        }
        if let Some(free) = place_of(&mut self.places, place.hash, |it| it.key == 0) {
            *free = place;
            self.taken = self.taken.saturating_add(1);
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
fn texts<'b>(mut bytes: &'b [u8], tags: &'b [Option<Tag>]) -> impl Iterator<Item = (&'b [u8], Tag)> {
    tags.iter().flatten().map(move |tag| {
        let (text, rest) = bytes.split_at_checked(index(tag.len)).unwrap_or_default();
        bytes = rest;
        (text, *tag)
    })
}

fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The length of a text before it.
pub(crate) fn len_of(text: &[u8]) -> [u8; 4] {
    length(text).to_le_bytes()
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    /// Two keys of one text, or one of two, would be another text in the archive.
    #[test]
    fn a_text_has_one_key_whether_it_comes_in_cp866_or_in_utf8() {
        // Without UTF-8, with it from the begin, and from somewhere in the middle.
        for utf8_from in [usize::MAX, 0, 700] {
            let (mut texts, mut keys) = (Texts::default(), Vec::new());
            let mut model: HashMap<String, u32> = HashMap::new();
            let (mut page, mut asked, mut len) = (Vec::new(), Vec::new(), 0_usize);
            let (mut on_page, mut fresh) = (HashSet::new(), HashSet::new());
            let (mut seed, mut number, mut told) = (7_u64, 0_u32, 0_usize);
            let mut bytes = Vec::new();
            for at in 0..6_000_usize {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                if seed >> 62 > 0 {
                    let which = (seed >> 40 & 0x1FF).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                    let len = usize::try_from(which >> 61).unwrap_or_default();
                    bytes = which.to_le_bytes().into_iter().take(len).collect::<Vec<_>>();
                    // Every second of them is ASCII.
                    if which >> 60 & 1 == 0 {
                        bytes.iter_mut().for_each(|byte| *byte &= 0x7F);
                    }
                }
                let whole = Cp866(&bytes).to_string();
                let enough = if at >= utf8_from && seed >> 33 & 1 == 0 {
                    texts.push(whole.as_bytes(), false)
                } else {
                    texts.push(&bytes, !bytes.is_ascii())
                };
                let next = u32::try_from(model.len()).unwrap_or(u32::MAX);
                let key = *model.entry(whole.clone()).or_insert(next);
                if key == next {
                    page.extend_from_slice(&len_of(whole.as_bytes()));
                    page.extend_from_slice(whole.as_bytes());
                }
                asked.push(key);
                len = len.saturating_add(whole.len());
                on_page.insert(whole);
                if enough || at % 1_000 == 999 {
                    told = told.saturating_add(texts.settle(number, &mut keys, |text, coded| {
                        let text = if coded { Cp866(text).to_string().into_bytes() } else { text.to_vec() };
                        fresh.insert(String::from_utf8(text).unwrap_or_default());
                    }));
                }
                if at % 1_000 == 999 {
                    assert_eq!(fresh, on_page, "page {number}, UTF-8 from {utf8_from} on");
                    (number, fresh, on_page) = (number + 1, HashSet::new(), HashSet::new());
                }
            }
            assert_eq!((&keys, told), (&asked, len), "UTF-8 from {utf8_from} on");
            assert_eq!((texts.page(), texts.len()), (&page[..], model.len()));
        }
    }

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
