//! What a host's fold had come to at the end of an indexed segment, so that a start need not fold from the beginning.
//!
//! Shape: `DIR/index/<last LSN>.fold`, a file of rows (`rows.rs`) with a directory (rkyv): the LSN, the chain of the
//! segment that ends there, notes. What a row means is the host's; the name of its fold, version included, is part of
//! the schema, so that a program that folds otherwise finds no checkpoint and folds anew.
//!
//! A checkpoint is tied to its log by the chain. It can be thrown away: index files hold all it was made of.
//!
//! Invariant: a checkpoint and the index behind it come to what the log alone comes to: the engine's
//! `engine/tests/restart.rs`, `a_start_from_a_checkpoint_knows_what_a_start_from_the_log_knows`.

use std::path::{Path, PathBuf};

use rkyv::{Archive, Deserialize, Serialize};

use crate::env::Env;
use crate::error::{Error, ErrorKind};
use crate::lsn_files::{list_lsns, lsn_path};
use crate::position::Lsn;
use crate::rows::{Row, RowFile, RowWriter, Rows};
use crate::side::{INDEX_DIR, Note, SideView};

/// What the rkyv part looks like; another text, another schema.
const SCHEMA: &str = "checkpoint v1: through chain notes";
/// So many of the newest are kept: the second is for a device that spoils the first.
const KEPT: usize = 2;
/// What its files end with.
const EXTENSION: &str = "fold";

#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default)]
struct Directory {
    through: u64,
    chain: [u8; 32],
    notes: Vec<Note>,
}

/// A fold up to an LSN.
pub struct Checkpoint {
    through: Lsn,
    notes: Vec<Note>,
    file: RowFile,
}

fn schema_of(fold: &str) -> u64 {
    let hash =
        blake3::Hasher::new().update(SCHEMA.as_bytes()).update(b"\0").update(fold.as_bytes()).finalize();
    hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn path_of(through: Lsn) -> PathBuf {
    lsn_path(Path::new(INDEX_DIR), through, EXTENSION)
}

impl Checkpoint {
    /// The newest one of this fold that fits the index; `None`: fold from the beginning.
    ///
    /// # Errors
    /// Of the system; what is damaged or of another fold is passed over.
    pub fn newest(env: &dyn Env, fold: &str, index: &SideView<'_>) -> Result<Option<Self>, Error> {
        for through in list_lsns(env, Path::new(INDEX_DIR), EXTENSION)?.into_iter().rev() {
            let path = path_of(through);
            match Self::open(env, &path, fold) {
                Ok((this, chain)) if this.through == through && index.chain_at(through) == Some(chain) => {
                    return Ok(Some(this));
                }
                Ok(_) => tracing::warn!(path = %path.display(), "a checkpoint of another log is passed over"),
                Err(error) if error.is_not_found() || error.kind() == ErrorKind::Corrupt => {
                    tracing::warn!(%error, "a checkpoint is passed over");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    fn open(env: &dyn Env, path: &Path, fold: &str) -> Result<(Self, [u8; 32]), Error> {
        let (file, bytes) = RowFile::open(env, path, schema_of(fold))?;
        let Directory { through, chain, notes } = rkyv::from_bytes::<Directory, rkyv::rancor::Error>(&bytes)
            .map_err(|error| Error::new(ErrorKind::Corrupt, format!("{}: {error}", path.display())))?;
        Ok((Self { through: Lsn::new(through), notes, file }, chain))
    }

    /// Writes the checkpoint of a fold over all of the index, and removes those that are older than the newest two.
    ///
    /// # Errors
    /// `Fix` when the index is empty; of the system; those of `fill`.
    pub fn write(
        env: &dyn Env,
        fold: &str,
        index: &SideView<'_>,
        notes: Vec<Note>,
        fill: impl FnOnce(&mut dyn FnMut(&Row) -> Result<(), Error>) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let through = index.through();
        let chain =
            index.chain_at(through).ok_or_else(|| Error::new(ErrorKind::Fix, "a checkpoint of nothing"))?;
        let path = path_of(through);
        let mut writer = RowWriter::create(env, &path)?;
        fill(&mut |row| writer.push(row).map(|_| ()))?;
        let directory = Directory { through: through.get(), chain, notes };
        let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&directory)
            .map_err(|error| Error::new(ErrorKind::Fix, format!("{}: {error}", path.display())))?;
        writer.finish(schema_of(fold), &bytes)?;
        for old in list_lsns(env, Path::new(INDEX_DIR), EXTENSION)?.into_iter().rev().skip(KEPT) {
            env.remove(&path_of(old))?;
        }
        Self::open(env, &path, fold).map(|(this, _)| this)
    }

    /// The last LSN it has folded.
    pub fn through(&self) -> Lsn {
        self.through
    }

    /// Rows in it.
    pub fn len(&self) -> u64 {
        self.file.rows()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The notes of the fold.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Its rows, in the order they were written; every page is checked when it is read.
    pub fn rows(&self) -> Rows<'_> {
        self.file.iter()
    }
}

impl std::fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpoint").field("through", &self.through).field("rows", &self.len()).finish()
    }
}
