//! The committed files are what the tables say, and the generator refuses tables that contradict themselves.
#![allow(clippy::unwrap_used, reason = "a failing test may panic")]

/// Why: nobody may edit generated.rs, tags.rs or docs/rules.md by hand, or forget to generate them.
#[test]
fn committed_files_are_what_the_tables_generate() {
    let stale: Vec<_> = ofd_dictgen::stale(&ofd_dictgen::repository())
        .unwrap()
        .into_iter()
        .map(|output| output.path)
        .collect();
    assert!(stale.is_empty(), "run `cargo run -p ofd-dictgen`; stale: {stale:?}");
}

/// The tables of the repository with one replacement made in one of them.
fn with(file: &str, from: &str, to: &str) -> anyhow::Result<Vec<ofd_dictgen::Output>> {
    let folder = tempfile::tempdir()?;
    let into = folder.path().join("codec/dictionary");
    std::fs::create_dir_all(&into)?;
    for name in ["ffd.toml", "structure.toml", "enums.toml", "rules.toml", "life_rules.toml"] {
        let mut text =
            std::fs::read_to_string(ofd_dictgen::repository().join("codec/dictionary").join(name))?;
        if name == file {
            assert!(text.contains(from), "{name} does not hold {from:?}");
            text = text.replacen(from, to, 1);
        }
        std::fs::write(into.join(name), text)?;
    }
    ofd_dictgen::generate(folder.path())
}

/// Why: each check of the tables is itself held by a table that breaks it.
#[test]
fn contradictory_tables_are_refused_by_name() {
    for (file, from, to, says) in [
        ("ffd.toml", "tag = 1001,", "tag = 999,", "outside"),
        ("ffd.toml", "tag = 1001,", "tag = 1013,", "ascend"),
        ("ffd.toml", "\"AUTO_MODE\"", "\"OFFLINE_MODE\"", "twice"),
        ("ffd.toml", "kind = \"byte\", len = 1", "kind = \"byte\", len = 3", "len does not suit"),
        ("ffd.toml", "since = \"1.05\"", "since = \"1.3\"", "is not known"),
        ("ffd.toml", "kind = \"byte\"", "kind = \"bite\"", "ffd.toml"),
        ("structure.toml", "\"1001 y 1\"", "\"1001 x 1\"", "need"),
        ("structure.toml", "\"1001 y 1\"", "\"1999 y 1\"", "ffd.toml does not"),
        ("structure.toml", "forms = [1]", "forms = [1, 1]", "two tables"),
        ("enums.toml", "tags = [1054]", "tags = [1055]", "holds values of"),
        ("rules.toml", "key = \"B2\"", "key = \"B1\"", "stands twice"),
        ("rules.toml", "sees = \"receipt\"\nrun", "sees = \"message\"\nrun", "have `run`"),
        ("life_rules.toml", "code = 2", "code = 3", "where 2 is due"),
        ("life_rules.toml", "key = \"D2\"", "key = \"B2\"", "stands twice"),
        ("life_rules.toml", "level = \"error\"", "level = \"loud\"", "life_rules.toml"),
        ("rules.toml", "nests = [0]", "tags = [1020]", "for rules that see tags"),
        (
            "rules.toml",
            "sees = \"receipt\"\nrun",
            "sees = \"receipt\"\nglance = true\nrun",
            "for rules that see tags",
        ),
    ] {
        let error = with(file, from, to).expect_err(to);
        let text = format!("{error:#}");
        assert!(text.contains(says), "{file} with {to:?} says {text:?}, not {says:?}");
    }
}
