//! Reading sealed segments through as fast as memory gives them: every checksum, the order, the hash chain.
//!
//! Shape: a mebibyte at a time goes into the chain, then the walk goes over the same bytes while they are in the core's
//! cache. Nothing is allocated for a record. Two ways to the bytes: [`LogReader::check_segment`] goes over a map, at 14.9
//! GB/s of one core; [`SegmentScan`] reads by `pread` into one buffer, at 9.5 GB/s, with pauses as its caller likes, and
//! knows what the disk cannot read, which a map shows as zeros. Only a segment in which something is wrong is loaded
//! whole and walked once more, to find the reach of the damage.
//!
//! Segments do not depend on one another, since a footer names the chain it goes on from; so as many threads as there are
//! cores take one after another, and what joins two segments is compared at the end. Where no thread can be had, as in
//! the simulator, the caller's does it all.
//!
//! Invariants, with the test that holds each:
//! - a flipped bit anywhere in the used bytes is found, and named with its reach where it costs a record:
//!   `tests/check.rs`, `every_flipped_byte_of_a_sealed_segment_is_found`;
//! - a segment that is not the one it was sealed behind is found: `tests/check.rs`,
//!   `a_segment_of_another_log_is_found`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::{Damage, Entry, LogReader, Seal, SealedSegment};
use crate::disk::segment_path;
use crate::env::{self, File};
use crate::error::{Error, ErrorKind};
use crate::format::{CHAIN_BLOCK_LEN, ChainHash, SegmentFooter, chain_block};
use crate::position::{Lsn, SegmentId};
use crate::record::{PARTITIONS, RECORD_LEN_MAX, RecordRef};
use crate::segment::{Item, Walk, offset_of, usize_of};

/// Ranges of damage that are kept of one segment; the numbers count all of them.
const DAMAGED_MAX: usize = 100;

/// What one sealed segment came to.
#[derive(Clone, Debug)]
pub struct SegmentCheck {
    /// Which.
    pub segment: SealedSegment,
    /// Bytes that were looked at.
    pub bytes: u64,
    /// Readable records.
    pub records: u64,
    /// Records that are lost.
    pub lost: u64,
    /// Where the bytes do not hold, the first hundred places.
    pub damaged: Vec<Damage>,
    /// What else is wrong, in words: order, sectors that cannot be read. Empty when nothing is.
    pub wrong: Vec<String>,
    /// How the segment differs from what was sealed, where no damaged record tells it already.
    pub seal: Option<String>,
    order: Order,
    chains: Option<(ChainHash, ChainHash)>,
}

/// What a whole log came to.
#[derive(Clone, Debug, Default)]
pub struct LogCheck {
    /// Sealed segments.
    pub segments: u64,
    /// Bytes that were looked at.
    pub bytes: u64,
    /// Readable records.
    pub records: u64,
    /// Records that are lost.
    pub lost: u64,
    /// Where the bytes do not hold.
    pub damaged: Vec<Damage>,
    /// What else is wrong with records and segments, in words.
    pub wrong: Vec<String>,
    /// Segments that are not what was sealed, in words, where no damaged record tells it already.
    pub seals: Vec<String>,
}

impl LogCheck {
    /// Whether nothing is wrong.
    pub fn ok(&self) -> bool {
        self.damaged.is_empty() && self.wrong.is_empty() && self.seals.is_empty()
    }
}

/// What is left of the order of a segment once its records are forgotten.
#[derive(Clone, Debug)]
struct Order {
    /// `received_at` of the first and of the last record, µs.
    received_at_us: Option<(i64, i64)>,
    /// First and last number of each partition.
    partitions: Box<[Option<(u64, u64)>]>,
    /// Faults inside of the segment.
    faults: u64,
    /// Records that are lost belonged to partitions that nobody knows: a gap is no fault then.
    gaps: bool,
}

