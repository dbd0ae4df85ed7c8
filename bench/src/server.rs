//! How many documents a second does the engine confirm over loopback, beside a server that stores nothing?
//!
//! The baseline answers every message with as many bytes as a confirmation has, as soon as it has arrived: the same
//! runtime, connections, sizes and client. What is missing to it is everything an operator is for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use ofd_codec::{ConfirmationRequest, DriveNumber, LocalSeconds, SESSION_HEADER_LEN};
use ofd_engine::Engine;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::Plan;
use crate::corpus::Corpus;
use crate::harness::{Figure, Pair, ROUNDS_FEW, Sink, interleave};
use crate::lane::one_by_one;
use crate::log::{fresh, stand_ready};
use crate::raw::Prewritten;

/// How the documents come.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// Name of the figure.
    pub(crate) bench: &'static str,
    /// Registers, each with a connection.
    pub(crate) connections: usize,
    /// Documents written at once, then as many answers awaited.
    pub(crate) depth: usize,
    /// Writes of one connection, each of `depth` documents.
    pub(crate) turns: usize,
    /// A new connection for every document.
    pub(crate) reconnect: bool,
}

/// The load whose answers are bound by the disk as well.
const C64: &str = "server.c64";
/// Documents that are written and synced one by one a round, to know what a sync takes.
const SYNCS: usize = 300;

/// The loads that are measured.
pub(crate) const LOADS: [Load; 4] = [
    Load { bench: C64, connections: 64, depth: 1, turns: 500, reconnect: false },
    Load { bench: "server.c1000", connections: 1000, depth: 1, turns: 40, reconnect: false },
    Load { bench: "server.pipe16", connections: 64, depth: 16, turns: 100, reconnect: false },
    Load { bench: "server.perdoc", connections: 64, depth: 1, turns: 30, reconnect: true },
];

/// Runs the figures of the server.
///
/// # Errors
/// Of the engine or the network.
pub(crate) fn run(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    for load in LOADS {
        figure(plan, sink, Load { turns: plan.work(load.turns).max(2), ..load })?;
    }
    Ok(())
}

fn figure(plan: &Plan, sink: &mut Sink, load: Load) -> anyhow::Result<()> {
    if !plan.wants(&[load.bench]) {
        return Ok(());
    }
    let documents = load.connections * load.depth * load.turns;
    let registers = u32::try_from(load.connections)?;
    let corpus = Corpus::new(plan.seed, registers, documents);
    let scripts = scripts(&corpus, load);
    let dir = plan.temp_dir()?;
    let bound = load.bench == C64;
    let mut raw = Prewritten::new(&dir.path().join("raw"), 1 << 20)?;
    let rounds = interleave(
        ROUNDS_FEW,
        || confirmed(load, &scripts, &dir, documents),
        || {
            let echo = Echo::start()?;
            let rate = drive(load, &scripts, echo.address, false)?;
            echo.stop();
            let sync = if bound { one_by_one(&mut raw, corpus.messages().take(SYNCS))? } else { 0.0 };
            Ok((rate, sync))
        },
    )?;
    let runs = (ROUNDS_FEW * documents) as u64;
    let pairs: Vec<Pair> = rounds.iter().map(|&(ours, (echo, _))| (ours, echo)).collect();
    let vs = "tokio server that answers at once and stores nothing";
    sink.figure(Figure::rate(load.bench, "documents/s", vs), &pairs, runs)?;
    if !bound {
        return Ok(());
    }
    // Who awaits an answer waits for what the echo takes, for the sync that is on its way and for the one behind it.
    let most = |echo: f64, sync: f64| {
        let connections = load.connections as f64;
        (0.75 * echo).min(connections / (connections / echo + 2.0 * sync))
    };
    let pairs: Vec<Pair> = rounds.iter().map(|&(ours, (echo, sync))| (ours, most(echo, sync))).collect();
    let vs =
        "the lower one of 0.75 of that server, and 64 / (its round trip + 2 raw syncs); at least 0.8 wanted";
    sink.figure(Figure::rate("server.c64.bound", "documents/s", vs), &pairs, runs)?;
    let syncs: Vec<Pair> =
        rounds.iter().map(|&(_, (echo, sync))| (sync * 1e6, load.connections as f64 / echo * 1e6)).collect();
    let vs = "round trip of that server with 64 connections";
    sink.figure(Figure::time("server.c64.sync", "us", vs), &syncs, (ROUNDS_FEW * SYNCS) as u64)
}

