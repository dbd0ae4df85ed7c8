//! The index over sealed segments: against a naive map, against another log, across crashes and damage.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod machine_support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ofd_storage::testing::{SimEnv, SimKnobs};
use ofd_storage::{
    Completion, DiskOp, DiskQueue, Env, ErrorKind, Fold, Full, INDEX_DIR, Location, Log, Lsn, NewRecord,
    RecordKind, RecordRef, RecoveryReport, SideEntry, SideFact, SideIndex, SideSchema, SideView, recover,
    recover_with_index,
};

use machine_support::OPTIONS;

/// Payload: drive, number, then filling. A number of 0 is a note of its drive.
const SCHEMA: SideSchema = SideSchema { name: "test v1", extract };

fn extract(record: &RecordRef<'_>) -> Option<SideFact> {
    let drive = u64::from_le_bytes(*record.payload().first_chunk()?);
    let number = u32::from_le_bytes(*record.payload().get(8..)?.first_chunk()?);
    Some(if number == 0 {
        let value = record.lsn().get().to_le_bytes().to_vec();
        SideFact::Note { rank: 0, key: drive.to_le_bytes().to_vec(), value, stays: drive == 1 }
    } else {
        SideFact::Document { drive, number, sign: number ^ 7, time: number + 1, flags: (number % 16) as u16 }
    })
}

/// What a fold was handed.
#[derive(Default)]
struct Seen {
    through: Lsn,
    documents: u64,
    records: Vec<(Lsn, Location)>,
}

impl Fold for Seen {
    fn known(&mut self, index: &SideView<'_>) -> Result<(), ofd_storage::Error> {
        self.through = index.through();
        index.fold_drives(Lsn::NONE, &mut |_, entries| {
            assert!(entries.windows(2).all(|two| two[0].lsn < two[1].lsn && two[0].drive == two[1].drive));
            self.documents += entries.len() as u64;
            Ok(())
        })
    }

    fn record(&mut self, record: RecordRef<'_>, location: Location) {
        self.records.push((record.lsn(), location));
    }
}

struct Machine {
    env: SimEnv,
    log: Log,
    queue: Box<dyn DiskQueue>,
    index: Arc<SideIndex>,
    ops: Vec<DiskOp>,
    completions: Vec<Completion>,
    /// Everything that is durable, by key; the naive index.
    documents: BTreeMap<(u64, u32), Vec<Lsn>>,
    rng: u64,
}

fn open(env: &SimEnv) -> Result<(Log, RecoveryReport, Arc<SideIndex>, Seen), ofd_storage::Error> {
    let mut seen = Seen::default();
    let (log, report, index) = recover_with_index(Arc::new(env.clone()), OPTIONS, SCHEMA, &mut seen)?;
    Ok((log, report, index, seen))
}

impl Machine {
    fn new(seed: u64) -> Self {
        let env = SimEnv::new(seed, SimKnobs::default());
        let (log, _, index, _) = open(&env).unwrap();
        let queue = env.queue(Arc::new(|| {})).unwrap();
        let (ops, completions, documents) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { env, log, queue, index, ops, completions, documents, rng: seed }
    }

    fn next(&mut self) -> u64 {
        self.rng = self.rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.rng >> 33
    }

    fn step(&mut self) {
        self.queue.poll(&mut self.completions);
        self.log.step(self.env.now(), &mut self.completions, &mut self.ops);
        for op in self.ops.drain(..) {
            self.queue.submit(op);
        }
    }

    fn append(&mut self, drive: u64, number: u32) {
        let mut payload = [drive.to_le_bytes().as_slice(), &number.to_le_bytes()].concat();
        payload.resize(700 + (drive % 300) as usize, 0xA5);
        let partition = (drive % 256) as u16;
        let record = NewRecord {
            kind: RecordKind::Document,
            flags: 0,
            partition,
            key_id: 0,
            answer_code: 0,
            parts: &[&payload],
        };
        loop {
            match self.log.append(self.env.now(), record) {
                Ok(appended) => {
                    if number > 0 {
                        self.documents.entry((drive, number)).or_default().push(appended.lsn);
                    }
                    return;
                }
                Err(Full::Wait) => self.step(),
                Err(full) => panic!("{full}"),
            }
        }
    }

