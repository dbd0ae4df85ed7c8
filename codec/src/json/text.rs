//! Text, numbers and bytes as JSON, appended to a buffer of bytes.
//!
//! Every value is written with the comma that follows it: whoever closes an object or a list takes the last one off.
//! Short things are appended at a constant width and cut to their length: a copy of constant width is one or two
//! moves, a copy of any length is a call.
//! Invariant: what is appended is UTF-8, whatever the CP866 was (test: json/text.rs::tests::every_byte_as_text).

use alloc::vec::Vec;

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

/// `00` to `99`.
#[expect(clippy::indexing_slicing, reason = "evaluated while compiling, where a wrong index is an error")]
static PAIRS: [[u8; 2]; 100] = {
    let mut table = [[0; 2]; 100];
    let mut at = 0;
    while at < 100 {
        table[at] = [b'0' + (at / 10) as u8, b'0' + (at % 10) as u8];
        at += 1;
    }
    table
};

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

/// Appends all of `bytes` and keeps the first `len` of them.
#[inline(always)]
pub(super) fn push_wide<const N: usize>(out: &mut Vec<u8>, bytes: &[u8; N], len: usize) {
    let end = out.len().saturating_add(len);
    out.extend_from_slice(bytes);
    out.truncate(end);
}

/// Digits of a number, and how many.
#[inline(always)]
fn digits<const N: usize>(number: u64, fill: u8) -> ([u8; N], usize) {
    let mut shown = [fill; N];
    let len = number.checked_ilog10().map_or(1, |log| log as usize + 1);
    let (mut rest, mut end) = (number, len);
    while rest >= 10 {
        let pair = PAIRS.get((rest % 100) as usize).copied().unwrap_or_default();
        rest /= 100;
        end = end.wrapping_sub(2);
        if let Some(place) = shown.get_mut(end..).and_then(<[u8]>::first_chunk_mut) {
            *place = pair;
        }
    }
    if end > 0
        && let Some(place) = shown.first_mut()
    {
        *place = b'0' | rest as u8;
    }
    (shown, len)
}

/// Appends a whole number and a comma.
#[inline(always)]
pub(super) fn push_number(out: &mut Vec<u8>, number: u64) {
    if number < 10 {
        out.extend_from_slice(&[b'0' | number as u8, b',']);
        return;
    }
    let (shown, len) = digits::<24>(number, b',');
    push_wide(out, &shown, len.saturating_add(1));
}

/// Appends `mantissa × 10^-scale` with all digits that the scale names, and a comma.
pub(super) fn push_decimal(out: &mut Vec<u8>, mantissa: u64, scale: u8) {
    let scale = usize::from(scale);
    if scale == 0 {
        return push_number(out, mantissa);
    }
    let (shown, len) = digits::<20>(mantissa, 0);
    let shown = shown.get(..len).unwrap_or_default();
    match shown.split_at_checked(len.saturating_sub(scale)) {
        Some((whole @ [_, ..], part)) => {
            out.extend_from_slice(whole);
            out.push(b'.');
            out.extend_from_slice(part);
        }
        _ => {
            out.extend_from_slice(b"0.");
            let zeros = scale.saturating_sub(len);
            out.resize(out.len().saturating_add(zeros), b'0');
            out.extend_from_slice(shown);
        }
    }
    out.push(b',');
}

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

/// Bytes of text for which room is made at once.
const CHUNK: usize = 64;
/// The longest that a byte becomes, and what a store of eight bytes may write beyond it.
const SHOWN_MAX: usize = 6;
const STORE: usize = 8;

/// Appends CP866 text as a JSON string, and a comma.
#[inline]
pub(super) fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let mut rest = text;
    // Numbers in text form, addresses of sites and Latin names stand for themselves.
    while let Some((block, tail)) = rest.split_first_chunk::<8>() {
        if !is_plain(u64::from_le_bytes(*block)) {
            break;
        }
        out.extend_from_slice(block);
        rest = tail;
    }
    for chunk in rest.chunks(CHUNK) {
        push_chunk(out, chunk);
    }
    out.extend_from_slice(b"\",");
}

#[inline(always)]
fn push_chunk(out: &mut Vec<u8>, chunk: &[u8]) {
    let start = out.len();
    let room = chunk.len().saturating_mul(SHOWN_MAX).saturating_add(STORE);
    out.resize(start.saturating_add(room), 0);
    let place = out.get_mut(start..).unwrap_or_default();
    let mut len = 0_usize;
    for &byte in chunk {
        let packed = SHOWN.get(usize::from(byte)).copied().unwrap_or_default();
        if let Some(place) = place.get_mut(len..).and_then(<[u8]>::first_chunk_mut::<STORE>) {
            *place = packed.to_le_bytes();
        }
        len = len.wrapping_add((packed >> 56) as usize);
    }
    out.truncate(start.saturating_add(len));
}

/// Appends bytes as a string of hex digits, and a comma.
pub(super) fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    for &byte in bytes {
        out.extend_from_slice(&HEX_PAIRS.get(usize::from(byte)).copied().unwrap_or_default());
    }
    out.extend_from_slice(b"\",");
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
                let json = shown(|out| push_text(out, &text));
                let read: String = serde_json::from_str(json.strip_suffix(',').unwrap()).unwrap();
                assert_eq!(read, crate::Cp866(&text).to_string(), "{byte:02x} at {place}");
                assert!(json.bytes().all(|byte| byte >= b' ' && byte != 0x7F), "{byte:02x}");
            }
        }
        let all: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let json = shown(|out| push_text(out, &all));
        let read: String = serde_json::from_str(json.strip_suffix(',').unwrap()).unwrap();
        assert_eq!(read, crate::Cp866(&all).to_string());
    }

    /// Every count of digits, at both ends.
    #[test]
    fn integers_are_written_whole_from_zero_to_the_largest() {
        let mut power = Some(1_u64);
        while let Some(number) = power {
            for number in [number.saturating_sub(1), number, number.saturating_add(1)] {
                assert_eq!(shown(|out| push_number(out, number)), format!("{number},"));
            }
            power = number.checked_mul(10);
        }
        assert_eq!(shown(|out| push_number(out, u64::MAX)), format!("{},", u64::MAX));
    }

    /// The writer's decimal and that of the unit are one.
    #[test]
    fn decimals_are_written_as_quantities_print() {
        for mantissa in [0, 1, 9, 10, 999, 1000, 123_456_789, u64::MAX] {
            for scale in 0..=255 {
                let expected = format!("{},", crate::Quantity { mantissa, scale });
                assert_eq!(shown(|out| push_decimal(out, mantissa, scale)), expected);
            }
        }
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
