//! A table of scenarios: what comes when, and what is told of the light. Each is also interrupted behind every record.

use ofd_engine::codec::{DriveNumber, Form};
use ofd_engine::registers::{LaneSeed, Note};
use ofd_engine::storage::envelope::Realm;
use ofd_engine::storage::status::{StatusEvent, StatusKind};
use ofd_engine::watch::{Colour, Hours, Place, Schedule, Scope, Season, Threshold, WatchCommand};

use crate::world::{DAY, Doc, HOUR, INN, MINUTE, MONDAY, OURS, Step, doc, rnm, run, told};

const TICK: Step = Step::Tick;

fn at(days: u32, hours: u32) -> u32 {
    MONDAY + days * DAY + hours * HOUR
}

fn receipt(number: u32) -> Step {
    Step::Doc(doc(number, Form::RECEIPT))
}

fn of(number: u32, form: Form, change: impl FnOnce(&mut Doc)) -> Step {
    let mut doc = doc(number, form);
    change(&mut doc);
    Step::Doc(doc)
}

fn set(scope: Scope, values: &[(Threshold, Option<u32>)]) -> Step {
    Step::Command(WatchCommand::SetThresholds { scope, values: values.to_vec(), by: "x".to_owned() })
}

fn place(schedule: Schedule, outlet: Option<&str>) -> Step {
    let place = Place { outlet: outlet.map(str::to_owned), inn: None, schedule };
    Step::Command(WatchCommand::PlaceRegister { rnm: rnm(1), place, by: "x".to_owned() })
}

/// What is told is what stands here, wherever the fold is interrupted; a tick that nothing waits for tells nothing.
fn scenario(name: &str, steps: Vec<(u32, Step)>, expected: &[&str]) {
    let (whole, events) = run(&steps, None);
    assert_eq!(told(&events), expected, "{name}");
    for cut in 0..steps.len() {
        let (registers, again) = run(&steps, Some(cut));
        assert_eq!(again, events, "{name}, interrupted behind {cut}");
        assert!(registers == whole, "{name}, interrupted behind {cut}");
    }
}

// Inputs of the transfer facet: the last document, and evidence of documents that wait.
#[test]
fn silence_is_told_once_and_so_is_its_end() {
    scenario(
        "silence",
        vec![
            (at(0, 10), receipt(1)),
            (at(1, 10) - 1, TICK),
            (at(1, 10), TICK),
            (at(1, 11), TICK),
            (at(3, 10), TICK),
            (at(3, 12), TICK),
            (at(3, 13), receipt(2)),
            (at(3, 14), receipt(3)),
            (at(4, 14), TICK),
        ],
        &[
            "d1+10:00 green→yellow: transfer.silent yellow since d1+10:00",
            "d3+10:00 yellow→red: transfer.silent red since d3+10:00",
            "d3+13:00 red→green:",
            "d4+14:00 green→yellow: transfer.silent yellow since d4+14:00",
        ],
    );
    scenario(
        "a tick that comes late tells since when",
        vec![(at(0, 10), receipt(1)), (at(9, 0), TICK)],
        &["d9+00:00 green→red: transfer.silent red since d3+10:00"],
    );
    let drive = DriveNumber::parse("7100000100000001").unwrap();
    let seed = LaneSeed { rnm: Some(rnm(1)), inn: Some(INN.to_owned()), ..LaneSeed::new(drive, 7) };
    scenario(
        "a register that moved in and says nothing",
        vec![(at(0, 10), Step::Seed(seed)), (at(1, 10), TICK)],
        &["d1+10:00 green→yellow: transfer.silent yellow since d1+10:00"],
    );
}

