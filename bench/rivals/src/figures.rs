//! The rounds: everybody once a round, in an order that moves on from round to round.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;

use crate::contenders::{Contender, FjallStore, Lmdb, Okaywal, Raw, RedbStore};
use crate::drives::Drives;
use crate::harness::{Figure, Pair, Sink};
use crate::raw::room_for;
use crate::rig::{PAYLOAD_LEN, Rig, rig_for};

/// A turn ends after this time even when its work is not done.
const TURN: Duration = Duration::from_millis(400);
const RECORDS: &str = "records/s";
/// Records of a batch.
const BATCH: usize = 1000;
/// Records in flight, and threads where a thread waits for each.
const DEPTH: usize = 64;

/// Rivals that run with their defaults; they come first in the field.
const DEFAULTS: usize = 4;

/// What was asked for.
pub(crate) struct Plan {
    /// Rounds, one more goes before unmeasured.
    pub(crate) rounds: usize,
    /// Only show that it runs.
    pub(crate) quick: bool,
    /// Beginning of the names that are wanted.
    pub(crate) only: Option<String>,
    /// Folder for files.
    pub(crate) dir: PathBuf,
}

impl Plan {
    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.starts_with(only.as_str()))
    }

    const fn work(&self, usual: usize) -> usize {
        if self.quick { usual / 10 } else { usual }
    }
}

/// One participant of a figure: its name behind `vs`, and one turn, which gives a value.
type Turn<'a> = (&'static str, Box<dyn FnMut() -> anyhow::Result<f64> + 'a>);

/// Runs all figures.
///
/// # Errors
/// Of the disk and of the crates.
pub(crate) fn run(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    // Bytes that no compression shortens: nobody gains by writing less than was given to it.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let payload: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(PAYLOAD_LEN)
    .collect();
    sync_1000(plan, sink, &payload)?;
    ack_64(plan, sink, &payload)?;
    single(plan, sink, &payload)
}

/// The rivals in a fresh folder. Each holds what the rounds before have put into it, as a store in use does.
struct Field {
    dir: tempfile::TempDir,
    raw: Raw,
    rivals: Vec<Box<dyn Contender>>,
}

impl Field {
    fn new(plan: &Plan, raw_records: usize) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("ofd-rivals-")
            .tempdir_in(&plan.dir)
            .context("a folder for the stores")?;
        let at = dir.path();
        let rivals: Vec<Box<dyn Contender>> = vec![
            Box::new(Okaywal::new(at)?),
            Box::new(FjallStore::new(at)?),
            Box::new(RedbStore::new(at)?),
            Box::new(Lmdb::new(at)?),
            Box::new(Okaywal::tuned(at)?),
        ];
        let raw = Raw::new(at, room_for(raw_records, PAYLOAD_LEN))?;
        Ok(Self { dir, raw, rivals })
    }
}

