//! The registers of the engine beside a fold of all that the log holds, which knows no checkpoint and no restart.

use std::collections::BTreeMap;
use std::time::Duration;

use ofd_engine::codec::DriveNumber;
use ofd_engine::host::Capability;
use ofd_engine::registers::{Event, Past, Registers, SHIFTS_KEPT};
use ofd_engine::storage::envelope::Envelope;
use ofd_engine::storage::{Error, Lsn, Position, RecordKind};
use ofd_engine::testing::Turned;

use super::{SECOND, World};
use crate::oracle::Broken;

/// Plain documents by position.
#[derive(Default)]
struct Documents(BTreeMap<u64, Vec<u8>>);

impl Past for Documents {
    fn plain(&self, position: Position, _: DriveNumber, _: u32) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.get(&position.as_u64()).cloned())
    }
}

impl World<'_> {
    /// The fold of the registers gets on.
    pub(super) fn fold(&mut self) -> Result<bool, Broken> {
        let worked = self.machine.as_mut().is_some_and(|it| it.registers_turn() == Turned::Worked);
        self.see_synced()?;
        Ok(worked)
    }

    /// Lets the fold catch up, and compares what it has come to.
    pub(super) fn compare_registers(&mut self) -> Result<(), Broken> {
        let durable = self.machine.as_ref().unwrap().engine().durable();
        let begun = self.now();
        let found = loop {
            let found = self.machine.as_ref().unwrap().registers();
            if let Some(found) = found.filter(|it| it.position() >= durable) {
                break found;
            }
            if self.env.is_off() {
                return Ok(());
            }
            if !self.fold()? {
                // It waits after an error of the disk.
                self.env.advance(SECOND / 2, SECOND as i64 / 2);
            }
            if self.now() > begun + 600 * SECOND {
                return Err("liveness: the fold of the registers does not catch up".into());
            }
        };
        let machine = self.machine.as_ref().unwrap();
        let mut records = machine.reader().records_from(Position::START, Lsn::new(u64::MAX));
        records.extend(durable.lsn());
        let (mut wanted, mut past) = (Registers::new(None, SHIFTS_KEPT), Documents::default());
        let mut events = Vec::new();
        while let Some((record, _)) = records.next().map_err(|error| format!("I1: {error}"))? {
            if record.kind() == RecordKind::Document {
                let plain = Envelope::decode(record.payload()).unwrap().plain.to_vec();
                past.0.insert(record.lsn().get(), plain);
            }
            wanted.fold(&record, &past, &mut events).unwrap();
        }
        if found != wanted {
            let differs = found.drives().zip(wanted.drives()).find(|(one, other)| one != other);
            let differs = differs.map(|(one, other)| format!("\n{one:?}\nwanted\n{other:?}"));
            return Err(format!(
                "the registers differ from a fold of the log: {:?} at {}, wanted {:?} at {}{}",
                found.count(),
                found.position(),
                wanted.count(),
                wanted.position(),
                differs.unwrap_or_default()
            ));
        }
        self.hearer.check(&events)?;
        self.compare_events(durable, &events)
    }

    /// What is told of the events, as far as the disk has taken them.
    fn compare_events(&mut self, durable: Position, wanted: &[Event]) -> Result<(), Broken> {
        let begun = self.now();
        loop {
            let machine = self.machine.as_ref().unwrap();
            let mut feed = machine.engine().events(&Capability::operator(), Position::START);
            let mut told = Vec::new();
            loop {
                let before = feed.position();
                let batch =
                    feed.next_batch(50, Duration::ZERO).map_err(|error| format!("events: {error}"))?;
                if batch.is_empty() && feed.position() == before {
                    break;
                }
                told.extend(batch);
            }
            let reached = wanted.iter().take_while(|it| it.position <= feed.position()).count();
            if told != wanted[..reached] {
                let differs = told.iter().zip(wanted).find(|(one, other)| one != other);
                return Err(format!("{} events, wanted {reached}: {differs:?}", told.len()));
            }
            if feed.position() >= durable || !self.faults_off {
                return Ok(());
            }
            self.fold()?;
            self.env.advance(SECOND / 2, SECOND as i64 / 2);
            if self.now() > begun + 600 * SECOND {
                return Err("liveness: the events do not catch up".into());
            }
        }
    }
}
