//! Numbers and texts in as few bytes as they need: what drives and cards are kept in, in memory and in checkpoints.
//!
//! Shape: an unsigned number is LEB128, seven bits a byte, the lowest first; a signed one is folded first (0, −1, 1, −2 …);
//! an optional number is itself plus one, 0 = none; bytes are their length and themselves.
//!
//! Errors: reading gives `None` for anything that was not written so; nothing is allocated by a length alone.

/// Bytes of the longest number.
const NUMBER_LEN_MAX: usize = 10;

/// Writes one after another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packer(pub(crate) Vec<u8>);

impl Packer {
    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    pub(crate) fn number(&mut self, number: impl Into<u64>) {
        let mut rest = number.into();
        if rest >= 0x80 {
            // Once for all of them: what grows a vector by a byte asks for each.
            self.0.reserve(NUMBER_LEN_MAX);
        }
        while rest >= 0x80 {
            self.0.push((rest & 0x7F) as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }

    pub(crate) fn optional(&mut self, number: Option<u32>) {
        self.number(number.map_or(0, |it| u64::from(it).saturating_add(1)));
    }

    pub(crate) fn signed(&mut self, number: i64) {
        self.number((number.cast_unsigned() << 1) ^ (number >> 63).cast_unsigned());
    }

    pub(crate) fn count(&mut self, count: usize) {
        self.number(u64::try_from(count).unwrap_or(u64::MAX));
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.extend_from_slice(bytes);
    }
}

/// Reads what [`Packer`] wrote.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unpacker<'b>(pub(crate) &'b [u8]);

impl<'b> Unpacker<'b> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    #[inline]
    pub(crate) fn number(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first()?;
        if *first < 0x80 {
            self.0 = rest;
            return Some(u64::from(*first));
        }
        self.long_number()
    }

    fn long_number(&mut self) -> Option<u64> {
        let (mut number, mut shift, mut rest) = (0_u64, 0_u32, self.0);
        while let [byte, behind @ ..] = rest {
            let part = u64::from(byte & 0x7F);
            if shift > 63 || (shift == 63 && part > 1) {
                return None;
            }
            number |= part << shift;
            rest = behind;
            if byte & 0x80 == 0 {
                self.0 = rest;
                return Some(number);
            }
            shift = shift.saturating_add(7);
        }
        None
    }

    pub(crate) fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    /// The outer `None`: nothing that was written so.
    #[expect(clippy::option_option, reason = "an optional number that can be read or not")]
    pub(crate) fn optional(&mut self) -> Option<Option<u32>> {
        match self.number()? {
            0 => Some(None),
            more => Some(Some(u32::try_from(more.wrapping_sub(1)).ok()?)),
        }
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        let folded = self.number()?;
        Some((folded >> 1).cast_signed() ^ (folded & 1).cast_signed().wrapping_neg())
    }

    pub(crate) fn count(&mut self) -> Option<usize> {
        usize::try_from(self.number()?).ok()
    }

    pub(crate) fn bytes(&mut self) -> Option<&'b [u8]> {
        let len = self.count()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_cuts_are_refused() {
        let unsigned = [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX];
        let signed = [0, -1, 1, i64::MIN, i64::MAX, -64, 64];
        let mut packer = Packer::default();
        unsigned.iter().for_each(|it| packer.number(*it));
        signed.iter().for_each(|it| packer.signed(*it));
        [None, Some(0), Some(u32::MAX)].into_iter().for_each(|it| packer.optional(it));
        packer.bytes(b"kassa");
        let whole = packer.0;
        let read = |bytes: &[u8]| {
            let mut from = Unpacker(bytes);
            for want in unsigned {
                assert_eq!(from.number()?, want);
            }
            for want in signed {
                assert_eq!(from.signed()?, want);
            }
            for want in [None, Some(0), Some(u32::MAX)] {
                assert_eq!(from.optional()?, want);
            }
            assert_eq!(from.bytes()?, b"kassa");
            Some(from.is_empty())
        };
        assert_eq!(read(&whole), Some(true));
        for cut in 0..whole.len() {
            assert_eq!(read(whole.get(..cut).unwrap_or_default()), None, "{cut}");
        }
        assert_eq!(Unpacker(&[0xFF; 11]).number(), None, "more than 64 bits");
    }
}
