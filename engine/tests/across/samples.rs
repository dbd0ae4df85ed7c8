//! What the lives of real registers break, reviewed: `findings.txt` has a line for each rule with how often it is found, and in
//! its head the cause of each. Nothing of a document stands in it.
//!
//! The documents are not part of the repository; `OFD_FACTS` names their folder.
//! `BLESS=1 OFD_FACTS=... cargo test -p ofd-engine --test across samples` renews the lines; read the difference, and say in the head
//! why a new kind of finding is right.

use std::collections::BTreeMap;
use std::path::Path;

use ofd_engine::codec::{DocumentView, DriveNumber, Frame};
use ofd_engine::registers::{EventKind, Past, Registers, SHIFTS_KEPT, Seen};
use ofd_engine::storage::Error;
use ofd_engine::storage::envelope::Realm;
use ofd_engine::{Lsn, Position};

use crate::life::ZONE;

/// By position; nothing is asked for that is not there.
struct Stored(Vec<Vec<u8>>);

impl Past for Stored {
    fn plain(&self, position: Position, _: DriveNumber, _: u32) -> Result<Option<Vec<u8>>, Error> {
        Ok(self.0.get(position.as_u64() as usize - 1).cloned())
    }
}

fn messages() -> Option<Vec<Vec<u8>>> {
    let Some(folder) = std::env::var_os("OFD_FACTS") else {
        println!("skipped: OFD_FACTS names no folder with real documents");
        return None;
    };
    let text = std::fs::read_to_string(Path::new(&folder).join("samples/receipts.jsonl")).unwrap();
    let hex = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let digits = row["hex"].as_str().unwrap().to_owned();
        (0..digits.len() / 2).map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap()).collect()
    };
    Some(text.lines().map(hex).collect())
}

const FINDINGS: &str = "tests/across/findings.txt";

// A rule that is found in the lives of real registers without a cause is wrong: every kind was looked at.
#[test]
fn findings_over_real_lives_are_those_reviewed() {
    let Some(messages) = messages() else { return };
    let mut documents: Vec<(DriveNumber, u32, u32, Vec<u8>)> = messages
        .iter()
        .map(|message| {
            let frame = Frame::new_checked(message).unwrap();
            let body = frame.container().body().to_vec();
            let header = DocumentView::new_checked(&body).unwrap().header();
            (header.drive.unwrap(), header.number.unwrap().0, header.date_time.unwrap().0, body)
        })
        .collect();
    documents.sort_by_key(|it| (it.0.as_str().to_owned(), it.1));
    documents.dedup_by_key(|it| (it.0.as_str().to_owned(), it.1));
    let stored = Stored(documents.iter().map(|it| it.3.clone()).collect());
    let mut registers = Registers::new(None, SHIFTS_KEPT);
    let (mut events, mut drives) = (Vec::new(), 0);
    for (at, (drive, number, made, body)) in documents.iter().enumerate() {
        drives += u32::from(at == 0 || documents[at - 1].0 != *drive);
        let view = DocumentView::new_checked(body).unwrap();
        let seen = Seen {
            position: Position::new(Lsn::new(at as u64 + 1)),
            received_at_us: i64::from(made - ZONE + 2) * 1_000_000,
            realm: Realm::Prod,
            drive: *drive,
            number: *number,
            variant: 0,
            imported: false,
            view,
            header: view.header(),
        };
        registers.take(&seen, &stored, &mut events).unwrap();
    }
    let mut tally: BTreeMap<&str, u32> = BTreeMap::new();
    for event in &events {
        if let EventKind::Found(it) = &event.kind {
            *tally.entry(it.rule.rule().key).or_default() += 1;
        }
    }
    let now: String = tally.iter().map(|(key, count)| format!("{key} {count}\n")).collect();
    let now = format!("documents {}\ndrives {drives}\n{now}", documents.len());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FINDINGS);
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let head: String =
        kept.lines().filter(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, format!("{head}{now}")).unwrap();
        return;
    }
    assert_eq!(kept, format!("{head}{now}"), "not reviewed, or no longer found");
}

// A kind of finding without a cause in the head of the file was not reviewed. Needs no real documents.
#[test]
fn each_kind_of_finding_has_its_cause() {
    let kept = include_str!("findings.txt");
    let causes = kept.lines().filter_map(|line| line.strip_prefix("# ")?.split_once(": "));
    let causes: Vec<&str> = causes.map(|(key, _)| key).collect();
    let lines = kept.lines().filter(|line| !line.starts_with('#')).skip(2);
    let found: Vec<&str> = lines.filter_map(|line| line.split(' ').next()).collect();
    assert!(!found.is_empty());
    assert_eq!(causes, found);
}
