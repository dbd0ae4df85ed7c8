//! What an operator asks and tells a running engine by `ofd admin`, as it travels over `control.sock`.
//!
//! ```text
//! {"do":"admin.status"}                                  ─▶ health, door, and the leg to the tax service
//! {"do":"door.defer","by":"…","reason":"…"}              ─▶ {"position":N}   (also door.accept, door.drain)
//! {"do":"tax.pause","fn":"7100…","by":"…","reason":"…"}  ─▶ {"position":N}   (also tax.resume; without fn the whole leg)
//! {"do":"tax.resend","fn":"7100…","from":1,"to":9,"by":"…","reason":"…"}  ─▶ {"position":N}
//! {"do":"tax.status","fn":"7100…","fd":17}               ─▶ what became of the document
//! {"do":"tax.account","fn":"7100…"}                      ─▶ the account of a drive
//! {"do":"tax.reconcile","fn":"7100…"}                    ─▶ a line a local day, and one whether they agree with the account
//! {"do":"tax.remarks","after_fn":"7100…","after_fd":17,"most":1000}  ─▶ a line a document the service has something against
//! {"do":"tax.days"}                                      ─▶ a line a day
//! {"do":"rule.switch","rule":"D2","on":false,"by":"…","reason":"…"}       ─▶ {"position":N}
//! {"do":"admin.rules"}                                   ─▶ a line a rule across documents, and whether it is asked
//! {"do":"fold.rebuild","fold":"registers","by":"…","reason":"…"}          ─▶ {"position":N}   (also fold tax)
//! {"do":"admin.gap","fn":"7100…","fd":17}                ─▶ what is known about a number
//! ```
//!
//! What changes state is a record of the log with who and why; its position is the answer. Another command is another variant here and
//! another arm in each of the three functions.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan as _};
use ofd_codec::rules::life::{LifeRule, life_rules};
use ofd_codec::{Civil, DriveNumber};
use serde_json::{Value, json};

use crate::door::DoorCommand;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::host::Capability;
use crate::query::StoredDocument;
use crate::rebuild::Fold;
use crate::registers::Range;
use crate::tax::{Account, Remark, Settled, TaxCommand, TaxReconciliation, TaxState};
use crate::watch::RuleSwitch;
use crate::whereabouts::{Explanation, Neighbour, Whereabouts};

/// Lines of remarks at most.
const REMARKS_MAX: usize = 100_000;

/// A request of `ofd admin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admin {
    /// How the engine is.
    Status,
    /// A word to the door, who and why.
    Door(DoorCommand, String, String),
    /// A word to the leg to the tax service, who and why.
    Tax(TaxCommand, String, String),
    /// What became of a document.
    TaxStatus(DriveNumber, u32),
    /// The account of a drive.
    TaxAccount(DriveNumber),
    /// The documents of a drive by day, held against its account.
    TaxReconcile(DriveNumber),
    /// What the service has something against.
    TaxRemarks {
        /// Behind this one.
        after: Option<(DriveNumber, u32)>,
        /// At most so many.
        most: u32,
    },
    /// The daily report.
    TaxDays,
    /// A rule across documents is asked from here on, or not.
    Rule(RuleSwitch),
    /// The rules across documents.
    Rules,
    /// A fold is made anew, who and why.
    Rebuild(Fold, String, String),
    /// Why a number of a drive is missing.
    Gap(DriveNumber, u32),
}

