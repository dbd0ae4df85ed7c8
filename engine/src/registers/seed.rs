//! A lane seed: where the lane of a drive that moves in begins, told by the operator without giving its documents.
//!
//! Shape: a command record of the log, one JSON object, which is also a line of `ofd import --seeds`:
//!
//! ```text
//! {"do":"lane.seed","fn":"7100…","next_fd":346,"rnm":"0000…","inn":"77…","shift":12,
//!  "shift_opened_fd":340,"shift_opened_at":1772409600,"registration_fd":1,"registration_at":1750000000}
//! ```
//! `fn` and `next_fd` have to be there. `shift` is the newest shift, which is open when `shift_opened_fd` is there. Times are
//! local seconds since 1970-01-01, as 1012 has them in the JSON of the ФНС.
//!
//! Invariants: numbers below the seed are never missed, those from it on are (test: `tests/registers/main.rs`, against the naive
//! model); telling it again changes nothing (test: `tests/registers_live.rs`).

use ofd_codec::{DriveNumber, LocalSeconds};
use serde_json::{Map, Value};

use super::card::{Fixed, RNM_LEN};
use super::takings::INN_LEN;

/// How the payload of a seed begins: other commands are told apart without reading them.
const BEGIN: &[u8] = br#"{"do":"lane.seed","#;

/// An open or a closed shift that a drive moves in with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeedShift {
    /// 1038.
    pub number: u32,
    /// Number and 1012 of its opening report; `None`: it is closed.
    pub opened: Option<(u32, Option<LocalSeconds>)>,
}

/// Where a lane begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneSeed {
    /// 1041.
    pub drive: DriveNumber,
    /// It is a test drive.
    pub test: bool,
    /// Number of the first document that will be ours (1040).
    pub next: u32,
    /// 1037: the card of the register is there from now on.
    pub rnm: Option<String>,
    /// 1018.
    pub inn: Option<String>,
    /// The newest shift.
    pub shift: Option<SeedShift>,
    /// Number and 1012 of the registration in force.
    pub registration: Option<(u32, Option<LocalSeconds>)>,
}

impl LaneSeed {
    /// Of a drive of which nothing but the next number is known.
    #[must_use]
    pub fn new(drive: DriveNumber, next: u32) -> Self {
        let (rnm, inn, shift, registration) = (None, None, None, None);
        Self { drive, test: drive.is_test(), next, rnm, inn, shift, registration }
    }

