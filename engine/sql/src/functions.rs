//! Which functions SQL may call.
//!
//! All that DataFusion has for numbers, text and times, but those that tell of files (`input_file_name`,
//! `file_row_index`: their answer depends on the rows of others), those that make a text of any length out of nothing
//! (`repeat`, `lpad`, `rpad`: no limit of memory sees it before it is there), and table functions (`range` and its
//! like: rows without end). A list of the rest stands in `tests/golden/functions.txt`, so that an update shows what it
//! brings.

use std::sync::Arc;

use datafusion::execution::SessionStateDefaults;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF, WindowUDF};

/// Functions that are not there, by their names.
const LEFT_OUT: [&str; 6] = ["file_row_index", "input_file_name", "lpad", "repeat", "rpad", "version"];

/// Functions of one row.
pub(crate) fn scalar() -> Vec<Arc<ScalarUDF>> {
    let mut all = SessionStateDefaults::default_scalar_functions();
    all.retain(|function| !LEFT_OUT.contains(&function.name()));
    all
}

/// Functions of a group of rows.
pub(crate) fn aggregate() -> Vec<Arc<AggregateUDF>> {
    SessionStateDefaults::default_aggregate_functions()
}

/// Functions over a window of rows.
pub(crate) fn window() -> Vec<Arc<WindowUDF>> {
    SessionStateDefaults::default_window_functions()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;

    /// What an update brings has to be looked at: can it name a file, tell of rows of others, take any memory?
    #[test]
    fn the_functions_are_those_of_the_list() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/functions.txt");
        let mut names: Vec<String> = Vec::new();
        names.extend(scalar().iter().map(|it| format!("row {}", it.name())));
        names.extend(aggregate().iter().map(|it| format!("group {}", it.name())));
        names.extend(window().iter().map(|it| format!("window {}", it.name())));
        names.sort();
        names.dedup();
        let text = names.join("\n") + "\n";
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "BLESS=1 writes the list anew");
        for absent in LEFT_OUT {
            assert!(!names.iter().any(|name| name.ends_with(&format!(" {absent}"))), "{absent}");
        }
    }
}
