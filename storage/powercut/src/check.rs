//! What was promised at the moment of a cut, and whether it is there.

use std::collections::HashSet;
use std::fmt;
use std::ops::AddAssign;
use std::path::Path;
use std::sync::Arc;

use ofd_storage::{LogOptions, RealEnv, RecoveryReport, recover};

use crate::disk::{Event, Mark};
use crate::workload::{DATA_NAME, payload};

/// The log as the marks tell it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    /// Id and length by LSN - 1: everything that has a number now.
    records: Vec<(u64, usize)>,
    /// Everything up to here was acknowledged.
    pub(crate) acknowledged: usize,
}

impl Model {
    /// Takes the marks of these events in.
    pub(crate) fn follow(&mut self, events: &[Event]) {
        for event in events {
            let Event::Mark(mark) = event else { continue };
            match *mark {
                Mark::Appended { lsn, id, len } => {
                    self.records.truncate(usize::try_from(lsn.saturating_sub(1)).unwrap_or(usize::MAX));
                    self.records.push((id, len));
                }
                Mark::Acknowledged(lsn) => self.acknowledged = usize::try_from(lsn).unwrap_or(usize::MAX),
                Mark::Reopened(count) => {
                    self.acknowledged = usize::try_from(count).unwrap_or(usize::MAX);
                    self.records.truncate(self.acknowledged);
                }
            }
        }
    }
}

/// Broken promises, counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Broken {
    /// Acknowledged and not there.
    pub(crate) lost: u64,
    /// There twice.
    pub(crate) doubled: u64,
    /// There, and not in their place.
    pub(crate) reordered: u64,
    /// Not the bytes that were appended, or called damaged by recovery.
    pub(crate) damaged: u64,
    /// Directories that do not open.
    pub(crate) refused: u64,
    /// The first of them in words.
    pub(crate) what: Option<String>,
}

impl Broken {
    pub(crate) fn is_any(&self) -> bool {
        self.lost + self.doubled + self.reordered + self.damaged + self.refused > 0
    }

    fn say(&mut self, what: impl FnOnce() -> String) {
        if self.what.is_none() {
            self.what = Some(what());
        }
    }
}

impl AddAssign<&Self> for Broken {
    fn add_assign(&mut self, other: &Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.reordered += other.reordered;
        self.damaged += other.damaged;
        self.refused += other.refused;
        if self.what.is_none() {
            self.what.clone_from(&other.what);
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, doubled, reordered, damaged, refused, .. } = self;
        write!(f, "lost {lost} doubled {doubled} reordered {reordered} damaged {damaged} refused {refused}")
    }
}

/// Opens the log under a mount point and compares it with the model.
pub(crate) fn check(root: &Path, options: LogOptions, model: &Model) -> (Broken, RecoveryReport) {
    let mut broken = Broken::default();
    let mut found = Vec::new();
    let env = Arc::new(RealEnv::new(root.join(DATA_NAME)));
    let opened = recover(env, options, &mut |record, _| {
        found.push((record.lsn().get(), record.payload().to_vec()));
    });
    let report = match opened {
        Ok((log, report)) => {
            drop(log);
            report
        }
        Err(error) => {
            broken.refused += 1;
            broken.say(|| format!("the directory does not open: {error}"));
            return (broken, RecoveryReport::default());
        }
    };
    if !report.damaged.is_empty() {
        broken.damaged += report.damaged.len() as u64;
        broken.say(|| format!("damage below the watermark: {:?}", report.damaged));
    }
    compare(model, &found, &mut broken);
    if broken.is_any() {
        let (there, all) = (found.len(), model.records.len());
        let words = broken.what.take().unwrap_or_default();
        broken.what = Some(format!(
            "{words}; {there} records of {all}, {} acknowledged; {report:?}",
            model.acknowledged
        ));
    }
    (broken, report)
}

fn compare(model: &Model, found: &[(u64, Vec<u8>)], broken: &mut Broken) {
    let mut ids = HashSet::new();
    for (at, (lsn, bytes)) in found.iter().enumerate() {
        let id = bytes.get(..8).and_then(|id| id.try_into().ok()).map(u64::from_le_bytes);
        if id.is_some_and(|id| !ids.insert(id)) {
            broken.doubled += 1;
            broken.say(|| format!("record {id:?} is there twice, at LSN {lsn} too"));
        }
        let place = usize::try_from(lsn.saturating_sub(1)).unwrap_or(usize::MAX);
        match model.records.get(place) {
            Some((expected, len)) if Some(*expected) == id => {
                if payload(*expected, *len) != *bytes {
                    broken.damaged += 1;
                    broken.say(|| format!("record {lsn} has other bytes"));
                }
                if place != at {
                    broken.reordered += 1;
                    broken.say(|| format!("record {lsn} at place {at}"));
                }
            }
            // Something else lies under its number.
            _ => {
                broken.reordered += 1;
                broken.say(|| format!("LSN {lsn} holds the record {id:?}"));
            }
        }
    }
    let lost = model.records.iter().take(model.acknowledged).filter(|(id, _)| !ids.contains(id)).count();
    if lost > 0 {
        broken.lost += lost as u64;
        broken.say(|| format!("{lost} acknowledged records are not there"));
    }
}
