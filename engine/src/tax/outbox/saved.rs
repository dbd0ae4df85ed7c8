//! The outbox as bytes: what a checkpoint holds. Numbers are little-endian; a piece is one byte that says of what, then rows
//! one after another.
//!
//! What is on its way is saved as waiting: its receipt stands behind the checkpoint in the log, or was never told.

use ofd_storage::status::{StatusEvent, StatusKind, StatusOf, decode, encode};

use ofd_storage::{Error, Lsn, Position};

use super::super::account::{Account, DayCounts, Remark, Settled, Totals};
use super::{Again, Ahead, Aside, Document, Entry, Outbox, Stage};
use crate::live::file::Folded;

/// Names the shape: a checkpoint of another one is none.
pub(crate) const SHAPE: &str = "tax outbox 3";

const HEAD: u8 = 1;
const WINDOW: u8 = 2;
const LANES: u8 = 3;
const AHEAD: u8 = 4;
const AGAIN: u8 = 5;
const ACCOUNTS: u8 = 6;
const REMARKS: u8 = 7;
const DAYS: u8 = 8;
const FORGOTTEN: u8 = 9;
/// A piece is closed when it is so long.
const PIECE_LEN: usize = 256 * 1024;

impl Folded for Outbox {
    const DIR: &'static str = "tax";
    const EXTENSION: &'static str = "outbox";
    const MAGIC: [u8; 8] = *b"OFDtaxs\x01";
    fn position(&self) -> Position {
        Position::new(Lsn::new(self.told))
    }
    fn save(&self, put: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        self.save_in_pieces(put)
    }
    fn restore(&mut self, piece: &[u8]) -> Option<()> {
        self.take_piece(piece)
    }
    fn restored(&mut self, _position: Position) {
        self.pieces_taken();
    }
}

impl Outbox {
    /// Hands out the state in pieces.
    pub(crate) fn save_in_pieces<E>(&self, put: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut out = Pieces { put, piece: Vec::new() };
        out.row(HEAD, |w| {
            w.u64(self.told);
            w.aside(self.behind);
            w.bool(self.paused);
            let Totals { stored, sent, resent, settled } = self.totals;
            let Settled { accepted, warned, quarantined, refused, given_up } = settled;
            for count in [stored, sent, resent, accepted, warned, quarantined, refused, given_up] {
                w.u64(count);
            }
        })?;
        for entry in self.window.values() {
            out.row(WINDOW, |w| {
                let Document { position, drive, number, received_at_us, len, .. } = entry.document;
                w.u64(position);
                w.u64(drive);
                w.u32(number);
                w.u64(received_at_us.cast_unsigned());
                w.u32(len);
                w.u32(entry.attempt);
                w.u8(entry.prior.map_or(0, StatusKind::code));
                w.option(match entry.stage {
                    Stage::Sent { at_us } => Some(at_us.cast_unsigned()),
                    Stage::Waiting | Stage::Sending => None,
                });
                w.texts(&entry.ids);
            })?;
        }
        for (drive, lane) in self.lanes.iter().filter(|(_, lane)| lane.paused || lane.aside.is_some()) {
            out.row(LANES, |w| {
                w.u64(*drive);
                w.bool(lane.paused);
                w.aside(lane.aside);
            })?;
        }
        for (position, ahead) in &self.ahead {
            out.row(AHEAD, |w| {
                w.u64(*position);
                let none = Vec::new();
                let (at_us, attempt, ids) = match ahead {
                    Ahead::Final => (None, 0, &none),
                    Ahead::Sent { at_us, attempt, ids } => (Some(at_us.cast_unsigned()), *attempt, ids),
                };
                w.option(at_us);
                w.u32(attempt);
                w.texts(ids);
            })?;
        }
        for again in &self.again {
            out.row(AGAIN, |w| {
                w.u64(again.position);
                w.u64(again.drive);
                w.u32(again.numbers.0);
                w.u32(again.numbers.1);
                w.u64(again.cursor);
                w.u32(u32::try_from(again.done.len()).unwrap_or(u32::MAX));
                again.done.iter().for_each(|position| w.u64(*position));
            })?;
        }
        for (drive, account) in &self.accounts {
            out.row(ACCOUNTS, |w| {
                w.u64(*drive);
                let Account { stored, settled } = *account;
                let Settled { accepted, warned, quarantined, refused, given_up } = settled;
                for count in [stored, accepted, warned, quarantined, refused, given_up] {
                    w.u32(count);
                }
            })?;
        }
        for ((drive, number), remark) in &self.remarks {
            // A remark is a status and is kept as one.
            let event = StatusEvent {
                kind: remark.kind,
                position: remark.position,
                drive: *drive,
                number: *number,
                attempt: 1,
                id: remark.id.clone(),
                code: remark.code,
                tag: remark.tag,
            };
            let bytes = encode(StatusOf::Tax, &[event]);
            out.row(REMARKS, |w| {
                w.u64(remark.at_us.cast_unsigned());
                w.u32(u32::try_from(bytes.len()).unwrap_or_default());
                w.0.extend_from_slice(&bytes);
            })?;
        }
        for drive in &self.forgotten {
            out.row(FORGOTTEN, |w| w.u64(*drive))?;
        }
        for (day, counts) in &self.days {
            out.row(DAYS, |w| {
                w.u32(day.cast_unsigned());
                counts.clone().all().into_iter().for_each(|count| w.u64(*count));
            })?;
        }
        out.close()
    }

