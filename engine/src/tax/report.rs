//! What the engine tells of the leg to the tax service: the state of a document, the account of a drive, counts by day, and whether
//! the two sides agree.
//!
//! Unit: documents that the tax service has to get (outbox.rs says which).

use std::collections::BTreeMap;

use ofd_codec::DriveNumber;
use ofd_storage::Lsn;
use ofd_storage::status::{StatusEvent, StatusKind};

use super::account::{Account, DayCounts, Remark, Settled, Totals, day_of};
use super::command::TaxCommand;
use super::leg::document_of;
use super::outbox::{TaxState, drive_of};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::host::{Capability, Scope};
use crate::query::StoredDocument;

/// Documents of a drive that are read at once.
const RECONCILED_AT_ONCE: u32 = 1_000;
/// Drives that are named at most.
const DRIVES_NAMED_MAX: usize = 1_000;

/// The leg as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaxOverview {
    /// There is a tax service.
    pub on: bool,
    /// The whole leg is paused.
    pub paused: bool,
    /// Drives that are paused, at most 1,000.
    pub paused_drives: Vec<DriveNumber>,
    /// Of all drives.
    pub totals: Totals,
    /// Documents that were sent and whose verdict is due, as far as they are in memory.
    pub awaiting: u64,
    /// Documents in memory.
    pub window: u64,
    /// When the document that waits longest to be sent was received, microseconds UTC.
    pub oldest_unsent_us: Option<i64>,
    /// Sendings that had to be repeated since the process began.
    pub retries: u64,
    /// Verdicts for ids that nobody knows.
    pub strays: u64,
    /// Verdicts that had come before.
    pub repeats: u64,
    /// The outbox knows of everything up to here.
    pub position: u64,
}

impl Engine {
    /// How the leg is.
    pub fn tax_overview(&self) -> TaxOverview {
        let shared = self.shared();
        let outbox = shared.tax.outbox();
        let counts = outbox.counts();
        TaxOverview {
            on: shared.host.tax.is_some(),
            paused: outbox.is_paused(),
            paused_drives: outbox.paused_drives(DRIVES_NAMED_MAX).into_iter().filter_map(drive_of).collect(),
            totals: outbox.totals(),
            awaiting: counts.awaiting,
            window: counts.window,
            oldest_unsent_us: shared.tax.oldest_us(),
            retries: counts.retries,
            strays: counts.strays,
            repeats: counts.repeats,
            position: outbox.told(),
        }
    }

    /// What the tax service made of the document under a number; `None`: there is none, or the capability does not reach it.
    ///
    /// # Errors
    /// As [`Engine::find`].
    pub fn tax_status(
        &self,
        capability: &Capability,
        drive: DriveNumber,
        number: u32,
    ) -> Result<Option<TaxState>, Error> {
        let found = self.find(capability, drive, number)?;
        if self.shared().host.tax.is_none() {
            return Ok((!found.is_empty()).then_some(TaxState::NotSent));
        }
        // A test drive that has begun anew has several lives: the newest counts.
        let sent = found.iter().rev().find_map(document_of);
        Ok(match sent {
            Some(document) => Some(self.shared().tax.outbox().state(&document)),
            None => (!found.is_empty()).then_some(TaxState::NotSent),
        })
    }

    /// What the tax service made of a document that was found; `None`: there is no tax service.
    pub fn tax_state_of(&self, document: &StoredDocument) -> Option<TaxState> {
        self.shared().host.tax.as_ref()?;
        let sent = document_of(document);
        Some(sent.map_or(TaxState::NotSent, |it| self.shared().tax.outbox().state(&it)))
    }

    /// The account of a drive. For the operator; for anybody else it is empty.
    pub fn tax_account(&self, capability: &Capability, drive: DriveNumber) -> Account {
        if *capability.scope() != Scope::Operator {
            return Account::default();
        }
        self.shared().tax.outbox().account(drive.to_bcd_u64())
    }

