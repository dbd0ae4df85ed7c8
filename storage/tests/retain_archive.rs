//! What leaves the archive after its years: only that, whole files at every moment, and the rest to the byte.
#![cfg(all(feature = "columns", feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod compact_support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow_array::Int64Array;
use compact_support::*;
use ofd_codec::{Form, Tag};
use ofd_storage::columns::Table;
use ofd_storage::columns::read::{column, each_batch};
use ofd_storage::compact::{CompactOptions, compact};
use ofd_storage::manifest::Archive;
use ofd_storage::retain::{Hold, HoldCommand, HoldScope, Holds, ThinReport, ThinRules, thin_archive};
use ofd_storage::scrub::{Scrub, ScrubFinding, ScrubOptions, ScrubStep};
use ofd_storage::status::{StatusEvent, StatusOf, encode};
use ofd_storage::verify::verify_source;
use ofd_storage::{Env, ErrorKind, LogReader, Lsn, Position, RecordKind};

const DRIVES: [&str; 2] = ["9960440300000001", "9960440300000002"];
const INNS: [&str; 2] = ["7704211201", "0105000000"];

fn document(shop: usize, number: u32, form: Form, date: &str) -> Sent {
    let lines = if form == Form::RECEIPT { vec![line("Чай", 100), line("Хлеб", 50)] } else { vec![] };
    let receipt = Receipt { form, at: noon(date), ..receipt(INNS[shop], DRIVES[shop], number, lines) };
    match form {
        // A change of registration without a new drive.
        Form::REREGISTRATION => Sent::with(&receipt, receipt.plain_with(|w| w.u32(Tag(1205), 2))),
        _ => Sent::of(&receipt),
    }
}

/// Two drives, the first of which was closed in 2019; positions as they stand.
fn log() -> MemoryLog {
    let forms = [
        (0, 1, Form::REGISTRATION, "2018-01-10"),   // 1
        (0, 2, Form::RECEIPT, "2018-01-10"),        // 2
        (1, 1, Form::REGISTRATION, "2018-01-10"),   // 3
        (1, 2, Form::RECEIPT, "2018-01-10"),        // 4
        (1, 3, Form::REREGISTRATION, "2018-01-11"), // 5
        (0, 3, Form::RECEIPT, "2018-01-11"),        // 6
        (0, 4, Form::CLOSE_ARCHIVE, "2019-06-01"),  // 7
        (1, 4, Form::RECEIPT, "2021-01-10"),        // 8
    ];
    let documents: Vec<Sent> =
        forms.map(|(shop, number, form, date)| document(shop, number, form, date)).into();
    let mut log = MemoryLog::of(&documents, 4);
    let at = documents[7].received_us;
    let later = |position, kind, payload: &[u8]| {
        let ofd_storage::compact::SourceRecord::Other(kind, mut stored) = other(position, kind, payload)
        else {
            panic!()
        };
        stored.received_at_us = at;
        ofd_storage::compact::SourceRecord::Other(kind, stored)
    };
    log.segments.push(vec![
        later(9, RecordKind::Quarantine, b"whatever"),
        later(10, RecordKind::Command, b"a command"),
        later(11, RecordKind::Tick, b""),
        later(12, RecordKind::Cursor, b"123456789tax"),
        later(13, RecordKind::Status, &encode(StatusOf::Tax, &[StatusEvent::default()])),
    ]);
    log
}

fn rules(today: &str) -> ThinRules {
    ThinRules {
        now_us: i64::from(noon(today)) * 1_000_000,
        keep_years: 5,
        log_begins: Lsn::new(14),
        ..ThinRules::default()
    }
}

fn archived(env: &Arc<dyn Env>) {
    compact(&log(), env, &small_runs()).unwrap();
}

/// Positions of a table, as a reader by pattern finds them; none twice, but for items.
fn positions(env: &Arc<dyn Env>, table: Table) -> BTreeSet<u64> {
    let mut seen = BTreeSet::new();
    for path in files(&**env).into_keys().filter(|path| path.iter().nth(1).unwrap() == table.name()) {
        each_batch(&**env, &path, &["position"], |batch| {
            for position in column::<Int64Array>(batch, &path, "position")?.values() {
                assert!(seen.insert(*position as u64) || table == Table::Items, "{table}: {position} twice");
            }
            Ok(())
        })
        .unwrap();
    }
    seen
}

/// A log of which nothing is left but its end.
fn dropped() -> MemoryLog {
    let mut log = log();
    let last = log.segments.last().unwrap().clone();
    log.segments = vec![
        last.into_iter()
            .map(|record| {
                let ofd_storage::compact::SourceRecord::Other(kind, mut stored) = record else { panic!() };
                stored.position += 5;
                ofd_storage::compact::SourceRecord::Other(kind, stored)
            })
            .collect(),
    ];
    log
}

