//! `registers`: a snapshot a day of every register, with the states that have ended since the one before.
//!
//! ```text
//! snapshot of day D-1 ─┐                       ┌ one row a register as it stands: valid_to NULL
//! changes since ───────┴─▶ snapshot of day D ──┴ one row a state that has ended: valid_to
//! ```
//!
//! A snapshot is written with the first run that ends on another day than the last one did (time of receipt, UTC), and
//! stands behind the last record of that run (`as_of`). So the registers of a day are the rows of its folder with `valid_to`
//! NULL, and the history of a register its rows with `valid_to` of all folders and the one without of the newest.
//!
//! A register is told by realm and registration number (РНМ, 1037). What a state holds is what the document says that has
//! brought it about; a registration says all of it, other documents leave what they do not say as it was.

use super::cells::RowCells;
use super::column::{Cell, Column, Kind, Layout, millis};
use super::row::Row;
use crate::error::Error;

/// Texts of a state: columns, in their order, and tags.
pub const TEXTS: [(&str, u16); 7] = [
    ("user_name", 1048),
    ("address", 1009),
    ("place", 1187),
    ("kkt_number", 1013),
    ("kkt_version", 1188),
    ("machine_number", 1036),
    ("operator_inn", 1017),
];
/// Numbers of a state, and behind them its signs: columns, in their order, and tags.
pub const NUMBERS: [(&str, u16); 11] = [
    ("reasons", 1205),
    ("ffd_code", 1209),
    ("tax_systems", 1062),
    ("autonomous", 1002),
    ("automat", 1001),
    ("internet", 1108),
    ("excise", 1207),
    ("gambling", 1193),
    ("lottery", 1126),
    ("services", 1109),
    ("bso", 1110),
];
/// Where the signs begin.
const SIGNS_FROM: usize = 3;

/// A state of a register, as a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegisterRow {
    /// The record that has brought it about.
    pub position: u64,
    /// When that came, microseconds UTC.
    pub received_at_us: i64,
    /// The last record that the snapshot knows.
    pub as_of: u64,
    /// `prod` or `test`.
    pub realm: String,
    /// 1037.
    pub rnm: String,
    /// 1018.
    pub inn: Option<String>,
    /// The drive it works with (1041).
    pub drive: String,
    /// Number of the document.
    pub number: u32,
    /// When it began, and ended: 1012 of its document and of the next, seconds on the clock of the till.
    pub valid_from: Option<i64>,
    /// See there.
    pub valid_to: Option<i64>,
    /// It has ended, though nobody knows when.
    pub ended: bool,
    /// `working`, `left` or `closed`.
    pub status: String,
    /// The document is a registration.
    pub registers: bool,
    /// In the order of [`TEXTS`].
    pub texts: [Option<String>; TEXTS.len()],
    /// In the order of [`NUMBERS`].
    pub numbers: [Option<i64>; NUMBERS.len()],
}

impl RegisterRow {
    /// What tells a register from others, in the order of the table.
    pub(crate) fn key(&self) -> (&str, &str) {
        (&self.rnm, &self.realm)
    }

    /// The state behind this one.
    pub(crate) fn followed_by(&self, next: Self) -> Self {
        if next.registers {
            return next;
        }
        let mut texts = self.texts.clone();
        let mut numbers = self.numbers;
        texts.iter_mut().zip(next.texts).for_each(|(old, new)| *old = new.or(old.take()));
        numbers.iter_mut().zip(next.numbers).for_each(|(old, new)| *old = new.or(*old));
        Self { texts, numbers, inn: next.inn.or_else(|| self.inn.clone()), ..next }
    }
}

fn text<const AT: usize>(row: &Row) -> Cell<'_> {
    row.register.texts.get(AT).and_then(Option::as_deref).into()
}

fn number<const AT: usize>(row: &Row) -> Cell<'_> {
    row.register.numbers.get(AT).copied().flatten().into()
}

fn sign<const AT: usize>(row: &Row) -> Cell<'_> {
    row.register.numbers.get(AT).copied().flatten().map(|it| it != 0).into()
}

fn position(value: u64) -> Cell<'static> {
    i64::try_from(value).ok().into()
}

