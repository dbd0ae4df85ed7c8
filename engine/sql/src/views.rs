//! Views in the words of the field, each under an English and a Russian name with columns to match.
//!
//! A view is a row of [`VIEWS`]: nothing else knows its names, so that the page `docs/sql.md` is made of them. It stands on
//! one table and adds no rights: a tenant's view has his rows, because its table has.
//!
//! Names have no ё and small letters only, so that they need no quotes. Money stays DECIMAL(18,2). All views leave out what is
//! not the shop's life: test registers (`realm`), and documents that lost against another under the same number (`variant`).

use ofd_storage::columns::Table;

use crate::scope::Scope;

/// A column of a view.
#[derive(Clone, Copy, Debug)]
pub struct ViewColumn {
    /// Name in the English view.
    pub english: &'static str,
    /// Name in the Russian one.
    pub russian: &'static str,
    /// What it is, in SQL over the table.
    source: Source,
}

/// Where a column comes from.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// The same in both views.
    Same(&'static str),
    /// The code in English, its word in Russian.
    Words(&'static str, &'static [(i64, &'static str)]),
}

/// A view.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// English name; where a table has it, the view has the Russian name only.
    pub english: &'static str,
    /// Russian name.
    pub russian: &'static str,
    /// What a row is.
    pub about: &'static str,
    /// The table below, by its name.
    pub table: &'static str,
    /// Its columns.
    pub columns: &'static [ViewColumn],
    /// Behind FROM.
    rest: &'static str,
}

const fn same(english: &'static str, russian: &'static str, sql: &'static str) -> ViewColumn {
    ViewColumn { english, russian, source: Source::Same(sql) }
}

const fn words(
    english: &'static str,
    russian: &'static str,
    sql: &'static str,
    words: &'static [(i64, &'static str)],
) -> ViewColumn {
    ViewColumn { english, russian, source: Source::Words(sql, words) }
}

/// Tag 1054.
const DIRECTIONS: &[(i64, &str)] =
    &[(1, "приход"), (2, "возврат прихода"), (3, "расход"), (4, "возврат расхода")];
/// Codes of forms that are receipts.
const RECEIPTS: &[(i64, &str)] = &[(3, "чек"), (4, "БСО"), (31, "чек коррекции"), (41, "БСО коррекции")];
/// Tag 1199.
const VAT_RATES: &[(i64, &str)] = &[
    (1, "20%"),
    (2, "10%"),
    (3, "20/120"),
    (4, "10/110"),
    (5, "0%"),
    (6, "без НДС"),
    (7, "5%"),
    (8, "7%"),
    (9, "5/105"),
    (10, "7/107"),
    (11, "22%"),
    (12, "22/122"),
];

/// Tag 1209.
const FFD: &[(i64, &str)] = &[(1, "1.0"), (2, "1.05"), (3, "1.1"), (4, "1.2")];

