//! What the tax service and delivery channels have answered: the payload of a record of kind
//! [`Status`](crate::RecordKind::Status), which tells of many documents at once.
//!
//! Shape (version 1; numbers are LEB128, differences zigzag, each against the event before it, the first against zeros):
//!
//! ```text
//!  u8 version 1 │ u8 of: 1 tax service, 2 delivery │ count │ event …
//!  event: u8 kind │ u8 what follows: 1 drive, 2 code, 4 tag, 8 id │ position difference │ [drive: 8 bytes, packed] │
//!         number difference │ attempt │ [code] │ [tag] │ [id: u8 shared with the id before, u8 length of the rest, the rest]
//! ```
//!
//! Unit: one event a document and answer. A batch of 1,000 documents whose ids are UUIDs takes about 50 KB when it is sent
//! and 10 KB when it is accepted; a record of its own for each of them would take 64 bytes of header alone.
//!
//! Invariants, with the test that holds each: what was written is read (`events_come_back_as_they_were`); no bytes make the
//! reader panic or allocate more than they are long (`any_bytes_are_read_or_refused`); bytes of version 1 are read for ever
//! (`the_bytes_of_version_1`).
//!
//! Errors: [`decode`] gives `None` for what is no such payload or of a newer version; nothing of it is then known.

/// Version byte of the payload.
const VERSION: u8 = 1;
/// Events of one record at most: with the longest ids they fit into a record.
pub const STATUS_EVENTS_MAX: usize = 1_000;
/// Longest id of the other side that is kept, bytes.
pub const STATUS_ID_LEN_MAX: usize = 128;
/// The shortest event, bytes: kind, what follows, three numbers.
const EVENT_LEN_MIN: usize = 5;

const HAS_DRIVE: u8 = 1;
const HAS_CODE: u8 = 2;
const HAS_TAG: u8 = 4;
const HAS_ID: u8 = 8;

/// Who has answered. Open: one of a newer version is a value with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatusOf {
    /// The tax service (ФНС).
    Tax,
    /// A delivery channel.
    Delivery,
    /// Of a newer version.
    Unknown(u8),
}

impl StatusOf {
    /// The byte in the payload.
    pub const fn code(self) -> u8 {
        match self {
            Self::Tax => 1,
            Self::Delivery => 2,
            Self::Unknown(code) => code,
        }
    }

    /// From the byte in the payload.
    pub const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Tax,
            2 => Self::Delivery,
            other => Self::Unknown(other),
        }
    }

    /// Its name in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tax => "tax",
            Self::Delivery => "delivery",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// What has become of a document on its way. Open: one of a newer version is a value with a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StatusKind {
    /// Handed over; the verdict follows.
    #[default]
    Sent,
    /// Accepted, or delivered.
    Accepted,
    /// Accepted with a warning: «мягкий карантин».
    Warned,
    /// Not accepted, cannot be mended: «жёсткий карантин».
    Quarantined,
    /// Refused.
    Refused,
    /// It was there already, which counts as accepted.
    Duplicate,
    /// It cannot be handed over: its record is damaged.
    GivenUp,
    /// Of a newer version.
    Unknown(u8),
}

impl StatusKind {
    /// The byte in the payload.
    pub const fn code(self) -> u8 {
        match self {
            Self::Sent => 1,
            Self::Accepted => 2,
            Self::Warned => 3,
            Self::Quarantined => 4,
            Self::Refused => 5,
            Self::Duplicate => 6,
            Self::GivenUp => 7,
            Self::Unknown(code) => code,
        }
    }

    /// From the byte in the payload.
    pub const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Sent,
            2 => Self::Accepted,
            3 => Self::Warned,
            4 => Self::Quarantined,
            5 => Self::Refused,
            6 => Self::Duplicate,
            7 => Self::GivenUp,
            other => Self::Unknown(other),
        }
    }

    /// Its name in tables and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Accepted => "accepted",
            Self::Warned => "warned",
            Self::Quarantined => "quarantined",
            Self::Refused => "refused",
            Self::Duplicate => "duplicate",
            Self::GivenUp => "given_up",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Whether nothing more is to come of it by itself.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Sent | Self::Unknown(_))
    }

    /// Whether the other side has it and keeps it.
    pub const fn is_accepted(self) -> bool {
        matches!(self, Self::Accepted | Self::Warned | Self::Duplicate)
    }
}

/// One answer about one document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusEvent {
    /// What has become of it.
    pub kind: StatusKind,
    /// Number of its record in the log.
    pub position: u64,
    /// Its drive (1041), packed as in a container header, big-endian; 0 where there is none.
    pub drive: u64,
    /// Its number (1040).
    pub number: u32,
    /// Which attempt this was, from 1.
    pub attempt: u32,
    /// What the other side calls it; empty where it says nothing new. At most [`STATUS_ID_LEN_MAX`] bytes are kept.
    pub id: String,
    /// The other side's code.
    pub code: Option<u32>,
    /// The requisite it names.
    pub tag: Option<u16>,
}

