//! The floor of the codec: a bare checked walk over TLVs, written by hand for this measurement.
//!
//! It cuts every TLV with a bounds check and touches every value, and that is all: no depth, no count of tags, no
//! offsets, no errors that say where. Whoever decodes fiscal documents must do at least this much. [`read`] is the same
//! reading done through the checked view, so that both sides do equal work on every value, and a test holds that both
//! give equal sums.

use ofd_codec::{DocumentView, Kind, Requisite, Value, Visitor};

/// How the bytes of a tag are read here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// Further TLVs.
    Nest,
    /// An unsigned little-endian number of any length up to eight.
    Number,
    /// A scale and a mantissa.
    Decimal,
    /// Text or bytes: only the length counts.
    Bytes,
}

/// The class of a tag: a `match`, because a table in memory lengthens the chain of dependent loads.
#[inline(always)]
pub(crate) const fn class(tag: u16) -> Class {
    match tag {
        1059
        | 1066..=1069
        | 1084
        | 1112
        | 1115
        | 1119
        | 1129..=1133
        | 1145
        | 1146
        | 1157
        | 1158
        | 1163
        | 1174
        | 1194
        | 1223
        | 1224
        | 1232..=1235
        | 1256
        | 1260
        | 1261
        | 1270
        | 1291 => Class::Nest,
        1001
        | 1002
        | 1012
        | 1020
        | 1022
        | 1031
        | 1038
        | 1040
        | 1042
        | 1043
        | 1050..=1058
        | 1062
        | 1079
        | 1081
        | 1097
        | 1098
        | 1101..=1111
        | 1116
        | 1118
        | 1120
        | 1125
        | 1126
        | 1134..=1136
        | 1138..=1144
        | 1147..=1149
        | 1151..=1155
        | 1173
        | 1178
        | 1183
        | 1184
        | 1189
        | 1190
        | 1193
        | 1198..=1201
        | 1205..=1207
        | 1209
        | 1210
        | 1212
        | 1213..=1222
        | 1229
        | 1290
        | 2102
        | 2104..=2114 => Class::Number,
        1023 => Class::Decimal,
        _ => Class::Bytes,
    }
}

/// Little-endian number of up to eight bytes; the usual widths in one load.
#[inline]
fn number(bytes: &[u8]) -> u64 {
    match *bytes {
        [a] => u64::from(a),
        [a, b, c, d] => u64::from(u32::from_le_bytes([a, b, c, d])),
        _ => bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)),
    }
}

/// Sums all values of one level and those below it; `None` when the lengths do not close.
fn level(mut rest: &[u8]) -> Option<u64> {
    let mut sum = 0_u64;
    while let Some((&[t0, t1, l0, l1], tail)) = rest.split_first_chunk::<4>() {
        let len = usize::from(u16::from_le_bytes([l0, l1]));
        let (value, after) = tail.split_at_checked(len)?;
        let part = match class(u16::from_le_bytes([t0, t1])) {
            Class::Nest => level(value)?,
            Class::Number => number(value),
            Class::Decimal => value.split_first().map_or(0, |(_, digits)| number(digits)),
            Class::Bytes => len as u64,
        };
        sum = sum.wrapping_add(part);
        rest = after;
    }
    rest.is_empty().then_some(sum)
}

/// The bare walk over one document.
pub(crate) fn walk(document: &[u8]) -> Option<u64> {
    let (&[_, _, l0, l1], body) = document.split_first_chunk::<4>()?;
    (body.len() == usize::from(u16::from_le_bytes([l0, l1]))).then(|| level(body))?
}

/// The same sums through the checked view.
pub(crate) fn read(view: &DocumentView<'_>) -> u64 {
    let mut sum = 0_u64;
    for (_, value) in view.tags() {
        sum = sum.wrapping_add(part(value));
    }
    sum
}

