//! Reading JSON, with an error that says where.

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// A value of a type, from its JSON.
pub(crate) fn decode<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| described(text, &error))
}

/// The error's message, and the path to where it arose. That is found in the text,
/// by the line and column that the error names, and not by a deserializer which
/// keeps a record of the path: that would double the code of each event.
#[cold]
#[inline(never)]
fn described(text: &str, error: &serde_json::Error) -> Error {
    let (line, column) = (error.line(), error.column());
    let mut message = error.to_string();
    let mut offset = offset_of(text, line) + column;
    if error.is_data() {
        // In a payload, the field says more than line and column.
        let place = format!(" at line {line} column {column}");
        if message.ends_with(&place) {
            message.truncate(message.len() - place.len());
        }
    } else {
        // The column is that of the byte which came amiss, itself not read.
        offset = offset.saturating_sub(1);
    }
    Error::new(message).at(path_at(text, offset))
}

/// How many bytes lie before a line; lines count from 1.
fn offset_of(text: &str, line: usize) -> usize {
    let mut ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
    match line.checked_sub(2).and_then(|before| ends.nth(before)) {
        Some((end, _)) => end + 1,
        None => 0,
    }
}

/// The path of the value at which a reader stopped that has read `offset` bytes of
/// a JSON text: `lines[2].sku`, or nothing for the whole. It stops behind a value
/// that it has read and found wanting, or before one that it won't read.
fn path_at(text: &str, offset: usize) -> String {
    let mut walk = Walk { text, at: 0, offset, path: Vec::new() };
    // What was found, or else how far one got.
    let _ = walk.value();
    walk.path_text()
}

/// A step from a value into it.
enum Step {
    /// By a member's name: where the name stands, without its quotes.
    Member(std::ops::Range<usize>),
    Item(usize),
}

struct Walk<'a> {
    text: &'a str,
    at: usize,
    offset: usize,
    path: Vec<Step>,
}

/// The walk is over: the path leads to the place, or the text goes wrong there.
struct Over;

