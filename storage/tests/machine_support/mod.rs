//! A log on a simulated machine that is driven step by step.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "shared by several tests, which may panic and use a part of it each"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ofd_storage::testing::{SimEnv, SimKnobs};
use ofd_storage::{
    Appended, Completion, DiskOp, DiskQueue, Env, Full, Log, LogOptions, NO_PARTITION, NewRecord, Progress,
    RecordKind, RecoveryReport, SegmentId, recover,
};

pub const OPTIONS: LogOptions = LogOptions {
    segment_len: 64 * 1024,
    batch_len_max: 8192,
    block_len: 512,
    marker_after_us: 5_000,
    prepare_retry_us: 10_000,
    free_bytes_min: Some(0),
};
/// A rate that never misses.
pub const ALWAYS: u32 = 65_536;

/// A document of no partition.
pub fn document<'a>(parts: &'a [&'a [u8]]) -> NewRecord<'a> {
    NewRecord {
        kind: RecordKind::Document,
        flags: 0,
        partition: NO_PARTITION,
        key_id: 0,
        answer_code: 0,
        parts,
    }
}

/// A log on a simulated machine; every poll does all that waits.
pub struct Machine {
    pub env: SimEnv,
    pub log: Log,
    pub queue: Box<dyn DiskQueue>,
    pub ops: Vec<DiskOp>,
    pub completions: Vec<Completion>,
}

pub fn open(env: SimEnv) -> (Machine, RecoveryReport, Vec<Vec<u8>>) {
    open_with(env, OPTIONS)
}

pub fn open_with(env: SimEnv, options: LogOptions) -> (Machine, RecoveryReport, Vec<Vec<u8>>) {
    let mut seen = Vec::new();
    let (log, report) =
        recover(Arc::new(env.clone()), options, &mut |record, _| seen.push(record.payload().to_vec()))
            .unwrap();
    let queue = env.queue(Arc::new(|| {})).unwrap();
    (Machine { env, log, queue, ops: Vec::new(), completions: Vec::new() }, report, seen)
}

impl Machine {
    pub fn new() -> Self {
        Self::of_seed(1)
    }

    pub fn of_seed(seed: u64) -> Self {
        let (mut machine, ..) = open(SimEnv::new(seed, SimKnobs::default()));
        machine.rest();
        machine
    }

    pub fn append(&mut self, payload: &[u8]) -> Appended {
        self.try_append(payload).unwrap()
    }

    pub fn try_append(&mut self, payload: &[u8]) -> Result<Appended, Full> {
        self.log.append(self.env.now(), document(&[payload]))
    }

    /// Takes completions in and submits what comes out.
    pub fn step(&mut self) -> Progress {
        let progress = self.log.step(self.env.now(), &mut self.completions, &mut self.ops);
        for op in self.ops.drain(..) {
            self.queue.submit(op);
        }
        progress
    }

    /// Lets the disk do what waits.
    pub fn disk(&mut self) {
        self.queue.poll(&mut self.completions);
    }

    /// Until nothing moves any more, without letting the marker's time come.
    pub fn rest(&mut self) -> Progress {
        let mut sealed = Vec::new();
        for _ in 0..8 {
            sealed.extend(self.step().sealed);
            self.disk();
        }
        Progress { sealed, ..self.step() }
    }

    pub fn faults(&self, change: impl FnOnce(&mut SimKnobs)) {
        self.env.set_knobs(change);
    }

    /// The next commit fails at its sync.
    pub fn fail_one_sync(&mut self) -> Progress {
        self.step();
        // The commit lane moves first.
        self.faults(|knobs| knobs.fail_next_syncs = 1);
        self.disk();
        self.faults(|knobs| knobs.fail_next_syncs = 0);
        self.step()
    }
}

pub fn path(segment: SegmentId) -> PathBuf {
    Path::new("log").join(format!("{segment}.seg"))
}
