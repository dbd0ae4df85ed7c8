//! Everything the product tells while a simulated machine lives, and whose data is in it: nobody's.
//!
//! Buyers of the registers leave addresses `u000000@m.example` and telephones `+79000000000`; these are the canaries. What
//! is heard: every span and event at every level, every name and label of a metric, every panic of the thread.

use std::collections::BTreeSet;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};

use metrics_util::debugging::DebuggingRecorder;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// What has been heard.
#[derive(Clone, Default)]
pub struct Heard {
    text: Arc<Mutex<String>>,
}

impl Heard {
    fn add(&self, line: &str) {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).push_str(line);
    }

    /// Runs it on this thread and hears all it tells, also when it panics.
    pub fn listen<T>(&self, run: impl FnOnce() -> T + panic::UnwindSafe) -> std::thread::Result<T> {
        let before: Arc<dyn Fn(&panic::PanicHookInfo<'_>) + Send + Sync> = Arc::from(panic::take_hook());
        let (heard, thread, behind) = (self.clone(), std::thread::current().id(), Arc::clone(&before));
        panic::set_hook(Box::new(move |info| {
            if std::thread::current().id() == thread {
                heard.add(&format!("{info}\n"));
            } else {
                behind(info);
            }
        }));
        let recorder = DebuggingRecorder::new();
        let done = panic::catch_unwind(AssertUnwindSafe(|| {
            tracing::subscriber::with_default(self.ear(), || metrics::with_local_recorder(&recorder, run))
        }));
        panic::set_hook(Box::new(move |info| before(info)));
        for (key, ..) in recorder.snapshotter().snapshot().into_vec() {
            self.add(&format!("{}\n", key.key()));
        }
        done
    }

    /// Hears every span and event at every level.
    pub fn ear(&self) -> impl tracing::Subscriber + use<> {
        let heard = self.clone();
        tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(move || heard.clone())
            .finish()
    }

    pub fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whatever looks like a buyer's address or telephone in the text: as it is, in hexadecimal, as a list of bytes.
pub fn canaries(text: &str) -> BTreeSet<String> {
    let lower = text.to_ascii_lowercase();
    let mut found = BTreeSet::new();
    let lists = |bytes: &[u8]| bytes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let mail = b"@m.example";
    for needle in ["@m.example".to_owned(), hex(mail), lists(mail)] {
        if lower.contains(&needle) {
            found.insert(needle);
        }
    }
    for (at, _) in lower.match_indices("+79") {
        if lower[at + 3..].bytes().take_while(u8::is_ascii_digit).count() >= 9 {
            found.insert(lower[at..at + 12].to_owned());
        }
    }
    for (at, _) in lower.match_indices("2b3739") {
        let digits = lower.as_bytes()[at + 6..].chunks(2).take_while(|it| it[0] == b'3' && it.len() == 2);
        if digits.count() >= 9 {
            found.insert(lower[at..at + 24].to_owned());
        }
    }
    if lower.contains("43, 55, 57, ") {
        found.insert("a list of bytes".to_owned());
    }
    found
}

impl io::Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.add(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
