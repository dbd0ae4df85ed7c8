//! The log over the real file system: what a caller relies on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

use std::path::Path;
use std::sync::Arc;

use ofd_storage::{
    DiskOp, DiskQueue, Driver, Env, ErrorKind, Location, Log, LogOptions, LogReader, Lsn, NO_PARTITION,
    NewRecord, Position, RealEnv, RecordKind, RecoveryReport, recover,
};

/// Small enough that a few hundred records fill several segments.
const SMALL: LogOptions = LogOptions {
    segment_len: 64 * 1024,
    batch_len_max: 8192,
    block_len: 512,
    marker_after_us: 1_000,
    prepare_retry_us: 10_000,
    ..LogOptions::DEFAULT
};

/// LSN, payload and place of a record that recovery has shown.
type Seen = (u64, Vec<u8>, Location);

struct House {
    dir: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn env(&self) -> Arc<dyn Env> {
        Arc::new(RealEnv::new(self.dir.path()))
    }

    fn log_dir(&self) -> std::path::PathBuf {
        self.dir.path().join("log")
    }

    fn segments(&self) -> Vec<std::path::PathBuf> {
        let mut paths: Vec<_> = std::fs::read_dir(self.log_dir())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
            .collect();
        paths.sort();
        paths
    }

    fn open(&self) -> (Driver, RecoveryReport, Vec<Seen>) {
        self.open_with(SMALL)
    }

    fn open_with(&self, options: LogOptions) -> (Driver, RecoveryReport, Vec<Seen>) {
        let mut seen = Vec::new();
        let (log, report) = recover(self.env(), options, &mut |record, location| {
            seen.push((record.lsn().get(), record.payload().to_vec(), location));
        })
        .unwrap();
        (Driver::new(self.env(), log).unwrap(), report, seen)
    }
}

