//! Recovery with two copies: what one of them lost comes from the other, and both are the same before anything is
//! acknowledged.
//!
//! ```text
//! mend_open ─▶ recovery of the local log, up to a durable tail ─▶ compare ─▶ bring_up ─▶ MirrorSink ─▶ proofs, seals
//!    │             └ mend_sealed: a damaged segment, when it is met
//!    └ batches of the open segment that are whole on the mirror alone
//! ```
//!
//! - The local log leads: what it holds when it has recovered is what the mirror gets, segment by segment, written
//!   beside, synced and renamed. A sealed segment with the same footer on both sides is the same; everything else is
//!   copied anew, because what a failed device shows in its page cache proves nothing.
//! - Whatever the mirror alone holds whole, in the same life of the same segment, is taken into the local file first.
//! - The mirror is never made to forget: when it holds records that were acknowledged and are not in the local log, or
//!   segments that the local directory has lost, nothing is opened and the error says what to do. A data directory
//!   that is empty beside a mirror that is not is the plainest case.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::holes::Holes;
use super::survey::{Survey, footer_of, header_of, id_of, read_range, read_whole, survey};
use super::{LOCK_PATH, META_PATH, remove_leftover, torn_path};
use crate::begin::{BEGIN_PATH, Begin};
use crate::disk::{self, LOG_DIR, segment_path};
use crate::env::{self, Env, File, LockGuard};
use crate::error::{Error, ErrorKind};
use crate::format::{
    BATCH_HEADER_LEN, BatchHeader, CHAIN_BLOCK_LEN, ChainHash, FOOTER_BLOCK_LEN, HEADER_BLOCK_LEN, Meta,
    SegmentFooter, SegmentHeader, SegmentStamp, chain_block,
};
use crate::log::LogOptions;
use crate::mirror::{MirrorOptions, MirrorSink};
use crate::planted::planted;
use crate::position::{Lsn, Position, SegmentId};
use crate::reader::LogReader;
use crate::record::{RecordRef, padded_len};
use crate::segment::{Item, Walk, is_blank, usize_of};
use crate::sink::SinkFailure;

/// What the mirror was needed for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MirrorReport {
    /// Local segments that were damaged and are whole again from the mirror.
    pub mended: Vec<SegmentId>,
    /// Segments that the mirror lacked or had otherwise, and has now.
    pub copied: Vec<SegmentId>,
    /// Files of the mirror that the local log does not count; renamed to `.torn`.
    pub set_aside: Vec<SegmentId>,
}

/// Takes the mirror's lock, and what the mirror alone holds of segments that are not sealed. The inner result is that of the mirror, which
/// the log may be told to go on without; what fails on the local device stops the start, or damage would stay that the mirror can mend.
///
/// # Errors
/// `Fix` when the data directory has lost what the mirror holds; of the local device.
pub(super) fn mend_open(
    env: &dyn Env,
    report: &mut MirrorReport,
) -> Result<Result<Option<LockGuard>, Error>, Error> {
    let Some(mirror) = env.mirror().map(|mirror| &*mirror.env) else { return Ok(Ok(None)) };
    let looked = mirror
        .create_dir_all(Path::new(LOG_DIR))
        .and_then(|()| mirror.lock(Path::new(LOCK_PATH)))
        .and_then(|lock| Ok((lock, segments(mirror)?)));
    let (lock, there) = match looked {
        Ok(looked) => looked,
        Err(error) => return Ok(Err(error)),
    };
    let here = segments(env)?;
    refuse_an_empty_directory(env, &here, &there)?;
    let mut before = Vec::new();
    for id in here.iter().filter(|id| there.contains(id)) {
        let mended = match what_mends(env, mirror, *id)? {
            Ok(mended) => mended.filter(|_| !planted!(52)),
            Err(error) => return Ok(Err(error)),
        };
        let Some(mended) = mended else {
            before.push(*id);
            continue;
        };
        for id in before.drain(..) {
            write_anew(env, id)?;
        }
        replace(env, &segment_path(*id), &mended)?;
        tracing::error!(segment = %id, "alarm: a segment was damaged and is mended from the mirror");
        report.mended.push(*id);
    }
    Ok(Ok(Some(lock)))
}

