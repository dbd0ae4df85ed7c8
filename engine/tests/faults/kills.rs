//! kill -9 at random moments, restart after restart on one directory.
//!
//! `OFD_KILLS=1000 cargo test --release -p ofd-engine --test faults kills -- --nocapture` makes more of them.

use std::io::Write;
use std::time::{Duration, Instant};

use ofd_emit::Prng;

use crate::say;
use crate::victim::{confirmed, look, start};

const KILLS: u64 = if cfg!(debug_assertions) { 20 } else { 60 };

/// The time of a life that nobody ends.
fn undisturbed() -> Duration {
    let home = tempfile::tempdir().unwrap();
    let mut victim = start(home.path(), 0);
    let began = Instant::now();
    drop(victim.stdin.take().map(|mut stdin| stdin.write_all(b"\n")));
    assert!(victim.wait().unwrap().success(), "a life without a kill");
    began.elapsed()
}

// A kill at any moment of a life or of its recovery: page cache is not lost, so what is found are wrong orders.
#[test]
fn kill_after_kill_loses_nothing_confirmed() {
    let kills: u64 = std::env::var("OFD_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let mut moments = Prng::new(std::process::id().into(), 3);
    let (mut documents, mut deaths) = (0, 0);
    // How long a life takes on this machine, beside whatever else it does now: a moment is any of it.
    let whole_us = u64::try_from(undisturbed().as_micros()).unwrap();
    let began = Instant::now();
    // A life is resumed until it comes to its end; then another begins, with documents of its own.
    let mut home = tempfile::tempdir().unwrap();
    let mut life = 0;
    for _ in 0..kills {
        let mut victim = start(home.path(), life);
        drop(victim.stdin.take().map(|mut stdin| stdin.write_all(b"\n")));
        std::thread::sleep(Duration::from_micros(moments.between(0, whole_us)));
        // Its own child, by its handle.
        victim.kill().unwrap();
        let status = victim.wait().unwrap();
        let stderr = std::fs::read_to_string(home.path().join("stderr")).unwrap();
        assert!(status.code().is_none_or(|code| code == 0), "{status}: {stderr}");
        deaths += u64::from(status.code().is_none());
        let confirmed = confirmed(home.path());
        let found =
            look(home.path(), life, &confirmed).unwrap_or_else(|broken| panic!("life {life}: {broken}"));
        assert_eq!(found.missing, 0, "life {life}: confirmed documents are lost");
        if status.success() || moments.between(0, 9) == 0 {
            documents += confirmed.len();
            home = tempfile::tempdir().unwrap();
            life += 1;
        }
    }
    documents += confirmed(home.path()).len();
    let seconds = began.elapsed().as_millis().max(1);
    let rate = u128::from(kills) * 10_000 / seconds;
    say(&format!(
        "kills: {deaths} of {kills} victims killed before their end, within {} ms, {documents} documents confirmed, lost 0 doubled 0, \
         {}.{} cycles/s with a look at everything after each",
        whole_us / 1_000,
        rate / 10,
        rate % 10
    ));
    assert!(deaths > 0 && documents > 0, "nothing was tried");
}
