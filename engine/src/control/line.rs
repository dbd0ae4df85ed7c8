//! The JSON lines that `ofd` prints, one place for all: the owner of a directory and a reader beside it answer in
//! the same words.

use std::fmt::Write as _;

use crate::links::{Link, Links};
use crate::notify::SubscriptionState;
use jiff::Timestamp;
use ofd_codec::rules::life::LifeRuleId;
use ofd_codec::rules::{Fixable, RuleId};
use ofd_codec::{Civil, LocalSeconds};
use ofd_storage::compact::CompactReport;
use ofd_storage::envelope::Realm;
use ofd_storage::merge::MergeReport;
use ofd_storage::retain::{Hold, Holds};
use ofd_storage::union::{SearchHit, StoredFinding};
use ofd_storage::verify::VerifyReport;
use serde_json::json;

use crate::archive::RetainReport;
use crate::lanes::stored_code;
use crate::query::StoredDocument;

/// A stored document: `{"position":…,"variant":…,"answer_code":…,"received_at":"…","answered_at":"…","realm":"…",
/// "document":{"receipt":{…}}}`. `answer_code` and `answered_at` are null when it was never answered, `document`
/// when it could not be opened. Times are RFC 3339, UTC, microseconds.
pub fn document_line(document: &StoredDocument) -> String {
    let (variant, realm) = match document.envelope() {
        Ok(envelope) => (envelope.variant, envelope.realm),
        Err(_) => (0, Realm::Prod),
    };
    let code = document.answer_code();
    let answered_at = code.map(|_| format!("\"{}\"", time(document.answered_at_us())));
    let mut line = String::with_capacity(1024);
    // Writing to a String cannot fail.
    let _ = write!(
        line,
        "{{\"position\":{},\"variant\":{variant},\"answer_code\":{},\"received_at\":\"{}\",\"answered_at\":{},\
         \"realm\":\"{}\",\"document\":{}}}",
        document.position().as_u64(),
        code.map_or_else(|| "null".to_owned(), |it| it.to_string()),
        time(document.received_at_us()),
        answered_at.as_deref().unwrap_or("null"),
        realm.as_str(),
        document.json().as_deref().unwrap_or("null"),
    );
    line
}

/// The container as received, in hex.
pub fn raw_line(document: &StoredDocument) -> String {
    ofd_codec::to_hex(document.container())
}

/// A finding: `{"position":…,"realm":"…","inn":…,"rnm":…,"fn":"…","fd":…,"form":…,"at":…,"rule":"C2","name":"…","level":"…",
/// "scope":"document","tag":…,"actual":…,"expected":…,"seen_at":"…","shift":…,"first_seen_at":"…","last_seen_at":"…","count":…,
/// "ended_at":…,"rules_version":…,"law":"…","explanation":"…","recommendation":"…","fixable_by":"…"}`. `at` is the clock of the
/// register, without a zone. What one document breaks is found once, at `seen_at`. The words are null for a rule that this
/// version does not know.
pub fn finding_line(finding: &StoredFinding) -> String {
    let seconds = finding.local_seconds.and_then(|at| u32::try_from(at).ok());
    let life = finding.life.as_ref();
    let words = words_of(&finding.rule);
    json!({
        "position": finding.position,
        "variant": finding.variant,
        "realm": finding.realm,
        "inn": finding.inn,
        "rnm": finding.rnm,
        "fn": finding.drive,
        "fd": finding.number,
        "form": finding.form,
        "at": seconds.map(|at| Civil::from(LocalSeconds(at)).to_string()),
        "rule": finding.rule,
        "name": finding.name,
        "level": finding.level,
        "scope": finding.scope,
        "tag": finding.tag,
        "actual": finding.actual,
        "expected": finding.expected,
        "seen_at": time(finding.seen_at_us),
        "shift": life.and_then(|it| it.shift),
        "first_seen_at": time(life.map_or(finding.seen_at_us, |it| it.first_seen_us)),
        "last_seen_at": time(life.map_or(finding.seen_at_us, |it| it.last_seen_us)),
        "count": life.map_or(1, |it| it.count),
        "ended_at": life.and_then(|it| it.ended_us).map(time),
        "rules_version": life.map(|it| it.rules_version),
        "law": words.map(|it| it.0),
        "explanation": words.map(|it| it.1),
        "recommendation": words.map(|it| it.2),
        "fixable_by": words.map(|it| it.3.as_str()),
    })
    .to_string()
}

