//! What goes out of the outbox and comes back: lanes that are ready, batches, receipts, verdicts, waits.

use std::collections::BTreeSet;

use ofd_storage::Now;
use ofd_storage::status::{STATUS_EVENTS_MAX, StatusEvent, StatusKind, bounded_id};

use super::super::options::TaxOptions;
use super::{Document, EARLY_MAX, Entry, Outbox, Output, Receipt, Stage};
use crate::host::TaxStatus;
use crate::planted::{self, Planted};

impl Outbox {
    /// Puts a lane where it belongs after anything of it has changed; one without anything to remember is forgotten.
    pub(super) fn arrange(&mut self, drive: u64) {
        let Some(lane) = self.lanes.get(&drive) else { return };
        self.timers.remove(&(lane.not_before_us, drive));
        let paused = lane.paused && !planted::is(Planted::TaxPassesPauses);
        let may = !paused && lane.sending == 0;
        let lists = lane.aside.is_some() && lane.listing == 0 && lane.has_room(self.options.lane_documents);
        let first = lane.waiting.first().copied();
        if lists {
            self.listable.insert(drive);
        } else {
            self.listable.remove(&drive);
        }
        let due = self.now_us >= lane.not_before_us;
        // A lane stands among the ready ones under the first that waits; an older place of it is passed over in `pick`.
        match first {
            Some(first) if may && due => drop(self.ready.insert((first, drive))),
            Some(_) if may => drop(self.timers.insert((lane.not_before_us, drive))),
            _ => {}
        }
        let idle = first.is_none() && lane.sending == 0 && !lane.paused && lane.aside.is_none();
        if idle && lane.listing == 0 {
            self.lanes.remove(&drive);
        }
    }

    pub(super) fn let_timers_go(&mut self, now: Now) {
        while let Some((_, drive)) = self.timers.first().copied().filter(|(at, _)| *at <= now.mono_us) {
            self.timers.pop_first();
            self.arrange(drive);
        }
        let timeout = i64::try_from(self.options.verdict_timeout_us).unwrap_or(i64::MAX);
        while let Some((at_us, position)) =
            self.due.first().copied().filter(|(at, _)| at.saturating_add(timeout) <= now.wall_us)
        {
            self.due.remove(&(at_us, position));
            // Its verdict is being written down: it has come after all.
            if self.window.get(&position).is_some_and(|entry| !entry.told) {
                self.retries = self.retries.saturating_add(1);
                self.wait_again(position);
            }
        }
    }

    /// A document that was sent waits once more.
    pub(super) fn wait_again(&mut self, position: u64) {
        let Some(entry) = self.window.get_mut(&position) else { return };
        entry.stage = Stage::Waiting;
        let drive = entry.document.drive;
        self.lanes.entry(drive).or_default().waiting.insert(position);
        self.arrange(drive);
    }

    pub(super) fn send(&mut self, outputs: &mut Vec<Output>) {
        while !self.paused && self.now_us >= self.gate_us && !self.ready.is_empty() {
            // While the service is away one batch at a time asks whether it is back.
            let most = if self.failures > 0 { 1 } else { self.options.batches_in_flight };
            if self.batches.len() >= most {
                return;
            }
            let documents = self.pick();
            if documents.is_empty() {
                return;
            }
            let batch = self.next_batch;
            self.next_batch = self.next_batch.wrapping_add(1);
            self.batches.insert(batch, documents.iter().map(|it| it.position).collect());
            outputs.push(Output::Send { batch, documents });
        }
    }

    /// The documents of the next batch, the lanes with the oldest first.
    pub(super) fn pick(&mut self) -> Vec<Document> {
        let mut picked = Vec::new();
        let mut bytes = 0usize;
        while picked.len() < self.options.batch_documents
            && let Some((first, drive)) = self.ready.pop_first()
        {
            let Some(lane) = self.lanes.get_mut(&drive) else { continue };
            let paused = lane.paused && !planted::is(Planted::TaxPassesPauses);
            if paused || lane.sending > 0 || lane.waiting.first() != Some(&first) {
                continue;
            }
            if self.now_us < lane.not_before_us {
                continue;
            }
            let room = self.options.batch_documents.saturating_sub(picked.len());
            let most = room.min(self.options.batch_drive_documents);
            let mut positions: Vec<u64> = lane.waiting.iter().copied().take(most).collect();
            if planted::is(Planted::TaxTurnsRetriesRound) && lane.tries > 0 {
                positions.reverse();
            }
            for position in positions {
                let Some(entry) = self.window.get_mut(&position) else { continue };
                let len = usize::try_from(entry.document.len).unwrap_or(usize::MAX);
                if !picked.is_empty() && bytes.saturating_add(len) > self.options.batch_bytes {
                    self.arrange(drive);
                    return picked;
                }
                bytes = bytes.saturating_add(len);
                entry.stage = Stage::Sending;
                picked.push(entry.document);
                if let Some(lane) = self.lanes.get_mut(&drive) {
                    lane.waiting.remove(&position);
                    lane.sending = lane.sending.saturating_add(1);
                }
            }
        }
        picked
    }