fn sound(env: &Arc<dyn Env>) {
    let report = verify_source(&dropped(), env).unwrap();
    assert!(report.ok, "{report:?}");
}

fn held(scope: HoldScope) -> Holds {
    let (from, to) = ("2018-01-10".parse().unwrap(), "2018-01-10".parse().unwrap());
    let mut holds = Holds::default();
    let hold = Hold { scope, from, to, reason: "суд".into(), by: "Иванова".into() };
    holds.fold(99, &HoldCommand::Place(hold).to_payload());
    holds
}

/// Year by year: what may go, goes from all tables alike; the rest stays to the byte, and sums agree.
#[test]
fn rows_leave_after_their_years_and_registrations_after_those_of_the_drive() {
    let (_, env) = sim(1);
    archived(&env);
    let all = files(&*env);
    let thin = |today: &str| {
        let would = thin_archive(&env, &ThinRules { dry_run: true, ..rules(today) }).unwrap();
        let did = thin_archive(&env, &rules(today)).unwrap();
        assert_eq!(would, did, "a dry run tells what will be done");
        sound(&env);
        assert_eq!(positions(&env, Table::Documents), positions(&env, Table::Containers));
        (did.documents, did.records, positions(&env, Table::Documents).into_iter().collect::<Vec<_>>())
    };
    let untouched = ThinReport::default();
    assert_eq!(
        thin_archive(&env, &rules("2023-01-10")).unwrap(),
        untouched,
        "I15: nothing is older than five years"
    );
    assert!(files(&*env) == all);
    let in_log = ThinRules { log_begins: Lsn::new(3), ..rules("2060-01-01") };
    assert_eq!(thin_archive(&env, &in_log).unwrap(), untouched, "what the log holds stays");

    assert_eq!(thin("2023-01-11"), (2, 0, vec![1, 3, 5, 6, 7, 8]));
    assert_eq!(positions(&env, Table::Items), BTreeSet::from([6, 8]));
    let archive = Archive::open(&env).unwrap();
    assert!(archive.find_container(DRIVES[0], 2).unwrap().is_empty());
    assert_eq!(archive.find_container(DRIVES[0], 3).unwrap().len(), 1);
    assert_eq!((archive.documents(), archive.runs()[0].expired), (6, Some(2)));
    assert_eq!(
        thin("2023-01-12"),
        (2, 0, vec![1, 3, 7, 8]),
        "a change of registration without a new drive as well"
    );
    assert_eq!(thin("2024-06-01"), (0, 0, vec![1, 3, 7, 8]));
    assert_eq!(thin("2024-06-02"), (2, 0, vec![3, 8]), "the drive that was closed five years ago");
    assert_eq!(positions(&env, Table::Statuses), BTreeSet::from([13]));
    assert_eq!(thin("2026-01-11"), (1, 3, vec![3]), "and what lay in quarantine, and what was answered");
    assert_eq!(positions(&env, Table::Statuses), BTreeSet::new());
    assert_eq!(positions(&env, Table::Records), BTreeSet::from([10, 12]), "commands and cursors are state");
    assert_eq!(thin("2100-01-01"), (0, 0, vec![3]), "a drive that nobody closed lives for ever");
    let left = files(&*env);
    assert!(left.len() < all.len());
    // What stays is the record it was.
    let one =
        Archive::open(&env).unwrap().document(Position::new(Lsn::new(3)), DRIVES[1], 1).unwrap().unwrap();
    assert_eq!(one.payload(), document(1, 1, Form::REGISTRATION, "2018-01-10").payload());
    assert!(env.list(Path::new(".staging")).unwrap().is_empty());
    let folders = env.list(Path::new("parquet/documents")).unwrap();
    assert_eq!(folders.len(), 1, "folders without files are gone: {folders:?}");
}

/// A hold keeps what it covers and nothing else, as long as it stands.
#[test]
fn nothing_is_removed_under_a_hold() {
    for (scope, kept) in [
        (HoldScope::Drive(DRIVES[0].into()), [2_u64, 1, 3, 7]),
        (HoldScope::Inn(INNS[1].into()), [4, 1, 3, 7]),
    ] {
        let (_, env) = sim(2);
        archived(&env);
        let held = ThinRules { holds: held(scope), ..rules("2023-01-12") };
        let report = thin_archive(&env, &held).unwrap();
        assert_eq!((report.documents, report.held), (3, 1), "{report:?}");
        sound(&env);
        let left = positions(&env, Table::Documents);
        assert!(kept.iter().all(|position| left.contains(position)) && left.len() == 5, "{left:?}");
        assert_eq!(thin_archive(&env, &held).unwrap().documents, 0);
        assert_eq!(thin_archive(&env, &rules("2023-01-12")).unwrap().documents, 1, "it is lifted");
    }
}

