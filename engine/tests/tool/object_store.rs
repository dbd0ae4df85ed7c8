//! The archive in S3, from end to end: the real tool against a real server of that protocol (`moto_server`, from PyPI).
//!
//! The server is found by `OFD_MOTO`, which `.ci/run` sets, or in the path; without one these tests say aloud that they are
//! skipped. Between the two stands a proxy of ours that can be away.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{OFD, Ran, Server, ofd, small_segments};

const REGISTERS: u32 = 30;
const RECEIPTS: u32 = 60;

/// A server of S3 that ends with the test.
struct Moto {
    child: Child,
    at: SocketAddr,
    python: PathBuf,
}

impl Moto {
    /// `None`, said aloud: there is none on this machine.
    fn start() -> Option<Self> {
        let told = std::env::var_os("OFD_MOTO").map(PathBuf::from);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|dir| dir.join("moto_server")).find(|it| it.is_file());
        let Some(program) = told.or(found) else {
            eprintln!(
                "SKIPPED: no moto_server here (pip install 'moto[server]', or OFD_MOTO): S3 is not tested"
            );
            return None;
        };
        let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", &at.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let moto = Self { child, at, python: program.with_file_name("python") };
        let deadline = Instant::now() + Duration::from_secs(120);
        while TcpStream::connect(at).is_err() {
            assert!(Instant::now() < deadline, "moto_server does not listen");
            std::thread::sleep(Duration::from_millis(100));
        }
        let request = "PUT /archive HTTP/1.1\r\nHost: s3.amazonaws.com\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        Some(moto)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const THERE: u8 = 0;
/// Every connection is closed without a byte.
const CLOSED: u8 = 1;
/// Every request is answered 503.
const OVERLOADED: u8 = 2;

/// What stands between the tool and the server.
struct Proxy {
    at: SocketAddr,
    state: Arc<AtomicU8>,
}

impl Proxy {
    fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let state = Arc::new(AtomicU8::new(THERE));
        let told = Arc::clone(&state);
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let told = Arc::clone(&told);
                std::thread::spawn(move || pass(stream, to, &told));
            }
        });
        Self { at, state }
    }

    fn set(&self, state: u8) {
        self.state.store(state, Ordering::Relaxed);
    }
}

fn pass(mut client: TcpStream, to: SocketAddr, state: &AtomicU8) {
    match state.load(Ordering::Relaxed) {
        THERE => {
            let Ok(mut server) = TcpStream::connect(to) else { return };
            let (mut from, mut into) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let back = std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut into);
                let _ = into.shutdown(Shutdown::Both);
            });
            let _ = std::io::copy(&mut client, &mut server);
            let _ = server.shutdown(Shutdown::Both);
            let _ = back.join();
        }
        OVERLOADED => {
            let mut taken = [0; 4096];
            let _ = client.read(&mut taken);
            let answer = "HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = client.write_all(answer.as_bytes());
        }
        _ => {}
    }
}

fn on(data: &Path, words: &[&str]) -> Ran {
    let (command, more) = words.split_first().unwrap();
    let data = data.to_str().unwrap();
    ofd([&[*command, "--data", data], more].concat())
}

fn one(ran: Ran) -> Value {
    ran.expect(0).json().remove(0)
}

fn segments(data: &Path) -> usize {
    let names = std::fs::read_dir(data.join("log")).unwrap();
    names.filter(|it| it.as_ref().unwrap().file_name().to_str().unwrap().ends_with(".seg")).count()
}

/// A copy of a directory that no process has.
fn copied(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copied(&entry.path(), &to.join(entry.file_name()));
        } else if kind.is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// What another program reads: rows and sum of `documents`, by the names in the manifest and by pattern.
const READ: &str = r#"
import json, sys
try:
    import duckdb, pyarrow.dataset as dataset, pyarrow.fs as fs
except ImportError as error:
    print("SKIPPED:", error); sys.exit(0)
