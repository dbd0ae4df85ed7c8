//! Texts of registrations in memory, so that a list can be sorted by them: they stand in the document of the registration alone, and
//! reading a hundred thousand of those for each page would take seconds.
//!
//! A text is kept as it sorts: a byte a letter, in the order of the alphabet ([`sorted`]), at most [`TEXT_KEY_LEN`] of them. What is kept
//! of a register was read from the document at one position; it is read again only when the registration in force is
//! another one.
//!
//! Shape in memory: up to 86 bytes a register in the table, and its four texts beside it with 16 bytes around them, which are 60 to
//! 120 and 256 at most: 50 MB for [`TEXTS_MAX`] registers, 90 MB at most. Nothing until the first list by a text.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ahash::RandomState;
use ofd_storage::Position;

use crate::past::PastDocument;
use crate::registers::Registration;
use crate::watch::{RegisterText, TEXT_KEY_LEN};

/// Registers whose texts are kept at most, and that a list by a text may have to order.
pub(super) const TEXTS_MAX: usize = if cfg!(test) { 2_500 } else { 250_000 };
/// Registrations that are read before they are put away.
pub(super) const READ_AT_ONCE: usize = 1_024;

/// Key of a text: sorts as its bytes. A text that is not there comes last.
pub(super) type TextKey = [u8; TEXT_KEY_LEN];
const NO_TEXT: TextKey = [0xFF; TEXT_KEY_LEN];

/// A register whose text is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Number of its card.
    pub(super) card: u32,
    /// The registration in force: its record, drive and number.
    pub(super) at: Option<PastDocument>,
}

impl Wanted {
    fn position(&self) -> Position {
        self.at.map_or(Position::START, |(position, ..)| position)
    }
}

/// The four texts of a registration, one behind another.
#[derive(Debug, Default)]
struct Sorted {
    read_at: Position,
    /// Where each ends.
    ends: [u16; RegisterText::ALL.len()],
    bytes: Box<[u8]>,
}

impl Sorted {
    fn of(read_at: Position, registration: &Registration) -> Self {
        let (mut bytes, mut ends) = (Vec::new(), [0; RegisterText::ALL.len()]);
        for (text, end) in RegisterText::ALL.into_iter().zip(&mut ends) {
            bytes.extend(sorted(registration.text_bytes(text.tag())));
            *end = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        }
        Self { read_at, ends, bytes: bytes.into() }
    }

    fn key(&self, text: RegisterText) -> TextKey {
        let mut begin = 0;
        for (it, end) in RegisterText::ALL.into_iter().zip(self.ends) {
            let end = usize::from(end);
            if it == text {
                return key_of(self.bytes.get(begin..end).unwrap_or_default());
            }
            begin = end;
        }
        NO_TEXT
    }
}

fn key_of(sorted: &[u8]) -> TextKey {
    let mut key = if sorted.is_empty() { NO_TEXT } else { [0; TEXT_KEY_LEN] };
    key.iter_mut().zip(sorted).for_each(|(slot, byte)| *slot = *byte);
    key
}

/// A text in CP866 as it sorts: small letters, ё as е, without quotation marks and spaces in front, not longer than a key.
fn sorted(text: &[u8]) -> impl Iterator<Item = u8> {
    let letters = text.iter().skip_while(|it| matches!(it, b' ' | b'"' | b'\'' | b'`'));
    letters.take(TEXT_KEY_LEN).map(|byte| place_of(*byte))
}

/// The place of a letter of CP866 in the alphabet: the small ones of the Russian one stand together at 0xA0.
const fn place_of(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' => byte | 0x20,
        // А to Я.
        0x80..=0x9F => byte | 0x20,
        // р to я, which frames part from а to п.
        0xE0..=0xEF => byte & 0x0F | 0xB0,
        // Ё, ё.
        0xF0 | 0xF1 => 0xA5,
        // Frames.
        0xB0..=0xDF => byte.wrapping_add(0x10),
        // Є, Ї, Ў.
        0xF2 | 0xF4 | 0xF6 => byte | 1,
        _ => byte,
    }
}

/// Texts of registers by the numbers of their cards.
#[derive(Debug, Default)]
pub(super) struct Texts {
    kept: Mutex<HashMap<u32, Sorted, RandomState>>,
}

impl Texts {
    fn kept(&self) -> MutexGuard<'_, HashMap<u32, Sorted, RandomState>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over the keys that are known; comes back with the registers whose text has to be read, in the order of their
    /// documents.
    pub(super) fn known(
        &self,
        wanted: &[Wanted],
        text: RegisterText,
        mut known: impl FnMut(TextKey, u32),
    ) -> Vec<Wanted> {
        let kept = self.kept();
        let mut missing = Vec::new();
        for one in wanted {
            let sorted = kept.get(&one.card).filter(|it| it.read_at == one.position());
            match (one.at, sorted) {
                (None, _) => known(NO_TEXT, one.card),
                (_, Some(sorted)) => known(sorted.key(text), one.card),
                (_, None) => missing.push(*one),
            }
        }
        drop(kept);
        missing.sort_unstable_by_key(Wanted::position);
        missing
    }

