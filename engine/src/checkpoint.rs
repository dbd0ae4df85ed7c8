//! Checkpoints of the lanes: the fold of all drives up to the end of an indexed segment.
//!
//! Made from the checkpoint before and the index behind it, drive by drive in ascending order, so that four
//! million lanes need neither their memory twice nor a look at the live ones.
//!
//! Shape of a row, 32 bytes, little-endian: `drive u64 │ stored u64 │ generation u64 │ last number u32 │ registered
//! version u8, 0 none │ flags u8: bit 0 number 1 is stored │ zeros u16`.
//!
//! Invariant: a start from a checkpoint knows what a start from the log knows: `tests/restart.rs`.

use ofd_codec::FfdVersion;
use ofd_storage::rows::{ROW_LEN, Row, Rows};
use ofd_storage::{Checkpoint, Env, Error, ErrorKind, Lsn, Note, SideView};

use crate::lane::Past;
use crate::sides::fact_in;

/// The fold and the shape of its rows.
const FOLD: &str = "lanes v1";

/// One lane in a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) drive: u64,
    pub(crate) past: Past,
}

impl Kept {
    fn to_row(self) -> Row {
        let Past { last_number, stored, registered, generation, has_first } = self.past;
        let mut row = [0; ROW_LEN];
        let fields: [&[u8]; 6] = [
            &self.drive.to_le_bytes(),
            &stored.to_le_bytes(),
            &generation.get().to_le_bytes(),
            &last_number.to_le_bytes(),
            &[registered.map_or(0, FfdVersion::code)],
            &[u8::from(has_first)],
        ];
        for (place, byte) in row.iter_mut().zip(fields.into_iter().flatten()) {
            *place = *byte;
        }
        row
    }

    fn from_row(row: &Row) -> Option<Self> {
        let (drive, rest) = row.split_first_chunk::<8>()?;
        let (stored, rest) = rest.split_first_chunk::<8>()?;
        let (generation, rest) = rest.split_first_chunk::<8>()?;
        let (last_number, rest) = rest.split_first_chunk::<4>()?;
        let [registered, flags, ..] = *rest else { return None };
        let past = Past {
            last_number: u32::from_le_bytes(*last_number),
            stored: u64::from_le_bytes(*stored),
            registered: Some(registered).filter(|code| *code > 0).and_then(FfdVersion::from_code),
            generation: Lsn::new(u64::from_le_bytes(*generation)),
            has_first: flags & 1 == 1,
        };
        Some(Self { drive: u64::from_le_bytes(*drive), past })
    }
}

/// The newest checkpoint that fits the index.
pub(crate) fn newest(env: &dyn Env, index: &SideView<'_>) -> Result<Option<Checkpoint>, Error> {
    Checkpoint::newest(env, FOLD, index)
}

/// All lanes of the index in ascending order of their drives, from a checkpoint and what lies behind it.
///
/// # Errors
/// `Corrupt` when a page of either is damaged; those of `put`.
pub(crate) fn lanes(
    before: Option<&Checkpoint>,
    index: &SideView<'_>,
    put: &mut dyn FnMut(Kept) -> Result<(), Error>,
) -> Result<(), Error> {
    let after = before.map_or(Lsn::NONE, Checkpoint::through);
    let mut old = before.map(Old::new).transpose()?.unwrap_or_default();
    index.fold_drives(after, &mut |drive, entries| {
        old.below(drive, put)?;
        let mut past = old.take(drive)?.unwrap_or_default();
        for entry in entries {
            past.fold(&fact_in(entry));
        }
        put(Kept { drive, past })
    })?;
    old.below(u64::MAX, put)
}

/// Writes the checkpoint of everything that is indexed, from the one before.
///
/// # Errors
/// Of the system; `Corrupt` when a page of what it is made from is damaged.
pub(crate) fn write(env: &dyn Env, index: &SideView<'_>) -> Result<Checkpoint, Error> {
    match write_behind(env, index, newest(env, index)?) {
        // The one before is damaged: the index holds all it was made of.
        Err(error) if error.kind() == ErrorKind::Corrupt => write_behind(env, index, None),
        other => other,
    }
}

fn write_behind(
    env: &dyn Env,
    index: &SideView<'_>,
    before: Option<Checkpoint>,
) -> Result<Checkpoint, Error> {
    let after = before.as_ref().map_or(Lsn::NONE, Checkpoint::through);
    let mut notes: Vec<Note> = before.as_ref().map(|it| it.notes().to_vec()).unwrap_or_default();
    notes.extend(index.notes(after));
    Checkpoint::write(env, FOLD, index, ofd_storage::newest_notes(notes), |put| {
        lanes(before.as_ref(), index, &mut |kept| put(&kept.to_row()))
    })
}

/// The rows of the checkpoint before, with one in hand.
#[derive(Default)]
struct Old<'c> {
    rows: Option<Rows<'c>>,
    next: Option<Kept>,
}

impl<'c> Old<'c> {
    fn new(checkpoint: &'c Checkpoint) -> Result<Self, Error> {
        let mut this = Self { rows: Some(checkpoint.rows()), next: None };
        this.fetch()?;
        Ok(this)
    }

    fn fetch(&mut self) -> Result<(), Error> {
        let row = self.rows.as_mut().map(Rows::next).transpose()?.flatten();
        self.next = row.as_ref().and_then(Kept::from_row);
        Ok(())
    }

    /// Passes on the lanes below a drive: nothing has come for them.
    fn below(&mut self, drive: u64, put: &mut dyn FnMut(Kept) -> Result<(), Error>) -> Result<(), Error> {
        while let Some(kept) = self.next.filter(|kept| kept.drive < drive) {
            put(kept)?;
            self.fetch()?;
        }
        Ok(())
    }

    fn take(&mut self, drive: u64) -> Result<Option<Past>, Error> {
        let Some(kept) = self.next.filter(|kept| kept.drive == drive) else { return Ok(None) };
        self.fetch()?;
        Ok(Some(kept.past))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_comes_back_from_its_row() {
        let past = Past {
            last_number: 0xFFFF_FFFE,
            stored: 7 << 40,
            registered: Some(FfdVersion::V1_1),
            generation: Lsn::new(1 << 50),
            has_first: true,
        };
        for past in [past, Past::default()] {
            let kept = Kept { drive: 0x9999_0789_0000_5488, past };
            assert_eq!(Kept::from_row(&kept.to_row()), Some(kept));
        }
    }
}
