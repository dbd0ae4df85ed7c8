//! Signed webhooks from a running engine, to a receiver that dies and comes back.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a failed unwrap is a failed test"
)]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{lives_of, submit};
use hmac::{Hmac, KeyInit, Mac};
use ofd_emit::ProfileOptions;
use ofd_engine::channels::{Webhook, WebhookOptions};
use ofd_engine::host::{Capability, Delivery, DeliveryOutcome, conformance};
use ofd_engine::notify::{Subscription, SubscriptionCommand};
use ofd_engine::{Engine, Position};
use sha2::Sha256;

const SECRET: &str = "correct horse battery staple";
const PATIENCE: Duration = Duration::from_secs(30);

/// A request as it came.
#[derive(Clone, Debug)]
struct Request {
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

fn read_request(stream: &mut impl Read) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    if !line.starts_with("POST ") {
        return None;
    }
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let mut body = vec![0; headers.get("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    Some(Request { headers, body })
}

/// A receiver: each request is given to `take`, which says the status.
struct Receiver {
    address: SocketAddr,
    stops: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Receiver {
    fn start(address: &str, take: impl Fn(Request) -> Option<&'static str> + Send + 'static) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let stops = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stops);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                let Some(request) = read_request(&mut stream) else { continue };
                // Without a status it dies before it answers.
                let Some(status) = take(request) else { continue };
                let _ = stream.write_all(
                    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes(),
                );
            }
        });
        Self { address, stops, thread: Some(thread) }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stops.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        self.thread.take().map(|it| it.join());
    }
}

