//! What real documents break, reviewed: `testdata/findings.txt` has a line for each sample, rule and tag, with a count,
//! and in its head the cause of each kind of finding. Nothing of a document stands in it.
//!
//! The documents are not part of the repository; `OFD_FACTS` names their folder.
//! `BLESS=1 OFD_FACTS=... cargo test -p ofd-codec --test findings` renews the lines; read the difference, and say in the
//! head why a new kind of finding is right.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::{facts_lines, unhex};
use ofd_codec::{CheckContext, DocumentView, FfdVersion, Frame, check};

/// Findings by sample, rule and tag.
type Tally = BTreeMap<(String, &'static str, u16), usize>;

fn tally(into: &mut Tally, id: &str, document: &[u8], p_version: [u8; 2]) {
    let view = DocumentView::new_checked(document).unwrap_or_else(|error| panic!("{id}: {error}"));
    let version = FfdVersion::of_document(&view.header(), None, p_version);
    let found = check(&view, &CheckContext::new(version));
    assert_eq!(found.dropped(), 0, "{id}");
    for it in &found {
        *into.entry((id.to_owned(), it.rule.key, it.tag.unwrap().0)).or_default() += 1;
    }
}

/// Why: a rule that fires on real documents without a cause is wrong; so every finding was looked at, and a new one must
/// be looked at before it is kept.
#[test]
fn findings_over_real_documents_are_those_reviewed() {
    let (Some(messages), Some(raw)) =
        (facts_lines("samples/receipts.jsonl"), facts_lines("samples/real_tlv.jsonl"))
    else {
        return;
    };
    assert_eq!((messages.len(), raw.len()), (223, 16));
    let mut found = Tally::new();
    for row in &messages {
        let message = unhex(row["hex"].as_str().unwrap());
        let frame = Frame::new_checked(&message).unwrap();
        tally(&mut found, row["id"].as_str().unwrap(), frame.container().body(), frame.header().p_version);
    }
    for row in &raw {
        tally(&mut found, row["id"].as_str().unwrap(), &unhex(row["tlv_hex"].as_str().unwrap()), [0, 1]);
    }
    let now: String =
        found.iter().map(|((id, rule, tag), count)| format!("{id} {rule} {tag} {count}\n")).collect();

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/findings.txt");
    let kept = std::fs::read_to_string(&path).unwrap();
    let (head, lines) =
        kept.split_at(kept.rfind("#").map_or(0, |at| at + kept[at..].find('\n').unwrap() + 1));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, format!("{head}{now}")).unwrap();
        return;
    }
    let (now, lines): (BTreeSet<&str>, BTreeSet<&str>) = (now.lines().collect(), lines.lines().collect());
    let new: Vec<_> = now.difference(&lines).collect();
    let gone: Vec<_> = lines.difference(&now).collect();
    assert!(new.is_empty() && gone.is_empty(), "not reviewed: {new:#?}\nno longer found: {gone:#?}");
}

/// Why: a kind of finding without a cause in the head of the file was not reviewed. Needs no real documents.
#[test]
fn each_kind_of_finding_has_its_cause() {
    let kept = include_str!("../testdata/findings.txt");
    let causes: BTreeMap<(&str, &str), usize> = kept
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (rule, tag, count) = (words.next()?, words.next()?, words.next()?.strip_suffix(':')?);
            Some(((rule, tag), count.parse().ok()?))
        })
        .collect();
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in kept.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        *counts.entry((words[1], words[2])).or_default() += words[3].parse::<usize>().unwrap();
    }
    assert!(!counts.is_empty());
    assert_eq!(causes, counts);
}
