//! What a document says: one pass over its tags, and the columns of `documents`.
//!
//! Of a repeated tag the first that can be read counts. Text is decoded from CP866; text of fixed width (INN, registration number,
//! country) loses its padding, other text stays as the register wrote it. Leading zeros are kept.
//! Source of tags: order ЕД-7-20/662@, annex 2; each column's title names its tag.

use ofd_codec::{Cp866, DocumentView, FfdVersion, Form, Value};

use super::column::{Cell, Column, Kind, Layout, millis};
use super::item::{Item, first};
use super::text::{Text, Texts};
use super::vat::Vat;

/// Facts of a document. Money in kopecks.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub(super) inn: Option<Text>,
    pub(super) rnm: Option<Text>,
    pub(super) fpd: Option<i64>,
    pub(super) ffd: Option<&'static str>,
    /// 1012, seconds on the clock of the till.
    pub(super) local_seconds: Option<i64>,
    pub(super) shift: Option<i64>,
    pub(super) number_in_shift: Option<i64>,
    pub(super) direction: Option<i64>,
    pub(super) revenue_sign: i64,
    pub(super) total: Option<i64>,
    pub(super) cash: Option<i64>,
    pub(super) ecash: Option<i64>,
    pub(super) prepaid: Option<i64>,
    pub(super) credit: Option<i64>,
    pub(super) provision: Option<i64>,
    pub(super) vat: Vat,
    pub(super) user_name: Option<Text>,
    pub(super) address: Option<Text>,
    pub(super) place: Option<Text>,
    pub(super) tax_system: Option<i64>,
    pub(super) cashier: Option<Text>,
    pub(super) cashier_inn: Option<Text>,
    pub(super) automat: Option<Text>,
    pub(super) internet: Option<bool>,
    pub(super) agent_flags: Option<i64>,
    pub(super) buyer_contact: Option<Text>,
    pub(super) buyer_name: Option<Text>,
    pub(super) buyer_inn: Option<Text>,
    pub(super) correction_type: Option<i64>,
    pub(super) correction_day: Option<i64>,
    pub(super) correction_number: Option<Text>,
    /// A change of registration (form 11): whether it puts a new drive into the register (1101 = 1, or bit 0 of 1205).
    pub(super) replaces_drive: Option<bool>,
}

impl Facts {
    /// Reads the document; its items go into `items`, which is emptied first, all its texts behind `texts`. `p_version` is
    /// that of the session header, the last resort for the version of the format.
    pub fn read(
        view: &DocumentView<'_>,
        p_version: [u8; 2],
        items: &mut Vec<Item>,
        texts: &mut Texts,
    ) -> Self {
        items.clear();
        let mut facts = Self::default();
        let mut version_tag = None;
        for (tag, value) in view.tags() {
            let money = || value.kopecks().ok().map(|sum| sum.0);
            match tag.0 {
                1018 => first(&mut facts.inn, || inn_text(&value, texts)),
                1037 => first(&mut facts.rnm, || padded_text(&value, texts)),
                1077 => {
                    first(&mut facts.fpd, || value.fiscal_sign().ok().map(|sign| i64::from(sign.printed())))
                }
                1209 => first(&mut version_tag, || value.u8().ok()),
                1012 => first(&mut facts.local_seconds, || value.unixtime().ok().map(|at| i64::from(at.0))),
                1038 => first(&mut facts.shift, || number(&value)),
                1042 => first(&mut facts.number_in_shift, || number(&value)),
                1054 => first(&mut facts.direction, || number(&value)),
                1020 => first(&mut facts.total, money),
                1031 => first(&mut facts.cash, money),
                1081 => first(&mut facts.ecash, money),
                1215 => first(&mut facts.prepaid, money),
                1216 => first(&mut facts.credit, money),
                1217 => first(&mut facts.provision, money),
                1102..=1107 | 1115 => facts.vat.take(tag, &value),
                1048 => first(&mut facts.user_name, || text(&value, texts)),
                1009 => first(&mut facts.address, || text(&value, texts)),
                1187 => first(&mut facts.place, || text(&value, texts)),
                // What was applied (1055), or, in a registration, what may be (1062).
                1055 | 1062 => first(&mut facts.tax_system, || number(&value)),
                1021 => first(&mut facts.cashier, || text(&value, texts)),
                1203 => first(&mut facts.cashier_inn, || inn_text(&value, texts)),
                1036 => first(&mut facts.automat, || text(&value, texts)),
                1108 | 1125 => {
                    facts.internet = Some(facts.internet.unwrap_or(false) | (number(&value) == Some(1)));
                }
                1057 => first(&mut facts.agent_flags, || number(&value)),
                1008 => first(&mut facts.buyer_contact, || text(&value, texts)),
                1227 => first(&mut facts.buyer_name, || text(&value, texts)),
                1228 => first(&mut facts.buyer_inn, || inn_text(&value, texts)),
                1256 => facts.take_buyer(&value, texts),
                1173 => first(&mut facts.correction_type, || number(&value)),
                1174 => facts.take_correction_base(&value, texts),
                1101 if view.form() == Form::REREGISTRATION => {
                    facts.take_reason(number(&value).map(|it| it == 1))
                }
                1205 if view.form() == Form::REREGISTRATION => {
                    facts.take_reason(number(&value).map(|it| it & 1 != 0));
                }
                1059 | 1071 => {
                    let line = i64::try_from(items.len()).unwrap_or(i64::MAX).saturating_add(1);
                    items.push(Item::read(&value, line, texts));
                }
                _ => {}
            }
        }
        let form = view.form();
        facts.ffd = Some(FfdVersion::resolve(version_tag, None, p_version).as_str());
        facts.revenue_sign = revenue_sign(form, facts.direction);
        if form.is_receipt_like() && facts.internet.is_none() {
            facts.internet = Some(false);
        }
        facts.vat.settle(items, facts.total, facts.local_seconds);
        facts
    }

