//! `ofd serve --http`: health, readiness, metrics, and what stands on them.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use ofd_emit::{ProfileOptions, Register};
use ofd_engine::codec::container_crc;
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::Value;

use crate::support::{Server, soon};

/// The status and the body of an answer.
pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
}

fn ask(address: &str, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Lines of `/metrics` as name, labels and value.
fn metrics(address: &str) -> Vec<(String, String, f64)> {
    let (status, text) = get(address, "/metrics");
    assert_eq!(status, 200);
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = name.split_once('{').unwrap_or((name, ""));
            (name.to_owned(), labels.trim_end_matches('}').to_owned(), value.parse().unwrap())
        })
        .collect()
}

fn value(metrics: &[(String, String, f64)], name: &str, labels: &str) -> f64 {
    let found = metrics.iter().find(|it| it.0 == name && it.1 == labels);
    found.unwrap_or_else(|| panic!("{name}{{{labels}}} is missing in {metrics:?}")).2
}

/// What a load balancer and Prometheus see of a server that works.
#[test]
fn health_readiness_and_metrics_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &["--http", "127.0.0.1:0"]);
    let http = server.http.clone().unwrap();
    assert_eq!(get(&http, "/healthz"), (200, "ok\n".to_owned()));
    assert_eq!(get(&http, "/readyz"), (200, "accepting\n".to_owned()));
    assert_eq!(get(&http, "/").0, 404);
    assert_eq!(ask(&http, "POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").0, 405);
    // Noise on this port harms nobody.
    assert_eq!(ask(&http, "\u{1}\u{2}\r\n\r\n").0, 400);

    server.feed(3, 4, 1);
    let told = metrics(&http);
    for (name, labels, expected) in [
        ("ofd_frames_total", "", 21.0),
        ("ofd_documents_stored_total", "", 21.0),
        ("ofd_answers_total", "", 21.0),
        ("ofd_unanswered_total", "reason=\"overloaded\"", 0.0),
        ("ofd_frame_seconds_count", "", 21.0),
        ("ofd_frame_seconds_bucket", "le=\"+Inf\"", 21.0),
        ("ofd_health", "state=\"ready\"", 1.0),
        ("ofd_health", "state=\"failed\"", 0.0),
        ("ofd_frames_inside", "", 0.0),
        ("ofd_bytes_inside", "", 0.0),
        ("ofd_bytes_held", "", 0.0),
    ] {
        assert_eq!(value(&told, name, labels).to_bits(), f64::to_bits(expected), "{name} {labels}");
    }
    assert!(value(&told, "ofd_durable_position", "") >= 21.0);
    assert!(value(&told, "ofd_disk_free_bytes", "") > 0.0);
    server.stop();
    assert!(TcpStream::connect(&http).is_err(), "it ends with the server");
}

/// A number of a drive in a label is a leak and a flood of series at once.
#[test]
fn metrics_have_few_labels_and_nobodys_data() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &["--http", "127.0.0.1:0"]);
    let http = server.http.clone().unwrap();
    let before = metrics(&http);
    server.feed(20, 2, 3);
    let after = metrics(&http);
    let series = |told: &[(String, String, f64)]| -> BTreeSet<_> {
        told.iter().map(|it| (it.0.clone(), it.1.clone())).collect()
    };
    assert_eq!(series(&before), series(&after), "every series is there from the beginning");
    assert!(after.len() < 100, "{} series", after.len());
    for (name, labels, _) in &after {
        let key = labels.split('=').next().unwrap();
        assert!(
            ["", "reason", "state", "le", "version", "result", "follower"].contains(&key),
            "{name} {labels}"
        );
        let digits = labels.bytes().filter(u8::is_ascii_digit).count();
        assert!(key == "le" || digits < 8, "{name} {labels}");
    }
    server.stop();
}

fn operations() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/operations")
}

/// Names that begin with `ofd_` in an expression.
fn names(expression: &str) -> impl Iterator<Item = String> {
    let words = expression.split(|it: char| !(it.is_ascii_alphanumeric() || it == '_'));
    words.filter(|it| it.starts_with("ofd_")).map(str::to_owned)
}

