//! Documents to bytes: the tags of each form as a drive and its firmware write them, and the session message around them.
//!
//! The drive writes 1041, 1037, 1018, 1040, 1012, 1077, 1038, 1042, 1054, 1020 first, in this order; the rest comes from the
//! firmware, whose habits are the [`Dialect`](crate::profile::Dialect). Everything is appended to buffers of the caller.
//! Which tags a form needs: order ЕД-7-20/662@, tables 15, 18, 20, 21 and their counterparts of 1.1 and 1.2.

use ofd_codec::frame::CONTAINER_FROM_REGISTER;
use ofd_codec::{EncodeError, FfdVersion, Form, LocalSeconds, Message, TlvWriter, tags};

use crate::counters::Counters;
use crate::goods::Group;
use crate::identity::{Inn, digits};
use crate::prng::{Prng, mix};
use crate::profile::Profile;
use crate::shapes::{Line, Sale};

/// What the drive itself puts into a document.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    pub(crate) number: u32,
    pub(crate) at: LocalSeconds,
    /// The four bytes of the fiscal sign that are printed.
    pub(crate) sign: u32,
    pub(crate) shift: u32,
    pub(crate) in_shift: u32,
    /// Days that the keys of the drive still last (tag 1213).
    pub(crate) key_days: u16,
}

/// The operator named in registrations: an invented one, with right check digits.
pub(crate) const OPERATOR_INN: &[u8; 12] = b"7700000190  ";

/// Since this local second (2025-09-01) tag 1125 tells a settlement in the Internet; before, tag 1108 did.
const INTERNET_PAYMENT_SINCE: u32 = 1_756_684_800;

/// Since this local second (2024-05-01) shops ask for leave to sell a marked item and keep the answer in tag 1260.
const PERMISSION_SINCE: u32 = 1_714_521_600;

type Result = std::result::Result<(), EncodeError>;

/// The part of every document that the drive writes; receipts add their own.
fn system(writer: &mut TlvWriter<'_>, profile: &Profile, stamp: &Stamp) -> Result {
    writer.bytes(tags::FISCAL_DRIVE_NUMBER, profile.drive.as_bytes())?;
    writer.bytes(tags::KKT_REG_ID, &profile.registration)?;
    writer.bytes(tags::USER_INN, profile.inn.as_bytes())?;
    writer.u32(tags::FISCAL_DOCUMENT_NUMBER, stamp.number);
    writer.unixtime(tags::DATE_TIME, stamp.at);
    let [a, b, c, d] = stamp.sign.to_be_bytes();
    let kind = if profile.test_drive { 0x21 } else { 0x31 };
    writer.bytes(tags::FISCAL_SIGN, &[kind, 0x04, a, b, c, d])
}

fn cashier(writer: &mut TlvWriter<'_>, profile: &Profile, stamp: &Stamp) -> Result {
    let Some(cashier) = profile.cashier(stamp.shift) else { return Ok(()) };
    writer.bytes(tags::CASHIER, &cashier.name)?;
    match &cashier.inn {
        Some(inn) => writer.bytes(tags::CASHIER_INN, inn.as_bytes()),
        None => Ok(()),
    }
}

