//! When a drive has to be replaced: dates reckoned by hand, and a walk from day to day.

use ofd_engine::codec::Form;
use ofd_engine::registers::Registers;
use ofd_engine::storage::envelope::Realm;
use ofd_engine::watch::{Basis, Confidence, Forecast, Scope, Threshold, WatchCommand, date};

use crate::rounds;
use crate::world::{DAY, HOUR, MONDAY, OURS, Rng, Step, doc, empty, fold, restored, rnm};

/// Steps at days and hours since that Monday, 2026-03-02, and a look at a later day.
fn look(steps: &[(u32, u32, Step)], day: u32) -> (Registers, Option<Forecast>) {
    let mut registers = empty();
    for (lsn, (days, hours, step)) in (1..).zip(steps) {
        fold(&mut registers, lsn, MONDAY + days * DAY + hours * HOUR, step, &mut Vec::new());
    }
    let now = MONDAY + day * DAY + 12 * HOUR;
    let forecast = registers.forecast(Realm::Prod, &rnm(1), now);
    assert_eq!(restored(&registers).forecast(Realm::Prod, &rnm(1), now), forecast);
    (registers, forecast)
}

fn registration(change: impl FnOnce(&mut crate::world::Doc)) -> Step {
    let mut made = doc(1, Form::REGISTRATION);
    made.operator = Some(OURS);
    change(&mut made);
    Step::Doc(made)
}

fn set(values: &[(Threshold, Option<u32>)]) -> Step {
    Step::Command(WatchCommand::SetThresholds {
        scope: Scope::Default,
        values: values.to_vec(),
        by: "x".to_owned(),
    })
}

// By term, as whoever reads the calendar reckons it.
#[test]
fn the_term_ends_on_the_day_that_the_calendar_gives() {
    let close = |number: u32, days: u16| {
        let mut made = doc(number, Form::CLOSE_SHIFT);
        made.key_days = Some(days);
        Step::Doc(made)
    };
    let model = set(&[(Threshold::DriveTermD, Some(1_110))]);
    let keys = |days: u16| registration(move |it| it.key_days = Some(days));
    for (steps, day, ends, left, basis, confidence) in [
        // 13, 15 and 36 months from 2026-03-02.
        (vec![(0, 10, keys(410))], 10, "2027-04-16", 400, Basis::Keys, Confidence::High),
        (vec![(0, 10, keys(470))], 10, "2027-06-15", 460, Basis::Keys, Confidence::High),
        (vec![(0, 10, keys(1_110))], 10, "2029-03-16", 1_100, Basis::Keys, Confidence::High),
        // What it said ninety days ago.
        (vec![(0, 10, keys(410))], 90, "2027-04-16", 320, Basis::Keys, Confidence::Medium),
        // A later report says less.
        (
            vec![(0, 10, keys(410)), (30, 21, close(90, 25))],
            31,
            "2026-04-26",
            24,
            Basis::Keys,
            Confidence::High,
        ),
        // It is over.
        (vec![(0, 10, keys(410))], 411, "2027-04-16", -1, Basis::Keys, Confidence::Medium),
        // Only the host knows the model.
        (
            vec![(0, 9, model), (0, 10, registration(|_| ()))],
            0,
            "2029-03-16",
            1_110,
            Basis::Model,
            Confidence::High,
        ),
        // Excise and autonomy.
        (
            vec![(0, 10, registration(|it| (it.key_days, it.excise) = (Some(470), true)))],
            0,
            "2027-04-16",
            410,
            Basis::Shortened,
            Confidence::Medium,
        ),
        // Excise as format 1.2 says it.
        (
            vec![(0, 10, registration(|it| (it.key_days, it.usage) = (Some(470), 0x40)))],
            0,
            "2027-04-16",
            410,
            Basis::Shortened,
            Confidence::Medium,
        ),
        (
            vec![(0, 10, registration(|it| (it.key_days, it.autonomous) = (Some(1_110), true)))],
            0,
            "2027-04-16",
            410,
            Basis::Shortened,
            Confidence::Medium,
        ),
        // Nobody has said anything.
        (vec![(0, 10, registration(|_| ()))], 0, "2027-04-16", 410, Basis::Shortest, Confidence::Low),
    ] {
        let (_, forecast) = look(&steps, day);
        let forecast = forecast.unwrap();
        let got = (forecast.ends_on.map(date), forecast.days_left, forecast.basis, forecast.confidence);
        assert_eq!(got, (Some(ends.to_owned()), Some(left), Some(basis), confidence), "{steps:?}");
        assert_eq!(forecast.memory_on, None, "nothing is known of its use");
    }
    let (_, unknown) = look(&[(0, 10, Step::Doc(doc(500, Form::RECEIPT)))], 0);
    let unknown = unknown.unwrap();
    assert_eq!((unknown.ends_on, unknown.basis, unknown.documents), (None, None, 500));
    let (_, closed) = look(&[(0, 10, Step::Doc(doc(500, Form::CLOSE_ARCHIVE)))], 0);
    assert_eq!(closed, None);
}

/// Documents of each day since that Monday.
fn used(days: &[u32]) -> Vec<(u32, u32, Step)> {
    let mut number = 0;
    let mut steps = Vec::new();
    for (day, count) in (0..).zip(days) {
        for _ in 0..*count {
            number += 1;
            let first = number == 1;
            let made = if first { registration(|_| ()) } else { Step::Doc(doc(number, Form::RECEIPT)) };
            steps.push((day, 10, made));
        }
    }
    steps
}

