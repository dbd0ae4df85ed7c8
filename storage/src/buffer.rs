//! Buffers of batches: filled by one, then held by several, and filled again when nobody holds them.
//!
//! ```text
//! pool ──take──▶ Filling (bytes, empty shell) ──share──▶ Shared ──▶ disk lane · mirror lane · pinned for readers
//!   ▲                                                                 └ each drops its hold in its own time
//!   └──────────────────────────give────────────────────────────────────┘
//! ```
//!
//! Filling writes into a vector of its own, without an atomic a record; its shell, an `Arc` around an empty one, is kept
//! beside it, so that sharing allocates nothing. What is given back while somebody still holds it waits in the pool.
//!
//! Invariants, with the test that holds each:
//! - a buffer that somebody holds is not filled again: `a_held_buffer_is_not_filled_again`;
//! - in the steady state nothing is allocated: `a_buffer_comes_back`;
//! - a buffer begins where a page does, a large one where a huge page does, however it has grown: `page_bytes_are_a_vector_that_begins_at_a_page`.

use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;
#[cfg(feature = "testing")]
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(target_os = "linux")]
use memmap2::Advice;
use memmap2::MmapMut;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A vector of bytes that begins where a page does, so that a device can take them as they lie.
#[derive(Default)]
pub(crate) struct PageBytes {
    room: Room,
    len: usize,
}

/// Memory that all holds something, if only zeros.
enum Room {
    Pages(Vec<Page>),
    /// The whole huge pages in a map.
    Huge {
        map: MmapMut,
        pages: Range<usize>,
    },
}

impl Default for Room {
    fn default() -> Self {
        Self::Pages(Vec::new())
    }
}

/// What the memory of a write past the page cache is aligned to; no device asks for more.
const PAGE_LEN: usize = 4096;
/// A huge page. A device is told of it as one piece, of small pages as one piece each, which makes a commit of 664 KB a fifth
/// quicker (docs/adr/0005-past-the-page-cache.md).
const HUGE_LEN: usize = 2 << 20;
/// From here on a buffer lies in huge pages; a smaller one would waste more of its page than it fills.
const HUGE_FROM: usize = HUGE_LEN / 2;

/// Maps made for buffers since the process began: an allocator that counts does not see them.
#[cfg(feature = "testing")]
pub(crate) static MAPPED: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C, align(4096))]
struct Page([u8; PAGE_LEN]);

impl Room {
    /// Zeros, at least `len` bytes.
    fn zeros(len: usize) -> Self {
        let huge = if len >= HUGE_FROM { Self::huge(len) } else { None };
        huge.unwrap_or_else(|| Self::Pages(vec![Page([0; PAGE_LEN]); len.div_ceil(PAGE_LEN)]))
    }

    /// `None` where the system has no memory of this kind. A system that gives maps but no huge pages gives small ones.
    fn huge(len: usize) -> Option<Self> {
        let len = len.checked_next_multiple_of(HUGE_LEN)?;
        // Address space is all that the piece before costs.
        let map = MmapMut::map_anon(len.checked_add(HUGE_LEN)?).ok()?;
        let at = map.as_ptr().addr().wrapping_neg() % HUGE_LEN;
        #[cfg(target_os = "linux")]
        let _ = map.advise_range(Advice::HugePage, at, len);
        #[cfg(feature = "testing")]
        MAPPED.fetch_add(1, Ordering::Relaxed);
        Some(Self::Huge { map, pages: at..at.checked_add(len)? })
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Pages(pages) => pages.as_bytes(),
            Self::Huge { map, pages } => map.get(pages.clone()).unwrap_or_default(),
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Pages(pages) => pages.as_mut_bytes(),
            Self::Huge { map, pages } => map.get_mut(pages.clone()).unwrap_or_default(),
        }
    }
}

impl PageBytes {
    /// Empty, with room for `len` bytes.
    fn with_capacity(len: usize) -> Self {
        Self { room: Room::zeros(len), len: 0 }
    }

    /// Zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        Self { len, ..Self::with_capacity(len) }
    }

    /// Bytes it has room for.
    fn capacity(&self) -> usize {
        self.room.bytes().len()
    }

    #[cold]
    fn grow(&mut self, len: usize) {
        let mut room = Room::zeros(len.max(self.capacity().saturating_mul(2)));
        let held: &[u8] = self;
        if let Some(kept) = room.bytes_mut().get_mut(..held.len()) {
            kept.copy_from_slice(held);
        }
        self.room = room;
    }

    /// Room for `len` bytes in all.
    fn reserve(&mut self, len: usize) {
        if len > self.capacity() {
            self.grow(len);
        }
    }

    /// Adds bytes at the end.
    #[inline]
    pub(crate) fn extend_from_slice(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        self.reserve(end);
        if let Some(room) = self.room.bytes_mut().get_mut(self.len..end) {
            room.copy_from_slice(bytes);
        }
        self.len = end;
    }

    /// Cuts it, or adds zeros.
    pub(crate) fn set_len(&mut self, len: usize) {
        self.reserve(len);
        // What was cut off before may lie there.
        if let Some(added) = self.room.bytes_mut().get_mut(self.len..len) {
            added.fill(0);
        }
        self.len = len;
    }
}

