//! A walk along the log by LSN: what feeds, imports and checks read.
//!
//! It hops over batch headers to the wanted record and then reads whole batches, a window at a time. A follower that is
//! close behind the watermark borrows the newest batches from memory, one after another, and asks neither the disk
//! nor the writer; a sealed segment is borrowed from its map; what lies between is read by `pread`. Where headers do not lead to the wanted record, bytes are
//! damaged: then the whole segment is loaded once and walked, to find the reach of the damage.

use std::sync::Arc;

use bytes::Bytes;

use super::{Entry, LogReader, Seal, read_again};
use crate::buffer::Shared as SharedBytes;
use crate::env::File;
use crate::error::{Error, ErrorKind};
use crate::format::{BATCH_HEADER_LEN, BatchHeader, FOOTER_BLOCK_LEN, HEADER_BLOCK_LEN};
use crate::planted::planted;
use crate::position::{Location, Lsn, Position};
use crate::reader::Damage;
use crate::record::RecordRef;
use crate::recover::read_range;
use crate::segment::{Item, Walk, offset_of, usize_of};

/// Bytes that are read at once, at least.
const WINDOW_LEN: usize = 256 * 1024;

/// A walk along the log. [`Records::next`] lends one record at a time.
pub struct Records {
    reader: LogReader,
    next: Lsn,
    upto: Lsn,
    source: Option<Source>,
    /// The end was moved since the table was asked about the source.
    stale: bool,
}

/// The segment a walk stands in.
struct Source {
    entry: Entry,
    file: Arc<dyn File>,
    walk: Walk,
    /// Whole batches, from byte `origin` of the segment on; or the whole segment once damage was met.
    window: Window,
    origin: usize,
    /// The window is the whole segment, loaded when this record was looked for.
    whole: Option<Lsn>,
    /// The record that a batch was last borrowed from memory for. What memory does not give at once, it never gives: asked for again, the
    /// file tells.
    borrowed_for: Option<Lsn>,
}

/// Bytes of a segment: read, or borrowed from where they lie.
#[derive(Default)]
struct Window {
    read: Vec<u8>,
    borrowed: Option<Borrowed>,
}

enum Borrowed {
    /// A newest batch, in memory.
    Pinned(SharedBytes),
    /// Part of a mapped segment.
    Mapped(Bytes),
}

impl Window {
    fn bytes(&self) -> &[u8] {
        match &self.borrowed {
            Some(Borrowed::Pinned(bytes)) => bytes,
            Some(Borrowed::Mapped(bytes)) => bytes,
            None => &self.read,
        }
    }
}

/// What one look at the window came to.
enum Step {
    Record(u32),
    Skip,
    Refill,
    Damage(Damage),
}

impl Records {
    pub(super) fn new(reader: LogReader, from: Position, upto: Lsn) -> Self {
        Self { reader, next: from.lsn().next(), upto, source: None, stale: false }
    }

    /// The next record and its place; `None` at the end. After an error of damage the walk goes on behind it.
    ///
    /// # Errors
    /// `Corrupt` names the LSNs that are lost; of the system when the disk cannot be read.
    #[expect(clippy::should_implement_trait, reason = "a lending iterator: the record borrows the window")]
    pub fn next(&mut self) -> Result<Option<(RecordRef<'_>, Location)>, Error> {
        let offset = loop {
            if self.next > self.upto {
                return Ok(None);
            }
            self.find_source()?;
            let Some(source) = &mut self.source else {
                let begin = self.reader.first();
                if self.next < begin {
                    let (first, last) = (self.next, begin.prev().min(self.upto));
                    self.next = last.next();
                    let text =
                        format!("records {first}..={last} have left the log, it begins with record {begin}");
                    return Err(Error::new(ErrorKind::Corrupt, text));
                }
                let missing = format!("records {}..={} are not in the log", self.next, self.upto);
                self.next = self.upto.next();
                return Err(Error::new(ErrorKind::Corrupt, missing));
            };
            match source.step(self.next) {
                Step::Record(offset) => break offset,
                Step::Skip => {}
                Step::Refill => {
                    self.refresh();
                    if let Some(source) = &mut self.source {
                        source.refill(&self.reader, self.next)?;
                    }
                }
                Step::Damage(damage) => {
                    // What was written once more elsewhere since the bytes were loaded is not lost.
                    self.refresh();
                    let Some(source) = &self.source else { continue };
                    let end = source.entry.last.filter(|_| !planted!(46)).unwrap_or(damage.last);
                    let last = damage.last.min(end).min(self.upto);
                    if last < self.next {
                        continue;
                    }
                    let damage = Damage { first: damage.first.max(self.next), last, ..damage };
                    self.next = last.next();
                    if planted!(33) {
                        continue;
                    }
                    if last == self.upto {
                        self.source = None;
                    }
                    return Err(damage.into());
                }
            }
        };
        self.next = self.next.next();
        let Some(source) = &self.source else { return Ok(None) };
        let location = Location { segment: source.entry.stamp.segment, offset };
        let bytes =
            usize_of(offset).checked_sub(source.origin).and_then(|at| source.window.bytes().get(at..));
        // The walk has checked this record a moment ago, in these bytes; only its length is read again.
        Ok(bytes.and_then(RecordRef::prefix_of_checked).map(|record| (record, location)))
    }

