//! What an archive brings in beside what is told: nothing that it begins, and each end of what was told, once. Each scenario is
//! also interrupted behind every record.

use std::collections::BTreeSet;

use ofd_engine::codec::Form;
use ofd_engine::registers::{Event, EventKind, Registers};
use ofd_engine::storage::envelope::Realm;
use ofd_engine::watch::{Facet, Scope, Threshold, WatchCommand};

use crate::rounds;
use crate::world::{DAY, Doc, HOUR, MONDAY, OURS, Rng, Step, clock, doc, empty, fold, rnm, run};

const TICK: Step = Step::Tick;
const REREGISTRATION: Form = Form::REREGISTRATION;
const OPEN: Form = Form::OPEN_SHIFT;
const CLOSE: Form = Form::CLOSE_SHIFT;
const RECEIPT: Form = Form::RECEIPT;

fn at(days: u32, hours: u32) -> u32 {
    MONDAY + days * DAY + hours * HOUR
}

fn live(number: u32, form: Form, change: impl FnOnce(&mut Doc)) -> Step {
    let mut doc = doc(number, form);
    change(&mut doc);
    Step::Doc(doc)
}

fn imported(number: u32, form: Form, change: impl FnOnce(&mut Doc)) -> Step {
    live(number, form, |it| {
        change(it);
        it.imported = true;
    })
}

/// What is told of states, and of what has a beginning and an end, beside what happens for itself.
fn said(event: &Event) -> Option<String> {
    let said = match &event.kind {
        kind if !kind.is_news() => return None,
        EventKind::GapOpened(it) => format!("gap {}-{}", it.first, it.last),
        EventKind::GapClosed(it) => format!("gap {}-{} closed", it.first, it.last),
        EventKind::ServiceLeft => "left".to_owned(),
        EventKind::ServiceResumed => "resumed".to_owned(),
        EventKind::ShiftOpened { shift } => format!("shift {shift} opened"),
        EventKind::ShiftClosed { shift } => format!("shift {shift} closed"),
        EventKind::ShiftOverdue { shift } => format!("shift {shift} overdue"),
        EventKind::ShiftOverdueEnded { shift } => format!("shift {shift} overdue no more"),
        EventKind::ShiftState(it) => {
            let overdue = if it.shift.overdue { " overdue" } else { "" };
            format!("shift {} {}{overdue}", it.shift.number, it.shift.agreement().as_str())
        }
        EventKind::DriveFlags { flags, before } => format!("flags {before:04b}→{flags:04b}"),
        EventKind::Backlog { documents, before, .. } => format!("waiting {before}→{documents}"),
        EventKind::Found(it) if it.rule.rule().lasting => format!("{} began", it.rule.rule().key),
        EventKind::FindingEnded(it) => format!("{} ended", it.rule.rule().key),
        EventKind::ColourChanged(it) => {
            let reasons = it.reasons.iter().map(|it| format!(" {} {}", it.what.code(), it.colour.as_str()));
            format!("{}→{}{}", it.before().as_str(), it.now().as_str(), reasons.collect::<String>())
        }
        _ => return None,
    };
    Some(format!("{} {said}", clock((event.received_at_us / 1_000_000) as u32)))
}

fn scenario(name: &str, steps: Vec<(u32, Step)>, expected: &[&str]) {
    let (whole, events) = run(&steps, None);
    let told: Vec<String> = events.iter().filter_map(said).collect();
    assert_eq!(told, expected, "{name}");
    for cut in 0..steps.len() {
        let (registers, again) = run(&steps, Some(cut));
        assert_eq!(again, events, "{name}, interrupted behind {cut}");
        assert!(registers == whole, "{name}, interrupted behind {cut}");
    }
}

/// No silence, and no shift that is open for long, between the lines of a scenario.
fn quiet() -> Step {
    let values = [
        (Threshold::SilentYellowH, Some(0)),
        (Threshold::SilentRedH, Some(0)),
        (Threshold::ShiftYellowH, Some(0)),
        (Threshold::ShiftRedH, Some(0)),
    ];
    let (scope, values) = (Scope::Default, values.to_vec());
    Step::Command(WatchCommand::SetThresholds { scope, values, by: "x".to_owned() })
}

