//! The figures behind two decisions: the key of a lane with its partitions (docs/adr/0001) and appending by `pwrite` into
//! prewritten blocks with reading by map (docs/adr/0002). Each beside what was not chosen.

use std::collections::HashMap;
use std::fs::File;
use std::hash::BuildHasher;
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ofd_codec::DriveNumber;
use ofd_storage::{Env, RealEnv};

use crate::Plan;
use crate::harness::{Figure, Pair, Sink, interleave, rate_of};
use crate::raw::Prewritten;
use crate::recover::sealed_log;

/// Drives in the map.
const DRIVES: usize = 1_000_000;
/// Look-ups, reads or commits of one pass.
const PASS: usize = 20_000;

/// Runs the figures.
///
/// # Errors
/// Of the disk.
pub(crate) fn run(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    if plan.wants(&["choice.lane-key", "choice.partition"]) {
        keys(plan, sink)?;
    }
    if plan.wants(&["choice.prewritten"]) {
        prewritten(plan, sink)?;
    }
    if plan.wants(&["choice.read-map"]) {
        read_map(plan, sink)?;
    }
    Ok(())
}

/// Numbers of drives as makers give them out: a few prefixes, then a running number.
fn drives(count: usize) -> anyhow::Result<Vec<DriveNumber>> {
    let prefixes = ["7380440", "9252440", "7384440", "9960440", "7281440"];
    (0..count)
        .map(|at| {
            let prefix = prefixes.get(at % prefixes.len()).copied().unwrap_or_default();
            Ok(DriveNumber::parse(&format!("{prefix}{:09}", 700_000_000 + at * 3))?)
        })
        .collect()
}

/// A lane is found by eight bytes and a fast keyed hash; the other way is the text of the number and std's map. And the
/// partition: what the CRC costs, how evenly it spreads.
fn keys(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    let drives = drives(plan.work(DRIVES))?;
    let fast: hashbrown::HashMap<u64, u32, ahash::RandomState> =
        drives.iter().zip(0..).map(|(drive, at)| (drive.to_bcd_u64(), at)).collect();
    let slow: HashMap<[u8; 16], u32> =
        drives.iter().zip(0..).map(|(drive, at)| (*drive.as_bytes(), at)).collect();
    let stride = 611_953;
    let asked: Vec<DriveNumber> =
        (0..PASS).filter_map(|turn| drives.get(turn * stride % drives.len()).copied()).collect();
    let long = plan.long(Duration::from_millis(300));
    let (mut runs, mut others) = (0, 0);
    let pairs: Vec<Pair> = interleave(
        plan.rounds(),
        || {
            Ok(rate_of(asked.len(), long, &mut runs, || {
                for drive in &asked {
                    black_box(fast.get(&drive.to_bcd_u64()));
                }
            }))
        },
        || {
            Ok(rate_of(asked.len(), long, &mut others, || {
                for drive in &asked {
                    black_box(slow.get(drive.as_bytes()));
                }
            }))
        },
    )?;
    let figure = Figure::rate("choice.lane-key", "look-ups/s", "16 bytes of text in std's HashMap");
    sink.figure(figure, &pairs, runs)?;

    let hasher = std::hash::RandomState::new();
    let pairs: Vec<Pair> = interleave(
        plan.rounds(),
        || {
            Ok(rate_of(asked.len(), long, &mut runs, || {
                for drive in &asked {
                    black_box(ofd_engine::partition_of(drive.as_bytes()));
                }
            }))
        },
        || {
            Ok(rate_of(asked.len(), long, &mut others, || {
                for drive in &asked {
                    black_box(hasher.hash_one(drive.as_bytes()) % 256);
                }
            }))
        },
    )?;
    sink.figure(Figure::rate("choice.partition", "drives/s", "SipHash of the same bytes"), &pairs, runs)?;

    let spread = |label: &dyn Fn(&DriveNumber) -> usize| {
        let mut counts = vec![0_usize; 256];
        for drive in &drives {
            if let Some(count) = counts.get_mut(label(drive)) {
                *count += 1;
            }
        }
        counts.iter().max().copied().unwrap_or_default() as f64 * 256.0 / drives.len() as f64
    };
    let ours = spread(&|drive| usize::from(ofd_engine::partition_of(drive.as_bytes())));
    let last = spread(&|drive| drive.as_str().parse::<u64>().map_or(0, |number| (number % 256) as usize));
    let figure = Figure::time("choice.partition-spread", "fullest / mean", "number modulo 256");
    sink.figure(figure, &vec![(ours, last); plan.rounds()], 1)
}

/// One 4 KiB commit after another: into blocks that were written before, and into a file that grows.
fn prewritten(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    let dir = plan.temp_dir()?;
    let commits = plan.work(2_000).max(200);
    let block = [0x5A_u8; 4096];
    let mut ready = Prewritten::new(&dir.path().join("prewritten"), 64 << 20)?;
    let pairs: Vec<Pair> = interleave(
        plan.rounds(),
        || {
            let started = Instant::now();
            for _ in 0..commits {
                ready.commit(&block)?;
            }
            Ok(commits as f64 / started.elapsed().as_secs_f64())
        },
        || {
            let path = dir.path().join("growing");
            let file = File::options().create(true).truncate(true).write(true).open(&path)?;
            let started = Instant::now();
            for at in 0..commits {
                file.write_all_at(&block, (at * block.len()) as u64)?;
                file.sync_data()?;
            }
            Ok(commits as f64 / started.elapsed().as_secs_f64())
        },
    )?;
    let figure = Figure::rate("choice.prewritten", "commits/s", "pwrite + fdatasync into a growing file");
    sink.figure(figure, &pairs, (plan.rounds() * commits) as u64)
}

/// A walk over whole sealed segments, as compaction makes it: through maps, every record checked, beside `pread` of the
/// same files into one buffer and a CRC-32C over it.
fn read_map(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    let dir = plan.temp_dir()?;
    let env: Arc<dyn Env> = Arc::new(RealEnv::new(dir.path()));
    let written = plan.work(400_000);
    let reader = sealed_log(&env, written)?;
    let segments = reader.sealed_segments();
    let files = segments
        .iter()
        .map(|it| Ok((File::open(dir.path().join("log").join(format!("{}.seg", it.id)))?, it.used)))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let long = plan.long(Duration::from_millis(300));
    let (mut runs, mut others) = (0, 0);
    let mut buffer = Vec::new();
    let mut wrong = 0_usize;
    let pairs: Vec<Pair> = interleave(
        plan.rounds(),
        || {
            Ok(rate_of(written, long, &mut runs, || {
                let mut found = 0;
                for segment in &segments {
                    if let Ok(records) = reader.segment_records(segment.id) {
                        found += records.iter().filter(Result::is_ok).count();
                    }
                }
                wrong += usize::from(found != written);
            }))
        },
        || {
            Ok(rate_of(written, long, &mut others, || {
                for (file, used) in &files {
                    buffer.resize(usize::try_from(*used).unwrap_or_default(), 0);
                    let _ = file.read_exact_at(&mut buffer, 0);
                    black_box(crc_fast::crc32_iscsi(&buffer));
                }
            }))
        },
    )?;
    anyhow::ensure!(wrong == 0, "{wrong} walks did not see every record");
    let figure = Figure::rate("choice.read-map", "records/s", "pread of the files + one CRC-32C over each");
    sink.figure(figure, &pairs, runs)
}
