//! Running the tool.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub(crate) const OFD: &str = env!("CARGO_BIN_EXE_ofd");

/// What a run of the tool came to.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// The lines of stdout as JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|it| panic!("{it}: {line}")))
            .collect()
    }

    /// Asserts the exit code, showing everything otherwise.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }
}

/// Runs the tool to its end.
pub(crate) fn ofd<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Ran {
    ofd_fed(words, b"")
}

/// As [`ofd`], with this on stdin.
pub(crate) fn ofd_fed<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>, input: &[u8]) -> Ran {
    run(Path::new(OFD), words, input)
}

/// Runs a program to its end.
pub(crate) fn run<S: AsRef<OsStr>>(program: &Path, words: impl IntoIterator<Item = S>, input: &[u8]) -> Ran {
    let mut child = Command::new(program)
        .args(words)
        .env_remove("RUST_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        // A tool that stops reading early closes the pipe: that is its right.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().unwrap()
    });
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Documents of simulated registers, one message after the other, and how many they are.
pub(crate) fn wire(registers: u32, receipts: u32, seed: u64) -> (Vec<u8>, usize) {
    let mut bytes = Vec::new();
    let messages = ofd_emit::write_wire(registers, receipts, seed, &mut bytes).unwrap();
    (bytes, usize::try_from(messages).unwrap())
}

/// The next answer on a register's socket.
pub(crate) fn read_answer(stream: &mut impl Read) -> Vec<u8> {
    let mut answer = vec![0; 30];
    stream.read_exact(&mut answer).unwrap();
    let body = usize::from(u16::from_le_bytes([answer[24], answer[25]]));
    answer.resize(30 + body, 0);
    stream.read_exact(&mut answer[30..]).unwrap();
    answer
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A running `ofd serve`; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) listen: String,
    /// Where `--http` is answered.
    pub(crate) http: Option<String>,
    /// Where registers are accepted under TLS.
    pub(crate) listen_tls: Option<String>,
    out: BufReader<std::process::ChildStdout>,
}

impl Server {
    /// Starts a server with these further words and waits until it is ready.
    pub(crate) fn start(data: &Path, words: &[&str]) -> Self {
        let mut child = Command::new(OFD)
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(words)
            .env_remove("RUST_LOG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let Ok(ready) = serde_json::from_str::<Value>(&line) else {
            let mut err = String::new();
            let _ = child.stderr.take().unwrap().read_to_string(&mut err);
            panic!("the server said {line:?}\n{err}");
        };
        assert_eq!(ready["event"], "ready");
        let listen = ready["listen"].as_str().unwrap().to_owned();
        let other = |key: &str| ready.get(key).map(|it| it.as_str().unwrap().to_owned());
        let (http, listen_tls) = (other("http"), other("listen_tls"));
        let more = usize::from(http.is_some()) + usize::from(listen_tls.is_some());
        assert_eq!(ready.as_object().unwrap().len(), 2 + more, "{line}");
        Self { child, listen, http, listen_tls, out }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end; gives the status, what else it printed on stdout, and its stderr.
    pub(crate) fn wait(mut self) -> (ExitStatus, String, String) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(20));
        };
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (status, out, err)
    }

    /// Ends it as an operator would; gives its stderr.
    #[track_caller]
    pub(crate) fn stop(self) -> String {
        self.signal(Signal::TERM);
        let (status, out, err) = self.wait();
        assert_eq!(status.code(), Some(0), "{err}");
        assert_eq!(out, "", "stdout carries the ready line and nothing else");
        err
    }

    /// Sends whole lives to it; gives the report.
    #[track_caller]
    pub(crate) fn feed(&self, registers: u32, receipts: u32, seed: u64) -> Value {
        let (registers, receipts, seed) = (registers.to_string(), receipts.to_string(), seed.to_string());
        let ran = ofd([
            "emit",
            "--connect",
            &self.listen,
            "--registers",
            &registers,
            "--receipts",
            &receipts,
            "--seed",
            &seed,
            "--json",
        ]);
        ran.expect(0).json().remove(0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A configuration with small segments in this folder.
pub(crate) fn small_segments(folder: &Path, more: &str) -> PathBuf {
    let path = folder.join("ofd.toml");
    std::fs::write(&path, format!("log.segment_len_bytes = 1048576\n{more}")).unwrap();
    path
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn soon(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}
