//! Code 14 by rule ids that the host lists (`answer.refuse`), and the guard against a rule gone wild.
//!
//! By default nothing is refused: findings become violations and the answer is 0. When more than 0.1 % of the
//! documents of five minutes are refused, the list is ignored until the next five minutes and an alarm is
//! raised: a wrong rule must not close a country's shops.

use ofd_codec::rules::{CheckContext, check};
use ofd_codec::{DocumentView, FfdVersion};

/// The window over which refusals are counted, microseconds.
const WINDOW_US: u64 = 300_000_000;
/// Refusals allowed in so many documents.
const ONE_IN: u64 = 1_000;
/// So many are allowed before the share counts: one refusal among the first ten documents is no sign.
const ALLOWED_ANYWAY: u64 = 10;

/// The list and its guard; one a worker.
#[derive(Debug)]
pub(crate) struct Refusal {
    rules: Vec<String>,
    window_from_us: u64,
    documents: u64,
    refused: u64,
    tripped: bool,
}

impl Refusal {
    pub(crate) fn new(rules: &[String]) -> Self {
        Self { rules: rules.to_vec(), window_from_us: 0, documents: 0, refused: 0, tripped: false }
    }

    /// Is this document to be answered 14?
    pub(crate) fn refuses(&mut self, plain: &[u8], message: &[u8], now_us: u64) -> bool {
        if self.rules.is_empty() {
            return false;
        }
        let Ok(view) = DocumentView::new_checked(plain) else { return false };
        let [.., major, minor] = *message.first_chunk::<8>().unwrap_or(&[0; 8]);
        let version = FfdVersion::of_document(&view.header(), None, [major, minor]);
        let found = check(&view, &CheckContext::new(version));
        let listed =
            found.iter().any(|it| self.rules.iter().any(|rule| rule == it.rule.key || rule == it.rule.name));
        self.count(listed, now_us)
    }

    fn count(&mut self, listed: bool, now_us: u64) -> bool {
        if now_us.saturating_sub(self.window_from_us) > WINDOW_US {
            *self = Self { window_from_us: now_us, ..Self::new(&std::mem::take(&mut self.rules)) };
        }
        self.documents = self.documents.saturating_add(1);
        if !listed || self.tripped {
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
        let mut refusal = Refusal::new(&["B2".to_owned()]);
        let refused = (0..10_000).filter(|_| refusal.count(true, 1_000)).count();
        assert_eq!(refused, 10);
        assert!(refusal.count(true, 1_000 + WINDOW_US + 1), "a new window begins");
    }

    #[test]
    fn one_in_a_thousand_may_be_refused() {
        let mut refusal = Refusal::new(&["B2".to_owned()]);
        let refused = (0..50_000u32).filter(|n| refusal.count(n % 1_500 == 0, 1_000)).count();
        assert_eq!(refused, 34);
    }
}
