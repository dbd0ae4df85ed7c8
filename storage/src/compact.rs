//! Compaction: sealed segments of the log become Parquet.
//!
//! ```text
//! sealed segments ─▶ Plan ─▶ .staging/*.parquet ─▶ read back, compared with the log ─▶ renamed ─▶ archive.json
//!                    sorted    written, synced          every byte of every container    into place   names them
//! ```
//!
//! A run takes whole sealed segments, in order, up to a cap of bytes, so that memory is bounded by the cap and
//! not by the log. Each run commits by itself.
//!
//! What holds at every moment, a crash included:
//!
//! - Readers by the manifest see all files of a run or none: the manifest is replaced last, after every file
//!   it names is in place and durable.
//! - Readers by pattern (`parquet/documents/*/*.parquet`) see whole files, as files come by rename, and no
//!   document twice: a document is in one file of one run. Files of an unfinished run are removed before
//!   anything is written again, and a run done again over the same segments makes the same names and bytes.
//! - Nothing is removed that the manifest names. A directory with files of ours and no manifest is refused: an
//!   empty manifest is written before the first file, so its absence means that it was lost.
//!
//! The same segments and options give the same bytes; nothing here looks at a clock. Which segments make up a
//! run depends on what was sealed when compaction ran.
//!
//! Records of kinds other than Document go to `records`, so that the archive holds all of a run: every record comes
//! back from it as it lay in the log. No segment is dropped by this module.

mod check;
pub(crate) mod plan;
pub(crate) mod publish;
mod registers;
mod source;
pub(crate) mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use publish::{Swept, sweep};
pub use source::{SegmentSource, SourceRecord};

use crate::columns::Derive;
use crate::columns::file::FileOptions;
use crate::env::Env;
use crate::error::{Error, ErrorKind};
use crate::manifest::{Manifest, Run};
use crate::mmap;
use crate::places;
use crate::position::{Lsn, Position};
use crate::reader::SealedSegment;
use plan::Plan;

/// How to compact.
#[derive(Clone, Default)]
pub struct CompactOptions {
    /// Bytes of log taken by one run; default 256 MiB. A run takes at least one segment, whatever its length.
    pub run_bytes_max: Option<u64>,
    /// Free bytes that a run must leave on the disk for the log; default 0. A run is taken to need twice the bytes of
    /// its segments, which is what documents that cannot be compressed and were deciphered would take.
    pub free_bytes_min: u64,
    /// Layout of the files.
    pub file: FileOptions,
    /// Makes the rows of `violations` and `shifts`; without it there are none, and `violations_n` is NULL.
    pub derive: Option<Arc<dyn Derive>>,
    /// Once true, no further run is begun: what was committed stays, the rest is done next time.
    pub stop: Option<Arc<AtomicBool>>,
}

/// Bytes of log taken by one run unless told otherwise.
pub const RUN_BYTES_MAX: u64 = 256 << 20;

/// What compaction did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactReport {
    /// Runs committed; 0 = there was nothing to do.
    pub runs: u64,
    /// Segments read.
    pub segments: u64,
    /// Stored documents written.
    pub documents: u64,
    /// Items written.
    pub items: u64,
    /// Records of other kinds written.
    pub records: u64,
    /// Files published.
    pub files: u64,
    /// Their length, bytes.
    pub bytes: u64,
    /// Positions that could not be read from the log because it is damaged there.
    pub damaged: u64,
    /// Runs of an earlier version that were replaced by whole ones.
    pub replaced: u64,
    /// Files of an unfinished run that were removed first.
    pub swept: u64,
    /// Everything up to and with this position is in the archive now.
    pub compacted_through: Position,
}

