//! An event as bytes, and back: what the files of events hold. Pure.
//!
//! Shape: [`pack`](super::pack) numbers one after another: LSN less the one of the event before, place in its record, time,
//! drive in BCD (8 bytes), number of the document, INN (empty: none), code of the kind, its fields in their order.
//!
//! Codes of kinds are stable: a new kind gets a new one.

use ofd_codec::{DriveNumber, Form, LocalSeconds, Tag};
use ofd_storage::{Lsn, Position};

use super::counters::Mismatch;
use super::event::{Event, EventKind, Evidence};
use super::judged::ColourChange;
use super::pack::{Packer, Unpacker};
use super::register_state::RegisterState;
use super::service::Range;
use super::shift_state::ShiftState;
use crate::watch::LifeFinding;

/// What the bytes look like; another text, another shape.
pub(crate) const EVENT_SHAPE: &str = "events v8";

/// Writes an event behind one of a record with this LSN.
pub(crate) fn pack_event(event: &Event, before: Lsn, to: &mut Packer) {
    let Event { position, index, received_at_us, drive, number, inn, kind } = event;
    to.number(position.as_u64().wrapping_sub(before.get()));
    to.number(*index);
    to.signed(*received_at_us);
    to.0.extend_from_slice(&drive.to_bcd());
    to.number(*number);
    to.bytes(inn.as_deref().unwrap_or_default().as_bytes());
    pack_kind(kind, to);
}

fn pack_kind(kind: &EventKind, to: &mut Packer) {
    let shift = |to: &mut Packer, code: u8, shift: u32| {
        to.byte(code);
        to.number(shift);
    };
    let pair = |to: &mut Packer, code: u8, one: u32, other: u32| {
        to.byte(code);
        to.number(one);
        to.number(other);
    };
    match kind {
        EventKind::DriveAppeared(evidence) => {
            to.byte(1);
            to.byte(match evidence {
                Evidence::Registered => 0,
                Evidence::Entered => 1,
                Evidence::Unknown => 2,
                Evidence::Seeded => 3,
            });
        }
        EventKind::ServiceResumed => to.byte(2),
        EventKind::ServiceLeft => to.byte(3),
        EventKind::GapOpened(range) => pair(to, 4, range.first, range.last),
        EventKind::GapClosed(range) => pair(to, 5, range.first, range.last),
        EventKind::Variant { variant } => {
            to.byte(6);
            to.byte(*variant);
        }
        EventKind::GenerationBegan => to.byte(7),
        EventKind::RegistrationChanged { reasons, changes } => {
            to.byte(8);
            to.number(*reasons);
            to.count(changes.len());
            changes.iter().for_each(|tag| to.number(tag.0));
        }
        EventKind::DriveReplaced { before } => {
            to.byte(9);
            to.0.extend_from_slice(&before.to_bcd());
        }
        EventKind::DriveClosed => to.byte(10),
        EventKind::AfterDriveClosed(form) => {
            to.byte(11);
            to.byte(form.0);
        }
        EventKind::ShiftOpened { shift: it } => shift(to, 12, *it),
        EventKind::ShiftClosed { shift: it } => shift(to, 13, *it),
        EventKind::ShiftNotClosed { shift: it } => shift(to, 14, *it),
        EventKind::ShiftNumber { expected, found } => pair(to, 15, *expected, *found),
        EventKind::OutsideShift { shift: it } => shift(to, 16, *it),
        EventKind::NumberInShift { expected, found } => pair(to, 17, *expected, *found),
        EventKind::ShiftTooLong { shift: it } => shift(to, 18, *it),
        EventKind::ShiftMismatch { shift: it, counters } => {
            shift(to, 19, *it);
            to.count(counters.len());
            counters.iter().for_each(|it| it.pack(to));
        }
        EventKind::ShiftAgrees { shift: it } => shift(to, 20, *it),
        EventKind::ShiftRevised { shift: it, revision } => pair(to, 21, *it, *revision),
        EventKind::TimeBackwards { before } => shift(to, 22, before.0),
        EventKind::DriveFlags { flags, before } => {
            to.byte(23);
            to.byte(*flags);
            to.byte(*before);
        }
        EventKind::TaxAnswered(answer) => {
            to.byte(50);
            answer.pack(to);
        }
        EventKind::Backlog { documents, since, before } => {
            pair(to, 24, *documents, *before);
            to.optional(since.map(|it| it.0));
        }
        EventKind::ShiftOverdue { shift: it } => shift(to, 25, *it),
        EventKind::ShiftOverdueEnded { shift: it } => shift(to, 30, *it),
        EventKind::ShiftState(state) => {
            to.byte(26);
            state.pack(to);
        }
        EventKind::RegisterState(state) => {
            to.byte(27);
            state.pack(to);
        }
        EventKind::ColourChanged(change) => {
            to.byte(40);
            change.pack(to);
        }
        EventKind::Found(finding) => {
            to.byte(28);
            finding.pack(to);
        }
        EventKind::FindingEnded(finding) => {
            to.byte(29);
            finding.pack(to);
        }
    }
}