    pub(super) fn answered(
        &mut self,
        batch: u64,
        receipts: Vec<Receipt>,
        chance: u64,
        outputs: &mut Vec<Output>,
    ) {
        let Some(positions) = self.batches.remove(&batch) else { return };
        let mut events = Vec::new();
        let (mut taken, mut away) = (false, false);
        let mut drives = BTreeSet::new();
        let mut receipts = receipts.into_iter();
        let mut verdicts = Vec::new();
        for position in positions {
            let receipt = receipts.next().unwrap_or(Receipt::Unavailable);
            let Some(entry) = self.window.get_mut(&position).filter(|it| it.stage == Stage::Sending) else {
                continue;
            };
            let drive = entry.document.drive;
            drives.insert(drive);
            let mut event = entry.event(StatusKind::Sent);
            match receipt {
                Receipt::Sent(id) => {
                    taken = true;
                    let known: Box<str> = bounded_id(&id).into();
                    verdicts.extend(self.early.remove(&*known));
                    self.ids.insert(known.clone(), position);
                    if !entry.ids.contains(&known) {
                        entry.ids.push(known.clone());
                    }
                    event.attempt = entry.attempt.saturating_add(1);
                    event.id = known.into();
                    events.push(event);
                    if let Some(lane) = self.lanes.get_mut(&drive) {
                        lane.tries = 0;
                        if planted::is(Planted::TaxSendsBeforeReceipts) {
                            lane.sending = 0;
                        }
                    }
                }
                Receipt::Unreadable => {
                    entry.told = true;
                    event.kind = StatusKind::GivenUp;
                    events.push(event);
                }
                Receipt::Unavailable | Receipt::NotTried => {
                    entry.stage = Stage::Waiting;
                    let Some(lane) = self.lanes.get_mut(&drive) else { continue };
                    lane.waiting.insert(position);
                    lane.sending = lane.sending.saturating_sub(1);
                    if receipt == Receipt::Unavailable {
                        away = true;
                        self.retries = self.retries.saturating_add(1);
                        // Once a batch, however many of its documents came back.
                        if self.now_us >= lane.not_before_us {
                            let tries = lane.tries.saturating_add(1);
                            let wait = back_off_us(&self.options, tries, chance);
                            (lane.tries, lane.not_before_us) = (tries, self.now_us.saturating_add(wait));
                        }
                    }
                }
            }
        }
        if taken {
            self.failures = 0;
        } else if away {
            self.failures = self.failures.saturating_add(1);
            self.gate_us = self.now_us.saturating_add(self.back_off_us(self.failures, chance));
        }
        for chunk in events.chunks(STATUS_EVENTS_MAX) {
            outputs.push(Output::Append(chunk.to_vec()));
        }
        drives.into_iter().for_each(|drive| self.arrange(drive));
        self.judge(verdicts, outputs);
    }

    pub(super) fn back_off_us(&self, tries: u32, chance: u64) -> u64 {
        back_off_us(&self.options, tries, chance)
    }

    pub(super) fn awaits(&self) -> bool {
        !self.due.is_empty() || !self.batches.is_empty()
    }

    pub(super) fn poll(&mut self, outputs: &mut Vec<Output>) {
        if !self.polling && self.awaits() && self.now_us >= self.poll_at_us {
            self.polling = true;
            outputs.push(Output::Poll);
        }
    }

    pub(super) fn verdicts(&mut self, verdicts: Vec<TaxStatus>, outputs: &mut Vec<Output>) {
        self.polling = false;
        self.poll_failures = 0;
        // There may be more at once, but from a service that only says again what it has said.
        let wait = if self.judge(verdicts, outputs) { 0 } else { self.options.poll_us };
        self.poll_at_us = self.now_us.saturating_add(wait);
    }

    /// Turns verdicts into statuses. One that is there already, or that nobody waits for, changes nothing; false: none did.
    pub(super) fn judge(&mut self, verdicts: Vec<TaxStatus>, outputs: &mut Vec<Output>) -> bool {
        let mut events = Vec::new();
        for verdict in verdicts {
            let id = bounded_id(verdict.id());
            let Some(position) = self.ids.get(id).copied() else {
                self.strays = self.strays.saturating_add(1);
                // Its receipt may still be on the way.
                if !self.batches.is_empty() && self.early.len() < EARLY_MAX {
                    self.early.insert(id.to_owned(), verdict);
                }
                continue;
            };
            let Some(entry) = self.window.get_mut(&position) else { continue };
            if std::mem::replace(&mut entry.told, true) {
                self.repeats = self.repeats.saturating_add(1);
                continue;
            }
            let (kind, code, tag) = verdict.parts();
            let mut event = entry.event(kind);
            // The one that it was sent with last goes without saying.
            if entry.ids.last().is_some_and(|last| **last != *id) {
                id.clone_into(&mut event.id);
            }
            events.push(StatusEvent { code, tag, ..event });
        }
        if self.batches.is_empty() {
            self.early.clear();
        }
        for chunk in events.chunks(STATUS_EVENTS_MAX) {
            outputs.push(Output::Append(chunk.to_vec()));
        }
        !events.is_empty()
    }
}

impl Entry {
    fn event(&self, kind: StatusKind) -> StatusEvent {
        let Document { position, drive, number, .. } = self.document;
        StatusEvent { kind, position, drive, number, attempt: self.attempt.max(1), ..StatusEvent::default() }
    }
}

/// The wait before a try, with up to half of it left to chance.
pub(super) fn back_off_us(options: &TaxOptions, tries: u32, chance: u64) -> u64 {
    let doubled = options.back_off_min_us.saturating_mul(1u64 << tries.saturating_sub(1).min(30));
    let half = doubled.min(options.back_off_max_us) / 2;
    half.saturating_add(chance.checked_rem(half.saturating_add(1)).unwrap_or_default())
}
