//! `ofd notify` and `ofd links`, beside a server and after it; webhooks of `ofd serve`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::{Ran, Server, ofd, ofd_fed, small_segments, soon};

/// A path that must be seen by its receiver and by nobody else.
const CANARY: &str = "canary-5d1e";

fn on(data: &Path, words: &[&str]) -> Ran {
    let mut all = words.to_vec();
    let at = words.iter().position(|word| word.starts_with('-')).unwrap_or(words.len());
    all.splice(at..at, ["--data", data.to_str().unwrap()]);
    ofd(all)
}

/// A receiver of webhooks; what it was given.
fn receiver() -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let taken: Arc<Mutex<Vec<Value>>> = Arc::default();
    let given = Arc::clone(&taken);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut line, mut len) = (String::new(), 0);
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                let value = line.to_lowercase();
                len = value.strip_prefix("content-length: ").map_or(len, |it| it.trim().parse().unwrap());
                line.clear();
            }
            let mut body = vec![0; len];
            reader.read_exact(&mut body).unwrap();
            given.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    (address, taken)
}

/// The way of an operator: a channel in the configuration, a subscription, a replay, an end; also without the server.
#[test]
fn subscriptions_are_set_listed_replayed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let secrets = folder.path().join("secrets");
    std::fs::write(&secrets, "k1 correct horse battery staple\n").unwrap();
    let more = format!(
        "operator.inn = \"7700000190\"\n[notify]\nwebhook_secret_file = {:?}\nwebhook_targets = \"inner\"\n",
        secrets.to_str().unwrap()
    );
    let config = small_segments(folder.path(), &more);
    let (address, taken) = receiver();
    let server = Server::start(&data, &["--config", config.to_str().unwrap(), "--log", "trace"]);
    let subscription = json!({"id": "crm", "scope": {"all": true}, "kinds": ["shift.opened", "drive.appeared"],
        "channel": "webhook", "to": format!("http://{address}/{CANARY}"), "by": "Иванова"});
    let set = |value: &Value| {
        ofd_fed(["notify", "set", "--data", data.to_str().unwrap(), "-"], value.to_string().as_bytes())
    };
    let position = set(&subscription).expect(0).json()[0]["position"].as_u64().unwrap();
    let wrong = |key: &str, value: Value| {
        let mut other = subscription.clone();
        other[key] = value;
        set(&other)
    };
    assert!(wrong("kinds", json!(["moon.full"])).expect(2).err.contains("no such kind is offered"));
    let pigeon = wrong("channel", json!("pigeon")).expect(1);
    assert!(pigeon.err.contains("there are: webhook") && !pigeon.err.contains(CANARY), "{}", pigeon.err);
    server.feed(4, 3, 1);
    soon("notices", || taken.lock().unwrap().len() >= 8);
    let list = || on(&data, &["notify", "list"]).expect(0).json();
    soon("an empty queue", || list()[0]["waiting"] == 0 && list()[0]["told"].as_u64() > Some(position));
    let listed = list().remove(0);
    assert_eq!(
        (&listed["id"], &listed["by"], &listed["behind"]),
        (&json!("crm"), &json!("Иванова"), &json!(false))
    );
    let first: Vec<Value> = taken.lock().unwrap().clone();
    on(&data, &["notify", "replay", "--id", "crm", "--from", "0", "--by", "Иванова"]).expect(0);
    soon("all of it again", || taken.lock().unwrap().len() == 2 * first.len());
    assert_eq!(taken.lock().unwrap()[first.len()..], first);
    soon("an empty queue again", || list()[0]["waiting"] == 0 && list()[0]["behind"] == false);
    let told = list()[0]["told"].as_u64();
    let err = server.stop();
    assert!(err.contains("ready") && !err.contains(CANARY), "an address was logged");
    // Without the server.
    assert!(list()[0]["told"].as_u64() >= told && told > Some(position), "{:?}", list());
    on(&data, &["notify", "replay", "--id", "nobody", "--from", "0", "--by", "x"]).expect(1);
    on(&data, &["notify", "remove", "--id", "crm", "--by", "Иванова"]).expect(0);
    assert_eq!(list(), Vec::<Value>::new());
}

/// Whoever looks at a receipt wants to see what became of it.
#[test]
fn links_are_shown_beside_a_server_and_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = small_segments(folder.path(), "");
    let server = Server::start(&data, &["--config", config.to_str().unwrap()]);
    server.feed(6, 60, 3);
    let links = |drive: &str, number: &str| on(&data, &["links", "--fn", drive, "--fd", number, "--json"]);
    let refunds = on(&data, &["receipts", "--direction", "2", "--realm", "all", "--json"]).expect(0).json();
    let refund = refunds.iter().find(|it| it.get("fn").is_some()).expect("the generator refunds");
    let (drive, number) = (refund["fn"].as_str().unwrap(), refund["fd"].to_string());
    let here = links(drive, &number).expect(0).json().remove(0);
    assert!(
        here["originals"].is_array() && here["later"] == json!([]) && here["complete"] == json!(true),
        "{here}"
    );
    for original in here["originals"].as_array().unwrap() {
        let (fd, confidence) = (original["fd"].to_string(), original["confidence"].as_u64().unwrap());
        assert!((1..=100).contains(&confidence) && !original["reasons"].as_array().unwrap().is_empty());
        let back = links(original["fn"].as_str().unwrap(), &fd).expect(0).json().remove(0);
        let own =
            back["later"].as_array().unwrap().iter().find(|it| it["fd"].as_u64() == number.parse().ok());
        assert_eq!(own.unwrap()["confidence"], original["confidence"]);
    }
    server.stop();
    assert_eq!(links(drive, &number).expect(0).json().remove(0), here);
    links(drive, "99999").expect(4);
    assert!(on(&data, &["links", "--fn", drive, "--fd", &number]).expect(0).out.contains("KOPECKS"));
}
