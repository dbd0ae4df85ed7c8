//! The dictionary: its own consistency, and row by row against the tables of facts it was typed from.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failing test may panic, and test tables are indexed by hand"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use ofd_codec::dictionary::{self, Carrier, Codes, Entry, Need};
use ofd_codec::{FfdVersion, Kind, Tag, tags};

/// Why: `lookup` and `meanings` cut the entries by a dense index, which must lose and mix nothing.
#[test]
fn every_number_finds_exactly_its_own_entries() {
    let mut found = 0;
    for number in 0..=u16::MAX {
        let meanings = dictionary::meanings(Tag(number));
        assert!(meanings.iter().all(|entry| entry.tag == Tag(number)), "{number}");
        found += meanings.len();
    }
    assert_eq!(found, dictionary::entries().len());
}

/// Why: the structural walk asks `is_stlv` of every tag, and an honest document must never fail by it.
#[test]
fn only_numbers_that_always_nest_are_nests() {
    for number in 0..=u16::MAX {
        let meanings = dictionary::meanings(Tag(number));
        let always = !meanings.is_empty() && meanings.iter().all(|entry| entry.kind == Kind::Stlv);
        assert_eq!(dictionary::is_stlv(Tag(number)), always, "{number}");
    }
    assert!(dictionary::is_stlv(tags::ITEM));
    assert!(!dictionary::is_stlv(tags::RECEIPT_VAT_SUMS), "text in 2017, a nest since 2025");
    assert!(!dictionary::is_stlv(tags::RECEIPT_VAT), "text in 2017, a nest since 2025");
}

/// Why: each reused number must be read by its place and its time.
#[test]
fn reused_numbers_are_told_apart_by_parent_and_version() {
    use FfdVersion::{V1_0, V1_2, V1_05};
    for (tag, parent, version, kind, json) in [
        (1011, 82, V1_2, Kind::Byte, None),
        (1082, 3, V1_0, Kind::Text, Some("bankSubagentPhone")),
        (1082, 1235, V1_2, Kind::Vln, Some("ecashSum")),
        (1115, 3, V1_0, Kind::Text, Some("addressToCheckFiscalSign")),
        (1115, 3, V1_05, Kind::Stlv, Some("amountsReceiptNds")),
        (1115, 31, V1_0, Kind::Stlv, Some("amountsReceiptNds")),
        (1119, 3, V1_05, Kind::Text, Some("operatorPhoneToReceive")),
        (1119, 1115, V1_2, Kind::Stlv, Some("amountsNds")),
        (1120, 1119, V1_2, Kind::Vln, Some("ndsSum")),
        (1125, 3, V1_2, Kind::Byte, Some("internetPayment")),
        (1213, 1, V1_2, Kind::U16, Some("fdKeyResource")),
        (1213, 21, V1_2, Kind::U16, Some("keyResource")),
        (1020, 3, V1_2, Kind::Vln, Some("totalSum")),
        (1201, 1129, V1_2, Kind::Vln, Some("totalSum")),
    ] {
        let entry = dictionary::lookup(Tag(tag), parent, version).unwrap();
        assert_eq!((entry.kind, entry.json_name), (kind, json), "{tag} in {parent}, {version}");
    }
    assert!(dictionary::lookup(Tag(1999), 3, V1_2).is_none());
    assert!(dictionary::lookup(Tag(3), 3, V1_2).is_none(), "forms are no requisites");
}

