//! How long a cabinet waits for its list: a hundred thousand registers, and one card.
//!
//! In a build without optimisation there are fewer of them and more time; the figures are printed. Timings are of the machine
//! and its load: `cargo test --release -p ofd-engine --test registers_list -- --nocapture`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a failed unwrap is a failed test"
)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use ofd_emit::{ProfileOptions, Register as Emitted};
use ofd_engine::codec::{DriveNumber, LocalSeconds};
use ofd_engine::host::Capability;
use ofd_engine::registers::{LaneSeed, SeedShift};
use ofd_engine::storage::envelope::Realm;
use ofd_engine::watch::{RegisterQuery, RegisterSort, RegisterText};
use ofd_engine::{Engine, RegisterBook};

const REGISTERS: u32 = if cfg!(debug_assertions) { 10_000 } else { 100_000 };
const LIST_MAX: Duration = Duration::from_secs(1);
const CARD_MAX: Duration = Duration::from_millis(if cfg!(debug_assertions) { 5 } else { 1 });

fn rnm(number: u32) -> String {
    format!("{number:016}")
}

// Whoever opens the cabinet of a chain sees all its registers: the list and a card have their bounds.
#[test]
fn a_hundred_thousand_registers_are_listed_in_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::builder(dir.path()).segment_len_bytes(16 << 20).open().unwrap();
    let seed = |number: u32| LaneSeed {
        rnm: Some(rnm(number)),
        inn: Some(format!("77{:08}", number / 40)),
        // Every second one has an open shift: its drive is kept ready to be added to.
        shift: Some(SeedShift {
            number: 7,
            opened: number.is_multiple_of(2).then_some((300, Some(LocalSeconds(1_772_409_600)))),
        }),
        registration: Some((1, None)),
        ..LaneSeed::new(DriveNumber::parse(&format!("71{number:014}")).unwrap(), 346)
    };
    let seeds: Vec<LaneSeed> = (0..REGISTERS).map(seed).collect();
    assert_eq!(engine.seed_lanes(&seeds).unwrap().taken, u64::from(REGISTERS));
    let book = engine.registers(&Capability::operator());
    assert!(book.wait(engine.durable(), Duration::from_secs(60)));
    let begun = Instant::now();
    let (mut listed, mut open) = (0, 0);
    for register in book.iter() {
        listed += 1;
        open += u32::from(register.drive.open_shift().is_some());
    }
    let list = begun.elapsed();
    assert_eq!((listed, open), (REGISTERS, REGISTERS / 2));
    let mut cards: Vec<Duration> = (0..1_001)
        .map(|turn| {
            let begun = Instant::now();
            assert!(book.register(Realm::Prod, &rnm(turn * 7_919 % REGISTERS)).is_some());
            begun.elapsed()
        })
        .collect();
    cards.sort_unstable();
    let mine = engine.registers(&Capability::users(["7700000003".to_owned()]));
    let begun = Instant::now();
    let owned = mine.iter().count();
    let own = begun.elapsed();
    let (median, p99) = (cards[500], cards[990]);
    println!(
        "{REGISTERS} registers listed in {list:?}; one card {median:?}, p99 {p99:?}; {owned} of one merchant in {own:?}"
    );
    assert_eq!(owned, 40);
    assert!(list <= LIST_MAX && own <= LIST_MAX, "listed in {list:?}, of one merchant in {own:?}");
    assert!(median <= CARD_MAX, "a card takes {median:?}");
    engine.shutdown().unwrap();
}

const PAGE_MAX: Duration = Duration::from_millis(if cfg!(debug_assertions) { 2_000 } else { 100 });
const LIVING: u32 = if cfg!(debug_assertions) { 2_000 } else { 100_000 };

