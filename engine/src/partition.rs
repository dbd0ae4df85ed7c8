//! Which of the 256 partitions a drive belongs to: a label that stays for ever, stored with every record.

use crc_fast::{CrcAlgorithm, checksum};
use ofd_storage::PARTITIONS;

/// `crc32c(drive number, 16 ASCII bytes, right-padded with spaces as on the wire) % 256`.
pub fn partition_of(drive: &[u8; 16]) -> u16 {
    let sum = checksum(CrcAlgorithm::Crc32Iscsi, drive);
    u16::try_from(sum % u64::from(PARTITIONS)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The CRC by its definition, bit by bit: reflected polynomial 0x1EDC6F41.
    fn naive(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = crc >> 1 ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 };
            }
        }
        !crc
    }

    /// The label is stored: a change of hash would send old drives to other partitions.
    #[test]
    fn the_partition_is_the_crc_of_the_padded_number() {
        for drive in [b"9999078900005488", b"7380440902220060", b"9999078950      "] {
            assert_eq!(u32::from(partition_of(drive)), naive(drive) % 256);
        }
        assert_eq!(naive(b"123456789"), 0xE306_9283, "the check value of CRC-32C");
    }
}
