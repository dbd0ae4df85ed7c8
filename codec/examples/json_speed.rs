//! How fast JSON is written: gigabytes of JSON a second, beside a copy of the same JSON.
//!
//! `cargo run --release -p ofd-codec --example json_speed -- MESSAGES [ROUNDS]`: the file holds session messages back
//! to back. With one round under `valgrind --tool=callgrind` it counts instructions.

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use ofd_codec::{JsonOptions, read_any, write_document_into};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("which file of messages?")?;
    let rounds: u32 = arguments.next().map_or(Ok(2_000), |it| it.parse())?;
    let file = std::fs::read(path)?;
    let pieces: Vec<_> = read_any(&file).collect::<Result<_, _>>()?;
    let views: Vec<_> = pieces.iter().map(|piece| (piece.document(), piece.version())).collect();
    let options = JsonOptions::default();
    let mut all = Vec::new();
    for (view, version) in &views {
        write_document_into(view, *version, &options, &mut all);
        all.push(b'\n');
    }
    let (mut out, mut copy) = (Vec::with_capacity(all.len()), Vec::with_capacity(all.len()));
    let (mut write, mut memcpy) = (u128::MAX, u128::MAX);
    for _ in 0..rounds {
        let began = Instant::now();
        out.clear();
        for (view, version) in black_box(&views) {
            write_document_into(view, *version, &options, &mut out);
            out.push(b'\n');
        }
        write = write.min(began.elapsed().as_nanos());
        let began = Instant::now();
        copy.clear();
        copy.extend_from_slice(black_box(&all));
        memcpy = memcpy.min(began.elapsed().as_nanos());
        black_box((&out, &copy));
    }
    let len = u128::try_from(all.len())?;
    println!(
        "{} documents, {len} bytes of JSON; best of {rounds} rounds: {} MB/s written, {} MB/s copied, {} ns a document",
        views.len(),
        len * 1000 / write.max(1),
        len * 1000 / memcpy.max(1),
        write / u128::try_from(views.len().max(1))?,
    );
    Ok(())
}