fn record<'a>(parts: &'a [&'a [u8]], partition: u16) -> NewRecord<'a> {
    NewRecord { kind: RecordKind::Document, flags: 0, partition, key_id: 0, answer_code: 0, parts }
}

fn payload(lsn: u64) -> Vec<u8> {
    (0..(lsn * 37) % 900).map(|i| (i ^ lsn) as u8).collect()
}

fn fill(driver: &mut Driver, count: u64) -> Vec<Location> {
    (0..count)
        .map(|_| {
            let lsn = driver.log().next_lsn().get();
            let bytes = payload(lsn);
            let appended = driver.append(record(&[&bytes], (lsn % 256) as u16)).unwrap();
            assert_eq!(appended.lsn.get(), lsn);
            appended.location
        })
        .collect()
}

fn check(seen: &[Seen], count: u64) {
    assert_eq!(seen.len() as u64, count);
    for (at, (lsn, bytes, _)) in seen.iter().enumerate() {
        assert_eq!((*lsn, bytes), (at as u64 + 1, &payload(at as u64 + 1)));
    }
}

#[test]
fn what_was_appended_is_read_after_a_clean_end_and_after_none() {
    let house = House::new();
    let (mut driver, report, seen) = house.open();
    assert_eq!((report.epoch, report.records, seen.len()), (1, 0, 0));
    fill(&mut driver, 500);
    driver.commit().unwrap();
    driver.shutdown().unwrap();
    let (mut driver, report, seen) = house.open();
    check(&seen, 500);
    assert_eq!((report.epoch, report.rewritten, report.durable), (2, 0, Lsn::new(500)));
    assert!(report.damaged.is_empty() && report.cut.is_none() && !report.meta_rebuilt);
    fill(&mut driver, 100);
    driver.commit().unwrap();
    drop(driver);
    let (_driver, report, seen) = house.open();
    check(&seen, 600);
    assert_eq!(report.durable, Lsn::new(600));
}

#[test]
fn every_reader_finds_every_record() {
    let house = House::new();
    let (mut driver, ..) = house.open();
    let locations = fill(&mut driver, 400);
    let durable = driver.commit().unwrap();
    let reader = driver.log().reader();
    for (at, location) in locations.iter().enumerate() {
        assert_eq!(reader.read(*location).unwrap().record().payload(), payload(at as u64 + 1));
    }
    for from in [0, 1, 199, 399, 400] {
        let mut records = reader.records_from(Position::new(Lsn::new(from)), durable);
        let mut expect = from;
        while let Some((record, location)) = records.next().unwrap() {
            expect += 1;
            assert_eq!((record.lsn().get(), record.payload()), (expect, &payload(expect)[..]));
            assert_eq!(location, locations[expect as usize - 1]);
        }
        assert_eq!(expect, 400);
    }
    driver.seal_all().unwrap();
    let mut expect = 0;
    for segment in reader.sealed_segments() {
        assert_eq!(segment.base.get(), expect + 1);
        let records = reader.segment_records(segment.id).unwrap();
        for item in &records {
            let (record, location) = item.unwrap();
            expect += 1;
            assert_eq!((record.lsn().get(), location), (expect, locations[expect as usize - 1]));
        }
        assert_eq!(segment.last.get(), expect);
    }
    assert_eq!(expect, 400);
}

#[test]
fn a_second_writer_is_busy() {
    let house = House::new();
    let (driver, ..) = house.open();
    let second = recover(house.env(), SMALL, &mut |_, _| {});
    assert_eq!(second.err().map(|error| error.kind()), Some(ErrorKind::Busy));
    drop(driver);
    assert!(recover(house.env(), SMALL, &mut |_, _| {}).is_ok());
}

#[test]
fn a_reader_beside_a_writer_sees_only_durable_records() {
    let house = House::new();
    let (mut driver, ..) = house.open();
    fill(&mut driver, 300);
    driver.commit().unwrap();
    let beside = LogReader::open_read_only(house.env()).unwrap();
    assert_eq!(beside.durable(), Lsn::new(300));
    // In the filling batch, not on disk: neither reader gives it out.
    let pending = driver.append(record(&[b"later"], NO_PARTITION)).unwrap();
    assert!(beside.read(pending.location).is_err());
    let inside = driver.log().reader();
    let mut records = inside.records_from(Position::START, pending.lsn);
    let mut count = 0;
    while records.next().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 300);
    driver.commit().unwrap();
    records.extend(pending.lsn);
    assert_eq!(records.next().unwrap().unwrap().0.payload(), b"later");
}

#[test]
fn reopening_changes_nothing() {
    let house = House::new();
    let (mut driver, ..) = house.open();
    fill(&mut driver, 300);
    driver.commit().unwrap();
    drop(driver);
    let (driver, _, first) = house.open();
    drop(driver);
    for _ in 0..5 {
        let (_driver, report, again) = house.open();
        assert_eq!((again.len(), report.rewritten), (first.len(), 0));
        check(&again, 300);
    }
    // Idle starts leave no trail of segments behind.
    assert!(house.segments().len() <= 10, "{:?}", house.segments());
}

#[test]
fn a_mapped_segment_outlives_its_name() {
    let house = House::new();
    let (mut driver, ..) = house.open();
    fill(&mut driver, 50);
    driver.seal_all().unwrap();
    let reader = driver.log().reader();
    let segment = reader.sealed_segments()[0];
    let records = reader.segment_records(segment.id).unwrap();
    std::fs::remove_file(house.segments().first().unwrap()).unwrap();
    let kept: Vec<_> = records.iter().map(|item| records.slice(&item.unwrap().0)).collect();
    drop(records);
    assert_eq!(kept.len(), 50);
    assert_eq!(kept[4], payload(5));
}

