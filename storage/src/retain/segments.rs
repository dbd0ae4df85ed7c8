//! Which sealed segments may leave the log, and removing them.
//!
//! A segment goes when all of this holds, and only from the oldest end, a whole run of compaction at a time:
//!
//! - every record in it, of every kind, is in verified Parquet: each file that the manifest names for its run is there with the
//!   length and the hash that the manifest says, read again now, and the positions in `containers` and `records` are
//!   complete and tell everything of their records;
//! - its youngest record is older than the time the log keeps;
//! - no cursor that is declared required stands before its end;
//! - index files lead to its documents, where the directory keeps such files;
//! - no legal hold needs a document in it;
//! - the newest segments stay.
//!
//! Order of a drop: `log/begin` is replaced and durable ([`Begin`]), then readers are told, then the files are removed.
//! After a crash in between recovery finishes it. A segment with damaged records never goes: what it lost might be read
//! from it one day, and nobody else has it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{Array, Int64Array};

use super::hold::{Holds, Subject};
use crate::begin::Begin;
use crate::columns::read::{Chunks, column, damaged, each_batch};
use crate::columns::restore::each_restored;
use crate::columns::{Day, Table};
use crate::disk::{LOG_DIR, segment_path};
use crate::env::Env;
use crate::error::{Error, ErrorKind};
use crate::manifest::{FileEntry, Manifest, Run};
use crate::position::{Lsn, Position, SegmentId};
use crate::reader::{LogReader, SealedSegment};
use crate::record::PARTITIONS;
use crate::store;

/// Sealed segments that stay whatever their age: a log is never emptied, or nobody could tell that its end is missing.
pub const SEGMENTS_KEPT_MIN: usize = 2;

/// What the decision goes by.
#[derive(Clone, Debug, Default)]
pub struct DropRules {
    /// Now, unix µs UTC.
    pub now_us: i64,
    /// How long the log keeps a record, µs.
    pub keep_us: i64,
    /// Where the index files over sealed segments end, for a directory that keeps them: what has left the log is found by
    /// them alone.
    pub indexed: Option<Lsn>,
    /// Cursors that are required, and where they stand.
    pub cursors: Vec<(String, Position)>,
    /// Holds.
    pub holds: Holds,
    /// Everything that stands here is decided and nothing is done.
    pub dry_run: bool,
}

/// Why a segment stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stays {
    /// It is one of the newest.
    Newest,
    /// Its youngest record is not old enough, or nobody knows how old.
    Young,
    /// A required cursor stands before its end.
    Cursor(String),
    /// No index file holds it yet.
    NotIndexed,
    /// A hold needs it.
    Hold(u64),
    /// The archive does not hold all of it: what is wrong.
    NotArchived(String),
}

impl std::fmt::Display for Stays {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Newest => f.write_str("the newest segments stay"),
            Self::Young => f.write_str("it is younger than the log keeps"),
            Self::Cursor(name) => write!(f, "the required cursor {name:?} has not passed it"),
            Self::NotIndexed => f.write_str("no index file holds its documents yet"),
            Self::Hold(id) => write!(f, "the legal hold {id} needs it"),
            Self::NotArchived(what) => write!(f, "the archive does not hold all of it: {what}"),
        }
    }
}

/// The sealed segments of one run of compaction, as the decision sees them.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The segments, oldest first.
    pub segments: Vec<SealedSegment>,
    /// When its youngest record was received, unix µs UTC; `None`: nobody knows.
    pub youngest_us: Option<i64>,
    /// What the archive holds of it; `None`: not looked at yet, which is asked for last as it reads whole files.
    pub archived: Option<Archived>,
}

/// What was read of the archive.
#[derive(Clone, Debug)]
pub enum Archived {
    /// All of it.
    Whole {
        /// A hold that covers a document in it.
        held_by: Option<u64>,
        /// The log's memory of it.
        end: Box<Begin>,
    },
    /// Not all.
    Not(String),
}

