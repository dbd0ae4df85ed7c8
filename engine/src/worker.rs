//! A worker: owner of whole partitions and of the lanes in them. It judges what the ports bring and hands to the writer
//! what is to be stored. Nothing of it is shared but rings; whose thread gives it its turn is the business of `seat.rs`.
//!
//! Order: new documents of one drive leave in the order they came. A frame that cannot be judged yet (its twin is
//! on the way to the log, the crypto module thinks) waits aside; one that waited longer than the deadline is
//! dropped and its connection closed, since the register keeps the document and comes back.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use ofd_codec::DriveNumber;
use ofd_codec::rules::RuleId;
use ofd_storage::envelope::{AdmissionVerdict, CryptoVerdict, Envelope, Realm};
use ofd_storage::{Error, ErrorKind, Index, Lsn, RecordKind};
use rtrb::{Consumer, Producer};

use crate::examine::{Examined, Trouble, content_digest, examine, version_of};
use crate::handover::{Batch, Landed, Plain, Settled, Slot, Store, Unanswered, Verdict};
use crate::host::{AdmissionRequest, Admitted, DirectorySnapshot, OpenOutcome};
use crate::lane::{Answered, CODE_ACCEPTED, CODE_FORGED, CODE_REFUSED, Judged, Lane, Place, StoredVariant};
use crate::lanes::{LaneAt, LaneCount, Lanes, QuarantineKey, Quarantined, begins_generation, stored_code};
use crate::opening::Openings;
use crate::partition::partition_of;
use crate::planted::{Planted, is};
use crate::refusal::Refusal;
use crate::shared::{Health, Shared, Stage, Turn};

/// How long a worker sleeps at most while frames wait aside.
const ASIDE_SLEEP: Duration = Duration::from_millis(1);
/// How long it sleeps at most otherwise; every event rings.
const IDLE_SLEEP: Duration = Duration::from_millis(500);
/// Batches taken from one port before the others get their turn.
const TURN_BATCHES: usize = 16;
/// Documents under one number of one drive; more are an attack or a broken till, not documents.
const VARIANTS_MAX: usize = 16;
/// How often frames aside are looked at when nothing has landed: only to find those that are too late.
const ASIDE_LOOK_US: u64 = 50_000;

/// What others ask a worker.
pub(crate) enum Call {
    /// Take the writer's word on everything it has told.
    Hear { reply: Sender<()> },
    /// Counts over the worker's lanes.
    Count { reply: Sender<LaneCount> },
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
    number: u32,
    digest: u128,
    code: Option<u8>,
    whose: Whose,
}

/// Who waits to hear of it.
enum Whose {
    /// The lane of a drive, which the index knows by its packed number.
    Lane {
        at: LaneAt,
        drive: u64,
    },
    Quarantine(QuarantineKey),
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
    /// The batch being filled. One and not one a port: the writer's word comes back in the order in which frames were
    /// decided, and so do documents of one drive that came over several ports.
    filling: Batch,
    /// Batches the writer's ring had no room for.
    backlog: VecDeque<Batch>,
    refusal: Refusal,
    directory: Arc<DirectorySnapshot>,
    /// The port whose turn it is.
    turn: usize,
    /// What had landed when the frames aside were looked at last: documents, watermark, time.
    aside_looked: (u64, Lsn, u64),
    landed: u64,
    /// Index files hold what lies up to here.
    forgotten: Lsn,
    ending_since_us: Option<u64>,
}

impl Worker {
    pub(crate) fn new(number: u16, shared: Arc<Shared>, rings: Rings, lanes: Lanes) -> Self {
        Self {
            number,
            openings: Openings::new(&shared, number),
            refusal: Refusal::new(&shared.options.refuse),
            directory: shared.host.directory.snapshot(),
            filling: Batch::new(0, shared.vectors.take()),
            rings,
            lanes,
            on_their_way: VecDeque::new(),
            aside: VecDeque::new(),
            backlog: VecDeque::new(),
            turn: 0,
            aside_looked: (0, Lsn::NONE, 0),
            landed: 0,
            forgotten: Lsn::NONE,
            ending_since_us: None,
            shared,
        }
    }

