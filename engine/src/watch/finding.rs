//! A finding across documents, as it is told. Pure.

use ofd_codec::rules::life::LifeRuleId;
use ofd_codec::{LocalSeconds, Tag};
use ofd_storage::envelope::Realm;

use crate::registers::pack::{Packer, Unpacker};

/// One rule broken by a shift, a drive or a register, or a state of it that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifeFinding {
    /// The rule.
    pub rule: LifeRuleId,
    /// Version of the set of rules: how many switches came before.
    pub rules_version: u32,
    /// Production or test.
    pub realm: Realm,
    /// 1037.
    pub rnm: Option<String>,
    /// 1038, of what is about a shift.
    pub shift: Option<u32>,
    /// 1012 of the document that brought it about; `None` of what a tick has brought about.
    pub at: Option<LocalSeconds>,
    /// The requisite it speaks of.
    pub tag: Option<Tag>,
    /// What was found.
    pub actual: Option<String>,
    /// What should have been.
    pub expected: Option<String>,
    /// When it was found first, microseconds UTC: of a state when it began, of another rule for the first time by this drive.
    pub first_seen_us: i64,
    /// When it was found last.
    pub last_seen_us: i64,
    /// How often since then.
    pub count: u32,
    /// When the state has ended.
    pub ended_us: Option<i64>,
    /// No feed tells it: its document came from an archive, or what ends began with one and was never told.
    pub imported: bool,
}

const TEST: u8 = 1;
const IMPORTED: u8 = 1 << 1;
const ACTUAL: u8 = 1 << 2;
const EXPECTED: u8 = 1 << 3;
const RNM: u8 = 1 << 4;
const ENDED: u8 = 1 << 5;

impl LifeFinding {
    pub(crate) fn pack(&self, to: &mut Packer) {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        to.byte(self.rule.code());
        to.byte(
            flag(self.realm == Realm::Test, TEST)
                | flag(self.imported, IMPORTED)
                | flag(self.actual.is_some(), ACTUAL)
                | flag(self.expected.is_some(), EXPECTED)
                | flag(self.rnm.is_some(), RNM)
                | flag(self.ended_us.is_some(), ENDED),
        );
        to.number(self.rules_version);
        to.optional(self.shift);
        to.optional(self.at.map(|it| it.0));
        to.optional(self.tag.map(|it| u32::from(it.0)));
        [&self.rnm, &self.actual, &self.expected]
            .into_iter()
            .flatten()
            .for_each(|it| to.bytes(it.as_bytes()));
        to.signed(self.first_seen_us);
        to.signed(self.last_seen_us.wrapping_sub(self.first_seen_us));
        to.number(self.count);
        self.ended_us.iter().for_each(|it| to.signed(it.wrapping_sub(self.last_seen_us)));
    }

    pub(crate) fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let rule = LifeRuleId::by_code(from.byte()?)?;
        let head = from.byte()?;
        let has = |bit: u8| head & bit != 0;
        let rules_version = from.small()?;
        let shift = from.optional()?;
        let at = from.optional()?.map(LocalSeconds);
        let tag = match from.optional()? {
            Some(tag) => Some(Tag(u16::try_from(tag).ok()?)),
            None => None,
        };
        let mut text = |bit: u8| -> Option<Option<String>> {
            let held = has(bit).then(|| core::str::from_utf8(from.bytes()?).ok().map(str::to_owned));
            held.map_or(Some(None), |text| text.map(Some))
        };
        let (rnm, actual, expected) = (text(RNM)?, text(ACTUAL)?, text(EXPECTED)?);
        let first_seen_us = from.signed()?;
        let last_seen_us = first_seen_us.wrapping_add(from.signed()?);
        let count = from.small()?;
        let ended_us = if has(ENDED) { Some(last_seen_us.wrapping_add(from.signed()?)) } else { None };
        Some(Self {
            rule,
            rules_version,
            realm: if has(TEST) { Realm::Test } else { Realm::Prod },
            rnm,
            shift,
            at,
            tag,
            actual,
            expected,
            first_seen_us,
            last_seen_us,
            count,
            ended_us,
            imported: has(IMPORTED),
        })
    }
}
