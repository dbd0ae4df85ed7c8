//! The ФНС JSON face of a document: `{"receipt":{…}}`, written straight into a `String`.
//!
//! Rules, for any document whose structure holds, whatever its values are:
//! - The outer key is that of the form, `"form81"` where there is none. The first key inside is the form code, under
//!   `receiptCode` or `bsoCode` for these two forms up to version 1.05 and under `code` everywhere else.
//! - Keys are those of the dictionary for (tag, parent, version), in the order in which the tags first occur.
//! - A tag that has no key, that is unknown, or whose value is not what its type allows: `"t1078":"<hex>"`.
//! - A tag in a place where no table puts it is called by its likeliest name, unless another tag of the same level
//!   has a better claim to the same key; then it is `"t1201":"<hex>"` too. So no object has a key twice.
//! - Money is integer kopecks; a decimal is its exact literal with the zeros of the wire (`1.000`); flags, masks and
//!   codes are integers; times are integer seconds of the register's clock; text is trimmed of the spaces at its end
//!   where its width is fixed and untouched otherwise; bytes are lower-case hex; 1077 is the printed number.
//! - Arrays: a repeatable structure (`items`, `amountsNds`, …), a repeatable phone and the reasons of 1101 are always
//!   arrays, also when there is one; `properties` (1084) is one in version 1.0, where the schema has it so. Any other
//!   tag is a bare value when it occurs once and an array when it occurs more often.
//! - 1000, the name of the document, exists on paper only and is dropped, as operators do.
//! - Caller's additions come last: `messageFiscalSign` as an integer of 64 bits, `rawData` in base64.
//!
//! Output is valid JSON for any bytes: text is decoded from CP866 and escaped. Nothing is parsed or rounded through
//! floats. Cost: O(n log n) of the tags of a level.
//! Source: exchange protocol operator - ФНС, version 13 of 1.2 and that of 1.05; the shapes of public exports.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::dictionary::{Entry, Kind, lookup};
use crate::document::{DEPTH_MAX, DocumentView, Form};
use crate::{DecodeError, FfdVersion, Tag, Tlv, Value, tags};

/// What the caller knows beyond the document.
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonOptions<'a> {
    /// The first eight bytes of the trailer, for `messageFiscalSign`.
    pub message_sign: Option<[u8; 8]>,
    /// Bytes for `rawData`.
    pub raw: Option<&'a [u8]>,
}

/// Writes one document without a line end.
///
/// ```
/// # use ofd_codec::{DocumentView, FfdVersion, write_document};
/// let view = DocumentView::new_checked(&[2, 0, 8, 0, 0x0E, 0x04, 4, 0, 7, 0, 0, 0])?; // opening of shift 7
/// let mut json = String::new();
/// write_document(&view, FfdVersion::V1_2, &mut json);
/// assert_eq!(json, r#"{"openShift":{"code":2,"shiftNumber":7}}"#);
/// # Ok::<(), ofd_codec::DecodeError>(())
/// ```
pub fn write_document(view: &DocumentView<'_>, version: FfdVersion, out: &mut String) {
    write_document_with(view, version, &JsonOptions::default(), out);
}

/// As [`write_document`], with what the caller adds.
pub fn write_document_with(
    view: &DocumentView<'_>,
    version: FfdVersion,
    options: &JsonOptions<'_>,
    out: &mut String,
) {
    let form = view.form();
    let mut writer = Writer { out, version, fields: Vec::with_capacity(64) };
    writer.put(format_args!("{{\"{form}\":{{\"{}\":{}", code_key(form, version), form.0));
    writer.level(view.tags().map(|(_, value)| value), u16::from(form.0), 1, true);
    if let Some(sign) = options.message_sign {
        writer.put(format_args!(",\"messageFiscalSign\":{}", u64::from_be_bytes(sign)));
    }
    if let Some(raw) = options.raw {
        writer.out.push_str(",\"rawData\":\"");
        write_base64(raw, writer.out);
        writer.out.push('"');
    }
    writer.out.push_str("}}");
}

fn code_key(form: Form, version: FfdVersion) -> &'static str {
    match form {
        Form::RECEIPT if version <= FfdVersion::V1_05 => "receiptCode",
        Form::BSO if version <= FfdVersion::V1_05 => "bsoCode",
        _ => "code",
    }
}

