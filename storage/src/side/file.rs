//! One index file: the documents of some segments in a row, sorted by drive and number.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use rkyv::{Archive, Deserialize, Serialize};
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::filter::Filter;
use super::{INDEX_DIR, Note, SideEntry};
use crate::env::Env;
use crate::error::{Error, ErrorKind};
use crate::format::ChainHash;
use crate::numbers::Numbers;
use crate::position::{Location, Lsn, SegmentId};
use crate::reader::{Damage, SealedSegment};
use crate::rows::{PageBuffer, ROW_LEN, Row, RowFile, RowWriter};

/// What the rkyv part of these files looks like; another text, another schema.
const SCHEMA: &str =
    "side v1: marks(segment base last used chain) numbers fences(drive number) filter notes damage";

/// A document as it lies in a file. Segments by their place among the marks, LSNs by distance from the first.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RowBytes {
    drive: U64,
    number: U32,
    lsn: U32,
    offset: U32,
    sign: U32,
    time: U32,
    segment: U16,
    flags: U16,
}
const _: () = assert!(size_of::<RowBytes>() == ROW_LEN);

/// A segment that the file covers, as its footer tells it.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) segment: u32,
    pub(super) base: u64,
    pub(super) last: u64,
    pub(super) used: u64,
    pub(super) chain: ChainHash,
}

impl Mark {
    pub(super) fn of(sealed: &SealedSegment) -> Self {
        Self {
            segment: sealed.id.get(),
            base: sealed.base.get(),
            last: sealed.last.get(),
            used: sealed.used,
            chain: sealed.chain,
        }
    }
}

/// First key of a page.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fence {
    drive: u64,
    number: u32,
}

/// A hole in a segment.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
struct Hole {
    segment: u32,
    from: u32,
    to: u32,
    first: u64,
    last: u64,
}

/// Everything of a file but its rows.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default)]
struct Directory {
    marks: Vec<Mark>,
    received_at_us: i64,
    partition_seq: Vec<u64>,
    lost_before: Vec<u64>,
    lost: u64,
    fences: Vec<Fence>,
    filter: Filter,
    notes: Vec<Note>,
    holes: Vec<Hole>,
}

/// An index file, open.
pub(super) struct IndexFile {
    file: RowFile,
    directory: Directory,
}

/// What a file will say besides its rows.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    pub(super) marks: Vec<Mark>,
    pub(super) numbers: Numbers,
    pub(super) notes: Vec<Note>,
    pub(super) damage: Vec<Damage>,
}

/// Path of the file over these segments.
pub(super) fn file_path(first: SegmentId, last: SegmentId) -> PathBuf {
    Path::new(INDEX_DIR).join(format!("{first}-{last}.idx"))
}

/// First and last segment of a file by its name.
pub(super) fn segments_of(name: &str) -> Option<(SegmentId, SegmentId)> {
    let (first, last) = name.strip_suffix(".idx")?.split_once('-')?;
    let id = |digits: &str| {
        let right = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        right.then(|| u32::from_str_radix(digits, 16).ok().map(SegmentId::new)).flatten()
    };
    Some((id(first)?, id(last)?))
}

/// The schema number of a host's files: a change of either text makes all of them unreadable, and they are made anew.
pub(super) fn schema_of(host: &str) -> u64 {
    let hash =
        blake3::Hasher::new().update(SCHEMA.as_bytes()).update(b"\0").update(host.as_bytes()).finalize();
    hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Writes a file; entries come sorted by drive, number and LSN.
pub(super) fn write(
    env: &dyn Env,
    schema: u64,
    head: Head,
    rows_max: u64,
    entries: &mut dyn FnMut() -> Result<Option<SideEntry>, Error>,
) -> Result<IndexFile, Error> {
    let (Some(first), Some(last)) = (head.marks.first(), head.marks.last()) else {
        return Err(Error::new(ErrorKind::Fix, "an index file over no segment"));
    };
    let path = file_path(SegmentId::new(first.segment), SegmentId::new(last.segment));
    let base = first.base;
    let mut writer = RowWriter::create(env, &path)?;
    let (mut filter, mut fences) = (Filter::with_room(rows_max), Vec::new());
    while let Some(entry) = entries()? {
        let segment = head
            .marks
            .binary_search_by_key(&entry.location.segment.get(), |mark| mark.segment)
            .ok()
            .and_then(|at| u16::try_from(at).ok());
        let lsn = u32::try_from(entry.lsn.get().saturating_sub(base)).ok();
        let (Some(segment), Some(lsn)) = (segment, lsn) else {
            return Err(Error::new(ErrorKind::Fix, "an index entry outside of its segments"));
        };
        let row = RowBytes {
            drive: U64::new(entry.drive),
            number: U32::new(entry.number),
            lsn: U32::new(lsn),
            offset: U32::new(entry.location.offset),
            sign: U32::new(entry.sign),
            time: U32::new(entry.time),
            segment: U16::new(segment),
            flags: U16::new(entry.flags),
        };
        let mut bytes: Row = [0; ROW_LEN];
        bytes.copy_from_slice(row.as_bytes());
        if writer.push(&bytes)? {
            fences.push(Fence { drive: entry.drive, number: entry.number });
        }
        filter.add(entry.drive, entry.number);
    }
    let holes = head.damage.iter().map(|damage| Hole {
        segment: damage.segment.get(),
        from: damage.from,
        to: damage.to,
        first: damage.first.get(),
        last: damage.last.get(),
    });
    let directory = Directory {
        received_at_us: head.numbers.received_at_us,
        partition_seq: head.numbers.partition_seq.to_vec(),
        lost_before: head.numbers.lost_before.to_vec(),
        lost: head.numbers.lost,
        fences,
        filter,
        notes: head.notes,
        holes: holes.collect(),
        marks: head.marks,
    };
    let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&directory)
        .map_err(|error| Error::new(ErrorKind::Fix, format!("{}: {error}", path.display())))?;
    writer.finish(schema, &bytes)?;
    IndexFile::open(env, &path, schema)
}

