//! The index of the archive: it finds what all files hold, whatever state it is in.
#![cfg(all(feature = "columns", feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod compact_support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::Int64Array;
use arrow_array::cast::AsArray;
use compact_support::*;
use ofd_storage::columns::Table;
use ofd_storage::columns::read::{column, each_batch, open_published};
use ofd_storage::compact::compact;
use ofd_storage::env::{read_exact_at, replace_file};
use ofd_storage::manifest::{Archive, Manifest};
use ofd_storage::merge::{MergeRules, merge_archive};
use ofd_storage::places::{PLACES_DIR, size};
use ofd_storage::retain::{ThinRules, thin_archive};
use ofd_storage::testing::SimEnv;
use ofd_storage::union::{Search, Snapshot};
use ofd_storage::{Env, Error, Lsn, Position};

const DRIVES: [&str; 5] =
    ["9960440300000001", "9960440300000002", "9960440300000017", "7280440300000002", "996044030000000"];
const DAYS: [&str; 4] = ["2024-05-10", "2024-05-11", "2024-06-12", "2018-02-03"];

/// Chance that a seed repeats.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % most as u64) as usize
    }
    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// A receipt with a printed sign of its own.
fn sold(drive: &'static str, number: u32, date: &str, sign: u32) -> Sent {
    let receipt =
        Receipt { at: noon(date), ..receipt("7704211201", drive, number, vec![line("Чай", 100)]) };
    let mut plain = receipt.plain();
    let printed = [0x31, 4, 0xF7, 0x27, 0x4C, 0xF8];
    let at = plain.windows(6).position(|bytes| bytes == printed).unwrap();
    plain[at + 2..at + 6].copy_from_slice(&sign.to_be_bytes());
    Sent::with(&receipt, plain)
}

/// Lives of some drives, late documents and further variants among them; signs that repeat.
fn random_log(chance: &mut Chance, documents: usize, per_segment: usize) -> MemoryLog {
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    let sent: Vec<Sent> = (0..documents)
        .map(|at| {
            let drive = chance.of(&DRIVES);
            let next = numbers.entry(drive).or_default();
            let again = *next > 2 && chance.below(8) == 0;
            let number = if again { *next - 2 } else { *next + 1 + chance.below(2) as u32 };
            *next = number.max(*next);
            let date = if chance.below(7) == 0 { chance.of(&DAYS) } else { DAYS[at * 3 / documents] };
            let sign = if chance.below(4) == 0 { 7 } else { 1000 + at as u32 };
            Sent { variant: u8::from(again), ..sold(drive, number, date, sign) }
        })
        .collect();
    MemoryLog::of(&sent, per_segment)
}

/// What all files of the manifest hold: positions by drive and number, and the files of `documents` by sign.
#[derive(Debug, Default, PartialEq, Eq)]
struct Held {
    documents: BTreeMap<(String, u32), BTreeSet<u64>>,
    signs: BTreeMap<u32, BTreeSet<PathBuf>>,
    signed: BTreeMap<u32, BTreeSet<u64>>,
}

fn held(env: &Arc<dyn Env>) -> Held {
    let mut held = Held::default();
    let archive = Archive::open(env).unwrap();
    for file in archive.files(Table::Containers) {
        let path = published(env, &file.path());
        each_batch(&**env, &path, &["fn", "fd", "position"], |batch| {
            let drives = batch.column_by_name("fn").unwrap().as_string::<i32>();
            let numbers = column::<Int64Array>(batch, &path, "fd")?;
            let positions = column::<Int64Array>(batch, &path, "position")?;
            for row in 0..batch.num_rows() {
                let key = (drives.value(row).to_owned(), numbers.value(row) as u32);
                held.documents.entry(key).or_default().insert(positions.value(row) as u64);
            }
            Ok(())
        })
        .unwrap();
    }
    for file in archive.files(Table::Documents) {
        let path = published(env, &file.path());
        each_batch(&**env, &path, &["fpd", "position"], |batch| {
            let positions = column::<Int64Array>(batch, &path, "position")?;
            for (row, sign) in column::<Int64Array>(batch, &path, "fpd")?.iter().enumerate() {
                let sign = sign.unwrap() as u32;
                held.signs.entry(sign).or_default().insert(file.path());
                held.signed.entry(sign).or_default().insert(positions.value(row) as u64);
            }
            Ok(())
        })
        .unwrap();
    }
    held
}

