//! How a question ends badly.
//!
//! The kind says who has to do something. The text never holds what the asker may not see: where the archive itself
//! cannot be read, only the operator is told which file.

use std::error::Error as StdError;

use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use ofd_storage::ErrorKind as StorageKind;

use crate::scope::Scope;

/// Who has to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text is no SQL, or names what is not there: mend it.
    Statement,
    /// SQL that is no question: nothing is written, set or explained with data here.
    Refused,
    /// A value that cannot be computed: a division by zero, a text that is no number.
    Value,
    /// More memory than allowed, or more room for spilling.
    Memory,
    /// More time than allowed.
    Time,
    /// More rows than allowed; those up to the limit were handed out.
    Rows,
    /// A limit outside of its bounds.
    Limits,
    /// The archive was changed under the question more often than it was tried: ask again.
    Changed,
    /// The archive or the log cannot be read; the kind is that of the storage.
    Storage(StorageKind),
    /// A defect of ours or below us.
    Defect,
}

/// An error of a question.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Error {
    kind: ErrorKind,
    text: String,
}

/// When an error came up: the same words of DataFusion mean another thing before the first row than behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Reading the text, and the plan that follows from it alone.
    Planning,
    /// Planning over files.
    Physical,
    /// Rows are on their way.
    Running,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    /// Who has to do something.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// A file of the archive went, or another took its place.
    pub(crate) fn changed() -> Self {
        Self::new(ErrorKind::Changed, "the archive was changed under the question: ask again")
    }

    /// What went wrong in the storage, told to whom it concerns.
    pub(crate) fn storage(error: &ofd_storage::Error, scope: &Scope) -> Self {
        if error.is_not_found() {
            return Self::changed();
        }
        Self::unreadable(error.kind(), error, scope)
    }

    fn unreadable(kind: StorageKind, error: &dyn StdError, scope: &Scope) -> Self {
        let text = match scope {
            Scope::Everything => error.to_string(),
            Scope::Users(_) => "the archive cannot be read; the operator's log says why".to_owned(),
        };
        Self::new(ErrorKind::Storage(kind), text)
    }

    /// What DataFusion calls an error, in our kinds.
    pub(crate) fn of(error: &DataFusionError, stage: Stage, scope: &Scope) -> Self {
        let mut below: Option<&(dyn StdError + 'static)> = Some(error);
        let (mut parquet, mut arrow) = (None, false);
        while let Some(it) = below {
            if let Some(error) = it.downcast_ref::<ofd_storage::Error>() {
                return Self::storage(error, scope);
            }
            if let Some(error) = it.downcast_ref::<Self>() {
                return Self::new(error.kind, error.text.clone());
            }
            parquet = parquet.or_else(|| it.downcast_ref::<ParquetError>());
            arrow |= it.is::<datafusion::arrow::error::ArrowError>();
            below = it.source();
        }
        if let Some(error) = parquet {
            return Self::unreadable(StorageKind::Corrupt, error, scope);
        }
        let root = error.find_root();
        let kind = match root {
            DataFusionError::ResourcesExhausted(_) => ErrorKind::Memory,
            DataFusionError::Internal(_) | DataFusionError::ExecutionJoin(_) => ErrorKind::Defect,
            DataFusionError::Execution(_) | DataFusionError::ArrowError(..) => ErrorKind::Value,
            _ if arrow => ErrorKind::Value,
            _ => match stage {
                Stage::Planning | Stage::Physical => ErrorKind::Statement,
                Stage::Running => ErrorKind::Value,
            },
        };
        // Errors of plans over files may hold such a plan, with names of files and their number.
        let of_files = match stage {
            Stage::Planning => false,
            Stage::Physical => kind != ErrorKind::Memory,
            Stage::Running => kind == ErrorKind::Defect,
        };
        if of_files && matches!(scope, Scope::Users(_)) {
            return Self::new(
                ErrorKind::Defect,
                "this question cannot be answered: DataFusion has no plan for it",
            );
        }
        let text = match kind {
            ErrorKind::Memory => {
                let first = root.message();
                let first = first.lines().next().unwrap_or_default();
                format!("the question needs more memory than it may have: {first}")
            }
            _ => {
                let text = root.message();
                // The name that is guessed is another each time.
                let text = text.strip_prefix("Invalid function").map_or(text.as_ref(), |_| {
                    text.split_once("\nDid you mean").map_or(text.as_ref(), |(before, _)| before)
                });
                text.to_owned()
            }
        };
        Self::new(kind, text)
    }
}
