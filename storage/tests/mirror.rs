//! The mirror: a further copy on a second device, which has to answer before anything is durable.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod machine_support;
mod mirror_support;

use std::path::Path;
use std::sync::Arc;

use ofd_storage::scrub::{Scrub, ScrubOptions, ScrubStep};
use ofd_storage::testing::{SimEnv, SimKnobs};
use ofd_storage::{
    Copies, Driver, Env, Error, ErrorKind, File, Full, LogOptions, LogState, Mirror, Mirrored, RealEnv,
    SegmentId, SinkFailure, recover,
};

use machine_support::{ALWAYS, document, path};
use mirror_support::{Machine, OPTIONS, alone, files, open, pair, try_open};

#[test]
fn both_copies_are_the_same_after_a_run() {
    let mut machine = Machine::new(1, SinkFailure::Stop);
    machine.fill(400, 700);
    assert_eq!(machine.step().copies, Copies::Whole);
    assert!(machine.log.reader().sealed_segments().len() > 3);
    let (local, mirror) = machine.close();
    assert_eq!(files(&local), files(&mirror));
    // And after a start that rewrites, seals and prepares.
    let (machine, report, seen) = open(local.power_cut(), mirror.power_cut());
    assert_eq!((seen.len(), report.damaged.len(), report.mirror.mended.len()), (400, 0, 0));
    assert_eq!(files(&machine.local), files(&machine.mirror));
    let (report, alone) = alone(&machine.mirror.power_cut());
    assert_eq!((alone, report.damaged.len()), (seen, 0));
}

#[test]
fn nothing_is_durable_before_both_have_answered() {
    let mut machine = Machine::new(1, SinkFailure::Stop);
    machine.fill(3, 10);
    let before = machine.step().durable;
    // The mirror's lane stands still.
    machine.mirror.set_knobs(|knobs| knobs.lane_moves = 1);
    let appended = machine.append(b"waits for the mirror");
    for _ in 0..20 {
        let progress = machine.rest();
        assert_eq!((progress.durable, progress.state), (before, LogState::Healthy));
        assert!(machine.local.is_durable(&path(appended.location.segment)));
    }
    machine.mirror.set_knobs(|knobs| knobs.lane_moves = 0);
    assert_eq!(machine.rest().durable, appended.lsn);
    assert!(machine.mirror.is_durable(&path(appended.location.segment)));
    // And the other way round.
    machine.local.set_knobs(|knobs| knobs.lane_moves = 1);
    let appended = machine.append(b"waits for the local disk");
    for _ in 0..20 {
        assert!(machine.rest().durable < appended.lsn);
    }
    assert!(machine.mirror.is_durable(&path(appended.location.segment)));
    machine.local.set_knobs(|knobs| knobs.lane_moves = 0);
    assert_eq!(machine.rest().durable, appended.lsn);
}

// Fails closed: who asked for two copies is not told that one is enough.
#[test]
fn a_mirror_that_fails_stops_the_log() {
    for fault in ["write", "sync", "read-only"] {
        let mut machine = Machine::new(1, SinkFailure::Stop);
        machine.fill(5, 100);
        let before = machine.step().durable;
        machine.mirror.set_knobs(|knobs| match fault {
            "write" => knobs.write_error = ALWAYS,
            "sync" => knobs.sync_error = ALWAYS,
            _ => (knobs.sync_error, knobs.turns_read_only) = (ALWAYS, ALWAYS),
        });
        let _ = machine.append(b"never acknowledged");
        let progress = machine.rest();
        assert_eq!((progress.state, progress.durable), (LogState::Failed, before), "{fault}");
        assert_eq!(machine.try_append(b"nothing more"), Err(Full::Closed));
        let told = machine.log.last_error().unwrap().to_string();
        assert!(told.contains("the mirror has failed"), "{told}");
        // Once the device is mended both copies are brought together.
        machine.mirror.set_knobs(|knobs| *knobs = SimKnobs::default());
        let (again, report, seen) = open(machine.local.kill(), machine.mirror.power_cut());
        assert!(seen.len() as u64 >= before.get(), "{fault}: {report:?}");
        assert_eq!(files(&again.local), files(&again.mirror), "{fault}");
    }
}

