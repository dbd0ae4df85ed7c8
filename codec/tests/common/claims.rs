//! What must hold for any bytes at all, a function for each way of reading them. The fuzz targets try these on bytes that
//! nobody has thought of, `tests/kept.rs` on those that a fuzzer needed long to find. Beside "no panic" each has its own claim.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    unreachable_pub,
    reason = "a failed claim may panic; the fuzz targets reach it from outside"
)]

use ofd_codec::explain::{Layout, explain, explain_damage};
use ofd_codec::{
    CheckContext, Container, Cp866, DecodeError, DecodeErrorKind, Document, DocumentView, FfdVersion, Frame,
    JsonOptions, Money, ReadOptions, Requisite, SESSION_HEADER_LEN, Tlv, Validated, Value, Visitor, check,
    container_crc, open_answer, open_plain, read_any, read_json, tags, write_document_into,
    write_document_with,
};

/// Reads a value in every way there is, right or wrong for its tag.
fn touch(value: Value<'_>) {
    let _ = (value.u8(), value.u16(), value.u32(), value.bits());
    let _ = (value.vln(), value.kopecks(), value.fvln(), value.unixtime());
    let _ = (value.fiscal_sign(), value.drive_number());
    if let Ok(quantity) = value.fvln() {
        let text = quantity.to_string();
        assert!(text.parse::<serde_json::Number>().is_ok(), "{text} is no decimal literal");
        for scale in [0, 3, 6, 38] {
            let _ = quantity.to_decimal(scale);
        }
    }
    let text = Cp866(value.bytes());
    assert_eq!(text.to_cow(), text.to_string());
}

/// Walks a level and all below it, taking every value that can be read as a level for one.
fn walk(level: Tlv<'_>, depth: usize) {
    for (_, value) in level.map_while(Result::ok) {
        touch(value);
        if depth > 0 {
            walk(value.children(), depth - 1);
        }
    }
}

/// Everything a visitor is shown lies where it says, and every nest that is left was entered.
struct Inside<'a> {
    bytes: &'a [u8],
    open: Vec<u16>,
}

impl<'a> Visitor<'a> for Inside<'a> {
    fn begin(&mut self, _: FfdVersion) {
        self.open.clear();
    }

    fn requisite(&mut self, requisite: Requisite<'a>) {
        let value = requisite.value;
        let end = value.offset() + value.bytes().len();
        assert_eq!(self.bytes.get(value.offset()..end), Some(value.bytes()));
        while self.open.last().is_some_and(|&open| open != requisite.parent) {
            self.open.pop();
        }
        assert_eq!(self.open.last().copied().unwrap_or(0), requisite.parent);
        self.open.push(value.tag().0);
    }
}

/// One document TLV through the checked view and the rules: the fused walk takes what the view takes and refuses the rest with the
/// same error, and its values and findings lie inside the document; once checked, a view is read to its end without an
/// error of structure, its header agrees with a search by tag, and the rules give the same findings twice, each pointing
/// into the document.
pub fn document(bytes: &[u8]) {
    for version in FfdVersion::ALL {
        let mut inside = Inside { bytes, open: Vec::new() };
        match (Validated::check_with(bytes, version, &mut inside), DocumentView::new_checked(bytes)) {
            (Ok(validated), Ok(view)) => {
                assert_eq!(validated.view().bytes(), view.bytes());
                let told = view.header().ffd.and_then(FfdVersion::from_code);
                assert_eq!(validated.version(), told.unwrap_or(version));
                assert!(validated.findings().iter().all(|finding| (finding.offset as usize) <= bytes.len()));
                let _ = view.typed(version);
            }
            (validated, view) => assert_eq!(validated.err(), view.err()),
        }
    }
    walk(Tlv::new(bytes), 4);
    let view = match DocumentView::new_checked(bytes) {
        Ok(view) => view,
        Err(error) => return assert!(error.offset <= bytes.len(), "{error}"),
    };
    assert_eq!(view.bytes(), bytes);
    for (tag, value) in view.tags() {
        assert_eq!(tag, value.tag());
        touch(value);
    }
    let header = view.header();
    let number = view.get(tags::FISCAL_DOCUMENT_NUMBER).and_then(|value| value.u32().ok());
    assert_eq!(header.number.map(|number| number.0), number);
    for version in FfdVersion::ALL {
        let context = CheckContext::new(version);
        let found = check(&view, &context);
        assert_eq!(found.as_slice(), check(&view, &context).as_slice());
        for violation in found.iter() {
            assert!(violation.offset <= bytes.len());
            assert!(violation.rule.rule().is_some());
        }
    }
}

/// A stream as a connection reads it: however it is cut into reads, the same messages come off it, and an error stays an
/// error when more bytes arrive; every message that is cut off is exactly as long as its header says.
pub fn session(stream: &[u8]) {
    let mut rest = stream;
    while let Ok(Some((message, after))) = Frame::split(rest) {
        assert_eq!(message.len() + after.len(), rest.len());
        // One byte less is not yet this message.
        assert!(matches!(Frame::split(&message[..message.len() - 1]), Ok(None)));
        match Frame::new_checked(message) {
            Ok(frame) => {
                assert_eq!(frame.bytes(), message);
                assert_eq!(message.len(), SESSION_HEADER_LEN + usize::from(frame.header().body_len));
                assert_eq!(frame.header().encode(), message[..SESSION_HEADER_LEN]);
                let _ = (frame.header().channel(), frame.header().drive_number());
                walk(Tlv::new(frame.container().body()), 1);
            }
            Err(error) => assert!(error.offset <= message.len(), "{error}"),
        }
        rest = after;
    }
    if let Err(error) = Frame::split(rest) {
        assert!(error.offset <= rest.len(), "{error}");
        let longer = [rest, &[0; 64]].concat();
        assert_eq!(Frame::split(&longer), Err(error));
    }
    let _ = Frame::new_checked(stream);
}

