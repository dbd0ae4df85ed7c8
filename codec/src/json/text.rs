//! Text and bytes as JSON, written into a place that has room for them or else says so.
//!
//! Every value is written with the comma that follows it: whoever closes an object or a list takes the last one off.
//! Short things are written at a constant width and cut to their length: a copy of constant width is one or two
//! moves, a copy of any length is a call.
//! Invariant: what is written is UTF-8, whatever the CP866 was (test: json/text.rs::tests::every_byte_as_text).

use alloc::vec::Vec;

use crate::Cp866;
use crate::tlv::word_before;

/// What a byte of CP866 is inside a JSON string: up to six bytes, and how many in the highest one.
#[expect(clippy::indexing_slicing, reason = "evaluated while compiling, where a wrong index is an error")]
static SHOWN: [u64; 256] = {
    let mut table = [0_u64; 256];
    let mut byte = 0_usize;
    while byte < 256 {
        let (bytes, len) = shown(byte as u8);
        table[byte] = u64::from_le_bytes(bytes) | (len as u64) << 56;
        byte += 1;
    }
    table
};

/// The upper half of CP866.
#[expect(clippy::indexing_slicing, reason = "evaluated while compiling, where a wrong index is an error")]
const UPPER: [char; 128] = {
    let letters = "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯабвгдежзийклмноп░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀рстуфхцчшщъыьэюяЁёЄєЇїЎў°∙·√№¤■\u{A0}".as_bytes();
    let mut table = ['\0'; 128];
    let (mut at, mut index) = (0, 0);
    while index < 128 {
        let first = letters[at] as u32;
        let next = (letters[at + 1] & 0x3F) as u32;
        let (code, width) = if first < 0xE0 {
            ((first & 0x1F) << 6 | next, 2)
        } else {
            ((first & 0x0F) << 12 | next << 6 | (letters[at + 2] & 0x3F) as u32, 3)
        };
        table[index] = match char::from_u32(code) {
            Some(letter) => letter,
            None => '\0',
        };
        at += width;
        index += 1;
    }
    assert!(at == letters.len());
    table
};

/// Lower-case hex digits.
const HEX: &[u8; 16] = b"0123456789abcdef";

#[expect(clippy::indexing_slicing, reason = "evaluated while compiling, where a wrong index is an error")]
const fn shown(byte: u8) -> ([u8; 8], usize) {
    let mut out = [0_u8; 8];
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => 0,
    };
    if short != 0 {
        out[0] = b'\\';
        out[1] = short;
        (out, 2)
    } else if byte < b' ' || byte == 0x7F {
        let digits = [b'\\', b'u', b'0', b'0', HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize]];
        let mut at = 0;
        while at < digits.len() {
            out[at] = digits[at];
            at += 1;
        }
        (out, 6)
    } else if byte < 0x80 {
        out[0] = byte;
        (out, 1)
    } else {
        let code = UPPER[(byte - 0x80) as usize] as u32;
        if code < 0x800 {
            out[0] = 0xC0 | (code >> 6) as u8;
            out[1] = 0x80 | (code & 0x3F) as u8;
            (out, 2)
        } else {
            out[0] = 0xE0 | (code >> 12) as u8;
            out[1] = 0x80 | (code >> 6 & 0x3F) as u8;
            out[2] = 0x80 | (code & 0x3F) as u8;
            (out, 3)
        }
    }
}

/// `00` to `ff`.
#[expect(clippy::indexing_slicing, reason = "evaluated while compiling, where a wrong index is an error")]
static HEX_PAIRS: [[u8; 2]; 256] = {
    let mut table = [[0; 2]; 256];
    let mut at = 0;
    while at < 256 {
        table[at] = [HEX[at >> 4], HEX[at & 15]];
        at += 1;
    }
    table
};

/// Whether eight bytes stand for themselves in a JSON string: ASCII, no control character, quote or backslash.
#[inline(always)]
const fn is_plain(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    /// The highest bit of each byte that is zero, and perhaps of a byte above such a one.
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word
    }
    let quote = zeros(word ^ ONES.wrapping_mul(b'"' as u64));
    let backslash = zeros(word ^ ONES.wrapping_mul(b'\\' as u64));
    let delete = zeros(word ^ ONES.wrapping_mul(0x7F));
    let control = word.wrapping_sub(ONES.wrapping_mul(0x20));
    (word | quote | backslash | delete | control) & HIGH == 0
}

/// Room for what eight bytes become, 50 bytes at most, and for what a place of six bits can say beyond: a store of eight at 63.
const BLOCK_ROOM: usize = 72;

