//! `shifts`: one row a closed shift, and one more each time later documents have changed it.
//!
//! A row is the state of a shift behind the last record of a run that closed or changed it, made by the fold of the owner
//! of the log ([`super::Derive`]); `position` is that of this record. So a shift that late documents reach in later runs has
//! several rows, told apart by `revision`: the greatest counts. In SQL: `… where (fn, shift, revision) in (select fn, shift,
//! max(revision) … group by fn, shift)`.
//!
//! Sums by direction, payment form and code of tax are those of its receipts (`sell_…`, `sell_return_…`, `buy_…`,
//! `buy_return_…`) and of its corrections (`…_correction_…`); NULL where there were none of the kind. Under `vat20` stands
//! what registers put into tag 1102, as in the totals of the live picture: the rate before 2019 is not told apart here.
//!
//! Unit: kopecks in the row, DECIMAL(18,2) in the column.

use super::Day;
use super::column::{Cell, Column, Kind, Layout, millis};
use super::row::Row;

/// Kinds of sums: four directions of receipts (1054), four of corrections.
pub const SHIFT_KINDS: usize = 8;
/// What the columns of each kind begin with.
pub const SUM_PREFIXES: [&str; SHIFT_KINDS] = [
    "sell",
    "sell_return",
    "buy",
    "buy_return",
    "sell_correction",
    "sell_return_correction",
    "buy_correction",
    "buy_return_correction",
];
/// Payment forms, in the order of [`ShiftSums::payments`], as columns end.
pub const PAYMENT_COLUMNS: [&str; 5] = ["cash", "ecash", "prepaid", "credit", "provision"];
/// Taxes, in the order of [`ShiftSums::vat`].
pub const VAT_COLUMNS: [&str; 12] = [
    "vat20",
    "vat10",
    "vat20c",
    "vat10c",
    "turnover_vat0",
    "turnover_no_vat",
    "vat5",
    "vat7",
    "vat5c",
    "vat7c",
    "vat22",
    "vat22c",
];

/// Sums of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShiftSums {
    /// How many receipts.
    pub receipts: u32,
    /// 1020, kopecks.
    pub total: i64,
    /// Cash, card, prepaid, credit, provision.
    pub payments: [i64; 5],
    /// By code of 1199 less one; of 5 and 6 turnover.
    pub vat: [i64; 12],
}

/// A closed shift as a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShiftRow {
    /// The last record that has closed or changed it.
    pub position: u64,
    /// When that came, microseconds UTC.
    pub received_at_us: i64,
    /// `prod` or `test`.
    pub realm: &'static str,
    /// 1018.
    pub inn: Option<String>,
    /// 1037.
    pub rnm: Option<String>,
    /// 1041, padding off.
    pub drive: String,
    /// 1038.
    pub shift: u32,
    /// 1012 of its reports, seconds on the clock of the till.
    pub opened_at: Option<i64>,
    /// See there.
    pub closed_at: Option<i64>,
    /// Number of the opening report; `None` when it has not come.
    pub open_fd: Option<u32>,
    /// Number of the closing report.
    pub close_fd: u32,
    /// Who opened it (1021).
    pub cashier: Option<String>,
    /// Documents that came, reports included.
    pub documents: u32,
    /// Receipts and corrections among them.
    pub receipts: u32,
    /// By the formula in the header of [`super`], kopecks.
    pub revenue: i64,
    /// `agrees`, `differs` or `incomplete`.
    pub state: &'static str,
    /// A sum has left 64 bits and stands where it was.
    pub inexact: bool,
    /// How often documents have changed it after it was closed: its rows are told apart by it.
    pub revision: u32,
    /// 1118 and 1111 of the closing report.
    pub stated_receipts: Option<u32>,
    /// See there.
    pub stated_documents: Option<u32>,
    /// Counters of the closing report (1194), JSON; `None` where it has none.
    pub counters: Option<String>,
    /// Counters that differ, JSON; `None` when there are none.
    pub mismatches: Option<String>,
    /// Directions of receipts, then of corrections; `None`: there were none.
    pub sums: [Option<ShiftSums>; SHIFT_KINDS],
}

