//! Merging: the same rows in fewer files, whole folders at every moment.
#![cfg(all(feature = "columns", feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod compact_support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::Int64Array;
use compact_support::*;
use ofd_codec::Form;
use ofd_storage::columns::Table;
use ofd_storage::columns::read::{column, each_batch};
use ofd_storage::compact::{SourceRecord, compact};
use ofd_storage::env::{DiskQueue, File, LockGuard, Now, Task, Wake, read_file};
use ofd_storage::manifest::Archive;
use ofd_storage::merge::{MergeReport, MergeRules, merge_archive};
use ofd_storage::testing::SimEnv;
use ofd_storage::verify::{LogItem, LogSource, verify_source};
use ofd_storage::{Env, Error, ErrorKind, Lsn, Position, RecordKind};

const DRIVES: [&str; 2] = ["9960440300000001", "9960440300000002"];
const INNS: [&str; 2] = ["7704211201", "0105000000"];

fn sold(shop: usize, number: u32, date: &str) -> Sent {
    let lines = vec![line("Чай", 100), line("Хлеб", u64::from(number))];
    let receipt =
        Receipt { form: Form::RECEIPT, at: noon(date), ..receipt(INNS[shop], DRIVES[shop], number, lines) };
    Sent::of(&receipt)
}

/// Runs of two documents: three of 10 May, then one with a document of 10 May that came on the 11th, two more of the 11th
/// with a record between documents, and one of 12 June.
fn log() -> MemoryLog {
    let mut late = sold(1, 7, "2024-05-10");
    late.received_us += 86_400_000_000;
    let documents = [
        sold(1, 5, "2024-05-10"),
        sold(0, 5, "2024-05-10"),
        sold(0, 4, "2024-05-10"),
        sold(1, 6, "2024-05-10"),
        sold(0, 6, "2024-05-10"),
        sold(0, 7, "2024-05-10"),
        late,
        sold(1, 8, "2024-05-11"),
        sold(0, 8, "2024-05-11"),
        sold(0, 9, "2024-05-11"),
        sold(1, 9, "2024-05-11"),
        sold(1, 10, "2024-05-11"),
        sold(0, 10, "2024-06-12"),
        sold(1, 11, "2024-06-12"),
    ];
    let mut log = MemoryLog::of(&documents, 2);
    let day = documents[9].received_us;
    // What comes behind moves on by one.
    for record in log.segments.iter_mut().skip(5).flatten() {
        let (SourceRecord::Document(stored) | SourceRecord::Other(_, stored)) = record;
        stored.position += 1;
    }
    let SourceRecord::Other(kind, mut tick) = other(11, RecordKind::Tick, b"") else { panic!() };
    tick.received_at_us = day;
    log.segments[4].push(SourceRecord::Other(kind, tick));
    log
}

fn name(first: u64, last: u64) -> String {
    ofd_storage::manifest::file_name(first, last)
}

fn rules(today: &str) -> MergeRules {
    MergeRules { now_us: i64::from(noon(today)) * 1_000_000, ..MergeRules::default() }
}

fn archived(env: &Arc<dyn Env>) {
    compact(&log(), env, &small_runs()).unwrap();
}

fn sound(env: &Arc<dyn Env>) {
    let report = verify_source(&log(), env).unwrap();
    assert!(report.ok, "{report:?}");
}

/// Positions of `documents` by pattern, each once.
fn positions(env: &dyn Env) -> Result<BTreeSet<u64>, Error> {
    let mut seen = BTreeSet::new();
    let root = Path::new("parquet/documents");
    for folder in env.list(root)? {
        for file in env.list(&root.join(&folder.name))? {
            let path = root.join(&folder.name).join(&file.name);
            if file.name.ends_with(".parquet") {
                each_batch(env, &path, &["position"], |batch| {
                    for position in column::<Int64Array>(batch, &path, "position")?.values() {
                        assert!(seen.insert(*position as u64), "{position} twice");
                    }
                    Ok(())
                })?;
            }
        }
    }
    Ok(seen)
}

fn all_positions() -> BTreeSet<u64> {
    let records = log().segments.into_iter().flatten();
    let documents = records.filter(|it| matches!(it, SourceRecord::Document(_)));
    documents.map(|it| it.position()).collect()
}

