//! Who goes first where there are not cores enough: the door.
//!
//! Shape: what follows the log (the fold of the registers, the leg to the tax service, the notifier) asks after each piece of work
//! whether to stay away for a while ([`Pace`] on the thread, [`Gait`] without clock and thread). It does where two things come
//! together: the door confirms [`BUSY`] records in [`DOOR_US`] or more, and its threads, ready to run, have to wait for a core. From
//! then on, for [`SHORT_US`], every follower rests [`RESTS`] times as long as it has had a core; then it is looked at again. With a core to
//! spare nobody rests, however busy the door, and behind a quiet door nobody rests, however full the machine.
//!
//! What is not done meanwhile is done later: a follower takes from the log what it has not had. No rest is longer than
//! [`REST_MAX_US`], and nobody rests who is further behind than the owner of his work allows, or whom somebody waits for: the caller of
//! [`Pace::give_way`] says so.
//!
//! Invariants: those of the tests below. Where the machine does not say how long a thread waited nobody rests; the simulator says
//! nothing, and drives followers by their turns, without a pace.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ofd_storage::CoreClock;

use crate::handover::Doorbell;
use crate::shared::{Shared, Stage};

/// How long the door is watched before it counts as quiet again.
const DOOR_US: u64 = 100_000;

/// Records in that time that make it busy: 10,000 a second. Behind fewer the followers together take a tenth of a core.
const BUSY: u64 = 1_000;

/// How long it is watched whether the door waits for cores: one late wake is no want of them.
const LOOK_US: u64 = 20_000;

/// Cores are short where its threads spent this part of a look, or more, waiting for one, in the mean of them.
const WAITED_PART: u64 = 16;

/// How long they count as short.
const SHORT_US: u64 = 1_000_000;

/// Rests for each time on a core, each as long: a follower works a sixty-fourth of its time.
const RESTS: u64 = 63;

/// The longest rest.
const REST_MAX_US: u64 = 1_000_000;

/// A rest is looked at so often: somebody may wait, or the engine may end.
const STIR_US: u64 = 20_000;

/// The thread is not asked about more often, unless cores are short.
const ASK_US: u64 = 1_000;

/// How far behind one is at most whose [`Patience`] is not at its end.
const BEHIND_MAX_US: u64 = 60_000_000;

/// What all followers of an engine know of the cores.
#[derive(Default)]
pub(crate) struct Cores {
    /// Until when they are short.
    short_until_us: AtomicU64,
    /// The clocks of the threads of the door.
    door: Mutex<Vec<Box<dyn CoreClock>>>,
}

impl Cores {
    /// A thread of the door, by its clock.
    pub(crate) fn add_to_door(&self, clock: Option<Box<dyn CoreClock>>) {
        self.door.lock().unwrap_or_else(PoisonError::into_inner).extend(clock);
    }

    /// How long the threads of the door have waited for cores, in the mean.
    fn waited_us(&self) -> u64 {
        let door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        let waited: Duration = door.iter().filter_map(|it| it.read()).map(|it| it.waited).sum();
        let threads = u32::try_from(door.len()).unwrap_or(u32::MAX).max(1);
        whole_us(waited.checked_div(threads).unwrap_or_default())
    }

    fn are_short(&self, now_us: u64) -> bool {
        now_us < self.short_until_us.load(Ordering::Relaxed)
    }
}

/// What a follower sees after a piece of work.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    now_us: u64,
    /// How long it has had a core since it began.
    ran: Duration,
    /// Records that are durable.
    confirmed: u64,
}

/// When a follower rests, and how long.
#[derive(Debug, Default)]
struct Gait {
    /// Where the watch of the door began.
    door_us: u64,
    door_confirmed: u64,
    busy: bool,
    /// Where the look at its waiting began.
    look_us: u64,
    look_waited_us: u64,
    /// The time on cores that it has rested for.
    rested_for: Duration,
}

impl Gait {
    fn new(seen: Seen, waited_us: u64) -> Self {
        let Seen { now_us, ran, confirmed } = seen;
        Self {
            door_us: now_us,
            door_confirmed: confirmed,
            busy: false,
            look_us: now_us,
            look_waited_us: waited_us,
            rested_for: ran,
        }
    }

    /// Microseconds to rest now; `waited_us` says how long the door has waited for cores.
    fn step(&mut self, seen: Seen, cores: &Cores, waited_us: impl FnOnce() -> u64) -> u64 {
        let Seen { now_us, ran, confirmed } = seen;
        let records = confirmed.saturating_sub(self.door_confirmed);
        let watched_us = now_us.saturating_sub(self.door_us);
        if watched_us >= DOOR_US {
            self.busy = records.saturating_mul(DOOR_US) >= watched_us.saturating_mul(BUSY);
            (self.door_us, self.door_confirmed) = (now_us, confirmed);
        } else if records >= BUSY {
            self.busy = true;
        }
        let looked_us = now_us.saturating_sub(self.look_us);
        if self.busy && looked_us >= LOOK_US {
            let waited_us = waited_us();
            let waited = waited_us.saturating_sub(self.look_waited_us);
            if waited.saturating_mul(WAITED_PART) >= looked_us {
                cores.short_until_us.store(now_us.saturating_add(SHORT_US), Ordering::Relaxed);
            }
            (self.look_us, self.look_waited_us) = (now_us, waited_us);
        }
        let worked = ran.saturating_sub(self.rested_for);
        self.rested_for = ran;
        if self.busy && cores.are_short(now_us) {
            whole_us(worked).saturating_mul(RESTS).min(REST_MAX_US)
        } else {
            0
        }
    }
}

