//! Documents that a fold has seen before, read again: from the log, or from the archive once they have left it.
//!
//! Errors: what is damaged or gone reads as nothing, with a warning; what the system could not read now is an error, and the
//! fold asks again.

use std::sync::Arc;

use ofd_codec::DriveNumber;
use ofd_storage::envelope::Envelope;
#[cfg(feature = "parquet")]
use ofd_storage::manifest::Archive;
use ofd_storage::{Env, Error, ErrorKind, LogReader, OwnedRecord, Position, RecordRef, Records};

use crate::registers::Past;

/// Records that lie no farther apart than this are read in one walk: to look one up reads all of its batch that lies before it.
const NEAR: u64 = if cfg!(test) { 4 } else { 512 };

/// The archive, once it was asked for something.
#[cfg(feature = "parquet")]
type Opened = Option<Archive>;
#[cfg(not(feature = "parquet"))]
type Opened = Option<core::convert::Infallible>;

/// A document that was folded: its record, drive and number.
pub(crate) type PastDocument = (Position, DriveNumber, u32);

/// The log and the archive behind it.
pub(crate) struct LogPast {
    reader: LogReader,
    env: Arc<dyn Env>,
}

impl LogPast {
    pub(crate) fn new(reader: LogReader, env: Arc<dyn Env>) -> Self {
        Self { reader, env }
    }

    /// The time of its clock, microseconds UTC.
    pub(crate) fn now_us(&self) -> i64 {
        self.env.now().wall_us
    }

    /// Plain documents of many records in the order of their positions, each handed over as [`Past::plain`] would tell it.
    ///
    /// # Errors
    /// As [`Past::plain`].
    pub(crate) fn plains(
        &self,
        wanted: &[PastDocument],
        each: &mut dyn FnMut(Option<&[u8]>),
    ) -> Result<(), Error> {
        let near = |one: &PastDocument, next: &PastDocument| {
            next.0.lsn().get().saturating_sub(one.0.lsn().get()) <= NEAR
        };
        let mut opened = Opened::default();
        for run in wanted.chunk_by(near) {
            // The walk begins behind what has left the log.
            let (gone, held) = run.split_at(run.partition_point(|it| !self.reader.holds(it.0.lsn())));
            for one in gone {
                each(self.plain_of(&mut opened, one)?.as_deref());
            }
            let ends = held.first().zip(held.last()).filter(|(first, last)| first.0 < last.0);
            let mut walk = ends.map(|(first, last)| {
                self.reader.records_from(Position::new(first.0.lsn().prev()), last.0.lsn())
            });
            // Registers that work with one drive have one registration.
            for same in held.chunk_by(|one, next| one.0 == next.0) {
                let record = walk.as_mut().zip(same.first()).and_then(|(it, one)| found(it, one.0));
                if let Some(record) = record {
                    let plain = Envelope::of(&record).ok().map(|it| it.plain);
                    same.iter().for_each(|_| each(plain));
                    continue;
                }
                // Whatever is the matter, the record alone tells it.
                walk = None;
                for one in same {
                    each(self.plain_of(&mut opened, one)?.as_deref());
                }
            }
        }
        Ok(())
    }