/// The newest epoch that the mirror knows: it may have been opened as a log while we were away.
pub(super) fn epoch(env: &dyn Env) -> u32 {
    let Some(mirror) = env.mirror().map(|mirror| &*mirror.env) else { return 0 };
    let meta = env::read_file(mirror, Path::new(META_PATH), 1 << 20);
    meta.ok().and_then(|bytes| Meta::decode(&bytes).ok()).map_or(0, |meta| meta.epoch)
}

/// A dead mirror stops the start, unless the log was told to go on without one. What the mirror says about the log is
/// no failure of a device and always stops it.
pub(super) fn or_degrade<T>(env: &dyn Env, result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if error.is_storage_fault()
                && env.mirror().is_some_and(|mirror| mirror.failure == SinkFailure::Degrade) =>
        {
            tracing::error!(%error, "alarm: the mirror cannot be used, the log goes on without it");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// What is mended may prove what lies before it, which it did on the mirror: here an error about that may have come too late. So the bytes of
/// a segment without a footer become durable in another file.
fn write_anew(env: &dyn Env, id: SegmentId) -> Result<(), Error> {
    let path = segment_path(id);
    let file = env.open_read(&path)?;
    let len = file.len()?;
    let mut bytes = Vec::new();
    if footer_of(&*file, id, len)?.is_none() && read_whole(&*file, len, &mut bytes)? == 0 {
        replace(env, &path, &bytes)?;
    }
    Ok(())
}

/// Numbers of the segment files of a log, sorted.
fn segments(env: &dyn Env) -> Result<Vec<SegmentId>, Error> {
    let names = env.list(Path::new(LOG_DIR))?;
    let ids = names.iter().filter_map(|entry| entry.name.strip_suffix(".seg").and_then(id_of));
    Ok(ids.collect())
}

/// An empty directory beside a mirror that is not is a lost one, and no new log.
fn refuse_an_empty_directory(env: &dyn Env, here: &[SegmentId], there: &[SegmentId]) -> Result<(), Error> {
    let traces = [META_PATH, BEGIN_PATH].map(|path| env.exists(Path::new(path)));
    for trace in traces {
        if trace? || !here.is_empty() {
            return Ok(());
        }
    }
    let (Some(first), Some(last)) = (there.first(), there.last()) else { return Ok(()) };
    let text = format!(
        "the mirror holds segments {first} to {last} of a log, and the data directory is empty. Nothing was opened. If \
         the data directory was lost, copy the mirror's `log` folder into it and start again. If this is to be a new \
         log, give it an empty mirror"
    );
    Err(Error::new(ErrorKind::Fix, text))
}

/// What can be done about a local log with holes when there is a mirror.
pub(super) fn with_advice(env: &dyn Env, error: Error) -> Error {
    if error.kind() != ErrorKind::Corrupt || env.mirror().is_none() {
        return error;
    }
    let text = format!(
        "{error}. The mirror was left as it is: when it is whole, move the `log` folder of the data directory away, copy \
         the mirror's `log` folder in its place and start again"
    );
    Error::new(ErrorKind::Corrupt, text)
}

/// One segment that is there on both sides: what the local file has to be, where it is damaged and the mirror helps.
fn what_mends(
    env: &dyn Env,
    mirror: &dyn Env,
    id: SegmentId,
) -> Result<Result<Option<Vec<u8>>, Error>, Error> {
    let path = segment_path(id);
    let ours = env.open_read(&path)?;
    let len = ours.len()?;
    let least = HEADER_BLOCK_LEN.saturating_add(FOOTER_BLOCK_LEN);
    if len >= least
        && let (Some(header), Some(footer)) = (header_of(&*ours, id)?, footer_of(&*ours, id, len)?)
        && header.stamp == footer.stamp
    {
        // Sealed: whether it is damaged inside is found out when it is read.
        return Ok(Ok(None));
    }
    let mut local = Vec::new();
    let holes = read_range(&*ours, 0, len, &mut local)?;
    let never_alone = env.mirror().is_some_and(|mirror| mirror.failure == SinkFailure::Stop);
    Ok(from_the_mirror(mirror, id, local, &holes, never_alone))
}

fn from_the_mirror(
    mirror: &dyn Env,
    id: SegmentId,
    mut local: Vec<u8>,
    holes: &Holes,
    never_alone: bool,
) -> Result<Option<Vec<u8>>, Error> {
    let theirs = mirror.open_read(&segment_path(id))?;
    let len_there = theirs.len()?;
    if len_there < HEADER_BLOCK_LEN.saturating_add(FOOTER_BLOCK_LEN) {
        return Ok(None);
    }
    let mut copy = Vec::new();
    let lacks = read_range(&*theirs, 0, len_there, &mut copy)?;
    Ok(match footer_of(&*theirs, id, len_there)? {
        // The mirror is sealed only after the local segment was: that seal is lost.
        Some(footer) => {
            let same = stamp_of(&local, id).is_none_or(|stamp| stamp == footer.stamp);
            (same && chain(&copy, &footer) == Some(footer.chain)).then_some(copy)
        }
        None => {
            // A local segment that has given back what it did not use, and whose footer is damaged.
            copy.truncate(local.len());
            let same = local.len() == copy.len()
                && stamp_of(&copy, id)
                    .is_some_and(|stamp| stamp_of(&local, id).is_none_or(|known| known == stamp));
            // Where nothing is acknowledged without the mirror, there is nothing that its copy does not hold. Of one that the log may have gone on
            // without, zeros say nothing.
            let left =
                if same && never_alone { holes.fill(&mut local, &copy, &lacks) } else { holes.clone() };
            let filled = left != *holes;
            let mended = take_batches(&local, &copy, id).or_else(|| filled.then_some(local));
            // Zeros in the place of what neither can tell would be taken for the end of the log.
            mended.filter(|bytes| left.all_in(&runs_of_batches(bytes, id)))
        }
    })
}

/// The life that a segment's bytes tell of.
fn stamp_of(bytes: &[u8], id: SegmentId) -> Option<SegmentStamp> {
    let header = SegmentHeader::decode(bytes).ok().filter(|header| header.stamp.segment == id);
    header.map(|header| header.stamp).or_else(|| {
        let blocks = (usize_of_u64(HEADER_BLOCK_LEN)..bytes.len()).step_by(512);
        let mut batches = blocks.filter_map(|at| Some((at, BatchHeader::decode(bytes.get(at..)?)?)));
        batches
            .find(|(at, batch)| usize_of(batch.offset) == *at && batch.stamp.segment == id)
            .map(|(_, batch)| batch.stamp)
    })
}

fn usize_of_u64(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The local bytes of an open segment with every batch in them that only the copy holds whole; `None` when there is none.
fn take_batches(local: &[u8], copy: &[u8], id: SegmentId) -> Option<Vec<u8>> {
    let stamp = stamp_of(copy, id)?;
    let known = stamp_of(local, id);
    if known.is_some_and(|known| known != stamp) || local.len() != copy.len() {
        return None;
    }
    let begin = usize_of_u64(HEADER_BLOCK_LEN);
    let mut mended = local.to_vec();
    let mut changed = false;
    let mut at = begin;
    while at < copy.len() {
        let (ours, theirs) = (whole_batch(local, at, &stamp), whole_batch(copy, at, &stamp));
        if ours.is_none()
            && let Some(len) = theirs
            && let (Some(room), Some(bytes)) =
                (mended.get_mut(at..at.saturating_add(len)), copy.get(at..at.saturating_add(len)))
        {
            room.copy_from_slice(bytes);
            changed = true;
        }
        at = at.saturating_add(ours.or(theirs).unwrap_or(1)).next_multiple_of(512);
    }
    // The header block goes with the first batch, and is worth nothing without one.
    let header = |bytes: &[u8]| SegmentHeader::decode(bytes).is_ok_and(|header| header.stamp == stamp);
    if !header(local)
        && header(copy)
        && whole_batch(&mended, begin, &stamp).is_some()
        && let (Some(room), Some(bytes)) = (mended.get_mut(..begin), copy.get(..begin))
    {
        room.copy_from_slice(bytes);
        changed = true;
    }
    changed.then_some(mended)
}

/// Where every byte is accounted for: batches that are whole and follow on one another without a gap in their numbers, with what lies
/// between them, and the header block before the first.
fn runs_of_batches(bytes: &[u8], id: SegmentId) -> Vec<Range<u64>> {
    let Some(stamp) = stamp_of(bytes, id) else { return Vec::new() };
    let begin = usize_of_u64(HEADER_BLOCK_LEN);
    let mut runs: Vec<Range<u64>> = Vec::new();
    let (mut at, mut next) = (begin, None);
    while at < bytes.len() {
        let whole = whole_batch(bytes, at, &stamp);
        let header = whole.and_then(|_| BatchHeader::decode(bytes.get(at..)?));
        let end = at.saturating_add(whole.unwrap_or(1)).next_multiple_of(512);
        if let Some(header) = header {
            match runs.last_mut() {
                Some(run) if next == Some(header.first) => run.end = end as u64,
                _ => {
                    let headed = SegmentHeader::decode(bytes).is_ok_and(|header| header.stamp == stamp);
                    let from = if at == begin && headed { 0 } else { at };
                    runs.push(from as u64..end as u64);
                }
            }
            next = Some(header.last().next());
        }
        at = end;
    }
    runs
}

/// Length of the batch at a boundary if it is whole, with every record.
fn whole_batch(bytes: &[u8], at: usize, stamp: &SegmentStamp) -> Option<usize> {
    let batch = BatchHeader::decode(bytes.get(at..)?)?;
    let len = usize_of(batch.len);
    let body = bytes.get(at..at.checked_add(len)?)?;
    if batch.stamp != *stamp || usize_of(batch.offset) != at || len < BATCH_HEADER_LEN {
        return None;
    }
    let mut from = BATCH_HEADER_LEN;
    let mut next = batch.first;
    for _ in 0..batch.records {
        let record = RecordRef::decode(body.get(from..)?, stamp).filter(|record| record.lsn() == next)?;
        from = from.saturating_add(padded_len(record.encoded_len()));
        next = next.next();
    }
    Some(len)
}

/// The chain that the used bytes come to.
fn chain(bytes: &[u8], footer: &SegmentFooter) -> Option<ChainHash> {
    let used = bytes.get(..usize_of_u64(footer.used))?;
    Some(used.chunks(CHAIN_BLOCK_LEN).fold(footer.chain_before, |chain, block| chain_block(&chain, block)))
}

/// A sealed segment whose bytes (`local`) are damaged, whole again on disk and in `local`; false when the mirror does not
/// help. Compared by the hash chain: nothing is taken over that is not byte for byte what was sealed.
pub(crate) fn mend_sealed(env: &dyn Env, id: SegmentId, local: &mut Vec<u8>) -> Result<bool, Error> {
    let Some(mirror) = env.mirror().map(|mirror| &*mirror.env) else { return Ok(false) };
    let path = segment_path(id);
    let theirs = match mirror.open_read(&path) {
        Ok(theirs) => theirs,
        Err(error) if error.is_not_found() => return Ok(false),
        Err(error) => return Err(error),
    };
    let mut copy = Vec::new();
    read_whole(&*theirs, theirs.len()?, &mut copy)?;
    let footer = |bytes: &[u8]| {
        let block = bytes.len().checked_sub(usize_of_u64(FOOTER_BLOCK_LEN));
        let footer = block.and_then(|at| SegmentFooter::decode(bytes.get(at..)?));
        footer.filter(|footer| footer.stamp.segment == id)
    };
    let Some(sealed) = footer(local).or_else(|| footer(&copy)) else { return Ok(false) };
    // Of another life, or of another seal: no copy of this one.
    if footer(&copy).is_some_and(|there| there != sealed) {
        return Ok(false);
    }
    let is_sound = chain(&copy, &sealed) == Some(sealed.chain);
    let whole = if is_sound && footer(&copy).is_some() {
        copy
    } else {
        // The copy lacks its footer, or both are damaged, perhaps not in the same place.
        let mut both = local.clone();
        let all = 0..usize_of_u64(sealed.used);
        for range in if is_sound { vec![all] } else { damaged_ranges(local, &sealed) } {
            if let (Some(room), Some(bytes)) = (both.get_mut(range.clone()), copy.get(range)) {
                room.copy_from_slice(bytes);
            }
        }
        if chain(&both, &sealed) != Some(sealed.chain) {
            return Ok(false);
        }
        both
    };
    replace(env, &path, &whole)?;
    *local = whole;
    tracing::error!(segment = %id, "alarm: a sealed segment was damaged and is mended from the mirror");
    Ok(true)
}

/// The same for a segment that is read for this; false as well when it is not damaged.
pub(crate) fn mend_file(env: &dyn Env, id: SegmentId, file: &dyn File) -> Result<bool, Error> {
    let mut bytes = Vec::new();
    let lost = read_whole(file, file.len()?, &mut bytes)?;
    let footer = bytes.len().checked_sub(usize_of_u64(FOOTER_BLOCK_LEN));
    let footer = footer.and_then(|at| SegmentFooter::decode(bytes.get(at..)?));
    let whole = footer.is_some_and(|footer| chain(&bytes, &footer) == Some(footer.chain));
    if lost == 0 && whole { Ok(false) } else { mend_sealed(env, id, &mut bytes) }
}

/// The mirror's copy becomes what the local segment is, if that is whole; false otherwise.
pub(crate) fn mend_copy(env: &dyn Env, id: SegmentId) -> Result<bool, Error> {
    let Some(mirror) = env.mirror() else { return Ok(false) };
    let path = segment_path(id);
    let file = env.open_read(&path)?;
    let mut bytes = Vec::new();
    let lost = read_whole(&*file, file.len()?, &mut bytes)?;
    let footer = footer_of(&*file, id, bytes.len() as u64)?;
    if lost > 0 || footer.is_none_or(|footer| chain(&bytes, &footer) != Some(footer.chain)) {
        return Ok(false);
    }
    replace(&*mirror.env, &path, &bytes)?;
    tracing::error!(segment = %id, "alarm: the mirror's copy of a segment was damaged and is mended from the local one");
    Ok(true)
}

/// Whether a walk over a sealed segment meets damage.
pub(crate) fn is_damaged(bytes: &[u8], footer: &SegmentFooter) -> bool {
    !damaged_ranges(bytes, footer).is_empty()
}

fn damaged_ranges(bytes: &[u8], footer: &SegmentFooter) -> Vec<std::ops::Range<usize>> {
    let mut walk = Walk::new(footer.stamp, footer.block_len, footer.base, footer.used).up_to(footer.last);
    let mut ranges = Vec::new();
    while let Some(item) = walk.next(bytes, 0) {
        if let Item::Damage { from, to, .. } = item {
            ranges.push(usize_of(from)..usize_of(to));
        }
    }
    if walk.expect() <= footer.last {
        ranges.push(usize_of(walk.offset())..usize_of_u64(footer.used));
    }
    ranges
}

/// Writes a whole file beside the one it replaces; after any crash the old or the new one stands there.
fn replace(env: &dyn Env, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    env::replace_file(env, path, bytes)
}

/// What a start needs of the segments that the local log has a file of.
pub(super) struct Wanted<'a> {
    /// They are set aside as soon as the log is open.
    pub(super) not: &'a [SegmentId],
    /// Blank ones from here on are left to the sink, which looks at the low-water mark.
    pub(super) blank_later: Option<SegmentId>,
}

/// Makes the mirror what the local log is, and gives the sink that keeps it so. What was written again has been synced by now, and nothing
/// proves it: until the mirror has it, too, the old copies count should it rot.
pub(super) fn bring_up(
    env: &dyn Env,
    lock: LockGuard,
    options: &LogOptions,
    wanted: &Wanted<'_>,
    reader: &LogReader,
    report: &mut MirrorReport,
) -> Result<Option<MirrorSink>, Error> {
    let Some(mirror) = env.mirror().map(|mirror| Arc::clone(&mirror.env)) else { return Ok(None) };
    let there = survey(&*mirror)?;
    // What it held there may have been acknowledged, and it is written over.
    if let Some(seen) = there.segments.iter().find(|seen| seen.footer.is_none() && !seen.holes.is_empty()) {
        let text = format!("segment {} of the mirror cannot be read whole", seen.id);
        return Err(Error::new(ErrorKind::Reopen, text));
    }
    refuse_a_fork(&*mirror, &there, reader)?;
    // Before anything is written under the same names.
    for name in &there.leftovers {
        remove_leftover(&*mirror, &Path::new(LOG_DIR).join(name))?;
    }
    let mut here = segments(env)?;
    here.retain(|id| !wanted.not.contains(id));
    let mut files: BTreeMap<SegmentId, Arc<dyn File>> = BTreeMap::new();
    for id in &here {
        let sealed = is_same_sealed(env, &*mirror, *id)?;
        let passed_over = planted!(51) && mirror.exists(&segment_path(*id))?;
        if sealed {
            continue;
        }
        let needed = wanted.blank_later.is_none_or(|later| *id < later);
        let brought =
            if passed_over { Brought::Stands } else { copy_or_prepare(env, &*mirror, *id, needed)? };
        match brought {
            Brought::Later => continue,
            Brought::Copied => report.copied.push(*id),
            Brought::Stands => {}
        }
        files.insert(*id, mirror.open(&segment_path(*id))?);
    }
    // Before a segment goes that it says was dropped.
    let begin = Begin::load(env)?;
    if begin != Begin::load(&*mirror).unwrap_or_default() {
        begin.store(&*mirror)?;
    }
    for seen in there.segments.iter().filter(|seen| !here.contains(&seen.id)) {
        let dropped = seen.life.is_some_and(|life| life.reach <= begin.through);
        if seen.blank || dropped {
            mirror.remove(&segment_path(seen.id))?;
        } else {
            mirror.rename(&segment_path(seen.id), &torn_path(seen.id))?;
            report.set_aside.push(seen.id);
        }
    }
    mirror.sync_dir(Path::new(LOG_DIR))?;
    let meta = env::read_file(env, Path::new(META_PATH), 1 << 20)?;
    env::replace_file(&*mirror, Path::new(META_PATH), &meta)?;
    if !report.copied.is_empty() || !report.set_aside.is_empty() {
        tracing::info!(
            copied = report.copied.len(),
            set_aside = report.set_aside.len(),
            "the mirror is up to date"
        );
    }
    let options =
        MirrorOptions { prepare_retry_us: options.prepare_retry_us, free_bytes_min: options.low_water() };
    Ok(Some(MirrorSink::new(mirror, lock, options, files, reader.durable())))
}

/// Records that the mirror proves acknowledged have to be in the local log, and the same ones.
fn refuse_a_fork(mirror: &dyn Env, there: &Survey, reader: &LogReader) -> Result<(), Error> {
    let lives = || there.segments.iter().filter_map(|seen| Some((seen, seen.life?)));
    let proven = lives().map(|(_, life)| life.proves).max().unwrap_or(Lsn::NONE);
    let durable = reader.durable();
    if proven > durable {
        return Err(Error::new(
            ErrorKind::Fix,
            format!(
                "the mirror holds records up to {proven} that were acknowledged, and the local log ends at \
                 {durable}: the data directory has lost records, or the mirror was written to by another engine. \
                 The mirror was left as it is. To go on from the mirror: move the `log` folder of the data directory \
                 away, copy the mirror's `log` folder in its place and start again. To go on from the data \
                 directory: move the mirror's `log` folder away and start again"
            ),
        ));
    }
    for (seen, life) in lives() {
        if reader.knows(life.stamp) || life.proves_inside < life.base {
            continue;
        }
        // Of a life that the local log does not count. What it holds must have moved on in the local log; what a later segment took over
        // is the end that a crash has torn, and may stand here since one has interrupted the start that was to set it aside.
        let later = lives()
            .filter(|(later, it)| later.id > seen.id && (it.first_whole || it.proves_inside >= it.base));
        let taken_over = later.map(|(_, it)| it.base).min();
        let upto = taken_over.map_or(proven, |base| proven.min(base.prev()));
        let mut whole = Vec::new();
        if seen.bytes.is_empty() {
            read_whole(&*mirror.open_read(&segment_path(seen.id))?, seen.len, &mut whole)?;
        }
        let bytes = if seen.bytes.is_empty() { &whole } else { &seen.bytes };
        let walk =
            Walk::new(life.stamp, life.block_len, life.base, seen.len.saturating_sub(FOOTER_BLOCK_LEN));
        let Some(differs) = first_difference(bytes, walk, upto, reader)? else { continue };
        return Err(Error::new(
            ErrorKind::Fix,
            format!(
                "segment {} of the mirror holds an acknowledged record {differs} that is another one than in the \
                 local log: the mirror was written to by another engine. It was left as it is: keep the copy that \
                 counts, move the `log` folder of the other away and start again",
                seen.id
            ),
        ));
    }
    Ok(())
}

/// The first record up to `proven` that the local log holds otherwise.
fn first_difference(
    bytes: &[u8],
    mut walk: Walk,
    proven: Lsn,
    reader: &LogReader,
) -> Result<Option<Lsn>, Error> {
    while let Some(item) = walk.next(bytes, 0) {
        let Item::Record(record, _) = item else { continue };
        if record.lsn() > proven {
            break;
        }
        if !reader.holds(record.lsn()) {
            continue;
        }
        let mut ours = reader.records_from(Position::new(record.lsn().prev()), record.lsn());
        let same = match ours.next() {
            Ok(Some((ours, _))) => {
                ours.payload() == record.payload() && ours.received_at_us() == record.received_at_us()
            }
            Ok(None) => false,
            // What is damaged here cannot be compared.
            Err(error) if error.kind() == ErrorKind::Corrupt => true,
            Err(error) => return Err(error),
        };
        if !same {
            return Ok(Some(record.lsn()));
        }
    }
    Ok(None)
}

/// Sealed on both sides, with the same header and footer: each was read back when its footer was written.
fn is_same_sealed(env: &dyn Env, mirror: &dyn Env, id: SegmentId) -> Result<bool, Error> {
    let path = segment_path(id);
    if !mirror.exists(&path)? {
        return Ok(false);
    }
    let (ours, theirs) = (env.open_read(&path)?, mirror.open_read(&path)?);
    let len = ours.len()?;
    if len != theirs.len()? || len < HEADER_BLOCK_LEN.saturating_add(FOOTER_BLOCK_LEN) {
        return Ok(false);
    }
    let Some(footer) = footer_of(&*ours, id, len)? else { return Ok(false) };
    let (header, header_there) = (header_of(&*ours, id)?, header_of(&*theirs, id)?);
    Ok(footer_of(&*theirs, id, len)? == Some(footer) && (header_there.is_some() && header == header_there))
}

/// What became of a segment of the mirror.
enum Brought {
    Copied,
    Stands,
    /// It is blank, not needed yet, and not there.
    Later,
}

/// The mirror's file becomes the local one, whole. A segment of zeros that is one on both sides stays.
fn copy_or_prepare(env: &dyn Env, mirror: &dyn Env, id: SegmentId, needed: bool) -> Result<Brought, Error> {
    let path = segment_path(id);
    let ours = env.open_read(&path)?;
    let len = ours.len()?;
    let mut bytes = Vec::new();
    if read_whole(&*ours, len, &mut bytes)? > 0 {
        let text = format!("{}: it cannot be read whole, and is not copied to the mirror", path.display());
        return Err(Error::new(ErrorKind::Reopen, text));
    }
    if is_blank(&bytes) {
        if mirror.exists(&path)? {
            let theirs = mirror.open_read(&path)?;
            let mut there = Vec::new();
            let same = theirs.len()? == len && read_whole(&*theirs, len, &mut there)? == 0;
            if same && is_blank(&there) {
                return Ok(Brought::Stands);
            }
            mirror.remove(&path)?;
        }
        if !needed {
            return Ok(Brought::Later);
        }
        disk::prepare(mirror, id, len)?;
        return Ok(Brought::Stands);
    }
    let footer = footer_of(&*ours, id, len)?;
    if let Some(footer) = footer
        && chain(&bytes, &footer) != Some(footer.chain)
        && !mend_sealed(env, id, &mut bytes)?
    {
        // Two damaged copies are better than one: the mirror's stays as it is, if there is one.
        tracing::error!(segment = %id, "alarm: a sealed segment is damaged, and the mirror has no whole copy");
        if mirror.exists(&path)? {
            return Ok(Brought::Stands);
        }
    }
    replace(mirror, &PathBuf::from(&path), &bytes)?;
    Ok(Brought::Copied)
}
