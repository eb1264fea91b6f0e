//! Rows of SQLite: SQL makes one JSON text of them, which is cut into columns here.
//! A row fetched through sqlx costs several times as much.

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};

use database::quote;
use model::change::{Cells, Column, ColumnDefinition, ColumnType};

/// The SQL expressions of `columns` of table or alias `of`, as `decode` expects them.
pub(super) fn expressions(of: &str, columns: &[ColumnDefinition]) -> Vec<String> {
    columns
        .iter()
        .map(|column| {
            let name = format!("{of}.{}", quote(column.name.as_str()));
            match column.of_type {
                ColumnType::Bytes | ColumnType::Uuid => format!("hex({name}), {name} IS NULL"),
                ColumnType::Float => float_expression(&name),
                _ => name,
            }
        })
        .collect()
}

/// So many bits a float is shifted at a time.
const SHIFT: i32 = 50;

/// A float as 17 digits, from which the same number can be read, and how often it was
/// shifted before. JSON made by SQLite has 15 digits; and what it tells of very large and
/// very small numbers is a little off, so they are moved to where it is exact, by powers
/// of two, which loses nothing.
fn float_expression(name: &str) -> String {
    let digits = |sign: char, shifts: usize| {
        let operator = if sign == '-' { '/' } else { '*' };
        let shifted = format!(" {operator} (1 << {SHIFT})").repeat(shifts);
        format!("format('%!.17g {sign}{shifts}', {name}{shifted})")
    };
    format!(
        "CASE WHEN {name} IS NULL THEN NULL WHEN abs({name}) > 1e115 THEN {} WHEN abs({name}) > 1e-81 OR {name} = 0 THEN {} \
         WHEN abs({name}) > 1e-200 THEN {} ELSE {} END",
        digits('-', 13),
        digits('+', 0),
        digits('+', 8),
        digits('+', 17)
    )
}

/// The number that `float_expression` tells of.
fn float(text: &str) -> Option<f64> {
    let (digits, shifts) = text.split_once(' ')?;
    let (digits, shifts): (f64, i32) = (digits.parse().ok()?, shifts.parse().ok()?);
    Some(digits * 2_f64.powi(-SHIFT * shifts))
}

/// Cuts `[[number, cell, …], …]` into the numbers and the columns.
pub(super) fn decode(json: &str, columns: &[ColumnDefinition]) -> serde_json::Result<(Vec<u32>, Vec<Column>)> {
    let mut decoded =
        Decoded { numbers: Vec::new(), columns: columns.iter().map(|column| Column::empty(column.of_type)).collect() };
    let mut deserializer = serde_json::Deserializer::from_str(json);
    RowsSeed(&mut decoded).deserialize(&mut deserializer)?;
    Ok((decoded.numbers, decoded.columns))
}

struct Decoded {
    numbers: Vec<u32>,
    columns: Vec<Column>,
}

struct RowsSeed<'a>(&'a mut Decoded);
struct RowSeed<'a>(&'a mut Decoded);

impl<'de> DeserializeSeed<'de> for RowsSeed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RowsSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while rows.next_element_seed(RowSeed(self.0))?.is_some() {}
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a row")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<(), A::Error> {
        let missing = || A::Error::custom("a row is too short");
        self.0.numbers.push(row.next_element()?.ok_or_else(missing)?);
        for column in &mut self.0.columns {
            let null = push_cell(column, &mut row)?.ok_or_else(missing)?;
            if null {
                column.push_null();
            } else if !column.nulls.is_empty() {
                column.nulls.push(0);
            }
        }
        Ok(())
    }
}

/// Adds the next cell; gives whether it is null instead, or nothing at the row's end.
fn push_cell<'de, A: SeqAccess<'de>>(column: &mut Column, row: &mut A) -> Result<Option<bool>, A::Error> {
    fn add<T>(cell: Option<Option<T>>, push: impl FnOnce(T)) -> Option<bool> {
        let cell = cell?;
        match cell {
            Some(value) => {
                push(value);
                Some(false)
            }
            None => Some(true),
        }
    }
    Ok(match &mut column.cells {
        Cells::Booleans(values) => add(row.next_element::<Option<u8>>()?, |value| values.push(value)),
        Cells::Integers(values) => add(row.next_element::<Option<i64>>()?, |value| values.push(value)),
        Cells::Floats(values) => match row.next_element::<Option<std::borrow::Cow<'de, str>>>()? {
            Some(Some(digits)) => {
                values.push(float(&digits).ok_or_else(|| A::Error::custom("not a float"))?);
                Some(false)
            }
            other => other.map(|_| true),
        },
        Cells::Texts(texts) => {
            add(row.next_element::<Option<std::borrow::Cow<'de, str>>>()?, |value| texts.push(&value))
        }
        Cells::Blobs(blobs) => {
            let hex: Option<std::borrow::Cow<'de, str>> = row.next_element()?;
            let null: Option<u8> = row.next_element()?;
            match (hex, null) {
                (Some(_), Some(1)) => Some(true),
                (Some(hex), Some(_)) => {
                    blobs.push(&unhex(&hex).ok_or_else(|| A::Error::custom("not hexadecimal"))?);
                    Some(false)
                }
                _ => None,
            }
        }
    })
}

fn unhex(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    let byte = |pair: &[u8]| u8::try_from(nibble(pair[0])? << 4 | nibble(pair[1])?).ok();
    if digits.len() % 2 == 1 { None } else { digits.chunks_exact(2).map(byte).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_rows_into_columns_with_their_nulls() {
        let column =
            |name: &str, of_type| ColumnDefinition { name: name.parse().expect("a name"), of_type, nullable: true };
        let columns = [column("a", ColumnType::Text), column("b", ColumnType::Bytes), column("c", ColumnType::Float)];
        let json = r#"[[4,"x\"y","",1,"0.30000000000000004 +0"],[2,null,"00FF",0,null]]"#;
        let (numbers, decoded) = decode(json, &columns).expect("rows");
        assert_eq!(numbers, [4, 2]);
        assert_eq!(decoded[0].to_json(ColumnType::Text, 0), "x\"y");
        assert_eq!(decoded[2].to_json(ColumnType::Float, 0), 0.1 + 0.2);
        assert!(decoded[0].is_null(1) && decoded[1].is_null(0) && decoded[2].is_null(1));
        assert_eq!(decoded[1].to_json(ColumnType::Bytes, 1), "AP8=");
        assert!(decode("[[1,\"x\"]]", &columns).is_err(), "a short row is an error");
    }
}