#[test]
fn the_block_is_counted_down_by_evidence_only() {
    let close =
        |number, unsent| of(number, Form::CLOSE_SHIFT, |it| (it.shift, it.unsent) = (Some(1), unsent));
    let long =
        || set(Scope::Default, &[(Threshold::SilentYellowH, Some(0)), (Threshold::SilentRedH, Some(0))]);
    scenario(
        "documents that wait",
        vec![
            (at(0, 8), long()),
            (at(0, 9), set(Scope::Default, &[(Threshold::UnsentYellowD, Some(10))])),
            (at(0, 10), close(5, Some((3, at(0, 6))))),
            (at(10, 6) - 1, TICK),
            (at(10, 6), TICK),
            (at(20, 6), TICK),
            (at(21, 0), close(6, Some((1, at(20, 0))))),
            (at(30, 0), TICK),
            (at(30, 1), close(7, Some((0, 0)))),
        ],
        &[
            "d10+06:00 green→yellow: transfer.unsent yellow since d10+06:00",
            "d20+06:00 yellow→red: transfer.unsent red since d20+06:00",
            "d21+00:00 red→green:",
            "d30+00:00 green→yellow: transfer.unsent yellow since d30+00:00",
            "d30+01:00 yellow→green:",
        ],
    );
    scenario(
        "an empty queue never blocks, nor does one that has been sent since",
        vec![
            (at(0, 8), long()),
            (at(0, 10), close(5, Some((0, 0)))),
            (at(40, 0), TICK),
            (at(40, 1), close(6, Some((2, at(39, 0))))),
            (at(40, 2), of(7, Form::OPEN_SHIFT, |_| ())),
            (at(70, 0), TICK),
        ],
        &[],
    );
    let autonomous =
        |number| of(number, Form::REGISTRATION, |it| (it.operator, it.autonomous) = (Some(OURS), true));
    scenario(
        "an autonomous register has neither silence nor block",
        vec![(at(0, 10), autonomous(1)), (at(0, 11), close(2, Some((2, at(0, 6))))), (at(300, 0), TICK)],
        &[],
    );
    scenario(
        "flag 1053",
        vec![
            (at(0, 10), of(1, Form::CLOSE_SHIFT, |it| it.flags = Some(8))),
            (at(0, 11), of(2, Form::CLOSE_SHIFT, |it| it.flags = Some(8))),
            (at(0, 12), of(3, Form::CLOSE_SHIFT, |it| it.flags = Some(0))),
        ],
        &["d0+10:00 green→yellow: transfer.unconfirmed yellow since d0+10:00", "d0+12:00 yellow→green:"],
    );
}

#[test]
fn a_shift_that_stays_open_is_told() {
    let open = |number, late| of(number, Form::OPEN_SHIFT, |it| (it.shift, it.late) = (Some(1), late));
    let close = |number| of(number, Form::CLOSE_SHIFT, |it| it.shift = Some(1));
    scenario(
        "22 and 24 hours",
        vec![
            (at(0, 9), open(1, 0)),
            (at(0, 20), receipt(2)),
            (at(1, 7) - 1, TICK),
            (at(1, 7), TICK),
            (at(1, 9), TICK),
            (at(1, 10), close(3)),
        ],
        &[
            "d1+07:00 green→yellow: shift.open yellow since d1+07:00",
            "d1+09:00 yellow→red: shift.open red since d1+09:00",
            "d1+10:00 red→green:",
        ],
    );
    let moscow = Schedule { zone_min: Some(180), ..Schedule::default() };
    scenario(
        "where the zone is known a report that came late counts from when it was made",
        vec![(at(0, 8), place(moscow, None)), (at(0, 19), open(1, 10 * HOUR)), (at(1, 7), TICK)],
        &["d1+07:00 green→yellow: shift.open yellow since d1+07:00"],
    );
    scenario(
        "where it is not it counts from when it came",
        vec![(at(0, 19), open(1, 10 * HOUR)), (at(1, 16), TICK), (at(1, 17), TICK)],
        &["d1+17:00 green→yellow: shift.open yellow since d1+17:00"],
    );
}

#[test]
fn the_end_of_service_is_told_before_it_comes() {
    let until = |days| Schedule { service_to: at(days, 0), ..Schedule::default() };
    let mut steps = vec![(at(0, 8), place(until(40), Some("7")))];
    steps.push((at(0, 9), set(Scope::Default, &[(Threshold::SilentYellowH, Some(0))])));
    steps.push((at(0, 9), set(Scope::Default, &[(Threshold::SilentRedH, Some(0))])));
    steps.extend([(at(0, 10), receipt(1)), (at(10, 0), TICK), (at(40, 0), TICK)]);
    steps.push((at(41, 0), place(until(400), Some("7"))));
    scenario(
        "30 days before, the day itself, and a new contract",
        steps,
        &[
            "d10+00:00 green→yellow: connection.ends yellow since d10+00:00",
            "d40+00:00 yellow→red: connection.ends red since d40+00:00",
            "d41+00:00 red→green:",
        ],
    );
}