/// The readers below open by name; this one sees to it that they can.
fn published(env: &Arc<dyn Env>, path: &Path) -> PathBuf {
    open_published(&**env, path).unwrap();
    path.to_owned()
}

/// Compares every answer with a look into all files.
fn agrees(env: &Arc<dyn Env>, archive: &Archive, what: &str) {
    let held = held(env);
    let behind = held.documents.keys().map(|(_, number)| number + 2).max().unwrap_or(1);
    for drive in DRIVES {
        let mut of_drive: BTreeSet<u64> = BTreeSet::new();
        for number in 0..behind {
            let wanted = held.documents.get(&(drive.to_owned(), number)).cloned().unwrap_or_default();
            let found = archive.find_container(drive, number).unwrap();
            let found: BTreeSet<u64> = found.iter().map(|it| it.position.as_u64()).collect();
            assert_eq!(found, wanted, "{what}: {drive} {number}");
            for position in wanted.iter().map(|it| Position::new(Lsn::new(*it))) {
                assert!(archive.document(position, drive, number).unwrap().is_some(), "{what}: {position}");
                let files = archive.documents_of_drive(drive, &(number..=number)).unwrap();
                assert!(!files.is_empty(), "{what}: {drive} {number}");
            }
            of_drive.extend(wanted);
        }
        let all = archive.documents_of(drive, None, Position::new(Lsn::new(u64::MAX))).unwrap();
        assert_eq!(all.iter().map(|it| it.record().lsn().get()).collect::<BTreeSet<_>>(), of_drive, "{what}");
    }
    for (sign, wanted) in &held.signs {
        let files = archive.files_of_sign(*sign).unwrap();
        let files: BTreeSet<PathBuf> = files.iter().map(|it| it.path()).collect();
        assert!(files.is_superset(wanted), "{what}: {sign}");
    }
    // Some of them through the search itself.
    let now = Snapshot::of_archive(env).unwrap();
    for (sign, wanted) in held.signed.iter().step_by(5) {
        let search = Search {
            sign: Some(*sign),
            inns: Some(BTreeSet::from(["7704211201".to_owned()])),
            all_variants: true,
            ..Search::default()
        };
        let page = now.search(&search, None, 100, None).unwrap();
        assert_eq!(
            page.hits.iter().map(|it| it.position.as_u64()).collect::<BTreeSet<_>>(),
            *wanted,
            "{what}"
        );
    }
    for drive in DRIVES {
        let search = Search {
            drive: Some(drive.into()),
            numbers: Some(2..=3),
            all_variants: true,
            ..Search::default()
        };
        let wanted = (2..=3).filter_map(|number| held.documents.get(&(drive.to_owned(), number))).flatten();
        let page = now.search(&search, None, 100, None).unwrap();
        let found: BTreeSet<u64> = page.hits.iter().map(|it| it.position.as_u64()).collect();
        assert_eq!(found, wanted.copied().collect(), "{what}: {drive}");
    }
}

/// The index names exactly the files that hold a sign: it covers everything.
fn is_whole(env: &Arc<dyn Env>) -> bool {
    let archive = Archive::open(env).unwrap();
    let wanted = held(env).signs;
    let asked = wanted.keys().copied().chain([999_999]);
    asked.into_iter().all(|sign| {
        let files = archive.files_of_sign(sign).unwrap();
        let files: BTreeSet<PathBuf> = files.iter().map(|it| it.path()).collect();
        files == wanted.get(&sign).cloned().unwrap_or_default()
    })
}

fn index_files(env: &dyn Env) -> Vec<PathBuf> {
    let names = env.list(Path::new(PLACES_DIR)).unwrap_or_default();
    names.into_iter().map(|entry| Path::new(PLACES_DIR).join(entry.name)).collect()
}

fn bytes_of(env: &dyn Env, path: &Path) -> Vec<u8> {
    let file = env.open_read(path).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    read_exact_at(&*file, &mut bytes, 0).unwrap();
    bytes
}

fn merge_rules(today: &str) -> MergeRules {
    MergeRules { now_us: i64::from(noon(today)) * 1_000_000, ..MergeRules::default() }
}