/// Law, explanation, recommendation and what repairs, of a rule of either catalogue.
fn words_of(key: &str) -> Option<(&'static str, &'static str, &'static str, Fixable)> {
    if let Some(life) = LifeRuleId::by_key(key).map(LifeRuleId::rule) {
        return Some((life.law_ru, life.explain_ru, life.advice_ru, life.fixable));
    }
    let rule = RuleId::by_key(key).and_then(RuleId::rule)?;
    Some((rule.source, rule.explain_ru, rule.advice_ru, rule.fixable))
}

/// A document of a list: `{"position":…,"variant":0,"realm":"prod","inn":…,"rnm":…,"fn":"…","fd":…,"fpd":…,"form":…,"at":…,
/// "received_at":"…",…}`. Sums in kopecks; `at` is the clock of the register, without a zone; `vat` by codes of 1199.
pub fn receipt_line(hit: &SearchHit) -> String {
    let seconds = hit.local_seconds.and_then(|at| u32::try_from(at).ok());
    let code = stored_code(hit.answer_code);
    let vat: serde_json::Map<_, _> =
        hit.vat.iter().map(|(code, sum)| (code.to_string(), json!(sum))).collect();
    json!({
        "position": hit.position.as_u64(),
        "variant": hit.variant,
        "realm": hit.realm,
        "inn": hit.inn,
        "rnm": hit.rnm,
        "fn": hit.drive,
        "fd": hit.number,
        "fpd": hit.sign,
        "form": hit.form,
        "at": seconds.map(|at| Civil::from(LocalSeconds(at)).to_string()),
        "received_at": time(hit.received_at_us),
        "answer_code": code,
        "answered_at": code.map(|_| time(hit.answered_at_us)),
        "provenance": hit.provenance,
        "shift": hit.shift,
        "number_in_shift": hit.number_in_shift,
        "direction": hit.direction,
        "revenue_sign": hit.revenue_sign,
        "total": hit.total,
        "cash": hit.cash,
        "ecash": hit.ecash,
        "prepaid": hit.prepaid,
        "credit": hit.credit,
        "provision": hit.provision,
        "vat": vat,
        "tax_system": hit.tax_system,
        "user_name": hit.user_name,
        "address": hit.address,
        "place": hit.place,
        "cashier": hit.cashier,
        "cashier_inn": hit.cashier_inn,
        "automat": hit.automat,
        "internet": hit.internet,
        "agent_flags": hit.agent_flags,
        "buyer_contact": hit.buyer_contact,
        "buyer_name": hit.buyer_name,
        "buyer_inn": hit.buyer_inn,
        "correction_type": hit.correction_type,
        "items": hit.items,
        "violations": hit.findings,
    })
    .to_string()
}

/// What compaction did.
pub fn compact_line(report: &CompactReport) -> String {
    json!({
        "runs": report.runs,
        "segments": report.segments,
        "documents": report.documents,
        "items": report.items,
        "records": report.records,
        "replaced": report.replaced,
        "files": report.files,
        "bytes": report.bytes,
        "damaged": report.damaged,
        "swept": report.swept,
        "compacted_through": report.compacted_through.as_u64(),
    })
    .to_string()
}

/// What merging did.
pub fn merge_line(report: &MergeReport) -> String {
    json!({
        "runs": report.runs,
        "runs_merged": report.merged,
        "files": report.files,
        "files_replaced": report.replaced,
        "damaged": report.damaged,
        "unsupported": report.unsupported,
    })
    .to_string()
}

