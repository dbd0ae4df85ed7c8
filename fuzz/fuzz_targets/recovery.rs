//! A log with edited files, opened.
//!
//! Claim: recovery gives an error or a log, never a panic. What it gives it gives in order, each number once. Opened
//! again, after a kill, the same records come with the same bytes: recovery changes nothing that it has served.
#![no_main]
#![allow(missing_docs, reason = "the macro makes a public function")]

use std::collections::BTreeMap;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use ofd_fuzz::log::{OPTIONS, edited};
use ofd_storage::testing::SimEnv;
use ofd_storage::{Error, RecoveryReport, recover};

fn open(sim: &SimEnv) -> Result<(BTreeMap<u64, Vec<u8>>, RecoveryReport), Error> {
    let mut seen = BTreeMap::new();
    let (log, report) = recover(Arc::new(sim.clone()), OPTIONS, &mut |record, _| {
        let lsn = record.lsn().get();
        assert!(seen.keys().all(|before| *before < lsn), "{lsn} comes out of order");
        seen.insert(lsn, record.payload().to_vec());
    })?;
    assert_eq!(report.records, seen.len() as u64);
    let last = seen.keys().last().copied().unwrap_or_default();
    assert!(last <= report.durable.get() && report.durable < log.next_lsn(), "{report:?}");
    Ok((seen, report))
}

fuzz_target!(|edits: &[u8]| {
    let sim = edited(edits);
    let Ok((first, report)) = open(&sim) else { return };
    let (again, second) =
        open(&sim.kill()).unwrap_or_else(|error| panic!("opened once and not again: {error}\n{report:?}"));
    let differ: Vec<_> = (1..=second.durable.get().max(report.durable.get()))
        .filter(|lsn| first.get(lsn) != again.get(lsn))
        .collect();
    assert!(differ.is_empty(), "{differ:?} differ the second time\n{report:?}\n{second:?}");
});
