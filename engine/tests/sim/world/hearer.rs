//! A program of the host that listens to the events of the registers and keeps its place in a named cursor: it crashes, and the
//! engine under it does, and it has to hear every event at least once and each the same.

use std::collections::BTreeMap;
use std::time::Duration;

use ofd_engine::host::Capability;
use ofd_engine::registers::Event;
use ofd_engine::testing::Saving;
use ofd_engine::{Cursor, Engine, EventFeed, Position};

use crate::oracle::Broken;
use crate::rng::Rng;

const NAME: &str = "hearer";

pub(super) struct Hearer {
    /// One in three worlds has one: its cursor is in the log, so that the others go on as they did.
    on: bool,
    rng: Rng,
    feed: Option<EventFeed>,
    saving: Option<(Saving, Cursor, Position)>,
    /// Everything it was ever told.
    heard: BTreeMap<(u64, u16), Event>,
    /// The last position whose save returned Ok.
    saved: Position,
    /// The farthest one it ever asked to save.
    asked: Position,
    again: u64,
}

impl Hearer {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            on: seed.is_multiple_of(3),
            rng: Rng(seed ^ 0xEA2),
            feed: None,
            saving: None,
            heard: BTreeMap::new(),
            saved: Position::START,
            asked: Position::START,
            again: 0,
        }
    }

    /// The program, or the engine under it, is gone.
    pub(super) fn crash(&mut self) {
        (self.feed, self.saving) = (None, None);
    }

    pub(super) fn turn(&mut self, engine: &Engine) -> Result<bool, Broken> {
        if !self.on {
            return Ok(false);
        }
        if self.rng.one_in(60) {
            self.crash();
        }
        if let Some((saving, cursor, position)) = &mut self.saving {
            let position = *position;
            return match saving.poll(engine, cursor) {
                Ok(false) => Ok(false),
                Ok(true) => {
                    (self.saving, self.saved) = (None, position);
                    Ok(true)
                }
                Err(_) => {
                    self.crash();
                    Ok(false)
                }
            };
        }
        let cursor = engine.cursor(NAME);
        let Some(feed) = &mut self.feed else {
            let position = cursor.position();
            if position < self.saved || position > self.asked {
                return Err(format!("I7: a cursor of events saved at {} stands at {position}", self.saved));
            }
            // A save may have come through though nobody heard of it.
            self.saved = position;
            self.feed = Some(engine.events(&Capability::operator(), position));
            return Ok(true);
        };
        let before = feed.position();
        // What cannot be read now is read later; what is damaged the comparison with the fold tells.
        let Ok(batch) = feed.next_batch(1 + self.rng.below(3) as usize, Duration::ZERO) else {
            self.crash();
            return Ok(false);
        };
        if batch.is_empty() {
            return Ok(false);
        }
        for event in batch {
            let place = (event.position.as_u64(), event.index);
            match self.heard.get(&place) {
                None => drop(self.heard.insert(place, event)),
                Some(known) if *known == event => self.again += 1,
                Some(known) => return Err(format!("I7: an event was {known:?} and is {event:?}")),
            }
        }
        let position = feed.position();
        if position < before {
            return Err(format!("I7: a feed of events goes back from {before} to {position}"));
        }
        match Saving::begin(&cursor, position) {
            Ok(saving) => {
                self.asked = position.max(self.asked);
                self.saving = Some((saving, cursor, position));
            }
            Err(_) => self.crash(),
        }
        Ok(true)
    }

    /// Beside all events that the log tells: none at or below a saved position may be missing, and none may be another.
    pub(super) fn check(&self, all: &[Event]) -> Result<(), Broken> {
        let of = |event: &Event| self.heard.get(&(event.position.as_u64(), event.index));
        if let Some(missed) = all.iter().find(|it| it.position <= self.saved && of(it).is_none() && self.on) {
            return Err(format!(
                "I7: a cursor of events stands at {}, {missed:?} was never told",
                self.saved
            ));
        }
        let same = all.iter().filter(|it| of(it) == Some(it)).count();
        if same != self.heard.len() {
            return Err(format!("I7: {} events were told, {same} of them the log tells", self.heard.len()));
        }
        Ok(())
    }
}
