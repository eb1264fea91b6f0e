//! SQLite: many rows a statement; what is read comes as one JSON text.

use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection};

use super::packed::{decode, expressions};
use crate::change::{Cells, Column, Keys, TableDefinition, VersionId};
use crate::database::{Dialect, pieces, quote};
use crate::read_model::TableChanges;
use crate::read_model::ddl::{names, physical_table};

/// Values that one statement binds at the most; SQLite takes 32,766.
const VALUES_PER_STATEMENT: usize = 2_000;

/// Statements of one table that do not depend on the batch.
#[derive(Debug)]
pub(in crate::read_model) struct Statements {
    insert: String,
    row: String,
    on_conflict: String,
    delete: String,
    key: String,
    columns: usize,
    key_columns: usize,
}

impl Statements {
    pub(super) fn new(id: &VersionId, table: &TableDefinition) -> Self {
        let physical = quote(&physical_table(id, &table.name));
        let quoted = |columns: &[crate::change::ColumnDefinition]| -> Vec<String> {
            columns.iter().map(|column| quote(column.name.as_str())).collect()
        };
        let key = quoted(table.key());
        Self {
            // OR FAIL: else SQLite keeps a journal for each statement, to undo a part of
            // it. Here a statement that fails takes the whole transaction with it anyway.
            insert: format!(
                "INSERT OR FAIL INTO {physical} ({}) VALUES ",
                names(table.columns.iter().map(|column| &column.name))
            ),
            row: format!("({})", Dialect::Sqlite.places(1, table.columns.len())),
            on_conflict: Dialect::Sqlite.on_conflict(&key, &quoted(table.values())),
            delete: format!("DELETE FROM {physical} WHERE ({}) IN (VALUES ", key.join(", ")),
            key: format!("({})", Dialect::Sqlite.places(1, table.key_columns)),
            columns: table.columns.len(),
            key_columns: table.key_columns,
        }
    }

    /// `key_rows` are the rows of those keys that are put; value columns hold one row for each.
    pub(super) async fn put(
        &self,
        connection: &mut SqliteConnection,
        changed: &TableChanges,
        key_rows: &[usize],
    ) -> sqlx::Result<()> {
        for piece in pieces(key_rows.len(), VALUES_PER_STATEMENT / self.columns) {
            let sql = statement(&self.insert, &self.row, piece.len(), &self.on_conflict);
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for row in piece {
                for column in &changed.keys.columns {
                    query = bind(query, column, key_rows[row]);
                }
                for column in &changed.changes.columns {
                    query = bind(query, column, row);
                }
            }
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }

    pub(super) async fn delete(
        &self,
        connection: &mut SqliteConnection,
        changed: &TableChanges,
        key_rows: &[usize],
    ) -> sqlx::Result<()> {
        for piece in pieces(key_rows.len(), VALUES_PER_STATEMENT / self.key_columns) {
            let sql = statement(&self.delete, &self.key, piece.len(), ")");
            let mut query = sqlx::query(AssertSqlSafe(sql));
            for row in piece {
                for column in &changed.keys.columns {
                    query = bind(query, column, key_rows[row]);
                }
            }
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }
}

/// `start`, so many times `row` with commas between, and `end`.
pub(super) fn statement(start: &str, row: &str, rows: usize, end: &str) -> String {
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

fn bind<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    column: &Column,
    row: usize,
) -> Query<'q, Sqlite, SqliteArguments> {
    if column.is_null(row) {
        return query.bind(None::<i64>);
    }
    match &column.cells {
        Cells::Booleans(values) => query.bind(i64::from(values[row])),
        Cells::Integers(values) => query.bind(values[row]),
        Cells::Floats(values) => query.bind(values[row]),
        Cells::Texts(texts) => query.bind(texts.get(row).to_owned()),
        Cells::Blobs(blobs) => query.bind(blobs.get(row).to_owned()),
    }
}

/// Which of `keys` there are, and the values of their rows.
pub(super) async fn read(
    connection: &mut SqliteConnection,
    id: &VersionId,
    table: &TableDefinition,
    keys: &Keys,
) -> sqlx::Result<(Vec<u32>, Vec<Column>)> {
    // The keys travel as one JSON text, so that the statement is always the same.
    let key_values: Vec<String> = (0..table.key_columns)
        .map(|number| match keys.columns[number].cells {
            Cells::Blobs(_) => format!("unhex(w.value ->> {number})"),
            _ => format!("w.value ->> {number}"),
        })
        .collect();
    let condition: Vec<String> = table
        .key()
        .iter()
        .zip(&key_values)
        .map(|(column, value)| format!("t.{} = {value}", quote(column.name.as_str())))
        .collect();
    let mut cells = vec!["w.key".to_owned()];
    cells.extend(expressions("t", table.values()));
    // json_each gives its items in order, and the join keeps it.
    let sql = format!(
        "SELECT json_group_array(json_array({})) FROM json_each(?) w CROSS JOIN {} t WHERE {}",
        cells.join(", "),
        quote(&physical_table(id, &table.name)),
        condition.join(" AND ")
    );
    let (json,): (String,) = sqlx::query_as(AssertSqlSafe(sql)).bind(keys_as_json(keys)).fetch_one(connection).await?;
    decode(&json, table.values()).map_err(|fault| sqlx::Error::Decode(fault.into()))
}

/// `[[key column, …], …]`, byte strings in hexadecimal.
pub(super) fn keys_as_json(keys: &Keys) -> String {
    let row =
        |row: usize| -> Vec<serde_json::Value> { keys.columns.iter().map(|column| key_as_json(column, row)).collect() };
    let rows: Vec<_> = (0..keys.count).map(row).collect();
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
