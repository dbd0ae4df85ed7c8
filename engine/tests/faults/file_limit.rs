//! RLIMIT_FSIZE with SIGXFSZ ignored: writes fail with EFBIG, which is a storage fault as any other.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ofd_emit::{ProfileOptions, Register};
use ofd_engine::host::Capability;
use ofd_engine::{Engine, ErrorKind, Health, Outcome};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::common;
use crate::victim::builder;

const HOME: &str = "OFD_LIMIT_HOME";

fn limit(bytes: Option<u64>) {
    setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

/// Submits until `done`; tells the last document that was answered.
fn submit_until(engine: &Engine, register: &mut Register, done: impl Fn(&Outcome) -> bool) -> Option<Bytes> {
    let (began, mut last) = (Instant::now(), None);
    let mut again: Option<Bytes> = None;
    loop {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing happens; {:?}", engine.health());
        let message = again.take().unwrap_or_else(|| {
            let mut message = Vec::new();
            register.next_message(&mut message).unwrap();
            Bytes::from(message)
        });
        let outcome = engine.submit_batch(vec![message.clone()]).unwrap().wait().remove(0);
        if matches!(outcome, Outcome::Answered { code: 0, .. }) {
            last = Some(message);
        } else {
            again = Some(message);
            std::thread::sleep(Duration::from_millis(2));
        }
        if done(&outcome) {
            return last;
        }
    }
}

// Not a test by itself: a limit is that of a whole process, so it takes one of its own.
#[test]
fn the_limited() {
    let Some(home) = std::env::var_os(HOME) else { return };
    // From the beginning: no segment can be made, and the message says why.
    limit(Some(512 << 10));
    let refused = builder(Path::new(&home)).open().expect_err("there is no room for a segment");
    assert_eq!(refused.kind(), ErrorKind::Reopen, "{refused}");
    assert!(refused.to_string().contains("File too large"), "{refused}");
    limit(None);
    // In the middle: the open segment cannot be written to its end, and there is no way out of it. That is a disk that
    // failed twice: nothing more is answered, and what was answered is there.
    let engine = builder(Path::new(&home)).open().unwrap();
    let mut register = Register::new(7, 0, &ProfileOptions::default());
    let first = submit_until(&engine, &mut register, |_| true).unwrap();
    limit(Some(512 << 10));
    let last = submit_until(&engine, &mut register, |outcome| matches!(outcome, Outcome::Unanswered(_)));
    assert_eq!(engine.health(), Health::Failed);
    limit(None);
    let _ = engine.shutdown();
    drop(engine);
    let engine = builder(Path::new(&home)).open().unwrap();
    for message in [first, last.unwrap()] {
        let (drive, number) = (common::drive(&message), common::number(&message));
        let found = engine.find(&Capability::operator(), drive, number).unwrap();
        assert_eq!((found.len(), found[0].container()), (1, &message[30..]));
    }
}

// `ofd serve` ignores the signal itself; whoever embeds the engine has to.
#[test]
fn a_limit_on_the_length_of_files_is_a_storage_fault() {
    let home = tempfile::tempdir().unwrap();
    let limited = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" --exact file_limit::the_limited --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env(HOME, home.path().join("data"))
        .stdout(Stdio::null())
        .output()
        .unwrap();
    assert!(limited.status.success(), "{}: {}", limited.status, String::from_utf8_lossy(&limited.stderr));
}
