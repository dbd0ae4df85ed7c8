//! Every short history of a log, cut at every call, with every outcome of the cut.
//!
//! Chance finds what is common; most bugs of crash consistency need few operations, but the one order and the one lost sector.
//! So all histories of at most [`OPS_MAX`] operations are run, from an empty log and from one whose segment is nearly full. A
//! history is cut at each call of its last operation that changes the disk (what came earlier is the last operation of
//! a shorter history), and behind it; each cut leaves every subset of the unsynced sectors and every prefix of the unsynced
//! names once. Then the log opens; what was acknowledged is there, once, in order, byte for byte; a start after that
//! start finds the same; the next append becomes durable.
//!
//! Bounds: sectors are 512 bytes and not torn; which sectors a failed write or sync leaves is drawn once for each
//! history. At most [`OUTCOMES_MAX`] outcomes of one cut are looked at; how many cuts have more is printed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test may panic, and indexes what it has made itself"
)]

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ofd_storage::testing::{CutChoices, SimEnv, SimKnobs};
use ofd_storage::{
    Completion, DiskOp, DiskQueue, Env, Full, Log, LogOptions, LogState, NewRecord, RecordKind,
    RecoveryReport, recover,
};

const OPTIONS: LogOptions = LogOptions {
    segment_len: 64 * 1024,
    batch_len_max: 4096,
    marker_after_us: 500,
    prepare_retry_us: 2_000,
    free_bytes_min: Some(0),
    ..LogOptions::DEFAULT
};
/// Operations of a history. A build without optimisation has time for pairs.
const OPS_MAX: usize = if cfg!(debug_assertions) { 2 } else { 3 };
/// Outcomes of one cut that are looked at.
const OUTCOMES_MAX: u64 = 1024;
/// Turns of the loop after which something that should have ended has not.
const TURNS_MAX: usize = 400;

/// What a history is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    /// One record, waited for.
    One,
    /// A record, and two more while it is on its way.
    Pair,
    /// A record of several sectors.
    Big,
    /// The segment is closed, and a record goes to the next one.
    Roll,
    /// A record whose first write fails.
    FailedWrite,
    /// A record whose first sync fails.
    FailedSync,
    /// A clean end and a start.
    Reopen,
    /// The process is killed and started again.
    Kill,
}

const OPS: [Op; 8] =
    [Op::One, Op::Pair, Op::Big, Op::Roll, Op::FailedWrite, Op::FailedSync, Op::Reopen, Op::Kill];

/// A log before its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    /// No directory yet.
    Empty,
    /// The open segment has no room for more than a batch.
    Full,
}

#[derive(Clone, Debug)]
struct History {
    base: Base,
    ops: Vec<Op>,
}

fn histories(ops_max: usize) -> Vec<History> {
    let mut all = Vec::new();
    for base in [Base::Empty, Base::Full] {
        let mut longest = vec![Vec::new()];
        for _ in 0..=ops_max {
            all.extend(longest.iter().map(|ops| History { base, ops: ops.clone() }));
            longest = longest
                .iter()
                .flat_map(|ops| OPS.map(|op| ops.iter().copied().chain([op]).collect::<Vec<_>>()))
                .collect();
        }
    }
    all
}

/// A machine, its log and what it was told.
struct House {
    env: SimEnv,
    open: Option<(Log, Box<dyn DiskQueue>)>,
    /// Payload lengths, by LSN - 1.
    lens: Vec<usize>,
    acked: usize,
    failed: bool,
    /// The power fails at this call, counted from the first.
    cut_at: Option<u64>,
}

/// No two records have the same payload.
fn payload(lsn: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(7) ^ lsn.wrapping_mul(31) ^ (at >> 8)) as u8).collect()
}

