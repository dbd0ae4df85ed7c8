//! What was promised, and whether it was kept.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ofd_storage::testing::SimEnv;
use ofd_storage::{
    Cut, Env, ErrorKind, Index, Location, Log, LogReader, Lsn, NO_PARTITION, Position, RecordRef,
    RecoveryReport, SegmentId,
};

use super::{Broken, Rng, Totals};

/// What was appended under one LSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    pub id: u64,
    pub len: usize,
    pub partition: u16,
    pub partition_seq: u64,
    pub received_at_us: i64,
    /// Damage was done to it, and the log has said so.
    pub lost: bool,
}

impl Expected {
    pub fn payload_into(&self, bytes: &mut Vec<u8>) {
        let mut rng = Rng(self.id);
        bytes.clear();
        while bytes.len() < self.len {
            bytes.extend_from_slice(&rng.next().to_le_bytes());
        }
        bytes.truncate(self.len);
    }

    fn has_payload(&self, payload: &[u8]) -> bool {
        let mut rng = Rng(self.id);
        let (words, rest) = payload.as_chunks::<8>();
        payload.len() == self.len
            && words.iter().all(|word| rng.next() == u64::from_le_bytes(*word))
            && rng.next().to_le_bytes().starts_with(rest)
    }

    fn is(&self, record: &RecordRef<'_>) -> bool {
        (record.partition(), record.partition_seq(), record.received_at_us())
            == (self.partition, self.partition_seq, self.received_at_us)
            && self.has_payload(record.payload())
    }
}

/// A bit that was flipped since the last recovery.
#[derive(Clone, Copy, Debug)]
pub struct Flip {
    /// The record it is in, if any.
    pub hit: Option<u64>,
    /// The byte.
    pub place: Option<Location>,
    /// Everything up to here was proven when it was flipped.
    pub proven: u64,
    /// The metadata were hit.
    pub meta: bool,
}

/// A record that was hit begins at most so many bytes before.
const HIT_LEN_MAX: u32 = 8 * 1024;

/// What may be missing after the next recovery.
#[derive(Clone, Debug, Default)]
pub struct Excuse {
    pub flip: Option<Flip>,
    /// The metadata file is gone.
    pub no_meta: bool,
    /// A start has ended without a report: it may have made damaged metadata again, and the two newest writes one.
    pub start_ended: bool,
    /// What starts told as cut that ended before they could report: first and last record.
    pub told: Vec<(u64, Option<u64>)>,
}

/// What was promised so far.
#[derive(Default)]
pub struct Oracle {
    /// By LSN - 1: everything that has a number.
    pub records: Vec<Expected>,
    /// Everything up to here was acknowledged.
    pub acked: usize,
    pub next_id: u64,
    /// Acknowledged in all lives.
    pub acked_ever: u64,
    /// By partition: the newest number given out for a record that counts.
    pub last_seq: Vec<u64>,
    /// Something was lost and reported: numbers may have gaps.
    pub loss: bool,
    /// The device has lied, and not all that it cost has been seen: what is missing has to be named all the same.
    pub lied: bool,
    /// The device may lie about anything. Otherwise an error may come late, and only the newest write is in doubt.
    pub lying: bool,
    /// Where writes ended, by their last record: each is one write, up to the one before.
    pub writes: Vec<usize>,
    /// Reads may fail now: by a fault, or since the power is off.
    pub reads_fail: bool,
    pub epoch: u32,
    pub excuse: Excuse,
    /// Sealed segments with a flipped bit: their seal must not hold any more.
    pub broken_seals: Vec<SegmentId>,
    /// Segments whose seal may be broken: by a lie, or since a bit had flipped before them when they had their footers.
    pub doubtful_seals: BTreeSet<SegmentId>,
    /// What starts have set aside: no later one finds it again.
    pub aside: BTreeSet<SegmentId>,
    /// Segments whose footer may go again, and the next one have another chain then: what was sealed behind it is in doubt.
    pub doubtful_footers: BTreeSet<SegmentId>,
}

/// What recovery hands out, compared as it comes.
pub struct Visit {
    pub places: Vec<(u64, Location)>,
    pub broken: Option<Broken>,
}

impl Visit {
    pub fn new() -> Self {
        Self { places: Vec::new(), broken: None }
    }

