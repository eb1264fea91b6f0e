//! A table in memory, in the place of the host's database.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use crate::values::{Timestamp, Uuid};
use crate::wire::{self, ColumnType, operation};

/// What a row holds in a column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cell {
    Null,
    Boolean(bool),
    Integer(i64),
    /// By its bits, which can be ordered.
    Float(u64),
    Text(String),
    Bytes(Vec<u8>),
}

/// A table: the columns behind the key, by key.
pub(super) struct Table {
    definition: wire::TableDefinition,
    rows: BTreeMap<Vec<Cell>, Vec<Cell>>,
}

impl Table {
    pub(super) fn new(definition: wire::TableDefinition) -> Self {
        Self { definition, rows: BTreeMap::new() }
    }

    /// Of the rows at some keys those that exist.
    pub(super) fn read(&self, keys: &[Vec<Cell>]) -> wire::Rows {
        let found: Vec<Option<&Vec<Cell>>> = keys.iter().map(|key| self.rows.get(key)).collect();
        let columns = self.columns_behind_key().iter().enumerate();
        wire::Rows {
            present: found.iter().map(|row| u8::from(row.is_some())).collect(),
            columns: columns.map(|(at, of)| column(of.of_type, found.iter().flatten().map(|row| &row[at]))).collect(),
        }
    }

    /// Changes the rows at some keys.
    ///
    /// # Panics
    /// When the changes are none that the host would take.
    pub(super) fn change(&mut self, keys: &[Vec<Cell>], changes: &wire::Changes) {
        let puts = changes.operations.iter().filter(|o| **o == operation::PUT);
        let mut rows = rows_of(&changes.columns, puts.count()).into_iter();
        assert_eq!(keys.len(), changes.operations.len());
        for (key, operation) in keys.iter().zip(&changes.operations) {
            match *operation {
                operation::PUT => {
                    let row = rows.next().expect("as many rows as are put");
                    self.check(key, &row);
                    self.rows.insert(key.clone(), row);
                }
                operation::DELETE => {
                    self.rows.remove(key);
                }
                _ => {}
            }
        }
    }

    /// Refuses what the host would refuse.
    fn check(&self, key: &[Cell], row: &[Cell]) {
        for (column, cell) in self.definition.columns.iter().zip(key.iter().chain(row)) {
            let refused = match cell {
                Cell::Null if !column.nullable => "null, and is not nullable",
                Cell::Float(bits) if f64::from_bits(*bits).is_nan() => "NaN",
                Cell::Text(text) if text.contains('\0') => "U+0000",
                _ => continue,
            };
            panic!("the host refuses a row: column `{}` of `{}` holds {refused}", column.name, self.definition.name);
        }
    }

    fn columns_behind_key(&self) -> &[wire::ColumnDefinition] {
        &self.definition.columns[self.definition.key_columns as usize..]
    }

    /// All rows as JSON, ordered by key.
    pub(super) fn to_json(&self) -> Vec<Value> {
        let rows = self.rows.iter();
        rows.map(|(key, row)| row_to_json(&self.definition, key.iter().chain(row))).collect()
    }
}

fn row_to_json<'a>(of: &wire::TableDefinition, cells: impl Iterator<Item = &'a Cell>) -> Value {
    let columns = of.columns.iter().zip(cells);
    let members = columns.map(|(column, cell)| (column.name.clone(), cell_to_json(column.of_type, cell)));
    Value::Object(members.collect::<Map<_, _>>())
}

/// Rows that came as JSON, in the form and order in which `to_json` gives them.
pub(super) fn normalized(of: &wire::TableDefinition, mut rows: Vec<Value>) -> Vec<Value> {
    for row in rows.iter_mut().filter_map(Value::as_object_mut) {
        for column in &of.columns {
            let Some(value) = row.get_mut(&column.name) else {
                continue;
            };
            *value = match (column.of_type, value.take()) {
                (ColumnType::Decimal, Value::String(text)) => decimal_to_json(&text),
                (ColumnType::Float, Value::Number(number)) => number.as_f64().map_or(Value::Null, Value::from),
                (_, value) => value,
            };
        }
    }
    let keys = &of.columns[..of.key_columns as usize];
    let order = |row: &Value| -> Vec<String> {
        let cells = keys.iter().map(|key| row.get(&key.name));
        cells.map(|cell| format!("{cell:?}")).collect()
    };
    rows.sort_by_key(order);
    rows
}

/// Rows of columns of equal length.
pub(super) fn rows_of(columns: &[wire::Column], count: usize) -> Vec<Vec<Cell>> {
    (0..count).map(|row| columns.iter().map(|column| cell(column, row)).collect()).collect()
}

