//! The negative controls: the machine, but syncs are swallowed. A campaign over them must lose.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ofd_storage::env::Wake;
use ofd_storage::{Completion, DiskOp, DiskQueue, Env, Error, File, RealEnv, execute, forward_env};

/// Which syncs reach the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syncs {
    /// All: the real thing.
    Asked,
    /// Not those of a batch; files, lengths and names are durable before it.
    NoneOfData,
    /// None at all, as with `eatmydata`.
    None,
}

/// [`RealEnv`] that says yes to syncs and does none.
#[derive(Clone)]
pub(crate) struct LossyEnv {
    pub(crate) real: RealEnv,
    pub(crate) syncs: Syncs,
}

struct LossyFile {
    real: Arc<dyn File>,
    syncs: Syncs,
}

impl LossyEnv {
    fn file(&self, real: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(LossyFile { real, syncs: self.syncs })
    }
}

/// Runs everything at once, on the caller's thread.
struct LossyQueue {
    env: LossyEnv,
    done: Vec<Completion>,
    wake: Wake,
}

impl DiskQueue for LossyQueue {
    fn submit(&mut self, op: DiskOp) {
        self.done.push(execute(&self.env, op));
        (self.wake)();
    }

    fn poll(&mut self, completions: &mut Vec<Completion>) {
        completions.append(&mut self.done);
    }
}

impl File for LossyFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        self.real.read_at(buffer, offset)
    }
    fn write_at(&self, parts: &[std::io::IoSlice<'_>], offset: u64) -> Result<usize, Error> {
        self.real.write_at(parts, offset)
    }
    fn read_direct(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        self.real.read_direct(buffer, offset)
    }
    fn write_direct(&self, parts: &[std::io::IoSlice<'_>], offset: u64) -> Result<usize, Error> {
        self.real.write_direct(parts, offset)
    }
    fn sync(&self) -> Result<(), Error> {
        Ok(())
    }
    fn sync_all(&self) -> Result<(), Error> {
        if self.syncs == Syncs::None { Ok(()) } else { self.real.sync_all() }
    }
    fn len(&self) -> Result<u64, Error> {
        self.real.len()
    }
    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.real.set_len(len)
    }
    fn map(&self) -> Result<Bytes, Error> {
        self.real.map()
    }
}

impl Env for LossyEnv {
    forward_env!(real: now random spawn rename remove remove_dir list create_dir_all exists lock free_bytes);

    fn open(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        Ok(self.file(self.real.open(path)?))
    }

    fn open_read(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        Ok(self.file(self.real.open_read(path)?))
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        Ok(self.file(self.real.create(path)?))
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), Error> {
        if self.syncs == Syncs::None { Ok(()) } else { self.real.sync_dir(dir) }
    }

    fn queue(&self, wake: Wake) -> Result<Box<dyn DiskQueue>, Error> {
        Ok(Box::new(LossyQueue { env: self.clone(), done: Vec::new(), wake }))
    }
}
