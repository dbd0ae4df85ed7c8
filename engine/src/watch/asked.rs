//! What is asked of the watch: indicators of risk, a rule switched, a rule replayed.

#[cfg(feature = "parquet")]
use ofd_codec::DriveNumber;
use ofd_codec::rules::life::LifeRuleId;
use ofd_storage::envelope::Realm;
#[cfg(feature = "parquet")]
use ofd_storage::union::StoredFinding;
use ofd_storage::{ErrorKind, Position};

use super::{Risk, RuleSet, RuleSwitch, SIXTY_DAYS_SECONDS};
use crate::engine::Engine;
use crate::error::Error;
use crate::host::Capability;
use crate::live::RegisterBook;
use crate::readonly::ReadOnly;
use crate::registers::{Event, EventKind};

/// Most registers of one answer.
pub const RISKS_MAX: usize = 100_000;

/// The risk indicators of one register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterRisk {
    /// Production or test.
    pub realm: Realm,
    /// 1037.
    pub rnm: String,
    /// 1018.
    pub inn: Option<String>,
    /// Shares of thirty days, with how many more reach the limit.
    pub risk: Risk,
    /// When its newest document came, microseconds UTC.
    pub last_seen_us: i64,
    /// When sixty days without a document will have passed, microseconds UTC.
    pub sixty_days_us: i64,
}

/// The risk indicators of some registers (order 88н of the finance ministry).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Risks {
    /// Of each register, in the order of their appearance, at most [`RISKS_MAX`].
    pub registers: Vec<RegisterRisk>,
    /// Of all of them together, test drives apart: of an organisation where these are its registers. Each counts by its own window.
    pub whole: Risk,
}

impl RegisterBook {
    /// The risk indicators of the registers of one organisation (INN, 1018), or of all that the capability shows.
    #[must_use]
    pub fn risks(&self, inn: Option<&str>) -> Risks {
        let mut risks = Risks::default();
        self.each_risk(inn, &mut |card, risk| {
            if card.realm == Realm::Prod {
                risks.whole = risks.whole.plus(risk);
            }
            if risks.registers.len() < RISKS_MAX {
                let sixty_days_us = i64::from(SIXTY_DAYS_SECONDS).saturating_mul(1_000_000);
                risks.registers.push(RegisterRisk {
                    realm: card.realm,
                    rnm: card.rnm,
                    inn: card.inn,
                    risk,
                    last_seen_us: card.last_seen_us,
                    sixty_days_us: card.last_seen_us.saturating_add(sixty_days_us),
                });
            }
        });
        risks
    }
}

impl Engine {
    /// The risk indicators of the registers of one organisation, or of all that the capability shows, as far as the fold behind
    /// the watermark has come; see [`RegisterBook::risks`].
    #[must_use]
    pub fn risks(&self, capability: &Capability, inn: Option<&str>) -> Risks {
        self.registers(capability).risks(inn)
    }

    /// Switches a rule across documents on or off, from here on: by a record of the log, so that a replay asks the same rules at
    /// the same positions. What was told before stays. The position of the record.
    ///
    /// # Errors
    /// `Fix` for a rule that there is not or that is one of one document, or without a name and a reason; `Reopen` when the log has
    /// failed.
    pub fn switch_rule(&self, rule: &str, on: bool, by: &str, reason: &str) -> Result<Position, Error> {
        let switch =
            RuleSwitch::new(rule, on, by, reason).map_err(|text| Error::new(ErrorKind::Fix, text))?;
        self.append_commands([switch.to_payload()]).map(Position::new)
    }

    /// The rules across documents that are asked now.
    #[must_use]
    pub fn rule_set(&self) -> RuleSet {
        self.shared().book.read().rule_set().clone()
    }
}

impl ReadOnly {
    /// What one rule across documents finds in everything there is, from the first record of the archive to
    /// [`ReadOnly::durable`], whatever the log has switched: of a rule that is new or was off. Nothing that was told changes: answers,
    /// rows of the archive and events stay as they are. `ours` as for [`ReadOnly::registers`].
    ///
    /// # Errors
    /// Of the system; the first of `each`.
    pub fn replay_rule(
        &self,
        capability: &Capability,
        rule: LifeRuleId,
        ours: Option<&str>,
        each: &mut dyn FnMut(Event) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut failed = Ok(());
        self.fold_asking(RuleSet::only(rule), ours, &mut |event| {
            let found = matches!(event.kind, EventKind::Found(_) | EventKind::FindingEnded(_));
            if failed.is_ok() && found && capability.sees(event.inn.as_deref()) {
                failed = each(event);
            }
        })?;
        failed
    }

    /// As [`ReadOnly::replay_rule`], each finding as a row of `violations` tells it: of a state all its rows.
    ///
    /// # Errors
    /// As there.
    #[cfg(feature = "parquet")]
    pub fn replay_findings(
        &self,
        capability: &Capability,
        rule: LifeRuleId,
        drive: Option<DriveNumber>,
        each: &mut dyn FnMut(StoredFinding),
    ) -> Result<(), Error> {
        self.replay_rule(capability, rule, None, &mut |event| {
            if drive.is_none_or(|drive| event.drive == drive) {
                crate::derive::stored_of(&event).into_iter().for_each(&mut *each);
            }
            Ok(())
        })
    }
}
