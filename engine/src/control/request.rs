//! What can be asked.

use ofd_codec::DriveNumber;
use ofd_storage::retain::{Hold, HoldCommand};
use serde_json::{Value, json};

use super::admin::Admin;
use super::import_line::{import_json, import_of};
use crate::import::Imported;
use crate::notify::SubscriptionCommand;
use crate::registers::LaneSeed;
use crate::watch::WatchCommand;

/// A document, by what is printed on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Number of the document (1040).
    Number(u32),
    /// Printed fiscal sign (1077): repeats, so more than one document may come.
    Sign(u32),
}

/// A request to the owner of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Counts.
    Status,
    /// A document in all its variants.
    Find {
        /// Its drive.
        drive: DriveNumber,
        /// Number or sign.
        wanted: Wanted,
        /// The container in hex instead of JSON.
        raw: bool,
    },
    /// Compaction.
    Compact {
        /// The open segment too.
        all: bool,
    },
    /// Verification.
    Verify,
    /// Merging of the archive.
    Merge {
        /// Today's runs too.
        all: bool,
    },
    /// Retention.
    Retain {
        /// Only tell what would go.
        dry_run: bool,
    },
    /// Places a legal hold.
    PlaceHold(Hold),
    /// Lifts one.
    LiftHold {
        /// Its number.
        id: u64,
        /// Why.
        reason: String,
        /// Who.
        by: String,
    },
    /// The holds that stand.
    Holds,
    /// Makes, changes, ends or sends back a subscription.
    Subscribe(SubscriptionCommand),
    /// The subscriptions that stand, and how far each is.
    Subscriptions,
    /// What `ofd admin` asks and tells.
    Admin(Admin),
    /// Where lanes begin whose drives move in without their documents.
    SeedLanes(Vec<LaneSeed>),
    /// A threshold of the traffic light, or where a register stands.
    Watch(WatchCommand),
    /// Documents that were answered elsewhere.
    Import {
        /// In order.
        documents: Vec<Imported>,
    },
}

impl Request {
    /// The line of this request, without its end.
    pub fn to_line(&self) -> String {
        match self {
            Self::Status => json!({"do": "status"}),
            Self::Find { drive, wanted: Wanted::Number(number), raw } => {
                json!({"do": "find", "fn": drive.as_str(), "fd": number, "raw": raw})
            }
            Self::Find { drive, wanted: Wanted::Sign(sign), raw } => {
                json!({"do": "find", "fn": drive.as_str(), "fpd": sign, "raw": raw})
            }
            Self::Compact { all } => json!({"do": "compact", "all": all}),
            Self::Verify => json!({"do": "verify"}),
            Self::Merge { all } => json!({"do": "merge", "all": all}),
            Self::Retain { dry_run } => json!({"do": "retain", "dry_run": dry_run}),
            // As the command in the log says it.
            Self::PlaceHold(hold) => json!(HoldCommand::Place(hold.clone())),
            Self::LiftHold { id, reason, by } => {
                json!(HoldCommand::Lift { id: *id, reason: reason.clone(), by: by.clone() })
            }
            Self::Holds => json!({"do": "hold.list"}),
            Self::Subscribe(command) => command.to_value(),
            Self::Subscriptions => json!({"do": "subscription.list"}),
            Self::Admin(admin) => admin.to_json(),
            Self::SeedLanes(seeds) => {
                let seeds = seeds.iter().filter_map(|it| serde_json::from_slice(&it.to_payload()).ok());
                json!({"do": "lane.seed", "seeds": seeds.collect::<Vec<Value>>()})
            }
            Self::Watch(command) => command.to_value(),
            Self::Import { documents } => {
                json!({"do": "import", "documents": documents.iter().map(import_json).collect::<Vec<_>>()})
            }
        }
        .to_string()
    }

