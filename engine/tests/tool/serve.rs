//! `ofd serve` with everything that works beside it and after it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ofd_emit::{EmitOptions, ProfileOptions, Register};
use ofd_engine::codec::{Frame, LocalSeconds};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{OFD, Ran, Server, hex, ofd, read_answer, small_segments, soon};

/// Together they fill more than one segment of the smallest length.
const REGISTERS: u32 = 30;
const RECEIPTS: u32 = 80;
const SEED: u64 = 77;
/// Registration, opening, receipts and closing of each register.
const DOCUMENTS: u64 = (REGISTERS as u64) * (RECEIPTS as u64 + 3);

/// The third document (the first receipt) of a register that `feed` sent: its drive, printed sign and container.
fn known_document(index: u32) -> (String, u32, Vec<u8>) {
    let options = EmitOptions::new("127.0.0.1:1".parse().unwrap(), REGISTERS, RECEIPTS, SEED);
    let mut register = Register::new(SEED, index, &options.life());
    let mut message = Vec::new();
    for _ in 0..3 {
        message.clear();
        register.next_message(&mut message).unwrap();
    }
    let frame = Frame::new_checked(&message).unwrap();
    let container = frame.container();
    let sign =
        ofd_engine::codec::open_plain(&container, None, container.body()).unwrap().header().sign.unwrap();
    (register.drive().as_str().to_owned(), sign.printed(), container.bytes().to_vec())
}

fn find(data: &Path, drive: &str, more: &[&str]) -> Ran {
    let mut words = vec!["find", "--data", data.to_str().unwrap(), "--fn", drive];
    words.extend(more);
    ofd(words)
}

fn on(data: &Path, words: &[&str]) -> Ran {
    let (command, more) = words.split_first().unwrap();
    let mut all = vec![*command, "--data", data.to_str().unwrap()];
    all.extend(more);
    ofd(all)
}

