//! Which rules across documents are asked: all, but for those that records of the log have switched off. Pure.
//!
//! Shape of a switch: a command record, one JSON object:
//!
//! ```text
//! {"do":"rule.switch","rule":"D3","on":false,"by":"ivanova","reason":"…"}
//! ```
//!
//! A rule that is off is not asked: nothing new is told of it, and what was told stays. A state that it was in goes on when it is
//! on again, by the next document. Rules of one document (`codec/dictionary/rules.toml`) are not switched: they are functions
//! of the document, asked anew by everybody who reads it.

use ofd_codec::rules::RuleId;
use ofd_codec::rules::life::LifeRuleId;
use serde_json::{Value, json};

use crate::registers::pack::{Packer, Unpacker};

/// How the payload of a switch begins: other commands are told apart without reading them.
const BEGIN: &[u8] = br#"{"do":"rule.switch","#;
/// Longest `by` and `reason`, bytes.
const TEXT_LEN_MAX: usize = 1024;

/// The rules that are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSet {
    version: u32,
    /// Codes of those that are off.
    off: [u64; 4],
    /// Switches of the log are passed over.
    fixed: bool,
}

impl RuleSet {
    /// One rule alone, whatever the log has switched: of a replay.
    #[must_use]
    pub fn only(rule: LifeRuleId) -> Self {
        let mut set = Self { version: 0, off: [u64::MAX; 4], fixed: true };
        set.put(rule, true);
        set
    }

    /// How many switches were taken in.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Whether a rule is asked.
    #[must_use]
    pub fn is_on(&self, rule: LifeRuleId) -> bool {
        let (word, bit) = place(rule);
        self.off.get(word).is_none_or(|it| it & bit == 0)
    }

    fn put(&mut self, rule: LifeRuleId, on: bool) {
        let (word, bit) = place(rule);
        if let Some(word) = self.off.get_mut(word) {
            *word = if on { *word & !bit } else { *word | bit };
        }
    }

    /// The next switch of the log.
    pub(crate) fn take(&mut self, switch: &RuleSwitch) {
        if !self.fixed {
            self.version = self.version.saturating_add(1);
            self.put(switch.rule, switch.on);
        }
    }

    pub(crate) fn pack(&self, to: &mut Packer) {
        to.number(self.version);
        self.off.iter().for_each(|it| to.number(*it));
    }

    pub(crate) fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let mut set = Self { version: from.small()?, ..Self::default() };
        for word in &mut set.off {
            *word = from.number()?;
        }
        Some(set)
    }
}

fn place(rule: LifeRuleId) -> (usize, u64) {
    let code = rule.code();
    (usize::from(code >> 6), 1_u64.checked_shl(u32::from(code & 63)).unwrap_or(0))
}

/// A rule switched on or off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSwitch {
    /// Which.
    pub rule: LifeRuleId,
    /// Whether it is asked from here on.
    pub on: bool,
    /// Who did it.
    pub by: String,
    /// And why.
    pub reason: String,
}

impl RuleSwitch {
    /// By the key of the rule.
    ///
    /// # Errors
    /// A sentence that says why there is no such switch.
    pub fn new(rule: &str, on: bool, by: &str, reason: &str) -> Result<Self, String> {
        let Some(id) = LifeRuleId::by_key(rule) else {
            return Err(match RuleId::by_key(rule) {
                Some(_) => format!(
                    "{rule} is a rule of one document: it is asked of every document and cannot be switched"
                ),
                None => format!("{rule:?} is no rule of docs/rules.md"),
            });
        };
        for (what, text) in [("by", by), ("reason", reason)] {
            if text.trim().is_empty() || text.len() > TEXT_LEN_MAX {
                return Err(format!("{what} has to be a text of at most {TEXT_LEN_MAX} bytes"));
            }
        }
        Ok(Self { rule: id, on, by: by.to_owned(), reason: reason.to_owned() })
    }

    /// The payload of its record.
    #[must_use]
    pub fn to_payload(&self) -> Vec<u8> {
        let text = |text: &str| Value::from(text).to_string();
        let Self { rule, on, by, reason } = self;
        // In this order: the beginning tells what it is.
        let (rule, by, reason) = (text(rule.rule().key), text(by), text(reason));
        format!(r#"{{"do":"rule.switch","rule":{rule},"on":{on},"by":{by},"reason":{reason}}}"#).into_bytes()
    }

    /// Reads an object, whatever the order of its keys.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    #[cfg(feature = "control")]
    pub(crate) fn of_value(value: &Value) -> Result<Self, String> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
        let on = value.get("on").and_then(Value::as_bool).ok_or("on has to be true or false")?;
        Self::new(text("rule"), on, text("by"), text("reason"))
    }

    /// Reads the payload of a command; `None` when it is another one, or switches what this version does not know.
    #[must_use]
    pub fn of_payload(payload: &[u8]) -> Option<Self> {
        if !payload.starts_with(BEGIN) {
            return None;
        }
        let value: Value = serde_json::from_slice(payload).ok()?;
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        Self::new(text("rule")?, value.get("on")?.as_bool()?, text("by")?, text("reason")?).ok()
    }

    /// As a line of JSON tells it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let Self { rule, on, by, reason } = self;
        json!({ "rule": rule.rule().key, "on": on, "by": by, "reason": reason })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;

    // It is kept in the log for ever: what is written is what is read.
    #[test]
    fn a_switch_comes_back_from_its_record() {
        let switch = RuleSwitch::new("D3", false, "ivanova", "часы чинят: \"до пятницы\"").unwrap();
        assert_eq!(RuleSwitch::of_payload(&switch.to_payload()), Some(switch));
        assert_eq!(RuleSwitch::of_payload(br#"{"do":"lane.seed","fn":"7100000000000001"}"#), None);
        for (rule, by, why) in
            [("B2", "i", "of one document"), ("Z1", "i", "no rule"), ("D3", " ", "by has to be")]
        {
            assert!(RuleSwitch::new(rule, true, by, "x").unwrap_err().contains(why));
        }
    }

    #[test]
    fn a_rule_is_off_until_it_is_on_again() {
        let mut set = RuleSet::default();
        let switch = |on| RuleSwitch::new("R3", on, "a", "b").unwrap();
        assert!(set.is_on(LifeRuleId::R3) && set.is_on(LifeRuleId::D1));
        set.take(&switch(false));
        assert!(!set.is_on(LifeRuleId::R3) && set.is_on(LifeRuleId::D1));
        let mut packer = Packer::default();
        set.pack(&mut packer);
        assert_eq!(RuleSet::unpack(&mut Unpacker(&packer.0)), Some(set.clone()));
        set.take(&switch(true));
        assert!(set.is_on(LifeRuleId::R3) && set.version() == 2);
        let mut only = RuleSet::only(LifeRuleId::D3);
        only.take(&switch(true));
        assert!(only.is_on(LifeRuleId::D3) && !only.is_on(LifeRuleId::R3) && only.version() == 0);
    }
}
