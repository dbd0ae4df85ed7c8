//! An archive of five years of daily partitions: how soon is one document found in it, by drive and number, by printed sign?
//!
//! `--archive DIR` names the folder. It is filled when it is not there, through the house's own compaction with all its
//! checks: a run and a file of each table a day, `--archive-days` (1,826) days of `--archive-documents` (10,960) documents, which
//! come from as many drives as there are documents a day divided by ten, ten of each. So every file reaches over all drives. It
//! stays for the next run. The bodies are those of a small corpus, so that the files take less room than real ones; drive, number,
//! clock, sign and organisation are each document's own. There is no log behind the archive.
//!
//! `--without-index` removes the index first: that is how a search went before there was one. `--memory-mib`: as in `big.rs`.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ofd_codec::{CONTAINER_HEADER_LEN, DocumentView, SESSION_HEADER_LEN, TRAILER_LEN};
use ofd_storage::columns::{Stored, Table};
use ofd_storage::compact::{CompactOptions, SegmentSource, SourceRecord, compact};
use ofd_storage::envelope::{AdmissionVerdict, CryptoVerdict, Envelope, Provenance, Realm};
use ofd_storage::manifest::Archive;
use ofd_storage::places::{PLACES_DIR, size};
use ofd_storage::union::{Search, Snapshot};
use ofd_storage::{Env, Error, Lsn, RealEnv, SealedSegment, SegmentId};

use crate::Plan;
use crate::asked::{Asked, measure};
use crate::big::{forget, limit_memory};
use crate::corpus::Corpus;
use crate::harness::Sink;

/// Documents of a drive a day.
const OF_DRIVE: u64 = 10;
/// Organisations the drives belong to.
const ORGANISATIONS: u64 = 50;
/// Noon of the first day, seconds: 1 December 2021.
const FIRST_NOON: u64 = 1_638_360_000;
const DAY_S: u64 = 86_400;
/// Bodies, and the longest of them.
const BODIES: usize = 64;
const BODY_LEN_MAX: usize = 700;
/// Documents asked for in a round, by drive and number, and by sign.
const ASKED: [u64; 2] = [2000, 200];

/// What was asked for.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ArchiveArguments {
    /// Folder of an archive of many days; it is made when it is not there, and stays.
    #[arg(long, value_name = "DIR")]
    pub(crate) archive: Option<PathBuf>,
    /// Days of the archive when it is made.
    #[arg(long, default_value_t = 1826)]
    pub(crate) archive_days: u64,
    /// Documents of a day when it is made.
    #[arg(long, default_value_t = 10_960)]
    pub(crate) archive_documents: u64,
    /// Removes the index of the archive first.
    #[arg(long)]
    pub(crate) without_index: bool,
}

/// The days of documents.
#[derive(Clone, Copy)]
struct Days {
    days: u64,
    drives: u64,
}

impl Days {
    fn of_day(self) -> u64 {
        self.drives * OF_DRIVE
    }

    /// Drive and number of the document at a position.
    fn key(self, position: u64) -> (String, u32) {
        let (day, at) = ((position - 1) / self.of_day(), (position - 1) % self.of_day());
        let (drive, turn) = (at % self.drives, at / self.drives);
        (format!("9960440{:09}", 300_000_000 + drive), (day * OF_DRIVE + turn + 1) as u32)
    }

    /// The printed sign: what a hash of the position comes to.
    fn sign(position: u64) -> u32 {
        let mixed = position.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9).to_be_bytes()[..4]
            .try_into()
            .map_or(0, u32::from_be_bytes)
    }

    fn inn(self, position: u64) -> String {
        let drive = (position - 1) % self.drives;
        format!("77042{:05}", drive % ORGANISATIONS)
    }
}

/// A message whose own values have known places.
struct Body {
    message: Vec<u8>,
    form: u8,
    /// Where the values of 1012, 1077 and 1018 lie.
    time: usize,
    sign: usize,
    inn: usize,
}

fn bodies(seed: u64) -> anyhow::Result<Vec<Body>> {
    let corpus = Corpus::new(seed, 400, 8000);
    let mut bodies = Vec::new();
    for (message, plain) in corpus.messages().zip(corpus.plains()) {
        let view = DocumentView::new_checked(plain)?;
        let place = |tag: u16, len: u16| {
            let head: Vec<u8> = tag.to_le_bytes().into_iter().chain(len.to_le_bytes()).collect();
            message.windows(4).position(|bytes| bytes == head).map(|at| at + 4)
        };
        let places = place(1012, 4).zip(place(1077, 6)).zip(place(1018, 12));
        if let Some(((time, sign), inn)) = places.filter(|_| message.len() <= BODY_LEN_MAX) {
            bodies.push(Body { message: message.to_vec(), form: view.form().0, time, sign, inn });
        }
        if bodies.len() == BODIES {
            return Ok(bodies);
        }
    }
    anyhow::bail!("the corpus has {} short documents", bodies.len())
}

/// A log of sealed days that is made as it is read.
struct Made {
    days: Days,
    bodies: Vec<Body>,
}

impl SegmentSource for Made {
    fn sealed(&self) -> Result<Vec<SealedSegment>, Error> {
        let of_day = self.days.of_day();
        let day = |day: u64| SealedSegment {
            id: SegmentId::new(day as u32 + 1),
            base: Lsn::new(day * of_day + 1),
            last: Lsn::new((day + 1) * of_day),
            used: of_day * 600,
            chain: [0; 32],
            footer: true,
        };
        Ok((0..self.days.days).map(day).collect())
    }

