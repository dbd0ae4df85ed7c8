//! Values of tags: bytes to units.
//!
//! | type | bytes | reading |
//! |---|---|---|
//! | byte | 1 | a number; an empty value is 0 (seen from registers) |
//! | u16, u32, unix time | 2, 4 | little-endian; empty is 0 |
//! | bits | 1..=4 | little-endian mask; empty is 0 |
//! | VLN | 0..=8 | little-endian, no sign; empty is 0; padding zeros are allowed |
//! | FVLN | 1..=8 | first byte = digits after the point, then a VLN mantissa of 0..=7 bytes |
//! | text | any | CP866, no terminator; control characters do occur |
//!
//! Errors: `Length` when the number of bytes is not one of those, `Value` when the number does not fit its unit.
//! Source: order ЕД-7-20/662@, annex 2, types of data; zero-length and padded numbers: observed from registers.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

use encoding_rs::{CoderResult, IBM866};

use crate::{
    DecodeError, DecodeErrorKind, DriveNumber, FiscalSign, Kopecks, LocalSeconds, Quantity, Tag, Tlv,
};

/// Longest VLN in bytes.
pub const VLN_LEN_MAX: usize = 8;

/// The value of one tag: a borrowed slice that knows its tag and its place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    bytes: &'a [u8],
    offset: u32,
    tag: Tag,
}

