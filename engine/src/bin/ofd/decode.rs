//! `ofd decode`: whatever holds documents, as ФНС JSON.

use std::path::PathBuf;

use clap::Args;
use ofd_engine::codec::explain::{explain, explain_damage};
use ofd_engine::codec::{DecodeError, JsonOptions, Piece, check, write_document_into};

use crate::failure::{Exit, Failure, talk};
use crate::input::{Found, Input};
use crate::known::Known;
use crate::output::Output;
use crate::paint::{Paint, When};

/// Reads session messages, containers, document TLVs or rawData, prints a line of ФНС JSON for each.
#[derive(Debug, Args)]
#[command(after_help = "\
What cannot be read gives a line on stderr with its kind, offset and tag, and exit code 3.

Examples:
  ofd decode messages.bin
  ofd decode --explain messages.bin | less -R
  ofd decode --hex --keep-going lines.txt | jq .receipt.totalSum
  nc -l 7777 | ofd decode")]
pub(crate) struct Decode {
    /// The input is text: one hex string a line.
    #[arg(long)]
    hex: bool,
    /// Go on behind what cannot be read; the exit code is still 3.
    #[arg(long)]
    keep_going: bool,
    /// Tell people instead: every byte in a tree, with names, values and what the rules find.
    #[arg(long)]
    explain: bool,
    /// Colours of the tree.
    #[arg(long, value_name = "WHEN", default_value = "auto", requires = "explain")]
    color: When,
    /// The file; stdin without one.
    file: Option<PathBuf>,
}

impl Decode {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut output = Output::new();
        let mut known = Known::default();
        let mut line = Vec::new();
        let mut damaged = false;
        let paint = self.explain.then(|| Paint::new(self.color));
        let read = Input::open(self.file.as_ref())?.each(self.hex, &mut |found| match found.piece {
            Ok(piece) => match &paint {
                Some(paint) => told(&mut output, paint, &piece, &mut known),
                None => {
                    let version = known.context(&piece).version;
                    line.clear();
                    write_document_into(&piece.document(), version, &JsonOptions::default(), &mut line);
                    line.push(b'\n');
                    output.bytes(&line)
                }
            },
            Err(error) => {
                if let Some(paint) = &paint {
                    told_damage(&mut output, paint, &found, &error)?;
                }
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

/// A piece as a tree, with an empty line behind it.
fn told(output: &mut Output, paint: &Paint, piece: &Piece<'_>, known: &mut Known) -> Result<(), Failure> {
    let context = known.context(piece);
    let violations = check(&piece.document(), &context);
    for row in explain(piece, context.version, violations.as_slice(), &paint.layout) {
        output.line(&paint.line(&row))?;
    }
    output.line("")
}

/// Damage as far as a tree can be made of it.
fn told_damage(
    output: &mut Output,
    paint: &Paint,
    found: &Found<'_>,
    error: &DecodeError,
) -> Result<(), Failure> {
    let here = DecodeError { offset: error.offset.saturating_sub(found.offset), ..*error };
    for row in explain_damage(found.bytes, &here, &paint.layout) {
        output.line(&paint.line(&row))?;
    }
    output.line("")
}
