//! The QR text of a receipt, and the calendar it needs.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use ofd_codec::{
    Civil, DecodeErrorKind, DocumentNumber, DocumentView, DriveNumber, Form, Kopecks, LocalSeconds, QrCode,
    TlvWriter, tags,
};
use proptest::prelude::*;

const TEXT: &str = "t=20260314T1230&s=159.00&fn=9999078900012345&i=17&fp=258&n=1";

fn receipt(date_time: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    TlvWriter::new(&mut bytes)
        .document(Form::RECEIPT, |w| {
            w.text(tags::FISCAL_DRIVE_NUMBER, "9999078900012345")?;
            w.u32(tags::FISCAL_DOCUMENT_NUMBER, 17);
            w.unixtime(tags::DATE_TIME, LocalSeconds(date_time));
            w.bytes(tags::FISCAL_SIGN, &[0x21, 4, 0, 0, 1, 2])?;
            w.u8(tags::OPERATION_TYPE, 1);
            w.vln(tags::TOTAL_SUM, 15_900);
            Ok(())
        })
        .unwrap();
    bytes
}

/// Why: a buyer's code is the proof that the shop's document is the one he holds; each field of it counts.
#[test]
fn a_code_belongs_to_its_document_and_to_no_other() {
    let bytes = receipt(1_773_491_400);
    let view = DocumentView::new_checked(&bytes).unwrap();
    let qr = QrCode::of_document(&view).unwrap();
    assert_eq!(qr.to_string(), TEXT);
    assert!(qr.is_of(&view));
    for (field, other, tag) in [
        ("T1230", "T1231", tags::DATE_TIME),
        ("T1230", "T123001", tags::DATE_TIME),
        ("159.00", "159.01", tags::TOTAL_SUM),
        ("9999078900012345", "999907890001234", tags::FISCAL_DRIVE_NUMBER),
        ("i=17", "i=18", tags::FISCAL_DOCUMENT_NUMBER),
        ("fp=258", "fp=259", tags::FISCAL_SIGN),
        ("n=1", "n=2", tags::OPERATION_TYPE),
    ] {
        let qr = QrCode::parse(&TEXT.replace(field, other)).unwrap();
        assert_eq!(qr.differences(&view).collect::<Vec<_>>(), [tag]);
    }
    // The drive keeps seconds, the code may leave them out, but must not say other ones.
    let bytes = receipt(1_773_491_407);
    let view = DocumentView::new_checked(&bytes).unwrap();
    assert!(QrCode::parse(TEXT).unwrap().is_of(&view));
    assert!(QrCode::parse(&TEXT.replace("T1230", "T123007")).unwrap().is_of(&view));
    assert!(!QrCode::parse(&TEXT.replace("T1230", "T123008")).unwrap().is_of(&view));
    assert_eq!(QrCode::of_document(&view).unwrap().to_string(), TEXT.replace("T1230", "T123007"));
}

/// Why: codes come from cameras and from hands: order, zeros and strangers are harmless, everything else is not.
#[test]
fn codes_are_read_in_any_order_and_refused_where_they_break() {
    let good = QrCode::parse(TEXT).unwrap();
    assert_eq!(
        QrCode::parse("n=1&fp=0000000258&i=0017&x=&fn=9999078900012345&s=159&t=20260314T1230"),
        Ok(good)
    );
    assert_eq!(QrCode::parse(&TEXT.replace("159.00", "159.0")), Ok(good));
    let refused = |text: &str| {
        let error = QrCode::parse(text).unwrap_err();
        (error.kind, error.offset)
    };
    assert_eq!(refused(""), (DecodeErrorKind::Truncated, 0));
    assert_eq!(refused(&TEXT.replace("&n=1", "")), (DecodeErrorKind::Truncated, TEXT.len() - 4));
    for (from, to, offset) in [
        ("20260314", "20260231", 2),
        ("T1230", "T2430", 2),
        ("159.00", "159.001", 18),
        ("159.00", "-159.00", 18),
        ("159.00", "99999999999999999999.00", 18),
        ("fp=258", "fp=+258", 53),
        ("fp=258", "fp=4294967296", 53),
        ("n=1", "n=256", 59),
        ("n=1", "n=1&n=1", 63),
    ] {
        assert_eq!(refused(&TEXT.replace(from, to)), (DecodeErrorKind::Value, offset), "{to}");
    }
}

/// Why: an error of a day a century is found by nobody until it matters.
#[test]
fn every_day_has_one_date() {
    let mut expected = (1970, 1, 1);
    for days in 0..=u32::MAX / 86_400 {
        let civil = Civil::from(LocalSeconds(days * 86_400));
        assert_eq!((civil.year, civil.month, civil.day), expected);
        assert_eq!(civil.to_local(), Some(LocalSeconds(days * 86_400)));
        let (year, month, day) = expected;
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let last = match month {
            2 => 28 + u8::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let none = Civil { day: last + 1, ..civil };
        assert_eq!(none.to_local(), None, "{none}");
        expected = match (month, day) {
            (12, 31) => (year + 1, 1, 1),
            (_, day) if day == last => (year, month + 1, 1),
            _ => (year, month, day + 1),
        };
    }
    assert_eq!(Civil::from(LocalSeconds(u32::MAX)).to_string(), "2106-02-07T06:28:15");
    assert_eq!(Civil { year: 2106, month: 2, day: 7, hour: 6, minute: 28, second: 16 }.to_local(), None);
}

proptest! {
    /// What is built is read back the same, and a damaged text never panics.
    #[test]
    fn codes_come_back_as_they_were_built(
        time in any::<u32>(),
        seconds in any::<bool>(),
        total in 0..=i64::MAX,
        drive in "[0-9]{1,16}",
        (number, sign, operation) in any::<(u32, u32, u8)>(),
        (at, byte) in (0usize..80, 0u8..128),
    ) {
        let qr = QrCode {
            date_time: LocalSeconds(if seconds { time } else { time / 60 * 60 }),
            seconds,
            total: Kopecks(total),
            drive: DriveNumber::parse(&drive).unwrap(),
            number: DocumentNumber(number),
            sign,
            operation,
        };
        let text = qr.to_string();
        prop_assert_eq!(QrCode::parse(&text), Ok(qr));
        let mut damaged = text.into_bytes();
        if let Some(place) = damaged.get_mut(at) {
            *place = byte;
        }
        let _ = QrCode::parse(&String::from_utf8(damaged).unwrap());
    }
}
