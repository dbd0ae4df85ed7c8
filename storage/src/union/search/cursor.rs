//! Where a page ended: text that a caller keeps, gives back, and does not look into.
//!
//! ```text
//! s1.<ceiling>.<day>.<position>.<check>     ceiling, position, check hex; day decimal, days since 1970
//! ```
//!
//! The next page has what stands behind (day, position) in the order of pages, newest first, and nothing above the ceiling:
//! the last position that was durable when the first page was cut. Both are facts of documents and not of files, so that
//! neither compaction, a restart nor new documents move a page. The check ties a cursor to its search.

use std::fmt;
use std::str::FromStr;

use crate::columns::Day;

const VERSION: &str = "s1";

/// Where a page ended. Valid for the search that gave it, for as long as documents are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchCursor {
    pub(super) ceiling: u64,
    pub(super) day: Day,
    pub(super) position: u64,
    check: u64,
}

impl SearchCursor {
    pub(super) fn new(ceiling: u64, day: Day, position: u64, search: &str) -> Self {
        Self { ceiling, day, position, check: check(ceiling, day, position, search) }
    }

    /// Whether it was given by this search, and is as it was given.
    pub(super) fn is_of(&self, search: &str) -> bool {
        self.check == check(self.ceiling, self.day, self.position, search)
    }
}

/// The first half of the first word of a hash: enough against a slip, and nobody gains by forging one.
fn check(ceiling: u64, day: Day, position: u64, search: &str) -> u64 {
    let text = format!("{ceiling} {} {position} {search}", day.0);
    let hash = blake3::hash(text.as_bytes());
    hash.as_bytes().iter().take(8).fold(0, |check, &byte| check << 8 | u64::from(byte))
}

impl fmt::Display for SearchCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ceiling, day, position, check } = self;
        write!(f, "{VERSION}.{ceiling:x}.{}.{position:x}.{check:016x}", day.0)
    }
}

impl FromStr for SearchCursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('.').collect();
        let [VERSION, ceiling, day, position, check] = parts[..] else {
            return Err(format!("{text:?} is no cursor of a search"));
        };
        let hex = |part| u64::from_str_radix(part, 16).map_err(|it| format!("{text:?}: {it}"));
        let day = Day(day.parse().map_err(|it| format!("{text:?}: {it}"))?);
        let cursor = Self { ceiling: hex(ceiling)?, day, position: hex(position)?, check: hex(check)? };
        if cursor.to_string() == text {
            Ok(cursor)
        } else {
            Err(format!("{text:?} is no cursor of a search"))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;

    // Hosts keep cursors: what one program has written the next one must read.
    #[test]
    fn a_cursor_comes_back_from_its_text_and_no_other_text_is_one() {
        let cursor = SearchCursor::new(500, Day(19_858), 499, "search");
        let text = "s1.1f4.19858.1f3.".to_owned() + &format!("{:016x}", cursor.check);
        assert_eq!(cursor.to_string(), text);
        assert_eq!(text.parse::<SearchCursor>().unwrap(), cursor);
        assert!(cursor.is_of("search") && !cursor.is_of("another"));
        for wrong in ["", "s1", "s2.1.1.1.0000000000000001", "s1.+1.1.1.0000000000000001", "s1.1.1.1.1"] {
            assert!(wrong.parse::<SearchCursor>().is_err(), "{wrong}");
        }
        let other: SearchCursor = text.replace(".1f3.", ".1f2.").parse().unwrap();
        assert!(!other.is_of("search"), "a changed cursor is noticed");
    }
}
