//! `ofd config`, and the words and codes of a command line that is wrong.

use crate::support::{OFD, ofd};

#[test]
fn the_printed_default_passes_the_check() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ofd.toml");
    let printed = ofd(["config", "print-default"]).expect(0);
    assert_eq!(printed.err, "");
    for key in [
        "listen =",
        "inn =",
        "segment_len_bytes =",
        "every_s =",
        "# unit: bytes | default: 67108864 | bounds: ",
    ] {
        assert!(printed.out.contains(key), "{key}\n{}", printed.out);
    }
    std::fs::write(&file, printed.out).unwrap();
    let checked = ofd(["config", "check", file.to_str().unwrap()]).expect(0);
    assert_eq!(checked.out, "");
}

#[test]
fn a_wrong_configuration_is_told_with_file_line_and_key_and_serves_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    std::fs::write(&file, "listen = \"127.0.0.1:0\"\n[log]\nsegment_len = 1\n").unwrap();
    let file = file.to_str().unwrap();
    let said = format!("{file}:3: unknown key log.segment_len; allowed here: segment_len_bytes");
    let checked = ofd(["config", "check", file]).expect(2);
    assert!(checked.err.contains(&said), "{}", checked.err);

    let data = folder.path().join("data");
    let served = ofd(["serve", "--data", data.to_str().unwrap(), "--config", file]).expect(2);
    assert!(served.err.contains(&said), "{}", served.err);
    assert_eq!(served.out, "");
    assert!(!data.exists(), "nothing was made");
}

/// Scripts tell failures apart by these.
#[test]
fn every_exit_code_says_what_it_should() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    let here = folder.path().to_str().unwrap();
    let table: &[(i32, &[&str])] = &[
        (0, &["--help"]),
        (0, &["--version"]),
        (0, &["completions", "bash"]),
        (2, &[]),
        (2, &["bogus"]),
        (2, &["decode", "--bogus"]),
        (2, &["serve", "--data", here, "--listen", "no-port"]),
        (2, &["emit", "--connect", "127.0.0.1:1", "--registers", "0", "--receipts", "1"]),
        (2, &["find", "--data", here, "--fn", "9999078900001234"]),
        (2, &["find", "--data", here, "--fn", "9999078900001234", "--fd", "1", "--fpd", "1"]),
        (2, &["find", "--data", here, "--fn", "12x", "--fd", "1"]),
        (2, &["--log", "=,=", "config", "print-default"]),
        (4, &["decode", nowhere]),
        (4, &["check", nowhere]),
        (4, &["config", "check", nowhere]),
        (4, &["serve", "--data", nowhere, "--config", nowhere]),
        (4, &["find", "--data", nowhere, "--fn", "9999078900001234", "--fd", "1"]),
        (4, &["compact", "--data", nowhere]),
        (4, &["verify", "--data", nowhere]),
        (4, &["verify", "--data", here]),
        (4, &["compact", "--data", here]),
    ];
    for (code, words) in table {
        let ran = ofd(*words).expect(*code);
        let has_data = ran.out.is_empty() == (*code != 0);
        assert!(
            has_data,
            "{words:?} {OFD}: data goes to stdout, talk to stderr: {:?} {:?}",
            ran.out, ran.err
        );
    }
    assert_eq!(std::fs::read_dir(here).unwrap().count(), 0, "a command that failed made something");
}
