//! Somebody who tells the leg to the tax service what to do: to pause a drive or everything, to go on, to send a range once more. A
//! crash may leave open whether he was heard: what counts is what the log has of it.

use std::collections::BTreeSet;

use ofd_engine::codec::DriveNumber;
use ofd_engine::tax::TaxCommand;
use ofd_engine::testing::Commanding;
use ofd_engine::{Engine, Health};
use serde_json::Value;

use crate::rng::Rng;

/// What is paused.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Paused {
    pub(super) all: bool,
    pub(super) drives: BTreeSet<DriveNumber>,
}

impl Paused {
    pub(super) fn has(&self, drive: DriveNumber) -> bool {
        self.all || self.drives.contains(&drive)
    }

    fn take(&mut self, order: TaxCommand) {
        match order {
            TaxCommand::Pause(None) => self.all = true,
            TaxCommand::Resume(None) => self.all = false,
            TaxCommand::Pause(Some(drive)) => _ = self.drives.insert(drive),
            TaxCommand::Resume(Some(drive)) => _ = self.drives.remove(&drive),
            TaxCommand::Resend { .. } => {}
        }
    }
}

/// A range that has to be sent once more: everything of it that lies before the command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resend {
    pub(super) lsn: u64,
    pub(super) drive: DriveNumber,
    pub(super) from: u32,
    pub(super) to: u32,
}

impl Resend {
    /// Whether it is about a document at this position.
    pub(super) fn names(&self, drive: DriveNumber, number: u32, position: u64) -> bool {
        self.drive == drive && (self.from..=self.to).contains(&number) && position < self.lsn
    }
}

pub(super) struct Operator {
    rng: Rng,
    left: u64,
    calm: bool,
    asking: Option<Commanding>,
    /// By their records.
    orders: Vec<(u64, TaxCommand)>,
}

impl Operator {
    pub(super) fn new(seed: u64, commands: u64) -> Self {
        Self { rng: Rng(seed ^ 0x7A_4404), left: commands, calm: false, asking: None, orders: Vec::new() }
    }

    /// The process is gone.
    pub(super) fn crash(&mut self) {
        self.asking = None;
    }

    /// From here on he lets everything go on.
    pub(super) fn calm(&mut self) {
        self.calm = true;
    }

    /// A command is durable, that may be another one.
    pub(super) fn durable(&mut self, lsn: u64, payload: &[u8]) {
        let Ok(value) = serde_json::from_slice::<Value>(payload) else { return };
        let text = |key: &str| value.get(key).and_then(Value::as_str);
        let drive = text("fn").map(|it| DriveNumber::parse(it).unwrap());
        let number = |key: &str| value[key].as_u64().unwrap() as u32;
        let order = match text("do") {
            Some("tax.pause") => TaxCommand::Pause(drive),
            Some("tax.resume") => TaxCommand::Resume(drive),
            Some("tax.resend") => {
                TaxCommand::Resend { drive: drive.unwrap(), from: number("from"), to: number("to") }
            }
            _ => return,
        };
        if self.orders.last().is_none_or(|it| it.0 < lsn) {
            self.orders.push((lsn, order));
        }
    }

    /// What is paused by everything up to a record.
    pub(super) fn paused(&self, through: u64) -> Paused {
        let mut paused = Paused::default();
        self.orders.iter().take_while(|it| it.0 <= through).for_each(|it| paused.take(it.1));
        paused
    }

    pub(super) fn resends(&self) -> impl Iterator<Item = Resend> {
        self.orders.iter().filter_map(|(lsn, order)| match *order {
            TaxCommand::Resend { drive, from, to } => Some(Resend { lsn: *lsn, drive, from, to }),
            _ => None,
        })
    }

    /// Pauses and resends that the log has.
    pub(super) fn counts(&self) -> (u64, u64) {
        let resends = self.resends().count();
        let pauses = self.orders.iter().filter(|it| matches!(it.1, TaxCommand::Pause(_))).count();
        (pauses as u64, resends as u64)
    }

    /// Drives and numbers of what the log has are told by `documents`, in any order that is always the same.
    pub(super) fn turn<'d>(
        &mut self,
        engine: &Engine,
        documents: impl ExactSizeIterator<Item = &'d (DriveNumber, u32)>,
    ) -> bool {
        if let Some(asking) = &mut self.asking {
            return match asking.poll(engine) {
                Ok(false) => false,
                _ => {
                    self.asking = None;
                    true
                }
            };
        }
        if engine.health() != Health::Ready || self.left == 0 && !self.calm {
            return false;
        }
        let paused = self.paused(u64::MAX);
        let resumes = paused.drives.first().copied().map(Some).or_else(|| paused.all.then_some(None));
        let command = match resumes {
            Some(what) if self.calm => TaxCommand::Resume(what),
            _ if self.calm || !self.rng.one_in(60) => return false,
            // What is paused goes on half of the time, before something else is.
            Some(what) if self.rng.one_in(2) => TaxCommand::Resume(what),
            _ => {
                let mut documents = documents;
                let at = self.rng.below(documents.len() as u64) as usize;
                let Some((drive, number)) = documents.nth(at).copied() else { return false };
                self.left -= 1;
                match self.rng.below(8) {
                    0 => TaxCommand::Pause(None),
                    1..=3 => TaxCommand::Pause(Some(drive)),
                    4 => TaxCommand::Resend { drive, from: 1, to: u32::MAX },
                    _ => TaxCommand::Resend { drive, from: number, to: number + self.rng.below(9) as u32 },
                }
            }
        };
        self.asking = Commanding::begin(engine, command, "simulation", "because").ok();
        self.asking.is_some()
    }
}
