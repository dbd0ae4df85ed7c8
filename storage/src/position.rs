//! Where things are: a place in the order ([`Lsn`], [`Position`]) and a place on the disk ([`Location`]).
//!
//! Counts, names and offsets are different types, so that no one can be handed in for another. `Lsn` is the
//! storage's own number; [`Position`] is what hosts keep in their databases: opaque, versioned, and still
//! valid when the record has moved from the log to Parquet.

use std::fmt;
use std::str::FromStr;

/// Log sequence number: dense from 1, never reused, counts records of every kind. 0 = no record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(u64);

impl Lsn {
    /// Before the first record.
    pub const NONE: Self = Self(0);

    /// From its number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The one after it. Saturates: at a million records a second u64 lasts 580,000 years.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The one before it; `NONE` has none.
    #[must_use]
    pub const fn prev(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A segment of the log. Numbers grow by time, are never reused, and may have gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(u32);

impl SegmentId {
    /// From its number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The next one. Saturates: at 150 GB a day 2^32 segments of 64 MiB last five thousand years.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The place of a record's first header byte. Valid in this process only: after a failed sync or a crash a
/// record may move to another segment. Inside one process [`crate::LogReader::read`] follows such moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The segment.
    pub segment: SegmentId,
    /// Bytes from the segment's begin.
    pub offset: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {} byte {}", self.segment, self.offset)
    }
}

/// A place in the order of all records: "everything up to and with this record has been seen".
///
/// Opaque for hosts; it survives compaction and restore. As bytes it sorts like the order it stands for.
///
/// ```
/// use ofd_storage::Position;
/// let kept = Position::START.to_string();
/// assert_eq!(kept.parse::<Position>().unwrap(), Position::START);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(Lsn);

/// Version byte of a stored position.
const POSITION_VERSION: u8 = 1;

impl Position {
    /// Before the first record.
    pub const START: Self = Self(Lsn::NONE);
    /// Length of the stored form, bytes.
    pub const ENCODED_LEN: usize = 9;

    /// The place behind the record with this LSN.
    pub const fn new(lsn: Lsn) -> Self {
        Self(lsn)
    }

    /// The last record that has been seen; `Lsn::NONE` at the start.
    pub const fn lsn(self) -> Lsn {
        self.0
    }

    /// For the `position` columns of Parquet.
    pub const fn as_u64(self) -> u64 {
        self.0.get()
    }

    /// Version byte, then the number big-endian.
    pub fn to_bytes(self) -> [u8; Self::ENCODED_LEN] {
        let mut bytes = [POSITION_VERSION; Self::ENCODED_LEN];
        let (_, number) = bytes.split_at_mut(1);
        number.copy_from_slice(&self.0.get().to_be_bytes());
        bytes
    }

    /// Reads what [`Position::to_bytes`] made.
    ///
    /// # Errors
    /// When the version is unknown.
    pub fn from_bytes(bytes: [u8; Self::ENCODED_LEN]) -> Result<Self, PositionError> {
        let [version, number @ ..] = bytes;
        if version != POSITION_VERSION {
            return Err(PositionError);
        }
        Ok(Self(Lsn::new(u64::from_be_bytes(number))))
    }
}

impl From<Lsn> for Position {
    fn from(lsn: Lsn) -> Self {
        Self(lsn)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{POSITION_VERSION}:{}", self.0)
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let number = text.strip_prefix("v1:").ok_or(PositionError)?;
        // `u64::from_str` would also take a plus sign; one spelling a position is enough.
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PositionError);
        }
        Ok(Self(Lsn::new(number.parse().map_err(|_| PositionError)?)))
    }
}

/// A position that cannot be read: not one of ours, or of a newer version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionError;

impl fmt::Display for PositionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a position of this version (v1:<number>)")
    }
}
impl std::error::Error for PositionError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_survives_bytes_and_text_and_sorts_as_bytes() {
        let mut last = Position::START.to_bytes();
        for number in [1, 255, 256, u64::MAX] {
            let position = Position::new(Lsn::new(number));
            assert_eq!(Position::from_bytes(position.to_bytes()), Ok(position));
            assert_eq!(position.to_string().parse(), Ok(position));
            assert!(position.to_bytes() > last);
            last = position.to_bytes();
        }
    }

    #[test]
    fn foreign_positions_are_refused() {
        for text in ["", "1", "v2:1", "v1:", "v1:+1", "v1:-1", "v1:1 ", "v1:99999999999999999999"] {
            assert_eq!(text.parse::<Position>(), Err(PositionError), "{text:?}");
        }
        assert_eq!(Position::from_bytes([2; 9]), Err(PositionError));
    }
}
