//! What the registers ask the rules across documents, and what goes off by time. Pure.

use ofd_codec::rules::life::LifeRuleId as Rule;
use ofd_codec::{DriveNumber, tags};
use ofd_storage::Position;
use ofd_storage::envelope::Realm;

use super::card::{self, KeptCard};
use super::drive::{Drive, Seen};
use super::event::{Event, EventKind, Events};
use super::reading::Reading;
use super::registration::Registration;
use super::totals::Paid;
use super::{Card, KeptDrive, Registers, State, TOLD_AT_ONCE, packed};
use crate::registers::pack::Unpacker;
use crate::watch::drive::{Around, Prior, STEP_FIRST};
use crate::watch::{Risk, RuleSet, Scene, mapped, terms};

/// What is known of a document besides itself.
pub(super) struct Before {
    pub(super) prior: Prior,
    /// The registration that it has replaced.
    pub(super) registration: Option<Registration>,
}

/// What is due of a drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    Shift,
    Silence,
}

/// A timer that has gone off: its second, which is not later than what it is set for, the drive, and what.
pub(super) type Pending = (u32, u32, Due);

/// The bit of a timer's number that tells silence; drives are never so many.
pub(super) const SILENCE: u32 = 1 << 31;

/// When a timer of silence is looked at again: not later than a document that comes meanwhile can make it due, so that there is
/// one for each drive, and never one too late.
fn soon(when: u32, now: u32) -> u32 {
    when.min(now.saturating_add(STEP_FIRST))
}

impl Due {
    fn when(self, drive: &Drive) -> Option<u32> {
        match self {
            Self::Silence => drive.watch.silence_due(drive),
            Self::Shift => drive.overdue_at(),
        }
    }
}

/// What the rules look at behind a document.
fn scene_of<'s>(seen: &Seen<'_>, rules: &'s RuleSet, rnm: &'s dyn Fn() -> Option<String>) -> Scene<'s> {
    Scene {
        rules,
        now_us: seen.received_at_us,
        realm: seen.realm,
        rnm,
        at: seen.header.date_time,
        imported: seen.imported,
        out: Vec::new(),
    }
}

