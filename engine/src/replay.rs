//! What a start makes of the log: lanes from the newest checkpoint, the index behind it and the records behind that.

use std::collections::BTreeMap;
use std::sync::Arc;

use ofd_codec::DriveNumber;
use ofd_storage::{
    Checkpoint, Env, Error, ErrorKind, Fold, Index, Location, Lsn, Note, Position, RecordKind, RecordRef,
    SideView,
};

use crate::checkpoint;
use crate::cursor::decode_cursor;
use crate::lanes::{Idle, Lanes, Quarantined};
use crate::partition::partition_of;
use crate::registers::LaneSeed;
use crate::sides::{Noted, noted};

/// The fold of a start.
pub(crate) struct Replay {
    env: Arc<dyn Env>,
    /// By worker.
    pub(crate) lanes: Vec<Lanes>,
    /// By worker, the documents that the index does not hold.
    pub(crate) recent: Vec<Index>,
    make: Box<dyn Fn() -> Lanes>,
    pub(crate) cursors: BTreeMap<String, Position>,
    /// Commands by their place: what they say together depends on their order.
    commands: BTreeMap<Lsn, Vec<u8>>,
    /// Where the checkpoint ends that this began with, and how many lanes it holds.
    pub(crate) kept: (Lsn, u64),
}

impl Replay {
    /// `make` makes the empty lanes of a worker.
    pub(crate) fn new(env: Arc<dyn Env>, workers: u16, make: impl Fn() -> Lanes + 'static) -> Self {
        let lanes = (0..workers).map(|_| make()).collect();
        let recent = (0..workers).map(|_| Index::new(|| env.random())).collect();
        Self {
            env,
            lanes,
            recent,
            make: Box::new(make),
            cursors: BTreeMap::new(),
            commands: BTreeMap::new(),
            kept: (Lsn::NONE, 0),
        }
    }

    /// The legal holds that stand.
    #[cfg(feature = "parquet")]
    pub(crate) fn holds(&self) -> ofd_storage::retain::Holds {
        let mut holds = ofd_storage::retain::Holds::default();
        self.commands.iter().for_each(|(lsn, payload)| holds.fold(lsn.get(), payload));
        holds
    }

    /// The subscriptions that stand, and the last command about them.
    pub(crate) fn subscriptions(&self) -> (crate::notify::Subscriptions, Lsn) {
        crate::notify::folded(self.commands.iter().map(|(lsn, payload)| (*lsn, payload.as_slice())))
    }

    fn worker_of(&self, partition: u16) -> usize {
        let workers = u16::try_from(self.lanes.len()).unwrap_or(u16::MAX);
        usize::from(partition.checked_rem(workers).unwrap_or_default())
    }

    fn lanes_for(&mut self, drive: u64) -> Option<(DriveNumber, &mut Lanes)> {
        let drive = DriveNumber::from_bcd(drive.to_be_bytes()).ok()?;
        let worker = self.worker_of(partition_of(drive.as_bytes()));
        Some((drive, self.lanes.get_mut(worker)?))
    }

    /// The lanes of the index, sorted, for each worker.
    fn idle(&self, before: Option<&Checkpoint>, index: &SideView<'_>) -> Result<Vec<Idle>, Error> {
        let lanes = before.map_or(0, |checkpoint| usize::try_from(checkpoint.len()).unwrap_or(0));
        let each = lanes.checked_div(self.lanes.len()).unwrap_or(0);
        let mut idle: Vec<Idle> = self.lanes.iter().map(|_| Idle::with_room(each + each / 16)).collect();
        checkpoint::lanes(before, index, &mut |kept| {
            if let Ok(drive) = DriveNumber::from_bcd(kept.drive.to_be_bytes())
                && let Some(idle) = idle.get_mut(self.worker_of(partition_of(drive.as_bytes())))
            {
                idle.push(kept);
            }
            Ok(())
        })?;
        Ok(idle)
    }

    fn take(&mut self, note: &Note) {
        match noted(note) {
            Some(Noted::Cursor(payload)) => self.cursor(&payload),
            Some(Noted::Quarantine(key, answered)) => {
                if let Some((_, lanes)) = self.lanes_for(key.drive) {
                    lanes.quarantine(key, Quarantined::Kept(answered));
                }
            }
            Some(Noted::Command(payload)) => drop(self.commands.insert(Lsn::new(note.lsn), payload)),
            None => {}
        }
    }

    fn cursor(&mut self, payload: &[u8]) {
        if let Some((name, position)) = decode_cursor(payload) {
            let saved: &mut Position = self.cursors.entry(name).or_default();
            *saved = position.max(*saved);
        }
    }
}

impl Fold for Replay {
    fn known(&mut self, index: &SideView<'_>) -> Result<(), Error> {
        let checkpoint = checkpoint::newest(&*self.env, index)?;
        let (checkpoint, idle) = match self.idle(checkpoint.as_ref(), index) {
            Ok(idle) => (checkpoint, idle),
            Err(error) if checkpoint.is_some() && error.kind() == ErrorKind::Corrupt => {
                tracing::warn!(%error, "a checkpoint is passed over");
                (None, self.idle(None, index)?)
            }
            Err(error) => return Err(error),
        };
        self.lanes = idle.into_iter().map(|idle| (self.make)().with(idle)).collect();
        let after = checkpoint.as_ref().map_or(Lsn::NONE, Checkpoint::through);
        self.kept = checkpoint.as_ref().map_or((Lsn::NONE, 0), |it| (it.through(), it.len()));
        for note in checkpoint.iter().flat_map(|it| it.notes()).chain(&index.notes(after)) {
            self.take(note);
        }
        Ok(())
    }

    fn record(&mut self, record: RecordRef<'_>, location: Location) {
        if let Err(error) = record.plain_payload() {
            // What a fold would make of it nobody knows; the record itself is kept and served.
            tracing::error!(%error, kind = ?record.kind(), "alarm: a record of the log cannot be read");
            return;
        }
        match record.kind() {
            RecordKind::Document | RecordKind::Quarantine => {
                let worker = self.worker_of(record.partition());
                let document = self.lanes.get_mut(worker).and_then(|lanes| lanes.replay(&record));
                if let (Some((drive, number)), Some(recent)) = (document, self.recent.get_mut(worker)) {
                    recent.insert(drive.to_bcd_u64(), number, record.lsn(), location);
                }
            }
            RecordKind::Cursor => self.cursor(record.payload()),
            RecordKind::Command if LaneSeed::is_payload(record.payload()) => {}
            RecordKind::Command => drop(self.commands.insert(record.lsn(), record.payload().to_vec())),
            _ => {}
        }
    }
}
