//! NATS JetStream beside us: the same documents, 1,024 on their way, each acknowledged by its own message. Its file store with
//! the defaults of the distribution, which syncs every two minutes and not before it acknowledges.
//!
//! Needs `nats-server` on the path (Debian: `apt-get install nats-server`); says that it was skipped where there is none. The protocol is
//! text, and this client speaks as much of it as the figure needs.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::server::runtime;

/// Documents on their way.
pub(crate) const IN_FLIGHT: usize = 1024;

/// A server of our own; ended when dropped.
pub(crate) struct Nats {
    child: Child,
    address: SocketAddr,
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Nats {
    /// Starts one on a fresh folder; `None` when there is none on this machine.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Option<Self>> {
        // The port is free for a moment longer than it takes the server to bind it.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-js", "-p", &address.port().to_string(), "-sd"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match child {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
            Ok(child) => Ok(Some(Self { child, address })),
        }
    }

    async fn connect(&self) -> anyhow::Result<TcpStream> {
        let begun = Instant::now();
        loop {
            match TcpStream::connect(self.address).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Err(error) if begun.elapsed() > Duration::from_secs(10) => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Publishes all documents into a stream of files; documents acknowledged a second.
    pub(crate) fn rate<'m>(&self, documents: impl ExactSizeIterator<Item = &'m [u8]>) -> anyhow::Result<f64> {
        runtime()?.block_on(async {
            let mut stream = self.connect().await?;
            let make =
                r#"{"name":"D","subjects":["d"],"storage":"file","retention":"limits","num_replicas":1}"#;
            let hello = format!(
                "CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":false}}\r\nSUB a.* 1\r\n\
                 PUB $JS.API.STREAM.CREATE.D a.0 {}\r\n{make}\r\n",
                make.len()
            );
            stream.write_all(hello.as_bytes()).await?;
            let (mut reader, mut writer) = stream.into_split();
            let mut unread = BytesMut::with_capacity(1 << 16);
            let made = next_message(&mut reader, &mut unread).await?;
            anyhow::ensure!(!made.contains("\"error\""), "no stream: {made}");
            let all = documents.len();
            let room = Arc::new(Semaphore::new(IN_FLIGHT));
            let begun = Instant::now();
            let acknowledged = {
                let room = Arc::clone(&room);
                tokio::spawn(async move {
                    for _ in 0..all {
                        let word = next_message(&mut reader, &mut unread).await?;
                        anyhow::ensure!(word.contains("\"seq\""), "not acknowledged: {word}");
                        room.add_permits(1);
                    }
                    anyhow::Ok(())
                })
            };
            let mut out = Vec::with_capacity(1 << 20);
            for document in documents {
                if room.available_permits() == 0 {
                    writer.write_all(&out).await?;
                    out.clear();
                }
                room.acquire().await?.forget();
                out.extend_from_slice(format!("PUB d a.1 {}\r\n", document.len()).as_bytes());
                out.extend_from_slice(document);
                out.extend_from_slice(b"\r\n");
            }
            writer.write_all(&out).await?;
            acknowledged.await??;
            Ok(all as f64 / begun.elapsed().as_secs_f64())
        })
    }
}

/// The payload of the next message; INFO and PING are passed over.
async fn next_message(
    reader: &mut tokio::net::tcp::OwnedReadHalf,
    unread: &mut BytesMut,
) -> anyhow::Result<String> {
    loop {
        if let Some(end) = unread.windows(2).position(|it| it == b"\r\n") {
            let line = String::from_utf8_lossy(unread.get(..end).unwrap_or_default()).into_owned();
            anyhow::ensure!(!line.starts_with("-ERR"), "{line}");
            if !line.starts_with("MSG ") {
                unread.advance(end + 2);
                continue;
            }
            let len: usize = line.rsplit(' ').next().and_then(|it| it.parse().ok()).context("a length")?;
            if let Some(payload) =
                unread.get(end + 2..end + 2 + len).filter(|_| unread.len() >= end + 4 + len)
            {
                let payload = String::from_utf8_lossy(payload).into_owned();
                unread.advance(end + 4 + len);
                return Ok(payload);
            }
        }
        anyhow::ensure!(reader.read_buf(unread).await? > 0, "the server has closed");
    }
}
