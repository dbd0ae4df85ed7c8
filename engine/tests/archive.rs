//! The tables of the archive and the tail behind them, by a running engine: one truth, whenever it is asked.
#![cfg(feature = "parquet")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    reason = "a failed unwrap is a failed test"
)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int32Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use common::{changed, lives_of, submit};
use ofd_emit::{Prng, ProfileOptions};
use ofd_engine::codec::rules::{CheckContext, check};
use ofd_engine::codec::{DocumentView, FfdVersion};
use ofd_engine::host::Capability;
use ofd_engine::registers::{Event, EventKind, Shift};
use ofd_engine::storage::columns::Table;
use ofd_engine::storage::columns::read::each_batch;
use ofd_engine::storage::union::Snapshot;
use ofd_engine::{Engine, Export, ReadOnly};

const OURS: &str = "7700000190";

fn open(dir: &Path) -> Engine {
    Engine::builder(dir).operator_inn(OURS).segment_len_bytes(1 << 20).checkpoint_after(150).open().unwrap()
}

/// A cell as text; NULL is empty.
fn cell(array: &dyn Array, at: usize) -> String {
    use arrow_array::types::TimestampMillisecondType as Millis;
    if array.is_null(at) {
        return String::new();
    }
    let number = || array.as_primitive_opt::<Int64Type>().map(|it| it.value(at).to_string());
    let small = || array.as_primitive_opt::<Int32Type>().map(|it| it.value(at).to_string());
    let money = || array.as_primitive_opt::<Decimal128Type>().map(|it| it.value(at).to_string());
    let local = || array.as_primitive_opt::<Millis>().map(|it| it.value(at).to_string());
    let text = || array.as_string_opt::<i32>().map(|it| it.value(at).to_owned());
    number().or_else(small).or_else(money).or_else(local).or_else(text).unwrap()
}

/// Rows of a table, archive first.
fn rows(snapshot: &Snapshot, table: Table, columns: &[&str]) -> Vec<Vec<String>> {
    try_rows(snapshot, table, columns).unwrap()
}

/// The same for who reads while files go.
fn try_rows(
    snapshot: &Snapshot,
    table: Table,
    columns: &[&str],
) -> Result<Vec<Vec<String>>, ofd_engine::storage::Error> {
    let mut rows = Vec::new();
    let mut take = |batch: &RecordBatch| {
        let arrays: Vec<_> = columns.iter().map(|it| batch.column_by_name(it).unwrap()).collect();
        rows.extend((0..batch.num_rows()).map(|at| arrays.iter().map(|it| cell(it, at)).collect::<Vec<_>>()));
    };
    let archive = snapshot.archive();
    for file in archive.files(table) {
        each_batch(&**archive.env(), &file.path(), columns, |batch| {
            take(batch);
            Ok(())
        })?;
    }
    snapshot.tail(table, &mut |_, batch| {
        take(&batch);
        Ok(())
    })?;
    Ok(rows)
}

const SHIFT: [&str; 14] = [
    "fn",
    "shift",
    "revision",
    "open_fd",
    "close_fd",
    "documents",
    "receipts",
    "revenue",
    "state",
    "opened_at",
    "closed_at",
    "sell_total",
    "sell_cash",
    "sell_return_vat10",
];

/// The newest state of each shift.
fn shifts(snapshot: &Snapshot) -> BTreeMap<(String, u32), Vec<String>> {
    let mut newest = BTreeMap::new();
    for row in rows(snapshot, Table::Shifts, &SHIFT) {
        let key = (row[0].clone(), row[1].parse().unwrap());
        let revision = |row: &[String]| row[2].parse::<u32>().unwrap();
        let older = newest.get(&key).is_none_or(|it: &Vec<String>| revision(it) <= revision(&row));
        if older {
            newest.insert(key, row);
        }
    }
    newest
}