#[test]
fn a_log_that_may_degrade_goes_on_with_one_copy_and_says_so() {
    let mut machine = Machine::new(1, SinkFailure::Degrade);
    machine.fill(5, 100);
    assert_eq!(machine.step().copies, Copies::Whole);
    machine.mirror.set_knobs(|knobs| knobs.sync_error = ALWAYS);
    let appended = machine.append(b"on one copy");
    let progress = machine.rest();
    assert_eq!((progress.state, progress.durable), (LogState::Healthy, appended.lsn));
    assert_eq!(progress.copies, Copies::Degraded);
    machine.fill(300, 700);
    let syncs = machine.mirror.stats().poisoned_syncs;
    assert_eq!(syncs, 0, "a file whose sync failed is not synced again");
    // The device is as bad as before: the start degrades, too, and says so.
    machine.mirror.set_knobs(|knobs| knobs.write_error = ALWAYS);
    let (local, mirror) = (machine.local.power_cut(), machine.mirror.power_cut());
    assert!(try_open(local.clone(), mirror.clone(), SinkFailure::Stop).is_err());
    let (local, mirror) = (local.power_cut(), mirror.power_cut());
    let (mut machine, _, seen) = try_open(local, mirror, SinkFailure::Degrade).unwrap();
    assert_eq!((seen.len(), machine.step().copies), (306, Copies::Degraded));
    machine.fill(3, 10);
    // Mended: brought up to date before anything is acknowledged.
    machine.mirror.set_knobs(|knobs| *knobs = SimKnobs::default());
    let (mut machine, report, seen) = open(machine.local.power_cut(), machine.mirror.power_cut());
    assert_eq!((seen.len(), machine.step().copies), (309, Copies::Whole));
    assert!(report.mirror.copied.len() > 3, "{:?}", report.mirror);
    assert_eq!(files(&machine.local), files(&machine.mirror));
}

// Every record that was acknowledged is on either copy alone, whatever the power cut leaves of the two.
#[test]
fn after_a_power_cut_either_copy_alone_gives_every_acknowledged_record() {
    let mut cuts = 0;
    for seed in 0..150u64 {
        let mut machine = Machine::new(seed, SinkFailure::Stop);
        for env in [&machine.local, &machine.mirror] {
            env.set_knobs(|knobs| {
                (knobs.torn_sectors, knobs.names_in_any_order) = (seed % 2 == 0, seed % 3 == 0);
                knobs.lane_moves = [0, 30_000][(seed % 2) as usize];
            });
        }
        // The power of one machine, or of both, fails at some call.
        if seed % 3 < 2 {
            machine.local.cut_power_after(Some(1 + seed % 37));
        }
        if seed % 3 > 0 {
            machine.mirror.cut_power_after(Some(1 + seed % 23));
        }
        let mut acked = 0;
        for round in 0..60u8 {
            for at in 0..3 {
                let _ = machine.try_append(&[round, at].repeat(200 + usize::from(round)));
            }
            if round % 20 == 19 {
                machine.log.seal();
            }
            if round % 7 == 6 {
                machine.local.advance(OPTIONS.marker_after_us, 0);
                machine.mirror.advance(OPTIONS.marker_after_us, 0);
            }
            for _ in 0..2 {
                machine.queue.poll(&mut machine.completions);
                acked = machine.step().durable.get();
            }
        }
        cuts += u32::from(machine.local.is_off() || machine.mirror.is_off());
        let (local, mirror) = (machine.local.power_cut(), machine.mirror.power_cut());
        drop(machine.log);
        for env in [&local, &mirror] {
            env.set_knobs(|knobs| *knobs = SimKnobs::default());
        }
        if seed % 2 == 0 {
            // The data directory is gone for good: the mirror is the log.
            let (report, seen) = alone(&mirror);
            assert!(seen.len() as u64 >= acked && report.damaged.is_empty(), "seed {seed}: {report:?}");
        } else {
            let (machine, report, seen) = open(local, mirror);
            assert!(seen.len() as u64 >= acked && report.damaged.is_empty(), "seed {seed}: {report:?}");
            assert_eq!(files(&machine.local), files(&machine.mirror), "seed {seed}");
            let (_, alone) = alone(&machine.mirror.power_cut());
            assert_eq!(alone, seen, "seed {seed}");
        }
    }
    assert!(cuts > 100, "{cuts}");
}

