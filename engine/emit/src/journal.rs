//! What was answered, kept by the sending side: the witness against which a store is audited after a crash.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ofd_codec::{DriveNumber, SESSION_HEADER_LEN};

/// One answered document, as [`Journal::answered`] sees it.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// Drive of the document.
    pub drive: DriveNumber,
    /// Its number.
    pub number: u32,
    /// Answer code: 0 confirmed, anything else refused.
    pub code: u8,
    /// The whole message as it was sent; the container begins after the session header.
    pub message: &'a [u8],
    /// The whole answer as it came.
    pub answer: &'a [u8],
}

impl<'a> Answered<'a> {
    /// The container as it was sent: what an operator must be able to give back byte for byte.
    pub fn container(&self) -> &'a [u8] {
        self.message.get(SESSION_HEADER_LEN..).unwrap_or_default()
    }
}

/// Hears of every answered document. Called on the threads of the client: it must be quick and must not block for long.
pub trait Journal: Send + Sync {
    /// A document was answered and checked; its register sends the next one after this returns.
    fn answered(&self, answered: &Answered<'_>);
}

/// A journal in a file, one line an answer: `drive number code container-in-hex`.
///
/// Written through a buffer; [`FileJournal::flush`] brings it to the file, dropping does so too.
#[derive(Debug)]
pub struct FileJournal {
    file: Mutex<(BufWriter<File>, io::Result<()>)>,
}

impl FileJournal {
    /// Creates the file, or empties it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: Mutex::new((BufWriter::new(File::create(path)?), Ok(()))) })
    }

    /// Brings all lines to the file.
    ///
    /// # Errors
    /// The first failure of any write since the last flush.
    pub fn flush(&self) -> io::Result<()> {
        let mut guard = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (writer, failure) = &mut *guard;
        std::mem::replace(failure, Ok(()))?;
        writer.flush()
    }
}

impl Journal for FileJournal {
    fn answered(&self, answered: &Answered<'_>) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut line = format!("{} {} {} ", answered.drive, answered.number, answered.code).into_bytes();
        let nibble = |value: u8| HEX.get(usize::from(value)).copied().unwrap_or(b'?');
        line.extend(answered.container().iter().flat_map(|byte| [nibble(byte >> 4), nibble(byte & 15)]));
        line.push(b'\n');
        let mut guard = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (writer, failure) = &mut *guard;
        if failure.is_ok() {
            *failure = writer.write_all(&line);
        }
    }
}

/// One line of a [`FileJournal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalLine {
    /// Drive of the document.
    pub drive: DriveNumber,
    /// Its number.
    pub number: u32,
    /// Answer code.
    pub code: u8,
    /// The container as it was sent.
    pub container: Vec<u8>,
}

impl JournalLine {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let drive = DriveNumber::parse(words.next()?).ok()?;
        let number = words.next()?.parse().ok()?;
        let code = words.next()?.parse().ok()?;
        let hex = words.next()?;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
        if !rest.is_empty() || words.next().is_some() {
            return None;
        }
        let container =
            pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect::<Option<_>>()?;
        Some(Self { drive, number, code, container })
    }
}

/// Reads a [`FileJournal`] back.
///
/// # Errors
/// Those of the file system; `InvalidData` for a line that is none (the last one may be torn after a crash of the client).
pub fn read_journal(path: &Path) -> io::Result<Vec<JournalLine>> {
    BufReader::new(File::open(path)?)
        .lines()
        .map(|line| JournalLine::parse(&line?).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData)))
        .collect()
}