// A view with many values in hand stays in cache: slice, offset, tag and no more.
const _: () = assert!(size_of::<Value<'_>>() <= 24);

impl<'a> Value<'a> {
    /// Only a cursor makes values.
    #[inline]
    pub(crate) const fn new(tag: Tag, bytes: &'a [u8], offset: u32) -> Self {
        Self { bytes, offset, tag }
    }

    /// The bytes as they are.
    #[must_use]
    #[inline]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Where the value begins in the bytes that were handed in.
    #[must_use]
    #[inline]
    pub const fn offset(&self) -> usize {
        self.offset as usize
    }

    /// The tag it belongs to.
    #[must_use]
    #[inline]
    pub const fn tag(&self) -> Tag {
        self.tag
    }

    /// An error at this value.
    #[must_use]
    #[cold]
    pub const fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::at(kind, self.tag, self.offset())
    }

    /// Little-endian number of all bytes; the callers have checked that there are at most eight. From two bytes on it is
    /// put together from the first and the last two or four, which overlap where there are fewer, instead of byte by byte.
    #[inline]
    fn little_endian(bytes: &[u8]) -> u64 {
        let halves = |low: u64, high: u64, width: usize| {
            let shift = u32::try_from(bytes.len().wrapping_sub(width)).unwrap_or(0).wrapping_mul(8);
            low | high.wrapping_shl(shift)
        };
        if let (Some(low), Some(high)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            return halves(u32::from_le_bytes(*low).into(), u32::from_le_bytes(*high).into(), 4);
        }
        if let (Some(low), Some(high)) = (bytes.first_chunk::<2>(), bytes.last_chunk::<2>()) {
            return halves(u16::from_le_bytes(*low).into(), u16::from_le_bytes(*high).into(), 2);
        }
        bytes.first().copied().map_or(0, u64::from)
    }

    /// A byte: 0..=255, an empty value being 0.
    ///
    /// # Errors
    /// `Length` for more than one byte.
    #[inline]
    pub fn u8(&self) -> Result<u8, DecodeError> {
        match *self.bytes {
            [] => Ok(0),
            [byte] => Ok(byte),
            _ => Err(self.error(DecodeErrorKind::Length)),
        }
    }

    /// A 16-bit number, little-endian, an empty value being 0.
    ///
    /// # Errors
    /// `Length` for a length other than 0 and 2.
    pub fn u16(&self) -> Result<u16, DecodeError> {
        match *self.bytes {
            [] => Ok(0),
            [a, b] => Ok(u16::from_le_bytes([a, b])),
            _ => Err(self.error(DecodeErrorKind::Length)),
        }
    }

    /// A 32-bit number, little-endian, an empty value being 0.
    ///
    /// # Errors
    /// `Length` for a length other than 0 and 4.
    #[inline]
    pub fn u32(&self) -> Result<u32, DecodeError> {
        match *self.bytes {
            [] => Ok(0),
            [a, b, c, d] => Ok(u32::from_le_bytes([a, b, c, d])),
            _ => Err(self.error(DecodeErrorKind::Length)),
        }
    }

    /// A bit mask of up to 32 bits, little-endian, an empty value being 0.
    ///
    /// # Errors
    /// `Length` for more than four bytes.
    pub fn bits(&self) -> Result<u32, DecodeError> {
        if self.bytes.len() > 4 {
            return Err(self.error(DecodeErrorKind::Length));
        }
        u32::try_from(Self::little_endian(self.bytes)).map_err(|_| self.error(DecodeErrorKind::Value))
    }

    /// A number of variable length (VLN), 0..=8 bytes, little-endian, zero-padded or not.
    ///
    /// # Errors
    /// `Length` for more than eight bytes.
    #[inline]
    pub fn vln(&self) -> Result<u64, DecodeError> {
        if self.bytes.len() > VLN_LEN_MAX {
            return Err(self.error(DecodeErrorKind::Length));
        }
        Ok(Self::little_endian(self.bytes))
    }

    /// Money: a VLN in kopecks.
    ///
    /// # Errors
    /// `Length` as [`Value::vln`], `Value` beyond 63 bits.
    #[inline]
    pub fn kopecks(&self) -> Result<Kopecks, DecodeError> {
        i64::try_from(self.vln()?).map(Kopecks).map_err(|_| self.error(DecodeErrorKind::Value))
    }

    /// A decimal number (FVLN): one byte of scale, then 0..=7 bytes of mantissa. `01` is 0 with one digit after the
    /// point.
    ///
    /// # Errors
    /// `Length` for 0 bytes or more than 8.
    #[inline]
    pub fn fvln(&self) -> Result<Quantity, DecodeError> {
        match *self.bytes {
            [scale, ref digits @ ..] if digits.len() < Quantity::ENCODED_LEN_MAX => {
                Ok(Quantity { mantissa: Self::little_endian(digits), scale })
            }
            _ => Err(self.error(DecodeErrorKind::Length)),
        }
    }

    /// Local time of the register in seconds, an empty value being 0.
    ///
    /// # Errors
    /// `Length` as [`Value::u32`].
    #[inline]
    pub fn unixtime(&self) -> Result<LocalSeconds, DecodeError> {
        self.u32().map(LocalSeconds)
    }

    /// Text in CP866. Every byte has a character, so this cannot fail.
    #[must_use]
    #[inline]
    pub const fn text(&self) -> Cp866<'a> {
        Cp866(self.bytes)
    }

    /// The fiscal sign of tag 1077.
    ///
    /// # Errors
    /// `Length` unless there are six bytes.
    #[inline]
    pub fn fiscal_sign(&self) -> Result<FiscalSign, DecodeError> {
        self.bytes.try_into().map(FiscalSign).map_err(|_| self.error(DecodeErrorKind::Length))
    }

    /// The drive number of tag 1041: digits, right-padded with spaces; a shorter value counts as padded.
    ///
    /// # Errors
    /// `DriveNumber` when there is anything else.
    pub fn drive_number(&self) -> Result<DriveNumber, DecodeError> {
        DriveNumber::from_slice(self.bytes).map_err(|error| DecodeError {
            tag: Some(self.tag),
            offset: self.offset().saturating_add(error.offset),
            ..error
        })
    }

    /// The TLVs inside, for a structure (STLV). Their offsets count from the same beginning as that of this value.
    #[must_use]
    #[inline]
    pub const fn children(&self) -> Tlv<'a> {
        Tlv::at(self.bytes, self.offset)
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({} @{}: ", self.tag.0, self.offset)?;
        for byte in self.bytes {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

/// Text as the wire has it: CP866, without a terminator.
///
/// `Display` writes it piece by piece without allocating; control characters come out as they are.
///
/// ```
/// # use ofd_codec::{Tlv, Tag};
/// let bytes = [0x06, 0x04, 0x03, 0x00, 0x97, 0xA0, 0xA9]; // tag 1030
/// let (_, value) = Tlv::new(&bytes).next().expect("one TLV")?;
/// assert_eq!(value.text().to_string(), "Чай");
/// # Ok::<(), ofd_codec::DecodeError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cp866<'a>(pub &'a [u8]);

/// Bytes decoded at once; every CP866 character takes at most three bytes in UTF-8.
const CHUNK: usize = 80;

impl<'a> Cp866<'a> {
    /// The text without the spaces at its end: fixed-width text is padded with them.
    #[must_use]
    pub const fn trimmed(self) -> Self {
        let mut bytes = self.0;
        while let [head @ .., b' '] = bytes {
            bytes = head;
        }
        Self(bytes)
    }

    /// The text, borrowed when it is plain ASCII.
    #[must_use]
    pub fn to_cow(self) -> Cow<'a, str> {
        self.as_ascii().map_or_else(
            || {
                let mut out = String::new();
                self.decode_to(&mut out);
                Cow::Owned(out)
            },
            Cow::Borrowed,
        )
    }

    /// Writes the text behind what is in `out`.
    pub fn push_to(self, out: &mut String) {
        match self.as_ascii() {
            Some(text) => out.push_str(text),
            None => self.decode_to(out),
        }
    }

    fn as_ascii(self) -> Option<&'a str> {
        if self.0.is_ascii() { core::str::from_utf8(self.0).ok() } else { None }
    }

    fn decode_to(self, out: &mut String) {
        let mut decoder = IBM866.new_decoder_without_bom_handling();
        let mut rest = self.0;
        while !rest.is_empty() {
            // Letters take two bytes; the decoder wants room for what a byte may become at most.
            out.reserve(rest.len().saturating_mul(2).saturating_add(CHUNK));
            let (_, read, _) = decoder.decode_to_string(rest, out, false);
            rest = rest.get(read..).unwrap_or_default();
        }
    }

    /// Decodes through a small buffer on the stack and hands each piece to `sink`.
    pub(crate) fn for_each_piece(self, mut sink: impl FnMut(&str)) {
        let mut decoder = IBM866.new_decoder_without_bom_handling();
        for chunk in self.0.chunks(CHUNK) {
            let mut buffer = [0_u8; CHUNK * 3];
            let (result, _, written, _) = decoder.decode_to_utf8(chunk, &mut buffer, false);
            debug_assert_eq!(result, CoderResult::InputEmpty, "the buffer holds any chunk");
            let piece = buffer.get(..written).and_then(|bytes| core::str::from_utf8(bytes).ok());
            sink(piece.unwrap_or_default());
        }
    }
}

impl fmt::Display for Cp866<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut result = Ok(());
        self.for_each_piece(|piece| {
            if result.is_ok() {
                result = f.write_str(piece);
            }
        });
        result
    }
}

impl fmt::Debug for Cp866<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_cow())
    }
}
