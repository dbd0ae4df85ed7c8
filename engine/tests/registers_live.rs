//! The registers of a running engine: what they show at any moment, and after a start from whatever was kept.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a failed unwrap is a failed test"
)]

mod common;

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{life, lives_of, submit};
use ofd_emit::ProfileOptions;
use ofd_engine::codec::{DriveNumber, LocalSeconds, tags};
use ofd_engine::host::Capability;
use ofd_engine::registers::{
    Drive, Event, EventKind, Evidence, Figures, Grain, LaneSeed, Range, SHIFTS_KEPT, SeedShift, Whose,
};
use ofd_engine::storage::envelope::Realm;
use ofd_engine::{Engine, ErrorKind, Fold, Position, ReadOnly, Register, RegisterBook, Seeded, Whereabouts};

/// The operator that the registers of these tests are registered with.
const OURS: &str = "7700000190";
const PATIENCE: Duration = Duration::from_secs(20);

fn open(dir: &Path, checkpoint_after: u64) -> Engine {
    let builder = Engine::builder(dir).operator_inn(OURS).segment_len_bytes(1 << 20);
    builder.checkpoint_after(checkpoint_after).open().unwrap()
}

/// The registers of an engine, as soon as they hold everything.
fn shown(engine: &Engine) -> Vec<Register> {
    let book = engine.registers(&Capability::operator());
    assert!(book.wait(engine.durable(), PATIENCE), "stands at {}", book.position());
    book.iter().collect()
}

/// Those of a fold of the whole log that goes by no checkpoint.
fn folded(dir: &Path) -> Vec<Register> {
    let log = ReadOnly::open(dir).unwrap();
    let all = log.fold_registers(&Capability::operator(), Some(OURS.to_owned()), SHIFTS_KEPT).unwrap();
    let cards = all.cards().map(|card| {
        let drive = all.drive(card.drives.last().unwrap().drive).unwrap();
        Register { card, drive }
    });
    cards.collect()
}

fn checkpoints(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir.join("registers")) else { return Vec::new() };
    let mut found: Vec<_> = entries.map(|it| it.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|it| it == "fold"));
    found.sort();
    found
}

/// The lives of some registers, mixed.
fn lives(registers: u32, documents: usize) -> Vec<Vec<u8>> {
    let options = |_| ProfileOptions { receipts_per_shift: Some(3), ..ProfileOptions::default() };
    let lives = lives_of(11, registers, documents, options);
    (0..documents).flat_map(|at| lives.iter().map(move |life| life[at].clone())).collect()
}

// A picture that changes with the moment of a restart is one that nobody can rely on.
#[test]
fn a_restart_at_any_moment_shows_the_same_registers() {
    let dir = tempfile::tempdir().unwrap();
    let messages = lives(9, 170);
    let mut used = 0;
    for (at, part) in messages.chunks(190).enumerate() {
        // Often, seldom and never; and engines that end before they have folded what came.
        let engine = open(dir.path(), [40, 300, 1_000_000][at % 3]);
        submit(&engine, part);
        if at % 2 == 0 {
            assert_eq!(shown(&engine), folded(dir.path()), "part {at}");
        }
        engine.shutdown().unwrap();
        used += usize::from(!checkpoints(dir.path()).is_empty());
        let log = ReadOnly::open(dir.path()).unwrap();
        let beside = log.registers(&Capability::operator(), Some(OURS)).unwrap();
        assert_eq!(beside.iter().collect::<Vec<_>>(), folded(dir.path()), "part {at}, beside");
        assert_eq!(beside.position(), log.durable());
    }
    assert!(used > 3, "no start went on from a checkpoint");
}

