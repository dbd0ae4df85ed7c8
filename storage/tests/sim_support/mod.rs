//! One simulated life after another on a disk that lies, and the oracle that knows what was promised.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "shared by several tests, which may panic and use a part of it each"
)]

use std::sync::Arc;

use ofd_storage::testing::{SimEnv, SimKnobs, SimStats};
use ofd_storage::{
    Completion, DiskOp, DiskQueue, Env, Full, Location, Log, LogOptions, LogReader, LogState, Lsn,
    NO_PARTITION, NewRecord, Position, RecordKind, RecoveryReport, recover,
};

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
}

/// What was appended under one LSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    pub id: u64,
    pub len: usize,
    pub partition: u16,
    pub partition_seq: u64,
    pub received_at_us: i64,
}

impl Expected {
    pub fn payload(&self) -> Vec<u8> {
        let mut rng = Rng(self.id);
        let mut bytes = Vec::with_capacity(self.len + 8);
        while bytes.len() < self.len {
            bytes.extend_from_slice(&rng.next().to_le_bytes());
        }
        bytes.truncate(self.len);
        bytes
    }
}

/// What was promised so far.
#[derive(Default)]
pub struct Oracle {
    /// By LSN - 1: everything that has a number.
    pub records: Vec<Expected>,
    /// Everything up to here was acknowledged.
    pub acked: usize,
    pub next_id: u64,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub crashes: u64,
    pub nested: u64,
    pub acked: u64,
    pub rewritten: u64,
    pub cuts: u64,
    pub failed_logs: u64,
    pub refused_starts: u64,
    pub trace: u64,
    pub stats: SimStats,
}

/// A broken promise.
pub type Broken = String;

/// What one seed does.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub seed: u64,
    pub lives: u64,
    pub knobs: SimKnobs,
    pub options: LogOptions,
}

/// Every seed turns on another subset of faults; half of them at most one.
pub fn scenario(seed: u64) -> Scenario {
    let mut rng = Rng(seed ^ 0x5EED);
    let mut knobs = SimKnobs {
        torn_sectors: rng.one_in(2),
        names_in_any_order: rng.one_in(2),
        lane_moves: [0, 50_000, 20_000][rng.below(3) as usize],
        ..SimKnobs::default()
    };
    let faults = match rng.below(10) {
        0 => 0,
        1..=5 => 1,
        _ => 3,
    };
    for _ in 0..faults {
        match rng.below(6) {
            0 => knobs.write_error = 200 + rng.below(2000) as u32,
            1 => knobs.short_write = 3000,
            2 => knobs.sync_error = 500 + rng.below(6000) as u32,
            3 => knobs.turns_read_only = 20_000,
            4 => knobs.read_error = 300,
            _ => knobs.space = Some(600_000 + rng.below(600_000)),
        }
    }
    let block_len = if rng.one_in(4) { 4096 } else { 512 };
    let segment_len = [64, 64, 128, 256][rng.below(4) as usize] * 1024;
    let most = (segment_len as usize - 8192) / 5 / 4096 * 4096;
    let options = LogOptions {
        segment_len,
        batch_len_max: (4096 + rng.below(most as u64 - 4095) as usize).min(most),
        block_len,
        marker_after_us: [0, 500, 5_000][rng.below(3) as usize],
        prepare_retry_us: 2_000,
        free_bytes_min: if seed.is_multiple_of(2) { Some(0) } else { None },
    };
    Scenario { seed, lives: 9, knobs, options }
}

