//! Reads a receipt out of whatever holds it: a session message, a container, rawData or the bare document.
//!
//! `cargo run -p ofd-codec --example read_receipt -- <hexadecimal>`; without it, a receipt of this project's own.

use std::error::Error;

use ofd_codec::forms::Typed;
use ofd_codec::{Civil, parse_hex, read_any};

/// The file of a golden document: its second line of interest is `message = "<hexadecimal>"`.
const GOLDEN: &str = include_str!("../testdata/golden/receipt-1.2.toml");

fn main() -> Result<(), Box<dyn Error>> {
    let own = || GOLDEN.lines().find_map(|line| line.strip_prefix("message = \"")?.strip_suffix('"'));
    let given = std::env::args().nth(1);
    let bytes = parse_hex(given.as_deref().or_else(own).ok_or("the golden file has no message")?)?;
    for piece in read_any(&bytes) {
        let piece = piece?;
        // The one check of the values; after it nothing can fail.
        let Typed::Receipt(receipt) = piece.document().typed(piece.version())? else {
            println!("{}: no receipt", piece.document().form());
            continue;
        };
        let date = receipt.date_time().map(|time| Civil::from(time).to_string()).unwrap_or_default();
        let operation = receipt.operation().map(|operation| operation.to_string()).unwrap_or_default();
        println!("{} of {date}, version {}: {operation}", receipt.form(), receipt.version());
        for item in receipt.items() {
            let name = item.name().map(|name| name.to_cow()).unwrap_or_default();
            let quantity = item.quantity().map(|quantity| quantity.to_string()).unwrap_or_default();
            let (price, sum) = (item.price().unwrap_or_default(), item.sum().unwrap_or_default());
            let rate = item.vat_rate().map(|rate| rate.to_string()).unwrap_or_default();
            println!("  {name}: {quantity} × {price} = {sum}, {rate}");
        }
        for sum in receipt.vat_sums().into_iter().flat_map(|sums| sums.sums().collect::<Vec<_>>()) {
            let rate = sum.vat_rate().map(|rate| rate.to_string()).unwrap_or_default();
            println!("  {rate}: {}", sum.sum().unwrap_or_default());
        }
        println!("  total {}", receipt.total().unwrap_or_default());
    }
    Ok(())
}