// The start itself may be cut at any call, on either machine, and started again.
#[test]
fn a_power_cut_at_every_call_of_a_start_with_a_mirror_loses_nothing() {
    for of_mirror in [false, true] {
        for cut_at in 1.. {
            let mut machine = Machine::new(cut_at, SinkFailure::Stop);
            machine.fill(120, 700);
            machine.mirror.set_knobs(|knobs| knobs.lane_moves = 1);
            let _ = machine.append(b"not acknowledged");
            machine.rest();
            let (local, mirror) = (machine.local.kill(), machine.mirror.power_cut());
            drop(machine.log);
            mirror.set_knobs(|knobs| knobs.lane_moves = 0);
            let cut = if of_mirror { &mirror } else { &local };
            cut.cut_power_after(Some(cut_at));
            let started = try_open(local.clone(), mirror.clone(), SinkFailure::Stop);
            let survived = started.is_ok();
            drop(started);
            let (machine, report, seen) = open(local.power_cut(), mirror.power_cut());
            assert!(seen.len() >= 120 && report.damaged.is_empty(), "cut at call {cut_at}: {report:?}");
            assert_eq!(files(&machine.local), files(&machine.mirror), "cut at call {cut_at}");
            if survived {
                assert!(cut_at > 8, "{cut_at}");
                break;
            }
        }
    }
}

#[test]
fn a_flipped_bit_of_a_sealed_segment_is_mended_from_the_mirror() {
    let mut machine = Machine::new(1, SinkFailure::Stop);
    let first = machine.append(b"hit by a ray").location;
    machine.fill(300, 700);
    let (local, mirror) = machine.close();
    let good = files(&local);
    // In a payload, in a record's header, in a batch header, and in zeros behind a batch.
    for at in [first.offset as usize + 64, first.offset as usize + 17, 4096 + 9, 4096 + 64 + 80 + 40] {
        local.flip_bit(&path(first.segment), at * 8 + 3).unwrap();
    }
    let (machine, report, seen) = open(local.power_cut(), mirror.power_cut());
    assert_eq!((seen.len(), &seen[0][..]), (301, &b"hit by a ray"[..]));
    assert_eq!((report.damaged.len(), report.mirror.mended), (0, vec![first.segment]));
    assert_eq!(files(&machine.local)[..3], good[..3]);
    assert!(machine.local.is_durable(&path(first.segment)));
}

