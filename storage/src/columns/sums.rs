//! What rows must add up to, taken straight from the tags of the documents.
//!
//! The checks after writing and of `verify` compare these with the columns, so that two ways of reading a
//! document have to agree.

use ofd_codec::{DocumentView, Tag};

use super::column::DECIMAL_MAX;

/// Sums over documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Sum of 1020, kopecks.
    pub(crate) total: i128,
    /// Items: tags 1059 and 1071.
    pub(crate) items: u64,
    /// Sum of 1043 over them, kopecks.
    pub(crate) items_sum: i128,
}

impl Sums {
    /// Sums of one document. An amount that does not fit its column counts as nothing, as it becomes NULL.
    pub(crate) fn of(view: &DocumentView<'_>) -> Self {
        let fits = |sum: i64| if (0..=DECIMAL_MAX).contains(&sum) { i128::from(sum) } else { 0 };
        let mut sums = Self::default();
        // Of a repeated requisite the first that can be read counts, here as in the columns.
        if let Some(total) = view.get_all(Tag(1020)).find_map(|value| value.kopecks().ok()) {
            sums.total = fits(total.0);
        }
        for (tag, item) in view.tags() {
            if !matches!(tag.0, 1059 | 1071) {
                continue;
            }
            sums.items = sums.items.saturating_add(1);
            let mut amounts = item.children().map_while(Result::ok).filter(|(tag, _)| tag.0 == 1043);
            if let Some(sum) = amounts.find_map(|(_, value)| value.kopecks().ok()) {
                sums.items_sum = sums.items_sum.saturating_add(fits(sum.0));
            }
        }
        sums
    }

    /// Adds the sums of others.
    pub(crate) fn add(&mut self, other: &Self) {
        self.total = self.total.saturating_add(other.total);
        self.items = self.items.saturating_add(other.items);
        self.items_sum = self.items_sum.saturating_add(other.items_sum);
    }
}