/// Why: JSON is read back by key and place; a key names several tags, and a tag had several keys.
#[test]
fn json_keys_name_the_tag_of_their_place() {
    for (key, parent, tag) in [
        ("totalSum", 3, 1020),
        ("totalSum", 1129, 1201),
        ("dateTime", 3, 1012),
        ("dateTime", 1270, 1273),
        ("ndsSum", 1059, 1200),
        ("ndsSum", 1119, 1120),
        ("ecashSum", 1235, 1082),
        ("ecashSum", 1129, 1138),
        ("taxationType", 3, 1055),
        ("taxationType", 1, 1062),
        ("correctionBase", 31, 1174),
        ("сorrectionBase", 31, 1174),
        ("receiptCount", 1194, 1134),
        ("receiptCount", 1129, 1135),
        ("key", 1084, 1085),
        ("appliedTaxationType", 3, 1055),
    ] {
        let entry = dictionary::by_json(key, parent, FfdVersion::V1_2).unwrap();
        assert_eq!(entry.tag, Tag(tag), "{key} in {parent}");
    }
    assert!(dictionary::by_json("noSuchKey", 3, FfdVersion::V1_2).is_none());
}

/// Why: a JSON object with one key twice can not be read back.
#[test]
fn no_table_gives_one_json_key_to_two_tags() {
    let parents: std::collections::BTreeSet<u16> =
        dictionary::entries().iter().flat_map(|entry| entry.parents.iter().copied()).collect();
    for version in FfdVersion::ALL {
        for &parent in &parents {
            let mut seen: BTreeMap<&str, Tag> = BTreeMap::new();
            let here = |entry: &&Entry| entry.parents.contains(&parent) && entry.covers(version);
            for entry in dictionary::entries().iter().filter(here) {
                if let Some(name) = entry.json_name {
                    let other = seen.insert(name, entry.tag);
                    assert!(
                        other.is_none_or(|other| other == entry.tag),
                        "{name} in {parent}: {other:?} {}",
                        entry.tag
                    );
                }
            }
        }
    }
}

/// Why: the contract names these keys.
#[test]
fn keys_of_the_contract_stand() {
    let key = |tag| dictionary::json_name(tag, 3, FfdVersion::V1_2);
    assert_eq!(key(tags::APPLIED_TAXATION_TYPE), Some("appliedTaxationType"));
    assert_eq!(key(tags::OPERATOR_SIGN), None);
}

/// Why: rules B1-B3 are silent where no table is, so that a form without one would never be checked.
#[test]
fn every_form_has_a_table_in_every_version_that_knows_it() {
    for version in FfdVersion::ALL {
        for form in [1, 2, 3, 4, 5, 6, 7, 11, 21, 31, 41] {
            assert!(
                dictionary::table(version, form, 0).is_some_and(|rows| rows.len() > 5),
                "{form} of {version}"
            );
        }
        // The marking exchange began with 1.2.
        for form in 81..=84 {
            assert_eq!(
                dictionary::table(version, form, 0).is_some(),
                version == FfdVersion::V1_2,
                "{form} of {version}"
            );
        }
    }
    assert!(dictionary::table(FfdVersion::V1_2, 99, 0).is_none());
    assert!(dictionary::table(FfdVersion::V1_2, 3, 1020).is_none());
    // The rates of 2025 and 2026 have their place in every version that is in use.
    for version in [FfdVersion::V1_05, FfdVersion::V1_1, FfdVersion::V1_2] {
        for form in [3, 4, 31, 41] {
            // Corrections of 1.05 have no items, and no public table gives them 1115.
            let known = version != FfdVersion::V1_05 || form < 31;
            for (parent, tag) in [(0, 1115), (1115, 1119), (1119, 1199), (1119, 1120)] {
                let row = dictionary::requirement(version, form, parent, Tag(tag));
                assert_eq!(row.is_some(), known, "{tag} in {parent} of {form}, {version}");
            }
        }
    }
}

/// Why: the table is looked up by an index that `dictgen` makes: it must find each row, and only where it stands.
#[test]
fn the_index_of_a_table_finds_every_row_and_no_other() {
    for version in FfdVersion::ALL {
        for (form, parent) in [(3, 0), (3, 1059), (5, 1157), (1, 0), (82, 2007)] {
            let Some(rows) = dictionary::table(version, form, parent) else { continue };
            for number in 990..2300 {
                let found = dictionary::requirement(version, form, parent, Tag(number));
                let searched = rows.iter().find(|row| row.tag == Tag(number));
                assert_eq!(found, searched, "{number} in {parent} of {form}, {version}");
            }
        }
    }
}

