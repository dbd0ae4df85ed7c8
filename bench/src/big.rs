//! A log as large as a week of a small operator: how soon does an engine accept after a crash, how fast is a document found?
//!
//! `--big DIR` names the folder. It is filled when it is not there, with `--big-segments` sealed segments of 64 MiB (320 =
//! 20 GB by default) of documents of four million drives in turn, and stays there for the next run. Containers are those of
//! the corpus; drive and number stand in the envelope alone, which is what lanes and indexes read. The first start after
//! that makes the index files, which takes minutes and is not measured.
//!
//! `--memory-mib` puts the process under a limit of memory (cgroup v1, as root) that the page cache counts against, after the
//! cache has forgotten the folder: then `find.cold` asks for documents nobody has asked for, and most come from the disk.
//!
//! `lanes.idle` and `lanes.awake` are the memory of a process that has opened the engine and does nothing else, so they are
//! taken in a child: what the system counts as resident, maps of files included. Idle are the lanes of a start that reads a
//! checkpoint; awake are those of a start that reads every document from the log, when no index is there yet.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use ofd_codec::{CONTAINER_HEADER_LEN, DocumentView, DriveNumber, SESSION_HEADER_LEN, TRAILER_LEN};
use ofd_engine::host::Capability;
use ofd_engine::{Engine, Outcome, partition_of};
use ofd_storage::envelope::{AdmissionVerdict, CryptoVerdict, Envelope, Provenance, Realm};
use ofd_storage::{Driver, Env, LogOptions, NewRecord, RealEnv, RecordKind, recover};

use crate::Plan;
use crate::asked::{Asked, measure};
use crate::corpus::Corpus;
use crate::harness::{Figure, Pair, ROUNDS_FEW, Sink, interleave};

/// Drives the documents come from.
const DRIVES: u64 = 4_000_000;
/// Bytes of a segment.
const SEGMENT_LEN: u64 = 64 << 20;
/// Memory that four million lanes may take, nobody of them sending, GB.
const IDLE_MAX: f64 = 1.5;
/// Memory that they may take with all shifts open, GB.
const AWAKE_MAX: f64 = 5.0;
/// Documents asked for in a round.
const ASKED: u64 = 2000;
/// Room that is left to others on the disk, bytes.
const LEFT_FREE: u64 = 8 << 30;
/// Longest wait for the index files of a large log.
const INDEX_TIME_MAX: Duration = Duration::from_secs(1800);
/// Documents that come in before a crash.
const BEFORE_CRASH: usize = 5000;

/// What was asked for.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct BigArguments {
    /// Folder of a large log; it is made when it is not there, and stays.
    #[arg(long, value_name = "DIR")]
    pub(crate) big: Option<PathBuf>,
    /// Sealed segments of the large log when it is made.
    #[arg(long, default_value_t = 320)]
    pub(crate) big_segments: u64,
    /// Memory of this process and of the page cache it fills, MiB (needs root and cgroup v1).
    #[arg(long)]
    pub(crate) memory_mib: Option<u64>,
    /// Used by the benchmark itself: takes documents in and dies without a word.
    #[arg(long, hide = true)]
    pub(crate) crash: bool,
    /// Used by the benchmark itself: opens the engine and tells its memory.
    #[arg(long, hide = true)]
    pub(crate) weigh: bool,
}

/// The number of the document that lies `at`th in the log, and its drive.
fn key(at: u64) -> anyhow::Result<(DriveNumber, u32)> {
    let drive = DriveNumber::parse(&format!("9960440{:09}", 300_000_000 + at % DRIVES))?;
    Ok((drive, u32::try_from(at / DRIVES + 1)?))
}

