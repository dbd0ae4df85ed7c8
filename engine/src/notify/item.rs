//! What waits to be told, and what a channel is given of it. Pure.
//!
//! Shape of the body, JSON in UTF-8, of one notice:
//!
//! ```text
//! {"id":"5f0c…","subscription":"crm-7","kind":"gap.opened","state":"once","position":4711,"index":0,
//!  "occurred_at":"2026-03-02T10:00:00.000000Z","drive":"9960440300000001","fd":346,"inn":"7707083893","rnm":"0000…",
//!  "data":{"first":340,"last":345}}
//! ```
//! and of a digest: `{"id":…,"subscription":…,"kind":"digest","position":…,"index":…,"count":2,"notices":[…]}`, where `position` and
//! `index` are those of its last notice. A digest has the id of its first notice, which stands in it with an id of its own.
//!
//! Invariants: an id is made of the place of its event and of the subscription, so that whatever is told again, after a crash
//! or by a replay, has the same id (test: `an_id_is_made_of_its_place`).

use bytes::Bytes;
use ofd_codec::DriveNumber;
use ofd_storage::{Lsn, Position};
use serde_json::{Map, Value, json};

use super::kind::{Edge, NoticeKind, Said};

/// Most that one event says: places of what it says are told apart by it.
const PARTS: u32 = 8;

/// Where a notice stands in the order of everything: its event, and what of that event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) lsn: Lsn,
    /// Place of the event among those of its record, times eight, and what of it.
    pub(crate) part: u32,
}

impl Place {
    pub(crate) fn of(position: Position, index: u16, part: usize) -> Self {
        let part = u32::try_from(part).unwrap_or(PARTS).min(PARTS.saturating_sub(1));
        Self { lsn: position.lsn(), part: u32::from(index).saturating_mul(PARTS).saturating_add(part) }
    }

    /// Behind everything of this record.
    pub(crate) const fn behind(position: Position) -> Self {
        Self { lsn: position.lsn(), part: u32::MAX }
    }

    pub(crate) const fn index(self) -> u32 {
        self.part / PARTS
    }

    /// A feed from here gives everything behind this place, and perhaps some of what is not.
    pub(crate) fn feed_from(self) -> Position {
        Position::new(if self.part == u32::MAX { self.lsn } else { self.lsn.prev() })
    }
}

/// An event as the notifier takes it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) position: Position,
    pub(crate) index: u16,
    pub(crate) received_at_us: i64,
    pub(crate) drive: DriveNumber,
    pub(crate) number: u32,
    pub(crate) inn: Option<String>,
    pub(crate) rnm: Option<String>,
    pub(crate) outlet: Option<String>,
    pub(crate) said: Vec<Said>,
}

/// One notice that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) place: Place,
    pub(crate) received_at_us: i64,
    pub(crate) kind: NoticeKind,
    pub(crate) edge: Edge,
    pub(crate) drive: DriveNumber,
    pub(crate) number: u32,
    pub(crate) inn: Option<String>,
    pub(crate) rnm: Option<String>,
    pub(crate) data: Map<String, Value>,
}

impl Item {
    pub(crate) fn of(told: &Told, said: &Said, place: Place, edge: Edge) -> Self {
        Self {
            place,
            received_at_us: told.received_at_us,
            kind: said.kind,
            edge,
            drive: told.drive,
            number: told.number,
            inn: told.inn.clone(),
            rnm: told.rnm.clone(),
            data: said.data.clone(),
        }
    }

    fn json(&self, subscription: &str) -> Value {
        json!({
            "id": id_text(id_of(subscription, self.place)),
            "subscription": subscription,
            "kind": self.kind.name(),
            "state": self.edge.as_str(),
            "position": self.place.lsn.get(),
            "index": self.place.index(),
            "occurred_at": utc_text(self.received_at_us),
            "drive": self.drive.as_str(),
            "fd": self.number,
            "inn": self.inn,
            "rnm": self.rnm,
            "data": self.data,
        })
    }
}

/// The id of what begins at this place.
pub(crate) fn id_of(subscription: &str, place: Place) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&place.lsn.get().to_le_bytes());
    hasher.update(&place.part.to_le_bytes());
    hasher.update(subscription.as_bytes());
    u64::from_le_bytes(*hasher.finalize().as_bytes().first_chunk().unwrap_or(&[0; 8]))
}

/// An id as text: 16 digits, hex.
pub(crate) fn id_text(id: u64) -> String {
    format!("{id:016x}")
}

/// What a channel delivers.
pub(crate) fn body_of<'i>(
    subscription: &str,
    is_digest: bool,
    items: impl Iterator<Item = &'i Item> + Clone,
) -> Bytes {
    let (first, last) = (items.clone().next(), items.clone().last());
    let body = match (first, last) {
        (Some(first), Some(last)) if is_digest => {
            let notices: Vec<Value> = items.map(|it| it.json(subscription)).collect();
            json!({
                "id": id_text(id_of(subscription, first.place)),
                "subscription": subscription,
                "kind": "digest",
                "position": last.place.lsn.get(),
                "index": last.place.index(),
                "count": notices.len(),
                "notices": notices,
            })
        }
        (Some(first), _) => first.json(subscription),
        _ => Value::Null,
    };
    Bytes::from(body.to_string())
}

/// `2026-03-02T10:00:00.000000Z`. By the calendar of days since 0000-03-01, whose year ends with the leap day.
pub(crate) fn utc_text(unix_us: i64) -> String {
    const DAY_US: i64 = 86_400_000_000;
    let (days, us) = (unix_us.div_euclid(DAY_US), unix_us.rem_euclid(DAY_US));
    let days = days.saturating_add(719_468);
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march = (5 * day + 2) / 153;
    let day = day - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (seconds, us) = (us / 1_000_000, us % 1_000_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{us:06}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    // A receiver knows by it what it has had before.
    #[test]
    fn an_id_is_made_of_its_place() {
        let place = |lsn, index, part| Place::of(Position::new(Lsn::new(lsn)), index, part);
        let ids = [
            id_of("a", place(1, 0, 0)),
            id_of("b", place(1, 0, 0)),
            id_of("a", place(2, 0, 0)),
            id_of("a", place(1, 1, 0)),
            id_of("a", place(1, 0, 1)),
        ];
        let distinct: std::collections::BTreeSet<u64> = ids.into_iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert_eq!(id_of("a", place(1, 0, 0)), ids[0]);
        // Frozen: other programs keep them.
        assert_eq!(id_text(id_of("crm-7", place(4_711, 2, 1))), "3409c4ff953a5d15");
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (us, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_772_445_600_000_001, "2026-03-02T10:00:00.000001Z"),
            (1_798_761_599_000_000, "2026-12-31T23:59:59.000000Z"),
            (4_107_542_399_000_000, "2100-02-28T23:59:59.000000Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(utc_text(us), text);
        }
    }
}