/// Does something bad to the index.
fn harm(env: &dyn Env, chance: &mut Chance, old: &[(PathBuf, Vec<u8>)]) {
    let files = index_files(env);
    let Some(path) = (!files.is_empty()).then(|| files[chance.below(files.len())].clone()) else { return };
    let mut bytes = bytes_of(env, &path);
    match chance.below(5) {
        0 => env.remove(&path).unwrap(),
        1 => {
            let at = chance.below(bytes.len());
            bytes[at] ^= 1 << chance.below(8);
            replace_file(env, &path, &bytes).unwrap();
        }
        2 => replace_file(env, &path, &bytes[..chance.below(bytes.len())]).unwrap(),
        // One of another time, whole.
        3 if !old.is_empty() => {
            let (path, bytes) = &old[chance.below(old.len())];
            replace_file(env, path, bytes).unwrap();
        }
        _ => replace_file(env, &Path::new(PLACES_DIR).join("stray.tmp"), b"stray").unwrap(),
    }
}

/// Compaction, merging, thinning, and an index that is lost, damaged or of another time: answers are those of all files.
#[test]
fn an_index_of_any_state_finds_what_all_files_hold() {
    for seed in 1..=5 {
        let mut chance = Chance(seed * 0x9E37_79B9);
        let (_, env) = sim(seed);
        let log = random_log(&mut chance, 60, 3 + seed as usize % 4);
        let mut old = Vec::new();
        for step in 0..14 {
            let what = format!("seed {seed} step {step}");
            let before = Archive::open(&env).unwrap();
            if chance.below(2) == 0 {
                // Opens the index of before.
                before.files_of_sign(1).unwrap();
            }
            match step % 4 {
                0 => {
                    let mut part = log.clone();
                    part.segments.truncate(log.segments.len() * (step + 4) / 16);
                    compact(&part, &env, &small_runs()).unwrap();
                    assert!(is_whole(&env), "{what}");
                }
                1 => {
                    let today = chance.of(&["2024-05-12", "2024-07-20", "2024-09-01"]);
                    merge_archive(&env, &merge_rules(today)).unwrap();
                }
                2 => {
                    let rules = ThinRules {
                        now_us: i64::from(noon("2024-06-01")) * 1_000_000,
                        keep_years: 5,
                        log_begins: Lsn::new(chance.below(40) as u64),
                        ..ThinRules::default()
                    };
                    thin_archive(&env, &rules).unwrap();
                }
                _ => {
                    old.extend(index_files(&*env).into_iter().map(|path| {
                        let bytes = bytes_of(&*env, &path);
                        (path, bytes)
                    }));
                    harm(&*env, &mut chance, &old);
                }
            }
            agrees(&env, &Archive::open(&env).unwrap(), &what);
            if step % 4 != 1 {
                // Who has read the manifest before finds what is left; what a merge has put aside twice is gone for him.
                agrees(&env, &before_or_now(&env, before), &what);
            }
        }
        compact(&log, &env, &small_runs()).unwrap();
        agrees(&env, &Archive::open(&env).unwrap(), "at the end");
    }
}

/// The archive of before, where its manifest still says what is there.
fn before_or_now(env: &Arc<dyn Env>, before: Archive) -> Archive {
    let now = Archive::open(env).unwrap();
    let same = before.documents() == now.documents() && before.runs().len() == now.runs().len();
    if same { before } else { now }
}

/// What a crash at any change of the disk leaves is searched as well as before, and made whole by the next owner.
#[test]
fn a_power_cut_at_any_change_hides_no_document() {
    let log = random_log(&mut Chance(77), 6, 3);
    let mut part = log.clone();
    part.segments.truncate(1);
    let whole = |env: &Arc<dyn Env>| -> Result<(), Error> {
        compact(&part, env, &small_runs())?;
        compact(&log, env, &small_runs())?;
        merge_archive(env, &merge_rules("2024-09-01")).map(drop)
    };
    let mut cut_after = 1;
    loop {
        let (sim, env) = sim(cut_after);
        sim.cut_power_after(Some(cut_after));
        let done = whole(&env).is_ok();
        let sim: SimEnv = sim.power_cut();
        sim.cut_power_after(None);
        let env: Arc<dyn Env> = Arc::new(sim);
        let archive = Archive::open(&env).unwrap();
        agrees(&env, &archive, &format!("cut after {cut_after}"));
        if done {
            break;
        }
        assert!(is_whole(&env), "cut after {cut_after}: a file is named that the index does not cover");
        whole(&env).unwrap();
        assert!(is_whole(&env), "behind a cut after {cut_after}");
        cut_after += 1;
    }
    assert!(cut_after > 60, "{cut_after}");
}

