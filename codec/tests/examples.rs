//! The examples of the README run and say what they promise.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::process::{Command, Output};

/// Runs an example that cargo built beside this test; `None`, aloud, where only this test was asked for.
fn run(name: &str, arguments: &[&str]) -> Option<Output> {
    let program =
        std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples").join(name);
    if !program.exists() {
        eprintln!("skipped: {} is not built; cargo test -p ofd-codec builds it", program.display());
        return None;
    }
    Some(Command::new(program).args(arguments).output().unwrap())
}

#[track_caller]
fn says(name: &str, arguments: &[&str], good: bool, expected: &str) {
    let Some(output) = run(name, arguments) else { return };
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.success(), good, "{name}: {text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains(expected), "{name}: {text}");
}

/// Why: an example that no longer runs is the first thing a newcomer meets.
#[test]
fn examples_run_and_say_what_they_promise() {
    says("read_receipt", &[], true, "Яблоки: 1.276350 × 200.00 = 255.27, НДС 10%");
    says("read_receipt", &[], true, "total 414.27");
    says("send_receipt", &[], true, "document 17: документ принят");
    says("verify_qr", &[], true, "belongs to the document");
    let other = "t=20260314T1314&s=414.28&fn=9999078900451207&i=44&fp=831056492&n=1";
    says("verify_qr", &[other], false, "differs: 1020 сумма расчета");
}
