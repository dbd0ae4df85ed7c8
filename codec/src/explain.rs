//! A document told to people: every byte of a message in a tree, with names, types, values and what the rules find.
//!
//! Shape of a row:
//! ```text
//!  offset  tag            name                        type     bytes           value
//!     113  ├─1054         признак расчета             byte 1   01              1 — приход
//!     118  ├─1020         сумма расчета, указанного…  vln 3    d3 a1 00        413.63 ₽
//!          │            ✗ C2 Сумма оплат не равна итогу: найдено 413.63, нужно 414.27
//! ```
//! Offsets are decimal and count from the beginning of the piece, as those of errors do. Nothing is cut but names and
//! the column of bytes: the value stands last and is whole. Findings stand under the requisite that they are about,
//! damage under the one in which it was noticed, with the bytes around it.
//! Invariants: any bytes are explained, damaged or not, without a panic, in rows that are bounded by the bytes (test:
//! tests/explain.rs::any_bytes_are_explained). Colours are the caller's: a [`Span`] says what it is, not how it looks.

mod words;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::dictionary::{Codes, Entry, Kind, is_stlv, lookup};
use crate::document::DEPTH_MAX;
use crate::frame::{SIGNATURE_MARKING, SIGNATURE_OPERATOR};
use crate::tlv::TLV_HEADER_LEN;
use crate::{
    CONTAINER_HEADER_LEN, Civil, Cp866, Datum, DecodeError, DecodeErrorKind, FfdVersion, Form, Level,
    LocalSeconds, Piece, RuleId, SESSION_HEADER_LEN, Tag, Tlv, Value, Violation, container_crc, tags, to_hex,
};

pub use words::damage_words;
use words::{counted, first_sentence, form_name, kind_name, level_mark, level_name, shown, wrapped};

/// What a piece of a row is; how it looks is the caller's to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Space between columns.
    Space,
    /// The title of a part.
    Title,
    /// Where the bytes begin.
    Offset,
    /// The lines of the tree.
    Branch,
    /// The number of a requisite.
    Tag,
    /// What it is called.
    Name,
    /// How its bytes are read, and how many they are.
    Type,
    /// The bytes.
    Bytes,
    /// The bytes that are wrong.
    Wrong,
    /// What the bytes say: a text, a number, a time.
    Value,
    /// Money.
    Money,
    /// What a code means.
    Meaning,
    /// A requisite that no table knows.
    Unknown,
    /// A finding, by its level.
    Finding(Level),
    /// All is well.
    Good,
    /// Something said aside.
    Aside,
}

/// A piece of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What it is.
    pub role: Role,
    /// Its text; no line ends, no control characters.
    pub text: String,
}

/// A row of the explanation.
pub type Row = Vec<Span>;

/// Widths of the columns, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The whole row; findings are wrapped to it, values are not.
    pub width: usize,
    name: usize,
    /// Bytes shown.
    bytes: usize,
}

/// Characters of the tree with the tag: four levels of two, and the number.
const TAG_WIDTH: usize = 13;
const OFFSET_WIDTH: usize = 6;
const TYPE_WIDTH: usize = 9;
/// Mark and key of a rule in the summary.
const LEGEND_WIDTH: usize = 9;

impl Layout {
    /// The columns that fit a width: of a terminal, or 120 where there is none.
    #[must_use]
    pub const fn of_width(width: usize) -> Self {
        match width {
            0..100 => Self { width: if width < 60 { 60 } else { width }, name: 26, bytes: 4 },
            100..140 => Self { width, name: 34, bytes: 6 },
            _ => Self { width, name: 44, bytes: 8 },
        }
    }
}

impl Default for Layout {
    fn default() -> Self {
        Self::of_width(120)
    }
}