impl House {
    /// The history up to the power cut, or to its end; tells at which call its last operation began.
    fn run(history: &History, syncs: bool, cut_at: Option<u64>) -> Result<(Self, u64), String> {
        let env = SimEnv::new(11, SimKnobs::default());
        let mut house = Self { env, open: None, lens: Vec::new(), acked: 0, failed: false, cut_at };
        house.arm();
        house.open()?;
        let mut began = 0;
        if history.base == Base::Full {
            began = house.calls();
            house.fill()?;
        }
        // The control: what the history itself does is never synced.
        house.env.set_knobs(|knobs| knobs.lossy_skip_sync = !syncs);
        for op in &history.ops {
            began = house.calls();
            if house.failed || house.env.is_off() {
                break;
            }
            house.act(*op)?;
        }
        house.settle()?;
        Ok((house, began))
    }

    /// Seals, markers and prepared segments: what comes next is what is asked for next.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..12 {
            self.turn()?;
        }
        Ok(())
    }

    fn calls(&self) -> u64 {
        self.env.stats().calls
    }

    /// A new life has forgotten when the power fails.
    fn arm(&self) {
        self.env.cut_power_after(self.cut_at.map(|at| at.saturating_sub(self.calls())));
    }

    fn open(&mut self) -> Result<(), String> {
        match start(&self.env) {
            Ok((log, _, shown)) => {
                holds(&shown, &self.lens, self.acked)?;
                self.lens.truncate(shown.len());
                self.acked = shown.len();
                let queue = self.env.queue(Arc::new(|| {})).map_err(|error| error.to_string())?;
                self.open = Some((log, queue));
                Ok(())
            }
            Err(_) if self.env.is_off() => Ok(()),
            Err(error) => Err(format!("the log does not open: {error}")),
        }
    }

    /// One turn of the loop.
    fn turn(&mut self) -> Result<Option<LogState>, String> {
        let Some((log, queue)) = &mut self.open else { return Ok(None) };
        if self.env.is_off() {
            return Ok(None);
        }
        let (mut completions, mut ops): (Vec<Completion>, Vec<DiskOp>) = (Vec::new(), Vec::new());
        queue.poll(&mut completions);
        let progress = log.step(self.env.now(), &mut completions, &mut ops);
        ops.into_iter().for_each(|op| queue.submit(op));
        self.env.advance(200, 200);
        let durable = progress.durable.get() as usize;
        if durable < self.acked || durable > self.lens.len() {
            return Err(format!("the watermark goes from {} to {durable}", self.acked));
        }
        self.acked = durable;
        self.failed = progress.state == LogState::Failed;
        Ok(Some(progress.state))
    }

    fn append(&mut self, len: usize) -> Result<(), String> {
        for _ in 0..TURNS_MAX {
            let Some((log, _)) = &mut self.open else { return Ok(()) };
            let bytes = payload(self.lens.len() + 1, len);
            let parts = [&bytes[..]];
            let record = NewRecord {
                kind: RecordKind::Document,
                flags: 0,
                partition: 3,
                key_id: 0,
                answer_code: 0,
                parts: &parts,
            };
            match log.append(self.env.now(), record) {
                Ok(appended) if appended.lsn.get() as usize == self.lens.len() + 1 => {
                    self.lens.push(len);
                    return Ok(());
                }
                Ok(appended) => return Err(format!("{} after {}", appended.lsn, self.lens.len())),
                Err(Full::Wait) => {}
                Err(Full::Closed) if self.failed => return Ok(()),
                Err(full) => return Err(format!("a record of {len} bytes is refused: {full}")),
            }
            if self.turn()?.is_none() {
                return Ok(());
            }
        }
        Err("liveness: no record is taken".into())
    }

    /// Until everything is acknowledged, the log has failed, or the power has.
    fn wait(&mut self) -> Result<(), String> {
        for _ in 0..TURNS_MAX {
            if self.acked == self.lens.len() || self.failed || self.turn()?.is_none() {
                return Ok(());
            }
        }
        Err(format!("liveness: {} of {} are durable", self.acked, self.lens.len()))
    }

    fn fill(&mut self) -> Result<(), String> {
        for _ in 0..18 {
            self.append(2_900)?;
            self.wait()?;
        }
        Ok(())
    }

    fn act(&mut self, op: Op) -> Result<(), String> {
        match op {
            Op::One => self.append(100)?,
            Op::Pair => {
                self.append(100)?;
                self.turn()?;
                self.append(300)?;
                self.append(500)?;
            }
            Op::Big => self.append(2_000)?,
            Op::Roll => {
                if let Some((log, _)) = &mut self.open {
                    log.seal();
                }
                self.turn()?;
                self.append(100)?;
            }
            Op::FailedWrite => {
                self.settle()?;
                self.env.set_knobs(|knobs| knobs.fail_next_writes = 1);
                self.append(100)?;
            }
            Op::FailedSync => {
                self.settle()?;
                self.env.set_knobs(|knobs| knobs.fail_next_syncs = 1);
                self.append(100)?;
            }
            Op::Reopen => {
                let Some((log, _)) = &mut self.open else { return Ok(()) };
                log.shutdown();
                for _ in 0..TURNS_MAX {
                    match self.turn()? {
                        None | Some(LogState::Failed) => return Ok(()),
                        Some(LogState::Closed) => {
                            self.open = None;
                            self.calm();
                            return self.open();
                        }
                        Some(_) => {}
                    }
                }
                return Err("liveness: the log does not close".into());
            }
            Op::Kill => {
                self.open = None;
                self.env = self.env.kill();
                self.calm();
                self.arm();
                return self.open();
            }
        }
        self.wait()
    }

    /// A fault that nobody has met is for the operation alone that asked for it.
    fn calm(&self) {
        self.env.set_knobs(|knobs| (knobs.fail_next_writes, knobs.fail_next_syncs) = (0, 0));
    }
}

