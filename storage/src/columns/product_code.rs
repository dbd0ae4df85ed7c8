//! Code of a product: what kind it is, the GTIN inside, the code as it stands.
//!
//! Three generations: 1080 (EAN-13 as text, ФФД 1.0), 1162 (two bytes of prefix, then a payload, ФФД 1.05 and 1.1),
//! 1163 with exactly one of 1300–1325 (ФФД 1.2). `kind` is the JSON name of the tag of 1.2 for all three, so
//! that years can be compared; `raw` is the text of the tag, for 1162 its bytes in hex, upper case.
//!
//! A GTIN is always given with 14 digits, leading zeros added, as the marking system keeps it.
//! Source: order ЕД-7-20/662@, tags 1162, 1163, 1300–1325; prefixes of 1162: order, table of product code types.

use std::fmt::Write as _;

use ofd_codec::Value;

use super::text::{Text, Texts};

/// A product code taken apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProductCode {
    /// `ean13`, `gs1m`, …; `undefined` for a code of unknown kind.
    pub kind: Option<&'static str>,
    /// 14 digits, when there is one inside.
    pub gtin: Option<Text>,
    /// The code as it stands.
    pub raw: Option<Text>,
}

/// Digits of a GTIN.
const GTIN_LEN: usize = 14;

impl ProductCode {
    /// Tag 1080: EAN-13 as text.
    pub fn from_barcode(value: &Value<'_>, texts: &mut Texts) -> Self {
        let raw = texts.take(value.text().trimmed());
        let gtin = gtin(raw, texts, padded_gtin);
        Self { kind: Some("ean13"), gtin, raw: Some(raw) }
    }

    /// Tag 1162: prefix and payload.
    pub fn from_prefixed(value: &Value<'_>, texts: &mut Texts) -> Self {
        let raw = Some(texts.write(|out| hex(value.bytes(), out)));
        let Some((prefix, payload)) = value.bytes().split_first_chunk::<2>() else {
            return Self { kind: Some("undefined"), gtin: None, raw };
        };
        let mut number = || {
            let (six, _) = payload.split_first_chunk::<6>()?;
            let number = six.iter().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
            (number < 10_u64.pow(14)).then(|| texts.put(&format!("{number:014}")))
        };
        let (kind, gtin) = match *prefix {
            [0x45, 0x08] => ("ean8", number()),
            [0x45, 0x0D] => ("ean13", number()),
            [0x49, 0x0E] => ("itf14", number()),
            [0x44, 0x4D] => ("gs1m", number()),
            [0x52, 0x46] => ("mi", None),
            [0xC5, 0x14] => ("egais2", None),
            [0xC5, 0x1E] => ("egais3", None),
            _ => ("undefined", None),
        };
        Self { kind: Some(kind), gtin, raw }
    }

    /// Tag 1163: one of 1300–1325 inside.
    pub fn from_nested(value: &Value<'_>, texts: &mut Texts) -> Self {
        for (tag, code) in value.children().map_while(Result::ok) {
            let kind = match tag.0 {
                1300 => "undefined",
                1301 => "ean8",
                1302 => "ean13",
                1303 => "itf14",
                1304 => "gs1",
                1305 => "gs1m",
                1306 => "kmk",
                1307 => "mi",
                1308 => "egais2",
                1309 => "egais3",
                1320 => "f1",
                1321 => "f2",
                1322 => "f3",
                1323 => "f4",
                1324 => "f5",
                1325 => "f6",
                _ => continue,
            };
            let raw = texts.take(code.text().trimmed());
            let gtin = match tag.0 {
                1301..=1303 => gtin(raw, texts, padded_gtin),
                // With the application identifier: 01, GTIN, then 21 and the serial number.
                1304 | 1305 => gtin(raw, texts, |raw| raw.strip_prefix(b"01").and_then(leading_gtin)),
                1306 => gtin(raw, texts, leading_gtin),
                _ => None,
            };
            return Self { kind: Some(kind), gtin, raw: Some(raw) };
        }
        Self::default()
    }
}

/// The GTIN that `find` sees in a text.
fn gtin(raw: Text, texts: &mut Texts, find: impl FnOnce(&[u8]) -> Option<String>) -> Option<Text> {
    let gtin = find(texts.bytes(raw))?;
    Some(texts.put(&gtin))
}

fn padded_gtin(digits: &[u8]) -> Option<String> {
    let good = matches!(digits.len(), 1..=GTIN_LEN) && digits.iter().all(u8::is_ascii_digit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| good)?;
    Some(format!("{digits:0>GTIN_LEN$}"))
}

fn leading_gtin(text: &[u8]) -> Option<String> {
    text.get(..GTIN_LEN).and_then(padded_gtin)
}

fn hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        let _ = write!(out, "{byte:02X}");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;
    use ofd_codec::Tlv;

    fn tlv(tag: u16, bytes: &[u8]) -> Vec<u8> {
        [&tag.to_le_bytes()[..], &u16::try_from(bytes.len()).unwrap().to_le_bytes(), bytes].concat()
    }
    type Read = fn(&Value<'_>, &mut Texts) -> ProductCode;

    /// Kind, GTIN and the code as it stands.
    fn with(bytes: &[u8], read: Read) -> (Option<&'static str>, Option<String>, Option<String>) {
        let mut texts = Texts::default();
        let (_, value) = Tlv::new(bytes).next().unwrap().unwrap();
        let code = read(&value, &mut texts);
        let text = |text: Option<Text>| text.map(|it| texts.get(it).into_owned());
        (code.kind, text(code.gtin), text(code.raw))
    }

    #[test]
    fn a_gtin_is_found_in_every_generation_of_codes() {
        let check = |(of, found, raw): (Option<&str>, Option<String>, Option<String>),
                     kind: &str,
                     gtin: Option<&str>| {
            assert_eq!((of, found.as_deref()), (Some(kind), gtin), "{raw:?}");
        };
        check(with(&tlv(1080, b"4601234567893"), ProductCode::from_barcode), "ean13", Some("04601234567893"));
        let number = 4_601_234_567_893_u64.to_be_bytes();
        let mut marked = vec![0x44, 0x4D];
        marked.extend_from_slice(&number[2..]);
        marked.extend_from_slice(b"abc");
        check(with(&tlv(1162, &marked), ProductCode::from_prefixed), "gs1m", Some("04601234567893"));
        let nested = |tag, code: &[u8]| tlv(1163, &tlv(tag, code));
        check(with(&nested(1301, b"46012345"), ProductCode::from_nested), "ean8", Some("00000046012345"));
        check(
            with(&nested(1305, b"010460123456789321abcdef"), ProductCode::from_nested),
            "gs1m",
            Some("04601234567893"),
        );
        check(
            with(&nested(1306, b"04601234567893abcdefg"), ProductCode::from_nested),
            "kmk",
            Some("04601234567893"),
        );
        check(with(&nested(1307, b"RU-430302-AAA0000001"), ProductCode::from_nested), "mi", None);
        check(with(&tlv(1162, &[0x45]), ProductCode::from_prefixed), "undefined", None);
        check(with(&nested(1304, b"01short"), ProductCode::from_nested), "gs1", None);
    }

    #[test]
    fn a_prefixed_code_is_shown_as_the_bytes_it_is() {
        assert_eq!(with(&tlv(1162, &[0xC5, 0x1E, 0xAB]), ProductCode::from_prefixed).2.unwrap(), "C51EAB");
    }
}