/// Tells a whole piece, with the findings of its document.
///
/// ```
/// # use ofd_codec::explain::{Layout, explain, text_of};
/// # use ofd_codec::{FfdVersion, read_any};
/// let bytes = [2, 0, 8, 0, 0x0E, 0x04, 4, 0, 7, 0, 0, 0];
/// let piece = read_any(&bytes).next().expect("a document")?;
/// let text = text_of(&explain(&piece, FfdVersion::V1_2, &[], &Layout::default()));
/// assert!(text.contains("└─1038"));
/// assert!(text.contains("номер смены"));
/// # Ok::<(), ofd_codec::DecodeError>(())
/// ```
#[must_use]
pub fn explain(
    piece: &Piece<'_>,
    version: FfdVersion,
    violations: &[Violation],
    layout: &Layout,
) -> Vec<Row> {
    let document = piece.document().bytes();
    let bytes = piece.bytes();
    // The document lies inside the piece, behind what stands before it.
    let start = match piece {
        Piece::Message(..) => SESSION_HEADER_LEN.saturating_add(CONTAINER_HEADER_LEN),
        Piece::Container(..) => CONTAINER_HEADER_LEN,
        Piece::RawData(raw) if raw.service().is_some() => CONTAINER_HEADER_LEN,
        Piece::RawData(_) | Piece::Document(_) => 0,
    };
    let mut told = Teller {
        layout: *layout,
        version,
        rows: Vec::new(),
        violations,
        told: Vec::from_iter(violations.iter().map(|_| false)),
        damage: None,
        start,
    };
    told.heads(bytes, start);
    told.document(document, start);
    told.stray_findings();
    told.trailer(bytes, start.saturating_add(document.len()));
    told.summary();
    told.rows
}

/// Tells what can be told of bytes that are not a document, with the damage at its place and the bytes around it. The
/// offset of the error counts from the beginning of `bytes`.
#[must_use]
pub fn explain_damage(bytes: &[u8], error: &DecodeError, layout: &Layout) -> Vec<Row> {
    let start = if bytes.starts_with(&SIGNATURE_OPERATOR) || bytes.starts_with(&SIGNATURE_MARKING) {
        SESSION_HEADER_LEN.saturating_add(CONTAINER_HEADER_LEN)
    } else if matches!(bytes, [_, _, _, _, 0xA5 | 0x5A, _, 1, ..] | [0xFF, 0xFF, ..]) {
        CONTAINER_HEADER_LEN
    } else {
        0
    };
    let version = FfdVersion::NEWEST;
    let mut told = Teller {
        layout: *layout,
        version,
        rows: Vec::new(),
        violations: &[],
        told: Vec::new(),
        damage: Some(*error),
        start,
    };
    if error.kind != DecodeErrorKind::Unrecognised {
        told.heads(bytes, start);
        let body = bytes.get(start..).unwrap_or_default();
        if let Some((&[f0, f1, l0, l1], _)) = body.split_first_chunk::<TLV_HEADER_LEN>()
            && error.kind != DecodeErrorKind::Sealed
            && f1 == 0
            && f0 != 0
        {
            let len = usize::from(u16::from_le_bytes([l0, l1])).saturating_add(TLV_HEADER_LEN);
            let document = body.get(..len).unwrap_or(body);
            // The version decides what reused numbers mean; a damaged document may still say its own.
            let told_version = Tlv::new(document.get(TLV_HEADER_LEN..).unwrap_or_default())
                .map_while(Result::ok)
                .find(|(tag, _)| *tag == tags::FFD_VERSION)
                .and_then(|(_, value)| FfdVersion::from_code(value.u8().ok()?));
            told.version = told_version.unwrap_or(FfdVersion::NEWEST);
            told.document(document, start);
            told.trailer(bytes, start.saturating_add(document.len()));
        }
    }
    told.dump(bytes, error);
    told.rows
}

/// The rows as plain text, a line each.
#[must_use]
pub fn text_of(rows: &[Row]) -> String {
    let mut out = String::new();
    for row in rows {
        let start = out.len();
        for span in row {
            out.push_str(&span.text);
        }
        // Columns are filled up with spaces, and the last one of a row needs none.
        out.truncate(start.max(out.trim_end_matches(' ').len()));
        out.push('\n');
    }
    out
}

/// At most this many rows are told of one piece: hostile bytes must not become a flood.
const ROWS_MAX: usize = 20_000;

