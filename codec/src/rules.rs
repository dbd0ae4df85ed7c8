//! Rules of one document: what the order asks of it, measured on the checked view.
//!
//! A finding is a value, never an error: the document stays decoded, stored and confirmed, and a [`Violation`] is
//! shown to its owner. Each rule is one small function in a file of `rules/`, and one row of
//! `codec/dictionary/rules.toml`: key, level, source, the words for people, and the path of the function. The table
//! in `rules/generated.rs` and docs/rules.md are made from those rows, so a rule can not be without a page.
//!
//! ```text
//! check ─▶ walk of the tree, once ─┬▶ rules that see a requisite: every one, or the tags their row names
//!                                  ├▶ rules that see a nest (the document or an STLV), when its last tag is read
//!                                  └▶ rules that see an item of a receipt, which is summed up then
//!       ─▶ rules that see the receipt with the sums of its items; rules that see any document
//! ```
//!
//! Rules A are of the message and found while it is cut and opened; [`RuleId::of_error`] names them.
//! Cost: nothing is allocated for a clean document.
//!
//! Source: order ЕД-7-20/662@ by its tables; each rule names its own.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::{DecodeErrorKind, DocumentView, FfdVersion, Tag, tags};

mod agent;
mod correction;
mod declared;
mod generated;
mod generated_life;
mod goods;
mod inn;
pub mod life;
mod marking;
mod place;
mod receipt;
mod register;
mod required;
mod settlement;
mod totals;
mod value;
mod vat;
mod walk;

/// Stable identity of a rule.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct RuleId {
    /// Short id, as in docs/rules.md: `B2`.
    pub key: &'static str,
    /// Long id, kebab-case: `document.required-tag`.
    pub name: &'static str,
}

impl RuleId {
    /// The rule with this key.
    ///
    /// ```
    /// use ofd_codec::rules::RuleId;
    /// assert_eq!(RuleId::by_key("B2"), Some(RuleId::B2));
    /// assert_eq!(RuleId::by_key("Z9"), None);
    /// ```
    #[must_use]
    pub fn by_key(key: &str) -> Option<Self> {
        rules().iter().map(|rule| rule.id).find(|id| id.key == key)
    }

    /// The message rule that a decoding error breaks; `None` for errors of other inputs (JSON, encoding).
    #[must_use]
    pub fn of_error(kind: DecodeErrorKind) -> Option<Self> {
        generated::of_error(kind)
    }

    /// Whether the rule asks for what the tables of the order say: B1-B4.
    const fn is_of_structure(self) -> bool {
        matches!(self.key.as_bytes(), b"B1" | b"B2" | b"B3" | b"B4")
    }

    /// The row of this rule.
    #[must_use]
    pub fn rule(self) -> Option<&'static Rule> {
        rules().iter().find(|rule| rule.id == self)
    }

    /// How loud its findings are.
    #[must_use]
    pub fn level(self) -> Level {
        self.rule().map_or(Level::Info, |rule| rule.level)
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key)
    }
}

/// How loud a finding is. Ordered: a louder level is greater.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Real documents trip over it without harm; still worth repairing.
    Warning,
    /// The tax service refuses or fines this.
    Error,
}

impl Level {
    /// `info`, `warning`, `error`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// By what its owner can repair a finding.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum Fixable {
    /// A correction receipt, or a return and a right receipt.
    Correction,
    /// A new registration of the register, or a report of its change.
    ReRegistration,
    /// Settings, firmware or the way of working: the next document will be right.
    Settings,
    /// Nothing: it is to be known.
    None,
}

impl Fixable {
    /// `correction`, `re-registration`, `settings`, `none`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Correction => "correction",
            Self::ReRegistration => "re-registration",
            Self::Settings => "settings",
            Self::None => "none",
        }
    }
}

impl life::Scope {
    /// `document`, `shift`, `drive`, `register`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Shift => "shift",
            Self::Drive => "drive",
            Self::Register => "register",
        }
    }
}

/// A rule: identity, level, and the words for people.
#[derive(Debug)]
pub struct Rule {
    /// Its identity.
    pub id: RuleId,
    /// How loud its findings are.
    pub level: Level,
    /// By what they can be repaired.
    pub fixable: Fixable,
    /// Who says so.
    pub source: &'static str,
    /// What is wrong, Russian.
    pub explain_ru: &'static str,
    /// What to do, Russian.
    pub advice_ru: &'static str,
}

/// All rules, in the order of docs/rules.md.
#[must_use]
pub fn rules() -> &'static [Rule] {
    generated::RULES
}

/// A figure or a text of a finding: what was found, or what should have been.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub enum Datum {
    /// Nothing stands there.
    Absent,
    /// A number: a code, a length, kopecks.
    Number(u64),
    /// A text; borrowed where it is known beforehand.
    Text(Cow<'static, str>),
}

