//! Compaction on a disk that lies: power cuts at any call, torn sectors, lost names, failing writes and syncs. I8, Parquet is the log: rows,
//! raw bytes, order, and nothing twice; that a segment goes only behind it, `retain.rs`.
//!
//! The cases are numbers; `OFD_SEED=<number>` runs one of them alone.
#![cfg(all(feature = "columns", feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod compact_support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::Int64Array;
use compact_support::*;
use ofd_storage::columns::read::{column, each_batch};
use ofd_storage::compact::{CompactOptions, compact};
use ofd_storage::env::read_file;
use ofd_storage::manifest::Archive;
use ofd_storage::testing::{SimEnv, SimKnobs};
use ofd_storage::verify::verify_source;
use ofd_storage::{Env, ErrorKind};

/// Every file of the tree, and the manifest.
fn files(env: &dyn Env) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(env: &dyn Env, dir: &Path, out: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in env.list(dir).unwrap_or_default() {
            let path = dir.join(&entry.name);
            if entry.is_dir {
                walk(env, &path, out);
            } else {
                let bytes = read_file(env, &path, 1 << 20).unwrap();
                out.insert(path, bytes);
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(env, Path::new("parquet"), &mut out);
    out.insert("archive.json".into(), read_file(env, Path::new("archive.json"), 1 << 20).unwrap_or_default());
    out
}

/// What is wrong for readers by pattern or by manifest.
fn unsound(env: &Arc<dyn Env>) -> Result<(), String> {
    let text = |error: ofd_storage::Error| error.to_string();
    let mut seen = BTreeSet::new();
    for path in files(&**env).into_keys().filter(|path| path.extension().is_some_and(|ext| ext == "parquet"))
    {
        let table = path.iter().nth(1).unwrap().to_owned();
        let mut twice = None;
        each_batch(&**env, &path, &["position"], |batch| {
            for position in column::<Int64Array>(batch, &path, "position")?.values() {
                if table != "items" && !seen.insert((table.clone(), *position)) {
                    twice = Some(*position);
                }
            }
            Ok(())
        })
        .map_err(text)?;
        if let Some(position) = twice {
            return Err(format!("I8: {table:?} has {position} twice"));
        }
    }
    let archive = Archive::open(env).map_err(text)?;
    let report = verify_source(&log_of_three(), env).map_err(text)?;
    if !report.ok || report.parquet_rows != archive.compacted_through().as_u64() {
        return Err(format!("I8: {report:?}"));
    }
    Ok(())
}

/// A run that would fill the disk is put off: the log needs the room to take documents.
#[test]
fn a_full_disk_puts_compaction_off_and_leaves_nothing_behind() {
    let sim = SimEnv::new(1, SimKnobs { space: Some(5_000), ..SimKnobs::default() });
    let env: Arc<dyn Env> = Arc::new(sim.clone());
    let options = CompactOptions { free_bytes_min: 4_000, ..small_runs() };
    let error = compact(&log_of_three(), &env, &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
    assert!(files(&*env).len() == 1, "the empty manifest alone");
    sim.set_knobs(|knobs| knobs.space = Some(1 << 20));
    assert_eq!(compact(&log_of_three(), &env, &options).unwrap().documents, 3);
}

struct Outcome {
    unsound: Option<String>,
    cuts: u64,
    faults: u64,
}

/// Runs compaction through power cuts until it ends.
fn run(seed: u64, lossy: bool, reference: &BTreeMap<PathBuf, Vec<u8>>) -> Outcome {
    let faulty = seed % 3 == 2;
    let knobs = SimKnobs {
        write_error: if faulty { 600 } else { 0 },
        sync_error: if faulty { 600 } else { 0 },
        short_write: 4_000,
        torn_sectors: true,
        names_in_any_order: seed.is_multiple_of(2),
        lossy_skip_sync: lossy,
        ..SimKnobs::default()
    };
    let mut sim = SimEnv::new(seed, knobs);
    let mut outcome = Outcome { unsound: None, cuts: 0, faults: 0 };
    for round in 0..40_u64 {
        // The last rounds are undisturbed.
        let calls = (round < 30).then(|| (seed * 31 + round * 17) % 180 + 1);
        sim.cut_power_after(calls);
        if round == 30 {
            sim.set_knobs(|knobs| {
                let quiet = SimKnobs { lossy_skip_sync: knobs.lossy_skip_sync, ..SimKnobs::default() };
                *knobs = quiet;
            });
        }
        let env: Arc<dyn Env> = Arc::new(sim.clone());
        let result = compact(&log_of_three(), &env, &small_runs());
        assert_eq!(sim.stats().poisoned_syncs, 0, "seed {seed}: a file was synced again after a failed sync");
        let done = result.is_ok();
        if let Err(error) = result {
            outcome.faults += u64::from(!sim.is_off());
            // A disk that fails is neither a damaged file nor a mistake of somebody's.
            assert_eq!(error.kind(), ErrorKind::Reopen, "seed {seed} round {round}: {error}");
        }
        // Whatever happened, the machine starts again.
        sim = sim.power_cut();
        outcome.cuts += 1;
        sim.cut_power_after(None);
        let env: Arc<dyn Env> = Arc::new(sim.clone());
        if let Err(what) = unsound(&env) {
            outcome.unsound = Some(format!("round {round}: {what}"));
            return outcome;
        }
        if done {
            if files(&*env) != *reference {
                outcome.unsound = Some(format!("round {round}: done, and other files than expected"));
            }
            return outcome;
        }
    }
    outcome.unsound = Some("never done".to_owned());
    outcome
}

fn reference() -> BTreeMap<PathBuf, Vec<u8>> {
    let env: Arc<dyn Env> = Arc::new(SimEnv::new(1, SimKnobs::default()));
    compact(&log_of_three(), &env, &small_runs()).unwrap();
    files(&*env)
}

/// After any power cut readers find whole runs, no document twice, and every published byte; the end is the same.
#[test]
fn no_power_cut_shows_readers_half_a_run() {
    let reference = reference();
    let seeds = match std::env::var("OFD_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..72_u64,
    };
    let (mut cuts, mut faults) = (0, 0);
    let one = seeds.end - seeds.start == 1;
    for seed in seeds {
        let outcome = run(seed, false, &reference);
        if let Some(what) = outcome.unsound {
            panic!("OFD_SEED={seed}: {what}");
        }
        cuts += outcome.cuts;
        faults += outcome.faults;
    }
    assert!(one || cuts > 150, "only {cuts} power cuts");
    assert!(one || faults > 10, "only {faults} failing writes and syncs");
}

/// Without syncs the same run must lose something: the test above can fail.
#[test]
fn without_syncs_a_power_cut_is_noticed() {
    let reference = reference();
    let lost = (0..20).filter(|seed| run(*seed, true, &reference).unsound.is_some()).count();
    assert!(lost > 10, "{lost} of 20");
}
