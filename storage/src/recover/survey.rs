//! What lies in `DIR/log`, read without changing anything.
//!
//! Sealed segments tell all that is needed in their first and last block. Of the others every byte is read:
//! after a crash these are the open one and perhaps one beside it.

use std::path::Path;

use super::holes::Holes;
use crate::begin::Begin;
use crate::disk::{LOG_DIR, segment_path};
use crate::env::{Env, File};
use crate::error::{Error, ErrorKind};
use crate::format::{
    BatchHeader, FOOTER_BLOCK_LEN, HEADER_BLOCK_LEN, HeaderFault, Meta, SEGMENT_LEN_MAX, SegmentFooter,
    SegmentHeader, SegmentStamp,
};
use crate::planted::planted;
use crate::position::{Lsn, SegmentId};
use crate::segment::{Item, Walk, is_blank, usize_of};

/// Path of the metadata file.
pub(super) const META_PATH: &str = "log/meta";
/// Every batch begins at a multiple of the smallest block.
const BLOCK_LEN_MIN: usize = 512;
/// A read that fails is tried again in pieces of this length, so that one bad sector costs one piece.
const PIECE_LEN: usize = 4096;
/// A file that may be blank is read in pieces that stay in a core's cache.
const BLANK_LEN: usize = 256 * 1024;
/// So much behind the header block has to be readable before a file with unreadable sectors counts as blank: the header of a first batch and
/// its first record.
const BEGIN_LEN: u64 = 4096;
/// Reads of this length at a time.
const READ_LEN: usize = 1 << 20;

/// Everything that was seen.
#[derive(Default)]
pub(super) struct Survey {
    /// `None`: missing or damaged.
    pub(super) meta: Option<Meta>,
    /// What was dropped from the log.
    pub(super) begin: Begin,
    /// Whether there is any trace of an earlier life.
    pub(super) fresh: bool,
    /// By number.
    pub(super) segments: Vec<Seen>,
    /// Segments that earlier starts have set aside, by number.
    pub(super) torn: Vec<SegmentId>,
    /// Names of half-prepared and temporary files.
    pub(super) leftovers: Vec<String>,
    /// The highest number that any name bears.
    pub(super) highest: SegmentId,
}

/// One segment file.
pub(super) struct Seen {
    pub(super) id: SegmentId,
    pub(super) len: u64,
    /// The segment that its header names as the one before it; 0: untold.
    pub(super) before: SegmentId,
    /// What it says of itself; `None` when neither header, footer nor any batch can be read.
    pub(super) life: Option<Life>,
    pub(super) footer: Option<SegmentFooter>,
    /// All bytes of a segment that is not sealed.
    pub(super) bytes: Vec<u8>,
    /// Nothing but zeros: nothing was ever written to it.
    pub(super) blank: bool,
    /// Of a blank one: all of it can be read.
    pub(super) sound: bool,
    /// What of `bytes` could not be read, and stands there as zeros.
    pub(super) holes: Holes,
}

impl Seen {
    /// Nothing is left of it, or it is the footer over such a one: a stand-in, which counts only where nothing else does.
    pub(super) fn tells_nothing(&self) -> bool {
        self.life.is_none_or(|life| life.stamp.epoch == WIPED_EPOCH)
    }
}

/// No segment that was written to has this epoch.
const WIPED_EPOCH: u32 = 0;

/// The one life of the blocks that a segment file tells of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    pub(super) stamp: SegmentStamp,
    pub(super) block_len: u32,
    pub(super) base: Lsn,
    /// Header, footer or the first batch tell the base. Otherwise a later batch does, which may be of the first write:
    /// that the segment begins no later is all it says, and nothing about what lies before.
    pub(super) base_known: bool,
    /// The last LSN that its header or any of its batch headers knows to be durable.
    pub(super) proves: Lsn,
    /// The same of batches behind the first write: a segment whose batches prove its base was activated.
    pub(super) proves_inside: Lsn,
    /// The same without the newest write, which may have been on its way when an error of the write before it came late.
    pub(super) settles: Lsn,
    /// Whether the first write is whole.
    pub(super) first_whole: bool,
    /// Records from the base up to this one can be read without a gap; the one before the base if none can.
    pub(super) good: Lsn,
    /// The last record that can be read, whatever is lost before it.
    pub(super) newest: Lsn,
    /// The last LSN that any batch header or record names.
    pub(super) reach: Lsn,
}

