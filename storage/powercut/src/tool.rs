//! The same bad sector under the whole tool: `ofd serve` takes documents, then one block of a sealed segment cannot be
//! read any more, and `ofd verify`, `ofd find`, `ofd compact` and another `ofd serve` meet it.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ofd_storage::envelope::Envelope;
use ofd_storage::{Env, LogReader, Position, RealEnv, RecordKind};

use crate::disk::{BLOCK_LEN, Overlay};
use crate::machine::Machine;
use crate::workload::DATA_NAME;

/// The byte of the first segment whose block goes bad.
const BAD_AT: u64 = 300_000;
/// A command that takes longer hangs.
const AT_MOST: Duration = Duration::from_secs(60);

/// A running `ofd serve`; killed when dropped.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(ofd: &Path, dir: &Path, data: &Path) -> Result<Self> {
        let config = dir.join("ofd.toml");
        std::fs::write(&config, "[log]\nsegment_len_bytes = 1048576\n")?;
        let mut child = Command::new(ofd)
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "error", "--config"])
            .arg(&config)
            .arg("--data")
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("no stdout")?;
        let mut server = Self { child, address: String::new() };
        BufReader::new(stdout).read_line(&mut line)?;
        let (_, rest) = line.split_once("\"listen\":\"").with_context(|| format!("no server: {line}"))?;
        server.address = rest.split('"').next().unwrap_or_default().to_owned();
        Ok(server)
    }

    fn stop(mut self) -> Result<()> {
        rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.child),
            rustix::process::Signal::TERM,
        )?;
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            ensure!(began.elapsed() < AT_MOST, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One command of the tool; an error when a signal ended it.
fn command(ofd: &Path, data: &Path, arguments: &[&str]) -> Result<(i32, String)> {
    let Output { status, stdout, stderr } =
        Command::new(ofd).args(arguments).arg("--data").arg(data).output().context("ofd does not start")?;
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    let code = status.code().with_context(|| format!("ofd {arguments:?} ends with {status}: {text}"))?;
    ensure!(!text.contains("panicked"), "ofd {arguments:?} panics: {text}");
    Ok((code, text))
}

/// Drives and numbers of all documents that can be read.
fn documents(data: &Path) -> Result<BTreeSet<(String, u32)>> {
    let env: Arc<dyn Env> = Arc::new(RealEnv::new(data));
    let reader = LogReader::open_read_only(env)?;
    let mut found = BTreeSet::new();
    let mut records = reader.records_from(Position::START, reader.durable());
    let mut at = Position::START;
    loop {
        match records.next() {
            Ok(None) => break,
            Ok(Some((record, _))) if record.kind() == RecordKind::Document => {
                let envelope = Envelope::decode(record.payload())?;
                let drive = String::from_utf8_lossy(&envelope.drive).trim().to_owned();
                found.insert((drive, envelope.number));
            }
            Ok(Some(_)) => {}
            Err(error) => ensure!(records.position() > at, "{error}"),
        }
        at = records.position();
    }
    Ok(found)
}

/// What was seen, in words; an error where a promise was broken.
pub(crate) fn run(machine: &Machine, dir: &Path, ofd: &Path) -> Result<String> {
    machine.disk().state().reset(Overlay::new());
    machine.make_file_system()?;
    let mounted = machine.mount()?;
    let data = mounted.path().join(DATA_NAME);
    let server = Server::start(ofd, dir, &data)?;
    let emit = Command::new(ofd)
        .args(["emit", "--registers", "40", "--receipts", "50", "--seed", "5", "--connect", &server.address])
        .output()?;
    ensure!(emit.status.success(), "ofd emit: {}", String::from_utf8_lossy(&emit.stderr));
    server.stop()?;
    let all = documents(&data)?;
    let segment = {
        let mut names: Vec<_> =
            std::fs::read_dir(data.join("log"))?.flatten().map(|entry| entry.path()).collect();
        names.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
        names.sort();
        names.into_iter().next().context("no segment")?
    };
    let bytes = std::fs::read(&segment)?;
    let at = usize::try_from(BAD_AT)?;
    let needle = bytes.get(at..at + 200).context("a short segment")?;
    mounted.unmount()?;
    let bad = machine.disk().state().find(needle).context("the segment is not on the disk")?;

    let mounted = machine.mount()?;
    machine.disk().state().spoil(Some(bad..bad + BLOCK_LEN as u64));
    let left = documents(&data)?;
    let lost: Vec<_> = all.difference(&left).collect();
    ensure!(!lost.is_empty(), "nothing is lost with the sector");
    let (verified, said) = command(ofd, &data, &["verify"])?;
    ensure!(verified != 0, "ofd verify finds nothing: {said}");
    for (drive, number) in lost.iter().take(2) {
        let (code, said) = command(ofd, &data, &["find", "--fn", drive, "--fd", &number.to_string()])?;
        ensure!(code != 0, "ofd find gives a document out that cannot be read: {said}");
    }
    let (drive, number) = left.iter().next().context("no document is left")?;
    let (code, said) = command(ofd, &data, &["find", "--fn", drive, "--fd", &number.to_string()])?;
    ensure!(code == 0, "ofd find does not serve a neighbour: {said}");
    // A server comes up over it and takes documents.
    let server = Server::start(ofd, dir, &data)?;
    let emit = Command::new(ofd)
        .args(["emit", "--registers", "5", "--receipts", "5", "--seed", "6", "--connect", &server.address])
        .output()?;
    ensure!(
        emit.status.success(),
        "ofd emit behind the bad sector: {}",
        String::from_utf8_lossy(&emit.stderr)
    );
    let (compacted, _) = command(ofd, &data, &["compact", "--all"])?;
    let alive = command(ofd, &data, &["find", "--fn", drive, "--fd", &number.to_string()])?.0;
    ensure!(alive == 0, "the server is gone after compaction");
    server.stop()?;
    machine.disk().state().spoil(None);
    mounted.unmount()?;
    Ok(format!(
        "bad sector under ofd: {} of {} documents lie on what the kernel cannot read, verify exits with {verified}, find \
         serves the others, serve comes up and goes on, compact exits with {compacted}, nothing dies",
        lost.len(),
        all.len()
    ))
}
