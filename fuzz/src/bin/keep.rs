//! Keeps the smallest inputs of a minimised corpus: `keep TARGET FOLDER BYTES_MAX` writes `codec/testdata/fuzz/TARGET.txt`.
//!
//! The folder comes from the target itself, which takes what covers most out of what it has found:
//! `TARGET -set_cover_merge=1 -max_len=400 FOLDER fuzz/corpus/TARGET fuzz/corpus/seeds/TARGET`. Findings that were mended stand in
//! the tests of what they broke.

use std::fmt::Write as _;

fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(target), Some(folder), Some(Ok(bytes_max))) =
        (arguments.next(), arguments.next(), arguments.next().map(|it| it.parse::<usize>()))
    else {
        eprintln!("usage: keep TARGET FOLDER BYTES_MAX");
        std::process::exit(2);
    };
    let mut inputs = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        inputs.push(std::fs::read(entry?.path())?);
    }
    inputs.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    let mut left = bytes_max;
    let mut text = String::new();
    for input in inputs.iter().filter(|input| !input.is_empty()) {
        let Some(after) = left.checked_sub(input.len()) else { break };
        left = after;
        for byte in input {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    std::fs::create_dir_all(ofd_fuzz::kept_folder())?;
    std::fs::write(ofd_fuzz::kept_folder().join(format!("{target}.txt")), text)
}
