//! `ofd decode` and `ofd check` over files, hex and pipes.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use ofd_emit::{ProfileOptions, Register};
use ofd_engine::codec::{Frame, read_any};
use serde_json::Value;

use crate::support::{OFD, hex, ofd, ofd_fed, wire};

/// The messages of a wire file.
fn messages(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while let Some((message, rest)) = Frame::split(bytes).unwrap() {
        messages.push(message);
        bytes = rest;
    }
    messages
}

fn number_of(line: &Value) -> (String, u64) {
    let body = line.as_object().unwrap().values().next().unwrap();
    let number = body["fiscalDocumentNumber"].as_u64().unwrap();
    (body["fiscalDriveNumber"].as_str().unwrap().to_owned(), number)
}

#[test]
fn binary_hex_and_stdin_give_the_same_lines() {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, count) = wire(3, 20, 1);
    let (binary, text) = (folder.path().join("a.bin"), folder.path().join("a.txt"));
    std::fs::write(&binary, &bytes).unwrap();
    let lines: Vec<_> = messages(&bytes).iter().map(|it| hex(it)).collect();
    std::fs::write(&text, lines.join("\r\n\n")).unwrap();

    let decoded = ofd(["decode", binary.to_str().unwrap()]).expect(0);
    assert_eq!(decoded.err, "");
    let documents = decoded.json();
    assert_eq!(documents.len(), count);
    assert!(documents[0]["fiscalReport"]["fiscalDocumentNumber"] == 1, "{}", documents[0]);
    assert!(documents.iter().any(|it| it["receipt"]["items"][0]["sum"].is_u64()));

    assert_eq!(ofd(["decode", "--hex", text.to_str().unwrap()]).expect(0).out, decoded.out);
    assert_eq!(ofd_fed(["decode"], &bytes).expect(0).out, decoded.out);
    assert_eq!(ofd_fed(["decode", "-"], &bytes).expect(0).out, decoded.out);
    // Bare containers and bare documents hold the same documents.
    let containers: Vec<u8> = messages(&bytes).concat_from(30);
    assert_eq!(ofd_fed(["decode"], &containers).expect(0).json().len(), count);
}

trait ConcatFrom {
    fn concat_from(&self, at: usize) -> Vec<u8>;
}

impl ConcatFrom for Vec<&[u8]> {
    fn concat_from(&self, at: usize) -> Vec<u8> {
        self.iter().flat_map(|it| &it[at..]).copied().collect()
    }
}

#[test]
fn damage_is_told_with_file_kind_and_offset_and_ends_or_not_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (mut bytes, count) = wire(1, 5, 2);
    let offsets: Vec<_> = {
        let base = bytes.as_ptr() as usize;
        messages(&bytes).iter().map(|it| it.as_ptr() as usize - base).collect()
    };
    bytes[offsets[3] + 100] ^= 1;
    let file = folder.path().join("a.bin");
    std::fs::write(&file, &bytes).unwrap();
    let file = file.to_str().unwrap();

    let stopped = ofd(["decode", file]).expect(3);
    assert_eq!(stopped.json().len(), 3);
    // The checksum stands at byte 2 of the container.
    let said = format!("{file}: crc at byte {}", offsets[3] + 32);
    assert!(stopped.err.contains(&said), "{} instead of {said}", stopped.err);

    let went_on = ofd(["decode", "--keep-going", file]).expect(3);
    assert_eq!(went_on.json().len(), count - 1);
    assert_eq!(went_on.err.lines().count(), 1);

    let checked = ofd(["check", file]).expect(3);
    let lines = checked.json();
    assert_eq!(lines.len(), count);
    assert_eq!(lines[3]["fd"], 4);
    assert_eq!(lines[3]["violations"][0]["rule"], "A3");
    assert_eq!(lines[3]["violations"][0]["name"], "message.checksum");
    assert_eq!(lines[3]["form"], "receipt");
    assert!(checked.err.contains(&said));

    // In hex it is the line that is named; what is no hex is damage too.
    let broken = hex(messages(&bytes)[3]);
    let ran =
        ofd_fed(["decode", "--hex", "--keep-going"], format!("00zz\n\n{broken}\n").as_bytes()).expect(3);
    assert!(ran.err.contains("<stdin>:1: hex at byte 2"), "{}", ran.err);
    assert!(ran.err.contains("<stdin>:3: crc at byte 32"), "{}", ran.err);
}

