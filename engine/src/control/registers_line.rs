//! The JSON lines of `ofd registers` and `ofd shifts`.
//!
//! Local times of a register have no zone: `2026-03-02T10:00:00`. Money in kopecks.

use ofd_codec::{Civil, LocalSeconds, tags};
use ofd_storage::columns::{ShiftRow, ShiftSums};
use serde_json::{Map, Value, json};

use super::line::time;
use crate::error::Error;
use crate::live::{Register, RegisterBook};
use crate::registers::{
    CardDrive, DIRECTION_NAMES, DIRECTIONS, Drive, Evidence, Mark, PAYMENT_NAMES, Range, Shift, Sums,
    VAT_NAMES,
};
use crate::watch::{Basis, Facet, Facets, Forecast, Reason, date};

/// A register: `{"rnm":…,"inn":…,"realm":…,"drives":[…],"shift":{…},"last_document":{…},…}`. `shift` is the open one, null
/// when there is none; `today` what it has sold on this day where it stands, null when that is nothing. `colour` is that of the
/// traffic light as of now, `reasons` say what is the matter and since when.
///
/// # Errors
/// When the document it was registered with cannot be read now.
pub fn card_line(book: &RegisterBook, register: &Register) -> Result<String, Error> {
    let Register { card, drive: current } = register;
    let registration = book.registration(current)?;
    let text = |tag| registration.as_ref().and_then(|it| it.text(tag));
    let (worked, idle) = card.worked_and_idle;
    let last = current.last;
    // The one it works with is here; of those before only some are asked for again.
    let drive = |it: &CardDrive| {
        let known = (it.drive != current.number).then(|| book.drive(it.drive));
        drive_json(known.as_ref().map_or(Some(current), Option::as_ref), it.since)
    };
    let light = book.light(card).unwrap_or_default();
    let line = json!({
        "rnm": card.rnm,
        "inn": card.inn,
        "realm": card.realm.as_str(),
        "outlet": book.place(card).and_then(|it| it.outlet),
        "colour": light.colour.as_str(),
        "facets": facets_json(light.facets),
        "reasons": light.reasons.iter().map(reason_json).collect::<Vec<_>>(),
        "forecast": book.forecast(card).map(|it| forecast_json(&it)),
        "user": text(tags::USER_NAME),
        "address": text(tags::RETAIL_PLACE_ADDRESS),
        "place": text(tags::RETAIL_PLACE),
        "kkt_number": text(tags::KKT_NUMBER),
        "autonomous": current.registration.is_some_and(|it| it.autonomous),
        "fn": current.number.as_str(),
        "drives": card.drives.iter().map(drive).collect::<Vec<_>>(),
        "shift": current.open_shift().map(shift_head),
        "today": book.today(card).map(|it| json!({
            "day": date(it.day),
            "receipts": it.receipts,
            "revenue": it.revenue,
        })),
        "last_document": last.map(|it| json!({
            "fd": it.number,
            "form": it.form.to_string(),
            "at": local(it.at),
            "received_at": time(it.received_at_us),
        })),
        "first_seen": time(card.first_seen_us),
        "last_seen": time(card.last_seen_us),
        "days_worked": worked,
        "days_idle": idle,
    });
    Ok(line.to_string())
}

fn facets_json(facets: Facets) -> Value {
    let named = Facet::ALL.map(|it| (it.as_str().to_owned(), facets.of(it).as_str().into()));
    Value::Object(named.into_iter().collect())
}

/// A reason of a colour: `{"facet":"transfer","colour":"yellow","since":"…Z","code":"transfer.silent","text":"…"}`.
fn reason_json(reason: &Reason) -> Value {
    json!({
        "facet": reason.facet.as_str(),
        "colour": reason.colour.as_str(),
        "since": time(i64::from(reason.since).saturating_mul(1_000_000)),
        "code": reason.what.code(),
        "text": reason.what.text(),
    })
}

/// When the drive has to be replaced: `{"ends_on":"2027-03-14","days_left":…,"term_on":…,"memory_on":…,"percent":…,…}`, local days.
fn forecast_json(forecast: &Forecast) -> Value {
    let day = |it: Option<u32>| it.map(date);
    json!({
        "ends_on": day(forecast.ends_on),
        "days_left": forecast.days_left,
        "term_on": day(forecast.term_on),
        "memory_on": day(forecast.memory_on),
        "percent": forecast.percent,
        "documents": forecast.documents,
        "documents_a_day": forecast.documents_a_day,
        "p95_a_day": forecast.p95_a_day,
        "bytes_a_day": forecast.bytes_a_day,
        "known_days": forecast.known_days,
        "confidence": forecast.confidence.as_str(),
        "reason": forecast.basis.map(Basis::code),
        "text": forecast.basis.map(Basis::text),
    })
}

