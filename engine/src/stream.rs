//! What a connection reads and writes: a TCP socket, one under TLS (feature `tls`), and in simulations (feature `testing`)
//! one in memory.
//!
//! Unit: one connection of one port. Without features there is one variant and nothing to decide.

use std::io;

use bytes::BufMut;
use rustix::net::Shutdown;
use tokio::io::Interest;
use tokio::net::TcpStream;

#[cfg(feature = "tls")]
use crate::tls::TlsStream;

/// A byte stream with two ends, of which this is the engine's.
pub(crate) enum Stream {
    /// Of the system.
    Tcp(TcpStream),
    /// Of the system, under TLS.
    #[cfg(feature = "tls")]
    Tls(Box<TlsStream>),
    /// In memory: the simulation holds the other end.
    #[cfg(feature = "testing")]
    Simulated(crate::testing::Socket),
}

impl Stream {
    /// Comes back when there may be something to read: bytes, the end or an error.
    pub(crate) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.readable().await,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.readable().await,
            #[cfg(feature = "testing")]
            Self::Simulated(socket) => {
                socket.readable().await;
                Ok(())
            }
        }
    }

    /// Comes back when there may be room to write.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.writable().await,
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.tcp().writable().await,
            #[cfg(feature = "testing")]
            Self::Simulated(socket) => {
                socket.writable().await;
                Ok(())
            }
        }
    }

    /// Reads what is there; 0 bytes are the end.
    pub(crate) fn try_read_buf(&self, buffer: &mut impl BufMut) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => {
                let room = buffer.remaining_mut();
                let read = stream.try_read_buf(buffer)?;
                if (1..room).contains(&read) {
                    // That was all: asking the system once more would only say so. What comes from here on wakes again: tokio hears of
                    // sockets in this thread alone, and not between the read and this.
                    let _ =
                        stream.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
                }
                Ok(read)
            }
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.try_read_buf(buffer),
            #[cfg(feature = "testing")]
            Self::Simulated(socket) => socket.try_read(buffer),
        }
    }

    /// Writes as much as there is room for.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.try_write(bytes),
            #[cfg(feature = "testing")]
            Self::Simulated(socket) => socket.try_write(bytes),
        }
    }

    /// Sends what was taken and has not gone yet: a plain socket keeps nothing back.
    pub(crate) fn try_flush(&self) -> io::Result<()> {
        match self {
            Self::Tcp(_) => Ok(()),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.try_flush(),
            #[cfg(feature = "testing")]
            Self::Simulated(_) => Ok(()),
        }
    }

    /// Ends both directions.
    pub(crate) fn shutdown(&self) {
        match self {
            Self::Tcp(stream) => {
                let _ = rustix::net::shutdown(stream, Shutdown::Both);
            }
            #[cfg(feature = "tls")]
            Self::Tls(stream) => {
                stream.say_goodbye();
                let _ = rustix::net::shutdown(stream.tcp(), Shutdown::Both);
            }
            #[cfg(feature = "testing")]
            Self::Simulated(socket) => socket.shut(),
        }
    }
}
