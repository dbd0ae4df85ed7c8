//! What a stream of documents tells about the registers in it: the version of their format and their factory
//! number, from the registrations that passed by.

use std::collections::HashMap;

use ofd_engine::codec::{CheckContext, DocumentView, DriveNumber, FfdVersion, Form, Piece, Tag, tags};

/// Registers remembered; in a longer stream the later ones are judged by their documents alone.
const REGISTERS_MAX: usize = 1_000_000;

/// Registrations seen so far.
#[derive(Default)]
pub(crate) struct Known {
    by_drive: HashMap<DriveNumber, Registration>,
}

#[derive(Clone, Copy)]
struct Registration {
    version: FfdVersion,
    kkt_number: Option<[u8; 20]>,
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
        let mut context = CheckContext::new(version);
        context.kkt_number = known.and_then(|it| it.kkt_number);
        if matches!(header.form, Form::REGISTRATION | Form::REREGISTRATION)
            && let Some(drive) = header.drive
            && (self.by_drive.len() < REGISTERS_MAX || self.by_drive.contains_key(&drive))
        {
            self.by_drive.insert(drive, Registration { version, kkt_number: kkt_number(&view) });
        }
        context
    }
}

/// Tag 1013, padded with spaces to its 20 bytes.
fn kkt_number(view: &DocumentView<'_>) -> Option<[u8; 20]> {
    let tag: Tag = tags::KKT_NUMBER;
    let value = view.get(tag)?;
    let mut padded = [b' '; 20];
    padded.get_mut(..value.bytes().len())?.copy_from_slice(value.bytes());
    Some(padded)
}
