//! Who takes the documents of an import: the server that owns the directory, or an engine of this process.

use std::collections::VecDeque;
use std::time::Duration;

use ofd_engine::control::{ControlClient, Request};
use ofd_engine::registers::LaneSeed;
use ofd_engine::{Engine, Imported, Outcome, Tickets, Unanswered};

use super::signoff::SignOff;
use super::source::Document;
use crate::data::DataDir;
use crate::failure::{Failure, talk};

/// Documents of a batch.
const BATCH: usize = 2_048;
/// Documents of a request to the server: its line has a longest length.
const REQUEST: usize = 256;
/// Bytes of messages of a request; as hex they are twice that.
const REQUEST_BYTES: usize = 256 << 10;
/// Batches on their way into an engine of our own.
const ON_THEIR_WAY: usize = 4;
/// How often documents that there was no room for are offered.
const ATTEMPTS: u32 = 12;

enum Who {
    Here(Box<Engine>),
    There(ControlClient),
}

struct Sent {
    documents: Vec<Document>,
    tickets: Tickets,
}

/// Takes documents in batches, in their order.
pub(crate) struct Taker {
    who: Who,
    filling: Vec<Document>,
    filling_bytes: usize,
    on_their_way: VecDeque<Sent>,
    data: DataDir,
}

impl Taker {
    pub(crate) fn open(data: &DataDir) -> Result<Self, Failure> {
        let who = match data.server()? {
            Some(client) => Who::There(client),
            // One port: what it is given stays in order.
            None => Who::Here(Box::new(Engine::builder(&data.dir).io_threads(1).open()?)),
        };
        let (filling, on_their_way) = (Vec::new(), VecDeque::new());
        Ok(Self { who, filling, filling_bytes: 0, on_their_way, data: data.clone() })
    }

    /// Tells where lanes begin; how many seeds were written down, and how many were nothing new.
    pub(crate) fn seed(&mut self, seeds: &[LaneSeed]) -> Result<(u64, u64), Failure> {
        let (mut taken, mut known) = (0, 0);
        match &mut self.who {
            Who::Here(engine) => {
                let seeded = engine.seed_lanes(seeds)?;
                (taken, known) = (seeded.taken, seeded.known);
            }
            Who::There(client) => {
                for seeds in seeds.chunks(REQUEST) {
                    let mut said = serde_json::Value::Null;
                    self.data.ask(client, &Request::SeedLanes(seeds.to_vec()), &mut |line| {
                        said = serde_json::from_str(line).unwrap_or_default();
                    })?;
                    let count =
                        |key: &str| said.get(key).and_then(serde_json::Value::as_u64).unwrap_or_default();
                    taken += count("taken");
                    known += count("known");
                }
            }
        }
        Ok((taken, known))
    }

    pub(crate) fn take(&mut self, document: Document, signoff: &mut SignOff) -> Result<(), Failure> {
        let of =
            |it: &Imported| it.message.len().saturating_add(it.plain.as_ref().map_or(0, bytes::Bytes::len));
        self.filling_bytes = self.filling_bytes.saturating_add(of(&document.imported));
        self.filling.push(document);
        let full = match self.who {
            Who::Here(_) => self.filling.len() >= BATCH,
            Who::There(_) => self.filling.len() >= REQUEST || self.filling_bytes >= REQUEST_BYTES,
        };
        if full { self.send(signoff) } else { Ok(()) }
    }

    fn send(&mut self, signoff: &mut SignOff) -> Result<(), Failure> {
        let documents = std::mem::take(&mut self.filling);
        self.filling_bytes = 0;
        if documents.is_empty() {
            return Ok(());
        }
        match &mut self.who {
            Who::Here(engine) => {
                let tickets = engine.import_batch(imported(&documents))?;
                self.on_their_way.push_back(Sent { documents, tickets });
                while self.on_their_way.len() > ON_THEIR_WAY {
                    self.settle_first(signoff)?;
                }
                Ok(())
            }
            Who::There(client) => {
                let left = there(client, &self.data, documents, signoff)?;
                offer_again(left, signoff, |documents, signoff| there(client, &self.data, documents, signoff))
            }
        }
    }

    fn settle_first(&mut self, signoff: &mut SignOff) -> Result<(), Failure> {
        let (Who::Here(engine), Some(Sent { documents, tickets })) =
            (&self.who, self.on_their_way.pop_front())
        else {
            return Ok(());
        };
        let left = settle(documents, tickets.wait(), signoff);
        offer_again(left, signoff, |documents, signoff| {
            let outcomes = engine.import_batch(imported(&documents))?.wait();
            Ok(settle(documents, outcomes, signoff))
        })
    }

    /// Everything that is inside, to its end.
    pub(crate) fn end(mut self, signoff: &mut SignOff) -> Result<(), Failure> {
        let mut ended = self.send(signoff);
        while !self.on_their_way.is_empty() {
            ended = ended.and(self.settle_first(signoff));
        }
        if let Who::Here(engine) = self.who {
            engine.shutdown()?;
        }
        ended
    }
}

fn imported(documents: &[Document]) -> Vec<Imported> {
    documents.iter().map(|it| it.imported.clone()).collect()
}

/// What was not taken.
struct Left {
    document: Document,
    why: String,
}

fn settle(documents: Vec<Document>, outcomes: Vec<Outcome>, signoff: &mut SignOff) -> Vec<Left> {
    let mut left = Vec::new();
    for (document, outcome) in documents.into_iter().zip(outcomes) {
        match outcome {
            Outcome::Kept { fresh, .. } => signoff.kept(&document.facts, fresh),
            Outcome::Unanswered(why) => left.push(Left { document, why: why.to_string() }),
            // Nobody answers an import.
            Outcome::Answered { .. } => signoff.kept(&document.facts, true),
        }
    }
    left
}

/// Offers what there was no room for again, a little later each time; the rest is told.
fn offer_again(
    mut left: Vec<Left>,
    signoff: &mut SignOff,
    mut offer: impl FnMut(Vec<Document>, &mut SignOff) -> Result<Vec<Left>, Failure>,
) -> Result<(), Failure> {
    let mut pause = Duration::from_millis(5);
    for _ in 0..ATTEMPTS {
        let (busy, never): (Vec<Left>, Vec<Left>) =
            left.into_iter().partition(|it| it.why == Unanswered::Overloaded.to_string());
        for it in never {
            signoff.not_taken += 1;
            talk(format_args!("{}: {}", it.document.place, it.why));
        }
        if busy.is_empty() {
            return Ok(());
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_secs(1));
        left = offer(busy.into_iter().map(|it| it.document).collect(), signoff)?;
    }
    for it in left {
        signoff.not_taken += 1;
        talk(format_args!("{}: {}", it.document.place, it.why));
    }
    Ok(())
}

/// Has the server take them.
fn there(
    client: &mut ControlClient,
    data: &DataDir,
    documents: Vec<Document>,
    signoff: &mut SignOff,
) -> Result<Vec<Left>, Failure> {
    let request = Request::Import { documents: imported(&documents) };
    let mut words = Vec::new();
    data.ask(client, &request, &mut |line| words.push(line.to_owned()))?;
    let mut left = Vec::new();
    let mut words = words.into_iter();
    for document in documents {
        match words.next().as_deref() {
            Some("true") => signoff.kept(&document.facts, true),
            Some("false") => signoff.kept(&document.facts, false),
            other => {
                let why = other.unwrap_or("the server said nothing of it").trim_matches('"').to_owned();
                left.push(Left { document, why });
            }
        }
    }
    Ok(left)
}