/// An alert on a metric that does not exist never fires, and a dashboard shows nothing; both look fine.
#[test]
fn dashboard_and_alerts_name_metrics_that_exist_and_each_alert_has_its_runbook() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &["--http", "127.0.0.1:0"]);
    let told: BTreeSet<_> =
        metrics(&server.http.clone().unwrap()).into_iter().map(|(name, ..)| name).collect();
    server.stop();

    let dashboard: Value =
        serde_json::from_str(&std::fs::read_to_string(operations().join("dashboard.json")).unwrap()).unwrap();
    let mut named = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            named.extend(names(target["expr"].as_str().unwrap()));
        }
    }
    assert_eq!(named, told, "the dashboard shows every metric and no other");

    let text = std::fs::read_to_string(operations().join("alerts.yml")).unwrap();
    let rules = Yaml::load_from_str(&text).unwrap();
    let mut alerts = BTreeSet::new();
    for group in rules[0]["groups"].as_sequence().unwrap() {
        for rule in group["rules"].as_sequence().unwrap() {
            let alert = rule["alert"].as_str().unwrap();
            let expression = rule["expr"].as_str().unwrap();
            let used: BTreeSet<_> = names(expression).collect();
            assert!(!used.is_empty() && used.is_subset(&told), "{alert}: {expression}");
            let runbook = rule["annotations"]["runbook"].as_str().unwrap();
            assert_eq!(runbook, format!("docs/operations/runbooks/{alert}.md"));
            let page = std::fs::read_to_string(operations().join(format!("runbooks/{alert}.md"))).unwrap();
            for part in ["## Что случилось", "## Чем грозит", "## Что делать", "## Когда закончено"]
            {
                assert!(page.contains(part), "{alert} lacks {part}");
            }
            assert!(rule["annotations"]["summary"].as_str().is_some());
            assert!(["critical", "warning"].contains(&rule["labels"]["severity"].as_str().unwrap()));
            assert!(alerts.insert(alert.to_owned()), "{alert} twice");
        }
    }
    let pages = std::fs::read_dir(operations().join("runbooks")).unwrap().count();
    assert_eq!(alerts.len(), pages, "a runbook without an alert");
    let readme = std::fs::read_to_string(operations().join("README.md")).unwrap();
    for name in &told {
        assert!(readme.contains(name.as_str()), "{name} is not told in docs/operations/README.md");
    }
}

/// The same message with the value of its buyer contact (1008) replaced, CRC made good.
fn with_contact(message: &[u8], contact: &[u8]) -> Option<Vec<u8>> {
    let at = (62..message.len().checked_sub(4)?).find(|at| {
        message[*at..].starts_with(&[0xF0, 0x03])
            && usize::from(u16::from_le_bytes([message[at + 2], message[at + 3]])) >= contact.len()
            && message[at + 3] == 0
            && message.get(at + 4).is_some_and(|it| it.is_ascii_graphic())
    })?;
    let len = usize::from(message[at + 2]);
    let mut other = message.to_vec();
    let place = other.get_mut(at + 4..at + 4 + len)?;
    place.fill(b'7');
    place[..contact.len()].copy_from_slice(contact);
    let crc = container_crc(&other[30..]);
    other[32..34].copy_from_slice(&crc.to_le_bytes());
    Some(other)
}

/// Personal data must not leave through the back door: a canary phone and a canary e-mail go through everything that
/// can become of a document, with everything told that can be told, and appear nowhere.
#[test]
fn a_canary_phone_and_mail_appear_in_no_log_metric_or_panic() {
    const CANARIES: [&str; 2] = ["+79990001234", "ca@na.ry"];
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for format in ["text", "json"] {
        let words = ["--http", "127.0.0.1:0", "--log", "trace", "--log-format", format];
        let server = Server::start(&data, &words);
        let http = server.http.clone().unwrap();
        let mut sent = [0; 2];
        for index in 0..40 {
            let mut register = Register::new(5, index, &ProfileOptions::default());
            for _ in 0..30 {
                let mut message = Vec::new();
                register.next_message(&mut message).unwrap();
                for (canary, sent) in CANARIES.iter().zip(&mut sent) {
                    let Some(good) = with_contact(&message, canary.as_bytes()) else { continue };
                    *sent += 1;
                    // Good; another under the same number; a broken CRC; a body that is none; cut off; no protocol.
                    let mut other = good.clone();
                    let len = other.len();
                    other[len - 12] ^= 1;
                    let crc = container_crc(&other[30..]);
                    other[32..34].copy_from_slice(&crc.to_le_bytes());
                    let mut broken = good.clone();
                    broken[32] ^= 1;
                    let mut misfit = good.clone();
                    misfit[64] ^= 1;
                    let crc = container_crc(&misfit[30..]);
                    misfit[32..34].copy_from_slice(&crc.to_le_bytes());
                    let cut = good[..len - 20].to_vec();
                    let noise = canary.as_bytes().repeat(20);
                    for bytes in [good, other, broken, misfit, cut, noise] {
                        let mut stream = TcpStream::connect(&server.listen).unwrap();
                        let _ = stream.write_all(&bytes);
                        let _ = stream.shutdown(std::net::Shutdown::Write);
                        let _ = stream.read_to_end(&mut Vec::new());
                    }
                }
            }
            if sent.iter().all(|it| *it >= 5) {
                break;
            }
        }
        assert!(sent.iter().all(|it| *it >= 5), "the canaries were sent {sent:?} times");
        soon("unanswered ones", || {
            let told = metrics(&http);
            value(&told, "ofd_unanswered_total", "reason=\"noise\"") > 0.0
                && value(&told, "ofd_unanswered_total", "reason=\"quarantined\"") > 0.0
        });
        let (_, told) = get(&http, "/metrics");
        let log = server.stop();
        assert!(log.len() > 1_000, "something was told: {log}");
        for canary in CANARIES {
            let hex: String = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
            let list = format!("{:?}", canary.as_bytes());
            for trace in [canary, canary.trim_start_matches("+7"), &hex, list.trim_matches(['[', ']'])] {
                assert!(!told.contains(trace), "{trace} in the metrics");
                assert!(!log.to_lowercase().contains(trace), "{trace} in the log");
            }
        }
    }
}
