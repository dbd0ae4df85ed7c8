//! The number of a requisite (реквизит, тег): two bytes, little-endian, before every TLV value.
//!
//! A [`Tag`] is open: a number that no table knows is a value like any other, kept and reported, never an error.
//! What a number means stands in the [dictionary](crate::dictionary); names for the numbers our code speaks of
//! stand in [`tags`](crate::tags).

use core::fmt;

/// Number of a requisite as it stands on the wire.
///
/// Forms of documents (1 receipt of registration … 84) share the same number space: the outermost TLV of a
/// document carries the form code where a requisite carries its tag.
///
/// ```
/// use ofd_codec::{Tag, tags};
/// assert_eq!(tags::TOTAL_SUM, Tag(1020));
/// assert_eq!(tags::TOTAL_SUM.to_string(), "1020");
/// ```
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub struct Tag(pub u16);

impl Tag {
    /// The bare number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl From<u16> for Tag {
    fn from(number: u16) -> Self {
        Self(number)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