/// Whether a tag is an array even when it occurs once.
fn is_array(entry: &Entry, version: FfdVersion) -> bool {
    match entry.tag {
        tags::USER_PROPERTY => version == FfdVersion::V1_0,
        tags::REREGISTRATION_REASON => true,
        _ if !entry.repeatable => false,
        _ => {
            entry.kind == Kind::Stlv
                || (entry.kind == Kind::Text && entry.json_name.is_some_and(|name| name.ends_with("Phone")))
        }
    }
}

/// One TLV of a level, with the place of the first one that has the same tag: sorting by it brings repeats together
/// and keeps the order of first occurrence.
#[derive(Clone, Copy)]
struct Field<'a> {
    value: Value<'a>,
    first: u32,
    index: u32,
}

/// Watches whether a level has all repeats of a tag side by side.
#[derive(Default)]
struct Order {
    /// The last tag, and where its run began.
    run: Option<(Tag, u32)>,
    /// A bit for each tag that has been met, by the lowest bits of its number. Two tags may share one: then the
    /// level is sorted without need.
    met: [u64; 8],
    /// A tag has perhaps come back behind another one.
    scattered: bool,
}

impl Order {
    /// Where the run of this tag began, which is its first place as long as nothing is scattered.
    fn first(&mut self, tag: Tag, index: u32) -> u32 {
        if let Some((_, first)) = self.run.filter(|(last, _)| *last == tag) {
            return first;
        }
        self.run = Some((tag, index));
        let bit = 1 << (tag.0 % 64);
        if let Some(word) = self.met.get_mut(usize::from(tag.0 / 64 % 8)) {
            self.scattered |= *word & bit != 0;
            *word |= bit;
        }
        index
    }
}

struct Writer<'o, 'a> {
    out: &'o mut String,
    version: FfdVersion,
    /// Used as a stack: each level of nesting puts its fields on top and takes them off again.
    fields: Vec<Field<'a>>,
}

