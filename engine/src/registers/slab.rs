//! Entries of one kind in the order they came, each under a number that stays: four million of them without a copy
//! when there is one more, and without room for as many again.
//!
//! Shape: chunks of [`CHUNK`] entries; entry `n` lies in chunk `n / CHUNK`.

/// Entries in one chunk.
const CHUNK: usize = 1024;

/// The entries.
#[derive(Clone, Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T> Slab<T> {
    /// Adds an entry; its number, or `None` when there are 2^32 already.
    pub(super) fn push(&mut self, entry: T) -> Option<u32> {
        let number = u32::try_from(self.len).ok()?;
        if self.chunks.last().is_none_or(|chunk| chunk.len() >= CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        self.chunks.last_mut()?.push(entry);
        self.len = self.len.saturating_add(1);
        Some(number)
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        let number = usize::try_from(number).ok()?;
        self.chunks.get(number / CHUNK)?.get(number % CHUNK)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let number = usize::try_from(number).ok()?;
        self.chunks.get_mut(number / CHUNK)?.get_mut(number % CHUNK)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// From an entry on.
    pub(super) fn iter_from(&self, number: u32) -> impl Iterator<Item = (u32, &T)> {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        let chunks = self.chunks.iter().skip(at / CHUNK).flatten().skip(at % CHUNK);
        (number..=u32::MAX).zip(chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The number of an entry is kept in other entries and in checkpoints.
    #[test]
    fn entries_stay_under_their_numbers() {
        let mut slab = Slab::default();
        for number in 0..3 * CHUNK as u32 + 7 {
            assert_eq!(slab.push(number), Some(number));
        }
        assert!(slab.iter().zip(0..).all(|(entry, number)| *entry == number));
        for number in [0, 1023, 1024, 3000, 3078] {
            assert_eq!(
                (slab.get(number), slab.iter_from(number).next()),
                (Some(&number), Some((number, &number)))
            );
        }
        assert_eq!((slab.get(3079), slab.iter_from(3079).next(), slab.len()), (None, None, 3079));
    }
}