impl Deref for PageBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.room.bytes().get(..self.len).unwrap_or_default()
    }
}

impl DerefMut for PageBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.room.bytes_mut().get_mut(..self.len).unwrap_or_default()
    }
}

/// Bytes that nobody changes any more.
pub(crate) type Shared = Arc<PageBytes>;

/// Buffers kept; more than are ever in use at once, those pinned for readers apart.
const FREE_MAX: usize = 8;

/// A buffer that is being filled, and the shell it will be shared in.
#[derive(Default)]
pub(crate) struct Filling {
    pub(crate) bytes: PageBytes,
    /// `None`: of bytes that did not come from the pool.
    shell: Option<Shared>,
}

impl Filling {
    /// From bytes that come from elsewhere.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let mut filling = Self::default();
        filling.bytes.extend_from_slice(bytes);
        filling
    }

    /// Ends the filling.
    pub(crate) fn share(self) -> Shared {
        let Self { bytes, shell } = self;
        // Nobody but us has seen the shell; should that ever change, sharing costs an allocation.
        let Some(mut shell) = shell else { return Arc::new(bytes) };
        match Arc::get_mut(&mut shell) {
            Some(room) => {
                *room = bytes;
                shell
            }
            None => Arc::new(bytes),
        }
    }
}

/// Buffers that wait to be filled again.
pub(crate) struct Pool {
    free: Vec<Shared>,
    /// Bytes that a buffer has room for.
    len: usize,
}

impl Pool {
    /// Of buffers with room for `len` bytes.
    pub(crate) fn new(len: usize) -> Self {
        Self { free: Vec::with_capacity(FREE_MAX), len }
    }

    /// An empty buffer that nobody holds.
    pub(crate) fn take(&mut self) -> Filling {
        let unheld = self.free.iter_mut().position(|buffer| Arc::get_mut(buffer).is_some());
        let Some(mut shell) = unheld.map(|at| self.free.swap_remove(at)) else {
            return Filling { bytes: PageBytes::with_capacity(self.len), shell: Some(Shared::default()) };
        };
        let mut bytes = Arc::get_mut(&mut shell).map(std::mem::take).unwrap_or_default();
        bytes.set_len(0);
        Filling { bytes, shell: Some(shell) }
    }

    /// Keeps a buffer for later; others may still hold it.
    pub(crate) fn give(&mut self, buffer: Shared) {
        if self.free.len() < FREE_MAX && buffer.capacity() >= self.len {
            self.free.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A write past the page cache needs the place, and what was cut off must not come back in the padding of a batch.
    #[test]
    fn page_bytes_are_a_vector_that_begins_at_a_page() {
        // The second one goes from small pages to one huge page, and on to several.
        for most in [9_000, 3 * HUGE_LEN / 2] {
            let (mut bytes, mut model) = (PageBytes::default(), Vec::new());
            for step in 0..if most < HUGE_FROM { 2_000_usize } else { 40 } {
                let len = step.wrapping_mul(2_654_435_761) % most;
                match step % 4 {
                    0..=1 => {
                        bytes.extend_from_slice(&vec![1; len]);
                        model.extend_from_slice(&vec![1; len]);
                    }
                    2 => {
                        bytes.set_len(model.len() + len);
                        model.resize(model.len() + len, 0);
                    }
                    _ => {
                        bytes.set_len(len);
                        model.resize(len, 0);
                    }
                }
                assert!(*bytes == *model, "step {step}");
                let page = if bytes.capacity() < HUGE_FROM { PAGE_LEN } else { HUGE_LEN };
                assert_eq!(bytes.as_ptr().addr() % page, 0);
            }
        }
    }

    #[test]
    fn a_held_buffer_is_not_filled_again() {
        let mut pool = Pool::new(64);
        let mut filling = pool.take();
        filling.bytes.extend_from_slice(b"held");
        let held = filling.share();
        pool.give(Arc::clone(&held));
        let other = pool.take();
        assert_ne!(other.bytes.as_ptr(), held.as_ptr());
        assert_eq!(**held, *b"held");
    }

    #[test]
    fn a_buffer_comes_back() {
        for len in [64, HUGE_FROM] {
            let mut pool = Pool::new(len);
            let place = pool.take().share();
            assert_eq!(place.capacity(), if len < HUGE_FROM { PAGE_LEN } else { HUGE_LEN });
            let (shell, bytes) = (Arc::as_ptr(&place), place.as_ptr());
            pool.give(place);
            for _ in 0..10 {
                let filling = pool.take();
                assert_eq!(filling.bytes.as_ptr(), bytes);
                let shared = filling.share();
                assert_eq!((Arc::as_ptr(&shared), shared.as_ptr()), (shell, bytes));
                pool.give(shared);
            }
        }
    }
}
