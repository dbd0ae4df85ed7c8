//! `DIR/notify/state`: how far each line of the notifier is, so that a start need not read the whole log.
//!
//! Shape: a line of text, CRC-32C of what follows in hex, then a JSON object: `through` (records of the log up to here are in
//! it), `commands` (the last command that is), `walked` (events up to here were looked at), `lines` (those that are not there:
//! id → run, LSN, place in the record). It can be thrown away: without it, all that the log still has is read, and nothing is
//! told again that a record of it says was told (test: `queue/tests.rs`); what was told by records that have left the log is told
//! again, with the same ids. It is never durable before what it stands on.

use std::collections::BTreeMap;
use std::path::Path;

use ofd_storage::env::{read_file, replace_file};
use ofd_storage::{Env, Error, Lsn, Position};
use serde_json::{Map, Value, json};

use super::item::Place;

const FILE: &str = "notify/state";
/// Ten thousand lines, each of a hundred bytes and some.
const LEN_MAX: u64 = 4 << 20;

/// A line that is not where the walk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SavedLine {
    pub(crate) run: Lsn,
    pub(crate) cursor: Place,
}

/// What was saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) through: Lsn,
    pub(crate) commands: Lsn,
    pub(crate) walked: Position,
    pub(crate) lines: BTreeMap<String, SavedLine>,
}

impl Saved {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let line = |(id, line): (&String, &SavedLine)| {
            (id.clone(), json!([line.run.get(), line.cursor.lsn.get(), line.cursor.part]))
        };
        let lines: Map<String, Value> = self.lines.iter().map(line).collect();
        let json = json!({
            "version": 1, "through": self.through.get(), "commands": self.commands.get(),
            "walked": self.walked.as_u64(), "lines": lines,
        })
        .to_string();
        format!("{:08x}\n{json}", crc(json.as_bytes())).into_bytes()
    }

    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (head, json) = std::str::from_utf8(bytes).ok()?.split_once('\n')?;
        if u32::from_str_radix(head, 16).ok()? != crc(json.as_bytes()) {
            return None;
        }
        let value: Value = serde_json::from_str(json).ok()?;
        let number = |key: &str| value.get(key).and_then(Value::as_u64);
        if number("version") != Some(1) {
            return None;
        }
        let line = |(id, value): (&String, &Value)| {
            let at = |at| value.get(at).and_then(Value::as_u64);
            let cursor = Place { lsn: Lsn::new(at(1)?), part: u32::try_from(at(2)?).ok()? };
            Some((id.clone(), SavedLine { run: Lsn::new(at(0)?), cursor }))
        };
        Some(Self {
            through: Lsn::new(number("through")?),
            commands: Lsn::new(number("commands")?),
            walked: Position::new(Lsn::new(number("walked")?)),
            lines: value.get("lines")?.as_object()?.iter().map(line).collect::<Option<_>>()?,
        })
    }

    /// What is there, if it holds and is no younger than the log.
    pub(crate) fn read(env: &dyn Env, durable: Lsn) -> Option<Self> {
        let bytes = match read_file(env, Path::new(FILE), LEN_MAX) {
            Ok(bytes) => bytes,
            Err(error) if error.is_not_found() => return None,
            Err(error) => {
                tracing::warn!(%error, "what the notifier had saved cannot be read and is passed over");
                return None;
            }
        };
        let saved = Self::of_bytes(&bytes);
        if saved.is_none() {
            tracing::warn!("what the notifier had saved does not hold and is passed over");
        }
        saved.filter(|it| it.through <= durable && it.commands <= durable && it.walked.lsn() <= durable)
    }

    pub(crate) fn write(&self, env: &dyn Env) -> Result<(), Error> {
        let path = Path::new(FILE);
        env.create_dir_all(path.parent().unwrap_or(Path::new("")))?;
        replace_file(env, path, &self.to_bytes())
    }
}

fn crc(bytes: &[u8]) -> u32 {
    crate::live::crc_of_parts(&[bytes])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;

    // A flipped digit would let a line go on where it is not.
    #[test]
    fn what_was_saved_comes_back_whole_or_not_at_all() {
        let line = SavedLine { run: Lsn::new(9), cursor: Place { lsn: Lsn::new(70), part: 17 } };
        let saved = Saved {
            through: Lsn::new(88),
            commands: Lsn::new(9),
            walked: Position::new(Lsn::new(80)),
            lines: [("crm-7".to_owned(), line)].into(),
        };
        let bytes = saved.to_bytes();
        assert_eq!(Saved::of_bytes(&bytes), Some(saved));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                *bad.get_mut(at).unwrap() ^= 1 << bit;
                let read = Saved::of_bytes(&bad);
                // A hex digit of the checksum has two cases.
                assert!(read.is_none() || at < 8, "byte {at}, bit {bit}");
            }
            assert_eq!(Saved::of_bytes(bytes.get(..at).unwrap()), None);
        }
    }
}
