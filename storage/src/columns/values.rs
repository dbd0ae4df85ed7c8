//! The values of one column on their way into a page: what is not NULL, encoded as the layout of the column says.
//!
//! A column with a dictionary has it until it is full; from there on its values stand in their pages as they are.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::LazyLock;

use ofd_codec::Cp866;
use parquet::basic::Encoding;
use parquet::data_type::ByteArray;
use parquet::file::statistics::{Statistics, ValueStatistics};

use super::column::{Cell, DECIMAL_MAX, Kind, Layout};
use super::dictionary::{Numbers, Texts, len_of};
use super::packing::{Deltas, hybrid, hybrid_len_max, width_of};

/// The least and the largest value of a page or a column.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) enum Bound {
    Flag(bool),
    Narrow(i32),
    Wide(i64),
    Text(Vec<u8>),
}

impl Bound {
    /// As the index of a column has it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Flag(value) => vec![u8::from(*value)],
            Self::Narrow(value) => value.to_le_bytes().to_vec(),
            Self::Wide(value) => value.to_le_bytes().to_vec(),
            Self::Text(value) => value.clone(),
        }
    }
}

/// The least and the largest value.
pub(crate) type Bounds = (Bound, Bound);

/// Values of one column of one row group.
#[derive(Debug)]
pub(crate) struct Values {
    kind: Kind,
    /// What fits the column: anything else is NULL.
    fits: (i64, i64),
    form: Form,
    /// Bytes of a dictionary that is full.
    dictionary_max: usize,
    /// Number of the page.
    page: u32,
    /// Values of the page.
    count: usize,
    least: i64,
    most: i64,
    text: TextPage,
}

/// What is known of the texts of a page.
#[derive(Debug, Default)]
struct TextPage {
    /// Bytes of all of them.
    len: usize,
    bounds: Option<(Vec<u8>, Vec<u8>)>,
    /// Of those in CP866, which are decoded when the page ends.
    coded_bounds: Option<(Vec<u8>, Vec<u8>)>,
}

/// How the values of the page are kept.
#[derive(Debug)]
enum Form {
    Deltas(Deltas),
    NumberKeys(Numbers, Vec<u32>),
    TextKeys(Texts, Vec<u32>),
    /// As they are; of flags eight a byte.
    Plain(Vec<u8>),
}

/// A page of values.
pub(crate) struct Page {
    pub(crate) encoding: Encoding,
    pub(crate) bounds: Option<Bounds>,
    /// Bytes of the texts as they are; `None` of what is no text.
    pub(crate) text_bytes: Option<i64>,
}

impl Values {
    /// None yet; `None` of a layout that is not encoded here.
    pub(crate) fn new(kind: Kind, layout: Layout, dictionary_max: usize) -> Option<Self> {
        let form = match (kind, layout) {
            (Kind::Bytes, _) | (_, Layout::Bulk) => return None,
            (Kind::Flag, _) => Form::Plain(Vec::new()),
            (Kind::Text, Layout::Dictionary | Layout::Words) => Form::TextKeys(Texts::default(), Vec::new()),
            (_, Layout::Dictionary | Layout::Words) => Form::NumberKeys(Numbers::default(), Vec::new()),
            // No text is laid out so.
            (Kind::Text, _) => return None,
            (_, Layout::Delta | Layout::Lookup) => Form::Deltas(Deltas::new(is_narrow(kind))),
        };
        let fits = match kind {
            Kind::Int32 | Kind::Date => (i64::from(i32::MIN), i64::from(i32::MAX)),
            Kind::Money | Kind::Quantity => (-DECIMAL_MAX, DECIMAL_MAX),
            _ => (i64::MIN, i64::MAX),
        };
        let (least, most) = (i64::MAX, i64::MIN);
        let text = TextPage::default();
        Some(Self { kind, fits, form, dictionary_max, page: 0, count: 0, least, most, text })
    }

    /// Takes a value in, unless it is NULL, or what is NULL in this column since it does not fit: a column never takes the
    /// file down.
    #[inline]
    pub(crate) fn push(&mut self, cell: Cell<'_>) -> bool {
        match cell {
            Cell::Int(number) if !matches!(self.kind, Kind::Text | Kind::Flag) => {
                self.fits.0 <= number && number <= self.fits.1 && self.push_number(number)
            }
            Cell::Text(text) if self.kind == Kind::Text => self.push_text(text.as_bytes(), false),
            Cell::Coded(text) if self.kind == Kind::Text => self.push_text(text.0, !text.0.is_ascii()),
            Cell::Flag(flag) if self.kind == Kind::Flag => self.push_flag(flag),
            _ => false,
        }
    }

