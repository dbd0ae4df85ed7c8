//! A machine that lies (feature `testing`): the [`Env`] of the simulation.
//!
//! One seed makes one execution: clock, randomness, the order in which the two disk lanes get on, and every
//! fault come from it, and [`SimEnv::trace_hash`] is equal for equal seeds. What can go wrong:
//!
//! - power cuts at any call (any subset of unsynced sectors of 512 or 4096 bytes, torn sectors, lost names), also all of
//!   them one after another ([`SimEnv::power_cut_by`]); killed processes (the page cache stays);
//! - syncs that fail: the pages keep their content, or revert, or the error comes to the next caller only;
//! - a device that lies: syncs that do nothing, writes that go nowhere or elsewhere. [`SimEnv::lied`] tells
//!   whether a power cut could now take what a sync has promised;
//! - EIO of creating, renaming and removing files and of syncing directories, and ENOSPC where it can come;
//! - EIO of writes and reads, short writes and reads, sectors that cannot be read, a device that turns read-only, a full
//!   disk, stalls, sectors that reach the device before anyone asks;
//! - flipped bits, and an operator who takes files away.
//!
//! A [`SimEnv`] is the view of one process. [`SimEnv::power_cut`] and [`SimEnv::kill`] end it and give the
//! view of the next; whoever still holds the old one gets errors. [`SimEnv::fork`] copies the whole machine.

mod disk;
mod knobs;

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustix::io::Errno;

use self::disk::{Astray, Disk, Picker, Rng, SECTOR_LEN, SyncFault};
pub use self::knobs::{SimKnobs, SimStats};
use crate::disk::{Completion, DiskOp, Lane, execute};
use crate::env::{DirEntry, DiskQueue, Env, File, LockGuard, Now, Task, Wake};
use crate::error::{Error, ErrorKind};

#[derive(Clone)]
struct World {
    rng: Rng,
    /// Of the faults of names, which older seeds have not.
    names: Rng,
    knobs: SimKnobs,
    disk: Disk,
    now: Now,
    /// The process that is alive.
    life: u64,
    off: bool,
    /// The power fails at this call.
    cut_at: Option<u64>,
    read_only: bool,
    /// Inodes whose next sync reports an error of the one before, and whether somebody relies on what it was about.
    late: Vec<(u64, bool)>,
    locks: BTreeMap<String, u64>,
    trace: u64,
    stats: SimStats,
}

/// The view that one process has of the simulated machine.
#[derive(Clone)]
pub struct SimEnv {
    world: Arc<Mutex<World>>,
    life: u64,
}

impl SimEnv {
    /// A new machine with an empty disk.
    pub fn new(seed: u64, knobs: SimKnobs) -> Self {
        let unit = usize::try_from(knobs.sector_len).unwrap_or(0);
        let world = World {
            rng: Rng::new(seed),
            names: Rng::new(!seed),
            knobs,
            disk: Disk::new(if unit == 0 { SECTOR_LEN } else { unit }),
            now: Now { wall_us: 1_700_000_000_000_000, mono_us: 1 },
            life: 1,
            off: false,
            cut_at: None,
            read_only: false,
            late: Vec::new(),
            locks: BTreeMap::new(),
            trace: seed,
            stats: SimStats::default(),
        };
        Self { world: Arc::new(Mutex::new(world)), life: 1 }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The world, if this process is still alive in it.
    fn alive(&self) -> Result<MutexGuard<'_, World>, Error> {
        let world = self.world();
        if world.off || world.life != self.life {
            return Err(Error::new(ErrorKind::Reopen, "this process is dead"));
        }
        Ok(world)
    }

    /// Changes what goes wrong from now on.
    pub fn set_knobs(&self, change: impl FnOnce(&mut SimKnobs)) {
        change(&mut self.world().knobs);
    }

