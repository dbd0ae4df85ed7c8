//! The closed shifts of a snapshot, as values: of each the newest state.

use hashbrown::HashMap;

use super::{Scan, Snapshot};
use crate::columns::cells::{NamedCells, RowCells};
use crate::columns::shift::{PAYMENT_COLUMNS, SUM_PREFIXES, VAT_COLUMNS};
use crate::columns::{ShiftRow, ShiftSums, Table};
use crate::envelope::Realm;
use crate::error::Error;

/// What tells a shift from others.
type Key = (String, u32, u32);

impl Snapshot {
    /// Hands the newest state of every closed shift of some rows to `each`, files first. Memory: the keys of shifts that late
    /// documents have changed.
    ///
    /// # Errors
    /// As [`Snapshot::scan`]; `Corrupt` when a value does not hold; the first error of `each`.
    pub fn shifts(
        &self,
        scan: &Scan,
        each: &mut dyn FnMut(ShiftRow) -> Result<(), Error>,
    ) -> Result<(), Error> {
        // A shift has rows besides its newest only when documents have changed it after it was closed.
        let mut newest: HashMap<Key, u64> = HashMap::default();
        let keys = ["position", "fn", "shift", "revision", "close_fd"];
        self.scan(Table::Shifts, scan, Some(&keys), &mut |_, batch| {
            for row in NamedCells::of(Table::Shifts, &batch)?.rows() {
                if row.required::<u32>("revision")? > 0 {
                    let newest = newest.entry(key(row)?).or_default();
                    *newest = (*newest).max(row.required("position")?);
                }
            }
            Ok(())
        })?;
        self.scan(Table::Shifts, scan, None, &mut |_, batch| {
            for row in NamedCells::of(Table::Shifts, &batch)?.rows() {
                let position: u64 = row.required("position")?;
                if newest.get(&key(row)?).is_none_or(|newest| *newest == position) {
                    each(read(row)?)?;
                }
            }
            Ok(())
        })
    }
}

fn key(row: RowCells<'_, '_>) -> Result<Key, Error> {
    Ok((row.required_text("fn")?, row.required("shift")?, row.required("close_fd")?))
}

fn read(row: RowCells<'_, '_>) -> Result<ShiftRow, Error> {
    let mut sums = [None; SUM_PREFIXES.len()];
    for (slot, prefix) in sums.iter_mut().zip(SUM_PREFIXES) {
        let of = |name: &str| row.int(&format!("{prefix}_{name}")).map(Option::unwrap_or_default);
        let Some(receipts) = row.small(&format!("{prefix}_receipts"))? else { continue };
        let mut found = ShiftSums { receipts, total: of("total")?, ..ShiftSums::default() };
        for (slot, name) in found.payments.iter_mut().zip(PAYMENT_COLUMNS) {
            *slot = of(name)?;
        }
        for (slot, name) in found.vat.iter_mut().zip(VAT_COLUMNS) {
            *slot = of(name)?;
        }
        *slot = Some(found);
    }
    Ok(ShiftRow {
        position: row.required("position")?,
        received_at_us: row.required("received_at")?,
        realm: row.word("realm", &[Realm::Prod, Realm::Test].map(Realm::as_str))?,
        inn: row.owned("inn")?,
        rnm: row.owned("rnm")?,
        drive: row.required_text("fn")?,
        shift: row.required("shift")?,
        opened_at: row.seconds("opened_at")?,
        closed_at: row.seconds("closed_at")?,
        open_fd: row.small("open_fd")?,
        close_fd: row.required("close_fd")?,
        cashier: row.owned("cashier")?,
        documents: row.required("documents")?,
        receipts: row.required("receipts")?,
        // NULL where it does not fit the column.
        revenue: row.int("revenue")?.unwrap_or_default(),
        state: row.word("state", &["agrees", "differs", "incomplete"])?,
        inexact: row.flag("inexact")?.unwrap_or_default(),
        revision: row.required("revision")?,
        stated_receipts: row.small("stated_receipts")?,
        stated_documents: row.small("stated_documents")?,
        counters: row.owned("counters")?,
        mismatches: row.owned("mismatches")?,
        sums,
    })
}
