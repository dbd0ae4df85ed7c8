//! The codec under Criterion: views, the validated pass, frames, rules and JSON, each beside the plain walk.
//!
//! `cargo bench --manifest-path bench/codecs/Cargo.toml --bench speed -- [FILTER]`, or `just speed`.
//!
//! Hot is one receipt of five items again and again, mixed are 2,000 different documents of the generator; with OFD_FACTS real
//! receipts take the place of as many. Every sample measures the plain walk over the same documents right behind its
//! subject: what neighbours do to the machine spoils both alike, so that the ratios printed at the end mean something where
//! the times of Criterion do not; they are medians over the samples, warming up left out. Rules include the check of the structure, JSON is
//! written from views that were checked before.

#![allow(
    clippy::float_arithmetic,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark reads the clock and divides"
)]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use ofd_codec::{
    CONTAINER_HEADER_LEN, CheckContext, DocumentView, FfdVersion, Form, Frame, JsonOptions,
    SESSION_HEADER_LEN, TRAILER_LEN, Tag, Validated, check, open_plain_with_header, read_any,
    write_document_into,
};

#[allow(dead_code, unused_imports, reason = "shared with ofd-bench, which uses all of it and tests it")]
#[path = "../../src/corpus.rs"]
mod corpus;
#[allow(dead_code, unused_imports, reason = "shared with ofd-bench, which uses all of it and tests it")]
#[path = "../../src/walk.rs"]
mod walk;

use corpus::Corpus;
use walk::{Sum, read, walk};

/// Documents of the mixed figures.
const MIXED: usize = 2000;
/// Bytes of the receipt that is read again and again: those of the first measurements.
const HOT_BYTES: usize = 678;
const SAMPLES: usize = 50;

type Failure = Box<dyn std::error::Error>;

/// A message and the version of its document.
struct Document {
    message: Vec<u8>,
    version: FfdVersion,
}

impl Document {
    fn plain(&self) -> &[u8] {
        let end = self.message.len().saturating_sub(TRAILER_LEN);
        self.message.get(SESSION_HEADER_LEN + CONTAINER_HEADER_LEN..end).unwrap_or_default()
    }
}

fn documents() -> Result<Vec<Document>, Failure> {
    let mut documents = Vec::with_capacity(MIXED);
    let mut push = |message: &[u8]| -> Result<(), Failure> {
        let frame = Frame::new_checked(message)?;
        let view = DocumentView::new_checked(frame.container().body())?;
        let version = FfdVersion::of_document(&view.header(), None, frame.header().p_version);
        documents.push(Document { message: message.to_vec(), version });
        Ok(())
    };
    let mut real = 0;
    if let Some(facts) = std::env::var_os("OFD_FACTS") {
        let file = std::fs::read(Path::new(&facts).join("samples/receipts.wire"))?;
        for piece in read_any(&file).flatten() {
            if let ofd_codec::Piece::Message(frame, _) = piece {
                push(frame.bytes())?;
                real += 1;
            }
        }
    }
    for message in Corpus::new(20_261_123, 512, MIXED - real).messages() {
        push(message)?;
    }
    eprintln!("{} documents, {real} of them real", documents.len());
    // Spread, so that no stretch of a pass is of one kind; 769 has no factor in common with the number of documents.
    let mut mixed: Vec<Option<Document>> = documents.into_iter().map(Some).collect();
    Ok((0..MIXED).filter_map(|at| mixed.get_mut(at * 769 % MIXED)?.take()).collect())
}

/// A receipt with five items, about as long as the one of the first measurements.
fn hot(documents: &[Document]) -> Option<&Document> {
    let five = |document: &&Document| {
        DocumentView::new_checked(document.plain()).is_ok_and(|view| {
            view.form() == Form::RECEIPT && view.tags().filter(|(tag, _)| *tag == Tag(1059)).count() == 5
        })
    };
    documents.iter().filter(five).min_by_key(|document| document.plain().len().abs_diff(HOT_BYTES))
}

/// Nanoseconds of the subject and of the walk, a sample.
type Samples = Vec<(f64, f64)>;