#[test]
fn the_drive_is_watched_by_term_memory_and_its_own_flags() {
    let quiet = set(Scope::Default, &[(Threshold::SilentYellowH, Some(0)), (Threshold::SilentRedH, Some(0))]);
    let keys = |number, days| of(number, Form::CLOSE_SHIFT, move |it| it.key_days = Some(days));
    scenario(
        "term",
        vec![
            (at(0, 1), quiet.clone()),
            (at(0, 10), keys(1, 40)),
            (at(10, 10), TICK),
            (at(37, 10), TICK),
            (at(38, 0), of(1, Form::REGISTRATION, |it| (it.drive, it.key_days) = (2, Some(410)))),
        ],
        &[
            "d10+10:00 green→yellow: drive.ends yellow since d10+10:00",
            "d37+10:00 yellow→red: drive.ends red since d37+10:00",
            "d38+00:00 red→green:",
        ],
    );
    let capacity = set(Scope::Register(rnm(1)), &[(Threshold::DriveDocuments, Some(100))]);
    scenario(
        "memory",
        vec![
            (at(0, 1), quiet.clone()),
            (at(0, 2), receipt(89)),
            (at(0, 3), capacity),
            (at(0, 4), receipt(90)),
            (at(0, 5), receipt(91)),
            (at(0, 6), receipt(100)),
        ],
        &[
            "d0+04:00 green→yellow: drive.fills yellow since d0+04:00",
            "d0+06:00 yellow→red: drive.fills red since d0+06:00",
        ],
    );
    let flags = |number, flags| of(number, Form::CLOSE_SHIFT, move |it| it.flags = Some(flags));
    scenario(
        "flags 1050, 1051, 1052",
        vec![
            (at(0, 1), quiet),
            (at(0, 2), flags(1, 1)),
            (at(0, 3), flags(2, 3)),
            (at(0, 4), flags(3, 7)),
            (at(0, 5), flags(4, 0)),
        ],
        &[
            "d0+02:00 green→yellow: drive.running-out yellow since d0+02:00",
            "d0+03:00 yellow→red: drive.running-out yellow since d0+02:00 drive.replace-now red since d0+03:00",
            "d0+05:00 red→green:",
        ],
    );
    scenario(
        "a drive whose archive is closed and a register that has left have nothing to do",
        vec![
            (at(0, 2), flags(1, 7)),
            (at(0, 3), of(2, Form::CLOSE_ARCHIVE, |_| ())),
            (at(9, 3), TICK),
            (at(9, 4), of(1, Form::REGISTRATION, |it| (it.drive, it.operator) = (2, Some("7700002008")))),
            (at(90, 3), TICK),
        ],
        &[
            "d0+02:00 green→red: drive.running-out yellow since d0+02:00 drive.replace-now red since d0+02:00 \
             drive.full red since d0+02:00",
            "d0+03:00 red→green:",
        ],
    );
}

// Fed by what others say; nothing is known until they do.
#[test]
fn registration_and_quality_stand_as_long_as_others_say() {
    let quiet =
        || set(Scope::Default, &[(Threshold::SilentYellowH, Some(0)), (Threshold::SilentRedH, Some(0))]);
    scenario(
        "registration",
        vec![
            (at(0, 1), quiet()),
            (at(0, 2), receipt(1)),
            (at(0, 3), Step::Note(Note::Unregistered)),
            (at(0, 4), Step::Note(Note::Unregistered)),
            (at(0, 5), Step::Note(Note::RegistrationRefused)),
            (at(0, 6), Step::Note(Note::RegistrationAccepted)),
        ],
        &[
            "d0+03:00 green→yellow: registration.unfinished yellow since d0+03:00",
            "d0+05:00 yellow→red: registration.unfinished yellow since d0+03:00 registration.refused red since d0+05:00",
            "d0+06:00 red→green:",
        ],
    );
    scenario(
        "quality",
        vec![
            (at(0, 1), quiet()),
            (at(0, 2), receipt(1)),
            (at(0, 3), Step::Note(Note::SoftQuarantine)),
            (at(0, 4), Step::Note(Note::SoftQuarantine)),
            (at(7, 4), TICK),
            (at(11, 0), Step::Note(Note::Found)),
            (at(12, 0), Step::Note(Note::Found)),
            (at(13, 0), Step::Note(Note::HardQuarantine)),
            (at(18, 23), TICK),
            (at(19, 0), TICK),
            (at(20, 0), TICK),
        ],
        &[
            "d0+03:00 green→yellow: quality.soft yellow since d0+03:00",
            "d7+04:00 yellow→green:",
            "d11+00:00 green→yellow: quality.found yellow since d11+00:00",
            "d13+00:00 yellow→red: quality.found yellow since d11+00:00 quality.hard red since d13+00:00",
            "d20+00:00 red→green:",
        ],
    );
}