#[test]
fn damage_below_the_watermark_is_quarantined() {
    let house = House::new();
    let (mut driver, ..) = house.open();
    let locations = fill(&mut driver, 200);
    driver.commit().unwrap();
    driver.shutdown().unwrap();
    let place = locations[99];
    let path = house.log_dir().join(format!("{}.seg", place.segment));
    flip(&path, place.offset as usize + 64);
    for _ in 0..2 {
        let (driver, report, seen) = house.open();
        assert_eq!((seen.len(), report.damaged.len(), report.cut), (199, 1, None));
        let damage = report.damaged[0];
        assert_eq!((damage.segment, damage.first.get(), damage.last.get()), (place.segment, 100, 100));
        assert_eq!(damage.from, place.offset);
        let reader = driver.log().reader();
        assert_eq!(reader.read(place).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(reader.read(locations[98]).unwrap().record().lsn(), Lsn::new(99));
        assert_eq!(reader.read(locations[100]).unwrap().record().lsn(), Lsn::new(101));
        assert_eq!(report.durable, Lsn::new(200));
    }
}

#[test]
fn a_feed_names_what_is_lost_and_goes_on() {
    let house = House::new();
    let (mut driver, ..) = house.open();
    // More than is pinned in memory: what is there is served from there, whatever becomes of the file.
    let locations = fill(&mut driver, 2_000);
    driver.commit().unwrap();
    let place = locations[9];
    flip(&house.log_dir().join(format!("{}.seg", place.segment)), place.offset as usize + 70);
    let reader = driver.log().reader();
    let mut records = reader.records_from(Position::START, Lsn::new(2_000));
    let (mut seen, mut lost) = (Vec::new(), Vec::new());
    loop {
        match records.next() {
            Ok(Some((record, _))) => seen.push(record.lsn().get()),
            Ok(None) => break,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                lost.push(error.to_string());
            }
        }
    }
    assert_eq!(seen.len(), 1_999, "{lost:?}");
    assert!(!seen.contains(&10));
    assert!(lost.len() == 1 && lost[0].contains("records 10..=10 are lost"), "{lost:?}");
}

#[test]
fn one_damaged_header_copy_is_enough_to_read_a_segment() {
    let house = House::new();
    let (mut driver, ..) = house.open();
    fill(&mut driver, 30);
    driver.commit().unwrap();
    driver.shutdown().unwrap();
    let path = house.segments()[0].clone();
    for at in [20, 2048 + 20] {
        flip(&path, at);
        let (driver, report, seen) = house.open();
        check(&seen, 30);
        assert!(report.damaged.is_empty());
        drop(driver);
        flip(&path, at);
    }
    // Both copies gone: the batches tell whose life this is.
    flip(&path, 20);
    flip(&path, 2048 + 20);
    let (_driver, _, seen) = house.open();
    check(&seen, 30);
}

#[test]
fn a_lost_meta_file_is_made_again_and_the_epoch_goes_on() {
    let house = House::new();
    for _ in 0..3 {
        let (mut driver, ..) = house.open();
        fill(&mut driver, 5);
        driver.commit().unwrap();
    }
    std::fs::remove_file(house.log_dir().join("meta")).unwrap();
    let (_driver, report, seen) = house.open();
    check(&seen, 15);
    assert_eq!((report.meta_rebuilt, report.epoch), (true, 4));
}

#[test]
fn a_record_that_never_fits_is_refused() {
    let house = House::new();
    let (mut driver, ..) = house.open();
    let longest = vec![7; driver.log().payload_len_max()];
    let first = driver.append(record(&[&longest], 0)).unwrap();
    assert_eq!(first.lsn, Lsn::new(1));
    let error = driver.append(record(&[&longest, &[1]], 0)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fix);
    assert_eq!(driver.commit().unwrap(), Lsn::new(1));
}

