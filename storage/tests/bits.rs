//! Every bit of a segment, flipped one at a time: what is proven loses the record that was hit and no other, what is not
//! proven is cut and reported, and where nothing was written nothing happens.
//!
//! Built for release every one of the 524,288 bits of a 64 KiB segment is tried; otherwise, and with
//! `OFD_BITS_EVERY=<n>`, every nth.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ofd_storage::testing::{SimEnv, SimKnobs};
use ofd_storage::{
    Completion, DiskOp, Env, LogOptions, LogReader, Lsn, NO_PARTITION, NewRecord, Position,
    RECORD_HEADER_LEN, RecordKind, RecoveryReport, recover,
};

const OPTIONS: LogOptions = LogOptions {
    segment_len: 64 * 1024,
    batch_len_max: 8192,
    block_len: 512,
    marker_after_us: 5_000,
    prepare_retry_us: 10_000,
    free_bytes_min: Some(0),
};

/// What a byte of the segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a record that something on disk proves.
    Proven(u64),
    /// In a record of the last write, which nothing proves.
    Unproven(u64),
    /// In the header of the segment, of a batch or of a marker, or behind a record.
    Between,
    /// Behind everything.
    Unused,
}

/// One segment with proven batches, one unproven write and zeros behind, as a killed process leaves it.
fn written() -> SimEnv {
    let env = SimEnv::new(1, SimKnobs::default());
    let (mut log, _) = recover(Arc::new(env.clone()), OPTIONS, &mut |_, _| {}).unwrap();
    let mut queue = env.queue(Arc::new(|| {})).unwrap();
    let (mut ops, mut completions): (Vec<DiskOp>, Vec<Completion>) = (Vec::new(), Vec::new());
    let mut next = 0_usize;
    for batch in 0..7 {
        for _ in 0..6 {
            let payload: Vec<u8> = (0..200 + next * 37 % 900).map(|at| (at * 31 + next) as u8).collect();
            let record = NewRecord {
                kind: RecordKind::Document,
                flags: 0,
                partition: NO_PARTITION,
                key_id: 0,
                answer_code: 0,
                parts: &[&payload],
            };
            let _ = log.append(env.now(), record).unwrap();
            next += 1;
        }
        // The write of the last batch is synced, and the process ends before the next header can prove it.
        for _ in 0..4 {
            log.step(env.now(), &mut completions, &mut ops);
            ops.drain(..).for_each(|op| queue.submit(op));
            queue.poll(&mut completions);
        }
        log.step(env.now(), &mut completions, &mut ops);
        assert_eq!(log.durable().get(), next as u64, "batch {batch}");
    }
    env.kill()
}

/// LSN and bytes of every record where it lies before a start moves any, by the log's own word, and what a start says.
fn records(env: &SimEnv) -> (Vec<(u64, Range<usize>)>, RecoveryReport) {
    let reader = LogReader::open_read_only(Arc::new(env.fork())).unwrap();
    let mut records = reader.records_from(Position::START, Lsn::new(u64::MAX));
    let mut found = Vec::new();
    while let Some((record, location)) = records.next().unwrap() {
        let from = location.offset as usize;
        found.push((record.lsn().get(), from..from + record.encoded_len()));
    }
    let (_, report) = recover(Arc::new(env.fork()), OPTIONS, &mut |_, _| {}).unwrap();
    (found, report)
}

/// What flipping a bit came to.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    proven: usize,
    unproven: usize,
    between: usize,
    unused: usize,
}

