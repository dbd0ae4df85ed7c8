//! Opening a directory after whatever happened to it.
//!
//! ```text
//! survey (read) ─▶ plan (decide) ─▶ read every record ─▶ set aside, new epoch, new segment ─▶ Log
//!   survey.rs        plan.rs           visit(record)        the unproven tail is written again, synced, proven
//! ```
//!
//! - Damage at or below the proven watermark is quarantined: reported with its reach, its neighbours are
//!   served, nothing is cut. Behind the watermark lies one write; it ends at its first damaged record, and the
//!   report says what is cut there, since it may have been acknowledged.
//! - What recovery serves from behind the watermark, or from what only the newest write proves, it has first written again, in a new segment, and synced: bytes
//!   that were read from the page cache of a killed process, or from a file whose sync had failed, prove nothing.
//! - The log begins with record 1, or behind what has been dropped from it ([`crate::Begin`]): a segment that is missing at the
//!   begin is an error as one in the middle is.
//! - Recovery overwrites nothing, and removes no record of which it has not seen a proven copy. A crash inside it
//!   leaves what the next one understands: a torn attempt to activate a segment is no segment, and is set aside.
//!
//! Invariants, with the test that holds each:
//! - I1 acknowledged records come back, byte for byte; I3 others whole or not at all: `tests/sim.rs`;
//! - I10 recovery is idempotent, also with a crash inside: `tests/sim.rs`, `reopening_changes_nothing`;
//! - I11 nothing is cut below the watermark: `damage_below_the_watermark_is_quarantined`;
//! - one owner a directory: `a_second_writer_is_busy`.

mod holes;
pub(crate) mod mirror;
mod plan;
mod reading;
mod survey;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::mirror::MirrorReport;
use self::plan::{Plan, plan};
use self::reading::{Closed, Reading, seen};
use self::survey::{Life, META_PATH, Seen, Survey, survey};
pub(crate) use self::survey::{footer_of, read_range, read_whole};
use arrayvec::ArrayVec;

use crate::batch::Target;
use crate::disk::{self, LOG_DIR, execute, segment_path};
use crate::env::{Env, LockGuard, replace_file};
use crate::error::{Error, ErrorKind};
use crate::format::{ChainHash, FOOTER_BLOCK_LEN, HEADER_BLOCK_LEN, Meta, SegmentFooter};
use crate::log::{Closing, Log, LogOptions, LogState, SPARES_MAX, Spare, Spares, Start};
use crate::planted::planted;
use crate::position::{Location, Lsn, SegmentId};
use crate::reader::{Damage, Entry, LogReader, Seal, SealedSegment, Shared};
use crate::record::RecordRef;
use crate::segment::{Item, Walk, offset_of};
use crate::side::{Sealed, SideIndex, SideSchema, SideView};

/// Segments that were set aside are kept for those who want to look at them, so many of the newest.
const TORN_MAX: usize = 4;
/// A reader beside a writer looks so many times more at a directory that changes under its eyes.
const LOOKS_MAX: usize = 4;
/// Path of the lock file.
const LOCK_PATH: &str = "lock";

/// What recovery dropped behind the proven watermark: it may have been acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Where the first lost record would lie.
    pub segment: SegmentId,
    /// Its offset.
    pub offset: u32,
    /// First LSN that is lost.
    pub first: Lsn,
    /// Last LSN of the torn write, where a batch header or a record behind the damage tells.
    pub last: Option<Lsn>,
}

/// What recovery found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The epoch this process writes with.
    pub epoch: u32,
    /// Segments that hold records.
    pub segments: usize,
    /// Readable records.
    pub records: u64,
    /// The oldest readable record; `NONE` when there is none.
    pub first: Lsn,
    /// The newest durable LSN: the watermark the log starts with.
    pub durable: Lsn,
    /// The newest LSN that the log on disk proved durable; damage up to here is no cut.
    pub proven: Lsn,
    /// Records that were written again into a new segment because nothing on disk proved them, or the newest write alone.
    pub rewritten: u64,
    /// What was dropped behind the watermark; it may have been acknowledged.
    pub cut: Option<Cut>,
    /// Damage below the watermark: quarantined, its neighbours are served.
    pub damaged: Vec<Damage>,
    /// Segment files whose first write is not whole and that nothing proves: renamed to `.torn`, once what can be
    /// read of them is served. Records that they name and that are not served are in `cut`.
    pub set_aside: Vec<SegmentId>,
    /// `log/meta` was damaged or missing and was made again from the segments.
    pub meta_rebuilt: bool,
    /// What the mirror was needed for, and what it needed.
    pub mirror: MirrorReport,
}

