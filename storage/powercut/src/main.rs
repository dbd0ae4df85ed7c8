//! Power cuts of the real log on the kernel's own ext4.
//!
//! ```text
//! the log (RealEnv) ─▶ ext4 ─▶ /dev/loopN (direct I/O) ─▶ FUSE ─▶ this process: every write and flush, in order,
//!        └────────── marks: appended, acknowledged ──────────────────▶ in the same log
//! a cut: all writes up to the last flush, of those behind it nothing, a subset, or a subset and a torn sector
//!        ─▶ mount (journal recovery) ─▶ `recover` ─▶ every acknowledged record once, in its place, byte for byte
//! ```
//!
//! `cargo run --release -p ofd-powercut -- --cuts 5000 --seed 1`. Root, `/dev/fuse`, loop devices and ext4 are needed;
//! without them it says so, and that it was skipped. One in four images is cut once more while it recovers. The
//! negative control, the same code over an `Env` that swallows every sync, must lose.
//!
//! The work is done by a child in a mount namespace of its own, so that no mount outlives it; this process detaches
//! the loop device whatever has become of the child.

#![deny(unsafe_code)]

mod campaign;
mod check;
mod cut;
mod disk;
mod fuse;
mod lossy;
mod machine;
mod rng;
mod sector;
mod tool;
mod workload;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Parser;

use crate::disk::Disk;
use crate::lossy::Syncs;
use crate::machine::{LOOP_NAME, Machine};

/// Length of the disk, bytes. Small, so that an image is mounted and read in milliseconds.
const DISK_LEN: u64 = 64 << 20;

/// Power cuts of the log, replayed on real ext4.
#[derive(Parser)]
struct Options {
    /// Cuts through runs with syncs: nothing acknowledged may be lost.
    #[arg(long, default_value_t = 300)]
    cuts: u64,
    /// Cuts through runs without any sync, and through runs without syncs of batches: some of each must lose.
    #[arg(long, default_value_t = 20)]
    control_cuts: u64,
    /// Instead of cuts: a sector that cannot be read, under every way of reading the log.
    #[arg(long)]
    bad_sector: bool,
    /// The tool `ofd`: the bad sector is put under it, too.
    #[arg(long)]
    ofd: Option<PathBuf>,
    /// Decides the runs' shape and where they are cut. The order in which threads reach the disk is the kernel's.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A campaign ends early after this time, seconds; its totals say how far it came.
    #[arg(long, default_value_t = 3600)]
    seconds: u64,
    /// The child is stopped after this time, seconds: a kernel that waits for a file system that waits for it would
    /// stand for ever.
    #[arg(long, default_value_t = 6 * 3600)]
    seconds_max: u64,
    /// Where the child works.
    #[arg(long, hide = true)]
    inside: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match &options.inside {
        Some(dir) => inside(dir, &options),
        None => outside(Duration::from_secs(options.seconds_max)),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("powercut: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What is missing on this machine.
fn missing() -> Option<&'static str> {
    let there = |program: &str| {
        let dirs = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&dirs).any(|dir| dir.join(program).exists())
    };
    if !rustix::process::geteuid().is_root() {
        Some("root")
    } else if !Path::new("/dev/fuse").exists() {
        Some("/dev/fuse")
    } else if !Path::new("/dev/loop-control").exists() {
        Some("/dev/loop-control")
    } else {
        ["losetup", "mkfs.ext4", "unshare"].into_iter().find(|program| !there(program))
    }
}

/// Starts the child, waits, and cleans up behind it.
fn outside(at_most: Duration) -> Result<ExitCode> {
    if let Some(what) = missing() {
        eprintln!("skipped: power cuts on real ext4 need {what}, which is not here");
        return Ok(ExitCode::SUCCESS);
    }
    let dir = std::env::temp_dir().join(format!("ofd-powercut-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let mut child = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--"])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .arg("--inside")
        .arg(&dir)
        .spawn()
        .context("unshare does not start")?;
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if began.elapsed() > at_most {
            eprintln!("powercut: stopped after {at_most:?}");
            machine::abort(&dir);
            let _ = child.kill();
            break child.wait()?;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    // A child that ended well has done this itself.
    if let Ok(device) = std::fs::read_to_string(dir.join(LOOP_NAME)) {
        let _ = Command::new("losetup").args(["--detach", &device]).output();
    }
    let _ = std::fs::remove_dir_all(&dir);
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn inside(dir: &Path, options: &Options) -> Result<ExitCode> {
    let machine = Machine::new(dir, Arc::new(Disk::new(DISK_LEN)))?;
    if options.bad_sector {
        println!("{}", sector::run(&machine)?);
        if let Some(ofd) = &options.ofd {
            println!("{}", tool::run(&machine, dir, ofd)?);
        }
    } else {
        cut(&machine, options)?;
    }
    drop(machine);
    // The parent looks for it.
    let _ = std::fs::remove_file(dir.join(LOOP_NAME));
    Ok(ExitCode::SUCCESS)
}

fn cut(machine: &Machine, options: &Options) -> Result<()> {
    let seed = options.seed;
    let at_most = Duration::from_secs(options.seconds);
    if options.control_cuts > 0 {
        for (name, syncs) in
            [("without any sync", Syncs::None), ("without syncs of batches", Syncs::NoneOfData)]
        {
            let control = campaign::run(machine, options.control_cuts, at_most, seed, syncs)?;
            let (broken, images) = (control.broken_images(), control.images());
            println!("control {name}: {broken} of {images} images lose | {}", control.broken());
            if broken == 0 {
                bail!("a run {name} loses nothing: this test would not notice");
            }
        }
    }
    if options.cuts > 0 {
        let totals = campaign::run(machine, options.cuts, at_most, seed, Syncs::Asked)?;
        println!("{}", totals.line(seed));
        if totals.broken_images() > 0 {
            bail!("{} images broke a promise", totals.broken_images());
        }
    }
    Ok(())
}
