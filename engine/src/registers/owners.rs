//! Which registers an organisation has, by the INN of their documents: so that a merchant's list costs what he has, not what all have.
//! It follows from the cards and is not saved. Pure.
//!
//! Shape in memory: four bytes a register, and about 60 an organisation. Registers whose INN nobody has told are in no list.

use ahash::RandomState;
use hashbrown::HashTable;

use super::card::Fixed;
use super::slab::Slab;
use super::takings::INN_LEN;

#[derive(Clone, Debug)]
struct Owner {
    inn: Fixed<INN_LEN>,
    cards: Vec<u32>,
}

/// The organisations.
#[derive(Clone, Debug, Default)]
pub(super) struct Owners {
    owners: Slab<Owner>,
    by_inn: HashTable<u32>,
    /// How often a register has gone from one organisation to another.
    moves: u64,
}

impl Owners {
    fn find(&self, inn: &Fixed<INN_LEN>, hasher: &RandomState) -> Option<u32> {
        let same = |at: &u32| self.owners.get(*at).is_some_and(|it| it.inn == *inn);
        self.by_inn.find(hasher.hash_one(inn), same).copied()
    }

    /// A register is another organisation's from now on.
    pub(super) fn moved(
        &mut self,
        card: u32,
        before: &Fixed<INN_LEN>,
        now: &Fixed<INN_LEN>,
        hasher: &RandomState,
    ) {
        if before == now {
            return;
        }
        if let Some(owner) = self.find(before, hasher).and_then(|at| self.owners.get_mut(at))
            && let Some(place) = owner.cards.iter().position(|it| *it == card)
        {
            owner.cards.swap_remove(place);
            self.moves = self.moves.wrapping_add(1);
        }
        if *now == [0; INN_LEN] {
            return;
        }
        let found = self.find(now, hasher);
        let at = found.or_else(|| {
            let at = self.owners.push(Owner { inn: *now, cards: Vec::new() })?;
            let owners = &self.owners;
            let again = |at: &u32| owners.get(*at).map_or(0, |it| hasher.hash_one(it.inn));
            self.by_inn.insert_unique(hasher.hash_one(now), at, again);
            Some(at)
        });
        if let Some(owner) = at.and_then(|at| self.owners.get_mut(at)) {
            owner.cards.push(card);
        }
    }

    /// While this stays, whoever saw a register sees it.
    pub(super) const fn moves(&self) -> u64 {
        self.moves
    }

    /// The registers of an organisation, in no order.
    pub(super) fn cards(&self, inn: &Fixed<INN_LEN>, hasher: &RandomState) -> &[u32] {
        let owner = self.find(inn, hasher).and_then(|at| self.owners.get(at));
        owner.map_or(&[], |it| it.cards.as_slice())
    }
}
