//! [`HttpTaxService`]: the tax service over HTTP, the first real leg: to a gateway of the operator's that speaks the ФНС's own
//! protocol, or to the stand-in of `ofd-emit`.
//!
//! ```text
//! POST <url>/documents   lines {"fn":"7100…","fd":17,"hash":"<64 hex>","document":{"receipt":{…,"rawData":"…"}}}
//!                        ─▶ 200 {"receipts":[{"id":"…"}, null, …]}, one a line in order; null = not now
//! POST <url>/verdicts    ─▶ 200 {"verdicts":[{"id":"…","status":"accepted"}, {"id":"…","status":"refused","code":507,"tag":1020}, …]}
//! ```
//!
//! `status` is `accepted`, `duplicate`, `warned`, `quarantined` or `refused`; a verdict that cannot be read is passed over, with a
//! warning. Whatever is not a 200 that can be read means: not now. The answer to `/verdicts` is not confirmed: a verdict that is lost
//! on its way comes again when its document does.
//!
//! Threads: one a batch in flight and one for verdicts, which wait in blocking calls; the leg itself waits for nobody.
//!
//! A certificate that nobody vouches for is as a service that cannot be reached: documents wait, and none goes to it.
//!
//! Errors: those of a call are told in the log and mean "not now"; behind a poll that failed there is a wait, from 1 to 15 seconds. Needs the feature `tax-http`.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use serde_json::Value;
use ureq::Agent;

use crate::error::{Error, ErrorKind};
use crate::host::{Answering, TaxDocument, TaxReceipt, TaxService, TaxStatus};
use crate::secrets::client_tls;

/// The first wait behind a poll that failed, and the longest; half a call at most.
const POLL_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// Longest answer that is read, bytes.
const ANSWER_LEN_MAX: u64 = 64 << 20;

type Job = Box<dyn FnOnce(&Client) + Send>;

struct Client {
    agent: Agent,
    documents: String,
    verdicts: String,
    poll_wait_max: Duration,
    /// Polls that have failed one after another.
    poll_failures: AtomicU32,
}

/// How the tax service is reached.
#[derive(Clone, Debug)]
pub struct HttpTaxOptions {
    /// `http://HOST:PORT/PATH` or `https://…`.
    pub url: String,
    /// Batches at once, 1..=64.
    pub calls: usize,
    /// How long a call may take.
    pub timeout: Duration,
    /// PEM of the authorities that certify the service; none: those that browsers trust.
    pub authority_file: Option<PathBuf>,
    /// PEM of our own certificate with its chain, and of its key, where the service asks who calls.
    pub identity_files: Option<(PathBuf, PathBuf)>,
}

/// The tax service behind a URL.
pub struct HttpTaxService {
    sends: Sender<Job>,
    polls: Sender<Job>,
}

impl std::fmt::Debug for HttpTaxService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HttpTaxService")
    }
}

impl HttpTaxService {
    /// Of this URL, with `calls` batches at once, each within `timeout`; certified by whom browsers trust.
    ///
    /// # Errors
    /// As [`HttpTaxService::open`].
    pub fn new(url: &str, calls: usize, timeout: Duration) -> Result<Self, Error> {
        let (authority_file, identity_files) = (None, None);
        Self::open(&HttpTaxOptions { url: url.to_owned(), calls, timeout, authority_file, identity_files })
    }

    /// Of these options. Nothing is connected to yet.
    ///
    /// # Errors
    /// `Fix` when that is no URL, or a certificate or key cannot be read; of the system when there are no threads.
    pub fn open(options: &HttpTaxOptions) -> Result<Self, Error> {
        let &HttpTaxOptions { ref url, calls, timeout, ref authority_file, ref identity_files } = options;
        let url = url.trim_end_matches('/');
        if !is_url(url) {
            return Err(Error::new(ErrorKind::Fix, "tax.url has to be http://… or https://…"));
        }
        let identity = identity_files.as_ref().map(|(chain, key)| (chain.as_path(), key.as_path()));
        let tls = client_tls(authority_file.as_deref(), identity)
            .map_err(|error| Error::new(ErrorKind::Fix, format!("the tax service: {error}")))?;
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .max_redirects(0)
            .http_status_as_error(false)
            .proxy(None)
            .user_agent("ofd-engine")
            .tls_config(tls)
            .build();
        let client = Arc::new(Client {
            agent: Agent::new_with_config(config),
            documents: format!("{url}/documents"),
            verdicts: format!("{url}/verdicts"),
            poll_wait_max: POLL_WAIT.1.min(timeout / 2),
            poll_failures: AtomicU32::new(0),
        });
        let (sends, jobs) = unbounded();
        for number in 0..calls.clamp(1, 64) {
            work(&format!("ofd-tax-http-{number}"), &client, &jobs)?;
        }
        let (polls, jobs) = unbounded();
        work("ofd-tax-polls", &client, &jobs)?;
        Ok(Self { sends, polls })
    }
}

/// Whether a text can be the URL of a service.
pub fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|it| it.is_ascii_graphic()))
}

#[expect(clippy::disallowed_methods, reason = "calls that block want threads; no simulator has a network")]
fn work(name: &str, client: &Arc<Client>, jobs: &Receiver<Job>) -> Result<(), Error> {
    let (client, jobs) = (Arc::clone(client), jobs.clone());
    let body = move || jobs.iter().for_each(|job| job(&client));
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    spawned.map(drop).map_err(|error| Error::system("starting a thread of the tax service", error))
}