/// Everybody's values, a row a round; the first round is not counted.
fn rounds(count: usize, turns: &mut [Turn<'_>]) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut rows = Vec::with_capacity(count);
    for round in 0..=count {
        let mut row = vec![0.0; turns.len()];
        for step in 0..turns.len() {
            let at = (step + round) % turns.len();
            if let (Some((_, turn)), Some(cell)) = (turns.get_mut(at), row.get_mut(at)) {
                *cell = turn()?;
            }
        }
        if round > 0 {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// A line for everybody but the first, who is ours; and one for the best of those that follow `raw` with their defaults,
/// in each round anew.
fn tell(
    sink: &mut Sink,
    figure: impl Fn(&'static str) -> Figure,
    turns: &[Turn<'_>],
    rows: &[Vec<f64>],
    runs: u64,
) -> anyhow::Result<()> {
    let ours = |row: &Vec<f64>| row.first().copied().unwrap_or(f64::NAN);
    for (at, (name, _)) in turns.iter().enumerate().skip(1) {
        let pairs: Vec<Pair> =
            rows.iter().map(|row| (ours(row), row.get(at).copied().unwrap_or(f64::NAN))).collect();
        sink.figure(figure(name), &pairs, runs)?;
    }
    let higher = figure("").better == crate::harness::Better::Higher;
    let best = |row: &Vec<f64>| {
        let crates = row.iter().skip(2).take(DEFAULTS).copied();
        if higher { crates.fold(f64::NAN, f64::max) } else { crates.fold(f64::NAN, f64::min) }
    };
    let pairs: Vec<Pair> = rows.iter().map(|row| (ours(row), best(row))).collect();
    sink.figure(figure("the best of the crates with their defaults"), &pairs, runs)
}

/// A sync for every thousand records. Ours keeps its index of a million drives up to date meanwhile, on the same thread; the others
/// have no such thing.
fn sync_1000(plan: &Plan, sink: &mut Sink, payload: &[u8]) -> anyhow::Result<()> {
    const NAME: &str = "log.sync1000";
    if !plan.wants(NAME) {
        return Ok(());
    }
    let batches = plan.work(100);
    let all = batches * (plan.rounds + 1);
    let field = Field::new(plan, batches * BATCH)?;
    let mut rig = rig_for(&field.dir.path().join("log"), all * BATCH, all)?;
    let mut drives = Drives::new();
    let mut turns: Vec<Turn<'_>> = vec![(
        "ours",
        Box::new(|| {
            let started = Instant::now();
            let first = rig.log.durable();
            let mut last = first;
            for _ in 0..batches {
                if started.elapsed() > TURN {
                    break;
                }
                let now = rig.now();
                for _ in 0..BATCH {
                    let appended = rig.append(now, payload)?;
                    drives.insert(appended);
                    last = appended.lsn;
                }
                // Exactly a thousand records a sync; the next thousand begin when there is a place for them.
                rig.log.close_batch();
                rig.turn()?;
            }
            rig.wait_for(last)?;
            let rate = (last.get() - first.get()) as f64 / started.elapsed().as_secs_f64();
            rig.quiet()?;
            Ok(rate)
        }),
    )];
    let others = std::iter::once(&field.raw as &dyn Contender).chain(field.rivals.iter().map(|it| &**it));
    for other in others {
        turns.push((
            other.name(),
            Box::new(move || {
                let started = Instant::now();
                let mut done = 0;
                while done < batches && started.elapsed() <= TURN {
                    other.batch(payload, BATCH)?;
                    done += 1;
                }
                Ok((done * BATCH) as f64 / started.elapsed().as_secs_f64())
            }),
        ));
    }
    let rows = rounds(plan.rounds, &mut turns)?;
    tell(sink, |vs| Figure::rate(NAME, RECORDS, vs), &turns, &rows, (plan.rounds * batches) as u64)
}

/// Every document acknowledged by itself: 64 in flight by one thread and the watermark here, a thread that waits for
/// each elsewhere. Stores with one writer at a time sync for every record; that is what they offer.
fn ack_64(plan: &Plan, sink: &mut Sink, payload: &[u8]) -> anyhow::Result<()> {
    const NAME: &str = "log.ack64";
    if !plan.wants(NAME) {
        return Ok(());
    }
    let records = plan.work(40_000);
    let all = records * (plan.rounds + 1);
    let field = Field::new(plan, records)?;
    let mut rig = rig_for(&field.dir.path().join("log"), all, all / DEPTH * 4)?;
    let mut turns: Vec<Turn<'_>> = vec![("ours", Box::new(|| in_flight(&mut rig, payload, records)))];
    turns.push((
        "raw leader/follower, 64 threads",
        Box::new(|| threads(records, &|| field.raw.together(payload))),
    ));
    for other in &field.rivals {
        let one = move || other.batch(payload, 1);
        turns.push((other.name(), Box::new(move || threads(records, &one))));
    }
    let rows = rounds(plan.rounds, &mut turns)?;
    tell(sink, |vs| Figure::rate(NAME, RECORDS, vs), &turns, &rows, (plan.rounds * records) as u64)
}

fn in_flight(rig: &mut Rig, payload: &[u8], records: usize) -> anyhow::Result<f64> {
    let started = Instant::now();
    let first = rig.log.durable().get() as usize;
    let mut appended = 0;
    while appended < records && started.elapsed() <= TURN {
        let now = rig.now();
        let waiting = (first + appended).saturating_sub(rig.log.durable().get() as usize).min(DEPTH);
        for _ in 0..(DEPTH - waiting).min(records - appended) {
            let _ = rig.append(now, payload)?;
            appended += 1;
        }
        rig.wait()?;
    }
    rig.wait_for(ofd_storage::Lsn::new((first + appended) as u64))?;
    let rate = appended as f64 / started.elapsed().as_secs_f64();
    rig.quiet()?;
    Ok(rate)
}

fn threads(records: usize, one: &(dyn Fn() -> anyhow::Result<()> + Sync)) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut done = 0;
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..DEPTH)
            .map(|_| {
                scope.spawn(move || -> anyhow::Result<usize> {
                    let mut mine = 0;
                    while mine < records / DEPTH && started.elapsed() <= TURN {
                        one()?;
                        mine += 1;
                    }
                    Ok(mine)
                })
            })
            .collect();
        for thread in running {
            done += thread.join().map_err(|_| anyhow::anyhow!("a producer panicked"))??;
        }
        anyhow::Ok(())
    })?;
    Ok(done as f64 / started.elapsed().as_secs_f64())
}

