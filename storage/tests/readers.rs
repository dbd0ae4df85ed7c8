//! Readers beside the writer: what is in memory, what is mapped, and what outlives what.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod machine_support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ofd_storage::{Appended, Driver, Env, ErrorKind, LogState, Lsn, Position, RealEnv, recover};

use machine_support::{Machine, OPTIONS, document, path};

// `append` tells a place before anything is durable there, and the bytes may be on the disk before the log has heard of it.
#[test]
fn a_record_is_not_given_out_before_it_is_durable() {
    let mut machine = Machine::of_seed(3);
    let reader = machine.log.reader();
    let appended = machine.append(b"on its way");
    machine.step();
    machine.disk();
    assert_eq!(reader.read(appended.location).unwrap_err().kind(), ErrorKind::Retry);
    assert_eq!(machine.step().durable, appended.lsn);
    assert_eq!(reader.read(appended.location).unwrap().payload(), b"on its way"[..]);
}

// After a failed sync the pages may show anything: here the acknowledged batch, which nothing on disk proves yet, reverts
// to zeros, and its file is no place to read it from.
#[test]
fn a_durable_record_is_read_from_memory_while_its_segment_fails() {
    for seed in 0..40 {
        let mut machine = Machine::of_seed(seed);
        let _ = machine.append(b"opens the segment, and has the next one prepared");
        machine.rest();
        let durable = machine.append(b"acknowledged");
        machine.step();
        // The sync lies: the pages are not on the disk, and the next sync says so and drops them.
        machine.env.set_knobs(|knobs| knobs.late_error = 65_536);
        machine.disk();
        machine.env.set_knobs(|knobs| knobs.late_error = 0);
        assert_eq!(machine.step().durable, durable.lsn);
        machine
            .env
            .flip_bit(&path(durable.location.segment), (durable.location.offset as usize + 70) * 8)
            .unwrap();
        let _ = machine.append(b"whose sync fails");
        machine.step();
        machine.disk();
        assert_eq!(machine.step().state, LogState::Rewriting, "seed {seed}");
        let reader = machine.log.reader();
        assert_eq!(reader.read(durable.location).unwrap().record().payload(), b"acknowledged");
        let mut feed = reader.records_from(Position::new(durable.lsn.prev()), durable.lsn);
        assert_eq!(feed.next().unwrap().unwrap().0.payload(), b"acknowledged");
        assert_eq!(machine.rest().durable, Lsn::new(3));
        let moved = reader.read(durable.location).unwrap();
        assert_eq!(moved.record().payload(), b"acknowledged");
        assert_ne!(moved.record().segment(), durable.location.segment);
    }
}

// A follower close behind the watermark is no burden for the disk.
#[test]
fn a_follower_behind_the_watermark_reads_no_file() {
    let mut machine = Machine::new();
    let mut feed = machine.log.reader().records_from(Position::START, Lsn::NONE);
    for round in 0..300u64 {
        let payload = round.to_le_bytes().repeat(20);
        let appended = machine.append(&payload);
        // Every read of a file would fail from here on; sealing reads its segment back.
        let sealing = machine.rest();
        assert_eq!(sealing.durable, appended.lsn);
        machine.env.set_knobs(|knobs| knobs.read_error = 65_536);
        feed.extend(Lsn::new(u64::MAX));
        let (record, location) = feed.next().unwrap().unwrap();
        assert_eq!((record.lsn(), record.payload()), (appended.lsn, &payload[..]));
        assert_eq!(location, appended.location);
        assert_eq!(machine.log.reader().read(location).unwrap().record().payload(), payload);
        machine.env.set_knobs(|knobs| knobs.read_error = 0);
    }
    assert!(machine.log.reader().sealed_segments().len() > 1);
}

// A merchant's download may hold a record for minutes, while retention removes the segment under it.
#[test]
fn a_record_outlives_the_segment_and_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    let env: Arc<dyn Env> = Arc::new(RealEnv::new(dir.path()));
    let (log, _) = recover(Arc::clone(&env), OPTIONS, &mut |_, _| {}).unwrap();
    let mut driver = Driver::new(Arc::clone(&env), log).unwrap();
    let places: Vec<Appended> =
        (0..400u64).map(|at| driver.append(document(&[&at.to_le_bytes().repeat(60)])).unwrap()).collect();
    driver.seal_all().unwrap();
    let reader = driver.log().reader();
    let first = reader.read(places[0].location).unwrap();
    let again = reader.read(places[0].location).unwrap();
    // A copy each: a page of the map that memory was short for, and the disk has lost since, would read as zeros.
    assert_ne!(first.record().payload().as_ptr(), again.record().payload().as_ptr());
    env.remove(&path(places[0].location.segment)).unwrap();
    drop(driver);
    drop((reader, again));
    assert_eq!(first.record().payload(), 0u64.to_le_bytes().repeat(60));
}

