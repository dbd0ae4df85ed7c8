//! Units of the field as types of their own, so that kopecks are never added to seconds.
//!
//! Invariants: no floats anywhere; a drive number is text of digits, never an integer (leading zeros count);
//! the time of a register has no zone and is not a timestamp.

use core::fmt;

use crate::{DecodeError, DecodeErrorKind};

/// Money in whole kopecks (копейки). One rouble is a hundred of them.
///
/// ```
/// # use ofd_codec::Kopecks;
/// assert_eq!(Kopecks(15_905).to_string(), "159.05");
/// assert_eq!(Kopecks(-7).to_string(), "-0.07");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kopecks(pub i64);

impl fmt::Display for Kopecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let value = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", value / 100, value % 100)
    }
}

/// A decimal number `mantissa × 10^-scale`: quantity of an item (количество предмета расчёта, tag 1023).
///
/// Equality is that of the notation: `1` and `1.000` are different values of this type, because the wire keeps
/// them apart and a document must come back as it was. [`Quantity::to_decimal`] brings two numbers to one scale.
///
/// ```
/// # use ofd_codec::Quantity;
/// assert_eq!(Quantity { mantissa: 876, scale: 3 }.to_string(), "0.876");
/// assert_eq!(Quantity { mantissa: 1, scale: 0 }.to_decimal(6), Some(1_000_000));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quantity {
    /// All digits, without the point.
    pub mantissa: u64,
    /// How many of them stand after the point.
    pub scale: u8,
}

impl Quantity {
    /// Longest encoding in bytes: one for the scale, seven for the mantissa.
    pub const ENCODED_LEN_MAX: usize = 8;

    /// The number as an integer of `10^-scale` units, exact; `None` when it has digits beyond `scale` that are not
    /// zero, or does not fit.
    #[must_use]
    pub fn to_decimal(self, scale: u8) -> Option<i128> {
        if self.mantissa == 0 {
            return Some(0);
        }
        // The usual weight: numbers of 64 bits are divided at once.
        if scale < self.scale
            && let Some(factor) = 10_u64.checked_pow(u32::from(self.scale.saturating_sub(scale)))
        {
            let (whole, rest) = (self.mantissa.checked_div(factor)?, self.mantissa.checked_rem(factor)?);
            return (rest == 0).then_some(i128::from(whole));
        }
        let mantissa = i128::from(self.mantissa);
        if scale >= self.scale {
            let factor = 10_i128.checked_pow(u32::from(scale.saturating_sub(self.scale)))?;
            mantissa.checked_mul(factor)
        } else {
            let factor = 10_i128.checked_pow(u32::from(self.scale.saturating_sub(scale)))?;
            (mantissa.checked_rem(factor)? == 0).then(|| mantissa.checked_div(factor)).flatten()
        }
    }
}

impl fmt::Display for Quantity {
    /// The exact decimal literal, with as many digits after the point as the scale says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = usize::from(self.scale);
        if scale == 0 {
            return write!(f, "{}", self.mantissa);
        }
        // Up to 19 digits the halves are plain integers; beyond that everything stands after the point.
        match 10_u64.checked_pow(u32::from(self.scale)) {
            Some(unit) => {
                let whole = self.mantissa.checked_div(unit).unwrap_or_default();
                let part = self.mantissa.checked_rem(unit).unwrap_or_default();
                write!(f, "{whole}.{part:0scale$}")
            }
            None => write!(f, "0.{:0scale$}", self.mantissa),
        }
    }
}

/// Seconds since 1970-01-01 of the register's own wall clock, without zone (tags 1012, 1098, 1178, 1273).
///
/// It orders nothing and is not a UTC time; converting it "as if UTC" gives the digits the cashier saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalSeconds(pub u32);

/// Number of a fiscal document within its drive (номер ФД, tag 1040), from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentNumber(pub u32);