    pub fn take(&mut self, oracle: &Oracle, record: &RecordRef<'_>, location: Location) {
        let lsn = record.lsn().get();
        let last = self.places.last().map_or(0, |(last, _)| *last);
        if lsn <= last {
            self.broken.get_or_insert(format!("I4: recovery shows {lsn} after {last}"));
        }
        match oracle.records.get(lsn as usize - 1) {
            None => {
                let have = oracle.records.len();
                self.broken.get_or_insert(format!("I3: recovery shows {lsn}, {have} were appended"));
            }
            Some(expected) if !expected.is(record) => {
                let end = oracle.acked;
                self.broken
                    .get_or_insert(format!("I1/I3: record {lsn} is not what was appended (acked {end})"));
            }
            Some(_) => {}
        }
        self.places.push((lsn, location));
    }
}

impl Oracle {
    /// The newest number of each partition, from the records that count.
    fn recount(&mut self) {
        self.last_seq.clear();
        self.last_seq.resize(256, 0);
        for record in self.records.iter().filter(|record| record.partition != NO_PARTITION) {
            let last = &mut self.last_seq[usize::from(record.partition)];
            *last = record.partition_seq.max(*last);
        }
    }

    pub fn seq_holds(&self, partition: u16, seq: u64) -> Result<(), Broken> {
        if partition == NO_PARTITION {
            return if seq == 0 { Ok(()) } else { Err(format!("I4: sequence {seq} without partition")) };
        }
        let last = self.last_seq.get(usize::from(partition)).copied().unwrap_or(0);
        let holds = if self.loss { seq > last } else { seq == last + 1 };
        if holds { Ok(()) } else { Err(format!("I4: sequence {seq} of partition {partition} after {last}")) }
    }