// The checksum is looked at each time: a page that goes bad in the cache is not served.
#[test]
fn a_record_that_rots_is_refused_though_it_was_read_before() {
    let dir = tempfile::tempdir().unwrap();
    let env: Arc<dyn Env> = Arc::new(RealEnv::new(dir.path()));
    let (log, _) = recover(Arc::clone(&env), OPTIONS, &mut |_, _| {}).unwrap();
    let mut driver = Driver::new(Arc::clone(&env), log).unwrap();
    let places: Vec<Appended> = (0..400).map(|_| driver.append(document(&[&[7; 300]])).unwrap()).collect();
    driver.seal_all().unwrap();
    let reader = driver.log().reader();
    let hit = places[1].location;
    assert!(reader.read(hit).is_ok());
    let file = env.open(&path(hit.segment)).unwrap();
    ofd_storage::env::write_all_at(&*file, &[&[6]], u64::from(hit.offset) + 100).unwrap();
    assert_eq!(reader.read(hit).unwrap_err().kind(), ofd_storage::ErrorKind::Corrupt);
    assert!(reader.read(places[0].location).is_ok() && reader.read(places[2].location).is_ok());
}

// Readers of every kind run against a writer that fills segments: nobody sees a torn or a wrong record.
#[test]
fn readers_race_the_writer_and_see_whole_records_only() {
    let dir = tempfile::tempdir().unwrap();
    let env: Arc<dyn Env> = Arc::new(RealEnv::new(dir.path()));
    let (log, _) = recover(Arc::clone(&env), OPTIONS, &mut |_, _| {}).unwrap();
    let mut driver = Driver::new(Arc::clone(&env), log).unwrap();
    let (reader, done) = (driver.log().reader(), Arc::new(AtomicBool::new(false)));
    let payload = |lsn: Lsn| lsn.get().to_le_bytes().repeat(1 + (lsn.get() % 90) as usize);
    let followers: Vec<_> = (0..2)
        .map(|_| {
            let (reader, done) = (reader.clone(), Arc::clone(&done));
            std::thread::spawn(move || {
                let mut feed = reader.records_from(Position::START, Lsn::NONE);
                let mut seen = Lsn::NONE;
                loop {
                    let last_look = done.load(Ordering::SeqCst);
                    feed.extend(Lsn::new(u64::MAX));
                    let mut places = Vec::new();
                    while let Some((record, location)) = feed.next().unwrap() {
                        assert_eq!(
                            (record.lsn(), record.payload()),
                            (seen.next(), &payload(seen.next())[..])
                        );
                        seen = seen.next();
                        places.push((seen, location));
                    }
                    for (lsn, location) in places {
                        let found = reader.read(location).unwrap();
                        assert_eq!(
                            (found.record().lsn(), found.record().payload()),
                            (lsn, &payload(lsn)[..])
                        );
                    }
                    if last_look {
                        return seen;
                    }
                }
            })
        })
        .collect();
    for _ in 0..4_000u64 {
        let lsn = driver.log().next_lsn();
        let _ = driver.append(document(&[&payload(lsn)])).unwrap();
        if lsn.get().is_multiple_of(5) {
            driver.commit().unwrap();
        }
    }
    let last = driver.commit().unwrap();
    done.store(true, Ordering::SeqCst);
    for follower in followers {
        assert_eq!(follower.join().unwrap(), last);
    }
}

// A bad sector is damage, told once; a device that is away for a moment is none, and nobody goes on behind what it holds.
#[test]
fn a_feed_waits_for_a_device_that_is_away() {
    let mut machine = Machine::new();
    let places: Vec<_> = (0..40u8).map(|at| (machine.append(&[at; 700]), machine.rest()).0).collect();
    machine.log.seal();
    let _ = machine.append(b"opens the next");
    machine.rest();
    let sealed = machine.log.reader().sealed_segments()[0].id;
    let env = machine.env.power_cut();
    env.spoil_sector(&Path::new("log").join(format!("{sealed}.seg")), places[20].location.offset as usize)
        .unwrap();
    let (log, _) = recover(Arc::new(env.clone()), OPTIONS, &mut |_, _| {}).unwrap();
    let mut feed = log.reader().records_from(Position::START, Lsn::new(40));
    env.set_knobs(|knobs| knobs.read_error = 65_536);
    for _ in 0..3 {
        let error = feed.next().map(|_| ()).unwrap_err();
        assert!(error.is_storage_fault() && error.kind() != ErrorKind::Corrupt, "{error}");
        assert_eq!(feed.position(), Position::START);
    }
    env.set_knobs(|knobs| knobs.read_error = 0);
    let (mut given, mut damaged) = (0, 0);
    loop {
        match feed.next() {
            Ok(Some(_)) => given += 1,
            Ok(None) => break,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                damaged += 1;
            }
        }
    }
    assert!(given >= 33 && damaged == 1, "{given} {damaged}");
}