/// What retention let go, or would. `stays` says why the oldest segment stays that does.
pub fn retain_line(report: &RetainReport, dry_run: bool) -> String {
    let (log, archive) = (&report.log, &report.archive);
    json!({
        "dry_run": dry_run,
        "segments": log.segments.len(),
        "bytes": log.bytes,
        "dropped_through": log.dropped_through.get(),
        "stays_segment": log.stays.as_ref().map(|(segment, _)| segment.to_string()),
        "stays": log.stays.as_ref().map(|(_, why)| why.to_string()),
        "documents": archive.documents,
        "records": archive.records,
        "held": archive.held,
        "runs_replaced": archive.runs,
        "files_rewritten": archive.rewritten,
        "files_removed": archive.removed,
        "damaged": archive.damaged,
    })
    .to_string()
}

/// Legal holds, a line each: the number, then what it was placed with.
pub fn hold_lines(holds: &Holds) -> Vec<String> {
    let line = |(id, hold): (u64, &Hold)| {
        json!({
            "id": id, "scope": hold.scope, "from": hold.from, "to": hold.to, "reason": hold.reason, "by": hold.by,
        })
        .to_string()
    };
    holds.iter().map(line).collect()
}

/// Subscriptions, a line each: what was asked for, and how far it is.
pub fn subscription_lines(all: &[SubscriptionState]) -> Vec<String> {
    let line = |it: &SubscriptionState| {
        let mut line = it.subscription.to_value();
        if let Some(fields) = line.as_object_mut() {
            fields.shift_remove("do");
            fields.insert("told".to_owned(), json!(it.told.as_u64()));
            fields.insert("index".to_owned(), json!(it.index));
            fields.insert("waiting".to_owned(), json!(it.waiting));
            fields.insert("behind".to_owned(), json!(it.behind));
        }
        line.to_string()
    };
    all.iter().map(line).collect()
}

/// What belongs to a document, one line: `{"originals":[…],"later":[…],"complete":true}`, each with `position`, `fn`, `fd`, `form`,
/// `direction`, `date_time` (1012, local seconds), `total` (kopecks), `confidence` and `reasons`.
pub fn links_line(links: &Links) -> String {
    let link = |it: &Link| {
        json!({
            "position": it.position.as_u64(), "fn": it.drive.as_str(), "fd": it.number, "form": it.form,
            "direction": it.direction, "date_time": it.local_seconds, "total": it.total, "confidence": it.confidence,
            "reasons": it.reasons.iter().map(|reason| reason.name()).collect::<Vec<_>>(),
        })
    };
    let all = |links: &[Link]| links.iter().map(link).collect::<Vec<_>>();
    json!({"originals": all(&links.originals), "later": all(&links.later), "complete": links.complete})
        .to_string()
}

/// What verification found; `problems`, the first of them in words, only when there are some.
pub fn verify_line(report: &VerifyReport) -> String {
    let mut line = json!({
        "documents": report.documents,
        "damaged": report.damaged,
        "missing": report.missing,
        "parquet_rows": report.parquet_rows,
        "ok": report.ok,
    });
    if let Some(members) = line.as_object_mut().filter(|_| !report.problems.is_empty()) {
        members.insert("problems".to_owned(), json!(report.problems));
    }
    line.to_string()
}

/// RFC 3339 in UTC with all six digits.
pub(super) fn time(unix_us: i64) -> String {
    match Timestamp::from_microsecond(unix_us) {
        Ok(time) => format!("{time:.6}"),
        // A clock before the year -9999: shown as what it is.
        Err(_) => unix_us.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_have_all_their_digits_and_their_zone() {
        assert_eq!(time(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(time(1_772_409_600_000_120), "2026-03-02T00:00:00.000120Z");
        assert_eq!(time(i64::MIN), i64::MIN.to_string());
    }
}
