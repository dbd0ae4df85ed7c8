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
