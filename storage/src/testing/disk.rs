//! The disk of the simulation: what the page cache shows, what the device holds, and what may become of the
//! difference.
//!
//! Every file has its cached bytes (what a read gives) and its durable bytes. Each write to a sector since the last
//! successful sync is a version of its own; a power cut picks, sector by sector, any version or the durable one, or a
//! torn mixture of two in steps of an eighth of the sector. Names live in a second list of operations with the same
//! fate. Damage (flipped bits, sectors that cannot be read) lies over the bytes and never in them, so that a test can
//! look at the same disk without it.
//!
//! Bytes are shared until they are written: a copy of a whole machine costs no more than its names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::CutChoices;

/// The unit that a device writes whole where nothing else is said.
pub(super) const SECTOR_LEN: usize = 512;
/// Not even a torn sector is mixed below this part of it.
const ATOMS: usize = 8;

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

/// Who decides what a power cut leaves.
pub(super) enum Picker<'a> {
    Chance(&'a mut Rng),
    Path(&'a mut CutChoices),
}

impl Picker<'_> {
    /// 0..n.
    fn pick(&mut self, n: usize) -> usize {
        match self {
            Self::Chance(rng) => usize::try_from(rng.below(n as u64)).unwrap_or(0),
            Self::Path(choices) => choices.pick(n),
        }
    }
}

/// Where a write goes that the device takes and does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Astray {
    Nowhere,
    /// To another sector.
    To(usize),
}

/// One file.
#[derive(Clone, Debug)]
pub(super) struct Inode {
    /// Sector length.
    unit: usize,
    /// What a read gives, before damage.
    cache: Arc<Vec<u8>>,
    /// What the device holds, up to the durable length.
    durable: Arc<Vec<u8>>,
    /// By sector: what was written since the last successful sync and overwritten since, oldest first. The newest
    /// version is in the cache.
    dirty: BTreeMap<usize, Vec<Box<[u8]>>>,
    /// Clean sectors whose cached bytes are not those of the device.
    stale: BTreeSet<usize>,
    /// Sectors whose next write-back goes wrong in silence.
    astray: BTreeMap<usize, Astray>,
    /// Bits that read wrong, by byte.
    rot: BTreeMap<usize, u8>,
    /// Flipped bits under bytes that were written since and not synced: where the write does not reach the device, they
    /// are there again.
    covered: BTreeMap<usize, u8>,
    /// Sectors that cannot be read until they are written.
    bad: BTreeSet<usize>,
    /// A sync of it has failed in this life: nobody may sync it again.
    pub(super) poisoned: bool,
    /// A sync has reported success for bytes that the device does not hold.
    pub(super) lied: bool,
    /// ... and no later sync will bring them.
    pub(super) dropped: bool,
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
    fn new(unit: usize) -> Self {
        Self {
            unit,
            cache: Arc::default(),
            durable: Arc::default(),
            dirty: BTreeMap::new(),
            stale: BTreeSet::new(),
            astray: BTreeMap::new(),
            rot: BTreeMap::new(),
            covered: BTreeMap::new(),
            bad: BTreeSet::new(),
            poisoned: false,
            lied: false,
            dropped: false,
        }
    }

    /// Length that a reader sees.
    pub(super) fn len(&self) -> usize {
        self.cache.len()
    }

    fn sectors_of(&self, offset: usize, end: usize) -> std::ops::Range<usize> {
        let unit = self.unit.max(1);
        if end <= offset { 0..0 } else { offset / unit..end.div_ceil(unit) }
    }

    /// Reads what is there; `None` when the device cannot.
    pub(super) fn read(&self, buffer: &mut [u8], offset: usize) -> Option<usize> {
        let from = offset.min(self.cache.len());
        let bytes = self.cache.get(from..).unwrap_or_default();
        let len = bytes.len().min(buffer.len());
        let (room, bytes) = (buffer.get_mut(..len)?, bytes.get(..len)?);
        room.copy_from_slice(bytes);
        self.damage(room, from)?;
        Some(len)
    }

    /// Lays the damage over bytes that were read.
    fn damage(&self, bytes: &mut [u8], from: usize) -> Option<()> {
        let to = from.saturating_add(bytes.len());
        if !self.bad.is_empty() && self.bad.range(self.sectors_of(from, to)).next().is_some() {
            return None;
        }
        if !self.rot.is_empty() {
            for (at, mask) in self.rot.range(from..to) {
                if let Some(byte) = bytes.get_mut(at.saturating_sub(from)) {
                    *byte ^= mask;
                }
            }
        }
        Some(())
    }

