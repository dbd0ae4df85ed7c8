//! A batch that waits at the disk behind the write before it: begun if that one succeeds, and only then.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod machine_support;

use ofd_storage::{Appended, Env, LogState};

use machine_support::{Machine, open, path};

/// A batch in flight, and a closed one that waits behind it at the disk.
fn one_waits_at_the_disk(machine: &mut Machine) -> (Appended, Appended) {
    let _ = machine.append(b"before");
    machine.rest();
    let first = machine.append(b"in flight");
    machine.step();
    let second = machine.append(b"waits at the disk");
    machine.log.close_batch();
    machine.step();
    (first, second)
}

#[test]
fn a_closed_batch_waits_at_the_disk_and_proves_the_one_before_it() {
    let mut machine = Machine::new();
    let (first, second) = one_waits_at_the_disk(&mut machine);
    let before = machine.env.stats().syncs;
    let third = machine.append(b"filling");
    machine.disk();
    assert_eq!(machine.step().durable, first.lsn);
    assert_eq!(machine.env.stats().syncs - before, 1);
    machine.disk();
    assert_eq!(machine.env.stats().syncs - before, 2);
    // Nobody has heard of the second write; on the disk it proves the first one as any other would, and a start writes again what
    // only the newest write proves.
    let (_machine, report, seen) = open(machine.env.power_cut());
    assert_eq!(seen, [&b"before"[..], b"in flight", b"waits at the disk"]);
    assert_eq!(report.rewritten, 2);
    assert!(report.damaged.is_empty() && third.lsn > second.lsn);
}

#[test]
fn two_writes_may_end_in_one_step() {
    let mut machine = Machine::new();
    let (_, second) = one_waits_at_the_disk(&mut machine);
    machine.disk();
    machine.disk();
    assert_eq!(machine.completions.len(), 2);
    assert_eq!(machine.step().durable, second.lsn);
}

#[test]
fn a_write_that_waits_behind_a_failed_one_is_not_begun() {
    let mut machine = Machine::new();
    let (first, second) = one_waits_at_the_disk(&mut machine);
    machine.faults(|knobs| knobs.fail_next_syncs = 1);
    machine.disk();
    machine.faults(|knobs| knobs.fail_next_syncs = 0);
    machine.disk();
    let (path, at) = (path(second.location.segment), second.location.offset);
    let mut there = [1; 16];
    let read = machine.env.open_read(&path).unwrap().read_at(&mut there, u64::from(at)).unwrap();
    assert_eq!((read, there), (16, [0; 16]));
    assert_eq!(machine.step().state, LogState::Rewriting);
    let progress = machine.rest();
    assert_eq!((progress.state, progress.durable), (LogState::Healthy, second.lsn));
    let reader = machine.log.reader();
    for (appended, payload) in [(first, &b"in flight"[..]), (second, b"waits at the disk")] {
        assert_eq!(reader.read(appended.location).unwrap().record().payload(), payload);
    }
    // And again, of another run.
    let (_, second) = one_waits_at_the_disk(&mut machine);
    assert_eq!(machine.rest().durable, second.lsn);
    let found = machine.log.reader().read(second.location).unwrap();
    assert_eq!(found.record().segment(), second.location.segment, "it was not written again");
}

#[test]
fn a_write_that_fails_behind_another_moves_both() {
    let mut machine = Machine::new();
    let (first, second) = one_waits_at_the_disk(&mut machine);
    machine.disk();
    assert_eq!(machine.step().durable, first.lsn);
    let third = machine.append(b"filling");
    let progress = machine.fail_one_sync();
    assert_eq!((progress.state, progress.durable), (LogState::Rewriting, first.lsn));
    assert_eq!(machine.rest().durable, third.lsn);
    let (_machine, report, seen) = open(machine.env.power_cut());
    assert_eq!(seen, [&b"before"[..], b"in flight", b"waits at the disk", b"filling"]);
    assert!(report.damaged.is_empty() && second.lsn > first.lsn);
}
