//! The closed shifts of a snapshot, as values: of each the newest state.

use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal128Type, Int64Type, TimestampMicrosecondType as Micros, TimestampMillisecondType as Millis,
};
use arrow_array::{Array, RecordBatch};
use hashbrown::HashMap;

use super::{Scan, Snapshot};
use crate::columns::read::damaged;
use crate::columns::shift::{PAYMENT_COLUMNS, SUM_PREFIXES, VAT_COLUMNS};
use crate::columns::{ShiftRow, ShiftSums, Table};
use crate::error::Error;

/// What tells a shift from others.
type Key = (String, u32, u32);

impl Snapshot {
    /// Hands the newest state of every closed shift of some rows to `each`, files first. Memory: the keys of shifts that late
    /// documents have changed.
    ///
    /// # Errors
    /// As [`Snapshot::scan`]; the first error of `each`.
    pub fn shifts(
        &self,
        scan: &Scan,
        each: &mut dyn FnMut(ShiftRow) -> Result<(), Error>,
    ) -> Result<(), Error> {
        // A shift has rows besides its newest only when documents came for it after it was closed.
        let mut newest: HashMap<Key, u64> = HashMap::default();
        const KEYS: [&str; 5] = ["position", "fn", "shift", "revision", "close_fd"];
        self.scan(Table::Shifts, scan, Some(&KEYS), &mut |_, batch| {
            let keys = Keys::of(&batch)?;
            for at in (0..batch.num_rows()).filter(|at| keys.revision(*at) > 0) {
                let position = newest.entry(keys.key(at)).or_default();
                *position = (*position).max(keys.position(at));
            }
            Ok(())
        })?;
        self.scan(Table::Shifts, scan, None, &mut |_, batch| {
            let keys = Keys::of(&batch)?;
            for at in 0..batch.num_rows() {
                let stands = newest.get(&keys.key(at)).is_none_or(|it| *it == keys.position(at));
                if stands {
                    each(read(&batch, at)?)?;
                }
            }
            Ok(())
        })
    }
}

struct Keys<'b>(&'b RecordBatch);

impl<'b> Keys<'b> {
    fn of(batch: &'b RecordBatch) -> Result<Self, Error> {
        for name in ["position", "fn", "shift", "revision", "close_fd"] {
            array(batch, name)?;
        }
        Ok(Self(batch))
    }

    fn number(&self, name: &str, at: usize) -> u64 {
        let array = self.0.column_by_name(name).and_then(|it| it.as_primitive_opt::<Int64Type>());
        array.and_then(|it| u64::try_from(it.value(at)).ok()).unwrap_or_default()
    }

    fn position(&self, at: usize) -> u64 {
        self.number("position", at)
    }

    fn revision(&self, at: usize) -> u64 {
        self.number("revision", at)
    }

    fn key(&self, at: usize) -> Key {
        let drive = self.0.column_by_name("fn").and_then(|it| it.as_string_opt::<i32>());
        let small = |name| u32::try_from(self.number(name, at)).unwrap_or_default();
        (drive.map(|it| it.value(at).to_owned()).unwrap_or_default(), small("shift"), small("close_fd"))
    }
}

fn array<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b dyn Array, Error> {
    let found = batch.column_by_name(name).map(|it| &**it);
    found.ok_or_else(|| damaged(Path::new(Table::Shifts.name()), format!("no column {name}")))
}

fn read(batch: &RecordBatch, at: usize) -> Result<ShiftRow, Error> {
    let text = |name: &str| -> Result<Option<String>, Error> {
        let array = array(batch, name)?.as_string_opt::<i32>().filter(|it| it.is_valid(at));
        Ok(array.map(|it| it.value(at).to_owned()))
    };
    let long = |name: &str| -> Result<Option<i64>, Error> {
        let array = array(batch, name)?.as_primitive_opt::<Int64Type>().filter(|it| it.is_valid(at));
        Ok(array.map(|it| it.value(at)))
    };
    let small = |name: &str| Ok::<_, Error>(long(name)?.and_then(|it| u32::try_from(it).ok()));
    let money = |name: &str| -> Result<Option<i64>, Error> {
        let array = array(batch, name)?.as_primitive_opt::<Decimal128Type>().filter(|it| it.is_valid(at));
        Ok(array.and_then(|it| i64::try_from(it.value(at)).ok()))
    };
    let local = |name: &str| -> Result<Option<i64>, Error> {
        let array = array(batch, name)?.as_primitive_opt::<Millis>().filter(|it| it.is_valid(at));
        Ok(array.map(|it| it.value(at).div_euclid(1000)))
    };
    let received = array(batch, "received_at")?.as_primitive_opt::<Micros>();
    let inexact = array(batch, "inexact")?.as_boolean_opt();
    let mut sums = [None; SUM_PREFIXES.len()];
    for (slot, prefix) in sums.iter_mut().zip(SUM_PREFIXES) {
        let of = |name: &str| money(&format!("{prefix}_{name}"));
        let Some(receipts) = small(&format!("{prefix}_receipts"))? else { continue };
        let mut found =
            ShiftSums { receipts, total: of("total")?.unwrap_or_default(), ..ShiftSums::default() };
        for (slot, name) in found.payments.iter_mut().zip(PAYMENT_COLUMNS) {
            *slot = of(name)?.unwrap_or_default();
        }
        for (slot, name) in found.vat.iter_mut().zip(VAT_COLUMNS) {
            *slot = of(name)?.unwrap_or_default();
        }
        *slot = Some(found);
    }
    let of = |texts: &[&'static str], found: Option<String>| {
        texts.iter().find(|it| found.as_deref() == Some(**it)).copied().unwrap_or_default()
    };
    Ok(ShiftRow {
        position: long("position")?.and_then(|it| u64::try_from(it).ok()).unwrap_or_default(),
        received_at_us: received.map_or(0, |it| it.value(at)),
        realm: of(&["prod", "test"], text("realm")?),
        inn: text("inn")?,
        rnm: text("rnm")?,
        drive: text("fn")?.unwrap_or_default(),
        shift: small("shift")?.unwrap_or_default(),
        opened_at: local("opened_at")?,
        closed_at: local("closed_at")?,
        open_fd: small("open_fd")?,
        close_fd: small("close_fd")?.unwrap_or_default(),
        cashier: text("cashier")?,
        documents: small("documents")?.unwrap_or_default(),
        receipts: small("receipts")?.unwrap_or_default(),
        revenue: money("revenue")?.unwrap_or_default(),
        state: of(&["agrees", "differs", "incomplete"], text("state")?),
        inexact: inexact.is_some_and(|it| it.value(at)),
        revision: small("revision")?.unwrap_or_default(),
        stated_receipts: small("stated_receipts")?,
        stated_documents: small("stated_documents")?,
        counters: text("counters")?,
        mismatches: text("mismatches")?,
        sums,
    })
}