/// Live figures of everybody and of each organisation.
fn live_figures(book: &RegisterBook, inns: &[String]) -> Vec<Option<Figures>> {
    let ever = LocalSeconds(0)..LocalSeconds(u32::MAX);
    let whose = inns.iter().map(|it| Whose::Organisation(it)).chain([Whose::Everybody]);
    let of = |whose| {
        [Grain::Minute, Grain::Hour, Grain::Day].map(|it| book.figures(Realm::Prod, whose, it, &ever))
    };
    whose.flat_map(of).collect()
}

// What an owner sees of today must not depend on when the engine was started, and is the sum of what each register tells.
#[test]
fn live_figures_are_the_same_after_every_restart() {
    let dir = tempfile::tempdir().unwrap();
    let operator = Capability::operator();
    let messages = lives(9, 170);
    let inns: Vec<String> = {
        let engine = open(dir.path(), 1_000_000);
        submit(&engine, &messages[..30]);
        let inns = shown(&engine).into_iter().filter_map(|it| it.card.inn).collect();
        engine.shutdown().unwrap();
        inns
    };
    for (at, part) in messages[30..].chunks(150).enumerate() {
        let engine = open(dir.path(), [40, 300, 1_000_000][at % 3]);
        submit(&engine, part);
        if at % 3 != 2 {
            shown(&engine);
            let here = live_figures(&engine.registers(&operator), &inns);
            let log = ReadOnly::open(dir.path()).unwrap();
            let all = log.fold_registers(&operator, Some(OURS.to_owned()), SHIFTS_KEPT).unwrap();
            let book = log.registers(&operator, Some(OURS)).unwrap();
            assert_eq!(live_figures(&book, &inns), here, "part {at}, beside");
            let ever = LocalSeconds(0)..LocalSeconds(u32::MAX);
            let days = all.figures(Realm::Prod, Whose::Everybody, Grain::Day, &ever);
            assert_eq!(here.last(), Some(&days), "part {at}");
        }
        engine.shutdown().unwrap();
    }
    // Beside the sums of all registers, each read from its documents.
    let engine = open(dir.path(), 1_000_000);
    let registers = shown(&engine);
    let book = engine.registers(&operator);
    let ever = LocalSeconds(0)..LocalSeconds(u32::MAX);
    let everybody = book.figures(Realm::Prod, Whose::Everybody, Grain::Day, &ever).unwrap();
    let (mut revenue, mut receipts) = (0, 0);
    for register in &registers {
        let times = everybody.since()..LocalSeconds(u32::MAX);
        let own =
            engine.figures(&operator, Realm::Prod, &register.card.rnm, Grain::Day, times).unwrap().unwrap();
        revenue += own.revenue();
        receipts += own.rows().map(|(_, totals)| totals.count()).sum::<u32>();
    }
    assert!(receipts > 500, "{receipts} receipts");
    let counted: u32 = everybody.rows().map(|(_, totals)| totals.count()).sum();
    assert_eq!((everybody.revenue(), counted), (revenue, receipts));
    // Of others a merchant is told nothing.
    let mine = engine.registers(&Capability::users([inns[0].clone()]));
    let sees = |whose| mine.figures(Realm::Prod, whose, Grain::Day, &ever).is_some();
    let other = inns.iter().find(|it| **it != inns[0]).unwrap();
    assert!(
        sees(Whose::Organisation(&inns[0])) && !sees(Whose::Organisation(other)) && !sees(Whose::Everybody)
    );
    engine.shutdown().unwrap();
}

