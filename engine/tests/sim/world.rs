//! One world a seed: registers, a network, an engine over a disk that lies, and the scheduler that gives each of them
//! its turn. First everything that the seed wants goes wrong, then nothing any more, and all that is left must drain.

mod folded;
mod hearer;
pub mod notices;
mod operator;
mod outward;
mod registers;
mod submitter;
pub mod tax;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ofd_emit::{ProfileOptions, Register, Start};
use ofd_engine::codec::LocalSeconds;
use ofd_engine::storage::testing::{SimEnv, SimKnobs, SimStats};
use ofd_engine::storage::{Env as _, ErrorKind, Lsn, Position};
use ofd_engine::testing::{Machine, Socket, Turned};
use ofd_engine::{Engine, Health};

use crate::host::{Host, Moods, Reader};
use crate::oracle::{Broken, Oracle, Sort};
use crate::rng::Rng;
use crate::scenario::{Net, Scenario};
use crate::watch::{Stored, Synced, Watched};
use crate::wire;
use notices::{NoticeTotals, Notices};
use submitter::Submitter;
use tax::{Tax, TaxTotals};

const SECOND: u64 = 1_000_000;
/// All that is left must drain within this time once nothing goes wrong any more.
const DRAIN: u64 = 60 * SECOND;

/// What a run came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub documents: u64,
    /// Of them, those with the address or telephone of a buyer.
    pub carried: u64,
    pub answers: u64,
    pub again: u64,
    pub refused: u64,
    pub crashes: u64,
    pub nested: u64,
    pub failed: u64,
    pub refused_starts: u64,
    pub resets: u64,
    pub lost_answers: u64,
    pub noise: u64,
    pub repeated: u64,
    pub virtual_us: u64,
    pub drain_us: u64,
    pub trace: u64,
    pub disk: SimStats,
    pub tax: TaxTotals,
    pub notices: NoticeTotals,
}

/// A register with what it has not sent yet.
struct Till {
    register: Register,
    seed: u64,
    index: u32,
    backlog: VecDeque<usize>,
    left: u32,
    next_at: u64,
    giant: bool,
    options: ProfileOptions,
}

/// One who sends: a register, or a concentrator of several.
struct Sender {
    tills: Vec<Till>,
    link: Option<usize>,
    /// What was sent on the link and is not answered, as (till, document).
    in_flight: VecDeque<(usize, usize)>,
    retry_at: u64,
    give_up_at: u64,
    failures: u32,
    /// The last document that was answered: a power cycle may make the register forget that.
    last: Option<(usize, usize)>,
}

/// A connection through the network.
struct Link {
    socket: Socket,
    port: usize,
    sender: Option<usize>,
    /// Documents in the order in which they were sent.
    expected: VecDeque<usize>,
    /// On the way to the engine, with the time of arrival.
    there: VecDeque<(u64, Vec<u8>)>,
    /// Finish the half behind them.
    finishes: bool,
    /// What the engine wrote, as far as it is no whole answer yet.
    seen: Vec<u8>,
    /// On the way back, with the time of arrival.
    back: VecDeque<(u64, Vec<u8>)>,
    /// What has arrived at the register and is no whole answer yet.
    got: Vec<u8>,
    closes_at: u64,
    gone: bool,
}

struct World<'a> {
    scenario: &'a Scenario,
    rng: Rng,
    env: SimEnv,
    synced: Synced,
    /// Operations that wait at the disk.
    pending: Arc<AtomicUsize>,
    host: Host,
    machine: Option<Machine>,
    oracle: Oracle,
    senders: Vec<Sender>,
    links: Vec<Option<Link>>,
    readers: Vec<Reader>,
    hearer: hearer::Hearer,
    submitter: Submitter,
    tax: Option<Tax>,
    notices: Option<Notices>,
    /// Chance of those behind the log.
    outward: Rng,
    net: Net,
    faults_off: bool,
    clock_jumps: u64,
    trace: u64,
    totals: Totals,
}