    /// Compares what recovery came to with what was promised.
    #[allow(clippy::too_many_lines, reason = "one promise after another")]
    pub fn compare(
        &mut self,
        visit: Visit,
        log: &Log,
        report: &RecoveryReport,
        totals: &mut Totals,
    ) -> Result<Vec<(u64, Location)>, Broken> {
        let Visit { places, broken } = visit;
        if let Some(broken) = broken {
            return Err(format!("{broken}; {report:?}"));
        }
        let excuse = std::mem::take(&mut self.excuse);
        let end = log.durable().get() as usize;
        // It hit a copy that nobody read then, since another lay in the page cache and is gone: the cut says where it lies.
        let flip = excuse.flip.map(|flip| {
            let near = |cut: &Cut| {
                flip.place.is_some_and(|place| {
                    place.segment == cut.segment
                        && (cut.offset..cut.offset + HIT_LEN_MAX).contains(&place.offset)
                })
            };
            let cut = report.cut.filter(near).map(|cut| cut.first.get());
            Flip { hit: flip.hit.or(cut), ..flip }
        });
        if end > self.records.len() {
            return Err(format!("I3: durable {end}, {} were appended; {report:?}", self.records.len()));
        }
        if log.next_lsn().get() as usize != end + 1 {
            return Err(format!("I4: the log goes on at {} behind {end}", log.next_lsn()));
        }
        if report.records != places.len() as u64 || report.durable.get() as usize != end {
            return Err(format!("the report counts other records than were shown: {report:?}"));
        }
        // The fence: no two lives have one epoch. Without metadata a life that has written nothing leaves no trace.
        if report.epoch <= self.epoch && !excuse.no_meta && !self.lied {
            return Err(format!("the epoch goes from {} to {}", self.epoch, report.epoch));
        }
        self.epoch = if excuse.no_meta || self.lied { report.epoch } else { self.epoch.max(report.epoch) };
        // The newest write is in doubt where an error may have come late, no other.
        let newest = if excuse.start_ended { 2 } else { 1 };
        let floor = self.writes.iter().rev().nth(newest).copied().unwrap_or(0);
        let (lied, lying) = (self.lied, self.lying);
        // A write that is torn behind the watermark may be cut, nothing else. The proof of it may have been in the page cache
        // only, and gone with a power cut in recovery.
        // Or a copy of it was hit that nothing proves, while another proves its begin.
        let in_tail = |hit: u64, proven: u64| {
            let unproven = hit as usize > floor && (proven as usize) < self.acked;
            hit > proven || end as u64 + 1 == hit || unproven
        };
        let hit_in_tail = flip.and_then(|flip| flip.hit.filter(|hit| in_tail(*hit, flip.proven)));
        if end < self.acked {
            // The hit record may come from the copy that a rewrite has left behind, and others with it: what is lost lies
            // behind the hit all the same. So it may be with a record that was hit before, and named.
            let known = self.records[end].lost.then_some(end as u64 + 1);
            let hit = hit_in_tail.filter(|hit| end as u64 + 1 >= *hit).or(known);
            let one_write = |hit: u64| {
                let hit = hit as usize;
                self.writes.iter().filter(|write| (hit..self.acked).contains(*write)).count() < newest
            };
            // An error that came late, with the power gone before it was told.
            let late = self.lied && (self.lying || end >= floor);
            // What was hit in the write before and named is not lost once more.
            let new = self.records.get(end..self.acked).is_some_and(|it| it.iter().any(|it| !it.lost));
            if new && !hit.is_some_and(one_write) && !late {
                return Err(format!(
                    "I1: lost: {end} of {} acknowledged are there; {flip:?} writes {:?}; {report:?}",
                    self.acked,
                    self.writes.iter().rev().take(5).collect::<Vec<_>>()
                ));
            }
            let mut cuts = excuse.told.clone();
            cuts.extend(report.cut.map(|cut| (cut.first.get(), cut.last.map(Lsn::get))));
            let named = |lsn: u64| {
                cuts.iter().any(|(first, last)| *first <= lsn && last.is_none_or(|last| lsn <= last))
            };
            match (end + 1..=self.acked).find(|lsn| !self.records[lsn - 1].lost && !named(*lsn as u64)) {
                None => totals.reported_losses += (self.acked - end) as u64,
                // The newest write is gone without a trace, as if it had never been: nothing can tell.
                Some(_) if late => totals.vanished += (self.acked - end) as u64,
                Some(lsn) => {
                    return Err(format!(
                        "I12: the loss of {lsn} at the end is not reported: {end} of {}; {flip:?} told {:?}; {report:?}",
                        self.acked, excuse.told
                    ));
                }
            }
            self.loss = true;
        }
        if let Some(cut) = report.cut
            && (cut.first.get() as usize) <= end
        {
            return Err(format!("I11: {cut:?} reaches below {end} records that are served"));
        }
        // It may be served all the same: a rewrite has left a copy of it in another segment.
        // Of what was never acknowledged nothing may be left that tells of it.
        if let Some(hit) = hit_in_tail
            && (end as u64) < hit
            && hit as usize <= self.acked
            && report.cut.map(|cut| cut.first.get()) != Some(hit)
            && !excuse.told.iter().any(|(first, _)| *first == hit)
        {
            return Err(format!(
                "I12: record {hit} is hit and unproven, and not what is cut; {flip:?} acked {}; {report:?}",
                self.acked
            ));
        }
        // Below the watermark: damage costs the record it hit and no other.
        if let Some(Flip { hit: Some(hit), proven, .. }) = flip
            && hit <= proven.min(end as u64)
        {
            self.records[hit as usize - 1].lost = true;
            self.loss = true;
        }
        let named = |lsn: u64| {
            report.damaged.iter().any(|damage| (damage.first.get()..=damage.last.get()).contains(&lsn))
        };
        let mut shown = places.iter().map(|(lsn, _)| *lsn).peekable();
        for lsn in 1..=end as u64 {
            let there = shown.next_if_eq(&lsn).is_some();
            let expected = &mut self.records[lsn as usize - 1];
            // A device that lies may show what it has lost at any later time; what it costs has to be named.
            if lied && (lying || lsn as usize > floor) && !there && !expected.lost && named(lsn) {
                expected.lost = true;
                self.loss = true;
                totals.reported_losses += 1;
            }
            match (there, self.records[lsn as usize - 1].lost) {
                (false, true) if !named(lsn) => {
                    return Err(format!("I12: the loss of {lsn} is not reported; {report:?}"));
                }
                (false, false) => {
                    return Err(format!(
                        "I1: record {lsn} is missing below the watermark; in doubt {lied} from {floor}; {report:?}"
                    ));
                }
                _ => {}
            }
        }
        for damage in &report.damaged {
            let innocent = (damage.first.get()..=damage.last.get())
                .any(|lsn| self.records.get(lsn as usize - 1).is_none_or(|record| !record.lost));
            if innocent {
                return Err(format!("I12: damage where none was done: {damage}; {report:?}"));
            }
        }
        if flip.is_some_and(|flip| flip.meta) && !excuse.start_ended && !report.meta_rebuilt {
            return Err("I12: damaged metadata are not reported".into());
        }
        for id in &report.set_aside {
            if !self.aside.insert(*id) && !self.lied {
                return Err(format!("I10: {id} was set aside before; {report:?}"));
            }
        }
        self.records.truncate(end);
        self.acked = end;
        // What was written again is one write now.
        let moved = end - (report.rewritten as usize).min(end);
        self.writes.retain(|write| *write <= moved);
        if report.rewritten > 0 {
            self.writes.push(end);
        }
        self.recount();
        Ok(places)
    }

