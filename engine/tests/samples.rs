//! Real documents over the real wire: every message of `receipts.wire` is confirmed with 0, in order, however it is
//! sent, and is given back byte for byte. The documents are other people's and lie outside the project:
//! `OFD_FACTS` names their folder.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a failed test may panic")]

mod common;

use common::{Till, altered, code_and_time, drive, fresh, number, read_answer, resealed};
use ofd_engine::codec::Frame;
use ofd_engine::host::Capability;

/// The messages of the sample file; `None` when no folder is named.
fn samples() -> Option<Vec<Vec<u8>>> {
    let Some(facts) = std::env::var_os("OFD_FACTS") else {
        eprintln!("skipped: OFD_FACTS is not set");
        return None;
    };
    let bytes = std::fs::read(std::path::Path::new(&facts).join("samples/receipts.wire")).unwrap();
    let mut rest = &bytes[..];
    let mut messages = Vec::new();
    while let Some((message, behind)) = Frame::split(rest).unwrap() {
        messages.push(message.to_vec());
        rest = behind;
    }
    assert!(rest.is_empty());
    assert_eq!(messages.len(), 223);
    Some(messages)
}

#[test]
fn real_documents_are_confirmed_however_they_come() {
    let Some(messages) = samples() else { return };
    for in_flight in [1, 16, 223] {
        let (_dir, builder) = fresh();
        let engine = builder.open().unwrap();
        let address = engine.listen("127.0.0.1:0").unwrap();
        let mut till = Till::connect(address);
        for some in messages.chunks(in_flight) {
            till.send(&some.concat());
            for message in some {
                let answer = read_answer(&till.answer().unwrap());
                assert_eq!((answer.drive, answer.number, answer.code), (drive(message), number(message), 0));
            }
        }
    }
    let (_dir, builder) = fresh();
    let engine = builder.open().unwrap();
    let address = engine.listen("127.0.0.1:0").unwrap();
    let answers: Vec<_> =
        messages.iter().map(|it| code_and_time(&Till::connect(address).ask(it).unwrap())).collect();
    assert!(answers.iter().all(|it| it.0 == 0));
    let mut till = Till::connect(address);
    for (message, first) in messages.iter().zip(&answers) {
        assert_eq!(code_and_time(&till.ask(message).unwrap()), *first);
        assert_eq!(code_and_time(&till.ask(&resealed(message)).unwrap()), *first);
    }
    assert_eq!(engine.status().unwrap().documents, 223, "nothing is stored twice");
    let operator = Capability::operator();
    for message in &messages {
        let forged = altered(message);
        // The registration of a test drive begins a new generation; everything else stands in conflict.
        let begins = drive(message).is_test() && number(message) == 1 && matches!(message[62], 1 | 11);
        let code = if begins { 0 } else { 14 };
        assert_eq!(code_and_time(&till.ask(&forged).unwrap()).0, code);
        let found = engine.find(&operator, drive(message), number(message)).unwrap();
        let stored: Vec<_> = found.iter().map(|it| it.container()).collect();
        assert_eq!(stored, [&message[30..], &forged[30..]], "both are kept");
    }
}