/// Why: a list of bits allows sums, a list of numbers does not.
#[test]
fn lists_of_values_allow_what_they_say() {
    let taxation = dictionary::value_list("taxation-type").unwrap();
    assert!(taxation.allows(1 | 32) && taxation.allows(0) && !taxation.allows(64));
    let direction = dictionary::value_list("payment-direction").unwrap();
    assert!(direction.allows(4) && !direction.allows(0) && !direction.allows(5));
    assert_eq!(direction.meaning(2), Some("возврат прихода"));
    let bodies = dictionary::value_list("federal-body").unwrap();
    assert!(bodies.allows_text(b"030") && !bodies.allows_text(b"30") && !bodies.allows_text(b"099"));
}

/// The folder of facts, if the environment names one.
fn facts() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("OFD_FACTS") else {
        eprintln!("skipped: OFD_FACTS is not set");
        return None;
    };
    Some(folder.into())
}

/// Rows of a CSV with a header, quotes and doubled quotes, by column name.
fn csv(name: &str) -> Option<Vec<BTreeMap<String, String>>> {
    let path = facts()?.join("ffd").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => cell.push(letters.next().unwrap()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            other => cell.push(other),
        }
    }
    let head = rows.remove(0);
    Some(rows.into_iter().map(|row| head.iter().cloned().zip(row).collect()).collect())
}

fn version(name: &str) -> FfdVersion {
    FfdVersion::ALL.into_iter().find(|version| version.as_str() == name).unwrap()
}

/// Where ffd.toml says something else than the row of tags.csv, and why.
const DIFFERENCES: &[(u16, &str)] = &[
    (1078, "length: one source says 16, the other 18, without the usual mark in the notes"),
    (1213, "key: the form 21 has `keyResource`, which tags.csv tells in its notes only"),
];

/// Why: the table is typed by hand from now on; a slip in a type, a length or a key must show.
#[test]
fn the_dictionary_agrees_with_the_facts_row_by_row() {
    let Some(rows) = csv("tags.csv") else { return };
    assert!(rows.len() > 280, "{} rows", rows.len());
    for row in &rows {
        let number: u16 = row["tag"].parse().unwrap();
        let kind = match row["type"].as_str() {
            "byte" => Kind::Byte,
            "u16" => Kind::U16,
            "u32" => Kind::U32,
            "vln" => Kind::Vln,
            "fvln" => Kind::Fvln,
            "unixtime" => Kind::UnixTime,
            "string" => Kind::Text,
            "bits" => Kind::Bits,
            "stlv" => Kind::Stlv,
            "bytes" => Kind::Bytes,
            other => panic!("type {other} of {number}"),
        };
        let json = Some(row["json_name"].as_str()).filter(|name| !name.is_empty());
        let own = row["max_len"].parse::<u16>().ok();
        let other = row["notes"].split("yandex/ofd max_len ").nth(1);
        let other = other.map(|rest| rest.split(';').next().unwrap().parse().unwrap());
        // The larger of two sources is the limit.
        let len = own.max(other).unwrap_or(Entry::NO_LIMIT);
        let parents: Vec<u16> = row["parents"].split(';').filter_map(|parent| parent.parse().ok()).collect();

        let differs = DIFFERENCES.iter().any(|(tag, _)| *tag == number);
        let entry = dictionary::meanings(Tag(number))
            .iter()
            .find(|entry| entry.kind == kind && entry.json_name == json)
            .unwrap_or_else(|| panic!("{number} {kind:?} {json:?} is not in the dictionary"));
        assert!(differs || entry.len_max == len, "{number}: {} is not {len}", entry.len_max);
        assert_eq!(entry.fixed, row["fixed_len(yes/no)"] == "yes", "{number} fixed");
        assert_eq!(entry.repeatable, row["repeatable(yes/no)"] == "yes", "{number} repeats");
        assert!(differs || entry.parents == parents, "{number}: {:?} is not {parents:?}", entry.parents);
        assert_eq!(entry.since, version(&row["since"]), "{number} since");
        assert_eq!(entry.until.map(FfdVersion::as_str).unwrap_or_default(), row["until"], "{number} until");
        assert_eq!(entry.name_ru.to_lowercase(), row["name_ru"].to_lowercase(), "{number} name");
    }
    // 1213 is one row there and two here.
    assert_eq!(rows.len() + 1, dictionary::entries().len());
}