    /// Takes one piece in; `None` when it is none.
    pub(crate) fn take_piece(&mut self, piece: &[u8]) -> Option<()> {
        let (kind, rows) = piece.split_first()?;
        let mut r = Reader(rows);
        while !r.0.is_empty() {
            self.restore_row(*kind, &mut r)?;
        }
        Some(())
    }

    fn restore_row(&mut self, kind: u8, r: &mut Reader<'_>) -> Option<()> {
        match kind {
            HEAD => {
                self.told = r.u64()?;
                self.behind = r.aside()?;
                self.paused = r.bool()?;
                let [stored, sent, resent] = [r.u64()?, r.u64()?, r.u64()?];
                let settled = Settled {
                    accepted: r.u64()?,
                    warned: r.u64()?,
                    quarantined: r.u64()?,
                    refused: r.u64()?,
                    given_up: r.u64()?,
                };
                self.totals = Totals { stored, sent, resent, settled };
            }
            WINDOW => {
                let document = Document {
                    position: r.u64()?,
                    drive: r.u64()?,
                    number: r.u32()?,
                    received_at_us: r.u64()?.cast_signed(),
                    len: r.u32()?,
                    location: None,
                };
                let attempt = r.u32()?;
                let prior = Some(r.u8()?).filter(|code| *code != 0).map(StatusKind::from_code);
                let stage = match r.option()? {
                    Some(at_us) => Stage::Sent { at_us: at_us.cast_signed() },
                    None => Stage::Waiting,
                };
                let entry = Entry { document, attempt, stage, ids: r.texts()?, prior, told: false };
                self.window.insert(document.position, entry);
            }
            LANES => {
                let drive = r.u64()?;
                let lane = self.lanes.entry(drive).or_default();
                (lane.paused, lane.aside) = (r.bool()?, r.aside()?);
            }
            AHEAD => {
                let position = r.u64()?;
                let (at_us, attempt, ids) = (r.option()?, r.u32()?, r.texts()?);
                let ahead = match at_us {
                    None => Ahead::Final,
                    Some(at_us) => Ahead::Sent { at_us: at_us.cast_signed(), attempt, ids },
                };
                self.ahead.insert(position, ahead);
            }
            AGAIN => {
                let (position, drive, numbers, cursor) = (r.u64()?, r.u64()?, (r.u32()?, r.u32()?), r.u64()?);
                let mut again =
                    Again { position, drive, numbers, cursor, done: Default::default(), listing: 0 };
                for _ in 0..r.u32()? {
                    again.done.insert(r.u64()?);
                }
                self.again.push_back(again);
            }
            ACCOUNTS => {
                let (drive, stored) = (r.u64()?, r.u32()?);
                let settled = Settled {
                    accepted: r.u32()?,
                    warned: r.u32()?,
                    quarantined: r.u32()?,
                    refused: r.u32()?,
                    given_up: r.u32()?,
                };
                self.accounts.insert(drive, Account { stored, settled });
            }
            REMARKS => {
                let at_us = r.u64()?.cast_signed();
                let len = usize::try_from(r.u32()?).ok()?;
                let (_, events) = decode(r.bytes(len)?)?;
                let [event] = <[StatusEvent; 1]>::try_from(events).ok()?;
                let StatusEvent { kind, position, drive, number, id, code, tag, .. } = event;
                self.remarks.insert((drive, number), Remark { position, kind, at_us, code, tag, id });
            }
            FORGOTTEN => drop(self.forgotten.insert(r.u64()?)),
            DAYS => {
                let day = r.u32()?.cast_signed();
                let mut counts = DayCounts::default();
                for count in counts.all() {
                    *count = r.u64()?;
                }
                self.days.insert(day, counts);
            }
            _ => return None,
        }
        Some(())
    }