    /// Reads one line; `do` may be left out.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn from_json(line: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(line).map_err(|error| format!("not a JSON object: {error}"))?;
        Self::of_value(&value)
    }

    /// Reads one that was parsed already.
    ///
    /// # Errors
    /// As [`LaneSeed::from_json`].
    pub fn of_value(value: &Value) -> Result<Self, String> {
        const KEYS: [&str; 11] = [
            "do",
            "fn",
            "test",
            "next_fd",
            "rnm",
            "inn",
            "shift",
            "shift_opened_fd",
            "shift_opened_at",
            "registration_fd",
            "registration_at",
        ];
        let object = value.as_object().ok_or("not a JSON object")?;
        if let Some(key) = object.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(format!("{key} is no field of a lane seed"));
        }
        let get = |key: &str| object.get(key).filter(|it| !it.is_null());
        if get("do").is_some_and(|it| it.as_str() != Some("lane.seed")) {
            return Err("do has to be lane.seed".to_owned());
        }
        let number = |key: &str| {
            let number = get(key).map(|it| it.as_u64().and_then(|it| u32::try_from(it).ok()));
            number.map(|it| it.ok_or_else(|| format!("{key} has to be a number of 32 bits"))).transpose()
        };
        let text = |key: &str, len: usize| match get(key).map(Value::as_str) {
            None => Ok(None),
            Some(Some(text))
                if (1..=len).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_digit()) =>
            {
                Ok(Some(text.to_owned()))
            }
            Some(_) => Err(format!("{key} has to be at most {len} digits")),
        };
        let drive = get("fn").and_then(Value::as_str).unwrap_or_default();
        let drive = DriveNumber::parse(drive).map_err(|_| "fn has to be a drive number".to_owned())?;
        let next = number("next_fd")?.filter(|it| *it > 0).ok_or("next_fd has to be a number from 1 on")?;
        let opened = number("shift_opened_fd")?;
        let opened = opened.map(|fd| Ok((fd, number("shift_opened_at")?.map(LocalSeconds)))).transpose();
        let opened: Option<(u32, Option<LocalSeconds>)> = opened.map_err(|error: String| error)?;
        let shift = number("shift")?.map(|number| SeedShift { number, opened });
        if opened.is_some() && shift.is_none() {
            return Err("shift_opened_fd wants shift".to_owned());
        }
        let registration = number("registration_fd")?;
        let at = number("registration_at")?.map(LocalSeconds);
        let registration = registration.map(|fd| (fd, at));
        if let Some(fd) = [opened, registration].into_iter().flatten().map(|it| it.0).find(|fd| *fd >= next) {
            return Err(format!("document {fd} has to be older than next_fd {next}"));
        }
        let test = get("test").and_then(Value::as_bool).unwrap_or_default() || drive.is_test();
        Ok(Self {
            drive,
            test,
            next,
            rnm: text("rnm", RNM_LEN)?,
            inn: text("inn", INN_LEN)?,
            shift,
            registration,
        })
    }

    /// The payload of its record.
    #[must_use]
    pub fn to_payload(&self) -> Vec<u8> {
        let Self { drive, test, next, rnm, inn, shift, registration } = self;
        let mut object = Map::new();
        let mut put = |key: &str, value: Option<Value>| {
            value.into_iter().for_each(|value| drop(object.insert(key.to_owned(), value)));
        };
        put("do", Some("lane.seed".into()));
        put("fn", Some(drive.as_str().into()));
        put("test", test.then_some(true.into()));
        put("next_fd", Some((*next).into()));
        put("rnm", rnm.clone().map(Value::from));
        put("inn", inn.clone().map(Value::from));
        let opened = shift.and_then(|it| it.opened);
        put("shift", shift.map(|it| it.number.into()));
        put("shift_opened_fd", opened.map(|it| it.0.into()));
        put("shift_opened_at", opened.and_then(|it| it.1).map(|at| at.0.into()));
        put("registration_fd", registration.map(|it| it.0.into()));
        put("registration_at", registration.and_then(|it| it.1).map(|at| at.0.into()));
        Value::Object(object).to_string().into_bytes()
    }

    /// Reads the payload of a command; `None` when it is another command.
    #[must_use]
    pub fn of_payload(payload: &[u8]) -> Option<Self> {
        if !Self::is_payload(payload) {
            return None;
        }
        Self::from_json(core::str::from_utf8(payload).ok()?).ok()
    }

    /// Whether a command is a seed.
    pub(crate) fn is_payload(payload: &[u8]) -> bool {
        payload.starts_with(BEGIN)
    }

    pub(super) fn fixed_rnm(&self) -> Option<Fixed<RNM_LEN>> {
        super::card::padded(self.rnm.as_deref()?.as_bytes())
    }

    pub(super) fn fixed_inn(&self) -> Option<Fixed<INN_LEN>> {
        super::card::padded(self.inn.as_deref()?.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;

    // It is kept in the log for ever: what is written is what is read.
    #[test]
    fn a_seed_comes_back_from_its_record() {
        let drive = DriveNumber::parse("7100000000000001").unwrap();
        let bare = LaneSeed::new(drive, 7);
        let shift = SeedShift { number: 3, opened: Some((5, Some(LocalSeconds(1_772_409_600)))) };
        let whole = LaneSeed {
            test: true,
            rnm: Some("0000000000000001".to_owned()),
            inn: Some("7707083893".to_owned()),
            shift: Some(shift),
            registration: Some((1, None)),
            ..bare.clone()
        };
        let closed = LaneSeed { shift: Some(SeedShift { number: 3, opened: None }), ..bare.clone() };
        for seed in [bare, whole, closed] {
            assert_eq!(LaneSeed::of_payload(&seed.to_payload()), Some(seed));
        }
        assert_eq!(LaneSeed::of_payload(br#"{"do":"hold.place"}"#), None);
    }

    #[test]
    fn what_is_no_seed_is_told_why() {
        for (line, why) in [
            ("", "not a JSON object"),
            ("[]", "not a JSON object"),
            (r#"{"fn":"x","next_fd":1}"#, "fn has to be"),
            (r#"{"fn":"7100000000000001"}"#, "next_fd has to be"),
            (r#"{"fn":"7100000000000001","next_fd":0}"#, "next_fd has to be"),
            (r#"{"fn":"7100000000000001","next_fd":5,"nextfd":5}"#, "nextfd is no field"),
            (r#"{"fn":"7100000000000001","next_fd":5,"inn":"7707a"}"#, "inn has to be"),
            (r#"{"fn":"7100000000000001","next_fd":5,"shift_opened_fd":4}"#, "wants shift"),
            (r#"{"fn":"7100000000000001","next_fd":5,"shift":1,"shift_opened_fd":5}"#, "older than next_fd"),
            (r#"{"do":"hold.place","fn":"7100000000000001","next_fd":5}"#, "do has to be"),
        ] {
            let error = LaneSeed::from_json(line).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
