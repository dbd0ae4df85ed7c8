//! One condition of a search: on a column, or on one of several, asked of rows of files and of rows of the log alike.
//!
//! Pure: statistics say where such a row may be, a cell says whether it is one.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::columns::{Cell, Column, Day, Row, Table};

const DAY_S: i64 = 86_400;

/// What a cell has to be. NULL never is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// A number of these.
    Within(RangeInclusive<i64>),
    /// One of these numbers, which ascend.
    OneOf(Vec<i64>),
    /// A number with one of these bits.
    AnyBit(i64),
    /// A number other than zero.
    NotZero,
    /// Yes, or no.
    Flag(bool),
    /// One of these texts.
    Texts(BTreeSet<String>),
    /// A text in which each of these words stands; folded by [`fold`].
    Words(Vec<String>),
    /// A time of the till, and where it has no reason a time received, between these seconds; of two columns.
    Period(RangeInclusive<i64>),
}

/// A test, and the columns of which one has to pass it.
#[derive(Clone)]
pub(super) struct Condition {
    pub(super) columns: Vec<&'static Column>,
    pub(super) test: Test,
}

impl Condition {
    /// A condition on columns of a table; a name that the table has not got is a defect of ours and left out.
    pub(super) fn new(table: Table, names: &[&str], test: Test) -> Self {
        let column = |name: &&str| table.columns().iter().find(|column| column.name == *name);
        let columns: Vec<_> = names.iter().filter_map(column).collect();
        debug_assert_eq!(columns.len(), names.len(), "{table}: {names:?}");
        Self { columns, test }
    }

    /// The same condition on another table that has the same columns.
    pub(super) fn on(&self, table: Table) -> Self {
        let names: Vec<&str> = self.columns.iter().map(|column| column.name).collect();
        Self::new(table, &names, self.test.clone())
    }

    /// The names of its columns.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.columns.iter().map(|column| column.name)
    }

    /// The cheaper first: what statistics are sharp on, then numbers, then texts, then parts of texts.
    pub(super) fn cost(&self) -> u8 {
        match &self.test {
            Test::OneOf(numbers) if numbers.len() == 1 => 0,
            Test::Within(_) | Test::OneOf(_) => 1,
            Test::AnyBit(_) | Test::Flag(_) => 2,
            Test::Texts(_) => 3,
            Test::NotZero | Test::Period(_) => 4,
            Test::Words(_) => 5,
        }
    }

    /// Whether the row is one of them.
    pub(super) fn takes(&self, row: &Row) -> bool {
        let cell = |at: usize| self.columns.get(at).map_or(Cell::Null, |column| (column.cell)(row));
        self.test.takes(self.columns.len(), cell, &mut String::new())
    }
}

impl Test {
    /// Whether one of so many cells passes; `folded` is memory to work in.
    pub(super) fn takes<'c>(
        &self,
        cells: usize,
        cell: impl Fn(usize) -> Cell<'c>,
        folded: &mut String,
    ) -> bool {
        if let Self::Period(period) = self {
            let (Cell::Int(received_us), local) = (cell(1), cell(0)) else { return false };
            return period.contains(&time_of(local, received_us));
        }
        (0..cells).any(|at| match (self, cell(at)) {
            (Self::Within(range), Cell::Int(number)) => range.contains(&number),
            (Self::OneOf(numbers), Cell::Int(number)) => numbers.binary_search(&number).is_ok(),
            (Self::AnyBit(bits), Cell::Int(number)) => number & bits != 0,
            (Self::NotZero, Cell::Int(number)) => number != 0,
            (Self::Flag(wanted), Cell::Flag(flag)) => *wanted == flag,
            (Self::Texts(texts), Cell::Text(text)) => texts.contains(text),
            (Self::Texts(texts), Cell::Coded(text)) => texts.contains(&*text.to_cow()),
            (Self::Words(words), Cell::Text(text)) => has_words(text, words, folded),
            (Self::Words(words), Cell::Coded(text)) => has_words(&text.to_cow(), words, folded),
            _ => false,
        })
    }

    /// Whether a number between these two may pass.
    pub(super) fn may_be_between(&self, least: i64, most: i64) -> bool {
        match self {
            Self::Within(range) => *range.start() <= most && least <= *range.end(),
            Self::OneOf(numbers) => {
                let first = numbers.partition_point(|number| *number < least);
                numbers.get(first).is_some_and(|number| *number <= most)
            }
            Self::NotZero => (least, most) != (0, 0),
            _ => true,
        }
    }

    /// Whether a text between these two may pass.
    pub(super) fn may_be_between_texts(&self, least: &[u8], most: &[u8]) -> bool {
        match self {
            Self::Texts(texts) => {
                texts.iter().map(String::as_bytes).any(|text| least <= text && text <= most)
            }
            _ => true,
        }
    }
}

