//! Texts of a row: one behind another in one string that is used again for the next row. A receipt has some thirty, and one
//! allocation for each of them took as long as reading the document did.
//!
//! Most texts of a document stand in the one before it: the user, the address, the cashier, the goods of one shop. What was
//! decoded last is kept, and taken when the same bytes come again.

use std::ops::Range;

use ofd_codec::Cp866;

/// The texts.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    text: String,
    known: Known,
}

/// Where a text of a row stands among [`Texts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    start: u32,
    end: u32,
}

impl Texts {
    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.text.clear();
    }

    /// Takes a text in.
    pub(super) fn put(&mut self, text: &str) -> Text {
        self.write(|out| out.push_str(text))
    }

    /// Takes in what `write` puts behind the texts that are there.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut String)) -> Text {
        let start = self.len();
        write(&mut self.text);
        Text { start, end: self.len() }
    }

    /// Takes in what the bytes say.
    pub(super) fn decode(&mut self, bytes: Cp866<'_>) -> Text {
        let start = self.len();
        self.known.write(bytes, &mut self.text);
        Text { start, end: self.len() }
    }

    /// The text. It must be of this row: when the next one is read something else stands there.
    pub fn get(&self, text: Text) -> &str {
        self.text.get(text.range()).unwrap_or_default()
    }

    /// Of a document that has 32 KiB at most: far from the end of this number.
    fn len(&self) -> u32 {
        u32::try_from(self.text.len()).unwrap_or(u32::MAX)
    }
}

impl Text {
    fn range(self) -> Range<usize> {
        let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        place(self.start)..place(self.end)
    }
}

/// Texts that are kept: more than one shop has in its goods and registers, few enough for the cache of a core.
const KNOWN: usize = 2048;
/// Bytes of the longest that is kept: with [`KNOWN`] the bound of the memory, some 2 MB.
const KNOWN_BYTES_MAX: usize = 256;

/// What was decoded last, each in the place that its bytes lead to.
#[derive(Clone, Debug)]
struct Known {
    hasher: ahash::RandomState,
    places: Vec<(Vec<u8>, String)>,
}

impl Default for Known {
    fn default() -> Self {
        Self { hasher: ahash::RandomState::with_seeds(1, 2, 3, 4), places: Vec::new() }
    }
}

impl Known {
    fn write(&mut self, bytes: Cp866<'_>, out: &mut String) {
        if bytes.0.len() > KNOWN_BYTES_MAX || bytes.0.is_ascii() {
            return bytes.push_to(out);
        }
        if self.places.is_empty() {
            self.places.resize_with(KNOWN, Default::default);
        }
        let place = usize::try_from(self.hasher.hash_one(bytes.0)).unwrap_or_default() % KNOWN;
        let Some((known, text)) = self.places.get_mut(place) else { return bytes.push_to(out) };
        if known.as_slice() != bytes.0 {
            known.clear();
            known.extend_from_slice(bytes.0);
            text.clear();
            bytes.push_to(text);
        }
        out.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A text that is taken for another would stand in the archive under a wrong name.
    #[test]
    fn a_text_that_is_known_is_the_text_of_its_bytes() {
        let mut texts = Texts::default();
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        for round in 0..200_u32 {
            texts.clear();
            let mut asked = Vec::new();
            for _ in 0..100 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Some two thousand texts and many more: a place is asked for again, and taken by others.
                let (which, len) = (seed >> 52, usize::try_from(seed >> 40 & 0x1FF).unwrap_or_default());
                let rare = if round % 2 == 0 { 0 } else { seed >> 33 };
                let bytes: Vec<u8> = (0..)
                    .map(|at: u64| (which ^ rare).wrapping_mul(at | 1).to_le_bytes()[1])
                    .take(len)
                    .collect();
                let text = texts.decode(Cp866(&bytes));
                asked.push((text, Cp866(&bytes).to_string()));
            }
            for (text, asked) in &asked {
                assert_eq!(texts.get(*text), asked);
            }
        }
    }
}