/// Compacts every sealed segment that is not in the archive yet. Run by the owner of the directory only.
///
/// # Errors
/// `Corrupt` when the log or what was written cannot be read back as it should, or the log ends before the archive
/// does; `Fix` when the archive is of a
/// newer version, its manifest is lost, or a document was stored by a newer version; `Retry` when the disk has
/// no room for the next run; else of the system. What was committed before the error stays.
///
/// After an error of kind `Reopen` (the storage failed) do not call it again before the directory was opened anew: a
/// folder whose sync has failed once would report success the next time for names that are not there.
pub fn compact(
    source: &dyn SegmentSource,
    env: &Arc<dyn Env>,
    options: &CompactOptions,
) -> Result<CompactReport, Error> {
    let env = &**env;
    let mut manifest = publish::open_for_writing(env)?;
    not_behind(source, manifest.compacted_through)?;
    let mut report = CompactReport { swept: sweep(env, &manifest)?.files, ..CompactReport::default() };
    // What was lost of the index, or is damaged, is made again, whether there is something to compact or not.
    places::tidy(env, &manifest)?;
    places::cover(env, &manifest)?;
    let sealed = source.sealed()?;
    make_whole(source, env, options, &mut manifest, &sealed, &mut report)?;
    let mut waiting = not_compacted(&sealed, manifest.compacted_through)?;
    while let Some(segments) = next_run(&mut waiting, options.run_bytes_max.unwrap_or(RUN_BYTES_MAX)) {
        if options.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            break;
        }
        leave_room(env, &segments, options.free_bytes_min)?;
        let plan = planned(source, env, &manifest, &segments, options)?;
        let faults = mmap::faults();
        let files = write::stage(env, &plan, options)?;
        check::staged(env, &plan, &files)?;
        if mmap::faults() != faults {
            // What was read and checked may have been zeros when it was written and compared: memory was short, and
            // the disk could not give a page again. The next run reads it anew.
            return Err(Error::new(
                ErrorKind::Retry,
                "a part of a sealed segment could not be read a second time: nothing of this run was published",
            ));
        }
        let run = plan.run(&files);
        report.add(&run);
        publish::publish(env, &mut manifest, run)?;
    }
    report.compacted_through = Position::new(Lsn::new(manifest.compacted_through));
    Ok(report)
}

/// What a run will write.
fn planned(
    source: &dyn SegmentSource,
    env: &dyn Env,
    manifest: &Manifest,
    segments: &[SealedSegment],
    options: &CompactOptions,
) -> Result<Plan, Error> {
    let mut plan = Plan::read(source, segments)?;
    if let Some(derive) = options.derive.as_deref() {
        let shifts = derive.shifts(plan.positions())?;
        plan.add_shifts(shifts);
        plan.add_across(derive.across(plan.positions())?);
        plan.add_registers(env, manifest, derive)?;
    }
    Ok(plan)
}

/// Compacts the runs of version 1 again, which left records that are no documents in the log alone: a run whose segments
/// the log still holds is replaced by one that holds everything. One that could be read better then than now stays.
fn make_whole(
    source: &dyn SegmentSource,
    env: &dyn Env,
    options: &CompactOptions,
    manifest: &mut Manifest,
    sealed: &[SealedSegment],
    report: &mut CompactReport,
) -> Result<(), Error> {
    let old: Vec<Run> = manifest.runs.iter().filter(|run| run.records.is_none()).cloned().collect();
    for run in old {
        if options.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            break;
        }
        let inside =
            |segment: &&SealedSegment| segment.base.get() >= run.first && segment.last.get() <= run.last;
        let mut segments: Vec<_> = sealed.iter().filter(inside).copied().collect();
        segments.sort_by_key(|segment| (segment.base, segment.id));
        let reach = segments.first().zip(segments.last()).map(|(a, b)| (a.base.get(), b.last.get()));
        if reach != Some((run.first, run.last)) {
            continue;
        }
        leave_room(env, &segments, options.free_bytes_min)?;
        let plan = planned(source, env, manifest, &segments, options)?;
        let files = write::stage(env, &plan, options)?;
        check::staged(env, &plan, &files)?;
        let new = plan.run(&files);
        if (&new.damaged, new.documents) != (&run.damaged, run.documents) {
            tracing::warn!(
                first = run.first,
                last = run.last,
                "the log has rotted since: this run stays as it is"
            );
            sweep(env, manifest)?;
            continue;
        }
        report.replaced = report.replaced.saturating_add(1);
        report.records = report.records.saturating_add(new.records.unwrap_or_default());
        publish::replace(env, manifest, new)?;
    }
    Ok(())
}

/// Refuses a log that ends before the archive does: what it would number next is in the archive already, as something
/// else, and would be passed over without a word.
fn not_behind(source: &dyn SegmentSource, through: u64) -> Result<(), Error> {
    match source.durable() {
        Some(durable) if durable.get() < through => Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "the archive reaches to position {through}, the log ends at {durable}: it has lost its end, or one \
                 of them was restored from another time"
            ),
        )),
        _ => Ok(()),
    }
}

