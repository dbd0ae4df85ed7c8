//! What a stream of documents tells about the registers in it: the version of their format, their factory number and
//! what they are registered for, from the registrations that passed by.

use std::collections::HashMap;

use ofd_engine::codec::{CheckContext, DriveNumber, FfdVersion, Form, Piece};

/// Registers remembered; in a longer stream the later ones are judged by their documents alone.
const REGISTERS_MAX: usize = 1_000_000;

/// Registrations seen so far.
#[derive(Default)]
pub(crate) struct Known {
    by_drive: HashMap<DriveNumber, CheckContext>,
}

impl Known {
    /// The version a document is to be read by, and what its rules may know.
    pub(crate) fn context(&mut self, piece: &Piece<'_>) -> CheckContext {
        let view = piece.document();
        let header = view.header();
        let known = header.drive.and_then(|drive| self.by_drive.get(&drive).copied());
        let version = FfdVersion::of_document(
            &header,
            known.map(|it| it.version),
            piece.p_version().unwrap_or_default(),
        );
        let mut context = known.unwrap_or_else(|| CheckContext::new(version));
        context.version = version;
        if matches!(header.form, Form::REGISTRATION | Form::REREGISTRATION)
            && let Some(drive) = header.drive
            && (self.by_drive.len() < REGISTERS_MAX || self.by_drive.contains_key(&drive))
        {
            self.by_drive.insert(drive, CheckContext::of_registration(&view, version));
        }
        context
    }
}
