//! A stand-in of the tax service (ФНС): a real HTTP server with an account of its own, and with every fault a service can have.
//!
//! ```text
//! POST /documents   lines {"fn":"7100…","fd":17,"hash":"<64 hex>","document":{"receipt":{…,"rawData":"…"}}}
//!                   ─▶ 200 {"receipts":[{"id":"…"}, null, …]}, one a line in order; null = not now · 503 = nothing was taken
//! POST /verdicts    ─▶ 200 {"verdicts":[{"id":"…","status":"accepted"}, {"id":"…","status":"refused","code":507,"tag":1020}, …]}
//! GET  /account     ─▶ 200 {"documents":N,"drives":N,"duplicates":N,"conflicts":N,"out_of_order":N}
//! ```
//!
//! `status` is `accepted`, `duplicate`, `warned`, `quarantined` or `refused`. The protocol is ours: the real one is the operator's
//! contract with the ФНС. Faults are drawn from a seeded generator, so that a run can be had again.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::prng::Prng;

/// Longest request, bytes.
const REQUEST_LEN_MAX: usize = 256 << 20;

/// What the service says of documents whose number leaves `rest` when divided by `every`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FnsRule {
    /// Divisor; 0 = of none.
    pub every: u32,
    /// Remainder.
    pub rest: u32,
    /// `warned`, `quarantined` or `refused`.
    pub status: &'static str,
    /// The code.
    pub code: u32,
    /// The tag it names.
    pub tag: Option<u16>,
}

/// What it does wrong. Shares are per mille.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FnsFaults {
    /// It answers 503 to everything.
    pub down: bool,
    /// It thinks so long before it answers, milliseconds.
    pub slow_ms: u64,
    /// It takes a batch, and its answer gets lost.
    pub lost_answers: u64,
    /// It takes some of a batch and is then out of breath, by document; nothing behind it of the same drive is taken.
    pub partly: u64,
    /// A verdict comes within this time, milliseconds.
    pub late_ms: u64,
    /// A verdict never comes.
    pub lost_verdicts: u64,
    /// A verdict comes twice.
    pub twice: u64,
    /// Verdicts come in any order.
    pub shuffled: bool,
    /// Verdicts that are not good.
    pub rules: Vec<FnsRule>,
}

/// What the service has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FnsAccount {
    /// By drive, the numbers in the order they were taken.
    pub taken: BTreeMap<String, Vec<u32>>,
    /// Documents that came again with the same hash.
    pub duplicates: u64,
    /// Documents that came again with another hash.
    pub conflicts: u64,
    /// Documents whose number was not greater than that of the one before of the same drive.
    pub out_of_order: u64,
    /// Lines that were none.
    pub unreadable: u64,
}

impl FnsAccount {
    /// Documents that it has.
    pub fn documents(&self) -> usize {
        self.taken.values().fold(0, |sum, it| sum.saturating_add(it.len()))
    }
}

struct State {
    faults: FnsFaults,
    account: FnsAccount,
    known: BTreeMap<(String, u32), (String, String)>,
    verdicts: Vec<(Instant, Value)>,
    prng: Prng,
    next: u64,
}

/// The server; it ends when it is dropped.
pub struct FnsStandIn {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for FnsStandIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FnsStandIn").field("address", &self.address).finish_non_exhaustive()
    }
}

impl FnsStandIn {
    /// Begins to answer on this address; port 0 = any free one.
    ///
    /// # Errors
    /// Of the system.
    pub fn start(address: &str, seed: u64, faults: FnsFaults) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State {
            faults,
            account: FnsAccount::default(),
            known: BTreeMap::new(),
            verdicts: Vec::new(),
            prng: Prng::new(seed, 0xF25),
            next: 0,
        }));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = oneshot::channel();
        let shared = Arc::clone(&state);
        let body = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, shared) => {}
                    _ = ended => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("fns-stand-in".to_owned()).spawn(body)?;
        Ok(Self { address, state, end: Some(end), thread: Some(thread) })
    }

    /// Where it answers.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Other faults from now on.
    pub fn set_faults(&self, faults: FnsFaults) {
        held(&self.state).faults = faults;
    }

    /// What it has.
    pub fn account(&self) -> FnsAccount {
        held(&self.state).account.clone()
    }
}

impl Drop for FnsStandIn {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn held(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = service_fn(move |request| reply(request, Arc::clone(&state)));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// An answer that got lost ends its connection.
#[derive(Debug)]
struct Lost;

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the answer got lost")
    }
}

impl std::error::Error for Lost {}

