//! JSON text to a small tree that borrows it: RFC 8259, nothing more and nothing less.
//!
//! Why no library: numbers must stay the text they are (a quantity of `1.000` is not `1`, a sign of 64 bits is not a
//! float), every value needs its offset for errors, keys may repeat, and this crate goes without `std`. `serde_json`
//! keeps numbers only by `arbitrary_precision`, which changes it for everybody in the build; `jiter` brings seven
//! crates and big integers; `sonic-rs` is built on `unsafe`; `struson` needs `std::io`. A parser of JSON is two
//! hundred lines, and a test holds it against `serde_json` on what both must accept and refuse.
//!
//! Limits: [`JSON_LEN_MAX`], [`JSON_DEPTH_MAX`], [`JSON_VALUES_MAX`]; memory is bounded by them.
//! Errors: `Syntax`, `TooLong`, `Depth`, `TooManyValues`, with path and offset.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::error::{JsonError, JsonErrorKind, Step};

/// Longest JSON text of one line, in bytes.
pub const JSON_LEN_MAX: usize = 4 << 20;
/// Deepest nest of objects and lists.
pub const JSON_DEPTH_MAX: usize = 32;
/// Most values in one text.
pub const JSON_VALUES_MAX: usize = 1 << 16;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item<'t> {
    pub(super) node: Node<'t>,
    pub(super) offset: usize,
}

/// A JSON value; numbers as they are spelled, members in their order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node<'t> {
    Null,
    Bool(bool),
    Number(&'t str),
    Text(Cow<'t, str>),
    List(Vec<Item<'t>>),
    Object(Vec<Member<'t>>),
}

/// One member of an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member<'t> {
    pub(super) key: Cow<'t, str>,
    pub(super) item: Item<'t>,
}

/// Reads one value with white space around it.
pub(super) fn parse(text: &str) -> Result<Item<'_>, JsonError> {
    if text.len() > JSON_LEN_MAX {
        return Err(JsonError::new(JsonErrorKind::TooLong, JSON_LEN_MAX));
    }
    let mut cursor = Cursor { text, at: 0, values: 0 };
    cursor.skip_space();
    let item = cursor.value(0)?;
    cursor.skip_space();
    if cursor.at < text.len() {
        return Err(cursor.wrong());
    }
    Ok(item)
}

struct Cursor<'t> {
    text: &'t str,
    at: usize,
    values: usize,
}

