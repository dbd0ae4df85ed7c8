//! How fast are documents checked, read, judged and told as JSON, beside a bare walk over their bytes?

use std::hint::black_box;
use std::time::Duration;

use anyhow::Context as _;
use ofd_codec::{
    CheckContext, DocumentView, FfdVersion, Frame, JsonOptions, Validated, check, open_plain_with_header,
    write_document_into,
};

use crate::Plan;
use crate::corpus::Corpus;
use crate::cpu::rate_of;
use crate::harness::{Figure, Pair, Sink, interleave};
use crate::walk::{Sum, crc16_bytewise, read, walk};

const WALK: &str = "plain checked TLV walk";
const DOCUMENTS: &str = "documents/s";
/// Different documents, about 1.5 MB: more than a branch predictor remembers, less than the last cache holds.
const CORPUS: usize = 2048;

/// Runs the figures of the codec.
///
/// # Errors
/// When a document of the generator does not check: a defect of ours.
pub(crate) fn run(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    let corpus = Corpus::new(plan.seed, 512, CORPUS);
    let messages: Vec<&[u8]> = corpus.messages().collect();
    let plains: Vec<&[u8]> = corpus.plains().collect();
    let mut views = Vec::with_capacity(plains.len());
    for plain in &plains {
        let view = DocumentView::new_checked(plain).context("a generated document")?;
        anyhow::ensure!(walk(plain) == Some(read(&view)), "walk and view read different values");
        anyhow::ensure!(version_of(&view) >= FfdVersion::V1_05, "a generated document has a version");
        views.push((view, CheckContext::new(version_of(&view))));
    }

    let base = |document: &&[u8]| {
        black_box(walk(black_box(document)));
    };
    let measure = Measure { plan, plains: &plains };
    measure.figure(sink, Figure::rate("codec.view", DOCUMENTS, WALK), &plains, base, |plain| {
        if let Ok(view) = DocumentView::new_checked(black_box(plain)) {
            black_box(read(&view));
        }
    })?;
    measure.figure(
        sink,
        Figure::rate("codec.validated", DOCUMENTS, WALK),
        &views,
        base,
        |(view, context)| {
            let mut sum = Sum::default();
            black_box(Validated::check_with(black_box(view.bytes()), context.version, &mut sum).is_ok());
            black_box(sum.0);
        },
    )?;
    measure.figure(sink, Figure::rate("codec.frame", DOCUMENTS, WALK), &messages, base, |message| {
        black_box(open_message(black_box(message)));
    })?;
    measure.figure(
        sink,
        Figure::rate("codec.frame.bytewise", DOCUMENTS, WALK),
        &messages,
        base,
        |message| {
            // What the frame would cost with the textbook checksum in place of the folding one.
            let message = black_box(message);
            black_box(crc16_bytewise(message.get(ofd_codec::SESSION_HEADER_LEN..).unwrap_or_default()));
            black_box(walk(message.get(62..message.len().saturating_sub(10)).unwrap_or_default()));
        },
    )?;
    measure.figure(sink, Figure::rate("codec.check", DOCUMENTS, WALK), &views, base, |(view, context)| {
        black_box(check(black_box(view), context));
    })?;
    json(plan, sink, &views)
}

/// A message as the engine takes it: rules A1-A5, then the header of the document.
fn open_message(message: &[u8]) -> Option<u32> {
    let frame = Frame::new_checked(message).ok()?;
    let container = frame.container();
    let drive = frame.header().drive;
    let (_, header) = open_plain_with_header(&container, Some(&drive), container.body()).ok()?;
    Some(header.number?.0)
}

fn version_of(view: &DocumentView<'_>) -> FfdVersion {
    FfdVersion::of_document(&view.header(), None, [0x01, 0x20])
}

struct Measure<'a> {
    plan: &'a Plan,
    plains: &'a [&'a [u8]],
}

impl Measure<'_> {
    fn figure<T>(
        &self,
        sink: &mut Sink,
        figure: Figure,
        subjects: &[T],
        baseline: impl Fn(&&[u8]),
        subject: impl Fn(&T),
    ) -> anyhow::Result<()> {
        if !self.plan.wants(&[figure.bench]) {
            return Ok(());
        }
        let long = self.plan.long(Duration::from_millis(120));
        let (mut runs, mut others) = (0, 0);
        let pairs: Vec<Pair> = interleave(
            self.plan.rounds(),
            || Ok(rate_of(subjects.len(), long, &mut runs, || subjects.iter().for_each(&subject))),
            || Ok(rate_of(self.plains.len(), long, &mut others, || self.plains.iter().for_each(&baseline))),
        )?;
        sink.figure(figure, &pairs, runs)
    }
}

/// JSON written into a reused buffer, against copying as many bytes as it has.
fn json(plan: &Plan, sink: &mut Sink, views: &[(DocumentView<'_>, CheckContext)]) -> anyhow::Result<()> {
    if !plan.wants(&["codec.json"]) {
        return Ok(());
    }
    let mut texts = Vec::with_capacity(views.len());
    for (view, context) in views {
        let mut text = Vec::new();
        write_document_into(view, context.version, &JsonOptions::default(), &mut text);
        texts.push(text);
    }
    let bytes: usize = texts.iter().map(Vec::len).sum();
    let long = plan.long(Duration::from_millis(150));
    let mut out = Vec::with_capacity(64 << 10);
    let mut copy: Vec<u8> = Vec::with_capacity(64 << 10);
    let (mut runs, mut others) = (0, 0);
    let pairs: Vec<Pair> = interleave(
        plan.rounds(),
        || {
            Ok(rate_of(bytes, long, &mut runs, || {
                for (view, context) in views {
                    out.clear();
                    write_document_into(black_box(view), context.version, &JsonOptions::default(), &mut out);
                    black_box(&out);
                }
            }) / 1e9)
        },
        || {
            Ok(rate_of(bytes, long, &mut others, || {
                for text in &texts {
                    copy.clear();
                    copy.extend_from_slice(black_box(text.as_slice()));
                    black_box(&copy);
                }
            }) / 1e9)
        },
    )?;
    sink.figure(Figure::rate("codec.json", "GB of JSON/s", "memcpy of the same JSON"), &pairs, runs)
}
