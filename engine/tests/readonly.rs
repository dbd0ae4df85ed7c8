//! Reading a directory beside its owner and after him: what was durable is seen, and what is damaged is never said
//! not to exist.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

use std::path::{Path, PathBuf};

use bytes::Bytes;
use ofd_emit::{ProfileOptions, Register};
use ofd_engine::codec::DriveNumber;
use ofd_engine::host::Capability;
use ofd_engine::{Engine, ErrorKind, ReadOnly};

/// The first messages of a register.
fn messages(index: u32, many: usize) -> Vec<Vec<u8>> {
    let mut register = Register::new(11, index, &ProfileOptions::default());
    let one = || {
        let mut message = Vec::new();
        register.next_message(&mut message).unwrap();
        message
    };
    std::iter::repeat_with(one).take(many).collect()
}

fn drive_of(message: &[u8]) -> DriveNumber {
    DriveNumber::from_wire(message[8..24].first_chunk().unwrap()).unwrap()
}

/// Submits in batches of one, two and more, so that documents stand at every place of a batch of the log.
fn submit(engine: &Engine, messages: &[Vec<u8>]) {
    let mut rest = messages;
    for many in [1, 1, 1, 2, 5].into_iter().cycle() {
        let (batch, left) = rest.split_at(many.min(rest.len()));
        let frames = batch.iter().map(|it| Bytes::copy_from_slice(it)).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(engine.submit_batch(frames).unwrap());
        rest = left;
        if rest.is_empty() {
            return;
        }
    }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("log")).unwrap().map(|it| it.unwrap().path());
    entries.filter(|it| it.extension().is_some_and(|it| it == "seg")).collect()
}

#[test]
fn a_reader_sees_what_was_durable_when_it_opened() {
    let folder = tempfile::tempdir().unwrap();
    let everything = Capability::operator();
    let engine = Engine::builder(folder.path()).segment_len_bytes(1 << 20).open().unwrap();
    let messages = messages(0, 20);
    let drive = drive_of(&messages[0]);
    submit(&engine, &messages[..10]);
    let reader = ReadOnly::open(folder.path()).unwrap();
    assert_eq!(reader.durable(), engine.durable());
    submit(&engine, &messages[10..]);
    for (number, message) in (1..).zip(&messages) {
        let found = reader.find(&everything, drive, number).unwrap();
        let expected: &[&[u8]] = if number <= 10 { &[&message[30..]] } else { &[] };
        assert_eq!(found.iter().map(|it| it.container()).collect::<Vec<_>>(), expected, "document {number}");
        let now = ReadOnly::open(folder.path()).unwrap().find(&everything, drive, number).unwrap();
        assert_eq!(now.len(), 1, "document {number}");
        assert_eq!(now[0].position(), engine.find(&everything, drive, number).unwrap()[0].position());
    }
    let other = Capability::users(["7707083893".to_owned()]);
    assert!(reader.find(&other, drive, 1).unwrap().is_empty(), "a merchant never sees another");
    engine.shutdown().unwrap();
}

/// "It is not there" about a document that was confirmed and lies in damaged bytes would be a lie to a merchant.
#[test]
fn a_damaged_document_is_never_said_not_to_exist() {
    let folder = tempfile::tempdir().unwrap();
    let everything = Capability::operator();
    let messages = messages(1, 1_000);
    let drive = drive_of(&messages[0]);
    let engine = Engine::builder(folder.path()).segment_len_bytes(1 << 20).open().unwrap();
    submit(&engine, &messages);
    engine.seal().unwrap();
    engine.shutdown().unwrap();

    let mut segments = segments(folder.path());
    segments.sort();
    let mut segments = segments.into_iter();
    let mut path = segments.next().unwrap();
    let (mut bytes, mut from, mut at_a_block) = (std::fs::read(&path).unwrap(), 0, 0);
    for (number, message) in (1..).zip(&messages) {
        let container = &message[30..];
        // Documents of one register lie in the order of their numbers.
        let at = loop {
            match bytes[from..].windows(container.len()).position(|it| it == container) {
                Some(at) => break from + at,
                None => path = segments.next().unwrap(),
            }
            (bytes, from) = (std::fs::read(&path).unwrap(), 0);
        };
        from = at;
        // A batch of the log that ends exactly where the next one may begin leaves no gap that would tell.
        let ends_at_a_block = (at + container.len()).next_multiple_of(8).is_multiple_of(512);
        at_a_block += usize::from(ends_at_a_block);
        if number > 40 && !ends_at_a_block {
            continue;
        }
        bytes[at + container.len() / 2] ^= 0x20;
        std::fs::write(&path, &bytes).unwrap();
        let reader = ReadOnly::open(folder.path()).unwrap();
        let error = reader.find(&everything, drive, number).expect_err("said not to exist");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "document {number}: {error}");
        // Its neighbours are served.
        for neighbour in [number - 1, number + 1] {
            if (1..=messages.len() as u32).contains(&neighbour) {
                assert_eq!(
                    reader.find(&everything, drive, neighbour).unwrap().len(),
                    1,
                    "document {neighbour}"
                );
            }
        }
        bytes[at + container.len() / 2] ^= 0x20;
        std::fs::write(&path, &bytes).unwrap();
    }
    assert!(at_a_block > 3, "{at_a_block} documents end at a block: too few to say anything");
}