impl ShiftRow {
    /// The day it lies under: that of its closing.
    pub fn day(&self) -> Day {
        Day::of(self.closed_at, self.received_at_us)
    }
}

fn receipts<const OF: usize>(row: &Row) -> Cell<'_> {
    sums_of(row, OF).map(|sums| i64::from(sums.receipts)).into()
}

fn total<const OF: usize>(row: &Row) -> Cell<'_> {
    sums_of(row, OF).map(|sums| sums.total).into()
}

fn payment<const OF: usize, const AT: usize>(row: &Row) -> Cell<'_> {
    sums_of(row, OF).and_then(|sums| sums.payments.get(AT)).copied().into()
}

fn vat<const OF: usize, const AT: usize>(row: &Row) -> Cell<'_> {
    sums_of(row, OF).and_then(|sums| sums.vat.get(AT)).copied().into()
}

fn sums_of(row: &Row, of: usize) -> Option<&ShiftSums> {
    row.shift.sums.get(of)?.as_ref()
}

/// The columns of a shift, then those of each kind of sums.
macro_rules! columns {
    ([$($column:expr,)*] $($of:literal $name:literal $title:literal,)*) => {
        &[
            $($column,)*
            $(
                Column::new(concat!($name, "_receipts"), Kind::Int64, concat!($title, ": чеков"), receipts::<$of>),
                Column::new(concat!($name, "_total"), Kind::Money, concat!($title, ": всего"), total::<$of>),
                Column::new(concat!($name, "_cash"), Kind::Money, concat!($title, ": наличными"), payment::<$of, 0>),
                Column::new(concat!($name, "_ecash"), Kind::Money, concat!($title, ": безналичными"), payment::<$of, 1>),
                Column::new(concat!($name, "_prepaid"), Kind::Money, concat!($title, ": предоплатой"), payment::<$of, 2>),
                Column::new(concat!($name, "_credit"), Kind::Money, concat!($title, ": в кредит"), payment::<$of, 3>),
                Column::new(
                    concat!($name, "_provision"),
                    Kind::Money,
                    concat!($title, ": встречным предоставлением"),
                    payment::<$of, 4>,
                ),
                Column::new(concat!($name, "_vat20"), Kind::Money, concat!($title, ": НДС 20 %"), vat::<$of, 0>),
                Column::new(concat!($name, "_vat10"), Kind::Money, concat!($title, ": НДС 10 %"), vat::<$of, 1>),
                Column::new(concat!($name, "_vat20c"), Kind::Money, concat!($title, ": НДС 20/120"), vat::<$of, 2>),
                Column::new(concat!($name, "_vat10c"), Kind::Money, concat!($title, ": НДС 10/110"), vat::<$of, 3>),
                Column::new(
                    concat!($name, "_turnover_vat0"),
                    Kind::Money,
                    concat!($title, ": оборот с НДС 0 %"),
                    vat::<$of, 4>,
                ),
                Column::new(
                    concat!($name, "_turnover_no_vat"),
                    Kind::Money,
                    concat!($title, ": оборот без НДС"),
                    vat::<$of, 5>,
                ),
                Column::new(concat!($name, "_vat5"), Kind::Money, concat!($title, ": НДС 5 %"), vat::<$of, 6>),
                Column::new(concat!($name, "_vat7"), Kind::Money, concat!($title, ": НДС 7 %"), vat::<$of, 7>),
                Column::new(concat!($name, "_vat5c"), Kind::Money, concat!($title, ": НДС 5/105"), vat::<$of, 8>),
                Column::new(concat!($name, "_vat7c"), Kind::Money, concat!($title, ": НДС 7/107"), vat::<$of, 9>),
                Column::new(concat!($name, "_vat22"), Kind::Money, concat!($title, ": НДС 22 %"), vat::<$of, 10>),
                Column::new(concat!($name, "_vat22c"), Kind::Money, concat!($title, ": НДС 22/122"), vat::<$of, 11>),
            )*
        ]
    };
}

