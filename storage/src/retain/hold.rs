//! Legal holds: what must not be removed whatever its age, because a court or an inspector has asked for it.
//!
//! Shape of the command in the log, JSON: `{"do":"hold.place","scope":{"drive":"9960440300000001"},"from":"2026-01-01",
//! "to":"2026-03-31","reason":"…","by":"…"}`, scope by `drive` or `inn`; `{"do":"hold.lift","id":4711,"reason":"…","by":"…"}`.
//! The number of a hold is the position of the command that placed it.
//!
//! A hold covers a document when the scope fits and the date of the document, or the date it was received, lies in the
//! range, first and last day included. What is not known of a document fits: an enciphered document without an INN is held
//! by every hold on an INN. A command to place a hold that cannot be read, because a newer version wrote it, holds
//! everything until its number is lifted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::columns::Day;

/// Longest text of a reason or a name, bytes.
pub const HOLD_TEXT_LEN_MAX: usize = 1024;

/// Whose documents are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldScope {
    /// Of a drive (1041).
    Drive(String),
    /// Of a user (1018).
    Inn(String),
    /// Everybody's: a hold that cannot be read.
    All,
}

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Whose documents.
    pub scope: HoldScope,
    /// First day, `YYYY-MM-DD`.
    pub from: Day,
    /// Last day, `YYYY-MM-DD`.
    pub to: Day,
    /// Why, in words.
    pub reason: String,
    /// Who placed it.
    pub by: String,
}

/// A command about holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do")]
pub enum HoldCommand {
    /// Places one; its number is the position of the command.
    #[serde(rename = "hold.place")]
    Place(Hold),
    /// Lifts one.
    #[serde(rename = "hold.lift")]
    Lift {
        /// Its number.
        id: u64,
        /// Why, in words.
        reason: String,
        /// Who lifts it.
        by: String,
    },
}

/// What a hold is asked about; `None` = not known.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its drive, without padding.
    pub drive: Option<&'a str>,
    /// Its INN.
    pub inn: Option<&'a str>,
    /// The date under which it lies, and the date it was received.
    pub days: [Day; 2],
}

impl Hold {
    /// Whether it keeps this document.
    pub fn covers(&self, subject: &Subject<'_>) -> bool {
        let fits = match &self.scope {
            HoldScope::Drive(drive) => subject.drive.is_none_or(|it| it == drive),
            HoldScope::Inn(inn) => subject.inn.is_none_or(|it| it == inn),
            HoldScope::All => true,
        };
        fits && subject.days.iter().any(|day| (self.from..=self.to).contains(day))
    }

    /// Whether it makes sense.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        let digits = |text: &str, lens: &[usize]| {
            lens.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        match &self.scope {
            HoldScope::Drive(drive) if !digits(drive, &[16]) => {
                Err("a drive number has 16 digits".to_owned())
            }
            HoldScope::Inn(inn) if !digits(inn, &[10, 12]) => Err("an INN has 10 or 12 digits".to_owned()),
            HoldScope::All => Err("a hold is on a drive or an INN".to_owned()),
            _ if self.from > self.to => Err(format!("from {} is after to {}", self.from, self.to)),
            _ => check_text(&self.reason, "reason").and_then(|()| check_text(&self.by, "by")),
        }
    }
}

fn check_text(text: &str, what: &str) -> Result<(), String> {
    match text.trim().len() {
        0 => Err(format!("{what} must not be empty")),
        HOLD_TEXT_LEN_MAX.. => Err(format!("{what} has at most {HOLD_TEXT_LEN_MAX} bytes")),
        _ => Ok(()),
    }
}

impl HoldCommand {
    /// Whether it makes sense by itself.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Place(hold) => hold.check(),
            Self::Lift { reason, by, .. } => check_text(reason, "reason").and_then(|()| check_text(by, "by")),
        }
    }

    /// The payload of the record.
    pub fn to_payload(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The holds that stand: a fold over the commands of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    by_id: BTreeMap<u64, Hold>,
}

impl Holds {
    /// Takes in a command of the log; one about something else changes nothing.
    pub fn fold(&mut self, position: u64, payload: &[u8]) {
        match serde_json::from_slice::<HoldCommand>(payload) {
            Ok(HoldCommand::Place(hold)) => drop(self.by_id.insert(position, hold)),
            Ok(HoldCommand::Lift { id, .. }) => drop(self.by_id.remove(&id)),
            Err(_) if is_placing(payload) => {
                tracing::error!(
                    position,
                    "alarm: a legal hold cannot be read, nothing is removed until it is lifted"
                );
                drop(self.by_id.insert(position, Hold::unreadable()));
            }
            Err(_) => {}
        }
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Hold)> {
        self.by_id.iter().map(|(id, hold)| (*id, hold))
    }