impl Order {
    fn new() -> Self {
        let partitions = vec![None; usize::from(PARTITIONS)].into_boxed_slice();
        Self { received_at_us: None, partitions, faults: 0, gaps: false }
    }

    #[inline]
    fn note(&mut self, record: &RecordRef<'_>) {
        let at = record.received_at_us();
        match &mut self.received_at_us {
            Some((_, last)) if at >= *last => *last = at,
            Some(_) => self.faults = self.faults.saturating_add(1),
            none => *none = Some((at, at)),
        }
        let seq = record.partition_seq();
        match self.partitions.get_mut(usize::from(record.partition())) {
            Some(Some((_, last))) => {
                let follows = seq == last.saturating_add(1) || (self.gaps && seq > *last);
                self.faults = self.faults.saturating_add(u64::from(!follows));
                *last = seq;
            }
            Some(none) => *none = Some((seq, seq)),
            // Of no partition.
            None => {}
        }
    }

    /// Takes over what comes behind; how many faults lie between the two.
    fn follow(&mut self, next: &Self) -> u64 {
        let mut faults = 0_u64;
        match (&mut self.received_at_us, next.received_at_us) {
            (Some((_, last)), Some((first, newest))) => {
                faults = faults.saturating_add(u64::from(first < *last));
                *last = newest.max(*last);
            }
            (none, newer) => *none = newer.or(*none),
        }
        let gaps = self.gaps || next.gaps;
        for (mine, other) in self.partitions.iter_mut().zip(&next.partitions) {
            match (mine, other) {
                (Some((_, last)), Some((first, newest))) => {
                    let follows = *first == last.saturating_add(1) || (gaps && first > last);
                    faults = faults.saturating_add(u64::from(!follows));
                    *last = *newest;
                }
                (none, newer) => *none = newer.or(*none),
            }
        }
        self.gaps = gaps;
        faults
    }
}

impl LogReader {
    /// Reads a sealed segment through: every checksum, the order of its records, and with `chain` its hash chain, which
    /// tells of bytes between records too, and of records that somebody wrote anew with a right checksum.
    ///
    /// # Errors
    /// `Fix` when there is no such sealed segment; of the system. What is damaged is no error but a part of the answer.
    pub fn check_segment(&self, segment: SegmentId, chain: bool) -> Result<SegmentCheck, Error> {
        let mut scan = self.scan_segment(segment, chain)?;
        if scan.entry.seal == Seal::Sealed {
            // Without a map it is read as the file.
            scan.map = scan.file.map().ok();
        }
        while scan.step()? {}
        scan.finish()
    }

    /// Begins to read a sealed segment through, for callers who want pauses between its mebibytes, or fear for the disk.
    ///
    /// # Errors
    /// `Fix` when there is no such sealed segment; of the system.
    pub fn scan_segment(&self, segment: SegmentId, chain: bool) -> Result<SegmentScan, Error> {
        let entry = self.shared.entry(segment)?;
        let last = match (entry.seal, entry.last) {
            (Seal::Sealed | Seal::Closed, Some(last)) => last,
            _ => return Err(Error::new(ErrorKind::Fix, format!("segment {segment} is not sealed"))),
        };
        // A closed segment has no footer before the next start: its records stand for themselves.
        let footer = (chain && entry.seal == Seal::Sealed).then(|| self.footer(segment)).transpose()?;
        // A handle of its own: what is let go and read again is nobody else's.
        let file = if entry.seal == Seal::Sealed {
            self.shared.env.open_read(&segment_path(segment))?
        } else {
            self.shared.file(&entry)?
        };
        let chain = footer.and_then(|footer| footer).map(|footer| footer.chain_before);
        Ok(SegmentScan {
            walk: entry.walk(),
            check: SegmentCheck {
                segment: SealedSegment {
                    id: segment,
                    base: entry.base,
                    last,
                    used: entry.limit,
                    chain: entry.chain,
                    footer: entry.seal == Seal::Sealed,
                },
                bytes: 0,
                records: 0,
                lost: 0,
                damaged: Vec::new(),
                wrong: Vec::new(),
                seal: None,
                order: Order::new(),
                chains: None,
            },
            file,
            map: None,
            entry,
            footer,
            chain,
            buffer: Vec::new(),
            origin: 0,
            have: 0,
            broken: false,
            from_disk: false,
        })
    }