/// Columns of `shifts`, in order.
pub const COLUMNS: &[Column] = columns! {
    [
        Column::new("position", Kind::Int64, "Позиция последнего документа смены в журнале", |r| {
            i64::try_from(r.shift.position).ok().into()
        })
        .required()
        .laid_out(Layout::Delta),
        Column::new("realm", Kind::Text, "Мир: prod или test", |r| Cell::Text(r.shift.realm)).required(),
        Column::new("tenant", Kind::Text, "Арендатор", |_| Cell::Null),
        Column::new("inn", Kind::Text, "ИНН пользователя (1018)", |r| (&r.shift.inn).into()),
        Column::new("rnm", Kind::Text, "Регистрационный номер ККТ (1037)", |r| (&r.shift.rnm).into()),
        Column::new("fn", Kind::Text, "Номер ФН (1041)", |r| Cell::Text(&r.shift.drive)).required(),
        Column::new("shift", Kind::Int64, "Номер смены (1038)", |r| Cell::Int(i64::from(r.shift.shift)))
            .required()
            .laid_out(Layout::Delta),
        Column::new("revision", Kind::Int64, "Сколько документов пришло после закрытия", |r| {
            Cell::Int(i64::from(r.shift.revision))
        })
        .required(),
        Column::new("opened_at", Kind::LocalTime, "Открыта, по часам ККТ, без зоны", |r| {
            millis(r.shift.opened_at).into()
        })
        .laid_out(Layout::Delta),
        Column::new("closed_at", Kind::LocalTime, "Закрыта, по часам ККТ, без зоны", |r| {
            millis(r.shift.closed_at).into()
        })
        .laid_out(Layout::Delta),
        Column::new("open_fd", Kind::Int64, "Номер отчёта об открытии; пусто, если его нет", |r| {
            r.shift.open_fd.map(i64::from).into()
        })
        .laid_out(Layout::Delta),
        Column::new("close_fd", Kind::Int64, "Номер отчёта о закрытии", |r| Cell::Int(i64::from(r.shift.close_fd)))
            .required()
            .laid_out(Layout::Delta),
        Column::new("received_at", Kind::UtcTime, "Последний документ смены принят, UTC", |r| {
            Cell::Int(r.shift.received_at_us)
        })
        .required()
        .laid_out(Layout::Delta),
        Column::new("cashier", Kind::Text, "Кассир, открывший смену (1021)", |r| (&r.shift.cashier).into()).personal(),
        Column::new("documents", Kind::Int64, "Документов, с отчётами", |r| Cell::Int(i64::from(r.shift.documents)))
            .required(),
        Column::new("receipts", Kind::Int64, "Чеков, БСО и коррекций", |r| Cell::Int(i64::from(r.shift.receipts)))
            .required(),
        Column::new("revenue", Kind::Money, "Выручка: приход минус возврат прихода", |r| Cell::Int(r.shift.revenue)),
        Column::new("state", Kind::Text, "Сверка со счётчиками: agrees, differs, incomplete", |r| {
            Cell::Text(r.shift.state)
        })
        .required(),
        Column::new("mismatch", Kind::Flag, "Счётчики ККТ не сошлись; пусто, если документов не хватает", |r| {
            (r.shift.state != "incomplete").then_some(r.shift.state == "differs").into()
        }),
        Column::new("mismatches", Kind::Text, "Какие счётчики не сошлись, JSON", |r| (&r.shift.mismatches).into()),
        Column::new("stated_receipts", Kind::Int64, "Чеков за смену по отчёту (1118)", |r| {
            r.shift.stated_receipts.map(i64::from).into()
        }),
        Column::new("stated_documents", Kind::Int64, "Документов за смену по отчёту (1111)", |r| {
            r.shift.stated_documents.map(i64::from).into()
        }),
        Column::new("counters", Kind::Text, "Счётчики итогов смены по отчёту (1194), JSON", |r| {
            (&r.shift.counters).into()
        }),
        Column::new("inexact", Kind::Flag, "Сумма вышла за 64 бита и неточна", |r| Cell::Flag(r.shift.inexact))
            .required(),
    ]
    0 "sell" "Приход",
    1 "sell_return" "Возврат прихода",
    2 "buy" "Расход",
    3 "buy_return" "Возврат расхода",
    4 "sell_correction" "Коррекция прихода",
    5 "sell_return_correction" "Коррекция возврата прихода",
    6 "buy_correction" "Коррекция расхода",
    7 "buy_return_correction" "Коррекция возврата расхода",
};