fn whole_us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// How far behind the fold and the notifier may be while they rest. Who has been further behind works until there is nothing left, so
/// that what waits for the end of the log, as timers do, comes to its turn.
#[derive(Debug, Default)]
pub(crate) struct Patience(Cell<bool>);

impl Patience {
    /// Whether it is at an end; for so long there has been something that was not done, 0: there is nothing.
    pub(crate) fn is_over(&self, behind_us: u64) -> bool {
        let over = behind_us > BEHIND_MAX_US || self.0.get() && behind_us > 0;
        self.0.set(over);
        over
    }
}

/// Which follower.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Follower {
    Registers,
    Tax,
    Notices,
}

impl Follower {
    /// Their names in metrics, in order.
    pub(crate) const NAMES: [&str; 3] = ["registers", "tax", "notices"];
}

/// The pace of one follower.
pub(crate) struct Pace {
    shared: Arc<Shared>,
    follower: Follower,
    /// Its own; `None`: nobody gives way here.
    clock: Option<Box<dyn CoreClock>>,
    /// Nobody rings it: a commit is no reason to get up.
    bell: Doorbell,
    gait: Gait,
    asked_us: u64,
}

impl Pace {
    /// On the thread that will rest by it.
    pub(crate) fn new(shared: Arc<Shared>, follower: Follower) -> Self {
        let bell = Doorbell::default();
        bell.is_mine();
        let clock = shared.env.core_clock();
        if clock.is_none() {
            tracing::debug!(
                ?follower,
                "the system does not say how long threads wait for cores: nobody gives way"
            );
        }
        let mut it = Self { shared, follower, clock, bell, gait: Gait::default(), asked_us: 0 };
        if let Some(seen) = it.see() {
            it.gait = Gait::new(seen, it.shared.cores.waited_us());
        }
        it
    }

    fn see(&self) -> Option<Seen> {
        let ran = self.clock.as_ref()?.read()?.ran;
        Some(Seen { now_us: self.shared.now().mono_us, ran, confirmed: self.shared.watermark.load().get() })
    }

    /// Behind a piece of work: rests if others are to go first, unless it is `urgent`.
    pub(crate) fn give_way(&mut self, urgent: impl Fn() -> bool) {
        if self.clock.is_none() {
            return;
        }
        let now_us = self.shared.now().mono_us;
        if now_us.saturating_sub(self.asked_us) < ASK_US && !self.shared.cores.are_short(now_us) {
            return;
        }
        self.asked_us = now_us;
        let Some(seen) = self.see() else { return };
        let cores = &self.shared.cores;
        let rest_us = self.gait.step(seen, cores, || cores.waited_us());
        if rest_us == 0 {
            return;
        }
        let may = || self.shared.stage() == Stage::Running && !urgent();
        let sleep = |time| self.bell.sleep(time, || true);
        let rested_us = rest(seen.now_us, rest_us, || self.shared.now().mono_us, may, sleep);
        if let Some(counter) = self.shared.counters.rested_us.get(self.follower as usize) {
            counter.fetch_add(rested_us, Ordering::Relaxed);
        }
    }
}