    /// Reads all sealed segments through on `threads` threads, the caller's among them; 0 = as many as there are cores.
    ///
    /// # Errors
    /// Of the system. What is damaged is no error but a part of the answer.
    pub fn check_sealed(&self, chain: bool, threads: usize) -> Result<LogCheck, Error> {
        let segments = self.sealed_segments();
        let wanted = if threads == 0 { cores() } else { threads };
        let work = Arc::new(Work {
            reader: self.clone(),
            segments,
            chain,
            next: AtomicUsize::new(0),
            done: Mutex::new(Vec::new()),
        });
        let helpers = wanted.min(work.segments.len()).saturating_sub(1);
        let mut running = Vec::with_capacity(helpers);
        for number in 0..helpers {
            let share = Arc::clone(&work);
            // Without a thread, the others do its part.
            match self.shared.env.spawn(&format!("ofd-check-{number}"), Box::new(move || share.run())) {
                Ok(task) => running.push(task),
                Err(_) => break,
            }
        }
        work.run();
        for task in running {
            task.join()?;
        }
        let mut done = std::mem::take(&mut *work.done.lock().unwrap_or_else(PoisonError::into_inner));
        done.sort_by_key(|(at, _)| *at);
        let mut log = Joined { first: self.first(), ..Joined::default() };
        for (_, check) in done {
            log.add(&check?);
        }
        Ok(log.check)
    }
}

/// Cores that this process may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

/// Segments that are shared out.
struct Work {
    reader: LogReader,
    segments: Vec<SealedSegment>,
    chain: bool,
    next: AtomicUsize,
    done: Mutex<Vec<(usize, Result<SegmentCheck, Error>)>>,
}

impl Work {
    fn run(&self) {
        loop {
            // Nothing is read by way of this number but the list, which stands before the threads start.
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(segment) = self.segments.get(at) else { return };
            let checked = self.reader.check_segment(segment.id, self.chain);
            self.done.lock().unwrap_or_else(PoisonError::into_inner).push((at, checked));
        }
    }
}

impl SegmentCheck {
    /// Whether nothing is wrong.
    pub fn ok(&self) -> bool {
        self.damaged.is_empty() && self.wrong.is_empty() && self.seal.is_none()
    }

    #[inline]
    fn take(&mut self, record: &RecordRef<'_>) {
        self.records = self.records.saturating_add(1);
        self.order.note(record);
    }

    /// Something was wrong with the segment: walks once more over all of its bytes.
    fn walk_whole(&mut self, entry: &Entry, bytes: &[u8]) {
        let last = self.segment.last;
        (self.records, self.order) = (0, Order::new());
        let mut walk = entry.walk();
        while walk.expect() <= last {
            match walk.next(bytes, 0) {
                Some(Item::Record(record, _)) => self.take(&record),
                Some(Item::Batch(_)) => {}
                Some(Item::Damage { from, to, first, last: until }) => {
                    let until = until.min(last);
                    self.order.gaps |= until >= first;
                    self.damage(Damage { segment: self.segment.id, from, to, first, last: until });
                }
                None => {
                    // The segment says it holds more than its bytes do.
                    let (from, first) = (walk.offset(), walk.expect());
                    let to = offset_of(usize::try_from(entry.limit).unwrap_or(usize::MAX));
                    self.order.gaps = true;
                    return self.damage(Damage { segment: self.segment.id, from, to, first, last });
                }
            }
        }
    }

