//! What must hold between the tables before anything is generated from them.

use std::collections::{HashMap, HashSet};

use anyhow::{Result, ensure};

use crate::tables::{Code, Codes, Kind, Requirement, Sees, Tables, version_index};

/// Highest tag number the dense tables have room for.
pub(crate) const TAG_MAX: u16 = 2199;
/// Lowest one; smaller numbers are forms of documents.
pub(crate) const TAG_MIN: u16 = 1000;

pub(crate) fn consistent(tables: &Tables) -> Result<()> {
    tags(tables)?;
    structure(tables)?;
    lists(tables)?;
    rules(tables)?;
    life_rules(tables)
}

fn tags(tables: &Tables) -> Result<()> {
    let mut constants = HashSet::new();
    let mut last = 0;
    for row in &tables.tags {
        let tag = row.tag;
        ensure!((TAG_MIN..=TAG_MAX).contains(&tag), "tag {tag} is outside {TAG_MIN}..={TAG_MAX}");
        ensure!(last <= tag, "tag {tag} stands after {last}: rows ascend");
        last = tag;
        ensure!(!row.fixed || row.len.is_some(), "tag {tag} is fixed but has no len");
        ensure!(
            row.order_len.is_none_or(|own| row.len.is_some_and(|len| own < len)),
            "tag {tag}: order_len < len"
        );
        let wide = match row.kind {
            Kind::Byte => row.len == Some(1),
            Kind::U16 => row.len == Some(2),
            Kind::U32 | Kind::UnixTime => row.len == Some(4),
            Kind::Bits => matches!(row.len, Some(1 | 4)),
            Kind::Vln | Kind::Fvln => row.len.is_some(),
            Kind::Text | Kind::Stlv | Kind::Bytes => true,
        };
        ensure!(wide, "tag {tag}: len does not suit its kind");
        let since = version_index(&row.since)?;
        if let Some(until) = &row.until {
            ensure!(since <= version_index(until)?, "tag {tag} ends before it begins");
        }
        if let Some(name) = &row.constant {
            ensure!(constants.insert(name), "constant {name} stands twice");
        }
    }
    Ok(())
}

fn structure(tables: &Tables) -> Result<()> {
    let known: HashSet<u16> = tables.tags.iter().map(|row| row.tag).collect();
    let mut places = HashSet::new();
    for table in &tables.structure {
        let version = version_index(&table.version)?;
        for &form in &table.forms {
            let place = (version, form, table.parent);
            ensure!(
                places.insert(place),
                "two tables for version {} form {form} parent {}",
                table.version,
                table.parent
            );
        }
        // The walk of the rules remembers the rows it saw in 128 bits.
        ensure!(table.rows.len() <= 128, "structure.toml: {} rows in one table", table.rows.len());
        let mut last = 0;
        for row in &table.rows {
            let row = Requirement::parse(row)?;
            ensure!(known.contains(&row.tag), "structure.toml names tag {}, ffd.toml does not", row.tag);
            ensure!(last < row.tag, "structure.toml: tag {} after {last} in form {:?}", row.tag, table.forms);
            last = row.tag;
        }
    }
    Ok(())
}

fn lists(tables: &Tables) -> Result<()> {
    let mut holders: HashMap<u16, &str> = HashMap::new();
    for list in &tables.lists {
        for &tag in &list.tags {
            ensure!(tables.tags.iter().any(|row| row.tag == tag), "list {} names tag {tag}", list.name);
            let other = holders.insert(tag, &list.name);
            ensure!(other.is_none(), "tag {tag} holds values of {} and of {other:?}", list.name);
        }
        for (code, _) in &list.rows {
            let suits = matches!(
                (list.codes, code),
                (Codes::Text, Code::Text(_)) | (Codes::Number | Codes::Bits, Code::Number(_))
            );
            ensure!(suits, "list {}: {code:?} does not suit {:?}", list.name, list.codes);
        }
    }
    Ok(())
}

fn rules(tables: &Tables) -> Result<()> {
    let mut seen = HashSet::new();
    for rule in &tables.rules {
        ensure!(seen.insert(&rule.key) && seen.insert(&rule.name), "rule {} stands twice", rule.key);
        let runs = rule.run.is_some() != (rule.sees == Sees::Message);
        ensure!(runs, "rule {}: exactly the rules that do not see messages have `run`", rule.key);
        ensure!(
            rule.tags.is_empty() || rule.sees == Sees::Tag,
            "rule {}: `tags` is for rules that see tags",
            rule.key
        );
        ensure!(
            !rule.glance || rule.sees == Sees::Tag,
            "rule {}: `glance` is for rules that see tags",
            rule.key
        );
        ensure!(
            rule.nests.is_empty() || rule.sees == Sees::Nest,
            "rule {}: `nests` is for rules that see nests",
            rule.key
        );
        ensure!(
            rule.errors.is_empty() || rule.sees == Sees::Message,
            "rule {}: `errors` without messages",
            rule.key
        );
    }
    Ok(())
}

fn life_rules(tables: &Tables) -> Result<()> {
    let rules = tables.rules.iter().flat_map(|rule| [&rule.key, &rule.name]);
    let mut seen: HashSet<&String> = rules.collect();
    for (code, rule) in (1_u8..).zip(&tables.life_rules) {
        ensure!(seen.insert(&rule.key) && seen.insert(&rule.name), "rule {} stands twice", rule.key);
        ensure!(rule.code == code, "rule {} has code {} where {code} is due", rule.key, rule.code);
    }
    Ok(())
}
