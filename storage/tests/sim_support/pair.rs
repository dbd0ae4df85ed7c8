//! The same life after life with a mirror: two machines, each with faults of its own, and one promise over both.
//!
//! - What is acknowledged is on both, as long as the log was not told to go on with one: each directory alone is a log that gives it.
//! - One copy may lose anything between two lives, a bit, a sector, the whole directory: nothing acknowledged is lost, and nothing is
//!   damaged behind the next start. An empty data directory beside a full mirror is refused until somebody copies the mirror there.
//! - A failed mirror ends the log, or is gone on without where that was asked for; then the mirror alone is no promise until it
//!   was brought up to date.

use std::path::Path;
use std::sync::Arc;

use ofd_storage::testing::{SimEnv, SimKnobs};
use ofd_storage::{
    Completion, Copies, DiskOp, Env, ErrorKind, Log, LogReader, LogState, Mirror, Mirrored, RecoveryReport,
    SealedSegment, SinkFailure, recover,
};

use super::oracle::{Oracle, Visit, path_of};
use super::{Broken, Places, Rng, Scenario, Totals, append};

/// What the mirror of a scenario is like.
#[derive(Clone, Debug)]
pub struct Beside {
    pub knobs: SimKnobs,
    /// The log goes on without it.
    pub degrades: bool,
    /// Bits flip and sectors go bad between two lives, on one side, which is the local one if true: what rots on both may be lost. Beside a
    /// log that goes on without its mirror the mirror alone.
    pub rots: Option<bool>,
    /// And between a start that was interrupted and the next one.
    pub rots_in_starts: bool,
    /// One of the two directories is lost between two lives.
    pub loses_directories: bool,
}

/// The faults of a machine that has a mirror, each side with its own: none of them lies, and an error comes late on one side at most.
pub fn beside(rng: &mut Rng, local: &mut SimKnobs) -> Beside {
    let mut mirror = SimKnobs { ..local.clone() };
    for knobs in [&mut *local, &mut mirror] {
        (knobs.phantom_sync, knobs.lost_write, knobs.misdirected_write, knobs.late_error) = (0, 0, 0, 0);
        // Each fault of the seed on this side or not.
        let mut keeps = |rate: u32| if rng.one_in(2) { rate } else { 0 };
        knobs.write_error = keeps(knobs.write_error);
        knobs.sync_error = keeps(knobs.sync_error);
        knobs.read_error = keeps(knobs.read_error);
        knobs.turns_read_only = keeps(knobs.turns_read_only);
        knobs.stall = keeps(knobs.stall);
        knobs.space = knobs.space.filter(|_| keeps(1) > 0);
        knobs.dir_sync_error = keeps(knobs.dir_sync_error);
    }
    let degrades = rng.one_in(3);
    let rots = rng.one_in(2).then(|| rng.one_in(2) && !degrades);
    if rots.is_none() && rng.one_in(3) {
        // With one copy an error that comes after the power has gone is a loss.
        let side = if rng.one_in(2) && !degrades { &mut *local } else { &mut mirror };
        side.late_error = 300 + rng.below(3_000) as u32;
    }
    Beside {
        knobs: mirror,
        degrades,
        rots,
        rots_in_starts: false,
        loses_directories: rots.is_none() && rng.one_in(2),
    }
}

/// Two machines through all their lives.
pub fn run(scenario: &Scenario, beside: &Beside) -> Result<Totals, Broken> {
    let mut rng = Rng(scenario.seed);
    let mut pair = Pair {
        local: SimEnv::new(scenario.seed, scenario.knobs.clone()),
        mirror: SimEnv::new(!scenario.seed, beside.knobs.clone()),
        scenario,
        beside,
        oracle: Oracle::default(),
        totals: Totals { mirrored: 1, ..Totals::default() },
        whole: false,
        well: false,
    };
    for life in 0..scenario.lives {
        let broken = |broken: Broken| format!("with a mirror, life {life}: {broken}");
        pair.harm(&mut rng).map_err(broken)?;
        let opened = pair.open(&mut rng).map_err(broken)?;
        let clean = pair.live(opened, &mut rng).map_err(broken)?;
        pair.crash(&mut rng, clean);
    }
    pair.calm();
    pair.well = true;
    pair.live_well(&mut rng).map_err(|broken| format!("with a mirror, at the end: {broken}"))?;
    pair.ended()
}