/// Rests for so long, or as long as it `may`; gives how long it was. A sleep may end early.
fn rest(
    from_us: u64,
    rest_us: u64,
    now_us: impl Fn() -> u64,
    may: impl Fn() -> bool,
    sleep: impl Fn(Duration),
) -> u64 {
    let mut rested_us = 0;
    while rested_us < rest_us && may() {
        sleep(Duration::from_micros(rest_us.saturating_sub(rested_us).min(STIR_US)));
        rested_us = now_us().saturating_sub(from_us);
    }
    rested_us
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At a time of microseconds: how long on a core, records.
    fn seen(now_us: u64, ran_us: u64, confirmed: u64) -> Seen {
        Seen { now_us, ran: Duration::from_micros(ran_us), confirmed }
    }

    /// Rests of a follower that has worked 900 of each of a thousand milliseconds, while the door waits for a core so many
    /// microseconds of each and confirms so many records every ten.
    fn rests(waited_us: u64, records: u64) -> Vec<u64> {
        let cores = Cores::default();
        let mut gait = Gait::new(seen(0, 0, 0), 0);
        let at = |ms: u64| seen(ms * 1_000, ms * 900, ms / 10 * records);
        (1..=1_000).map(|ms| gait.step(at(ms), &cores, || ms * waited_us)).collect()
    }

    /// Why: a quiet door is in nobody's way, and a machine with a core to spare has room for all. A commit that carries sixty records
    /// at once is no rush.
    #[test]
    fn nobody_rests_without_a_busy_door_and_a_want_of_cores() {
        for (waited_us, records) in [(900, 0), (900, 99), (60, 10_000), (0, 10_000), (60, 99)] {
            let rests = rests(waited_us, records);
            assert!(
                rests.iter().all(|&rest| rest == 0),
                "{waited_us} us waited, {records} records: {rests:?}"
            );
        }
        let rests = rests(63, 110);
        assert_eq!(
            rests.iter().position(|&rest| rest > 0),
            Some(99),
            "rests once the door has shown to be busy"
        );
        assert!(rests.iter().skip(99).all(|&rest| rest == 900 * RESTS), "{rests:?}");
    }

    #[test]
    fn a_rush_is_seen_before_its_first_tenth_of_a_second_is_over() {
        assert_eq!(rests(500, 1_000).iter().position(|&rest| rest > 0), Some(19));
    }

    #[test]
    fn cores_that_one_finds_short_are_short_for_all_who_stand_behind_a_busy_door() {
        let cores = Cores::default();
        let [mut one, mut other, mut quiet] =
            [0, 0, 5_000].map(|confirmed| Gait::new(seen(0, 0, confirmed), 0));
        assert_eq!(one.step(seen(20_000, 1_000, 5_000), &cores, || 10_000), 1_000 * RESTS);
        assert_eq!(
            other.step(seen(10_000, 2_000, 5_000), &cores, || 0),
            2_000 * RESTS,
            "has not looked itself"
        );
        assert_eq!(quiet.step(seen(22_000, 2_000, 5_000), &cores, || 11_000), 0, "has seen no rush");
        let after = seen(20_000 + SHORT_US, 3_000, 1_000_000);
        assert_eq!(other.step(after, &cores, || 0), 0, "is over");
    }

    #[test]
    fn a_rush_that_is_over_is_no_reason_to_rest() {
        let cores = Cores::default();
        let mut gait = Gait::new(seen(0, 0, 0), 0);
        assert!(gait.step(seen(20_000, 1_000, 5_000), &cores, || 10_000) > 0);
        assert!(gait.step(seen(100_000, 2_000, 5_000), &cores, || 50_000) > 0);
        let quiet = seen(200_000, 3_000, 5_000);
        assert_eq!(gait.step(quiet, &cores, || 90_000), 0, "cores are short still, the door is quiet");
    }

    /// Why: a follower that stood still would never see the end of a shift or send a document. It rests for the time it had, not for
    /// what went by.
    #[test]
    fn a_rest_is_bounded_however_long_the_work() {
        for ran_us in [0, 1, 3_000, 10_000, 1_000_000, 1_000_000_000_000] {
            let now_us = ran_us * 2 + LOOK_US;
            let rest_us =
                Gait::new(seen(0, 0, 0), 0)
                    .step(seen(now_us, ran_us, u64::MAX), &Cores::default(), || now_us);
            assert_eq!(rest_us, (ran_us * RESTS).min(REST_MAX_US), "behind {ran_us} us");
        }
    }

    /// Why: a query, a compaction or the end of the engine must not wait for somebody who rests.
    #[test]
    fn a_rest_ends_when_there_is_no_more_reason_for_it() {
        let clock = Cell::new(7_000_000_u64);
        // Every other sleep is cut short, as by a token that was left over.
        let sleep = |time: Duration| {
            let slept_us = whole_us(time);
            let cut_short = !clock.get().is_multiple_of(2);
            clock.set(clock.get() + if cut_short { slept_us.div_ceil(3) } else { slept_us });
        };
        let long = rest(7_000_000, 300_000, || clock.get(), || true, sleep);
        assert!((300_000..300_000 + STIR_US).contains(&long), "{long}");
        for reason_ends_us in [0, 1, 50_000, 299_999] {
            clock.set(7_000_000);
            let may = || clock.get() - 7_000_000 < reason_ends_us;
            let rested = rest(7_000_000, 300_000, || clock.get(), may, sleep);
            assert!(
                (reason_ends_us..=reason_ends_us + STIR_US).contains(&rested),
                "{rested} for {reason_ends_us}"
            );
        }
    }

    #[test]
    fn who_has_been_too_far_behind_comes_to_the_end_before_he_rests_again() {
        let patience = Patience::default();
        for (behind_us, over) in
            [(1, false), (BEHIND_MAX_US, false), (BEHIND_MAX_US + 1, true), (1, true), (0, false), (1, false)]
        {
            assert_eq!(patience.is_over(behind_us), over, "{behind_us} us behind");
        }
    }
}