    #[cold]
    fn damage(&mut self, damage: Damage) {
        self.lost = self.lost.saturating_add(damage.records());
        if self.damaged.len() < DAMAGED_MAX {
            self.damaged.push(damage);
        }
    }
}

/// A sealed segment that is being read through.
pub struct SegmentScan {
    entry: Entry,
    file: Arc<dyn File>,
    /// Used instead of the file where it is there.
    map: Option<Bytes>,
    /// Of a segment whose chain is wanted, if it can be read.
    footer: Option<Option<SegmentFooter>>,
    chain: Option<ChainHash>,
    walk: Walk,
    check: SegmentCheck,
    /// The bytes from `origin` on, `have` of them: the end of a record that was cut, then the newest block.
    buffer: Vec<u8>,
    origin: usize,
    have: usize,
    /// Something does not hold, or cannot be read.
    broken: bool,
    from_disk: bool,
}

impl SegmentScan {
    /// Reads the next mebibyte; false when there is nothing more to read, or no use in it.
    ///
    /// # Errors
    /// Of the system; bytes that the disk cannot give are damage and no error.
    pub fn step(&mut self) -> Result<bool, Error> {
        let used = usize::try_from(self.entry.limit).unwrap_or(usize::MAX);
        let at = self.origin.saturating_add(self.have);
        let len = CHAIN_BLOCK_LEN.min(used.saturating_sub(at));
        if len == 0 || self.broken {
            return Ok(false);
        }
        if let Some(map) = &self.map {
            let end = at.saturating_add(len);
            let Some(block) = map.get(at..end) else {
                self.broken = true;
                return Ok(false);
            };
            self.chain = self.chain.map(|chain| chain_block(&chain, block));
            self.check.bytes = self.check.bytes.saturating_add(len as u64);
            self.origin = end;
            self.broken |= !walk_to(&mut self.walk, &mut self.check, map, 0, end);
            return Ok(!self.broken && end < used);
        }
        if self.from_disk {
            self.file.let_go(at as u64, len as u64);
        }
        self.buffer.resize(RECORD_LEN_MAX.saturating_add(CHAIN_BLOCK_LEN), 0);
        let block = self.buffer.get_mut(self.have..self.have.saturating_add(len)).unwrap_or_default();
        match read_block(&*self.file, block, at as u64) {
            Ok(()) => {}
            Err(error) if error.is_storage_fault() || error.kind() == ErrorKind::Corrupt => {
                self.check.wrong.push(error.to_string());
                self.broken = true;
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        self.chain = self.chain.map(|chain| chain_block(&chain, block));
        self.have = self.have.saturating_add(len);
        self.check.bytes = self.check.bytes.saturating_add(len as u64);
        let end = at.saturating_add(len);
        // What begins before this byte lies whole in the buffer.
        let until = if end < used { end.saturating_sub(RECORD_LEN_MAX) } else { used };
        let bytes = self.buffer.get(..self.have).unwrap_or_default();
        self.broken |= !walk_to(&mut self.walk, &mut self.check, bytes, self.origin, until);
        // What the walk has not seen moves to the begin of the buffer.
        let seen = usize_of(self.walk.offset()).clamp(self.origin, end);
        self.buffer.copy_within(seen.saturating_sub(self.origin)..self.have, 0);
        (self.origin, self.have) = (seen, end.saturating_sub(seen));
        Ok(!self.broken && end < used)
    }

    /// The same from the disk: the system is asked to forget what it holds of the segment, piece by piece.
    #[must_use]
    pub fn from_disk(mut self) -> Self {
        self.from_disk = true;
        self
    }

    /// Bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.check.bytes
    }

    /// What it came to. Of a segment in which anything is wrong all bytes are read once more, to say what.
    ///
    /// # Errors
    /// Of the system.
    pub fn finish(self) -> Result<SegmentCheck, Error> {
        let Self { entry, file, footer, chain, walk, mut check, broken, .. } = self;
        let last = check.segment.last;
        let mut holds = !broken && walk.expect() > last;
        match footer {
            None => {}
            Some(None) => check.seal = Some("the footer cannot be read".to_owned()),
            Some(Some(footer)) => {
                let same = footer.stamp == entry.stamp
                    && footer.base == entry.base
                    && footer.used == entry.limit
                    && footer.last == last;
                if !same {
                    check.seal = Some("the footer is of another segment".to_owned());
                } else if chain == Some(footer.chain) {
                    check.chains = Some((footer.chain_before, footer.chain));
                } else if holds {
                    holds = false;
                    check.seal = Some("the bytes are not those that were sealed".to_owned());
                }
            }
        }
        if !holds {
            let mut bytes = Vec::new();
            crate::recover::read_whole(&*file, entry.limit.min(file.len()?), &mut bytes)?;
            check.walk_whole(&entry, &bytes);
            check.bytes = entry.limit;
        }
        if check.order.faults > 0 {
            let text = format!("{} times records do not follow one another", check.order.faults);
            check.wrong.push(text);
        }
        Ok(check)
    }
}

/// Walks while it stands before byte `end`; false when something does not hold.
fn walk_to(walk: &mut Walk, check: &mut SegmentCheck, bytes: &[u8], origin: usize, end: usize) -> bool {
    let last = check.segment.last;
    while usize_of(walk.offset()) < end && walk.expect() <= last {
        match walk.next(bytes, origin) {
            Some(Item::Record(record, _)) => check.take(&record),
            Some(Item::Batch(_)) => {}
            Some(Item::Damage { .. }) | None => return false,
        }
    }
    true
}

/// Fills the buffer; a device that hiccups gets three tries.
fn read_block(file: &dyn File, buffer: &mut [u8], at: u64) -> Result<(), Error> {
    let _ = match env::read_exact_at(file, buffer, at) {
        Err(error) if error.is_storage_fault() => env::read_exact_at(file, buffer, at),
        other => return other,
    };
    env::read_exact_at(file, buffer, at)
}

/// Puts segments together, oldest first.
#[derive(Default)]
struct Joined {
    check: LogCheck,
    first: Lsn,
    order: Option<Order>,
    /// The last segment, with the chain it came to.
    before: Option<(SealedSegment, Option<ChainHash>)>,
}

impl Joined {
    fn add(&mut self, check: &SegmentCheck) {
        let SegmentCheck { segment, bytes, records, lost, damaged, wrong, seal, order, chains } = check;
        let log = &mut self.check;
        log.segments = log.segments.saturating_add(1);
        log.bytes = log.bytes.saturating_add(*bytes);
        log.records = log.records.saturating_add(*records);
        log.lost = log.lost.saturating_add(*lost);
        log.damaged.extend_from_slice(damaged);
        let id = segment.id;
        log.wrong.extend(wrong.iter().map(|what| format!("segment {id}: {what}")));
        log.seals.extend(seal.iter().map(|what| format!("segment {id}: {what}")));
        let expected = self.before.as_ref().map_or(self.first, |(before, _)| before.last.next());
        if segment.base != expected {
            let base = segment.base;
            log.wrong.push(format!("segment {id} begins with position {base}, {expected} comes next"));
        }
        if let (Some((_, Some(chain))), Some((goes_on_from, _))) = (&self.before, chains)
            && chain != goes_on_from
        {
            let text = "the segment before it is not the one it was sealed behind";
            log.seals.push(format!("segment {id}: {text}"));
        }
        match &mut self.order {
            Some(before) => {
                let faults = before.follow(order);
                if faults > 0 {
                    log.wrong
                        .push(format!("segment {id}: {faults} times the order does not go on from before"));
                }
            }
            none => *none = Some(order.clone()),
        }
        self.before = Some((*segment, chains.map(|(_, chain)| chain)));
    }
}