fn cell(column: &wire::Column, row: usize) -> Cell {
    if column.nulls.get(row).is_some_and(|null| *null != 0) {
        return Cell::Null;
    }
    match &column.cells {
        wire::Cells::Booleans(list) => Cell::Boolean(list[row] != 0),
        wire::Cells::Integers(list) => Cell::Integer(list[row]),
        wire::Cells::Floats(list) => Cell::Float(list[row].to_bits()),
        wire::Cells::Texts(list) => Cell::Text(list.get(row).to_owned()),
        wire::Cells::Blobs(list) => Cell::Bytes(list.get(row).to_vec()),
    }
}

fn column<'a>(of_type: ColumnType, rows: impl Iterator<Item = &'a Cell>) -> wire::Column {
    let rows: Vec<&Cell> = rows.collect();
    let any_null = rows.iter().any(|cell| **cell == Cell::Null);
    let nulls = rows.iter().map(|cell| u8::from(**cell == Cell::Null));
    let nulls = if any_null { nulls.collect() } else { Vec::new() };
    let cells = match of_type {
        ColumnType::Boolean => {
            wire::Cells::Booleans(rows.iter().map(|cell| u8::from(**cell == Cell::Boolean(true))).collect())
        }
        ColumnType::Integer | ColumnType::Timestamp => {
            let numbers = rows.iter().map(|cell| match cell {
                Cell::Integer(number) => *number,
                _ => 0,
            });
            wire::Cells::Integers(numbers.collect())
        }
        ColumnType::Float => {
            let numbers = rows.iter().map(|cell| match cell {
                Cell::Float(bits) => f64::from_bits(*bits),
                _ => 0.0,
            });
            wire::Cells::Floats(numbers.collect())
        }
        ColumnType::Decimal | ColumnType::Text | ColumnType::Json => {
            let mut texts = wire::Texts::with_capacity(0, 0);
            for cell in &rows {
                texts.push(match cell {
                    Cell::Text(text) => text,
                    _ => "",
                });
            }
            wire::Cells::Texts(texts)
        }
        ColumnType::Bytes | ColumnType::Uuid => {
            let mut blobs = wire::Blobs { joined: Vec::new(), ends: Vec::new() };
            for cell in &rows {
                blobs.push(match cell {
                    Cell::Bytes(bytes) => bytes,
                    _ => &[],
                });
            }
            wire::Cells::Blobs(blobs)
        }
    };
    wire::Column { nulls, cells }
}

fn cell_to_json(of_type: ColumnType, cell: &Cell) -> Value {
    match (of_type, cell) {
        (_, Cell::Null) => Value::Null,
        (_, Cell::Boolean(boolean)) => Value::Bool(*boolean),
        (ColumnType::Timestamp, Cell::Integer(micros)) => Value::String(Timestamp::from_micros(*micros).to_string()),
        (_, Cell::Integer(number)) => Value::from(*number),
        (_, Cell::Float(bits)) => Number::from_f64(f64::from_bits(*bits)).map_or(Value::Null, Value::Number),
        (ColumnType::Json, Cell::Text(text)) => serde_json::from_str(text).expect("a column of JSON holds JSON"),
        (ColumnType::Decimal, Cell::Text(text)) => decimal_to_json(text),
        (_, Cell::Text(text)) => Value::String(text.clone()),
        (ColumnType::Uuid, Cell::Bytes(bytes)) => {
            let bytes = bytes.as_slice().try_into().expect("a UUID has 16 bytes");
            Value::String(Uuid::from_bytes(bytes).to_string())
        }
        (_, Cell::Bytes(bytes)) => Value::String(base64(bytes)),
    }
}

/// A decimal without what makes no other number of it: to a database 1.50 and 1.5
/// are one.
fn decimal_to_json(text: &str) -> Value {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let digits = match digits.split_once('.') {
        Some(_) => digits.trim_end_matches('0').trim_end_matches('.'),
        None => digits,
    };
    let digits = digits.trim_start_matches('0');
    let zero = if digits.is_empty() || digits.starts_with('.') { "0" } else { "" };
    let is_nothing = digits.is_empty();
    let sign = if is_nothing { "" } else { sign };
    Value::String(format!("{sign}{zero}{digits}"))
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            if at <= chunk.len() {
                let digit = bits >> (18 - 6 * at) & 63;
                text.push(char::from(DIGITS[digit as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn decimals_are_equal_when_their_numbers_are() {
        for (text, same) in
            [("1.50", "1.5"), ("-0.0", "0"), ("007", "7"), ("100", "100"), ("-0.05", "-0.05"), ("3.00", "3")]
        {
            assert_eq!(decimal_to_json(text), Value::from(same), "{text}");
        }
    }
}
