//! Items of a receipt: tags 1059, and 1071 (storno of ФФД 1.0 and 1.1), in the order of the document.
//!
//! A storno takes an item back, so its `revenue_sign` is the opposite of the receipt's: `sum · revenue_sign`
//! adds up to the receipt in every year. In ФФД 1.0 the rate of an item stands in its tags 1102–1107 instead of
//! 1199; it is given as the code of 1199 here, with the sum of tax where the tag has one.
//!
//! Source: order ЕД-7-20/662@, tag 1059 and its tables; items with 1102–1107: observed in receipts of 2017–2018.

use ofd_codec::Value;

use super::column::{Cell, Column, DECIMAL_MAX, Kind, Layout};
use super::document::{inn_text, number, padded_text, text};
use super::product_code::ProductCode;
use super::text::{Text, Texts};

/// One item. Money in kopecks.
#[derive(Clone, Debug, Default)]
pub struct Item {
    pub(super) line: i64,
    pub(super) storno: bool,
    pub(super) name: Option<Text>,
    pub(super) price: Option<i64>,
    /// Millionths.
    pub(super) quantity: Option<i64>,
    pub(super) quantity_text: Option<Text>,
    pub(super) unit: Option<Text>,
    pub(super) unit_code: Option<i64>,
    pub(super) sum: Option<i64>,
    pub(super) vat_rate: Option<i64>,
    pub(super) vat_sum: Option<i64>,
    pub(super) payment_method: Option<i64>,
    pub(super) subject: Option<i64>,
    pub(super) agent_flag: Option<i64>,
    pub(super) supplier_inn: Option<Text>,
    pub(super) supplier_name: Option<Text>,
    pub(super) code: ProductCode,
    pub(super) mark_status: Option<i64>,
    pub(super) check_bits: Option<i64>,
    pub(super) country: Option<Text>,
    pub(super) customs: Option<Text>,
    pub(super) excise: Option<i64>,
}

impl Item {
    /// Reads the value of a 1059 or 1071; its texts go behind `texts`.
    pub fn read(item: &Value<'_>, line: i64, texts: &mut Texts) -> Self {
        let mut out = Self { line, storno: item.tag().0 == 1071, ..Self::default() };
        let mut old_vat = OldVat::default();
        for (tag, value) in item.children().map_while(Result::ok) {
            let money = || value.kopecks().ok().map(|sum| sum.0);
            match tag.0 {
                1030 => first(&mut out.name, || text(&value, texts)),
                1079 => first(&mut out.price, money),
                1023 => out.take_quantity(&value, texts),
                1197 => first(&mut out.unit, || text(&value, texts)),
                2108 => {
                    first(&mut out.unit_code, || number(&value));
                    first(&mut out.unit, || out.unit_code.and_then(measure).map(|unit| texts.put(unit)));
                }
                1043 => first(&mut out.sum, money),
                1199 => first(&mut out.vat_rate, || number(&value)),
                1200 => first(&mut out.vat_sum, money),
                1214 => first(&mut out.payment_method, || number(&value)),
                1212 => first(&mut out.subject, || number(&value)),
                1222 => first(&mut out.agent_flag, || number(&value)),
                1226 => first(&mut out.supplier_inn, || inn_text(&value, texts)),
                1224 => first(&mut out.supplier_name, || {
                    value
                        .children()
                        .map_while(Result::ok)
                        .find(|(tag, _)| tag.0 == 1225)
                        .and_then(|(_, v)| text(&v, texts))
                }),
                1163 => out.code = ProductCode::from_nested(&value, texts),
                1162 if out.code.kind.is_none() => out.code = ProductCode::from_prefixed(&value, texts),
                1080 if out.code.kind.is_none() => out.code = ProductCode::from_barcode(&value, texts),
                2110 => first(&mut out.mark_status, || number(&value)),
                2106 => first(&mut out.check_bits, || number(&value)),
                1230 => first(&mut out.country, || padded_text(&value, texts)),
                1231 => first(&mut out.customs, || text(&value, texts)),
                1229 => first(&mut out.excise, money),
                1102..=1107 => old_vat.take(tag.0, money()),
                _ => {}
            }
        }
        if out.vat_rate.is_none() {
            old_vat.give(&mut out);
        }
        out
    }

