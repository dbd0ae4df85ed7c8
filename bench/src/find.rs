//! How fast is a stored document found by drive and number, beside a hash map and one read of a file?

use std::collections::HashMap;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use ofd_codec::{DriveNumber, Frame};
use ofd_engine::Engine;
use ofd_engine::host::Capability;

use crate::Plan;
use crate::corpus::Corpus;
use crate::harness::{Figure, Pair, Sink, interleave, rate_of};
use crate::lane::fill;

/// Documents asked for in one pass.
const ASKED: usize = 2000;

/// Runs the figure of finding.
///
/// # Errors
/// Of the engine.
pub(crate) fn run(plan: &Plan, sink: &mut Sink) -> anyhow::Result<()> {
    if !plan.wants(&["find.warm"]) {
        return Ok(());
    }
    let corpus = Corpus::new(plan.seed, 1000, plan.work(60_000));
    let dir = plan.temp_dir()?;
    let engine = Engine::builder(dir.path().join("engine")).open()?;
    fill(&engine, &corpus.shared(), crate::lane::WINDOW)?;

    let mut places = HashMap::new();
    let mut keys = Vec::with_capacity(corpus.len());
    let mut at = 0_u64;
    for message in corpus.messages() {
        let frame = Frame::new_checked(message)?;
        let key = (frame.header().drive_number()?, frame.container().number());
        places.insert(key, (at, message.len()));
        keys.push(key);
        at += message.len() as u64;
    }
    let path = dir.path().join("flat");
    std::fs::write(&path, corpus.messages().collect::<Vec<_>>().concat())?;
    let file = File::open(&path)?;

    // A stride prime to the number of documents visits them in an order that no cache foresees.
    let stride = 7919 % keys.len().max(1);
    let asked: Vec<(DriveNumber, u32)> =
        (0..ASKED).filter_map(|turn| keys.get(turn * stride % keys.len()).copied()).collect();
    let capability = Capability::operator();
    let long = plan.long(Duration::from_millis(300));
    let (mut runs, mut others) = (0, 0);
    let (mut lost, mut buffer) = (0_usize, Vec::new());
    let pairs: Vec<Pair> = interleave(
        plan.rounds(),
        || {
            Ok(rate_of(asked.len(), long, &mut runs, || {
                for (drive, number) in &asked {
                    let found = engine.find(&capability, *drive, *number);
                    lost += usize::from(found.is_ok_and(|found| found.len() != 1));
                }
            }))
        },
        || {
            Ok(rate_of(asked.len(), long, &mut others, || {
                for key in &asked {
                    if let Some(&(at, len)) = places.get(key) {
                        buffer.resize(len, 0);
                        let _ = black_box(file.read_exact_at(&mut buffer, at));
                    }
                }
            }))
        },
    )?;
    anyhow::ensure!(lost == 0, "{lost} documents were not found");
    engine.shutdown()?;
    sink.figure(Figure::rate("find.warm", "documents/s", "HashMap + pread of a flat file"), &pairs, runs)
}
