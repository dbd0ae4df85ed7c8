//! Re-reads everything that lies still, a little at a time, so that rot is found while there may be another copy.
//!
//! ```text
//! DIR/scrub ─▶ sealed segments by number, each here and in the mirror ─▶ files of the archive by name ─▶ the pass is done, the next one in its time
//!    ▲ how far it came, after each of them ◀──────────────────────────────────┘
//! ```
//!
//! - A machine that is asked to `step`: a step reads a mebibyte at most and says when the next is due. It knows no thread
//!   and no clock of its own, and never touches the writer: it reads sealed segments and published files only.
//! - The rate is what re-reads everything within the days of a pass, but never less than 1 MiB/s: a segment has to come to
//!   its end before the process does.
//! - It reads the disk and not the memory: before each piece the system is asked to forget what it holds of it.
//! - By `pread`, since a sector that cannot be read is what it is there to find.
//! - What is found is told once a pass, and given to the caller, who may know another copy: nothing is mended here.
//!
//! Shape of `DIR/scrub`: one line, `ofd-scrub 1 <pass> <started, unix µs> <segment> <table/date/name or -> <crc32c, hex>`.
//! A file that does not hold is no loss: the pass begins anew.
//!
//! Unit: bytes, microseconds.
//!
//! Invariants, with the test that holds each:
//! - a flipped bit in a sealed segment is found and named: `tests/scrub.rs`, `rot_is_found_and_named`;
//! - so is one in the mirror's copy: `tests/mirror.rs`, `rot_of_the_mirror_is_found_and_mended`;
//! - the rate holds: `tests/scrub.rs`, `the_rate_holds_on_the_clock`;
//! - a restart goes on where it was: `tests/scrub.rs`, `a_restart_goes_on_behind_what_was_read`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::segment_path;
use crate::env::{Env, File, Now, read_file, replace_file};
use crate::error::{Error, ErrorKind};
use crate::format::{CHAIN_BLOCK_LEN, ChainHash, SegmentFooter, chain_block};
use crate::position::SegmentId;
use crate::reader::{Damage, LogReader, SegmentScan};
use crate::recover::footer_of;

/// Where it is kept how far the pass came.
const MARK_PATH: &str = "scrub";
/// Longest mark, bytes.
const MARK_LEN_MAX: u64 = 4096;
/// Bytes of a step.
const PIECE_LEN: usize = 1 << 20;
/// Slowest rate, bytes a second.
const RATE_MIN: u64 = 1 << 20;
/// Findings that a report keeps; the number counts all of them.
const FINDINGS_MAX: usize = 100;
const MICROS: u64 = 1_000_000;

/// How it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrubOptions {
    /// Time in which everything is read once, seconds. Default 30 days.
    pub pass_s: u64,
    /// Bytes a second; `None`, the default: as many as the pass asks for, 1 MiB/s at least.
    pub rate: Option<u64>,
    /// Do not wait for the time of the next pass, and keep no mark: for one reading by hand.
    pub once: bool,
}

impl Default for ScrubOptions {
    fn default() -> Self {
        Self { pass_s: 30 * 86_400, rate: None, once: false }
    }
}

/// Something that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScrubFinding {
    /// The segment, if it is one.
    pub segment: Option<SegmentId>,
    /// It is the mirror's copy of the segment; the local one is whole.
    pub copy: bool,
    /// The records that are lost of it, with their bytes. Of a copy they are not told.
    pub damaged: Vec<Damage>,
    /// In words, with the path.
    pub what: String,
}

/// What a pass came to so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Passes are counted from 1.
    pub pass: u64,
    /// Segments read.
    pub segments: u64,
    /// Files of the archive read.
    pub files: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Segments and files in which something is wrong.
    pub damaged: u64,
    /// The first hundred of them.
    pub findings: Vec<ScrubFinding>,
}