/// The same by a fold of the whole log that keeps every shift.
fn folded(dir: &Path) -> BTreeMap<(String, u32), Vec<String>> {
    let log = ReadOnly::open(dir).unwrap();
    let all = log.fold_registers(&Capability::operator(), Some(OURS.to_owned()), usize::MAX).unwrap();
    let row = |drive: &str, it: &Shift| {
        let closed = it.closed?;
        let millis = |at: Option<ofd_engine::codec::LocalSeconds>| {
            at.map_or(String::new(), |at| format!("{}000", at.0))
        };
        let sums = |direction: usize, of: &dyn Fn(&ofd_engine::registers::Sums) -> i64| {
            let sums = it.totals.receipts(direction);
            if sums.receipts == 0 { String::new() } else { of(&sums).to_string() }
        };
        let state = it.agreement().as_str();
        Some(vec![
            drive.to_owned(),
            it.number.to_string(),
            it.revision.to_string(),
            it.opened.map_or(String::new(), |it| it.number.to_string()),
            closed.number.to_string(),
            it.documents.to_string(),
            it.totals.count().to_string(),
            it.totals.revenue().to_string(),
            state.to_owned(),
            millis(it.opened.and_then(|it| it.at)),
            millis(closed.at),
            sums(0, &|it| it.total),
            sums(0, &|it| it.payments[0]),
            sums(1, &|it| it.vat[1]),
        ])
    };
    let of_drive = |drive: ofd_engine::registers::Drive| {
        let name = drive.number.as_str().to_owned();
        let rows = drive.shifts.iter().filter_map(|it| Some(((name.clone(), it.number), row(&name, it)?)));
        rows.collect::<Vec<_>>()
    };
    all.drives().flat_map(of_drive).collect()
}

/// Lives of registers by turns, some of whose documents come late and some of which break a rule.
fn late_lives(registers: u32, documents: usize) -> Vec<Vec<u8>> {
    let mut rng = Prng::new(7, 0);
    let options = |_| ProfileOptions { receipts_per_shift: Some(3), ..ProfileOptions::default() };
    let mut lives = lives_of(21, registers, documents, options);
    for life in &mut lives {
        for message in life.iter_mut().skip(3).step_by(5) {
            *message = changed(message, 1020, |value| value[0] ^= 1);
        }
    }
    let mut out: Vec<(usize, Vec<u8>)> = Vec::new();
    for at in 0..documents {
        for life in &lives {
            let late = if rng.below(9) == 0 { 20 + rng.below(200) as usize } else { 0 };
            out.push((out.len() + late, life[at].clone()));
        }
    }
    out.sort_by_key(|(at, _)| *at);
    out.into_iter().map(|(_, message)| message).collect()
}

// A report over shifts must not depend on when somebody compacted, restarted or asked.
#[test]
fn shifts_are_the_same_wherever_runs_are_cut() {
    let dir = tempfile::tempdir().unwrap();
    let mut revised = 0;
    for (at, part) in late_lives(7, 120).chunks(130).enumerate() {
        let engine = open(dir.path());
        submit(&engine, part);
        if at % 3 != 1 {
            engine.compact(true).unwrap();
        }
        let expected = folded(dir.path());
        let here = engine.snapshot().unwrap();
        assert_eq!(shifts(&here), expected, "part {at}");
        revised += expected.values().filter(|row| row[2] != "0").count();
        // A reader beside it, who may or may not know whose engine it is.
        let beside = ReadOnly::open(dir.path()).unwrap();
        for ours in [Some(OURS), None] {
            assert_eq!(shifts(&beside.snapshot(ours).unwrap()), expected, "part {at}, beside");
        }
        assert!(engine.verify().unwrap().ok, "part {at}");
        engine.shutdown().unwrap();
    }
    assert!(revised > 3, "nothing came late");
    let engine = open(dir.path());
    engine.compact(true).unwrap();
    let snapshot = engine.snapshot().unwrap();
    assert_eq!(shifts(&snapshot), folded(dir.path()));
    // As values, each once, with what the columns hold.
    let mut values = BTreeMap::new();
    engine
        .shifts(&Capability::operator(), None, &mut |it| {
            let sum = |of: &dyn Fn(&ofd_engine::storage::columns::ShiftSums) -> i64, kind: usize| {
                it.sums[kind].as_ref().map_or(String::new(), |it| of(it).to_string())
            };
            let millis = |at: Option<i64>| at.map_or(String::new(), |at| format!("{at}000"));
            let row = vec![
                it.drive.clone(),
                it.shift.to_string(),
                it.revision.to_string(),
                it.open_fd.map_or(String::new(), |it| it.to_string()),
                it.close_fd.to_string(),
                it.documents.to_string(),
                it.receipts.to_string(),
                it.revenue.to_string(),
                it.state.to_owned(),
                millis(it.opened_at),
                millis(it.closed_at),
                sum(&|it| it.total, 0),
                sum(&|it| it.payments[0], 0),
                sum(&|it| it.vat[1], 1),
            ];
            assert!(values.insert((it.drive.clone(), it.shift), row).is_none(), "told twice");
        })
        .unwrap();
    assert_eq!(values, folded(dir.path()));
    assert!(snapshot.archive().files(Table::Shifts).count() > 3);
    engine.shutdown().unwrap();
}

