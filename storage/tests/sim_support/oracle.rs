//! What was promised, and whether it was kept.

use std::path::PathBuf;

use ofd_storage::testing::SimEnv;
use ofd_storage::{
    ErrorKind, Index, Location, Log, LogReader, Lsn, NO_PARTITION, Position, RecordRef, RecoveryReport,
    SegmentId,
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
        payload.len() == self.len
            && payload.chunks(8).all(|chunk| rng.next().to_le_bytes().starts_with(chunk))
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
    /// Everything up to here was proven when it was flipped.
    pub proven: u64,
    /// The metadata were hit.
    pub meta: bool,
    /// Recovery has crashed since.
    pub crashed: bool,
}

/// What may be missing after the next recovery.
#[derive(Clone, Debug, Default)]
pub struct Excuse {
    /// A sync had lied when the power went.
    pub lied: bool,
    pub flip: Option<Flip>,
    /// The metadata file is gone.
    pub no_meta: bool,
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
    /// The device has lied in some life.
    pub lied_ever: bool,
    /// The device may lie at any time.
    pub lying: bool,
    /// Reads may fail now: by a fault, or since the power is off.
    pub reads_fail: bool,
    pub epoch: u32,
    pub excuse: Excuse,
    /// Sealed segments with a flipped bit: their seal must not hold any more.
    pub broken_seals: Vec<SegmentId>,
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
        let flip = excuse.flip;
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
        if report.epoch <= self.epoch && !excuse.no_meta && !self.lied_ever {
            return Err(format!("the epoch goes from {} to {}", self.epoch, report.epoch));
        }
        self.epoch = if excuse.no_meta { report.epoch } else { self.epoch.max(report.epoch) };
        // A write that is torn behind the watermark may be cut, nothing else.
        // Its proof may have been in the page cache only, and gone with a crash of recovery.
        let in_tail = |flip: &Flip, hit: u64| hit > flip.proven || (flip.crashed && end as u64 + 1 == hit);
        let hit_in_tail = flip.filter(|flip| flip.hit.is_some_and(|hit| in_tail(flip, hit)));
        if end < self.acked {
            let lost =
                format!("I1: lost: {end} of {} acknowledged are there; {flip:?}; {report:?}", self.acked);
            match hit_in_tail {
                // The hit record may come from the copy that a rewrite has left behind, and others with it: what is
                // lost lies behind the hit all the same, and is named below.
                Some(Flip { hit: Some(hit), .. }) if end as u64 >= hit - 1 => {}
                // The proof of it was in the page cache of a killed process: now it is the tail that is damaged.
                _ if self.records[end].lost => {}
                _ if excuse.lied => {}
                _ => return Err(lost),
            }
            if report.cut.is_some_and(|cut| cut.last.is_some_and(|last| (last.get() as usize) < self.acked))
                && !excuse.lied
            {
                return Err(format!(
                    "I12: {} were acknowledged, the cut names fewer; {report:?}",
                    self.acked
                ));
            }
            let reported = report.cut.is_some() || !report.damaged.is_empty() || !report.set_aside.is_empty();
            match (reported, hit_in_tail) {
                (true, _) => totals.reported_losses += (self.acked - end) as u64,
                // A crash of recovery may come after it has told its log, and before it could tell us.
                (false, Some(flip)) if flip.crashed => totals.reported_losses += (self.acked - end) as u64,
                // All of it was named by an earlier start, whose proof of it is gone with a power cut.
                (false, None)
                    if self.records.get(end..self.acked).is_some_and(|it| it.iter().all(|it| it.lost)) => {}
                // The newest write is gone without a trace, as if it had never been: nothing can tell.
                (false, None) if excuse.lied || self.lying => totals.vanished += (self.acked - end) as u64,
                (false, None) => {
                    return Err(format!(
                        "I12: a lost end is not reported: {end} of {}; {flip:?}; {report:?}",
                        self.acked
                    ));
                }
                (false, Some(_)) => return Err(format!("I12: a damaged end is not reported; {report:?}")),
            }
            self.loss = true;
        }
        if let Some(cut) = report.cut
            && (cut.first.get() as usize) <= end
        {
            return Err(format!("I11: {cut:?} reaches below {end} records that are served"));
        }
        // It may be served all the same: a rewrite has left a copy of it in another segment.
        if let Some(Flip { hit: Some(hit), crashed: false, .. }) = hit_in_tail
            && (end as u64) < hit
            && report.cut.map(|cut| cut.first.get()) != Some(hit)
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
            if (excuse.lied || self.lying) && !there && !expected.lost && named(lsn) {
                expected.lost = true;
                self.loss = true;
                totals.reported_losses += 1;
            }
            match (there, self.records[lsn as usize - 1].lost) {
                (false, true) if !named(lsn) => {
                    return Err(format!("I12: the loss of {lsn} is not reported; {report:?}"));
                }
                (false, false) => {
                    return Err(format!("I1: record {lsn} is missing below the watermark; {report:?}"));
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
        if flip.is_some_and(|flip| flip.meta && !flip.crashed) && !report.meta_rebuilt {
            return Err("I12: damaged metadata are not reported".into());
        }
        self.records.truncate(end);
        self.acked = end;
        self.recount();
        Ok(places)
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
        match reader.read(location) {
            Ok(record) if record.record().lsn().get() == lsn && expected.is(&record.record()) => Ok(()),
            Ok(record) => Err(format!("I1: {location} holds {} instead of {lsn}", record.record().lsn())),
            Err(error) if self.reads_fail && error.is_storage_fault() => Ok(()),
            // A write that went elsewhere shows as soon as its page is dropped: it is told, which is all that can be.
            Err(error) if self.lying && error.kind() == ErrorKind::Corrupt => Ok(()),
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
                    if named.is_empty() || !named.clone().all(lost) {
                        return Err(format!("I12: a feed at {at} names {named:?} as lost: {error}"));
                    }
                    at = after as usize;
                }
            }
        }
    }

    /// Every seal holds, or the oracle knows why not.
    pub fn scrub(&self, env: &SimEnv, reader: &LogReader) -> Result<(), Broken> {
        // A bit that flips before a segment gets its footer shows in the first seal behind it that was made before: those
        // between may have waited for their footers, too, after failed syncs.
        let mut rotten_before = false;
        for sealed in reader.sealed_segments() {
            let broken = self.broken_seals.contains(&sealed.id);
            let rotten = !env.flipped_bytes(&path_of(sealed.id)).is_empty();
            match reader.check_seal(sealed.id) {
                Err(error) if self.reads_fail && error.is_storage_fault() => {}
                Err(_) if self.lied_ever || rotten || rotten_before => {}
                Err(error) => return Err(format!("I12: a seal: {error}")),
                Ok(()) if broken => {
                    return Err(format!("I12: the seal of {} holds over a flipped bit", sealed.id));
                }
                Ok(()) => {}
            }
            rotten_before |= rotten;
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

/// LSN, place and length of each record.
pub type OnDisk = Vec<(u64, Location, usize)>;

/// Where every record lies on disk right now, and up to where they are proven: on copies of the machine.
pub fn survey(env: &SimEnv, options: ofd_storage::LogOptions) -> Result<(OnDisk, LogReader, u64), Broken> {
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
    Ok((places, reader, report.proven.get()))
}