/// What to do after a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScrubStep {
    /// Step again at this time of the monotonic clock, µs.
    Wait(u64),
    /// Something was found; step again at once.
    Found(ScrubFinding),
    /// Everything was read once. Step again at once.
    Done(ScrubReport),
}

/// The machine.
pub struct Scrub {
    env: Arc<dyn Env>,
    reader: LogReader,
    options: ScrubOptions,
    mark: Mark,
    doing: Option<Doing>,
    /// Of the pass: bytes a second.
    rate: u64,
    due_us: u64,
    report: ScrubReport,
    buffer: Vec<u8>,
}

/// How far a pass came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Mark {
    pass: u64,
    started_us: i64,
    segment: SegmentId,
    /// The last file that was read; empty while segments are.
    file: String,
}

/// A file of the archive as its manifest names it.
struct Published {
    path: PathBuf,
    len: u64,
    blake3: String,
}

enum Doing {
    Segment(Box<SegmentScan>, SegmentId),
    /// The mirror's copy of a segment whose local one is whole.
    Copy {
        id: SegmentId,
        file: Arc<dyn File>,
        footer: Box<SegmentFooter>,
        chain: ChainHash,
        at: u64,
    },
    File {
        published: Published,
        file: Arc<dyn File>,
        hasher: Box<blake3::Hasher>,
        at: u64,
    },
}

impl Mark {
    fn encode(&self) -> String {
        let file = if self.file.is_empty() { "-" } else { &self.file };
        let text = format!("ofd-scrub 1 {} {} {} {file}", self.pass, self.started_us, self.segment.get());
        let crc = crc_fast::crc32_iscsi(text.as_bytes());
        format!("{text} {crc:08x}\n")
    }

    fn decode(text: &str) -> Option<Self> {
        let (text, crc) = text.strip_suffix('\n')?.rsplit_once(' ')?;
        if u32::from_str_radix(crc, 16).ok()? != crc_fast::crc32_iscsi(text.as_bytes()) {
            return None;
        }
        let mut words = text.strip_prefix("ofd-scrub 1 ")?.splitn(4, ' ');
        Some(Self {
            pass: words.next()?.parse().ok()?,
            started_us: words.next()?.parse().ok()?,
            segment: SegmentId::new(words.next()?.parse().ok()?),
            file: words.next().filter(|file| *file != "-").unwrap_or_default().to_owned(),
        })
    }
}

impl Scrub {
    /// Goes on where the last one was.
    pub fn new(env: Arc<dyn Env>, reader: LogReader, options: ScrubOptions) -> Self {
        let mark = if options.once {
            None
        } else {
            let bytes = read_file(&*env, Path::new(MARK_PATH), MARK_LEN_MAX).ok();
            bytes.and_then(|bytes| String::from_utf8(bytes).ok()).and_then(|text| Mark::decode(&text))
        };
        let mark = mark.unwrap_or_default();
        let report = ScrubReport { pass: mark.pass, ..ScrubReport::default() };
        Self { env, reader, options, mark, doing: None, rate: 0, due_us: 0, report, buffer: Vec::new() }
    }

    /// What the pass came to so far; of one that goes on after a restart only what was read since.
    pub fn report(&self) -> &ScrubReport {
        &self.report
    }