/// Every row of every table and date, as text, with what the table is sorted by in front.
fn rows(dir: &Path) -> BTreeMap<(String, String), Vec<Vec<Option<String>>>> {
    let mut out: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for table in Table::ALL {
        for (date, path) in glob(dir, table.name()) {
            let columns = all_values(&path);
            let keys = table.sorted_by().iter().map(|name| (*name).to_owned());
            let names: Vec<String> = keys.chain(columns.keys().cloned()).collect();
            let count = columns["position"].len();
            let rows = (0..count).map(|at| names.iter().map(|name| columns[name][at].clone()).collect());
            out.entry((table.name().to_owned(), date)).or_default().extend(rows);
        }
    }
    out
}

/// Day by day, then the month: rows stay what they are, in the order of the table, in one file a table and date.
#[test]
fn a_merged_day_has_the_same_rows_in_fewer_files() {
    let Place { dir, env } = place();
    archived(&env);
    let mut before = rows(dir.path());
    before.values_mut().for_each(|rows| rows.sort());
    let check = |runs: usize, files: usize| {
        let mut after = rows(dir.path());
        after.values_mut().for_each(|rows| rows.sort());
        assert!(after == before, "the rows are others");
        sound(&env);
        let archive = Archive::open(&env).unwrap();
        assert_eq!(archive.runs().len(), runs);
        assert_eq!(glob(dir.path(), "documents").len(), files);
        for position in all_positions() {
            assert!(positions(&*env).unwrap().contains(&position));
        }
        assert_eq!(archive.find_container(DRIVES[1], 7).unwrap().len(), 1);
        assert_eq!(archive.documents(), 14);
    };
    check(7, 8);
    assert_eq!(merge_archive(&env, &rules("2024-05-10")).unwrap(), MergeReport::default(), "no day is over");
    let did = merge_archive(&env, &rules("2024-05-12")).unwrap();
    assert_eq!((did.runs, did.merged, did.damaged), (2, 6, 0), "{did:?}");
    // The document that came late lies in a file of its own until the month has settled.
    check(3, 4);
    assert_eq!(merge_archive(&env, &rules("2024-07-05")).unwrap(), MergeReport::default(), "done once");
    let in_log = MergeRules { log_begins: Lsn::new(7), ..rules("2024-07-06") };
    assert_eq!(
        merge_archive(&env, &in_log).unwrap(),
        MergeReport::default(),
        "the half of them have left the log"
    );
    let did = merge_archive(&env, &rules("2024-07-06")).unwrap();
    assert_eq!((did.runs, did.merged), (1, 2), "{did:?}");
    check(2, 3);
    // In the order of the table.
    for ((table, date), rows) in rows(dir.path()) {
        let table: Table = table.parse().unwrap();
        let keys = table.sorted_by().len();
        let number = |cell: &Option<String>| cell.as_ref().map(|it| (it.len(), it.clone()));
        let key = |row: &Vec<Option<String>>| -> Vec<Option<(usize, String)>> {
            let names = table.sorted_by().iter().zip(&row[..keys]);
            // Numbers by their length first; INN and drives as text.
            names
                .map(|(name, cell)| match *name {
                    "inn" | "fn" | "rnm" | "realm" => cell.clone().map(|it| (0, it)),
                    _ => number(cell),
                })
                .collect()
        };
        assert!(rows.is_sorted_by_key(key), "{table} of {date}");
    }
    let next = compact(&log(), &env, &small_runs()).unwrap();
    assert_eq!((next.runs, next.compacted_through), (0, Position::new(Lsn::new(15))));
    assert!(!dir.path().join(".merging/documents").exists() || tree(&dir.path().join(".merging")).is_empty());
    check(2, 3);
}

/// A day that is larger than a run may be stays several runs, and stays as it is the next time.
#[test]
fn a_merged_run_is_no_larger_than_it_may_be() {
    let Place { dir: _dir, env } = place();
    archived(&env);
    let small = MergeRules { rows_max: 5, ..rules("2024-05-12") };
    let did = merge_archive(&env, &small).unwrap();
    assert_eq!((did.runs, did.merged), (2, 4), "{did:?}");
    let runs: Vec<u64> = Archive::open(&env).unwrap().runs().iter().map(|run| run.documents).collect();
    assert_eq!(runs, [4, 2, 4, 2, 2]);
    assert_eq!(merge_archive(&env, &small).unwrap(), MergeReport::default());
    sound(&env);
}

