//! Readers beside the writer: by place, by order, by sealed segment.
//!
//! Writer and readers share two things. The watermark is one atomic number. The segment table is a map behind
//! a lock that the writer takes only when a segment is opened, sealed or cut; readers hold it for one look-up.
//! Every change of the table comes before the watermark that makes it matter, so a reader that has loaded a
//! watermark finds the segments below it.
//!
//! The newest batches are read from memory ([`memory`]), the rest of the open segment by `pread` behind the watermark,
//! sealed ones over maps that are kept and counted, and live on when the segment is removed. The checksum is verified at
//! each read. Where nothing can be mapped, `pread` does it; where the disk cannot read under a map, it is damage, or an
//! error of that one read (mmap.rs).
//!
//! Invariants, with the test that holds each:
//! - a place handed out by `append` stays good after its record has moved: `a_moved_record_is_found`;
//! - a walk meets every LSN once, or names it as lost: `a_feed_names_what_is_lost_and_goes_on`;
//! - nothing above the watermark is given out: `a_reader_beside_a_writer_sees_only_durable_records`.

mod check;
mod feed;
mod memory;
mod seal;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use crate::disk::segment_path;
use crate::env::{self, Env, File};
use crate::error::{Error, ErrorKind};
use crate::format::{ChainHash, SegmentStamp};
use crate::mmap;
use crate::planted::planted;
use crate::position::{Location, Lsn, Position, SegmentId};
use crate::record::{OwnedRecord, RECORD_HEADER_LEN, RECORD_LEN_MAX, RecordHeader, RecordRef};
use crate::recover::{Cut, read_whole};
use crate::segment::{Item, Walk, offset_of, usize_of};

pub use self::check::{LogCheck, SegmentCheck, SegmentScan};
pub use self::feed::Records;
use self::memory::{Maps, pinned_record};
pub(crate) use self::memory::{Pin, Pins};

/// Handles of segments that are not the writer's, kept open.
const FILES_MAX: usize = 128;
/// A read of one record takes this many bytes at once: most records are shorter.
const READ_GUESS: usize = 1024;

/// No page is shorter.
const PAGE_LEN_MIN: usize = 4096;

/// What a reader has to know of a segment.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) stamp: SegmentStamp,
    pub(crate) block_len: u32,
    pub(crate) base: Lsn,
    /// The last LSN that counts here, once the segment is closed; `None` while it is open.
    pub(crate) last: Option<Lsn>,
    /// No batch lies at or behind this byte.
    pub(crate) limit: u64,
    /// The writer's handle, while it writes; sealed segments are opened by name.
    pub(crate) file: Option<Arc<dyn File>>,
    pub(crate) seal: Seal,
    /// The chain that it was sealed with; zeros while it is open.
    pub(crate) chain: ChainHash,
    /// Batches that live elsewhere now, by their old place.
    pub(crate) moved: Vec<Moved>,
}

impl Entry {
    /// From its first record to the last one that counts.
    pub(crate) fn walk(&self) -> Walk {
        let walk = Walk::new(self.stamp, self.block_len, self.base, self.limit);
        self.last.map_or(walk.clone(), |last| walk.up_to(last))
    }
}

/// How far a segment is on its way to the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seal {
    /// It may still grow, or its chain is not known yet.
    Open,
    /// Complete; the footer is on disk.
    Sealed,
    /// Complete; its chain is known, but a failed sync forbids to write the footer before the next start.
    Closed,
    /// Never activated: no record counts.
    Dead,
}

/// Where a batch of a failed segment went: its records keep their distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) from: u32,
    pub(crate) to: Location,
}

/// What writer and readers share.
pub(crate) struct Shared {
    env: Arc<dyn Env>,
    durable: AtomicU64,
    table: RwLock<BTreeMap<SegmentId, Entry>>,
    files: Mutex<Vec<(SegmentId, Arc<dyn File>)>>,
    pins: RwLock<Pins>,
    maps: RwLock<Maps>,
    /// Where a log that nobody writes to is torn, as a reader beside found it.
    pub(crate) torn: OnceLock<Cut>,
}

