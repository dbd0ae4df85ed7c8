//! Documents of our own making, one of every form and oddity: the seeds of the golden, exhaustive and fuzz tests.
//!
//! Everybody in them is invented. They are built with the encoder, so that a change of the encoder shows.

use ofd_codec::{
    ConfirmationRequest, DriveNumber, EncodeError, Form, LocalSeconds, Message, Quantity, Tag, TlvWriter,
    tags,
};

/// One golden document.
pub(crate) struct Golden {
    /// File name in `testdata/golden`.
    pub(crate) name: &'static str,
    /// What it is and where it came from.
    pub(crate) provenance: &'static str,
    /// The session message.
    pub(crate) message: Vec<u8>,
}

type Fill<'f> = &'f dyn Fn(&mut TlvWriter<'_>) -> Result<(), EncodeError>;

const DRIVE: &str = "9999078900451207";
/// 2026-03-14 12:30:00 on the till.
const NOON: u32 = 1_773_491_400;

fn drive() -> DriveNumber {
    DriveNumber::parse(DRIVE).unwrap()
}

/// A register's message around a document that begins as the drive writes it.
fn register(p_version: [u8; 2], form: Form, number: u32, drive: DriveNumber, fill: Fill<'_>) -> Vec<u8> {
    let mut plain = Vec::new();
    TlvWriter::new(&mut plain)
        .document(form, |w| {
            w.bytes(tags::FISCAL_DRIVE_NUMBER, drive.as_bytes())?;
            if form.is_marking() {
                return fill(w);
            }
            w.padded_text(Tag(1037), "0000451207031984", 20)?;
            w.padded_text(Tag(1018), "7701234560", 12)?;
            w.u32(tags::FISCAL_DOCUMENT_NUMBER, number);
            w.unixtime(tags::DATE_TIME, LocalSeconds(NOON + number * 60));
            let [a, b, c, d] = number.wrapping_mul(0x9E37_79B1).to_be_bytes();
            w.bytes(tags::FISCAL_SIGN, &[0x21, 0x04, a, b, c, d])?;
            fill(w)
        })
        .unwrap();
    let mut out = Vec::new();
    Message::from_register(p_version, drive, number, form, &plain).encode_into(&mut out).unwrap();
    out
}

fn item(
    w: &mut TlvWriter<'_>,
    name: &str,
    price: u64,
    quantity: Quantity,
    sum: u64,
) -> Result<(), EncodeError> {
    w.text(Tag(1030), name)?;
    w.vln(Tag(1079), price);
    w.fvln(Tag(1023), quantity)?;
    w.vln(Tag(1043), sum);
    Ok(())
}

fn payments(w: &mut TlvWriter<'_>, cash: u64, ecash: u64) {
    w.vln(Tag(1031), cash);
    w.vln(Tag(1081), ecash);
    w.vln(Tag(1215), 0);
    w.vln(Tag(1216), 0);
    w.vln(Tag(1217), 0);
}

const ONE: Quantity = Quantity { mantissa: 1, scale: 0 };

fn receipts() -> Vec<Golden> {
    let plain_receipt = register([1, 0x20], Form::RECEIPT, 44, drive(), &|w| {
        w.u32(Tag(1038), 7);
        w.u32(Tag(1042), 12);
        w.u8(Tag(1054), 1);
        w.vln(Tag(1020), 41_427);
        w.nested(Tag(1059), |i| {
            item(i, "Чай \"Ёлочка\" № 5", 15_900, Quantity { mantissa: 1000, scale: 3 }, 15_900)?;
            i.u8(Tag(1199), 11);
            i.vln(Tag(1200), 2_867);
            i.u8(Tag(1214), 4);
            i.u8(Tag(1212), 1);
            i.u8(Tag(2108), 0);
            Ok(())
        })?;
        w.nested(Tag(1059), |i| {
            item(i, "Яблоки", 20_000, Quantity { mantissa: 1_276_350, scale: 6 }, 25_527)?;
            i.u8(Tag(1199), 2);
            i.vln(Tag(1200), 2_321);
            i.u8(Tag(1214), 4);
            i.u8(Tag(1212), 1);
            i.u8(Tag(2108), 11);
            Ok(())
        })?;
        payments(w, 0, 41_427);
        w.u8(Tag(1055), 1);
        w.nested(Tag(1115), |sums| {
            sums.nested(Tag(1119), |rate| {
                rate.u8(Tag(1199), 11);
                rate.vln(Tag(1120), 2_867);
                Ok(())
            })
        })?;
        w.vln(Tag(1103), 2_321);
        w.text(Tag(1048), "ООО \"Пример\"")?;
        w.text(Tag(1021), "Кассир Образцова")?;
        w.text(Tag(1009), "101000, г. Москва, ул. Ничья, д. 1")?;
        w.text(Tag(1187), "Лавка\r\nу дома")?;
        w.u8(Tag(1209), 4);
        Ok(())
    });
    let marked = register([1, 0x20], Form::RECEIPT, 45, drive(), &|w| {
        w.u32(Tag(1038), 7);
        w.u32(Tag(1042), 13);
        w.u8(Tag(1054), 1);
        w.vln(Tag(1020), 10_000);
        w.nested(Tag(1059), |i| {
            item(i, "Молоко", 10_000, ONE, 10_000)?;
            i.u8(Tag(1199), 2);
            i.nested(Tag(1163), |code| code.text(Tag(1305), "0104600000000017215ABCdefGHIJKL"))?;
            i.nested(Tag(1291), |part| {
                part.text(Tag(1292), "1/2")?;
                part.vln(Tag(1293), 1);
                part.vln(Tag(1294), 2);
                Ok(())
            })?;
            for law in ["26.03.2022", "21.11.2023"] {
                i.nested(Tag(1260), |detail| {
                    detail.padded_text(Tag(1262), "030", 3)?;
                    detail.padded_text(Tag(1263), law, 10)?;
                    detail.text(Tag(1264), "477")?;
                    detail.text(Tag(1265), "UUID=00&Time=0")
                })?;
            }
            i.u8(Tag(2102), 0);
            i.u8(Tag(2106), 15);
            i.u8(Tag(2108), 0);
            Ok(())
        })?;
        w.nested(Tag(1256), |buyer| {
            buyer.text(Tag(1227), "АО \"Покупатель\"")?;
            buyer.padded_text(Tag(1228), "7709876545", 12)
        })?;
        payments(w, 10_000, 0);
        w.u8(Tag(1055), 2);
        w.u8(Tag(1209), 4);
        Ok(())
    });
    let agent = register([1, 5], Form::RECEIPT, 46, drive(), &|w| {
        w.u32(Tag(1038), 7);
        w.u32(Tag(1042), 14);
        w.u8(Tag(1054), 1);
        w.vln(Tag(1020), 50_000);
        w.nested(Tag(1059), |i| {
            item(i, "Услуга агента", 50_000, ONE, 50_000)?;
            i.u8(Tag(1222), 64);
            i.nested(Tag(1224), |supplier| {
                supplier.text(Tag(1171), "+70000000001")?;
                supplier.text(Tag(1171), "+70000000002")?;
                supplier.text(Tag(1225), "ООО \"Поставщик\"")
            })?;
            i.padded_text(Tag(1226), "7701234560", 12)?;
            // A product code as versions 1.05 and 1.1 have it: prefix 45 0D of EAN-13, then the number.
            i.bytes(Tag(1162), &[0x45, 0x0D, 0x04, 0x2F, 0x13, 0x2A, 0x40, 0x51])?;
            i.vln(Tag(1229), 0);
            Ok(())
        })?;
        w.text(Tag(1073), "+70000000003")?;
        payments(w, 0, 50_000);
        w.u8(Tag(1055), 32);
        w.nested(Tag(1084), |property| {
            property.text(Tag(1085), "Код")?;
            property.text(Tag(1086), "А\"\\1")
        })?;
        w.u8(Tag(1209), 2);
        Ok(())
    });
    let old = register([0, 2], Form::BSO, 47, DriveNumber::parse("871000010051").unwrap(), &|w| {
        w.u32(Tag(1038), 7);
        w.u32(Tag(1042), 15);
        w.u8(Tag(1054), 2);
        w.vln(Tag(1020), 700);
        w.nested(Tag(1059), |i| {
            item(i, "Билет", 1_000, ONE, 700)?;
            // A rate tag where only a receipt may have it, as registers of version 1.0 do.
            i.vln(Tag(1103), 64);
            Ok(())
        })?;
        w.nested(Tag(1084), |property| {
            property.text(Tag(1085), "Место")?;
            property.text(Tag(1086), "12")
        })?;
        // In version 1.0 this number is an address, not the sums by rate.
        w.text(Tag(1115), "www.nalog.example")?;
        w.vln(Tag(1031), 700);
        w.u8(Tag(1055), 1);
        Ok(())
    });
    let odd = register([1, 0x20], Form::RECEIPT, 48, drive(), &|w| {
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
    });
    let correction = register([1, 0x20], Form::RECEIPT_CORRECTION, 49, drive(), &|w| {
        w.u32(Tag(1038), 7);
        w.u32(Tag(1042), 16);
        w.u8(Tag(1173), 1);
        w.nested(Tag(1174), |basis| {
            basis.unixtime(Tag(1178), LocalSeconds(1_773_446_400));
            basis.text(Tag(1179), "12-АБ/34")
        })?;
        w.u8(Tag(1054), 1);
        w.vln(Tag(1020), 250_000_000_000);
        payments(w, 250_000_000_000, 0);
        w.vln(Tag(1105), 250_000_000_000);
        w.u8(Tag(1055), 4);
        w.u8(Tag(1209), 4);
        Ok(())
    });
    let golden = |name, provenance, message| Golden { name, provenance, message };
    vec![
        golden("receipt-1.2", "a sale of two lines, one by weight, one with the rate of 22 %", plain_receipt),
        golden(
            "receipt-1.2-marked",
            "half a package with a marking code, two industry details, a buyer",
            marked,
        ),
        golden(
            "receipt-1.05-agent",
            "an agent's sale: two phones of the supplier, a product code, quoted text",
            agent,
        ),
        golden(
            "bso-1.0",
            "a refund of version 1.0: short drive number, properties as a list, 1115 as text",
            old,
        ),
        golden("receipt-odd", "what no table allows and registers or hostile senders may still send", odd),
        golden("receipt-correction-1.2", "a correction with its basis and a sum beyond 32 bits", correction),
    ]
}

fn reports() -> Vec<Golden> {
    let registration = |form: Form, number: u32, reason: Option<u32>| {
        register([1, 0x20], form, number, drive(), &move |w| {
            w.text(Tag(1048), "ООО \"Пример\"")?;
            w.text(Tag(1009), "101000, г. Москва, ул. Ничья, д. 1")?;
            w.text(Tag(1187), "Лавка")?;
            w.u8(Tag(1062), 1);
            w.u8(Tag(1001), 0);
            w.u8(Tag(1002), 0);
            w.u8(Tag(1056), 0);
            w.padded_text(Tag(1017), "7700001002", 12)?;
            w.text(Tag(1046), "Оператор")?;
            w.text(Tag(1013), "00106900000001")?;
            w.text(Tag(1188), "5.8.100")?;
            w.u8(Tag(1189), 4);
            w.u8(Tag(1190), 4);
            w.uint(Tag(1290), 0x0140, 4)?;
            w.u16(Tag(1213), 410);
            if let Some(reason) = reason {
                w.u32(Tag(1205), reason);
            }
            w.u8(Tag(1209), 4);
            Ok(())
        })
    };
    let open_shift = register([1, 0x20], Form::OPEN_SHIFT, 2, drive(), &|w| {
        w.u32(Tag(1038), 1);
        w.u8(Tag(1050), 0);
        w.u8(Tag(1051), 0);
        w.u8(Tag(1052), 0);
        w.u8(Tag(1053), 1);
        w.text(Tag(1021), "Кассир Образцова")?;
        w.padded_text(Tag(1203), "770123456789", 12)?;
        w.u8(Tag(1209), 4);
        Ok(())
    });
    let close_shift = register([1, 0x20], Form::CLOSE_SHIFT, 60, drive(), &|w| {
        w.u32(Tag(1038), 7);
        w.u32(Tag(1118), 2);
        w.u32(Tag(1111), 4);
        w.u32(Tag(1097), 1);
        w.unixtime(Tag(1098), LocalSeconds(NOON));
        for total in [1194, 1157] {
            w.nested(Tag(total), |counters| {
                counters.u32(Tag(1134), 2);
                counters.nested(Tag(1129), |sales| {
                    sales.u32(Tag(1135), 2);
                    sales.vln(Tag(1136), 10_000);
                    sales.vln(Tag(1138), 90_730);
                    sales.vln(Tag(1201), 100_730);
                    Ok(())
                })?;
                counters.nested(Tag(1133), |corrections| {
                    corrections.u32(Tag(1144), 1);
                    corrections.nested(Tag(1145), |sales| {
                        sales.u32(Tag(1135), 1);
                        sales.vln(Tag(1136), 0);
                        Ok(())
                    })
                })
            })?;
        }
        w.u8(Tag(1209), 4);
        Ok(())
    });
    let close_archive = register([1, 0x20], Form::CLOSE_ARCHIVE, 70, drive(), &|w| {
        w.u32(Tag(1038), 7);
        w.u8(Tag(1209), 4);
        Ok(())
    });
    let current_state = register([1, 0x20], Form::CURRENT_STATE, 61, drive(), &|w| {
        w.u8(Tag(1002), 0);
        w.u32(Tag(1097), 3);
        w.unixtime(Tag(1098), LocalSeconds(NOON));
        w.u32(Tag(1116), 58);
        w.u16(Tag(1213), 12);
        w.u8(Tag(1209), 4);
        Ok(())
    });
    let notification = register([1, 0x20], Form::MARKING_NOTIFICATION, 3, drive(), &|w| {
        w.u32(Tag(2002), 3);
        w.unixtime(tags::DATE_TIME, LocalSeconds(NOON));
        w.u8(Tag(1054), 1);
        w.nested(Tag(2007), |line| {
            line.text(Tag(2000), "0104600000000017215ABCdefGHIJKL")?;
            line.u8(Tag(2100), 5);
            Ok(())
        })
    });
    let mut confirmation = Vec::new();
    ConfirmationRequest::unsigned(*b"7700001002  ", drive(), 44, LocalSeconds(NOON + 7), 0, [1, 0x20])
        .encode_into(&mut confirmation)
        .unwrap();
    let golden = |name, provenance, message| Golden { name, provenance, message };
    vec![
        golden("registration-1.2", "a new register", registration(Form::REGISTRATION, 1, None)),
        golden(
            "reregistration-1.2",
            "a change of parameters",
            registration(Form::REREGISTRATION, 50, Some(0x24)),
        ),
        golden("open-shift-1.2", "a shift begins while a confirmation is missing", open_shift),
        golden("close-shift-1.2", "counters, four levels deep", close_shift),
        golden("close-archive-1.2", "the last document of a drive", close_archive),
        golden("current-state-1.2", "the state of settlements", current_state),
        golden("marking-notification", "a form without a JSON name and with tags without keys", notification),
        golden("confirmation", "the operator's unsigned answer with code 0", confirmation),
    ]
}

/// All golden documents.
pub(crate) fn golden() -> Vec<Golden> {
    let mut all = receipts();
    all.extend(reports());
    all
}
