//! Files of events: what the fold of the registers has told, kept so that a slow reader costs nobody anything.
//!
//! Shape: `DIR/events/<LSN>.events`, LSN in hex: the events of the records behind it, up to where the next file begins.
//!
//! ```text
//!  0 ┌────────┐ header (32): magic [8] │ crc32c of the rest u32 │ zeros u32 │ schema u64 │ LSN u64
//! 32 ├────────┤ frame: length u32 │ crc32c over LSN of the file, offset and bytes u32 │ LSN of the last event u64 │ events
//!    │ frame… │ all events of a record lie in one frame
//!    └────────┘ end: length 0 │ crc32c │ LSN of the last record whose events are here u64
//! ```
//!
//! A file is ended and synced before the checkpoint that ends where it does, and another one is begun. So a start from a
//! checkpoint removes the files that begin at it or behind, and the fold tells the same events again: the position of an
//! event is its record and its place in it, which never change. Everything here can be made again from the log and the
//! archive; a checkpoint without the events before it is none.
//!
//! Errors: `Corrupt` for what does not hold; of the system.

use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(feature = "parquet")]
use ofd_storage::Position;
use ofd_storage::env::{File, read_exact_at, write_all_at};
use ofd_storage::{Env, Error, ErrorKind, Lsn, list_lsns, lsn_path};

use super::file::{crc_of_parts, digest_of};
use crate::registers::Event;
use crate::registers::event_bytes::{EVENT_SHAPE, pack_event, unpack_event};
use crate::registers::pack::{Packer, Unpacker};

/// Where they lie.
const DIR: &str = "events";
/// What they end with.
const EXTENSION: &str = "events";
const MAGIC: [u8; 8] = *b"OFDevts\x01";
const HEADER_LEN: usize = 32;
const FRAME_HEAD_LEN: usize = 16;
/// A frame is at most so long: a length field of a damaged file allocates no more.
const FRAME_LEN_MAX: u32 = 64 << 20;
/// Events of a frame, and those of its last record.
const FRAME_EVENTS: usize = 4_096;

/// A place in the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file that begins behind this LSN.
    pub(crate) file: Lsn,
    /// Byte in it.
    pub(crate) at: u64,
}

fn path_of(begin: Lsn) -> PathBuf {
    lsn_path(Path::new(DIR), begin, EXTENSION)
}

/// Where the files begin, oldest first.
pub(crate) fn list(env: &dyn Env) -> Result<Vec<Lsn>, Error> {
    list_lsns(env, Path::new(DIR), EXTENSION)
}

fn header_of(begin: Lsn, schema: u64) -> [u8; HEADER_LEN] {
    let (schema, begin) = (schema.to_le_bytes(), begin.get().to_le_bytes());
    let crc = crc_of_parts(&[&[0; 4], &schema, &begin]).to_le_bytes();
    let parts: [&[u8]; 5] = [&MAGIC, &crc, &[0; 4], &schema, &begin];
    let mut header = [0; HEADER_LEN];
    header.iter_mut().zip(parts.into_iter().flatten()).for_each(|(place, byte)| *place = *byte);
    header
}

fn crc_at(begin: Lsn, at: u64, last: Lsn, bytes: &[u8]) -> u32 {
    crc_of_parts(&[&begin.get().to_le_bytes(), &at.to_le_bytes(), &last.get().to_le_bytes(), bytes])
}

/// What the events of this fold look like.
pub(crate) fn schema_of(fold: u64) -> u64 {
    digest_of(&format!("{EVENT_SHAPE}; fold {fold}"))
}

/// The file that is written.
pub(crate) struct EventWriter {
    file: Arc<dyn File>,
    place: Place,
    schema: u64,
    scratch: Packer,
}

impl EventWriter {
    /// Goes on behind the record with this LSN: what was written of later ones is removed.
    ///
    /// # Errors
    /// Of the system.
    pub(crate) fn begin(env: &dyn Env, begin: Lsn, schema: u64) -> Result<Self, Error> {
        env.create_dir_all(Path::new(DIR))?;
        for later in list(env)?.into_iter().filter(|it| *it >= begin).rev() {
            env.remove(&path_of(later))?;
        }
        let file = env.create(&path_of(begin))?;
        write_all_at(&*file, &[&header_of(begin, schema)], 0)?;
        let place = Place { file: begin, at: HEADER_LEN as u64 };
        Ok(Self { file, place, schema, scratch: Packer::default() })
    }

