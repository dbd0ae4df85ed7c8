//! The configuration of `ofd serve`: TOML, every key in one table.
//!
//! The table [`KEYS`] is all there is: it says what a key is called, its unit, default, bounds and whether a
//! running server takes a new value on SIGHUP; it reads the file, checks it, and prints the annotated default.
//! So text and code cannot drift apart. Defaults are those of [`Config::default`].

mod keys;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ofd_engine::channels::{Smtp, SmtpOptions, SmtpSecurity, Webhook, WebhookOptions};
use ofd_engine::host::TaxService;
use ofd_engine::tax::{HttpTaxOptions, HttpTaxService, TaxOptions};
use ofd_engine::{ArchivePlace, Engine, EngineBuilder, Limits, SinkFailure, TestPing};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::failure::{Exit, Failure};
use keys::{Field, KEYS};

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
    pub(crate) tls_listen: String,
    pub(crate) tls_certificate_file: String,
    pub(crate) tls_key_file: String,
    pub(crate) log_keep_days: i64,
    pub(crate) required_cursors: Vec<String>,
    pub(crate) archive_keep_years: i64,
    pub(crate) archive_url: String,
    pub(crate) archive_endpoint: String,
    pub(crate) archive_region: String,
    pub(crate) archive_keys_file: String,
    pub(crate) compact_every_s: i64,
    pub(crate) merge_every_s: i64,
    pub(crate) scrub_every_days: i64,
    pub(crate) scrub_rate_bytes_per_s: i64,
    pub(crate) retain_every_s: i64,
    pub(crate) notify_deadline_s: i64,
    pub(crate) webhook_secret_file: String,
    pub(crate) webhook_targets: String,
    pub(crate) webhook_authority_file: String,
    pub(crate) smtp_server: String,
    pub(crate) smtp_security: String,
    pub(crate) smtp_from: String,
    pub(crate) smtp_user: String,
    pub(crate) smtp_password_file: String,
    pub(crate) smtp_authority_file: String,
    pub(crate) tax_url: String,
    pub(crate) tax_authority_file: String,
    pub(crate) tax_certificate_file: String,
    pub(crate) tax_key_file: String,
    pub(crate) tax_batch_documents: i64,
    pub(crate) tax_batch_bytes: i64,
    pub(crate) tax_batches_in_flight: i64,
    pub(crate) tax_window_documents: i64,
    pub(crate) tax_back_off_max_s: i64,
    pub(crate) tax_poll_ms: i64,
    pub(crate) tax_verdict_timeout_s: i64,
    pub(crate) tax_call_timeout_s: i64,
    pub(crate) tax_unsent_alarm_s: i64,
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
            tls_listen: String::new(),
            tls_certificate_file: String::new(),
            tls_key_file: String::new(),
            log_keep_days: 35,
            required_cursors: Vec::new(),
            archive_keep_years: 5,
            archive_url: String::new(),
            archive_endpoint: String::new(),
            archive_region: String::new(),
            archive_keys_file: String::new(),
            compact_every_s: 0,
            merge_every_s: 0,
            scrub_every_days: 30,
            scrub_rate_bytes_per_s: 0,
            retain_every_s: 0,
            notify_deadline_s: 259_200,
            webhook_secret_file: String::new(),
            webhook_targets: "public".to_owned(),
            webhook_authority_file: String::new(),
            smtp_server: String::new(),
            smtp_security: "tls".to_owned(),
            smtp_from: String::new(),
            smtp_user: String::new(),
            smtp_password_file: String::new(),
            smtp_authority_file: String::new(),
            tax_url: String::new(),
            tax_authority_file: String::new(),
            tax_certificate_file: String::new(),
            tax_key_file: String::new(),
            tax_batch_documents: 500,
            tax_batch_bytes: 4 << 20,
            tax_batches_in_flight: 4,
            tax_window_documents: 262_144,
            tax_back_off_max_s: 120,
            tax_poll_ms: 1_000,
            tax_verdict_timeout_s: 3_600,
            tax_call_timeout_s: 60,
            tax_unsent_alarm_s: 3_600,
            trace_filter: "info".to_owned(),
        }
    }
}

impl Config {
    /// That of the file, or the defaults.
    pub(crate) fn or_default(path: Option<&Path>) -> Result<Self, Failure> {
        path.map_or_else(|| Ok(Self::default()), Self::load)
    }

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

