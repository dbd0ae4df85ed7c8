//! E-mail from a running engine, against an SMTP server of its own.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a failed unwrap is a failed test"
)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{life, submit};
use ofd_engine::Engine;
use ofd_engine::channels::{Smtp, SmtpOptions, SmtpSecurity};
use ofd_engine::notify::{Subscription, SubscriptionCommand};

/// A letter as the server got it.
#[derive(Clone, Debug)]
struct Letter {
    from: String,
    to: String,
    text: String,
}

/// A server that takes letters, one connection each; `answer` says what it answers to a sign-in, a sender and a recipient, which it
/// counts.
struct Server {
    address: SocketAddr,
    letters: Arc<Mutex<Vec<Letter>>>,
    commands: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(answer: impl Fn(usize, &str) -> &'static str + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let letters: Arc<Mutex<Vec<Letter>>> = Arc::default();
        let commands: Arc<Mutex<Vec<String>>> = Arc::default();
        let (taken, seen) = (Arc::clone(&letters), Arc::clone(&commands));
        std::thread::spawn(move || {
            let mut recipients = 0;
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let mut out = stream.try_clone().unwrap();
                let mut say = |line: &str| out.write_all(format!("{line}\r\n").as_bytes()).is_ok();
                let mut lines = BufReader::new(stream).lines();
                let mut letter = Letter { from: String::new(), to: String::new(), text: String::new() };
                say("220 mail.example ESMTP");
                while let Some(Ok(line)) = lines.next() {
                    seen.lock().unwrap().push(line.clone());
                    let goes_on = match line.split([' ', ':']).next().unwrap_or_default() {
                        "EHLO" => say("250-mail.example\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN"),
                        "AUTH" => say(match answer(recipients, "AUTH") {
                            "250 ok" => "235 signed in",
                            said => said,
                        }),
                        "MAIL" => {
                            let said = answer(recipients, &line);
                            letter.from = line;
                            say(said)
                        }
                        "RCPT" => {
                            let said = answer(recipients, &line);
                            recipients += 1;
                            letter.to = line;
                            say(said)
                        }
                        "DATA" => {
                            say("354 go on");
                            let text = lines.by_ref().map(|it| it.unwrap()).take_while(|it| it != ".");
                            letter.text = text.collect::<Vec<_>>().join("\n");
                            taken.lock().unwrap().push(letter.clone());
                            say("250 taken")
                        }
                        "QUIT" => {
                            say("221 bye");
                            false
                        }
                        _ => say("250 ok"),
                    };
                    if !goes_on {
                        break;
                    }
                }
            }
        });
        Self { address, letters, commands }
    }

    fn letters(&self) -> Vec<Letter> {
        self.letters.lock().unwrap().clone()
    }

    fn options(&self) -> SmtpOptions {
        SmtpOptions {
            server: "127.0.0.1".into(),
            port: self.address.port(),
            security: SmtpSecurity::Plain,
            from: "Касса ОФД <kassa@ofd.example>".into(),
            ..SmtpOptions::default()
        }
    }
}

fn engine(dir: &std::path::Path, options: SmtpOptions) -> Engine {
    let builder = Engine::builder(dir).operator_inn("7700000190").segment_len_bytes(1 << 20);
    builder.channel_named("email", Arc::new(Smtp::new(options).unwrap())).open().unwrap()
}

fn subscribe(engine: &Engine, id: &str, to: &str, more: &str) {
    let text = format!(
        r#"{{"id":"{id}","scope":{{"all":true}},"kinds":["shift.opened","registration.changed"],"channel":"email","to":"{to}","by":"test"{more}}}"#
    );
    engine.subscribe(SubscriptionCommand::Set(Box::new(Subscription::from_json(&text).unwrap()))).unwrap();
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A header, unfolded.
fn header<'l>(letter: &'l Letter, name: &str) -> &'l str {
    let line = letter.text.lines().find(|it| it.to_lowercase().starts_with(&name.to_lowercase()));
    line.and_then(|it| it.split_once(':')).unwrap().1.trim()
}

