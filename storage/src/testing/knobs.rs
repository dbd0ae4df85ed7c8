//! What the simulated machine does to who runs on it, and what it has done.

/// What goes wrong, and how often: rates are out of 65,536 calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimKnobs {
    /// A write fails with EIO after part of it.
    pub write_error: u32,
    /// So many writes fail so from now on; counts down.
    pub fail_next_writes: u32,
    /// A write takes fewer bytes than it was given.
    pub short_write: u32,
    /// A sync fails; the pages keep their content or revert.
    pub sync_error: u32,
    /// So many syncs fail from now on; counts down.
    pub fail_next_syncs: u32,
    /// So many syncs of directories fail from now on; counts down.
    pub fail_next_dir_syncs: u32,
    /// A file is not created, EIO or ENOSPC; of four such calls one is done all the same. These faults of names are drawn from a stream of
    /// their own: without them everything else happens as it did.
    pub create_error: u32,
    /// The same of a rename.
    pub rename_error: u32,
    /// The same of a removal, EIO.
    pub remove_error: u32,
    /// A sync of a directory fails, EIO; some of the names may be durable, the others are with the next sync that succeeds.
    pub dir_sync_error: u32,
    /// The one of these four calls fails that comes behind so many others; counts down.
    pub fail_name_call: Option<u32>,
    /// After a fault the device is read-only until the power is cut.
    pub turns_read_only: u32,
    /// A sync reports success although it failed; the error comes with the next sync of the file.
    pub late_error: u32,
    /// At most so many of these from now on; counts down. `None` = no end.
    pub late_errors_left: Option<u32>,
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
    /// Sector length of the device, bytes: 512 or 4096; 0 = 512.
    pub sector_len: u32,
    /// Some dirty sectors of a file reach the device right after a write.
    pub early_write_back: u32,
    /// A read gives fewer bytes than there are.
    pub short_read: u32,
    /// A lane of the disk stands still for ten seconds.
    pub stall: u32,
    /// **Lies**: a sync of a file or of names reports success and does nothing; a later one may do it.
    pub phantom_sync: u32,
    /// **Lies**: the device takes a write and never does it.
    pub lost_write: u32,
    /// **Lies**: the device takes a write and does it in another place of the file.
    pub misdirected_write: u32,
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
    /// Files that were not created, renamed or removed.
    pub name_errors: u64,
    /// Syncs of directories that failed.
    pub dir_sync_errors: u64,
    /// Syncs whose error came late.
    pub late_errors: u64,
    /// Those of them that were reported, to the next caller.
    pub late_reports: u64,
    /// Reads that failed.
    pub read_errors: u64,
    /// Calls refused by a full disk.
    pub full_disk: u64,
    /// Calls refused by a read-only device.
    pub read_only: u64,
    /// Flipped bits.
    pub flipped_bits: u64,
    /// Sectors made unreadable.
    pub bad_sectors: u64,
    /// Write-backs that nobody asked for.
    pub early_write_backs: u64,
    /// Reads that were short.
    pub short_reads: u64,
    /// Lanes that stood still.
    pub stalls: u64,
    /// Syncs that reported success and did nothing.
    pub phantom_syncs: u64,
    /// Writes that went nowhere.
    pub lost_writes: u64,
    /// Writes that went elsewhere.
    pub misdirected_writes: u64,
    /// Unsynced sectors whose fate a power cut decided.
    pub changed_sectors: u64,
    /// Those of them that were torn.
    pub torn_sectors: u64,
    /// Most operations that waited in one lane at once.
    pub waiting_max: u64,
    /// Syncs of a file whose sync had failed before in the same life: must stay 0.
    pub poisoned_syncs: u64,
}

impl SimStats {
    /// Adds what happened to another machine.
    pub fn add(&mut self, other: &Self) {
        let Self { waiting_max, .. } = *self;
        let mut other_counts = *other;
        for (sum, count) in self.counts().into_iter().zip(other_counts.counts()) {
            *sum = sum.saturating_add(*count);
        }
        self.waiting_max = waiting_max.max(other.waiting_max);
    }

    fn counts(&mut self) -> [&mut u64; 25] {
        [
            &mut self.calls,
            &mut self.syncs,
            &mut self.power_cuts,
            &mut self.kills,
            &mut self.write_errors,
            &mut self.short_writes,
            &mut self.sync_errors,
            &mut self.name_errors,
            &mut self.dir_sync_errors,
            &mut self.late_errors,
            &mut self.late_reports,
            &mut self.read_errors,
            &mut self.full_disk,
            &mut self.read_only,
            &mut self.flipped_bits,
            &mut self.bad_sectors,
            &mut self.early_write_backs,
            &mut self.short_reads,
            &mut self.stalls,
            &mut self.phantom_syncs,
            &mut self.lost_writes,
            &mut self.misdirected_writes,
            &mut self.changed_sectors,
            &mut self.torn_sectors,
            &mut self.poisoned_syncs,
        ]
    }
}