/// Form 1, the first document of a drive.
pub(crate) fn registration(out: &mut Vec<u8>, profile: &Profile, stamp: &Stamp) -> Result {
    TlvWriter::new(out).document(Form::REGISTRATION, |writer| {
        system(writer, profile, stamp)?;
        writer.u8(tags::FFD_VERSION, profile.ffd.code());
        writer.bytes(tags::USER_NAME, &profile.user)?;
        writer.u8(tags::TAXATION_TYPES, profile.tax_mask);
        writer.u8(tags::OFFLINE_MODE, 0);
        writer.u8(tags::ENCRYPTION_SIGN, 0);
        writer.u8(tags::AUTO_MODE, u8::from(profile.automat.is_some()));
        if let Some(automat) = &profile.automat {
            writer.bytes(tags::MACHINE_NUMBER, automat)?;
        }
        if profile.ffd == FfdVersion::V1_2 {
            let conditions = [
                (profile.automat.is_some(), 1),
                (profile.bso, 2),
                (profile.internet, 5),
                (profile.marked, 8),
            ];
            let mask =
                conditions.iter().filter(|(holds, _)| *holds).fold(0u32, |mask, (_, bit)| mask | 1 << bit);
            writer.u32(tags::USAGE_CONDITIONS, mask);
        } else {
            writer.u8(tags::PRINT_IN_MACHINE_SIGN, u8::from(profile.automat.is_some()));
            writer.u8(tags::BSO_SIGN, u8::from(profile.bso));
            writer.u8(tags::INTERNET_SIGN, u8::from(profile.internet));
            if profile.ffd == FfdVersion::V1_1 {
                writer.u8(tags::EXCISE_DUTY_PRODUCT_SIGN, 0);
                writer.u8(tags::GAMBLING_SIGN, 0);
                writer.u8(tags::LOTTERY_SIGN, 0);
            }
            if profile.agent {
                writer.u8(tags::AGENT_FLAGS, AGENT_OTHER);
            }
        }
        writer.bytes(tags::KKT_NUMBER, &profile.factory)?;
        cashier(writer, profile, stamp)?;
        writer.bytes(tags::RETAIL_PLACE_ADDRESS, &profile.address)?;
        writer.bytes(tags::RETAIL_PLACE, &profile.place)?;
        writer.bytes(tags::FNS_SITE, TAX_SITE)?;
        writer.bytes(tags::SENDER_EMAIL, &profile.sender)?;
        writer.bytes(tags::OFD_INN, OPERATOR_INN)?;
        writer.bytes(tags::OFD_NAME, b"OFD EXAMPLE")?;
        writer.bytes(tags::KKT_VERSION, &profile.model_version)?;
        writer.u8(tags::KKT_FFD_VERSION, profile.ffd.code());
        if profile.ffd >= FfdVersion::V1_1 {
            writer.u8(tags::DRIVE_FFD_VERSION, profile.ffd.code());
            writer.u16(tags::KEY_RESOURCE, stamp.key_days);
        }
        Ok(())
    })
}

/// Form 2.
pub(crate) fn open_shift(out: &mut Vec<u8>, profile: &Profile, stamp: &Stamp) -> Result {
    TlvWriter::new(out).document(Form::OPEN_SHIFT, |writer| {
        system(writer, profile, stamp)?;
        writer.u32(tags::SHIFT_NUMBER, stamp.shift);
        cashier(writer, profile, stamp)?;
        writer.bytes(tags::KKT_VERSION, &profile.model_version)?;
        writer.u8(tags::KKT_FFD_VERSION, profile.ffd.code());
        drive_flags(writer, profile);
        writer.u8(tags::FFD_VERSION, profile.ffd.code());
        Ok(())
    })
}

/// Form 5. `shift` and `life` are written from version 1.1 on; 1118 counts corrections too, as 1042 numbers them.
pub(crate) fn close_shift(
    out: &mut Vec<u8>,
    profile: &Profile,
    stamp: &Stamp,
    shift: &Counters,
    life: &Counters,
) -> Result {
    TlvWriter::new(out).document(Form::CLOSE_SHIFT, |writer| {
        system(writer, profile, stamp)?;
        writer.u32(tags::SHIFT_NUMBER, stamp.shift);
        writer.u32(tags::SHIFT_DOCUMENTS, shift.receipts() + 2);
        writer.u32(tags::SHIFT_RECEIPTS, shift.receipts());
        cashier(writer, profile, stamp)?;
        writer.u32(tags::UNSENT_DOCUMENTS, 0);
        drive_flags(writer, profile);
        if profile.ffd >= FfdVersion::V1_1 {
            shift.write(tags::SHIFT_COUNTERS, writer)?;
            life.write(tags::DRIVE_COUNTERS, writer)?;
            writer.u16(tags::KEY_RESOURCE, stamp.key_days);
        }
        writer.u8(tags::FFD_VERSION, profile.ffd.code());
        Ok(())
    })
}

