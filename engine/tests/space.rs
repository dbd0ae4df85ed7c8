//! A disk that fills up under the engine: documents are deferred, unanswered, and accepted again when space returns.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Till, life};
use ofd_engine::{Engine, Health, Outcome, Unanswered};
use ofd_storage::env::{DirEntry, LockGuard, Task, Wake};
use ofd_storage::{Completion, DiskOp, DiskQueue, Env, Error, File, Now, RealEnv, execute};

/// The real machine with as many free bytes as the test says.
#[derive(Clone)]
struct Metered {
    real: RealEnv,
    free: Arc<AtomicU64>,
}

impl Env for Metered {
    fn free_bytes(&self) -> Result<u64, Error> {
        Ok(self.free.load(Ordering::Relaxed))
    }

    fn queue(&self, wake: Wake) -> Result<Box<dyn DiskQueue>, Error> {
        Ok(Box::new(Inline { env: self.clone(), wake, ops: Vec::new() }))
    }

    fn now(&self) -> Now {
        self.real.now()
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

/// Runs every operation in the writer's own thread, over the metered machine.
struct Inline {
    env: Metered,
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

fn await_health(engine: &Engine, wanted: Health) {
    let begin = Instant::now();
    while engine.health() != wanted {
        assert!(begin.elapsed() < Duration::from_secs(20), "{:?} instead of {wanted:?}", engine.health());
        std::thread::sleep(Duration::from_millis(2));
    }
}

// Fault 8: what is reserved is used up, then nobody is answered and nobody is refused, three times over.
#[test]
fn a_full_disk_defers_documents_and_free_space_takes_them_again() {
    let dir = tempfile::tempdir().unwrap();
    let free = Arc::new(AtomicU64::new(u64::MAX));
    let env = Metered { real: RealEnv::new(dir.path()), free: Arc::clone(&free) };
    let engine = Engine::builder(dir.path())
        .segment_len_bytes(1 << 20)
        .append_deadline_us(100_000)
        .env(Arc::new(env))
        .open()
        .unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let messages: Vec<Bytes> = life(1, 1, 12_000).into_iter().map(Bytes::from).collect();
    let mut left = messages.chunks(200);
    let mut answered = 0u64;
    let till = life(2, 2, 600);
    let mut of_till = till.iter();
    for _ in 0..3 {
        free.store(1 << 20, Ordering::Relaxed);
        let turned_away = loop {
            let outcomes = engine.submit_batch(left.next().unwrap().to_vec()).unwrap().wait();
            let stored = outcomes.iter().filter(|it| matches!(it, Outcome::Answered { .. })).count();
            answered += stored as u64;
            if let Some(away) = outcomes.iter().find(|it| matches!(it, Outcome::Unanswered(_))) {
                break away.clone();
            }
        };
        assert_eq!(turned_away, Outcome::Unanswered(Unanswered::Overloaded));
        assert_eq!(engine.health(), Health::Deferring);
        // A register is not answered, once the last gap is filled; its connection is closed, so that it keeps its
        // document and returns.
        let kept = of_till.find(|message| {
            let answer = Till::connect(address).ask(message);
            answered += u64::from(answer.is_some());
            answer.is_none()
        });
        free.store(u64::MAX, Ordering::Relaxed);
        await_health(&engine, Health::Ready);
        assert!(Till::connect(address).ask(kept.unwrap()).is_some());
        answered += 1;
    }
    assert!(answered > 1_000, "{answered}");
    engine.shutdown().unwrap();
    drop(engine);
    let again = Engine::builder(dir.path()).open().unwrap();
    assert_eq!(again.status().unwrap().documents, answered);
}
