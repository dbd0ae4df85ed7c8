//! What a server does by the clock: compaction of sealed segments, merging of the archive, and retention.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use ofd_engine::{Engine, Error, ErrorKind};

use crate::config::Config;
use crate::failure::Failure;

/// Longest pause of a job that is put off, unless its own is longer.
const PUT_OFF_MAX: Duration = Duration::from_secs(3_600);

/// The threads that do it, one a job. What runs when the server stops is not waited for: the next one finishes it or sweeps
/// its unfinished files away.
pub(super) struct Maintenance {
    jobs: Vec<(Job, Sender<Option<Duration>>)>,
}

/// Something that is done again and again.
#[derive(Clone, Copy)]
struct Job {
    name: &'static str,
    every_s: fn(&Config) -> i64,
    run: fn(&Engine) -> Result<(), Error>,
}

const JOBS: [Job; 3] = [
    Job { name: "compaction", every_s: |it| it.compact_every_s, run: compact },
    Job { name: "merging", every_s: |it| it.merge_every_s, run: merge },
    Job { name: "retention", every_s: |it| it.retain_every_s, run: retain },
];

impl Maintenance {
    pub(super) fn start(engine: &Arc<Engine>, config: &Config) -> Result<Self, Failure> {
        let mut jobs = Vec::new();
        for job in JOBS {
            let (pauses, told) = channel();
            let engine = Arc::clone(engine);
            let body = move || run(&engine, job, &told);
            let spawned = std::thread::Builder::new().name(format!("ofd-{}", job.name)).spawn(body);
            spawned.map_err(|error| Failure::io("starting a thread", &error))?;
            jobs.push((job, pauses));
        }
        let maintenance = Self { jobs };
        maintenance.set(config);
        Ok(maintenance)
    }

    /// Takes the pauses of this configuration.
    pub(super) fn set(&self, config: &Config) {
        for (job, pauses) in &self.jobs {
            let seconds = u64::try_from((job.every_s)(config)).unwrap_or_default();
            // The thread ends with its sender only.
            let _ = pauses.send((seconds > 0).then(|| Duration::from_secs(seconds)));
        }
    }

    /// Begins nothing new.
    pub(super) fn stop(self) {
        drop(self.jobs);
    }
}

fn run(engine: &Engine, job: Job, told: &Receiver<Option<Duration>>) {
    let mut pause: Option<Duration> = None;
    // How often in a row it was told to try again.
    let mut put_off = 0_u32;
    loop {
        let next = match pause {
            Some(pause) => told.recv_timeout(longer(pause, put_off)),
            None => told.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(new) => pause = new,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => match (job.run)(engine) {
                Ok(()) => put_off = 0,
                Err(error) if error.kind() == ErrorKind::Retry => {
                    put_off = put_off.saturating_add(1);
                    let next = longer(pause.unwrap_or_default(), put_off);
                    tracing::error!(job = job.name, %error, next_s = next.as_secs(), "alarm: it is put off");
                }
                Err(error) if error.kind() == ErrorKind::Reopen => {
                    // After a failed sync the next one may report success for what is not on disk.
                    tracing::error!(job = job.name, %error, "alarm: it failed and rests until the next start");
                    pause = None;
                }
                Err(error) => tracing::error!(job = job.name, %error, "alarm: it failed and is tried again"),
            },
        }
    }
}

/// The pause behind so many failures in a row that will pass by themselves: twice as long each time, up to an hour, and never
/// shorter than it is.
fn longer(pause: Duration, put_off: u32) -> Duration {
    let times = 1_u32.checked_shl(put_off.min(16)).unwrap_or(u32::MAX);
    pause.saturating_mul(times).min(PUT_OFF_MAX.max(pause))
}

fn compact(engine: &Engine) -> Result<(), Error> {
    let report = engine.compact(false)?;
    if report.documents > 0 {
        tracing::info!(
            documents = report.documents,
            files = report.files,
            bytes = report.bytes,
            through = report.compacted_through.as_u64(),
            "compacted"
        );
    }
    Ok(())
}

fn merge(engine: &Engine) -> Result<(), Error> {
    let report = engine.merge(false)?;
    if report.runs > 0 {
        tracing::info!(
            runs = report.runs,
            of = report.merged,
            files = report.files,
            replaced = report.replaced,
            "merged"
        );
    }
    if report.damaged > 0 {
        let groups = report.damaged;
        tracing::error!(groups, "alarm: files of the archive are not as they were published");
    }
    Ok(())
}

fn retain(engine: &Engine) -> Result<(), Error> {
    let report = engine.retain(false)?;
    if !report.log.segments.is_empty() || report.archive.runs > 0 {
        tracing::info!(
            segments = report.log.segments.len(),
            bytes = report.log.bytes,
            through = report.log.dropped_through.get(),
            documents = report.archive.documents,
            "let go"
        );
    }
    if report.archive.damaged > 0 {
        tracing::error!(
            runs = report.archive.damaged,
            "alarm: files of the archive are not as they were published"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store or a disk that is away is not asked all the time, and is asked again within the hour.
    #[test]
    fn a_job_that_is_put_off_waits_longer_each_time_up_to_an_hour() {
        let seconds = |pause, put_off| longer(Duration::from_secs(pause), put_off).as_secs();
        assert_eq!([0, 1, 2, 3].map(|times| seconds(60, times)), [60, 120, 240, 480]);
        assert_eq!([6, 7, 40, u32::MAX].map(|times| seconds(60, times)), [3_600; 4]);
        assert_eq!(seconds(86_400, 5), 86_400);
    }
}