    /// Behind what was written.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// Writes the events of whole records. After an error the same call may be made again.
    ///
    /// # Errors
    /// Of the system.
    pub(crate) fn put(&mut self, events: &[Event]) -> Result<(), Error> {
        for events in frames_of(events) {
            let Some(last) = events.last().map(|it| it.position.lsn()) else { continue };
            self.scratch.0.clear();
            let mut before = self.place.file;
            for event in events {
                pack_event(event, before, &mut self.scratch);
                before = event.position.lsn();
            }
            self.frame(last)?;
        }
        Ok(())
    }

    /// What stands in the scratch.
    fn frame(&mut self, last: Lsn) -> Result<(), Error> {
        let Place { file: begin, at } = self.place;
        let bytes = &self.scratch.0;
        let len = u32::try_from(bytes.len()).ok().filter(|len| *len <= FRAME_LEN_MAX);
        let len = len.ok_or_else(|| Error::new(ErrorKind::Fix, "too many events of one record"))?;
        let crc = crc_at(begin, at, last, bytes);
        let parts: [&[u8]; 4] = [&len.to_le_bytes(), &crc.to_le_bytes(), &last.get().to_le_bytes(), bytes];
        write_all_at(&*self.file, &parts, at)?;
        self.place.at = at.saturating_add(FRAME_HEAD_LEN as u64).saturating_add(u64::from(len));
        Ok(())
    }

    /// Ends the file with the record of this LSN, makes it durable and begins the next one. After an error only
    /// [`EventWriter::begin`] goes on: a file whose sync has failed is not synced again.
    ///
    /// # Errors
    /// Of the system.
    pub(crate) fn end(&mut self, env: &dyn Env, last: Lsn) -> Result<(), Error> {
        if last == self.place.file {
            return Ok(());
        }
        self.scratch.0.clear();
        self.frame(last)?;
        self.file.sync_all()?;
        env.sync_dir(Path::new(DIR))?;
        *self = Self::begin(env, last, self.schema)?;
        Ok(())
    }
}

/// Some events at a time, never those of one record apart: a disk that took nothing for long has left many.
fn frames_of(events: &[Event]) -> impl Iterator<Item = &[Event]> {
    let mut rest = events;
    std::iter::from_fn(move || {
        let at = rest.get(FRAME_EVENTS.checked_sub(1)?).or(rest.last())?.position;
        let (frame, behind) = rest.split_at(rest.partition_point(|it| it.position <= at));
        rest = behind;
        Some(frame)
    })
}

/// Reads files of events, frame by frame.
pub(crate) struct EventReader {
    file: Arc<dyn File>,
    place: Place,
    bytes: Vec<u8>,
}

/// What stands at a place.
pub(crate) enum Frame {
    /// Events up to the record with this LSN.
    Events(Lsn),
    /// The file ends with the record of this LSN; the next one begins there.
    End(Lsn),
}

impl EventReader {
    /// At the begin of a file.
    ///
    /// # Errors
    /// Of the system, `is_not_found` where it is not there; `Corrupt` when it does not hold or is of another fold.
    pub(crate) fn open(env: &dyn Env, begin: Lsn, schema: u64) -> Result<Self, Error> {
        let path = path_of(begin);
        let file = env.open_read(&path)?;
        let mut header = [0; HEADER_LEN];
        read_exact_at(&*file, &mut header, 0)?;
        if header != header_of(begin, schema) {
            let text = format!("{}: the header does not hold", path.display());
            return Err(Error::new(ErrorKind::Corrupt, text));
        }
        Ok(Self { file, place: Place { file: begin, at: HEADER_LEN as u64 }, bytes: Vec::new() })
    }