/// What the decision says of one candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may go.
    Goes,
    /// It stays.
    Stays(Stays),
    /// It may go if the archive holds it: look.
    Look,
}

/// Decides on the oldest candidate that is left; `newer` sealed segments come behind it.
pub fn what_may_go(candidate: &Candidate, newer: usize, rules: &DropRules) -> Verdict {
    let last = candidate.segments.last().map_or(Lsn::NONE, |segment| segment.last);
    if newer < SEGMENTS_KEPT_MIN {
        return Verdict::Stays(Stays::Newest);
    }
    let old = |youngest: i64| rules.now_us.saturating_sub(youngest) > rules.keep_us;
    if !candidate.youngest_us.is_some_and(old) {
        return Verdict::Stays(Stays::Young);
    }
    if let Some((name, _)) = rules.cursors.iter().find(|(_, position)| position.lsn() < last) {
        return Verdict::Stays(Stays::Cursor(name.clone()));
    }
    if rules.indexed.is_some_and(|through| through < last) {
        return Verdict::Stays(Stays::NotIndexed);
    }
    match &candidate.archived {
        None => Verdict::Look,
        Some(Archived::Not(what)) => Verdict::Stays(Stays::NotArchived(what.clone())),
        Some(Archived::Whole { held_by: Some(id), .. }) => Verdict::Stays(Stays::Hold(*id)),
        Some(Archived::Whole { end, .. }) if end.through != last => {
            let text = format!("it reaches to position {}, the segment to {last}", end.through);
            Verdict::Stays(Stays::NotArchived(text))
        }
        Some(Archived::Whole { .. }) => Verdict::Goes,
    }
}

/// What a drop did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DropReport {
    /// Segments removed.
    pub segments: Vec<SegmentId>,
    /// Their used bytes.
    pub bytes: u64,
    /// Everything up to and with this record has left the log.
    pub dropped_through: Lsn,
    /// The oldest segment that stays, and why; `None` when there is no sealed segment.
    pub stays: Option<(SegmentId, Stays)>,
}

/// Removes the segments that may go. Run by the owner of the directory only, not beside a compaction.
///
/// # Errors
/// `Corrupt` when the manifest cannot be read; of the system. After an error what was removed is whole in the archive.
pub fn drop_segments(reader: &LogReader, env: &Arc<dyn Env>, rules: &DropRules) -> Result<DropReport, Error> {
    drop_segments_after(reader, env, rules, &mut |_, _| Ok(()))
}

/// As [`drop_segments`]; before the first removal `last_look` is asked about what goes, behind the first position up to and
/// with the second, and an error of it keeps everything.
///
/// # Errors
/// As [`drop_segments`]; that of `last_look`.
pub fn drop_segments_after(
    reader: &LogReader,
    env: &Arc<dyn Env>,
    rules: &DropRules,
    last_look: &mut dyn FnMut(Lsn, Lsn) -> Result<(), Error>,
) -> Result<DropReport, Error> {
    let env = &**env;
    let manifest = Manifest::load(env)?.unwrap_or_default();
    let before = Begin::load(env)?;
    let after = before.through;
    let mut report = DropReport { dropped_through: after, ..DropReport::default() };
    let sealed = reader.sealed_segments();
    let (mut left, mut end) = (&sealed[..], before);
    while let Some(oldest) = left.first() {
        let (mut candidate, run) = match candidate_of(reader, &manifest, left) {
            Ok(found) => found,
            Err(what) => {
                report.stays = Some((oldest.id, Stays::NotArchived(what)));
                break;
            }
        };
        let newer = left.len().saturating_sub(candidate.segments.len());
        let mut verdict = what_may_go(&candidate, newer, rules);
        if verdict == Verdict::Look {
            candidate.archived = Some(archived(env, run, &rules.holds)?);
            verdict = what_may_go(&candidate, newer, rules);
        }
        match (verdict, candidate.archived) {
            (Verdict::Goes, Some(Archived::Whole { end: of_run, .. })) => end = followed(end, *of_run),
            (Verdict::Stays(why), _) => {
                report.stays = Some((oldest.id, why));
                break;
            }
            // Not reached: to go takes a look, and a look does not ask for another.
            _ => break,
        }
        report.segments.extend(candidate.segments.iter().map(|segment| segment.id));
        report.bytes =
            candidate.segments.iter().map(|segment| segment.used).fold(report.bytes, u64::saturating_add);
        report.dropped_through = end.through;
        left = left.get(candidate.segments.len()..).unwrap_or_default();
    }
    if !rules.dry_run && !report.segments.is_empty() {
        if let Some(store) = env.store() {
            store::publish::confirm(env, store, &manifest)?;
        }
        last_look(after, end.through)?;
        remove(reader, env, &end, &report.segments)?;
    }
    Ok(report)
}

