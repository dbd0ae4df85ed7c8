//! `ofd sql`, beside a server and after it.
//!
//! Without the feature `sql` the tool that is asked is the one of `OFD_SQL_TOOL`, which `.ci/run` sets, so that DataFusion is
//! compiled in one profile only; where there is none these tests say aloud that they are skipped.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{OFD, Ran, Server, ofd, run, small_segments};

/// Asks a data directory.
struct Asking {
    tool: PathBuf,
    data: PathBuf,
}

impl Asking {
    fn of(data: &Path) -> Option<Self> {
        let tool = if cfg!(feature = "sql") { Some(OFD.into()) } else { std::env::var_os("OFD_SQL_TOOL") };
        if tool.is_none() {
            eprintln!("SKIPPED: the tool is built without SQL, and OFD_SQL_TOOL names none that has it");
        }
        Some(Self { tool: tool?.into(), data: data.to_owned() })
    }

    fn ask(&self, words: &[&str]) -> Ran {
        let data = self.data.to_str().unwrap();
        run(&self.tool, [&["sql", "--data", data], words].concat(), b"")
    }

    fn rows(&self, words: &[&str]) -> Vec<Value> {
        self.ask(&[words, &["--json"]].concat()).expect(0).json()
    }
}

/// Beside the server, while compactions come, and without it: the same rows, and money to the kopeck of what
/// `ofd shifts` says.
#[test]
fn sql_answers_beside_a_server_during_compactions_and_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let Some(sql) = Asking::of(&data) else { return };
    let config = small_segments(folder.path(), "");
    let server = Server::start(&data, &["--config", config.to_str().unwrap()]);
    assert_eq!(server.feed(6, 40, 3)["confirmed"], 6 * 43);

    let shifts = ofd(["shifts", "--data", data.to_str().unwrap(), "--json"]).expect(0).json();
    let revenue: i64 = shifts.iter().map(|it| it["revenue"].as_i64().unwrap()).sum();
    let question = "SELECT count(*) AS чеков, sum(выручка) AS выручка FROM чеки";
    let expected = [json!({"чеков": 6 * 40, "выручка": revenue})];
    assert_eq!(sql.rows(&[question]), expected);
    let by_day = "SELECT дата, sum(выручка) AS выручка FROM выручка_по_дням GROUP BY дата ORDER BY дата";
    let days = sql.rows(&[by_day]);
    assert_eq!(days.iter().map(|it| it["выручка"].as_i64().unwrap()).sum::<i64>(), revenue);

    ofd(["compact", "--data", data.to_str().unwrap(), "--all"]).expect(0);
    assert_eq!(sql.rows(&[question]), expected);
    assert_eq!(sql.rows(&[by_day]), days);
    assert_eq!(server.feed(6, 40, 4)["confirmed"], 6 * 43);
    let both = sql.rows(&["SELECT count(*) AS n FROM documents"]);
    assert_eq!(both, [json!({"n": 2 * 6 * 43})]);

    let users = sql.rows(&["SELECT inn, count(*) AS n FROM documents GROUP BY inn ORDER BY inn"]);
    let (inn, count) = (users[0]["inn"].as_str().unwrap(), &users[0]["n"]);
    let own = sql.rows(&["--inn", inn, "SELECT inn, count(*) AS n FROM documents GROUP BY inn"]);
    assert_eq!(own, [json!({"inn": inn, "n": count})]);
    let refused = sql.ask(&["--inn", inn, "SELECT * FROM containers"]).expect(2);
    assert!(refused.out.is_empty() && refused.err.contains("containers"), "{}", refused.err);

    let table = sql.ask(&["SELECT инн, рнм, чеков FROM кассы ORDER BY рнм"]).expect(0);
    assert!(table.out.contains("чеков") && table.out.contains(inn), "{}", table.out);
    let cards = sql.rows(&["SELECT адрес, ффд FROM карточки_касс"]);
    assert_eq!(cards.len(), 6);
    assert!(cards.iter().all(|card| card["адрес"].is_string() && card["ффд"].is_string()), "{cards:?}");
    let all = sql.rows(&["SELECT fn, fd, total FROM documents ORDER BY fn, fd"]);
    server.stop();
    assert_eq!(sql.rows(&["SELECT fn, fd, total FROM documents ORDER BY fn, fd"]), all);
}

/// Scripts go by the exit code.
#[test]
fn exit_codes_tell_a_wrong_question_from_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let Some(sql) = Asking::of(&data) else { return };
    assert!(sql.ask(&["SELECT 1"]).expect(4).err.contains("no such directory"));
    let server = Server::start(&data, &[]);
    assert_eq!(server.feed(2, 10, 5)["confirmed"], 2 * 13);
    for wrong in ["SELEC 1", "SELECT * FROM nowhere", "DROP TABLE documents", "SELECT 1; SELECT 2"] {
        let ran = sql.ask(&[wrong]).expect(2);
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{wrong}");
    }
    sql.ask(&["--memory-mb", "1", "SELECT 1"]).expect(2);
    sql.ask(&["SELECT 1 / (fd - fd) FROM documents"]).expect(1);
    let cut = sql.ask(&["--json", "--rows", "3", "SELECT fd FROM documents"]).expect(1);
    assert_eq!(cut.out.lines().count(), 3);
    assert!(cut.err.contains("more than 3 rows"), "{}", cut.err);
    let table = sql.ask(&["--rows", "3", "SELECT fd FROM documents"]).expect(1);
    assert!(table.out.contains("fd") && table.err.contains("more than 3 rows"), "{}", table.err);
    let cross = "SELECT count(*) FROM documents a CROSS JOIN documents b CROSS JOIN documents c CROSS JOIN documents d \
                 CROSS JOIN documents e CROSS JOIN documents f CROSS JOIN documents g CROSS JOIN documents h \
                 WHERE a.fd + b.fd + c.fd + d.fd + e.fd + f.fd + g.fd + h.fd < 0";
    let late = sql.ask(&["--seconds", "1", cross]).expect(1);
    assert!(late.err.contains("longer than it may"), "{}", late.err);
    server.stop();
}
