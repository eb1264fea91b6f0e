//! One line of any payload, for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use fantascope_sdk::prelude::*;

/// What doesn't fit any more is cut.
const LENGTH_MAX: usize = 120;

/// `amount_cents 1250, currency EUR, 2 lines`: the fields by name, and of lists how
/// long they are.
pub(crate) fn summary(payload: &BTreeMap<String, Json>) -> String {
    let mut line = String::new();
    for (name, value) in payload {
        let separator = if line.is_empty() { "" } else { ", " };
        let json = value.as_str();
        // Writing to a string can't fail.
        let _ = match json.as_bytes().first() {
            Some(b'"') => write!(line, "{separator}{name} {}", value.decode().unwrap_or_else(|_| json.to_owned())),
            Some(b'[') => {
                write!(line, "{separator}{} {name}", value.decode().map_or(0, |items: Vec<Json>| items.len()))
            }
            Some(b'{') => write!(line, "{separator}{name} …"),
            _ => write!(line, "{separator}{name} {json}"),
        };
    }
    shortened(line)
}

fn shortened(mut line: String) -> String {
    line.retain(|letter| !letter.is_control());
    if let Some((end, _)) = line.char_indices().nth(LENGTH_MAX) {
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(payload: impl Into<Json>, expected: &str) {
        let fields = payload.into().decode().expect("an object");
        assert_eq!(summary(&fields), expected);
    }

    #[test]
    fn names_every_field() {
        check(json!({}), "");
        check(
            json!({ "amount_cents": 1250, "currency": "EUR", "paid": true }),
            "amount_cents 1250, currency EUR, paid true",
        );
        check(
            json!({ "lines": [{}, {}], "address": { "city": "Ulm" }, "note": null }),
            "address …, 2 lines, note null",
        );
    }

    #[test]
    fn stays_one_short_line() {
        check(json!({ "note": "a\nb\u{0}c" }), "note abc");
        check(json!({ "note": "ä".repeat(500) }), &format!("note {}…", "ä".repeat(115)));
    }
}
