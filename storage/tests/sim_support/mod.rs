//! One simulated life after another on a disk that lies, and the oracle that knows what was promised.
//!
//! A seed makes a [`Scenario`]: options of the log, load, and which faults there are. Half of the seeds have at most one
//! kind of fault, every tenth has none. What may be missing afterwards depends on the class:
//!
//! - crashes, kills and faults that are reported: nothing that was acknowledged, ever;
//! - one flipped bit at a time: the record it hits, reported; every neighbour is served;
//! - an operator's hand: a log without one of its files does not open, and does with it;
//! - a device that lies: what it lied about; what is left is right, in order, and reported as short.
//!
//! First faults (safety), then none (liveness): then everything appended becomes durable, sealed and closed in bounded
//! virtual time.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "shared by several tests, which may panic, use a part of it each and measure real time"
)]

mod feed;
mod oracle;
mod pair;
mod sector;
mod told;

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ofd_storage::testing::{SimEnv, SimKnobs, SimStats};
use ofd_storage::{
    Completion, DiskOp, Env, ErrorKind, Full, Location, Log, LogOptions, LogReader, LogState, NO_PARTITION,
    NewRecord, RECORD_HEADER_LEN, RecordKind, recover,
};

use feed::Feed;
pub use oracle::Oracle;
use oracle::{Expected, Flip, Visit, files_of, path_of, survey};
pub use pair::Beside;

/// SplitMix64 of the test: apart from that of the machine, so that a new fault does not change the load.
#[derive(Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// Recoveries by their real time, in steps of 50 µs.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<u64>);

impl Times {
    const STEP_US: usize = 50;

    fn add(&mut self, us: u64) {
        let at = (us as usize / Self::STEP_US).min(20_000);
        self.0.resize(self.0.len().max(at + 1), 0);
        self.0[at] += 1;
    }

    pub fn merge(&mut self, other: &Self) {
        self.0.resize(self.0.len().max(other.0.len()), 0);
        for (sum, count) in self.0.iter_mut().zip(&other.0) {
            *sum += count;
        }
    }

    /// µs below which 99 of 100 recoveries stayed.
    pub fn p99_us(&self) -> usize {
        let all: u64 = self.0.iter().sum();
        let mut left = all / 100;
        for (at, count) in self.0.iter().enumerate().rev() {
            if *count > left {
                return (at + 1) * Self::STEP_US;
            }
            left -= count;
        }
        0
    }
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Ends of a process that was not asked for them: power cuts and kills.
    pub crashes: u64,
    /// Those of them that came inside recovery.
    pub nested: u64,
    pub recoveries: u64,
    pub acked: u64,
    pub rewritten: u64,
    /// Writes that waited at the disk behind another.
    pub ahead: u64,
    pub cuts: u64,
    pub failed_logs: u64,
    pub refused_starts: u64,
    pub flips: u64,
    /// Acknowledged, lost to a flipped bit or a lie of the device, and reported.
    pub reported_losses: u64,
    /// Acknowledged, on a device that had lied about them and kept no trace of them.
    pub vanished: u64,
    /// Starts that were refused since files were missing or the device had lied.
    pub refused_damage: u64,
    /// Bad sectors below what the open segment proves, each with a log that had to open and did.
    pub opened_over_sectors: u64,
    /// Machines that had a mirror, segments that came from it, and directories that were lost whole.
    pub mirrored: u64,
    pub mended: u64,
    pub directories_lost: u64,
    pub virtual_us: u64,
    pub recovery_times: Times,
    pub trace: u64,
    pub stats: SimStats,
}

/// A broken promise. Begins with the number of the invariant where it has one.
pub type Broken = String;

/// What may go wrong besides crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Crashes and faults that the disk reports.
    Honest,
    /// And one flipped bit at a time.
    Rot,
    /// And files that go missing, sectors that cannot be read.
    Operator,
    /// And a device that says it did what it did not.
    Lying,
}

/// What one seed does.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub lives: u64,
    pub class: Class,
    /// No crash, no fault: then there is nothing that could excuse a wait.
    pub quiet: bool,
    pub knobs: SimKnobs,
    pub options: LogOptions,
    pub partitions: u64,
    /// Most records appended in one turn.
    pub burst: u64,
    pub payload_len: u64,
    pub turns: u64,
    /// A power cut comes within so many calls.
    pub calls: u64,
    /// A feed follows the writer.
    pub feed: bool,
    /// One of so many turns asks for a seal.
    pub seal_one_in: u64,
    /// A mirror, acknowledged after both; then nothing lies, and the faults are those of either side.
    pub mirror: Option<Beside>,
    /// Every so many turns the filling batch is closed, so that one may wait at the disk; 0: none is.
    pub close_every: u64,
}

