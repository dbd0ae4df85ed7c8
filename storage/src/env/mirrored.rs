//! A machine with a second device that keeps a copy of the log.
//!
//! It is the first machine in everything, and names the second: recovery brings the copy up to date and attaches it
//! to the log, readers fall back on it, and whoever removes a segment removes it there, too.

use std::sync::Arc;

use super::Env;
use crate::forward_env;
use crate::sink::SinkFailure;

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
    forward_env!(env: store now random core_clock spawn open open_read create rename exchange link remove remove_dir list sync_dir create_dir_all exists lock free_bytes queue);

    fn mirror(&self) -> Option<&Mirror> {
        Some(&self.mirror)
    }
}