    /// Lets time pass; the wall clock may be moved by another amount.
    pub fn advance(&self, mono_us: u64, wall_us: i64) {
        let mut world = self.world();
        world.now.mono_us = world.now.mono_us.saturating_add(mono_us);
        world.now.wall_us = world.now.wall_us.saturating_add(wall_us);
    }

    /// The power fails at the `calls`-th changing call from now on.
    pub fn cut_power_after(&self, calls: Option<u64>) {
        let mut world = self.world();
        world.cut_at = calls.map(|calls| world.stats.calls.saturating_add(calls));
    }

    /// Whether the power has failed.
    pub fn is_off(&self) -> bool {
        self.world().off
    }

    /// Cuts the power, if it has not failed yet, decides what the device holds, and starts again.
    #[must_use]
    pub fn power_cut(&self) -> Self {
        let mut world = self.world();
        let World { disk, rng, knobs, .. } = &mut *world;
        let (changed, torn) = disk.cut(knobs.names_in_any_order, knobs.torn_sectors, Picker::Chance(rng));
        world.stats.changed_sectors = world.stats.changed_sectors.saturating_add(changed);
        world.stats.torn_sectors = world.stats.torn_sectors.saturating_add(torn);
        self.after_cut(world)
    }

    /// The same, where `choices` decide sector by sector and name by name: with [`CutChoices::advance`] every outcome comes
    /// up once. On a copy of the machine.
    #[must_use]
    pub fn power_cut_by(&self, choices: &mut CutChoices) -> Self {
        let copy = self.fork();
        let mut world = copy.world();
        let subset = world.knobs.names_in_any_order;
        choices.at = 0;
        world.disk.cut(subset, false, Picker::Path(choices));
        copy.after_cut(world)
    }

    fn after_cut(&self, mut world: MutexGuard<'_, World>) -> Self {
        world.stats.power_cuts = world.stats.power_cuts.saturating_add(1);
        (world.off, world.read_only) = (false, false);
        world.late.clear();
        self.next_life(world)
    }

