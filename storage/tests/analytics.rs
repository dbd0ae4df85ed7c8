//! The tables in `docs/analytics.md` are what the columns say: names, types, titles and order from their lists, the formulas
//! from the headers of the modules that compute them.
//!
//! `BLESS=1 cargo test -p ofd-storage --test analytics` renews the page between its two marks; the rest of it is written by
//! hand, and its snippets are run by `.ci/analytics.py`.
#![cfg(feature = "columns")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::fmt::Write as _;
use std::path::Path;

use ofd_storage::columns::shift::SHIFT_KINDS;
use ofd_storage::columns::{Column, Kind, Table};

const BEGIN: &str =
    "<!-- Generated from storage/src/columns: BLESS=1 cargo test -p ofd-storage --test analytics -->\n";
const END: &str = "<!-- End of what is generated -->\n";

/// Why: a page of columns that is kept by hand is wrong after the second new column.
#[test]
fn the_page_of_the_tables_is_what_the_columns_say() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/analytics.md");
    let kept = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = kept.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let now = format!("{before}{BEGIN}{}{END}{after}", tables());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&page, &now).unwrap();
        return;
    }
    assert!(kept == now, "docs/analytics.md is not what the columns say; BLESS=1 renews it");
}

fn tables() -> String {
    let mut page = String::from("\n### Formulas\n\n");
    page.push_str(&formulas());
    for table in Table::ALL {
        let sorted: Vec<_> = table.sorted_by().iter().map(|it| format!("`{it}`")).collect();
        write!(page, "\n### {table}\n\n{} Sorted by {}.\n", words_of(table), sorted.join(", ")).unwrap();
        let (columns, sums) = split(table.columns());
        page.push_str("\n| column | type | NULL | title |\n|---|---|---|---|\n");
        for column in columns {
            page.push_str(&line(column, column.name, column.title));
        }
        if !sums.is_empty() {
            page.push_str(&folded(sums));
        }
        let told = match table {
            Table::Shifts => {
                paragraphs(include_str!("../src/columns/shift.rs")).get(1..3).unwrap().join("\n\n")
            }
            Table::Registers => {
                paragraphs(include_str!("../src/columns/register.rs")).get(2..4).unwrap().join("\n\n")
            }
            _ => continue,
        };
        write!(page, "\n{told}\n").unwrap();
    }
    page.push('\n');
    page
}

fn line(column: &Column, name: &str, title: &str) -> String {
    let null = if column.nullable { "NULL" } else { "" };
    let personal = if column.personal { " · personal" } else { "" };
    format!("| `{name}` | {} | {null} | {}{personal} |\n", kind(column.kind), title.replace('|', "\\|"))
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Int32 => "INT32",
        Kind::Int64 => "INT64",
        Kind::Flag => "BOOLEAN",
        Kind::Text => "text",
        Kind::Bytes => "bytes",
        Kind::Money => "DECIMAL(18,2)",
        Kind::Quantity => "DECIMAL(18,6)",
        Kind::LocalTime => "TIMESTAMP(ms), no zone",
        Kind::UtcTime => "TIMESTAMP(us), UTC",
        Kind::Date => "DATE",
    }
}

/// The columns of a table, and those that stand once for each kind of sums of a shift.
fn split(columns: &[Column]) -> (&[Column], &[Column]) {
    let first = columns.iter().position(|it| it.name == "sell_receipts").unwrap_or(columns.len());
    columns.split_at(first)
}

/// One row for all sums of a shift, then what stands before the underscore and what behind it.
fn folded(sums: &[Column]) -> String {
    let kinds: Vec<&[Column]> = sums.chunks(sums.len() / SHIFT_KINDS).collect();
    assert_eq!(kinds.len(), SHIFT_KINDS);
    let mut prefixes = Vec::new();
    let mut suffixes: Vec<String> = Vec::new();
    for columns in kinds {
        let prefix = columns.first().unwrap().name.strip_suffix("receipts").unwrap();
        let titled = columns.first().unwrap().title.split_once(": ").unwrap().0;
        prefixes.push(format!("`{prefix}…` {titled}"));
        let of_kind: Vec<_> = columns
            .iter()
            .map(|it| {
                let title = it.title.strip_prefix(titled).unwrap().strip_prefix(": ").unwrap();
                assert!(it.nullable && !it.personal);
                format!("`…{}` {title}", it.name.strip_prefix(prefix).unwrap())
            })
            .collect();
        assert!(suffixes.is_empty() || suffixes == of_kind, "{prefix} has other sums than those before it");
        suffixes = of_kind;
        let types: Vec<_> = columns.iter().map(|it| it.kind).collect();
        assert!(
            matches!(types.split_first(), Some((Kind::Int64, rest)) if rest.iter().all(|it| *it == Kind::Money))
        );
    }
    format!(
        "| `<kind>_<sum>`, {} columns | DECIMAL(18,2), of `…receipts` INT64 | NULL | Суммы по видам чеков |\n\n\
         Kinds: {}.\n\nSums: {}.\n",
        sums.len(),
        prefixes.join(", "),
        suffixes.join(", ")
    )
}

/// What the header of the columns states once, with what the modules say that it points at.
fn formulas() -> String {
    let told = paragraphs(include_str!("../src/columns.rs"));
    let at = told.iter().position(|it| it.starts_with("Formulas, stated once:")).unwrap();
    let list = told.get(at + 1).unwrap().replace("see `vat`", "see below").replace("see `day`", "see below");
    let mut page = format!("{list}\n\n{}\n", told.get(at + 2).unwrap());
    for (name, source) in [
        ("vat_rate_guess", include_str!("../src/columns/vat.rs")),
        ("date", include_str!("../src/columns/day.rs")),
    ] {
        assert!(list.contains(&format!("`{name}`")), "the formulas do not name {name}");
        let told = paragraphs(source);
        let told: Vec<_> = told.iter().skip(1).map(|it| it.trim_end()).collect();
        write!(page, "\n**`{name}`.** {}\n", told.join("\n\n")).unwrap();
    }
    page
}

/// Paragraphs of the header of a module; links of rustdoc become plain code.
fn paragraphs(source: &str) -> Vec<String> {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let text: Vec<_> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let text = text.join("\n").replace("[`", "`").replace("`]", "`").replace("`super::", "`");
    text.split("\n\n").map(str::to_owned).collect()
}

/// What one row of the table is: the words above its name.
fn words_of(table: Table) -> String {
    let source = include_str!("../src/columns.rs");
    let name = format!("    {table:?},");
    let before: Vec<&str> = source.lines().take_while(|line| *line != name).collect();
    let told = before.last().unwrap().trim().strip_prefix("/// ").unwrap();
    told.to_owned()
}