type Shown = Vec<(u64, Vec<u8>)>;

fn start(env: &SimEnv) -> Result<(Log, RecoveryReport, Shown), ofd_storage::Error> {
    let mut shown = Vec::new();
    let (log, report) = recover(Arc::new(env.clone()), OPTIONS, &mut |record, _| {
        shown.push((record.lsn().get(), record.payload().to_vec()));
    })?;
    Ok((log, report, shown))
}

/// What was acknowledged, once, in order, byte for byte, and nothing that was not appended.
fn holds(shown: &Shown, lens: &[usize], acked: usize) -> Result<(), String> {
    if shown.len() < acked {
        return Err(format!("lost: {} of {acked} acknowledged", shown.len()));
    }
    if shown.len() > lens.len() {
        return Err(format!("{} records, {} were appended", shown.len(), lens.len()));
    }
    for (at, (lsn, bytes)) in shown.iter().enumerate() {
        if *lsn as usize != at + 1 {
            return Err(format!("{lsn} stands where {} belongs", at + 1));
        }
        if *bytes != payload(at + 1, lens[at]) {
            return Err(format!("{lsn} is not what was appended"));
        }
    }
    Ok(())
}

/// A machine that has just lost its power: the promise.
fn keeps(env: &SimEnv, house: &House, case: u64) -> Result<(), String> {
    let (log, report, shown) = start(env).map_err(|error| format!("the log does not open: {error}"))?;
    holds(&shown, &house.lens, house.acked).map_err(|broken| format!("{broken}; {report:?}"))?;
    if !report.damaged.is_empty() {
        return Err(format!("damage where none was done: {report:?}"));
    }
    if report.cut.is_some_and(|cut| cut.first.get() as usize <= shown.len()) {
        return Err(format!("a cut reaches what is served: {report:?}"));
    }
    drop(log);
    // The page cache stays, or it goes with what recovery has not synced.
    let next = if case.is_multiple_of(2) { env.kill() } else { env.power_cut() };
    let (log, report, again) =
        start(&next).map_err(|error| format!("the log does not open a second time: {error}"))?;
    if again != shown {
        return Err(format!("a second start shows {} records of {}; {report:?}", again.len(), shown.len()));
    }
    let queue = next.queue(Arc::new(|| {})).map_err(|error| error.to_string())?;
    let mut lens = house.lens.clone();
    lens.truncate(shown.len());
    let acked = shown.len();
    let mut after = House { env: next, open: Some((log, queue)), lens, acked, failed: false, cut_at: None };
    after.append(200)?;
    after.wait()?;
    if after.acked != shown.len() + 1 {
        return Err("the next append does not become durable".into());
    }
    Ok(())
}