// What the rules find must colour the register with the document that breaks them, and not for ever.
#[test]
fn an_error_that_a_rule_finds_is_a_reason() {
    let quiet =
        || set(Scope::Default, &[(Threshold::SilentYellowH, Some(0)), (Threshold::SilentRedH, Some(0))]);
    scenario(
        "receipts outside of a shift",
        vec![
            (at(0, 1), quiet()),
            (at(0, 2), of(1, Form::OPEN_SHIFT, |it| it.shift = Some(1))),
            (at(0, 3), of(2, Form::CLOSE_SHIFT, |it| it.shift = Some(1))),
            (at(0, 4), Step::Rule("D4.2", true)),
            (at(0, 5), of(3, Form::RECEIPT, |it| it.shift = Some(1))),
            (at(1, 5), of(4, Form::RECEIPT, |it| it.shift = Some(1))),
            (at(7, 5), TICK),
            (at(8, 5), TICK),
            // Out of an archive: it has happened long ago.
            (at(9, 0), of(5, Form::RECEIPT, |it| (it.shift, it.imported) = (Some(1), true))),
            (at(9, 1), of(6, Form::RECEIPT, |it| it.shift = Some(1))),
        ],
        &[
            "d0+05:00 green→yellow: quality.found yellow since d0+05:00",
            "d8+05:00 yellow→green:",
            "d9+01:00 green→yellow: quality.found yellow since d9+01:00",
        ],
    );
}

// It is told once, and is there however long ago that was.
#[test]
fn an_error_that_lasts_is_a_reason_until_it_ends() {
    let quiet =
        || set(Scope::Default, &[(Threshold::SilentYellowH, Some(0)), (Threshold::SilentRedH, Some(0))]);
    scenario(
        "a number that is missing",
        vec![
            (at(0, 1), quiet()),
            (at(0, 2), Step::Rule("D2", true)),
            (at(0, 3), of(1, Form::REGISTRATION, |_| ())),
            (at(0, 4), of(3, Form::CURRENT_STATE, |_| ())),
            (at(8, 5), TICK),
            (at(20, 0), of(4, Form::CURRENT_STATE, |_| ())),
            (at(28, 0), TICK),
            (at(30, 0), of(2, Form::CURRENT_STATE, |_| ())),
        ],
        &["d0+04:00 green→yellow: quality.found yellow since d0+04:00", "d30+00:00 yellow→green:"],
    );
}

// A register that says nothing would keep the colour of a rule that nobody asks any more, or lack that of one that is asked again.
#[test]
fn a_rule_that_is_switched_colours_registers_that_say_nothing() {
    let quiet =
        || set(Scope::Default, &[(Threshold::SilentYellowH, Some(0)), (Threshold::SilentRedH, Some(0))]);
    let gap = |more: Vec<(u32, Step)>| {
        let mut steps = vec![
            (at(0, 1), quiet()),
            (at(0, 2), Step::Rule("D2", true)),
            (at(0, 3), of(1, Form::REGISTRATION, |_| ())),
            (at(0, 4), of(3, Form::CURRENT_STATE, |_| ())),
        ];
        steps.extend(more);
        steps
    };
    scenario(
        "the days of what was found are over",
        gap(vec![
            (at(20, 0), Step::Rule("D2", false)),
            // Another rule is nothing to it.
            (at(21, 0), Step::Rule("D4.2", true)),
            (at(22, 0), Step::Rule("D2", true)),
            (at(22, 1), Step::Rule("D2", true)),
            (at(23, 0), Step::Rule("D2", false)),
        ]),
        &[
            "d0+04:00 green→yellow: quality.found yellow since d0+04:00",
            "d20+00:00 yellow→green:",
            "d22+00:00 green→yellow: quality.found yellow since d0+04:00",
            "d23+00:00 yellow→green:",
        ],
    );
    scenario(
        "an error found in these days stays one",
        gap(vec![(at(3, 0), Step::Rule("D2", false)), (at(7, 3), TICK), (at(7, 4), TICK)]),
        &["d0+04:00 green→yellow: quality.found yellow since d0+04:00", "d7+04:00 yellow→green:"],
    );
}