/// Every byte of an index file: an answer is right with any of them bad, and the owner makes the file again.
#[test]
fn a_damaged_index_file_costs_no_answer_and_is_made_again() {
    let (_, env) = sim(3);
    let log = random_log(&mut Chance(5), 30, 5);
    compact(&log, &env, &small_runs()).unwrap();
    let path = &index_files(&*env)[0];
    let good = bytes_of(&*env, path);
    let mut tried = 0;
    for at in (0..good.len()).step_by(97).chain(0..72).chain(4096..4160) {
        let mut bad = good.clone();
        bad[at] ^= 4;
        replace_file(&*env, path, &bad).unwrap();
        let archive = Archive::open(&env).unwrap();
        let (drive, number) = ("9960440300000001", 1 + (at % 9) as u32);
        let wanted = held(&env).documents.get(&(drive.to_owned(), number)).map_or(0, BTreeSet::len);
        assert_eq!(archive.find_container(drive, number).unwrap().len(), wanted, "byte {at}");
        tried += 1;
    }
    assert!(tried > 150, "{tried}");
    let mut bad = good.clone();
    // The last page is one of signs.
    let page = good.len() - good.len() % 4096 - 4096;
    bad[page + 40] ^= 1;
    replace_file(&*env, path, &bad).unwrap();
    assert!(!is_whole(&env));
    compact(&log, &env, &small_runs()).unwrap();
    assert!(is_whole(&env), "the next compaction makes it again");
}

/// With all other files gone a document is still found: nobody has looked into them.
#[test]
fn files_without_the_document_are_not_opened() {
    let Place { dir, env } = place();
    let documents: Vec<Sent> =
        (0..60).map(|at| sold(DRIVES[at % 4], 1 + at as u32 / 4, "2024-05-10", 500 + at as u32)).collect();
    compact(&MemoryLog::of(&documents, 6), &env, &small_runs()).unwrap();
    let archive = Archive::open(&env).unwrap();
    let of_sign: Vec<PathBuf> =
        archive.files_of_sign(517).unwrap().into_iter().map(|file| file.path()).collect();
    assert_eq!(of_sign.len(), 1);
    let of_drive = archive.documents_of_drive(DRIVES[1], &(5..=5)).unwrap();
    assert_eq!(of_drive.iter().map(|it| it.path()).collect::<Vec<_>>(), of_sign, "number 5 is the 17th");
    let kept = PathBuf::from("parquet/containers/date=2024-05-10").join(of_sign[0].file_name().unwrap());
    for file in archive.files(Table::Containers).filter(|file| file.path() != kept) {
        std::fs::remove_file(dir.path().join(file.path())).unwrap();
    }
    assert_eq!(archive.find_container(DRIVES[1], 5).unwrap().len(), 1);
    assert!(archive.find_container(DRIVES[1], 6).unwrap_err().is_not_found());
    let reader = Archive::open(&env).unwrap();
    assert_eq!(reader.find_container(DRIVES[1], 5).unwrap().len(), 1, "in another process as well");
}

/// Many small files become few, and what is merged away leaves nothing behind.
#[test]
fn index_files_stay_few() {
    let (_, env) = sim(9);
    let documents: Vec<Sent> =
        (0..200).map(|at| sold(DRIVES[at % 4], 1 + at as u32 / 4, "2024-05-10", at as u32)).collect();
    let log = MemoryLog::of(&documents, 2);
    compact(&log, &env, &small_runs()).unwrap();
    assert_eq!(Archive::open(&env).unwrap().runs().len(), 100);
    let size = size(&*env).unwrap();
    assert!(size.files <= 15 && size.files as usize == index_files(&*env).len(), "{size:?}");
    assert_eq!((size.covered, size.runs, size.signs), (200, 200, 200));
    merge_archive(&env, &merge_rules("2024-05-12")).unwrap();
    assert_eq!(ofd_storage::places::size(&*env).unwrap().covered, 2);
    assert!(is_whole(&env) && Manifest::load(&*env).unwrap().unwrap().runs.len() == 1);
}
