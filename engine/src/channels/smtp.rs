//! E-mail: each delivery is a letter, by SMTP.
//!
//! `Message-ID` is made of the id of the delivery, so that a mailbox can see that a letter came twice. A recipient whom the server
//! refuses for good (5xx) is not tried again; everything that is ours, the password, the sender or TLS, is (test:
//! `what_a_server_has_against_us_is_no_refusal_of_the_recipient`).
//!
//! Source: RFC 5321, RFC 5322; RFC 3463 (enhanced status codes).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lettre::Message;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{Certificate, SmtpConnection, Tls, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, MailParameter};

use super::letter::letter_of;
use super::machine::{Patience, Pool};
use crate::error::{Error, ErrorKind};
use crate::host::{Answering, Channel, Delivery, DeliveryOutcome};
use crate::secrets::read_secret;

/// Of a letter, below the time-out of a channel: what is taken later than that would be sent again.
const TIMEOUT: Duration = Duration::from_secs(25);
/// Of the connection to one address of the server, and of its greeting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of the end of the connection.
const BYE_TIMEOUT: Duration = Duration::from_secs(1);

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
        match self.hand_over(&message) {
            Ok(()) => DeliveryOutcome::Delivered,
            Err((step, Some(error))) => {
                let status = error.status().map(u16::from);
                // The text of the server may repeat the address, so only its code is told.
                tracing::warn!(?step, ?status, "a letter was not taken");
                let text = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                match status.filter(|_| error.is_permanent()) {
                    Some(code) => outcome_of(step, code, &text),
                    None => DeliveryOutcome::Retry,
                }
            }
            Err((_, None)) => DeliveryOutcome::Retry,
        }
    }

    /// One connection, one letter. An error with the step that it came in; none: there was nothing to sign in with, or no time.
    fn hand_over(&self, message: &Message) -> Result<(), (Step, Option<SmtpError>)> {
        let options = &self.options;
        let patience = Patience::of(TIMEOUT);
        let ours = |error| (Step::Ours, Some(error));
        let hello = ClientId::Domain(self.from.email.domain().to_owned());
        let wrapper = if let Tls::Wrapper(it) = &self.tls { Some(it) } else { None };
        let server = (options.server.as_str(), options.port);
        let mut connection =
            SmtpConnection::connect(server, Some(CONNECT_TIMEOUT), &hello, wrapper, None).map_err(ours)?;
        // Each step has what is left of the time, so that a thread is not left behind.
        let result = (|| {
            let wait = |connection: &mut SmtpConnection| {
                let left = patience.left().ok_or((Step::Ours, None))?;
                connection.set_timeout(Some(left)).map_err(|_| (Step::Ours, None))
            };
            if let Tls::Required(it) = &self.tls {
                wait(&mut connection)?;
                connection.starttls(it, &hello).map_err(ours)?;
            }
            if !options.user.is_empty() {
                let Ok(password) = read_secret(&options.password_file) else {
                    tracing::error!("alarm: the password of the mail server cannot be read");
                    return Err((Step::Ours, None));
                };
                let password = password.trim_end_matches(['\r', '\n']).to_owned();
                let credentials = Credentials::new(options.user.clone(), password);
                wait(&mut connection)?;
                connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).map_err(ours)?;
            }
            let envelope = message.envelope();
            let mut parameters = Vec::new();
            let mut addresses = envelope.from().into_iter().chain(envelope.to());
            if addresses.any(|it| !<_ as AsRef<str>>::as_ref(it).is_ascii()) {
                parameters.push(MailParameter::SmtpUtfEight);
            }
            wait(&mut connection)?;
            connection.command(Mail::new(envelope.from().cloned(), parameters)).map_err(ours)?;
            for to in envelope.to() {
                wait(&mut connection)?;
                let said = connection.command(Rcpt::new(to.clone(), Vec::new()));
                said.map_err(|error| (Step::Recipient, Some(error)))?;
            }
            wait(&mut connection)?;
            connection.command(Data).map_err(ours)?;
            wait(&mut connection)?;
            let said = connection.message(&message.formatted());
            said.map(drop).map_err(|error| (Step::Letter, Some(error)))
        })();
        let _ = connection.set_timeout(Some(BYE_TIMEOUT));
        connection.abort();
        result
    }
}