/// Who has read the manifest before a merge still finds every document after it, until the next owner clears up.
#[test]
fn a_reader_with_the_old_manifest_finds_every_document() {
    let (_, env) = sim(1);
    archived(&env);
    let old = Archive::open(&env).unwrap();
    merge_archive(&env, &rules("2024-05-12")).unwrap();
    for number in 4..=10 {
        assert_eq!(old.find_container(DRIVES[0], number).unwrap().len(), 1, "{number}");
    }
    compact(&log(), &env, &small_runs()).unwrap();
    assert!(old.find_container(DRIVES[0], 5).unwrap_err().is_not_found(), "then it is told to look again");
    assert_eq!(Archive::open(&env).unwrap().find_container(DRIVES[0], 5).unwrap().len(), 1);
}

/// A file that is not as it was published: its group stays as it is, the other one is merged.
#[test]
fn a_damaged_file_keeps_its_runs_as_they_are() {
    let (machine, env) = sim(3);
    archived(&env);
    let archive = Archive::open(&env).unwrap();
    let before = files(&*env);
    for file in &archive.runs()[1].files {
        machine.flip_bit(&file.path(), 333).unwrap();
        let damaged = files(&*env);
        let did = merge_archive(&env, &rules("2024-05-11")).unwrap();
        assert_eq!((did.runs, did.damaged), (0, 1), "{}", file.path().display());
        assert!(files(&*env) == damaged);
        machine.flip_bit(&file.path(), 333).unwrap();
    }
    assert!(files(&*env) == before);
    assert_eq!(merge_archive(&env, &rules("2024-05-11")).unwrap().runs, 1);
    sound(&env);
}

/// The power fails at every single change that a merge makes, and at one that the next owner makes: at every moment each folder is
/// the old one or the new one, nobody sees a row twice or not at all, and in the end it is as without a cut.
#[test]
fn a_power_cut_at_any_change_of_a_merge_shows_every_row_once() {
    const TODAY: &str = "2024-07-06";
    let (_, reference) = sim(9);
    archived(&reference);
    merge_archive(&reference, &rules(TODAY)).unwrap();
    let new = files(&*reference);
    let all = all_positions();
    let machines: Vec<SimEnv> = (0..4)
        .map(|seed| {
            let (machine, env) = sim(seed);
            archived(&env);
            machine
        })
        .collect();
    let mut cuts = 0;
    for call in 1.. {
        let machine = machines[usize::try_from(call).unwrap() % machines.len()].fork();
        let env: Arc<dyn Env> = Arc::new(machine.clone());
        let archive = Archive::open(&env).unwrap();
        machine.cut_power_after(Some(call));
        let done = match merge_archive(&env, &rules(TODAY)) {
            Ok(report) => report.damaged == 0,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Reopen, "call {call}: {error}");
                false
            }
        };
        assert!(done != machine.is_off(), "call {call}: the disk has failed, and it says that it has merged");
        let mut machine = machine.power_cut();
        for again in 0..2 {
            machine.cut_power_after(None);
            let env: Arc<dyn Env> = Arc::new(machine.clone());
            assert_eq!(positions(&*env).unwrap(), all, "call {call}, {again}");
            sound(&env);
            let now = Archive::open(&env).unwrap();
            for number in 4..=10 {
                assert_eq!(now.find_container(DRIVES[0], number).unwrap().len(), 1, "call {call}: {number}");
            }
            assert_eq!(now.documents(), archive.documents());
            if again == 0 {
                machine.cut_power_after(Some(call % 13 + 1));
                let _ = compact(&MemoryLog::default(), &env, &small_runs());
                machine = machine.power_cut();
            }
        }
        let env: Arc<dyn Env> = Arc::new(machine.clone());
        merge_archive(&env, &rules(TODAY)).unwrap();
        sound(&env);
        assert_eq!(files(&*env).keys().collect::<Vec<_>>(), new.keys().collect::<Vec<_>>(), "call {call}");
        assert!(files(&*env) == new, "call {call}: other files than without a cut");
        if done {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 50, "only {cuts} changes were cut");
}

