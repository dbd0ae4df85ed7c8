//! `ofd encode`: ФНС JSON to session messages.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ofd_engine::codec::{FfdVersion, JsonDocument, Money, ReadOptions, read_json, to_hex};

use crate::failure::{Exit, Failure, talk};
use crate::json_text::JsonTexts;
use crate::output::Output;

/// Reads ФНС JSON, writes each document as an unsigned session message.
#[derive(Debug, Args)]
#[command(after_help = "\
One document a line, or texts of many lines, each a document, a list of documents or an export with documents inside.
Dialects of public exports are read: padded text, roubles as decimals, nulls, numbers as text, times as text, objects
for lists, renamed totals. Every liberty taken is a line on stderr with its path: `receipt.totalSum: roubles, tag 1020`.
Money is kopecks, unless a sum of the document is spelled with a point: then all its sums are roubles.
Where the drive or document number is missing, that of a test drive stands in. Signs are stand-ins, but for
`messageFiscalSign`. What cannot be read gives a line on stderr with its kind, offset, path and tag, and exit code 3.

Examples:
  ofd encode receipts.jsonl > messages.bin
  ofd encode --hex export.json
  ofd encode --quiet export.json | ofd check")]
pub(crate) struct Encode {
    /// Write text: one hex string a line.
    #[arg(long)]
    hex: bool,
    /// Go on behind what cannot be read; the exit code is still 3.
    #[arg(long)]
    keep_going: bool,
    /// Take documents from rawData where the JSON has one: the bytes that the register sent.
    #[arg(long)]
    raw: bool,
    /// Tell no liberties.
    #[arg(long)]
    quiet: bool,
    /// Tell liberties as a JSON object a line: place, kind, path, offset, tag, lossy.
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// Unit of money, where it cannot be seen.
    #[arg(long, value_name = "UNIT", default_value = "auto")]
    money: MoneyUnit,
    /// Version of documents that do not name theirs: 1.0, 1.05, 1.1 or 1.2.
    #[arg(long, value_name = "VERSION", value_parser = version)]
    ffd: Option<FfdVersion>,
    /// The file; stdin without one.
    file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MoneyUnit {
    /// Kopecks, unless a sum of the document is spelled with a point: then roubles.
    Auto,
    /// Kopecks.
    Kopecks,
    /// Roubles.
    Roubles,
}

fn version(text: &str) -> Result<FfdVersion, String> {
    let known = FfdVersion::ALL.into_iter().find(|it| it.as_str() == text);
    known.ok_or_else(|| "one of 1.0, 1.05, 1.1, 1.2".to_owned())
}

impl Encode {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let options = ReadOptions {
            version: self.ffd,
            money: match self.money {
                MoneyUnit::Auto => Money::Auto,
                MoneyUnit::Kopecks => Money::Kopecks,
                MoneyUnit::Roubles => Money::Roubles,
            },
            stand_ins: true,
            raw: self.raw,
        };
        let mut output = Output::new();
        let mut damaged = false;
        let mut message = Vec::new();
        let read = JsonTexts::open(self.file.as_ref())?.each(&mut |place, text| {
            let mut refused = |output: &mut Output, text: String| {
                // What was read before the damage is seen before the word about it.
                output.flush()?;
                if !self.keep_going {
                    return Err(Failure::new(Exit::Damaged, text));
                }
                talk(text);
                damaged = true;
                Ok(())
            };
            let text = match std::str::from_utf8(text) {
                Ok(text) => text,
                Err(error) => {
                    let said = format!("{place}: no UTF-8 at byte {}", error.valid_up_to());
                    return refused(&mut output, said);
                }
            };
            let documents = match read_json(text, &options) {
                Ok(documents) => documents,
                Err(error) => return refused(&mut output, format!("{place}: {error}")),
            };
            for document in &documents {
                self.tell(place, document);
                message.clear();
                match document.write_message(&mut message) {
                    Ok(()) if self.hex => output.line(&to_hex(&message))?,
                    Ok(()) => output.bytes(&message)?,
                    Err(error) => refused(&mut output, format!("{place}: {error}"))?,
                }
            }
            Ok(())
        });
        output.flush().and(read)?;
        if damaged { Err(Failure::silent(Exit::Damaged)) } else { Ok(()) }
    }

    /// The liberties of one document, on stderr.
    fn tell(&self, place: &str, document: &JsonDocument) {
        if self.quiet {
            return;
        }
        for it in &document.liberties {
            if self.json {
                let line = serde_json::json!({
                    "place": place,
                    "kind": it.kind.name(),
                    "path": it.path,
                    "offset": it.offset,
                    "tag": it.tag.map(|tag| tag.0),
                    "lossy": it.kind.is_lossy(),
                });
                tell_line(&line.to_string());
            } else {
                talk(format_args!("{place}: {it}"));
            }
        }
        if document.liberties_dropped > 0 && !self.json {
            talk(format_args!("{place}: {} liberties more", document.liberties_dropped));
        }
    }
}

/// A line of JSON on stderr, without our name before it.
fn tell_line(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