struct Pair<'s> {
    local: SimEnv,
    mirror: SimEnv,
    scenario: &'s Scenario,
    beside: &'s Beside,
    oracle: Oracle,
    totals: Totals,
    /// Everything acknowledged is on both.
    whole: bool,
    /// Nothing happens to either any more.
    well: bool,
}

/// An open log, its first operations, and where its records are.
struct Opened {
    log: Log,
    ops: Vec<DiskOp>,
    places: Places,
}

fn told(error: ofd_storage::Error) -> Broken {
    error.to_string()
}

impl Pair<'_> {
    fn both(&self) -> Arc<dyn Env> {
        let failure = if self.beside.degrades { SinkFailure::Degrade } else { SinkFailure::Stop };
        let mirror = Mirror { env: Arc::new(self.mirror.clone()), failure };
        Arc::new(Mirrored::new(Arc::new(self.local.clone()), mirror))
    }

    fn sides(&self) -> [(&'static str, &SimEnv); 2] {
        [("the local log", &self.local), ("the mirror", &self.mirror)]
    }

    fn is_off(&self) -> bool {
        self.local.is_off() || self.mirror.is_off()
    }

    fn calm(&self) {
        for (_, env) in self.sides() {
            env.set_knobs(|knobs| {
                *knobs = SimKnobs { lossy_skip_sync: knobs.lossy_skip_sync, ..SimKnobs::default() };
            });
            env.mend(false);
        }
    }

    /// The process ends, and perhaps the power, of one device or of both.
    fn crash(&mut self, rng: &mut Rng, clean: bool) {
        self.totals.crashes += u64::from(!clean);
        // One of them lacks what a sync has promised until the next start.
        self.whole &= !self.sides().iter().any(|(_, env)| env.lied() || env.dropped());
        let [local, mirror] = if rng.one_in(2) { [false; 2] } else { [rng.one_in(2), rng.one_in(2)] };
        let end = |env: &SimEnv, kill: bool| if kill && !env.is_off() { env.kill() } else { env.power_cut() };
        (self.local, self.mirror) = (end(&self.local, local), end(&self.mirror, mirror));
    }

    /// What happens to one of the two directories between two lives.
    fn harm(&mut self, rng: &mut Rng) -> Result<(), Broken> {
        for (name, env) in self.sides() {
            env.cut_power_after(None);
            if self.whole && rng.one_in(3) {
                self.alone(env).map_err(|broken| format!("{name} alone: {broken}"))?;
            }
        }
        if !self.whole {
            return Ok(());
        }
        if self.beside.loses_directories && rng.one_in(4) {
            return self.lose(rng.one_in(2));
        }
        self.rot(rng);
        Ok(())
    }

    fn rot(&mut self, rng: &mut Rng) {
        if let Some(local) = self.beside.rots
            && rng.one_in(2)
        {
            rot(if local { &self.local } else { &self.mirror }, rng);
            self.totals.flips += 1;
        }
    }

    /// A directory alone is a log with everything that was acknowledged.
    fn alone(&self, env: &SimEnv) -> Result<(), Broken> {
        let env = env.fork();
        env.set_knobs(|knobs| {
            *knobs = SimKnobs { lossy_skip_sync: knobs.lossy_skip_sync, ..SimKnobs::default() }
        });
        env.mend(false);
        let mut visit = Visit::new();
        let (log, report) = recover(Arc::new(env), self.scenario.options, &mut |record, location| {
            visit.take(&self.oracle, &record, location);
        })
        .map_err(told)?;
        self.holds_all(&visit, &log, &report)
    }

    /// Every record up to the end once, and nothing that was acknowledged behind it.
    fn holds_all(&self, visit: &Visit, log: &Log, report: &RecoveryReport) -> Result<(), Broken> {
        let (end, acked) = (log.durable().get() as usize, self.oracle.acked);
        if let Some(broken) = &visit.broken {
            return Err(format!("{broken}; {report:?}"));
        }
        if end < acked {
            return Err(format!("I1: lost: {end} of {acked} acknowledged are there; {report:?}"));
        }
        if end > self.oracle.records.len() {
            return Err(format!("I3: durable {end}, {} were appended", self.oracle.records.len()));
        }
        // A marker that an error which came late has cost is damage without a record.
        let damaged = report.damaged.iter().any(|damage| damage.last >= damage.first);
        if visit.places.len() != end || damaged {
            return Err(format!("I1: {} of {end} records are served; {report:?}", visit.places.len()));
        }
        if report.cut.is_some_and(|cut| cut.first.get() as usize <= end) {
            return Err(format!("I11: a cut below {end}; {report:?}"));
        }
        Ok(())
    }

    /// A whole directory is gone. An operator copies the mirror's to where the data directory was; a new mirror is filled by the start.
    fn lose(&mut self, local: bool) -> Result<(), Broken> {
        let gone = if local { &self.local } else { &self.mirror };
        for entry in gone.fork().list(Path::new("log")).map_err(told)? {
            drop(gone.take_away(&Path::new("log").join(&entry.name)));
        }
        self.totals.directories_lost += 1;
        if !local {
            return Ok(());
        }
        let quiet = |env: &SimEnv| {
            let copy = env.fork();
            copy.set_knobs(|knobs| *knobs = SimKnobs::default());
            copy
        };
        let (empty, source) = (quiet(&self.local), quiet(&self.mirror));
        let beside = Mirror { env: Arc::new(source.clone()), failure: SinkFailure::Stop };
        let both: Arc<dyn Env> = Arc::new(Mirrored::new(Arc::new(empty), beside));
        if self.oracle.acked > 0 {
            match recover(both, self.scenario.options, &mut |_, _| {}) {
                Err(error) if error.kind() == ErrorKind::Fix => {}
                other => {
                    return Err(format!(
                        "an empty directory beside a mirror: {:?}",
                        other.map(|(_, report)| report)
                    ));
                }
            }
        }
        let mut knobs = SimKnobs::default();
        self.local.set_knobs(|now| knobs = std::mem::take(now));
        // Onto a device that can be written.
        self.local.mend(false);
        let dir = Path::new("log");
        for entry in source.list(dir).map_err(told)? {
            let path = dir.join(&entry.name);
            let bytes = ofd_storage::env::read_file(&source, &path, 1 << 30).map_err(told)?;
            let file = self.local.create(&path).map_err(told)?;
            ofd_storage::env::write_all_at(&*file, &[&bytes], 0).map_err(told)?;
            file.sync_all().map_err(told)?;
        }
        self.local.sync_dir(dir).map_err(told)?;
        self.local.set_knobs(|now| *now = knobs);
        Ok(())
    }

    /// Recovers, through crashes inside recovery, and compares with what was promised.
    fn open(&mut self, rng: &mut Rng) -> Result<Opened, Broken> {
        for attempt in 0..16 {
            if attempt >= 6 {
                self.calm();
            }
            if attempt < 4 && rng.one_in(2) {
                let env = if rng.one_in(2) { &self.local } else { &self.mirror };
                env.cut_power_after(Some(1 + rng.below(50)));
            }
            for (_, env) in self.sides() {
                env.set_knobs(|knobs| knobs.late_errors_left = Some(1));
            }
            let mut visit = Visit::new();
            self.totals.recoveries += 1;
            let opened = recover(self.both(), self.scenario.options, &mut |record, location| {
                visit.take(&self.oracle, &record, location);
            });
            for (_, env) in self.sides() {
                env.cut_power_after(None);
            }
            if std::env::var_os("OFD_SIM_TELL").is_some() {
                let off = (self.local.is_off(), self.mirror.is_off());
                let files =
                    self.sides().map(|(name, env)| (name, super::oracle::files_of(&env.fork().kill())));
                eprintln!("start {attempt}: off {off:?} {:?}", opened.as_ref().map(|(_, report)| report));
                eprintln!("whole {}, files and footers {files:?}", self.whole);
            }
            match opened {
                _ if self.is_off() => {
                    self.totals.nested += 1;
                    drop(opened);
                    self.crash(rng, false);
                    if self.beside.rots_in_starts && self.whole && !self.well {
                        self.rot(rng);
                    }
                }
                Ok((log, report)) => {
                    let opened = self.opened(log, &report, visit)?;
                    if rng.one_in(8) {
                        drop(opened);
                        self.crash(rng, false);
                        continue;
                    }
                    return Ok(opened);
                }
                Err(error) => {
                    self.totals.refused_starts += 1;
                    if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Fix) {
                        return Err(format!("a start beside a mirror is refused: {error}"));
                    }
                    // A device that went read-only comes back with the power.
                    self.crash(rng, false);
                }
            }
        }
        Err("the log does not open on two healthy disks".into())
    }

    fn opened(&mut self, mut log: Log, report: &RecoveryReport, visit: Visit) -> Result<Opened, Broken> {
        self.holds_all(&visit, &log, report)?;
        if report.epoch <= self.oracle.epoch {
            return Err(format!("the epoch goes from {} to {}", self.oracle.epoch, report.epoch));
        }
        self.oracle.epoch = report.epoch;
        self.totals.rewritten += report.rewritten;
        self.totals.cuts += u64::from(report.cut.is_some());
        self.totals.mended += report.mirror.mended.len() as u64;
        self.oracle.recovered(visit.places.len());
        log.start_copies(&(Arc::new(|| {}) as ofd_storage::env::Wake)).map_err(told)?;
        let mut ops = Vec::new();
        let progress = log.step(self.local.now(), &mut Vec::new(), &mut ops);
        self.whole = progress.copies == Copies::Whole;
        let reader = log.reader();
        self.oracle.reads_fail = self.scenario.knobs.read_error > 0 || self.is_off();
        self.oracle.places_hold(&reader, &visit.places)?;
        self.oracle.walk(&reader, self.oracle.acked.saturating_sub(60))?;
        if self.whole {
            self.whole = self.mend_the_mirror(&reader)?;
            // Everything was written again, or copied.
            self.sides().iter().for_each(|(_, env)| env.forgive());
        }
        // A bit that has flipped where nothing lies stays; sectors are written again sooner or later.
        for (_, env) in self.sides() {
            env.mend(false);
        }
        Ok(Opened { log, ops, places: visit.places })
    }

    /// Sealed segments of the mirror that have rotted are what scrubbing finds; then both copies are the same again. False where a fault
    /// came in between.
    fn mend_the_mirror(&self, reader: &LogReader) -> Result<bool, Broken> {
        for sealed in reader.sealed_segments() {
            if !self.mirror.flipped_bytes(&path_of(sealed.id)).is_empty() && sealed.footer {
                match reader.mend_copy(sealed.id) {
                    Ok(_) => {}
                    Err(error) if error.is_storage_fault() || self.is_off() => return Ok(false),
                    Err(error) => return Err(format!("the mirror's copy of {}: {error}", sealed.id)),
                }
            }
        }
        Ok(true)
    }

    /// One life, until the power of one device fails, the log fails or the life is over. True when it ended by a shutdown.
    fn live(&mut self, opened: Opened, rng: &mut Rng) -> Result<bool, Broken> {
        let Opened { mut log, mut ops, mut places } = opened;
        let mut queue = self.local.queue(Arc::new(|| {})).map_err(told)?;
        let mut completions: Vec<Completion> = Vec::new();
        ops.drain(..).for_each(|op| queue.submit(op));
        let mut payload = Vec::new();
        places.drain(..places.len().saturating_sub(200));
        if !rng.one_in(4) {
            let env = if rng.one_in(2) { &self.local } else { &self.mirror };
            env.cut_power_after(Some(1 + rng.below(self.scenario.calls)));
        }
        let turns = 1 + rng.below(self.scenario.turns);
        let shutdown_at = rng.one_in(4).then(|| rng.below(turns));
        let reader = log.reader();
        for turn in 0..turns + 400 {
            if self.is_off() || (turn >= turns && shutdown_at.is_none()) {
                break;
            }
            if turn < turns {
                self.append(&mut log, rng, &mut places, &mut payload)?;
                if rng.one_in(self.scenario.seal_one_in) {
                    log.seal();
                }
            }
            if Some(turn) == shutdown_at {
                log.shutdown();
            }
            if rng.one_in(8) {
                let far = rng.below(12_000);
                self.local.advance(far, far as i64);
                self.mirror.advance(rng.below(12_000), 0);
            }
            if rng.one_in(40) {
                for (space, env) in
                    [(self.scenario.knobs.space, &self.local), (self.beside.knobs.space, &self.mirror)]
                {
                    let space = space.filter(|_| rng.one_in(2));
                    env.set_knobs(|knobs| knobs.space = space);
                }
            }
            queue.poll(&mut completions);
            let progress = log.step(self.local.now(), &mut completions, &mut ops);
            ops.drain(..).for_each(|op| queue.submit(op));
            if std::env::var_os("OFD_SIM_TELL").is_some() {
                let off = (self.local.is_off(), self.mirror.is_off());
                eprintln!("turn {turn} {progress:?} off {off:?} {:?}", log.last_error());
            }
            // What is acknowledged from here on is on one copy only.
            self.whole &= progress.copies == Copies::Whole;
            let durable = progress.durable.get() as usize;
            if durable < self.oracle.acked || durable > self.oracle.records.len() {
                return Err(format!("I7: the watermark goes from {} to {durable}", self.oracle.acked));
            }
            self.oracle.acked_ever += (durable - self.oracle.acked) as u64;
            self.oracle.acked = durable;
            if rng.one_in(6) && !places.is_empty() {
                let (lsn, location) = places[rng.below(places.len() as u64) as usize];
                self.oracle.reads_fail = self.scenario.knobs.read_error > 0 || self.is_off();
                if lsn as usize <= self.oracle.acked {
                    self.oracle.place_holds(&reader, lsn, location)?;
                }
            }
            match progress.state {
                LogState::Failed => {
                    self.totals.failed_logs += 1;
                    return Ok(false);
                }
                LogState::Closed if self.oracle.acked != self.oracle.records.len() => {
                    return Err(format!(
                        "closed with {} of {}",
                        self.oracle.acked,
                        self.oracle.records.len()
                    ));
                }
                LogState::Closed => return Ok(true),
                LogState::Healthy | LogState::Rewriting => {}
            }
        }
        Ok(false)
    }

    fn append(
        &mut self,
        log: &mut Log,
        rng: &mut Rng,
        places: &mut Places,
        payload: &mut Vec<u8>,
    ) -> Result<(), Broken> {
        append(&self.local, log, rng, &mut self.oracle, places, self.scenario, payload)
    }

    /// Faults are off: all becomes durable on both in bounded virtual time, and either alone gives it.
    fn live_well(&mut self, rng: &mut Rng) -> Result<(), Broken> {
        let Opened { mut log, mut ops, mut places } = self.open(rng)?;
        self.calm();
        let mut queue = self.local.queue(Arc::new(|| {})).map_err(told)?;
        let (mut completions, mut payload) = (Vec::new(), Vec::new());
        ops.drain(..).for_each(|op| queue.submit(op));
        let (begin, wanted) = (self.local.now().mono_us, self.oracle.records.len() + 30);
        loop {
            if self.oracle.records.len() < wanted {
                self.append(&mut log, rng, &mut places, &mut payload)?;
            } else if log.durable().get() as usize == self.oracle.records.len() {
                if log.has_unsealed() { log.seal() } else { log.shutdown() }
            }
            queue.poll(&mut completions);
            let progress = log.step(self.local.now(), &mut completions, &mut ops);
            ops.drain(..).for_each(|op| queue.submit(op));
            self.whole &= progress.copies == Copies::Whole;
            let durable = progress.durable.get() as usize;
            self.oracle.acked_ever += (durable - self.oracle.acked) as u64;
            self.oracle.acked = durable;
            if progress.state == LogState::Closed {
                break;
            }
            if self.local.now().mono_us > begin + 60_000_000 || progress.state == LogState::Failed {
                return Err(format!(
                    "liveness: {:?} after 60 s without faults: {durable} of {}",
                    progress.state,
                    self.oracle.records.len()
                ));
            }
            self.local.advance(100, 100);
            self.mirror.advance(100, 100);
        }
        if !self.whole {
            return Err("liveness: the mirror is not up to date on a healthy device".into());
        }
        drop((log, queue));
        (self.local, self.mirror) = (self.local.power_cut(), self.mirror.power_cut());
        for (name, env) in self.sides() {
            self.alone(env).map_err(|broken| format!("{name} alone: {broken}"))?;
        }
        // A footer that was in the page cache alone is written once more by the next start.
        drop(self.open(rng)?);
        // By their chains: markers behind the last record, and which copy of a footer is whole, are nothing that counts.
        let sealed = |env: &SimEnv| -> Result<Vec<SealedSegment>, Broken> {
            let env = env.fork();
            env.mend(true);
            Ok(LogReader::open_read_only(Arc::new(env)).map_err(told)?.sealed_segments())
        };
        let [here, there] = [sealed(&self.local)?, sealed(&self.mirror)?];
        let differs = |one: &[SealedSegment], other: &[SealedSegment]| -> Vec<SealedSegment> {
            one.iter().filter(|sealed| !other.contains(sealed)).copied().collect()
        };
        let (ours, theirs) = (differs(&here, &there), differs(&there, &here));
        // Where bits have flipped between its records a local segment is what it was sealed as no more, and is not copied.
        if self.beside.rots != Some(true) && !(ours.is_empty() && theirs.is_empty()) {
            return Err(format!("the two copies are not the same after a good end: {ours:?} {theirs:?}"));
        }
        Ok(())
    }

    fn ended(mut self) -> Result<Totals, Broken> {
        let (local, mirror) = (self.local.stats(), self.mirror.stats());
        let totals = &mut self.totals;
        totals.acked = self.oracle.acked_ever;
        totals.trace = self.local.trace_hash() ^ self.mirror.trace_hash().rotate_left(32);
        totals.virtual_us = self.local.now().mono_us;
        totals.stats = local;
        totals.stats.add(&mirror);
        if totals.stats.poisoned_syncs > 0 {
            return Err(format!("I13: {} syncs of poisoned files", totals.stats.poisoned_syncs));
        }
        if totals.stats.waiting_max > 4 {
            return Err(format!("I9: {} operations wait in one lane", totals.stats.waiting_max));
        }
        Ok(self.totals)
    }
}

/// A bit flips or a sector goes bad in some file of a log, on its device.
fn rot(env: &SimEnv, rng: &mut Rng) {
    let files: Vec<_> = env.fork().list(Path::new("log")).unwrap_or_default();
    let files: Vec<_> =
        files.into_iter().filter(|entry| entry.name.ends_with(".seg") || entry.name == "meta").collect();
    if files.is_empty() {
        return;
    }
    let file = &files[rng.below(files.len() as u64) as usize];
    let path = Path::new("log").join(&file.name);
    let at = if rng.one_in(2) { rng.below(6_000.min(file.len)) } else { rng.below(file.len) };
    if !env.is_durable(&path) {
        return;
    }
    if std::env::var_os("OFD_SIM_TELL").is_some() {
        eprintln!("{path:?} rots at byte {at}, files and footers {:?}", super::oracle::files_of(env));
    }
    let done = if rng.one_in(3) && file.name != "meta" {
        env.spoil_sector(&path, at as usize)
    } else {
        env.flip_bit(&path, at as usize * 8 + rng.below(8) as usize)
    };
    done.unwrap();
}