impl fmt::Display for DocumentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Fiscal sign of a document (ФПД, tag 1077): two bytes of type and length, then the printed number, big-endian.
///
/// ```
/// # use ofd_codec::FiscalSign;
/// let sign = FiscalSign([0x31, 0x04, 0x00, 0x00, 0x01, 0x02]);
/// assert_eq!(sign.printed(), 258);
/// assert_eq!(sign.to_string(), "0000000258");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FiscalSign(pub [u8; 6]);

impl FiscalSign {
    /// The number printed on the receipt. It has 32 bits and repeats nation-wide.
    #[must_use]
    pub const fn printed(self) -> u32 {
        let [_, _, a, b, c, d] = self.0;
        u32::from_be_bytes([a, b, c, d])
    }
}

impl fmt::Display for FiscalSign {
    /// Ten digits, as printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:010}", self.printed())
    }
}

/// Number of a fiscal drive (номер ФН, tag 1041): up to 16 digits, right-padded with spaces.
///
/// Shape on the wire: 16 bytes ASCII in the session header and in tag 1041; eight bytes packed decimal in the
/// container header, a missing digit being the nibble F.
///
/// ```
/// # use ofd_codec::DriveNumber;
/// let drive = DriveNumber::parse("999907891234567")?;
/// assert_eq!(drive.as_bytes(), b"999907891234567 ");
/// assert_eq!(drive.to_bcd(), [0x99, 0x99, 0x07, 0x89, 0x12, 0x34, 0x56, 0x7F]);
/// assert!(drive.is_test());
/// # Ok::<(), ofd_codec::DecodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DriveNumber([u8; 16]);

/// Sixteen bytes at once: each of them asked alone made a tenth of what a worker does with a document.
const ZEROS: u128 = u128::from_ne_bytes([b'0'; 16]);
const SIXES: u128 = u128::from_ne_bytes([6; 16]);
const TENS: u128 = u128::from_ne_bytes([0x10; 16]);
const LOWER: u128 = u128::from_ne_bytes([0x0F; 16]);
const UPPER: u128 = !LOWER;
/// Steps in which every second byte comes together, with the bytes that count before each.
const SPREAD: [(u32, u128); 3] = [
    (8, 0x00FF_00FF_00FF_00FF_00FF_00FF_00FF_00FF),
    (16, 0x0000_FFFF_0000_FFFF_0000_FFFF_0000_FFFF),
    (32, 0x0000_0000_FFFF_FFFF_0000_0000_FFFF_FFFF),
];

impl DriveNumber {
    /// Longest number in digits and its length on the wire in bytes.
    pub const LEN: usize = 16;

    /// Reads the 16 bytes of the wire: at least one digit, then spaces.
    ///
    /// # Errors
    /// `DriveNumber`, with the offset of the first byte that does not belong.
    #[inline]
    pub fn from_wire(bytes: &[u8; 16]) -> Result<Self, DecodeError> {
        let all = u128::from_ne_bytes(*bytes);
        // Sixteen digits, as every drive has them: no byte above 9 carries into its upper half.
        if all & UPPER == ZEROS && all.wrapping_add(SIXES) & UPPER == ZEROS {
            return Ok(Self(*bytes));
        }
        Self::from_padded(bytes)
    }

    fn from_padded(bytes: &[u8; 16]) -> Result<Self, DecodeError> {
        let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let spaces = bytes.iter().rev().take_while(|&&byte| byte == b' ').count();
        if digits == 0 || digits.saturating_add(spaces) != Self::LEN {
            return Err(DecodeError::new(DecodeErrorKind::DriveNumber, digits));
        }
        Ok(Self(*bytes))
    }

