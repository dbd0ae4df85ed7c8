//! `ofd registers` and `ofd shifts`, beside a server and after it.

use std::time::SystemTime;

use bytes::Bytes;
use ofd_emit::{ProfileOptions, Register};
use ofd_engine::Engine;
use ofd_engine::codec::{FfdVersion, LocalSeconds};
use ofd_engine::watch::date;
use serde_json::Value;

use crate::support::{Server, ofd, ofd_fed};

fn sum(lines: &[Value], of: impl Fn(&Value) -> i64) -> i64 {
    lines.iter().map(of).sum()
}

#[test]
fn cards_and_shifts_say_what_the_registers_sent() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    assert_eq!(server.feed(4, 30, 7)["confirmed"], 4 * 33);
    let data = data.to_str().unwrap();
    let ask = |command: &str, more: &[&str]| ofd([&[command, "--data", data, "--json"], more].concat());

    let cards = ask("registers", &[]).expect(0).json();
    assert_eq!(cards.len(), 4);
    for card in &cards {
        assert_eq!((&card["shift"], &card["realm"]), (&Value::Null, &"prod".into()), "{card}");
        assert_eq!(card["last_document"]["form"], "closeShift", "{card}");
        assert_eq!(card["drives"][0]["served"], serde_json::json!([[1, 33]]), "{card}");
        assert_eq!(card["drives"][0]["start"], "registered", "{card}");
        assert!(["green", "yellow", "red"].contains(&card["colour"].as_str().unwrap()), "{card}");
        assert_eq!(card["colour"] == "green", card["reasons"].as_array().unwrap().is_empty(), "{card}");
        assert_eq!(card["forecast"]["documents"], 33, "{card}");
        assert!(card["forecast"]["reason"].is_string() && card["facets"]["drive"].is_string(), "{card}");
        assert_eq!((card["days_worked"].as_i64(), card["days_idle"].as_i64()), (Some(1), Some(0)), "{card}");
    }

    let shifts = ask("shifts", &[]).expect(0).json();
    assert_eq!(sum(&shifts, |it| it["receipts"].as_i64().unwrap()), 4 * 30);
    for shift in &shifts {
        assert_eq!(
            (&shift["state"], &shift["mismatches"]),
            (&"agrees".into(), &Value::Array(vec![])),
            "{shift}"
        );
        let total = |kind: &str, direction: &str| shift[kind][direction]["total"].as_i64().unwrap();
        let revenue = total("totals", "sell") + total("corrections", "sell")
            - total("totals", "sell_return")
            - total("corrections", "sell_return");
        assert_eq!(shift["revenue"], revenue, "{shift}");
        assert_eq!(shift["opened_at"].as_str().unwrap().len(), "2026-03-02T10:00:00".len(), "{shift}");
    }

    let (drive, inn) = (cards[2]["fn"].as_str().unwrap(), cards[2]["inn"].as_str().unwrap());
    assert_eq!(ask("registers", &["--fn", drive]).expect(0).json(), [cards[2].clone()]);
    assert!(ask("registers", &["--inn", inn]).expect(0).json().contains(&cards[2]));
    assert!(ask("shifts", &["--fn", drive]).expect(0).json().iter().all(|it| it["fn"] == drive));
    let silent =
        ask("registers", &["--colour", "red", "--colour", "yellow", "--sort", "colour"]).expect(0).json();
    let green = ask("registers", &["--colour", "green"]).expect(0).json();
    assert_eq!(silent.len() + green.len(), 4);
    assert!(
        silent.iter().all(|it| it["colour"] != "green") && green.iter().all(|it| it["colour"] == "green")
    );
    assert_eq!(ask("registers", &["--sort", "last", "--limit", "3"]).expect(0).json().len(), 3);
    ask("registers", &["--colour", "blue"]).expect(2);
    assert_eq!(ask("shifts", &["--fn", "9999078900000000"]).expect(4).out, "");

    server.stop();
    assert_eq!(ask("registers", &[]).expect(0).json(), cards, "the same without the server");
    let table = ofd(["shifts", "--data", data]).expect(0).out;
    assert_eq!(table.lines().count(), 1 + shifts.len());
    assert!(table.lines().skip(1).all(|line| line.ends_with("agrees")), "{table}");
}

