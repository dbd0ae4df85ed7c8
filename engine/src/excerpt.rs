//! What leaves the engine for one reader: the export of a merchant, findings of documents. By a running engine, or beside it.
//!
//! Both read a [`Snapshot`], and take another one when a file went away under their eyes: compaction may thin out the
//! archive meanwhile.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use ofd_codec::DriveNumber;
use ofd_storage::columns::ShiftRow;
use ofd_storage::columns::file::FileOptions;
use ofd_storage::export::{ExportOptions, ExportReport, export};
use ofd_storage::union::{Scan, Snapshot, StoredFinding};
use ofd_storage::{Env, Position, RealEnv};

use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::host::{Capability, Scope};
use crate::readonly::ReadOnly;

/// How often a reader begins again because a file has gone.
const ATTEMPTS: usize = 3;

/// What to export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Organisation (1018).
    pub inn: String,
    /// Behind this position; `None`: behind the last increment that lies in the folder.
    pub since: Option<Position>,
    /// Personal data of buyers and cashiers is left out: `buyer_*`, `cashier*`, what findings quote, and containers.
    pub without_personal: bool,
}

impl Engine {
    /// Exports the tables of an organisation into a folder, as an archive of its own: what came behind the last increment that
    /// lies there. Done again without new documents it changes nothing. Registers are served meanwhile.
    ///
    /// # Errors
    /// `Fix` when the capability does not show the organisation, or the folder is another export; as
    /// [`ofd_storage::export::export`].
    pub fn export(
        &self,
        capability: &Capability,
        folder: &Path,
        what: &Export,
    ) -> Result<ExportReport, Error> {
        exported(&|| self.snapshot(), capability, folder, what)
    }

    /// Hands every closed shift that the capability shows to `each`, as it stands now: of one drive, or of all. Open ones are told by
    /// [`Engine::registers`].
    ///
    /// # Errors
    /// As [`Engine::findings`].
    pub fn shifts(
        &self,
        capability: &Capability,
        drive: Option<DriveNumber>,
        each: &mut dyn FnMut(ShiftRow),
    ) -> Result<(), Error> {
        shifts(&|| self.snapshot(), capability, drive, each)
    }

    /// Hands every finding of the rules in documents that the capability shows to `each`: of one drive, or of all.
    ///
    /// # Errors
    /// As [`Snapshot::scan`]; `Retry` when the archive has changed while it was read.
    pub fn findings(
        &self,
        capability: &Capability,
        drive: Option<DriveNumber>,
        each: &mut dyn FnMut(StoredFinding),
    ) -> Result<(), Error> {
        found(&|| self.snapshot(), capability, drive, each)
    }
}

impl ReadOnly {
    /// As [`Engine::export`]; `ours` as for [`ReadOnly::snapshot`].
    ///
    /// # Errors
    /// As there.
    pub fn export(
        &self,
        capability: &Capability,
        ours: Option<&str>,
        folder: &Path,
        what: &Export,
    ) -> Result<ExportReport, Error> {
        exported(&|| self.snapshot(ours), capability, folder, what)
    }

    /// As [`Engine::shifts`]; `ours` as for [`ReadOnly::snapshot`].
    ///
    /// # Errors
    /// As there.
    pub fn shifts(
        &self,
        capability: &Capability,
        ours: Option<&str>,
        drive: Option<DriveNumber>,
        each: &mut dyn FnMut(ShiftRow),
    ) -> Result<(), Error> {
        shifts(&|| self.snapshot(ours), capability, drive, each)
    }

    /// As [`Engine::findings`].
    ///
    /// # Errors
    /// As there.
    pub fn findings(
        &self,
        capability: &Capability,
        drive: Option<DriveNumber>,
        each: &mut dyn FnMut(StoredFinding),
    ) -> Result<(), Error> {
        found(&|| self.snapshot(None), capability, drive, each)
    }
}

fn exported(
    snapshot: &dyn Fn() -> Result<Snapshot, Error>,
    capability: &Capability,
    folder: &Path,
    what: &Export,
) -> Result<ExportReport, Error> {
    if !capability.sees(Some(&what.inn)) {
        return Err(Error::new(ErrorKind::Fix, format!("the organisation {} is not shown", what.inn)));
    }
    let out: Arc<dyn Env> = Arc::new(RealEnv::new(folder));
    out.create_dir_all(Path::new(""))?;
    let options = ExportOptions {
        inn: what.inn.clone(),
        since: what.since,
        without_personal: what.without_personal,
        file: FileOptions::default(),
    };
    again(&mut || Ok(export(&snapshot()?, &out, &options)?))
}

/// What a capability shows, of one drive or of all.
fn scan_of(capability: &Capability, drive: Option<DriveNumber>) -> Scan {
    let inns: Option<BTreeSet<String>> = match capability.scope() {
        Scope::Operator => None,
        Scope::Users(inns) => Some(inns.iter().cloned().collect()),
    };
    Scan { inns, drive: drive.map(|it| it.as_str().to_owned()), ..Scan::default() }
}

fn found(
    snapshot: &dyn Fn() -> Result<Snapshot, Error>,
    capability: &Capability,
    drive: Option<DriveNumber>,
    each: &mut dyn FnMut(StoredFinding),
) -> Result<(), Error> {
    let scan = scan_of(capability, drive);
    once(each, |each| {
        snapshot()?.findings(&scan, &mut |finding| {
            each(finding);
            Ok(())
        })?;
        Ok(())
    })
}

fn shifts(
    snapshot: &dyn Fn() -> Result<Snapshot, Error>,
    capability: &Capability,
    drive: Option<DriveNumber>,
    each: &mut dyn FnMut(ShiftRow),
) -> Result<(), Error> {
    let scan = scan_of(capability, drive);
    once(each, |each| {
        snapshot()?.shifts(&scan, &mut |shift| {
            each(shift);
            Ok(())
        })?;
        Ok(())
    })
}

/// Tells everything once: what was told cannot be taken back, so that then it is for the caller to begin again.
fn once<T>(
    each: &mut dyn FnMut(T),
    mut read: impl FnMut(&mut dyn FnMut(T)) -> Result<(), Error>,
) -> Result<(), Error> {
    let told = Cell::new(false);
    let mut tell = |it| {
        told.set(true);
        each(it);
    };
    for _ in 1..ATTEMPTS {
        match read(&mut tell) {
            Err(Error::Storage(error)) if error.is_not_found() => {
                tracing::info!(%error, "the archive has changed: beginning again");
            }
            other => return other,
        }
        if told.get() {
            return Err(Error::new(ErrorKind::Retry, "the archive has changed while it was read"));
        }
    }
    read(&mut tell)
}

/// Does it again with another snapshot when a file has gone.
pub(crate) fn again<T>(read: &mut dyn FnMut() -> Result<T, Error>) -> Result<T, Error> {
    for _ in 1..ATTEMPTS {
        match read() {
            Err(Error::Storage(error)) if error.is_not_found() => {
                tracing::info!(%error, "the archive has changed: beginning again");
            }
            other => return other,
        }
    }
    read()
}
