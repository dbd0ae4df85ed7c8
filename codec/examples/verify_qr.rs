//! Holds the text of a receipt's QR code against a document.
//!
//! `cargo run -p ofd-codec --example verify_qr -- '<text>' <hexadecimal>`; without them, a receipt of this project's
//! own and the code that belongs to it.

use std::error::Error;

use ofd_codec::dictionary::lookup;
use ofd_codec::{QrCode, parse_hex, read_any};

const GOLDEN: &str = include_str!("../testdata/golden/receipt-1.2.toml");

fn main() -> Result<(), Box<dyn Error>> {
    let own = || GOLDEN.lines().find_map(|line| line.strip_prefix("message = \"")?.strip_suffix('"'));
    let mut given = std::env::args().skip(1);
    let (text, hex) = (given.next(), given.next());
    let bytes = parse_hex(hex.as_deref().or_else(own).ok_or("the golden file has no message")?)?;
    let piece = read_any(&bytes).next().ok_or("nothing to read")??;
    let view = piece.document();
    let expected = QrCode::of_document(&view).ok_or("the document has no QR code")?;
    let qr = text.as_deref().map_or(Ok(expected), QrCode::parse)?;
    println!("{qr}");
    for tag in qr.differences(&view) {
        let name = lookup(tag, u16::from(view.form().0), piece.version()).map_or("", |entry| entry.name_ru);
        println!("differs: {tag} {name}");
    }
    if !qr.is_of(&view) {
        return Err("belongs to another document".into());
    }
    println!("belongs to the document");
    Ok(())
}
