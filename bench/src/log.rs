//! How fast does the log make records durable, beside raw writes with the same group commit?
//!
//! The log is driven as the engine drives it: `append` and `step` on one thread, its real disk queue with its two
//! threads behind. Two things are kept apart. The figures of the commit path run inside one large segment whose
//! successor is prewritten before the clock starts, as the baseline's file is. `log.sustained` is the whole truth:
//! default segments, their prewriting and their sealing run along.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use ofd_storage::{LogOptions, Lsn};
use tempfile::TempDir;

use crate::Plan;
use crate::drives::Drives;
use crate::harness::{Figure, Pair, Sink, interleave};
use crate::raw::{GroupCommit, Prewritten, frame, room_for};
use crate::rig::{PAYLOAD_LEN, Rig, rig_for};

const RECORDS: &str = "records/s";
/// A round ends after this time even when its records are not done: a busy disk syncs fifty times slower.
const ROUND: Duration = Duration::from_millis(500);
/// Segments that a fresh log keeps ready, and how long a slow disk may take to write them.
const SPARES: usize = 2;
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Runs the figures of the log.
///
/// # Errors
/// Of the disk.
pub(crate) fn run(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    let payload: Vec<u8> = (0..PAYLOAD_LEN).map(|at| (at * 167 % 251) as u8).collect();
    sync_1000(plan, sink, &payload)?;
    in_flight(plan, sink, &payload, 64, ["log.ack64", "log.ack64.loop"])?;
    in_flight(plan, sink, &payload, 1024, ["log.ack1024", "log.ack1024.loop"])?;
    single(plan, sink, &payload)?;
    sustained(plan, sink, &payload)
}

