//! What was promised so far, and whether it is kept. It knows every message that was sent, every record that a sync
//! covered and every answer that left, and compares them; it knows nothing of how the engine comes to them.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ofd_engine::storage::envelope::Envelope;

use crate::watch::Stored;
use crate::wire::{self, Answer, Key};

/// A broken promise, by the name of the invariant.
pub type Broken = String;

/// What a message is, as the one who made it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A document: stored once and answered.
    Good,
    /// The crypto module calls it forged: kept, answered 11.
    Forged,
    /// Well-framed and no document: kept, never answered.
    Misfit,
}

/// What the log holds of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub lsn: u64,
    pub code: u8,
    pub operator_time: u32,
    pub variant: u8,
}

/// One document, in all the envelopes it was sent in.
pub struct Doc {
    pub key: Key,
    pub sort: Sort,
    pub messages: Vec<Rc<[u8]>>,
    /// Records by LSN that a sync has covered, or that recovery has shown.
    pub kept: Vec<Kept>,
    pub answered: Option<Answer>,
    /// Everything of its drive that was answered before it was first sent lies at or below this LSN.
    pub behind: Option<u64>,
}

/// Records that are no documents, and documents, by LSN.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    kind: u8,
    doc: Option<usize>,
    stored: Stored,
}

#[derive(Default)]
pub struct Oracle {
    pub docs: Vec<Doc>,
    by_key: BTreeMap<Key, Vec<usize>>,
    /// What is durable: a sync has covered it, or recovery has shown it.
    records: BTreeMap<u64, Record>,
    /// LSNs of documents among them.
    pub documents: BTreeSet<u64>,
    /// Records that are durable since somebody looked last.
    pub fresh: Vec<Stored>,
    /// Greatest answered LSN of each drive.
    answered_upto: BTreeMap<[u8; 16], u64>,
    /// Tell what happens, for who replays a seed.
    tell: bool,
    pub answers: u64,
    pub again: u64,
    pub refused: u64,
}

const DOCUMENT: u8 = 1;
const QUARANTINE: u8 = 2;

impl Oracle {
    /// `tell`: every step goes to stderr.
    pub fn new(tell: bool) -> Self {
        Self { tell, ..Self::default() }
    }

    /// Documents with an electronic address in them.
    pub fn carried(&self) -> u64 {
        let carries = |doc: &&Doc| doc.messages.iter().any(|it| it.windows(10).any(|it| it == b"@m.example"));
        self.docs.iter().filter(carries).count() as u64
    }

    /// A new document, about to be sent for the first time.
    pub fn make(&mut self, message: Vec<u8>, sort: Sort) -> usize {
        let (key, at) = (wire::key(&message), self.docs.len());
        self.docs.push(Doc {
            key,
            sort,
            messages: vec![message.into()],
            kept: Vec::new(),
            answered: None,
            behind: None,
        });
        self.by_key.entry(key).or_default().push(at);
        at
    }

    /// It goes out now.
    pub fn sent(&mut self, doc: usize) {
        let upto = self.answered_upto.get(&self.docs[doc].key.0).copied().unwrap_or_default();
        self.say(|| format!("sent {doc} {:?}", name(self.docs[doc].key)));
        self.docs[doc].behind.get_or_insert(upto);
    }

    /// Tells a step to who replays a seed.
    pub fn say(&self, line: impl FnOnce() -> String) {
        if self.tell {
            eprintln!("{}", line());
        }
    }

    pub fn durable(&self) -> u64 {
        self.records.last_key_value().map_or(0, |(lsn, _)| *lsn)
    }

    fn find(&self, stored: &Stored) -> Result<(usize, Kept), Broken> {
        let lsn = stored.lsn;
        let envelope =
            Envelope::decode(&stored.payload).map_err(|error| format!("I3: record {lsn}: {error}"))?;
        let key = (envelope.drive, envelope.number);
        let sent = |at: &usize| {
            let doc = &self.docs[*at];
            let right = match stored.kind {
                DOCUMENT => doc.sort == Sort::Good && wire::plain(&doc.messages[0]) == envelope.plain,
                _ => doc.sort != Sort::Good,
            };
            right
                && doc
                    .messages
                    .iter()
                    .any(|it| it[30..] == *envelope.container && it[..30] == envelope.session)
        };
        let Some(at) = self.by_key.get(&key).into_iter().flatten().find(|at| sent(at)) else {
            return Err(format!("I3: record {lsn}, kind {}, holds what nobody sent", stored.kind));
        };
        let Envelope { operator_time, variant, .. } = envelope;
        Ok((*at, Kept { lsn, code: stored.code, operator_time, variant }))
    }