impl Registers {
    /// Finds what the document means across documents; behind the events that were told of it, which begin at `from`.
    pub(super) fn find_across(
        &mut self,
        seen: &Seen<'_>,
        at: u32,
        card: Option<u32>,
        (before, reading, paid): (&Before, &Reading<'_>, Option<&Paid>),
        from: usize,
        out: &mut Vec<Event>,
    ) {
        let Some(State::Live(drive)) = self.drives.get_mut(at).map(|kept| &mut kept.state) else { return };
        let mut kept = card.and_then(|it| self.cards.get_mut(it));
        let replaced = kept.as_deref().filter(|it| it.current() != at).and_then(KeptCard::since);
        let rnm = || card::text(&seen.view, tags::KKT_REG_ID);
        let mut scene = scene_of(seen, &self.rule_set, &rnm);
        let Before { prior, registration } = before;
        let mut watch = core::mem::take(&mut drive.watch);
        let told = out.get(from..).unwrap_or_default();
        mapped::judge(told, drive, &mut watch.tallies, &mut scene);
        let (prior, before, facts) = (*prior, registration.as_ref(), &reading.facts);
        watch.judge(&Around { seen, drive, prior, before, paid, facts, replaced }, &mut scene);
        if let (Some(card), Some(paid)) = (&mut kept, paid)
            && prior.is_new(drive)
        {
            let pawnshop = watch.terms.is_some_and(|it| it.has(terms::PAWNSHOP));
            card.watch.take(paid, seen.received_at_us, pawnshop, &mut scene);
        }
        drive.watch = watch;
        // A timer is there while silence can be due; it was set by the document that has begun that.
        if prior.silence_due().is_none()
            && let Some(second) = drive.watch.silence_timer(drive)
        {
            self.wheel.set(second, at | SILENCE);
        }
        let found = scene.out;
        if !found.is_empty() {
            let next = u16::try_from(out.len().saturating_sub(from)).unwrap_or(u16::MAX);
            let mut events = Events::going_on(out, seen, next);
            found.into_iter().for_each(|kind| events.push(kind));
        }
    }

    /// Whether anything is due by then, so that no tick is asked for nothing. Looks no further than the first that is.
    pub(crate) fn has_due(&mut self, second: u32) -> bool {
        if self.watch.first().is_some_and(|first| first <= second) {
            return true;
        }
        self.turn(second);
        let due = self.next_due(second);
        self.pending.extend(due);
        due.is_some()
    }

    /// Timers that go off wait for their turn, and no drive is asked yet: there may be millions.
    fn turn(&mut self, second: u32) {
        let mut gone = Vec::new();
        self.wheel.turn(second, &mut gone);
        let what = |whom: u32| if whom & SILENCE == 0 { Due::Shift } else { Due::Silence };
        self.pending.extend(gone.into_iter().map(|(when, whom)| (when, whom & !SILENCE, what(whom))));
    }

    /// Takes the first that is due by then from those that wait. Timers are never taken back, and that of silence is early where
    /// something came meanwhile: what is due, and when, says the drive.
    fn next_due(&mut self, second: u32) -> Option<Pending> {
        while let Some(first) = self.pending.first().copied().filter(|it| it.0 <= second) {
            self.pending.remove(&first);
            let (when, at, what) = first;
            let drive = self.drives.get(at).and_then(KeptDrive::drive);
            match drive.and_then(|it| what.when(&it)) {
                Some(now) if now == when => return Some(first),
                Some(now) => self.wait(now, at, what, second),
                None => {}
            }
        }
        None
    }

    /// Something of a drive is due at `when`, as of `second`.
    fn wait(&mut self, when: u32, at: u32, what: Due, second: u32) {
        if when <= second {
            self.pending.insert((when, at, what));
        } else if what == Due::Silence {
            self.wheel.set(soon(when, second), at | SILENCE);
        }
        // That of a shift is right from the beginning: one that is early is another shift's.
    }

    /// A tick of the clock, which is the only one that timers know: what is due by then happens now. Places of events have 16
    /// bits: what is more waits for the next tick.
    pub fn tick(&mut self, position: Position, received_at_us: i64, out: &mut Vec<Event>) {
        let second = crate::watch::drive::seconds(received_at_us);
        self.turn(second);
        let mut index = 0_u16;
        while index < TOLD_AT_ONCE
            && let Some((_, at, what)) = self.next_due(second)
        {
            if let Some(next) = self.go_off(at, what, position, received_at_us, &mut index, out) {
                self.wait(next, at, what, second);
            }
        }
        self.judge_due(position, received_at_us, index, out);
    }

    /// What was waited for has come to pass; when the next of its kind is due.
    fn go_off(
        &mut self,
        at: u32,
        what: Due,
        position: Position,
        received_at_us: i64,
        index: &mut u16,
        out: &mut Vec<Event>,
    ) -> Option<u32> {
        let kept = self.drives.get_mut(at)?;
        if let State::Packed(bytes) = &kept.state {
            let drive = packed::unpack(kept.number()?, &mut Unpacker(bytes))?;
            kept.state = State::Live(Box::new(drive));
        }
        let State::Live(drive) = &mut kept.state else { return None };
        let card = drive.card.and_then(|it| self.cards.get(it));
        let works = card.is_none_or(|it| it.current() == at);
        let (inn, rnm) = (card.and_then(KeptCard::inn), || card.map(KeptCard::shown_rnm));
        let mut scene = Scene {
            rules: &self.rule_set,
            now_us: received_at_us,
            realm: drive.realm,
            rnm: &rnm,
            at: None,
            imported: false,
            out: Vec::new(),
        };
        let mut watch = core::mem::take(&mut drive.watch);
        let mut number = drive.last.map_or(0, |it| it.number);
        match what {
            // Its register works with another drive.
            Due::Shift if !works => _ = drive.replaced(),
            Due::Shift => {
                if let Some((shift, opened)) = drive.tell_overdue() {
                    number = opened;
                    let event = EventKind::ShiftOverdue { shift };
                    mapped::one(&event, number, drive, &mut watch.tallies, &mut scene);
                    scene.out.insert(0, event);
                }
            }
            // A drive that its register has replaced is silent for good.
            Due::Silence if works => watch.tell_silence(&mut scene),
            Due::Silence => watch.pass_silence(),
        }
        drive.watch = watch;
        let next = match what {
            Due::Shift => None,
            Due::Silence => drive.watch.silence_due(drive),
        };
        let drive_number = drive.number;
        for kind in scene.out {
            let (inn, drive) = (inn.clone(), drive_number);
            out.push(Event { position, index: *index, received_at_us, drive, number, inn, kind });
            *index = index.saturating_add(1);
        }
        self.put_away(at, None);
        next
    }

    /// A drive that this document's drive has replaced: its overdue shift is over, as an event and as a finding. Behind all else
    /// that is told of the record.
    pub(super) fn end_replaced(
        &mut self,
        seen: &Seen<'_>,
        before: DriveNumber,
        from: usize,
        out: &mut Vec<Event>,
    ) {
        let Some(at) = self.find_drive(before.to_bcd_u64()) else { return };
        self.changed_apart(at);
        // One with an open shift is never packed.
        let Some(State::Live(drive)) = self.drives.get_mut(at).map(|kept| &mut kept.state) else { return };
        let Some((shift, opened)) = drive.replaced() else { return };
        let rnm = || card::text(&seen.view, tags::KKT_REG_ID);
        let told = vec![EventKind::ShiftOverdueEnded { shift }];
        let mut scene = Scene { at: None, out: told, ..scene_of(seen, &self.rule_set, &rnm) };
        scene.ended(&mut drive.watch.tallies, Rule::D8_2);
        let &Seen { position, received_at_us, .. } = seen;
        for kind in scene.out {
            let index = u16::try_from(out.len().saturating_sub(from)).unwrap_or(u16::MAX);
            out.push(Event {
                position,
                index,
                received_at_us,
                drive: before,
                number: opened,
                inn: None,
                kind,
            });
        }
    }

    /// The risk indicators of a register (order 88н).
    #[must_use]
    pub fn risk(&self, realm: Realm, rnm: &str) -> Option<Risk> {
        self.kept_card(realm, rnm).map(|it| it.watch.risk())
    }

    /// A card by its number, with its indicators.
    pub(crate) fn risk_at(&self, at: u32) -> Option<(Card, Risk)> {
        self.cards.get(at).map(|card| (self.shown(card), card.watch.risk()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::cast_possible_wrap,
        clippy::arithmetic_side_effects,
        reason = "a failed test may panic"
    )]
    use ofd_codec::{DocumentView, DriveNumber, Form, TlvWriter};
    use ofd_storage::{Error, Lsn};

    use super::*;
    use crate::registers::{Past, SHIFTS_KEPT};

    struct Nothing;

    impl Past for Nothing {
        fn plain(&self, _: Position, _: DriveNumber, _: u32) -> Result<Option<Vec<u8>>, Error> {
            Ok(None)
        }
    }

    // After a day without the engine everything is due at once. A tick tells some of it, and whoever looks at all the rest again,
    // every second, is never done.
    #[test]
    fn a_drive_that_is_due_is_looked_at_when_its_turn_comes() {
        const FROM_US: i64 = 1_790_000_000_000_000;
        let drives = u32::from(TOLD_AT_ONCE) * 2 + 5_000;
        let mut registers = Registers::new(None, SHIFTS_KEPT);
        let mut out = Vec::new();
        for drive in 0..drives {
            let number = DriveNumber::parse(&format!("71{drive:014}")).unwrap();
            let mut bytes = Vec::new();
            TlvWriter::new(&mut bytes)
                .document(Form::RECEIPT, |w| {
                    w.bytes(tags::FISCAL_DRIVE_NUMBER, number.as_bytes())?;
                    w.u32(tags::FISCAL_DOCUMENT_NUMBER, 1);
                    Ok(())
                })
                .unwrap();
            let view = DocumentView::new_checked(&bytes).unwrap();
            let seen = Seen {
                position: Position::new(Lsn::new(u64::from(drive) + 1)),
                received_at_us: FROM_US,
                realm: Realm::Prod,
                drive: number,
                number: 1,
                variant: 0,
                imported: false,
                view,
                header: view.header(),
            };
            registers.take(&seen, &Nothing, &mut out).unwrap();
        }
        let mut told = Vec::new();
        packed::UNPACKED.set(0);
        for tick in 0..3 {
            let now_us = FROM_US + (86_400 + 3_600 + tick) * 1_000_000;
            assert!(registers.has_due(crate::watch::drive::seconds(now_us)));
            out.clear();
            registers.tick(Position::new(Lsn::new(1_000_000)), now_us, &mut out);
            told.push(out.len());
        }
        assert_eq!(told, [60_000, 60_000, 5_000]);
        assert!(!registers.has_due(crate::watch::drive::seconds(FROM_US) + 86_400 + 3_700));
        // Once to ask and once to tell, and one that is found due before each tick.
        assert!(packed::UNPACKED.get() <= 2 * u64::from(drives) + 10, "{}", packed::UNPACKED.get());
    }
}
