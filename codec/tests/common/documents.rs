//! Documents of our own making, one of every form of every version and some oddities: the seeds of the golden,
//! exhaustive and fuzz tests.
//!
//! Everybody in them is invented. All but two come from the builders of `ofd_codec::forms`, so that a change of a
//! builder shows; the odd one and the one that lacks a requisite come from the bare encoder: no builder makes them.

use ofd_codec::{
    ConfirmationRequest, DocumentView, DriveNumber, EncodeError, FfdVersion, Form, LocalSeconds, Message,
    Tag, TlvWriter, tags,
};

use super::forms::{self, NOON, drive};

/// One golden document.
pub(crate) struct Golden {
    /// File name in `testdata/golden`.
    pub(crate) name: String,
    /// What it is and where it came from.
    pub(crate) provenance: String,
    /// The session message.
    pub(crate) message: Vec<u8>,
}

fn golden_of(name: &str, provenance: &str, message: Vec<u8>) -> Golden {
    Golden { name: name.to_owned(), provenance: provenance.to_owned(), message }
}

/// The message around a document; answers go to the register, everything else comes from it.
fn message(version: FfdVersion, drive: DriveNumber, number: u32, form: Form, plain: &[u8]) -> Vec<u8> {
    let mut message = Message::from_register(version.p_version(), drive, number, form, plain);
    if matches!(form, Form::CONFIRMATION | Form::MARKING_ANSWER | Form::MARKING_RECEIPT) {
        message.container_type = 0x5A;
    }
    let mut out = Vec::new();
    message.encode_into(&mut out).unwrap();
    out
}

/// What the forms are called in the names of files.
fn name_of(form: Form) -> &'static str {
    match form {
        Form::REGISTRATION => "registration",
        Form::REREGISTRATION => "reregistration",
        Form::OPEN_SHIFT => "open-shift",
        Form::RECEIPT => "receipt",
        Form::BSO => "bso",
        Form::RECEIPT_CORRECTION => "receipt-correction",
        Form::BSO_CORRECTION => "bso-correction",
        Form::CURRENT_STATE => "current-state",
        Form::CLOSE_SHIFT => "close-shift",
        Form::CLOSE_ARCHIVE => "close-archive",
        Form::CONFIRMATION => "confirmation",
        Form::MARKING_REQUEST => "marking-request",
        Form::MARKING_NOTIFICATION => "marking-notification",
        Form::MARKING_ANSWER => "marking-answer",
        Form::MARKING_RECEIPT => "marking-receipt",
        other => panic!("{other} has no name"),
    }
}

/// What no builder makes: a receipt of every oddity, after the requisites of the drive.
fn odd() -> Vec<u8> {
    let mut plain = Vec::new();
    let fill = |w: &mut TlvWriter<'_>| -> Result<(), EncodeError> {
        w.bytes(tags::FISCAL_DRIVE_NUMBER, drive().as_bytes())?;
        w.padded_text(tags::KKT_REG_ID, "0000451207031984", 20)?;
        w.padded_text(tags::USER_INN, "7701234560", 12)?;
        w.u32(tags::FISCAL_DOCUMENT_NUMBER, 48);
        w.unixtime(tags::DATE_TIME, LocalSeconds(NOON + 48 * 60));
        w.bytes(tags::FISCAL_SIGN, &[0x21, 0x04, 1, 2, 3, 4])?;
        // A sum padded with zeros, an empty one, and one that is too long to be a number.
        w.bytes(Tag(1020), &[0x10, 0x27, 0, 0, 0, 0])?;
        w.bytes(Tag(1031), &[])?;
        w.bytes(Tag(1081), &[1; 9])?;
        // A decimal without a mantissa, numbers that nobody knows, text with control characters.
        w.nested(Tag(1059), |i| {
            i.bytes(Tag(1023), &[1])?;
            i.bytes(Tag(1030), b"\x00\x1F\"\\/\x7F\xFF\xFC")?;
            i.bytes(Tag(65_000), &[0xDE, 0xAD])
        })?;
        w.bytes(Tag(1078), &[0x88, 6])?;
        w.bytes(Tag(9_999), &[])?;
        w.bytes(Tag(9_999), b"twice")?;
        // An item's rate and an item's structure outside any item, and an empty structure.
        w.u8(Tag(1199), 3);
        w.nested(Tag(1224), |_| Ok(()))?;
        // Two tags of one key: the counter's total has to give way to the receipt's.
        w.vln(Tag(1201), 5);
        // Sums by rate that are not a structure.
        w.bytes(Tag(1115), &[0x5D, 0x04, 0xFF, 0xFF])?;
        w.bytes(Tag(1209), &[4])
    };
    TlvWriter::new(&mut plain).document(Form::RECEIPT, fill).unwrap();
    plain
}

/// A closing of a shift that does not say how long the drive's keys last (1213), which version 1.2 demands: no builder
/// gives it, so that the requisite is taken out of a whole one.
fn lacking() -> Vec<u8> {
    let whole = forms::close_shift(FfdVersion::V1_2, 62).finish().unwrap();
    let view = DocumentView::new_checked(&whole).unwrap();
    let mut plain = Vec::new();
    TlvWriter::new(&mut plain)
        .document(Form::CLOSE_SHIFT, |w| {
            view.tags()
                .filter(|(tag, _)| *tag != tags::KEY_RESOURCE)
                .try_for_each(|(tag, value)| w.bytes(tag, value.bytes()))
        })
        .unwrap();
    plain
}

/// All golden documents: a rich and an odd one first, then a document of each form and version.
pub(crate) fn golden() -> Vec<Golden> {
    let newest = FfdVersion::V1_2;
    let receipt = |version, number, plain: &[u8]| message(version, drive(), number, Form::RECEIPT, plain);
    let marked = forms::marked(49).finish().unwrap();
    let agent = forms::agent(51).finish().unwrap();
    let mut answer = Vec::new();
    ConfirmationRequest::unsigned(*b"7700001002  ", drive(), 44, LocalSeconds(NOON + 7), 0, [1, 0x20])
        .encode_into(&mut answer)
        .unwrap();
    let mut all = vec![
        golden_of(
            "receipt-1.2-marked",
            "half a package with a marking code, two industry details, a buyer, a sale in the Internet",
            receipt(newest, 49, &marked),
        ),
        golden_of(
            "receipt-1.05-agent",
            "an agent's sale: phones of three parties, a product code, quoted text",
            receipt(FfdVersion::V1_05, 51, &agent),
        ),
        golden_of(
            "receipt-odd",
            "what no table allows and registers or hostile senders may still send",
            receipt(newest, 48, &odd()),
        ),
        golden_of(
            "close-shift-1.2-lacking",
            "a shift closing without tag 1213",
            message(newest, drive(), 62, Form::CLOSE_SHIFT, &lacking()),
        ),
        golden_of("answer", "the operator's unsigned answer with code 0", answer),
    ];
    for (version, form, number, plain) in forms::every_form() {
        let drive = forms::stamp(version, number).drive;
        all.push(golden_of(
            &format!("{}-{version}", name_of(form)),
            &format!("form {} of version {version} out of its builder", form.0),
            message(version, drive, number, form, &plain),
        ));
    }
    all
}
