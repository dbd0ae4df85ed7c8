//! A machine with a second device that keeps a copy of the log.
//!
//! It is the first machine in everything, and names the second: recovery brings the copy up to date and attaches it
//! to the log, readers fall back on it, and whoever removes a segment removes it there, too.

use std::path::Path;
use std::sync::Arc;

use super::{DirEntry, DiskQueue, Env, File, LockGuard, Now, Task, Wake};
use crate::error::Error;
use crate::sink::SinkFailure;
use crate::store::Store;

/// The further copy: a directory on another device that is itself a log and can be opened as one.
#[derive(Clone)]
pub struct Mirror {
    /// The files of the mirror directory.
    pub env: Arc<dyn Env>,
    /// What becomes of the log when the mirror fails.
    pub failure: SinkFailure,
}

/// An [`Env`] whose log has a mirror.
pub struct Mirrored {
    env: Arc<dyn Env>,
    mirror: Mirror,
}

impl Mirrored {
    /// The machine `env`, with its mirror.
    pub fn new(env: Arc<dyn Env>, mirror: Mirror) -> Self {
        Self { env, mirror }
    }
}

impl Env for Mirrored {
    fn store(&self) -> Option<&dyn Store> {
        self.env.store()
    }

    fn mirror(&self) -> Option<&Mirror> {
        Some(&self.mirror)
    }

    fn now(&self) -> Now {
        self.env.now()
    }

    fn random(&self) -> u64 {
        self.env.random()
    }

    fn spawn(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> Result<Box<dyn Task>, Error> {
        self.env.spawn(name, body)
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        self.env.open(path)
    }

    fn open_read(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        self.env.open_read(path)
    }

    fn create(&self, path: &Path) -> Result<Arc<dyn File>, Error> {
        self.env.create(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), Error> {
        self.env.rename(from, to)
    }

    fn exchange(&self, one: &Path, other: &Path) -> Result<(), Error> {
        self.env.exchange(one, other)
    }

    fn link(&self, from: &Path, to: &Path) -> Result<(), Error> {
        self.env.link(from, to)
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        self.env.remove(path)
    }

    fn remove_dir(&self, path: &Path) -> Result<(), Error> {
        self.env.remove_dir(path)
    }

    fn list(&self, dir: &Path) -> Result<Vec<DirEntry>, Error> {
        self.env.list(dir)
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), Error> {
        self.env.sync_dir(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> Result<(), Error> {
        self.env.create_dir_all(dir)
    }

    fn exists(&self, path: &Path) -> Result<bool, Error> {
        self.env.exists(path)
    }

    fn lock(&self, path: &Path) -> Result<LockGuard, Error> {
        self.env.lock(path)
    }

    fn free_bytes(&self) -> Result<u64, Error> {
        self.env.free_bytes()
    }

    fn queue(&self, wake: Wake) -> Result<Box<dyn DiskQueue>, Error> {
        self.env.queue(wake)
    }
}
