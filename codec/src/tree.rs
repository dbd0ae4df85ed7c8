//! A document as a tree that owns its bytes and loses none of them.
//!
//! Where [`DocumentView`](crate::DocumentView) refuses a structure that does not close, the tree keeps it as a plain
//! value: it is for showing, keeping and comparing whatever came, odd nesting included.
//! Invariant: `encode` gives back exactly the bytes that `decode` was given, for all that decodes. Numbers padded
//! with zeros, unknown tags, repeats and their order come back because values are kept as bytes, not as meanings.
//! Errors: of the outer TLV only: `Truncated`, `Form`, `TlvLength`, `TlvTrailing`; `Truncated` and `TlvLength` where
//! the upper level does not close.

use alloc::vec::Vec;

use crate::dictionary::{Kind, meanings};
use crate::document::{DEPTH_MAX, Form};
use crate::tlv::TLV_HEADER_LEN;
use crate::{DecodeError, DecodeErrorKind, Tag, Tlv};

/// One document, owned.
///
/// ```
/// # use ofd_codec::{Document, Tag};
/// let bytes = [0x03, 0x00, 0x07, 0x00, 0xFC, 0x03, 0x03, 0x00, 0x05, 0x00, 0x00]; // 1020 = 5, padded
/// let document = Document::decode(&bytes)?;
/// assert_eq!(document.nodes()[0].tag(), Tag(1020));
/// assert_eq!(document.encode(), bytes);
/// # Ok::<(), ofd_codec::DecodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    form: Form,
    nodes: Vec<Node>,
}

/// One TLV of a document: a value, or a structure with further nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    tag: Tag,
    content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Value(Vec<u8>),
    Structure(Vec<Node>),
}

impl Document {
    /// Reads the outer TLV and its upper level; deeper levels become nodes as far as they close.
    ///
    /// # Errors
    /// As the module header lists; offsets count from the beginning of `tlv`.
    pub fn decode(tlv: &[u8]) -> Result<Self, DecodeError> {
        let mut outer = Tlv::new(tlv);
        let (Tag(code), value) =
            outer.next().unwrap_or(Err(DecodeError::new(DecodeErrorKind::Truncated, tlv.len())))?;
        let Ok(form @ 1..) = u8::try_from(code) else {
            return Err(DecodeError::at(DecodeErrorKind::Form, Tag(code), 0));
        };
        if !outer.rest().is_empty() {
            return Err(DecodeError::new(DecodeErrorKind::TlvTrailing, outer.offset()));
        }
        Ok(Self { form: Form(form), nodes: read_level(value.children(), 1)? })
    }

    /// Form of the document.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.form
    }

    /// The requisites of the upper level, in the order of the wire.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The bytes it was read from.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_tlv(&mut out, Tag(u16::from(self.form.0)), |out| write_level(out, &self.nodes));
        out
    }
}

impl Node {
    /// The tag.
    #[must_use]
    pub const fn tag(&self) -> Tag {
        self.tag
    }

    /// The value, unless this is a structure.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Value(bytes) => Some(bytes),
            Content::Structure(_) => None,
        }
    }

    /// The nodes inside, if this is a structure that closes.
    #[must_use]
    pub fn children(&self) -> Option<&[Node]> {
        match &self.content {
            Content::Value(_) => None,
            Content::Structure(nodes) => Some(nodes),
        }
    }
}

fn read_level(level: Tlv<'_>, depth: usize) -> Result<Vec<Node>, DecodeError> {
    level
        .map(|item| {
            let (tag, value) = item?;
            let may_nest = depth < DEPTH_MAX && meanings(tag).iter().any(|entry| entry.kind == Kind::Stlv);
            let inside =
                may_nest.then(|| read_level(value.children(), depth.saturating_add(1)).ok()).flatten();
            let content = match inside {
                Some(nodes) => Content::Structure(nodes),
                None => Content::Value(value.bytes().to_vec()),
            };
            Ok(Node { tag, content })
        })
        .collect()
}

fn write_level(out: &mut Vec<u8>, nodes: &[Node]) {
    for node in nodes {
        write_tlv(out, node.tag, |out| match &node.content {
            Content::Value(bytes) => out.extend_from_slice(bytes),
            Content::Structure(nodes) => write_level(out, nodes),
        });
    }
}

/// Writes a TLV around what `fill` appends. Only `decode` makes trees, so that every length was a 16-bit one before.
fn write_tlv(out: &mut Vec<u8>, tag: Tag, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&tag.0.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    fill(out);
    let len = out.len().saturating_sub(start).saturating_sub(TLV_HEADER_LEN);
    let len = u16::try_from(len)
        .unwrap_or_else(|_| unreachable!("{len} bytes under tag {} were read as one TLV", tag.0));
    if let Some(place) = out.get_mut(start.saturating_add(2)..start.saturating_add(TLV_HEADER_LEN)) {
        place.copy_from_slice(&len.to_le_bytes());
    }
}