/// All views.
pub const VIEWS: &[View] = &[
    View {
        english: "receipts",
        russian: "чеки",
        about: "кассовые чеки, БСО и их коррекции: строка — документ",
        table: "documents",
        columns: &[
            same("date", "дата", "date"),
            same("ts_local", "время", "ts_local"),
            same("inn", "инн", "inn"),
            same("rnm", "рнм", "rnm"),
            same("fn", "фн", "fn"),
            same("fd", "фд", "fd"),
            same("fpd", "фпд", "fpd"),
            words("form_code", "форма", "form_code", RECEIPTS),
            same("shift", "смена", "shift"),
            same("number_in_shift", "чек_за_смену", "number_in_shift"),
            words("direction", "признак_расчета", "direction", DIRECTIONS),
            same("revenue_sign", "знак", "revenue_sign"),
            same("total", "сумма", "total"),
            same("revenue", "выручка", "CAST(total * revenue_sign AS DECIMAL(18,2))"),
            same("cash", "наличными", "cash"),
            same("ecash", "безналичными", "ecash"),
            same("prepaid", "предоплатой", "prepaid"),
            same("credit", "в_кредит", "credit"),
            same("provision", "встречным", "provision"),
            same(
                "vat",
                "ндс",
                "CAST(coalesce(vat22, 0) + coalesce(vat22c, 0) + coalesce(vat20, 0) + coalesce(vat20c, 0) \
                 + coalesce(vat18, 0) + coalesce(vat18c, 0) + coalesce(vat10, 0) + coalesce(vat10c, 0) \
                 + coalesce(vat7, 0) + coalesce(vat7c, 0) + coalesce(vat5, 0) + coalesce(vat5c, 0) \
                 AS DECIMAL(18,2))",
            ),
            same("user_name", "пользователь", "user_name"),
            same("address", "адрес", "address"),
            same("place", "место", "place"),
            same("tax_system", "система_налогообложения", "tax_system"),
            same("cashier", "кассир", "cashier"),
            same("automat", "автомат", "automat"),
            same("internet", "интернет", "internet"),
            same("buyer_contact", "покупатель_контакт", "buyer_contact"),
            same("buyer_name", "покупатель", "buyer_name"),
            same("buyer_inn", "покупатель_инн", "buyer_inn"),
            same("items_n", "позиций", "items_n"),
            same("violations_n", "нарушений", "violations_n"),
            same("received_at", "принят", "received_at"),
        ],
        rest: "WHERE variant = 0 AND realm = 'prod' AND form_code IN (3, 4, 31, 41)",
    },
    View {
        english: "items_sold",
        russian: "позиции",
        about: "проданное и возвращённое: строка — предмет расчёта",
        table: "items",
        columns: &[
            same("date", "дата", "date"),
            same("ts_local", "время", "ts_local"),
            same("inn", "инн", "inn"),
            same("rnm", "рнм", "rnm"),
            same("fn", "фн", "fn"),
            same("fd", "фд", "fd"),
            same("line", "строка", "line"),
            words("direction", "признак_расчета", "direction", DIRECTIONS),
            same("revenue_sign", "знак", "revenue_sign"),
            same("name", "наименование", "name"),
            same("price", "цена", "price"),
            same("quantity", "количество", "quantity"),
            same("unit", "единица", "unit"),
            same("sum", "сумма", "sum"),
            same("revenue", "выручка", "CAST(sum * revenue_sign AS DECIMAL(18,2))"),
            words("vat_rate", "ставка_ндс", "vat_rate", VAT_RATES),
            same("vat_sum", "ндс", "vat_sum"),
            same("payment_method", "способ_расчета", "payment_method"),
            same("subject", "предмет_расчета", "subject"),
            same("supplier_inn", "поставщик_инн", "supplier_inn"),
            same("supplier_name", "поставщик", "supplier_name"),
            same("gtin", "gtin", "gtin"),
            same("country", "страна", "country"),
            same("excise", "акциз", "excise"),
        ],
        rest: "WHERE variant = 0 AND realm = 'prod' AND revenue_sign <> 0",
    },
    View {
        english: "registers_now",
        russian: "кассы",
        about: "кассы по их документам: строка — ККТ",
        table: "documents",
        columns: &[
            same("inn", "инн", "inn"),
            same("rnm", "рнм", "rnm"),
            same("fn", "фн", "last_value(fn ORDER BY received_at, fn, fd)"),
            same(
                "address",
                "адрес",
                "last_value(address ORDER BY received_at, fn, fd) FILTER (WHERE address IS NOT NULL)",
            ),
            same(
                "place",
                "место",
                "last_value(place ORDER BY received_at, fn, fd) FILTER (WHERE place IS NOT NULL)",
            ),
            same("drives", "накопителей", "count(DISTINCT fn)"),
            same("documents", "документов", "count(*)"),
            same("receipts", "чеков", "count(*) FILTER (WHERE form_code IN (3, 4, 31, 41))"),
            same("first_at", "первый_документ", "min(ts_local)"),
            same("last_at", "последний_документ", "max(ts_local)"),
            same("last_received_at", "принят", "max(received_at)"),
        ],
        rest: "WHERE variant = 0 AND realm = 'prod' AND rnm IS NOT NULL GROUP BY inn, rnm",
    },
    View {
        english: "registers_registered",
        russian: "карточки_касс",
        about: "кассы, как они зарегистрированы, на последний снимок (раз в день): строка — ККТ",
        table: "registers",
        columns: &[
            same("inn", "инн", "inn"),
            same("rnm", "рнм", "rnm"),
            same("fn", "фн", "fn"),
            same("status", "состояние", "status"),
            same("user_name", "пользователь", "user_name"),
            same("address", "адрес", "address"),
            same("place", "место", "place"),
            same("kkt_number", "заводской_номер", "kkt_number"),
            words("ffd_code", "ффд", "ffd_code", FFD),
            same("tax_systems", "системы_налогообложения", "tax_systems"),
            same("automat", "автомат", "automat"),
            same("internet", "интернет", "internet"),
            same("autonomous", "автономно", "autonomous"),
            same("valid_from", "действует_с", "valid_from"),
        ],
        // The snapshot of a day has every register, as it stood then.
        rest: "WHERE realm = 'prod' AND NOT ended \
               QUALIFY row_number() OVER (PARTITION BY rnm ORDER BY date DESC) = 1",
    },
    View {
        english: "revenue_by_day",
        russian: "выручка_по_дням",
        about: "выручка пользователя за день: строка — дата и ИНН",
        table: "documents",
        columns: &[
            same("date", "дата", "date"),
            same("inn", "инн", "inn"),
            same("receipts", "чеков", "count(*) FILTER (WHERE revenue_sign = 1)"),
            same("returns", "возвратов", "count(*) FILTER (WHERE revenue_sign = -1)"),
            same("revenue", "выручка", "CAST(sum(total * revenue_sign) AS DECIMAL(18,2))"),
            same(
                "returned",
                "возвращено",
                "CAST(coalesce(sum(total) FILTER (WHERE revenue_sign = -1), 0) AS DECIMAL(18,2))",
            ),
            same("cash", "наличными", "CAST(sum(cash * revenue_sign) AS DECIMAL(18,2))"),
            same("ecash", "безналичными", "CAST(sum(ecash * revenue_sign) AS DECIMAL(18,2))"),
        ],
        rest: "WHERE variant = 0 AND realm = 'prod' AND revenue_sign <> 0 GROUP BY date, inn",
    },
    View {
        english: "shifts_closed",
        russian: "смены",
        about: "закрытые смены в их последнем виде: строка — смена",
        table: "shifts",
        columns: &[
            same("date", "дата", "date"),
            same("inn", "инн", "inn"),
            same("rnm", "рнм", "rnm"),
            same("fn", "фн", "fn"),
            same("shift", "смена", "shift"),
            same("opened_at", "открыта", "opened_at"),
            same("closed_at", "закрыта", "closed_at"),
            same("open_fd", "фд_открытия", "open_fd"),
            same("close_fd", "фд_закрытия", "close_fd"),
            same("cashier", "кассир", "cashier"),
            same("documents", "документов", "documents"),
            same("receipts", "чеков", "receipts"),
            same("revenue", "выручка", "revenue"),
            same(
                "cash",
                "наличными",
                "CAST(coalesce(sell_cash, 0) - coalesce(sell_return_cash, 0) + coalesce(sell_correction_cash, 0) - coalesce(sell_return_correction_cash, 0) AS DECIMAL(18,2))",
            ),
            same(
                "ecash",
                "безналичными",
                "CAST(coalesce(sell_ecash, 0) - coalesce(sell_return_ecash, 0) + coalesce(sell_correction_ecash, 0) - coalesce(sell_return_correction_ecash, 0) AS DECIMAL(18,2))",
            ),
            same("state", "сверка", "state"),
            same("mismatch", "расхождение", "mismatch"),
            same("mismatches", "расхождения", "mismatches"),
            same("revision", "поздних_документов", "revision"),
        ],
        rest: "WHERE realm = 'prod' \
               QUALIFY row_number() OVER (PARTITION BY fn, shift, close_fd ORDER BY revision DESC) = 1",
    },
    View {
        english: "violations",
        russian: "нарушения",
        about: "нарушения, найденные проверками: строка — нарушение",
        table: "violations",
        columns: &[
            same("date", "дата", "date"),
            same("ts_local", "время", "ts_local"),
            same("inn", "инн", "inn"),
            same("rnm", "рнм", "rnm"),
            same("fn", "фн", "fn"),
            same("fd", "фд", "fd"),
            same("line", "строка", "line"),
            same("form", "форма", "form"),
            same("rule", "проверка", "rule"),
            same("name", "имя_проверки", "name"),
            same("level", "важность", "level"),
            same("scope", "область", "scope"),
            same("tag", "реквизит", "tag"),
            same("actual", "есть", "actual"),
            same("expected", "должно_быть", "expected"),
            same("seen_at", "найдено", "seen_at"),
        ],
        rest: "WHERE variant = 0 AND realm = 'prod'",
    },
];