/// Runs the figures of a large log, if one was asked for.
///
/// # Errors
/// Of the disk and of the engine.
pub(crate) fn run(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    let Some(dir) = &plan.big.big else { return Ok(()) };
    if plan.big.crash {
        return die(plan, dir);
    }
    if plan.big.weigh {
        return weigh(dir);
    }
    if let Some(mebibytes) = plan.big.memory_mib {
        limit_memory(mebibytes)?;
    }
    let documents = make(plan, sink, dir)?;
    if plan.big.memory_mib.is_some() {
        forget(dir)?;
    }
    if plan.wants(&["recover.open.big"]) {
        open(plan, sink, dir)?;
    }
    if plan.wants(&["lanes.idle"]) {
        let rounds: Vec<Weight> = (0..ROUNDS_FEW).map(|_| weighed(dir)).collect::<anyhow::Result<_>>()?;
        tell_weights(sink, ["lanes.idle", "lanes.idle.peak"], IDLE_MAX, &rounds)?;
    }
    if plan.wants(&["find.warm.p99", "find.cold.p99"]) {
        find(plan, sink, dir, documents)?;
    }
    Ok(())
}

/// Fills the folder; how many documents there are.
fn make(plan: &Plan, sink: &mut Sink, dir: &Path) -> anyhow::Result<u64> {
    let told = dir.join("documents");
    if let Ok(text) = std::fs::read_to_string(&told) {
        return Ok(text.trim().parse()?);
    }
    let env: Arc<dyn Env> = Arc::new(RealEnv::new(dir));
    env.create_dir_all(Path::new(""))?;
    // The log, its index files and the checkpoints of the lanes.
    let need = plan.big.big_segments * SEGMENT_LEN * 5 / 4 + (2 << 30) + LEFT_FREE;
    let free = env.free_bytes()?;
    anyhow::ensure!(free > need, "{free} bytes are free, {need} are needed for the large log");
    let corpus = Corpus::new(plan.seed, 2000, 20_000);
    let forms: Vec<u8> = corpus
        .plains()
        .map(|plain| Ok(DocumentView::new_checked(plain)?.form().0))
        .collect::<anyhow::Result<_>>()?;
    let messages: Vec<&[u8]> = corpus.messages().collect();
    let (log, _) = recover(Arc::clone(&env), LogOptions::default(), &mut |_, _| {})?;
    let mut driver = Driver::new(Arc::clone(&env), log)?;
    let (mut at, mut written) = (0_u64, 0_u64);
    let started = Instant::now();
    while written < plan.big.big_segments * (SEGMENT_LEN - (1 << 20)) {
        let (drive, number) = key(at)?;
        let message = messages.get(at as usize % messages.len()).copied().unwrap_or_default();
        let form = forms.get(at as usize % forms.len()).copied().unwrap_or_default();
        let (session, container) = message.split_first_chunk::<SESSION_HEADER_LEN>().context("a message")?;
        let envelope = Envelope {
            provenance: Provenance::Live,
            realm: Realm::Prod,
            crypto: CryptoVerdict::Unverified,
            admission: AdmissionVerdict::Accepted,
            reason: 0,
            rule_set: 1,
            drive: *drive.as_bytes(),
            number,
            form,
            variant: 0,
            peer_address: [0; 16],
            peer_port: 0,
            operator_time: 1,
            answered_at_us: 0,
            session: *session,
            container,
            plain: container.get(CONTAINER_HEADER_LEN..container.len() - TRAILER_LEN).unwrap_or_default(),
            detail: &[],
        };
        let head = envelope.head()?;
        let parts = envelope.parts(&head);
        let record = NewRecord {
            kind: RecordKind::Document,
            flags: 0,
            partition: partition_of(drive.as_bytes()),
            key_id: 0,
            answer_code: 0,
            parts: &parts,
        };
        written += 72 + parts.iter().map(|part| part.len() as u64).sum::<u64>();
        let _ = driver.append(record)?;
        at += 1;
    }
    driver.seal_all()?;
    let newest = driver.log().reader().sealed_segments().last().map_or(0, |segment| segment.id.get());
    driver.shutdown()?;
    let seconds = started.elapsed().as_secs_f64();
    eprintln!(
        "{at} documents, {written} bytes in {seconds:.0} s: {:.0} MB/s",
        written as f64 / seconds / 1e6
    );
    if plan.wants(&["lanes.awake"]) {
        let all = (0..ROUNDS_FEW).map(|_| {
            // What the process before has made of the index is not to spare this one the log.
            env.list(Path::new("index"))
                .unwrap_or_default()
                .iter()
                .try_for_each(|it| env.remove(&Path::new("index").join(&it.name)))?;
            weighed(dir)
        });
        let rounds: Vec<Weight> = all.collect::<anyhow::Result<_>>()?;
        tell_weights(sink, ["lanes.awake", "lanes.awake.peak"], AWAKE_MAX, &rounds)?;
    }
    let started = Instant::now();
    let engine = Engine::builder(dir).open()?;
    // Index files and a checkpoint are made behind the watermark: only then a start need not read the log.
    while !is_indexed(dir, newest)? {
        anyhow::ensure!(started.elapsed() < INDEX_TIME_MAX, "the index does not come to an end");
        std::thread::sleep(Duration::from_millis(200));
    }
    engine.shutdown()?;
    eprintln!("the first start, which makes the index files: {:.1} s", started.elapsed().as_secs_f64());
    std::fs::write(told, at.to_string())?;
    Ok(at)
}