/// The payload that tells these events. More than [`STATUS_EVENTS_MAX`] belong into further records.
pub fn encode(of: StatusOf, events: &[StatusEvent]) -> Vec<u8> {
    let mut out = Vec::with_capacity(events.len().saturating_mul(24).saturating_add(8));
    out.extend_from_slice(&[VERSION, of.code()]);
    put(&mut out, events.len() as u64);
    let (mut position, mut drive, mut number, mut id) = (0u64, 0u64, 0u32, "");
    for event in events {
        let told = bounded_id(&event.id);
        let mut has = 0;
        for (bit, is) in [
            (HAS_DRIVE, event.drive != drive),
            (HAS_CODE, event.code.is_some()),
            (HAS_TAG, event.tag.is_some()),
            (HAS_ID, !told.is_empty()),
        ] {
            has |= if is { bit } else { 0 };
        }
        out.extend_from_slice(&[event.kind.code(), has]);
        put(&mut out, zigzag(event.position.wrapping_sub(position)));
        if has & HAS_DRIVE != 0 {
            out.extend_from_slice(&event.drive.to_le_bytes());
        }
        put(&mut out, zigzag(u64::from(event.number).wrapping_sub(u64::from(number))));
        put(&mut out, u64::from(event.attempt));
        event.code.into_iter().for_each(|code| put(&mut out, u64::from(code)));
        event.tag.into_iter().for_each(|tag| put(&mut out, u64::from(tag)));
        if has & HAS_ID != 0 {
            let shared = told.bytes().zip(id.bytes()).take_while(|(new, old)| new == old).count();
            let rest = told.as_bytes().get(shared..).unwrap_or_default();
            out.push(u8::try_from(shared).unwrap_or_default());
            out.push(u8::try_from(rest.len()).unwrap_or_default());
            out.extend_from_slice(rest);
            id = told;
        }
        (position, drive, number) = (event.position, event.drive, event.number);
    }
    out
}

/// Reads a payload; `None` when it is none, or of a newer version.
pub fn decode(payload: &[u8]) -> Option<(StatusOf, Vec<StatusEvent>)> {
    let mut rest = payload;
    let [VERSION, of] = *take(&mut rest)? else { return None };
    let count = usize::try_from(get(&mut rest)?).ok()?;
    // A count that lies allocates no more than its payload is long.
    if count.checked_mul(EVENT_LEN_MIN)? > rest.len() {
        return None;
    }
    let mut events = Vec::with_capacity(count);
    let (mut position, mut drive, mut number) = (0u64, 0u64, 0u64);
    let mut id: Vec<u8> = Vec::new();
    for _ in 0..count {
        let [kind, has] = *take(&mut rest)?;
        position = position.wrapping_add(unzigzag(get(&mut rest)?));
        if has & HAS_DRIVE != 0 {
            drive = u64::from_le_bytes(*take(&mut rest)?);
        }
        number = number.wrapping_add(unzigzag(get(&mut rest)?));
        let attempt = u32::try_from(get(&mut rest)?).ok()?;
        let code = if has & HAS_CODE != 0 { Some(u32::try_from(get(&mut rest)?).ok()?) } else { None };
        let tag = if has & HAS_TAG != 0 { Some(u16::try_from(get(&mut rest)?).ok()?) } else { None };
        let mut told = String::new();
        if has & HAS_ID != 0 {
            let [shared, len] = *take(&mut rest)?;
            let (new, behind) = rest.split_at_checked(usize::from(len))?;
            rest = behind;
            if usize::from(shared) > id.len() {
                return None;
            }
            id.truncate(usize::from(shared));
            id.extend_from_slice(new);
            told = String::from_utf8(id.clone()).ok()?;
        }
        events.push(StatusEvent {
            kind: StatusKind::from_code(kind),
            position,
            drive,
            number: u32::try_from(number).ok()?,
            attempt,
            id: told,
            code,
            tag,
        });
    }
    rest.is_empty().then_some((StatusOf::from_code(of), events))
}