    /// Some documents, all durable and sealed.
    fn fill(&mut self, count: usize) {
        for _ in 0..count {
            let (drive, number) = (self.next() % 40, (self.next() % 60) as u32);
            self.append(drive, number);
        }
        let last = self.log.next_lsn().prev();
        while self.log.durable() < last {
            self.step();
        }
        self.log.seal();
        for _ in 0..100 {
            self.step();
        }
        assert!(!self.log.has_unsealed());
    }

    fn index_all(&self) {
        while self.index.turn(&self.log.reader()).unwrap() {}
        assert_eq!(self.index.through(), self.log.durable());
    }

    fn agrees(&self) {
        agrees(&self.index, &self.log, &self.documents);
    }

    /// The same machine after its power went.
    fn reopen(self) -> (Self, Seen, RecoveryReport) {
        let Self { env, log, queue, documents, rng, .. } = self;
        drop((queue, log));
        let env = env.power_cut();
        let (log, report, index, seen) = open(&env).unwrap();
        let queue = env.queue(Arc::new(|| {})).unwrap();
        let (ops, completions) = (Vec::new(), Vec::new());
        (Self { env, log, queue, index, ops, completions, documents, rng }, seen, report)
    }
}

fn agrees(index: &SideIndex, log: &Log, documents: &BTreeMap<(u64, u32), Vec<Lsn>>) {
    let (view, reader) = (index.view(), log.reader());
    let mut found: Vec<SideEntry> = Vec::new();
    for drive in 0..41 {
        for number in 0..61 {
            found.clear();
            view.get(drive, &(number..=number), &mut found).unwrap();
            let lsns: Vec<Lsn> = found.iter().map(|entry| entry.lsn).collect();
            let known = documents.get(&(drive, number)).cloned().unwrap_or_default();
            let known: Vec<Lsn> = known.into_iter().filter(|lsn| *lsn <= view.through()).collect();
            assert_eq!(lsns, known, "drive {drive} number {number}");
            for entry in &found {
                assert_eq!((entry.sign, entry.time), (number ^ 7, number + 1));
                assert_eq!(reader.read(entry.location).unwrap().record().lsn(), entry.lsn);
            }
        }
        found.clear();
        view.get(drive, &(10..=40), &mut found).unwrap();
        let known: usize = documents.range((drive, 10)..=(drive, 40)).map(|(_, lsns)| lsns.len()).sum();
        assert_eq!(found.len(), known, "drive {drive}");
    }
}

// More segments than one merge of merges, reopened in between.
#[test]
fn the_index_agrees_with_the_log() {
    let mut machine = Machine::new(1);
    for round in 0..12 {
        machine.fill(470);
        machine.index_all();
        machine.agrees();
        if round % 5 == 4 {
            machine = machine.reopen().0;
            machine.agrees();
        }
    }
    let view = machine.index.view();
    assert!(view.files() < 20 && machine.log.reader().sealed_segments().len() > 80, "{}", view.files());
    let notes = view.notes(Lsn::NONE);
    assert!(!notes.is_empty() && notes.windows(2).all(|two| two[0].lsn < two[1].lsn));
}