impl IndexFile {
    /// Opens a file; its pages are checked when they are read.
    ///
    /// # Errors
    /// `Corrupt` when it is none of ours or damaged.
    pub(super) fn open(env: &dyn Env, path: &Path, schema: u64) -> Result<Self, Error> {
        let (file, bytes) = RowFile::open(env, path, schema)?;
        let directory = rkyv::from_bytes::<Directory, rkyv::rancor::Error>(&bytes)
            .map_err(|error| Error::new(ErrorKind::Corrupt, format!("{}: {error}", path.display())))?;
        let whole = !directory.marks.is_empty()
            && directory.fences.len() as u64 == u64::from(file.pages())
            && directory.partition_seq.len() == usize::from(crate::record::PARTITIONS)
            && directory.lost_before.len() == usize::from(crate::record::PARTITIONS);
        if !whole {
            return Err(Error::new(ErrorKind::Corrupt, format!("{}: not whole", path.display())));
        }
        Ok(Self { file, directory })
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    pub(super) fn rows(&self) -> u64 {
        self.file.rows()
    }

    pub(super) fn marks(&self) -> &[Mark] {
        &self.directory.marks
    }

    pub(super) fn notes(&self) -> &[Note] {
        &self.directory.notes
    }

    pub(super) fn base(&self) -> Lsn {
        Lsn::new(self.directory.marks.first().map_or(0, |mark| mark.base))
    }

    pub(super) fn last(&self) -> Lsn {
        Lsn::new(self.directory.marks.last().map_or(0, |mark| mark.last))
    }

    pub(super) fn last_segment(&self) -> SegmentId {
        SegmentId::new(self.directory.marks.last().map_or(0, |mark| mark.segment))
    }

    /// The numbers behind its last segment.
    pub(super) fn numbers(&self) -> Numbers {
        let mut numbers = Numbers {
            received_at_us: self.directory.received_at_us,
            lost: self.directory.lost,
            ..Numbers::default()
        };
        let pairs = [
            (&mut numbers.partition_seq, &self.directory.partition_seq),
            (&mut numbers.lost_before, &self.directory.lost_before),
        ];
        for (to, from) in pairs {
            for (to, from) in to.iter_mut().zip(from) {
                *to = *from;
            }
        }
        numbers
    }

    pub(super) fn damage(&self) -> impl Iterator<Item = Damage> + '_ {
        self.directory.holes.iter().map(|hole| Damage {
            segment: SegmentId::new(hole.segment),
            from: hole.from,
            to: hole.to,
            first: Lsn::new(hole.first),
            last: Lsn::new(hole.last),
        })
    }

    fn entry(&self, row: &Row) -> Option<SideEntry> {
        let row = RowBytes::ref_from_bytes(row).ok()?;
        let mark = self.directory.marks.get(usize::from(row.segment.get()))?;
        let segment = SegmentId::new(mark.segment);
        Some(SideEntry {
            drive: row.drive.get(),
            number: row.number.get(),
            lsn: Lsn::new(self.base().get().saturating_add(u64::from(row.lsn.get()))),
            location: Location { segment, offset: row.offset.get() },
            sign: row.sign.get(),
            time: row.time.get(),
            flags: row.flags.get(),
        })
    }

    /// The documents of a drive with these numbers, by number, oldest first.
    pub(super) fn get(
        &self,
        drive: u64,
        numbers: &RangeInclusive<u32>,
        found: &mut Vec<SideEntry>,
    ) -> Result<(), Error> {
        let (first, last) = (*numbers.start(), *numbers.end());
        if first == last && !self.directory.filter.may_hold(drive, first) {
            return Ok(());
        }
        self.range(Fence { drive, number: first }, Fence { drive, number: last }, found)
    }

    /// What lies between two keys, both included.
    fn range(&self, from: Fence, to: Fence, found: &mut Vec<SideEntry>) -> Result<(), Error> {
        let fences = &self.directory.fences;
        // The page before the first fence that is not below the key may hold it already.
        let first = fences.partition_point(|fence| *fence < from).saturating_sub(1);
        let mut buffer = PageBuffer::default();
        for (at, fence) in fences.iter().enumerate().skip(first) {
            if *fence > to {
                break;
            }
            let rows = self.file.page(u32::try_from(at).unwrap_or(u32::MAX), &mut buffer)?;
            let key = |row: &Row| match RowBytes::ref_from_bytes(row) {
                Ok(row) => Fence { drive: row.drive.get(), number: row.number.get() },
                Err(_) => to,
            };
            let begin = rows.partition_point(|row| key(row) < from);
            let inside = rows.iter().skip(begin).take_while(|row| key(row) <= to);
            found.extend(inside.filter_map(|row| self.entry(row)));
        }
        Ok(())
    }

    /// All its documents in order.
    pub(super) fn entries(&self) -> Entries<'_> {
        Entries { file: self, rows: self.file.iter() }
    }
}

/// All documents of a file by drive, number and LSN.
pub(super) struct Entries<'r> {
    file: &'r IndexFile,
    rows: crate::rows::Rows<'r>,
}

impl Entries<'_> {
    pub(super) fn next(&mut self) -> Result<Option<SideEntry>, Error> {
        Ok(self.rows.next()?.and_then(|row| self.file.entry(&row)))
    }
}