    fn records(
        &self,
        segment: SegmentId,
        each: &mut dyn FnMut(SourceRecord) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let day = u64::from(segment.get()) - 1;
        let of_day = self.days.of_day();
        for position in day * of_day + 1..=(day + 1) * of_day {
            let Some(body) = self.bodies.get(position as usize % self.bodies.len()) else { continue };
            let (drive, number) = self.days.key(position);
            let time = FIRST_NOON + day * DAY_S + position % 20_000;
            let mut message = body.message.clone();
            put(&mut message, body.time, &(time as u32).to_le_bytes());
            put(&mut message, body.sign + 2, &Days::sign(position).to_be_bytes());
            put(&mut message, body.inn, format!("{:<12}", self.days.inn(position)).as_bytes());
            let Some((session, container)) = message.split_first_chunk::<SESSION_HEADER_LEN>() else {
                continue;
            };
            let session = *session;
            let mut of_drive = [b' '; 16];
            of_drive.copy_from_slice(drive.as_bytes());
            let envelope = Envelope {
                provenance: Provenance::Live,
                realm: Realm::Prod,
                crypto: CryptoVerdict::Unverified,
                admission: AdmissionVerdict::Accepted,
                reason: 0,
                rule_set: 1,
                drive: of_drive,
                number,
                form: body.form,
                variant: 0,
                peer_address: [0; 16],
                peer_port: 0,
                operator_time: 1,
                answered_at_us: 0,
                session,
                container,
                plain: container.get(CONTAINER_HEADER_LEN..container.len() - TRAILER_LEN).unwrap_or_default(),
                detail: &[],
            };
            let head = envelope
                .head()
                .map_err(|error| Error::new(ofd_storage::ErrorKind::Fix, error.to_string()))?;
            each(SourceRecord::Document(Stored {
                position,
                partition: 0,
                partition_seq: position,
                received_at_us: (time as i64 - 3 * 3600) * 1_000_000,
                answer_code: 0,
                flags: 0,
                key_id: 0,
                payload: Bytes::from(envelope.parts(&head).concat()),
            }))?;
        }
        Ok(())
    }
}

fn put(message: &mut [u8], at: usize, value: &[u8]) {
    if let Some(room) = message.get_mut(at..at + value.len()) {
        room.copy_from_slice(value);
    }
}

/// Runs the figures of a large archive, if one was asked for.
///
/// # Errors
/// Of the disk and of the archive.
pub(crate) fn run(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    let Some(dir) = &plan.archive.archive else { return Ok(()) };
    let days =
        Days { days: plan.archive.archive_days, drives: (plan.archive.archive_documents / OF_DRIVE).max(1) };
    let env: Arc<dyn Env> = Arc::new(RealEnv::new(dir));
    env.create_dir_all(Path::new(""))?;
    let documents = make(plan, dir, &env, days)?;
    if plan.archive.without_index && dir.join(PLACES_DIR).exists() {
        std::fs::remove_dir_all(dir.join(PLACES_DIR))?;
    }
    let told = size(&*env)?;
    eprintln!("{documents} documents; index: {told:?}");
    if let Some(mebibytes) = plan.big.memory_mib {
        limit_memory(mebibytes)?;
        forget(dir)?;
    }
    let archive = Archive::open(&env)?;
    let files: Vec<File> = archive
        .files(Table::Containers)
        .step_by(7)
        .map(|file| File::open(dir.join(file.path())))
        .collect::<Result<_, _>>()?;
    let asked = |names, count: u64| {
        let count = if plan.quick || plan.archive.without_index { count / 40 } else { count };
        Asked { names, unit: ("ms", 1e6), count, documents, files: &files }
    };
    if plan.wants(&["find.archive.warm.p99", "find.archive.cold.p99"]) {
        let names = ["find.archive.warm.p99", "find.archive.cold.p99"];
        let find = |document: u64| {
            let (drive, number) = days.key(document + 1);
            Ok(archive.find_container(&drive, number)?.len() == 1)
        };
        measure(plan, sink, &asked(names, ASKED[0]), &find)?;
    }
    if plan.wants(&["find.archive.sign.warm.p99", "find.archive.sign.cold.p99"]) {
        let names = ["find.archive.sign.warm.p99", "find.archive.sign.cold.p99"];
        let snapshot = Snapshot::of_archive(&env)?;
        let find = |document: u64| {
            let position = document + 1;
            let search = Search {
                inns: Some(BTreeSet::from([days.inn(position)])),
                sign: Some(Days::sign(position)),
                ..Search::default()
            };
            let page = snapshot.search(&search, None, 10, None)?;
            let (drive, number) = days.key(position);
            Ok(page.hits.iter().any(|hit| hit.drive == drive && hit.number == number))
        };
        measure(plan, sink, &asked(names, ASKED[1]), &find)?;
    }
    Ok(())
}

/// Fills the folder; how many documents there are.
fn make(plan: &Plan, dir: &Path, env: &Arc<dyn Env>, days: Days) -> anyhow::Result<u64> {
    let all = days.days * days.of_day();
    if let Ok(text) = std::fs::read_to_string(dir.join("documents")) {
        let told: u64 = text.trim().parse()?;
        anyhow::ensure!(told == all, "the archive has {told} documents, {all} are asked for: remove it");
        return Ok(told);
    }
    let started = Instant::now();
    let made = Made { days, bodies: bodies(plan.seed)? };
    let options = CompactOptions { run_bytes_max: Some(1), ..CompactOptions::default() };
    let report = compact(&made, env, &options)?;
    let seconds = started.elapsed().as_secs_f64();
    eprintln!("{report:?} in {seconds:.0} s");
    std::fs::write(dir.join("documents"), all.to_string())?;
    Ok(all)
}