impl Shared {
    pub(crate) fn new(env: Arc<dyn Env>) -> Self {
        Self {
            env,
            durable: AtomicU64::new(0),
            table: RwLock::new(BTreeMap::new()),
            files: Mutex::new(Vec::new()),
            pins: RwLock::default(),
            maps: RwLock::default(),
            torn: OnceLock::new(),
        }
    }

    pub(crate) fn durable(&self) -> Lsn {
        // Acquire pairs with the Release of `publish`: what the table said before is seen.
        Lsn::new(self.durable.load(Ordering::Acquire))
    }

    /// Moves the watermark. Only the writer calls it.
    pub(crate) fn publish(&self, durable: Lsn) {
        // Release pairs with the Acquire of `durable`: the table's changes come before the number.
        self.durable.store(durable.get(), Ordering::Release);
    }

    /// Nothing panics while it holds the lock, and a map is whole after every single insert: poison says
    /// nothing here.
    pub(crate) fn table(&self) -> RwLockReadGuard<'_, BTreeMap<SegmentId, Entry>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn table_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<SegmentId, Entry>> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, segment: SegmentId) -> Result<Entry, Error> {
        self.table().get(&segment).cloned().ok_or_else(|| no_segment(segment))
    }

    /// The segment that counts for this LSN: the newest live one that begins at or below it.
    fn entry_of(&self, lsn: Lsn) -> Option<Entry> {
        let table = self.table();
        table.values().rev().find(|entry| entry.seal != Seal::Dead && entry.base <= lsn).cloned()
    }

    fn pins(&self) -> RwLockReadGuard<'_, Pins> {
        self.pins.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pins_mut(&self) -> RwLockWriteGuard<'_, Pins> {
        self.pins.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The map of a sealed segment.
    fn map(&self, segment: SegmentId) -> Result<Bytes, Error> {
        if let Some(bytes) = self.maps.read().unwrap_or_else(PoisonError::into_inner).get(segment) {
            return Ok(bytes.clone());
        }
        let bytes = self.env.open_read(&segment_path(segment))?.map_scattered()?;
        self.maps.write().unwrap_or_else(PoisonError::into_inner).insert(segment, bytes.clone());
        Ok(bytes)
    }

    /// Lets handle and map of a segment go: its file is removed or replaced. What was borrowed lives on.
    fn let_go(&self, segment: SegmentId) {
        self.files().retain(|(known, _)| *known != segment);
        self.maps.write().unwrap_or_else(PoisonError::into_inner).remove(segment);
    }

    fn files(&self) -> MutexGuard<'_, Vec<(SegmentId, Arc<dyn File>)>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, entry: &Entry) -> Result<Arc<dyn File>, Error> {
        if let Some(file) = &entry.file {
            return Ok(Arc::clone(file));
        }
        self.file_of(entry.stamp.segment)
    }

    /// A handle of a segment that is not the writer's.
    fn file_of(&self, segment: SegmentId) -> Result<Arc<dyn File>, Error> {
        if let Some((_, file)) = self.files().iter().find(|(known, _)| *known == segment) {
            return Ok(Arc::clone(file));
        }
        let file = self.env.open_read(&segment_path(segment))?;
        let mut files = self.files();
        if files.len() >= FILES_MAX {
            files.remove(0);
        }
        files.push((segment, Arc::clone(&file)));
        Ok(file)
    }
}

/// A record of a map: copied first and checked then, because a page of a map that has been pushed out of memory reads
/// as zeros when it cannot be fetched again.
fn record_of(map: &[u8], offset: u32, stamp: &SegmentStamp) -> Option<OwnedRecord> {
    let bytes = map.get(usize_of(offset)..)?;
    let len = RecordHeader::peek_len(bytes).filter(|len| *len <= RECORD_LEN_MAX)?;
    let bytes = Bytes::copy_from_slice(bytes.get(..len)?);
    RecordRef::decode(&bytes, stamp)?;
    OwnedRecord::from_checked(bytes)
}

fn no_segment(segment: SegmentId) -> Error {
    Error::new(ErrorKind::Fix, format!("there is no segment {segment} in the log"))
}

/// The watermark: the last durable LSN.
#[derive(Clone)]
pub struct Durable {
    pub(crate) shared: Arc<Shared>,
}