// An operator moves in with the next numbers of its drives and nothing else: no gap below, and none that a restart makes.
#[test]
fn lane_seeds_outlive_restarts_and_open_no_gap_below() {
    let dir = tempfile::tempdir().unwrap();
    let operator = Capability::operator();
    let lives: Vec<Vec<Vec<u8>>> = (0..3).map(|register| life(11, register, 60)).collect();
    let engine = open(dir.path(), 20);
    let known = |it: &[u8]| {
        let drive = DriveNumber::from_wire(it[8..24].try_into().unwrap()).unwrap();
        (drive, u32::from_be_bytes([0, it[47], it[48], it[49]]))
    };
    // The first moves in with number 31 to come and comes with it; the second comes with two missing; the third is late.
    let seeds: Vec<LaneSeed> = lives
        .iter()
        .enumerate()
        .map(|(at, life)| {
            let (drive, next) = known(&life[30]);
            LaneSeed {
                rnm: Some(format!("000000000000000{at}")),
                shift: Some(SeedShift { number: 1, opened: None }),
                registration: Some((1, None)),
                ..LaneSeed::new(drive, next)
            }
        })
        .collect();
    assert_eq!(engine.seed_lanes(&seeds).unwrap(), Seeded { taken: 3, known: 0 });
    assert_eq!(engine.seed_lanes(&seeds).unwrap(), Seeded { taken: 0, known: 3 });
    let before = shown(&engine);
    assert_eq!(before.len(), 3);
    assert!(before.iter().all(|it| it.drive.evidence == Evidence::Seeded && it.drive.documents == 0));
    engine.shutdown().unwrap();
    let from = [30, 32, 30];
    for part in 0..3 {
        let engine = open(dir.path(), [20, 1_000_000, 20][part]);
        let some: Vec<_> = lives
            .iter()
            .zip(from)
            .flat_map(|(life, from)| life[from + part * 9..from + part * 9 + 9].to_vec())
            .collect();
        submit(&engine, &some);
        if part == 1 {
            submit(&engine, &lives[2][10..12]);
        }
        assert_eq!(engine.seed_lanes(&seeds).unwrap(), Seeded { taken: 0, known: 3 });
        shown(&engine);
        let book = engine.registers(&operator);
        let drives: Vec<Drive> = seeds.iter().map(|it| book.drive(it.drive).unwrap()).collect();
        let missing: Vec<usize> = drives.iter().map(|it| it.service.missing().len()).collect();
        assert_eq!(missing, [0, 1, 0], "part {part}");
        let first = |it: &Drive| it.service.intervals().last().unwrap().first;
        assert!(drives.iter().zip(&seeds).all(|(it, seed)| first(it) == seed.next), "part {part}");
        assert_eq!(drives[2].service.intervals().len(), if part == 0 { 1 } else { 2 });
        assert!(drives.iter().all(|it| it.evidence == Evidence::Seeded));
        let (events, _) = told(&engine, &operator, Position::START, 100);
        assert_eq!(events, all_events(dir.path()));
        let appeared =
            events.iter().filter(|it| it.kind == EventKind::DriveAppeared(Evidence::Seeded)).count();
        assert_eq!(appeared, 3);
        engine.shutdown().unwrap();
    }
}

// A checkpoint can be thrown away: what is damaged, of another operator or of another log leads to no other registers.
#[test]
fn a_checkpoint_that_does_not_hold_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let messages = lives(5, 60);
    let engine = open(dir.path(), 50);
    submit(&engine, &messages[..200]);
    shown(&engine);
    submit(&engine, &messages[200..]);
    let expected = shown(&engine);
    engine.shutdown().unwrap();
    let kept = checkpoints(dir.path());
    assert_eq!(kept.len(), 2, "{kept:?}");
    let whole: Vec<Vec<u8>> = kept.iter().map(|it| std::fs::read(it).unwrap()).collect();
    let beside = || {
        let log = ReadOnly::open(dir.path()).unwrap();
        log.registers(&Capability::operator(), Some(OURS)).unwrap().iter().collect::<Vec<_>>()
    };
    for at in (0..whole[1].len()).step_by(37) {
        let mut damaged = whole[1].clone();
        damaged[at] ^= 0x10;
        std::fs::write(&kept[1], &damaged).unwrap();
        assert_eq!(beside(), expected, "byte {at}");
    }
    for cut in (0..whole[1].len()).step_by(301) {
        std::fs::write(&kept[1], &whole[1][..cut]).unwrap();
        assert_eq!(beside(), expected, "cut at {cut}");
    }
    // Of another log: the same names, other registers.
    let other = tempfile::tempdir().unwrap();
    let engine = open(other.path(), 1_000_000);
    let others: Vec<_> = (100..105).flat_map(|register| life(11, register, 60)).collect();
    submit(&engine, &others);
    engine.shutdown().unwrap();
    std::fs::create_dir_all(other.path().join("registers")).unwrap();
    for (path, bytes) in kept.iter().zip(&whole) {
        std::fs::write(other.path().join("registers").join(path.file_name().unwrap()), bytes).unwrap();
    }
    let engine = open(other.path(), 1_000_000);
    assert_eq!(shown(&engine), folded(other.path()));
    engine.shutdown().unwrap();
    // Of another operator: another INN is no longer ours.
    let log = ReadOnly::open(dir.path()).unwrap();
    let theirs = log.registers(&Capability::operator(), Some("7700002008")).unwrap();
    let theirs: Vec<Register> = theirs.iter().collect();
    let registered = |it: &&Register| it.drive.registration.is_some();
    assert!(theirs.iter().filter(registered).all(|it| it.drive.service.has_left()));
    assert!(theirs != expected);
}

