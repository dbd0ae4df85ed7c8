//! The fused walk against a plain reading: the view for what is accepted, the dictionary for what is found.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

mod common;

use common::documents::golden;
use common::{facts, facts_lines, unhex};
use ofd_codec::dictionary::{self, Entry, entries};
use ofd_codec::{
    DocumentView, FINDINGS_KEPT, FfdVersion, FindingKind, Frame, Kind, Requisite, Tag, Tlv, Validated,
    Visitor, is_stlv, read_any, tags,
};
use proptest::prelude::*;

/// What a visitor is told, one line a requisite; a nest is closed by its negative number.
#[derive(Default, Debug, PartialEq)]
struct Seen {
    version: Option<FfdVersion>,
    met: Vec<(i32, usize, usize, u16)>,
    kinds: Vec<Kind>,
}

impl<'a> Visitor<'a> for Seen {
    fn begin(&mut self, version: FfdVersion) {
        *self = Self { version: Some(version), ..Self::default() };
    }

    fn requisite(&mut self, requisite: Requisite<'a>) {
        let value = requisite.value;
        let tag = i32::from(value.tag().0);
        self.met.push((tag, value.offset(), value.bytes().len(), requisite.parent));
        self.kinds.push(requisite.kind);
        // Numbers are read out of eight bytes, whatever stands behind the value.
        let kind = requisite.kind;
        assert_eq!(requisite.number(), value.vln().ok().filter(|_| kind.is_number()), "{value:?}");
        assert_eq!(requisite.decimal(), value.fvln().ok().filter(|_| kind == Kind::Fvln), "{value:?}");
    }

    fn leave(&mut self, nest: Tag) {
        self.met.push((-i32::from(nest.0), 0, 0, 0));
    }
}

/// The same, from the dictionary's own functions and without any of the tables of the walk.
struct Plain {
    version: FfdVersion,
    form: u8,
    seen: Seen,
    found: Vec<(u32, Tag, u16, FindingKind)>,
}

impl Plain {
    fn of(view: &DocumentView<'_>, expected: FfdVersion) -> Self {
        let told = view.get(tags::FFD_VERSION).and_then(|value| value.u8().ok());
        let version = told.and_then(FfdVersion::from_code).unwrap_or(expected);
        let seen = Seen { version: Some(version), ..Seen::default() };
        let mut plain = Self { version, form: view.form().0, seen, found: Vec::new() };
        assert!(plain.level(Tlv::at(&view.bytes()[4..], 4), 0, 0));
        plain
    }

    /// False when something inside does not close, or lies too deep.
    fn level(&mut self, level: Tlv<'_>, parent: u16, depth: usize) -> bool {
        let mut before = Vec::new();
        for item in level {
            let Ok((tag, value)) = item else { return false };
            let place_parent = if parent == 0 { u16::from(self.form) } else { parent };
            let entry = dictionary::lookup(tag, place_parent, self.version);
            let row = dictionary::requirement(self.version, self.form, parent, tag);
            let charted = dictionary::table(self.version, self.form, parent).is_some();
            let mut find = |kind| {
                self.found.push((u32::try_from(value.offset()).unwrap(), tag, parent, kind));
            };
            match row {
                Some(row) => {
                    let may = row.repeats || entry.is_some_and(|entry| entry.repeatable);
                    if before.contains(&tag) && !may {
                        find(FindingKind::Repeated);
                    }
                }
                None if charted && entry.is_none() => find(FindingKind::Unknown),
                None if charted && self.version != FfdVersion::V1_0 => find(FindingKind::Undeclared),
                None => {}
            }
            before.push(tag);
            if entry.is_some_and(|entry| !right_length(entry, value.bytes().len())) {
                find(FindingKind::Length);
            }
            self.seen.met.push((i32::from(tag.0), value.offset(), value.bytes().len(), parent));
            self.seen.kinds.push(entry.map_or(Kind::Bytes, |entry| entry.kind));
            if is_stlv(tag) || row.is_some() && entry.is_some_and(|entry| entry.kind == Kind::Stlv) {
                if !(depth < 3 && self.level(value.children(), tag.0, depth + 1)) {
                    if is_stlv(tag) {
                        return false;
                    }
                    let offset = u32::try_from(value.offset()).unwrap();
                    self.found.push((offset, tag, parent, FindingKind::Unclosed));
                }
                self.seen.met.push((-i32::from(tag.0), 0, 0, 0));
            }
        }
        true
    }
}

