//! How the index over sealed segments reads our records, and what a start makes of it.
//!
//! A document is found by drive and number; its flags hold what the fold of a lane needs (`lane.rs`). What is no
//! document becomes a note: a quarantined frame by its identity, a cursor by its name, a command by its place.

use ofd_codec::{DocumentView, DriveNumber, FfdVersion, Form};
use ofd_storage::envelope::{CryptoVerdict, Envelope};
use ofd_storage::{Note, RecordKind, RecordRef, SideEntry, SideFact, SideSchema};

use crate::cursor::decode_cursor;
use crate::examine::{content_digest, registered_version};
use crate::lane::{Answered, Fact};
use crate::lanes::{QuarantineKey, begins_generation, stored_code};
use crate::registers::LaneSeed;

/// The reading. Its name changes with whatever changes the facts.
pub(crate) const SCHEMA: SideSchema = SideSchema { name: "ofd-engine v1", extract };

/// Low bits: the version that a document registers its drive with, as the value of 1209; 0 = none.
const REGISTERS: u16 = 0b0111;
/// The document may begin a generation.
const MAY_BEGIN: u16 = 0b1000;

const CURSOR: u8 = b'c';
const QUARANTINE: u8 = b'q';
const COMMAND: u8 = b'k';

/// What a start wants to know of a record that is no document.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    Cursor(Vec<u8>),
    Quarantine(QuarantineKey, Answered),
    Command(Vec<u8>),
}

/// A stored document as a lane folds it.
pub(crate) fn fact_of(record: &RecordRef<'_>, envelope: &Envelope<'_>) -> Fact {
    let [.., major, minor] = *envelope.session.first_chunk::<8>().unwrap_or(&[0; 8]);
    let form = Form(envelope.form);
    // Hardly any document registers its drive: the others are not looked into.
    let registers = matches!(form, Form::REGISTRATION | Form::REREGISTRATION);
    let view = registers.then(|| DocumentView::new_checked(envelope.plain).ok()).flatten();
    Fact {
        lsn: record.lsn(),
        number: envelope.number,
        may_begin: envelope.variant == 0 && begins_generation(envelope.realm, envelope.number, form),
        registers: view.and_then(|view| registered_version(&view, [major, minor])),
    }
}

/// The same from an index.
pub(crate) fn fact_in(entry: &SideEntry) -> Fact {
    let code = entry.flags & REGISTERS;
    let registers = u8::try_from(code).ok().filter(|code| *code > 0).and_then(FfdVersion::from_code);
    Fact { lsn: entry.lsn, number: entry.number, may_begin: entry.flags & MAY_BEGIN != 0, registers }
}

fn extract(record: &RecordRef<'_>) -> Option<SideFact> {
    let note = |key: Vec<u8>, value: Vec<u8>, stays| {
        Some(SideFact::Note { rank: record.lsn().get(), key, value, stays })
    };
    match record.kind() {
        RecordKind::Document => {
            let envelope = Envelope::of(record).ok()?;
            let drive = DriveNumber::from_wire(&envelope.drive).ok()?.to_bcd_u64();
            let fact = fact_of(record, &envelope);
            let header = DocumentView::new_checked(envelope.plain).ok().map(|view| view.header());
            let sign = header.and_then(|header| header.sign).map_or(0, |sign| sign.printed());
            let time = header.and_then(|header| header.date_time).map_or(0, |time| time.0);
            let registers = fact.registers.map_or(0, |version| u16::from(version.code()));
            let flags = registers | if fact.may_begin { MAY_BEGIN } else { 0 };
            Some(SideFact::Document { drive, number: fact.number, sign, time, flags })
        }
        RecordKind::Quarantine => {
            let envelope = Envelope::of(record).ok()?;
            let key = quarantine_key(&envelope)?;
            let mut bytes = vec![QUARANTINE, u8::from(key.forged)];
            bytes.extend_from_slice(&key.drive.to_be_bytes());
            bytes.extend_from_slice(&key.digest.to_be_bytes());
            let mut value = vec![record.answer_code()];
            value.extend_from_slice(&envelope.operator_time.to_le_bytes());
            note(bytes, value, false)
        }
        RecordKind::Cursor => {
            let (name, position) = decode_cursor(record.plain_payload().ok()?)?;
            let key = [&[CURSOR], name.as_bytes()].concat();
            let (rank, value) = (position.lsn().get(), record.payload().to_vec());
            Some(SideFact::Note { rank, key, value, stays: true })
        }
        // Lane seeds are many and none of a start's business: the registers keep them.
        RecordKind::Command if LaneSeed::is_payload(record.payload()) => None,
        RecordKind::Command => {
            let key = [&[COMMAND], record.lsn().get().to_be_bytes().as_slice()].concat();
            note(key, record.payload().to_vec(), true)
        }
        RecordKind::Tick | RecordKind::Status | RecordKind::Unknown(_) => None,
    }
}

/// Who sent a quarantined frame, what was wrong with it, and its container.
pub(crate) fn quarantine_key(envelope: &Envelope<'_>) -> Option<QuarantineKey> {
    Some(QuarantineKey {
        drive: DriveNumber::from_wire(&envelope.drive).ok()?.to_bcd_u64(),
        forged: envelope.crypto == CryptoVerdict::Forged,
        digest: content_digest(envelope.container),
    })
}

/// Reads a note of ours.
pub(crate) fn noted(note: &Note) -> Option<Noted> {
    match note.key.split_first()? {
        (&CURSOR, _) => Some(Noted::Cursor(note.value.clone())),
        (&COMMAND, _) => Some(Noted::Command(note.value.clone())),
        (&QUARANTINE, key) => {
            let (forged, key) = key.split_first()?;
            let (drive, key) = key.split_first_chunk::<8>()?;
            let digest = u128::from_be_bytes(*key.first_chunk::<16>()?);
            let (code, time) = note.value.split_first()?;
            let key = QuarantineKey { drive: u64::from_be_bytes(*drive), forged: *forged == 1, digest };
            let answered = Answered {
                lsn: ofd_storage::Lsn::new(note.lsn),
                code: stored_code(*code),
                operator_time: u32::from_le_bytes(*time.first_chunk::<4>()?),
            };
            Some(Noted::Quarantine(key, answered))
        }
        _ => None,
    }
}
