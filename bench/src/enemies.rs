//! Clients that an open port has to bear, in a process of their own: both ends of so many connections are more files than one
//! process may have, and what holds them up must not hold up the honest registers, who are measured in the other process.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::io::AsyncWriteExt as _;

use crate::door::{RETRY, connect, raise_files};
use crate::server::runtime;

/// Slow clients that come in a second, before anything is measured.
const COME_PER_S: u32 = 2_000;
/// For so long one that says nothing stays.
const STAYS_S: usize = 4;

/// What was asked for.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct EnemyArguments {
    /// Used by the benchmark itself: slow clients of this address, and new connections that say nothing, until its input ends.
    #[arg(long, hide = true, value_name = "ADDRESS")]
    pub(crate) enemies_of: Option<SocketAddr>,
    /// Slow clients.
    #[arg(long, hide = true, default_value_t = 0)]
    pub(crate) sluggish: usize,
    /// New connections a second.
    #[arg(long, hide = true, default_value_t = 1)]
    pub(crate) storm: u32,
}

/// What they did.
pub(crate) struct Deeds {
    /// Bytes that slow clients have sent since all of them are there.
    pub(crate) bytes: u64,
    /// Connections that said nothing.
    pub(crate) came: u64,
}

/// The process.
pub(crate) struct Enemies {
    child: Child,
    told: BufReader<ChildStdout>,
}

impl Enemies {
    /// Comes back when all slow clients are there.
    pub(crate) fn start(address: SocketAddr, sluggish: usize, storm: u32) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["door", "--enemies-of", &address.to_string()])
            .args(["--sluggish", &sluggish.to_string(), "--storm", &storm.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let told = BufReader::new(child.stdout.take().context("the output of a child")?);
        let mut enemies = Self { child, told };
        enemies.line()?;
        Ok(enemies)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        anyhow::ensure!(self.told.read_line(&mut line)? > 0, "the enemies fell over");
        Ok(line)
    }

    /// Ends them.
    pub(crate) fn stop(mut self) -> anyhow::Result<Deeds> {
        drop(self.child.stdin.take());
        let line = self.line()?;
        self.child.wait()?;
        let (bytes, came) = line.trim().split_once(' ').context("two numbers")?;
        Ok(Deeds { bytes: bytes.parse()?, came: came.parse()? })
    }
}

/// The life of that process.
pub(crate) fn run(arguments: &EnemyArguments, address: SocketAddr) -> anyhow::Result<()> {
    raise_files();
    let (stop, bytes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let ended = Arc::clone(&stop);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        ended.store(true, Ordering::Relaxed);
    });
    runtime()?.block_on(async {
        // One after another, so that their bytes come so as well.
        let mut every = tokio::time::interval(Duration::from_secs(1) / COME_PER_S);
        for number in 0..arguments.sluggish {
            every.tick().await;
            tokio::spawn(trickle(number, address, Arc::clone(&stop), Arc::clone(&bytes)));
        }
        println!("there");
        std::io::stdout().flush()?;
        let before = bytes.load(Ordering::Relaxed);
        let mut held = VecDeque::new();
        let mut every = tokio::time::interval(Duration::from_secs(1) / arguments.storm);
        let mut number = arguments.sluggish;
        while !stop.load(Ordering::Relaxed) {
            every.tick().await;
            held.push_back(connect(number, address).await?);
            number += 1;
            if held.len() > STAYS_S * arguments.storm as usize {
                held.pop_front();
            }
        }
        println!("{} {}", bytes.load(Ordering::Relaxed) - before, number - arguments.sluggish);
        Ok(())
    })
}

/// Sends a byte a second of a message that never ends, and comes again when it is closed.
async fn trickle(number: usize, address: SocketAddr, stop: Arc<AtomicBool>, bytes: Arc<AtomicU64>) {
    const BEGIN: [u8; 30] = [
        0x2A, 0x08, 0x41, 0x0A, 0x81, 0xA2, 0x01, 0x20, b'9', b'9', b'9', b'9', b'0', b'7', b'8', b'9', b'0',
        b'0', b'0', b'0', b'0', b'0', b'0', b'1', 0x00, 0x20, 0x14, 0x00, 0x00, 0x00,
    ];
    while !stop.load(Ordering::Relaxed) {
        let Ok(mut stream) = connect(number, address).await else {
            tokio::time::sleep(RETRY).await;
            continue;
        };
        let mut sent = 0;
        while !stop.load(Ordering::Relaxed) {
            let byte = BEGIN.get(sent).copied().unwrap_or(0);
            if stream.write_all(&[byte]).await.is_err() {
                break;
            }
            bytes.fetch_add(1, Ordering::Relaxed);
            sent += 1;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}
