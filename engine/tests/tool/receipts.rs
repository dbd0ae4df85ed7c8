//! `ofd receipts`, beside a server and after it.

use crate::support::{Server, ofd};

#[test]
fn receipts_are_listed_in_pages_and_found_by_what_is_printed_on_them() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    server.feed(3, 20, 11);
    let data = data.to_str().unwrap();
    let ask = |more: &[&str]| ofd([&["receipts", "--data", data, "--json"], more].concat());
    let all = ask(&["--limit", "1000"]).expect(0).json();
    assert_eq!(all.len(), 3 * 23);
    // Pages, over a compaction and the end of the server.
    ofd(["compact", "--data", data, "--all"]).expect(0);
    server.feed(1, 5, 12);
    let (mut paged, mut after) = (Vec::new(), None::<String>);
    let mut server = Some(server);
    let first = ask(&["--limit", "1000"]).expect(0).json();
    loop {
        let mut more = vec!["--limit", "17"];
        more.extend(after.iter().flat_map(|it| ["--after", it]));
        let mut page = ask(&more).expect(0).json();
        let next = page.last().and_then(|it| it.get("next")).map(|it| it.as_str().unwrap().to_owned());
        page.truncate(page.len() - usize::from(next.is_some()));
        paged.extend(page);
        after = next;
        if let Some(server) = server.take() {
            server.feed(1, 5, 13);
            server.stop();
        }
        if after.is_none() {
            break;
        }
    }
    assert_eq!(paged, first);
    // By what is printed on one of them.
    let one = all.iter().find(|it| it["form"] == "receipt").unwrap();
    let (sign, total) = (one["fpd"].to_string(), one["total"].to_string());
    let (inn, number) = (one["inn"].as_str().unwrap(), one["fd"].to_string());
    ask(&["--fpd", &sign]).expect(1);
    assert_eq!(ask(&["--fpd", &sign, "--inn", inn]).expect(0).json(), std::slice::from_ref(one));
    let day = &one["at"].as_str().unwrap()[..10];
    assert_eq!(
        ask(&["--fpd", &sign, "--from", day, "--to", day]).expect(0).json(),
        std::slice::from_ref(one)
    );
    let found = ask(&["--total", &total, "--fd", &number, "--rnm", one["rnm"].as_str().unwrap()]);
    assert_eq!(found.expect(0).json(), std::slice::from_ref(one));
    // The whole of it, and by a word of an item in capital letters.
    let drive = one["fn"].as_str().unwrap();
    let whole = ofd(["find", "--data", data, "--fn", drive, "--fd", &number]).expect(0).json().remove(0);
    assert_eq!(whole["position"], one["position"]);
    let name = whole["document"]["receipt"]["items"][0]["name"].as_str().unwrap().to_uppercase();
    let named = ask(&["--words", &name, "--fn", drive, "--limit", "1000"]).expect(0).json();
    assert!(named.contains(one) && named.len() < 23 + 1, "{name}");
    ask(&["--words", "такого не бывает"]).expect(4);
    ask(&["--limit", "0"]).expect(1);
    ask(&["--total", "x"]).expect(2);
    ask(&["--after", "page 2"]).expect(2);
    let table = ofd(["receipts", "--data", data, "--limit", "5"]).expect(0);
    assert_eq!(table.out.lines().count(), 6);
    assert!(table.err.contains("--after s1."), "{}", table.err);
    assert!(all.iter().all(|it| it["realm"] == "prod"));
}
