//! A second, naive decoder that shares nothing with the codec, to disagree with.
//!
//! It counts bytes by index, copies everything, has its own list of structures, its own table of CP866 and its own
//! bitwise checksum. Where it and the codec differ, one of them is wrong.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod common;

use common::documents::golden;
use common::facts;
use ofd_codec::forms::Typed;
use ofd_codec::{
    DocumentView, FfdVersion, Frame, Piece, Tag, Tags, Tlv, container_crc, is_stlv, open_answer, open_plain,
    read_any,
};
use proptest::prelude::*;

mod naive {
    /// Structures of all versions whose number never meant anything else.
    pub(crate) const STRUCTURES: [u16; 32] = [
        1032, 1033, 1047, 1059, 1067, 1068, 1069, 1071, 1084, 1112, 1129, 1130, 1131, 1132, 1133, 1145, 1146,
        1157, 1158, 1163, 1174, 1194, 1223, 1224, 1232, 1233, 1234, 1235, 1256, 1260, 1261, 1270,
    ];
    pub(crate) const LATE_STRUCTURES: [u16; 2] = [1291, 2007];

    const UPPER: &str = "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯабвгдежзийклмноп\
        ░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀рстуфхцчшщъыьэюяЁёЄєЇїЎў°∙·√№¤■\u{A0}";

    #[derive(Clone, Debug, PartialEq)]
    pub(crate) enum Tree {
        Leaf(u16, Vec<u8>),
        Nest(u16, Vec<Tree>),
    }

    pub(crate) fn is_structure(tag: u16) -> bool {
        STRUCTURES.contains(&tag) || LATE_STRUCTURES.contains(&tag)
    }

    /// All TLVs between two indexes, or nothing when they do not close. `count` is of all levels together.
    fn trees(bytes: &[u8], from: usize, to: usize, depth: usize, count: &mut usize) -> Option<Vec<Tree>> {
        if depth > 4 {
            return None;
        }
        let mut found = Vec::new();
        let mut at = from;
        while at < to {
            if at + 4 > to {
                return None;
            }
            let tag = bytes[at] as u16 + bytes[at + 1] as u16 * 256;
            let len = bytes[at + 2] as usize + bytes[at + 3] as usize * 256;
            if at + 4 + len > to {
                return None;
            }
            *count += 1;
            if *count > 8192 {
                return None;
            }
            found.push(if is_structure(tag) {
                Tree::Nest(tag, trees(bytes, at + 4, at + 4 + len, depth + 1, count)?)
            } else {
                Tree::Leaf(tag, bytes[at + 4..at + 4 + len].to_vec())
            });
            at += 4 + len;
        }
        Some(found)
    }

    pub(crate) fn document(bytes: &[u8]) -> Option<(u8, Vec<Tree>)> {
        if bytes.len() < 4 || bytes[1] != 0 || bytes[0] == 0 {
            return None;
        }
        let len = bytes[2] as usize + bytes[3] as usize * 256;
        if len + 4 != bytes.len() {
            return None;
        }
        Some((bytes[0], trees(bytes, 4, bytes.len(), 1, &mut 0)?))
    }

    /// Bit by bit, as a textbook has it.
    pub(crate) fn crc(bytes: impl Iterator<Item = u8>) -> u16 {
        let mut register: u32 = 0xFFFF;
        for byte in bytes {
            for bit in (0..8).rev() {
                let feed = (register >> 15 & 1) ^ (u32::from(byte) >> bit & 1);
                register = register << 1 & 0xFFFF;
                if feed == 1 {
                    register ^= 0x1021;
                }
            }
        }
        register as u16
    }

    pub(crate) fn text(bytes: &[u8]) -> String {
        bytes
            .iter()
            .map(|&byte| match byte {
                0..=127 => byte as char,
                high => UPPER.chars().nth(high as usize - 128).unwrap(),
            })
            .collect()
    }

    pub(crate) fn number(bytes: &[u8]) -> u128 {
        bytes.iter().enumerate().map(|(place, &byte)| byte as u128 * 256_u128.pow(place as u32)).sum()
    }