    /// Reads a line.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn from_line(line: &str) -> Result<Self, String> {
        let request: Value =
            serde_json::from_str(line).map_err(|error| format!("not a JSON object: {error}"))?;
        let whole = |key: &str| match request.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value
                .as_u64()
                .and_then(|it| u32::try_from(it).ok())
                .map(Some)
                .ok_or_else(|| format!("{key} has to be a number of 32 bits")),
        };
        let flag = |key: &str| match request.get(key) {
            None | Some(Value::Null) => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| format!("{key} has to be true or false")),
        };
        if let Some(admin) = Admin::of_json(&request) {
            return admin.map(Self::Admin);
        }
        match request.get("do").and_then(Value::as_str) {
            Some("status") => Ok(Self::Status),
            Some("verify") => Ok(Self::Verify),
            Some("merge") => Ok(Self::Merge { all: flag("all")? }),
            Some("retain") => Ok(Self::Retain { dry_run: flag("dry_run")? }),
            Some("hold.list") => Ok(Self::Holds),
            Some("subscription.list") => Ok(Self::Subscriptions),
            Some(it) if it.starts_with("subscription.") => {
                SubscriptionCommand::of_value(&request).map(Self::Subscribe)
            }
            Some("import") => {
                let documents = request.get("documents").and_then(Value::as_array);
                let documents = documents.ok_or("documents has to be a list")?.iter().map(import_of);
                Ok(Self::Import { documents: documents.collect::<Result<_, _>>()? })
            }
            Some("lane.seed") => {
                let seeds = request.get("seeds").and_then(Value::as_array).ok_or("seeds has to be a list")?;
                Ok(Self::SeedLanes(seeds.iter().map(LaneSeed::of_value).collect::<Result<_, _>>()?))
            }
            Some("thresholds.set" | "register.place") => Ok(Self::Watch(WatchCommand::of_value(&request)?)),
            Some("hold.place" | "hold.lift") => match serde_json::from_value(request.clone()) {
                Ok(HoldCommand::Place(hold)) => Ok(Self::PlaceHold(hold)),
                Ok(HoldCommand::Lift { id, reason, by }) => Ok(Self::LiftHold { id, reason, by }),
                Err(error) => Err(format!("not a hold: {error}")),
            },
            Some("compact") => Ok(Self::Compact { all: flag("all")? }),
            Some("find") => {
                let drive = request.get("fn").and_then(Value::as_str).unwrap_or_default();
                let drive =
                    DriveNumber::parse(drive).map_err(|_| "fn has to be a drive number".to_owned())?;
                let wanted = match (whole("fd")?, whole("fpd")?) {
                    (Some(number), None) => Wanted::Number(number),
                    (None, Some(sign)) => Wanted::Sign(sign),
                    _ => return Err("find wants either fd or fpd".to_owned()),
                };
                Ok(Self::Find { drive, wanted, raw: flag("raw")? })
            }
            _ => {
                Err("do has to be status, find, compact, merge, verify, retain, import, lane.seed, thresholds.set, register.place or hold.*"
                    .to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;
    use crate::import::OriginalAnswer;
    use crate::watch::{Scope, Threshold};
    use ofd_storage::columns::Day;
    use ofd_storage::envelope::CryptoVerdict;
    use ofd_storage::retain::HoldScope;

    #[test]
    fn a_request_comes_back_from_its_line() {
        let drive = DriveNumber::parse("9999078900001234").unwrap();
        for request in [
            Request::Status,
            Request::Find { drive, wanted: Wanted::Number(7), raw: false },
            Request::Find { drive, wanted: Wanted::Sign(u32::MAX), raw: true },
            Request::Compact { all: true },
            Request::Compact { all: false },
            Request::Verify,
            Request::Merge { all: true },
            Request::Retain { dry_run: true },
            Request::Holds,
            Request::Subscriptions,
            Request::Subscribe(SubscriptionCommand::Remove {
                id: "crm-7".into(), by: "Иванова".into()
            }),
            Request::SeedLanes(vec![LaneSeed::new(drive, 7)]),
            Request::Watch(WatchCommand::SetThresholds {
                scope: Scope::Default,
                values: vec![(Threshold::QualityD, None)],
                by: "Иванова".into(),
            }),
            Request::Import {
                documents: vec![
                    Imported {
                        message: bytes::Bytes::from_static(&[0, 1, 0xFF]),
                        bare: true,
                        plain: Some(bytes::Bytes::from_static(b"x")),
                        crypto: CryptoVerdict::Verified,
                        answer: OriginalAnswer { code: None, operator_time: 7, answered_at_us: -5 },
                    },
                    Imported {
                        message: bytes::Bytes::new(),
                        bare: false,
                        plain: None,
                        crypto: CryptoVerdict::Forged,
                        answer: OriginalAnswer::UNKNOWN,
                    },
                ],
            },
            Request::LiftHold {
                id: u64::MAX, reason: "дело \"закрыто\"".into(), by: "Иванова".into()
            },
            Request::PlaceHold(Hold {
                scope: HoldScope::Inn("7704211201".into()),
                from: Day(0),
                to: Day(9),
                reason: "суд".into(),
                by: "Иванова".into(),
            }),
        ] {
            assert_eq!(Request::from_line(&request.to_line()), Ok(request));
        }
    }

    #[test]
    fn what_is_no_request_is_told_why() {
        for (line, why) in [
            ("", "not a JSON object"),
            ("[]", "do has to be"),
            (r#"{"do":"drop"}"#, "do has to be"),
            (r#"{"do":"find","fn":"x","fd":1}"#, "fn has to be"),
            (r#"{"do":"find","fn":"9999078900001234"}"#, "either fd or fpd"),
            (r#"{"do":"find","fn":"9999078900001234","fd":1,"fpd":2}"#, "either fd or fpd"),
            (r#"{"do":"find","fn":"9999078900001234","fd":4294967296}"#, "fd has to be"),
            (r#"{"do":"compact","all":1}"#, "all has to be"),
            (r#"{"do":"retain","dry_run":"no"}"#, "dry_run has to be"),
            (r#"{"do":"hold.place","scope":{"inn":"1"}}"#, "not a hold"),
            (r#"{"do":"hold.lift"}"#, "not a hold"),
            (r#"{"do":"import"}"#, "documents has to be"),
            (r#"{"do":"subscription.stop","id":"a","by":"b"}"#, "do has to be"),
            (r#"{"do":"lane.seed"}"#, "seeds has to be"),
            (r#"{"do":"thresholds.set","by":"x"}"#, "scope has to be there"),
            (r#"{"do":"register.place","by":"x"}"#, "rnm has to be there"),
            (r#"{"do":"lane.seed","seeds":[{}]}"#, "fn has to be"),
            (r#"{"do":"import","documents":[{"message":"0"}]}"#, "message has to be"),
            (r#"{"do":"import","documents":[{"message":"00","code":256}]}"#, "code has to be"),
        ] {
            let error = Request::from_line(line).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