    /// Everything up to here has been given out.
    pub fn position(&self) -> Position {
        Position::new(self.next.prev())
    }

    /// Moves the end up to the watermark or `upto`, so that a feed keeps its buffers from commit to commit.
    pub fn extend(&mut self, upto: Lsn) {
        let upto = upto.min(self.reader.durable());
        self.stale |= upto > self.upto;
        self.upto = self.upto.max(upto);
    }

    /// Asks the table about the source again, until the seal: the open segment may have been closed meanwhile, and a closed
    /// one may have lost its end to a rewrite. Needed where the end was moved, since every change of the table comes before
    /// the watermark that makes it matter, and before bytes are read; not for each record of the window. A source that
    /// counts no longer for the next record is let go of.
    fn refresh(&mut self) {
        self.stale = false;
        let Some(source) = &mut self.source else { return };
        if source.entry.seal == Seal::Open
            && !(planted!(45) && source.entry.last.is_some())
            && let Ok(entry) = self.reader.shared.entry(source.entry.stamp.segment)
        {
            source.entry = entry;
        }
        if source.entry.last.is_some_and(|last| self.next > last) {
            self.source = None;
        }
    }

    /// Makes sure the source is the segment that counts for the next record.
    fn find_source(&mut self) -> Result<(), Error> {
        let next = self.next;
        if self.stale {
            self.refresh();
        }
        if let Some(source) = &self.source {
            if source.entry.last.is_none_or(|last| next <= last) {
                return Ok(());
            }
            self.source = None;
        }
        if let Some(entry) =
            self.reader.shared.entry_of(next).filter(|entry| entry.last.is_none_or(|last| next <= last))
        {
            let file = self.reader.shared.file(&entry)?;
            let walk = entry.walk();
            let window = Window::default();
            self.source =
                Some(Source { entry, file, walk, window, origin: 0, whole: None, borrowed_for: None });
        }
        Ok(())
    }
}

impl Source {
    /// One item of the window.
    fn step(&mut self, wanted: Lsn) -> Step {
        let segment = self.entry.stamp.segment;
        if self.whole.is_none() && self.window.bytes().is_empty() {
            // Nothing is there yet: a walk over nothing would look for the next batch behind every block of the segment.
            return Step::Refill;
        }
        match self.walk.next(self.window.bytes(), self.origin) {
            Some(Item::Batch(_)) => Step::Skip,
            Some(Item::Record(record, offset)) if record.lsn() >= wanted => Step::Record(offset),
            Some(Item::Record(..)) => Step::Skip,
            Some(Item::Damage { from, to, first, last }) if self.whole.is_some() => {
                // Behind the last record that counts here may lie the first copy of what has moved: it is not lost.
                let last =
                    self.entry.last.map_or(last, |end| if planted!(46) { last } else { last.min(end) });
                Step::Damage(Damage { segment, from, to, first, last })
            }
            // A window may end inside a batch or begin behind a damaged one: only the whole segment tells.
            Some(Item::Damage { .. }) => Step::Refill,
            // What was durable when the segment was loaded was looked at; what came later was not.
            None if self.whole != Some(wanted) => Step::Refill,
            None => {
                let (from, first) = (self.walk.offset(), self.walk.expect());
                let last = self.entry.last.unwrap_or(Lsn::new(u64::MAX));
                let to = offset_of(usize::try_from(self.entry.limit).unwrap_or(usize::MAX));
                Step::Damage(Damage { segment, from, to, first, last })
            }
        }
    }