/// Whether index files cover all segments up to `newest`, and a checkpoint was made.
fn is_indexed(dir: &Path, newest: u32) -> anyhow::Result<bool> {
    let (mut covered, mut kept) = (false, false);
    for entry in std::fs::read_dir(dir.join("index"))? {
        let name = entry?.file_name();
        let name = name.to_str().unwrap_or_default();
        let last = name.strip_suffix(".idx").and_then(|name| name.rsplit_once('-'));
        covered |=
            last.is_some_and(|(_, last)| u32::from_str_radix(last, 16).is_ok_and(|last| last >= newest));
        kept |= name.ends_with(".fold");
    }
    Ok(covered && kept)
}

/// Documents of drives that the large log does not know, so that the rounds do not meet one another.
fn newcomers(plan: &Plan, round: u64, count: usize) -> Vec<Bytes> {
    let seed = plan.seed ^ (u64::from(std::process::id()) << 16) ^ (round << 48);
    Corpus::new(seed, 500, count).shared()
}

/// Takes documents in and dies as a process dies that is killed.
fn die(plan: &Plan, dir: &Path) -> anyhow::Result<()> {
    let engine = Engine::builder(dir).open()?;
    let waiting = engine.submit_batch(newcomers(plan, 0, BEFORE_CRASH))?;
    drop(waiting.wait());
    std::process::abort()
}

/// Memory of a process with an open engine, bytes.
struct Weight {
    drives: u64,
    resident: f64,
    peak: f64,
}

/// Opens the engine, tells drives, memory and the most memory there ever was, and dies.
fn weigh(dir: &Path) -> anyhow::Result<()> {
    let engine = Engine::builder(dir).open()?;
    let drives = engine.status()?.drives;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let kibibytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().split(' ').next()?.parse::<u64>().ok()
    };
    let resident = kibibytes("VmRSS:").context("the system does not tell what is resident")?;
    let peak = kibibytes("VmHWM:").context("the system does not tell the peak")?;
    println!("{drives} {resident} {peak}");
    std::process::abort()
}

/// What a child weighs that does nothing but open the engine.
fn weighed(dir: &Path) -> anyhow::Result<Weight> {
    let mut child = Command::new(std::env::current_exe()?);
    child.arg("big").arg("--weigh").arg("--big").arg(dir).stderr(std::process::Stdio::null());
    let text = String::from_utf8(child.output()?.stdout)?;
    let told: Vec<u64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [drives, resident, peak] = *told.as_slice() else { anyhow::bail!("the child said {text:?}") };
    Ok(Weight { drives, resident: resident as f64 * 1024.0, peak: peak as f64 * 1024.0 })
}

