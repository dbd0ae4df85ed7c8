//! Who takes part, each behind the same two questions: make a batch durable, make one record of many threads durable.
//!
//! Every crate runs with its defaults, and okaywal, the fastest of them, once more as we would set it up: files as long
//! as our segments instead of 1 MiB, a buffer that takes a whole batch instead of 16 KiB. LMDB appends in key order
//! (`MDB_APPEND`), which spares it the search. Keys are the running number, big-endian.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use fjall::{Database as Fjall, Keyspace, KeyspaceCreateOptions, PersistMode};
use heed::byteorder::BigEndian;
use heed::types::{Bytes, U64};
use heed::{CommitOrAbort, EnvFlags, EnvOpenOptions, PutFlags};
use okaywal::{Configuration, LogVoid, WriteAheadLog};
use redb::{Database as Redb, TableDefinition};

use crate::raw::{GroupCommit, Prewritten, frame};

/// Room that LMDB may map, bytes.
const LMDB_ROOM: usize = 4 << 30;
const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");

/// One that makes records durable.
pub(crate) trait Contender: Sync {
    /// As it stands behind `vs`.
    fn name(&self) -> &'static str;

    /// Makes `count` records durable with one sync.
    ///
    /// # Errors
    /// Of the crate.
    fn batch(&self, payload: &[u8], count: usize) -> anyhow::Result<()>;
}

/// Raw `pwrite` and `fdatasync` into prewritten blocks, batches whole; one record goes through leader and followers.
pub(crate) struct Raw {
    alone: std::sync::Mutex<(Prewritten, Vec<u8>)>,
    group: GroupCommit,
}

impl Raw {
    /// With this much room.
    ///
    /// # Errors
    /// Of the disk.
    pub(crate) fn new(dir: &Path, room: u64) -> anyhow::Result<Self> {
        let alone = Prewritten::new(&dir.join("raw"), room)?;
        let group = GroupCommit::new(Prewritten::new(&dir.join("raw-group"), room)?);
        Ok(Self { alone: std::sync::Mutex::new((alone, Vec::with_capacity(1 << 20))), group })
    }

    /// One record of many threads.
    ///
    /// # Errors
    /// Of the disk.
    pub(crate) fn together(&self, payload: &[u8]) -> anyhow::Result<()> {
        Ok(self.group.append(payload)?)
    }
}

impl Contender for Raw {
    fn name(&self) -> &'static str {
        "raw prewritten pwrite + fdatasync"
    }

    fn batch(&self, payload: &[u8], count: usize) -> anyhow::Result<()> {
        let mut alone = self.alone.lock().map_err(|_| anyhow::anyhow!("a thread panicked"))?;
        let (file, buffer) = &mut *alone;
        buffer.clear();
        for _ in 0..count {
            frame(buffer, payload);
        }
        Ok(file.commit(buffer)?)
    }
}

/// A write-ahead log and nothing else; threads that commit together share a sync.
pub(crate) struct Okaywal {
    log: WriteAheadLog,
    name: &'static str,
}

impl Okaywal {
    /// With its defaults.
    ///
    /// # Errors
    /// Of the crate.
    pub(crate) fn new(dir: &Path) -> anyhow::Result<Self> {
        let configuration = Configuration::default_for(dir.join("okaywal"));
        Ok(Self { log: configuration.open(LogVoid)?, name: "okaywal 0.3.1" })
    }

    /// With long files and a large buffer.
    ///
    /// # Errors
    /// Of the crate.
    pub(crate) fn tuned(dir: &Path) -> anyhow::Result<Self> {
        let configuration = Configuration::default_for(dir.join("okaywal-tuned"))
            .preallocate_bytes(64 << 20)
            .checkpoint_after_bytes(60 << 20)
            .buffer_bytes(1 << 20);
        Ok(Self {
            log: configuration.open(LogVoid)?,
            name: "okaywal 0.3.1, files of 64 MiB, buffer of 1 MiB",
        })
    }
}