/// Gives a job to the threads; a job that dies answers with nothing.
fn ask<T: Default + Send + 'static>(
    jobs: &Sender<Job>,
    call: impl FnOnce(&Client) -> T + Send + 'static,
) -> Answering<T> {
    let (reply, answer) = tokio::sync::oneshot::channel();
    let job: Job = Box::new(move |client| drop(reply.send(call(client))));
    let _ = jobs.send(job);
    Box::pin(async move { answer.await.unwrap_or_default() })
}

impl TaxService for HttpTaxService {
    fn send(&self, batch: Vec<TaxDocument>) -> Answering<Vec<TaxReceipt>> {
        ask(&self.sends, move |client| client.send(&batch))
    }

    fn poll(&self) -> Answering<Vec<TaxStatus>> {
        ask(&self.polls, Client::poll)
    }
}

impl Client {
    fn post(&self, url: &str, body: &[u8]) -> Option<Value> {
        let response = self.agent.post(url).content_type("application/x-ndjson").send(body);
        let mut response = match response {
            Ok(response) if response.status() == 200 => response,
            Ok(response) => {
                tracing::warn!(status = response.status().as_u16(), "the tax service does not take anything");
                return None;
            }
            Err(error) => {
                tracing::warn!(%error, "the tax service cannot be reached");
                return None;
            }
        };
        let body = response.body_mut().with_config().limit(ANSWER_LEN_MAX).read_to_vec();
        match body.map(|bytes| serde_json::from_slice(&bytes)) {
            Ok(Ok(value)) => Some(value),
            Ok(Err(_)) | Err(_) => {
                tracing::warn!("an answer of the tax service cannot be read");
                None
            }
        }
    }

    fn send(&self, batch: &[TaxDocument]) -> Vec<TaxReceipt> {
        let mut body = Vec::new();
        for TaxDocument { drive, number, hash, json } in batch {
            let hash = blake3::Hash::from_bytes(*hash).to_hex();
            // Writing to memory cannot fail.
            let _ = write!(body, "{{\"fn\":\"{drive}\",\"fd\":{number},\"hash\":\"{hash}\",\"document\":");
            body.extend_from_slice(json);
            body.extend_from_slice(b"}\n");
        }
        let answer = self.post(&self.documents, &body);
        let receipts = answer.as_ref().and_then(|it| it.get("receipts")).and_then(Value::as_array);
        let receipt = |at: usize| {
            let id = receipts?.get(at)?.get("id")?.as_str()?.to_owned();
            Some(TaxReceipt::Sent { id })
        };
        (0..batch.len()).map(|at| receipt(at).unwrap_or(TaxReceipt::Unavailable)).collect()
    }

    fn poll(&self) -> Vec<TaxStatus> {
        let answer = self.post(&self.verdicts, b"");
        let failures = match answer {
            Some(_) => 0,
            None => self.poll_failures.load(Ordering::Relaxed).saturating_add(1),
        };
        self.poll_failures.store(failures, Ordering::Relaxed);
        if failures > 0 {
            wait(failures, self.poll_wait_max);
        }
        let verdicts = answer.as_ref().and_then(|it| it.get("verdicts")).and_then(Value::as_array);
        let mut told = Vec::new();
        for verdict in verdicts.into_iter().flatten() {
            match verdict_of(verdict) {
                Some(verdict) => told.push(verdict),
                None => tracing::warn!("a verdict of the tax service cannot be read"),
            }
        }
        told
    }
}

/// A service that cannot be asked for verdicts is not asked again at once: the answer, which is none, comes later each time.
#[expect(
    clippy::disallowed_methods,
    reason = "the thread of polls has nothing else to do; no simulator has a network"
)]
fn wait(failures: u32, most: Duration) {
    let doubled = POLL_WAIT.0.saturating_mul(1 << failures.saturating_sub(1).min(10));
    std::thread::sleep(doubled.min(most));
}

fn verdict_of(value: &Value) -> Option<TaxStatus> {
    let id = value.get("id")?.as_str()?.to_owned();
    let number = |key: &str| value.get(key).and_then(Value::as_u64);
    let code = u32::try_from(number("code").unwrap_or_default()).ok()?;
    let tag = number("tag").and_then(|tag| u16::try_from(tag).ok());
    Some(match value.get("status")?.as_str()? {
        "accepted" => TaxStatus::Accepted { id },
        "duplicate" => TaxStatus::Duplicate { id },
        "warned" => TaxStatus::Warned { id, code },
        "quarantined" => TaxStatus::Quarantined { id, code, tag },
        "refused" => TaxStatus::Refused { id, code, tag },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a failed test may panic")]
    use super::*;

    // A gateway that is down is not helped by a poll a second for as long as that takes.
    #[test]
    fn a_poll_that_fails_is_followed_by_a_wait() {
        // Nobody listens there.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let service = HttpTaxService::new(&url, 1, Duration::from_secs(60)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let begun = std::time::Instant::now();
        assert!(runtime.block_on(service.poll()).is_empty());
        assert!(begun.elapsed() >= POLL_WAIT.0, "{:?}", begun.elapsed());
        assert!(runtime.block_on(service.poll()).is_empty());
        assert!(begun.elapsed() >= POLL_WAIT.0 * 3, "{:?}", begun.elapsed());
    }
}
