//! Golden documents: what the encoder writes and what JSON shows is what `testdata` keeps.
//!
//! `BLESS=1 cargo test -p ofd-codec --test golden` renews the files; read the difference before it is committed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use common::documents::{Golden, golden};
use common::{hex, unhex};
use ofd_codec::{
    Container, Document, JsonOptions, Piece, RawData, SESSION_HEADER_LEN, read_any, write_document,
    write_document_with,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden")
}

fn only_piece(message: &[u8]) -> Piece<'_> {
    let mut pieces = read_any(message);
    let piece = pieces.next().unwrap().unwrap();
    assert!(pieces.next().is_none());
    piece
}

fn json_of(piece: &Piece<'_>) -> String {
    let mut json = String::new();
    write_document(&piece.document(), piece.version(), &mut json);
    json
}

fn file_of(golden: &Golden) -> String {
    let piece = only_piece(&golden.message);
    let mut text = String::from("# Renewed by: BLESS=1 cargo test -p ofd-codec --test golden\n");
    text += &format!("provenance = \"Made by tests/common/documents.rs: {}.\"\n", golden.provenance);
    text += &format!("version = \"{}\"\n", piece.version());
    text += &format!("message = \"{}\"\n", hex(&golden.message));
    text += &format!("json = '''\n{}'''\n", json_of(&piece));
    text
}

/// Encoder, decoder and JSON together give what the committed files say.
#[test]
fn golden_documents_are_as_kept() {
    let bless = std::env::var_os("BLESS").is_some();
    let mut names = BTreeSet::new();
    for golden in golden() {
        let path = folder().join(format!("{}.toml", golden.name));
        assert!(names.insert(format!("{}.toml", golden.name)), "{} twice", golden.name);
        let now = file_of(&golden);
        if bless {
            std::fs::create_dir_all(folder()).unwrap();
            std::fs::write(&path, &now).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(now, kept, "{}: renew with BLESS=1 if the change is meant", golden.name);

        // The file speaks for itself: a reader of TOML finds the same bytes and valid JSON in it.
        let table: toml::Table = kept.parse().unwrap();
        let message = unhex(table["message"].as_str().unwrap());
        assert_eq!(message, golden.message);
        let json: serde_json::Value = serde_json::from_str(table["json"].as_str().unwrap()).unwrap();
        assert_eq!(json.as_object().unwrap().len(), 1);
    }
    let files: BTreeSet<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    assert_eq!(files, names, "each file of the folder has its builder");
}

/// The tree gives every golden document back byte for byte, padded numbers and odd nesting included.
#[test]
fn golden_documents_come_back_byte_for_byte() {
    for golden in golden() {
        let document = only_piece(&golden.message).document();
        assert_eq!(Document::decode(document.bytes()).unwrap().encode(), document.bytes(), "{}", golden.name);
    }
}

/// The same document is read the same from all wrappings, back to back in one file.
#[test]
fn reader_finds_the_document_in_every_wrapping() {
    for golden in golden() {
        let piece = only_piece(&golden.message);
        let (plain, container) = (piece.document().bytes(), &golden.message[SESSION_HEADER_LEN..]);
        let sign = piece.message_sign().unwrap();
        let mut raw = vec![0xFF, 0xFF, 0, 0x1C];
        raw.extend_from_slice(Container::new_checked(container).unwrap().service().bytes());
        raw.extend_from_slice(plain);
        raw.extend_from_slice(&sign);
        let signed = [plain, &sign].concat();

        // The bare document stands before a container and at the end, where nothing may be taken for its sign.
        let file = [plain, container, &golden.message, &raw, &signed, &raw, plain, plain].concat();
        let pieces: Vec<_> = read_any(&file).map(Result::unwrap).collect();
        let shapes: String = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Document(_) => 'd',
                Piece::Container(..) => 'c',
                Piece::Message(..) => 'm',
                Piece::RawData(raw) if raw.service().is_some() => 'r',
                Piece::RawData(_) => 's',
            })
            .collect();
        assert_eq!(shapes, "dcmrsrdd", "{}", golden.name);
        for piece in &pieces {
            assert_eq!(piece.document().bytes(), plain, "{}", golden.name);
            assert!(piece.message_sign().is_none_or(|found| found == sign), "{}", golden.name);
        }
        assert_eq!(
            pieces.iter().map(|piece| piece.bytes().len()).sum::<usize>(),
            file.len(),
            "{}",
            golden.name
        );
        assert_eq!(RawData::new_checked(plain).unwrap().message_sign(), None);
        assert_eq!(RawData::new_checked(&signed).unwrap().message_sign(), Some(sign));
    }
}

/// After a damaged piece the reader finds the next one, whichever byte is damaged.
#[test]
fn reader_goes_on_after_a_damaged_piece() {
    let all = golden();
    let (damaged, good) = (&all[0].message, &all[1].message);
    for at in 0..damaged.len() {
        let mut file = [damaged.as_slice(), good, good].concat();
        file[at] ^= 0x40;
        let results: Vec<_> = read_any(&file).collect();
        let found = results.iter().flatten().filter(|piece| piece.bytes() == good.as_slice()).count();
        assert_eq!(found, 2, "byte {at}");
        let errors = results.iter().filter(|result| result.is_err()).count();
        // The P-version and the flags of the session header say nothing that could be checked here.
        let unchecked = matches!(at, 6 | 7 | 26 | 27 | 28 | 29);
        assert_eq!(errors == 0, unchecked, "byte {at}");
    }
}

/// The caller's additions stand at the end of the object and are exact.
#[test]
fn json_carries_the_callers_sign_and_raw_bytes() {
    let all = golden();
    let piece = only_piece(&all[0].message);
    let mut json = String::new();
    let options =
        JsonOptions { message_sign: Some([0x81, 0x06, 0xFF, 0, 0, 0, 0, 1]), raw: Some(b"any carnal pleas") };
    write_document_with(&piece.document(), piece.version(), &options, &mut json);
    assert!(
        json.ends_with(r#","messageFiscalSign":9297398856218050561,"rawData":"YW55IGNhcm5hbCBwbGVhcw=="}}"#),
        "{json}"
    );
    let plain = json_of(&piece);
    assert!(json.starts_with(plain.strip_suffix("}}").unwrap()));
}