    fn take_buyer(&mut self, buyer: &Value<'_>, texts: &mut Texts) {
        for (tag, value) in buyer.children().map_while(Result::ok) {
            match tag.0 {
                1227 => first(&mut self.buyer_name, || text(&value, texts)),
                1228 => first(&mut self.buyer_inn, || inn_text(&value, texts)),
                _ => {}
            }
        }
    }

    fn take_correction_base(&mut self, base: &Value<'_>, texts: &mut Texts) {
        for (tag, value) in base.children().map_while(Result::ok) {
            match tag.0 {
                1178 => first(&mut self.correction_day, || {
                    value.unixtime().ok().map(|at| i64::from(at.0).div_euclid(86_400))
                }),
                1179 => first(&mut self.correction_number, || text(&value, texts)),
                _ => {}
            }
        }
    }

    /// Of several reasons one is enough.
    fn take_reason(&mut self, replaces: Option<bool>) {
        self.replaces_drive = match (self.replaces_drive, replaces) {
            (Some(one), Some(other)) => Some(one | other),
            (one, other) => one.or(other),
        };
    }

    /// 1012 in milliseconds.
    pub(super) fn local_millis(&self) -> Option<i64> {
        millis(self.local_seconds)
    }
}

/// The sign of a document in revenue; the formula stands in the header of [`super`].
pub fn revenue_sign(form: Form, direction: Option<i64>) -> i64 {
    match direction {
        Some(1) if form.is_receipt_like() => 1,
        Some(2) if form.is_receipt_like() => -1,
        _ => 0,
    }
}

/// Text of a value as it stands; `None` when it is empty. Spaces at its end are the register's own.
pub(super) fn text(value: &Value<'_>, texts: &mut Texts) -> Option<Text> {
    some_text(value.text(), texts)
}

/// Text of fixed width, its padding off; `None` when nothing is left.
pub(super) fn padded_text(value: &Value<'_>, texts: &mut Texts) -> Option<Text> {
    some_text(value.text().trimmed(), texts)
}

fn some_text(text: Cp866<'_>, texts: &mut Texts) -> Option<Text> {
    (!text.0.is_empty()).then(|| texts.take(text))
}

/// An INN, see [`inn_bytes`].
pub(super) fn inn_text(value: &Value<'_>, texts: &mut Texts) -> Option<Text> {
    some_text(inn_bytes(value), texts)
}

/// The bytes of an INN. Some registers pad one of ten digits to twelve on the left: two zeros at the begin of twelve characters
/// are taken off, as no INN of a person begins with region 00. Twelve zeros mean "no Russian INN" and stay.
fn inn_bytes<'a>(value: &Value<'a>) -> Cp866<'a> {
    let text = value.text().trimmed();
    match text.0 {
        [b'0', b'0', short @ ..]
            if short.len() == 10 && text.0.is_ascii() && short.iter().any(|it| *it != b'0') =>
        {
            Cp866(short)
        }
        _ => text,
    }
}

/// The INN of the user (1018), as the column has it: the first sort key.
pub fn inn_of(view: &DocumentView<'_>) -> Option<String> {
    let texts = view.tags().filter(|(tag, _)| tag.0 == 1018).map(|(_, value)| inn_bytes(&value));
    texts.into_iter().find(|text| !text.0.is_empty()).map(|text| text.to_string())
}

/// A byte, a number of two or four bytes or a bit mask.
pub(super) fn number(value: &Value<'_>) -> Option<i64> {
    value.bits().ok().map(i64::from)
}