impl Admin {
    /// As JSON.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Status => json!({"do": "admin.status"}),
            Self::Door(command, by, reason) => json!({"do": command.name(), "by": by, "reason": reason}),
            // As the command in the log says it.
            Self::Tax(command, by, reason) => {
                serde_json::from_slice(&command.to_payload(by, reason)).unwrap_or_default()
            }
            Self::TaxStatus(drive, number) => json!({"do": "tax.status", "fn": drive.as_str(), "fd": number}),
            Self::TaxAccount(drive) => json!({"do": "tax.account", "fn": drive.as_str()}),
            Self::TaxReconcile(drive) => json!({"do": "tax.reconcile", "fn": drive.as_str()}),
            Self::TaxRemarks { after: None, most } => json!({"do": "tax.remarks", "most": most}),
            Self::TaxRemarks { after: Some((drive, number)), most } => {
                json!({"do": "tax.remarks", "after_fn": drive.as_str(), "after_fd": number, "most": most})
            }
            Self::TaxDays => json!({"do": "tax.days"}),
            // As the record in the log says it.
            Self::Rule(switch) => serde_json::from_slice(&switch.to_payload()).unwrap_or_default(),
            Self::Rules => json!({"do": "admin.rules"}),
            Self::Rebuild(fold, by, reason) => {
                json!({"do": "fold.rebuild", "fold": fold.name(), "by": by, "reason": reason})
            }
            Self::Gap(drive, number) => json!({"do": "admin.gap", "fn": drive.as_str(), "fd": number}),
        }
    }

    /// Reads one; `None` when `do` is none of these.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub(super) fn of_json(value: &Value) -> Option<Result<Self, String>> {
        let what = value.get("do")?.as_str()?;
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (by, reason) = (text("by"), text("reason"));
        if let Some(command) = DoorCommand::ALL.into_iter().find(|it| it.name() == what) {
            return Some(Ok(Self::Door(command, by, reason)));
        }
        let number = |key: &str| {
            let number = value.get(key).and_then(Value::as_u64).and_then(|it| u32::try_from(it).ok());
            number.ok_or_else(|| format!("{key} has to be a number of 32 bits"))
        };
        let drive =
            |key: &str| DriveNumber::parse(&text(key)).map_err(|_| format!("{key} has to be a drive number"));
        Some(match what {
            "admin.status" => Ok(Self::Status),
            "tax.pause" | "tax.resume" | "tax.resend" => TaxCommand::of_value(value)
                .map(|command| Self::Tax(command, by, reason))
                .ok_or_else(|| "fn has to be a drive number, from and to numbers of 32 bits".to_owned()),
            "tax.status" => drive("fn").and_then(|drive| Ok(Self::TaxStatus(drive, number("fd")?))),
            "tax.account" => drive("fn").map(Self::TaxAccount),
            "tax.reconcile" => drive("fn").map(Self::TaxReconcile),
            "tax.remarks" if value.get("after_fn").is_none() => {
                number("most").map(|most| Self::TaxRemarks { after: None, most })
            }
            "tax.remarks" => drive("after_fn").and_then(|drive| {
                Ok(Self::TaxRemarks { after: Some((drive, number("after_fd")?)), most: number("most")? })
            }),
            "tax.days" => Ok(Self::TaxDays),
            "rule.switch" => RuleSwitch::of_value(value).map(Self::Rule),
            "admin.rules" => Ok(Self::Rules),
            "fold.rebuild" => match Fold::by_name(&text("fold")) {
                Some(fold) => Ok(Self::Rebuild(fold, by, reason)),
                None => Err("fold has to be registers or tax".to_owned()),
            },
            "admin.gap" => drive("fn").and_then(|drive| Ok(Self::Gap(drive, number("fd")?))),
            _ => return None,
        })
    }

    /// The answers, JSON texts.
    pub(super) fn answer(&self, engine: &Engine) -> Result<Vec<String>, Error> {
        // Who may open the socket may open the files: the operator.
        let operator = Capability::operator();
        let position = |lsn: ofd_storage::Lsn| vec![json!({"position": lsn.get()}).to_string()];
        Ok(match self {
            Self::Status => vec![status_line(engine)],
            Self::Door(command, by, reason) => position(engine.door_command(*command, by, reason)?),
            Self::Tax(command, by, reason) => position(engine.tax_command(*command, by, reason)?),
            Self::TaxStatus(drive, number) => {
                let found = engine.tax_status(&operator, *drive, *number)?;
                let text = format!("{drive}/{number}: no such document");
                let state = found.ok_or_else(|| Error::new(ErrorKind::Fix, text))?;
                vec![state_json(*drive, *number, &state).to_string()]
            }
            Self::TaxAccount(drive) => {
                vec![account_json(*drive, engine.tax_account(&operator, *drive)).to_string()]
            }
            Self::TaxReconcile(drive) => reconciled(*drive, &engine.tax_reconciliation(&operator, *drive)?),
            Self::TaxRemarks { after, most } => {
                let most = usize::try_from(*most).unwrap_or(usize::MAX).min(REMARKS_MAX);
                let remarks = engine.tax_remarks(&operator, *after, most);
                let line = |(drive, number, remark): &(DriveNumber, u32, Remark)| {
                    let mut value = json!({"fn": drive.as_str(), "fd": number});
                    put_remark(&mut value, remark);
                    value.to_string()
                };
                remarks.iter().map(line).collect()
            }
            Self::TaxDays => {
                let days = engine.tax_days();
                days.iter().map(|(day, counts)| day_line(*day, counts)).collect()
            }
            Self::Rule(RuleSwitch { rule, on, by, reason }) => {
                let position = engine.switch_rule(rule.rule().key, *on, by, reason)?;
                vec![json!({"position": position.as_u64()}).to_string()]
            }
            Self::Rules => {
                let set = engine.rule_set();
                let line = |rule: &LifeRule| {
                    json!({"rule": rule.key, "on": set.is_on(rule.id), "name": rule.name, "explanation": rule.explain_ru}).to_string()
                };
                life_rules().iter().map(line).collect()
            }
            Self::Rebuild(fold, by, reason) => position(engine.rebuild_fold(*fold, by, reason)?),
            Self::Gap(drive, number) => {
                let known = engine.explain_number(&operator, *drive, *number)?;
                let text = format!("{drive}: nothing has come of this drive");
                let known = known.ok_or_else(|| Error::new(ErrorKind::Fix, text))?;
                vec![explanation_json(&known).to_string()]
            }
        })
    }
}

