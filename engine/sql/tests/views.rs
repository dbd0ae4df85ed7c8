//! Every view runs, in both languages, and the page tells of each.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

#[path = "../../../storage/tests/compact_support/mod.rs"]
mod compact_support;
mod support;

use std::fmt::Write as _;
use std::path::Path;

use ofd_sql::Scope;
use ofd_sql::views::VIEWS;
use ofd_storage::columns::Table;
use support::*;

/// A view that does not run is a promise on paper; and two names of one view must tell the same.
#[test]
fn every_view_runs_under_each_of_its_names() {
    let documents = everybody(60);
    let world = World::with(&documents, documents.len() / 2);
    for scope in [Scope::Everything, tenant()] {
        let sql = world.sql(scope.clone());
        for view in VIEWS {
            let mut counts = Vec::new();
            for name in view.names() {
                let rows = told(&sql, &format!("SELECT * FROM {name}"));
                let session = sql.session().unwrap();
                assert!(session.tables().contains(&name), "{name}");
                let answer = session.query(&format!("SELECT * FROM {name}")).unwrap();
                let columns: Vec<&str> = answer.columns().iter().map(|it| it.name.as_str()).collect();
                let russian = name == view.russian;
                let expected: Vec<&str> =
                    view.columns.iter().map(|it| if russian { it.russian } else { it.english }).collect();
                assert_eq!(columns, expected, "{name}");
                counts.push(rows.len());
            }
            assert!(counts.iter().all(|count| *count == counts[0]), "{}: {counts:?}", view.english);
            let filled = matches!(view.table, "documents" | "items");
            assert!(counts[0] > 0 || !filled, "{} is empty for {scope:?}", view.english);
        }
    }
}

/// Money of a view is money of the table: to the kopeck.
#[test]
fn views_add_up_to_their_tables() {
    let documents = everybody(90);
    let world = World::with(&documents, documents.len() / 2);
    let sql = world.sql(Scope::Everything);
    let one = |question: &str| told(&sql, question).remove(0);
    let revenue =
        one("SELECT sum(total * revenue_sign) AS x FROM documents WHERE realm = 'prod' AND variant = 0");
    assert_eq!(one("SELECT sum(выручка) AS x FROM чеки"), revenue);
    assert_eq!(one("SELECT sum(revenue) AS x FROM receipts"), revenue);
    assert_eq!(one("SELECT sum(revenue) AS x FROM revenue_by_day"), revenue);
    assert_eq!(one("SELECT sum(выручка) AS x FROM позиции"), revenue);
    assert_ne!(revenue, "{\"x\":0}");
}

/// The page is made of the views: `BLESS=1` writes it anew.
#[test]
fn the_page_tells_of_every_view() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sql.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (before, rest) = text.split_once("<!-- views -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- /views -->\n").unwrap();
    let mut views = String::new();
    for view in VIEWS {
        let names: Vec<String> = view.names().map(|it| format!("`{it}`")).collect();
        writeln!(views, "### {}\n", names.join(", ")).unwrap();
        writeln!(views, "{} (из `{}`).\n", view.about, view.table).unwrap();
        let table: Table = view.table.parse().unwrap();
        writeln!(views, "| по-русски | по-английски | что это |\n|---|---|---|").unwrap();
        for column in view.columns {
            let title = table.columns().iter().find(|it| it.name == column.english).map_or("", |it| it.title);
            writeln!(views, "| `{}` | `{}` | {title} |", column.russian, column.english).unwrap();
        }
        views.push('\n');
    }
    let made = format!("{before}<!-- views -->\n{views}<!-- /views -->\n{after}");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&page, made).unwrap();
    } else {
        assert_eq!(text, made, "docs/sql.md is old: BLESS=1 writes it anew");
    }
}
