//! The victim: this program again, alone. It opens an engine, submits 200 documents, seals, compacts, shuts down, and
//! writes the number of each confirmed document to a file, at once. And the look at what it left behind.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ofd_engine::host::Capability;
use ofd_engine::{Engine, EngineBuilder, Health, Outcome};

use crate::common::{self, life};

const REGISTERS: u32 = 10;
const DOCUMENTS: usize = 20;
/// Documents of a life.
pub(crate) const ALL: usize = REGISTERS as usize * DOCUMENTS;
/// Documents in one call of `submit_batch`.
const BATCH: usize = 5;
/// Documents of one call more: so many that their commit goes to a thread of its own.
const BATCH_LARGE: usize = 130;
/// A victim that takes longer hangs.
pub(crate) const HANGS_AFTER: Duration = Duration::from_secs(60);
/// Where the victim lives, and which life it leads: set for it alone.
const HOME: &str = "OFD_VICTIM_HOME";
const LIFE: &str = "OFD_VICTIM_LIFE";

/// In the order in which they are submitted: the first of every register, the second of every register, …
fn documents(number: u64) -> Vec<Vec<u8>> {
    let lives: Vec<_> = (0..REGISTERS).map(|register| life(4_711 + number, register, DOCUMENTS)).collect();
    (0..DOCUMENTS).flat_map(|at| lives.iter().map(move |life| life[at].clone())).collect()
}

pub(crate) fn builder(data: &Path) -> EngineBuilder {
    Engine::builder(data).segment_len_bytes(1 << 20).workers(1).io_threads(1)
}

/// The life of the victim. `Err` is what an operator would read.
fn lead(number: u64, data: &Path, confirmed: &mut File) -> Result<(), String> {
    let engine = builder(data).open().map_err(|error| format!("open: {error}"))?;
    let mut problem = None;
    let documents = documents(number);
    let (small, large) = documents.split_at(ALL - BATCH_LARGE);
    let mut frames = (0..).zip(documents.iter().cloned().map(Bytes::from));
    for (turn, part) in small.chunks(BATCH).chain([large]).enumerate() {
        let mut open: Vec<(usize, Bytes)> = frames.by_ref().take(part.len()).collect();
        for attempt in 0.. {
            let frames = open.iter().map(|(_, frame)| frame.clone()).collect();
            let outcomes = engine.submit_batch(frames).map_err(|error| format!("submit: {error}"))?.wait();
            let mut left = Vec::new();
            for ((number, frame), outcome) in open.into_iter().zip(outcomes) {
                match outcome {
                    Outcome::Answered { code: 0, .. } => {
                        // One call a document, past all buffers: a kill between two of them tells the truth.
                        confirmed.write_all(format!("{number}\n").as_bytes()).unwrap();
                    }
                    Outcome::Answered { code, .. } => {
                        return Err(format!("document {number} is answered {code}"));
                    }
                    Outcome::Unanswered(why) if attempt >= 20 || engine.health() == Health::Failed => {
                        return Err(format!("document {number} is not answered: {why}"));
                    }
                    Outcome::Unanswered(_) | Outcome::Kept { .. } => left.push((number, frame)),
                }
            }
            if left.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
            open = left;
        }
        if turn % 5 == 4 {
            problem = engine.seal().err().map(|error| format!("seal: {error}")).or(problem);
        }
    }
    problem = engine.compact(true).err().map(|error| format!("compact: {error}")).or(problem);
    engine.shutdown().map_err(|error| format!("shutdown: {error}"))?;
    problem.map_or(Ok(()), Err)
}

// Not a test by itself: what the others run. Without them around it, it has nothing to do.
#[test]
fn the_victim() {
    let Some(home) = std::env::var_os(HOME) else { return };
    let number = std::env::var(LIFE).unwrap().parse().unwrap();
    let home = Path::new(&home);
    let mut confirmed = File::options().append(true).create(true).open(home.join("confirmed")).unwrap();
    // Whoever watches is attached when the line comes.
    File::create(home.join("waiting")).unwrap();
    let mut word = [0];
    let _ = std::io::stdin().read(&mut word);
    let code = match lead(number, &home.join("data"), &mut confirmed) {
        Ok(()) => 0,
        Err(message) => {
            let _ = writeln!(std::io::stderr(), "error: {message}");
            1
        }
    };
    std::process::exit(code);
}

/// Starts a victim; it waits for a line on its stdin.
pub(crate) fn start(home: &Path, number: u64) -> Child {
    let waiting = home.join("waiting");
    let _ = std::fs::remove_file(&waiting);
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim::the_victim", "--nocapture"])
        .env(HOME, home)
        .env(LIFE, number.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(File::create(home.join("stderr")).unwrap())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while !waiting.exists() {
        assert!(victim.try_wait().unwrap().is_none() && began.elapsed() < HANGS_AFTER, "no victim");
        std::thread::sleep(Duration::from_millis(1));
    }
    victim
}

/// The numbers that a life was confirmed.
pub(crate) fn confirmed(home: &Path) -> BTreeSet<usize> {
    let confirmed = std::fs::read_to_string(home.join("confirmed")).unwrap_or_default();
    confirmed.lines().map(|line| line.parse().unwrap()).collect()
}

/// What is left of a life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// Confirmed and not there.
    pub(crate) missing: usize,
    /// Recovery or a read has reported damage, or a torn end.
    pub(crate) told: bool,
}

/// Opens what a victim left, without faults. `Err` is a broken promise other than a loss: a document twice, other bytes,
/// damage, an archive that differs.
pub(crate) fn look(home: &Path, number: u64, confirmed: &BTreeSet<usize>) -> Result<Look, String> {
    let engine =
        builder(&home.join("data")).open().map_err(|error| format!("it does not open again: {error}"))?;
    let report = engine.recovery().clone();
    let mut look = Look { missing: 0, told: !report.damaged.is_empty() || report.cut.is_some() };
    for (number, message) in documents(number).iter().enumerate() {
        let (drive, fd) = (common::drive(message), common::number(message));
        let found = engine.find(&Capability::operator(), drive, fd).map_err(|error| error.to_string())?;
        match &found[..] {
            [] if confirmed.contains(&number) => look.missing += 1,
            [] => {}
            [one] if one.container() == &message[30..] => {}
            [_] => return Err(format!("document {number} has other bytes")),
            _ => return Err(format!("document {number} is there {} times", found.len())),
        }
    }
    if !report.damaged.is_empty() {
        return if look.missing > 0 { Ok(look) } else { Err(format!("damage: {report:?}")) };
    }
    engine.compact(true).map_err(|error| format!("it does not compact: {error}"))?;
    let verified = engine.verify().map_err(|error| format!("it cannot be verified: {error}"))?;
    if !verified.ok {
        return Err(format!("log and archive differ: {verified:?}"));
    }
    engine.shutdown().map_err(|error| error.to_string())?;
    Ok(look)
}
