//! Documents from a file or stdin: binary, back to back, or a hex string a line.
//!
//! A binary stream is read through a window, so that an archive of any length takes a megabyte of memory. A
//! piece is read only when the longest one would still fit behind its beginning, or the stream has ended: so
//! the window changes nothing of what `read_any` says about the same bytes at once. The one exception is damage
//! longer than the window: it is told once, and the hunt for the next piece goes on behind it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use ofd_engine::codec::{DecodeError, Piece, parse_hex, read_any};

use crate::failure::{Exit, Failure};

/// Bytes held at once.
const WINDOW_LEN: usize = 1 << 20;
/// No piece is longer: a TLV of 16 bits of length with its head, a header before it and a sign after it.
const PIECE_LEN_MAX: usize = 1 << 17;
/// Longest line of hex digits.
const LINE_LEN_MAX: usize = 64 << 20;

/// A file, or stdin.
pub(crate) struct Input {
    name: String,
    reader: Box<dyn BufRead>,
}

/// Something that was read, or why it was not.
pub(crate) struct Found<'a> {
    /// The file with the line where there are lines, as errors name it.
    pub(crate) place: &'a str,
    /// Where they begin in the file, or in the line's bytes.
    pub(crate) offset: usize,
    /// The bytes that this is about.
    pub(crate) bytes: &'a [u8],
    /// The piece; offsets of an error count from the beginning of the file, or of the line's bytes.
    pub(crate) piece: Result<Piece<'a>, DecodeError>,
}

impl Input {
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
                Ok(Self { name, reader: Box::new(BufReader::with_capacity(WINDOW_LEN, file)) })
            }
        }
    }

    /// Hands over everything that is read, in order, until `each` fails.
    pub(crate) fn each(
        &mut self,
        hex: bool,
        each: &mut dyn FnMut(Found<'_>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if hex { self.each_line(each) } else { self.each_piece(each) }
    }

    fn each_line(&mut self, each: &mut dyn FnMut(Found<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut line = Vec::new();
        for number in 1_u64.. {
            line.clear();
            let most = LINE_LEN_MAX as u64;
            let read = (&mut self.reader).take(most).read_until(b'\n', &mut line);
            if read.map_err(|error| Failure::io(&self.name, &error))? == 0 {
                break;
            }
            let place = format!("{}:{number}", self.name);
            if line.len() >= LINE_LEN_MAX {
                return Err(Failure::new(Exit::Damaged, format!("{place}: a line of more than 64 MiB")));
            }
            let text = String::from_utf8_lossy(&line);
            if text.trim().is_empty() {
                continue;
            }
            let bytes = match parse_hex(&text) {
                Ok(bytes) => bytes,
                Err(error) => {
                    each(Found { place: &place, offset: 0, bytes: &[], piece: Err(error) })?;
                    continue;
                }
            };
            let mut reader = read_any(&bytes);
            let mut at = 0;
            while let Some(piece) = reader.next() {
                let bytes = bytes.get(at..reader.offset()).unwrap_or_default();
                each(Found { place: &place, offset: at, bytes, piece })?;
                at = reader.offset();
            }
        }
        Ok(())
    }

    fn each_piece(&mut self, each: &mut dyn FnMut(Found<'_>) -> Result<(), Failure>) -> Result<(), Failure> {
        let mut window = Vec::with_capacity(WINDOW_LEN);
        // Where the window begins in the stream, and whether it begins inside damage that was told already.
        let (mut base, mut hunting) = (0_usize, false);
        loop {
            let ended = self.fill(&mut window)?;
            let len = window.len();
            let safe = if ended { len } else { len.saturating_sub(PIECE_LEN_MAX) };
            let mut reader = read_any(&window);
            let mut at = 0;
            while at < safe {
                let Some(item) = reader.next() else { break };
                let next = reader.offset();
                let told = hunting;
                hunting = false;
                if item.is_err() && next > safe && !ended {
                    if at > 0 {
                        // With a full window behind it the same damage may have an end.
                        break;
                    }
                    hunting = true;
                }
                let bytes = window.get(at..next).unwrap_or_default();
                let piece = item.map_err(|error| error.shifted(base));
                if !(told && piece.is_err()) {
                    each(Found { place: &self.name, offset: base.saturating_add(at), bytes, piece })?;
                }
                at = if hunting { safe.max(1) } else { next };
                if hunting {
                    break;
                }
            }
            if ended {
                return Ok(());
            }
            base = base.saturating_add(at);
            window.drain(..at);
        }
    }

    /// Fills the window; true when the stream has ended.
    fn fill(&mut self, window: &mut Vec<u8>) -> Result<bool, Failure> {
        let room = WINDOW_LEN.saturating_sub(window.len());
        let read = (&mut self.reader).take(room as u64).read_to_end(window);
        let read = read.map_err(|error| Failure::io(&self.name, &error))?;
        Ok(read < room)
    }
}