    /// All pieces are in: what follows from them is made.
    pub(crate) fn pieces_taken(&mut self) {
        for (position, entry) in &self.window {
            for id in &entry.ids {
                self.ids.insert(id.clone(), *position);
            }
            match entry.stage {
                Stage::Sent { at_us } => drop(self.due.insert((at_us, *position))),
                Stage::Waiting | Stage::Sending => {
                    self.lanes.entry(entry.document.drive).or_default().waiting.insert(*position);
                }
            }
        }
        let drives: Vec<u64> = self.lanes.keys().copied().collect();
        drives.into_iter().for_each(|drive| self.arrange(drive));
    }
}

/// Gathers rows of one kind into pieces.
struct Pieces<'p, E> {
    put: &'p mut dyn FnMut(&[u8]) -> Result<(), E>,
    piece: Vec<u8>,
}

impl<E> Pieces<'_, E> {
    fn row(&mut self, kind: u8, write: impl FnOnce(&mut Writer<'_>)) -> Result<(), E> {
        if self.piece.len() >= PIECE_LEN || self.piece.first().is_some_and(|now| *now != kind) {
            self.close()?;
        }
        if self.piece.is_empty() {
            self.piece.push(kind);
        }
        write(&mut Writer(&mut self.piece));
        Ok(())
    }

    fn close(&mut self) -> Result<(), E> {
        if !self.piece.is_empty() {
            (self.put)(&self.piece)?;
            self.piece.clear();
        }
        Ok(())
    }
}

struct Writer<'w>(&'w mut Vec<u8>);

impl Writer<'_> {
    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }
    fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }
    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }
    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }
    fn option(&mut self, value: Option<u64>) {
        self.bool(value.is_some());
        self.u64(value.unwrap_or_default());
    }
    fn aside(&mut self, aside: Option<Aside>) {
        self.bool(aside.is_some());
        let Aside { cursor, through, oldest_us } =
            aside.unwrap_or(Aside { cursor: 0, through: 0, oldest_us: 0 });
        self.u64(cursor);
        self.u64(through);
        self.u64(oldest_us.cast_unsigned());
    }
    fn texts(&mut self, texts: &[Box<str>]) {
        self.u8(u8::try_from(texts.len()).unwrap_or(u8::MAX));
        // Of an id that was sent more often than that, the newest count.
        for text in texts.iter().rev().take(usize::from(u8::MAX)).rev() {
            self.u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
            self.0.extend_from_slice(text.as_bytes());
        }
    }
}

struct Reader<'r>(&'r [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }
    fn bytes(&mut self, len: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }
    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }
    fn bool(&mut self) -> Option<bool> {
        Some(self.u8()? != 0)
    }
    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
    fn option(&mut self) -> Option<Option<u64>> {
        let is = self.bool()?;
        let value = self.u64()?;
        Some(is.then_some(value))
    }
    fn aside(&mut self) -> Option<Option<Aside>> {
        let is = self.bool()?;
        let aside = Aside { cursor: self.u64()?, through: self.u64()?, oldest_us: self.u64()?.cast_signed() };
        Some(is.then_some(aside))
    }
    fn texts(&mut self) -> Option<Vec<Box<str>>> {
        let count = self.u8()?;
        let mut texts = Vec::new();
        for _ in 0..count {
            let len = usize::from(self.u8()?);
            texts.push(std::str::from_utf8(self.bytes(len)?).ok()?.into());
        }
        Some(texts)
    }
}