/// One field before it becomes a row.
struct Field<'a> {
    offset: usize,
    /// `│ ├─`, for tags.
    branch: &'a str,
    tag: Option<Tag>,
    name: &'a str,
    kind: &'static str,
    bytes: &'a [u8],
    /// The bytes are shown by the rows below.
    nested: bool,
    value: Vec<Span>,
    known: bool,
}

struct Teller<'v> {
    layout: Layout,
    version: FfdVersion,
    rows: Vec<Row>,
    violations: &'v [Violation],
    /// Which of them have been shown.
    told: Vec<bool>,
    /// Damage that has not been shown yet.
    damage: Option<DecodeError>,
    /// Where the document begins in the piece.
    start: usize,
}

fn span(role: Role, text: impl Into<String>) -> Span {
    Span { role, text: text.into() }
}

/// A text cut or filled up to a width.
fn column(text: &str, width: usize) -> String {
    let len = text.chars().count();
    if len > width {
        let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
        // A word's end looks better than a space before the dots.
        cut.truncate(cut.trim_end().len());
        cut.push('…');
        let len = cut.chars().count();
        cut.extend(core::iter::repeat_n(' ', width.saturating_sub(len)));
        return cut;
    }
    let mut out = text.to_owned();
    out.extend(core::iter::repeat_n(' ', width.saturating_sub(len)));
    out
}

/// `39 39 30…`: as many bytes as fit.
fn bytes_column(bytes: &[u8], most: usize) -> String {
    let mut out = String::new();
    for (index, byte) in bytes.iter().take(most).enumerate() {
        let gap = if index > 0 { " " } else { "" };
        let _ = write!(out, "{gap}{byte:02x}");
    }
    if bytes.len() > most {
        out.push('…');
    }
    column(&out, most.saturating_mul(3))
}

/// Roubles with the thousands apart: `1 234 567.89 ₽`.
fn roubles(kopecks: u64) -> String {
    let whole = (kopecks / 100).to_string();
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        let left = whole.len().saturating_sub(index);
        if index > 0 && left.is_multiple_of(3) {
            out.push('\u{A0}');
        }
        out.push(digit);
    }
    let _ = write!(out, ".{:02} ₽", kopecks % 100);
    out
}

fn moment(seconds: LocalSeconds) -> String {
    Civil::from(seconds).to_string().replace('T', " ")
}

/// A code with its meaning, or a mask with the meanings of its bits.
fn coded(entry: &Entry, number: u64) -> Vec<Span> {
    let mut spans = Vec::from([span(Role::Value, number.to_string())]);
    let (Some(list), Ok(code)) = (entry.values, u32::try_from(number)) else { return spans };
    let meaning = match list.codes {
        Codes::Number => list.meaning(code).map(ToOwned::to_owned),
        Codes::Bits if code == 0 => None,
        Codes::Bits => {
            let met: Vec<&str> = list
                .values
                .iter()
                .filter(|it| it.code != 0 && code & it.code == it.code)
                .map(|it| it.meaning_ru)
                .collect();
            (!met.is_empty()).then(|| met.join(" + "))
        }
        Codes::Text => None,
    };
    if let Some(meaning) = meaning {
        spans.push(span(Role::Meaning, format!(" — {meaning}")));
    }
    spans
}

fn text_value(entry: Option<&Entry>, value: Value<'_>) -> Vec<Span> {
    let fixed = entry.is_some_and(|entry| entry.fixed);
    let text = if fixed { value.text().trimmed() } else { value.text() };
    let text = shown(&text.to_string());
    // Spaces at the ends are seen only inside quotes.
    let bare = !text.is_empty() && text.trim() == text;
    let mut spans = Vec::from([span(Role::Value, if bare { text.clone() } else { format!("«{text}»") })]);
    if let Some(list) = entry.and_then(|entry| entry.values)
        && let Some(meaning) = list.values.iter().find(|it| !it.label.is_empty() && it.label == text)
    {
        spans.push(span(Role::Meaning, format!(" — {}", meaning.meaning_ru)));
    }
    spans
}