/// The power fails between the exchange of two folders and the word that it is done, and then somebody removes a file that the merge
/// has not touched: the next owner does not take the old folder for the one that has still to come.
#[test]
fn a_file_that_is_missing_does_not_turn_a_merge_back() {
    let day = Path::new("parquet/documents/date=2024-05-10");
    let (merged, late) = (day.join(name(1, 6)), day.join(name(7, 8)));
    let mut met = 0;
    for call in 1.. {
        let (machine, env) = sim(call);
        archived(&env);
        machine.cut_power_after(Some(call));
        if merge_archive(&env, &rules("2024-05-12")).is_ok() {
            break;
        }
        let machine = machine.power_cut();
        machine.cut_power_after(None);
        let env: Arc<dyn Env> = Arc::new(machine);
        let manifest = read_file(&*env, Path::new("archive.json"), 1 << 20).unwrap();
        let begun = String::from_utf8(manifest).unwrap().contains("swapping");
        if !(begun && env.exists(&merged).unwrap() && env.exists(&late).unwrap()) {
            continue;
        }
        met += 1;
        env.remove(&late).unwrap();
        for _ in 0..2 {
            compact(&log(), &env, &small_runs()).unwrap();
        }
        for number in 4..=7 {
            let found = Archive::open(&env).unwrap().find_container(DRIVES[0], number).unwrap();
            assert_eq!(found.len(), 1, "call {call}: {number}");
        }
    }
    assert!(met > 0, "no cut came between the exchange and its end");
}

