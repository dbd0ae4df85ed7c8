//! A log with its mirror on two simulated machines, driven step by step.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "shared by several tests, which may panic and use a part of it each"
)]

use std::path::Path;
use std::sync::Arc;

use ofd_storage::testing::{SimEnv, SimKnobs};
use ofd_storage::{
    Appended, Completion, DiskOp, DiskQueue, Env, Error, Full, Log, LogOptions, LogState, Mirror, Mirrored,
    Progress, RecoveryReport, SinkFailure, recover,
};

use crate::machine_support::document;

pub const OPTIONS: LogOptions = LogOptions {
    segment_len: 64 * 1024,
    batch_len_max: 8192,
    prepare_retry_us: 10_000,
    free_bytes_min: Some(0),
    ..LogOptions::DEFAULT
};

/// A log with its mirror, on two simulated machines.
pub struct Machine {
    pub local: SimEnv,
    pub mirror: SimEnv,
    pub log: Log,
    pub queue: Box<dyn DiskQueue>,
    pub ops: Vec<DiskOp>,
    pub completions: Vec<Completion>,
}

pub type Opened = (Machine, RecoveryReport, Vec<Vec<u8>>);

pub fn pair(local: &SimEnv, mirror: &SimEnv, failure: SinkFailure) -> Arc<dyn Env> {
    let further = Mirror { env: Arc::new(mirror.clone()), failure };
    Arc::new(Mirrored::new(Arc::new(local.clone()), further))
}

pub fn try_open(local: SimEnv, mirror: SimEnv, failure: SinkFailure) -> Result<Opened, Error> {
    let mut seen = Vec::new();
    let env = pair(&local, &mirror, failure);
    let (mut log, report) = recover(env, OPTIONS, &mut |record, _| seen.push(record.payload().to_vec()))?;
    let queue = local.queue(Arc::new(|| {})).unwrap();
    log.start_copies(&(Arc::new(|| {}) as ofd_storage::env::Wake)).unwrap();
    Ok((Machine { local, mirror, log, queue, ops: Vec::new(), completions: Vec::new() }, report, seen))
}

pub fn open(local: SimEnv, mirror: SimEnv) -> Opened {
    try_open(local, mirror, SinkFailure::Stop).unwrap()
}

/// What a log alone in this directory gives.
pub fn alone(env: &SimEnv) -> (RecoveryReport, Vec<Vec<u8>>) {
    let mut seen = Vec::new();
    let (_, report) =
        recover(Arc::new(env.clone()), OPTIONS, &mut |record, _| seen.push(record.payload().to_vec()))
            .unwrap();
    (report, seen)
}

impl Machine {
    pub fn new(seed: u64, failure: SinkFailure) -> Self {
        let (local, mirror) =
            (SimEnv::new(seed, SimKnobs::default()), SimEnv::new(!seed, SimKnobs::default()));
        let (mut machine, ..) = try_open(local, mirror, failure).unwrap();
        machine.rest();
        machine
    }

    pub fn append(&mut self, payload: &[u8]) -> Appended {
        self.try_append(payload).unwrap()
    }

    pub fn try_append(&mut self, payload: &[u8]) -> Result<Appended, Full> {
        self.log.append(self.local.now(), document(&[payload]))
    }

    pub fn step(&mut self) -> Progress {
        let progress = self.log.step(self.local.now(), &mut self.completions, &mut self.ops);
        self.ops.drain(..).for_each(|op| self.queue.submit(op));
        progress
    }

    /// Until nothing moves any more.
    pub fn rest(&mut self) -> Progress {
        for _ in 0..12 {
            self.step();
            self.queue.poll(&mut self.completions);
        }
        self.step()
    }

    /// Ends the log; both copies are complete then.
    pub fn close(mut self) -> (SimEnv, SimEnv) {
        self.log.shutdown();
        let state = self.rest().state;
        assert_eq!(state, LogState::Closed);
        (self.local, self.mirror)
    }

    /// Appends `count` records of `len` bytes, each acknowledged.
    pub fn fill(&mut self, count: u32, len: usize) {
        for at in 0..count {
            let appended = loop {
                match self.try_append(&vec![at as u8; len]) {
                    Ok(appended) => break appended,
                    Err(full) => assert_eq!((full, self.rest().state), (Full::Wait, LogState::Healthy)),
                }
            };
            assert_eq!(self.rest().durable, appended.lsn);
        }
    }
}

/// A file: its name, its length, and its bytes by their CRC.
pub type Listed = (String, usize, u32);

/// The segments of a log and its metadata. A segment of zeros is no testimony: it may or may not be prepared yet.
pub fn files(env: &dyn Env) -> Vec<Listed> {
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
    let names = env.list(Path::new("log")).unwrap().into_iter().map(|entry| entry.name);
    let kept = names.filter(|name| name.ends_with(".seg") || name == "meta");
    kept.filter_map(|name| {
        let bytes = ofd_storage::env::read_file(env, &Path::new("log").join(&name), 1 << 30).unwrap();
        let blank = bytes.iter().all(|byte| *byte == 0);
        (!blank).then(|| (name, bytes.len(), crc.checksum(&bytes)))
    })
    .collect()
}
