//! The disk of the simulation: what the page cache shows, what the device holds, and what may become of the
//! difference.
//!
//! Every file has its cached bytes (what a read gives) and its durable bytes. Each write to a 512-byte sector since the
//! last successful sync is a version of its own; a power cut picks, sector by sector, any version or the durable one,
//! or a torn mixture of two in steps of 64 bytes. Names live in a second list of operations with the same fate.

use std::collections::{BTreeMap, BTreeSet};

/// The unit that a device writes whole, if it does.
pub(super) const SECTOR_LEN: usize = 512;
/// The unit below which not even a torn sector is mixed.
const ATOM_LEN: usize = 64;

type Sector = [u8; SECTOR_LEN];

/// SplitMix64: one seed, one execution.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// 0..n; 0 for 0.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next().checked_rem(n).unwrap_or(0)
    }

    /// True `rate` times in 65,536.
    pub(super) fn chance(&mut self, rate: u32) -> bool {
        rate > 0 && self.below(65_536) < u64::from(rate)
    }
}

/// One file.
#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    /// What a read gives.
    pub(super) cache: Vec<u8>,
    /// What the device holds, up to the durable length.
    durable: Vec<u8>,
    /// By sector: what was written since the last successful sync, oldest first.
    versions: BTreeMap<usize, Vec<Sector>>,
    /// A sync of it has failed in this life: nobody may sync it again.
    pub(super) poisoned: bool,
}

/// How a failed sync leaves the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SyncFault {
    /// Pages are marked clean and keep their content: reads show what the device does not hold.
    KeepsContent,
    /// Pages are dropped: reads show what the device holds.
    Reverts,
}

impl Inode {
    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset.saturating_add(bytes.len());
        if self.cache.len() < end {
            self.cache.resize(end, 0);
        }
        if let Some(room) = self.cache.get_mut(offset..end) {
            room.copy_from_slice(bytes);
        }
        if bytes.is_empty() {
            return;
        }
        for sector in offset / SECTOR_LEN..=end.saturating_sub(1) / SECTOR_LEN {
            let version = sector_of(&self.cache, sector);
            self.versions.entry(sector).or_default().push(version);
        }
    }

    pub(super) fn set_len(&mut self, len: usize) {
        self.cache.resize(len, 0);
        let sectors = len.div_ceil(SECTOR_LEN);
        self.versions.retain(|sector, _| *sector < sectors);
    }

    pub(super) fn sync(&mut self) {
        self.durable.resize(self.cache.len(), 0);
        for (sector, _) in std::mem::take(&mut self.versions) {
            let bytes = sector_of(&self.cache, sector);
            put_sector(&mut self.durable, sector, &bytes);
        }
    }

    /// Some of the dirty sectors reach the device, none of them is dirty afterwards.
    pub(super) fn fail_sync(&mut self, fault: SyncFault, rng: &mut Rng) {
        self.durable.resize(self.cache.len().max(self.durable.len()), 0);
        for (sector, versions) in std::mem::take(&mut self.versions) {
            let pick = rng.below(versions.len() as u64 + 1);
            if let Some(bytes) = usize::try_from(pick).ok().and_then(|at| versions.get(at)) {
                put_sector(&mut self.durable, sector, bytes);
            }
            if fault == SyncFault::Reverts {
                let bytes = sector_of(&self.durable, sector);
                put_sector(&mut self.cache, sector, &bytes);
            }
        }
        self.poisoned = true;
    }

    /// What the device holds after the power went.
    fn cut(&mut self, torn: bool, rng: &mut Rng) {
        // The length may or may not have been made durable.
        if rng.chance(32_768) {
            self.durable.resize(self.cache.len(), 0);
        }
        for (sector, versions) in std::mem::take(&mut self.versions) {
            let old = sector_of(&self.durable, sector);
            let pick = rng.below(versions.len() as u64 + 1);
            let Some(new) = usize::try_from(pick).ok().and_then(|at| versions.get(at)) else { continue };
            let mut bytes = *new;
            if torn && rng.chance(16_384) {
                for (atom, before) in bytes.chunks_mut(ATOM_LEN).zip(old.chunks(ATOM_LEN)) {
                    if rng.chance(32_768) {
                        atom.copy_from_slice(before);
                    }
                }
            }
            put_sector(&mut self.durable, sector, &bytes);
        }
        self.cache.clone_from(&self.durable);
        self.poisoned = false;
    }

    /// Rot: on the device and in the cache.
    pub(super) fn flip(&mut self, bit: usize) {
        let mask = 1u8.wrapping_shl(u32::try_from(bit % 8).unwrap_or(0));
        for bytes in [&mut self.cache, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= mask;
            }
        }
    }

    /// Whether a read shows nothing that a power cut could take.
    pub(super) fn is_durable(&self) -> bool {
        self.versions.is_empty() && self.cache == self.durable
    }
}

fn sector_of(bytes: &[u8], sector: usize) -> Sector {
    let mut out = [0; SECTOR_LEN];
    let from = sector.saturating_mul(SECTOR_LEN);
    let part = bytes.get(from..bytes.len().min(from.saturating_add(SECTOR_LEN))).unwrap_or_default();
    if let Some(room) = out.get_mut(..part.len()) {
        room.copy_from_slice(part);
    }
    out
}

/// Puts what of the sector lies within the file.
fn put_sector(bytes: &mut [u8], sector: usize, content: &Sector) {
    let from = sector.saturating_mul(SECTOR_LEN);
    let to = bytes.len().min(from.saturating_add(SECTOR_LEN));
    if let Some(room) = bytes.get_mut(from..to) {
        let len = room.len();
        room.copy_from_slice(content.get(..len).unwrap_or_default());
    }
}

