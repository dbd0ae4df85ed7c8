//! Which registers `ofd registers` lists, and in which order.

use std::ops::{Range, RangeInclusive};

use clap::Args;
use ofd_engine::codec::LocalSeconds;
use ofd_engine::registers::{RegisterStatus, Traits};
use ofd_engine::watch::{Colour, Facet, RegisterQuery, RegisterSort, RegisterText, What};

use crate::ranges::{range, times};

/// Filters and order.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// Part of РНМ, of the number of the drive or of the outlet.
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Part of the user's name (1048), the address (1009), the place (1187) or the number of the register (ЗН, 1013).
    #[arg(long, value_name = "WORDS")]
    words: Option<String>,
    /// In this outlet.
    #[arg(long, value_name = "OUTLET")]
    outlet: Option<String>,
    /// By this version of the formats.
    #[arg(long, value_name = "VERSION", value_parser = ["1.05", "1.1", "1.2"])]
    ffd: Option<String>,
    /// With one of these tax systems: bits of 1062.
    #[arg(long, value_name = "BITS", default_value_t = 0, hide_default_value = true)]
    tax_system: u8,
    /// Registered with all of these signs: autonomous, automatic, internet, service, bso, excise, gambling, lottery, encrypted, agent,
    /// marking.
    #[arg(long, value_name = "SIGN", value_delimiter = ',', value_parser = mode)]
    mode: Vec<u16>,
    /// With none of these.
    #[arg(long, value_name = "SIGN", value_delimiter = ',', value_parser = mode)]
    without_mode: Vec<u16>,
    /// Those that are working, left or closed.
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<RegisterStatus>,
    /// Of this colour of the traffic light only: green, yellow or red; may be given more than once.
    #[arg(long, value_name = "COLOUR", value_parser = colour)]
    colour: Vec<Colour>,
    /// With this colour of a facet: drive=red; facets are transfer, shift, connection, drive, registration, quality.
    #[arg(long, value_name = "FACET=COLOUR", value_parser = facet)]
    facet: Option<(Facet, Colour)>,
    /// With this reason, by its code: drive.ends.
    #[arg(long, value_name = "CODE", value_parser = reason)]
    reason: Option<What>,
    /// Last document came then, UTC.
    #[arg(long, value_name = "TIMES", value_parser = times)]
    last_document: Option<RangeInclusive<i64>>,
    /// First document came then, UTC.
    #[arg(long, value_name = "TIMES", value_parser = times)]
    first_seen: Option<RangeInclusive<i64>>,
    /// Drive has to be replaced then, by the forecast.
    #[arg(long, value_name = "DAYS", value_parser = times)]
    drive_ends: Option<RangeInclusive<i64>>,
    /// Memory of the drive that is filled, percent.
    #[arg(long, value_name = "RANGE", value_parser = range::<u32>)]
    filled: Option<RangeInclusive<u32>>,
    /// Service ends then, UTC.
    #[arg(long, value_name = "TIMES", value_parser = times)]
    service_ends: Option<RangeInclusive<i64>>,
    /// Documents that wait in the drive.
    #[arg(long, value_name = "RANGE", value_parser = range::<u32>)]
    backlog: Option<RangeInclusive<u32>>,
    /// With an open shift, or without.
    #[arg(long, value_name = "true|false")]
    shift_open: Option<bool>,
    /// Shift has been open since then, by the clock of the register.
    #[arg(long, value_name = "TIMES", value_parser = times)]
    open_since: Option<RangeInclusive<i64>>,
    /// With findings in its documents, or without.
    #[arg(long, value_name = "true|false")]
    findings: Option<bool>,
    /// Taken today, kopecks.
    #[arg(long, value_name = "RANGE", value_parser = range::<i64>, allow_hyphen_values = true)]
    revenue_today: Option<RangeInclusive<i64>>,
    /// Receipts of today.
    #[arg(long, value_name = "RANGE", value_parser = range::<u32>)]
    receipts_today: Option<RangeInclusive<u32>>,
    /// In which order; colours worst first.
    #[arg(long, value_name = "FIELD", default_value = "rnm", value_parser = SORTS.map(|(name, _)| name))]
    sort: String,
    /// The other way round.
    #[arg(long)]
    descending: bool,
}

