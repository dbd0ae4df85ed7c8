//! One small life for every kind of event: what the documents are, what is said of them.

use ofd_engine::codec::{DriveNumber, Form, tags};
use ofd_engine::registers::{Agreement, Event, EventKind, RegisterStatus, Registers, SHIFTS_KEPT, Seen};
use ofd_engine::storage::envelope::Realm;
use ofd_engine::watch::{Place, Schedule, WatchCommand};
use ofd_engine::{Lsn, Position};

use crate::life::{Delivered, FROM, Made, OURS, Sent, THEIRS, USERS};

fn document(number: u32, form: Form) -> Made {
    Made {
        drive: DriveNumber::parse("7100000000000001").unwrap(),
        rnm: "0000000000000001".to_owned(),
        inn: USERS[0],
        number,
        form,
        at: FROM + number * 60,
        shift: None,
        in_shift: None,
        direction: 1,
        total: 100,
        operator: None,
        reasons: 0,
        counters: None,
        stated_documents: None,
        report: None,
    }
}

fn registration(number: u32, form: Form, operator: &'static str, reasons: u32) -> Made {
    Made { operator: Some(operator), reasons, ..document(number, form) }
}

fn in_shift(number: u32, form: Form, shift: u32, in_shift: u32) -> Made {
    Made { shift: Some(shift), in_shift: Some(in_shift), ..document(number, form) }
}

fn closing(number: u32, shift: u32, receipts: u32, documents: u32) -> Made {
    let mut counters = [[(0, 0); 4]; 2];
    counters[0][0] = (receipts, u64::from(receipts) * 100);
    Made {
        counters: Some(counters),
        stated_documents: Some(documents),
        ..in_shift(number, Form::CLOSE_SHIFT, shift, 0)
    }
}

/// Names of the events, with the number of the document that brought each. How a register stands is told behind every one
/// that changes it, which has a scenario of its own; the traffic light has its own (tests/watch).
fn told(documents: Vec<Made>) -> Vec<(u32, &'static str)> {
    told_with(documents.into_iter().map(|made| (made, 0)).collect())
}

fn told_with(documents: Vec<(Made, u8)>) -> Vec<(u32, &'static str)> {
    let (mut registers, mut events) = (Registers::new(Some(OURS.to_owned()), 3), Vec::new());
    let numbered = (1..).zip(documents);
    let sent: Vec<Sent> = numbered.map(|(lsn, (made, variant))| Sent::new(made, variant, lsn)).collect();
    for sent_one in &sent {
        registers.take(&sent_one.seen(), &Delivered(&sent), &mut events).unwrap();
    }
    named(&events)
}

fn named(events: &[Event]) -> Vec<(u32, &'static str)> {
    let named = events.iter().map(|it| (it.number, it.kind.name()));
    // What the rules across documents make of them stands in tests/across.
    let apart = ["register.state", "colour.changed", "finding.found", "finding.ended"];
    named.filter(|(_, name)| !apart.contains(name)).collect()
}

/// How registers stand behind the documents that changed them: number, status, whether it is a registration, operator.
fn stands(documents: Vec<Made>) -> Vec<(u32, RegisterStatus, bool, Option<String>)> {
    let (mut registers, mut events) = (Registers::new(Some(OURS.to_owned()), 3), Vec::new());
    let sent: Vec<Sent> = (1..).zip(documents).map(|(lsn, made)| Sent::new(made, 0, lsn)).collect();
    for sent_one in &sent {
        let from = events.len();
        registers.take(&sent_one.seen(), &Delivered(&sent), &mut events).unwrap();
        // The last of its record, at a place of its own.
        let new = &events[from..];
        assert!(new.iter().map(|it: &Event| it.index).eq(0..new.len() as u16), "{new:?}");
        let states = new.iter().filter(|it| it.kind.name() == "register.state").count();
        assert!(states == 0 || states == 1 && new.last().unwrap().kind.name() == "register.state");
    }
    let state = |event: &Event| match &event.kind {
        EventKind::RegisterState(it) => {
            assert_eq!(it.at.map(|it| it.0), Some(FROM + 60 * event.number));
            Some((event.number, it.status, it.registers, it.text(tags::OFD_INN).map(str::to_owned)))
        }
        _ => None,
    };
    events.iter().filter_map(state).collect()
}

