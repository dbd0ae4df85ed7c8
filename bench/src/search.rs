//! What does a search over the archive cost, beside a bare read of the columns that it asks about?
//!
//! `search.sign`: the documents with a printed sign, within the organisation of one; row groups and pages that cannot hold
//! it are passed over, so that it should be a multiple of the baseline. `search.words`: the newest hundred documents with an
//! item of some name, over all organisations; every name has to be looked at, so that the baseline is the floor.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Duration;

use arrow_array::{Int64Array, StringArray};
use ofd_engine::host::Capability;
use ofd_engine::{Engine, ItemSearch, Search};
use ofd_storage::columns::Table;
use ofd_storage::columns::read::{column, each_batch};
use ofd_storage::union::Snapshot;

use crate::Plan;
use crate::corpus::Corpus;
use crate::harness::{Figure, Sink, interleave, rate_of};
use crate::lane::fill;

const BARE: &str = "bare Parquet read of the same columns";
/// Searches of one pass.
const ASKED: usize = 20;

/// Runs the figures of searching.
///
/// # Errors
/// Of the engine.
pub(crate) fn run(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    if !plan.wants(&["search.sign", "search.words"]) {
        return Ok(());
    }
    let dir = plan.temp_dir()?;
    let engine = Engine::builder(dir.path().join("engine")).open()?;
    let corpus = Corpus::new(plan.seed, 1000, plan.work(200_000));
    fill(&engine, &corpus.shared(), crate::lane::WINDOW)?;
    engine.compact(true)?;
    let snapshot = engine.snapshot()?;
    if plan.wants(&["search.sign"]) {
        sign(plan, sink, &engine, &snapshot)?;
    }
    if plan.wants(&["search.words"]) {
        words(plan, sink, &engine, &snapshot)?;
    }
    engine.shutdown()?;
    Ok(())
}

fn sign(plan: &Plan, sink: &mut Sink, engine: &Engine, snapshot: &Snapshot) -> anyhow::Result<()> {
    let mut all = Vec::new();
    each_sign(snapshot, &mut |inn, sign| all.push((inn.to_owned(), sign)))?;
    let stride = 7919 % all.len().max(1);
    let asked: Vec<(String, i64)> =
        (0..ASKED).filter_map(|turn| all.get(turn * stride % all.len()).cloned()).collect();
    let operator = Capability::operator();
    let long = plan.long(Duration::from_millis(300));
    let (mut runs, mut others, mut lost) = (0, 0, 0);
    let pairs = interleave(
        plan.rounds(),
        || {
            Ok(rate_of(asked.len(), long, &mut runs, || {
                for (inn, sign) in &asked {
                    let search = Search {
                        inns: Some(BTreeSet::from([inn.clone()])),
                        sign: u32::try_from(*sign).ok(),
                        ..Search::default()
                    };
                    let page = engine.search(&operator, &search, 10, None);
                    lost += usize::from(page.is_ok_and(|page| page.hits.is_empty()));
                }
            }))
        },
        || {
            Ok(rate_of(asked.len(), long, &mut others, || {
                for (inn, sign) in &asked {
                    let mut found = 0;
                    let read = each_sign(snapshot, &mut |other, it| {
                        found += usize::from(it == *sign && other == inn);
                    });
                    black_box((found, read.is_ok()));
                }
            }))
        },
    )?;
    anyhow::ensure!(lost == 0, "{lost} documents were not found");
    sink.figure(Figure::rate("search.sign", "searches/s", BARE), &pairs, runs)
}

fn words(plan: &Plan, sink: &mut Sink, engine: &Engine, snapshot: &Snapshot) -> anyhow::Result<()> {
    let mut names = BTreeSet::new();
    each_name(snapshot, &mut |name| {
        if names.len() < 4 * ASKED && !names.contains(name) {
            names.insert(name.to_owned());
        }
    })?;
    let asked: Vec<String> = names.iter().step_by(4).map(|it| it.to_lowercase()).collect();
    let operator = Capability::operator();
    let long = plan.long(Duration::from_millis(300));
    let (mut runs, mut others, mut lost) = (0, 0, 0);
    let pairs = interleave(
        plan.rounds(),
        || {
            Ok(rate_of(asked.len(), long, &mut runs, || {
                for name in &asked {
                    let item = ItemSearch { words: Some(name.clone()), ..ItemSearch::default() };
                    let page = engine.search(&operator, &Search { item, ..Search::default() }, 100, None);
                    lost += usize::from(page.is_ok_and(|page| page.hits.is_empty()));
                }
            }))
        },
        || {
            Ok(rate_of(asked.len(), long, &mut others, || {
                for asked in &asked {
                    let mut found = 0;
                    let read = each_name(snapshot, &mut |name| {
                        found += usize::from(name.to_lowercase().contains(asked.as_str()));
                    });
                    black_box((found, read.is_ok()));
                }
            }))
        },
    )?;
    anyhow::ensure!(lost == 0, "{lost} names were not found");
    sink.figure(Figure::rate("search.words", "searches/s", BARE), &pairs, runs)
}

fn each_sign(snapshot: &Snapshot, each: &mut dyn FnMut(&str, i64)) -> anyhow::Result<()> {
    let archive = snapshot.archive();
    for file in archive.files(Table::Documents) {
        let path = file.path();
        each_batch(&**archive.env(), &path, &["position", "inn", "fpd"], |batch| {
            let inns = column::<StringArray>(batch, &path, "inn")?;
            let signs = column::<Int64Array>(batch, &path, "fpd")?;
            for (inn, sign) in inns.iter().zip(signs.iter()) {
                if let Some((inn, sign)) = inn.zip(sign) {
                    each(inn, sign);
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn each_name(snapshot: &Snapshot, each: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
    let archive = snapshot.archive();
    for file in archive.files(Table::Items) {
        let path = file.path();
        each_batch(&**archive.env(), &path, &["position", "name"], |batch| {
            column::<StringArray>(batch, &path, "name")?.iter().flatten().for_each(&mut *each);
            Ok(())
        })?;
    }
    Ok(())
}