#[test]
fn a_gap_that_was_told_is_closed_by_an_archive() {
    let gap = || Step::Rule("D2", true);
    scenario(
        "told",
        vec![
            (at(0, 0), quiet()),
            (at(0, 1), gap()),
            (at(0, 2), live(1, RECEIPT, |_| ())),
            (at(0, 3), live(5, RECEIPT, |_| ())),
            (at(0, 4), imported(3, RECEIPT, |_| ())),
            (at(0, 5), imported(2, RECEIPT, |_| ())),
            (at(0, 6), imported(2, RECEIPT, |_| ())),
            (at(0, 7), imported(4, RECEIPT, |_| ())),
            (at(0, 8), live(6, RECEIPT, |_| ())),
        ],
        &[
            "d0+03:00 gap 2-4",
            "d0+03:00 D2 began",
            "d0+03:00 green→yellow quality.found yellow",
            "d0+05:00 gap 2-2 closed",
            "d0+07:00 gap 4-4 closed",
            "d0+07:00 D2 ended",
        ],
    );
    scenario(
        "not told",
        vec![
            (at(0, 0), quiet()),
            (at(0, 1), gap()),
            (at(0, 2), imported(1, RECEIPT, |_| ())),
            (at(0, 3), imported(9, RECEIPT, |_| ())),
            (at(0, 4), imported(5, RECEIPT, |_| ())),
            (at(0, 5), imported(2, RECEIPT, |_| ())),
            (at(0, 6), imported(3, RECEIPT, |_| ())),
            (at(0, 6), imported(4, RECEIPT, |_| ())),
            (at(0, 7), live(10, RECEIPT, |_| ())),
            // What comes over the wire has come, whoever had missed it; the state that it ends nobody had heard of.
            (at(0, 8), live(6, RECEIPT, |_| ())),
            (at(0, 8), live(7, RECEIPT, |_| ())),
            (at(0, 8), live(8, RECEIPT, |_| ())),
        ],
        &["d0+08:00 gap 8-8 closed"],
    );
    scenario(
        "one told and one not",
        vec![
            (at(0, 0), quiet()),
            (at(0, 1), gap()),
            (at(0, 2), live(1, RECEIPT, |_| ())),
            (at(0, 3), imported(3, RECEIPT, |_| ())),
            (at(0, 4), live(5, RECEIPT, |_| ())),
            (at(0, 5), imported(4, RECEIPT, |_| ())),
            (at(0, 6), imported(2, RECEIPT, |_| ())),
        ],
        &[
            "d0+04:00 gap 4-4",
            "d0+04:00 D2 began",
            "d0+04:00 green→yellow quality.found yellow",
            "d0+05:00 gap 4-4 closed",
            "d0+06:00 D2 ended",
        ],
    );
}

#[test]
fn a_shift_that_was_told_is_closed_by_an_archive() {
    let shift = |it: &mut Doc| it.shift = Some(1);
    scenario(
        "told as overdue",
        vec![
            (at(0, 0), quiet()),
            (at(0, 1), live(1, OPEN, shift)),
            (at(1, 2), TICK),
            (at(1, 3), imported(2, RECEIPT, shift)),
            (at(1, 4), imported(3, CLOSE, shift)),
            (at(1, 5), live(4, OPEN, |it| it.shift = Some(2))),
        ],
        &[
            "d0+01:00 shift 1 opened",
            "d1+02:00 shift 1 overdue",
            "d1+02:00 D8.2 began",
            "d1+02:00 I1.1 began",
            "d1+04:00 shift 1 overdue no more",
            "d1+04:00 shift 1 closed",
            "d1+04:00 D8.2 ended",
            "d1+04:00 shift 1 agrees",
            "d1+05:00 shift 2 opened",
            "d1+05:00 I1.1 ended",
        ],
    );
    scenario(
        "told as opened",
        vec![
            (at(0, 0), quiet()),
            (at(0, 1), live(1, OPEN, shift)),
            (at(0, 4), imported(3, CLOSE, shift)),
            // The row that stands is another one.
            (at(0, 5), imported(2, RECEIPT, shift)),
        ],
        &[
            "d0+01:00 shift 1 opened",
            "d0+04:00 shift 1 closed",
            "d0+04:00 shift 1 incomplete",
            "d0+05:00 shift 1 agrees",
        ],
    );
    scenario(
        "not told",
        vec![
            (at(0, 0), quiet()),
            (at(0, 1), imported(1, OPEN, shift)),
            (at(2, 2), TICK),
            (at(2, 3), imported(2, CLOSE, shift)),
            (at(2, 4), imported(3, OPEN, |it| it.shift = Some(2))),
            (at(2, 5), live(4, CLOSE, |it| it.shift = Some(2))),
        ],
        &["d2+05:00 shift 2 closed", "d2+05:00 shift 2 agrees"],
    );
    scenario(
        "overdue, and its drive is closed or another one works",
        vec![
            (at(0, 0), quiet()),
            (at(0, 1), live(1, OPEN, shift)),
            (at(1, 2), TICK),
            (at(1, 3), imported(2, Form::CLOSE_ARCHIVE, |_| ())),
            (at(1, 4), live(1, OPEN, |it| (it.drive, it.shift) = (2, Some(1)))),
            (at(2, 5), TICK),
            (at(2, 6), imported(1, RECEIPT, |it| it.drive = 3)),
        ],
        &[
            "d0+01:00 shift 1 opened",
            "d1+02:00 shift 1 overdue",
            "d1+02:00 D8.2 began",
            "d1+02:00 I1.1 began",
            "d1+03:00 shift 1 overdue no more",
            "d1+03:00 D8.2 ended",
            "d1+03:00 I1.1 ended",
            "d1+04:00 shift 1 opened",
            "d2+05:00 shift 1 overdue",
            "d2+05:00 D8.2 began",
            "d2+05:00 I1.1 began",
            "d2+06:00 shift 1 overdue no more",
            "d2+06:00 D8.2 ended",
        ],
    );
}