    /// Keeps what was read of some; `wanted`, in the order of their cards, are [`TEXTS_MAX`] at most, and they among them. As many others
    /// make room as have to. What could not be read is asked for again the next time: it may have been restored.
    pub(super) fn keep(
        &self,
        read: Vec<(Wanted, Option<Registration>)>,
        wanted: &[Wanted],
        text: RegisterText,
        mut known: impl FnMut(TextKey, u32),
    ) {
        let mut kept = self.kept();
        let new = |(one, read): &&(Wanted, Option<_>)| read.is_some() && !kept.contains_key(&one.card);
        let new = read.iter().filter(new).count();
        let mut surplus = kept.len().saturating_add(new).saturating_sub(TEXTS_MAX);
        if surplus > 0 {
            kept.retain(|card, _| {
                let goes = surplus > 0 && wanted.binary_search_by_key(card, |it| it.card).is_err();
                surplus = surplus.saturating_sub(usize::from(goes));
                !goes
            });
        }
        for (one, registration) in read {
            let sorted = registration.map(|it| Sorted::of(one.position(), &it));
            known(sorted.as_ref().map_or(NO_TEXT, |it| it.key(text)), one.card);
            sorted.into_iter().for_each(|it| drop(kept.insert(one.card, it)));
        }
        debug_assert!(kept.len() <= TEXTS_MAX, "{} of {TEXTS_MAX}", kept.len());
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a failed test may panic"
    )]
    use ofd_codec::{Cp866, DocumentView, DriveNumber, Form, TlvWriter, tags};
    use ofd_storage::Lsn;

    use super::*;

    // Who looks for a name in a list looks where the alphabet has it.
    #[test]
    fn texts_sort_as_the_alphabet_does() {
        let plain = |byte: u8| Cp866(&[byte]).to_cow().to_lowercase().replace('ё', "е");
        let letters = || {
            (0x20..=0xFF)
                .filter(|byte| plain(*byte).chars().all(|it| it.is_ascii() || matches!(it, 'а'..='я')))
        };
        for one in letters() {
            for other in letters() {
                assert_eq!(
                    place_of(one).cmp(&place_of(other)),
                    plain(one).cmp(&plain(other)),
                    "{} beside {}",
                    plain(one),
                    plain(other)
                );
            }
        }
        assert_eq!(letters().count(), 96 + 64 + 2);
        let text = |bytes: &[u8]| key_of(&sorted(bytes).collect::<Vec<_>>());
        assert_eq!(text(b" \"'ABC"), text(b"abc"));
        assert_eq!((text(b""), text(b"\" ")), (NO_TEXT, NO_TEXT));
        assert_eq!(text(&[b'x'; 65]), text(&[b'x'; 64]));
        assert!(text(&[b'x'; 63]) < text(&[b'x'; 64]) && text(&[0xEF; 64]) < NO_TEXT);
    }

    fn wanted(card: u32, lsn: u64) -> Wanted {
        let drive = DriveNumber::parse("7100000000000001").unwrap();
        Wanted { card, at: Some((Position::new(Lsn::new(lsn)), drive, 1)) }
    }

    fn read(one: Wanted, name: &str) -> (Wanted, Option<Registration>) {
        let mut bytes = Vec::new();
        TlvWriter::new(&mut bytes).document(Form::REGISTRATION, |w| w.text(tags::USER_NAME, name)).unwrap();
        (one, Some(Registration::of(&DocumentView::new_checked(&bytes).unwrap(), 1)))
    }

    // A document is read once, and what others have asked for makes room; a register with another registration has another text.
    #[test]
    fn what_is_kept_is_bounded_and_of_the_registration_in_force() {
        let texts = Texts::default();
        let ask = |wanted: &[Wanted]| {
            let mut keys = Vec::new();
            let missing = texts.known(wanted, RegisterText::UserName, |key, card| keys.push((card, key)));
            (keys, missing.iter().map(|it| it.card).collect::<Vec<_>>())
        };
        let name = |text: &[u8]| key_of(text);
        let two = [wanted(1, 9), wanted(2, 8)];
        assert_eq!(ask(&two), (vec![], vec![2, 1]), "in the order of their documents");
        let mut keys = Vec::new();
        texts.keep(vec![read(two[0], "B"), read(two[1], "A")], &two, RegisterText::UserName, |key, card| {
            keys.push((card, key));
        });
        assert_eq!(keys, [(1, name(b"b")), (2, name(b"a"))]);
        assert_eq!(ask(&two), (keys, vec![]));
        assert_eq!(ask(&[wanted(1, 10), two[1]]), (vec![(2, name(b"a"))], vec![1]), "registered anew");
        assert_eq!(ask(&[Wanted { card: 1, at: None }]), (vec![(1, NO_TEXT)], vec![]), "never registered");
        let others: Vec<Wanted> = (3..).map(|card| wanted(card, 8)).take(TEXTS_MAX).collect();
        let keep = |some: &[Wanted]| {
            let some = some.iter().map(|it| read(*it, "C")).collect();
            texts.keep(some, &others, RegisterText::UserName, |_, _| ());
        };
        let (some, rest) = others.split_at(TEXTS_MAX - 2);
        some.chunks(READ_AT_ONCE).for_each(keep);
        assert_eq!(ask(&two).1, vec![0; 0], "there is room");
        // Some of them again, and one more: one has to go.
        keep(&others[..READ_AT_ONCE]);
        assert_eq!(ask(&two).1, vec![0; 0], "they were there");
        keep(&rest[..1]);
        assert_eq!((ask(&two).1.len(), texts.kept().len()), (1, TEXTS_MAX));
        keep(&rest[1..]);
        assert_eq!(texts.kept().len(), TEXTS_MAX);
        assert_eq!(ask(&two).1, [2, 1], "they had to make room");
    }

    // A file that is put back is read, without a new start.
    #[test]
    fn what_could_not_be_read_is_asked_for_again() {
        let (texts, one) = (Texts::default(), [wanted(1, 9)]);
        let mut keys = Vec::new();
        texts.keep(vec![(one[0], None)], &one, RegisterText::UserName, |key, card| keys.push((card, key)));
        assert_eq!(keys, [(1, NO_TEXT)]);
        assert_eq!(texts.known(&one, RegisterText::UserName, |_, _| ()).len(), 1);
    }
}
