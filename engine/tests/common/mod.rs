//! What the engine's tests share: registers with lives, a register-side socket, and stand-ins of the host.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::missing_panics_doc,
    missing_docs,
    unreachable_pub,
    reason = "a failed test may panic"
)]

pub mod bent;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use ofd_emit::{Answer, ProfileOptions, Register, check_answer};
use ofd_engine::codec::container_crc;
use ofd_engine::{Engine, EngineBuilder};

/// A fresh folder and a builder with small segments.
pub fn fresh() -> (tempfile::TempDir, EngineBuilder) {
    let dir = tempfile::tempdir().unwrap();
    let builder = Engine::builder(dir.path()).segment_len_bytes(1 << 20);
    (dir, builder)
}

/// The first `documents` messages of the lives of some registers.
pub fn lives_of(
    seed: u64,
    registers: u32,
    documents: usize,
    options: impl Fn(u32) -> ProfileOptions,
) -> Vec<Vec<Vec<u8>>> {
    (0..registers).map(|it| life_of(seed, it, documents, &options(it))).collect()
}

/// The first `documents` messages of a register's life.
pub fn life(seed: u64, register: u32, documents: usize) -> Vec<Vec<u8>> {
    life_of(seed, register, documents, &ProfileOptions::default())
}

fn life_of(seed: u64, register: u32, documents: usize, options: &ProfileOptions) -> Vec<Vec<u8>> {
    let mut register = Register::new(seed, register, options);
    (0..documents)
        .map(|_| {
            let mut message = Vec::new();
            register.next_message(&mut message).unwrap();
            message
        })
        .collect()
}

/// A register's socket.
pub struct Till {
    stream: TcpStream,
}

impl Till {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Self { stream }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends what the other side may refuse to read.
    pub fn try_send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next answer, whole; `None` when the connection ends without one.
    pub fn answer(&mut self) -> Option<Vec<u8>> {
        next_answer(&mut self.stream)
    }

    /// Sends a message and takes its answer.
    pub fn ask(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        self.send(message);
        self.answer()
    }

    pub fn finish_sending(&self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }
}

/// The next answer of a register's connection, whole; `None` when it ends without one.
pub fn next_answer(stream: &mut impl Read) -> Option<Vec<u8>> {
    let mut head = [0u8; 30];
    let mut got = 0;
    while got < head.len() {
        match stream.read(&mut head[got..]) {
            Ok(0) => {
                assert_eq!(got, 0, "half an answer");
                return None;
            }
            Ok(n) => got += n,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("no answer and no end: {error}"),
        }
    }
    let mut body = vec![0; usize::from(u16::from_le_bytes([head[24], head[25]]))];
    stream.read_exact(&mut body).unwrap();
    Some([&head[..], &body].concat())
}

/// Decodes an answer as a register would.
pub fn read_answer(message: &[u8]) -> Answer {
    check_answer(message).unwrap()
}

/// The code and the 1012 of an answer.
pub fn code_and_time(message: &[u8]) -> (u8, u32) {
    let answer = read_answer(message);
    (answer.code, answer.accepted_at.0)
}

/// The plain document of a session message.
pub fn plain(message: &[u8]) -> &[u8] {
    &message[62..message.len() - 10]
}

/// The same document in another envelope: other service data, another message sign, the CRC made good.
pub fn resealed(message: &[u8]) -> Vec<u8> {
    let mut other = message.to_vec();
    for byte in &mut other[30 + 20..30 + 28] {
        *byte ^= 0x5A;
    }
    let len = other.len();
    for byte in &mut other[len - 8..len - 2] {
        *byte ^= 0xA5;
    }
    with_crc(other)
}

/// Another document under the same number: the last byte of the printed sign (1077) differs.
pub fn altered(message: &[u8]) -> Vec<u8> {
    let mut other = message.to_vec();
    let at = other.windows(4).position(|it| it == [0x35, 0x04, 0x06, 0x00]).unwrap();
    other[at + 4 + 5] ^= 1;
    with_crc(other)
}

/// Another document: with the value of a tag changed, where it has one.
pub fn changed(message: &[u8], tag: u16, change: impl Fn(&mut [u8])) -> Vec<u8> {
    let mut other = message.to_vec();
    let end = other.len() - 10;
    if let Some(at) = other[62..end].windows(2).position(|it| it == tag.to_le_bytes()) {
        let at = 62 + at;
        let len = usize::from(u16::from_le_bytes([other[at + 2], other[at + 3]]));
        change(&mut other[at + 4..at + 4 + len]);
    }
    with_crc(other)
}

/// Submits messages in one batch and waits for what becomes of them.
pub fn submit(engine: &Engine, messages: &[Vec<u8>]) {
    let frames = messages.iter().map(|it| Bytes::from(it.clone())).collect();
    engine.submit_batch(frames).unwrap().wait();
}

/// Makes the container's CRC good again.
pub fn with_crc(mut message: Vec<u8>) -> Vec<u8> {
    let crc = container_crc(&message[30..]);
    message[32..34].copy_from_slice(&crc.to_le_bytes());
    message
}

/// A well-framed message whose body is not a document.
pub fn misfit(message: &[u8]) -> Vec<u8> {
    let mut other = message.to_vec();
    // The length of the document's outer TLV no longer closes.
    other[64] ^= 0x01;
    with_crc(other)
}

/// The number of the document in a message.
pub fn number(message: &[u8]) -> u32 {
    u32::from_be_bytes([0, message[30 + 17], message[30 + 18], message[30 + 19]])
}

/// The drive in a message.
pub fn drive(message: &[u8]) -> ofd_engine::codec::DriveNumber {
    ofd_engine::codec::DriveNumber::from_wire(message[8..24].try_into().unwrap()).unwrap()
}

/// What the engine publishes to the `metrics` facade, by name and the values of its labels.
pub fn published(engine: &Engine) -> BTreeMap<String, f64> {
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, || engine.publish_metrics());
    let all = recorder.snapshotter().snapshot().into_vec();
    let named = |key: &metrics::Key| {
        let labels: String = key.labels().map(|label| format!(" {}", label.value())).collect();
        format!("{}{labels}", key.name())
    };
    let value = |value| match value {
        DebugValue::Counter(count) => count as f64,
        DebugValue::Gauge(gauge) => gauge.into_inner(),
        DebugValue::Histogram(_) => panic!("no histogram is published"),
    };
    all.into_iter().map(|(key, _, _, it)| (named(key.key()), value(it))).collect()
}
