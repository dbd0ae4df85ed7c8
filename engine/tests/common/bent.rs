//! A machine that is bent where a test wants it to be.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use ofd_storage::env::Wake;
use ofd_storage::{Completion, DiskOp, DiskQueue, Env, Error, Now, RealEnv, execute, forward_env};

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
    forward_env!(real: random spawn open open_read create rename remove remove_dir list sync_dir create_dir_all exists lock);

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
