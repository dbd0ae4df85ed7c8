//! How long does opening take, beside reading the same bytes through a map?

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use ofd_engine::Engine;
use ofd_storage::{Driver, Env, LogOptions, LogReader, NewRecord, RealEnv, RecordKind, recover};

use crate::Plan;
use crate::corpus::Corpus;
use crate::harness::{Figure, Pair, ROUNDS_FEW, Sink, interleave};
use crate::lane::fill;
use crate::rig::PAYLOAD_LEN;

const MAP: &str = "map of the same files, every byte summed";

/// Runs the figures of recovery.
///
/// # Errors
/// Of the log.
pub(crate) fn run(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    verify(plan, sink)?;
    open(plan, sink)
}

/// Fills a log with records of the usual length, all of it sealed, and ends its writer.
///
/// # Errors
/// Of the log.
pub(crate) fn sealed_log(env: &Arc<dyn Env>, records: usize) -> anyhow::Result<LogReader> {
    let (log, _) = recover(Arc::clone(env), LogOptions::default(), &mut |_, _| {})?;
    let reader = log.reader();
    let mut driver = Driver::new(Arc::clone(env), log)?;
    let payload = [0xA5; PAYLOAD_LEN];
    for _ in 0..records {
        let record = NewRecord {
            kind: RecordKind::Command,
            flags: 0,
            partition: 0,
            key_id: 0,
            answer_code: 0,
            parts: &[&payload],
        };
        let _ = driver.append(record)?;
    }
    driver.seal_all()?;
    driver.shutdown()?;
    Ok(reader)
}

/// A clean log of sealed segments, opened and read through: every checksum, positions, sequences and times in order.
/// The figure of the goal is that; the chain, which tells of tampering besides, costs a BLAKE3 over every byte.
fn verify(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    const ALONE: &str = "recover.verify.alone";
    const CHAIN: &str = "recover.verify.chain";
    if !plan.wants(&["recover.verify", ALONE, CHAIN]) {
        return Ok(());
    }
    let dir = plan.temp_dir()?;
    let env: Arc<dyn Env> = Arc::new(RealEnv::new(dir.path()));
    let records = plan.work(1_600_000);
    let _ = sealed_log(&env, records)?;
    let bytes = log_bytes(&*env)?;
    let read = |chain: bool, threads: usize| -> anyhow::Result<f64> {
        let started = Instant::now();
        let check = LogReader::open_read_only(Arc::clone(&env))?.check_sealed(chain, threads)?;
        let elapsed = started.elapsed().as_secs_f64();
        anyhow::ensure!(check.ok() && check.records == records as u64, "{check:?}");
        Ok(check.bytes as f64 / elapsed / 1e9)
    };
    let summed = || -> anyhow::Result<f64> {
        let started = Instant::now();
        black_box(map_and_sum(&*env)?);
        Ok(bytes as f64 / started.elapsed().as_secs_f64() / 1e9)
    };
    let runs = [("recover.verify", false, 0), (ALONE, false, 1), (CHAIN, true, 0)];
    for (name, chain, threads) in runs.into_iter().filter(|(name, ..)| plan.wants(&[name])) {
        let pairs: Vec<Pair> = interleave(plan.rounds(), || read(chain, threads), summed)?;
        sink.figure(Figure::rate(name, "GB/s", MAP), &pairs, plan.rounds() as u64)?;
    }
    Ok(())
}

/// An engine that was shut down: from `open` to ready, lanes rebuilt.
fn open(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    if !plan.wants(&["recover.open"]) {
        return Ok(());
    }
    let dir = plan.temp_dir()?;
    let corpus = Corpus::new(plan.seed, 2000, plan.work(200_000));
    let engine = Engine::builder(dir.path()).open()?;
    fill(&engine, &corpus.shared(), crate::lane::WINDOW)?;
    engine.shutdown()?;
    drop(engine);
    let env = RealEnv::new(dir.path());
    let pairs: Vec<Pair> = interleave(
        ROUNDS_FEW,
        || {
            let started = Instant::now();
            let engine = Engine::builder(dir.path()).open()?;
            let elapsed = started.elapsed().as_secs_f64();
            let documents = engine.status()?.documents;
            anyhow::ensure!(documents == corpus.len() as u64, "{documents} documents after opening");
            engine.shutdown()?;
            Ok(elapsed * 1e3)
        },
        || {
            let started = Instant::now();
            black_box(map_and_sum(&env)?);
            Ok(started.elapsed().as_secs_f64() * 1e3)
        },
    )?;
    sink.figure(Figure::time("recover.open", "ms", MAP), &pairs, ROUNDS_FEW as u64)
}

fn segments(env: &dyn Env) -> anyhow::Result<Vec<(String, u64)>> {
    let entries = env.list(Path::new("log"))?;
    Ok(entries.into_iter().filter(|it| it.name.ends_with(".seg")).map(|it| (it.name, it.len)).collect())
}

fn log_bytes(env: &dyn Env) -> anyhow::Result<u64> {
    Ok(segments(env)?.iter().map(|(_, len)| len).sum())
}

fn map_and_sum(env: &dyn Env) -> anyhow::Result<u64> {
    let mut sum = 0_u64;
    for (name, _) in segments(env)? {
        let map = env.open_read(&Path::new("log").join(&name)).and_then(|file| file.map()).context(name)?;
        for words in map.chunks_exact(8) {
            let word = words.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
            sum = sum.wrapping_add(word);
        }
    }
    Ok(sum)
}