// While the log runs: the record is served from the mirror, and a scrub makes the segment whole again.
#[test]
fn a_running_log_reads_around_damage_and_mends_it() {
    let mut machine = Machine::new(1, SinkFailure::Stop);
    let hit = machine.append(b"hit by a ray").location;
    machine.fill(300, 700);
    let good = files(&machine.local);
    machine.local.flip_bit(&path(hit.segment), (hit.offset as usize + 64) * 8).unwrap();
    let reader = machine.log.reader();
    assert_eq!(reader.read(hit).unwrap().record().payload(), b"hit by a ray");
    assert_eq!(reader.check_seal(hit.segment).unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(reader.mend(hit.segment).unwrap());
    assert!(!reader.mend(hit.segment).unwrap(), "nothing is left to do");
    reader.check_seal(hit.segment).unwrap();
    assert_eq!(files(&machine.local), good);
    assert_eq!(reader.read(hit).unwrap().record().payload(), b"hit by a ray");
}

// Nobody reads the mirror, and what rots there is missed when the local copy rots as well.
#[test]
fn rot_of_the_mirror_is_found_and_mended() {
    let mut machine = Machine::new(1, SinkFailure::Stop);
    machine.fill(300, 700);
    let good = files(&machine.mirror);
    let reader = machine.log.reader();
    let segments = reader.sealed_segments();
    let (bent, unreadable) = (segments[1].id, segments[2].id);
    let pass = || {
        let env = pair(&machine.local, &machine.mirror, SinkFailure::Stop);
        let options = ScrubOptions { once: true, rate: Some(u64::MAX), ..ScrubOptions::default() };
        let mut scrub = Scrub::new(env, machine.log.reader(), options);
        let mut found = Vec::new();
        loop {
            match scrub.step(machine.local.now()).unwrap() {
                ScrubStep::Wait(_) => {}
                ScrubStep::Found(finding) => found.push((finding.segment.unwrap(), finding.copy)),
                ScrubStep::Done(report) => return (found, report),
            }
        }
    };
    let (found, report) = pass();
    assert_eq!((found.len(), report.segments), (0, segments.len() as u64));
    let both: u64 = segments.iter().map(|segment| 2 * segment.used).sum();
    assert!(report.bytes >= both, "{} bytes were read of {both} in two copies", report.bytes);
    machine.mirror.flip_bit(&path(bent), 30_001 * 8).unwrap();
    machine.mirror.spoil_sector(&path(unreadable), 20_000).unwrap();
    let (found, report) = pass();
    assert_eq!((found, report.damaged), (vec![(bent, true), (unreadable, true)], 2));
    for id in [bent, unreadable] {
        assert!(reader.mend_copy(id).unwrap());
    }
    assert_eq!(pass().0, []);
    assert_eq!(files(&machine.mirror), good);
    // A damaged segment is no help.
    machine.local.flip_bit(&path(bent), 40_001 * 8).unwrap();
    assert!(!reader.mend_copy(bent).unwrap());
    assert_eq!(files(&machine.mirror), good);
}

// Both rot, not in the same place: each gives what the other lost.
#[test]
fn two_damaged_copies_make_a_whole_one() {
    let mut machine = Machine::new(1, SinkFailure::Stop);
    let places: Vec<_> = (0..120u8)
        .map(|at| {
            let place = machine.append(&[at; 300]).location;
            machine.rest();
            place
        })
        .collect();
    machine.log.seal();
    machine.rest();
    let (local, mirror) = machine.close();
    local.flip_bit(&path(places[3].segment), (places[3].offset as usize + 70) * 8).unwrap();
    mirror.flip_bit(&path(places[9].segment), (places[9].offset as usize + 70) * 8).unwrap();
    let (_machine, report, seen) = open(local.power_cut(), mirror.power_cut());
    assert_eq!((seen.len(), report.damaged.len(), report.mirror.mended), (120, 0, vec![places[3].segment]));
}

// The last write is acknowledged and nothing on the local disk proves it yet: alone, recovery would cut it.
#[test]
fn damage_in_the_unproven_write_costs_nothing_with_a_mirror() {
    let mut machine = Machine::new(1, SinkFailure::Stop);
    machine.fill(3, 100);
    let hit = machine.append(b"acknowledged, and proven by nothing");
    assert_eq!(machine.rest().durable, hit.lsn);
    let at = hit.location.offset as usize + 70;
    {
        let (local, mirror) = (machine.local.kill(), machine.mirror.kill());
        local.flip_bit(&path(hit.location.segment), at * 8).unwrap();
        let (again, report, seen) = open(local, mirror);
        assert_eq!((seen.len(), report.cut, report.damaged.len()), (4, None, 0), "{report:?}");
        assert_eq!(report.mirror.mended.len(), 1);
        drop(again);
    }
}

// Wherever it lies, also where nobody could tell whether the log goes on in it.
#[test]
fn a_sector_of_the_open_segment_that_cannot_be_read_comes_from_the_mirror() {
    let mut machine = Machine::new(1, SinkFailure::Stop);
    machine.fill(20, 700);
    let Machine { local, mirror, log, queue, .. } = machine;
    drop((log, queue));
    let (local, mirror) = (local.power_cut(), mirror.power_cut());
    for at in (0..OPTIONS.segment_len as usize).step_by(512) {
        let (local, mirror) = (local.fork(), mirror.fork());
        local.spoil_sector(&path(SegmentId::new(1)), at).unwrap();
        let (machine, report, seen) = open(local, mirror);
        assert_eq!((seen.len(), report.damaged.len(), report.cut), (20, 0, None), "byte {at}: {report:?}");
        assert_eq!(report.mirror.mended, [SegmentId::new(1)], "byte {at}");
        assert_eq!(files(&machine.local), files(&machine.mirror), "byte {at}");
    }
    // The mirror's copy is not written over while it may hold more than the local one.
    mirror.spoil_sector(&path(SegmentId::new(1)), 40_000).unwrap();
    let error = try_open(local, mirror, SinkFailure::Stop).err().unwrap();
    assert!(error.is_storage_fault(), "{error}");
}

// The log went on without it, so its zeros say nothing of what was acknowledged meanwhile.
#[test]
fn the_zeros_of_a_mirror_that_was_away_are_not_taken_for_the_end_of_the_log() {
    let mut machine = Machine::new(1, SinkFailure::Degrade);
    machine.fill(6, 700);
    machine.mirror.set_knobs(|knobs| knobs.write_error = u32::MAX);
    let mut last = machine.append(&[7; 700]);
    for at in 0..12u8 {
        last = machine.append(&[at; 700]);
        machine.rest();
    }
    assert_eq!((machine.log.durable(), machine.step().copies), (last.lsn, Copies::Degraded));
    let Machine { local, mirror, log, queue, .. } = machine;
    drop((log, queue));
    let (local, mirror) = (local.power_cut(), mirror.power_cut());
    mirror.set_knobs(|knobs| *knobs = SimKnobs::default());
    let (mut opened, mut mended) = (0, 0);
    for at in (0..OPTIONS.segment_len as usize).step_by(512) {
        let (local, mirror) = (local.fork(), mirror.fork());
        local.spoil_sector(&path(SegmentId::new(1)), at).unwrap();
        match try_open(local, mirror, SinkFailure::Degrade) {
            Ok((_, report, seen)) => {
                let named: u64 = report.damaged.iter().map(|hit| hit.last.get() - hit.first.get() + 1).sum();
                assert_eq!(seen.len() as u64 + named, last.lsn.get(), "byte {at}: {report:?}");
                (opened, mended) = (opened + 1, mended + report.mirror.mended.len());
            }
            Err(error) => assert!(error.is_storage_fault(), "byte {at}: {error}"),
        }
    }
    assert!(opened > 20 && mended > 5, "{opened} {mended}");
    // Beside another place that the mirror can mend.
    local.flip_bit(&path(SegmentId::new(1)), 4096 * 8 + 700).unwrap();
    local.spoil_sector(&path(SegmentId::new(1)), last.location.offset as usize).unwrap();
    let error = try_open(local, mirror, SinkFailure::Degrade).err().unwrap();
    assert!(error.is_storage_fault(), "{error}");
}

// It had given back what it did not use; the mirror's copy is as long as it was, and has no footer yet.
#[test]
fn a_short_segment_whose_footer_cannot_be_read_comes_from_the_mirror() {
    let mut machine = Machine::new(1, SinkFailure::Stop);
    machine.fill(20, 700);
    machine.log.seal();
    machine.fill(1, 700);
    let sealed = machine.log.reader().sealed_segments()[0];
    let (local, mirror) = machine.close();
    let (local, mirror) = (local.power_cut(), mirror.power_cut());
    let copy = mirror.open(&path(sealed.id)).unwrap();
    copy.set_len(sealed.used).unwrap();
    copy.set_len(OPTIONS.segment_len).unwrap();
    copy.sync_all().unwrap();
    for at in [0, 2048] {
        local.spoil_sector(&path(sealed.id), sealed.used as usize + at).unwrap();
    }
    let (_, report, seen) = open(local, mirror);
    assert_eq!((seen.len(), report.damaged.len()), (21, 0), "{report:?}");
    assert_eq!(report.mirror.mended, [sealed.id]);
}

// Going on with one copy is about the mirror's device. What fails here while the mirror mends would leave the damage for good.
#[test]
fn a_local_fault_over_mending_is_no_reason_to_go_on_without_the_mirror() {
    for call in 0..3 {
        let mut machine = Machine::new(1, SinkFailure::Degrade);
        let hit = machine.append(b"hit by a ray").location;
        machine.rest();
        let (local, mirror) = (machine.local.kill(), machine.mirror.kill());
        drop((machine.log, machine.queue));
        local.flip_bit(&path(hit.segment), (hit.offset as usize + 70) * 8).unwrap();
        local.set_knobs(|knobs| knobs.fail_name_call = Some(call));
        let refused = try_open(local.clone(), mirror.clone(), SinkFailure::Degrade).err();
        assert!(refused.is_some_and(|error| error.is_storage_fault()), "call {call}");
        let (_, report, seen) = open(local.kill(), mirror.kill());
        assert_eq!((seen.len(), report.damaged.len(), report.cut), (1, 0, None), "call {call}: {report:?}");
    }
}

#[test]
fn an_empty_data_directory_beside_a_full_mirror_is_refused() {
    for failure in [SinkFailure::Stop, SinkFailure::Degrade] {
        let mut machine = Machine::new(1, failure);
        machine.fill(200, 700);
        let (_, mirror) = machine.close();
        let mirror = mirror.power_cut();
        let kept = files(&mirror);
        // Another disk where the data directory was.
        let empty = SimEnv::new(9, SimKnobs::default());
        let error = try_open(empty.clone(), mirror.clone(), failure).err().unwrap();
        let told = error.to_string();
        assert!(told.contains("copy the mirror's `log` folder into it"), "{told}");
        assert_eq!((error.kind(), files(&mirror)), (ErrorKind::Fix, kept), "the mirror was touched");
        assert!(files(&empty).is_empty(), "a new log was begun");
    }
}

#[test]
fn a_data_directory_that_lost_a_segment_is_refused_with_advice() {
    // The first one, and one in the middle.
    for lost in [1, 3] {
        let mut machine = Machine::new(1, SinkFailure::Degrade);
        machine.fill(400, 700);
        let (local, mirror) = machine.close();
        let (local, mirror) = (local.power_cut(), mirror.power_cut());
        local.remove(&path(SegmentId::new(lost))).unwrap();
        local.sync_dir(Path::new("log")).unwrap();
        let kept = files(&mirror);
        let error = try_open(local.clone(), mirror.clone(), SinkFailure::Degrade).err().unwrap();
        let told = error.to_string();
        assert!(told.contains("copy the mirror's `log` folder in its place"), "{told}");
        assert_eq!((error.kind(), files(&mirror)), (ErrorKind::Corrupt, kept), "the mirror was touched");
        // And so it is done.
        let fresh = SimEnv::new(9, SimKnobs::default());
        fresh.create_dir_all(Path::new("log")).unwrap();
        for entry in mirror.list(Path::new("log")).unwrap() {
            let name = Path::new("log").join(&entry.name);
            let bytes = ofd_storage::env::read_file(&mirror, &name, 1 << 30).unwrap();
            ofd_storage::env::replace_file(&fresh, &name, &bytes).unwrap();
        }
        let (machine, report, seen) = open(fresh, mirror.kill());
        assert_eq!((seen.len(), report.damaged.len()), (400, 0));
        assert_eq!(files(&machine.local), files(&machine.mirror));
    }
}

// Segments that retention dropped while the mirror was away go from there, too, and its begin says so first.
#[test]
fn what_was_dropped_leaves_the_mirror_at_the_next_start() {
    let mut machine = Machine::new(1, SinkFailure::Stop);
    machine.fill(400, 700);
    let reader = machine.log.reader();
    let dropped: Vec<_> = reader.sealed_segments().into_iter().take(2).collect();
    let (local, mirror) = machine.close();
    let (local, mirror) = (local.power_cut(), mirror.power_cut());
    let begin = ofd_storage::Begin { through: dropped[1].last, ..ofd_storage::Begin::default() };
    begin.store(&local).unwrap();
    for segment in &dropped {
        local.remove(&path(segment.id)).unwrap();
    }
    local.sync_dir(Path::new("log")).unwrap();
    let (machine, report, seen) = open(local, mirror);
    assert_eq!((seen.len() as u64, report.mirror.set_aside.len()), (400 - dropped[1].last.get(), 0));
    assert_eq!(files(&machine.local), files(&machine.mirror));
    assert_eq!(ofd_storage::Begin::load(&machine.mirror).unwrap(), begin);
    let (_, alone) = alone(&machine.mirror.power_cut());
    assert_eq!(alone, seen);
}

#[test]
fn a_data_directory_that_lost_its_end_is_refused() {
    let mut machine = Machine::new(1, SinkFailure::Stop);
    machine.fill(150, 700);
    let (local, mirror) = machine.close();
    let (local, mirror) = (local.power_cut(), mirror.power_cut());
    let newest = files(&local).iter().rev().find(|(name, ..)| name.ends_with(".seg")).unwrap().0.clone();
    local.remove(&Path::new("log").join(newest)).unwrap();
    local.sync_dir(Path::new("log")).unwrap();
    let kept = files(&mirror);
    let error = try_open(local, mirror.clone(), SinkFailure::Stop).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Fix);
    assert!(error.to_string().contains("that were acknowledged"), "{error}");
    assert_eq!(files(&mirror), kept, "the mirror was touched");
}

