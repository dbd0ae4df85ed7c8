//! The five hand-written tables as Rust values. Unknown keys are errors: a misspelt `fixd = true` must not pass.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// Versions in the order of `FfdVersion`.
pub(crate) const VERSIONS: [&str; 4] = ["1.0", "1.05", "1.1", "1.2"];

/// Everything below `codec/dictionary/`.
#[derive(Debug)]
pub struct Tables {
    pub(crate) tags: Vec<TagRow>,
    pub(crate) structure: Vec<TableRow>,
    pub(crate) lists: Vec<ListRow>,
    pub(crate) rules: Vec<RuleRow>,
    pub(crate) life_rules: Vec<LifeRuleRow>,
}

/// A row of ffd.toml; keys are explained there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TagRow {
    pub(crate) tag: u16,
    #[serde(rename = "const")]
    pub(crate) constant: Option<String>,
    pub(crate) json: Option<String>,
    #[serde(default)]
    pub(crate) json_old: Vec<String>,
    pub(crate) kind: Kind,
    pub(crate) len: Option<u16>,
    pub(crate) order_len: Option<u16>,
    #[serde(default)]
    pub(crate) fixed: bool,
    #[serde(default)]
    pub(crate) repeats: bool,
    #[serde(rename = "in")]
    pub(crate) parents: Vec<u16>,
    pub(crate) since: String,
    pub(crate) until: Option<String>,
    #[serde(default)]
    pub(crate) printed: bool,
    pub(crate) name: String,
    pub(crate) src: Option<Source>,
    pub(crate) note: Option<String>,
}

#[derive(Copy, Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Byte,
    U16,
    U32,
    Vln,
    Fvln,
    UnixTime,
    Text,
    Bits,
    Stlv,
    Bytes,
}

#[derive(Copy, Clone, Debug, Deserialize, PartialEq, Eq)]
pub(crate) enum Source {
    #[serde(rename = "236")]
    Order236,
    #[serde(rename = "old")]
    Old,
    #[serde(rename = "reused")]
    Reused,
    #[serde(rename = "draft")]
    Draft,
}

/// A block of structure.toml.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableRow {
    pub(crate) version: String,
    pub(crate) forms: Vec<u8>,
    pub(crate) parent: u16,
    #[serde(default)]
    #[expect(dead_code, reason = "where the rows come from, for the reader of the table")]
    pub(crate) order_tables: Vec<String>,
    pub(crate) rows: Vec<String>,
}

/// One row `tag need count carrier` of structure.toml, split.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Requirement {
    pub(crate) tag: u16,
    pub(crate) need: &'static str,
    pub(crate) repeats: bool,
    pub(crate) carrier: &'static str,
}

impl Requirement {
    pub(crate) fn parse(row: &str) -> Result<Self> {
        let mut words = row.split(' ');
        let tag = words.next().unwrap_or_default().parse().with_context(|| format!("tag of row {row:?}"))?;
        let need = match words.next() {
            Some("1" | "y") => "Must",
            Some("2" | "c") => "Conditional",
            Some("3" | "n") => "Optional",
            other => bail!("need {other:?} of row {row:?}"),
        };
        let repeats = match words.next() {
            Some("1" | "0..1") => false,
            Some("1..*" | "0..*") => true,
            other => bail!("count {other:?} of row {row:?}"),
        };
        let carrier = match words.next() {
            Some("Э" | "ПЭ") => "Wire",
            Some("П") => "Paper",
            None => "Unstated",
            other => bail!("carrier {other:?} of row {row:?}"),
        };
        ensure!(words.next().is_none(), "row {row:?} has a fifth word");
        Ok(Self { tag, need, repeats, carrier })
    }
}

/// A block of enums.toml.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListRow {
    pub(crate) name: String,
    pub(crate) tags: Vec<u16>,
    pub(crate) codes: Codes,
    #[serde(default = "yes")]
    pub(crate) strict: bool,
    pub(crate) rows: Vec<(Code, String)>,
}

fn yes() -> bool {
    true
}

#[derive(Copy, Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Codes {
    Number,
    Bits,
    Text,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub(crate) enum Code {
    Number(u32),
    Text(String),
}

/// A row of rules.toml.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleRow {
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) level: Level,
    pub(crate) sees: Sees,
    #[serde(default)]
    pub(crate) tags: Vec<u16>,
    #[serde(default)]
    pub(crate) glance: bool,
    #[serde(default)]
    pub(crate) nests: Vec<u16>,
    pub(crate) run: Option<String>,
    #[serde(default)]
    pub(crate) errors: Vec<String>,
    pub(crate) source: String,
    pub(crate) explain: String,
    pub(crate) advice: String,
    pub(crate) fixable: Fixable,
    pub(crate) example: String,
}

/// A row of life_rules.toml.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LifeRuleRow {
    pub(crate) code: u8,
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) level: Level,
    pub(crate) scope: Scope,
    #[serde(default)]
    pub(crate) lasting: bool,
    pub(crate) law: String,
    pub(crate) explain: String,
    pub(crate) advice: String,
    pub(crate) fixable: Fixable,
}

#[derive(Copy, Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fixable {
    Correction,
    ReRegistration,
    Settings,
    None,
}

#[derive(Copy, Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    Document,
    Shift,
    Drive,
    Register,
}

#[derive(Copy, Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Error,
    Warning,
    Info,
}

#[derive(Copy, Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sees {
    Message,
    Tag,
    Nest,
    Item,
    Receipt,
    Document,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TagFile {
    tag: Vec<TagRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StructureFile {
    table: Vec<TableRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListFile {
    r#enum: Vec<ListRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    #[serde(default)]
    rule: Vec<RuleRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LifeRuleFile {
    rule: Vec<LifeRuleRow>,
}

impl Tables {
    /// Reads the five tables of a folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let text = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
        };
        let tags: TagFile = toml::from_str(&text("ffd.toml")?).context("ffd.toml")?;
        let structure: StructureFile = toml::from_str(&text("structure.toml")?).context("structure.toml")?;
        let lists: ListFile = toml::from_str(&text("enums.toml")?).context("enums.toml")?;
        let rules: RuleFile = toml::from_str(&text("rules.toml")?).context("rules.toml")?;
        let life: LifeRuleFile = toml::from_str(&text("life_rules.toml")?).context("life_rules.toml")?;
        let (tags, structure, lists) = (tags.tag, structure.table, lists.r#enum);
        Ok(Self { tags, structure, lists, rules: rules.rule, life_rules: life.rule })
    }
}

/// Position of a version in [`VERSIONS`].
pub(crate) fn version_index(version: &str) -> Result<usize> {
    VERSIONS
        .iter()
        .position(|known| *known == version)
        .with_context(|| format!("version {version:?} is not known"))
}
