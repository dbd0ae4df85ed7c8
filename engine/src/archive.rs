//! The archive side of an engine: sealed segments to Parquet, and reading everything back.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ofd_storage::compact::{CompactOptions, CompactReport, compact};
use ofd_storage::manifest::{Archive, Run};
use ofd_storage::merge::{MergeReport, MergeRules, merge_archive};
use ofd_storage::retain::{
    DropReport, DropRules, Hold, HoldCommand, Holds, ThinReport, ThinRules, drop_segments_after, thin_archive,
};
use ofd_storage::store::place;
use ofd_storage::union::Snapshot;
use ofd_storage::verify::{VerifyReport, verify};
use ofd_storage::{Env, Lsn};

use crate::builder::Options;
use crate::derive::EngineDerive;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::live::drop_events;
use crate::shared::Shared;

const DAY_US: i64 = 86_400_000_000;
/// How long a retention waits for a checkpoint of the registers; without one it keeps what the last one has not seen.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(30);

/// What [`Engine::retain`] let go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetainReport {
    /// Segments of the log.
    pub log: DropReport,
    /// Rows of the archive.
    pub archive: ThinReport,
}

impl Engine {
    /// Writes every sealed segment that is not in the archive yet to Parquet, reads it back, compares it with the
    /// log and publishes it; with `all`, seals the open segment first. Doing it again changes nothing. One
    /// compaction runs at a time, a second caller waits. Registers are served meanwhile.
    ///
    /// # Errors
    /// As [`compact`]; `Reopen` when the open segment cannot be sealed.
    pub fn compact(&self, all: bool) -> Result<CompactReport, Error> {
        let _one_at_a_time = self.compaction.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has_ended() {
            return Err(Error::new(ErrorKind::Reopen, "the engine has ended"));
        }
        if all {
            self.seal()?;
        }
        let shared = self.shared();
        let options = CompactOptions {
            derive: Some(Arc::new(EngineDerive::of_owner(shared, Some(self.closed_flag())))),
            // The log comes first: compaction leaves it room for the next segments.
            free_bytes_min: shared.options.log.low_water(),
            stop: Some(self.closed_flag()),
            ..CompactOptions::default()
        };
        let report = compact(&shared.reader, &shared.env, &options);
        shared.forget_archive();
        self.clock.keep(&*shared.env);
        Ok(report?)
    }

    /// Merges runs of the archive whose day is over, and once more those whose month has settled, into fewer files; with `all`
    /// also those of today. Rows stay what they are. Registers are served meanwhile, and whoever asks sees every document once.
    ///
    /// # Errors
    /// As [`merge_archive`].
    pub fn merge(&self, all: bool) -> Result<MergeReport, Error> {
        let mut all_groups = MergeReport::default();
        loop {
            // Group by group: a compaction, a verification or a legal hold does not wait for a whole archive.
            let _one_at_a_time = self.compaction.lock().unwrap_or_else(PoisonError::into_inner);
            if self.has_ended() {
                return Err(Error::new(ErrorKind::Reopen, "the engine has ended"));
            }
            let shared = self.shared();
            let rules = MergeRules {
                now_us: shared.now().wall_us.saturating_add(if all { DAY_US } else { 0 }),
                log_begins: shared.reader.first(),
                free_bytes_min: shared.options.log.low_water(),
                stop: Some(self.closed_flag()),
                ..MergeRules::default()
            };
            let report = merge_archive(&shared.env, &rules);
            shared.forget_archive();
            if all_groups.add(&report?) == 0 {
                return Ok(all_groups);
            }
        }
    }