    /// A start has shown all up to `end`, without a loss: nothing else is there any more.
    pub fn recovered(&mut self, end: usize) {
        self.records.truncate(end);
        self.acked = end;
        self.recount();
    }

    pub fn is_record(&self, lsn: usize, record: &RecordRef<'_>) -> bool {
        self.records.get(lsn - 1).is_some_and(|expected| expected.is(record))
    }

    /// A reader finds records where recovery said.
    pub fn places_hold(&self, reader: &LogReader, places: &[(u64, Location)]) -> Result<(), Broken> {
        for (lsn, location) in places.iter().rev().take(5) {
            self.place_holds(reader, *lsn, *location)?;
        }
        Ok(())
    }

    pub fn place_holds(&self, reader: &LogReader, lsn: u64, location: Location) -> Result<(), Broken> {
        let expected = &self.records[lsn as usize - 1];
        match reader.read_of(Lsn::new(lsn), location) {
            Ok(record) if record.record().lsn().get() == lsn && expected.is(&record.record()) => Ok(()),
            Ok(record) => Err(format!("I1: {location} holds {} instead of {lsn}", record.record().lsn())),
            Err(error) if self.reads_fail && error.is_storage_fault() => Ok(()),
            // A write that went elsewhere shows as soon as its page is dropped: it is told, which is all that can be.
            Err(error) if self.lied && error.kind() == ErrorKind::Corrupt => Ok(()),
            Err(error) => Err(format!("I1: durable record {lsn} at {location}: {error}")),
        }
    }

    /// A feed from record `from` to the end: every LSN once, or named as lost.
    pub fn walk(&self, reader: &LogReader, from: usize) -> Result<(), Broken> {
        let mut at = from;
        let mut records = reader.records_from(Position::new(Lsn::new(at as u64)), Lsn::new(u64::MAX));
        loop {
            let before = records.position().lsn().get();
            match records.next() {
                Ok(Some((record, _))) => {
                    let fits = record.lsn().get() as usize == at + 1
                        && self.records.get(at).is_some_and(|expected| expected.is(&record));
                    if !fits {
                        return Err(format!("I7: a feed gives {} as {}", record.lsn(), at + 1));
                    }
                    at += 1;
                }
                Ok(None) if at == self.acked => return Ok(()),
                Ok(None) => return Err(format!("I7: a feed ends at {at} of {}", self.acked)),
                Err(error) if self.reads_fail && error.is_storage_fault() => return Ok(()),
                Err(error) => {
                    let after = records.position().lsn().get();
                    let named = before + 1..=after;
                    let lost =
                        |lsn: u64| self.records.get(lsn as usize - 1).is_some_and(|record| record.lost);
                    if named.is_empty() || !(self.lied || named.clone().all(lost)) {
                        return Err(format!("I12: a feed at {at} names {named:?} as lost: {error}"));
                    }
                    at = after as usize;
                }
            }
        }
    }

    /// A footer that is in the page cache only may go again, and the next start write another; where damage lies in a segment
    /// that waits for its footer it may end elsewhere then. What was sealed behind it does not follow it any more.
    pub fn doubt_footers(&mut self, env: &SimEnv, report: &RecoveryReport) {
        let damaged = |id: SegmentId| report.damaged.iter().any(|damage| damage.segment == id);
        let open = files_of(env)
            .into_iter()
            .filter(|(id, footer)| (!footer && damaged(*id)) || (*footer && !env.is_durable(&path_of(*id))));
        self.doubtful_footers.extend(open.map(|(id, _)| id));
    }