#[test]
fn what_a_drive_has_said_of_itself_is_over_by_an_archive() {
    let says = |flags, waiting: u32| {
        move |it: &mut Doc| {
            (it.shift, it.flags, it.unsent) = (Some(it.number), Some(flags), Some((waiting, at(0, 0))));
        }
    };
    scenario(
        "told",
        vec![
            (at(0, 0), quiet()),
            (at(0, 1), live(1, CLOSE, says(0b1100, 7))),
            (at(0, 2), imported(2, CLOSE, says(0b0101, 9))),
            (at(0, 3), imported(3, CLOSE, says(0b0001, 4))),
            (at(0, 4), imported(4, CLOSE, says(0b0001, 6))),
            (at(0, 5), imported(5, CLOSE, says(0, 0))),
            (at(0, 6), live(6, CLOSE, says(0, 0))),
        ],
        &[
            "d0+01:00 flags 0000→1100",
            "d0+01:00 waiting 0→7",
            "d0+01:00 shift 1 closed",
            "d0+01:00 F2.4 began",
            "d0+01:00 D10.1 began",
            "d0+01:00 shift 1 incomplete",
            "d0+01:00 green→red transfer.unconfirmed yellow drive.full red",
            "d0+02:00 flags 1100→0100",
            "d0+02:00 F2.4 ended",
            "d0+02:00 red→red drive.running-out yellow drive.full red",
            "d0+03:00 flags 0100→0000",
            "d0+03:00 waiting 7→4",
            "d0+03:00 red→yellow drive.running-out yellow",
            "d0+05:00 waiting 4→0",
            "d0+05:00 D10.1 ended",
            "d0+05:00 yellow→green",
            "d0+06:00 shift 6 closed",
            "d0+06:00 shift 6 incomplete",
        ],
    );
    scenario(
        "not told",
        vec![
            (at(0, 0), quiet()),
            (at(0, 1), imported(1, CLOSE, says(0b0101, 9))),
            (at(0, 2), imported(2, CLOSE, says(0b0100, 3))),
            (at(0, 3), live(3, RECEIPT, |_| ())),
            // Of documents that wait every report speaks, of flags those that change them.
            (at(0, 4), live(4, CLOSE, says(0b0100, 3))),
            (at(0, 5), live(5, CLOSE, says(0b0110, 0))),
            (at(0, 6), live(6, CLOSE, says(0, 0))),
        ],
        &[
            "d0+03:00 green→red drive.full red",
            "d0+04:00 waiting 0→3",
            "d0+04:00 shift 4 closed",
            "d0+04:00 shift 4 incomplete",
            "d0+05:00 flags 0000→0110",
            "d0+05:00 waiting 3→0",
            "d0+05:00 shift 5 closed",
            "d0+05:00 shift 5 incomplete",
            "d0+06:00 flags 0110→0000",
            "d0+06:00 shift 6 closed",
            "d0+06:00 shift 6 incomplete",
            "d0+06:00 red→green",
        ],
    );
    scenario(
        "not told and gone",
        vec![
            (at(0, 0), quiet()),
            (at(0, 1), live(1, RECEIPT, |_| ())),
            (at(0, 2), imported(2, CLOSE, says(0b0001, 9))),
            (at(0, 3), live(3, CLOSE, says(0, 0))),
        ],
        &["d0+03:00 shift 3 closed", "d0+03:00 shift 3 incomplete"],
    );
}