// The whole way to a mailbox: who it is from, in Russian, with an id that stays.
#[test]
fn letters_reach_a_mail_server() {
    let server = Server::start(|_, _| "250 ok");
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    std::fs::write(&password, "word\n").unwrap();
    let data = dir.path().join("data");
    let options = SmtpOptions { user: "kassa".into(), password_file: password, ..server.options() };
    let engine = engine(&data, options);
    subscribe(&engine, "boss", "boss@shop.example", "");
    submit(&engine, &life(3, 0, 12));
    wait_until("two letters", || server.letters().len() >= 2);
    let letters = server.letters();
    assert!(
        letters
            .iter()
            .all(|it| it.to.contains("<boss@shop.example>") && it.from.contains("<kassa@ofd.example>"))
    );
    let ids: std::collections::BTreeSet<&str> = letters.iter().map(|it| header(it, "message-id")).collect();
    assert_eq!(ids.len(), letters.len());
    assert!(ids.iter().all(|it| it.ends_with("@ofd.example>") && it.len() == 30), "{ids:?}");
    assert!(letters[0].text.contains("text/plain; charset=utf-8"));
    assert!(header(&letters[0], "subject").to_lowercase().starts_with("=?utf-8?"));
    assert!(server.commands.lock().unwrap().iter().any(|it| it.starts_with("AUTH")));
    engine.shutdown().unwrap();
}

// A mailbox that is not there is given up at once; a server that is busy is asked again, and the rest of the world goes on.
#[test]
fn a_wrong_address_is_given_up_and_a_busy_server_asked_again() {
    let server = Server::start(|before, line| match line {
        line if line.contains("nobody") => "550 no such mailbox",
        _ if line.starts_with("RCPT") && before < 2 => "451 later",
        _ => "250 ok",
    });
    let dir = tempfile::tempdir().unwrap();
    let engine = engine(dir.path(), server.options());
    subscribe(&engine, "lost", "nobody@shop.example", "");
    subscribe(&engine, "odd", "no address at all", "");
    subscribe(&engine, "good", "somebody@shop.example", "");
    submit(&engine, &life(3, 0, 8));
    wait_until("all is settled", || engine.notice_status().waiting == 0 && !server.letters().is_empty());
    let counts = engine.notice_status().counts;
    assert!(counts.refused >= 4 && counts.retried >= 1 && counts.delivered >= 2, "{counts:?}");
    assert!(server.letters().iter().all(|it| it.to.contains("somebody")));
    engine.shutdown().unwrap();
}

// A sender or a password that the server does not like for a while is no reason to tell nobody anything.
#[test]
fn what_the_server_has_against_us_is_tried_again() {
    let refusals = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::start(move |_, line| {
        let said = |at: usize| match at {
            0 => Some("535 5.7.8 wrong password"),
            1 => Some("550 relaying of this sender denied"),
            2 => Some("550 5.7.1 relaying denied"),
            _ => None,
        };
        let at = refusals.load(std::sync::atomic::Ordering::SeqCst);
        let is_step = match at {
            0 => line == "AUTH",
            1 => line.starts_with("MAIL"),
            _ => line.starts_with("RCPT"),
        };
        let Some(said) = said(at).filter(|_| is_step) else { return "250 ok" };
        refusals.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        said
    });
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    std::fs::write(&password, "word\n").unwrap();
    let options = SmtpOptions { user: "kassa".into(), password_file: password, ..server.options() };
    let engine = engine(&dir.path().join("data"), options);
    subscribe(&engine, "boss", "boss@shop.example", "");
    submit(&engine, &life(3, 0, 2));
    wait_until("all is settled", || engine.notice_status().waiting == 0 && !server.letters().is_empty());
    let counts = engine.notice_status().counts;
    assert!(counts.refused == 0 && counts.retried == 3 && counts.delivered >= 1, "{counts:?}");
    engine.shutdown().unwrap();
}

// What cannot be used is told at the start and not at night.
#[test]
fn options_that_cannot_be_are_refused() {
    let good = SmtpOptions {
        server: "127.0.0.1".into(),
        port: 25,
        from: "a@b.example".into(),
        ..SmtpOptions::default()
    };
    assert!(Smtp::new(good.clone()).is_ok());
    for (options, why) in [
        (SmtpOptions { from: "nobody".into(), ..good.clone() }, "the sender"),
        (SmtpOptions { user: "x".into(), password_file: "/nowhere".into(), ..good.clone() }, "the password"),
        (SmtpOptions { authority_file: Some("/nowhere".into()), ..good }, "the authority"),
    ] {
        let error = Smtp::new(options).err().unwrap().to_string();
        assert!(error.contains(why), "{error}");
    }
}