// What an operator sets takes effect while the server runs and without one, and each level has its own.
#[test]
fn thresholds_and_places_are_set_beside_a_server_and_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    server.feed(3, 5, 9);
    let dir = data.to_str().unwrap();
    let cards = || ofd(["registers", "--data", dir, "--json"]).expect(0).json();
    let first = cards()[0]["rnm"].as_str().unwrap().to_owned();
    let place = format!(
        "{{\"do\":\"register.place\",\"rnm\":\"{first}\",\"outlet\":\"7\",\"service_to\":1600000000,\"by\":\"x\"}}\n\
         {{\"do\":\"thresholds.set\",\"scope\":{{\"outlet\":\"7\"}},\"values\":{{\"drive_documents\":7}},\"by\":\"x\"}}\n"
    );
    ofd_fed(["light", "apply", "--data", dir], place.as_bytes()).expect(0);
    let reasons = |card: &Value| -> Vec<(String, String)> {
        let text = |it: &Value| it.as_str().unwrap().to_owned();
        card["reasons"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| (text(&it["code"]), text(&it["colour"])))
            .collect()
    };
    let has = |card: &Value, code: &str| reasons(card).contains(&(code.to_owned(), "red".to_owned()));
    let all = cards();
    assert!(has(&all[0], "connection.ends") && has(&all[0], "drive.fills"), "{}", all[0]);
    assert_eq!((&all[0]["outlet"], &all[0]["colour"]), (&"7".into(), &"red".into()));
    assert!(all[1..].iter().all(|it| !has(it, "connection.ends") && !has(it, "drive.fills")));
    server.stop();
    ofd(["light", "set", "--data", dir, "--rnm", &first, "--by", "x", "drive_documents=0"]).expect(0);
    assert!(!has(&cards()[0], "drive.fills") && has(&cards()[0], "connection.ends"));
    ofd(["light", "set", "--data", dir, "--rnm", &first, "--by", "x", "drive_documents=inherit"]).expect(0);
    assert!(has(&cards()[0], "drive.fills"));
    ofd(["light", "set", "--data", dir, "--default", "--by", "x", "nothing=1"]).expect(2);
    ofd_fed(["light", "apply", "--data", dir], b"{\"do\":\"register.place\",\"by\":\"x\"}").expect(3);
}

// Whoever has thousands of registers asks for those that concern him, in the order of the work; the list is that of the cabinet.
#[test]
fn registers_are_filtered_and_sorted_by_what_is_known_of_them() {
    const DAY: u32 = 86_400;
    let folder = tempfile::tempdir().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as u32;
    let today = (now + 3 * 3_600) / DAY;
    let engine = Engine::builder(folder.path()).segment_len_bytes(1 << 20).open().unwrap();
    for number in 0..6_u32 {
        let mut options = ProfileOptions {
            ffd: Some([FfdVersion::V1_05, FfdVersion::V1_1, FfdVersion::V1_2][number as usize % 3]),
            receipts_per_shift: Some(9),
            ..ProfileOptions::default()
        };
        if number < 3 {
            // A register begins on the day that it is told or on one of the two behind it. Here all have to begin today: what is dated
            // later than tomorrow in UTC counts to the day of UTC on which it came, which in Moscow is yesterday until three.
            let first = Register::new(5, number, &options).next_message(&mut Vec::new()).unwrap();
            let behind = first.at.0 / DAY - options.from.0 / DAY;
            options.from = LocalSeconds((today - behind) * DAY);
        }
        let mut register = Register::new(5, number, &options);
        // Its registration, a shift, one to six receipts.
        for _ in 0..3 + number {
            let mut message = Vec::new();
            register.next_message(&mut message).unwrap();
            engine.submit_batch(vec![Bytes::from(message)]).unwrap().wait();
        }
    }
    engine.shutdown().unwrap();
    let data = folder.path().to_str().unwrap();
    let ask = |more: &[&str]| ofd([&["registers", "--data", data, "--json"], more].concat());
    let rnms =
        |cards: &[Value]| cards.iter().map(|it| it["rnm"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let all = ask(&[]).expect(0).json();
    assert!(all.len() == 6 && rnms(&all).is_sorted());
    let addresses = |cards: &[Value]| -> Vec<String> {
        cards.iter().map(|it| it["address"].as_str().unwrap().to_lowercase().replace('ё', "е")).collect()
    };
    let by_address = ask(&["--sort", "address"]).expect(0).json();
    assert!(by_address.len() == 6 && addresses(&by_address).is_sorted(), "{:?}", addresses(&by_address));
    let turned = ask(&["--sort", "address", "--descending"]).expect(0).json();
    assert!(addresses(&turned).iter().rev().is_sorted(), "{:?}", addresses(&turned));
    let sold = ask(&["--receipts-today", "1.."]).expect(0).json();
    assert_eq!(sold.iter().map(|it| it["today"]["receipts"].as_u64().unwrap()).sum::<u64>(), 1 + 2 + 3);
    assert!(sold.iter().all(|it| it["today"]["day"].as_str().unwrap() >= date(today).as_str()), "{sold:?}");
    let best = ask(&["--sort", "revenue-today", "--descending", "--limit", "4"]).expect(0).json();
    let revenue = |it: &Value| it["today"]["revenue"].as_i64().unwrap_or(0);
    assert!(best.iter().rev().map(revenue).is_sorted() && revenue(&best[2]) > 0, "{best:?}");
    assert!(best.len() == 4 && best[3]["today"].is_null(), "{best:?}");
    let open = ask(&["--open-since", &format!("{}..", date(today))]).expect(0).json();
    assert_eq!(rnms(&open), rnms(&sold));
    assert_eq!(ask(&["--ffd", "1.2", "--without-mode", "autonomous"]).expect(0).json().len(), 2);
    assert_eq!(ask(&["--ffd", "1.2", "--mode", "autonomous"]).expect(0).json().len(), 0);
    assert_eq!(ask(&["--first-seen", "2026-01-01..", "--last-document", "..2026-01-01"]).expect(0).out, "");
    for wrong in
        [["--sort", "nothing"], ["--mode", "nothing"], ["--facet", "drive"], ["--first-seen", "soon"]]
    {
        ask(&wrong).expect(2);
    }
}
