//! A machine that lies (feature `testing`): the [`Env`] of the simulation.
//!
//! One seed makes one execution: clock, randomness, the order in which the two disk lanes get on, and every
//! fault come from it, and [`SimEnv::trace_hash`] is equal for equal seeds. What can go wrong: power cuts at any call
//! (any subset of unsynced sectors, torn sectors, lost names), killed processes (the page cache stays), syncs
//! that fail in three ways, EIO, a device that turns read-only, a full disk, short writes, flipped bits.
//!
//! A [`SimEnv`] is the view of one process. [`SimEnv::power_cut`] and [`SimEnv::kill`] end it and give the
//! view of the next; whoever still holds the old one gets errors.

mod disk;

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustix::io::Errno;

use self::disk::{Disk, Rng, SyncFault};
use crate::disk::{Completion, DiskOp, Lane, execute};
use crate::env::{DirEntry, DiskQueue, Env, File, LockGuard, Now, Task, Wake};
use crate::error::{Error, ErrorKind};

/// What goes wrong, and how often: rates are out of 65,536 calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimKnobs {
    /// A write fails with EIO after part of it.
    pub write_error: u32,
    /// A write takes fewer bytes than it was given.
    pub short_write: u32,
    /// A sync fails; the pages keep their content or revert.
    pub sync_error: u32,
    /// So many syncs fail from now on; counts down.
    pub fail_next_syncs: u32,
    /// So many syncs of directories fail from now on; counts down.
    pub fail_next_dir_syncs: u32,
    /// After a fault the device is read-only until the power is cut.
    pub turns_read_only: u32,
    /// A sync reports success although it failed; the error comes with the next sync of the file.
    pub late_error: u32,
    /// A read fails with EIO, once.
    pub read_error: u32,
    /// Bytes the disk holds; `None` = no end.
    pub space: Option<u64>,
    /// Sectors may be torn by a power cut.
    pub torn_sectors: bool,
    /// Any subset of unsynced names may survive a power cut, else a prefix.
    pub names_in_any_order: bool,
    /// A lane that has work gets on with it at a poll.
    pub lane_moves: u32,
    /// **Lies**: every sync reports success and does nothing. The negative control.
    pub lossy_skip_sync: bool,
}

/// What happened in all lives of one simulated machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SimStats {
    /// Calls that changed something.
    pub calls: u64,
    /// Successful syncs.
    pub syncs: u64,
    /// Power cuts.
    pub power_cuts: u64,
    /// Killed processes.
    pub kills: u64,
    /// Writes that failed.
    pub write_errors: u64,
    /// Writes that were short.
    pub short_writes: u64,
    /// Syncs that failed.
    pub sync_errors: u64,
    /// Syncs whose error came late.
    pub late_errors: u64,
    /// Reads that failed.
    pub read_errors: u64,
    /// Calls refused by a full disk.
    pub full_disk: u64,
    /// Calls refused by a read-only device.
    pub read_only: u64,
    /// Flipped bits.
    pub flipped_bits: u64,
    /// Syncs of a file whose sync had failed before in the same life: must stay 0.
    pub poisoned_syncs: u64,
}

struct World {
    rng: Rng,
    knobs: SimKnobs,
    disk: Disk,
    now: Now,
    /// The process that is alive.
    life: u64,
    off: bool,
    /// The power fails at this call.
    cut_at: Option<u64>,
    read_only: bool,
    /// Inodes whose next sync reports an error of the one before.
    late: Vec<u64>,
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
        let world = World {
            rng: Rng::new(seed),
            knobs,
            disk: Disk::default(),
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
        disk.cut(knobs.names_in_any_order, knobs.torn_sectors, rng);
        world.stats.power_cuts = world.stats.power_cuts.saturating_add(1);
        (world.off, world.read_only) = (false, false);
        world.late.clear();
        self.next_life(world)
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

    /// Flips one bit of a file, on the device and in the cache.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn flip_bit(&self, path: &Path, bit: usize) -> Result<(), Error> {
        let mut world = self.world();
        let inode = world.disk.lookup(&name_of(path)).ok_or_else(|| not_found(path))?;
        if let Some(inode) = world.disk.inode_mut(inode) {
            inode.flip(bit);
        }
        world.stats.flipped_bits = world.stats.flipped_bits.saturating_add(1);
        Ok(())
    }