/// A file that is not as it was published: nothing of its run goes, and nobody rewrites damage into a good file.
#[test]
fn a_damaged_or_missing_file_keeps_its_run_as_it_is() {
    let (machine, env) = sim(3);
    archived(&env);
    let archive = Archive::open(&env).unwrap();
    let run = &archive.runs()[0];
    for file in &run.files {
        let path = file.path();
        machine.flip_bit(&path, 333).unwrap();
        let before = files(&*env);
        let report = thin_archive(&env, &rules("2023-01-11")).unwrap();
        assert_eq!(
            (report.damaged, report.documents, report.runs),
            (1, 0, 0),
            "{}: {report:?}",
            path.display()
        );
        assert!(files(&*env) == before);
        machine.flip_bit(&path, 333).unwrap();
        env.rename(&path, Path::new("aside")).unwrap();
        let report = thin_archive(&env, &rules("2023-01-11")).unwrap();
        assert_eq!((report.damaged, report.documents), (1, 0), "{}", path.display());
        env.rename(Path::new("aside"), &path).unwrap();
    }
    assert_eq!(thin_archive(&env, &rules("2023-01-11")).unwrap().documents, 2);
}

/// What scrubbing finds.
fn scrubbed(env: &Arc<dyn Env>) -> Vec<ScrubFinding> {
    let reader = LogReader::open_read_only(Arc::clone(env)).unwrap();
    let options = ScrubOptions { once: true, rate: Some(u64::MAX), ..ScrubOptions::default() };
    let mut scrub = Scrub::new(Arc::clone(env), reader, options);
    let mut now = env.now();
    let mut found = Vec::new();
    loop {
        match scrub.step(now).unwrap() {
            ScrubStep::Wait(until) => now.mono_us = until.max(now.mono_us),
            ScrubStep::Found(finding) => found.push(finding),
            ScrubStep::Done(_) => return found,
        }
    }
}

/// The power fails at every single change that a rewrite makes. Readers by pattern find whole files and nothing twice,
/// `verify` agrees, what was to stay is there, and doing it again ends in the same bytes.
#[test]
fn a_power_cut_at_any_change_of_a_rewrite_shows_the_old_files_or_the_new() {
    const TODAY: &str = "2023-01-12";
    let (_, reference) = sim(9);
    archived(&reference);
    let old = files(&*reference);
    thin_archive(&reference, &rules(TODAY)).unwrap();
    let new = files(&*reference);
    let stay = positions(&reference, Table::Documents);
    assert!(old != new && old.len() > new.len());
    let mut cuts = 0;
    for call in 1.. {
        let (machine, env) = sim(call);
        archived(&env);
        machine.cut_power_after(Some(call));
        let done = match thin_archive(&env, &rules(TODAY)) {
            Ok(report) => report.damaged == 0,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Reopen, "call {call}: {error}");
                false
            }
        };
        assert!(done != machine.is_off(), "call {call}: a disk that has failed is no damaged file");
        let mut machine = machine.power_cut();
        for again in 0..2 {
            machine.cut_power_after(None);
            let env: Arc<dyn Env> = Arc::new(machine.clone());
            for (path, bytes) in files(&*env) {
                let known = [old.get(&path), new.get(&path)].contains(&Some(&bytes));
                assert!(known, "call {call}: {} is neither the old file nor the new", path.display());
            }
            assert!(positions(&env, Table::Documents).is_superset(&stay), "I15: call {call}");
            assert!(positions(&env, Table::Containers).is_superset(&stay), "I15: call {call}");
            sound(&env);
            assert_eq!(scrubbed(&env), [], "call {call}: a file on its way is no damage");
            let archive = Archive::open(&env).unwrap();
            assert_eq!(archive.find_container(DRIVES[1], 4).unwrap().len(), 1, "call {call}");
            if again == 0 {
                // The next owner, who finishes it, is cut as well.
                machine.cut_power_after(Some(call % 11 + 1));
                let _ = compact(&MemoryLog::default(), &env, &CompactOptions::default());
                machine = machine.power_cut();
            }
        }
        let env: Arc<dyn Env> = Arc::new(machine.clone());
        thin_archive(&env, &rules(TODAY)).unwrap();
        sound(&env);
        assert!(files(&*env) == new, "call {call}: other files than without a cut");
        if done {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 50, "only {cuts} changes were cut");
}