/// What a value says; `None` when it is not what its type allows.
fn told_value(entry: &Entry, value: Value<'_>) -> Option<Vec<Span>> {
    Some(match entry.kind {
        Kind::Stlv => Vec::new(),
        Kind::Text => text_value(Some(entry), value),
        Kind::Byte => coded(entry, u64::from(value.u8().ok()?)),
        Kind::U16 => coded(entry, u64::from(value.u16().ok()?)),
        Kind::U32 => coded(entry, u64::from(value.u32().ok()?)),
        Kind::Bits => coded(entry, u64::from(value.bits().ok()?)),
        Kind::UnixTime => Vec::from([span(Role::Value, moment(value.unixtime().ok()?))]),
        Kind::Fvln => Vec::from([span(Role::Value, value.fvln().ok()?.to_string())]),
        Kind::Vln if matches!(entry.tag.0, 1293 | 1294) => {
            Vec::from([span(Role::Value, value.vln().ok()?.to_string())])
        }
        Kind::Vln => Vec::from([span(Role::Money, roubles(value.vln().ok()?))]),
        Kind::Bytes if entry.tag == tags::FISCAL_SIGN => {
            Vec::from([span(Role::Value, value.fiscal_sign().ok()?.to_string())])
        }
        Kind::Bytes => Vec::from([span(Role::Value, to_hex(value.bytes()))]),
    })
}