    /// The whole machine once more, as it is; what happens to one of the two from now on does not touch the other.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { world: Arc::new(Mutex::new(self.world().clone())), life: self.life }
    }

    /// Whether a power cut could now take what a sync has promised, because it lied.
    pub fn lied(&self) -> bool {
        let mut world = self.world();
        let World { disk, late, .. } = &mut *world;
        disk.names_lied || late.iter().any(|(_, counts)| *counts) || disk.inodes_mut().any(|inode| inode.lied)
    }

    /// Whether a sync has reported success for bytes that no later sync will bring, even if the error has been
    /// reported since: till they are written again elsewhere a power cut takes them.
    pub fn dropped(&self) -> bool {
        self.world().disk.inodes_mut().any(|inode| inode.dropped)
    }

    /// Nobody relies any more on what a sync has promised so far and not done: all that counts was written again.
    pub fn forgive(&self) {
        let mut world = self.world();
        world.late.iter_mut().for_each(|(_, counts)| *counts = false);
        world.disk.inodes_mut().for_each(|inode| (inode.lied, inode.dropped) = (false, false));
    }

    /// Kills the process; the page cache stays.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut world = self.world();
        world.disk.kill();
        world.stats.kills = world.stats.kills.saturating_add(1);
        self.next_life(world)
    }

    fn next_life(&self, mut world: MutexGuard<'_, World>) -> Self {
        world.life = world.life.saturating_add(1);
        world.cut_at = None;
        world.locks.clear();
        let life = world.life;
        world.note(&[99, life]);
        Self { world: Arc::clone(&self.world), life }
    }

    /// Hash over everything that happened: equal for equal seeds.
    pub fn trace_hash(&self) -> u64 {
        self.world().trace
    }

    /// What happened.
    pub fn stats(&self) -> SimStats {
        self.world().stats
    }

    fn with_inode<T>(&self, path: &Path, act: impl FnOnce(&mut disk::Inode) -> T) -> Result<T, Error> {
        let mut world = self.world();
        let inode = world.disk.lookup(&name_of(path));
        inode.and_then(|id| world.disk.inode_mut(id)).map(act).ok_or_else(|| not_found(path))
    }

    /// Flips one bit of a file, on the device and in the cache, until its byte is written again. Flipped twice it is
    /// right again.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn flip_bit(&self, path: &Path, bit: usize) -> Result<(), Error> {
        self.with_inode(path, |inode| inode.flip(bit))?;
        let mut world = self.world();
        world.stats.flipped_bits = world.stats.flipped_bits.saturating_add(1);
        Ok(())
    }

    /// Bytes of a file that have a flipped bit; none of a file that is not there.
    pub fn flipped_bytes(&self, path: &Path) -> Vec<usize> {
        self.with_inode(path, |inode| inode.rotten().collect()).unwrap_or_default()
    }

    /// The sector of this byte cannot be read until it is written.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn spoil_sector(&self, path: &Path, at: usize) -> Result<(), Error> {
        self.with_inode(path, |inode| inode.spoil(at))?;
        let mut world = self.world();
        world.stats.bad_sectors = world.stats.bad_sectors.saturating_add(1);
        Ok(())
    }

    /// Whether the file system has turned read-only after a fault, as [`SimKnobs::turns_read_only`] makes it.
    pub fn is_read_only(&self) -> bool {
        self.world().read_only
    }

    /// All sectors can be read, and the device written, again, and no error waits for the next caller; with
    /// `flipped_bits` these are right again, too.
    pub fn mend(&self, flipped_bits: bool) {
        let mut world = self.world();
        world.read_only = false;
        world.late.clear();
        world.disk.inodes_mut().for_each(|inode| inode.mend(flipped_bits));
    }

    /// An operator takes a file away, durably, and gets it to bring it back.
    pub fn take_away(&self, path: &Path) -> Option<TakenFile> {
        let inode = self.world().disk.take_away(&name_of(path))?;
        Some(TakenFile { path: path.to_owned(), inode })
    }

    /// Brings it back.
    pub fn bring_back(&self, taken: &TakenFile) {
        self.world().disk.bring_back(&name_of(&taken.path), taken.inode);
    }

    /// Whether nothing that a reader sees in this file could be taken by a power cut.
    pub fn is_durable(&self, path: &Path) -> bool {
        let world = self.world();
        let inode = world.disk.lookup(&name_of(path)).and_then(|id| world.disk.inode(id));
        inode.is_some_and(disk::Inode::is_durable)
    }
}

/// Maps that this process has made for buffers of batches: memory that no allocator counts.
pub fn buffers_mapped() -> u64 {
    crate::buffer::MAPPED.load(std::sync::atomic::Ordering::Relaxed)
}

/// A file that [`SimEnv::take_away`] took.
#[derive(Debug)]
pub struct TakenFile {
    path: PathBuf,
    inode: u64,
}

/// One of the outcomes of a power cut, as a row of decisions. Starts with the first one.
#[derive(Clone, Debug, Default)]
pub struct CutChoices {
    /// What was picked, out of how many.
    path: Vec<(usize, usize)>,
    at: usize,
}

impl CutChoices {
    fn pick(&mut self, n: usize) -> usize {
        let pick = match self.path.get(self.at) {
            Some((pick, _)) => *pick,
            None => {
                self.path.push((0, n));
                0
            }
        };
        self.at = self.at.saturating_add(1);
        pick
    }

    /// Goes on to the next outcome; false when all have been there.
    pub fn advance(&mut self) -> bool {
        while let Some((pick, n)) = self.path.pop() {
            let pick = pick.saturating_add(1);
            if pick < n {
                self.path.push((pick, n));
                return true;
            }
        }
        false
    }

