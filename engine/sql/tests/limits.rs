//! Memory, time and rows have a limit each, and passing one is an error of its kind that leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

#[path = "../../../storage/tests/compact_support/mod.rs"]
mod compact_support;
mod support;

use std::time::{Duration, Instant};

use ofd_sql::{ErrorKind, Limits, Scope};
use support::*;

/// Many rows out of few.
const CROSS: &str = "documents a CROSS JOIN documents b CROSS JOIN documents c CROSS JOIN documents d";

fn world() -> World {
    let documents = everybody(60);
    World::with(&documents, documents.len() / 2)
}

/// An answer that is cut off without a word is taken for the whole.
#[test]
fn rows_end_at_their_limit_with_an_error() {
    let world = world();
    let limited = |rows| world.sql_with(Scope::Everything, Limits { rows, ..limits() });
    let question = "SELECT fn, fd FROM documents ORDER BY fn, fd";
    let all = told(&limited(240), question);
    assert_eq!(all.len(), 240);
    assert_eq!(told(&limited(1), "SELECT count(*) AS n FROM documents").len(), 1);
    assert!(told(&limited(1), "SELECT fn FROM documents WHERE fd = 0").is_empty());
    for rows in [1, 7, 239] {
        let mut answer = limited(rows).query(question).unwrap();
        let mut got = Vec::new();
        let error = loop {
            match answer.next_rows() {
                Ok(Some(rows)) => rows.each_json(&mut |line| got.push(line.to_owned())).unwrap(),
                Ok(None) => panic!("{rows}: the end of a part looks like the end"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Rows, "{error}");
        assert_eq!(got, all[..rows as usize]);
        assert!(answer.next_rows().unwrap().is_none(), "behind the error there is nothing");
    }
}

/// A question without end must not hold a thread for ever, nor the one who asked.
#[test]
fn a_question_without_end_ends_when_its_time_is_over() {
    let world = world();
    let time = Duration::from_millis(400);
    let sql = world.sql_with(Scope::Everything, Limits { time, ..limits() });
    for question in [
        format!("SELECT count(*) AS n FROM {CROSS} WHERE a.total + b.total + c.total + d.total < 0"),
        format!("SELECT a.fd, b.fd, c.fd FROM {CROSS}"),
        "WITH RECURSIVE n AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n".to_owned(),
    ] {
        let begun = Instant::now();
        let error = ask(&sql, &question).unwrap_err();
        let took = begun.elapsed();
        assert!(matches!(error.kind(), ErrorKind::Time | ErrorKind::Rows), "{question}: {error}");
        assert!(took < Duration::from_secs(5), "{question}: {took:?}");
    }
    // The threads come free again.
    let begun = Instant::now();
    while ask(&sql, "SELECT count(*) AS n FROM documents").is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "what was given up goes on");
    }
}

/// What sorts and hash tables hold is bounded; with a folder to spill into, a sort ends all the same.
#[test]
fn memory_has_a_limit_and_a_sort_can_spill() {
    let world = world();
    let limited = |spill_dir| {
        // How long a sort over a disk takes is the machine's, and not what is asked here.
        let (memory_bytes, time) = (128 << 20, Duration::from_secs(1_800));
        world.sql_with(
            Scope::Everything,
            Limits { memory_bytes, time, spill_dir, rows: 100_000_000, ..limits() },
        )
    };
    // 1 728 000 and 13 824 000 rows of some hundred bytes.
    let sort = "SELECT max(place) AS n FROM (SELECT row_number() OVER (ORDER BY t) AS place FROM \
                (SELECT a.fn || b.fn || c.fn || a.fd || b.fd || c.fd AS t FROM documents a \
                CROSS JOIN documents b CROSS JOIN (SELECT * FROM documents LIMIT 30) c))";
    let distinct = "SELECT count(DISTINCT a.fn || b.fn || c.fn || a.fd || b.fd || c.fd) AS n \
                    FROM documents a CROSS JOIN documents b CROSS JOIN documents c";
    let sql = limited(None);
    for question in [sort, distinct] {
        let error = ask(&sql, question).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Memory, "{question}: {error}");
    }
    assert_eq!(
        told(&sql, "SELECT count(*) AS n FROM documents"),
        ["{\"n\":240}"],
        "the memory is given back"
    );
    let folder = tempfile::tempdir().unwrap();
    let spilling = limited(Some(folder.path().to_owned()));
    let sorted = told(&spilling, sort);
    assert!(sorted[0] == "{\"n\":1728000}", "{sorted:?}");
    drop(spilling);
    // The threads let go of it a little later.
    let begun = Instant::now();
    while std::fs::read_dir(folder.path()).unwrap().count() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(10), "what was spilled is removed");
        std::thread::sleep(Duration::from_millis(10));
    }
    let absent = folder.path().join("absent");
    let sql = limited(Some(absent));
    assert_eq!(ask(&sql, "SELECT 1").unwrap_err().kind(), ErrorKind::Limits);
}