/// Seeds with the faults that came later, drawn from a stream of their own: a seed outside makes the machine that it always made, so that
/// what it once found is looked for again.
pub const NEWER: Range<u64> = 1 << 40..1 << 42;
/// Those of them where a copy rots between two starts as well, the first of which has been interrupted.
pub const NEWEST: Range<u64> = 1 << 41..1 << 42;

fn newer_faults(seed: u64, knobs: &mut SimKnobs) -> Option<Beside> {
    let mut rng = Rng(seed ^ 0x4A4E);
    if rng.one_in(3) {
        let mut rate = || if rng.one_in(2) { 500 + rng.below(8_000) as u32 } else { 0 };
        knobs.create_error = rate();
        knobs.rename_error = rate();
        knobs.remove_error = rate();
        knobs.dir_sync_error = rate();
    }
    // One in eight of the fresh seeds, of which half are of the range.
    let beside = rng.one_in(4).then(|| pair::beside(&mut rng, knobs));
    beside.map(|beside| Beside { rots_in_starts: NEWEST.contains(&seed), ..beside })
}

/// Every seed turns on another subset of faults; half of them at most one.
pub fn scenario(seed: u64) -> Scenario {
    let mut rng = Rng(seed ^ 0x5EED);
    let mut knobs = SimKnobs {
        torn_sectors: rng.one_in(2),
        names_in_any_order: rng.one_in(2),
        lane_moves: rng.of(&[0, 50_000, 20_000]),
        sector_len: rng.of(&[512, 512, 4096]),
        ..SimKnobs::default()
    };
    let mut class = Class::Honest;
    let faults = match rng.below(10) {
        0 => 0,
        1..=5 => 1,
        _ => 2 + rng.below(3),
    };
    for _ in 0..faults {
        match rng.below(16) {
            0 | 1 => knobs.write_error = 200 + rng.below(2000) as u32,
            2 => knobs.short_write = 3000,
            3 | 4 => knobs.sync_error = 500 + rng.below(6000) as u32,
            5 => {
                knobs.turns_read_only = 20_000;
                knobs.sync_error = knobs.sync_error.max(300);
            }
            6 => knobs.read_error = 300,
            7 => knobs.space = Some(600_000 + rng.below(600_000)),
            8 => knobs.early_write_back = 20_000,
            9 => knobs.short_read = 8_000,
            10 => knobs.stall = 200,
            11 => knobs.late_error = 300 + rng.below(3000) as u32,
            12 if class == Class::Honest => class = Class::Operator,
            13 if class == Class::Honest => {
                class = Class::Lying;
                match rng.below(3) {
                    0 => knobs.phantom_sync = 1_000 + rng.below(8_000) as u32,
                    1 => knobs.lost_write = 500 + rng.below(3_000) as u32,
                    _ => knobs.misdirected_write = 300 + rng.below(2_000) as u32,
                }
            }
            14 | 15 if class == Class::Honest => class = Class::Rot,
            _ => {}
        }
    }
    if class == Class::Rot {
        // Two damages at once could hit both copies of a header.
        (knobs.late_error, knobs.read_error) = (0, 0);
    }
    let mut mirror = None;
    if NEWER.contains(&seed) && faults > 0 {
        mirror = newer_faults(seed, &mut knobs);
        class = if mirror.is_some() { Class::Honest } else { class };
    }
    let segment_len = rng.of(&[64, 64, 64, 128, 256, 1024]) * 1024;
    let most = (segment_len as usize - 8192) / 5 / 4096 * 4096;
    let options = LogOptions {
        segment_len,
        batch_len_max: (4096 + rng.below(most as u64 - 4095) as usize).min(most),
        block_len: if rng.one_in(4) { 4096 } else { 512 },
        marker_after_us: rng.of(&[0, 500, 5_000]),
        prepare_retry_us: 2_000,
        free_bytes_min: if seed.is_multiple_of(2) { Some(0) } else { None },
    };
    Scenario {
        seed,
        lives: if segment_len > 256 * 1024 { 4 } else { 9 },
        class,
        quiet: faults == 0,
        knobs,
        options,
        partitions: rng.of(&[1, 4, 4, 256]),
        burst: rng.of(&[1, 3, 20, 60]),
        payload_len: rng.of(&[100, 300, 700, 3000]),
        turns: 10 + rng.below(100),
        calls: rng.of(&[20, 120, 400]),
        feed: rng.one_in(2),
        seal_one_in: 30,
        mirror,
        close_every: [0, 1, 3][(seed % 3) as usize],
    }
}