    /// Whether none stands.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Whether this one stands.
    pub fn contains(&self, id: u64) -> bool {
        self.by_id.contains_key(&id)
    }

    /// The first hold that keeps this document.
    pub fn keeping(&self, subject: &Subject<'_>) -> Option<u64> {
        self.iter().find(|(_, hold)| hold.covers(subject)).map(|(id, _)| id)
    }
}

impl Hold {
    fn unreadable() -> Self {
        Self {
            scope: HoldScope::All,
            from: Day(i32::MIN),
            to: Day(i32::MAX),
            reason: "it was placed by a newer version and cannot be read".to_owned(),
            by: "ofd-engine".to_owned(),
        }
    }
}

/// A command to place a hold, whatever else stands in it.
fn is_placing(payload: &[u8]) -> bool {
    let value: Option<serde_json::Value> = serde_json::from_slice(payload).ok();
    value.is_some_and(|it| it.get("do").and_then(serde_json::Value::as_str) == Some("hold.place"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;

    fn hold(scope: HoldScope, from: i32, to: i32) -> Hold {
        Hold { scope, from: Day(from), to: Day(to), reason: "суд".into(), by: "Иванова".into() }
    }

    /// All that a hold looks at, over all values that matter: the edges of the range, one, other and unknown.
    #[test]
    fn a_hold_covers_its_scope_and_days_and_what_is_not_known() {
        let of_drive = hold(HoldScope::Drive("1".into()), 10, 12);
        let of_inn = hold(HoldScope::Inn("1".into()), 10, 12);
        for key in [None, Some("1"), Some("2")] {
            for day in 8..15 {
                for received in 8..15 {
                    let days = [Day(day), Day(received)];
                    let dated = (10..=12).contains(&day) || (10..=12).contains(&received);
                    let expected = dated && key != Some("2");
                    let subject = Subject { drive: key, inn: Some("9"), days };
                    assert_eq!(of_drive.covers(&subject), expected, "{subject:?}");
                    let subject = Subject { drive: Some("9"), inn: key, days };
                    assert_eq!(of_inn.covers(&subject), expected, "{subject:?}");
                }
            }
        }
    }

    #[test]
    fn holds_are_what_their_commands_say() {
        let mut holds = Holds::default();
        let place = |scope| HoldCommand::Place(hold(scope, 0, 1)).to_payload();
        holds.fold(5, &place(HoldScope::Inn("7704211201".into())));
        holds.fold(9, &place(HoldScope::Drive("9960440300000001".into())));
        assert_eq!(holds.iter().map(|(id, _)| id).collect::<Vec<_>>(), [5, 9]);
        for nothing in [&b""[..], b"a command", b"{}", br#"{"do":"something"}"#, br#"{"do":"hold.lift"}"#] {
            holds.fold(11, nothing);
        }
        assert_eq!(holds.iter().count(), 2);
        holds.fold(12, &HoldCommand::Lift { id: 5, reason: "r".into(), by: "b".into() }.to_payload());
        assert_eq!(holds.iter().map(|(id, _)| id).collect::<Vec<_>>(), [9]);
        // What a newer version wrote is taken for the strictest.
        holds.fold(13, br#"{"do":"hold.place","scope":{"region":77}}"#);
        let anybody = Subject { drive: Some("0"), inn: Some("0"), days: [Day(0), Day(0)] };
        assert_eq!(holds.keeping(&anybody), Some(13));
        let text = String::from_utf8(place(HoldScope::Inn("7704211201".into()))).unwrap();
        assert_eq!(
            text,
            r#"{"do":"hold.place","scope":{"inn":"7704211201"},"from":"1970-01-01","to":"1970-01-02","reason":"суд","by":"Иванова"}"#
        );
    }

    #[test]
    fn a_hold_that_makes_no_sense_is_refused() {
        let good = hold(HoldScope::Inn("7704211201".into()), 1, 1);
        assert_eq!(good.check(), Ok(()));
        for bad in [
            Hold { scope: HoldScope::Inn("77".into()), ..good.clone() },
            Hold { scope: HoldScope::Drive("99604403000000O1".into()), ..good.clone() },
            Hold { scope: HoldScope::All, ..good.clone() },
            Hold { from: Day(2), ..good.clone() },
            Hold { reason: " ".into(), ..good.clone() },
            Hold { by: "x".repeat(HOLD_TEXT_LEN_MAX), ..good },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