impl Durable {
    /// The last durable LSN, inclusive.
    pub fn load(&self) -> Lsn {
        self.shared.durable()
    }
}

/// A sealed segment: complete, never written again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedSegment {
    /// Its number.
    pub id: SegmentId,
    /// LSN of its first record.
    pub base: Lsn,
    /// LSN of its last record; `base - 1` when it holds none.
    pub last: Lsn,
    /// Bytes that are used.
    pub used: u64,
    /// Its BLAKE3 chain over the used bytes: what tells it from any other segment.
    pub chain: [u8; 32],
    /// Whether its footer is on the disk; after a failed sync it waits for the next start.
    pub footer: bool,
}

/// Bytes of the log that cannot be read: what was there is lost from this copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where.
    pub segment: SegmentId,
    /// First damaged byte.
    pub from: u32,
    /// Behind the last damaged byte.
    pub to: u32,
    /// First LSN that is lost.
    pub first: Lsn,
    /// Last LSN that is lost; `first - 1` when only a batch header was hit and no record is lost.
    pub last: Lsn,
}

impl Damage {
    /// Records that are lost.
    pub fn records(&self) -> u64 {
        self.last.get().saturating_add(1).saturating_sub(self.first.get())
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "segment {} bytes {}..{} are damaged, ", self.segment, self.from, self.to)?;
        match self.records() {
            0 => f.write_str("no record is lost"),
            _ => write!(f, "records {}..={} are lost", self.first, self.last),
        }
    }
}

impl std::error::Error for Damage {}

impl From<Damage> for Error {
    fn from(damage: Damage) -> Self {
        Self::new(ErrorKind::Corrupt, damage.to_string())
    }
}

/// Reads records while the writer runs. Cheap to clone.
#[derive(Clone)]
pub struct LogReader {
    pub(crate) shared: Arc<Shared>,
}

impl LogReader {
    /// Of a log without records.
    #[cfg(feature = "columns")]
    pub(crate) fn of_nothing(env: &Arc<dyn Env>) -> Self {
        Self { shared: Arc::new(Shared::new(Arc::clone(env))) }
    }

    /// The last durable LSN, inclusive.
    pub fn durable(&self) -> Lsn {
        self.shared.durable()
    }

    /// Where the log is torn behind the last record that can be read, if it was opened beside no writer
    /// ([`LogReader::open_read_only`]): what lay there may have been acknowledged.
    pub fn torn(&self) -> Option<Cut> {
        self.shared.torn.get().copied()
    }

    /// Whether this life of a segment counts in the log.
    pub(crate) fn knows(&self, stamp: SegmentStamp) -> bool {
        self.shared.table().get(&stamp.segment).is_some_and(|entry| entry.stamp == stamp)
    }

    /// The LSN of the oldest record that the log still holds or would hold next.
    pub fn first(&self) -> Lsn {
        let table = self.shared.table();
        table.values().find(|entry| entry.seal != Seal::Dead).map_or(Lsn::new(1), |entry| entry.base)
    }

    /// Whether the log still holds this record, or will: what lies before was dropped, once it was in the archive.
    pub fn holds(&self, lsn: Lsn) -> bool {
        lsn >= self.first()
    }

    /// Takes a sealed segment out of the log, as far as readers of it are concerned; its file stays. Who holds a map or
    /// a handle of it reads on. For the owner, once [`crate::Begin`] says that it was dropped.
    pub fn forget(&self, segment: SegmentId) {
        let mut table = self.shared.table_mut();
        match table.get_mut(&segment) {
            // Records that were first written here lie in a later segment, and are asked for by their old place.
            Some(entry) if !entry.moved.is_empty() => entry.seal = Seal::Dead,
            _ => drop(table.remove(&segment)),
        }
        drop(table);
        self.shared.let_go(segment);
    }

    /// The record at a place, wherever it has moved since.
    ///
    /// # Errors
    /// `Retry` when it is not durable yet; `Corrupt` when there is no whole record; of the system when the disk cannot be read.
    pub fn read(&self, location: Location) -> Result<OwnedRecord, Error> {
        self.read_one(location, None)
    }

