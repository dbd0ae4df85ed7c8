//! The tests are tested: every bug that is planted in the log must be found by the simulation of `sim.rs`.
//!
//! `tests/planted.sh` builds with `--cfg ofd_planted` and runs this. `OFD_PLANTED=<n>,<n>` looks for these bugs alone,
//! `OFD_PLANTED_STARTS=<n>` sets from how many starting points each is looked for, `OFD_PLANTED_SEEDS=<n>` how many seeds from
//! each. Every bug runs in one thread: its seeds follow each other, and the first that breaks a promise counts.
#![cfg(ofd_planted)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

mod sim_support;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use ofd_storage::planted;
use sim_support::{Class, Scenario, run, scenario, with_a_mirror};

/// What is planted where. The first nine are those every log has had. There is no 12: that the first write did not say how
/// much belongs to it broke no promise, since what lies behind the first batch of a rewrite was never acknowledged. 46 needs
/// damage in three places at once and is found by `tests/faults.rs`; 48 is in compaction.
const BUGS: [(u32, &str, &str); 53] = [
    (1, "disk", "acknowledged before the sync"),
    (2, "writer", "acknowledged when submitted"),
    (3, "disk", "a failed sync is tried again on the same file"),
    (4, "prepare", "the directory is not synced"),
    (5, "record", "the checksum leaves out the LSN"),
    (6, "walk", "the walk ends at the first bad checksum"),
    (7, "batch", "the length of a batch wraps at 16 bits"),
    (8, "writer", "the watermark runs ahead to what is still filling"),
    (9, "writer", "a durable batch is not kept until it is proven"),
    (10, "batch", "a batch claims to be proven itself"),
    (11, "writer", "the time of records goes back with the clock"),
    (13, "seal", "the footer ends one block too early"),
    (14, "seal", "a segment is sealed while its last batch is on its way"),
    (15, "seal", "a poisoned segment gets its footer"),
    (16, "index", "a second variant hides the first"),
    (17, "rewrite", "the filling batch is forgotten"),
    (18, "rewrite", "readers are not told where records went"),
    (19, "rewrite", "the second failure counts as success"),
    (20, "rewrite", "records keep the stamp of their old segment"),
    (21, "recovery", "the log is cut at the first damage below the watermark"),
    (22, "recovery", "a proof is taken from a copy that does not count"),
    (23, "recovery", "torn segments are not set aside before the next is activated"),
    (24, "recovery", "the unproven tail is taken for proven, not written again"),
    (25, "recovery", "the epoch does not advance"),
    (26, "recovery", "what was set aside counts as a segment"),
    (27, "recovery", "a number of a partition is given twice after a loss"),
    (28, "recovery", "a moved segment is removed before its copy is proven"),
    (29, "meta", "the metadata are renamed before they are synced"),
    (30, "recovery", "a damaged first write is not salvaged"),
    (31, "rewrite", "a written segment is thrown away before its copy is durable"),
    (32, "reader", "a feed goes beyond the watermark"),
    (33, "feed", "damage is passed over in silence"),
    (34, "reader", "a record is given out though its checksum is wrong"),
    (35, "feed", "a short read is taken for the end"),
    (36, "rewrite", "a rewrite of two batches is synced once"),
    (37, "writer", "a closed segment is not synced before the next one proves it"),
    (38, "writer", "a number of a partition is left out"),
    (39, "recovery", "unreadable sectors of the open segment are taken for zeros"),
    (40, "rewrite", "the chain of an earlier life is dropped"),
    (41, "rewrite", "a poisoned segment is sealed as if it were sound"),
    (42, "recovery", "a salvaged segment is not set aside"),
    (43, "recovery", "a torn activation counts"),
    (44, "recovery", "the report of a cut ends before the cut does"),
    (45, "feed", "a follower keeps its view of a closed segment"),
    (47, "recovery", "what the newest write says of the one before it is believed"),
    (49, "prepare", "an error of a directory sync is passed over"),
    (50, "mirror", "a copy counts as held when it is handed over"),
    (51, "mirror", "a start does not bring the mirror up to date"),
    (52, "mirror", "an open segment is not mended from the mirror"),
    (53, "disk", "a write that waits behind a failed one is begun all the same"),
    (54, "rewrite", "the batch that waits at the disk is forgotten"),
    (55, "mirror", "a start proves what it has written again before the mirror has it"),
    (56, "mirror", "a rewrite counts as held where it lay before"),
];
const _: () = assert!(BUGS.len() >= 30);
/// Seeds after which a bug counts as not found, and the most that half of the starting points may need.
const SEEDS_MAX: u64 = 4_000;
const MEDIAN_MAX: u64 = 1_000;

