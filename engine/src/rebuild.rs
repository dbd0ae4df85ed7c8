//! A fold that is made anew because an operator says so: who doubts what it shows, or has mended a disk, need not stop the process.
//!
//! ```text
//! {"do":"fold.rebuild","fold":"registers","by":"…","reason":"…"}   a record of the log, then
//!   checkpoints removed ─▶ everything from the first record of the archive on, as at a start without any ─▶ the tail, as ever
//! ```
//!
//! Documents are taken and answered meanwhile. What the fold shows is what it has come to; its lag says how far that is behind. A process
//! that ends before it is through folds from the beginning at its next start, unless it ended while checkpoints were being removed.

use std::sync::atomic::Ordering;

use ofd_storage::Lsn;
use serde_json::json;

use crate::door::checked;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind};

/// A fold that checkpoints are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// Registers, shifts, figures, findings, colours and all events of them.
    Registers,
    /// The outbox of the tax service and its accounts.
    Tax,
}

impl Fold {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Registers, Self::Tax];

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registers => "registers",
            Self::Tax => "tax",
        }
    }

    /// The one that is called so.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

impl Engine {
    /// Has a fold made anew from the first record of the archive on; the position of the record that says so. It begins when that is
    /// durable and goes on behind this call.
    ///
    /// # Errors
    /// `Fix` when nobody says who and why, and for the outbox of an engine without a tax service; `Reopen` when the log has failed.
    pub fn rebuild_fold(&self, fold: Fold, by: &str, reason: &str) -> Result<Lsn, Error> {
        let (by, reason) = checked(by, reason)?;
        if fold == Fold::Tax && !self.tax_overview().on {
            return Err(Error::new(ErrorKind::Fix, "this engine has no tax service, and so no outbox"));
        }
        let payload =
            json!({"do": "fold.rebuild", "fold": fold.name(), "by": by, "reason": reason}).to_string();
        let lsn = self.append_commands([payload.into_bytes()])?;
        let shared = self.shared();
        let (flag, bell) = match fold {
            Fold::Registers => (&shared.rebuild_registers, &shared.live_bell),
            Fold::Tax => (&shared.rebuild_tax, &shared.tax_bell),
        };
        flag.store(true, Ordering::Release);
        bell.ring();
        tracing::warn!(fold = fold.name(), "an operator has a fold made anew");
        Ok(lsn)
    }
}