    /// Reads 1 to 16 digits, spaces after them being allowed.
    ///
    /// # Errors
    /// `DriveNumber` when there is anything else, nothing or too much.
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        Self::from_slice(text.as_bytes())
    }

    /// As [`DriveNumber::parse`], from bytes.
    pub(crate) fn from_slice(bytes: &[u8]) -> Result<Self, DecodeError> {
        if let Ok(whole) = bytes.try_into() {
            return Self::from_wire(whole);
        }
        let mut padded = [b' '; 16];
        match padded.get_mut(..bytes.len()) {
            Some(head) => head.copy_from_slice(bytes),
            None => return Err(DecodeError::new(DecodeErrorKind::DriveNumber, Self::LEN)),
        }
        Self::from_wire(&padded)
    }

    /// Unpacks the eight bytes of a container header.
    ///
    /// # Errors
    /// `DriveNumber` when a nibble is neither a digit nor the F of the padding.
    #[expect(clippy::big_endian_bytes, reason = "the packed number is big-endian by definition")]
    pub fn from_bcd(bcd: [u8; 8]) -> Result<Self, DecodeError> {
        let mut all = u128::from(u64::from_be_bytes(bcd));
        for (step, kept) in SPREAD.into_iter().rev() {
            all = (all | all << step) & kept;
        }
        all = (all | all << 4) & LOWER;
        if all.wrapping_add(SIXES) & UPPER == 0 {
            return Ok(Self((all | ZEROS).to_be_bytes()));
        }
        let mut digits = [b' '; 16];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bcd) {
            for (place, nibble) in pair.iter_mut().zip([byte >> 4, byte & 0x0F]) {
                *place = match nibble {
                    0..=9 => b'0'.saturating_add(nibble),
                    0x0F => b' ',
                    // Not a digit and not a space either: the check below refuses it.
                    _ => 0,
                };
            }
        }
        Self::from_wire(&digits)
    }

    /// Packs the number as the container header has it.
    #[must_use]
    #[expect(clippy::big_endian_bytes, reason = "the packed number is big-endian by definition")]
    pub const fn to_bcd(self) -> [u8; 8] {
        self.to_bcd_u64().to_be_bytes()
    }

    /// The packed number as one integer, big-endian: an 8-byte key that sorts like the digits.
    #[must_use]
    #[expect(clippy::big_endian_bytes, reason = "the packed number is big-endian by definition")]
    #[expect(clippy::cast_possible_truncation, reason = "the upper half is empty by then")]
    pub const fn to_bcd_u64(self) -> u64 {
        let all = u128::from_be_bytes(self.0);
        // A space lacks the bit that every digit has: F for it.
        let spaces = (!all & TENS) >> 4;
        let mut all = (all & LOWER) | spaces | spaces << 1 | spaces << 2 | spaces << 3;
        all |= all >> 4;
        let [(one, ones), (two, twos), (four, fours)] = SPREAD;
        all &= ones;
        all = (all | all >> one) & twos;
        all = (all | all >> two) & fours;
        (all | all >> four) as u64
    }

    /// The digits without the padding.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Only digits and spaces ever get in, so this is always text.
        core::str::from_utf8(&self.0).unwrap_or_default().trim_end_matches(' ')
    }

    /// The 16 bytes of the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Whether this is a drive for trials (МГМ, макет ФН): their numbers begin with 9999 and their documents are
    /// never revenue.
    #[must_use]
    pub fn is_test(&self) -> bool {
        self.0.starts_with(b"9999")
    }
}