/// One machine through all its lives.
pub fn run(scenario: &Scenario) -> Result<Totals, Broken> {
    let mut env = SimEnv::new(scenario.seed, scenario.knobs.clone());
    let mut rng = Rng(scenario.seed);
    let (mut oracle, mut totals) = (Oracle::default(), Totals::default());
    for life in 0..scenario.lives {
        let (log, next) = match open(env, scenario, &mut rng, &mut oracle, &mut totals)? {
            Some(opened) => opened,
            None => return Err("the log does not open on a healthy disk".into()),
        };
        env = next;
        let clean = live(&env, log, scenario, &mut rng, &mut oracle, &mut totals)
            .map_err(|broken| format!("life {life}: {broken}"))?;
        totals.crashes += 1;
        // A process that ended cleanly or was killed may lose its power, too; all must be there then.
        env = if !env.is_off() && rng.one_in(3) && !clean { env.kill() } else { env.power_cut() };
    }
    // All faults off: what was promised is there, and is still there when opened again.
    env.set_knobs(|knobs| {
        *knobs = SimKnobs { lossy_skip_sync: knobs.lossy_skip_sync, ..SimKnobs::default() }
    });
    for _ in 0..2 {
        let Some((log, next)) = open(env, scenario, &mut rng, &mut oracle, &mut totals)? else {
            return Err("the log does not open on a healthy disk".into());
        };
        drop(log);
        env = next.power_cut();
    }
    totals.acked = oracle.acked as u64;
    totals.trace = env.trace_hash();
    totals.stats = env.stats();
    if totals.stats.poisoned_syncs > 0 {
        return Err(format!("I13: {} syncs of poisoned files", totals.stats.poisoned_syncs));
    }
    Ok(totals)
}

/// Recovers, through crashes inside recovery, and compares with the oracle.
fn open(
    mut env: SimEnv,
    scenario: &Scenario,
    rng: &mut Rng,
    oracle: &mut Oracle,
    totals: &mut Totals,
) -> Result<Option<(Log, SimEnv)>, Broken> {
    for attempt in 0..12 {
        if attempt >= 6 {
            // The operator has mended the disk.
            env.set_knobs(|knobs| {
                *knobs = SimKnobs {
                    lossy_skip_sync: knobs.lossy_skip_sync,
                    lane_moves: knobs.lane_moves,
                    ..SimKnobs::default()
                };
            });
        }
        // A crash inside recovery, in one of two starts.
        env.cut_power_after((attempt < 4 && rng.one_in(2)).then(|| 1 + rng.below(25)));
        let mut seen = Vec::new();
        let opened = recover(Arc::new(env.clone()), scenario.options, &mut |record, location| {
            seen.push((record.lsn().get(), digest(&record), location));
        });
        match opened {
            Ok((log, report)) => {
                env.cut_power_after(None);
                compare(&seen, &log, &report, oracle)?;
                totals.rewritten += report.rewritten;
                totals.cuts += u64::from(report.cut.is_some());
                return Ok(Some((log, env)));
            }
            Err(error) if env.is_off() => {
                let _ = error;
                totals.nested += 1;
                totals.crashes += 1;
                env = env.power_cut();
            }
            Err(error) => {
                totals.refused_starts += 1;
                if error.kind() == ofd_storage::ErrorKind::Corrupt {
                    return Err(format!("recovery calls an honest disk corrupt: {error}"));
                }
                // A device that went read-only comes back with the power.
                env = if attempt < 5 && rng.one_in(2) { env.kill() } else { env.power_cut() };
            }
        }
    }
    Ok(None)
}

type Digest = (Vec<u8>, u16, u64, i64);

fn digest(record: &ofd_storage::RecordRef<'_>) -> Digest {
    (record.payload().to_vec(), record.partition(), record.partition_seq(), record.received_at_us())
}

