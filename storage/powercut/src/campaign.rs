//! Recordings, cuts through them, and the totals.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use ofd_storage::LogOptions;

use crate::check::{Broken, Model, check};
use crate::cut::{Mode, durable_len, replay, replay_tail};
use crate::disk::{Event, Overlay};
use crate::lossy::Syncs;
use crate::machine::Machine;
use crate::rng::Rng;
use crate::workload;

/// Cuts through one recording; the next ones get a new one, of another shape.
const CUTS_PER_RECORDING: u64 = 250;
/// Lives in a recording.
const LIVES: u64 = 8;
/// One in so many images is cut once more while it is being recovered.
const NESTED_ONE_IN: u64 = 4;

/// What a campaign came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    cuts: BTreeMap<Mode, u64>,
    nested: u64,
    recordings: u64,
    writes: u64,
    flushes: u64,
    /// Writes that waited at the disk behind another.
    ahead: u64,
    /// Records that were acknowledged in the recordings.
    acknowledged: u64,
    /// Comparisons of an acknowledged record with what an image holds.
    compared: u64,
    writes_lost: u64,
    rewritten: u64,
    torn_ends: u64,
    /// Images that broke a promise.
    broken_images: u64,
    broken: Broken,
    took: Duration,
}

impl Totals {
    pub(crate) fn images(&self) -> u64 {
        self.cuts.values().sum::<u64>() + self.nested
    }

    pub(crate) fn broken_images(&self) -> u64 {
        self.broken_images
    }

    pub(crate) fn broken(&self) -> &Broken {
        &self.broken
    }

    /// The totals on one line.
    pub(crate) fn line(&self, seed: u64) -> String {
        let modes: Vec<String> =
            self.cuts.iter().map(|(mode, count)| format!("{} {count}", mode.name())).collect();
        let millis = self.took.as_millis().max(1);
        let rate = u128::from(self.images()) * 10_000 / millis;
        format!(
            "power cuts {} ({}; {} more inside recovery) through {} recordings of {} writes and {} flushes, {} waited at \
             the disk, {} writes lost in part or whole | acknowledged {} compared {} rewritten {} torn ends {} | {} | seed {seed}, {}.{} \
             images/s",
            self.images(),
            modes.join(", "),
            self.nested,
            self.recordings,
            self.writes,
            self.flushes,
            self.ahead,
            self.writes_lost,
            self.acknowledged,
            self.compared,
            self.rewritten,
            self.torn_ends,
            self.broken,
            rate / 10,
            rate % 10,
        )
    }
}

/// A recorded run: the disk's base is what it began with.
struct Recording {
    options: LogOptions,
    events: Vec<Event>,
    /// Writes that waited at the disk behind another.
    ahead: u64,
}

fn record(machine: &Machine, syncs: Syncs, rng: &mut Rng) -> Result<Recording> {
    let disk = machine.disk();
    machine.make_file_system()?;
    let mounted = machine.mount()?;
    {
        // From here on the file system is alive: nothing of its making can be lost any more.
        let mut state = disk.state();
        state.fold();
        state.start_log();
    }
    let options = workload::options(rng);
    let ran = workload::run(disk, mounted.path(), options, LIVES, rng, syncs);
    let events = disk.state().take_log();
    mounted.unmount()?;
    let ahead = ran.with_context(|| format!("a recording with {options:?}"))?;
    Ok(Recording { options, events, ahead })
}

/// A campaign of so many cuts, or as many of them as fit into the time. A negative control goes on when promises break.
pub(crate) fn run(
    machine: &Machine,
    cuts: u64,
    at_most: Duration,
    seed: u64,
    syncs: Syncs,
) -> Result<Totals> {
    let (mut totals, mut rng) = (Totals::default(), Rng(seed));
    let began = Instant::now();
    let mut left = cuts;
    while left > 0 && began.elapsed() < at_most {
        let recording = record(machine, syncs, &mut rng)?;
        totals.recordings += 1;
        totals.ahead += recording.ahead;
        for event in &recording.events {
            match event {
                Event::Write { .. } => totals.writes += 1,
                Event::Flush => totals.flushes += 1,
                Event::Mark(_) => {}
            }
        }
        let mut whole = Model::default();
        whole.follow(&recording.events);
        totals.acknowledged += whole.acknowledged as u64;
        let count = left.min(CUTS_PER_RECORDING);
        left -= count;
        let until = began + at_most;
        cut_often(machine, &recording, count, until, syncs == Syncs::Asked, &mut rng, &mut totals)?;
    }
    totals.took = began.elapsed();
    Ok(totals)
}

