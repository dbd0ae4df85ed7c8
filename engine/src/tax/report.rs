//! What the engine tells of the leg to the tax service: the state of a document, the account of a drive, counts by day, and whether
//! the two sides agree.
//!
//! Unit: documents that the tax service has to get (outbox.rs says which).

use std::collections::{BTreeMap, BTreeSet};

use ofd_codec::DriveNumber;
use ofd_storage::Lsn;
use ofd_storage::status::StatusKind;

use super::account::{Account, DayCounts, Remark, Settled, Totals, day_of};
use super::command::TaxCommand;
use super::leg::document_of;
use super::outbox::{Document, TaxState, drive_of};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::host::{Capability, Scope};
use crate::query::StoredDocument;

/// Documents of a drive that are read at once.
const RECONCILED_AT_ONCE: u32 = 1_000;
/// How often a reconciliation reads what came meanwhile.
const RECONCILED_ATTEMPTS: u32 = 8;
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
    /// log and archive, and held against the account, which is counted; both as of one moment. For the operator; for anybody else
    /// it is empty.
    ///
    /// # Errors
    /// As [`Engine::find`].
    pub fn tax_reconciliation(
        &self,
        capability: &Capability,
        drive: DriveNumber,
    ) -> Result<TaxReconciliation, Error> {
        if *capability.scope() != Scope::Operator || self.shared().host.tax.is_none() {
            return Ok(TaxReconciliation::default());
        }
        let mut looked_at = BTreeSet::new();
        let mut known: BTreeMap<u64, (Document, i32)> = BTreeMap::new();
        for attempt in 1.. {
            let entries = self.entries(drive, &(0..=u32::MAX), None)?;
            let new = entries.iter().filter(|it| !looked_at.contains(&it.lsn));
            let mut numbers: BTreeSet<u32> = new.map(|it| it.number).collect();
            looked_at.extend(entries.iter().map(|it| it.lsn));
            while let Some(from) = numbers.pop_first() {
                let to = from.saturating_add(RECONCILED_AT_ONCE - 1);
                numbers.retain(|it| *it > to);
                for stored in self.documents(capability, drive, from..=to)? {
                    let Some(document) = document_of(&stored) else { continue };
                    let local = stored.document().and_then(|view| view.header().date_time);
                    let day = match local.map(|it| i32::try_from(it.0 / 86_400)) {
                        Some(Ok(day)) => day,
                        _ => day_of(document.received_at_us, self.shared().options.operator_zone_min),
                    };
                    known.insert(document.position, (document, day));
                }
            }
            let outbox = self.shared().tax.outbox();
            let account = outbox.account(drive.to_bcd_u64());
            let passed = || known.range(..=outbox.told()).map(|it| it.1);
            // More may have come while these were read.
            if passed().count() as u64 != u64::from(account.stored) && attempt < RECONCILED_ATTEMPTS {
                continue;
            }
            let mut days: BTreeMap<i32, ReconciledDay> = BTreeMap::new();
            for (document, day) in passed() {
                let before = outbox.word_before(document.position);
                days.entry(*day).or_default().count(&outbox.state(document), before);
            }
            return Ok(TaxReconciliation { days, account });
        }
        Ok(TaxReconciliation::default())
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
    /// One document more. One that is sent again keeps the word it had until the next.
    fn count(&mut self, state: &TaxState, before: Option<Option<StatusKind>>) {
        self.stored = self.stored.saturating_add(1);
        match (before, state) {
            (Some(Some(word)), _) => self.settled.replace(None, word),
            (Some(None), _) | (None, TaxState::Settled) => self.untold = self.untold.saturating_add(1),
            (None, TaxState::Waiting | TaxState::NotSent) => self.waiting = self.waiting.saturating_add(1),
            (None, TaxState::Sent { .. }) => self.sent = self.sent.saturating_add(1),
            (None, TaxState::Accepted) => self.settled.replace(None, StatusKind::Accepted),
            (None, TaxState::Warned(remark) | TaxState::Refused(remark)) => {
                self.settled.replace(None, remark.kind);
            }
        }
    }

    /// Whether every stored document is accounted for once.
    pub fn adds_up(&self) -> bool {
        let told =
            [self.sent, self.waiting, self.untold].into_iter().fold(self.settled.sum(), u64::saturating_add);
        told == self.stored
    }
}

/// The documents of a drive beside its account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaxReconciliation {
    /// What was read, by local day since 1970-01-01.
    pub days: BTreeMap<i32, ReconciledDay>,
    /// What was counted.
    pub account: Account,
}

impl TaxReconciliation {
    /// Documents that were read.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.days.values().fold(0, |sum, it| sum.saturating_add(it.stored))
    }

    /// Whether what was read is what was counted, and each document of it is accounted for once.
    #[must_use]
    pub fn agrees(&self) -> bool {
        let settled = |it: &ReconciledDay| it.settled.sum().saturating_add(it.untold);
        let settled = self.days.values().map(settled).fold(0, u64::saturating_add);
        self.days.values().all(ReconciledDay::adds_up)
            && self.stored() == u64::from(self.account.stored)
            && settled == self.account.settled.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // What is stored is accepted, refused, on its way or waiting: nothing twice, nothing else; and a resend that is under way is no
    // difference.
    #[test]
    fn counts_of_a_day_add_up() {
        use StatusKind::{Accepted, Quarantined, Refused};
        let sent = || TaxState::Sent { at_us: 0, attempt: 1, id: String::new() };
        let mut day = ReconciledDay::default();
        let mut account = Account::default();
        for (state, before, counted) in [
            (TaxState::Accepted, None, Some(Accepted)),
            (TaxState::Waiting, None, None),
            (sent(), None, None),
            (TaxState::Waiting, Some(Some(Refused)), Some(Refused)),
            (sent(), Some(Some(Accepted)), Some(Accepted)),
            (sent(), Some(None), Some(Quarantined)),
            (TaxState::Settled, None, Some(Quarantined)),
        ] {
            day.count(&state, before);
            account.stored = account.stored.saturating_add(1);
            counted.into_iter().for_each(|it| account.settled.replace(None, it));
        }
        assert!(day.adds_up());
        let Settled { accepted, refused, .. } = day.settled;
        assert_eq!((accepted, refused, day.untold, day.sent, day.waiting), (2, 1, 2, 1, 1));
        let whole = TaxReconciliation { days: BTreeMap::from([(1, day)]), account };
        assert!(whole.agrees());
        let more = Account { stored: 8, ..account };
        assert!(!TaxReconciliation { account: more, ..whole }.agrees());
    }
}