/// Warning flags of the drive, all clear.
fn drive_flags(writer: &mut TlvWriter<'_>, profile: &Profile) {
    if profile.dialect.drive_flags {
        for tag in
            [tags::OPERATOR_SILENT, tags::DRIVE_REPLACE_NOW, tags::DRIVE_MEMORY_FULL, tags::DRIVE_RUNNING_OUT]
        {
            writer.u8(tag, 0);
        }
    }
}

/// Forms 3, 4, 31 and 41.
pub(crate) fn settlement(
    out: &mut Vec<u8>,
    form: Form,
    profile: &Profile,
    stamp: &Stamp,
    sale: &Sale,
) -> Result {
    TlvWriter::new(out).document(form, |writer| {
        system(writer, profile, stamp)?;
        writer.u32(tags::SHIFT_NUMBER, stamp.shift);
        writer.u32(tags::NUMBER_IN_SHIFT, stamp.in_shift);
        writer.u8(tags::OPERATION_TYPE, sale.direction);
        writer.vln(tags::TOTAL_SUM, sale.total);
        if profile.dialect.lines_first {
            head(writer, profile, stamp, sale)?;
            lines(writer, profile, stamp, sale)?;
            money(writer, profile, sale)?;
            tail(writer, profile, stamp, sale)?;
            writer.u8(tags::FFD_VERSION, profile.ffd.code());
            Ok(())
        } else {
            writer.u8(tags::FFD_VERSION, profile.ffd.code());
            tail(writer, profile, stamp, sale)?;
            head(writer, profile, stamp, sale)?;
            money(writer, profile, sale)?;
            lines(writer, profile, stamp, sale)
        }
    })
}

/// Cashier, buyer and basis of a correction.
fn head(writer: &mut TlvWriter<'_>, profile: &Profile, stamp: &Stamp, sale: &Sale) -> Result {
    if profile.dialect.property && !sale.is_correction() {
        writer.nested(tags::USER_PROPERTY, |writer| {
            writer.bytes(tags::USER_PROPERTY_NAME, b"terminal-tx")?;
            writer.bytes(tags::USER_PROPERTY_VALUE, &digits::<20>(mix(u64::from(stamp.sign))))
        })?;
    }
    if let Some(correction) = sale.correction {
        writer.u8(tags::CORRECTION_TYPE, correction.kind);
        writer.nested(tags::CORRECTION_BASE, |writer| {
            if profile.ffd < FfdVersion::V1_2 {
                writer.bytes(tags::CORRECTION_NAME, b"AKT")?;
            }
            writer.unixtime(tags::CORRECTION_DATE, LocalSeconds(correction.date));
            // The number is obligatory on a prescription only; of one's own accord it numbers the memo.
            writer.bytes(tags::CORRECTION_NUMBER, &digits::<3>(u64::from(correction.number)))
        })?;
    }
    if profile.dialect.cashier {
        cashier(writer, profile, stamp)?;
    }
    if sale.contact != 0 {
        if is_email(sale) {
            let [a, b, c, d, e, f] = digits::<6>(sale.contact);
            let mut mail = *b"u000000@m.example";
            for (place, digit) in mail.iter_mut().skip(1).zip([a, b, c, d, e, f]) {
                *place = digit;
            }
            writer.bytes(tags::BUYER_CONTACT, &mail)?;
        } else {
            writer.bytes(tags::BUYER_CONTACT, &phone(sale.contact))?;
        }
    }
    if sale.buyer != 0 {
        let mut prng = Prng::new(sale.buyer, 2);
        let inn = Inn::organisation(50, &mut prng);
        let mut name = *b"OOO BUYER 0000";
        for (place, digit) in name.iter_mut().skip(10).zip(digits::<4>(sale.buyer)) {
            *place = digit;
        }
        let buyer = |writer: &mut TlvWriter<'_>| {
            writer.bytes(tags::BUYER_NAME, &name)?;
            writer.bytes(tags::BUYER_INN, inn.as_bytes())
        };
        if profile.ffd == FfdVersion::V1_2 {
            writer.nested(tags::BUYER_DATA, buyer)?;
        } else {
            buyer(writer)?;
        }
    }
    Ok(())
}

