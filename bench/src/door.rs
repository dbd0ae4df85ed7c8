//! The open port under what an operator lives with: an outage that ends, slow clients, idle connections, one connection a
//! document for a minute, and a message broker beside it.
//!
//! Client and server share the machine, so that every figure is of both. Connections of the client come from many addresses of
//! 127.0.0.0/8: one has only so many ports.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use ofd_emit::{ProfileOptions, Register};
use ofd_engine::{Engine, Limits};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::Plan;
use crate::enemies::{Deeds, Enemies};
use crate::harness::{Figure, Sink};
use crate::log::fresh;
use crate::server::{Echo, answer_len, runtime};

/// How long a register waits before it tries again.
pub(crate) const RETRY: Duration = Duration::from_millis(500);
/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the figures of the door.
///
/// # Errors
/// Of the engine or the network.
pub(crate) fn run(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    let files = raise_files();
    if plan.wants(&["door.idle"]) {
        idle(plan, sink, files)?;
    }
    if plan.wants(&["door.outage"]) {
        outage(plan, sink)?;
    }
    if plan.wants(&["door.slow"]) {
        slow(plan, sink)?;
    }
    if plan.wants(&["door.perdoc"]) {
        per_document(plan, sink)?;
    }
    Ok(())
}

/// As many open files as the system lets; root may lift its own limit.
pub(crate) fn raise_files() -> u64 {
    let most = std::fs::read_to_string("/proc/sys/fs/nr_open").ok();
    let most = most.and_then(|it| it.trim().parse::<u64>().ok()).unwrap_or(1 << 20);
    let lifted = Rlimit { current: Some(most), maximum: Some(most) };
    if setrlimit(Resource::Nofile, lifted).is_err() {
        let limit = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(most)
}

/// Limits for a house whose registers all share our address.
fn open_house() -> Limits {
    Limits {
        connections_max: 1_000_000,
        network_connections_max: 1_000_000,
        accepts_per_s: 1_000_000,
        ..Limits::default()
    }
}

/// An address of the client's side, another for each two thousand connections: the more ports of one are taken, the longer the
/// system looks for a free one.
fn from(number: usize) -> SocketAddr {
    let host = u32::try_from(number / 2_000 + 2).unwrap_or(2);
    SocketAddr::from((Ipv4Addr::from(0x7F00_0000 + host), 0))
}

/// A connection from an address of its own.
///
/// # Errors
/// Of the network.
pub(crate) async fn connect(number: usize, address: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(from(number))?;
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Resident memory of this process, bytes.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|it| it.parse::<u64>().ok()).unwrap_or_default();
    pages * 4096
}

/// Kernel memory of all sockets, bytes.
fn kernel() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let slab = text.lines().find_map(|line| line.strip_prefix("Slab:"));
    slab.and_then(|it| it.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or_default() * 1024
}

/// Connections that have sent one document, had their answer, and rest: bytes of the process for each.
fn idle(plan: &Plan, sink: &mut Sink, files: u64) -> anyhow::Result<()> {
    // Both ends of each are ours.
    let many =
        usize::try_from(files.saturating_sub(2_000) / 2)?.min(if plan.quick { 5_000 } else { 200_000 });
    let dir = plan.temp_dir()?;
    let home = fresh(&dir, "engine")?;
    let engine = Engine::builder(home.path())
        .limits(Limits { idle_timeout_us: 3_600_000_000, ..open_house() })
        .open()?;
    let address = engine.listen("127.0.0.1:0")?;
    let mut message = Vec::new();
    Register::new(plan.seed, 0, &ProfileOptions::default())
        .next_message(&mut message)
        .context("a life that ends")?;
    let mut answer = vec![0; answer_len()?];
    let mut held = Vec::with_capacity(many);
    let pair = runtime()?.block_on(async {
        // What the first thousand cost beside connections has been paid.
        let mut before = (0, 0);
        for number in 0..many {
            if number == 1_000 {
                before = (resident(), kernel());
            }
            let mut stream = connect(number, address).await?;
            stream.write_all(&message).await?;
            stream.read_exact(&mut answer).await?;
            // A registered socket costs the client's runtime memory, too, which is not the server's.
            held.push(stream.into_std()?);
        }
        let each = (many - 1_000) as f64;
        let ours = (resident().saturating_sub(before.0)) as f64 / each;
        let kernels = (kernel().saturating_sub(before.1)) as f64 / each;
        anyhow::Ok((ours, kernels))
    })?;
    eprintln!("door.idle: {many} connections");
    drop(held);
    engine.shutdown()?;
    let figure =
        Figure::time("door.idle", "bytes", "slab memory of the kernel for both ends; at most 5 KiB wanted");
    sink.figure(figure, &[pair], many as u64)
}