    /// How many outcomes there are, as far as the decisions do not depend on each other.
    pub fn outcomes(&self) -> u64 {
        self.path.iter().fold(1u64, |product, (_, n)| product.saturating_mul(*n as u64))
    }
}

fn name_of(path: &Path) -> String {
    path.display().to_string()
}

fn not_found(path: &Path) -> Error {
    Error::io(format!("open {}", path.display()), Errno::NOENT.into())
}

fn fault(what: &str, errno: Errno) -> Error {
    Error::io(format!("{what} (simulated)"), errno.into())
}

impl World {
    /// Mixes an event into the trace.
    fn note(&mut self, event: &[u64]) {
        for word in event {
            self.trace = (self.trace ^ word).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(23);
        }
    }

    /// Counts a changing call; the power may fail at it.
    fn call(&mut self, kind: u64, detail: u64) -> Result<(), Error> {
        self.stats.calls = self.stats.calls.saturating_add(1);
        self.note(&[kind, detail]);
        if self.cut_at.is_some_and(|at| self.stats.calls >= at) {
            self.off = true;
            return Err(Error::new(ErrorKind::Reopen, "the power is off"));
        }
        Ok(())
    }

    fn writable(&mut self) -> Result<(), Error> {
        if self.read_only {
            self.stats.read_only = self.stats.read_only.saturating_add(1);
            return Err(fault("write", Errno::ROFS));
        }
        Ok(())
    }

    /// After a fault the file system may protect itself.
    fn after_fault(&mut self) {
        let rate = self.knobs.turns_read_only;
        if self.rng.chance(rate) {
            self.read_only = true;
        }
    }

    /// Whether a change of names fails, `rate` times in 65,536, and is done all the same.
    fn name_fault(&mut self, rate: impl Fn(&SimKnobs) -> u32, full: bool) -> Option<(Errno, bool)> {
        let told = self.knobs.fail_name_call == Some(0);
        self.knobs.fail_name_call = self.knobs.fail_name_call.and_then(|calls| calls.checked_sub(1));
        let rate = rate(&self.knobs);
        if !told && !self.names.chance(rate) {
            return None;
        }
        let errno = if full && self.names.below(3) == 0 { Errno::NOSPC } else { Errno::IO };
        self.after_fault();
        Some((errno, self.names.below(4) == 0))
    }

    /// One that goes through `change`, which is false where there is no such name.
    fn change_names(
        &mut self,
        path: &Path,
        fault_of: Option<(Errno, bool)>,
        change: impl FnOnce(&mut Disk) -> bool,
    ) -> Result<(), Error> {
        let done = fault_of.is_none_or(|(_, done)| done);
        if done && !change(&mut self.disk) {
            return Err(not_found(path));
        }
        match fault_of {
            None => Ok(()),
            Some((errno, _)) => {
                self.stats.name_errors = self.stats.name_errors.saturating_add(1);
                Err(fault("change a name", errno))
            }
        }
    }

