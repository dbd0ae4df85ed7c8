//! Where imported documents come from: files of pieces, and Parquet of an engine.
//!
//! A register's document and the operator's answer to it stand near each other in an archive of sessions: documents wait for
//! their answers in a window of [`WINDOW`], and what finds none by then has none.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ofd_engine::codec::{
    Channel, DriveNumber, Form, Frame, MESSAGE_SIGN_STAND_IN, Message, Piece, forms::Typed,
};
use ofd_engine::storage::columns::restore::each_restored;
use ofd_engine::storage::columns::{Stored, Table};
use ofd_engine::storage::{Env, RealEnv, RecordKind};
use ofd_engine::{Imported, OriginalAnswer};

use super::signoff::Facts;
use crate::failure::{Exit, Failure};
use crate::input::{Found, Input};

/// Documents that wait for an answer at most.
const WINDOW: usize = 4_096;
/// What a container is: sent by a register.
const FROM_REGISTER: u8 = 0xA5;

/// A document with what the sign-off says of it.
pub(crate) struct Document {
    pub(crate) imported: Imported,
    pub(crate) facts: Facts,
    /// Where it stands, for a complaint.
    pub(crate) place: String,
}

/// What was found.
pub(crate) enum Sourced {
    Document(Box<Document>),
    /// An answer of the operator; `alone`: to no document near it.
    Answer {
        alone: bool,
    },
    /// Something that is no fiscal document of a register, as the marking channel's.
    Skipped,
    /// Cannot be read; in words.
    Damaged(String),
}

type Each<'e> = dyn FnMut(Sourced) -> Result<(), Failure> + 'e;

/// One file.
pub(crate) struct Source {
    path: PathBuf,
    pub(crate) len: u64,
    hex: bool,
    zone_us: i64,
}

impl Source {
    /// All files, folders opened up, in order of their names.
    pub(crate) fn find(files: &[PathBuf], hex: bool, zone_min: i16) -> Result<Vec<Self>, Failure> {
        let mut found = Vec::new();
        for file in files {
            find_into(file, true, &mut found)?;
        }
        let zone_us = i64::from(zone_min) * 60_000_000;
        Ok(found.into_iter().map(|(path, len)| Self { path, len, hex, zone_us }).collect())
    }

    /// Hands over what is in it.
    pub(crate) fn each(self, each: &mut Each<'_>) -> Result<(), Failure> {
        if self.path.extension().is_some_and(|it| it == "parquet") {
            return each_row(&self.path, each);
        }
        let mut window = Window { waiting: VecDeque::new(), zone_us: self.zone_us };
        Input::open(Some(&self.path))?.each(self.hex, &mut |found| window.take(&found, each))?;
        window.flush(0, each)
    }
}

fn find_into(path: &Path, named: bool, found: &mut Vec<(PathBuf, u64)>) -> Result<(), Failure> {
    let failed = |error| Failure::io(path.display(), &error);
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if metadata.is_file() {
        // In a folder of ours only what holds documents or quarantined frames; a file that is named is meant.
        let table = path.ancestors().nth(2).and_then(Path::file_name).and_then(|it| it.to_str());
        let parquet = path.extension().is_some_and(|it| it == "parquet");
        if named || !parquet || matches!(table, Some("containers" | "records")) {
            found.push((path.to_owned(), metadata.len()));
        }
        return Ok(());
    }
    let entries = std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(failed)?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|it| it.path()).collect();
    paths.sort();
    // Where Spark and its kin keep their notes.
    let hidden = |it: &PathBuf| {
        it.file_name().is_some_and(|name| {
            name.as_encoded_bytes().starts_with(b"_") || name.as_encoded_bytes().starts_with(b".")
        })
    };
    paths.iter().filter(|it| !hidden(it)).try_for_each(|it| find_into(it, false, found))
}

/// Documents that wait for their answers.
struct Window {
    waiting: VecDeque<(Box<Document>, DriveNumber, u32)>,
    zone_us: i64,
}

impl Window {
    fn take(&mut self, found: &Found<'_>, each: &mut Each<'_>) -> Result<(), Failure> {
        let place = format!("{}: offset {}", found.place, found.offset);
        let piece = match &found.piece {
            Ok(piece) => piece,
            // A whole frame whose document cannot be opened is kept as one over the wire would be.
            Err(error) => match sealed(found.bytes) {
                Some((imported, drive, number)) => {
                    return self.put(
                        Document { imported, facts: Facts::unread(drive), place },
                        (drive, number),
                        each,
                    );
                }
                None => return each(Sourced::Damaged(format!("{}: {error}", found.place))),
            },
        };
        let view = piece.document();
        if view.form() == Form::CONFIRMATION {
            let alone = !self.answer(piece);
            return each(Sourced::Answer { alone });
        }
        let to_operator = match piece {
            Piece::Message(frame, _) => frame.header().channel() == Channel::Operator,
            _ => true,
        };
        if view.form().is_marking() || !to_operator {
            return each(Sourced::Skipped);
        }
        match whole(piece) {
            Ok((imported, drive, number)) => {
                self.put(Document { imported, facts: Facts::of(drive, &view), place }, (drive, number), each)
            }
            Err(what) => each(Sourced::Damaged(format!("{place}: {what}"))),
        }
    }

    fn put(
        &mut self,
        document: Document,
        (drive, number): (DriveNumber, u32),
        each: &mut Each<'_>,
    ) -> Result<(), Failure> {
        self.waiting.push_back((Box::new(document), drive, number));
        if self.waiting.len() > 2 * WINDOW { self.flush(WINDOW, each) } else { Ok(()) }
    }