/// What each connection writes, write by write. The corpus brings one document of each register in turn; a connection is one
/// register.
pub(crate) fn scripts(corpus: &Corpus, load: Load) -> Vec<Arc<Vec<Bytes>>> {
    let mut scripts: Vec<Vec<Bytes>> = vec![Vec::new(); load.connections];
    let mut writes: Vec<BytesMut> = vec![BytesMut::new(); load.connections];
    for (at, message) in corpus.messages().enumerate() {
        let connection = at % load.connections;
        let (Some(write), Some(script)) = (writes.get_mut(connection), scripts.get_mut(connection)) else {
            continue;
        };
        write.extend_from_slice(message);
        if (at / load.connections + 1).is_multiple_of(load.depth) {
            script.push(std::mem::take(write).freeze());
        }
    }
    scripts.into_iter().map(Arc::new).collect()
}

/// Documents a second that a fresh engine stores and confirms.
fn confirmed(
    load: Load,
    scripts: &[Arc<Vec<Bytes>>],
    dir: &TempDir,
    documents: usize,
) -> anyhow::Result<f64> {
    let home = fresh(dir, "engine")?;
    let engine = Engine::builder(home.path()).open()?;
    stand_ready(&home)?;
    let address = engine.listen("127.0.0.1:0")?;
    let rate = drive(load, scripts, address, true)?;
    let stored = engine.status()?.stored;
    anyhow::ensure!(stored == documents as u64, "{stored} of {documents} documents stored");
    engine.shutdown()?;
    Ok(rate)
}

pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")
}

/// Length of every confirmation.
pub(crate) fn answer_len() -> anyhow::Result<usize> {
    let mut answer = Vec::new();
    let drive = DriveNumber::parse("9999078900000000")?;
    ConfirmationRequest::unsigned(*b"7704211201  ", drive, 1, LocalSeconds(1), 0, [1, 0x20])
        .encode_into(&mut answer)?;
    Ok(answer.len())
}

/// Sends all scripts, each over its connection or connections; documents a second over all.
///
/// # Errors
/// Of the network, and with `check` when a document is refused.
pub(crate) fn drive(
    load: Load,
    scripts: &[Arc<Vec<Bytes>>],
    address: SocketAddr,
    check: bool,
) -> anyhow::Result<f64> {
    let answer_len = answer_len()?;
    runtime()?.block_on(async {
        let mut streams = Vec::new();
        for _ in scripts {
            let stream = if load.reconnect { None } else { Some(connect(address).await?) };
            streams.push(stream);
        }
        let started = Instant::now();
        let mut tasks = Vec::with_capacity(scripts.len());
        for (script, stream) in scripts.iter().zip(streams) {
            let script = Arc::clone(script);
            tasks.push(tokio::spawn(register(load, script, stream, address, answer_len, check)));
        }
        for task in tasks {
            task.await??;
        }
        let documents = load.connections * load.depth * load.turns;
        Ok(documents as f64 / started.elapsed().as_secs_f64())
    })
}

async fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One register: writes, awaits the answers, writes again.
async fn register(
    load: Load,
    script: Arc<Vec<Bytes>>,
    mut stream: Option<TcpStream>,
    address: SocketAddr,
    answer_len: usize,
    check: bool,
) -> anyhow::Result<()> {
    let mut answers = vec![0; answer_len * load.depth];
    for write in script.iter() {
        let mut open = match stream.take() {
            Some(open) => open,
            None => connect(address).await?,
        };
        open.write_all(write).await?;
        open.read_exact(&mut answers).await.context("the server closed without an answer")?;
        if !load.reconnect {
            stream = Some(open);
        }
    }
    if check {
        for answer in answers.chunks(answer_len) {
            anyhow::ensure!(ofd_emit::check_answer(answer)?.code == 0, "a document was refused");
        }
    }
    Ok(())
}

/// The server of the baseline, on a thread of its own as the engine's are.
pub(crate) struct Echo {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<anyhow::Result<()>>,
}

impl Echo {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let answer: Bytes = vec![0; answer_len()?].into();
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime()?.block_on(async {
                let listener = TcpListener::from_std(listener)?;
                tokio::select! {
                    ended = accept(listener, answer) => ended,
                    _ = stopped => Ok(()),
                }
            })
        });
        Ok(Self { address, stop, thread })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.thread.join();
    }
}

async fn accept(listener: TcpListener, answer: Bytes) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(echo(stream, answer.clone()));
    }
}

/// Cuts messages by the length in their session header; one write for all that one read brought.
async fn echo(mut stream: TcpStream, answer: Bytes) -> anyhow::Result<()> {
    let mut unread = BytesMut::with_capacity(64 << 10);
    let mut answers = Vec::new();
    loop {
        if stream.read_buf(&mut unread).await? == 0 {
            return Ok(());
        }
        answers.clear();
        while let Some(&[l0, l1]) = unread.get(24..26).and_then(|len| len.first_chunk::<2>()) {
            let len = SESSION_HEADER_LEN + usize::from(u16::from_le_bytes([l0, l1]));
            if unread.len() < len {
                break;
            }
            let _ = unread.split_to(len);
            answers.extend_from_slice(&answer);
        }
        stream.write_all(&answers).await?;
    }
}
