//! One drive's lane: in what order its documents came and what was answered. Pure: no file, no clock.
//!
//! Unit: one fiscal drive (ФН). A lane may start at any number, since registers change their operator in the
//! middle of a drive's life (rule D1).
//!
//! Invariants (held by the tests below and by `tests/wire.rs`):
//! - the same document is stored once and answered alike ever after (rule A8);
//! - while a document is on its way to the log, nothing is said about its number: neither that it is new nor
//!   that it is known. Its fate comes back with [`Lane::landed`] or [`Lane::dropped`].

use ofd_codec::FfdVersion;
use ofd_storage::Lsn;

/// How many documents a lane remembers for resends without a look into the log: a register resends the last
/// one, and the one before it when an answer was lost on the way.
const RECENT: usize = 2;

/// What was answered about a stored document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    /// Where it lies.
    pub(crate) lsn: Lsn,
    /// Code of 1022; `None`: kept, but never answered.
    pub(crate) code: Option<u8>,
    /// The 1012 of the answer.
    pub(crate) operator_time: u32,
}

/// A document the lane still remembers.
#[derive(Clone, Copy, Debug)]
struct Recent {
    number: u32,
    digest: u128,
    /// `None` while it is on its way to the log.
    answered: Option<Answered>,
}

/// What the lane knows of a document that has just come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A number above all that came before.
    New,
    /// The same document, stored and answered.
    Same(Answered),
    /// Something of this drive is on its way to the log that must land before this one can be judged.
    Wait,
    /// The number is not above the last one: the log knows whether it was stored.
    AskLog,
}

/// A stored document of the same drive and number, as the log tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StoredVariant {
    /// Its plain document equals the new one.
    pub(crate) same: bool,
    /// It belongs to the present generation of its drive: a resend is known from any life, a conflict is one within
    /// this life.
    pub(crate) current: bool,
    /// The crypto module had verified it.
    pub(crate) verified: bool,
    /// What was answered.
    pub(crate) answered: Answered,
}

/// What becomes of a document whose number the log was asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    /// Known: answer as before, store nothing.
    Same(Answered),
    /// Store it as this variant, answer this code.
    Store { variant: u8, code: u8 },
}

/// Code of 1022: accepted.
pub(crate) const CODE_ACCEPTED: u8 = 0;
/// Code of 1022: not recognised, the sign is forged.
pub(crate) const CODE_FORGED: u8 = 11;
/// Code of 1022: format control failed.
pub(crate) const CODE_REFUSED: u8 = 14;

/// What stays of a drive's stored documents: a fold over them in the order of the log, kept in checkpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    /// Greatest number that came.
    pub(crate) last_number: u32,
    /// Documents stored, variants included.
    pub(crate) stored: u64,
    /// ФФД of the last registration document (1 or 11): the version of documents without a 1209.
    pub(crate) registered: Option<FfdVersion>,
    /// First record of the present generation: a test drive may begin anew, what lies before is another life.
    pub(crate) generation: Lsn,
    /// Number 1 of the present generation is stored: another one may begin the next.
    pub(crate) has_first: bool,
}

/// A stored document as the fold sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) lsn: Lsn,
    pub(crate) number: u32,
    /// It may begin a generation, if its number is taken.
    pub(crate) may_begin: bool,
    /// The version that it registers its drive with.
    pub(crate) registers: Option<FfdVersion>,
}

impl Past {
    /// The next document of the drive. True: it begins a generation.
    pub(crate) fn fold(&mut self, fact: &Fact) -> bool {
        let begins = fact.may_begin && self.has_first;
        if begins {
            (self.generation, self.last_number) = (fact.lsn, 0);
        }
        self.last_number = self.last_number.max(fact.number);
        self.stored = self.stored.saturating_add(1);
        self.has_first |= fact.number == 1;
        self.registered = fact.registers.or(self.registered);
        begins
    }
}

/// The state of one drive.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lane {
    past: Past,
    /// Documents handed to the writer whose fate is not known yet.
    on_their_way: u32,
    /// The last number of the generation that is being left, while the first document of the new one is on its
    /// way to the log.
    leaving: Option<u32>,
    recent: [Option<Recent>; RECENT],
}