/// The same machine beside a mirror, wherever the seed comes from.
pub fn with_a_mirror(mut scenario: Scenario) -> Scenario {
    let mut rng = Rng(scenario.seed ^ 0x4A4F);
    (scenario.class, scenario.quiet) = (Class::Honest, false);
    scenario.mirror = Some(pair::beside(&mut rng, &mut scenario.knobs));
    scenario
}

/// One machine through all its lives.
pub fn run(scenario: &Scenario) -> Result<Totals, Broken> {
    if let Some(beside) = &scenario.mirror {
        return pair::run(scenario, beside);
    }
    let _listening = told::listen();
    let mut rng = Rng(scenario.seed);
    let mut house = House {
        env: SimEnv::new(scenario.seed, scenario.knobs.clone()),
        scenario,
        oracle: Oracle { lying: scenario.class == Class::Lying, ..Oracle::default() },
        totals: Totals::default(),
        owed: false,
    };
    for life in 0..scenario.lives {
        let broken = |broken: Broken| format!("life {life}: {broken}");
        house.harm(&mut rng).map_err(broken)?;
        let Some((log, places)) = house.open(&mut rng).map_err(broken)? else {
            // A lying device has lost so much that the log refuses to open: it has said so.
            return house.ended();
        };
        let clean = house.live(log, places, &mut rng).map_err(broken)?;
        house.crash(&mut rng, clean);
    }
    house.calm();
    house.live_well(&mut rng)?;
    house.ended()
}

struct House<'s> {
    env: SimEnv,
    scenario: &'s Scenario,
    oracle: Oracle,
    totals: Totals,
    /// A late error was reported, and what it was about is not written again yet.
    owed: bool,
}

type Places = Vec<(u64, Location)>;