/// A request straight over the socket.
fn ask(data: &Path, line: &str) -> Vec<Value> {
    let stream = UnixStream::connect(data.join("control.sock")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // A full house says so and hangs up, perhaps before it was asked.
    let _ = (&stream).write_all(format!("{line}\n").as_bytes());
    let mut replies = Vec::new();
    for reply in BufReader::new(&stream).lines() {
        replies.push(serde_json::from_str::<Value>(&reply.unwrap()).unwrap());
        if replies.last().unwrap().get("data").is_none() {
            break;
        }
    }
    replies
}

#[test]
fn what_is_confirmed_is_found_compacted_and_verified_beside_the_server_and_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = small_segments(folder.path(), "");
    let server = Server::start(&data, &["--config", config.to_str().unwrap()]);

    let report = server.feed(REGISTERS, RECEIPTS, SEED);
    for (key, value) in
        [("sent", DOCUMENTS), ("confirmed", DOCUMENTS), ("refused", 0), ("unanswered", 0), ("seed", SEED)]
    {
        assert_eq!(report[key], value, "{report}");
    }
    for key in ["documents_per_second", "p50_us", "p99_us", "p999_us"] {
        assert!(report[key].as_u64().unwrap() > 0, "{report}");
    }
    let status = ask(&data, r#"{"do":"status"}"#);
    assert_eq!(status[0]["data"]["documents"], DOCUMENTS, "{status:?}");
    assert_eq!(status[0]["data"]["health"], "ready");
    assert_eq!(status[1], json!({"ok": true}));

    // Beside the server.
    let (drive, sign, container) = known_document(4);
    let beside = find(&data, &drive, &["--fd", "3"]).expect(0);
    let line = beside.json().remove(0);
    assert_eq!(beside.json().len(), 1);
    assert_eq!(
        (&line["variant"], &line["answer_code"], &line["realm"]),
        (&json!(0), &json!(0), &json!("prod"))
    );
    assert!(line["position"].as_u64().unwrap() > 0);
    assert_eq!(line["document"]["receipt"]["fiscalDocumentNumber"], 3);
    assert_eq!(line["document"]["receipt"]["fiscalSign"], sign);
    for key in ["received_at", "answered_at"] {
        let time: jiff::Timestamp = line[key].as_str().unwrap().parse().unwrap();
        assert!(line[key].as_str().unwrap().ends_with('Z'));
        assert!(time.duration_until(jiff::Timestamp::now()).as_secs() < 600, "{line}");
    }
    let keys: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        ["position", "variant", "answer_code", "received_at", "answered_at", "realm", "document"]
    );
    assert_eq!(find(&data, &drive, &["--fpd", &sign.to_string()]).expect(0).out, beside.out);
    assert_eq!(find(&data, &drive, &["--fd", "3", "--raw"]).expect(0).out.trim_end(), hex(&container));
    find(&data, &drive, &["--fd", "4000"]).expect(4);
    find(&data, "9999078900001234", &["--fd", "1"]).expect(4);

    assert_eq!(on(&data, &["verify", "--json"]).expect(0).json()[0]["parquet_rows"], 0);
    let compacted = on(&data, &["compact", "--all", "--json"]).expect(0).json().remove(0);
    assert_eq!((&compacted["documents"], &compacted["damaged"]), (&json!(DOCUMENTS), &json!(0)));
    assert_eq!(on(&data, &["compact", "--all", "--json"]).expect(0).json()[0]["documents"], 0);
    let whole =
        json!({"documents": DOCUMENTS, "damaged": 0, "missing": 0, "parquet_rows": DOCUMENTS, "ok": true});
    assert_eq!(on(&data, &["verify", "--json"]).expect(0).json().first(), Some(&whole));
    assert_eq!(find(&data, &drive, &["--fd", "3"]).expect(0).out, beside.out);

    let log = server.stop();
    assert!(!log.contains(&hex(&container)[..40]), "a payload in the log");
    assert!(!data.join("control.sock").exists());

    // After it.
    assert_eq!(find(&data, &drive, &["--fd", "3"]).expect(0).out, beside.out);
    assert_eq!(find(&data, &drive, &["--fpd", &sign.to_string()]).expect(0).out, beside.out);
    assert_eq!(find(&data, &drive, &["--fd", "3", "--raw"]).expect(0).out.trim_end(), hex(&container));
    find(&data, &drive, &["--fd", "4000"]).expect(4);
    assert_eq!(on(&data, &["compact", "--all", "--json"]).expect(0).json()[0]["documents"], 0);
    assert_eq!(on(&data, &["verify", "--json"]).expect(0).json(), [whole]);
}

/// Sends a message and reads the answer.
fn exchange(listen: &str, message: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(listen).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(message).unwrap();
    read_answer(&mut stream)
}

#[test]
fn every_variant_is_found_with_its_answer_and_realm() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    // The same drive registers on two days: two documents under number 1. The second stands against the first,
    // but a test drive may begin anew.
    let mut drives = Vec::new();
    for (test_drives, day) in [(false, 0), (false, 86_400), (true, 0), (true, 86_400)] {
        let from = LocalSeconds(ProfileOptions::default().from.0 + day);
        let options = ProfileOptions { test_drives, from, ..ProfileOptions::default() };
        let mut register = Register::new(9, 0, &options);
        let mut message = Vec::new();
        register.next_message(&mut message).unwrap();
        drives.push(register.drive().as_str().to_owned());
        exchange(&server.listen, &message);
    }
    assert_eq!((&drives[0], &drives[2]), (&drives[1], &drives[3]));
    let check = || {
        for (drive, realm, second) in [(&drives[0], "prod", (1, 14)), (&drives[2], "test", (0, 0))] {
            let found = find(&data, drive, &["--fd", "1"]).expect(0).json();
            let facts: Vec<_> =
                found.iter().map(|it| json!([it["variant"], it["answer_code"], it["realm"]])).collect();
            assert_eq!(facts, [json!([0, 0, realm]), json!([second.0, second.1, realm])]);
            let raw = find(&data, drive, &["--fd", "1", "--raw"]).expect(0).out;
            assert_eq!(raw.lines().collect::<BTreeSet<_>>().len(), 2);
        }
    };
    check();
    server.stop();
    check();
}