// Zero days: what was said once stands for ever, and since then.
#[test]
fn a_row_that_never_ends_stands_since_it_began() {
    let quiet = || {
        let off = [Threshold::SilentYellowH, Threshold::SilentRedH, Threshold::QualityD];
        set(Scope::Default, &off.map(|it| (it, Some(0))))
    };
    scenario(
        "quality without an end",
        vec![
            (at(0, 1), quiet()),
            (at(0, 2), receipt(1)),
            (at(1, 0), Step::Note(Note::SoftQuarantine)),
            (at(90, 0), Step::Note(Note::SoftQuarantine)),
            (at(91, 0), Step::Note(Note::HardQuarantine)),
        ],
        &[
            "d1+00:00 green→yellow: quality.soft yellow since d1+00:00",
            "d91+00:00 yellow→red: quality.soft yellow since d1+00:00 quality.hard red since d91+00:00",
        ],
    );
}

// The answers of the tax service are records of the log: of the registration in force they are about the register.
#[test]
fn answers_of_the_tax_service_are_reasons() {
    let quiet = set(Scope::Default, &[(Threshold::SilentYellowH, Some(0)), (Threshold::SilentRedH, Some(0))]);
    let answer = |kind, number| {
        let drive = doc(1, Form::RECEIPT).drive_number().to_bcd_u64();
        Step::Answer(StatusEvent { kind, drive, number, attempt: 1, ..StatusEvent::default() })
    };
    scenario(
        "answers",
        vec![
            (at(0, 1), quiet),
            (at(0, 2), of(1, Form::REGISTRATION, |it| it.operator = Some(OURS))),
            (at(0, 3), receipt(2)),
            (at(0, 4), answer(StatusKind::Sent, 1)),
            (at(0, 5), answer(StatusKind::Warned, 1)),
            (at(0, 6), answer(StatusKind::Refused, 1)),
            (at(0, 7), answer(StatusKind::Accepted, 2)),
            (at(0, 8), answer(StatusKind::Accepted, 1)),
            (at(0, 9), answer(StatusKind::Warned, 2)),
            (at(0, 10), answer(StatusKind::Quarantined, 3)),
            (at(7, 10), TICK),
        ],
        &[
            "d0+05:00 green→yellow: registration.unfinished yellow since d0+05:00",
            "d0+06:00 yellow→red: registration.unfinished yellow since d0+05:00 registration.refused red since d0+06:00",
            "d0+08:00 red→green:",
            "d0+09:00 green→yellow: quality.soft yellow since d0+09:00",
            "d0+10:00 yellow→red: quality.soft yellow since d0+09:00 quality.hard red since d0+10:00",
            "d7+10:00 red→green:",
        ],
    );
}

// Each level, each value by itself, at the record of the command.
#[test]
fn thresholds_are_inherited_and_take_effect_at_their_record() {
    let silent = |hours| [(Threshold::SilentYellowH, hours)];
    let inn = || Scope::Organisation(INN.to_owned());
    let outlet = || Scope::Outlet("7".to_owned());
    let register = || Scope::Register(rnm(1));
    scenario(
        "from the default down and back",
        vec![
            (at(0, 1), place(Schedule::default(), Some("7"))),
            (at(0, 10), receipt(1)),
            (at(0, 12), set(Scope::Default, &silent(Some(2)))),
            (at(0, 13), set(inn(), &silent(Some(4)))),
            (at(0, 14), set(outlet(), &silent(Some(3)))),
            (at(0, 15), set(register(), &silent(Some(24)))),
            (at(0, 16), set(register(), &silent(None))),
            (at(0, 17), set(outlet(), &silent(None))),
            (at(0, 18), set(inn(), &silent(Some(10)))),
            (at(0, 20), TICK),
            (at(0, 21), set(Scope::Outlet("8".to_owned()), &silent(Some(24)))),
            (at(0, 22), place(Schedule::default(), Some("8"))),
        ],
        &[
            "d0+12:00 green→yellow: transfer.silent yellow since d0+12:00",
            "d0+13:00 yellow→green:",
            "d0+14:00 green→yellow: transfer.silent yellow since d0+13:00",
            "d0+15:00 yellow→green:",
            "d0+16:00 green→yellow: transfer.silent yellow since d0+13:00",
            "d0+18:00 yellow→green:",
            "d0+20:00 green→yellow: transfer.silent yellow since d0+20:00",
            "d0+22:00 yellow→green:",
        ],
    );
    scenario(
        "a value by itself",
        vec![
            (at(0, 1), set(inn(), &[(Threshold::SilentRedH, Some(30))])),
            (at(0, 2), set(register(), &silent(Some(12)))),
            (at(0, 10), receipt(1)),
            (at(0, 22), TICK),
            (at(1, 16), TICK),
            (at(1, 17), set(inn(), &[(Threshold::SilentRedH, None)])),
        ],
        &[
            "d0+22:00 green→yellow: transfer.silent yellow since d0+22:00",
            "d1+16:00 yellow→red: transfer.silent red since d1+16:00",
            "d1+17:00 red→yellow: transfer.silent yellow since d0+22:00",
        ],
    );
}