impl House<'_> {
    fn ended(mut self) -> Result<Totals, Broken> {
        let totals = &mut self.totals;
        totals.acked = self.oracle.acked_ever;
        totals.trace = self.env.trace_hash();
        totals.stats = self.env.stats();
        totals.virtual_us = self.env.now().mono_us;
        if totals.stats.poisoned_syncs > 0 {
            return Err(format!("I13: {} syncs of poisoned files", totals.stats.poisoned_syncs));
        }
        // One commit at a time; behind it a preparation, a seal and what a rewrite throws away.
        if totals.stats.waiting_max > 4 {
            return Err(format!("I9: {} operations wait in one lane", totals.stats.waiting_max));
        }
        Ok(self.totals)
    }

    /// Whether a read may fail that is tried three times.
    fn reads_fail(&self) -> bool {
        let mut read_error = 0;
        self.env.set_knobs(|knobs| read_error = knobs.read_error);
        read_error > 0 || self.env.is_off()
    }

    /// All faults off, but for the control that never syncs.
    fn calm(&self) {
        self.env.set_knobs(|knobs| {
            *knobs = SimKnobs { lossy_skip_sync: knobs.lossy_skip_sync, ..SimKnobs::default() };
        });
        self.env.mend(false);
    }

    /// The process ends, and perhaps the power.
    fn crash(&mut self, rng: &mut Rng, clean: bool) {
        self.totals.crashes += u64::from(!clean);
        // A process that ended cleanly or was killed may lose its power, too; all must be there then.
        if !self.env.is_off() && rng.one_in(3) && !clean { self.kill() } else { self.power_cut() }
    }

    fn kill(&mut self) {
        self.env = self.env.kill();
    }

    fn power_cut(&mut self) {
        // Acknowledged on a lie, or reported late and not yet written again.
        self.oracle.lied |= self.env.lied() || (self.owed && self.env.dropped());
        if std::env::var_os("OFD_SIM_TELL").is_some() {
            eprintln!(
                "power cut: lied {} dropped {} owed {}",
                self.env.lied(),
                self.env.dropped(),
                self.owed
            );
        }
        self.env = self.env.power_cut();
    }

    /// A device that lies may show it at any time, while the page cache holds what the device does not.
    fn is_lying(&self) -> bool {
        self.scenario.class == Class::Lying && (self.env.lied() || self.env.dropped())
    }

    /// What happens to the files between two lives.
    fn harm(&mut self, rng: &mut Rng) -> Result<(), Broken> {
        match self.scenario.class {
            Class::Rot if self.totals.flips < 3 && rng.one_in(2) => self.flip(rng),
            Class::Operator if rng.one_in(2) => self.operate(rng),
            _ => Ok(()),
        }
    }

    /// One bit flips.
    fn flip(&mut self, rng: &mut Rng) -> Result<(), Broken> {
        let (places, reader, report) = survey(&self.env, self.scenario.options)?;
        let mut flip = Flip { hit: None, place: None, proven: report.proven.get(), meta: false };
        let segments: Vec<_> = self.env.list(Path::new("log")).unwrap_or_default();
        let (path, bit) = match rng.below(10) {
            0 => ("log/meta".into(), rng.below(64 * 8)),
            1..=3 => {
                let files: Vec<_> = segments.iter().filter(|entry| entry.name.ends_with(".seg")).collect();
                if files.is_empty() {
                    return Ok(());
                }
                let file = files[rng.below(files.len() as u64) as usize];
                // Header and first batches, or anywhere.
                let len = if rng.one_in(2) { 6000.min(file.len) } else { file.len };
                (Path::new("log").join(&file.name), rng.below(len * 8))
            }
            _ => {
                let last = places.len() as u64;
                let far = if rng.one_in(2) { 10.min(last) } else { last };
                if far == 0 {
                    return Ok(());
                }
                let (_, location, len) = places[(last - 1 - rng.below(far)) as usize];
                // What a record says of itself is a small part of it, and the one that may be believed wrongly.
                let len = if rng.one_in(2) { len.min(RECORD_HEADER_LEN) } else { len };
                let bit = u64::from(location.offset) * 8 + rng.below(len as u64 * 8);
                (path_of(location.segment), bit)
            }
        };
        let at = (bit / 8) as usize;
        // What rots is the device: a bit that flips in a page that is not written yet is gone with the page, and what was
        // cut and reported comes again. So it does when a bit flips back.
        let rots = self.env.is_durable(&path) && !self.env.flipped_bytes(&path).contains(&at);
        if !rots || self.env.flip_bit(&path, bit as usize).is_err() {
            return Ok(());
        }
        if path == Path::new("log/meta") {
            flip.meta = true;
        }
        let here = |location: &Location, len: usize| {
            let from = location.offset as usize;
            path_of(location.segment) == path && (from..from + len).contains(&at)
        };
        flip.hit = places.iter().find(|(_, location, len)| here(location, *len)).map(|(lsn, ..)| *lsn);
        if let Some((lsn, location, _)) = places.iter().find(|(_, location, len)| here(location, *len)) {
            // A read of it gives the record as it was, from wherever, or says that it is damaged.
            let copy = self.env.fork();
            copy.set_knobs(|knobs| *knobs = SimKnobs::default());
            let reader = LogReader::open_read_only(Arc::new(copy)).map_err(|error| error.to_string())?;
            if let Ok(read) = reader.read(*location)
                && !self.oracle.is_record(*lsn as usize, &read.record())
            {
                return Err(format!("I12: the damaged record {lsn} at {location} is given out"));
            }
        }
        let sealed = reader.sealed_segments();
        let here = |id| path_of(id) == path && self.env.is_durable(&path);
        // A footer that is in the page cache only may go, and another be written over the flipped bit.
        if let Some(sealed) = sealed.iter().find(|sealed| here(sealed.id) && (at as u64) < sealed.used) {
            self.oracle.broken_seals.push(sealed.id);
        }
        // A footer that is hit is no seal any more, and the next one holds over what was hit before.
        let files = files_of(&self.env);
        self.oracle.broken_seals.retain(|id| {
            let sealed = files.iter().any(|(file, footer)| file == id && *footer);
            path_of(*id) != path || sealed
        });
        flip.place = files
            .iter()
            .find(|(id, _)| path_of(*id) == path)
            .map(|(id, _)| Location { segment: *id, offset: at as u32 });
        // Where the segment waits for its footer, its chain will be another than the one that the next footer behind it goes on
        // from, if that is written.
        let mut behind = files.iter().skip_while(|(id, _)| path_of(*id) != path);
        if behind.next().is_some_and(|(_, footer)| !footer)
            && let Some((id, _)) = behind.find(|(_, footer)| *footer)
        {
            self.oracle.doubtful_seals.insert(*id);
        }
        if std::env::var_os("OFD_SIM_TELL").is_some() {
            eprintln!("{path:?} byte {at}: {flip:?}; files and footers {files:?}");
        }
        self.totals.flips += 1;
        self.oracle.excuse.no_meta |= flip.meta;
        self.oracle.excuse.flip = Some(flip);
        Ok(())
    }

    /// A log without one of its segments does not open; with it, it does. Metadata can be made again.
    fn operate(&mut self, rng: &mut Rng) -> Result<(), Broken> {
        self.env.cut_power_after(None);
        if rng.one_in(3) {
            self.oracle.excuse.no_meta |= self.env.take_away(Path::new("log/meta")).is_some();
            return Ok(());
        }
        let (places, reader, report) = survey(&self.env, self.scenario.options)?;
        if rng.one_in(2) {
            self.spoil(rng, &places)?;
            return self.spoil_the_open_one(&places, &report);
        }
        let sealed = reader.sealed_segments();
        let holds: Vec<_> = sealed.iter().filter(|sealed| sealed.last >= sealed.base).collect();
        if holds.len() < 3 {
            return Ok(());
        }
        let middle = holds[1 + rng.below(holds.len() as u64 - 2) as usize];
        let Some(taken) = self.env.take_away(&path_of(middle.id)) else { return Ok(()) };
        let quiet = self.env.fork();
        quiet.set_knobs(|knobs| *knobs = SimKnobs::default());
        let mut visit = Visit::new();
        let opened = recover(Arc::new(quiet), self.scenario.options, &mut |record, location| {
            visit.take(&self.oracle, &record, location);
        });
        match opened {
            Err(error) if error.kind() == ErrorKind::Corrupt => self.totals.refused_damage += 1,
            Err(error) => return Err(format!("a log without {}: {error}", middle.id)),
            // Where the records were written again, their other place stands in for the segment, whole or in part.
            Ok((_, report)) => {
                let shown: BTreeSet<u64> = visit.places.iter().map(|(lsn, _)| *lsn).collect();
                let named = |lsn: u64| {
                    report
                        .damaged
                        .iter()
                        .any(|damage| (damage.first.get()..=damage.last.get()).contains(&lsn))
                };
                let untold = (1..=self.oracle.acked as u64).find(|lsn| !shown.contains(lsn) && !named(*lsn));
                if untold.is_some() || visit.broken.is_some() {
                    let broken = visit.broken;
                    return Err(format!(
                        "a log without {} opens, {untold:?} {broken:?}: {report:?}",
                        middle.id
                    ));
                }
            }
        }
        self.env.bring_back(&taken);
        Ok(())
    }

    /// Recovers, through crashes inside recovery, and compares with the oracle. `None`: a lying device has lost too much.
    fn open(&mut self, rng: &mut Rng) -> Result<Option<(Log, Places)>, Broken> {
        for attempt in 0..16 {
            if attempt >= 6 {
                // The operator has mended the disk.
                self.calm();
            }
            // A crash inside recovery, in one of two starts.
            let crashes = attempt < 4 && !self.scenario.quiet && rng.one_in(2);
            self.env.cut_power_after(crashes.then(|| 1 + rng.below(25)));
            // A batch is kept until the next sync: two lies about it in a row are more than the log promises to stand.
            self.env.set_knobs(|knobs| knobs.late_errors_left = Some(1));
            let mut visit = Visit::new();
            // Copies of the machine have told what nobody heard.
            told::take();
            let start = Instant::now();
            let opened =
                recover(Arc::new(self.env.clone()), self.scenario.options, &mut |record, location| {
                    visit.take(&self.oracle, &record, location);
                });
            self.totals.recovery_times.add(start.elapsed().as_micros() as u64);
            self.totals.recoveries += 1;
            let mut cuts = told::take();
            self.oracle.lied |= self.is_lying();
            if opened.is_err() {
                // What a late error was about is written again, or was to be.
                self.oracle.excuse.told.append(&mut cuts);
                self.owed |= self.env.dropped();
                self.oracle.excuse.start_ended = true;
            }
            if std::env::var_os("OFD_SIM_TELL").is_some()
                && let Err(error) = &opened
            {
                let names = self.env.fork().kill().list(Path::new("log")).unwrap_or_default();
                let names: Vec<_> = names.into_iter().map(|entry| entry.name).collect();
                eprintln!("start {attempt}: {error}, off {}; there are {names:?}", self.env.is_off());
            }
            match opened {
                Ok((log, report)) => {
                    self.env.cut_power_after(None);
                    if self.scenario.quiet && (report.rewritten > 0 || report.cut.is_some()) {
                        return Err(format!("something is written again after a clean end: {report:?}"));
                    }
                    self.totals.rewritten += report.rewritten;
                    self.totals.cuts += u64::from(report.cut.is_some());
                    if std::env::var_os("OFD_SIM_TELL").is_some() {
                        eprintln!("recovered {report:?}; segments {:?}", log.reader().sealed_segments());
                    }
                    self.oracle.reads_fail = self.reads_fail();
                    let places = self.oracle.compare(visit, &log, &report, &mut self.totals)?;
                    let reader = log.reader();
                    self.oracle.places_hold(&reader, &places)?;
                    let far = if rng.one_in(4) { self.oracle.acked } else { 60 };
                    self.oracle.walk(&reader, self.oracle.acked.saturating_sub(far))?;
                    self.oracle.doubt_footers(&self.env, &report);
                    self.oracle.scrub(&self.env, &reader)?;
                    if self.scenario.class != Class::Lying {
                        // All that was in doubt is written again, or named.
                        self.env.forgive();
                        self.owed = false;
                    }
                    // What could not be looked at may still show it.
                    self.oracle.lied = self.is_lying() || (self.oracle.lied && self.oracle.reads_fail);
                    if self.env.is_off() {
                        // The power went in work that nobody waits for.
                        self.totals.nested += 1;
                        self.totals.crashes += 1;
                        drop((log, reader));
                        self.power_cut();
                        continue;
                    }
                    if rng.one_in(8) && !self.scenario.quiet {
                        // I10: at once again, from what recovery itself has left.
                        drop((log, reader));
                        if rng.one_in(2) {
                            self.kill()
                        } else {
                            self.power_cut()
                        }
                        self.totals.crashes += 1;
                        continue;
                    }
                    return Ok(Some((log, places)));
                }
                Err(_) if self.env.is_off() => {
                    self.totals.nested += 1;
                    self.totals.crashes += 1;
                    self.power_cut();
                }
                Err(error) => {
                    self.totals.refused_starts += 1;
                    if self.scenario.quiet {
                        return Err(format!("the log does not open on a healthy disk: {error}"));
                    }
                    if error.kind() == ErrorKind::Corrupt {
                        // The first write of all, dropped by the device and told too late, in a log whose first start had failed: its first
                        // segment is not the first that there can have been.
                        let begin = error.to_string().ends_with("are missing at the begin of the log");
                        if self.oracle.lied && (self.oracle.lying || begin) {
                            self.totals.refused_damage += 1;
                            return Ok(None);
                        }
                        return Err(format!("recovery calls an honest disk corrupt: {error}"));
                    }
                    // A device that went read-only comes back with the power.
                    if attempt < 5 && rng.one_in(2) { self.kill() } else { self.power_cut() }
                }
            }
        }
        Err("the log does not open on a healthy disk".into())
    }

    /// One life: appends, steps, seals, reads, until the power fails, the log fails or the life is over. True when
    /// it ended by a shutdown.
    #[allow(clippy::too_many_lines, reason = "one turn after another")]
    fn live(&mut self, mut log: Log, opened: Places, rng: &mut Rng) -> Result<bool, Broken> {
        let Self { env, scenario, oracle, totals, owed } = self;
        let mut queue = env.queue(Arc::new(|| {})).map_err(|error| error.to_string())?;
        let (mut ops, mut completions): (Vec<DiskOp>, Vec<Completion>) = (Vec::new(), Vec::new());
        let mut places = opened;
        places.drain(..places.len().saturating_sub(200));
        let mut payload = Vec::new();
        let cut = !scenario.quiet && !rng.one_in(4);
        env.cut_power_after(cut.then(|| 1 + rng.below(scenario.calls)));
        env.set_knobs(|knobs| knobs.late_errors_left = Some(1));
        let turns = 1 + rng.below(scenario.turns);
        let shutdown_at = (scenario.quiet || rng.one_in(5)).then(|| rng.below(turns));
        let reader = log.reader();
        let mut feed = scenario.feed.then(|| Feed::new(&reader, oracle.acked));
        let mut durable_at = 0;
        for turn in 0.. {
            if env.is_off() || turn > turns + 400 {
                break;
            }
            if turn < turns {
                append(env, &mut log, rng, oracle, &mut places, scenario, &mut payload)?;
                if rng.one_in(scenario.seal_one_in) {
                    log.seal();
                }
                if scenario.close_every > 0 && turn % scenario.close_every == 0 {
                    log.close_batch();
                }
            } else if shutdown_at.is_none() {
                break;
            }
            if Some(turn) == shutdown_at {
                log.shutdown();
            }
            if rng.one_in(8) {
                let jump = if rng.one_in(4) { 86_400_000_000 - rng.below(172_800_000_000) as i64 } else { 0 };
                let far = if scenario.knobs.stall > 0 { 4_000_000 } else { 12_000 };
                env.advance(rng.below(far), jump);
            }
            if scenario.knobs.space.is_some() && rng.one_in(40) {
                // Somebody makes room, or takes it.
                let space = scenario.knobs.space.filter(|_| rng.one_in(2));
                env.set_knobs(|knobs| knobs.space = space);
            }
            let told = env.stats().late_reports;
            let rewriting = log.state() == LogState::Rewriting;
            queue.poll(&mut completions);
            *owed = env.stats().late_reports > told;
            let progress = log.step(env.now(), &mut completions, &mut ops);
            *owed &= env.is_off();
            oracle.lied |= scenario.class == Class::Lying && (env.lied() || env.dropped());
            *owed |= !matches!(progress.state, LogState::Healthy | LogState::Closed);
            for op in ops.drain(..) {
                totals.ahead += u64::from(op.name() == "commit-ahead");
                queue.submit(op);
            }
            if std::env::var_os("OFD_SIM_TELL").is_some() {
                let stats = env.stats();
                eprintln!(
                    "turn {turn} {:?} durable {} late {} told {} write errors {} off {} places {:?}",
                    progress.state,
                    progress.durable,
                    stats.late_errors,
                    stats.late_reports,
                    stats.write_errors,
                    env.is_off(),
                    places.last()
                );
            }
            oracle.reads_fail = scenario.knobs.read_error > 0 || env.is_off();
            let durable = progress.durable.get() as usize;
            if durable < oracle.acked || durable > oracle.records.len() {
                return Err(format!("I7: the watermark goes from {} to {durable}", oracle.acked));
            }
            if durable > oracle.acked {
                oracle.acked_ever += (durable - oracle.acked) as u64;
                if rewriting {
                    // One write carries the batch before as well.
                    oracle.writes.pop();
                }
                oracle.writes.push(durable);
                oracle.acked = durable;
                durable_at = turn;
            }
            // With nothing in the way nobody waits for long.
            let slow = if scenario.knobs.lane_moves == 0 { 12 } else { 200 };
            if scenario.quiet && durable < oracle.records.len() && turn > durable_at + slow + turns {
                return Err(format!("liveness: {durable} of {} for {slow} turns", oracle.records.len()));
            }
            if rng.one_in(6) && !places.is_empty() {
                let (lsn, location) = places[rng.below(places.len() as u64) as usize];
                if lsn as usize <= oracle.acked && !oracle.records[lsn as usize - 1].lost {
                    oracle.place_holds(&reader, lsn, location)?;
                }
            }
            if let Some(feed) = feed.as_mut().filter(|_| rng.one_in(3)) {
                feed.follow(oracle)?;
            }
            match progress.state {
                LogState::Failed => {
                    totals.failed_logs += 1;
                    if log.append(env.now(), record(&[], NO_PARTITION)) != Err(Full::Closed) {
                        return Err("I14: a failed log takes records".into());
                    }
                    return Ok(false);
                }
                LogState::Closed => {
                    if oracle.acked != oracle.records.len() {
                        return Err(format!("closed with {} of {}", oracle.acked, oracle.records.len()));
                    }
                    return Ok(true);
                }
                LogState::Healthy | LogState::Rewriting => {}
            }
        }
        if scenario.quiet && shutdown_at.is_some() {
            return Err("liveness: a healthy log does not close".into());
        }
        Ok(false)
    }

    /// Faults are off: everything becomes durable, sealed and closed in bounded virtual time, and is found again.
    fn live_well(&mut self, rng: &mut Rng) -> Result<(), Broken> {
        for _ in 0..2 {
            let Some((log, places)) = self.open(rng)? else { return Ok(()) };
            self.oracle.walk(&log.reader(), 0)?;
            if self.oracle.loss {
                drop(places);
            } else {
                self.oracle.index_holds(&places)?;
            }
            if !self.oracle.lied {
                let beside = LogReader::open_read_only(Arc::new(self.env.clone()))
                    .map_err(|error| error.to_string())?;
                if beside.durable().get() as usize != self.oracle.acked {
                    return Err(format!(
                        "beside the writer a reader sees {} of {}",
                        beside.durable(),
                        self.oracle.acked
                    ));
                }
            }
            drop(log);
            self.power_cut();
        }
        let Some((mut log, _)) = self.open(rng)? else { return Ok(()) };
        let mut queue = self.env.queue(Arc::new(|| {})).map_err(|error| error.to_string())?;
        let (mut ops, mut completions) = (Vec::new(), Vec::new());
        let mut places = Vec::new();
        let mut payload = Vec::new();
        let (begin, wanted) = (self.env.now().mono_us, self.oracle.records.len() + 30);
        loop {
            if self.oracle.records.len() < wanted {
                append(&self.env, &mut log, rng, &mut self.oracle, &mut places, self.scenario, &mut payload)?;
            } else if log.durable().get() as usize == self.oracle.records.len() {
                if log.has_unsealed() { log.seal() } else { log.shutdown() }
            }
            queue.poll(&mut completions);
            let progress = log.step(self.env.now(), &mut completions, &mut ops);
            ops.drain(..).for_each(|op| queue.submit(op));
            let durable = progress.durable.get() as usize;
            self.oracle.acked_ever += (durable - self.oracle.acked) as u64;
            self.oracle.acked = durable;
            if progress.state == LogState::Closed {
                break;
            }
            if self.env.now().mono_us > begin + 60_000_000 || progress.state == LogState::Failed {
                return Err(format!(
                    "liveness: {:?} after 60 s without faults: {durable} of {}",
                    progress.state,
                    self.oracle.records.len()
                ));
            }
            self.env.advance(100, 100);
        }
        drop(log);
        self.power_cut();
        let Some((log, _)) = self.open(rng)? else { return Ok(()) };
        self.oracle.walk(&log.reader(), 0)
    }
}