/// A sync for every thousand records; the next thousand are taken in while the disk syncs. Every record goes into the
/// index, on the same thread; in the engine the worker does that, beside the writer.
fn sync_1000(plan: &Plan, sink: &mut Sink, payload: &[u8]) -> anyhow::Result<()> {
    if !plan.wants(&["log.sync1000"]) {
        return Ok(());
    }
    const BATCH: usize = 1000;
    let batches = plan.work(100);
    let (rounds, long) = (plan.rounds(), plan.long(ROUND));
    let dir = plan.temp_dir()?;
    let all = batches * (rounds + 1);
    let mut rig = rig_for(&dir.path().join("log"), all * BATCH, all)?;
    let mut file = Prewritten::new(&dir.path().join("raw"), room_for(batches * BATCH, PAYLOAD_LEN))?;
    let mut buffer = Vec::with_capacity(1 << 20);
    let mut drives = Drives::new();
    let pairs: Vec<Pair> = interleave(
        rounds,
        || {
            let started = Instant::now();
            let first = rig.log.durable();
            let mut last = first;
            for _ in 0..batches {
                if started.elapsed() > long {
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
        },
        || {
            let started = Instant::now();
            let mut done = 0;
            while done < batches && started.elapsed() <= long {
                done += 1;
                buffer.clear();
                for _ in 0..BATCH {
                    frame(&mut buffer, payload);
                }
                file.commit(&buffer)?;
            }
            Ok((done * BATCH) as f64 / started.elapsed().as_secs_f64())
        },
    )?;
    let figure =
        Figure::rate("log.sync1000", RECORDS, "raw prewritten pwrite + fdatasync, 1000 records each");
    sink.figure(figure, &pairs, (rounds * batches) as u64)
}

/// As many records on the way as registers wait for: acknowledged by the watermark here, by a condition variable
/// and a thread each in the first baseline, by a single loop without any threads in the second.
fn in_flight(
    plan: &Plan,
    sink: &mut Sink,
    payload: &[u8],
    depth: usize,
    names: [&'static str; 2],
) -> anyhow::Result<()> {
    if !plan.wants(&names) {
        return Ok(());
    }
    let records = plan.work(if depth < 100 { 40_000 } else { 80_000 });
    let (rounds, long) = (plan.rounds(), plan.long(ROUND));
    let dir = plan.temp_dir()?;
    let all = records * (rounds + 1) * 2;
    let mut rig = rig_for(&dir.path().join("log"), all, all / depth * 4)?;
    let file = |name: &str| Prewritten::new(&dir.path().join(name), room_for(records, PAYLOAD_LEN));
    let group = GroupCommit::new(file("raw")?);
    let mut alone = file("loop")?;
    let mut buffer = Vec::with_capacity(1 << 20);
    let mut subject = || {
        let started = Instant::now();
        let first = rig.log.durable().get();
        let mut appended = 0;
        while appended < records && started.elapsed() <= long {
            let now = rig.now();
            let room = (first as usize + appended - rig.log.durable().get() as usize).min(depth);
            for _ in 0..(depth - room).min(records - appended) {
                let _ = rig.append(now, payload)?;
                appended += 1;
            }
            rig.wait()?;
        }
        rig.wait_for(Lsn::new(first + appended as u64))?;
        let rate = appended as f64 / started.elapsed().as_secs_f64();
        rig.quiet()?;
        Ok(rate)
    };
    let pairs: Vec<Pair> =
        interleave(rounds, &mut subject, || group_of(&group, payload, records, depth, long))?;
    let figure = Figure::rate(names[0], RECORDS, "raw leader/follower, a thread for each in flight");
    sink.figure(figure, &pairs, (rounds * records) as u64)?;
    let pairs: Vec<Pair> = interleave(rounds, &mut subject, || {
        let started = Instant::now();
        let mut done = 0;
        while done < records && started.elapsed() <= long {
            done += depth;
            buffer.clear();
            for _ in 0..depth {
                frame(&mut buffer, payload);
            }
            alone.commit(&buffer)?;
        }
        Ok(done as f64 / started.elapsed().as_secs_f64())
    })?;
    let figure = Figure::rate(names[1], RECORDS, "raw pwrite + fdatasync of all in flight, one loop");
    sink.figure(figure, &pairs, (rounds * records) as u64)
}

fn group_of(
    group: &GroupCommit,
    payload: &[u8],
    records: usize,
    threads: usize,
    long: Duration,
) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut done = 0;
    std::thread::scope(|scope| {
        let mut running = Vec::with_capacity(threads);
        for _ in 0..threads {
            let body = || -> anyhow::Result<usize> {
                let mut mine = 0;
                while mine < records / threads && started.elapsed() <= long {
                    group.append(payload)?;
                    mine += 1;
                }
                Ok(mine)
            };
            running.push(std::thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, body)?);
        }
        for thread in running {
            done += thread.join().map_err(|_| anyhow::anyhow!("a producer panicked"))??;
        }
        anyhow::Ok(())
    })?;
    Ok(done as f64 / started.elapsed().as_secs_f64())
}

/// One record at a time, each waited for.
fn single(plan: &Plan, sink: &mut Sink, payload: &[u8]) -> anyhow::Result<()> {
    if !plan.wants(&["log.single.p50", "log.single.p99"]) {
        return Ok(());
    }
    let records = plan.work(1000);
    let (rounds, long) = (plan.rounds(), plan.long(ROUND));
    let dir = plan.temp_dir()?;
    let all = records * (rounds + 1);
    let mut rig = rig_for(&dir.path().join("log"), all, all)?;
    let mut file = Prewritten::new(&dir.path().join("raw"), room_for(records, PAYLOAD_LEN))?;
    let mut buffer = Vec::with_capacity(4096);
    let pairs = interleave(
        rounds,
        || {
            let (begun, mut times) = (Instant::now(), Histogram::<u64>::new(3)?);
            for _ in 0..records {
                if begun.elapsed() > long {
                    break;
                }
                let started = Instant::now();
                let lsn = rig.append(rig.now(), payload)?.lsn;
                rig.wait_for(lsn)?;
                times.record(nanos(started))?;
            }
            rig.quiet()?;
            Ok(times)
        },
        || {
            let (begun, mut times) = (Instant::now(), Histogram::<u64>::new(3)?);
            for _ in 0..records {
                if begun.elapsed() > long {
                    break;
                }
                let started = Instant::now();
                buffer.clear();
                frame(&mut buffer, payload);
                file.commit(&buffer)?;
                times.record(nanos(started))?;
            }
            Ok(times)
        },
    )?;
    for (name, quantile) in [("log.single.p50", 0.5), ("log.single.p99", 0.99)] {
        let micros = |times: &Histogram<u64>| times.value_at_quantile(quantile) as f64 / 1e3;
        let count = pairs.iter().map(|(log, _)| log.len()).sum();
        let pairs: Vec<Pair> = pairs.iter().map(|(log, raw)| (micros(log), micros(raw))).collect();
        let figure = Figure::time(name, "us", "raw prewritten pwrite + fdatasync, one at a time");
        sink.figure(figure, &pairs, count)?;
    }
    Ok(())
}

fn nanos(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// As fast as it goes with default options, prewriting and sealing of segments included, against raw writes of a
/// mebibyte each into a file that was prewritten before.
fn sustained(plan: &Plan, sink: &mut Sink, payload: &[u8]) -> anyhow::Result<()> {
    if !plan.wants(&["log.sustained"]) {
        return Ok(());
    }
    let records = plan.work(500_000);
    let rounds = crate::harness::ROUNDS_FEW;
    let dir = plan.temp_dir()?;
    let mut file = Prewritten::new(&dir.path().join("raw"), room_for(records, PAYLOAD_LEN))?;
    let mut buffer = Vec::with_capacity(1 << 20);
    let pairs: Vec<Pair> = interleave(
        rounds,
        || {
            let home = fresh(&dir, "log")?;
            let mut rig = Rig::new(home.path(), LogOptions::default())?;
            let started = Instant::now();
            let mut last = Lsn::NONE;
            for at in 0..records {
                if at % 64 == 0 {
                    rig.turn()?;
                }
                last = rig.append(rig.now(), payload)?.lsn;
            }
            rig.wait_for(last)?;
            let rate = records as f64 / started.elapsed().as_secs_f64();
            rig.quiet()?;
            Ok(rate)
        },
        || {
            let started = Instant::now();
            buffer.clear();
            for _ in 0..records {
                frame(&mut buffer, payload);
                if buffer.len() + PAYLOAD_LEN + 8 > 1 << 20 {
                    file.commit(&buffer)?;
                    buffer.clear();
                }
            }
            file.commit(&buffer)?;
            Ok(records as f64 / started.elapsed().as_secs_f64())
        },
    )?;
    let figure = Figure::rate("log.sustained", RECORDS, "raw prewritten pwrite + fdatasync, 1 MiB each");
    sink.figure(figure, &pairs, (rounds * records) as u64)
}

/// A folder of its own for one round, gone with the value.
pub(crate) fn fresh(dir: &TempDir, name: &str) -> anyhow::Result<TempDir> {
    tempfile::Builder::new().prefix(name).tempdir_in(dir.path()).context("a folder for a round")
}

/// Waits until the engine of this fresh folder has prewritten what it keeps ready, as that of a door that is open for a second has; the
/// floor's file is prewritten before its clock starts, too.
pub(crate) fn stand_ready(home: &TempDir) -> anyhow::Result<()> {
    let log = home.path().join("log");
    let began = Instant::now();
    loop {
        let names =
            std::fs::read_dir(&log)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let names = names.collect::<anyhow::Result<Vec<_>>>()?;
        if names.iter().filter(|name| name.ends_with(".seg")).count() >= SPARES {
            return Ok(());
        }
        anyhow::ensure!(began.elapsed() < READY_WITHIN, "no second segment is ready, there are {names:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