/// Rule B4, as far as it speaks of lengths.
fn right_length(entry: &Entry, len: usize) -> bool {
    let max = usize::from(entry.len_max);
    let may_be_empty = matches!(entry.kind, Kind::Byte | Kind::U16 | Kind::U32 | Kind::UnixTime | Kind::Bits);
    match len {
        0 if may_be_empty => true,
        0 if entry.kind == Kind::Fvln => false,
        _ if entry.len_max == Entry::NO_LIMIT => true,
        _ if entry.fixed => len == max,
        _ => len <= max,
    }
}

/// One document under every expectation, against the view and the plain reading.
fn compare(bytes: &[u8]) {
    let view = DocumentView::new_checked(bytes);
    for expected in FfdVersion::ALL {
        let mut seen = Seen::default();
        let validated = Validated::check_with(bytes, expected, &mut seen);
        let (Ok(validated), Ok(view)) = (&validated, &view) else {
            assert_eq!(validated.err(), view.err(), "{bytes:02x?}");
            continue;
        };
        assert_eq!(validated.view().bytes(), view.bytes());
        let plain = Plain::of(view, expected);
        assert_eq!(validated.version(), plain.version);
        assert_eq!(seen, plain.seen, "{bytes:02x?}");
        let found: Vec<_> = validated
            .findings()
            .iter()
            .map(|finding| (finding.offset, finding.tag, finding.parent, finding.kind))
            .collect();
        let kept = plain.found.len().min(FINDINGS_KEPT);
        assert_eq!(found, plain.found[..kept], "{bytes:02x?}");
        assert_eq!(validated.findings().count(), plain.found.len());
        assert_eq!(validated.findings().is_empty(), plain.found.is_empty());
    }
}

fn documents() -> Vec<Vec<u8>> {
    golden()
        .iter()
        .map(|golden| Frame::new_checked(&golden.message).unwrap().container().body().to_vec())
        .collect()
}

/// Why: a typed view that builds on the validated one must exist for everything that can be stored.
#[test]
fn accepts_what_the_view_accepts() {
    for document in documents() {
        compare(&document);
        for end in 0..document.len() {
            compare(&document[..end]);
        }
        compare(&[document.as_slice(), &[0]].concat());
    }
}

/// Why: the tables of the walk are a copy of the dictionary made by the compiler, so each tag and length of a document is
/// changed in turn, and both must find the same.
#[test]
fn findings_are_those_of_a_plain_reading() {
    for document in documents() {
        let mut changed = document.clone();
        for at in 0..document.len() {
            for change in [1, 0x40, 0xFF] {
                changed[at] ^= change;
                compare(&changed);
                changed[at] = document[at];
            }
        }
    }
}

/// Why: 1209 may stand anywhere, be unreadable, unknown or repeated, and the tables follow it.
#[test]
fn the_version_is_that_of_the_first_1209() {
    let told = |values: &[&[u8]]| {
        let mut body = vec![0xFC, 3, 1, 0, 5];
        for value in values {
            body.extend([0xB9, 4, u8::try_from(value.len()).unwrap(), 0]);
            body.extend_from_slice(value);
        }
        let bytes = [&[3, 0, u8::try_from(body.len()).unwrap(), 0], body.as_slice()].concat();
        compare(&bytes);
        Validated::check(&bytes, FfdVersion::V1_1).unwrap().version()
    };
    assert_eq!(told(&[]), FfdVersion::V1_1);
    assert_eq!(told(&[&[4]]), FfdVersion::V1_2);
    assert_eq!(told(&[&[]]), FfdVersion::V1_0);
    assert_eq!(told(&[&[9]]), FfdVersion::V1_1);
    assert_eq!(told(&[&[9], &[4]]), FfdVersion::V1_1);
    // A form that no table describes has a version as well.
    for told in [&[][..], &[4], &[9], &[2, 2]] {
        compare(&tlv(90, &[tlv(1020, &[5]), tlv(1209, told), tlv(1209, &[4])].concat()));
    }
    // Behind one that can not be read none is looked for, as the header does not.
    assert_eq!(told(&[&[4, 4], &[2], &[4]]), FfdVersion::V1_1);
}

