//! The log against the simplest thing that could be right: a vector.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

use std::sync::Arc;

use ofd_storage::testing::{SimEnv, SimKnobs};
use ofd_storage::{
    Driver, Env, Location, LogOptions, LogReader, Lsn, NO_PARTITION, NewRecord, Position, RecordKind,
    RecordRef, recover,
};
use proptest::prelude::*;

/// What a caller can do.
#[derive(Clone, Debug)]
enum Act {
    Append { len: usize, partition: u16, kind: u8, code: u8 },
    Commit,
    Seal,
    Reopen,
    Kill,
    PowerCut,
    Feed { from: usize },
    Beside,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        12 => (0usize..3000, prop_oneof![3 => 0u16..6, 1 => Just(NO_PARTITION)], 1u8..=6, any::<u8>())
            .prop_map(|(len, partition, kind, code)| Act::Append { len, partition, kind, code }),
        4 => Just(Act::Commit),
        1 => Just(Act::Seal),
        1 => Just(Act::Reopen),
        1 => Just(Act::Kill),
        1 => Just(Act::PowerCut),
        2 => any::<prop::sample::Index>().prop_map(|at| Act::Feed { from: at.index(1000) }),
        1 => Just(Act::Beside),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct Model {
    kind: u8,
    partition: u16,
    partition_seq: u64,
    code: u8,
    received_at_us: i64,
    payload: Vec<u8>,
}

impl Model {
    fn of(record: &RecordRef<'_>) -> Self {
        Self {
            kind: record.kind().code(),
            partition: record.partition(),
            partition_seq: record.partition_seq(),
            code: record.answer_code(),
            received_at_us: record.received_at_us(),
            payload: record.payload().to_vec(),
        }
    }
}

struct House {
    env: SimEnv,
    driver: Option<Driver>,
    model: Vec<Model>,
    committed: usize,
    options: LogOptions,
}

impl House {
    fn open(&mut self) {
        let mut seen: Vec<(Model, Location)> = Vec::new();
        let env: Arc<dyn Env> = Arc::new(self.env.clone());
        let (log, report) = recover(Arc::clone(&env), self.options, &mut |record, location| {
            assert_eq!(record.lsn().get() as usize, seen.len() + 1);
            seen.push((Model::of(&record), location));
        })
        .unwrap();
        assert!(report.damaged.is_empty(), "{report:?}");
        assert!(seen.len() >= self.committed && seen.len() <= self.model.len());
        self.model.truncate(seen.len());
        self.committed = seen.len();
        let models: Vec<Model> = seen.iter().map(|(model, _)| model.clone()).collect();
        assert_eq!(models, self.model);
        let reader = log.reader();
        for (model, location) in &seen {
            assert_eq!(&Model::of(&reader.read(*location).unwrap().record()), model);
        }
        self.driver = Some(Driver::new(env, log).unwrap());
    }

    fn driver(&mut self) -> &mut Driver {
        self.driver.as_mut().unwrap()
    }

    fn check_feed(&self, reader: &LogReader, from: usize) {
        let from = from.min(self.committed);
        let upto = Lsn::new(self.committed as u64);
        let mut records = reader.records_from(Position::new(Lsn::new(from as u64)), upto);
        let mut at = from;
        while let Some((record, _)) = records.next().unwrap() {
            assert_eq!(Model::of(&record), self.model[at]);
            at += 1;
            assert_eq!(record.lsn().get() as usize, at);
        }
        assert_eq!(at, self.committed);
    }

    fn act(&mut self, act: &Act) {
        match act {
            Act::Append { len, partition, kind, code } => {
                let payload: Vec<u8> = (0..*len).map(|i| (i * 7 + len) as u8).collect();
                let (one, two) = payload.split_at(len / 3);
                let record = NewRecord {
                    kind: RecordKind::from_code(*kind),
                    flags: 1,
                    partition: *partition,
                    key_id: 9,
                    answer_code: *code,
                    parts: &[one, two, &[]],
                };
                let appended = self.driver().append(record).unwrap();
                assert_eq!(appended.lsn.get() as usize, self.model.len() + 1);
                let earlier = self.model.iter().filter(|model| model.partition == *partition).count() as u64;
                let expected = if *partition == NO_PARTITION { 0 } else { earlier + 1 };
                assert_eq!(appended.partition_seq, expected);
                assert!(self.model.last().is_none_or(|last| last.received_at_us <= appended.received_at_us));
                self.model.push(Model {
                    kind: *kind,
                    partition: *partition,
                    partition_seq: appended.partition_seq,
                    code: *code,
                    received_at_us: appended.received_at_us,
                    payload,
                });
            }
            Act::Commit => {
                let durable = self.driver().commit().unwrap();
                self.committed = self.model.len();
                assert_eq!(durable.get() as usize, self.committed);
            }
            Act::Seal => {
                self.driver().seal_all().unwrap();
                self.committed = self.model.len();
                let reader = self.driver().log().reader();
                let mut at = 0;
                for sealed in reader.sealed_segments() {
                    for item in &reader.segment_records(sealed.id).unwrap() {
                        assert_eq!(Model::of(&item.unwrap().0), self.model[at]);
                        at += 1;
                    }
                    assert_eq!(sealed.last.get() as usize, at);
                    reader.check_seal(sealed.id).unwrap();
                }
                assert_eq!(at, self.committed);
            }
            Act::Reopen => {
                self.driver.take().unwrap().shutdown().unwrap();
                self.committed = self.model.len();
                self.open();
            }
            Act::Kill | Act::PowerCut => {
                let env = if matches!(act, Act::Kill) { self.env.kill() } else { self.env.power_cut() };
                self.driver = None;
                self.env = env;
                self.open();
            }
            Act::Feed { from } => {
                let reader = self.driver().log().reader();
                // The loop of the driver may have made more durable than it was asked for.
                self.committed = self.committed.max(reader.durable().get() as usize);
                self.check_feed(&reader, *from);
            }
            Act::Beside => {
                self.driver().commit().unwrap();
                self.committed = self.model.len();
                let beside = LogReader::open_read_only(Arc::new(self.env.clone())).unwrap();
                assert_eq!(beside.durable().get() as usize, self.committed);
                self.check_feed(&beside, 0);
            }
        }
    }
}

fn check(seed: u64, acts: &[Act], block_len: u32) {
    let options = LogOptions {
        segment_len: 64 * 1024,
        batch_len_max: 8192,
        block_len,
        marker_after_us: 300,
        prepare_retry_us: 1_000,
        ..LogOptions::DEFAULT
    };
    let env = SimEnv::new(seed, SimKnobs { torn_sectors: true, ..SimKnobs::default() });
    let mut house = House { env, driver: None, model: Vec::new(), committed: 0, options };
    house.open();
    for act in acts {
        house.act(act);
    }
    house.act(&Act::Seal);
    house.act(&Act::Reopen);
    house.act(&Act::Feed { from: 0 });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_a_vector(
        seed in any::<u64>(),
        acts in prop::collection::vec(act(), 1..120),
        large_blocks in any::<bool>(),
    ) {
        check(seed, &acts, if large_blocks { 4096 } else { 512 });
    }
}

#[test]
fn an_empty_log_is_an_empty_vector() {
    check(1, &[Act::Beside, Act::PowerCut, Act::Reopen, Act::Kill], 512);
}