fn status_line(engine: &Engine) -> String {
    let leg = engine.tax_overview();
    let now_us = engine.shared().now().wall_us;
    let drives: Vec<_> = leg.paused_drives.iter().map(DriveNumber::as_str).collect();
    let mut tax = json!({
        "on": leg.on,
        "paused": leg.paused,
        "paused_drives": drives,
        "position": leg.position,
        "stored": leg.totals.stored,
        "sent": leg.totals.sent,
        "resent": leg.totals.resent,
        "waiting": leg.totals.waiting(),
        "awaiting": leg.awaiting,
        "in_memory": leg.window,
        "oldest_unsent_s": leg.oldest_unsent_us.map(|at| now_us.saturating_sub(at) / 1_000_000),
        "retries": leg.retries,
        "stray_verdicts": leg.strays,
        "repeated_verdicts": leg.repeats,
    });
    put_settled(&mut tax, leg.totals.settled);
    json!({
        "health": format!("{:?}", engine.health()).to_lowercase(),
        "durable": engine.durable().as_u64(),
        "draining": engine.is_asked_to_drain(),
        "tax": tax,
    })
    .to_string()
}

/// What became of a document: `{"fn":…,"fd":…,"state":"refused","kind":"refused","code":507,"tag":1020,"at":"…"}`.
pub fn state_json(drive: DriveNumber, number: u32, state: &TaxState) -> Value {
    let mut value = json!({"fn": drive.as_str(), "fd": number});
    let name = match state {
        TaxState::Waiting => "waiting",
        TaxState::Sent { .. } => "sent",
        TaxState::Accepted => "accepted",
        TaxState::Warned(_) => "warned",
        TaxState::Refused(_) => "refused",
        TaxState::Settled => "settled",
        TaxState::NotSent => "not_sent",
    };
    put(&mut value, "state", name.into());
    match state {
        TaxState::Sent { at_us, attempt, id } => {
            put(&mut value, "at", time(*at_us).into());
            put(&mut value, "attempt", (*attempt).into());
            put(&mut value, "id", id.as_str().into());
        }
        TaxState::Warned(remark) | TaxState::Refused(remark) => put_remark(&mut value, remark),
        TaxState::Waiting | TaxState::Accepted | TaxState::Settled | TaxState::NotSent => {}
    }
    value
}

fn account_json(drive: DriveNumber, account: Account) -> Value {
    let mut value = json!({"fn": drive.as_str(), "stored": account.stored, "waiting": account.waiting()});
    put_settled(&mut value, account.settled);
    value
}

/// What is known about a number:
/// `{"fn":…,"fd":…,"state":"missing","missing":[87,88],"documents":[],"before":{"fd":86,…},"after":{"fd":89,…},"service":[[84,90]],…,"words":"…"}`.
fn explanation_json(known: &Explanation) -> Value {
    let range = |it: &Range| json!([it.first, it.last]);
    let missing = match known.whereabouts {
        Whereabouts::Missing(of) => Some(range(&of)),
        _ => None,
    };
    let stored = |it: &StoredDocument| {
        json!({
            "position": it.position().as_u64(),
            "received_at": time(it.received_at_us()),
            "answer_code": it.answer_code(),
        })
    };
    let beside = |it: &Neighbour| {
        let header = it.header();
        json!({
            "fd": it.number,
            "form": header.map(|it| it.form.to_string()),
            "at": header.and_then(|it| it.date_time).map(|at| Civil::from(at).to_string()),
            "position": it.document.as_ref().map(|it| it.position().as_u64()),
            "received_at": it.document.as_ref().map(|it| time(it.received_at_us())),
        })
    };
    let (backlog, since) = known.backlog.unzip();
    json!({
        "fn": known.drive.as_str(),
        "fd": known.number,
        "state": known.whereabouts.name(),
        "missing": missing,
        "documents": known.documents.iter().map(stored).collect::<Vec<_>>(),
        "before": known.before.as_ref().map(beside),
        "after": known.after.as_ref().map(beside),
        "service": known.service.iter().map(range).collect::<Vec<_>>(),
        "left": known.left,
        "backlog": backlog,
        "backlog_since": since.flatten().map(|at| Civil::from(at).to_string()),
        "words": known.words(),
    })
}

