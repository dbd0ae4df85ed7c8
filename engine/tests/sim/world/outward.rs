//! Those behind the log, the tax service and who wants to be told: their turns among those of everybody, with chance of their
//! own, so that worlds without them are what they were.

use super::*;

const HOUR: u64 = 3_600 * SECOND;
/// All that is left behind the log must be done within this time once nothing goes wrong any more: a line that has failed often
/// waits a quarter of an hour and a half for its next attempt.
const SETTLE: u64 = 2 * HOUR;
/// The same where somebody is told once a day and not at night: of silence too, on the days that this takes.
const SETTLE_PATIENT: u64 = 10 * 24 * HOUR;
/// A channel is dead for so long before what fails is looked at, and so much longer: three days, and a wait or two. On the first
/// day registers fall silent, of which there is something to tell.
const DEAD: u64 = 28 * HOUR;
const GIVES_UP: u64 = 74 * HOUR;

impl World<'_> {
    pub(super) fn with_outward(&self, mut builder: ofd_engine::EngineBuilder) -> ofd_engine::EngineBuilder {
        if let Some(tax) = &self.tax {
            let options = tax.moods.options.clone();
            builder = builder.tax_service(Arc::new(tax.service.clone())).tax_options(options);
        }
        if let Some(notices) = &self.notices {
            builder = builder.channel_named(Notices::name(), Arc::new(notices.post.clone()));
        }
        builder
    }

    /// Between two turns of others: perhaps one of these.
    pub(super) fn behind_the_log(&mut self) -> Result<bool, Broken> {
        let mut worked = false;
        if self.tax.is_some() && self.outward.one_in(6) {
            worked |= self.tax()?;
        }
        if self.notices.is_some() && self.outward.one_in(6) {
            worked |= self.notify()?;
        }
        Ok(worked)
    }

    pub(super) fn all_behind_the_log(&mut self) -> Result<bool, Broken> {
        Ok(self.tax()? | self.notify()?)
    }

    /// Records that are durable since the last look.
    pub(super) fn see_fresh(&mut self) -> Result<(), Broken> {
        for stored in std::mem::take(&mut self.oracle.fresh) {
            if let Some(tax) = &mut self.tax {
                tax.durable(&stored)?;
            }
            if let Some(notices) = &mut self.notices {
                notices.durable(&stored)?;
            }
        }
        Ok(())
    }

    pub(super) fn before_crash(&mut self) {
        if let Some(tax) = &mut self.tax {
            tax.count_in_flight();
            tax.crash();
        }
        if let Some(notices) = &mut self.notices {
            notices.count_in_flight();
            notices.crash();
        }
    }

    pub(super) fn calm_outward(&mut self) {
        self.tax.iter_mut().for_each(Tax::calm);
        self.notices.iter().for_each(Notices::calm);
        self.mend_clock();
    }

    /// Whether somebody behind the log waits for time to pass.
    pub(super) fn outward_waits(&self) -> bool {
        let Some(machine) = &self.machine else { return false };
        let durable = machine.engine().durable();
        self.tax.as_ref().is_some_and(|it| it.lacks().is_some())
            || self.notices.as_ref().is_some_and(|it| !it.has_told(machine.engine(), durable))
    }

    /// How long nobody may have anything to do.
    pub(super) fn nap(&self) -> u64 {
        let patient = self.notices.as_ref().is_some_and(Notices::is_patient);
        let busy = self.tax.as_ref().is_some_and(|it| it.lacks().is_some());
        if self.faults_off && patient && !busy { 600 * SECOND } else { 10 * SECOND }
    }

    /// Nobody takes a notice for days, whatever crashes meanwhile: what was tried for three of them without a start is given up,
    /// which the log says, and nothing else is.
    pub(super) fn die(&mut self) -> Result<(), Broken> {
        let Some(notices) = self.notices.as_ref().filter(|it| it.dies()) else { return Ok(()) };
        notices.die(true);
        for _ in 0..self.outward.below(3) {
            let until = self.now() + self.outward.below(80 * HOUR);
            self.wait_until(until)?;
            if self.is_failed() {
                break;
            }
            let power = !self.scenario.faults.contains(&"late error") && self.outward.one_in(2);
            self.crash(power)?;
            self.open()?;
        }
        let begun = self.now();
        self.wait_until(begun + DEAD)?;
        let failing = self.notices.as_ref().map(|it| it.fail_since(self.now())).unwrap_or_default();
        self.wait_until(begun + DEAD + GIVES_UP)?;
        let Some(notices) = self.notices.as_ref() else { return Ok(()) };
        notices.die(false);
        let kept = failing.into_iter().find(|(name, before)| notices.noted(name) <= *before);
        match kept.filter(|_| !self.is_failed()) {
            Some((name, _)) => Err(format!("notices: of {name} nothing is given up after three days")),
            None => Ok(()),
        }
    }

    fn wait_until(&mut self, until: u64) -> Result<(), Broken> {
        while self.now() < until && !self.is_failed() {
            self.sweep().map_err(|broken| format!("while nobody is told: {broken}"))?;
        }
        Ok(())
    }

    /// All that is left behind the log is done, and nothing else was.
    pub(super) fn settle(&mut self) -> Result<(), Broken> {
        let begun = self.now();
        while self.outward_waits() {
            if self.is_failed() {
                return Ok(());
            }
            self.sweep().map_err(|broken| format!("after the faults: {broken}"))?;
            let patient = self.notices.as_ref().is_some_and(Notices::is_patient);
            if self.now() > begun + if patient { SETTLE_PATIENT } else { SETTLE } {
                let lacks = self.tax.as_ref().and_then(Tax::lacks);
                let states = self.machine.as_ref().map(|it| it.engine().subscriptions());
                return Err(format!("liveness: no word about {lacks:?}, of {states:?}"));
            }
        }
        if self.is_failed() {
            return Ok(());
        }
        self.end_tax()?;
        self.end_notices()
    }

    /// After the last start of all: what was told of documents is known again: nothing is sent any more, and nothing told twice.
    pub(super) fn end_outward(&mut self) -> Result<(), Broken> {
        let Some(machine) = &self.machine else { return Ok(()) };
        let (durable, before) = (machine.engine().durable(), self.handed());
        for _ in 0..2_000 {
            self.behind_the_log()?;
            self.fold()?;
            self.env.advance(1_000, 1_000);
        }
        let told = self.machine.as_ref().map(|it| it.engine().tax_overview().position);
        if self.tax.is_some() && told.is_none_or(|told| told < durable.as_u64()) {
            return Err(format!("liveness: the outbox stands at {told:?}, durable is {durable}"));
        }
        if self.handed() != before {
            return Err(format!("{before:?} were sent and told, and {:?} behind a start", self.handed()));
        }
        self.compare_tax()
    }

    /// What was sent in all, and told again. A tick of the end may still have something to tell.
    fn handed(&self) -> [u64; 3] {
        let tax = self.tax.as_ref().map(Tax::totals).unwrap_or_default();
        let notices = self.notices.as_ref().map(Notices::totals).unwrap_or_default();
        [tax.sent, tax.again, notices.again]
    }
}
