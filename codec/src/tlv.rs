//! The one place that cuts bytes: a cursor over the TLVs of one level.
//!
//! Shape:  `[tag: u16 LE][length: u16 LE][value: length bytes]`, one after the other, no padding and no order.
//! Invariants: a value is a slice of the bytes handed in; nothing is copied.
//! Errors: `Truncated` for less than four bytes of a header, `TlvLength` for a value beyond the end. After the first
//! error the cursor is exhausted.
//! Source: KKT-OFD protocol, representation of data as TLV; order ЕД-7-20/662@.

use core::iter::FusedIterator;

use crate::{DecodeError, DecodeErrorKind, Tag, Value};

/// Bytes of a TLV header: tag and length.
pub const TLV_HEADER_LEN: usize = 4;

/// Cursor over the TLVs of one level.
///
/// ```
/// # use ofd_codec::{Tag, Tlv};
/// let bytes = [0x1E, 0x04, 0x01, 0x00, 0x01]; // tag 1054, one byte
/// let (tag, value) = Tlv::new(&bytes).next().expect("one TLV")?;
/// assert_eq!((tag, value.u8()?), (Tag(1054), 1));
/// # Ok::<(), ofd_codec::DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Tlv<'a> {
    rest: &'a [u8],
    /// Offset of `rest` in the bytes that the caller knows. 32 bits keep a [`Value`] at 24 bytes.
    offset: u32,
}

impl<'a> Tlv<'a> {
    /// A cursor over `bytes`; offsets count from their beginning.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, offset: 0 }
    }

    /// A cursor over `bytes` that stand at `offset` in something larger.
    #[must_use]
    pub const fn at(bytes: &'a [u8], offset: u32) -> Self {
        Self { rest: bytes, offset }
    }

    /// The bytes not yet cut.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Where the next TLV begins.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset as usize
    }
}

impl<'a> Iterator for Tlv<'a> {
    type Item = Result<(Tag, Value<'a>), DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let Some((&[t0, t1, l0, l1], tail)) = self.rest.split_first_chunk::<TLV_HEADER_LEN>() else {
            if self.rest.is_empty() {
                return None;
            }
            self.rest = &[];
            return Some(Err(DecodeError::new(DecodeErrorKind::Truncated, self.offset())));
        };
        let tag = Tag(u16::from_le_bytes([t0, t1]));
        let len = u16::from_le_bytes([l0, l1]);
        let Some((value, rest)) = tail.split_at_checked(usize::from(len)) else {
            self.rest = &[];
            return Some(Err(DecodeError::at(DecodeErrorKind::TlvLength, tag, self.offset())));
        };
        let at = self.offset.saturating_add(TLV_HEADER_LEN as u32);
        self.rest = rest;
        self.offset = at.saturating_add(u32::from(len));
        Some(Ok((tag, Value::new(tag, value, at))))
    }
}

impl FusedIterator for Tlv<'_> {}

/// Tag and length as they stand at a place, the tag in the lower half; `None` when fewer than four bytes are left. Places have
/// 32 bits, so that the compiler knows that none wraps.
#[inline(always)]
pub(crate) fn head_at(bytes: &[u8], place: u32) -> Option<u32> {
    let place = place as usize;
    let head = bytes.get(place..place.wrapping_add(TLV_HEADER_LEN))?.first_chunk()?;
    Some(u32::from_le_bytes(*head))
}

/// The `len` bytes before `to`, at most eight, as a number, the first one lowest: cut out of the eight bytes before `to`, of
/// which there are as many in a document, since headers stand before every value. No branch asks for the length.
#[inline(always)]
pub(crate) fn word_before(bytes: &[u8], to: u32, len: u32) -> Option<u64> {
    let from = to.wrapping_sub(8) as usize;
    let word = u64::from_le_bytes(*bytes.get(from..from.wrapping_add(8))?.first_chunk()?);
    // In two steps, since nothing can be shifted by all of its bits.
    let half = 32_u32.wrapping_sub(len.wrapping_mul(4));
    Some(word.wrapping_shr(half).wrapping_shr(half))
}
