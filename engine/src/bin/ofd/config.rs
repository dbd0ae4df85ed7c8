//! The configuration of `ofd serve`: TOML, every key in one table.
//!
//! The table [`KEYS`] is all there is: it says what a key is called, its unit, default, bounds and whether a
//! running server takes a new value on SIGHUP; it reads the file, checks it, and prints the annotated default.
//! So text and code cannot drift apart. Defaults are those of [`Config::default`].

use std::fmt::Write as _;
use std::path::Path;

use ofd_engine::codec::rules::rules;
use ofd_engine::{
    CURSOR_NAME_LEN_MAX, Engine, EngineBuilder, Limits, PORTS_MAX, SinkFailure, TestPing, WORKERS_MAX,
};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::failure::{Exit, Failure};

/// What the server was told. Integers are within the bounds of [`KEYS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) listen: String,
    pub(crate) operator_inn: String,
    pub(crate) operator_zone_min: i64,
    pub(crate) refuse: Vec<String>,
    pub(crate) segment_len_bytes: i64,
    pub(crate) free_bytes_min: i64,
    pub(crate) mirror_dir: String,
    pub(crate) mirror_failure: String,
    pub(crate) io_threads: i64,
    pub(crate) workers: i64,
    pub(crate) append_deadline_us: i64,
    pub(crate) crypto_timeout_us: i64,
    pub(crate) first_byte_timeout_us: i64,
    pub(crate) header_timeout_us: i64,
    pub(crate) body_rate_min: i64,
    pub(crate) idle_timeout_us: i64,
    pub(crate) answer_timeout_us: i64,
    pub(crate) connection_lifetime_us: i64,
    pub(crate) connections_max: i64,
    pub(crate) network_connections_max: i64,
    pub(crate) accepts_per_s: i64,
    pub(crate) drive_in_flight_max: i64,
    pub(crate) drive_unanswered_max: i64,
    pub(crate) in_flight_bytes_max: i64,
    pub(crate) drain_timeout_us: i64,
    pub(crate) test_ping: String,
    pub(crate) http: String,
    pub(crate) log_keep_days: i64,
    pub(crate) required_cursors: Vec<String>,
    pub(crate) archive_keep_years: i64,
    pub(crate) compact_every_s: i64,
    pub(crate) scrub_every_days: i64,
    pub(crate) scrub_rate_bytes_per_s: i64,
    pub(crate) retain_every_s: i64,
    pub(crate) trace_filter: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7790".to_owned(),
            operator_inn: "7704211201".to_owned(),
            operator_zone_min: 180,
            refuse: Vec::new(),
            segment_len_bytes: 64 << 20,
            free_bytes_min: 0,
            mirror_dir: String::new(),
            mirror_failure: "stop".to_owned(),
            io_threads: 0,
            workers: 0,
            append_deadline_us: 2_000_000,
            crypto_timeout_us: 2_000_000,
            first_byte_timeout_us: 30_000_000,
            header_timeout_us: 10_000_000,
            body_rate_min: 500,
            idle_timeout_us: 60_000_000,
            answer_timeout_us: 10_000_000,
            connection_lifetime_us: 600_000_000,
            connections_max: 100_000,
            network_connections_max: 50_000,
            accepts_per_s: 20_000,
            drive_in_flight_max: 16,
            drive_unanswered_max: 512,
            in_flight_bytes_max: 512 << 20,
            drain_timeout_us: 10_000_000,
            test_ping: "close".to_owned(),
            http: String::new(),
            log_keep_days: 35,
            required_cursors: Vec::new(),
            archive_keep_years: 5,
            compact_every_s: 0,
            scrub_every_days: 30,
            scrub_rate_bytes_per_s: 0,
            retain_every_s: 0,
            trace_filter: "info".to_owned(),
        }
    }
}

/// One key.
pub(crate) struct Key {
    /// With its table, as in `log.segment_len_bytes`.
    pub(crate) name: &'static str,
    unit: &'static str,
    about: &'static str,
    /// A running server takes a new value on SIGHUP.
    reloadable: bool,
    field: Field,
}

