//! JSON that must hold for any bytes: it parses, and no object has a key twice.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Any JSON value in which no object has a key twice.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueKeys)
    }
}

struct UniqueKeys;

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without null, true or false")
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Unique, A::Error> {
        while seq.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            // A number of any size comes as a map with one key of the parser's own.
            if key.starts_with("$serde_json") {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            map.next_value::<Unique>()?;
            if !keys.insert(key.clone()) {
                return Err(A::Error::custom(format!("key {key} twice")));
            }
        }
        Ok(Unique)
    }
}

/// Fails unless the text is one JSON object without a repeated key anywhere.
pub(crate) fn check_json(text: &str) {
    if let Err(error) = serde_json::from_str::<Unique>(text) {
        panic!("{error}: {text}");
    }
}
