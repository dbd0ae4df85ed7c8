//! `ofd encode` and `ofd decode --explain`.

use serde_json::{Value, json};

use crate::support::{hex, ofd, ofd_fed, wire};

/// The way back: what `decode` prints, `encode` makes documents of, and they decode to the same lines.
#[test]
fn what_decode_prints_encode_reads_without_a_word() {
    let (bytes, count) = wire(3, 40, 11);
    let decoded = ofd_fed(["decode"], &bytes).expect(0);
    let encoded = ofd_fed(["encode", "--hex"], decoded.out.as_bytes()).expect(0);
    assert_eq!(encoded.err, "", "our own JSON needs no liberty");
    assert_eq!(encoded.out.lines().count(), count);
    let again = ofd_fed(["decode", "--hex"], encoded.out.as_bytes()).expect(0);
    assert_eq!(again.out, decoded.out);

    // Binary is the default, and the documents inside are the ones that were sent, byte for byte.
    let folder = tempfile::tempdir().unwrap();
    let (lines, binary) = (folder.path().join("a.jsonl"), folder.path().join("a.bin"));
    std::fs::write(&lines, &decoded.out).unwrap();
    let out = std::process::Command::new(crate::support::OFD).arg("encode").arg(&lines).output().unwrap();
    std::fs::write(&binary, &out.stdout).unwrap();
    assert_eq!(hex(&out.stdout), encoded.out.replace('\n', ""));
    let sent: Vec<_> =
        ofd_engine::codec::read_any(&bytes).map(|it| it.unwrap().document().bytes().to_vec()).collect();
    let made: Vec<_> =
        ofd_engine::codec::read_any(&out.stdout).map(|it| it.unwrap().document().bytes().to_vec()).collect();
    assert_eq!(made, sent);
    // The rules find as little in them as before.
    let checked = ofd(["check", binary.to_str().unwrap()]).expect(0);
    assert!(checked.json().iter().all(|line| line["violations"] == json!([])));
}

/// An export of somebody else: pretty-printed, wrapped, roubles, times as text; each liberty is told with its place.
#[test]
fn dialects_are_read_and_every_liberty_is_told() {
    let export = r#"[
  {
    "ticket": {"document": {"receipt": {
      "fiscalDriveNumber": "9999078900000001", "fiscalDocumentNumber": "7", "userInn": "7701234560  ",
      "dateTime": "2018-05-17T17:57:00", "totalSum": 158.05, "nds20": null, "fsId": "x"
    }}}
  },
  {"receiptCode": 3, "totalSum": 100, "cashTotalSum": 100}
]
"#;
    let ran = ofd_fed(["encode"], b"").expect(0);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""));
    let ran = ofd_fed(["encode", "--hex"], export.as_bytes()).expect(0);
    let told: Vec<_> = ran.err.lines().map(|line| line.strip_prefix("ofd: <stdin>:1: ").unwrap()).collect();
    assert_eq!(
        told,
        [
            "[0].ticket.document.receipt: wrapper",
            "[0].ticket.document.receipt.fiscalDocumentNumber: text-for-number, tag 1040",
            "[0].ticket.document.receipt.userInn: padded, tag 1018",
            "[0].ticket.document.receipt.dateTime: time-text, tag 1012",
            "[0].ticket.document.receipt.totalSum: roubles, tag 1020",
            "[0].ticket.document.receipt.nds20: null",
            "[0].ticket.document.receipt.fsId: unknown-key",
            "[1]: wrapper",
            "[1]: form-guessed",
            "[1]: stand-in, tag 1041",
            "[1]: stand-in, tag 1040",
        ]
    );
    let lines = ofd_fed(["decode", "--hex"], ran.out.as_bytes()).expect(0).json();
    let expected: Value = serde_json::from_str(
        r#"{"receiptCode":3,"fiscalDriveNumber":"9999078900000001","fiscalDocumentNumber":7,"userInn":"7701234560",
            "dateTime":1526579820,"totalSum":15805}"#,
    )
    .unwrap();
    assert_eq!(lines[0]["receipt"], expected);
    assert_eq!(lines[1]["receipt"]["totalSum"], 100);
    assert_eq!(lines[1]["receipt"]["fiscalDriveNumber"], "9999000000000000");

    assert_eq!(ofd_fed(["encode", "--quiet", "--hex"], export.as_bytes()).expect(0).err, "");
    let ran = ofd_fed(["encode", "--json", "--hex"], export.as_bytes()).expect(0);
    let first: Value = serde_json::from_str(ran.err.lines().nth(4).unwrap()).unwrap();
    assert_eq!(
        (&first["kind"], &first["tag"], &first["lossy"], &first["place"]),
        (&json!("roubles"), &json!(1020), &json!(false), &json!("<stdin>:1"))
    );
    let ran = ofd_fed(["encode", "--hex", "--money", "roubles", "--quiet"], br#"{"receipt":{"totalSum":5}}"#);
    let lines = ofd_fed(["decode", "--hex"], ran.expect(0).out.as_bytes()).expect(0).json();
    assert_eq!(lines[0]["receipt"]["totalSum"], 500);
}

