//! Taxpayer numbers (ИНН): their check digits, and a number that is known to have them.
//!
//! Shape:  ten digits for an organisation, twelve for a person, on the wire padded with spaces to twelve bytes. Some
//! registers pad ten digits with two zeros on the left instead; that is read as ten digits, never written.
//! Errors: `Value` for digits that do not check, `Length` for another number of them.
//! Source: order ЕД-7-14/559@ for the check digits; order ЕД-7-20/662@, tags 1018, 1226 and 1228.

use core::fmt;

use crate::{DecodeError, DecodeErrorKind};

/// What stands in place of the ИНН of a party that has none (tags 1226 and 1228).
pub const NO_INN: &[u8; 12] = b"000000000000";

/// True for ten or twelve digits whose check digits hold; ten digits behind two zeros count as ten.
///
/// ```
/// use ofd_codec::inn::is_inn;
/// assert!(is_inn(b"7701234560"));
/// assert!(is_inn(b"007701234560"));
/// assert!(!is_inn(b"7701234561"));
/// ```
#[must_use]
pub fn is_inn(digits: &[u8]) -> bool {
    match digits.len() {
        10 => is_organisation(digits),
        12 => is_person(digits) || digits.strip_prefix(b"00").is_some_and(is_organisation),
        _ => false,
    }
}

/// True for ten digits, the last of which checks the nine before it.
#[must_use]
pub fn is_organisation(digits: &[u8]) -> bool {
    digits.len() == 10 && check_digit(digits, &[2, 4, 10, 3, 5, 9, 4, 6, 8]) == digits.get(9).copied()
}

/// True for twelve digits, the last two of which check those before them.
#[must_use]
pub fn is_person(digits: &[u8]) -> bool {
    digits.len() == 12
        && check_digit(digits, &[7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) == digits.get(10).copied()
        && check_digit(digits, &[3, 7, 2, 4, 10, 3, 5, 9, 4, 6, 8]) == digits.get(11).copied()
}

/// The ASCII digit that the weighted sum of the digits before it gives; `None` if one of them is no digit.
fn check_digit(digits: &[u8], weights: &[u32]) -> Option<u8> {
    let mut sum = 0u32;
    for (position, weight) in weights.iter().enumerate() {
        let digit = digits.get(position).filter(|digit| digit.is_ascii_digit())?;
        sum = sum.checked_add(weight.checked_mul(u32::from(digit.saturating_sub(b'0')))?)?;
    }
    u8::try_from(sum % 11 % 10).ok()?.checked_add(b'0')
}

/// A taxpayer number whose check digits hold, as the wire has it.
///
/// ```
/// use ofd_codec::Inn;
/// let inn = Inn::parse("7701234560")?;
/// assert_eq!(inn.as_wire(), b"7701234560  ");
/// assert_eq!(inn.as_str(), "7701234560");
/// assert!(Inn::parse("7701234561").is_err());
/// # Ok::<(), ofd_codec::DecodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Inn([u8; 12]);

impl Inn {
    /// The number of a party that has none: twelve zeros, for suppliers (1226) and buyers (1228) only.
    pub const NONE: Self = Self(*NO_INN);

    /// Reads ten or twelve digits, or the twelve zeros of [`Inn::NONE`]; spaces after them are allowed.
    ///
    /// # Errors
    /// `Length` for another number of characters, `Value` for anything but digits that check.
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        Self::from_wire(text.as_bytes())
    }

    /// As [`Inn::parse`], from the bytes of a requisite. Ten digits behind two zeros are read as ten.
    ///
    /// # Errors
    /// As [`Inn::parse`].
    pub fn from_wire(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut digits = bytes.trim_ascii_end();
        if !matches!(digits.len(), 10 | 12) {
            return Err(DecodeError::new(DecodeErrorKind::Length, digits.len()));
        }
        if digits == NO_INN {
            return Ok(Self::NONE);
        }
        if !is_inn(digits) {
            return Err(DecodeError::new(DecodeErrorKind::Value, 0));
        }
        if !is_person(digits) {
            digits = digits.strip_prefix(b"00").filter(|rest| rest.len() == 10).unwrap_or(digits);
        }
        let mut wire = [b' '; 12];
        for (place, &digit) in wire.iter_mut().zip(digits) {
            *place = digit;
        }
        Ok(Self(wire))
    }

    /// The twelve bytes of the wire, padded on the right with spaces.
    #[must_use]
    pub const fn as_wire(&self) -> &[u8; 12] {
        &self.0
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only digits and spaces ever get in, so this is always text.
        core::str::from_utf8(&self.0).unwrap_or_default().trim_end_matches(' ')
    }

    /// Whether this is the number of a person: twelve digits.
    #[must_use]
    pub fn is_person(&self) -> bool {
        is_person(&self.0)
    }
}

impl fmt::Display for Inn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Inn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inn({})", self.as_str())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    /// Why: a number is told from its neighbours by nothing but these digits.
    #[test]
    fn a_wrong_check_digit_is_found() {
        for (good, checks) in [("7701234560", 9..10), ("500100732259", 10..12)] {
            assert!(is_inn(good.as_bytes()), "{good}");
            for at in checks {
                for digit in (b'0'..=b'9').filter(|digit| good.as_bytes().get(at) != Some(digit)) {
                    let mut bad = good.as_bytes().to_vec();
                    *bad.get_mut(at).unwrap() = digit;
                    assert!(!is_inn(&bad), "{good} with {digit} at {at}");
                }
            }
        }
    }

    /// Why: other lengths, letters and blanks are no taxpayer numbers, and two zeros in front are no digits.
    #[test]
    fn what_is_no_number_is_refused_and_padding_is_read() {
        for bad in ["", "7", "770123456", "77012345600", "77012345AB", "0000000000000", "           7"] {
            assert!(Inn::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Inn::parse("007701234560"), Inn::parse("7701234560  "));
        assert_eq!(Inn::parse("000000000000"), Ok(Inn::NONE));
        assert!(Inn::parse("500100732259").unwrap().is_person());
        assert!(!Inn::parse("7701234560").unwrap().is_person());
    }
}