/// A TLV.
fn tlv(tag: u16, value: &[u8]) -> Vec<u8> {
    [&tag.to_le_bytes()[..], &u16::try_from(value.len()).unwrap().to_le_bytes(), value].concat()
}

/// Why: a nest that the table knows goes in on the short way and one that it does not on the long way, as deep as the view
/// goes and no deeper; one that was text once ends what is too deep in it.
#[test]
fn nests_are_entered_as_deep_as_the_view_enters_them() {
    // What a table has of those that stand in one another, and what none has.
    let chains: [&[u16]; 8] = [
        &[1059, 1223],
        &[1115, 1059, 1059, 1223],
        &[1059, 1157, 1133, 1145],
        &[1059, 1059, 1059, 1059, 1059],
        &[1119, 1059, 1223, 1059, 1223, 1059],
        &[1059, 1115, 1059, 1119, 1223],
        &[1223, 1174, 1223, 1174, 1223, 1174],
        &[1115, 1115, 1115, 1115, 1115, 1115],
    ];
    for chain in chains {
        for depth in 0..=chain.len() {
            for tail in [0, 1, 20] {
                // Behind each there is something to come back to, or nothing.
                let behind = if tail == 0 { Vec::new() } else { tlv(1030, &vec![b'a'; tail]) };
                let mut inside = tlv(1079, &[7]);
                for &tag in chain[..depth].iter().rev() {
                    inside = [tlv(tag, &inside), behind.clone()].concat();
                }
                for form in [3, 5, 31] {
                    compare(&tlv(form, &inside));
                }
            }
        }
    }
    // On the short way to the fourth level: undeclared, undeclared, known, and then the end of 1115.
    let deep = tlv(3, &tlv(1115, &tlv(1059, &tlv(1059, &tlv(1223, &tlv(1075, b"aaaaaa"))))));
    compare(&deep);
    let found = *Validated::check(&deep, FfdVersion::V1_2).unwrap().findings();
    assert_eq!(found.iter().last().unwrap().kind, FindingKind::Unclosed);
}

/// Why: numbers are read out of eight bytes and masked by four bits of their length, so no longer one may pass for one.
#[test]
fn numbers_of_every_length_are_those_of_their_values() {
    let bytes: Vec<u8> = (1..=60).collect();
    // VLN, FVLN, fixed numbers, text; of the document and of a nest.
    for tag in [1020, 1023, 1040, 1012, 1054, 1048, 1043, 1079] {
        for len in 0..=40 {
            for behind in [0, 4, 12] {
                let one = tlv(tag, &bytes[..len]);
                let tail = if behind == 0 { Vec::new() } else { tlv(1037, &bytes[..behind]) };
                compare(&tlv(3, &[&one[..], &tail].concat()));
                compare(&tlv(3, &[&tlv(1059, &one)[..], &tail].concat()));
            }
        }
    }
}