/// A change of names that no directory sync has covered yet.
#[derive(Clone, Debug)]
enum NameOp {
    Link(String, u64),
    Unlink(String),
    Rename(String, String),
}

/// Names and files.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk {
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    pending: Vec<NameOp>,
    pub(super) dirs: BTreeSet<String>,
}

impl Disk {
    pub(super) fn lookup(&self, name: &str) -> Option<u64> {
        self.names.get(name).copied()
    }

    pub(super) fn inode(&self, id: u64) -> Option<&Inode> {
        self.inodes.get(&id)
    }

    pub(super) fn inode_mut(&mut self, id: u64) -> Option<&mut Inode> {
        self.inodes.get_mut(&id)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = (&String, u64)> {
        self.names.iter().map(|(name, id)| (name, *id))
    }

    /// Bytes of all files.
    pub(super) fn used(&self) -> u64 {
        self.names.values().filter_map(|id| self.inodes.get(id)).map(|inode| inode.cache.len() as u64).sum()
    }

    pub(super) fn create(&mut self, name: &str) -> u64 {
        self.next_inode = self.next_inode.saturating_add(1);
        self.inodes.insert(self.next_inode, Inode::default());
        self.names.insert(name.to_owned(), self.next_inode);
        self.pending.push(NameOp::Link(name.to_owned(), self.next_inode));
        self.next_inode
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> bool {
        let Some(id) = self.names.remove(from) else { return false };
        self.names.insert(to.to_owned(), id);
        self.pending.push(NameOp::Rename(from.to_owned(), to.to_owned()));
        true
    }

    pub(super) fn remove(&mut self, name: &str) -> bool {
        let found = self.names.remove(name).is_some();
        if found {
            self.pending.push(NameOp::Unlink(name.to_owned()));
        }
        found
    }

    pub(super) fn sync_names(&mut self) {
        self.pending.clear();
        self.durable_names.clone_from(&self.names);
        self.forget_unnamed();
    }

    /// The process is gone, the page cache is not.
    pub(super) fn kill(&mut self) {
        for inode in self.inodes.values_mut() {
            inode.poisoned = false;
        }
    }

    /// The power is gone. `subset`: any of the pending names may survive, else a prefix of them.
    pub(super) fn cut(&mut self, subset: bool, torn: bool, rng: &mut Rng) {
        let pending = std::mem::take(&mut self.pending);
        let prefix = rng.below(pending.len() as u64 + 1);
        for (at, op) in (0u64..).zip(pending) {
            let survives = if subset { rng.chance(32_768) } else { at < prefix };
            if !survives {
                continue;
            }
            match op {
                NameOp::Link(name, id) => {
                    self.durable_names.insert(name, id);
                }
                NameOp::Unlink(name) => {
                    self.durable_names.remove(&name);
                }
                NameOp::Rename(from, to) => {
                    if let Some(id) = self.durable_names.remove(&from) {
                        self.durable_names.insert(to, id);
                    }
                }
            }
        }
        self.names.clone_from(&self.durable_names);
        self.forget_unnamed();
        for inode in self.inodes.values_mut() {
            inode.cut(torn, rng);
        }
    }

    fn forget_unnamed(&mut self) {
        let mut named: BTreeSet<u64> = self.names.values().copied().collect();
        named.extend(self.durable_names.values());
        self.inodes.retain(|id, _| named.contains(id));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use super::*;

    #[test]
    fn a_synced_sector_survives_and_an_unsynced_one_may_not() {
        let (mut lost, mut kept) = (0, 0);
        for seed in 0..200 {
            let (mut inode, mut rng) = (Inode::default(), Rng::new(seed));
            inode.write(0, &[1; SECTOR_LEN]);
            inode.sync();
            inode.write(SECTOR_LEN, &[2; SECTOR_LEN]);
            inode.cut(false, &mut rng);
            assert_eq!(inode.cache.first(), Some(&1));
            match inode.cache.get(SECTOR_LEN) {
                Some(2) => kept += 1,
                _ => lost += 1,
            }
        }
        assert!(lost > 20 && kept > 20, "lost {lost}, kept {kept}");
    }

    #[test]
    fn after_a_failed_sync_the_next_one_succeeds_and_the_bytes_are_gone() {
        // The law of fsyncgate, which every writer here has to live with.
        let mut gone = 0;
        for seed in 0..100 {
            let (mut inode, mut rng) = (Inode::default(), Rng::new(seed));
            inode.write(0, &[0; SECTOR_LEN]);
            inode.sync();
            inode.write(0, &[7; SECTOR_LEN]);
            inode.fail_sync(SyncFault::KeepsContent, &mut rng);
            assert_eq!(inode.cache.first(), Some(&7));
            inode.sync();
            inode.cut(false, &mut rng);
            gone += i32::from(inode.cache.first() == Some(&0));
        }
        assert!(gone > 10, "{gone}");
    }

    #[test]
    fn a_name_without_a_directory_sync_may_vanish() {
        let mut gone = 0;
        for seed in 0..100 {
            let (mut disk, mut rng) = (Disk::default(), Rng::new(seed));
            let id = disk.create("a");
            disk.inode_mut(id).unwrap().sync();
            disk.cut(false, false, &mut rng);
            gone += i32::from(disk.lookup("a").is_none());
        }
        assert!((10..90).contains(&gone), "{gone}");
    }
}
