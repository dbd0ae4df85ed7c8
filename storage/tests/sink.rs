//! A further copy that a host requires: nothing is durable before it has answered, too.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

mod machine_support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use ofd_storage::env::Wake;
use ofd_storage::{Carried, Env, Error, ErrorKind, Held, Lsn, Now, Sink, SinkFailure};

use machine_support::Machine;

/// What a copy was given.
type Given = Vec<(Lsn, Vec<u8>)>;

/// It counts what it was given and answers when it likes.
#[derive(Clone, Default)]
struct Counting {
    seen: Arc<Mutex<Given>>,
    taken: Lsn,
    answers: Arc<AtomicBool>,
    held: Lsn,
}

impl Sink for Counting {
    fn start(&mut self, _wake: Wake) -> Result<(), Error> {
        Ok(())
    }

    fn take(&mut self, carried: Carried) {
        let mut seen = self.seen.lock().unwrap();
        seen.extend(carried.records().map(|record| (record.lsn(), record.payload().to_vec())));
        self.taken = self.taken.max(carried.last());
    }

    fn poll(&mut self, _now: Now) -> Result<Held, Error> {
        if self.answers.load(Ordering::Relaxed) {
            self.held = self.taken;
        }
        Ok(Held { through: self.held, settled: true, ..Held::default() })
    }
}

#[test]
fn a_copy_of_the_host_adds_to_the_local_sync() {
    let mut machine = Machine::new();
    let (copy, now) = (Counting::default(), machine.env.now());
    let (seen, answers) = (Arc::clone(&copy.seen), Arc::clone(&copy.answers));
    machine.log.attach(Box::new(copy), now, SinkFailure::Stop).unwrap();
    for at in 1..50u64 {
        answers.store(at % 5 != 0, Ordering::Relaxed);
        let appended = machine.append(&at.to_le_bytes());
        assert_eq!(machine.rest().durable == appended.lsn, at % 5 != 0, "{at}");
    }
    let seen = seen.lock().unwrap();
    assert!(
        seen.iter()
            .zip(1u64..)
            .all(|((lsn, payload), at)| { lsn.get() == at && payload[..] == at.to_le_bytes() })
    );
    assert_eq!(seen.len(), 49);
}

// Its answer may come later than the local sync, and a header says what is proven on both.
#[test]
fn nothing_waits_at_the_disk_where_a_copy_answers_too() {
    let mut machine = Machine::new();
    let (copy, now) = (Counting::default(), machine.env.now());
    let _ = machine.append(b"in flight");
    machine.step();
    let second = machine.append(b"waits at the disk");
    machine.log.close_batch();
    machine.step();
    let refused = machine.log.attach(Box::new(copy.clone()), now, SinkFailure::Stop);
    assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::Retry));
    assert_eq!(machine.rest().durable, second.lsn);
    let answers = Arc::clone(&copy.answers);
    machine.log.attach(Box::new(copy), now, SinkFailure::Stop).unwrap();
    let _ = machine.append(b"in flight");
    machine.step();
    let last = machine.append(b"waits in memory");
    machine.log.close_batch();
    let before = machine.env.stats().syncs;
    assert_eq!(machine.rest().durable, second.lsn);
    assert_eq!(machine.env.stats().syncs - before, 1);
    answers.store(true, Ordering::Relaxed);
    assert_eq!(machine.rest().durable, last.lsn);
}
