//! A frame looked at once: what document it carries, or why it carries none. Pure: no file, no clock.

use ahash::RandomState;
use ofd_codec::{
    DecodeError, DecodeErrorKind, DocumentView, DriveNumber, FfdVersion, Form, Frame, Tag,
    open_plain_with_header,
};

/// What a whole and well-formed document says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Examined {
    pub(crate) drive: DriveNumber,
    pub(crate) number: u32,
    pub(crate) form: Form,
    /// Keyed hash of the plain document: the identity of rule A8 together with drive and number.
    pub(crate) digest: u128,
    /// The version that a registration document (1, 11) declares.
    pub(crate) registers: Option<FfdVersion>,
}

/// The ФФД version of a document of a drive that was registered with `registered`.
pub(crate) fn version_of(plain: &[u8], registered: Option<FfdVersion>, p_version: [u8; 2]) -> FfdVersion {
    match DocumentView::new_checked(plain) {
        Ok(view) => FfdVersion::of_document(&view.header(), registered, p_version),
        Err(_) => FfdVersion::from_p_version(p_version).unwrap_or(FfdVersion::V1_0),
    }
}

/// Why a frame is not a document.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// Rules A1 to A3: no answer, nothing kept but a sample.
    Noise(DecodeError),
    /// Rules A4, A5 and A7: the bytes are kept, there is no answer.
    Misfit { drive: DriveNumber, number: u32, form: u8, digest: u128, error: DecodeError },
}

/// Two keyed hashes side by side: 128 bits that nobody outside can aim at, since the keys are drawn when the
/// engine starts and never leave memory. Nothing stored depends on them.
#[derive(Clone, Debug)]
pub(crate) struct Digester {
    high: RandomState,
    low: RandomState,
}

impl Digester {
    /// `random` draws the keys.
    pub(crate) fn new(mut random: impl FnMut() -> u64) -> Self {
        let mut keys = || RandomState::with_seeds(random(), random(), random(), random());
        Self { high: keys(), low: keys() }
    }

    /// The hash of these bytes.
    pub(crate) fn digest(&self, bytes: &[u8]) -> u128 {
        u128::from(self.high.hash_one(bytes)) << 64 | u128::from(self.low.hash_one(bytes))
    }
}

/// What tells the content of quarantined frames apart, also after a restart: 128 bits of BLAKE3.
pub(crate) fn content_digest(bytes: &[u8]) -> u128 {
    blake3::hash(bytes).as_bytes().first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes))
}

/// Looks at a session message. `opened` is the deciphered document when the crypto module made one.
pub(crate) fn examine(
    message: &[u8],
    opened: Option<&[u8]>,
    digester: &Digester,
) -> Result<Examined, Trouble> {
    let frame = Frame::new_checked(message).map_err(Trouble::Noise)?;
    let container = frame.container();
    let session = *frame.header();
    let drive = session.drive_number().map_err(Trouble::Noise)?;
    let plain = opened.unwrap_or(container.body());
    let opened = open_plain_with_header(&container, Some(&session.drive), plain);
    let (view, header) = opened.map_err(|error| Trouble::Misfit {
        drive,
        number: container.number(),
        form: container.form(),
        digest: content_digest(container.bytes()),
        error,
    })?;
    if header.ffd.is_some_and(|code| code > FfdVersion::NEWEST.code()) {
        // A format newer than this program: what it means nobody here can say, so it is kept and not answered.
        let error = DecodeError { kind: DecodeErrorKind::Version, tag: Some(Tag(1209)), offset: 0 };
        let (number, form) = (container.number(), container.form());
        return Err(Trouble::Misfit {
            drive,
            number,
            form,
            digest: content_digest(container.bytes()),
            error,
        });
    }
    Ok(Examined {
        drive,
        number: container.number(),
        form: view.form(),
        digest: digester.digest(view.bytes()),
        registers: registered_version(&view, session.p_version),
    })
}

/// The ФФД version that a registration document (forms 1 and 11) declares for its drive.
pub(crate) fn registered_version(view: &DocumentView<'_>, p_version: [u8; 2]) -> Option<FfdVersion> {
    matches!(view.form(), Form::REGISTRATION | Form::REREGISTRATION)
        .then(|| FfdVersion::of_document(&view.header(), None, p_version))
}