impl<'t> Cursor<'t> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn advance(&mut self, count: usize) {
        self.at = self.at.saturating_add(count);
    }

    #[cold]
    fn wrong(&self) -> JsonError {
        JsonError::new(JsonErrorKind::Syntax, self.at)
    }

    /// The text from `start` to here. Both are always borders of characters: only ASCII is stopped at.
    fn since(&self, start: usize) -> &'t str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.advance(1);
        }
    }

    fn eat(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.peek() != Some(byte) {
            return Err(self.wrong());
        }
        self.advance(1);
        Ok(())
    }

    fn word(&mut self, word: &str, node: Node<'t>) -> Result<Node<'t>, JsonError> {
        for byte in word.bytes() {
            self.eat(byte)?;
        }
        Ok(node)
    }

    fn value(&mut self, depth: usize) -> Result<Item<'t>, JsonError> {
        let offset = self.at;
        self.values = self.values.saturating_add(1);
        if self.values > JSON_VALUES_MAX {
            return Err(JsonError::new(JsonErrorKind::TooManyValues, offset));
        }
        let node = match self.peek() {
            Some(b'{' | b'[') if depth >= JSON_DEPTH_MAX => {
                return Err(JsonError::new(JsonErrorKind::Depth, offset));
            }
            Some(b'{') => self.object(depth.saturating_add(1))?,
            Some(b'[') => self.list(depth.saturating_add(1))?,
            Some(b'"') => Node::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => Node::Number(self.number()?),
            Some(b'n') => self.word("null", Node::Null)?,
            Some(b't') => self.word("true", Node::Bool(true))?,
            Some(b'f') => self.word("false", Node::Bool(false))?,
            _ => return Err(self.wrong()),
        };
        Ok(Item { node, offset })
    }

    /// After a member or an element: true for a comma, false at the end.
    fn goes_on(&mut self, end: u8) -> Result<bool, JsonError> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.advance(1);
                self.skip_space();
                Ok(true)
            }
            Some(byte) if byte == end => {
                self.advance(1);
                Ok(false)
            }
            _ => Err(self.wrong()),
        }
    }

    /// After the opening bracket: true when it is closed at once.
    fn is_empty(&mut self, end: u8) -> bool {
        self.advance(1);
        self.skip_space();
        let empty = self.peek() == Some(end);
        self.advance(usize::from(empty));
        empty
    }

    fn object(&mut self, depth: usize) -> Result<Node<'t>, JsonError> {
        let mut members = Vec::new();
        if self.is_empty(b'}') {
            return Ok(Node::Object(members));
        }
        loop {
            let key = self.string()?;
            self.skip_space();
            self.eat(b':')?;
            self.skip_space();
            let item = self.value(depth).map_err(|error| error.within(Step::Key(&key)))?;
            members.push(Member { key, item });
            if !self.goes_on(b'}')? {
                return Ok(Node::Object(members));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Node<'t>, JsonError> {
        let mut items = Vec::new();
        if self.is_empty(b']') {
            return Ok(Node::List(items));
        }
        loop {
            let item = self.value(depth).map_err(|error| error.within(Step::Index(items.len())))?;
            items.push(item);
            if !self.goes_on(b']')? {
                return Ok(Node::List(items));
            }
        }
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.advance(1);
        }
        if self.at == start { Err(self.wrong()) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<&'t str, JsonError> {
        let start = self.at;
        self.advance(usize::from(self.peek() == Some(b'-')));
        match self.peek() {
            Some(b'0') => self.advance(1),
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.advance(1);
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.advance(1);
            self.advance(usize::from(matches!(self.peek(), Some(b'+' | b'-'))));
            self.digits()?;
        }
        Ok(self.since(start))
    }

    fn string(&mut self) -> Result<Cow<'t, str>, JsonError> {
        self.eat(b'"')?;
        let mut owned = String::new();
        let mut start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let rest = self.since(start);
                    self.advance(1);
                    if owned.is_empty() {
                        return Ok(Cow::Borrowed(rest));
                    }
                    owned.push_str(rest);
                    return Ok(Cow::Owned(owned));
                }
                Some(b'\\') => {
                    owned.push_str(self.since(start));
                    owned.push(self.escape()?);
                    start = self.at;
                }
                None | Some(0..b' ') => return Err(self.wrong()),
                Some(_) => self.advance(1),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        self.advance(1);
        let simple = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{C}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.wrong()),
        };
        self.advance(1);
        Ok(simple)
    }

    /// `u` and four hexadecimal digits, or two of them that make a pair of surrogates.
    fn unicode(&mut self) -> Result<char, JsonError> {
        let start = self.at;
        let wrong = JsonError::new(JsonErrorKind::Syntax, start);
        let first = self.four()?;
        let code = if (0xD800..0xDC00).contains(&first) {
            self.eat(b'\\')?;
            let second = self.four()?;
            if !(0xDC00..0xE000).contains(&second) {
                return Err(wrong);
            }
            0x1_0000_u32.saturating_add((first & 0x3FF) << 10 | second & 0x3FF)
        } else {
            first
        };
        char::from_u32(code).ok_or(wrong)
    }

    fn four(&mut self) -> Result<u32, JsonError> {
        self.eat(b'u')?;
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code = code << 4 | digit.ok_or_else(|| self.wrong())?;
            self.advance(1);
        }
        Ok(code)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Json;

    use super::*;

    /// As the judge has it: numbers keep their spelling there, and the last of repeated keys counts.
    fn told(item: &Item<'_>) -> Json {
        match &item.node {
            Node::Null => Json::Null,
            Node::Bool(it) => Json::Bool(*it),
            Node::Number(it) => Json::Number(it.parse().unwrap()),
            Node::Text(it) => Json::String(it.clone().into_owned()),
            Node::List(list) => Json::Array(list.iter().map(told).collect()),
            Node::Object(members) => {
                Json::Object(members.iter().map(|it| (it.key.clone().into_owned(), told(&it.item))).collect())
            }
        }
    }

    fn same(text: &str) {
        let ours = parse(text);
        match serde_json::from_str::<Json>(text) {
            Ok(theirs) => assert_eq!(told(&ours.unwrap_or_else(|it| unreachable!("{it}: {text}"))), theirs),
            Err(error) => assert!(ours.is_err(), "{error}: {text} gives {ours:?}"),
        }
    }

    /// Everything that the grammar has, and its neighbours that it has not.
    #[test]
    fn the_grammar_is_that_of_another_parser() {
        for text in [
            "",
            " ",
            "null",
            "nul",
            "nulll",
            "true",
            "false",
            "[]",
            "[ ]",
            "[1,]",
            "[,1]",
            "{}",
            "{ }",
            "{\"a\":1,}",
            "{\"a\" : [1 , 2.50e+10, -0, -0.0, 1E5]}",
            "{\"a\":1,\"a\":2}",
            "{a:1}",
            "{\"a\"}",
            "{\"a\":}",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "1e+",
            "+1",
            "0x1",
            "-01",
            "\"\"",
            "\"a",
            "\"\\u041f\\u0440\"",
            "\"\\ud83d\\ude00\"",
            "\"\\ud83d\"",
            "\"\\ud83dx\"",
            "\"\\ude00\"",
            "\"\\ud83d\\u0041\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\t\"",
            "\"\\t\\n\\r\\b\\f\\/\\\\\\\"\"",
            "\"Ёж\"",
            "1 2",
            "[1] x",
            "\u{FEFF}1",
            "\"\u{7f}\"",
            "[1}",
            "{\"a\":1]",
            "NaN",
            "Infinity",
            "'a'",
            "/* */ 1",
            "123456789012345678901234567890.123456789",
            "\"a\\u0000b\"",
        ] {
            same(text);
        }
    }

    /// Bounds hold at their borders, and a deep nest is no deep recursion.
    #[test]
    fn bounds_are_exact() {
        let nest = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(&nest(JSON_DEPTH_MAX)).is_ok());
        let error = parse(&nest(JSON_DEPTH_MAX + 1)).unwrap_err();
        assert_eq!((error.kind, error.offset), (JsonErrorKind::Depth, JSON_DEPTH_MAX));
        assert!(parse(&"[".repeat(1 << 20)).is_err());
        let list = |count: usize| format!("[{}0]", "0,".repeat(count - 1));
        assert!(parse(&list(JSON_VALUES_MAX - 1)).is_ok());
        assert_eq!(parse(&list(JSON_VALUES_MAX)).unwrap_err().kind, JsonErrorKind::TooManyValues);
        let long = |len: usize| format!("\"{}\"", "x".repeat(len - 2));
        assert!(parse(&long(JSON_LEN_MAX)).is_ok());
        assert_eq!(parse(&long(JSON_LEN_MAX + 1)).unwrap_err().kind, JsonErrorKind::TooLong);
    }

    /// An error names the way to it.
    #[test]
    fn syntax_errors_have_path_and_offset() {
        let error = parse(r#"{"receipt":{"items":[{"sum":1},{"sum":01}]}}"#).unwrap_err();
        assert_eq!(error.to_string(), "syntax at byte 39, receipt.items[1]");
        let error = parse(r#"{"a":[[tru]]}"#).unwrap_err();
        assert_eq!((error.path.as_str(), error.offset), ("a[0][0]", 10));
    }

    proptest! {
        /// Pieces of JSON in any order: both parsers accept the same and say the same.
        #[test]
        fn random_texts_are_judged_as_by_another_parser(
            pieces in proptest::collection::vec(prop::sample::select(vec![
                "{", "}", "[", "]", ",", ":", "\"a\"", "\"Ж\\n\"", "1", "-2.5", "1e3", "null", "true", " ", "\"", "\\", "0",
            ]), 0..12)
        ) {
            same(&pieces.concat());
        }
    }
}
