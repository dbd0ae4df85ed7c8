//! What leaves the engine under TLS, to real sockets: documents for the tax service, letters. Whoever cannot prove that he is the one is
//! told nothing, and nothing is lost for it.
#![cfg(all(feature = "tax-http", feature = "smtp", feature = "tls"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod common;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{fresh, life, submit};
use ofd_emit::fns::{FnsFaults, FnsStandIn};
use ofd_engine::Engine;
use ofd_engine::channels::{Smtp, SmtpOptions, SmtpSecurity};
use ofd_engine::notify::{Subscription, SubscriptionCommand};
use ofd_engine::tax::{HttpTaxOptions, HttpTaxService};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

type Secure = StreamOwned<ServerConnection, TcpStream>;

/// Somebody with a certificate, in files.
struct Identity {
    certificate: PathBuf,
    key: PathBuf,
    made: rcgen::CertifiedKey<rcgen::KeyPair>,
}

impl Identity {
    fn new(dir: &Path, name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (dir.join(format!("{name}.pem")), dir.join(format!("{name}.key")));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        Self { certificate, key, made }
    }

    /// A server that is this one, and asks who calls when it is told whom to know.
    fn server(&self, callers: Option<&Self>) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match callers {
            None => builder.with_no_client_auth(),
            Some(known) => {
                let mut roots = RootCertStore::empty();
                roots.add(known.made.cert.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::try_from(self.made.signing_key.serialize_der()).unwrap();
        Arc::new(builder.with_single_cert(vec![self.made.cert.der().clone()], key).unwrap())
    }
}

/// TLS in front of a server that has none.
fn front(config: Arc<ServerConfig>, to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let session = ServerConnection::new(Arc::clone(&config)).unwrap();
            let client = StreamOwned::new(session, stream.unwrap());
            std::thread::spawn(move || drop(pass(client, to)));
        }
    });
    at
}

fn pass(mut client: Secure, to: SocketAddr) -> std::io::Result<()> {
    let mut server = TcpStream::connect(to)?;
    let pause = Some(Duration::from_millis(5));
    client.sock.set_read_timeout(pause)?;
    server.set_read_timeout(pause)?;
    let mut bytes = vec![0; 64 * 1024];
    let later = |error: &std::io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    loop {
        match client.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(len) => server.write_all(&bytes[..len])?,
            Err(error) if later(&error) => {}
            Err(error) => return Err(error),
        }
        match server.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(len) => {
                client.write_all(&bytes[..len])?;
                client.flush()?;
            }
            Err(error) if later(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn tax_service(port: u16, authority: Option<&Identity>, own: Option<&Identity>) -> Arc<HttpTaxService> {
    let options = HttpTaxOptions {
        url: format!("https://localhost:{port}"),
        calls: 2,
        timeout: Duration::from_secs(20),
        authority_file: authority.map(|it| it.certificate.clone()),
        identity_files: own.map(|it| (it.certificate.clone(), it.key.clone())),
    };
    Arc::new(HttpTaxService::open(&options).unwrap())
}

/// The engine hands nothing to who only says that he is the tax service; the same documents go to the one who proves it.
#[test]
fn documents_go_to_the_tax_service_that_proves_itself_and_to_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (service, ours, other) =
        (Identity::new(dir.path(), "fns"), Identity::new(dir.path(), "ours"), Identity::new(dir.path(), "x"));
    let fns = FnsStandIn::start("127.0.0.1:0", 7, FnsFaults::default()).unwrap();
    let inner: SocketAddr = fns.url().trim_start_matches("http://").parse().unwrap();
    let port = front(service.server(Some(&ours)), inner).port();
    let messages = life(5, 0, 12);
    let (data, _) = fresh();
    let open = |tax: Arc<HttpTaxService>| {
        let builder = Engine::builder(data.path()).operator_inn("7700000190").segment_len_bytes(1 << 20);
        builder.tax_service(tax).open().unwrap()
    };
    // Nobody vouches for it; somebody else does; it does not know who calls, or knows another.
    for (authority, own) in [
        (None, Some(&ours)),
        (Some(&other), Some(&ours)),
        (Some(&service), None),
        (Some(&service), Some(&other)),
    ] {
        let engine = open(tax_service(port, authority, own));
        submit(&engine, &messages);
        wait_until("they wait", || engine.tax_overview().totals.waiting() == 12);
        // Time for a call or two.
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!((fns.account().documents(), engine.tax_overview().totals.sent), (0, 0));
        engine.shutdown().unwrap();
    }
    let engine = open(tax_service(port, Some(&service), Some(&ours)));
    wait_until("all are there", || fns.account().documents() == 12);
    let account = fns.account();
    assert_eq!((account.duplicates, account.out_of_order, account.taken.len()), (0, 0, 1));
    engine.shutdown().unwrap();
}

/// A mail server, which speaks TLS from the first byte, behind STARTTLS, or not at all.
struct Mail {
    port: u16,
    /// Commands, each with whether it came under TLS.
    commands: Arc<Mutex<Vec<(bool, String)>>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Tls,
    StartTls,
    Plain,
}

impl Mail {
    fn start(speaks: Speaks, config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let commands: Arc<Mutex<Vec<(bool, String)>>> = Arc::default();
        let heard = Arc::clone(&commands);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let hear = |secure: bool, line: &str| heard.lock().unwrap().push((secure, line.to_owned()));
                let session = || ServerConnection::new(Arc::clone(&config)).unwrap();
                let _ = match speaks {
                    Speaks::Tls => talk(StreamOwned::new(session(), stream), true, "", &hear).map(drop),
                    Speaks::Plain => talk(stream, true, "", &|_, line| hear(false, line)).map(drop),
                    Speaks::StartTls => talk(stream, true, "STARTTLS", &|_, line| hear(false, line))
                        .and_then(|turned| match turned {
                            Some(stream) => {
                                talk(StreamOwned::new(session(), stream), false, "", &hear).map(drop)
                            }
                            None => Ok(()),
                        }),
                };
            }
        });
        Self { port, commands }
    }

    fn heard(&self, word: &str) -> Vec<bool> {
        let commands = self.commands.lock().unwrap();
        commands.iter().filter(|(_, line)| line.starts_with(word)).map(|(secure, _)| *secure).collect()
    }
}