/// Orders by their names.
const SORTS: [(&str, RegisterSort); 31] = [
    ("rnm", RegisterSort::Rnm),
    ("fn", RegisterSort::Drive),
    ("user", RegisterSort::Text(RegisterText::UserName)),
    ("address", RegisterSort::Text(RegisterText::Address)),
    ("place", RegisterSort::Text(RegisterText::Place)),
    ("kkt-number", RegisterSort::Text(RegisterText::KktNumber)),
    ("organisation", RegisterSort::OrganisationDriveEnds),
    ("outlet", RegisterSort::OutletDriveEnds),
    ("drive-ends", RegisterSort::DriveEnds),
    ("filled", RegisterSort::Filled),
    ("colour", RegisterSort::Colour),
    ("transfer", RegisterSort::Facet(Facet::Transfer)),
    ("shift", RegisterSort::Facet(Facet::Shift)),
    ("connection", RegisterSort::Facet(Facet::Connection)),
    ("drive", RegisterSort::Facet(Facet::Drive)),
    ("registration", RegisterSort::Facet(Facet::Registration)),
    ("quality", RegisterSort::Facet(Facet::Quality)),
    ("reason", RegisterSort::Reason),
    ("findings", RegisterSort::Findings),
    ("last", RegisterSort::LastDocument),
    ("first-seen", RegisterSort::FirstSeen),
    ("service-ends", RegisterSort::ServiceEnds),
    ("backlog", RegisterSort::Backlog),
    ("ffd", RegisterSort::Version),
    ("tax-systems", RegisterSort::TaxSystems),
    ("modes", RegisterSort::Modes),
    ("marking", RegisterSort::Marking),
    ("status", RegisterSort::Status),
    ("open-since", RegisterSort::OpenSince),
    ("revenue-today", RegisterSort::RevenueToday),
    ("receipts-today", RegisterSort::ReceiptsToday),
];

fn mode(name: &str) -> Result<u16, String> {
    Traits::mode(name).ok_or_else(|| "no such sign".to_owned())
}

fn status(name: &str) -> Result<RegisterStatus, String> {
    let all = [RegisterStatus::Working, RegisterStatus::Left, RegisterStatus::Closed];
    all.into_iter().find(|it| it.as_str() == name).ok_or_else(|| "one of working, left, closed".to_owned())
}

fn colour(name: &str) -> Result<Colour, String> {
    Colour::parse(name).ok_or_else(|| "one of green, yellow, red".to_owned())
}

fn facet(text: &str) -> Result<(Facet, Colour), String> {
    let (name, of) = text.split_once('=').ok_or("FACET=COLOUR")?;
    Ok((Facet::parse(name).ok_or("no such facet")?, colour(of)?))
}

fn reason(code: &str) -> Result<What, String> {
    What::parse(code).ok_or_else(|| "no such code of a reason".to_owned())
}

/// Microseconds of these seconds.
fn us(seconds: &RangeInclusive<i64>) -> Range<i64> {
    let us = |seconds: i64| seconds.saturating_mul(1_000_000);
    us(*seconds.start())..us(seconds.end().saturating_add(1))
}

/// Units of so many seconds, of those with a number.
fn units(seconds: &RangeInclusive<i64>, of: i64) -> Range<u32> {
    if *seconds.end() < 0 {
        return 0..0;
    }
    let unit = |seconds: i64| seconds.div_euclid(of).clamp(0, u32::MAX.into());
    let (from, to) = (unit(*seconds.start()), unit(*seconds.end()).saturating_add(1));
    u32::try_from(from).unwrap_or(u32::MAX)..u32::try_from(to).unwrap_or(u32::MAX)
}

impl Which {
    pub(crate) fn query(&self) -> RegisterQuery {
        let sort =
            SORTS.into_iter().find(|(name, _)| *name == self.sort).map_or(RegisterSort::Rnm, |it| it.1);
        let worst_first = matches!(sort, RegisterSort::Colour | RegisterSort::Facet(_));
        let local = |it: Range<u32>| LocalSeconds(it.start)..LocalSeconds(it.end);
        RegisterQuery {
            text: self.text.clone(),
            words: self.words.clone(),
            outlet: self.outlet.clone(),
            version: self.ffd.clone(),
            tax_systems: self.tax_system,
            modes: self.mode.iter().fold(0, |all, it| all | it),
            without_modes: self.without_mode.iter().fold(0, |all, it| all | it),
            status: self.status,
            colours: self.colour.clone(),
            facet: self.facet,
            reason: self.reason,
            last_document: self.last_document.as_ref().map(us),
            first_seen: self.first_seen.as_ref().map(us),
            drive_ends: self.drive_ends.as_ref().map(|it| units(it, 86_400)),
            filled: self.filled.clone(),
            service_ends: self.service_ends.as_ref().map(|it| units(it, 1)),
            backlog: self.backlog.clone(),
            shift_open: self.shift_open,
            open_since: self.open_since.as_ref().map(|it| local(units(it, 1))),
            has_findings: self.findings,
            revenue_today: self.revenue_today.clone(),
            receipts_today: self.receipts_today.clone(),
            sort,
            descending: self.descending != worst_first,
            ..RegisterQuery::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A filter by time that is a day off shows a wrong list and no error.
    #[test]
    fn times_are_taken_from_their_first_to_their_last_second() {
        assert_eq!(us(&(10..=19)), 10_000_000..20_000_000);
        assert_eq!(us(&(i64::MIN..=i64::MAX)), i64::MIN..i64::MAX);
        assert_eq!(units(&(86_400..=86_400 * 3 - 1), 86_400), 1..3);
        assert_eq!(units(&(i64::MIN..=i64::MAX), 1), 0..u32::MAX);
        assert_eq!(units(&(5..=7), 1), 5..8);
        assert_eq!(
            (units(&(-9..=0), 1), units(&(-9..=-1), 1)),
            (0..1, 0..0),
            "nothing has a number before 1970"
        );
    }
}