/// Reads an event behind one of a record with this LSN.
pub(crate) fn unpack_event(before: Lsn, from: &mut Unpacker<'_>) -> Option<Event> {
    let position = Position::new(Lsn::new(before.get().wrapping_add(from.number()?)));
    let index = u16::try_from(from.number()?).ok()?;
    let received_at_us = from.signed()?;
    let drive = read_drive(from)?;
    let number = from.small()?;
    let inn = core::str::from_utf8(from.bytes()?).ok()?;
    let inn = (!inn.is_empty()).then(|| inn.to_owned());
    let kind = unpack_kind(from)?;
    Some(Event { position, index, received_at_us, drive, number, inn, kind })
}

fn unpack_kind(from: &mut Unpacker<'_>) -> Option<EventKind> {
    Some(match from.byte()? {
        1 => EventKind::DriveAppeared(match from.byte()? {
            0 => Evidence::Registered,
            1 => Evidence::Entered,
            2 => Evidence::Unknown,
            3 => Evidence::Seeded,
            _ => return None,
        }),
        2 => EventKind::ServiceResumed,
        3 => EventKind::ServiceLeft,
        4 => EventKind::GapOpened(Range { first: from.small()?, last: from.small()? }),
        5 => EventKind::GapClosed(Range { first: from.small()?, last: from.small()? }),
        6 => EventKind::Variant { variant: from.byte()? },
        7 => EventKind::GenerationBegan,
        8 => {
            let (reasons, mut changes) = (from.small()?, Vec::new());
            for _ in 0..from.count()? {
                changes.push(read_tag(from)?);
            }
            EventKind::RegistrationChanged { reasons, changes }
        }
        9 => EventKind::DriveReplaced { before: read_drive(from)? },
        10 => EventKind::DriveClosed,
        11 => EventKind::AfterDriveClosed(Form(from.byte()?)),
        12 => EventKind::ShiftOpened { shift: from.small()? },
        13 => EventKind::ShiftClosed { shift: from.small()? },
        14 => EventKind::ShiftNotClosed { shift: from.small()? },
        15 => EventKind::ShiftNumber { expected: from.small()?, found: from.small()? },
        16 => EventKind::OutsideShift { shift: from.small()? },
        17 => EventKind::NumberInShift { expected: from.small()?, found: from.small()? },
        18 => EventKind::ShiftTooLong { shift: from.small()? },
        19 => {
            let (shift, mut counters) = (from.small()?, Vec::new());
            for _ in 0..from.count()? {
                counters.push(Mismatch::unpack(from)?);
            }
            EventKind::ShiftMismatch { shift, counters }
        }
        20 => EventKind::ShiftAgrees { shift: from.small()? },
        21 => EventKind::ShiftRevised { shift: from.small()?, revision: from.small()? },
        22 => EventKind::TimeBackwards { before: LocalSeconds(from.small()?) },
        23 => EventKind::DriveFlags { flags: from.byte()?, before: from.byte()? },
        50 => EventKind::TaxAnswered(super::TaxAnswer::unpack(from)?),
        24 => {
            let (documents, before) = (from.small()?, from.small()?);
            EventKind::Backlog { documents, since: from.optional()?.map(LocalSeconds), before }
        }
        25 => EventKind::ShiftOverdue { shift: from.small()? },
        30 => EventKind::ShiftOverdueEnded { shift: from.small()? },
        28 => EventKind::Found(Box::new(LifeFinding::unpack(from)?)),
        29 => EventKind::FindingEnded(Box::new(LifeFinding::unpack(from)?)),
        27 => EventKind::RegisterState(Box::new(RegisterState::unpack(from)?)),
        40 => EventKind::ColourChanged(Box::new(ColourChange::unpack(from)?)),
        26 => EventKind::ShiftState(Box::new(ShiftState::unpack(from)?)),
        _ => return None,
    })
}