// By memory: a shop that makes ten documents a day from Monday to Friday, and twenty on Saturdays.
#[test]
fn the_memory_ends_on_the_day_that_the_week_gives() {
    let week = [10, 10, 10, 10, 10, 20, 0];
    let four: Vec<u32> = week.iter().copied().cycle().take(28).collect();
    let capacity = |documents| (0, 0, set(&[(Threshold::DriveDocuments, Some(documents))]));
    let with = |documents, days: &[u32]| {
        let mut steps = vec![capacity(documents)];
        steps.extend(used(days));
        steps
    };
    // 280 documents until Sunday 2026-03-29; the day after is Monday. 70 a week.
    for (documents, ends) in [
        (281, "2026-03-30"),
        (290, "2026-03-30"),
        (291, "2026-03-31"),
        (330, "2026-04-03"),
        (331, "2026-04-04"),
        (350, "2026-04-04"),
        (351, "2026-04-06"),
        (280 + 70 * 10, "2026-06-06"),
        (280, "2026-03-30"),
    ] {
        let (_, forecast) = look(&with(documents, &four), 28);
        let forecast = forecast.unwrap();
        assert_eq!(forecast.memory_on.map(date).as_deref(), Some(ends), "{documents}");
        assert_eq!((forecast.documents, forecast.known_days), (280, 28));
        assert_eq!((forecast.documents_a_day, forecast.p95_a_day), (10, 20));
        assert_eq!(forecast.profile, [120, 120, 120, 120, 120, 240, 0], "twelfths");
        assert_eq!((forecast.basis, forecast.confidence), (Some(Basis::Memory), Confidence::High));
        assert_eq!(forecast.percent, 280 * 100 / documents);
    }
    // Of three days every day is like every other: 10 a day, from Thursday on.
    let (_, young) = look(&with(51, &four[..3]), 3);
    let young = young.unwrap();
    assert_eq!(young.memory_on.map(date).as_deref(), Some("2026-03-07"));
    assert_eq!((young.confidence, young.known_days), (Confidence::Low, 3));
    // On its first day nothing is known, and after four weeks of silence it never fills.
    let (_, new) = look(&with(51, &four[..1]), 0);
    assert_eq!(new.unwrap().memory_on, None);
    let (_, idle) = look(&with(500, &four), 60);
    assert_eq!(idle.unwrap().memory_on, None);
    // It says so itself.
    let mut full = doc(90, Form::CLOSE_SHIFT);
    full.flags = Some(4);
    let (_, full) = look(&[(0, 10, Step::Doc(full))], 0);
    let full = full.unwrap();
    assert_eq!((full.ends_on.map(date).as_deref(), full.basis), (Some("2026-03-02"), Some(Basis::Flag)));
    assert_eq!((full.days_left, full.confidence), (Some(0), Confidence::High));
}

// Whatever the weeks were like: somebody who walks from day to day comes to the same.
#[test]
fn a_walk_from_day_to_day_comes_to_the_same() {
    let mut filled = 0;
    for seed in 1..=rounds(200) {
        let mut rng = Rng(seed);
        let days: Vec<u32> =
            (0..1 + rng.below(45)).map(|_| if rng.one_in(3) { 0 } else { rng.below(9) as u32 }).collect();
        let mut days = days;
        days[0] = days[0].max(1);
        let made: u32 = days.iter().sum();
        let capacity = made + rng.below(400) as u32;
        let today = days.len() as u32 + if rng.one_in(3) { rng.below(10) as u32 } else { 0 };
        let mut steps = vec![(0, 0, set(&[(Threshold::DriveDocuments, Some(capacity))]))];
        steps.extend(used(&days));
        let (_, forecast) = look(&steps, today);
        let forecast = forecast.unwrap();
        // Every day before today, at most 28.
        let from = today.saturating_sub(28);
        let count = |day: u32| days.get(day as usize).copied().unwrap_or(0);
        let window: Vec<u32> = (from..today).collect();
        let weekday = |day: u32| day % 7;
        let rate = |day: u32| -> f64 {
            let like: Vec<u32> = window
                .iter()
                .copied()
                .filter(|it| window.len() < 7 || weekday(*it) == weekday(day))
                .collect();
            f64::from(like.iter().map(|it| count(*it)).sum::<u32>()) / like.len() as f64
        };
        let mut left = f64::from(capacity - made);
        // A third of a document may be lost where thirds are added up.
        let mut expected = None;
        if window.iter().any(|it| count(*it) > 0) {
            for day in today..today + 60_000 {
                left -= rate(day);
                if left <= 1e-6 {
                    expected = Some(day);
                    break;
                }
            }
        }
        if capacity == made {
            expected = Some(today);
        }
        let first = 20_514;
        let got = forecast.memory_on.map(|it| it - first);
        // Of five or six days a twelfth is rounded down: a day later at most in so few documents.
        let near = window.len() < 7
            && got.zip(expected).is_some_and(|(got, want)| got.abs_diff(want) <= 1 + want / 100);
        assert!(
            got == expected || near,
            "seed {seed}: {got:?}, wanted {expected:?}; {days:?} {capacity} {today}"
        );
        assert_eq!(forecast.known_days as usize, window.len(), "seed {seed}");
        filled += u32::from(got.is_some());
    }
    assert!(filled > 50);
}