    /// A copy of everything; `None` when the device cannot read it.
    pub(super) fn whole(&self) -> Option<Vec<u8>> {
        let mut bytes = self.cache.to_vec();
        self.damage(&mut bytes, 0)?;
        Some(bytes)
    }

    /// Writes the parts one after another, `take` bytes of them.
    pub(super) fn write(&mut self, offset: usize, parts: &[&[u8]], take: usize) {
        let end = offset.saturating_add(take);
        if take == 0 {
            return;
        }
        let sectors = self.sectors_of(offset, end);
        for sector in sectors.clone() {
            let older = sector_of(&self.cache, sector, self.unit);
            match self.dirty.get_mut(&sector) {
                Some(versions) => versions.push(older.into()),
                None => {
                    self.dirty.insert(sector, Vec::new());
                }
            }
            self.stale.remove(&sector);
            self.bad.remove(&sector);
        }
        if !self.rot.is_empty() {
            let hit: Vec<_> = self.rot.range(offset..end).map(|(at, mask)| (*at, *mask)).collect();
            for (at, mask) in hit {
                self.rot.remove(&at);
                self.covered.insert(at, mask);
            }
        }
        let cache = Arc::make_mut(&mut self.cache);
        if cache.len() < end {
            cache.resize(end, 0);
        }
        let mut room = cache.get_mut(offset..end).unwrap_or_default();
        for part in parts {
            let len = part.len().min(room.len());
            let (here, rest) = room.split_at_mut(len);
            here.copy_from_slice(part.get(..len).unwrap_or_default());
            room = rest;
        }
    }

    pub(super) fn set_len(&mut self, len: usize) {
        let sectors = len.div_ceil(self.unit.max(1));
        Arc::make_mut(&mut self.cache).resize(len, 0);
        self.dirty.retain(|sector, _| *sector < sectors);
        self.stale.retain(|sector| *sector < sectors);
        self.astray.retain(|sector, _| *sector < sectors);
        // Until it is durable, a power cut may take a shorter length back, and the flipped bits behind it come with the bytes.
        self.covered.append(&mut self.rot.split_off(&len));
    }

    /// The next write-back of the sectors of a write goes wrong, and nobody is told.
    pub(super) fn lead_astray(&mut self, offset: usize, end: usize, astray: Astray) {
        for sector in self.sectors_of(offset, end) {
            self.astray.insert(sector, astray);
        }
    }

    pub(super) fn sync(&mut self) {
        let dirty = std::mem::take(&mut self.dirty);
        let (unit, astray) = (self.unit.max(1), &self.astray);
        self.covered.retain(|at, _| astray.contains_key(&(at / unit)));
        let sectors = self.cache.len().div_ceil(self.unit.max(1));
        if dirty.len() == sectors && self.stale.is_empty() && self.astray.is_empty() {
            self.durable = Arc::clone(&self.cache);
        } else if !dirty.is_empty() || self.durable.len() != self.cache.len() {
            let durable = Arc::make_mut(&mut self.durable);
            durable.resize(self.cache.len(), 0);
            for sector in dirty.into_keys() {
                let bytes = sector_of(&self.cache, sector, self.unit);
                match self.astray.remove(&sector) {
                    None => put_sector(durable, sector, self.unit, bytes),
                    Some(astray) => {
                        self.stale.insert(sector);
                        self.dropped = true;
                        if let Astray::To(other) = astray {
                            put_sector(durable, other, self.unit, bytes);
                            self.stale.insert(other);
                        }
                    }
                }
            }
        }
        // What a lying sync left behind is there now, unless it is gone for good.
        self.lied = self.dropped;
    }

    /// Some dirty sectors reach the device before anyone asks for it.
    pub(super) fn write_back_some(&mut self, rng: &mut Rng) -> bool {
        let picks = rng.below(4).saturating_add(1);
        let mut any = false;
        for _ in 0..picks {
            let at = usize::try_from(rng.below(self.dirty.len() as u64)).unwrap_or(0);
            let Some(sector) = self.dirty.keys().nth(at).copied() else { return any };
            let inside = sector.saturating_add(1).saturating_mul(self.unit) <= self.durable.len();
            if inside && !self.astray.contains_key(&sector) {
                self.dirty.remove(&sector);
                let unit = self.unit.max(1);
                self.covered.retain(|at, _| at / unit != sector);
                let bytes = sector_of(&self.cache, sector, self.unit);
                let durable = Arc::make_mut(&mut self.durable);
                put_sector(durable, sector, self.unit, bytes);
                any = true;
            }
        }
        any
    }

