//! All registers as bytes, and back: what a checkpoint holds. Pure.
//!
//! Shape: pieces of at most about [`PIECE_LEN`] bytes, each `kind u8` and entries of that kind, in the order of their
//! appearance, since cards name drives by it. An entry of a drive is `number in BCD u64 LE │ bytes of packed.rs with their
//! length`, one of a card what `card.rs` packs, one of takings what `takings.rs` saves.
//!
//! Invariant: a fold that goes on from here comes to what one that never stopped comes to
//! (test: `tests/registers/main.rs`, `a_fold_goes_on_from_any_moment`).

use ofd_storage::Position;

use super::card::KeptCard;
use super::pack::{Packer, Unpacker};
use super::watched::SILENCE;
use super::{KeptDrive, Registers, State, packed};
use crate::watch::RuleSet;

/// What the bytes look like; another text, another shape.
pub(crate) const SHAPE: &str =
    "registers v13: drives, cards, takings, placements, thresholds and rules as packed";
/// Length of a piece that is not the last of its kind, bytes, and a little more.
const PIECE_LEN: usize = 64 * 1024;

const DRIVES: u8 = 1;
const CARDS: u8 = 2;
const TAKINGS: u8 = 3;
const PLACES: u8 = 14;
const LEVELS: u8 = 15;
const RULES: u8 = 4;

impl Registers {
    /// Hands everything to `put`, a piece at a time.
    ///
    /// # Errors
    /// The first of `put`.
    pub fn save<E>(&self, put: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut rules = Piece::new(RULES);
        self.rule_set.pack(&mut rules.packer);
        rules.put(put)?;
        let mut own = Packer::default();
        let mut piece = Piece::new(DRIVES);
        for KeptDrive { key, state } in self.drives.iter() {
            piece.packer.0.extend_from_slice(&key.to_le_bytes());
            match state {
                State::Packed(bytes) => piece.packer.bytes(bytes),
                State::Live(drive) => {
                    own.0.clear();
                    packed::pack(drive, &mut own);
                    piece.packer.bytes(&own.0);
                }
            }
            piece.put_full(put)?;
        }
        piece.put(put)?;
        let mut piece = Piece::new(CARDS);
        for card in self.cards.iter() {
            card.pack(&mut piece.packer);
            piece.put_full(put)?;
        }
        piece.put(put)?;
        let mut piece = Piece::new(TAKINGS);
        self.takings.save(&mut |one| {
            piece.packer.0.extend_from_slice(&one.0);
            piece.put_full(put)
        })?;
        piece.put(put)?;
        let mut piece = Piece::new(PLACES);
        self.watch.places.save_places(&mut |one| {
            piece.packer.0.extend_from_slice(&one.0);
            piece.put_full(put)
        })?;
        piece.put(put)?;
        let mut piece = Piece::new(LEVELS);
        self.watch.places.save_levels(&mut |one| {
            piece.packer.0.extend_from_slice(&one.0);
            piece.put_full(put)
        })?;
        piece.put(put)
    }

    /// Takes a piece back, into an empty one, in the order they were saved. `None`: it does not hold what it should.
    #[must_use]
    pub fn restore(&mut self, piece: &[u8]) -> Option<()> {
        let (kind, rest) = piece.split_first()?;
        let mut from = Unpacker(rest);
        while !from.is_empty() {
            match *kind {
                DRIVES => {
                    let (key, rest) = from.0.split_first_chunk::<8>()?;
                    from.0 = rest;
                    let bytes = from.bytes()?;
                    let mut kept =
                        KeptDrive { key: u64::from_le_bytes(*key), state: State::Packed([].into()) };
                    // Read once, so that nothing stands there that cannot be read later.
                    let mut packed = Unpacker(bytes);
                    let drive = packed::unpack(kept.number()?, &mut packed).filter(|_| packed.is_empty())?;
                    let due = [(drive.overdue_at(), 0), (drive.watch.silence_timer(&drive), SILENCE)];
                    kept.state = match drive.open_shift() {
                        Some(_) => State::Live(Box::new(drive)),
                        None => State::Packed(bytes.into()),
                    };
                    let at = self.put_drive(kept)?;
                    for (second, of) in due {
                        second.into_iter().for_each(|second| self.wheel.set(second, at | of));
                    }
                }
                CARDS => {
                    let card =
                        KeptCard::unpack(&mut from).filter(|it| self.drives.get(it.current()).is_some())?;
                    self.put_card(card)?;
                }
                RULES => self.rule_set = RuleSet::unpack(&mut from)?,
                TAKINGS => self.takings.restore(&mut from, &self.hasher)?,
                PLACES => self.placed(&mut from)?,
                LEVELS => self.watch.places.restore_level(&mut from)?,
                _ => return None,
            }
        }
        Some(())
    }

    /// A placement comes back, behind the cards.
    fn placed(&mut self, from: &mut Unpacker<'_>) -> Option<()> {
        let at = self.watch.places.restore_place(from, &self.hasher)?;
        let rnm = self.watch.places.rnm(at)?;
        for card in
            [false, true].into_iter().filter_map(|test| self.find_card(test, &rnm)).collect::<Vec<_>>()
        {
            self.cards.get_mut(card)?.light.place = at;
        }
        Some(())
    }

    /// Everything up to here is in the pieces that were taken back.
    pub fn restored(&mut self, position: Position) {
        self.last = position;
    }
}

struct Piece {
    packer: Packer,
    kind: u8,
}

impl Piece {
    fn new(kind: u8) -> Self {
        Self { packer: Packer(vec![kind]), kind }
    }

    fn put_full<E>(&mut self, put: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if self.packer.0.len() >= PIECE_LEN { self.put(put) } else { Ok(()) }
    }

    fn put<E>(&mut self, put: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if self.packer.0.len() > 1 {
            put(&self.packer.0)?;
        }
        self.packer.0.clear();
        self.packer.byte(self.kind);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A checkpoint is checked by its checksums; what passes them by chance must not end the process.
    #[test]
    fn pieces_that_were_cut_are_refused() {
        let mut registers = Registers::new(None, 0);
        assert_eq!(registers.restore(&[]), None);
        assert_eq!(registers.restore(&[9, 1]), None);
        for cut in 1..12 {
            let piece = vec![DRIVES; cut];
            assert_eq!(registers.restore(&piece).is_some(), cut == 1, "{cut}");
        }
        assert_eq!(registers.restore(&[CARDS, 0, 1, b'7', 1, b'7', 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(registers.count(), (0, 0));
    }
}