    /// A whole message whose lengths, checksum and numbers agree: its document.
    pub(crate) fn message(bytes: &[u8]) -> Option<&[u8]> {
        if bytes.len() < 30 + 42 || bytes.len() > 30 + 32768 {
            return None;
        }
        let operator = bytes[..6] == [0x2A, 0x08, 0x41, 0x0A, 0x81, 0xA2];
        let test = bytes[..6] == [0x2A, 0x08, 0x41, 0x0A, 0x82, 0xFB];
        let drive = std::str::from_utf8(&bytes[8..24]).ok()?.trim_end_matches(' ');
        let flags = bytes[26];
        let container = &bytes[30..];
        let len = container.len();
        let words = |at: usize| container[at] as usize + container[at + 1] as usize * 256;
        let packed: String = container[9..17].iter().map(|byte| format!("{byte:02x}")).collect();
        let plain = &container[32..len - 10];
        let (_, trees) = document(plain)?;
        let first = |wanted: u16| {
            trees.iter().find_map(|tree| match tree {
                Tree::Leaf(tag, bytes) if *tag == wanted => Some(bytes.clone()),
                _ => None,
            })
        };
        let marking = (81..=84).contains(&plain[0]);
        let right = [
            operator || test,
            !drive.is_empty() && drive.bytes().all(|byte| byte.is_ascii_digit()),
            flags & 3 == 0 || flags & 3 == 3,
            bytes[24] as usize + bytes[25] as usize * 256 == len,
            words(0) == len,
            words(2) as u16 == crc(container[..2].iter().chain(&container[4..]).copied()),
            container[4] == 0xA5 || container[4] == 0x5A,
            container[5] == plain[0],
            container[6] == 1,
            packed.trim_end_matches('f') == drive,
            container[30] as usize * 256 + container[31] as usize == plain.len(),
            match first(1041) {
                Some(found) => text(&found).trim_end_matches(' ') == drive,
                None => marking,
            },
            match first(1040) {
                Some(found) => {
                    let wanted = container[17..20].iter().rev().copied().collect::<Vec<_>>();
                    (found.len() == 4 || found.is_empty()) && number(&found) == number(&wanted)
                }
                None => marking,
            },
        ];
        right.iter().all(|&holds| holds).then_some(plain)
    }
}

