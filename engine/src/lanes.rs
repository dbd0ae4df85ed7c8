//! The lanes of one worker with what belongs to them: the frames in quarantine. Built when the engine opens
//! (`replay.rs`), then owned by the worker's thread.

use std::collections::VecDeque;

use ahash::RandomState;
use hashbrown::HashMap;
use ofd_codec::{DriveNumber, Form};
use ofd_storage::envelope::{Envelope, Realm};
use ofd_storage::{RecordKind, RecordRef};

use crate::checkpoint::Kept;
use crate::examine::Digester;
use crate::lane::{Answered, Lane, Past};
use crate::sides::{fact_of, quarantine_key};

/// Quarantined frames that are remembered, so that a register repeating one every half second fills no disk.
const QUARANTINED_MAX: usize = 65_536;

/// The answer code of a record that is kept and never answered.
pub(crate) const NEVER_ANSWERED: u8 = 255;

/// The code of 1022 that a record's byte stands for.
pub(crate) fn stored_code(byte: u8) -> Option<u8> {
    (byte != NEVER_ANSWERED).then_some(byte)
}

/// The identity of a quarantined frame: who sent it, what was wrong with it, and its container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct QuarantineKey {
    pub(crate) drive: u64,
    pub(crate) forged: bool,
    pub(crate) digest: u128,
}

/// What is remembered of a quarantined frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quarantined {
    /// On its way to the log.
    OnItsWay,
    /// Stored.
    Kept(Answered),
}

/// Counts over lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LaneCount {
    pub(crate) lanes: u64,
    pub(crate) documents: u64,
    pub(crate) quarantined: u64,
}

/// The lanes that nothing has come for since the start, by drive, as the index tells them: 32 bytes each. A lane
/// wakes at its first document.
#[derive(Default)]
pub(crate) struct Idle {
    /// In ascending order of drives.
    lanes: Vec<Kept>,
    /// Documents of those that have not woken.
    documents: u64,
}

impl Idle {
    /// An empty one.
    pub(crate) fn with_room(lanes: usize) -> Self {
        Self { lanes: Vec::with_capacity(lanes), documents: 0 }
    }

    /// The next one.
    pub(crate) fn push(&mut self, kept: Kept) {
        self.documents = self.documents.saturating_add(kept.past.stored);
        self.lanes.push(kept);
    }

    /// Asked for once a drive: afterwards its lane is awake.
    fn wake(&mut self, drive: u64) -> Option<Past> {
        let at = self.lanes.binary_search_by_key(&drive, |kept| kept.drive).ok()?;
        let past = self.lanes.get(at)?.past;
        self.documents = self.documents.saturating_sub(past.stored);
        Some(past)
    }
}

/// The place of a lane, as [`Lanes::place`] has told it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaneAt(u32);

/// Lanes by drive.
pub(crate) struct Lanes {
    idle: Idle,
    /// Lanes of drives that are not among the idle ones.
    fresh: u64,
    by_drive: HashMap<u64, u32, RandomState>,
    lanes: Vec<Lane>,
    quarantined: HashMap<QuarantineKey, Quarantined, RandomState>,
    quarantine_order: VecDeque<QuarantineKey>,
    pub(crate) digester: Digester,
}

impl Lanes {
    pub(crate) fn new(mut random: impl FnMut() -> u64, digester: Digester) -> Self {
        let mut state = || RandomState::with_seeds(random(), random(), random(), random());
        Self {
            idle: Idle::default(),
            fresh: 0,
            by_drive: HashMap::with_hasher(state()),
            lanes: Vec::new(),
            quarantined: HashMap::with_hasher(state()),
            quarantine_order: VecDeque::new(),
            digester,
        }
    }

    /// The same with the lanes of an index.
    pub(crate) fn with(self, idle: Idle) -> Self {
        Self { idle, ..self }
    }