    /// Some of the dirty sectors reach the device, none of them is dirty afterwards.
    pub(super) fn fail_sync(&mut self, fault: SyncFault, rng: &mut Rng) {
        let len = self.cache.len().max(self.durable.len());
        let durable = Arc::make_mut(&mut self.durable);
        durable.resize(len, 0);
        for (sector, versions) in std::mem::take(&mut self.dirty) {
            let pick = usize::try_from(rng.below(versions.len() as u64 + 2)).unwrap_or(0);
            self.astray.remove(&sector);
            if pick <= versions.len() {
                let newest = sector_of(&self.cache, sector, self.unit);
                let bytes = versions.get(pick).map_or(newest, |bytes| &bytes[..]);
                put_sector(durable, sector, self.unit, bytes);
                let unit = self.unit.max(1);
                self.covered.retain(|at, _| at / unit != sector);
            }
            self.stale.insert(sector);
        }
        if fault == SyncFault::Reverts {
            let cache = Arc::make_mut(&mut self.cache);
            for sector in std::mem::take(&mut self.stale) {
                put_sector(cache, sector, self.unit, sector_of(durable, sector, self.unit));
            }
            self.rot.append(&mut self.covered);
        }
        self.poisoned = true;
        // What a lying sync has promised is gone now as well.
        self.dropped |= self.lied;
    }

    /// What the device holds after the power went.
    fn cut(&mut self, torn: bool, picker: &mut Picker<'_>, counts: &mut (u64, u64)) {
        let dirty = std::mem::take(&mut self.dirty);
        let same_len = self.durable.len() == self.cache.len();
        if dirty.is_empty() && self.stale.is_empty() && same_len {
            (self.poisoned, self.lied, self.dropped) = (false, false, false);
            return;
        }
        // The length may or may not have been made durable.
        if !same_len && picker.pick(2) == 0 {
            let len = self.cache.len();
            Arc::make_mut(&mut self.durable).resize(len, 0);
        }
        for (sector, versions) in dirty {
            let begin = sector.saturating_mul(self.unit);
            if self.astray.contains_key(&sector) || begin >= self.durable.len() {
                continue;
            }
            let old = sector_of(&self.durable, sector, self.unit);
            let newest = sector_of(&self.cache, sector, self.unit);
            if versions.is_empty() && old == newest {
                continue;
            }
            let pick = picker.pick(versions.len().saturating_add(2));
            counts.0 = counts.0.saturating_add(1);
            if pick > versions.len() {
                continue;
            }
            let mut bytes = versions.get(pick).map_or(newest, |bytes| &bytes[..]).to_vec();
            if let Picker::Chance(rng) = picker
                && torn
                && rng.chance(16_384)
            {
                counts.1 = counts.1.saturating_add(1);
                let atom = self.unit.div_ceil(ATOMS).max(1);
                for (atom, before) in bytes.chunks_mut(atom).zip(old.chunks(atom)) {
                    if rng.chance(32_768) && atom.len() == before.len() {
                        atom.copy_from_slice(before);
                    }
                }
            }
            let durable = Arc::make_mut(&mut self.durable);
            put_sector(durable, sector, self.unit, &bytes);
            let unit = self.unit.max(1);
            self.covered.retain(|at, _| at / unit != sector);
        }
        self.rot.append(&mut self.covered);
        self.rot.split_off(&self.durable.len());
        self.cache = Arc::clone(&self.durable);
        self.stale.clear();
        self.astray.clear();
        (self.poisoned, self.lied, self.dropped) = (false, false, false);
    }

    /// A bit reads wrong from now on, until its byte is written; flipped twice it reads right again.
    pub(super) fn flip(&mut self, bit: usize) {
        let mask = 1u8.wrapping_shl(u32::try_from(bit % 8).unwrap_or(0));
        let rot = self.rot.entry(bit / 8).or_default();
        *rot ^= mask;
        if *rot == 0 {
            self.rot.remove(&(bit / 8));
        }
    }

    /// Bytes that read wrong.
    pub(super) fn rotten(&self) -> impl Iterator<Item = usize> + '_ {
        self.rot.keys().chain(self.covered.keys()).copied()
    }

    /// The sector of this byte cannot be read until it is written.
    pub(super) fn spoil(&mut self, at: usize) {
        self.bad.insert(at / self.unit.max(1));
    }

    /// Takes the damage away; `rot` also that of the bits.
    pub(super) fn mend(&mut self, rot: bool) {
        self.bad.clear();
        if rot {
            self.rot.clear();
            self.covered.clear();
        }
    }

    /// Whether a read shows nothing that a power cut could take.
    pub(super) fn is_durable(&self) -> bool {
        self.dirty.is_empty() && (Arc::ptr_eq(&self.cache, &self.durable) || self.cache == self.durable)
    }
}

