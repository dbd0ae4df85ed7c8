//! The explanation of documents: as kept, and of any bytes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod common;

use std::path::PathBuf;

use common::documents::golden;
use ofd_codec::explain::{Layout, Role, Row, explain, explain_damage, text_of};
use ofd_codec::{CheckContext, Datum, Piece, RuleId, Tag, Violation, check, read_any};
use proptest::prelude::*;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/explain")
}

/// The explanation of everything that a file holds, damage included.
fn told(bytes: &[u8], layout: &Layout) -> String {
    let mut reader = read_any(bytes);
    let (mut out, mut at) = (String::new(), 0);
    while let Some(item) = reader.next() {
        let piece = &bytes[at..reader.offset()];
        let rows = match item {
            Ok(found) => told_piece(&found, layout),
            Err(error) => {
                let mut error = error;
                error.offset = error.offset.saturating_sub(at);
                explain_damage(piece, &error, layout)
            }
        };
        out += &text_of(&rows);
        at = reader.offset();
    }
    out
}

/// Without findings: their words are the rules', and change with them.
fn told_piece(piece: &Piece<'_>, layout: &Layout) -> Vec<Row> {
    explain(piece, piece.version(), &[], layout)
}

#[track_caller]
fn kept(name: &str, now: &str) {
    let path = folder().join(name);
    if std::env::var_os("BLESS").is_some() {
        std::fs::create_dir_all(folder()).unwrap();
        std::fs::write(&path, now).unwrap();
    }
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(before == now, "{name} is not as kept; BLESS=1 renews it:\n{now}");
}

/// What people see of each golden document is as kept: columns, names, values.
#[test]
fn golden_documents_are_told_as_kept() {
    for golden in golden() {
        kept(&format!("{}.txt", golden.name), &told(&golden.message, &Layout::of_width(120)));
    }
}

/// Damage is shown where it is, with the bytes around it: a checksum, a length inside an item, a cut, noise.
#[test]
fn damage_is_told_as_kept() {
    let message = golden().remove(0).message;
    let mut crc = message.clone();
    crc[200] ^= 1;
    kept("damage-crc.txt", &told(&crc, &Layout::of_width(120)));
    kept("damage-cut.txt", &told(&message[..150], &Layout::of_width(120)));
    kept("damage-noise.txt", &told(&[0xEE; 40], &Layout::of_width(120)));
    // The bare document, in which a requisite inside the first item claims more bytes than the item has.
    let mut document = read_any(&message).next().unwrap().unwrap().document().bytes().to_vec();
    let name = document.windows(4).position(|it| it[..2] == [0x06, 0x04]).unwrap();
    document[name + 2] = 0xF0;
    kept("damage-length.txt", &told(&document, &Layout::of_width(120)));
}

/// The excerpts in both READMEs are rows of the golden receipt: people compare what they see with what they read.
#[test]
fn excerpts_in_the_readmes_are_rows_of_the_golden_receipt() {
    let kept = std::fs::read_to_string(folder().join("receipt-1.2.txt")).unwrap();
    let rows: Vec<_> = kept.lines().collect();
    for name in ["README.md", "../README.md"] {
        let text = std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
        let shown = |block: &&str| block.starts_with("text\n") && block.contains("\nКассовый чек  ФФД");
        let blocks = text.split("```").filter(shown);
        let mut seen = 0;
        for line in blocks.flat_map(|block| block.lines().skip(1)).filter(|line| !matches!(*line, "" | "…"))
        {
            assert!(rows.contains(&line), "{name}: {line}");
            seen += 1;
        }
        assert!(seen > 5, "{name} has no excerpt");
    }
}

/// A finding stands under the requisite whose value it points at, one about a missing requisite under its parent;
/// the words of the rule come once more at the end.
#[test]
fn findings_stand_under_what_they_are_about() {
    let message = golden().remove(0).message;
    let piece = read_any(&message).next().unwrap().unwrap();
    let view = piece.document();
    let total = view.get(Tag(1020)).unwrap();
    let item = view.get(Tag(1059)).unwrap();
    let name = item.children().next().unwrap().unwrap().1;
    let finding = |rule: &str, tag: u16, offset: usize, actual: Datum, expected: Datum| Violation {
        rule: RuleId::by_key(rule).unwrap(),
        tag: Some(Tag(tag)),
        offset,
        actual,
        expected,
    };
    let violations = [
        finding("B2", 1055, 4, Datum::Absent, Datum::Absent),
        finding("B4", 1020, total.offset(), Datum::Number(7), Datum::Number(8)),
        finding("B2", 1199, item.offset(), Datum::Absent, Datum::Absent),
        finding("B4", 1030, name.offset(), Datum::Text("x".into()), Datum::Absent),
        finding("B1", 1020, 60_000, Datum::Number(1), Datum::Number(2)),
    ];
    let rows = explain(&piece, piece.version(), &violations, &Layout::of_width(120));
    let text = text_of(&rows);
    let lines: Vec<_> = text.lines().collect();
    let after = |row: &str, wanted: &str| {
        let at = lines.iter().position(|line| line.contains(row)).unwrap_or_else(|| panic!("{row}: {text}"));
        assert!(lines[at + 1].contains(wanted), "{}", lines[at + 1]);
    };
    after("  3            receipt", "✗ B2 нет реквизита 1055");
    after("├─1020", "найдено 7, нужно 8");
    after("№ 1", "│ │          ✗ B2 нет реквизита 1199");
    after("├─1030", "найдено x");
    after("└─1209", "! B1");
    let advice = RuleId::by_key("B4").unwrap().rule().unwrap().advice_ru;
    assert!(text.replace(['\n', ' '], "").contains(&advice.replace(' ', "")), "{text}");
    let loud = rows.iter().flatten().filter(|it| matches!(it.role, Role::Finding(_))).count();
    assert!(loud >= 4 + 1 + 2, "{loud}");
}

/// Every finding that the rules make of a document is shown at a requisite of it, not lost for want of a place.
#[test]
fn no_finding_of_the_rules_is_lost() {
    for golden in golden() {
        let piece = read_any(&golden.message).next().unwrap().unwrap();
        let context = CheckContext::new(piece.version());
        let violations = check(&piece.document(), &context);
        let text = text_of(&explain(&piece, piece.version(), violations.as_slice(), &Layout::of_width(4000)));
        for key in violations.iter().map(|it| it.rule.key) {
            let wanted = violations.iter().filter(|it| it.rule.key == key).count();
            let marks = ["✗", "!", "·"].map(|mark| text.matches(&format!("{mark} {key} ")).count());
            // Once in the tree each, and once in the summary.
            assert_eq!(marks.iter().sum::<usize>(), wanted + 1, "{} {key}: {text}", golden.name);
        }
    }
}

proptest! {
    /// Any bytes are told without a panic, in as many rows as they can fill and no more.
    #[test]
    fn any_bytes_are_explained(
        which in 0_usize..14,
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
        bare in any::<bool>(),
        width in 0_usize..200,
    ) {
        let mut bytes = golden().remove(which).message;
        if bare {
            bytes.drain(..62);
        }
        for (place, byte) in flips {
            let at = place.index(bytes.len());
            bytes[at] = byte;
        }
        if !whole {
            bytes.truncate(cut.index(bytes.len()));
        }
        let text = told(&bytes, &Layout::of_width(width));
        prop_assert!(text.lines().count() <= bytes.len() * 3 + 40, "{}", text);
        prop_assert!(text.chars().all(|it| it == '\n' || !it.is_control()), "{:?}", text);
    }
}
