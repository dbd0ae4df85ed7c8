//! What was found of one drive or register so far: since when, how often, whether it lasts. Pure.

use ofd_codec::rules::life::{LifeRuleId, life_rules};
use ofd_codec::{LocalSeconds, Tag};
use ofd_storage::envelope::Realm;

use super::finding::LifeFinding;
use super::rule_set::RuleSet;
use crate::registers::EventKind;
use crate::registers::pack::{Packer, Unpacker};

/// One rule that was broken: a state that lasts, or all its findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tally {
    rule: LifeRuleId,
    count: u32,
    first_us: i64,
    last_us: i64,
    shift: Option<u32>,
    /// Somebody was told that it has begun: an archive tells nobody.
    told: bool,
}

/// The rules that were broken, in the order they were first. Of a state that has ended nothing is kept, so that a drive
/// without a flaw takes nothing, and there are never more than there are rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tallies(Option<Box<List>>);

/// Apart, since hardly any drive has them: 16 bytes of every drive are saved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct List {
    /// A bit for each rule of `tallies`: a document asks a dozen of them whether they are there.
    rules: u128,
    tallies: Vec<Tally>,
}
const _: () = assert!(life_rules().len() < u128::BITS as usize, "a rule has no bit");

const fn bit(rule: LifeRuleId) -> u128 {
    1_u128.wrapping_shl(rule.code() as u32)
}

impl Tallies {
    fn list(&self) -> &[Tally] {
        self.0.as_deref().map_or(&[], |it| it.tallies.as_slice())
    }

    /// Whether a state lasts.
    #[inline]
    pub(crate) fn has(&self, rule: LifeRuleId) -> bool {
        self.0.as_deref().is_some_and(|it| it.rules & bit(rule) != 0)
    }

    /// The states that last, by their rules.
    pub(crate) fn lasting(&self) -> impl Iterator<Item = LifeRuleId> {
        self.list().iter().map(|it| it.rule).filter(|it| it.rule().lasting)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn get_mut(&mut self, rule: LifeRuleId) -> Option<&mut Tally> {
        self.0.as_deref_mut()?.tallies.iter_mut().find(|it| it.rule == rule)
    }

    fn put(&mut self, tally: Tally) {
        let list = self.0.get_or_insert_default();
        list.rules |= bit(tally.rule);
        list.tallies.reserve_exact(1);
        list.tallies.push(tally);
    }

    fn remove(&mut self, rule: LifeRuleId) -> Option<Tally> {
        let list = self.0.as_deref_mut()?;
        let at = list.tallies.iter().position(|it| it.rule == rule)?;
        let gone = list.tallies.remove(at);
        list.rules &= !bit(rule);
        if list.tallies.is_empty() {
            self.0 = None;
        }
        Some(gone)
    }

    pub(crate) fn pack(&self, to: &mut Packer) {
        to.count(self.list().len());
        for Tally { rule, count, first_us, last_us, shift, told } in self.list() {
            to.byte(rule.code());
            to.number(u64::from(*count) << 1 | u64::from(*told));
            to.signed(*first_us);
            to.signed(last_us.wrapping_sub(*first_us));
            to.optional(*shift);
        }
    }

    pub(crate) fn unpack(from: &mut Unpacker<'_>) -> Option<Self> {
        let mut tallies = Self::default();
        for _ in 0..from.count()? {
            let rule = LifeRuleId::by_code(from.byte()?)?;
            let (counted, first_us) = (from.number()?, from.signed()?);
            let (count, told) = (u32::try_from(counted >> 1).ok()?, counted & 1 == 1);
            let last_us = first_us.wrapping_add(from.signed()?);
            tallies.put(Tally { rule, count, first_us, last_us, shift: from.optional()?, told });
        }
        Some(tallies)
    }
}

/// What a finding says.
#[derive(Clone, Debug, Default)]
pub(crate) struct What {
    pub(crate) shift: Option<u32>,
    pub(crate) tag: Option<Tag>,
    pub(crate) actual: Option<String>,
    pub(crate) expected: Option<String>,
}

impl What {
    /// Of a requisite: what stands there, and what should.
    pub(crate) fn of(tag: Tag, actual: impl ToString, expected: impl ToString) -> Self {
        let (actual, expected) = (Some(actual.to_string()), Some(expected.to_string()));
        Self { shift: None, tag: Some(tag), actual, expected }
    }

