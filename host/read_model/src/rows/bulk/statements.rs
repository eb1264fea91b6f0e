//! Statements over many rows, whose values stand in them one after the other: for databases that
//! take no arrays.

use crate::schema::ddl::{names, physical_table};
use database::{Dialect, quote};
use model::change::{Cells, Column, ColumnDefinition, ColumnType, Keys, TableDefinition, VersionId};

/// Statements of one table that do not depend on the batch.
#[derive(Debug)]
pub(crate) struct Statements {
    insert: String,
    row: String,
    on_conflict: String,
    delete: String,
    key: String,
    /// Of all columns; those of the key come first.
    pub(super) types: Vec<ColumnType>,
    pub(super) key_columns: usize,
    /// How many bytes the values of a statement may have.
    pub(super) bytes_max: usize,
}

impl Statements {
    pub(super) fn new(dialect: Dialect, id: &VersionId, table: &TableDefinition, bytes_max: usize) -> Self {
        let physical = quote(&physical_table(id, &table.name));
        let quoted = |columns: &[ColumnDefinition]| -> Vec<String> {
            columns.iter().map(|column| quote(column.name.as_str())).collect()
        };
        let key = quoted(table.key());
        let columns = names(table.columns.iter().map(|column| &column.name));
        // OR FAIL: else SQLite keeps a journal for each statement, to undo a part of it. Here a
        // statement that fails takes the whole transaction with it anyway.
        let (insert, values) = if dialect == Dialect::Sqlite { ("INSERT OR FAIL", "VALUES ") } else { ("INSERT", "") };
        Self {
            insert: format!("{insert} INTO {physical} ({columns}) VALUES "),
            row: format!("({})", dialect.places(1, table.columns.len())),
            on_conflict: dialect.on_conflict(&key, &quoted(table.values())),
            delete: format!("DELETE FROM {physical} WHERE ({}) IN ({values}", key.join(", ")),
            key: format!("({})", dialect.places(1, table.key_columns)),
            types: table.columns.iter().map(|column| column.of_type).collect(),
            key_columns: table.key_columns,
            bytes_max,
        }
    }

    /// Puts so many rows.
    pub(super) fn put(&self, rows: usize) -> String {
        repeated(&self.insert, &self.row, rows, &self.on_conflict)
    }

    /// Deletes so many rows.
    pub(super) fn delete(&self, rows: usize) -> String {
        repeated(&self.delete, &self.key, rows, ")")
    }
}

/// `start`, so many times `row` with commas between, and `end`.
fn repeated(start: &str, row: &str, rows: usize, end: &str) -> String {
    let mut sql = String::with_capacity(start.len() + (row.len() + 1) * rows + end.len());
    sql.push_str(start);
    for number in 0..rows {
        if number > 0 {
            sql.push(',');
        }
        sql.push_str(row);
    }
    sql.push_str(end);
    sql
}

/// `[[key column, …], …]`, byte strings in hexadecimal.
pub(super) fn keys_as_json(keys: &Keys, wanted: std::ops::Range<usize>) -> String {
    let row =
        |row: usize| -> Vec<serde_json::Value> { keys.columns.iter().map(|column| key_as_json(column, row)).collect() };
    let rows: Vec<_> = wanted.map(row).collect();
    serde_json::Value::from(rows).to_string()
}

fn key_as_json(column: &Column, row: usize) -> serde_json::Value {
    match &column.cells {
        Cells::Booleans(values) => values[row].into(),
        Cells::Integers(values) => values[row].into(),
        Cells::Floats(values) => values[row].into(),
        Cells::Texts(texts) => texts.get(row).into(),
        Cells::Blobs(blobs) => blobs.get(row).iter().map(|byte| format!("{byte:02X}")).collect::<String>().into(),
    }
}