    /// The number when it fits DECIMAL(18,6), else its literal.
    fn take_quantity(&mut self, value: &Value<'_>, texts: &mut Texts) {
        let Ok(quantity) = value.fvln() else { return };
        let fits = quantity
            .to_decimal(6)
            .and_then(|millionths| i64::try_from(millionths).ok())
            .filter(|millionths| *millionths <= DECIMAL_MAX);
        match fits {
            Some(millionths) => self.quantity = Some(millionths),
            None => self.quantity_text = Some(texts.put(&quantity.to_string())),
        }
    }
}

/// Fills an empty slot; of a repeated tag the first that can be read counts.
pub(super) fn first<T>(slot: &mut Option<T>, value: impl FnOnce() -> Option<T>) {
    if slot.is_none() {
        *slot = value();
    }
}

/// Rate of an item of ФФД 1.0: the one of its tags 1102–1107 that is not zero, or the only one there is.
#[derive(Default)]
struct OldVat {
    found: Option<(u16, i64)>,
    ambiguous: bool,
}

impl OldVat {
    fn take(&mut self, tag: u16, sum: Option<i64>) {
        let Some(sum) = sum else { return };
        match self.found {
            None => self.found = Some((tag, sum)),
            Some((_, 0)) if sum != 0 => {
                self.found = Some((tag, sum));
                self.ambiguous = false;
            }
            Some((_, 0)) => self.ambiguous = true,
            Some(_) if sum == 0 => {}
            Some(_) => self.ambiguous = true,
        }
    }

    fn give(self, item: &mut Item) {
        let Some((tag, sum)) = self.found.filter(|_| !self.ambiguous) else { return };
        let (code, is_tax) = match tag {
            1102 => (1, true),
            1103 => (2, true),
            1104 => (5, false),
            1105 => (6, false),
            1106 => (3, true),
            1107 => (4, true),
            _ => return,
        };
        item.vat_rate = Some(code);
        if is_tax && item.vat_sum.is_none() {
            item.vat_sum = Some(sum);
        }
    }
}

/// Short name of a measure of tag 2108. Source: order ЕД-7-20/662@, table of measures of quantity.
fn measure(code: i64) -> Option<&'static str> {
    Some(match code {
        0 => "шт. или ед.",
        10 => "г",
        11 => "кг",
        12 => "т",
        20 => "см",
        21 => "дм",
        22 => "м",
        30 => "кв. см",
        31 => "кв. дм",
        32 => "кв. м",
        40 => "мл",
        41 => "л",
        42 => "куб. м",
        50 => "кВт·ч",
        51 => "Гкал",
        70 => "сутки",
        71 => "час",
        72 => "мин",
        73 => "с",
        80 => "Кбайт",
        81 => "Мбайт",
        82 => "Гбайт",
        83 => "Тбайт",
        255 => "иная",
        _ => return None,
    })
}