#[derive(Default)]
struct Sum {
    histories: u64,
    cuts: u64,
    cases: u64,
    /// Cuts with more outcomes than are looked at.
    capped: u64,
    /// Histories that broke the promise.
    broken: Vec<String>,
}

/// All cuts of one history.
fn exhaust(history: &History, syncs: bool, outcomes_max: u64, sum: &mut Sum) -> Result<(), String> {
    let (whole, began) = House::run(history, syncs, None)?;
    let ended = whole.calls();
    sum.histories += 1;
    for cut in began + 1..=ended + 1 {
        let (mut house, _) = House::run(history, syncs, Some(cut))?;
        house.open = None;
        house.calm();
        // Even the control has a disk that syncs from here on: what is lost, the history has lost.
        house.env.set_knobs(|knobs| knobs.lossy_skip_sync = false);
        sum.cuts += 1;
        let (mut choices, mut seen) = (CutChoices::default(), 0);
        loop {
            let env = house.env.power_cut_by(&mut choices);
            keeps(&env, &house, sum.cases)
                .map_err(|broken| format!("cut at call {cut} of {ended}, {choices:?}: {broken}"))?;
            (sum.cases, seen) = (sum.cases + 1, seen + 1);
            if !choices.advance() {
                break;
            }
            if seen == outcomes_max {
                sum.capped += 1;
                break;
            }
        }
    }
    Ok(())
}

fn run_all(histories: &[History], syncs: bool, outcomes_max: u64) -> Sum {
    let (next, sum) = (AtomicUsize::new(0), Mutex::new(Sum::default()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get) {
            scope.spawn(|| {
                let mut mine = Sum::default();
                while let Some(history) = histories.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(broken) = exhaust(history, syncs, outcomes_max, &mut mine) {
                        mine.broken.push(format!("{history:?}: {broken}"));
                    }
                }
                let mut all = sum.lock().unwrap();
                all.histories += mine.histories;
                all.cuts += mine.cuts;
                all.cases += mine.cases;
                all.capped += mine.capped;
                all.broken.append(&mut mine.broken);
            });
        }
    });
    sum.into_inner().unwrap()
}

/// Past the capture of the test harness: the figures are the point of the run.
fn say(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

// The promise of the house, for every short history instead of for those that chance makes.
#[test]
fn no_short_history_loses_whatever_the_cut_leaves() {
    let start = std::time::Instant::now();
    let sum = run_all(&histories(OPS_MAX), true, OUTCOMES_MAX);
    let Sum { histories, cuts, cases, capped, broken } = sum;
    say(&format!(
        "exhaustive: histories {histories} of <= {OPS_MAX} operations, cuts {cuts}, cases {cases} (two starts and an append \
         each), cuts with more than {OUTCOMES_MAX} outcomes {capped}, broken {} | {} ms",
        broken.len(),
        start.elapsed().as_millis()
    ));
    assert!(broken.is_empty(), "{} histories, first: {}", broken.len(), broken[0]);
    assert!(cases > 10_000, "{cases} cases");
}

// The tester is tested: without syncs every operation that acknowledges something loses it.
#[test]
fn without_syncs_short_histories_lose() {
    let all: Vec<_> = histories(1)
        .into_iter()
        .filter(|history| history.ops.first().is_some_and(|op| !matches!(op, Op::Reopen | Op::Kill)))
        .collect();
    let sum = run_all(&all, false, OUTCOMES_MAX);
    let losing = sum.broken.iter().filter(|broken| broken.contains("lost: ")).count();
    say(&format!("exhaustive without syncs: {losing} of {} histories lose", all.len()));
    assert_eq!(losing, all.len(), "not all of them lose: {:?}", sum.broken);
}
