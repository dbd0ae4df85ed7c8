//! The keys of the configuration, in one table: what is not here is not there.

use std::path::Path;

use ofd_engine::codec::rules::rules;
use ofd_engine::{CURSOR_NAME_LEN_MAX, PORTS_MAX, WORKERS_MAX};

use super::{Config, is_address, test_ping};

/// One key.
pub(crate) struct Key {
    /// With its table, as in `log.segment_len_bytes`.
    pub(crate) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) about: &'static str,
    /// A running server takes a new value on SIGHUP.
    pub(super) reloadable: bool,
    pub(super) field: Field,
}

/// Where a value lies and what it may be.
pub(super) enum Field {
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
        name: "tls.listen",
        unit: "HOST:PORT",
        about: "Where registers and gateways are accepted under TLS, beside `listen`; empty = nowhere.",
        reloadable: false,
        field: Field::Text {
            bounds: "nothing, or a host, a colon, a port; port 0 = any free one",
            fits: |text| text.is_empty() || is_address(text),
            get: |it| &it.tls_listen,
            set: |it, value| it.tls_listen = value,
        },
    },
    Key {
        name: "tls.certificate_file",
        unit: "path",
        about: "PEM of the certificate chain, the listener's own first.",
        reloadable: false,
        field: Field::Text {
            bounds: "a path; needed with tls.listen",
            fits: |_| true,
            get: |it| &it.tls_certificate_file,
            set: |it, value| it.tls_certificate_file = value,
        },
    },
    Key {
        name: "tls.key_file",
        unit: "path",
        about: "PEM of its private key.",
        reloadable: false,
        field: Field::Text {
            bounds: "a path; needed with tls.listen",
            fits: |_| true,
            get: |it| &it.tls_key_file,
            set: |it, value| it.tls_key_file = value,
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
        name: "merge.every_s",
        unit: "seconds",
        about: "Pause between two looks at which files of the archive can be merged. 0 = only on `ofd merge`.",
        reloadable: true,
        field: Field::Integer {
            min: 0,
            max: 2_592_000,
            step: 1,
            get: |it| it.merge_every_s,
            set: |it, value| it.merge_every_s = value,
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
        name: "notify.deadline_s",
        unit: "seconds",
        about: "How old a notice may become before it is given up, if it was tried 12 times at least.",
        reloadable: false,
        field: Field::Integer {
            min: 60,
            max: 2_592_000,
            step: 1,
            get: |it| it.notify_deadline_s,
            set: |it, value| it.notify_deadline_s = value,
        },
    },
    Key {
        name: "notify.webhook_secret_file",
        unit: "path",
        about: "Secrets that sign webhooks, a line each: key id, a space, the secret; the newest first. Read for each delivery;\n\
                empty = there is no channel `webhook`.",
        reloadable: false,
        field: Field::Text {
            bounds: "nothing, or a path",
            fits: |_| true,
            get: |it| &it.webhook_secret_file,
            set: |it, value| it.webhook_secret_file = value,
        },
    },
    Key {
        name: "notify.webhook_targets",
        unit: "word",
        about: "Where webhooks may go: `public` = https to public addresses only; `inner` = also http and inner networks.",
        reloadable: false,
        field: Field::Text {
            bounds: "public or inner",
            fits: |text| matches!(text, "public" | "inner"),
            get: |it| &it.webhook_targets,
            set: |it, value| it.webhook_targets = value,
        },
    },
    Key {
        name: "notify.webhook_authority_file",
        unit: "path",
        about: "PEM of the authority that certifies receivers; empty = those that browsers trust.",
        reloadable: false,
        field: Field::Text {
            bounds: "nothing, or a path",
            fits: |_| true,
            get: |it| &it.webhook_authority_file,
            set: |it, value| it.webhook_authority_file = value,
        },
    },
    Key {
        name: "notify.smtp_server",
        unit: "HOST:PORT",
        about: "The mail server; empty = there is no channel `email`.",
        reloadable: false,
        field: Field::Text {
            bounds: "nothing, or a host, a colon, a port",
            fits: |text| text.is_empty() || is_address(text),
            get: |it| &it.smtp_server,
            set: |it, value| it.smtp_server = value,
        },
    },
    Key {
        name: "notify.smtp_security",
        unit: "word",
        about: "`tls` from the first byte (465), `starttls` (587), or `plain` for a server on the same machine.",
        reloadable: false,
        field: Field::Text {
            bounds: "tls, starttls or plain",
            fits: |text| matches!(text, "tls" | "starttls" | "plain"),
            get: |it| &it.smtp_security,
            set: |it, value| it.smtp_security = value,
        },
    },
    Key {
        name: "notify.smtp_from",
        unit: "address",
        about: "Whom letters are from, as in `Касса <kassa@ofd.example>`.",
        reloadable: false,
        field: Field::Text {
            bounds: "an address; needed with notify.smtp_server",
            fits: |_| true,
            get: |it| &it.smtp_from,
            set: |it, value| it.smtp_from = value,
        },
    },
    Key {
        name: "notify.smtp_user",
        unit: "name",
        about: "Who signs in at the mail server; empty = nobody does.",
        reloadable: false,
        field: Field::Text {
            bounds: "nothing, or a name",
            fits: |_| true,
            get: |it| &it.smtp_user,
            set: |it, value| it.smtp_user = value,
        },
    },
    Key {
        name: "notify.smtp_password_file",
        unit: "path",
        about: "The file with his password, read for each letter.",
        reloadable: false,
        field: Field::Text {
            bounds: "a path; needed with notify.smtp_user",
            fits: |_| true,
            get: |it| &it.smtp_password_file,
            set: |it, value| it.smtp_password_file = value,
        },
    },
    Key {
        name: "notify.smtp_authority_file",
        unit: "path",
        about: "PEM of the authority that certifies the mail server; empty = those that browsers trust.",
        reloadable: false,
        field: Field::Text {
            bounds: "nothing, or a path",
            fits: |_| true,
            get: |it| &it.smtp_authority_file,
            set: |it, value| it.smtp_authority_file = value,
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