impl Datum {
    /// A text that is known beforehand.
    pub(crate) const fn word(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// A text taken from the document.
    pub(crate) fn quote(text: impl Into<String>) -> Self {
        Self::Text(Cow::Owned(text.into()))
    }
}

impl fmt::Display for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => Ok(()),
            Self::Number(number) => fmt::Display::fmt(number, f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// A finding: one rule broken at one place of one document.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Violation {
    /// The rule.
    pub rule: RuleId,
    /// The requisite it speaks of.
    pub tag: Option<Tag>,
    /// Where its value begins in the bytes of the document; of a missing requisite, where its parent's does.
    pub offset: usize,
    /// What was found.
    pub actual: Datum,
    /// What should have been.
    pub expected: Datum,
}

impl Violation {
    /// How loud it is.
    #[must_use]
    pub fn level(&self) -> Level {
        self.rule.level()
    }
}

/// Most findings kept of one document: a hostile one must not make a report larger than itself.
pub const VIOLATIONS_MAX: usize = 256;

/// The findings of one document, in the order they were made.
#[derive(Clone, Eq, PartialEq, Debug, Default)]
pub struct Violations {
    list: Vec<Violation>,
    dropped: usize,
    /// Other findings than those of the tables are passed over.
    structure_only: bool,
}

impl Violations {
    /// No findings yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { list: Vec::new(), dropped: 0, structure_only: false }
    }

    /// Adds a finding, or counts it as [dropped](Self::dropped) beyond [`VIOLATIONS_MAX`].
    pub fn push(&mut self, violation: Violation) {
        if self.structure_only && !violation.rule.is_of_structure() {
            return;
        }
        if self.list.len() < VIOLATIONS_MAX {
            self.list.push(violation);
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// The findings.
    #[must_use]
    pub fn as_slice(&self) -> &[Violation] {
        &self.list
    }

    /// The findings, one after the other.
    pub fn iter(&self) -> core::slice::Iter<'_, Violation> {
        self.list.iter()
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// True for a clean document.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many more there were than are kept.
    #[must_use]
    pub const fn dropped(&self) -> usize {
        self.dropped
    }

    /// The loudest level among them.
    #[must_use]
    pub fn worst(&self) -> Option<Level> {
        self.iter().map(Violation::level).max()
    }

    /// True if this rule was broken.
    #[must_use]
    pub fn broke(&self, rule: RuleId) -> bool {
        self.iter().any(|violation| violation.rule == rule)
    }
}

impl<'a> IntoIterator for &'a Violations {
    type Item = &'a Violation;
    type IntoIter = core::slice::Iter<'a, Violation>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Violations {
    type Item = Violation;
    type IntoIter = alloc::vec::IntoIter<Violation>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

/// What a rule may know besides the document.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
#[non_exhaustive]
pub struct CheckContext {
    /// The version whose tables apply; see [`FfdVersion::resolve`].
    pub version: FfdVersion,
    /// Factory number of the register (1013) from its last registration, padded with spaces; receipts do not carry
    /// it, so without it rule B6 looks at the shape of the registration number only.
    pub kkt_number: Option<[u8; 20]>,
    /// Tax systems (1062) of its last registration, a bit each; without them C10 looks at the receipt only.
    pub taxation_types: Option<u8>,
    /// Registered for settlements in the Internet only: 1290, bit 5, or 1108 before ФФД 1.2 (rule C17).
    pub internet_only: bool,
    /// Registered for marked goods: 1290, bit 8 (rule G1); `None` where nobody knows.
    pub marked_goods: Option<bool>,
}

impl CheckContext {
    /// Nothing known but the version.
    #[must_use]
    pub const fn new(version: FfdVersion) -> Self {
        Self { version, kkt_number: None, taxation_types: None, internet_only: false, marked_goods: None }
    }

    /// What a report of registration or of its change (forms 1 and 11) tells of the documents after it.
    #[must_use]
    pub fn of_registration(report: &DocumentView<'_>, version: FfdVersion) -> Self {
        let usage = report.get(tags::USAGE_CONDITIONS).and_then(|value| value.bits().ok());
        let internet = report.get(tags::INTERNET_SIGN).is_some_and(|value| value.bytes() == [1]);
        Self {
            version,
            kkt_number: report.get(tags::KKT_NUMBER).and_then(|value| padded(value.bytes())),
            taxation_types: report.get(tags::TAXATION_TYPES).and_then(|value| value.u8().ok()),
            internet_only: internet || usage.is_some_and(|bits| bits & (1 << 5) != 0),
            marked_goods: usage.map(|bits| bits & (1 << 8) != 0),
        }
    }
}

/// A factory number with spaces up to its 20 bytes; `None` for one that is longer.
fn padded(number: &[u8]) -> Option<[u8; 20]> {
    let mut padded = [b' '; 20];
    padded.get_mut(..number.len())?.copy_from_slice(number);
    Some(padded)
}

/// Asks every rule of one document.
///
/// Pure: the same bytes and context give the same findings, in the same order.
#[must_use]
pub fn check(view: &DocumentView<'_>, context: &CheckContext) -> Violations {
    walk::check(view, context, Violations::new())
}

/// The findings of B1-B4 alone: however many others there are, they crowd out none of these.
pub(crate) fn check_structure(view: &DocumentView<'_>, version: FfdVersion) -> Violations {
    let out = Violations { structure_only: true, ..Violations::new() };
    walk::check(view, &CheckContext::new(version), out)
}