/// Removes: first it is written down and durable that they were dropped.
fn remove(reader: &LogReader, env: &dyn Env, end: &Begin, segments: &[SegmentId]) -> Result<(), Error> {
    end.store(env)?;
    for segment in segments {
        reader.forget(*segment);
    }
    for segment in segments {
        env.remove(&segment_path(*segment))?;
    }
    env.sync_dir(Path::new(LOG_DIR))?;
    // What the mirror does not let go of now leaves it at the next start.
    let mirror = env.mirror().map_or(Ok(()), |mirror| {
        for segment in segments {
            match mirror.env.remove(&segment_path(*segment)) {
                Err(error) if !error.is_not_found() => return Err(error),
                _ => {}
            }
        }
        mirror.env.sync_dir(Path::new(LOG_DIR))
    });
    if let Err(error) = mirror {
        tracing::warn!(%error, "dropped segments stay on the mirror");
    }
    Ok(())
}

/// The segments of the run that the oldest ones belong to.
fn candidate_of<'m>(
    reader: &LogReader,
    manifest: &'m Manifest,
    left: &[SealedSegment],
) -> Result<(Candidate, &'m Run), String> {
    let first = left.first().map_or(0, |segment| segment.base.get());
    let run = manifest.runs.iter().find(|run| (run.first..=run.last).contains(&first));
    let run = run.ok_or("it is not compacted")?;
    if run.first != first {
        return Err(format!("its run begins at position {}, the log at {first}", run.first));
    }
    let segments: Vec<_> =
        left.iter().take_while(|segment| segment.last.get() <= run.last).copied().collect();
    if segments.last().map(|segment| segment.last.get()) != Some(run.last) {
        return Err(format!("its run ends at position {}, inside a segment", run.last));
    }
    let last = Lsn::new(run.last);
    let youngest_us = reader
        .records_from(Position::new(last.prev()), last)
        .next()
        .ok()
        .flatten()
        .map(|(it, _)| it.received_at_us());
    Ok((Candidate { segments, youngest_us, archived: None }, run))
}