#[test]
fn the_count_down_to_the_block_is_over_by_an_archive() {
    scenario(
        "told",
        vec![
            (at(0, 0), quiet()),
            (at(0, 10), live(5, CLOSE, |it| (it.shift, it.unsent) = (Some(1), Some((3, at(0, 6)))))),
            (at(20, 7), TICK),
            (at(21, 0), imported(6, CLOSE, |it| (it.shift, it.unsent) = (Some(2), Some((0, 0))))),
            (at(40, 0), TICK),
        ],
        &[
            "d0+10:00 waiting 0→3",
            "d0+10:00 shift 1 closed",
            "d0+10:00 D10.1 began",
            "d0+10:00 shift 1 incomplete",
            "d20+07:00 I1.1 began",
            "d20+07:00 I1.2 began",
            "d20+07:00 green→red transfer.unsent red",
            "d21+00:00 waiting 3→0",
            "d21+00:00 D10.1 ended",
            "d21+00:00 red→green",
        ],
    );
}

#[test]
fn a_drive_that_left_comes_back_by_an_archive() {
    let to = |operator| move |it: &mut Doc| it.operator = Some(operator);
    let leaves = |number| (number, to("7700002008"));
    let life = |imports_leave: bool| {
        let (number, leave) = leaves(2);
        let leave = if imports_leave {
            imported(number, REREGISTRATION, leave)
        } else {
            live(number, REREGISTRATION, leave)
        };
        vec![
            (at(0, 0), quiet()),
            (at(0, 1), live(1, REREGISTRATION, to(OURS))),
            (at(0, 2), leave),
            (at(0, 3), imported(9, RECEIPT, |_| ())),
            (at(0, 4), imported(19, REREGISTRATION, to(OURS))),
            (at(0, 5), live(20, RECEIPT, |_| ())),
        ]
    };
    scenario("told", life(false), &["d0+02:00 left", "d0+03:00 resumed"]);
    scenario("not told", life(true), &[]);
}

/// What somebody who hears of everything has been told, of one register with one drive.
#[derive(Default)]
struct Heard {
    colours: [u64; 6],
    flags: u8,
    waiting: u32,
    gaps: u64,
    overdue: bool,
    lasting: BTreeSet<&'static str>,
    /// What lasts, told or not.
    lasts: BTreeSet<&'static str>,
}

impl Heard {
    /// Takes an event in; whether it makes anything worse.
    fn hear(&mut self, event: &Event) -> bool {
        match &event.kind {
            EventKind::Found(it) => _ = self.lasts.insert(it.rule.rule().key),
            EventKind::FindingEnded(it) => assert!(self.lasts.remove(it.rule.rule().key), "{event:?}"),
            _ => {}
        }
        match &event.kind {
            kind if !kind.is_news() => false,
            EventKind::ColourChanged(it) => {
                let of = |facets: ofd_engine::watch::Facets| Facet::ALL.map(|facet| facets.of(facet) as u64);
                assert_eq!(self.colours, of(it.before), "{event:?}");
                let worse = self.colours.iter().zip(of(it.now)).any(|(before, now)| *before < now);
                self.colours = of(it.now);
                for facet in Facet::ALL {
                    let worst = it.reasons.iter().filter(|it| it.facet == facet).map(|it| it.colour).max();
                    assert_eq!(worst.unwrap_or_default(), it.now.of(facet), "{event:?}");
                }
                worse
            }
            EventKind::DriveFlags { flags, before } => {
                assert_eq!(self.flags, *before, "{event:?}");
                self.flags = *flags;
                flags & !before != 0
            }
            EventKind::Backlog { documents, before, .. } => {
                assert_eq!(self.waiting, *before, "{event:?}");
                self.waiting = *documents;
                documents > before
            }
            EventKind::GapOpened(it) => {
                self.gaps += u64::from(it.last - it.first) + 1;
                true
            }
            EventKind::ShiftOverdue { .. } => {
                assert!(!core::mem::replace(&mut self.overdue, true));
                true
            }
            EventKind::ShiftOverdueEnded { .. } => {
                assert!(core::mem::replace(&mut self.overdue, false));
                false
            }
            EventKind::ShiftState(it) => {
                let ends = it.shift.closed.is_some_and(|it| it.number == event.number);
                if it.shift.overdue && it.shift.revision == 0 && ends {
                    assert!(core::mem::replace(&mut self.overdue, false));
                }
                false
            }
            EventKind::Found(it) if it.rule.rule().lasting => {
                // A further gap says something else of the same state.
                let new = self.lasting.insert(it.rule.rule().key);
                assert!(new || it.rule.rule().key == "D2", "{event:?}");
                true
            }
            EventKind::FindingEnded(it) => {
                assert!(self.lasting.remove(it.rule.rule().key), "{event:?}");
                false
            }
            _ => false,
        }
    }