fn record<'a>(parts: &'a [&'a [u8]], partition: u16) -> NewRecord<'a> {
    NewRecord { kind: RecordKind::Document, flags: 0, partition, key_id: 0, answer_code: 0, parts }
}

fn append(
    env: &SimEnv,
    log: &mut Log,
    rng: &mut Rng,
    oracle: &mut Oracle,
    places: &mut Places,
    scenario: &Scenario,
    payload: &mut Vec<u8>,
) -> Result<(), Broken> {
    let most = log.payload_len_max() as u64;
    for _ in 0..rng.below(scenario.burst + 1) {
        oracle.next_id += 1;
        let longest = if rng.one_in(200) { most } else { scenario.payload_len.min(most) };
        let partition = if rng.one_in(6) { NO_PARTITION } else { rng.below(scenario.partitions) as u16 };
        let mut expected = Expected {
            id: oracle.next_id,
            len: rng.below(longest + 1) as usize,
            partition,
            partition_seq: 0,
            received_at_us: 0,
            lost: false,
        };
        expected.payload_into(payload);
        let (one, two) = payload.split_at(payload.len() / 3);
        match log.append(env.now(), record(&[one, two], partition)) {
            Ok(appended) => {
                let lsn = appended.lsn.get() as usize;
                if lsn != oracle.records.len() + 1 {
                    return Err(format!("I4: LSN {lsn} after {}", oracle.records.len()));
                }
                let before = oracle.records.last().filter(|last| !last.lost);
                if before.is_some_and(|last| last.received_at_us > appended.received_at_us) {
                    return Err(format!("I4: time goes back at {lsn}"));
                }
                oracle.seq_holds(partition, appended.partition_seq)?;
                if partition != NO_PARTITION {
                    oracle.last_seq[usize::from(partition)] = appended.partition_seq;
                }
                expected.partition_seq = appended.partition_seq;
                expected.received_at_us = appended.received_at_us;
                oracle.records.push(expected);
                places.push((lsn as u64, appended.location));
            }
            Err(Full::Wait | Full::Closed) => break,
            Err(full) => return Err(format!("refused: {full}")),
        }
    }
    Ok(())
}
