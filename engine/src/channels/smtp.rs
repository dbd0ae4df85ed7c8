//! E-mail: each delivery is a letter, by SMTP.
//!
//! `Message-ID` is made of the id of the delivery, so that a mailbox can see that a letter came twice. A recipient whom the server
//! refuses for good (5xx) is not tried again; everything that is ours, the password or TLS, is.
//!
//! Source: RFC 5321, RFC 5322.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Message, SmtpTransport, Transport};

use super::letter::letter_of;
use super::machine::{Pool, read_secret};
use crate::error::{Error, ErrorKind};
use crate::host::{Answering, Channel, Delivery, DeliveryOutcome};

/// Of one command of the server; a whole letter takes a few.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How the connection to the server is kept from others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// TLS from the first byte (port 465).
    #[default]
    Tls,
    /// TLS behind STARTTLS, and nothing without it (port 587).
    StartTls,
    /// Not at all: for a server on the same machine.
    Plain,
}

/// How letters are sent.
#[derive(Clone, Debug, Default)]
pub struct SmtpOptions {
    /// Name of the server.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// How it is reached.
    pub security: SmtpSecurity,
    /// Whom letters are from: `Касса <kassa@ofd.example>`.
    pub from: String,
    /// Who signs in; empty: nobody does.
    pub user: String,
    /// The file with his password.
    pub password_file: PathBuf,
    /// Letters at once, 1..=32; 0 = 4.
    pub threads: usize,
    /// PEM of the authority that certifies the server; none: those that browsers trust.
    pub authority_file: Option<PathBuf>,
}

/// The channel.
pub struct Smtp {
    pool: Pool,
    sender: Arc<Sender>,
}

struct Sender {
    options: SmtpOptions,
    from: Mailbox,
    tls: Tls,
}

impl Smtp {
    /// # Errors
    /// `Fix` when the sender is no address, or password or authority cannot be read; of the system.
    pub fn new(options: SmtpOptions) -> Result<Self, Error> {
        let fix = |what: &str, error: &dyn std::fmt::Display| {
            Error::new(ErrorKind::Fix, format!("e-mail: {what}: {error}"))
        };
        let from = options.from.parse::<Mailbox>().map_err(|error| fix("the sender", &error))?;
        if !options.user.is_empty() {
            read_secret(&options.password_file).map_err(|error| fix("the password", &error))?;
        }
        let mut parameters = TlsParameters::builder(options.server.clone());
        if let Some(path) = &options.authority_file {
            let pem = read_secret(path).map_err(|error| fix("the authority", &error))?;
            let authority =
                Certificate::from_pem(pem.as_bytes()).map_err(|error| fix("the authority", &error))?;
            parameters = parameters.add_root_certificate(authority);
        }
        let parameters = parameters.build().map_err(|error| fix("TLS", &error))?;
        let tls = match options.security {
            SmtpSecurity::Tls => Tls::Wrapper(parameters),
            SmtpSecurity::StartTls => Tls::Required(parameters),
            SmtpSecurity::Plain => Tls::None,
        };
        let threads = if options.threads == 0 { 4 } else { options.threads.min(32) };
        let pool = Pool::new("ofd-smtp", threads).map_err(|error| fix("threads", &error))?;
        Ok(Self { pool, sender: Arc::new(Sender { options, from, tls }) })
    }
}

impl Channel for Smtp {
    fn deliver(&self, delivery: Delivery) -> Answering<DeliveryOutcome> {
        let sender = Arc::clone(&self.sender);
        self.pool.run(move || sender.send(&delivery))
    }

    fn at_once_max(&self) -> usize {
        self.pool.threads()
    }
}

impl Sender {
    fn send(&self, delivery: &Delivery) -> DeliveryOutcome {
        // What cannot be written will not be written the next time either.
        let Ok(to) = delivery.to.parse::<Mailbox>() else { return DeliveryOutcome::Refused };
        let Some(letter) = letter_of(&delivery.body) else { return DeliveryOutcome::Refused };
        let domain = self.from.email.domain();
        let message = Message::builder()
            .message_id(Some(format!("<{:016x}@{domain}>", delivery.id)))
            .from(self.from.clone())
            .to(to)
            .subject(letter.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(letter.text);
        let Ok(message) = message else { return DeliveryOutcome::Refused };
        let Some(transport) = self.transport() else { return DeliveryOutcome::Retry };
        match transport.send(&message) {
            Ok(_) => DeliveryOutcome::Delivered,
            Err(error) => {
                let status = error.status().map(u16::from);
                // The text of the server may repeat the address, so only its code is told.
                tracing::warn!(?status, "a letter was not taken");
                outcome_of(error.is_permanent(), status)
            }
        }
    }

    fn transport(&self) -> Option<SmtpTransport> {
        let options = &self.options;
        let domain = ClientId::Domain(self.from.email.domain().to_owned());
        let mut builder = SmtpTransport::builder_dangerous(&options.server)
            .port(options.port)
            .tls(self.tls.clone())
            .timeout(Some(TIMEOUT))
            .hello_name(domain);
        if !options.user.is_empty() {
            let Ok(password) = read_secret(&options.password_file) else {
                tracing::error!("alarm: the password of the mail server cannot be read");
                return None;
            };
            let password = password.trim_end_matches(['\r', '\n']).to_owned();
            builder = builder.credentials(Credentials::new(options.user.clone(), password));
        }
        Some(builder.build())
    }
}

/// A refusal for good is about the recipient or the letter, unless its code is about us: 530, 534, 535 and 538 ask for
/// another sign-in, 554 may refuse the connection itself.
fn outcome_of(is_permanent: bool, status: Option<u16>) -> DeliveryOutcome {
    match status {
        Some(530 | 534 | 535 | 538 | 554) => DeliveryOutcome::Retry,
        Some(500..=599) if is_permanent => DeliveryOutcome::Refused,
        _ => DeliveryOutcome::Retry,
    }
}