fn read_drive(from: &mut Unpacker<'_>) -> Option<DriveNumber> {
    let (bcd, rest) = from.0.split_first_chunk::<8>()?;
    from.0 = rest;
    DriveNumber::from_bcd(*bcd).ok()
}

pub(super) fn read_tag(from: &mut Unpacker<'_>) -> Option<Tag> {
    u16::try_from(from.number()?).ok().map(Tag)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test may panic")]
    use ofd_storage::envelope::Realm;

    use ofd_codec::rules::life::LifeRuleId;
    use ofd_codec::{DocumentView, TlvWriter, tags};

    use super::super::register_state::RegisterStatus;
    use super::super::shift::Shift;
    use super::*;
    use crate::watch::{Colour, Facet, Facets, Reason, What};

    // Every kind there is: what a reader gets is what the fold has told.
    #[test]
    fn events_of_every_kind_come_back() {
        let drive = DriveNumber::parse("999907891234567").unwrap();
        let (range, at) = (Range { first: 7, last: u32::MAX }, LocalSeconds(1_772_409_600));
        let counters = vec![
            Mismatch { tag: Tag(1118), within: Tag(0), stated: u64::MAX, counted: 0 },
            Mismatch { tag: Tag(1201), within: Tag(1129), stated: 1, counted: 2 },
        ];
        let state = |rnm: Option<&str>, counters: Option<&str>| ShiftState {
            realm: Realm::Test,
            inn: rnm.map(str::to_owned),
            rnm: rnm.map(str::to_owned),
            shift: Shift { number: 7, cashier: Some("Кассир".into()), revision: 2, ..Shift::default() },
            counters: counters.map(str::to_owned),
            imported: rnm.is_none(),
        };
        let mut registration = Vec::new();
        TlvWriter::new(&mut registration)
            .document(Form::REREGISTRATION, |w| {
                w.text(tags::USER_NAME, "ООО Ромашка")?;
                w.unixtime(tags::DATE_TIME, at);
                w.u8(tags::OFFLINE_MODE, 1);
                w.u32(tags::CHANGE_REASONS, 1 << 31);
                Ok(())
            })
            .unwrap();
        let registration = DocumentView::new_checked(&registration).unwrap();
        let register = |view: Option<&DocumentView<'_>>| {
            let status = if view.is_some() { RegisterStatus::Closed } else { RegisterStatus::Left };
            RegisterState::of(Realm::Test, "0001".to_owned(), status, view.is_none(), view)
        };
        assert_eq!(register(Some(&registration)).text(tags::USER_NAME), Some("ООО Ромашка"));
        assert_eq!(register(Some(&registration)).number(tags::OFFLINE_MODE), Some(1));
        let reason = |what: What| Reason { facet: what.facet(), colour: Colour::Red, since: 7, what };
        let finding = |rule, actual: Option<&str>| LifeFinding {
            rule,
            rules_version: 3,
            realm: if actual.is_some() { Realm::Test } else { Realm::Prod },
            rnm: actual.map(str::to_owned),
            shift: actual.map(|_| 9),
            at: Some(at).filter(|_| actual.is_some()),
            tag: actual.map(|_| Tag(1018)),
            actual: actual.map(str::to_owned),
            expected: actual.map(str::to_owned),
            first_seen_us: -1,
            last_seen_us: 1_790_000_000_000_000,
            count: u32::MAX,
            ended_us: None,
            imported: actual.is_none(),
        };
        let kinds = [
            EventKind::DriveAppeared(Evidence::Registered),
            EventKind::DriveAppeared(Evidence::Entered),
            EventKind::DriveAppeared(Evidence::Unknown),
            EventKind::DriveAppeared(Evidence::Seeded),
            EventKind::ServiceResumed,
            EventKind::ServiceLeft,
            EventKind::GapOpened(range),
            EventKind::GapClosed(range),
            EventKind::Variant { variant: 255 },
            EventKind::GenerationBegan,
            EventKind::RegistrationChanged { reasons: 1 << 31, changes: vec![Tag(1009), Tag(1187)] },
            EventKind::DriveReplaced { before: drive },
            EventKind::DriveClosed,
            EventKind::AfterDriveClosed(Form::RECEIPT),
            EventKind::ShiftOpened { shift: 1 },
            EventKind::ShiftClosed { shift: 2 },
            EventKind::ShiftNotClosed { shift: 3 },
            EventKind::ShiftNumber { expected: 4, found: 5 },
            EventKind::OutsideShift { shift: 6 },
            EventKind::NumberInShift { expected: 7, found: 8 },
            EventKind::ShiftTooLong { shift: 9 },
            EventKind::ShiftOverdue { shift: 9 },
            EventKind::ShiftOverdueEnded { shift: 9 },
            EventKind::ShiftMismatch { shift: 10, counters },
            EventKind::ShiftAgrees { shift: 11 },
            EventKind::ShiftRevised { shift: 12, revision: 13 },
            EventKind::TimeBackwards { before: at },
            EventKind::DriveFlags { flags: 15, before: 1 },
            EventKind::Backlog { documents: 14, since: Some(at), before: 0 },
            EventKind::Backlog { documents: 0, since: None, before: u32::MAX },
            EventKind::ShiftState(Box::new(state(Some("0001"), None))),
            EventKind::ShiftState(Box::new(state(None, Some("{}")))),
            EventKind::ColourChanged(Box::new(ColourChange {
                realm: Realm::Test,
                rnm: "0001".to_owned(),
                inn: Some("7707083893".to_owned()),
                before: Facets::default(),
                now: Facets::default().with(Facet::Quality, Colour::Red),
                reasons: What::ALL.map(reason).into(),
            })),
            EventKind::RegisterState(Box::new(register(None))),
            EventKind::RegisterState(Box::new(register(Some(&registration)))),
            EventKind::Found(Box::new(finding(LifeRuleId::D1, None))),
            EventKind::Found(Box::new(finding(LifeRuleId::R3, Some("12 из 30")))),
            EventKind::FindingEnded(Box::new(LifeFinding {
                ended_us: Some(7),
                ..finding(LifeRuleId::D11_17, None)
            })),
        ];
        let event = |(index, kind): (u16, EventKind)| Event {
            position: Position::new(Lsn::new(1000 + u64::from(index / 3))),
            index,
            received_at_us: 1_790_000_000_000_000 - i64::from(index),
            drive,
            number: u32::MAX - u32::from(index),
            inn: (index % 2 == 0).then(|| "7707083893".to_owned()),
            kind,
        };
        let events: Vec<Event> = (0..).zip(kinds).map(event).collect();
        let names: std::collections::BTreeSet<_> = events.iter().map(|it| it.kind.name()).collect();
        assert_eq!(names.len(), 31, "a kind is missing here");
        let (mut packer, mut before) = (Packer::default(), Lsn::new(990));
        let mut ends = Vec::new();
        for event in &events {
            pack_event(event, before, &mut packer);
            before = event.position.lsn();
            ends.push(packer.0.len());
        }
        let (mut from, mut before) = (Unpacker(&packer.0), Lsn::new(990));
        for event in &events {
            assert_eq!(unpack_event(before, &mut from).as_ref(), Some(event));
            before = event.position.lsn();
        }
        assert!(from.is_empty());
        // No cut reads as an event.
        let mut begin = 0;
        for end in ends {
            for cut in begin..end {
                assert_eq!(unpack_event(Lsn::new(990), &mut Unpacker(&packer.0[begin..cut])), None, "{cut}");
            }
            begin = end;
        }
    }
}
