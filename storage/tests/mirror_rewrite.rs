//! Beside a mirror, records that are written again in another segment: after a failed local sync, and by a start.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

mod machine_support;
mod mirror_support;

use ofd_storage::testing::SimEnv;
use ofd_storage::{LogState, Lsn, SegmentId, SinkFailure};

use machine_support::{ALWAYS, path};
use mirror_support::{Machine, OPTIONS, alone, files, open, try_open};

// A failed local sync moves the batch; the mirror follows it to the new segment.
#[test]
fn a_local_rewrite_is_mirrored() {
    for seed in 0..30 {
        let mut machine = Machine::new(seed, SinkFailure::Stop);
        machine.fill(8, 300);
        let _ = machine.append(b"whose local sync fails");
        machine.step();
        machine.local.set_knobs(|knobs| knobs.fail_next_syncs = 1);
        let progress = machine.rest();
        assert_eq!((progress.state, progress.durable), (LogState::Healthy, Lsn::new(9)));
        machine.fill(100, 700);
        let (report, seen) = alone(&machine.mirror.power_cut());
        assert_eq!((seen.len(), report.damaged.len()), (109, 0), "seed {seed}: {report:?}");
        let (machine, report, seen) = open(machine.local.power_cut(), machine.mirror.power_cut());
        assert_eq!((seen.len(), report.damaged.len()), (109, 0), "seed {seed}: {report:?}");
        assert_eq!(files(&machine.local), files(&machine.mirror), "seed {seed}");
    }
}

// The mirror holds the record in the segment that the local log has left for another, where nothing can be mended from it: found by the
// simulation, an acknowledged record rotted in the local copy before the mirror had the new one.
#[test]
fn a_local_rewrite_is_durable_when_the_mirror_has_it_as_well() {
    let mut machine = Machine::new(1, SinkFailure::Stop);
    machine.fill(8, 300);
    let last = machine.append(&[9; 300]).lsn;
    machine.step();
    machine.step();
    machine.mirror.set_knobs(|knobs| knobs.lane_moves = 1);
    machine.local.set_knobs(|knobs| knobs.fail_next_syncs = 1);
    for _ in 0..4 {
        let progress = machine.rest();
        assert_eq!((progress.state, progress.durable), (LogState::Rewriting, last.prev()));
    }
    // Whatever happens now to the new local copy, the old one is as good as the mirror's.
    let moved_to = path(SegmentId::new(2));
    let (local, mirror) = (machine.local.fork().power_cut(), machine.mirror.fork().power_cut());
    for at in (0..8192).step_by(128) {
        let (local, mirror) = (local.fork(), mirror.fork());
        local.flip_bit(&moved_to, at * 8).unwrap();
        let (_, report, seen) = open(local, mirror);
        // Where nothing lies a flipped bit is taken for a write that was begun.
        assert!(
            report.damaged.is_empty() && report.cut.is_none_or(|cut| cut.first > last),
            "{at}: {report:?}"
        );
        assert_eq!(seen.len(), 9, "byte {at}: {report:?}");
    }
    machine.mirror.set_knobs(|knobs| knobs.lane_moves = 0);
    let progress = machine.rest();
    assert_eq!((progress.state, progress.durable), (LogState::Healthy, last));
    let (local, mirror) = (machine.local.power_cut(), machine.mirror.power_cut());
    for at in (0..8192).step_by(128) {
        let (local, mirror) = (local.fork(), mirror.fork());
        local.flip_bit(&moved_to, at * 8).unwrap();
        let (_, report, seen) = open(local, mirror);
        assert_eq!((seen.len(), report.damaged.len()), (9, 0), "byte {at}: {report:?}");
    }
}

// Local syncs fail at any moment, also at a rotation whose segment the mirror has yet to prepare: it may come when nobody wants
// it any more, and the log must not wait for another in vain.
#[test]
fn a_local_rewrite_beside_a_slow_mirror_comes_to_an_end() {
    for seed in 0..300_u64 {
        let mut machine = Machine::new(seed, SinkFailure::Stop);
        machine.mirror.set_knobs(|knobs| knobs.lane_moves = ALWAYS / 8);
        for at in 0..120_u64 {
            while machine.try_append(&[at as u8; 700]).is_ok() {}
            if at % 12 == seed % 12 {
                machine.local.set_knobs(|knobs| knobs.fail_next_syncs = 1);
            }
            machine.step();
            machine.queue.poll(&mut machine.completions);
        }
        let taken = machine.log.next_lsn().prev();
        machine.mirror.set_knobs(|knobs| knobs.lane_moves = 0);
        machine.local.set_knobs(|knobs| knobs.fail_next_syncs = 0);
        for _ in 0..20 {
            machine.rest();
            machine.local.advance(OPTIONS.prepare_retry_us, 0);
        }
        let progress = machine.step();
        // A rewrite that fails itself ends the log, by design.
        if progress.state == LogState::Failed {
            continue;
        }
        assert_eq!((progress.state, progress.durable), (LogState::Healthy, taken), "seed {seed}");
        let (local, mirror) = machine.close();
        for copy in [local, mirror] {
            let (report, seen) = alone(&copy.power_cut());
            assert_eq!(
                (seen.len() as u64, report.damaged.len()),
                (taken.get(), 0),
                "seed {seed}: {report:?}"
            );
        }
    }
}

/// A log whose ninth record is acknowledged and proven by nothing, both processes of the machines killed.
fn unproven() -> (SimEnv, SimEnv) {
    let mut machine = Machine::new(1, SinkFailure::Stop);
    machine.fill(8, 300);
    let last = machine.append(&[9; 300]).lsn;
    while machine.step().durable < last {
        machine.queue.poll(&mut machine.completions);
    }
    let Machine { local, mirror, log, queue, .. } = machine;
    drop((log, queue));
    (local.kill(), mirror.kill())
}

// A start writes again what nothing proves: the mirror has it where it lay before, which counts until it has the new place as well.
#[test]
fn what_a_start_has_written_again_may_rot_before_the_mirror_has_it() {
    let mut mended = 0;
    for cut_at in 1.. {
        let (local, mirror) = unproven();
        local.cut_power_after(Some(cut_at));
        let survived = try_open(local.clone(), mirror.clone(), SinkFailure::Stop).is_ok();
        let (local, mirror) = (local.power_cut(), mirror.power_cut());
        for (segment, at) in (1..=3).flat_map(|segment| (0..8192).step_by(256).map(move |at| (segment, at))) {
            let (local, mirror) = (local.fork(), mirror.fork());
            if local.flip_bit(&path(SegmentId::new(segment)), at * 8 + 3).is_err() {
                continue;
            }
            let (_, report, seen) = open(local, mirror);
            let whole = seen.len() == 9 && report.damaged.is_empty();
            assert!(whole, "cut at call {cut_at}, byte {at} of {segment}: {} {report:?}", seen.len());
            mended += report.mirror.mended.len();
        }
        if survived {
            assert!(cut_at > 20 && mended > 100, "{cut_at} {mended}");
            return;
        }
    }
}