/// The scenario of a seed, with more of the faults that a bug needs in a row: each comes up in the campaign as well, but
/// seldom enough that thousands of seeds would be looked through.
fn directed(bug: u32, seed: u64) -> Scenario {
    let mut scenario = scenario(seed);
    if MIRRORED.contains(&bug) {
        scenario = with_a_mirror(scenario);
        if let Some(beside) = scenario.mirror.as_mut().filter(|_| bug >= 55) {
            // The local copy rots, and the mirror may be late, or fail.
            (beside.rots, beside.rots_in_starts, beside.degrades, beside.loses_directories) =
                (Some(true), true, false, false);
            (beside.knobs.lane_moves, beside.knobs.late_error) = (20_000, 0);
            if bug == 56 {
                (scenario.knobs.sync_error, beside.knobs.lane_moves) = (20_000, 4_000);
                (scenario.calls, scenario.turns, scenario.lives) = (120, 40, 20);
            }
            scenario.knobs.late_error = 0;
        }
        return scenario;
    }
    if !DIRECTED.contains(&bug) {
        return scenario;
    }
    let knobs = &mut scenario.knobs;
    (scenario.class, scenario.quiet) = (Class::Honest, false);
    (knobs.phantom_sync, knobs.lost_write, knobs.misdirected_write, knobs.late_error) = (0, 0, 0, 0);
    (knobs.turns_read_only, knobs.read_error, knobs.space) = (0, 0, None);
    match bug {
        // A failed sync, and the end of the process while its batches move.
        22 | 28 => knobs.sync_error = 9_000,
        // The same, with a segment of one batch before it that is the first of its process.
        40 => (knobs.sync_error, scenario.seal_one_in, scenario.burst) = (9_000, 2, 1),
        49 => knobs.dir_sync_error = 20_000,
        35 => (knobs.short_read, scenario.feed) = (30_000, true),
        // A failed sync, and one that lies over the rewrite; or one that lies, and a kill over the rewrite.
        _ => (knobs.sync_error, knobs.late_error) = (6_000, 9_000),
    }
    scenario
}

/// Bugs that are looked for in scenarios of their own.
const DIRECTED: [u32; 12] = [22, 28, 35, 36, 40, 47, 49, 50, 51, 52, 55, 56];

/// Those of the mirror.
const MIRRORED: [u32; 5] = [50, 51, 52, 55, 56];

/// Seeds until the bug shows, and how.
fn seeds_to_find(bug: u32, from: u64, seeds_max: u64) -> Option<(u64, String)> {
    (0..seeds_max).find_map(|at| {
        let scenario = directed(bug, from + at);
        let broken = |bug: u32| {
            planted::choose(bug);
            let outcome = catch_unwind(AssertUnwindSafe(|| run(&scenario)));
            planted::choose(0);
            match outcome {
                Ok(outcome) => outcome.err(),
                Err(panic) => {
                    let text = panic.downcast_ref::<String>().cloned();
                    Some(format!("panic: {}", text.unwrap_or_default()))
                }
            }
        };
        // What the same machine does without the bug is not the bug's.
        let how = broken(bug).filter(|_| broken(0).is_none());
        how.map(|how| (at + 1, how))
    })
}

#[test]
fn every_planted_bug_is_found() {
    std::panic::set_hook(Box::new(|_| {}));
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let starts = number("OFD_PLANTED_STARTS").unwrap_or(5).max(1);
    let seeds_max = number("OFD_PLANTED_SEEDS").unwrap_or(SEEDS_MAX);
    let only: Option<Vec<u32>> = std::env::var("OFD_PLANTED")
        .ok()
        .map(|text| text.split(',').map(|bug| bug.trim().parse().unwrap()).collect());
    let bugs: Vec<_> =
        BUGS.iter().filter(|(bug, ..)| only.as_ref().is_none_or(|only| only.contains(bug))).collect();
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                while let Some((bug, place, name)) = bugs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut found: Vec<_> = (0..starts)
                        .map(|start| seeds_to_find(*bug, 10_000_019 * (start + 1), seeds_max))
                        .collect();
                    // Not found sorts behind everything.
                    found.sort_by_key(|found| found.as_ref().map_or(u64::MAX, |(seeds, _)| *seeds));
                    let median = found[found.len() / 2].as_ref().map(|(seeds, _)| *seeds);
                    let most = found[found.len() - 1].as_ref().map(|(seeds, _)| *seeds);
                    let how =
                        found[0].as_ref().map_or("", |(_, how)| how).chars().take(90).collect::<String>();
                    let show = |seeds: Option<u64>| seeds.map_or("-".to_owned(), |seeds| seeds.to_string());
                    let row = format!(
                        "{bug:>3} {place:<9} {name:<58} {:>6} {:>6}  {how}",
                        show(median),
                        show(most)
                    );
                    std::io::stderr().write_all(format!("{row}\n").as_bytes()).unwrap();
                    rows.lock().unwrap().push((*bug, row, median, most));
                }
            });
        }
    });
    let _ = std::panic::take_hook();
    let mut rows = rows.into_inner().unwrap();
    rows.sort();
    let mut table = format!("bug where     name{:>55} {:>6}  how\n", "median", "most");
    for (_, row, ..) in &rows {
        table.push_str(row);
        table.push('\n');
    }
    let good = rows
        .iter()
        .filter(|(.., median, most)| most.is_some() && median.is_some_and(|median| median <= MEDIAN_MAX));
    table.push_str(&format!("planted {}/{} from {starts} starting points each\n", good.count(), rows.len()));
    std::io::stderr().write_all(table.as_bytes()).unwrap();
    for (bug, row, median, most) in &rows {
        assert!(most.is_some(), "not found from every start: {row}");
        assert!(median.is_some_and(|median| median <= MEDIAN_MAX), "bug {bug} is found too late: {row}");
    }
}

// `OFD_SEED=<n> OFD_PLANTED=<bug>` replays the scenario of a bug alone, without it.
#[test]
fn one_seed_without_its_bug() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let (Some(seed), Some(bug)) = (number("OFD_SEED"), number("OFD_PLANTED")) {
        if let Err(broken) = run(&directed(bug as u32, seed)) {
            panic!("seed {seed}: {broken}");
        }
    }
}

// Without a bug the same machines keep every promise: what is found above is the bug.
#[test]
fn nothing_is_found_where_nothing_is_planted() {
    for seed in 10_000_019..10_000_059 {
        for bug in [0].iter().chain(&DIRECTED) {
            if let Err(broken) = run(&directed(*bug, seed)) {
                panic!("seed {seed}, as for bug {bug}: {broken}");
            }
        }
    }
}