/// Writes what eight bytes become; gives how long it is. What stands behind it is rubbish.
#[inline(always)]
fn put_block(place: &mut [u8; BLOCK_ROOM], block: u64) -> u32 {
    let mut len = 0_u32;
    for byte in block.to_le_bytes() {
        let packed = SHOWN.get(usize::from(byte)).copied().unwrap_or_default();
        if let Some(place) = place.get_mut(len as usize & 63..).and_then(<[u8]>::first_chunk_mut) {
            *place = packed.to_le_bytes();
        }
        len = len.wrapping_add((packed >> 56) as u32);
    }
    len
}

/// Writes text of CP866, which stands in `bytes` from one place to another, at `at` as what stands inside a JSON string, then
/// its quote and a comma; gives where that ends, `None` when there is no room. The opening quote is there already.
///
/// The last bytes are written as a whole block too, filled up with spaces: a loop that ends anywhere is a branch that
/// nobody foretells.
#[inline(always)]
pub(super) fn put_text(out: &mut [u8], mut at: u32, bytes: &[u8], from: u32, to: u32) -> Option<u32> {
    let (blocks, rest) = bytes.get(from as usize..to as usize)?.as_chunks::<8>();
    let rest = rest.len() as u32;
    let last = word_before(bytes, to, rest)? | SPACES.wrapping_shl(rest.wrapping_mul(8));
    let mut blocks = blocks.iter().map(|block| u64::from_le_bytes(*block));
    // Numbers in text form, addresses of sites and Latin names stand for themselves.
    let mut foreign = None;
    for block in &mut blocks {
        if !is_plain(block) {
            foreign = Some(block);
            break;
        }
        *room(out, at)? = block.to_le_bytes();
        at = at.wrapping_add(8);
    }
    if foreign.is_none() && is_plain(last) {
        *room(out, at)? = last.to_le_bytes();
        at = at.wrapping_add(rest);
    } else {
        for block in foreign.into_iter().chain(blocks) {
            at = at.wrapping_add(put_block(room(out, at)?, block));
        }
        // Without the spaces.
        at = at.wrapping_add(put_block(room(out, at)?, last)).wrapping_add(rest).wrapping_sub(8);
    }
    *room(out, at)? = *b"\",";
    Some(at.wrapping_add(2))
}

/// So many bytes at a place; `None` when there is no room for them.
#[inline(always)]
pub(super) fn room<const N: usize>(out: &mut [u8], at: u32) -> Option<&mut [u8; N]> {
    let at = at as usize;
    out.get_mut(at..at.wrapping_add(N))?.first_chunk_mut()
}

/// Where a text ends without the spaces at its end.
#[inline(always)]
pub(super) fn trimmed_end(bytes: &[u8], from: u32, to: u32) -> u32 {
    let text = bytes.get(..to as usize).unwrap_or_default();
    if let Some(last) = text.last_chunk() {
        let spaces = (u64::from_le_bytes(*last) ^ SPACES).leading_zeros() / 8;
        if spaces < 8 {
            return to.wrapping_sub(spaces).max(from);
        }
    }
    let text = text.get(from as usize..).unwrap_or_default();
    from.wrapping_add(Cp866(text).trimmed().0.len() as u32)
}

const SPACES: u64 = 0x2020_2020_2020_2020;

/// Writes bytes at `at` as a string of hex digits, and a comma; gives where that ends, `None` when there is no room.
pub(super) fn put_hex(out: &mut [u8], at: u32, bytes: &[u8]) -> Option<u32> {
    let len = bytes.len().wrapping_mul(2);
    let (quote, rest) = out.get_mut(at as usize..)?.split_first_mut()?;
    let (digits, rest) = rest.split_at_mut_checked(len)?;
    *quote = b'"';
    for (pair, &byte) in digits.as_chunks_mut().0.iter_mut().zip(bytes) {
        *pair = HEX_PAIRS.get(usize::from(byte)).copied().unwrap_or_default();
    }
    *rest.first_chunk_mut()? = *b"\",";
    Some(at.wrapping_add(len as u32).wrapping_add(3))
}

/// Digits of base64, the standard alphabet.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Two of them for each twelve bits.
#[expect(clippy::indexing_slicing, reason = "evaluated while compiling, where a wrong index is an error")]
static BASE64_PAIRS: [[u8; 2]; 4096] = {
    let mut table = [[0; 2]; 4096];
    let mut at = 0;
    while at < 4096 {
        table[at] = [BASE64[at >> 6], BASE64[at & 63]];
        at += 1;
    }
    table
};

