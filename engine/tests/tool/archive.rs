//! `ofd violations` and `ofd export`, beside a server and after it.

use std::path::Path;

use ofd_emit::{ProfileOptions, Register};
use serde_json::Value;

use crate::support::{Server, ofd};

/// A document whose INN ends with another digit (rule B5), as a bare document in a file.
fn broken(folder: &Path) -> String {
    let mut register = Register::new(6, 0, &ProfileOptions::default());
    for _ in 0..3 {
        register.next_message(&mut Vec::new()).unwrap();
    }
    let mut plain = register.plain().to_vec();
    let inn = register.user_inn().to_owned();
    let at = plain.windows(inn.len()).position(|it| it == inn.as_bytes()).unwrap() + inn.len() - 1;
    plain[at] = if plain[at] == b'9' { b'0' } else { plain[at] + 1 };
    let file = folder.join("broken.bin");
    std::fs::write(&file, plain).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn findings_are_told_from_the_log_and_from_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    server.feed(2, 5, 3);
    let data = data.to_str().unwrap();
    let ask = |more: &[&str]| ofd([&["violations", "--data", data, "--json"], more].concat());
    assert_eq!(ask(&[]).expect(0).out, "", "clean documents have none");
    ofd(["import", "--data", data, &broken(folder.path())]).expect(0);
    let found = ask(&[]).expect(0).json();
    let wrong = found.iter().find(|it| it["rule"] == "B5").unwrap();
    assert_eq!(
        (&wrong["name"], &wrong["level"], &wrong["tag"]),
        (&"tag.inn".into(), &"warning".into(), &1018.into())
    );
    assert_eq!(
        (&wrong["fd"], &wrong["scope"], &wrong["realm"]),
        (&3.into(), &"document".into(), &"prod".into())
    );
    let (drive, inn) = (wrong["fn"].as_str().unwrap(), wrong["inn"].as_str().unwrap());
    // The same out of Parquet, and without a server.
    ofd(["compact", "--data", data, "--all"]).expect(0);
    assert_eq!(ask(&["--fn", drive]).expect(0).json(), found);
    server.stop();
    assert_eq!(ask(&["--inn", inn]).expect(0).json(), found);
    assert_eq!(ask(&["--inn", "1"]).expect(4).out, "");
    let table = ofd(["violations", "--data", data]).expect(0).out;
    assert_eq!(table.lines().count(), 1 + found.len());
}

#[test]
fn a_merchant_is_exported_in_increments() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    server.feed(3, 20, 11);
    let data = data.to_str().unwrap();
    let cards = ofd(["registers", "--data", data, "--json"]).expect(0).json();
    let inn = cards[0]["inn"].as_str().unwrap().to_owned();
    let his = cards.iter().filter(|it| it["inn"] == inn.as_str()).count() as u64;
    let out = folder.path().join("out");
    let export = |out: &Path, more: &[&str]| {
        let words = ["export", "--data", data, "--inn", &inn, "--out", out.to_str().unwrap(), "--json"];
        ofd([&words, more].concat())
    };
    let first = export(&out, &[]).expect(0).json().remove(0);
    assert_eq!(first["documents"], 23 * his, "{first}");
    assert!(out.join("archive.json").is_file() && out.join("parquet/documents").is_dir());
    // Compaction in between changes nothing of what is his.
    ofd(["compact", "--data", data, "--all"]).expect(0);
    let through = first["through"].to_string();
    assert_eq!(export(&out, &["--since", &through]).expect(0).json()[0]["documents"], 0);
    server.stop();
    let other = folder.path().join("other");
    let whole = export(&other, &["--no-pii"]).expect(0).json().remove(0);
    assert_eq!((&whole["documents"], &whole["total"]), (&first["documents"], &first["total"]));
    assert!(!other.join("parquet/containers").exists());
    assert_ne!(whole["total"], Value::from(0));
    export(&out, &["--since", "3"]).expect(1);
}

/// What readers see: documents and their total, by the manifest with the log behind it; and that readers by pattern see whole
/// files and no position twice.
fn seen(data: &Path) -> (u64, i128) {
    loop {
        match look(data) {
            Ok(seen) => return seen,
            // A merge takes files away: who reads by the names of a moment ago looks again.
            Err(error) if error.is_not_found() => {}
            Err(error) => panic!("{error}"),
        }
    }
}