impl Walk<'_> {
    fn path_text(&self) -> String {
        let mut text = String::new();
        for step in &self.path {
            match step {
                Step::Member(name) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.push_str(self.text.get(name.clone()).unwrap_or_default());
                }
                Step::Item(index) => text.push_str(&format!("[{index}]")),
            }
        }
        text
    }

    /// Walks over a value, unless the place is at its beginning or end.
    fn value(&mut self) -> Result<(), Over> {
        self.space();
        if self.at >= self.offset {
            return Err(Over);
        }
        match self.peek()? {
            b'{' => self.members()?,
            b'[' => self.items()?,
            b'"' => {
                self.string()?;
            }
            _ => self.skip(|byte| !matches!(byte, b',' | b']' | b'}') && !is_space(byte)),
        }
        if self.at >= self.offset {
            return Err(Over);
        }
        Ok(())
    }

    fn members(&mut self) -> Result<(), Over> {
        self.at += 1;
        loop {
            self.space();
            match self.peek()? {
                b'}' => break,
                b',' => self.at += 1,
                b'"' => {
                    let name = self.string()?;
                    self.path.push(Step::Member(name));
                    if self.at >= self.offset {
                        return Err(Over);
                    }
                    self.space();
                    // The colon.
                    self.at += 1;
                    self.value()?;
                    self.path.pop();
                }
                _ => return Err(Over),
            }
        }
        self.at += 1;
        Ok(())
    }

    fn items(&mut self) -> Result<(), Over> {
        self.at += 1;
        let mut index = 0;
        loop {
            self.space();
            match self.peek()? {
                b']' => break,
                b',' => self.at += 1,
                _ => {
                    self.path.push(Step::Item(index));
                    self.value()?;
                    self.path.pop();
                    index += 1;
                }
            }
        }
        self.at += 1;
        Ok(())
    }

    /// Walks over a string and says where it stands, without its quotes.
    fn string(&mut self) -> Result<std::ops::Range<usize>, Over> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Ok(start..self.at - 1)
    }

    fn space(&mut self) {
        self.skip(is_space);
    }

    fn skip(&mut self, is_skipped: impl Fn(u8) -> bool) {
        while self.peek().is_ok_and(&is_skipped) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Result<u8, Over> {
        self.text.as_bytes().get(self.at).copied().ok_or(Over)
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read into")]
    struct Thing {
        number: i64,
        text: Option<String>,
        #[serde(default)]
        flag: bool,
        #[serde(default)]
        unit: Option<Kind>,
        #[serde(default)]
        when: Option<crate::Timestamp>,
        #[serde(default)]
        pair: (u8, String),
        #[serde(default)]
        things: Vec<Thing>,
        #[serde(default)]
        by_name: BTreeMap<String, Thing>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    #[expect(dead_code, reason = "only read into")]
    enum Kind {
        Plain,
        Holding(i64),
        With { size: u8 },
    }

    fn path_of(text: &str) -> Option<String> {
        let error = decode::<Thing>(text).expect_err(text);
        error.path().map(str::to_owned)
    }

    #[test]
    fn an_error_says_where_it_arose() {
        let check = |text: &str, path: &str| {
            assert_eq!(path_of(text).unwrap_or_default(), path, "{text}");
        };
        check(r#"{"number": "x"}"#, "number");
        check(r#"{"number": 1.5}"#, "number");
        check(r#"{"number": {}}"#, "number");
        check(r#"{"number":[1]}"#, "number");
        check(r#"{"number":null}"#, "number");
        check(r#"{ "number" : true , "text" : "a" }"#, "number");
        check(r#"{"text": "a"}"#, "");
        check(r#"{"number": 1, "text": 2}"#, "text");
        check(r#"{"number": 1, "when": "then"}"#, "when");
        check(r#"{"number": 1, "pair": [300, "a"]}"#, "pair[0]");
        check(r#"{"number": 1, "pair": [1]}"#, "pair");
        check(r#"{"number": 1, "unit": {"with": {"size": -1}}}"#, "unit.with.size");
        check(r#"{"number": 1, "things": [{"number": 1}, {}]}"#, "things[1]");
        check("{\n  \"number\": 1,\n  \"things\": [\n    {\"number\": \"ä\\\"]\"}\n  ]\n}", "things[0].number");
        check(r#"{"number": 1, "by_name": {"a b": {"number": []}}}"#, "by_name.a b.number");
        check(r#"{"number": 1, "nmber": 2}"#, "nmber");
        check("[]", "");
    }

    #[test]
    fn a_message_leaves_line_and_column_out() {
        let error = decode::<Thing>(r#"{"number": "12.50"}"#).expect_err("a text");
        assert_eq!(error.to_string(), r#"at number: invalid type: string "12.50", expected i64"#);
        let error = decode::<Thing>(r#"{"number": 1"#).expect_err("no JSON");
        assert_eq!(error.to_string(), "at number: EOF while parsing an object at line 1 column 12");
    }

    /// Every value of a text that decodes, replaced by others in turn, must give the
    /// path that serde_path_to_error gives, which records it on the way.
    #[test]
    fn paths_are_those_that_a_recording_deserializer_gives() {
        let whole = serde_json::json!({
            "number": 1, "text": "a", "flag": true, "unit": {"holding": 1},
            "when": "2026-01-01T00:00:00Z", "pair": [1, "b"],
            "things": [
                {"number": 1, "things": [{"number": 2}], "unit": "plain"},
                {"number": 3, "unit": {"with": {"size": 1}}},
            ],
            "by_name": {"x": {"number": 1}, "y": {"number": 2, "pair": [3, "c"]}},
        });
        let mut pointers = Vec::new();
        collect_pointers(&whole, "", &mut pointers);
        let others = serde_json::json!([null, true, -1, 1.5, 1e300, "z", [], [[]], {}, {"a": 1}]);
        let mut count = 0;
        for pointer in &pointers {
            for other in others.as_array().expect("a list") {
                let mut changed = whole.clone();
                *changed.pointer_mut(pointer).expect("a value") = other.clone();
                for text in [changed.to_string(), serde_json::to_string_pretty(&changed).expect("JSON")] {
                    let mut json = serde_json::Deserializer::from_str(&text);
                    let Err(recorded) = serde_path_to_error::deserialize::<_, Thing>(&mut json) else {
                        continue;
                    };
                    // Of an unknown name it tells the place around it, and we its own.
                    let is_unknown = recorded.to_string().contains("unknown ");
                    let recorded = recorded.path().to_string().replace('.', "/");
                    let found = path_of(&text).unwrap_or_default().replace('.', "/");
                    let recorded = recorded.trim_start_matches('/');
                    let is_found = found == recorded || is_unknown && found.starts_with(recorded);
                    assert!(is_found, "{found} is not {recorded} in {text}");
                    count += 1;
                }
            }
        }
        assert!(count > 200, "only {count} texts failed to decode");
    }

    fn collect_pointers(value: &serde_json::Value, at: &str, pointers: &mut Vec<String>) {
        pointers.push(at.to_owned());
        match value {
            serde_json::Value::Object(members) => {
                for (name, value) in members {
                    collect_pointers(value, &format!("{at}/{name}"), pointers);
                }
            }
            serde_json::Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    collect_pointers(value, &format!("{at}/{index}"), pointers);
                }
            }
            _ => {}
        }
    }
}