// One merchant never sees another, neither one by one nor in a list.
#[test]
fn registers_are_shown_to_whom_they_belong() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), 1_000_000);
    submit(&engine, &lives(12, 12));
    let all = shown(&engine);
    assert_eq!(all.len(), 12);
    let inn = all[3].card.inn.clone().unwrap();
    let mine = engine.registers(&Capability::users([inn.clone()]));
    let expected: Vec<_> = all.iter().filter(|it| it.card.inn.as_ref() == Some(&inn)).cloned().collect();
    assert!(expected.len() < all.len());
    assert_eq!(mine.iter().collect::<Vec<_>>(), expected);
    for register in &all {
        let is_mine = expected.contains(register);
        let (rnm, drive) = (&register.card.rnm, register.drive.number);
        assert_eq!(mine.register(Realm::Prod, rnm).as_ref() == Some(register), is_mine);
        assert_eq!(mine.register_of(drive).is_some(), is_mine);
        assert_eq!(mine.drive(drive).is_some(), is_mine);
    }
    // Pages of any length give the same list.
    let pages = |book: &RegisterBook, most: usize| {
        let (mut found, mut next) = (Vec::new(), Some(0));
        while let Some(from) = next {
            let page = book.page(from, most);
            found.extend(page.registers);
            next = page.next;
        }
        found
    };
    let book = engine.registers(&Capability::operator());
    assert!((1..14).all(|most| pages(&book, most) == all && pages(&mine, most) == expected));
    // What a register was registered with is read from its document.
    let registration = book.registration(&all[0].drive).unwrap().unwrap();
    assert_eq!(registration.text(ofd_engine::codec::tags::KKT_REG_ID).as_ref(), Some(&all[0].card.rnm));
    engine.shutdown().unwrap();
    assert!(!book.wait(Position::new(ofd_engine::Lsn::new(1 << 40)), PATIENCE), "it has ended");
}

/// The events of an engine behind a position, asked for in batches of this size.
fn told(engine: &Engine, capability: &Capability, from: Position, most: usize) -> (Vec<Event>, Position) {
    let mut feed = engine.events(capability, from);
    let mut events = Vec::new();
    let durable = engine.durable();
    assert!(engine.registers(capability).wait(durable, PATIENCE));
    while feed.position() < durable {
        let batch = feed.next_batch(most, Duration::ZERO).unwrap();
        assert!(batch.len() < most + 12, "{} events of {most}", batch.len());
        events.extend(batch);
    }
    (events, feed.position())
}

/// The events of a fold of the whole log that was never interrupted.
fn all_events(dir: &Path) -> Vec<Event> {
    let log = ReadOnly::open(dir).unwrap();
    let mut events = Vec::new();
    log.fold_events(Some(OURS), &mut |event| events.push(event)).unwrap();
    events
}

