//! Properties over random documents and random bytes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod common;

use common::json::check_json;
use ofd_codec::dictionary::{Kind, entries};
use ofd_codec::{
    ConfirmationRequest, Container, Document, DocumentView, DriveNumber, FfdVersion, Form, Frame,
    JsonOptions, LocalSeconds, Message, Quantity, RawData, Tag, Tlv, TlvWriter, Value, Visit, cp866, is_stlv,
    open_plain, read_any, write_document_with,
};
use proptest::prelude::*;

/// What a test puts into a document and wants back.
#[derive(Clone, Debug)]
enum Node {
    Byte(u16, u8),
    U32(u16, u32),
    Vln(u16, u64),
    Fvln(u16, u64, u8),
    Text(u16, String),
    Bytes(u16, Vec<u8>),
    Nest(u16, Vec<Node>),
}

/// Tags of a kind, with some that nobody knows.
fn tag(kind: Kind) -> impl Strategy<Value = u16> {
    let known: Vec<u16> =
        entries().iter().filter(|entry| entry.kind == kind).map(|entry| entry.tag.0).collect();
    prop_oneof![prop::sample::select(known), 3000_u16..3100]
        .prop_filter("values are no structures", |&tag| !is_stlv(Tag(tag)))
}

fn structure() -> impl Strategy<Value = u16> {
    let known: Vec<u16> =
        entries().iter().map(|entry| entry.tag.0).filter(|&tag| is_stlv(Tag(tag))).collect();
    prop::sample::select(known)
}

/// Every character of CP866, control characters included.
fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| ofd_codec::Cp866(&bytes).to_string())
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        (tag(Kind::Byte), any::<u8>()).prop_map(|(tag, value)| Node::Byte(tag, value)),
        (tag(Kind::U32), any::<u32>()).prop_map(|(tag, value)| Node::U32(tag, value)),
        (tag(Kind::Vln), any::<u64>(), 0_u32..64).prop_map(|(tag, value, cut)| Node::Vln(tag, value >> cut)),
        (tag(Kind::Fvln), 0_u64..1 << 56, any::<u8>())
            .prop_map(|(tag, value, scale)| Node::Fvln(tag, value, scale)),
        (tag(Kind::Text), text()).prop_map(|(tag, text)| Node::Text(tag, text)),
        (tag(Kind::Bytes), proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(tag, bytes)| Node::Bytes(tag, bytes)),
    ];
    leaf.prop_recursive(3, 40, 6, |inner| {
        (structure(), proptest::collection::vec(inner, 0..6)).prop_map(|(tag, nodes)| Node::Nest(tag, nodes))
    })
}

fn write(w: &mut TlvWriter<'_>, nodes: &[Node]) -> Result<(), ofd_codec::EncodeError> {
    for node in nodes {
        match node {
            Node::Byte(tag, value) => w.u8(Tag(*tag), *value),
            Node::U32(tag, value) => w.u32(Tag(*tag), *value),
            Node::Vln(tag, value) => w.vln(Tag(*tag), *value),
            Node::Fvln(tag, mantissa, scale) => {
                w.fvln(Tag(*tag), Quantity { mantissa: *mantissa, scale: *scale })?;
            }
            Node::Text(tag, text) => w.text(Tag(*tag), text)?,
            Node::Bytes(tag, bytes) => w.bytes(Tag(*tag), bytes)?,
            Node::Nest(tag, nodes) => w.nested(Tag(*tag), |w| write(w, nodes))?,
        }
    }
    Ok(())
}

fn check(level: impl Iterator<Item = (Tag, Value<'static>)>, nodes: &[Node]) {
    let mut count = 0;
    for ((tag, value), node) in level.zip(nodes) {
        count += 1;
        assert_eq!(value.tag(), tag);
        match node {
            Node::Byte(wanted, byte) => assert_eq!((tag.0, value.u8()), (*wanted, Ok(*byte))),
            Node::U32(wanted, number) => assert_eq!((tag.0, value.u32()), (*wanted, Ok(*number))),
            Node::Vln(wanted, number) => assert_eq!((tag.0, value.vln()), (*wanted, Ok(*number))),
            Node::Fvln(wanted, mantissa, scale) => {
                let quantity = Quantity { mantissa: *mantissa, scale: *scale };
                assert_eq!((tag.0, value.fvln()), (*wanted, Ok(quantity)));
            }
            Node::Text(wanted, text) => {
                assert_eq!((tag.0, value.text().to_string()), (*wanted, text.clone()))
            }
            Node::Bytes(wanted, bytes) => assert_eq!((tag.0, value.bytes()), (*wanted, bytes.as_slice())),
            Node::Nest(wanted, nodes) => {
                assert_eq!(tag.0, *wanted);
                check(value.children().map(Result::unwrap), nodes);
            }
        }
    }
    assert_eq!(count, nodes.len());
}

fn json_of(view: &DocumentView<'_>) {
    for version in FfdVersion::ALL {
        let mut json = String::new();
        let options = JsonOptions { message_sign: Some([0x81; 8]), raw: Some(view.bytes()) };
        write_document_with(view, version, &options, &mut json);
        check_json(&json);
    }
}

/// Bytes that look like TLVs: lengths mostly close, tags mostly exist, values are anything.
fn nearly_a_document() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<u16> = entries().iter().map(|entry| entry.tag.0).collect();
    let leaf = (prop::sample::select(known), proptest::collection::vec(any::<u8>(), 0..12))
        .prop_map(|(tag, value)| [&tag.to_le_bytes()[..], &[value.len() as u8, 0], &value].concat());
    let level = leaf.prop_recursive(4, 60, 8, |inner| {
        (structure(), proptest::collection::vec(inner, 0..8)).prop_map(|(tag, inside)| {
            let inside = inside.concat();
            let len = u16::try_from(inside.len()).unwrap();
            [&tag.to_le_bytes()[..], &len.to_le_bytes(), &inside].concat()
        })
    });
    (1_u8..90, proptest::collection::vec(level, 0..12)).prop_map(|(form, body)| {
        let body = body.concat();
        let len = u16::try_from(body.len()).unwrap();
        [&[form, 0][..], &len.to_le_bytes(), &body].concat()
    })
}