impl View {
    /// The names it can be asked by.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let taken = self.english.parse::<Table>().is_ok();
        (!taken).then_some(self.english).into_iter().chain([self.russian])
    }

    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.names().any(|it| it == name)
    }

    /// Whether its table is there.
    pub(crate) fn exists(&self, scope: &Scope) -> bool {
        self.table.parse::<Table>().is_ok_and(|table| scope.has_table(table))
    }

    /// The question behind it, with the columns of the view of this name.
    pub(crate) fn sql(&self, name: &str) -> String {
        let russian = name == self.russian;
        let columns = self.columns.iter().map(|column| {
            let (name, sql) = match (russian, column.source) {
                (false, Source::Same(sql) | Source::Words(sql, _)) => (column.english, sql.to_owned()),
                (true, Source::Same(sql)) => (column.russian, sql.to_owned()),
                (true, Source::Words(sql, words)) => {
                    let whens: String =
                        words.iter().map(|(code, word)| format!(" WHEN {code} THEN '{word}'")).collect();
                    (column.russian, format!("CASE {sql}{whens} END"))
                }
            };
            format!("{sql} AS \"{name}\"")
        });
        let columns: Vec<String> = columns.collect();
        format!("SELECT {} FROM {} {}", columns.join(", "), self.table, self.rest)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A name that needs quotes, or stands twice, is one that nobody finds.
    #[test]
    fn names_are_plain_and_stand_once() {
        let plain = |name: &str| {
            name.chars()
                .all(|it| it == '_' || it.is_ascii_digit() || (it.is_alphabetic() && it.is_lowercase()))
                && !name.contains('ё')
        };
        let mut views = BTreeSet::new();
        for view in VIEWS {
            for name in [view.english, view.russian] {
                assert!(plain(name) && views.insert(name), "{name}");
            }
            for names in [
                view.columns.iter().map(|it| it.english).collect::<Vec<_>>(),
                view.columns.iter().map(|it| it.russian).collect(),
            ] {
                assert!(names.iter().all(|name| plain(name)), "{names:?}");
                assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
            }
        }
    }
}
