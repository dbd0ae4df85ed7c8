//! Writes the seed corpus of every target and the word list: `seeds DIR` fills `DIR/<target>/` and `DIR/words`.
//!
//! Seeds are made: each is a document of `codec/testdata/golden` cut to what the target reads, so that a new golden document
//! is a new seed. Beside them stand the kept inputs of `codec/testdata/fuzz`, see `keep`. Nothing here came off a real register.

use std::collections::BTreeSet;
use std::path::Path;

use ofd_codec::dictionary::entries;
use ofd_codec::{
    DocumentView, FfdVersion, Frame, JsonOptions, SESSION_HEADER_LEN, frame, write_document_into,
};

fn main() -> std::io::Result<()> {
    let Some(into) = std::env::args().nth(1) else {
        eprintln!("usage: seeds DIR");
        std::process::exit(2);
    };
    let put = |target: &str, name: &str, bytes: &[u8]| {
        let folder = Path::new(&into).join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(name), bytes)
    };
    let mut stream = Vec::new();
    for (name, message) in ofd_fuzz::golden()? {
        let frame = Frame::new_checked(&message)
            .map_err(|error| std::io::Error::other(format!("{name}: {error}")))?;
        let document = frame.container().body();
        put("session", &name, &message)?;
        put("container", &name, message.get(SESSION_HEADER_LEN..).unwrap_or_default())?;
        for target in ["document", "roundtrip"] {
            put(target, &name, document)?;
        }
        // The first byte of the json target chooses the version.
        put("json", &name, &[&[3], document].concat())?;
        let view = DocumentView::new_checked(document)
            .map_err(|error| std::io::Error::other(format!("{name}: {error}")))?;
        let mut text = vec![b'4'];
        write_document_into(&view, FfdVersion::V1_2, &JsonOptions::default(), &mut text);
        put("json_read", &name, &text)?;
        for piece in [&message, document] {
            put("reader", &format!("{name}-{}", piece.len()), piece)?;
        }
        stream.extend_from_slice(&message);
    }
    // Dialects of exports: every branch of the reader that our own JSON does not take.
    let dialects: &[u8] = br#"4[{"ticket":{"document":{"receipt":{"code":3,"totalSum":"158.05","nds22":1.5e2,"userInn":7701234560,
        "dateTime":{"$date":"2018-05-17 17:57:00.5+03:00"},"items":{"name":"x","quantity":0.30000000000000004,"ndsRate":2,
        "productCodeNew":{"gs1m":{"rawProductCode":"0104"}}},"properties":[{"key":"a","value":null}],"internetSign":true,
        "t1078":["8806"],"messageFiscalSign":9297398856218050561,"rawData":"AgAAAA==","fsId":""}}}},
        {"fiscalReportCorrection":{"correctionReasonCode":[1,3],"fiscalDocumentFormatVer":4}}]"#;
    put("json_read", "dialects", dialects)?;
    put("session", "all", &stream)?;
    put("reader", "all", &stream)?;
    for (name, edits) in ofd_fuzz::log::seeds() {
        put("recovery", name, &edits)?;
    }
    for target in ["session", "container", "document", "json", "json_read", "roundtrip", "reader"] {
        for (index, input) in ofd_fuzz::kept(target)?.iter().enumerate() {
            put(target, &format!("kept-{index}"), input)?;
        }
    }
    std::fs::write(Path::new(&into).join("words"), words())
}

/// What libFuzzer cannot guess: the signatures of the wire, and every tag of the dictionary with the length that
/// its values have.
fn words() -> String {
    let mut words: BTreeSet<Vec<u8>> = [
        frame::SIGNATURE_OPERATOR.as_slice(),
        &frame::SIGNATURE_MARKING,
        &frame::S_VERSION_OPERATOR,
        &frame::S_VERSION_MARKING,
        &frame::SERVICE1_USUAL,
        &[0xFF, 0xFF, 0x00, 0x1C],
        &[0x81, 0x06],
    ]
    .map(<[u8]>::to_vec)
    .into();
    for entry in entries() {
        words.insert(entry.tag.0.to_le_bytes().to_vec());
        if entry.fixed {
            words.insert([entry.tag.0.to_le_bytes(), entry.len_max.to_le_bytes()].concat());
        }
    }
    let quoted = |word: &Vec<u8>| word.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    words.iter().map(|word| format!("\"{}\"\n", quoted(word))).collect()
}