    fn push_number(&mut self, number: i64) -> bool {
        self.count = self.count.saturating_add(1);
        if let Form::NumberKeys(numbers, _) = &mut self.form {
            if numbers.push(number) {
                self.settle();
            }
            return true;
        }
        self.least = self.least.min(number);
        self.most = self.most.max(number);
        match &mut self.form {
            Form::Deltas(deltas) => deltas.push(number),
            Form::Plain(bytes) => plain(is_narrow(self.kind), number, bytes),
            Form::NumberKeys(..) | Form::TextKeys(..) => {}
        }
        true
    }

    /// A text in UTF-8 or, `coded`, in CP866 that is not ASCII.
    fn push_text(&mut self, text: &[u8], coded: bool) -> bool {
        self.count = self.count.saturating_add(1);
        match &mut self.form {
            Form::TextKeys(texts, _) => {
                if texts.push(text, coded) {
                    self.settle();
                }
            }
            Form::Plain(bytes) => {
                let whole = if coded {
                    Cow::Owned(Cp866(text).to_cow().into_owned().into_bytes())
                } else {
                    text.into()
                };
                bytes.extend_from_slice(&len_of(&whole));
                bytes.extend_from_slice(&whole);
                self.text.len = self.text.len.saturating_add(whole.len());
                self.text.widen(&whole);
            }
            Form::Deltas(_) | Form::NumberKeys(..) => {}
        }
        true
    }

    /// Gives what waits its keys: before anything is asked of the page or the dictionary.
    pub(crate) fn settle(&mut self) {
        match &mut self.form {
            Form::TextKeys(texts, keys) => {
                let page = &mut self.text;
                let len = texts.settle(self.page, keys, |text, coded| match coded {
                    true => page.widen_coded(text),
                    false => page.widen(text),
                });
                page.len = page.len.saturating_add(len);
            }
            Form::NumberKeys(numbers, keys) => {
                if let Some((least, most)) = numbers.settle(keys) {
                    (self.least, self.most) = (self.least.min(least), self.most.max(most));
                }
            }
            Form::Deltas(_) | Form::Plain(_) => {}
        }
    }

    /// Whether texts wait for their keys.
    pub(crate) fn has_waiting(&self) -> bool {
        matches!(&self.form, Form::TextKeys(texts, _) if texts.has_waiting())
    }

    fn push_flag(&mut self, flag: bool) -> bool {
        let number = i64::from(flag);
        self.least = self.least.min(number);
        self.most = self.most.max(number);
        if let Form::Plain(bytes) = &mut self.form {
            let bit = self.count % 8;
            if bit == 0 {
                bytes.push(0);
            }
            if let Some(last) = bytes.last_mut() {
                *last |= u8::from(flag) << bit;
            }
        }
        self.count = self.count.saturating_add(1);
        true
    }

    /// Values of the page.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Whether the dictionary is full.
    pub(crate) fn is_full(&self) -> bool {
        self.dictionary_len().is_some_and(|len| len >= self.dictionary_max)
    }

    fn dictionary_len(&self) -> Option<usize> {
        match &self.form {
            Form::NumberKeys(numbers, _) => {
                Some(numbers.values().len().saturating_mul(if is_narrow(self.kind) { 4 } else { 8 }))
            }
            Form::TextKeys(texts, _) => Some(texts.page().len()),
            Form::Deltas(_) | Form::Plain(_) => None,
        }
    }

    /// Bytes of the page so far, about.
    pub(crate) fn page_len(&self) -> usize {
        match &self.form {
            Form::Deltas(deltas) => deltas.len(),
            Form::NumberKeys(numbers, keys) => hybrid_len_max(keys.len(), key_width(numbers.values().len())),
            Form::TextKeys(texts, keys) => {
                hybrid_len_max(keys.len(), key_width(texts.len())).saturating_add(1)
            }
            Form::Plain(bytes) => bytes.len(),
        }
    }

    /// Bytes of the page and the dictionary so far, about.
    pub(crate) fn len(&self) -> usize {
        self.page_len().saturating_add(self.dictionary_len().unwrap_or_default())
    }

    /// Writes the values of the page, and begins another.
    pub(crate) fn end_page(&mut self, out: &mut Vec<u8>) -> Page {
        self.settle();
        let encoding = match &mut self.form {
            Form::Deltas(deltas) => {
                deltas.write(out);
                Encoding::DELTA_BINARY_PACKED
            }
            Form::NumberKeys(numbers, keys) => write_keys(keys, numbers.values().len(), out),
            Form::TextKeys(texts, keys) => write_keys(keys, texts.len(), out),
            Form::Plain(bytes) => {
                out.append(bytes);
                Encoding::PLAIN
            }
        };
        let text = std::mem::take(&mut self.text);
        let text_bytes = (self.kind == Kind::Text).then(|| i64::try_from(text.len).unwrap_or(i64::MAX));
        let bounds = if self.count == 0 { None } else { self.bounds(text.bounds()) };
        (self.count, self.least, self.most) = (0, i64::MAX, i64::MIN);
        self.page = self.page.saturating_add(1);
        Page { encoding, bounds, text_bytes }
    }