fn compare(
    seen: &[(u64, Digest, Location)],
    log: &Log,
    report: &RecoveryReport,
    oracle: &mut Oracle,
) -> Result<(), Broken> {
    if !report.damaged.is_empty() {
        return Err(format!("damage where none was done: {:?}", report.damaged));
    }
    if seen.len() < oracle.acked {
        return Err(format!(
            "I1: lost: {} of {} acknowledged are there; {report:?}",
            seen.len(),
            oracle.acked
        ));
    }
    if seen.len() > oracle.records.len() {
        return Err(format!("I3: {} records, {} were appended", seen.len(), oracle.records.len()));
    }
    for (at, (lsn, (payload, partition, seq, received), _)) in seen.iter().enumerate() {
        let expected = &oracle.records[at];
        if *lsn != at as u64 + 1 {
            return Err(format!("I4: LSN {lsn} at place {}", at + 1));
        }
        let same = (*partition, *seq, *received)
            == (expected.partition, expected.partition_seq, expected.received_at_us)
            && *payload == expected.payload();
        if !same {
            return Err(format!("I1/I3: record {lsn} is not what was appended; {report:?}"));
        }
    }
    if let Some(cut) = report.cut.filter(|cut| cut.first.get() as usize <= oracle.acked) {
        return Err(format!("I11: {cut:?} reaches below the acknowledged {}", oracle.acked));
    }
    if log.durable().get() as usize != seen.len() || log.next_lsn().get() as usize != seen.len() + 1 {
        return Err(format!("the log goes on at {} after {} records", log.next_lsn(), seen.len()));
    }
    // What recovery has shown is durable from now on, and a reader finds it where recovery said.
    let reader = log.reader();
    for (lsn, (payload, ..), location) in seen.iter().rev().take(5) {
        match reader.read(*location) {
            Ok(record) if record.record().payload() == payload && record.record().lsn().get() == *lsn => {}
            Ok(record) => return Err(format!("{location} holds {} instead of {lsn}", record.record().lsn())),
            Err(error) if error.is_storage_fault() => {}
            Err(error) => return Err(format!("record {lsn} at {location}: {error}")),
        }
    }
    oracle.records.truncate(seen.len());
    oracle.acked = seen.len();
    walk_and_scrub(&reader, oracle)
}

/// A feed over the last records, and every seal. Reads may fail here; what they give must be right.
fn walk_and_scrub(reader: &LogReader, oracle: &Oracle) -> Result<(), Broken> {
    let mut at = oracle.acked.saturating_sub(60);
    let mut records = reader.records_from(Position::new(Lsn::new(at as u64)), reader.durable());
    loop {
        match records.next() {
            Ok(Some((record, _))) if record.payload() == oracle.records[at].payload() => at += 1,
            Ok(Some((record, _))) => return Err(format!("a feed gives {} as {}", record.lsn(), at + 1)),
            Ok(None) if at == oracle.acked => break,
            Ok(None) => return Err(format!("a feed ends at {at} of {}", oracle.acked)),
            Err(error) if error.is_storage_fault() => break,
            Err(error) => return Err(format!("a feed at {at}: {error}")),
        }
    }
    for sealed in reader.sealed_segments() {
        match reader.check_seal(sealed.id) {
            Err(error) if !error.is_storage_fault() => return Err(format!("a seal: {error}")),
            _ => {}
        }
    }
    Ok(())
}