// A batch has room for more than a record may take: a place behind a short one is no reason to take it.
#[test]
fn a_record_that_never_fits_is_refused_behind_a_short_one() {
    let house = House::new();
    let (mut driver, ..) = house.open_with(LogOptions::DEFAULT);
    let longest = driver.log().payload_len_max();
    assert!(2 * longest < LogOptions::DEFAULT.batch_len_max);
    for len in [10, longest, longest - 1] {
        let _ = driver.append(record(&[&vec![7; len]], 0)).unwrap();
        let error = driver.append(record(&[&vec![7; longest + 1]], 0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fix, "behind {len}");
    }
    assert_eq!(driver.commit().unwrap(), Lsn::new(3));
    drop(driver);
    let (_driver, report, seen) = house.open_with(LogOptions::DEFAULT);
    assert_eq!((seen.len(), report.damaged.len()), (3, 0));
}

fn flip(path: &Path, at: usize) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at as u64).unwrap();
}

/// A log with its disk, stepped by hand.
struct ByHand {
    env: Arc<dyn Env>,
    queue: Box<dyn DiskQueue>,
    log: Log,
}

impl ByHand {
    fn open(house: &House, options: LogOptions) -> Self {
        let env = house.env();
        let (log, _) = recover(Arc::clone(&env), options, &mut |_, _| {}).unwrap();
        Self { queue: env.queue(Arc::new(|| {})).unwrap(), env, log }
    }

    /// Tells what the log has asked for.
    fn step(&mut self) -> Vec<&'static str> {
        let (mut completions, mut ops) = (Vec::new(), Vec::new());
        self.queue.poll(&mut completions);
        self.log.step(self.env.now(), &mut completions, &mut ops);
        let asked = ops.iter().map(DiskOp::name).collect();
        ops.into_iter().for_each(|op| self.queue.submit(op));
        asked
    }

    fn step_until(&mut self, done: impl Fn(&Log) -> bool) -> Vec<&'static str> {
        let (began, mut asked) = (self.env.now().mono_us, Vec::new());
        while !done(&self.log) {
            asked.extend(self.step());
            assert!(self.env.now().mono_us - began < 60_000_000, "it takes for ever");
            std::thread::yield_now();
        }
        asked
    }

    /// The segment that a record came to, and what was asked for until it was durable.
    fn append(&mut self) -> (u64, Vec<&'static str>) {
        loop {
            if let Ok(appended) = self.log.append(self.env.now(), record(&[&[7; 1000]], 0)) {
                let asked = self.step_until(|log| log.durable() >= appended.lsn);
                return (appended.location.segment.get().into(), asked);
            }
            self.step();
        }
    }
}

impl House {
    /// Names and inodes of all there is in the folder of the log besides its metadata.
    fn files(&self) -> Vec<(String, u64)> {
        use std::os::unix::fs::DirEntryExt as _;
        let entries = std::fs::read_dir(self.log_dir()).unwrap().map(Result::unwrap);
        let mut files: Vec<_> =
            entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.ino())).collect();
        files.retain(|(name, _)| name != "meta");
        files.sort();
        files
    }

    fn has_segments(&self, many: usize) -> bool {
        self.segments().len() >= many && self.files().len() == many
    }
}

/// Why: a rush has the segment that it opens and the next one, and a start does not write again what is ready.
#[test]
fn two_segments_stand_ready_and_the_next_start_takes_both() {
    let house = House::new();
    let mut log = ByHand::open(&house, SMALL);
    log.step_until(|_| house.has_segments(2));
    let ready = house.files();
    drop(log);
    let mut log = ByHand::open(&house, SMALL);
    assert_eq!(house.files(), ready);
    assert_eq!(log.append(), (1, vec!["commit"]), "one stands ready besides the open one");
    while log.append().0 == 1 {}
    log.step_until(|_| house.has_segments(3));
    assert_eq!(house.files()[..2], ready);
}

/// Why: every short process would leave one, and a start has to clear it away.
#[test]
fn a_log_that_ends_leaves_no_segment_half_made() {
    let house = House::new();
    for _ in 0..3 {
        let mut log = ByHand::open(&house, LogOptions::DEFAULT);
        log.step();
        drop(log);
        let names: Vec<_> = house.files().into_iter().map(|(name, _)| name).collect();
        assert!(names.iter().all(|name| name.ends_with(".seg")), "{names:?}");
    }
}