    /// Gives an answer to the document it is for. False: there is none near.
    fn answer(&mut self, piece: &Piece<'_>) -> bool {
        let view = piece.document();
        let Ok(Typed::Confirmation(confirmation)) = view.typed(piece.version()) else { return false };
        let header = view.header();
        let code = confirmation.answer().0;
        let (Some(drive), Some(number)) = (header.drive, header.number) else { return false };
        let waiting = self.waiting.iter_mut().rev().find(|(_, of, it)| *of == drive && *it == number.0);
        let Some((document, ..)) = waiting else { return false };
        let operator_time = header.date_time.map_or(0, |it| it.0);
        let answered_at_us = match operator_time {
            0 => 0,
            local => i64::from(local).saturating_mul(1_000_000).saturating_sub(self.zone_us),
        };
        document.imported.answer = OriginalAnswer { code: Some(code), operator_time, answered_at_us };
        true
    }

    /// Lets go of the oldest until so many are left.
    fn flush(&mut self, left: usize, each: &mut Each<'_>) -> Result<(), Failure> {
        while self.waiting.len() > left {
            let Some((document, ..)) = self.waiting.pop_front() else { break };
            each(Sourced::Document(document))?;
        }
        Ok(())
    }
}

/// What is imported, of which drive, and under which number.
type Whose = (Imported, DriveNumber, u32);

/// A session message whose container nobody can open here.
fn sealed(bytes: &[u8]) -> Option<Whose> {
    let frame = Frame::new_checked(bytes).ok()?;
    let drive = frame.header().drive_number().ok()?;
    let container = frame.container();
    if frame.header().channel() != Channel::Operator || container.kind() != FROM_REGISTER {
        return None;
    }
    let never = OriginalAnswer { code: None, ..OriginalAnswer::UNKNOWN };
    Some((Imported::of_message(Bytes::copy_from_slice(bytes), never), drive, container.number()))
}

/// The piece as a session message, under a header of ours where it has none.
fn whole(piece: &Piece<'_>) -> Result<Whose, String> {
    let view = piece.document();
    let header = view.header();
    let answer = OriginalAnswer::UNKNOWN;
    match piece {
        Piece::Message(frame, _) => {
            let drive = frame.header().drive_number().map_err(|error| error.to_string())?;
            let imported = Imported::of_message(Bytes::copy_from_slice(frame.bytes()), answer);
            Ok((imported, drive, frame.container().number()))
        }
        Piece::Container(container, _) => {
            let drive = DriveNumber::from_bcd(container.drive_bcd()).map_err(|error| error.to_string())?;
            let imported = Imported::of_container(container.bytes(), &drive, piece.version(), answer)
                .map_err(|error| error.to_string())?;
            Ok((imported, drive, container.number()))
        }
        Piece::RawData(_) | Piece::Document(_) => {
            let drive = header.drive.ok_or("no drive number (1041)")?;
            let number = header.number.ok_or("no document number (1040)")?.0;
            let p_version = piece.version().p_version();
            let mut message = Message::from_register(p_version, drive, number, view.form(), view.bytes());
            message.trailer = Message::trailer_of(piece.message_sign().unwrap_or(MESSAGE_SIGN_STAND_IN));
            if let Piece::RawData(raw) = piece
                && let Some(service) = raw.service()
                && let Some(prefix) = service.bytes().get(16..26).and_then(|it| it.first_chunk())
            {
                message.service2_prefix = *prefix;
            }
            let mut bytes = Vec::new();
            message.encode_into(&mut bytes).map_err(|error| error.to_string())?;
            let imported = Imported { bare: true, ..Imported::of_message(bytes.into(), answer) };
            Ok((imported, drive, number))
        }
    }
}

/// Rows of `containers` and `records` of an engine's archive.
fn each_row(path: &Path, each: &mut Each<'_>) -> Result<(), Failure> {
    let absolute = std::path::absolute(path).map_err(|error| Failure::io(path.display(), &error))?;
    let (Some(folder), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(Failure::new(Exit::Usage, format!("{}: no file", path.display())));
    };
    let env: Arc<dyn Env> = Arc::new(RealEnv::new(folder));
    let records = folder.parent().and_then(Path::file_name).is_some_and(|it| it == "records");
    let table = if records { Table::Records } else { Table::Containers };
    // An error of ours on its way through the reader of the file.
    let mut failed = None;
    let read = each_restored(&*env, Path::new(name), table, |restored| {
        let sourced = match restored.kind {
            RecordKind::Document | RecordKind::Quarantine => restored_document(path, &restored.stored),
            _ => Sourced::Skipped,
        };
        each(sourced).map_err(|failure| {
            let text = failure.to_string();
            failed = Some(failure);
            ofd_engine::storage::Error::new(ofd_engine::storage::ErrorKind::Retry, text)
        })
    });
    match (failed, read) {
        (Some(failure), _) => Err(failure),
        (None, Ok(_)) => Ok(()),
        (None, Err(error)) => each(Sourced::Damaged(format!("{}: {error}", path.display()))),
    }
}

fn restored_document(path: &Path, stored: &Stored) -> Sourced {
    let place = format!("{}: position {}", path.display(), stored.position);
    match Imported::of_stored(stored) {
        Ok(imported) => {
            let Some(facts) = Facts::of_imported(&imported) else {
                return Sourced::Damaged(format!("{place}: no whole frame"));
            };
            Sourced::Document(Box::new(Document { imported, facts, place }))
        }
        Err(error) => Sourced::Damaged(format!("{place}: {error}")),
    }
}
