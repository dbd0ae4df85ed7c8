//! What a start has told in its log before it ended without a report: the cuts it was about to make.

use std::cell::RefCell;
use std::fmt::Debug;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, set_default};
use tracing::{Event, Level, Metadata, Subscriber};

/// First and last record of a cut; no last one: all behind the first.
pub type ToldCut = (u64, Option<u64>);

thread_local! {
    static CUTS: RefCell<Vec<ToldCut>> = const { RefCell::new(Vec::new()) };
}

/// Listens to the log of this thread until the guard is dropped.
pub fn listen() -> DefaultGuard {
    take();
    set_default(Listener)
}

/// What was told since the last call.
pub fn take() -> Vec<ToldCut> {
    CUTS.take()
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN && metadata.is_event()
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::WARN)
    }

    fn event(&self, event: &Event<'_>) {
        if event.metadata().target() == "ofd_storage::recover" {
            event.record(&mut Cuts);
        }
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}
    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}
    fn enter(&self, _span: &Id) {}
    fn exit(&self, _span: &Id) {}
}

struct Cuts;

impl Visit for Cuts {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() != "cut" {
            return;
        }
        // Cut { segment: .., offset: .., first: Lsn(7), last: Some(Lsn(9)) }
        let text = format!("{value:?}");
        let number = |name: &str| {
            let (_, rest) = text.split_once(name)?;
            rest.split_once(')')?.0.parse::<u64>().ok()
        };
        let first = number("first: Lsn(").unwrap_or_else(|| panic!("a cut without its first record: {text}"));
        CUTS.with_borrow_mut(|cuts| cuts.push((first, number("last: Some(Lsn("))));
    }
}
