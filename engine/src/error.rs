//! What went wrong in the world, with what to do about it.

use std::borrow::Cow;

pub use ofd_storage::ErrorKind;

/// An error of the engine. A broken document is none: that is a violation or an unanswered frame.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The storage said so.
    #[error(transparent)]
    Storage(#[from] ofd_storage::Error),
    /// The engine itself.
    #[error("{context}")]
    Engine {
        /// What to do.
        kind: ErrorKind,
        /// What was tried.
        context: Cow<'static, str>,
    },
    /// The system refused something that is no file: a socket, a thread.
    #[error("{context}: {source}")]
    System {
        /// What was tried.
        context: Cow<'static, str>,
        /// The system's word.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, context: impl Into<Cow<'static, str>>) -> Self {
        Self::Engine { kind, context: context.into() }
    }

    pub(crate) fn system(context: impl Into<Cow<'static, str>>, source: std::io::Error) -> Self {
        Self::System { context: context.into(), source }
    }

    /// What to do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Storage(error) => error.kind(),
            Self::Engine { kind, .. } => *kind,
            Self::System { .. } => ErrorKind::Fix,
        }
    }
}
