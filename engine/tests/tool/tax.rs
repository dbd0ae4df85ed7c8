//! The leg to the tax service end to end: `ofd serve`, `ofd emit`, and a tax service over HTTP that does everything wrong that a service
//! can.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ofd_emit::fns::{FnsAccount, FnsFaults, FnsRule, FnsStandIn};
use rustix::process::Signal;

use crate::support::{Server, small_segments, soon};

fn faults() -> FnsFaults {
    FnsFaults {
        slow_ms: 3,
        lost_answers: 150,
        partly: 10,
        late_ms: 100,
        lost_verdicts: 5,
        twice: 200,
        shuffled: true,
        rules: vec![
            FnsRule { every: 50, rest: 7, status: "refused", code: 507, tag: Some(1020) },
            FnsRule { every: 50, rest: 9, status: "quarantined", code: 420, tag: None },
        ],
        ..FnsFaults::default()
    }
}

fn start(data: &Path, config: &Path) -> Server {
    Server::start(data, &["--http", "127.0.0.1:0", "--config", config.to_str().unwrap()])
}

fn waiting(server: &Server) -> f64 {
    let (_, told) = crate::http::get(server.http.as_ref().unwrap(), "/metrics");
    let line = told.lines().find(|it| it.starts_with("ofd_tax_documents{state=\"waiting\"}")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// Every drive has all its numbers, in order, once.
fn expect_whole(account: &FnsAccount, documents: usize, drives: usize) {
    assert_eq!((account.documents(), account.taken.len()), (documents, drives));
    let each: BTreeMap<_, _> = account
        .taken
        .iter()
        .filter(|(_, numbers)| numbers.iter().copied().ne(1..=numbers.len() as u32))
        .collect();
    assert!(each.is_empty(), "{each:?}");
    assert_eq!((account.conflicts, account.out_of_order, account.unreadable), (0, 0, 0));
}

// F004 over the wire: whatever the service does, and whatever becomes of the process.
#[test]
fn every_document_is_in_the_account_of_the_tax_service_once_and_in_order_over_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let service = FnsStandIn::start("127.0.0.1:0", 7, faults()).unwrap();
    let more = format!(
        "[tax]\nurl = \"{}\"\npoll_ms = 20\nverdict_timeout_s = 2\nback_off_max_s = 1\nbatch_documents = 40\n",
        service.url()
    );
    let config = small_segments(folder.path(), &more);
    let mut documents = 0;
    for (round, seed) in (0..3).zip([11, 12, 13]) {
        let server = start(&data, &config);
        service.set_faults(FnsFaults { down: round == 1, ..faults() });
        let report = server.feed(15, 12, seed);
        documents += usize::try_from(report["confirmed"].as_u64().unwrap()).unwrap();
        if round < 2 {
            std::thread::sleep(Duration::from_millis(150));
            server.signal(Signal::KILL);
            let _ = server.wait();
            continue;
        }
        soon("the last document", || service.account().documents() == documents);
        soon("the last verdict", || waiting(&server).to_bits() == 0f64.to_bits());
        server.stop();
    }
    expect_whole(&service.account(), documents, 45);
}
