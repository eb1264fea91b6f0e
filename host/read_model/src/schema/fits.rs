//! What the columns of a table hold in its database: values are looked at before they are handed
//! to the writer, so that one that does not fit is found in the batch that it comes from.

use crate::ReadModel;
use crate::rows::commit::TableChanges;
use crate::schema::ddl::{MYSQL_DIGITS, indexed_length};
use database::{Database, Dialect};
use model::change::{Cells, Column, ColumnDefinition, ColumnType, Keys, Operation, TableDefinition};
use model::event::Timestamp;

/// The first instants of the years 4714 BC and 1, where the times of PostgreSQL and MySQL begin,
/// and the last one of the year 9999, where those of MySQL end.
const POSTGRES_BEGINS: i64 = -210_866_803_200_000_000;
const MYSQL_BEGINS: i64 = -62_135_596_800_000_000;
const MYSQL_ENDS: i64 = 253_402_300_799_999_999;

/// What a statement has beside its cells, and what goes with each of these, in bytes; at the most.
pub(crate) const STATEMENT_BYTES: usize = 1 << 10;
pub(crate) const CELL_BYTES: usize = 16;

/// So many characters of a key are shown.
const SHOWN: usize = 64;

/// A row that the database does not keep, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {reason}")]
pub struct Misfit {
    /// Its table, column and key, as far as they are known.
    pub(crate) at: String,
    pub(crate) reason: String,
}

/// What the columns of one table hold.
#[derive(Clone, Debug)]
pub struct Fits {
    table: TableDefinition,
    /// Of all columns; those of the key come first.
    rooms: Vec<Room>,
    row_bytes_max: usize,
}

/// What one column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Any,
    Characters(usize),
    Bytes(usize),
    Times(i64, i64),
    Digits([usize; 2]),
}

impl ReadModel {
    /// What each of `tables` holds.
    #[must_use]
    pub fn fits(&self, tables: &[TableDefinition]) -> Vec<Fits> {
        tables.iter().map(|table| Fits::new(&self.database, table)).collect()
    }
}

impl Fits {
    fn new(database: &Database, table: &TableDefinition) -> Self {
        let room = |column| Room::of(database.dialect(), table, column);
        Self {
            table: table.clone(),
            rooms: table.columns.iter().map(room).collect(),
            row_bytes_max: database.statement_bytes_max().saturating_sub(STATEMENT_BYTES),
        }
    }

    /// Whether the table can have rows with `keys`.
    ///
    /// # Errors
    /// The first one that it can't have.
    pub fn check_keys(&self, keys: &Keys) -> Result<(), Misfit> {
        for ((column, definition), room) in keys.columns.iter().zip(self.table.key()).zip(&self.rooms) {
            if let Some((key, reason)) = room.misfit(column) {
                return Err(Misfit { at: self.place(Some(definition), keys, key), reason });
            }
        }
        Ok(())
    }

    /// Whether the table can have the rows that are put.
    ///
    /// # Errors
    /// The first one that it can't have.
    pub fn check(&self, changed: &TableChanges) -> Result<(), Misfit> {
        let (values, rooms) = (&changed.changes.columns, &self.rooms[self.table.key_columns..]);
        for ((column, definition), room) in values.iter().zip(self.table.values()).zip(rooms) {
            if let Some((row, reason)) = room.misfit(column) {
                let key = (0..changed.keys.count)
                    .find(|&key| changed.changes.operations[key] == Operation::Put && changed.value_row(key) == row);
                return Err(Misfit { at: self.place(Some(definition), &changed.keys, key.unwrap_or(0)), reason });
            }
        }
        self.check_bytes(changed)
    }

