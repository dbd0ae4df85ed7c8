//! A machine whose archive lies in an object store.

use std::sync::Arc;

use super::Store;
use crate::env::Env;
use crate::forward_env;

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
    forward_env!(env: mirror now random core_clock spawn open open_read create rename exchange link remove remove_dir list sync_dir create_dir_all exists lock free_bytes queue);

    fn store(&self) -> Option<&dyn Store> {
        Some(&*self.store)
    }
}
