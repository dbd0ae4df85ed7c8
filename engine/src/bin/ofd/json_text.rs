//! JSON texts from a file or stdin: a document a line, or texts of many lines.
//!
//! A text ends with the line on which all its brackets are closed, so that lines of JSON, a pretty-printed export and
//! a list of documents are all read. A line that begins with `{` ends a text that began with `{` and was not closed:
//! one cut line does not swallow the lines behind it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use ofd_engine::codec::JSON_LEN_MAX;

use crate::failure::{Exit, Failure};

/// What is done with a text; the first argument is its place: the file and the line on which it begins.
type Each<'e> = dyn FnMut(&str, &[u8]) -> Result<(), Failure> + 'e;

/// A file, or stdin.
pub(crate) struct JsonTexts {
    name: String,
    reader: Box<dyn BufRead>,
}

/// Which brackets are open, byte by byte.
#[derive(Default)]
struct Brackets {
    depth: u64,
    in_text: bool,
    escaped: bool,
}

impl Brackets {
    fn follow(&mut self, line: &[u8]) {
        for &byte in line {
            if self.in_text {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_text = false,
                    _ => {}
                }
            } else {
                match byte {
                    b'"' => self.in_text = true,
                    b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
            }
        }
        // No text of JSON goes over a line.
        (self.in_text, self.escaped) = (false, false);
    }
}

impl JsonTexts {
    /// Opens a file; without one, or for `-`, stdin.
    pub(crate) fn open(file: Option<&PathBuf>) -> Result<Self, Failure> {
        match file.filter(|path| path.as_path() != Path::new("-")) {
            None => Ok(Self { name: "<stdin>".to_owned(), reader: Box::new(io::stdin().lock()) }),
            Some(path) => {
                let name = path.display().to_string();
                let opened = File::open(path).and_then(|file| {
                    if file.metadata()?.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(file) }
                });
                let file = opened.map_err(|error| Failure::io(&name, &error))?;
                Ok(Self { name, reader: Box::new(BufReader::new(file)) })
            }
        }
    }

    /// Hands over every text, in order, until `each` fails.
    pub(crate) fn each(&mut self, each: &mut Each<'_>) -> Result<(), Failure> {
        let (mut text, mut line) = (Vec::new(), Vec::new());
        let mut brackets = Brackets::default();
        let mut began = 1;
        for number in 1_u64.. {
            line.clear();
            // One byte more than a text may have, so that the reader of JSON says that it is too long.
            let most = (JSON_LEN_MAX as u64).saturating_add(2);
            let read = (&mut self.reader).take(most).read_until(b'\n', &mut line);
            if read.map_err(|error| Failure::io(&self.name, &error))? == 0 {
                break;
            }
            let cut = brackets.depth > 0 && line.starts_with(b"{") && text.starts_with(b"{");
            if cut {
                hand_over(&self.name, began, &mut text, each)?;
                brackets = Brackets::default();
            }
            if text.is_empty() {
                began = number;
            }
            text.extend_from_slice(&line);
            brackets.follow(&line);
            if text.len() > JSON_LEN_MAX.saturating_add(1) {
                let place = format!("{}:{began}", self.name);
                return Err(Failure::new(Exit::Damaged, format!("{place}: a text of more than 4 MiB")));
            }
            if brackets.depth == 0 {
                hand_over(&self.name, began, &mut text, each)?;
            }
        }
        hand_over(&self.name, began, &mut text, each)
    }
}

fn hand_over(name: &str, began: u64, text: &mut Vec<u8>, each: &mut Each<'_>) -> Result<(), Failure> {
    let result = if text.trim_ascii().is_empty() { Ok(()) } else { each(&format!("{name}:{began}"), text) };
    text.clear();
    result
}
