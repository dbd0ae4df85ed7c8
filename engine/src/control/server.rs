//! Answering beside the service of registers: one thread accepts, one more for each connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ofd_storage::ErrorKind;
use ofd_storage::env::Task;
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use serde_json::json;

use super::admin::state_json;
use super::client::kind_name;
use super::line::{
    compact_line, document_line, hold_lines, merge_line, raw_line, retain_line, subscription_lines,
    verify_line,
};
use super::request::{Request, Wanted};
use super::{CONTROL_SOCKET, REQUEST_LEN_MAX, socket_path};
use crate::engine::Engine;
use crate::error::Error;
use crate::host::Capability;
use crate::import::Seeded;
use crate::query::StoredDocument;
use crate::tickets::Outcome;
use crate::watch::WatchCommand;

/// Connections served at once.
const CONNECTIONS_MAX: usize = 16;
/// How often a connection that waits looks whether the server has stopped.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Connections the system may keep waiting.
const BACKLOG: i32 = 16;

/// Answers on the socket of an engine until it is stopped or dropped; then the socket is removed.
pub struct ControlServer {
    engine: Arc<Engine>,
    stopped: Arc<AtomicBool>,
    accepting: Mutex<Option<Box<dyn Task>>>,
}

impl ControlServer {
    /// Opens the socket in the directory of the engine. One that stands there was left by a process that died: the
    /// engine has the lock.
    ///
    /// # Errors
    /// Of the system.
    pub fn start(engine: Arc<Engine>) -> Result<Self, Error> {
        let env = &engine.shared().env;
        let name = Path::new(CONTROL_SOCKET);
        if env.exists(name)? {
            env.remove(name)?;
        }
        let listener = listen(engine.dir()).map_err(|error| Error::system("opening control.sock", error))?;
        let stopped = Arc::new(AtomicBool::new(false));
        let accept = {
            let (engine, stopped) = (Arc::clone(&engine), Arc::clone(&stopped));
            move || accept(&listener, &engine, &stopped)
        };
        let accepting = engine.shared().env.spawn("ofd-control", Box::new(accept))?;
        Ok(Self { engine, stopped, accepting: Mutex::new(Some(accepting)) })
    }

    /// Accepts no further connection and removes the socket. Requests that are being answered go on. Doing it again
    /// does nothing.
    pub fn stop(&self) {
        let accepting = self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(accepting) = accepting else { return };
        self.stopped.store(true, Ordering::Relaxed);
        // Accepting sleeps in the system; a connection of our own wakes it.
        let woken = socket_path(self.engine.dir()).and_then(|(path, _handle)| UnixStream::connect(path));
        let ended = match woken {
            Ok(_) => accepting.join(),
            // Somebody removed the socket: the thread sleeps until the process ends.
            Err(_) => Ok(()),
        };
        let removed = self.engine.shared().env.remove(Path::new(CONTROL_SOCKET));
        if let Err(error) = ended.and(removed) {
            tracing::warn!(%error, "control.sock could not be closed well");
        }
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A socket that nobody else could open for a moment: its mode is set before it has a name.
fn listen(dir: &Path) -> io::Result<UnixListener> {
    let (path, _handle) = socket_path(dir)?;
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(UnixListener::from(socket))
}

fn accept(listener: &UnixListener, engine: &Arc<Engine>, stopped: &Arc<AtomicBool>) {
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let accepted = listener.accept();
        if stopped.load(Ordering::Relaxed) {
            return;
        }
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::error!(%error, "control.sock is closed");
                return;
            }
        };
        if open.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
            let _ = reply(&stream, &failure(ErrorKind::Busy, "too many connections on control.sock"));
            continue;
        }
        open.fetch_add(1, Ordering::Relaxed);
        let serve = {
            let (engine, stopped, open) = (Arc::clone(engine), Arc::clone(stopped), Arc::clone(&open));
            move || {
                if let Err(error) = serve(&stream, &engine, &stopped) {
                    tracing::debug!(%error, "a connection on control.sock broke off");
                }
                open.fetch_sub(1, Ordering::Relaxed);
            }
        };
        if let Err(error) = engine.shared().env.spawn("ofd-control-one", Box::new(serve)) {
            open.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!(%error, "a connection on control.sock cannot be served");
        }
    }
}

