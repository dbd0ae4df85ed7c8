//! The events that were told at some positions, all at once: what the tables of the archive are made of.
//!
//! Memory: the events that are wanted.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ofd_storage::{Env, Error, ErrorKind, LogReader, Lsn, Position};

use super::event_feed::EventFeed;
use super::{FOLDED_AT_ONCE, events, file, fold_on, operator};
use crate::registers::{Event, Registers, SHIFTS_KEPT};
use crate::shared::Shared;

/// How long one waits for the fold to come on at all: it is seconds behind, if it is not made anew from the archive.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// Which events: of records at these positions, and of these kinds.
pub(crate) struct Wanted<'w> {
    pub(crate) positions: &'w RangeInclusive<u64>,
    pub(crate) is: &'w dyn Fn(&Event) -> bool,
}

impl Wanted<'_> {
    fn before(&self) -> Position {
        Position::new(Lsn::new(self.positions.start().saturating_sub(1)))
    }

    fn last(&self) -> Position {
        Position::new(Lsn::new(*self.positions.end()))
    }

    fn takes(&self, event: &Event) -> bool {
        self.positions.contains(&event.position.as_u64()) && (self.is)(event)
    }
}

/// By a running engine, which is waited for where its fold has not come so far; `ended` says when not to. Where its files do not
/// hold they are folded again: the archive must not wait for what can be made anew.
///
/// # Errors
/// `Retry` when the fold does not come on; of the system.
pub(crate) fn by_owner(
    shared: &Shared,
    wanted: &Wanted<'_>,
    ended: &dyn Fn() -> bool,
) -> Result<Vec<Event>, Error> {
    match by_feed(shared, wanted, ended) {
        Err(error) if error.kind() == ErrorKind::Corrupt || error.is_not_found() => {
            tracing::error!(%error, "alarm: events cannot be read, they are folded again");
            by_reader(&shared.env, &shared.reader, None, wanted)
        }
        told => told,
    }
}

fn by_feed(shared: &Shared, wanted: &Wanted<'_>, ended: &dyn Fn() -> bool) -> Result<Vec<Event>, Error> {
    let Shared { env, reader, book, .. } = shared;
    let _hurry = book.hurry();
    let log = Some(reader.clone());
    let mut feed = EventFeed::of_all(Arc::clone(env), Arc::clone(book), log, wanted.before());
    let mut told = Vec::new();
    while feed.position() < wanted.last() {
        let at = feed.position();
        let events = feed.next(FOLDED_AT_ONCE, Duration::ZERO)?;
        let waits = events.is_empty() && feed.position() == at;
        told.extend(events.into_iter().filter(|event| wanted.takes(event)));
        if ended() || waits && !book.wait_told(STEP_TIMEOUT, |told| told.position > at) {
            let text = format!("the registers do not come on to position {}", wanted.last());
            return Err(Error::new(ErrorKind::Retry, text));
        }
    }
    Ok(told)
}

#[cfg(test)]
std::thread_local! {
    /// How often this thread has folded: what a test of what it costs counts.
    pub(crate) static FOLDED: core::cell::Cell<u32> = const { core::cell::Cell::new(0) };
}

/// Of a log that nobody here writes to: from the files that its owner has left, and by a fold of what lies behind its newest
/// checkpoint. `ours` is the INN of this operator; `None`: the one that the owner works with.
///
/// # Errors
/// Of the system.
pub(crate) fn by_reader(
    env: &Arc<dyn Env>,
    reader: &LogReader,
    ours: Option<&str>,
    wanted: &Wanted<'_>,
) -> Result<Vec<Event>, Error> {
    #[cfg(test)]
    FOLDED.set(FOLDED.get().wrapping_add(1));
    let ours = ours.map(str::to_owned).or_else(|| operator::known(&**env));
    let schema = file::schema_of(ours.as_deref(), SHIFTS_KEPT);
    let of_events = events::schema_of(schema);
    let empty = || Registers::new(ours.clone(), SHIFTS_KEPT).seeded(|| env.random());
    let has_events = |through| events::reach(&**env, through, of_events);
    let kept = file::newest(&**env, reader, schema, &empty, &has_events)?;
    let through = kept.as_ref().map_or(Lsn::NONE, |it| it.position().lsn());
    let mut told = Vec::new();
    let mut take = |event: Event| told.extend(wanted.takes(&event).then_some(event));
    let registers = match events::between(&**env, wanted.before(), through, of_events, &mut take) {
        Ok(()) => kept.unwrap_or_else(empty),
        // The owner has begun anew under our eyes, or a file is damaged: all of it is told again.
        Err(error) if error.is_not_found() || error.kind() == ErrorKind::Corrupt => {
            tracing::warn!(%error, "files of events are passed over");
            told.clear();
            empty()
        }
        Err(error) => return Err(error),
    };
    let mut tell = |events: &mut Vec<Event>| {
        told.extend(events.drain(..).filter(|event| wanted.takes(event)));
        Ok(())
    };
    fold_on(env, reader, registers, &mut tell)?;
    Ok(told)
}