/// Who reads by pattern while days are merged, again and again, finds every document once, or a name that has just gone.
#[test]
fn readers_by_pattern_see_every_document_once_while_folders_change_places() {
    let Place { dir: _dir, env } = place();
    let over = Arc::new(AtomicBool::new(false));
    archived(&env);
    let reader = {
        let (env, over) = (Arc::clone(&env), Arc::clone(&over));
        std::thread::spawn(move || {
            let (mut whole, mut gone) = (0_u64, 0_u64);
            while !over.load(Ordering::Relaxed) || whole == 0 {
                match positions(&*env) {
                    Ok(seen) => {
                        assert_eq!(seen, all_positions());
                        whole += 1;
                    }
                    Err(error) if error.is_not_found() => gone += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            (whole, gone)
        })
    };
    for (rows_max, today) in
        [(4, "2024-05-11"), (4, "2024-05-12"), (6, "2024-05-12"), (99, "2024-05-12"), (99, "2024-07-06")]
    {
        merge_archive(&env, &MergeRules { rows_max, ..rules(today) }).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    over.store(true, Ordering::Relaxed);
    let (whole, _) = reader.join().unwrap();
    assert!(whole > 1, "nobody read");
    sound(&env);
}

/// A run holds no more bytes of the log than one of compaction may, or memory of who reads a run would follow the documents' length.
#[test]
fn a_merged_run_holds_no_more_bytes_than_it_may() {
    let (_, env) = sim(6);
    archived(&env);
    let small = MergeRules { bytes_max: 2_000, ..rules("2024-05-12") };
    assert_eq!(merge_archive(&env, &small).unwrap().runs, 2);
    let archive = Archive::open(&env).unwrap();
    let bytes: Vec<Option<u64>> = archive.runs().iter().map(|run| run.log_bytes).collect();
    assert_eq!(bytes, [2_000, 1_000, 2_000, 1_000, 1_000].map(Some));
    assert_eq!(merge_archive(&env, &small).unwrap(), MergeReport::default());
}

/// Whatever a crash has left of the trial, and whoever has put a file there: compaction and merging go on.
#[test]
fn what_lies_aside_holds_nobody_up() {
    let Place { dir, env } = place();
    archived(&env);
    for leftover in ["trial/one/_SUCCESS", "one/_SUCCESS", "stray", "documents/stray"] {
        let path = dir.path().join(".merging").join(leftover);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, b"").unwrap();
    }
    compact(&log(), &env, &small_runs()).unwrap();
    assert_eq!(merge_archive(&env, &rules("2024-05-12")).unwrap().runs, 2);
    sound(&env);
}

/// Somebody's own folder among the files: nothing is written for it, and it stays.
#[test]
fn a_folder_with_a_folder_in_it_is_not_merged() {
    let Place { dir, env } = place();
    archived(&env);
    let own = dir.path().join("parquet/documents/date=2024-05-11/own");
    std::fs::create_dir(&own).unwrap();
    let did = merge_archive(&env, &rules("2024-05-12")).unwrap();
    assert_eq!((did.runs, did.merged), (1, 3), "{did:?}");
    assert!(own.is_dir() && tree(&dir.path().join(".staging")).is_empty());
    sound(&env);
}

/// Groups that share a folder are merged one a pass: what the first has put aside is there for those who have just read the manifest.
#[test]
fn one_pass_does_not_touch_a_folder_twice() {
    let (_, env) = sim(8);
    archived(&env);
    let halves = MergeRules { rows_max: 5, ..rules("2024-07-06") };
    let old = Archive::open(&env).unwrap();
    let mut passes = Vec::new();
    loop {
        let did = merge_archive(&env, &halves).unwrap();
        if did.runs == 0 {
            break;
        }
        passes.push(did.runs);
        if passes.len() == 1 {
            for number in 4..=10 {
                assert_eq!(old.find_container(DRIVES[0], number).unwrap().len(), 1, "{number}");
            }
        }
        sound(&env);
    }
    assert_eq!(passes, [2, 1]);
}

/// The log, whose owner merges the archive as soon as somebody has begun to verify it.
struct Meddled<'e>(MemoryLog, &'e Arc<dyn Env>);

impl LogSource for Meddled<'_> {
    fn first(&self) -> Lsn {
        LogSource::first(&self.0)
    }

    fn walk(&self, each: &mut dyn FnMut(LogItem<'_>) -> Result<(), Error>) -> Result<(), Error> {
        merge_archive(self.1, &rules("2024-05-12"))?;
        compact(&self.0, self.1, &small_runs())?;
        self.0.walk(each)
    }
}

/// Files that a merge takes away under the eyes of a reader are no damage.
#[test]
fn who_verifies_while_files_are_merged_finds_no_damage() {
    let (_, env) = sim(2);
    archived(&env);
    let report = verify_source(&Meddled(log(), &env), &env).unwrap();
    assert!(report.ok && report.documents == 14, "{report:?}");
}

/// A file system that knows neither second names nor folders that change places.
struct Plain(SimEnv);

impl Env for Plain {
    fn now(&self) -> Now {
        self.0.now()
    }
    fn random(&self) -> u64 {
        self.0.random()
    }
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Task>, Error> {
        self.0.spawn(name, body)
    }
    fn open(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        self.0.open(path)
    }
    fn open_read(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        self.0.open_read(path)
    }
    fn create(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        self.0.create(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        self.0.rename(from, to)
    }
    fn remove(&self, path: &Path) -> Result<(), Error> {
        self.0.remove(path)
    }
    fn remove_dir(&self, path: &Path) -> Result<(), Error> {
        self.0.remove_dir(path)
    }
    fn list(&self, dir: &Path) -> Result<Vec<ofd_storage::env::DirEntry>, Error> {
        self.0.list(dir)
    }
    fn sync_dir(&self, dir: &Path) -> Result<(), Error> {
        self.0.sync_dir(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> Result<(), Error> {
        self.0.create_dir_all(dir)
    }
    fn exists(&self, path: &Path) -> Result<bool, Error> {
        self.0.exists(path)
    }
    fn lock(&self, path: &Path) -> Result<LockGuard, Error> {
        self.0.lock(path)
    }
    fn free_bytes(&self) -> Result<u64, Error> {
        self.0.free_bytes()
    }
    fn queue(&self, wake: Wake) -> Result<Box<dyn DiskQueue>, Error> {
        self.0.queue(wake)
    }
}

/// It says so and leaves everything as it is.
#[test]
fn where_folders_cannot_change_places_nothing_is_merged() {
    let (machine, real) = sim(4);
    archived(&real);
    let before = files(&*real);
    let env: Arc<dyn Env> = Arc::new(Plain(machine));
    let did = merge_archive(&env, &rules("2024-05-12")).unwrap();
    assert_eq!(did, MergeReport { unsupported: true, ..MergeReport::default() });
    assert!(files(&*real) == before);
    sound(&env);
}

/// Every file name, every byte: that of the log again, out of merged runs.
#[test]
fn records_come_back_out_of_merged_runs_in_the_order_of_the_log() {
    let (_, env) = sim(5);
    archived(&env);
    let records = |env: &Arc<dyn Env>| {
        let mut walk = ofd_storage::manifest::Walk::new(env, Position::START, Position::new(Lsn::new(15)));
        let mut records = Vec::new();
        while let Some(record) = walk.next_record().unwrap() {
            let it = record.record();
            records.push((it.lsn(), it.kind(), it.received_at_us(), record.payload().to_vec()));
        }
        records
    };
    let before = records(&env);
    assert_eq!(before.len(), 15);
    merge_archive(&env, &rules("2024-07-06")).unwrap();
    assert!(records(&env) == before);
}