/// A line a day, and one that holds all of them against what was counted.
fn reconciled(drive: DriveNumber, whole: &TaxReconciliation) -> Vec<String> {
    let mut lines = Vec::new();
    for (day, counts) in &whole.days {
        let mut value = json!({
            "fn": drive.as_str(),
            "date": date_of(*day),
            "stored": counts.stored,
            "sent": counts.sent,
            "waiting": counts.waiting,
            "untold": counts.untold,
        });
        put_settled(&mut value, counts.settled);
        lines.push(value.to_string());
    }
    let mut total = account_json(drive, whole.account);
    put(&mut total, "read", whole.stored().into());
    put(&mut total, "agrees", whole.agrees().into());
    lines.push(total.to_string());
    lines
}

fn date_of(day: i32) -> String {
    Date::constant(1970, 1, 1).saturating_add(i64::from(day).days()).to_string()
}

fn put_settled<N: Into<u64>>(value: &mut Value, settled: Settled<N>) {
    let Settled { accepted, warned, quarantined, refused, given_up } = settled;
    put(value, "accepted", accepted.into().into());
    put(value, "warned", warned.into().into());
    put(value, "quarantined", quarantined.into().into());
    put(value, "refused", refused.into().into());
    put(value, "given_up", given_up.into().into());
}

fn put_remark(value: &mut Value, remark: &Remark) {
    put(value, "kind", remark.kind.as_str().into());
    put(value, "code", remark.code.into());
    put(value, "tag", remark.tag.into());
    put(value, "at", time(remark.at_us).into());
    put(value, "position", remark.position.into());
}

fn put(value: &mut Value, key: &str, member: Value) {
    if let Some(fields) = value.as_object_mut() {
        fields.insert(key.to_owned(), member);
    }
}

fn day_line(day: i32, counts: &crate::tax::DayCounts) -> String {
    json!({
        "date": date_of(day),
        "documents": counts.stored,
        "messages": counts.sent,
        "accepted": counts.accepted,
        "warned": counts.warned,
        "duplicate": counts.duplicate,
        "quarantined": counts.quarantined,
        "refused": counts.refused,
        "given_up": counts.given_up,
    })
    .to_string()
}

fn time(at_us: i64) -> String {
    Timestamp::from_microsecond(at_us).map(|it| it.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;

    // What the tool sends is what the server reads.
    #[test]
    fn a_request_comes_back_from_its_json() {
        let drive = DriveNumber::parse("7100000000000001").unwrap();
        let words = || ("смена".to_owned(), "сбой".to_owned());
        for request in [
            Admin::Status,
            Admin::Door(DoorCommand::Defer, words().0, words().1),
            Admin::Door(DoorCommand::Accept, words().0, words().1),
            Admin::Door(DoorCommand::Drain, words().0, words().1),
            Admin::Tax(TaxCommand::Pause(None), words().0, words().1),
            Admin::Tax(TaxCommand::Resend { drive, from: 1, to: 9 }, words().0, words().1),
            Admin::TaxStatus(drive, 7),
            Admin::TaxAccount(drive),
            Admin::TaxReconcile(drive),
            Admin::TaxRemarks { after: None, most: 5 },
            Admin::TaxRemarks { after: Some((drive, 3)), most: 5 },
            Admin::TaxDays,
            Admin::Rule(RuleSwitch::new("D2", false, "смена", "сбой").unwrap()),
            Admin::Rules,
            Admin::Rebuild(Fold::Tax, words().0, words().1),
            Admin::Gap(drive, 7),
        ] {
            assert_eq!(Admin::of_json(&request.to_json()), Some(Ok(request)));
        }
        assert_eq!(Admin::of_json(&json!({"do": "status"})), None);
        // Who writes JSON chooses the order of its keys.
        let words = || ("смена".to_owned(), "сбой".to_owned());
        let request = json!({"by": "смена", "fn": "7100000000000001", "reason": "сбой", "do": "tax.pause"});
        let expected = Admin::Tax(TaxCommand::Pause(Some(drive)), words().0, words().1);
        assert_eq!(Admin::of_json(&request), Some(Ok(expected)));
        for bad in [
            json!({"do": "tax.pause", "fn": "x"}),
            json!({"do": "tax.status", "fn": "7100000000000001"}),
            json!({"do": "rule.switch", "rule": "A1", "on": false, "by": "x", "reason": "y"}),
            json!({"do": "rule.switch", "rule": "D2", "by": "x", "reason": "y"}),
            json!({"do": "fold.rebuild", "fold": "all", "by": "x", "reason": "y"}),
        ] {
            assert!(matches!(Admin::of_json(&bad), Some(Err(_))), "{bad}");
        }
    }
}
