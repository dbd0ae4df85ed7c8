//! `ofd serve`: the engine as a process.
//!
//! ```text
//! configuration ─▶ lock, recovery ─▶ control.sock ─▶ listening ─▶ {"event":"ready"} ─▶ waits for
//!     SIGTERM, SIGINT: drain, sync, exit 0 · SIGHUP: reload · the engine has failed: exit 1
//! ```

mod http;
mod maintenance;
mod scrubbing;
mod system;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use clap::Args;
use ofd_engine::control::ControlServer;
use ofd_engine::{Engine, Health, TlsIdentity};
use rustix::process::Signal;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::config::Config;
use crate::data::DataDir;
use crate::failure::{Exit, Failure};
use crate::logging::{Filter, Logging};
use crate::output::Output;
use http::Http;
use maintenance::Maintenance;
use scrubbing::Scrubbing;

/// How often the health of the engine is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Runs the engine: accepts registers, keeps and confirms their documents.
#[derive(Debug, Args)]
#[command(after_help = "\
Prints {\"event\":\"ready\",\"listen\":\"HOST:PORT\"} on stdout when registers are accepted, with \"http\" and
\"listen_tls\" beside it where those were asked for. SIGTERM and SIGINT drain, sync and exit with 0; SIGHUP reads the configuration again. The directory is made when it is not there; a second
server on it exits with 5.

Example:
  ofd serve --data /var/lib/ofd --listen 0.0.0.0:7790 --config /etc/ofd.toml")]
pub(crate) struct Serve {
    #[command(flatten)]
    data: DataDir,
    /// Where registers are accepted; port 0 = any free one [default: `listen` of the configuration].
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Where /healthz, /readyz and /metrics are answered; port 0 = any free one [default: `http` of the configuration].
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<String>,
    /// The configuration; `ofd config print-default` prints one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Serve {
    pub(crate) fn run(&self, logging: &mut Logging) -> Result<(), Failure> {
        let mut config = self.read_config()?;
        let filter = logging.start(&config.trace_filter)?;
        survive_full_files()?;
        let signals = signals()?;
        let mut builder = config.channels(system::fit(&config).builder(&self.data.dir))?;
        if let Some(service) = config.tax_service()? {
            builder = builder.tax_service(service);
        }
        let engine = Arc::new(builder.open()?);
        tell_recovery(&engine);
        let control = ControlServer::start(Arc::clone(&engine))?;
        let listen = engine.listen(self.listen.as_deref().unwrap_or(&config.listen))?;
        let listen_tls = listen_tls(&engine, &config)?;
        let http = match &*config.http {
            "" => None,
            address => Some(Http::start(&engine, address)?),
        };
        let maintenance = Maintenance::start(&engine, &config)?;
        let scrubbing = Scrubbing::start(&engine, &config)?;
        let mut output = Output::new();
        let and_http = http.as_ref().map(|it| format!(",\"http\":\"{}\"", it.address())).unwrap_or_default();
        let and_tls = listen_tls.map(|it| format!(",\"listen_tls\":\"{it}\"")).unwrap_or_default();
        let ready =
            output.line(&format!("{{\"event\":\"ready\",\"listen\":\"{listen}\"{and_tls}{and_http}}}"));
        if ready.and_then(|()| output.flush()).is_err() {
            // Registers are served whether somebody listens to us or not.
            tracing::warn!("nobody reads stdout");
        }
        tracing::info!(%listen, data = %self.data.dir.display(), "ready");
        let health = self.wait(&signals, &engine, &mut config, &maintenance, &filter);
        control.stop();
        maintenance.stop();
        if let Some(scrubbing) = scrubbing {
            scrubbing.stop();
        }
        // The door says that it is draining while it drains.
        let ended = engine.shutdown();
        if let Some(http) = http {
            http.stop();
        }
        match health {
            Health::Failed => {
                Err(Failure::new(Exit::Failure, "the engine has failed; nothing unwritten was answered"))
            }
            _ => Ok(ended?),
        }
    }

    fn read_config(&self) -> Result<Config, Failure> {
        let mut config = match &self.config {
            Some(file) => Config::load(file)?,
            None => Config::default(),
        };
        if let Some(listen) = &self.listen {
            if !crate::config::is_address(listen) {
                return Err(Failure::new(Exit::Usage, format!("--listen {listen}: it has to be HOST:PORT")));
            }
            config.listen.clone_from(listen);
        }
        if let Some(http) = &self.http {
            if !crate::config::is_address(http) {
                return Err(Failure::new(Exit::Usage, format!("--http {http}: it has to be HOST:PORT")));
            }
            config.http.clone_from(http);
        }
        Ok(config)
    }

    /// Until a signal ends it or the engine has failed.
    fn wait(
        &self,
        signals: &Receiver<i32>,
        engine: &Engine,
        config: &mut Config,
        maintenance: &Maintenance,
        filter: &Filter,
    ) -> Health {
        loop {
            match signals.recv_timeout(LOOK_EVERY) {
                Ok(SIGHUP) => self.reload(engine, config, maintenance, filter),
                Ok(signal) => {
                    tracing::info!(signal, "draining");
                    return engine.health();
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            if engine.health() == Health::Failed {
                return Health::Failed;
            }
            if engine.is_asked_to_drain() {
                tracing::info!("draining, as an operator has asked");
                return engine.health();
            }
        }
    }

    fn reload(&self, engine: &Engine, config: &mut Config, maintenance: &Maintenance, filter: &Filter) {
        let new = match self.read_config() {
            Ok(new) => new,
            Err(failure) => {
                tracing::error!(%failure, "the configuration cannot be read, the old one stays");
                return;
            }
        };
        let (taken, left) = config.reload(&new);
        maintenance.set(config);
        if let Err(error) = engine.set_limits(system::fit(config).limits()) {
            tracing::error!(%error, "the limits stay as they were");
        }
        filter.set(&config.trace_filter);
        tracing::info!(?taken, "reloaded");
        if !left.is_empty() {
            tracing::warn!(?left, "these keys changed and need a restart");
        }
    }
}

/// Opens the listener under TLS, if one was asked for.
fn listen_tls(engine: &Engine, config: &Config) -> Result<Option<SocketAddr>, Failure> {
    if config.tls_listen.is_empty() {
        return Ok(None);
    }
    let read = |path: &str| std::fs::read(path).map_err(|error| Failure::io(path, &error));
    let identity = TlsIdentity::from_pem(&read(&config.tls_certificate_file)?, &read(&config.tls_key_file)?)?;
    Ok(Some(engine.listen_tls(&*config.tls_listen, &identity)?))
}

/// A file that reaches the limit of its size (RLIMIT_FSIZE) has to be an error of the write, which storage knows how
/// to treat, and not the death of the process: a handler that does nothing keeps the signal's default away.
pub(crate) fn survive_full_files() -> Result<(), Failure> {
    let came = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(Signal::XFSZ.as_raw(), came)
        .map_err(|error| Failure::io("SIGXFSZ", &error))?;
    Ok(())
}

/// Signals as they come. A second Ctrl-C ends the process at once; a second SIGTERM, which supervisors send when in
/// doubt, changes nothing.
fn signals() -> Result<Receiver<i32>, Failure> {
    let failed = |error| Failure::io("signals", &error);
    let again = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register_conditional_shutdown(SIGINT, 130, Arc::clone(&again))
        .and_then(|_| signal_hook::flag::register(SIGINT, again))
        .map_err(failed)?;
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(failed)?;
    let (sender, receiver) = channel();
    let listen = move || {
        for signal in signals.forever() {
            if sender.send(signal).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("ofd-signals".to_owned()).spawn(listen).map_err(failed)?;
    Ok(receiver)
}

/// What somebody has to look into; the rest storage tells itself.
fn tell_recovery(engine: &Engine) {
    let report = engine.recovery();
    if let Some(cut) = &report.cut {
        tracing::error!(
            segment = %cut.segment,
            offset = cut.offset,
            first = cut.first.get(),
            "alarm: the end of the log was torn; what lay there may have been acknowledged"
        );
    }
    for damage in &report.damaged {
        tracing::error!(%damage, "alarm: a part of the log is damaged");
    }
}