    /// Reads a mebibyte, if it is time.
    ///
    /// # Errors
    /// When the manifest cannot be read, or the mark not be written. What is damaged is no error.
    pub fn step(&mut self, now: Now) -> Result<ScrubStep, Error> {
        if now.mono_us < self.due_us {
            return Ok(ScrubStep::Wait(self.due_us));
        }
        if self.mark.pass == 0 {
            self.begin_pass(now)?;
        } else if self.rate == 0 {
            self.rate = self.rate_of_pass()?;
        }
        let Some(doing) = self.doing.take() else { return self.take_next(now) };
        match doing {
            Doing::Segment(mut scan, id) => {
                let before = scan.bytes();
                let more = match scan.step() {
                    Ok(more) => more,
                    Err(error) => return self.passed_over(now, &Item::Segment(id), &error),
                };
                self.read(now, scan.bytes().saturating_sub(before));
                if more {
                    self.doing = Some(Doing::Segment(scan, id));
                    return Ok(ScrubStep::Wait(self.due_us));
                }
                self.report.segments = self.report.segments.saturating_add(1);
                let found = match scan.finish() {
                    Ok(check) if check.ok() => match self.copy_of(id) {
                        Ok(None) => None,
                        Ok(Some(copy)) => {
                            self.doing = Some(copy);
                            return Ok(ScrubStep::Wait(self.due_us));
                        }
                        Err(error) => Some(of_copy(id, &error)),
                    },
                    Ok(check) => {
                        let places = check.damaged.iter().map(Damage::to_string);
                        let words: Vec<String> = places.chain(check.wrong).chain(check.seal).collect();
                        let what = format!("log/{id}.seg: {}", words.join("; "));
                        Some(ScrubFinding { segment: Some(id), copy: false, damaged: check.damaged, what })
                    }
                    Err(error) => return self.passed_over(now, &Item::Segment(id), &error),
                };
                self.finished(&Item::Segment(id), found)
            }
            Doing::Copy { id, file, footer, chain, at } => {
                let left = footer.used.saturating_sub(at);
                let len = CHAIN_BLOCK_LEN.min(usize::try_from(left).unwrap_or(CHAIN_BLOCK_LEN));
                self.buffer.resize(len, 0);
                file.let_go(at, len as u64);
                if let Err(error) = crate::env::read_exact_at(&*file, &mut self.buffer, at) {
                    return self.finished(&Item::Segment(id), Some(of_copy(id, &error)));
                }
                let chain = chain_block(&chain, &self.buffer);
                self.read(now, len as u64);
                let at = at.saturating_add(len as u64);
                if at < footer.used {
                    self.doing = Some(Doing::Copy { id, file, footer, chain, at });
                    return Ok(ScrubStep::Wait(self.due_us));
                }
                let differs = Error::new(ErrorKind::Corrupt, "not the bytes that were sealed");
                let found = (chain != footer.chain).then(|| of_copy(id, &differs));
                self.finished(&Item::Segment(id), found)
            }
            Doing::File { published, file, mut hasher, at } => {
                self.buffer.resize(PIECE_LEN, 0);
                let len =
                    PIECE_LEN.min(usize::try_from(published.len.saturating_sub(at)).unwrap_or(PIECE_LEN));
                file.let_go(at, len as u64);
                let piece = self.buffer.get_mut(..len).unwrap_or_default();
                if let Err(error) = crate::env::read_exact_at(&*file, piece, at) {
                    let item = Item::File(published);
                    return self.passed_over(now, &item, &error);
                }
                hasher.update(piece);
                self.read(now, len as u64);
                let at = at.saturating_add(len as u64);
                if at < published.len {
                    self.doing = Some(Doing::File { published, file, hasher, at });
                    return Ok(ScrubStep::Wait(self.due_us));
                }
                self.report.files = self.report.files.saturating_add(1);
                let same = hasher.finalize().to_hex().as_str() == published.blake3;
                let item = Item::File(published);
                if same {
                    return self.finished(&item, None);
                }
                // Retention may have put another file in its place since the manifest was read.
                self.passed_over(
                    now,
                    &item,
                    &Error::new(ErrorKind::Corrupt, "not the bytes that were published"),
                )
            }
        }
    }