impl Lane {
    /// Judges a document by what the lane remembers. `digest` is the keyed hash of the plain document.
    ///
    /// A drive that has begun anew had another life, of which only the log knows: there no number is simply new.
    pub(crate) fn place(&self, number: u32, digest: u128) -> Place {
        let known = self.recent.iter().flatten().find(|it| it.number == number && it.digest == digest);
        match known {
            Some(Recent { answered: Some(answered), .. }) => Place::Same(*answered),
            Some(Recent { answered: None, .. }) => Place::Wait,
            None if self.leaving.is_some() => Place::Wait,
            None if number > self.past.last_number && self.past.generation != Lsn::NONE => Place::AskLog,
            None if number > self.past.last_number || self.past.stored == 0 && self.on_their_way == 0 => {
                Place::New
            }
            None if self.on_their_way > 0 => Place::Wait,
            None => Place::AskLog,
        }
    }

    /// Judges a document against what the log holds under its number.
    ///
    /// Both variants are kept; a verified one wins over an unverified one and is answered 0, and 14 is given
    /// only while both stand alike or the stored one is the better.
    pub(crate) fn judge(stored: &[StoredVariant], verified: bool) -> Judged {
        if let Some(same) = stored.iter().find(|it| it.same) {
            return Judged::Same(same.answered);
        }
        let current = || stored.iter().filter(|it| it.current);
        let wins = verified && current().all(|it| !it.verified);
        let code = if current().next().is_none() || wins { CODE_ACCEPTED } else { CODE_REFUSED };
        Judged::Store { variant: u8::try_from(current().count()).unwrap_or(u8::MAX), code }
    }

    /// First record that counts for this lane: older ones belong to an earlier life of a test drive.
    pub(crate) fn generation(&self) -> Lsn {
        self.past.generation
    }

    /// The next document handed over begins a new generation.
    pub(crate) fn begin_generation(&mut self) {
        self.leaving = Some(self.past.last_number);
        self.past.last_number = 0;
        self.recent = [None; RECENT];
    }

    /// A document was handed to the writer.
    pub(crate) fn sent_off(&mut self, number: u32, digest: u128) {
        self.on_their_way = self.on_their_way.saturating_add(1);
        self.past.last_number = self.past.last_number.max(number);
        self.remember(Recent { number, digest, answered: None });
    }

    /// The log took it.
    pub(crate) fn landed(&mut self, number: u32, digest: u128, answered: Answered) {
        self.on_their_way = self.on_their_way.saturating_sub(1);
        self.past.stored = self.past.stored.saturating_add(1);
        self.past.has_first |= number == 1;
        if self.leaving.take().is_some() {
            self.past.generation = answered.lsn;
        }
        if let Some(it) = self.waiting(number, digest) {
            it.answered = Some(answered);
        }
    }

    /// The log did not take it: it is as if the document had never come.
    pub(crate) fn dropped(&mut self, number: u32, digest: u128) {
        self.on_their_way = self.on_their_way.saturating_sub(1);
        if let Some(last_number) = self.leaving.take() {
            // The old generation goes on: the log knows its documents.
            self.past.last_number = self.past.last_number.max(last_number);
        }
        for slot in &mut self.recent {
            if slot.is_some_and(|it| it.number == number && it.digest == digest && it.answered.is_none()) {
                *slot = None;
            }
        }
    }

    /// A lane as an index tells it. It remembers no document: the log knows them.
    pub(crate) fn restored(past: Past) -> Self {
        Self { past, ..Self::default() }
    }

    /// What stays of it.
    pub(crate) fn past(&self) -> Past {
        self.past
    }

    /// A document read back from the log when the engine opens.
    pub(crate) fn replay(&mut self, fact: &Fact, digest: u128, answered: Answered) {
        if self.past.fold(fact) {
            self.recent = [None; RECENT];
        }
        self.remember(Recent { number: fact.number, digest, answered: Some(answered) });
    }

    /// Notes the ФФД version of a registration document.
    pub(crate) fn register(&mut self, version: FfdVersion) {
        self.past.registered = Some(version);
    }

    /// ФФД version of the last registration document, when one came.
    pub(crate) fn registered(&self) -> Option<FfdVersion> {
        self.past.registered
    }

    fn remember(&mut self, new: Recent) {
        self.recent.rotate_right(1);
        if let Some(first) = self.recent.first_mut() {
            *first = Some(new);
        }
    }