/// Columns of `items`, in order.
pub const COLUMNS: &[Column] = &[
    Column::new("position", Kind::Int64, "Позиция документа в журнале", |r| {
        Cell::Int(r.head.position)
    })
    .required()
    .laid_out(Layout::Delta),
    Column::new("realm", Kind::Text, "Мир: prod или test", |r| Cell::Text(r.head.realm)).required(),
    Column::new("tenant", Kind::Text, "Арендатор", |_| Cell::Null),
    Column::new("inn", Kind::Text, "ИНН пользователя (1018)", |r| r.text(r.facts.inn)),
    Column::new("rnm", Kind::Text, "Регистрационный номер ККТ (1037)", |r| {
        r.text(r.facts.rnm)
    }),
    Column::new("fn", Kind::Text, "Номер ФН (1041)", |r| r.text(r.head.drive)).required(),
    Column::new("fd", Kind::Int64, "Номер ФД (1040)", |r| Cell::Int(r.head.number))
        .required()
        .laid_out(Layout::Delta),
    Column::new("line", Kind::Int32, "Номер строки в чеке, с 1", |r| Cell::Int(r.item.line)).required(),
    Column::new(
        "variant",
        Kind::Int32,
        "Вариант документа: 0 — тот, что идёт в счёт",
        |r| Cell::Int(r.head.variant),
    )
    .required(),
    Column::new(
        "ts_local",
        Kind::LocalTime,
        "Дата, время по часам ККТ, без зоны (1012)",
        |r| r.facts.local_millis().into(),
    )
    .laid_out(Layout::Delta),
    Column::new("form", Kind::Text, "Форма документа", |r| r.head.form.as_deref().into()),
    Column::new("direction", Kind::Int32, "Признак расчёта (1054)", |r| {
        r.facts.direction.into()
    }),
    Column::new(
        "revenue_sign",
        Kind::Int32,
        "Знак в выручке: +1, −1 или 0; у сторно обратный",
        |r| {
            Cell::Int(if r.item.storno {
                r.facts.revenue_sign.saturating_neg()
            } else {
                r.facts.revenue_sign
            })
        },
    )
    .required(),
    Column::new("name", Kind::Text, "Наименование предмета расчёта (1030)", |r| {
        r.text(r.item.name)
    })
    .laid_out(Layout::Words),
    Column::new(
        "price",
        Kind::Money,
        "Цена за единицу с учётом скидок и наценок (1079)",
        |r| r.item.price.into(),
    ),
    Column::new("quantity", Kind::Quantity, "Количество (1023)", |r| r.item.quantity.into()),
    Column::new(
        "quantity_text",
        Kind::Text,
        "Количество, если не вмещается в DECIMAL(18,6) (1023)",
        |r| r.text(r.item.quantity_text),
    ),
    Column::new("unit", Kind::Text, "Единица измерения (1197, 2108)", |r| {
        r.text(r.item.unit)
    }),
    Column::new("unit_code", Kind::Int32, "Мера количества, код (2108)", |r| {
        r.item.unit_code.into()
    }),
    Column::new("sum", Kind::Money, "Стоимость с учётом скидок и наценок (1043)", |r| r.item.sum.into()),
    Column::new("storno", Kind::Flag, "Сторно товара (1071)", |r| Cell::Flag(r.item.storno)),
    Column::new("vat_rate", Kind::Int32, "Ставка НДС, код (1199)", |r| r.item.vat_rate.into()),
    Column::new("vat_sum", Kind::Money, "Сумма НДС за предмет расчёта (1200)", |r| {
        r.item.vat_sum.into()
    }),
    Column::new("payment_method", Kind::Int32, "Признак способа расчёта (1214)", |r| {
        r.item.payment_method.into()
    }),
    Column::new("subject", Kind::Int32, "Признак предмета расчёта (1212)", |r| {
        r.item.subject.into()
    }),
    Column::new(
        "agent_flag",
        Kind::Int32,
        "Признак агента по предмету расчёта, биты (1222)",
        |r| r.item.agent_flag.into(),
    ),
    Column::new("supplier_inn", Kind::Text, "ИНН поставщика (1226)", |r| {
        r.text(r.item.supplier_inn)
    }),
    Column::new("supplier_name", Kind::Text, "Наименование поставщика (1225)", |r| {
        r.text(r.item.supplier_name)
    }),
    Column::new("gtin", Kind::Text, "GTIN, 14 цифр", |r| r.text(r.item.code.gtin)),
    Column::new("code_kind", Kind::Text, "Вид кода товара: ean13, gs1m, kmk…", |r| {
        r.item.code.kind.into()
    }),
    Column::new(
        "code_raw",
        Kind::Text,
        "Код товара как есть (1163, 1080; 1162 — шестнадцатерично)",
        |r| r.text(r.item.code.raw),
    ),
    Column::new("mark_status", Kind::Int32, "Присвоенный статус товара (2110)", |r| {
        r.item.mark_status.into()
    }),
    Column::new(
        "check_bits",
        Kind::Int32,
        "Результат проверки сведений о товаре, биты (2106)",
        |r| r.item.check_bits.into(),
    ),
    Column::new("country", Kind::Text, "Код страны происхождения (1230)", |r| {
        r.text(r.item.country)
    }),
    Column::new("customs", Kind::Text, "Номер декларации на товар (1231)", |r| {
        r.text(r.item.customs)
    }),
    Column::new("excise", Kind::Money, "Акциз (1229)", |r| r.item.excise.into()),
];