    /// The mirror's copy of a segment, if there is a sealed one. A mirror seals in its own time, and what it lacks a start brings.
    fn copy_of(&self, id: SegmentId) -> Result<Option<Doing>, Error> {
        let Some(mirror) = self.env.mirror() else { return Ok(None) };
        let file = match mirror.env.open_read(&segment_path(id)) {
            Ok(file) => file,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let segment = self.reader.sealed_segments().into_iter().find(|segment| segment.id == id);
        let Some(segment) = segment.filter(|segment| segment.footer) else { return Ok(None) };
        let Some(footer) = footer_of(&*file, id, file.len()?)? else { return Ok(None) };
        if footer.chain != segment.chain {
            return Err(Error::new(ErrorKind::Corrupt, "its seal is another one than the local segment's"));
        }
        let (footer, chain) = (Box::new(footer), footer.chain_before);
        Ok(Some(Doing::Copy { id, file, footer, chain, at: 0 }))
    }

    fn begin_pass(&mut self, now: Now) -> Result<(), Error> {
        self.mark =
            Mark { pass: self.report.pass.saturating_add(1), started_us: now.wall_us, ..Mark::default() };
        self.report = ScrubReport { pass: self.mark.pass, ..ScrubReport::default() };
        self.rate = self.rate_of_pass()?;
        self.keep_mark()
    }

    /// What re-reads everything in the time of a pass.
    fn rate_of_pass(&self) -> Result<u64, Error> {
        if let Some(rate) = self.options.rate {
            return Ok(rate.max(1));
        }
        let segments = self.reader.sealed_segments();
        let copies = if self.env.mirror().is_some() { 2 } else { 1 };
        let log = segments.iter().fold(0_u64, |sum, segment| sum.saturating_add(segment.used));
        let log = log.saturating_mul(copies);
        let archive = published(&self.env)?;
        let all = archive.iter().fold(log, |sum, file| sum.saturating_add(file.len));
        Ok(all.checked_div(self.options.pass_s).unwrap_or(u64::MAX).max(RATE_MIN))
    }

    /// So many bytes were read: the next step waits for as long as the rate says.
    fn read(&mut self, now: Now, bytes: u64) {
        self.report.bytes = self.report.bytes.saturating_add(bytes);
        let pause = u128::from(bytes).saturating_mul(u128::from(MICROS)) / u128::from(self.rate.max(1));
        // A step that comes late makes up for nothing: no burst after a stall.
        self.due_us = now.mono_us.saturating_add(u64::try_from(pause).unwrap_or(u64::MAX));
    }

    /// Begins with the next segment or file, or ends the pass.
    fn take_next(&mut self, now: Now) -> Result<ScrubStep, Error> {
        let behind = self.mark.segment;
        let in_files = !self.mark.file.is_empty();
        let next = self.reader.sealed_segments().into_iter().find(|segment| !in_files && segment.id > behind);
        if let Some(segment) = next {
            match self.reader.scan_segment(segment.id, true) {
                Ok(scan) => self.doing = Some(Doing::Segment(Box::new(scan.from_disk()), segment.id)),
                Err(error) => return self.passed_over(now, &Item::Segment(segment.id), &error),
            }
            return Ok(ScrubStep::Wait(now.mono_us));
        }
        let next = published(&self.env)?.into_iter().find(|file| name_of(&file.path) > self.mark.file);
        let Some(published) = next else { return self.end_pass(now) };
        match open(&*self.env, &published.path).and_then(|file| Ok((file.len()?, file))) {
            Ok((len, file)) if len == published.len => {
                self.doing = Some(Doing::File { published, file, hasher: Box::default(), at: 0 });
                Ok(ScrubStep::Wait(now.mono_us))
            }
            Ok((len, _)) => {
                let error = Error::new(ErrorKind::Corrupt, format!("{len} bytes of {}", published.len));
                self.passed_over(now, &Item::File(published), &error)
            }
            Err(error) => self.passed_over(now, &Item::File(published), &error),
        }
    }

    fn end_pass(&mut self, now: Now) -> Result<ScrubStep, Error> {
        let pass_us = i64::try_from(self.options.pass_s.saturating_mul(MICROS)).unwrap_or(i64::MAX);
        let next_us = self.mark.started_us.saturating_add(pass_us);
        // A clock that was set back does not make it wait for longer than a pass takes.
        let wait = next_us.saturating_sub(now.wall_us).clamp(0, pass_us);
        self.due_us = if self.options.once {
            u64::MAX
        } else {
            now.mono_us.saturating_add(u64::try_from(wait).unwrap_or_default())
        };
        self.mark.pass = 0;
        Ok(ScrubStep::Done(self.report.clone()))
    }

    /// What cannot be read is a finding, unless it has gone in the meantime: segments and files do, once they are
    /// merged, dropped, erased or replaced.
    fn passed_over(&mut self, now: Now, item: &Item, error: &Error) -> Result<ScrubStep, Error> {
        let gone = match item {
            Item::Segment(id) => self.reader.sealed_segments().iter().all(|segment| segment.id != *id),
            Item::File(file) => {
                published(&self.env)?.iter().all(|it| (&it.path, &it.blake3) != (&file.path, &file.blake3))
            }
        };
        self.read(now, 0);
        let (segment, path) = match item {
            Item::Segment(id) => (Some(*id), format!("log/{id}.seg")),
            Item::File(file) => (None, file.path.display().to_string()),
        };
        let finding =
            ScrubFinding { segment, copy: false, damaged: Vec::new(), what: format!("{path}: {error}") };
        self.finished(item, (!gone).then_some(finding))
    }

    fn finished(&mut self, item: &Item, found: Option<ScrubFinding>) -> Result<ScrubStep, Error> {
        match item {
            Item::Segment(id) => self.mark.segment = *id,
            Item::File(file) => self.mark.file = name_of(&file.path),
        }
        self.keep_mark()?;
        let Some(finding) = found else { return Ok(ScrubStep::Wait(self.due_us)) };
        tracing::error!(what = finding.what, "alarm: scrubbing has found damage");
        self.report.damaged = self.report.damaged.saturating_add(1);
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(finding.clone());
        }
        Ok(ScrubStep::Found(finding))
    }