/// Two buyers of three leave an address, one a telephone.
fn is_email(sale: &Sale) -> bool {
    sale.contact % 7 < 5
}

/// An invented mobile number of the form that tags 1008 and 1171 want.
fn phone(seed: u64) -> [u8; 12] {
    let [a, b, c, d, e, f, g, h, i] = digits::<9>(seed / 7);
    [b'+', b'7', b'9', a, b, c, d, e, f, g, h, i]
}

/// Tax system, payments, tax totals.
fn money(writer: &mut TlvWriter<'_>, profile: &Profile, sale: &Sale) -> Result {
    writer.u8(tags::APPLIED_TAXATION_TYPE, profile.tax_system);
    let payments = [
        (tags::CASH_SUM, sale.cash),
        (tags::ECASH_SUM, sale.ecash),
        (tags::PREPAID_SUM, sale.prepaid),
        (tags::CREDIT_SUM, sale.credit),
        (tags::PROVISION_SUM, sale.provision),
    ];
    for (tag, sum) in payments {
        let always = tag == tags::CASH_SUM || tag == tags::ECASH_SUM;
        if sum > 0 || always || profile.dialect.zero_totals {
            writer.vln(tag, sum);
        }
    }
    let rates = &sale.rates;
    let flat = [
        (tags::VAT_20, 1, rates.tax_of(1)),
        (tags::VAT_10, 2, rates.tax_of(2)),
        (tags::TURNOVER_VAT_0, 5, rates.turnover_of(5)),
        (tags::TURNOVER_NO_VAT, 6, rates.turnover_of(6)),
        (tags::VAT_20_120, 3, rates.tax_of(3)),
        (tags::VAT_10_110, 4, rates.tax_of(4)),
    ];
    for (tag, code, sum) in flat {
        if rates.has(code) {
            writer.vln(tag, sum);
        }
    }
    let late = 7..=12;
    if !late.clone().any(|code| rates.has(code)) {
        return Ok(());
    }
    // Where only the structure carries tax, a zero turnover at 0 % stands beside it (rule C6).
    if !(1..=6).any(|code| rates.has(code)) {
        writer.vln(tags::TURNOVER_VAT_0, 0);
    }
    writer.nested(tags::RECEIPT_VAT_SUMS, |writer| {
        for code in late.filter(|code| rates.has(*code)) {
            writer.nested(tags::RECEIPT_VAT, |writer| {
                writer.u8(tags::VAT_RATE, code);
                writer.vln(tags::VAT_SUM, rates.tax_of(code));
                Ok(())
            })?;
        }
        Ok(())
    })
}

const TAX_SITE: &[u8] = b"nalog.gov.ru";