    /// Nothing that is told stands for ever: it stands now.
    fn stands(&self, registers: &Registers, number: &str) -> Result<(), String> {
        let drive = registers.drives().next().unwrap();
        let facets = registers.facets(Realm::Prod, number).unwrap();
        let colours = Facet::ALL.map(|facet| facets.of(facet) as u64);
        let missing: u64 = drive.service.missing().iter().map(|it| u64::from(it.count())).sum();
        let stands = self.colours.iter().zip(colours).all(|(told, now)| *told <= now)
            && self.flags & !drive.flags == 0
            && self.waiting <= drive.backlog.map_or(0, |it| it.0)
            && (missing > 0 || !self.lasting.contains("D2"))
            && (!self.overdue || drive.open_shift().is_some_and(|it| it.overdue))
            && self.lasting.is_subset(&self.lasts);
        let told = (self.colours, self.flags, self.waiting, self.overdue, &self.lasting);
        stands.then_some(()).ok_or_else(|| {
            let (flags, lasts) = (drive.flags, &self.lasts);
            format!("told {told:?}, and it is {colours:?} {flags:04b} {:?} {lasts:?}", drive.backlog)
        })
    }
}

/// A register whose documents come over the wire or out of an archive, some late and some never.
fn life(rng: &mut Rng) -> Vec<(u32, Step)> {
    let (mut now, mut number, mut shift, mut late) = (at(0, 0), 0, 0, Vec::new());
    let mut steps = vec![(now, Step::Rule("D2", true))];
    for _ in 0..40 {
        now += [60, HOUR, 8 * HOUR, 30 * HOUR][rng.below(4) as usize];
        let imported = rng.one_in(2);
        let step = match rng.below(12) {
            0 => TICK,
            1 if !late.is_empty() => {
                let at = rng.below(late.len() as u64) as usize;
                let mut doc: Doc = late.swap_remove(at);
                doc.imported = imported;
                Step::Doc(doc)
            }
            form => {
                number += 1;
                let form = match form {
                    2..=4 => OPEN,
                    5..=7 => CLOSE,
                    8 if rng.one_in(4) => REREGISTRATION,
                    _ => RECEIPT,
                };
                shift += u32::from(form == OPEN);
                let mut doc = doc(number, form);
                doc.imported = imported;
                if form != REREGISTRATION {
                    doc.shift = Some(shift.max(1));
                }
                if matches!(form, OPEN | CLOSE) {
                    doc.flags = Some(rng.below(16) as u8 & rng.below(16) as u8);
                    let waiting = rng.below(3) as u32 * rng.below(3) as u32;
                    doc.unsent = Some((waiting, now - 30 * HOUR * rng.below(20) as u32));
                }
                if form == REREGISTRATION {
                    doc.operator = Some(if rng.one_in(3) { "7700002008" } else { OURS });
                }
                if rng.one_in(6) {
                    late.push(doc);
                    continue;
                }
                Step::Doc(doc)
            }
        };
        steps.push((now, step));
    }
    steps
}

// Who listens from the beginning must never be left with an alarm that is none any more, nor hear of the end of what he was not
// told, nor be alarmed by what has happened years ago.
#[test]
fn nothing_told_outlives_its_end_and_no_archive_alarms() {
    let (mut ends, mut kept) = (0, 0);
    for seed in 1..=rounds(400) {
        let steps = life(&mut Rng(seed));
        let (mut whole, mut events, mut heard) = (empty(), Vec::new(), Heard::default());
        for (number, (at, step)) in (1..).zip(&steps) {
            let from = events.len();
            fold(&mut whole, number, *at, step, &mut events);
            let imported = matches!(step, Step::Doc(doc) if doc.imported);
            for event in &events[from..] {
                let worse = heard.hear(event);
                assert!(!(worse && imported), "seed {seed}: {event:?}");
                ends += usize::from(imported && said(event).is_some());
            }
            if imported {
                heard
                    .stands(&whole, &rnm(1))
                    .unwrap_or_else(|told| panic!("seed {seed} at {number}: {told}"));
                kept += 1;
            }
        }
        let cut = (seed as usize * 7) % steps.len();
        let (registers, again) = run(&steps, Some(cut));
        assert_eq!(again, events, "seed {seed}, interrupted behind {cut}");
        assert!(registers == whole, "seed {seed}, interrupted behind {cut}");
    }
    assert!(ends > 500 && kept > 1_000, "{ends} ends in {kept} documents of an archive");
}