/// Why: near its end a document has no whole window of twelve bytes, and a nest may end there or be longer than it may.
#[test]
fn the_last_bytes_are_read_as_those_before_them() {
    for len in 0..=24 {
        compare(&tlv(3, &tlv(1048, &vec![b'a'; len])));
        compare(&tlv(3, &[tlv(1020, &[1, 2]), tlv(1048, &vec![b'a'; len])].concat()));
        for behind in 0..=4 {
            let nest = tlv(1059, &[tlv(1079, &[1, 2, 3]), tlv(1030, &vec![b'a'; len])].concat());
            compare(&tlv(3, &[nest, tlv(1020, &[1, 2]).repeat(behind)].concat()));
        }
    }
    for len in [400, 600, 900, 1_010, 1_020, 1_030] {
        let long = [tlv(1030, &vec![b'a'; len]), tlv(1079, &[1])].concat();
        compare(&tlv(3, &[tlv(1059, &long), tlv(1020, &[1])].concat()));
        compare(&tlv(3, &[tlv(1059, &tlv(1223, &long)), tlv(1020, &[1])].concat()));
    }
}

/// Why: a nest behind one of its own kind is entered from that one, and must be what it would be behind another: too long, over
/// the end of what is around it, without an end of its own, not allowed twice, of no table, the last of its level or document.
#[test]
fn nests_that_stand_one_behind_the_other_are_those_that_stand_apart() {
    let (price, name) = (tlv(1079, &[7]), |len: usize| tlv(1030, &vec![b'a'; len]));
    let item = tlv(1059, &[name(3), price.clone()].concat());
    // Long enough for the loop, so that the end is not all there is to them.
    let (before, behind) = (tlv(1048, &[b'a'; 30]), tlv(1009, &[b'a'; 30]));
    let vat = |inside: &[u8]| tlv(1119, inside);
    let seconds: Vec<Vec<u8>> = vec![
        item.clone(),
        tlv(1059, &[]),
        tlv(1059, &price),
        tlv(1059, &[1, 2, 3]),
        tlv(1059, &[price.clone(), vec![8, 4, 9, 0, 1]].concat()),
        tlv(1059, &[price.clone(), price.clone()].concat()),
        tlv(1059, &name(1020)),
        tlv(1059, &name(1021)),
        tlv(1059, &[tlv(1223, &price), tlv(1223, &price), tlv(1224, &price)].concat()),
        tlv(1084, &[tlv(1085, b"a"), tlv(1086, b"b")].concat()),
        tlv(1224, &price),
        // Its value is longer than what is left.
        vec![0x23, 4, 200, 0, 1],
        vec![0x23, 4, 0],
    ];
    for second in &seconds {
        for tail in [&[][..], &behind, &before, &item, &tlv(1209, &[4]), &tlv(1209, &[2])] {
            for head in [&[][..], &before] {
                let document = [head, &item, second, second, tail].concat();
                compare(&tlv(3, &document));
                // No table describes the first, and none puts items into the second.
                compare(&tlv(90, &document));
                compare(&tlv(3, &tlv(1115, &document)));
                compare(&tlv(3, &[&tlv(1115, &vat(&document).repeat(2))[..], &behind].concat()));
            }
        }
        // Two of which a document has one.
        let twice = [tlv(1084, second), tlv(1084, second), tlv(1084, &[]), behind.clone()].concat();
        compare(&tlv(3, &twice));
        compare(&tlv(3, &[vat(second), vat(second), behind.clone()].concat()));
        // One that was text once, behind one that closes.
        let sums = tlv(1115, &[vat(&price), vat(second), vat(&price)].concat());
        compare(&tlv(3, &[sums, behind.clone()].concat()));
    }
    // In one another, where a table has them so.
    let detail = |inside: &[u8]| tlv(1260, inside);
    for second in [tlv(1262, b"001"), Vec::new(), vec![1, 2, 3], detail(&price)] {
        let pair = [detail(&tlv(1262, b"002")), detail(&second), detail(&second)].concat();
        for (form, nest) in [(3, 1059), (82, 2007)] {
            compare(&tlv(form, &[tlv(nest, &pair), tlv(nest, &pair), behind.clone()].concat()));
        }
    }
    // Over the end of the nest around it, and not of the document.
    for over in 0..40 {
        let mut second = vat(&price);
        second[2] += over;
        let sums = tlv(1115, &[vat(&price), second].concat());
        compare(&tlv(3, &[sums, behind.clone(), price.clone()].concat()));
    }
}