/// Where a value lies and what it may be.
enum Field {
    Integer {
        min: i64,
        max: i64,
        step: i64,
        get: fn(&Config) -> i64,
        set: fn(&mut Config, i64),
    },
    Text {
        bounds: &'static str,
        fits: fn(&str) -> bool,
        get: fn(&Config) -> &str,
        set: fn(&mut Config, String),
    },
    List {
        bounds: &'static str,
        fits: fn(&str) -> bool,
        get: fn(&Config) -> &[String],
        set: fn(&mut Config, Vec<String>),
    },
}

/// All keys. Those without a table come first, those of one table stand together.
pub(crate) const KEYS: &[Key] = &[
    Key {
        name: "listen",
        unit: "HOST:PORT",
        about: "Where registers are accepted. `--listen` goes before it.",
        reloadable: false,
        field: Field::Text {
            bounds: "a host, a colon, a port; port 0 = any free one",
            fits: is_address,
            get: |it| &it.listen,
            set: |it, value| it.listen = value,
        },
    },
    Key {
        name: "http",
        unit: "HOST:PORT",
        about: "Where /healthz, /readyz and /metrics are answered; empty = nowhere. For the inner network only: they need no\n\
                sign-in. `--http` goes before it.",
        reloadable: false,
        field: Field::Text {
            bounds: "nothing, or a host, a colon, a port; port 0 = any free one",
            fits: |text| text.is_empty() || is_address(text),
            get: |it| &it.http,
            set: |it, value| it.http = value,
        },
    },
    Key {
        name: "operator.inn",
        unit: "digits",
        about: "INN of the operator, tag 1017 of every answer. The default is a stand-in: set your own.",
        reloadable: false,
        field: Field::Text {
            bounds: "10 or 12 digits",
            fits: |text| matches!(text.len(), 10 | 12) && text.bytes().all(|it| it.is_ascii_digit()),
            get: |it| &it.operator_inn,
            set: |it, value| it.operator_inn = value,
        },
    },
    Key {
        name: "operator.zone_min",
        unit: "minutes east of UTC",
        about: "Zone of the time of acceptance, tag 1012 of every answer. 180 is Moscow.",
        reloadable: false,
        field: Field::Integer {
            min: -720,
            max: 840,
            step: 1,
            get: |it| it.operator_zone_min,
            set: |it, value| it.operator_zone_min = value,
        },
    },
    Key {
        name: "answer.refuse",
        unit: "rule ids",
        about: "Rules whose breach is answered 14. An answer of any code ends the register's duty to resend:\n\
                leave it empty unless you know why. Above 0.1 % of refusals in five minutes it is ignored.",
        reloadable: false,
        field: Field::List {
            bounds: "keys or names of docs/rules.md",
            fits: |text| rules().iter().any(|rule| rule.id.key == text || rule.id.name == text),
            get: |it| &it.refuse,
            set: |it, value| it.refuse = value,
        },
    },
    Key {
        name: "answer.test_ping",
        unit: "word",
        about: "What a test ping is told: nothing (close), what it sent (echo), or the bytes that stand here in hex.",
        reloadable: false,
        field: Field::Text {
            bounds: "close, echo, or 1 to 1024 bytes as hex digits",
            fits: |text| test_ping(text).is_some(),
            get: |it| &it.test_ping,
            set: |it, value| it.test_ping = value,
        },
    },
    Key {
        name: "log.segment_len_bytes",
        unit: "bytes",
        about: "Length of a new segment file of the log. A segment goes to Parquet when it is full.",
        reloadable: false,
        field: Field::Integer {
            min: 1 << 20,
            max: 1 << 30,
            step: 4096,
            get: |it| it.segment_len_bytes,
            set: |it, value| it.segment_len_bytes = value,
        },
    },
    Key {
        name: "log.free_bytes_min",
        unit: "bytes",
        about: "With less free space no segment is prepared: what is reserved is used up, then documents are\n\
                deferred, unanswered, until space returns. 0 = room for two further segments.",
        reloadable: false,
        field: Field::Integer {
            min: 0,
            max: 1 << 40,
            step: 1,
            get: |it| it.free_bytes_min,
            set: |it, value| it.free_bytes_min = value,
        },
    },
    Key {
        name: "log.mirror_dir",
        unit: "directory",
        about: "A directory on a second device that gets every byte of the log, too: a document is answered when\n\
                both devices have it. Empty = one copy only.",
        reloadable: false,
        field: Field::Text {
            bounds: "an absolute path, or nothing",
            fits: |text| text.is_empty() || Path::new(text).is_absolute(),
            get: |it| &it.mirror_dir,
            set: |it, value| it.mirror_dir = value,
        },
    },
    Key {
        name: "log.mirror_failure",
        unit: "word",
        about: "What happens when the mirror fails: \"stop\" answers nothing any more; \"degrade\" goes on with ONE\n\
                copy, raises an alarm and says so in the health. The next start brings the mirror up to date.",
        reloadable: false,
        field: Field::Text {
            bounds: "stop or degrade",
            fits: |text| matches!(text, "stop" | "degrade"),
            get: |it| &it.mirror_failure,
            set: |it, value| it.mirror_failure = value,
        },
    },
    Key {
        name: "log.keep_days",
        unit: "days",
        about: "How long the log keeps what the archive holds already. 0 = no longer than it takes. Nothing leaves the\n\
                log but by `ofd retain` or retain.every_s, and never before all of it is in verified Parquet.",
        reloadable: false,
        field: Field::Integer {
            min: 0,
            max: 3650,
            step: 1,
            get: |it| it.log_keep_days,
            set: |it, value| it.log_keep_days = value,
        },
    },
    Key {
        name: "log.required_cursors",
        unit: "names",
        about: "Cursors that have to pass a record before it leaves the log. One that nobody saved keeps everything.",
        reloadable: false,
        field: Field::List {
            bounds: "names of 1 to 128 bytes",
            fits: |text| (1..=CURSOR_NAME_LEN_MAX).contains(&text.len()),
            get: |it| &it.required_cursors,
            set: |it, value| it.required_cursors = value,
        },
    },
    Key {
        name: "archive.keep_years",
        unit: "years",
        about: "How long a document stays in the archive, from the later of its date and the day it was received.\n\
                Registration documents stay the life of their drive and as many years. The law asks for 5.",
        reloadable: false,
        field: Field::Integer {
            min: 5,
            max: 100,
            step: 1,
            get: |it| it.archive_keep_years,
            set: |it, value| it.archive_keep_years = value,
        },
    },
    Key {
        name: "threads.io",
        unit: "threads",
        about: "Threads that serve sockets. 0 = a quarter of the cores less one, at least one.",
        reloadable: false,
        field: Field::Integer {
            min: 0,
            max: PORTS_MAX as i64,
            step: 1,
            get: |it| it.io_threads,
            set: |it, value| it.io_threads = value,
        },
    },
    Key {
        name: "threads.workers",
        unit: "threads",
        about: "Threads that check documents; each owns its share of the registers. 0 = cores less one.",
        reloadable: false,
        field: Field::Integer {
            min: 0,
            max: WORKERS_MAX as i64,
            step: 1,
            get: |it| it.workers,
            set: |it, value| it.workers = value,
        },
    },
    Key {
        name: "limits.append_deadline_us",
        unit: "microseconds",
        about: "A frame that waited longer for its turn is dropped unanswered; the register sends it again.",
        reloadable: false,
        field: Field::Integer {
            min: 10_000,
            max: 60_000_000,
            step: 1,
            get: |it| it.append_deadline_us,
            set: |it, value| it.append_deadline_us = value,
        },
    },
    Key {
        name: "limits.crypto_timeout_us",
        unit: "microseconds",
        about: "How long a call of the crypto module may take.",
        reloadable: false,
        field: Field::Integer {
            min: 1_000,
            max: 60_000_000,
            step: 1,
            get: |it| it.crypto_timeout_us,
            set: |it, value| it.crypto_timeout_us = value,
        },
    },
    Key {
        name: "limits.first_byte_timeout_us",
        unit: "microseconds",
        about: "How long a connection may be silent before its first byte. A register may connect before its drive is ready.",
        reloadable: true,
        field: Field::Integer {
            min: 10_000,
            max: 600_000_000,
            step: 1,
            get: |it| it.first_byte_timeout_us,
            set: |it, value| it.first_byte_timeout_us = value,
        },
    },
    Key {
        name: "limits.header_timeout_us",
        unit: "microseconds",
        about: "How long the 30 bytes of a session header may take. The body has as long once more, and a second for every\n\
                limits.body_rate_min bytes.",
        reloadable: true,
        field: Field::Integer {
            min: 10_000,
            max: 600_000_000,
            step: 1,
            get: |it| it.header_timeout_us,
            set: |it, value| it.header_timeout_us = value,
        },
    },
    Key {
        name: "limits.body_rate_min",
        unit: "bytes a second",
        about: "Slowest body of a message; the connection of a slower one is closed.",
        reloadable: true,
        field: Field::Integer {
            min: 1,
            max: 1_000_000,
            step: 1,
            get: |it| it.body_rate_min,
            set: |it, value| it.body_rate_min = value,
        },
    },
    Key {
        name: "limits.idle_timeout_us",
        unit: "microseconds",
        about: "How long a connection may be silent between messages.",
        reloadable: true,
        field: Field::Integer {
            min: 10_000,
            max: 3_600_000_000,
            step: 1,
            get: |it| it.idle_timeout_us,
            set: |it, value| it.idle_timeout_us = value,
        },
    },
    Key {
        name: "limits.answer_timeout_us",
        unit: "microseconds",
        about: "How long a socket may take nothing of an answer before it is closed.",
        reloadable: true,
        field: Field::Integer {
            min: 10_000,
            max: 600_000_000,
            step: 1,
            get: |it| it.answer_timeout_us,
            set: |it, value| it.answer_timeout_us = value,
        },
    },
    Key {
        name: "limits.connection_lifetime_us",
        unit: "microseconds",
        about: "How long a connection may live. What was asked before is still answered.",
        reloadable: true,
        field: Field::Integer {
            min: 10_000,
            max: 86_400_000_000,
            step: 1,
            get: |it| it.connection_lifetime_us,
            set: |it, value| it.connection_lifetime_us = value,
        },
    },
    Key {
        name: "limits.connections_max",
        unit: "connections",
        about: "Connections held at once; further ones are closed. At most what the limit of open files (ulimit -n) allows.",
        reloadable: true,
        field: Field::Integer {
            min: 1,
            max: 1_000_000,
            step: 1,
            get: |it| it.connections_max,
            set: |it, value| it.connections_max = value,
        },
    },
    Key {
        name: "limits.network_connections_max",
        unit: "connections",
        about: "Connections held at once from one network (a /24 of IPv4, a /64 of IPv6). Keep it high: thousands of registers\n\
                share the address of a mobile operator.",
        reloadable: true,
        field: Field::Integer {
            min: 1,
            max: 1_000_000,
            step: 1,
            get: |it| it.network_connections_max,
            set: |it, value| it.network_connections_max = value,
        },
    },
    Key {
        name: "limits.accepts_per_s",
        unit: "connections a second",
        about: "New connections that are accepted; faster ones wait in the queue of the system.",
        reloadable: true,
        field: Field::Integer {
            min: 1,
            max: 1_000_000,
            step: 1,
            get: |it| it.accepts_per_s,
            set: |it, value| it.accepts_per_s = value,
        },
    },
    Key {
        name: "limits.drive_in_flight_max",
        unit: "documents",
        about: "Documents of one drive on their way at once, in each I/O thread; further ones wait behind them, others pass by.",
        reloadable: true,
        field: Field::Integer {
            min: 1,
            max: 256,
            step: 1,
            get: |it| it.drive_in_flight_max,
            set: |it, value| it.drive_in_flight_max = value,
        },
    },
    Key {
        name: "limits.drive_unanswered_max",
        unit: "documents",
        about: "Documents of one drive without an answer yet, in each I/O thread; one more is dropped, its connection closed.",
        reloadable: true,
        field: Field::Integer {
            min: 1,
            max: 16_384,
            step: 1,
            get: |it| it.drive_unanswered_max,
            set: |it, value| it.drive_unanswered_max = value,
        },
    },
    Key {
        name: "limits.in_flight_bytes_max",
        unit: "bytes",
        about: "Bytes of messages inside. Half is for whole messages: with more no socket is read. Half is for those whose end\n\
                has not come: with more their connections are closed.",
        reloadable: true,
        field: Field::Integer {
            min: 1 << 20,
            max: 1 << 40,
            step: 1,
            get: |it| it.in_flight_bytes_max,
            set: |it, value| it.in_flight_bytes_max = value,
        },
    },
    Key {
        name: "limits.drain_timeout_us",
        unit: "microseconds",
        about: "How long a server that was told to end may take over what is inside; the rest is not answered and comes again.",
        reloadable: true,
        field: Field::Integer {
            min: 10_000,
            max: 600_000_000,
            step: 1,
            get: |it| it.drain_timeout_us,
            set: |it, value| it.drain_timeout_us = value,
        },
    },
    Key {
        name: "compact.every_s",
        unit: "seconds",
        about: "Pause between two compactions of sealed segments to Parquet. 0 = only on `ofd compact`.",
        reloadable: true,
        field: Field::Integer {
            min: 0,
            max: 86_400,
            step: 1,
            get: |it| it.compact_every_s,
            set: |it, value| it.compact_every_s = value,
        },
    },
    Key {
        name: "scrub.every_days",
        unit: "days",
        about: "Time in which sealed segments and the files of the archive are read back from the disk once. 0 = never.",
        reloadable: false,
        field: Field::Integer {
            min: 0,
            max: 365,
            step: 1,
            get: |it| it.scrub_every_days,
            set: |it, value| it.scrub_every_days = value,
        },
    },
    Key {
        name: "scrub.rate_bytes_per_s",
        unit: "bytes a second",
        about: "How fast that is done. 0 = as fast as the days ask for, 1 MiB/s at least.",
        reloadable: false,
        field: Field::Integer {
            min: 0,
            max: 1 << 40,
            step: 1,
            get: |it| it.scrub_rate_bytes_per_s,
            set: |it, value| it.scrub_rate_bytes_per_s = value,
        },
    },
    Key {
        name: "retain.every_s",
        unit: "seconds",
        about: "Pause between two looks at what may leave the log and the archive. 0 = only on `ofd retain`.",
        reloadable: true,
        field: Field::Integer {
            min: 0,
            max: 2_592_000,
            step: 1,
            get: |it| it.retain_every_s,
            set: |it, value| it.retain_every_s = value,
        },
    },
    Key {
        name: "trace.filter",
        unit: "directives",
        about: "What is told on stderr. `--log` and RUST_LOG go before it.",
        reloadable: true,
        field: Field::Text {
            bounds: "a level (error, warn, info, debug, trace) or target=level, with commas between",
            fits: crate::logging::is_filter,
            get: |it| &it.trace_filter,
            set: |it, value| it.trace_filter = value,
        },
    },
];

