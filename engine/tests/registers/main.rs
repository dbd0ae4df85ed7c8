//! Lives of registers, folded by the engine and by a naive model that shares nothing with it.
//!
//! `OFD_LIVES=<n>` sets how many random lives are compared.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a failed test may panic"
)]

#[path = "../common/dice.rs"]
mod dice;
mod life;
mod model;
mod scenarios;
mod takings;

use life::{Delivered, Rng, life};
use model::Seeds;
use ofd_engine::Position;
use ofd_engine::registers::{Agreement, Days, Event, LaneSeed, Registers, SHIFTS_KEPT, WAITING_MAX};
use ofd_engine::storage::envelope::Realm;

const OURS: &str = "7700001002";

/// A life that differs replays by its seed.
fn lives() -> u64 {
    std::env::var("OFD_LIVES").map_or(10_000, |text| text.parse().unwrap())
}

/// Lane seeds of some drives of a life: right, too low, too high.
fn seeds(seed: u64, delivered: &[life::Sent]) -> Seeds {
    let mut rng = Rng(!seed);
    let mut seeds = Seeds::new();
    for sent in delivered {
        let number = (sent.made.number + rng.below(5) as u32).saturating_sub(rng.below(5) as u32).max(1);
        if rng.one_in(4) && !seeds.contains_key(&sent.made.drive) {
            seeds.insert(sent.made.drive, number);
        }
    }
    seeds
}

fn seed_all(registers: &mut Registers, seeds: &Seeds, events: &mut Vec<Event>) {
    for (drive, next) in seeds {
        let seed = LaneSeed::new(*drive, *next);
        assert!(!registers.knows_seed(&seed));
        registers.seed(Position::START, 1_800_000_000_000_000, &seed, events);
        let before = registers.clone();
        registers.seed(Position::START, 1_800_000_000_000_000, &seed, events);
        assert!(*registers == before && registers.knows_seed(&seed));
    }
}

// The claim of the room: what it makes of a life is what anybody would who lays all documents side by side.
#[test]
fn a_naive_model_agrees_on_random_lives() {
    let (mut documents, mut gaps, mut mismatches, mut shifts, mut seeded) = (0, 0, 0, 0, 0);
    for seed in 1..=lives() {
        let delivered = life(&mut Rng(seed));
        let past = Delivered(&delivered);
        let mut registers = Registers::new(Some(OURS.to_owned()), usize::MAX);
        let mut events = Vec::new();
        let seeds = seeds(seed, &delivered);
        seed_all(&mut registers, &seeds, &mut events);
        seeded += seeds.len();
        for sent in &delivered {
            registers.take(&sent.seen(), &past, &mut events).unwrap();
        }
        let expected = model::of(&delivered, &seeds);
        for want in &expected.drives {
            let drive = registers.drive(want.drive).unwrap();
            let tell = || format!("seed {seed}: {drive:?}\nwanted {want:?}");
            let ranges = |list: &[ofd_engine::registers::Range]| -> Vec<(u32, u32)> {
                list.iter().map(|it| (it.first, it.last)).collect()
            };
            assert_eq!(ranges(drive.service.missing()), want.missing, "{}", tell());
            assert_eq!(ranges(drive.service.intervals()), want.ours, "{}", tell());
            assert_eq!((drive.documents, drive.variants), (want.documents, want.variants), "{}", tell());
            assert_eq!(drive.last.map(|it| it.number), want.last, "{}", tell());
            assert_eq!(drive.registration.as_ref().map(|it| it.number), want.registration, "{}", tell());
            assert_eq!(drive.closed, want.closed, "{}", tell());
            assert_eq!(drive.shifts.len(), want.shifts.len(), "{}", tell());
            for (shift, want) in drive.shifts.iter().zip(&want.shifts) {
                let tell = || format!("seed {seed}: {shift:?}\nwanted {want:?}");
                assert_eq!(shift.number, want.number, "{}", tell());
                assert_eq!(shift.opened.map(|it| it.number), want.opened, "{}", tell());
                assert_eq!(shift.closed.map(|it| it.number), want.closed, "{}", tell());
                assert_eq!(shift.documents, want.documents, "{}", tell());
                assert_eq!(shift.totals.count(), want.receipts, "{}", tell());
                assert_eq!(i128::from(shift.totals.revenue()), want.revenue, "{}", tell());
                assert_eq!(shift.agreement() == Agreement::Agrees, want.agrees == Some(true), "{}", tell());
                assert_eq!(shift.agreement() == Agreement::Differs, want.agrees == Some(false), "{}", tell());
                mismatches += u32::from(want.agrees == Some(false));
                shifts += 1;
            }
            gaps += want.missing.len();
            documents += want.documents;
        }
        for want in &expected.cards {
            let card = registers.card(Realm::Prod, &want.rnm).unwrap();
            let drives: Vec<_> = card.drives.iter().map(|it| it.drive).collect();
            assert_eq!(drives, want.drives, "seed {seed}");
            assert_eq!(card.worked_and_idle.0, want.days_worked, "seed {seed}");
            // On a day before all of them, so that none is over.
            let today = registers.today(Realm::Prod, &want.rnm, 0);
            let today = today.map(|it| (it.day, it.receipts, i128::from(it.revenue)));
            assert_eq!(today, want.newest, "seed {seed}");
            let mut days = Days::default();
            let mine = delivered.iter().filter(|it| it.variant == 0 && it.made.rnm == want.rnm);
            mine.for_each(|sent| days.take(&sent.seen().view, sent.seen().received_at_us));
            assert_eq!(
                days.0.values().map(|it| i128::from(it.revenue)).sum::<i128>(),
                want.revenue,
                "seed {seed}"
            );
        }
        // What an engine keeps of a life is its newest part.
        let mut kept = Registers::new(Some(OURS.to_owned()), SHIFTS_KEPT);
        seed_all(&mut kept, &seeds, &mut Vec::new());
        delivered.iter().for_each(|sent| kept.take(&sent.seen(), &past, &mut Vec::new()).unwrap());
        for (drive, whole) in kept.drives().zip(registers.drives()) {
            let settled = drive.shifts.iter().rev().skip(1).filter(|it| it.is_settled()).count();
            assert!(settled == SHIFTS_KEPT && drive.shifts.len() <= 1 + WAITING_MAX, "seed {seed}");
            // What is kept is as it is where everything is kept.
            for shift in &drive.shifts {
                assert!(
                    whole.shifts.contains(shift),
                    "seed {seed}: {shift:?}\nwanted one of {:?}",
                    whole.shifts
                );
            }
        }
    }
    println!(
        "{} lives: {documents} documents, {gaps} gaps left, {shifts} shifts, {mismatches} that differ; {seeded} seeds",
        lives()
    );
    assert!(
        gaps > 0 && mismatches > 0 && seeded > 0,
        "a run that meets no gap and no mismatch proves nothing"
    );
}