/// The codec's reading of a checked document as the same kind of tree.
fn trees(level: Tags<'_>) -> Vec<naive::Tree> {
    fn deeper(level: Tlv<'_>) -> Vec<naive::Tree> {
        level.map(|item| node(item.unwrap())).collect()
    }
    fn node((tag, value): (Tag, ofd_codec::Value<'_>)) -> naive::Tree {
        if is_stlv(tag) {
            naive::Tree::Nest(tag.0, deeper(value.children()))
        } else {
            naive::Tree::Leaf(tag.0, value.bytes().to_vec())
        }
    }
    level.map(node).collect()
}

fn agree_on_document(bytes: &[u8]) {
    let ours = DocumentView::new_checked(bytes).ok().map(|view| (view.form().0, trees(view.tags())));
    assert_eq!(ours, naive::document(bytes), "{bytes:02x?}");
}

fn agree_on_message(bytes: &[u8]) {
    let ours = Frame::new_checked(bytes).ok().and_then(|frame| {
        let container = frame.container();
        let open = if container.kind() == 0xA5 { open_plain } else { open_answer };
        open(&container, Some(&frame.header().drive), container.body()).ok()
    });
    assert_eq!(ours.map(|view| view.bytes()), naive::message(bytes), "{bytes:02x?}");
}

/// Both decoders know the same structures, over all numbers there are.
#[test]
fn structures_are_the_same_for_every_number() {
    for tag in 0..=u16::MAX {
        assert_eq!(is_stlv(Tag(tag)), naive::is_structure(tag), "{tag}");
    }
}

/// Both read the golden documents, and every real one where they are at hand.
#[test]
fn decoders_agree_on_good_documents() {
    for golden in golden() {
        agree_on_message(&golden.message);
        assert!(naive::message(&golden.message).is_some(), "{}", golden.name);
        agree_on_document(naive::message(&golden.message).unwrap());
    }
    let Some(wire) = facts("samples/receipts.wire") else { return };
    for piece in read_any(&wire) {
        let Piece::Message(frame, view) = piece.unwrap() else { panic!("the file holds messages") };
        agree_on_message(frame.bytes());
        assert_eq!(naive::message(frame.bytes()), Some(view.bytes()));
        agree_on_document(view.bytes());
    }
}

/// Values of all kinds are read alike.
#[test]
fn decoders_agree_on_every_short_value() {
    let mut bytes = Vec::new();
    for len in 0..=9_u8 {
        for first in 0..=255_u8 {
            bytes.clear();
            bytes.extend([1, 0, len, 0]);
            bytes.extend((0..len).map(|place| first.wrapping_mul(place.wrapping_add(1)).wrapping_add(place)));
            let (_, value) = Tlv::new(&bytes).next().unwrap().unwrap();
            let raw = value.bytes();
            let number = naive::number(raw);
            let fits = |good: bool| good.then_some(number);
            assert_eq!(value.u8().ok().map(u128::from), fits(len <= 1));
            assert_eq!(value.u16().ok().map(u128::from), fits(len == 0 || len == 2));
            assert_eq!(value.u32().ok().map(u128::from), fits(len == 0 || len == 4));
            assert_eq!(value.unixtime().ok().map(|time| u128::from(time.0)), fits(len == 0 || len == 4));
            assert_eq!(value.bits().ok().map(u128::from), fits(len <= 4));
            assert_eq!(value.vln().ok().map(u128::from), fits(len <= 8));
            assert_eq!(
                value.kopecks().ok().map(|sum| sum.0 as u128),
                fits(len <= 8 && number <= i64::MAX as u128)
            );
            let decimal = (1..=8).contains(&len).then(|| (raw[0], naive::number(&raw[1..])));
            assert_eq!(value.fvln().ok().map(|found| (found.scale, u128::from(found.mantissa))), decimal);
            assert_eq!(value.text().to_string(), naive::text(raw));
            assert_eq!(value.text().to_cow(), naive::text(raw));
            assert_eq!(
                value.fiscal_sign().ok().map(|sign| u128::from(sign.printed())),
                (len == 6).then(|| naive::number(&[raw[5], raw[4], raw[3], raw[2]]))
            );
        }
    }
}

proptest! {
    /// The checksum by SIMD, that by a table and that by bits are one.
    #[test]
    fn checksums_agree(bytes in proptest::collection::vec(any::<u8>(), 4..2000)) {
        let covered = bytes[..2].iter().chain(&bytes[4..]).copied();
        let by_bits = naive::crc(covered.clone());
        let table = crc::Crc::<u16>::new(&crc::CRC_16_IBM_3740);
        prop_assert_eq!(table.checksum(&covered.collect::<Vec<_>>()), by_bits);
        prop_assert_eq!(container_crc(&bytes), by_bits);
    }

    /// Both say yes and no to the same damaged documents, and read the same out of what is left.
    #[test]
    fn decoders_agree_on_damaged_documents(
        which in any::<prop::sample::Index>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let all = golden();
        let mut message = all[which.index(all.len())].message.clone();
        let mut plain = naive::message(&message).unwrap().to_vec();
        for (place, byte) in &damage {
            let at = place.index(plain.len());
            plain[at] = *byte;
            let at = place.index(message.len());
            message[at] = *byte;
        }
        agree_on_document(&plain);
        agree_on_message(&message);
        // With the checksum set right, what is behind it is compared as well.
        let crc = naive::crc(message[30..32].iter().chain(&message[34..]).copied()).to_le_bytes();
        message[32..34].copy_from_slice(&crc);
        agree_on_message(&message);
    }

    /// Nests of nests, closing or not.
    #[test]
    fn decoders_agree_on_nests(tags in proptest::collection::vec((0_usize..6, 0_u16..12), 0..24)) {
        let mut body: Vec<u8> = Vec::new();
        for (tag, len) in tags {
            let tag: u16 = [1059, 1084, 1224, 1223, 1085, 7][tag];
            body.extend(tag.to_le_bytes());
            body.extend(len.to_le_bytes());
        }
        let mut document = vec![3, 0];
        document.extend(u16::try_from(body.len()).unwrap().to_le_bytes());
        document.extend(body);
        agree_on_document(&document);
    }
}

/// The text table has a character for each upper byte.
#[test]
fn every_byte_is_one_character_and_comes_back() {
    for byte in 0..=255_u8 {
        let text = naive::text(&[byte]);
        assert_eq!(ofd_codec::Cp866(&[byte]).to_string(), text);
        assert_eq!(ofd_codec::cp866(&text).unwrap(), [byte]);
    }
}

/// The value at a path of tags, as the naive decoder has it; of repeats the first.
fn leaf(trees: &[naive::Tree], path: &[u16]) -> Option<Vec<u8>> {
    let (first, rest) = path.split_first()?;
    trees.iter().find_map(|tree| match tree {
        naive::Tree::Leaf(tag, bytes) if tag == first && rest.is_empty() => Some(bytes.clone()),
        naive::Tree::Nest(tag, inner) if tag == first && !rest.is_empty() => leaf(inner, rest),
        _ => None,
    })
}

fn number(trees: &[naive::Tree], path: &[u16]) -> Option<u128> {
    leaf(trees, path).map(|bytes| naive::number(&bytes))
}

fn text(trees: &[naive::Tree], path: &[u16]) -> Option<String> {
    leaf(trees, path).map(|bytes| naive::text(&bytes))
}

/// Why: the views of all forms have to say what a reader that knows nothing but tags and bytes says.
#[test]
fn views_of_all_forms_agree_with_the_naive_reading() {
    let money = |sum: Option<ofd_codec::Kopecks>| sum.map(|sum| u128::try_from(sum.0).unwrap());
    let wide = |number: Option<u32>| number.map(u128::from);
    let shown = |text: Option<ofd_codec::Cp866<'_>>| text.map(|text| text.to_string());
    let mut forms = std::collections::BTreeSet::new();
    for golden in golden() {
        let Piece::Message(_, view) = read_any(&golden.message).next().unwrap().unwrap() else { panic!() };
        let version = FfdVersion::of_document(&view.header(), None, golden.message[6..8].try_into().unwrap());
        let (form, trees) = naive::document(view.bytes()).unwrap();
        let Ok(typed) = view.typed(version) else {
            assert_eq!(golden.name, "receipt-odd");
            continue;
        };
        forms.insert(form);
        match typed {
            Typed::Receipt(receipt) => {
                assert_eq!(money(receipt.total()), number(&trees, &[1020]));
                assert_eq!(receipt.operation().map(|code| u128::from(code.0)), number(&trees, &[1054]));
                assert_eq!(shown(receipt.user_name()), text(&trees, &[1048]));
                assert_eq!(
                    shown(receipt.correction_base().and_then(|base| base.number())),
                    text(&trees, &[1174, 1179])
                );
                let items: Vec<_> = trees
                    .iter()
                    .filter_map(|tree| match tree {
                        naive::Tree::Nest(1059, inner) => Some(inner),
                        _ => None,
                    })
                    .collect();
                assert_eq!(receipt.items().count(), items.len());
                for (ours, theirs) in receipt.items().zip(items) {
                    assert_eq!(shown(ours.name()), text(theirs, &[1030]));
                    assert_eq!(money(ours.price()), number(theirs, &[1079]));
                    assert_eq!(money(ours.sum()), number(theirs, &[1043]));
                    assert_eq!(ours.vat_rate().map(|rate| u128::from(rate.0)), number(theirs, &[1199]));
                    let quantity = leaf(theirs, &[1023]).map(|b| (u128::from(b[0]), naive::number(&b[1..])));
                    assert_eq!(
                        ours.quantity().map(|it| (u128::from(it.scale), u128::from(it.mantissa))),
                        quantity
                    );
                    assert_eq!(shown(ours.code().and_then(|code| code.gs1m())), text(theirs, &[1163, 1305]));
                    assert_eq!(shown(ours.supplier().and_then(|it| it.name())), text(theirs, &[1224, 1225]));
                }
            }
            Typed::Registration(it) => {
                assert_eq!(shown(it.factory_number()), text(&trees, &[1013]));
                assert_eq!(it.reasons().map(|mask| u128::from(mask.0)), number(&trees, &[1205]));
                assert_eq!(it.usage_conditions().map(|mask| u128::from(mask.0)), number(&trees, &[1290]));
            }
            Typed::ShiftOpen(it) => {
                assert_eq!(wide(it.shift()), number(&trees, &[1038]));
                assert_eq!(it.operator_silent(), number(&trees, &[1053]) == Some(1));
            }
            Typed::ShiftClose(it) => {
                assert_eq!(wide(it.shift_documents()), number(&trees, &[1111]));
                for (counters, tag) in [(it.counters(), 1194), (it.drive_counters(), 1157)] {
                    let sales = counters.and_then(|counters| counters.sales());
                    assert_eq!(
                        money(sales.and_then(|sales| sales.total())),
                        number(&trees, &[tag, 1129, 1201])
                    );
                    let corrected = counters.and_then(|it| it.corrections()).and_then(|it| it.sales());
                    assert_eq!(
                        wide(corrected.and_then(|it| it.receipts())),
                        number(&trees, &[tag, 1133, 1145, 1135])
                    );
                }
            }
            Typed::StateReport(it) => {
                assert_eq!(wide(it.unsent_documents()), number(&trees, &[1097]));
                let unsent = it.unsent_counters().and_then(|it| it.sale_corrections());
                assert_eq!(money(unsent.and_then(|it| it.total())), number(&trees, &[1158, 1145, 1201]));
            }
            Typed::ArchiveClose(it) => assert_eq!(wide(it.shift()), number(&trees, &[1038])),
            Typed::Confirmation(it) => {
                assert_eq!(wide(it.number()), number(&trees, &[1040]));
                let answer = it.message().and_then(|message| message.answer());
                assert_eq!(answer.map(|code| u128::from(code.0)), number(&trees, &[1068, 1022]));
            }
            Typed::MarkingRequest(it) => assert_eq!(shown(it.marking_code()), text(&trees, &[2000])),
            Typed::MarkingNotification(it) => {
                let item = it.items().next();
                assert_eq!(money(item.and_then(|item| item.sum())), number(&trees, &[2007, 1043]));
            }
            Typed::MarkingAnswer(it) => assert_eq!(shown(it.product_id()), text(&trees, &[2101])),
            Typed::MarkingReceipt(it) => assert_eq!(wide(it.notification_serial()), number(&trees, &[2002])),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(forms.len(), 15, "{forms:?}");
}