    fn check_bytes(&self, changed: &TableChanges) -> Result<(), Misfit> {
        let overhead = self.table.columns.len() * CELL_BYTES;
        // None of them can be larger than all together.
        if changed.bytes() + overhead <= self.row_bytes_max {
            return Ok(());
        }
        for key in 0..changed.keys.count {
            let bytes = changed.row_bytes(key) + overhead;
            if bytes > self.row_bytes_max {
                let most = self.row_bytes_max;
                return Err(Misfit {
                    at: self.place(None, &changed.keys, key),
                    reason: format!(
                        "the row takes {bytes} bytes, and the database takes {most} in a statement: keep less in a row; \
                         on MariaDB and MySQL `max_allowed_packet` may be raised, and the host started anew"
                    ),
                });
            }
        }
        Ok(())
    }

    fn place(&self, column: Option<&ColumnDefinition>, keys: &Keys, key: usize) -> String {
        place(&self.table, column.map(|column| column.name.as_str()), keys, key)
    }
}

/// A table, a column of it if that is known, and key number `key` of `keys`, for people.
pub(crate) fn place(table: &TableDefinition, column: Option<&str>, keys: &Keys, key: usize) -> String {
    let column = column.map_or_else(String::new, |column| format!("column `{column}`, "));
    let cells = keys.columns.iter().zip(table.key()).map(|(cells, column)| {
        let text = match cells.to_json(column.of_type, key) {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        match text.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("`{}…` of {} characters", &text[..end], text.chars().count()),
            None => format!("`{text}`"),
        }
    });
    format!("table `{}`, {column}key {}", table.name, cells.collect::<Vec<_>>().join(", "))
}

impl Room {
    fn of(dialect: Dialect, table: &TableDefinition, column: &ColumnDefinition) -> Self {
        match (dialect, column.of_type) {
            (Dialect::Postgres, ColumnType::Timestamp) => Self::Times(POSTGRES_BEGINS, i64::MAX),
            (Dialect::MySql, ColumnType::Timestamp) => Self::Times(MYSQL_BEGINS, MYSQL_ENDS),
            (Dialect::MySql, ColumnType::Decimal) => Self::Digits(MYSQL_DIGITS),
            (Dialect::MySql, ColumnType::Text) => {
                indexed_length(table, &column.name).map_or(Self::Any, Self::Characters)
            }
            (Dialect::MySql, ColumnType::Bytes) => indexed_length(table, &column.name).map_or(Self::Any, Self::Bytes),
            _ => Self::Any,
        }
    }

    /// The first row of `column` for which there is no room, and why.
    fn misfit(self, column: &Column) -> Option<(usize, String)> {
        if self.takes_all(&column.cells) {
            return None;
        }
        let rows = (0..column.len()).filter(|&row| !column.is_null(row));
        rows.map(|row| (row, self.fault(&column.cells, row))).find_map(|(row, fault)| Some((row, fault?)))
    }

    /// Whether there certainly is room for all of `cells`, at a glance.
    fn takes_all(self, cells: &Cells) -> bool {
        match (self, cells) {
            (Self::Times(first, last), Cells::Integers(values)) => values.iter().all(|at| (first..=last).contains(at)),
            (Self::Characters(most), Cells::Texts(texts)) => longest(&texts.ends) <= most,
            (Self::Bytes(most), Cells::Blobs(blobs)) => longest(&blobs.ends) <= most,
            (Self::Digits(most), Cells::Texts(texts)) => longest(&texts.ends) <= most[0].min(most[1]),
            _ => true,
        }
    }

    fn fault(self, cells: &Cells, row: usize) -> Option<String> {
        match (self, cells) {
            (Self::Times(first, last), Cells::Integers(values)) if !(first..=last).contains(&values[row]) => {
                let (at, first) = (Timestamp(values[row]), Timestamp(first));
                let end = if last == i64::MAX { "on".to_owned() } else { format!("to {}", Timestamp(last)) };
                Some(format!("the time {at} is out of range: the database keeps times from {first} {end}"))
            }
            (Self::Characters(most), Cells::Texts(texts)) => {
                let count = texts.get(row).chars().count();
                (count > most).then(|| too_long(count, "characters", most))
            }
            (Self::Bytes(most), Cells::Blobs(blobs)) => {
                let count = blobs.get(row).len();
                (count > most).then(|| too_long(count, "bytes", most))
            }
            (Self::Digits([before, behind]), Cells::Texts(texts)) => {
                let (whole, fraction) = texts.get(row).split_once('.').unwrap_or((texts.get(row), ""));
                let whole = whole.trim_start_matches(['+', '-']).trim_start_matches('0').len();
                let fraction = fraction.trim_end_matches('0').len();
                (whole > before || fraction > behind).then(|| {
                    format!(
                        "the number has {whole} digits before the point and {fraction} behind it, and the database keeps {before} and {behind}: keep it as a text"
                    )
                })
            }
            _ => None,
        }
    }
}