    /// The same of the record that is known to lie there: a device that writes elsewhere may have put another whole one of the segment in
    /// its place.
    ///
    /// # Errors
    /// As [`LogReader::read`]; `Corrupt` when it is another record.
    pub fn read_of(&self, lsn: Lsn, location: Location) -> Result<OwnedRecord, Error> {
        self.read_one(location, Some(lsn))
    }

    fn read_one(&self, location: Location, wanted: Option<Lsn>) -> Result<OwnedRecord, Error> {
        let record = self.read_written(location, wanted)?;
        // A place that `append` has told of may be on disk before its sync, and gone again after a power cut.
        if record.record().lsn() > self.durable() {
            let text = format!("the record at {location} is not durable yet");
            return Err(Error::new(ErrorKind::Retry, text));
        }
        Ok(record)
    }

    /// The same, whether or not it is durable.
    fn read_written(&self, location: Location, wanted: Option<Lsn>) -> Result<OwnedRecord, Error> {
        let is_it = |record: &OwnedRecord| wanted.is_none_or(|wanted| record.record().lsn() == wanted);
        let pinned = self.shared.pins().at(location).and_then(|pin| pinned_record(pin, location));
        if let Some(record) = pinned.filter(is_it) {
            return Ok(record);
        }
        let (location, stamp, file) = self.locate(location)?;
        let read = self.read_here(location, &stamp, file).and_then(|record| {
            if is_it(&record) {
                return Ok(record);
            }
            let text = format!("another record, {}, lies at {location}", record.record().lsn());
            Err(Error::new(ErrorKind::Corrupt, text))
        });
        read.or_else(|error| {
            // What one device has lost the other may still have.
            let record = self.read_mirror(location, &stamp).filter(is_it).ok_or(error)?;
            tracing::error!(%location, "alarm: a record is damaged and was read from the mirror");
            Ok(record)
        })
    }

    /// The record of the mirror's copy of a segment.
    fn read_mirror(&self, location: Location, stamp: &SegmentStamp) -> Option<OwnedRecord> {
        let mirror = &self.shared.env.mirror()?.env;
        let file = mirror.open_read(&segment_path(location.segment)).ok()?;
        read_record(&*file, location, stamp).ok()
    }

    fn read_here(
        &self,
        location: Location,
        stamp: &SegmentStamp,
        file: Option<Arc<dyn File>>,
    ) -> Result<OwnedRecord, Error> {
        let file = match file {
            // Where nothing can be mapped any more, it can still be read.
            None => match self.shared.map(location.segment) {
                Ok(map) => match record_of(&map, location.offset, stamp) {
                    Some(record) => return Ok(record),
                    // A page that the disk cannot read is zeros in a map: the descriptor tells, after three tries.
                    None => self.shared.file_of(location.segment)?,
                },
                Err(error) if error.is_not_found() => return Err(error),
                Err(_) => self.shared.file_of(location.segment)?,
            },
            Some(file) => file,
        };
        read_record(&*file, location, stamp)
    }

    /// Whether the log has a mirror.
    pub(crate) fn has_mirror(&self) -> bool {
        self.shared.env.mirror().is_some()
    }

    /// Makes a damaged sealed segment whole again from the mirror, on disk, and tells whether it could: what it is then
    /// is byte for byte what was sealed. For scrubbing; a start does it by itself.
    ///
    /// # Errors
    /// `Fix` when the segment is not sealed; of the system.
    pub fn mend(&self, segment: SegmentId) -> Result<bool, Error> {
        let entry = self.shared.entry(segment)?;
        if entry.seal != Seal::Sealed {
            return Err(Error::new(ErrorKind::Fix, format!("segment {segment} is not sealed")));
        }
        let file = self.shared.env.open_read(&segment_path(segment))?;
        let mended = crate::recover::mirror::mend_file(&*self.shared.env, segment, &*file)?;
        if mended {
            self.shared.let_go(segment);
        }
        Ok(mended)
    }

    /// Makes the mirror's copy of a sealed segment whole again from the local one, and tells whether it could. For scrubbing.
    ///
    /// # Errors
    /// `Fix` when the segment is not sealed; of the system.
    pub fn mend_copy(&self, segment: SegmentId) -> Result<bool, Error> {
        if self.shared.entry(segment)?.seal != Seal::Sealed {
            return Err(Error::new(ErrorKind::Fix, format!("segment {segment} is not sealed")));
        }
        crate::recover::mirror::mend_copy(&*self.shared.env, segment)
    }