/// Without what the first document says.
fn after(number: u32, told: Vec<(u32, &'static str)>) -> Vec<(u32, &'static str)> {
    told.into_iter().filter(|(it, _)| *it > number).collect()
}

const REGISTRATION: Form = Form::REGISTRATION;
const OPEN: Form = Form::OPEN_SHIFT;
const RECEIPT: Form = Form::RECEIPT;

// What a shop has taken today is looked at all day long: what comes late belongs to its own day, and a day that is over is over.
#[test]
fn what_is_taken_today_is_of_the_newest_day_and_of_no_other() {
    const DAY: u32 = 86_400;
    let sold = |number, form, at, direction, total| Made {
        at: FROM + at,
        direction,
        total,
        ..in_shift(number, form, 1, number)
    };
    // In Moscow, three hours before UTC.
    let noon = FROM + 9 * 3_600;
    let mut registers = Registers::new(Some(OURS.to_owned()), SHIFTS_KEPT);
    let take = |registers: &mut Registers, made: Made, variant: u8| {
        let rnm = made.rnm.clone();
        let sent = Sent::new(made, variant, u64::from(variant) + 1);
        registers.take(&sent.seen(), &Delivered(&[]), &mut Vec::new()).unwrap();
        rnm
    };
    let told = |registers: &Registers, rnm: &str, now: u32| {
        registers.today(Realm::Prod, rnm, now).map(|it| (it.day - FROM / DAY, it.receipts, it.revenue))
    };
    let rnm = take(&mut registers, sold(1, RECEIPT, 0, 1, 500), 0);
    take(&mut registers, sold(2, RECEIPT, 10, 2, 200), 0);
    take(&mut registers, sold(3, RECEIPT, 20, 3, 9_000), 0);
    take(&mut registers, sold(4, Form::RECEIPT_CORRECTION, 30, 1, 50), 0);
    assert_eq!(told(&registers, &rnm, noon), Some((0, 4, 350)));
    take(&mut registers, sold(4, Form::RECEIPT_CORRECTION, 30, 1, 70), 1);
    take(&mut registers, sold(5, RECEIPT, 0, 1, 1_000), 1);
    assert_eq!(told(&registers, &rnm, noon), Some((0, 4, 350)), "what is a further variant adds nothing");
    let last_second = FROM + DAY - 3 * 3_600 - 1;
    assert_eq!(told(&registers, &rnm, last_second), Some((0, 4, 350)));
    assert_eq!(told(&registers, &rnm, last_second + 1), None, "midnight where it stands");
    take(&mut registers, sold(6, RECEIPT, DAY, 1, 7), 0);
    assert_eq!(told(&registers, &rnm, noon + DAY), Some((1, 1, 7)));
    assert_eq!(told(&registers, &rnm, noon), Some((1, 1, 7)), "its clock runs ahead");
    take(&mut registers, sold(7, RECEIPT, DAY - 1, 1, 5_000), 0);
    assert_eq!(told(&registers, &rnm, noon + DAY), Some((1, 1, 7)), "late from the day before");
    let mut again = Registers::new(Some(OURS.to_owned()), SHIFTS_KEPT);
    registers.save(&mut |piece| again.restore(piece).ok_or(())).unwrap();
    for registers in [&mut registers, &mut again] {
        take(registers, sold(8, RECEIPT, DAY + 5, 2, 10), 0);
        assert_eq!(told(registers, &rnm, noon + DAY), Some((1, 2, -3)), "from a checkpoint as well");
        assert_eq!(told(registers, &rnm, noon + 2 * DAY), None);
    }
    let place = Place {
        outlet: None,
        inn: None,
        schedule: Schedule { zone_min: Some(-11 * 60), ..Schedule::default() },
    };
    let command = WatchCommand::PlaceRegister { rnm: rnm.clone(), place, by: "test".to_owned() };
    again.command(Position::START, 0, &command, &mut Vec::new());
    assert_eq!(told(&again, &rnm, noon + 2 * DAY), Some((1, 2, -3)), "it is still yesterday there");
}

/// What a register has sold on each day from this one on, behind documents in the order in which they came: day, receipts, revenue.
fn sold_from(day: u32, documents: Vec<Made>) -> Option<(u32, u32, i64)> {
    let mut registers = Registers::new(Some(OURS.to_owned()), SHIFTS_KEPT);
    let rnm = documents[0].rnm.clone();
    for (made, lsn) in documents.into_iter().zip(1..) {
        let sent = Sent::new(made, 0, lsn);
        registers.take(&sent.seen(), &Delivered(&[]), &mut Vec::new()).unwrap();
    }
    let today = registers.today(Realm::Prod, &rnm, day * 86_400);
    today.map(|it| (it.day - day, it.receipts, it.revenue))
}

// A register that was sold works for another merchant, who must not see what the one before has taken.
#[test]
fn what_is_taken_today_is_that_of_the_user_of_the_register_alone() {
    let sold = |number, inn, total| Made { inn, total, ..in_shift(number, RECEIPT, 1, number) };
    let on = |drive: &str, made| Made { drive: DriveNumber::parse(drive).unwrap(), ..made };
    let [former, user] = USERS;
    let told = |documents| sold_from(FROM / 86_400, documents);
    let change = vec![sold(1, former, 500), sold(2, user, 7)];
    assert_eq!(told(change.clone()), Some((0, 1, 7)));
    let other = "7100000000000002";
    let drives = vec![sold(1, former, 500), on(other, sold(1, user, 7)), sold(2, former, 300)];
    assert_eq!(told(drives), Some((0, 1, 7)), "late, of the drive before");
    let nameless = vec![sold(1, user, 5), sold(2, "", 7)];
    assert_eq!(told(nameless), Some((0, 2, 12)), "a document that names nobody is the user's");
    let back = [change, vec![sold(3, former, 40)]].concat();
    assert_eq!(told(back), Some((0, 1, 40)));
    let report = Made { inn: user, ..in_shift(2, OPEN, 2, 0) };
    assert_eq!(told(vec![sold(1, former, 500), report]), None);
}

// One receipt of a clock that is ahead would make all of the true day late, and show nothing of it.
#[test]
fn a_clock_that_is_days_ahead_does_not_hide_what_is_taken_today() {
    // The day on which documents of a life come.
    let came = 1_800_000_000 / 86_400;
    let sold = |number, day, total| Made { at: day * 86_400, total, ..in_shift(number, RECEIPT, 1, number) };
    let told = |documents| sold_from(came, documents);
    assert_eq!(told(vec![sold(1, came, 5), sold(2, came + 2, 9), sold(3, came, 7)]), Some((0, 3, 21)));
    assert_eq!(told(vec![sold(1, came + 3, 9), sold(2, came, 7)]), Some((0, 2, 16)));
    // Where it stands it may be that day already: what was sold on the day before is late.
    assert_eq!(told(vec![sold(1, came, 5), sold(2, came + 1, 9), sold(3, came, 7)]), Some((1, 1, 9)));
}

#[test]
fn a_drive_appears_and_works() {
    let life = vec![
        registration(1, REGISTRATION, OURS, 0),
        in_shift(2, OPEN, 1, 0),
        in_shift(3, RECEIPT, 1, 1),
        in_shift(4, RECEIPT, 1, 2),
        closing(5, 1, 2, 4),
        document(6, Form::CLOSE_ARCHIVE),
        in_shift(7, OPEN, 2, 0),
    ];
    let expected = [
        (1, "drive.appeared"),
        (1, "registration.changed"),
        (2, "shift.opened"),
        (5, "shift.closed"),
        (5, "shift.state"),
        (6, "drive.closed"),
        (7, "drive.after-closed"),
        (7, "shift.opened"),
    ];
    assert_eq!(told(life), expected);
}

// A row of a shift is told from the one before by its revision, also when the document that completes it names no shift.
#[test]
fn a_shift_that_a_document_without_a_shift_completes_has_another_revision() {
    let life = vec![
        in_shift(1, OPEN, 1, 0),
        in_shift(2, RECEIPT, 1, 1),
        closing(4, 1, 1, 3),
        registration(3, Form::REREGISTRATION, OURS, 0),
    ];
    let (mut registers, mut events) = (Registers::new(Some(OURS.to_owned()), 3), Vec::new());
    let sent: Vec<Sent> = (1..).zip(life).map(|(lsn, made)| Sent::new(made, 0, lsn)).collect();
    for sent_one in &sent {
        registers.take(&sent_one.seen(), &Delivered(&sent), &mut events).unwrap();
    }
    let state = |event: &Event| match &event.kind {
        EventKind::ShiftState(it) => Some((event.number, it.shift.revision, it.shift.agreement())),
        _ => None,
    };
    let states: Vec<_> = events.iter().filter_map(state).collect();
    assert_eq!(states, [(4, 0, Agreement::Incomplete), (3, 1, Agreement::Agrees)]);
}

// What `registers` shows of a day: every state from the document on that began it.
#[test]
fn a_register_is_told_as_it_stands_with_every_change() {
    let change = |number, operator| registration(number, Form::REREGISTRATION, operator, 2);
    let life = vec![
        registration(1, REGISTRATION, OURS, 0),
        in_shift(2, OPEN, 1, 0),
        in_shift(3, RECEIPT, 1, 1),
        change(4, THEIRS),
        change(40, OURS),
        closing(41, 1, 1, 3),
        document(42, Form::CLOSE_ARCHIVE),
    ];
    let (ours, theirs) = (Some(OURS.to_owned()), Some(THEIRS.to_owned()));
    let expected = [
        (1, RegisterStatus::Working, true, ours.clone()),
        (4, RegisterStatus::Left, true, theirs),
        (40, RegisterStatus::Working, true, ours),
        (42, RegisterStatus::Closed, false, None),
    ];
    assert_eq!(stands(life), expected);
    // A drive that begins in the middle is told by what its first document says.
    assert_eq!(stands(vec![in_shift(7, RECEIPT, 1, 1)]), [(7, RegisterStatus::Working, false, None)]);
}

#[test]
fn gaps_open_and_close() {
    let life = [10, 13, 12, 11].map(|number| in_shift(number, RECEIPT, 1, number));
    assert_eq!(told(life.to_vec()), [(10, "drive.appeared"), (13, "gap.opened"), (11, "gap.closed")]);
}

#[test]
fn an_operator_is_left_and_comes_back() {
    let change = |number, operator| registration(number, Form::REREGISTRATION, operator, 2);
    let life =
        vec![registration(1, REGISTRATION, OURS, 0), change(2, THEIRS), change(40, OURS), change(41, OURS)];
    let expected = [
        (2, "registration.changed"),
        (2, "service.left"),
        (40, "service.resumed"),
        (40, "registration.changed"),
        (41, "registration.changed"),
    ];
    assert_eq!(after(1, told(life)), expected);
}

#[test]
fn another_document_under_a_number_is_a_variant() {
    let one = in_shift(5, RECEIPT, 1, 1);
    let life = vec![(one.clone(), 0), (Made { total: 7, ..one }, 1)];
    assert_eq!(told_with(life), [(5, "drive.appeared"), (5, "document.variant")]);
}

#[test]
fn a_register_goes_on_with_another_drive() {
    let other = DriveNumber::parse("7100000000000002").unwrap();
    let life = vec![
        registration(1, REGISTRATION, OURS, 0),
        Made { drive: other, ..registration(1, Form::REREGISTRATION, OURS, 1) },
    ];
    let expected = [
        (1, "drive.appeared"),
        (1, "registration.changed"),
        (1, "drive.appeared"),
        (1, "registration.changed"),
        (1, "drive.replaced"),
    ];
    assert_eq!(told(life), expected);
}

/// Why: the archive of a drive that a register had before came in later, and the register seemed to work with that one: its light, its
/// organisation and its silence were those of a drive in a drawer.
#[test]
fn an_older_drive_of_an_archive_stands_among_those_before() {
    let drive = |number: &str| DriveNumber::parse(number).unwrap();
    let (first, second, third) =
        (drive("7100000000000001"), drive("7100000000000002"), drive("7100000000000003"));
    let of = |drive, at| Made { drive, at, ..registration(1, REGISTRATION, OURS, 0) };
    let drives = |documents: &[(Made, bool)]| {
        let (mut registers, mut events) = (Registers::new(Some(OURS.to_owned()), 3), Vec::new());
        for (lsn, (made, imported)) in (1..).zip(documents.iter().cloned()) {
            let sent = Sent::new(made, 0, lsn);
            let seen = Seen { imported, ..sent.seen() };
            registers.take(&seen, &Delivered(&[]), &mut events).unwrap();
            registers = super::restored(&registers);
        }
        let card = registers.card(Realm::Prod, "0000000000000001").unwrap();
        card.drives.iter().map(|it| it.drive).collect::<Vec<_>>()
    };
    let (live, import) = (false, true);
    let third_first =
        [(of(third, FROM + 300), live), (of(first, FROM), import), (of(second, FROM + 100), import)];
    assert_eq!(drives(&third_first), [first, second, third]);
    let backwards =
        [(of(third, FROM + 300), import), (of(second, FROM + 100), import), (of(first, FROM), import)];
    assert_eq!(drives(&backwards), [first, second, third]);
    // A newer one is the one it works with, and so is one over the wire, whatever its clock says.
    assert_eq!(drives(&[(of(first, FROM), live), (of(second, FROM + 100), import)]), [first, second]);
    assert_eq!(drives(&[(of(first, FROM + 100), live), (of(second, FROM), live)]), [first, second]);
}

#[test]
fn a_shift_that_was_not_closed_and_one_that_was_skipped() {
    let life =
        vec![in_shift(1, OPEN, 1, 0), in_shift(2, OPEN, 2, 0), closing(3, 2, 0, 2), in_shift(4, OPEN, 4, 0)];
    let expected = [
        (2, "shift.not-closed"),
        (2, "shift.opened"),
        (3, "shift.closed"),
        (3, "shift.state"),
        (4, "shift.number"),
        (4, "shift.opened"),
    ];
    assert_eq!(after(1, told(life)), expected);
}

#[test]
fn receipts_outside_of_a_shift_and_out_of_their_order() {
    let life = vec![
        in_shift(1, OPEN, 1, 0),
        in_shift(2, RECEIPT, 1, 1),
        in_shift(3, RECEIPT, 1, 3),
        closing(4, 1, 2, 4),
        in_shift(5, RECEIPT, 1, 4),
        in_shift(6, RECEIPT, 2, 1),
    ];
    let expected = [
        (3, "shift.number-inside"),
        (4, "shift.closed"),
        (4, "shift.state"),
        (5, "shift.outside"),
        (6, "shift.outside"),
    ];
    assert_eq!(after(1, told(life)), expected);
}

#[test]
fn a_shift_longer_than_a_day() {
    let late = |seconds| Made { at: FROM + 60 + seconds, ..in_shift(2, RECEIPT, 1, 1) };
    let life = |seconds| vec![in_shift(1, OPEN, 1, 0), late(seconds)];
    assert_eq!(after(1, told(life(86_400))), []);
    assert_eq!(after(1, told(life(86_401))), [(2, "shift.too-long")]);
}

// By our clock: a till that falls silent with an open shift is told of as well. A tick tells it once, and none tells it of a
// shift that was closed in time or that an archive brought in.
#[test]
fn a_shift_that_stays_open_is_told_by_a_tick() {
    const HOUR_US: i64 = 3_600_000_000;
    let opened_us = Sent::new(in_shift(1, OPEN, 1, 0), 0, 1).seen().received_at_us;
    let life =
        [in_shift(1, OPEN, 1, 0), in_shift(2, RECEIPT, 1, 1), closing(3, 1, 1, 3), in_shift(4, OPEN, 2, 0)];
    let told = |documents: usize, imported: bool, restarts: bool| {
        let (mut registers, mut events) = (Registers::new(Some(OURS.to_owned()), 0), Vec::new());
        for (lsn, made) in (1..).zip(life.iter().take(documents).cloned()) {
            let sent = Sent::new(made, 0, lsn);
            let seen = Seen { imported, received_at_us: opened_us, ..sent.seen() };
            registers.take(&seen, &Delivered(&[]), &mut events).unwrap();
        }
        events.clear();
        for (lsn, hours) in (100..).zip([1, 23, 24, 25, 30, 1000]) {
            if restarts {
                registers = super::restored(&registers);
            }
            let due = registers.due_us().is_some_and(|due| due <= opened_us + hours * HOUR_US);
            let before = events.len();
            registers.tick(Position::new(Lsn::new(lsn)), opened_us + hours * HOUR_US, &mut events);
            assert!(due || events.len() == before, "nothing happens before something is due");
        }
        // What is left is that nothing has come for sixty days, of a drive that sends.
        assert_eq!(registers.due_us().is_none(), imported);
        let apart = ["colour.changed", "finding.found", "finding.ended"];
        let told = events.iter().filter(|it| !apart.contains(&it.kind.name()));
        told.map(|it| (it.position.as_u64(), it.number, it.kind.name())).collect::<Vec<_>>()
    };
    for restarts in [false, true] {
        assert_eq!(told(2, false, restarts), [(103, 1, "shift.overdue")]);
        assert_eq!(told(3, false, restarts), []);
        assert_eq!(told(4, false, restarts), [(103, 4, "shift.overdue")]);
        assert_eq!(told(2, true, restarts), []);
    }
}

#[test]
fn counters_that_differ() {
    let wrong = |close: Made| vec![in_shift(1, OPEN, 1, 0), in_shift(2, RECEIPT, 1, 1), close];
    let (closed, mismatch, state) = ((3, "shift.closed"), (3, "shift.mismatch"), (3, "shift.state"));
    assert_eq!(after(1, told(wrong(closing(3, 1, 1, 3)))), [closed, state]);
    assert_eq!(after(1, told(wrong(closing(3, 1, 2, 3)))), [closed, mismatch, state]);
    assert_eq!(after(1, told(wrong(closing(3, 1, 1, 4)))), [closed, mismatch, state]);
}

// A queue that arrives after the shift was closed: nothing is said of its counters until it is whole.
#[test]
fn a_late_document_revises_a_closed_shift() {
    let life = |receipts| {
        vec![
            in_shift(1, OPEN, 1, 0),
            in_shift(3, RECEIPT, 1, 2),
            closing(4, 1, receipts, 4),
            in_shift(2, RECEIPT, 1, 1),
        ]
    };
    // The opening of a gap, the closing of the shift and its state come before.
    let late = |receipts| after(1, told(life(receipts))).split_off(3);
    let revised = [(2, "gap.closed"), (2, "shift.revised")];
    let state = (2, "shift.state");
    assert_eq!(late(2), [&revised[..], &[(2, "shift.agrees"), state]].concat());
    assert_eq!(late(3), [&revised[..], &[(2, "shift.mismatch"), state]].concat());
}

#[test]
fn a_clock_that_goes_back() {
    let life = vec![in_shift(1, OPEN, 1, 0), Made { at: FROM, ..in_shift(2, RECEIPT, 1, 1) }];
    assert_eq!(after(1, told(life)), [(2, "drive.time-backwards")]);
}

#[test]
fn flags_of_the_drive_and_its_backlog() {
    let open = |number, shift, flags, unsent| Made {
        report: Some((flags, unsent)),
        ..in_shift(number, OPEN, shift, 0)
    };
    let close =
        |number, shift, flags, unsent| Made { report: Some((flags, unsent)), ..closing(number, shift, 0, 2) };
    let life = vec![
        open(1, 1, 0, 0),
        close(2, 1, 0b101, 0),
        open(3, 2, 0b101, 7),
        close(4, 2, 0b001, 0),
        open(5, 3, 1, 0),
    ];
    let expected = [
        (2, "drive.flags"),
        (2, "shift.closed"),
        (2, "shift.state"),
        (3, "drive.backlog"),
        (3, "shift.opened"),
        (4, "drive.flags"),
        (4, "drive.backlog"),
        (4, "shift.closed"),
        (4, "shift.state"),
        (5, "shift.opened"),
    ];
    assert_eq!(after(1, told(life)), expected);
}

// What the tax service refuses has to reach whoever can mend it; what it accepts is no event.
#[test]
fn answers_of_the_tax_service_are_told() {
    use ofd_engine::storage::status::{StatusEvent, StatusKind, StatusOf, encode};
    let (mut registers, mut events) = (Registers::new(Some(OURS.to_owned()), 3), Vec::new());
    let life = [registration(1, REGISTRATION, OURS, 0), in_shift(2, OPEN, 1, 0)];
    for (lsn, made) in (1..).zip(life) {
        let sent = Sent { realm: Realm::Test, ..Sent::new(made, 0, lsn) };
        registers.take(&sent.seen(), &Delivered(&[]), &mut events).unwrap();
    }
    let (drive, inn) = (events[0].drive, events[0].inn.clone());
    events.clear();
    let answer = |kind, number| StatusEvent {
        kind,
        position: u64::from(number),
        drive: drive.to_bcd_u64(),
        number,
        attempt: 1,
        code: Some(507),
        tag: Some(1020),
        ..StatusEvent::default()
    };
    let kinds = [
        StatusKind::Sent,
        StatusKind::Accepted,
        StatusKind::Warned,
        StatusKind::Duplicate,
        StatusKind::Refused,
    ];
    let answers: Vec<StatusEvent> = kinds.map(|kind| answer(kind, 2)).to_vec();
    let at = Position::new(Lsn::new(9));
    registers.answered(at, 1_800_000_000_000_000, &encode(StatusOf::Tax, &answers), &mut events);
    registers.answered(at, 1_800_000_000_000_000, &encode(StatusOf::Delivery, &answers), &mut events);
    registers.answered(at, 1_800_000_000_000_000, b"nothing of the kind", &mut events);
    let names: Vec<_> = events.iter().map(|it| (it.index, it.number, it.kind.name())).collect();
    // A warning turns the light yellow, and a refusal red.
    assert_eq!(names[..2], [(0, 2, "tax.answered"), (1, 2, "colour.changed")]);
    assert_eq!(names[2..], [(2, 2, "tax.answered"), (3, 2, "colour.changed")]);
    assert!(events.iter().all(|it| it.position == at && it.drive == drive && it.inn == inn));
}

// Makers reset test drives; a production drive that begins anew is another document under the number 1.
#[test]
fn a_test_drive_begins_anew() {
    let (mut registers, mut events) = (Registers::new(Some(OURS.to_owned()), 3), Vec::new());
    let life = [registration(1, REGISTRATION, OURS, 0), in_shift(2, OPEN, 1, 0)];
    for (lsn, made) in (1..).zip([&life[..], &life[..]].concat()) {
        let sent = Sent { realm: Realm::Test, ..Sent::new(made, 0, lsn) };
        registers.take(&sent.seen(), &Delivered(&[]), &mut events).unwrap();
    }
    let names: Vec<_> = named(&events);
    let once = [(1, "drive.appeared"), (1, "registration.changed"), (2, "shift.opened")];
    assert_eq!(names, [&once[..], &[(1, "drive.generation")], &once[..]].concat());
    let drive = registers.drives().next().unwrap();
    assert_eq!((drive.generation, drive.documents), (1, 2));
}
