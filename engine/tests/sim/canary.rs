//! Everything the product tells while a simulated machine lives, and whose data is in it: nobody's.
//!
//! Buyers of the registers leave addresses `u000000@m.example` and telephones `+79000000000`; these are the canaries. What
//! is heard: every span and event at every level, every name and label of a metric, every panic of the thread.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::panic;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata};

/// What has been heard.
#[derive(Clone, Default)]
pub struct Heard {
    text: Arc<Mutex<String>>,
}

impl Heard {
    fn add(&self, line: &str) {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writeln!(text, "{line}");
    }

    /// Runs it on this thread and hears all it tells, also when it panics.
    pub fn listen<T>(&self, run: impl FnOnce() -> T + panic::UnwindSafe) -> std::thread::Result<T> {
        let before: Arc<dyn Fn(&panic::PanicHookInfo<'_>) + Send + Sync> = Arc::from(panic::take_hook());
        let (heard, thread, behind) = (self.clone(), std::thread::current().id(), Arc::clone(&before));
        panic::set_hook(Box::new(move |info| {
            if std::thread::current().id() == thread {
                heard.add(&info.to_string());
            } else {
                behind(info);
            }
        }));
        let done = panic::catch_unwind(|| {
            tracing::subscriber::with_default(self.clone(), || metrics::with_local_recorder(self, run))
        });
        panic::set_hook(Box::new(move |info| before(info)));
        done
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

struct Words<'a>(&'a mut String);

impl Visit for Words<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl tracing::Subscriber for Heard {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("ofd_") || metadata.target().starts_with("sim")
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = span.metadata().name().to_owned();
        span.record(&mut Words(&mut line));
        self.add(&line);
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut line = String::new();
        values.record(&mut Words(&mut line));
        self.add(&line);
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut line = format!("{} {}", event.metadata().level(), event.metadata().target());
        event.record(&mut Words(&mut line));
        self.add(&line);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Heard {
    fn metric(&self, key: &metrics::Key) {
        let labels: String = key.labels().map(|it| format!(" {}={}", it.key(), it.value())).collect();
        self.add(&format!("metric {}{labels}", key.name()));
    }
}

impl metrics::Recorder for Heard {
    fn describe_counter(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_gauge(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn describe_histogram(&self, _: metrics::KeyName, _: Option<metrics::Unit>, _: metrics::SharedString) {}
    fn register_counter(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Counter {
        self.metric(key);
        metrics::Counter::noop()
    }
    fn register_gauge(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
        self.metric(key);
        metrics::Gauge::noop()
    }
    fn register_histogram(&self, key: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Histogram {
        self.metric(key);
        metrics::Histogram::noop()
    }
}