    /// Where a record has moved to, and the handle to read it by; `None` for a sealed segment.
    #[expect(clippy::type_complexity, reason = "three things that are looked up together")]
    fn locate(
        &self,
        mut location: Location,
    ) -> Result<(Location, SegmentStamp, Option<Arc<dyn File>>), Error> {
        let table = self.shared.table();
        loop {
            let Some(entry) = table.get(&location.segment) else {
                return Err(no_segment(location.segment));
            };
            // A record moves at most once for every failed sync; the numbers of segments only grow.
            let Some(moved) = entry.moved.iter().rev().find(|moved| location.offset >= moved.from) else {
                let file = if entry.seal == Seal::Sealed { None } else { entry.file.clone() };
                return Ok((location, entry.stamp, file));
            };
            let distance = location.offset.saturating_sub(moved.from);
            let offset = moved.to.offset.saturating_add(distance);
            location = Location { segment: moved.to.segment, offset };
        }
    }

    /// The records behind `from`, up to and with `upto`. What lies above the watermark is not given out.
    pub fn records_from(&self, from: Position, upto: Lsn) -> Records {
        let upto = if planted!(32) { upto } else { upto.min(self.durable()) };
        Records::new(self.clone(), from, upto)
    }

    /// The sealed segments from the oldest on, without a gap: a segment behind one that is not sealed is not
    /// among them.
    pub fn sealed_segments(&self) -> Vec<SealedSegment> {
        let table = self.shared.table();
        table
            .values()
            .filter(|entry| entry.seal != Seal::Dead)
            .map_while(|entry| match (entry.seal, entry.last) {
                (seal @ (Seal::Sealed | Seal::Closed), Some(last)) => {
                    let (id, base, used) = (entry.stamp.segment, entry.base, entry.limit);
                    Some(SealedSegment {
                        id,
                        base,
                        last,
                        used,
                        chain: entry.chain,
                        footer: seal == Seal::Sealed,
                    })
                }
                _ => None,
            })
            .collect()
    }

    /// All records of a sealed segment, over a map.
    ///
    /// # Errors
    /// `Fix` when there is no such sealed segment; of the system.
    pub fn segment_records(&self, segment: SegmentId) -> Result<SegmentRecords, Error> {
        let entry = self.shared.entry(segment)?;
        let last = match (entry.seal, entry.last) {
            (Seal::Sealed | Seal::Closed, Some(last)) => last,
            _ => return Err(Error::new(ErrorKind::Fix, format!("segment {segment} is not sealed"))),
        };
        let bytes = self.whole(&entry)?;
        Ok(SegmentRecords { bytes, entry, last })
    }

    /// The used bytes of a segment: a map of a sealed one, a copy of any other.
    fn whole(&self, entry: &Entry) -> Result<Bytes, Error> {
        if entry.seal == Seal::Sealed {
            // A handle of its own: a map keeps no file open, so nothing is gained by the cache.
            let file = self.shared.env.open_read(&segment_path(entry.stamp.segment))?;
            if let Some(map) = readable(file.map())? {
                return Ok(map);
            }
            // What cannot be read is zeros in the copy, too, after three tries and for good: it is met as damage.
            let mut bytes = Vec::new();
            let lost = read_whole(&*file, file.len()?, &mut bytes)?;
            tracing::warn!(segment = %entry.stamp.segment, lost, "bytes of a sealed segment cannot be read");
            return Ok(Bytes::from(bytes));
        }
        let file = self.shared.file(entry)?;
        let mut bytes = vec![0; usize::try_from(entry.limit).unwrap_or(usize::MAX)];
        env::read_exact_at(&*file, &mut bytes, 0)?;
        Ok(Bytes::from(bytes))
    }
}

