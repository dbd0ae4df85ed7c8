//! How many documents a second does the engine take in process, made durable and answered, beside raw writes of the
//! same bytes?

use std::collections::VecDeque;
use std::time::Instant;

use anyhow::Context as _;
use bytes::Bytes;
use hdrhistogram::Histogram;
use ofd_engine::{Engine, Outcome, Tickets};

use crate::Plan;
use crate::corpus::Corpus;
use crate::cpu;
use crate::harness::{Figure, Pair, ROUNDS_FEW, Sink, interleave};
use crate::log::{fresh, stand_ready};
use crate::nats::{IN_FLIGHT, Nats};
use crate::raw::{Prewritten, frame};

/// Frames of one `submit_batch`.
const BATCH: usize = 64;
/// Batches on the way at once.
pub(crate) const WINDOW: usize = 32;

/// Runs the figure of the lanes.
///
/// # Errors
/// Of the engine.
pub(crate) fn run(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    if plan.wants(&["lane.submit.single"]) {
        single(plan, sink)?;
    }
    if plan.wants(&["lane.nats"]) {
        nats(plan, sink)?;
    }
    if !plan.wants(&["lane.submit", "lane.submit.cpu"]) {
        return Ok(());
    }
    let corpus = Corpus::new(plan.seed, 2000, plan.work(100_000));
    let frames = corpus.shared();
    let dir = plan.temp_dir()?;
    let mut file = Prewritten::new(&dir.path().join("raw"), (corpus.total() + corpus.len() * 8) as u64)?;
    let mut buffer = Vec::with_capacity(4 << 20);
    let each = |used: f64| used * 1e6 / frames.len() as f64;
    let rounds: Vec<(Pair, Pair)> = interleave(
        ROUNDS_FEW,
        || {
            let home = fresh(&dir, "engine")?;
            let engine = Engine::builder(home.path()).open()?;
            stand_ready(&home)?;
            let (started, used) = (Instant::now(), cpu::used_by_all());
            fill(&engine, &frames, WINDOW)?;
            let rate = frames.len() as f64 / started.elapsed().as_secs_f64();
            let used = cpu::used_by_all().saturating_sub(used).as_secs_f64();
            engine.shutdown()?;
            Ok((rate, each(used)))
        },
        || {
            let (started, used) = (Instant::now(), cpu::used_by_all());
            for batch in frames.chunks(BATCH * WINDOW) {
                buffer.clear();
                batch.iter().for_each(|message| frame(&mut buffer, message));
                file.commit(&buffer)?;
            }
            let rate = frames.len() as f64 / started.elapsed().as_secs_f64();
            Ok((rate, each(cpu::used_by_all().saturating_sub(used).as_secs_f64())))
        },
    )?;
    let pairs: Vec<Pair> = rounds.iter().map(|(ours, raw)| (ours.0, raw.0)).collect();
    let cpus: Vec<Pair> = rounds.iter().map(|(ours, raw)| (ours.1, raw.1)).collect();
    let runs = (ROUNDS_FEW * frames.len()) as u64;
    let figure = Figure::time(
        "lane.submit.cpu",
        "us",
        "processor time of raw writes, all threads; at most 1.2 wanted",
    );
    sink.figure(figure, &cpus, runs)?;
    let figure =
        Figure::rate("lane.submit", "documents/s", "raw prewritten writes of the same bytes, 2048 a sync");
    sink.figure(figure, &pairs, runs)
}

