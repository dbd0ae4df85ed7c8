//! Rules across documents: what a shift, a drive or a register breaks over its life. The catalogue; what asks them is the fold of
//! the registers, which knows what came before.
//!
//! Each is a row of `codec/dictionary/life_rules.toml`, from which the table in `generated_life.rs` and docs/rules.md are made.
//! Keys and names are apart from those of the rules of one document, so that a row of `violations` names either by one column.
//!
//! Source: each rule names its own.

use super::generated_life::LIFE_RULES;
use super::{Fixable, Level};

/// Stable number of a rule across documents: dense from 1, never given anew.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct LifeRuleId(pub(super) u8);

impl LifeRuleId {
    /// The rule with this key.
    ///
    /// ```
    /// use ofd_codec::rules::life::LifeRuleId;
    /// assert_eq!(LifeRuleId::by_key("D8.1"), Some(LifeRuleId::D8_1));
    /// assert_eq!(LifeRuleId::by_key("B2"), None, "a rule of one document");
    /// ```
    #[must_use]
    pub fn by_key(key: &str) -> Option<Self> {
        LIFE_RULES.iter().find(|rule| rule.key == key).map(|rule| rule.id)
    }

    /// The rule with this number; `None` where this version knows none.
    #[must_use]
    pub fn by_code(code: u8) -> Option<Self> {
        let at = usize::from(code).checked_sub(1)?;
        LIFE_RULES.get(at).map(|rule| rule.id)
    }

    /// Its number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// Its row.
    #[must_use]
    #[expect(
        clippy::indexing_slicing,
        reason = "only rows of the table have a number, which is their place in it"
    )]
    pub fn rule(self) -> &'static LifeRule {
        &LIFE_RULES[usize::from(self.0).saturating_sub(1)]
    }
}

/// What a finding is about.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum Scope {
    /// One document.
    Document,
    /// A shift of a drive.
    Shift,
    /// A drive.
    Drive,
    /// A register, whichever drive it works with.
    Register,
}

/// A rule across documents: identity, level, and the words for people.
#[derive(Debug)]
pub struct LifeRule {
    /// Its number.
    pub id: LifeRuleId,
    /// Short id, as in docs/rules.md.
    pub key: &'static str,
    /// Long id, kebab-case.
    pub name: &'static str,
    /// How loud its findings are.
    pub level: Level,
    /// What they are about.
    pub scope: Scope,
    /// A state, told when it begins and when it has ended.
    pub lasting: bool,
    /// By what its findings can be repaired.
    pub fixable: Fixable,
    /// Who says so, Russian; of statistics the threshold.
    pub law_ru: &'static str,
    /// What is wrong, Russian.
    pub explain_ru: &'static str,
    /// What to do, Russian.
    pub advice_ru: &'static str,
}

/// All rules across documents, in the order of docs/rules.md.
#[must_use]
pub const fn life_rules() -> &'static [LifeRule] {
    LIFE_RULES
}