impl Life {
    /// Of a segment of which nothing is left: no record is of this life.
    pub(super) const fn wiped(segment: SegmentId, base: Lsn) -> Self {
        Self {
            stamp: SegmentStamp { segment, epoch: WIPED_EPOCH, nonce: 0 },
            block_len: BLOCK_LEN_MIN as u32,
            base,
            base_known: false,
            proves: Lsn::NONE,
            proves_inside: Lsn::NONE,
            settles: Lsn::NONE,
            first_whole: false,
            good: base.prev(),
            newest: base.prev(),
            reach: base.prev(),
        }
    }
}

/// Looks at everything.
pub(super) fn survey(env: &dyn Env) -> Result<Survey, Error> {
    let mut found = Survey { fresh: true, ..Survey::default() };
    let dir = Path::new(LOG_DIR);
    if !env.exists(dir)? {
        return Ok(found);
    }
    for entry in env.list(dir)? {
        let (stem, extension) = entry.name.rsplit_once('.').unwrap_or((&entry.name, ""));
        match extension {
            "seg" | "torn" => {
                let Some(id) = id_of(stem) else { continue };
                found.highest = found.highest.max(id);
                found.fresh = false;
                if extension == "seg" || planted!(26) {
                    found.segments.push(look(env, id)?);
                } else {
                    found.torn.push(id);
                }
            }
            "tmp" => found.leftovers.push(entry.name.clone()),
            _ => {
                if let Some(id) = entry.name.strip_prefix(".prepare-").and_then(id_of) {
                    found.highest = found.highest.max(id);
                    found.leftovers.push(entry.name.clone());
                }
            }
        }
    }
    found.segments.sort_by_key(|seen| seen.id);
    found.meta = meta(env, &mut found.fresh)?;
    found.begin = Begin::load(env)?;
    Ok(found)
}

pub(super) fn id_of(stem: &str) -> Option<SegmentId> {
    let digits = stem.len() == 16 && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u32::from_str_radix(stem, 16).ok().map(SegmentId::new)).flatten()
}

fn meta(env: &dyn Env, fresh: &mut bool) -> Result<Option<Meta>, Error> {
    let bytes = match crate::env::read_file(env, Path::new(META_PATH), READ_LEN as u64) {
        Ok(bytes) => bytes,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    *fresh = false;
    match Meta::decode(&bytes) {
        Ok(meta) => Ok(Some(meta)),
        Err(HeaderFault::Unreadable) => Ok(None),
        Err(HeaderFault::Foreign) => Err(foreign(META_PATH)),
    }
}

fn foreign(path: &str) -> Error {
    Error::new(ErrorKind::Fix, format!("{path} is of another format version or partitioning"))
}

fn look(env: &dyn Env, id: SegmentId) -> Result<Seen, Error> {
    let path = segment_path(id);
    let file = env.open_read(&path)?;
    let len = file.len()?;
    if len > SEGMENT_LEN_MAX {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!("{}: {len} bytes are no segment", path.display()),
        ));
    }
    let whole_blocks = len >= HEADER_BLOCK_LEN + FOOTER_BLOCK_LEN;
    let header = if whole_blocks { header_of(&*file, id)? } else { None };
    let footer = if whole_blocks { footer_of(&*file, id, len)? } else { None };
    if let (Some(header), Some(footer)) = (header, footer)
        && header.stamp == footer.stamp
    {
        let life = Life {
            stamp: footer.stamp,
            block_len: footer.block_len,
            base: footer.base,
            base_known: true,
            proves: footer.last,
            proves_inside: footer.last,
            settles: footer.last,
            first_whole: true,
            good: footer.last,
            newest: footer.last,
            reach: footer.last,
        };
        let before = header.before;
        return Ok(Seen {
            id,
            len,
            before,
            life: Some(life),
            footer: Some(footer),
            bytes: Vec::new(),
            blank: false,
            sound: true,
            holes: Holes::default(),
        });
    }
    if header.is_none()
        && footer.is_none()
        && let Blank::Yes { sound } = blank(&*file, len)?
    {
        // The prewritten spare, at every start: looked through in a small buffer, not kept.
        let before = SegmentId::default();
        let (bytes, holes) = (Vec::new(), Holes::default());
        return Ok(Seen { id, len, before, life: None, footer: None, bytes, blank: true, sound, holes });
    }
    let mut bytes = Vec::new();
    let holes = read_range(&*file, 0, len, &mut bytes)?;
    let blank = holes.is_empty() && is_blank(&bytes);
    let life = match (header, footer) {
        (_, Some(footer)) => Some((footer.stamp, footer.block_len, footer.base, true)),
        (Some(header), None) => Some((header.stamp, header.block_len, header.base, true)),
        (None, None) => first_batch(&bytes, id),
    };
    let life = life.map(|life| live(&bytes, life, footer));
    // Of the life that counts: a footer of another one tells more of the file than its header does.
    let told = header.filter(|header| life.is_some_and(|life| life.stamp == header.stamp));
    let before = told.map(|header| header.before).unwrap_or_default();
    Ok(Seen { id, len, before, life, footer, bytes, blank, sound: holes.is_empty(), holes })
}