    fn write(&mut self, id: u64, parts: &[IoSlice<'_>], offset: u64) -> Result<usize, Error> {
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let len = parts.iter().fold(0usize, |sum, part| sum.saturating_add(part.len()));
        let powered = self.call(1, offset ^ (len as u64).rotate_left(32));
        // What is written counts as much as where.
        for part in parts {
            self.note(&[u64::from(crc_fast::crc32_iscsi(part))]);
        }
        self.writable()?;
        let mut take = len;
        let mut refused = None;
        let fails = powered.is_ok() && self.knobs.fail_next_writes > 0;
        self.knobs.fail_next_writes = self.knobs.fail_next_writes.saturating_sub(u32::from(fails));
        if powered.is_err() || fails || self.rng.chance(self.knobs.write_error) {
            take = usize::try_from(self.rng.below(len as u64 + 1)).unwrap_or(0);
            refused = Some(Errno::IO);
        } else if len > 1 && self.rng.chance(self.knobs.short_write) {
            take = usize::try_from(self.rng.below(len as u64 - 1)).unwrap_or(0).saturating_add(1);
            self.stats.short_writes = self.stats.short_writes.saturating_add(1);
        }
        if let Some(space) = self.knobs.space {
            let used = self.disk.used();
            let cached = self.disk.inode(id).map_or(0, disk::Inode::len);
            let grows = (at.saturating_add(take) as u64).saturating_sub(cached as u64);
            if used.saturating_add(grows) > space {
                let free = usize::try_from(space.saturating_sub(used)).unwrap_or(usize::MAX);
                take = cached.saturating_sub(at).saturating_add(free).min(take);
                if take == 0 {
                    self.stats.full_disk = self.stats.full_disk.saturating_add(1);
                    return Err(fault("write", Errno::NOSPC));
                }
            }
        }
        self.put(id, parts, at, take);
        powered?;
        match refused {
            Some(errno) => {
                self.stats.write_errors = self.stats.write_errors.saturating_add(1);
                self.after_fault();
                Err(fault("write", errno))
            }
            None => Ok(take),
        }
    }

    fn put(&mut self, id: u64, parts: &[IoSlice<'_>], at: usize, take: usize) {
        let World { disk, rng, knobs, stats, .. } = self;
        let Some(inode) = disk.inode_mut(id) else { return };
        let (lost, misdirected) = (rng.chance(knobs.lost_write), rng.chance(knobs.misdirected_write));
        let mut room: [&[u8]; PARTS_MAX] = [&[]; PARTS_MAX];
        for (room, part) in room.iter_mut().zip(parts) {
            *room = part;
        }
        if parts.len() <= PARTS_MAX {
            inode.write(at, &room, take);
        } else {
            let parts: Vec<&[u8]> = parts.iter().map(|part| &part[..]).collect();
            inode.write(at, &parts, take);
        }
        let end = at.saturating_add(take);
        if lost {
            inode.lead_astray(at, end, Astray::Nowhere);
            stats.lost_writes = stats.lost_writes.saturating_add(1);
        } else if misdirected {
            let sectors = (inode.len() / SECTOR_LEN) as u64;
            let to = usize::try_from(rng.below(sectors)).unwrap_or(0);
            inode.lead_astray(at, end.min(at.saturating_add(1)), Astray::To(to));
            stats.misdirected_writes = stats.misdirected_writes.saturating_add(1);
        }
        if rng.chance(knobs.early_write_back) && inode.write_back_some(rng) {
            stats.early_write_backs = stats.early_write_backs.saturating_add(1);
        }
    }

    fn sync(&mut self, id: u64) -> Result<(), Error> {
        self.call(2, id)?;
        if self.knobs.lossy_skip_sync {
            return Ok(());
        }
        self.writable()?;
        let World { disk, rng, knobs, late, stats, .. } = self;
        let Some(inode) = disk.inode_mut(id) else { return Err(fault("sync", Errno::IO)) };
        if inode.poisoned {
            stats.poisoned_syncs = stats.poisoned_syncs.saturating_add(1);
        }
        if let Some(at) = late.iter().position(|(known, _)| *known == id) {
            late.swap_remove(at);
            stats.late_reports = stats.late_reports.saturating_add(1);
            inode.fail_sync(SyncFault::KeepsContent, rng);
            stats.sync_errors = stats.sync_errors.saturating_add(1);
            return Err(fault("sync", Errno::IO));
        }
        let told = knobs.fail_next_syncs > 0;
        knobs.fail_next_syncs = knobs.fail_next_syncs.saturating_sub(1);
        if told || rng.chance(knobs.sync_error) {
            let fault_kind = if rng.chance(32_768) { SyncFault::KeepsContent } else { SyncFault::Reverts };
            inode.fail_sync(fault_kind, rng);
            stats.sync_errors = stats.sync_errors.saturating_add(1);
            self.after_fault();
            return Err(fault("sync", Errno::IO));
        }
        if rng.chance(knobs.phantom_sync) {
            inode.lied = true;
            stats.phantom_syncs = stats.phantom_syncs.saturating_add(1);
            return Ok(());
        }
        if knobs.late_errors_left != Some(0) && rng.chance(knobs.late_error) {
            knobs.late_errors_left = knobs.late_errors_left.map(|left| left.saturating_sub(1));
            inode.fail_sync(SyncFault::KeepsContent, rng);
            (inode.poisoned, inode.dropped) = (false, true);
            stats.late_errors = stats.late_errors.saturating_add(1);
            late.push((id, true));
            return Ok(());
        }
        inode.sync();
        stats.syncs = stats.syncs.saturating_add(1);
        Ok(())
    }
}

struct SimFile {
    env: SimEnv,
    inode: u64,
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        let mut world = self.env.alive()?;
        let World { rng, knobs, stats, disk, .. } = &mut *world;
        if rng.chance(knobs.read_error) {
            stats.read_errors = stats.read_errors.saturating_add(1);
            return Err(fault("read", Errno::IO));
        }
        let mut len = buffer.len();
        if len > 1 && rng.chance(knobs.short_read) {
            len = usize::try_from(rng.below(len as u64 - 1)).unwrap_or(0).saturating_add(1);
            stats.short_reads = stats.short_reads.saturating_add(1);
        }
        let inode = disk.inode(self.inode).ok_or_else(|| fault("read", Errno::STALE))?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let read = inode.read(buffer.get_mut(..len).unwrap_or_default(), from);
        if read.is_none() {
            stats.read_errors = stats.read_errors.saturating_add(1);
        }
        read.ok_or_else(|| fault("read", Errno::IO))
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<usize, Error> {
        self.env.alive()?.write(self.inode, parts, offset)
    }

    fn sync(&self) -> Result<(), Error> {
        self.env.alive()?.sync(self.inode)
    }

    fn sync_all(&self) -> Result<(), Error> {
        self.sync()
    }

    fn len(&self) -> Result<u64, Error> {
        let world = self.env.alive()?;
        Ok(world.disk.inode(self.inode).map_or(0, |inode| inode.len() as u64))
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        let mut world = self.env.alive()?;
        world.call(3, len)?;
        world.writable()?;
        if let Some(inode) = world.disk.inode_mut(self.inode) {
            inode.set_len(usize::try_from(len).unwrap_or(usize::MAX));
        }
        Ok(())
    }

    fn map(&self) -> Result<Bytes, Error> {
        let world = self.env.alive()?;
        let inode = world.disk.inode(self.inode).ok_or_else(|| fault("map", Errno::STALE))?;
        inode.whole().map(Bytes::from).ok_or_else(|| fault("map", Errno::IO))
    }
}

/// Lets go of the lock unless the process died before.
struct SimLock {
    env: SimEnv,
    name: String,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut world = self.env.world();
        if world.locks.get(&self.name) == Some(&self.env.life) {
            world.locks.remove(&self.name);
        }
    }
}

impl Env for SimEnv {
    fn now(&self) -> Now {
        self.world().now
    }

