//! Lives of the real log on the mounted file system, one after another, with marks in the disk's log.
//!
//! Small segments, so that rotation, preparing and sealing happen all the time; a life ends by a shutdown, or like a
//! killed process: what was submitted is finished, the rest is gone from memory. Whether it was
//! acknowledged is what [`ofd_storage::Progress::durable`] says, and nothing else.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use ofd_storage::{
    Env, Full, Log, LogOptions, LogState, NO_PARTITION, NewRecord, RealEnv, RecordKind, recover,
};

use crate::disk::{Disk, Mark};
use crate::lossy::{LossyEnv, Syncs};
use crate::rng::Rng;

/// Where the log lives below the mount point.
pub(crate) const DATA_NAME: &str = "data";

/// The payload of a record: its id, then bytes that follow from it.
pub(crate) fn payload(id: u64, len: usize) -> Vec<u8> {
    let mut rng = Rng(id);
    let mut bytes = id.to_le_bytes().to_vec();
    while bytes.len() < len {
        bytes.extend_from_slice(&rng.next().to_le_bytes());
    }
    bytes.truncate(len.max(8));
    bytes
}

/// One recording in so many has batches as long as those of a default log, which lie in huge pages and are written by a
/// thread of their own.
const LONG_ONE_IN: u64 = 5;
/// Their segments: the shortest that take such batches.
const LONG_SEGMENT_LEN: u64 = 8 << 20;

/// The seed decides the shape of the log too.
pub(crate) fn options(rng: &mut Rng) -> LogOptions {
    if rng.one_in(LONG_ONE_IN) {
        return LogOptions {
            segment_len: LONG_SEGMENT_LEN,
            marker_after_us: rng.pick(&[0, 300, 3_000]),
            prepare_retry_us: 2_000,
            ..LogOptions::default()
        };
    }
    let segment_len = rng.pick(&[64u64, 128, 256]) * 1024;
    let batch_len_max = rng.pick(&[4096usize, 8192, 11_776]);
    LogOptions {
        segment_len,
        batch_len_max: batch_len_max
            .min(usize::try_from(segment_len).unwrap_or(usize::MAX) / 6 / 4096 * 4096),
        block_len: rng.pick(&[512, 512, 4096]),
        marker_after_us: rng.pick(&[0, 300, 3_000]),
        prepare_retry_us: 2_000,
        ..LogOptions::default()
    }
}

/// Runs `lives` lives under `root` and tells how many writes waited at the disk behind another. In a negative control the same code
/// runs over an [`Env`] that swallows some.
pub(crate) fn run(
    disk: &Disk,
    root: &Path,
    options: LogOptions,
    lives: u64,
    rng: &mut Rng,
    syncs: Syncs,
) -> Result<u64> {
    let real = RealEnv::new(root.join(DATA_NAME));
    let env: Arc<dyn Env> = match syncs {
        Syncs::Asked => Arc::new(real),
        Syncs::NoneOfData | Syncs::None => Arc::new(LossyEnv { real, syncs }),
    };
    let (mut ids, mut ahead) = (0, 0);
    for _ in 0..lives {
        let mut records = 0;
        let (log, report) = recover(Arc::clone(&env), options, &mut |_, _| records += 1)?;
        if !report.damaged.is_empty() || report.cut.is_some() {
            bail!("damage without a fault: {report:?}");
        }
        disk.mark(Mark::Reopened(records));
        ahead += live(disk, &env, log, rng, &mut ids)?;
    }
    Ok(ahead)
}

/// One life.
fn live(disk: &Disk, env: &Arc<dyn Env>, mut log: Log, rng: &mut Rng, ids: &mut u64) -> Result<u64> {
    let bell = Arc::new(AtomicBool::new(false));
    let (ringer, sleeper) = (Arc::clone(&bell), std::thread::current());
    // Dropped before the log: its threads may still write.
    let mut queue = env.queue(Arc::new(move || {
        ringer.store(true, Ordering::Release);
        sleeper.unpark();
    }))?;
    let (mut ops, mut completions) = (Vec::new(), Vec::new());
    // So that what is appended fits on the disk, which is in memory.
    let long = log.payload_len_max() > 64 * 1024;
    let turns = if long { 4 + rng.below(6) } else { 30 + rng.below(150) };
    let clean = rng.one_in(3);
    let (burst, longest) = if long {
        (rng.pick(&[4, 8, 300]), rng.pick(&[900, 2_000, log.payload_len_max()]))
    } else {
        (rng.pick(&[1, 4, 30]), rng.pick(&[200, 900, log.payload_len_max()]))
    };
    let burst = if longest > 64 * 1024 { burst.min(8) } else { burst };
    let mut acknowledged = log.durable().get();
    let (mut turn, mut ahead) = (0, 0);
    loop {
        if turn < turns && rng.one_in(2) {
            for _ in 0..=rng.below(burst) {
                if !append(disk, env, &mut log, rng, ids, longest)? {
                    break;
                }
            }
            turn += 1;
            if rng.one_in(40) {
                log.seal();
            }
            if rng.one_in(3) {
                log.close_batch();
            }
        }
        if turn == turns {
            if !clean {
                break;
            }
            log.shutdown();
        }
        queue.poll(&mut completions);
        let progress = log.step(env.now(), &mut completions, &mut ops);
        if progress.durable.get() > acknowledged {
            acknowledged = progress.durable.get();
            disk.mark(Mark::Acknowledged(acknowledged));
        }
        match progress.state {
            LogState::Closed => break,
            LogState::Failed => bail!("the log failed without a fault"),
            LogState::Healthy | LogState::Rewriting => {}
        }
        let busy = !ops.is_empty();
        for op in ops.drain(..) {
            ahead += u64::from(op.name() == "commit-ahead");
            queue.submit(op);
        }
        if !busy && !bell.swap(false, Ordering::Acquire) {
            std::thread::park_timeout(Duration::from_micros(rng.pick(&[50, 400, 4_000])));
        }
    }
    drop(queue);
    Ok(ahead)
}

/// Appends one record and marks it; false when the log has no room now.
fn append(
    disk: &Disk,
    env: &Arc<dyn Env>,
    log: &mut Log,
    rng: &mut Rng,
    ids: &mut u64,
    longest: usize,
) -> Result<bool> {
    *ids += 1;
    let id = *ids;
    let len = 8 + usize::try_from(rng.below(longest.saturating_sub(8).max(1) as u64))?;
    let bytes = payload(id, len);
    let parts: &[&[u8]] = &[&bytes];
    let partition = if rng.one_in(6) { NO_PARTITION } else { u16::try_from(rng.below(5))? };
    let record =
        NewRecord { kind: RecordKind::Document, flags: 0, partition, key_id: 0, answer_code: 0, parts };
    match log.append(env.now(), record) {
        Ok(appended) => {
            disk.mark(Mark::Appended { lsn: appended.lsn.get(), id, len });
            Ok(true)
        }
        Err(Full::Wait | Full::Closed) => Ok(false),
        Err(full) => bail!("a record of {len} bytes: {full}"),
    }
}