    /// In a shift.
    pub(crate) fn in_shift(self, shift: u32) -> Self {
        Self { shift: Some(shift), ..self }
    }
}

/// One record, seen by the rules: what is found goes to `out`.
pub(crate) struct Scene<'s> {
    pub(crate) rules: &'s RuleSet,
    pub(crate) now_us: i64,
    pub(crate) realm: Realm,
    /// Registration number of whom it concerns, asked when there is something to tell.
    pub(crate) rnm: &'s dyn Fn() -> Option<String>,
    pub(crate) at: Option<LocalSeconds>,
    pub(crate) imported: bool,
    pub(crate) out: Vec<EventKind>,
}

impl Scene<'_> {
    /// A rule that is no state was broken.
    pub(crate) fn happened(&mut self, tallies: &mut Tallies, rule: LifeRuleId, what: impl FnOnce() -> What) {
        debug_assert!(!rule.rule().lasting, "{} is a state", rule.rule().key);
        if self.rules.is_on(rule) {
            self.count(tallies, rule, None);
            self.tell(tallies, rule, what());
        }
    }

    /// The state of a rule behind this document: `broken` or not.
    #[inline]
    pub(crate) fn is(
        &mut self,
        tallies: &mut Tallies,
        rule: LifeRuleId,
        broken: bool,
        what: impl FnOnce() -> What,
    ) {
        match broken {
            true => self.goes_on(tallies, rule, false, what),
            false => self.ended(tallies, rule),
        }
    }

    /// The state of a rule holds on; with `again` it is told though it lasts: it says something else than before.
    pub(crate) fn goes_on(
        &mut self,
        tallies: &mut Tallies,
        rule: LifeRuleId,
        again: bool,
        what: impl FnOnce() -> What,
    ) {
        debug_assert!(rule.rule().lasting, "{} is no state", rule.rule().key);
        if !self.rules.is_on(rule) {
            return;
        }
        if tallies.has(rule) && !again {
            self.count(tallies, rule, None);
            return;
        }
        let what = what();
        self.count(tallies, rule, what.shift);
        self.tell(tallies, rule, what);
    }

    /// A rule holds: if it did not, that has ended. Whoever was told that it began is told, also by an archive, and nobody else.
    #[inline]
    pub(crate) fn ended(&mut self, tallies: &mut Tallies, rule: LifeRuleId) {
        // Asked of every document for every state: hardly any lasts.
        if tallies.has(rule) {
            self.end(tallies, rule);
        }
    }

    fn end(&mut self, tallies: &mut Tallies, rule: LifeRuleId) {
        if !self.rules.is_on(rule) {
            return;
        }
        let Some(tally) = tallies.remove(rule) else { return };
        let what = What { shift: tally.shift, ..What::default() };
        let (ended_us, imported) = (Some(self.now_us), !tally.told);
        let finding = LifeFinding { ended_us, imported, ..self.finding(tally, what) };
        self.out.push(EventKind::FindingEnded(Box::new(finding)));
    }

    fn count(&self, tallies: &mut Tallies, rule: LifeRuleId, shift: Option<u32>) {
        if let Some(tally) = tallies.get_mut(rule) {
            tally.count = tally.count.saturating_add(1);
            tally.last_us = tally.last_us.max(self.now_us);
            return;
        }
        let (first_us, last_us) = (self.now_us, self.now_us);
        tallies.put(Tally { rule, count: 1, first_us, last_us, shift, told: false });
    }

    fn tell(&mut self, tallies: &mut Tallies, rule: LifeRuleId, what: What) {
        let Some(tally) = tallies.get_mut(rule) else { return };
        tally.told |= !self.imported;
        let tally = *tally;
        let finding = self.finding(tally, what);
        self.out.push(EventKind::Found(Box::new(finding)));
    }

    fn finding(&self, tally: Tally, what: What) -> LifeFinding {
        let What { shift, tag, actual, expected } = what;
        LifeFinding {
            rule: tally.rule,
            rules_version: self.rules.version(),
            realm: self.realm,
            rnm: (self.rnm)(),
            shift,
            at: self.at,
            tag,
            actual,
            expected,
            first_seen_us: tally.first_us,
            last_seen_us: tally.last_us,
            count: tally.count,
            ended_us: None,
            imported: self.imported,
        }
    }
}