    fn random(&self) -> u64 {
        self.world().rng.next()
    }

    fn spawn(&self, name: &str, _body: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Task>, Error> {
        Err(Error::new(ErrorKind::Fix, format!("the simulation has one thread, not {name}")))
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        let inode = self.alive()?.disk.lookup(&name_of(path)).ok_or_else(|| not_found(path))?;
        Ok(Arc::new(SimFile { env: self.clone(), inode }))
    }

    fn open_read(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        self.open(path)
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        let mut world = self.alive()?;
        world.call(4, 0)?;
        world.writable()?;
        let failed = world.name_fault(|knobs| knobs.create_error, true);
        let mut inode = 0;
        world.change_names(path, failed, |disk| {
            inode = disk.create(&name_of(path));
            true
        })?;
        Ok(Arc::new(SimFile { env: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let mut world = self.alive()?;
        world.call(5, 0)?;
        world.writable()?;
        let failed = world.name_fault(|knobs| knobs.rename_error, true);
        world.change_names(from, failed, |disk| disk.rename(&name_of(from), &name_of(to)))
    }

    fn exchange(&self, one: &Path, other: &Path) -> Result<(), Error> {
        let mut world = self.alive()?;
        world.call(16, 0)?;
        world.writable()?;
        let (a, b) = (name_of(one), name_of(other));
        for (name, path) in [(&a, one), (&b, other)] {
            if !world.disk.dirs.contains(name) {
                return Err(not_found(path));
            }
        }
        world.disk.exchange(&a, &b);
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let mut world = self.alive()?;
        world.call(17, 0)?;
        world.writable()?;
        if world.disk.link(&name_of(from), &name_of(to)) { Ok(()) } else { Err(not_found(from)) }
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        let mut world = self.alive()?;
        world.call(6, 0)?;
        world.writable()?;
        let failed = world.name_fault(|knobs| knobs.remove_error, false);
        world.change_names(path, failed, |disk| disk.remove(&name_of(path)))
    }

    fn remove_dir(&self, path: &Path) -> Result<(), Error> {
        let mut world = self.alive()?;
        let name = name_of(path);
        let inside = format!("{name}/");
        if world.disk.lookup(&name).is_some() {
            return Err(fault("remove directory", Errno::NOTDIR));
        }
        if world.disk.names().any(|(it, _)| it.starts_with(&inside))
            || world.disk.dirs.iter().any(|it| it.starts_with(&inside))
        {
            return Err(fault("remove directory", Errno::NOTEMPTY));
        }
        world.disk.dirs.remove(&name);
        Ok(())
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, Error> {
        let world = self.alive()?;
        if world.disk.lookup(&name_of(dir)).is_some() {
            return Err(fault("list", Errno::NOTDIR));
        }
        let prefix = if dir.as_os_str().is_empty() { String::new() } else { format!("{}/", dir.display()) };
        let mut entries = Vec::new();
        for (name, id) in world.disk.names() {
            let Some(rest) = name.strip_prefix(&prefix).filter(|rest| !rest.contains('/')) else { continue };
            let len = world.disk.inode(id).map_or(0, |inode| inode.len() as u64);
            entries.push(DirEntry { name: rest.to_owned(), len, is_dir: false });
        }
        for name in &world.disk.dirs {
            let Some(rest) =
                name.strip_prefix(&prefix).filter(|rest| !rest.is_empty() && !rest.contains('/'))
            else {
                continue;
            };
            entries.push(DirEntry { name: rest.to_owned(), len: 0, is_dir: true });
        }
        entries.sort();
        Ok(entries)
    }

    fn sync_dir(&self, _dir: &Path) -> Result<(), Error> {
        let mut world = self.alive()?;
        world.call(7, 0)?;
        if world.knobs.lossy_skip_sync {
            return Ok(());
        }
        world.writable()?;
        if world.knobs.fail_next_dir_syncs > 0 {
            world.knobs.fail_next_dir_syncs = world.knobs.fail_next_dir_syncs.saturating_sub(1);
            world.stats.sync_errors = world.stats.sync_errors.saturating_add(1);
            return Err(fault("sync directory", Errno::IO));
        }
        if world.name_fault(|knobs| knobs.dir_sync_error, false).is_some() {
            let World { names, disk, stats, .. } = &mut *world;
            disk.sync_some_names(names);
            stats.dir_sync_errors = stats.dir_sync_errors.saturating_add(1);
            return Err(fault("sync directory", Errno::IO));
        }
        let World { rng, knobs, disk, stats, .. } = &mut *world;
        if rng.chance(knobs.phantom_sync) {
            disk.names_lied = true;
            stats.phantom_syncs = stats.phantom_syncs.saturating_add(1);
            return Ok(());
        }
        disk.sync_names();
        Ok(())
    }

    /// Directories are durable at once: the log makes them before anything is acknowledged.
    fn create_dir_all(&self, dir: &Path) -> Result<(), Error> {
        let mut world = self.alive()?;
        let mut at = Some(dir);
        while let Some(dir) = at.filter(|dir| !dir.as_os_str().is_empty()) {
            world.disk.dirs.insert(name_of(dir));
            at = dir.parent();
        }
        Ok(())
    }

    fn exists(&self, path: &Path) -> Result<bool, Error> {
        let world = self.alive()?;
        let name = name_of(path);
        let locked = world.locks.contains_key(&name);
        Ok(locked || world.disk.lookup(&name).is_some() || world.disk.dirs.contains(&name))
    }

    fn lock(&self, path: &Path) -> Result<LockGuard, Error> {
        let mut world = self.alive()?;
        let name = name_of(path);
        if world.locks.contains_key(&name) {
            return Err(Error::new(ErrorKind::Busy, format!("{name} is locked by another process")));
        }
        world.locks.insert(name.clone(), self.life);
        Ok(Box::new(SimLock { env: self.clone(), name }))
    }

    fn free_bytes(&self) -> Result<u64, Error> {
        let world = self.alive()?;
        Ok(world.knobs.space.map_or(u64::MAX, |space| space.saturating_sub(world.disk.used())))
    }

    fn queue(&self, wake: Wake) -> Result<Box<dyn DiskQueue>, Error> {
        Ok(Box::new(SimQueue {
            env: self.clone(),
            wake,
            lanes: [VecDeque::new(), VecDeque::new()],
            stalled_until: [0; 2],
        }))
    }
}

/// Parts of a write that are passed on without a list of their own.
const PARTS_MAX: usize = 4;
/// How long a stalled lane stands still, µs.
const STALL_US: u64 = 10_000_000;

/// Two lanes; a poll lets each of them get on or stand still, as the seed wants.
struct SimQueue {
    env: SimEnv,
    wake: Wake,
    lanes: [VecDeque<DiskOp>; 2],
    stalled_until: [u64; 2],
}

impl DiskQueue for SimQueue {
    fn submit(&mut self, op: DiskOp) {
        let [commit, background] = &mut self.lanes;
        let lane = match op.lane() {
            Lane::Commit => commit,
            Lane::Background => background,
        };
        lane.push_back(op);
        let mut world = self.env.world();
        world.stats.waiting_max = world.stats.waiting_max.max(lane.len() as u64);
        drop(world);
        (self.wake)();
    }

    fn poll(&mut self, completions: &mut Vec<Completion>) {
        for (lane, stalled_until) in self.lanes.iter_mut().zip(&mut self.stalled_until) {
            let moves = {
                let mut world = self.env.world();
                let World { rng, knobs, now, stats, .. } = &mut *world;
                let passed = rng.below(400);
                now.mono_us = now.mono_us.saturating_add(passed);
                now.wall_us = now.wall_us.saturating_add(i64::try_from(passed).unwrap_or(0));
                if rng.chance(knobs.stall) {
                    *stalled_until = now.mono_us.saturating_add(STALL_US);
                    stats.stalls = stats.stalls.saturating_add(1);
                }
                now.mono_us >= *stalled_until && (knobs.lane_moves == 0 || rng.chance(knobs.lane_moves))
            };
            if !moves {
                continue;
            }
            if let Some(op) = lane.pop_front() {
                let completion = execute(&self.env, op);
                // Of what happens while the power fails nobody hears any more.
                if !self.env.is_off() {
                    completions.push(completion);
                }
            }
        }
        if self.lanes.iter().any(|lane| !lane.is_empty()) {
            (self.wake)();
        }
    }
}