    /// The documents of a drive by local day (1012, else the day they were received) and by what the tax service made of them: read from
    /// log and archive, so that they can be held against [`Engine::tax_account`], which is counted. For the operator; for
    /// anybody else it is empty.
    ///
    /// # Errors
    /// As [`Engine::find`].
    pub fn tax_reconciliation(
        &self,
        capability: &Capability,
        drive: DriveNumber,
    ) -> Result<BTreeMap<i32, ReconciledDay>, Error> {
        let mut days: BTreeMap<i32, ReconciledDay> = BTreeMap::new();
        if *capability.scope() != Scope::Operator || self.shared().host.tax.is_none() {
            return Ok(days);
        }
        let last = self.entries(drive, &(0..=u32::MAX), None)?.iter().map(|it| it.number).max();
        let mut from = 0;
        while last.is_some_and(|last| from <= last) {
            let to = from.saturating_add(RECONCILED_AT_ONCE - 1);
            for stored in self.documents(capability, drive, from..=to)? {
                let Some(document) = document_of(&stored) else { continue };
                let local = stored.document().and_then(|view| view.header().date_time);
                let day = match local.map(|it| i32::try_from(it.0 / 86_400)) {
                    Some(Ok(day)) => day,
                    _ => day_of(document.received_at_us, self.shared().options.operator_zone_min),
                };
                let state = self.shared().tax.outbox().state(&document);
                days.entry(day).or_default().count(&state);
            }
            let Some(next) = to.checked_add(1) else { break };
            from = next;
        }
        Ok(days)
    }

    /// Documents that the service has something against, behind this one, in the order of drive and number. For the operator.
    pub fn tax_remarks(
        &self,
        capability: &Capability,
        after: Option<(DriveNumber, u32)>,
        most: usize,
    ) -> Vec<(DriveNumber, u32, Remark)> {
        if *capability.scope() != Scope::Operator {
            return Vec::new();
        }
        let after = after.map_or((0, 0), |(drive, number)| (drive.to_bcd_u64(), number));
        let outbox = self.shared().tax.outbox();
        let named = |((drive, number), remark): ((u64, u32), &Remark)| {
            Some((drive_of(drive)?, number, remark.clone()))
        };
        outbox.remarks_after(after).filter_map(named).take(most).collect()
    }

    /// The statutory daily report: documents received, messages handed over and receipts of the service, by day of the operator's
    /// zone since 1970-01-01; 400 days are kept.
    pub fn tax_days(&self) -> BTreeMap<i32, DayCounts> {
        self.shared().tax.outbox().days().clone()
    }

    /// Tells the leg something, as a record of the log with who and why; its position.
    ///
    /// # Errors
    /// `Fix` when there is no leg, nobody says who and why, or the range is none; `Reopen` when the log has failed.
    pub fn tax_command(&self, command: TaxCommand, by: &str, reason: &str) -> Result<Lsn, Error> {
        let wrong = |what: &'static str| Error::new(ErrorKind::Fix, what);
        if self.shared().host.tax.is_none() {
            return Err(wrong("there is no tax service"));
        }
        let (by, reason) = crate::door::checked(by, reason)?;
        if matches!(command, TaxCommand::Resend { from, to, .. } if from > to) {
            return Err(wrong("the range ends before it begins"));
        }
        self.append_commands([command.to_payload(by, reason)])
    }
}

/// Documents of one drive and local day, by what the tax service made of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReconciledDay {
    /// Stored.
    pub stored: u64,
    /// By the last final word.
    pub settled: Settled<u64>,
    /// Sent, without a final word.
    pub sent: u64,
    /// Not sent yet.
    pub waiting: u64,
    /// With a final word that is not kept in memory ([`TaxState::Settled`]).
    pub untold: u64,
}