/// The tool reads through a window; what it finds must be what one look at all bytes finds.
#[test]
fn a_long_stream_reads_as_if_it_lay_in_memory_at_once() {
    let (mut bytes, _) = wire(20, 350, 3);
    assert!(bytes.len() > 3 << 20, "{}", bytes.len());
    // Damage all over, and close to where windows may end: a flipped bit, zeros, a cut.
    for at in (50_000..bytes.len()).step_by(70_001) {
        bytes[at] ^= 0x10;
    }
    for edge in [1 << 20, (1 << 20) - (1 << 17), 2 << 20] {
        bytes[edge - 300..edge + 300].fill(0);
    }
    bytes.drain((3 << 20) - 10..(3 << 20) + 10);

    let all: Vec<_> = read_any(&bytes).collect();
    let ran = ofd_fed(["decode", "--keep-going"], &bytes).expect(3);
    let found: Vec<_> = ran.json().iter().map(number_of).collect();
    let expected: Vec<_> = all
        .iter()
        .flatten()
        .map(|piece| {
            let header = piece.document().header();
            (header.drive.unwrap().as_str().to_owned(), u64::from(header.number.unwrap().0))
        })
        .collect();
    assert_eq!(found, expected);
    let errors: Vec<_> =
        all.iter().filter_map(|it| it.err()).map(|it| format!("ofd: <stdin>: {it}")).collect();
    assert_eq!(ran.err.lines().collect::<Vec<_>>(), errors);
}

#[test]
fn damage_longer_than_a_window_is_told_once_and_what_follows_is_read() {
    let (bytes, count) = wire(1, 3, 4);
    let stream = [&bytes[..], &vec![0; 3 << 20], &bytes].concat();
    let ran = ofd_fed(["decode", "--keep-going"], &stream).expect(3);
    assert_eq!(ran.json().len(), 2 * count);
    assert_eq!(ran.err, format!("ofd: <stdin>: unrecognised at byte {}\n", bytes.len()));
}

#[test]
fn clean_documents_have_no_findings_and_a_broken_one_names_rule_tag_and_values() {
    let (bytes, count) = wire(5, 30, 5);
    let ran = ofd_fed(["check"], &bytes).expect(0);
    let lines = ran.json();
    assert_eq!(lines.len(), count);
    for line in &lines {
        assert_eq!(line["violations"], Value::Array(Vec::new()), "{line}");
        assert_eq!(line["fn"].as_str().unwrap().len(), 16);
    }
    assert_eq!(lines[0]["form"], "fiscalReport");

    // A bare document has no checksum: the last digit of its INN (tag 1018) becomes another one.
    let mut register = Register::new(6, 0, &ProfileOptions::default());
    for _ in 0..3 {
        register.next_message(&mut Vec::new()).unwrap();
    }
    let mut plain = register.plain().to_vec();
    let inn = register.user_inn().to_owned();
    let at = plain.windows(inn.len()).position(|it| it == inn.as_bytes()).unwrap() + inn.len() - 1;
    plain[at] = if plain[at] == b'9' { b'0' } else { plain[at] + 1 };
    let ran = ofd_fed(["check"], &plain).expect(0);
    let line = ran.json().remove(0);
    assert_eq!(line["fd"], 3);
    let found = line["violations"].as_array().unwrap().iter().find(|it| it["rule"] == "B5").unwrap();
    assert_eq!(found["name"], "tag.inn");
    assert_eq!(found["level"], "warning");
    assert_eq!(found["tag"], 1018);
    assert!(found["actual"].as_str().unwrap().starts_with(&inn[..9]), "{found}");
    let keys: BTreeSet<_> = found.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, BTreeSet::from(["rule", "name", "level", "tag", "actual", "expected"]));
}

/// `ofd decode … | head -1` is daily work.
#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.bin");
    std::fs::write(&file, wire(5, 200, 7).0).unwrap();
    let mut child = Command::new(OFD)
        .args(["decode", file.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("{\"fiscalReport\""), "{line}");
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
}

/// Real documents, where they are at hand.
#[test]
fn real_messages_decode_to_what_is_known_of_them() {
    let Some(facts) = std::env::var_os("OFD_FACTS").map(std::path::PathBuf::from) else {
        eprintln!("skipped: OFD_FACTS is not set");
        return;
    };
    let list = std::fs::read_to_string(facts.join("samples/receipts.jsonl")).unwrap();
    let list: Vec<Value> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let decoded = ofd(["decode", facts.join("samples/receipts.wire").to_str().unwrap()]).expect(0);
    assert_eq!((decoded.err.as_str(), decoded.json().len()), ("", list.len()));
    for (line, known) in decoded.json().iter().zip(&list) {
        let body = &line[known["form"].as_str().unwrap()];
        for key in ["fiscalDriveNumber", "fiscalDocumentNumber", "fiscalSign", "dateTime", "totalSum"] {
            assert_eq!(body[key], known["expect"][key], "{} {key}", known["id"]);
        }
    }
    let checked = ofd(["check", facts.join("samples/receipts.wire").to_str().unwrap()]).expect(0);
    assert_eq!(checked.json().len(), list.len());

    let real = std::fs::read_to_string(facts.join("samples/real_tlv.jsonl")).unwrap();
    let hexes: Vec<String> = real
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["hex"].as_str().unwrap().to_owned())
        .collect();
    let ran = ofd_fed(["decode", "--hex"], hexes.join("\n").as_bytes()).expect(0);
    assert_eq!(ran.json().len(), hexes.len());
}
