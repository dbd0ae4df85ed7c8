//! `ofd retain` and `ofd hold`, beside a server and after it.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Ran, Server, ofd, small_segments};

const RECEIPTS: u32 = 80;
const REGISTERS: u32 = 30;

fn on(data: &Path, words: &[&str]) -> Ran {
    let mut all = words.to_vec();
    // Behind the words of the command: `hold add --data DIR …`.
    let at = words.iter().position(|word| word.starts_with('-')).unwrap_or(words.len());
    all.splice(at..at, ["--data", data.to_str().unwrap()]);
    ofd(all)
}

fn one(ran: Ran) -> Value {
    ran.expect(0).json().remove(0)
}

/// Names of the segment files, oldest first; the newest of them may be prepared and empty.
fn segments(data: &Path) -> Vec<String> {
    let names = std::fs::read_dir(data.join("log")).unwrap().map(|it| it.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".seg"));
    names.sort();
    names
}

/// The way of an operator: compact, look, hold, lift, let go; then everything is found and verified as before.
#[test]
fn segments_leave_by_ofd_retain_and_stay_under_a_hold() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = small_segments(folder.path(), "log.keep_days = 0\n");
    let config = config.to_str().unwrap();
    let server = Server::start(&data, &["--config", config]);
    let (mut sent, mut found) = (0, None);
    for seed in [1, 2] {
        sent += server.feed(REGISTERS, RECEIPTS, seed)["confirmed"].as_u64().unwrap();
        one(on(&data, &["compact", "--all", "--json"]));
        found.get_or_insert_with(|| {
            // Any document of the first run: its drive stands in Parquet, but the tool can ask by the log alone.
            let names = ofd_emit::Register::new(
                1,
                4,
                &ofd_emit::EmitOptions::new("127.0.0.1:1".parse().unwrap(), REGISTERS, RECEIPTS, 1).life(),
            );
            let drive = names.drive().as_str().to_owned();
            let line = on(&data, &["find", "--fn", &drive, "--fd", "3"]).expect(0).out;
            (drive, line)
        });
    }
    let (drive, line) = found.unwrap();
    let before = segments(&data);

    let range = ["--from", "2000-01-01", "--to", "2100-01-01", "--reason", "суд", "--by", "Иванова"];
    let place = |scope: &[&str]| {
        let words: Vec<&str> = ["hold", "add"].iter().chain(scope).chain(&range).copied().collect();
        on(&data, &words)
    };
    let id = one(place(&["--fn", &drive]))["id"].as_u64().unwrap();
    assert!(id > sent, "the number of a hold is its position");
    let listed = one(on(&data, &["hold", "list"]));
    assert_eq!((&listed["id"], &listed["scope"]), (&json!(id), &json!({"drive": drive})));
    assert_eq!((&listed["from"], &listed["by"]), (&json!("2000-01-01"), &json!("Иванова")));
    let held = on(&data, &["retain", "--json"]).expect(0);
    assert!(held.err.contains(&format!("the legal hold {id} needs it")), "{}", held.err);
    assert_eq!((&held.json()[0]["segments"], &segments(&data)[0]), (&json!(0), &before[0]));
    for wrong in [
        vec![
            "hold",
            "add",
            "--inn",
            "77",
            "--from",
            "2000-01-01",
            "--to",
            "2000-01-01",
            "--reason",
            "r",
            "--by",
            "b",
        ],
        vec!["hold", "add", "--from", "2000-01-01", "--to", "2000-01-01", "--reason", "r", "--by", "b"],
        vec![
            "hold",
            "add",
            "--fn",
            &drive,
            "--from",
            "soon",
            "--to",
            "2000-01-01",
            "--reason",
            "r",
            "--by",
            "b",
        ],
    ] {
        on(&data, &wrong).expect(2);
    }
    on(&data, &["hold", "lift", "--id", "1", "--reason", "r", "--by", "b"]).expect(1);
    let id = id.to_string();
    one(on(&data, &["hold", "lift", "--id", &id, "--reason", "закрыто", "--by", "Иванова"]));
    assert_eq!(on(&data, &["hold", "list"]).expect(0).out, "");

    let would = one(on(&data, &["retain", "--dry-run", "--json"]));
    assert!(would["segments"].as_u64().unwrap() > 0, "{would}");
    assert_eq!((&would["dry_run"], &segments(&data)[0]), (&json!(true), &before[0]), "nothing has gone");
    let did = one(on(&data, &["retain", "--json"]));
    for key in ["segments", "bytes", "dropped_through", "documents", "held"] {
        assert_eq!(did[key], would[key], "{key}");
    }
    let gone = usize::try_from(did["segments"].as_u64().unwrap()).unwrap();
    assert_eq!(segments(&data)[0], before[gone], "the oldest, and no other");
    assert!(did["stays"].as_str().unwrap().contains("newest"), "{did}");

    let sound = |data: &Path| {
        assert_eq!(on(data, &["find", "--fn", &drive, "--fd", "3"]).expect(0).out, line);
        let verified = one(on(data, &["verify", "--json"]));
        assert_eq!(
            (&verified["documents"], &verified["parquet_rows"]),
            (&json!(sent), &json!(sent)),
            "{verified}"
        );
    };
    sound(&data);
    server.stop();
    sound(&data);
    // Without a server the tool takes the directory, and its own configuration.
    let ran = on(&data, &["retain", "--config", config]).expect(0);
    assert!(ran.out.contains("segments") && ran.out.contains("archive"), "{}", ran.out);
    let server = Server::start(&data, &["--config", config]);
    sound(&data);
    server.stop();
}
