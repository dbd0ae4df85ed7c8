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

use ofd_engine::Engine;
use ofd_engine::codec::{DriveNumber, LocalSeconds};
use ofd_engine::host::Capability;
use ofd_engine::registers::{LaneSeed, SeedShift};
use ofd_engine::storage::envelope::Realm;

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
