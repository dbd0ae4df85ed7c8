//! Compacted and not compacted are one: the same answers whatever part of the rows lies in Parquet, and while that changes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

#[path = "../../../storage/tests/compact_support/mod.rs"]
mod compact_support;
mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ofd_sql::Scope;
use ofd_storage::columns::Table;
use ofd_storage::compact::compact;
use ofd_storage::manifest::{Archive, Manifest};
use ofd_storage::retain::{DropRules, drop_segments};
use ofd_storage::{Env, RealEnv};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use support::*;

/// Questions with their answers: `> question`, then a line a row.
const GOLDEN: &str = "tests/golden/answers.txt";
const COUNT: u32 = 90;

fn golden() -> Vec<(String, Vec<String>)> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN)).unwrap();
    let blocks = text.split("\n> ").skip(1);
    blocks
        .map(|block| {
            let mut lines = block.lines().map(str::to_owned).filter(|line| !line.is_empty());
            (lines.next().unwrap(), lines.collect())
        })
        .collect()
}

/// An update of DataFusion, a column or a view that changes an answer has to be seen; and where a row lies must not
/// matter. BLESS=1 writes the answers anew.
#[test]
fn answers_are_those_of_the_golden_file_wherever_the_rows_lie() {
    let documents = everybody(COUNT);
    let worlds = [
        World::with(&documents, documents.len()),
        World::with(&documents, 0),
        World::with(&documents, documents.len() / 2),
        World::with(&documents, documents.len() - 1),
        World::in_store(&documents, documents.len() / 2),
    ];
    assert!(!worlds[4].env.exists(Path::new("parquet")).unwrap(), "its files lie in the store");
    let asked = worlds.each_ref().map(|world| world.sql(Scope::Everything));
    let mut anew =
        String::from("Questions over everybody's 360 documents. BLESS=1 writes the answers anew.\n\n");
    for (question, expected) in golden() {
        let told = asked.each_ref().map(|sql| told(sql, &question));
        for other in &told[1..] {
            assert_eq!(other, &told[0], "{question}");
        }
        anew.push_str(&format!("> {question}\n{}\n\n", told[0].join("\n")));
        if std::env::var_os("BLESS").is_none() {
            assert_eq!(told[0], expected, "{question}");
        }
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN), anew.trim_end().to_owned() + "\n")
            .unwrap();
    }
}

/// Every column of every table, of every row: nothing is lost on the way from the log to Parquet or to the tail.
#[test]
fn all_rows_are_the_same_compacted_or_not() {
    let documents = everybody(30);
    let [compacted, tail] = [documents.len(), 0].map(|at| World::with(&documents, at));
    for table in Table::ALL {
        // Our own clock ran differently, and so did the log's numbers.
        let other: Vec<&str> = ["received_at", "answered_at", "seen_at", "position", "payload"]
            .into_iter()
            .filter(|name| table.column_index(name).is_some())
            .collect();
        let except = if other.is_empty() { String::new() } else { format!(" EXCEPT ({})", other.join(", ")) };
        let question = format!("SELECT *{except} FROM {table}");
        let rows = sorted(&compacted.sql(Scope::Everything), &question);
        assert_eq!(rows, sorted(&tail.sql(Scope::Everything), &question), "{table}");
        assert!(!rows.is_empty() || table != Table::Documents, "{table}");
    }
}

/// Files are chosen by what the manifest tells of them: a choice that is too narrow loses rows without a word.
#[test]
fn a_condition_that_chooses_files_finds_what_one_that_cannot_does() {
    let documents = everybody(COUNT);
    let world = World::with(&documents, documents.len() * 2 / 3);
    let archive = Archive::open(&world.env).unwrap();
    let files = archive.files(Table::Documents).count();
    assert!(files >= 10, "only {files} files to choose from");
    let sql = world.sql(Scope::Everything);
    let tenant = world.sql(tenant());
    // The second column is hidden behind a function, so that nothing can be chosen by it.
    for (plain, hidden) in [
        ("date = '2024-05-17'", "CAST(date AS TEXT) = '2024-05-17'"),
        ("date < '2024-05-17'", "CAST(date AS TEXT) < '2024-05-17'"),
        ("date IN ('2024-05-15', '2024-05-19')", "CAST(date AS TEXT) IN ('2024-05-15', '2024-05-19')"),
        ("inn = '5001007322'", "inn || '' = '5001007322'"),
        ("inn IS NULL", "coalesce(inn, '') = ''"),
        ("inn <> '5001007322'", "inn || '' <> '5001007322'"),
        ("inn > '6' AND date <> '2024-05-15'", "inn || '' > '6' AND CAST(date AS TEXT) <> '2024-05-15'"),
        ("fn = '9960440300000004'", "fn || '' = '9960440300000004'"),
        ("fn = '1'", "fn || '' = '1'"),
        ("fd BETWEEN 20 AND 1020", "fd + 0 BETWEEN 20 AND 1020"),
        ("fpd = 1", "fpd + 0 = 1"),
        ("total > 5000.50", "total + 0 > 5000.50"),
        (
            "direction IS NULL OR date = '2024-05-18'",
            "coalesce(direction, 0) = 0 OR CAST(date AS TEXT) = '2024-05-18'",
        ),
        ("false", "1 = 0"),
    ] {
        for table in ["documents", "items"] {
            if table == "items" && (plain.contains("fpd") || plain.contains("total")) {
                continue;
            }
            let ask =
                |condition: &str| format!("SELECT fn, fd, variant, date FROM {table} WHERE {condition}");
            for sql in [&sql, &tenant] {
                assert_eq!(sorted(sql, &ask(plain)), sorted(sql, &ask(hidden)), "{table}: {plain}");
            }
        }
    }
    let through = archive.compacted_through().as_u64();
    for at in [1, through / 2, through, through + 1, through + 10] {
        let one = told(&sql, &format!("SELECT count(*) AS n FROM documents WHERE position <= {at}"));
        let other = told(&sql, &format!("SELECT count(*) AS n FROM documents WHERE position + 0 <= {at}"));
        assert_eq!(one, other, "position {at}");
    }
}

