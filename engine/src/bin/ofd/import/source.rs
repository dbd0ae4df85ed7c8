//! Where imported documents come from: files of pieces, and Parquet of an engine.
//!
//! A register's document and the operator's answer to it stand near each other in an archive of sessions: documents wait for
//! their answers in a window of [`WINDOW`], and what finds none by then has none.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ofd_engine::codec::{
    Channel, DocumentView, DriveNumber, FfdVersion, Form, Frame, MESSAGE_SIGN_STAND_IN, Message, Piece,
    SESSION_HEADER_LEN, SessionHeader, forms::Typed,
};
use ofd_engine::storage::columns::Table;
use ofd_engine::storage::columns::restore::each_restored;
use ofd_engine::storage::envelope::{CryptoVerdict, Envelope};
use ofd_engine::storage::{Env, RealEnv, RecordKind};
use ofd_engine::{Imported, OriginalAnswer};

use super::signoff::Facts;
use crate::failure::{Exit, Failure};
use crate::input::{Found, Input};

/// Documents that wait for an answer at most.
const WINDOW: usize = 4_096;
/// The code of a record that was never answered.
const NEVER_ANSWERED: u8 = 0xFF;
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
            Err(error) => {
                // A whole frame whose document cannot be opened is kept as one over the wire would be.
                return match sealed(found.bytes, place) {
                    Some(document) => {
                        self.flush(0, each)?;
                        each(Sourced::Document(Box::new(document)))
                    }
                    None => each(Sourced::Damaged(format!("{}: {error}", found.place))),
                };
            }
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
            Ok((message, bare, drive, number)) => {
                let imported = Imported {
                    message,
                    bare,
                    plain: None,
                    crypto: CryptoVerdict::Unverified,
                    answer: OriginalAnswer::UNKNOWN,
                };
                let facts = Facts::of(drive, &view);
                self.waiting.push_back((Box::new(Document { imported, facts, place }), drive, number));
                if self.waiting.len() > 2 * WINDOW { self.flush(WINDOW, each) } else { Ok(()) }
            }
            Err(what) => each(Sourced::Damaged(format!("{place}: {what}"))),
        }
    }

    /// Gives an answer to the document it is for. False: there is none near.
    fn answer(&mut self, piece: &Piece<'_>) -> bool {
        let view = piece.document();
        let Ok(Typed::Confirmation(confirmation)) = view.typed(piece.version()) else { return false };
        let header = view.header();
        let code = confirmation.message().and_then(|it| it.answer()).map_or(0, |code| code.0);
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

/// A session message whose container nobody can open here.
fn sealed(bytes: &[u8], place: String) -> Option<Document> {
    let frame = Frame::new_checked(bytes).ok()?;
    let drive = frame.header().drive_number().ok()?;
    let container = frame.container();
    if frame.header().channel() != Channel::Operator || container.kind() != FROM_REGISTER {
        return None;
    }
    let imported = Imported {
        message: Bytes::copy_from_slice(bytes),
        bare: false,
        plain: None,
        crypto: CryptoVerdict::Unverified,
        answer: OriginalAnswer { code: None, ..OriginalAnswer::UNKNOWN },
    };
    Some(Document { imported, facts: Facts::unread(drive), place })
}

/// The piece as a session message, whether its header is ours, and whose it is.
fn whole(piece: &Piece<'_>) -> Result<(Bytes, bool, DriveNumber, u32), String> {
    let view = piece.document();
    let header = view.header();
    match piece {
        Piece::Message(frame, _) => {
            let drive = frame.header().drive_number().map_err(|error| error.to_string())?;
            Ok((Bytes::copy_from_slice(frame.bytes()), false, drive, frame.container().number()))
        }
        Piece::Container(container, _) => {
            let drive = DriveNumber::from_bcd(container.drive_bcd()).map_err(|error| error.to_string())?;
            let message = around(container.bytes(), drive, piece.version())?;
            Ok((message, true, drive, container.number()))
        }
        Piece::RawData(_) | Piece::Document(_) => {
            let drive = header.drive.ok_or("no drive number (1041)")?;
            let number = header.number.ok_or("no document number (1040)")?.0;
            let mut message =
                Message::from_register(p_version(piece.version()), drive, number, view.form(), view.bytes());
            message.trailer = Message::trailer_of(piece.message_sign().unwrap_or(MESSAGE_SIGN_STAND_IN));
            if let Piece::RawData(raw) = piece
                && let Some(service) = raw.service()
                && let Some(prefix) = service.bytes().get(16..26).and_then(|it| it.first_chunk())
            {
                message.service2_prefix = *prefix;
            }
            let mut bytes = Vec::new();
            message.encode_into(&mut bytes).map_err(|error| error.to_string())?;
            Ok((bytes.into(), true, drive, number))
        }
    }
}

/// P-version as registers of this version send it.
fn p_version(version: FfdVersion) -> [u8; 2] {
    match version {
        FfdVersion::V1_0 => [0, 2],
        FfdVersion::V1_05 => [1, 5],
        FfdVersion::V1_1 => [1, 0x10],
        FfdVersion::V1_2 => [1, 0x20],
    }
}

/// A session header of ours before a container.
fn around(container: &[u8], drive: DriveNumber, version: FfdVersion) -> Result<Bytes, String> {
    let mut usual = Vec::new();
    Message::from_register(p_version(version), drive, 1, Form::RECEIPT, &[])
        .encode_into(&mut usual)
        .map_err(|error| error.to_string())?;
    let head = usual.first_chunk::<SESSION_HEADER_LEN>().ok_or("no header")?;
    let mut header = SessionHeader::decode(head).map_err(|error| error.to_string())?;
    header.body_len = u16::try_from(container.len()).map_err(|_| "the container is too long")?;
    Ok([&header.encode(), container].concat().into())
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

fn restored_document(path: &Path, stored: &ofd_engine::storage::columns::Stored) -> Sourced {
    let place = format!("{}: position {}", path.display(), stored.position);
    let envelope = match Envelope::decode_flagged(stored.flags, &stored.payload) {
        Ok(envelope) => envelope,
        Err(error) => return Sourced::Damaged(format!("{place}: {error}")),
    };
    let Ok(drive) = DriveNumber::from_wire(&envelope.drive) else {
        return Sourced::Damaged(format!("{place}: no drive number"));
    };
    let bare = envelope.session == [0; 30];
    let view = DocumentView::new_checked(envelope.plain).ok();
    let message = if bare {
        let version = view.map_or(FfdVersion::V1_0, |it| FfdVersion::of_document(&it.header(), None, [0, 0]));
        around(envelope.container, drive, version)
    } else {
        Ok([&envelope.session, envelope.container].concat().into())
    };
    let message: Bytes = match message {
        Ok(message) => message,
        Err(what) => return Sourced::Damaged(format!("{place}: {what}")),
    };
    // The body of a plain container is the document; what was deciphered has to come along.
    let opened = Frame::new_checked(&message).ok().is_none_or(|it| it.container().body() != envelope.plain);
    let plain = (opened && !envelope.plain.is_empty()).then(|| Bytes::copy_from_slice(envelope.plain));
    let imported = Imported {
        bare,
        plain,
        crypto: envelope.crypto,
        answer: OriginalAnswer {
            code: (stored.answer_code != NEVER_ANSWERED).then_some(stored.answer_code),
            operator_time: envelope.operator_time,
            answered_at_us: match envelope.answered_at_us {
                0 => stored.received_at_us,
                at => at,
            },
        },
        message,
    };
    let facts = view.map_or(Facts::unread(drive), |view| Facts::of(drive, &view));
    Sourced::Document(Box::new(Document { imported, facts, place }))
}