/// What a walk has handed over: parent, tag, value.
#[derive(Default)]
struct Visited<'a> {
    form: Option<Form>,
    all: Vec<(Option<Tag>, Tag, Value<'a>)>,
}

impl<'a> Visit<'a> for Visited<'a> {
    fn begin(&mut self, form: Form) {
        self.form = Some(form);
    }

    fn upper(&mut self, tag: Tag, value: &Value<'a>) {
        self.all.push((None, tag, *value));
    }

    fn inside(&mut self, parent: Tag, tag: Tag, value: &Value<'a>) {
        self.all.push((Some(parent), tag, *value));
    }
}

proptest! {
    /// What is written is read, and the tree gives the bytes back.
    #[test]
    fn documents_survive_writing_and_reading(
        form in 1_u8..90,
        nodes in proptest::collection::vec(node(), 0..12),
    ) {
        let mut bytes = Vec::new();
        TlvWriter::new(&mut bytes).document(Form(form), |w| write(w, &nodes)).unwrap();
        // Values borrow the bytes; leaking them keeps the helper's types simple, and there are few.
        let bytes: &'static [u8] = bytes.leak();
        let view = DocumentView::new_checked(bytes).unwrap();
        prop_assert_eq!(view.form(), Form(form));
        check(view.tags(), &nodes);
        prop_assert_eq!(Document::decode(bytes).unwrap().encode(), bytes);
        json_of(&view);
    }

    /// A message around any document that names its drive and number passes all of A1-A5.
    #[test]
    fn messages_survive_writing_and_reading(
        digits in "[0-9]{1,16}",
        number in 0_u32..1 << 24,
        p_version in any::<[u8; 2]>(),
        nodes in proptest::collection::vec(node(), 0..8),
        service2_prefix in any::<[u8; 10]>(),
        trailer in any::<[u8; 10]>(),
    ) {
        let drive = DriveNumber::parse(&digits).unwrap();
        let mut plain = Vec::new();
        TlvWriter::new(&mut plain).document(Form::RECEIPT, |w| {
            w.bytes(Tag(1041), drive.as_bytes())?;
            w.u32(Tag(1040), number);
            write(w, &nodes)
        }).unwrap();
        let mut bytes = vec![0xAA];
        let message = Message {
            p_version, drive, number, form: 3, container_type: 0xA5, service2_prefix, plain: &plain, trailer,
        };
        message.encode_into(&mut bytes).unwrap();
        let frame = Frame::new_checked(&bytes[1..]).unwrap();
        let container = frame.container();
        prop_assert_eq!(frame.header().p_version, p_version);
        prop_assert!(frame.header().encode() == bytes[1..31]);
        prop_assert_eq!(frame.header().drive_number(), Ok(drive));
        prop_assert_eq!(&container.service2()[..10], service2_prefix.as_slice());
        prop_assert_eq!(container.trailer(), &trailer);
        prop_assert_eq!(container.number(), number);
        prop_assert!(container.is_plain());
        let view = open_plain(&container, Some(&frame.header().drive), container.body()).unwrap();
        prop_assert_eq!(view.bytes(), plain.as_slice());
    }

    /// An answer repeats the drive and the number it was asked about, and says its code in 1068.
    #[test]
    fn confirmations_repeat_what_they_confirm(
        digits in "[0-9]{1,16}",
        number in 0_u32..1 << 24,
        accepted_at in any::<u32>(),
        code in any::<u8>(),
        p_version in any::<[u8; 2]>(),
    ) {
        let drive = DriveNumber::parse(&digits).unwrap();
        let mut bytes = Vec::new();
        ConfirmationRequest::unsigned(*b"7700001002  ", drive, number, LocalSeconds(accepted_at), code, p_version)
            .encode_into(&mut bytes)
            .unwrap();
        let frame = Frame::new_checked(&bytes).unwrap();
        let container = frame.container();
        let view = ofd_codec::open_answer(&container, Some(drive.as_bytes()), container.body()).unwrap();
        let order: Vec<u16> = view.tags().map(|(tag, _)| tag.0).collect();
        prop_assert_eq!(order, [1017, 1078, 1041, 1040, 1012, 1068]);
        let header = view.header();
        prop_assert_eq!(header.drive, Some(drive));
        prop_assert_eq!(header.number.map(|number| number.0), Some(number));
        prop_assert_eq!(header.date_time, Some(LocalSeconds(accepted_at)));
        let (inside, value) = view.get(Tag(1068)).unwrap().children().next().unwrap().unwrap();
        prop_assert_eq!((inside, value.u8()), (Tag(1022), Ok(code)));
        prop_assert_eq!((frame.header().flags, frame.header().p_version), (0x0014, p_version));
        prop_assert_eq!((container.kind(), container.form(), container.version()), (0x5A, 7, 1));
        prop_assert_eq!((container.service1(), container.plain_len()), ([0x10, 0x09], view.bytes().len() as u16));
        prop_assert_eq!(container.trailer(), &[0x82, 6, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    /// Nothing panics on any bytes, and the reader of files ends.
    #[test]
    fn nothing_panics_on_random_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Frame::new_checked(&bytes);
        let _ = Frame::split(&bytes);
        let _ = Container::new_checked(&bytes);
        let _ = RawData::new_checked(&bytes);
        let _ = Document::decode(&bytes);
        let _ = DocumentView::new_checked(&bytes);
        prop_assert!(Tlv::new(&bytes).count() <= bytes.len() / 4 + 1);
        prop_assert!(read_any(&bytes).count() <= bytes.len());
    }

    /// Errors point into the bytes that were handed in.
    #[test]
    fn errors_point_into_the_bytes(bytes in nearly_a_document(), cut in any::<prop::sample::Index>()) {
        let cut = &bytes[..cut.index(bytes.len())];
        for found in [
            DocumentView::new_checked(cut).err(),
            Frame::new_checked(cut).err(),
            RawData::new_checked(cut).err(),
            read_any(cut).find_map(Result::err),
        ].into_iter().flatten() {
            prop_assert!(found.offset <= cut.len(), "{}", found);
        }
    }

    /// The walk that checks and hands over takes the documents that the check takes, refuses the others with the same error, and
    /// hands over what walks over the view find.
    #[test]
    fn one_walk_checks_and_reads_what_several_do(
        bytes in nearly_a_document(),
        changed in any::<prop::sample::Index>(),
        by in prop::option::of(any::<u8>()),
    ) {
        let mut bytes = bytes;
        if let Some(by) = by {
            let at = changed.index(bytes.len());
            bytes[at] ^= by;
        }
        let mut visited = Visited::default();
        match (DocumentView::new_checked(&bytes), DocumentView::visit_checked(&bytes, &mut visited)) {
            (Ok(view), Ok((also, header))) => {
                prop_assert_eq!(view.bytes(), also.bytes());
                prop_assert_eq!((view.header(), Some(view.form())), (header, visited.form));
                let mut found = Vec::new();
                for (tag, value) in view.tags() {
                    found.push((None, tag, value));
                    if is_stlv(tag) {
                        found.extend(value.children().map(|it| it.unwrap()).map(|(at, it)| (Some(tag), at, it)));
                    }
                }
                prop_assert_eq!(visited.all, found);
            }
            (Err(error), Err(also)) => prop_assert_eq!(error, also),
            (one, other) => prop_assert!(false, "{:?} {:?}", one, other),
        }
    }

    /// Any structure gives valid JSON without a repeated key, whatever its values and places are.
    #[test]
    fn json_is_valid_for_any_structure(bytes in nearly_a_document()) {
        if let Ok(view) = DocumentView::new_checked(&bytes) {
            json_of(&view);
        }
        if let Ok(document) = Document::decode(&bytes) {
            prop_assert_eq!(document.encode(), bytes);
        }
    }

    /// Numbers padded with zeros mean the same; the tree keeps the padding.
    #[test]
    fn padded_numbers_mean_the_same(number in any::<u64>(), cut in 0_u32..64) {
        let number = number >> cut;
        let mut short = Vec::new();
        TlvWriter::new(&mut short).vln(Tag(1020), number);
        let mut bytes = vec![3, 0, 12, 0, 0xFC, 3, 8, 0];
        bytes.extend(number.to_le_bytes());
        let view = DocumentView::new_checked(&bytes).unwrap();
        prop_assert_eq!(view.get(Tag(1020)).unwrap().vln(), Ok(number));
        let (_, value) = Tlv::new(&short).next().unwrap().unwrap();
        prop_assert_eq!(value.vln(), Ok(number));
        prop_assert_eq!(Document::decode(&bytes).unwrap().encode(), bytes);
    }

    /// Text that CP866 has comes back; text that it has not is refused, never replaced.
    #[test]
    fn text_comes_back_or_is_refused(text in ".{0,40}") {
        match cp866(&text) {
            Ok(bytes) => prop_assert_eq!(ofd_codec::Cp866(&bytes).to_string(), text),
            Err(error) => {
                prop_assert_eq!(error.kind, ofd_codec::EncodeErrorKind::Text);
                prop_assert!(!text.is_ascii());
            }
        }
    }
}