// Positions of events are promised to be stable.
#[test]
fn the_same_documents_give_the_same_events() {
    for seed in 1..=200 {
        let delivered = life(&mut Rng(seed));
        let fold = || {
            let (mut registers, mut events) = (Registers::new(None, 3), Vec::new());
            let past = Delivered(&delivered);
            delivered.iter().for_each(|sent| registers.take(&sent.seen(), &past, &mut events).unwrap());
            events
        };
        let events = fold();
        assert_eq!(events, fold());
        let places: Vec<_> = events.iter().map(|it| (it.position, it.index)).collect();
        assert!(places.windows(2).all(|two| two[0] < two[1]), "seed {seed}");
    }
}

/// As they come back from a checkpoint.
fn restored(registers: &Registers) -> Registers {
    let mut again = Registers::new(Some(OURS.to_owned()), SHIFTS_KEPT);
    registers.save(&mut |piece| again.restore(piece).ok_or(())).unwrap();
    again.restored(registers.position());
    again
}

// A start goes on from a checkpoint: what it comes to must not depend on where that was made.
#[test]
fn a_fold_goes_on_from_any_moment() {
    for seed in 1..=300 {
        let delivered = life(&mut Rng(seed));
        let past = Delivered(&delivered);
        let fold = |registers: &mut Registers, part: &[life::Sent]| {
            let mut events = Vec::new();
            part.iter().for_each(|sent| registers.take(&sent.seen(), &past, &mut events).unwrap());
            events
        };
        let mut whole = Registers::new(Some(OURS.to_owned()), SHIFTS_KEPT);
        let seeds = seeds(seed, &delivered);
        seed_all(&mut whole, &seeds, &mut Vec::new());
        let events = fold(&mut whole, &delivered);
        for cut in 0..=delivered.len() {
            let mut registers = Registers::new(Some(OURS.to_owned()), SHIFTS_KEPT);
            seed_all(&mut registers, &seeds, &mut Vec::new());
            let mut seen = fold(&mut registers, &delivered[..cut]);
            let mut registers = restored(&registers);
            seen.extend(fold(&mut registers, &delivered[cut..]));
            assert!(registers == whole, "seed {seed}, cut at {cut}");
            assert_eq!(seen, events, "seed {seed}, cut at {cut}");
        }
    }
}