    /// The delivery channels that were asked for, by name.
    pub(crate) fn channels(&self, mut builder: EngineBuilder) -> Result<EngineBuilder, Failure> {
        let file = |path: &str| (!path.is_empty()).then(|| path.into());
        if !self.webhook_secret_file.is_empty() {
            let inner = self.webhook_targets == "inner";
            let webhook = Webhook::new(WebhookOptions {
                secret_file: self.webhook_secret_file.clone().into(),
                inner_networks: inner,
                plain_http: inner,
                authority_file: file(&self.webhook_authority_file),
                ..WebhookOptions::default()
            })?;
            builder = builder.channel_named("webhook", Arc::new(webhook));
        }
        if let Some((server, port)) = self.smtp_server.rsplit_once(':') {
            let smtp = Smtp::new(SmtpOptions {
                server: server.to_owned(),
                port: port.parse().unwrap_or_default(),
                security: match &*self.smtp_security {
                    "plain" => SmtpSecurity::Plain,
                    "starttls" => SmtpSecurity::StartTls,
                    _ => SmtpSecurity::Tls,
                },
                from: self.smtp_from.clone(),
                user: self.smtp_user.clone(),
                password_file: self.smtp_password_file.clone().into(),
                authority_file: file(&self.smtp_authority_file),
                ..SmtpOptions::default()
            })?;
            builder = builder.channel_named("email", Arc::new(smtp));
        }
        Ok(builder)
    }

    /// The leg to the tax service.
    fn tax_options(&self) -> TaxOptions {
        let size = |value: i64| usize::try_from(value).unwrap_or_default();
        let us = |value: i64, unit: u64| u64::try_from(value).unwrap_or_default().saturating_mul(unit);
        TaxOptions {
            batch_documents: size(self.tax_batch_documents),
            batch_bytes: size(self.tax_batch_bytes),
            batches_in_flight: size(self.tax_batches_in_flight),
            window_documents: size(self.tax_window_documents),
            back_off_max_us: us(self.tax_back_off_max_s, 1_000_000),
            poll_us: us(self.tax_poll_ms, 1_000),
            verdict_timeout_us: us(self.tax_verdict_timeout_s, 1_000_000),
            call_timeout_us: us(self.tax_call_timeout_s, 1_000_000),
            unsent_alarm_us: us(self.tax_unsent_alarm_s, 1_000_000),
            ..TaxOptions::default()
        }
    }

    /// The tax service, if there is one.
    pub(crate) fn tax_service(&self) -> Result<Option<Arc<dyn TaxService>>, Failure> {
        if self.tax_url.is_empty() {
            return Ok(None);
        }
        if self.tax_certificate_file.is_empty() != self.tax_key_file.is_empty() {
            let text = "tax.certificate_file and tax.key_file are given together or not at all";
            return Err(Failure::new(Exit::Usage, text));
        }
        let options = self.tax_options();
        // Its own time-out comes first, so that no thread is left behind at a call that nobody waits for.
        let timeout =
            Duration::from_micros(options.call_timeout_us).saturating_sub(Duration::from_millis(500));
        let file = |path: &str| (!path.is_empty()).then(|| path.into());
        let service = HttpTaxService::open(&HttpTaxOptions {
            url: self.tax_url.clone(),
            calls: options.batches_in_flight,
            timeout,
            authority_file: file(&self.tax_authority_file),
            identity_files: file(&self.tax_certificate_file).zip(file(&self.tax_key_file)),
        })?;
        Ok(Some(Arc::new(service)))
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
            .notice_deadline_us(
                u64::try_from(self.notify_deadline_s.saturating_mul(1_000_000)).unwrap_or_default(),
            )
            .limits(self.limits())
            .tax_options(self.tax_options())
            .test_ping(test_ping(&self.test_ping).unwrap_or_default());
        if !self.mirror_dir.is_empty() {
            let degrade = self.mirror_failure == "degrade";
            let failure = if degrade { SinkFailure::Degrade } else { SinkFailure::Stop };
            builder = builder.mirror(&self.mirror_dir).mirror_failure(failure);
        }
        if !self.archive_url.is_empty() {
            let told = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            builder = builder.archive_place(ArchivePlace {
                url: self.archive_url.clone(),
                endpoint: told(&self.archive_endpoint),
                region: told(&self.archive_region),
                keys_file: told(&self.archive_keys_file),
            });
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