struct Room<'a> {
    criterion: Criterion,
    set: &'static str,
    documents: &'a [Document],
    ratios: Vec<(String, Samples)>,
}

fn timed(times: u64, mut pass: impl FnMut()) -> Duration {
    let began = Instant::now();
    for _ in 0..times {
        pass();
    }
    began.elapsed()
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl<'a> Room<'a> {
    /// One figure: `subject` over all documents, beside the walk over them.
    fn figure(&mut self, name: &str, throughput: Throughput, subject: impl FnMut(&Document)) {
        self.figure_of(name, throughput, self.documents, subject);
    }

    /// The same over something made of the documents beforehand.
    fn figure_of<T>(
        &mut self,
        name: &str,
        throughput: Throughput,
        subjects: &[T],
        mut subject: impl FnMut(&T),
    ) {
        let mut samples = Samples::new();
        let mut group = self.criterion.benchmark_group(self.set);
        group.throughput(throughput);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                let its = timed(times, || subjects.iter().for_each(&mut subject));
                let walks = timed(times, || {
                    for document in self.documents {
                        black_box(walk(black_box(document.plain())));
                    }
                });
                samples.push((its.as_secs_f64(), walks.as_secs_f64()));
                its
            });
        });
        group.finish();
        let behind = samples.len().saturating_sub(SAMPLES);
        samples.drain(..behind);
        self.ratios.push((format!("{}/{name}", self.set), samples));
    }

    fn run(&mut self) {
        let count = Throughput::Elements(self.documents.len() as u64);
        self.figure("walk", count.clone(), |document| {
            black_box(walk(black_box(document.plain())));
        });
        self.figure("view", count.clone(), |document| {
            if let Ok(view) = DocumentView::new_checked(black_box(document.plain())) {
                black_box(read(&view));
            }
        });
        self.figure("validated", count.clone(), |document| {
            let mut sum = Sum::default();
            black_box(Validated::check_with(black_box(document.plain()), document.version, &mut sum).is_ok());
            black_box(sum.0);
        });
        self.figure("frame", count.clone(), |document| {
            black_box(open(black_box(&document.message)));
        });
        self.figure("check", count, |document| {
            if let Ok(view) = DocumentView::new_checked(black_box(document.plain())) {
                black_box(check(&view, &CheckContext::new(document.version)));
            }
        });
        let mut out = Vec::with_capacity(1 << 20);
        let options = JsonOptions::default();
        let mut bytes = 0;
        let mut write = |(view, version): &(DocumentView<'_>, FfdVersion)| {
            out.clear();
            write_document_into(black_box(view), *version, &options, &mut out);
            black_box(&out).len() as u64
        };
        let documents: &'a [Document] = self.documents;
        let open = |document: &'a Document| {
            Some((DocumentView::new_checked(document.plain()).ok()?, document.version))
        };
        let views: Vec<_> = documents.iter().filter_map(open).collect();
        for view in &views {
            bytes += write(view);
        }
        self.figure_of("json", Throughput::BytesDecimal(bytes), &views, |view| {
            write(view);
        });
    }
}

/// A message as the engine takes it: rules A1-A5, then the header of the document.
fn open(message: &[u8]) -> Option<u32> {
    let frame = Frame::new_checked(message).ok()?;
    let container = frame.container();
    let drive = frame.header().drive;
    let (_, header) = open_plain_with_header(&container, Some(&drive), container.body()).ok()?;
    Some(header.number?.0)
}

fn main() -> Result<(), Failure> {
    let mixed = documents()?;
    let hot = hot(&mixed).ok_or("no receipt has five items")?;
    let mut lines = Vec::new();
    for (set, documents) in [("hot", std::slice::from_ref(hot)), ("mixed", mixed.as_slice())] {
        let criterion = Criterion::default()
            .sample_size(SAMPLES)
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(1))
            .configure_from_args();
        let mut room = Room { criterion, set, documents, ratios: Vec::new() };
        room.run();
        lines.extend(room.ratios);
    }
    for (name, samples) in lines {
        if !samples.is_empty() {
            let ratio = middle(samples.iter().map(|(its, walks)| its / walks).collect());
            println!("{name}: {ratio:.2} x the time of the walk");
        }
    }
    Ok(())
}
