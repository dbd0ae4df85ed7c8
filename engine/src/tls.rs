//! TLS on a listener, for registers or gateways that bring it. Needs the feature `tls`.
//!
//! ```text
//! socket ─▶ read_tls ─▶ session ─▶ plain bytes ─▶ frames        answers ─▶ session ─▶ write_tls ─▶ socket
//! ```
//! Unit: one connection of one port. The session is rustls's without its own I/O: bytes go through it when the port has its turn,
//! so that deadlines, caps and order are those of a plain connection. A handshake has to end before the deadline of the first byte.
//!
//! Invariants: what a register reads is the answers of a plain connection, however its records are cut
//! (test: engine/tests/tls.rs::documents_are_answered_over_tls); the memory of a session's records is bounded.
//!
//! Errors: `Fix` for a certificate or key that cannot be used. A peer that does not speak TLS is closed.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind as Kind, Read as _, Write as _};
use std::sync::Arc;

use bytes::BufMut;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use tokio::net::TcpStream;

use crate::error::{Error, ErrorKind};

/// Plain bytes that may wait to be sealed or sent.
const BUFFER_LEN: usize = 64 * 1024;
/// Plain bytes taken out of a session at once.
const PLAIN_LEN: usize = 16 * 1024;

/// Certificate chain and key of a listener. Its `Debug` shows neither.
#[derive(Clone)]
pub struct TlsIdentity {
    config: Arc<ServerConfig>,
}

impl std::fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsIdentity").finish_non_exhaustive()
    }
}

impl TlsIdentity {
    /// From PEM: the chain, the listener's own certificate first, and its key. TLS 1.2 and 1.3; clients need no certificate.
    ///
    /// # Errors
    /// `Fix` when either cannot be read, or the two do not belong together.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, Error> {
        let fix = |what: &str, error: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Fix, format!("TLS: {what}: {error}"))
        };
        let chain = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| fix("the certificates", &error))?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| fix("the key", &error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| fix("the versions", &error))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| fix("certificates and key", &error))?;
        Ok(Self { config: Arc::new(config) })
    }
}

/// A connection under TLS.
pub(crate) struct TlsStream {
    tcp: TcpStream,
    session: RefCell<ServerConnection>,
    /// Plain bytes lie in the session that nobody has asked for yet.
    left: Cell<bool>,
}

/// The socket as the session wants it.
struct Socket<'s>(&'s TcpStream);

impl io::Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl io::Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TlsStream {
    /// Begins a session on a socket that was accepted.
    pub(crate) fn new(tcp: TcpStream, identity: &TlsIdentity) -> io::Result<Self> {
        let mut session = ServerConnection::new(Arc::clone(&identity.config)).map_err(io::Error::other)?;
        session.set_buffer_limit(Some(BUFFER_LEN));
        Ok(Self { tcp, session: RefCell::new(session), left: Cell::new(false) })
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        if self.left.get() {
            return Ok(());
        }
        self.tcp.readable().await
    }

    /// Plain bytes that are there; 0 are the end.
    pub(crate) fn try_read_buf(&self, buffer: &mut impl BufMut) -> io::Result<usize> {
        let mut session = self.session.borrow_mut();
        let mut plain = [0; PLAIN_LEN];
        loop {
            let most = buffer.remaining_mut().min(PLAIN_LEN);
            let room = plain.get_mut(..most).unwrap_or_default();
            match session.reader().read(room) {
                Ok(read) => {
                    buffer.put_slice(room.get(..read).unwrap_or_default());
                    // A full piece may have more behind it; the next look tells.
                    self.left.set(read == most && read > 0);
                    return Ok(read);
                }
                Err(error) if error.kind() == Kind::WouldBlock => self.left.set(false),
                // A socket that ends without a word of the session ends all the same: what was whole was taken.
                Err(error) if error.kind() == Kind::UnexpectedEof => return Ok(0),
                Err(error) => return Err(error),
            }
            if session.read_tls(&mut Socket(&self.tcp))? == 0 {
                // The next look finds what was left, or the end.
                if session.process_new_packets().is_err() {
                    return Ok(0);
                }
                continue;
            }
            let processed = session.process_new_packets().map_err(io::Error::other);
            // The handshake has its own answers, an error its alert.
            let sent = flush(&mut session, &self.tcp);
            processed?;
            match sent {
                Err(error) if error.kind() != Kind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    }

    /// Seals as much as there is room for and sends what goes.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut session = self.session.borrow_mut();
        flush(&mut session, &self.tcp)?;
        let taken = session.writer().write(bytes)?;
        match flush(&mut session, &self.tcp) {
            Err(error) if error.kind() != Kind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Sends what is sealed and has not gone yet.
    pub(crate) fn try_flush(&self) -> io::Result<()> {
        flush(&mut self.session.borrow_mut(), &self.tcp)
    }

    /// Tells the peer that nothing follows, as far as the socket takes it.
    pub(crate) fn say_goodbye(&self) {
        // A session that is being used right now has its own end.
        if let Ok(mut session) = self.session.try_borrow_mut() {
            session.send_close_notify();
            let _ = flush(&mut session, &self.tcp);
        }
    }
}

fn flush(session: &mut ServerConnection, tcp: &TcpStream) -> io::Result<()> {
    while session.wants_write() {
        match session.write_tls(&mut Socket(tcp)) {
            Ok(0) => return Err(Kind::WriteZero.into()),
            Ok(_) => {}
            Err(error) if error.kind() == Kind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