// A start reads what lies behind the index, and comes to the same numbers as one that reads everything.
#[test]
fn a_start_reads_what_lies_behind_the_index() {
    let mut machine = Machine::new(2);
    machine.fill(500);
    machine.index_all();
    machine.fill(100);
    let (indexed, durable) = (machine.index.through(), machine.log.durable());
    let (mut machine, seen, report) = machine.reopen();
    assert_eq!(seen.through, indexed);
    assert_eq!(seen.records.iter().map(|(lsn, _)| lsn.get()).collect::<Vec<_>>(), {
        (indexed.get() + 1..=durable.get()).collect::<Vec<_>>()
    });
    assert_eq!((report.records, report.first, report.durable), (600, Lsn::new(1), durable));
    machine.fill(50);
    let Machine { env, log, queue, .. } = machine;
    drop((queue, log));
    // The naive start: every record is read, and sequences are dense in it.
    let (mut sequences, mut last_time) = ([0; 256], i64::MIN);
    let env = env.power_cut();
    recover(Arc::new(env), OPTIONS, &mut |record, _| {
        let sequence = &mut sequences[usize::from(record.partition())];
        assert_eq!(record.partition_seq(), *sequence + 1, "record {}", record.lsn());
        *sequence += 1;
        assert!(record.received_at_us() >= last_time);
        last_time = record.received_at_us();
    })
    .unwrap();
}

fn copy_index(from: &SimEnv, to: &SimEnv) {
    for entry in from.list(Path::new(INDEX_DIR)).unwrap() {
        let path = Path::new(INDEX_DIR).join(&entry.name);
        let bytes = ofd_storage::env::read_file(from, &path, 1 << 30).unwrap();
        ofd_storage::env::replace_file(to, &path, &bytes).unwrap();
    }
}

#[test]
fn index_files_that_do_not_match_are_made_again() {
    let (mut one, mut other) = (Machine::new(3), Machine::new(4));
    for machine in [&mut one, &mut other] {
        machine.fill(300);
        machine.index_all();
    }
    copy_index(&one.env, &other.env);
    let (other, seen, _) = other.reopen();
    assert_eq!((seen.through, seen.records.len()), (Lsn::NONE, 300), "the index of another log is none");
    other.index_all();
    other.agrees();
}

// An index is worth nothing when a crash in its making can spoil it or the log.
#[test]
fn a_crash_at_any_change_of_an_index_costs_nothing() {
    for calls in 1..2_000 {
        let mut machine = Machine::new(5);
        machine.fill(420);
        machine.env.cut_power_after(Some(calls));
        let reader = machine.log.reader();
        let ended = loop {
            match machine.index.turn(&reader) {
                Ok(true) => {}
                Ok(false) => break true,
                Err(_) => break false,
            }
        };
        machine.env.cut_power_after(None);
        if ended {
            assert!(calls > 30, "{calls} changes");
            return;
        }
        let (machine, seen, report) = machine.reopen();
        assert_eq!((report.records, report.damaged.len()), (420, 0), "crash at call {calls}");
        assert_eq!(seen.through.get() + seen.records.len() as u64, 420);
        machine.index_all();
        machine.agrees();
    }
    panic!("the index is never done");
}

#[test]
fn a_damaged_page_is_an_error_until_the_file_is_made_again() {
    let mut machine = Machine::new(6);
    machine.fill(470 * 2);
    machine.index_all();
    for entry in machine.env.list(Path::new(INDEX_DIR)).unwrap() {
        machine.env.flip_bit(&Path::new(INDEX_DIR).join(&entry.name), (4096 + 700) * 8).unwrap();
    }
    let mut found = Vec::new();
    let refused = (0..40).filter(|drive| {
        let got = machine.index.view().get(*drive, &(0..=u32::MAX), &mut found);
        got.is_err_and(|error| error.kind() == ErrorKind::Corrupt)
    });
    assert!(refused.count() > 0);
    machine.index_all();
    machine.agrees();
}

#[test]
fn an_index_without_its_log_is_refused() {
    let mut machine = Machine::new(7);
    machine.fill(200);
    machine.index_all();
    let fresh = SimEnv::new(8, SimKnobs::default());
    fresh.create_dir_all(Path::new(INDEX_DIR)).unwrap();
    copy_index(&machine.env, &fresh);
    assert_eq!(open(&fresh).map(|_| ()).unwrap_err().kind(), ErrorKind::Corrupt);
}
