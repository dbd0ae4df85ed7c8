//! The thread `ofd-tax`: follows the log for the outbox, reads bodies, asks the host's service, writes down what it says.
//!
//! ```text
//! log, behind the watermark ─▶ head ─▶ Outbox ─▶ bodies ─▶ TaxService::send, poll     (futures, polled here)
//!                                        └─▶ Append(Status) ─▶ writer
//! ```
//!
//! Nothing waits for it. What it reads it reads as everybody does: from the log, from the archive where the log no longer reaches
//! back. A start goes on from the newest checkpoint (`DIR/tax/<LSN>.outbox`, as those of the registers, live/file.rs), else from
//! the beginning of archive and log.
//!
//! Errors: the disk is asked again after a second; a body that is damaged is given up, with an alarm, and told so in the ledger.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use ofd_codec::{Container, DriveNumber, FfdVersion, JsonOptions, RawData, write_document_into};
use ofd_storage::envelope::{Envelope, Provenance, Realm};
#[cfg(feature = "parquet")]
use ofd_storage::manifest::Walk;
use ofd_storage::status::{StatusEvent, StatusOf, decode, encode};
use ofd_storage::{
    Error, ErrorKind, IndexEntry, Location, Lsn, OwnedRecord, Position, RecordKind, RecordRef, Records,
};

use super::command::TaxCommand;
use super::outbox::{Asked, Document, Input, Outbox, Output, Receipt, drive_of};
use crate::feed::Feed;
use crate::handover::Unanswered;
use crate::host::{Answering, Capability, TaxDocument, TaxReceipt, TaxService, TaxStatus};
use crate::live::file::{self, Folded};
use crate::pace::{Follower, Pace};
use crate::partition::partition_of;
use crate::planted::{self, Planted};
use crate::query::StoredDocument;
use crate::shared::{Health, Shared, Stage, Turn};
use crate::{worker, writer};

/// Records that are passed while the lock is held.
const PASSED_AT_ONCE: usize = 512;
/// How long it sleeps when nothing has come.
const IDLE_SLEEP: Duration = Duration::from_millis(50);
/// And when nothing has come for long.
const LONG_SLEEP: Duration = Duration::from_millis(250);
/// Looks without anything new before it sleeps long.
const IDLE_LOOKS: u32 = 20;
/// How long it waits after an error of the disk.
const RETRY_US: u64 = 1_000_000;
/// The age of what waits is looked at so often.
const LOOK_US: u64 = 5_000_000;
/// The alarm is told again so often.
const ALARM_US: u64 = 600_000_000;
/// The shape of a checkpoint, and what was folded into it.
const SCHEMA: &str = super::outbox::SHAPE;

/// The outbox as others see it.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The leg alone changes it; it reads it as others do while a checkpoint is written.
    outbox: RwLock<Outbox>,
    /// When the oldest unsent document was received, µs UTC, as it was when somebody last looked.
    oldest_us: Mutex<Option<i64>>,
}

