//! JSON that cannot be made a document.

use alloc::string::String;
use core::fmt::{self, Write as _};

use crate::Tag;

/// What is wrong with the JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JsonErrorKind {
    /// The text is not JSON (RFC 8259).
    Syntax,
    /// The text, or the document that would come of it, is longer than its limit.
    TooLong,
    /// Objects and lists, or the structures that would come of them, are nested too deep.
    Depth,
    /// There are more values than a document can hold.
    TooManyValues,
    /// Nothing in it is a document: no key names a form, and no object looks like one.
    NoDocument,
    /// The form is named by a code that is none.
    Form,
    /// A value of another JSON type than the requisite can have.
    Type,
    /// A number with digits where the requisite has none, or a text that is no number.
    Number,
    /// A time that is none, or outside 1970 to 2106.
    Time,
    /// A text that should be hex digits and is not.
    Hex,
    /// A character that CP866 does not have.
    Text,
    /// A number that does not fit the bytes of its requisite.
    Overflow,
    /// Bytes given in hex that are no structure where one must stand.
    Structure,
    /// A document number or drive number that a message cannot carry.
    Message,
}

impl JsonErrorKind {
    /// The stable kebab-case name that tools print.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::TooLong => "too-long",
            Self::Depth => "depth",
            Self::TooManyValues => "too-many-values",
            Self::NoDocument => "no-document",
            Self::Form => "form",
            Self::Type => "type",
            Self::Number => "number",
            Self::Time => "time",
            Self::Hex => "hex",
            Self::Text => "text",
            Self::Overflow => "overflow",
            Self::Structure => "structure",
            Self::Message => "message",
        }
    }
}

/// Why JSON could not be read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// What is wrong.
    pub kind: JsonErrorKind,
    /// Where in the JSON: `receipt.items[2].sum`; empty for the whole of it.
    pub path: String,
    /// Bytes from the beginning of the text.
    pub offset: usize,
    /// The tag being written, where one is known.
    pub tag: Option<Tag>,
}

impl JsonError {
    pub(super) const fn new(kind: JsonErrorKind, offset: usize) -> Self {
        Self { kind, path: String::new(), offset, tag: None }
    }

    /// The same error seen from an object that has it under `key`.
    #[cold]
    pub(super) fn within(mut self, step: Step<'_>) -> Self {
        let inner = core::mem::take(&mut self.path);
        self.path = path_of(&[step]);
        if !inner.is_empty() && !inner.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(&inner);
        self
    }
}

/// One step of a path.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'t> {
    Key(&'t str),
    Index(usize),
}

/// Longest key shown in a path, in characters: a hostile key must not make errors long.
const KEY_SHOWN_MAX: usize = 64;

/// A path as people write it.
pub(super) fn path_of(steps: &[Step<'_>]) -> String {
    let mut out = String::new();
    for step in steps {
        match step {
            Step::Key(key) => {
                if !out.is_empty() {
                    out.push('.');
                }
                let shown = key.chars().take(KEY_SHOWN_MAX);
                out.extend(shown.map(|it| if it.is_control() { '\u{FFFD}' } else { it }));
            }
            Step::Index(index) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "[{index}]");
            }
        }
    }
    out
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.kind.name(), self.offset)?;
        if !self.path.is_empty() {
            write!(f, ", {}", self.path)?;
        }
        match self.tag {
            Some(tag) => write!(f, ", tag {}", tag.0),
            None => Ok(()),
        }
    }
}

impl core::error::Error for JsonError {}