    fn plain_of(
        &self,
        opened: &mut Opened,
        (position, drive, number): &PastDocument,
    ) -> Result<Option<Vec<u8>>, Error> {
        match self.record(opened, *position, *drive, *number) {
            Ok(record) => {
                let plain = |it: OwnedRecord| Some(Envelope::of(&it.record()).ok()?.plain.to_vec());
                Ok(record.and_then(plain))
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::warn!(%error, "a registration cannot be read any more");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn record(
        &self,
        opened: &mut Opened,
        position: Position,
        drive: DriveNumber,
        number: u32,
    ) -> Result<Option<OwnedRecord>, Error> {
        let lsn = position.lsn();
        if self.reader.holds(lsn) {
            let mut records = self.reader.records_from(Position::new(lsn.prev()), lsn);
            match records.next() {
                Ok(found) => return Ok(found.map(|(record, _)| record.to_owned_record())),
                // It has left while we looked.
                Err(_) if !self.reader.holds(lsn) => {}
                Err(error) => return Err(error),
            }
        }
        self.archived(opened, position, drive, number)
    }

    #[cfg(feature = "parquet")]
    fn archived(
        &self,
        opened: &mut Opened,
        position: Position,
        drive: DriveNumber,
        number: u32,
    ) -> Result<Option<OwnedRecord>, Error> {
        if let Some(archive) = opened
            && let Ok(Some(found)) = archive.document(position, drive.as_str(), number)
        {
            return Ok(Some(found));
        }
        // What it lacks may have come or moved since it was opened.
        opened.insert(Archive::open(&self.env)?).document(position, drive.as_str(), number)
    }

    #[cfg(not(feature = "parquet"))]
    #[expect(clippy::unused_self, reason = "the archive is read through it")]
    fn archived(
        &self,
        _: &mut Opened,
        position: Position,
        _: DriveNumber,
        _: u32,
    ) -> Result<Option<OwnedRecord>, Error> {
        let error = crate::stored::without_archive(position.lsn());
        Err(Error::new(ErrorKind::Corrupt, error.to_string()))
    }
}

/// The record at a position ahead in a walk; `None` where the walk does not come to it.
fn found(walk: &mut Records, position: Position) -> Option<RecordRef<'_>> {
    while walk.position() < Position::new(position.lsn().prev()) {
        walk.next().ok()??;
    }
    let (record, _) = walk.next().ok()??;
    (record.lsn() == position.lsn()).then_some(record)
}

impl Past for LogPast {
    fn plain(&self, position: Position, drive: DriveNumber, number: u32) -> Result<Option<Vec<u8>>, Error> {
        self.plain_of(&mut Opened::default(), &(position, drive, number))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use bytes::Bytes;
    use ofd_emit::{ProfileOptions, Register};

    use super::*;
    use crate::engine::Engine;

    // A walk that is a record off would sort registers by the names of others.
    #[test]
    fn many_documents_are_told_as_each_of_them_alone() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::builder(dir.path()).segment_len_bytes(1 << 20).open().unwrap();
        let mut register = Register::new(11, 1, &ProfileOptions::default());
        for _ in 0..40 {
            let mut message = Vec::new();
            register.next_message(&mut message).unwrap();
            engine.submit_batch(vec![Bytes::from(message)]).unwrap().wait();
        }
        let shared = engine.shared();
        let past = LogPast::new(shared.reader.clone(), Arc::clone(&shared.env));
        let mut all: Vec<PastDocument> = Vec::new();
        let mut records = shared.reader.records_from(Position::START, engine.durable().lsn());
        while let Some((record, _)) = records.next().unwrap() {
            all.push((Position::new(record.lsn()), register.drive(), 1));
        }
        assert!(all.len() >= 40);
        let every = |step: usize| all.iter().copied().step_by(step).collect::<Vec<_>>();
        let twice = |some: Vec<PastDocument>| some.into_iter().flat_map(|it| [it; 2]).collect::<Vec<_>>();
        // Side by side; as far apart as one walk goes, and farther; the same one again, in a walk and alone.
        let far = every(all.len() - 1);
        for wanted in
            [every(1), every(NEAR as usize), every(NEAR as usize + 1), twice(every(3)), twice(far), vec![]]
        {
            let mut told = Vec::new();
            past.plains(&wanted, &mut |it| told.push(it.map(<[u8]>::to_vec))).unwrap();
            let alone = wanted.iter().map(|(at, drive, number)| past.plain(*at, *drive, *number).unwrap());
            assert_eq!(told, alone.collect::<Vec<_>>());
            assert!(wanted.len() < 10 || told.iter().flatten().count() > 5, "it proves nothing");
        }
        engine.shutdown().unwrap();
    }
}