fn look(data: &Path) -> Result<(u64, i128), ofd_engine::storage::Error> {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Decimal128Type, Int64Type};
    use ofd_engine::storage::columns::Table;
    use ofd_engine::storage::columns::read::open;
    use ofd_engine::storage::{Env, RealEnv};
    use std::sync::Arc;

    let log = ofd_engine::ReadOnly::open(data).unwrap();
    let snapshot = log.snapshot(None).unwrap();
    let (mut positions, mut total) = (Vec::new(), 0_i128);
    let everything = ofd_engine::storage::union::Scan::default();
    for table in [Table::Documents, Table::Records] {
        snapshot.scan(table, &everything, None, &mut |_, batch| {
            let at = batch.column_by_name("position").unwrap().as_primitive::<Int64Type>();
            positions.extend(at.values().iter().map(|it| *it as u64));
            if table == Table::Documents {
                let totals = batch.column_by_name("total").unwrap().as_primitive::<Decimal128Type>();
                total += totals.iter().flatten().sum::<i128>();
            }
            Ok(())
        })?;
    }
    let documents = positions.len() as u64;
    positions.sort_unstable();
    assert!(
        positions.iter().copied().eq(1..=snapshot.through().as_u64()),
        "a position is missing or there twice"
    );
    let env: Arc<dyn Env> = Arc::new(RealEnv::new(data));
    let mut met = std::collections::BTreeSet::new();
    let dates = std::fs::read_dir(data.join("parquet/documents")).into_iter().flatten();
    for date in dates.map(|it| it.unwrap().path()) {
        for file in std::fs::read_dir(&date).into_iter().flatten().map(|it| it.unwrap().path()) {
            if file.extension().is_some_and(|it| it == "parquet") {
                let path = file.strip_prefix(data).unwrap();
                for batch in open(&*env, path)?.build().unwrap() {
                    let batch = batch.unwrap();
                    let at = batch.column_by_name("position").unwrap().as_primitive::<Int64Type>();
                    at.values().iter().for_each(|it| assert!(met.insert(*it), "position {it} twice"));
                }
            }
        }
    }
    Ok((documents, total))
}

// Whoever asks sees the same sums, whatever is killed in whatever moment: compaction, merging, retention.
#[test]
fn totals_stay_the_same_through_a_hundred_kills() {
    const KILLS: u64 = 100;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = crate::support::small_segments(folder.path(), "log.keep_days = 0\n");
    let config = config.to_str().unwrap();
    let mut rng = ofd_emit::Prng::new(100, 0);
    let mut expected = (0, 0);
    let mut cut = 0;
    for kill in 0..KILLS {
        if kill % 10 == 0 {
            let server = Server::start(&data, &["--config", config]);
            server.feed(8, 30, 500 + kill);
            server.stop();
            let now = seen(&data);
            assert!(now.0 > expected.0 && now.1 > expected.1);
            expected = now;
        }
        let words: &[&str] = match kill % 4 {
            1 => &["merge", "--all"],
            3 => &["retain", "--config", config],
            _ => &["compact", "--all"],
        };
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_ofd"))
            .args(words)
            .arg("--data")
            .arg(&data)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(rng.below(120)));
        // Somebody who asks while it works.
        let during = (kill % 5 < 2).then(|| seen(&data));
        cut += u64::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        for (documents, total) in during.into_iter().chain([seen(&data)]) {
            // A process that opens the log writes markers of its own, which are records as well.
            assert!(documents >= expected.0, "{documents} of {}", expected.0);
            assert_eq!(total, expected.1, "after kill {kill} of {words:?}");
        }
    }
    assert!(cut > KILLS / 4, "only {cut} were cut off at work");
    ofd(["compact", "--all", "--data", data.to_str().unwrap()]).expect(0);
    let merged =
        ofd(["merge", "--all", "--json", "--data", data.to_str().unwrap()]).expect(0).json().remove(0);
    assert_eq!((&merged["damaged"], &merged["unsupported"]), (&0.into(), &false.into()), "{merged}");
    assert_eq!(seen(&data).1, expected.1);
    let verified = ofd(["verify", "--json", "--data", data.to_str().unwrap()]).expect(0).json().remove(0);
    assert_eq!((&verified["ok"], &verified["missing"]), (&true.into(), &0.into()), "{verified}");
}