    /// Brings the batches that hold `wanted` and follow it into the window; the whole segment when its batch
    /// headers do not lead there.
    fn refill(&mut self, reader: &LogReader, wanted: Lsn) -> Result<(), Error> {
        // Once damage has been met the file tells its reach, and not our memory.
        if self.whole.is_none() && self.borrowed_for != Some(wanted) && self.borrow_pinned(reader, wanted) {
            return Ok(());
        }
        let limit = usize::try_from(self.entry.limit).unwrap_or(usize::MAX);
        let mut at = if self.window.bytes().is_empty() {
            usize::try_from(HEADER_BLOCK_LEN).unwrap_or(usize::MAX)
        } else {
            usize_of(self.walk.offset())
        };
        loop {
            self.load(reader, at, WINDOW_LEN.min(limit.saturating_sub(at)))?;
            // Hop over batches that end before the wanted record.
            let mut hop = at;
            let found = loop {
                match self.header(hop) {
                    Some(header) if header.last() < wanted || header.records == 0 => {
                        hop = hop
                            .saturating_add(usize_of(header.len))
                            .next_multiple_of(usize_of(self.entry.block_len).max(1));
                    }
                    found => break found,
                }
            };
            // A batch that begins behind the wanted record is none: what lies between is damaged.
            if let Some(header) = found.filter(|header| header.first <= wanted) {
                let end = hop.saturating_add(usize_of(header.len));
                if end > self.origin.saturating_add(self.window.bytes().len()) {
                    self.load(
                        reader,
                        hop,
                        usize_of(header.len).max(WINDOW_LEN).min(limit.saturating_sub(hop)),
                    )?;
                }
                let whole = self.whole_batches_end(hop);
                // A batch that ends behind what counts of the segment: only the walk over all bytes takes it apart.
                if whole > hop {
                    let walk =
                        Walk::new(self.entry.stamp, self.entry.block_len, header.first, self.entry.limit);
                    self.walk = walk.starting_at(offset_of(hop)).limited(whole);
                    self.whole = None;
                    return Ok(());
                }
            }
            let seen = self.origin.saturating_add(self.window.bytes().len());
            if hop.saturating_add(BATCH_HEADER_LEN) > seen && hop < limit && hop > at {
                at = hop;
                continue;
            }
            // No header where one must be: damage. The walk over all bytes finds its reach.
            self.load(reader, 0, limit)?;
            self.walk = self.entry.walk();
            self.whole = Some(wanted);
            return Ok(());
        }
    }

    /// Takes the batch that holds `wanted` from memory, if it is still there and lies in this segment.
    fn borrow_pinned(&mut self, reader: &LogReader, wanted: Lsn) -> bool {
        let pin = reader.shared.pins().of(wanted).filter(|pin| pin.stamp == self.entry.stamp).cloned();
        let Some(pin) = pin else { return false };
        let origin = usize_of(pin.offset);
        let walk = Walk::new(self.entry.stamp, self.entry.block_len, pin.first, self.entry.limit);
        self.walk = walk.starting_at(pin.offset).limited(origin.saturating_add(pin.bytes.len()));
        (self.window.borrowed, self.origin) = (Some(Borrowed::Pinned(pin.bytes)), origin);
        self.borrowed_for = Some(wanted);
        true
    }

    /// Brings `len` bytes at `at` into the window; fewer when the file ends.
    fn load(&mut self, reader: &LogReader, at: usize, len: usize) -> Result<(), Error> {
        self.origin = at;
        self.window.borrowed = None;
        if self.entry.seal == Seal::Sealed
            && let Ok(map) = reader.shared.map(self.entry.stamp.segment)
        {
            let part = at.min(map.len())..at.saturating_add(len).min(map.len());
            self.window.borrowed = Some(Borrowed::Mapped(map.slice(part)));
            return Ok(());
        }
        let window = &mut self.window.read;
        // What was read before is written over: nothing is made zero but what it grows by.
        window.resize(len, 0);
        let mut have = 0;
        while have < len {
            let rest = window.get_mut(have..).unwrap_or_default();
            let from = at.saturating_add(have) as u64;
            let taken = match read_again(&*self.file, rest, from) {
                Err(error) if error.is_storage_fault() && self.entry.seal == Seal::Sealed => {
                    let Some(bytes) = around_holes(&*self.file, from, rest.len() as u64)? else {
                        return Err(error);
                    };
                    let rest = rest.get_mut(..bytes.len()).unwrap_or_default();
                    rest.copy_from_slice(bytes.get(..rest.len()).unwrap_or_default());
                    rest.len()
                }
                taken => taken?,
            };
            if taken == 0 || (planted!(35) && have > 0) {
                break;
            }
            have = have.saturating_add(taken);
        }
        window.truncate(have);
        Ok(())
    }

