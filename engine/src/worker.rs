//! A worker thread: owner of whole partitions and of the lanes in them. It judges what the ports bring and
//! hands to the writer what is to be stored. No lock, nothing shared but rings.
//!
//! Order: documents of one drive leave in the order they came. A frame that cannot be judged yet (its twin is
//! on the way to the log, the crypto module thinks) waits aside; one that waited longer than the deadline is
//! dropped and its connection closed, since the register keeps the document and comes back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use ofd_codec::DriveNumber;
use ofd_storage::envelope::{AdmissionVerdict, CryptoVerdict, Envelope, Realm};
use ofd_storage::{Error, ErrorKind, IndexEntry, Lsn, RecordKind};
use rtrb::{Consumer, Producer};

use crate::examine::{Examined, Trouble, examine};
use crate::handover::{
    BATCH_FRAMES_MAX, Batch, Landed, ON_THEIR_WAY_MAX, Plain, Settled, Slot, Store, Unanswered, Verdict,
};
use crate::host::{AdmissionRequest, Admitted, DirectorySnapshot, OpenOutcome};
use crate::lane::{Answered, CODE_ACCEPTED, CODE_FORGED, CODE_REFUSED, Judged, Lane, Place, StoredVariant};
use crate::lanes::{LaneCount, Lanes, Quarantined, stored_code};
use crate::opening::Openings;
use crate::partition::partition_of;
use crate::refusal::Refusal;
use crate::shared::Shared;

/// How long a worker sleeps at most while frames wait aside.
const ASIDE_SLEEP: Duration = Duration::from_millis(1);
/// How long it sleeps at most otherwise; every event rings.
const IDLE_SLEEP: Duration = Duration::from_millis(500);
/// Batches taken from one port before the others get their turn.
const TURN_BATCHES: usize = 16;

/// What others ask a worker.
pub(crate) enum Call {
    /// Where documents of a drive lie: those under one number, or all.
    Find { drive: DriveNumber, number: Option<u32>, reply: Sender<Vec<IndexEntry>> },
    /// Counts over the worker's lanes.
    Count { reply: Sender<LaneCount> },
    /// Ends the thread once all that was taken is handed over.
    Stop,
}

/// The rings of one worker.
pub(crate) struct Rings {
    pub(crate) from_ports: Vec<Consumer<Batch>>,
    pub(crate) to_writer: Producer<Batch>,
    pub(crate) landed: Consumer<Landed>,
    pub(crate) calls: Receiver<Call>,
}

/// A document handed to the writer whose place is not known yet.
struct OnItsWay {
    drive: DriveNumber,
    number: u32,
    digest: u128,
    code: Option<u8>,
    quarantine: bool,
}

/// A worker at work.
pub(crate) struct Worker {
    number: u16,
    shared: Arc<Shared>,
    rings: Rings,
    lanes: Lanes,
    on_their_way: VecDeque<OnItsWay>,
    openings: Openings,
    /// Frames that wait for a twin to land, with what the crypto module said.
    aside: VecDeque<(Slot, OpenOutcome)>,
    /// One batch a port, being filled.
    filling: Vec<Batch>,
    /// Batches the writer's ring had no room for.
    backlog: VecDeque<Batch>,
    /// Emptied vectors of batches, to be filled again.
    spare: Vec<Vec<Slot>>,
    refusal: Refusal,
    directory: Arc<DirectorySnapshot>,
    stopping: bool,
}

impl Worker {
    pub(crate) fn new(number: u16, shared: Arc<Shared>, rings: Rings, lanes: Lanes) -> Self {
        Self {
            number,
            openings: Openings::new(&shared, number),
            refusal: Refusal::new(&shared.options.refuse),
            directory: shared.host.directory.snapshot(),
            filling: (0..shared.options.ports).map(Batch::new).collect(),
            rings,
            lanes,
            on_their_way: VecDeque::new(),
            aside: VecDeque::new(),
            backlog: VecDeque::new(),
            spare: Vec::new(),
            stopping: false,
            shared,
        }
    }

