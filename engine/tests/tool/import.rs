//! `ofd import`: an operator moves in with the archive of another, alone, beside a server, and from our own Parquet.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;

use serde_json::Value;

use ofd_engine::codec::{Container, RawData, container_crc};

use crate::support::{Ran, Server, hex, ofd, read_answer, small_segments, wire};

fn import(data: &Path, more: &[&str]) -> Ran {
    ofd([&["import", "--data", data.to_str().unwrap(), "--json"], more].concat())
}

fn counts(ran: &Ran, of: [&str; 3]) -> [u64; 3] {
    let last = ran.json().pop().unwrap();
    of.map(|key| last[key].as_u64().unwrap_or_else(|| panic!("{key}: {last}")))
}

const STORED: [&str; 3] = ["documents", "stored", "known"];

/// The messages of a wire file.
fn messages(bytes: &[u8]) -> Vec<&[u8]> {
    let mut rest = bytes;
    let mut found = Vec::new();
    while !rest.is_empty() {
        let len = 30 + usize::from(u16::from_le_bytes([rest[24], rest[25]]));
        let (message, after) = rest.split_at(len);
        found.push(message);
        rest = after;
    }
    found
}

/// Sends messages to a server and gives what a sniffer would have kept: each message and behind it its answer.
fn conversation(server: &Server, messages: &[&[u8]]) -> Vec<u8> {
    let mut stream = TcpStream::connect(&server.listen).unwrap();
    let mut kept = Vec::new();
    for message in messages {
        stream.write_all(message).unwrap();
        kept.extend_from_slice(message);
        kept.extend_from_slice(&read_answer(&mut stream));
    }
    kept
}

fn find(data: &Path, message: &[u8], raw: bool) -> String {
    let drive = String::from_utf8(message[8..24].to_vec()).unwrap();
    let number = u32::from_be_bytes([0, message[47], message[48], message[49]]).to_string();
    let mut words = vec!["find", "--data", data.to_str().unwrap(), "--fn", drive.trim(), "--fd", &number];
    words.extend(raw.then_some("--raw"));
    ofd(words).expect(0).out
}

/// What a document was answered, and when.
fn answered(data: &Path, message: &[u8]) -> [Value; 2] {
    let found: Value = serde_json::from_str(find(data, message, false).lines().next().unwrap()).unwrap();
    ["answer_code", "answered_at"].map(|key| found[key].clone())
}

// The whole way: another operator's archive of sessions with its answers, imported alone, again, beside a server whose
// registers send the same, and from the Parquet that came of it.
#[test]
fn an_archive_moves_in_with_its_answers() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (bytes, sent) = wire(3, 40, 11);
    let all = messages(&bytes);
    let other = Server::start(&at("other"), &[]);
    let archive = at("archive.bin");
    std::fs::write(&archive, conversation(&other, &all)).unwrap();
    other.stop();
    let sent = sent as u64;

    let file = archive.to_str().unwrap();
    let ran = import(&at("new"), &[file]).expect(0);
    assert_eq!(counts(&ran, STORED), [sent, sent, 0]);
    assert_eq!(counts(&ran, ["answers", "answers_alone", "damaged"]), [sent, 0, 0]);
    let lines = ran.json();
    let months = &lines[..lines.len() - 1];
    assert_eq!(months.len(), 3, "one month of three drives: {months:?}");
    let receipts: u64 = months.iter().map(|it| it["receipts"].as_u64().unwrap()).sum();
    assert_eq!(receipts, 3 * 40);
    assert_eq!(counts(&import(&at("new"), &[file]).expect(0), STORED), [sent, 0, sent], "again");
    for message in all.iter().step_by(17) {
        assert_eq!(find(&at("new"), message, true).trim(), hex(&message[30..]));
        let [code, time] = answered(&at("new"), message);
        let [code_then, time_then] = answered(&at("other"), message);
        // The 1012 of an answer has whole seconds.
        let second = |it: &Value| it.as_str().unwrap()[..19].to_owned();
        assert_eq!((&code, second(&time)), (&code_then, second(&time_then)));
    }

    let config = small_segments(folder.path(), "");
    let beside = at("beside");
    let server = Server::start(&beside, &["--config", config.to_str().unwrap()]);
    conversation(&server, &all[..50]);
    assert_eq!(counts(&import(&beside, &[file]).expect(0), STORED), [sent, sent - 50, 50]);
    ofd(["compact", "--data", beside.to_str().unwrap(), "--all"]).expect(0);
    let verified = ofd(["verify", "--data", beside.to_str().unwrap(), "--json"]).expect(0).json().remove(0);
    assert_eq!((&verified["documents"], &verified["parquet_rows"]), (&sent.into(), &sent.into()));
    server.stop();

    let parquet = beside.join("parquet");
    let ran = import(&at("third"), &[parquet.to_str().unwrap()]).expect(0);
    assert_eq!(counts(&ran, STORED), [sent, sent, 0]);
    for message in all.iter().step_by(13) {
        assert_eq!(find(&at("third"), message, true), find(&beside, message, true));
        assert_eq!(answered(&at("third"), message), answered(&beside, message));
    }
    assert_eq!(ran.json()[..3], *months, "the same sums to be signed off");
}

