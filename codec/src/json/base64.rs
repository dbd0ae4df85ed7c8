//! Base64 as exports have it: standard or for addresses, padded or not, broken into lines or not.

use alloc::vec::Vec;

/// The bytes of a text; `None` when it is no base64.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut group, mut digits, mut ended) = (0_u32, 0_usize, false);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        let digit = match byte {
            _ if ended && byte != b'=' => return None,
            b'A'..=b'Z' => byte.wrapping_sub(b'A'),
            b'a'..=b'z' => byte.wrapping_sub(b'a').wrapping_add(26),
            b'0'..=b'9' => byte.wrapping_sub(b'0').wrapping_add(52),
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => {
                ended = true;
                continue;
            }
            _ => return None,
        };
        group = group << 6 | u32::from(digit);
        digits = digits.saturating_add(1);
        if digits == 4 {
            let [_, a, b, c] = group.to_be_bytes();
            out.extend_from_slice(&[a, b, c]);
            (group, digits) = (0, 0);
        }
    }
    // What is left of the last group: two digits are a byte, three are two; a single one is nothing.
    let [_, a, b, _] = (group << (6_usize.saturating_mul(4_usize.saturating_sub(digits)))).to_be_bytes();
    match digits {
        0 => {}
        2 => out.push(a),
        3 => out.extend_from_slice(&[a, b]),
        _ => return None,
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the writer makes of any length comes back, in each of the spellings.
    #[test]
    fn base64_of_every_length_comes_back() {
        let bytes: Vec<u8> = (0..=255).map(|it: u8| it.wrapping_mul(37)).collect();
        for len in 0..bytes.len() {
            let bytes = bytes.get(..len).unwrap_or_default();
            let mut text = Vec::new();
            super::super::text::push_base64(&mut text, bytes);
            let text = alloc::string::String::from_utf8_lossy(&text).into_owned();
            assert_eq!(decode(&text).as_deref(), Some(bytes), "{text}");
            assert_eq!(decode(text.trim_end_matches('=')).as_deref(), Some(bytes), "{text}");
            let other = text.replace('+', "-").replace('/', "_\r\n");
            assert_eq!(decode(&other).as_deref(), Some(bytes), "{other}");
        }
        for bad in ["A", "AAAAA", "A=AA", "AA*A", "AA==A", "Ж"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