/// Why: the version is told on a short way where it is the one that was expected, whatever stands around it.
#[test]
fn the_version_is_told_in_the_middle_and_at_the_end() {
    let (total, long) = (tlv(1020, &[5]), tlv(1048, &[b'a'; 30]));
    for code in 0..=5 {
        let version = tlv(1209, &[code]);
        for parts in [
            vec![&version],
            vec![&total, &version],
            vec![&long, &version],
            vec![&version, &long],
            vec![&long, &version, &long],
            vec![&long, &version, &version],
            vec![&version, &long, &version],
            vec![&version, &long, &version, &long],
        ] {
            let body: Vec<u8> = parts.into_iter().flatten().copied().collect();
            for form in [1, 3, 5, 7, 90] {
                compare(&tlv(form, &body));
                // In a nest, where no table has it.
                compare(&tlv(form, &[&tlv(1059, &body)[..], &long].concat()));
                compare(&tlv(form, &[&tlv(1059, &body)[..], &version].concat()));
            }
        }
    }
}

/// Why: beyond what a container holds the number of TLVs is limited by the view's own count.
#[test]
fn more_tags_than_are_allowed_are_refused() {
    for count in [8191_u16, 8192, 8193, 12_000] {
        let mut bytes = vec![3, 0];
        bytes.extend((count * 4).to_le_bytes());
        bytes.extend([0xE8, 3, 0, 0].repeat(usize::from(count)));
        let view = DocumentView::new_checked(&bytes).map(|_| ());
        assert_eq!(Validated::check(&bytes, FfdVersion::V1_2).map(|_| ()), view);
    }
}

/// Why: the rules judge real documents, and the walk must not find what a plain reading of the tables does not.
#[test]
fn real_documents_are_found_as_by_a_plain_reading() {
    let Some(wire) = facts("samples/receipts.wire") else { return };
    let mut count = 0;
    for piece in read_any(&wire) {
        compare(piece.unwrap().document().bytes());
        count += 1;
    }
    for line in facts_lines("samples/real_tlv.jsonl").unwrap() {
        compare(&unhex(line["tlv_hex"].as_str().or(line["hex"].as_str()).unwrap()));
        count += 1;
    }
    assert!(count > 200, "{count} documents");
}

/// TLVs of known and unknown numbers with lengths near the right ones, nests in nests.
fn level() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<(u16, u16)> = entries().iter().map(|entry| (entry.tag.0, entry.len_max.min(40))).collect();
    let leaf = (prop::sample::select(known), 0_u16..3, any::<u8>()).prop_map(|((tag, len), more, byte)| {
        let len = (len + more).saturating_sub(1);
        let value = [byte].repeat(usize::from(len));
        [&tag.to_le_bytes()[..], &len.to_le_bytes(), &value].concat()
    });
    let nests = prop::sample::select(vec![1059_u16, 1115, 1119, 1223, 1224, 1260, 1174, 1157, 1129]);
    leaf.prop_recursive(3, 40, 8, move |inner| {
        (nests.clone(), proptest::collection::vec(inner, 0..8), 0_usize..20).prop_map(|(tag, parts, cut)| {
            let mut inside = parts.concat();
            if cut == 0 {
                inside.pop();
            }
            let len = u16::try_from(inside.len()).unwrap();
            [&tag.to_le_bytes()[..], &len.to_le_bytes(), &inside].concat()
        })
    })
}

proptest! {
    /// Any pile of requisites in any form.
    #[test]
    fn any_pile_of_requisites_is_found_as_by_a_plain_reading(
        form in prop::sample::select(vec![1_u8, 2, 3, 4, 5, 6, 7, 9, 11, 21, 31, 41, 81, 82, 84]),
        parts in proptest::collection::vec(level(), 0..14),
    ) {
        let body = parts.concat();
        let bytes = [&[form, 0][..], &u16::try_from(body.len()).unwrap().to_le_bytes(), &body].concat();
        compare(&bytes);
    }
}