    fn waiting(&mut self, number: u32, digest: u128) -> Option<&mut Recent> {
        self.recent
            .iter_mut()
            .flatten()
            .find(|it| it.number == number && it.digest == digest && it.answered.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(lsn: u64, code: u8) -> Answered {
        Answered { lsn: Lsn::new(lsn), code: Some(code), operator_time: 100 }
    }

    fn landed(lane: &mut Lane, number: u32, digest: u128, lsn: u64) {
        lane.sent_off(number, digest);
        lane.landed(number, digest, answered(lsn, 0));
    }

    /// Four million of them: a byte more is four megabytes.
    #[test]
    fn a_lane_is_small() {
        assert_eq!((size_of::<crate::checkpoint::Kept>(), size_of::<Lane>()), (32, 144));
    }

    #[test]
    fn a_lane_starts_at_any_number() {
        assert_eq!(Lane::default().place(84_123, 1), Place::New);
    }

    #[test]
    fn the_last_two_documents_are_known_without_the_log() {
        let mut lane = Lane::default();
        for number in 5..8 {
            landed(&mut lane, number, u128::from(number), u64::from(number));
        }
        assert_eq!(lane.place(7, 7), Place::Same(answered(7, 0)));
        assert_eq!(lane.place(6, 6), Place::Same(answered(6, 0)));
        assert_eq!(lane.place(5, 5), Place::AskLog);
        assert_eq!(lane.place(8, 8), Place::New);
    }

    #[test]
    fn nothing_is_said_of_a_document_on_its_way() {
        let mut lane = Lane::default();
        lane.sent_off(5, 50);
        assert_eq!(lane.place(5, 50), Place::Wait, "the same again");
        assert_eq!(lane.place(5, 51), Place::Wait, "another under the same number");
        assert_eq!(lane.place(4, 40), Place::Wait, "a smaller number that the log may hold");
        assert_eq!(lane.place(6, 60), Place::New);
    }

    #[test]
    fn a_dropped_document_never_was() {
        let mut lane = Lane::default();
        lane.sent_off(5, 50);
        lane.dropped(5, 50);
        assert_ne!(lane.place(5, 50), Place::Wait);
        assert!(!matches!(lane.place(5, 50), Place::Same(_)));
    }

    #[test]
    fn a_new_generation_knows_nothing_of_the_old_one() {
        let mut lane = Lane::default();
        (1..=5).for_each(|number| landed(&mut lane, number, u128::from(number), u64::from(number)));
        lane.begin_generation();
        lane.sent_off(1, 11);
        assert_eq!(lane.place(2, 22), Place::Wait, "nobody knows yet which life it belongs to");
        lane.landed(1, 11, answered(6, 0));
        assert_eq!(lane.place(2, 22), Place::AskLog, "the log may know it from the old life");
        assert_eq!((lane.generation(), lane.place(1, 11)), (Lsn::new(6), Place::Same(answered(6, 0))));
    }

    #[test]
    fn a_generation_that_was_not_stored_never_began() {
        let mut lane = Lane::default();
        (1..=5).for_each(|number| landed(&mut lane, number, u128::from(number), u64::from(number)));
        lane.begin_generation();
        lane.sent_off(1, 11);
        lane.dropped(1, 11);
        assert_eq!((lane.generation(), lane.place(5, 5)), (Lsn::NONE, Place::AskLog));
    }

    #[test]
    fn three_in_flight_do_not_hide_the_first() {
        let mut lane = Lane::default();
        for number in 1..=3 {
            lane.sent_off(number, u128::from(number));
        }
        assert_eq!(lane.place(1, 1), Place::Wait, "forgotten by the lane, not yet in the index");
    }

    #[test]
    fn variants_are_judged_by_who_is_verified() {
        let stored =
            |same, verified| StoredVariant { same, current: true, verified, answered: answered(9, 0) };
        let before = |same| StoredVariant { same, current: false, verified: false, answered: answered(3, 0) };
        let check = |log: &[StoredVariant], verified, want: Judged| {
            assert_eq!(Lane::judge(log, verified), want, "{log:?} verified {verified}");
        };
        check(&[], false, Judged::Store { variant: 0, code: 0 });
        check(&[stored(true, false)], true, Judged::Same(answered(9, 0)));
        check(&[stored(false, false)], false, Judged::Store { variant: 1, code: 14 });
        check(&[stored(false, false)], true, Judged::Store { variant: 1, code: 0 });
        check(&[stored(false, true)], true, Judged::Store { variant: 1, code: 14 });
        check(&[stored(false, true)], false, Judged::Store { variant: 1, code: 14 });
        check(&[before(false)], false, Judged::Store { variant: 0, code: 0 });
        check(&[before(false), stored(false, false)], false, Judged::Store { variant: 1, code: 14 });
        check(&[before(true), stored(false, false)], false, Judged::Same(answered(3, 0)));
        check(&[stored(false, false), stored(true, true)], false, Judged::Same(answered(9, 0)));
    }
}