fn too_long(count: usize, what: &str, most: usize) -> String {
    format!(
        "the value has {count} {what}, and the database keeps {most} where a column stands in a key or an index: keep a digest of it there, or less"
    )
}

/// The longest of the values that end at `ends`, in bytes.
fn longest(ends: &[u32]) -> usize {
    let starts = std::iter::once(&0).chain(ends);
    ends.iter().zip(starts).map(|(end, start)| end - start).max().unwrap_or(0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(room: Room, cells: Cells, expected: &str) {
        let column = Column { nulls: Vec::new(), cells };
        let found = room.misfit(&column).map_or_else(String::new, |(row, reason)| format!("{row}: {reason}"));
        assert!(found.starts_with(expected) && expected.is_empty() == found.is_empty(), "{found} should be {expected}");
    }

    #[test]
    fn finds_the_first_value_without_room() {
        let texts = |values: &[&str]| Cells::Texts(values.iter().copied().collect());
        check(Room::Any, texts(&[&"a".repeat(9_999)]), "");
        check(Room::Characters(3), texts(&["abc", "äöü", ""]), "");
        check(Room::Characters(3), texts(&["abc", "äöüß", "abcd"]), "1: the value has 4 characters");
        let times = || Room::Times(MYSQL_BEGINS, MYSQL_ENDS);
        check(times(), Cells::Integers(vec![MYSQL_BEGINS, 0, MYSQL_ENDS]), "");
        check(times(), Cells::Integers(vec![0, MYSQL_ENDS + 1]), "1: the time");
        check(times(), Cells::Integers(vec![MYSQL_BEGINS - 1]), "0: the time");
        let digits = Room::Digits(MYSQL_DIGITS);
        check(digits, texts(&[&"9".repeat(35), "-00000000000000000000000000000000000012.50"]), "");
        check(digits, texts(&["1", &"9".repeat(36)]), "1: the number has 36 digits");
        check(
            digits,
            texts(&[&format!("0.{}1", "0".repeat(30))]),
            "0: the number has 0 digits before the point and 31",
        );
        check(digits, texts(&[&format!("0.1{}", "0".repeat(34))]), "");
    }

    #[test]
    fn nulls_need_no_room() {
        let cells = Cells::Integers(vec![i64::MAX, 0]);
        assert_eq!(Room::Times(0, 1).misfit(&Column { nulls: vec![1, 0], cells }), None);
    }

    #[test]
    fn long_keys_are_shown_by_their_beginning() {
        let table: TableDefinition = serde_json::from_value(serde_json::json!({
            "name": "t", "key_columns": 2, "keyed_by_aggregate": false, "indexes": [],
            "columns": [{ "name": "a", "type": "text", "nullable": false }, { "name": "b", "type": "integer", "nullable": false }],
        }))
        .expect("a table");
        let column = |cells| Column { nulls: Vec::new(), cells };
        let texts = Cells::Texts([&*"ä".repeat(99)].into_iter().collect());
        let keys = Keys { count: 1, columns: vec![column(texts), column(Cells::Integers(vec![7]))] };
        let expected = format!("table `t`, column `a`, key `{}…` of 99 characters, `7`", "ä".repeat(SHOWN));
        assert_eq!(place(&table, Some("a"), &keys, 0), expected);
    }
}