async fn reply(request: Request<Incoming>, state: Arc<Mutex<State>>) -> Result<Response<Full<Bytes>>, Lost> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = http_body_util::Limited::new(request.into_body(), REQUEST_LEN_MAX).collect().await;
    let slow_ms = held(&state).faults.slow_ms;
    if slow_ms > 0 {
        tokio::time::sleep(Duration::from_millis(slow_ms)).await;
    }
    let mut state = held(&state);
    if method == Method::GET && path == "/account" {
        let FnsAccount { taken, duplicates, conflicts, out_of_order, .. } = &state.account;
        let (documents, drives) = (state.account.documents(), taken.len());
        return Ok(with(
            StatusCode::OK,
            &json!({"documents": documents, "drives": drives, "duplicates": duplicates, "conflicts": conflicts,
                    "out_of_order": out_of_order}),
        ));
    }
    if state.faults.down {
        return Ok(with(StatusCode::SERVICE_UNAVAILABLE, &json!({"error": "down"})));
    }
    match (&method, path.as_str(), body) {
        (&Method::POST, "/documents", Ok(body)) => {
            let receipts = state.take_batch(&body.to_bytes());
            let lost_answers = state.faults.lost_answers;
            if state.happens(lost_answers) {
                return Err(Lost);
            }
            Ok(with(StatusCode::OK, &json!({"receipts": receipts})))
        }
        (&Method::POST, "/verdicts", Ok(_)) => {
            let verdicts = state.give_verdicts();
            Ok(with(StatusCode::OK, &json!({"verdicts": verdicts})))
        }
        (_, _, Err(_)) => Ok(with(StatusCode::PAYLOAD_TOO_LARGE, &json!({"error": "too long"}))),
        _ => Ok(with(StatusCode::NOT_FOUND, &json!({"error": "not found"}))),
    }
}

fn with(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response
}

impl State {
    fn happens(&mut self, per_mille: u64) -> bool {
        per_mille > 0 && self.prng.below(1_000) < per_mille
    }

    fn take_batch(&mut self, body: &[u8]) -> Vec<Value> {
        let mut skipped: Vec<String> = Vec::new();
        let mut receipts = Vec::new();
        for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            receipts.push(self.take(line, &mut skipped));
        }
        receipts
    }

    fn take(&mut self, line: &[u8], skipped: &mut Vec<String>) -> Value {
        let value: Value = serde_json::from_slice(line).unwrap_or_default();
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let number = value.get("fd").and_then(Value::as_u64).and_then(|it| u32::try_from(it).ok());
        let raw = value.get("document").and_then(Value::as_object).and_then(|it| it.values().next());
        let has_raw = raw.and_then(|it| it.get("rawData")).is_some_and(Value::is_string);
        let (Some(drive), Some(number), Some(hash), true) = (text("fn"), number, text("hash"), has_raw)
        else {
            self.account.unreadable = self.account.unreadable.saturating_add(1);
            return Value::Null;
        };
        let partly = self.faults.partly;
        if skipped.contains(&drive) || self.happens(partly) {
            skipped.push(drive);
            return Value::Null;
        }
        let key = (drive.clone(), number);
        let (id, again) = match self.known.get(&key) {
            Some((id, known)) => {
                let count =
                    if *known == hash { &mut self.account.duplicates } else { &mut self.account.conflicts };
                *count = count.saturating_add(1);
                (id.clone(), true)
            }
            None => {
                self.next = self.next.saturating_add(1);
                let id = format!("{:016x}-{:08x}", self.prng.next_u64(), self.next);
                self.known.insert(key, (id.clone(), hash));
                let taken = self.account.taken.entry(drive).or_default();
                if taken.last().is_some_and(|last| *last >= number) {
                    self.account.out_of_order = self.account.out_of_order.saturating_add(1);
                }
                taken.push(number);
                (id, false)
            }
        };
        self.judge(number, &id, again);
        json!({"id": id})
    }

    fn judge(&mut self, number: u32, id: &str, again: bool) {
        let applies = |rule: &&FnsRule| number.checked_rem(rule.every) == Some(rule.rest);
        let verdict = match self.faults.rules.iter().find(applies) {
            Some(rule) => json!({"id": id, "status": rule.status, "code": rule.code, "tag": rule.tag}),
            None => json!({"id": id, "status": if again { "duplicate" } else { "accepted" }}),
        };
        let FnsFaults { lost_verdicts, twice, late_ms, .. } = self.faults;
        if self.happens(lost_verdicts) {
            return;
        }
        let times = if self.happens(twice) { 2 } else { 1 };
        for _ in 0..times {
            let late = Duration::from_millis(self.prng.below(late_ms.saturating_add(1)));
            let at = Instant::now().checked_add(late).unwrap_or_else(Instant::now);
            self.verdicts.push((at, verdict.clone()));
        }
    }

    fn give_verdicts(&mut self) -> Vec<Value> {
        let now = Instant::now();
        let (come, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.verdicts).into_iter().partition(|(at, _)| *at <= now);
        self.verdicts = later;
        let mut come: Vec<Value> = come.into_iter().map(|(_, verdict)| verdict).collect();
        if self.faults.shuffled {
            for at in (1..come.len()).rev() {
                let other = self.prng.below(at.saturating_add(1) as u64);
                come.swap(at, usize::try_from(other).unwrap_or_default());
            }
        }
        come
    }
}