/// Everything that an answer held goes when its reader does.
#[test]
fn an_answer_that_nobody_reads_stops() {
    let world = world();
    let sql = world.sql_with(Scope::Everything, Limits { rows: 1_000_000_000, ..limits() });
    for _ in 0..20 {
        let mut answer = sql.query(&format!("SELECT a.fn, b.fn FROM {CROSS}")).unwrap();
        assert!(answer.next_rows().unwrap().is_some());
    }
    assert_eq!(told(&sql, "SELECT count(*) AS n FROM documents"), ["{\"n\":240}"]);
}

/// Errors tell whose turn it is.
#[test]
fn each_error_has_its_kind() {
    let world = world();
    let sql = world.sql(Scope::Everything);
    for (question, kind) in [
        ("SELECT * FROM nowhere", ErrorKind::Statement),
        ("SELECT nothing FROM documents", ErrorKind::Statement),
        ("SELECT no_such_function(1)", ErrorKind::Statement),
        ("SELECT sum(fn) FROM documents", ErrorKind::Statement),
        ("SELECT 1 / 0", ErrorKind::Value),
        ("SELECT 1 / (fd - fd) FROM documents", ErrorKind::Value),
        ("SELECT CAST(fn || 'x' AS BIGINT) FROM documents", ErrorKind::Value),
        ("DROP TABLE documents", ErrorKind::Refused),
        ("SELECT * FROM '/etc/passwd'", ErrorKind::Statement),
        ("SELECT * FROM information_schema.tables", ErrorKind::Statement),
        ("SELECT repeat('x', 1000000000)", ErrorKind::Statement),
        ("SELECT * FROM range(1, 1000000000000)", ErrorKind::Statement),
        ("SELECT input_file_name() FROM documents", ErrorKind::Statement),
    ] {
        let error = ask(&sql, question).unwrap_err();
        assert_eq!(error.kind(), kind, "{question}: {error}");
        println!("{question}\n    {:?}: {error}", error.kind());
    }
    let error = ask(&sql, "SELECT * FROM nowhere").unwrap_err().to_string();
    assert!(error.contains("documents") && error.contains("чеки"), "{error}");
}

/// Planning walks a condition by recursion: a long one must not be the end of the program that asked.
#[test]
fn a_condition_of_thousands_of_parts_does_not_overflow_the_stack() {
    let world = world();
    // A sum of so many takes DataFusion more than a minute to plan.
    let limits = Limits { time: Duration::from_secs(8), ..limits() };
    let sql = world.sql_with(Scope::Everything, limits);
    for joint in [" OR ", " AND ", " + "] {
        let part = if joint == " + " { "fd" } else { "fd <> 5" };
        let chain = vec![part; 4000].join(joint);
        let question = if joint == " + " {
            format!("SELECT count(*) AS n FROM documents WHERE {chain} > 0")
        } else {
            format!("SELECT count(*) AS n FROM documents WHERE {chain}")
        };
        // An answer or an error, but no crash.
        let told = ask(&sql, &question);
        println!("{joint}: {:?}", told.map_err(|error| (error.kind(), error.to_string().len())));
    }
}
