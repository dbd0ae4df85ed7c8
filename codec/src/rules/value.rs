//! B4: a value has the length of its type and is one of those its list allows.

use alloc::format;
use alloc::string::String;

use super::walk::Place;
use super::{Datum, RuleId, Violations};
use crate::dictionary::{Codes, Entry, Kind, Meaning, ValueList, is_stlv};

/// Length first: a value of the wrong length has no code to look at.
pub(super) fn b4(place: &Place<'_>, out: &mut Violations) {
    let Some(entry) = place.entry else { return };
    let bytes = place.value.bytes();
    if !entry.fits(bytes.len()) {
        let actual = Datum::Number(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        out.push(place.finding(RuleId::B4, actual, wanted(entry, bytes)));
        return;
    }
    // The structural walk has seen to it for every number that is always a nest.
    if entry.kind == Kind::Stlv && !is_stlv(place.tag) && place.value.children().any(|child| child.is_err()) {
        out.push(place.finding(
            RuleId::B4,
            Datum::word("длины внутри не сходятся"),
            Datum::word("вложенные реквизиты"),
        ));
    }
    if let Some(list) = entry.values.filter(|list| list.strict)
        && let Some(actual) = foreign(list, entry.kind, bytes)
    {
        out.push(place.finding(RuleId::B4, actual, known(list)));
    }
}

/// The length that should have been.
#[cold]
fn wanted(entry: &Entry, bytes: &[u8]) -> Datum {
    if entry.fixed || bytes.is_empty() {
        Datum::Number(entry.len_max.into())
    } else {
        Datum::quote(format!("не более {} байт", entry.len_max))
    }
}

/// The codes that the list has, runs of them by their ends: `одно из: 1–6, 10`, `биты: 0–5`.
#[cold]
fn known(list: &ValueList) -> Datum {
    let label = |meaning: &Meaning| match list.codes {
        Codes::Number => format!("{}", meaning.code),
        Codes::Bits => format!("{}", meaning.code.trailing_zeros()),
        Codes::Text => String::from(meaning.label),
    };
    let place = |meaning: &Meaning| match list.codes {
        Codes::Bits => meaning.code.trailing_zeros(),
        Codes::Number | Codes::Text => meaning.code,
    };
    let mut text = String::from(if list.codes == Codes::Bits { "биты: " } else { "одно из: " });
    let runs = list.values.chunk_by(|a, b| place(a).checked_add(1) == Some(place(b)));
    for (index, run) in runs.enumerate() {
        text.push_str(if index > 0 { ", " } else { "" });
        match run {
            [first, .., last] => text.push_str(&format!("{}–{}", label(first), label(last))),
            [only] => text.push_str(&label(only)),
            [] => {}
        }
    }
    Datum::quote(text)
}

/// The value, if its list does not know it.
fn foreign(list: &ValueList, kind: Kind, bytes: &[u8]) -> Option<Datum> {
    if list.codes == Codes::Text {
        let text = bytes.trim_ascii_end();
        return (!list.allows_text(text)).then(|| Datum::quote(String::from_utf8_lossy(text)));
    }
    if !matches!(kind, Kind::Byte | Kind::Bits | Kind::U32) || bytes.is_empty() || bytes.len() > 4 {
        return None;
    }
    let number = bytes.iter().rev().fold(0u32, |number, &byte| number << 8 | u32::from(byte));
    (!list.allows(number)).then_some(Datum::Number(u64::from(number)))
}