impl<'a> Writer<'_, 'a> {
    fn put(&mut self, arguments: core::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.out.write_fmt(arguments);
    }

    /// Writes the members of an object; `comma` says whether some stand before them.
    fn level(&mut self, values: impl Iterator<Item = Value<'a>>, parent: u16, depth: usize, mut comma: bool) {
        let base = self.fields.len();
        let mut order = Order::default();
        for (index, value) in (0_u32..).zip(values) {
            let first = order.first(value.tag(), index);
            self.fields.push(Field { value, first, index });
        }
        // Nearly every level has the repeats of a tag side by side; the others are sorted.
        if let Some(level) = self.fields.get_mut(base..).filter(|_| order.scattered) {
            level.sort_unstable_by_key(|field| (field.value.tag(), field.index));
            let mut group: Option<(Tag, u32)> = None;
            for field in level.iter_mut() {
                match group {
                    Some((tag, first)) if tag == field.value.tag() => field.first = first,
                    _ => group = Some((field.value.tag(), field.index)),
                }
            }
            level.sort_unstable_by_key(|field| (field.first, field.index));
        }
        let end = self.fields.len();
        let mut start = base;
        while let Some(field) = self.fields.get(start).copied().filter(|_| start < end) {
            let same = |other: &&Field<'_>| other.first == field.first;
            let count = self.fields.get(start..end).unwrap_or_default().iter().take_while(same).count();
            let next = start.saturating_add(count.max(1));
            if field.value.tag() != tags::DOCUMENT_NAME {
                if comma {
                    self.out.push(',');
                }
                comma = true;
                self.member(field.value.tag(), base..end, start..next, parent, depth);
            }
            start = next;
        }
        self.fields.truncate(base);
    }

    /// Writes one member: all values of one tag of a level.
    fn member(
        &mut self,
        tag: Tag,
        level: core::ops::Range<usize>,
        group: core::ops::Range<usize>,
        parent: u16,
        depth: usize,
    ) {
        let named = lookup(tag, parent, self.version)
            .and_then(|entry| entry.json_name.map(|name| (entry, name)))
            .filter(|(entry, name)| self.owns_key(entry, name, level, parent))
            .filter(|(entry, _)| {
                self.fields
                    .get(group.clone())
                    .unwrap_or_default()
                    .iter()
                    .all(|field| readable(entry, field.value, depth))
            });
        match named {
            Some((_, name)) => {
                self.out.push('"');
                self.out.push_str(name);
                self.out.push_str("\":");
            }
            None => {
                self.out.push_str("\"t");
                self.number(u64::from(tag.0));
                self.out.push_str("\":");
            }
        }
        let array = group.len() > 1 || named.is_some_and(|(entry, _)| is_array(entry, self.version));
        if array {
            self.out.push('[');
        }
        let start = group.start;
        for place in group {
            let Some(field) = self.fields.get(place).copied() else { continue };
            if place > start {
                self.out.push(',');
            }
            match named {
                Some((entry, _)) => self.value(entry, field.value, depth),
                None => self.hex(field.value.bytes()),
            }
        }
        if array {
            self.out.push(']');
        }
    }

    /// Whether no other tag of the level has a better claim to the key. The tables never give one key to two tags of
    /// one parent (a test holds that), so only a tag out of its place has to look around.
    fn owns_key(&self, entry: &Entry, name: &str, level: core::ops::Range<usize>, parent: u16) -> bool {
        if entry.parents.contains(&parent) {
            return true;
        }
        let mut met_self = false;
        self.fields.get(level).unwrap_or_default().iter().all(|field| {
            if field.value.tag() == entry.tag {
                met_self = true;
                return true;
            }
            if field.first != field.index {
                return true;
            }
            match lookup(field.value.tag(), parent, self.version) {
                Some(other) if other.json_name == Some(name) => met_self && !other.parents.contains(&parent),
                _ => true,
            }
        })
    }

    /// Writes a value that [`readable`] has found good.
    fn value(&mut self, entry: &Entry, value: Value<'a>, depth: usize) {
        match entry.kind {
            Kind::Stlv => {
                self.out.push('{');
                let children = value.children().map_while(Result::ok).map(|(_, value)| value);
                self.level(children, entry.tag.0, depth.saturating_add(1), false);
                self.out.push('}');
            }
            Kind::Text if entry.fixed => self.text(value.text().trimmed()),
            Kind::Text => self.text(value.text()),
            Kind::Fvln => {
                if let Ok(quantity) = value.fvln() {
                    self.put(format_args!("{quantity}"));
                }
            }
            Kind::Bytes if entry.tag == tags::FISCAL_SIGN => {
                if let Ok(sign) = value.fiscal_sign() {
                    self.number(u64::from(sign.printed()));
                }
            }
            Kind::Bytes => self.hex(value.bytes()),
            Kind::Byte | Kind::U16 | Kind::U32 | Kind::Vln | Kind::UnixTime | Kind::Bits => {
                if let Ok(number) = integer(entry.kind, value) {
                    self.number(number);
                }
            }
        }
    }

    /// Writes an integer. Half of a receipt is integers, and the formatter of the standard library costs five times
    /// as much as their digits.
    fn number(&mut self, number: u64) {
        const DIGITS_MAX: usize = 20;
        let mut digits = [b'0'; DIGITS_MAX];
        let (mut rest, mut start) = (number, DIGITS_MAX);
        for place in digits.iter_mut().rev() {
            *place = b'0' | u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
            start = start.saturating_sub(1);
            if rest == 0 {
                break;
            }
        }
        let text = digits.get(start..).and_then(|digits| core::str::from_utf8(digits).ok());
        self.out.push_str(text.unwrap_or_default());
    }

    fn text(&mut self, text: crate::Cp866<'_>) {
        self.out.push('"');
        match text.0.is_ascii().then(|| core::str::from_utf8(text.0)) {
            Some(Ok(plain)) => escape(plain, self.out),
            _ => text.for_each_piece(|piece| escape(piece, self.out)),
        }
        self.out.push('"');
    }

    fn hex(&mut self, bytes: &[u8]) {
        self.out.push('"');
        for byte in bytes {
            for nibble in [byte >> 4, byte & 0x0F] {
                self.out.push(char::from_digit(u32::from(nibble), 16).unwrap_or_default());
            }
        }
        self.out.push('"');
    }
}

/// Whether a value is what its type allows.
fn readable(entry: &Entry, value: Value<'_>, depth: usize) -> bool {
    match entry.kind {
        // The view has checked nearly all structures; those whose number was text before are checked here.
        Kind::Stlv => depth < DEPTH_MAX && closes(value.children()),
        Kind::Text => true,
        Kind::Bytes => entry.tag != tags::FISCAL_SIGN || value.fiscal_sign().is_ok(),
        Kind::Fvln => value.fvln().is_ok(),
        Kind::Byte | Kind::U16 | Kind::U32 | Kind::Vln | Kind::UnixTime | Kind::Bits => {
            integer(entry.kind, value).is_ok()
        }
    }
}

fn closes(mut level: Tlv<'_>) -> bool {
    level.all(|item| item.is_ok())
}

