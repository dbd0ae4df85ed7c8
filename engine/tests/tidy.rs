//! Rules of the house that no compiler checks: what may depend on what, where unsafe code lives, that documents
//! point at what exists.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failing test may panic; the files are our own"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Every file of the repository with one of these endings, by its path from the root.
fn files(endings: &[&str]) -> BTreeMap<String, String> {
    fn walk(folder: &Path, root: &Path, endings: &[&str], found: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                // Built, downloaded or found by fuzzing; not ours to judge.
                if !matches!(name.as_str(), "target" | ".git" | "corpus" | "artifacts") {
                    walk(&path, root, endings, found);
                }
                continue;
            }
            let key = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            if endings.iter().any(|ending| key.ends_with(ending)) {
                found.insert(key, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(&root(), &root(), endings, &mut found);
    assert!(!found.is_empty(), "the repository is not where it is looked for");
    found
}

/// Rust without comments and the insides of strings, so that words in them are not taken for code.
fn code_of(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(next) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(raw) = rest.strip_prefix("r#\"") {
            raw.find("\"#").map_or(rest.len(), |end| end + 5)
        } else if next == '"' {
            let mut escaped = false;
            let end = rest.char_indices().skip(1).find(|&(_, symbol)| {
                let closes = symbol == '"' && !escaped;
                escaped = symbol == '\\' && !escaped;
                closes
            });
            end.map_or(rest.len(), |(at, _)| at + 1)
        } else if rest.starts_with("'\"'") {
            3
        } else {
            code.push(next);
            rest = &rest[next.len_utf8()..];
            continue;
        };
        code.push(' ');
        rest = &rest[skipped..];
    }
    code
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|symbol: char| !symbol.is_alphanumeric() && symbol != '_')
}

/// Why: one contract to read and one file to audit. The count makes a second block in that file show.
#[test]
fn unsafe_lives_in_one_file() {
    let mut counts = BTreeMap::new();
    for (path, source) in files(&[".rs"]) {
        let count = words(&code_of(&source)).filter(|word| *word == "unsafe").count();
        if count > 0 {
            counts.insert(path, count);
        }
    }
    // LMDB, a rival in a benchmark that nothing depends on, is opened by an unsafe call of its crate.
    let rival = ("bench/rivals/src/contenders.rs".to_owned(), 1);
    assert_eq!(counts, BTreeMap::from([rival, ("storage/src/mmap.rs".to_owned(), 9)]));
}

/// Why: a crate added without the lint would be out of sight of the compiler.
#[test]
fn every_library_denies_unsafe() {
    for (path, source) in files(&["src/lib.rs"]) {
        let denied = source.contains("#![forbid(unsafe_code)]") || source.contains("#![deny(unsafe_code)]");
        assert!(denied || path.starts_with("codec/dictgen") || path.starts_with("fuzz"), "{path}");
    }
}

/// The own crates among the `[dependencies]` of a manifest.
fn own_dependencies(manifest: &str) -> BTreeSet<&str> {
    let mut inside = false;
    let mut found = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line == "[dependencies]";
        } else if inside && line.starts_with("ofd-") {
            found.insert(line.split(['.', ' ', '=']).next().unwrap());
        }
    }
    found
}

/// Why: an arrow that points up makes the lower crate untestable alone.
#[test]
fn crates_depend_downwards_only() {
    let allowed = BTreeMap::from([
        ("codec", vec![]),
        ("codec/dictgen", vec![]),
        ("storage", vec!["ofd-codec"]),
        ("storage/powercut", vec!["ofd-storage"]),
        ("engine", vec!["ofd-codec", "ofd-storage", "ofd-emit", "ofd-sql"]),
        ("engine/sql", vec!["ofd-storage"]),
        // The generator speaks to the engine over TCP, as a register does.
        ("engine/emit", vec!["ofd-codec"]),
        // Its tests alone stand on the engine.
        ("engine/misuse", vec![]),
        ("bench", vec!["ofd-codec", "ofd-storage", "ofd-engine", "ofd-emit"]),
        ("bench/codecs", vec!["ofd-codec", "ofd-emit"]),
        ("bench/rivals", vec!["ofd-storage"]),
        ("examples", vec!["ofd-engine", "ofd-emit"]),
        ("fuzz", vec!["ofd-codec", "ofd-storage", "ofd-engine"]),
    ]);
    let manifests = files(&["/Cargo.toml"]);
    for (path, manifest) in &manifests {
        let folder = path.strip_suffix("/Cargo.toml").unwrap();
        let allowed =
            allowed.get(folder).unwrap_or_else(|| panic!("{folder} is a new crate: give it its place"));
        for name in own_dependencies(manifest) {
            assert!(allowed.contains(&name), "{folder} must not depend on {name}");
        }
    }
    assert_eq!(manifests.len(), allowed.len());
}