/// In process with as many documents on their way as a message broker beside it.
fn nats(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    let corpus = Corpus::new(plan.seed, 2000, plan.work(200_000));
    let frames = corpus.shared();
    let dir = plan.temp_dir()?;
    if Nats::start(&dir.path().join("nats"))?.is_none() {
        eprintln!("lane.nats: skipped, there is no nats-server on this machine");
        return Ok(());
    }
    let pairs: Vec<Pair> = interleave(
        ROUNDS_FEW,
        || {
            let home = fresh(&dir, "engine")?;
            let engine = Engine::builder(home.path()).open()?;
            stand_ready(&home)?;
            let started = Instant::now();
            fill(&engine, &frames, IN_FLIGHT / BATCH)?;
            let rate = frames.len() as f64 / started.elapsed().as_secs_f64();
            engine.shutdown()?;
            Ok(rate)
        },
        || {
            let home = fresh(&dir, "nats")?;
            let nats = Nats::start(home.path())?.context("it was there before")?;
            nats.rate(frames.iter().map(|it| &**it))
        },
    )?;
    let vs = "NATS JetStream, file store, 1,024 in flight, which does not sync; at least 5 wanted";
    sink.figure(Figure::rate("lane.nats", "documents/s", vs), &pairs, (ROUNDS_FEW * frames.len()) as u64)
}

/// One document at a time through the whole house, from `submit` to its answer, beside a raw write and sync of its bytes.
fn single(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    let count = plan.work(1000);
    let rounds = plan.rounds();
    let frames = Corpus::new(plan.seed, 500, count * (rounds + 1)).shared();
    let dir = plan.temp_dir()?;
    let engine = Engine::builder(dir.path().join("engine")).open()?;
    let mut file = Prewritten::new(&dir.path().join("raw"), (count * (64 << 10)) as u64)?;
    let (mut ours, mut theirs) = (frames.chunks(count), frames.chunks(count).cycle());
    let pairs: Vec<Pair> = interleave(
        rounds,
        || {
            let mut times = Histogram::<u64>::new(3)?;
            for message in ours.next().unwrap_or_default() {
                let started = Instant::now();
                settle(Some(engine.submit_batch(vec![message.clone()])?))?;
                times.record(u64::try_from(started.elapsed().as_nanos())?)?;
            }
            Ok(times.value_at_quantile(0.5) as f64 / 1e3)
        },
        || {
            let messages = theirs.next().unwrap_or_default();
            Ok(one_by_one(&mut file, messages.iter().map(|message| &**message))? * 1e6)
        },
    )?;
    engine.shutdown()?;
    let figure =
        Figure::time("lane.submit.single", "us", "raw prewritten pwrite + fdatasync, one at a time, p50");
    sink.figure(figure, &pairs, (rounds * count) as u64)
}

/// Writes and syncs each of these records alone: seconds of one, p50.
///
/// # Errors
/// Of the disk.
pub(crate) fn one_by_one<'a>(
    file: &mut Prewritten,
    payloads: impl Iterator<Item = &'a [u8]>,
) -> anyhow::Result<f64> {
    let mut times = Histogram::<u64>::new(3)?;
    let mut buffer = Vec::with_capacity(64 << 10);
    for payload in payloads {
        let started = Instant::now();
        buffer.clear();
        frame(&mut buffer, payload);
        file.commit(&buffer)?;
        times.record(u64::try_from(started.elapsed().as_nanos())?)?;
    }
    Ok(times.value_at_quantile(0.5) as f64 / 1e9)
}

/// Submits all frames and waits for every answer; each must be code 0.
///
/// # Errors
/// Of the engine, and when a document is not confirmed.
pub(crate) fn fill(engine: &Engine, frames: &[Bytes], window: usize) -> anyhow::Result<()> {
    let mut waiting: VecDeque<Tickets> = VecDeque::with_capacity(window);
    for batch in frames.chunks(BATCH) {
        if waiting.len() == window {
            settle(waiting.pop_front())?;
        }
        waiting.push_back(engine.submit_batch(batch.to_vec())?);
    }
    while !waiting.is_empty() {
        settle(waiting.pop_front())?;
    }
    Ok(())
}

fn settle(tickets: Option<Tickets>) -> anyhow::Result<()> {
    for outcome in tickets.map(Tickets::wait).unwrap_or_default() {
        anyhow::ensure!(matches!(outcome, Outcome::Answered { code: 0, .. }), "not confirmed: {outcome:?}");
    }
    Ok(())
}