#[test]
fn every_flipped_bit_of_a_segment_costs_what_it_hit() {
    let env = written();
    let path = Path::new("log/0000000000000001.seg");
    let (places, report) = records(&env);
    let proven = report.proven.get();
    let old = env.open_read(path).unwrap();
    let mut bytes = vec![0; OPTIONS.segment_len as usize];
    ofd_storage::env::read_exact_at(&*old, &mut bytes, 0).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let place_of = |at: usize| match places.iter().find(|(_, range)| range.contains(&at)) {
        Some((lsn, _)) if *lsn <= proven => Place::Proven(*lsn),
        Some((lsn, _)) => Place::Unproven(*lsn),
        None if at < end => Place::Between,
        None => Place::Unused,
    };
    let last = places.last().unwrap().0;
    assert!(proven > 30 && last == proven + 6 && end < 50_000 && RECORD_HEADER_LEN == 64);

    let every = std::env::var("OFD_BITS_EVERY")
        .map_or(if cfg!(debug_assertions) { 211 } else { 1 }, |it| it.parse().unwrap());
    let bits = OPTIONS.segment_len as usize * 8;
    let next = AtomicUsize::new(0);
    let try_bits = || {
        let mut totals = Totals::default();
        loop {
            let bit = next.fetch_add(1, Ordering::Relaxed) * every;
            if bit >= bits {
                return totals;
            }
            let fork = env.fork();
            fork.flip_bit(path, bit).unwrap();
            let mut shown = Vec::new();
            let opened = recover(Arc::new(fork), OPTIONS, &mut |record, _| {
                let lsn = record.lsn().get();
                let sound = record
                    .payload()
                    .iter()
                    .enumerate()
                    .all(|(at, byte)| *byte == (at * 31 + lsn as usize - 1) as u8);
                assert!(sound, "bit {bit}: record {lsn} is served with other bytes");
                shown.push(lsn);
            });
            let (_, report) = opened.unwrap_or_else(|error| panic!("bit {bit}: {error}"));
            let place = place_of(bit / 8);
            let lost: Vec<u64> = (1..=last).filter(|lsn| !shown.contains(lsn)).collect();
            let named =
                |lsn: u64| report.damaged.iter().any(|it| (it.first.get()..=it.last.get()).contains(&lsn));
            match place {
                Place::Proven(lsn) => {
                    assert_eq!(lost, [lsn], "bit {bit} in record {lsn}: {report:?}");
                    assert!(named(lsn) && report.damaged.len() == 1, "bit {bit}: {report:?}");
                    totals.proven += 1;
                }
                Place::Unproven(lsn) => {
                    // The write is cut at the record that was hit, and the report says so.
                    assert_eq!(
                        lost,
                        (lsn..=last).collect::<Vec<_>>(),
                        "bit {bit} in record {lsn}: {report:?}"
                    );
                    let cut = report.cut.unwrap_or_else(|| panic!("bit {bit}: no cut is reported"));
                    assert_eq!((cut.first, cut.last), (Lsn::new(lsn), Some(Lsn::new(last))), "bit {bit}");
                    totals.unproven += 1;
                }
                Place::Between => {
                    // A header of a batch may be gone; its records stand for themselves. That of the unproven write tells
                    // how far it goes: without it, what it held is served or reported.
                    let reported =
                        report.cut.is_some_and(|cut| lost.iter().all(|lsn| *lsn >= cut.first.get()));
                    assert!(
                        lost.is_empty() || (reported && lost[0] > proven),
                        "bit {bit}: {lost:?} {report:?}"
                    );
                    totals.between += 1;
                }
                Place::Unused => {
                    assert!(lost.is_empty() && report.damaged.is_empty(), "bit {bit}: {lost:?} {report:?}");
                    totals.unused += 1;
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let found: Vec<Totals> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(try_bits)).collect();
        running.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let sum = |of: fn(&Totals) -> usize| found.iter().map(of).sum::<usize>();
    let (proven, unproven) = (sum(|it| it.proven), sum(|it| it.unproven));
    let (between, unused) = (sum(|it| it.between), sum(|it| it.unused));
    let line = format!(
        "bits: {} flipped | in proven records {proven}: each detected, its neighbours served | in the unproven write \
         {unproven}: each cut and reported | in headers and gaps {between}: no proven record lost | in unused zeros {unused}: \
         nothing lost\n",
        proven + unproven + between + unused
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    assert!(proven > 0 && unproven > 0 && between > 0 && unused > 0);
}