/// One record at a time, each waited for.
fn single(plan: &Plan, sink: &mut Sink, payload: &[u8]) -> anyhow::Result<()> {
    const NAMES: [(&str, f64); 2] = [("log.single.p50", 0.5), ("log.single.p99", 0.99)];
    if !NAMES.iter().any(|(name, _)| plan.wants(name)) {
        return Ok(());
    }
    let records = plan.work(1000);
    let all = records * (plan.rounds + 1);
    let field = Field::new(plan, records)?;
    let mut rig = rig_for(&field.dir.path().join("log"), all, all)?;
    let times = std::cell::RefCell::new(Vec::new());
    let mut turns: Vec<Turn<'_>> = Vec::new();
    turns.push((
        "ours",
        Box::new(|| {
            let taken = one_by_one(records, || {
                let lsn = rig.append(rig.now(), payload)?.lsn;
                rig.wait_for(lsn)
            })?;
            rig.quiet()?;
            Ok(keep(&times, taken))
        }),
    ));
    let others = std::iter::once(&field.raw as &dyn Contender).chain(field.rivals.iter().map(|it| &**it));
    for other in others {
        let times = &times;
        turns.push((
            other.name(),
            Box::new(move || Ok(keep(times, one_by_one(records, || other.batch(payload, 1))?))),
        ));
    }
    // A turn gives the place of its histogram: both quantiles come from the same rounds.
    let places = rounds(plan.rounds, &mut turns)?;
    let times = times.borrow();
    for (name, quantile) in NAMES {
        let micros = |place: &f64| {
            times
                .get(*place as usize)
                .map_or(f64::NAN, |it: &Histogram<u64>| it.value_at_quantile(quantile) as f64 / 1e3)
        };
        let rows: Vec<Vec<f64>> = places.iter().map(|row| row.iter().map(micros).collect()).collect();
        tell(sink, |vs| Figure::time(name, "us", vs), &turns, &rows, (plan.rounds * records) as u64)?;
    }
    Ok(())
}

fn keep(times: &std::cell::RefCell<Vec<Histogram<u64>>>, taken: Histogram<u64>) -> f64 {
    let mut times = times.borrow_mut();
    times.push(taken);
    (times.len() - 1) as f64
}

fn one_by_one(records: usize, mut one: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Histogram<u64>> {
    let (begun, mut times) = (Instant::now(), Histogram::<u64>::new(3)?);
    for _ in 0..records {
        if begun.elapsed() > TURN {
            break;
        }
        let started = Instant::now();
        one()?;
        times.record(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX))?;
    }
    Ok(times)
}