impl Config {
    /// Reads a file. Every fault is named with file, line and key; the text holds a line for each.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| Failure::io(&name, &error))?;
        Self::parse(&name, &text)
    }

    /// As [`Config::load`], from a text.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, Failure> {
        let mut config = Self::default();
        let mut faults = Faults { name, text, found: Vec::new() };
        match DeTable::parse(text) {
            Ok(table) => read_table("", table.get_ref(), &mut config, &mut faults),
            Err(error) => {
                let at = error.span().map_or(text.len(), |span| span.start);
                faults.note(at, error.message().trim_end());
            }
        }
        if faults.found.is_empty() {
            return Ok(config);
        }
        Err(Failure::new(Exit::Usage, faults.found.join("\nofd: ")))
    }

    /// Every key with its unit, default, bounds and whether it can be reloaded: a file that [`Config::parse`] reads as
    /// the default.
    pub(crate) fn print_default() -> String {
        let config = Self::default();
        let mut out = String::from(
            "# Configuration of `ofd serve`, with every key at its default. Secrets are given by file path only.\n\
             # A key marked `reload: yes` takes a new value when the server gets SIGHUP; the others at its start.\n",
        );
        let mut table = "";
        for key in KEYS {
            let (of_table, leaf) = key.name.rsplit_once('.').unwrap_or(("", key.name));
            out.push('\n');
            if of_table != table {
                table = of_table;
                put(&mut out, format_args!("[{table}]\n"));
            }
            for line in key.about.lines() {
                put(&mut out, format_args!("# {}\n", line.trim_start()));
            }
            let (value, bounds) = (key.field.value(&config), key.field.bounds());
            let reload = if key.reloadable { "yes" } else { "no" };
            put(
                &mut out,
                format_args!(
                    "# unit: {} | default: {value} | bounds: {bounds} | reload: {reload}\n{leaf} = {value}\n",
                    key.unit
                ),
            );
        }
        out
    }

    /// Takes what a running server may take from `new`; gives the names of the keys that changed and took effect, and
    /// of those that need a restart.
    pub(crate) fn reload(&mut self, new: &Self) -> (Vec<&'static str>, Vec<&'static str>) {
        let (mut taken, mut left) = (Vec::new(), Vec::new());
        for key in KEYS {
            if key.field.value(self) == key.field.value(new) {
                continue;
            }
            if key.reloadable {
                key.field.copy(new, self);
                taken.push(key.name);
            } else {
                left.push(key.name);
            }
        }
        (taken, left)
    }

    /// Deadlines and caps of the port.
    pub(crate) fn limits(&self) -> Limits {
        // What does not fit is out of bounds, which the engine says.
        let fit = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
        Limits {
            first_byte_timeout_us: fit(self.first_byte_timeout_us),
            header_timeout_us: fit(self.header_timeout_us),
            body_rate_min: fit(self.body_rate_min),
            idle_timeout_us: fit(self.idle_timeout_us),
            answer_timeout_us: fit(self.answer_timeout_us),
            connection_lifetime_us: fit(self.connection_lifetime_us),
            connections_max: fit(self.connections_max),
            network_connections_max: fit(self.network_connections_max),
            accepts_per_s: fit(self.accepts_per_s),
            drive_in_flight_max: fit(self.drive_in_flight_max),
            drive_unanswered_max: fit(self.drive_unanswered_max),
            in_flight_bytes_max: fit(self.in_flight_bytes_max),
            drain_timeout_us: fit(self.drain_timeout_us),
        }
    }

    /// A builder that was told all this.
    pub(crate) fn builder(&self, dir: &Path) -> EngineBuilder {
        let mut builder = Engine::builder(dir)
            .operator_inn(&self.operator_inn)
            .operator_zone_min(i16::try_from(self.operator_zone_min).unwrap_or(i16::MAX))
            .refuse(self.refuse.iter().cloned())
            .segment_len_bytes(u64::try_from(self.segment_len_bytes).unwrap_or_default())
            .free_bytes_min(u64::try_from(self.free_bytes_min).unwrap_or(u64::MAX))
            .log_keep_days(u32::try_from(self.log_keep_days).unwrap_or(u32::MAX))
            .archive_keep_years(u16::try_from(self.archive_keep_years).unwrap_or(u16::MAX))
            .required_cursors(self.required_cursors.iter().cloned())
            .append_deadline_us(u64::try_from(self.append_deadline_us).unwrap_or_default())
            .crypto_timeout_us(u64::try_from(self.crypto_timeout_us).unwrap_or_default())
            .limits(self.limits())
            .test_ping(test_ping(&self.test_ping).unwrap_or_default());
        if !self.mirror_dir.is_empty() {
            let degrade = self.mirror_failure == "degrade";
            let failure = if degrade { SinkFailure::Degrade } else { SinkFailure::Stop };
            builder = builder.mirror(&self.mirror_dir).mirror_failure(failure);
        }
        if self.io_threads > 0 {
            builder = builder.io_threads(u16::try_from(self.io_threads).unwrap_or(u16::MAX));
        }
        if self.workers > 0 {
            builder = builder.workers(u16::try_from(self.workers).unwrap_or(u16::MAX));
        }
        builder
    }
}