/// A reader that sees half a change gives a number that nobody can explain afterwards.
#[test]
fn totals_stay_while_documents_are_compacted_and_segments_leave() {
    let folder = tempfile::tempdir().unwrap();
    let env: Arc<dyn Env> = Arc::new(RealEnv::new(folder.path()));
    let mut world = World::on(env);
    world.append(&everybody(250));
    let operator = world.sql(Scope::Everything);
    let tenant = world.sql(tenant());
    let question = "SELECT count(*) AS n, sum(total * revenue_sign) AS revenue, count(DISTINCT fn || fd) AS keys FROM documents";
    let items = "SELECT count(*) AS n, sum(sum) AS total FROM items JOIN documents USING (fn, fd, variant)";
    let expected = [&operator, &tenant].map(|sql| (told(sql, question), told(sql, items)));
    assert!(expected[0].0[0].starts_with("{\"n\":1000,"), "{expected:?}");
    let done = AtomicBool::new(false);
    let asked = std::thread::scope(|scope| {
        scope.spawn(|| {
            // A run a segment, and after each one of them what is compacted leaves the log.
            world.log.seal_all().unwrap();
            let (reader, env) = (world.log.log().reader(), Arc::clone(&world.env));
            let rules = DropRules { now_us: i64::MAX, keep_us: 0, ..DropRules::default() };
            let options = world.options(1);
            compact(&reader, &env, &options).unwrap();
            drop_segments(&reader, &env, &rules).unwrap();
            done.store(true, Ordering::Relaxed);
        });
        let mut asked = 0;
        while !done.load(Ordering::Relaxed) || asked < 3 {
            for (sql, (documents, goods)) in [&operator, &tenant].into_iter().zip(&expected) {
                assert_eq!(&told(sql, question), documents);
                assert_eq!(&told(sql, items), goods);
            }
            asked += 1;
        }
        asked
    });
    println!("asked {asked} times");
    assert!(Archive::open(&world.env).unwrap().runs().len() > 5);
}

/// A session is one moment: what comes later is not in it, and in the next one it is.
#[test]
fn a_session_sees_what_was_there_when_it_began() {
    let mut world = World::with(&everybody(5), 10);
    let sql = world.sql(Scope::Everything);
    let session = sql.session().unwrap();
    let count = "SELECT count(*) AS n FROM documents";
    assert_eq!(lines(session.query(count).unwrap()).unwrap(), ["{\"n\":20}"]);
    world.append(&[document(0, 500)]);
    assert_eq!(lines(session.query(count).unwrap()).unwrap(), ["{\"n\":20}"]);
    assert_eq!(told(&sql, count), ["{\"n\":21}"]);
    world.compact(1 << 20);
    assert_eq!(lines(session.query(count).unwrap()).unwrap(), ["{\"n\":20}"]);
    assert_eq!(told(&sql, count), ["{\"n\":21}"]);
}

/// More columns come with the years; files without them stay as they are.
#[test]
fn a_column_that_an_old_file_lacks_is_null() {
    let folder = tempfile::tempdir().unwrap();
    let env: Arc<dyn Env> = Arc::new(RealEnv::new(folder.path()));
    let mut world = World::on(env);
    let documents = everybody(20);
    world.append(&documents[..40]);
    world.compact(1 << 20);
    let mut manifest = Manifest::load(&*world.env).unwrap().unwrap();
    for file in manifest.runs.iter_mut().flat_map(|run| &mut run.files).filter(|it| it.table == "documents") {
        let path = folder.path().join(file.path());
        let reader = std::fs::File::open(&path).unwrap();
        let batches = ParquetRecordBatchReaderBuilder::try_new(reader).unwrap().build().unwrap();
        let batches: Vec<_> = batches.map(Result::unwrap).collect();
        let schema = batches[0].schema();
        // The last column, and one in the middle.
        let kept: Vec<usize> =
            (0..schema.fields().len() - 1).filter(|at| schema.field(*at).name() != "cashier").collect();
        let narrow = Arc::new(schema.project(&kept).unwrap());
        let mut writer = ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), narrow, None).unwrap();
        batches.iter().for_each(|batch| writer.write(&batch.project(&kept).unwrap()).unwrap());
        writer.close().unwrap();
        file.bytes = std::fs::metadata(&path).unwrap().len();
    }
    manifest.store(&*world.env).unwrap();
    world.append(&documents[40..]);
    for scope in [Scope::Everything, tenant()] {
        let sql = world.sql(scope);
        let count = |condition: &str| {
            let lines = told(&sql, &format!("SELECT count(*) AS n FROM documents WHERE {condition}"));
            lines[0].trim_matches(|it: char| !it.is_ascii_digit()).parse::<u32>().unwrap()
        };
        let all = count("true");
        assert_eq!(count("cashier IS NULL"), all / 2);
        assert_eq!(count("cashier = 'Иванова'") + count("cashier = 'Петров'"), all / 2);
        assert_eq!(count("replaces_drive IS NULL"), all);
        assert_eq!(told(&sql, "SELECT * FROM documents").len() as u32, all);
    }
}
