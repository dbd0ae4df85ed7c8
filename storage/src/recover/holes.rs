//! Bytes of a segment that the device cannot read: zeros wherever they are read here, and so damage where records were.
//!
//! A segment that was open with such bytes below what is proven is read, served and sealed as if they were zeros, as one with a
//! flipped bit is sealed as it reads: its footer holds over the zeros, and every later reading names what is lost.

use std::io::IoSlice;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::env::File;
use crate::error::Error;
use crate::segment::usize_of;

/// Byte ranges of a file, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holes(Vec<Range<u64>>);

impl Holes {
    /// Behind all others.
    pub(super) fn push(&mut self, from: u64, len: u64) {
        let to = from.saturating_add(len);
        match self.0.last_mut() {
            Some(last) if last.end == from => last.end = to,
            _ => self.0.push(from..to),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all of them.
    pub(super) fn len(&self) -> u64 {
        self.0.iter().fold(0, |sum, hole| sum.saturating_add(hole.end.saturating_sub(hole.start)))
    }

    /// Behind the last of them.
    pub(super) fn end(&self) -> u64 {
        self.0.last().map_or(0, |hole| hole.end)
    }

    /// Fills them, in `bytes` of the file, with those of a copy, but for what the copy lacks as well, which is what is left.
    pub(super) fn fill(&self, bytes: &mut [u8], copy: &[u8], lacks: &Self) -> Self {
        let mut left = Vec::new();
        for hole in &self.0 {
            let meets = |other: &Range<u64>| other.start < hole.end && hole.start < other.end;
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
            let range = place(hole.start)..place(hole.end);
            match (bytes.get_mut(range.clone()), copy.get(range)) {
                (Some(room), Some(bytes)) if !lacks.0.iter().any(meets) => room.copy_from_slice(bytes),
                _ => left.push(hole.clone()),
            }
        }
        Self(left)
    }

    /// Whether each of them lies in one of these ranges.
    pub(super) fn all_in(&self, ranges: &[Range<u64>]) -> bool {
        let within =
            |hole: &Range<u64>| ranges.iter().any(|range| range.start <= hole.start && hole.end <= range.end);
        self.0.iter().all(within)
    }

    /// The file with zeros in their place.
    pub(super) fn over(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        if self.is_empty() { file } else { Arc::new(Holed { file, holes: self.clone() }) }
    }
}

/// A file of which some bytes are known to be unreadable.
struct Holed {
    file: Arc<dyn File>,
    holes: Holes,
}

impl Holed {
    /// What `read` gives, or what lies before the first hole, or the zeros of the one that `offset` is in.
    fn around(
        &self,
        buffer: &mut [u8],
        offset: u64,
        read: impl Fn(&mut [u8], u64) -> Result<usize, Error>,
    ) -> Result<usize, Error> {
        let error = match read(buffer, offset) {
            Err(error) if error.is_storage_fault() => error,
            other => return other,
        };
        let end = offset.saturating_add(buffer.len() as u64);
        let Some(hole) = self.holes.0.iter().find(|hole| hole.start < end && offset < hole.end) else {
            return Err(error);
        };
        let begins = hole.start > offset;
        let until = if begins { hole.start } else { hole.end.min(end) };
        let len = usize_of(u32::try_from(until.saturating_sub(offset)).unwrap_or(u32::MAX));
        let part = buffer.get_mut(..len).unwrap_or_default();
        if begins {
            return read(part, offset);
        }
        part.fill(0);
        Ok(part.len())
    }
}

impl File for Holed {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        self.around(buffer, offset, |part, at| self.file.read_at(part, at))
    }

    fn read_direct(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        self.around(buffer, offset, |part, at| self.file.read_direct(part, at))
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<usize, Error> {
        self.file.write_at(parts, offset)
    }

    fn write_direct(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<usize, Error> {
        self.file.write_direct(parts, offset)
    }

    fn sync(&self) -> Result<(), Error> {
        self.file.sync()
    }

    fn sync_all(&self) -> Result<(), Error> {
        self.file.sync_all()
    }

    fn len(&self) -> Result<u64, Error> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.file.set_len(len)
    }

    fn map(&self) -> Result<Bytes, Error> {
        self.file.map()
    }

    fn let_go(&self, offset: u64, len: u64) {
        self.file.let_go(offset, len);
    }
}