/// Faults of a file, in its order.
struct Faults<'a> {
    name: &'a str,
    text: &'a str,
    found: Vec<String>,
}

impl Faults<'_> {
    fn note(&mut self, at: usize, what: &str) {
        let before = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        let line = before.iter().filter(|byte| **byte == b'\n').count().saturating_add(1);
        self.found.push(format!("{}:{line}: {what}", self.name));
    }
}

fn read_table(above: &str, table: &DeTable<'_>, config: &mut Config, faults: &mut Faults<'_>) {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        let name =
            if above.is_empty() { key.get_ref().to_string() } else { format!("{above}.{}", key.get_ref()) };
        let within = format!("{name}.");
        if let Some(known) = KEYS.iter().find(|known| known.name == name) {
            if let Err(what) = known.field.read(value, config) {
                faults.note(value.span().start, &format!("{name} {what}"));
            }
        } else if KEYS.iter().any(|known| known.name.starts_with(&within)) {
            match value.get_ref().as_table() {
                Some(inner) => read_table(&name, inner, config, faults),
                None => faults.note(key.span().start, &format!("{name} is a table, write [{name}]")),
            }
        } else {
            faults.note(key.span().start, &unknown(above, &name));
        }
    }
}

/// Names what could have stood there.
fn unknown(above: &str, name: &str) -> String {
    let within = if above.is_empty() { String::new() } else { format!("{above}.") };
    let mut allowed: Vec<String> = Vec::new();
    for key in KEYS.iter().filter_map(|key| key.name.strip_prefix(&within)) {
        let one = key.split_once('.').map_or_else(|| key.to_owned(), |(table, _)| format!("[{table}]"));
        if allowed.last() != Some(&one) {
            allowed.push(one);
        }
    }
    format!("unknown key {name}; allowed here: {}", allowed.join(", "))
}

