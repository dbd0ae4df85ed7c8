//! Power cuts and a bad sector, so that `cargo test` has met the kernel's own ext4. Says aloud where it cannot.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::io::Write;
use std::process::Command;

fn run(arguments: &[&str]) {
    let run = Command::new(env!("CARGO_BIN_EXE_ofd-powercut")).args(arguments).output().unwrap();
    // Past the capture of the harness: whether it was skipped should be seen.
    std::io::stderr().write_all(&run.stderr).unwrap();
    std::io::stderr().write_all(&run.stdout).unwrap();
    assert!(run.status.success(), "promises were broken: {}", run.status);
}

// The promise of the house on a real file system; the controls inside must lose, or the run fails too.
#[test]
fn a_power_cut_on_real_ext4_loses_nothing_acknowledged() {
    run(&["--cuts", "30", "--control-cuts", "5", "--seconds", "30", "--seconds-max", "200"]);
}

// Read through a map, it is a SIGBUS: one bad sector of an old segment would end the service of all registers.
#[test]
fn a_bad_sector_under_a_map_is_damage_and_no_death() {
    run(&["--bad-sector", "--seconds-max", "100"]);
}