/// As much of an id as is kept, in whole characters.
pub fn bounded_id(id: &str) -> &str {
    let mut len = id.len().min(STATUS_ID_LEN_MAX);
    while !id.is_char_boundary(len) {
        len = len.saturating_sub(1);
    }
    id.get(..len).unwrap_or_default()
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, behind) = rest.split_first_chunk::<N>()?;
    *rest = behind;
    Some(taken)
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn get(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for at in 0..10u32 {
        let [byte] = *take(rest)?;
        let part = u64::from(byte & 0x7F);
        // The tenth byte has room for one bit.
        if at == 9 && part > 1 {
            return None;
        }
        number |= part << (at * 7);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A difference modulo 2^64 as a number that is small when it is near zero on either side.
fn zigzag(difference: u64) -> u64 {
    let signed = difference.cast_signed();
    ((signed << 1) ^ (signed >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ 0u64.wrapping_sub(number & 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test may panic")]
    use super::*;

    fn sample() -> Vec<StatusEvent> {
        let event = |kind, position, drive, number, id: &str| StatusEvent {
            kind,
            position,
            drive,
            number,
            attempt: 1,
            id: id.to_owned(),
            code: None,
            tag: None,
        };
        vec![
            event(StatusKind::Sent, 100, 0x7100_0000_0000_0001, 7, "batch-9/1"),
            event(StatusKind::Sent, 90, 0x7100_0000_0000_0001, 8, "batch-9/2"),
            StatusEvent {
                code: Some(507),
                tag: Some(1020),
                attempt: 3,
                ..event(StatusKind::Refused, u64::MAX, 0x71FF, 1, "")
            },
            event(StatusKind::Unknown(77), 0, 0, u32::MAX, "другой"),
            event(StatusKind::Duplicate, 5, u64::MAX, 0, "batch"),
        ]
    }

    // The ledger is nothing but this.
    #[test]
    fn events_come_back_as_they_were() {
        for count in 0..=sample().len() {
            let events = &sample()[..count];
            let bytes = encode(StatusOf::Tax, events);
            assert_eq!(decode(&bytes), Some((StatusOf::Tax, events.to_vec())));
        }
        for code in 0..=u8::MAX {
            assert_eq!(StatusKind::from_code(code).code(), code);
            assert_eq!(StatusOf::from_code(code).code(), code);
        }
        let long = StatusEvent { id: "ю".repeat(100), ..StatusEvent::default() };
        let (_, events) = decode(&encode(StatusOf::Delivery, &[long])).unwrap();
        assert_eq!(events[0].id, "ю".repeat(STATUS_ID_LEN_MAX / 2));
    }

    // It is kept in logs for ever.
    #[test]
    fn the_bytes_of_version_1() {
        let bytes = encode(StatusOf::Tax, &sample()[..3]);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "0101030109c80101000000000000710e01000962617463682d392f3101081302010801320507b501\
             ff710000000000000d03fb03fc07"
        );
        assert_eq!(decode(&bytes).unwrap().1, &sample()[..3]);
    }

    // A damaged or hostile payload is refused, whatever its count says.
    #[test]
    fn any_bytes_are_read_or_refused() {
        let good = encode(StatusOf::Tax, &sample());
        for len in 0..good.len() {
            assert_eq!(decode(&good[..len]), None, "cut at {len}");
        }
        for at in 0..good.len() {
            for byte in 0..=u8::MAX {
                let mut bad = good.clone();
                bad[at] = byte;
                let _ = decode(&bad);
            }
        }
        assert_eq!(decode(&[1, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]), None);
        assert_eq!(decode(&[2, 1, 0]), None);
    }

    // What a batch costs in the log.
    #[test]
    fn a_batch_takes_little_and_the_longest_fits_into_a_record() {
        let event = |at: u64, id: String| StatusEvent {
            kind: StatusKind::Sent,
            position: 1_000_000 + at * 3,
            drive: 0x9960_0000_0000_0000 + at / 20,
            number: 1000 + (at % 20) as u32,
            attempt: 1,
            id,
            ..StatusEvent::default()
        };
        let of = |id: &dyn Fn(u64) -> String| {
            let events: Vec<_> = (0..1000).map(|at| event(at, id(at))).collect();
            encode(StatusOf::Tax, &events).len()
        };
        let uuid =
            |at: u64| format!("{:036}", at.wrapping_mul(0x9E37_79B9_7F4A_7C15) as u128 * 0x1234_5678_9ABC);
        assert!(of(&uuid) < 60_000, "{}", of(&uuid));
        assert!(of(&|_| String::new()) < 8_000, "{}", of(&|_| String::new()));
        let mut longest: Vec<_> = (0..1000).map(|at| event(at, format!("{at:0>128}"))).collect();
        for (at, event) in longest.iter_mut().enumerate() {
            // Nothing is shared with the one before.
            event.id = (at % 10).to_string() + &event.id[1..];
            (event.position, event.drive, event.number) =
                (u64::MAX / (at as u64 % 2 + 1), at as u64, u32::MAX);
            (event.code, event.tag, event.attempt) = (Some(u32::MAX), Some(u16::MAX), u32::MAX);
        }
        assert!(encode(StatusOf::Tax, &longest).len() < crate::record::RECORD_LEN_MAX - 64);
    }
}
