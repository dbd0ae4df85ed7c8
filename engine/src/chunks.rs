//! Memory that is given away in pieces and taken again: what sockets bring, and the answers of the host.
//!
//! ```text
//! current ──split──▶ pieces, each a `Bytes`          pieces dropped ──▶ the chunk is free again
//!    │ full                                                                 ▲
//!    └──────────▶ lent: oldest first, asked whether anybody still holds a piece ┘
//! ```
//!
//! A piece holds its whole chunk. Whoever keeps one for long, keeps the chunk, and another one is allocated: so an
//! allocation a chunk is the worst, and none the rule (test: `a_chunk_comes_back`).

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Chunks that wait for their pieces; beyond, the oldest is left to those who hold it.
const LENT_MAX: usize = 8;

/// The chunks of one thread.
pub(crate) struct Chunks {
    current: BytesMut,
    lent: VecDeque<BytesMut>,
    len: usize,
}

impl Chunks {
    /// Of `len` bytes each.
    pub(crate) fn new(len: usize) -> Self {
        Self { current: BytesMut::with_capacity(len), lent: VecDeque::with_capacity(LENT_MAX), len }
    }

    /// Room for `least` bytes, at most the length of a chunk. What is written there is taken by [`Chunks::piece`].
    pub(crate) fn room(&mut self, least: usize) -> &mut BytesMut {
        if self.current.capacity() < least && !self.current.try_reclaim(self.len) {
            let free = self.lent.front_mut().is_some_and(|oldest| oldest.try_reclaim(self.len));
            let next = if free || self.lent.len() >= LENT_MAX { self.lent.pop_front() } else { None };
            let next = next.filter(|_| free).unwrap_or_else(|| BytesMut::with_capacity(self.len));
            self.lent.push_back(std::mem::replace(&mut self.current, next));
        }
        &mut self.current
    }

    /// What was written since the last one.
    pub(crate) fn piece(&mut self) -> Bytes {
        self.current.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise every few hundred documents cost the allocation of a chunk.
    #[test]
    fn a_chunk_comes_back() {
        let mut chunks = Chunks::new(64);
        let piece = |chunks: &mut Chunks| {
            chunks.room(40).extend_from_slice(&[1; 40]);
            chunks.piece()
        };
        let (first, second) = (piece(&mut chunks), piece(&mut chunks));
        let places = [first.as_ptr(), second.as_ptr()];
        assert_ne!(places[0], places[1], "somebody holds the first");
        drop((first, second));
        for _ in 0..10 {
            let (one, other) = (piece(&mut chunks), piece(&mut chunks));
            assert!(places.contains(&one.as_ptr()) && places.contains(&other.as_ptr()));
        }
    }

    /// A host that keeps every answer must not be waited for.
    #[test]
    fn pieces_that_are_kept_cost_a_chunk_and_no_more() {
        let mut chunks = Chunks::new(64);
        let kept: Vec<Bytes> = (0..100u8)
            .map(|at| {
                chunks.room(60).extend_from_slice(&[at; 60]);
                chunks.piece()
            })
            .collect();
        assert!((0..100u8).zip(&kept).all(|(at, piece)| **piece == [at; 60]));
        assert!(chunks.lent.len() <= LENT_MAX);
    }
}