impl ReconciledDay {
    /// One document more.
    fn count(&mut self, state: &TaxState) {
        self.stored = self.stored.saturating_add(1);
        match state {
            TaxState::Waiting | TaxState::NotSent => self.waiting = self.waiting.saturating_add(1),
            TaxState::Sent { .. } => self.sent = self.sent.saturating_add(1),
            TaxState::Accepted => self.settled.replace(None, StatusKind::Accepted),
            TaxState::Settled => self.untold = self.untold.saturating_add(1),
            TaxState::Warned(remark) | TaxState::Refused(remark) => self.settled.replace(None, remark.kind),
        }
    }

    /// Whether every stored document is accounted for once.
    pub fn adds_up(&self) -> bool {
        let told =
            [self.sent, self.waiting, self.untold].into_iter().fold(self.settled.sum(), u64::saturating_add);
        told == self.stored
    }
}

/// A document for the reconciliation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconciledDocument {
    /// Number of its record in the log.
    pub position: u64,
    /// Drive, packed.
    pub drive: u64,
    /// Its local day, since 1970-01-01.
    pub day: i32,
}

/// The reconciliation of counts: a pure function of the documents and of the ledger in its order, which knows nothing of the
/// outbox. Statuses of other documents are passed over; second of the pair: how many there were.
pub fn reconcile<'e>(
    documents: impl IntoIterator<Item = ReconciledDocument>,
    ledger: impl IntoIterator<Item = &'e StatusEvent>,
) -> (BTreeMap<(u64, i32), ReconciledDay>, u64) {
    let mut known: BTreeMap<u64, (ReconciledDocument, Option<StatusKind>)> =
        documents.into_iter().map(|it| (it.position, (it, None))).collect();
    let mut foreign = 0u64;
    for event in ledger {
        match known.get_mut(&event.position) {
            // A document that is sent again stays what it was until the next final word.
            Some((_, Some(word))) if word.is_final() && !event.kind.is_final() => {}
            Some((_, word)) => *word = Some(event.kind),
            None => foreign = foreign.saturating_add(1),
        }
    }
    let mut days: BTreeMap<(u64, i32), ReconciledDay> = BTreeMap::new();
    for (document, word) in known.into_values() {
        let day = days.entry((document.drive, document.day)).or_default();
        day.stored = day.stored.saturating_add(1);
        match word {
            None => day.waiting = day.waiting.saturating_add(1),
            Some(kind) if kind.is_final() => day.settled.replace(None, kind),
            Some(_) => day.sent = day.sent.saturating_add(1),
        }
    }
    (days, foreign)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "a failed test may panic")]
    use super::*;

    fn event(position: u64, kind: StatusKind) -> StatusEvent {
        StatusEvent { kind, position, ..StatusEvent::default() }
    }

    // What is stored is accepted, refused, on its way or waiting: nothing twice, nothing else.
    #[test]
    fn counts_of_a_day_add_up() {
        use StatusKind::{Accepted, Duplicate, Quarantined, Refused, Sent, Warned};
        let documents = (1..=10).map(|position| ReconciledDocument {
            position,
            drive: position % 2,
            day: if position > 8 { 2 } else { 1 },
        });
        let ledger = [
            event(1, Sent),
            event(1, Accepted),
            event(2, Sent),
            event(2, Refused),
            event(2, Sent),
            event(3, Sent),
            event(4, Sent),
            event(4, Sent),
            event(4, Duplicate),
            event(5, Warned),
            event(6, Quarantined),
            event(6, Accepted),
            event(99, Accepted),
        ];
        let (days, foreign) = reconcile(documents, &ledger);
        assert_eq!(foreign, 1);
        assert!(days.values().all(ReconciledDay::adds_up));
        let odd = days[&(1, 1)];
        assert_eq!(
            (odd.stored, odd.settled.accepted, odd.settled.warned, odd.sent, odd.waiting),
            (4, 1, 1, 1, 1)
        );
        let even = days[&(0, 1)];
        assert_eq!(
            (even.stored, even.settled.accepted, even.settled.refused, even.sent, even.waiting),
            (4, 2, 1, 0, 1)
        );
        assert_eq!((days[&(1, 2)].waiting, days[&(0, 2)].waiting), (1, 1));
    }
}
