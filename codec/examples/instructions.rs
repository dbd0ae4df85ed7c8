//! One task of the codec on every golden document, some times over: what `.ci/instructions.py` counts instructions of.
//!
//! `cargo run --release -p ofd-codec --example instructions -- view|validated|frame|check|json TIMES`

use std::hint::black_box;

use ofd_codec::{
    CheckContext, DocumentView, FfdVersion, Frame, Kind, Requisite, Validated, Visitor, check, parse_hex,
    write_document,
};

/// Reads every number, counts every other byte.
struct Sum(u64);

impl<'a> Visitor<'a> for Sum {
    fn requisite(&mut self, requisite: Requisite<'a>) {
        if let Some(number) = requisite.number() {
            self.0 = self.0.wrapping_add(number);
        } else if matches!(requisite.kind, Kind::Text | Kind::Bytes) {
            self.0 = self.0.wrapping_add(requisite.value.bytes().len() as u64);
        } else if let Some(decimal) = requisite.decimal() {
            // A nest is none: its children are summed one by one.
            self.0 = self.0.wrapping_add(decimal.mantissa);
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let task = arguments.next().unwrap_or_default();
    let times: usize = arguments.next().unwrap_or_default().parse()?;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/golden");
    let mut paths =
        std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    let mut messages = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path)?;
        let hex = text.lines().find_map(|line| line.strip_prefix("message = \"")?.strip_suffix('"'));
        messages.push(parse_hex(hex.ok_or("a golden file without a message")?)?);
    }
    let mut views = Vec::new();
    for message in &messages {
        views.push(DocumentView::new_checked(Frame::new_checked(message)?.container().body())?);
    }
    let mut json = String::new();
    for _ in 0..times {
        for (message, view) in messages.iter().zip(&views) {
            match task.as_str() {
                "view" => {
                    black_box(DocumentView::new_checked(black_box(view.bytes()))?);
                }
                "validated" => {
                    let mut sum = Sum(0);
                    black_box(Validated::check_with(black_box(view.bytes()), FfdVersion::V1_2, &mut sum)?);
                    black_box(sum.0);
                }
                "frame" => {
                    black_box(Frame::new_checked(black_box(message))?);
                }
                "check" => {
                    black_box(check(black_box(view), &CheckContext::new(FfdVersion::V1_2)));
                }
                "json" => {
                    json.clear();
                    write_document(black_box(view), FfdVersion::V1_2, &mut json);
                    black_box(&json);
                }
                other => return Err(format!("no task {other:?}").into()),
            }
        }
    }
    Ok(())
}
