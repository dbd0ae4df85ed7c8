//! `ofd registers` and `ofd shifts`, beside a server and after it.

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