// A receipt of which nothing is told leaves what is green unjudged, unless something that the light looks at is different.
#[test]
fn a_receipt_without_an_event_is_looked_at_where_it_matters() {
    const OTHER: &str = "7704211201";
    let silent = |inn: &str| set(Scope::Organisation(inn.to_owned()), &[(Threshold::SilentYellowH, Some(2))]);
    scenario(
        "it names another organisation, which has thresholds of its own",
        vec![
            (at(0, 1), silent(OTHER)),
            (at(0, 10), receipt(1)),
            (at(0, 11), receipt(2)),
            (at(0, 12), of(3, Form::RECEIPT, |it| it.inn = OTHER)),
            (at(0, 14), TICK),
        ],
        &["d0+14:00 green→yellow: transfer.silent yellow since d0+14:00"],
    );
    let capacity = set(Scope::Register(rnm(1)), &[(Threshold::DriveDocuments, Some(100))]);
    scenario(
        "it is the one that fills the drive",
        vec![
            (at(0, 2), capacity),
            (at(0, 3), receipt(88)),
            (at(0, 4), receipt(89)),
            (at(0, 5), receipt(90)),
            (at(0, 6), receipt(91)),
        ],
        &["d0+05:00 green→yellow: drive.fills yellow since d0+05:00"],
    );
    let opened = |number| of(number, Form::OPEN_SHIFT, |it| (it.nameless, it.shift) = (true, Some(1)));
    scenario(
        "it comes behind a report that names no register",
        vec![
            (at(0, 10), receipt(1)),
            (at(0, 11), opened(2)),
            (at(0, 12), of(3, Form::RECEIPT, |it| it.shift = Some(1))),
            (at(1, 9), TICK),
        ],
        &["d1+09:00 green→yellow: shift.open yellow since d1+09:00"],
    );
    let served = Schedule { service_to: at(60, 0), ..Schedule::default() };
    scenario(
        "it is the first that was heard at a time that counts",
        vec![
            (at(0, 1), place(served, None)),
            (at(0, 10), of(1, Form::RECEIPT, |it| (it.imported, it.late) = (true, at(0, 10)))),
            (at(0, 11), receipt(2)),
            (at(1, 11), TICK),
        ],
        &["d1+11:00 green→yellow: transfer.silent yellow since d1+11:00"],
    );
}

#[test]
fn silence_follows_hours_and_season() {
    let open = Hours::parse_day("09:00-20:00");
    let hours = Hours([open, open, open, open, open, None, None]);
    let shop = Schedule { hours: Some(hours), ..Schedule::default() };
    scenario(
        "a week-end",
        vec![
            (at(0, 8), place(shop, None)),
            (at(4, 19) + 55 * MINUTE, receipt(1)),
            (at(6, 23), TICK),
            (at(7, 19), TICK),
            (at(7, 19) + 55 * MINUTE, TICK),
        ],
        &["d7+19:55 green→yellow: transfer.silent yellow since d7+19:55"],
    );
    let season = Season { from: (3, 1), to: (3, 4) };
    scenario(
        "out of season",
        vec![
            (at(0, 8), place(Schedule { season: Some(season), ..Schedule::default() }, None)),
            (at(2, 12), receipt(1)),
            (at(300, 0), TICK),
            (at(364, 12), TICK),
        ],
        &["d364+12:00 green→yellow: transfer.silent yellow since d364+12:00"],
    );
}