/// Reads again what the archive holds of a run. What cannot be read is not held; only a failing disk is an error.
fn archived(env: &dyn Env, run: &Run, holds: &Holds) -> Result<Archived, Error> {
    match whole(env, run, holds) {
        Ok(whole) => Ok(whole),
        Err(error) if error.kind() == ErrorKind::Corrupt || error.is_not_found() => {
            Ok(Archived::Not(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

fn whole(env: &dyn Env, run: &Run, holds: &Holds) -> Result<Archived, Error> {
    let corrupt = |text: String| Err(Error::new(ErrorKind::Corrupt, text));
    if run.records.is_none() {
        return corrupt("it was compacted by version 1, without table records".to_owned());
    }
    if let Some((first, last)) = run.damaged.first() {
        return corrupt(format!("positions {first}..={last} are damaged in the log"));
    }
    for file in &run.files {
        as_published(env, file)?;
    }
    let (mut positions, mut end) = (Vec::new(), Begin::default());
    let mut held_by = None;
    for (table, file) in run.kept_files() {
        let path = file.path();
        each_restored(env, &path, table, |restored| {
            let stored = &restored.stored;
            if !restored.whole {
                return Err(damaged(
                    &path,
                    format!("position {} does not tell all of its record", stored.position),
                ));
            }
            positions.push(stored.position);
            end.through = end.through.max(Lsn::new(stored.position));
            end.received_at_us = end.received_at_us.max(stored.received_at_us);
            if let Some(seq) = end.partition_seq.get_mut(usize::from(stored.partition)) {
                *seq = stored.partition_seq.max(*seq);
            }
            Ok(())
        })?;
    }
    positions.sort_unstable();
    if !positions.iter().copied().eq(run.first..=run.last) {
        return corrupt(format!("the positions {}..={} are not complete in it", run.first, run.last));
    }
    if !holds.is_empty() {
        held_by = first_hold(env, run, holds)?;
    }
    debug_assert!(end.partition_seq.len() == usize::from(PARTITIONS));
    Ok(Archived::Whole { held_by, end: Box::new(end) })
}

/// Length and hash of a file are those of the manifest.
pub(crate) fn as_published(env: &dyn Env, file: &FileEntry) -> Result<(), Error> {
    let path = file.path();
    let chunks = Chunks::open(env, &path)?;
    if chunks.bytes() != file.bytes || chunks.blake3()? != file.blake3 {
        return Err(damaged(&path, "not the bytes that were published"));
    }
    Ok(())
}

/// The first hold that covers a document or a quarantined frame of a run.
fn first_hold(env: &dyn Env, run: &Run, holds: &Holds) -> Result<Option<u64>, Error> {
    let mut held = BTreeMap::new();
    each_subject(env, run, |position, subject| {
        if let Some(id) = holds.keeping(subject) {
            held.entry(id).or_insert(position);
        }
    })?;
    Ok(held.into_keys().next())
}

/// Hands what a hold asks about to `each`, for every document and every quarantined frame of a run, with its position.
pub(crate) fn each_subject(
    env: &dyn Env,
    run: &Run,
    mut each: impl FnMut(u64, &Subject<'_>),
) -> Result<(), Error> {
    for file in &run.files {
        let (path, of_records) = (file.path(), file.table == Table::Records.name());
        if !of_records && file.table != Table::Documents.name() {
            continue;
        }
        let day: Day = file.date.parse().map_err(|error| damaged(&path, error))?;
        let columns: &[&str] = match of_records {
            true => &["position", "kind", "key", "received_at"],
            false => &["position", "fn", "inn", "received_at"],
        };
        each_batch(env, &path, columns, |batch| {
            let text = |name: &str| batch.column_by_name(name).and_then(|array| array.as_string_opt::<i32>());
            let positions = column::<Int64Array>(batch, &path, "position")?;
            let received = batch
                .column_by_name("received_at")
                .and_then(|array| array.as_primitive_opt::<TimestampMicrosecondType>())
                .ok_or_else(|| damaged(&path, "no column received_at"))?;
            let cell = |array: Option<&'_ arrow_array::StringArray>, at: usize| {
                array.filter(|it| it.is_valid(at)).map(|it| it.value(at).to_owned())
            };
            for at in 0..batch.num_rows() {
                let (drive, inn) = match of_records {
                    // A cursor, a command or a tick is nobody's document.
                    true if cell(text("kind"), at).as_deref() != Some("quarantine") => continue,
                    true => {
                        let key = cell(text("key"), at);
                        (key.and_then(|it| it.split_once('/').map(|(drive, _)| drive.to_owned())), None)
                    }
                    false => (cell(text("fn"), at), cell(text("inn"), at)),
                };
                let subject = Subject {
                    drive: drive.as_deref(),
                    inn: inn.as_deref(),
                    days: [day, Day::of_utc(received.value(at))],
                };
                each(u64::try_from(positions.value(at)).unwrap_or_default(), &subject);
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// What the log has to remember behind both.
fn followed(mut before: Begin, after: Begin) -> Begin {
    for (seq, later) in before.partition_seq.iter_mut().zip(after.partition_seq.iter()) {
        *seq = (*seq).max(*later);
    }
    before.through = before.through.max(after.through);
    before.received_at_us = before.received_at_us.max(after.received_at_us);
    before
}

#[cfg(test)]
mod tests {
    use super::super::Hold;
    use super::super::hold::{HoldCommand, HoldScope};
    use super::*;

    const KEEP: i64 = 100;
    const NOW: i64 = 1_000;

    fn rules(cursor: Option<u64>) -> DropRules {
        let at = |lsn| ("tax".to_owned(), Position::new(Lsn::new(lsn)));
        DropRules {
            now_us: NOW,
            keep_us: KEEP,
            cursors: cursor.map(at).into_iter().collect(),
            ..DropRules::default()
        }
    }

    fn candidate(youngest_us: Option<i64>, archived: Option<Archived>) -> Candidate {
        let segment = |id, base, last| SealedSegment {
            id: SegmentId::new(id),
            base: Lsn::new(base),
            last: Lsn::new(last),
            used: 1,
            chain: [0; 32],
            footer: true,
        };
        Candidate { segments: vec![segment(1, 1, 5), segment(2, 6, 9)], youngest_us, archived }
    }

    fn holds(through: u64, held_by: Option<u64>) -> Archived {
        Archived::Whole { held_by, end: Box::new(Begin { through: Lsn::new(through), ..Begin::default() }) }
    }

    /// Every combination of the five reasons to stay: a segment goes when none of them holds, and in no other case.
    #[test]
    fn a_segment_goes_only_when_nothing_speaks_against_it() {
        let mut went = 0;
        for newer in 0..5 {
            for youngest in
                [None, Some(NOW - KEEP - 1), Some(NOW - KEEP), Some(NOW), Some(NOW + 9), Some(i64::MAX)]
            {
                for cursor in [None, Some(0), Some(8), Some(9), Some(20)] {
                    for archived in [
                        None,
                        Some(holds(9, None)),
                        Some(holds(9, Some(3))),
                        Some(holds(8, None)),
                        Some(Archived::Not("a file is gone".to_owned())),
                    ] {
                        let whole = matches!(&archived, Some(Archived::Whole { held_by: None, end }) if end.through.get() == 9);
                        let looked = archived.is_some();
                        let verdict = what_may_go(&candidate(youngest, archived), newer, &rules(cursor));
                        let cheap = newer >= SEGMENTS_KEPT_MIN
                            && youngest == Some(NOW - KEEP - 1)
                            && cursor.is_none_or(|it| it >= 9);
                        assert_eq!(
                            verdict == Verdict::Goes,
                            cheap && whole,
                            "{newer} {youngest:?} {cursor:?}"
                        );
                        assert_eq!(
                            verdict == Verdict::Look,
                            cheap && !looked,
                            "{newer} {youngest:?} {cursor:?}"
                        );
                        went += usize::from(verdict == Verdict::Goes);
                    }
                }
            }
        }
        assert_eq!(went, 9);
    }

    #[test]
    fn what_no_index_file_holds_stays() {
        for (indexed, verdict) in [
            (None, Verdict::Goes),
            (Some(9), Verdict::Goes),
            (Some(8), Verdict::Stays(Stays::NotIndexed)),
            (Some(0), Verdict::Stays(Stays::NotIndexed)),
        ] {
            let rules = DropRules { indexed: indexed.map(Lsn::new), ..rules(None) };
            assert_eq!(what_may_go(&candidate(Some(0), Some(holds(9, None))), 9, &rules), verdict);
        }
    }

    #[test]
    fn a_reason_is_told_in_words() {
        let hold = Hold {
            scope: HoldScope::Inn("7704211201".into()),
            from: Day(1),
            to: Day(2),
            reason: "r".into(),
            by: "b".into(),
        };
        let mut all = Holds::default();
        all.fold(17, &HoldCommand::Place(hold).to_payload());
        assert!(Stays::Hold(17).to_string().contains("hold 17") && all.contains(17));
        assert!(Stays::Cursor("tax".into()).to_string().contains("tax"));
    }
}
