//! Whether a sealed segment is still what was sealed: for `verify` and scrubbing.

use super::{LogReader, Seal, read_again};
use crate::disk::{chain_of, segment_path};
use crate::error::{Error, ErrorKind};
use crate::format::{FOOTER_BLOCK_LEN, SegmentFooter};
use crate::position::SegmentId;

impl LogReader {
    /// Reads a sealed segment whole and compares it with its footer: every byte that was used, by the hash chain,
    /// and that it follows the segment before it. A segment that is closed but has no footer yet, after a failed
    /// sync, passes: there is nothing to compare with before the next start.
    ///
    /// # Errors
    /// `Corrupt` names what differs; `Fix` when the segment is not sealed; of the system.
    pub fn check_seal(&self, segment: SegmentId) -> Result<(), Error> {
        let entry = self.shared.entry(segment)?;
        match entry.seal {
            Seal::Sealed => {}
            Seal::Closed => return Ok(()),
            Seal::Open | Seal::Dead => {
                return Err(Error::new(ErrorKind::Fix, format!("segment {segment} is not sealed")));
            }
        }
        let differs = |what: &str| Error::new(ErrorKind::Corrupt, format!("segment {segment}: {what}"));
        let footer = self.footer(segment)?.ok_or_else(|| differs("the footer cannot be read"))?;
        let same = footer.stamp == entry.stamp && footer.base == entry.base && footer.used == entry.limit;
        if !same || Some(footer.last) != entry.last {
            return Err(differs("the footer is of another segment"));
        }
        let file = self.shared.file(&entry)?;
        if chain_of(&*file, footer.used, &footer.chain_before)? != footer.chain {
            return Err(differs("the bytes are not those that were sealed"));
        }
        let before = {
            let table = self.shared.table();
            let before = table.range(..segment).next_back();
            before.filter(|(_, entry)| entry.seal == Seal::Sealed).map(|(id, _)| *id)
        };
        match before {
            Some(id) => match self.footer(id)? {
                Some(before) if before.chain != footer.chain_before => {
                    Err(differs("the segment before it is not the one it was sealed behind"))
                }
                _ => Ok(()),
            },
            None => Ok(()),
        }
    }

    pub(super) fn footer(&self, segment: SegmentId) -> Result<Option<SegmentFooter>, Error> {
        let file = self.shared.env.open_read(&segment_path(segment))?;
        let at = file.len()?.saturating_sub(FOOTER_BLOCK_LEN);
        let mut block = vec![0; usize::try_from(FOOTER_BLOCK_LEN).unwrap_or(usize::MAX)];
        let mut have = 0;
        while have < block.len() {
            let rest = block.get_mut(have..).unwrap_or_default();
            match read_again(&*file, rest, at.saturating_add(have as u64))? {
                0 => return Ok(None),
                taken => have = have.saturating_add(taken),
            }
        }
        Ok(SegmentFooter::decode(&block))
    }
}