/// Two figures beside a limit.
fn tell_weights(sink: &mut Sink, names: [&'static str; 2], most: f64, told: &[Weight]) -> anyhow::Result<()> {
    let drives = told.first().map_or(0, |it| it.drives);
    eprintln!("{}: {drives} lanes", names[0]);
    let vs = "what the goal allows for four million lanes";
    let pairs = |of: fn(&Weight) -> f64| told.iter().map(|it| (of(it) / 1e9, most)).collect::<Vec<Pair>>();
    sink.figure(Figure::time(names[0], "GB", vs), &pairs(|it| it.resident), told.len() as u64)?;
    sink.figure(Figure::time(names[1], "GB", vs), &pairs(|it| it.peak), told.len() as u64)
}

/// From the call to the first document that is answered, after a crash.
fn open(plan: &Plan, sink: &mut Sink, dir: &Path) -> anyhow::Result<()> {
    let (mut drives, mut rounds) = (0, 0);
    let pairs: Vec<Pair> = interleave(
        ROUNDS_FEW,
        || {
            let mut child = Command::new(std::env::current_exe()?);
            child.arg("log").arg("--crash").arg("--big").arg(dir).stderr(std::process::Stdio::null());
            anyhow::ensure!(!child.status()?.success(), "the child was to die");
            rounds += 1;
            let newcomer = newcomers(plan, rounds, 1);
            let started = Instant::now();
            let engine = Engine::builder(dir).open()?;
            let ticket = engine.submit_batch(newcomer)?;
            let outcomes = ticket.wait();
            let elapsed = started.elapsed().as_secs_f64();
            anyhow::ensure!(
                outcomes.iter().all(|it| matches!(it, Outcome::Answered { .. })),
                "not answered: {outcomes:?}"
            );
            drives = engine.status()?.drives;
            engine.shutdown()?;
            Ok(elapsed * 1e3)
        },
        || {
            let started = Instant::now();
            let mut block = [0; 4096];
            for entry in std::fs::read_dir(dir.join("log"))? {
                let path = entry?.path();
                if path.extension().is_some_and(|it| it == "seg") {
                    let file = File::open(path)?;
                    file.read_exact_at(&mut block, 0)?;
                    file.read_exact_at(&mut block, file.metadata()?.len() - 4096)?;
                    black_box(&block);
                }
            }
            Ok(started.elapsed().as_secs_f64() * 1e3)
        },
    )?;
    eprintln!("{drives} drives are known after opening");
    let figure = Figure::time("recover.open.big", "ms", "first and last block of every segment, read once");
    sink.figure(figure, &pairs, ROUNDS_FEW as u64)
}

/// 99th percentile of single questions: of documents nobody asked for before, and of the same ones once more.
fn find(plan: &Plan, sink: &mut Sink, dir: &Path, documents: u64) -> anyhow::Result<()> {
    let engine = Engine::builder(dir).open()?;
    let capability = Capability::operator();
    let segments: Vec<File> = std::fs::read_dir(dir.join("log"))?
        .filter_map(Result::ok)
        .filter(|entry| entry.path().extension().is_some_and(|it| it == "seg"))
        .map(|entry| File::open(entry.path()))
        .collect::<Result<_, _>>()?;
    let find = |document: u64| {
        let (drive, number) = key(document)?;
        Ok(engine.find(&capability, drive, number)?.len() == 1)
    };
    let asked = Asked {
        names: ["find.warm.p99", "find.cold.p99"],
        unit: ("us", 1e3),
        count: ASKED,
        documents,
        files: &segments,
    };
    measure(plan, sink, &asked, &find)?;
    engine.shutdown()?;
    Ok(())
}

/// Lets the page cache forget the folder: what it holds was read by others, and counts for them.
pub(crate) fn forget(dir: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            forget(&path)?;
        } else {
            rustix::fs::fadvise(&File::open(path)?, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}

/// Puts this process into a group of its own; what it reads into the page cache counts.
pub(crate) fn limit_memory(mebibytes: u64) -> anyhow::Result<()> {
    let group = Path::new("/sys/fs/cgroup/memory").join(format!("ofd-bench-{}", std::process::id()));
    std::fs::create_dir_all(&group).context("a memory group needs root and cgroup v1")?;
    std::fs::write(group.join("memory.limit_in_bytes"), (mebibytes << 20).to_string())?;
    std::fs::write(group.join("cgroup.procs"), std::process::id().to_string())?;
    Ok(())
}
