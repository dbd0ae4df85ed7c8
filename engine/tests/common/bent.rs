//! A machine that is bent where a test wants it to be.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use ofd_storage::env::{DirEntry, LockGuard, Task, Wake};
use ofd_storage::{Completion, DiskOp, DiskQueue, Env, Error, File, Now, RealEnv, execute};

/// The real machine with as many free bytes, and with its wall clock as far ahead, as the test says.
#[derive(Clone)]
pub struct Bent {
    real: RealEnv,
    pub free: Arc<AtomicU64>,
    pub ahead_us: Arc<AtomicI64>,
}

impl Bent {
    /// The machine as it is, over a directory.
    pub fn over(dir: &Path) -> Self {
        let free = Arc::new(AtomicU64::new(u64::MAX));
        Self { real: RealEnv::new(dir), free, ahead_us: Arc::default() }
    }
}

impl Env for Bent {
    fn free_bytes(&self) -> Result<u64, Error> {
        Ok(self.free.load(Ordering::Relaxed))
    }

    fn queue(&self, wake: Wake) -> Result<Box<dyn DiskQueue>, Error> {
        Ok(Box::new(Inline { env: self.clone(), wake, ops: Vec::new() }))
    }

    fn now(&self) -> Now {
        let now = self.real.now();
        Now { wall_us: now.wall_us + self.ahead_us.load(Ordering::Relaxed), ..now }
    }
    fn random(&self) -> u64 {
        self.real.random()
    }
    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Task>, Error> {
        self.real.spawn(name, body)
    }
    fn open(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        self.real.open(path)
    }
    fn open_read(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        self.real.open_read(path)
    }
    fn create(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        self.real.create(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        self.real.rename(from, to)
    }
    fn remove(&self, path: &Path) -> Result<(), Error> {
        self.real.remove(path)
    }
    fn remove_dir(&self, path: &Path) -> Result<(), Error> {
        self.real.remove_dir(path)
    }
    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, Error> {
        self.real.list(dir)
    }
    fn sync_dir(&self, dir: &Path) -> Result<(), Error> {
        self.real.sync_dir(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> Result<(), Error> {
        self.real.create_dir_all(dir)
    }
    fn exists(&self, path: &Path) -> Result<bool, Error> {
        self.real.exists(path)
    }
    fn lock(&self, path: &Path) -> Result<LockGuard, Error> {
        self.real.lock(path)
    }
}

/// Runs every operation in the writer's own thread, over the bent machine.
struct Inline {
    env: Bent,
    wake: Wake,
    ops: Vec<DiskOp>,
}

impl DiskQueue for Inline {
    fn submit(&mut self, op: DiskOp) {
        self.ops.push(op);
        (self.wake)();
    }

    fn poll(&mut self, completions: &mut Vec<Completion>) {
        completions.extend(self.ops.drain(..).map(|op| execute(&self.env, op)));
    }
}