/// Why: the log serves opaque records; only the columns read documents.
#[test]
fn in_storage_only_the_columns_know_documents() {
    for (path, source) in files(&[".rs"]) {
        if path.starts_with("storage/src") && !path.starts_with("storage/src/columns") {
            let product = source.split("#[cfg(test)]").next().unwrap();
            let knows = words(&code_of(product)).any(|word| word == "ofd_codec");
            let excused = path.starts_with("storage/src/compact") || path.starts_with("storage/src/verify");
            assert!(!knows || excused, "{path} reads documents");
        }
    }
}

/// Why: the bans of clippy.toml are off for the workspace, so these lines are what makes them count.
#[test]
fn the_seam_is_linted_where_the_simulator_runs() {
    let line = "#![cfg_attr(not(test), warn(clippy::disallowed_methods, clippy::disallowed_types))]";
    for library in ["codec/src/lib.rs", "storage/src/lib.rs", "engine/src/lib.rs"] {
        let source = std::fs::read_to_string(root().join(library)).unwrap();
        assert!(source.contains(line), "{library} has lost {line}");
    }
    let linted = ["codec/src/", "storage/src/", "engine/src/"];
    let lifted: BTreeSet<_> = files(&[".rs"])
        .into_iter()
        .filter(|(path, _)| linted.iter().any(|folder| path.starts_with(folder)))
        .filter(|(path, _)| !path.ends_with("/lib.rs") && !path.starts_with("engine/src/bin/"))
        .filter(|(_, source)| code_of(source).contains("clippy::disallowed"))
        .map(|(path, _)| path)
        .collect();
    // The seam itself, the address of a socket, and what stands on the host's side: channels, the tax service, their secrets.
    let known = [
        "engine/src/channels/machine.rs",
        "engine/src/control.rs",
        "engine/src/secrets.rs",
        "engine/src/tax/http.rs",
        "storage/src/env/real.rs",
    ];
    assert_eq!(lifted, known.map(str::to_owned).into());
}

/// Why: a file is one idea; what is longer is two.
#[test]
fn no_file_is_longer_than_a_sitting() {
    for (path, source) in files(&[".rs", ".py", ".sh"]) {
        let lines = source.lines().count();
        assert!(lines <= 900 || path.ends_with("generated.rs"), "{path} has {lines} lines");
    }
}

/// Why: a reader who opens a file is told first what it is.
#[test]
fn every_source_file_says_what_it_is() {
    for (path, source) in files(&[".rs"]) {
        let compile_fail = path.contains("compile_fail");
        let told = source.lines().take(40).any(|line| line.starts_with("//!") || line.starts_with("// "));
        assert!(told || compile_fail, "{path} has no header");
    }
}

/// Why: what is unfinished belongs into an issue, and a path of one machine works on that machine only.
#[test]
fn nothing_is_left_lying_about() {
    let marks = ["FIX\u{4d}E", "XX\u{58}", "HAC\u{4b}", "TOD\u{4f}", "#[igno\u{72}e"];
    let places = ["../share\u{64}", "/wor\u{6b}/", "/roo\u{74}/", "/home\u{2f}"];
    for (path, text) in files(&[".rs", ".md", ".toml", ".py", ".sh", "justfile", "LICENSE-MIT"]) {
        if path.starts_with(".ci/") {
            continue;
        }
        for mark in marks.iter().chain(&places) {
            // A path may go through a folder of that name further down: `/tmp/work/`.
            let found = text.match_indices(mark).any(|(at, _)| !text[..at].ends_with(char::is_alphanumeric));
            assert!(!found, "{path} holds {mark:?}");
        }
    }
}

/// The targets of inline links, code blocks left out.
fn links(markdown: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in markdown.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        let mut rest = line;
        while let Some(at) = rest.find("](").filter(|_| !fenced) {
            rest = &rest[at + 2..];
            if let Some(end) = rest.find(')') {
                found.push(rest[..end].to_owned());
            }
        }
    }
    found
}

/// The anchor that a heading gets: lower case, spaces to dashes, punctuation dropped.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let slug = |heading: &str| {
        heading
            .chars()
            .filter(|symbol| symbol.is_alphanumeric() || matches!(symbol, ' ' | '-' | '_'))
            .map(|symbol| if symbol == ' ' { "-".to_owned() } else { symbol.to_lowercase().to_string() })
            .collect::<String>()
    };
    let headings = markdown.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| slug(line.trim_start_matches('#').trim())).collect()
}