    /// The lane of a drive, made when there was none.
    pub(crate) fn lane(&mut self, drive: DriveNumber) -> &mut Lane {
        let at = self.place(drive.to_bcd_u64());
        self.at(at)
    }

    /// Where the lane of a drive is, made when there was none: looked for once a document, since it stays there.
    pub(crate) fn place(&mut self, drive: u64) -> LaneAt {
        let next = u32::try_from(self.lanes.len()).unwrap_or(u32::MAX);
        let at = *self.by_drive.entry(drive).or_insert(next);
        if at == next {
            let past = self.idle.wake(drive);
            self.fresh = self.fresh.saturating_add(u64::from(past.is_none()));
            self.lanes.push(past.map(Lane::restored).unwrap_or_default());
        }
        LaneAt(at)
    }

    /// The lane that is there.
    pub(crate) fn at(&mut self, LaneAt(at): LaneAt) -> &mut Lane {
        self.lanes.get_mut(usize::try_from(at).unwrap_or(usize::MAX)).unwrap_or_else(|| lane_lost(at))
    }

    /// Takes in a record of the log when the engine opens. Drive and number, if it is a document.
    pub(crate) fn replay(&mut self, record: &RecordRef<'_>) -> Option<(DriveNumber, u32)> {
        let lsn = record.lsn();
        let envelope = match Envelope::of(record) {
            Ok(envelope) => envelope,
            Err(error) => {
                tracing::error!(lsn = lsn.get(), %error, "alarm: a stored document cannot be read");
                return None;
            }
        };
        let code = stored_code(record.answer_code());
        let answered = Answered { lsn, code, operator_time: envelope.operator_time };
        let Ok(drive) = DriveNumber::from_wire(&envelope.drive) else {
            tracing::error!(lsn = lsn.get(), "a stored document names no drive");
            return None;
        };
        if record.kind() == RecordKind::Quarantine {
            if let Some(key) = quarantine_key(&envelope) {
                self.quarantine(key, Quarantined::Kept(answered));
            }
            return None;
        }
        let digest = self.digester.digest(envelope.plain);
        self.lane(drive).replay(&fact_of(record, &envelope), digest, answered);
        Some((drive, envelope.number))
    }

    /// What is remembered of a quarantined frame.
    pub(crate) fn quarantined(&self, key: QuarantineKey) -> Option<Quarantined> {
        self.quarantined.get(&key).copied()
    }

    /// Remembers a quarantined frame.
    pub(crate) fn quarantine(&mut self, key: QuarantineKey, state: Quarantined) {
        if self.quarantined.insert(key, state).is_none() {
            self.quarantine_order.push_back(key);
            if self.quarantine_order.len() > QUARANTINED_MAX
                && let Some(oldest) = self.quarantine_order.pop_front()
            {
                self.quarantined.remove(&oldest);
            }
        }
    }

    /// A quarantined frame was not taken by the log after all.
    pub(crate) fn forget_quarantined(&mut self, key: QuarantineKey) {
        // Its place in the order stays and frees nothing when its turn comes.
        self.quarantined.remove(&key);
    }

    /// Counts over all lanes.
    pub(crate) fn count(&self) -> LaneCount {
        LaneCount {
            lanes: self.fresh.saturating_add(self.idle.lanes.len() as u64),
            documents: self
                .lanes
                .iter()
                .fold(self.idle.documents, |sum, lane| sum.saturating_add(lane.past().stored)),
            quarantined: self.quarantined.len() as u64,
        }
    }
}

/// May this document begin a new generation of its drive? Test drives are reset by their makers and start again
/// at number 1 with a registration.
pub(crate) fn begins_generation(realm: Realm, number: u32, form: Form) -> bool {
    realm == Realm::Test && number == 1 && matches!(form, Form::REGISTRATION | Form::REREGISTRATION)
}

/// The map hands out indices of the slab only.
#[expect(clippy::panic, reason = "we are wrong, not the input")]
fn lane_lost(at: u32) -> ! {
    panic!("lane {at} is in the map and not in the slab")
}
