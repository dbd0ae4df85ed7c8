//! Numbers in as few bits as they need: the encodings that pages of Parquet are made of.
//!
//! - [`hybrid`]: runs of one number, and groups of eight of few bits each. Levels and keys of dictionaries. What is a run
//!   and what is not is decided once in eight numbers.
//! - [`Deltas`]: differences in blocks of four miniblocks, each as wide as its largest.
//!
//! Where the format leaves a choice it is the one of parquet-rs, so that a file does not tell who wrote it.
//!
//! Source: Apache Parquet, Encodings.md, RLE (3) and DELTA_BINARY_PACKED (5).

/// Numbers of a group of [`hybrid`].
const GROUP: usize = 8;
/// Groups whose number fits one byte beside its mark.
const GROUPS_MAX: usize = 63;
/// Miniblocks of a block of [`Deltas`].
const MINIBLOCKS: usize = 4;

/// Bits that the number needs.
pub(crate) fn width_of(number: u64) -> u32 {
    u64::BITS.saturating_sub(number.leading_zeros())
}

/// Puts the numbers, of so many bits each, behind one another, the lowest bit first; the last byte is filled with zeros.
fn pack(numbers: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    let (mut held, mut bits) = (0_u64, 0_u32);
    for number in numbers {
        held |= number << bits;
        let after = bits.saturating_add(width);
        if after < u64::BITS {
            bits = after;
        } else {
            out.extend_from_slice(&held.to_le_bytes());
            held = number.checked_shr(u64::BITS.saturating_sub(bits)).unwrap_or_default();
            bits = after.saturating_sub(u64::BITS);
        }
    }
    let left = usize::try_from(bits.div_ceil(8)).unwrap_or_default();
    out.extend(held.to_le_bytes().into_iter().take(left));
}

/// A number of seven bits a byte.
fn vlq(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7F {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// The same of one that can be negative.
fn zigzag(number: i64, out: &mut Vec<u8>) {
    vlq(((number << 1) ^ (number >> 63)).cast_unsigned(), out);
}

/// The numbers, none of more than `width` bits, as runs and groups.
pub(crate) fn hybrid(numbers: &[u32], width: u32, out: &mut Vec<u8>) {
    let mut rest = numbers;
    while !rest.is_empty() {
        let groups = rest.chunks_exact(GROUP).take(GROUPS_MAX).take_while(|group| !alike(group)).count();
        let (packed, behind) = rest.split_at_checked(groups.saturating_mul(GROUP)).unwrap_or((rest, &[]));
        rest = behind;
        if rest.len() < GROUP && groups < GROUPS_MAX && !(groups == 0 && alike(rest)) {
            // The last group is filled with zeros.
            let groups = rest.len().div_ceil(GROUP).saturating_add(groups);
            return literals(&[packed, rest], groups, width, out);
        }
        if groups > 0 {
            literals(&[packed], groups, width, out);
        }
        if groups < GROUPS_MAX {
            rest = run(rest, width, out);
        }
    }
}

fn alike(numbers: &[u32]) -> bool {
    numbers.first().is_none_or(|first| numbers.iter().all(|number| number == first))
}

/// Groups of eight numbers.
fn literals(parts: &[&[u32]], groups: usize, width: u32, out: &mut Vec<u8>) {
    let [mark, ..] = (groups << 1 | 1).to_le_bytes();
    out.push(mark);
    let start = out.len();
    pack(parts.iter().flat_map(|part| part.iter().map(|number| u64::from(*number))), width, out);
    let bytes = usize::try_from(width).unwrap_or_default();
    out.resize(start.saturating_add(groups.saturating_mul(bytes)), 0);
}

/// The first number as often as it follows itself; what comes behind.
fn run<'n>(numbers: &'n [u32], width: u32, out: &mut Vec<u8>) -> &'n [u32] {
    let Some(first) = numbers.first() else { return &[] };
    let count = numbers.iter().take_while(|number| *number == first).count();
    repeated(*first, count, width, out);
    numbers.get(count..).unwrap_or_default()
}

/// One number so many times, of which there is one at least.
pub(crate) fn repeated(number: u32, count: usize, width: u32, out: &mut Vec<u8>) {
    vlq((count as u64) << 1, out);
    let bytes = usize::try_from(width.div_ceil(8)).unwrap_or_default();
    out.extend(number.to_le_bytes().into_iter().take(bytes));
}

/// Bytes that [`hybrid`] makes of so many numbers at most.
pub(crate) fn hybrid_len_max(count: usize, width: u32) -> usize {
    let width = usize::try_from(width).unwrap_or_default();
    let groups = count.div_ceil(GROUP);
    groups.saturating_mul(width.max(width.div_ceil(8)).saturating_add(1))
}

/// Numbers that grow, or stand near to one another, each as its difference to the one before.
#[derive(Debug)]
pub(crate) struct Deltas {
    /// Of an INT32, where differences wrap at 32 bits.
    narrow: bool,
    count: u64,
    first: i64,
    last: i64,
    /// Of the block that is not full.
    pending: Vec<i64>,
    blocks: Vec<u8>,
}