// What merchants are told of must be what the rules say, before and after compaction.
#[test]
fn findings_are_those_of_the_rules_in_both_parts() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    let messages = late_lives(5, 60);
    submit(&engine, &messages[..150]);
    engine.compact(true).unwrap();
    submit(&engine, &messages[150..]);
    let mut expected = Vec::new();
    let log = ReadOnly::open(dir.path()).unwrap();
    let mut feed = engine.feed(&Capability::operator(), ofd_engine::Position::START);
    loop {
        let batch = feed.next_batch(1000, std::time::Duration::ZERO).unwrap();
        if batch.is_empty() {
            break;
        }
        for document in &batch {
            let envelope = document.envelope().unwrap();
            let view = DocumentView::new_checked(envelope.plain).unwrap();
            let version =
                FfdVersion::of_document(&view.header(), None, [envelope.session[6], envelope.session[7]]);
            for (line, it) in (1..).zip(check(&view, &CheckContext::new(version)).iter()) {
                let (at, tag) =
                    (document.position().as_u64(), it.tag.map_or(String::new(), |it| it.0.to_string()));
                let line: i32 = line;
                expected.push(vec![at.to_string(), line.to_string(), it.rule.key.to_owned(), tag]);
            }
        }
    }
    let sorted = |mut rows: Vec<Vec<String>>| {
        rows.sort();
        rows
    };
    let columns = ["position", "line", "rule", "tag"];
    // Those across documents are the findings that the registers tell.
    let before = expected.len();
    let mut across = |event: Event| match &event.kind {
        EventKind::Found(it) | EventKind::FindingEnded(it) => {
            let tag = it.tag.map_or(String::new(), |it| it.0.to_string());
            let (at, line) =
                (event.position.as_u64().to_string(), (1_001 + i64::from(event.index)).to_string());
            expected.push(vec![at, line, it.rule.rule().key.to_owned(), tag]);
        }
        _ => {}
    };
    log.fold_events(None, &mut across).unwrap();
    assert!(expected.len() > before + 5, "{}", expected.len() - before);
    let found = sorted(rows(&engine.snapshot().unwrap(), Table::Violations, &columns));
    assert!(found.len() > 20, "{}", found.len());
    assert_eq!(found, sorted(expected));
    assert_eq!(found, sorted(rows(&log.snapshot(None).unwrap(), Table::Violations, &columns)));
    engine.shutdown().unwrap();
}

// Somebody who asks while compaction runs must see every document once.
#[test]
fn a_snapshot_shows_every_document_once_while_compaction_and_merging_run() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Arc::new(open(dir.path()));
    let done = Arc::new(AtomicBool::new(false));
    let asking = {
        let (engine, done) = (Arc::clone(&engine), Arc::clone(&done));
        std::thread::spawn(move || {
            let (mut looks, mut mixed) = (0, 0);
            while !done.load(Ordering::Acquire) || looks < 3 {
                let snapshot = engine.snapshot().unwrap();
                let (after, through) = (snapshot.archive().compacted_through(), snapshot.through());
                let parts =
                    [Table::Documents, Table::Records].map(|it| try_rows(&snapshot, it, &["position"]));
                // A merge, and the compaction behind it, have taken files away: the next snapshot knows the new ones.
                if parts.iter().any(|it| it.as_ref().is_err_and(|error| error.is_not_found())) {
                    continue;
                }
                let read = parts.into_iter().flat_map(Result::unwrap);
                let mut seen: Vec<u64> = read.map(|row| row[0].parse().unwrap()).collect();
                seen.sort_unstable();
                assert!(seen.iter().copied().eq(1..=through.as_u64()), "{after}..{through}: {seen:?}");
                looks += 1;
                mixed += usize::from(after.as_u64() > 0 && after < through);
            }
            (looks, mixed)
        })
    };
    let mut merged = 0;
    for (at, part) in late_lives(6, 150).chunks(60).enumerate() {
        submit(&engine, part);
        engine.compact(true).unwrap();
        if at % 3 == 2 {
            merged += engine.merge(true).unwrap().merged;
        }
    }
    assert!(merged > 5, "{merged} runs were merged");
    done.store(true, Ordering::Release);
    let (looks, mixed) = asking.join().unwrap();
    println!("{looks} looks, {mixed} of them at archive and tail");
    assert!(mixed > 0);
    Arc::into_inner(engine).unwrap().shutdown().unwrap();
}

