//! The leg to the tax service end to end: `ofd serve`, `ofd emit`, and a tax service over HTTP that does everything wrong that a service
//! can.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ofd_emit::fns::{FnsAccount, FnsFaults, FnsRule, FnsStandIn};
use rustix::process::Signal;

use crate::support::{Server, ofd, small_segments, soon};

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

fn admin(data: &Path, words: &[&str]) -> crate::support::Ran {
    ofd(["admin", "--data", data.to_str().unwrap()].into_iter().chain(words.iter().copied()))
}

// What somebody does at night has to work the first time, and to say who did it and why.
#[test]
fn an_operator_pauses_resends_defers_and_drains_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let rules = vec![FnsRule { every: 10, rest: 4, status: "refused", code: 507, tag: Some(1020) }];
    let service = FnsStandIn::start("127.0.0.1:0", 8, FnsFaults { rules, ..FnsFaults::default() }).unwrap();
    let more = format!("[tax]\nurl = \"{}\"\npoll_ms = 20\n", service.url());
    let server = start(&data, &small_segments(folder.path(), &more));
    server.feed(3, 7, 21);
    let status = || admin(&data, &["status"]).expect(0).json().remove(0);
    soon("all verdicts", || status()["tax"]["stored"] == 30 && status()["tax"]["waiting"] == 0);
    let told = status();
    assert_eq!(
        (&told["health"], &told["tax"]["on"], &told["tax"]["accepted"]),
        (&"ready".into(), &true.into(), &27.into())
    );
    let drive = service.account().taken.keys().next().unwrap().clone();

    let refused = admin(&data, &["tax-status", "--fn", &drive, "--fd", "4"]).expect(0).json().remove(0);
    assert_eq!(
        (&refused["state"], &refused["code"], &refused["tag"]),
        (&"refused".into(), &507.into(), &1020.into())
    );
    let fine = admin(&data, &["tax-status", "--fn", &drive, "--fd", "5"]).expect(0).json().remove(0);
    assert_eq!(fine["state"], "accepted");
    let find = ["find", "--data", data.to_str().unwrap(), "--fn", &drive, "--fd", "4"];
    let found = ofd(find).expect(0).json().remove(0);
    assert_eq!((&found["tax"]["state"], &found["tax"]["code"]), (&"refused".into(), &507.into()));
    let account = admin(&data, &["tax-account", "--fn", &drive]).expect(0).json().remove(0);
    assert_eq!(
        (&account["stored"], &account["accepted"], &account["refused"]),
        (&10.into(), &9.into(), &1.into())
    );
    let days = admin(&data, &["tax-reconcile", "--fn", &drive]).expect(0).json();
    let (all, days) = days.split_last().unwrap();
    assert_eq!((&all["agrees"], &all["read"]), (&true.into(), &10.into()));
    let read: u64 =
        days.iter().map(|it| it["accepted"].as_u64().unwrap() + it["refused"].as_u64().unwrap()).sum();
    assert_eq!(read, 10);
    assert_eq!(admin(&data, &["tax-remarks"]).expect(0).json().len(), 3);
    let days = admin(&data, &["tax-days"]).expect(0).json();
    let sum = |key: &str| days.iter().map(|day| day[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("documents"), sum("messages"), sum("accepted"), sum("refused")), (30, 30, 27, 3));

    let words = ["--by", "ночная смена", "--reason", "сверка"];
    let with =
        |more: &[&str]| -> Vec<String> { more.iter().chain(&words).map(|it| (*it).to_owned()).collect() };
    let tell = |more: &[&str]| {
        let words = with(more);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        admin(&data, &words).expect(0).json().remove(0)["position"].as_u64().unwrap()
    };
    admin(&data, &["tax-pause"]).expect(2);
    assert!(tell(&["tax-pause"]) > 30);
    soon("the pause", || status()["tax"]["paused"] == true);
    server.feed(2, 7, 22);
    soon("the documents", || status()["tax"]["stored"] == 50);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(service.account().documents(), 30);
    tell(&["tax-resume"]);
    soon("what had waited", || service.account().documents() == 50);
    tell(&["tax-resend", "--fn", &drive, "--from", "2", "--to", "4"]);
    soon("the resend", || service.account().duplicates == 3);
    let days = admin(&data, &["tax-reconcile", "--fn", &drive]).expect(0).json();
    assert_eq!(days.last().unwrap()["agrees"], true, "a resend is no difference: {days:?}");

    let rule = |rule: &str| {
        let rules = admin(&data, &["rules"]).expect(0).json();
        rules.into_iter().find(|it| it["rule"] == rule).unwrap()["on"].clone()
    };
    assert_eq!(rule("D2"), true);
    admin(&data, &with(&["rule-off", "--rule", "A1"]).iter().map(String::as_str).collect::<Vec<_>>())
        .expect(2);
    tell(&["rule-off", "--rule", "D2"]);
    soon("the rule is off", || rule("D2") == false);
    tell(&["rebuild", "--fold", "registers"]);
    tell(&["rebuild", "--fold", "tax"]);
    soon("the folds", || status()["tax"]["stored"] == 50 && status()["tax"]["waiting"] == 0);
    soon("the rule stays off", || rule("D2") == false);
    tell(&["rule-on", "--rule", "D2"]);
    soon("the rule is on", || rule("D2") == true);
    let gap = admin(&data, &["gap", "--fn", &drive, "--fd", "11"]).expect(0).json().remove(0);
    assert_eq!((&gap["state"], &gap["before"]["fd"]), (&"not_yet".into(), &10.into()));
    assert!(gap["words"].as_str().unwrap().contains("последний принятый номер — 10"), "{gap}");

    tell(&["defer"]);
    assert_eq!(status()["health"], "deferring");
    assert_eq!(crate::http::get(server.http.as_ref().unwrap(), "/readyz").0, 503);
    let emit = [
        "emit",
        "--connect",
        &server.listen,
        "--registers",
        "1",
        "--receipts",
        "0",
        "--seed",
        "77",
        "--json",
    ];
    let report = ofd(emit).json().remove(0);
    assert_eq!((&report["confirmed"], &report["refused"]), (&0.into(), &0.into()));
    tell(&["accept"]);
    assert_eq!(status()["health"], "ready");
    server.feed(1, 3, 77);

    tell(&["drain"]);
    let (ended, ..) = server.wait();
    assert_eq!(ended.code(), Some(0));
    admin(&data, &["status"]).expect(4);
    // Each of them stands in the log.
    ofd(["compact", "--all", "--data", data.to_str().unwrap()]).expect(0);
    ofd(["verify", "--data", data.to_str().unwrap()]).expect(0);
}
