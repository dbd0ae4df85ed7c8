//! Single questions of which most are quick and the slow ones count: the 99th percentile, cold and warm.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Instant;

use anyhow::Context as _;
use hdrhistogram::Histogram;

use crate::Plan;
use crate::harness::{Figure, Pair, ROUNDS_FEW, Sink};

/// What is asked.
pub(crate) struct Asked<'a> {
    /// Names of the figures: asked before, and not.
    pub(crate) names: [&'static str; 2],
    /// Unit of the figures, and nanoseconds in one.
    pub(crate) unit: (&'static str, f64),
    /// Questions of a round.
    pub(crate) count: u64,
    /// Documents that may be asked for: 0 to this.
    pub(crate) documents: u64,
    /// What the baseline reads somewhere.
    pub(crate) files: &'a [File],
}

/// 99th percentile of single questions: of documents nobody asked for before, and of the same ones once more.
pub(crate) fn measure(
    plan: &Plan,
    sink: &mut Sink,
    asked: &Asked<'_>,
    find: &dyn Fn(u64) -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    let Asked { names: [warm_name, cold_name], unit: (unit, nanos), count, documents, files } = *asked;
    let mut state = plan.seed | 1;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below.max(1)
    };
    let lens: Vec<u64> =
        files.iter().map(|file| Ok(file.metadata()?.len())).collect::<std::io::Result<_>>()?;
    let (mut cold, mut warm): (Vec<Pair>, Vec<Pair>) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS_FEW {
        let positions: Vec<u64> = (0..count.max(1)).map(|_| random(documents)).collect();
        let places: Vec<(usize, u64)> = (0..count.max(1))
            .map(|_| {
                let file = random(files.len() as u64) as usize;
                (file, random(lens.get(file).copied().unwrap_or_default()))
            })
            .collect();
        let mut lost = 0;
        let mut ask = || -> anyhow::Result<f64> {
            let mut times = Histogram::<u64>::new(3)?;
            for position in &positions {
                let started = Instant::now();
                let found = find(*position)?;
                times.record(u64::try_from(started.elapsed().as_nanos())?)?;
                lost += usize::from(!found);
            }
            eprintln!(
                "  p50 {:.3} {unit}, p99 {:.3} {unit}, largest {:.3} {unit}",
                times.value_at_quantile(0.5) as f64 / nanos,
                times.value_at_quantile(0.99) as f64 / nanos,
                times.max() as f64 / nanos
            );
            Ok(times.value_at_quantile(0.99) as f64 / nanos)
        };
        let read = || -> anyhow::Result<f64> {
            let (mut times, mut buffer) = (Histogram::<u64>::new(3)?, [0_u8; 600]);
            for (file, at) in &places {
                let started = Instant::now();
                let _ = files.get(*file).context("a file")?.read_at(&mut buffer, *at)?;
                times.record(u64::try_from(started.elapsed().as_nanos())?)?;
            }
            Ok(times.value_at_quantile(0.99) as f64 / nanos)
        };
        let first = (ask()?, read()?);
        let again = (ask()?, read()?);
        anyhow::ensure!(lost == 0, "{lost} documents were not found");
        if round > 0 {
            cold.push(first);
            warm.push(again);
        }
    }
    let runs = ROUNDS_FEW as u64 * count;
    sink.figure(Figure::time(warm_name, unit, "one pread of 600 bytes, asked before"), &warm, runs)?;
    if plan.big.memory_mib.is_none() {
        eprintln!("{cold_name} needs --memory-mib: without a limit the page cache answers");
        return Ok(());
    }
    sink.figure(Figure::time(cold_name, unit, "one pread of 600 bytes, not asked before"), &cold, runs)
}
