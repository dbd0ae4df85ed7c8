//! `/healthz`, `/readyz` and `/metrics` of a running server, for the inner network.
//!
//! ```text
//! GET /healthz   200 ok · 500 failed                        does the process work?
//! GET /readyz    200 accepting · 503 deferring, read-only   shall registers come here?
//! GET /metrics   Prometheus text 0.0.4
//! ```
//!
//! One thread with a runtime of its own: a slow scrape holds up no register. Connections are few and have deadlines.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use ofd_engine::{Engine, Health};
use tokio::sync::{Semaphore, oneshot};

use crate::failure::{Exit, Failure};

/// Connections at once; further ones wait.
const CONNECTIONS_MAX: usize = 32;
/// How long a request may take to come.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may live.
const LIFETIME: Duration = Duration::from_secs(60);

/// The server.
pub(crate) struct Http {
    address: SocketAddr,
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Http {
    /// Begins to answer on this address.
    pub(crate) fn start(engine: &Arc<Engine>, address: &str) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::io(format!("--http {address}"), &error);
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let recorder = PrometheusBuilder::new()
            .install_recorder()
            .map_err(|error| Failure::new(Exit::Failure, format!("metrics: {error}")))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (end, ended) = oneshot::channel();
        let engine = Arc::clone(engine);
        let body = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, engine, recorder) => {}
                    _ = ended => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("ofd-http".to_owned()).spawn(body).map_err(failed)?;
        Ok(Self { address: bound, end, thread })
    }

    /// The real address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it.
    pub(crate) fn stop(self) {
        let _ = self.end.send(());
        if self.thread.join().is_err() {
            tracing::error!("the HTTP thread has panicked");
        }
    }
}

async fn accept(listener: TcpListener, engine: Arc<Engine>, recorder: PrometheusHandle) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "HTTP cannot be answered"),
    };
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "an HTTP connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (engine, recorder) = (Arc::clone(&engine), recorder.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let reply = reply(request.method(), request.uri().path(), &engine, &recorder);
                std::future::ready(Ok::<_, Infallible>(reply))
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .max_buf_size(16 * 1024)
                .serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(LIFETIME, connection).await;
            drop(place);
        });
    }
}

fn reply(method: &Method, path: &str, engine: &Engine, recorder: &PrometheusHandle) -> Response<Full<Bytes>> {
    let (status, body) = match (method, path) {
        (&Method::GET | &Method::HEAD, "/healthz") => health(engine.health()),
        (&Method::GET | &Method::HEAD, "/readyz") => readiness(engine.health()),
        (&Method::GET | &Method::HEAD, "/metrics") => {
            engine.publish_metrics();
            let body = recorder.render();
            recorder.run_upkeep();
            return with(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", body);
        }
        (_, "/healthz" | "/readyz" | "/metrics") => {
            let mut reply = with(StatusCode::METHOD_NOT_ALLOWED, "text/plain", String::new());
            reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return reply;
        }
        _ => (StatusCode::NOT_FOUND, "not found"),
    };
    with(status, "text/plain; charset=utf-8", format!("{body}\n"))
}

/// Does the process do what it is there for?
fn health(health: Health) -> (StatusCode, &'static str) {
    if health == Health::Failed {
        (StatusCode::INTERNAL_SERVER_ERROR, "failed")
    } else {
        (StatusCode::OK, "ok")
    }
}

/// Shall registers come here?
fn readiness(health: Health) -> (StatusCode, &'static str) {
    match health {
        Health::Ready | Health::Degraded => (StatusCode::OK, "accepting"),
        Health::Deferring => (StatusCode::SERVICE_UNAVAILABLE, "deferring"),
        // Draining, failed, and whatever may come: what is stored can be read.
        _ => (StatusCode::SERVICE_UNAVAILABLE, "read-only"),
    }
}

fn with(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A load balancer goes by the code, a person by the word.
    #[test]
    fn every_health_has_its_code_and_word() {
        for (state, alive, ready, word) in [
            (Health::Ready, 200, 200, "accepting"),
            (Health::Degraded, 200, 200, "accepting"),
            (Health::Deferring, 200, 503, "deferring"),
            (Health::Draining, 200, 503, "read-only"),
            (Health::Failed, 500, 503, "read-only"),
        ] {
            assert_eq!(health(state).0.as_u16(), alive);
            let (code, said) = readiness(state);
            assert_eq!((code.as_u16(), said), (ready, word));
        }
    }
}