fn integer(kind: Kind, value: Value<'_>) -> Result<u64, DecodeError> {
    match kind {
        Kind::Byte => value.u8().map(u64::from),
        Kind::U16 => value.u16().map(u64::from),
        Kind::Bits => value.bits().map(u64::from),
        Kind::U32 | Kind::UnixTime => value.u32().map(u64::from),
        Kind::Vln | Kind::Fvln | Kind::Text | Kind::Stlv | Kind::Bytes => value.vln(),
    }
}

/// Appends text as the inside of a JSON string.
fn escape(text: &str, out: &mut String) {
    let mut rest = text;
    // By bytes: none of a longer character is among them.
    while let Some(at) = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\' | 0..b' ' | 0x7F)) {
        let (clean, tail) = rest.split_at(at);
        out.push_str(clean);
        let mut tail = tail.chars();
        match tail.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(control) => {
                let _ = write!(out, "\\u{:04x}", u32::from(control));
            }
            None => {}
        }
        rest = tail.as_str();
    }
    out.push_str(rest);
}

/// Appends base64 with the standard alphabet and padding.
fn write_base64(bytes: &[u8], out: &mut String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| {
        let index = usize::try_from(bits & 0x3F).unwrap_or_default();
        ALPHABET.get(index).map_or('=', |&byte| char::from(byte))
    };
    for chunk in bytes.chunks(3) {
        let mut group = [0_u8; 3];
        for (place, byte) in group.iter_mut().zip(chunk) {
            *place = *byte;
        }
        let [a, b, c] = group;
        let bits = u32::from_be_bytes([0, a, b, c]);
        out.push(digit(bits >> 18));
        out.push(digit(bits >> 12));
        out.push(if chunk.len() > 1 { digit(bits >> 6) } else { '=' });
        out.push(if chunk.len() > 2 { digit(bits) } else { '=' });
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::TlvWriter;
    use crate::dictionary::entries;

    /// Writes one document and gives what stands after the code.
    fn json(form: Form, version: FfdVersion, fill: impl FnOnce(&mut TlvWriter<'_>)) -> String {
        let mut bytes = Vec::new();
        TlvWriter::new(&mut bytes)
            .document(form, |w| {
                fill(w);
                Ok(())
            })
            .unwrap();
        let mut out = String::new();
        write_document(&DocumentView::new_checked(&bytes).unwrap(), version, &mut out);
        let (_, rest) = out.split_once(',').unwrap();
        rest.strip_suffix("}}").unwrap().to_owned()
    }

    /// `owns_key` looks at neighbours only for tags out of their place, because of this.
    #[test]
    fn tables_never_give_one_key_to_two_tags_of_one_parent() {
        for version in FfdVersion::ALL {
            for one in entries().iter().filter(|entry| entry.json_name.is_some()) {
                for &parent in one.parents {
                    let twins = entries().iter().filter(|two| {
                        let meant = lookup(two.tag, parent, version);
                        two.tag != one.tag
                            && two.json_name == one.json_name
                            && two.parents.contains(&parent)
                            && meant.is_some_and(|meant| core::ptr::eq(meant, *two))
                    });
                    assert_eq!(twins.count(), 0, "{} under {parent} in {version}", one.tag);
                }
            }
        }
    }

    /// Keys that are written without a tag are free.
    #[test]
    fn no_tag_has_a_key_of_ours() {
        for own in ["code", "receiptCode", "bsoCode", "messageFiscalSign", "rawData"] {
            assert!(entries().iter().all(|entry| entry.json_name != Some(own)), "{own}");
        }
    }

    /// The tag that a table puts here has the key, whichever comes first; of strangers the first one has it.
    #[test]
    fn a_key_goes_to_the_tag_with_the_better_claim() {
        let totals = |first: u16, second: u16| {
            json(Form::RECEIPT, FfdVersion::V1_2, |w| {
                w.vln(Tag(first), 1);
                w.vln(Tag(second), 2);
            })
        };
        assert_eq!(totals(1020, 1201), r#""totalSum":1,"t1201":"02""#);
        assert_eq!(totals(1201, 1020), r#""t1201":"01","totalSum":2"#);
        // Neither the VAT of an item nor that of a rate stands in a receipt itself.
        assert_eq!(totals(1200, 1120), r#""ndsSum":1,"t1120":"02""#);
        assert_eq!(totals(1120, 1200), r#""ndsSum":1,"t1200":"02""#);
    }

    /// Repeats come together at the place of the first; what is repeatable by the tables is always an array.
    #[test]
    fn repeats_become_arrays() {
        let texts = |values: &[(u16, &str)]| {
            json(Form::RECEIPT, FfdVersion::V1_2, |w| {
                for (tag, text) in values {
                    w.text(Tag(*tag), text).unwrap();
                }
            })
        };
        assert_eq!(texts(&[(1073, "1")]), r#""paymentAgentPhone":["1"]"#);
        assert_eq!(
            texts(&[(1073, "1"), (1048, "x"), (1073, "2")]),
            r#""paymentAgentPhone":["1","2"],"user":"x""#
        );
        assert_eq!(texts(&[(1048, "x"), (1048, "y")]), r#""user":["x","y"]"#);
        assert_eq!(texts(&[(7000, "x"), (7000, "y")]), r#""t7000":["78","79"]"#);
    }

    /// One unreadable value among repeats turns all of them to hex: an array has one kind of element.
    #[test]
    fn unreadable_values_are_hex() {
        let shown = json(Form::RECEIPT, FfdVersion::V1_2, |w| {
            w.bytes(Tag(1020), &[1; 9]).unwrap();
            w.u8(Tag(1054), 1);
            w.bytes(Tag(1054), &[1, 2]).unwrap();
            w.bytes(Tag(1077), &[1, 2, 3]).unwrap();
            w.bytes(Tag(1023), &[]).unwrap();
        });
        assert_eq!(
            shown,
            r#""t1020":"010101010101010101","t1054":["01","0102"],"t1077":"010203","t1023":"""#
        );
    }

    /// Padding goes where the width is fixed and stays where it is not; 1000 goes altogether.
    #[test]
    fn fixed_width_text_is_trimmed() {
        let shown = json(Form::RECEIPT, FfdVersion::V1_2, |w| {
            w.text(Tag(1000), "КАССОВЫЙ ЧЕК").unwrap();
            w.text(Tag(1018), "7701234560  ").unwrap();
            w.text(Tag(1048), "x  ").unwrap();
        });
        assert_eq!(shown, r#""userInn":"7701234560","user":"x  ""#);
    }

    /// Form codes have the key that the schema of the version gives them.
    #[test]
    fn form_code_has_the_key_of_the_version() {
        assert_eq!(code_key(Form::RECEIPT, FfdVersion::V1_05), "receiptCode");
        assert_eq!(code_key(Form::BSO, FfdVersion::V1_0), "bsoCode");
        assert_eq!(code_key(Form::RECEIPT, FfdVersion::V1_1), "code");
        assert_eq!(code_key(Form::OPEN_SHIFT, FfdVersion::V1_0), "code");
    }

    /// Base64 of every remainder.
    #[test]
    fn base64_pads() {
        for (bytes, expected) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"\xFF\xFE\xFD\xFB", "//79+w=="),
        ] {
            let mut out = String::new();
            write_base64(bytes, &mut out);
            assert_eq!(out, expected);
        }
    }

    /// A document of bytes.
    fn json_of(tlv: &[u8]) -> String {
        let mut out = String::new();
        write_document(&DocumentView::new_checked(tlv).unwrap(), FfdVersion::V1_2, &mut out);
        out
    }

    /// Levels without scattered repeats are not sorted: this one must be.
    #[test]
    fn a_tag_that_comes_back_behind_another_one_joins_its_first_place() {
        let tlv = [2, 0, 18, 0, 0x20, 3, 1, 0, 0xAA, 0x0E, 4, 4, 0, 7, 0, 0, 0, 0x20, 3, 1, 0, 0xBB];
        assert_eq!(json_of(&tlv), r#"{"openShift":{"code":2,"t800":["aa","bb"],"shiftNumber":7}}"#);
    }

    /// 800 and 1312 share a bit of the watch: sorted without need, told apart all the same.
    #[test]
    fn tags_that_share_a_bit_stay_in_their_order() {
        let tlv = [2, 0, 10, 0, 0x20, 5, 1, 0, 0xAA, 0x20, 3, 1, 0, 0xBB];
        assert_eq!(json_of(&tlv), r#"{"openShift":{"code":2,"t1312":"aa","t800":"bb"}}"#);
    }

    #[test]
    fn integers_are_written_whole_from_zero_to_the_largest() {
        let mut out = String::new();
        let mut writer = Writer { out: &mut out, version: FfdVersion::V1_2, fields: Vec::new() };
        for number in [0, 9, 10, 4_294_967_295, u64::MAX] {
            writer.number(number);
            writer.out.push(' ');
        }
        assert_eq!(out, "0 9 10 4294967295 18446744073709551615 ");
    }
}