/// When a document was made, seconds: by its 1012 where a till can have it (see [`Day::of`]), else when it was received.
fn time_of(local_millis: Cell<'_>, received_us: i64) -> i64 {
    let local = match local_millis {
        Cell::Int(millis) => Some(millis.div_euclid(1000)),
        _ => None,
    };
    let day = i64::from(Day::of(local, received_us).0);
    local.filter(|at| at.div_euclid(DAY_S) == day).unwrap_or(received_us.div_euclid(1_000_000))
}

/// The seconds of a day.
pub(super) fn seconds_of(day: Day) -> RangeInclusive<i64> {
    let begin = i64::from(day.0).saturating_mul(DAY_S);
    begin..=begin.saturating_add(DAY_S).saturating_sub(1)
}

/// Small letters, and е for ё, as names on receipts are written either way.
pub(super) fn fold(text: &str, into: &mut String) {
    into.clear();
    into.extend(text.chars().flat_map(char::to_lowercase).map(|it| if it == 'ё' { 'е' } else { it }));
}

/// Whether the words, which are folded, stand in a text.
fn has_words(text: &str, words: &[String], folded: &mut String) -> bool {
    fold(text, folded);
    words.iter().all(|word| folded.contains(word.as_str()))
}

/// The words of a text, folded.
pub(super) fn words_of(text: &str) -> Vec<String> {
    let mut folded = String::new();
    fold(text, &mut folded);
    folded.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ofd_codec::Cp866;

    fn check(test: &Test, cell: Cell<'_>, expected: bool) {
        assert_eq!(test.takes(1, |_| cell, &mut String::new()), expected, "{test:?} {cell:?}");
    }

    // Names on receipts are written in any case, with and without ё.
    #[test]
    fn words_are_found_in_any_case_and_order() {
        let test = Test::Words(words_of("  Мёд ЦВЕТочный "));
        check(&test, Cell::Text("МЕД НАТУРАЛЬНЫЙ ЦВЕТОЧНЫЙ 0,5 КГ"), true);
        check(&test, Cell::Text("цветочный мёд"), true);
        check(&test, Cell::Text("мёд гречишный"), false);
        check(&test, Cell::Null, false);
        // As a document in the log has them.
        let coded: [&[u8]; 2] = [b"\x8C\x85\x84 \xE6\xA2\xA5\xE2\xAE\xE7\xAD\xEB\xA9", b"\xAC\xF1\xA4"];
        let coded = coded.map(|it| Cell::Coded(Cp866(it)));
        check(&test, coded[0], true);
        check(&test, coded[1], false);
        let text = Test::Texts(BTreeSet::from(["мёд".to_owned()]));
        check(&text, coded[1], true);
        check(&text, coded[0], false);
    }

    // What statistics rule out must be ruled out by the cells as well: a page that is passed over holds no match.
    #[test]
    fn statistics_never_rule_out_what_a_cell_would_pass() {
        let tests = [
            Test::Within(3..=5),
            Test::OneOf(vec![-2, 0, 4]),
            Test::AnyBit(6),
            Test::NotZero,
            Test::OneOf(Vec::new()),
        ];
        for test in &tests {
            for least in -4..8 {
                for most in least..8 {
                    let takes = |number| test.takes(1, |_| Cell::Int(number), &mut String::new());
                    let any = (least..=most).any(takes);
                    assert!(test.may_be_between(least, most) || !any, "{test:?} {least}..={most}");
                }
            }
        }
        let texts = Test::Texts(BTreeSet::from(["b".to_owned(), "dd".to_owned()]));
        assert!(texts.may_be_between_texts(b"a", b"c") && texts.may_be_between_texts(b"dd", b"dd"));
        assert!(!texts.may_be_between_texts(b"c", b"d") && !texts.may_be_between_texts(b"e", b"f"));
    }

    // A till whose clock stands in another century is found by when its document came.
    #[test]
    fn a_clock_without_reason_gives_way_to_the_time_received() {
        let (noon, noon_us) = (1_715_774_400, 1_715_774_400_000_000);
        let test = Test::Period(noon..=noon + 10);
        let check = |local: Option<i64>, received_us: i64, expected: bool| {
            let cells = [local.map_or(Cell::Null, |at| Cell::Int(at * 1000)), Cell::Int(received_us)];
            let cell = |at: usize| cells.get(at).copied().unwrap_or(Cell::Null);
            assert_eq!(test.takes(2, cell, &mut String::new()), expected, "{local:?} {received_us}");
        };
        check(Some(noon + 10), noon_us + 5_000_000_000, true);
        check(Some(noon + 11), noon_us, false);
        check(Some(4_000_000_000), noon_us, true);
        check(None, noon_us, true);
        check(Some(1), noon_us - 1, false);
    }
}