fn cut_often(
    machine: &Machine,
    recording: &Recording,
    count: u64,
    until: Instant,
    stop_at_broken: bool,
    rng: &mut Rng,
    totals: &mut Totals,
) -> Result<()> {
    let events = &recording.events;
    let mut places: Vec<usize> = (0..count)
        .map(|_| {
            towards_a_flush(events, usize::try_from(rng.below(events.len() as u64 + 1)).unwrap_or(0), rng)
        })
        .collect();
    places.sort_unstable();
    // How far the base of the disk has come, and the promises.
    let (mut based, mut promised) = (0, 0);
    let mut model = Model::default();
    machine.disk().state().reset(Overlay::new());
    for (number, place) in places.into_iter().enumerate() {
        if Instant::now() > until {
            break;
        }
        let behind = events.get(..place).unwrap_or_default();
        let durable = durable_len(behind).max(based);
        model.follow(behind.get(promised..).unwrap_or_default());
        promised = place;
        let mode = Mode::ALL.get(number % Mode::ALL.len()).copied().unwrap_or_default();
        {
            let mut state = machine.disk().state();
            state.reset(Overlay::new());
            replay(&mut state, behind.get(based..durable).unwrap_or_default());
            state.fold();
            totals.writes_lost +=
                replay_tail(&mut state, behind.get(durable..).unwrap_or_default(), mode, rng);
        }
        based = durable;
        *totals.cuts.entry(mode).or_default() += 1;
        let nested = rng.one_in(NESTED_ONE_IN);
        let image = machine.disk().state().overlay();
        let recovery = look(machine, recording.options, &model, nested, totals)
            .with_context(|| format!("cut at event {place} of {}, {}", events.len(), mode.name()))?;
        if nested {
            // The power fails again while ext4 and the log recover: any moment of that, and any mode.
            let place = usize::try_from(rng.below(recovery.len() as u64 + 1)).unwrap_or(0);
            let behind = recovery.get(..place).unwrap_or_default();
            let (durable, tail) = behind.split_at(durable_len(behind));
            let mode = rng.pick(&Mode::ALL);
            {
                let mut state = machine.disk().state();
                state.reset(image);
                replay(&mut state, durable);
                totals.writes_lost += replay_tail(&mut state, tail, mode, rng);
            }
            totals.nested += 1;
            look(machine, recording.options, &model, false, totals)
                .with_context(|| format!("cut inside recovery, {}", mode.name()))?;
        }
        if stop_at_broken && totals.broken_images > 0 {
            let what = totals.broken.what.clone().unwrap_or_default();
            bail!("cut at event {place} of {}, {}: {what}", events.len(), mode.name());
        }
    }
    Ok(())
}

/// Every other cut falls right before a flush comes back, where most is at stake.
fn towards_a_flush(events: &[Event], place: usize, rng: &mut Rng) -> usize {
    if rng.one_in(2) {
        return place;
    }
    let rest = events.get(place..).unwrap_or_default();
    rest.iter().position(|event| matches!(event, Event::Flush)).map_or(place, |ahead| place + ahead)
}

/// Mounts what is left and compares. Tells what was written meanwhile, if asked.
fn look(
    machine: &Machine,
    options: LogOptions,
    model: &Model,
    remember: bool,
    totals: &mut Totals,
) -> Result<Vec<Event>> {
    if remember {
        machine.disk().state().start_log();
    }
    let mounted = machine.mount()?;
    let (broken, report) = check(mounted.path(), options, model);
    let events = machine.disk().state().take_log();
    mounted.unmount()?;
    totals.compared += model.acknowledged as u64;
    totals.rewritten += report.rewritten;
    totals.torn_ends += u64::from(report.cut.is_some());
    totals.broken_images += u64::from(broken.is_any());
    totals.broken += &broken;
    Ok(events)
}