// Somebody acts on an event: it must come once more rather than never, and always as the same.
#[test]
fn events_are_the_same_after_every_restart() {
    let dir = tempfile::tempdir().unwrap();
    let operator = Capability::operator();
    let (mut heard, mut at) = (Vec::new(), Position::START);
    for (part, messages) in lives(9, 170).chunks(190).enumerate() {
        let engine = open(dir.path(), [40, 300, 1_000_000][part % 3]);
        submit(&engine, messages);
        if part % 2 == 0 {
            let (all, _) = told(&engine, &operator, Position::START, 7);
            assert_eq!(all, all_events(dir.path()), "part {part}");
            // Who goes on from where he was hears the rest, and from any other place as well.
            let (more, position) = told(&engine, &operator, at, 40);
            heard.extend(more);
            at = position;
            assert_eq!(heard, all, "part {part}");
            for from in all.iter().step_by(9).map(|it| it.position) {
                let (rest, _) = told(&engine, &operator, from, 1000);
                assert!(
                    rest.iter().eq(all.iter().filter(|it| it.position > from)),
                    "part {part} from {from}"
                );
            }
        }
        engine.shutdown().unwrap();
    }
    assert!(heard.len() > 150, "{} events", heard.len());
    let files = std::fs::read_dir(dir.path().join("events")).unwrap().count();
    assert!(files > 4, "{files} files of events");
    // Thrown away, they are told again, the same.
    std::fs::remove_dir_all(dir.path().join("events")).unwrap();
    let engine = open(dir.path(), 1_000_000);
    let (again, _) = told(&engine, &operator, Position::START, 100);
    assert!(again.starts_with(&heard) && again == all_events(dir.path()));
    engine.shutdown().unwrap();
}

// A named cursor over events is the one over documents: its reader crashes wherever it likes and misses nothing.
#[test]
fn a_reader_with_a_cursor_misses_no_event() {
    let dir = tempfile::tempdir().unwrap();
    let operator = Capability::operator();
    let mut heard: Vec<Event> = Vec::new();
    for (part, messages) in lives(6, 120).chunks(180).enumerate() {
        let engine = open(dir.path(), 100);
        submit(&engine, messages);
        // A reader that sleeps delays nobody: this one has not read anything since the beginning.
        let (all, _) = told(&engine, &operator, Position::START, 1000);
        let cursor = engine.cursor("bookkeeping");
        let mut feed = engine.events(&operator, cursor.position());
        let mut new = Vec::new();
        for batch in 0.. {
            new.extend(feed.next_batch(5, Duration::ZERO).unwrap());
            if batch % 2 == 0 {
                cursor.save(feed.position()).unwrap();
            }
            if batch == 6 + part {
                break;
            }
        }
        // What it hears again is what it has heard last.
        let again = heard.iter().position(|it| Some(it) == new.first()).unwrap_or(heard.len());
        heard.truncate(again);
        heard.extend(new);
        assert!(all.starts_with(&heard), "part {part}");
        engine.shutdown().unwrap();
    }
    assert!(heard.len() > 100);
}

#[test]
fn events_are_told_to_whom_they_belong() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), 100);
    submit(&engine, &lives(12, 40));
    let inn = shown(&engine)[5].card.inn.clone().unwrap();
    let (all, _) = told(&engine, &Capability::operator(), Position::START, 100);
    let (mine, position) = told(&engine, &Capability::users([inn.clone()]), Position::START, 3);
    assert!(mine.len() > 3 && mine.len() < all.len());
    assert!(mine.iter().eq(all.iter().filter(|it| it.inn.as_ref() == Some(&inn))));
    assert_eq!(position, engine.durable());
    engine.shutdown().unwrap();
}