/// Waits and answers of many registers.
#[derive(Default)]
struct Tally {
    done: AtomicU64,
    retries: AtomicU64,
}

/// Registers that come back at once, each with a backlog, one document in flight, and try again every half second.
fn outage(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    let (registers, backlog) = if plan.quick { (1_000, 10) } else { (20_000, 50) };
    let dir = plan.temp_dir()?;
    let home = fresh(&dir, "engine")?;
    let engine = Engine::builder(home.path()).limits(open_house()).open()?;
    let address = engine.listen("127.0.0.1:0")?;
    let tally = Arc::new(Tally::default());
    let answer_len = answer_len()?;
    let started = Instant::now();
    let times = runtime()?.block_on(async {
        let mut tasks = Vec::with_capacity(registers);
        for number in 0..registers {
            let register = Register::new(plan.seed, u32::try_from(number)?, &ProfileOptions::default());
            tasks.push(tokio::spawn(come_back(
                number,
                register,
                backlog,
                address,
                answer_len,
                Arc::clone(&tally),
            )));
        }
        let mut all = Histogram::<u64>::new(3)?;
        for task in tasks {
            all.add(task.await??)?;
        }
        anyhow::Ok(all)
    })?;
    let took = started.elapsed().as_secs_f64();
    let documents = (registers * backlog) as u64;
    let stored = engine.status()?.stored;
    engine.shutdown()?;
    anyhow::ensure!(stored == documents, "{stored} of {documents} documents are stored");
    eprintln!(
        "door.outage: {registers} registers with {backlog} documents each drained in {took:.1} s, {:.0} documents/s; an answer \
         after p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms of the first try; {} tries again; none lost",
        documents as f64 / took,
        times.value_at_quantile(0.5) as f64 / 1e3,
        times.value_at_quantile(0.99) as f64 / 1e3,
        times.max() as f64 / 1e3,
        tally.retries.load(Ordering::Relaxed),
    );
    let figure = Figure::time("door.outage.p99", "ms", "seconds until all was drained");
    sink.figure(figure, &[(times.value_at_quantile(0.99) as f64 / 1e3, took)], documents)
}