    /// Works until told to stop.
    pub(crate) fn run(mut self) {
        self.shared.worker_bell(self.number).is_mine();
        loop {
            let mut worked = self.hear_landed();
            worked |= self.take_batches();
            worked |= self.take_opened();
            self.look_aside();
            worked |= self.answer_calls();
            worked |= self.hand_over();
            if self.stopping && self.is_empty() {
                return;
            }
            if !worked {
                self.sleep();
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.backlog.is_empty()
            && self.aside.is_empty()
            && self.openings.is_empty()
            && self.rings.from_ports.iter().all(Consumer::is_empty)
    }

    fn sleep(&self) {
        let waits = !self.aside.is_empty() || !self.backlog.is_empty() || !self.openings.is_empty();
        let timeout = if waits { ASIDE_SLEEP } else { IDLE_SLEEP };
        let rings = &self.rings;
        self.shared.worker_bell(self.number).sleep(timeout, || {
            rings.landed.is_empty()
                && rings.calls.is_empty()
                && rings.from_ports.iter().all(Consumer::is_empty)
        });
    }

    /// Takes the writer's word on documents that were handed over, in order.
    fn hear_landed(&mut self) -> bool {
        let mut heard = false;
        while let Ok(landed) = self.rings.landed.pop() {
            let sent = self.on_their_way.pop_front();
            assert!(sent.is_some(), "the writer speaks of a document that was never handed over");
            if let Some(sent) = sent {
                self.land(&sent, landed);
            }
            heard = true;
        }
        heard
    }

    fn land(&mut self, sent: &OnItsWay, landed: Landed) {
        let Some((lsn, location)) = landed.place else {
            if sent.quarantine {
                self.lanes.forget_quarantined(sent.digest);
            } else {
                self.lanes.lane(sent.drive).dropped(sent.number, sent.digest);
            }
            return;
        };
        let answered = Answered { lsn, code: sent.code, operator_time: landed.operator_time };
        if sent.quarantine {
            self.lanes.quarantine(sent.digest, Quarantined::Kept(answered));
        } else {
            self.lanes.lane(sent.drive).landed(sent.number, sent.digest, answered);
            self.lanes.stored(sent.drive, sent.number, lsn, location);
        }
    }

    /// Takes batches from the ports, as long as the writer has room for what comes out of them.
    fn take_batches(&mut self) -> bool {
        let mut worked = false;
        let mut refreshed = false;
        for port in 0..self.rings.from_ports.len() {
            for _ in 0..TURN_BATCHES {
                if !self.has_room() {
                    return worked;
                }
                let Some(Ok(mut batch)) = self.rings.from_ports.get_mut(port).map(Consumer::pop) else {
                    break;
                };
                if !std::mem::replace(&mut refreshed, true) {
                    self.directory = self.shared.host.directory.snapshot();
                }
                worked = true;
                for slot in batch.slots.drain(..) {
                    self.take(slot);
                }
                if self.spare.len() < TURN_BATCHES {
                    self.spare.push(batch.slots);
                }
            }
        }
        worked
    }

    fn has_room(&self) -> bool {
        self.backlog.is_empty()
            && self.openings.has_room()
            && self.on_their_way.len().saturating_add(self.aside.len()) < ON_THEIR_WAY_MAX / 2
    }

    fn take(&mut self, slot: Slot) {
        if self.shared.host.crypto.passes_through() {
            self.judge(slot, OpenOutcome::Ok(None));
        } else {
            match self.openings.push(slot) {
                Ok(()) => {}
                Err(noise) => self.close(noise, Unanswered::Noise),
            }
        }
    }

    fn take_opened(&mut self) -> bool {
        let mut worked = false;
        if !self.openings.is_empty() {
            self.openings.poll(self.shared.now().mono_us);
        }
        while let Some((slot, outcome)) = self.openings.next() {
            self.judge(slot, outcome);
            worked = true;
        }
        worked
    }

    /// Looks again at the frames that wait for a twin.
    fn look_aside(&mut self) {
        for _ in 0..self.aside.len() {
            if let Some((slot, outcome)) = self.aside.pop_front() {
                if self.shared.is_late(slot.arrived_us) {
                    self.close(slot, Unanswered::Overloaded);
                } else {
                    self.judge(slot, outcome);
                }
            }
        }
    }

    /// Decides on one frame, or puts it aside.
    fn judge(&mut self, slot: Slot, outcome: OpenOutcome) {
        let opened = match &outcome {
            OpenOutcome::Ok(opened) => opened.clone(),
            OpenOutcome::Unavailable => return self.close(slot, Unanswered::CryptoUnavailable),
            OpenOutcome::UnknownDrive => {
                tracing::warn!("alarm: the crypto module has no key for a drive");
                return self.close(slot, Unanswered::CryptoUnavailable);
            }
            OpenOutcome::Forged => return self.judge_forged(slot),
        };
        match examine(&slot.message, opened.as_deref(), &self.lanes.digester) {
            Ok(document) => self.judge_document(slot, outcome, opened, document),
            Err(Trouble::Noise(error)) => {
                self.shared.noise.note(&slot.message, error);
                self.close(slot, Unanswered::Noise);
            }
            Err(Trouble::Misfit { drive, number, form, digest, error }) => {
                tracing::warn!(kind = error.kind.name(), offset = error.offset, form, "alarm: quarantined");
                let store = Store {
                    detail: Some(error.to_string().into_boxed_str()),
                    ..self.store_of(drive, number, form)
                };
                self.judge_quarantine(slot, outcome, digest, store);
            }
        }
    }

    /// A definite no of the crypto module: kept in quarantine, answered 11.
    fn judge_forged(&mut self, slot: Slot) {
        let misfit = match examine(&slot.message, None, &self.lanes.digester) {
            Ok(document) => Some((document.drive, document.number, document.form.0)),
            Err(Trouble::Misfit { drive, number, form, .. }) => Some((drive, number, form)),
            Err(Trouble::Noise(_)) => None,
        };
        let Some((drive, number, form)) = misfit else {
            return self.close(slot, Unanswered::Noise);
        };
        tracing::warn!(form, "alarm: the crypto module calls a message forged");
        let container = slot.message.get(ofd_codec::SESSION_HEADER_LEN..).unwrap_or_default();
        let digest = self.lanes.digester.digest(container);
        let store = Store {
            crypto: CryptoVerdict::Forged,
            code: Some(CODE_FORGED),
            detail: Some("forged message sign (A6)".into()),
            ..self.store_of(drive, number, form)
        };
        self.judge_quarantine(slot, OpenOutcome::Forged, digest, store);
    }

    fn judge_quarantine(&mut self, mut slot: Slot, outcome: OpenOutcome, digest: u128, store: Store) {
        match self.lanes.quarantined(digest) {
            Some(Quarantined::OnItsWay) => self.aside.push_back((slot, outcome)),
            Some(Quarantined::Kept(answered)) => self.settle(slot, store.drive, store.number, answered),
            None => {
                self.lanes.quarantine(digest, Quarantined::OnItsWay);
                self.sent(&store, digest, true);
                slot.verdict = Verdict::Store(store);
                self.pass_on(slot);
            }
        }
    }

    fn judge_document(
        &mut self,
        mut slot: Slot,
        outcome: OpenOutcome,
        opened: Option<bytes::Bytes>,
        document: Examined,
    ) {
        let Examined { drive, number, form, digest, registers } = document;
        let verified = !self.shared.host.crypto.passes_through();
        let (variant, code) = match self.lanes.lane(drive).place(number, digest) {
            Place::Same(answered) => return self.settle(slot, drive, number, answered),
            Place::Wait => return self.aside.push_back((slot, outcome)),
            Place::New => (0, CODE_ACCEPTED),
            Place::AskLog => {
                let plain = opened.as_deref().unwrap_or_else(|| body_of(&slot.message));
                match self.ask_log(drive, number, plain) {
                    Ok(Some(stored)) => match Lane::judge(&stored, verified) {
                        Judged::Same(answered) => return self.settle(slot, drive, number, answered),
                        Judged::Store { variant, code } => (variant, code),
                    },
                    Ok(None) => return self.aside.push_back((slot, outcome)),
                    Err(error) => {
                        tracing::error!(%error, "a stored document cannot be read");
                        return self.close(slot, Unanswered::StorageFailed);
                    }
                }
            }
        };
        let request = AdmissionRequest { drive, number, form: form.0 };
        let (admission, reason) = match self.shared.host.admission.admit(&self.directory, &request) {
            Admitted::Accept => (AdmissionVerdict::Accepted, 0),
            Admitted::Flag(reason) => (AdmissionVerdict::Flagged, reason),
            Admitted::Defer => return self.close(slot, Unanswered::Deferred),
        };
        let now = self.shared.now().mono_us;
        let plain = opened.as_deref().unwrap_or_else(|| body_of(&slot.message));
        let refused = code == CODE_ACCEPTED && self.refusal.refuses(plain, &slot.message, now);
        let store = Store {
            variant,
            crypto: if verified { CryptoVerdict::Verified } else { CryptoVerdict::Unverified },
            admission,
            reason,
            code: Some(if refused { CODE_REFUSED } else { code }),
            plain: opened.map_or(Plain::Body, Plain::Opened),
            kind: RecordKind::Document,
            ..self.store_of(drive, number, form.0)
        };
        let lane = self.lanes.lane(drive);
        lane.sent_off(number, digest);
        if let Some(version) = registers {
            lane.register(version);
        }
        self.sent(&store, digest, false);
        slot.verdict = Verdict::Store(store);
        self.pass_on(slot);
    }

    /// The variants the log holds under this number; `None` when one of them is not durable yet.
    fn ask_log(
        &self,
        drive: DriveNumber,
        number: u32,
        plain: &[u8],
    ) -> Result<Option<Vec<StoredVariant>>, Error> {
        let durable = self.shared.watermark.load();
        let mut stored = Vec::new();
        for &IndexEntry { lsn, location, .. } in self.lanes.index.get(drive.to_bcd_u64(), number) {
            if lsn > durable {
                return Ok(None);
            }
            let record = self.shared.reader.read(location)?;
            let record = record.record();
            let envelope = Envelope::decode(record.payload())
                .map_err(|error| Error::new(ErrorKind::Corrupt, format!("record {lsn}: {error}")))?;
            stored.push(StoredVariant {
                same: envelope.plain == plain,
                verified: envelope.crypto == CryptoVerdict::Verified,
                answered: Answered {
                    lsn,
                    code: stored_code(record.answer_code()),
                    operator_time: envelope.operator_time,
                },
            });
        }
        Ok(Some(stored))
    }

    /// What is stored of any frame, before anything is known but its drive: a quarantined one.
    fn store_of(&self, drive: DriveNumber, number: u32, form: u8) -> Store {
        let listed = self.directory.drives.get(&drive).is_some_and(|entry| entry.test);
        Store {
            kind: RecordKind::Quarantine,
            partition: partition_of(drive.as_bytes()),
            drive,
            number,
            form,
            variant: 0,
            realm: if drive.is_test() || listed { Realm::Test } else { Realm::Prod },
            crypto: CryptoVerdict::Unverified,
            admission: AdmissionVerdict::Accepted,
            reason: 0,
            code: None,
            plain: Plain::None,
            detail: None,
            worker: self.number,
        }
    }

    fn sent(&mut self, store: &Store, digest: u128, quarantine: bool) {
        self.on_their_way.push_back(OnItsWay {
            drive: store.drive,
            number: store.number,
            digest,
            code: store.code,
            quarantine,
        });
    }

    /// Answers as before: nothing is stored.
    fn settle(&mut self, mut slot: Slot, drive: DriveNumber, number: u32, answered: Answered) {
        let Answered { lsn, code, operator_time } = answered;
        slot.verdict = Verdict::Settled(Settled { lsn, drive, number, code, operator_time, fresh: false });
        self.pass_on(slot);
    }

    fn close(&mut self, mut slot: Slot, why: Unanswered) {
        slot.verdict = Verdict::Close(why);
        self.pass_on(slot);
    }

    /// Puts a decided frame on its way to the writer and back to its port.
    fn pass_on(&mut self, slot: Slot) {
        let port = slot.back.port;
        let Some(batch) = self.filling.get_mut(usize::from(port)) else { return };
        batch.slots.push(slot);
        if batch.slots.len() >= BATCH_FRAMES_MAX {
            let slots = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(BATCH_FRAMES_MAX));
            let full = std::mem::replace(batch, Batch { port, slots, due: Lsn::NONE });
            self.backlog.push_back(full);
        }
    }

    /// Gives the writer what is ready.
    fn hand_over(&mut self) -> bool {
        for batch in &mut self.filling {
            if !batch.slots.is_empty() {
                let slots = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(BATCH_FRAMES_MAX));
                let port = batch.port;
                self.backlog.push_back(std::mem::replace(batch, Batch { port, slots, due: Lsn::NONE }));
            }
        }
        let mut handed = false;
        while let Some(batch) = self.backlog.pop_front() {
            if let Err(rtrb::PushError::Full(batch)) = self.rings.to_writer.push(batch) {
                self.backlog.push_front(batch);
                break;
            }
            handed = true;
        }
        if handed {
            self.shared.writer_bell.ring();
        }
        handed
    }

    fn answer_calls(&mut self) -> bool {
        let mut worked = false;
        while let Ok(call) = self.rings.calls.try_recv() {
            worked = true;
            match call {
                Call::Find { drive, number, reply } => {
                    let _ = reply.send(self.find(drive, number));
                }
                Call::Count { reply } => {
                    let _ = reply.send(self.lanes.count());
                }
                Call::Stop => self.stopping = true,
            }
        }
        worked
    }

    fn find(&self, drive: DriveNumber, number: Option<u32>) -> Vec<IndexEntry> {
        let key = drive.to_bcd_u64();
        match number {
            Some(number) => self.lanes.index.get(key, number).to_vec(),
            None => self.lanes.index.drive(key).to_vec(),
        }
    }
}

/// The body of the container in a session message that was checked before.
fn body_of(message: &[u8]) -> &[u8] {
    let from = ofd_codec::SESSION_HEADER_LEN.saturating_add(ofd_codec::CONTAINER_HEADER_LEN);
    let to = message.len().saturating_sub(ofd_codec::TRAILER_LEN);
    message.get(from..to).unwrap_or_default()
}