#[inline]
fn part(value: Value<'_>) -> u64 {
    match class(value.tag().0) {
        Class::Nest => {
            let mut sum = 0_u64;
            for (_, value) in value.children().map_while(Result::ok) {
                sum = sum.wrapping_add(part(value));
            }
            sum
        }
        Class::Number => value.vln().unwrap_or_default(),
        Class::Decimal => value.fvln().map_or(0, |quantity| quantity.mantissa),
        Class::Bytes => value.bytes().len() as u64,
    }
}

/// The same sums in the pass that validates: the table of the walk has told already how a value is read.
#[derive(Default)]
pub(crate) struct Sum(pub(crate) u64);

impl<'a> Visitor<'a> for Sum {
    fn begin(&mut self, _: ofd_codec::FfdVersion) {
        self.0 = 0;
    }

    #[inline]
    fn requisite(&mut self, requisite: Requisite<'a>) {
        if let Some(number) = requisite.number() {
            self.0 = self.0.wrapping_add(number);
        } else if matches!(requisite.kind, Kind::Text | Kind::Bytes) {
            self.0 = self.0.wrapping_add(requisite.value.bytes().len() as u64);
        } else if let Some(decimal) = requisite.decimal() {
            // A nest is none: its children are summed one by one.
            self.0 = self.0.wrapping_add(decimal.mantissa);
        }
    }
}

/// CRC-16/IBM-3740 a byte at a time from one table: how the protocol's checksum is written in textbooks.
pub(crate) fn crc16_bytewise(bytes: &[u8]) -> u16 {
    const TABLE: [u16; 256] = {
        let mut table = [0_u16; 256];
        let mut at = 0_u16;
        while at < 256 {
            let mut crc = at << 8;
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
                bit += 1;
            }
            // The index is below 256 by the loop.
            #[expect(clippy::indexing_slicing, reason = "a constant loop below the length of the table")]
            {
                table[at as usize] = crc;
            }
            at += 1;
        }
        table
    };
    bytes.iter().fold(0xFFFF, |crc, &byte| {
        let at = usize::from((crc >> 8) as u8 ^ byte);
        crc << 8 ^ TABLE.get(at).copied().unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    use crate::corpus::Corpus;
    use ofd_codec::{FfdVersion, Kind, Tlv, dictionary};

    #[test]
    fn walk_and_view_give_the_same_sums() {
        for plain in Corpus::new(1, 128, 10_000).plains() {
            let view = DocumentView::new_checked(plain).expect("a document of the generator");
            assert_eq!(walk(plain), Some(read(&view)));
        }
    }

    /// Tags whose class is not that of the dictionary.
    fn strangers(level: Tlv<'_>, parent: u16, found: &mut BTreeMap<u16, Class>) {
        for (tag, value) in level.map(|item| item.expect("a checked level")) {
            let kind = dictionary::lookup(tag, parent, FfdVersion::V1_2).map(|entry| entry.kind);
            let expected = match kind {
                Some(Kind::Stlv) => Class::Nest,
                Some(Kind::Byte | Kind::U16 | Kind::U32 | Kind::Vln | Kind::UnixTime | Kind::Bits) => {
                    Class::Number
                }
                Some(Kind::Fvln) => Class::Decimal,
                _ => Class::Bytes,
            };
            if class(tag.0) != expected {
                found.insert(tag.0, expected);
            }
            if expected == Class::Nest {
                strangers(value.children(), tag.0, found);
            }
        }
    }

    #[test]
    fn every_tag_of_the_corpus_is_read_as_the_dictionary_says() {
        let mut found = BTreeMap::new();
        for plain in Corpus::new(2, 128, 10_000).plains() {
            let view = DocumentView::new_checked(plain).expect("a document of the generator");
            strangers(Tlv::new(plain.get(4..).unwrap_or_default()), u16::from(view.form().0), &mut found);
        }
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn the_bytewise_checksum_is_that_of_the_protocol() {
        assert_eq!(crc16_bytewise(b"123456789"), 0x29B1);
    }
}