impl Deltas {
    /// None yet; `narrow` when they are those of an INT32.
    pub(crate) fn new(narrow: bool) -> Self {
        Self { narrow, count: 0, first: 0, last: 0, pending: Vec::new(), blocks: Vec::new() }
    }

    /// Differences of a miniblock.
    fn miniblock(&self) -> usize {
        if self.narrow { 32 } else { 64 }
    }

    /// A difference, and the same without a sign.
    fn less(&self, from: i64, what: i64) -> (i64, u64) {
        let wide = from.wrapping_sub(what);
        let [a, b, c, d, ..] = wide.to_le_bytes();
        match self.narrow {
            true => {
                (i64::from(i32::from_le_bytes([a, b, c, d])), u64::from(u32::from_le_bytes([a, b, c, d])))
            }
            false => (wide, wide.cast_unsigned()),
        }
    }

    /// Takes a number in.
    pub(crate) fn push(&mut self, number: i64) {
        if self.count == 0 {
            self.first = number;
        } else {
            self.pending.push(self.less(number, self.last).0);
            if self.pending.len() >= self.miniblock().saturating_mul(MINIBLOCKS) {
                self.block();
            }
        }
        self.last = number;
        self.count = self.count.saturating_add(1);
    }

    /// Bytes of the blocks that are full.
    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Writes all of them, and forgets them.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>) {
        self.block();
        vlq(self.miniblock().saturating_mul(MINIBLOCKS) as u64, out);
        vlq(MINIBLOCKS as u64, out);
        vlq(self.count, out);
        zigzag(self.first, out);
        out.extend_from_slice(&self.blocks);
        self.blocks.clear();
        (self.count, self.first, self.last) = (0, 0, 0);
    }

    fn block(&mut self) {
        let Some(least) = self.pending.iter().copied().min() else { return };
        let (pending, miniblock) = (std::mem::take(&mut self.pending), self.miniblock());
        let mut blocks = std::mem::take(&mut self.blocks);
        zigzag(least, &mut blocks);
        let above = |delta: i64| self.less(delta, least).1;
        let mut widths = [0_u32; MINIBLOCKS];
        for (width, part) in widths.iter_mut().zip(pending.chunks(miniblock)) {
            *width = width_of(part.iter().copied().max().map_or(0, above));
        }
        blocks.extend(widths.iter().map(|width| width.to_le_bytes()[0]));
        for (width, part) in widths.iter().zip(pending.chunks(miniblock)) {
            let filled = part.iter().map(|delta| above(*delta)).chain(std::iter::repeat(0));
            pack(filled.take(miniblock), *width, &mut blocks);
        }
        (self.blocks, self.pending) = (blocks, pending);
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Why: what the files of a test hold does not reach every width; these numbers do, and are read back.
    #[test]
    fn runs_and_groups_come_back_at_every_width() {
        let mut seed = 1_u64;
        for width in 0..=32 {
            for len in [1, 7, 8, 9, 16, 503, 504, 505, 512, 700, 2_000] {
                let mut numbers: Vec<u32> = Vec::new();
                while numbers.len() < len {
                    seed =
                        seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let number = (seed >> 20) & (1_u64 << width).saturating_sub(1);
                    let times = if seed >> 62 == 0 {
                        usize::try_from(seed >> 57).unwrap_or_default() % 40
                    } else {
                        1
                    };
                    numbers.extend(std::iter::repeat_n(u32::try_from(number).unwrap_or_default(), times));
                }
                let mut bytes = Vec::new();
                hybrid(&numbers, width, &mut bytes);
                assert!(bytes.len() <= hybrid_len_max(numbers.len(), width), "{width} bits");
                let read = unpacked(&bytes, width);
                assert!(
                    read.len() < numbers.len() + GROUP && read.starts_with(&numbers),
                    "{width} bits, {len} numbers"
                );
            }
        }
    }

    /// As the format tells it, bit by bit.
    fn unpacked(bytes: &[u8], width: u32) -> Vec<u32> {
        let mut numbers = Vec::new();
        let mut at = bytes.iter().copied();
        let read = |bits: u32, bytes: &mut dyn Iterator<Item = u8>, left: &mut u64, held: &mut u32| {
            while *held < bits {
                *left |= u64::from(bytes.next().unwrap_or_default()) << *held;
                *held += 8;
            }
            let number = *left & (1_u64 << bits).saturating_sub(1);
            (*left, *held) = (*left >> bits, *held - bits);
            u32::try_from(number).unwrap_or_default()
        };
        while let Some(first) = at.next() {
            let (mut mark, mut shift) = (u64::from(first & 0x7F), 7);
            let mut byte = first;
            while byte & 0x80 != 0 {
                byte = at.next().unwrap_or_default();
                mark |= u64::from(byte & 0x7F) << shift;
                shift += 7;
            }
            let (mut left, mut held) = (0, 0);
            if mark & 1 == 1 {
                (0..(mark >> 1) * 8).for_each(|_| numbers.push(read(width, &mut at, &mut left, &mut held)));
            } else {
                let number = read(width.div_ceil(8) * 8, &mut at, &mut left, &mut held);
                numbers.extend(std::iter::repeat_n(number, usize::try_from(mark >> 1).unwrap_or_default()));
            }
        }
        numbers
    }
}
