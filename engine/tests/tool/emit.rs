//! `ofd emit`: every way of sending, and an operator that is not there.

use std::net::TcpListener;

use crate::support::{Server, ofd};

#[test]
fn every_way_of_sending_is_answered_in_full() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]);
    let ways: &[&[&str]] = &[
        &[],
        &["--connections", "2"],
        &["--in-flight", "8"],
        &["--per-document-connection"],
        &["--connections", "1", "--in-flight", "4", "--rate", "500"],
    ];
    for (seed, way) in ways.iter().enumerate() {
        let seed = seed.to_string();
        let mut words = vec!["emit", "--connect", &server.listen, "--registers", "4", "--receipts", "10"];
        words.extend(["--seed", &seed, "--json"]);
        words.extend(*way);
        let report = ofd(words).expect(0).json().remove(0);
        assert_eq!(report["confirmed"], 52, "{way:?} {report}");
        assert_eq!(report["seed"].to_string(), seed);
    }
    // Equal seeds give equal bytes: known documents, answered as before.
    let again = server.feed(4, 10, 0);
    assert_eq!(again["confirmed"], 52);
    server.stop();
}

#[test]
fn without_json_the_same_figures_stand_in_lines() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]);
    let ran = ofd(["emit", "--connect", &server.listen, "--registers", "1", "--receipts", "1"]).expect(0);
    let words: Vec<Vec<_>> = ran.out.lines().map(|line| line.split_whitespace().collect()).collect();
    let names: Vec<_> = words.iter().map(|line| line[0]).collect();
    let contract = [
        "sent",
        "confirmed",
        "refused",
        "unanswered",
        "documents_per_second",
        "p50_us",
        "p99_us",
        "p999_us",
        "seed",
    ];
    assert_eq!(names[..9], contract);
    assert_eq!(words[1][1], "4");
    assert_eq!(ran.err, "", "no bar where there is no terminal");
    server.stop();
}

#[test]
fn documents_that_nobody_answers_are_a_failure_with_a_report() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    drop(taken);
    let ran = ofd(["emit", "--connect", &address, "--registers", "1", "--receipts", "1", "--json"]).expect(1);
    let report = ran.json().remove(0);
    assert_eq!((&report["confirmed"], &report["sent"]), (&0.into(), &report["unanswered"]));
    assert!(ran.err.contains("unanswered"), "{}", ran.err);
}