/// What cannot be read names file, line, byte, path and tag; the lines around it are read when asked.
#[test]
fn json_that_cannot_be_read_is_told_with_its_place() {
    let good = r#"{"receipt":{"fiscalDriveNumber":"9999078900000001","fiscalDocumentNumber":7}}"#;
    let text = format!(
        "{good}\n{{\"receipt\":{{\"user\"\n{good}\n{{\"receipt\":{{\"totalSum\":-1}}}}\nhello\n\n{good}\n"
    );
    let stopped = ofd_fed(["encode", "--hex"], text.as_bytes()).expect(3);
    assert_eq!(stopped.out.lines().count(), 1);
    assert_eq!(stopped.err.lines().count(), 1);
    let went_on = ofd_fed(["encode", "--hex", "--keep-going"], text.as_bytes()).expect(3);
    assert_eq!(went_on.out.lines().count(), 3);
    assert_eq!(
        went_on.err.lines().collect::<Vec<_>>(),
        [
            "ofd: <stdin>:2: syntax at byte 19, receipt",
            "ofd: <stdin>:4: number at byte 23, receipt.totalSum, tag 1020",
            "ofd: <stdin>:5: syntax at byte 0",
        ]
    );
    ofd_fed(["encode"], b"\xFF\xFE{}").expect(3);
    ofd(["encode", "/nonexistent"]).expect(4);
}

/// The tree: every requisite of a document, findings and damage at their places, colours only when wanted.
#[test]
fn explain_tells_a_tree_in_colour_only_when_asked() {
    let (mut bytes, count) = wire(1, 2, 12);
    let ran = ofd_fed(["decode", "--explain"], &bytes).expect(0);
    assert_eq!(ran.out.matches("✓ замечаний нет").count(), count);
    assert!(ran.out.contains("├─1054       признак расчета"), "{}", ran.out);
    assert!(!ran.out.contains('\u{1B}'), "a pipe is no terminal");
    assert!(ran.out.lines().all(|line| !line.ends_with(' ')));
    let coloured = ofd_fed(["decode", "--explain", "--color", "always"], &bytes).expect(0);
    assert!(coloured.out.contains("\u{1B}[36m1054\u{1B}[0m"), "{}", coloured.out);
    assert_eq!(strip(&coloured.out), ran.out);
    assert_eq!(ofd_fed(["decode", "--color", "always"], &bytes).code, Some(2), "colours are the tree's");

    bytes[200] ^= 1;
    let ran = ofd_fed(["decode", "--explain"], &bytes).expect(3);
    assert!(ran.out.contains("✗ crc: контрольная сумма контейнера не сходится"), "{}", ran.out);
    assert!(ran.err.contains("crc at byte 32"), "{}", ran.err);
}

/// Text without colours.
fn strip(text: &str) -> String {
    let mut parts = text.split('\u{1B}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or(part, |(_, rest)| rest))
}