fn sector_of(bytes: &[u8], sector: usize, unit: usize) -> &[u8] {
    let from = sector.saturating_mul(unit).min(bytes.len());
    bytes.get(from..bytes.len().min(from.saturating_add(unit))).unwrap_or_default()
}

/// Puts what of the sector lies within the file.
fn put_sector(bytes: &mut [u8], sector: usize, unit: usize, content: &[u8]) {
    let from = sector.saturating_mul(unit);
    let to = bytes.len().min(from.saturating_add(content.len()));
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
    Exchange(String, String),
}

impl NameOp {
    fn apply(self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Link(name, id) => {
                names.insert(name, id);
            }
            Self::Unlink(name) => {
                names.remove(&name);
            }
            Self::Rename(from, to) => {
                if let Some(id) = names.remove(&from) {
                    names.insert(to, id);
                }
            }
            Self::Exchange(one, other) => exchange(names, &one, &other),
        }
    }
}

/// Everything below the one directory stands below the other then.
fn exchange(names: &mut BTreeMap<String, u64>, one: &str, other: &str) {
    let renamed = |name: &str| -> Option<String> {
        let below = |dir: &str| name.strip_prefix(dir).filter(|rest| rest.starts_with('/'));
        match (below(one), below(other)) {
            (Some(rest), _) => Some(format!("{other}{rest}")),
            (_, Some(rest)) => Some(format!("{one}{rest}")),
            _ => None,
        }
    };
    let all = std::mem::take(names);
    names.extend(all.into_iter().map(|(name, id)| (renamed(&name).unwrap_or(name), id)));
}

/// Names and files.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    /// Sector length of new files.
    pub(super) unit: usize,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    pending: Vec<NameOp>,
    pub(super) dirs: BTreeSet<String>,
    /// A sync of names has reported success and done nothing.
    pub(super) names_lied: bool,
    /// Files that an operator has taken away and may bring back.
    held: BTreeSet<u64>,
}

impl Disk {
    pub(super) fn new(unit: usize) -> Self {
        Self {
            unit,
            inodes: BTreeMap::new(),
            next_inode: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending: Vec::new(),
            dirs: BTreeSet::new(),
            names_lied: false,
            held: BTreeSet::new(),
        }
    }

    pub(super) fn lookup(&self, name: &str) -> Option<u64> {
        self.names.get(name).copied()
    }

    pub(super) fn inode(&self, id: u64) -> Option<&Inode> {
        self.inodes.get(&id)
    }

    pub(super) fn inode_mut(&mut self, id: u64) -> Option<&mut Inode> {
        self.inodes.get_mut(&id)
    }

    pub(super) fn inodes_mut(&mut self) -> impl Iterator<Item = &mut Inode> {
        self.inodes.values_mut()
    }

    pub(super) fn names(&self) -> impl Iterator<Item = (&String, u64)> {
        self.names.iter().map(|(name, id)| (name, *id))
    }

    /// Bytes of all files.
    pub(super) fn used(&self) -> u64 {
        self.names.values().filter_map(|id| self.inodes.get(id)).map(|inode| inode.len() as u64).sum()
    }