/// Who sells and where, as far as the version asks for it or the firmware repeats it.
fn tail(writer: &mut TlvWriter<'_>, profile: &Profile, stamp: &Stamp, sale: &Sale) -> Result {
    let dialect = &profile.dialect;
    if sale.contact != 0 && is_email(sale) {
        writer.bytes(tags::SENDER_EMAIL, &profile.sender)?;
    }
    if dialect.user {
        writer.bytes(tags::USER_NAME, &profile.user)?;
    }
    // Obligatory on the wire in 1.2 and, by rule B7, filled in from 1.1 on; in the Internet the place is the site.
    let obliged = dialect.address || profile.ffd >= FfdVersion::V1_1;
    if obliged {
        writer.bytes(tags::RETAIL_PLACE_ADDRESS, &profile.address)?;
    }
    if obliged || profile.internet {
        writer.bytes(tags::RETAIL_PLACE, &profile.place)?;
    }
    if let Some(automat) = &profile.automat {
        writer.bytes(tags::MACHINE_NUMBER, automat)?;
    }
    if dialect.tax_site {
        writer.bytes(tags::FNS_SITE, TAX_SITE)?;
    }
    if profile.internet {
        // No table places 1125 in a correction of 1.05 (rule B1), so there the older tag stays.
        let placed = profile.ffd > FfdVersion::V1_05 || !sale.is_correction();
        let since = placed && stamp.at.0 >= INTERNET_PAYMENT_SINCE;
        let tag = if since { tags::INTERNET_PAYMENT } else { tags::INTERNET_SIGN };
        writer.u8(tag, 1);
    }
    if dialect.receipt_property {
        writer.bytes(tags::RECEIPT_PROPERTY, &digits::<13>(u64::from(stamp.sign)))?;
    }
    Ok(())
}

/// "Another kind of agent", bit 6 of tags 1057 and 1222: the one that needs no telephone of a payment operator.
const AGENT_OTHER: u8 = 64;

fn lines(writer: &mut TlvWriter<'_>, profile: &Profile, stamp: &Stamp, sale: &Sale) -> Result {
    // Version 1.05 has no lines in corrections.
    if sale.is_correction() && profile.ffd < FfdVersion::V1_1 {
        return Ok(());
    }
    sale.lines
        .iter()
        .try_for_each(|line| writer.nested(tags::ITEM, |writer| item(writer, profile, stamp, sale, line)))
}

fn item(writer: &mut TlvWriter<'_>, profile: &Profile, stamp: &Stamp, sale: &Sale, line: &Line) -> Result {
    let dialect = &profile.dialect;
    let name = sale.name(line);
    if !name.is_empty() {
        writer.bytes(tags::ITEM_NAME, name)?;
    }
    writer.vln(tags::PRICE, line.price);
    writer.fvln(tags::QUANTITY, line.quantity)?;
    if profile.ffd == FfdVersion::V1_2 {
        // Payments have no unit, and shops of the Internet leave it out for whole pieces without a code.
        if line.subject != 10 && (profile.group != Group::Online || line.unit != 0 || line.mark != 0) {
            writer.u8(tags::QUANTITY_MEASURE, line.unit);
        }
    } else if dialect.unit_name {
        let unit: &[u8] = match line.unit {
            11 => &[0xAA, 0xA3],
            41 => &[0xAB],
            _ => &[0xE8, 0xE2, b'.'],
        };
        writer.bytes(tags::UNIT, unit)?;
    }
    writer.vln(tags::ITEM_SUM, line.sum);
    writer.u8(tags::VAT_RATE, line.rate);
    if dialect.line_tax {
        writer.vln(tags::ITEM_VAT_SUM, line.tax);
    }
    if dialect.line_method {
        writer.u8(tags::PAYMENT_METHOD, line.method);
        writer.u8(tags::PAYMENT_SUBJECT, line.subject);
    }
    if line.supplier != 0 {
        let mut prng = Prng::new(line.supplier % 500, 1);
        let inn = Inn::organisation(77, &mut prng);
        writer.u8(tags::ITEM_AGENT_FLAGS, AGENT_OTHER);
        writer.bytes(tags::SUPPLIER_INN, inn.as_bytes())?;
        writer.nested(tags::SUPPLIER_DATA, |writer| {
            writer.bytes(tags::SUPPLIER_PHONE, &phone(line.supplier % 500 * 7))?;
            writer.bytes(tags::SUPPLIER_NAME, b"OOO SUPPLIER")
        })?;
    }
    if line.mark != 0 {
        mark(writer, profile, stamp, line)?;
    }
    Ok(())
}

