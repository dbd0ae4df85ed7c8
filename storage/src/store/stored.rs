//! A machine whose archive lies in an object store.

use std::path::Path;
use std::sync::Arc;

use super::Store;
use crate::env::{DirEntry, DiskQueue, Env, File, LockGuard, Mirror, Now, Task, Wake};
use crate::error::Error;

/// An [`Env`] that names the store of its archive.
pub struct Stored {
    env: Arc<dyn Env>,
    store: Arc<dyn Store>,
}

impl Stored {
    /// The machine `env`, with the store of its archive.
    pub fn new(env: Arc<dyn Env>, store: Arc<dyn Store>) -> Self {
        Self { env, store }
    }
}

impl Env for Stored {
    fn store(&self) -> Option<&dyn Store> {
        Some(&*self.store)
    }

    fn mirror(&self) -> Option<&Mirror> {
        self.env.mirror()
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