/// A conversation; the stream again when it goes on under TLS.
fn talk<S: Read + Write>(
    stream: S,
    greets: bool,
    offers: &str,
    hear: &dyn Fn(bool, &str),
) -> std::io::Result<Option<S>> {
    let mut stream = BufReader::new(stream);
    if greets {
        stream.get_mut().write_all(b"220 mail.example ESMTP\r\n")?;
        stream.get_mut().flush()?;
    }
    let mut line = String::new();
    let mut is_letter = false;
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let command = line.trim_end();
        if is_letter {
            if command != "." {
                continue;
            }
            is_letter = false;
            hear(true, "LETTER");
        } else {
            hear(true, command);
        }
        let said = match command.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" if offers.is_empty() => "250-mail.example\r\n250 AUTH PLAIN LOGIN".to_owned(),
            "EHLO" => format!("250-mail.example\r\n250 {offers}"),
            "AUTH" => "235 signed in".to_owned(),
            "STARTTLS" => "220 go on".to_owned(),
            "DATA" => {
                is_letter = true;
                "354 go on".to_owned()
            }
            "QUIT" => "221 bye".to_owned(),
            _ => "250 ok".to_owned(),
        };
        let turns = command == "STARTTLS";
        stream.get_mut().write_all(format!("{said}\r\n").as_bytes())?;
        stream.get_mut().flush()?;
        if turns {
            return Ok(Some(stream.into_inner()));
        }
    }
}

/// Tells one event by letter; the engine is given back while it runs.
fn telling(dir: &Path, mail: &Mail, security: SmtpSecurity, authority: Option<&Identity>) -> Engine {
    let password = dir.join("password");
    std::fs::write(&password, "word\n").unwrap();
    let options = SmtpOptions {
        server: "localhost".into(),
        port: mail.port,
        security,
        from: "kassa@ofd.example".into(),
        user: "kassa".into(),
        password_file: password,
        authority_file: authority.map(|it| it.certificate.clone()),
        ..SmtpOptions::default()
    };
    let builder = Engine::builder(dir.join("data")).operator_inn("7700000190").segment_len_bytes(1 << 20);
    let engine = builder.channel_named("email", Arc::new(Smtp::new(options).unwrap())).open().unwrap();
    let text = r#"{"id":"boss","scope":{"all":true},"kinds":["shift.opened"],"channel":"email","to":"boss@shop.example","by":"test"}"#;
    engine.subscribe(SubscriptionCommand::Set(Box::new(Subscription::from_json(text).unwrap()))).unwrap();
    submit(&engine, &life(3, 0, 3));
    engine
}

#[test]
fn letters_go_under_tls_from_the_first_byte_or_behind_starttls() {
    for (speaks, security) in [(Speaks::Tls, SmtpSecurity::Tls), (Speaks::StartTls, SmtpSecurity::StartTls)] {
        let dir = tempfile::tempdir().unwrap();
        let server = Identity::new(dir.path(), "mail");
        let mail = Mail::start(speaks, server.server(None));
        let engine = telling(dir.path(), &mail, security, Some(&server));
        wait_until("a letter", || !mail.heard("LETTER").is_empty());
        assert!(mail.heard("LETTER").iter().chain(&mail.heard("AUTH")).all(|secure| *secure));
        assert_eq!(mail.heard("STARTTLS").is_empty(), speaks == Speaks::Tls);
        engine.shutdown().unwrap();
    }
}

/// Neither a password nor a letter goes to who cannot prove himself, nor to who cannot do it under TLS; the letter waits.
#[test]
fn neither_password_nor_letter_goes_to_a_server_that_does_not_prove_itself() {
    for (speaks, security, known) in [
        (Speaks::Tls, SmtpSecurity::Tls, false),
        (Speaks::StartTls, SmtpSecurity::StartTls, false),
        (Speaks::Plain, SmtpSecurity::StartTls, true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let server = Identity::new(dir.path(), "mail");
        let other = Identity::new(dir.path(), "other");
        let mail = Mail::start(speaks, server.server(None));
        let authority = if known { &server } else { &other };
        let engine = telling(dir.path(), &mail, security, Some(authority));
        wait_until("it was tried", || engine.notice_status().counts.retried > 0);
        let status = engine.notice_status();
        assert_eq!((status.counts.delivered, status.counts.refused, status.waiting), (0, 0, 1));
        for word in ["AUTH", "MAIL", "LETTER"] {
            assert!(mail.heard(word).is_empty(), "{word}");
        }
        engine.shutdown().unwrap();
    }
}
