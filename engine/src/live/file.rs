//! Checkpoints of a fold: the registers, or the outbox of the tax service, up to a record, so that a start need not read the log
//! from its beginning.
//!
//! Shape: `DIR/registers/<LSN>.fold`, or `DIR/tax/<LSN>.outbox`, LSN in hex.
//!
//! ```text
//!  0 ┌────────┐ header (64): magic [8] │ crc32c of the rest u32 │ zeros u32 │ schema u64 │ LSN u64 │ mark of its record [16] │ zeros
//! 64 ├────────┤ piece: length u32 │ crc32c over LSN, number of the piece and bytes u32 │ bytes (registers/saved.rs)
//!    │ piece… │
//!    └────────┘ end: a piece of length 0
//! ```
//!
//! Everything in it can be made again from the log, so there is one version at a time: a file of another schema (which
//! names the shape, the INN of this operator and how many shifts are kept), of another log (the mark is a digest of the
//! record that it ends with) or with a wrong checksum is no checkpoint.
//!
//! Errors: `Corrupt` for what does not hold; of the system.

use std::io::Write;
use std::path::{Path, PathBuf};

use ofd_storage::env::{FileWriter, read_exact_at};
use ofd_storage::{Env, Error, ErrorKind, LogReader, Lsn, Position, list_lsns, lsn_path};

use crate::registers::Registers;
use crate::registers::saved::SHAPE;