// What an archive brings in was told elsewhere, years ago, but for the end of what was told here; what happens from now on is told
// from the colour on that was told last: else a state would end of which nobody has heard, or one that was told would never end.
#[test]
fn an_archive_sets_colours_and_tells_those_that_get_better() {
    let imported = |number, late| of(number, Form::RECEIPT, |it| (it.imported, it.late) = (true, late));
    let mut steps = vec![(at(0, 10), imported(1, 30 * DAY))];
    let (registers, events) = run(&steps, None);
    assert_eq!(told(&events), Vec::<String>::new());
    assert_eq!(registers.facets(Realm::Prod, &rnm(1)).unwrap().colour(), Colour::Red);
    steps.extend([(at(0, 11), receipt(2)), (at(1, 11), TICK)]);
    scenario(
        "silent in the archive",
        steps,
        &["d1+11:00 green→yellow: transfer.silent yellow since d1+11:00"],
    );
    scenario(
        "silent here, and heard of in the archive",
        vec![
            (at(0, 10), receipt(1)),
            (at(1, 10), TICK),
            (at(1, 12), imported(2, HOUR)),
            (at(1, 13), TICK),
            (at(2, 11), TICK),
            (at(2, 12), receipt(3)),
        ],
        &[
            "d1+10:00 green→yellow: transfer.silent yellow since d1+10:00",
            "d1+12:00 yellow→green:",
            "d2+11:00 green→yellow: transfer.silent yellow since d2+11:00",
            "d2+12:00 yellow→green:",
        ],
    );
}

// A chain with more registers than a record has places for events: the rest is told by the ticks behind it, in order.
#[test]
fn a_record_tells_a_bounded_number_of_changes() {
    let count = u32::from(ofd_engine::registers::TOLD_AT_ONCE) + 10;
    let drive = |it: u32| DriveNumber::parse(&format!("71{it:014}")).unwrap();
    let seed =
        |it: u32| LaneSeed { rnm: Some(rnm(it)), inn: Some(INN.to_owned()), ..LaneSeed::new(drive(it), 7) };
    let mut steps: Vec<(u32, Step)> = (1..=count).map(|it| (at(0, 0), Step::Seed(seed(it)))).collect();
    steps.push((at(0, 6), set(Scope::Default, &[(Threshold::SilentYellowH, Some(6))])));
    let first = steps.len();
    steps.push((at(0, 6) + 1, TICK));
    steps.push((at(0, 6) + 2, TICK));
    let (registers, events) = run(&steps, None);
    let at_record = |number: usize| {
        let lsn = number as u64;
        events.iter().filter(|it| it.position.as_u64() == lsn && it.kind.name() == "colour.changed").count()
    };
    assert_eq!((at_record(first), at_record(first + 1), at_record(first + 2)), (60_000, 10, 0));
    let (again, twice) = run(&steps, Some(first));
    assert!(registers == again && events == twice);
    assert_eq!(registers.colours(), [0, count as usize, 0]);
}

// After a night on which the engine was down there is much to tell; no two events may have one place.
#[test]
fn shifts_that_are_overdue_all_at_once_have_places_of_their_own() {
    let count = u32::from(ofd_engine::registers::TOLD_AT_ONCE) + 7;
    let open = |register| of(1, Form::OPEN_SHIFT, |it| (it.register, it.shift) = (register, Some(1)));
    let mut steps: Vec<(u32, Step)> = (1..=count).map(|it| (at(0, 8), open(it))).collect();
    let first = steps.len() as u64 + 1;
    steps.extend((0..8).map(|tick| (at(1, 9) + tick, TICK)));
    let (_, events) = run(&steps, None);
    let of_record = |lsn: u64| events.iter().filter(|it| it.position.as_u64() == lsn).count();
    let told = [0, 1, 2, 3].map(|it| of_record(first + it));
    assert!(told.into_iter().all(|it| it <= usize::from(u16::MAX)), "{told:?}");
    for name in ["shift.overdue", "colour.changed"] {
        let drives: std::collections::BTreeSet<_> =
            events.iter().filter(|it| it.kind.name() == name).map(|it| it.drive.to_bcd_u64()).collect();
        assert_eq!(drives.len(), count as usize, "{name}: {told:?}");
    }
    let overdue = events.iter().filter(|it| it.kind.name() == "shift.overdue").count();
    assert_eq!(overdue, count as usize);
    let places: Vec<_> = events.iter().map(|it| (it.position, it.index)).collect();
    assert!(places.windows(2).all(|two| two[0] < two[1]));
    assert!(run(&steps, Some(first as usize)).1 == events);
}
