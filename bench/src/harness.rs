//! Subject and baseline by turns, medians, and one line a figure.
//!
//! Machines are shared and their speed moves two- and threefold between runs, while the ratio of two things measured
//! side by side hardly moves. So every round measures both, the order alternates from round to round, and the figure
//! that counts is the median of the rounds' ratios. The absolute median, its spread and the load average stand beside
//! it, so that a reader can tell a quiet run from a busy one.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;

/// Rounds of every figure, never less: the contract asks for five at least.
pub(crate) const ROUNDS: usize = 7;
/// Rounds of figures that take seconds each, and of every figure of a quick run.
pub(crate) const ROUNDS_FEW: usize = 5;

/// Which way is good.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    /// More is better: rates.
    Higher,
    /// Less is better: times.
    Lower,
}

/// What a figure is, before it has a value.
#[derive(Clone, Copy)]
pub(crate) struct Figure {
    /// Name of the contract.
    pub(crate) bench: &'static str,
    /// Unit of the value and of the baseline.
    pub(crate) unit: &'static str,
    /// Which way is good.
    pub(crate) better: Better,
    /// What it is measured against.
    pub(crate) vs: &'static str,
}

impl Figure {
    /// A rate.
    pub(crate) const fn rate(bench: &'static str, unit: &'static str, vs: &'static str) -> Self {
        Self { bench, unit, better: Better::Higher, vs }
    }

    /// A time.
    pub(crate) const fn time(bench: &'static str, unit: &'static str, vs: &'static str) -> Self {
        Self { bench, unit, better: Better::Lower, vs }
    }
}

/// One round: value of the subject, value of the baseline.
pub(crate) type Pair = (f64, f64);

/// Runs both by turns, one unmeasured turn of each first.
///
/// # Errors
/// Those of the two.
pub(crate) fn interleave<T, U>(
    rounds: usize,
    mut subject: impl FnMut() -> anyhow::Result<T>,
    mut baseline: impl FnMut() -> anyhow::Result<U>,
) -> anyhow::Result<Vec<(T, U)>> {
    subject()?;
    baseline()?;
    let mut pairs = Vec::with_capacity(rounds);
    for round in 0..rounds {
        if round % 2 == 0 {
            let one = subject()?;
            pairs.push((one, baseline()?));
        } else {
            let other = baseline()?;
            pairs.push((subject()?, other));
        }
    }
    Ok(pairs)
}

/// Repeats `pass`, which does `units` units of work, for at least `long`; gives units a second and adds the number of
/// passes to `runs`.
pub(crate) fn rate_of(units: usize, long: Duration, runs: &mut u64, mut pass: impl FnMut()) -> f64 {
    let mut passes = 0_u64;
    let started = Instant::now();
    loop {
        pass();
        passes += 1;
        let elapsed = started.elapsed();
        if elapsed >= long {
            *runs += passes;
            return units as f64 * passes as f64 / elapsed.as_secs_f64();
        }
    }
}

/// Middle of the values; of an even number the mean of the two in the middle.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    match values.len() {
        0 => f64::NAN,
        even if even % 2 == 0 => f64::midpoint(at(even / 2 - 1), at(even / 2)),
        odd => at(odd / 2),
    }
}

/// The load average of the last minute, as the system tells it.
fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}

/// Four significant digits: more would pretend.
fn rounded(value: f64) -> serde_json::Value {
    if value == 0.0 || !value.is_finite() {
        return json!(if value.is_finite() { Some(0.0) } else { None });
    }
    let digits = 3 - value.abs().log10().floor() as i32;
    if digits <= 0 {
        let step = 10_f64.powi(-digits);
        return json!(((value / step).round() * step) as i64);
    }
    json!(format!("{value:.*}", digits as usize).parse::<f64>().unwrap_or(value))
}

/// Where finished figures go: a line of JSON each at once, or a table at the end.
pub(crate) struct Sink {
    json: bool,
    rows: Vec<[String; 8]>,
}

impl Sink {
    /// A sink for lines (`json`) or for a table.
    pub(crate) const fn new(json: bool) -> Self {
        Self { json, rows: Vec::new() }
    }

    /// Takes a figure: its rounds, and how many single runs lie behind them.
    ///
    /// # Errors
    /// When stdout is closed.
    pub(crate) fn figure(&mut self, figure: Figure, pairs: &[Pair], runs: u64) -> anyhow::Result<()> {
        let value = median(pairs.iter().map(|pair| pair.0));
        let baseline = median(pairs.iter().map(|pair| pair.1));
        let ratios = || pairs.iter().map(|pair| pair.0 / pair.1);
        let ratio = median(ratios());
        let min = pairs.iter().map(|pair| pair.0).fold(f64::INFINITY, f64::min);
        let max = pairs.iter().map(|pair| pair.0).fold(f64::NEG_INFINITY, f64::max);
        let load = load();
        if self.json {
            let line = json!({
                "bench": figure.bench,
                "value": rounded(value),
                "unit": figure.unit,
                "better": if figure.better == Better::Higher { "higher" } else { "lower" },
                "vs": figure.vs,
                "baseline": rounded(baseline),
                "ratio": rounded(ratio),
                "ratio_min": rounded(ratios().fold(f64::INFINITY, f64::min)),
                "ratio_max": rounded(ratios().fold(f64::NEG_INFINITY, f64::max)),
                "runs": runs,
                "rounds": pairs.len(),
                "min": rounded(min),
                "median": rounded(value),
                "max": rounded(max),
                "load": rounded(load),
            });
            let mut out = std::io::stdout().lock();
            writeln!(out, "{line}")?;
            out.flush()?;
            return Ok(());
        }
        eprintln!("{} done", figure.bench);
        self.rows.push([
            figure.bench.to_owned(),
            human(value),
            figure.unit.to_owned(),
            format!("{} .. {}", human(min), human(max)),
            figure.vs.to_owned(),
            human(baseline),
            format!("{ratio:.3}"),
            format!("{load:.1}"),
        ]);
        Ok(())
    }

    /// Prints the table, if one was asked for.
    ///
    /// # Errors
    /// When stdout is closed.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        if self.json || self.rows.is_empty() {
            return Ok(());
        }
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::ASCII_MARKDOWN);
        table.set_header(["figure", "median", "unit", "min .. max", "vs", "baseline", "ratio", "load"]);
        for row in self.rows {
            table.add_row(row);
        }
        writeln!(std::io::stdout().lock(), "{table}")?;
        Ok(())
    }
}

/// A number for people: thousands and millions by letter.
fn human(value: f64) -> String {
    match value.abs() {
        big if big >= 1e6 => format!("{:.2} M", value / 1e6),
        large if large >= 1e4 => format!("{:.1} k", value / 1e3),
        hundreds if hundreds >= 100.0 => format!("{value:.0}"),
        small => format!("{small:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_mean_of_two_middles() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median([]).is_nan());
    }

    #[test]
    fn four_digits_are_kept() {
        assert_eq!(rounded(1_234_567.0).to_string(), "1235000");
        assert_eq!(rounded(0.123_456).to_string(), "0.1235");
        assert_eq!(rounded(12.0).to_string(), "12.0");
    }

    #[test]
    fn subject_and_baseline_take_turns_and_lead_by_turns() {
        let log = std::cell::RefCell::new(String::new());
        let note = |letter| {
            log.borrow_mut().push(letter);
            Ok(())
        };
        interleave(3, || note('s'), || note('b')).expect("neither fails");
        assert_eq!(log.into_inner(), "sbsbbssb");
    }
}