impl Field {
    fn value(&self, config: &Config) -> String {
        match self {
            Self::Integer { get, .. } => get(config).to_string(),
            Self::Text { get, .. } => toml_text(get(config)),
            Self::List { get, .. } => {
                let parts: Vec<_> = get(config).iter().map(|it| toml_text(it)).collect();
                format!("[{}]", parts.join(", "))
            }
        }
    }

    fn bounds(&self) -> String {
        match self {
            Self::Integer { min, max, step: 1, .. } => format!("{min}..={max}"),
            Self::Integer { min, max, step, .. } => format!("{min}..={max}, a multiple of {step}"),
            Self::Text { bounds, .. } | Self::List { bounds, .. } => (*bounds).to_owned(),
        }
    }

    fn copy(&self, from: &Config, to: &mut Config) {
        match self {
            Self::Integer { get, set, .. } => set(to, get(from)),
            Self::Text { get, set, .. } => set(to, get(from).to_owned()),
            Self::List { get, set, .. } => set(to, get(from).to_vec()),
        }
    }

    /// Takes the value of the file, or says what is wrong with it.
    fn read(&self, value: &Spanned<DeValue<'_>>, config: &mut Config) -> Result<(), String> {
        let value = value.get_ref();
        let wrong =
            |wanted: &str| format!("is {}, it has to be {wanted}: {}", value.type_str(), self.bounds());
        let out = |what: &str| format!("is out of bounds ({what}): {}", self.bounds());
        match self {
            Self::Integer { min, max, step, set, .. } => {
                let number = value.as_integer().ok_or_else(|| wrong("an integer"))?;
                let number = i64::from_str_radix(number.as_str(), number.radix())
                    .ok()
                    .filter(|it| (min..=max).contains(&it) && it.checked_rem(*step) == Some(0))
                    .ok_or_else(|| out(number.as_str()))?;
                set(config, number);
            }
            Self::Text { fits, set, .. } => {
                let text = value.as_str().ok_or_else(|| wrong("a string"))?;
                if !fits(text) {
                    return Err(out(text));
                }
                set(config, text.to_owned());
            }
            Self::List { fits, set, .. } => {
                let list = value.as_array().ok_or_else(|| wrong("an array of strings"))?;
                let mut texts = Vec::new();
                for item in list.iter() {
                    let text = item.get_ref().as_str().ok_or_else(|| wrong("an array of strings"))?;
                    if !fits(text) {
                        return Err(out(text));
                    }
                    texts.push(text.to_owned());
                }
                set(config, texts);
            }
        }
        Ok(())
    }
}

fn toml_text(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// What a test ping is told, from its word in the configuration.
fn test_ping(text: &str) -> Option<TestPing> {
    match text {
        "close" => Some(TestPing::Close),
        "echo" => Some(TestPing::Echo),
        hex => {
            let digits = hex.as_bytes();
            let fits = !digits.is_empty() && digits.len() <= 2_048 && hex.is_ascii();
            let (pairs, rest) = digits.as_chunks::<2>();
            let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
            let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
            bytes.filter(|_| fits && rest.is_empty()).map(|bytes| TestPing::Reply(bytes.into()))
        }
    }
}

/// Could a server listen there?
pub(crate) fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

fn put(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(arguments);
}

#[cfg(test)]
mod tests;
