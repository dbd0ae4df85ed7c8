//! Buffers of batches: filled by one, then held by several, and filled again when nobody holds them.
//!
//! ```text
//! pool ──take──▶ Filling (bytes, empty shell) ──share──▶ Shared ──▶ disk lane · mirror lane · pinned for readers
//!   ▲                                                                 └ each drops its hold in its own time
//!   └──────────────────────────give────────────────────────────────────┘
//! ```
//!
//! Filling writes into a plain `Vec`, without an atomic a record; its shell, an `Arc` around an empty one, is kept
//! beside it, so that sharing allocates nothing. What is given back while somebody still holds it waits in the pool.
//!
//! Invariants, with the test that holds each:
//! - a buffer that somebody holds is not filled again: `a_held_buffer_is_not_filled_again`;
//! - in the steady state nothing is allocated: `a_buffer_comes_back`.

use std::sync::Arc;

/// Bytes that nobody changes any more.
pub(crate) type Shared = Arc<Vec<u8>>;

/// Buffers kept; more than are ever in use at once, those pinned for readers apart.
const FREE_MAX: usize = 8;

/// A buffer that is being filled, and the shell it will be shared in.
#[derive(Default)]
pub(crate) struct Filling {
    pub(crate) bytes: Vec<u8>,
    /// `None`: of bytes that did not come from the pool.
    shell: Option<Shared>,
}

impl Filling {
    /// From bytes that come from elsewhere.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self { bytes, shell: None }
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
            return Filling { bytes: Vec::with_capacity(self.len), shell: Some(Shared::default()) };
        };
        let mut bytes = Arc::get_mut(&mut shell).map(std::mem::take).unwrap_or_default();
        bytes.clear();
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

    #[test]
    fn a_held_buffer_is_not_filled_again() {
        let mut pool = Pool::new(64);
        let mut filling = pool.take();
        filling.bytes.extend_from_slice(b"held");
        let held = filling.share();
        pool.give(Arc::clone(&held));
        let other = pool.take();
        assert_ne!(other.bytes.as_ptr(), held.as_ptr());
        assert_eq!(*held, b"held");
    }

    #[test]
    fn a_buffer_comes_back() {
        let mut pool = Pool::new(64);
        let place = pool.take().share();
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
