//! The table of keys against its own promises, and against the engine.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]
use super::*;

fn fault(text: &str) -> String {
    match Config::parse("ofd.toml", text) {
        Ok(config) => panic!("{config:?}"),
        Err(failure) => format!("{failure:?}"),
    }
}

#[test]
fn what_is_printed_as_the_default_is_the_default() {
    let printed = Config::print_default();
    assert_eq!(Config::parse("default", &printed).unwrap(), Config::default());
    // Without the lines of values nothing is left: the comments alone change nothing.
    for key in KEYS {
        let leaf = key.name.rsplit('.').next().unwrap();
        assert!(printed.lines().any(|line| line.starts_with(&format!("{leaf} = "))), "{}", key.name);
    }
}

/// Two keys over one field, or a set that forgets, would pass the test of the default.
#[test]
fn every_key_changes_the_field_it_names_and_no_other() {
    for key in KEYS {
        let value = match (&key.field, key.name) {
            (Field::Integer { max, .. }, _) => max.to_string(),
            (_, "listen") => r#""[::1]:1""#.to_owned(),
            (_, "http" | "tls.listen") => r#""127.0.0.1:1""#.to_owned(),
            (_, "tls.certificate_file" | "tls.key_file")
            | (_, "tax.authority_file" | "tax.certificate_file" | "tax.key_file") => {
                r#""/etc/ofd/one.pem""#.to_owned()
            }
            (_, "tax.url") => r#""http://gateway:8080/fns""#.to_owned(),
            (_, "archive.url") => r#""s3://archive/ofd""#.to_owned(),
            (_, "archive.endpoint") => r#""https://storage.example""#.to_owned(),
            (_, "archive.region" | "archive.keys_file") => r#""one""#.to_owned(),
            (_, "answer.test_ping") => r#""82fb""#.to_owned(),
            (_, "operator.inn") => r#""500100732259""#.to_owned(),
            (_, "answer.refuse") => r#"["B2", "tag.inn"]"#.to_owned(),
            (_, "log.required_cursors") => r#"["tax"]"#.to_owned(),
            (_, "log.mirror_dir") => r#""/mnt/second/ofd""#.to_owned(),
            (_, "log.mirror_failure") => r#""degrade""#.to_owned(),
            (_, "notify.webhook_targets") => r#""inner""#.to_owned(),
            (_, "notify.smtp_server") => r#""mail.example:465""#.to_owned(),
            (_, "notify.smtp_security") => r#""starttls""#.to_owned(),
            (_, "notify.smtp_from") => r#""kassa@ofd.example""#.to_owned(),
            (_, "notify.smtp_user") => r#""kassa""#.to_owned(),
            (_, name) if name.starts_with("notify.") => r#""/etc/ofd/one.txt""#.to_owned(),
            (_, "trace.filter") => r#""warn,ofd_engine=debug""#.to_owned(),
            (_, name) => panic!("{name} needs a value here"),
        };
        let config = Config::parse("one", &format!("{} = {value}", key.name)).unwrap();
        for other in KEYS {
            let changed = other.field.value(&config) != other.field.value(&Config::default());
            assert_eq!(changed, other.name == key.name, "{} through {}", other.name, key.name);
        }
    }
}

/// A certificate without its key would be left out in silence, and the service would know nobody.
#[test]
fn a_certificate_for_the_tax_service_wants_its_key() {
    for one in ["certificate_file", "key_file"] {
        let text = format!("[tax]\nurl = \"https://gateway/fns\"\n{one} = \"/etc/ofd/one.pem\"\n");
        let error = Config::parse("one", &text).unwrap().tax_service().err().unwrap();
        assert!(format!("{error:?}").contains("together or not at all"), "{error:?}");
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_what_is_allowed() {
    let told = fault("listen = \"a:1\"\n\n[log]\nsegment_len = 5\n");
    assert!(
        told.contains("ofd.toml:4: unknown key log.segment_len; allowed here: segment_len_bytes"),
        "{told}"
    );
    let told = fault("[logs]\nx = 1\n");
    assert!(
        told.contains("ofd.toml:1: unknown key logs; allowed here: listen, http, [tls], [operator]"),
        "{told}"
    );
}

#[test]
fn every_fault_of_a_file_is_told_at_once_with_its_bounds() {
    let told = fault("[operator]\ninn = \"12\"\nzone_min = 5.5\n[log]\nsegment_len_bytes = 1048577\n");
    assert!(told.contains("ofd.toml:2: operator.inn is out of bounds (12): 10 or 12 digits"), "{told}");
    assert!(told.contains("ofd.toml:3: operator.zone_min is float"), "{told}");
    assert!(told.contains("ofd.toml:5: log.segment_len_bytes is out of bounds (1048577)"), "{told}");
    assert!(told.contains("a multiple of 4096"), "{told}");
    assert!(fault("answer.refuse = [\"Z1\"]").contains("(Z1)"));
    assert!(fault("listen = \"a:1\"\nlog = 5\n").contains("ofd.toml:2: log is a table, write [log]"));
    assert!(fault("listen = \n").contains("ofd.toml:1: "));
}

/// The engine has the last word on its bounds; the table repeats them for people.
#[test]
fn the_bounds_told_are_those_of_the_engine() {
    // Nothing can be opened there, so that only the options are judged.
    let nowhere = Path::new("/dev/null/ofd");
    for key in KEYS {
        let Field::Integer { min, max, step, set, .. } = &key.field else { continue };
        let refused = |value: i64| {
            let mut config = Config::default();
            set(&mut config, value);
            config.builder(nowhere).open().unwrap_err().to_string().contains("out of bounds")
        };
        assert!(!refused(*min) && !refused(*max), "{}", key.name);
        // These are the server's own, no option of the engine.
        if !key.name.ends_with(".every_s") && !key.name.starts_with("scrub.") {
            assert!(refused(max + step), "{}", key.name);
            // 0 threads is a word of the configuration, not of the engine.
            assert!(key.name.starts_with("threads.") || refused(min - step), "{}", key.name);
        }
    }
}

#[test]
fn only_reloadable_keys_are_taken_from_a_new_file() {
    let mut config = Config::default();
    let new = Config { compact_every_s: 5, workers: 3, ..Config::default() };
    assert_eq!(config.reload(&new), (vec!["compact.every_s"], vec!["threads.workers"]));
    assert_eq!(config, Config { compact_every_s: 5, ..Config::default() });
}