/// Why: a link to nowhere is how documents begin to rot.
#[test]
fn every_link_of_the_documents_resolves() {
    let mut seen = 0;
    for (path, text) in files(&[".md"]) {
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            seen += 1;
            let (file, anchor) = link.split_once('#').map_or((link.as_str(), None), |(a, b)| (a, Some(b)));
            let target = match file {
                "" => root().join(&path),
                file => root().join(&path).parent().unwrap().join(file),
            };
            assert!(target.exists(), "{path} links to {link}");
            if let Some(anchor) = anchor {
                let text = std::fs::read_to_string(&target).unwrap();
                assert!(anchors(&text).contains(anchor), "{path} links to {link}, which has no such heading");
            }
        }
    }
    assert!(seen > 20, "only {seen} links were found");
}

/// Why: an invariant without a test is a wish.
#[test]
fn every_invariant_names_a_test_that_exists() {
    let text = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let claims: Vec<_> = text.split("Architecture invariant:").skip(1).collect();
    assert!(claims.len() >= 20, "only {} invariants", claims.len());
    for claim in claims {
        let named = claim.split_once("(test: ").and_then(|(before, rest)| {
            // The test must stand in the same paragraph.
            (!before.contains("\n\n")).then(|| rest.split_once(')')).flatten()
        });
        let (test, _) = named.unwrap_or_else(|| panic!("no test is named for:{claim}"));
        let (file, name) = test.rsplit_once("::").unwrap_or_else(|| panic!("{test} is no path::name"));
        let source =
            std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let source = code_of(&source);
        let function = format!("fn {name}(");
        let at = source.find(&function).unwrap_or_else(|| panic!("{file} has no test {name}"));
        // Under an attribute, or inside the macro of proptest.
        let head: String = source[..at].chars().rev().take(400).collect();
        let head: String = head.chars().rev().collect();
        assert!(head.contains("#[test]") || source.contains("proptest!"), "{file}: {name} is no test");
    }
}

/// Why: module headers name the test behind each of their invariants; a renamed test must not leave them behind.
#[test]
fn tests_named_in_module_headers_exist() {
    let sources = files(&[".rs"]);
    let functions: BTreeSet<_> = sources
        .values()
        .flat_map(|source| source.split("fn ").skip(1).filter_map(|rest| words(rest).next()))
        .collect();
    let (mut named, mut missing) = (0, Vec::new());
    for (path, source) in sources.iter().filter(|(path, _)| path.contains("/src/")) {
        let package = path.split("/src/").next().unwrap();
        for quoted in source.lines().filter(|line| line.starts_with("//!")).flat_map(|line| {
            // Every second piece between backticks is quoted.
            line.split('`').skip(1).step_by(2)
        }) {
            if quoted.starts_with("tests/") && quoted.ends_with(".rs") {
                named += 1;
                if !root().join(package).join(quoted).exists() {
                    missing.push(format!("{path} names {quoted}"));
                }
            }
            let sentence = quoted.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            if sentence && quoted.matches('_').count() >= 3 {
                named += 1;
                if !functions.contains(quoted) {
                    missing.push(format!("{path} names the test {quoted}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(named >= 20, "only {named} tests are named");
}

/// The commands of the fenced `sh` blocks, one block a string.
fn commands(markdown: &str) -> Vec<&str> {
    let blocks = markdown.split("```sh\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().trim()).collect()
}

/// Why: the two commands are what a stranger tries first, in whatever language he reads.
#[test]
fn both_readmes_give_the_same_two_commands() {
    let two = ["cargo run --release --example quickstart", "cargo test --features everything"];
    for readme in ["README.md", "README.ru.md"] {
        let text = std::fs::read_to_string(root().join(readme)).unwrap();
        let found: Vec<_> = commands(&text).into_iter().filter(|block| two.contains(block)).collect();
        assert_eq!(found, two, "{readme}");
        assert!(
            commands(&text).iter().all(|block| !block.lines().any(|line| line.starts_with('$'))),
            "{readme}"
        );
    }
}

/// Why: a page that repeats byte layouts drifts from the code that defines them.
#[test]
fn the_format_page_points_at_code() {
    let text = std::fs::read_to_string(root().join("docs/format.md")).unwrap();
    for file in ["storage/src/format.rs", "storage/src/record.rs", "storage/src/envelope.rs"] {
        assert!(text.contains(file), "docs/format.md does not name {file}");
    }
    assert!(!text.contains("u32") && !text.contains("u16"), "docs/format.md tells a layout");
}