/// One container, with and without a right checksum: it is taken or refused, never half read; when only its checksum was
/// wrong, mending the checksum lets it through to the document, and what opens is a view into the container's own body.
pub fn container(bytes: &[u8]) {
    if take(bytes) == Some(DecodeErrorKind::Crc) {
        // The checksum stops nearly every mutation, so it is mended to let the fuzzer behind it.
        let mut mended = bytes.to_vec();
        let crc = container_crc(bytes);
        mended[2..4].copy_from_slice(&crc.to_le_bytes());
        assert_ne!(take(&mended), Some(DecodeErrorKind::Crc));
    }
}

fn take(bytes: &[u8]) -> Option<DecodeErrorKind> {
    let container = match Container::new_checked(bytes) {
        Ok(container) => container,
        Err(error) => {
            assert!(error.offset <= bytes.len(), "{error}");
            return Some(error.kind);
        }
    };
    assert_eq!(container.bytes(), bytes);
    let _ = (container.message_sign(), container.trailer(), container.is_plain());
    for open in [open_plain, open_answer] {
        match open(&container, None, container.body()) {
            Ok(view) => assert_eq!(view.bytes(), container.body()),
            Err(error) => assert!(error.offset <= bytes.len(), "{error}"),
        }
    }
    None
}

/// The lossless tree: what decodes encodes back to the same bytes, and everything the strict view accepts the tree accepts.
pub fn roundtrip(bytes: &[u8]) {
    match Document::decode(bytes) {
        Ok(document) => assert_eq!(document.encode(), bytes),
        Err(error) => {
            assert!(error.offset <= bytes.len(), "{error}");
            assert!(
                DocumentView::new_checked(bytes).is_err(),
                "the view takes what the tree refuses: {error}"
            );
        }
    }
}

/// The ФНС JSON of any document; the first byte chooses version and options. Whatever the values are, the writer gives JSON that
/// another parser accepts: one object with one key, in which the form is an object.
pub fn json(input: &[u8]) {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let version = FfdVersion::ALL[usize::from(choice & 3)];
    let Ok(view) = DocumentView::new_checked(bytes) else { return };
    let options = JsonOptions {
        message_sign: (choice & 4 != 0).then_some([0xFF; 8]),
        raw: (choice & 8 != 0).then_some(bytes),
    };
    let mut json = String::new();
    write_document_with(&view, version, &options, &mut json);
    let parsed: serde_json::Value =
        serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    let object = parsed.as_object().expect("an object");
    assert_eq!(object.len(), 1, "{json}");
    assert!(object.values().all(serde_json::Value::is_object), "{json}");
    assert!(!json.contains('\n'), "one line a document");
}

/// Any text read as the JSON of documents; the first byte chooses how. What is read of it is a document whose structure
/// holds, and a message that is written of it is a message that can be read; its own JSON is UTF-8 and does not make the
/// reader panic. Tells how many documents were read.
pub fn json_read(input: &[u8]) -> usize {
    let Some((&choice, bytes)) = input.split_first() else { return 0 };
    let Ok(text) = str::from_utf8(bytes) else { return 0 };
    let money = match choice & 3 {
        0 => Money::Kopecks,
        1 => Money::Roubles,
        _ => Money::Auto,
    };
    let options = ReadOptions { money, stand_ins: choice & 4 != 0, raw: choice & 8 != 0, version: None };
    let documents = read_json(text, &options).unwrap_or_default();
    for document in &documents {
        let view = DocumentView::new_checked(&document.tlv).expect("the structure holds");
        assert_eq!(view.form(), document.form);
        let mut message = Vec::new();
        if document.write_message(&mut message).is_ok() {
            assert!(read_any(&message).all(|piece| piece.is_ok()), "{text}");
        }
        let mut json = Vec::new();
        write_document_into(&view, document.version, &JsonOptions::default(), &mut json);
        let json = String::from_utf8(json).expect("JSON is UTF-8");
        // A decimal with more digits than a mantissa holds is refused, and that is all that may be.
        let _ = read_json(&json, &ReadOptions { version: Some(document.version), ..ReadOptions::default() });
    }
    documents.len()
}

/// Files of anything, messages, containers, rawData, documents, noise between them: the reader ends, goes forward with every
/// piece, and names offsets inside the file; every piece and all damage can be told to people.
pub fn reader(bytes: &[u8]) {
    let mut reader = read_any(bytes);
    let mut before = reader.offset();
    while let Some(piece) = reader.next() {
        match piece {
            Ok(piece) => {
                assert_eq!(piece.bytes(), &bytes[before..before + piece.bytes().len()]);
                let version = piece.version();
                let _ = piece.message_sign();
                assert!(!explain(&piece, version, &[], &Layout::default()).is_empty());
            }
            Err(error) => {
                assert!(error.offset <= bytes.len(), "{error}");
                let here = DecodeError { offset: error.offset.saturating_sub(before), ..error };
                let damaged = &bytes[before..reader.offset()];
                assert!(!explain_damage(damaged, &here, &Layout::default()).is_empty());
            }
        }
        assert!(reader.offset() > before, "stood still at {before}");
        before = reader.offset();
    }
    if let Ok(text) = str::from_utf8(bytes) {
        let _ = ofd_codec::parse_hex(text);
    }
}