/// Whether a file was ever written to.
enum Blank {
    No,
    Yes { sound: bool },
}

/// A file of zeros. Sectors that cannot be read are passed over where its begin can be read: header block and first batch go in one write, and
/// nothing in it was acknowledged before that write was durable.
fn blank(file: &dyn File, len: u64) -> Result<Blank, Error> {
    let mut block = vec![0; BLANK_LEN];
    let (mut at, mut sound) = (0, true);
    while at < len {
        let count = usize::try_from(len.saturating_sub(at)).unwrap_or(usize::MAX).min(BLANK_LEN);
        let part = block.get_mut(..count).unwrap_or_default();
        if read_patiently(file, part, at)?.is_none() {
            let mut pieces = Vec::new();
            read_range(file, at, at.saturating_add(count as u64), &mut pieces)?;
            let begin = HEADER_BLOCK_LEN.saturating_add(BEGIN_LEN);
            let begins = at > 0 || read_range(file, 0, begin.min(len), &mut Vec::new())?.is_empty();
            if !begins || !is_blank(&pieces) {
                return Ok(Blank::No);
            }
            sound = false;
        } else if !is_blank(part) {
            return Ok(Blank::No);
        }
        at = at.saturating_add(count as u64);
    }
    Ok(Blank::Yes { sound })
}

pub(super) fn header_of(file: &dyn File, id: SegmentId) -> Result<Option<SegmentHeader>, Error> {
    let mut block = Vec::new();
    read_range(file, 0, HEADER_BLOCK_LEN, &mut block)?;
    match SegmentHeader::decode(&block) {
        Ok(header) => Ok((header.stamp.segment == id && header.base > Lsn::NONE).then_some(header)),
        Err(HeaderFault::Unreadable) => Ok(None),
        Err(HeaderFault::Foreign) => Err(foreign(&segment_path(id).display().to_string())),
    }
}

pub(crate) fn footer_of(file: &dyn File, id: SegmentId, len: u64) -> Result<Option<SegmentFooter>, Error> {
    let mut block = Vec::new();
    read_range(file, len.saturating_sub(FOOTER_BLOCK_LEN), len, &mut block)?;
    Ok(SegmentFooter::decode(&block).filter(|footer| {
        footer.stamp.segment == id
            && footer.used >= HEADER_BLOCK_LEN
            && footer.used <= len.saturating_sub(FOOTER_BLOCK_LEN)
            && footer.base > Lsn::NONE
    }))
}

/// Both header copies are gone: any batch tells whose life this is.
fn first_batch(bytes: &[u8], id: SegmentId) -> Option<(SegmentStamp, u32, Lsn, bool)> {
    let begin = usize::try_from(HEADER_BLOCK_LEN).ok()?;
    (begin..bytes.len()).step_by(BLOCK_LEN_MIN).find_map(|at| {
        let header = BatchHeader::decode(bytes.get(at..)?)?;
        let here = usize_of(header.offset) == at && header.stamp.segment == id;
        // Where a batch has gone before it, at least one record has: that much is named as lost.
        let base = if at > begin { header.first.prev().max(Lsn::new(1)) } else { header.first };
        here.then_some((header.stamp, BLOCK_LEN_MIN as u32, base, at == begin))
    })
}

