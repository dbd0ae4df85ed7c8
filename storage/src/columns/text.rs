//! Texts of a row: one behind another in memory that is used again for the next row. A receipt has some thirty, and one
//! allocation for each of them took as long as reading the document did.
//!
//! A text of a document stays in CP866, as it came. Most stand in the document before it and in a dictionary already, where
//! they are known by these bytes (`dictionary.rs`); half of the time of reading was decoding them.

use std::borrow::Cow;
use std::ops::Range;

use ofd_codec::Cp866;

use super::Cell;

/// The texts.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    text: String,
    coded: Vec<u8>,
}

/// Where a text of a row stands among [`Texts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    start: u32,
    end: u32,
    coded: bool,
}

impl Texts {
    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.coded.clear();
    }

    /// Takes a text in.
    pub(super) fn put(&mut self, text: &str) -> Text {
        self.write(|out| out.push_str(text))
    }

    /// Takes in what `write` puts behind the texts that are there.
    pub(super) fn write(&mut self, write: impl FnOnce(&mut String)) -> Text {
        let start = place(self.text.len());
        write(&mut self.text);
        Text { start, end: place(self.text.len()), coded: false }
    }

    /// Takes in a text of a document.
    pub(super) fn take(&mut self, text: Cp866<'_>) -> Text {
        let start = place(self.coded.len());
        self.coded.extend_from_slice(text.0);
        Text { start, end: place(self.coded.len()), coded: true }
    }

    /// The text. It must be of this row: when the next one is read something else stands there.
    pub fn get(&self, text: Text) -> Cow<'_, str> {
        match text.coded {
            true => Cp866(self.bytes(text)).to_cow(),
            false => self.text.get(text.range()).unwrap_or_default().into(),
        }
    }

    /// Its bytes, in CP866 or UTF-8: what is ASCII is the same in both.
    pub(super) fn bytes(&self, text: Text) -> &[u8] {
        let all = if text.coded { &self.coded } else { self.text.as_bytes() };
        all.get(text.range()).unwrap_or_default()
    }

    /// Its cell.
    pub(super) fn cell(&self, text: Text) -> Cell<'_> {
        match text.coded {
            true => Cell::Coded(Cp866(self.bytes(text))),
            false => Cell::Text(self.text.get(text.range()).unwrap_or_default()),
        }
    }
}

/// A place among texts of a document, which has 32 KiB at most: far from the end of this number.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

impl Text {
    fn range(self) -> Range<usize> {
        let place = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
        place(self.start)..place(self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_given_as_it_came() {
        let mut texts = Texts::default();
        for _ in 0..2 {
            texts.clear();
            let (put, taken) = (texts.put("Ёлкина"), texts.take(Cp866(b"\x8C\xF1\xA4 5%")));
            let last = texts.take(Cp866(b"0001"));
            assert_eq!((texts.get(put), texts.get(taken)), ("Ёлкина".into(), "Мёд 5%".into()));
            assert_eq!((texts.cell(put), texts.bytes(last)), (Cell::Text("Ёлкина"), &b"0001"[..]));
            assert_eq!(texts.cell(taken), Cell::Coded(Cp866(b"\x8C\xF1\xA4 5%")));
        }
    }
}