// The old machine comes back after the mirror has been the log for a while.
#[test]
fn a_mirror_that_another_engine_wrote_to_is_refused() {
    let mut machine = Machine::new(1, SinkFailure::Stop);
    machine.fill(20, 700);
    let (local, mirror) = machine.close();
    let (local, mirror) = (local.power_cut(), mirror.power_cut());
    for (env, payload, count) in [(&mirror, b"the mirror as a log", 5), (&local, b"the old machine too", 9)] {
        let (mut log, _) = recover(Arc::new(env.clone()), OPTIONS, &mut |_, _| {}).unwrap();
        let mut queue = env.queue(Arc::new(|| {})).unwrap();
        let (mut ops, mut completions) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let _ = log.append(env.now(), document(&[payload])).unwrap();
            for _ in 0..4 {
                log.step(env.now(), &mut completions, &mut ops);
                ops.drain(..).for_each(|op| queue.submit(op));
                queue.poll(&mut completions);
            }
        }
        log.shutdown();
        for _ in 0..9 {
            log.step(env.now(), &mut completions, &mut ops);
            ops.drain(..).for_each(|op| queue.submit(op));
            queue.poll(&mut completions);
        }
    }
    let (local, mirror) = (local.power_cut(), mirror.power_cut());
    let kept = files(&mirror);
    let error = try_open(local, mirror.clone(), SinkFailure::Stop).err().unwrap();
    assert!(error.to_string().contains("written to by another engine"), "{error}");
    assert_eq!((error.kind(), files(&mirror)), (ErrorKind::Fix, kept));
}

