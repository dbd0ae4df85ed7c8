//! Every bit of a segment, flipped one at a time: what is proven loses the record that was hit and no other, what is not
//! proven is cut and reported, and where nothing was written nothing happens.
//!
//! Built for release every one of the 524,288 bits of a 64 KiB segment is tried; otherwise, and with
//! `OFD_BITS_EVERY=<n>`, every nth.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod machine_support;

use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ofd_storage::testing::{SimEnv, SimKnobs};
use ofd_storage::{
    Completion, DiskOp, Env, LogReader, Lsn, Position, RECORD_HEADER_LEN, RecoveryReport, recover,
};

use machine_support::{OPTIONS, document};

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
            let _ = log.append(env.now(), document(&[&payload])).unwrap();
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

// The same with sectors that cannot be read: below the newest header they cost the records that lie in them, and from there on nobody
// can tell where the log ends.
#[test]
fn every_unreadable_sector_below_the_newest_header_costs_what_lies_in_it() {
    /// Bytes that one bad sector costs.
    const PIECE: usize = 4096;
    let env = written();
    let path = Path::new("log/0000000000000001.seg");
    let (places, report) = records(&env);
    let proven = report.proven.get() as usize;
    // The header that proves them lies in the block in which the records of its own write begin.
    let newest = places[proven].1.start / 512 * 512;
    let (mut served, mut refused, mut lost_records) = (0, 0, 0);
    for at in (0..OPTIONS.segment_len as usize).step_by(512) {
        let env = env.fork();
        env.spoil_sector(path, at).unwrap();
        let piece = at / PIECE * PIECE..at / PIECE * PIECE + PIECE;
        let lost: Vec<u64> = places
            .iter()
            .filter(|(_, range)| range.start < piece.end && piece.start < range.end)
            .map(|(lsn, _)| *lsn)
            .collect();
        let named = |report: &RecoveryReport| -> Vec<u64> {
            report.damaged.iter().flat_map(|it| it.first.get()..=it.last.get()).collect()
        };
        let beside = LogReader::open_read_only(Arc::new(env.fork()));
        let mut shown = Vec::new();
        let opened = recover(Arc::new(env.clone()), OPTIONS, &mut |record, _| shown.push(record.lsn().get()));
        if piece.end > newest {
            let error = opened.map(|_| ()).unwrap_err();
            assert!(error.is_storage_fault() && beside.is_err(), "byte {at}: {error}");
            refused += 1;
            continue;
        }
        let (mut log, report) = opened.unwrap_or_else(|error| panic!("byte {at}: {error}"));
        let rest: Vec<u64> = (1..=places.len() as u64).filter(|lsn| !lost.contains(lsn)).collect();
        assert_eq!((shown, named(&report)), (rest.clone(), lost.clone()), "byte {at}: {report:?}");
        assert_eq!(report.cut, None, "byte {at}");
        // It goes on, is sealed with its damage, and the next start says the same of it. A feed gives each record or names it; where it
        // reads fewer bytes at once, also one beside the sector that a start could not read with it.
        let feeds = |reader: &LogReader| {
            let mut records = reader.records_from(Position::START, Lsn::new(places.len() as u64));
            let (mut given, mut named) = (Vec::new(), Vec::new());
            loop {
                let before = records.position().lsn().get();
                match records.next() {
                    Ok(Some((record, _))) => given.push(record.lsn().get()),
                    Ok(None) => break,
                    Err(error) => {
                        assert!(records.position().lsn().get() > before, "byte {at}: {error}");
                        named.extend(before + 1..=records.position().lsn().get());
                    }
                }
            }
            assert!(rest.iter().all(|lsn| given.contains(lsn)), "byte {at}: {given:?} of {rest:?}");
            assert!(named.iter().all(|lsn| lost.contains(lsn)), "byte {at}: {named:?} of {lost:?}");
            assert_eq!(given.len() + named.len(), places.len(), "byte {at}: {given:?} {named:?}");
            assert!(lost.is_empty() || !named.is_empty(), "byte {at}");
        };
        feeds(&beside.unwrap());
        feeds(&log.reader());
        let mut queue = env.queue(Arc::new(|| {})).unwrap();
        let (mut ops, mut completions): (Vec<DiskOp>, Vec<Completion>) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            log.step(env.now(), &mut completions, &mut ops);
            ops.drain(..).for_each(|op| queue.submit(op));
            queue.poll(&mut completions);
        }
        let reader = log.reader();
        let sealed = reader.sealed_segments();
        assert!(sealed.first().is_some_and(|it| it.id.get() == 1 && it.footer), "byte {at}: {sealed:?}");
        feeds(&reader);
        let check = reader.check_segment(sealed[0].id, true).unwrap();
        assert!(!check.ok() && check.lost == lost.len() as u64, "byte {at}: {check:?}");
        drop((log, queue));
        let env = env.power_cut();
        let (log, report) = recover(Arc::new(env), OPTIONS, &mut |_, _| {}).unwrap();
        assert_eq!(named(&report), lost, "byte {at}: {report:?}");
        feeds(&log.reader());
        lost_records += lost.len();
        served += 1;
    }
    assert!(served > 50 && refused > 20 && lost_records > 100, "{served} {refused} {lost_records}");
}