/// Why: rules B1-B3 stand on these tables alone.
#[test]
fn the_tables_of_documents_agree_with_the_facts_row_by_row() {
    let Some(rows) = csv("structure.csv") else { return };
    let mut counted = 0;
    for row in rows.iter().filter(|row| row["tag"] != "-") {
        let tag = Tag(row["tag"].parse().unwrap());
        let parent = row["parent"].parse().unwrap_or(0);
        let form = row["doc_code"].parse().unwrap();
        let place = format!("{} form {form} parent {parent} tag {tag}", row["ffd_version"]);
        let found = dictionary::requirement(version(&row["ffd_version"]), form, parent, tag);
        let found = found.unwrap_or_else(|| panic!("{place} is missing"));
        let need = match row["required"].as_str() {
            "1" | "yes" => Need::Must,
            "2" | "conditional" => Need::Conditional,
            _ => Need::Optional,
        };
        let notes = &row["notes"];
        let carrier = match () {
            () if notes.contains("форма ПЭ") || notes.contains("форма Э") => Carrier::Wire,
            () if notes.contains("форма П") => Carrier::Paper,
            () => Carrier::Unstated,
        };
        assert_eq!((found.need, found.carrier), (need, carrier), "{place}");
        assert_eq!(found.repeats, row["cardinality"].ends_with('*'), "{place}");
        counted += 1;
    }
    assert!(counted > 2900, "{counted} rows");
    let ours: usize = FfdVersion::ALL
        .into_iter()
        .flat_map(|version| (0..=u8::MAX).map(move |form| (version, form)))
        .flat_map(|(version, form)| {
            (0..2200).filter_map(move |parent| dictionary::table(version, form, parent))
        })
        .map(<[_]>::len)
        .sum();
    assert_eq!(ours, counted, "the tables hold no row that the facts do not");
}

/// Why: rule B4 measures by these lists.
#[test]
fn the_lists_of_values_agree_with_the_facts_row_by_row() {
    let Some(rows) = csv("enums.csv") else { return };
    let mut compared = 0;
    for row in &rows {
        // `name(1054,1055) bits`: the tags in brackets; lists of wire constants name none.
        let Some((_, rest)) = row["enum"].split_once('(') else { continue };
        let Some((holders, _)) = rest.split_once(')') else { continue };
        let holders: Result<Vec<u16>, _> = holders.split(',').map(str::parse).collect();
        let Ok(holders) = holders else { continue };
        if row["enum"].contains("combinations") {
            continue;
        }
        for holder in holders {
            let entries = dictionary::meanings(Tag(holder));
            let list = entries
                .iter()
                .find_map(|entry| entry.values)
                .unwrap_or_else(|| panic!("{holder} has no list"));
            let code = &row["code"];
            let known = match (list.codes, code.strip_prefix("0x")) {
                (Codes::Text, _) => list.allows_text(code.as_bytes()),
                (_, Some(hex)) => list.meaning(u32::from_str_radix(hex, 16).unwrap()).is_some(),
                (_, None) => list.meaning(code.parse().unwrap()).is_some(),
            };
            assert!(known, "{} {code}", row["enum"]);
            compared += 1;
        }
    }
    assert!(compared > 250, "{compared} values");
}
