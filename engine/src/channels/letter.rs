//! Letters: the body of a delivery in words, Russian, plain text. Pure.
//!
//! Invariants: every kind has words of its own (test: `every_kind_has_its_words`).

use serde_json::Value;

use crate::notify::NoticeKind;

/// A letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub(super) subject: String,
    pub(super) text: String,
}

/// Words for the body of a delivery; `None` when it is none.
pub(super) fn letter_of(body: &[u8]) -> Option<Letter> {
    let body: Value = serde_json::from_slice(body).ok()?;
    match body.get("notices").and_then(Value::as_array) {
        Some(notices) => digest_of(notices),
        None => {
            let subject = match register_of(&body) {
                Some(register) => format!("{}: {register}", title_of(&body)?),
                None => title_of(&body)?,
            };
            let text = format!("{}\n\n{}", paragraph_of(&body)?, closing_of(&body));
            Some(Letter { subject, text })
        }
    }
}

fn digest_of(notices: &[Value]) -> Option<Letter> {
    let paragraphs: Option<Vec<String>> = notices.iter().map(paragraph_of).collect();
    let count = notices.len();
    let subject =
        format!("Сводка по кассам: {count} {}", of_number(count, ["событие", "события", "событий"]));
    let closing = notices.last().map(closing_of).unwrap_or_default();
    Some(Letter { subject, text: format!("{}\n\n{closing}", paragraphs?.join("\n\n")) })
}

/// One, few and many, as Russian has them.
fn of_number(count: usize, [one, few, many]: [&str; 3]) -> &str {
    match (count % 10, count % 100) {
        (1, last) if last != 11 => one,
        (2..=4, last) if !(12..=14).contains(&last) => few,
        _ => many,
    }
}

fn kind_of(notice: &Value) -> Option<NoticeKind> {
    NoticeKind::of_name(notice.get("kind")?.as_str()?)
}

fn is_end(notice: &Value) -> bool {
    notice.get("state").and_then(Value::as_str) == Some("ended")
}

fn title_of(notice: &Value) -> Option<String> {
    let title = kind_of(notice)?.title();
    Some(if is_end(notice) { format!("Закончилось: {}", lower(title)) } else { title.to_owned() })
}

/// With a small letter at the begin, where it is not that of an abbreviation.
fn lower(title: &str) -> String {
    let mut letters = title.chars();
    match letters.next() {
        Some(first) if letters.clone().next().is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => title.to_owned(),
    }
}

fn register_of(notice: &Value) -> Option<String> {
    let text = |key: &str| notice.get(key).and_then(Value::as_str);
    text("rnm").map(|rnm| format!("касса {rnm}")).or_else(|| text("drive").map(|drive| format!("ФН {drive}")))
}

fn paragraph_of(notice: &Value) -> Option<String> {
    let mut lines = vec![format!("{}.", title_of(notice)?)];
    lines.extend(detail_of(kind_of(notice)?, notice));
    let text = |key: &str| notice.get(key).and_then(Value::as_str);
    for (key, name) in [("rnm", "РНМ кассы"), ("drive", "ФН"), ("inn", "ИНН")] {
        lines.extend(text(key).map(|value| format!("{name}: {value}")));
    }
    let number = notice.get("fd").and_then(Value::as_u64).filter(|it| *it > 0);
    lines.extend(number.map(|it| format!("Документ: {it}")));
    lines.extend(
        text("occurred_at").map(|at| format!("Когда: {} UTC", at.get(..19).unwrap_or(at).replace('T', " "))),
    );
    Some(lines.join("\n"))
}

