//! What people read of a finding is Russian: the rules of the catalogue, and what each finding found and expected.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod common;

use std::path::Path;

use common::{facts_lines, forms, unhex};
use ofd_codec::rules::life::life_rules;
use ofd_codec::rules::rules;
use ofd_codec::{CheckContext, Cp866, Datum, DocumentView, FfdVersion, Frame, Tag, Tlv, check};

/// Words that the order itself writes in Latin letters: the answer of the permissive mode as it stands in tag 1265, and
/// what the order calls kinds of codes.
const OF_THE_ORDER: [&str; 7] = ["UUID", "Time", "QR", "EAN", "ITF", "GS", "GTIN"];

/// The Latin words of a text that have no business in it.
fn latin(text: &str) -> Vec<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    words
        .filter(|word| word.chars().filter(char::is_ascii_alphabetic).count() > 1)
        .filter(|word| {
            !OF_THE_ORDER.iter().any(|own| word.trim_end_matches(|it: char| it.is_ascii_digit()) == *own)
        })
        .collect()
}

/// Whether a requisite of the level or below says the text itself: then it is a quotation.
fn says(level: Tlv<'_>, text: &str) -> bool {
    level
        .map_while(Result::ok)
        .any(|(_, value)| Cp866(value.bytes()).to_cow().trim() == text.trim() || says(value.children(), text))
}

/// The texts of all findings of a document; gives how many there were.
fn look(bytes: &[u8], context: &CheckContext) -> usize {
    let view = DocumentView::new_checked(bytes).unwrap();
    let inside = || Tlv::new(bytes.get(4..).unwrap());
    let mut seen = 0;
    for finding in &check(&view, context) {
        for text in [&finding.actual, &finding.expected] {
            let Datum::Text(text) = text else { continue };
            seen += 1;
            let strange = latin(text);
            assert!(strange.is_empty() || says(inside(), text), "{}: {text}", finding.rule);
        }
    }
    seen
}

/// Why: a merchant reads why the document is wrong, in the language of the law.
#[test]
fn rules_speak_russian() {
    for rule in rules() {
        for text in [rule.explain_ru, rule.advice_ru] {
            assert!(latin(text).is_empty(), "{}: {:?} in {text}", rule.id, latin(text));
        }
    }
    for rule in life_rules() {
        for text in [rule.law_ru, rule.explain_ru, rule.advice_ru] {
            assert!(latin(text).is_empty(), "{}: {:?} in {text}", rule.key, latin(text));
        }
    }
}

/// Why: the figures of a finding stand in the same sentence. The sources of the rules hold no other texts than those that
/// the findings of damaged documents show: each value of each form is emptied, cut, repeated, set to other bytes.
#[test]
fn findings_speak_russian() {
    let mut seen = 0;
    for (version, form, _, plain) in forms::every_form() {
        let contexts = [CheckContext::new(version), {
            let mut it = CheckContext::new(version);
            (it.taxation_types, it.internet_only, it.marked_goods) = (Some(0x20), true, Some(false));
            it.kkt_number = Some(*b"00000000000000000001");
            it
        }];
        let body = plain.get(4..).unwrap();
        for (at, (tag, value)) in Tlv::new(body).map(Result::unwrap).enumerate() {
            let bytes = value.bytes();
            let cut = bytes.get(1..).unwrap_or_default();
            let other: Vec<u8> = bytes.iter().map(|byte| byte ^ 0x7F).collect();
            for change in [&[][..], cut, &other, &[bytes, bytes].concat(), &vec![0; bytes.len()]] {
                let edited = edit(body, at, |out| put(out, tag, change));
                let gone = edit(body, at, |_| ());
                let twice = edit(body, at, |out| {
                    put(out, tag, bytes);
                    put(out, tag, bytes);
                    put(out, Tag(1), &[1]);
                });
                for body in [edited, gone, twice] {
                    let mut bytes = vec![form.0, 0];
                    bytes.extend(u16::try_from(body.len()).unwrap().to_le_bytes());
                    bytes.extend(body);
                    if DocumentView::new_checked(&bytes).is_err() {
                        continue;
                    }
                    for context in &contexts {
                        seen += look(&bytes, context);
                    }
                }
            }
        }
    }
    assert!(seen > 10_000, "{seen}");
}

fn put(out: &mut Vec<u8>, tag: Tag, bytes: &[u8]) {
    out.extend(tag.0.to_le_bytes());
    out.extend(u16::try_from(bytes.len()).unwrap().to_le_bytes());
    out.extend(bytes);
}

/// The level with one requisite changed.
fn edit(level: &[u8], at: usize, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    let mut change = Some(change);
    for (index, (tag, value)) in Tlv::new(level).map(Result::unwrap).enumerate() {
        if index == at {
            change.take().unwrap()(&mut out);
        } else {
            put(&mut out, tag, value.bytes());
        }
    }
    out
}

/// Why: the texts are written in the sources of the rules, and a document that draws each of them out is more than a test
/// may hope for; so the sources are read as well.
#[test]
fn sources_of_the_rules_hold_no_words_but_russian_ones() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rules");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.ends_with("generated.rs") || path.ends_with("generated_life.rs") {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap();
        for line in
            source.lines().filter(|line| !line.trim_start().starts_with("//") && !line.contains("reason ="))
        {
            // Every second piece stands in quotation marks; bytes of the wire are none of a finding's words.
            for (before, text) in
                line.split('"').collect::<Vec<_>>().chunks(2).filter_map(|it| Some((it.first()?, it.get(1)?)))
            {
                if before.ends_with('b') {
                    continue;
                }
                seen += 1;
                let text: String =
                    text.split('{').map(|it| it.split_once('}').map_or(it, |(_, rest)| rest)).collect();
                assert!(latin(&text).is_empty(), "{}: {text}", path.display());
            }
        }
    }
    assert!(seen > 40, "{seen}");
}

/// Why: what real documents break is what merchants will read first.
#[test]
fn findings_over_real_documents_speak_russian() {
    let Some(messages) = facts_lines("samples/receipts.jsonl") else { return };
    let mut seen = 0;
    for row in &messages {
        let message = unhex(row["hex"].as_str().unwrap());
        let frame = Frame::new_checked(&message).unwrap();
        let body = frame.container().body();
        for version in FfdVersion::ALL {
            seen += look(body, &CheckContext::new(version));
        }
    }
    assert!(seen > 0);
}