s3 = fs.S3FileSystem(access_key="key", secret_key="secret", endpoint_override=sys.argv[1], scheme="http", region="us-east-1")
place = sys.argv[2]
manifest = json.loads(s3.open_input_stream(place + "/archive.json").read())
names = [f"{place}/parquet/{f['table']}/date={f['date']}/{f['name']}" for r in manifest["runs"] for f in r["files"] if f["table"] == "documents"]
below = [f.path for f in s3.get_file_info(fs.FileSelector(place + "/parquet/documents", recursive=True)) if f.path.endswith(".parquet")]
assert sorted(names) == sorted(below), (names, below)
documents = dataset.dataset(names, filesystem=s3, format="parquet")
[(rows, total)] = duckdb.sql("SELECT count(*), sum(total) FROM documents").fetchall()
print(json.dumps({"documents": rows, "total": int(total * 100)}))
"#;

/// The way of an operator, a store that goes away included, and a twin whose archive lies in its folder beside it.
#[test]
fn an_archive_in_s3_is_the_one_of_a_folder() {
    let Some(moto) = Moto::start() else { return };
    let proxy = Proxy::start(moto.at);
    let folder = tempfile::tempdir().unwrap();
    let (data, twin) = (folder.path().join("data"), folder.path().join("twin"));
    let keys = folder.path().join("keys");
    std::fs::write(&keys, "key\nsecret\n").unwrap();
    let place = format!(
        "log.keep_days = 0\narchive.url = \"s3://archive/of/ofd\"\narchive.endpoint = \"http://{}\"\n\
         archive.region = \"us-east-1\"\narchive.keys_file = \"{}\"\n",
        proxy.at,
        keys.display()
    );
    let config = small_segments(folder.path(), &place);
    let config = config.to_str().unwrap().to_owned();

    let server = Server::start(&data, &["--config", &config]);
    server.feed(REGISTERS, RECEIPTS, 1);
    one(on(&data, &["compact", "--all", "--json"]));
    // The store is away: registers are confirmed as before, and the archive waits.
    let first = one(on(&data, &["archive", "--json"]));
    assert_eq!(first["url"], "s3://archive/of/ofd");
    for away in [CLOSED, OVERLOADED] {
        proxy.set(away);
        let told = server.feed(3, 5, 10 + u64::from(away));
        assert_eq!(told["confirmed"], told["sent"]);
        let ran = on(&data, &["compact", "--all", "--json"]).expect(1);
        assert!(ran.err.contains("s3://archive/of/ofd"), "{}", ran.err);
        let before = segments(&data);
        let ran = on(&data, &["retain", "--json"]).expect(1);
        assert!(ran.err.contains("s3://archive/of/ofd"), "{}", ran.err);
        assert_eq!(segments(&data), before, "a segment left on the word of nobody");
        assert_eq!(one(on(&data, &["archive", "--json"]))["compacted_through"], first["compacted_through"]);
    }
    server.stop();
    // A start does not need it.
    let server = Server::start(&data, &["--config", &config]);
    proxy.set(THERE);
    server.feed(REGISTERS, RECEIPTS, 2);
    server.stop();
    copied(&data, &twin);
    for name in ["archive.json", "archive-store.json"] {
        std::fs::remove_file(twin.join(name)).unwrap();
    }

    let here = one(on(&data, &["compact", "--all", "--json"]));
    let there = one(on(&twin, &["compact", "--all", "--json"]));
    assert!(here["documents"].as_u64().unwrap() > 1000);
    assert_eq!(here["compacted_through"], there["compacted_through"]);
    assert!(!data.join("parquet").exists() && twin.join("parquet").exists());
    assert_eq!(one(on(&data, &["compact", "--json"]))["documents"], 0, "a second time changes nothing");

    let drive = one(on(&twin, &["registers", "--json"]))["drives"][0].clone();
    let drive = drive.as_str().map_or_else(|| drive["fn"].as_str().unwrap().to_owned(), str::to_owned);
    let find = ["find", "--fn", &drive, "--fd", "3"];
    let found = on(&twin, &find).expect(0).out;
    let inn = one(on(&twin, &["registers", "--json"]))["inn"].as_str().unwrap().to_owned();
    // What leaves the log is read from the store.
    let left = one(on(&data, &["retain", "--config", &config, "--json"]));
    assert!(left["segments"].as_u64().unwrap() > 0, "{left}");
    assert_eq!(on(&data, &find).expect(0).out, found);
    // `shifts` is told of the log alone, which the twin still has whole.
    for words in [&["verify", "--json"][..], &["violations", "--json"], &["registers", "--json"]] {
        // Findings come file by file, and the two have other files.
        let lines = |of: &Path| {
            let out = on(of, words).expect(0).out;
            let mut lines: Vec<String> = out.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(lines(&data), lines(&twin), "{words:?}");
    }
    let export = |from: &Path| {
        let out = from.with_extension("export");
        let mut told = one(on(from, &["export", "--inn", &inn, "--out", out.to_str().unwrap(), "--json"]));
        told.as_object_mut()
            .unwrap()
            .retain(|key, _| ["documents", "items", "total", "through"].contains(&&**key));
        told
    };
    assert_eq!(export(&data), export(&twin));
    assert!(on(&data, &["merge", "--all"]).expect(1).err.contains("object store"));
    // Another directory is refused.
    let other = folder.path().join("other");
    let server = Server::start(&other, &["--config", &config]);
    server.feed(1, 3, 7);
    assert!(on(&other, &["compact", "--all"]).expect(1).err.contains("another directory"));
    server.stop();

    // Another program.
    let asked = Command::new(&moto.python)
        .args(["-c", READ, &proxy.at.to_string(), "archive/of/ofd"])
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output();
    match asked {
        Ok(read) if read.status.success() && read.stdout.starts_with(b"SKIPPED") => {
            eprintln!("{}: DuckDB does not read the store", String::from_utf8_lossy(&read.stdout).trim());
        }
        Ok(read) => {
            assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
            let read: Value = serde_json::from_slice(&read.stdout).unwrap();
            let verified = one(on(&data, &["verify", "--json"]));
            assert_eq!(read["documents"], verified["parquet_rows"]);
            let manifest: Value =
                serde_json::from_slice(&std::fs::read(data.join("archive.json")).unwrap()).unwrap();
            let runs = manifest["runs"].as_array().unwrap();
            let total: i64 = runs.iter().map(|run| run["total_kopecks"].as_i64().unwrap()).sum();
            assert_eq!(read["total"], total);
        }
        Err(error) => eprintln!("SKIPPED: {error}: DuckDB does not read the store"),
    }
}

/// A compaction that is killed at any moment is finished by the next one, and nobody ever sees half of it.
#[test]
fn a_compaction_into_s3_that_is_killed_leaves_whole_runs() {
    let Some(moto) = Moto::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let keys = folder.path().join("keys");
    std::fs::write(&keys, "key\nsecret\n").unwrap();
    let config = small_segments(folder.path(), "");
    let server = Server::start(&data, &["--config", config.to_str().unwrap()]);
    let sent = server.feed(REGISTERS, RECEIPTS, 3)["confirmed"].as_u64().unwrap();
    server.stop();
    let endpoint = format!("http://{}", moto.at);
    one(on(
        &data,
        &[
            "archive",
            "--url",
            "s3://archive/killed",
            "--endpoint",
            &endpoint,
            "--region",
            "us-east-1",
            "--keys-file",
            keys.to_str().unwrap(),
            "--json",
        ],
    ));
    let mut killed = 0;
    for after_ms in [300, 500, 700, 900, 1_100, 1_400] {
        let mut child = Command::new(OFD)
            .args(["compact", "--all", "--data", data.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(after_ms));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        let verified = one(on(&data, &["verify", "--json"]));
        assert_eq!(
            (&verified["ok"], &verified["damaged"], &verified["missing"]),
            (&true.into(), &0.into(), &0.into())
        );
    }
    assert!(killed > 0, "no compaction was killed");
    one(on(&data, &["compact", "--all", "--json"]));
    let verified = one(on(&data, &["verify", "--json"]));
    assert_eq!((&verified["ok"], &verified["parquet_rows"]), (&true.into(), &sent.into()), "{verified}");
    assert_eq!(verified["documents"], sent);
}