    fn bounds(&self, texts: Option<(Vec<u8>, Vec<u8>)>) -> Option<Bounds> {
        let bound = |number: i64| match self.kind {
            Kind::Flag => Bound::Flag(number != 0),
            Kind::Int32 | Kind::Date => Bound::Narrow(i32::try_from(number).unwrap_or_default()),
            _ => Bound::Wide(number),
        };
        match self.kind {
            Kind::Text => texts.map(|(least, most)| (Bound::Text(least), Bound::Text(most))),
            _ => Some((bound(self.least), bound(self.most))),
        }
    }

    /// Writes the dictionary, of which there is none afterwards; how many values it has. The page must have been ended.
    pub(crate) fn end_dictionary(&mut self, out: &mut Vec<u8>) -> Option<usize> {
        let count = match &self.form {
            Form::NumberKeys(numbers, _) => {
                let narrow = is_narrow(self.kind);
                numbers.values().iter().for_each(|number| plain(narrow, *number, out));
                numbers.values().len()
            }
            Form::TextKeys(texts, _) => {
                out.extend_from_slice(texts.page());
                texts.len()
            }
            Form::Deltas(_) | Form::Plain(_) => return None,
        };
        self.form = Form::Plain(Vec::new());
        Some(count)
    }

    /// The statistics of a column with these bounds.
    pub(crate) fn statistics(&self, bounds: Option<Bounds>, nulls: u64, cut: Option<usize>) -> Statistics {
        fn of<T>(bounds: Option<(T, T)>, nulls: u64) -> ValueStatistics<T> {
            let (least, most) = bounds.unzip();
            ValueStatistics::new(least, most, None, Some(nulls), false)
        }
        match (self.kind, bounds) {
            (_, Some((Bound::Flag(a), Bound::Flag(b)))) => of(Some((a, b)), nulls).into(),
            (_, Some((Bound::Narrow(a), Bound::Narrow(b)))) => signed(of(Some((a, b)), nulls)).into(),
            (_, Some((Bound::Wide(a), Bound::Wide(b)))) => signed(of(Some((a, b)), nulls)).into(),
            (_, Some((Bound::Text(a), Bound::Text(b)))) => {
                let ((a, a_whole), (b, b_whole)) = (cut_down(a, cut), cut_up(b, cut));
                of(Some((ByteArray::from(a), ByteArray::from(b))), nulls)
                    .with_min_is_exact(a_whole)
                    .with_max_is_exact(b_whole)
                    .into()
            }
            (Kind::Text, _) => of::<ByteArray>(None, nulls).into(),
            (Kind::Flag, _) => of::<bool>(None, nulls).into(),
            (Kind::Int32 | Kind::Date, _) => signed(of::<i32>(None, nulls)).into(),
            _ => signed(of::<i64>(None, nulls)).into(),
        }
    }
}

impl TextPage {
    fn widen(&mut self, text: &[u8]) {
        widen(&mut self.bounds, text, <[u8]>::cmp);
    }

    fn widen_coded(&mut self, text: &[u8]) {
        widen(&mut self.coded_bounds, text, order_of_coded);
    }

    /// The least and the largest of all.
    fn bounds(mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        if let Some((least, most)) = self.coded_bounds.take() {
            self.widen(Cp866(&least).to_string().as_bytes());
            self.widen(Cp866(&most).to_string().as_bytes());
        }
        self.bounds
    }
}

fn widen(bounds: &mut Option<(Vec<u8>, Vec<u8>)>, text: &[u8], order: impl Fn(&[u8], &[u8]) -> Ordering) {
    let Some((least, most)) = bounds else {
        *bounds = Some((text.to_vec(), text.to_vec()));
        return;
    };
    let bound = if order(text, least).is_lt() {
        least
    } else if order(text, most).is_gt() {
        most
    } else {
        return;
    };
    bound.clear();
    bound.extend_from_slice(text);
}

/// Places of the characters of CP866 among all of Unicode, by their bytes.
static CHARACTERS: LazyLock<[u32; 256]> = LazyLock::new(|| {
    let mut characters = [0; 256];
    for (byte, place) in (0..=u8::MAX).zip(&mut characters) {
        *place = Cp866(&[byte]).to_string().chars().next().map_or(0, u32::from);
    }
    characters
});

