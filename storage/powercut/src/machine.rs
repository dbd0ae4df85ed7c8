//! The machine around the disk: FUSE mount, loop device, ext4. Everything goes away when it is dropped.
//!
//! The process runs in a mount namespace of its own and under a parent that detaches the loop device: even a kill
//! leaves nothing behind (see `main.rs`).

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::disk::Disk;
use crate::fuse::{IMAGE_NAME, Image};

/// Where the parent finds the name of the loop device.
pub(crate) const LOOP_NAME: &str = "loop";

/// Where the parent finds the number of the FUSE connection.
const CONNECTION_NAME: &str = "connection";

/// A disk under a loop device, not mounted yet.
pub(crate) struct Machine {
    disk: Arc<Disk>,
    mount_point: PathBuf,
    device: String,
    // Dropped last: the loop device stands on it.
    session: Option<fuser::BackgroundSession>,
}

/// A mounted file system.
pub(crate) struct Mounted<'a> {
    machine: &'a Machine,
    open: bool,
}

fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("{program} does not start"))?;
    if !output.status.success() {
        bail!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Ends the FUSE connection of a child that hangs, from outside: its reads and writes fail then, and it can be
/// killed.
pub(crate) fn abort(dir: &Path) {
    let control = dir.join("control");
    let Ok(connection) = std::fs::read_to_string(dir.join(CONNECTION_NAME)) else { return };
    let mounted = std::fs::create_dir_all(&control).is_ok()
        && mount("none", &control, "fusectl", MountFlags::empty(), None).is_ok();
    if mounted {
        let _ = std::fs::write(control.join(connection).join("abort"), "1");
        let _ = unmount(&control, UnmountFlags::DETACH);
    }
}

impl Machine {
    /// Brings the disk up as a block device, with its places under `dir`.
    pub(crate) fn new(dir: &Path, disk: Arc<Disk>) -> Result<Self> {
        let (fuse_point, mount_point) = (dir.join("fuse"), dir.join("ext4"));
        std::fs::create_dir_all(&fuse_point)?;
        std::fs::create_dir_all(&mount_point)?;
        let mut config = fuser::Config::default();
        config.mount_options = vec![fuser::MountOption::FSName("ofd-powercut".to_owned())];
        let session =
            fuser::spawn_mount(Image(Arc::clone(&disk)), &fuse_point, &config).context("mount of FUSE")?;
        let connection = rustix::fs::minor(std::fs::metadata(&fuse_point)?.dev());
        std::fs::write(dir.join(CONNECTION_NAME), connection.to_string())?;
        let image = fuse_point.join(IMAGE_NAME);
        let image = image.to_str().context("a path that is no text")?;
        let mut machine = Self { disk, mount_point, device: String::new(), session: Some(session) };
        machine.device = run("losetup", &["--show", "--find", "--direct-io=on", image])?;
        std::fs::write(dir.join(LOOP_NAME), &machine.device)?;
        let name = machine.device.trim_start_matches("/dev/");
        let direct = std::fs::read_to_string(format!("/sys/block/{name}/loop/dio")).unwrap_or_default();
        if direct.trim() != "1" {
            bail!("{} does not write directly: its flushes would not be ours", machine.device);
        }
        Ok(machine)
    }

    pub(crate) fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }

    /// Makes an empty ext4 of 4 KiB blocks with a small journal, on zeros.
    pub(crate) fn make_file_system(&self) -> Result<()> {
        run(
            "mkfs.ext4",
            &[
                "-q",
                "-F",
                "-b",
                "4096",
                "-J",
                "size=4",
                "-E",
                "nodiscard,lazy_itable_init=0,lazy_journal_init=0",
                &self.device,
            ],
        )?;
        Ok(())
    }

    /// Mounts it, journal recovery included.
    pub(crate) fn mount(&self) -> Result<Mounted<'_>> {
        mount(&*self.device, &self.mount_point, "ext4", MountFlags::NOATIME, c"commit=1")
            .with_context(|| format!("ext4 on {} does not mount", self.device))?;
        Ok(Mounted { machine: self, open: true })
    }
}

impl Mounted<'_> {
    /// The root of the file system.
    pub(crate) fn path(&self) -> &Path {
        &self.machine.mount_point
    }

    /// Unmounts; everything opened below must be closed.
    pub(crate) fn unmount(mut self) -> Result<()> {
        self.open = false;
        unmount(self.path(), UnmountFlags::empty()).context("ext4 does not unmount")
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        if self.open {
            let _ = unmount(self.path(), UnmountFlags::DETACH);
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if !self.device.is_empty() {
            let _ = run("losetup", &["--detach", &self.device]);
        }
        // The session unmounts when dropped; lazily, should the loop device still hold on to the image.
        drop(self.session.take());
    }
}