/// Opens the log of a directory for writing and hands every readable record to `visit`, in order, with the
/// place it will have when this returns. Everything visited is durable by then.
///
/// # Errors
/// `Busy` when another process owns the directory; `Corrupt` when segments are missing; `Fix` when they are of
/// another format or the options are wrong; `Reopen` when the disk fails.
pub fn recover(
    env: Arc<dyn Env>,
    options: LogOptions,
    visit: &mut dyn FnMut(RecordRef<'_>, Location),
) -> Result<(Log, RecoveryReport), Error> {
    let (log, report, _) = recover_over(env, options, None, &mut Visit(visit))?;
    Ok((log, report))
}

/// What a host folds when it opens a log: first what the index knows, then every record behind it.
pub trait Fold {
    /// Called before any record: the documents up to [`SideView::through`] are in the index, and their records are not
    /// handed out. Called again, with an empty index, after it has said that the first one is damaged.
    ///
    /// # Errors
    /// As the host likes; the log is not opened then.
    fn known(&mut self, index: &SideView<'_>) -> Result<(), Error>;

    /// A readable record, in order, with the place it will have when the log is open.
    fn record(&mut self, record: RecordRef<'_>, location: Location);
}

/// A fold over every record, without an index.
struct Visit<'v>(&'v mut dyn FnMut(RecordRef<'_>, Location));

impl Fold for Visit<'_> {
    fn known(&mut self, _index: &SideView<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn record(&mut self, record: RecordRef<'_>, location: Location) {
        (self.0)(record, location);
    }
}

/// As [`recover`], but sealed segments that an index covers are not read: a start takes as long as what lies behind
/// the index. Damage inside of them is what it was when they were indexed; scrubbing finds what came later.
///
/// # Errors
/// As [`recover`]; `Corrupt` when documents that have left the log could not be found; those of the fold.
pub fn recover_with_index(
    env: Arc<dyn Env>,
    options: LogOptions,
    schema: SideSchema,
    fold: &mut dyn Fold,
) -> Result<(Log, RecoveryReport, Arc<SideIndex>), Error> {
    let (log, report, index) = recover_over(env, options, Some(schema), fold)?;
    let index = index.ok_or_else(|| Error::new(ErrorKind::Fix, "no index was opened"))?;
    Ok((log, report, Arc::new(index)))
}

fn recover_over(
    env: Arc<dyn Env>,
    options: LogOptions,
    schema: Option<SideSchema>,
    fold: &mut dyn Fold,
) -> Result<(Log, RecoveryReport, Option<SideIndex>), Error> {
    options.check()?;
    env.create_dir_all(Path::new(LOG_DIR))?;
    let lock = env.lock(Path::new(LOCK_PATH))?;
    let mut mirrored = MirrorReport::default();
    let mirror_lock = mirror::or_degrade(&*env, mirror::mend_open(&*env, &mut mirrored)?)?.flatten();
    let survey = survey(&*env)?;
    let mut plan = plan(&survey).map_err(|error| mirror::with_advice(&*env, error))?;
    plan.take_over();
    plan.begins_behind(survey.begin.through).map_err(|error| mirror::with_advice(&*env, error))?;

    let epoch = next_epoch(&survey, mirror::epoch(&*env))?;
    let mut report = RecoveryReport {
        epoch,
        segments: plan.live.len(),
        proven: plan.proven,
        set_aside: plan.aside.clone(),
        meta_rebuilt: survey.meta.is_none() && !survey.fresh,
        ..RecoveryReport::default()
    };
    let reused = reusable(&survey, &plan, &options);
    let spare_id = reused.first().copied().unwrap_or(survey.highest.next());
    let mut reading = Reading::new(&survey, &plan, spare_id).behind(&survey.begin);
    let index = schema.map(|schema| open_index(&env, schema, &survey, &plan, true)).transpose()?;
    if let Some(index) = &index {
        let known = fold.known(&index.view());
        match known {
            // What a page held is in the log as long as nothing has left it.
            Err(error) if error.kind() == ErrorKind::Corrupt && survey.begin.through == Lsn::NONE => {
                tracing::warn!(%error, "the index is damaged and is made again");
                index.throw_away()?;
                fold.known(&index.view())?;
            }
            known => known?,
        }
        reading.take_from(&index.view());
    }
    reading.run(&*env, &mut |record, location| fold.record(record, location))?;
    mirrored.mended.append(&mut reading.mended);
    // Before anything is changed: a start that is killed has no report, and the next one may not see it any more.
    if let Some(cut) = &reading.cut {
        tracing::warn!(?cut, "the end of the log is torn: what is cut may have been acknowledged");
    }

    let (at_once, later) = asides(&survey, &plan, reading.tail_records > 0);
    put_aside(&*env, &survey, &plan, &reused, reading.damaged.is_empty(), &at_once)?;
    replace_file(&*env, Path::new(META_PATH), &Meta { epoch }.encode())?;
    let spares = spares_for(&env, spare_id, &reused, &options, reading.tail.len())?;

    report.records = reading.records;
    report.first = reading.first;
    report.rewritten = u64::from(reading.tail_records);
    report.cut = reading.cut;
    report.damaged = std::mem::take(&mut reading.damaged);
    let mut log = start(&env, lock, options, epoch, spares, &survey, &plan, reading)?;
    report.durable = log.durable();
    if planted!(55) {
        log.copies_are_there();
        settle(&*env, &mut log, Log::is_settled)?;
    }
    if let Some(mirror) = env.mirror() {
        let reader = log.reader();
        let wanted = mirror::Wanted { not: &later, blank_later: log.second_spare() };
        let bring = |lock| mirror::bring_up(&*env, lock, &options, &wanted, &reader, &mut mirrored);
        let sink = mirror_lock.map(bring);
        match sink.and_then(|sink| mirror::or_degrade(&*env, sink).transpose()).transpose()?.flatten() {
            Some(sink) => log.attach(Box::new(sink), env.now(), mirror.failure)?,
            None => log.lack_a_copy(),
        }
    }
    log.copies_are_there();
    settle(&*env, &mut log, Log::is_settled)?;
    log.settled();
    if !later.is_empty() && !planted!(42) {
        // Only now: a crash before this finds their records once more.
        for id in later {
            env.rename(&segment_path(id), &torn_path(id))?;
        }
        env.sync_dir(Path::new(LOG_DIR))?;
    }
    report.mirror = mirrored;
    tracing::info!(
        epoch, records = report.records, durable = %report.durable, rewritten = report.rewritten,
        damaged = report.damaged.len(), "the log is open"
    );
    Ok((log, report, index))
}

/// The index over the sealed segments that count.
fn open_index(
    env: &Arc<dyn Env>,
    schema: SideSchema,
    survey: &Survey,
    plan: &Plan,
    owner: bool,
) -> Result<SideIndex, Error> {
    let mut segments = Vec::new();
    for live in &plan.live {
        let (seen, _) = seen(survey, live)?;
        // Only a prefix that is sealed can be passed over.
        let Some(footer) = seen.footer.filter(|footer| live.end == Some(footer.last.next())) else { break };
        let SegmentFooter { base, last, used, chain, .. } = footer;
        segments.push(SealedSegment { id: seen.id, base, last, used, chain, footer: true });
    }
    let oldest = plan.live.first().map(|live| seen(survey, live).map(|(seen, life)| (seen.id, life.base)));
    let sealed = Sealed { segments: &segments, oldest: oldest.transpose()? };
    SideIndex::open(Arc::clone(env), schema, &sealed, owner)
}

/// Above everything that was ever written with: the meta file, and, should it be lost, every segment.
fn next_epoch(survey: &Survey, mirror: u32) -> Result<u32, Error> {
    let segments = survey.segments.iter().filter_map(|seen| seen.life.map(|life| life.stamp.epoch));
    let meta = survey.meta.map(|meta| meta.epoch);
    let newest = segments.chain(meta).max().unwrap_or(0).max(mirror);
    if planted!(25) {
        return Ok(newest.max(1));
    }
    newest.checked_add(1).ok_or_else(|| Error::new(ErrorKind::Corrupt, "the epochs are used up"))
}

/// Prewritten segments that are still all zeros and come behind everything else, in order.
fn reusable(survey: &Survey, plan: &Plan, options: &LogOptions) -> ArrayVec<SegmentId, SPARES_MAX> {
    let newest = survey.segments.iter().filter(|seen| !seen.blank).map(|seen| seen.id).max();
    let fits = |seen: &&Seen| {
        seen.len == options.segment_len
            && seen.sound
            && plan.blank.contains(&seen.id)
            && newest.is_none_or(|id| id < seen.id)
    };
    survey.segments.iter().filter(fits).map(|seen| seen.id).take(SPARES_MAX).collect()
}

/// Path of a segment that is set aside.
fn torn_path(id: SegmentId) -> PathBuf {
    Path::new(LOG_DIR).join(format!("{id}.torn"))
}

/// What does not count, and can be renamed at once, or has to wait until the tail is written again: what is salvaged, and
/// what begins no earlier than the tail and so holds records of which there may be no other copy on the device.
fn asides(survey: &Survey, plan: &Plan, has_tail: bool) -> (Vec<SegmentId>, Vec<SegmentId>) {
    let salvage = plan.salvage.and_then(|live| survey.segments.get(live.at)).map(|seen| seen.id);
    let waits = |id: &SegmentId| {
        let life = survey.segments.iter().find(|seen| seen.id == *id).and_then(|seen| seen.life);
        Some(*id) == salvage || life.is_some_and(|life| has_tail && life.base_known && life.base > plan.stays)
    };
    plan.aside.iter().partition(|id| !waits(id))
}

/// Renames what does not count and removes what holds nothing, and makes that durable before any new segment
/// is activated (rule 1 of the plan).
fn put_aside(
    env: &dyn Env,
    survey: &Survey,
    plan: &Plan,
    reused: &[SegmentId],
    undamaged: bool,
    at_once: &[SegmentId],
) -> Result<(), Error> {
    let dir = Path::new(LOG_DIR);
    for id in at_once.iter().filter(|_| !planted!(23)) {
        env.rename(&segment_path(*id), &torn_path(*id))?;
    }
    for id in survey.torn.iter().rev().skip(TORN_MAX) {
        env.remove(&torn_path(*id))?;
    }
    for id in &plan.emptied {
        env.remove(&segment_path(*id))?;
    }
    for name in &survey.leftovers {
        remove_leftover(env, &dir.join(name))?;
    }
    // With damage about, a file of zeros might be what is left of a segment: it stays for those who look.
    for id in plan.blank.iter().filter(|id| undamaged && !reused.contains(id)) {
        env.remove(&segment_path(*id))?;
    }
    env.sync_dir(dir)
}

/// A file that a crash has left half-made. One that was being made again since it was seen has its right name by now.
fn remove_leftover(env: &dyn Env, path: &Path) -> Result<(), Error> {
    match env.remove(path) {
        Err(error) if error.is_not_found() => Ok(()),
        removed => removed,
    }
}

/// The segments that the tail and the next records go to. A tail longer than the options' segments, after they
/// were made smaller, gets a segment of its own length.
fn spares_for(
    env: &Arc<dyn Env>,
    id: SegmentId,
    reused: &[SegmentId],
    options: &LogOptions,
    tail_len: usize,
) -> Result<Spares, Error> {
    let tail = (tail_len as u64).saturating_add(HEADER_BLOCK_LEN * 2 + FOOTER_BLOCK_LEN);
    let len = options.segment_len.max(tail.next_multiple_of(HEADER_BLOCK_LEN));
    let standing =
        |id: SegmentId| Ok(Spare { id, file: env.open(&segment_path(id))?, len: options.segment_len });
    if len == options.segment_len && !reused.is_empty() {
        return reused.iter().map(|id| standing(*id)).collect();
    }
    let mut spares = Spares::from_iter([Spare { id, file: disk::prepare(&**env, id, len)?, len }]);
    for id in reused.iter().skip(1) {
        spares.push(standing(*id)?);
    }
    Ok(spares)
}

#[expect(clippy::too_many_arguments, reason = "the one place where everything found comes together")]
fn start(
    env: &Arc<dyn Env>,
    lock: LockGuard,
    options: LogOptions,
    epoch: u32,
    spares: Spares,
    survey: &Survey,
    plan: &Plan,
    reading: Reading<'_>,
) -> Result<Log, Error> {
    let shared = Arc::new(Shared::new(Arc::clone(env)));
    let (mut closing, mut newest_chain) = (VecDeque::new(), (SegmentId::default(), ChainHash::default()));
    // Chain of the segment before, if that one is sealed already.
    let mut before = None;
    for (live, closed) in plan.live.iter().zip(&reading.closed) {
        let (seen, life) = seen(survey, live)?;
        if closed.last < life.base {
            // All of it is the tail that moves on. It gets no place in the chain: a later start sets it aside.
            continue;
        }
        let mut entry = entry_of(seen, life, closed);
        if let Some(footer) = seen.footer {
            before = Some(footer.chain);
            newest_chain = (seen.id, footer.chain);
        } else {
            let file = seen.holes.over(env.open(&segment_path(seen.id))?);
            entry.seal = Seal::Open;
            entry.file = Some(Arc::clone(&file));
            let Life { stamp, block_len, base, .. } = life;
            let target = Arc::new(Target { stamp, file, len: seen.len, block_len, base });
            let Closed { last, used, records } = *closed;
            let before = before.take();
            // A file that somebody has cut shorter than its two blocks is left as it is: a footer would lie over what is left.
            if seen.len >= HEADER_BLOCK_LEN + FOOTER_BLOCK_LEN {
                closing.push_back(Closing {
                    target,
                    used,
                    last,
                    records,
                    // With a mirror that was not there, or did not hold it: its footer waits for a start that finds the bytes.
                    poisoned: !seen.holes.is_empty() && env.mirror().is_some(),
                    tried: false,
                    before,
                    give_back: life.base_known,
                });
            }
        }
        shared.table_mut().insert(seen.id, entry);
    }
    let mut log = Log::start(Start {
        shared,
        lock: Some(lock),
        options,
        epoch,
        seed: env.random(),
        proven: reading.stays,
        received_at_us: reading.numbers.received_at_us,
        partition_seq: reading.numbers.sequences(),
        next_segment: spares.last().map_or(survey.highest, |spare| survey.highest.max(spare.id)).next(),
        spares,
        closing,
        newest_chain,
        first_chain: before,
        tail: (reading.tail, reading.tail_records),
    });
    settle(&**env, &mut log, Log::has_written_again)?;
    Ok(log)
}

fn entry_of(seen: &Seen, life: Life, closed: &Closed) -> Entry {
    Entry {
        stamp: life.stamp,
        block_len: life.block_len,
        base: life.base,
        last: Some(closed.last),
        limit: u64::from(closed.used),
        file: None,
        seal: Seal::Sealed,
        chain: seen.footer.map(|footer| footer.chain).unwrap_or_default(),
        moved: Vec::new(),
    }
}

/// Runs the log until it asks for nothing more: the tail is durable in its new segment then, and, once the copies are there, proven, and what was
/// left open is sealed.
fn settle(env: &dyn Env, log: &mut Log, done: fn(&Log) -> bool) -> Result<(), Error> {
    let (mut ops, mut completions) = (Vec::new(), Vec::new());
    let mut stands_still = false;
    loop {
        log.step(env.now(), &mut completions, &mut ops);
        if log.state() != LogState::Failed && ops.is_empty() && done(log) {
            return Ok(());
        }
        // What a step hands to the mirror is done, and heard of, by the next one.
        if log.state() == LogState::Failed || (ops.is_empty() && stands_still) {
            let text = "what the last process left unproven could not be written again";
            return Err(log.take_error().unwrap_or_else(|| Error::new(ErrorKind::Reopen, text)));
        }
        stands_still = ops.is_empty();
        completions.extend(ops.drain(..).map(|op| execute(env, op)));
    }
}

impl LogReader {
    /// For a process beside the writer, without the lock: sees what was durable when it was opened, and of the one
    /// write that may be on its way what can be read already. Nothing is written or synced; sealed segments are not
    /// read through. Where the end is torn and nobody writes, [`LogReader::torn`] tells.
    ///
    /// # Errors
    /// As [`recover`], without `Busy`.
    pub fn open_read_only(env: Arc<dyn Env>) -> Result<Self, Error> {
        Ok(Self::open_beside(&env, None)?.0)
    }

    /// The same with the index of the owner, as far as it goes: documents behind [`SideView::through`] are in the log
    /// only.
    ///
    /// # Errors
    /// As [`LogReader::open_read_only`]; `Corrupt` when documents that have left the log could not be found.
    pub fn open_read_only_with_index(
        env: Arc<dyn Env>,
        schema: SideSchema,
    ) -> Result<(Self, SideIndex), Error> {
        let (reader, index) = Self::open_beside(&env, Some(schema))?;
        Ok((reader, index.ok_or_else(|| Error::new(ErrorKind::Fix, "no index was opened"))?))
    }

    fn open_beside(
        env: &Arc<dyn Env>,
        schema: Option<SideSchema>,
    ) -> Result<(Self, Option<SideIndex>), Error> {
        // The writer may seal, cut or remove a file between two looks at it: what cannot be read is looked at again.
        let mut looked = Self::look(env, schema);
        for look in 0..LOOKS_MAX {
            match looked {
                // A writer may have been at it until a moment ago.
                Ok((reader, _)) if reader.torn().is_some() && look == 0 => looked = Self::look(env, schema),
                Err(error) if error.is_not_found() || error.kind() == ErrorKind::Corrupt => {
                    looked = Self::look(env, schema);
                }
                settled => return settled,
            }
        }
        looked
    }

    fn look(env: &Arc<dyn Env>, schema: Option<SideSchema>) -> Result<(Self, Option<SideIndex>), Error> {
        let survey = survey(&**env)?;
        let plan = plan(&survey)?;
        let shared = Arc::new(Shared::new(Arc::clone(env)));
        let (mut durable, mut torn) = (plan.proven, None);
        for live in &plan.live {
            let (seen, life) = seen(&survey, live)?;
            let last = live.end.map_or(plan.proven, Lsn::prev);
            let limit = seen.footer.map_or(seen.len.saturating_sub(FOOTER_BLOCK_LEN), |footer| footer.used);
            let closed =
                Closed { last, used: offset_of(usize::try_from(limit).unwrap_or(usize::MAX)), records: 0 };
            let mut entry = entry_of(seen, life, &closed);
            if seen.footer.is_none() {
                let file = seen.holes.over(env.open_read(&segment_path(seen.id))?);
                if live.end.is_none() {
                    (durable, torn) = readable_tail(seen, &life, plan.proven);
                    entry.last = None;
                }
                (entry.seal, entry.file) = (Seal::Open, Some(file));
            }
            shared.table_mut().insert(seen.id, entry);
        }
        shared.publish(durable);
        let torn = torn.or_else(|| reading::left_aside(&survey, &plan, durable));
        if let Some(torn) = torn.filter(|_| !is_written_to(&**env)) {
            shared.torn.get_or_init(|| torn);
        }
        let index = schema.map(|schema| open_index(env, schema, &survey, &plan, false)).transpose()?;
        Ok((Self { shared }, index))
    }
}

/// The records behind the proven watermark, as far as they can be read, and where they are torn. They were written,
/// and perhaps synced and acknowledged by a writer that is gone or alive. The file is not ours to sync: of a living
/// writer the last write may be on its way.
fn readable_tail(seen: &Seen, life: &Life, proven: Lsn) -> (Lsn, Option<Cut>) {
    let limit = seen.len.saturating_sub(FOOTER_BLOCK_LEN);
    let mut walk = Walk::new(life.stamp, life.block_len, life.base, limit);
    let mut newest = proven;
    let torn = |offset, first, last| Some(Cut { segment: seen.id, offset, first, last });
    while let Some(item) = walk.next(&seen.bytes, 0) {
        match item {
            Item::Record(record, _) => newest = newest.max(record.lsn()),
            Item::Damage { from, first, last, .. } if last >= first && last > proven => {
                return (newest, torn(from, first.max(proven.next()), Some(last.max(life.reach))));
            }
            _ => {}
        }
    }
    let (at, expect) = (walk.offset(), walk.expect());
    let more = expect > proven && !reading::all_zeros(&seen.bytes, at, limit);
    (newest, if more { torn(at, expect, None) } else { None })
}

/// Whether another process owns the directory. Asked only where the end of the log looks torn; a writer that starts
/// in the same instant is told to try again.
fn is_written_to(env: &dyn Env) -> bool {
    let path = Path::new(LOCK_PATH);
    let known = env.exists(path).unwrap_or(false);
    known && env.lock(path).is_err_and(|error| error.kind() == ErrorKind::Busy)
}