/// Columns of `documents`, in order.
pub const COLUMNS: &[Column] = &[
    Column::new("position", Kind::Int64, "Позиция в журнале", |r| Cell::Int(r.head.position))
        .required()
        .laid_out(Layout::Delta),
    Column::new("partition_seq", Kind::Int64, "Номер в разделе журнала", |r| {
        Cell::Int(r.head.partition_seq)
    })
    .required()
    .laid_out(Layout::Delta),
    Column::new(
        "variant",
        Kind::Int32,
        "Вариант документа: 0 — тот, что идёт в счёт",
        |r| Cell::Int(r.head.variant),
    )
    .required(),
    Column::new("tenant", Kind::Text, "Арендатор", |_| Cell::Null),
    Column::new("realm", Kind::Text, "Мир: prod или test", |r| Cell::Text(r.head.realm)).required(),
    Column::new("inn", Kind::Text, "ИНН пользователя (1018)", |r| r.text(r.facts.inn)),
    Column::new("rnm", Kind::Text, "Регистрационный номер ККТ (1037)", |r| {
        r.text(r.facts.rnm)
    }),
    Column::new("fn", Kind::Text, "Номер ФН (1041)", |r| r.text(r.head.drive)).required(),
    Column::new("fd", Kind::Int64, "Номер ФД (1040)", |r| Cell::Int(r.head.number))
        .required()
        .laid_out(Layout::Delta),
    Column::new("fpd", Kind::Int64, "Фискальный признак документа, печатный (1077)", |r| r.facts.fpd.into())
        .laid_out(Layout::Lookup),
    Column::new("form", Kind::Text, "Форма документа", |r| r.head.form.as_deref().into()),
    Column::new("form_code", Kind::Int32, "Код формы документа", |r| {
        r.head.form_code.into()
    }),
    Column::new("ffd", Kind::Text, "Версия ФФД (1209)", |r| r.facts.ffd.into()),
    Column::new(
        "ts_local",
        Kind::LocalTime,
        "Дата, время по часам ККТ, без зоны (1012)",
        |r| r.facts.local_millis().into(),
    )
    .laid_out(Layout::Delta),
    Column::new("zone_min", Kind::Int32, "Часовая зона места расчётов, минуты от UTC", |_| Cell::Null),
    Column::new("received_at", Kind::UtcTime, "Принят оператором, UTC", |r| {
        Cell::Int(r.head.received_at_us)
    })
    .required()
    .laid_out(Layout::Delta),
    Column::new(
        "late_s",
        Kind::Int64,
        "Задержка приёма, секунды; пусто, если зона неизвестна",
        |_| Cell::Null,
    ),
    Column::new("shift", Kind::Int64, "Номер смены (1038)", |r| r.facts.shift.into()).laid_out(Layout::Delta),
    Column::new("number_in_shift", Kind::Int64, "Номер чека за смену (1042)", |r| {
        r.facts.number_in_shift.into()
    })
    .laid_out(Layout::Delta),
    Column::new("direction", Kind::Int32, "Признак расчёта (1054)", |r| {
        r.facts.direction.into()
    }),
    Column::new("revenue_sign", Kind::Int32, "Знак в выручке: +1, −1 или 0", |r| {
        Cell::Int(r.facts.revenue_sign)
    })
    .required(),
    Column::new("total", Kind::Money, "Сумма расчёта (1020)", |r| r.facts.total.into())
        .laid_out(Layout::Delta),
    Column::new("cash", Kind::Money, "Наличными (1031)", |r| r.facts.cash.into()),
    Column::new("ecash", Kind::Money, "Безналичными (1081)", |r| r.facts.ecash.into())
        .laid_out(Layout::Delta),
    Column::new("prepaid", Kind::Money, "Предоплатой, зачётом аванса (1215)", |r| {
        r.facts.prepaid.into()
    }),
    Column::new("credit", Kind::Money, "Постоплатой, в кредит (1216)", |r| {
        r.facts.credit.into()
    }),
    Column::new("provision", Kind::Money, "Встречным предоставлением (1217)", |r| {
        r.facts.provision.into()
    }),
    Column::new("vat20", Kind::Money, "НДС 20 % (1102)", |r| r.facts.vat.rate20().into()),
    Column::new("vat10", Kind::Money, "НДС 10 % (1103)", |r| r.facts.vat.plain(2).into()),
    Column::new("vat20c", Kind::Money, "НДС расч. 20/120 (1106)", |r| {
        r.facts.vat.rate20_calculated().into()
    }),
    Column::new("vat10c", Kind::Money, "НДС расч. 10/110 (1107)", |r| r.facts.vat.plain(4).into()),
    Column::new("vat5", Kind::Money, "НДС 5 % (1119)", |r| r.facts.vat.plain(7).into()),
    Column::new("vat7", Kind::Money, "НДС 7 % (1119)", |r| r.facts.vat.plain(8).into()),
    Column::new("vat5c", Kind::Money, "НДС расч. 5/105 (1119)", |r| r.facts.vat.plain(9).into()),
    Column::new("vat7c", Kind::Money, "НДС расч. 7/107 (1119)", |r| r.facts.vat.plain(10).into()),
    Column::new("vat22", Kind::Money, "НДС 22 % (1119)", |r| r.facts.vat.plain(11).into()),
    Column::new("vat22c", Kind::Money, "НДС расч. 22/122 (1119)", |r| r.facts.vat.plain(12).into()),
    Column::new("vat18", Kind::Money, "НДС 18 %, до 2019 года (1102)", |r| {
        r.facts.vat.rate18().into()
    }),
    Column::new("vat18c", Kind::Money, "НДС расч. 18/118, до 2019 года (1106)", |r| {
        r.facts.vat.rate18_calculated().into()
    }),
    Column::new(
        "vat_rate_guess",
        Kind::Flag,
        "18 или 20 % определено только по дате",
        |r| r.facts.vat.guessed().into(),
    ),
    Column::new("turnover_vat0", Kind::Money, "Сумма расчёта с НДС 0 % (1104)", |r| {
        r.facts.vat.turnover_vat0.into()
    }),
    Column::new("turnover_no_vat", Kind::Money, "Сумма расчёта без НДС (1105)", |r| {
        r.facts.vat.turnover_no_vat.into()
    }),
    Column::new("user_name", Kind::Text, "Наименование пользователя (1048)", |r| {
        r.text(r.facts.user_name)
    }),
    Column::new("address", Kind::Text, "Адрес расчётов (1009)", |r| r.text(r.facts.address)),
    Column::new("place", Kind::Text, "Место расчётов (1187)", |r| r.text(r.facts.place)),
    Column::new(
        "tax_system",
        Kind::Int32,
        "Система налогообложения, биты (1055; при регистрации 1062)",
        |r| r.facts.tax_system.into(),
    ),
    Column::new("cashier", Kind::Text, "Кассир (1021)", |r| r.text(r.facts.cashier)).personal(),
    Column::new("cashier_inn", Kind::Text, "ИНН кассира (1203)", |r| r.text(r.facts.cashier_inn)).personal(),
    Column::new("automat", Kind::Text, "Номер автомата (1036)", |r| r.text(r.facts.automat)),
    Column::new("internet", Kind::Flag, "Расчёт в «Интернет» (1125, 1108)", |r| {
        r.facts.internet.into()
    }),
    Column::new("agent_flags", Kind::Int32, "Признак агента, биты (1057)", |r| {
        r.facts.agent_flags.into()
    }),
    Column::new(
        "buyer_contact",
        Kind::Text,
        "Телефон или адрес покупателя (1008)",
        |r| r.text(r.facts.buyer_contact),
    )
    .personal(),
    Column::new("buyer_name", Kind::Text, "Покупатель (1227)", |r| r.text(r.facts.buyer_name)).personal(),
    Column::new("buyer_inn", Kind::Text, "ИНН покупателя (1228)", |r| r.text(r.facts.buyer_inn)).personal(),
    Column::new("correction_type", Kind::Int32, "Тип коррекции (1173)", |r| {
        r.facts.correction_type.into()
    }),
    Column::new(
        "correction_date",
        Kind::Date,
        "Дата корректируемого расчёта (1178)",
        |r| r.facts.correction_day.into(),
    ),
    Column::new("correction_number", Kind::Text, "Номер предписания (1179)", |r| {
        r.text(r.facts.correction_number)
    }),
    Column::new(
        "items_n",
        Kind::Int32,
        "Предметов расчёта: строк в items (1059, 1071)",
        |r| r.items.map(i64::from).into(),
    ),
    Column::new(
        "violations_n",
        Kind::Int32,
        "Нарушений, найденных проверками",
        |r| r.violations.map(i64::from).into(),
    ),
    Column::new("answer_code", Kind::Int32, "Код ответа оператора (1022)", |r| {
        Cell::Int(r.head.answer_code)
    })
    .required(),
    Column::new("answered_at", Kind::UtcTime, "Ответ дан, UTC", |r| Cell::Int(r.head.answered_at_us))
        .required()
        .laid_out(Layout::Delta),
    Column::new("provenance", Kind::Text, "Происхождение: live или import", |r| {
        Cell::Text(r.head.provenance)
    })
    .required(),
    Column::new(
        "replaces_drive",
        Kind::Flag,
        "Перерегистрация с заменой ФН (1101 = 1 или бит 0 в 1205); NULL, если причина не названа",
        |r| r.facts.replaces_drive.into(),
    ),
];