fn drive_json(drive: Option<&Drive>, since: Option<LocalSeconds>) -> Value {
    let Some(drive) = drive else { return Value::Null };
    json!({
        "fn": drive.number.as_str(),
        "since": local(since),
        "start": match drive.evidence {
            Evidence::Registered => "registered",
            Evidence::Entered => "entered",
            Evidence::Seeded => "seeded",
            Evidence::Unknown => "unknown",
        },
        "documents": drive.documents,
        "variants": drive.variants,
        "served": ranges(drive.service.intervals()),
        "missing": ranges(drive.service.missing()),
        "left": drive.service.has_left(),
        "registered_by": drive.registration.as_ref().map(|it| it.number),
        "closed_by": drive.closed,
        "running_out": drive.flags & 1 != 0,
        "replace_now": drive.flags & 2 != 0,
        "memory_full": drive.flags & 4 != 0,
        "operator_silent": drive.flags & 8 != 0,
        "key_days": drive.key_days.map(|(days, _)| days),
        "key_days_at": drive.key_days.and_then(|(_, at)| local(at)),
        "unsent": drive.backlog.map(|(documents, _)| documents),
        "unsent_since": drive.backlog.and_then(|(_, since)| local(since)),
    })
}

/// A shift: `{"fn":…,"shift":…,"opened_at":…,"closed_at":…,"receipts":…,"revenue":…,"totals":{"sell":{…}},…}`. `state` is
/// `open`, `incomplete` (documents are missing, or it began before the drive was ours), `agrees` or `differs`.
#[must_use]
pub fn shift_line(drive: &Drive, rnm: Option<&str>, inn: Option<&str>, shift: &Shift) -> String {
    let Value::Object(mut line) = shift_head(shift) else { return String::new() };
    let direction = |of: &dyn Fn(usize) -> Sums| {
        let named = DIRECTION_NAMES.iter().enumerate();
        named.map(|(at, name)| ((*name).to_owned(), sums_json(&of(at)))).collect::<Map<_, _>>()
    };
    let rest = json!({
        "fn": drive.number.as_str(),
        "rnm": rnm,
        "inn": inn,
        "realm": drive.realm.as_str(),
        "totals": direction(&|at| shift.totals.receipts(at)),
        "corrections": direction(&|at| shift.totals.corrections(at)),
        "inexact": shift.totals.inexact,
        "stated_receipts": shift.stated_receipts,
        "stated_documents": shift.stated_documents,
        "revision": shift.revision,
        "mismatches": shift.mismatches.iter().map(|it| json!({
            "tag": it.tag.number(),
            "within": it.within.number(),
            "stated": it.stated,
            "counted": it.counted,
        })).collect::<Vec<_>>(),
    });
    if let Value::Object(rest) = rest {
        line.extend(rest);
    }
    Value::Object(line).to_string()
}

/// A closed shift of the archive, as [`shift_line`] tells one.
#[must_use]
pub fn closed_shift_line(shift: &ShiftRow) -> String {
    let at = |seconds: Option<i64>| local(seconds.and_then(|it| u32::try_from(it).ok()).map(LocalSeconds));
    let kinds = |from: usize| {
        let of = |at: usize| shift.sums.get(from.saturating_add(at)).copied().flatten().unwrap_or_default();
        let named = DIRECTION_NAMES.iter().enumerate();
        let sums = |at| {
            let ShiftSums { receipts, total, payments, vat } = of(at);
            Sums { receipts, total, payments, vat }
        };
        named.map(|(at, name)| ((*name).to_owned(), sums_json(&sums(at)))).collect::<Map<_, _>>()
    };
    let mismatches = shift.mismatches.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
    json!({
        "shift": shift.shift,
        "opened_at": at(shift.opened_at),
        "closed_at": at(shift.closed_at),
        "open_fd": shift.open_fd,
        "close_fd": shift.close_fd,
        "cashier": shift.cashier,
        "documents": shift.documents,
        "receipts": shift.receipts,
        "revenue": shift.revenue,
        "state": shift.state,
        "fn": shift.drive,
        "rnm": shift.rnm,
        "inn": shift.inn,
        "realm": shift.realm,
        "totals": kinds(0),
        "corrections": kinds(DIRECTIONS),
        "inexact": shift.inexact,
        "stated_receipts": shift.stated_receipts,
        "stated_documents": shift.stated_documents,
        "revision": shift.revision,
        "mismatches": mismatches.unwrap_or_else(|| json!([])),
    })
    .to_string()
}

fn shift_head(shift: &Shift) -> Value {
    let at = |mark: Option<Mark>| mark.and_then(|it| local(it.at));
    json!({
        "shift": shift.number,
        "opened_at": at(shift.opened),
        "closed_at": at(shift.closed),
        "open_fd": shift.opened.map(|it| it.number),
        "close_fd": shift.closed.map(|it| it.number),
        "cashier": shift.cashier,
        "documents": shift.documents,
        "receipts": shift.totals.count(),
        "revenue": shift.totals.revenue(),
        "state": shift.agreement().as_str(),
    })
}

fn sums_json(sums: &Sums) -> Value {
    let mut line = Map::new();
    line.insert("receipts".to_owned(), sums.receipts.into());
    line.insert("total".to_owned(), sums.total.into());
    let payments = PAYMENT_NAMES.iter().zip(sums.payments);
    line.extend(payments.map(|(name, sum)| ((*name).to_owned(), sum.into())));
    // Most rates never occur.
    let vat = VAT_NAMES.iter().zip(sums.vat).filter(|(_, sum)| *sum != 0);
    line.extend(vat.map(|(name, sum)| ((*name).to_owned(), sum.into())));
    Value::Object(line)
}

fn ranges(ranges: &[Range]) -> Vec<[u32; 2]> {
    ranges.iter().map(|it| [it.first, it.last]).collect()
}

fn local(at: Option<LocalSeconds>) -> Option<String> {
    at.map(|at| Civil::from(at).to_string())
}