    /// Where the next frame is.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// The next frame, which has to be there.
    ///
    /// # Errors
    /// `Corrupt` when it does not hold; of the system.
    pub(crate) fn next(&mut self) -> Result<Frame, Error> {
        let Place { file: begin, at } = self.place;
        let mut head = [0; FRAME_HEAD_LEN];
        read_exact_at(&*self.file, &mut head, at)?;
        let [l0, l1, l2, l3, c0, c1, c2, c3, last @ ..] = head;
        let (len, crc) = (u32::from_le_bytes([l0, l1, l2, l3]), u32::from_le_bytes([c0, c1, c2, c3]));
        let last = Lsn::new(u64::from_le_bytes(last));
        let behind = at.saturating_add(FRAME_HEAD_LEN as u64);
        if len <= FRAME_LEN_MAX {
            self.bytes.resize(len as usize, 0);
            read_exact_at(&*self.file, &mut self.bytes, behind)?;
            if crc == crc_at(begin, at, last, &self.bytes) {
                self.place.at = behind.saturating_add(u64::from(len));
                return Ok(if len == 0 { Frame::End(last) } else { Frame::Events(last) });
            }
        }
        let text = format!("{}: the frame at byte {at} does not hold", path_of(begin).display());
        Err(Error::new(ErrorKind::Corrupt, text))
    }

    /// The events of the frame that was read last.
    ///
    /// # Errors
    /// `Corrupt` when they cannot be read.
    pub(crate) fn events(&self) -> Result<Vec<Event>, Error> {
        let mut from = Unpacker(&self.bytes);
        let mut before = self.place.file;
        let mut events = Vec::new();
        while !from.is_empty() {
            let event = unpack_event(before, &mut from).ok_or_else(|| {
                let text = format!("{}: an event cannot be read", path_of(self.place.file).display());
                Error::new(ErrorKind::Corrupt, text)
            })?;
            before = event.position.lsn();
            events.push(event);
        }
        Ok(events)
    }
}

/// Removes the files of which every event is of a record up to and with `through`; how many.
///
/// # Errors
/// Of the system.
#[cfg(feature = "parquet")]
pub(crate) fn remove_through(env: &dyn Env, through: Lsn) -> Result<usize, Error> {
    let files = list(env)?;
    let behind = files.iter().skip(1);
    let gone: Vec<_> =
        files.iter().zip(behind).filter(|(_, next)| **next <= through).map(|(it, _)| *it).collect();
    gone.iter().try_for_each(|it| env.remove(&path_of(*it)))?;
    if !gone.is_empty() {
        env.sync_dir(Path::new(DIR))?;
    }
    Ok(gone.len())
}

/// Hands the events behind `before` of all records up to and with `through`, which have to be there, to `each`.
///
/// # Errors
/// Of the system, `is_not_found` where a file is not there; `Corrupt` when one does not hold or is of another fold.
#[cfg(feature = "parquet")]
pub(crate) fn between(
    env: &dyn Env,
    before: Position,
    through: Lsn,
    schema: u64,
    each: &mut dyn FnMut(Event),
) -> Result<(), Error> {
    if before.lsn() >= through {
        return Ok(());
    }
    let Some(mut begin) = list(env)?.into_iter().rfind(|it| *it <= before.lsn()) else {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!("the events behind {before} are not there any more"),
        ));
    };
    while begin < through {
        let mut reader = EventReader::open(env, begin, schema)?;
        begin = loop {
            match reader.next()? {
                Frame::Events(last) if last <= before.lsn() => {}
                Frame::Events(_) => {
                    let new = |it: &Event| it.position > before && it.position.lsn() <= through;
                    reader.events()?.into_iter().filter(new).for_each(&mut *each);
                }
                Frame::End(last) => break last,
            }
        };
    }
    Ok(())
}

/// Whether the events of all records up to and with this one are there, as far as the newest file before it tells.
///
/// # Errors
/// Of the system.
pub(crate) fn reach(env: &dyn Env, through: Lsn, schema: u64) -> Result<bool, Error> {
    if through == Lsn::NONE {
        return Ok(true);
    }
    let Some(begin) = list(env)?.into_iter().rfind(|it| *it < through) else { return Ok(false) };
    let walk = || -> Result<bool, Error> {
        let mut reader = EventReader::open(env, begin, schema)?;
        loop {
            if let Frame::End(last) = reader.next()? {
                return Ok(last == through);
            }
        }
    };
    match walk() {
        Err(error) if error.is_not_found() || error.kind() == ErrorKind::Corrupt => {
            tracing::warn!(%error, "a file of events is passed over");
            Ok(false)
        }
        other => other,
    }
}
