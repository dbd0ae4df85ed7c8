//! `ofd check`: the rules of the message and of the document, a JSON line a document.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use ofd_engine::codec::{
    CONTAINER_HEADER_LEN, Datum, DecodeError, DriveNumber, Form, Piece, RuleId, SESSION_HEADER_LEN,
    ServiceHeader, Tag, check, explain::damage_words, frame,
};

use crate::failure::{Exit, Failure, talk};
use crate::input::{Found, Input};
use crate::known::Known;
use crate::output::Output;

/// Checks documents against the rules, prints a JSON line of findings for each.
#[derive(Debug, Args)]
#[command(after_help = "\
Findings are data: a document that breaks rules leaves the exit code at 0. What cannot be read as a document
gives a line with the rule of the message it breaks (A1 to A7), a line on stderr, and exit code 3.

Examples:
  ofd check messages.bin | jq -c 'select(.violations != [])'
  ofd check --hex lines.txt")]
pub(crate) struct Check {
    /// The input is text: one hex string a line.
    #[arg(long)]
    hex: bool,
    /// The file; stdin without one.
    file: Option<PathBuf>,
}

impl Check {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut output = Output::new();
        let mut known = Known::default();
        let mut unreadable = 0_u64;
        let read = Input::open(self.file.as_ref())?.each(self.hex, &mut |found| match &found.piece {
            Ok(piece) => output.line(&findings(piece, &mut known)),
            Err(error) => {
                unreadable = unreadable.saturating_add(1);
                if let Some(rule) = RuleId::of_error(error.kind) {
                    output.line(&broken(&found, error, rule))?;
                }
                output.flush()?;
                talk(format_args!("{}: {error}", found.place));
                Ok(())
            }
        });
        output.flush().and(read)?;
        if unreadable > 0 { Err(Failure::silent(Exit::Damaged)) } else { Ok(()) }
    }
}

/// The line of a document that can be read.
fn findings(piece: &Piece<'_>, known: &mut Known) -> String {
    let view = piece.document();
    let header = view.header();
    let violations = check(&view, &known.context(piece));
    let mut line = String::with_capacity(160);
    head(&mut line, header.drive, header.number.map(|it| it.0), Some(header.form));
    for (index, it) in violations.iter().enumerate() {
        if index > 0 {
            line.push(',');
        }
        violation(&mut line, it.rule, it.tag, &datum(&it.actual), &datum(&it.expected));
    }
    line.push(']');
    if violations.dropped() > 0 {
        put(&mut line, format_args!(",\"violations_dropped\":{}", violations.dropped()));
    }
    line.push('}');
    line
}

/// The line of a message or document that cannot be read: who it says it is, and the rule of the message it breaks.
fn broken(found: &Found<'_>, error: &DecodeError, rule: RuleId) -> String {
    let (drive, number, form) = claimed(found.bytes);
    let mut line = String::with_capacity(160);
    head(&mut line, drive, number, form);
    let words = format!("{}, байт {}", damage_words(error.kind), error.offset);
    violation(&mut line, rule, error.tag, &quoted(&words), "null");
    line.push_str("]}");
    line
}

/// Who a damaged piece claims to be, as far as its headers can be made out.
fn claimed(bytes: &[u8]) -> (Option<DriveNumber>, Option<u32>, Option<Form>) {
    let is_message = bytes.starts_with(&frame::SIGNATURE_OPERATOR);
    let container = if is_message { bytes.get(SESSION_HEADER_LEN..).unwrap_or_default() } else { bytes };
    let session = bytes.get(8..24).filter(|_| is_message).and_then(|it| it.first_chunk::<16>());
    let session_drive = session.and_then(|it| DriveNumber::from_wire(it).ok());
    let service =
        container.get(4..CONTAINER_HEADER_LEN).and_then(|it| it.first_chunk()).map(ServiceHeader::new);
    let kinds = [frame::CONTAINER_FROM_REGISTER, frame::CONTAINER_TO_REGISTER];
    match service.filter(|it| kinds.contains(&it.kind()) && it.version() == frame::CONTAINER_VERSION) {
        Some(service) => {
            let drive = session_drive.or_else(|| DriveNumber::from_bcd(service.drive_bcd()).ok());
            (drive, Some(service.number()), Some(Form(service.form())))
        }
        None => (session_drive, None, None),
    }
}

fn head(line: &mut String, drive: Option<DriveNumber>, number: Option<u32>, form: Option<Form>) {
    let drive = drive.map_or_else(|| "null".to_owned(), |it| quoted(it.as_str()));
    let number = number.map_or_else(|| "null".to_owned(), |it| it.to_string());
    let form = form.map_or_else(|| "null".to_owned(), |it| quoted(&it.to_string()));
    put(line, format_args!("{{\"fn\":{drive},\"fd\":{number},\"form\":{form},\"violations\":["));
}

fn violation(line: &mut String, rule: RuleId, tag: Option<Tag>, actual: &str, expected: &str) {
    let tag = tag.map_or_else(|| "null".to_owned(), |it| it.0.to_string());
    put(
        line,
        format_args!(
            "{{\"rule\":{},\"name\":{},\"level\":\"{}\",\"tag\":{tag},\"actual\":{actual},\"expected\":{expected}}}",
            quoted(rule.key),
            quoted(rule.name),
            rule.level(),
        ),
    );
}

fn datum(datum: &Datum) -> String {
    match datum {
        Datum::Absent => "null".to_owned(),
        other => quoted(&other.to_string()),
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn put(line: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = line.write_fmt(arguments);
}