/// Verifies a signature as the documentation says it.
fn verify(request: &Request, key: &str, secret: &str) -> bool {
    let signatures = &request.headers["x-ofd-signature"];
    let own = signatures.split(", ").find_map(|it| it.strip_prefix(&format!("{key}="))).unwrap_or_default();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(request.headers["x-ofd-timestamp"].as_bytes());
    mac.update(b".");
    mac.update(&request.body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    hex == own
}

fn secret_file(dir: &Path) -> PathBuf {
    let path = dir.join("secrets");
    std::fs::write(&path, format!("k1 {SECRET}\n")).unwrap();
    path
}

fn options(dir: &Path) -> WebhookOptions {
    WebhookOptions {
        secret_file: secret_file(dir),
        inner_networks: true,
        plain_http: true,
        ..WebhookOptions::default()
    }
}

fn open(dir: &Path) -> Engine {
    let builder = Engine::builder(dir.join("data")).operator_inn("7700000190").segment_len_bytes(1 << 20);
    builder.channel_named("webhook", Arc::new(Webhook::new(options(dir)).unwrap())).open().unwrap()
}

fn subscribe(engine: &Engine, to: &str) -> Position {
    let text = format!(
        r#"{{"id":"crm","scope":{{"all":true}},"kinds":["shift.opened","shift.closed","drive.appeared"],"channel":"webhook","to":"{to}","by":"test"}}"#
    );
    engine.subscribe(SubscriptionCommand::Set(Box::new(Subscription::from_json(&text).unwrap()))).unwrap()
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn expected(engine: &Engine) -> Vec<(u64, u64)> {
    assert!(engine.registers(&Capability::operator()).wait(engine.durable(), PATIENCE));
    let mut feed = engine.events(&Capability::operator(), Position::START);
    let mut all = Vec::new();
    loop {
        let events = feed.next_batch(1_000, Duration::from_millis(200)).unwrap();
        if events.is_empty() {
            return all;
        }
        let kinds = ["shift.opened", "shift.closed", "drive.appeared"];
        let wanted = events.iter().filter(|it| kinds.contains(&it.kind.name()));
        all.extend(wanted.map(|it| (it.position.as_u64(), u64::from(it.index))));
    }
}

/// What a receiver keeps on its disk: the greatest place it has dealt with, and what it has dealt with.
#[derive(Default)]
struct Kept {
    last: Option<(u64, u64)>,
    dealt: Vec<(u64, u64)>,
    again: usize,
}

// A receiver that dies before, within and behind its work, and is away in between: by the greatest place it keeps it deals
// with everything once, in order. The engine is restarted, too.
#[test]
fn a_receiver_that_dies_and_returns_loses_and_repeats_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let kept = Arc::new(Mutex::new(Kept::default()));
    let deaths = Arc::new(AtomicUsize::new(0));
    let take = || {
        let (kept, deaths) = (Arc::clone(&kept), Arc::clone(&deaths));
        move |request: Request| {
            assert!(verify(&request, "k1", SECRET), "a signature that does not hold");
            let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            assert_eq!(body["id"], request.headers["x-ofd-delivery"]);
            let place = (body["position"].as_u64().unwrap(), body["index"].as_u64().unwrap());
            let mut kept = kept.lock().unwrap();
            let n = kept.dealt.len() + kept.again;
            if n % 7 == 3 && deaths.fetch_add(1, Ordering::SeqCst) % 2 == 0 {
                return None;
            }
            if kept.last.is_some_and(|last| place <= last) {
                kept.again += 1;
                return Some("200 OK");
            }
            kept.last = Some(place);
            kept.dealt.push(place);
            // It has dealt with it, and dies before it says so; or says that it is busy.
            match n % 11 {
                5 => None,
                8 => Some("503 Service Unavailable"),
                _ => Some("204 No Content"),
            }
        }
    };
    let mut receiver = Receiver::start("127.0.0.1:0", take());
    let address = receiver.address.to_string();
    let options = |_| ProfileOptions { receipts_per_shift: Some(2), ..ProfileOptions::default() };
    let lives = lives_of(5, 3, 40, options);
    let messages: Vec<_> = (0..40).flat_map(|at| lives.iter().map(move |life| life[at].clone())).collect();
    let mut engine = open(dir.path());
    subscribe(&engine, &format!("http://{address}/hook"));
    for (at, part) in messages.chunks(30).enumerate() {
        submit(&engine, part);
        wait_until("something comes", || kept.lock().unwrap().dealt.len() > at * 4);
        drop(receiver);
        // Nobody is there for a while.
        std::thread::sleep(Duration::from_millis(100));
        if at % 2 == 1 {
            engine.shutdown().unwrap();
            engine = open(dir.path());
        }
        receiver = Receiver::start(&address, take());
    }
    let all = expected(&engine);
    wait_until("everything came", || kept.lock().unwrap().dealt.len() >= all.len());
    wait_until("it is noted", || engine.notice_status().waiting == 0);
    {
        let kept = kept.lock().unwrap();
        assert_eq!(kept.dealt, all, "in order, each once");
        assert!(kept.again > 0 && deaths.load(Ordering::SeqCst) > 1, "nothing went wrong");
    }
    // It has lost its disk: it asks for everything again, from where it still knows.
    let from = all[all.len() / 2];
    let engine_from =
        engine.feed(&Capability::operator(), Position::START).next_batch(1_000, PATIENCE).unwrap();
    let position = engine_from
        .iter()
        .map(ofd_engine::StoredDocument::position)
        .find(|it| it.as_u64() == from.0)
        .unwrap();
    {
        let mut kept = kept.lock().unwrap();
        kept.last = Some(from);
        kept.dealt.retain(|it| *it <= from);
    }
    engine
        .subscribe(SubscriptionCommand::Replay { id: "crm".into(), from: position, by: "test".into() })
        .unwrap();
    wait_until("it came again", || kept.lock().unwrap().dealt.len() >= all.len());
    assert_eq!(kept.lock().unwrap().dealt, all);
    engine.shutdown().unwrap();
}

fn deliver(channel: &Webhook, to: &str) -> DeliveryOutcome {
    let delivery = Delivery {
        id: 7,
        to: to.to_owned(),
        body: bytes::Bytes::from_static(b"{\"id\":\"0000000000000007\"}"),
    };
    conformance::outcome_of(channel, delivery)
}

// Statuses as the documentation tells them; and no redirect leads anywhere.
#[test]
fn statuses_say_what_becomes_of_a_delivery() {
    let dir = tempfile::tempdir().unwrap();
    let channel = Webhook::new(options(dir.path())).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    for (status, outcome) in [
        ("200 OK", DeliveryOutcome::Delivered),
        ("204 No Content", DeliveryOutcome::Delivered),
        ("302 Found\r\nlocation: /elsewhere", DeliveryOutcome::Retry),
        ("400 Bad Request", DeliveryOutcome::Retry),
        ("404 Not Found", DeliveryOutcome::Retry),
        ("410 Gone", DeliveryOutcome::Refused),
        ("500 Internal Server Error", DeliveryOutcome::Retry),
    ] {
        let count = Arc::clone(&asked);
        let receiver = Receiver::start("127.0.0.1:0", move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            Some(status)
        });
        let before = asked.load(Ordering::SeqCst);
        assert_eq!(deliver(&channel, &format!("http://{}/hook", receiver.address)), outcome, "{status}");
        assert_eq!(asked.load(Ordering::SeqCst), before + 1, "{status}");
    }
}