/// Rows of an export by position and what tells them apart, as its files hold them.
fn exported(dir: &Path, table: Table, columns: &[&str]) -> Vec<Vec<String>> {
    let env: Arc<dyn ofd_engine::storage::Env> = Arc::new(ofd_engine::storage::RealEnv::new(dir));
    let archive = ofd_engine::storage::manifest::Archive::open(&env).unwrap();
    let mut rows = Vec::new();
    for file in archive.files(table) {
        each_batch(&*env, &file.path(), columns, |batch| {
            let arrays: Vec<_> = columns.iter().map(|it| batch.column_by_name(it).unwrap()).collect();
            let row = |at: usize| arrays.iter().map(|it| cell(it, at)).collect::<Vec<_>>();
            rows.extend((0..batch.num_rows()).map(row));
            Ok(())
        })
        .unwrap();
    }
    rows.sort();
    rows
}

// A merchant who is given his data must get all of it, once, and nothing of anybody else, however often he fetches it.
#[test]
fn an_export_in_increments_holds_what_the_tables_hold_of_the_merchant() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, open) = (dir.path().join("whole"), dir.path().join("open"));
    let data = dir.path().join("data");
    let engine = self::open(&data);
    let operator = Capability::operator();
    let messages = late_lives(6, 100);
    submit(&engine, &messages[..30]);
    let inn = rows(&engine.snapshot().unwrap(), Table::Documents, &["inn"])[0][0].clone();
    let what = |without_personal| Export { inn: inn.clone(), since: None, without_personal };
    let mut increments = 0;
    for (at, part) in messages[30..].chunks(80).enumerate() {
        submit(&engine, part);
        if at % 3 == 1 {
            engine.compact(true).unwrap();
        }
        // Half of an increment that a crash has left.
        std::fs::create_dir_all(whole.join(".staging")).unwrap();
        std::fs::write(whole.join(".staging/documents-2026-01-01-p-1-2.parquet"), b"half").unwrap();
        let report = engine.export(&operator, &whole, &what(false)).unwrap();
        increments += usize::from(report.documents > 0);
        let again = engine.export(&operator, &whole, &what(false)).unwrap();
        assert_eq!((again.documents, again.files), (0, 0));
    }
    assert!(increments > 3);
    engine.export(&operator, &open, &what(true)).unwrap();
    let snapshot = engine.snapshot().unwrap();
    for (table, columns) in [
        (Table::Documents, &["position", "variant", "inn", "fn", "fd", "total", "violations_n"][..]),
        (Table::Items, &["position", "line", "inn", "name", "sum"]),
        (Table::Violations, &["position", "line", "inn", "rule", "tag"]),
    ] {
        let at = columns.iter().position(|it| *it == "inn").unwrap();
        let mut expected = rows(&snapshot, table, columns);
        expected.retain(|row| row[at] == inn);
        expected.sort();
        assert!(!expected.is_empty(), "{table}");
        assert_eq!(exported(&whole, table, columns), expected, "{table}");
        assert_eq!(exported(&open, table, columns), expected, "{table}, without personal data");
    }
    // Its containers, and nobody else's.
    let documents = exported(&whole, Table::Documents, &["position", "fn", "fd"]);
    assert_eq!(exported(&whole, Table::Containers, &["position", "fn", "fd"]), documents);
    // Of a shift every state that an increment has met; the newest is the one that stands.
    let mut newest = BTreeMap::new();
    for row in exported(&whole, Table::Shifts, &SHIFT) {
        let key = (row[0].clone(), row[1].parse::<u32>().unwrap());
        let revision: u32 = row[2].parse().unwrap();
        let before = newest.entry(key).or_insert_with(|| (revision, row.clone()));
        if before.0 <= revision {
            *before = (revision, row);
        }
    }
    let drives: std::collections::BTreeSet<_> = documents.iter().map(|row| row[1].clone()).collect();
    let mut expected = folded(&data);
    expected.retain(|(drive, _), _| drives.contains(drive));
    assert!(expected.len() > 3);
    assert_eq!(newest.into_iter().map(|(key, (_, row))| (key, row)).collect::<BTreeMap<_, _>>(), expected);
    // Without personal data there are no such columns, and no bytes that hold them.
    assert!(!open.join("parquet/containers").exists() && !open.join("parquet/records").exists());
    let mut names = std::collections::BTreeSet::new();
    let env: Arc<dyn ofd_engine::storage::Env> = Arc::new(ofd_engine::storage::RealEnv::new(&open));
    let archive = ofd_engine::storage::manifest::Archive::open(&env).unwrap();
    for file in Table::ALL.into_iter().flat_map(|table| archive.files(table)) {
        let builder = ofd_engine::storage::columns::read::open(&*env, &file.path()).unwrap();
        names.extend(builder.schema().fields().iter().map(|it| it.name().clone()));
    }
    let personal = |it: &&String| it.starts_with("buyer") || it.starts_with("cashier") || *it == "actual";
    assert!(names.contains("total") && !names.iter().any(|it| personal(&it)), "{names:?}");
    // What would make holes or doubles is refused, as is what is not his.
    let since = Some(ofd_engine::Position::new(ofd_engine::Lsn::new(5)));
    assert!(engine.export(&operator, &whole, &Export { since, ..what(false) }).is_err());
    assert!(engine.export(&operator, &whole, &what(true)).is_err());
    assert!(engine.export(&operator, &whole, &Export { inn: "0000000000".into(), ..what(false) }).is_err());
    assert!(engine.export(&Capability::users(["1".to_owned()]), &open, &what(true)).is_err());
    engine.shutdown().unwrap();
}