// What other systems keep: containers, documents alone, hex; and a file with a damaged piece in it.
#[test]
fn containers_documents_hex_and_damage() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (bytes, sent) = wire(1, 20, 12);
    let sent = sent as u64;
    let all = messages(&bytes);
    let containers: Vec<u8> = all.iter().flat_map(|it| &it[30..]).copied().collect();
    let documents: Vec<u8> = all.iter().flat_map(|it| &it[62..it.len() - 10]).copied().collect();
    let lines: String = all.iter().map(|it| format!("{}\n", hex(it))).collect();
    // rawData as the ФНС gives it back, with a header and without.
    let mut raw = Vec::new();
    for (at, message) in all.iter().enumerate() {
        let container = Container::new_checked(&message[30..]).unwrap();
        if at % 2 == 0 {
            RawData::write(&container, container.body(), &mut raw);
        } else {
            raw.extend_from_slice(container.body());
            raw.extend_from_slice(&container.message_sign());
        }
    }
    for (name, bytes, more) in [
        ("containers", &containers[..], &[][..]),
        ("raw", &raw, &[]),
        ("documents", &documents, &[]),
        ("lines", lines.as_bytes(), &["--hex"]),
    ] {
        let (file, data) = (at(name), at(&format!("of {name}")));
        std::fs::write(&file, bytes).unwrap();
        let ran = import(&data, &[&[file.to_str().unwrap()], more].concat()).expect(0);
        assert_eq!(counts(&ran, STORED), [sent, sent, 0], "{name}");
        // The three archives hold the same documents.
        let whole = at("containers");
        if name != "containers" {
            let again = import(&data, &[whole.to_str().unwrap()]).expect(0);
            assert_eq!(counts(&again, STORED), [sent, 0, sent], "{name}");
            let kept = find(&data, all[4], true);
            // What rawData has kept of a container is there again, to the byte.
            assert!(name == "documents" || name == "lines" || kept.trim() == hex(&all[4][30..]), "{name}");
        } else {
            assert_eq!(find(&data, all[5], true).trim(), hex(&all[5][30..]));
        }
    }
    let mut damaged = bytes.clone();
    let middle = all[..10].iter().map(|it| it.len()).sum::<usize>() + 80;
    damaged[middle] ^= 1;
    std::fs::write(at("damaged"), damaged).unwrap();
    let ran = import(&at("data"), &[at("damaged").to_str().unwrap()]).expect(3);
    assert_eq!(counts(&ran, STORED), [sent - 1, sent - 1, 0], "the rest is taken");
    let begin: usize = all[..10].iter().map(|it| it.len()).sum();
    assert!(ran.err.contains(&format!("damaged: crc at byte {}", begin + 30 + 2)), "{}", ran.err);
    import(&at("data"), &[at("nothing").to_str().unwrap()]).expect(4);
}

