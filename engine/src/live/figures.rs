//! Figures of one register when they are asked for, from its documents.

use core::ops::Range;

use ofd_codec::{LocalSeconds, tags};
use ofd_storage::envelope::Realm;

use crate::engine::Engine;
use crate::error::Error;
use crate::host::Capability;
use crate::registers::{Drive, Figures, Grain};

/// Documents that are read at once: a drive holds up to a quarter of a million.
const DOCUMENTS_AT_ONCE: u32 = 4_096;

impl Engine {
    /// Figures of a register (РНМ, 1037) over all its drives, of receipts made in `times`, local time of the register: exact,
    /// late documents in their own time. `None` when there is no such register for this capability.
    ///
    /// They are added up from its documents, those of the archive included, when they are asked for: what it costs grows with
    /// the documents that the drives of the register have ever sent.
    ///
    /// # Errors
    /// As [`Engine::find`].
    pub fn figures(
        &self,
        capability: &Capability,
        realm: Realm,
        rnm: &str,
        grain: Grain,
        times: Range<LocalSeconds>,
    ) -> Result<Option<Figures>, Error> {
        let book = self.registers(capability);
        let Some(register) = book.register(realm, rnm) else { return Ok(None) };
        let mut figures = Figures::new(grain);
        for it in &register.card.drives {
            // Whatever register the drive names now: each document says whose it is.
            let Some(drive) = self.shared().book.read().drive(it.drive) else { continue };
            for (first, last) in numbers_of(&drive, DOCUMENTS_AT_ONCE) {
                for stored in self.documents(capability, it.drive, first..=last)? {
                    let (Ok(envelope), Some(view)) = (stored.envelope(), stored.document()) else { continue };
                    let counts = envelope.variant == 0
                        && envelope.realm == realm
                        && view.get(tags::KKT_REG_ID).is_some_and(|it| it.text().trimmed().to_cow() == rnm);
                    let received_at_us = stored.received_at_us();
                    if counts && times.contains(&Figures::time_of(view.header().date_time, received_at_us)) {
                        figures.take(&view, received_at_us);
                    }
                }
            }
        }
        Ok(Some(figures))
    }
}

/// The numbers of a drive that are ours, in ranges of at most `most`.
fn numbers_of(drive: &Drive, most: u32) -> Vec<(u32, u32)> {
    let mut ranges = Vec::new();
    for it in drive.service.intervals() {
        let mut first = it.first;
        loop {
            let last = first.saturating_add(most.saturating_sub(1)).min(it.last);
            ranges.push((first, last));
            if last == it.last {
                break;
            }
            first = last.saturating_add(1);
        }
    }
    ranges
}
