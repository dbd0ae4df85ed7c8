//! What the events of a record are as findings: no second look at what was seen once. Pure.

use ofd_codec::rules::life::LifeRuleId as Rule;
use ofd_codec::tags;

use super::drive::moment;
use super::tally::{Scene, Tallies, What};
use crate::registers::{Drive, Event, EventKind, Evidence, Range};

/// Ranges that a finding names; of the rest it tells how many there are.
const RANGES_TOLD: usize = 8;
/// Rules by the bits of the flags.
const FLAGS: [Rule; 4] = [Rule::F2_1, Rule::F2_2, Rule::F2_3, Rule::F2_4];
const FLAG_TAGS: [ofd_codec::Tag; 4] =
    [tags::DRIVE_RUNNING_OUT, tags::DRIVE_REPLACE_NOW, tags::DRIVE_MEMORY_FULL, tags::OPERATOR_SILENT];

/// The findings of the events of one record, of a drive as it stands behind them.
pub(crate) fn judge(events: &[Event], drive: &Drive, tallies: &mut Tallies, scene: &mut Scene<'_>) {
    for event in events {
        one(&event.kind, event.number, drive, tallies, scene);
    }
    // Not by the event alone: the rule may have been off then.
    if drive.service.missing().is_empty() {
        scene.ended(tallies, Rule::D2);
    }
    if drive.open_shift().is_none() {
        over(tallies, scene);
    }
    // It also ends without a closing report.
    if drive.open_shift().is_some_and(|it| !it.overdue) {
        scene.ended(tallies, Rule::D8_2);
    }
    for (bit, rule) in (0..).zip(FLAGS) {
        if !has_flag(drive.flags, bit) {
            scene.ended(tallies, rule);
        }
    }
}

/// The findings of one event.
pub(crate) fn one(
    kind: &EventKind,
    number: u32,
    drive: &Drive,
    tallies: &mut Tallies,
    scene: &mut Scene<'_>,
) {
    let said =
        |actual: String, expected: Option<String>| What { actual: Some(actual), expected, ..What::default() };
    match kind {
        EventKind::DriveAppeared(Evidence::Unknown) => {
            scene.happened(tallies, Rule::D1, || {
                What::of(tags::FISCAL_DOCUMENT_NUMBER, number, "отчет о регистрации")
            });
        }
        EventKind::GapOpened(_) => {
            scene.goes_on(tallies, Rule::D2, true, || What {
                tag: Some(tags::FISCAL_DOCUMENT_NUMBER),
                ..said(ranges(drive.service.missing()), None)
            });
        }
        EventKind::Variant { variant } => {
            scene.happened(tallies, Rule::I6, || {
                What::of(tags::FISCAL_DOCUMENT_NUMBER, number, format!("вариант {variant} отличается"))
            });
        }
        EventKind::AfterDriveClosed(form) => {
            scene.happened(tallies, Rule::D9_1, || said(format!("форма {}", form.0), None));
        }
        EventKind::ShiftNotClosed { shift } => {
            scene.happened(tallies, Rule::D4_1, || {
                said(format!("не закрыта смена {shift}"), None).in_shift(*shift)
            });
        }
        EventKind::ShiftNumber { expected, found } => {
            scene.happened(tallies, Rule::D5, || {
                What::of(tags::SHIFT_NUMBER, found, expected).in_shift(*found)
            });
        }
        EventKind::OutsideShift { shift } => {
            scene.happened(tallies, Rule::D4_2, || {
                What { tag: Some(tags::SHIFT_NUMBER), ..said(shift.to_string(), None) }.in_shift(*shift)
            });
        }
        EventKind::NumberInShift { expected, found } => {
            let shift = drive.open_shift().map(|it| it.number);
            scene.happened(tallies, Rule::D6, || What {
                shift,
                ..What::of(tags::NUMBER_IN_SHIFT, found, expected)
            });
        }
        EventKind::ShiftTooLong { shift } => {
            scene.goes_on(tallies, Rule::D8_1, false, || {
                let opened = drive.open_shift().and_then(|it| it.opened).and_then(|it| it.at);
                let expected = opened.map(|it| format!("до 24 часов с {}", moment(it.0)));
                let actual = scene_at(drive);
                What { tag: Some(tags::DATE_TIME), actual, expected, shift: Some(*shift) }
            });
        }
        EventKind::ShiftOverdue { shift } => {
            scene.goes_on(tallies, Rule::D8_2, false, || {
                said("больше 24 часов".to_owned(), None).in_shift(*shift)
            });
        }
        EventKind::ShiftMismatch { shift, counters } => {
            scene.happened(tallies, Rule::D7_1, || {
                let what = match counters.first() {
                    Some(it) => What::of(it.tag, it.stated, it.counted),
                    None => What::default(),
                };
                what.in_shift(*shift)
            });
        }
        EventKind::ShiftOpened { shift } if drive.open_shift().is_some_and(|it| it.number == *shift) => {
            over(tallies, scene);
        }
        EventKind::ShiftClosed { .. } if drive.open_shift().is_none() => over(tallies, scene),
        EventKind::TimeBackwards { before } => {
            let actual = scene_at(drive);
            scene.happened(tallies, Rule::D3, || What {
                tag: Some(tags::DATE_TIME),
                actual,
                expected: Some(format!("не раньше {}", moment(before.0))),
                shift: None,
            });
        }
        EventKind::DriveFlags { flags, .. } => {
            for (bit, (rule, tag)) in (0..).zip(FLAGS.into_iter().zip(FLAG_TAGS)) {
                scene.is(tallies, rule, has_flag(*flags, bit), || What::of(tag, 1, 0));
            }
        }
        _ => {}
    }
}

fn has_flag(flags: u8, bit: u32) -> bool {
    flags & 1_u8.checked_shl(bit).unwrap_or(0) != 0
}

/// The shift that was too long is over.
fn over(tallies: &mut Tallies, scene: &mut Scene<'_>) {
    scene.ended(tallies, Rule::D8_1);
    scene.ended(tallies, Rule::D8_2);
}

fn scene_at(drive: &Drive) -> Option<String> {
    drive.last.and_then(|it| it.at).map(|at| moment(at.0))
}

fn ranges(missing: &[Range]) -> String {
    let one = |it: &Range| {
        if it.first == it.last { it.first.to_string() } else { format!("{}-{}", it.first, it.last) }
    };
    let mut told: Vec<String> = missing.iter().take(RANGES_TOLD).map(one).collect();
    if let Some(more) = missing.len().checked_sub(RANGES_TOLD).filter(|more| *more > 0) {
        told.push(format!("и еще {more}"));
    }
    told.join(", ")
}