// Two keys sign while a secret is rotated, without a restart.
#[test]
fn secrets_are_rotated_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let channel = Webhook::new(options(dir.path())).unwrap();
    let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
    let requests = Arc::clone(&seen);
    let receiver = Receiver::start("127.0.0.1:0", move |request| {
        requests.lock().unwrap().push(request);
        Some("200 OK")
    });
    let to = format!("http://{}/", receiver.address);
    let new = "another secret of ours";
    for text in [format!("k1 {SECRET}"), format!("k2 {new}\nk1 {SECRET}"), format!("k2 {new}")] {
        std::fs::write(dir.path().join("secrets"), text).unwrap();
        assert_eq!(deliver(&channel, &to), DeliveryOutcome::Delivered);
    }
    std::fs::remove_file(dir.path().join("secrets")).unwrap();
    assert_eq!(deliver(&channel, &to), DeliveryOutcome::Retry, "nothing goes out unsigned");
    let seen = seen.lock().unwrap();
    let holds = |at: usize, key, secret| verify(&seen[at], key, secret);
    assert_eq!(seen.len(), 3);
    assert!(holds(0, "k1", SECRET) && holds(1, "k1", SECRET) && holds(1, "k2", new) && holds(2, "k2", new));
    assert!(!holds(2, "k1", SECRET) && !holds(1, "k1", new));
}

// What a subscriber names is called from inside of our network.
#[test]
fn nothing_inside_of_the_network_is_reached() {
    let dir = tempfile::tempdir().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let receiver = Receiver::start("127.0.0.1:0", move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Some("200 OK")
    });
    let port = receiver.address.port();
    let closed = Webhook::new(WebhookOptions { inner_networks: false, ..options(dir.path()) }).unwrap();
    for host in ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "2130706433"] {
        assert_eq!(deliver(&closed, &format!("http://{host}:{port}/")), DeliveryOutcome::Retry, "{host}");
    }
    let secure = Webhook::new(WebhookOptions { plain_http: false, ..options(dir.path()) }).unwrap();
    for to in [
        format!("http://127.0.0.1:{port}/"),
        format!("https://a:b@127.0.0.1:{port}/"),
        "file:///etc/passwd".into(),
    ] {
        assert_eq!(deliver(&secure, &to), DeliveryOutcome::Refused);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

// TLS is what the outside asks for: a certificate of a known authority is taken, and no other.
#[test]
fn a_receiver_under_tls_is_known_by_its_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let authority = dir.path().join("authority.pem");
    std::fs::write(&authority, made.cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(session, stream.unwrap());
            if read_request(&mut stream).is_some() {
                let _ =
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    let to = format!("https://localhost:{port}/hook");
    let secure = WebhookOptions { plain_http: false, ..options(dir.path()) };
    let known = Webhook::new(WebhookOptions { authority_file: Some(authority), ..secure.clone() }).unwrap();
    assert_eq!(deliver(&known, &to), DeliveryOutcome::Delivered);
    assert_eq!(deliver(&Webhook::new(secure).unwrap(), &to), DeliveryOutcome::Retry);
}

// The few lines of Python that the documentation gives.
#[test]
fn the_python_of_the_documentation_verifies_a_delivery() {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/notifications.md"))
            .unwrap();
    let code =
        text.split("```python\n").nth(1).and_then(|it| it.split("```").next()).expect("a piece of Python");
    let dir = tempfile::tempdir().unwrap();
    let channel = Webhook::new(options(dir.path())).unwrap();
    let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
    let requests = Arc::clone(&seen);
    let receiver = Receiver::start("127.0.0.1:0", move |request| {
        requests.lock().unwrap().push(request);
        Some("200 OK")
    });
    deliver(&channel, &format!("http://{}/", receiver.address));
    let request = seen.lock().unwrap()[0].clone();
    let headers = serde_json::to_string(
        &request.headers.iter().map(|(k, v)| (k.clone(), v.clone())).collect::<BTreeMap<_, _>>(),
    )
    .unwrap();
    let body = String::from_utf8(request.body).unwrap();
    let script = format!(
        "{code}\nimport json\nheaders = {{k.title(): v for k, v in json.loads('''{headers}''').items()}}\nbody = '''{body}'''.encode()\n\
         assert is_ours(headers, body, {{'k1': '{SECRET}'}})\nassert not is_ours(headers, body + b' ', {{'k1': '{SECRET}'}})\n\
         assert not is_ours(headers, body, {{'k1': 'another'}})\nassert not is_ours(headers, body, {{'k2': '{SECRET}'}})\n"
    );
    let Ok(run) = std::process::Command::new("python3").args(["-c", &script]).output() else {
        eprintln!("skipped: there is no python3");
        return;
    };
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}