/// What the kind has to say beside its title.
fn detail_of(kind: NoticeKind, notice: &Value) -> Option<String> {
    let data = notice.get("data")?;
    let number = |key: &str| data.get(key).and_then(Value::as_u64);
    let shift = || number("shift").map(|it| format!("Смена: {it}"));
    match kind {
        NoticeKind::GapOpened | NoticeKind::GapClosed => {
            let (first, last) = (number("first")?, number("last")?);
            Some(if first == last {
                format!("Номер: {first}")
            } else {
                format!("Номера: {first}–{last}")
            })
        }
        NoticeKind::DriveTerm if !is_end(notice) => {
            let days = usize::try_from(number("days")?).ok()?;
            Some(format!("Осталось не больше {days} {}", of_number(days, ["дня", "дней", "дней"])))
        }
        NoticeKind::DriveBacklog if !is_end(notice) => {
            Some(format!("Ждут передачи: {}", number("documents")?))
        }
        NoticeKind::DriveReplaced => {
            data.get("before").and_then(Value::as_str).map(|before| format!("Прежний ФН: {before}"))
        }
        NoticeKind::ShiftMismatch => {
            let count = data.get("counters").and_then(Value::as_array).map_or(0, Vec::len);
            let counters = of_number(count, ["счётчик", "счётчика", "счётчиков"]);
            Some(format!("{}\nРасходятся: {count} {counters}", shift()?))
        }
        NoticeKind::ViolationFound => {
            let text = |key: &str| data.get(key).and_then(Value::as_str);
            let what = ["explanation", "advice"].into_iter().filter_map(text).collect::<Vec<_>>().join("\n");
            let rule = text("rule").map(|it| format!("Правило: {it}"));
            Some([what].into_iter().chain(rule).filter(|it| !it.is_empty()).collect::<Vec<_>>().join("\n"))
        }
        NoticeKind::TaxRefused | NoticeKind::TaxQuarantined | NoticeKind::TaxWarned => {
            let code = number("code").map(|it| format!("Код ФНС: {it}"));
            let tag = number("tag").map(|it| format!("Реквизит: {it}"));
            let lines: Vec<String> = code.into_iter().chain(tag).collect();
            (!lines.is_empty()).then(|| lines.join("\n"))
        }
        NoticeKind::ShiftOpened
        | NoticeKind::ShiftClosed
        | NoticeKind::ShiftNotClosed
        | NoticeKind::ShiftTooLong
        | NoticeKind::ShiftOverdue
        | NoticeKind::ShiftAgrees => shift(),
        _ => None,
    }
}

fn closing_of(notice: &Value) -> String {
    let id = notice.get("subscription").and_then(Value::as_str).unwrap_or_default();
    format!("—\nВы получили это письмо по подписке {id}.")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed test may panic")]
    use serde_json::json;

    use super::*;

    fn notice(kind: &str, state: &str, data: Value) -> Value {
        json!({"id": "1", "subscription": "crm-7", "kind": kind, "state": state, "position": 1, "index": 0, "fd": 346,
            "occurred_at": "2026-03-02T10:00:00.000000Z", "drive": "9960440300000001", "inn": "7707083893",
            "rnm": "0000000001012345", "data": data})
    }

    fn written(body: &Value) -> Letter {
        letter_of(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_letter_tells_what_where_and_when() {
        let letter = written(&notice("gap.opened", "once", json!({"first": 340, "last": 345})));
        assert_eq!(letter.subject, "Пропущены номера документов: касса 0000000001012345");
        assert_eq!(
            letter.text,
            "Пропущены номера документов.\nНомера: 340–345\nРНМ кассы: 0000000001012345\nФН: 9960440300000001\n\
             ИНН: 7707083893\nДокумент: 346\nКогда: 2026-03-02 10:00:00 UTC\n\n—\nВы получили это письмо по подписке crm-7."
        );
        let ended = written(&notice("drive.term", "ended", json!({"days": null})));
        assert!(ended.subject.starts_with("Закончилось: истекает срок"), "{}", ended.subject);
        let term = written(&notice("drive.term", "began", json!({"days": 3})));
        assert!(term.text.contains("Осталось не больше 3 дней"), "{}", term.text);
    }

    // Whoever gets a letter about it has to understand it.
    #[test]
    fn every_kind_has_its_words() {
        let data = json!({"first": 1, "last": 1, "days": 30, "documents": 5, "before": "9960440300000002", "shift": 7, "counters": [{}]});
        let mut subjects = std::collections::BTreeSet::new();
        for kind in NoticeKind::ALL {
            for state in if kind.is_lasting() { vec!["began", "ended"] } else { vec!["once"] } {
                let letter = written(&notice(kind.name(), state, data.clone()));
                assert!(
                    !letter.text.contains(kind.name())
                        && letter.text.chars().any(|it| ('а'..='я').contains(&it))
                );
                assert!(subjects.insert(letter.subject), "{} {state}", kind.name());
            }
        }
    }

    #[test]
    fn a_digest_is_one_letter() {
        let one = notice("shift.opened", "once", json!({"shift": 7}));
        for (count, words) in
            [(1, "1 событие"), (3, "3 события"), (11, "11 событий"), (22, "22 события"), (25, "25 событий")]
        {
            let body = json!({"id": "1", "subscription": "crm-7", "kind": "digest", "notices": vec![one.clone(); count]});
            let letter = written(&body);
            assert_eq!(letter.subject, format!("Сводка по кассам: {words}"));
            assert_eq!(letter.text.matches("Смена: 7").count(), count);
        }
        assert_eq!(letter_of(b"{}"), None);
        assert_eq!(letter_of(b"["), None);
    }
}
