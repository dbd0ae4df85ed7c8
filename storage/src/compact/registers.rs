//! The snapshot of the registers that a run writes when it is the first to end on its day.
//!
//! The one before is read as a stream and merged with the changes since, both in the order of registration numbers, so
//! that memory holds the changes of a day and not all registers. A snapshot that cannot be read is no reason to hold back
//! documents: then all changes there ever were are folded again.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

use crate::columns::cells::NamedCells;
use crate::columns::read::{damaged, open, wrong};
use crate::columns::register::read;
use crate::columns::{Day, Derive, RegisterRow, Table};
use crate::env::Env;
use crate::error::{Error, ErrorKind};
use crate::manifest::{FileEntry, Manifest};
use crate::retain::segments::as_published;

/// A snapshot that is due.
#[derive(Debug, Default)]
pub(crate) struct RegistersDue {
    /// The folder.
    pub(crate) day: Day,
    /// The last record it knows.
    as_of: u64,
    /// The one before.
    before: Option<FileEntry>,
    /// What has changed since, by registration number, then in the order of the log.
    changes: Vec<RegisterRow>,
    /// States that have ended are told.
    history: bool,
}

impl RegistersDue {
    /// That of a run at these positions, whose last record came at this time; `None` when it is not due.
    pub(crate) fn due(
        env: &dyn Env,
        manifest: &Manifest,
        run: &RangeInclusive<u64>,
        received_at_us: i64,
        derive: &dyn Derive,
    ) -> Result<Option<Self>, Error> {
        let day = Day::of_utc(received_at_us);
        let last =
            manifest.runs.iter().filter(|it| it.last < *run.start()).rev().find_map(|it| it.registers());
        let date = day.to_string();
        if last.is_some_and(|(_, file)| file.date == date) {
            return Ok(None);
        }
        let (after, before) = match last {
            Some((through, file)) => match as_published(env, file) {
                Ok(()) => (through, Some(file.clone())),
                Err(error) if error.kind() == ErrorKind::Retry => return Err(error),
                Err(error) => {
                    tracing::error!(%error, "alarm: a snapshot of the registers cannot be read, it is made anew");
                    (0, None)
                }
            },
            None => (0, None),
        };
        let Some(mut changes) = derive.registers(after.saturating_add(1)..=*run.end())? else {
            return Ok(None);
        };
        changes.sort_by(|a, b| (a.key(), a.position).cmp(&(b.key(), b.position)));
        if changes.is_empty() && before.is_none() {
            return Ok(None);
        }
        // What has ended before stands in the snapshots before, also in those behind one that is made anew.
        let history = before.is_some() || last.is_none();
        Ok(Some(Self { day, as_of: *run.end(), before, changes, history }))
    }

    /// Compares a file with the rows, made once more.
    pub(crate) fn same(&self, env: &dyn Env, path: &Path) -> Result<(), Error> {
        let mut written = Rows::open(env, Some(path), |_| true)?;
        let other = || damaged(path, "a register reads back otherwise");
        self.rows(env, &mut |row| match written.peek()? {
            Some(there) if *there == row => {
                written.take();
                Ok(())
            }
            _ => Err(other()),
        })?;
        if written.peek()?.is_none() { Ok(()) } else { Err(other()) }
    }

    /// Hands the rows to `each`, in the order of the table.
    pub(crate) fn rows(
        &self,
        env: &dyn Env,
        each: &mut dyn FnMut(RegisterRow) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let path = self.before.as_ref().map(FileEntry::path);
        let mut before = Rows::open(env, path.as_deref(), |it| !it.ended)?;
        let mut changes = self.changes.iter().peekable();
        let mut put = |row: RegisterRow| each(RegisterRow { as_of: self.as_of, ..row });
        loop {
            let old = before.peek()?.map(|it| (it.rnm.clone(), it.realm.clone()));
            let new = changes.peek().map(|it| (it.rnm.clone(), it.realm.clone()));
            let next = match (old, new) {
                (None, None) => return Ok(()),
                (Some(old), Some(new)) => old.min(new),
                (old, new) => old.or(new).unwrap_or_default(),
            };
            let is_next = |row: &RegisterRow| row.key() == (next.0.as_str(), next.1.as_str());
            let mut current = match before.peek()?.is_some_and(&is_next) {
                true => before.take(),
                false => None,
            };
            while let Some(change) = changes.next_if(|it| is_next(it)) {
                current = Some(match current.take() {
                    None => change.clone(),
                    Some(state) => {
                        let next = state.followed_by(change.clone());
                        // A document that came late began before: what was taken for the state never was.
                        let was = state.valid_from.zip(next.valid_from).is_none_or(|(it, end)| it < end);
                        if was && self.history {
                            put(RegisterRow { valid_to: next.valid_from, ended: true, ..state })?;
                        }
                        next
                    }
                });
            }
            current.into_iter().try_for_each(&mut put)?;
        }
    }
}

/// The rows of a file that are wanted, one after another; of no file none.
struct Rows {
    path: PathBuf,
    reader: Option<ParquetRecordBatchReader>,
    wanted: fn(&RegisterRow) -> bool,
    rows: std::vec::IntoIter<RegisterRow>,
}

impl Rows {
    fn open(env: &dyn Env, path: Option<&Path>, wanted: fn(&RegisterRow) -> bool) -> Result<Self, Error> {
        let opened = |path: &Path| {
            let builder = open(env, path)?.with_batch_size(1024);
            builder.build().map_err(|error| wrong(path, error))
        };
        let reader = path.map(opened).transpose()?;
        let path = path.map(Path::to_owned).unwrap_or_default();
        Ok(Self { path, reader, wanted, rows: Vec::new().into_iter() })
    }

    fn peek(&mut self) -> Result<Option<&RegisterRow>, Error> {
        while self.rows.as_slice().is_empty() {
            let Some(batch) = self.reader.as_mut().and_then(Iterator::next) else { return Ok(None) };
            let batch = batch.map_err(|error| wrong(&self.path, error.into()))?;
            let cells = NamedCells::of(Table::Registers, &batch)?;
            let mut rows = cells.rows().map(read).collect::<Result<Vec<_>, _>>()?;
            rows.retain(self.wanted);
            self.rows = rows.into_iter();
        }
        Ok(self.rows.as_slice().first())
    }

    fn take(&mut self) -> Option<RegisterRow> {
        self.rows.next()
    }
}
