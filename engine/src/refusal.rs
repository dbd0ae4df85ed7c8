//! Code 14 by rule ids that the host lists (`answer.refuse`), and the guard against a rule gone wild.
//!
//! By default nothing is refused: findings become violations and the answer is 0. When more than 0.1 % of the
//! documents of five minutes are refused, the list is ignored until the next five minutes and an alarm is
//! raised: a wrong rule must not close a country's shops.

use ofd_codec::rules::{CheckContext, RuleId, check};
use ofd_codec::{DocumentView, FfdVersion};

/// The window over which refusals are counted, microseconds.
const WINDOW_US: u64 = 300_000_000;
/// Refusals allowed in so many documents.
const ONE_IN: u64 = 1_000;
/// So many are allowed before the share counts: one refusal among the first ten documents is no sign.
const ALLOWED_ANYWAY: u64 = 10;

/// The rules that a worker refuses by.
#[derive(Debug)]
pub(crate) struct Refusal {
    rules: Vec<String>,
}

impl Refusal {
    pub(crate) fn new(rules: &[String]) -> Self {
        Self { rules: rules.to_vec() }
    }

    /// Is there nothing to refuse by? Then the rules need not be asked.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The first listed rule that the document breaks. Of the registration its version alone is known here: what C10, C17, G1
    /// and the check digits of B6 would ask of the rest of it refuses nothing.
    pub(crate) fn broken(&self, plain: &[u8], version: FfdVersion) -> Option<RuleId> {
        let view = DocumentView::new_checked(plain).ok()?;
        let listed = |rule: RuleId| self.rules.iter().any(|it| it == rule.key || it == rule.name);
        check(&view, &CheckContext::new(version)).iter().map(|it| it.rule).find(|rule| listed(*rule))
    }
}

/// Counts refusals over all workers and stops them when there are too many.
#[derive(Debug, Default)]
pub(crate) struct RefusalGuard {
    window_from_us: u64,
    documents: u64,
    refused: u64,
    tripped: bool,
}

impl RefusalGuard {
    /// Counts a document and says whether it may be refused, if a listed rule is broken.
    pub(crate) fn may_refuse(&mut self, broken: bool, now_us: u64) -> bool {
        if now_us.saturating_sub(self.window_from_us) > WINDOW_US {
            *self = Self { window_from_us: now_us, ..Self::default() };
        }
        self.documents = self.documents.saturating_add(1);
        if !broken || self.tripped {
            return false;
        }
        let allowed = (self.documents / ONE_IN).max(ALLOWED_ANYWAY);
        if self.refused >= allowed {
            self.tripped = true;
            tracing::error!(refused = self.refused, "alarm: too many refusals, answer.refuse is ignored");
            return false;
        }
        self.refused = self.refused.saturating_add(1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_gone_wild_is_ignored_until_the_next_window() {
        let mut refusal = RefusalGuard::default();
        let refused = (0..10_000).filter(|_| refusal.may_refuse(true, 1_000)).count();
        assert_eq!(refused, 10);
        assert!(refusal.may_refuse(true, 1_000 + WINDOW_US + 1), "a new window begins");
    }

    #[test]
    fn one_in_a_thousand_may_be_refused() {
        let mut refusal = RefusalGuard::default();
        let refused = (0..50_000u32).filter(|n| refusal.may_refuse(n % 1_500 == 0, 1_000)).count();
        assert_eq!(refused, 34);
    }
}
