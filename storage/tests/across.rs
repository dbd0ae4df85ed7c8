//! Findings across documents: their rows among those of documents.
#![cfg(feature = "columns")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod compact_support;

use compact_support::*;
use ofd_storage::columns::{Derive, Finding, LifeRow, LifeSpan, RegisterRow, ShiftRow};
use ofd_storage::compact::{CompactOptions, compact};

const DRIVE: &str = "9960440300000001";

/// What is found across documents lies between them in the order of the table, on the day of its document; what a tick has brought
/// about on the day of that.
#[test]
fn findings_across_documents_lie_among_the_others() {
    struct Across;
    impl Derive for Across {
        fn findings(
            &self,
            view: &ofd_codec::DocumentView<'_>,
            _: &ofd_storage::envelope::Envelope<'_>,
            findings: &mut Vec<Finding>,
        ) -> Option<u32> {
            // Two in the receipt of 4 roubles.
            let total = view.get(ofd_codec::Tag(1020))?.kopecks().ok()?;
            if total.0 == 400 {
                findings.extend([Finding::default(), Finding::default()]);
            }
            u32::try_from(findings.len()).ok()
        }

        fn shifts(&self, _: std::ops::RangeInclusive<u64>) -> Result<Vec<ShiftRow>, ofd_storage::Error> {
            Ok(Vec::new())
        }

        fn across(
            &self,
            positions: std::ops::RangeInclusive<u64>,
        ) -> Result<Vec<LifeRow>, ofd_storage::Error> {
            assert_eq!(positions, 1..=2);
            let row = |position, number, line, at: Option<u32>| LifeRow {
                position,
                received_at_us: NOON_US + 86_400_000_000,
                realm: "prod",
                inn: Some("7704211201".to_owned()),
                drive: DRIVE.to_owned(),
                number,
                local_seconds: at.map(i64::from),
                finding: Finding {
                    line,
                    rule: "D2",
                    life: Some(LifeSpan { count: 3, first_seen_us: 5, ..LifeSpan::default() }),
                    ..Finding::default()
                },
                ..LifeRow::default()
            };
            Ok(vec![
                row(2, 6, 1_001, Some(NOON)),
                row(2, 3, 1_001, Some(NOON)),
                row(1, 5, 1_002, Some(NOON)),
                row(2, 6, 1_002, None),
            ])
        }

        fn registers(
            &self,
            _: std::ops::RangeInclusive<u64>,
        ) -> Result<Option<Vec<RegisterRow>>, ofd_storage::Error> {
            Ok(None)
        }
    }
    let place = place();
    let options = CompactOptions { derive: Some(std::sync::Arc::new(Across)), ..CompactOptions::default() };
    let sent = [(5, 400), (6, 100)]
        .map(|(number, sum)| Sent::of(&receipt("7704211201", DRIVE, number, vec![line("Чай", sum)])));
    compact(&MemoryLog::of(&sent, 1), &place.env, &options).unwrap();
    let rows: Vec<Vec<_>> = glob(place.dir.path(), "violations")
        .iter()
        .map(|(day, path)| {
            let all = all_values(path);
            let at = |name: &str, row: usize| all[name][row].clone().unwrap_or_default();
            let row = |row| [at("fd", row), at("line", row), at("count", row), day.clone()].join(" ");
            (0..all["fd"].len()).map(row).collect()
        })
        .collect();
    let expected = [
        vec![
            "3 1001 3 2024-05-15",
            "5 1  2024-05-15",
            "5 2  2024-05-15",
            "5 1002 3 2024-05-15",
            "6 1001 3 2024-05-15",
        ],
        vec!["6 1002 3 2024-05-16"],
    ];
    assert_eq!(rows, expected);
}