// A file that rots is told, and a start without checkpoints makes it anew.
#[test]
fn a_damaged_file_of_events_is_told_and_can_be_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let operator = Capability::operator();
    let engine = open(dir.path(), 100);
    submit(&engine, &lives(9, 60)[..300]);
    shown(&engine);
    submit(&engine, &lives(9, 60)[300..]);
    let (all, _) = told(&engine, &operator, Position::START, 100);
    engine.shutdown().unwrap();
    let first = dir.path().join("events/0000000000000000.events");
    let mut bytes = std::fs::read(&first).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&first, &bytes).unwrap();
    let engine = open(dir.path(), 1_000_000);
    shown(&engine);
    let mut feed = engine.events(&operator, Position::START);
    let error = loop {
        match feed.next_batch(100, Duration::ZERO) {
            Ok(_) => assert!(feed.position() < engine.durable()),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("0000000000000000.events"), "{error}");
    engine.shutdown().unwrap();
    std::fs::remove_dir_all(dir.path().join("registers")).unwrap();
    let engine = open(dir.path(), 1_000_000);
    assert_eq!(told(&engine, &operator, Position::START, 100).0, all);
    engine.shutdown().unwrap();
}

// Figures are compared with the merchant's own: exact, whatever came late, and by the clock of the register.
#[test]
fn figures_of_a_register_are_the_sums_of_its_receipts() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), 1_000_000);
    let operator = Capability::operator();
    let mut messages = lives(4, 80);
    // Some come when everything else has come.
    let late: Vec<_> = (0..20).map(|at| messages.remove(40 + at * 7)).collect();
    submit(&engine, &messages);
    submit(&engine, &late);
    let ever = LocalSeconds(0)..LocalSeconds(u32::MAX);
    for register in shown(&engine) {
        let rnm = &register.card.rnm;
        // A plain sum over all receipts of the drive, by the hour.
        let mut hours = std::collections::BTreeMap::<u32, i64>::new();
        for stored in engine.documents(&operator, register.drive.number, 0..=u32::MAX).unwrap() {
            let view = stored.document().unwrap();
            if !view.form().is_receipt_like() {
                continue;
            }
            let number = |tag| view.get(tag).map(|it| it.vln().unwrap() as i64).unwrap_or(0);
            let sum = match number(tags::OPERATION_TYPE) {
                1 => number(tags::TOTAL_SUM),
                2 => -number(tags::TOTAL_SUM),
                _ => 0,
            };
            *hours.entry(view.header().date_time.unwrap().0 / 3600 * 3600).or_default() += sum;
        }
        let ask = |grain, times| engine.figures(&operator, Realm::Prod, rnm, grain, times).unwrap().unwrap();
        let figures = ask(Grain::Hour, ever.clone());
        assert!(figures.rows().map(|(begin, it)| (begin.0, it.revenue())).eq(hours.clone()), "{rnm}");
        let whole: i64 = hours.values().sum();
        for grain in [Grain::Minute, Grain::Hour, Grain::Day] {
            assert_eq!(ask(grain, ever.clone()).revenue(), whole, "{rnm} {grain:?}");
        }
        // Two halves are the whole.
        let middle = LocalSeconds(*hours.keys().nth(hours.len() / 2).unwrap());
        let (before, after) = (ask(Grain::Hour, ever.start..middle), ask(Grain::Hour, middle..ever.end));
        assert_eq!(before.revenue() + after.revenue(), whole);
        assert_eq!(before.rows().count() + after.rows().count(), hours.len());
        let stranger = Capability::users(["7700002008".to_owned()]);
        assert_eq!(engine.figures(&stranger, Realm::Prod, rnm, Grain::Day, ever.clone()).unwrap(), None);
    }
    engine.shutdown().unwrap();
}

