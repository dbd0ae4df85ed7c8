//! The version of the format of fiscal documents (версия ФФД) that a document follows.
//!
//! It decides which tables of the order apply and what a reused tag number means. Register firmware chooses the
//! version in the session header loosely, so the document's own tag 1209 comes first; see [`FfdVersion::resolve`].
//!
//! Source: order ЕД-7-20/662@, tag 1209; the P-version of the session header observed on live messages.

use core::fmt;

/// Version of the format of fiscal documents, oldest first, so that versions compare by age.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub enum FfdVersion {
    /// ФФД 1.0: no tag 1209, or 1209 = 1 (0 for its beta).
    V1_0,
    /// ФФД 1.05: 1209 = 2.
    V1_05,
    /// ФФД 1.1: 1209 = 3.
    V1_1,
    /// ФФД 1.2: 1209 = 4.
    V1_2,
}

impl FfdVersion {
    /// All versions, oldest first.
    pub const ALL: [Self; 4] = [Self::V1_0, Self::V1_05, Self::V1_1, Self::V1_2];

    /// The newest one.
    pub const NEWEST: Self = Self::V1_2;

    /// Version by the value of tag 1209 (1189 and 1190 use the same codes); `None` for a code not given yet.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 | 1 => Some(Self::V1_0),
            2 => Some(Self::V1_05),
            3 => Some(Self::V1_1),
            4 => Some(Self::V1_2),
            _ => None,
        }
    }

    /// Value of tag 1209 for this version.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::V1_0 => 1,
            Self::V1_05 => 2,
            Self::V1_1 => 3,
            Self::V1_2 => 4,
        }
    }

    /// Version by the P-version of the session header, as its two bytes stand on the wire.
    ///
    /// `None` for everything but 01 05, 01 10 and 01 20: the variants of 1.0 are told from noise by nobody.
    #[must_use]
    pub const fn from_p_version(bytes: [u8; 2]) -> Option<Self> {
        match bytes {
            [0x01, 0x05] => Some(Self::V1_05),
            [0x01, 0x10] => Some(Self::V1_1),
            [0x01, 0x20] => Some(Self::V1_2),
            _ => None,
        }
    }

    /// P-version that a register of this version sends, as its two bytes stand on the wire; of those of 1.0 the later.
    ///
    /// ```
    /// use ofd_codec::FfdVersion;
    /// assert_eq!(FfdVersion::V1_2.p_version(), [0x01, 0x20]);
    /// ```
    #[must_use]
    pub const fn p_version(self) -> [u8; 2] {
        match self {
            Self::V1_0 => [0, 2],
            Self::V1_05 => [0x01, 0x05],
            Self::V1_1 => [0x01, 0x10],
            Self::V1_2 => [0x01, 0x20],
        }
    }

    /// Version of a document: its tag 1209; without one that of the drive's last registration; else the P-version;
    /// else 1.0. A mismatch between them is no error: live firmware sends 1209 = 2 under P-version 00 01.
    ///
    /// ```
    /// use ofd_codec::FfdVersion;
    /// assert_eq!(FfdVersion::resolve(Some(2), None, [0, 1]), FfdVersion::V1_05);
    /// assert_eq!(FfdVersion::resolve(None, Some(FfdVersion::V1_1), [1, 0x20]), FfdVersion::V1_1);
    /// assert_eq!(FfdVersion::resolve(None, None, [0, 1]), FfdVersion::V1_0);
    /// ```
    #[must_use]
    pub fn resolve(tag_1209: Option<u8>, last_registration: Option<Self>, p_version: [u8; 2]) -> Self {
        tag_1209
            .and_then(Self::from_code)
            .or(last_registration)
            .or_else(|| Self::from_p_version(p_version))
            .unwrap_or(Self::V1_0)
    }

    /// The version as people write it: `1.0`, `1.05`, `1.1`, `1.2`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_05 => "1.05",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }
}

impl fmt::Display for FfdVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::FfdVersion::{self, V1_0, V1_1, V1_2, V1_05};

    /// Why: the document's own word counts first, then its drive's, then the session's; noise falls through.
    #[test]
    fn the_nearest_witness_of_the_version_counts() {
        for (tag, registration, p_version, version) in [
            (Some(0), Some(V1_2), [1, 0x20], V1_0),
            (Some(1), Some(V1_2), [1, 0x20], V1_0),
            (Some(2), None, [0, 1], V1_05),
            (Some(3), Some(V1_2), [1, 5], V1_1),
            (Some(4), Some(V1_0), [1, 5], V1_2),
            (Some(5), Some(V1_1), [1, 5], V1_1),
            (None, Some(V1_1), [1, 5], V1_1),
            (None, None, [1, 5], V1_05),
            (None, None, [1, 0x10], V1_1),
            (None, None, [1, 0x20], V1_2),
            (None, None, [0, 2], V1_0),
            (None, None, [1, 0], V1_0),
        ] {
            let resolved = FfdVersion::resolve(tag, registration, p_version);
            assert_eq!(resolved, version, "{tag:?} {registration:?} {p_version:02x?}");
        }
    }

    /// Why: versions are compared by age, and written back as tag 1209.
    #[test]
    fn versions_ascend_and_keep_their_code() {
        assert!(FfdVersion::ALL.is_sorted());
        for version in FfdVersion::ALL {
            assert_eq!(FfdVersion::from_code(version.code()), Some(version));
        }
    }
}