/// One world from its beginning to its end.
pub fn run(scenario: &Scenario) -> Result<Totals, Broken> {
    catch_unwind(AssertUnwindSafe(|| World::new(scenario).live())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|it| (*it).to_owned()));
        Err(format!("a panic: {}", text.unwrap_or_default()))
    })
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario) -> Self {
        let env = SimEnv::new(scenario.seed, scenario.knobs.clone());
        let mut rng = Rng(scenario.seed);
        let moods = scenario.moods.clone();
        let crashes = moods.crashes;
        let till = |index: u32, rng: &mut Rng| {
            // Clocks of registers are up to three days off.
            let from = 1_772_409_600u32.wrapping_add(rng.below(6 * 86_400) as u32).wrapping_sub(3 * 86_400);
            let options = ProfileOptions {
                start: if rng.one_in(3) { Start::MidLife } else { Start::Registration },
                receipts_per_shift: Some(rng.between(1, 12) as u32),
                from: LocalSeconds(from),
                test_drives: scenario.has_test_drive(index),
                ..ProfileOptions::default()
            };
            let seed = scenario.seed;
            Till {
                register: Register::new(seed, index, &options),
                seed,
                index,
                backlog: VecDeque::new(),
                left: scenario.documents,
                next_at: rng.below(SECOND),
                giant: rng.chance(scenario.giants * 4),
                options,
            }
        };
        let tills: Vec<Till> = (0..scenario.registers).map(|index| till(index, &mut rng)).collect();
        let mut senders = Vec::new();
        let mut tills = tills.into_iter().peekable();
        while tills.peek().is_some() {
            let tills: Vec<Till> = tills.by_ref().take(scenario.concentrates).collect();
            senders.push(Sender::new(tills));
        }
        Self {
            scenario,
            host: Host::new(env.clone(), scenario.seed ^ 0xC0DE, moods),
            synced: Synced::default(),
            pending: Arc::default(),
            machine: None,
            oracle: Oracle::new(std::env::var_os("OFD_TELL").is_some()),
            senders,
            links: Vec::new(),
            submitter: Submitter::new(scenario.seed),
            tax: scenario.tax.as_ref().map(|moods| Tax::new(&env, scenario.seed, moods)),
            notices: scenario.notices.as_ref().map(|moods| Notices::new(&env, scenario.seed, moods)),
            outward: Rng(scenario.seed ^ 0x0073_1DE5),
            env,
            readers: (0..scenario.readers)
                .map(|at| Reader::new(format!("reader-{at}"), 1 + rng.below(40) as usize, crashes))
                .collect(),
            hearer: hearer::Hearer::new(scenario.seed),
            net: scenario.net.clone(),
            faults_off: false,
            clock_jumps: scenario.clock_jumps,
            trace: scenario.seed,
            totals: Totals::default(),
            rng,
        }
    }

    fn now(&self) -> u64 {
        self.env.now().mono_us
    }

    fn note(&mut self, words: &[u64]) {
        for word in words {
            self.trace = (self.trace ^ word).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(23);
        }
    }

    fn live(mut self) -> Result<Totals, Broken> {
        for life in 0..self.scenario.lives {
            self.open()?;
            self.one_life(life).map_err(|broken| format!("life {life}, {} µs: {broken}", self.now()))?;
        }
        self.calm_down()?;
        self.die()?;
        let begun = self.now();
        loop {
            while !self.is_drained() && !self.is_failed() {
                self.sweep().map_err(|broken| format!("after the faults: {broken}"))?;
                if self.now() > begun + DRAIN {
                    return Err(self.stuck());
                }
            }
            self.totals.drain_us = self.now() - begun;
            self.settle()?;
            if let Some(machine) = &self.machine {
                machine.engine().publish_metrics();
            }
            if !self.is_failed() {
                self.end_well()?;
            }
            if !self.is_failed() {
                break;
            }
            // The error of a sync that lied before may still come, and another one behind it.
            if !self.scenario.faults.contains(&"late error") || self.now() > begun + DRAIN {
                return Err("the engine has failed though nothing goes wrong any more".into());
            }
            self.crash(false)?;
            self.open()?;
        }
        self.machine = None;
        self.env =
            if self.scenario.faults.contains(&"late error") { self.env.kill() } else { self.env.power_cut() };
        self.open()?;
        self.end_outward()?;
        self.machine = None;
        let Self { oracle, env, readers, trace, mut totals, tax, notices, .. } = self;
        totals.tax = tax.as_ref().map(Tax::totals).unwrap_or_default();
        totals.notices = notices.as_ref().map(Notices::totals).unwrap_or_default();
        totals.documents = oracle.docs.len() as u64;
        totals.carried = oracle.carried();
        (totals.answers, totals.again, totals.refused) = (oracle.answers, oracle.again, oracle.refused);
        totals.repeated = readers.iter().map(|it| it.repeated).sum();
        totals.virtual_us = env.now().mono_us;
        totals.disk = env.stats();
        totals.trace = trace ^ env.trace_hash();
        if totals.disk.poisoned_syncs > 0 {
            return Err(format!("I13: {} syncs of poisoned files", totals.disk.poisoned_syncs));
        }
        Ok(totals)
    }

    /// Until the process ends in one of the ways of the scenario, or all is sent.
    fn one_life(&mut self, life: u64) -> Result<(), Broken> {
        let last = life + 1 == self.scenario.lives;
        let ends = self.scenario.ends;
        let sweeps = if last { 60_000 } else { self.rng.between(20, 2_000) };
        if !last && ends.power && self.rng.one_in(2) {
            self.env.cut_power_after(Some(self.rng.between(5, 400)));
        }
        let begun = self.now();
        let mut failed_at: Option<u64> = None;
        for _ in 0..sweeps {
            if let Some(space) = self.scenario.knobs.space.filter(|_| self.rng.one_in(500)) {
                // Somebody frees some space, or fills the disk again.
                let free = self.rng.one_in(2);
                self.env.set_knobs(|knobs| knobs.space = (!free).then_some(space));
            }
            self.sweep()?;
            if self.env.is_off() {
                return self.crash(true);
            }
            if self.is_failed() && self.totals.failed < 40 {
                // The operator needs a moment to notice it.
                let since = *failed_at.get_or_insert(self.now());
                if self.now() >= since + SECOND / 10 || self.rng.one_in(20) {
                    self.totals.failed += 1;
                    let power = ends.power && self.rng.one_in(2) || self.scenario.knobs.turns_read_only > 0;
                    self.crash(power && !self.scenario.faults.contains(&"late error"))?;
                    self.open()?;
                    failed_at = None;
                }
            }
            if last && (self.all_made() && self.is_drained() || self.now() > begun + 120 * SECOND) {
                return Ok(());
            }
        }
        if last {
            return Ok(());
        }
        if ends.drain && (self.rng.one_in(2) || !(ends.power || ends.kill)) {
            let begun = self.now();
            while !self.machine.as_mut().is_some_and(Machine::end) {
                self.sweep()?;
                if self.env.is_off() || self.is_failed() {
                    break;
                }
                if self.now() > begun + 40 * SECOND {
                    return Err("the engine does not come to an end".into());
                }
            }
            return self.crash(false);
        }
        let power = ends.power && (!ends.kill || self.rng.one_in(2));
        self.crash(power)
    }

    fn is_failed(&self) -> bool {
        self.machine.as_ref().is_some_and(|it| it.engine().health() == Health::Failed)
    }

    /// The process is gone, by itself or with the power.
    fn crash(&mut self, power: bool) -> Result<(), Broken> {
        self.see_synced()?;
        self.before_crash();
        self.machine = None;
        self.totals.crashes += 1;
        for at in 0..self.links.len() {
            // After a power cut nobody tells the registers.
            if !power || self.rng.one_in(2) {
                self.reset(at);
            } else if let Some(link) = &mut self.links[at] {
                link.gone = true;
            }
        }
        self.submitter.crash();
        self.readers.iter_mut().for_each(Reader::crash);
        self.hearer.crash();
        self.env = if power || self.env.is_off() { self.env.power_cut() } else { self.env.kill() };
        let pause = self.rng.below(2 * SECOND);
        self.env.advance(pause, pause as i64);
        Ok(())
    }

    /// Opens the engine, through crashes inside recovery, and compares what is there with what was promised.
    fn open(&mut self) -> Result<(), Broken> {
        let scenario = self.scenario;
        let crashes = scenario.ends.power && !self.faults_off;
        for attempt in 0..12 {
            if attempt == 6 {
                // The operator has mended the disk.
                self.env.set_knobs(|knobs| *knobs = SimKnobs::default());
            }
            let cut = (crashes && attempt < 4 && self.rng.one_in(3)).then(|| self.rng.between(1, 25));
            self.env.cut_power_after(cut);
            let watched = Watched {
                env: self.env.clone(),
                synced: self.synced.clone(),
                stalls: scenario.stalls,
                pending: Arc::clone(&self.pending),
            };
            self.pending.store(0, Ordering::Relaxed);
            let builder = Engine::builder("")
                .env(Arc::new(watched))
                .io_threads(scenario.ports)
                .workers(scenario.workers)
                .checkpoint_after(scenario.checkpoint_after)
                .crypto(Arc::new(self.host.clone()))
                .admission(Arc::new(self.host.clone()));
            let builder = self.with_outward(builder);
            let opened = Machine::open(builder, scenario.queues, scenario.log);
            self.see_synced()?;
            match opened {
                // The power has gone in its last call.
                Ok(_) if self.env.is_off() => {
                    self.totals.nested += 1;
                    self.totals.crashes += 1;
                    self.env = self.env.power_cut();
                }
                Ok(machine) => {
                    self.env.cut_power_after(None);
                    if attempt >= 6 && !self.faults_off {
                        self.env.set_knobs(|knobs| *knobs = scenario.knobs.clone());
                    }
                    self.oracle.say(|| format!("opened {:?}", machine.engine().recovery()));
                    self.machine = Some(machine);
                    return self.compare();
                }
                Err(_) if self.env.is_off() => {
                    self.totals.nested += 1;
                    self.totals.crashes += 1;
                    self.env = self.env.power_cut();
                }
                Err(error) => {
                    self.totals.refused_starts += 1;
                    if error.kind() == ErrorKind::Corrupt {
                        return Err(format!("recovery calls an honest disk corrupt: {error}"));
                    }
                    let late = scenario.faults.contains(&"late error");
                    self.env =
                        if late || self.rng.one_in(2) { self.env.kill() } else { self.env.power_cut() };
                }
            }
        }
        Err("the engine does not open on a healthy disk".into())
    }

    fn see_synced(&mut self) -> Result<(), Broken> {
        self.synced.take().into_iter().try_for_each(|stored| self.oracle.synced(stored))?;
        self.see_fresh()
    }

    /// The whole log, as the engine reads it, against the oracle; then a few documents by their index.
    fn compare(&mut self) -> Result<(), Broken> {
        // This look is the oracle's: no fault of the disk is spent on it.
        let mut rate = 0;
        self.env.set_knobs(|knobs| rate = std::mem::take(&mut knobs.read_error));
        let machine = self.machine.as_mut().unwrap();
        let durable = machine.engine().durable().lsn();
        let mut records = machine.reader().records_from(Position::START, Lsn::new(u64::MAX));
        records.extend(durable);
        let mut log = Vec::new();
        loop {
            match records.next() {
                Ok(Some((record, _))) => log.push(Stored {
                    lsn: record.lsn().get(),
                    kind: record.kind().code(),
                    code: record.answer_code(),
                    received_at_us: record.received_at_us(),
                    payload: bytes::Bytes::copy_from_slice(record.payload()),
                }),
                Ok(None) => break,
                Err(_) if log.len() as u64 == durable.get() => break,
                Err(error) => return Err(format!("I1: record {}: {error}", log.len() + 1)),
            }
        }
        if log.len() as u64 != durable.get() {
            return Err(format!("I4: {} records, the watermark stands at {durable}", log.len()));
        }
        self.oracle.recovered(log)?;
        self.see_fresh()?;
        let machine = self.machine.as_ref().unwrap();
        for _ in 0..5 {
            if self.oracle.docs.is_empty() {
                break;
            }
            let key = self.oracle.docs[self.rng.below(self.oracle.docs.len() as u64) as usize].key;
            let drive = ofd_engine::codec::DriveNumber::from_wire(&key.0).unwrap();
            let found = machine.entries(drive, Some(key.1)).map_err(|error| format!("the index: {error}"))?;
            let lsns = found.iter().map(|it| it.lsn.get()).collect();
            if self.oracle.under(key) != lsns {
                return Err(format!(
                    "the index says {lsns:?} of {key:?}, the log {:?}",
                    self.oracle.under(key)
                ));
            }
        }
        // Not always: a fold that has caught up at every start never goes on from the middle.
        if self.faults_off || self.rng.one_in(3) {
            self.compare_registers()?;
        }
        self.env.set_knobs(|knobs| knobs.read_error = rate);
        Ok(())
    }

    /// Nothing goes wrong any more.
    fn calm_down(&mut self) -> Result<(), Broken> {
        self.faults_off = true;
        self.env.cut_power_after(None);
        self.env.set_knobs(|knobs| *knobs = SimKnobs::default());
        self.host.change(|moods| {
            *moods =
                Moods { passes_through: moods.passes_through, delay_us: moods.delay_us, ..Moods::default() };
        });
        let Net { delay_us, .. } = self.net;
        self.net = Net { delay_us, ..Net::default() };
        self.clock_jumps = 0;
        self.readers.iter_mut().for_each(Reader::calm);
        self.calm_outward();
        for link in self.links.iter().flatten() {
            link.socket.narrow(usize::MAX, usize::MAX);
        }
        // A file system that has turned read-only stays so until the machine starts again, whether or not the
        // engine has met it already.
        let dead = self.env.is_off() || self.env.is_read_only() || self.is_failed() || self.machine.is_none();
        if dead {
            self.crash(!self.scenario.faults.contains(&"late error"))?;
            self.open()?;
        }
        Ok(())
    }

    fn end_well(&mut self) -> Result<(), Broken> {
        let begun = self.now();
        while !self.machine.as_mut().is_some_and(Machine::end) {
            self.sweep()?;
            if self.now() > begun + 40 * SECOND {
                let machine = self.machine.as_ref().unwrap();
                let (alive, inside) = (machine.alive(), machine.inside());
                return Err(format!("the engine does not come to an end: {alive}, {inside} frames inside"));
            }
        }
        self.see_settled(false)?;
        if self.submitter.is_waiting() {
            return Err("liveness: a ticket of the host is open though the engine has ended".into());
        }
        Ok(())
    }

    fn all_made(&self) -> bool {
        self.senders.iter().flat_map(|it| &it.tills).all(|till| till.left == 0)
    }

    /// Has every register its answers, and every reader what there is?
    fn is_drained(&self) -> bool {
        let tills = || self.senders.iter().flat_map(|it| &it.tills);
        tills().all(|till| till.backlog.is_empty() && (till.left == 0 || self.faults_off))
            && self.readers.iter().all(|it| it.has_all(&self.oracle))
    }

    fn stuck(&self) -> Broken {
        let left: usize = self.senders.iter().flat_map(|it| &it.tills).map(|till| till.backlog.len()).sum();
        let readers = self.readers.iter().filter(|it| !it.has_all(&self.oracle)).count();
        format!("liveness: {left} documents and {readers} readers are left after a minute without faults")
    }

    /// Everybody gets a turn, in an order of chance; time goes on when nobody had anything to do.
    fn sweep(&mut self) -> Result<(), Broken> {
        let (workers, ports) = (u64::from(self.scenario.workers), u64::from(self.scenario.ports));
        let mut worked = false;
        // Some are called twice and some not at all: threads are not fair.
        for _ in 0..workers + ports + 7 {
            worked |= self.behind_the_log()?;
            worked |= match self.rng.below(workers + ports + 7) {
                turn if turn < workers => self.worker(turn as usize),
                turn if turn < workers + ports => self.port((turn - workers) as usize)?,
                turn => match turn - workers - ports {
                    0 | 1 => self.writer()?,
                    2 => self.network()?,
                    3 => self.registers(),
                    4 => self.keeper()?,
                    5 => self.fold()?,
                    _ => self.hosts()?,
                },
            };
        }
        if let Some(over) = self.machine.as_ref().and_then(Machine::over_bound) {
            return Err(format!("I9: {over}"));
        }
        if self.rng.chance(self.clock_jumps) {
            // Three days back or forth.
            let jump = self.rng.below(6 * 86_400 * SECOND) as i64 - 3 * 86_400 * SECOND as i64;
            self.env.advance(0, jump);
        }
        if !worked && self.is_idle()? {
            let until = self.next_event();
            let passed = until.saturating_sub(self.now()).clamp(1, self.nap());
            self.env.advance(passed, passed as i64);
        } else {
            let passed = self.rng.below(60);
            self.env.advance(passed, passed as i64);
        }
        Ok(())
    }

    /// Would a whole round of turns come to nothing?
    fn is_idle(&mut self) -> Result<bool, Broken> {
        let (workers, ports) = (usize::from(self.scenario.workers), usize::from(self.scenario.ports));
        let mut worked = false;
        for worker in 0..workers {
            worked |= self.worker(worker);
        }
        worked |= self.writer()?;
        for port in 0..ports {
            worked |= self.port(port)?;
        }
        worked |= self.keeper()?;
        worked |= self.fold()?;
        worked |= self.network()?;
        worked |= self.hosts()?;
        worked |= self.all_behind_the_log()?;
        Ok(!(worked | self.registers()))
    }

    /// The next time at which somebody outside of the engine has something to do; the engine's own waits are short.
    fn next_event(&mut self) -> u64 {
        let now = self.now();
        // Disks are not as slow as registers.
        let writes = self.pending.load(Ordering::Relaxed) > 0;
        let busy = writes
            || self.links.iter().flatten().any(|link| !link.expected.is_empty() && !link.gone)
            || self.submitter.is_waiting()
            || self.readers.iter().any(|it| !it.has_all(&self.oracle));
        let outward = self.outward_waits();
        let ends = self.machine.as_ref().is_some_and(|it| it.engine().health() != Health::Ready);
        let step = if busy {
            self.rng.pick(&[100, 1_000, if writes { 300 } else { 10_000 }])
        } else if ends {
            SECOND / 10
        } else if outward && self.nap() > 10 * SECOND {
            self.outward.pick(&[300_000, 20 * SECOND, 600 * SECOND])
        } else if outward {
            self.outward.pick(&[20_000, 300_000, 2 * SECOND])
        } else {
            self.nap()
        };
        let mut next = now + step;
        for sender in &self.senders {
            let waits = sender.tills.iter().any(|till| !till.backlog.is_empty());
            next = match sender.link {
                Some(_) => next.min(sender.give_up_at.max(now + 1)),
                None if waits => next.min(sender.retry_at.max(now + 1)),
                None => next,
            };
            let made =
                sender.tills.iter().filter(|till| till.left > 0 && !self.faults_off).map(|till| till.next_at);
            next = made.fold(next, u64::min);
        }
        for link in self.links.iter().flatten() {
            let times = [link.there.front().map(|it| it.0), link.back.front().map(|it| it.0)];
            next = times.into_iter().flatten().fold(next, u64::min);
        }
        next
    }

    fn worker(&mut self, worker: usize) -> bool {
        self.machine.as_mut().is_some_and(|it| it.worker_turn(worker) == Turned::Worked)
    }

    fn writer(&mut self) -> Result<bool, Broken> {
        let failed = self.is_failed();
        let worked = self.machine.as_mut().is_some_and(|it| it.writer_turn() == Turned::Worked);
        self.see_synced()?;
        Ok(self.see_settled(failed)? | worked)
    }

    fn keeper(&mut self) -> Result<bool, Broken> {
        let worked = self.machine.as_mut().is_some_and(|it| it.keeper_turn() == Turned::Worked);
        self.see_synced()?;
        Ok(worked)
    }

    /// A port gets on, and what it has written is looked at before anybody can lose it.
    fn port(&mut self, port: usize) -> Result<bool, Broken> {
        let Some(machine) = &mut self.machine else { return Ok(false) };
        let failed = machine.engine().health() == Health::Failed;
        let before: usize = self.links.iter().flatten().map(|it| it.socket.unread()).sum();
        let rounds = 1 + self.rng.below(4) as usize;
        machine.port_turn(port, rounds);
        let settled = self.see_settled(failed)?;
        let after: usize = self.links.iter().flatten().map(|it| it.socket.unread()).sum();
        let mut worked = settled | (before != after);
        for at in 0..self.links.len() {
            let Some(link) = self.links[at].as_mut().filter(|it| it.port == port) else { continue };
            let wrote = link.socket.observe();
            if wrote.is_empty() {
                continue;
            }
            worked = true;
            if failed {
                return Err("I14: bytes leave an engine that has failed".into());
            }
            link.seen.extend_from_slice(&wrote);
            while let Some(len) = wire::message_len(&link.seen).filter(|len| link.seen.len() >= *len) {
                let answer: Vec<u8> = link.seen.drain(..len).collect();
                let doc = link.expected.pop_front().ok_or("an answer to nothing")?;
                self.oracle.answer(doc, &answer)?;
                let sum = answer.iter().fold(0u64, |sum, byte| sum.rotate_left(7) ^ u64::from(*byte));
                for word in [at as u64, doc as u64, sum] {
                    self.trace = (self.trace ^ word).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(23);
                }
            }
            if self.rng.chance(self.net.answers_lost) {
                self.totals.lost_answers += 1;
                self.reset(at);
            }
        }
        Ok(worked)
    }

    fn hosts(&mut self) -> Result<bool, Broken> {
        let mut worked = self.host.turn() | self.submit();
        let Some(machine) = &self.machine else { return Ok(worked) };
        for reader in &mut self.readers {
            worked |= reader.turn(machine.engine(), &self.oracle, &mut self.rng)?;
        }
        worked |= self.hearer.turn(machine.engine())?;
        Ok(worked)
    }
}

impl Sender {
    fn new(tills: Vec<Till>) -> Self {
        Self {
            tills,
            link: None,
            in_flight: VecDeque::new(),
            retry_at: 0,
            give_up_at: 0,
            failures: 0,
            last: None,
        }
    }
}

impl Link {
    fn new(socket: Socket, port: usize, sender: Option<usize>) -> Self {
        Self {
            socket,
            port,
            sender,
            expected: VecDeque::new(),
            there: VecDeque::new(),
            finishes: false,
            seen: Vec::new(),
            back: VecDeque::new(),
            got: Vec::new(),
            closes_at: 0,
            gone: false,
        }
    }
}