impl Contender for Okaywal {
    fn name(&self) -> &'static str {
        self.name
    }

    fn batch(&self, payload: &[u8], count: usize) -> anyhow::Result<()> {
        let mut entry = self.log.begin_entry()?;
        for _ in 0..count {
            entry.write_chunk(payload)?;
        }
        entry.commit()?;
        Ok(())
    }
}

/// A log-structured merge tree with a journal.
pub(crate) struct FjallStore {
    database: Fjall,
    records: Keyspace,
    next: AtomicU64,
}

impl FjallStore {
    /// In a fresh folder.
    ///
    /// # Errors
    /// Of the crate.
    pub(crate) fn new(dir: &Path) -> anyhow::Result<Self> {
        let database = Fjall::builder(dir.join("fjall")).open()?;
        let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
        Ok(Self { database, records, next: AtomicU64::new(0) })
    }
}

impl Contender for FjallStore {
    fn name(&self) -> &'static str {
        "fjall 3.1.13"
    }

    fn batch(&self, payload: &[u8], count: usize) -> anyhow::Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for _ in 0..count {
            let key = self.next.fetch_add(1, Ordering::Relaxed);
            batch.insert(&self.records, key.to_be_bytes(), payload);
        }
        Ok(batch.commit()?)
    }
}

/// A copy-on-write B-tree.
pub(crate) struct RedbStore {
    database: Redb,
    next: AtomicU64,
}

impl RedbStore {
    /// In a fresh file.
    ///
    /// # Errors
    /// Of the crate.
    pub(crate) fn new(dir: &Path) -> anyhow::Result<Self> {
        Ok(Self { database: Redb::create(dir.join("redb"))?, next: AtomicU64::new(0) })
    }
}

impl Contender for RedbStore {
    fn name(&self) -> &'static str {
        "redb 4.6.0"
    }

    fn batch(&self, payload: &[u8], count: usize) -> anyhow::Result<()> {
        // Durability::Immediate is its default.
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(TABLE)?;
            for _ in 0..count {
                table.insert(self.next.fetch_add(1, Ordering::Relaxed), payload)?;
            }
        }
        Ok(transaction.commit()?)
    }
}

/// LMDB by its crate heed.
pub(crate) struct Lmdb {
    env: heed::Env,
    records: heed::Database<'static, U64<BigEndian>, Bytes>,
    next: AtomicU64,
}

impl Lmdb {
    /// In a fresh folder.
    ///
    /// # Errors
    /// Of the crate.
    #[expect(unsafe_code, reason = "heed opens an environment by an unsafe call")]
    pub(crate) fn new(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join("lmdb");
        std::fs::create_dir(&path).context("a folder for LMDB")?;
        let mut options = EnvOpenOptions::new();
        options.map_size(LMDB_ROOM);
        // SAFETY: heed asks that no environment is opened twice and that nobody else changes the file; the folder is
        // fresh and ours. No flag is set that weakens what is safe by default.
        let env = unsafe { options.flags(EnvFlags::empty()).open(&path)? };
        let transaction = env.write_txn()?;
        let records = env
            .create_databases_and_commit(transaction, |opener, transaction| {
                opener.create_database(transaction, None).map(CommitOrAbort::<_, ()>::Commit)
            })?
            .unwrap_commit();
        Ok(Self { env, records, next: AtomicU64::new(0) })
    }
}

impl Contender for Lmdb {
    fn name(&self) -> &'static str {
        "LMDB, heed 0.23.1"
    }

    fn batch(&self, payload: &[u8], count: usize) -> anyhow::Result<()> {
        let mut transaction = self.env.write_txn()?;
        for _ in 0..count {
            let key = self.next.fetch_add(1, Ordering::Relaxed);
            self.records.put_with_flags(&mut transaction, PutFlags::APPEND, &key, payload)?;
        }
        Ok(transaction.commit()?)
    }
}
