//! Every creation, renaming and removal of a file, and every sync of a directory, fails once: at a start, under load, at a seal, at the end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod machine_support;

use std::io::Write;
use std::sync::Arc;

use ofd_storage::testing::{SimEnv, SimKnobs};
use ofd_storage::{Completion, DiskOp, Env, Full, LogState, recover};

use machine_support::{OPTIONS, document};

/// Whether a call that fails is done all the same depends on the seed.
const SEEDS: u64 = if cfg!(debug_assertions) { 1 } else { 6 };

/// One life: what it acknowledged, or that it did not begin. A sync fails on the way, so that records move, and a segment is thrown away.
fn life(env: &SimEnv, acked: &mut Vec<Vec<u8>>, what: &str) -> bool {
    let mut seen = Vec::new();
    let opened =
        recover(Arc::new(env.clone()), OPTIONS, &mut |record, _| seen.push(record.payload().to_vec()));
    let mut log = match opened {
        Ok((log, report)) => {
            // A write that failed may be torn; nobody was told that it is there.
            let cut = report.cut.is_some_and(|cut| cut.first.get() as usize <= acked.len());
            assert!(report.damaged.is_empty() && !cut, "{what}: {report:?}");
            log
        }
        Err(error) => {
            assert!(error.is_storage_fault(), "{what}: {error}");
            return false;
        }
    };
    // What was written and never acknowledged may be there.
    assert!(
        seen.len() >= acked.len() && seen[..acked.len()] == acked[..],
        "{what}: {} of {}",
        seen.len(),
        acked.len()
    );
    *acked = seen;
    let mut queue = env.queue(Arc::new(|| {})).unwrap();
    let (mut ops, mut completions): (Vec<DiskOp>, Vec<Completion>) = (Vec::new(), Vec::new());
    let mut taken = acked.clone();
    for turn in 0..400_usize {
        if turn == 60 {
            env.set_knobs(|knobs| knobs.fail_next_syncs = 1);
        }
        while turn < 120 && taken.len() < acked.len() + 12 {
            let payload = vec![taken.len() as u8; 100 + taken.len() * 41 % 1_500];
            match log.append(env.now(), document(&[&payload])) {
                Ok(_) => taken.push(payload),
                Err(Full::Wait | Full::Closed) => break,
                Err(full) => panic!("{what}: {full}"),
            }
        }
        if turn == 90 {
            log.seal();
        }
        if turn == 120 {
            log.shutdown();
        }
        let progress = log.step(env.now(), &mut completions, &mut ops);
        ops.drain(..).for_each(|op| queue.submit(op));
        queue.poll(&mut completions);
        env.advance(1_000, 1_000);
        let durable = progress.durable.get() as usize;
        assert!(durable >= acked.len() && durable <= taken.len(), "{what}: {durable}");
        acked.extend_from_slice(&taken[acked.len()..durable]);
        match progress.state {
            LogState::Closed => {
                assert_eq!(acked.len(), taken.len(), "{what}");
                return true;
            }
            // The name that failed was the way out of the failed sync: the second failure.
            LogState::Failed => return true,
            LogState::Healthy | LogState::Rewriting => {}
        }
    }
    panic!("{what}: a log with one failed name does not close");
}

#[test]
fn every_change_of_names_may_fail_once() {
    let (mut calls, mut refused) = (0, 0);
    for seed in 0..SEEDS {
        for call in 0.. {
            let what = format!("seed {seed} call {call}");
            let mut env = SimEnv::new(seed, SimKnobs::default());
            let mut acked = Vec::new();
            assert!(life(&env, &mut acked, &what));
            env = env.power_cut();
            env.set_knobs(|knobs| knobs.fail_name_call = Some(call));
            let mut opened = life(&env, &mut acked, &what);
            let stats = env.stats();
            let failed = stats.name_errors + stats.dir_sync_errors;
            refused += u64::from(!opened);
            for round in 0..3 {
                env.set_knobs(|knobs| knobs.fail_name_call = None);
                env = if (seed + round) % 2 == 0 { env.kill() } else { env.power_cut() };
                opened = life(&env, &mut acked, &what);
                assert!(opened, "{what}: a healthy disk");
            }
            calls += failed;
            if failed == 0 {
                break;
            }
        }
    }
    let line = format!(
        "names: {calls} calls failed, each in a life of its own; {refused} starts were refused; nothing lost\n"
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    assert!(calls > 25 * SEEDS && refused > 2 * SEEDS, "{calls} calls failed, {refused} starts were refused");
}