#[test]
fn compaction_without_a_server_takes_all_that_was_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = small_segments(folder.path(), "");
    let server = Server::start(&data, &["--config", config.to_str().unwrap()]);
    server.feed(REGISTERS, RECEIPTS, SEED);
    server.stop();
    let said = on(&data, &["compact", "--all"]).expect(0);
    assert!(said.out.starts_with(&format!("{DOCUMENTS} documents and ")), "{}", said.out);
    let verified = on(&data, &["verify"]).expect(0);
    assert_eq!(
        verified.out,
        format!("{DOCUMENTS} documents, {DOCUMENTS} of them in Parquet; 0 damaged, 0 missing\n")
    );
    for table in ["documents", "items", "containers"] {
        let days: Vec<_> = std::fs::read_dir(data.join("parquet").join(table)).unwrap().collect();
        assert!(!days.is_empty());
        for day in days {
            let day = day.unwrap();
            assert!(day.file_name().to_str().unwrap().starts_with("date=2026-"), "{day:?}");
            assert_eq!(std::fs::metadata(day.path().join("_SUCCESS")).unwrap().len(), 0);
        }
    }
}

#[test]
fn one_server_owns_a_directory_and_one_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let (data, other) = (folder.path().join("data"), folder.path().join("other"));
    let server = Server::start(&data, &[]);
    let second = ofd(["serve", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"]).expect(5);
    assert_eq!(second.out, "");
    assert!(second.err.contains("lock"), "{}", second.err);
    ofd(["serve", "--data", other.to_str().unwrap(), "--listen", &server.listen]).expect(5);
    // The first is unharmed, its socket too.
    assert_eq!(ask(&data, r#"{"do":"status"}"#)[1], json!({"ok": true}));
    server.feed(1, 1, 1);
    server.stop();
}

#[test]
fn the_control_socket_is_the_owners_alone_and_a_stale_one_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let socket = data.join("control.sock");
    let found = std::fs::metadata(&socket).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.mode() & 0o777, 0o600);
    server.signal(Signal::KILL);
    server.wait();
    assert!(socket.exists(), "nobody could remove it");
    // A socket without a server: the commands work by themselves.
    on(&data, &["verify", "--json"]).expect(0);
    find(&data, "9999078900001234", &["--fd", "1"]).expect(4);

    let server = Server::start(&data, &[]);
    assert_eq!(ask(&data, r#"{"do":"status"}"#)[1], json!({"ok": true}));
    for (line, why) in
        [("no json", "not a JSON object"), ("{}", "do has to be"), (&*"9".repeat(1 << 20), "too long")]
    {
        let reply = ask(&data, line);
        assert_eq!(reply[0]["kind"], "fix");
        assert!(reply[0]["error"].as_str().unwrap().contains(why), "{reply:?}");
    }
    // More than it serves at once: told so, and the others are not harmed.
    let mut idle: Vec<_> = (0..16).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    soon("a full house", || ask(&data, r#"{"do":"status"}"#)[0]["kind"] == "busy");
    // A question of ours may have had a place while one of the idle was turned away: its place is taken now.
    for _ in 0..2 {
        std::thread::sleep(std::time::Duration::from_millis(200));
        idle.push(UnixStream::connect(&socket).unwrap());
    }
    on(&data, &["verify"]).expect(5);
    drop(idle);
    soon("room again", || ask(&data, r#"{"do":"status"}"#)[0].get("data").is_some());
    server.stop();
    assert!(!socket.exists());
}

/// The address of a unix socket has 108 bytes; a directory may lie deeper.
#[test]
fn a_deep_directory_has_a_control_socket_too() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("d".repeat(120)).join("data");
    let server = Server::start(&data, &[]);
    server.feed(1, 2, 3);
    assert!(data.join("control.sock").exists());
    assert_eq!(on(&data, &["verify", "--json"]).expect(0).json()[0]["documents"], 5);
    server.stop();
    assert!(!data.join("control.sock").exists());
}

#[test]
fn sigterm_drains_while_registers_send_and_loses_nothing_that_was_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let emit = Command::new(OFD)
        .args(["emit", "--connect", &server.listen, "--registers", "20", "--receipts", "100000", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    soon("a hundred documents", || {
        ask(&data, r#"{"do":"status"}"#)[0]["data"]["answered"].as_u64().unwrap() > 100
    });
    server.stop();
    kill_process(Pid::from_child(&emit), Signal::TERM).unwrap();
    let emitted = emit.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&emitted.stdout).unwrap();
    let verified = on(&data, &["verify", "--json"]).expect(0).json().remove(0);
    let (confirmed, stored) =
        (report["confirmed"].as_u64().unwrap(), verified["documents"].as_u64().unwrap());
    assert!(confirmed > 100 && stored >= confirmed, "{confirmed} were confirmed, {stored} are stored");
}

#[test]
fn sighup_takes_reloadable_keys_and_a_broken_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = small_segments(folder.path(), "");
    let server = Server::start(&data, &["--config", config.to_str().unwrap()]);
    server.feed(REGISTERS, RECEIPTS, SEED);
    assert!(!data.join("parquet").exists());

    std::fs::write(&config, "log.segment_len_bytes = 5\n").unwrap();
    server.signal(Signal::HUP);
    small_segments(
        folder.path(),
        "compact.every_s = 1\nthreads.workers = 2\nlimits.first_byte_timeout_us = 300000\n",
    );
    std::thread::sleep(Duration::from_millis(500));
    server.signal(Signal::HUP);
    soon("a compaction by the clock", || data.join("archive.json").exists());
    soon("its documents", || {
        on(&data, &["verify", "--json"])
            .json()
            .first()
            .is_some_and(|it| it["parquet_rows"].as_u64() > Some(0))
    });
    let mut silent = std::net::TcpStream::connect(&server.listen).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(
        std::io::Read::read(&mut silent, &mut [0; 1]).unwrap(),
        0,
        "the new deadline of a first byte ends it"
    );
    let log = server.stop();
    assert!(log.contains("threads.workers"), "a key that needs a restart is named: {log}");
    assert!(log.contains("compact.every_s"), "{log}");
}

#[test]
fn a_broken_file_on_sighup_is_told_and_the_server_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = small_segments(folder.path(), "");
    let server = Server::start(&data, &["--config", config.to_str().unwrap(), "--log-format", "json"]);
    std::fs::write(&config, "log.segment_len_bytes = 5\n").unwrap();
    server.signal(Signal::HUP);
    std::thread::sleep(Duration::from_millis(500));
    server.feed(1, 1, 1);
    let log = server.stop();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = lines.iter().find(|it| it["level"] == "ERROR").unwrap();
    assert!(
        told["fields"]["failure"].as_str().unwrap().contains("log.segment_len_bytes is out of bounds"),
        "{told}"
    );
}

#[test]
fn damage_of_the_log_and_of_parquet_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = small_segments(folder.path(), "");
    let server = Server::start(&data, &["--config", config.to_str().unwrap()]);
    server.feed(REGISTERS, RECEIPTS, SEED);
    on(&data, &["compact", "--all"]).expect(0);
    let beside = on(&data, &["scrub", "--json"]).expect(0).json().remove(0);
    assert!(beside["segments"].as_u64() > Some(0) && beside["files"].as_u64() > Some(0), "{beside}");
    server.stop();
    assert_eq!(on(&data, &["scrub", "--json"]).expect(0).json().remove(0), beside, "without the server");

    // The container of a known document, in whatever segment it lies.
    let (drive, _, container) = known_document(2);
    let mut hit = None;
    for entry in std::fs::read_dir(data.join("log")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(container.len()).position(|it| it == container) {
            bytes[at + 50] ^= 4;
            std::fs::write(&path, bytes).unwrap();
            hit = Some(path);
        }
    }
    let hit = hit.expect("the document is in no segment");
    let found = on(&data, &["verify", "--json"]).expect(3);
    let line = found.json().remove(0);
    assert_eq!((&line["ok"], &line["damaged"]), (&json!(false), &json!(1)), "{line}");
    let id = hit.file_stem().unwrap().to_str().unwrap();
    assert!(found.err.contains(&format!("segment {id}")), "{} is not named: {}", hit.display(), found.err);
    assert_eq!(find(&data, &drive, &["--fd", "3"]).code, Some(3), "it may have lain in the damage");
    find(&data, &drive, &["--fd", "2"]).expect(0);

    let scrubbed = on(&data, &["scrub", "--rate", "1000"]).expect(3);
    let segment = format!("{id}.seg");
    assert!(scrubbed.err.contains(&segment) && scrubbed.err.contains("are lost"), "{}", scrubbed.err);

    // A Parquet file.
    let day = std::fs::read_dir(data.join("parquet/containers")).unwrap().next().unwrap().unwrap().path();
    let file =
        std::fs::read_dir(&day).unwrap().map(|it| it.unwrap().path()).find(|it| it.extension().is_some());
    let file = file.unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    for command in ["verify", "scrub"] {
        let found = on(&data, &[command, "--json"]).expect(3);
        assert!(found.err.contains(name), "{name} is not named: {}", found.err);
    }
}

/// A supervisor that closes the pipe must not cost a register its operator.
#[test]
fn a_server_whose_stdout_nobody_reads_serves_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut child = Command::new(OFD)
        .args(["serve", "--listen", &free, "--data", data.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    soon("the server", || data.join("control.sock").exists() && TcpStream::connect(&free).is_ok());
    let ran = ofd(["emit", "--connect", &free, "--registers", "1", "--receipts", "1", "--json"]).expect(0);
    assert_eq!(ran.json()[0]["confirmed"], 4);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// The kernel's SIGXFSZ would kill the process without a word.
#[test]
fn a_file_that_may_not_grow_is_an_error_and_not_a_death() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // 8 MiB for a file in bash's units of a KiB; the default segment has 64.
    let script = format!("ulimit -f 8192; exec {OFD} serve --data {} --listen 127.0.0.1:0", data.display());
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!output.stderr.is_empty());
}

// The certificate is named in the configuration, and a wrong name stops the start and not the first register. What is said
// under TLS is told in engine/tests/tls.rs.
#[test]
fn a_listener_under_tls_stands_beside_the_plain_one() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["ofd.example".to_owned()]).unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (chain, key) =
        (file("chain.pem", made.cert.pem()), file("key.pem", made.signing_key.serialize_pem()));
    let tls = |key: &str| {
        format!(
            "tls.listen = \"127.0.0.1:0\"\ntls.certificate_file = \"{chain}\"\ntls.key_file = \"{key}\"\n"
        )
    };
    let data = folder.path().join("data");
    let config = small_segments(folder.path(), &tls(&key));
    let server = Server::start(&data, &["--config", config.to_str().unwrap()]);
    server.feed(1, 3, 1);
    let address = server.listen_tls.clone().unwrap();
    assert_ne!(address, server.listen);
    // Not TLS: an alert at most, and the end.
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut said);
    assert!(said.len() <= 7, "{said:?}");
    server.stop();

    let config = small_segments(folder.path(), &tls("/nowhere/key.pem"));
    let words = ["serve", "--listen", "127.0.0.1:0", "--config", config.to_str().unwrap(), "--data"];
    let ran = ofd(words.iter().copied().chain([data.to_str().unwrap()])).expect(4);
    assert!(ran.err.contains("/nowhere/key.pem"), "{}", ran.err);
}