/// The order of two texts in CP866: that of their bytes in UTF-8, which is the one of characters.
fn order_of_coded(one: &[u8], other: &[u8]) -> Ordering {
    let place = |byte: &u8| CHARACTERS.get(usize::from(*byte));
    let differ = one.iter().zip(other).find(|(one, other)| one != other);
    differ.map_or(one.len().cmp(&other.len()), |(one, other)| place(one).cmp(&place(other)))
}

/// Old readers, who take everything for signed, may have these bounds too.
fn signed<T>(statistics: ValueStatistics<T>) -> ValueStatistics<T> {
    statistics.with_backwards_compatible_min_max(true)
}

fn is_narrow(kind: Kind) -> bool {
    matches!(kind, Kind::Int32 | Kind::Date)
}

fn plain(narrow: bool, number: i64, out: &mut Vec<u8>) {
    let bytes = number.to_le_bytes();
    out.extend(bytes.into_iter().take(if narrow { 4 } else { 8 }));
}

fn key_width(count: usize) -> u32 {
    width_of(count.saturating_sub(1) as u64)
}

fn write_keys(keys: &mut Vec<u32>, count: usize, out: &mut Vec<u8>) -> Encoding {
    let width = key_width(count);
    out.push(width.to_le_bytes()[0]);
    hybrid(keys, width, out);
    keys.clear();
    Encoding::RLE_DICTIONARY
}

/// A text of at most so many bytes that is not above this one; whether it is this one.
pub(crate) fn cut_down(text: Vec<u8>, len_max: Option<usize>) -> (Vec<u8>, bool) {
    match len_max.and_then(|len_max| begin_of(&text, len_max, 1)).map(|begin| begin.as_bytes().to_vec()) {
        Some(begin) => (begin, false),
        None => (text, true),
    }
}

/// A text of at most so many bytes that is not below this one; whether it is this one.
pub(crate) fn cut_up(text: Vec<u8>, len_max: Option<usize>) -> (Vec<u8>, bool) {
    let begin = len_max.and_then(|len_max| begin_of(&text, len_max, len_max.saturating_sub(3)));
    match begin.and_then(above) {
        Some(above) => (above, false),
        None => (text, true),
    }
}

/// What a longer text begins with: the most whole characters that fit, `len_min` bytes at least.
fn begin_of(text: &[u8], len_max: usize, len_min: usize) -> Option<&str> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() > len_max)?;
    let len = (len_min..=len_max).rev().find(|len| text.is_char_boundary(*len))?;
    text.get(..len)
}

/// The least text above all that begin with this one and are as long: the last character that can be is one further.
fn above(begin: &str) -> Option<Vec<u8>> {
    begin.char_indices().rev().find_map(|(at, last)| {
        let next = u32::from(last).checked_add(1).and_then(char::from_u32)?;
        let head = begin.get(..at).filter(|_| next.len_utf8() == last.len_utf8())?;
        Some(format!("{head}{next}").into_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bound that is none makes readers leave out pages that hold what they look for.
    #[test]
    fn texts_in_cp866_have_the_order_of_their_utf8() {
        let check = |one: &[u8], other: &[u8]| {
            let whole = Cp866(one).to_string().cmp(&Cp866(other).to_string());
            assert_eq!(order_of_coded(one, other), whole, "{one:?} {other:?}");
        };
        for one in 0..=u8::MAX {
            for other in 0..=u8::MAX {
                check(&[one], &[other]);
            }
            check(&[one], &[]);
            check(&[one], &[one, b' ']);
            check(&[b'a', one], &[b'a', 0xA4]);
        }
    }

    #[test]
    fn the_bounds_of_a_page_are_those_of_all_its_texts() {
        let text = |bytes: &'static [u8]| Cell::Coded(Cp866(bytes));
        let cells = [Cell::Text("Ёж"), text(b"\x80\x81"), text(b"plain"), text(b"\xF0"), Cell::Text("Ж")];
        let bounds = |cells: &[Cell<'_>]| {
            let mut values = Values::new(Kind::Text, Layout::Dictionary, 1 << 20)?;
            cells.iter().for_each(|cell| assert!(values.push(*cell)));
            let page = values.end_page(&mut Vec::new());
            page.bounds.zip(page.text_bytes)
        };
        let of =
            |least: &str, most: &str, len| Some(((Bound::Text(least.into()), Bound::Text(most.into())), len));
        assert_eq!(bounds(&cells), of("plain", "Ж", 4 + 4 + 5 + 2 + 2));
        assert_eq!(bounds(&cells[1..2]), of("АБ", "АБ", 4));
        assert_eq!(bounds(&[cells[1], cells[3]]), of("Ё", "АБ", 6));
        assert_eq!(bounds(&[]), None);
    }
}
