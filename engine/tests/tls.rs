//! Registers under TLS: what they are told is what a plain connection tells. Needs the feature `tls`.

#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Till, code_and_time, fresh, life, next_answer, number, read_answer};
use ofd_engine::{Engine, Limits, TlsIdentity};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

type Client = StreamOwned<ClientConnection, TcpStream>;

struct House {
    _dir: tempfile::TempDir,
    engine: Engine,
    address: SocketAddr,
    trust: Arc<ClientConfig>,
}

fn house(limits: Limits) -> House {
    let made = rcgen::generate_simple_self_signed(["ofd.example".to_owned()]).unwrap();
    let identity =
        TlsIdentity::from_pem(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes())
            .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let trust = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (dir, builder) = fresh();
    let engine = builder.limits(limits).open().unwrap();
    let address = engine.listen_tls("127.0.0.1:0", &identity).unwrap();
    House { _dir: dir, engine, address, trust: Arc::new(trust) }
}

impl House {
    fn connect(&self) -> Client {
        let name = ServerName::try_from("ofd.example").unwrap();
        let session = ClientConnection::new(Arc::clone(&self.trust), name).unwrap();
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        StreamOwned::new(session, stream)
    }
}

fn answer(client: &mut Client) -> Vec<u8> {
    next_answer(client).expect("the connection has ended")
}

/// One by one, cut into single bytes, and all at once in more than a session holds: each is answered in order, and a plain
/// listener beside it gives the same answers again.
#[test]
fn documents_are_answered_over_tls() {
    let house = house(Limits::default());
    let messages = life(1, 0, 400);
    let mut client = house.connect();
    for message in &messages[..20] {
        client.write_all(message).unwrap();
        assert_eq!(code_and_time(&answer(&mut client)).0, 0);
    }
    for byte in &messages[20] {
        client.write_all(std::slice::from_ref(byte)).unwrap();
        client.flush().unwrap();
    }
    assert_eq!(number(&messages[20]), read_answer(&answer(&mut client)).number);
    // What is sent is far more than the socket buffers and the session hold.
    let all = messages[21..].concat();
    let writer = std::thread::spawn(move || {
        client.write_all(&all).unwrap();
        client.flush().unwrap();
        client
    });
    let mut client = writer.join().unwrap();
    let answers: Vec<_> = messages[21..].iter().map(|_| answer(&mut client)).collect();
    let plain = house.engine.listen("127.0.0.1:0").unwrap();
    let mut till = Till::connect(plain);
    for (message, answered) in messages[21..].iter().zip(&answers) {
        assert_eq!(number(message), read_answer(answered).number);
        assert_eq!(till.ask(message).unwrap(), *answered);
    }
    assert_eq!(house.engine.status().unwrap().documents, 400);
    drop(client);
}

/// Who does not speak TLS, or does not finish its handshake, is closed at the deadline of a first byte like any other.
#[test]
fn noise_and_half_a_handshake_are_closed() {
    let limits = Limits { first_byte_timeout_us: 500_000, ..Limits::default() };
    let house = house(limits);
    let ends = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(house.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(bytes).unwrap();
        let begun = Instant::now();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        // An alert at most.
        assert!(rest.len() <= 7, "{rest:?}");
        begun.elapsed()
    };
    assert!(ends(&life(2, 0, 1)[0]) < Duration::from_secs(8), "a document without TLS");
    assert!(ends(b"GET / HTTP/1.1\r\n\r\n") < Duration::from_secs(8));
    let begun = ends(&[0x16, 3, 1, 0, 200, 1]);
    assert!(begun >= Duration::from_millis(450) && begun < Duration::from_secs(8), "{begun:?}");
    assert_eq!(house.engine.status().unwrap().documents, 0);
}

/// A wrong key is told at the start and not at the first register.
#[test]
fn a_key_of_another_certificate_is_refused() {
    let made = || rcgen::generate_simple_self_signed(["ofd.example".to_owned()]).unwrap();
    let (one, other) = (made(), made());
    let refused =
        TlsIdentity::from_pem(one.cert.pem().as_bytes(), other.signing_key.serialize_pem().as_bytes());
    assert!(refused.unwrap_err().to_string().contains("TLS"));
    assert!(TlsIdentity::from_pem(b"", one.signing_key.serialize_pem().as_bytes()).is_err());
}