    /// Every seal holds, or the oracle knows why not.
    pub fn scrub(&mut self, env: &SimEnv, reader: &LogReader) -> Result<(), Broken> {
        let sealed = reader.sealed_segments();
        if self.lied {
            // What waits for its place in the row is not checked yet.
            let checked: BTreeSet<SegmentId> = sealed.iter().map(|sealed| sealed.id).collect();
            let files = files_of(env).into_iter().filter(|(id, footer)| *footer && !checked.contains(id));
            self.doubtful_seals.extend(files.map(|(id, _)| id));
        }
        // Those between have waited for their footers as well, and follow it: the first that had its footer before does not.
        let mut behind = false;
        for sealed in sealed {
            let broken = self.broken_seals.contains(&sealed.id);
            let rotten = !env.flipped_bytes(&path_of(sealed.id)).is_empty();
            match reader.check_seal(sealed.id) {
                Err(error) if self.reads_fail && error.is_storage_fault() => {}
                Err(_) if self.lied => {
                    self.doubtful_seals.insert(sealed.id);
                }
                Err(_) if rotten || self.doubtful_seals.contains(&sealed.id) => {}
                Err(_) if behind => behind = false,
                Err(error) => return Err(format!("I12: a seal: {error}")),
                Ok(()) if broken => {
                    return Err(format!("I12: the seal of {} holds over a flipped bit", sealed.id));
                }
                Ok(()) => {}
            }
            behind |= self.doubtful_footers.contains(&sealed.id);
        }
        Ok(())
    }

    /// The index over what recovery showed gives what a list of it gives.
    pub fn index_holds(&self, places: &[(u64, Location)]) -> Result<(), Broken> {
        let mut index = Index::new(|| 7);
        let mut found = Vec::new();
        let number = |lsn: u64| (self.records[lsn as usize - 1].id % 97) as u32;
        let drive = |lsn: u64| u64::from(self.records[lsn as usize - 1].partition);
        for (lsn, location) in places {
            index.insert(drive(*lsn), number(*lsn), Lsn::new(*lsn), *location);
        }
        for (lsn, location) in places.iter().take(40) {
            found.clear();
            index.get(drive(*lsn), number(*lsn), Lsn::NONE, &mut found);
            if !found.iter().any(|entry| (entry.lsn.get(), entry.location) == (*lsn, *location)) {
                return Err(format!("the index does not know record {lsn}"));
            }
        }
        Ok(())
    }
}

pub fn path_of(segment: SegmentId) -> PathBuf {
    PathBuf::from("log").join(format!("{segment}.seg"))
}

/// Segment files by number, and whether each has its footer.
pub fn files_of(env: &SimEnv) -> Vec<(SegmentId, bool)> {
    let env = env.fork();
    env.set_knobs(|knobs| *knobs = ofd_storage::testing::SimKnobs::default());
    let dir = Path::new("log");
    let files = env.list(dir).unwrap_or_default().into_iter().filter_map(|entry| {
        let number = u32::from_str_radix(entry.name.strip_suffix(".seg")?, 16).ok()?;
        let file = env.open_read(&dir.join(&entry.name)).ok()?;
        let mut magic = [0; 8];
        let mut has = |back: u64| {
            let read = file.read_at(&mut magic, entry.len.saturating_sub(back));
            read.is_ok() && magic == *b"OFDseal\x01"
        };
        Some((SegmentId::new(number), has(4096) || has(2048)))
    });
    let mut files: Vec<_> = files.collect();
    files.sort();
    files
}

/// LSN, place and length of each record.
pub type OnDisk = Vec<(u64, Location, usize)>;

/// Where every record lies on disk right now, and what a start would report: on copies of the machine.
pub fn survey(
    env: &SimEnv,
    options: ofd_storage::LogOptions,
) -> Result<(OnDisk, LogReader, RecoveryReport), Broken> {
    let text = |error: ofd_storage::Error| format!("a copy of the machine: {error}");
    let copy = env.fork();
    copy.set_knobs(|knobs| *knobs = ofd_storage::testing::SimKnobs::default());
    copy.mend(false);
    let reader = LogReader::open_read_only(std::sync::Arc::new(copy.fork())).map_err(text)?;
    let mut records = reader.records_from(Position::START, Lsn::new(u64::MAX));
    let mut places = Vec::new();
    loop {
        match records.next() {
            Ok(Some((record, location))) => places.push((record.lsn().get(), location, record.encoded_len())),
            Ok(None) => break,
            Err(error) if error.kind() == ErrorKind::Corrupt => {}
            Err(error) => return Err(text(error)),
        }
    }
    let (_log, report) =
        ofd_storage::recover(std::sync::Arc::new(copy), options, &mut |_, _| {}).map_err(text)?;
    Ok((places, reader, report))
}