/// Columns of `registers`, in order.
pub const COLUMNS: &[Column] = &[
    Column::new(
        "position",
        Kind::Int64,
        "Позиция документа, с которого действует",
        |r| position(r.register.position),
    )
    .required()
    .laid_out(Layout::Delta),
    Column::new("as_of", Kind::Int64, "Позиция, на которую сделан снимок", |r| {
        position(r.register.as_of)
    })
    .required(),
    Column::new("realm", Kind::Text, "Мир: prod или test", |r| Cell::Text(&r.register.realm)).required(),
    Column::new("tenant", Kind::Text, "Арендатор", |_| Cell::Null),
    Column::new("inn", Kind::Text, "ИНН пользователя (1018)", |r| (&r.register.inn).into()),
    Column::new("rnm", Kind::Text, "Регистрационный номер ККТ (1037)", |r| {
        Cell::Text(&r.register.rnm)
    })
    .required(),
    Column::new("fn", Kind::Text, "Номер ФН (1041)", |r| Cell::Text(&r.register.drive)).required(),
    Column::new("fd", Kind::Int64, "Номер ФД, с которого действует (1040)", |r| {
        Cell::Int(i64::from(r.register.number))
    })
    .required(),
    Column::new(
        "received_at",
        Kind::UtcTime,
        "Документ принят оператором, UTC",
        |r| Cell::Int(r.register.received_at_us),
    )
    .required()
    .laid_out(Layout::Delta),
    Column::new(
        "valid_from",
        Kind::LocalTime,
        "Действует с, по часам ККТ, без зоны",
        |r| millis(r.register.valid_from).into(),
    )
    .laid_out(Layout::Delta),
    Column::new(
        "valid_to",
        Kind::LocalTime,
        "Действует до; пусто, пока действует",
        |r| millis(r.register.valid_to).into(),
    ),
    Column::new("ended", Kind::Flag, "Больше не действует", |r| {
        Cell::Flag(r.register.ended)
    })
    .required(),
    Column::new("status", Kind::Text, "Состояние: working, left, closed", |r| {
        Cell::Text(&r.register.status)
    })
    .required(),
    Column::new(
        "registration",
        Kind::Flag,
        "Документ — отчёт о регистрации или её изменении",
        |r| Cell::Flag(r.register.registers),
    )
    .required(),
    Column::new("user_name", Kind::Text, "Наименование пользователя (1048)", text::<0>),
    Column::new("address", Kind::Text, "Адрес расчётов (1009)", text::<1>),
    Column::new("place", Kind::Text, "Место расчётов (1187)", text::<2>),
    Column::new("kkt_number", Kind::Text, "Заводской номер ККТ (1013)", text::<3>),
    Column::new("kkt_version", Kind::Text, "Версия ККТ (1188)", text::<4>),
    Column::new("machine_number", Kind::Text, "Номер автомата (1036)", text::<5>),
    Column::new("operator_inn", Kind::Text, "ИНН оператора (1017)", text::<6>),
    Column::new("reasons", Kind::Int64, "Причины изменения сведений, биты (1205)", number::<0>),
    Column::new("ffd_code", Kind::Int64, "Версия ФФД, код (1209)", number::<1>),
    Column::new("tax_systems", Kind::Int64, "Системы налогообложения, биты (1062)", number::<2>),
    Column::new("autonomous", Kind::Flag, "Автономный режим (1002)", sign::<3>),
    Column::new("automat", Kind::Flag, "Автоматический режим (1001)", sign::<4>),
    Column::new("internet", Kind::Flag, "Расчёты только в «Интернет» (1108)", sign::<5>),
    Column::new("excise", Kind::Flag, "Подакцизные товары (1207)", sign::<6>),
    Column::new("gambling", Kind::Flag, "Азартные игры (1193)", sign::<7>),
    Column::new("lottery", Kind::Flag, "Лотерея (1126)", sign::<8>),
    Column::new("services", Kind::Flag, "Расчёты за услуги (1109)", sign::<9>),
    Column::new("bso", Kind::Flag, "АС БСО (1110)", sign::<10>),
];

/// The row that these cells make up.
///
/// # Errors
/// `Corrupt` when a column is missing or of another type.
pub(crate) fn read(row: RowCells<'_, '_>) -> Result<RegisterRow, Error> {
    let mut register = RegisterRow {
        position: row.required("position")?,
        received_at_us: row.required("received_at")?,
        as_of: row.required("as_of")?,
        realm: row.required_text("realm")?,
        rnm: row.required_text("rnm")?,
        inn: row.owned("inn")?,
        drive: row.required_text("fn")?,
        number: row.required("fd")?,
        valid_from: row.seconds("valid_from")?,
        valid_to: row.seconds("valid_to")?,
        ended: row.flag("ended")?.unwrap_or_default(),
        status: row.required_text("status")?,
        registers: row.flag("registration")?.unwrap_or_default(),
        ..RegisterRow::default()
    };
    for (slot, (name, _)) in register.texts.iter_mut().zip(TEXTS) {
        *slot = row.owned(name)?;
    }
    for (at, (slot, (name, _))) in register.numbers.iter_mut().zip(NUMBERS).enumerate() {
        *slot = if at < SIGNS_FROM { row.int(name)? } else { row.flag(name)?.map(i64::from) };
    }
    Ok(register)
}
