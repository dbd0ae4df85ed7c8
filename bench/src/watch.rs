//! What does the watch take from the door? The figures of lane and server, with everything behind the door at work, beside
//! the same engine without it.
//!
//! With it: the fold of the registers, a tax service that takes whatever it is handed and accepts it, a subscription to every
//! kind of notice, delivered at once. Without: none of these. Both are over when the documents are confirmed; what is left
//! behind the door then is not waited for, but for `watch.submit.cpu` and `watch.done`.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ofd_engine::Engine;
use ofd_engine::host::{
    Answering, Capability, Channel, Delivery, DeliveryOutcome, TaxDocument, TaxReceipt, TaxService,
    TaxStatus, answered,
};
use ofd_engine::notify::{Kinds, NoticeKind, NoticeScope, Subscription, SubscriptionCommand};

use crate::corpus::Corpus;
use crate::harness::{Figure, Pair, ROUNDS_FEW, Sink, interleave};
use crate::log::fresh;
use crate::server::{LOADS, Load, drive, scripts};
use crate::{Plan, cpu, lane};

const WITHOUT: &str = "the same engine with nothing behind the door; at least 0.9 wanted";
const WITHOUT_TIME: &str = "the same engine with nothing behind the door; at most 1.1 wanted";

/// Takes everything and accepts it.
#[derive(Default)]
struct Fns {
    taken: Mutex<(u64, Vec<TaxStatus>)>,
}

impl TaxService for Fns {
    fn send(&self, batch: Vec<TaxDocument>) -> Answering<Vec<TaxReceipt>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let take = |_| {
            taken.0 += 1;
            let id = taken.0.to_string();
            taken.1.push(TaxStatus::Accepted { id: id.clone() });
            TaxReceipt::Sent { id }
        };
        answered(batch.into_iter().map(take).collect())
    }

    fn poll(&self) -> Answering<Vec<TaxStatus>> {
        answered(std::mem::take(&mut self.taken.lock().unwrap_or_else(PoisonError::into_inner).1))
    }
}

/// Delivers at once.
struct Told;

impl Channel for Told {
    fn deliver(&self, _: Delivery) -> Answering<DeliveryOutcome> {
        answered(DeliveryOutcome::Delivered)
    }
}

fn open(home: &Path, watch: bool) -> anyhow::Result<Engine> {
    let builder = Engine::builder(home);
    if !watch {
        return Ok(builder.registers(false).open()?);
    }
    let engine = builder.tax_service(Arc::new(Fns::default())).channel(Arc::new(Told)).open()?;
    engine.subscribe(SubscriptionCommand::Set(Box::new(Subscription {
        id: "all".to_owned(),
        scope: NoticeScope::All,
        kinds: NoticeKind::ALL.into_iter().fold(Kinds::default(), Kinds::with),
        channel: "default".to_owned(),
        to: "nobody".to_owned(),
        threshold: Default::default(),
        quiet: None,
        digest: None,
        zone_min: 180,
        by: "bench".to_owned(),
    })))?;
    Ok(engine)
}

/// Runs the figures of the watch.
///
/// # Errors
/// Of the engine or the network.
pub(crate) fn run(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    if plan.wants(&["watch.submit.single", "watch.submit.single.p99"]) {
        single(plan, sink)?;
    }
    if plan.wants(&["watch.submit", "watch.submit.cpu", "watch.done"]) {
        submit(plan, sink)?;
    }
    for load in LOADS {
        // Longer than there, as with `submit`.
        let load = Load { turns: plan.work(load.turns.saturating_mul(3)).max(2), ..load };
        server(plan, sink, load)?;
    }
    Ok(())
}