/// One register until its backlog is confirmed; microseconds from the first try of each document to its answer.
async fn come_back(
    number: usize,
    mut register: Register,
    backlog: usize,
    address: SocketAddr,
    answer_len: usize,
    tally: Arc<Tally>,
) -> anyhow::Result<Histogram<u64>> {
    let mut times = Histogram::new(3)?;
    let mut open: Option<TcpStream> = None;
    let (mut message, mut answer) = (Vec::new(), vec![0; answer_len]);
    for _ in 0..backlog {
        message.clear();
        register.next_message(&mut message).context("a life that ends")?;
        let begun = Instant::now();
        loop {
            let tried = async {
                let mut stream = match open.take() {
                    Some(stream) => stream,
                    None => connect(number, address).await?,
                };
                stream.write_all(&message).await?;
                stream.read_exact(&mut answer).await?;
                anyhow::Ok(stream)
            };
            match timeout(PATIENCE, tried).await {
                Ok(Ok(stream)) => {
                    open = Some(stream);
                    break;
                }
                _ => {
                    tally.retries.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
        anyhow::ensure!(ofd_emit::check_answer(&answer)?.code == 0, "a document was refused");
        times.record(u64::try_from(begun.elapsed().as_micros())?)?;
        tally.done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(times)
}

/// Honest registers at an even pace, alone and beside ten thousand that send a byte a second and a thousand a second that
/// connect and say nothing: their p99, and what memory it took. The enemies are there before the clock starts.
fn slow(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    let (sluggish, storm, long) = if plan.quick {
        (500, 100, Duration::from_secs(3))
    } else {
        (10_000, 1_000, Duration::from_secs(60))
    };
    let dir = plan.temp_dir()?;
    let home = fresh(&dir, "engine")?;
    let engine = Engine::builder(home.path()).limits(open_house()).open()?;
    let address = engine.listen("127.0.0.1:0")?;
    let answer_len = answer_len()?;
    let alone = runtime()?.block_on(honest(plan.seed, address, answer_len, long / 3))?;
    let before = resident();
    let enemies = Enemies::start(address, sluggish, storm)?;
    let beside = runtime()?.block_on(honest(plan.seed + 1, address, answer_len, long))?;
    let memory = resident().saturating_sub(before);
    let Deeds { bytes, came } = enemies.stop()?;
    engine.shutdown()?;
    let p99 = |it: &Histogram<u64>| it.value_at_quantile(0.99) as f64;
    eprintln!(
        "door.slow: p99 {:.0} us alone, {:.0} us beside {sluggish} slow clients, who sent {:.0} bytes a second, and {:.0} connections a \
         second that said nothing, for {} s; {} MiB more memory",
        p99(&alone),
        p99(&beside),
        bytes as f64 / long.as_secs_f64(),
        came as f64 / long.as_secs_f64(),
        long.as_secs(),
        memory >> 20,
    );
    let figure = Figure::time("door.slow.p99", "us", "the same without enemies; at most twice wanted");
    sink.figure(figure, &[(p99(&beside), p99(&alone))], beside.len())
}

/// 64 registers with 20 documents a second each; microseconds from when each was due.
async fn honest(
    seed: u64,
    address: SocketAddr,
    answer_len: usize,
    long: Duration,
) -> anyhow::Result<Histogram<u64>> {
    const EVERY: Duration = Duration::from_millis(50);
    let mut tasks = Vec::new();
    for number in 0..64u32 {
        tasks.push(tokio::spawn(async move {
            let mut register = Register::new(seed, number, &ProfileOptions::default());
            let mut times = Histogram::<u64>::new(3)?;
            let (mut message, mut answer) = (Vec::new(), vec![0; answer_len]);
            let mut stream = connect(900_000, address).await?;
            let begun = Instant::now();
            let mut due = begun + EVERY * number / 64;
            while due < begun + long {
                tokio::time::sleep_until(due.into()).await;
                message.clear();
                register.next_message(&mut message).context("a life that ends")?;
                stream.write_all(&message).await?;
                stream.read_exact(&mut answer).await.context("an honest register was closed")?;
                times.record(u64::try_from(due.elapsed().as_micros())?)?;
                due += EVERY;
            }
            anyhow::Ok(times)
        }));
    }
    let mut all = Histogram::new(3)?;
    for task in tasks {
        all.add(task.await??)?;
    }
    Ok(all)
}

/// A new connection for every document, for a minute, beside a server that answers at once.
fn per_document(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    let long = if plan.quick { Duration::from_secs(2) } else { Duration::from_secs(60) };
    let dir = plan.temp_dir()?;
    let home = fresh(&dir, "engine")?;
    let engine = Engine::builder(home.path()).limits(open_house()).open()?;
    let ours = strangers(plan.seed, engine.listen("127.0.0.1:0")?, long)?;
    engine.shutdown()?;
    let echo = Echo::start()?;
    let theirs = strangers(plan.seed, echo.address(), long)?;
    echo.stop();
    let figure = Figure::rate(
        "door.perdoc",
        "documents/s",
        "tokio server that stores nothing; 0.6 of it and 5000/s wanted",
    );
    sink.figure(figure, &[(ours, theirs)], (ours * long.as_secs_f64()) as u64)
}

/// 64 registers that connect anew for each document; documents a second.
fn strangers(seed: u64, address: SocketAddr, long: Duration) -> anyhow::Result<f64> {
    let answer_len = answer_len()?;
    let next = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    runtime()?.block_on(async {
        let mut tasks = Vec::new();
        for register in 0..64 {
            let next = Arc::clone(&next);
            tasks.push(tokio::spawn(async move {
                let mut register = Register::new(seed, register, &ProfileOptions::default());
                let (mut message, mut answer) = (Vec::new(), vec![0; answer_len]);
                while begun.elapsed() < long {
                    message.clear();
                    register.next_message(&mut message).context("a life that ends")?;
                    // A closed connection keeps its port for a minute.
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let mut stream = connect(usize::try_from(number)?, address).await?;
                    stream.write_all(&message).await?;
                    stream.read_exact(&mut answer).await.context("closed without an answer")?;
                }
                anyhow::Ok(())
            }));
        }
        for task in tasks {
            task.await??;
        }
        anyhow::Ok(())
    })?;
    Ok(next.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64())
}