    /// Lets go what has been kept long enough: rows of the archive after their years, then segments of the log that the
    /// archive holds whole. What is held, awaited by a required cursor, damaged or not known stays; `dry_run` tells
    /// what would go. Registers are served meanwhile, and documents that leave the log are found and known as before.
    ///
    /// Today is what the clock says. One that has leapt since the start is not believed; one that says that nothing was done here for more
    /// than two months before it, only where [`crate::EngineBuilder::confirm_clock`] says so.
    ///
    /// # Errors
    /// `Fix` when the clock is not believed; as [`thin_archive`] and [`drop_segments_after`]. What went before the error was whole in the archive, or its time was over.
    pub fn retain(&self, dry_run: bool) -> Result<RetainReport, Error> {
        let _one_at_a_time = self.compaction.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has_ended() {
            return Err(Error::new(ErrorKind::Reopen, "the engine has ended"));
        }
        let shared = self.shared();
        let options = &shared.options;
        let holds = self.holds();
        let now_us = self.clock.believed_us(shared.now()).map_err(|why| {
            tracing::error!(why, "alarm: the clock is not believed");
            Error::new(ErrorKind::Fix, why)
        })?;
        self.clock.keep(&*shared.env);
        let thinned = thin_archive(
            &shared.env,
            &ThinRules {
                now_us,
                keep_years: options.archive_keep_years,
                holds: holds.clone(),
                log_begins: shared.reader.first(),
                free_bytes_min: options.log.low_water(),
                dry_run,
                ..ThinRules::default()
            },
        );
        shared.forget_archive();
        // What leaves the log is found by index files alone: the keeper of them may not have come to the last seal yet.
        while shared.sides.turn(&shared.reader)? {}
        let cursor = |name: &String| (name.clone(), self.cursor_position(name));
        let mut cursors: Vec<_> = options.required_cursors.iter().map(cursor).collect();
        // A start of the registers goes on from their checkpoint; what lies behind it has to be there.
        if options.registers && !dry_run {
            cursors.push((
                "the checkpoint of the registers".to_owned(),
                shared.book.checkpoint(CHECKPOINT_TIMEOUT),
            ));
        }
        let rules = DropRules {
            now_us,
            keep_us: i64::from(options.log_keep_days).saturating_mul(DAY_US),
            indexed: Some(shared.sides.through()),
            cursors,
            holds,
            dry_run,
        };
        let archive = thinned?;
        let mut last_look = |after, through| match shared.sides.view().check(after, through) {
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::error!(%error, "alarm: an index file is damaged; it is made again before its segments go");
                while shared.sides.turn(&shared.reader)? {}
                shared.sides.view().check(after, through)
            }
            checked => checked,
        };
        let log = drop_segments_after(&shared.reader, &shared.env, &rules, &mut last_look)?;
        if !dry_run {
            // The next snapshot of the registers is made of what has changed since the last one.
            let archive = Archive::open(&shared.env)?;
            let last = archive.runs().iter().rev().find_map(Run::registers);
            let told = last.map_or(Lsn::NONE, |(as_of, _)| Lsn::new(as_of));
            drop_events(&*shared.env, told.min(shared.reader.first().prev()))?;
        }
        Ok(RetainReport { log, archive })
    }

    /// Places a legal hold: from the return of this call on nothing that it covers leaves the log or the archive. Waits for
    /// a compaction or retention that runs. Gives the number of the hold.
    ///
    /// # Errors
    /// `Fix` when the hold makes no sense; `Reopen` when the log has failed.
    pub fn place_hold(&self, hold: Hold) -> Result<u64, Error> {
        hold.check().map_err(|what| Error::new(ErrorKind::Fix, what))?;
        let _one_at_a_time = self.compaction.lock().unwrap_or_else(PoisonError::into_inner);
        self.hold_command(&HoldCommand::Place(hold))
    }

    /// Lifts a legal hold.
    ///
    /// # Errors
    /// `Fix` when no such hold stands, or nobody says why; `Reopen` when the log has failed.
    pub fn lift_hold(&self, id: u64, reason: &str, by: &str) -> Result<(), Error> {
        if !self.holds().contains(id) {
            return Err(Error::new(ErrorKind::Fix, format!("there is no hold {id}")));
        }
        let (reason, by) = (reason.to_owned(), by.to_owned());
        let command = HoldCommand::Lift { id, reason, by };
        command.check().map_err(|what| Error::new(ErrorKind::Fix, what))?;
        self.hold_command(&command).map(drop)
    }

    /// The legal holds that stand.
    pub fn holds(&self) -> Holds {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes a command down and takes it in.
    fn hold_command(&self, command: &HoldCommand) -> Result<u64, Error> {
        let payload = command.to_payload();
        let position = self.append_commands([payload.clone()])?.get();
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).fold(position, &payload);
        Ok(position)
    }

    /// Archive and tail of the log as one, as of now: every stored row once, seconds fresh, whatever compaction does meanwhile.
    /// Shows everything: what a capability may see of it is for the reader to say, see [`crate::host::Capability`].
    ///
    /// # Errors
    /// As [`Snapshot::take`].
    pub fn snapshot(&self) -> Result<Snapshot, Error> {
        Ok(snapshot(self.shared())?)
    }

    /// Reads everything that is durable back: checksums, order, log against Parquet. Registers are served
    /// meanwhile.
    ///
    /// # Errors
    /// As [`verify`]: damage of single records is no error but a number in the report.
    pub fn verify(&self) -> Result<VerifyReport, Error> {
        // A compaction in between would replace the manifest under the eyes of the reader.
        let _one_at_a_time = self.compaction.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = self.shared();
        Ok(verify(&shared.reader, &shared.env)?)
    }
}

/// The machine with the store where the archive of its directory lies, if it lies in one.
pub(crate) fn placed(env: Arc<dyn Env>, options: &Options, durable: Lsn) -> Result<Arc<dyn Env>, Error> {
    let env = match &options.archive_place {
        Some(told) => place::placed(env, told)?,
        None => place::with_store(env)?,
    };
    if options.archive_adopted {
        place::adopt(&env, durable)?;
    }
    Ok(env)
}

/// See [`Engine::snapshot`].
pub(crate) fn snapshot(shared: &Arc<Shared>) -> Result<Snapshot, ofd_storage::Error> {
    let derive = Arc::new(EngineDerive::of_owner(shared, None));
    Snapshot::take(&shared.reader, &shared.env, Some(derive))
}