/// As `lane.submit`, for longer: what gives way to the door does so once it has seen that cores are short.
fn submit(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    let frames = Corpus::new(plan.seed, 2000, plan.work(400_000)).shared();
    let dir = plan.temp_dir()?;
    let filled = |watch| {
        let home = fresh(&dir, "engine")?;
        let engine = open(home.path(), watch)?;
        let (started, used) = (Instant::now(), cpu::used_by_all());
        lane::fill(&engine, &frames, lane::WINDOW)?;
        let rate = frames.len() as f64 / started.elapsed().as_secs_f64();
        if watch {
            finish(&engine, frames.len())?;
        }
        let done = frames.len() as f64 / started.elapsed().as_secs_f64();
        let used = cpu::used_by_all().saturating_sub(used).as_secs_f64();
        engine.shutdown()?;
        anyhow::Ok((rate, used * 1e6 / frames.len() as f64, done))
    };
    let rounds = interleave(ROUNDS_FEW, || filled(true), || filled(false))?;
    let runs = (ROUNDS_FEW * frames.len()) as u64;
    let rates: Vec<Pair> = rounds.iter().map(|(with, without)| (with.0, without.0)).collect();
    let cpus: Vec<Pair> = rounds.iter().map(|(with, without)| (with.1, without.1)).collect();
    let done: Vec<Pair> = rounds.iter().map(|(with, without)| (with.2, without.2)).collect();
    sink.figure(Figure::rate("watch.submit", "documents/s", WITHOUT), &rates, runs)?;
    let vs = "until all is folded and accepted; processor time of all threads of the same engine with nothing behind the door";
    sink.figure(Figure::time("watch.submit.cpu", "us", vs), &cpus, runs)?;
    let vs = "until all is folded and accepted; the same engine with nothing behind the door";
    sink.figure(Figure::rate("watch.done", "documents/s", vs), &done, runs)
}

/// Waits until the registers have folded all documents and the tax service has accepted them.
fn finish(engine: &Engine, documents: usize) -> anyhow::Result<()> {
    let until = Instant::now() + Duration::from_secs(120);
    let folded = engine.registers(&Capability::operator()).wait(engine.durable(), Duration::from_secs(120));
    while engine.tax_overview().totals.settled.accepted < documents as u64 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(2));
    }
    let accepted = engine.tax_overview().totals.settled.accepted;
    anyhow::ensure!(folded && accepted == documents as u64, "{accepted} of {documents} documents accepted");
    Ok(())
}

/// As `lane.submit.single`.
fn single(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    let count = plan.work(1000);
    let frames = Corpus::new(plan.seed, 500, count).shared();
    let dir = plan.temp_dir()?;
    let timed = |watch| {
        let home = fresh(&dir, "engine")?;
        let engine = open(home.path(), watch)?;
        let mut times = Histogram::<u64>::new(3)?;
        for message in &frames {
            let started = Instant::now();
            lane::fill(&engine, std::slice::from_ref(message), 1)?;
            times.record(u64::try_from(started.elapsed().as_nanos())?)?;
        }
        engine.shutdown()?;
        anyhow::Ok((times.value_at_quantile(0.5) as f64 / 1e3, times.value_at_quantile(0.99) as f64 / 1e3))
    };
    let rounds = interleave(plan.rounds(), || timed(true), || timed(false))?;
    let runs = (plan.rounds() * count) as u64;
    let middle: Vec<Pair> = rounds.iter().map(|(with, without)| (with.0, without.0)).collect();
    let late: Vec<Pair> = rounds.iter().map(|(with, without)| (with.1, without.1)).collect();
    sink.figure(Figure::time("watch.submit.single", "us", WITHOUT_TIME), &middle, runs)?;
    sink.figure(Figure::time("watch.submit.single.p99", "us", WITHOUT_TIME), &late, runs)
}

/// As the figures of the server.
fn server(plan: &Plan, sink: &mut Sink, load: Load) -> anyhow::Result<()> {
    let bench = match load.bench {
        "server.c64" => "watch.c64",
        "server.c1000" => "watch.c1000",
        "server.pipe16" => "watch.pipe16",
        _ => "watch.perdoc",
    };
    if !plan.wants(&[bench]) {
        return Ok(());
    }
    let documents = load.connections * load.depth * load.turns;
    let corpus = Corpus::new(plan.seed, u32::try_from(load.connections)?, documents);
    let scripts = scripts(&corpus, load);
    let dir = plan.temp_dir()?;
    let confirmed = |watch| {
        let home = fresh(&dir, "engine")?;
        let engine = open(home.path(), watch)?;
        let address = engine.listen("127.0.0.1:0")?;
        let rate = drive(load, &scripts, address, true)?;
        engine.shutdown()?;
        anyhow::Ok(rate)
    };
    let pairs = interleave(ROUNDS_FEW, || confirmed(true), || confirmed(false))?;
    sink.figure(Figure::rate(bench, "documents/s", WITHOUT), &pairs, (ROUNDS_FEW * documents) as u64)
}