// The registers of a day, as analysts find them, are those the cards show.
#[test]
fn the_snapshot_of_a_day_names_every_register_as_its_card_does() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    submit(&engine, &late_lives(5, 40));
    engine.compact(true).unwrap();
    // The same day: no second one.
    submit(&engine, &late_lives(6, 41));
    engine.compact(true).unwrap();
    let snapshot = engine.snapshot().unwrap();
    let files: Vec<_> = snapshot.archive().files(Table::Registers).collect();
    assert_eq!(files.len(), 1, "the test ran over midnight");
    let columns = ["rnm", "fn", "inn", "realm", "status", "address"];
    let mut found = rows(&snapshot, Table::Registers, &columns);
    found.sort();
    let as_of: u64 = rows(&snapshot, Table::Registers, &["as_of"])[0][0].parse().unwrap();
    assert_eq!(as_of, snapshot.archive().runs()[0].last);
    let book = engine.registers(&Capability::operator());
    let mut expected: Vec<Vec<String>> = Vec::new();
    for register in book.iter().take(5) {
        let card = register.card;
        let registration = book.registration(&register.drive).unwrap();
        let address = registration.and_then(|it| it.text(ofd_engine::codec::tags::RETAIL_PLACE_ADDRESS));
        expected.push(vec![
            card.rnm,
            card.drives.last().unwrap().drive.as_str().to_owned(),
            card.inn.unwrap_or_default(),
            "prod".to_owned(),
            "working".to_owned(),
            address.unwrap_or_default(),
        ]);
    }
    expected.sort();
    assert_eq!(found, expected);
    assert!(engine.verify().unwrap().ok);
    engine.shutdown().unwrap();
}

// A tool that knows nothing of the operator must not throw away what the server has folded, nor fold it all again.
#[test]
fn who_is_not_told_the_operator_goes_on_from_the_files_of_the_owner() {
    let dir = tempfile::tempdir().unwrap();
    let engine = open(dir.path());
    submit(&engine, &late_lives(14, 40));
    let book = engine.registers(&Capability::operator());
    assert!(book.wait(engine.durable(), std::time::Duration::from_secs(20)));
    engine.shutdown().unwrap();
    let folds = || {
        let mut names: Vec<_> =
            std::fs::read_dir(dir.path().join("registers")).unwrap().map(|it| it.unwrap().path()).collect();
        names.sort();
        names.into_iter().map(|it| (std::fs::read(&it).unwrap(), it)).collect::<Vec<_>>()
    };
    let before = folds();
    assert!(before.len() >= 2, "no checkpoint was written");
    let untold =
        Engine::builder(dir.path()).segment_len_bytes(1 << 20).checkpoint_after(1_000_000).open().unwrap();
    untold.compact(true).unwrap();
    assert_eq!(shifts(&untold.snapshot().unwrap()), folded(dir.path()));
    untold.shutdown().unwrap();
    assert_eq!(folds(), before, "the checkpoints of the owner fit");
}