impl fmt::Display for DriveNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for DriveNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DriveNumber({})", self.as_str())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    /// Every length of a drive number survives packing.
    #[test]
    fn drive_numbers_of_every_length_survive_packing() {
        let digits = "9028374655647381";
        for len in 1..=16 {
            let drive = DriveNumber::parse(digits.get(..len).unwrap()).unwrap();
            assert_eq!(DriveNumber::from_bcd(drive.to_bcd()), Ok(drive), "{len} digits");
            assert_eq!(drive.as_str().len(), len);
            assert_eq!(DriveNumber::from_wire(drive.as_bytes()), Ok(drive));
        }
    }

    /// Bytes are looked at sixteen at once: one at a time they say the same.
    #[test]
    fn every_byte_of_a_drive_number_is_looked_at() {
        let nibble = |byte: u8| if byte == b' ' { 0x0F } else { byte & 0x0F };
        for at in 0..16 {
            for byte in 0..=u8::MAX {
                let mut wire = *b"9028374655647381";
                *wire.get_mut(at).unwrap() = byte;
                let good = byte.is_ascii_digit() || (byte == b' ' && at == 15);
                assert_eq!(DriveNumber::from_wire(&wire).is_ok(), good, "{byte:#x} at {at}");
                if let Ok(drive) = DriveNumber::from_wire(&wire) {
                    let packed = drive.to_bcd();
                    let unpacked = packed.into_iter().flat_map(|it| [it >> 4, it & 15]);
                    assert!(wire.into_iter().map(nibble).eq(unpacked), "{byte:#x} at {at}");
                }
                let mut bcd = [0x90, 0x28, 0x37, 0x46, 0x55, 0x64, 0x73, 0x81];
                *bcd.get_mut(at / 2).unwrap() = byte;
                let digits = byte >> 4 < 10 && (byte & 15 < 10 || (at / 2 == 7 && byte & 15 == 15));
                let good = digits || (at / 2 == 7 && byte == 0xFF);
                assert_eq!(DriveNumber::from_bcd(bcd).is_ok(), good, "{byte:#x} at {at}");
                if let Ok(drive) = DriveNumber::from_bcd(bcd) {
                    assert_eq!(drive.to_bcd(), bcd);
                }
            }
        }
    }

    /// Padding stands at the end only: a number with a hole would have two spellings.
    #[test]
    fn drive_number_refuses_holes_letters_and_nothing() {
        for bad in ["", " 123", "12 34", "12345678901234567", "12a", "１２"] {
            assert_eq!(DriveNumber::parse(bad).unwrap_err().kind, DecodeErrorKind::DriveNumber, "{bad:?}");
        }
        assert!(DriveNumber::from_bcd([0xFF; 8]).is_err());
        assert!(DriveNumber::from_bcd([0x12, 0x3A, 0, 0, 0, 0, 0, 0]).is_err());
        assert!(DriveNumber::from_bcd([0x12, 0xF4, 0, 0, 0, 0, 0, 0]).is_err());
    }

    /// A decimal literal keeps its zeros, and a scale beyond the digits still prints exactly.
    #[test]
    fn quantity_prints_the_exact_literal() {
        let check = |mantissa, scale, expected: &str| {
            assert_eq!(Quantity { mantissa, scale }.to_string(), expected);
        };
        check(1000, 3, "1.000");
        check(1, 0, "1");
        check(5, 3, "0.005");
        check(0, 2, "0.00");
        check(u64::MAX, 19, "1.8446744073709551615");
        check(u64::MAX, 20, "0.18446744073709551615");
        check(7, 25, "0.0000000000000000000000007");
    }

    /// Bringing to another scale is exact or refused, never rounded.
    #[test]
    fn quantity_changes_scale_exactly_or_not_at_all() {
        let quantity = Quantity { mantissa: 1_230, scale: 3 };
        assert_eq!(quantity.to_decimal(6), Some(1_230_000));
        assert_eq!(quantity.to_decimal(2), Some(123));
        assert_eq!(quantity.to_decimal(1), None);
        assert_eq!(Quantity { mantissa: 1, scale: 255 }.to_decimal(0), None);
        assert_eq!(Quantity { mantissa: u64::MAX, scale: 0 }.to_decimal(255), None);
        assert_eq!(Quantity { mantissa: 0, scale: 200 }.to_decimal(0), Some(0));
        // The highest power of ten that 64 bits hold.
        let highest = 10_000_000_000_000_000_000;
        assert_eq!(Quantity { mantissa: highest, scale: 19 }.to_decimal(0), Some(1));
        assert_eq!(Quantity { mantissa: highest, scale: 20 }.to_decimal(0), None);
        assert_eq!(Quantity { mantissa: u64::MAX, scale: 19 }.to_decimal(0), None);
    }
}