    pub(super) fn create(&mut self, name: &str) -> u64 {
        self.next_inode = self.next_inode.saturating_add(1);
        self.inodes.insert(self.next_inode, Inode::new(self.unit));
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

    pub(super) fn exchange(&mut self, one: &str, other: &str) {
        exchange(&mut self.names, one, other);
        self.pending.push(NameOp::Exchange(one.to_owned(), other.to_owned()));
    }

    pub(super) fn link(&mut self, from: &str, to: &str) -> bool {
        let Some(id) = self.names.get(from).copied() else { return false };
        self.names.insert(to.to_owned(), id);
        self.pending.push(NameOp::Link(to.to_owned(), id));
        true
    }

    pub(super) fn remove(&mut self, name: &str) -> bool {
        let found = self.names.remove(name).is_some();
        if found {
            self.pending.push(NameOp::Unlink(name.to_owned()));
        }
        found
    }

    /// A file goes without anyone having asked: an operator's hand. Durable at once.
    pub(super) fn take_away(&mut self, name: &str) -> Option<u64> {
        let id = self.names.remove(name)?;
        self.durable_names.remove(name);
        self.held.insert(id);
        Some(id)
    }

    /// It comes back.
    pub(super) fn bring_back(&mut self, name: &str, id: u64) {
        self.held.remove(&id);
        self.names.insert(name.to_owned(), id);
        self.durable_names.insert(name.to_owned(), id);
    }

    pub(super) fn sync_names(&mut self) {
        for op in std::mem::take(&mut self.pending) {
            op.apply(&mut self.durable_names);
        }
        self.names_lied = false;
        self.forget_unnamed();
    }

    /// A sync of names that fails half-way: the oldest of them are durable.
    pub(super) fn sync_some_names(&mut self, rng: &mut Rng) {
        let some = usize::try_from(rng.below(self.pending.len() as u64 + 1)).unwrap_or(0);
        for op in self.pending.drain(..some) {
            op.apply(&mut self.durable_names);
        }
    }

    /// The process is gone, the page cache is not.
    pub(super) fn kill(&mut self) {
        for inode in self.inodes.values_mut() {
            inode.poisoned = false;
        }
    }

    /// The power is gone. `subset`: any of the pending names may survive, else a prefix of them. Tells how many
    /// sectors were in doubt, and how many of them were torn.
    pub(super) fn cut(&mut self, subset: bool, torn: bool, mut picker: Picker<'_>) -> (u64, u64) {
        let pending = std::mem::take(&mut self.pending);
        let prefix = if subset { 0 } else { picker.pick(pending.len().saturating_add(1)) };
        for (at, op) in pending.into_iter().enumerate() {
            if if subset { picker.pick(2) == 0 } else { at < prefix } {
                op.apply(&mut self.durable_names);
            }
        }
        self.names.clone_from(&self.durable_names);
        self.names_lied = false;
        self.forget_unnamed();
        let mut counts = (0, 0);
        for inode in self.inodes.values_mut() {
            inode.cut(torn, &mut picker, &mut counts);
        }
        counts
    }

    fn forget_unnamed(&mut self) {
        let mut named: BTreeSet<u64> = self.names.values().copied().collect();
        named.extend(self.durable_names.values());
        named.extend(&self.held);
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
            let (mut inode, mut rng) = (Inode::new(SECTOR_LEN), Rng::new(seed));
            inode.write(0, &[&[1; SECTOR_LEN]], SECTOR_LEN);
            inode.sync();
            inode.write(SECTOR_LEN, &[&[2; SECTOR_LEN]], SECTOR_LEN);
            inode.cut(false, &mut Picker::Chance(&mut rng), &mut (0, 0));
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
            let (mut inode, mut rng) = (Inode::new(SECTOR_LEN), Rng::new(seed));
            inode.write(0, &[&[0; SECTOR_LEN]], SECTOR_LEN);
            inode.sync();
            inode.write(0, &[&[7; SECTOR_LEN]], SECTOR_LEN);
            inode.fail_sync(SyncFault::KeepsContent, &mut rng);
            assert_eq!(inode.cache.first(), Some(&7));
            inode.sync();
            inode.cut(false, &mut Picker::Chance(&mut rng), &mut (0, 0));
            gone += i32::from(inode.cache.first() == Some(&0));
        }
        assert!(gone > 10, "{gone}");
    }

    #[test]
    fn a_truncation_that_is_taken_back_brings_its_flipped_bits_back() {
        let (mut long, mut short) = (0, 0);
        for seed in 0..100 {
            let (mut inode, mut rng) = (Inode::new(SECTOR_LEN), Rng::new(seed));
            inode.write(0, &[&[7; SECTOR_LEN * 2]], SECTOR_LEN * 2);
            inode.sync();
            inode.flip((SECTOR_LEN + 3) * 8);
            inode.set_len(SECTOR_LEN);
            inode.cut(false, &mut Picker::Chance(&mut rng), &mut (0, 0));
            match inode.whole().unwrap().get(SECTOR_LEN + 3) {
                Some(byte) => {
                    assert_eq!(*byte, 6);
                    long += 1;
                }
                None => short += 1,
            }
        }
        assert!(long > 10 && short > 10, "{long} stayed long, {short} were short");
    }

    #[test]
    fn a_name_without_a_directory_sync_may_vanish() {
        let mut gone = 0;
        for seed in 0..100 {
            let (mut disk, mut rng) = (Disk::new(SECTOR_LEN), Rng::new(seed));
            let id = disk.create("a");
            disk.inode_mut(id).unwrap().sync();
            disk.cut(false, false, Picker::Chance(&mut rng));
            gone += i32::from(disk.lookup("a").is_none());
        }
        assert!((10..90).contains(&gone), "{gone}");
    }
}