// Who doubts what is shown has it made anew under load: the same registers and the same events, for a reader in the midst of them too.
#[test]
fn a_fold_that_is_made_anew_shows_and_tells_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let operator = Capability::operator();
    let messages = lives(9, 170);
    let engine = open(dir.path(), 100);
    let error = engine.rebuild_fold(Fold::Registers, " ", "сверка").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fix);
    submit(&engine, &messages[..900]);
    let before = shown(&engine);
    let (half, at) = told(&engine, &operator, Position::START, 1000);
    let kept = checkpoints(dir.path());
    assert!(!kept.is_empty());
    // Something that no fold would come to by itself: it is gone when everything is read again.
    std::fs::write(kept.last().unwrap(), b"spoiled").unwrap();
    engine.rebuild_fold(Fold::Registers, "Иванова", "сверка").unwrap();
    let began = std::time::Instant::now();
    while kept.iter().any(|it| it.exists()) {
        assert!(began.elapsed() < PATIENCE, "the old checkpoints stay");
        std::thread::sleep(Duration::from_millis(5));
    }
    submit(&engine, &messages[900..]);
    let (rest, _) = told(&engine, &operator, at, 40);
    assert_eq!([half, rest].concat(), all_events(dir.path()));
    assert_eq!(shown(&engine), folded(dir.path()));
    assert_eq!(before.len(), 9);
    let text = std::fs::read_dir(dir.path().join("log")).unwrap().any(|it| {
        let bytes = std::fs::read(it.unwrap().path()).unwrap();
        bytes.windows(20).any(|it| it == br#""do":"fold.rebuild","#)
    });
    assert!(text, "who and why stands in the log");
    engine.shutdown().unwrap();
}

// "Where is number 6?" is what a merchant asks when the tax service asks him.
#[test]
fn a_number_that_is_missing_is_explained_by_what_stands_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let operator = Capability::operator();
    let messages = life(11, 0, 12);
    let engine = open(dir.path(), 100);
    let came: Vec<Vec<u8>> =
        messages.iter().enumerate().filter(|(at, _)| ![5, 6].contains(at)).map(|it| it.1.clone()).collect();
    submit(&engine, &came);
    let drive = shown(&engine)[0].drive.number;
    let explain = |number| engine.explain_number(&operator, drive, number).unwrap().unwrap();
    let missing = explain(7);
    assert_eq!(missing.whereabouts, Whereabouts::Missing(Range { first: 6, last: 7 }));
    let (before, after) = (missing.before.as_ref().unwrap(), missing.after.as_ref().unwrap());
    assert_eq!((before.number, after.number), (5, 8));
    assert_eq!(after.header().unwrap().number.unwrap().0, 8);
    assert!(missing.documents.is_empty());
    assert!(missing.words().starts_with("Номера 6–7 не приходили"), "{}", missing.words());
    assert_eq!(explain(5).whereabouts, Whereabouts::Stored);
    assert_eq!((explain(5).documents.len(), explain(5).after.unwrap().number), (1, 8));
    let next = explain(13);
    assert_eq!((next.whereabouts, next.after.is_none()), (Whereabouts::NotYet, true));
    assert!(next.words().contains("последний принятый номер — 12"), "{}", next.words());
    submit(&engine, &messages[5..7]);
    shown(&engine);
    assert_eq!(explain(7).whereabouts, Whereabouts::Stored);
    assert!(
        engine.explain_number(&Capability::users(["7707083893".to_owned()]), drive, 7).unwrap().is_none()
    );
    let unknown = DriveNumber::parse("7199999999999999").unwrap();
    assert!(engine.explain_number(&operator, unknown, 7).unwrap().is_none());
    engine.shutdown().unwrap();

    // A drive that came from another operator: what was before is not missed.
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path(), 100);
    submit(&engine, &messages[4..]);
    let drive = shown(&engine)[0].drive.number;
    let early = engine.explain_number(&operator, drive, 3).unwrap().unwrap();
    assert_eq!((early.whereabouts, early.after.unwrap().number), (Whereabouts::BeforeService, 5));
    engine.shutdown().unwrap();
}