    /// A sync has covered this record.
    pub fn synced(&mut self, stored: Stored) -> Result<(), Broken> {
        let lsn = stored.lsn;
        if let Some(known) = self.records.get(&lsn) {
            // Written again into another segment: the same record, or one LSN stands for two.
            return if known.stored == stored { Ok(()) } else { Err(format!("I4: LSN {lsn} is used twice")) };
        }
        let mut record = Record { kind: stored.kind, doc: None, stored };
        if matches!(record.kind, DOCUMENT | QUARANTINE) {
            let (doc, kept) = self.find(&record.stored)?;
            self.say(|| format!("durable {doc} {:?} {kept:?}", name(self.docs[doc].key)));
            if let Some(before) = self.docs[doc].kept.first() {
                let Doc { key, sort, .. } = &self.docs[doc];
                return Err(format!("I5: {sort:?} {key:?} is stored as {before:?} and as {kept:?}"));
            }
            self.docs[doc].kept.push(kept);
            record.doc = Some(doc);
            if record.kind == DOCUMENT {
                self.documents.insert(lsn);
            }
        }
        self.fresh.push(record.stored.clone());
        self.records.insert(lsn, record);
        Ok(())
    }

    /// An answer has left the engine; `doc` is what was asked at this place of the connection.
    pub fn answer(&mut self, doc: usize, message: &[u8]) -> Result<(), Broken> {
        let answer = wire::read_answer(message)?;
        self.say(|| format!("answered {doc} {:?} code {}", name(answer.key), answer.code));
        let Doc { key, sort, kept, answered, .. } = &self.docs[doc];
        if answer.key != *key {
            return Err(format!("{answer:?} stands where {key:?} was asked"));
        }
        let Some(kept) = kept.first() else {
            return Err(format!("I2: {answer:?} left before a sync of its record returned"));
        };
        if *sort == Sort::Misfit {
            return Err(format!("{answer:?} to what is no document"));
        }
        if (answer.code, answer.accepted_at) != (kept.code, kept.operator_time) {
            return Err(format!("I5: {answer:?}, but the log says {kept:?}"));
        }
        if let Some(before) = answered.filter(|before| *before != answer) {
            return Err(format!("I5: {answer:?} after {before:?}"));
        }
        self.answers += 1;
        self.again += u64::from(answered.is_some());
        self.refused += u64::from(answer.code != 0);
        let upto = self.answered_upto.entry(key.0).or_default();
        *upto = kept.lsn.max(*upto);
        self.docs[doc].answered = Some(answer);
        Ok(())
    }

    /// The engine has opened: what it reads is all that is durable, and more only of what was sent.
    pub fn recovered(&mut self, log: Vec<Stored>) -> Result<(), Broken> {
        let count = log.len() as u64;
        if count < self.durable() {
            return Err(format!("I1: {count} records of {} durable ones are there", self.durable()));
        }
        let mut received = i64::MIN;
        for (at, stored) in (1..).zip(log) {
            if stored.lsn != at {
                return Err(format!("I4: LSN {} stands in place {at}", stored.lsn));
            }
            if stored.received_at_us < received {
                return Err(format!("I4: record {at} was received before the one before it"));
            }
            received = stored.received_at_us;
            self.synced(stored)?;
        }
        self.check()
    }

    /// What holds at every moment of all that is durable.
    pub fn check(&self) -> Result<(), Broken> {
        for doc in &self.docs {
            let Some(kept) = doc.kept.first() else { continue };
            // A document that was sent when another one had been answered lies behind it.
            if doc.sort == Sort::Good && doc.behind.is_none_or(|behind| kept.lsn <= behind) {
                return Err(format!(
                    "I4: {:?} lies at {}, behind {:?} was promised",
                    doc.key, kept.lsn, doc.behind
                ));
            }
            let code = match doc.sort {
                Sort::Good => continue,
                Sort::Forged => 11,
                Sort::Misfit => 255,
            };
            if kept.code != code {
                return Err(format!("{:?}, {:?}: code {} instead of {code}", doc.key, doc.sort, kept.code));
            }
        }
        for (key, docs) in &self.by_key {
            let mut variants: Vec<Kept> = docs
                .iter()
                .filter(|at| self.docs[**at].sort == Sort::Good)
                .filter_map(|at| self.docs[*at].kept.first().copied())
                .collect();
            variants.sort_unstable_by_key(|it| it.lsn);
            for (variant, kept) in variants.iter().enumerate() {
                let right = if variant == 0 { 0 } else { 14 };
                if (usize::from(kept.variant), kept.code) != (variant, right) {
                    return Err(format!("I6: {key:?}: {variants:?}"));
                }
            }
        }
        Ok(())
    }

    /// Documents that are durable under a key.
    pub fn under(&self, key: Key) -> BTreeSet<u64> {
        let docs = self.by_key.get(&key).into_iter().flatten().map(|at| &self.docs[*at]);
        docs.filter(|doc| doc.sort == Sort::Good).flat_map(|doc| doc.kept.iter().map(|it| it.lsn)).collect()
    }
}

fn name((drive, number): Key) -> String {
    format!("{}/{number}", String::from_utf8_lossy(&drive))
}