/// The map, if all of it can be read now: every page is touched once, which a walk would do a moment later. `None` where
/// nothing can be mapped either.
fn readable(map: Result<Bytes, Error>) -> Result<Option<Bytes>, Error> {
    let map = match map {
        Ok(map) => map,
        Err(error) if error.is_not_found() => return Err(error),
        Err(_) => return Ok(None),
    };
    let before = mmap::faults();
    let touched = map.iter().step_by(PAGE_LEN_MIN).fold(0, |sum, byte| sum | byte);
    // Not to be optimised away.
    std::hint::black_box(touched);
    Ok((before == mmap::faults()).then_some(map))
}

/// The record at a place of a file.
fn read_record(file: &dyn File, location: Location, stamp: &SegmentStamp) -> Result<OwnedRecord, Error> {
    let damaged = |what: &str| Error::new(ErrorKind::Corrupt, format!("{what} at {location}"));
    let at = u64::from(location.offset);
    let mut bytes = vec![0; READ_GUESS];
    let mut have = 0;
    loop {
        let rest = bytes.get_mut(have..).unwrap_or_default();
        let taken = read_again(file, rest, at.saturating_add(have as u64))?;
        have = have.saturating_add(taken);
        let len = RecordHeader::peek_len(bytes.get(..have).unwrap_or_default());
        match len {
            Some(len) if len > RECORD_LEN_MAX => return Err(damaged("no record")),
            Some(len) if len <= have => {
                bytes.truncate(len);
                break;
            }
            _ if taken == 0 => return Err(damaged("the segment ends inside a record")),
            Some(len) => bytes.resize(len.max(have), 0),
            None => {}
        }
    }
    if RecordRef::decode(&bytes, stamp).is_none() && !planted!(34) {
        return Err(damaged("no whole record"));
    }
    OwnedRecord::from_checked(Bytes::from(bytes)).ok_or_else(|| damaged("no whole record"))
}

/// Reads are tried three times: a device that hiccups is no reason to fail a query.
fn read_again(file: &dyn File, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
    let _ = match file.read_at(buffer, offset) {
        Err(error) if error.is_storage_fault() => file.read_at(buffer, offset),
        other => return other,
    };
    file.read_at(buffer, offset)
}

/// A sealed segment in memory.
pub struct SegmentRecords {
    bytes: Bytes,
    entry: Entry,
    last: Lsn,
}

impl SegmentRecords {
    /// Its records in order; damage is an item of its own, and the records behind it follow.
    pub fn iter(&self) -> SegmentIter<'_> {
        SegmentIter { records: self, walk: self.entry.walk() }
    }

    /// Its number.
    pub fn segment(&self) -> SegmentId {
        self.entry.stamp.segment
    }

    /// A record of this segment as a slice that keeps the map alive.
    pub fn slice(&self, record: &RecordRef<'_>) -> Bytes {
        self.bytes.slice_ref(record.payload())
    }
}

impl<'a> IntoIterator for &'a SegmentRecords {
    type Item = Result<(RecordRef<'a>, Location), Damage>;
    type IntoIter = SegmentIter<'a>;

    fn into_iter(self) -> SegmentIter<'a> {
        self.iter()
    }
}

/// Iterator of [`SegmentRecords::iter`].
pub struct SegmentIter<'a> {
    records: &'a SegmentRecords,
    walk: Walk,
}

impl<'a> Iterator for SegmentIter<'a> {
    type Item = Result<(RecordRef<'a>, Location), Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        let (segment, until) = (self.records.segment(), self.records.last);
        let records: &'a SegmentRecords = self.records;
        loop {
            if self.walk.expect() > until {
                return None;
            }
            match self.walk.next(&records.bytes, 0) {
                Some(Item::Batch(_)) => {}
                Some(Item::Record(record, offset)) => {
                    return Some(Ok((record, Location { segment, offset })));
                }
                Some(Item::Damage { from, to, first, last }) => {
                    return Some(Err(Damage { segment, from, to, first, last: last.min(until) }));
                }
                None => {
                    // The segment says it holds more than its bytes do.
                    let (from, first) = (self.walk.offset(), self.walk.expect());
                    self.walk = self.walk.clone().ended(until.next());
                    let to = offset_of(usize::try_from(self.records.entry.limit).unwrap_or(usize::MAX));
                    return Some(Err(Damage { segment, from, to, first, last: until }));
                }
            }
        }
    }
}

/// The smallest record is a header.
const _: () = assert!(READ_GUESS > RECORD_HEADER_LEN);