/// Refuses a run that could fill the disk: a log without room refuses documents, an archive can wait.
fn leave_room(env: &dyn Env, segments: &[SealedSegment], free_bytes_min: u64) -> Result<(), Error> {
    let used = segments.iter().map(|segment| segment.used).fold(0, u64::saturating_add);
    let needed = used.saturating_mul(2).saturating_add(free_bytes_min);
    let free = env.free_bytes()?;
    if free < needed {
        return Err(Error::new(ErrorKind::Retry, format!("{free} bytes free, compaction wants {needed}")));
    }
    Ok(())
}

impl CompactReport {
    fn add(&mut self, run: &Run) {
        self.runs = self.runs.saturating_add(1);
        self.segments = self.segments.saturating_add(run.segments.len() as u64);
        self.documents = self.documents.saturating_add(run.documents);
        self.items = self.items.saturating_add(run.items);
        self.records = self.records.saturating_add(run.records.unwrap_or_default());
        self.files = self.files.saturating_add(run.files.len() as u64);
        self.bytes = run.files.iter().map(|file| file.bytes).fold(self.bytes, u64::saturating_add);
        let holes = run.damaged.iter().map(|(first, last)| last.saturating_sub(*first).saturating_add(1));
        self.damaged = holes.fold(self.damaged, u64::saturating_add);
    }
}

/// Sealed segments after `through`, in order of positions, as far as they follow each other without a gap: a
/// segment that is not sealed yet stands in a gap, and nothing after it may be taken before it.
fn not_compacted(sealed: &[SealedSegment], through: u64) -> Result<std::vec::IntoIter<SealedSegment>, Error> {
    let mut sealed: Vec<_> = sealed.to_vec();
    sealed.sort_by_key(|segment| (segment.base, segment.id));
    let mut next = through.saturating_add(1);
    let mut out = Vec::new();
    for segment in sealed {
        if segment.last < segment.base || segment.last.get() < next {
            // Empty, or in the archive already.
            continue;
        }
        if segment.base.get() < next {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!(
                    "segment {} begins at position {}, inside what is compacted",
                    segment.id, segment.base
                ),
            ));
        }
        if segment.base.get() != next {
            break;
        }
        next = segment.last.get().saturating_add(1);
        out.push(segment);
    }
    Ok(out.into_iter())
}

/// The segments of the next run.
fn next_run(waiting: &mut std::vec::IntoIter<SealedSegment>, bytes_max: u64) -> Option<Vec<SealedSegment>> {
    let first = waiting.next()?;
    let mut bytes = first.used;
    let mut run = vec![first];
    while let Some(segment) = waiting.as_slice().first().copied() {
        bytes = bytes.saturating_add(segment.used);
        if bytes > bytes_max {
            break;
        }
        run.push(segment);
        waiting.next();
    }
    Some(run)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;
    use crate::position::SegmentId;

    fn segment(id: u32, first: u64, last: u64, used: u64) -> SealedSegment {
        SealedSegment {
            id: SegmentId::new(id),
            base: Lsn::new(first),
            last: Lsn::new(last),
            used,
            chain: [0; 32],
            footer: true,
        }
    }
    fn ids(run: &[SealedSegment]) -> Vec<u32> {
        run.iter().map(|segment| segment.id.get()).collect()
    }

    #[test]
    fn a_segment_not_sealed_yet_stops_what_comes_after_it() {
        let sealed = [segment(1, 1, 5, 1), segment(3, 9, 12, 1), segment(2, 6, 7, 1)];
        assert_eq!(ids(not_compacted(&sealed, 0).unwrap().as_slice()), [1, 2]);
        assert_eq!(ids(not_compacted(&sealed, 5).unwrap().as_slice()), [2]);
        assert!(not_compacted(&sealed, 3).is_err(), "half a segment is never compacted");
    }

    #[test]
    fn a_run_takes_one_segment_at_least_and_stops_at_its_cap() {
        let sealed = [segment(1, 1, 5, 100), segment(2, 6, 7, 4), segment(3, 8, 9, 5), segment(4, 10, 11, 2)];
        let mut waiting = not_compacted(&sealed, 0).unwrap();
        let mut runs = Vec::new();
        while let Some(run) = next_run(&mut waiting, 10) {
            runs.push(ids(&run));
        }
        assert_eq!(runs, [vec![1], vec![2, 3], vec![4]]);
    }
}
