//! `ofd decode`: whatever holds documents, as ФНС JSON.

use std::path::PathBuf;

use clap::Args;
use ofd_engine::codec::write_document;

use crate::failure::{Exit, Failure, talk};
use crate::input::Input;
use crate::known::Known;
use crate::output::Output;

/// Reads session messages, containers, document TLVs or rawData, prints a line of ФНС JSON for each.
#[derive(Debug, Args)]
#[command(after_help = "\
What cannot be read gives a line on stderr with its kind, offset and tag, and exit code 3.

Examples:
  ofd decode messages.bin
  ofd decode --hex --keep-going lines.txt | jq .receipt.totalSum
  nc -l 7777 | ofd decode")]
pub(crate) struct Decode {
    /// The input is text: one hex string a line.
    #[arg(long)]
    hex: bool,
    /// Go on behind what cannot be read; the exit code is still 3.
    #[arg(long)]
    keep_going: bool,
    /// The file; stdin without one.
    file: Option<PathBuf>,
}

impl Decode {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut output = Output::new();
        let mut known = Known::default();
        let mut line = String::new();
        let mut damaged = false;
        let read = Input::open(self.file.as_ref())?.each(self.hex, &mut |found| match found.piece {
            Ok(piece) => {
                let version = known.context(&piece).version;
                line.clear();
                write_document(&piece.document(), version, &mut line);
                output.line(&line)
            }
            Err(error) => {
                // What was read before the damage is seen before the word about it.
                output.flush()?;
                let text = format!("{}: {error}", found.place);
                if !self.keep_going {
                    return Err(Failure::new(Exit::Damaged, text));
                }
                talk(text);
                damaged = true;
                Ok(())
            }
        });
        output.flush().and(read)?;
        if damaged { Err(Failure::silent(Exit::Damaged)) } else { Ok(()) }
    }
}