    fn keep_mark(&self) -> Result<(), Error> {
        if self.options.once {
            return Ok(());
        }
        replace_file(&*self.env, Path::new(MARK_PATH), self.mark.encode().as_bytes())
    }
}

fn of_copy(id: SegmentId, error: &Error) -> ScrubFinding {
    let what = format!("log/{id}.seg of the mirror: {error}");
    ScrubFinding { segment: Some(id), copy: true, damaged: Vec::new(), what }
}

enum Item {
    Segment(SegmentId),
    File(Published),
}

/// The name that files are read in the order of. Names of the archive hold no space.
fn name_of(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(feature = "columns")]
use crate::columns::read::open_published as open;

#[cfg(not(feature = "columns"))]
fn open(env: &dyn Env, path: &Path) -> Result<Arc<dyn File>, Error> {
    env.open_read(path)
}

/// The files of the archive, by name.
#[cfg(feature = "columns")]
fn published(env: &Arc<dyn Env>) -> Result<Vec<Published>, Error> {
    if env.store().is_some() {
        // An object store looks after its objects by itself, and what leaves it is paid for.
        return Ok(Vec::new());
    }
    let archive = crate::manifest::Archive::open(env)?;
    // Of a run that is being replaced each file is the old one or the new one: it is read when that is over.
    let settled = archive.runs().iter().filter(|run| archive.replacing(run).is_none());
    let files = settled.flat_map(|run| &run.files);
    let mut files: Vec<Published> = files
        .map(|file| Published { path: file.path(), len: file.bytes, blake3: file.blake3.clone() })
        .collect();
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

#[cfg(not(feature = "columns"))]
#[expect(clippy::unnecessary_wraps, reason = "with columns, a manifest is read")]
fn published(_env: &Arc<dyn Env>) -> Result<Vec<Published>, Error> {
    Ok(Vec::new())
}
