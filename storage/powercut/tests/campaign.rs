//! A small campaign of power cuts, so that `cargo test` has met the kernel's own ext4. Says aloud where it cannot.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::io::Write;
use std::process::Command;

// The promise of the house on a real file system; the controls inside must lose, or the run fails too.
#[test]
fn a_power_cut_on_real_ext4_loses_nothing_acknowledged() {
    let campaign = Command::new(env!("CARGO_BIN_EXE_ofd-powercut"))
        .args(["--cuts", "30", "--control-cuts", "5", "--seconds", "30", "--seconds-max", "200"])
        .output()
        .unwrap();
    // Past the capture of the harness: whether it was skipped should be seen.
    std::io::stderr().write_all(&campaign.stderr).unwrap();
    std::io::stderr().write_all(&campaign.stdout).unwrap();
    assert!(campaign.status.success(), "promises were broken");
}