    fn header(&self, at: usize) -> Option<BatchHeader> {
        let bytes = self.window.bytes().get(at.checked_sub(self.origin)?..)?;
        let header = BatchHeader::decode(bytes)?;
        let holds = header.stamp == self.entry.stamp
            && usize_of(header.offset) == at
            && usize_of(header.len) >= BATCH_HEADER_LEN;
        holds.then_some(header)
    }

    /// End of the last batch that lies whole in the window, from the batch at `hop` on.
    fn whole_batches_end(&self, hop: usize) -> usize {
        let seen = self.origin.saturating_add(self.window.bytes().len());
        let mut end = hop;
        while let Some(header) = self.header(end) {
            let behind = end.saturating_add(usize_of(header.len));
            if behind > seen {
                break;
            }
            end = behind.next_multiple_of(usize_of(self.entry.block_len).max(1));
        }
        end
    }
}

/// `len` bytes of a sealed segment, fewer at its end, with zeros for what cannot be read: that is damage, as under a map. `None` where neither
/// end of the file can be read either: the device is away, which may pass, and nobody goes on behind it.
fn around_holes(file: &dyn File, from: u64, len: u64) -> Result<Option<Vec<u8>>, Error> {
    let end = file.len()?;
    let mut bytes = Vec::new();
    let mut is_read = |from: u64| {
        let to = from.saturating_add(FOOTER_BLOCK_LEN).min(end);
        read_range(file, from, to, &mut bytes).is_ok_and(|holes| holes.is_empty())
    };
    if !is_read(0) && !is_read(end.saturating_sub(FOOTER_BLOCK_LEN)) {
        return Ok(None);
    }
    let _ = read_range(file, from, from.saturating_add(len).min(end), &mut bytes)?;
    Ok(Some(bytes))
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test may panic")]
    use crate::buffer::Filling;
    use crate::driver::Driver;
    use crate::env::Env;
    use crate::log::LogOptions;
    use crate::position::Position;
    use crate::reader::Pin;
    use crate::record::{NO_PARTITION, NewRecord, RecordKind};
    use crate::testing::{SimEnv, SimKnobs};
    use std::sync::Arc;

    // Seen under planted bug 7, where the header of a batch in memory leads nowhere: the walk asked memory for the record for ever.
    #[test]
    fn a_batch_that_rots_in_memory_is_read_from_the_file() {
        let env: Arc<dyn Env> = Arc::new(SimEnv::new(1, SimKnobs::default()));
        let options = LogOptions { segment_len: 64 * 1024, batch_len_max: 8192, ..LogOptions::default() };
        let (log, _) = crate::recover(Arc::clone(&env), options, &mut |_, _| {}).unwrap();
        let mut driver = Driver::new(env, log).unwrap();
        let record = NewRecord {
            kind: RecordKind::Document,
            flags: 0,
            partition: NO_PARTITION,
            key_id: 0,
            answer_code: 0,
            parts: &[b"what the disk holds"],
        };
        for _ in 0..3 {
            let _ = driver.append(record).unwrap();
        }
        let durable = driver.commit().unwrap();
        let reader = driver.log().reader();
        let pin = reader.shared.pins().of(durable).cloned().unwrap();
        for at in 0..pin.bytes.len() {
            let mut rotten = pin.bytes.to_vec();
            rotten[at] ^= 0x10;
            let bytes = Filling::from_bytes(&rotten).share();
            reader.shared.pins_mut().push(Pin { bytes, ..pin.clone() }, |_| {});
            let mut feed = reader.records_from(Position::START, durable);
            let mut given = 0;
            while let Some((record, _)) = feed.next().unwrap() {
                assert_eq!(record.payload(), b"what the disk holds", "byte {at}");
                given += 1;
            }
            assert_eq!(given, 3, "byte {at}");
        }
    }
}