// A page of a chain of a hundred thousand registers, filtered and sorted by what only their drives know.
#[test]
fn a_page_of_a_hundred_thousand_registers_takes_a_tenth_of_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::builder(dir.path()).segment_len_bytes(64 << 20).open().unwrap();
    let options = ProfileOptions { receipts_per_shift: Some(2), ..ProfileOptions::default() };
    let mut batch = Vec::new();
    for number in 0..LIVING {
        let mut register = Emitted::new(3, number, &options);
        // Registered, a shift, and for every second one the next shift is open.
        for _ in 0..5 + number % 2 {
            let mut message = Vec::new();
            register.next_message(&mut message).unwrap();
            batch.push(Bytes::from(message));
        }
        if batch.len() > 2_000 || number + 1 == LIVING {
            engine.submit_batch(std::mem::take(&mut batch)).unwrap().wait();
        }
    }
    let book = engine.registers(&Capability::operator());
    assert!(book.wait(engine.durable(), Duration::from_secs(120)));
    assert_eq!(book.count(), LIVING as usize);
    let queries = [
        ("by РНМ", RegisterQuery::default()),
        (
            "by the end of the drive",
            RegisterQuery { sort: RegisterSort::DriveEnds, ..RegisterQuery::default() },
        ),
        (
            "open, 1.2, not automatic, by fill",
            RegisterQuery {
                shift_open: Some(true),
                version: Some("1.2".to_owned()),
                without_modes: 2,
                sort: RegisterSort::Filled,
                descending: true,
                ..RegisterQuery::default()
            },
        ),
        (
            "by colour, drives of this decade",
            RegisterQuery {
                sort: RegisterSort::Colour,
                drive_ends: Some(0..25_000),
                ..RegisterQuery::default()
            },
        ),
        (
            "by what was taken today",
            RegisterQuery { sort: RegisterSort::RevenueToday, descending: true, ..RegisterQuery::default() },
        ),
        ("by reason", RegisterQuery { sort: RegisterSort::Reason, ..RegisterQuery::default() }),
        (
            "by address",
            RegisterQuery { sort: RegisterSort::Text(RegisterText::Address), ..RegisterQuery::default() },
        ),
    ];
    let begun = Instant::now();
    let by_name =
        RegisterQuery { sort: RegisterSort::Text(RegisterText::UserName), ..RegisterQuery::default() };
    assert_eq!(book.list(&by_name, 100, None).unwrap().registers.len(), 100);
    println!(
        "{LIVING} registers: texts of all were read for the first page by name in {:?}",
        begun.elapsed()
    );
    measure("operator", &book, &queries);
    // As many again of one merchant, who moved in a moment ago: what others have costs him nothing.
    let seed = |number: u32| LaneSeed {
        rnm: Some(format!("9{number:015}")),
        inn: Some("7799999999".to_owned()),
        shift: Some(SeedShift { number: 7, opened: Some((300, None)) }),
        ..LaneSeed::new(DriveNumber::parse(&format!("73{number:014}")).unwrap(), 346)
    };
    engine.seed_lanes(&(0..LIVING).map(seed).collect::<Vec<_>>()).unwrap();
    let merchant = engine.registers(&Capability::users(["7799999999".to_owned()]));
    assert!(merchant.wait(engine.durable(), Duration::from_secs(120)));
    let [by_rnm, by_end, ..] = queries;
    measure("merchant", &merchant, &[by_rnm, by_end]);
    engine.shutdown().unwrap();
}

fn measure(whose: &str, book: &RegisterBook, queries: &[(&str, RegisterQuery)]) {
    for (name, query) in queries {
        let mut times: Vec<Duration> = (0..9)
            .map(|_| {
                let begun = Instant::now();
                let page = book.list(query, 100, None).unwrap();
                assert!(!page.registers.is_empty());
                begun.elapsed()
            })
            .collect();
        times.sort_unstable();
        println!("{LIVING} registers, {whose}, {name}: a page in {:?} ({:?} at most)", times[4], times[8]);
        assert!(times[4] <= PAGE_MAX, "{name}: {:?}", times[4]);
    }
    let begun = Instant::now();
    let board = book.dashboard(&(LocalSeconds(0)..LocalSeconds(u32::MAX)));
    println!("{whose}: the first page of {} registers in {:?}", board.colours.all(), begun.elapsed());
    assert_eq!(board.colours.all(), LIVING as usize);
    let begun = Instant::now();
    assert_eq!(book.colours(Realm::Prod, None, None), board.colours);
    println!("{whose}: counts by colour in {:?}", begun.elapsed());
}