    /// One pass over everything that may have come: what is there is done, nothing is waited for.
    pub(crate) fn turn(&mut self) -> Turn {
        let mut worked = self.hear_landed();
        // First those that came first.
        self.look_aside();
        worked |= self.take_batches();
        worked |= self.take_opened();
        worked |= self.answer_calls();
        worked |= self.hand_over();
        let waits = !self.aside.is_empty() || !self.has_room();
        self.shared.waits_for_word(self.number, waits);
        if self.shared.stage() >= Stage::WorkersEnd && self.has_ended() {
            return Turn::Ended;
        }
        if worked { Turn::Worked } else { Turn::Idle }
    }

    /// Is everything handed over, or is there nobody any more to hand it to, or no time left?
    fn has_ended(&mut self) -> bool {
        let now = self.shared.now().mono_us;
        let since = *self.ending_since_us.get_or_insert(now);
        let empty = self.backlog.is_empty()
            && self.aside.is_empty()
            && self.openings.is_empty()
            && self.rings.from_ports.iter().all(Consumer::is_empty);
        empty
            || self.shared.health() == Health::Failed
            || now.saturating_sub(since) > self.shared.limits().drain_timeout_us
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// Does it have something that has to be looked at again though nobody rings?
    pub(crate) fn waits(&self) -> bool {
        !self.aside.is_empty()
            || !self.backlog.is_empty()
            || !self.openings.is_empty()
            || self.shared.stage() > Stage::Running
    }

    /// How long it may sleep.
    pub(crate) fn patience(&self) -> Duration {
        if self.waits() { ASIDE_SLEEP } else { IDLE_SLEEP }
    }

    /// Is there nothing that it could take?
    pub(crate) fn is_idle(&self) -> bool {
        let rings = &self.rings;
        rings.landed.is_empty()
            && rings.calls.is_empty()
            && (!self.has_room() || rings.from_ports.iter().all(Consumer::is_empty))
    }

    /// Takes the writer's word on documents that were handed over, in order.
    fn hear_landed(&mut self) -> bool {
        if self.rings.landed.is_empty() {
            return false;
        }
        let shared = Arc::clone(&self.shared);
        let Some(mut recent) = shared.recent(self.number) else { return false };
        let through = shared.sides.through();
        if through > self.forgotten {
            self.forgotten = through;
            recent.forget(through);
        }
        let mut last = Lsn::NONE;
        while let Ok(landed) = self.rings.landed.pop() {
            let sent = self.on_their_way.pop_front();
            assert!(sent.is_some(), "the writer speaks of a document that was never handed over");
            if let Some(sent) = sent {
                self.land(&sent, landed, &mut recent);
            }
            last = landed.place.map_or(last, |(lsn, _)| lsn);
            self.landed = self.landed.wrapping_add(1);
        }
        if last > Lsn::NONE {
            shared.heard(self.number, last);
        }
        true
    }

    fn land(&mut self, sent: &OnItsWay, landed: Landed, recent: &mut Index) {
        let Some((lsn, location)) = landed.place else {
            match sent.whose {
                Whose::Quarantine(key) => self.lanes.forget_quarantined(key),
                Whose::Lane { at, .. } => self.lanes.at(at).dropped(sent.number, sent.digest),
            }
            return;
        };
        let answered = Answered { lsn, code: sent.code, operator_time: landed.operator_time };
        match sent.whose {
            Whose::Quarantine(key) => self.lanes.quarantine(key, Quarantined::Kept(answered)),
            Whose::Lane { at, drive } => {
                self.lanes.at(at).landed(sent.number, sent.digest, answered);
                recent.insert(drive, sent.number, lsn, location);
            }
        }
    }

    /// Takes batches from the ports, as long as the writer has room for what comes out of them.
    fn take_batches(&mut self) -> bool {
        let mut worked = false;
        let mut refreshed = false;
        let ports = self.rings.from_ports.len();
        for step in 0..ports {
            let port = self.turn.wrapping_add(step).checked_rem(ports).unwrap_or_default();
            for _ in 0..TURN_BATCHES {
                if !self.has_room() {
                    // The next turn begins behind this port: none starves while another floods.
                    self.turn = port.wrapping_add(1);
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
                self.shared.vectors.give(batch.slots);
            }
        }
        self.turn = self.turn.wrapping_add(1);
        worked
    }

    fn has_room(&self) -> bool {
        let caps = &self.shared.options.caps;
        self.backlog.len() < caps.backlog
            && self.openings.has_room()
            && self.on_their_way.len().saturating_add(self.aside.len()) < caps.on_their_way / 2
    }

    /// The queue that holds more than its bound, if there is one.
    #[cfg(feature = "testing")]
    pub(crate) fn over_bound(&self) -> Option<String> {
        let caps = &self.shared.options.caps;
        let opening =
            caps.opening_calls.saturating_mul(caps.opening_frames).saturating_add(caps.opening_waiting);
        let bounds = [
            ("on their way", self.on_their_way.len(), caps.on_their_way),
            (
                "at the crypto module",
                self.openings.len(),
                opening.saturating_add(crate::handover::BATCH_FRAMES_MAX),
            ),
            ("aside", self.aside.len(), caps.on_their_way),
        ];
        let over = bounds.into_iter().find(|(_, len, most)| len > most);
        over.map(|(what, len, most)| format!("{len} frames {what}, at most {most}"))
    }

    fn take(&mut self, slot: Slot) {
        if let Some(original) = &slot.original {
            // What was said of it then stands; the keys may be long gone.
            let outcome = match original.crypto {
                CryptoVerdict::Forged => OpenOutcome::Forged,
                _ => OpenOutcome::Ok(original.plain.clone()),
            };
            self.judge(slot, outcome);
        } else if self.shared.host.crypto.passes_through() {
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

    /// Looks again at the frames that wait for a twin, when something has landed that they may wait for.
    fn look_aside(&mut self) {
        if self.aside.is_empty() {
            return;
        }
        let now = (self.landed, self.shared.watermark.load(), self.shared.now().mono_us);
        let (landed, durable, at_us) = self.aside_looked;
        if (now.0, now.1) == (landed, durable) && now.2.saturating_sub(at_us) < ASIDE_LOOK_US {
            return;
        }
        self.aside_looked = now;
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
                    code: slot.original.as_ref().and_then(|it| it.answer.code),
                    detail: Some(error.to_string().into_boxed_str()),
                    ..self.store_of(&slot, drive, number, form)
                };
                let key = QuarantineKey { drive: drive.to_bcd_u64(), forged: false, digest };
                self.judge_quarantine(slot, outcome, key, store);
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
        let digest = content_digest(container);
        let store = Store {
            crypto: CryptoVerdict::Forged,
            code: Some(CODE_FORGED),
            detail: Some("forged message sign (A6)".into()),
            ..self.store_of(&slot, drive, number, form)
        };
        let key = QuarantineKey { drive: drive.to_bcd_u64(), forged: true, digest };
        self.judge_quarantine(slot, OpenOutcome::Forged, key, store);
    }

    fn judge_quarantine(&mut self, mut slot: Slot, outcome: OpenOutcome, key: QuarantineKey, store: Store) {
        match self.lanes.quarantined(key) {
            Some(Quarantined::OnItsWay) => self.aside.push_back((slot, outcome)),
            Some(Quarantined::Kept(answered)) => self.settle(slot, store.drive, store.number, answered),
            None => {
                self.lanes.quarantine(key, Quarantined::OnItsWay);
                self.sent(&store, key.digest, Whose::Quarantine(key));
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
        let crypto = match &slot.original {
            Some(original) => original.crypto,
            None if self.shared.host.crypto.passes_through() => CryptoVerdict::Unverified,
            None => CryptoVerdict::Verified,
        };
        let verified = crypto == CryptoVerdict::Verified;
        let stores = self.store_of(&slot, drive, number, form.0);
        let mut begins = false;
        let packed = drive.to_bcd_u64();
        let lane = self.lanes.place(packed);
        let (variant, code) = match self.lanes.at(lane).place(number, digest) {
            Place::Same(_) if is(Planted::StoresResends) => (0, CODE_ACCEPTED),
            Place::Same(answered) => return self.settle(slot, drive, number, answered),
            Place::Wait => return self.aside.push_back((slot, outcome)),
            Place::New => (0, CODE_ACCEPTED),
            Place::AskLog => {
                let plain = opened.as_deref().unwrap_or_else(|| body_of(&slot.message));
                match self.ask_log(drive, number, plain) {
                    Ok(Some(stored)) => match Lane::judge(&stored, verified) {
                        Judged::Same(answered) => return self.settle(slot, drive, number, answered),
                        // A number that was never seen fills a gap, also when it is the first.
                        Judged::Store { .. }
                            if stored.iter().any(|it| it.current)
                                && stored.len() < VARIANTS_MAX
                                && begins_generation(stores.realm, number, form) =>
                        {
                            begins = true;
                            (0, CODE_ACCEPTED)
                        }
                        Judged::Store { .. } if stored.len() >= VARIANTS_MAX => {
                            tracing::warn!(number, "alarm: a drive has too many documents under one number");
                            return self.close(slot, Unanswered::TooManyVariants);
                        }
                        Judged::Store { variant, .. } if is(Planted::AcceptsConflicts) => {
                            (variant, CODE_ACCEPTED)
                        }
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
        let admitted = match &slot.original {
            // It was let in by another house, or before.
            Some(_) => Admitted::Accept,
            None if self.shared.held.load(Ordering::Relaxed) => Admitted::Defer,
            None => {
                let request = AdmissionRequest { drive, number, form: form.0 };
                self.shared.host.admission.admit(&self.directory, &request)
            }
        };
        let (admission, reason) = match admitted {
            Admitted::Accept => (AdmissionVerdict::Accepted, 0),
            Admitted::Flag(reason) => (AdmissionVerdict::Flagged, reason),
            Admitted::Defer => return self.close(slot, Unanswered::Deferred),
        };
        let plain = opened.as_deref().unwrap_or_else(|| body_of(&slot.message));
        let may_refuse = code == CODE_ACCEPTED && slot.original.is_none();
        let refused = if may_refuse { self.refused(drive, plain, &slot.message) } else { None };
        let code = match &slot.original {
            // One that can be read was or would be accepted: its register may still ask.
            Some(original) => original.answer.code.or(Some(CODE_ACCEPTED)),
            None if refused.is_some() => Some(CODE_REFUSED),
            None => Some(code),
        };
        let store = Store {
            variant,
            crypto,
            admission,
            reason,
            code,
            detail: refused.map(|rule| format!("refused by {}", rule.key).into_boxed_str()),
            plain: opened.map_or(Plain::Body, Plain::Opened),
            kind: RecordKind::Document,
            ..stores
        };
        let waits = Whose::Lane { at: lane, drive: packed };
        let lane = self.lanes.at(lane);
        if begins {
            lane.begin_generation();
        }
        lane.sent_off(number, digest);
        if let Some(version) = registers {
            lane.register(version);
        }
        self.sent(&store, digest, waits);
        slot.verdict = Verdict::Store(store);
        self.pass_on(slot);
    }

    /// The rule this document is refused by: one that the host lists, while the guard lets it.
    fn refused(&mut self, drive: DriveNumber, plain: &[u8], message: &[u8]) -> Option<RuleId> {
        if self.refusal.is_empty() {
            return None;
        }
        let version = version_of(plain, self.lanes.lane(drive).registered(), p_version_of(message));
        let broken = self.refusal.broken(plain, version);
        let now_us = self.shared.now().mono_us;
        let mut guard = self.shared.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if guard.may_refuse(broken.is_some(), now_us) { broken } else { None }
    }

    /// The variants the log holds under this number, of all lives of the drive; `None` when one of them is not durable yet.
    fn ask_log(
        &mut self,
        drive: DriveNumber,
        number: u32,
        plain: &[u8],
    ) -> Result<Option<Vec<StoredVariant>>, Error> {
        let durable = self.shared.watermark.load();
        let generation = self.lanes.lane(drive).generation();
        let mut stored = Vec::new();
        let entries =
            self.shared.entries(usize::from(self.number), drive.to_bcd_u64(), &(number..=number), None)?;
        for entry in entries.iter().take(VARIANTS_MAX) {
            let lsn = entry.lsn;
            if lsn > durable {
                return Ok(None);
            }
            // What has left the archive after its years is as if it had never been.
            let Some(record) = self.shared.stored(drive, entry)? else { continue };
            let record = record.record();
            let envelope = Envelope::of(&record)
                .map_err(|error| Error::new(ErrorKind::Corrupt, format!("record {lsn}: {error}")))?;
            stored.push(StoredVariant {
                same: envelope.plain == plain,
                current: lsn >= generation,
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
    fn store_of(&self, slot: &Slot, drive: DriveNumber, number: u32, form: u8) -> Store {
        debug_assert_eq!(
            slot.partition,
            partition_of(drive.as_bytes()),
            "a frame at the worker of another drive"
        );
        let listed = self.directory.drives.get(&drive).is_some_and(|entry| entry.test);
        Store {
            kind: RecordKind::Quarantine,
            partition: slot.partition,
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
            p_version: p_version_of(&slot.message),
            worker: self.number,
        }
    }

    fn sent(&mut self, store: &Store, digest: u128, whose: Whose) {
        self.on_their_way.push_back(OnItsWay { number: store.number, digest, code: store.code, whose });
    }

    /// Answers as before: nothing is stored.
    fn settle(&mut self, mut slot: Slot, drive: DriveNumber, number: u32, answered: Answered) {
        let Answered { lsn, code, operator_time } = answered;
        let operator_time = operator_time.wrapping_add(u32::from(is(Planted::AnswersWithAnotherTime)));
        let p_version = p_version_of(&slot.message);
        slot.verdict =
            Verdict::Settled(Settled { lsn, drive, number, code, operator_time, p_version, fresh: false });
        self.pass_on(slot);
    }

    fn close(&mut self, mut slot: Slot, why: Unanswered) {
        slot.verdict = Verdict::Close(why);
        self.pass_on(slot);
    }

    /// Puts a decided frame on its way to the writer and back to its port.
    fn pass_on(&mut self, slot: Slot) {
        let port = slot.back.port();
        if self.filling.port != port {
            self.close_filling();
            self.filling.port = port;
        }
        self.filling.slots.push(slot);
        if self.filling.is_full() {
            self.close_filling();
        }
    }

    /// Moves the batch being filled behind those that wait for the writer.
    fn close_filling(&mut self) {
        if self.filling.slots.is_empty() {
            return;
        }
        let next = Batch::new(self.filling.port, self.shared.vectors.take());
        self.backlog.push_back(std::mem::replace(&mut self.filling, next));
    }

    /// Gives the writer what is ready.
    fn hand_over(&mut self) -> bool {
        self.close_filling();
        let mut handed = false;
        if self.rings.to_writer.is_abandoned() {
            // The writer has ended: nobody will be answered any more.
            self.backlog.clear();
        }
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
                Call::Hear { reply } => {
                    self.hear_landed();
                    let _ = reply.send(());
                }
                Call::Count { reply } => {
                    let _ = reply.send(self.lanes.count());
                }
            }
        }
        worked
    }
}

/// P-version of a session message.
fn p_version_of(message: &[u8]) -> [u8; 2] {
    let [.., major, minor] = *message.first_chunk::<8>().unwrap_or(&[0; 8]);
    [major, minor]
}

/// The body of the container in a session message that was checked before.
fn body_of(message: &[u8]) -> &[u8] {
    let from = ofd_codec::SESSION_HEADER_LEN.saturating_add(ofd_codec::CONTAINER_HEADER_LEN);
    let to = message.len().saturating_sub(ofd_codec::TRAILER_LEN);
    message.get(from..to).unwrap_or_default()
}