/// Walks once to learn what the batch headers prove.
fn live(
    bytes: &[u8],
    (stamp, block_len, base, base_known): (SegmentStamp, u32, Lsn, bool),
    footer: Option<SegmentFooter>,
) -> Life {
    let limit = (bytes.len() as u64).saturating_sub(FOOTER_BLOCK_LEN);
    let mut walk = Walk::new(stamp, block_len, base, limit);
    // A header is submitted when everything below its base is durable.
    let before = if base_known { base.prev() } else { Lsn::NONE };
    let mut life = Life {
        stamp,
        block_len,
        base,
        base_known,
        proves: before,
        proves_inside: Lsn::NONE,
        settles: before,
        first_whole: false,
        good: base.prev(),
        newest: base.prev(),
        reach: base.prev(),
    };
    // Batches met, those that the first write has, and the last LSN of the newest of them.
    let (mut batches, mut first_write, mut awaited) = (0u32, 1u32, Lsn::NONE);
    while let Some(item) = walk.next(bytes, 0) {
        match item {
            Item::Batch(header) => {
                batches = batches.saturating_add(1);
                life.settles = life.settles.max(life.proves_inside);
                life.proves = life.proves.max(header.proven);
                life.proves_inside = life.proves_inside.max(header.proven);
                if header.records > 0 {
                    life.reach = life.reach.max(header.last());
                }
                if batches == 1 && u64::from(header.offset) == HEADER_BLOCK_LEN {
                    first_write = header.more.saturating_add(1);
                }
                if batches <= first_write {
                    awaited = header.last();
                }
            }
            Item::Record(record, _) => {
                life.first_whole |= batches == first_write && record.lsn() == awaited;
                if record.lsn() == life.good.next() {
                    life.good = record.lsn();
                }
                life.newest = life.newest.max(record.lsn());
                life.reach = life.reach.max(record.lsn());
            }
            // Damage before the last record of the first write: it is not whole, whatever follows.
            Item::Damage { .. } => first_write = if life.first_whole { first_write } else { 0 },
        }
    }
    if let Some(footer) = footer {
        life.proves = life.proves.max(footer.last);
        life.proves_inside = life.proves_inside.max(footer.last);
        life.settles = life.settles.max(footer.last);
        life.first_whole = true;
        (life.newest, life.reach) = (life.newest.max(footer.last), life.reach.max(footer.last));
    }
    life
}

/// The whole file; how many bytes could not be read and stand as zeros.
pub(crate) fn read_whole(file: &dyn File, len: u64, bytes: &mut Vec<u8>) -> Result<u64, Error> {
    Ok(read_range(file, 0, len, bytes)?.len())
}

/// These bytes; those that could not be read stand as zeros.
pub(crate) fn read_range(file: &dyn File, from: u64, to: u64, bytes: &mut Vec<u8>) -> Result<Holes, Error> {
    let len = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
    bytes.clear();
    bytes.resize(len, 0);
    let mut holes = Holes::default();
    let mut at = from;
    for chunk in bytes.chunks_mut(READ_LEN) {
        if read_patiently(file, chunk, at)?.is_none() {
            // Pieces of the file and not of the chunk: wherever a reading begins, a bad sector costs the same bytes.
            let (mut rest, mut offset) = (&mut *chunk, at);
            while !rest.is_empty() {
                let into = usize::try_from(offset).unwrap_or(0) % PIECE_LEN;
                let (piece, behind) = rest.split_at_mut(rest.len().min(PIECE_LEN.saturating_sub(into)));
                if read_patiently(file, piece, offset)?.is_none() {
                    piece.fill(0);
                    holes.push(offset, piece.len() as u64);
                }
                offset = offset.saturating_add(piece.len() as u64);
                rest = behind;
            }
        }
        at = at.saturating_add(chunk.len() as u64);
    }
    Ok(holes)
}

/// Three tries; `None` when the disk cannot read these bytes.
fn read_patiently(file: &dyn File, buffer: &mut [u8], at: u64) -> Result<Option<()>, Error> {
    for _ in 0..3 {
        match crate::env::read_exact_at(file, buffer, at) {
            Ok(()) => return Ok(Some(())),
            Err(error) if error.is_storage_fault() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
