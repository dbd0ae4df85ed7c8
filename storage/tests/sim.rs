//! Crash after crash on a disk that lies: I1-I4 and I10, I11, I13 of the log.
//!
//! `OFD_SEED=<n> cargo test -p ofd-storage --features testing --test sim one_seed` replays one seed;
//! `OFD_SEEDS=<n>` sets how many are run, `OFD_SIM_SECONDS=<n>` adds fresh seeds for so long.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

mod sim_support;

use std::io::Write;
use std::time::{Duration, Instant};

use ofd_storage::testing::SimKnobs;
use sim_support::{Scenario, Totals, run, scenario};

/// Seeds 1..=n are the same on every machine. Built for release they make more than 10,000 crashes.
const SEEDS: u64 = if cfg!(debug_assertions) { 25 } else { 1_200 };

/// Fresh seeds that failed once, each with what it had found.
const FAILED_ONCE: [u64; 1] = [
    // The chain of an earlier life was lost with a closed segment whose batches all moved on.
    2_130_827_305_217_674_738,
];

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// Past the capture of the test harness: the line is the point of the run.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn must_hold(scenario: &Scenario) -> Totals {
    match run(scenario) {
        Ok(totals) => totals,
        Err(broken) => panic!(
            "seed {seed}: {broken}\n{scenario:?}\nreplay: OFD_SEED={seed} cargo test -p ofd-storage \
             --no-default-features --features testing --test sim one_seed",
            seed = scenario.seed
        ),
    }
}

fn add(sum: &mut Totals, one: &Totals) {
    sum.crashes += one.crashes;
    sum.nested += one.nested;
    sum.acked += one.acked;
    sum.rewritten += one.rewritten;
    sum.cuts += one.cuts;
    sum.failed_logs += one.failed_logs;
    sum.refused_starts += one.refused_starts;
    sum.stats.power_cuts += one.stats.power_cuts;
    sum.stats.kills += one.stats.kills;
    sum.stats.write_errors += one.stats.write_errors;
    sum.stats.short_writes += one.stats.short_writes;
    sum.stats.sync_errors += one.stats.sync_errors;
    sum.stats.read_errors += one.stats.read_errors;
    sum.stats.full_disk += one.stats.full_disk;
    sum.stats.read_only += one.stats.read_only;
    sum.trace ^= one.trace;
}

// The promise of the house: what was acknowledged is there after anything.
#[test]
fn nothing_acknowledged_is_lost_doubled_or_reordered() {
    let start = Instant::now();
    let mut sum = Totals::default();
    let mut seeds = number("OFD_SEEDS").unwrap_or(SEEDS);
    for seed in (1..=seeds).chain(FAILED_ONCE) {
        add(&mut sum, &must_hold(&scenario(seed)));
    }
    if let Some(seconds) = number("OFD_SIM_SECONDS") {
        let fresh =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
        let mut seed = fresh;
        while start.elapsed() < Duration::from_secs(seconds) {
            seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
            add(&mut sum, &must_hold(&scenario(seed)));
            seeds += 1;
        }
    }
    let Totals { crashes, nested, acked, rewritten, cuts, failed_logs, refused_starts, stats, trace } = sum;
    say(&format!(
        "sim: seeds {seeds} crashes {crashes} (in recovery {nested}, kills {}) acked {acked} rewritten {rewritten} \
         torn tails {cuts} failed logs {failed_logs} refused starts {refused_starts} | faults: write {} short {} sync {} \
         read {} full {} read-only {} | lost 0 doubled 0 reordered 0 | trace {trace:016x} in {:.1?}",
        stats.kills,
        stats.write_errors,
        stats.short_writes,
        stats.sync_errors,
        stats.read_errors,
        stats.full_disk,
        stats.read_only,
        start.elapsed()
    ));
    // A run that met no fault of a kind proves nothing about it.
    if seeds >= SEEDS {
        assert!(crashes >= SEEDS * 9 && nested > 0 && rewritten > 0 && cuts > 0 && failed_logs > 0);
        assert!(
            stats.sync_errors > 0 && stats.write_errors > 0 && stats.full_disk > 0 && stats.read_only > 0
        );
    }
}

// The tester is tested: without syncs the same run must lose.
#[test]
fn the_same_run_without_syncs_loses() {
    let mut lost = 0;
    let seeds = 60;
    for seed in 1..=seeds {
        let mut scenario = scenario(seed);
        scenario.knobs = SimKnobs { lossy_skip_sync: true, ..scenario.knobs };
        lost += u64::from(run(&scenario).is_err());
    }
    say(&format!("sim without syncs: {lost} of {seeds} seeds lose"));
    assert!(lost * 2 > seeds, "only {lost} of {seeds} seeds lose");
}

#[test]
fn one_seed_makes_one_execution() {
    for seed in [1, 7, 42] {
        let (one, two) = (must_hold(&scenario(seed)), must_hold(&scenario(seed)));
        assert_eq!(one.trace, two.trace, "seed {seed}");
        assert_ne!(one.trace, must_hold(&scenario(seed + 1)).trace);
    }
}

#[test]
fn one_seed() {
    if let Some(seed) = number("OFD_SEED") {
        let scenario = scenario(seed);
        say(&format!("{scenario:?}"));
        say(&format!("{:?}", must_hold(&scenario)));
    }
}