/// Answers requests until the peer has no more.
fn serve(stream: &UnixStream, engine: &Engine, stopped: &AtomicBool) -> io::Result<()> {
    stream.set_read_timeout(Some(LOOK_EVERY))?;
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    while !stopped.load(Ordering::Relaxed) {
        let room = REQUEST_LEN_MAX.saturating_sub(line.len());
        match (&mut reader).take(room as u64).read_until(b'\n', &mut line) {
            Ok(_) if line.ends_with(b"\n") => {
                answer(stream, engine, &String::from_utf8_lossy(&line))?;
                line.clear();
            }
            Ok(_) if line.len() >= REQUEST_LEN_MAX => {
                return reply(stream, &failure(ErrorKind::Fix, "the request is too long"));
            }
            Ok(_) => return Ok(()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn answer(stream: &UnixStream, engine: &Engine, line: &str) -> io::Result<()> {
    let request = match Request::from_line(line) {
        Ok(request) => request,
        Err(what) => return reply(stream, &failure(ErrorKind::Fix, &what)),
    };
    match data(engine, &request) {
        Ok(lines) => {
            for line in lines {
                reply(stream, &format!("{{\"data\":{line}}}"))?;
            }
            reply(stream, "{\"ok\":true}")
        }
        Err(error) => reply(stream, &failure(error.kind(), &error.to_string())),
    }
}

/// The answers to a request, JSON texts.
fn data(engine: &Engine, request: &Request) -> Result<Vec<String>, Error> {
    Ok(match request {
        Request::Status => {
            let status = engine.status()?;
            vec![
                json!({
                    "health": format!("{:?}", engine.health()).to_lowercase(),
                    "durable": engine.durable().as_u64(),
                    "drives": status.drives,
                    "documents": status.documents,
                    "quarantined": status.quarantined,
                    "connections": status.connections,
                    "frames": status.frames,
                    "stored": status.stored,
                    "known": status.known,
                    "answered": status.answered,
                    "unanswered": status.unanswered,
                    "noise": status.noise,
                    "scrubbed_bytes": status.scrubbed_bytes,
                    "scrub_damaged": status.scrub_damaged,
                    "scrub_passes": status.scrub_passes,
                })
                .to_string(),
            ]
        }
        Request::Find { drive, wanted, raw } => {
            // Who may open the socket may open the files: the operator.
            let capability = Capability::operator();
            let found = match wanted {
                Wanted::Number(number) => engine.find(&capability, *drive, *number)?,
                Wanted::Sign(sign) => engine.find_by_sign(&capability, *drive, *sign)?,
            };
            let line = |it| if *raw { format!("\"{}\"", raw_line(it)) } else { line_with_tax(engine, it) };
            found.iter().map(line).collect()
        }
        Request::Compact { all } => vec![compact_line(&engine.compact(*all)?)],
        Request::Verify => vec![verify_line(&engine.verify()?)],
        Request::Merge { all } => vec![merge_line(&engine.merge(*all)?)],
        Request::Retain { dry_run } => vec![retain_line(&engine.retain(*dry_run)?, *dry_run)],
        Request::PlaceHold(hold) => vec![json!({"id": engine.place_hold(hold.clone())?}).to_string()],
        Request::LiftHold { id, reason, by } => {
            engine.lift_hold(*id, reason, by)?;
            vec![json!({"id": id}).to_string()]
        }
        Request::Holds => hold_lines(&engine.holds()),
        Request::Subscribe(command) => {
            vec![json!({"position": engine.subscribe(command.clone())?.as_u64()}).to_string()]
        }
        Request::Subscriptions => subscription_lines(&engine.subscriptions()),
        Request::Admin(admin) => admin.answer(engine)?,
        Request::SeedLanes(seeds) => {
            let Seeded { taken, known } = engine.seed_lanes(seeds)?;
            vec![json!({"taken": taken, "known": known}).to_string()]
        }
        Request::Watch(WatchCommand::SetThresholds { scope, values, by }) => {
            engine.set_thresholds(scope, values, by)?;
            Vec::new()
        }
        Request::Watch(WatchCommand::PlaceRegister { rnm, place, by }) => {
            engine.place_register(rnm, place, by)?;
            Vec::new()
        }
        Request::Import { documents } => {
            let outcomes = engine.import_batch(documents.clone())?.wait();
            let word = |it: Outcome| match it {
                Outcome::Kept { fresh, .. } => json!(fresh).to_string(),
                Outcome::Unanswered(why) => json!(why.name()).to_string(),
                // Nobody answers an import.
                Outcome::Answered { .. } => json!(true).to_string(),
            };
            outcomes.into_iter().map(word).collect()
        }
    })
}

/// The line of a document with what the tax service made of it, where there is one.
fn line_with_tax(engine: &Engine, document: &StoredDocument) -> String {
    let mut line = document_line(document);
    let state = engine.tax_state_of(document).zip(document.drive());
    if let (Some((state, drive)), Ok(envelope)) = (state, document.envelope())
        && line.pop() == Some('}')
    {
        line.push_str(",\"tax\":");
        line.push_str(&state_json(drive, envelope.number, &state).to_string());
        line.push('}');
    }
    line
}

fn failure(kind: ErrorKind, text: &str) -> String {
    json!({"error": text, "kind": kind_name(kind)}).to_string()
}

fn reply(mut stream: &UnixStream, line: &str) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(line.len().saturating_add(1));
    bytes.extend_from_slice(line.as_bytes());
    bytes.push(b'\n');
    stream.write_all(&bytes)
}
