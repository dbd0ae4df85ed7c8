//! A log with its real disk queue and the loop between them, as the engine's writer thread drives it, without rings.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ofd_storage::{
    Appended, Completion, DiskOp, DiskQueue, Env, Full, Log, LogOptions, LogState, Lsn, NewRecord, Now,
    RealEnv, RecordKind, recover,
};

/// Payload of every record: the planning figure of a document.
pub(crate) const PAYLOAD_LEN: usize = 600;
/// What a record of that payload takes in the log.
const RECORD_LEN: usize = 664;

/// The log, the queue, and what goes between them.
pub(crate) struct Rig {
    env: Arc<RealEnv>,
    // Before the log, which holds the lock of the directory.
    queue: Box<dyn DiskQueue>,
    /// The log.
    pub(crate) log: Log,
    ops: Vec<DiskOp>,
    completions: Vec<Completion>,
    outstanding: usize,
    wake_at_us: Option<u64>,
}

impl Rig {
    /// Opens a fresh log.
    ///
    /// # Errors
    /// Of the log.
    pub(crate) fn new(dir: &Path, options: LogOptions) -> anyhow::Result<Self> {
        let env = Arc::new(RealEnv::new(dir));
        let (log, _) = recover(Arc::<RealEnv>::clone(&env), options, &mut |_, _| {})?;
        let writer = std::thread::current();
        let queue = env.queue(Arc::new(move || writer.unpark()))?;
        Ok(Self {
            env,
            queue,
            log,
            ops: Vec::new(),
            completions: Vec::new(),
            outstanding: 0,
            wake_at_us: None,
        })
    }

    /// The time.
    pub(crate) fn now(&self) -> Now {
        self.env.now()
    }

    /// Takes a record; waits while the log is full.
    ///
    /// # Errors
    /// When the log has failed.
    #[inline]
    pub(crate) fn append(&mut self, now: Now, payload: &[u8]) -> anyhow::Result<Appended> {
        let record = NewRecord {
            kind: RecordKind::Command,
            flags: 0,
            partition: 0,
            key_id: 0,
            answer_code: 0,
            parts: &[payload],
        };
        loop {
            match self.log.append(now, record) {
                Ok(appended) => return Ok(appended),
                Err(Full::Wait) => self.wait()?,
                Err(full) => anyhow::bail!("the log takes no record: {full}"),
            }
        }
    }

    /// One step; whether anything moved.
    ///
    /// # Errors
    /// When the log has failed.
    pub(crate) fn turn(&mut self) -> anyhow::Result<bool> {
        self.queue.poll(&mut self.completions);
        self.outstanding -= self.completions.len();
        let news = !self.completions.is_empty();
        let progress = self.log.step(self.env.now(), &mut self.completions, &mut self.ops);
        anyhow::ensure!(progress.state == LogState::Healthy, "the log is {:?}", progress.state);
        self.wake_at_us = progress.wake_at_mono_us;
        self.outstanding += self.ops.len();
        let moved = news || !self.ops.is_empty();
        for op in self.ops.drain(..) {
            self.queue.submit(op);
        }
        Ok(moved)
    }

    /// A step, and sleep until the disk rings when nothing moved. The sleep is long: on a busy machine a timer that
    /// fires early makes the scheduler look again, and the log would seem faster than raw calls that have no timer.
    ///
    /// # Errors
    /// When the log has failed.
    pub(crate) fn wait(&mut self) -> anyhow::Result<()> {
        if !self.turn()? {
            std::thread::park_timeout(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Waits until this record is durable.
    ///
    /// # Errors
    /// When the log has failed.
    pub(crate) fn wait_for(&mut self, lsn: Lsn) -> anyhow::Result<()> {
        while self.log.durable() < lsn {
            self.wait()?;
        }
        Ok(())
    }

    /// Until the disk has nothing to do: the next segment stands ready, the last marker is written.
    ///
    /// # Errors
    /// When the log has failed.
    pub(crate) fn quiet(&mut self) -> anyhow::Result<()> {
        loop {
            self.wait()?;
            if self.outstanding == 0 && self.wake_at_us.is_none() {
                return Ok(());
            }
        }
    }
}

/// A log inside one segment that holds `records`, with the next one prewritten already.
///
/// # Errors
/// Of the log.
pub(crate) fn rig_for(dir: &Path, records: usize, batches: usize) -> anyhow::Result<Rig> {
    // Every batch has a header and is rounded up to a block. Should it be more, the next segment is there.
    let bytes = (records * RECORD_LEN + batches * 1024 + (8 << 20)) as u64;
    let segment_len = bytes.next_multiple_of(1 << 20).min(1 << 30);
    let options = LogOptions { segment_len, ..LogOptions::default() };
    let mut rig = Rig::new(dir, options)?;
    let first = rig.append(rig.now(), &[0; PAYLOAD_LEN])?;
    rig.wait_for(first.lsn)?;
    rig.quiet()?;
    Ok(rig)
}
