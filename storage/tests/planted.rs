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
use sim_support::{run, scenario};

/// What is planted where. The first nine are those every log has had.
const BUGS: [(u32, &str, &str); 46] = [
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
    (12, "batch", "the first write does not say how much belongs to it"),
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
    (46, "feed", "the reach of damage goes beyond the end of a segment"),
];
/// Not demanded, and looked for only where `OFD_PLANTED` names them: 22 needs 1,500 seeds, the others have not been shown to be
/// found (12, 35, 36, 40, 42, 46). They need a rare row of faults, or another test.
const NOT_DEMANDED: [u32; 7] = [12, 22, 35, 36, 40, 42, 46];
const _: () = assert!(BUGS.len() - NOT_DEMANDED.len() >= 30);
/// Seeds after which a bug counts as not found, and the most that half of the starting points may need.
const SEEDS_MAX: u64 = 4_000;
const MEDIAN_MAX: u64 = 1_000;

/// Seeds until the bug shows, and how.
fn seeds_to_find(bug: u32, from: u64, seeds_max: u64) -> Option<(u64, String)> {
    planted::choose(bug);
    let found = (0..seeds_max).find_map(|at| {
        let scenario = scenario(from + at);
        match catch_unwind(AssertUnwindSafe(|| run(&scenario))) {
            Ok(Ok(_)) => None,
            Ok(Err(broken)) => Some((at + 1, broken)),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                Some((at + 1, format!("panic: {}", text.unwrap_or_default())))
            }
        }
    });
    planted::choose(0);
    found
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
    let bugs: Vec<_> = BUGS
        .iter()
        .filter(|(bug, ..)| only.as_ref().map_or(!NOT_DEMANDED.contains(bug), |only| only.contains(bug)))
        .collect();
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

// Without a bug the same machines keep every promise: what is found above is the bug.
#[test]
fn nothing_is_found_where_nothing_is_planted() {
    for seed in 10_000_019..10_000_119 {
        if let Err(broken) = run(&scenario(seed)) {
            panic!("seed {seed}: {broken}");
        }
    }
}