/// Appends base64 with the standard alphabet and padding, without quotes.
pub(super) fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len().div_ceil(3).saturating_mul(4));
    let pair = |bits: u32| BASE64_PAIRS.get((bits & 0xFFF) as usize).copied().unwrap_or_default();
    let (groups, rest) = bytes.as_chunks::<6>();
    for &[a, b, c, d, e, f] in groups {
        let (left, right) = (u32::from_be_bytes([0, a, b, c]), u32::from_be_bytes([0, d, e, f]));
        let pairs = [pair(left >> 12), pair(left), pair(right >> 12), pair(right)];
        out.extend_from_slice(pairs.as_flattened());
    }
    let digit = |bits: u32| BASE64.get((bits & 0x3F) as usize).copied().unwrap_or(b'=');
    for chunk in rest.chunks(3) {
        let mut group = [0_u8; 3];
        for (place, byte) in group.iter_mut().zip(chunk) {
            *place = *byte;
        }
        let [a, b, c] = group;
        let bits = u32::from_be_bytes([0, a, b, c]);
        let third = if chunk.len() > 1 { digit(bits >> 6) } else { b'=' };
        let fourth = if chunk.len() > 2 { digit(bits) } else { b'=' };
        out.extend_from_slice(&[digit(bits >> 18), digit(bits >> 12), third, fourth]);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn shown(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// A text as a string of JSON, with other bytes around it, which must not matter.
    fn text_shown(text: &[u8]) -> String {
        let [one, other] =
            [[b"12345678", text, b""], [b"  \xFF\0\"   ", text, b"\xFF 234567"]].map(|parts| {
                let mut out = vec![b'#'; 4096 + 6 * text.len()];
                let end = put_text(&mut out, 1, &parts.concat(), 8, 8 + text.len() as u32).unwrap();
                let written = out.get(1..end as usize).unwrap();
                format!("\"{}", core::str::from_utf8(written).unwrap())
            });
        assert_eq!(one, other);
        one
    }

    /// The table is our own; the library's is the judge, and a JSON parser reads what comes out. Each byte stands at
    /// every place of a block of eight, so that the short way past plain blocks is taken and not taken.
    #[test]
    fn every_byte_as_text() {
        for byte in 0..=255_u8 {
            for place in 0..20 {
                let mut text = [b'x'; 20];
                if let Some(at) = text.get_mut(place) {
                    *at = byte;
                }
                let json = text_shown(&text);
                let read: String = serde_json::from_str(json.strip_suffix(',').unwrap()).unwrap();
                assert_eq!(read, crate::Cp866(&text).to_string(), "{byte:02x} at {place}");
                assert!(json.bytes().all(|byte| byte >= b' ' && byte != 0x7F), "{byte:02x}");
            }
        }
        let all: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let json = text_shown(&all);
        let read: String = serde_json::from_str(json.strip_suffix(',').unwrap()).unwrap();
        assert_eq!(read, crate::Cp866(&all).to_string());
    }

    /// A text of any length is written whole, and where there is no room for it nothing else happens.
    #[test]
    fn text_of_every_length_is_written_whole_or_not_at_all() {
        let all: Vec<u8> = (0..=255).map(|it: u8| it.wrapping_mul(37)).collect();
        let texts = |len: usize| [all.iter().copied().take(len).collect(), vec![b'7'; len], vec![0x80; len]];
        for text in (0..all.len()).flat_map(texts) {
            let json = text_shown(&text);
            let read: String = serde_json::from_str(json.strip_suffix(',').unwrap()).unwrap();
            assert_eq!(read, crate::Cp866(&text).to_string());
            let bytes = [&[0; 8], text.as_slice()].concat();
            let (to, mut tight) = (bytes.len() as u32, vec![0; json.len() - 1]);
            assert_eq!(put_text(&mut tight, 1, &bytes, 8, to), None);
        }
    }

    /// Spaces at the end, as many as there are, and none of those that stand before the text.
    #[test]
    fn padding_is_cut_off() {
        for spaces in 0..20 {
            for letters in 0..10 {
                for before in [0, 9] {
                    let text = [vec![b' '; before], vec![b'x'; letters], vec![b' '; spaces]].concat();
                    let end = trimmed_end(&text, before as u32, text.len() as u32);
                    assert_eq!(end as usize, before + letters);
                }
            }
        }
    }

    /// Hex needs all of its room.
    #[test]
    fn bytes_are_hex() {
        let mut out = [b'#'; 8];
        assert_eq!(put_hex(&mut out, 1, &[0xAB, 0x01]), Some(8));
        assert_eq!(&out, b"#\"ab01\",");
        assert_eq!(put_hex(&mut out, 2, &[0xAB, 0x01]), None);
        assert_eq!(put_hex(&mut out, 9, &[]), None);
    }

    /// Base64 of every remainder.
    #[test]
    fn base64_pads() {
        for (bytes, expected) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"\xFF\xFE\xFD\xFB", "//79+w=="),
        ] {
            assert_eq!(shown(|out| push_base64(out, bytes)), expected);
        }
    }
}