/// One life: appends, steps, seals, reads, until the power fails, the log fails or the life is over. True when
/// it ended by a shutdown.
fn live(
    env: &SimEnv,
    mut log: Log,
    scenario: &Scenario,
    rng: &mut Rng,
    oracle: &mut Oracle,
    totals: &mut Totals,
) -> Result<bool, Broken> {
    let mut queue: Box<dyn DiskQueue> = env.queue(Arc::new(|| {})).map_err(|error| error.to_string())?;
    let (mut ops, mut completions): (Vec<DiskOp>, Vec<Completion>) = (Vec::new(), Vec::new());
    let mut places: Vec<(usize, Location)> = Vec::new();
    env.cut_power_after((!rng.one_in(4)).then(|| 1 + rng.below(120)));
    let turns = 10 + rng.below(80);
    let shutdown_at = rng.one_in(5).then(|| rng.below(turns));
    let burst = [1, 3, 20][rng.below(3) as usize];
    for turn in 0.. {
        if env.is_off() || turn > turns + 400 {
            break;
        }
        if turn < turns {
            append(env, &mut log, rng, oracle, &mut places, burst)?;
            if rng.one_in(30) {
                log.seal();
            }
        } else if shutdown_at.is_none() {
            break;
        }
        if Some(turn) == shutdown_at {
            log.shutdown();
        }
        if rng.one_in(8) {
            let jump = if rng.one_in(4) { 86_400_000_000 - rng.below(172_800_000_000) as i64 } else { 0 };
            env.advance(rng.below(12_000), jump);
        }
        queue.poll(&mut completions);
        let progress = log.step(env.now(), &mut completions, &mut ops);
        for op in ops.drain(..) {
            queue.submit(op);
        }
        let durable = progress.durable.get() as usize;
        if durable < oracle.acked || durable > oracle.records.len() {
            return Err(format!("the watermark goes from {} to {durable}", oracle.acked));
        }
        oracle.acked = durable;
        if rng.one_in(6) && !places.is_empty() {
            read_one(&log, rng, oracle, &places)?;
        }
        match progress.state {
            LogState::Failed => {
                totals.failed_logs += 1;
                if log.append(env.now(), record(&[], NO_PARTITION)) != Err(Full::Closed) {
                    return Err("a failed log takes records".into());
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
    let _ = scenario;
    Ok(false)
}

fn record<'a>(parts: &'a [&'a [u8]], partition: u16) -> NewRecord<'a> {
    NewRecord { kind: RecordKind::Document, flags: 0, partition, key_id: 0, answer_code: 0, parts }
}

fn append(
    env: &SimEnv,
    log: &mut Log,
    rng: &mut Rng,
    oracle: &mut Oracle,
    places: &mut Vec<(usize, Location)>,
    burst: u64,
) -> Result<(), Broken> {
    for _ in 0..rng.below(burst + 1) {
        oracle.next_id += 1;
        let longest = if rng.one_in(20) { log.payload_len_max() } else { 700.min(log.payload_len_max()) };
        let partition = if rng.one_in(6) { NO_PARTITION } else { rng.below(4) as u16 };
        let mut expected = Expected {
            id: oracle.next_id,
            len: rng.below(longest as u64 + 1) as usize,
            partition,
            partition_seq: 0,
            received_at_us: 0,
        };
        let payload = expected.payload();
        let (one, two) = payload.split_at(payload.len() / 3);
        match log.append(env.now(), record(&[one, two], partition)) {
            Ok(appended) => {
                let lsn = appended.lsn.get() as usize;
                if lsn != oracle.records.len() + 1 {
                    return Err(format!("I4: LSN {lsn} after {}", oracle.records.len()));
                }
                if oracle.records.last().is_some_and(|last| last.received_at_us > appended.received_at_us) {
                    return Err(format!("I4: time goes back at {lsn}"));
                }
                let before = oracle.records.iter().rev().find(|last| last.partition == partition);
                let wanted = if partition == NO_PARTITION {
                    0
                } else {
                    before.map_or(1, |last| last.partition_seq + 1)
                };
                if appended.partition_seq != wanted {
                    return Err(format!("I4: sequence {} instead of {wanted}", appended.partition_seq));
                }
                expected.partition_seq = appended.partition_seq;
                expected.received_at_us = appended.received_at_us;
                oracle.records.push(expected);
                places.push((lsn, appended.location));
            }
            Err(Full::Wait | Full::Closed) => break,
            Err(full) => return Err(format!("refused: {full}")),
        }
    }
    Ok(())
}

/// A place handed out by `append` is good for the record's whole life in this process.
fn read_one(log: &Log, rng: &mut Rng, oracle: &Oracle, places: &[(usize, Location)]) -> Result<(), Broken> {
    let (lsn, location) = places[rng.below(places.len() as u64) as usize];
    if lsn > oracle.acked {
        return Ok(());
    }
    match log.reader().read(location) {
        Ok(found) => {
            let found = found.record();
            if found.lsn().get() as usize != lsn || found.payload() != oracle.records[lsn - 1].payload() {
                return Err(format!("{location} holds {} instead of {lsn}", found.lsn()));
            }
        }
        Err(error) if error.is_storage_fault() => {}
        Err(error) => return Err(format!("durable record {lsn} at {location}: {error}")),
    }
    Ok(())
}
