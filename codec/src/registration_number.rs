//! The registration number of a register (регистрационный номер ККТ, tag 1037).
//!
//! Shape:  `[serial: 10 digits][check: 6 digits]`, padded with spaces to twenty bytes. The check is the decimal
//! CRC-16/IBM-3740 (CCITT-FALSE) of serial, user ИНН padded left with zeros to 12, and factory number padded left
//! with zeros to 20.
//! Errors: `Length` unless there are sixteen characters, `Value` for one that is no digit.
//! Source: observed on registration documents.

use core::fmt;

use crate::frame::crc16;
use crate::{DecodeError, DecodeErrorKind};

/// Digits of the serial part.
pub const SERIAL_LEN: usize = 10;
/// Digits of the whole number.
pub const NUMBER_LEN: usize = 16;

/// The six check digits of a serial for the register of this user and factory number; spaces around both are
/// ignored. `None` where a part is empty or longer than its field.
///
/// ```
/// use ofd_codec::registration_number::check_digits;
/// assert_eq!(check_digits(b"0000000001", b"7701234560", b"00106900000001"), Some(*b"023292"));
/// ```
#[must_use]
pub fn check_digits(serial: &[u8; SERIAL_LEN], inn: &[u8], factory: &[u8]) -> Option<[u8; 6]> {
    let (inn, factory) = (inn.trim_ascii(), factory.trim_ascii());
    if inn.is_empty() || inn.len() > 12 || factory.is_empty() || factory.len() > 20 {
        return None;
    }
    let mut owner = [b'0'; SERIAL_LEN + 12 + 20];
    let (serial_at, rest) = owner.split_at_mut(SERIAL_LEN);
    let (inn_at, factory_at) = rest.split_at_mut(12);
    serial_at.copy_from_slice(serial);
    right(inn_at, inn);
    right(factory_at, factory);
    let mut crc = crc16(&owner, &[]);
    let mut digits = [b'0'; 6];
    for place in digits.iter_mut().rev() {
        *place = b'0'.saturating_add((crc % 10).to_le_bytes()[0]);
        crc /= 10;
    }
    Some(digits)
}

/// Writes `text` into the right end of `field`.
fn right(field: &mut [u8], text: &[u8]) {
    for (place, &byte) in field.iter_mut().rev().zip(text.iter().rev()) {
        *place = byte;
    }
}

/// A registration number: sixteen digits.
///
/// ```
/// use ofd_codec::RegistrationNumber;
/// let number = RegistrationNumber::for_register(*b"0000000001", "7701234560", "00106900000001")
///     .expect("ten digits, an ИНН, a factory number");
/// assert_eq!(number.as_str(), "0000000001023292");
/// assert!(number.belongs_to("7701234560", "00106900000001"));
/// assert!(!number.belongs_to("7701234560", "00106900000002"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistrationNumber([u8; NUMBER_LEN]);

impl RegistrationNumber {
    /// Reads sixteen digits; spaces after them are allowed. The check digits are not part of the shape: whether
    /// they fit is asked with [`RegistrationNumber::belongs_to`].
    ///
    /// # Errors
    /// As the module header lists; the offset is that of the first byte that does not belong.
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        Self::from_wire(text.as_bytes())
    }

    /// As [`RegistrationNumber::parse`], from the bytes of a requisite.
    ///
    /// # Errors
    /// As [`RegistrationNumber::parse`].
    pub fn from_wire(bytes: &[u8]) -> Result<Self, DecodeError> {
        let digits = bytes.trim_ascii_end();
        let Ok(number) = <[u8; NUMBER_LEN]>::try_from(digits) else {
            return Err(DecodeError::new(DecodeErrorKind::Length, digits.len().min(NUMBER_LEN)));
        };
        match number.iter().position(|byte| !byte.is_ascii_digit()) {
            Some(at) => Err(DecodeError::new(DecodeErrorKind::Value, at)),
            None => Ok(Self(number)),
        }
    }

    /// The number that the tax service would give: serial and check digits. `None` for a serial that is not digits
    /// and where [`check_digits`] gives none.
    #[must_use]
    pub fn for_register(serial: [u8; SERIAL_LEN], inn: &str, factory: &str) -> Option<Self> {
        let check = check_digits(&serial, inn.as_bytes(), factory.as_bytes())?;
        let mut number = [b'0'; NUMBER_LEN];
        for (place, digit) in number.iter_mut().zip(serial.into_iter().chain(check)) {
            *place = digit;
        }
        Self::from_wire(&number).ok()
    }

    /// The first ten digits.
    #[must_use]
    pub fn serial(&self) -> &[u8; SERIAL_LEN] {
        self.0.first_chunk().unwrap_or(&[b'0'; SERIAL_LEN])
    }

    /// The last six digits.
    #[must_use]
    pub fn check(&self) -> &[u8; 6] {
        self.0.last_chunk().unwrap_or(b"000000")
    }

    /// Whether the check digits are those of this user and this factory number.
    #[must_use]
    pub fn belongs_to(&self, inn: &str, factory: &str) -> bool {
        check_digits(self.serial(), inn.as_bytes(), factory.as_bytes()).as_ref() == Some(self.check())
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only digits ever get in, so this is always text.
        core::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The twenty bytes of the wire, padded on the right with spaces.
    #[must_use]
    pub fn to_wire(self) -> [u8; 20] {
        let mut wire = [b' '; 20];
        for (place, digit) in wire.iter_mut().zip(self.0) {
            *place = digit;
        }
        wire
    }
}

impl fmt::Display for RegistrationNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RegistrationNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RegistrationNumber({})", self.as_str())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    /// Why: padding is not part of the number, and each wrong digit of any part is noticed.
    #[test]
    fn a_number_belongs_to_one_user_and_one_register() {
        let number =
            RegistrationNumber::for_register(*b"0000451207", "7701234560", "00106900000001").unwrap();
        assert!(number.belongs_to(" 007701234560 ", "00000000106900000001"));
        assert_eq!(RegistrationNumber::from_wire(&number.to_wire()), Ok(number));
        for at in 0..NUMBER_LEN {
            let mut other = number;
            let digit = other.0.get_mut(at).unwrap();
            *digit = if *digit == b'9' { b'0' } else { digit.saturating_add(1) };
            assert!(!other.belongs_to("7701234560", "00106900000001"), "digit {at}");
        }
        assert!(
            !number.belongs_to("", "1")
                && !number.belongs_to("1", "")
                && !number.belongs_to("1", &"1".repeat(21))
        );
    }

    /// Why: a number with a hole or of another length would have two spellings.
    #[test]
    fn only_sixteen_digits_are_a_number() {
        let kind = |text: &str| RegistrationNumber::parse(text).unwrap_err().kind;
        assert_eq!(kind(""), DecodeErrorKind::Length);
        assert_eq!(kind("000045120703198"), DecodeErrorKind::Length);
        assert_eq!(kind("00004512070319840"), DecodeErrorKind::Length);
        assert_eq!(kind("0000 51207031984"), DecodeErrorKind::Value);
        assert!(RegistrationNumber::for_register(*b"00000000x1", "7701234560", "1").is_none());
    }
}