#[test]
fn a_mirror_belongs_to_one_engine() {
    let machine = Machine::new(1, SinkFailure::Stop);
    let other = SimEnv::new(7, SimKnobs::default());
    let error = try_open(other, machine.mirror.clone(), SinkFailure::Stop).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy);
}

#[test]
fn a_full_mirror_makes_the_log_wait_and_space_lets_it_go_on() {
    let mut machine = Machine::new(1, SinkFailure::Stop);
    machine.fill(3, 100);
    machine.mirror.set_knobs(|knobs| knobs.space = Some(150_000));
    let mut deferred = false;
    for _ in 0..400 {
        while machine.try_append(&[5; 600]).is_ok() {}
        let progress = machine.rest();
        assert_eq!(progress.state, LogState::Healthy);
        deferred |= progress.deferring;
    }
    assert!(deferred);
    let taken = machine.log.next_lsn().prev();
    assert!(machine.step().durable < taken);
    machine.mirror.set_knobs(|knobs| knobs.space = None);
    machine.local.advance(OPTIONS.prepare_retry_us, 0);
    let progress = machine.rest();
    assert_eq!((progress.durable, progress.deferring), (taken, false));
}

// Two segments stand ready here, and a start needs one: the other is made there when there is room.
#[test]
fn a_start_beside_a_mirror_without_room_for_a_segment_that_it_does_not_need() {
    let Machine { local, mirror, .. } = Machine::new(1, SinkFailure::Stop);
    let (local, mirror) = (local.power_cut(), mirror.power_cut());
    assert!(mirror.take_away(&path(SegmentId::new(2))).is_some());
    mirror.set_knobs(|knobs| knobs.space = Some(100_000));
    let (mut machine, ..) = open(local, mirror);
    machine.fill(3, 100);
    machine.mirror.set_knobs(|knobs| knobs.space = None);
    machine.local.advance(OPTIONS.prepare_retry_us, 0);
    machine.fill(100, 700);
}