/// What a server may refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Ourselves: the connection, TLS, the password, the sender.
    Ours,
    /// The recipient.
    Recipient,
    /// The letter itself.
    Letter,
}

/// What a refusal for good (5xx) means. It is for good only where it is about the recipient or the letter; servers tell what they
/// have against us in these steps too: 530 and 535 ask for a sign-in, 554 and `5.7.x` stand for a policy, `5.1.7` and `5.1.8` for
/// the sender. What is not certain is tried again, and given up in its time.
fn outcome_of(step: Step, code: u16, text: &str) -> DeliveryOutcome {
    let detail = text.split_whitespace().find_map(detail_of);
    let text = text.to_lowercase();
    let is_final = match (step, detail) {
        (Step::Ours, _) => false,
        (Step::Recipient, Some((1, 7 | 8))) => false,
        (Step::Recipient, Some((1 | 2, _))) => true,
        (Step::Letter, Some((2 | 3 | 6, _))) => true,
        (_, Some(_)) => false,
        (Step::Recipient, None) => {
            matches!(code, 550 | 551 | 553 | 556)
                && !["relay", "sender", "authenti", "sign in", "log in"].iter().any(|it| text.contains(it))
        }
        (Step::Letter, None) => code == 552,
    };
    if is_final { DeliveryOutcome::Refused } else { DeliveryOutcome::Retry }
}

/// Subject and detail of an enhanced status code of the class 5, `5.1.1`.
fn detail_of(word: &str) -> Option<(u16, u16)> {
    let mut parts = word.trim_matches(|it: char| !it.is_ascii_digit()).split('.');
    let (class, subject, detail) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (class == "5" && parts.next().is_none()).then_some((subject, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Whoever is refused for good is told nothing of what happened; a password that is wrong for an hour must not do that to all.
    #[test]
    fn what_a_server_has_against_us_is_no_refusal_of_the_recipient() {
        use Step::{Letter, Ours, Recipient};
        for (step, code, text) in [
            (Ours, 554, "no service for you"),
            (Ours, 535, "5.7.8 wrong password"),
            (Ours, 550, "5.1.8 sender refused"),
            (Recipient, 530, "5.7.0 sign in first"),
            (Recipient, 550, "relaying denied"),
            (Recipient, 550, "5.7.1 unable to relay"),
            (Recipient, 550, "5.1.8 Sender address rejected: domain not found"),
            (Recipient, 553, "sorry, that sender is not allowed"),
            (Recipient, 550, "Authentication required"),
            (Recipient, 554, "5.7.1 client host rejected"),
            (Recipient, 554, "transaction failed"),
            (Recipient, 552, "too many recipients"),
            (Recipient, 503, "5.5.1 out of order"),
            (Letter, 550, "5.7.1 looks like spam"),
            (Letter, 554, "rejected"),
        ] {
            assert_eq!(outcome_of(step, code, text), DeliveryOutcome::Retry, "{step:?} {code} {text}");
        }
        for (step, code, text) in [
            (Recipient, 550, "no such mailbox"),
            (Recipient, 550, "5.1.1 <a@b.example>: user unknown"),
            (Recipient, 554, "5.1.1 user unknown"),
            (Recipient, 553, "mailbox name not allowed"),
            (Recipient, 552, "5.2.2 mailbox full"),
            (Letter, 552, "too large"),
            (Letter, 554, "5.6.0 not well-formed"),
        ] {
            assert_eq!(outcome_of(step, code, text), DeliveryOutcome::Refused, "{step:?} {code} {text}");
        }
    }
}