/// A fold that checkpoints are made of.
pub(crate) trait Folded {
    /// Where its checkpoints lie.
    const DIR: &'static str;
    /// What they end with.
    const EXTENSION: &'static str;
    /// What they begin with.
    const MAGIC: [u8; 8];
    /// The last record that was folded.
    fn position(&self) -> Position;
    /// Hands out the state in pieces.
    fn save(&self, put: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error>;
    /// Takes a piece in; `None` when it is none.
    fn restore(&mut self, piece: &[u8]) -> Option<()>;
    /// All pieces are in, of a checkpoint up to here.
    fn restored(&mut self, position: Position);
}

impl Folded for Registers {
    const DIR: &'static str = "registers";
    const EXTENSION: &'static str = "fold";
    const MAGIC: [u8; 8] = *b"OFDregs\x01";
    fn position(&self) -> Position {
        Self::position(self)
    }
    fn save(&self, put: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        Self::save(self, put)
    }
    fn restore(&mut self, piece: &[u8]) -> Option<()> {
        Self::restore(self, piece)
    }
    fn restored(&mut self, position: Position) {
        Self::restored(self, position);
    }
}

const HEADER_LEN: usize = 64;
/// A piece is at most so long: a length field of a damaged file allocates no more.
const PIECE_LEN_MAX: u32 = 1 << 20;
/// So many of the newest are kept: the second is for a device that spoils the first.
const KEPT: usize = 2;

/// What a fold was told, and the shape of what it comes to.
pub(crate) fn schema_of(ours: Option<&str>, keep: usize) -> u64 {
    let text = format!("{SHAPE}; ours {ours:?}; keep {keep}");
    digest_of(&text)
}

pub(crate) fn digest_of(text: &str) -> u64 {
    blake3::hash(text.as_bytes()).as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn path_of<F: Folded>(through: Lsn) -> PathBuf {
    lsn_path(Path::new(F::DIR), through, F::EXTENSION)
}

/// The LSNs of the checkpoints that lie there, newest first.
fn list<F: Folded>(env: &dyn Env) -> Result<impl Iterator<Item = Lsn>, Error> {
    Ok(list_lsns(env, Path::new(F::DIR), F::EXTENSION)?.into_iter().rev())
}

/// What tells one record of a log from that of another; `None` when the log no longer holds it.
fn mark_of(reader: &LogReader, lsn: Lsn) -> Result<Option<[u8; 16]>, Error> {
    if !reader.holds(lsn) {
        return Ok(None);
    }
    let mut records = reader.records_from(Position::new(lsn.prev()), lsn);
    let Some((record, _)) = records.next()? else { return Ok(None) };
    let mut hasher = blake3::Hasher::new();
    hasher.update(&record.lsn().get().to_le_bytes());
    hasher.update(&record.received_at_us().to_le_bytes());
    hasher.update(&[record.kind().code()]);
    hasher.update(record.payload());
    Ok(hasher.finalize().as_bytes().first_chunk::<16>().copied())
}

/// The state of the newest checkpoint that fits the log and of which `fits` says so; `None`: fold from the beginning.
/// `empty` makes the state to fill.
///
/// # Errors
/// Of the system; what is damaged or fits another log or another fold is passed over. Those of `fits`.
pub(crate) fn newest<F: Folded>(
    env: &dyn Env,
    reader: &LogReader,
    schema: u64,
    empty: &dyn Fn() -> F,
    fits: &dyn Fn(Lsn) -> Result<bool, Error>,
) -> Result<Option<F>, Error> {
    for through in list::<F>(env)? {
        if !fits(through)? {
            continue;
        }
        match open(env, reader, through, schema, empty()) {
            Ok(Some(folded)) => return Ok(Some(folded)),
            Ok(None) => tracing::warn!(%through, "a checkpoint of another {} is passed over", F::EXTENSION),
            Err(error) if error.is_not_found() || error.kind() == ErrorKind::Corrupt => {
                tracing::warn!(%error, "a checkpoint ({}) is passed over", F::EXTENSION);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn open<F: Folded>(
    env: &dyn Env,
    reader: &LogReader,
    through: Lsn,
    schema: u64,
    mut registers: F,
) -> Result<Option<F>, Error> {
    // What lies between it and the first record of the log is not there any more.
    if through > reader.durable() || through.next() < reader.first() {
        return Ok(None);
    }
    let path = path_of::<F>(through);
    let damaged = |what: &str| Error::new(ErrorKind::Corrupt, format!("{}: {what}", path.display()));
    let file = env.open_read(&path)?;
    let mut header = [0; HEADER_LEN];
    read_exact_at(&*file, &mut header, 0)?;
    let expected = header_of::<F>(through, schema, mark_in(&header));
    if header != expected {
        let (magic, _) = header.split_at(F::MAGIC.len());
        let same = magic == F::MAGIC && header.get(16..24) != expected.get(16..24);
        return if same { Ok(None) } else { Err(damaged("the header does not hold")) };
    }
    if mark_of(reader, through)?.is_some_and(|mark| mark != mark_in(&header)) {
        return Ok(None);
    }
    let mut at = HEADER_LEN as u64;
    let mut piece = Vec::new();
    for number in 0.. {
        let mut head = [0; 8];
        read_exact_at(&*file, &mut head, at)?;
        let [l0, l1, l2, l3, c0, c1, c2, c3] = head;
        let (len, crc) = (u32::from_le_bytes([l0, l1, l2, l3]), u32::from_le_bytes([c0, c1, c2, c3]));
        if len > PIECE_LEN_MAX {
            return Err(damaged("a piece is too long"));
        }
        piece.resize(len as usize, 0);
        read_exact_at(&*file, &mut piece, at.saturating_add(8))?;
        if crc != crc_of(through, number, &piece) {
            return Err(damaged("a piece does not hold"));
        }
        if piece.is_empty() {
            break;
        }
        registers.restore(&piece).ok_or_else(|| damaged("a piece cannot be read"))?;
        at = at.saturating_add(8).saturating_add(u64::from(len));
    }
    registers.restored(Position::new(through));
    Ok(Some(registers))
}

/// Writes the checkpoint of what was folded, and removes those that are older than the newest two.
///
/// # Errors
/// Of the system; `Fix` when nothing was folded.
pub(crate) fn write<F: Folded>(
    env: &dyn Env,
    reader: &LogReader,
    schema: u64,
    registers: &F,
) -> Result<Lsn, Error> {
    let through = registers.position().lsn();
    let mark = mark_of(reader, through)?
        .ok_or_else(|| Error::new(ErrorKind::Fix, "a checkpoint of a record that has left the log"))?;
    env.create_dir_all(Path::new(F::DIR))?;
    let path = path_of::<F>(through);
    let beside = path.with_extension(format!("{}.tmp", F::EXTENSION));
    let mut writer = std::io::BufWriter::with_capacity(1 << 20, FileWriter::new(env.create(&beside)?));
    let failed = |error: std::io::Error| Error::io(format!("writing {}", path.display()), error);
    writer.write_all(&header_of::<F>(through, schema, mark)).map_err(failed)?;
    let mut number = 0;
    let mut put = |piece: &[u8]| -> Result<(), Error> {
        let len = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        writer.write_all(&len.to_le_bytes()).map_err(failed)?;
        writer.write_all(&crc_of(through, number, piece).to_le_bytes()).map_err(failed)?;
        number = number.wrapping_add(1);
        writer.write_all(piece).map_err(failed)
    };
    registers.save(&mut put)?;
    put(&[])?;
    let file = writer.into_inner().map_err(|error| failed(error.into_error()))?.into_file();
    file.sync_all()?;
    env.rename(&beside, &path)?;
    env.sync_dir(Path::new(F::DIR))?;
    for old in list::<F>(env)?.skip(KEPT) {
        env.remove(&path_of::<F>(old))?;
    }
    Ok(through)
}

/// Removes all checkpoints: the next begin folds everything. The newest go last, so that what is left after an error is none that is
/// newer than one that has gone.
///
/// # Errors
/// Of the system.
pub(crate) fn forget<F: Folded>(env: &dyn Env) -> Result<(), Error> {
    let all: Vec<Lsn> = list::<F>(env)?.collect();
    for through in all.iter().rev() {
        env.remove(&path_of::<F>(*through))?;
    }
    if all.is_empty() { Ok(()) } else { env.sync_dir(Path::new(F::DIR)) }
}

fn header_of<F: Folded>(through: Lsn, schema: u64, mark: [u8; 16]) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    let parts: [&[u8]; 3] = [&schema.to_le_bytes(), &through.get().to_le_bytes(), &mark];
    for (place, byte) in header.iter_mut().skip(16).zip(parts.into_iter().flatten()) {
        *place = *byte;
    }
    let crc = crc32c(header.get(12..).unwrap_or_default());
    let front = F::MAGIC.iter().copied().chain(crc.to_le_bytes());
    header.iter_mut().zip(front).for_each(|(place, byte)| *place = byte);
    header
}

fn mark_in(header: &[u8; HEADER_LEN]) -> [u8; 16] {
    header.get(32..).and_then(|rest| rest.first_chunk::<16>()).copied().unwrap_or_default()
}

fn crc32c(bytes: &[u8]) -> u32 {
    crc_of_parts(&[bytes])
}

fn crc_of(through: Lsn, number: u32, piece: &[u8]) -> u32 {
    crc_of_parts(&[&through.get().to_le_bytes(), &number.to_le_bytes(), piece])
}

pub(crate) fn crc_of_parts(parts: &[&[u8]]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    parts.iter().for_each(|part| digest.update(part));
    u32::try_from(digest.finalize()).unwrap_or(u32::MAX)
}