// Real threads, real files: the lanes of both devices and the bell between them.
#[test]
fn two_real_directories_are_the_same_after_a_run() {
    let (dir, beside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let further = Mirror { env: Arc::new(RealEnv::new(beside.path())), failure: SinkFailure::Stop };
    let env: Arc<dyn Env> = Arc::new(Mirrored::new(Arc::new(RealEnv::new(dir.path())), further));
    for life in 1..4u64 {
        let mut count = 0;
        let (log, report) = recover(Arc::clone(&env), OPTIONS, &mut |_, _| count += 1).unwrap();
        assert_eq!((count, report.damaged.len()), ((life - 1) * 1_500, 0));
        let mut driver = Driver::new(Arc::clone(&env), log).unwrap();
        for at in 0..1_500u64 {
            let _ = driver.append(document(&[&at.to_le_bytes().repeat(1 + (at % 80) as usize)])).unwrap();
            if at % 11 == 0 {
                driver.commit().unwrap();
            }
        }
        driver.commit().unwrap();
        driver.shutdown().unwrap();
        assert_eq!(files(&RealEnv::new(dir.path())), files(&RealEnv::new(beside.path())), "life {life}");
    }
    let mut count = 0;
    recover(Arc::new(RealEnv::new(beside.path())), OPTIONS, &mut |_, _| count += 1).unwrap();
    assert_eq!(count, 4_500);
}

/// The real machine on a device whose syncs take a while; its two lanes are threads, as those of the real one.
#[derive(Clone)]
struct Slow {
    real: RealEnv,
    sync: std::time::Duration,
}

struct SlowFile(Arc<dyn File>, std::time::Duration);

impl File for SlowFile {
    fn sync(&self) -> Result<(), Error> {
        std::thread::sleep(self.1);
        self.0.sync()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        self.0.read_at(buffer, offset)
    }
    fn write_at(&self, parts: &[std::io::IoSlice<'_>], offset: u64) -> Result<usize, Error> {
        self.0.write_at(parts, offset)
    }
    fn sync_all(&self) -> Result<(), Error> {
        self.0.sync_all()
    }
    fn len(&self) -> Result<u64, Error> {
        self.0.len()
    }
    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.0.set_len(len)
    }
    fn map(&self) -> Result<bytes::Bytes, Error> {
        self.0.map()
    }
}

impl Slow {
    fn file(&self, file: Result<Arc<dyn File>, Error>) -> Result<Arc<dyn File>, Error> {
        file.map(|file| Arc::new(SlowFile(file, self.sync)) as Arc<dyn File>)
    }
}

impl Env for Slow {
    ofd_storage::forward_env!(real: open_read queue now random spawn rename remove remove_dir list sync_dir create_dir_all exists lock free_bytes);

    fn open(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        self.file(self.real.open(path))
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        self.file(self.real.create(path))
    }
}

// Both devices work at the same time: a commit takes as long as the slower one.
#[test]
fn a_commit_takes_the_longer_of_two_syncs_and_not_their_sum() {
    let (dir, beside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sync = std::time::Duration::from_millis(60);
    let slow = |dir: &Path| Slow { real: RealEnv::new(dir), sync };
    let further = Mirror { env: Arc::new(slow(beside.path())), failure: SinkFailure::Stop };
    let env: Arc<dyn Env> = Arc::new(Mirrored::new(Arc::new(slow(dir.path())), further));
    // Segments are long enough that every file of the run is one that recovery or `open` gave out: a slow one.
    let options = LogOptions { segment_len: 1 << 20, ..OPTIONS };
    let (log, _) = recover(Arc::clone(&env), options, &mut |_, _| {}).unwrap();
    let mut driver = Driver::new(env, log).unwrap();
    let mut times: Vec<_> = (0..15)
        .map(|_| {
            let begin = std::time::Instant::now();
            let _ = driver.append(document(&[b"a lone record"])).unwrap();
            driver.commit().unwrap();
            begin.elapsed()
        })
        .collect();
    times.sort();
    // The fastest third: the machine may be busy with other things, which makes no commit faster.
    assert!(times[0] >= sync, "{times:?}");
    assert!(times[4] < sync * 2, "{times:?}");
    driver.shutdown().unwrap();
}