impl Teller<'_> {
    fn push(&mut self, row: Row) {
        match self.rows.len() {
            ROWS_MAX => self.rows.push(Vec::from([span(Role::Aside, "… дальше не показано")])),
            0..ROWS_MAX => self.rows.push(row),
            _ => {}
        }
    }

    fn title(&mut self, title: &str, aside: &str) {
        if !self.rows.is_empty() {
            self.push(Vec::new());
        }
        let mut row = Vec::from([span(Role::Title, title)]);
        if !aside.is_empty() {
            row.push(span(Role::Aside, format!("  {aside}")));
        }
        self.push(row);
    }

    fn field(&mut self, field: Field<'_>) {
        let number = field.tag.map(|tag| tag.0.to_string()).unwrap_or_default();
        let used = field.branch.chars().count().saturating_add(number.len());
        let tail = column("", TAG_WIDTH.saturating_sub(used));
        let len = field.bytes.len();
        let kind = if field.kind.is_empty() { String::new() } else { format!("{} {len}", field.kind) };
        let mut row = Vec::from([
            span(Role::Offset, format!("{:>OFFSET_WIDTH$}", field.offset)),
            span(Role::Space, "  "),
            span(Role::Branch, field.branch),
            span(if field.known { Role::Tag } else { Role::Unknown }, number),
            span(Role::Space, tail),
            span(if field.known { Role::Name } else { Role::Unknown }, column(field.name, self.layout.name)),
            span(Role::Space, "  "),
            span(Role::Type, column(&kind, TYPE_WIDTH)),
            span(Role::Space, " "),
            span(Role::Bytes, bytes_column(if field.nested { &[] } else { field.bytes }, self.layout.bytes)),
            span(Role::Space, "  "),
        ]);
        row.extend(field.value);
        self.push(row);
    }

    /// What the columns are.
    fn columns(&mut self) {
        let text = format!(
            "{:>OFFSET_WIDTH$}  {}{}  {} {}  значение",
            "байт",
            column("тег", TAG_WIDTH),
            column("реквизит", self.layout.name),
            column("тип", TYPE_WIDTH),
            column("байты", self.layout.bytes.saturating_mul(3)),
        );
        self.push(Vec::from([span(Role::Aside, text)]));
    }

    /// Session header and container header, as far as there are any.
    fn heads(&mut self, bytes: &[u8], start: usize) {
        let raw = bytes.starts_with(&[0xFF, 0xFF]);
        if start > CONTAINER_HEADER_LEN {
            self.title("Сеансовый заголовок", "сообщение ККТ — ОФД");
            self.session(bytes);
        }
        if start >= CONTAINER_HEADER_LEN {
            let at = start.saturating_sub(CONTAINER_HEADER_LEN);
            let title =
                if raw { "Заголовок rawData" } else { "Заголовок контейнера" };
            self.title(title, "");
            self.container(bytes, at, raw);
        }
    }

    /// One field of a header: `len` bytes at `at`.
    fn head(&mut self, bytes: &[u8], at: usize, len: usize, name: &str, value: impl FnOnce(&[u8]) -> String) {
        let Some(field) = bytes.get(at..at.saturating_add(len)) else { return };
        let value = Vec::from([span(Role::Value, shown(&value(field)))]);
        self.field(Field {
            offset: at,
            branch: "",
            tag: None,
            name,
            kind: "",
            bytes: field,
            nested: false,
            value,
            known: true,
        });
        self.damage_within(at, at.saturating_add(len), "");
    }

    fn session(&mut self, bytes: &[u8]) {
        self.head(bytes, 0, 4, "сигнатура", |it| {
            if it == SIGNATURE_OPERATOR {
                "ОФД".to_owned()
            } else {
                "сервер маркировки".to_owned()
            }
        });
        self.head(bytes, 4, 2, "версия сеансового протокола", to_hex);
        self.head(bytes, 6, 2, "версия протокола ФФД", |it| match it {
            &[a, b] => FfdVersion::from_p_version([a, b]).map_or_else(|| to_hex(it), |it| it.to_string()),
            _ => to_hex(it),
        });
        self.head(bytes, 8, 16, "номер ФН", |it| Cp866(it).trimmed().to_string());
        self.head(bytes, 24, 2, "длина тела", little);
        self.head(bytes, 26, 2, "флаги", |it| match it {
            &[a, b] => format!("0x{b:02x}{a:02x}"),
            _ => to_hex(it),
        });
        self.head(bytes, 28, 2, "контрольная сумма", |it| {
            if it == [0, 0] { "не считается".to_owned() } else { to_hex(it) }
        });
    }

    fn container(&mut self, bytes: &[u8], at: usize, raw: bool) {
        let place = |offset: usize| at.saturating_add(offset);
        let container = bytes.get(at..).unwrap_or_default();
        if raw {
            self.head(bytes, at, 4, "метка и длина заголовка", to_hex);
        } else {
            self.head(bytes, at, 2, "длина контейнера", little);
            let len = container.first_chunk().map_or(0, |it| usize::from(u16::from_le_bytes(*it)));
            let whole = container.get(..len).filter(|_| len > CONTAINER_HEADER_LEN);
            let good =
                whole.map(|it| container.get(2..4) == Some(container_crc(it).to_le_bytes().as_slice()));
            self.head(bytes, place(2), 2, "контрольная сумма", |_| match good {
                Some(true) => "верна".to_owned(),
                Some(false) => "не сходится".to_owned(),
                None => String::new(),
            });
        }
        self.head(bytes, place(4), 1, "направление", |it| match it {
            [0xA5] => "от ККТ к ОФД".to_owned(),
            [0x5A] => "от ОФД к ККТ".to_owned(),
            _ => "неизвестно".to_owned(),
        });
        self.head(bytes, place(5), 1, "форма документа", |it| match it {
            [form] => format!("{form} — {}", form_name(Form(*form))),
            _ => String::new(),
        });
        self.head(bytes, place(6), 1, "версия формата", little);
        self.head(bytes, place(7), 2, "служебные данные 1", to_hex);
        self.head(bytes, place(9), 8, "номер ФН", |it| to_hex(it).trim_end_matches('f').to_owned());
        self.head(bytes, place(17), 3, "номер ФД", |it| match it {
            &[a, b, c] => u32::from_be_bytes([0, a, b, c]).to_string(),
            _ => to_hex(it),
        });
        self.head(bytes, place(20), 12, "служебные данные 2", to_hex);
    }

    fn document(&mut self, document: &[u8], start: usize) {
        let Some((&[form, _, _, _], body)) = document.split_first_chunk::<TLV_HEADER_LEN>() else { return };
        let form = Form(form);
        let aside = format!("ФФД {} · {}", self.version, counted(document.len(), ["байт", "байта", "байт"]));
        self.title(form_name(form), &aside);
        self.columns();
        let count = Tlv::new(body).map_while(Result::ok).count();
        let value = Vec::from([span(Role::Aside, counted(count, ["реквизит", "реквизита", "реквизитов"]))]);
        self.field(Field {
            offset: start,
            branch: "",
            tag: Some(Tag(u16::from(form.0))),
            name: form.json_name().unwrap_or("документ"),
            kind: kind_name(Kind::Stlv),
            bytes: body,
            nested: true,
            value,
            known: true,
        });
        let at = start.saturating_add(TLV_HEADER_LEN);
        self.findings(at, "│ ");
        self.damage_within(start, at, "│ ");
        self.level(body, at, u16::from(form.0), "", 1);
    }

    /// The requisites of a level that begins at `at` of the piece.
    fn level(&mut self, body: &[u8], at: usize, parent: u16, branch: &str, depth: usize) {
        let mut level = Tlv::at(body, u32::try_from(at).unwrap_or(u32::MAX));
        let mut lines = 0_usize;
        while let Some(item) = level.next() {
            let last = level.rest().is_empty();
            let Ok((tag, value)) = item else {
                let end = at.saturating_add(body.len());
                let place = level.offset();
                let bytes = body.get(place.saturating_sub(at)..).unwrap_or_default();
                self.field(Field {
                    offset: place,
                    branch: &format!("{branch}└─"),
                    tag: bytes.first_chunk().map(|it| Tag(u16::from_le_bytes(*it))),
                    name: "не читается",
                    kind: "",
                    bytes,
                    nested: false,
                    value: Vec::new(),
                    known: false,
                });
                self.damage_within(place, end, &format!("{branch}  "));
                return;
            };
            let offset = value.offset().saturating_sub(TLV_HEADER_LEN);
            let entry = lookup(tag, parent, self.version);
            let told = entry.and_then(|entry| told_value(entry, value));
            let nested = depth < DEPTH_MAX
                && entry.is_some_and(|entry| {
                    entry.kind == Kind::Stlv && (is_stlv(tag) || value.children().all(|it| it.is_ok()))
                });
            let mut spans = match (&told, entry) {
                (Some(_), _) if nested => Vec::new(),
                (Some(told), Some(entry)) if entry.kind != Kind::Stlv => told.clone(),
                _ => unreadable(value),
            };
            if nested && tag == tags::ITEM {
                lines = lines.saturating_add(1);
                spans.push(span(Role::Aside, format!("№ {lines}")));
            }
            if entry.is_some() && told.is_none() {
                spans.push(span(Role::Aside, "  длина не по типу"));
            }
            let (turn, below) = if last { ("└─", "  ") } else { ("├─", "│ ") };
            self.field(Field {
                offset,
                branch: &format!("{branch}{turn}"),
                tag: Some(tag),
                name: entry.map_or("неизвестный реквизит", |entry| entry.name_ru),
                kind: entry.map_or("?", |entry| kind_name(entry.kind)),
                // The bytes of a structure are those of its requisites below.
                bytes: value.bytes(),
                nested,
                value: spans,
                known: entry.is_some(),
            });
            let below = format!("{branch}{below}");
            let beside =
                if nested && !value.bytes().is_empty() { format!("{below}│ ") } else { below.clone() };
            self.findings(value.offset(), &beside);
            let end = value.offset().saturating_add(value.bytes().len());
            if nested {
                self.damage_within(offset, value.offset(), &below);
                self.level(value.bytes(), value.offset(), tag.0, &below, depth.saturating_add(1));
            } else {
                self.damage_within(offset, end, &below);
            }
        }
    }

    /// Findings about the value that begins at `at` of the piece.
    fn findings(&mut self, at: usize, branch: &str) {
        let Some(offset) = at.checked_sub(self.start) else { return };
        let violations = self.violations;
        for (index, it) in violations.iter().enumerate().filter(|(_, it)| it.offset == offset) {
            if let Some(told) = self.told.get_mut(index) {
                *told = true;
            }
            self.finding(it, branch);
        }
    }

    /// Findings that point at no requisite, behind the tree.
    fn stray_findings(&mut self) {
        let violations = self.violations;
        let told = core::mem::take(&mut self.told);
        for (it, _) in violations.iter().zip(told).filter(|(_, told)| !told) {
            self.finding(it, "");
        }
    }

    /// One finding: the rule, what it says in short, and the figures; advice stands in the summary, once a rule.
    fn finding(&mut self, it: &Violation, branch: &str) {
        let level = it.level();
        let head = format!("{} {}", level_mark(level), it.rule.key);
        let words = it.rule.rule().map_or(it.rule.name, |rule| first_sentence(rule.explain_ru));
        let missing = it.tag.filter(|_| it.actual == Datum::Absent);
        // Rules C compare sums; those of other groups count bytes and repeats as well.
        let money = it.rule.key.starts_with('C')
            && it
                .tag
                .and_then(|tag| lookup(tag, 0, self.version))
                .is_some_and(|entry| entry.kind == Kind::Vln);
        let figure = |datum: &Datum| match datum {
            Datum::Number(number) if money => roubles(*number),
            other => other.to_string(),
        };
        let line = match (missing, &it.actual, &it.expected) {
            (Some(tag), ..) => {
                let name = lookup(tag, 0, self.version).map_or("", |entry| entry.name_ru);
                format!("{head} нет реквизита {tag} ({name})")
            }
            (None, Datum::Absent, Datum::Absent) => format!("{head} {words}"),
            (None, actual, Datum::Absent) => format!("{head} {words}: найдено {}", figure(actual)),
            (None, Datum::Absent, expected) => format!("{head} {words}: нужно {}", figure(expected)),
            (None, actual, expected) => {
                format!("{head} {words}: найдено {}, нужно {}", figure(actual), figure(expected))
            }
        };
        self.said(Role::Finding(level), &line, branch);
    }

    /// A sentence under a requisite, wrapped, with the tree going on beside it.
    fn said(&mut self, role: Role, line: &str, branch: &str) {
        let indent = OFFSET_WIDTH.saturating_add(2).saturating_add(TAG_WIDTH);
        let width = self.layout.width.saturating_sub(indent).saturating_sub(2).max(30);
        for (index, text) in wrapped(line, width).into_iter().enumerate() {
            let hang = if index > 0 { "  " } else { "" };
            self.push(Vec::from([
                span(Role::Space, column("", OFFSET_WIDTH.saturating_add(2))),
                span(Role::Branch, column(branch, TAG_WIDTH)),
                span(role, format!("{hang}{text}")),
            ]));
        }
    }

    /// Shows the damage under the field in which it was noticed.
    fn damage_within(&mut self, from: usize, to: usize, branch: &str) {
        let Some(error) = self.damage.filter(|it| (from..to).contains(&it.offset)) else { return };
        self.damage = None;
        let line = format!("✗ {}: {}", error.kind, damage_words(error.kind));
        self.said(Role::Finding(Level::Error), &line, branch);
    }

    fn trailer(&mut self, bytes: &[u8], at: usize) {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.is_empty() {
            return;
        }
        self.title("Подпись", "");
        let name = match rest {
            [0x81, ..] => "фискальный признак сообщения",
            [0x82, ..] => "фискальный признак подтверждения",
            _ => "остаток",
        };
        let sign = rest.len().min(8);
        self.head(bytes, at, sign, name, to_hex);
        let left = rest.len().saturating_sub(sign).min(64);
        if left > 0 {
            self.head(bytes, at.saturating_add(sign), left, "конец контейнера", |_| {
                String::new()
            });
        }
    }

    fn summary(&mut self) {
        self.push(Vec::new());
        let mut counts = [(Level::Error, 0_usize), (Level::Warning, 0), (Level::Info, 0)];
        for (level, count) in &mut counts {
            *count = self.violations.iter().filter(|it| it.level() == *level).count();
        }
        let total: usize = self.violations.len();
        if total == 0 {
            self.push(Vec::from([span(Role::Good, "✓ замечаний нет")]));
            return;
        }
        let words = counts.iter().filter(|(_, count)| *count > 0).map(|(level, count)| {
            let forms = match level {
                Level::Error => ["ошибка", "ошибки", "ошибок"],
                Level::Warning => ["предупреждение", "предупреждения", "предупреждений"],
                Level::Info => ["сведение", "сведения", "сведений"],
            };
            counted(*count, forms)
        });
        let text = words.collect::<Vec<_>>().join(", ");
        let worst = counts.iter().find(|(_, count)| *count > 0).map_or(Level::Info, |(level, _)| *level);
        let mark = level_mark(worst);
        self.push(Vec::from([span(Role::Finding(worst), format!("{mark} {text}"))]));
        let mut keys: Vec<RuleId> = self.violations.iter().map(|it| it.rule).collect();
        keys.sort_unstable();
        keys.dedup();
        let width = self.layout.width.saturating_sub(LEGEND_WIDTH).max(30);
        for id in keys {
            let level = id.level();
            let title = format!("{:<LEGEND_WIDTH$}", format!("  {} {}", level_mark(level), id.key));
            let title = span(Role::Finding(level), title);
            self.push(Vec::from([title, span(Role::Aside, format!("{}, {}", level_name(level), id.name))]));
            let Some(rule) = id.rule() else { continue };
            for (text, role) in [(rule.explain_ru, Role::Name), (rule.advice_ru, Role::Meaning)] {
                for line in wrapped(text, width) {
                    self.push(Vec::from([span(Role::Space, column("", LEGEND_WIDTH)), span(role, line)]));
                }
            }
        }
    }

    /// The bytes around the damage, sixteen a row.
    fn dump(&mut self, bytes: &[u8], error: &DecodeError) {
        const ROW: usize = 16;
        if !self.rows.is_empty() {
            self.push(Vec::new());
        }
        let tag = error.tag.map(|tag| format!(", тег {tag}")).unwrap_or_default();
        let line = format!("✗ {}: {} — байт {}{tag}", error.kind, damage_words(error.kind), error.offset);
        self.push(Vec::from([span(Role::Finding(Level::Error), line)]));
        let row = error.offset.min(bytes.len()) / ROW;
        let wide = match error.kind {
            DecodeErrorKind::Crc | DecodeErrorKind::TlvLength => 2_usize,
            _ => 1,
        };
        // The length of a TLV stands behind its tag.
        let first = error.offset.saturating_add(if error.kind == DecodeErrorKind::TlvLength { 2 } else { 0 });
        let wrong = first..first.saturating_add(wide);
        for index in row.saturating_sub(1)..=row.saturating_add(1) {
            let at = index.saturating_mul(ROW);
            let Some(part) =
                bytes.get(at..bytes.len().min(at.saturating_add(ROW))).filter(|it| !it.is_empty())
            else {
                continue;
            };
            let mut spans =
                Vec::from([span(Role::Offset, format!("{at:>OFFSET_WIDTH$}")), span(Role::Space, " ")]);
            for (place, byte) in (at..).zip(part) {
                let (role, before) =
                    if wrong.contains(&place) { (Role::Wrong, "▸") } else { (Role::Bytes, " ") };
                spans.push(span(role, format!("{before}{byte:02x}")));
            }
            let gap = ROW.saturating_sub(part.len()).saturating_mul(3).saturating_add(2);
            spans.push(span(Role::Space, column("", gap)));
            let text: String =
                Cp866(part).to_string().chars().map(|it| if it.is_control() { '·' } else { it }).collect();
            spans.push(span(Role::Aside, text));
            self.push(spans);
        }
    }
}

/// A value without a reading: its bytes, and its text where it looks like one.
fn unreadable(value: Value<'_>) -> Vec<Span> {
    let bytes = value.bytes();
    let mut spans = Vec::from([span(Role::Value, to_hex(bytes))]);
    if bytes.len() > 2 && bytes.iter().all(|byte| (b' '..0x7F).contains(byte)) {
        spans.push(span(Role::Aside, format!("  «{}»", shown(&value.text().to_string()))));
    }
    spans
}

fn little(bytes: &[u8]) -> String {
    bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)).to_string()
}