// What nobody here can open is kept with its answer, and an answer that comes some documents later finds the one it is for,
// also across such a message; a refusal stays one.
#[test]
fn answers_find_their_documents_and_what_cannot_be_opened_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (bytes, _) = wire(1, 6, 13);
    let mut all: Vec<Vec<u8>> = messages(&bytes).iter().map(|it| it.to_vec()).collect();
    // A whole message, its checksum right, whose document does not close.
    let sealed = &mut all[3];
    sealed[64] ^= 1;
    let crc = container_crc(&sealed[30..]).to_le_bytes();
    sealed[32..34].copy_from_slice(&crc);
    let server = Server::start(&folder.path().join("other"), &[]);
    let others = messages(&bytes);
    let answers: Vec<Vec<u8>> =
        others.iter().map(|message| conversation(&server, &[*message]).split_off(message.len())).collect();
    server.stop();
    // Six documents, then their answers, one of which says 14.
    let mut refusal = answers[1].clone();
    let at = refusal.windows(5).position(|it| it == [0xFE, 0x03, 0x01, 0x00, 0x00]).unwrap();
    refusal[at + 4] = 14;
    let crc = container_crc(&refusal[30..]).to_le_bytes();
    refusal[32..34].copy_from_slice(&crc);
    let mut archive: Vec<u8> = all[..6].concat();
    archive.extend_from_slice(&answers[0]);
    archive.extend_from_slice(&refusal);
    archive.extend_from_slice(&answers[2..6].concat());
    let file = folder.path().join("archive");
    std::fs::write(&file, archive).unwrap();
    let data = folder.path().join("data");
    let ran = import(&data, &[file.to_str().unwrap()]).expect(0);
    assert_eq!(counts(&ran, STORED), [6, 6, 0]);
    assert_eq!(counts(&ran, ["answers", "answers_alone", "damaged"]), [6, 0, 0]);
    let codes: Vec<Value> = [0, 1, 2, 4, 5].iter().map(|at| answered(&data, &all[*at])[0].clone()).collect();
    assert_eq!(codes, [0, 14, 0, 0, 0]);
    let verified = ofd(["verify", "--data", data.to_str().unwrap(), "--json"]).expect(0).json().remove(0);
    assert_eq!(verified["documents"], 5, "the sixth is in quarantine");
    // It comes out of our own Parquet as it went in.
    ofd(["compact", "--data", data.to_str().unwrap(), "--all"]).expect(0);
    let again = folder.path().join("again");
    let ran = import(&again, &[data.join("parquet").to_str().unwrap()]).expect(0);
    assert_eq!(counts(&ran, STORED), [6, 6, 0]);
    assert_eq!(answered(&again, &all[1])[0], 14);
}

// Whoever moves in without an archive tells where its lanes begin: alone, beside a server, and as often as it likes.
#[test]
fn lane_seeds_move_in_without_documents() {
    let dir = tempfile::tempdir().unwrap();
    let (data, file) = (dir.path().join("data"), dir.path().join("lanes.jsonl"));
    let line = |number: u32| {
        format!(
            r#"{{"fn":"71000000000000{number:02}","next_fd":{},"rnm":"00000000000000{number:02}","inn":"7707083893","shift":3}}"#,
            number * 100 + 7
        )
    };
    let lines: Vec<String> = (0..40).map(line).collect();
    std::fs::write(&file, lines[..30].join("\n")).unwrap();
    let path = file.to_str().unwrap();
    let seeded = |ran: &Ran| {
        let last = ran.json().pop().unwrap();
        (last["seeds_taken"].as_u64().unwrap(), last["seeds_known"].as_u64().unwrap())
    };
    assert_eq!(seeded(&import(&data, &["--seeds", path]).expect(0)), (30, 0));
    assert_eq!(seeded(&import(&data, &["--seeds", path]).expect(0)), (0, 30));
    std::fs::write(&file, lines.join("\n")).unwrap();
    let server = Server::start(&data, &[]);
    assert_eq!(seeded(&import(&data, &["--seeds", path]).expect(0)), (10, 30));
    drop(server);
    let cards = ofd(["registers", "--data", data.to_str().unwrap(), "--json"]).expect(0).json();
    assert_eq!(cards.len(), 40);
    assert!(cards.iter().all(|it| it["inn"] == "7707083893"));
    std::fs::write(&file, [lines[0].as_str(), r#"{"fn":"7"}"#].join("\n")).unwrap();
    assert!(import(&data, &["--seeds", path]).expect(3).err.contains("line 2"));
}
