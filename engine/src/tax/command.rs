//! What an operator tells the leg, as command records of the log, with who and why.
//!
//! Shape: one JSON object. Without `fn` a pause and its end are of the whole leg.
//!
//! ```text
//! {"do":"tax.pause","fn":"7100…","by":"…","reason":"…"}
//! {"do":"tax.resume","fn":"7100…","by":"…","reason":"…"}
//! {"do":"tax.resend","fn":"7100…","from":17,"to":29,"by":"…","reason":"…"}
//! ```
//!
//! Invariant: what was written is read (test: `a_command_comes_back_from_its_record`).

use ofd_codec::DriveNumber;
use serde_json::{Value, json};

/// How the payloads begin: other commands are told apart without reading them.
const BEGIN: &[u8] = br#"{"do":"tax."#;

/// A command to the leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaxCommand {
    /// Send nothing of this drive, or nothing at all.
    Pause(Option<DriveNumber>),
    /// The end of it.
    Resume(Option<DriveNumber>),
    /// Send these documents once more, whatever was said of them.
    Resend {
        /// The drive.
        drive: DriveNumber,
        /// First number.
        from: u32,
        /// Last number.
        to: u32,
    },
}

impl TaxCommand {
    /// The payload of its record. Who and why are texts of the operator, never empty.
    pub(crate) fn to_payload(self, by: &str, reason: &str) -> Vec<u8> {
        let mut value = match self {
            Self::Pause(drive) => json!({"do": "tax.pause", "fn": drive.map(|it| it.to_string())}),
            Self::Resume(drive) => json!({"do": "tax.resume", "fn": drive.map(|it| it.to_string())}),
            Self::Resend { drive, from, to } => {
                json!({"do": "tax.resend", "fn": drive.to_string(), "from": from, "to": to})
            }
        };
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
            fields.insert("by".to_owned(), by.into());
            fields.insert("reason".to_owned(), reason.into());
        }
        value.to_string().into_bytes()
    }

    /// Reads the payload of a command; `None` when it is another command.
    pub fn of_payload(payload: &[u8]) -> Option<Self> {
        if !payload.starts_with(BEGIN) {
            return None;
        }
        Self::of_value(&serde_json::from_slice(payload).ok()?)
    }

    /// The same of an object that was read, whatever the order of its keys.
    pub(crate) fn of_value(value: &Value) -> Option<Self> {
        let drive = match value.get("fn") {
            None => None,
            Some(drive) => Some(DriveNumber::parse(drive.as_str()?).ok()?),
        };
        let number = |key: &str| value.get(key)?.as_u64().and_then(|it| u32::try_from(it).ok());
        match value.get("do")?.as_str()? {
            "tax.pause" => Some(Self::Pause(drive)),
            "tax.resume" => Some(Self::Resume(drive)),
            "tax.resend" => Some(Self::Resend { drive: drive?, from: number("from")?, to: number("to")? }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;

    // It is kept in the log for ever.
    #[test]
    fn a_command_comes_back_from_its_record() {
        let drive = DriveNumber::parse("7100000000000001").unwrap();
        for command in [
            TaxCommand::Pause(Some(drive)),
            TaxCommand::Pause(None),
            TaxCommand::Resume(Some(drive)),
            TaxCommand::Resume(None),
            TaxCommand::Resend { drive, from: 1, to: u32::MAX },
        ] {
            let payload = command.to_payload("ночная смена", "сбой «ФНС»");
            assert_eq!(TaxCommand::of_payload(&payload), Some(command));
        }
        for other in [
            &b"{\"do\":\"hold.place\"}"[..],
            b"{\"do\":\"tax.",
            br#"{"do":"tax.x"}"#,
            br#"{"do":"tax.pause","fn":7}"#,
        ] {
            assert_eq!(TaxCommand::of_payload(other), None);
        }
    }
}