/// Marking code of a line: structure 1163 with the results of its check in 1.2, tag 1162 before.
fn mark(writer: &mut TlvWriter<'_>, profile: &Profile, stamp: &Stamp, line: &Line) -> Result {
    // The article follows from the price, so that one good has one number; the serial from the seed of the piece.
    let body = digits::<13>(4_600_000_000_000 + mix(line.price) % 99_999_999_999);
    let sum: u64 = body
        .iter()
        .zip([3, 1].into_iter().cycle())
        .map(|(digit, weight)| u64::from(digit - b'0') * weight)
        .sum();
    let check = (10 - sum % 10) % 10;
    let serial = digits::<13>(line.mark);
    if profile.ffd < FfdVersion::V1_2 {
        let gtin = body.iter().fold(0u64, |number, digit| number * 10 + u64::from(digit - b'0')) * 10 + check;
        let [_, _, a, b, c, d, e, f] = gtin.to_be_bytes();
        let mut code = [0; 21];
        let all = [0x44, 0x4D, a, b, c, d, e, f].into_iter().chain(serial);
        for (place, byte) in code.iter_mut().zip(all) {
            *place = byte;
        }
        return writer.bytes(tags::PRODUCT_CODE, &code);
    }
    let mut code = [0; 31];
    let all = b"01".iter().chain(&body).copied().chain([check as u8 + b'0']).chain(*b"21").chain(serial);
    for (place, byte) in code.iter_mut().zip(all) {
        *place = byte;
    }
    writer.nested(tags::PRODUCT_CODE_STLV, |writer| writer.bytes(tags::CODE_GS1M, &code))?;
    writer.u8(tags::CODE_PROCESSING_MODE, 0);
    // Mostly checked with a good result; without a link only the code itself was checked.
    writer.u8(tags::ITEM_CHECK_RESULT, if line.mark.is_multiple_of(13) { 0x03 } else { 0x0F });
    if stamp.at.0 < PERMISSION_SINCE || line.mark % 5 > 1 {
        return Ok(());
    }
    let mut answer = *b"UUID=00000000-0000-4000-8000-000000000000&Time=1700000000000";
    let (a, b) = (digits::<12>(mix(line.mark)), digits::<10>(u64::from(stamp.at.0)));
    for (place, digit) in answer.iter_mut().skip(29).zip(a) {
        *place = digit;
    }
    for (place, digit) in answer.iter_mut().skip(47).zip(b) {
        *place = digit;
    }
    writer.nested(tags::ITEM_INDUSTRY_DETAILS, |writer| {
        writer.bytes(tags::ID_FOIV, b"030")?;
        writer.bytes(tags::FOUNDATION_DOC_DATE_TIME, b"21.11.2023")?;
        writer.bytes(tags::FOUNDATION_DOC_NUMBER, b"1944")?;
        writer.bytes(tags::INDUSTRY_PROP_VALUE, &answer)
    })
}

/// Appends the session message of a document: service data with five bytes of noise, the number of the document that
/// opened the key session (`opened_by`) and a key id; a made-up sign, since nobody here holds keys.
pub(crate) fn message(
    out: &mut Vec<u8>,
    form: Form,
    profile: &Profile,
    stamp: &Stamp,
    opened_by: u32,
    plain: &[u8],
    noise: u64,
) -> Result {
    let [a, b, c, d, e, ..] = noise.to_le_bytes();
    let [_, x, y, z] = opened_by.to_be_bytes();
    let [s0, s1, s2, s3, s4, s5, ..] = mix(noise).to_le_bytes();
    Message {
        p_version: profile.dialect.p_version,
        drive: profile.drive,
        number: stamp.number,
        form: form.0,
        container_type: CONTAINER_FROM_REGISTER,
        service2_prefix: [a, b, c, d, e, x, y, z, 0x00, 0x02],
        plain,
        trailer: [0x81, 0x06, s0, s1, s2, s3, s4, s5, 0, 0],
    }
    .encode_into(out)
}