    /// Whether nothing that a reader sees in this file could be taken by a power cut.
    pub fn is_durable(&self, path: &Path) -> bool {
        let world = self.world();
        let inode = world.disk.lookup(&name_of(path)).and_then(|id| world.disk.inode(id));
        inode.is_some_and(disk::Inode::is_durable)
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

    fn write(&mut self, id: u64, parts: &[IoSlice<'_>], offset: u64) -> Result<usize, Error> {
        let all: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let (at, len) = (usize::try_from(offset).unwrap_or(usize::MAX), all.len());
        let powered = self.call(1, offset ^ (len as u64).rotate_left(32));
        self.writable()?;
        let mut take = len;
        let mut refused = None;
        if powered.is_err() || self.rng.chance(self.knobs.write_error) {
            take = usize::try_from(self.rng.below(len as u64 + 1)).unwrap_or(0);
            refused = Some(Errno::IO);
        } else if len > 1 && self.rng.chance(self.knobs.short_write) {
            take = usize::try_from(self.rng.below(len as u64 - 1)).unwrap_or(0).saturating_add(1);
            self.stats.short_writes = self.stats.short_writes.saturating_add(1);
        }
        let used = self.disk.used();
        let cached = self.disk.inode(id).map_or(0, |inode| inode.cache.len());
        let grows = (at.saturating_add(take) as u64).saturating_sub(cached as u64);
        if let Some(space) = self.knobs.space.filter(|space| used.saturating_add(grows) > *space) {
            let free = usize::try_from(space.saturating_sub(used)).unwrap_or(usize::MAX);
            take = cached.saturating_sub(at).saturating_add(free).min(take);
            if take == 0 {
                self.stats.full_disk = self.stats.full_disk.saturating_add(1);
                return Err(fault("write", Errno::NOSPC));
            }
        }
        if let Some(inode) = self.disk.inode_mut(id) {
            inode.write(at, all.get(..take).unwrap_or_default());
        }
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
        if let Some(at) = late.iter().position(|known| *known == id) {
            late.swap_remove(at);
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
        if rng.chance(knobs.late_error) {
            inode.fail_sync(SyncFault::KeepsContent, rng);
            inode.poisoned = false;
            stats.late_errors = stats.late_errors.saturating_add(1);
            late.push(id);
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
        let rate = world.knobs.read_error;
        if world.rng.chance(rate) {
            world.stats.read_errors = world.stats.read_errors.saturating_add(1);
            return Err(fault("read", Errno::IO));
        }
        let inode = world.disk.inode(self.inode).ok_or_else(|| fault("read", Errno::STALE))?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(inode.cache.len());
        let bytes = inode.cache.get(from..).unwrap_or_default();
        let len = bytes.len().min(buffer.len());
        if let (Some(room), Some(bytes)) = (buffer.get_mut(..len), bytes.get(..len)) {
            room.copy_from_slice(bytes);
        }
        Ok(len)
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
        Ok(world.disk.inode(self.inode).map_or(0, |inode| inode.cache.len() as u64))
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
        Ok(Bytes::copy_from_slice(&inode.cache))
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
        let inode = world.disk.create(&name_of(path));
        Ok(Arc::new(SimFile { env: self.clone(), inode }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        let mut world = self.alive()?;
        world.call(5, 0)?;
        world.writable()?;
        if world.disk.rename(&name_of(from), &name_of(to)) { Ok(()) } else { Err(not_found(from)) }
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        let mut world = self.alive()?;
        world.call(6, 0)?;
        world.writable()?;
        if world.disk.remove(&name_of(path)) { Ok(()) } else { Err(not_found(path)) }
    }

    fn remove_dir(&self, path: &Path) -> Result<(), Error> {
        self.alive()?.disk.dirs.remove(&name_of(path));
        Ok(())
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, Error> {
        let world = self.alive()?;
        let prefix = if dir.as_os_str().is_empty() { String::new() } else { format!("{}/", dir.display()) };
        let mut entries = Vec::new();
        for (name, id) in world.disk.names() {
            let Some(rest) = name.strip_prefix(&prefix).filter(|rest| !rest.contains('/')) else { continue };
            let len = world.disk.inode(id).map_or(0, |inode| inode.cache.len() as u64);
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
        world.disk.sync_names();
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
            commit: VecDeque::new(),
            background: VecDeque::new(),
        }))
    }
}

/// Two lanes; a poll lets each of them get on or stand still, as the seed wants.
struct SimQueue {
    env: SimEnv,
    wake: Wake,
    commit: VecDeque<DiskOp>,
    background: VecDeque<DiskOp>,
}

impl DiskQueue for SimQueue {
    fn submit(&mut self, op: DiskOp) {
        match op.lane() {
            Lane::Commit => self.commit.push_back(op),
            Lane::Background => self.background.push_back(op),
        }
        (self.wake)();
    }

    fn poll(&mut self, completions: &mut Vec<Completion>) {
        for lane in [&mut self.commit, &mut self.background] {
            let moves = {
                let mut world = self.env.world();
                let rate = world.knobs.lane_moves;
                let passed = world.rng.below(400);
                world.now.mono_us = world.now.mono_us.saturating_add(passed);
                world.now.wall_us = world.now.wall_us.saturating_add(i64::try_from(passed).unwrap_or(0));
                rate == 0 || world.rng.chance(rate)
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
        if !self.commit.is_empty() || !self.background.is_empty() {
            (self.wake)();
        }
    }
}
