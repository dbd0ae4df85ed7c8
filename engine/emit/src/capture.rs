//! Messages of many registers as one file: what a recorder on the operator's line would have kept.

use std::io::{self, Write};

use crate::life::{ProfileOptions, Register};

/// Writes the lives of `registers` registers with `receipts` settlements each, message after message, one document of
/// every register in turn; every register keeps its own order. Returns the number of messages.
///
/// # Errors
/// Those of `out`.
pub fn write_wire(registers: u32, receipts: u32, seed: u64, out: &mut impl Write) -> io::Result<u64> {
    let options = ProfileOptions {
        receipts: Some(receipts),
        receipts_per_shift: Some(receipts),
        ..ProfileOptions::default()
    };
    write_wire_with(registers, seed, &options, out)
}

/// As [`write_wire`], with lives of the caller's choice.
///
/// # Errors
/// `InvalidInput` for lives without an end, else those of `out`.
pub fn write_wire_with(
    registers: u32,
    seed: u64,
    options: &ProfileOptions,
    out: &mut impl Write,
) -> io::Result<u64> {
    if options.receipts.is_none() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "lives without an end cannot be written to a file",
        ));
    }
    let mut living: Vec<Register> = (0..registers).map(|index| Register::new(seed, index, options)).collect();
    let mut message = Vec::with_capacity(2048);
    let mut written = 0;
    while !living.is_empty() {
        let mut failure = None;
        living.retain_mut(|register| {
            message.clear();
            if failure.is_some() || register.next_message(&mut message).is_none() {
                return failure.is_some();
            }
            match out.write_all(&message) {
                Ok(()) => written += 1,
                Err(error) => failure = Some(error),
            }
            true
        });
        if let Some(error) = failure {
            return Err(error);
        }
    }
    Ok(written)
}