impl Ledger {
    pub(crate) fn outbox(&self) -> RwLockReadGuard<'_, Outbox> {
        self.outbox.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Outbox> {
        self.outbox.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn oldest_us(&self) -> Option<i64> {
        *self.oldest_us.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Ring(Arc<Shared>);

impl Wake for Ring {
    fn wake(self: Arc<Self>) {
        self.0.tax_bell.ring();
    }
}

/// A batch at the service.
struct Call {
    batch: u64,
    answer: Answering<Vec<TaxReceipt>>,
    deadline_us: u64,
    /// What became of each document of the batch before the call; `None`: it is part of it.
    before: Vec<Option<Receipt>>,
}

/// A status record on its way to the log.
struct Appending {
    payload: Vec<u8>,
    /// `None`: the writer has still to be asked.
    answer: Option<Receiver<Result<Lsn, Unanswered>>>,
}

/// What the outbox has asked to be listed.
struct Listing {
    asked: Asked,
    drive: DriveNumber,
    numbers: (u32, u32),
    after: u64,
    through: u64,
    most: usize,
}

/// The leg at work.
pub(crate) struct Leg {
    shared: Arc<Shared>,
    service: Arc<dyn TaxService>,
    writer: Sender<writer::Call>,
    workers: Vec<Sender<worker::Call>>,
    waker: Waker,
    records: Option<Records>,
    begun: bool,
    /// The end of the log at the start: until all of it was passed, what was answered before is not known, and nothing is sent.
    start: Lsn,
    calls: Vec<Call>,
    polling: Option<(Answering<Vec<TaxStatus>>, u64)>,
    appending: VecDeque<Appending>,
    append_at_us: u64,
    listings: VecDeque<Listing>,
    catching: Option<(u64, usize)>,
    feed: Option<Feed>,
    kept: u64,
    retry_at_us: u64,
    look_at_us: u64,
    alarm_at_us: u64,
    idle_looks: u32,
}

impl Leg {
    pub(crate) fn new(
        shared: Arc<Shared>,
        service: Arc<dyn TaxService>,
        writer: Sender<writer::Call>,
        workers: Vec<Sender<worker::Call>>,
    ) -> Self {
        Self {
            waker: Waker::from(Arc::new(Ring(Arc::clone(&shared)))),
            shared,
            service,
            writer,
            workers,
            records: None,
            begun: false,
            start: Lsn::NONE,
            calls: Vec::new(),
            polling: None,
            appending: VecDeque::new(),
            append_at_us: 0,
            listings: VecDeque::new(),
            catching: None,
            feed: None,
            kept: 0,
            retry_at_us: 0,
            look_at_us: 0,
            alarm_at_us: 0,
            idle_looks: 0,
        }
    }

    /// Works until told to stop.
    pub(crate) fn run(mut self) {
        self.shared.tax_bell.is_mine();
        let mut pace = Pace::new(Arc::clone(&self.shared), Follower::Tax);
        loop {
            match self.turn() {
                Turn::Worked => {
                    self.idle_looks = 0;
                    pace.give_way(|| self.is_urgent());
                }
                Turn::Idle => {
                    self.idle_looks = self.idle_looks.saturating_add(1);
                    let longest = if self.idle_looks > IDLE_LOOKS { LONG_SLEEP } else { IDLE_SLEEP };
                    let now_us = self.shared.now().mono_us;
                    let left = self.shared.tax.outbox().wake_us().map(|at| at.saturating_sub(now_us));
                    let sleep = left.map_or(longest, |us| longest.min(Duration::from_micros(us.max(1_000))));
                    self.shared.tax_bell.sleep(sleep, || true);
                }
                Turn::Ended => return,
            }
        }
    }

    /// A document has waited for a sixth of the time after which an alarm is raised: too long to stay away.
    fn is_urgent(&self) -> bool {
        // As it was looked up some seconds ago: the outbox has to be walked for it.
        let waited_us =
            self.shared.tax.oldest_us().map_or(0, |at| self.shared.now().wall_us.saturating_sub(at));
        u64::try_from(waited_us).unwrap_or(0) > self.shared.options.tax.unsent_alarm_us / 6
    }

    /// One piece of work.
    pub(crate) fn turn(&mut self) -> Turn {
        if self.shared.stage() >= Stage::WriterEnds || self.shared.health() == Health::Failed {
            (self.calls, self.polling) = (Vec::new(), None);
            return Turn::Ended;
        }
        let now_us = self.shared.now().mono_us;
        if now_us < self.retry_at_us {
            return Turn::Idle;
        }
        match self.work() {
            Ok(true) => Turn::Worked,
            Ok(false) => Turn::Idle,
            Err(error) => {
                tracing::warn!(%error, "the leg to the tax service waits for the disk");
                self.records = None;
                self.retry_at_us = now_us.saturating_add(RETRY_US);
                Turn::Idle
            }
        }
    }

    /// What was handed over is as after a crash: the ledger tells what of it was done. What is being written into it comes first.
    fn forget(&mut self) -> Result<bool, Error> {
        (self.calls, self.polling, self.catching, self.feed) = (Vec::new(), None, None, None);
        self.listings.clear();
        let worked = self.append(self.shared.now().mono_us);
        if self.appending.is_empty() {
            file::forget::<Outbox>(&*self.shared.env)?;
            self.shared.rebuild_tax.store(false, Ordering::Release);
            (self.records, self.begun) = (None, false);
        }
        Ok(worked)
    }

    fn work(&mut self) -> Result<bool, Error> {
        if self.begun && self.shared.rebuild_tax.load(Ordering::Acquire) {
            return self.forget();
        }
        if !self.begun {
            self.begin()?;
            return Ok(true);
        }
        let mut inputs = Vec::new();
        self.read_head(&mut inputs)?;
        // With a full disk nothing can be written down: nothing more is asked either.
        let asks = !self.shared.is_full() && self.shared.tax.outbox().told() >= self.start.get();
        // What these cannot read now they ask for again: nothing that has come is lost for it.
        for read in [self.list(&mut inputs), self.catch_up(&mut inputs)] {
            if let Err(error) = read {
                tracing::warn!(%error, "documents for the tax service cannot be read now");
                self.retry_at_us = self.shared.now().mono_us.saturating_add(RETRY_US);
            }
        }
        if asks {
            self.come_back(&mut inputs);
        }
        let mut worked = !inputs.is_empty();
        let mut outputs = Vec::new();
        let (now, chance) = (self.shared.now(), self.shared.env.random());
        if asks {
            self.shared.tax.change().step(now, chance, inputs, &mut outputs);
        } else {
            self.shared.tax.change().read_on(inputs, &mut outputs);
        }
        worked |= !outputs.is_empty();
        for output in outputs {
            self.perform(output);
        }
        worked |= self.append(now.mono_us);
        self.look(now.mono_us, now.wall_us);
        Ok(self.checkpoint()? || worked)
    }

    // ── The log.

    /// From the newest checkpoint, then what of the archive the log has no longer.
    fn begin(&mut self) -> Result<(), Error> {
        let Shared { env, reader, tax, options, watermark, .. } = &*self.shared;
        self.start = watermark.load();
        let empty = || Outbox::new(options.tax.clone(), options.operator_zone_min).seeded(|| env.random());
        let kept = file::newest(&**env, reader, file::digest_of(SCHEMA), &empty, &|_| Ok(true))?;
        let outbox = kept.unwrap_or_else(empty);
        let from = outbox.position();
        *tax.change() = outbox;
        self.kept = from.as_u64();
        (self.catching, self.feed) = (None, None);
        self.listings.clear();
        self.fold_archived(from)?;
        self.begun = true;
        Ok(())
    }

    #[cfg(feature = "parquet")]
    fn fold_archived(&mut self, from: Position) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let Shared { env, reader, tax, .. } = &*shared;
        let before = Position::new(reader.first().prev());
        if from >= before {
            return Ok(());
        }
        tracing::info!(%before, "the outbox of the tax service is folded from the archive: it has no checkpoint");
        let mut walk = Walk::new(env, from, before);
        let mut more = true;
        while more {
            if self.shared.stage() >= Stage::WriterEnds {
                return Err(Error::new(ErrorKind::Retry, "the engine ends"));
            }
            let mut inputs = Vec::new();
            for _ in 0..PASSED_AT_ONCE {
                match walk.next_record() {
                    Ok(Some(record)) => inputs.extend(input_of(&record.record(), None)),
                    Ok(None) => {
                        more = false;
                        break;
                    }
                    Err(error) if error.kind() == ErrorKind::Corrupt && walk.pass() => {
                        tracing::error!(%error, "alarm: the outbox lacks a part of the archive");
                    }
                    Err(error) => return Err(error),
                }
            }
            inputs.push(Input::Head(if more { walk.position() } else { before }.as_u64()));
            self.list(&mut inputs)?;
            self.catch_up(&mut inputs)?;
            let mut outputs = Vec::new();
            tax.change().read_on(inputs, &mut outputs);
            outputs.into_iter().for_each(|it| self.perform(it));
        }
        Ok(())
    }

    #[cfg(not(feature = "parquet"))]
    fn fold_archived(&mut self, from: Position) -> Result<(), Error> {
        let before = self.shared.reader.first().prev();
        if from.lsn() < before {
            tracing::error!(%before, "alarm: this build cannot read the archive, the outbox begins with the log");
            self.shared.tax.change().read_on([Input::Head(before.get())], &mut Vec::new());
        }
        Ok(())
    }

    /// What has come behind the watermark, up to a bound.
    fn read_head(&mut self, inputs: &mut Vec<Input>) -> Result<(), Error> {
        let Shared { reader, watermark, tax, .. } = &*self.shared;
        let durable = watermark.load();
        let from = tax.outbox().position();
        if from.lsn() >= durable {
            return Ok(());
        }
        let records = self.records.get_or_insert_with(|| reader.records_from(from, durable));
        records.extend(durable);
        for _ in 0..PASSED_AT_ONCE {
            match records.next() {
                Ok(Some((record, location))) => {
                    let forgets = planted::is(Planted::TaxForgetsAtStart) && record.lsn() <= self.start;
                    if !forgets || record.kind() != RecordKind::Status {
                        inputs.extend(input_of(&record, Some(location)));
                    }
                }
                Ok(None) => break,
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    tracing::error!(%error, "alarm: the outbox of the tax service lacks a part of the log");
                }
                Err(error) => return Err(error),
            }
        }
        inputs.push(Input::Head(records.position().as_u64()));
        Ok(())
    }

    /// Documents that had no room when the head passed them.
    fn catch_up(&mut self, inputs: &mut Vec<Input>) -> Result<(), Error> {
        let Some((after, most)) = self.catching else { return Ok(()) };
        let from = Position::new(Lsn::new(after));
        let told = self.shared.tax.outbox().told();
        let feed = match self.feed.take() {
            Some(feed) if feed.position() == from => self.feed.insert(feed),
            _ => {
                let feed = Feed::new(Arc::clone(&self.shared), Capability::operator(), from);
                self.feed.insert(feed)
            }
        };
        let batch = match feed.next_batch(most, Duration::ZERO) {
            Ok(batch) => batch,
            Err(error) if error.kind() == crate::ErrorKind::Corrupt => {
                tracing::error!(%error, "alarm: documents cannot be read, and so not be sent");
                Vec::new()
            }
            Err(error) => return Err(Error::new(ErrorKind::Retry, error.to_string())),
        };
        let through = feed.position().as_u64().min(told);
        let documents = batch.iter().filter_map(document_of).filter(|it| it.position <= told).collect();
        inputs.push(Input::CaughtUp { documents, through });
        self.catching = None;
        Ok(())
    }

    /// Documents of drives, by the index.
    fn list(&mut self, inputs: &mut Vec<Input>) -> Result<(), Error> {
        for _ in 0..64 {
            let Some(listing) = self.listings.front() else { return Ok(()) };
            let workers = self.workers.len();
            let worker =
                usize::from(partition_of(listing.drive.as_bytes())).checked_rem(workers).unwrap_or_default();
            if !self.shared.has_heard(worker, Lsn::new(listing.through)) {
                // The worker knows of it and has not put it into the index: it is asked to, and this goes on at the next look.
                if let Some(calls) = self.workers.get(worker) {
                    let (reply, _) = bounded(1);
                    let _ = calls.send(worker::Call::Hear { reply });
                    u16::try_from(worker).into_iter().for_each(|it| self.shared.worker_bell(it).ring());
                }
                return Ok(());
            }
            let numbers = listing.numbers.0..=listing.numbers.1;
            let mut entries = self.shared.entries(worker, listing.drive.to_bcd_u64(), &numbers, None)?;
            entries.retain(|it| it.lsn.get() > listing.after && it.lsn.get() <= listing.through);
            let through = entries.get(listing.most).map_or(listing.through, |it| it.lsn.prev().get());
            entries.truncate(listing.most);
            let mut documents = Vec::new();
            for entry in &entries {
                match self.shared.stored(listing.drive, entry) {
                    Ok(Some(record)) => documents.extend(document_of(&StoredDocument::new(record))),
                    Ok(None) => {}
                    Err(error) if error.kind() == ErrorKind::Corrupt => {
                        tracing::error!(%error, "alarm: a document cannot be read, and so not be sent");
                    }
                    Err(error) => return Err(error),
                }
            }
            inputs.push(Input::Listed { asked: listing.asked, documents, through });
            self.listings.pop_front();
        }
        Ok(())
    }

    // ── The service.

    fn perform(&mut self, output: Output) {
        match output {
            Output::Send { batch, documents } => self.send(batch, &documents),
            Output::Poll => {
                let deadline_us = self.deadline_us();
                self.polling = Some((self.service.poll(), deadline_us));
            }
            Output::Append(events) => self.write_down(&events),
            Output::CatchUp { after, most } => self.catching = Some((after, most)),
            Output::List { asked, drive, numbers, after, through, most } => {
                // Only what was a drive number was packed.
                let Some(drive) = drive_of(drive) else { return };
                self.listings.push_back(Listing { asked, drive, numbers, after, through, most });
            }
        }
    }

    fn deadline_us(&self) -> u64 {
        self.shared.now().mono_us.saturating_add(self.shared.options.tax.call_timeout_us)
    }

    fn write_down(&mut self, events: &[StatusEvent]) {
        let payload = encode(StatusOf::Tax, events);
        self.appending.push_back(Appending { payload, answer: None });
    }

    /// Reads the bodies and hands them over, as many as a call takes.
    fn send(&mut self, batch: u64, documents: &[Document]) {
        let bytes_max = self.shared.options.tax.batch_bytes;
        let (mut before, mut bodies, mut bytes) = (Vec::new(), Vec::new(), 0usize);
        let mut full = false;
        for document in documents {
            if full {
                before.push(Some(Receipt::NotTried));
                continue;
            }
            match self.body(document) {
                Ok(Some(body)) => {
                    let all = bytes.saturating_add(body.json.len());
                    full = !bodies.is_empty() && all > bytes_max;
                    if full {
                        before.push(Some(Receipt::NotTried));
                        continue;
                    }
                    bytes = all;
                    bodies.push(body);
                    before.push(None);
                }
                Ok(None) => {
                    let position = document.position;
                    tracing::error!(position, "alarm: a document cannot be sent to the tax service");
                    before.push(Some(Receipt::Unreadable));
                }
                Err(error) => {
                    tracing::warn!(%error, "documents for the tax service cannot be read now");
                    (full, bodies) = (true, Vec::new());
                    before.iter_mut().for_each(|it| *it = Some(Receipt::Unavailable));
                    before.push(Some(Receipt::Unavailable));
                }
            }
        }
        let answer =
            if bodies.is_empty() { crate::host::answered(Vec::new()) } else { self.service.send(bodies) };
        let deadline_us = self.deadline_us();
        self.calls.push(Call { batch, answer, deadline_us, before });
    }

    /// The body of a document; `None`: it cannot be made from what is stored.
    fn body(&self, document: &Document) -> Result<Option<TaxDocument>, Error> {
        let Some(drive) = drive_of(document.drive) else { return Ok(None) };
        let record = match self.record(document, drive) {
            Ok(Some(record)) => record,
            Ok(None) => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                tracing::error!(%error, "alarm: a document is damaged");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        Ok(body_of(&StoredDocument::new(record), drive, document.number))
    }

    /// The record of a document: by its place, by the index, or by a walk to it.
    fn record(&self, document: &Document, drive: DriveNumber) -> Result<Option<OwnedRecord>, Error> {
        let lsn = Lsn::new(document.position);
        if let Some(location) = document.location.filter(|_| self.shared.reader.holds(lsn)) {
            match self.shared.stored(drive, &IndexEntry { lsn, location, number: document.number }) {
                Ok(Some(record)) if record.record().lsn() == lsn => return Ok(Some(record)),
                _ => {}
            }
        }
        let worker =
            usize::from(partition_of(drive.as_bytes())).checked_rem(self.workers.len()).unwrap_or_default();
        let numbers = document.number..=document.number;
        let entries = self.shared.entries(worker, drive.to_bcd_u64(), &numbers, None)?;
        if let Some(entry) = entries.iter().find(|entry| entry.lsn == lsn) {
            match self.shared.stored(drive, entry) {
                Ok(Some(record)) if record.record().lsn() == lsn => return Ok(Some(record)),
                _ => {}
            }
        }
        self.shared.stored_at(lsn, drive, document.number)
    }

    /// What the service has answered, and what has run out of time.
    fn come_back(&mut self, inputs: &mut Vec<Input>) {
        let now_us = self.shared.now().mono_us;
        let mut context = Context::from_waker(&self.waker);
        let mut waiting = Vec::new();
        for mut call in std::mem::take(&mut self.calls) {
            let receipts = match call.answer.as_mut().poll(&mut context) {
                Poll::Ready(receipts) => receipts,
                Poll::Pending if now_us >= call.deadline_us => {
                    tracing::warn!("the tax service let a call time out");
                    Vec::new()
                }
                Poll::Pending => {
                    waiting.push(call);
                    continue;
                }
            };
            let mut receipts = receipts.into_iter();
            let mut next = || match receipts.next() {
                Some(TaxReceipt::Sent { id }) => Receipt::Sent(id),
                Some(TaxReceipt::Unavailable) | None => Receipt::Unavailable,
            };
            let receipts = call.before.into_iter().map(|it| it.unwrap_or_else(&mut next)).collect();
            inputs.push(Input::Answered { batch: call.batch, receipts });
        }
        self.calls = waiting;
        if let Some((answer, deadline_us)) = &mut self.polling {
            match answer.as_mut().poll(&mut context) {
                Poll::Ready(verdicts) => {
                    inputs.push(Input::Verdicts(Some(verdicts)));
                    self.polling = None;
                }
                Poll::Pending if now_us >= *deadline_us => {
                    inputs.push(Input::Verdicts(None));
                    self.polling = None;
                }
                Poll::Pending => {}
            }
        }
    }

    /// Hands status records to the writer, in order, each until the log has it.
    fn append(&mut self, now_us: u64) -> bool {
        let mut worked = false;
        while let Some(front) = self.appending.front_mut() {
            match front.answer.as_ref().map(Receiver::try_recv) {
                None => break,
                Some(Ok(Ok(_))) => drop(self.appending.pop_front()),
                Some(Err(TryRecvError::Empty)) => break,
                Some(Ok(Err(_)) | Err(TryRecvError::Disconnected)) => {
                    self.appending.iter_mut().for_each(|it| it.answer = None);
                    self.append_at_us = now_us.saturating_add(RETRY_US);
                }
            }
            worked = true;
        }
        if now_us < self.append_at_us {
            return worked;
        }
        for it in self.appending.iter_mut().filter(|it| it.answer.is_none()) {
            let (reply, answer) = bounded(1);
            let (kind, payload) = (RecordKind::Status, it.payload.clone());
            if self.writer.send(writer::Call::Append { kind, payload, reply }).is_err() {
                break;
            }
            it.answer = Some(answer);
            worked = true;
        }
        if worked {
            self.shared.writer_bell.ring();
        }
        worked
    }

    // ── What others want to know.

    /// The age of what waits, and the alarm.
    fn look(&mut self, now_us: u64, wall_us: i64) {
        if now_us < self.look_at_us {
            return;
        }
        self.look_at_us = now_us.saturating_add(LOOK_US);
        let oldest = self.shared.tax.outbox().oldest_unsent_us();
        *self.shared.tax.oldest_us.lock().unwrap_or_else(PoisonError::into_inner) = oldest;
        let age_us = oldest.map_or(0, |at| wall_us.saturating_sub(at));
        let bound = i64::try_from(self.shared.options.tax.unsent_alarm_us).unwrap_or(i64::MAX);
        if age_us > bound && now_us >= self.alarm_at_us {
            let (seconds, waiting) = (age_us / 1_000_000, self.shared.tax.outbox().totals().waiting());
            tracing::error!(
                seconds,
                waiting,
                "alarm: documents wait for the tax service longer than they may"
            );
            self.alarm_at_us = now_us.saturating_add(ALARM_US);
        }
    }

    fn checkpoint(&mut self) -> Result<bool, Error> {
        let Shared { env, reader, tax, options, .. } = &*self.shared;
        // Read while it is written and synced: whoever asks for an account does not wait for the disk.
        let outbox = tax.outbox();
        let behind = outbox.told().saturating_sub(self.kept);
        if behind < options.tax.checkpoint_after.max(outbox.len() / 4) {
            return Ok(false);
        }
        if !reader.holds(outbox.position().lsn()) {
            return Ok(false);
        }
        let written = file::write(&**env, reader, file::digest_of(SCHEMA), &*outbox)?;
        drop(outbox);
        self.kept = written.get();
        Ok(true)
    }
}

/// What a record is to the outbox.
fn input_of(record: &RecordRef<'_>, location: Option<Location>) -> Option<Input> {
    let position = record.lsn().get();
    match record.kind() {
        RecordKind::Document => {
            let envelope = Envelope::of(record).ok()?;
            let len = record.encoded_len();
            let document = told_of(&envelope, position, record.received_at_us(), len)?;
            Some(Input::Document(Document { location, ..document }))
        }
        RecordKind::Status => {
            let (of, events) = decode(record.plain_payload().ok()?)?;
            (of == StatusOf::Tax).then_some(Input::Status { at_us: record.received_at_us(), events })
        }
        RecordKind::Command => {
            let command = TaxCommand::of_payload(record.plain_payload().ok()?)?;
            Some(Input::Command { position, command })
        }
        _ => None,
    }
}

/// The document, if the tax service gets it (the header of outbox.rs says which).
fn told_of(envelope: &Envelope<'_>, position: u64, received_at_us: i64, len: usize) -> Option<Document> {
    let counts =
        envelope.realm == Realm::Prod && envelope.variant == 0 && envelope.provenance == Provenance::Live;
    if !counts {
        return None;
    }
    let drive = DriveNumber::from_wire(&envelope.drive).ok()?.to_bcd_u64();
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    Some(Document { position, drive, number: envelope.number, received_at_us, len, location: None })
}

/// The same of a document that was read.
pub(crate) fn document_of(document: &StoredDocument) -> Option<Document> {
    let envelope = document.envelope().ok()?;
    let len = document.payload().len();
    told_of(&envelope, document.position().as_u64(), document.received_at_us(), len)
}

/// A document as the service gets it: ФНС JSON with rawData; `None` when it could never be opened.
fn body_of(document: &StoredDocument, drive: DriveNumber, number: u32) -> Option<TaxDocument> {
    let envelope = document.envelope().ok()?;
    let view = document.document()?;
    let container = Container::new_checked(envelope.container).ok()?;
    let [.., major, minor] = *envelope.session.first_chunk::<8>()?;
    let version = FfdVersion::of_document(&view.header(), None, [major, minor]);
    let mut raw = Vec::with_capacity(envelope.plain.len().saturating_add(64));
    RawData::write(&container, envelope.plain, &mut raw);
    let options = JsonOptions { message_sign: Some(container.message_sign()), raw: Some(&raw) };
    // About what most documents take, so that it does not move while it grows.
    let room = envelope.plain.len().saturating_mul(4).saturating_add(raw.len().saturating_mul(2));
    let mut json = Vec::with_capacity(room);
    write_document_into(&view, version, &options, &mut json);
    let hash = *blake3::hash(envelope.container).as_bytes();
    Some(TaxDocument { drive, number, hash, json: Bytes::from(json) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;

    // Whoever asks for an account or a status must not wait for the disk, as long as that may take.
    #[test]
    fn an_outbox_that_is_being_written_down_is_read_by_others() {
        let ledger = Ledger::default();
        // As a checkpoint holds it.
        let written = ledger.outbox();
        let told = std::thread::scope(|scope| {
            let (reply, answer) = bounded(1);
            let ledger = &ledger;
            let reader = scope.spawn(move || reply.send(ledger.outbox().told()));
            let told = answer.recv_timeout(Duration::from_secs(20));
            drop(written);
            reader.join().unwrap().unwrap();
            told
        });
        assert_eq!(told, Ok(0));
    }
}
